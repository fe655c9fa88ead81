/* SPDX-License-Identifier: MIT
 *
 * slab - a table of chunks; each chunk knows which of its places are used by a bitmap, so that taking the
 * lowest free place is a find-first-set and freeing touches nothing but one bit and the object.
 */
#include "slab.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WORDS (SLAB_CHUNK / 64)

struct slab_chunk {
    uint64_t used[WORDS];
    uint32_t count;
    uint32_t pad[15];
    unsigned char objects[]; /* cache-line aligned: the header is two lines */
};

_Static_assert(sizeof(struct slab_chunk) % 64 == 0, "objects start on a cache line");

void slab_init(struct slab *s, size_t size, uint32_t max)
{
    *s = (struct slab){.size = (size + 63) / 64 * 64, .max = max};
}

void slab_finish(struct slab *s)
{
    for (uint32_t i = 0; i < s->chunk_count; i++)
        free(s->chunks[i]);
    free(s->chunks);
    *s = (struct slab){.size = s->size, .max = s->max};
}

static bool grow_table(struct slab *s)
{
    if (s->chunk_count < s->chunk_cap)
        return true;
    uint32_t cap = s->chunk_cap ? s->chunk_cap * 2 : 8;
    struct slab_chunk **table = realloc(s->chunks, cap * sizeof(*table));
    if (!table)
        return false;
    s->chunks = table;
    s->chunk_cap = cap;
    return true;
}

static struct slab_chunk *add_chunk(struct slab *s)
{
    if (!grow_table(s))
        return NULL;
    size_t bytes = sizeof(struct slab_chunk) + s->size * SLAB_CHUNK;
    struct slab_chunk *chunk = aligned_alloc(64, bytes);
    if (!chunk)
        return NULL;
    memset(chunk, 0, bytes);
    s->chunks[s->chunk_count++] = chunk;
    return chunk;
}

static struct slab_chunk *chunk_with_room(struct slab *s)
{
    for (uint32_t i = s->first_free; i < s->chunk_count; i++)
        if (s->chunks[i]->count < SLAB_CHUNK) {
            s->first_free = i;
            return s->chunks[i];
        }
    struct slab_chunk *chunk = add_chunk(s);
    if (chunk)
        s->first_free = s->chunk_count - 1;
    return chunk;
}

void *slab_take(struct slab *s, uint32_t *index)
{
    struct slab_chunk *chunk = s->used < s->max ? chunk_with_room(s) : NULL;
    if (!chunk)
        return NULL;
    unsigned word = 0;
    while (chunk->used[word] == UINT64_MAX)
        word++;
    unsigned place = word * 64 + (unsigned)__builtin_ctzll(~chunk->used[word]);
    chunk->used[word] |= 1ull << (place % 64);
    chunk->count++;
    s->used++;
    *index = s->first_free * SLAB_CHUNK + place;
    return chunk->objects + s->size * place;
}

void slab_give(struct slab *s, uint32_t index)
{
    struct slab_chunk *chunk = s->chunks[index / SLAB_CHUNK];
    unsigned place = index % SLAB_CHUNK;
    chunk->used[place / 64] &= ~(1ull << (place % 64));
    memset(chunk->objects + s->size * place, 0, s->size);
    chunk->count--;
    s->used--;
    if (index / SLAB_CHUNK < s->first_free)
        s->first_free = index / SLAB_CHUNK;
    while (s->chunk_count > 0 && s->chunks[s->chunk_count - 1]->count == 0)
        free(s->chunks[--s->chunk_count]);
}

void *slab_get(const struct slab *s, uint32_t index)
{
    if (index / SLAB_CHUNK >= s->chunk_count)
        return NULL;
    struct slab_chunk *chunk = s->chunks[index / SLAB_CHUNK];
    unsigned place = index % SLAB_CHUNK;
    return chunk->used[place / 64] >> (place % 64) & 1 ? chunk->objects + s->size * place : NULL;
}

uint32_t slab_end(const struct slab *s)
{
    return s->chunk_count * SLAB_CHUNK;
}

void *slab_chunk_at(const struct slab *s, uint32_t index)
{
    struct slab_chunk *chunk = index / SLAB_CHUNK < s->chunk_count ? s->chunks[index / SLAB_CHUNK] : NULL;
    return chunk && chunk->count > 0 ? chunk->objects : NULL;
}
