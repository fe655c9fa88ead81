/* SPDX-License-Identifier: MIT
 *
 * conn - one network connection: its state, what it still has to send, its end. A quiet stream is 128 bytes
 * here (plus its client); buffers exist only while they hold something.
 *
 *              accept
 *                 │
 *       ┌──────► HEAD ──────► BODY ──┐        HEAD, BODY   reading a request
 *       │        │││ ▲─────────│─────┘        WAIT         read; the answer comes later
 *       │        ││└─┼► WAIT ──┤              FEED         reading a body, line by line; the answer has begun
 *       │        │└──┼► FEED ──┤              STREAM       an event stream
 *   next request │   └─────────┤              SESSION      HTTP/2: its streams are connections of their own
 *       └────────┤             │              ENDING       the last bytes are on their way
 *                ▼             │              LINGER       all sent; the peer may still be talking
 *             STREAM, SESSION  ▼              CLOSED       unlinked; freed when the loop sleeps
 *                └────────► ENDING ──► LINGER ──► CLOSED      (from everywhere)
 *
 * A stream of HTTP/2 is a connection that is carried: it has no socket, and comes to life in HEAD with its
 * request.
 *
 * Closing has two phases: conn_close() unlinks and closes the socket now, the memory goes at the end of the
 * turn, when nothing on the stack can still point to it.
 */
#ifndef CONN_H
#define CONN_H

#include "agents.h"
#include "event.h"
#include "gzip.h"
#include "h1.h"
#include "loop.h"
#include "netaddr.h"

#include <stddef.h>

enum conn_state {
    CONN_FREE,
    CONN_HEAD,
    CONN_BODY,
    CONN_WAIT,
    CONN_FEED,
    CONN_SESSION,
    CONN_STREAM,
    CONN_ENDING,
    CONN_LINGER,
    CONN_CLOSED
};

/* Why a stream ended: enumerator, counter of stats.h, text for logs. */
#define CLOSE_CAUSE_MAP(X)                                                                                   \
    X(CLIENT, closed_client, "client_closed")                                                                \
    X(RESET, closed_reset, "reset")                                                                          \
    X(TIMEOUT, closed_timeout, "timeout")                                                                    \
    X(AGE, closed_age, "max_age")                                                                            \
    X(EXPIRED, closed_expired, "expired")                                                                    \
    X(DRAIN, closed_drain, "drain")                                                                          \
    X(KICK, closed_kick, "disconnected")                                                                     \
    X(SLOW, closed_slow, "slow_reader")                                                                      \
    X(STOP, closed_stop, "stop")                                                                             \
    X(ERROR, closed_error, "error")

enum close_cause {
#define CLOSE_CAUSE_ENUM(name, counter, text) CLOSE_##name,
    CLOSE_CAUSE_MAP(CLOSE_CAUSE_ENUM)
#undef CLOSE_CAUSE_ENUM
};

/* Ceiling of what waits to be sent besides events and pages, answers of pipelined requests together. */
#define CONN_OUT_MAX (8u << 20)

#define CONN_PAUSE_BYTES (64 * 1024) /* of answers not sent: what else the connection asks waits */
#define CONN_LINGER_MS   2000

const char *close_cause_text(enum close_cause cause);

/* Who answers a connection that waits (WAIT), or that is answered while its body arrives (FEED). The memory
 * of the floor above. */
struct exchange;
struct waiter {
    struct conn *conn; /* NULL: it is answered, or closed */
    /* WAIT: the deadline has passed: answer, or set another. */
    void (*overdue)(struct waiter *w, struct exchange *x);
    /* Posted when the connection was closed before its answer was complete; run may be NULL. */
    struct completion gone;
};

/* What a connection only has while it needs it. */
struct conn_io {
    struct event *partial; /* the event of which only partial_off bytes are sent; a reference */
    const struct deflate_block *partial_block; /* of it, if the stream is compressed; else NULL */
    uint32_t partial_off;
    struct buf in;    /* request bytes that are not complete yet: head, then decoded body */
    struct buf out;   /* answers and what the hub says on its own */
    struct span page; /* sent after out; static memory of the embedder */
    size_t seen;      /* of `in`: parsed without finding the end of the head */
    size_t head_len;  /* BODY: of `in` */
    size_t body_len;  /* BODY, chunked: decoded so far. FEED: decoded and not handled yet */
    uint64_t need;    /* BODY: length of `in` when the request is complete; FEED: bytes of the body that have
                         not come yet; UINT64_MAX when chunked */
    struct h1_chunked chunked;
    struct waiter *waiter; /* WAIT, FEED */
    struct who who;        /* BODY: who asks, found out when the head was there */
    size_t reserved;       /* of loop->request_bytes, until what is in `out` is sent */
    bool last;             /* nothing is read behind the request that is being answered */
};

/* What carries the bytes of a connection that has no socket of its own: it is one stream of an HTTP/2
 * session. All run on the loop's thread. */
