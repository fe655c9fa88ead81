/* SPDX-License-Identifier: MIT
 *
 * h1 - HTTP/1.1 messages as bytes (RFC 9112, fields of RFC 9110): request heads in, response heads
 * out; chunked bodies and the Accept family have rooms of their own, which this header brings along. No I/O,
 * no allocation; every view points into the caller's input and lives as long as that does. Strict where
 * laxity enables request smuggling: see the list in h1.c.
 */
#ifndef H1_H
#define H1_H

#include "buf.h"
#include "h1_accept.h"
#include "h1_chunked.h"
#include "text.h"

#define H1_FIELDS_MAX 100

/* In bytes; 0 = none. */
struct h1_limits {
    uint32_t max_request_line; /* with its line end; beyond: 414, or 501 if it is the method that is long */
    uint32_t max_headers;      /* of all field lines; beyond: 431 */
};

struct h1_field {
    struct span name;
    struct span value; /* without surrounding white space */
};

/* Fields that the hub asks for; h1_head.known[] has their first value (p = NULL if absent). */
enum h1_known {
    H1_HOST,
    H1_ACCEPT,
    H1_CONTENT_TYPE,
    H1_AUTHORIZATION,
    H1_COOKIE,
    H1_ORIGIN,
    H1_LAST_EVENT_ID,
    H1_USER_AGENT,
    H1_IDEMPOTENCY_KEY,
    H1_IF_NONE_MATCH,
    H1_ACCEPT_ENCODING,
    H1_X_FORWARDED_FOR,
    H1_FORWARDED,
    H1_KNOWN_COUNT
};

struct h1_head {
    struct span method; /* a token, case-sensitive */
    struct span target; /* as sent: origin-form, absolute-form or "*" */
    struct span path;   /* of the target, still percent-encoded, starts with '/' (or is "*") */
    struct span query;  /* without '?'; p = NULL if there is none */
    struct span host; /* of an absolute-form target if it has one (RFC 9112 section 3.2.2), else of Host, with
                         its port; empty on HTTP/1.0 without Host */
    int minor;        /* 0 or 1 */
    bool keep_alive;  /* RFC 9112 section 9.3: after this exchange the connection may carry another */
    bool close_asked; /* a Connection field holds `close` */
    bool expect_continue;
    bool has_body; /* Content-Length > 0 or chunked */
    bool chunked;
    uint64_t content_length; /* 0 when chunked */
    struct span known[H1_KNOWN_COUNT];
    unsigned field_count;
    struct h1_field fields[H1_FIELDS_MAX];
};

/* Parses a request head. seen = the length at the last call that returned 0 for this message (0 at first), so
 * that a slow sender does not cost quadratic time: as long as the end of the head is not there nothing is
 * parsed twice, yet limits and forbidden bytes that are visible already are reported at once.
 * Returns > 0: bytes of the head (the body begins there), 0: more is needed, -1: *error. */
ssize_t h1_parse_head(const char *p, size_t len, size_t seen, const struct h1_limits *limits,
                      struct h1_head *head, struct h1_error *error);

/* First field with that name (compared without case), or a span with p = NULL. */
struct span h1_field(const struct h1_head *head, struct span name);

/* The reason phrase of a status, static. */
const char *h1_reason(int status);

/* Appends a status line and the Date field (now = seconds since 1970, not negative). The caller adds fields
 * with h1_put_field() and ends the head with buf_puts(out, "\r\n"). */
void h1_put_status(struct buf *out, int status, int64_t now);
void h1_put_date(struct buf *out, int64_t now);                          /* the Date field alone */
void h1_put_field(struct buf *out, const char *name, struct span value); /* controls in value: spaces */

#endif
