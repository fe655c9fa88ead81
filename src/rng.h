/* SPDX-License-Identifier: MIT
 *
 * rng - random numbers for jitter (fast, seeded, not secret) and for secrets (from the kernel).
 */
#ifndef RNG_H
#define RNG_H

#include <stddef.h>
#include <stdint.h>

/* splitmix64: good enough to spread deadlines, reproducible from its seed. Not thread-safe. */
struct rng {
    uint64_t state;
};

uint64_t rng_next(struct rng *r);

/* 0 .. n-1; 0 if n is 0. */
uint32_t rng_below(struct rng *r, uint32_t n);

/* value less up to percent of it: jitter that never lengthens. */
uint32_t rng_shorten(struct rng *r, uint32_t value, unsigned percent);

/* Unpredictable bytes from getrandom(2). 0, or -1 if the kernel has none to give. */
int rng_secret(void *out, size_t n);

#endif
