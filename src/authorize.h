/* SPDX-License-Identifier: MIT
 *
 * authorize - asks the user's application who a visitor is and what he may subscribe to (--authorize-url):
 * the question with the visitor's credentials, the answer, and a cache of answers for as long as the
 * application says.
 *
 *     POST {"clientId","name","topics":[…],"address","userAgent","origin"}
 *       ──► 2xx, empty: as asked │ 2xx {"clientId","name","topics","subscribe","expiresIn","expiresAt"} │ 401
 * │ 403
 *
 * Anything else, and no answer in time, means that nobody knows: refused, to come back later.
 */
#ifndef AUTHORIZE_H
#define AUTHORIZE_H

#include "outbound.h"
#include "text.h"

#include <pthread.h>
#include <stdatomic.h>

#define AUTHORIZE_CACHE   8192 /* answers that are kept, at most */
#define AUTHORIZE_AGE_MAX 3600 /* seconds that one is kept, at most */
#define AUTHORIZE_QUEUE   1024 /* questions that wait for a place */
#define AUTHORIZE_KEY_LEN 32

enum verdict { VERDICT_UNKNOWN, VERDICT_YES, VERDICT_UNAUTHORIZED, VERDICT_FORBIDDEN };

/* What the application said. Immutable and counted: any thread. */
struct decision;

enum verdict decision_verdict(const struct decision *d); /* NULL: UNKNOWN */
void decision_unref(struct decision *d);

/* The client that he really is; p = NULL: as he asked. The same for his name. */
struct span decision_client(const struct decision *d);
struct span decision_name(const struct decision *d);

/* Topics to be added; item i, p = NULL behind the last. */
struct span decision_topic(const struct decision *d, size_t i);

/* May he have this topic, which he asked for? */
bool decision_allows(const struct decision *d, struct span topic);

/* Until when, wall clock, ms; 0 = no end. */
uint64_t decision_expires(const struct decision *d);

struct authorizer {
    struct outbound *outbound; /* NULL: nobody is asked */
    uint32_t timeout_ms;
    uint32_t most;
    atomic_uint waiting; /* questions under way, those that wait for a place too */
    pthread_mutex_t lock;
    struct cached *cache; /* lock; NULL until the first answer that may be kept */
    unsigned char secret[AUTHORIZE_KEY_LEN];
    atomic_uint_fast64_t asked, cached, yes, no, unknown, busy, took_ms;
};

/* 0, or -1 with a sentence in error. url = NULL: nobody is asked. */
int authorizer_init(struct authorizer *a, const char *url, uint32_t timeout_ms, uint32_t most, char *error,
                    size_t error_size);

/* Lets whoever waits know that there will be no answer. */
void authorizer_stop(struct authorizer *a);
void authorizer_finish(struct authorizer *a);

/* A question. The asker's memory until it is told. */
struct question {
    struct outbound_job job;
    struct authorizer *authorizer;
    unsigned char key[AUTHORIZE_KEY_LEN];
    struct decision *decision; /* a reference; NULL: nobody knows */
    /* On another thread: the decision is there. */
    void (*answered)(struct question *q);
};

/* The question is written (job.headers, job.body). 1: the decision was known; 0: it is to be asked; -1: too
 * many ask already, or memory is short. now: monotonic ms. */
int authorizer_look_up(struct authorizer *a, struct question *q, uint64_t now);

/* After 0: q->answered will be called. */
void authorizer_ask(struct authorizer *a, struct question *q);

#endif
