/* SPDX-License-Identifier: MIT
 *
 * h2_stream - see h2_stream.h. nghttp2 pulls, deliver pushes. Both meet in stream_send(): the bytes that are
 * offered are shown to nghttp2 for the length of that call only, at most as many as both windows let through,
 * and it frames them into the session's buffer at once. So nothing is queued for a stream: a reader of HTTP/2
 * is a place in the log like any other.
 *
 * Deliberately not here: priorities (RFC 9113 section 5.3.2 deprecates them; streams take turns), trailers
 * (their fields are ignored), pushes.
 */
#include "h2_stream.h"

#include "ask.h"
#include "feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX  64 /* of an answer */
#define SLACK       4096
#define DRIBBLE     128       /* bytes */
#define CREDIT_MAX  (1 << 20) /* frames; a peer that reads for days saves up no more */
#define FAR_TOO_BIG 4         /* times the limit: nobody counts on */

/* ---- heads of requests ---- */

static size_t head_limit(const struct loop *l)
{
    return (size_t)l->config.max_request_line + l->config.max_headers + SLACK;
}

static struct h2_head *head_create(const struct loop *l)
{
    struct h2_head *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    size_t max = head_limit(l);
    buf_init(&h->method, max);
    buf_init(&h->path, max);
    buf_init(&h->authority, max);
    buf_init(&h->fields, 2 * max);
    buf_init(&h->cookie, max);
    return h;
}

static void head_destroy(struct h2_head *h)
{
    if (!h)
        return;
    buf_finish(&h->method);
    buf_finish(&h->path);
    buf_finish(&h->authority);
    buf_finish(&h->fields);
    buf_finish(&h->cookie);
    free(h);
}

/* nghttp2 has checked it already (RFC 9113 section 8.2.1); a line end would forge a field, so once more. */
static bool is_safe(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
            return false;
    return true;
}

static void put_line(struct buf *out, struct span name, struct span value)
{
    buf_append(out, name.p, name.len);
    buf_puts(out, ": ");
    buf_append(out, value.p, value.len);
    buf_puts(out, "\r\n");
}

static void take_field(struct h2_head *h, struct span name, struct span value)
{
    if (span_eq(name, SPAN(":method"))) {
        buf_append(&h->method, value.p, value.len);
    } else if (span_eq(name, SPAN(":path"))) {
        buf_append(&h->path, value.p, value.len);
    } else if (span_eq(name, SPAN(":authority"))) {
        buf_append(&h->authority, value.p, value.len);
    } else if (span_eq(name, SPAN("cookie"))) {
        if (h->cookie.len > 0)
            buf_puts(&h->cookie, "; ");
        buf_append(&h->cookie, value.p, value.len);
    } else if (name.p[0] != ':' && !(h->authority.len > 0 && span_eq(name, SPAN("host")))) {
        /* Host beside :authority says the same or is ignored (RFC 9113 section 8.3.1). */
        h->has_length |= span_eq(name, SPAN("content-length"));
        put_line(&h->fields, name, value);
    }
}

bool h2_stream_field(struct h2_stream *s, struct span name, struct span value)
{
    struct h2_head *h = s->head;
    if (!h) /* a trailer */
        return true;
    size_t limit = head_limit(s->session->loop);
    h->bytes += name.len + value.len + 4;
    if (h->bytes > limit)
        h->too_large = true;
    else if (name.len == 0 || !is_safe(name) || !is_safe(value))
        h->malformed = true;
    else
        take_field(h, name, value);
    return h->bytes <= FAR_TOO_BIG * limit;
}

