/* SPDX-License-Identifier: MIT
 *
 * registry - who listens: which connection belongs to which client, to which topics, on which loop. It counts
 * exactly, because joining, leaving and publishing happen under one lock (the log's), and it tells each loop
 * which channels have news, once, however many events come before the loop looks.
 *
 *     prepare ──► commit: log_append ──► inbox of each loop that has listeners ──► wake ──► registry_take ──►
 * mark
 *
 * A subscriber is a `struct sub` that lives inside its connection; it is owned by the connection's loop. What
 * the loop alone touches and what the lock guards is written beside each field.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include "bans.h"
#include "cursor.h"

#include <stdatomic.h>

#define REGISTRY_LOOPS_MAX 64
#define REGISTRY_NO_LOOP   UINT32_MAX
#define CONNECTION_ID_LEN  20

struct sub_more;

enum sub_mark {
    SUB_NEWS = 1,  /* one of its own channels (client, topics) has news */
    SUB_KICK = 2,  /* it is to be ended */
    SUB_REPLAY = 4 /* it is given history; SUB_NEWS is set too */
};

struct sub {
    _Atomic uint64_t cursor; /* written by the loop; others may peek */
    uint32_t slot;           /* constant while joined: the connection's number on its loop */
    uint32_t gen;            /* constant while joined */
    uint8_t loop;            /* constant while joined */
    uint8_t marks;           /* loop: enum sub_mark */
    bool kick;               /* lock: is to be ended */
    bool joined;             /* lock */
    uint32_t since;          /* the connection's: see conn_connected_at() */
    struct channel *client;  /* lock; NULL for a dashboard */
    struct sub *next;        /* lock: of the same client, newest first */
    struct sub *prev;
    struct sub_more *more; /* lock to change it; NULL if there is nothing in it */
};

/* What not every sub has. */
struct sub_more {
    struct replay replay;
    uint32_t resyncs; /* loop: how often it was too slow */
    uint32_t count;   /* of topics; constant while joined */
    struct {
        struct channel *channel;
        uint32_t index; /* lock: in the channel's list of this loop */
    } at[];
};

struct inbox {
    struct channel **channels;
    uint32_t count;
    uint32_t cap;
    bool all;      /* there are broadcasts */
    bool overflow; /* memory was short: everybody is to be marked */
};

/* Clients whose row changed since somebody asked, for dashboards. */
#define REGISTRY_CHANGES_MAX 200

#define REGISTRY_DASHBOARDS_MAX 64

struct changes {
    struct span keys[REGISTRY_CHANGES_MAX]; /* owned copies */
    uint32_t count;
    bool truncated;
};

struct registry {
    struct log *log;
    uint32_t loops;
    void (*wake)(void *user, uint32_t loop); /* any thread, never under the lock */
    void *wake_user;

    /* lock */
    uint32_t max_connections; /* 0 = none; dashboards have a ceiling of their own, so that a full hub can be
                                 looked at and a watched one is not fuller */
    uint32_t max_per_client;  /* 0 = none */
    uint64_t connections;
    uint64_t clients;
    uint64_t dashboards;
    uint64_t arrivals;
    uint64_t topics_listened; /* subscriptions to topics */
    uint64_t published[4];    /* events, by enum channel_kind */
    struct channel *newest;   /* present clients */
    struct channel *oldest;
    struct inbox inboxes[REGISTRY_LOOPS_MAX];
    uint32_t streams[REGISTRY_LOOPS_MAX]; /* client connections of each loop */
    struct changes *changes;              /* NULL while no dashboard is open */
    struct bans bans;                     /* of clients */
    struct bans banned_addresses;         /* keys: struct netaddr, grouped */
    struct bans banned_tokens;            /* keys: jti */
    atomic_bool bars;                     /* one of the latter two was ever set; read without the lock */

    atomic_uint_fast64_t news; /* a bit for each loop whose inbox is not empty; read without the lock */
};

void registry_init(struct registry *r, struct log *log, uint32_t loops, void (*wake)(void *, uint32_t),
                   void *wake_user);
void registry_finish(struct registry *r);

/* ---- joining and leaving; called by the sub's loop, without the lock ---- */

enum join_result {
    JOIN_OK,
    JOIN_HUB_FULL,
    JOIN_CLIENT_FULL,
    JOIN_DASHBOARDS_FULL,
    JOIN_BANNED,
    JOIN_NO_MEMORY
};

