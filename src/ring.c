/* SPDX-License-Identifier: MIT
 *
 * ring - see ring.h. A buffer of pointers that grows by doubling.
 */
#include "ring.h"

#include <stdlib.h>

uint32_t ring_after(const struct ring *r, uint64_t cursor)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ring_at(r, middle)->seq <= cursor)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t ring_since(const struct ring *r, uint64_t ts)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ring_at(r, middle)->ts < ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ring_make_room(struct ring *r)
{
    if (r->count + r->reserved < r->cap)
        return true;
    uint32_t cap = r->cap ? r->cap * 2 : 4;
    struct event **slots = malloc(cap * sizeof(*slots));
    if (!slots)
        return false;
    for (uint32_t i = 0; i < r->count; i++)
        slots[i] = ring_at(r, i);
    free(r->slots);
    r->slots = slots;
    r->cap = cap;
    r->head = 0;
    return true;
}

void ring_push(struct ring *r, struct event *e)
{
    r->slots[(r->head + r->count++) & (r->cap - 1)] = e;
    r->bytes += event_footprint(e);
    r->end += e->size;
    if (!e->kept) {
        r->live++;
        r->live_bytes += event_footprint(e);
    }
    r->tail = e->seq;
    if (e->kept)
        r->kept = e->seq;
    e->end = r->end;
}

void ring_remove(struct ring *r, uint32_t i)
{
    const struct event *e = ring_at(r, i);
    r->bytes -= event_footprint(e);
    if (!e->kept) {
        r->live--;
        r->live_bytes -= event_footprint(e);
    }
    if (i < r->count / 2) {
        for (; i > 0; i--)
            r->slots[(r->head + i) & (r->cap - 1)] = ring_at(r, i - 1);
        r->head = (r->head + 1) & (r->cap - 1);
    } else {
        for (; i + 1 < r->count; i++)
            r->slots[(r->head + i) & (r->cap - 1)] = ring_at(r, i + 1);
    }
    r->count--;
}

void ring_shrink(struct ring *r)
{
    free(r->slots);
    r->slots = NULL;
    r->cap = r->head = 0;
}
