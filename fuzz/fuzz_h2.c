/* SPDX-License-Identifier: MIT
 *
 * fuzz_h2 - whole sessions of HTTP/2. The input is a small program that several peers carry out in the
 * simulated world: they send requests, frames of every kind, whole or cut, and raw bytes; they read or do
 * not, half-close, reset; events are published; time passes. Whatever they do, an honest reader beside them,
 * on a session of its own, is given every event once and in order; what any of them is sent is well-formed
 * (frames of legal size, on streams that were answered and have not ended, never more than the session's
 * window lets through); no session holds more than its limits allow; one that was told to go is gone soon;
 * and in the end nothing is left.
 *
 *     op = byte: low 4 bits what, next 2 bits who; then its arguments
 *       0 raw       length byte, then so many bytes of the input
 *       1 frame     type, flags, stream, length; payload of the input
 *       2 request   which, how it is framed
 *       3 data      stream, what
 *       4 window    stream, increment
 *       5 reset     stream, error
 *       6 settings  which, value
 *       7 small     PING, PRIORITY, GOAWAY, empty DATA, acknowledgement of SETTINGS
 *       8 flood     the last frame, so many times
 *       9 read      how many bytes
 *      10 end       half-close, close, reset, come again, with or without the preface
 *      11 publish   target and size
 *      12 time      how long
 *      13 faults    which and how often
 *      14 manage    kick, limits, drain, the end of the hub
 */
#include "h2_stream.h"
#include "sim_hub.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS     4
#define STREAMS   256 /* of a peer, that are watched */
#define FRAME_MAX 16384
#define ROOM      16384
#define WINDOW    65535 /* RFC 9113 section 6.9.2 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *p;
    size_t len;
};

enum stream_state { UNSEEN, ANSWERED, ENDED };

struct peer {
    uint32_t sock;
    nghttp2_hd_deflater *deflater;
    uint32_t next_id;
    bool shut;        /* our side is closed */
    bool bare;        /* its preface did not come, or too late: what it is answered is HTTP/1.1 */
    bool vague;       /* its bytes came from the input: nobody knows which windows it has opened */
    bool told;        /* to go: GOAWAY with an error */
    uint64_t window;  /* bytes of DATA that it has asked for */
    uint64_t carried; /* bytes of DATA that it was sent */
    uint8_t last[64]; /* the latest short frame */
    size_t last_len;
    uint8_t head[9]; /* of the frame that is being read */
    size_t head_len;
    uint32_t left; /* of its payload */
    uint8_t code[8];
    size_t code_len; /* the first bytes of that payload */
    bool first;      /* no frame was read */
    uint8_t streams[STREAMS];
};

struct honest {
    uint32_t sock;
    nghttp2_session *ng;
    char line[256];
    size_t line_len;
    uint64_t wanted; /* number of the next event */
    uint64_t last;   /* of those published */
    bool joined, cut;
};

struct world {
    struct sim_hub h;
    struct peer peers[PEERS];
    struct honest honest;
    bool abandoned;     /* the hub ends while they are connected */
    uint32_t unread_ms; /* time that has passed since the honest one could read */
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "fuzz_h2: %s\n", what);
    abort();
}

static uint8_t byte(struct input *in)
{
    if (in->len == 0)
        return 0;
    in->len--;
    return *in->p++;
}

static uint32_t word(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | byte(in);
    return value;
}

/* ---- the honest one ---- */

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static void take_line(struct honest *o)
{
    uint64_t number;
    o->line[o->line_len] = '\0';
    if (strncmp(o->line, "event: __resync", 15) == 0)
        fail("the honest reader was told that it is slow");
    if (strncmp(o->line, "event: __connected", 18) == 0)
        o->joined = true;
    if (strncmp(o->line, "data: {\"n\":", 11) != 0)
        return;
    if (!sim_json_number(o->line + 6, "n", &number) || number != o->wanted)
        fail("the honest reader was given something else");
    o->wanted++;
}