struct join {
    struct span client_id; /* p = NULL: a dashboard */
    struct span name;      /* display name; empty keeps the one the client has */
    const struct span *topics;
    uint32_t topic_count; /* doubles are joined once */
    struct seek seek;     /* where to begin */
};

/* From its return on, every event published to the sub's channels reaches its loop; what history owes it is
 * found in the same moment, so that there is neither gap nor double. The sub's cursor is found->cursor, and
 * it is marked if there is something to replay. slot, gen and loop must be set. */
enum join_result registry_join(struct registry *r, struct sub *s, const struct join *join,
                               struct found *found);

/* The replay is over. */
void registry_end_replay(struct registry *r, struct sub *s);

/* The sub has been too slow once more. Without memory it is not counted. */
void registry_count_resync(struct registry *r, struct sub *s);

/* Idempotent. Afterwards nothing points to the sub. */
void registry_leave(struct registry *r, struct sub *s);

/* ---- publishing; any thread, the lock is held by the caller: the sequencer ---- */

/* Where an event will stand. */
struct place {
    struct channel *channel; /* NULL: nobody listens and nothing is kept */
    bool kept;               /* for history */
    bool refused;            /* its publisher would have it kept, and the policy keeps nothing */
    uint32_t slot;           /* of the channel's mark, for what is refused */
    struct span key;         /* as it was given */
    uint64_t prev;           /* number of the event for history before it in this channel */
};

/* Finds the place and makes room, so that registry_commit() cannot fail. 0, or -1 when memory is short. */
int registry_prepare(struct registry *r, enum channel_kind kind, struct span key, uint64_t ttl_ms,
                     struct place *place);

/* Connections that listen to it. */
uint64_t registry_listeners(const struct registry *r, const struct channel *c);

/* It comes to nothing. */
void registry_cancel(struct registry *r, struct place *place);

/* Adds the event, which has its number, and tells the loops: *wake_mask gains those for registry_wake(),
 * which is to be called without the lock. Returns the connections that it was handed to. */
uint64_t registry_commit(struct registry *r, enum channel_kind kind, const struct place *place,
                         struct event *e, uint64_t ttl_ms, uint64_t *wake_mask);

/* ---- the loop's side ---- */

static inline bool registry_has_news(struct registry *r, uint32_t loop)
{
    return atomic_load_explicit(&r->news, memory_order_acquire) >> loop & 1;
}

struct news {
    uint64_t horizon; /* everything up to this number has been told */
    bool all;         /* there are broadcasts */
};

/* Empties the loop's inbox: mark is called, under the lock, for each of its subs that listens to a channel
 * with news, and for each that is to be ended (sub->kick). */
struct news registry_take(struct registry *r, uint32_t loop, void (*mark)(void *user, struct sub *s),
                          void *user);

/* The channels of a sub: all, its client, its topics (a dashboard: its topics only). Returns the count; out
 * has room for CURSOR_SOURCES_MAX. */
unsigned registry_channels(const struct registry *r, const struct sub *s, struct channel **out);

/* Bans in one of the three. As bans_set(); with the lock. */
int registry_ban(struct registry *r, struct bans *bans, struct span key, uint64_t until, uint64_t now);

/* Is this address, or this token (p = NULL: none), banned? Takes the lock if there is any such ban. */
bool registry_bars(struct registry *r, struct span address, struct span token);

/* ---- lists; the lock is held by the caller ---- */

/* The present client that came before `after` (NULL: the one that came last), or NULL. */
struct channel *registry_next_client(struct registry *r, struct channel *after);

/* The sub with this connection id, or NULL. Dashboards are not found. */
struct sub *registry_find_connection(struct registry *r, struct span connection_id);

/* out has room for CONNECTION_ID_LEN + 1; NUL-ended. */
void registry_connection_id(const struct sub *s, char *out);

/* Marks subs as to be ended; their loops are told: *wake_mask gains loops for registry_wake(), which is to
 * be called after the lock is given back. Returns how many. */
uint32_t registry_kick_client(struct registry *r, struct channel *client, uint64_t *wake_mask);
uint32_t registry_kick_sub(struct registry *r, struct sub *s, uint64_t *wake_mask);
void registry_wake(struct registry *r, uint64_t wake_mask, uint32_t self);

/* Hands over what changed since the last call: the caller frees with registry_changes_free(). NULL if nothing
 * did or memory was short. */
struct changes *registry_take_changes(struct registry *r);
void registry_changes_free(struct changes *c);

#endif
