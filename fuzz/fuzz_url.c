/* SPDX-License-Identifier: MIT
 *
 * fuzz_url - one input as a percent-encoded text, as a query, and as a name.
 *
 * Beside not crashing: decoding agrees with a slow reading of the rule, in place too, and gives back whatever
 * was encoded; a query falls into the pairs that a slow splitter finds, all of them views into it; a name is
 * what is good UTF-8 without a control.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must work in every kind of build. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static char *copy_of(const void *p, size_t n)
{
    char *copy = malloc(n ? n : 1);
    must(copy != NULL);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

/* ---- percent-encoding ---- */

static bool is_hex(char c)
{
    return c != '\0' && strchr("0123456789abcdefABCDEF", c) != NULL;
}

/* RFC 3986 section 2.1, one character at a time, the digits by the C library; -1 if it is broken. */
static ssize_t decode_slowly(const char *p, size_t n, char *out, bool form)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char digits[3] = "";
        out[len++] = form && p[i] == '+' ? ' ' : p[i];
        if (p[i] != '%')
            continue;
        if (n - i < 3 || !is_hex(p[i + 1]) || !is_hex(p[i + 2]))
            return -1;
        memcpy(digits, p + i + 1, 2);
        out[len - 1] = (char)strtoul(digits, NULL, 16);
        i += 2;
    }
    return (ssize_t)len;
}

static void check_decoding(const char *p, size_t n, bool form)
{
    char *fast = copy_of(p, n), *slow = copy_of(p, n), *same = copy_of(p, n);
    ssize_t len = text_percent_decode(p, n, fast, form);
    must(len == decode_slowly(p, n, slow, form));
    must(len == text_percent_decode(same, n, same, form));
    if (len > 0)
        must(memcmp(fast, slow, (size_t)len) == 0 && memcmp(fast, same, (size_t)len) == 0);
    free(fast);
    free(slow);
    free(same);
}

/* Encoded and read back, as a path and as a form; with room for one byte less than needed: -1. */
static void check_encoding(const char *p, size_t n)
{
    char *wide = malloc(3 * n + 1), *back = malloc(3 * n + 1);
    must(wide != NULL && back != NULL);
    ssize_t len = text_percent_encode(p, n, wide, 3 * n);
    must(len >= (ssize_t)n && len <= (ssize_t)(3 * n));
    for (ssize_t i = 0; i < len; i++)
        must(wide[i] > ' ' && wide[i] < 0x7f && !strchr("&=+#?/;\"", wide[i]));
    for (int form = 0; form < 2; form++) {
        must(text_percent_decode(wide, (size_t)len, back, form) == (ssize_t)n);
        must(n == 0 || memcmp(back, p, n) == 0);
    }
    if (len > 0) {
        char *tight = copy_of(wide, (size_t)len - 1);
        must(text_percent_encode(p, n, tight, (size_t)len - 1) == -1);
        free(tight);
    }
    free(wide);
    free(back);
}

/* ---- queries ---- */

/* WHATWG URL section 5.1: what lies between two `&` is a pair unless it is empty. */
static void check_query(const char *p, size_t n)
{
    struct span rest = {p, n}, name, value;
    size_t at = 0;
    while (text_query_next(&rest, &name, &value)) {
        while (at < n && p[at] == '&')
            at++;
        must(at < n && name.p == p + at && name.len <= n - at);
        const char *amp = memchr(p + at, '&', n - at);
        size_t end = amp ? (size_t)(amp - p) : n;
        const char *equals = memchr(p + at, '=', end - at);
        size_t name_end = equals ? (size_t)(equals - p) : end;
        must(name.len == name_end - at);
        must(equals ? value.p == equals + 1 && value.len == end - name_end - 1 : value.len == 0);
        check_decoding(name.p, name.len, true);
        if (value.len > 0)
            check_decoding(value.p, value.len, true);
        at = end;
    }
    while (at < n)
        must(p[at++] == '&');
    must(!text_query_next(&rest, &name, &value));
}

/* ---- names ---- */

/* The number of the sequence at p, which text_utf8_len() has measured. */
static uint32_t number_at(const char *p, size_t len)
{
    const unsigned char *u = (const unsigned char *)p;
    uint32_t number = len == 1 ? u[0] : u[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        number = number << 6 | (u[i] & 0x3f);
    return number;
}

static bool is_name_slowly(const char *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < n;) {
        size_t len = text_utf8_len(p + i, n - i);
        uint32_t number = len ? number_at(p + i, len) : 0;
        if (len == 0 || number < 0x20 || (number >= 0x7f && number < 0xa0))
            return false;
        must(number >= least[len] && number <= 0x10ffff && (number < 0xd800 || number > 0xdfff));
        i += len;
    }
    return n > 0;
}

static void check_name(const char *p, size_t n)
{
    bool is = text_is_name(p, n, n);
    must(is == is_name_slowly(p, n));
    must(!is || text_is_utf8(p, n));
    must(!text_is_name(p, n, n ? n - 1 : 0));
    must(is == text_is_name(p, n, n + 100));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(data, size), *decoded = copy_of(data, size);
    check_decoding(copy, size, false);
    check_decoding(copy, size, true);
    check_encoding(copy, size);
    check_query(copy, size);
    check_name(copy, size);
    ssize_t n = text_percent_decode(copy, size, decoded, true);
    if (n >= 0) {
        char *exact = copy_of(decoded, (size_t)n);
        check_name(exact, (size_t)n);
        check_query(exact, (size_t)n);
        free(exact);
    }
    free(copy);
    free(decoded);
    return 0;
}
