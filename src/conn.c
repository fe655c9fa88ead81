/* SPDX-License-Identifier: MIT
 *
 * conn - see conn.h for the states. This room knows how a connection lives and dies; what it is asked is the
 * worker's business, what it is sent is deliver's.
 */
#include "conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Head and body together; the limits of the configuration are checked while they are read. */
#define IN_MAX (3ull << 30)

const char *close_cause_text(enum close_cause cause)
{
    static const char *const texts[] = {
#define CLOSE_CAUSE_TEXT(name, counter, text) text,
        CLOSE_CAUSE_MAP(CLOSE_CAUSE_TEXT)
#undef CLOSE_CAUSE_TEXT
    };
    return texts[cause];
}

static void count_end(struct loop *l, enum close_cause cause)
{
    switch (cause) {
#define CLOSE_CAUSE_COUNT(name, counter, text)                                                               \
    case CLOSE_##name:                                                                                       \
        stats_add(&l->stats.counter, 1);                                                                     \
        break;
        CLOSE_CAUSE_MAP(CLOSE_CAUSE_COUNT)
#undef CLOSE_CAUSE_COUNT
    }
}

static struct conn *take(struct loop *l, int fd, const struct io_peer *peer)
{
    uint32_t slot;
    struct conn *c = slab_take(&l->conns, &slot);
    if (!c)
        return NULL;
    c->fd = fd;
    c->sub.slot = slot;
    if (++l->next_gen == IO_TAG_INNER || l->next_gen == 0)
        l->next_gen = 1; /* 0 tags listeners */
    c->sub.gen = l->next_gen;
    c->sub.loop = (uint8_t)l->index;
    c->next = SLAB_NONE;
    memcpy(c->address, peer->address, sizeof(c->address));
    c->port = peer->port;
    c->family = peer->family;
    c->tls = peer->tls;
    c->sub.since = (uint32_t)l->now;
    c->since_high = (uint8_t)(l->now >> 32);
    c->last_write = (uint32_t)l->now;
    c->interest = IO_READ | IO_HANGUP;
    return c;
}

struct conn *conn_open(struct loop *l, int fd, const struct io_peer *peer)
{
    struct conn *c = take(l, fd, peer);
    if (!c)
        return NULL;
    if (l->io->ops->watch(l->io, fd, (uint64_t)c->sub.gen << 32 | c->sub.slot, c->interest, true) < 0) {
        slab_give(&l->conns, c->sub.slot);
        return NULL;
    }
    conn_set_state(c, CONN_HEAD);
    stats_add(&l->stats.accepted, 1);
    return c;
}

struct conn *conn_open_carried(struct loop *l, const struct carrier *carrier, struct h2_stream *stream,
                               const struct conn *parent)
{
    struct io_peer peer = {.port = parent->port, .family = parent->family, .tls = parent->tls};
    memcpy(peer.address, parent->address, sizeof(peer.address));
    struct conn *c = take(l, -1, &peer);
    if (!c || !conn_more(c)) {
        if (c)
            slab_give(&l->conns, c->sub.slot);
        return NULL;
    }
    c->more->carrier = carrier;
    c->more->stream = stream;
    c->protocol = CONN_HTTP2;
    c->raw = true;
    conn_set_state(c, CONN_HEAD);
    return c;
}

/* The diagram of conn.h, as a row of allowed successors for each state. */
static bool is_edge(enum conn_state from, enum conn_state to)
{
    switch (from) {
    case CONN_FREE:
        return to == CONN_HEAD;
    case CONN_HEAD:
        return to != CONN_FREE && to != CONN_HEAD && to != CONN_LINGER;
    case CONN_BODY:
        return to == CONN_HEAD || to == CONN_ENDING || to == CONN_CLOSED;
    case CONN_WAIT:
    case CONN_FEED:
        return to == CONN_HEAD || to == CONN_CLOSED;
    case CONN_SESSION:
    case CONN_STREAM:
        return to == CONN_ENDING || to == CONN_CLOSED;
    case CONN_ENDING:
        return to == CONN_LINGER || to == CONN_CLOSED;
    case CONN_LINGER:
        return to == CONN_CLOSED;
    case CONN_CLOSED:
        return false;
    }
    return false;
}