static void put_request(struct buf *out, const struct h2_head *h, bool ended)
{
    buf_append(out, h->method.data, h->method.len);
    buf_putc(out, ' ');
    buf_append(out, h->path.data, h->path.len);
    buf_puts(out, " HTTP/1.1\r\n");
    if (h->authority.len > 0)
        put_line(out, SPAN("host"), (struct span){h->authority.data, h->authority.len});
    buf_append(out, h->fields.data, h->fields.len);
    if (h->cookie.len > 0)
        put_line(out, SPAN("cookie"), (struct span){h->cookie.data, h->cookie.len});
    if (!ended && !h->has_length)
        buf_puts(out, "transfer-encoding: chunked\r\n"); /* as HTTP/1.1 says that the length is not known */
    buf_puts(out, "\r\n");
}

static size_t request_size(const struct h2_head *h)
{
    return h->bytes + h->cookie.len + 128;
}

static bool has_failed(const struct h2_head *h)
{
    return h->method.failed || h->path.failed || h->authority.failed || h->fields.failed || h->cookie.failed;
}

/* ---- life of a stream ---- */

struct h2_stream *h2_stream_open(struct h2_session *session, int32_t id)
{
    struct h2_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->head = head_create(session->loop);
    if (!s->head) {
        free(s);
        return NULL;
    }
    s->session = session;
    s->id = id;
    s->next = session->streams;
    if (s->next)
        s->next->prev = s;
    session->streams = s;
    session->count++;
    session->heads++;
    return s;
}

static void end_head(struct h2_stream *s)
{
    if (!s->head)
        return;
    head_destroy(s->head);
    s->head = NULL;
    s->session->heads--;
}

/* ---- those that wait for room ---- */

static void leave_queue(struct h2_stream *s)
{
    struct h2_session *session = s->session;
    if (!s->waits)
        return;
    s->waits = false;
    *(s->prev_waiting ? &s->prev_waiting->next_waiting : &session->waiting) = s->next_waiting;
    *(s->next_waiting ? &s->next_waiting->prev_waiting : &session->last_waiting) = s->prev_waiting;
    session->waiting_count--;
}

static void join_queue(struct h2_stream *s)
{
    struct h2_session *session = s->session;
    if (s->waits)
        return;
    s->waits = true;
    s->next_waiting = NULL;
    s->prev_waiting = session->last_waiting;
    *(s->prev_waiting ? &s->prev_waiting->next_waiting : &session->waiting) = s;
    session->last_waiting = s;
    session->waiting_count++;
}

struct h2_stream *h2_stream_take_waiting(struct h2_session *session)
{
    struct h2_stream *s = session->waiting;
    if (s)
        leave_queue(s);
    return s;
}

void h2_stream_drop(struct h2_stream *s, enum close_cause cause)
{
    struct h2_session *session = s->session;
    s->over = true;
    if (s->conn)
        conn_close(session->loop, s->conn, cause, false);
    end_head(s);
    leave_queue(s);
    if (session->sending == s)
        session->sending = NULL;
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        session->streams = s->next;
    session->count--;
    free(s);
}

/* ---- framing ---- */

/* While sessions are being flushed the next turn comes first, so that none of them keeps the loop to itself.
 */
void h2_list(struct h2_session *session)
{
    if (session->loop->flushing_sessions) {
        conn_list(session->loop, session->conn);
        return;
    }
    if (session->listed)
        return;
    session->listed = true;
    session->next = session->loop->unsent;
    session->loop->unsent = session;
}

void h2_pump(struct h2_session *session)
{
    if (session->reading)
        return;
    struct conn_io *io = session->broken ? NULL : conn_buffers(session->loop, session->conn);
    const uint8_t *p;
    ssize_t n = io ? 0 : NGHTTP2_ERR_NOMEM;
    size_t before = io ? io->out.len : 0;
    while (io && (n = nghttp2_session_mem_send(session->ng, &p)) > 0)
        buf_append(&io->out, p, (size_t)n);
    session->broken |= n < 0 || io->out.failed;
    if (session->broken || io->out.len > before)
        h2_list(session);
}

