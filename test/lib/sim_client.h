/* SPDX-License-Identifier: MIT
 *
 * sim_client - somebody at the other end of a simulated connection: sends requests, reads answers with a
 * strict parser of its own (nothing of the hub's codecs), and takes event streams apart. Whatever is not as
 * RFC 9112 and the WHATWG specification of event streams want it ends up in `wrong`.
 *
 * A compressed stream is decoded by zlib's inflate() as its bytes come. Each chunk has to bring whole events,
 * and the last one the end of the gzip stream, with the right CRC and length.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "sim.h"

#include <zlib.h>

#define SIM_CLIENT_HEAD   4096
#define SIM_CLIENT_BODY   (64 * 1024)
#define SIM_CLIENT_LINE   (64 * 1024)
#define SIM_CLIENT_ASKED  512 /* requests that may be without an answer */
#define SIM_CLIENT_RESULT 512 /* answers that are remembered */

struct sim_event {
    char id[80];      /* of this event; "" if it has none */
    char name[160];   /* "" of an id that came alone: a browser keeps it and tells nobody */
    const char *data; /* NUL-ended; valid during the call */
    size_t data_len;
    uint64_t retry; /* that came with it or before it; 0: none */
};

struct sim_answer {
    int status;
    bool stream; /* text/event-stream */
    bool chunked;
    bool zipped;   /* gzip */
    bool complete; /* the body came to its end */
    char *body;    /* NUL-ended, cut to SIM_CLIENT_BODY; of streams: NULL */
    size_t body_len;
    char head[SIM_CLIENT_HEAD];
};

struct sim_text {
    char *p;
    size_t len, cap;
};

struct sim_client {
    struct sim *sim;
    uint32_t sock; /* SIM_NONE after closing */
    void (*on_event)(void *user, const struct sim_event *e);
    void *user;
    bool accepts_gzip; /* says sim_client_subscribe() */
    const char *wrong; /* the first thing that was not as it must be; static text */

    /* the latest answer, and the statuses of all of them */
    struct sim_answer answer;
    unsigned answers;   /* final ones whose body is complete, and streams that have begun */
    unsigned continues; /* 100 */
    int statuses[SIM_CLIENT_RESULT];
    bool ended;  /* the hub ended the connection in good order */
    bool broken; /* it was reset */
    uint64_t bytes;
    unsigned comments;

    /* parser */
    int state;
    bool head_only[SIM_CLIENT_ASKED];
    unsigned asked, next_asked;
    size_t head_len;
    uint64_t left;
    unsigned digits;
    struct sim_text line;
    struct sim_event event;
    struct sim_text data;
    bool has_data;
    bool finished; /* the stream's chunked body has ended */
    z_stream z;
    bool inflating; /* z is in use */
    bool z_ended;   /* all of the gzip stream has come */
    bool undecoded; /* what came was not the continuation of a gzip stream: no want of memory excuses that */
};

void sim_client_open(struct sim_client *c, struct sim *s, uint32_t loop);

/* Frees its memory; closes the connection if it is open. */
void sim_client_finish(struct sim_client *c);

/* Says that a request is on its way, so that its answer is understood; sends it as far as there is room. */
size_t sim_client_ask(struct sim_client *c, const char *request, size_t n);
bool sim_client_askf(struct sim_client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* GET of a stream; query may be "". */
bool sim_client_subscribe(struct sim_client *c, const char *id, const char *query, const char *cursor);

/* POST /api/sse/notify. */
bool sim_client_notify(struct sim_client *c, const char *json);

/* Reads at most n bytes and parses them; returns how many came. */
size_t sim_client_read(struct sim_client *c, size_t n);
void sim_client_read_all(struct sim_client *c);

/* Parses bytes that were read elsewhere. */
void sim_client_feed(struct sim_client *c, const char *p, size_t n);

/* Nothing half-read is left: the last answer was complete. */
bool sim_client_is_between(const struct sim_client *c);

void sim_client_close(struct sim_client *c);
void sim_client_reset(struct sim_client *c);

/* The text or the number behind "key": in a flat JSON text; false if it is not there. */
bool sim_json_text(const char *json, const char *key, char *out, size_t cap);
bool sim_json_number(const char *json, const char *key, uint64_t *out);

#endif
