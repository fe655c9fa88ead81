/* SPDX-License-Identifier: MIT
 *
 * test_throttle - rates and bursts, against buckets that are counted out by hand; and what happens when more
 * keys are busy than there is room for.
 */
#include "throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_burst_and_rate(void **state)
{
    (void)state;
    struct throttle t;
    throttle_init(&t, 1);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(throttle_take(&t, "a", 1, 10, 1, 5000), 0);
    assert_int_equal(throttle_take(&t, "a", 1, 10, 1, 5000), 100);
    assert_int_equal(throttle_take(&t, "a", 1, 10, 1, 5099), 1);
    assert_int_equal(throttle_take(&t, "a", 1, 10, 1, 5100), 0);
    assert_int_equal(throttle_take(&t, "a", 1, 10, 1, 5100), 100);
    assert_int_equal(throttle_take(&t, "b", 1, 10, 20, 5100), 0); /* another key, all at once */
    assert_int_equal(throttle_take(&t, "b", 1, 10, 2, 5100), 200);
    assert_int_equal(throttle_take(&t, "a", 1, 0, 1, 5100), 0); /* no limit */
    assert_int_equal(throttle_peek(&t, "a", 1, 10, 5100), 100);
    assert_int_equal(throttle_peek(&t, "c", 1, 10, 5100), 0);
    assert_int_equal(throttle_busy(&t, 5100), 2);
    assert_int_equal(throttle_busy(&t, 7101), 0);
    throttle_finish(&t);
}

/* A bucket as one would write it down: tokens in thousandths. */
struct model {
    uint64_t milli, at;
};

static bool model_take(struct model *m, uint32_t rate, uint64_t now)
{
    uint64_t most = 2000ull * rate;
    m->milli += (now - m->at) * rate;
    m->milli = m->milli > most ? most : m->milli;
    m->at = now;
    if (m->milli < 1000)
        return false;
    m->milli -= 1000;
    return true;
}

static void test_against_model(void **state)
{
    (void)state;
    enum { KEYS = 50 };
    static const uint32_t rates[] = {1, 2, 4, 5, 8, 10, 20, 50, 100, 500}; /* divide a second in whole ms */
    for (unsigned round = 0; round < sizeof(rates) / sizeof(rates[0]); round++) {
        struct throttle t;
        struct model models[KEYS];
        uint32_t rate = rates[round], seed = round + 1;
        uint64_t now = 1000000;
        throttle_init(&t, round);
        for (unsigned i = 0; i < KEYS; i++)
            models[i] = (struct model){2000ull * rate, now};
        for (unsigned i = 0; i < 20000; i++) {
            seed = seed * 1103515245 + 12345;
            now += seed >> 16 & 3;
            uint32_t key = (seed >> 20) % KEYS;
            bool admitted = throttle_take(&t, &key, sizeof(key), rate, 1, now) == 0;
            if (admitted != model_take(&models[key], rate, now))
                fail_msg("rate %u, step %u", rate, i);
        }
        throttle_finish(&t);
    }
}

/* Many keys at once neither grow the table nor take from one that is quiet and full. */
static void test_flood_of_keys(void **state)
{
    (void)state;
    struct throttle t;
    throttle_init(&t, 7);
    for (uint32_t key = 0; key < 10 * THROTTLE_KEYS; key++)
        assert_int_equal(throttle_take(&t, &key, sizeof(key), 1, 1, 1000), 0);
    assert_true(throttle_busy(&t, 1000) <= THROTTLE_KEYS);
    assert_int_equal(throttle_take(&t, "honest", 6, 5, 10, 1000), 0);
    throttle_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_and_rate),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_flood_of_keys),
    };
    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
