/* SPDX-License-Identifier: MIT
 *
 * worker - see worker.h. A turn:
 *
 *     wait ──► posted: answers that have come from other threads
 *          ──► events: accept, read, parse, ask the handler      (answers collect in buffers)
 *          ──► news: mark readers, send broadcasts
 *          ──► list: flush whatever has something to say, once; free what was closed
 *          ──► every 100 ms: a slice of all deadlines
 *
 * A request that arrives whole is parsed where it was read, in the loop's own buffer; only what is incomplete
 * is kept with its connection.
 */
#include "worker.h"

#include "acceptor.h"
#include "ask.h"
#include "feed.h"
#include "h2.h"

#include <errno.h>
#include <string.h>

#define EVENTS_MAX   256
#define TICK_MS      100
#define IDLE_WAIT_MS 1000
#define SWEEP_MIN    (2 * SLAB_CHUNK)
#define REQUESTS_MAX 64 /* of one connection in a row, so that others get their turn */
#define NEWS_MAX                                                                                             \
    128 /* requests after which readers are served before more is read: what is published must               \
           not run away from readers who are not slow */
#define READ_STEP    (16 * 1024)
#define GEN_LISTENER 0

/* ---- answering ---- */

void worker_answered(struct exchange *x, bool close)
{
    x->answered = true;
    conn_answered(x->loop, x->conn, close);
}

void worker_wait(struct exchange *x, struct waiter *w)
{
    conn_wait(x->conn, CONN_WAIT, w);
    conn_set_deadline(x->loop, x->conn, x->loop->config.publish_timeout);
}

/* ---- request memory ---- */

static void no_room(struct loop *l, struct conn *c)
{
    static const struct h1_error full = {
        .status = 503, .code = "request_memory", .detail = "the memory for incomplete requests is used up"};
    stats_add(&l->stats.refused_memory, 1);
    if (c->state == CONN_WAIT)
        c->io->last = true; /* what is behind the request is lost, its answer is not */
    else if (c->state == CONN_FEED)
        feed_break(l, c, &full);
    else
        ask_refuse(l, c, NULL, &full);
}

/* Keeps bytes that are not in the connection's buffer yet. */
static bool stash(struct loop *l, struct conn *c, const char *p, size_t n)
{
    struct conn_io *io = conn_buffers(l, c);
    if (!io || !conn_grow_in(l, c, n)) {
        no_room(l, c);
        return false;
    }
    buf_append(&io->in, p, n);
    return true;
}

/* ---- one request ---- */

static void enter_body(struct loop *l, struct conn *c, const struct h1_head *head, size_t head_len)
{
    struct conn_io *io = c->io;
    conn_set_state(c, CONN_BODY);
    conn_set_deadline(l, c, l->config.body_timeout);
    io->head_len = head_len;
    io->body_len = 0;
    io->need = head->chunked ? UINT64_MAX : head_len + head->content_length;
    memset(&io->chunked, 0, sizeof(io->chunked));
    if (head->expect_continue && io->in.len == head_len) {
        buf_puts(&io->out, "HTTP/1.1 100 Continue\r\n\r\n");
        conn_list(l, c);
    }
}

/* The request in `in` is complete: head, body, and `rest` bytes of what follows it. */
static void complete_body(struct loop *l, struct conn *c, size_t body_len, size_t rest)
{
    size_t used = c->io->in.len - rest;
    ask_kept(l, c, c->io->head_len, body_len);
    if (c->state == CONN_CLOSED)
        return;
    buf_consume(&c->io->in, used);
    c->io->seen = 0;
}

/* True: a request was completed. */
static bool continue_chunked(struct loop *l, struct conn *c)
{
    struct conn_io *io = c->io;
    struct h1_error error;
    size_t at = io->head_len + io->body_len, len = io->in.len - at, fed = len, rest = 0;
    int rc = h1_chunked_feed(&io->chunked, io->in.data + at, &len, &rest, &error);
    if (rc < 0) {
        ask_refuse(l, c, NULL, &error);
        return false;
    }
    io->body_len += len;
    if (l->config.max_body && io->body_len > l->config.max_body) {
        static const struct h1_error large = {
            .status = 413, .code = "body_too_large", .detail = "the body is larger than --max-body"};
        ask_refuse(l, c, NULL, &large);
        return false;
    }
    if (rest > 0)
        memmove(io->in.data + at + len, io->in.data + at + fed - rest, rest);
    io->in.len = at + len + rest;
    if (rc == 1)
        complete_body(l, c, io->body_len, rest);
    return rc == 1;
}

