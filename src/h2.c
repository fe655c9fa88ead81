/* SPDX-License-Identifier: MIT
 *
 * h2 - see h2.h.
 *
 *     recv ──► nghttp2 ──► h2_stream: requests, bodies ──► connections that are carried
 *     send ◄── io->out ◄── h2_pump ◄── nghttp2 ◄── h2_stream: answers, events
 *
 * Frames collect in the buffer of the connection and leave once a turn, however many streams had something to
 * say. While the socket is full no stream is served: each stays where it is in the log, so a peer that does
 * not read pins H2_OUT_MAX bytes here, whatever it has subscribed to. Streams that found no room in the
 * session wait in line for it (serve_waiting()); those whose own window is closed wait for nothing but that.
 *
 * What a peer may not do without end: leave a head incomplete (head_timeout), keep an empty session
 * (idle_timeout), send frames that cost us work and carry nothing (`credit`; PING, SETTINGS, PRIORITY,
 * WINDOW_UPDATE, RST_STREAM, empty DATA), open streams only to have them reset (`resets`), send heads in many
 * CONTINUATION frames (nghttp2's own limit), or more fields than the limits allow.
 *
 * Deliberately not here: nghttp2's own limit of resets. It counts those of streams that have lived, too, and
 * a proxy that carries many honest readers resets one for each reader that leaves.
 */
#include "h2.h"

#include "deliver.h"
#include "h2_stream.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PREFACE NGHTTP2_CLIENT_MAGIC

#define CREDIT_START  1000
#define CREDIT_SECOND 100 /* that come back each second, up to CREDIT_START */
#define RESET_START   500 /* streams that the peer had reset before they were answered, or by its fault */
#define RESET_SECOND  50
#define CONTINUATIONS 32
#define SETTINGS_MAX  32
#define ACKS_MAX      256
#define WINDOW        (1 << 20) /* of the whole session; each stream's is 65,535 */

enum h2_preface h2_look(const char *p, size_t n)
{
    size_t have = n < sizeof(PREFACE) - 1 ? n : sizeof(PREFACE) - 1;
    if (memcmp(p, PREFACE, have) != 0)
        return H2_NONE;
    return have == sizeof(PREFACE) - 1 ? H2_WHOLE : H2_PART;
}

/* ---- what nghttp2 tells us; all run while bytes are taken in, or framed ---- */

static struct h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(ng, id) : NULL;
}