static int on_honest_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                          void *user)
{
    struct honest *o = user;
    (void)ng, (void)flags, (void)id;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            take_line(o);
            o->line_len = 0;
        } else if (o->line_len < sizeof(o->line) - 1) {
            o->line[o->line_len++] = (char)p[i];
        }
    }
    return 0;
}

static int on_honest_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    (void)ng, (void)user;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        fail("the honest reader's session was ended");
    return 0;
}

static int on_honest_invalid(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
    (void)ng, (void)frame, (void)error, (void)user;
    fail("a frame that is not as it must be");
}

/* The stream may only end when it was told to, and in good order if it reads. */
static int on_honest_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    struct honest *o = user;
    (void)ng, (void)id;
    if (!o->cut && error != NGHTTP2_NO_ERROR)
        fail("the honest reader was cut off");
    o->cut = true;
    return 0;
}

static void honest_write(struct world *w)
{
    const uint8_t *p;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(w->honest.ng, &p)) > 0)
        if (sim_send(w->h.sim, w->honest.sock, p, (size_t)n) != (size_t)n && !w->honest.cut)
            fail("the hub does not read the honest reader");
}

static void honest_open(struct world *w)
{
    struct honest *o = &w->honest;
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        fail("no memory");
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_honest_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_honest_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_honest_invalid);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_honest_close);
    const nghttp2_nv nv[] = {field(":method", "GET"), field(":scheme", "http"),
                             field(":authority", "localhost"), field(":path", "/api/sse/subscribe/honest")};
    if (nghttp2_session_client_new(&o->ng, cb, o) != 0 ||
        nghttp2_submit_settings(o->ng, NGHTTP2_FLAG_NONE, NULL, 0) != 0 ||
        nghttp2_submit_request(o->ng, NULL, nv, 4, NULL, NULL) < 0)
        fail("no memory");
    nghttp2_session_callbacks_del(cb);
    o->sock = sim_connect(w->h.sim, 0);
    honest_write(w);
}

static bool honest_read(struct world *w)
{
    uint8_t piece[4096];
    size_t n, all = 0;
    while ((n = sim_recv(w->h.sim, w->honest.sock, piece, sizeof(piece))) > 0) {
        all += n;
        if (nghttp2_session_mem_recv(w->honest.ng, piece, n) != (ssize_t)n)
            fail("the honest reader does not understand the hub");
    }
    if (all > 0)
        honest_write(w);
    return all > 0;
}

/* ---- what no session may hold ---- */

static void check_session(const struct loop *l, const struct conn *c)
{
    const struct h2_session *s = c->more->session;
    uint32_t count = 0, heads = 0;
    for (const struct h2_stream *at = s->streams; at; at = at->next) {
        count++;
        heads += at->head != NULL;
        if (at->conn && at->conn->state == CONN_CLOSED)
            fail("a stream whose connection is closed");
    }
    if (count != s->count || heads != s->heads)
        fail("a session that miscounts its streams");
    if (count > l->config.max_streams)
        fail("more streams than max-streams");
    if (s->listed || s->reading || s->sending || s->broken)
        fail("a session that was not brought to rest");
    if (c->io && c->io->out.len > H2_OUT_MAX + 2 * ROOM)
        fail("a session that holds more than it may");
}

static void check_loop(const struct loop *l)
{
    if (l->unsent)
        fail("a session with something to say");
    for (uint32_t base = 0; base < slab_end(&l->conns); base += SLAB_CHUNK) {
        const struct conn *chunk = slab_chunk_at(&l->conns, base);
        for (unsigned i = 0; chunk && i < SLAB_CHUNK; i++)
            if (chunk[i].state == CONN_SESSION)
                check_session(l, &chunk[i]);
    }
}

static void settle(struct world *w)
{
    do {
        if (!sim_settle(w->h.sim))
            fail("the loop turns for ever");
        check_loop(sim_hub_loop(&w->h, 0));
    } while (honest_read(w));
    w->unread_ms = 0;
}