static bool continue_body(struct loop *l, struct conn *c)
{
    struct conn_io *io = c->io;
    if (io->need == UINT64_MAX)
        return continue_chunked(l, c);
    if (io->in.len < io->need)
        return false;
    complete_body(l, c, (size_t)io->need - io->head_len, io->in.len - (size_t)io->need);
    return true;
}

/* Answered before the body was read: bytes to skip if all of it is here; otherwise the connection ends,
 * because nobody will read the rest. */
static size_t skip_body(struct loop *l, struct conn *c, const struct h1_head *head, size_t available)
{
    if (!head->has_body || c->state == CONN_CLOSED)
        return 0;
    if (!head->chunked && head->content_length <= available)
        return (size_t)head->content_length;
    if (c->state == CONN_HEAD)
        conn_answered(l, c, true);
    return available;
}

/* The n bytes at p are what `in` holds now. They lie `used` and `skip` bytes behind the start of what is
 * being taken, which may be `in` itself. */
static bool keep(struct loop *l, struct conn *c, const char *p, size_t n, size_t *used, size_t skip)
{
    size_t before = *used + skip;
    if (c->io && c->io->in.len > 0 && c->io->in.data == p - before) {
        buf_consume(&c->io->in, before);
        *used = 0;
        return true;
    }
    *used = before + n;
    return n == 0 || stash(l, c, p, n);
}

enum take { TAKE_NEXT, TAKE_MORE, TAKE_BODY, TAKE_STOP };

/* One head, and its body if that is here too. *used grows by what is done with. */
static enum take take_request(struct loop *l, struct conn *c, const char *p, size_t n, size_t *used)
{
    if (c->protocol == CONN_UNKNOWN && l->config.http2) {
        enum h2_preface preface = h2_look(p, n);
        if (preface == H2_PART)
            return TAKE_MORE;
        if (preface == H2_WHOLE) {
            *used += n;
            h2_begin(l, c, p, n);
            return TAKE_STOP;
        }
    }
    struct h1_head head;
    struct h1_error error;
    const struct h1_limits limits = {l->config.max_request_line, l->config.max_headers};
    ssize_t len = h1_parse_head(p, n, c->io ? c->io->seen : 0, &limits, &head, &error);
    if (len == 0)
        return TAKE_MORE;
    if (len < 0) {
        ask_refuse_bytes(l, c, (struct span){p, n}, &error);
        return TAKE_STOP;
    }
    if (c->io)
        c->io->seen = 0;
    c->protocol = CONN_HTTP1;
    struct exchange x = {.loop = l, .conn = c, .head = &head};
    size_t available = n - (size_t)len;
    if (!ask_head(&x)) {
        if (c->state == CONN_FEED)
            return keep(l, c, p + len, available, used, (size_t)len) ? TAKE_BODY : TAKE_STOP;
        *used += (size_t)len + skip_body(l, c, &head, available);
        return TAKE_NEXT;
    }
    if (head.has_body && (head.chunked || head.content_length > available)) {
        if (!keep(l, c, p, n, used, 0))
            return TAKE_STOP;
        enter_body(l, c, &head, (size_t)len);
        return TAKE_BODY;
    }
    x.body = (struct span){p + len, (size_t)head.content_length};
    *used += (size_t)len + (size_t)head.content_length;
    ask_request(&x);
    return TAKE_NEXT;
}

/* ---- reading ---- */

static void expect_rest_of_head(struct loop *l, struct conn *c)
{
    uint32_t limit = l->config.head_timeout;
    uint32_t left = c->deadline - (uint32_t)l->now;
    if (limit > 0 && (!(c->flags & CONN_DEADLINE) || (int32_t)(left - limit) > 0))
        conn_set_deadline(l, c, limit);
}