/* The session must end for this, as soon as nghttp2 is not on the stack; for callbacks to return. */
static int give_up(struct h2_session *s, uint32_t error)
{
    if (s->error == NGHTTP2_NO_ERROR)
        s->error = error;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int too_much(struct h2_session *s)
{
    if (s->error == NGHTTP2_NO_ERROR)
        stats_add(&s->loop->stats.h2_floods, 1);
    return give_up(s, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Takes one of what may be done `start` times at once, and `second` times more each second. */
static bool spend(const struct h2_session *s, struct h2_allowance *a, uint32_t start, uint32_t second)
{
    uint32_t now = (uint32_t)s->loop->now;
    uint64_t gained = (uint64_t)(now - a->at) * second / 1000;
    if (gained > 0) {
        a->at = now;
        if (a->left < start)
            a->left = gained > start - a->left ? start : a->left + (uint32_t)gained;
    }
    if (a->left == 0)
        return false;
    a->left--;
    return true;
}

static int spend_credit(struct h2_session *s)
{
    return spend(s, &s->credit, CREDIT_START, CREDIT_SECOND) ? 0 : too_much(s);
}

static int spend_reset(struct h2_session *s)
{
    return spend(s, &s->resets, RESET_START, RESET_SECOND) ? 0 : too_much(s);
}

static bool is_free(const nghttp2_frame_hd *hd)
{
    return hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION ||
           (hd->type == NGHTTP2_DATA && (hd->length > 0 || hd->flags & NGHTTP2_FLAG_END_STREAM));
}

/* HEADERS on a stream that has ended, or was passed over (RFC 9113 section 5.1.1). nghttp2 skips them,
 * because they may be trailers that have crossed a RST_STREAM of ours: so may those up to `spoiled`. */
static bool is_late(const struct h2_session *s, const nghttp2_frame_hd *hd)
{
    return hd->type == NGHTTP2_HEADERS && hd->stream_id % 2 == 1 && hd->stream_id <= s->last_id &&
           hd->stream_id > s->spoiled && !nghttp2_session_find_stream(s->ng, hd->stream_id);
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    (void)ng;
    struct h2_session *s = user;
    if (is_late(s, hd))
        return give_up(s, NGHTTP2_STREAM_CLOSED);
    if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0) /* RFC 9113 section 6.3 */
        return give_up(s, NGHTTP2_PROTOCOL_ERROR);
    return is_free(hd) ? 0 : spend_credit(s);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    s->last_id = frame->hd.stream_id;
    s->idle = false;
    if (s->heads == 0)
        s->head_deadline = (uint32_t)s->loop->now + s->loop->config.head_timeout;
    struct h2_stream *stream = h2_stream_open(s, frame->hd.stream_id);
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, stream) == 0)
        return 0;
    h2_stream_drop(stream, CLOSE_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    (void)flags;
    struct h2_stream *stream = stream_of(ng, frame->hd.stream_id);
    if (!stream || h2_stream_field(stream, (struct span){(const char *)name, name_len},
                                   (struct span){(const char *)value, value_len}))
        return 0;
    return too_much(user);
}

/* A larger initial window opens those of all streams. */
static void blocked_may_go_on(struct h2_session *s)
{
    for (struct h2_stream *at = s->streams; at; at = at->next)
        if (at->conn && at->conn->flags & CONN_BLOCKED)
            conn_list(s->loop, at->conn);
}

/* That of the session is looked at by the flush that follows whatever came in. */
static void on_window(struct h2_session *s, struct h2_stream *stream)
{
    if (stream && stream->conn && stream->conn->flags & CONN_BLOCKED)
        conn_list(s->loop, stream->conn);
}

/* A DATA frame that is nothing but padding. */
static bool is_hollow(const nghttp2_frame *frame)
{
    return frame->hd.length > 0 && frame->hd.length == frame->data.padlen &&
           !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = stream_of(ng, frame->hd.stream_id);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (stream && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            h2_stream_asked(stream, ends);
        else if (stream && ends)
            h2_stream_ended(stream);
        break;
    case NGHTTP2_DATA:
        if (stream && ends)
            h2_stream_ended(stream);
        return is_hollow(frame) ? spend_credit(s) : 0;
    case NGHTTP2_RST_STREAM:
        return stream && !stream->heard ? spend_reset(s) : 0;
    case NGHTTP2_WINDOW_UPDATE:
        on_window(s, stream);
        break;
    case NGHTTP2_SETTINGS:
        s->greeted = true;
        blocked_may_go_on(s);
        break;
    default:
        break;
    }
    return 0;
}

/* A stream was refused before it became one. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
    (void)ng, (void)error;
    struct h2_session *s = user;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.stream_id > s->spoiled)
        s->spoiled = frame->hd.stream_id;
    return 0;
}

/* Is it the peer's fault that we reset a stream? */
static bool is_peers_fault(uint32_t error)
{
    return error != NGHTTP2_NO_ERROR && error != NGHTTP2_CANCEL && error != NGHTTP2_INTERNAL_ERROR;
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *stream = stream_of(ng, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && stream)
        stream->heard = stream->answered;
    if (frame->hd.type != NGHTTP2_RST_STREAM)
        return 0;
    if (frame->hd.stream_id > s->spoiled)
        s->spoiled = frame->hd.stream_id;
    /* A peer that has us do the resetting is no better than one that does it (CVE-2025-8671). */
    if (is_peers_fault(frame->rst_stream.error_code))
        spend_reset(s);
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    (void)flags, (void)user;
    struct h2_stream *stream = stream_of(ng, id);
    /* The session's window is given back at once: a stream whose body is not taken holds up nobody else. */
    nghttp2_session_consume_connection(ng, n);
    if (stream)
        h2_stream_data(stream, (const char *)p, n);
    else
        nghttp2_session_consume_stream(ng, id, n);
    return 0;
}

/* A browser that closes a stream says CANCEL; NO_ERROR is what is left of one that is complete. */
static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    (void)user;
    struct h2_stream *stream = stream_of(ng, id);
    bool orderly = error == NGHTTP2_NO_ERROR || error == NGHTTP2_CANCEL;
    if (stream)
        h2_stream_drop(stream, orderly ? CLOSE_CLIENT : CLOSE_RESET);
    return 0;
}

/* ---- making one ---- */

/* nghttp2's memory hangs on its session and is freed with it, whatever nghttp2 believes to hold: where memory
 * has failed it may hold too much (1.52 frees a body twice that it could not queue). Such a session ends. */
struct h2_block {
    _Alignas(max_align_t) struct h2_block *next;
    struct h2_block *prev;
};

static void *hang(struct h2_session *s, struct h2_block *b)
{
    b->prev = NULL;
    b->next = s->memory;
    if (b->next)
        b->next->prev = b;
    s->memory = b;
    return b + 1;
}

static struct h2_block *unhang(struct h2_session *s, void *p)
{
    struct h2_block *b = (struct h2_block *)p - 1;
    if (b->next)
        b->next->prev = b->prev;
    if (b->prev)
        b->prev->next = b->next;
    else
        s->memory = b->next;
    return b;
}