struct carrier {
    /* As io's send: bytes taken, -EAGAIN: the window or the session's socket is full; then the connection is
     * listed when there is room again. */
    ssize_t (*send)(struct loop *l, struct conn *c, const struct iovec *iov, int count);
    /* The head of the answer: field lines, each with its CRLF, which may be written over. False: memory is
     * short. */
    bool (*respond)(struct loop *l, struct conn *c, int status, char *fields, size_t len);
    /* Without IO_READ in it the peer is to send no more for now. */
    void (*watch)(struct loop *l, struct conn *c, uint32_t interest);
    /* Ends our side; all of it is sent. */
    void (*shutdown)(struct loop *l, struct conn *c);
    void (*close)(struct loop *l, struct conn *c, bool reset);
};

/* What only some connections have. */
struct conn_more {
    bool zipped; /* its event stream is compressed */
    struct gzip_reader gzip;
    const struct carrier *carrier; /* NULL: it has a socket */
    struct h2_stream *stream;      /* the carrier's */
    struct h2_session *session;    /* that runs on its socket, or NULL */
    /* Ends the session, before the socket is closed. */
    void (*closing)(struct loop *l, struct conn *c, enum close_cause cause);
    uint64_t expires;          /* wall clock, ms: the stream may not live longer; 0 = no such end */
    const char *expiry_reason; /* of `__expired`; static */
    struct pass *pass;         /* the token by which a stream came; see has_pass */
};

/* What is kept of a token, so that it can be revoked; neither is secret. */
struct pass {
    uint16_t id_len;      /* jti; 0 = it has none */
    uint16_t subject_len; /* sub; the same */
    char text[];          /* the one, then the other */
};

struct conn {
    /* hot: all that a walk of deadlines or of a broadcast looks at */
    struct conn_io *io;     /* NULL when there is nothing to hold */
    struct conn_more *more; /* NULL when there is nothing in it */
    int fd;                 /* -1: a carrier has its bytes */
    uint8_t state;
    uint8_t interest;            /* as the io watches it */
    uint8_t flags;               /* enum conn_flag */
    uint8_t since_high;          /* sub.since, bits 32..39 */
    uint32_t next;               /* in the loop's list */
    _Atomic uint32_t last_write; /* these three: ms since the loop started, modulo 2^32 */
    uint32_t heartbeat_at;
    uint32_t deadline; /* of the present state; see CONN_DEADLINE */
    uint16_t port;
    uint8_t family;
    uint8_t protocol; /* enum conn_protocol; constant while joined */
    bool tls;         /* its bytes are encrypted on their way */
    bool crowded;     /* its stream is counted with those of its address: see quota.h */
    bool raw;         /* the present exchange has no chunk frames (HTTP/1.0, HTTP/2); constant while joined */
    bool has_pass;    /* more->pass is there; constant while joined, so that lists need not look at more */
    struct sub sub;
    struct agent *agent; /* shared text, a reference, or NULL */
    uint8_t address[16];
};

enum conn_protocol { CONN_UNKNOWN, CONN_HTTP1, CONN_HTTP2 }; /* UNKNOWN: nothing was asked yet */

enum conn_flag {
    CONN_BLOCKED = 1,  /* the socket is full: wait until it is writable */
    CONN_LISTED = 2,   /* is in the loop's list */
    CONN_STREAMED = 4, /* counted in loop->streams */
    CONN_DEADLINE = 8, /* deadline is set */
    CONN_PAUSED = 16,  /* requests wait in io->in until out is sent */
    CONN_EOF = 32,     /* the peer has ended its side */
    CONN_BEATS = 64,   /* heartbeat_at is set */
    CONN_COUNTED = 128 /* a client's stream, also while it ends: what it is given is counted as delivered */
};

_Static_assert(sizeof(struct conn) == 128, "a quiet stream is two cache lines");

/* One request and its answer; lives on the stack of the room that reads. */
struct exchange {
    struct loop *loop;
    struct conn *conn;
    const struct h1_head *head;
    struct span origin; /* what is refused without a head: the Origin that was found in its bytes */
    struct span body;
    bool answered;
};

/* A new connection in HEAD, watched for reading. NULL when memory is short: the caller closes fd. */
struct conn *conn_open(struct loop *l, int fd, const struct io_peer *peer);

/* A stream of the connection `parent`, in HEAD. NULL when memory is short. */
struct conn *conn_open_carried(struct loop *l, const struct carrier *carrier, struct h2_stream *stream,
                               const struct conn *parent);

/* The event in the middle of which it stands is sent, or will never be. */
void conn_leave_event(struct loop *l, struct conn *c);

/* Unlinks, closes the socket (reset: throws away what is not sent), tells the handler if it was a stream. */
void conn_close(struct loop *l, struct conn *c, enum close_cause cause, bool reset);

/* The state is STREAM now; the connection has joined. */
void conn_begin_stream(struct loop *l, struct conn *c);

/* The stream is over: counted, told to the handler, out of the registry. The state goes to ENDING; what is in
 * the buffers is still sent. */
