/* SPDX-License-Identifier: MIT
 *
 * test_server_value - durations, sizes, counts, yes and no, addresses and hosts as people write them.
 */
#include "value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_counts(void **state)
{
    static const char *const wrong[] = {"",   " 1", "1 ", "-1", "+1", "1.5", "0x10", "18446744073709551616",
                                        "1e3"};
    uint64_t n = 7;

    (void)state;
    assert_true(value_count("0", &n));
    assert_int_equal(n, 0);
    assert_true(value_count("18446744073709551615", &n));
    assert_true(n == UINT64_MAX);
    n = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(value_count(wrong[i], &n));
    assert_int_equal(n, 7);
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } right[] = {{"500ms", 500}, {"15s", 15000}, {"2m", 120000}, {"1h", 3600000}, {"15", 15000}, {"0", 0}};
    static const char *const wrong[] = {
        "", "s", "1.5s", "1d", "15 s", "1h30m", "15S", "18446744073709551615s", "-1s"};
    uint64_t ms = 7;

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        assert_true(value_duration(right[i].text, &ms));
        assert_int_equal(ms, right[i].ms);
    }
    ms = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(value_duration(wrong[i], &ms));
    assert_int_equal(ms, 7);
}

static void test_sizes(void **state)
{
    static const char *const wrong[] = {"",      "KiB",    "16KB",  "16K",
                                        "16kib", "1.5MiB", "1 MiB", "17592186044416MiB"};
    uint64_t bytes;

    (void)state;
    assert_true(value_size("16KiB", &bytes));
    assert_int_equal(bytes, 16384);
    assert_true(value_size("1MiB", &bytes));
    assert_int_equal(bytes, 1048576);
    assert_true(value_size("4097", &bytes));
    assert_int_equal(bytes, 4097);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(value_size(wrong[i], &bytes));
}

static void test_flags(void **state)
{
    bool flag = false;

    (void)state;
    assert_true(value_flag("true", &flag) && flag);
    assert_true(value_flag("no", &flag) && !flag);
    assert_true(value_flag("1", &flag) && flag);
    assert_true(value_flag("false", &flag) && !flag);
    assert_true(value_flag("yes", &flag) && flag);
    assert_true(value_flag("0", &flag) && !flag);
    assert_false(value_flag("True", &flag));
    assert_false(value_flag("", &flag));
}

static void test_addresses(void **state)
{
    static const char *const near[] = {"127.0.0.1:3000", "127.1.2.3:0", "[::1]:65535", "localhost:80",
                                       "unix:/run/tidings.sock"};
    static const char *const far[] = {"0.0.0.0:3000", "192.0.2.1:1", "[::]:3000", "[2001:db8::1]:443"};
    static const char *const wrong[] = {
        "",         "3000",  ":3000",          "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x",
        "::1:3000", "[::1]", "example.com:80", "unix:",     "127.1:80"};
    bool loopback;

    (void)state;
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        assert_true(value_address(near[i], &loopback) && loopback);
    for (size_t i = 0; i < sizeof far / sizeof *far; i++)
        assert_true(value_address(far[i], &loopback) && !loopback);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(value_address(wrong[i], &loopback));
}

static void test_hosts(void **state)
{
    static const char *const right[] = {"*",         "hub.example.com", "localhost",
                                        "192.0.2.1", "[2001:db8::1]",   "a_b-c"};
    static const char *const wrong[] = {"", "a b", "a/b", "http://a", "a:80", "[x]", "*.a", "[::1"};

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_true(value_host(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(value_host(wrong[i]));
}

static void test_stores(void **state)
{
    static const char *const right[] = {"memory", "sqlite:t.db", "sqlite:/var/lib/t.db"};
    static const char *const wrong[] = {"", "sqlite", "sqlite:", "t.db", "SQLITE:t.db", "memory:", " memory"};

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_true(value_store(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(value_store(wrong[i]));
}

static void test_printing(void **state)
{
    char text[32], small[4];
    uint64_t back;

    (void)state;
    for (uint64_t ms = 0; ms < 7300000; ms += 250) {
        value_print_duration(text, sizeof text, ms);
        assert_true(value_duration(text, &back));
        assert_int_equal(back, ms);
    }
    for (uint64_t bytes = 0; bytes < 4000000; bytes += 512) {
        value_print_size(text, sizeof text, bytes);
        assert_true(value_size(text, &back));
        assert_int_equal(back, bytes);
    }
    value_print_safe(text, sizeof text, "a\nb\x1b[31m\xc3\xa4");
    assert_string_equal(text, "a?b?[31m??");
    value_print_safe(small, sizeof small, "abcdef");
    assert_string_equal(small, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts), cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_flags),  cmocka_unit_test(test_addresses), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_stores), cmocka_unit_test(test_printing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