/* Shows nghttp2 as much of what is being sent as it asks for. */
static ssize_t offer(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                     nghttp2_data_source *source, void *user)
{
    (void)ng, (void)id, (void)buf, (void)user;
    struct h2_stream *s = source->ptr;
    if (s->left > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        return (ssize_t)(length < s->left ? length : s->left);
    }
    if (!s->ending)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return 0;
}

static void copy_out(struct h2_stream *s, struct buf *out, size_t n)
{
    s->left -= n;
    while (n > 0) {
        size_t here = s->iov->iov_len - s->offset, part = here < n ? here : n;
        buf_append(out, (const char *)s->iov->iov_base + s->offset, part);
        s->offset += part;
        n -= part;
        if (s->offset == s->iov->iov_len) {
            s->iov++;
            s->offset = 0;
        }
    }
}

int h2_stream_put_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t length,
                       nghttp2_data_source *source, void *user)
{
    (void)ng, (void)frame, (void)user; /* nobody has asked for padding */
    struct h2_stream *s = source->ptr;
    struct buf *out = &s->session->conn->io->out;
    buf_append(out, (const char *)head, 9);
    copy_out(s, out, length);
    if (!s->dribbles && s->session->credit.left < CREDIT_MAX)
        s->session->credit.left += 2; /* that peer may answer it with WINDOW_UPDATE */
    return out->failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* ---- as a carrier ---- */

size_t h2_room(const struct h2_session *session)
{
    const struct conn *c = session->conn;
    int32_t window = nghttp2_session_get_remote_window_size(session->ng);
    size_t waiting = c->io ? c->io->out.len : 0;
    if (window <= 0 || waiting >= H2_OUT_MAX || c->flags & CONN_BLOCKED || session->broken)
        return 0;
    return (size_t)window < H2_OUT_MAX - waiting ? (size_t)window : H2_OUT_MAX - waiting;
}

static size_t own_window(const struct h2_stream *s)
{
    int32_t window = nghttp2_session_get_stream_remote_window_size(s->session->ng, s->id);
    return window > 0 ? (size_t)window : 0;
}

static size_t room_for(const struct h2_stream *s)
{
    size_t all = h2_room(s->session), own = own_window(s);
    return own < all ? own : all;
}

/* Whose own window is closed is told of when it opens; all others take turns. */
static void await_room(struct h2_stream *s)
{
    if (own_window(s) > 0)
        join_queue(s);
}

static ssize_t stream_send(struct loop *l, struct conn *c, const struct iovec *iov, int count)
{
    (void)l;
    struct h2_stream *s = c->more->stream;
    struct h2_session *session = s->session;
    size_t total = 0, room = room_for(s);
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (session->broken)
        return -ECONNRESET;
    if (session->reading || room == 0) {
        await_room(s);
        return -EAGAIN;
    }
    size_t offered = total < room ? total : room;
    s->iov = iov;
    s->offset = 0;
    s->left = offered;
    s->dribbles =
        offered < total && offered < DRIBBLE; /* CVE-2019-9511: a window that is opened byte by byte */
    session->sending = s;
    nghttp2_session_resume_data(session->ng, s->id);
    h2_pump(session);
    if (session->sending != s || session->broken)
        return -ECONNRESET;
    session->sending = NULL;
    size_t sent = offered - s->left;
    s->left = 0;
    s->iov = NULL;
    if (sent < total)
        await_room(s);
    return sent > 0 ? (ssize_t)sent : -EAGAIN;
}

static void lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] + ('a' - 'A'));
}

/* One field line at p, which ends before `end`; returns what follows it. */
static char *read_line(char *p, char *end, nghttp2_nv *nv)
{
    char *line_end = memchr(p, '\r', (size_t)(end - p)), *colon = memchr(p, ':', (size_t)(end - p));
    lower(p, (size_t)(colon - p)); /* RFC 9113 section 8.2 */
    *nv = (nghttp2_nv){.name = (uint8_t *)p,
                       .namelen = (size_t)(colon - p),
                       .value = (uint8_t *)colon + 2,
                       .valuelen = (size_t)(line_end - colon - 2)};
    return line_end + 2;
}