static bool takes_requests(const struct conn *c)
{
    return c->state == CONN_HEAD && !(c->flags & CONN_PAUSED);
}

/* Further requests wait until the others have had their turn; flush() goes on with them. */
static void yield(struct loop *l, struct conn *c)
{
    c->flags |= CONN_PAUSED;
    conn_list(l, c);
}

/* Requests from the connection's own buffer. */
static enum take take_kept(struct loop *l, struct conn *c)
{
    size_t used = 0;
    enum take took = TAKE_NEXT;
    for (unsigned n = 0; took == TAKE_NEXT && takes_requests(c) && c->io && used < c->io->in.len; n++) {
        if (n == REQUESTS_MAX)
            yield(l, c);
        else
            took = take_request(l, c, c->io->in.data + used, c->io->in.len - used, &used);
    }
    if (c->state == CONN_CLOSED || !c->io)
        return TAKE_STOP;
    if (used > 0)
        buf_consume(&c->io->in, used);
    if (c->state == CONN_HEAD && took == TAKE_MORE) {
        c->io->seen = c->io->in.len;
        expect_rest_of_head(l, c);
    }
    conn_trim(l, c);
    return took;
}

/* Goes on with what the connection's own buffer holds, be it the rest of a body or further requests. */
static void take_more(struct loop *l, struct conn *c)
{
    do {
        if (c->state == CONN_BODY && !continue_body(l, c))
            return;
        if (c->state == CONN_FEED)
            feed_go_on(l, c); /* the next request behind it comes from the list */
    } while (c->state == CONN_HEAD && take_kept(l, c) == TAKE_BODY);
}

/* Requests from bytes that are not the connection's: what is left over is kept. */
static void take_fresh(struct loop *l, struct conn *c, const char *p, size_t n)
{
    size_t used = 0;
    enum take took = TAKE_NEXT;
    for (unsigned i = 0; used < n && took == TAKE_NEXT && takes_requests(c); i++) {
        if (i == REQUESTS_MAX)
            yield(l, c);
        else
            took = take_request(l, c, p + used, n - used, &used);
    }
    if (took == TAKE_BODY) {
        take_more(l, c);
        return;
    }
    bool waits = c->state == CONN_HEAD || c->state == CONN_WAIT;
    if (used >= n || !waits || !stash(l, c, p + used, n - used))
        return;
    c->io->seen = took == TAKE_MORE ? n - used : 0;
    if (took == TAKE_MORE)
        expect_rest_of_head(l, c);
}

static void end_of_input(struct loop *l, struct conn *c)
{
    c->flags |= CONN_EOF;
    if (c->state == CONN_STREAM || c->state == CONN_LINGER || !conn_owes(c)) {
        conn_close(l, c, CLOSE_CLIENT, c->state == CONN_STREAM && c->flags & CONN_BLOCKED);
        return;
    }
    if (c->state != CONN_ENDING) {
        conn_set_state(c, CONN_ENDING);
        conn_set_deadline(l, c, CONN_LINGER_MS);
    }
    conn_watch(l, c, IO_WRITE);
}

static void broken(struct loop *l, struct conn *c, int error)
{
    conn_close(l, c, error == ETIMEDOUT ? CLOSE_TIMEOUT : CLOSE_RESET, true);
}

/* Bytes that no request is made of: after a stream began, or after the last answer. */
static void discard_input(struct loop *l, struct conn *c)
{
    ssize_t n = l->io->ops->recv(l->io, c->fd, l->read_buffer, LOOP_READ_BUFFER);
    if (n == 0)
        end_of_input(l, c);
    else if (n < 0 && n != -EAGAIN)
        broken(l, c, (int)-n);
}

/* If a stream has begun: what the peer sent behind its request is nobody's, and the first bytes leave at
 * once. (A crowd that comes in one turn would otherwise fill the heap with answers that wait for its end, and
 * leave it full of holes.) */
static void after_input(struct loop *l, struct conn *c)
{
    if (c->state != CONN_STREAM)
        return;
    conn_drop_in(l, c);
    deliver_flush(l, c);
}