void conn_end_stream(struct loop *l, struct conn *c, enum close_cause cause);

/* No byte of a stream is still to be sent: a drain need not wait for this connection. Idempotent. */
void conn_end_streaming(struct loop *l, struct conn *c);

/* Second phase, for closed connections only. */
void conn_free(struct loop *l, struct conn *c);

/* Changes the state; asserts that the diagram has the edge. Deadlines and interest are the caller's. */
void conn_set_state(struct conn *c, enum conn_state state);

/* Its buffers, made if necessary; NULL when memory is short. */
struct conn_io *conn_buffers(struct loop *l, struct conn *c);

/* What it has beyond the ordinary, zeroed if it is new; NULL when memory is short. Lives as long as the
 * connection is open. */
struct conn_more *conn_more(struct conn *c);

/* A stream to be may live until then and no longer, wall clock, ms; of several such ends the first counts. 0:
 * nothing changes. reason: what it is told, static. False: memory is short. */
bool conn_expire(struct conn *c, uint64_t when, const char *reason);

/* By which token it comes, before it has joined. False: memory is short. */
bool conn_set_pass(struct conn *c, struct span id, struct span subject);
struct span conn_token_id(const struct conn *c); /* p = NULL: none */

/* Takes back both: of a request that became no stream, when the connection asks another. */
void conn_drop_pass(struct conn *c);

/* Bytes that the socket, or the carrier, takes: as io's send. */
ssize_t conn_send(struct loop *l, struct conn *c, const struct iovec *iov, int count);

/* Ends our side: the peer may still send. */
void conn_shutdown(struct loop *l, struct conn *c);

/* Gives back buffers that hold nothing. */
void conn_trim(struct loop *l, struct conn *c);

/* The answer is in the buffer. close: the connection ends after it; otherwise it goes on with the next
 * request. */
void conn_answered(struct loop *l, struct conn *c, bool close);

/* The state is WAIT or FEED now, and w is told what becomes of it. The connection has buffers. */
void conn_wait(struct conn *c, enum conn_state state, struct waiter *w);

/* Room for n more bytes of requests. False: the memory for them is used up. The connection has buffers. */
bool conn_grow_in(struct loop *l, struct conn *c, size_t n);

/* Gives back the bytes of requests that were not handled. */
void conn_drop_in(struct loop *l, struct conn *c);

/* Counts n bytes of a large answer with the memory of requests, until it is sent. False: it is used up. The
 * connection has buffers. */
bool conn_reserve(struct loop *l, struct conn *c, size_t n);
void conn_release(struct loop *l, struct conn *c);

/* Something waits to be sent, or to be freed: looked at before the loop sleeps. */
void conn_list(struct loop *l, struct conn *c);

/* Watches for these; asks the io only if something changes. */
void conn_watch(struct loop *l, struct conn *c, uint32_t interest);

/* The socket is full, or no longer: sets or clears CONN_BLOCKED, and keeps the count of slow readers. */
void conn_set_blocked(struct loop *l, struct conn *c, bool blocked);

/* The state must end in so many ms; 0 = no deadline. */
void conn_set_deadline(struct loop *l, struct conn *c, uint32_t ms);

static inline bool conn_due(const struct loop *l, const struct conn *c)
{
    return c->flags & CONN_DEADLINE && (int32_t)((uint32_t)l->now - c->deadline) >= 0;
}

static inline bool conn_is_carried(const struct conn *c)
{
    return c->more && c->more->carrier;
}

static inline bool conn_is_zipped(const struct conn *c)
{
    return c->more && c->more->zipped;
}

/* Are there bytes that must be sent before any others? */
static inline bool conn_owes(const struct conn *c)
{
    return c->io && (c->io->partial || c->io->out.len + c->io->page.len > 0);
}

static inline bool conn_is_chunked(const struct conn *c)
{
    return !c->raw;
}

static inline struct conn *conn_of_sub(struct sub *s)
{
    return (struct conn *)(void *)((char *)s - offsetof(struct conn, sub));
}

/* Wall-clock ms. Any thread that holds the registry's lock, for a joined connection. */
uint64_t conn_connected_at(const struct loop *l, const struct conn *c);
uint64_t conn_last_seen(const struct loop *l, const struct conn *c);

/* The peer's address, or that of whom a proxy speaks for. */
struct netaddr conn_netaddr(const struct conn *c);

/* A proxy speaks for somebody: from now on the connection is his. Before it has joined. */
void conn_set_netaddr(struct conn *c, const struct netaddr *a);

/* "192.0.2.1:4711", "[2001:db8::1]:4711", the same without port if that is not known, or "unix". out has room
 * for CONN_ADDRESS_LEN. */
#define CONN_ADDRESS_LEN 64
void conn_address(const struct conn *c, char *out);

/* The User-Agent, cut to 256 bytes, shared with the connections that have the same; "" if none. */
void conn_set_agent(struct loop *l, struct conn *c, struct span agent);
const char *conn_agent(const struct conn *c);

#endif
