/* SPDX-License-Identifier: MIT
 *
 * test_config - defaults are legal, both ends of each range are, and one step beyond is not; what policies of
 * topics and the store may be.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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
    R(max_streams, 256, 1, 65536, false, false),
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
    R(publish_timeout, 10000, 1, 24 * DAY, true, false),
    R(idempotency_window, 600000, 1000, 7 * DAY, false, false),
    R(idempotency_keys, 500000, 1, 10000000, false, false),
    R(send_buffer, 16384, 1, 67108864, true, false),
    R(jwt_leeway, 0, 1, 3600000, true, false),
    R(anonymous, TIDINGS_AUTO, 1, 1, true, true),
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
    assert_null(c.topic_policies);
    assert_int_equal(c.topic_policy_count, 0);
    assert_null(c.store);
    assert_int_equal(c.store_sync, TIDINGS_SYNC_NORMAL);
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

/* A check of a configuration with these policies; says which field is wrong. */
static int check_policies(const struct tidings_topic_policy *policies, size_t count)
{
    struct tidings_config c;
    const char *field = NULL;

    tidings_config_init(&c);
    c.topic_policies = policies;
    c.topic_policy_count = count;
    int rc = tidings_config_check(&c, &field);

    if (rc < 0)
        assert_string_equal(field, "topic_policies");
    return rc;
}

static struct tidings_topic_policy policy_of(const char *pattern)
{
    return (struct tidings_topic_policy){
        .pattern = pattern, TIDINGS_AUTO, TIDINGS_AUTO, TIDINGS_AUTO, .latest_only = false};
}

static int check_pattern(const char *pattern)
{
    struct tidings_topic_policy p = policy_of(pattern);

    return check_policies(&p, 1);
}

static void test_patterns(void **state)
{
    static const char *const right[] = {"prices", "prices.*", "*", "a b", "\xc3\xa9/*", "[x]"};
    static const char *const wrong[] = {NULL,   "",      "**",   "a*b",   "*a",      "a*b*",
                                        "a\nb", "a\x7f", "\xff", "\xc3*", "\xc2\x85"};
    char name[TIDINGS_TOPIC_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        assert_int_equal(check_pattern(right[i]), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(check_pattern(wrong[i]), TIDINGS_ECONFIG);
    memset(name, 'x', sizeof(name));
    name[TIDINGS_TOPIC_MAX + 1] = '\0';
    assert_int_equal(check_pattern(name), TIDINGS_ECONFIG);
    name[TIDINGS_TOPIC_MAX] = '\0';
    assert_int_equal(check_pattern(name), 0);
}

static void test_sets_of_policies(void **state)
{
    struct tidings_topic_policy many[TIDINGS_TOPIC_POLICIES_MAX + 1];
    char names[TIDINGS_TOPIC_POLICIES_MAX + 1][4];

    (void)state;
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
        snprintf(names[i], sizeof(names[i]), "t%zu", i);
        many[i] = policy_of(names[i]);
    }
    assert_int_equal(check_policies(many, TIDINGS_TOPIC_POLICIES_MAX), 0);
    assert_int_equal(check_policies(many, TIDINGS_TOPIC_POLICIES_MAX + 1), TIDINGS_ECONFIG);
    assert_int_equal(check_policies(NULL, 1), TIDINGS_ECONFIG);
    assert_int_equal(check_policies(many, 0), 0);
    many[7].pattern = "t3";
    assert_int_equal(check_policies(many, 8), TIDINGS_ECONFIG);
    assert_int_equal(check_policies(many, 7), 0);
}

static void test_numbers_of_policies(void **state)
{
    static const struct {
        uint32_t size, bytes, ttl;
        bool latest_only;
        int expected;
    } cases[] = {
        {0, 0, 0, false, 0},
        {100000000, 1u << 30, 24 * DAY, false, 0},
        {100000001, 0, 0, false, TIDINGS_ECONFIG},
        {0, (1u << 30) + 1, 0, false, TIDINGS_ECONFIG},
        {0, 0, 24 * DAY + 1, false, TIDINGS_ECONFIG},
        {TIDINGS_AUTO, 1, 1, true, 0},
        {1, 1, 1, true, 0},
        {0, 1, 1, true, TIDINGS_ECONFIG},
        {2, 1, 1, true, TIDINGS_ECONFIG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tidings_topic_policy p = {"t", cases[i].size, cases[i].bytes, cases[i].ttl,
                                         cases[i].latest_only};
        assert_int_equal(check_policies(&p, 1), cases[i].expected);
    }
}

static void test_store(void **state)
{
    static const char *const right[] = {NULL, "memory", "sqlite:t.db", "sqlite:/var/lib/t.db"};
    static const char *const wrong[] = {"", "sqlite:", "sqlite", "SQLITE:t.db", "/var/lib/t.db", "memory "};
    struct tidings_config c;
    const char *field = NULL;

    (void)state;
    tidings_config_init(&c);
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        c.store = right[i];
        assert_int_equal(tidings_config_check(&c, &field), 0);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        c.store = wrong[i];
        assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
        assert_string_equal(field, "store");
    }
    c.store = NULL;
    c.store_sync = TIDINGS_SYNC_FULL;
    assert_int_equal(tidings_config_check(&c, &field), 0);
    c.store_sync = (enum tidings_store_sync)2;
    assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
    assert_string_equal(field, "store_sync");
}

static void test_credentials(void **state)
{
    static const char *const right[] = {"k", "0123456789abcdef-._~+/=", "ABCxyz"};
    static const char *const wrong[] = {"", "a b", "a\tb", "a,b", "\"a\"", "caf\xc3\xa9", "a\r\nX: y", "a;b"};
    char longest[TIDINGS_KEY_MAX + 2];
    const char *list[] = {NULL, NULL}, *many[TIDINGS_KEYS_MAX + 2], *field = NULL;
    struct tidings_config c;

    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        tidings_config_init(&c);
        list[0] = right[i];
        c.publish_keys = c.admin_keys = list;
        assert_int_equal(tidings_config_check(&c, &field), 0);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        tidings_config_init(&c);
        list[0] = wrong[i];
        c.admin_keys = list;
        assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
        assert_string_equal(field, "admin_keys");
    }
    memset(longest, 'k', sizeof(longest));
    longest[TIDINGS_KEY_MAX + 1] = '\0';
    list[0] = longest;
    assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
    list[0] = longest + 1;
    assert_int_equal(tidings_config_check(&c, &field), 0);
    for (size_t i = 0; i <= TIDINGS_KEYS_MAX; i++)
        many[i] = "k";
    many[TIDINGS_KEYS_MAX + 1] = NULL;
    c.publish_keys = many;
    assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
    assert_string_equal(field, "publish_keys");
    many[TIDINGS_KEYS_MAX] = NULL;
    assert_int_equal(tidings_config_check(&c, &field), 0);
    list[0] = "https://app.example/";
    c.admin_keys = NULL;
    c.cors_origins = list;
    assert_int_equal(tidings_config_check(&c, &field), TIDINGS_ECONFIG);
    assert_string_equal(field, "cors_origins");
    list[0] = "https://app.example";
    assert_int_equal(tidings_config_check(&c, &field), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_sets_of_policies),
        cmocka_unit_test(test_numbers_of_policies),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_credentials),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