static void read_request(struct loop *l, struct conn *c)
{
    struct conn_io *io = c->io && c->io->in.len > 0 ? c->io : NULL;
    char *to = l->read_buffer;
    size_t room = LOOP_READ_BUFFER;
    if (io) {
        room = READ_STEP;
        if (!conn_grow_in(l, c, room)) {
            no_room(l, c);
            return;
        }
        to = io->in.data + io->in.len;
    }
    ssize_t n = l->io->ops->recv(l->io, c->fd, to, room);
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        n == 0 ? end_of_input(l, c) : broken(l, c, (int)-n);
        return;
    }
    stats_add(&l->stats.received_bytes, (uint64_t)n);
    if (!io) {
        take_fresh(l, c, to, (size_t)n);
    } else {
        io->in.len += (size_t)n;
        take_more(l, c);
    }
    after_input(l, c);
}

/* ---- flushing ---- */

static void linger(struct loop *l, struct conn *c)
{
    if (c->flags & CONN_EOF) {
        conn_close(l, c, CLOSE_CLIENT, false);
        return;
    }
    /* RFC 9112 section 9.6: closing while the peer still sends would reset the connection and may destroy the
     * answer on its way. */
    conn_shutdown(l, c);
    conn_drop_in(l, c); /* of a refused request: others need the room */
    conn_trim(l, c);
    conn_set_state(c, CONN_LINGER);
    conn_end_streaming(l, c); /* all of it is sent: nobody has to wait for the peer */
    conn_set_deadline(l, c, CONN_LINGER_MS);
    c->flags &= (uint8_t)~CONN_PAUSED;
    conn_watch(l, c, IO_READ | IO_HANGUP);
}

static void resume_requests(struct loop *l, struct conn *c)
{
    c->flags &= (uint8_t)~CONN_PAUSED;
    conn_watch(l, c, IO_READ | IO_HANGUP);
    take_more(l, c);
    after_input(l, c);
}

static void flush(struct loop *l, struct conn *c)
{
    if (c->sub.marks & SUB_KICK && c->state == CONN_STREAM)
        deliver_end(l, c, CLOSE_KICK);
    if (c->state == CONN_FEED)
        feed_seal(c);
    bool sent = deliver_flush(l, c) == DELIVER_DONE;
    if (c->state == CONN_SESSION) {
        h2_flushed(l, c, sent);
        return;
    }
    if (c->state == CONN_FEED) {
        feed_go_on(l, c); /* it knows itself how much may wait */
        return;
    }
    if (!sent) {
        if (c->flags & CONN_PAUSED && c->state != CONN_CLOSED)
            conn_watch(l, c, IO_WRITE);
        return;
    }
    if (c->state != CONN_WAIT)
        conn_release(l, c); /* what it was answered is sent */
    if (c->state == CONN_ENDING)
        linger(l, c);
    else if (c->flags & CONN_PAUSED)
        resume_requests(l, c);
}

static void serve_readers(struct loop *l)
{
    l->requests_since_news = 0;
    deliver_news(l);
    deliver_turn_end(l);
}

/* Takes the list: whoever is listed while this runs is looked at the next time. */
static void visit_list(struct loop *l, void (*visit)(struct loop *l, struct conn *c))
{
    uint32_t slot = l->listed;
    l->listed = SLAB_NONE;
    while (slot != SLAB_NONE) {
        struct conn *c = slab_get(&l->conns, slot);
        slot = c->next;
        c->flags &= (uint8_t)~CONN_LISTED;
        visit(l, c);
    }
}

/* Streams that are listed do not wait for the end of the turn. */
static void flush_if_stream(struct loop *l, struct conn *c)
{
    if (c->state == CONN_STREAM)
        flush(l, c);
    else
        conn_list(l, c);
}

/* In the middle of a turn, when much was published in it. */
static void keep_up(struct loop *l)
{
    if (l->requests_since_news < NEWS_MAX)
        return;
    serve_readers(l);
    visit_list(l, flush_if_stream);
    h2_flush_all(l);
    deliver_turn_end(l);
}

static void flush_or_free(struct loop *l, struct conn *c)
{
    if (c->state == CONN_CLOSED)
        conn_free(l, c);
    else
        flush(l, c);
    keep_up(l);
}

static void flush_list(struct loop *l)
{
    visit_list(l, flush_or_free);
    h2_flush_all(l);
}

