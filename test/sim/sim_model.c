/* SPDX-License-Identifier: MIT
 *
 * sim_model - the whole hub against a plain list. Clients come, go, stop reading and are thrown out while
 * events are published and time passes, on one to three loops that are turned in any order, on sockets that
 * do what sockets do, and limits and policies change. Some of them read compressed. The oracle is the list of
 * what was published, in the order in which the hub said so, and what each reader may expect of it:
 *
 *     every event that was published while it was joined, in order, once; nothing else; a gap only where it
 *     was told `__resync`, and then exactly that gap; no id ahead of what it was given;
 *
 *     when it comes again with its cursor, like a browser: all that was kept for it meanwhile, and before all
 *     of it the word whether something is missing, which is never wrong in either direction.
 *
 * Environment: SEED=n replays one interleaving, RUNS=n sets how many there are, TRACE=1 tells what happens.
 */
#include "sim_kept.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS     50
#define RUNS_FULL 100000
#define RUNS_SLOW 3000

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
    if (r->c.statuses[0] == 204 && (r->joined || !m->ever_banned[r->tab.client]))
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

/* ---- coming ---- */

static struct span cursor_name(struct model *m)
{
    static const char *const names[] = {"lastEventId", "last_event_id", "lastEventID"};
    return span_of(names[sim_below(m->sim, 3)]);
}

static size_t write_query(struct model *m, const struct reader *r, bool in_query, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < TOPICS; i++)
        if (r->tab.topics >> i & 1)
            n += (size_t)snprintf(out + n, cap - n, "&topic=%s", oracle_topics[i]);
    if (r->tab.topics & 1 && sim_chance(m->sim, 200)) /* the same once more */
        n += (size_t)snprintf(out + n, cap - n, "&topic=news");
    if (in_query)
        n += (size_t)snprintf(out + n, cap - n, "&%s=%s", cursor_name(m).p, r->ask.text);
    else if (r->ask.kind != ASK_NOTHING && sim_chance(m->sim, 100)) /* the header wins */
        n += (size_t)snprintf(out + n, cap - n, "&lastEventId=17");
    if (r->ask.last > 0)
        n += (size_t)snprintf(out + n, cap - n, "&replay=%llu", (unsigned long long)r->ask.last);
    if (r->ask.since > 0)
        n += (size_t)snprintf(out + n, cap - n, "&since=%llu", (unsigned long long)r->ask.since);
    if (n > 0)
        out[0] = '?';
    return n;
}

static void write_request(struct model *m, struct reader *r)
{
    char query[256] = "";
    bool asks = r->ask.kind != ASK_NOTHING, in_query = asks && sim_chance(m->sim, 300);
    if (!r->tab.dashboard)
        write_query(m, r, in_query, query, sizeof(query));
    r->zips = sim_chance(m->sim, 400);
    int n =
        snprintf(r->outbox, OUTBOX, "GET /api/sse/%s%s%s HTTP/1.%d\r\nHost: localhost\r\n%s%s%s%s%s\r\n%s",
                 r->tab.dashboard ? "admin/stream" : "subscribe/",
                 r->tab.dashboard ? "" : oracle_clients[r->tab.client], query, sim_chance(m->sim, 850),
                 sim_chance(m->sim, 900) ? "Accept: text/event-stream\r\n" : "",
                 r->zips ? "Accept-Encoding: gzip\r\n" : "", asks && !in_query ? "Last-Event-ID: " : "",
                 asks && !in_query ? r->ask.text : "", asks && !in_query ? "\r\n" : "",
                 sim_chance(m->sim, 50) ? "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" : "");
    r->out_len = (size_t)n;
}

static void ask_cursor(struct ask *a, const char *id)
{
    a->kind = ASK_CURSOR;
    a->seq = oracle_seq(id);
    size_t n = strnlen(id, sizeof(a->text) - 1);
    memcpy(a->text, id, n);
    a->text[n] = '\0';
}

static void ask_garbage(struct model *m, struct ask *a)
{
    static const char *const texts[] = {
        "17", "-", "00000000000-0000000005", "zzzzzzzzzzz-zzzzzzzzzz", "1h7ac9", "00000000000-000000000u"};
    a->kind = ASK_GARBAGE;
    snprintf(a->text, sizeof(a->text), "%s", texts[sim_below(m->sim, 6)]);
}

/* A place in this hub's own order: of some event, before all of them, or one that it has not reached. */
static void ask_place(struct model *m, struct ask *a)
{
    char id[TIDINGS_ID_MAX + 1];
    const struct log *log = hub_service(m->hub)->log;
    uint64_t seq = sim_chance(m->sim, 150) ? log->seq + 1 + sim_below(m->sim, 5)
                                           : sim_below(m->sim, (uint32_t)log->seq + 1);
    event_id(id, log->epoch, seq);
    ask_cursor(a, id);
}

