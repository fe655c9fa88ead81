/* SPDX-License-Identifier: MIT
 *
 * hooks - tells the user's application who has come and who has gone (--event-url): notices in the order in
 * which they arose, at least once, signed.
 *
 *     POST {"events":[{"id","type":"connect"|"disconnect","clientId","connectionId",…}, …]}
 *     Tidings-Signature: t=<seconds>,v1=<hex HMAC-SHA256 of "<seconds>.<body>">[,v1=…]
 *
 * One request is under way at a time, with up to HOOKS_BATCH notices; it is repeated, ever more slowly, until
 * it is answered with 2xx. Notices wait in memory; those for which there is no room are counted, and the
 * application is told that it has missed some: {"type":"lost","count":n}. Any thread; nothing here waits.
 */
#ifndef HOOKS_H
#define HOOKS_H

#include "outbound.h"

#include <pthread.h>
#include <stdatomic.h>

#define HOOKS_BATCH       100
#define HOOKS_SECRETS_MAX 8
#define HOOKS_GRACE_MS    3000 /* for the last notices, when the hub stops */

struct hooks {
    struct outbound *outbound; /* NULL: nobody is told */
    uint32_t most;
    char node[32];
    char *secrets[HOOKS_SECRETS_MAX];
    size_t secret_count;
    pthread_mutex_t lock; /* guards what follows */
    struct notice_text *first, *last;
    uint32_t waiting;        /* in the list */
    uint32_t batch;          /* of those, how many are under way */
    uint64_t lost;           /* since the application was last told */
    uint64_t told_lost;      /* of those, in the batch that is under way */
    uint64_t number;         /* of the newest notice */
    uint32_t failures;       /* of the batch, in a row */
    struct outbound_job job; /* of whoever set busy, until it is done */
    bool busy;               /* the job is under way */
    atomic_uint_fast64_t sent, failed, lost_ever;
};

/* secrets: NULL-ended, or NULL. node: stands in each notice and before its number, so that ids are unique. 0,
 * or -1 with a sentence in error. url = NULL: nobody is told. */
int hooks_init(struct hooks *h, const char *url, const char *const *secrets, uint32_t most, const char *node,
               char *error, size_t error_size);

/* The last notices leave if that is quick. Nothing is told afterwards. */
void hooks_stop(struct hooks *h);
void hooks_finish(struct hooks *h);

static inline bool hooks_is_on(const struct hooks *h)
{
    return h->outbound != NULL;
}

/* A notice: members of a JSON object without braces and without id and seq, which it gets here. p = NULL: one
 * for which memory was short; it is counted as lost. */
void hooks_tell(struct hooks *h, struct span members);

/* Notices that wait. */
uint32_t hooks_waiting(struct hooks *h);

#endif
