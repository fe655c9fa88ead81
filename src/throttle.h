/* SPDX-License-Identifier: MIT
 *
 * throttle - token buckets by key: at most `rate` a second, and twice as much at once. Any thread.
 *
 * A bucket is one number, the moment at which it would be full again (the generic cell rate algorithm, ITU-T
 * I.371): what is full needs no place, so the table forgets it. The table has a fixed size; where more keys
 * are busy at once than a set of it holds, the one that is nearest to full makes room, and gains what it had
 * used. The seed is secret, so nobody can choose who that is.
 */
#ifndef THROTTLE_H
#define THROTTLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THROTTLE_KEYS 65536 /* busy ones, at most; 1 MiB, made when it is first needed */

struct throttle_bucket;

struct throttle {
    pthread_mutex_t lock;
    struct throttle_bucket *table; /* NULL until it is first needed */
    uint64_t seed;
};

void throttle_init(struct throttle *t, uint64_t seed);
void throttle_finish(struct throttle *t);

/* Takes n from the bucket of the key: 0, or the ms after which it is worth to try again; nothing is taken
 * then. rate: a second, 0 = no limit. n is at most 2 × rate. now: monotonic ms. When memory is short it
 * admits. */
uint32_t throttle_take(struct throttle *t, const void *key, size_t len, uint32_t rate, uint32_t n,
                       uint64_t now);

/* The same for one, without taking it. */
uint32_t throttle_peek(struct throttle *t, const void *key, size_t len, uint32_t rate, uint64_t now);

/* Buckets that are not full at this moment. */
uint32_t throttle_busy(struct throttle *t, uint64_t now);

#endif
