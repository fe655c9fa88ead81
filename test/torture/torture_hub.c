/* SPDX-License-Identifier: MIT
 *
 * torture_hub - the n-th allocation of the hub fails, for every n; then a few in a row; then every one from
 * the n-th on. One script of a whole life runs each time, in the simulated world:
 * create, connect, subscribe in all ways, publish in all ways, lists, details, a dashboard, kick, ban,
 * reconfigure, drain, destroy. Whatever fails may fail, but it says so:
 *
 *     an event that was acknowledged arrives at every reader that was there, unless its connection was cut or
 *     it was told `__resync`; counts are what they are; nothing hangs, nothing is left. What a reader of gzip
 *     is sent can be decoded to its last byte, with the end of a gzip stream if the stream was ended.
 *
 * Environment: N=n, TIMES=n and ROUGH=1 replay one, STEP=n tries only every n-th.
 */
#include "fault.h"
#include "sim_hub.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS 10
#define EVENTS  64
#define CONTROL 2

struct sent {
    char id[TIDINGS_ID_MAX + 1];
    enum tidings_target target;
    char to[16];
    uint64_t connections;
    unsigned order; /* of the moment */
};

struct reader {
    struct sim_client c;
    const char *client;
    bool topic; /* listens to "news" */
    bool dashboard;
    bool greeted;
    unsigned since; /* the moment at which it was seen to have joined */
    char got[EVENTS][TIDINGS_ID_MAX + 1];
    unsigned count;
    bool resynced;
};

struct world {
    long n, times;
    bool rough; /* sockets take and give only parts */
    struct sim_hub h;
    struct reader readers[READERS];
    unsigned reader_count;
    struct sim_client control[CONTROL];
    struct sent sent[EVENTS];
    unsigned sent_count;
    unsigned moment;
};

static struct world *the_world;

static _Noreturn void fail(const char *what, const char *detail)
{
    fault_disarm();
    fprintf(stderr, "torture_hub: N=%ld TIMES=%ld ROUGH=%d: %s%s%s\n", the_world->n, the_world->times,
            the_world->rough, what, detail ? ": " : "", detail ? detail : "");
    exit(1);
}

/* ---- readers ---- */

static void on_event(void *user, const struct sim_event *e)
{
    struct reader *r = user;
    if (strcmp(e->name, "__connected") == 0)
        r->greeted = true;
    else if (strcmp(e->name, "__resync") == 0)
        r->resynced = true;
    else if (strcmp(e->name, "note") == 0 && r->count < EVENTS)
        memcpy(r->got[r->count++], e->id, sizeof(r->got[0]));
}

static void settle(struct world *w)
{
    if (!sim_settle(w->h.sim))
        fail("the loops turn for ever", NULL);
    for (unsigned i = 0; i < w->reader_count; i++) {
        struct reader *r = &w->readers[i];
        sim_client_read_all(&r->c);
        if (r->c.undecoded || (r->c.wrong && !r->c.broken && !r->c.ended))
            fail("a reader", r->c.wrong);
        if (r->greeted && r->since == 0)
            r->since = w->moment;
    }
    for (unsigned i = 0; i < CONTROL; i++) {
        sim_client_read_all(&w->control[i]);
        if (w->control[i].wrong && !w->control[i].broken && !w->control[i].ended)
            fail("an answer", w->control[i].wrong);
    }
    w->moment++;
}

static void subscribe(struct world *w, const char *client, const char *query, bool zips)
{
    struct reader *r = &w->readers[w->reader_count++];
    *r = (struct reader){.client = client, .topic = strstr(query, "news") != NULL};
    sim_client_open(&r->c, w->h.sim, w->reader_count % w->h.config.loops);
    r->c.on_event = on_event;
    r->c.user = r;
    r->c.accepts_gzip = zips;
    sim_client_subscribe(&r->c, client, query, NULL);
}

static void dashboard(struct world *w)
{
    struct reader *r = &w->readers[w->reader_count++];
    *r = (struct reader){.client = "", .dashboard = true};
    sim_client_open(&r->c, w->h.sim, 0);
    r->c.on_event = on_event;
    r->c.user = r;
    sim_client_askf(&r->c, "GET /api/sse/admin/stream HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x\r\n\r\n");
}

