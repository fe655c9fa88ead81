/* SPDX-License-Identifier: MIT
 *
 * readers - many open event streams, read with as little work as counting honestly allows. Each event of this
 * run that arrives whole (its data line and the empty line behind it) is given to a callback, once for each
 * time that it came; whether it is missing, double or late is kept for each stream.
 */
#ifndef READERS_H
#define READERS_H

#include "chunk.h"
#include "engine.h"

#define READERS_LINE 96 /* bytes of a line that are looked at */

enum reader_state { READER_NEW = 0, READER_CONNECTING, READER_HEAD, READER_OPEN, READER_ENDED };

struct reader {
    struct engine_watch watch; /* first */
    struct readers *all;
    uint8_t state;
    bool chunked;
    bool has_event; /* a data line of this run has come, its empty line has not */
    uint8_t kept;   /* bytes in line */
    struct chunk chunk;
    uint64_t seq, time; /* of that data line */
    uint64_t highest;   /* sequence number that has come */
    uint64_t before;    /* what highest was before the present event */
    uint64_t recent;    /* bit i: highest - i has come */
    uint64_t received;  /* different events */
    char line[READERS_LINE];
};

typedef void readers_callback(void *user, struct reader *reader, uint64_t seq, uint64_t sent, uint64_t now);

struct readers {
    struct engine *engine;
    const struct bench *bench;
    readers_callback *callback;
    void *user;
    bool one_channel; /* all read the channel of broadcasts, where the server has such a thing */
    struct reader *items;
    size_t count, begun, opening, open, failed;
    size_t ended; /* streams that were open and ended */
    uint64_t duplicates, out_of_order, resyncs, bytes;
    int first_status, first_errno; /* of the first failure */
    char marker[48];               /* what a data line of this run begins with, behind "data:" */
    size_t marker_len;
    char *buffer;
};

/* 0, or -1 if memory is short. callback may be NULL. one_channel may be set before opening. To be ended with
 * readers_finish(). */
int readers_init(struct readers *readers, struct engine *engine, const struct bench *bench,
                 readers_callback *callback, void *user);
void readers_finish(struct readers *readers);

/* Opens all streams, a few hundred at a time. False, after a message, if one of them cannot be opened. */
bool readers_open_all(struct readers *readers);

#endif
