/* SPDX-License-Identifier: MIT
 *
 * chunk - decoder of the chunked transfer coding (RFC 9112 section 7.1) for answers. Pure: bytes in, runs of
 * payload out, views into the input.
 */
#ifndef CHUNK_H
#define CHUNK_H

#include <stddef.h>
#include <stdint.h>

/* All zero is the beginning of a body. */
struct chunk {
    uint64_t left; /* of the present chunk */
    uint8_t state;
    uint8_t digits; /* of the present size */
};

enum chunk_result { CHUNK_BAD = -1, CHUNK_MORE = 0, CHUNK_RUN, CHUNK_END };

/* Takes bytes from *p (with *n left). CHUNK_RUN: *run and *len are payload, call again; CHUNK_MORE: all was
 * taken; CHUNK_END: the body is complete, *p stands behind it; CHUNK_BAD: not chunked coding. */
enum chunk_result chunk_next(struct chunk *chunk, const char **p, size_t *n, const char **run, size_t *len);

#endif
