/* SPDX-License-Identifier: MIT
 *
 * event - encodes. Names and payloads are checked before they come here: a name has no control characters and
 * compact JSON has no line ends, so one `data:` line always carries the whole payload and nobody can inject a
 * field. Room for the id is left when the event is made and filled when its number is known: the encoding is
 * then outside every lock, the stamping of 22 digits inside.
 */
#include "event.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_ROOM 10 /* "ffffffff\r\n" */
#define ID_FIELD   "id: "
#define NAME_FIELD "\nevent: "
#define DATA_FIELD "\ndata: "
#define TAIL       "\n\n\r\n"

static char *put(char *at, const void *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

/* "<hexadecimal length>\r\n" so that it ends at `end`; returns where it begins. */
static char *put_chunk_size(char *end, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *at = end - 2;
    memcpy(at, "\r\n", 2);
    do {
        *--at = digits[n & 15];
        n >>= 4;
    } while (n > 0);
    return at;
}

static void frame(struct event *e, size_t payload_len)
{
    char *end = e->bytes + e->data + payload_len;
    put(end, TAIL, sizeof(TAIL) - 1);
    size_t text_len = e->data + payload_len + 2 - e->body;
    char *start = put_chunk_size(e->bytes + e->body, text_len);
    e->start = (uint32_t)(start - e->bytes);
    e->size = (uint32_t)(e->body - e->start + text_len + 2);
    e->data_len = (uint32_t)payload_len;
}

/* Gives back what pretty-printed JSON had reserved, where that is worth a copy. */
static struct event *trim(struct event *e, size_t reserved)
{
    size_t used = sizeof(*e) + e->start + e->size;
    if (reserved - used < reserved / 4 || reserved - used < 256)
        return e;
    struct event *smaller = realloc(e, used);
    return smaller ? smaller : e;
}

/* Head and name; the payload is to be written at bytes + data. */
static struct event *begin_event(struct span name, size_t payload_len, size_t *reserved)
{
    size_t head = FRAME_ROOM + sizeof(ID_FIELD) - 1 + EVENT_ID_LEN + sizeof(NAME_FIELD) - 1 + name.len +
                  sizeof(DATA_FIELD) - 1;
    *reserved = sizeof(struct event) + head + payload_len + sizeof(TAIL) - 1;
    if (payload_len > UINT32_MAX / 2)
        return NULL;
    struct event *e = malloc(*reserved);
    if (!e)
        return NULL;
    memset(e, 0, sizeof(*e));
    atomic_init(&e->refs, 1);
    e->expires = UINT64_MAX;
    e->kept = true;
    e->body = FRAME_ROOM;
    char *at = put(e->bytes + e->body, ID_FIELD, sizeof(ID_FIELD) - 1) + EVENT_ID_LEN;
    at = put(at, NAME_FIELD, sizeof(NAME_FIELD) - 1);
    e->name = (uint16_t)(at - e->bytes);
    e->name_len = (uint16_t)name.len;
    at = put(at, name.p, name.len);
    at = put(at, DATA_FIELD, sizeof(DATA_FIELD) - 1);
    e->data = (uint32_t)(at - e->bytes);
    return e;
}

struct event *event_create(struct span name, struct span payload, struct json_error *error)
{
    size_t reserved;
    *error = (struct json_error){0};
    struct event *e = begin_event(name, payload.len, &reserved);
    if (!e)
        return NULL;
    ssize_t n = json_compact(payload, e->bytes + e->data, error);
    if (n < 0) {
        free(e);
        return NULL;
    }
    frame(e, (size_t)n);
    return trim(e, reserved);
}

struct event *event_restore(struct span name, struct span payload)
{
    size_t reserved;
    struct event *e = begin_event(name, payload.len, &reserved);
    if (!e)
        return NULL;
    put(e->bytes + e->data, payload.p, payload.len);
    frame(e, payload.len);
    return e;
}

static void put_id(char *at, const char *epoch, uint64_t seq)
{
    memcpy(at, epoch, EVENT_EPOCH_LEN);
    at[EVENT_EPOCH_LEN] = '-';
    text_put_base32(at + EVENT_EPOCH_LEN + 1, seq, EVENT_SEQ_LEN);
}

void event_stamp(struct event *e, const char *epoch, uint64_t seq, uint64_t ts)
{
    e->seq = seq;
    e->ts = ts;
    put_id(e->bytes + e->body + sizeof(ID_FIELD) - 1, epoch, seq);
}

void event_ref(struct event *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

void event_unref(struct event *e)
{
    if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) > 1)
        return;
    struct event_zip *z = atomic_load_explicit(&e->zip, memory_order_acquire);
    if (z)
        z->end(z);
    free(e);
}