/* Who reads nothing for user_timeout is not honest. */
static void pass(struct world *w, uint32_t ms)
{
    w->unread_ms += ms;
    if (w->unread_ms >= w->h.config.user_timeout) {
        settle(w);
        w->unread_ms = ms;
    }
    sim_advance(w->h.sim, ms);
}

/* ---- what the others are sent ---- */

static void take_head(struct peer *p)
{
    uint8_t type = p->head[3], flags = p->head[4];
    uint32_t id = (uint32_t)(p->head[5] & 0x7f) << 24 | (uint32_t)p->head[6] << 16 |
                  (uint32_t)p->head[7] << 8 | p->head[8];
    p->left = (uint32_t)p->head[0] << 16 | (uint32_t)p->head[1] << 8 | p->head[2];
    p->code_len = 0;
    p->bare = p->first && memcmp(p->head, "HTTP/1.1 ", 9) == 0;
    if (p->bare)
        return;
    if (p->first && (type != NGHTTP2_SETTINGS || flags & NGHTTP2_FLAG_ACK))
        fail("a session that does not begin with SETTINGS");
    p->first = false;
    if (p->left > FRAME_MAX || type > NGHTTP2_CONTINUATION || type == NGHTTP2_PUSH_PROMISE)
        fail("a frame that nobody has asked for");
    if (type == NGHTTP2_DATA)
        p->carried += p->left;
    if (!p->vague && p->carried > p->window)
        fail("more than the window lets through");
    bool of_stream = type == NGHTTP2_DATA || type == NGHTTP2_HEADERS || type == NGHTTP2_RST_STREAM;
    if (of_stream && id % 2 == 0)
        fail("a stream that nobody has opened");
    if (!of_stream || id / 2 >= STREAMS)
        return;
    uint8_t *state = &p->streams[id / 2];
    if (type != NGHTTP2_RST_STREAM && *state == ENDED)
        fail("a frame after the end of its stream");
    if (type == NGHTTP2_DATA && *state == UNSEEN)
        fail("a body without a head");
    if (type == NGHTTP2_HEADERS)
        *state = ANSWERED;
    if (type == NGHTTP2_RST_STREAM || flags & NGHTTP2_FLAG_END_STREAM)
        *state = ENDED;
}

static void take_frame(struct peer *p)
{
    static const uint8_t calm[4];
    if (p->head[3] == NGHTTP2_GOAWAY && p->code_len == 8 && memcmp(p->code + 4, calm, 4) != 0)
        p->told = true;
    p->head_len = 0;
}

static void parse(struct peer *p, const uint8_t *at, size_t n)
{
    while (n > 0 && !p->bare) {
        if (p->head_len < 9) {
            p->head[p->head_len++] = *at++;
            n--;
            if (p->head_len == 9)
                take_head(p);
        } else {
            size_t part = n < p->left ? n : p->left;
            for (size_t i = 0; i < part && p->code_len < sizeof(p->code); i++)
                p->code[p->code_len++] = at[i];
            p->left -= (uint32_t)part;
            at += part;
            n -= part;
        }
        if (p->head_len == 9 && p->left == 0)
            take_frame(p);
    }
}

static void read_some(struct world *w, struct peer *p, size_t n)
{
    uint8_t piece[4096];
    for (size_t got = 1; got > 0 && n > 0; n -= got) {
        got = sim_recv(w->h.sim, p->sock, piece, n < sizeof(piece) ? n : sizeof(piece));
        if (!p->bare)
            parse(p, piece, got);
    }
}

/* ---- what the others do ---- */

static void put(struct world *w, struct peer *p, const void *bytes, size_t n)
{
    if (!p->shut)
        sim_send(w->h.sim, p->sock, bytes, n);
}

