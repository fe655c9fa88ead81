/* SPDX-License-Identifier: MIT
 *
 * bans - a small chained table of fixed size: bans are rare, so it is made with the first one.
 */
#include "bans.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct ban {
    struct ban *next;
    uint64_t until;
    uint32_t key_len;
    char key[];
};

void bans_init(struct bans *b, uint64_t seed)
{
    *b = (struct bans){.seed = seed};
}

static struct ban **bucket_of(struct bans *b, struct span key)
{
    return &b->table[text_hash(key.p, key.len, b->seed) % BUCKETS];
}

static void remove_ban(struct bans *b, struct ban **at)
{
    struct ban *ban = *at;
    *at = ban->next;
    free(ban);
    b->count--;
}

/* Removes what is over in the chain at `at`; returns where the key is, or NULL. */
static struct ban **find(struct bans *b, struct ban **at, struct span key, uint64_t now)
{
    struct ban **found = NULL;
    while (*at) {
        if ((*at)->until <= now) {
            remove_ban(b, at);
            continue;
        }
        if ((*at)->key_len == key.len && memcmp((*at)->key, key.p, key.len) == 0)
            found = at;
        at = &(*at)->next;
    }
    return found;
}

static void sweep(struct bans *b, uint64_t now)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        find(b, &b->table[i], (struct span){NULL, SIZE_MAX}, now);
}

int bans_set(struct bans *b, struct span key, uint64_t until, uint64_t now)
{
    if (!b->table)
        b->table = calloc(BUCKETS, sizeof(*b->table));
    if (!b->table)
        return -1;
    struct ban **at = find(b, bucket_of(b, key), key, now);
    if (at) {
        (*at)->until = until;
        return 0;
    }
    if (b->count >= BANS_MAX)
        sweep(b, now);
    if (b->count >= BANS_MAX)
        return -2;
    struct ban *ban = malloc(sizeof(*ban) + key.len);
    if (!ban)
        return -1;
    ban->until = until;
    ban->key_len = (uint32_t)key.len;
    memcpy(ban->key, key.p, key.len);
    struct ban **bucket = bucket_of(b, key);
    ban->next = *bucket;
    *bucket = ban;
    b->count++;
    return 0;
}

bool bans_has(struct bans *b, struct span key, uint64_t now)
{
    return b->table && find(b, bucket_of(b, key), key, now);
}

bool bans_lift(struct bans *b, struct span key, uint64_t now)
{
    struct ban **at = b->table ? find(b, bucket_of(b, key), key, now) : NULL;
    if (at)
        remove_ban(b, at);
    return at != NULL;
}

void bans_each(struct bans *b, uint64_t now, void (*visit)(void *user, struct span key, uint64_t until),
               void *user)
{
    if (!b->table)
        return;
    sweep(b, now);
    for (unsigned i = 0; i < BUCKETS; i++)
        for (const struct ban *ban = b->table[i]; ban; ban = ban->next)
            visit(user, (struct span){ban->key, ban->key_len}, ban->until);
}

void bans_finish(struct bans *b)
{
    for (unsigned i = 0; b->table && i < BUCKETS; i++)
        while (b->table[i])
            remove_ban(b, &b->table[i]);
    free(b->table);
    b->table = NULL;
}
