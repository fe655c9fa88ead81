/* SPDX-License-Identifier: MIT
 *
 * test_cors - which origins may be listed, which one is the hub's own, what answers say.
 */
#include "cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_origins(void **state)
{
    static const char *const right[] = {
        "https://app.example.com", "http://localhost:5173",    "https://a",
        "https://[2001:db8::1]",   "http://127.0.0.1:8080",    "https://a_b.example:1",
        "capacitor://localhost",   "chrome-extension://abcdef"};
    static const char *const wrong[] = {"",
                                        "*",
                                        "null",
                                        "https://*.example.com",
                                        "app.example.com",
                                        "https:/app.example.com",
                                        "https://",
                                        "://app.example.com",
                                        "https://app.example.com/",
                                        "https://app.example.com/path",
                                        "https://app.example.com?x",
                                        "https://App.example.com",
                                        "HTTPS://app.example.com",
                                        "https://app.example.com:443",
                                        "http://app.example.com:80",
                                        "https://app.example.com:",
                                        "https://app.example.com:0",
                                        "https://app.example.com:65536",
                                        "https://app.example.com:00443",
                                        "https://user@app.example.com",
                                        "https://app.example.com ",
                                        "https://app.example.com\r\nX: y",
                                        "https://[2001:db8::1",
                                        "https://::1",
                                        "https://[]",
                                        "1http://a"};

    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        if (!cors_is_origin(span_of(right[i])))
            fail_msg("refused: %s", right[i]);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (cors_is_origin(span_of(wrong[i])))
            fail_msg("admitted: %s", wrong[i]);
}

static void test_long_origins(void **state)
{
    char text[CORS_ORIGIN_MAX + 2];

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "https://", 8);
    assert_true(cors_is_origin((struct span){text, CORS_ORIGIN_MAX}));
    assert_false(cors_is_origin((struct span){text, CORS_ORIGIN_MAX + 1}));
}

static void test_find(void **state)
{
    static const char *const list[] = {"https://a.example", "http://b.example:8080", NULL};

    (void)state;
    assert_ptr_equal(cors_find(list, SPAN("https://a.example")), list[0]);
    assert_ptr_equal(cors_find(list, SPAN("http://b.example:8080")), list[1]);
    assert_null(cors_find(list, SPAN("http://a.example")));
    assert_null(cors_find(list, SPAN("https://a.example:443")));
    assert_null(cors_find(list, SPAN("https://A.example")));
    assert_null(cors_find(list, SPAN("https://a.example.evil")));
    assert_null(cors_find(list, SPAN("null")));
    assert_null(cors_find(list, (struct span){0}));
    assert_null(cors_find(NULL, SPAN("https://a.example")));
}

static void test_same(void **state)
{
    static const struct {
        const char *origin, *host;
        bool plain, tls;
    } cases[] = {
        {"http://127.0.0.1:3000", "127.0.0.1:3000", true, false},
        {"http://hub.example", "hub.example", true, false},
        {"http://hub.example", "hub.example:80", true, false},
        {"https://hub.example", "hub.example", true, true},
        {"https://hub.example", "hub.example:443", true, true},
        {"https://hub.example:8443", "HUB.example:8443", true, true},
        {"http://[::1]:3000", "[::1]:3000", true, false},
        {"http://hub.example", "hub.example:443", false, false},
        {"https://hub.example:8443", "hub.example", false, false},
        {"http://hub.example:3000", "hub.example:3001", false, false},
        {"http://evil.example", "hub.example", false, false},
        {"http://hub.example.evil", "hub.example", false, false},
        {"http://hub.example", "", false, false},
        {"ftp://hub.example", "hub.example", false, false},
        {"null", "null", false, false},
        {"", "", false, false},
        {"http://", "", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct span origin = span_of(cases[i].origin), host = span_of(cases[i].host);
        if (cors_is_same(origin, host, false) != cases[i].plain ||
            cors_is_same(origin, host, true) != cases[i].tls)
            fail_msg("%s at %s", cases[i].origin, cases[i].host);
    }
}

/* In what is no head, or not all of one. */
static void test_look(void **state)
{
    static const struct {
        const char *head, *origin;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\nX: y", "https://a.example"},
        {"GET / HTTP/1.1\r\nORIGIN:https://a.example\t\r\nOrigin: https://b.example\r\n",
         "https://a.example"},
        {"\n\n", NULL},
        {"Origin: https://a.example", NULL}, /* it may not be all of it */
        {"GET Origin: https://a.example HTTP/1.1\r\nX-Origin: https://a.example\r\n", NULL},
        {"GET / HTTP/1.1\r\nHost h\r\n\r\nOrigin: https://a.example\r\n", NULL},
        {"GET / HTTP/1.1\nOrigin: https://a.example\n", "https://a.example"},
        {"Origin:\r\n", ""},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct span found = cors_look(span_of(cases[i].head));
        if ((cases[i].origin != NULL) != (found.p != NULL) ||
            (found.p && !span_eq(found, span_of(cases[i].origin))))
            fail_msg("%s", cases[i].head);
    }
}

static void test_fields(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    cors_put(&out, NULL);
    assert_int_equal(out.len, strlen("Vary: Origin\r\n"));
    buf_clear(&out);
    cors_put(&out, "https://a.example");
    buf_putc(&out, '\0');
    assert_non_null(strstr(out.data, "Access-Control-Allow-Origin: https://a.example\r\n"));
    assert_non_null(strstr(out.data, "Access-Control-Allow-Credentials: true\r\n"));
    assert_non_null(strstr(out.data, "Vary: Origin\r\n"));
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins), cmocka_unit_test(test_long_origins), cmocka_unit_test(test_find),
        cmocka_unit_test(test_same),    cmocka_unit_test(test_fields),       cmocka_unit_test(test_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
