/* SPDX-License-Identifier: MIT
 *
 * test_quota - the count of streams by address is exact while they come and go, also where many share a place
 * in the table; and who is refused uses up nothing of what others share.
 */
#include "quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct netaddr address(uint32_t n)
{
    struct netaddr a = {.family = NETADDR_V4};
    memcpy(a.bytes, &n, sizeof(n));
    return a;
}

static void test_exact(void **state)
{
    (void)state;
    enum { ADDRESSES = 3000, MAX = 4, STEPS = 300000 };
    static unsigned counts[ADDRESSES];
    struct quota q;
    struct stats stats = {0};
    uint32_t seed = 1, present = 0, refused = 0;
    assert_int_equal(quota_init(&q), 0);
    for (unsigned i = 0; i < STEPS; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t n = (seed >> 8) % ADDRESSES;
        struct netaddr a = address(n);
        bool counted;
        if (seed >> 31) {
            bool admitted = quota_enter(&q, MAX, &stats, &a, &counted);
            assert_int_equal(admitted, counts[n] < MAX);
            assert_int_equal(counted, admitted);
            refused += !admitted;
            present += admitted && counts[n]++ == 0;
        } else if (counts[n] > 0) {
            quota_leave(&q, &a);
            present -= --counts[n] == 0;
        }
        assert_int_equal(q.addresses, present);
    }
    assert_true(refused > 1000);
    assert_int_equal(stats.refused_address, refused);
    for (uint32_t n = 0; n < ADDRESSES; n++)
        for (struct netaddr a = address(n); counts[n] > 0; counts[n]--)
            quota_leave(&q, &a);
    assert_int_equal(q.addresses, 0);
    quota_finish(&q);
}

static void test_no_limit(void **state)
{
    (void)state;
    struct quota q;
    struct stats stats = {0};
    struct netaddr a = address(1);
    bool counted = true;
    assert_int_equal(quota_init(&q), 0);
    assert_true(quota_enter(&q, 0, &stats, &a, &counted));
    assert_false(counted);
    quota_leave(&q, &a); /* of one that was not counted: nothing happens */
    quota_finish(&q);
}

static void test_whose_tokens(void **state)
{
    (void)state;
    struct quota q;
    struct stats stats = {0};
    struct tidings_config config;
    struct problem why;
    struct netaddr hasty = address(1), calm = address(2);
    tidings_config_init(&config);
    config.publish_rate = 10;
    config.publish_rate_per_address = 2;
    config.publish_rate_per_key = 1;
    assert_int_equal(quota_init(&q), 0);
    unsigned admitted = 0;
    for (unsigned i = 0; i < 100; i++)
        admitted += quota_admit_event(&q, &config, &stats, &hasty, 0, 1000, &why);
    assert_int_equal(admitted, 4);
    assert_string_equal(why.code, "publish_rate_per_address");
    assert_int_equal(why.status, 429);
    assert_int_equal(why.retry_ms, 500);
    for (admitted = 0; admitted < 3 && quota_admit_event(&q, &config, &stats, &calm, 77, 1000, &why);
         admitted++)
        ;
    assert_int_equal(admitted, 2);
    assert_string_equal(why.code, "publish_rate_per_key");
    for (uint32_t n = 10; n < 100; n++) {
        struct netaddr a = address(n);
        admitted += quota_admit_event(&q, &config, &stats, &a, 0, 1000, &why);
    }
    assert_int_equal(admitted + 4, 20); /* what the hub allows, all of it to those who were admitted */
    assert_string_equal(why.code, "publish_rate");
    assert_int_equal(stats.refused_publish_rate_address, 96);
    assert_int_equal(stats.refused_publish_rate_key, 1);
    quota_finish(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_whose_tokens),
    };
    return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
