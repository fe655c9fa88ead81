/* SPDX-License-Identifier: MIT
 *
 * deflate - pieces of a gzip stream (RFC 1951, RFC 1952) that many readers can share: each ends at a byte, so
 * it can follow any other.
 *
 *     header │ block │ block │ … │ 03 00 │ CRC-32 │ length
 *
 * A block that was made alone refers to nothing before it and may be sent to anybody at any time. One that
 * was made behind others of the same compressor may refer to their text, and is for readers who have just had
 * exactly that.
 */
#ifndef DEFLATE_H
#define DEFLATE_H

#include "buf.h"
#include "text.h"

#define DEFLATE_STORED_MAX 65535 /* bytes of one stored block */

/* Immutable once made; free() ends it. Like an event it carries its HTTP/1.1 chunk frame. */
struct deflate_block {
    uint32_t start; /* of the frame in bytes[] */
    uint32_t body;  /* of the block in bytes[] */
    uint32_t len;   /* of the block */
    uint32_t size;  /* of the frame */
    unsigned char bytes[];
};

struct span deflate_frame(const struct deflate_block *b);
struct span deflate_body(const struct deflate_block *b);

/* A compressor: some hundred KB, in one place for many readers. One thread at a time. */
struct deflater;

struct deflater *deflater_create(void); /* NULL when memory is short */
void deflater_destroy(struct deflater *d);

/* What comes next refers to nothing before it. */
void deflater_reset(struct deflater *d);

/* The next block, the caller's. NULL when memory is short, and from then on until deflater_reset(): what
 * comes next may not refer to a text that was never sent. At most a few bytes longer than the text. */
struct deflate_block *deflater_add(struct deflater *d, struct span text);

/* A block that nobody else will be sent, as it is: no compressor. text has at most DEFLATE_STORED_MAX bytes.
 */
void deflate_put_stored(struct buf *out, struct span text);

/* What gzip says at the beginning and at the end. */
#define DEFLATE_HEADER_LEN 10
void deflate_put_header(struct buf *out);
void deflate_put_end(struct buf *out, uint32_t crc, uint32_t length);

/* CRC-32 of a text behind another one of which the CRC is known. */
uint32_t deflate_crc(uint32_t before, struct span text);

/* The same from CRCs alone: crc and `op` of the text, of which op depends on its length only. */
uint32_t deflate_crc_op(size_t length);
uint32_t deflate_crc_join(uint32_t before, uint32_t crc, uint32_t op);

#endif
