/* SPDX-License-Identifier: MIT
 *
 * test_text - spans, UTF-8 against every code point and every short sequence, percent-coding, numbers, hash.
 */
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

static const struct span none = {NULL, 0};

static bool is(struct span s, const char *text)
{
    return span_eq(s, span_of(text));
}

static void test_span_compare(void **state)
{
    (void)state;
    assert_null(span_of(NULL).p);
    assert_int_equal(span_of(NULL).len, 0);
    assert_true(span_eq(none, SPAN("")));
    assert_true(span_eq(SPAN("ab"), span_of("ab")));
    assert_false(span_eq(SPAN("ab"), SPAN("aB")));
    assert_false(span_eq(SPAN("ab"), SPAN("abc")));
    assert_true(span_eq_nocase(SPAN("Content-LENGTH9[@`{"), SPAN("cONTENT-length9[@`{")));
    assert_false(span_eq_nocase(SPAN("@"), SPAN("`"))); /* differ by 0x20 only, but are no letters */
    assert_false(span_eq_nocase(SPAN("["), SPAN("{")));
    assert_false(span_eq_nocase(SPAN("\xC9"), SPAN("\xE9"))); /* ASCII only */
    assert_false(span_eq_nocase(SPAN("ab"), SPAN("a")));
    assert_true(span_eq_nocase(none, SPAN("")));
    assert_true(span_starts(SPAN("__x"), SPAN("__")));
    assert_true(span_starts(SPAN("x"), none));
    assert_true(span_starts(none, none));
    assert_false(span_starts(SPAN("_"), SPAN("__")));
    assert_false(span_starts(SPAN("a__"), SPAN("__")));
}

static void test_span_trim(void **state)
{
    (void)state;
    assert_true(is(span_trim(SPAN(" \t a b\t ")), "a b"));
    assert_true(is(span_trim(SPAN("ab")), "ab"));
    assert_true(is(span_trim(SPAN(" \t ")), ""));
    assert_true(is(span_trim(SPAN("\r\n")), "\r\n")); /* not white space of a field value */
    assert_true(is(span_trim(none), ""));
}

static void test_span_split(void **state)
{
    struct span rest = SPAN("a,,b,");

    (void)state;
    assert_true(is(span_split(&rest, ','), "a"));
    assert_true(is(span_split(&rest, ','), ""));
    assert_true(is(span_split(&rest, ','), "b"));
    assert_non_null(rest.p);
    assert_true(is(span_split(&rest, ','), ""));
    assert_null(rest.p);
    rest = SPAN("");
    assert_true(is(span_split(&rest, ','), ""));
    assert_null(rest.p);
}

