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
#include "sim_hub.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS   4
#define TOPICS    3
#define READERS   10
#define EVENTS    4096
#define STEPS     70
#define OUTBOX    1024
#define PAYLOAD   24000
#define RUNS_FULL 20000
#define RUNS_SLOW 1500

struct published {
    char id[TIDINGS_ID_MAX + 1];
    enum tidings_target target;
    unsigned key;
    unsigned number;
    uint64_t connections;
};

struct reader {
    bool used, joined, left, refused, paused, cut, dashboard, kicked;
    struct sim_client c;
    unsigned client, topics; /* topics: a mask */
    uint32_t serial;
    size_t from, to, next; /* in the list */
    char last[sizeof(((struct sim_event *)0)->id)];
    char connection[32];
    bool greeted, has_cursor;
    char outbox[OUTBOX];
    size_t out_len, out_at;
};

struct model {
    uint64_t seed;
    struct sim *sim;
    struct tidings_hub *hub;
    struct tidings_config config;
    uint32_t loops;
    struct published events[EVENTS];
    size_t count;
    unsigned numbers;
    struct reader readers[READERS];
    struct sim_client publisher;
    unsigned publisher_asked;
    uint64_t banned_until[CLIENTS];
    bool ever_banned[CLIENTS], draining;
    uint64_t joined, resyncs, delivered, bytes; /* bytes: read by readers */
    unsigned step;
    char payload[PAYLOAD + 64];
};

static bool trace;

static const char *const client_names[CLIENTS] = {"ada", "grace", "edsger", "barbara"};
static const char *const topic_names[TOPICS] = {"news", "sport", "weather"};

__attribute__((format(printf, 2, 3), noreturn)) static void fail(const struct model *m, const char *format,
                                                                 ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim_model: seed %llu, step %u: ", (unsigned long long)m->seed, m->step);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nreplay with SEED=%llu TRACE=1\n", (unsigned long long)m->seed);
    va_end(args);
    exit(1);
}

__attribute__((format(printf, 2, 3))) static void say(const struct model *m, const char *format, ...)
{
    va_list args;
    if (!trace)
        return;
    va_start(args, format);
    fprintf(stderr, "%5u @%llu  ", m->step, (unsigned long long)sim_now(m->sim));
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- the oracle ---- */

static bool is_for(const struct published *e, const struct reader *r)
{
    if (r->dashboard)
        return false;
    return e->target == TIDINGS_TO_ALL || (e->target == TIDINGS_TO_CLIENT && e->key == r->client) ||
           (e->target == TIDINGS_TO_TOPIC && r->topics >> e->key & 1);
}

static bool listens(const struct reader *r)
{
    return r->used && r->joined && !r->left;
}

/* The next event that the reader has to be given, or NULL. */
static const struct published *expected(const struct model *m, struct reader *r)
{
    size_t end = r->left ? r->to : m->count;
    while (r->next < end && !is_for(&m->events[r->next], r))
        r->next++;
    return r->next < end ? &m->events[r->next] : NULL;
}

static unsigned index_of(const struct model *m, const char *name, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    fail(m, "an unknown name: %s", name);
}

static struct reader *by_serial(struct model *m, uint32_t serial)
{
    for (unsigned i = 0; i < READERS; i++)
        if (m->readers[i].used && m->readers[i].serial == serial)
            return &m->readers[i];
    return NULL;
}

/* ---- what the hub says that it does ---- */

static const char *text_field(const struct tidings_log_record *record, const char *name)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return record->fields[i].text;
    return "";
}

