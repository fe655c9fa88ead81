/* SPDX-License-Identifier: MIT
 *
 * idempotency - keys that publishers send so that a repeat is recognised: for each the first request's
 * fingerprint and its result, for a window of time, in the order in which they will be forgotten. Bounded:
 * when it is full a new key is refused, because forgetting one early would send an event twice.
 *
 * A key is reserved before its event has its result (idempotency_add) and then settled or taken back, so that
 * two requests with one key that are under way together are told apart too. The log's lock is held by the
 * caller of every function.
 *
 * An entry that is not settled stays where it is until it is settled or removed. One that is settled may be
 * gone after the next call of find, add or sweep.
 */
#ifndef IDEMPOTENCY_H
#define IDEMPOTENCY_H

#include "text.h"

#include <stdbool.h>
#include <stdint.h>

#define IDEMPOTENCY_KEY_MAX 255 /* bytes of a key */

struct idempotency_print { /* fingerprint of what was asked */
    uint64_t half[2];
};

struct idempotency_entry {
    struct idempotency_entry *bucket; /* next in the table's chain */
    struct idempotency_entry *newer;  /* of the settled ones, in the order of their end */
    union {
        struct idempotency_entry *older; /* settled */
        void *waiting;                   /* not settled yet: the sequencer's; NULL at first */
    };
    struct idempotency_print print;
    uint64_t expires;     /* monotonic ms */
    uint64_t seq;         /* of the event; 0: not settled yet */
    uint32_t connections; /* that the event was handed to */
    uint32_t hash;
    uint8_t key_len;
    char key[];
};

struct idempotency {
    struct idempotency_entry **table;
    struct idempotency_entry *oldest;
    struct idempotency_entry *newest;
    uint32_t table_size; /* a power of two; 0 until the first key */
    uint32_t count;      /* settled or not */
    uint32_t max;        /* entries; may be changed, fewer takes effect as they expire */
    uint64_t seed;
};

void idempotency_init(struct idempotency *t, uint32_t max, uint64_t seed);

/* Forgets all, whatever is still under way. */
void idempotency_finish(struct idempotency *t);

/* The entry of this key, or NULL; one that has expired is forgotten first. now: monotonic ms. */
struct idempotency_entry *idempotency_find(struct idempotency *t, struct span key, uint64_t now);

enum idempotency_result { IDEMPOTENCY_OK = 0, IDEMPOTENCY_FULL, IDEMPOTENCY_MEMORY };

/* Adds a key of 1 to IDEMPOTENCY_KEY_MAX bytes that idempotency_find() has just not found. Not settled; it
 * does not expire before it is. expires: monotonic ms. *out is written only on success. */
enum idempotency_result idempotency_add(struct idempotency *t, struct span key,
                                        const struct idempotency_print *print, uint64_t now, uint64_t expires,
                                        struct idempotency_entry **out);

/* Once for an entry; seq is not 0. Entries are settled in the order of their end, as a rule. One that ends
 * before another that was settled before it (the window was made shorter) is still not found after its end,
 * but gives its room back only with that other one. */
void idempotency_settle(struct idempotency *t, struct idempotency_entry *e, uint64_t seq,
                        uint32_t connections);

/* The request came to nothing: the key is free again. */
void idempotency_remove(struct idempotency *t, struct idempotency_entry *e);

/* Forgets what has expired, at most `most` entries. Returns how many. */
uint32_t idempotency_sweep(struct idempotency *t, uint64_t now, uint32_t most);

/* Bytes asked of the allocator for an entry with a key of this length. The table has 4 to 8 more for each. */
size_t idempotency_footprint(size_t key_len);

#endif