static bool stream_respond(struct loop *l, struct conn *c, int status, char *fields, size_t len)
{
    (void)l;
    struct h2_stream *s = c->more->stream;
    nghttp2_nv nv[FIELDS_MAX];
    nghttp2_data_provider body = {.source = {.ptr = s}, .read_callback = offer};
    char digits[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    size_t count = 0;
    nv[count++] = (nghttp2_nv){(uint8_t *)":status", (uint8_t *)digits, 7, 3, NGHTTP2_NV_FLAG_NONE};
    for (char *p = fields, *end = fields + len; p < end && count < FIELDS_MAX; count++)
        p = read_line(p, end, &nv[count]);
    s->answered = nghttp2_submit_response(s->session->ng, s->id, nv, count, &body) == 0;
    h2_pump(s->session);
    return s->answered;
}

/* What was used of the body may come again. */
static void give_back(struct h2_stream *s)
{
    const struct conn *c = s->conn;
    uint32_t held = c && c->state == CONN_FEED && c->io ? (uint32_t)c->io->in.len : 0;
    if (s->owed <= held)
        return;
    nghttp2_session_consume_stream(s->session->ng, s->id, s->owed - held);
    s->owed = held;
    h2_pump(s->session);
}

static void stream_watch(struct loop *l, struct conn *c, uint32_t interest)
{
    (void)l;
    if (interest & IO_READ)
        give_back(c->more->stream);
}

static void stream_shutdown(struct loop *l, struct conn *c)
{
    (void)l;
    struct h2_stream *s = c->more->stream;
    s->ending = true;
    nghttp2_session_resume_data(s->session->ng, s->id);
    h2_pump(s->session);
}

static void stream_close(struct loop *l, struct conn *c, bool reset)
{
    struct h2_stream *s = c->more->stream;
    struct h2_session *session = s->session;
    s->conn = NULL;
    if (s->over)
        return;
    if (!reset && s->answered) {
        if (!s->ending)
            stream_shutdown(l, c);
        return;
    }
    nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, s->id,
                              s->answered ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
    h2_pump(session);
}

static const struct carrier carrier = {.send = stream_send,
                                       .respond = stream_respond,
                                       .watch = stream_watch,
                                       .shutdown = stream_shutdown,
                                       .close = stream_close};

/* ---- requests ---- */

static void refuse(struct h2_stream *s, int status, const char *code, const char *detail)
{
    const struct h1_error error = {.status = status, .code = code, .detail = detail};
    ask_refuse(s->session->loop, s->conn, NULL, &error);
}

static void refuse_memory(struct h2_stream *s)
{
    struct loop *l = s->session->loop;
    stats_add(&l->stats.refused_memory, 1);
    refuse(s, 503, "request_memory", "the memory for incomplete requests is used up");
}

static void go_on(struct h2_stream *s)
{
    static const nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NONE};
    nghttp2_submit_headers(s->session->ng, NGHTTP2_FLAG_NONE, s->id, NULL, &status, 1, NULL);
}

static void expect_body(struct h2_stream *s, size_t head_len)
{
    struct loop *l = s->session->loop;
    conn_set_state(s->conn, CONN_BODY);
    conn_set_deadline(l, s->conn, l->config.body_timeout);
    s->conn->io->head_len = head_len;
    s->conn->io->body_len = 0;
}

/* The request was handled, or its handler takes the body line by line. */
static void after_request(struct h2_stream *s, size_t head_len)
{
    struct loop *l = s->session->loop;
    struct conn *c = s->conn;
    if (!c || !c->io)
        return;
    if (c->state == CONN_FEED) {
        buf_consume(&c->io->in, head_len);
        feed_go_on(l, c);
    } else {
        conn_drop_in(l, c);
        conn_trim(l, c);
    }
}