/* Encodes any number below 2^21 as UTF-8 would, surrogates included. */
static size_t encode(unsigned point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

static void test_utf8_every_point(void **state)
{
    struct guard g;

    (void)state;
    guard_init(&g, 64);
    for (unsigned point = 0; point < 0x200000; point++) {
        bool legal = point < 0x110000 && (point < 0xD800 || point > 0xDFFF);
        bool control = point < 0x20 || (point >= 0x7F && point < 0xA0);
        char bytes[4];
        size_t n = encode(point, bytes);
        const char *p = guard_copy(&g, bytes, n);

        assert_int_equal(text_utf8_len(p, n), legal ? n : 0);
        assert_int_equal(text_is_utf8(p, n), legal);
        assert_int_equal(text_is_name(p, n, 4), legal && !control);
        for (size_t cut = 1; cut < n; cut++)
            assert_false(text_is_utf8(guard_copy(&g, bytes, cut), cut));
    }
    guard_finish(&g);
}

/* Every pair of bytes, and every lead and second byte before good ones: what is legal is what encode() makes.
 */
static void test_utf8_every_sequence(void **state)
{
    static unsigned char legal[3][65536];
    struct guard g;
    char bytes[4];

    (void)state;
    for (unsigned point = 0x80; point < 0x110000; point++) {
        size_t n = encode(point, bytes);

        if (point < 0xD800 || point > 0xDFFF)
            legal[n - 2][(unsigned char)bytes[0] << 8 | (unsigned char)bytes[1]] = 1;
    }
    guard_init(&g, 64);
    for (unsigned pair = 0; pair < 65536; pair++) {
        for (size_t n = 2; n <= 4; n++) {
            bool ascii = pair < 0x8000;

            bytes[0] = (char)(pair >> 8);
            bytes[1] = (char)pair;
            bytes[2] = bytes[3] = (char)0xBF;
            assert_int_equal(text_utf8_len(guard_copy(&g, bytes, n), n) == n, legal[n - 2][pair] && !ascii);
            if (n == 2 || ascii)
                continue;
            bytes[n - 1] = pair % 2 ? '\x7F' : '\xC0'; /* no continuation byte */
            assert_true(text_utf8_len(guard_copy(&g, bytes, n), n) != n);
        }
    }
    guard_finish(&g);
}

/* One bad byte at every place among words of ASCII and of longer sequences. */
static void test_utf8_long(void **state)
{
    char text[64];
    struct guard g;

    (void)state;
    guard_init(&g, sizeof(text));
    for (size_t n = 0; n <= sizeof(text); n++) {
        memset(text, 'a', sizeof(text));
        assert_true(text_is_utf8(guard_copy(&g, text, n), n));
        for (size_t i = 0; i < n; i++) {
            text[i] = '\x80';
            assert_false(text_is_utf8(guard_copy(&g, text, n), n));
            text[i] = 'a';
        }
        for (size_t i = 0; i + 2 < n; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 3);
        assert_true(text_is_utf8(guard_copy(&g, text, n), n));
    }
    assert_true(text_is_utf8(NULL, 0));
    guard_finish(&g);
}

static void test_name(void **state)
{
    (void)state;
    assert_true(text_is_name("user-123", 8, 8));
    assert_false(text_is_name("user-123", 8, 7));
    assert_false(text_is_name("", 0, 8));
    assert_true(text_is_name("a b", 3, 8));
    assert_true(text_is_name("M\xC3\xBCller \xF0\x9F\x98\x80", 12, 128));
    assert_false(text_is_name("a\nb", 3, 8));
    assert_false(text_is_name("a\0b", 3, 8));
    assert_false(text_is_name("a\x7F", 2, 8));
    assert_false(text_is_name("a\xC2\x85", 3, 8)); /* U+0085 */
    assert_true(text_is_name("a\xC2\xA0", 3, 8));
    assert_false(text_is_name("a\xC2", 2, 8));
}

static void decodes(const char *text, bool form, const char *expected, ssize_t n)
{
    size_t len = strlen(text);
    struct guard g;
    char out[64];

    guard_init(&g, len);
    assert_int_equal(text_percent_decode(guard_copy(&g, text, len), len, out, form), n);
    if (n >= 0) {
        char *same = guard_copy(&g, text, len);

        assert_memory_equal(out, expected, (size_t)n);
        assert_int_equal(text_percent_decode(same, len, same, form), n);
        assert_memory_equal(same, expected, (size_t)n);
    }
    guard_finish(&g);
}

static void test_percent_decode(void **state)
{
    (void)state;
    decodes("", false, "", 0);
    decodes("abc", false, "abc", 3);
    decodes("a%20b%2Fc%2f", false, "a b/c/", 6);
    decodes("%00%ff%FF", false, "\0\xFF\xFF", 3);
    decodes("a+b", false, "a+b", 3);
    decodes("a+b%2B", true, "a b+", 4);
    decodes("%2525", false, "%25", 3); /* once */
    decodes("%", false, NULL, -1);
    decodes("a%2", false, NULL, -1);
    decodes("%2g", false, NULL, -1);
    decodes("%g2", false, NULL, -1);
    decodes("% 2", false, NULL, -1);
    decodes("%+2", true, NULL, -1);
    decodes("%u0041", false, NULL, -1);
}

static void test_percent_encode(void **state)
{
    static const char kept[] = "ABCXYZabcxyz0189-._~";
    char out[64], all[256], many[768], back[256];

    (void)state;
    assert_int_equal(text_percent_encode(kept, sizeof(kept) - 1, out, sizeof(out)), sizeof(kept) - 1);
    assert_memory_equal(out, kept, sizeof(kept) - 1);
    assert_int_equal(text_percent_encode("a b/+%@[`{\xC3", 11, out, sizeof(out)), 29);
    assert_memory_equal(out, "a%20b%2F%2B%25%40%5B%60%7B%C3", 29);
    assert_int_equal(text_percent_encode("a b", 3, out, 5), 5);
    assert_int_equal(text_percent_encode("a b", 3, out, 4), -1);
    assert_int_equal(text_percent_encode("a ", 2, out, 3), -1);
    assert_int_equal(text_percent_encode("", 0, out, 0), 0);
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    assert_int_equal(text_percent_encode(all, 256, many, sizeof(many)), 256 * 3 - 66 * 2);
    assert_int_equal(text_percent_decode(many, 256 * 3 - 66 * 2, back, false), 256);
    assert_memory_equal(back, all, 256);
}

static void test_query(void **state)
{
    static const char *expected[][2] = {{"a", "1"}, {"b", ""},    {"c", ""},
                                        {"", "d"},  {"e", "f=g"}, {"a", "2"}};
    struct span rest = SPAN("a=1&&b=&c&=d&e=f=g&a=2&"), name, value;

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(text_query_next(&rest, &name, &value));
        assert_true(is(name, expected[i][0]));
        assert_true(is(value, expected[i][1]));
        assert_non_null(value.p);
    }
    assert_false(text_query_next(&rest, &name, &value));
    assert_false(text_query_next(&rest, &name, &value));
    rest = none;
    assert_false(text_query_next(&rest, &name, &value));
    rest = SPAN("");
    assert_false(text_query_next(&rest, &name, &value));
}