static bool is_for(const struct sent *s, const struct reader *r)
{
    if (r->dashboard)
        return false;
    return s->target == TIDINGS_TO_ALL || (s->target == TIDINGS_TO_TOPIC && r->topic) ||
           (s->target == TIDINGS_TO_CLIENT && strcmp(s->to, r->client) == 0);
}

static bool is_here(const struct reader *r)
{
    return r->greeted && !r->c.ended && !r->c.broken && r->c.sock != SIM_NONE && !r->c.finished;
}

/* Every acknowledged event arrived where it was to arrive, in order, once. */
static void check_reader(const struct world *w, const struct reader *r)
{
    unsigned at = 0;
    for (unsigned i = 0; i < r->count; i++)
        if (i > 0 && strcmp(r->got[i - 1], r->got[i]) >= 0)
            fail("a reader was given events out of order", r->got[i]);
    if (!is_here(r) || r->resynced)
        return;
    for (unsigned i = 0; i < w->sent_count; i++) {
        const struct sent *s = &w->sent[i];
        if (!is_for(s, r) || s->order < r->since)
            continue;
        while (at < r->count && strcmp(r->got[at], s->id) < 0)
            at++;
        if (at == r->count || strcmp(r->got[at], s->id) != 0)
            fail("an acknowledged event did not arrive", s->id);
    }
}

/* ---- publishing ---- */

static uint64_t count_here(const struct world *w, const struct sent *s)
{
    uint64_t here = 0;
    for (unsigned i = 0; i < w->reader_count; i++)
        here += is_here(&w->readers[i]) && is_for(s, &w->readers[i]);
    return here;
}

static struct sent about(const struct world *w, enum tidings_target target, const char *to)
{
    struct sent s = {.target = target, .order = w->moment};
    snprintf(s.to, sizeof(s.to), "%s", to);
    return s;
}

/* before: readers when it was asked for. When memory was short, one of them may have been lost since. */
static void remember(struct world *w, const struct sent *asked, const char *id, uint64_t before,
                     uint64_t connections)
{
    struct sent *s = &w->sent[w->sent_count++];
    *s = *asked;
    s->connections = connections;
    snprintf(s->id, sizeof(s->id), "%s", id);
    if (connections > before || connections < count_here(w, s))
        fail("an event was handed to another number of connections than there are", id);
}

static void publish(struct world *w, enum tidings_target target, const char *to, const char *json)
{
    struct tidings_receipt receipt;
    const struct tidings_message m = {.target = target,
                                      .to = to,
                                      .to_len = strlen(to),
                                      .event = "note",
                                      .event_len = 4,
                                      .json = json,
                                      .json_len = strlen(json),
                                      .ttl = TIDINGS_TTL_DEFAULT};
    struct sent s = about(w, target, to);
    uint64_t before = count_here(w, &s);
    int rc = tidings_publish(w->h.hub, &m, &receipt);
    if (rc == 0)
        remember(w, &s, receipt.id, before, receipt.connections);
    else if (rc != TIDINGS_ENOMEM || !fault_hit())
        fail("a publish failed for another reason", tidings_strerror(rc));
    settle(w);
}

static struct sim_client *control(struct world *w, unsigned i)
{
    struct sim_client *c = &w->control[i];
    if (c->sock == SIM_NONE || c->ended || c->broken || !c->sim || c->answers < c->asked) {
        sim_client_finish(c);
        sim_client_open(c, w->h.sim, i % w->h.config.loops);
    }
    return c;
}

/* The answer to what was asked last; 0: none came, which only want of memory excuses. */
static int answer(struct world *w, struct sim_client *c)
{
    settle(w);
    if (c->answers == c->asked)
        return c->answer.status;
    if (!fault_hit())
        fail("no answer", NULL);
    return 0;
}

static void publish_over_http(struct world *w, unsigned i, enum tidings_target target, const char *to,
                              const char *json)
{
    char id[TIDINGS_ID_MAX + 1];
    uint64_t connections;
    struct sim_client *c = control(w, i);
    const struct sent s = about(w, target, to);
    uint64_t before = count_here(w, &s);
    sim_client_notify(c, json);
    int status = answer(w, c);
    if (status == 200) {
        if (!sim_json_text(c->answer.body, "id", id, sizeof(id)) ||
            !sim_json_number(c->answer.body, "connections", &connections))
            fail("an answer to a publish", c->answer.body);
        remember(w, &s, id, before, connections);
        w->moment = s.order + 1;
    } else if ((status != 0 && status != 503) || !fault_hit()) {
        fail("a publish was answered otherwise", c->answer.body);
    }
}

