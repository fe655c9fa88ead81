/* SPDX-License-Identifier: MIT
 *
 * sim_hub - see sim_hub.h.
 */
#include "sim_hub.h"

#include "ring.h"

#include <string.h>

void sim_hub_init(struct sim_hub *h, uint64_t seed)
{
    memset(h, 0, sizeof(*h));
    tidings_config_init(&h->config);
    h->config.loops = 1;
    h->config.max_connections = 0;
    h->options = (struct sim_options){.seed = seed, .loops = 1};
}

int sim_hub_start(struct sim_hub *h)
{
    h->options.loops = h->config.loops;
    h->sim = sim_create(&h->options);
    const struct hub_world world = sim_world(h->sim);
    int rc = hub_create_in(&h->hub, &h->config, &world);
    return rc < 0 ? rc : sim_start(h->sim, h->hub);
}

void sim_hub_finish(struct sim_hub *h)
{
    tidings_hub_destroy(h->hub);
    if (h->sim)
        sim_destroy(h->sim);
    h->hub = NULL;
    h->sim = NULL;
}

struct loop *sim_hub_loop(const struct sim_hub *h, uint32_t i)
{
    return &hub_service(h->hub)->loops[i];
}

unsigned sim_hub_count_slow(const struct loop *l)
{
    unsigned count = 0;
    for (uint32_t base = 0; base < slab_end(&l->conns); base += SLAB_CHUNK) {
        const struct conn *chunk = slab_chunk_at(&l->conns, base);
        for (unsigned i = 0; chunk && i < SLAB_CHUNK; i++)
            count += chunk[i].state == CONN_STREAM && chunk[i].flags & CONN_BLOCKED && chunk[i].sub.client;
    }
    return count;
}

static const char *leftover_of_loop(struct loop *l)
{
    if (l->conns.used > 0 || l->conns.chunk_count > 0)
        return "connections of a loop";
    if (l->request_bytes > 0)
        return "request memory";
    if (l->streams > 0)
        return "the count of sockets of streams";
    if (l->slow > 0)
        return "the count of slow readers";
    if (l->listed != SLAB_NONE)
        return "a list of connections";
    if (loop_is_posted(l))
        return "word from another thread";
    for (unsigned i = 0; i < AGENTS_BUCKETS; i++)
        if (l->agents.buckets[i])
            return "a User-Agent";
    return NULL;
}

/* History stays, but nothing that was held for live readers only. */
static const char *leftover_of_log(const struct log *log)
{
    if (log->stalled_bytes > 0)
        return "events that nobody is in the middle of";
    for (uint32_t i = 0; i < log->table_size; i++)
        for (const struct channel *c = log->table[i]; c; c = c->bucket)
            if (c != log->all && c != log->admin && (!c->ring || c->ring->count == 0))
                return "an empty channel";
    for (const struct event *e = log->oldest; e; e = e->newer)
        if (!e->kept && e->channel != log->all && e->channel != log->admin)
            return "events of a channel without listeners";
    return NULL;
}

const char *sim_hub_leftover(struct sim *s, struct tidings_hub *hub)
{
    struct service *service = hub_service(hub);
    const struct registry *reg = service->registry;
    const struct log *log = service->log;
    const char *left = NULL;
    if (reg->connections || reg->clients || reg->dashboards || reg->topics_listened || reg->newest ||
        reg->oldest)
        return "members of the registry";
    left = leftover_of_log(log);
    for (uint32_t i = 0; i < service->loop_count && !left; i++)
        left = leftover_of_loop(&service->loops[i]);
    if (!left && sim_open_sockets(s) > 0)
        left = "open sockets";
    return left;
}
