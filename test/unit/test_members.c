/* SPDX-License-Identifier: MIT
 *
 * test_members - which texts are unambiguous objects, what is found in them by name, and what strings mean.
 */
#include "members.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Checks a copy that ends where the memory ends, so that a sanitizer sees one byte too many. */
static const char *check(const char *text, size_t n, unsigned most)
{
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    const char *why = members_check((struct span){copy, n}, most);
    free(copy);
    return why;
}

static void test_unambiguous(void **state)
{
    (void)state;
    static const char *const fine[] = {"{}",
                                       " {\"a\" : 1 , \"b\":\"a\"} ",
                                       "{\"a\":{\"a\":{\"a\":1}}}",
                                       "{\"a\":[{\"b\":1},{\"b\":2}],\"b\":3}",
                                       "{\"a\":\"a\",\"b\":[\"a\",\"b\",\"b\"]}",
                                       "{\"\":1,\"a\":{\"\":2}}",
                                       "{\"a\":\"\\\\u0000\",\"\\\\u0061\":1}",
                                       "{\"a\\\"\":1,\"a\\\\\":2,\"a\":\"\\n\"}"};
    for (unsigned i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        if (check(fine[i], strlen(fine[i]), MEMBERS_MAX))
            fail_msg("%s: %s", fine[i], check(fine[i], strlen(fine[i]), MEMBERS_MAX));
}

static void test_ambiguous(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{}{}", "not a JSON object"},
        {"{\"a\":1", "not a JSON object"},
        {"{\"a\":1,\"a\":1}", "there twice"},
        {"{\"a\":1,\"\\u0061\":1}", "there twice"},
        {"{\"\\u0061\":1,\"\\u0061\":1}", "there twice"},
        {"{\"a\":1,\"b\":{\"a\":1},\"a\":2}", "there twice"},
        {"{\"b\":[{\"x\":[{\"a\":1,\"a\":1}]}]}", "there twice"},
        {"{\"b\":{\"a\":1},\"c\":{\"a\" :1,\"a\" :2}}", "there twice"},
        {"{\"\":1,\"\":2}", "there twice"},
        {"{\"/\":1,\"\\/\":2}", "there twice"},
        {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", "there twice"},
        {"{\"a\":\"x\\u0000\"}", "a NUL"},
        {"{\"\\u0000a\":1}", "a NUL"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *why = check(rows[i].text, strlen(rows[i].text), MEMBERS_MAX);
        if (!why || !strstr(why, rows[i].why))
            fail_msg("%s: %s", rows[i].text, why ? why : "is fine");
    }
}

static void test_how_many(void **state)
{
    (void)state;
    char text[16 * MEMBERS_MAX];
    size_t n = 0;
    for (unsigned i = 0; i <= MEMBERS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"%u\":0", i ? "," : "{", i);
    text[n] = '}';
    assert_string_equal(check(text, n + 1, MEMBERS_MAX), "too many members");
    n = (size_t)(strrchr(text, ',') - text);
    text[n] = '}';
    assert_null(check(text, n + 1, MEMBERS_MAX));
    assert_non_null(check(text, n + 1, MEMBERS_MAX - 1));
    assert_null(check("{\"a\":{\"b\":1}}", 13, 2));
    assert_non_null(check("{\"a\":{\"b\":1}}", 13, 1));
    assert_null(check("{}", 2, 0));
}

/* A long name is compared whole, unless it has escapes: then it is refused. */
static void test_long_names(void **state)
{
    (void)state;
    char text[3 * MEMBERS_KEY + 64];
    int n = snprintf(text, sizeof(text), "{\"%0*d\":1,\"%0*d\":2}", MEMBERS_KEY + 8, 1, MEMBERS_KEY + 8, 2);
    assert_null(check(text, (size_t)n, MEMBERS_MAX));
    n = snprintf(text, sizeof(text), "{\"%0*d\":1,\"%0*d\":2}", MEMBERS_KEY + 8, 1, MEMBERS_KEY + 8, 1);
    assert_non_null(check(text, (size_t)n, MEMBERS_MAX));
    n = snprintf(text, sizeof(text), "{\"%0*d\\n\":1}", MEMBERS_KEY - 2, 1);
    assert_null(check(text, (size_t)n, MEMBERS_MAX));
    n = snprintf(text, sizeof(text), "{\"%0*d\\n\":1}", MEMBERS_KEY - 1, 1);
    assert_non_null(check(text, (size_t)n, MEMBERS_MAX));
}

static void test_depth(void **state)
{
    (void)state;
    char text[8 * JSON_DEPTH_MAX];
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        size_t n = 0;
        for (size_t i = 0; i < depth; i++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, i + 1 < depth ? "{\"a\":" : "{");
        memset(text + n, '}', depth);
        assert_int_equal(check(text, n + depth, MEMBERS_MAX) == NULL, depth <= JSON_DEPTH_MAX);
    }
}

static void test_find(void **state)
{
    (void)state;
    struct span object = SPAN("{\"one\":1,\"tw\\u006f\":\"a\\tb\",\"three\":{\"one\":[true]},\"\":null}");
    char room[32];
    assert_null(members_check(object, MEMBERS_MAX));
    struct member one = members_find(object, "one"), two = members_find(object, "two"),
                  three = members_find(object, "three"), none = members_find(object, "four");
    assert_true(one.kind == JSON_NUMBER && span_eq(one.raw, SPAN("1")));
    assert_true(span_eq(members_text(&two, room), SPAN("a\tb")));
    assert_null(members_text(&one, room).p);
    assert_null(none.raw.p);
    assert_null(members_text(&none, room).p);
    assert_true(span_eq(members_find(three.raw, "one").raw, SPAN("[true]")));
    assert_null(members_find(none.raw, "one").raw.p);
    assert_null(members_find(one.raw, "one").raw.p);
    assert_int_equal(members_find(object, "").kind, JSON_NULL);
    assert_non_null(members_find(object, "").raw.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unambiguous), cmocka_unit_test(test_ambiguous), cmocka_unit_test(test_how_many),
        cmocka_unit_test(test_long_names),  cmocka_unit_test(test_depth),     cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
