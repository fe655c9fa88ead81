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
 * Held events are bounded by count, bytes and age for each channel and by bytes for the hub, channels without
 * listeners included. A channel knows the highest number that it has given up (`lost`; `missed` when it was
 * one for history): a cursor below that has missed something, and is told so.
 *
 * History and live delivery are the same thing, a cursor that is behind. What differs is what a reader is
 * owed: of events from before it came (a replay) only those that are meant to be kept and are still fresh.
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
    uint8_t rule; /* of a topic: 1 + the index of its rule; 0: the hub's policy */
    char key[];
};

/* What a channel keeps. */
struct log_policy {
    uint32_t size;    /* events; 0: kept for live readers only, never replayed */
    uint32_t bytes;   /* 0 = no limit */
    uint32_t ttl;     /* ms; 0 = no limit */
    bool latest_only; /* size is 1, a newer event replaces the one before it and nobody has missed that, and a
                         newcomer is given the one that is held */
};

/* A policy of its own for topics. */
struct log_rule {
    struct span topic; /* the name, or its beginning */
    bool prefix;
    struct log_policy policy;
};

#define LOG_RULES_MAX 64

/* What is kept, by whom. Rules are ordered by the caller: the first that fits counts. */
struct log_policies {
    struct log_policy base;
    uint64_t total_bytes;         /* hub; 0 = no limit */
    const struct log_rule *rules; /* must live as long as the log, or until others are set */
    uint32_t rule_count;
};

/* What a hub is across its restarts, if it has a store. */
#define LOG_SEEDS 3
struct log_identity {
    char epoch[EVENT_EPOCH_LEN + 1];
    uint64_t seeds[LOG_SEEDS]; /* of the table's hash; two that are for others */
    uint64_t seq;              /* no number above this one has ever been used */
};

/* Is told, under the lock, what is given up; for the store. */
struct log_watch {
    void (*gone)(void *user, uint64_t seq);                  /* an event with `stored` */
    void (*marked)(void *user, uint32_t slot, uint64_t seq); /* forgotten[slot] was raised */
    void *user;
};

#define LOG_FORGOTTEN 16384

struct log {
    pthread_mutex_t lock;
    const struct clock *clock;
    struct log_policies policies;
    struct log_watch watch;
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
    struct event *sweep; /* where the sweep over all of them goes on */
    uint64_t held_bytes; /* of events, and of the channels and rings that hold some */
    uint64_t held_events;
    uint64_t evicted;             /* events given up so far, whatever the reason */
    uint64_t stalled_bytes;       /* of events given up that readers still stand in the middle of */
    struct event *stalled_oldest; /* these events, in the order in which they were given up */
    struct event *stalled_newest;
    uint64_t *forgotten; /* LOG_FORGOTTEN marks by key hash: `missed` of channels that hold nothing */
};

/* A new epoch (the time and chance) and new seeds, no number used yet. 0 or -errno. */
int log_identity_make(struct log_identity *id, const struct clock *clock);

/* Makes the lock and the two channels that always exist. 0, -ENOMEM or -errno. */
int log_init(struct log *log, const struct log_policies *policies, const struct log_identity *id,
             const struct clock *clock);

/* A reader was sent the beginning of an event, and needs the rest whatever happens; it has a reference of its
 * own. Until it leaves it again, by the end of the event or its own, the event's bytes are counted if the log
 * gives it up. Both take the lock. */
void log_stall(struct log *log, struct event *e);
void log_unstall(struct log *log, struct event *e);

/* If such events take more than max bytes: the number up to which readers have to leave theirs, so that those
 * that were given up first make room; else 0. With the lock. */
uint64_t log_find_stalled(const struct log *log, uint64_t max);

/* Others from now on; what is too much is given up by the next sweep. Walks all channels. */
void log_set_policies(struct log *log, const struct log_policies *policies);

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

/* What the channel keeps. */
const struct log_policy *log_policy_of(const struct log *log, const struct channel *c);

/* Is an event with this ttl (ms) for history there? */
static inline bool log_keeps(const struct log *log, const struct channel *c, uint64_t ttl)
{
    return ttl > 0 && log_policy_of(log, c)->size > 0;
}

/* Makes room for one more event; the channel then stays until log_append() or log_unreserve(). 0, or -1 when
 * memory is short. */
int log_reserve(struct log *log, struct channel *c);
void log_unreserve(struct log *log, struct channel *c);

/* Adds the event, which has a number above all that were given, to a channel with a reservation, and trims
 * what is too much. Cannot fail. ttl in ms; UINT64_MAX: the policy's; 0: for live readers only; age: ms since
 * it was published, for one that comes from a store. Takes a reference of its own. */
void log_append(struct log *log, struct channel *c, struct event *e, uint64_t ttl, uint64_t age);

/* For the store: the number of the last event for history, also if it is gone; and what is known to be
 * missing when that is not what the store has. */
uint64_t log_missed(const struct log *log, const struct channel *c); /* the highest number for history given
                                                                        up, or maybe given up */
uint64_t log_last_kept(const struct log *log, const struct channel *c);
void log_set_missed(struct log *log, struct channel *c, uint64_t seq);

/* The channel has a reservation, and the last event for history will be that with this number; or, when it is
 * lower, it was after all. */
void log_expect(struct log *log, struct channel *c, uint64_t seq);

/* log_missed() of a channel that log_find() does not find. */
uint64_t log_forgotten(const struct log *log, enum channel_kind kind, struct span key);

/* Writes the number into the event. The log's own counter moves when the event is appended, or, if it is
 * kept nowhere, with log_pass(). */
void log_number(struct log *log, struct event *e, uint64_t seq, uint64_t ts);
void log_pass(struct log *log, const struct event *e);

/* Nobody listens any more (subs must be 0, else nothing happens): gives up what was held for live readers
 * only, and frees the channel if it holds nothing then. */
void log_retire(struct log *log, struct channel *c);

/* An event for history has come that the policy does not keep: whoever is not there has missed it. c may be
 * NULL. */
void log_refuse(struct log *log, struct channel *c, uint32_t slot, uint64_t seq);

/* The slot of the channel's mark. */
static inline uint32_t log_slot(const struct channel *c)
{
    return c->hash % LOG_FORGOTTEN;
}

/* Raises the mark of channels that are gone; for what a store remembers. */
void log_forget(struct log *log, uint32_t slot, uint64_t seq);

/* First channel of the table's chain for this hash; go on with ->bucket. */
struct channel *log_chain(const struct log *log, uint32_t hash);

/* Gives up what is too old, wherever it stands, and enforces a changed policy. Looks at a part of all events,
 * an eighth and at least 4096: call about once a second. */
void log_sweep(struct log *log);

#endif
