/* SPDX-License-Identifier: MIT
 *
 * gzip - see gzip.h. Blocks hang on the event (struct event_zip), are made by whoever needs one first, and
 * then belong to everybody. Readers that have fallen behind, or are given history, get the form that was made
 * alone.
 *
 * All forms stand in one queue, in the order in which they were made first, and leave it with their event, or
 * before it when there are too many. Who has a reference to an event may use its forms without a lock; so
 * only those go that nobody but the log refers to, while nobody can get a reference from the log.
 */
#include "gzip.h"

#include <stdlib.h>
#include <string.h>

#define HEAP_HEAD 16  /* what malloc() takes beside an object */
#define TAKE_MAX  128 /* twice what one pull of a reader makes, so that there is less after it than before */

void gzip_init(struct gzip *g)
{
    memset(g, 0, sizeof(*g));
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->held_lock, NULL);
    g->held_max = GZIP_HELD_BYTES;
}

void gzip_finish(struct gzip *g)
{
    deflater_destroy(g->shared);
    deflater_destroy(g->alone);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->held_lock);
    memset(g, 0, sizeof(*g));
}

/* ---- the queue of what is held; with its lock ---- */

static size_t block_cost(const struct deflate_block *b)
{
    return b ? sizeof(*b) + b->start + b->size + HEAP_HEAD : 0;
}

static size_t zip_cost(const struct event_zip *z)
{
    return sizeof(*z) + HEAP_HEAD + block_cost(atomic_load_explicit(&z->alone, memory_order_relaxed)) +
           block_cost(atomic_load_explicit(&z->shared, memory_order_relaxed));
}

static void link_newest(struct gzip *g, struct event_zip *z)
{
    z->newer = NULL;
    z->older = g->newest;
    *(g->newest ? &g->newest->newer : &g->oldest) = z;
    g->newest = z;
}

static void unlink_zip(struct gzip *g, struct event_zip *z)
{
    *(z->older ? &z->older->newer : &g->oldest) = z->newer;
    *(z->newer ? &z->newer->older : &g->newest) = z->older;
}

static void count_held(struct gzip *g, size_t more, size_t less)
{
    atomic_fetch_add_explicit(&g->held_bytes, more - less, memory_order_relaxed);
}

static void free_zip(struct event_zip *z)
{
    free(atomic_load_explicit(&z->alone, memory_order_relaxed));
    free(atomic_load_explicit(&z->shared, memory_order_relaxed));
    free(z);
}

/* The event goes. */
static void end_zip(struct event_zip *z)
{
    struct gzip *g = z->owner;
    pthread_mutex_lock(&g->held_lock);
    unlink_zip(g, z);
    count_held(g, 0, zip_cost(z));
    pthread_mutex_unlock(&g->held_lock);
    free_zip(z);
}

static uint64_t held_bytes(const struct gzip *g)
{
    return atomic_load_explicit(&g->held_bytes, memory_order_relaxed);
}

bool gzip_is_full(const struct gzip *g)
{
    uint64_t held = held_bytes(g);
    return held > g->held_max && held > atomic_load_explicit(&g->patience, memory_order_relaxed);
}

/* The acquiring load sees all that the last reader did with the forms before it gave back its reference. */
static bool is_only_held(const struct event *e)
{
    return e->channel && atomic_load_explicit(&e->refs, memory_order_acquire) == 1;
}

struct event_zip *gzip_take(struct gzip *g)
{
    struct event_zip *taken = NULL, *last = NULL;
    pthread_mutex_lock(&g->held_lock);
    for (unsigned i = 0; i < TAKE_MAX && g->oldest != last && held_bytes(g) > g->held_max; i++) {
        struct event_zip *z = g->oldest;
        unlink_zip(g, z);
        if (!is_only_held(z->event)) {
            link_newest(g, z);
            last = last ? last : z;
            continue;
        }
        count_held(g, 0, zip_cost(z));
        atomic_store_explicit(&z->event->zip, NULL, memory_order_relaxed);
        z->newer = taken;
        taken = z;
    }
    /* Readers that are stuck must not have everybody look in vain. */
    atomic_store_explicit(&g->patience, taken ? 0 : held_bytes(g) + g->held_max / 64, memory_order_relaxed);
    pthread_mutex_unlock(&g->held_lock);
    return taken;
}

void gzip_drop(struct event_zip *taken)
{
    while (taken) {
        struct event_zip *next = taken->newer;
        free_zip(taken);
        taken = next;
    }
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
    count_held(g, block_cost(b), 0);
    return b;
}

static struct event_zip *zip_of(struct gzip *g, struct event *e)
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
    z->end = end_zip;
    z->owner = g;
    z->event = e;
    pthread_mutex_lock(&g->held_lock);
    link_newest(g, z);
    count_held(g, zip_cost(z), 0);
    pthread_mutex_unlock(&g->held_lock);
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
    struct event_zip *z = zip_of(g, e);
    if (z)
        share(g, e, z);
    pthread_mutex_unlock(&g->lock);
    return z;
}

static struct deflate_block *make_alone(struct gzip *g, struct event *e)
{
    pthread_mutex_lock(&g->lock);
    struct event_zip *z = zip_of(g, e);
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
