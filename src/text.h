/* SPDX-License-Identifier: MIT
 *
 * text - the small questions that the protocols ask of bytes: is it UTF-8, is it a legal name, what does this
 * percent-encoding mean, which number is it. Pure functions, no state, no allocation; any thread.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A view of bytes that somebody else owns; p may be NULL when len is 0. */
struct span {
    const char *p;
    size_t len;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
struct span span_of(const char *s); /* NULL gives the empty span */
bool span_eq(struct span a, struct span b);
bool span_eq_nocase(struct span a, struct span b); /* ASCII only (RFC 9110 section 5.1) */
bool span_starts(struct span s, struct span prefix);
struct span span_trim(struct span s); /* without leading and trailing SP and HTAB (RFC 9110 OWS) */

/* Cuts the part before the first `sep` from *rest and returns it; *rest is what follows it, with p = NULL
 * when nothing does. Call while rest->p is not NULL. */
struct span span_split(struct span *rest, char sep);

/* Length of the well-formed UTF-8 sequence (RFC 3629) at the start of p: 1 to 4, or 0 if there is none. */
size_t text_utf8_len(const char *p, size_t n);

/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
bool text_is_utf8(const char *p, size_t n);

/* Strict UTF-8 without C0 (U+0000..001F), DEL (U+007F) and C1 (U+0080..009F), 1 to max bytes: what the
 * contract calls a name (client ids, topics, event names). */
bool text_is_name(const char *p, size_t n, size_t max);

/* Value of a hexadecimal digit of either case, or -1. */
int text_hex_value(char c);

/* Percent-decodes n bytes of p into out (room for n bytes); form = true also turns '+' into a space
 * (WHATWG URL, application/x-www-form-urlencoded). Returns the length, or -1 if a '%' is not followed by two
 * hexadecimal digits. out may be p. */
ssize_t text_percent_decode(const char *p, size_t n, char *out, bool form);

/* Percent-encodes everything but RFC 3986 unreserved characters. Returns the length, or -1 if cap is short.
 */
ssize_t text_percent_encode(const char *p, size_t n, char *out, size_t cap);

/* The next `name=value` pair of a query; names and values are still encoded. False at the end; empty pairs
 * are skipped. A pair without '=' has an empty value. */
bool text_query_next(struct span *rest, struct span *name, struct span *value);

/* Decimal digits only, no sign, no spaces, no overflow. False if not such a number. */
bool text_u64(const char *p, size_t n, uint64_t *out);

/* Writes n in decimal, no NUL; out has room for 20. Returns the length. */
size_t text_put_u64(char *out, uint64_t n);

/* Fixed-width, sortable numbers for ids: Crockford base 32, lower case, most significant digit first. 13
 * digits hold any number, fewer its low bits. Reading accepts exactly what writing can produce. */
void text_put_base32(char *out, uint64_t n, unsigned digits);
bool text_base32(const char *p, unsigned digits, uint64_t *out);

/* Strict base64url without padding (RFC 7515 section 2): no other character, no length that no bytes have, no
 * bits that nobody needs, so that two texts are never the same bytes. out has room for n bytes. The length,
 * or -1. */
ssize_t text_base64url(const char *p, size_t n, char *out);

/* Writes n bytes so, no NUL; out has room for TEXT_BASE64URL_LEN(n). Returns the length. */
#define TEXT_BASE64URL_LEN(n) (((n)*4 + 2) / 3)
size_t text_put_base64url(char *out, const void *p, size_t n);

/* A 64-bit mixing hash of n bytes with a secret seed, for tables that a stranger fills. */
uint64_t text_hash(const char *p, size_t n, uint64_t seed);

#endif