static void test_numbers(void **state)
{
    static const char *bad[] = {"",
                                "-1",
                                "+1",
                                " 1",
                                "1 ",
                                "1x",
                                "0x1",
                                "1.0",
                                "18446744073709551616",
                                "18446744073709551620",
                                "99999999999999999999",
                                "100000000000000000000"};
    uint64_t n = 7;
    char out[20];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_u64(bad[i], strlen(bad[i]), &n));
    assert_int_equal(n, 7);
    assert_true(text_u64("0", 1, &n) && n == 0);
    assert_true(text_u64("00012", 5, &n) && n == 12);
    assert_true(text_u64("18446744073709551615", 20, &n) && n == UINT64_MAX);
    assert_int_equal(text_put_u64(out, 0), 1);
    assert_int_equal(out[0], '0');
    assert_int_equal(text_put_u64(out, 1020), 4);
    assert_memory_equal(out, "1020", 4);
    assert_int_equal(text_put_u64(out, UINT64_MAX), 20);
    assert_memory_equal(out, "18446744073709551615", 20);
}

static void test_hex(void **state)
{
    (void)state;
    for (int c = -128; c < 256; c++) {
        const char *digits = "0123456789abcdef";
        char l = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        const char *at = l ? strchr(digits, l) : NULL;

        assert_int_equal(text_hex_value((char)c), at ? at - digits : -1);
    }
}

