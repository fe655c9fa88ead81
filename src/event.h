/* SPDX-License-Identifier: MIT
 *
 * event - the only place where the text of Server-Sent Events is written (WHATWG HTML section 9.2.5).
 *
 * A published event is encoded once, with the HTTP/1.1 chunk frame around it (RFC 9112 section 7.1), into one
 * allocation that is immutable and reference counted from then on:
 *
 *     b7\r\n                            frame: what an HTTP/1.1 connection is sent is the whole
 *     id: 1h7ac9...-00000000q3\n        body: what HTTP/1.0 (and, later, HTTP/2) is sent
 *     event: notification\n
 *     data: {"message":"Hello!"}\n\n
 *     \r\n
 *
 * References may be taken and dropped on any thread; everything else belongs to the maker until the event is
 * published.
 */
#ifndef EVENT_H
#define EVENT_H

#include "buf.h"
#include "text.h"

#include <stdatomic.h>

/* An id is EPOCH '-' SEQUENCE, both Crockford base 32 of fixed width: ids sort as text in the order in which
 * they were published, also across restarts (the epoch begins with the time), and need no CORS preflight. */
#define EVENT_EPOCH_LEN 11
#define EVENT_SEQ_LEN   10
#define EVENT_ID_LEN    (EVENT_EPOCH_LEN + 1 + EVENT_SEQ_LEN)

struct channel;
struct deflate_block;
struct gzip;

/* What readers of compressed streams are sent instead of the text: see gzip.h. Made when it is first needed,
 * and given up when the event does not need it any more, or with the event.
 */
struct event_zip {
    void (*end)(struct event_zip *z); /* called with the event's last reference; frees it */
    struct gzip *owner;
    struct event *event;
    struct event_zip *older; /* of all that the owner has made */
    struct event_zip *newer;
    _Atomic(struct deflate_block *) alone;
    _Atomic(struct deflate_block *) shared; /* the two below are there when this is */
    uint64_t epoch;
    uint32_t index;
    uint32_t crc; /* of the text */
    uint32_t op;  /* of its length, for joining CRCs */
};

struct event {
    atomic_uint refs;
    uint32_t size;  /* of the whole frame */
    uint32_t start; /* of the frame in bytes[] (the chunk size has no fixed width) */
    uint32_t body;  /* of the SSE text in bytes[] */
    uint32_t data;  /* of the payload in bytes[] */
    uint32_t data_len;
    uint16_t name; /* of the event name in bytes[] */
    uint16_t name_len;
    bool kept;               /* may be replayed from history (not ttl 0) */
    bool stored;             /* a store has it too, and is told when the log gives it up */
    uint32_t stalls;         /* log's: readers that stand in the middle of it */
    uint64_t seq;            /* 0 until it is published */
    uint64_t ts;             /* wall clock, ms */
    uint64_t expires;        /* monotonic ms; UINT64_MAX = never. Not replayed afterwards */
    uint64_t end;            /* log's: bytes of frames of its channel up to and with this one */
    struct channel *channel; /* log's, and NULL when it is not in the log */
    struct event *older;     /* log's queue by age, or of those given up that are stalled */
    struct event *newer;
    _Atomic(struct event_zip *) zip; /* NULL until somebody reads it compressed */
    char bytes[];
};

/* A new event with one reference, the caller's. payload is any text of JSON; it is checked and compacted into
 * place. NULL: *error has what == NULL when memory was short, else what is wrong with the payload. */
struct json_error;
struct event *event_create(struct span name, struct span payload, struct json_error *error);

/* The same from a payload that is known to be compact JSON. NULL when memory is short. */
struct event *event_restore(struct span name, struct span payload);

/* Writes its number into the text. As often as necessary, before anybody else can see the event; no
 * allocation, no failure. */
void event_stamp(struct event *e, const char *epoch, uint64_t seq, uint64_t ts);

void event_ref(struct event *e);
void event_unref(struct event *e); /* NULL is fine */

/* Bytes to send: with the chunk frame, or the text alone. */
struct span event_frame(const struct event *e);
struct span event_text(const struct event *e);

/* Memory that it occupies. */
size_t event_footprint(const struct event *e);

static inline struct span event_name(const struct event *e)
{
    return (struct span){e->bytes + e->name, e->name_len};
}

static inline struct span event_payload(const struct event *e)
{
    return (struct span){e->bytes + e->data, e->data_len};
}

/* The id of a number. out has room for EVENT_ID_LEN + 1; NUL-ended. */
void event_id(char *out, const char *epoch, uint64_t seq);

/* Reads an id. False if it is not one that a hub could have written. */
bool event_parse_id(struct span id, char *epoch, uint64_t *seq);

/* ---- what a hub says on its own, appended to a buffer; chunked puts the frame around it, which holds 65535
 * bytes: more fails like a full buffer ---- */

/* `:ok` and `retry:`, the first bytes of a stream. */
void event_put_hello(struct buf *out, bool chunked, uint32_t retry_ms);

/* An id without an event: a browser keeps it as its cursor and tells nobody. */
void event_put_id(struct buf *out, bool chunked, struct span id);

/* A named event with an optional id (p = NULL: none) and a payload of compact JSON; a retry_ms > 0 is told
 * before it. */
void event_put(struct buf *out, bool chunked, const char *name, struct span id, struct span json,
               uint32_t retry_ms);

/* `retry:` alone: come back after this many milliseconds. */
void event_put_retry(struct buf *out, bool chunked, uint32_t retry_ms);

/* The end of a chunked body; nothing if not chunked. */
void event_put_end(struct buf *out, bool chunked);

#endif