static void on_publish(struct model *m, const struct tidings_log_record *record)
{
    struct published *e = &m->events[m->count];
    const char *target = text_field(record, "target"), *to = text_field(record, "to");
    if (m->count == EVENTS)
        fail(m, "too many events for this test");
    snprintf(e->id, sizeof(e->id), "%s", text_field(record, "id"));
    e->number = (unsigned)strtoul(text_field(record, "name") + 1, NULL, 10);
    e->connections = record->fields[4].number;
    e->target = target[0] == 'b' ? TIDINGS_TO_ALL : target[0] == 'c' ? TIDINGS_TO_CLIENT : TIDINGS_TO_TOPIC;
    if (e->target == TIDINGS_TO_CLIENT)
        e->key = index_of(m, to, client_names, CLIENTS);
    else if (e->target == TIDINGS_TO_TOPIC)
        e->key = index_of(m, to, topic_names, TOPICS);
    if (m->count > 0 && strcmp(e->id, m->events[m->count - 1].id) <= 0)
        fail(m, "ids do not increase: %s after %s", e->id, m->events[m->count - 1].id);
    uint64_t want = 0;
    for (unsigned i = 0; i < READERS; i++)
        want += listens(&m->readers[i]) && is_for(e, &m->readers[i]);
    if (e->connections != want)
        fail(m, "event %u was handed to %llu, not %llu", e->number, (unsigned long long)e->connections,
             (unsigned long long)want);
    m->count++;
    say(m, "published %u (%s %s) %s to %llu", e->number, target, to, e->id, (unsigned long long)want);
}

static void on_connect(struct model *m, const struct tidings_log_record *record)
{
    struct reader *r = by_serial(m, sim_serial_of(text_field(record, "address")));
    if (!r || r->joined)
        fail(m, "a stream nobody asked for");
    if (!r->dashboard && strcmp(client_names[r->client], text_field(record, "client")) != 0)
        fail(m, "joined as another client");
    if (!r->dashboard && m->banned_until[r->client] > sim_now(m->sim))
        fail(m, "joined in spite of a ban");
    if (m->draining)
        fail(m, "joined while draining");
    m->joined++;
    r->joined = true;
    r->from = r->next = m->count;
    snprintf(r->connection, sizeof(r->connection), "%s", text_field(record, "connection"));
    say(m, "reader %u joined as %s", r->serial, client_names[r->client]);
}

static void on_disconnect(struct model *m, const struct tidings_log_record *record)
{
    struct reader *r = by_serial(m, sim_serial_of(text_field(record, "address")));
    if (!r || !r->joined || r->left)
        fail(m, "the end of a stream that is not there");
    r->left = true;
    r->to = m->count;
    say(m, "reader %u left: %s", r->serial, text_field(record, "cause"));
}

static void on_refuse(struct model *m, const struct tidings_log_record *record)
{
    struct reader *r = by_serial(m, sim_serial_of(text_field(record, "address")));
    const char *reason = text_field(record, "reason");
    unsigned present = 0, all = 0;
    if (!r || r->joined || r->refused)
        fail(m, "a refusal of nobody");
    for (unsigned i = 0; i < READERS; i++)
        if (listens(&m->readers[i]) && !m->readers[i].dashboard) {
            present += m->readers[i].client == r->client;
            all++;
        }
    if (strcmp(reason, "max_connections_per_client") == 0) {
        if (present < m->config.max_connections_per_client)
            fail(m, "refused below the limit of a client");
    } else if (strcmp(reason, "max_connections") == 0) {
        if (all < m->config.max_connections)
            fail(m, "refused below the limit");
    } else if (strcmp(reason, "draining") != 0 || !m->draining) {
        fail(m, "refused for %s", reason);
    }
    r->refused = true;
    say(m, "reader %u refused: %s", r->serial, reason);
}

static void on_log(void *user, const struct tidings_log_record *record)
{
    static const struct {
        const char *event;
        void (*take)(struct model *m, const struct tidings_log_record *record);
    } takers[] = {{"publish", on_publish},
                  {"connect", on_connect},
                  {"disconnect", on_disconnect},
                  {"refuse", on_refuse}};
    for (unsigned i = 0; i < sizeof(takers) / sizeof(takers[0]); i++)
        if (strcmp(record->event, takers[i].event) == 0)
            takers[i].take(user, record);
}

/* ---- what readers see ---- */

struct model_reader {
    struct model *m;
    struct reader *r;
};

static void on_resync(struct model *m, struct reader *r, const struct sim_event *e)
{
    unsigned gap = 0;
    const struct published *x;
    if (m->config.slow_reader != TIDINGS_SLOW_RESYNC)
        fail(m, "reader %u: a resync in the wrong mode", r->serial);
    while ((x = expected(m, r)) && strcmp(x->id, e->id) <= 0) {
        r->next++;
        gap++;
    }
    if (gap == 0 && !r->dashboard)
        fail(m, "reader %u: a resync without a gap, %s", r->serial, e->id);
    m->resyncs++;
}

