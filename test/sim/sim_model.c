/* SPDX-License-Identifier: MIT
 *
 * sim_model - the whole hub against a plain list. Clients come, go, stop reading and are thrown out while
 * events are published and time passes, on one to three loops that are turned in any order, on sockets that
 * do what sockets do. The oracle is the list of what was published, in the order in which the hub said so,
 * and what each reader may expect of it:
 *
 *     every event that was published while it was joined, in order, once; nothing else; a gap only where it
 * was told `__resync`, and then exactly that gap; no id ahead of what it was given.
 *
 * Environment: SEED=n replays one interleaving, RUNS=n sets how many there are, TRACE=1 tells what happens.
 */
#include "sim_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS     70
#define RUNS_FULL 20000
#define RUNS_SLOW 1500

static void read_from(struct model *m, struct reader *r, size_t n)
{
    struct model_reader mr = {m, r};
    if (!r->used || r->cut)
        return;
    r->c.user = &mr;
    r->c.on_event = oracle_on_event;
    m->bytes += sim_client_read(&r->c, n);
    if (r->c.wrong)
        oracle_fail(m, "reader %u: %s", r->serial, r->c.wrong);
    if (r->c.statuses[0] == 204 && (r->joined || !m->ever_banned[r->client]))
        oracle_fail(m, "reader %u: told to stay away without a ban", r->serial);
}

static void read_all(struct model *m)
{
    for (unsigned i = 0; i < READERS; i++)
        if (!m->readers[i].paused)
            read_from(m, &m->readers[i], SIZE_MAX);
}

/* ---- what happens ---- */

static struct reader *random_reader(struct model *m)
{
    struct reader *r = &m->readers[sim_below(m->sim, READERS)];
    return r->used ? r : NULL;
}

static void send_more(struct model *m, struct reader *r, size_t n)
{
    size_t left = r->out_len - r->out_at;
    if (r->cut || left == 0)
        return;
    r->out_at += sim_send(m->sim, r->c.sock, r->outbox + r->out_at, n < left ? n : left);
}

static void write_request(struct model *m, struct reader *r)
{
    char query[128] = "";
    for (unsigned i = 0; i < TOPICS; i++)
        if (r->topics >> i & 1)
            snprintf(query + strlen(query), sizeof(query) - strlen(query), "%ctopic=%s", query[0] ? '&' : '?',
                     oracle_topics[i]);
    if (r->topics & 1 && sim_chance(m->sim, 200)) /* the same once more */
        memcpy(query + strlen(query), "&topic=news", sizeof("&topic=news"));
    int n = snprintf(r->outbox, OUTBOX, "GET /api/sse/%s%s%s HTTP/1.%d\r\nHost: localhost\r\n%s%s\r\n%s",
                     r->dashboard ? "admin/stream" : "subscribe/",
                     r->dashboard ? "" : oracle_clients[r->client], r->dashboard ? "" : query,
                     sim_chance(m->sim, 850), sim_chance(m->sim, 900) ? "Accept: text/event-stream\r\n" : "",
                     r->has_cursor ? "Last-Event-ID: 17\r\n" : "",
                     sim_chance(m->sim, 50) ? "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" : "");
    r->out_len = (size_t)n;
}

static void come(struct model *m)
{
    struct reader *r = &m->readers[sim_below(m->sim, READERS)];
    if (r->used)
        return;
    memset(r, 0, sizeof(*r));
    r->used = true;
    r->client = sim_below(m->sim, CLIENTS);
    r->topics = sim_chance(m->sim, 500) ? sim_below(m->sim, 1u << TOPICS) : 0;
    r->dashboard = sim_chance(m->sim, 60);
    r->has_cursor = !r->dashboard && sim_chance(m->sim, 200);
    sim_client_open(&r->c, m->sim, sim_below(m->sim, m->loops));
    r->serial = sim_serial(m->sim, r->c.sock);
    r->c.asked = 2; /* a pipelined request may follow; only a refused one is answered */
    write_request(m, r);
    send_more(m, r, sim_chance(m->sim, 700) ? OUTBOX : 1 + sim_below(m->sim, 80));
    oracle_say(m, "reader %u comes", r->serial);
}