static void ask(struct h2_stream *s, bool ended)
{
    struct loop *l = s->session->loop;
    struct conn *c = s->conn;
    struct h1_head head;
    struct h1_error error = {.status = 400, .code = "bad_request", .detail = "not a request"};
    const struct h1_limits limits = {l->config.max_request_line, l->config.max_headers};
    ssize_t n = h1_parse_head(c->io->in.data, c->io->in.len, 0, &limits, &head, &error);
    if (n <= 0) {
        ask_refuse(l, c, NULL, &error);
        return;
    }
    struct exchange x = {.loop = l, .conn = c, .head = &head};
    bool wanted = ask_head(&x);
    if (!ended && head.expect_continue && (wanted || c->state == CONN_FEED))
        go_on(s);
    if (wanted && !ended)
        expect_body(s, (size_t)n);
    else if (wanted)
        ask_kept(l, c, (size_t)n, 0);
    if (c->state != CONN_BODY)
        after_request(s, (size_t)n);
}

/* Writes the request down where a connection of HTTP/1.1 keeps its own. */
static bool keep_request(struct h2_stream *s, bool ended)
{
    struct loop *l = s->session->loop;
    struct conn *c = s->conn;
    if (!conn_buffers(l, c) || has_failed(s->head) || !conn_grow_in(l, c, request_size(s->head)))
        return false;
    put_request(&c->io->in, s->head, ended);
    return !c->io->in.failed;
}

void h2_stream_asked(struct h2_stream *s, bool ended)
{
    struct h2_session *session = s->session;
    if (!s->head)
        return;
    s->conn = conn_open_carried(session->loop, &carrier, s, session->conn);
    if (!s->conn) {
        nghttp2_submit_rst_stream(session->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
        end_head(s);
        return;
    }
    if (ended)
        s->conn->flags |= CONN_EOF;
    if (s->head->too_large)
        refuse(s, 431, "headers_too_large", "the header fields are longer than max-headers");
    else if (s->head->malformed)
        refuse(s, 400, "bad_field", "a character that is not allowed in a field");
    else if (!keep_request(s, ended))
        refuse_memory(s);
    else
        ask(s, ended);
    end_head(s);
}

/* ---- bodies ---- */

static void take_body(struct h2_stream *s, size_t n)
{
    struct loop *l = s->session->loop;
    struct conn_io *io = s->conn->io;
    io->body_len += n;
    if (l->config.max_body && io->body_len > l->config.max_body)
        refuse(s, 413, "body_too_large", "the body is larger than --max-body");
}

static void no_room(struct h2_stream *s)
{
    static const struct h1_error full = {
        .status = 503, .code = "request_memory", .detail = "the memory for incomplete requests is used up"};
    if (s->conn->state == CONN_FEED)
        feed_break(s->session->loop, s->conn, &full);
    else
        refuse_memory(s);
}

void h2_stream_data(struct h2_stream *s, const char *p, size_t n)
{
    struct loop *l = s->session->loop;
    struct conn *c = s->conn;
    s->owed += (uint32_t)n;
    bool feeds = c && c->state == CONN_FEED;
    if (feeds || (c && c->state == CONN_BODY)) {
        if (!conn_grow_in(l, c, n)) {
            no_room(s);
        } else {
            buf_append(&c->io->in, p, n);
            feeds ? feed_go_on(l, c) : take_body(s, n);
        }
    }
    give_back(s);
}

void h2_stream_ended(struct h2_stream *s)
{
    struct loop *l = s->session->loop;
    struct conn *c = s->conn;
    if (!c)
        return;
    c->flags |= CONN_EOF;
    if (c->state == CONN_BODY) {
        ask_kept(l, c, c->io->head_len, c->io->body_len);
        after_request(s, 0);
    } else if (c->state == CONN_FEED) {
        feed_end(l, c);
    } else if (c->state == CONN_LINGER) {
        conn_close(l, c, CLOSE_CLIENT, false);
    }
}