static void on_greeting(struct model *m, struct reader *r, const struct sim_event *e)
{
    char text[64];
    if (r->greeted || !r->joined)
        fail(m, "reader %u: greeted at the wrong time", r->serial);
    if (!r->dashboard && (!sim_json_text(e->data, "clientId", text, sizeof(text)) ||
                          strcmp(text, client_names[r->client]) != 0))
        fail(m, "reader %u: greeted as another", r->serial);
    if (!sim_json_text(e->data, "resume", text, sizeof(text)) ||
        strcmp(text, r->has_cursor ? "incomplete" : "fresh") != 0)
        fail(m, "reader %u: resume %s", r->serial, text);
    if (!sim_json_text(e->data, "connectionId", text, sizeof(text)) || strcmp(text, r->connection) != 0)
        fail(m, "reader %u: connection %s, not %s", r->serial, text, r->connection);
    if (r->from > 0 && strcmp(e->id, m->events[r->from - 1].id) < 0)
        fail(m, "reader %u: begins before its time", r->serial);
    if (r->from < m->count && strcmp(e->id, m->events[r->from].id) >= 0)
        fail(m, "reader %u: begins after its first event", r->serial);
    r->greeted = true;
}

static void on_published(struct model *m, struct reader *r, const struct sim_event *e)
{
    const struct published *x = expected(m, r);
    uint64_t number;
    if (!x)
        fail(m, "reader %u: %s %s, but nothing is to come", r->serial, e->name, e->id);
    if (strcmp(e->id, x->id) != 0)
        fail(m, "reader %u: %s %s instead of e%u %s", r->serial, e->name, e->id, x->number, x->id);
    if (!sim_json_number(e->data, "n", &number) || number != x->number ||
        strtoul(e->name + 1, NULL, 10) != x->number || e->data[e->data_len - 1] != '}')
        fail(m, "reader %u: %s is not what was published", r->serial, e->name);
    r->next++;
    m->delivered++;
}

static void on_event(void *user, const struct sim_event *e)
{
    struct model_reader *mr = user;
    struct model *m = mr->m;
    struct reader *r = mr->r;
    const struct published *x;
    if (strcmp(e->name, "__overloaded") == 0) {
        if (!r->refused || e->id[0])
            fail(m, "reader %u: overloaded without a refusal, or with an id", r->serial);
        return;
    }
    bool greeting = strcmp(e->name, "__connected") == 0;
    if (r->refused || (!greeting && !r->greeted))
        fail(m, "reader %u: %s before the greeting", r->serial, e->name);
    if (!e->id[0] && r->dashboard && strcmp(e->name, "stats") == 0)
        return; /* the first one, which only this dashboard is sent */
    if (strcmp(e->id, r->last) < 0 || (e->name[0] == 'e' && strcmp(e->id, r->last) == 0))
        fail(m, "reader %u: %s has id %s after %s", r->serial, e->name, e->id, r->last);
    if (greeting)
        on_greeting(m, r, e);
    else if (strcmp(e->name, "__resync") == 0)
        on_resync(m, r, e);
    else if (strcmp(e->name, "__heartbeat") == 0) {
        if ((x = expected(m, r)) && strcmp(x->id, e->id) <= 0)
            fail(m, "reader %u: a heartbeat at %s hides e%u %s", r->serial, e->id, x->number, x->id);
    } else if (e->name[0] == 'e') {
        on_published(m, r, e);
    } else if (!r->dashboard) {
        fail(m, "reader %u: an unknown event %s", r->serial, e->name);
    }
    if (e->id[0])
        memcpy(r->last, e->id, sizeof(r->last));
}

