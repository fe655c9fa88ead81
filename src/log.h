/* SPDX-License-Identifier: MIT
 *
 * log - what was published: one hub-wide order of numbers, and for each channel (all, one client, one topic)
 * the events that are still held, oldest first. A reader is nothing but a cursor into that order; what it has
 * not seen is found by binary search, whatever is stored beside it.
 *
 *     numbers     1   2   3   4   5   6   7   8   9
 *     all         .       .           .           .        a reader of {all, client ada} with cursor 4
 *     client ada      .           .                        pulls 5 and 6, then 9; its cursor is 9
 *     topic news              .           .   .
 *
 * Held events are bounded by count, bytes and age for each channel and by bytes for the hub. A channel knows
 * the highest number that it has given up (`lost`): a cursor below that has missed something, and is told so.
 *
 * One lock guards all of it, and the registry above it too. It is held for microseconds, never during I/O.
 * Functions want it held by the caller, except where they say otherwise.
 */
#ifndef LOG_H
#define LOG_H

#include "clock.h"
#include "event.h"

#include <pthread.h>
#include <stdint.h>

#define LOG_PULL_MAX    64   /* events that one pull returns at the most */
#define LOG_SOURCES_MAX 1026 /* channels that one reader can have: all, its own, 1024 topics */

enum channel_kind {
    CHANNEL_ALL,    /* broadcasts: the one without a key */
    CHANNEL_CLIENT, /* a client's own events */
    CHANNEL_TOPIC,
    CHANNEL_ADMIN, /* what dashboards are told; not part of anybody's metrics */
};

struct ring;
struct sub;
struct members;

struct channel {
    struct channel *bucket; /* next in the table's chain */
    struct ring *ring;      /* NULL until the first event */
    uint64_t queued;        /* registry's: a bit for each loop that has been told of news */
    union {                 /* registry's: who listens */
        struct {
            struct sub *first;
            struct channel *newer; /* all present clients in order of arrival */
            struct channel *older;
        } client;
        struct {
            struct members *loops; /* one list for each loop; NULL while nobody has listened */
        } topic;
    };
    char *label;      /* a client's display name, or NULL */
    uint64_t arrival; /* registry's: when the client came, as a number that only grows */
    uint32_t hash;
    uint32_t subs; /* connections that listen */
    uint16_t key_len;
    uint8_t kind;
    char key[];
};

/* What is kept. All may be changed while the log is in use. */
struct log_policy {
    uint32_t size;        /* events per channel; 0: kept for live readers only, never replayed */
    uint32_t bytes;       /* per channel */
    uint32_t ttl;         /* ms; 0 = no limit */
    uint64_t total_bytes; /* hub */
};

#define LOG_FORGOTTEN 1024

struct log {
    pthread_mutex_t lock;
    const struct clock *clock;
    struct log_policy policy;
    char epoch[EVENT_EPOCH_LEN + 1];
    uint64_t seq;  /* of the newest event; 0: none yet */
    uint64_t seed; /* of the table's hash */
    struct channel **table;
    uint32_t table_size; /* a power of two */
    uint32_t channel_count;
    struct channel *all;
    struct channel *admin;
    struct event *oldest; /* of all held events, in the order of publishing */
    struct event *newest;
    uint64_t held_bytes;
    uint64_t held_events;
    uint64_t evicted;                  /* events given up so far, whatever the reason */
    uint64_t forgotten[LOG_FORGOTTEN]; /* by key hash: `lost` of channels that are gone */
};

/* Makes the lock and the two channels that always exist; the epoch is new. 0, -ENOMEM or -errno. */
int log_init(struct log *log, const struct log_policy *policy, const struct clock *clock);

/* Drops all events and channels; nobody may listen any more. Without the lock. */
void log_finish(struct log *log);

static inline void log_lock(struct log *log)
{
    pthread_mutex_lock(&log->lock);
}

static inline void log_unlock(struct log *log)
{
    pthread_mutex_unlock(&log->lock);
}

/* The channel with this key, or NULL. */
struct channel *log_find(const struct log *log, enum channel_kind kind, struct span key);

/* The same, made if necessary; NULL when memory is short. A channel that nobody uses must be handed to
 * log_release(). */
struct channel *log_open(struct log *log, enum channel_kind kind, struct span key);

/* Frees the channel if nobody listens, nothing is held and no loop has it in its inbox. */
void log_release(struct log *log, struct channel *c);

/* Gives the event the next number and adds it to the channel. ttl in ms; UINT64_MAX: the policy's; 0: for
 * live readers only. Takes a reference of its own. 0, or -1 when memory is short: then nothing has changed.
 */
int log_append(struct log *log, struct channel *c, struct event *e, uint64_t ttl);

/* Gives the event the next number and keeps it nowhere. */
void log_number(struct log *log, struct event *e);

/* Nobody listens any more (subs must be 0, else nothing happens): gives up what the channel holds and frees
 * it. */
void log_retire(struct log *log, struct channel *c);

/* First channel of the table's chain for this hash; go on with ->bucket. */
struct channel *log_chain(const struct log *log, uint32_t hash);

/* What a reader gets next. */
struct pull {
    uint64_t cursor; /* in: the last number seen. out: the number seen once `events` are */
    uint64_t prev;   /* any cursor from here to below the first event would have pulled the same */
    bool more;       /* there was more than fits */
    bool lost;       /* something after the cursor is gone. Nothing is pulled then */
    unsigned count;
    size_t bytes;                       /* of the frames */
    struct event *events[LOG_PULL_MAX]; /* each with a reference, the caller's */
};

/* Merges the channels in order, up to number `horizon`, LOG_PULL_MAX events and about max_bytes (at least one
 * event). */
void log_pull(struct log *log, struct channel *const *channels, unsigned count, uint64_t horizon,
              size_t max_bytes, struct pull *pull);

/* Drops the references of a pull. Without the lock. */
void log_pull_finish(struct pull *pull);

/* Is everything after the cursor still held? */
bool log_is_complete(const struct log *log, struct channel *const *channels, unsigned count, uint64_t cursor);

/* Bytes that a reader with this cursor has before it. */
uint64_t log_owed(const struct channel *const *channels, unsigned count, uint64_t cursor);

/* Gives up what is too old, and enforces a changed policy. Call about once a second. */
void log_sweep(struct log *log);

#endif
