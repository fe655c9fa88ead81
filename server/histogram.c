/* SPDX-License-Identifier: MIT
 *
 * Buckets: values below 2^7 each have their own; above, each doubling is cut into 2^7 equal pieces.
 */
#include "histogram.h"

#define PIECES (UINT64_C(1) << HISTOGRAM_BITS)

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < PIECES)
        return (unsigned)value;
    shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
    return ((shift + 1) << HISTOGRAM_BITS) + (unsigned)((value >> shift) - PIECES);
}

/* The largest value that falls into the bucket. */
static uint64_t upper_edge(unsigned bucket)
{
    unsigned shift;

    if (bucket < PIECES)
        return bucket;
    shift = (bucket >> HISTOGRAM_BITS) - 1;
    return (((bucket & (PIECES - 1)) + PIECES + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && seen >= wanted) {
            uint64_t edge = upper_edge(i);
            return edge < histogram->max ? edge : histogram->max;
        }
    }
    return 0;
}
