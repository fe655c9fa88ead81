/* SPDX-License-Identifier: MIT
 *
 * feed - see feed.h. Time is limited by what it waits for:
 *
 *     BETWEEN   the next line, for as long as a stream may live: who thinks for a while keeps his body open
 *     LINE      the rest of a line, from its first byte: body_timeout
 *     HELD      the peer, who does not read the answer: idle_timeout without a byte taken
 *
 * and beside each of them the oldest line without a result by publish_timeout.
 */
#include "feed.h"

#include "ask.h"

#include <errno.h>
#include <string.h>

#define READ_STEP   (16 * 1024)
#define LINES_MAX   64   /* of one connection in a row, so that others get their turn */
#define LARGE       8192 /* so many bytes count as one line more */
#define OUT_KEPT    4096
#define NO_CHUNK    SIZE_MAX
#define UNTIL_TOLD  (UINT64_MAX / 2) /* the carrier says when the body is over */
#define CHUNK_FRAME "000000\r\n"     /* CONN_OUT_MAX has six hexadecimal digits */

enum phase { BETWEEN, LINE, HELD };

static struct feed *feed_of(const struct conn *c)
{
    return (struct feed *)(void *)((char *)c->io->waiter - offsetof(struct feed, waiter));
}

void feed_begin(struct exchange *x, struct feed *f)
{
    const struct h1_head *head = x->head;
    struct conn_io *io = x->conn->io;
    f->loop = x->loop;
    f->raw = x->conn->raw;
    f->expects = head->expect_continue && !conn_is_carried(x->conn);
    f->chunk = NO_CHUNK;
    f->mark = (uint32_t)x->loop->now;
    io->body_len = io->seen = 0;
    io->need = head->chunked ? UINT64_MAX : head->content_length;
    if (conn_is_carried(x->conn) && head->has_body)
        io->need = UNTIL_TOLD;
    memset(&io->chunked, 0, sizeof(io->chunked));
    conn_wait(x->conn, CONN_FEED, &f->waiter);
}

/* ---- the answer ---- */

static bool begin(struct feed *f)
{
    if (!f->begun)
        f->begun = f->ops->begin(f);
    return f->begun;
}

void feed_put(struct feed *f, struct span text)
{
    struct conn *c = f->waiter.conn;
    if (!c)
        return;
    struct buf *out = &c->io->out;
    if (begin(f) && !f->raw && f->chunk == NO_CHUNK) {
        f->chunk = out->len;
        buf_puts(out, CHUNK_FRAME);
    }
    buf_append(out, text.p, text.len);
    if (!f->begun || out->failed)
        conn_close(f->loop, c, CLOSE_ERROR, true);
    else
        conn_list(f->loop, c);
}

void feed_seal(struct conn *c)
{
    struct feed *f = feed_of(c);
    struct buf *out = &c->io->out;
    if (f->chunk == NO_CHUNK)
        return;
    size_t left = out->len - f->chunk - strlen(CHUNK_FRAME);
    for (unsigned i = 6; i-- > 0; left >>= 4)
        out->data[f->chunk + i] = "0123456789abcdef"[left & 15];
    buf_puts(out, "\r\n");
    f->chunk = NO_CHUNK;
}

/* The last result is written. */
static void finish(struct feed *f)
{
    struct loop *l = f->loop;
    struct conn *c = f->waiter.conn;
    if (begin(f)) {
        feed_seal(c);
        if (!f->raw)
            buf_puts(&c->io->out, "0\r\n\r\n");
    }
    if (!f->begun || c->io->out.failed) {
        conn_close(l, c, CLOSE_ERROR, true);
        return;
    }
    c->io->seen = 0;
    c->flags &= (uint8_t)~CONN_PAUSED;
    conn_answered(l, c, f->last);
    f->ops->end(f);
}

/* ---- what limits it ---- */

