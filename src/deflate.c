/* SPDX-License-Identifier: MIT
 *
 * deflate - see deflate.h. zlib does the work; here is what makes its output shareable: a flush after each
 * text, and stored blocks for what does not shrink.
 */
#include "deflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LEVEL      6
#define FRAME_ROOM 10 /* "ffffffff\r\n" */
#define STORED_LEN 5  /* of a stored block's head */
#define SLACK      64

struct deflater {
    z_stream z;
    bool failed; /* what it knows of what was sent is not true any more */
};

/* zlib's memory comes from where ours does, so that tests can let it run out. */
static void *allocate(void *opaque, unsigned count, unsigned size)
{
    (void)opaque;
    return calloc(count, size);
}

static void release(void *opaque, void *p)
{
    (void)opaque;
    free(p);
}

struct deflater *deflater_create(void)
{
    struct deflater *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->z.zalloc = allocate;
    d->z.zfree = release;
    if (deflateInit2(&d->z, LEVEL, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK)
        return d;
    free(d);
    return NULL;
}

void deflater_destroy(struct deflater *d)
{
    if (!d)
        return;
    deflateEnd(&d->z);
    free(d);
}

void deflater_reset(struct deflater *d)
{
    deflateReset(&d->z);
    d->failed = false;
}

struct span deflate_frame(const struct deflate_block *b)
{
    return (struct span){(const char *)b->bytes + b->start, b->size};
}

struct span deflate_body(const struct deflate_block *b)
{
    return (struct span){(const char *)b->bytes + b->body, b->len};
}

/* The chunk frame around what lies at `body`; there is room on both sides. */
static void frame(struct deflate_block *b, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char *at = b->bytes + FRAME_ROOM - 2;
    size_t n = len;
    memcpy(at, "\r\n", 2);
    do {
        *--at = (unsigned char)digits[n & 15];
        n >>= 4;
    } while (n > 0);
    b->body = FRAME_ROOM;
    b->start = (uint32_t)(at - b->bytes);
    b->len = (uint32_t)len;
    memcpy(b->bytes + b->body + len, "\r\n", 2);
    b->size = (uint32_t)(FRAME_ROOM - b->start + len + 2);
}

static size_t put_stored(unsigned char *out, struct span text)
{
    unsigned char *at = out;
    while (text.len > 0) {
        size_t n = text.len < DEFLATE_STORED_MAX ? text.len : DEFLATE_STORED_MAX;
        const unsigned char head[STORED_LEN] = {0, (unsigned char)n, (unsigned char)(n >> 8),
                                                (unsigned char)~n,
                                                (unsigned char)(~n >> 8)}; /* RFC 1951 section 3.2.4 */
        memcpy(at, head, STORED_LEN);
        memcpy(at + STORED_LEN, text.p, n);
        at += STORED_LEN + n;
        text = (struct span){text.p + n, text.len - n};
    }
    return (size_t)(at - out);
}

static size_t stored_size(size_t len)
{
    return len + STORED_LEN * (len / DEFLATE_STORED_MAX + 1);
}

/* Bytes of the compressed form; 0 when zlib could not. */
static size_t compress_into(struct deflater *d, struct span text, unsigned char *out, size_t room)
{
    d->z.next_in = (unsigned char *)(uintptr_t)text.p;
    d->z.avail_in = (uInt)text.len;
    d->z.next_out = out;
    d->z.avail_out = (uInt)room;
    bool done = deflate(&d->z, Z_SYNC_FLUSH) == Z_OK && d->z.avail_in == 0 && d->z.avail_out > 0;
    return done ? room - d->z.avail_out : 0;
}

/* Gives back what compression has saved. */
static struct deflate_block *trim(struct deflate_block *b)
{
    struct deflate_block *smaller = realloc(b, sizeof(*b) + b->start + b->size);
    return smaller ? smaller : b;
}

struct deflate_block *deflater_add(struct deflater *d, struct span text)
{
    size_t room = deflateBound(&d->z, (uLong)text.len) + stored_size(text.len) - text.len + SLACK;
    struct deflate_block *b = d->failed ? NULL : malloc(sizeof(*b) + FRAME_ROOM + room + 2);
    if (!b) {
        d->failed = true; /* what comes later must not refer to what was left out */
        return NULL;
    }
    size_t len = compress_into(d, text, b->bytes + FRAME_ROOM, room);
    if (len == 0) {
        free(b);
        d->failed = true;
        return NULL;
    }
    /* The text is in the window either way, so later blocks may refer to it. */
    if (len > stored_size(text.len))
        len = put_stored(b->bytes + FRAME_ROOM, text);
    frame(b, len);
    return trim(b);
}

void deflate_put_stored(struct buf *out, struct span text)
{
    if (buf_reserve(out, stored_size(text.len)) < 0)
        return;
    out->len += put_stored((unsigned char *)out->data + out->len, text);
}

void deflate_put_header(struct buf *out)
{
    static const char header[DEFLATE_HEADER_LEN] = {0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0, 0, (char)0xff};
    buf_append(out, header, sizeof(header));
}

static void put_le32(unsigned char *at, uint32_t n)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(n >> 8 * i);
}

void deflate_put_end(struct buf *out, uint32_t crc, uint32_t length)
{
    unsigned char end[10] = {3, 0}; /* an empty last block with fixed codes */
    put_le32(end + 2, crc);
    put_le32(end + 6, length);
    buf_append(out, end, sizeof(end));
}

uint32_t deflate_crc(uint32_t before, struct span text)
{
    return (uint32_t)crc32(before, (const unsigned char *)text.p, (uInt)text.len);
}

uint32_t deflate_crc_op(size_t length)
{
    return (uint32_t)crc32_combine_gen((z_off_t)length);
}

uint32_t deflate_crc_join(uint32_t before, uint32_t crc, uint32_t op)
{
    return (uint32_t)crc32_combine_op(before, crc, op);
}
