/* SPDX-License-Identifier: MIT
 *
 * say - see say.h. The text is `event`'s; a compressed stream gets it as a stored block, which costs five
 * bytes and no time: these texts are short, and nobody else is sent the same.
 */
#include "say.h"

#define CHUNK_MAX 0xffff

static bool frames(const struct conn *c)
{
    return conn_is_chunked(c) && !conn_is_zipped(c);
}

/* A piece of a compressed stream. One that there was no memory for is nothing, and not a chunk of nothing:
 * that would end the body. */
static void put_piece(const struct conn *c, struct buf *out, const struct buf *piece)
{
    out->failed |= piece->failed;
    if (out->failed)
        return;
    if (conn_is_chunked(c))
        buf_printf(out, "%zx\r\n", piece->len);
    buf_append(out, piece->data, piece->len);
    if (conn_is_chunked(c))
        buf_puts(out, "\r\n");
}

/* What was appended behind `start` is a text for a compressed stream: put in its place as a block. */
static void zip(struct conn *c, struct buf *out, size_t start)
{
    struct buf block;
    const struct gzip_reader before = c->more->gzip;
    buf_init(&block, CHUNK_MAX + 64);
    gzip_put(&block, &c->more->gzip, (struct span){out->data + start, out->len - start});
    out->len = start;
    put_piece(c, out, &block);
    if (out->failed)
        c->more->gzip = before; /* what will not be sent has no part in the stream's CRC */
    buf_finish(&block);
}

/* What was said stands behind `start`, all of it or, when memory was short, nothing. */
static void finish(struct conn *c, struct buf *out, size_t start)
{
    if (conn_is_zipped(c) && !out->failed)
        zip(c, out, start);
    if (out->failed)
        out->len = start;
}

void say_hello(struct conn *c, struct buf *out, uint32_t retry_ms)
{
    size_t start = out->len;
    event_put_hello(out, frames(c), retry_ms);
    finish(c, out, start);
}

void say_id(struct conn *c, struct buf *out, struct span id)
{
    size_t start = out->len;
    event_put_id(out, frames(c), id);
    finish(c, out, start);
}

void say(struct conn *c, struct buf *out, const char *name, struct span id, struct span json)
{
    size_t start = out->len;
    event_put(out, frames(c), name, id, json, 0);
    finish(c, out, start);
}

void say_retry(struct conn *c, struct buf *out, uint32_t retry_ms)
{
    size_t start = out->len;
    event_put_retry(out, frames(c), retry_ms);
    finish(c, out, start);
}

void say_end(struct conn *c, struct buf *out)
{
    size_t start = out->len;
    if (conn_is_zipped(c)) {
        struct buf end;
        buf_init(&end, 64);
        gzip_put_end(&end, &c->more->gzip);
        put_piece(c, out, &end);
        buf_finish(&end);
    }
    event_put_end(out, conn_is_chunked(c));
    if (out->failed)
        out->len = start;
}
