/* SPDX-License-Identifier: MIT
 *
 * fuzz_conn - whole connections. The input is a small program that several clients carry out in the simulated
 * world: they send bytes, read, fall silent, half-close, reset; events are published; time passes. Whatever
 * they do, an honest subscriber beside them is given every event once and in order, every answer that any of
 * them gets is well-formed, the loops come to rest, and in the end nothing is left.
 *
 *     op = byte: low 3 bits what, next 3 bits who; then its arguments
 *       0 send      length byte, then so many bytes of the input
 *       1 template  one of the requests below, cut or whole; with the second highest bit one about batches
 *       2 read      how many bytes
 *       3 end       half-close, close, reset, come again
 *       4 publish   target and size
 *       5 time      how long
 *       6 faults    which and how often
 *       7 manage    kick, ban, drain, limits
 */
#include "sim_hub.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 8
#define ROOM    3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t len;
};

struct honest {
    struct sim_client c;
    uint64_t wanted; /* number of the next event */
    uint64_t last;   /* of those published */
    char id[TIDINGS_ID_MAX + 1];
    bool cut; /* it was told to go */
};

struct world {
    struct sim_hub h;
    struct sim_client clients[CLIENTS];
    bool shut[CLIENTS], strange[CLIENTS];
    struct honest honest;
    uint64_t topic_events;
};

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define POST(more)                                                                                           \
    "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" more "\r\n\r\n"
#define SUBSCRIBE   "GET /api/sse/subscribe/"
#define BATCH(more) "POST /api/sse/notify/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: " more "\r\n\r\n"
#define ITEM        "{\"clientId\":\"eve\",\"event\":\"x\",\"payload\":1}" /* 42 bytes */

/* partial: what follows belongs to the same request, or to nobody knows what. */
struct sample {
    const char *text;
    bool partial;
};

