/* SPDX-License-Identifier: MIT
 *
 * text - the small questions that the protocols ask of bytes.
 *
 * UTF-8 is checked by the table of well-formed sequences in RFC 3629 section 4 (Unicode 15, table 3-7): the
 * lead byte gives the length and the range of the second byte, which is where overlong forms, surrogates and
 * numbers above U+10FFFF are visible; every further byte is 80..BF. Runs of ASCII are skipped eight at a
 * time.
 *
 * Deliberately not here: normalisation, case folding beyond ASCII, and anything with a locale.
 */
#include "text.h"

#include <endian.h>
#include <string.h>

/* A byte of ASCII in lower case, whatever the locale. */
static unsigned lower(char c)
{
    unsigned u = (unsigned char)c;

    return u - 'A' < 26 ? u | 0x20 : u;
}

struct span span_of(const char *s)
{
    return (struct span){s, s ? strlen(s) : 0};
}

bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool span_eq_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq((struct span){s.p, prefix.len}, prefix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_blank(*s.p)) {
        s.p++;
        s.len--;
    }
    return s;
}

struct span span_split(struct span *rest, char sep)
{
    const char *at = rest->len ? memchr(rest->p, sep, rest->len) : NULL;
    struct span part = *rest;

    if (!at) {
        *rest = (struct span){NULL, 0};
        return part;
    }
    part.len = (size_t)(at - part.p);
    *rest = (struct span){at + 1, rest->len - part.len - 1};
    return part;
}

/* Length and allowed second byte of the sequence that begins with lead; 0 if none does. */
static size_t utf8_shape(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0xC2) /* a continuation byte, or an overlong form of ASCII */
        return 0;
    if (lead < 0xE0)
        return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0)
            *low = 0xA0; /* below: overlong */
        else if (lead == 0xED)
            *high = 0x9F; /* above: surrogates */
        return 3;
    }
    if (lead > 0xF4)
        return 0;
    if (lead == 0xF0)
        *low = 0x90; /* below: overlong */
    else if (lead == 0xF4)
        *high = 0x8F; /* above: beyond U+10FFFF */
    return 4;
}