static void ask_past(struct model *m, struct ask *a)
{
    if (sim_chance(m->sim, 600))
        a->last = 1 + sim_below(m->sim, 6);
    if (a->last == 0 || sim_chance(m->sim, 200))
        a->since = sim_wall(m->sim) - sim_below(m->sim, 2000);
}

static void choose_ask(struct model *m, struct reader *r)
{
    unsigned dice = sim_below(m->sim, 100);
    if (r->tab.dashboard)
        return;
    if (r->tab.known && dice < 97)
        ask_cursor(&r->ask, r->tab.cursor);
    else if (r->tab.known || dice < 8)
        ask_garbage(m, &r->ask);
    else if (dice < 20)
        ask_place(m, &r->ask);
    if (dice >= 20 && dice < 45) /* whoever has a cursor is not asked for more */
        ask_past(m, &r->ask);
}

static void come(struct model *m)
{
    struct reader *r = &m->readers[sim_below(m->sim, READERS)];
    if (r->used)
        return;
    struct tab tab = r->tab;
    memset(r, 0, sizeof(*r));
    r->used = true;
    if (tab.known && !tab.dashboard && sim_chance(m->sim, 800)) {
        r->tab = tab;
    } else {
        r->tab.client = sim_below(m->sim, CLIENTS);
        r->tab.topics = sim_chance(m->sim, 600) ? sim_below(m->sim, 1u << TOPICS) : 0;
        r->tab.dashboard = sim_chance(m->sim, 60);
    }
    choose_ask(m, r);
    sim_client_open(&r->c, m->sim, sim_below(m->sim, m->loops));
    r->serial = sim_serial(m->sim, r->c.sock);
    r->c.asked = 2; /* a pipelined request may follow; only a refused one is answered */
    write_request(m, r);
    send_more(m, r, sim_chance(m->sim, 700) ? OUTBOX : 1 + sim_below(m->sim, 80));
    oracle_say(m, "reader %u comes%s%s", r->serial, r->ask.kind ? " with " : "", r->ask.text);
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
    r->said_all |= how == 0;
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
            if (r->c.ended && r->greeted && r->zips && !r->c.z_ended && !r->said_all && !r->c.broken)
                oracle_fail(m, "reader %u: the compressed stream has no end", r->serial);
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

static uint32_t random_ttl(struct model *m)
{
    return sim_chance(m->sim, 250) ? sim_below(m->sim, 3) : TIDINGS_TTL_DEFAULT;
}

/* The name of an event says its number, and its ttl if it has one. */
static void write_name(char *out, size_t cap, unsigned number, uint32_t ttl)
{
    int n = snprintf(out, cap, "e%u", number);
    if (ttl != TIDINGS_TTL_DEFAULT)
        snprintf(out + n, cap - (size_t)n, ".%u", ttl);
}

static void publish(struct model *m)
{
    char name[24];
    if (m->count + 1 >= EVENTS)
        return;
    unsigned number = ++m->numbers, key;
    enum tidings_target target = random_target(m, &key);
    const char *to = target == TIDINGS_TO_CLIENT ? oracle_clients[key] : oracle_topics[key];
    struct tidings_receipt receipt;
    uint32_t ttl = random_ttl(m);
    write_name(name, sizeof(name), number, ttl);
    write_payload(m, number);
    const struct tidings_message message = {.target = target,
                                            .to = to,
                                            .to_len = strlen(to),
                                            .event = name,
                                            .event_len = strlen(name),
                                            .json = m->payload,
                                            .json_len = strlen(m->payload),
                                            .ttl = ttl};
    int rc = tidings_publish(m->hub, &message, &receipt);
    const struct published *e = &m->events[m->count - 1];
    if (rc != 0 || e->number != number || strcmp(e->id, receipt.id) != 0 ||
        e->connections != receipt.connections)
        oracle_fail(m, "the receipt of event %u is not what was logged (%d)", number, rc);
}

static void publish_over_http(struct model *m)
{
    static const char *const fields[] = {
        [TIDINGS_TO_CLIENT] = "clientId", [TIDINGS_TO_TOPIC] = "topic", [TIDINGS_TO_ALL] = "broadcast"};
    char body[PAYLOAD + 256], to[32] = "true", name[24], ttl_text[32] = "";
    unsigned number = ++m->numbers, key;
    enum tidings_target target = random_target(m, &key);
    uint32_t ttl = random_ttl(m);
    if (m->publisher.answers < m->publisher_asked || m->count + 1 >= EVENTS)
        return;
    write_payload(m, number);
    if (strlen(m->payload) > 3000)
        return;
    write_name(name, sizeof(name), number, ttl);
    if (target != TIDINGS_TO_ALL)
        snprintf(to, sizeof(to), "\"%.20s\"",
                 target == TIDINGS_TO_CLIENT ? oracle_clients[key] : oracle_topics[key]);
    if (ttl != TIDINGS_TTL_DEFAULT)
        snprintf(ttl_text, sizeof(ttl_text), "\"ttl\":%u,", ttl);
    snprintf(body, sizeof(body), "{\"%s\":%s,%s\"event\":\"%s\",\"payload\":%s}", fields[target], to,
             ttl_text, name, m->payload);
    m->publisher_asked++;
    sim_client_notify(&m->publisher, body);
}

static void kick_over_http(struct model *m)
{
    struct reader *r = random_reader(m);
    if (!r || !oracle_listens(r) || r->tab.dashboard || m->publisher.answers < m->publisher_asked)
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
        present += oracle_listens(&m->readers[i]) && !m->readers[i].tab.dashboard &&
                   m->readers[i].tab.client == client;
    oracle_say(m, "kick of %s, ban %u", oracle_clients[client], ban);
    int rc = tidings_disconnect_client(m->hub, oracle_clients[client], ban);
    if (rc != (present || ban ? (int)present : TIDINGS_ENOENT))
        oracle_fail(m, "kicked %d of %u", rc, present);
    for (unsigned i = 0; i < READERS; i++)
        m->readers[i].kicked |= oracle_listens(&m->readers[i]) && !m->readers[i].tab.dashboard &&
                                m->readers[i].tab.client == client;
    if (ban) {
        m->banned_until[client] = sim_now(m->sim) + (uint64_t)ban * 1000;
        m->ever_banned[client] = true;
    }
}

/* ---- limits ---- */

static const struct tidings_topic_policy policies[][2] = {
#define AS_HUB .history_size = TIDINGS_AUTO, .history_bytes = TIDINGS_AUTO, .history_ttl = TIDINGS_AUTO
    {{.pattern = "news", AS_HUB, .latest_only = true}, {.pattern = "nothing", AS_HUB}},
    {{.pattern = "*", AS_HUB, .latest_only = true}, {.pattern = "s*", AS_HUB}},
    {{.pattern = "w*", AS_HUB, .latest_only = true},
     {.pattern = "weather", .history_size = 3, .history_ttl = 400}},
    {{.pattern = "sport", .history_size = 0}, {.pattern = "news*", AS_HUB, .latest_only = true}},
#undef AS_HUB
};

static void choose_policies(struct rng *dice, struct tidings_config *c)
{
    unsigned set = rng_below(dice, 7); /* three of them: none */
    c->topic_policies = set < 4 ? policies[set] : NULL;
    c->topic_policy_count = set < 4 ? 2 : 0;
}

/* Limits that are reached. */
static void choose_limits(struct rng *dice, struct tidings_config *c)
{
    static const uint32_t sizes[] = {0, 1, 3, 20, 1000};
    c->history_size = sizes[rng_below(dice, 5)];
    c->history_bytes = rng_below(dice, 2) ? 1u << 20 : 1024u << rng_below(dice, 8);
    c->history_total_bytes = rng_below(dice, 3) ? 32u << 20 : 4096u << rng_below(dice, 4);
    c->history_ttl = rng_below(dice, 3) ? 300000 : 300 + rng_below(dice, 2000);
}

static void change_limits(struct model *m)
{
    struct rng dice = {sim_below(m->sim, UINT32_MAX)};
    struct tidings_config fresh = m->config;
    if (m->ample)
        return;
    choose_limits(&dice, &fresh);
    if (rng_below(&dice, 2))
        choose_policies(&dice, &fresh);
    kept_change(m);
    if (tidings_hub_reconfigure(m->hub, &fresh) != 0)
        oracle_fail(m, "the configuration was refused");
    m->config = fresh;
    oracle_say(m, "limits: %u events, %u bytes, %u ms, %llu bytes in all", fresh.history_size,
               fresh.history_bytes, fresh.history_ttl, (unsigned long long)fresh.history_total_bytes);
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
    else if (sim_chance(m->sim, 500)) { /* cut in the middle of something */
        read_from(m, r, 1 + sim_below(m->sim, 600));
        if (!r->cut)
            sim_client_reset(&r->c);
        r->out_at = r->out_len;
        r->cut = true;
    } else
        go(m, r);
}

static void turn(struct model *m, unsigned count)
{
    while (count-- > 0) {
        sim_turn(m->sim, sim_below(m->sim, m->loops));
        kept_look(m);
    }
}

static void settle(struct model *m)
{
    if (!sim_settle(m->sim))
        oracle_fail(m, "the loops turn for ever");
    kept_look(m);
    for (unsigned i = 0; i < READERS; i++)
        if (oracle_listens(&m->readers[i]) && m->readers[i].kicked)
            oracle_fail(m, "reader %u was thrown out, but is still there", m->readers[i].serial);
    read_all(m);
    bury(m, true);
}

static void check_slow(struct model *m)
{
    for (uint32_t i = 0; i < m->loops; i++) {
        const struct loop *l = &hub_service(m->hub)->loops[i];
        if (l->slow != sim_hub_count_slow(l))
            oracle_fail(m, "loop %u counts %u slow readers, not %u", i, l->slow, sim_hub_count_slow(l));
    }
}

static void pass_time(struct model *m)
{
    if (!m->ample && sim_chance(m->sim, 30))
        sim_advance(m->sim, 310000); /* nothing is as young as history wants it */
    else
        sim_advance(m->sim, sim_below(m->sim, sim_chance(m->sim, 200) ? 3000 : 200));
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
        pass_time(m);
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
    /* Time may jump inside a request; sim_http has the deadlines. */
    m->config.head_timeout = m->config.body_timeout = m->config.idle_timeout = 0;
    m->config.max_connections = rng_below(&dice, 4) ? 1000 : 4;
    m->config.max_connections_per_client = rng_below(&dice, 4) ? 100 : 2;
    m->config.heartbeat = rng_below(&dice, 2) ? 200 : 15000;
    m->config.max_connection_age = rng_below(&dice, 4) ? 3600000 : 2000;
    m->ample = rng_below(&dice, 3) == 0;
    if (!m->ample)
        choose_limits(&dice, &m->config);
    choose_policies(&dice, &m->config);
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
    memset(m, 0, offsetof(struct model, events));
    m->seed = seed;
    configure(m, &options);
    m->sim = sim_create(&options);
    const struct hub_world world = sim_world(m->sim);
    if (hub_create_in(&m->hub, &m->config, &world) != 0)
        oracle_fail(m, "no hub");
    kept_choose_hash(m);
    /* Few forms fit, or none that is not in use: history is then compressed anew for each reader. */
    if (sim_chance(m->sim, 500))
        hub_service(m->hub)->gzip->held_max = sim_below(m->sim, 3000);
    if (sim_start(m->sim, m->hub) != 0)
        oracle_fail(m, "the hub does not start");
    sim_client_open(&m->publisher, m->sim, sim_below(m->sim, m->loops));
    sim_interrupt(m->sim, sim_chance(m->sim, 500) ? sim_below(m->sim, 60) : 0, interrupt, m);
    for (m->step = 0; m->step < STEPS; m->step++) {
        act(m);
        check_slow(m);
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

/* What all runs together have come to: a model in which something never happens proves nothing of it. */
struct sums {
    uint64_t published, delivered, zipped, resyncs, resumed[3], from_history;
};

static void add(struct sums *s, const struct model *m)
{
    s->published += m->count;
    s->delivered += m->delivered;
    s->zipped += m->zipped;
    s->resyncs += m->resyncs;
    s->from_history += m->from_history;
    for (unsigned i = 0; i < 3; i++)
        s->resumed[i] += m->resumed[i];
}

int main(void)
{
    uint64_t runs = number_of("RUNS", SIM_SLOW ? RUNS_SLOW : RUNS_FULL);
    uint64_t first = number_of("SEED", 1);
    struct sums sums = {0};
    static struct model model;
    oracle_trace = getenv("TRACE") != NULL;
    if (getenv("SEED"))
        runs = number_of("RUNS", 1);
    for (uint64_t i = 0; i < runs; i++) {
        run(&model, first + i);
        add(&sums, &model);
    }
    printf("%llu interleavings: %llu events published, %llu delivered, %llu of them from history, %llu "
           "compressed; "
           "%llu resyncs; %llu came fresh, %llu were complete, %llu incomplete\n",
           (unsigned long long)runs, (unsigned long long)sums.published, (unsigned long long)sums.delivered,
           (unsigned long long)sums.from_history, (unsigned long long)sums.zipped,
           (unsigned long long)sums.resyncs, (unsigned long long)sums.resumed[RESUME_FRESH],
           (unsigned long long)sums.resumed[RESUME_COMPLETE],
           (unsigned long long)sums.resumed[RESUME_INCOMPLETE]);
    return 0;
}
