/* SPDX-License-Identifier: MIT
 *
 * admin - see admin.h. One event for all dashboards, encoded once, like any other.
 */
#include "admin.h"

#include "json.h"
#include "lists.h"
#include "publish.h"
#include "say.h"
#include "subscribe.h"

#include <stddef.h>

#define CHANGES_MS 250
#define STATS_MS   1000
#define JSON_MAX   (2u << 20)

static void put_limits(struct buf *out, const struct service *s)
{
    struct service_limit limits[SERVICE_LIMITS_MAX];
    unsigned count = service_limits(s, limits);
    buf_puts(out, ",\"limits\":[");
    for (unsigned i = 0; i < count; i++) {
        buf_puts(out, i ? ",{" : "{");
        json_put_member(out, "name", span_of(limits[i].name));
        json_put_member_u64(out, "limit", limits[i].limit);
        if (limits[i].has_use)
            json_put_member_u64(out, "used", limits[i].used);
        else
            buf_puts(out, ",\"used\":null");
        json_put_member_u64(out, "refused", limits[i].refused);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static uint64_t delivered(const struct service *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->loop_count; i++)
        sum += atomic_load_explicit(&s->loops[i].stats.delivered, memory_order_relaxed);
    return sum;
}

static void put_stats(struct buf *out, const struct service *s)
{
    const struct registry *reg = s->registry;
    log_lock(s->log);
    uint64_t connections = reg->connections, clients = reg->clients;
    uint64_t published =
        reg->published[CHANNEL_ALL] + reg->published[CHANNEL_CLIENT] + reg->published[CHANNEL_TOPIC];
    log_unlock(s->log);
    buf_putc(out, '{');
    json_put_member_u64(out, "ts", clock_wall(s->clock));
    json_put_member_u64(out, "totalConnections", connections);
    json_put_member_u64(out, "totalClients", clients);
    json_put_member_u64(out, "slowReaders", service_slow_readers(s));
    json_put_member_u64(out, "published", published);
    json_put_member_u64(out, "delivered", delivered(s));
    json_put_member_u64(out, "uptimeMs", clock_mono(s->clock) - s->started);
    json_put_member(out, "version", SPAN(TIDINGS_VERSION));
    json_put_member(out, "node", span_of(s->log->epoch));
    buf_puts(out, atomic_load(&s->draining) ? ",\"draining\":true" : ",\"draining\":false");
    put_limits(out, s);
    buf_putc(out, '}');
}

static void put_changed(struct buf *out, const struct service *s, const struct changes *ch, bool present)
{
    bool first = true;
    for (uint32_t i = 0; i < ch->count; i++) {
        struct channel *c = log_find(s->log, CHANNEL_CLIENT, ch->keys[i]);
        if ((c && c->subs > 0) != present)
            continue;
        if (!first)
            buf_putc(out, ',');
        first = false;
        if (present)
            lists_put_row(out, s, c);
        else
            json_put_string(out, ch->keys[i]);
    }
}

static void put_changes(struct buf *out, const struct service *s, const struct changes *ch)
{
    buf_puts(out, "{\"changed\":[");
    put_changed(out, s, ch, true);
    buf_puts(out, "],\"removed\":[");
    put_changed(out, s, ch, false);
    buf_puts(out, ch->truncated ? "],\"truncated\":true" : "],\"truncated\":false");
    json_put_member_u64(out, "total", s->registry->clients);
    buf_putc(out, '}');
}

static void send_changes(struct service *s, struct loop *l)
{
    struct buf json;
    buf_init(&json, JSON_MAX);
    log_lock(s->log);
    struct changes *ch = registry_take_changes(s->registry);
    if (ch)
        put_changes(&json, s, ch);
    log_unlock(s->log);
    if (ch && !json.failed)
        publish_to_dashboards(s, "clients", (struct span){json.data, json.len}, l->index);
    registry_changes_free(ch);
    buf_finish(&json);
}

static void send_stats(struct service *s, struct loop *l)
{
    struct buf json;
    buf_init(&json, JSON_MAX);
    put_stats(&json, s);
    if (!json.failed)
        publish_to_dashboards(s, "stats", (struct span){json.data, json.len}, l->index);
    buf_finish(&json);
}

static bool has_dashboards(struct service *s)
{
    log_lock(s->log);
    bool any = s->registry->dashboards > 0 || s->registry->changes;
    log_unlock(s->log);
    return any;
}

void admin_tick(struct service *s, struct loop *l)
{
    if (l->now < s->next_changes)
        return;
    s->next_changes = l->now + CHANGES_MS;
    if (!has_dashboards(s))
        return;
    send_changes(s, l);
    if (l->now < s->next_stats)
        return;
    s->next_stats = l->now + STATS_MS;
    send_stats(s, l);
}

static void begin(struct request *r, struct buf *out, const struct found *found)
{
    struct buf json;
    if (!http_begin_stream(r))
        out->failed = true;
    deliver_begin(r->loop, r->x->conn, r->loop->config.max_connection_age);
    say_hello(r->x->conn, out, deliver_retry(r->loop));
    subscribe_put_connected(r, out, (struct span){0}, (struct span){0}, found);
    buf_init(&json, JSON_MAX);
    put_stats(&json, r->service);
    say(r->x->conn, out, "stats", (struct span){0}, (struct span){json.data, json.len});
    out->failed |= json.failed;
    buf_finish(&json);
    service_stream_opened(r->service, r->loop, r->x->conn);
}

void admin_stream(struct request *r)
{
    static const struct join join = {.topic_count = 0};
    struct conn *c = r->x->conn;
    if (!h1_accepts(r->head->known[H1_ACCEPT], SPAN("text/event-stream"))) {
        http_problem(r, 406, "not_acceptable", "Accept: excludes text/event-stream, which is all there is");
        return;
    }
    if (r->is_head) {
        http_reply(r, 200, TYPE_SSE, (struct span){0}, "Cache-Control: no-cache, no-transform\r\n");
        return;
    }
    if (atomic_load(&r->service->draining)) {
        stats_add(&r->loop->stats.refused_draining, 1);
        http_overloaded(r, 503, "draining", "the hub is about to stop");
        return;
    }
    struct conn_io *io = conn_buffers(r->loop, c);
    if (!io || !subscribe_remember(r)) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return;
    }
    struct found found;
    if (!subscribe_join(r, &join, &found))
        return;
    begin(r, &io->out, &found);
    if (io->out.failed)
        conn_close(r->loop, c, CLOSE_ERROR, true);
}
