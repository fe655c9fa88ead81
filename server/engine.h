/* SPDX-License-Identifier: MIT
 *
 * engine - the event loop of the load generator: epoll and nothing else. One thread.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdint.h>
#include <sys/epoll.h>

#include "bench.h"

/* Lives inside what is watched; must stay where it is while it is watched. */
struct engine_watch {
    void (*ready)(struct engine_watch *watch, uint32_t events);
    int fd;
};

struct engine {
    int epoll;
};

/* 0, or -1 with errno. */
int engine_init(struct engine *engine);
void engine_finish(struct engine *engine);

/* Opens a non-blocking socket to the server of the bench, begins to connect, and watches it for `events`.
 * Returns 0, or -1 with errno and watch->fd = -1. */
int engine_connect(struct engine *engine, const struct bench *bench, struct engine_watch *watch,
                   uint32_t events);

int engine_change(struct engine *engine, struct engine_watch *watch, uint32_t events);

/* Closes the socket, with a reset if `hard`: that leaves no TIME_WAIT behind. */
void engine_close(struct engine_watch *watch, int hard);

/* Waits until something is ready, at most until `until` (ns of bench_now()), and calls what is. A watch that
 * is closed by another's callback in the same turn may still be called: with fd = -1. */
void engine_turn(struct engine *engine, uint64_t until);

#endif
