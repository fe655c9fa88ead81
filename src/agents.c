/* SPDX-License-Identifier: MIT
 *
 * agents - see agents.h. A fixed number of buckets: an attacker who sends a new text with each connection
 * gets chains of max-connections / 256, walked once a connect.
 */
#include "agents.h"

#include "rng.h"

#include <stdlib.h>
#include <string.h>

void agents_init(struct agents *a)
{
    memset(a, 0, sizeof(*a));
    if (rng_secret(&a->seed, sizeof(a->seed)) < 0)
        a->seed = (uint64_t)(uintptr_t)a; /* only the spread over buckets depends on it */
}

void agents_finish(struct agents *a)
{
    for (unsigned i = 0; i < AGENTS_BUCKETS; i++)
        while (a->buckets[i]) {
            struct agent *gone = a->buckets[i];
            a->buckets[i] = gone->next;
            free(gone);
        }
}

static size_t clean(struct span text, char *out)
{
    size_t n = text.len < AGENTS_TEXT_MAX ? text.len : AGENTS_TEXT_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = text.p[i] >= 0x20 && text.p[i] < 0x7f ? text.p[i] : '?';
    return n;
}

struct agent *agents_ref(struct agents *a, struct span text)
{
    char cleaned[AGENTS_TEXT_MAX];
    size_t n = clean(text, cleaned);
    if (n == 0)
        return NULL;
    uint32_t hash = (uint32_t)text_hash(cleaned, n, a->seed);
    struct agent **bucket = &a->buckets[hash % AGENTS_BUCKETS];
    for (struct agent *at = *bucket; at; at = at->next)
        if (at->hash == hash && strlen(at->text) == n && memcmp(at->text, cleaned, n) == 0) {
            at->refs++;
            return at;
        }
    struct agent *fresh = malloc(sizeof(*fresh) + n + 1);
    if (!fresh)
        return NULL;
    fresh->next = *bucket;
    fresh->refs = 1;
    fresh->hash = hash;
    memcpy(fresh->text, cleaned, n);
    fresh->text[n] = '\0';
    *bucket = fresh;
    return fresh;
}

void agents_unref(struct agents *a, struct agent *agent)
{
    if (!agent || --agent->refs > 0)
        return;
    struct agent **at = &a->buckets[agent->hash % AGENTS_BUCKETS];
    while (*at != agent)
        at = &(*at)->next;
    *at = agent->next;
    free(agent);
}