void conn_set_state(struct conn *c, enum conn_state state)
{
    assert(is_edge((enum conn_state)c->state, state));
    (void)is_edge;
    c->state = (uint8_t)state;
}

void conn_leave_event(struct loop *l, struct conn *c)
{
    struct conn_io *io = c->io;
    if (!io || !io->partial)
        return;
    log_unstall(l->log, io->partial);
    event_unref(io->partial);
    io->partial = NULL;
    io->partial_block = NULL;
}

static void drop_buffers(struct loop *l, struct conn *c)
{
    if (!c->io)
        return;
    conn_leave_event(l, c);
    conn_drop_in(l, c);
    conn_release(l, c);
    auth_forget(&c->io->who);
    buf_finish(&c->io->out);
    free(c->io);
    c->io = NULL;
}

/* Whoever was to answer it is told when nothing on the stack can point to him. */
static void drop_waiter(struct loop *l, struct conn *c)
{
    struct waiter *w = c->io ? c->io->waiter : NULL;
    if (!w)
        return;
    w->conn = NULL;
    c->io->waiter = NULL;
    if (w->gone.run)
        loop_post(l, &w->gone);
}

/* A slow reader is a stream of a client with a full socket. What such a stream is still to be sent after its
 * end makes nobody a reader. */
static void count_slow(struct loop *l, const struct conn *c, int change)
{
    if (c->flags & CONN_COUNTED)
        atomic_store_explicit(&l->slow,
                              atomic_load_explicit(&l->slow, memory_order_relaxed) + (unsigned)change,
                              memory_order_relaxed);
}

void conn_set_blocked(struct loop *l, struct conn *c, bool blocked)
{
    bool was = c->flags & CONN_BLOCKED;
    if (was == blocked)
        return;
    c->flags ^= CONN_BLOCKED;
    if (c->state == CONN_STREAM)
        count_slow(l, c, blocked ? 1 : -1);
}

void conn_begin_stream(struct loop *l, struct conn *c)
{
    conn_set_state(c, CONN_STREAM);
    c->flags |= c->sub.client ? CONN_STREAMED | CONN_COUNTED : CONN_STREAMED;
    atomic_fetch_add(&l->streams, 1);
    if (c->flags & CONN_BLOCKED) /* an answer before it has filled the socket */
        count_slow(l, c, 1);
}

static void leave(struct loop *l, struct conn *c, enum close_cause cause)
{
    if (c->flags & CONN_BLOCKED)
        count_slow(l, c, -1);
    count_end(l, cause);
    l->handler->on_stream_end(l->user, c, cause);
    registry_leave(l->registry, &c->sub);
}

void conn_end_stream(struct loop *l, struct conn *c, enum close_cause cause)
{
    conn_set_state(c, CONN_ENDING);
    leave(l, c, cause);
}

void conn_end_streaming(struct loop *l, struct conn *c)
{
    if (c->flags & CONN_STREAMED)
        atomic_fetch_sub(&l->streams, 1);
    c->flags &= (uint8_t)~CONN_STREAMED;
}

void conn_close(struct loop *l, struct conn *c, enum close_cause cause, bool reset)
{
    if (c->state == CONN_CLOSED)
        return;
    bool is_stream = c->state == CONN_STREAM;
    conn_set_state(c, CONN_CLOSED);
    if (is_stream)
        leave(l, c, cause);
    conn_end_streaming(l, c);
    if (c->more && c->more->closing)
        c->more->closing(l, c, cause);
    if (conn_is_carried(c))
        c->more->carrier->close(l, c, reset);
    else
        l->io->ops->close(l->io, c->fd, reset);
    c->fd = -1;
    drop_waiter(l, c);
    drop_buffers(l, c);
    conn_drop_pass(c);
    free(c->more);
    c->more = NULL;
    agents_unref(&l->agents, c->agent);
    c->agent = NULL;
    conn_list(l, c);
}