static void read_from(struct model *m, struct reader *r, size_t n)
{
    struct model_reader mr = {m, r};
    if (!r->used || r->cut)
        return;
    r->c.user = &mr;
    r->c.on_event = on_event;
    m->bytes += sim_client_read(&r->c, n);
    if (r->c.wrong)
        fail(m, "reader %u: %s", r->serial, r->c.wrong);
    if (r->c.statuses[0] == 204 && (r->joined || !m->ever_banned[r->client]))
        fail(m, "reader %u: told to stay away without a ban", r->serial);
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
                     topic_names[i]);
    if (r->topics & 1 && sim_chance(m->sim, 200)) /* the same once more */
        memcpy(query + strlen(query), "&topic=news", sizeof("&topic=news"));
    int n = snprintf(r->outbox, OUTBOX, "GET /api/sse/%s%s%s HTTP/1.%d\r\nHost: localhost\r\n%s%s\r\n%s",
                     r->dashboard ? "admin/stream" : "subscribe/",
                     r->dashboard ? "" : client_names[r->client], r->dashboard ? "" : query,
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
    say(m, "reader %u comes", r->serial);
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
    say(m, "reader %u goes (%u)", r->serial, how);
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
                say(m, "reader %u ended without a last chunk", r->serial);
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
    const char *to = target == TIDINGS_TO_CLIENT ? client_names[key] : topic_names[key];
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
        fail(m, "the receipt of event %u is not what was logged (%d)", number, rc);
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
             : target == TIDINGS_TO_CLIENT ? client_names[key]
                                           : topic_names[key],
             target == TIDINGS_TO_ALL ? "" : "\"", number, m->payload);
    m->publisher_asked++;
    sim_client_notify(&m->publisher, body);
}

static void kick_over_http(struct model *m)
{
    struct reader *r = random_reader(m);
    if (!r || !listens(r) || r->dashboard || m->publisher.answers < m->publisher_asked)
        return;
    m->publisher_asked++;
    say(m, "kick of connection %s", r->connection);
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
        fail(m, "the publisher: %s", p->wrong);
    if (p->answers == before)
        return;
    if (p->answer.status != 200 && p->answer.status != 404)
        fail(m, "the publisher was answered %d %s", p->answer.status, p->answer.body);
    if (!sim_json_text(p->answer.body, "id", id, sizeof(id)))
        return;
    for (size_t i = m->count; i-- > 0;)
        if (strcmp(m->events[i].id, id) == 0) {
            if (!sim_json_number(p->answer.body, "connections", &connections) ||
                connections != m->events[i].connections)
                fail(m, "the answer to event %u: %s", m->events[i].number, p->answer.body);
            return;
        }
    fail(m, "an answer to an event that was not published");
}

static void check_metrics(struct model *m)
{
    struct tidings_connection_metrics metrics;
    bool present[CLIENTS] = {false};
    uint64_t connections = 0, clients = 0;
    for (unsigned i = 0; i < READERS; i++)
        if (listens(&m->readers[i]) && !m->readers[i].dashboard) {
            connections++;
            clients += !present[m->readers[i].client];
            present[m->readers[i].client] = true;
        }
    tidings_get_connection_metrics(m->hub, &metrics);
    if (metrics.total_connections != connections || metrics.total_clients != clients)
        fail(m, "metrics say %llu/%llu, not %llu/%llu", (unsigned long long)metrics.total_connections,
             (unsigned long long)metrics.total_clients, (unsigned long long)connections,
             (unsigned long long)clients);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (tidings_has_client_connections(m->hub, client_names[i]) != present[i])
            fail(m, "has_client_connections(%s) is wrong", client_names[i]);
}

static void kick(struct model *m)
{
    unsigned client = sim_below(m->sim, CLIENTS), present = 0;
    uint32_t ban = sim_chance(m->sim, 300) ? 1 + sim_below(m->sim, 3) : 0;
    for (unsigned i = 0; i < READERS; i++)
        present += listens(&m->readers[i]) && !m->readers[i].dashboard && m->readers[i].client == client;
    say(m, "kick of %s, ban %u", client_names[client], ban);
    int rc = tidings_disconnect_client(m->hub, client_names[client], ban);
    if (rc != (present || ban ? (int)present : TIDINGS_ENOENT))
        fail(m, "kicked %d of %u", rc, present);
    for (unsigned i = 0; i < READERS; i++)
        m->readers[i].kicked |=
            listens(&m->readers[i]) && !m->readers[i].dashboard && m->readers[i].client == client;
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
        fail(m, "the configuration was refused");
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
        fail(m, "the loops turn for ever");
    for (unsigned i = 0; i < READERS; i++)
        if (listens(&m->readers[i]) && m->readers[i].kicked)
            fail(m, "reader %u was thrown out, but is still there", m->readers[i].serial);
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
        check_metrics(m);
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
    m->config.max_connections = rng_below(&dice, 4) ? 1000 : 4;
    m->config.max_connections_per_client = rng_below(&dice, 4) ? 100 : 2;
    m->config.heartbeat = rng_below(&dice, 2) ? 200 : 15000;
    m->config.max_connection_age = rng_below(&dice, 4) ? 3600000 : 2000;
    m->config.history_size = rng_below(&dice, 3) ? 1000 : rng_below(&dice, 6);
    m->config.slow_reader = rng_below(&dice, 3) ? TIDINGS_SLOW_RESYNC : TIDINGS_SLOW_DISCONNECT;
    m->config.user = m;
    m->config.log = on_log;
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

static void check_readers(struct model *m)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &m->readers[i];
        if (!r->used || r->cut)
            continue;
        const struct published *x = expected(m, r);
        if (listens(r) && x)
            fail(m, "reader %u was never given e%u %s", r->serial, x->number, x->id);
        if (listens(r) && !r->greeted)
            fail(m, "reader %u was never greeted", r->serial);
        if (!r->joined && !r->refused && !r->c.ended && !r->c.broken && r->c.statuses[0] != 204)
            fail(m, "reader %u was never answered", r->serial);
    }
}

