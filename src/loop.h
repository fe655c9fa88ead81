/* SPDX-License-Identifier: MIT
 *
 * loop - what one event loop has in its hands: its io, its connections, its time, its counters. One thread
 * owns all of it. The rooms of this floor (conn, deliver, worker) are the verbs, this is the noun.
 */
#ifndef LOOP_H
#define LOOP_H

#include "agents.h"
#include "auth.h"
#include "clock.h"
#include "io.h"
#include "registry.h"
#include "report.h"
#include "rng.h"
#include "slab.h"
#include "stats.h"
#include <tidings.h>

#define LOOP_REQUEST_MEMORY (64ull << 20) /* ceiling of request_bytes */
#define LOOP_READ_BUFFER    (64 * 1024)
#define LOOP_FLAT_BUFFER    (64 * 1024)

struct conn;
struct loop;
struct exchange;
struct h1_error;
struct h1_head;
struct h2_session;
struct gzip;
enum close_cause;

/* Word from another thread that something is finished. The memory of whoever posts it, until it is run. */
struct completion {
    struct completion *next;
    void (*run)(struct completion *c, struct loop *l); /* on the loop's thread; may free it */
};

/* What the floor above is asked, given at construction. All run on the loop's thread. */
struct loop_handler {
    /* The head is complete. Answer at once, or take the body as it arrives (feed_begin()); or return true to
     * be called again with the whole body. */
    bool (*on_head)(void *user, struct exchange *x);
    /* The request is complete. It must be answered, become a stream, or wait (worker_wait()) before this
     * returns. */
    void (*on_request)(void *user, struct exchange *x);
    /* Not HTTP, too large or too slow: answer it. x->head may be NULL. */
    void (*on_bad)(void *user, struct exchange *x, const struct h1_error *error);
    /* A stream has ended. */
    void (*on_stream_end)(void *user, struct conn *c, enum close_cause cause);
    /* Descriptors have run out, but for this one connection: what to answer before it is closed. head: of its
     * request, NULL if that has not come yet. */
    void (*on_shed)(void *user, struct loop *loop, const struct h1_head *head, struct buf *out);
    /* About ten times a second while there are connections, else about once. */
    void (*on_tick)(void *user, struct loop *loop);
};

/* Events that many connections are about to be sent: pulled once, sent to all whose cursor fits. */
struct batch {
    struct pull pull;
    uint64_t first; /* number of the first event; 0: the batch is empty */
    unsigned uses;
    bool flattened; /* copied into loop->flat, so that one plain send() takes all */
};

struct loop {
    struct io *io;
    const struct clock *clock;
    struct log *log;
    struct registry *registry;
    struct gzip *gzip; /* the hub's */
    const struct loop_handler *handler;
    void *user;
    struct report report;

    struct tidings_config config; /* a copy; replaced between turns */
    struct auth *auth;            /* a reference; the same */
    struct stats stats;
    struct rng rng;

    uint64_t started;      /* monotonic ms */
    uint64_t started_wall; /* wall clock ms of the same moment */
    uint64_t now;          /* ms since `started`, read once a turn */
    uint64_t next_tick;

    struct slab conns;
    struct agents agents;
    uint32_t index;
    uint32_t next_gen;
    uint32_t listed;  /* first connection of the list that is looked at before sleeping; SLAB_NONE: empty */
    uint32_t sweep;   /* where the sweep over deadlines goes on */
    atomic_uint slow; /* streams of clients whose socket is full; written by the loop alone */
    atomic_uint streams;       /* streams of which something may still have to be sent */
    struct h2_session *unsent; /* HTTP/2 sessions that have framed something since they were last flushed */
    _Atomic uint64_t request_bytes; /* held for requests of all connections, and for large answers */

    struct news news;
    struct batch batch;
    unsigned requests_since_news;
    bool news_all; /* broadcasts wait for their walk */
    bool draining;
    bool flushing_sessions; /* of HTTP/2, right now */
    bool accepting;         /* listeners are watched */

    const int *listeners;
    uint32_t listener_count;
    unsigned accept_errors; /* in a row */

    _Atomic(struct completion *) posted; /* the last one first; pushed by any thread, taken by the loop */

    atomic_bool sleeping;                       /* set before wait: others wake it only then */
    atomic_uint drain_ms;                       /* set once by whoever begins the drain */
    atomic_bool new_config;                     /* *shared_config has changed */
    const struct tidings_config *shared_config; /* the hub's, under the registry's lock */
    struct auth *const *shared_auth;            /* the same */

    char *read_buffer;  /* LOOP_READ_BUFFER, shared by all connections while they are read */
    char *flat;         /* LOOP_FLAT_BUFFER */
    struct buf scratch; /* for what is built and sent at once */
};

/* Memory only; 0 or -1. All pointers among the arguments must outlive the loop. */
int loop_init(struct loop *l, uint32_t index, struct io *io, const struct clock *clock,
              struct registry *registry, const struct tidings_config *config);
void loop_finish(struct loop *l);

/* Reads the clock. */
void loop_update_time(struct loop *l);

/* Takes what is configured now; between turns. */
void loop_take_config(struct loop *l);

/* Any thread: makes the loop look at its news soon. */
void loop_wake(struct loop *l);

/* Any thread: c->run is called on the loop's thread, in the order of posting. Also after the loop has ended:
 * then by loop_finish(), so that nothing is lost; nobody may post after that. */
void loop_post(struct loop *l, struct completion *c);

static inline bool loop_is_posted(struct loop *l)
{
    return atomic_load_explicit(&l->posted, memory_order_seq_cst) != NULL;
}

/* Runs what was posted, in order; what is posted meanwhile is left for the next call. */
void loop_run_posted(struct loop *l);

#endif