void conn_free(struct loop *l, struct conn *c)
{
    assert(c->state == CONN_CLOSED && !(c->flags & CONN_LISTED));
    slab_give(&l->conns, c->sub.slot);
}

struct conn_io *conn_buffers(struct loop *l, struct conn *c)
{
    (void)l;
    if (c->io)
        return c->io;
    c->io = calloc(1, sizeof(*c->io));
    if (!c->io)
        return NULL;
    buf_init(&c->io->in, IN_MAX);
    buf_init(&c->io->out, CONN_OUT_MAX);
    return c->io;
}

void conn_trim(struct loop *l, struct conn *c)
{
    if (c->io && c->io->in.len == 0 && !conn_owes(c) && !c->io->waiter)
        drop_buffers(l, c);
}

struct conn_more *conn_more(struct conn *c)
{
    if (!c->more)
        c->more = calloc(1, sizeof(*c->more));
    return c->more;
}

bool conn_expire(struct conn *c, uint64_t when, const char *reason)
{
    if (when == 0)
        return true;
    struct conn_more *more = conn_more(c);
    if (more && (more->expires == 0 || when < more->expires)) {
        more->expires = when;
        more->expiry_reason = reason;
    }
    return more != NULL;
}

bool conn_set_pass(struct conn *c, struct span id, struct span subject)
{
    struct conn_more *more = conn_more(c);
    struct pass *pass = more ? malloc(sizeof(*pass) + id.len + subject.len) : NULL;
    if (!pass)
        return false;
    pass->id_len = (uint16_t)id.len;
    pass->subject_len = (uint16_t)subject.len;
    if (id.len > 0)
        memcpy(pass->text, id.p, id.len);
    if (subject.len > 0)
        memcpy(pass->text + id.len, subject.p, subject.len);
    free(more->pass);
    more->pass = pass;
    c->has_pass = true;
    return true;
}

void conn_drop_pass(struct conn *c)
{
    if (!c->more)
        return;
    free(c->more->pass);
    c->more->pass = NULL;
    c->more->expires = 0;
    c->has_pass = false;
}

struct span conn_token_id(const struct conn *c)
{
    const struct pass *pass = c->has_pass ? c->more->pass : NULL;
    return pass && pass->id_len > 0 ? (struct span){pass->text, pass->id_len} : (struct span){0};
}

/* ---- its socket, or what stands for it ---- */

ssize_t conn_send(struct loop *l, struct conn *c, const struct iovec *iov, int count)
{
    return conn_is_carried(c) ? c->more->carrier->send(l, c, iov, count)
                              : l->io->ops->send(l->io, c->fd, iov, count);
}

void conn_shutdown(struct loop *l, struct conn *c)
{
    if (conn_is_carried(c))
        c->more->carrier->shutdown(l, c);
    else
        l->io->ops->shutdown(l->io, c->fd);
}

/* ---- answers ---- */

static void end_after_answer(struct loop *l, struct conn *c)
{
    conn_set_state(c, CONN_ENDING);
    conn_set_deadline(l, c, l->config.idle_timeout ? l->config.idle_timeout : CONN_LINGER_MS);
}

void conn_answered(struct loop *l, struct conn *c, bool close)
{
    struct conn_io *io = c->io;
    bool later = io && io->waiter;
    if (later) {
        io->waiter->conn = NULL;
        io->waiter = NULL;
        conn_set_state(c, CONN_HEAD);
    }
    if (close || c->flags & CONN_EOF || (io && io->last) || conn_is_carried(c)) {
        end_after_answer(l, c);
    } else {
        conn_set_deadline(l, c, l->config.idle_timeout);
        if (later) /* what came behind the request is taken up when this is flushed */
            c->flags |= CONN_PAUSED;
    }
    if (io && (io->page.len > 0 || io->out.len > CONN_PAUSE_BYTES))
        c->flags |= CONN_PAUSED;
    conn_list(l, c);
}

void conn_wait(struct conn *c, enum conn_state state, struct waiter *w)
{
    c->io->waiter = w;
    w->conn = c;
    conn_set_state(c, state);
}

/* ---- request memory ---- */