static bool is_full(const struct feed *f)
{
    return f->waiting >= FEED_WAITING_MAX || f->waiter.conn->io->out.len > CONN_PAUSE_BYTES;
}

static uint32_t limit_of(const struct feed *f)
{
    const struct tidings_config *config = &f->loop->config;
    switch ((enum phase)f->phase) {
    case BETWEEN:
        return config->max_connection_age;
    case LINE:
        return config->body_timeout;
    case HELD:
        break;
    }
    return f->waiter.conn->io->out.len > 0 ? config->idle_timeout : 0;
}

/* Milliseconds until `limit` ms after `since`; limit 0: for ever. */
static uint32_t left_of(const struct feed *f, uint32_t since, uint32_t limit)
{
    uint32_t age = (uint32_t)f->loop->now - since;
    return limit == 0 ? UINT32_MAX : age < limit ? limit - age : 0;
}

static uint32_t left_of_results(const struct feed *f)
{
    return f->waiting > 0 ? left_of(f, f->oldest, f->loop->config.publish_timeout) : UINT32_MAX;
}

static void limit_time(struct feed *f, enum phase phase, bool progress)
{
    if (phase != f->phase || progress)
        f->mark = (uint32_t)f->loop->now;
    f->phase = (uint8_t)phase;
    uint32_t left = left_of(f, f->mark, limit_of(f)), results = left_of_results(f);
    left = results < left ? results : left;
    conn_set_deadline(f->loop, f->waiter.conn, left == UINT32_MAX ? 0 : left > 0 ? left : 1);
}

/* An open body that is silent holds no memory but its own. */
static void trim(struct feed *f)
{
    struct conn_io *io = f->waiter.conn->io;
    if (io->in.len == 0)
        conn_drop_in(f->loop, f->waiter.conn);
    if (io->out.len == 0 && io->out.cap > OUT_KEPT)
        buf_finish(&io->out);
}

/* How it goes on. progress: lines were taken. yields: there are more, in the next turn. */
static void settle(struct feed *f, bool progress, bool yields)
{
    struct loop *l = f->loop;
    struct conn *c = f->waiter.conn;
    if (!c)
        return;
    /* As long as the peer takes little the end waits, because here it is known whether he takes anything. */
    if (f->over && f->waiting == 0 && !(c->flags & CONN_BLOCKED)) {
        finish(f);
        return;
    }
    bool held = f->over || f->complete || yields || is_full(f);
    if (held) {
        c->flags |= CONN_PAUSED;
        if (yields)
            conn_list(l, c);
        else
            conn_watch(l, c, c->interest & IO_WRITE);
    } else {
        c->flags &= (uint8_t)~CONN_PAUSED;
        conn_watch(l, c, IO_READ | IO_HANGUP | (c->flags & CONN_BLOCKED ? IO_WRITE : 0));
    }
    trim(f);
    limit_time(f, held ? HELD : c->io->body_len > 0 || f->skipping ? LINE : BETWEEN, progress);
}

/* ---- the body ---- */

/* What has come is decoded where it lies; what follows the body is left as it is. */
static void decode(struct feed *f)
{
    struct conn_io *io = f->waiter.conn->io;
    size_t fresh = io->in.len - io->body_len, len = fresh, rest = 0;
    if (f->complete)
        return;
    if (io->need != UINT64_MAX) {
        len = fresh < io->need ? fresh : (size_t)io->need;
        io->body_len += len;
        io->need -= len;
        f->complete = io->need == 0;
        return;
    }
    if (fresh == 0)
        return;
    char *p = io->in.data + io->body_len;
    uint64_t before = io->chunked.total;
    int rc = h1_chunked_feed(&io->chunked, p, &len, &rest, &f->fault);
    if (rc < 0) { /* what was decoded before the fault counts */
        len = (size_t)(io->chunked.total - before);
        rest = 0;
    }
    memmove(p + len, p + fresh - rest, rest);
    io->body_len += len;
    io->in.len = io->body_len + rest;
    f->complete = rc != 0;
}

