/* SPDX-License-Identifier: MIT
 *
 * ring - the events that one channel holds, oldest first, found by number or by time in logarithmic steps,
 * and what is known of those that it has given up. Pointers only: whose the events are is the log's business.
 */
#ifndef RING_H
#define RING_H

#include "event.h"

struct ring {
    struct event **slots;
    uint32_t cap; /* a power of two */
    uint32_t head;
    uint32_t count;
    uint32_t reserved; /* events that will be added, and have their room */
    uint32_t live;     /* of those held: not for history */
    uint64_t bytes;
    uint64_t live_bytes; /* of those not for history */
    uint64_t end;        /* bytes of all frames ever added */
    uint64_t tail;       /* number of the newest event ever */
    uint64_t kept;       /* number of the newest event for history ever */
    uint64_t lost;       /* highest number given up, that of a replaced value apart */
    uint64_t missed;     /* highest number given up of an event for history, a replaced value apart */
    uint64_t refused;    /* highest number of one for history that the policy did not keep */
};

/* Event i, counted from the oldest; i < count. */
static inline struct event *ring_at(const struct ring *r, uint32_t i)
{
    return r->slots[(r->head + i) & (r->cap - 1)]; // NOLINT(clang-analyzer-core.NullDereference): i < count
}

/* Index of the first event after the cursor; count if there is none. */
uint32_t ring_after(const struct ring *r, uint64_t cursor);

/* Index of the first event published at this time (wall clock, ms) or later. Times within a ring only go back
 * when the clock was set. */
uint32_t ring_since(const struct ring *r, uint64_t ts);

/* Makes room for one more event than are held or reserved; false when memory is short. */
bool ring_make_room(struct ring *r);

/* Adds behind the newest; there must be room. */
void ring_push(struct ring *r, struct event *e);

/* Takes event i out: the shorter side moves up. */
void ring_remove(struct ring *r, uint32_t i);

/* Gives its memory back; it must be empty. */
void ring_shrink(struct ring *r);

#endif
