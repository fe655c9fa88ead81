/* SPDX-License-Identifier: MIT
 *
 * test_bans - until when, who exactly, and how many.
 */
#include "bans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_until(void **state)
{
    struct bans b;

    (void)state;
    bans_init(&b, 1);
    assert_false(bans_has(&b, SPAN("ada"), 0));
    assert_int_equal(bans_set(&b, SPAN("ada"), 100, 10), 0);
    assert_true(bans_has(&b, SPAN("ada"), 10));
    assert_true(bans_has(&b, SPAN("ada"), 99));
    assert_int_equal(b.count, 1);
    assert_false(bans_has(&b, SPAN("ada"), 100)); /* over, and removed on the way */
    assert_int_equal(b.count, 0);
    assert_false(bans_has(&b, SPAN("ada"), 50));
    bans_finish(&b);
    bans_finish(&b);
}

static void test_exactly(void **state)
{
    struct bans b;

    (void)state;
    bans_init(&b, 2);
    assert_int_equal(bans_set(&b, SPAN("ada"), 100, 0), 0);
    assert_false(bans_has(&b, SPAN("ad"), 1));
    assert_false(bans_has(&b, SPAN("adam"), 1));
    assert_false(bans_has(&b, SPAN("Ada"), 1));
    assert_false(bans_has(&b, SPAN("ada\0"), 1));
    assert_false(bans_has(&b, SPAN(""), 1));
    assert_true(bans_has(&b, SPAN("ada"), 1));
    bans_finish(&b);
}

static void test_replaced(void **state)
{
    struct bans b;

    (void)state;
    bans_init(&b, 3);
    assert_int_equal(bans_set(&b, SPAN("ada"), 100, 0), 0);
    assert_int_equal(bans_set(&b, SPAN("ada"), 50, 0), 0); /* the later word counts, also a shorter one */
    assert_int_equal(b.count, 1);
    assert_false(bans_has(&b, SPAN("ada"), 50));
    assert_int_equal(bans_set(&b, SPAN("ada"), 200, 60), 0);
    assert_true(bans_has(&b, SPAN("ada"), 199));
    bans_finish(&b);
}

static int ban_number(struct bans *b, unsigned i, uint64_t until, uint64_t now)
{
    char key[16];

    snprintf(key, sizeof(key), "c%u", i);
    return bans_set(b, span_of(key), until, now);
}

static bool has_number(struct bans *b, unsigned i, uint64_t now)
{
    char key[16];

    snprintf(key, sizeof(key), "c%u", i);
    return bans_has(b, span_of(key), now);
}

static void test_ceiling(void **state)
{
    struct bans b;

    (void)state;
    bans_init(&b, 4);
    for (unsigned i = 0; i < BANS_MAX; i++)
        assert_int_equal(ban_number(&b, i, i % 2 ? 1000 : 2000, 0), 0);
    assert_int_equal(b.count, BANS_MAX);
    assert_int_equal(ban_number(&b, BANS_MAX, 1000, 0), -2);
    assert_int_equal(ban_number(&b, 7, 1000, 0), 0); /* one that is there already takes no room */
    /* Half of them are over: their room is found again, and the other half is still in force. */
    for (unsigned i = BANS_MAX; i < BANS_MAX + BANS_MAX / 2; i++)
        assert_int_equal(ban_number(&b, i, 3000, 1000), 0);
    assert_int_equal(ban_number(&b, 2 * BANS_MAX, 3000, 1000), -2);
    for (unsigned i = 0; i < BANS_MAX + BANS_MAX / 2; i++)
        assert_int_equal(has_number(&b, i, 1000), i % 2 == 0 || i >= BANS_MAX);
    assert_int_equal(b.count, BANS_MAX);
    bans_finish(&b);
}

/* One ban that is over makes room for another, in whichever chain it lies. */
static void test_last_room(void **state)
{
    struct bans b;

    (void)state;
    bans_init(&b, 6);
    for (unsigned i = 0; i < BANS_MAX; i++)
        assert_int_equal(ban_number(&b, i, i == 4711 ? 10 : 2000, 0), 0);
    assert_int_equal(ban_number(&b, BANS_MAX, 2000, 9), -2);
    assert_int_equal(ban_number(&b, BANS_MAX, 2000, 10), 0);
    assert_int_equal(ban_number(&b, BANS_MAX + 1, 2000, 10), -2);
    bans_finish(&b);
}

/* Bans of one chain that end in any order do not disturb each other. */
static void test_chains(void **state)
{
    struct bans b;

    (void)state;
    bans_init(&b, 5);
    for (unsigned i = 0; i < 40000; i++)
        assert_int_equal(ban_number(&b, i, 1 + i * 7919u % 1000, 0), 0);
    for (uint64_t now = 0; now < 1002; now += 143)
        for (unsigned i = 0; i < 40000; i++)
            assert_int_equal(has_number(&b, i, now), 1 + i * 7919u % 1000 > now);
    assert_int_equal(b.count, 0);
    bans_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_until),   cmocka_unit_test(test_exactly), cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_ceiling), cmocka_unit_test(test_chains),  cmocka_unit_test(test_last_room),
    };

    return cmocka_run_group_tests_name("bans", tests, NULL, NULL);
}
