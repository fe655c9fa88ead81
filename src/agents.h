/* SPDX-License-Identifier: MIT
 *
 * agents - User-Agent texts, each held once for all connections that sent the same: browsers are few, tabs
 * are many. Texts are cut to AGENTS_TEXT_MAX bytes; what is not printable ASCII becomes '?'. Not
 * thread-safe, but a text does not change or move while somebody holds it.
 */
#ifndef AGENTS_H
#define AGENTS_H

#include "text.h"

#define AGENTS_TEXT_MAX 256

struct agent {
    struct agent *next;
    uint32_t refs;
    uint32_t hash;
    char text[]; /* NUL-ended */
};

#define AGENTS_BUCKETS 256

struct agents {
    struct agent *buckets[AGENTS_BUCKETS];
    uint64_t seed;
};

void agents_init(struct agents *a);
void agents_finish(struct agents *a);

/* A reference to this text; NULL for an empty one or when memory is short. */
struct agent *agents_ref(struct agents *a, struct span text);

/* NULL is fine. */
void agents_unref(struct agents *a, struct agent *agent);

#endif
