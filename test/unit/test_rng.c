/* SPDX-License-Identifier: MIT
 *
 * test_rng - bounds, spread, and that a seed says all.
 */
#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* First outputs of splitmix64 from its published reference, for the seed 1234567. */
static void test_known_answers(void **state)
{
    static const uint64_t want[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                    4593380528125082431u, 16408922859458223821u};
    struct rng r = {1234567};

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_true(rng_next(&r) == want[i]);
}

static void test_below(void **state)
{
    struct rng r = {1};
    unsigned hits[10] = {0};

    (void)state;
    assert_int_equal(rng_below(&r, 0), 0);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(rng_below(&r, 1), 0);
        assert_true(rng_below(&r, UINT32_MAX) < UINT32_MAX);
    }
    for (unsigned i = 0; i < 100000; i++)
        hits[rng_below(&r, 10)]++;
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(hits[i], 9500, 10500); /* five sigma are 475 */
}

static void test_shorten(void **state)
{
    struct rng r = {2};
    uint32_t least = UINT32_MAX, most = 0;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t n = rng_shorten(&r, 1000, 20);

        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    assert_int_equal(least, 800); /* both ends are reached */
    assert_int_equal(most, 1000);
    assert_int_equal(rng_shorten(&r, 0, 50), 0);
    assert_int_equal(rng_shorten(&r, 1, 50), 1);
    assert_int_equal(rng_shorten(&r, 77, 0), 77);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(rng_shorten(&r, UINT32_MAX, 50) >= UINT32_MAX / 2);
}

static void test_shorten_by_all(void **state)
{
    struct rng r = {3};
    uint32_t least = UINT32_MAX;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t n = rng_shorten(&r, UINT32_MAX, 100);

        least = n < least ? n : least;
    }
    assert_true(least < UINT32_MAX / 50);
}

static void test_secret(void **state)
{
    unsigned char a[1024] = {0}, b[1024] = {0};
    unsigned different = 0;

    (void)state;
    assert_int_equal(rng_secret(a, 0), 0);
    assert_int_equal(a[0], 0);
    assert_int_equal(rng_secret(a, sizeof(a)), 0);
    assert_int_equal(rng_secret(b, sizeof(b)), 0);
    for (unsigned i = 0; i < sizeof(a); i++)
        different += a[i] != b[i];
    assert_true(different > 900); /* 1020 are expected */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),  cmocka_unit_test(test_below),  cmocka_unit_test(test_shorten),
        cmocka_unit_test(test_shorten_by_all), cmocka_unit_test(test_secret),
    };

    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