static void forget(struct reader *r)
{
    sim_client_finish(&r->c);
    r->used = false;
}

static void go(struct model *m, struct reader *r)
{
    if (r->cut)
        return;
    unsigned how = sim_below(m->sim, 4);
    oracle_say(m, "reader %u goes (%u)", r->serial, how);
    if (how == 0)
        sim_shutdown(m->sim, r->c.sock);
    else if (how == 1)
        sim_client_reset(&r->c);
    else
        sim_client_close(&r->c);
    r->out_at = r->out_len;
    r->cut = how != 0;
}

/* Whoever is gone on both sides makes room for others; what was on its way may still become a stream unless
 * the world is settled. */
static void bury(struct model *m, bool settled)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &m->readers[i];
        bool over = r->used && (!r->joined || r->left);
        if (over && !r->cut && !r->paused && (r->c.ended || r->c.broken)) {
            if (r->joined && r->c.ended && !r->c.finished && r->c.answer.chunked && r->greeted &&
                !sim_client_is_between(&r->c) && !r->c.broken)
                oracle_say(m, "reader %u ended without a last chunk", r->serial);
            forget(r);
        } else if (over && r->cut && (r->joined || settled)) {
            forget(r);
        }
    }
}

static void write_payload(struct model *m, unsigned number)
{
    unsigned size = sim_chance(m->sim, 30)    ? sim_below(m->sim, PAYLOAD)
                    : sim_chance(m->sim, 300) ? sim_below(m->sim, 2000)
                                              : sim_below(m->sim, 40);
    int n = snprintf(m->payload, sizeof(m->payload), "{ \"n\" : %u, \"x\":\"", number);
    memset(m->payload + n, 'x', size);
    memcpy(m->payload + n + size, "\"}", 3);
}

static enum tidings_target random_target(struct model *m, unsigned *key)
{
    enum tidings_target target = (enum tidings_target)sim_below(m->sim, 3);
    *key = sim_below(m->sim, target == TIDINGS_TO_CLIENT ? CLIENTS : TOPICS);
    return target;
}

static void publish(struct model *m)
{
    char name[16];
    unsigned number = ++m->numbers, key;
    enum tidings_target target = random_target(m, &key);
    const char *to = target == TIDINGS_TO_CLIENT ? oracle_clients[key] : oracle_topics[key];
    struct tidings_receipt receipt;
    snprintf(name, sizeof(name), "e%u", number);
    write_payload(m, number);
    const struct tidings_message message = {.target = target,
                                            .to = to,
                                            .to_len = strlen(to),
                                            .event = name,
                                            .event_len = strlen(name),
                                            .json = m->payload,
                                            .json_len = strlen(m->payload),
                                            .ttl = sim_chance(m->sim, 200) ? sim_below(m->sim, 3)
                                                                           : TIDINGS_TTL_DEFAULT};
    int rc = tidings_publish(m->hub, &message, &receipt);
    const struct published *e = &m->events[m->count - 1];
    if (rc != 0 || e->number != number || strcmp(e->id, receipt.id) != 0 ||
        e->connections != receipt.connections)
        oracle_fail(m, "the receipt of event %u is not what was logged (%d)", number, rc);
}