/* The line at `at` of what is decoded: its length, and what it occupies; false if it is not complete. */
static bool find_line(const struct feed *f, size_t at, size_t *len, size_t *size)
{
    struct conn_io *io = f->waiter.conn->io;
    size_t have = io->body_len - at;
    const char *line = have ? io->in.data + at : NULL, *end = NULL;
    if (have > io->seen)
        end = memchr(line + io->seen, '\n', have - io->seen);
    bool found =
        end || (f->complete && f->fault.status == 0 && have > 0); /* the last line of a body need not end */
    io->seen = found ? 0 : have;
    *len = end ? (size_t)(end - line) : have;
    *size = end ? *len + 1 : have;
    if (found && *len > 0 && line[*len - 1] == '\r')
        --*len;
    return found;
}

static bool is_too_long(const struct feed *f, size_t n)
{
    return f->loop->config.max_body && n > f->loop->config.max_body;
}

static void refuse_long(struct feed *f)
{
    static const struct h1_error large = {
        .status = 413, .code = "body_too_large", .detail = "the line is longer than --max-body"};
    f->ops->refuse(f, &large);
}

static void take_line(struct feed *f, const char *p, size_t n)
{
    if (f->skipping)
        f->skipping = false; /* the end of what was refused */
    else if (is_too_long(f, n))
        refuse_long(f);
    else if (span_trim((struct span){p, n}).len > 0)
        f->ops->line(f, (struct span){p, n});
    else if (!begin(f)) /* a sign of life: answered with the head, if nothing was said yet */
        conn_close(f->loop, f->waiter.conn, CLOSE_ERROR, true);
    else
        conn_list(f->loop, f->waiter.conn);
    f->loop->requests_since_news++;
}

/* The start of a line that is not complete, n bytes; returns how many of them are done with. */
static size_t take_start(struct feed *f, size_t n)
{
    if (!f->skipping && !is_too_long(f, n))
        return 0;
    if (!f->skipping)
        refuse_long(f);
    f->skipping = true;
    return n;
}

/* Drops what was handled of the decoded bytes. */
static void consume(struct feed *f, size_t n)
{
    struct conn_io *io = f->waiter.conn->io;
    buf_consume(&io->in, n);
    io->body_len -= n;
}

/* Hands over whole lines until there are none, or enough for this turn. True: there are more. */
static bool take_lines(struct feed *f, unsigned *taken)
{
    size_t at = 0, len, size;
    bool found = false;
    while (!f->over && (found = find_line(f, at, &len, &size)) && *taken < LINES_MAX && !is_full(f)) {
        *taken += 1 + (unsigned)(len / LARGE);
        take_line(f, f->waiter.conn->io->in.data + at, len);
        if (!f->waiter.conn)
            return false;
        at += size;
    }
    consume(f, at);
    if (found || f->over)
        return found;
    size_t start = take_start(f, f->waiter.conn->io->body_len);
    if (f->waiter.conn && start > 0) {
        consume(f, start);
        f->waiter.conn->io->seen = 0;
    }
    return false;
}

/* Does the body end here, after all whole lines were taken? */
static void look_for_end(struct feed *f)
{
    if (f->complete)
        f->over = true;
    else if (f->loop->draining && f->waiter.conn->io->body_len == 0 && !f->skipping)
        f->over = f->last = true;
}

void feed_go_on(struct loop *l, struct conn *c)
{
    struct feed *f = feed_of(c);
    unsigned taken = 0;
    if (f->expects && c->io->in.len == 0 && c->io->need > 0) {
        buf_puts(&c->io->out, "HTTP/1.1 100 Continue\r\n\r\n");
        conn_list(l, c);
    }
    f->expects = false;
    decode(f);
    bool more = take_lines(f, &taken);
    if (!f->waiter.conn)
        return;
    if (!more && f->fault.status && !f->over) {
        feed_break(l, c, &f->fault);
        return;
    }
    if (!more)
        look_for_end(f);
    settle(f, taken > 0, more && !is_full(f));
}

