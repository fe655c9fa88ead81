/* SPDX-License-Identifier: MIT
 *
 * test_config - defaults are legal, both ends of each range are, and one step beyond is not.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DAY (24u * 3600 * 1000)

/* From include/tidings.h, written down a second time on purpose. */
static const struct range {
    const char *name;
    size_t offset;
    uint32_t initial, min, max;
    bool none, automatic;
} ranges[] = {
#define R(field, initial, min, max, none, automatic)                                                         \
    {                                                                                                        \
#field, offsetof(struct tidings_config, field), initial, min, max, none, automatic                   \
    }
    R(loops, TIDINGS_AUTO, 1, 64, false, true),
    R(max_connections, TIDINGS_AUTO, 1, 100000000, true, true),
    R(max_connections_per_client, 100, 1, 10000000, true, false),
    R(max_request_line, 65536, 64, 1048576, false, false),
    R(max_headers, 65536, 256, 1048576, false, false),
    R(max_body, 1048576, 1, 1073741824, true, false),
    R(max_topics, 64, 1, 1024, true, false),
    R(head_timeout, 10000, 1, 24 * DAY, true, false),
    R(body_timeout, 30000, 1, 24 * DAY, true, false),
    R(idle_timeout, 60000, 1, 24 * DAY, true, false),
    R(heartbeat, 15000, 1, 24 * DAY, true, false),
    R(retry, 3000, 1, DAY, false, false),
    R(max_connection_age, 3600000, 1, 24 * DAY, true, false),
    R(user_timeout, 30000, 1, 24 * DAY, true, false),
    R(history_size, 1000, 1, 100000000, true, false),
    R(history_bytes, 1048576, 1, 1073741824, true, false),
    R(history_ttl, 300000, 1, 24 * DAY, true, false),
    R(send_buffer, 16384, 1, 67108864, true, false),
#undef R
};

static uint32_t *field_of(struct tidings_config *c, const struct range *r)
{
    return (uint32_t *)(void *)((char *)c + r->offset);
}

static int check_value(const struct range *r, uint32_t value)
{
    struct tidings_config c;
    const char *field = NULL;

    tidings_config_init(&c);
    *field_of(&c, r) = value;
    int rc = tidings_config_check(&c, &field);

    if (rc < 0)
        assert_string_equal(field, r->name);
    return rc;
}

static void test_defaults(void **state)
{
    struct tidings_config c;
    const char *field;

    (void)state;
    memset(&c, 0xaa, sizeof(c));
    tidings_config_init(&c);
    assert_int_equal(c.size, sizeof(c));
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        assert_int_equal(*field_of(&c, &ranges[i]), ranges[i].initial);
    assert_int_equal(c.history_total_bytes, 32u << 20);
    assert_int_equal(c.slow_reader, TIDINGS_SLOW_RESYNC);
    assert_false(c.insecure);
    assert_null(c.public_hosts);
    assert_null(c.user);
    assert_true(!c.authorize && !c.on_connect && !c.on_disconnect && !c.log);
    assert_int_equal(tidings_config_check(&c, &field), 0);
}

static void test_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const struct range *r = &ranges[i];

        assert_int_equal(check_value(r, r->min), 0);
        assert_int_equal(check_value(r, r->max), 0);
        assert_int_equal(check_value(r, r->max + 1), TIDINGS_ECONFIG);
        assert_int_equal(check_value(r, 0), r->none ? 0 : TIDINGS_ECONFIG);
        assert_int_equal(check_value(r, TIDINGS_AUTO), r->automatic ? 0 : TIDINGS_ECONFIG);
        if (r->min > 1)
            assert_int_equal(check_value(r, r->min - 1), TIDINGS_ECONFIG);
    }
}

static void test_others(void **state)
{
    struct tidings_config c;
    const char *field = NULL;

    (void)state;
    tidings_config_init(&c);
    c.size--;
    assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
    assert_string_equal(field, "size");
    tidings_config_init(&c);
    c.slow_reader = (enum tidings_slow_reader)2;
    assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
    assert_string_equal(field, "slow_reader");
    tidings_config_init(&c);
    c.slow_reader = TIDINGS_SLOW_DISCONNECT;
    c.history_total_bytes = 0;
    assert_int_equal(tidings_config_check(&c, &field), 0);
    c.history_total_bytes = UINT64_MAX;
    assert_int_equal(tidings_config_check(&c, &field), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_others),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
