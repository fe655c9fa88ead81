/* SPDX-License-Identifier: MIT
 *
 * histogram - durations counted in buckets whose width grows with the value: at most 0.8 % off, in constant
 * space. No allocation of its own.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS    7 /* values share their leading 7 bits with their bucket */
#define HISTOGRAM_BUCKETS (58 << HISTOGRAM_BITS)

/* All zero is empty. */
struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* The value that `share` (0..1) of all are not above: the upper edge of its bucket, never more than the
 * largest value; 0 if empty. */
uint64_t histogram_at(const struct histogram *histogram, double share);

#endif
