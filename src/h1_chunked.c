/* SPDX-License-Identifier: MIT
 *
 * h1_chunked - chunked bodies (RFC 9112 section 7.1), decoded where they lie.
 *
 *   SIZE --';'--> EXTENSION --.           size 0: TRAILER --token--> TRAILER_NAME --':'--> TRAILER_VALUE
 *     '---------------'\r'----+-> SIZE_LF --'      |  ^------- TRAILER_LF <----'\r'------------'
 *     ^                            | size > 0      '\r'--> LAST_LF --> DONE
 *     '-- DATA_LF <-- DATA_CR <-- DATA
 *
 * Framing is fed byte by byte, data is moved in one piece. A lax reader of chunk sizes is a way to smuggle
 * requests (section 11.2), so a size is at most 16 hexadecimal digits, followed by CRLF or an extension and
 * by nothing else, white space included. Extensions and trailers mean nothing here; they are bounded, checked
 * and dropped, and framing that outweighs the data is refused, because a body of one-byte chunks costs its
 * reader far more than its sender.
 */
#include "h1_chunked.h"

#include <string.h>

#include "text.h"

/* Every way to refuse: name, status, code, detail. A new row also belongs into the docs' list of codes. */
#define FAULTS(X)                                                                                            \
    X(CHUNK_SIZE, 400, "bad_chunk", "chunk: the size is not a hexadecimal number")                           \
    X(CHUNK_HUGE, 400, "bad_chunk", "chunk: the size is too large")                                          \
    X(CHUNK_LINE, 400, "bad_chunk", "chunk: a size or trailer line is too long")                             \
    X(CHUNK_BYTE, 400, "bad_chunk", "chunk: a control character in a size or trailer line")                  \
    X(CHUNK_CRLF, 400, "bad_chunk", "chunk: CRLF is missing")                                                \
    X(CHUNK_OVERHEAD, 400, "chunk_overhead", "chunk: more framing than data")                                \
    X(BAD_TRAILER, 400, "bad_trailer", "trailer: not a header field")                                        \
    X(LONG_TRAILER, 431, "trailer_too_large", "trailer: too long")

#define FAULT_NAME(name, status, code, detail) F_##name,
#define FAULT_ROW(name, status, code, detail)  {status, code, detail, 0},
enum fault { F_NONE, FAULTS(FAULT_NAME) };
static const struct h1_error faults[] = {{0, "", "", 0}, FAULTS(FAULT_ROW)};

enum chunk_state {
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    DONE
};

enum { CHUNK_DIGITS_MAX = 16, CHUNK_LINE_MAX = 8192, OVERHEAD_FREE = 65536 };

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7F;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(char c)
{
    char letter = (char)(c | 0x20);

    return (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static enum fault feed_size(struct h1_chunked *d, char c)
{
    int digit = text_hex_value(c);

    if (digit >= 0) {
        if (d->line > CHUNK_DIGITS_MAX)
            return F_CHUNK_HUGE;
        d->left = d->left << 4 | (uint64_t)digit;
        return F_NONE;
    }
    if (d->line == 1 || (c != ';' && c != '\r'))
        return c == '\n' ? F_CHUNK_CRLF : F_CHUNK_SIZE;
    if (d->left > INT64_MAX - d->total)
        return F_CHUNK_HUGE;
    d->state = c == ';' ? EXTENSION : SIZE_LF;
    return F_NONE;
}

/* A byte that is only skipped; a CR leads to `next`. */
static enum fault feed_skipped(struct h1_chunked *d, char c, enum chunk_state next)
{
    if (c == '\r')
        d->state = next;
    else if (is_control(c) && c != '\t')
        return c == '\n' ? F_CHUNK_CRLF : F_CHUNK_BYTE;
    return F_NONE;
}

static enum fault feed_exactly(struct h1_chunked *d, char c, char expected, enum chunk_state next)
{
    d->state = (int)next;
    return c == expected ? F_NONE : F_CHUNK_CRLF;
}

static enum fault feed_trailer(struct h1_chunked *d, char c)
{
    if (d->state == TRAILER && c == '\r')
        d->state = LAST_LF;
    else if (d->state == TRAILER_NAME && c == ':')
        d->state = TRAILER_VALUE;
    else if (is_token(c))
        d->state = TRAILER_NAME;
    else
        return F_BAD_TRAILER;
    return F_NONE;
}

/* One byte of framing. `line` starts again with each size line but not between trailers, so that it bounds
 * all of them together. */
static enum fault feed_framing(struct h1_chunked *d, char c)
{
    if (++d->line > CHUNK_LINE_MAX)
        return d->state >= TRAILER ? F_LONG_TRAILER : F_CHUNK_LINE;
    if (++d->overhead > OVERHEAD_FREE && d->overhead > d->total)
        return F_CHUNK_OVERHEAD;
    switch ((enum chunk_state)d->state) {
    case SIZE:
        return feed_size(d, c);
    case EXTENSION:
        return feed_skipped(d, c, SIZE_LF);
    case SIZE_LF:
        d->line = 0;
        return feed_exactly(d, c, '\n', d->left > 0 ? DATA : TRAILER);
    case DATA_CR:
        return feed_exactly(d, c, '\r', DATA_LF);
    case DATA_LF:
        d->line = 0;
        return feed_exactly(d, c, '\n', SIZE);
    case TRAILER:
    case TRAILER_NAME:
        return feed_trailer(d, c);
    case TRAILER_VALUE:
        return feed_skipped(d, c, TRAILER_LF);
    case TRAILER_LF:
        return feed_exactly(d, c, '\n', TRAILER);
    case LAST_LF:
        return feed_exactly(d, c, '\n', DONE);
    default:
        return F_NONE; /* DATA and DONE hold no framing */
    }
}

/* Moves the data at p + from down to p + to; returns how much there was. */
static size_t take_data(struct h1_chunked *d, char *p, size_t to, size_t from, size_t len)
{
    size_t n = len - from < d->left ? len - from : (size_t)d->left;

    memmove(p + to, p + from, n);
    d->left -= n;
    d->total += n;
    if (d->left == 0)
        d->state = DATA_CR;
    return n;
}

static int fail(struct h1_error *error, enum fault fault, size_t offset)
{
    *error = faults[fault];
    error->offset = offset;
    return -1;
}

int h1_chunked_feed(struct h1_chunked *decoder, char *p, size_t *len, size_t *rest, struct h1_error *error)
{
    size_t from = 0, to = 0;

    while (from < *len && decoder->state != DONE) {
        if (decoder->state == DATA) {
            size_t n = take_data(decoder, p, to, from, *len);

            from += n;
            to += n;
        } else {
            enum fault fault = feed_framing(decoder, p[from]);

            if (fault != F_NONE)
                return fail(error, fault, from);
            from++;
        }
    }
    *rest = *len - from;
    *len = to;
    return decoder->state == DONE;
}