static void put_frame(struct world *w, struct peer *p, uint8_t type, uint8_t flags, uint32_t id,
                      const uint8_t *payload, size_t n)
{
    uint8_t out[9 + 8192] = {0, (uint8_t)(n >> 8), (uint8_t)n, type, flags};
    for (unsigned i = 0; i < 4; i++)
        out[5 + i] = (uint8_t)(id >> (24 - 8 * i));
    if (n > 0)
        memcpy(out + 9, payload, n);
    put(w, p, out, 9 + n);
    if (type == NGHTTP2_WINDOW_UPDATE && id == 0 && n == 4)
        p->window += (uint32_t)(payload[0] & 0x7f) << 24 | (uint32_t)payload[1] << 16 |
                     (uint32_t)payload[2] << 8 | payload[3];
    if (9 + n <= sizeof(p->last)) {
        memcpy(p->last, out, 9 + n);
        p->last_len = 9 + n;
    }
}

static void close_peer(struct world *w, struct peer *p, bool reset)
{
    if (p->sock == SIM_NONE)
        return;
    reset ? sim_reset(w->h.sim, p->sock) : sim_close(w->h.sim, p->sock);
    nghttp2_hd_deflate_del(p->deflater);
    p->sock = SIM_NONE;
    p->deflater = NULL;
}

