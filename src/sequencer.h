/* SPDX-License-Identifier: MIT
 *
 * sequencer - the one place where it is decided what comes after what. Without a store that is a moment under
 * the log's lock, on the thread that publishes. With one it is a thread of its own, which takes whatever has
 * queued up, writes it in one transaction, and only when that is on the disk lets anybody see it:
 *
 *     post ──► queue ──► number ──► store: one commit for all ──► append, tell the loops ──► done
 *                                        └── failed: nobody sees anything, every posting is told
 *
 * So nothing is delivered that a restart could take back, and nothing is acknowledged that is not stored.
 */
#ifndef SEQUENCER_H
#define SEQUENCER_H

#include "idempotency.h"
#include "registry.h"
#include "report.h"
#include "store.h"

#define SEQUENCER_QUEUE_MAX   65536       /* postings that wait for the store */
#define SEQUENCER_QUEUE_BYTES (64u << 20) /* and their bytes */
#define SEQUENCER_BATCH_MAX   256         /* postings of one transaction: few enough that readers keep up */

enum posting_result {
    POSTING_OK,
    POSTING_MEMORY,    /* memory is short */
    POSTING_MISMATCH,  /* the key was used for something else */
    POSTING_KEYS_FULL, /* no further key can be remembered */
    POSTING_BUSY,      /* the queue for the store is full */
    POSTING_STORE,     /* not stored, and seen by nobody: posting.why */
    POSTING_CLOSED,    /* the hub is being stopped */
};

/* Something on its way into the log. The publisher's memory, untouched by it until it is done. */
struct posting {
    struct posting *next; /* the sequencer's */

    /* asked; what the spans point to must live until it is done */
    struct event *event; /* a reference of the publisher's, who drops it when it is done */
    enum channel_kind kind;
    struct span to;
    uint64_t ttl;                   /* ms, as for log_append() */
    struct span key;                /* of idempotency; p = NULL: none */
    struct idempotency_print print; /* see sequencer_print() */
    uint32_t self;                  /* the publishing loop, or REGISTRY_NO_LOOP */
    /* The result is there. On the sequencer's thread, without a lock; never called when sequencer_post()
     * returned true. */
    void (*done)(struct posting *p);
    void *user; /* the publisher's */

    /* the result */
    enum posting_result result;
    enum store_result why;
    uint64_t seq;
    uint64_t connections; /* that it was handed to */
    bool repeated;        /* the key was known: this is the first request's result, and nothing was sent */

    /* the sequencer's while it is under way */
    bool placed; /* has its place and its number */
    struct place place;
    struct idempotency_entry *entry;
    struct posting *first; /* of the same batch, with the same key */
};

/* Counted by the sequencer, read by anybody. */
struct sequencer_stats {
    _Atomic uint64_t commits;
    _Atomic uint64_t committed; /* events */
    _Atomic uint64_t failures;  /* of commits */
    _Atomic uint64_t commit_us; /* spent in commits, sum */
    _Atomic uint64_t queued;    /* postings that wait now */
    _Atomic uint64_t bytes;     /* of the store's file */
    _Atomic int failing;        /* enum store_result of the last commit */
};

/* What is to be taken out of the store. */
struct sequencer_drops {
    struct store_mark {
        uint64_t seq;
        uint32_t slot; /* of a mark; UINT32_MAX: the event with this number is gone */
    } * at;
    uint32_t count;
    uint32_t cap;
};

struct sequencer {
    struct registry *registry;
    struct log *log;
    struct store *store; /* NULL: none */
    struct report report;
    uint64_t seeds[2]; /* of prints */
    uint32_t window;   /* ms that keys are remembered; lock of the log */
    struct idempotency keys;
    struct sequencer_stats stats;

    pthread_mutex_t mutex; /* of the queue */
    pthread_cond_t news;
    struct posting *first;
    struct posting *last;
    uint32_t queue_count;
    uint64_t queue_bytes;
    bool stop;
    bool running;
    pthread_t thread;

    struct sequencer_drops drops; /* lock of the log: given up, and the store has not been told yet */
    uint64_t safe;                /* the sequencer's own: numbers up to here are reserved in the store */
    uint64_t tidied;              /* the same: monotonic ms */
    uint32_t batch_window;        /* the same: window of the present batch */
};

/* store may be NULL; the sequencer then owns it and closes it. The log must have been made with the store's
 * identity. keys_max: ceiling of keys that are remembered. 0 or -errno. */
int sequencer_init(struct sequencer *q, struct registry *registry, struct store *store,
                   const struct log_identity *id, const struct report *report, uint32_t window_ms,
                   uint32_t keys_max);

/* Brings what the store holds into the log. Before anybody publishes or joins. */
enum store_result sequencer_load(struct sequencer *q);

/* Starts and ends the thread; without a store both do nothing. What still waits at the end is written; what
 * is posted afterwards is answered POSTING_CLOSED. All signals are blocked in it. 0 or -errno. */
int sequencer_start(struct sequencer *q);
void sequencer_stop(struct sequencer *q);
void sequencer_finish(struct sequencer *q); /* stops if necessary; closes the store */

static inline bool sequencer_is_async(const struct sequencer *q)
{
    return q->store != NULL;
}

/* Publishes. True: the result is there. False: done will be called. Any thread. */
bool sequencer_post(struct sequencer *q, struct posting *p);

/* The same, and waits. Any thread but the sequencer's own. */
void sequencer_publish(struct sequencer *q, struct posting *p);

/* Writes what waits, in one transaction; the thread's turn, for tests. False: nothing waited. */
bool sequencer_turn(struct sequencer *q);

/* The fingerprint of a message: two that differ in target, event, payload or ttl differ in it. */
struct idempotency_print sequencer_print(const struct sequencer *q, enum channel_kind kind, struct span to,
                                         const struct event *e, uint64_t ttl);

/* Forgets keys whose time is over. About once a second, any thread. (The store is tidied by the thread.) */
void sequencer_tick(struct sequencer *q);

#endif
