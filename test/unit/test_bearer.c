/* SPDX-License-Identifier: MIT
 *
 * test_bearer - credentials where they may stand, and where they only seem to.
 */
#include "bearer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The head lives as long as the text does. */
static void parse(struct h1_head *head, char *text, size_t size, const char *target, const char *fields)
{
    const struct h1_limits limits = {0};
    struct h1_error error;
    int n = snprintf(text, size, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, fields);
    assert_int_equal(h1_parse_head(text, (size_t)n, 0, &limits, head, &error), n);
}

static void expect(struct span got, const char *wanted)
{
    assert_int_equal(got.len, strlen(wanted));
    assert_memory_equal(got.p, wanted, got.len);
}

static void test_header(void **state)
{
    static const struct {
        const char *field, *token;
    } cases[] = {
        {"Authorization: Bearer abc\r\n", "abc"},
        {"authorization: bearer abc\r\n", "abc"},
        {"Authorization: BEARER   abc\r\n", "abc"},
        {"Authorization: Bearer a.b-c_~+/=\r\n", "a.b-c_~+/="},
        {"Authorization: Bearer\r\n", ""},
        {"Authorization: Bearer \r\n", ""},
        {"Authorization: Bearerabc\r\n", ""},
        {"Authorization: Basic abc\r\n", ""},
        {"Authorization:\r\n", ""},
        {"Authorization: abc\r\n", ""},
        {"Proxy-Authorization: Bearer abc\r\n", ""},
        {"", ""},
    };
    struct h1_head head;
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse(&head, text, sizeof(text), "/", cases[i].field);
        expect(bearer_header(&head), cases[i].token);
    }
}

static void test_count(void **state)
{
    struct h1_head head;
    char text[512];

    (void)state;
    parse(&head, text, sizeof(text), "/", "");
    assert_int_equal(bearer_count(&head), 0);
    parse(&head, text, sizeof(text), "/", "Authorization: Bearer a\r\n");
    assert_int_equal(bearer_count(&head), 1);
    parse(&head, text, sizeof(text), "/", "Authorization: Bearer a\r\nX: y\r\nAUTHORIZATION: Bearer a\r\n");
    assert_int_equal(bearer_count(&head), 2);
}

static void test_cookies(void **state)
{
    static const struct {
        const char *fields;
        int found;
        const char *value;
    } cases[] = {
        {"Cookie: t=abc\r\n", 1, "abc"},
        {"Cookie: a=1; t=abc; b=2\r\n", 1, "abc"},
        {"Cookie: a=1;t=abc;b=2\r\n", 1, "abc"},
        {"Cookie: t=\"abc\"\r\n", 1, "abc"},
        {"Cookie: t=\"abc\r\n", 1, "\"abc"},
        {"Cookie: t=\"\r\n", 1, "\""},
        {"Cookie: t=\"\"\r\n", 1, ""},
        {"Cookie: t=\r\n", 1, ""},
        {"Cookie: t=a=b==\r\n", 1, "a=b=="},
        {"Cookie: t=abc\r\nCookie: x=1\r\n", 1, "abc"},
        {"Cookie: x=1\r\ncookie: t=abc\r\n", 1, "abc"}, /* as HTTP/2 splits them */
        {"Cookie: t=abc; t=abc\r\n", 1, "abc"},
        {"Cookie: t=abc; t=abd\r\n", -1, ""},
        {"Cookie: t=abc\r\nCookie: t=\r\n", -1, ""},
        {"Cookie: T=abc\r\n", 0, ""},
        {"Cookie: xt=abc\r\n", 0, ""},
        {"Cookie: tx=abc\r\n", 0, ""},
        {"Cookie: t\r\n", 0, ""},
        {"Cookie: x=t=abc\r\n", 0, ""},
        {"Cookie: x=\"; t=abc\"\r\n", 1, "abc\""}, /* quotes protect nothing: RFC 6265 section 5.2 */
        {"Cookie: ;;;=;=t;\r\n", 0, ""},
        {"X-Cookie: t=abc\r\n", 0, ""},
        {"", 0, ""},
    };
    struct h1_head head;
    struct span value;
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse(&head, text, sizeof(text), "/", cases[i].fields);
        int found = bearer_cookie(&head, SPAN("t"), &value);
        if (found != cases[i].found)
            fail_msg("%d for %s", found, cases[i].fields);
        if (found == 1)
            expect(value, cases[i].value);
    }
}

static void test_query(void **state)
{
    static const struct {
        const char *target;
        ssize_t len;
        const char *value;
    } cases[] = {
        {"/?access_token=abc", 3, "abc"},
        {"/?topic=a&access_token=abc&x", 3, "abc"},
        {"/?access_token=a%2Eb%2bc", 5, "a.b+c"},
        {"/?access%5ftoken=abc", 3, "abc"},
        {"/?access_token=a&access_token=bc", 2, "bc"},
        {"/?access_token=", 0, ""},
        {"/?access_token", 0, ""},
        {"/?access_token=%zz", -1, ""},
        {"/?access_token=12345678901234567", -1, ""},
        {"/?Access_Token=abc", 0, ""},
        {"/?xaccess_token=abc", 0, ""},
        {"/?access_tokens=abc", 0, ""},
        {"/", 0, ""},
    };
    struct h1_head head;
    char text[512], out[16];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse(&head, text, sizeof(text), cases[i].target, "");
        ssize_t n = bearer_query(&head, out, sizeof(out));
        if (n != cases[i].len)
            fail_msg("%zd for %s", n, cases[i].target);
        if (n > 0)
            expect((struct span){out, (size_t)n}, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
