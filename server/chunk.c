/* SPDX-License-Identifier: MIT
 *
 * The chunked coding as a machine of a few states:
 *
 *     SIZE ─> EXTENSION ─> DATA ─> DATA_END ─> SIZE …   and, after a size of 0,  TRAILER_START <─> TRAILER ─>
 * DONE
 *
 * Extensions and trailers are skipped. A line may end in LF alone: this reads answers of servers that the
 * user chose, nothing is forwarded, so that leniency cannot be turned against anybody.
 */
#include "chunk.h"

#include <string.h>

enum { SIZE = 0, EXTENSION, DATA, DATA_END, TRAILER_START, TRAILER, DONE };

#define DIGITS_MAX 15 /* of a size: below 2^60 */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The line of the size is over. */
static int end_size(struct chunk *chunk)
{
    if (chunk->digits == 0)
        return CHUNK_BAD;
    chunk->state = chunk->left > 0 ? DATA : TRAILER_START;
    chunk->digits = 0;
    return CHUNK_MORE;
}

static int step_size(struct chunk *chunk, char c)
{
    int digit = hex(c);

    if (digit >= 0) {
        if (chunk->digits++ == DIGITS_MAX)
            return CHUNK_BAD;
        chunk->left = chunk->left * 16 + (uint64_t)digit;
        return CHUNK_MORE;
    }
    if (c == '\n')
        return end_size(chunk);
    if (c != '\r' && c != ';' && c != ' ' && c != '\t')
        return CHUNK_BAD;
    chunk->state = EXTENSION;
    return CHUNK_MORE;
}

/* One byte that is no payload. */
static int step(struct chunk *chunk, char c)
{
    switch (chunk->state) {
    case SIZE:
        return step_size(chunk, c);
    case EXTENSION:
        return c == '\n' ? end_size(chunk) : CHUNK_MORE;
    case DATA_END:
        if (c == '\n')
            chunk->state = SIZE;
        return c == '\n' || c == '\r' ? CHUNK_MORE : CHUNK_BAD;
    case TRAILER_START:
        chunk->state = c == '\n' ? DONE : c == '\r' ? TRAILER_START : TRAILER;
        return c == '\n' ? CHUNK_END : CHUNK_MORE;
    default:
        if (c == '\n')
            chunk->state = TRAILER_START;
        return CHUNK_MORE;
    }
}

enum chunk_result chunk_next(struct chunk *chunk, const char **p, size_t *n, const char **run, size_t *len)
{
    if (chunk->state == DONE)
        return CHUNK_END;
    while (*n > 0 && chunk->state != DATA) {
        int result = step(chunk, **p);
        ++*p;
        --*n;
        if (result != CHUNK_MORE)
            return result;
    }
    if (*n == 0)
        return CHUNK_MORE;
    *run = *p;
    *len = *n < chunk->left ? *n : (size_t)chunk->left;
    *p += *len;
    *n -= *len;
    chunk->left -= *len;
    if (chunk->left == 0)
        chunk->state = DATA_END;
    return CHUNK_RUN;
}
