/* SPDX-License-Identifier: MIT
 *
 * buf - a growing run of bytes, born with its ceiling.
 *
 *      data                len            cap   max
 *      |<---- content ---->|<-- room ---->|·    |
 *
 * Capacity doubles, so that n appends cost O(n), and never passes the ceiling. One byte beyond cap is always
 * allocated (the dot): vsnprintf() wants to end its text with a NUL, even where that text just fits.
 *
 * Deliberately not here: shared ownership, a read position (buf_consume() moves the rest, which is cheap for
 * the short rests that parsers leave) and formatting beyond printf.
 */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { FIRST_CAP = 127 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_finish(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

static int fail(struct buf *b)
{
    b->failed = true;
    return -1;
}

/* The next capacity that holds need bytes; need <= max. One less than a power of two, for the byte beyond. */
static size_t grown_cap(const struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : FIRST_CAP;

    while (cap < need && cap <= SIZE_MAX / 4)
        cap = cap * 2 + 1;
    if (cap < need || cap > b->max)
        cap = b->max;
    return cap;
}

int buf_reserve(struct buf *b, size_t n)
{
    size_t cap;
    char *data;

    if (b->failed || n > b->max - b->len)
        return fail(b);
    if (b->data && n <= b->cap - b->len)
        return 0;
    cap = grown_cap(b, b->len + n);
    if (cap == SIZE_MAX) /* no room for the byte beyond */
        return fail(b);
    data = realloc(b->data, cap + 1);
    if (!data)
        return fail(b);
    b->data = data;
    b->cap = cap;
    return 0;
}

int buf_append(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return b->failed ? -1 : 0;
    if (buf_reserve(b, n))
        return -1;
    memcpy(b->data + b->len, p, n);
    b->len += n;
    return 0;
}

int buf_puts(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_putc(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

int buf_put_u64(struct buf *b, uint64_t n)
{
    char digits[20];

    return buf_append(b, digits, text_put_u64(digits, n));
}

/* Formats twice where the first try finds too little room; the second one knows how much there must be. */
int buf_printf(struct buf *b, const char *format, ...)
{
    size_t room = b->data ? b->cap - b->len + 1 : 0;
    va_list args;
    int n;

    if (b->failed)
        return -1;
    va_start(args, format);
    n = vsnprintf(room ? b->data + b->len : NULL, room, format, args);
    va_end(args);
    if (n < 0 || buf_reserve(b, (size_t)n))
        return fail(b);
    if ((size_t)n >= room) {
        va_start(args, format);
        vsnprintf(b->data + b->len, (size_t)n + 1, format, args);
        va_end(args);
    }
    b->len += (size_t)n;
    return 0;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
}
