/* SPDX-License-Identifier: MIT
 *
 * test_netaddr - addresses and networks, and whom a proxy speaks for.
 */
#include "forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed; /* NULL: not an address */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1:80", "192.0.2.1"},
        {"192.0.2.1:", NULL},
        {"192.0.2.1:65536", NULL},
        {"192.0.2.1:+1", NULL},
        {"192.0.2", NULL},
        {"192.0.2.256", NULL},
        {"192.0.2.01", NULL},
        {"0x7f.0.0.1", NULL},
        {" 192.0.2.1", NULL},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:DB8::1]", "2001:db8::1"},
        {"[2001:db8::1]:4711", "2001:db8::1"},
        {"[2001:db8::1]4711", NULL},
        {"[2001:db8::1", NULL},
        {"[192.0.2.1]", NULL},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"[::ffff:c000:201]:1", "192.0.2.1"},
        {"fe80::1%eth0", NULL},
        {"::", "::"},
        {"unknown", NULL},
        {"_hidden", NULL},
        {"", NULL},
        {"[]", NULL},
        {":", NULL},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct netaddr a;
        char text[NETADDR_TEXT_MAX];
        bool ok = netaddr_parse(span_of(rows[i].text), &a);
        if (ok != (rows[i].printed != NULL))
            fail_msg("%s", rows[i].text);
        if (!ok)
            continue;
        netaddr_print(&a, text);
        assert_string_equal(text, rows[i].printed);
    }
    struct netaddr a;
    assert_false(netaddr_parse((struct span){"1.2.3.4\0", 8}, &a));
}

static struct netaddr address(const char *text)
{
    struct netaddr a = {.family = NETADDR_NONE};
    if (strcmp(text, "unix") != 0)
        assert_true(netaddr_parse(span_of(text), &a));
    return a;
}

static void test_groups(void **state)
{
    (void)state;
    struct netaddr a = address("2001:db8:1:2:3:4:5:6"), b = address("2001:db8:1:2::9"),
                   c = address("2001:db8:1:3::9");
    struct netaddr x = netaddr_group(&a), y = netaddr_group(&b), z = netaddr_group(&c);
    assert_true(netaddr_eq(&x, &y));
    assert_false(netaddr_eq(&x, &z));
    struct netaddr d = address("192.0.2.1"), e = address("192.0.2.2");
    x = netaddr_group(&d);
    y = netaddr_group(&e);
    assert_true(netaddr_eq(&x, &d));
    assert_false(netaddr_eq(&x, &y));
}

static void test_networks(void **state)
{
    (void)state;
    static const struct {
        const char *net, *in, *out;
    } rows[] = {
        {"10.0.0.0/8", "10.255.1.2", "11.0.0.0"},
        {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
        {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
        {"0.0.0.0/0", "1.2.3.4", "::1"},
        {"::/0", "::1", "1.2.3.4"},
        {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
        {"::1", "::1", "::2"},
        {"unix", "unix", "127.0.0.1"},
        {"::ffff:10.0.0.0", "10.0.0.0", "10.0.0.1"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct netaddr_net net;
        struct netaddr in = address(rows[i].in), out = address(rows[i].out);
        assert_true(netaddr_parse_net(span_of(rows[i].net), &net));
        if (!netaddr_in(&in, &net, 1) || netaddr_in(&out, &net, 1))
            fail_msg("%s", rows[i].net);
    }
    static const char *const bad[] = {"",           "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/",
                                      "/8",         "10.0.0.0/-1", "::/129",     "10.0.0.0/8/",
                                      "10.0.0/8",   "Unix",        "[::1]/8",    "[::1]",
                                      "10.0.0.0/ 8"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct netaddr_net net;
        if (netaddr_parse_net(span_of(bad[i]), &net))
            fail_msg("%s", bad[i]);
    }
}

/* ---- forwarded ---- */

static void parse(const char *fields, struct h1_head *head, char *text, size_t size)
{
    struct h1_error error;
    const struct h1_limits limits = {UINT32_MAX, UINT32_MAX};
    int n = snprintf(text, size, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    assert_true(h1_parse_head(text, (size_t)n, 0, &limits, head, &error) > 0);
}

static void test_forwarded(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *fields, *visitor;
    } rows[] = {
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
        {"203.0.113.1", "X-Forwarded-For: 192.0.2.7\r\n", "203.0.113.1"}, /* anybody can write that */
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n", "192.0.2.7"},
        {"10.0.0.1", "X-Forwarded-For: 192.0.2.7, 10.0.0.9\r\n", "192.0.2.7"},
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1, 192.0.2.7 ,10.0.0.9, 10.0.0.8\r\n", "192.0.2.7"},
        {"10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"},
        {"10.0.0.1", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.0.0.2\r\n", "192.0.2.7"},
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
        {"10.0.0.1", "X-Forwarded-For: unknown\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.5\r\n", "10.0.0.5"},
        {"10.0.0.1", "X-Forwarded-For: \r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: ,\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7"},
        {"10.0.0.1", "X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"},
        {"10.0.0.1", "X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"},
        {"unix", "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
        {"fd00::1", "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
        {"10.0.0.1", "Forwarded: for=192.0.2.7\r\n", "192.0.2.7"},
        {"10.0.0.1", "Forwarded: For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1\r\n", "2001:db8::7"},
        {"10.0.0.1", "Forwarded: for=198.51.100.1, for=192.0.2.7, for=10.0.0.2\r\n", "192.0.2.7"},
        {"10.0.0.1", "Forwarded: for=_hidden, for=10.0.0.2\r\n", "10.0.0.2"},
        {"10.0.0.1", "Forwarded: proto=https\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=\"192.0.2.7, 198.51.100.1\"\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
    };
    struct netaddr_net trusted[3];
    assert_true(netaddr_parse_net(SPAN("10.0.0.0/8"), &trusted[0]));
    assert_true(netaddr_parse_net(SPAN("unix"), &trusted[1]));
    assert_true(netaddr_parse_net(SPAN("fd00::/8"), &trusted[2]));
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct h1_head head;
        char text[1024], found[NETADDR_TEXT_MAX];
        struct netaddr a = address(rows[i].peer);
        parse(rows[i].fields, &head, text, sizeof(text));
        bool replaced = forwarded_address(&head, trusted, 3, &a);
        netaddr_print(&a, found);
        if (strcmp(found, rows[i].visitor) != 0 || replaced != (strcmp(rows[i].peer, rows[i].visitor) != 0))
            fail_msg("%s: %s", rows[i].fields, found);
    }
}

static void test_https(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool https;
    } rows[] = {
        {"", false},
        {"X-Forwarded-Proto: https\r\n", true},
        {"X-Forwarded-Proto: HTTPS\r\n", true},
        {"X-Forwarded-Proto: https, http\r\n", false},
        {"X-Forwarded-Proto: http\r\nForwarded: proto=https\r\n", false},
        {"Forwarded: for=1.2.3.4;proto=https\r\n", true},
        {"Forwarded: proto=https, for=1.2.3.4\r\n", false},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct h1_head head;
        char text[1024];
        parse(rows[i].fields, &head, text, sizeof(text));
        if (forwarded_is_https(&head) != rows[i].https)
            fail_msg("%s", rows[i].fields);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_groups), cmocka_unit_test(test_networks),
        cmocka_unit_test(test_forwarded), cmocka_unit_test(test_https),
    };
    return cmocka_run_group_tests_name("netaddr", tests, NULL, NULL);
}
