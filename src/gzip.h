/* SPDX-License-Identifier: MIT
 *
 * gzip - events compressed once for all who read them compressed. No reader has a compressor of its own; a
 * reader is three numbers.
 *
 *     event ──► alone    refers to nothing: for anybody, at any time
 *           └─► shared   broadcasts: behind the ones before it in the same epoch
 *
 * The invariant: a shared block with number i of epoch E is sent only to who has been sent the blocks 0 … i-1
 * of E and nothing else since, in this form. (Distances of deflate count the text's bytes, so anything in
 * between would shift them.) Block 0 refers to nothing, so everybody is in step again when an epoch begins,
 * every 16 events.
 */
#ifndef GZIP_H
#define GZIP_H

#include "deflate.h"
#include "event.h"

#include <pthread.h>

#define GZIP_EPOCH_EVENTS 16
#define GZIP_EPOCH_BYTES  (32 * 1024) /* of text: what deflate can refer to */

/* Memory of forms that may be needed again. Beyond it the oldest go of which the event is only held in the
 * log; should somebody want one of those again, it is made again. */
#define GZIP_HELD_BYTES (8 * 1024 * 1024)

struct gzip {
    pthread_mutex_t lock; /* guards the compressors and epochs; held while one event is compressed */
    struct deflater *shared;
    struct deflater *alone;
    uint64_t epoch;                                       /* the present one; 0: none yet */
    uint32_t index;                                       /* of the next block in it */
    size_t bytes;                                         /* of text in it */
    uint64_t last;                                        /* number of the last event in any epoch */
    atomic_uint_fast64_t events, text_bytes, block_bytes; /* made so far */

    pthread_mutex_t held_lock; /* guards what follows; never held for long, and nothing is locked behind it */
    struct event_zip *oldest;
    struct event_zip *newest;
    atomic_uint_fast64_t held_bytes;
    size_t held_max;               /* GZIP_HELD_BYTES; fixed before the first event */
    atomic_uint_fast64_t patience; /* below so many held bytes there is nothing to take: all are in use */
};

void gzip_init(struct gzip *g); /* takes no memory until somebody reads compressed */
void gzip_finish(struct gzip *g);

/* Where a reader is in its stream. */
struct gzip_reader {
    uint64_t epoch; /* of the last block it was sent; 0: out of step */
    uint32_t next;  /* number of the block that it may be sent in that epoch */
    uint32_t crc;   /* of all text so far */
    uint32_t length;
    bool begun; /* the header is sent */
};

/* The block that this reader is to be sent for the event. It lives as long as the caller's reference to the
 * event. broadcast: the event is one for everybody, and those are asked for in their order. NULL when memory
 * is short. */
const struct deflate_block *gzip_pick(struct gzip *g, const struct gzip_reader *r, struct event *e,
                                      bool broadcast);

/* It was sent, or a part of it. */
void gzip_advance(struct gzip_reader *r, const struct event *e, const struct deflate_block *b);

/* Is more held than held_max, and is it time to look for what can go? */
bool gzip_is_full(const struct gzip *g);

/* Takes old forms from events of which the log has the only reference, until no more than that is held or
 * enough was looked at for once. With the log's lock: nobody may take a reference meanwhile. What is returned
 * is for gzip_drop(), which needs no lock. */
struct event_zip *gzip_take(struct gzip *g);
void gzip_drop(struct event_zip *taken);

/* Appends a text of the hub's own, at most DEFLATE_STORED_MAX bytes; with the header if it is the first. */
void gzip_put(struct buf *out, struct gzip_reader *r, struct span text);

/* Appends the end of the stream. */
void gzip_put_end(struct buf *out, struct gzip_reader *r);

#endif
