/* SPDX-License-Identifier: MIT
 *
 * gzip - see gzip.h. Blocks hang on the event (struct event_zip), are made by whoever needs one first, and
 * then belong to everybody. Readers that have fallen behind, or are given history, get the form that was made
 * alone.
 */
#include "gzip.h"

#include <stdlib.h>
#include <string.h>

void gzip_init(struct gzip *g)
{
    memset(g, 0, sizeof(*g));
    pthread_mutex_init(&g->lock, NULL);
}

void gzip_finish(struct gzip *g)
{
    deflater_destroy(g->shared);
    deflater_destroy(g->alone);
    pthread_mutex_destroy(&g->lock);
    memset(g, 0, sizeof(*g));
}

/* ---- making blocks; with the lock ---- */

static bool has(struct deflater **d)
{
    if (!*d)
        *d = deflater_create();
    return *d != NULL;
}

static struct deflate_block *compress(struct gzip *g, struct deflater *d, struct span text)
{
    struct deflate_block *b = deflater_add(d, text);
    if (!b)
        return NULL;
    atomic_fetch_add_explicit(&g->events, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->text_bytes, text.len, memory_order_relaxed);
    atomic_fetch_add_explicit(&g->block_bytes, b->len, memory_order_relaxed);
    return b;
}

static struct event_zip *zip_of(struct event *e)
{
    struct event_zip *z = atomic_load_explicit(&e->zip, memory_order_acquire);
    if (z)
        return z;
    z = calloc(1, sizeof(*z));
    if (!z)
        return NULL;
    struct span text = event_text(e);
    z->crc = deflate_crc(0, text);
    z->op = deflate_crc_op(text.len);
    atomic_store_explicit(&e->zip, z, memory_order_release);
    return z;
}

static void begin_epoch(struct gzip *g)
{
    deflater_reset(g->shared);
    g->epoch++;
    g->index = 0;
    g->bytes = 0;
}

/* The event becomes the next one of the epoch. What comes out of its order stays out of it. */
static void share(struct gzip *g, struct event *e, struct event_zip *z)
{
    struct span text = event_text(e);
    if (e->seq <= g->last || atomic_load_explicit(&z->shared, memory_order_relaxed) || !has(&g->shared))
        return;
    if (g->epoch == 0 || g->index == GZIP_EPOCH_EVENTS || g->bytes + text.len > GZIP_EPOCH_BYTES)
        begin_epoch(g);
    struct deflate_block *b = compress(g, g->shared, text);
    if (!b) {
        g->index = GZIP_EPOCH_EVENTS; /* with the next one everything begins anew */
        return;
    }
    z->epoch = g->epoch;
    z->index = g->index++;
    g->bytes += text.len;
    g->last = e->seq;
    atomic_store_explicit(&z->shared, b, memory_order_release);
}

static struct event_zip *make_shared(struct gzip *g, struct event *e)
{
    pthread_mutex_lock(&g->lock);
    struct event_zip *z = zip_of(e);
    if (z)
        share(g, e, z);
    pthread_mutex_unlock(&g->lock);
    return z;
}

static struct deflate_block *make_alone(struct gzip *g, struct event *e)
{
    pthread_mutex_lock(&g->lock);
    struct event_zip *z = zip_of(e);
    struct deflate_block *b = z ? atomic_load_explicit(&z->alone, memory_order_relaxed) : NULL;
    if (z && !b && has(&g->alone)) {
        deflater_reset(g->alone);
        b = compress(g, g->alone, event_text(e));
        atomic_store_explicit(&z->alone, b, memory_order_release);
    }
    pthread_mutex_unlock(&g->lock);
    return b;
}

/* ---- readers ---- */

static bool is_in_step(const struct gzip_reader *r, const struct event_zip *z)
{
    return z->index == 0 || (r->epoch == z->epoch && r->next == z->index);
}

const struct deflate_block *gzip_pick(struct gzip *g, const struct gzip_reader *r, struct event *e,
                                      bool broadcast)
{
    struct event_zip *z = atomic_load_explicit(&e->zip, memory_order_acquire);
    struct deflate_block *shared = z ? atomic_load_explicit(&z->shared, memory_order_acquire) : NULL;
    if (!shared && broadcast) {
        z = make_shared(g, e);
        shared = z ? atomic_load_explicit(&z->shared, memory_order_acquire) : NULL;
    }
    if (shared && is_in_step(r, z))
        return shared;
    struct deflate_block *alone = z ? atomic_load_explicit(&z->alone, memory_order_acquire) : NULL;
    return alone ? alone : make_alone(g, e);
}

void gzip_advance(struct gzip_reader *r, const struct event *e, const struct deflate_block *b)
{
    const struct event_zip *z = atomic_load_explicit(&e->zip, memory_order_acquire);
    bool shared = b == atomic_load_explicit(&z->shared, memory_order_acquire);
    r->epoch = shared ? z->epoch : 0;
    r->next = shared ? z->index + 1 : 0;
    r->crc = deflate_crc_join(r->crc, z->crc, z->op);
    r->length += (uint32_t)event_text(e).len;
}

void gzip_put(struct buf *out, struct gzip_reader *r, struct span text)
{
    if (!r->begun)
        deflate_put_header(out);
    deflate_put_stored(out, text);
    r->begun = true;
    r->epoch = 0;
    r->crc = deflate_crc(r->crc, text);
    r->length += (uint32_t)text.len;
}

void gzip_put_end(struct buf *out, struct gzip_reader *r)
{
    if (!r->begun)
        deflate_put_header(out);
    deflate_put_end(out, r->crc, r->length);
}
