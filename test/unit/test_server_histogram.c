/* SPDX-License-Identifier: MIT
 *
 * test_server_histogram - percentiles against sorted values.
 */
#include "histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct histogram histogram; /* too large for a stack */

static void test_small_values_are_exact(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    assert_int_equal(histogram_at(&histogram, 0.5), 0);
    for (uint64_t i = 1; i <= 100; i++)
        histogram_add(&histogram, i);
    assert_int_equal(histogram_at(&histogram, 0.5), 50);
    assert_int_equal(histogram_at(&histogram, 0.99), 99);
    assert_int_equal(histogram_at(&histogram, 1.0), 100);
}

static void test_every_magnitude(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (uint64_t odd = 0; odd < 3; odd++) {
            uint64_t value = (UINT64_C(1) << shift) + odd * ((UINT64_C(1) << shift) / 3), at;
            memset(&histogram, 0, sizeof histogram);
            histogram_add(&histogram, value);
            histogram_add(&histogram, UINT64_MAX);
            at = histogram_at(&histogram, 0.5);
            assert_true(at >= value && at - value <= value / 100);
        }
    }
    assert_true(histogram.max == UINT64_MAX);
    assert_true(histogram_at(&histogram, 1.0) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_every_magnitude),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