static void ask(struct world *w, unsigned i, const char *method, const char *path)
{
    struct sim_client *c = control(w, i);
    sim_client_askf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: torture\r\n\r\n", method, path);
    int status = answer(w, c);
    bool as_usual = status == 200 || (status == 404 && strstr(path, "/nowhere"));
    if (!as_usual && !(fault_hit() && (status == 0 || status == 404 || status == 503)))
        fail("an unexpected answer", c->answer.head);
    if (status == 200 && strstr(path, "/api/sse/metrics")) {
        uint64_t total;
        if (!sim_json_number(c->answer.body, "totalConnections", &total) ||
            total != tidings_total_connections(w->h.hub))
            fail("metrics", c->answer.body);
    }
}

/* ---- the script ---- */

static bool count_client(void *user, const struct tidings_client_info *client)
{
    *(uint64_t *)user += client->connections;
    return true;
}

static void publish_everything(struct world *w)
{
    publish(w, TIDINGS_TO_ALL, "", "{ \"a\" : [ 1, 2 ] }");
    publish(w, TIDINGS_TO_CLIENT, "ada", "\"x\"");
    publish(w, TIDINGS_TO_TOPIC, "news", "null");
    publish(w, TIDINGS_TO_CLIENT, "nobody", "1");
    publish_over_http(w, 0, TIDINGS_TO_ALL, "", "{\"broadcast\":true,\"event\":\"note\",\"payload\":1}");
    publish_over_http(w, 1, TIDINGS_TO_CLIENT, "ada",
                      "{\"clientId\":\"ada\",\"event\":\"note\",\"payload\":{\"k\":[]}}");
    publish_over_http(w, 0, TIDINGS_TO_TOPIC, "news",
                      "{\"topic\":\"news\",\"event\":\"note\",\"payload\":\"y\"}");
    for (unsigned i = 0; i < w->reader_count; i++)
        check_reader(w, &w->readers[i]);
}

static void look_at_everything(struct world *w)
{
    uint64_t sum = 0;
    ask(w, 0, "GET", "/api/sse/metrics");
    ask(w, 1, "GET", "/api/sse/clients?limit=2");
    ask(w, 0, "GET", "/api/sse/clients/ada");
    ask(w, 1, "GET", "/metrics");
    ask(w, 0, "GET", "/openapi.json");
    ask(w, 1, "GET", "/nowhere");
    ask(w, 0, "HEAD", "/healthz");
    if (tidings_get_connected_clients(w->h.hub, count_client, &sum) == 0 &&
        sum != tidings_total_connections(w->h.hub))
        fail("the list of clients is not complete", NULL);
}

static void pass(struct world *w, uint64_t ms)
{
    if (!sim_pass(w->h.sim, ms, 0))
        fail("the loops turn for ever", NULL);
    settle(w);
}