void feed_end(struct loop *l, struct conn *c)
{
    feed_of(c)->complete = true;
    feed_go_on(l, c);
}

/* ---- reading ---- */

/* The peer has ended its side in the middle of the body. Half a line is no line. */
static void cut_off(struct loop *l, struct conn *c)
{
    static const struct h1_error incomplete = {
        .status = 400, .code = "incomplete_body", .detail = "the body ended before it was complete"};
    const struct feed *f = feed_of(c);
    c->flags |= CONN_EOF;
    if (!f->begun && f->waiting == 0)
        conn_close(l, c, CLOSE_CLIENT, false);
    else
        feed_break(l, c, &incomplete);
}

void feed_read(struct loop *l, struct conn *c)
{
    static const struct h1_error full = {
        .status = 503, .code = "request_memory", .detail = "the memory for incomplete requests is used up"};
    if (!conn_grow_in(l, c, READ_STEP)) {
        stats_add(&l->stats.refused_memory, 1);
        feed_break(l, c, &full);
        return;
    }
    struct buf *in = &c->io->in;
    ssize_t n = l->io->ops->recv(l->io, c->fd, in->data + in->len, in->cap - in->len);
    if (n == -EAGAIN)
        return;
    if (n == 0) {
        cut_off(l, c);
    } else if (n < 0) {
        conn_close(l, c, n == -ETIMEDOUT ? CLOSE_TIMEOUT : CLOSE_RESET, true);
    } else {
        stats_add(&l->stats.received_bytes, (uint64_t)n);
        in->len += (size_t)n;
        feed_go_on(l, c);
    }
}

/* ---- ends that nobody asked for ---- */

/* Nothing is answered yet: the error is the whole answer. */
static void answer_error(struct feed *f, const struct h1_error *error)
{
    struct conn *c = f->waiter.conn;
    ask_refuse(f->loop, c, NULL, error);
    if (c->state != CONN_CLOSED) /* else it is told that the connection is gone */
        f->ops->end(f);
}

void feed_break(struct loop *l, struct conn *c, const struct h1_error *error)
{
    struct feed *f = feed_of(c);
    conn_drop_in(l, c);
    c->io->body_len = c->io->seen = 0;
    f->skipping = false;
    if (!f->begun && f->waiting == 0) {
        answer_error(f, error);
        return;
    }
    f->ops->refuse(f, error);
    f->over = f->last = true;
    settle(f, false, false);
}

static void line_is_overdue(struct feed *f)
{
    static const struct h1_error slow = {
        .status = 408, .code = "body_timeout", .detail = "the line took longer than --body-timeout"};
    feed_break(f->loop, f->waiter.conn, &slow);
}

/* The peer takes nothing. As long as it takes something, however little, it is waited for. */
static void reader_is_overdue(struct feed *f)
{
    struct conn *c = f->waiter.conn;
    uint32_t wrote = atomic_load_explicit(&c->last_write, memory_order_relaxed);
    if ((int32_t)(wrote - f->mark) <= 0) {
        conn_close(f->loop, c, CLOSE_TIMEOUT, true);
        return;
    }
    f->mark = wrote;
    settle(f, false, false);
}

void feed_overdue(struct loop *l, struct conn *c)
{
    struct feed *f = feed_of(c);
    if (left_of_results(f) == 0) {
        f->ops->overdue(f);
        if (f->waiter.conn)
            feed_go_on(l, c);
    } else if (left_of(f, f->mark, limit_of(f)) > 0) {
        settle(f, false, false);
    } else if (f->phase == LINE) {
        line_is_overdue(f);
    } else if (f->phase == HELD) {
        reader_is_overdue(f);
    } else {
        f->over = f->last = true;
        settle(f, false, false);
    }
}
