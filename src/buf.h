/* SPDX-License-Identifier: MIT
 *
 * buf - a growing run of bytes, born with its ceiling.
 *
 * Failure is sticky: after an append that did not fit or could not allocate, the buffer keeps what it held,
 * `failed` stays set and every later append does nothing, so that a writer checks once, at its end.
 * Memory is only taken when something is appended. Not thread-safe.
 */
#ifndef BUF_H
#define BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data;  /* owned; NULL until the first append */
    size_t len;  /* bytes in use */
    size_t cap;  /* bytes that fit without allocating */
    size_t max;  /* ceiling of len */
    bool failed; /* an append did not fit or memory was short */
};

/* An empty buffer that never holds more than max bytes. */
void buf_init(struct buf *b, size_t max);

/* Frees the memory; the buffer is empty, usable and not failed afterwards. A zeroed struct is fine. */
void buf_finish(struct buf *b);

/* Forgets the content and the failure, keeps the memory. */
void buf_clear(struct buf *b);

/* Room for n more bytes at data + len. 0, or -1 and failed. */
int buf_reserve(struct buf *b, size_t n);

/* Appends. p may be NULL if n is 0; p may not point into the buffer. 0, or -1 and failed. */
int buf_append(struct buf *b, const void *p, size_t n);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_put_u64(struct buf *b, uint64_t n); /* decimal */

/* printf for the slow paths. */
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first n bytes (n <= len); the rest moves to the front. */
void buf_consume(struct buf *b, size_t n);

#endif