static void open_peer(struct world *w, struct peer *p, bool bare)
{
    memset(p, 0, sizeof(*p));
    p->sock = sim_connect(w->h.sim, 0);
    p->next_id = 1;
    p->window = WINDOW;
    p->first = true;
    p->bare = p->vague = bare;
    if (nghttp2_hd_deflate_new(&p->deflater, 4096) != 0)
        fail("no memory");
    if (bare)
        return;
    put(w, p, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    put_frame(w, p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void send_raw(struct world *w, struct peer *p, struct input *in)
{
    size_t n = byte(in);
    n = n < in->len ? n : in->len;
    p->vague = true;
    put(w, p, in->p, n);
    in->p += n;
    in->len -= n;
}

/* One of those that the peer has opened lately, or the session, or one that it has not. */
static uint32_t pick(const struct peer *p, uint8_t which)
{
    if (which == 0xff)
        return 0;
    if (which & 0x80)
        return p->next_id + (which & 0x7f);
    uint32_t back = 2 * (which & 0x1fu) + 2;
    return p->next_id > back ? p->next_id - back : 1;
}

static void send_frame(struct world *w, struct peer *p, struct input *in)
{
    uint8_t type = byte(in), flags = byte(in), which = byte(in);
    size_t n = byte(in);
    n = n < in->len ? n : in->len;
    uint32_t id = pick(p, which);
    if (type == NGHTTP2_HEADERS && id >= p->next_id)
        p->next_id = id + 2;
    put_frame(w, p, type, flags, id, in->p, n);
    in->p += n;
    in->len -= n;
}

/* Requests: method, path, and up to two more fields. */
static const char *const requests[][6] = {
    {"GET", "/api/sse/subscribe/eve?topic=t&topic=u"},
    {"GET", "/api/sse/subscribe/bob", "last-event-id", "7", "user-agent", "f"},
    {"GET", "/healthz", "cookie", "a=b", "cookie", "c=d"},
    {"POST", "/api/sse/notify", "content-type", "application/json"},
    {"POST", "/api/sse/notify", "content-type", "application/json", "content-length", "42"},
    {"POST", "/api/sse/notify/batch", "content-type", "application/x-ndjson"},
    {"POST", "/api/sse/notify/batch", "content-type", "application/json", "expect", "100-continue"},
    {"GET", "/api/sse/admin/stream"},
    {"GET", "/openapi.json", "accept-encoding", "gzip"},
    {"GET", "/metrics", "host", "localhost"},
    {"DELETE", "/api/sse/clients/eve"},
    {"HEAD", "/api/sse/subscribe/eve"},
    {"GET", "/api/sse/subscribe/eve", "accept-encoding", "gzip", "accept", "text/event-stream"},
    {"CONNECT", "/", "connection", "close"},
    {"OPTIONS", "*", "Origin", "http://localhost"},
    {"GET", "/nowhere", "x",
     "a value that is longer than the others, and that is sent again and again and again"},
};

#define LARGE 2000

/* A request's fields as a block of HPACK, and so often a large one, which is only sent once; returns its
 * length. */
static size_t write_fields(struct peer *p, uint8_t which, unsigned large, uint8_t *block, size_t room)
{
    static char value[LARGE + 1];
    const char *const *r = requests[which & 15];
    nghttp2_nv nv[6 + 15] = {field(":method", r[0]), field(":scheme", "http"),
                             field(":authority", "localhost"), field(":path", r[1])};
    size_t count = 4;
    for (unsigned i = 2; i < 6 && r[i]; i += 2)
        nv[count++] = field(r[i], r[i + 1]);
    memset(value, 'x', LARGE);
    while (large-- > 0)
        nv[count++] = field("y", value);
    ssize_t n = nghttp2_hd_deflate_hd(p->deflater, block, room, nv, count);
    if (n < 0)
        fail("HPACK");
    return (size_t)n;
}

/* how: bit 0 a body comes; 1 padding, which may be longer than the frame; 2 priority; 3 the rest in
 * CONTINUATION frames; 4 of 40 bytes, else of 1; 5 without the end of the head; 6 large fields; 7 on a
 * stream that is open, as if these were trailers. */
static void send_request(struct world *w, struct peer *p, struct input *in)
{
    uint8_t which = byte(in), how = byte(in), block[4096], frame[4096 + 16] = {0};
    size_t n = write_fields(p, which, how & 0x40 ? which >> 4 : 0, block, sizeof(block)),
           step = how & 16 ? 40 : 1, at = 0;
    size_t first = how & 8 && step < n ? step : n;
    uint32_t id = how & 0x80 ? pick(p, 0) : p->next_id;
    uint8_t flags = how & 1 ? 0 : NGHTTP2_FLAG_END_STREAM;
    p->next_id += how & 0x80 ? 0 : 2;
    if (first == n && !(how & 0x20))
        flags |= NGHTTP2_FLAG_END_HEADERS;
    if (how & 2) {
        flags |= NGHTTP2_FLAG_PADDED;
        frame[at++] = which >> 4;
    }
    if (how & 4) {
        flags |= NGHTTP2_FLAG_PRIORITY;
        at += 5;
    }
    memcpy(frame + at, block, first);
    at += first + (how & 2 ? which >> 4 & 7u : 0);
    put_frame(w, p, NGHTTP2_HEADERS, flags, id, frame, at);
    for (at = first; at < n; at += step) {
        size_t part = n - at < step ? n - at : step;
        bool last = at + part == n && !(how & 0x20);
        put_frame(w, p, NGHTTP2_CONTINUATION, last ? NGHTTP2_FLAG_END_HEADERS : 0, id, block + at, part);
    }
}

#define ITEM "{\"clientId\":\"eve\",\"event\":\"x\",\"payload\":1}" /* 42 bytes */

static void send_data(struct world *w, struct peer *p, struct input *in)
{
    static const char *const texts[] = {ITEM,
                                        ITEM "\n",
                                        "[" ITEM "," ITEM "]",
                                        "{\"x\":1}\n",
                                        "",
                                        "{\"clientId\":\"eve\"",
                                        ",\"event\":\"x\",\"payload\":[1]}\n",
                                        ITEM "\n" ITEM "\n" ITEM "\n"};
    uint32_t id = pick(p, byte(in));
    uint8_t what = byte(in), large[4096] = {0};
    const char *text = texts[what & 7];
    uint8_t end = what & 0x80 ? NGHTTP2_FLAG_END_STREAM : 0;
    memset(large, '1', sizeof(large));
    if (what & 0x40)
        put_frame(w, p, NGHTTP2_DATA, end, id, large, (what & 0x3fu) * 64u);
    else
        put_frame(w, p, NGHTTP2_DATA, end, id, (const uint8_t *)text, strlen(text));
}

static void send_word(struct world *w, struct peer *p, uint8_t type, uint32_t id, uint32_t value)
{
    const uint8_t payload[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                                (uint8_t)value};
    put_frame(w, p, type, 0, id, payload, 4);
}

static void send_settings(struct world *w, struct peer *p, struct input *in)
{
    uint8_t which = byte(in);
    uint32_t value = which & 0x80 ? word(in, 4) : byte(in);
    const uint8_t payload[6] = {0,
                                which & 0x0f,
                                (uint8_t)(value >> 24),
                                (uint8_t)(value >> 16),
                                (uint8_t)(value >> 8),
                                (uint8_t)value};
    put_frame(w, p, NGHTTP2_SETTINGS, 0, 0, payload, 6);
}

static void send_small(struct world *w, struct peer *p, struct input *in)
{
    static const uint8_t zeros[8];
    uint8_t arg = byte(in);
    switch (arg & 7) {
    case 0:
        put_frame(w, p, NGHTTP2_PING, arg & 8 ? NGHTTP2_FLAG_ACK : 0, 0, zeros, 8);
        break;
    case 1:
        put_frame(w, p, NGHTTP2_PRIORITY, 0, pick(p, arg >> 3), zeros, 5);
        break;
    case 2:
        put_frame(w, p, NGHTTP2_GOAWAY, 0, 0, zeros, 8);
        break;
    case 3:
        put_frame(w, p, NGHTTP2_DATA, 0, pick(p, arg >> 3), NULL, 0);
        break;
    case 4:
        put_frame(w, p, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, pick(p, arg >> 3), zeros, 1);
        break;
    default:
        put_frame(w, p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
        break;
    }
}

/* Bytes are repeated, not what they mean; of a window update that is the same. */
static void flood(struct world *w, struct peer *p, uint8_t times)
{
    uint8_t out[ROOM];
    size_t n = 0, want = (size_t)(times + 1) * 8;
    bool window = p->last_len == 13 && p->last[3] == NGHTTP2_WINDOW_UPDATE;
    for (; want > 0 && n + p->last_len <= sizeof(out); want--, n += p->last_len)
        memcpy(out + n, p->last, p->last_len);
    p->vague |= window;
    put(w, p, out, n);
}

static void end(struct world *w, struct peer *p, uint8_t how)
{
    if (how % 8 == 0) {
        if (!p->shut)
            sim_shutdown(w->h.sim, p->sock);
        p->shut = true;
        return;
    }
    close_peer(w, p, how & 1);
    open_peer(w, p, how % 8 == 7);
}

static void publish(struct world *w, uint8_t arg)
{
    static char json[3000];
    unsigned size = arg & 0x80 ? (arg & 0x7f) * 20u : arg & 0x1f;
    if (arg & 0x20) {
        tidings_send_event(w->h.hub, arg & 1 ? "bob" : "eve", "other", "[]", 2);
        return;
    }
    int n = snprintf(json, sizeof(json), "{\"n\":%llu,\"x\":\"%0*d\"}", (unsigned long long)w->honest.last,
                     size ? (int)size : 1, 0);
    int rc = arg & 0x40 ? tidings_broadcast(w->h.hub, "mine", json, (size_t)n)
                        : tidings_send_event(w->h.hub, "honest", "mine", json, (size_t)n);
    if (rc < !w->honest.cut)
        fail("the honest reader was not counted");
    w->honest.last++;
    settle(w); /* it reads at once, so that it is never slow */
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
    w->abandoned |= arg == 0xfe;
}

static void send_something(struct world *w, struct peer *p, uint8_t what, struct input *in)
{
    uint32_t id;
    switch (what) {
    case 0:
        send_raw(w, p, in);
        break;
    case 1:
        send_frame(w, p, in);
        break;
    case 2:
        send_request(w, p, in);
        break;
    case 3:
        send_data(w, p, in);
        break;
    case 4:
        id = pick(p, byte(in));
        send_word(w, p, NGHTTP2_WINDOW_UPDATE, id, word(in, 1 + (id & 2)) << (id == 0 ? 8 : 0));
        break;
    case 5:
        id = pick(p, byte(in));
        send_word(w, p, NGHTTP2_RST_STREAM, id, byte(in));
        break;
    case 6:
        send_settings(w, p, in);
        break;
    default:
        send_small(w, p, in);
        break;
    }
}

static void act(struct world *w, struct input *in)
{
    uint8_t op = byte(in), what = op & 15;
    struct peer *p = &w->peers[op >> 4 & 3];
    switch (what) {
    case 8:
        flood(w, p, byte(in));
        break;
    case 9:
        read_some(w, p, op & 0x40 ? 64 : SIZE_MAX);
        break;
    case 10:
        end(w, p, byte(in));
        break;
    case 11:
        publish(w, byte(in));
        break;
    case 12:
        pass(w, 1u << (byte(in) & 15));
        break;
    case 13:
        set_faults(w, byte(in));
        break;
    case 14:
        manage(w, byte(in));
        break;
    default:
        send_something(w, p, what & 7, in);
        break;
    }
    if (!(op & 0x80))
        settle(w);
    else if (op & 0x40)
        sim_turn(w->h.sim, 0);
}

/* ---- one world ---- */

static void begin(struct world *w)
{
    sim_hub_init(&w->h, 1);
    w->h.config.max_connection_age = 0;
    w->h.config.max_body = 8192;
    w->h.config.max_headers = 1024;
    w->h.config.max_request_line = 512;
    w->h.config.max_connections_per_client = 3;
    w->h.config.max_streams = 8;
    w->h.config.user_timeout = 40000; /* more than time passes at once */
    w->h.options.down = ROOM;
    w->h.options.up = ROOM;
    if (sim_hub_start(&w->h) != 0)
        fail("no hub");
    honest_open(w);
    settle(w);
    if (!w->honest.joined)
        fail("the honest reader could not join");
    for (unsigned i = 0; i < PEERS; i++)
        open_peer(w, &w->peers[i], false);
    settle(w);
}

/* Who was told to go, reads, and is still there after the time for that? */
static void check_told(struct world *w)
{
    bool told[PEERS];
    for (unsigned i = 0; i < PEERS; i++) {
        read_some(w, &w->peers[i], SIZE_MAX);
        told[i] = w->peers[i].told;
    }
    sim_advance(w->h.sim, CONN_LINGER_MS + 1000);
    settle(w);
    sim_advance(w->h.sim, CONN_LINGER_MS + 1000);
    settle(w);
    for (unsigned i = 0; i < PEERS; i++) {
        read_some(w, &w->peers[i], SIZE_MAX);
        if (told[i] && !sim_ended(w->h.sim, w->peers[i].sock) && !sim_was_reset(w->h.sim, w->peers[i].sock))
            fail("a session that was told to go is still there");
    }
}

static void finish(struct world *w)
{
    set_faults(w, 0);
    settle(w);
    check_told(w);
    if (w->honest.wanted != w->honest.last && !w->honest.cut)
        fail("the honest reader was not given everything");
    if (w->abandoned) {
        for (unsigned i = 0; i < PEERS; i++)
            nghttp2_hd_deflate_del(w->peers[i].deflater);
        nghttp2_session_del(w->honest.ng);
        sim_hub_finish(&w->h);
        return;
    }
    for (unsigned i = 0; i < PEERS; i++)
        close_peer(w, &w->peers[i], false);
    sim_close(w->h.sim, w->honest.sock);
    nghttp2_session_del(w->honest.ng);
    if (!sim_settle(w->h.sim))
        fail("the loop turns for ever");
    check_loop(sim_hub_loop(&w->h, 0));
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