static void check_empty(struct model *m)
{
    const char *left = sim_hub_leftover(m->sim, m->hub);
    if (left)
        fail(m, "%s: something is left", left);
}

static uint64_t counter(const struct model *m, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->loops; i++)
        sum += *(_Atomic uint64_t *)(void *)((char *)&hub_service(m->hub)->loops[i].stats + offset);
    return sum;
}

#define COUNTER(field) counter(m, offsetof(struct stats, field))

/* What is counted agrees with what has happened. */
static void check_counters(struct model *m)
{
    uint64_t closed = 0, published = 0, handed = 0;
    for (size_t i = 0; i < m->count; i++)
        handed += m->events[i].connections;
#define MODEL_CLOSED(name, field, text) closed += COUNTER(field);
    CLOSE_CAUSE_MAP(MODEL_CLOSED)
#undef MODEL_CLOSED
    const struct registry *reg = hub_service(m->hub)->registry;
    for (unsigned kind = CHANNEL_ALL; kind <= CHANNEL_TOPIC; kind++)
        published += reg->published[kind];
    if (COUNTER(streams_opened) != m->joined || closed != m->joined)
        fail(m, "%llu streams were opened, %llu closed, not %llu",
             (unsigned long long)COUNTER(streams_opened), (unsigned long long)closed,
             (unsigned long long)m->joined);
    if (published != m->count)
        fail(m, "%llu events were published, not %zu", (unsigned long long)published, m->count);
    /* The last bytes of an event's frame come after the event: a connection may be cut between the two. */
    if (COUNTER(delivered) + m->joined < m->delivered || COUNTER(delivered) > handed ||
        COUNTER(resyncs) < m->resyncs)
        fail(m, "%llu deliveries were counted: received %llu, handed over %llu",
             (unsigned long long)COUNTER(delivered), (unsigned long long)m->delivered,
             (unsigned long long)handed);
}

static void drain(struct model *m)
{
    m->draining = true;
    tidings_hub_drain(m->hub, 2000);
    for (unsigned i = 0; i < 30; i++) {
        if (!sim_pass(m->sim, 100, 0))
            fail(m, "the loops turn for ever");
        read_all(m);
    }
    for (unsigned i = 0; i < READERS; i++)
        if (listens(&m->readers[i]))
            fail(m, "reader %u is still there after the drain", m->readers[i].serial);
}

static void finish(struct model *m)
{
    *sim_faults(m->sim) = (struct sim_faults){0};
    sim_interrupt(m->sim, 0, NULL, NULL);
    let_everybody_read(m);
    check_readers(m);
    check_metrics(m);
    if (sim_chance(m->sim, 100)) {
        drain(m);
        let_everybody_read(m);
        check_readers(m);
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
    check_empty(m);
    check_counters(m);
    check_metrics(m);
    for (unsigned i = 0; i < READERS; i++)
        sim_client_finish(&m->readers[i].c);
    sim_client_finish(&m->publisher);
    tidings_hub_destroy(m->hub);
    if (sim_descriptors(m->sim))
        fail(m, "%u descriptors are open", sim_descriptors(m->sim));
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
        fail(m, "no hub");
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
    trace = getenv("TRACE") != NULL;
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
