/* SPDX-License-Identifier: MIT
 *
 * test_clock - the system's clocks, in milliseconds.
 */
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static uint64_t now_ms(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Each reading lies between two of the system's own, however long they take. */
static void test_between(void **state)
{
    struct clock c = clock_system();

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t before = now_ms(CLOCK_MONOTONIC), read = clock_mono(&c), after = now_ms(CLOCK_MONOTONIC);

        assert_true(before <= read && read <= after);
    }
    assert_true(clock_wall(&c) >= now_ms(CLOCK_REALTIME) - 60000);
    assert_true(clock_wall(&c) > 1700000000000); /* since 1970, in milliseconds */
}

static uint64_t fixed(void *user)
{
    return *(uint64_t *)user;
}

static void test_own_time(void **state)
{
    uint64_t time = 17;
    struct clock c = {.mono = fixed, .wall = fixed, .user = &time};

    (void)state;
    assert_int_equal(clock_mono(&c), 17);
    time = 18;
    assert_int_equal(clock_wall(&c), 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between),
        cmocka_unit_test(test_own_time),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