/* ---- deadlines ---- */

static void overdue(struct loop *l, struct conn *c)
{
    struct exchange x = {.loop = l, .conn = c};
    struct waiter *w = c->io->waiter;
    w->overdue(w, &x);
    if (!x.answered && c->state == CONN_WAIT && conn_due(l, c))
        conn_close(l, c, CLOSE_ERROR, true);
}

static void on_deadline(struct loop *l, struct conn *c)
{
    static const struct h1_error slow_head = {
        .status = 408, .code = "head_timeout", .detail = "the request head took longer than --head-timeout"};
    static const struct h1_error slow_body = {
        .status = 408, .code = "body_timeout", .detail = "the request body took longer than --body-timeout"};
    switch ((enum conn_state)c->state) {
    case CONN_HEAD:
        if (c->io && c->io->in.len > 0 && c->io->out.len + c->io->page.len == 0)
            ask_refuse(l, c, NULL, &slow_head);
        else
            conn_close(l, c, CLOSE_TIMEOUT, false);
        break;
    case CONN_BODY:
        ask_refuse(l, c, NULL, &slow_body);
        break;
    case CONN_WAIT:
        overdue(l, c);
        break;
    case CONN_FEED:
        feed_overdue(l, c);
        break;
    case CONN_SESSION:
        h2_overdue(l, c);
        break;
    case CONN_STREAM:
        deliver_due(l, c);
        break;
    case CONN_ENDING:
    case CONN_LINGER:
        conn_close(l, c, CLOSE_TIMEOUT, true);
        break;
    case CONN_FREE:
    case CONN_CLOSED:
        break;
    }
}

/* A reader that takes nothing although bytes wait. With a socket of its own the kernel finds it
 * (TCP_USER_TIMEOUT); behind a window of HTTP/2 we do. */
static bool is_stuck(const struct loop *l, const struct conn *c)
{
    uint32_t patience = l->config.user_timeout;
    return c->state == CONN_STREAM && c->flags & CONN_BLOCKED && patience > 0 && conn_is_carried(c) &&
           (uint32_t)l->now - atomic_load_explicit(&c->last_write, memory_order_relaxed) > patience;
}

static void check(struct loop *l, struct conn *c)
{
    if (conn_due(l, c))
        on_deadline(l, c);
    else if (is_stuck(l, c))
        conn_close(l, c, CLOSE_TIMEOUT, true);
    else if (c->state == CONN_STREAM)
        deliver_heartbeat(l, c);
}

/* A tenth of all connections, ten times a second: a deadline is kept within a second, and with few
 * connections within a tenth of one. */
static void sweep(struct loop *l)
{
    uint32_t end = slab_end(&l->conns);
    uint32_t share = end / 10 > SWEEP_MIN ? end / 10 : SWEEP_MIN;
    for (uint32_t done = 0; done < share && done < end; done += SLAB_CHUNK) {
        if (l->sweep >= end)
            l->sweep = 0;
        struct conn *chunk = slab_chunk_at(&l->conns, l->sweep);
        l->sweep += SLAB_CHUNK;
        for (unsigned i = 0; chunk && i < SLAB_CHUNK; i++)
            if (chunk[i].state != CONN_FREE)
                check(l, &chunk[i]);
    }
}

/* ---- what others ask of the loop ---- */

static void begin_drain(struct loop *l, uint32_t ms)
{
    l->draining = true;
    for (uint32_t i = 0; i < slab_end(&l->conns); i++) {
        struct conn *c = slab_get(&l->conns, i);
        if (c && c->state == CONN_STREAM)
            conn_set_deadline(l, c, 1 + rng_below(&l->rng, ms - ms / 4));
        else if (c && c->state == CONN_FEED)
            conn_list(l, c); /* ends at the end of a line */
        else if (c && c->state == CONN_SESSION)
            h2_drain(l, c);
    }
}

static void take_orders(struct loop *l)
{
    uint32_t drain = atomic_load_explicit(&l->drain_ms, memory_order_acquire);
    if (drain > 0 && !l->draining)
        begin_drain(l, drain);
    if (atomic_exchange(&l->new_config, false))
        loop_take_config(l);
}

/* ---- the turn ---- */