bool conn_grow_in(struct loop *l, struct conn *c, size_t n)
{
    struct buf *in = &c->io->in;
    size_t before = in->cap;
    if (l->request_bytes + n > LOOP_REQUEST_MEMORY)
        return false;
    in->max = before + (size_t)(LOOP_REQUEST_MEMORY - l->request_bytes); /* doubling stops there too */
    int rc = buf_reserve(in, n);
    l->request_bytes += in->cap - before;
    return rc == 0;
}

void conn_drop_in(struct loop *l, struct conn *c)
{
    if (!c->io || c->io->in.cap == 0)
        return;
    l->request_bytes -= c->io->in.cap;
    buf_finish(&c->io->in);
}

bool conn_reserve(struct loop *l, struct conn *c, size_t n)
{
    if (l->request_bytes + n > LOOP_REQUEST_MEMORY)
        return false;
    c->io->reserved += n;
    l->request_bytes += n;
    return true;
}

void conn_release(struct loop *l, struct conn *c)
{
    if (!c->io || c->io->reserved == 0)
        return;
    l->request_bytes -= c->io->reserved;
    c->io->reserved = 0;
}

void conn_list(struct loop *l, struct conn *c)
{
    if (c->flags & CONN_LISTED)
        return;
    c->flags |= CONN_LISTED;
    c->next = l->listed;
    l->listed = c->sub.slot;
}

void conn_watch(struct loop *l, struct conn *c, uint32_t interest)
{
    if (conn_is_carried(c)) /* told also if nothing changes: the peer's window depends on what was used */
        c->more->carrier->watch(l, c, interest);
    if (c->interest == interest)
        return;
    c->interest = (uint8_t)interest;
    if (!conn_is_carried(c))
        l->io->ops->watch(l->io, c->fd, (uint64_t)c->sub.gen << 32 | c->sub.slot, interest, false);
}

void conn_set_deadline(struct loop *l, struct conn *c, uint32_t ms)
{
    c->flags &= (uint8_t)~CONN_DEADLINE;
    if (ms > 0)
        c->flags |= CONN_DEADLINE;
    c->deadline = (uint32_t)l->now + ms;
}

/* Counted from the loop's start, so that a moment keeps its name when the wall clock is corrected. */
uint64_t conn_connected_at(const struct loop *l, const struct conn *c)
{
    return l->started_wall + ((uint64_t)c->since_high << 32 | c->sub.since);
}

uint64_t conn_last_seen(const struct loop *l, const struct conn *c)
{
    uint64_t now = clock_mono(l->clock) - l->started;
    int32_t age = (int32_t)((uint32_t)now - atomic_load_explicit(&c->last_write, memory_order_relaxed));
    return l->started_wall + now - (uint64_t)(age > 0 ? age : 0);
}

struct netaddr conn_netaddr(const struct conn *c)
{
    struct netaddr a = {.family = c->family};
    memcpy(a.bytes, c->address, c->family == IO_IPV4 ? 4 : sizeof(a.bytes));
    return a;
}

void conn_set_netaddr(struct conn *c, const struct netaddr *a)
{
    memcpy(c->address, a->bytes, sizeof(c->address));
    c->family = a->family;
    c->port = 0;
}

void conn_address(const struct conn *c, char *out)
{
    char host[INET6_ADDRSTRLEN];
    if (c->family == IO_UNIX) {
        snprintf(out, CONN_ADDRESS_LEN, "unix");
        return;
    }
    bool v4 = c->family == IO_IPV4;
    inet_ntop(v4 ? AF_INET : AF_INET6, c->address, host, sizeof(host));
    if (c->port == 0) {
        snprintf(out, CONN_ADDRESS_LEN, "%s", host);
        return;
    }
    snprintf(out, CONN_ADDRESS_LEN, v4 ? "%s:%u" : "[%s]:%u", host, (unsigned)c->port);
}

void conn_set_agent(struct loop *l, struct conn *c, struct span agent)
{
    agents_unref(&l->agents, c->agent);
    c->agent = agents_ref(&l->agents, agent);
}

const char *conn_agent(const struct conn *c)
{
    return c->agent ? c->agent->text : "";
}
