/* SPDX-License-Identifier: MIT
 *
 * slab - many objects of one size in few dense chunks. An object never moves, is named by a small number, and
 * neighbours in number are neighbours in memory: a walk over all of them is a walk over arrays. The lowest
 * free chunk is filled first, and chunks at the end that became empty are given back. Not thread-safe.
 */
#ifndef SLAB_H
#define SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_CHUNK 512 /* objects in a chunk */
#define SLAB_NONE  UINT32_MAX

struct slab_chunk;

struct slab {
    struct slab_chunk **chunks;
    uint32_t chunk_count;
    uint32_t chunk_cap;
    uint32_t first_free; /* no chunk below this one has a free place */
    uint32_t used;       /* objects in use */
    uint32_t max;        /* ceiling of used */
    size_t size;         /* of an object, a multiple of 64 */
};

/* size is rounded up to whole cache lines. No memory is taken yet. */
void slab_init(struct slab *s, size_t size, uint32_t max);

/* Frees all chunks, whatever is in use. */
void slab_finish(struct slab *s);

/* A zeroed object and its number, or NULL when memory or the ceiling is short. */
void *slab_take(struct slab *s, uint32_t *index);

/* Gives it back. Its memory may be gone afterwards. */
void slab_give(struct slab *s, uint32_t index);

/* The object with this number, or NULL if it is not in use. */
void *slab_get(const struct slab *s, uint32_t index);

/* One more than the highest number that can be in use. */
uint32_t slab_end(const struct slab *s);

/* First object of the chunk that holds index (a multiple of SLAB_CHUNK), for walks; NULL if that chunk has no
 * object in use. Places not in use hold zeroes. */
void *slab_chunk_at(const struct slab *s, uint32_t index);

#endif
