/* SPDX-License-Identifier: MIT
 *
 * poster - a keep-alive connection that publishes: requests go out one behind the other without waiting
 * (pipelined), answers are counted as they come.
 */
#ifndef POSTER_H
#define POSTER_H

#include "chunk.h"
#include "engine.h"
#include "httpc.h"

struct poster {
    struct engine_watch watch; /* first */
    struct engine *engine;
    const struct bench *bench;
    void (*answered)(void *user, struct poster *poster); /* may be NULL */
    void *user;

    uint64_t posted, accepted, refused; /* posted - accepted - refused are unanswered */
    int first_refusal;                  /* status; 0 = none */
    bool broken;                        /* the connection was lost */

    char *out; /* requests that are not sent yet */
    size_t out_start, out_len, out_room;
    char *in; /* answers that are not read yet */
    size_t in_len;
    bool in_body; /* the head of an answer has been read */
    struct httpc_response response;
    struct chunk chunk;
    uint64_t body_left;
};

/* Connects; 0, or -1 with errno. To be ended with poster_finish(). */
int poster_init(struct poster *poster, struct engine *engine, const struct bench *bench);
void poster_finish(struct poster *poster);

/* Publishes an event as bench_publish_request() writes it. False if memory is short or the connection is
 * lost. */
bool poster_post(struct poster *poster, uint64_t reader, uint64_t seq, uint64_t time);

uint64_t poster_unanswered(const struct poster *poster);

/* Bytes that wait to be sent: they grow when the server takes less than it is given. */
size_t poster_waiting(const struct poster *poster);

#endif
