/* SPDX-License-Identifier: MIT
 *
 * clock - what time it is, behind two pointers, so that a simulated world can have its own time. The
 * functions must be callable from any thread.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*mono)(void *user); /* milliseconds, never goes back */
    uint64_t (*wall)(void *user); /* milliseconds since 1970 (UTC) */
    void *user;
};

/* The system's clocks. */
struct clock clock_system(void);

static inline uint64_t clock_mono(const struct clock *c)
{
    return c->mono(c->user);
}

static inline uint64_t clock_wall(const struct clock *c)
{
    return c->wall(c->user);
}

#endif