static void publish_over_http(struct model *m)
{
    char body[PAYLOAD + 256];
    unsigned number = ++m->numbers, key;
    enum tidings_target target = random_target(m, &key);
    if (m->publisher.answers < m->publisher_asked)
        return;
    write_payload(m, number);
    if (strlen(m->payload) > 3000)
        return;
    snprintf(body, sizeof(body), "{\"%s\":%s%s%s,\"event\":\"e%u\",\"payload\":%s}",
             target == TIDINGS_TO_ALL      ? "broadcast"
             : target == TIDINGS_TO_CLIENT ? "clientId"
                                           : "topic",
             target == TIDINGS_TO_ALL ? "" : "\"",
             target == TIDINGS_TO_ALL      ? "true"
             : target == TIDINGS_TO_CLIENT ? oracle_clients[key]
                                           : oracle_topics[key],
             target == TIDINGS_TO_ALL ? "" : "\"", number, m->payload);
    m->publisher_asked++;
    sim_client_notify(&m->publisher, body);
}

static void kick_over_http(struct model *m)
{
    struct reader *r = random_reader(m);
    if (!r || !oracle_listens(r) || r->dashboard || m->publisher.answers < m->publisher_asked)
        return;
    m->publisher_asked++;
    oracle_say(m, "kick of connection %s", r->connection);
    sim_client_askf(&m->publisher, "DELETE /api/sse/connections/%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    r->connection);
}

static void check_answer(struct model *m)
{
    char id[TIDINGS_ID_MAX + 1];
    uint64_t connections;
    struct sim_client *p = &m->publisher;
    unsigned before = p->answers;
    sim_client_read_all(p);
    if (p->wrong)
        oracle_fail(m, "the publisher: %s", p->wrong);
    if (p->answers == before)
        return;
    if (p->answer.status != 200 && p->answer.status != 404)
        oracle_fail(m, "the publisher was answered %d %s", p->answer.status, p->answer.body);
    if (!sim_json_text(p->answer.body, "id", id, sizeof(id)))
        return;
    for (size_t i = m->count; i-- > 0;)
        if (strcmp(m->events[i].id, id) == 0) {
            if (!sim_json_number(p->answer.body, "connections", &connections) ||
                connections != m->events[i].connections)
                oracle_fail(m, "the answer to event %u: %s", m->events[i].number, p->answer.body);
            return;
        }
    oracle_fail(m, "an answer to an event that was not published");
}

static void kick(struct model *m)
{
    unsigned client = sim_below(m->sim, CLIENTS), present = 0;
    uint32_t ban = sim_chance(m->sim, 300) ? 1 + sim_below(m->sim, 3) : 0;
    for (unsigned i = 0; i < READERS; i++)
        present +=
            oracle_listens(&m->readers[i]) && !m->readers[i].dashboard && m->readers[i].client == client;
    oracle_say(m, "kick of %s, ban %u", oracle_clients[client], ban);
    int rc = tidings_disconnect_client(m->hub, oracle_clients[client], ban);
    if (rc != (present || ban ? (int)present : TIDINGS_ENOENT))
        oracle_fail(m, "kicked %d of %u", rc, present);
    for (unsigned i = 0; i < READERS; i++)
        m->readers[i].kicked |=
            oracle_listens(&m->readers[i]) && !m->readers[i].dashboard && m->readers[i].client == client;
    if (ban) {
        m->banned_until[client] = sim_now(m->sim) + (uint64_t)ban * 1000;
        m->ever_banned[client] = true;
    }
}

static void change_limits(struct model *m)
{
    static const uint32_t sizes[] = {0, 1, 3, 20, 1000};
    struct tidings_config fresh = m->config;
    fresh.history_size = sizes[sim_below(m->sim, 5)];
    fresh.history_bytes = 1024 << sim_below(m->sim, 8);
    fresh.history_total_bytes = sim_chance(m->sim, 500) ? 4096 : 0;
    fresh.history_ttl = sim_chance(m->sim, 300) ? 500 : 300000;
    fresh.slow_reader = m->config.slow_reader;
    if (tidings_hub_reconfigure(m->hub, &fresh) != 0)
        oracle_fail(m, "the configuration was refused");
}

static void act_on_reader(struct model *m, unsigned what)
{
    struct reader *r = random_reader(m);
    if (!r)
        return;
    if (what == 0)
        send_more(m, r, 1 + sim_below(m->sim, 100));
    else if (what == 1)
        read_from(m, r, 1 + sim_below(m->sim, 600));
    else if (what == 2)
        r->paused = !r->paused;
    else
        go(m, r);
}

static void turn(struct model *m, unsigned count)
{
    while (count-- > 0)
        sim_turn(m->sim, sim_below(m->sim, m->loops));
}

static void settle(struct model *m)
{
    if (!sim_settle(m->sim))
        oracle_fail(m, "the loops turn for ever");
    for (unsigned i = 0; i < READERS; i++)
        if (oracle_listens(&m->readers[i]) && m->readers[i].kicked)
            oracle_fail(m, "reader %u was thrown out, but is still there", m->readers[i].serial);
    read_all(m);
    bury(m, true);
}

static void act(struct model *m)
{
    unsigned dice = sim_below(m->sim, 100);
    if (dice < 14)
        come(m);
    else if (dice < 40)
        for (unsigned n = sim_chance(m->sim, 60) ? sim_below(m->sim, 100) : sim_below(m->sim, 4); n > 0; n--)
            publish(m);
    else if (dice < 46)
        publish_over_http(m);
    else if (dice < 70)
        turn(m, 1 + sim_below(m->sim, 4));
    else if (dice < 73)
        settle(m);
    else if (dice < 89)
        act_on_reader(m, sim_chance(m->sim, 150) ? 3 : sim_below(m->sim, 3));
    else if (dice < 95)
        sim_advance(m->sim, sim_chance(m->sim, 200) ? sim_below(m->sim, 3000) : sim_below(m->sim, 200));
    else if (dice < 96)
        kick(m);
    else if (dice < 97)
        kick_over_http(m);
    else if (dice < 98)
        change_limits(m);
    else
        oracle_check_metrics(m);
}

/* ---- one interleaving ---- */

/* Another thread, in the middle of a turn. */
static void interrupt(void *user)
{
    struct model *m = user;
    if (m->count + 1 < EVENTS)
        publish(m);
    if (sim_chance(m->sim, 20))
        kick(m);
}

static void configure(struct model *m, struct sim_options *o)
{
    struct rng dice = {m->seed ^ 0x5eed};
    tidings_config_init(&m->config);
    m->loops = 1 + rng_below(&dice, 3);
    m->config.loops = m->loops;
    m->config.head_timeout = 3600000; /* time may jump inside a head; sim_http has the deadlines */
    m->config.max_connections = rng_below(&dice, 4) ? 1000 : 4;
    m->config.max_connections_per_client = rng_below(&dice, 4) ? 100 : 2;
    m->config.heartbeat = rng_below(&dice, 2) ? 200 : 15000;
    m->config.max_connection_age = rng_below(&dice, 4) ? 3600000 : 2000;
    m->config.history_size = rng_below(&dice, 3) ? 1000 : rng_below(&dice, 6);
    m->config.slow_reader = rng_below(&dice, 3) ? TIDINGS_SLOW_RESYNC : TIDINGS_SLOW_DISCONNECT;
    m->config.user = m;
    m->config.log = oracle_on_log;
    *o = (struct sim_options){.seed = m->seed, .loops = m->loops, .sockets = 16};
    o->down = rng_below(&dice, 2) ? 300 + rng_below(&dice, 4000) : 1u << 20;
    o->up = 8192;
    if (rng_below(&dice, 2))
        o->faults = (struct sim_faults){.short_read = (uint16_t)rng_below(&dice, 300),
                                        .short_write = (uint16_t)rng_below(&dice, 400),
                                        .again = (uint16_t)rng_below(&dice, 300),
                                        .delay = (uint16_t)rng_below(&dice, 300),
                                        .accept_error = (uint16_t)rng_below(&dice, 200)};
}

/* Everybody reads until nothing comes any more. */
static void let_everybody_read(struct model *m)
{
    uint64_t before = UINT64_MAX, after = 0;
    for (unsigned i = 0; i < READERS; i++)
        if (m->readers[i].used && !m->readers[i].cut) {
            m->readers[i].paused = false;
            send_more(m, &m->readers[i], OUTBOX);
        }
    for (unsigned rounds = 0; before != after && rounds < 100000; rounds++) {
        before = rounds == 0 ? UINT64_MAX : after;
        settle(m);
        read_all(m);
        check_answer(m);
        after = m->bytes;
    }
}

static void drain(struct model *m)
{
    m->draining = true;
    tidings_hub_drain(m->hub, 2000);
    for (unsigned i = 0; i < 30; i++) {
        if (!sim_pass(m->sim, 100, 0))
            oracle_fail(m, "the loops turn for ever");
        read_all(m);
    }
    for (unsigned i = 0; i < READERS; i++)
        if (oracle_listens(&m->readers[i]))
            oracle_fail(m, "reader %u is still there after the drain", m->readers[i].serial);
}

static void finish(struct model *m)
{
    *sim_faults(m->sim) = (struct sim_faults){0};
    sim_interrupt(m->sim, 0, NULL, NULL);
    let_everybody_read(m);
    oracle_check_readers(m);
    oracle_check_metrics(m);
    if (sim_chance(m->sim, 100)) {
        drain(m);
        let_everybody_read(m);
        oracle_check_readers(m);
    }
    for (unsigned i = 0; i < READERS; i++)
        if (m->readers[i].used) {
            if (sim_chance(m->sim, 300))
                sim_client_reset(&m->readers[i].c);
            sim_client_close(&m->readers[i].c);
            m->readers[i].cut = true;
        }
    sim_client_close(&m->publisher);
    settle(m);
    oracle_check_empty(m);
    oracle_check_counters(m);
    oracle_check_metrics(m);
    for (unsigned i = 0; i < READERS; i++)
        sim_client_finish(&m->readers[i].c);
    sim_client_finish(&m->publisher);
    tidings_hub_destroy(m->hub);
    if (sim_descriptors(m->sim))
        oracle_fail(m, "%u descriptors are open", sim_descriptors(m->sim));
    sim_destroy(m->sim);
}

static void run(struct model *m, uint64_t seed)
{
    struct sim_options options;
    memset(m, 0, sizeof(*m));
    m->seed = seed;
    configure(m, &options);
    m->sim = sim_create(&options);
    const struct hub_world world = sim_world(m->sim);
    if (hub_create_in(&m->hub, &m->config, &world) != 0 || sim_start(m->sim, m->hub) != 0)
        oracle_fail(m, "no hub");
    sim_client_open(&m->publisher, m->sim, sim_below(m->sim, m->loops));
    sim_interrupt(m->sim, sim_chance(m->sim, 500) ? sim_below(m->sim, 60) : 0, interrupt, m);
    for (m->step = 0; m->step < STEPS; m->step++) {
        act(m);
        if (sim_chance(m->sim, 400))
            read_all(m);
        check_answer(m);
        bury(m, false);
    }
    finish(m);
}

static uint64_t number_of(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : fallback;
}

int main(void)
{
    uint64_t runs = number_of("RUNS", SIM_SLOW ? RUNS_SLOW : RUNS_FULL);
    uint64_t first = number_of("SEED", 1), resyncs = 0, delivered = 0, published = 0;
    static struct model model;
    oracle_trace = getenv("TRACE") != NULL;
    if (getenv("SEED"))
        runs = number_of("RUNS", 1);
    for (uint64_t i = 0; i < runs; i++) {
        run(&model, first + i);
        resyncs += model.resyncs;
        delivered += model.delivered;
        published += model.count;
    }
    printf("%llu interleavings: %llu events published, %llu delivered, %llu resyncs\n",
           (unsigned long long)runs, (unsigned long long)published, (unsigned long long)delivered,
           (unsigned long long)resyncs);
    return 0;
}
