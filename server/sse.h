/* SPDX-License-Identifier: MIT
 *
 * sse - a parser of event streams as WHATWG HTML section 9.2.6 describes it: bytes in, events out, however
 * they are cut. No I/O.
 */
#ifndef SSE_H
#define SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Valid until the callback returns; each is followed by a NUL, which is not counted. */
struct sse_event {
    const char *id; /* last event id */
    size_t id_len;
    const char *event; /* "message" if the stream gave none */
    size_t event_len;
    const char *data;
    size_t data_len;
};

/* Returns false to stop: sse_feed() then returns 1, and what follows in its input is not looked at. */
typedef bool sse_callback(void *user, const struct sse_event *event);

struct sse_text {
    char *bytes;
    size_t len, room;
};

struct sse {
    size_t limit; /* bytes of one line or of the data of one event */
    struct sse_text line, data, event, id, last_id;
    uint64_t retry; /* ms, the last one that the stream gave; the caller's value before that */
    bool began;     /* past the place where a byte order mark may stand */
    bool after_cr;  /* an LF that comes now belongs to the line end before it */
};

void sse_init(struct sse *sse, size_t limit, uint64_t retry);
void sse_finish(struct sse *sse);

/* 0 = all taken, 1 = the callback stopped, -1 = over the limit or out of memory. */
int sse_feed(struct sse *sse, const char *bytes, size_t len, sse_callback *callback, void *user);

/* A new connection begins: what was not complete is forgotten, the last event id and retry stay. */
void sse_reconnect(struct sse *sse);

/* For the Last-Event-ID header; "" if there is none. *len counts no NUL. */
const char *sse_last_id(const struct sse *sse, size_t *len);

#endif
