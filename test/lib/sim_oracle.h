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
#define EVENTS  4096
#define OUTBOX  1024
#define PAYLOAD 24000

struct published {
    char id[TIDINGS_ID_MAX + 1];
    enum tidings_target target;
    unsigned key;
    unsigned number;
    uint64_t connections;
};

struct reader {
    bool used, joined, left, refused, paused, cut, dashboard, kicked;
    struct sim_client c;
    unsigned client, topics; /* topics: a mask */
    uint32_t serial;
    size_t from, to, next; /* in the list */
    char last[sizeof(((struct sim_event *)0)->id)];
    char connection[32];
    bool greeted, has_cursor;
    char outbox[OUTBOX];
    size_t out_len, out_at;
};

struct model {
    uint64_t seed;
    struct sim *sim;
    struct tidings_hub *hub;
    struct tidings_config config;
    uint32_t loops;
    struct published events[EVENTS];
    size_t count;
    unsigned numbers;
    struct reader readers[READERS];
    struct sim_client publisher;
    unsigned publisher_asked;
    uint64_t banned_until[CLIENTS];
    bool ever_banned[CLIENTS], draining;
    uint64_t joined, resyncs, delivered, bytes; /* bytes: read by readers */
    unsigned step;
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
