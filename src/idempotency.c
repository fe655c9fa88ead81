/* SPDX-License-Identifier: MIT
 *
 * idempotency - see idempotency.h. A chained table that doubles and halves, and a list of what is settled:
 *
 *     add ──► table, not in the list ──► settle ──► newest … oldest ──► expired
 *                    └── remove
 *
 * What is not settled cannot expire, so it is not in the list either: a store that hangs with thousands of
 * requests under way does not stand between a sweep and the entries behind them.
 */
#include "idempotency.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MIN 64
#define SWEEP_FEW 4 /* more than one for each key that is added, so that a sweep keeps up with any rate */

/* The common key, a UUID as text, and malloc's own word fit in seven times 16 bytes. */
_Static_assert(offsetof(struct idempotency_entry, key) + 36 + sizeof(size_t) <= 112, "a UUID fits in 112");

void idempotency_init(struct idempotency *t, uint32_t max, uint64_t seed)
{
    *t = (struct idempotency){.max = max, .seed = seed};
}

void idempotency_finish(struct idempotency *t)
{
    for (uint32_t i = 0; i < t->table_size; i++)
        for (struct idempotency_entry *e = t->table[i], *next; e; e = next) {
            next = e->bucket;
            free(e);
        }
    free(t->table);
    idempotency_init(t, t->max, t->seed);
}

size_t idempotency_footprint(size_t key_len)
{
    return offsetof(struct idempotency_entry, key) + key_len;
}

/* ---- the table ---- */

static uint32_t hash_key(const struct idempotency *t, struct span key)
{
    return (uint32_t)text_hash(key.p, key.len, t->seed);
}

static struct idempotency_entry *lookup(const struct idempotency *t, struct span key, uint32_t hash)
{
    struct idempotency_entry *e = t->table[hash & (t->table_size - 1)];
    while (e && !(e->hash == hash && e->key_len == key.len && memcmp(e->key, key.p, key.len) == 0))
        e = e->bucket;
    return e;
}

/* A table that could not grow (or shrink) goes on with longer chains. */
static void resize_table(struct idempotency *t, uint32_t size)
{
    struct idempotency_entry **table = calloc(size, sizeof(struct idempotency_entry *));
    if (!table)
        return;
    for (uint32_t i = 0; i < t->table_size; i++) /* none without a table */
        // NOLINTNEXTLINE(clang-analyzer-core.NullDereference)
        for (struct idempotency_entry *e = t->table[i], *next; e; e = next) {
            next = e->bucket;
            e->bucket = table[e->hash & (size - 1)];
            table[e->hash & (size - 1)] = e;
        }
    free(t->table);
    t->table = table;
    t->table_size = size;
}

/* Is there a table? Only the first one must exist. */
static bool has_table(struct idempotency *t)
{
    if (!t->table)
        resize_table(t, TABLE_MIN);
    else if (t->count / 2 >= t->table_size)
        resize_table(t, t->table_size * 2);
    return t->table != NULL;
}

static void leave_table(struct idempotency *t, struct idempotency_entry *e)
{
    struct idempotency_entry **at = &t->table[e->hash & (t->table_size - 1)];
    while (*at != e)
        at = &(*at)->bucket;
    *at = e->bucket;
    t->count--;
    if (t->table_size > TABLE_MIN && t->count < t->table_size / 4)
        resize_table(t, t->table_size / 2);
}

/* ---- the order of their end ---- */

static void link_newest(struct idempotency *t, struct idempotency_entry *e)
{
    e->newer = NULL;
    e->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = e;
    t->newest = e;
}

static void unlink_settled(struct idempotency *t, struct idempotency_entry *e)
{
    *(e->older ? &e->older->newer : &t->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &t->newest) = e->older;
}

uint32_t idempotency_sweep(struct idempotency *t, uint64_t now, uint32_t most)
{
    uint32_t swept = 0;
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): removing moves t->oldest on
    for (; swept < most && t->oldest && t->oldest->expires <= now; swept++)
        idempotency_remove(t, t->oldest);
    return swept;
}

/* ---- the life of an entry ---- */

struct idempotency_entry *idempotency_find(struct idempotency *t, struct span key, uint64_t now)
{
    if (!t->table)
        return NULL;
    idempotency_sweep(t, now, SWEEP_FEW);
    struct idempotency_entry *e = lookup(t, key, hash_key(t, key));
    if (!e || e->seq == 0 || e->expires > now)
        return e;
    idempotency_remove(t, e);
    return NULL;
}

/* At the ceiling what has expired is swept, but no more of it than this one entry needs: the lock is held. */
static bool has_room(struct idempotency *t, uint64_t now)
{
    if (t->count >= t->max)
        idempotency_sweep(t, now, t->count - t->max + 1);
    return t->count < t->max;
}

enum idempotency_result idempotency_add(struct idempotency *t, struct span key,
                                        const struct idempotency_print *print, uint64_t now, uint64_t expires,
                                        struct idempotency_entry **out)
{
    if (!has_room(t, now))
        return IDEMPOTENCY_FULL;
    struct idempotency_entry *e = has_table(t) ? calloc(1, idempotency_footprint(key.len)) : NULL;
    if (!e)
        return IDEMPOTENCY_MEMORY;
    e->print = *print;
    e->expires = expires;
    e->hash = hash_key(t, key);
    e->key_len = (uint8_t)key.len;
    memcpy(e->key, key.p, key.len);
    struct idempotency_entry **bucket = &t->table[e->hash & (t->table_size - 1)];
    e->bucket = *bucket;
    *bucket = e;
    t->count++;
    *out = e;
    return IDEMPOTENCY_OK;
}

void idempotency_settle(struct idempotency *t, struct idempotency_entry *e, uint64_t seq,
                        uint32_t connections)
{
    e->seq = seq;
    e->connections = connections;
    link_newest(t, e);
}

void idempotency_remove(struct idempotency *t, struct idempotency_entry *e)
{
    if (e->seq != 0)
        unlink_settled(t, e);
    leave_table(t, e);
    free(e);
}
