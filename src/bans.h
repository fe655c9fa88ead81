/* SPDX-License-Identifier: MIT
 *
 * bans - who was told to stay away, by whatever key, and until when. Bounded; a ban ends by itself. Not
 * thread-safe: the registry keeps it under its lock.
 */
#ifndef BANS_H
#define BANS_H

#include "text.h"

#define BANS_MAX 65536

struct ban;

struct bans {
    struct ban **table; /* NULL until the first ban */
    uint32_t count;
    uint64_t seed;
};

void bans_init(struct bans *b, uint64_t seed);
void bans_finish(struct bans *b);

/* Bans the key until `until` (monotonic ms); a later ban of the same key replaces an earlier one. 0, -1 when
 * memory is short, -2 when BANS_MAX bans are in force. */
int bans_set(struct bans *b, struct span key, uint64_t until, uint64_t now);

/* Ends a ban before its time. False: there was none. */
bool bans_lift(struct bans *b, struct span key, uint64_t now);

/* All that are in force, in no order; those that are over are removed on the way. */
void bans_each(struct bans *b, uint64_t now, void (*visit)(void *user, struct span key, uint64_t until),
               void *user);

/* Is it banned now? A ban that is over is removed on the way. */
bool bans_has(struct bans *b, struct span key, uint64_t now);

#endif
