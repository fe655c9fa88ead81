/* SPDX-License-Identifier: MIT
 *
 * test_buf - growth, the ceiling, and failure that stays.
 */
#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The sanitizers' allocators end the program where malloc() returns NULL, unless told otherwise. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static bool holds(const struct buf *b, const char *text)
{
    return b->len == strlen(text) && (b->len == 0 || memcmp(b->data, text, b->len) == 0);
}

static void test_empty(void **state)
{
    struct buf b, zeroed = {0};

    (void)state;
    buf_init(&b, 10);
    assert_null(b.data);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    buf_consume(&b, 0);
    assert_null(b.data); /* memory is only taken when something is appended */
    buf_finish(&b);
    buf_finish(&zeroed);
    assert_int_equal(buf_putc(&zeroed, 'x'), -1);
    assert_true(zeroed.failed);
}

static void test_appends(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_append(&b, "abc", 2), 0);
    assert_int_equal(buf_puts(&b, "-"), 0);
    assert_int_equal(buf_putc(&b, '\0'), 0);
    assert_int_equal(buf_put_u64(&b, 0), 0);
    assert_int_equal(buf_put_u64(&b, UINT64_MAX), 0);
    assert_int_equal(buf_printf(&b, "%s%d", "x", -7), 0);
    assert_int_equal(b.len, 28);
    assert_memory_equal(b.data,
                        "ab-\0"
                        "018446744073709551615x-7",
                        28);
    buf_finish(&b);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.max, 100);
    assert_int_equal(buf_puts(&b, "again"), 0); /* still usable */
    assert_true(holds(&b, "again"));
    buf_finish(&b);
}

static void test_growth(void **state)
{
    struct buf b;
    size_t moves = 0;

    (void)state;
    buf_init(&b, 1000000);
    for (unsigned i = 0; i < 1000000; i++) {
        size_t cap = b.cap;

        assert_int_equal(buf_putc(&b, (char)i), 0);
        moves += b.cap != cap;
        assert_true(b.len <= b.cap && b.cap <= b.max);
    }
    assert_true(moves < 20); /* doubling, not creeping */
    for (unsigned i = 0; i < 1000000; i++)
        assert_int_equal(b.data[i], (char)i);
    assert_int_equal(buf_putc(&b, 'x'), -1);
    buf_finish(&b);
}

static void test_ceiling(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    assert_int_equal(buf_puts(&b, "hello"), 0);
    assert_int_equal(buf_append(&b, "", 0), 0);
    assert_false(b.failed);
    assert_int_equal(buf_putc(&b, '!'), -1);
    assert_true(b.failed && holds(&b, "hello"));
    buf_clear(&b);
    assert_false(b.failed);
    assert_int_equal(buf_puts(&b, "hello!"), -1);
    assert_int_equal(b.len, 0); /* all or nothing */
    buf_clear(&b);
    assert_int_equal(buf_puts(&b, "olleh"), 0);
    buf_finish(&b);
}

static void test_failure_stays(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 3);
    buf_puts(&b, "ab");
    assert_int_equal(buf_puts(&b, "cd"), -1);
    assert_int_equal(buf_putc(&b, 'c'), -1); /* would fit */
    assert_int_equal(buf_append(&b, "", 0), -1);
    assert_int_equal(buf_put_u64(&b, 1), -1);
    assert_int_equal(buf_printf(&b, "x"), -1);
    assert_int_equal(buf_reserve(&b, 0), -1);
    assert_true(holds(&b, "ab"));
    buf_finish(&b);
    assert_false(b.failed);
}

static void test_reserve(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_reserve(&b, 1000), 0);
    assert_int_equal(b.len, 0);
    memset(b.data, 'x', 1000);
    b.len = 1000;
    assert_int_equal(buf_reserve(&b, 0), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -1); /* the sum must not wrap around */
    buf_finish(&b);
}

/* No memory is a failure like any other, and what the buffer held survives it. */
static void test_no_memory(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, SIZE_MAX);
    assert_int_equal(buf_puts(&b, "kept"), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX / 2 - 100), -1);
    assert_true(b.failed && holds(&b, "kept"));
    buf_clear(&b);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -1);
    buf_finish(&b);
}

/* The text with its NUL, at every distance from the end of the buffer. */
static void test_printf_fits(void **state)
{
    (void)state;
    for (size_t max = 1; max < 300; max++) {
        struct buf b;
        char line[300], all[sizeof(line) + 1];

        memset(line, 'y', sizeof(line));
        line[max - 1] = '\0';
        buf_init(&b, max);
        assert_int_equal(buf_putc(&b, 'x'), 0);
        assert_int_equal(buf_printf(&b, "%s", line), 0);
        snprintf(all, sizeof(all), "x%s", line);
        assert_true(holds(&b, all));
        assert_int_equal(buf_printf(&b, "%s", ""), 0);
        assert_int_equal(buf_printf(&b, "z"), -1);
        assert_true(holds(&b, all));
        buf_finish(&b);
    }
}

static void test_consume(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_puts(&b, "0123456789");
    buf_consume(&b, 3);
    assert_true(holds(&b, "3456789"));
    buf_consume(&b, 0);
    assert_int_equal(buf_puts(&b, "abc"), 0); /* the room is back */
    assert_true(holds(&b, "3456789abc"));
    buf_consume(&b, 10);
    assert_true(holds(&b, ""));
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_appends),
        cmocka_unit_test(test_growth),        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_failure_stays), cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_printf_fits),
        cmocka_unit_test(test_consume),
    };

    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