static const struct sample templates[] = {
    {GET("/healthz"), false},
    {SUBSCRIBE "eve?topic=t&topic=u&name=E HTTP/1.1\r\nHost: localhost\r\nUser-Agent: f\r\n\r\n", false},
    {SUBSCRIBE "bob HTTP/1.0\r\nLast-Event-ID: 7\r\n\r\n", false},
    {POST("Content-Length: 45") "{\"topic\":\"t\",\"event\":\"x\",\"payload\":{\"a\":1.0}}", false},
    {POST("Expect: 100-continue\r\nTransfer-Encoding: chunked") "11\r\n{\"clientId\":\"eve\"\r\n", true},
    {"1d\r\n,\"event\":\"x\",\"payload\":[1,2]}\r\n0\r\n\r\n", true},
    {GET("/api/sse/clients?limit=3"), false},
    {GET("/api/sse/clients/eve"), false},
    {GET("/api/sse/admin/stream"), false},
    {"DELETE /api/sse/clients/eve HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
    {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", false},
    {"HEAD /api/sse/subscribe/eve HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
    {POST("Content-Length: 8000"), true},
    {GET("/openapi.json"), false},
    {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", false},
    {SUBSCRIBE "eve HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", false},
};

static const struct sample batches[] = {
    {BATCH("application/json\r\nContent-Length: 97") "[" ITEM ",{\"x\":1}," ITEM "]  ", false},
    {BATCH("application/x-ndjson\r\nTransfer-Encoding: chunked"), true},
    {"2b\r\n" ITEM "\n\r\n", true},
    {"1\r\n\n\r\n", true},
    {"0\r\n\r\n", true},
    {BATCH("application/x-ndjson\r\nContent-Length: 95") ITEM "\n\r\n{\"x\":1}\n" ITEM, false},
    {"15\r\n" ITEM "\r\n", true},
    {BATCH("application/json\r\nTransfer-Encoding: chunked") "2c\r\n[" ITEM ",\r\n", true},
    {POST("Idempotency-Key: \"k\"\r\nContent-Length: 42") ITEM, false},
    {POST("Content-Length: 61") "{\"topic\":\"t\",\"event\":\"x\",\"payload\":[],\"idempotencyKey\":\"k\"}  ",
     false},
    {BATCH("application/x-ndjson\r\nExpect: 100-continue\r\nContent-Length: 86"), true},
    {"POST /api/sse/notify/batch HTTP/1.0\r\nContent-Type: application/x-ndjson\r\nContent-Length: "
     "86\r\n\r\n" ITEM,
     true},
    {BATCH("application/json\r\nContent-Length: 45") "[" ITEM ",]", false},
    {BATCH("application/x-ndjson\r\nConnection: close\r\nTransfer-Encoding: chunked") "2b\r\n" ITEM
                                                                                      "\n\r\n0\r\n\r\n",
     false},
    {BATCH("application/x-ndjson\r\nContent-Length: 7000"), true},
    {ITEM "\n" ITEM "\n" ITEM "\n", true},
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "fuzz_conn: %s\n", what);
    abort();
}

static uint8_t byte(struct input *in)
{
    if (in->len == 0)
        return 0;
    in->len--;
    return *in->p++;
}

/* ---- the honest one ---- */

static void on_honest_event(void *user, const struct sim_event *e)
{
    struct honest *o = user;
    uint64_t number;
    if (e->name[0] == '_') {
        if (strcmp(e->name, "__resync") == 0)
            fail("the honest subscriber was told that it is slow");
        if (e->id[0] && strcmp(e->id, o->id) < 0)
            fail("an id goes back");
        return;
    }
    if (strcmp(e->name, "mine") != 0 || strcmp(e->id, o->id) <= 0 ||
        !sim_json_number(e->data, "n", &number) || number != o->wanted)
        fail("the honest subscriber was given something else");
    o->wanted++;
    memcpy(o->id, e->id, sizeof(o->id));
}

static void settle(struct world *w)
{
    do {
        if (!sim_settle(w->h.sim))
            fail("the loops turn for ever");
        sim_client_read_all(&w->honest.c);
    } while (sim_waiting(w->h.sim, w->honest.c.sock) > 0);
    if (w->honest.c.wrong)
        fail(w->honest.c.wrong);
    if (w->honest.c.finished) /* somebody among the others has thrown it out, in good order */
        w->honest.cut = true;
}

static void settle_all(struct world *w)
{
    uint64_t before;
    do {
        before = w->honest.c.bytes;
        settle(w);
    } while (w->honest.c.bytes != before);
}

/* ---- the others ---- */

/* Answers of whoever sent bytes of the input are well-formed too, but nobody knows to which methods. */
static void read_some(struct world *w, unsigned who, size_t n)
{
    char piece[512];
    struct sim_client *c = &w->clients[who];
    if (w->strange[who]) {
        for (size_t got = 1; got > 0 && n > 0; n -= got) {
            got = sim_recv(w->h.sim, c->sock, piece, n < sizeof(piece) ? n : sizeof(piece));
            c->bytes += got;
        }
        return;
    }
    sim_client_read(c, n);
    if (c->wrong)
        fail(c->wrong);
}

static void open_client(struct world *w, unsigned who)
{
    sim_client_finish(&w->clients[who]);
    sim_client_open(&w->clients[who], w->h.sim, who % w->h.config.loops);
    w->shut[who] = w->strange[who] = false;
}

static void send_bytes(struct world *w, unsigned who, struct input *in)
{
    size_t n = byte(in);
    n = n < in->len ? n : in->len;
    w->strange[who] = true;
    if (!w->shut[who])
        sim_send(w->h.sim, w->clients[who].sock, in->p, n);
    in->p += n;
    in->len -= n;
}

static void send_template(struct world *w, unsigned who, struct input *in, const struct sample *list)
{
    uint8_t arg = byte(in), which = arg & 15;
    const char *text = list[which].text;
    size_t n = strlen(text);
    if (arg & 0x80)
        n = n * (arg & 0x70) / 0x80;
    if (arg & 0x80 || list[which].partial)
        w->strange[who] = true;
    if (w->shut[who])
        return;
    if (sim_client_ask(&w->clients[who], text, n) != n)
        w->strange[who] = true;
    if (w->clients[who].asked > SIM_CLIENT_ASKED / 2)
        open_client(w, who);
}

static void end(struct world *w, unsigned who, uint8_t how)
{
    if (how % 4 == 0 && !w->shut[who])
        sim_shutdown(w->h.sim, w->clients[who].sock);
    else if (how % 4 == 1)
        sim_client_close(&w->clients[who]);
    else if (how % 4 == 2)
        sim_client_reset(&w->clients[who]);
    w->shut[who] = true;
    if (how % 4 != 0)
        open_client(w, who);
}

static void publish(struct world *w, uint8_t arg)
{
    char json[ROOM + 64];
    unsigned size = arg & 0x80 ? (arg & 0x7f) * 20u : arg & 0x1f;
    if (arg & 0x20) {
        static const char *const clients[] = {"eve", "bob"};
        tidings_send_event(w->h.hub, clients[arg & 1], "other", "[]", 2);
        return;
    }
    int n = snprintf(json, sizeof(json), "{\"n\":%llu,\"x\":\"%0*d\"}", (unsigned long long)w->honest.last,
                     size ? (int)size : 1, 0);
    int rc = arg & 0x40 ? tidings_broadcast(w->h.hub, "mine", json, (size_t)n)
                        : tidings_send_event(w->h.hub, "honest", "mine", json, (size_t)n);
    if (rc < !w->honest.cut)
        fail("the honest subscriber was not counted");
    w->honest.last++;
    settle_all(w); /* it reads at once, so that it is never slow */
}

static void set_faults(struct world *w, uint8_t arg)
{
    uint16_t often = (uint16_t)((arg >> 4) * 30);
    *sim_faults(w->h.sim) = (struct sim_faults){.short_read = arg & 1 ? often : 0,
                                                .short_write = arg & 2 ? often : 0,
                                                .again = arg & 4 ? often : 0,
                                                .delay = arg & 8 ? often : 0};
}

static void manage(struct world *w, uint8_t arg)
{
    struct tidings_config config = w->h.config;
    if (arg % 8 < 3) {
        tidings_disconnect_client(w->h.hub, arg & 8 ? "eve" : "bob", arg >> 4);
    } else if (arg % 8 < 7) {
        config.heartbeat = 10u << (arg >> 5);
        config.slow_reader = arg & 16 ? TIDINGS_SLOW_RESYNC : TIDINGS_SLOW_DISCONNECT;
        config.history_size = arg & 8 ? 1000 : 200;
        tidings_hub_reconfigure(w->h.hub, &config);
    } else if (arg == 0xff && !w->honest.cut) {
        tidings_hub_drain(w->h.hub, 500);
        w->honest.cut = true;
    }
}

static void act(struct world *w, struct input *in)
{
    uint8_t op = byte(in);
    unsigned who = op >> 3 & 7;
    switch (op & 7) {
    case 0:
        send_bytes(w, who, in);
        break;
    case 1:
        send_template(w, who, in, op & 0x40 ? batches : templates);
        break;
    case 2:
        read_some(w, who, op & 0x40 ? 64 : SIZE_MAX);
        break;
    case 3:
        end(w, who, byte(in));
        break;
    case 4:
        publish(w, byte(in));
        break;
    case 5:
        sim_advance(w->h.sim, 1u << (byte(in) & 15));
        break;
    case 6:
        set_faults(w, byte(in));
        break;
    default:
        manage(w, byte(in));
        break;
    }
    if (op & 0x80)
        sim_turn(w->h.sim, who % w->h.config.loops);
    else
        settle_all(w);
}

/* ---- one world ---- */

static void begin(struct world *w)
{
    sim_hub_init(&w->h, 1);
    w->h.config.loops = 2;
    w->h.config.max_connection_age = 0;
    w->h.config.max_body = 8192;
    w->h.config.max_headers = 1024;
    w->h.config.max_request_line = 512;
    w->h.config.max_connections_per_client = 3;
    w->h.options.down = ROOM;
    w->h.options.up = 16384;
    if (sim_hub_start(&w->h) != 0)
        fail("no hub");
    sim_client_open(&w->honest.c, w->h.sim, 1);
    w->honest.c.on_event = on_honest_event;
    w->honest.c.user = &w->honest;
    sim_client_subscribe(&w->honest.c, "honest", "", NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        open_client(w, i);
    settle_all(w);
    if (tidings_total_connections(w->h.hub) != 1)
        fail("the honest subscriber could not join");
}

static void finish(struct world *w)
{
    set_faults(w, 0);
    settle_all(w);
    if (w->honest.wanted != w->honest.last && !w->honest.cut)
        fail("the honest subscriber was not given everything");
    if (!w->honest.cut && (w->honest.c.ended || w->honest.c.broken))
        fail("the honest subscriber was cut off");
    for (unsigned i = 0; i < CLIENTS; i++) {
        read_some(w, i, SIZE_MAX);
        sim_client_finish(&w->clients[i]);
    }
    sim_client_finish(&w->honest.c);
    if (!sim_settle(w->h.sim))
        fail("the loops turn for ever");
    const char *left = sim_hub_leftover(w->h.sim, w->h.hub);
    if (left)
        fail(left);
    sim_hub_finish(&w->h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct input in = {data, size < 4096 ? size : 4096};
    memset(&w, 0, sizeof(w));
    begin(&w);
    while (in.len > 0)
        act(&w, &in);
    finish(&w);
    return 0;
}