size_t text_utf8_len(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    unsigned char low, high;
    size_t len;

    if (n > 0 && u[0] < 0x80)
        return 1;
    len = n > 0 ? utf8_shape(u[0], &low, &high) : 0;
    if (len == 0 || len > n || u[1] < low || u[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0;
    }
    return len;
}

/* Length of the run of ASCII at p, a few bytes less at most: enough to skip fast. */
static size_t ascii_words(const char *p, size_t n)
{
    size_t i = 0;
    uint64_t word;

    for (; n - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, p + i, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    return i;
}

bool text_is_utf8(const char *p, size_t n)
{
    size_t i = 0, len;

    while (i < n) {
        i += ascii_words(p + i, n - i);
        if (i == n)
            break;
        len = text_utf8_len(p + i, n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

bool text_is_name(const char *p, size_t n, size_t max)
{
    size_t i = 0, len;

    if (n == 0 || n > max)
        return false;
    for (; i < n; i += len) {
        unsigned char c = (unsigned char)p[i];

        len = text_utf8_len(p + i, n - i);
        if (len == 0 || c < 0x20 || c == 0x7F)
            return false;
        if (c == 0xC2 && (unsigned char)p[i + 1] < 0xA0) /* C1: U+0080..009F is C2 80..9F */
            return false;
    }
    return true;
}

int text_hex_value(char c)
{
    unsigned l = lower(c);

    if (l - '0' < 10)
        return (int)(l - '0');
    return l - 'a' < 6 ? (int)(l - 'a' + 10) : -1;
}

ssize_t text_percent_decode(const char *p, size_t n, char *out, bool form)
{
    char *w = out;

    for (size_t i = 0; i < n; i++) {
        char c = p[i];

        if (c == '%') {
            int high = n - i > 2 ? text_hex_value(p[i + 1]) : -1;
            int low = high < 0 ? -1 : text_hex_value(p[i + 2]);

            if (low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (form && c == '+') {
            c = ' ';
        }
        *w++ = c;
    }
    return w - out;
}

/* RFC 3986 section 2.3. */
static bool is_unreserved(char c)
{
    return lower(c) - 'a' < 26 || lower(c) - '0' < 10 || c == '-' || c == '.' || c == '_' || c == '~';
}

ssize_t text_percent_encode(const char *p, size_t n, char *out, size_t cap)
{
    static const char hex[] = "0123456789ABCDEF"; /* upper case: RFC 3986 section 2.1 */
    size_t w = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if (cap - w < (is_unreserved(p[i]) ? 1 : 3))
            return -1;
        if (is_unreserved(p[i])) {
            out[w++] = p[i];
        } else {
            out[w++] = '%';
            out[w++] = hex[c >> 4];
            out[w++] = hex[c & 15];
        }
    }
    return (ssize_t)w;
}

bool text_query_next(struct span *rest, struct span *name, struct span *value)
{
    while (rest->p) {
        struct span pair = span_split(rest, '&');

        if (pair.len == 0)
            continue;
        *name = span_split(&pair, '=');
        *value = pair.p ? pair : (struct span){name->p + name->len, 0};
        return true;
    }
    return false;
}

bool text_u64(const char *p, size_t n, uint64_t *out)
{
    uint64_t sum = 0;

    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned digit = (unsigned char)p[i] - (unsigned)'0';

        if (digit > 9 || sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *out = sum;
    return true;
}

size_t text_put_u64(char *out, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

/* Crockford's alphabet: no i, l, o, u, and in the order of ASCII, so that ids sort as their numbers do. */
static const char base32[33] = "0123456789abcdefghjkmnpqrstvwxyz";

void text_put_base32(char *out, uint64_t n, unsigned digits)
{
    while (digits > 0) {
        out[--digits] = base32[n & 31];
        n >>= 5;
    }
}

bool text_base32(const char *p, unsigned digits, uint64_t *out)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < digits; i++) {
        const char *at = memchr(base32, p[i], 32);

        if (!at || sum >> 59)
            return false;
        sum = sum << 5 | (uint64_t)(at - base32);
    }
    *out = sum;
    return true;
}

static const char base64url[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

ssize_t text_base64url(const char *p, size_t n, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    char *at = out;

    if (n % 4 == 1)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int value = base64url_value(p[i]);

        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            *at++ = (char)(bits >> held & 0xff);
        }
    }
    return bits & ((1u << held) - 1) ? -1 : at - out;
}

size_t text_put_base64url(char *out, const void *p, size_t n)
{
    const unsigned char *bytes = p;
    uint32_t bits = 0;
    unsigned held = 0;
    char *at = out;

    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6)
            *at++ = base64url[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *at++ = base64url[bits << (6 - held) & 63];
    return (size_t)(at - out);
}

static uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

/* One round of SipHash (Aumasson and Bernstein, 2012, section 2.2). */
static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32) + v[3];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static void sip_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* SipHash-1-3: keyed, so that nobody outside can aim at one bucket, and the variant meant for tables. Words
 * are taken in the machine's order, as the result never leaves the process. */
uint64_t text_hash(const char *p, size_t n, uint64_t seed)
{
    uint64_t key = seed * 0x9E3779B97F4A7C15u ^ rotl(seed, 29);
    uint64_t v[4] = {seed ^ 0x736F6D6570736575u, key ^ 0x646F72616E646F6Du, seed ^ 0x6C7967656E657261u,
                     key ^ 0x7465646279746573u};
    uint64_t word;
    size_t i = 0;

    for (; n - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, p + i, sizeof(word));
        sip_absorb(v, le64toh(word));
    }
    word = 0;
    if (n > i)
        memcpy(&word, p + i, n - i);
    sip_absorb(v, le64toh(word) ^ (uint64_t)n << 56);
    v[2] ^= 0xFF;
    for (int round = 0; round < 3; round++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
