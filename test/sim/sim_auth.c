/* SPDX-License-Identifier: MIT
 *
 * sim_auth - streams whose token ends, in a world whose clock can wait: never before, at most a second later,
 * also after a month; what an age limit and a drain make of it; answers that come later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "jwt.h"
#include "steps.h"

#define DAY 86400000ull

struct heard {
    bool connected, expired;
    char reason[64];
};

static void on_event(void *user, const struct sim_event *e)
{
    struct heard *h = user;
    h->connected |= strcmp(e->name, "__connected") == 0;
    if (strcmp(e->name, "__expired") == 0) {
        h->expired = true;
        sim_json_text(e->data, "reason", h->reason, sizeof(h->reason));
        assert_string_equal(e->id, "");
    }
}

static void begin(struct sim_hub *h, uint32_t age)
{
    sim_hub_init(h, 11);
    h->config.jwt_secret = JWT_SECRET;
    h->config.max_connection_age = age;
    steps_start(h);
}

/* A stream of ada's, whose token has so many ms left (in whole seconds, as tokens say it). */
static void subscribe(struct sim_hub *h, struct sim_client *c, struct heard *heard, uint64_t left)
{
    char claims[128];
    snprintf(claims, sizeof(claims), "{\"sub\":\"ada\",\"exp\":%llu,\"jti\":\"t-1\"}",
             (unsigned long long)((sim_wall(h->sim) + left) / 1000));
    *heard = (struct heard){.connected = false};
    sim_client_open(c, h->sim, 0);
    c->on_event = on_event;
    c->user = heard;
    assert_true(sim_client_askf(
        c, "GET /api/sse/subscribe/ada HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
        jwt(claims)));
    steps_settle(h, c);
}

/* Time passes, and the client reads: what it has not read is lost when the hub gives up waiting for it. */
static void pass(struct sim_hub *h, struct sim_client *c, uint64_t ms, uint32_t step)
{
    for (uint64_t done = 0; done < ms; done += step) {
        assert_true(sim_pass(h->sim, step, step));
        sim_client_read_all(c);
    }
}

static void assert_open(struct sim_hub *h, struct sim_client *c, const struct heard *heard)
{
    steps_settle(h, c);
    assert_true(heard->connected && !heard->expired && !c->finished);
    assert_int_equal(tidings_total_connections(h->hub), 1);
}

static void assert_over(struct sim_hub *h, struct sim_client *c, const struct heard *heard)
{
    steps_settle(h, c);
    assert_true(heard->expired && c->finished);
    assert_string_equal(heard->reason, "token_expired");
    assert_int_equal(tidings_total_connections(h->hub), 0);
    assert_int_equal(sim_hub_loop(h, 0)->stats.closed_expired, 1);
    sim_client_finish(c);
}

static void test_token_ends(void **state)
{
    struct sim_hub h;
    struct sim_client c;
    struct heard heard;

    (void)state;
    begin(&h, 3600000);
    subscribe(&h, &c, &heard, 20000);
    uint64_t end = (sim_wall(h.sim) + 20000) / 1000 * 1000;
    pass(&h, &c, end - sim_wall(h.sim) - 20, 10);
    assert_open(&h, &c, &heard);
    pass(&h, &c, 1100, 10);
    assert_over(&h, &c, &heard);
    steps_stop(&h);
}

static void test_after_a_month(void **state)
{
    struct sim_hub h;
    struct sim_client c;
    struct heard heard;

    (void)state;
    begin(&h, 0); /* no limit of age: deadlines are shorter than this token */
    subscribe(&h, &c, &heard, 40 * DAY);
    pass(&h, &c, 40 * DAY - 600000, 600000);
    pass(&h, &c, 590000, 10000);
    assert_open(&h, &c, &heard);
    pass(&h, &c, 12000, 100);
    assert_over(&h, &c, &heard);
    steps_stop(&h);
}

static void test_age_comes_first(void **state)
{
    struct sim_hub h;
    struct sim_client c;
    struct heard heard;

    (void)state;
    begin(&h, 60000);
    subscribe(&h, &c, &heard, 3600000);
    pass(&h, &c, 62000, 100);
    steps_settle(&h, &c);
    assert_true(c.finished && !heard.expired);
    assert_int_equal(sim_hub_loop(&h, 0)->stats.closed_age, 1);
    sim_client_finish(&c);
    steps_stop(&h);
}

static void test_drain_is_a_drain(void **state)
{
    struct sim_hub h;
    struct sim_client c;
    struct heard heard;

    (void)state;
    begin(&h, 0);
    subscribe(&h, &c, &heard, 5000);
    tidings_hub_drain(h.hub, 10000);
    pass(&h, &c, 12000, 100);
    steps_settle(&h, &c);
    assert_true(c.finished && !heard.expired);
    assert_int_equal(sim_hub_loop(&h, 0)->stats.closed_drain, 1);
    sim_client_finish(&c);
    steps_stop(&h);
}

/* The loop takes the new object between turns; what hangs on the old one is not disturbed. */
static void test_reload(void **state)
{
    static const char *const keys[] = {"another-admin-key", NULL};
    struct sim_hub h;
    struct sim_client c, other;
    struct heard heard;

    (void)state;
    begin(&h, 3600000);
    subscribe(&h, &c, &heard, 20000);
    struct tidings_config config = h.config;
    config.jwt_secret = NULL;
    config.admin_keys = keys;
    config.anonymous = 0;
    assert_int_equal(tidings_hub_reconfigure(h.hub, &config), 0);
    assert_open(&h, &c, &heard);
    sim_client_open(&other, h.sim, 0);
    assert_true(sim_client_subscribe(&other, "bob", "", NULL));
    steps_settle(&h, &other);
    assert_int_equal(other.statuses[0], 401);
    sim_client_finish(&other);
    config.jwt_public_key = "/nonexistent";
    assert_int_equal(tidings_hub_reconfigure(h.hub, &config), TIDINGS_ECREDENTIALS);
    pass(&h, &c, 22000, 100);
    assert_over(&h, &c, &heard);
    steps_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token_ends),      cmocka_unit_test(test_after_a_month),
        cmocka_unit_test(test_age_comes_first), cmocka_unit_test(test_drain_is_a_drain),
        cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
