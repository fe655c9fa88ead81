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

static void put_chunk(struct buf *out, struct span bytes)
{
    buf_printf(out, "%zx\r\n", bytes.len);
    buf_append(out, bytes.p, bytes.len);
    buf_puts(out, "\r\n");
}

/* What was appended behind `start` is a text for a compressed stream: put in its place as a block. */
static void zip(struct conn *c, struct buf *out, size_t start)
{
    struct buf block;
    if (!conn_is_zipped(c) || out->failed)
        return;
    buf_init(&block, CHUNK_MAX + 64);
    gzip_put(&block, &c->more->gzip, (struct span){out->data + start, out->len - start});
    out->len = start;
    if (conn_is_chunked(c))
        put_chunk(out, (struct span){block.data, block.len});
    else
        buf_append(out, block.data, block.len);
    out->failed |= block.failed;
    buf_finish(&block);
}

void say_hello(struct conn *c, struct buf *out, uint32_t retry_ms)
{
    size_t start = out->len;
    event_put_hello(out, frames(c), retry_ms);
    zip(c, out, start);
}

void say_id(struct conn *c, struct buf *out, struct span id)
{
    size_t start = out->len;
    event_put_id(out, frames(c), id);
    zip(c, out, start);
}

void say(struct conn *c, struct buf *out, const char *name, struct span id, struct span json)
{
    size_t start = out->len;
    event_put(out, frames(c), name, id, json, 0);
    zip(c, out, start);
}

void say_retry(struct conn *c, struct buf *out, uint32_t retry_ms)
{
    size_t start = out->len;
    event_put_retry(out, frames(c), retry_ms);
    zip(c, out, start);
}

void say_end(struct conn *c, struct buf *out)
{
    if (conn_is_zipped(c)) {
        struct buf end;
        buf_init(&end, 64);
        gzip_put_end(&end, &c->more->gzip);
        if (conn_is_chunked(c))
            put_chunk(out, (struct span){end.data, end.len});
        else
            buf_append(out, end.data, end.len);
        out->failed |= end.failed;
        buf_finish(&end);
    }
    event_put_end(out, conn_is_chunked(c));
}