static void *no_memory(struct h2_session *s)
{
    s->broken = true;
    return NULL;
}

static void *take_memory(size_t n, void *user)
{
    struct h2_block *b = malloc(sizeof(*b) + n);
    return b ? hang(user, b) : no_memory(user);
}

static void give_memory(void *p, void *user)
{
    if (p)
        free(unhang(user, p));
}

static void *take_zeroed(size_t n, size_t size, void *user)
{
    void *p = take_memory(n * size, user);
    return p ? memset(p, 0, n * size) : NULL;
}

static void *change_memory(void *p, size_t n, void *user)
{
    struct h2_block *before = p ? unhang(user, p) : NULL;
    struct h2_block *b = realloc(before, sizeof(*b) + n);
    if (b)
        return hang(user, b);
    if (before)
        hang(user, before);
    return no_memory(user);
}

static void free_memory(struct h2_session *s)
{
    for (struct h2_block *b = s->memory, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    s->memory = NULL;
}

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, h2_stream_put_data);
    return cb;
}

static nghttp2_option *make_options(void)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
    nghttp2_option_set_max_settings(o, SETTINGS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX); /* see above */
    nghttp2_option_set_max_continuations(o, CONTINUATIONS);
    nghttp2_option_set_no_closed_streams(o, 1);
    return o;
}

static int make_nghttp2(struct h2_session *s)
{
    nghttp2_mem memory = {s, take_memory, give_memory, take_zeroed, change_memory};
    nghttp2_session_callbacks *cb = make_callbacks();
    nghttp2_option *options = make_options();
    int rc = cb && options ? nghttp2_session_server_new3(&s->ng, cb, s, options, &memory) : -1;
    if (cb)
        nghttp2_session_callbacks_del(cb);
    if (options)
        nghttp2_option_del(options);
    return rc;
}

static int greet(struct h2_session *s)
{
    const struct tidings_config *config = &s->loop->config;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->max_streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, config->max_request_line + config->max_headers},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
    int rc = nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, entries, 3);
    return rc ? rc : nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, WINDOW);
}