static void read_some(struct loop *l, struct conn *c)
{
    if (c->state == CONN_HEAD || c->state == CONN_BODY)
        read_request(l, c);
    else if (c->state == CONN_FEED)
        feed_read(l, c);
    else if (c->state == CONN_SESSION)
        h2_read(l, c);
    else
        discard_input(l, c);
}

static void handle(struct loop *l, const struct io_event *e)
{
    uint32_t slot = (uint32_t)e->tag, gen = (uint32_t)(e->tag >> 32);
    if (gen == ACCEPTOR_GEN) {
        acceptor_ready(l, slot);
        return;
    }
    struct conn *c = slab_get(&l->conns, slot);
    if (!c || c->sub.gen != gen || c->state == CONN_CLOSED)
        return;
    bool unwatched = c->interest == 0;
    if (e->ready & IO_WRITE)
        flush(l, c);
    if (!(e->ready & (IO_READ | IO_HANGUP)) || c->state == CONN_CLOSED)
        return;
    if (unwatched) /* then only breakage is reported */
        conn_close(l, c, CLOSE_RESET, true);
    else if (c->state == CONN_WAIT) /* until it is answered nothing is read, nor the end of the peer's side */
        conn_watch(l, c, c->interest & IO_WRITE);
    else if (!(c->flags & CONN_PAUSED))
        read_some(l, c);
    /* Paused: what the peer has sent stays in the kernel; a broken connection shows when it is flushed. */
}

static int time_to_wait(struct loop *l, int max_wait_ms)
{
    if (atomic_load_explicit(&l->drain_ms, memory_order_relaxed) > 0 && !l->draining)
        return 0;
    if (l->listed != SLAB_NONE || loop_is_posted(l) || registry_has_news(l->registry, l->index) ||
        atomic_load(&l->new_config))
        return 0;
    int wait = IDLE_WAIT_MS;
    if (l->conns.used > 0)
        wait = l->next_tick > l->now ? (int)(l->next_tick - l->now) : 0;
    return max_wait_ms >= 0 && max_wait_ms < wait ? max_wait_ms : wait;
}

void worker_turn(struct loop *l, int max_wait_ms)
{
    struct io_event events[EVENTS_MAX];
    /* Whoever posts news sets them first and then looks at `sleeping`; we do it the other way round. One of
     * us always sees the other. */
    atomic_store_explicit(&l->sleeping, true, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    int count = l->io->ops->wait(l->io, events, EVENTS_MAX, time_to_wait(l, max_wait_ms));
    atomic_store_explicit(&l->sleeping, false, memory_order_seq_cst);
    loop_update_time(l);
    take_orders(l);
    if (loop_is_posted(l))
        loop_run_posted(l);
    for (int i = 0; i < count; i++) {
        handle(l, &events[i]);
        keep_up(l);
    }
    serve_readers(l);
    flush_list(l);
    deliver_turn_end(l); /* the list, too, has pulled */
    if (l->now >= l->next_tick) {
        l->next_tick = l->now + TICK_MS;
        acceptor_tick(l);
        sweep(l);
        deliver_relieve(l);
        l->handler->on_tick(l->user, l);
    }
}

void worker_run(struct loop *l, const atomic_bool *stop)
{
    while (!atomic_load(stop))
        worker_turn(l, -1);
}

/* After their streams, so that what those were still to be told is sent. */
static void close_sessions(struct loop *l)
{
    for (uint32_t i = 0; i < slab_end(&l->conns); i++) {
        struct conn *c = slab_get(&l->conns, i);
        if (!c || c->state != CONN_SESSION)
            continue;
        h2_say_goodbye(l, c);
        deliver_flush(l, c);
        conn_close(l, c, CLOSE_STOP, false);
    }
}

void worker_close_all(struct loop *l)
{
    for (uint32_t i = 0; i < slab_end(&l->conns); i++) {
        struct conn *c = slab_get(&l->conns, i);
        if (c && c->state != CONN_SESSION)
            conn_close(l, c, CLOSE_STOP, false);
    }
    close_sessions(l);
    flush_list(l);
    while (loop_is_posted(l))
        loop_run_posted(l); /* finds that the connections are gone */
}
