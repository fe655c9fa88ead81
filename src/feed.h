/* SPDX-License-Identifier: MIT
 *
 * feed - a request body that is taken line by line while it arrives, at the pace at which the results of its
 * lines leave. The answer is under way before the body has ended, and both may stay open for long.
 *
 *     socket ──► in: [ decoded lines | bytes of the next request ] ──► ops->line ──► feed_put ──► out
 *
 * Nothing more is read while too much of the answer waits to be sent, or too many lines wait for their
 * result. What goes wrong with the body becomes the last result, or the whole answer if there was none
 * before.
 */
#ifndef FEED_H
#define FEED_H

#include "conn.h"

#define FEED_WAITING_MAX 256 /* lines whose result has not come */

struct feed;

/* What the floor above does with it. */
struct feed_ops {
    /* A line without its end, never empty or blank. The view lives until this returns. Its result is written
     * with feed_put(), now or later; until then it is counted in feed->waiting. */
    void (*line)(struct feed *f, struct span line);
    /* A line, or the rest of the body, that cannot be taken: the error is its result. */
    void (*refuse)(struct feed *f, const struct h1_error *error);
    /* Results have waited since feed->oldest for config.publish_timeout: wait no longer. */
    void (*overdue)(struct feed *f);
    /* Write the head of the answer. False: memory is short. */
    bool (*begin)(struct feed *f);
    /* The answer is complete: nobody points to the feed any more. If the connection is closed before,
     * feed->waiter.gone is posted instead. */
    void (*end)(struct feed *f);
};

/* Zero it, then set ops, waiter.gone and last. */
struct feed {
    struct waiter waiter;
    struct loop *loop;
    const struct feed_ops *ops;
    uint32_t waiting;      /* lines whose result has not come; kept by the floor above */
    uint32_t oldest;       /* loop time since when the first of them waits; the same */
    uint32_t mark;         /* loop time since when it is in this phase */
    uint8_t phase;         /* what limits the time; see feed.c */
    bool raw;              /* HTTP/1.0, HTTP/2: the answer has no chunks */
    bool expects;          /* 100-continue */
    bool begun;            /* the head of the answer is written */
    bool complete;         /* all of the body is here */
    bool skipping;         /* the rest of a line that was refused */
    bool over;             /* no further line is taken */
    bool last;             /* the connection ends with the answer */
    struct h1_error fault; /* of the body, behind the lines that are here; status 0: none */
    size_t chunk;          /* of `out`: where the chunk begins that is being written */
};

/* The body of the exchange is the feed's from now on: HEAD → FEED. The connection must have buffers. */
void feed_begin(struct exchange *x, struct feed *f);

/* Appends to the answer. Nothing if the connection is closed, or was closed by this. */
void feed_put(struct feed *f, struct span text);

/* ---- for the worker ---- */

/* The socket is readable. */
void feed_read(struct loop *l, struct conn *c);

/* A carried connection: no further bytes will come into `in`. */
void feed_end(struct loop *l, struct conn *c);

/* Bytes have come into `in`, or all of the answer so far is sent, or a drain has begun. */
void feed_go_on(struct loop *l, struct conn *c);

/* What is written so far becomes whole chunks; before anything of it is sent. */
void feed_seal(struct conn *c);

/* The body cannot be taken further. */
void feed_break(struct loop *l, struct conn *c, const struct h1_error *error);

/* The deadline has passed. */
void feed_overdue(struct loop *l, struct conn *c);

#endif