/* The connection is being closed. */
static void closing(struct loop *l, struct conn *c, enum close_cause cause)
{
    struct h2_session *s = c->more->session;
    s->broken = s->reading = true; /* nothing is taken out of it any more */
    for (struct h2_session **at = &l->unsent; s->listed && *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    while (s->streams)
        h2_stream_drop(s->streams, cause);
    free_memory(s);
    free(s);
}

static struct h2_session *make(struct loop *l, struct conn *c)
{
    struct h2_session *s = conn_more(c) ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    s->loop = l;
    s->conn = c;
    s->credit = (struct h2_allowance){CREDIT_START, (uint32_t)l->now};
    s->resets = (struct h2_allowance){RESET_START, (uint32_t)l->now};
    if (make_nghttp2(s) != 0) {
        free_memory(s);
        free(s);
        return NULL;
    }
    c->more->session = s;
    c->more->closing = closing;
    return s;
}

/* ---- its life ---- */

static void fail(struct loop *l, struct conn *c)
{
    conn_close(l, c, CLOSE_ERROR, true);
}

/* Nothing more is taken in; what is framed is still sent. */
static void end(struct h2_session *s)
{
    struct loop *l = s->loop;
    struct conn *c = s->conn;
    while (s->streams)
        h2_stream_drop(s->streams, CLOSE_CLIENT);
    conn_set_state(c, CONN_ENDING);
    conn_set_deadline(l, c, CONN_LINGER_MS);
    conn_list(l, c);
}

static void limit_time(struct h2_session *s)
{
    const struct tidings_config *config = &s->loop->config;
    struct conn *c = s->conn;
    if (!s->greeted)
        return; /* the deadline of the connection's first head holds */
    if (s->heads > 0 && config->head_timeout > 0) {
        int32_t left = (int32_t)(s->head_deadline - (uint32_t)s->loop->now);
        conn_set_deadline(s->loop, c, left > 0 ? (uint32_t)left : 1);
        s->idle = false;
    } else if (s->count > 0) {
        conn_set_deadline(s->loop, c, 0);
        s->idle = false;
    } else if (!s->idle) { /* once: PING is no request */
        conn_set_deadline(s->loop, c, config->idle_timeout);
        s->idle = true;
    }
}

/* After bytes were taken in or sent: what follows from the session's state. */
static void settle(struct h2_session *s)
{
    if (s->error != NGHTTP2_NO_ERROR && !s->broken) {
        nghttp2_session_terminate_session(s->ng, s->error);
        h2_pump(s);
    }
    if (s->broken)
        fail(s->loop, s->conn);
    else if (!nghttp2_session_want_read(s->ng) && !nghttp2_session_want_write(s->ng))
        end(s);
    else
        limit_time(s);
}

/* nghttp2 takes nothing more. */
static void gave_up(struct h2_session *s, ssize_t error)
{
    if (error == NGHTTP2_ERR_FLOODED || error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        too_much(s);
    else if (error == NGHTTP2_ERR_NOMEM || (error == NGHTTP2_ERR_CALLBACK_FAILURE && !s->error))
        s->broken = true;
    else
        give_up(s, NGHTTP2_PROTOCOL_ERROR);
}

static void take_in(struct h2_session *s, const char *p, size_t n)
{
    s->reading = true;
    ssize_t rc = nghttp2_session_mem_recv(s->ng, (const uint8_t *)p, n);
    s->reading = false;
    if (rc < 0)
        gave_up(s, rc);
    h2_pump(s);
    h2_list(s);
    settle(s);
}

void h2_begin(struct loop *l, struct conn *c, const char *p, size_t n)
{
    struct h2_session *s = make(l, c);
    conn_set_state(c, CONN_SESSION);
    c->protocol = CONN_HTTP2;
    stats_add(&l->stats.h2_sessions, 1);
    if (!s || greet(s) != 0) {
        fail(l, c);
        return;
    }
    take_in(s, p, n);
}

void h2_read(struct loop *l, struct conn *c)
{
    ssize_t n = l->io->ops->recv(l->io, c->fd, l->read_buffer, LOOP_READ_BUFFER);
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        enum close_cause cause = n == 0 ? CLOSE_CLIENT : n == -ETIMEDOUT ? CLOSE_TIMEOUT : CLOSE_RESET;
        conn_close(l, c, cause, n < 0);
        return;
    }
    stats_add(&l->stats.received_bytes, (uint64_t)n);
    take_in(c->more->session, l->read_buffer, (size_t)n);
}

/* Each of those that wait now gets a turn while there is room: of thousands only those that fit are looked
 * at. Answers are sent here, too, and only what follows is left to the next turn: the streams behind them
 * would have taken the room by then, every time. */
static void serve_waiting(struct h2_session *s)
{
    for (uint32_t left = s->waiting_count; left > 0 && h2_room(s) > 0; left--) {
        struct h2_stream *at = h2_stream_take_waiting(s);
        struct conn *c = at ? at->conn : NULL;
        if (!c || !(c->flags & CONN_BLOCKED))
            continue;
        bool sent = deliver_flush(s->loop, c) == DELIVER_DONE;
        if (c->state == CONN_FEED || (sent && c->state != CONN_STREAM))
            conn_list(s->loop, c);
        else if (sent)
            conn_release(s->loop, c);
    }
}

void h2_flushed(struct loop *l, struct conn *c, bool all)
{
    if (c->state != CONN_SESSION)
        return;
    struct h2_session *s = c->more->session;
    if (s->broken) {
        fail(l, c);
        return;
    }
    size_t waiting = c->io ? c->io->out.len : 0;
    /* Who does not read what we answer is not asked what else he wants. */
    if (waiting > H2_OUT_MAX)
        c->flags |= CONN_PAUSED;
    else if (all)
        c->flags &= (uint8_t)~CONN_PAUSED;
    conn_watch(l, c, (c->flags & CONN_PAUSED ? 0 : IO_READ | IO_HANGUP) | (all ? 0 : IO_WRITE));
    if (!all)
        return;
    serve_waiting(s);
    settle(s);
}

void h2_flush_all(struct loop *l)
{
    l->flushing_sessions = true;
    while (l->unsent) {
        struct h2_session *s = l->unsent;
        struct conn *c = s->conn;
        l->unsent = s->next;
        s->listed = false;
        if (c->state != CONN_SESSION)
            continue; /* it is ending, and listed for that */
        bool all = deliver_flush(l, c) == DELIVER_DONE;
        h2_flushed(l, c, all);
    }
    l->flushing_sessions = false;
}

void h2_overdue(struct loop *l, struct conn *c)
{
    struct h2_session *s = c->more->session;
    if (!s->greeted && !s->streams) {
        conn_close(l, c, CLOSE_TIMEOUT, true);
        return;
    }
    nghttp2_session_terminate_session(s->ng, s->heads > 0 ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR);
    h2_pump(s);
    settle(s);
    if (c->state == CONN_SESSION)
        end(s);
}

void h2_say_goodbye(struct loop *l, struct conn *c)
{
    (void)l;
    struct h2_session *s = c->more->session;
    nghttp2_session_terminate_session(s->ng, NGHTTP2_NO_ERROR);
    h2_pump(s);
}

void h2_drain(struct loop *l, struct conn *c)
{
    (void)l;
    struct h2_session *s = c->more->session;
    nghttp2_submit_shutdown_notice(s->ng);
    h2_pump(s);
}
