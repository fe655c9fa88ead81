/* SPDX-License-Identifier: MIT
 *
 * throttle - see throttle.h.
 */
#include "throttle.h"

#include "text.h"

#include <stdlib.h>

#define WAYS   8
#define SETS   (THROTTLE_KEYS / WAYS)
#define SECOND UINT64_C(1000000000)
#define BURST  (2 * SECOND) /* twice the rate at once */

struct throttle_bucket {
    uint64_t key;  /* hash with the secret seed */
    uint64_t full; /* ns: when it is full again; what lies behind us is full */
};

void throttle_init(struct throttle *t, uint64_t seed)
{
    *t = (struct throttle){.seed = seed};
    pthread_mutex_init(&t->lock, NULL);
}

void throttle_finish(struct throttle *t)
{
    free(t->table);
    t->table = NULL;
    pthread_mutex_destroy(&t->lock);
}

/* The key's own, or the one of its set that is nearest to full. */
static struct throttle_bucket *find(struct throttle *t, uint64_t key)
{
    struct throttle_bucket *set = t->table + key % SETS * WAYS, *best = set;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].full < best->full)
            best = &set[i];
    }
    *best = (struct throttle_bucket){.key = key};
    return best;
}

/* takes: else it is only asked. */
static uint32_t take(struct throttle *t, uint64_t key, uint32_t rate, uint32_t n, uint64_t now, bool takes)
{
    struct throttle_bucket *b = find(t, key);
    uint64_t full = (b->full > now ? b->full : now) + n * SECOND / rate;
    if (full <= now + BURST) {
        b->full = takes ? full : b->full;
        return 0;
    }
    return (uint32_t)((full - now - BURST + SECOND / 1000 - 1) / (SECOND / 1000));
}

static uint32_t ask(struct throttle *t, const void *key, size_t len, uint32_t rate, uint32_t n, uint64_t now,
                    bool takes)
{
    if (rate == 0)
        return 0;
    uint64_t hash = text_hash(key, len, t->seed);
    uint32_t wait = 0;
    pthread_mutex_lock(&t->lock);
    if (!t->table)
        t->table = calloc(THROTTLE_KEYS, sizeof(*t->table));
    if (t->table)
        wait = take(t, hash, rate, n, now * (SECOND / 1000), takes);
    pthread_mutex_unlock(&t->lock);
    return wait;
}

uint32_t throttle_take(struct throttle *t, const void *key, size_t len, uint32_t rate, uint32_t n,
                       uint64_t now)
{
    return ask(t, key, len, rate, n, now, true);
}

uint32_t throttle_peek(struct throttle *t, const void *key, size_t len, uint32_t rate, uint64_t now)
{
    return ask(t, key, len, rate, 1, now, false);
}

uint32_t throttle_busy(struct throttle *t, uint64_t now)
{
    uint32_t busy = 0;
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; t->table && i < THROTTLE_KEYS; i++)
        busy += t->table[i].full > now * (SECOND / 1000);
    pthread_mutex_unlock(&t->lock);
    return busy;
}