struct span event_frame(const struct event *e)
{
    return (struct span){e->bytes + e->start, e->size};
}

struct span event_text(const struct event *e)
{
    return (struct span){e->bytes + e->body, e->size - (e->body - e->start) - 2};
}

size_t event_footprint(const struct event *e)
{
    return sizeof(*e) + e->start + e->size;
}

void event_id(char *out, const char *epoch, uint64_t seq)
{
    put_id(out, epoch, seq);
    out[EVENT_ID_LEN] = '\0';
}

bool event_parse_id(struct span id, char *epoch, uint64_t *seq)
{
    uint64_t ignored;
    if (id.len != EVENT_ID_LEN || id.p[EVENT_EPOCH_LEN] != '-' ||
        !text_base32(id.p, EVENT_EPOCH_LEN, &ignored) ||
        !text_base32(id.p + EVENT_EPOCH_LEN + 1, EVENT_SEQ_LEN, seq))
        return false;
    memcpy(epoch, id.p, EVENT_EPOCH_LEN);
    return true;
}

/* ---- what a hub says on its own ---- */

/* Leaves room for a frame of `reserve` hexadecimal digits; returns where the text begins. */
static size_t begin(struct buf *out, bool chunked)
{
    if (chunked)
        buf_append(out, "0000\r\n", 6);
    return out->len;
}

static void finish(struct buf *out, bool chunked, size_t start)
{
    if (!chunked || out->failed)
        return;
    /* Leading zeroes of a chunk size are legal (chunk-size = 1*HEXDIG). What the hub says on its own is far
     * below 64 KiB; should it ever not be, that is a failure, not a wrong length. */
    static const char digits[] = "0123456789abcdef";
    size_t n = out->len - start;
    if (n > 0xffff)
        out->failed = true;
    char *size = out->data + start - 6;
    for (int i = 3; i >= 0; i--, n >>= 4)
        size[i] = digits[n & 15];
    buf_append(out, "\r\n", 2);
}

static void put_retry_line(struct buf *out, uint32_t retry_ms)
{
    buf_puts(out, "retry: ");
    buf_put_u64(out, retry_ms);
    buf_putc(out, '\n');
}

void event_put_hello(struct buf *out, bool chunked, uint32_t retry_ms)
{
    size_t start = begin(out, chunked);
    buf_puts(out, ":ok\n");
    put_retry_line(out, retry_ms);
    buf_putc(out, '\n');
    finish(out, chunked, start);
}

void event_put_id(struct buf *out, bool chunked, struct span id)
{
    size_t start = begin(out, chunked);
    buf_puts(out, ID_FIELD);
    buf_append(out, id.p, id.len);
    buf_puts(out, "\n\n");
    finish(out, chunked, start);
}

void event_put(struct buf *out, bool chunked, const char *name, struct span id, struct span json,
               uint32_t retry_ms)
{
    size_t start = begin(out, chunked);
    if (retry_ms > 0)
        put_retry_line(out, retry_ms);
    if (id.p) {
        buf_puts(out, ID_FIELD);
        buf_append(out, id.p, id.len);
        buf_putc(out, '\n');
    }
    buf_puts(out, "event: ");
    buf_puts(out, name);
    buf_puts(out, DATA_FIELD);
    buf_append(out, json.p, json.len);
    buf_puts(out, "\n\n");
    finish(out, chunked, start);
}

void event_put_retry(struct buf *out, bool chunked, uint32_t retry_ms)
{
    size_t start = begin(out, chunked);
    put_retry_line(out, retry_ms);
    buf_putc(out, '\n');
    finish(out, chunked, start);
}

void event_put_end(struct buf *out, bool chunked)
{
    if (chunked)
        buf_puts(out, "0\r\n\r\n");
}
