/* SPDX-License-Identifier: MIT
 *
 * h1_chunked - chunked bodies of HTTP/1.1 (RFC 9112 section 7.1). No I/O, no allocation.
 */
#ifndef H1_CHUNKED_H
#define H1_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

/* Why a message is refused; also what h1_parse_head() reports. */
struct h1_error {
    int status;         /* 400, 414, 417, 431, 501, 505 */
    const char *code;   /* stable: "bad_request_line", "bare_lf", "obs_fold", "both_lengths", … static */
    const char *detail; /* for people: names the culprit; static */
    size_t offset;      /* of the byte where it was noticed, from the start of the message */
};

/* A chunked body (RFC 9112 section 7.1), decoded in place. Zero it to begin. */
struct h1_chunked {
    int state;
    uint64_t left;     /* bytes of the present chunk */
    uint64_t overhead; /* framing bytes so far: more than 64 KiB and more than the data is refused */
    uint64_t total;    /* data bytes so far */
    unsigned line;     /* bytes of the present size line, or of all trailers */
};

/* Decodes p[0..*len): afterwards p[0..*len) is the data found in it. *rest is set to the number of bytes at
 * p + (old *len) - *rest that belong to the next message. 1: the body is complete, 0: more is needed, -1:
 * *error (its offset counts from p). */
int h1_chunked_feed(struct h1_chunked *decoder, char *p, size_t *len, size_t *rest, struct h1_error *error);

#endif
