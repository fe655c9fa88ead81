/* SPDX-License-Identifier: MIT
 *
 * rng - see rng.h. splitmix64 is Sebastiano Vigna's public-domain mixing of a counter.
 */
#include "rng.h"

#include <sys/random.h>
#include <sys/types.h>

uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* n at most 2^32. */
static uint32_t below(struct rng *r, uint64_t n)
{
    return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    return below(r, n);
}

uint32_t rng_shorten(struct rng *r, uint32_t value, unsigned percent)
{
    return value - below(r, (uint64_t)value * percent / 100 + 1);
}

int rng_secret(void *out, size_t n)
{
    unsigned char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got <= 0)
            return -1;
        p += got;
        n -= (size_t)got;
    }
    return 0;
}