static void test_base32(void **state)
{
    char a[14] = {0}, b[14] = {0};
    uint64_t n = 7;

    (void)state;
    text_put_base32(a, 0, 13);
    assert_string_equal(a, "0000000000000");
    text_put_base32(a, UINT64_MAX, 13);
    assert_string_equal(a, "fzzzzzzzzzzzz");
    assert_true(text_base32(a, 13, &n) && n == UINT64_MAX);
    text_put_base32(a, 32 * 31 + 10, 2);
    assert_memory_equal(a, "za", 2);
    assert_true(text_base32("za", 2, &n) && n == 32 * 31 + 10);
    n = 7;
    assert_false(text_base32("g000000000000", 13, &n)); /* 2^64 */
    assert_false(text_base32("0i", 2, &n));
    assert_false(text_base32("0l", 2, &n));
    assert_false(text_base32("0o", 2, &n));
    assert_false(text_base32("0u", 2, &n));
    assert_false(text_base32("0A", 2, &n));
    assert_false(text_base32("0\0", 2, &n));
    assert_int_equal(n, 7);
    for (uint64_t i = 1, last = 0; i; last = i, i <<= 1) { /* the order of text is the order of numbers */
        text_put_base32(a, last, 13);
        text_put_base32(b, i, 13);
        assert_true(memcmp(a, b, 13) < 0);
        assert_true(text_base32(b, 13, &n) && n == i);
    }
}

/* With the seed 0 the key is 0, and other programs' SipHash-1-3 gives the same. */
static void test_hash_values(void **state)
{
    (void)state;
    assert_true(text_hash("a", 1, 0) == 4644417185603328019u);
    assert_true(text_hash("hello", 5, 0) == 16350172494705860510u);
    assert_true(text_hash("12345678", 8, 0) == 3785724242978802311u);
    assert_true(text_hash("0123456789abcdefghij", 20, 0) == 14095073027765101786u);
}

/* Not a proof of anything, but a mixer that forgets bytes, lengths or its seed does not come through. */
static void test_hash(void **state)
{
    char text[40];
    unsigned flips = 0, pairs = 0;
    struct guard g;

    (void)state;
    guard_init(&g, sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)i;
    for (size_t n = 0; n <= sizeof(text); n++) {
        uint64_t hash = text_hash(guard_copy(&g, text, n), n, 42);

        assert_int_equal(hash, text_hash(text, n, 42));
        assert_true(hash != text_hash(text, n, 43));
        for (size_t shorter = 0; shorter < n; shorter++)
            assert_true(hash != text_hash(text, shorter, 42));
        for (size_t bit = 0; bit < 8 * n; bit++, pairs++) {
            text[bit / 8] ^= (char)(1 << bit % 8);
            flips += (unsigned)__builtin_popcountll(hash ^ text_hash(text, n, 42));
            text[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
    assert_in_range(flips / pairs, 31, 32); /* a bit of input turns half of the output's */
    assert_true(text_hash("\0", 1, 0) != text_hash("\0\0", 2, 0));
    guard_finish(&g);
}

static void test_base64url(void **state)
{
    char out[8], text[16];
    (void)state;
    assert_int_equal(text_base64url("", 0, out), 0);
    assert_int_equal(text_base64url("-_8", 3, out), 2);
    assert_memory_equal(out, "\xfb\xff", 2);
    assert_int_equal(text_base64url("AB", 2, out), -1); /* bits that nobody needs */
    assert_int_equal(text_base64url("A", 1, out), -1);
    assert_int_equal(text_base64url("+/8", 3, out), -1); /* the other alphabet */
    assert_int_equal(text_base64url("AA==", 4, out), -1);
    for (size_t n = 0; n <= sizeof(out); n++) {
        static const char bytes[] = "\x00\xff\x10\x83\xfe\x7f\x55\xaa";
        size_t len = text_put_base64url(text, bytes, n);
        assert_int_equal(len, TEXT_BASE64URL_LEN(n));
        assert_int_equal(text_base64url(text, len, out), n);
        assert_memory_equal(out, bytes, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span_compare),
        cmocka_unit_test(test_span_trim),
        cmocka_unit_test(test_span_split),
        cmocka_unit_test(test_utf8_every_point),
        cmocka_unit_test(test_utf8_every_sequence),
        cmocka_unit_test(test_utf8_long),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_percent_decode),
        cmocka_unit_test(test_percent_encode),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base32),
        cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_hash_values),
        cmocka_unit_test(test_hash),
    };

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