/* A body in chunks, sent in pieces, so that its buffer has to grow. */
static void send_large_body(struct world *w)
{
    char piece[2048];
    struct sim_client *c = control(w, 1);
    sim_client_askf(c,
                    "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    settle(w);
    int n = snprintf(piece, sizeof(piece), "3e8\r\n%01000d\r\n", 0);
    for (unsigned i = 0; i < 6 && !c->broken && !c->ended; i++) {
        sim_send(w->h.sim, c->sock, piece, (size_t)n);
        settle(w);
    }
    if (c->sock != SIM_NONE && !c->broken && !c->ended)
        sim_send(w->h.sim, c->sock, "0\r\n\r\n", 5);
    int status = answer(w, c);
    if (status != 0 && status != 400 && status != 503)
        fail("a body of zeros", c->answer.head);
}

static void kick(struct world *w)
{
    uint64_t here = 0;
    for (unsigned i = 0; i < w->reader_count; i++)
        here += is_here(&w->readers[i]) && strcmp(w->readers[i].client, "ada") == 0;
    int rc = tidings_disconnect_client(w->h.hub, "ada", 5);
    if (rc != TIDINGS_ENOMEM && rc != (int)here)
        fail("another number was disconnected", NULL);
    settle(w);
    for (unsigned i = 0; rc >= 0 && i < w->reader_count; i++)
        if (is_here(&w->readers[i]) && strcmp(w->readers[i].client, "ada") == 0)
            fail("somebody is still there who was said to be disconnected", NULL);
}

static void live(struct world *w)
{
    struct tidings_config config = w->h.config;
    subscribe(w, "ada", "?topic=news&name=Ada&topic=news&topic=sport", false);
    settle(w);
    dashboard(w);
    subscribe(w, "grace", "?topic=news", true);
    settle(w);
    subscribe(w, "ada", "", false);
    subscribe(w, "alan", "", true);
    settle(w);
    publish_everything(w);
    look_at_everything(w);
    subscribe(w, "alan", "?replay=4", true); /* what is compressed alone */
    pass(w, 1500);
    send_large_body(w);
    for (unsigned i = 0; i < w->reader_count; i++) /* who was cut comes again */
        if (!is_here(&w->readers[i]) && w->reader_count < READERS - 1)
            subscribe(w, "edsger", "?topic=news", w->reader_count % 2);
    settle(w);
    config.history_size = 3;
    tidings_hub_reconfigure(w->h.hub, &config);
    publish_everything(w);
    kick(w);
    subscribe(w, "ada", "", true);
    pass(w, 16000);
    publish_everything(w);
    ask(w, 0, "DELETE", "/api/sse/clients/grace?ban=5");
    tidings_hub_drain(w->h.hub, 2000);
    pass(w, 8000);
}

/* Without memory for the end of the stream nobody can say good-bye, but everybody goes. */
static void check_end(struct world *w)
{
    if (!fault_hit() && w->sent_count != 21)
        fail("the script did not run as written", NULL);
    for (unsigned i = 0; i < w->reader_count; i++) {
        if (is_here(&w->readers[i]))
            fail("somebody is still there after the drain", w->readers[i].client);
        sim_client_close(&w->readers[i].c);
    }
    for (unsigned i = 0; i < CONTROL; i++)
        if (w->control[i].sim)
            sim_client_close(&w->control[i]);
    if (!sim_settle(w->h.sim))
        fail("the loops turn for ever", NULL);
    const char *left = sim_hub_leftover(w->h.sim, w->h.hub);
    if (left)
        fail("something is left", left);
}

/* One life. Returns whether an allocation has failed. */
static bool run(struct world *w, long n, long times, bool rough, long *count)
{
    memset(w, 0, sizeof(*w));
    w->n = n;
    w->times = times;
    w->rough = rough;
    w->moment = 1;
    sim_hub_init(&w->h, 7);
    w->h.config.loops = 2;
    w->h.config.heartbeat = 1000;
    if (rough)
        w->h.options.faults = (struct sim_faults){.short_write = 500, .short_read = 300, .again = 300};
    fault_arm(n, times);
    int rc = sim_hub_start(&w->h);
    for (unsigned i = 0; i < CONTROL; i++)
        w->control[i].sock = SIM_NONE;
    if (rc == 0) {
        live(w);
        check_end(w);
    } else if (!fault_hit()) {
        fail("no hub", tidings_strerror(rc));
    }
    *count = fault_count();
    bool hit = fault_hit();
    fault_disarm();
    for (unsigned i = 0; i < READERS; i++)
        sim_client_finish(&w->readers[i].c);
    for (unsigned i = 0; i < CONTROL; i++)
        sim_client_finish(&w->control[i]);
    sim_hub_finish(&w->h);
    return hit;
}

static long number_of(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : fallback;
}

int main(void)
{
    static const long times[] = {1, 3, 20, LONG_MAX};
    static struct world world;
    long total, count, one = number_of("N", 0), step = number_of("STEP", 1), few = SIM_SLOW ? 7 * step : step;
    the_world = &world;
    if (one != 0) {
        run(&world, one, number_of("TIMES", 1), number_of("ROUGH", 0) != 0, &count);
        return 0;
    }
    run(&world, 0, 0, true, &total);
    run(&world, 0, 0, false, &total);
    for (unsigned i = 0; i < 2 * sizeof(times) / sizeof(times[0]); i++)
        for (long n = 1; run(&world, n, times[i / 2], i % 2, &count); n += i < 2 ? step : few)
            ;
    printf("%ld allocations: each failed alone, with its next ones, and with all behind it\n", total);
    return total > 100 ? 0 : 1;
}
