/* SPDX-License-Identifier: MIT
 *
 * sim_oracle - the plain list of sim_model: what the hub said that it published, who was there, and what each
 * reader may therefore expect. It listens to the hub's log and to what readers are sent; the first thing that
 * does not agree ends the program with the seed.
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "sim_hub.h"

#define CLIENTS 4
#define TOPICS  3
#define READERS 10
#define EVENTS  768
#define OUTBOX  1024
#define PAYLOAD 24000

/* Where an event is. */
enum fate {
    NOWHERE,  /* nobody was there, and it was not to be kept */
    HELD,     /* still there, for history or for those who listen */
    GONE,     /* given up */
    REPLACED, /* given up for a newer value, which is all that its topic promises */
    UNSURE    /* one of the two */
};

struct published {
    char id[TIDINGS_ID_MAX + 1];
    enum tidings_target target;
    unsigned key;
    unsigned number;
    uint64_t seq;
    uint64_t connections;
    uint64_t ts, expires, bytes;
    bool kept;    /* for history */
    bool refused; /* it was meant for history, and the policy keeps nothing: from the first moment it is
                     missing */
    enum fate fate;
};

/* What a reader is owed of what was published before it joined. */
struct plan {
    enum resume resume;
    uint64_t begin;    /* the number in the greeting's id */
    unsigned replayed; /* how many they are */
    size_t floor;      /* what was missing below this index is known to the reader */
    bool latest;       /* the latest values only */
    uint64_t owed[EVENTS / 64];
};

/* What it said when it came. */
struct ask {
    enum { ASK_NOTHING, ASK_CURSOR, ASK_GARBAGE } kind;
    uint64_t seq; /* CURSOR */
    char text[80];
    uint64_t last, since;
};

/* Somebody like a browser's tab, over all of its connections. */
struct tab {
    unsigned client, topics; /* topics: a mask */
    bool dashboard;
    char cursor[sizeof(((struct sim_event *)0)->id)];
    bool known;  /* has been greeted once */
    size_t told; /* what is missing below this index is known to it, or from before its time */
    uint64_t seen[EVENTS / 64];
};

struct reader {
    struct tab tab;
    bool used, joined, left, refused, paused, cut, kicked;
    bool zips;     /* asks for gzip */
    bool said_all; /* has shut down its side */
    struct sim_client c;
    uint32_t serial;
    struct ask ask;
    struct plan plans[2];
    unsigned plan;   /* that it follows */
    bool unsure;     /* the second is possible too */
    bool vague;      /* topics became others in the middle of its latest values */
    size_t from, to; /* in the list: published while it was joined */
    size_t next;     /* what it gets next stands here or later */
    char last[sizeof(((struct sim_event *)0)->id)];
    char connection[32];
    bool greeted;
    char outbox[OUTBOX];
    size_t out_len, out_at;
};

struct model {
    uint64_t seed;
    struct sim *sim;
    struct tidings_hub *hub;
    struct tidings_config config; /* as it is now */
    uint32_t loops;
    bool ample; /* nothing has to be given up */
    size_t count;
    unsigned numbers;
    struct reader readers[READERS];
    struct sim_client publisher;
    unsigned publisher_asked;
    uint64_t banned_until[CLIENTS];
    bool ever_banned[CLIENTS], draining;
    uint64_t evicted;                           /* what the hub has counted when it was last looked at */
    uint64_t replayed;                          /* most that can have been */
    uint64_t joined, resyncs, delivered, bytes; /* bytes: read by readers */
    uint64_t zipped;                            /* of those delivered */
    uint64_t resumed[3], from_history;          /* greetings by enum resume; events that came with them */
    unsigned step;
    /* From here on: not cleared from one run to the next. */
    struct published events[EVENTS];
    char payload[PAYLOAD + 64];
};

extern bool oracle_trace; /* tell what happens */
extern const char *const oracle_clients[CLIENTS];
extern const char *const oracle_topics[TOPICS];

_Noreturn void oracle_fail(const struct model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void oracle_say(const struct model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Is this one joined? */
bool oracle_listens(const struct reader *r);

/* Is it meant for this one, whenever it was published? */
bool oracle_is_for(const struct published *e, const struct reader *r);

/* The number in an id. */
uint64_t oracle_seq(const char *id);

/* For tidings_config.log; user is the model. */
void oracle_on_log(void *user, const struct tidings_log_record *record);

/* For sim_client.on_event; user is a struct model_reader. */
struct model_reader {
    struct model *m;
    struct reader *r;
};
void oracle_on_event(void *user, const struct sim_event *e);

/* The hub's totals agree. At any moment. */
void oracle_check_metrics(struct model *m);

/* Everybody was given everything. When all are settled and have read. */
void oracle_check_readers(struct model *m);

/* Nothing is left, and the counters agree. When everybody has gone. */
void oracle_check_empty(struct model *m);
void oracle_check_counters(struct model *m);

#endif
