/* SPDX-License-Identifier: MIT
 *
 * sim_history - GET /api/sse/history in a world where time stands still, and how readers that do not read are
 * counted.
 */
#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EPOCH 11

/* to: a client's id; "#news": a topic; NULL: everybody. */
static void publish(struct sim_hub *h, const char *to, const char *json, size_t len, uint32_t ttl, char *id)
{
    struct tidings_receipt receipt;
    bool topic = to && to[0] == '#';
    const char *key = to ? to + topic : NULL;
    const struct tidings_message m = {.target = topic ? TIDINGS_TO_TOPIC
                                                : to  ? TIDINGS_TO_CLIENT
                                                      : TIDINGS_TO_ALL,
                                      .to = key,
                                      .to_len = key ? strlen(key) : 0,
                                      .event = "e\"1",
                                      .event_len = 3,
                                      .json = json,
                                      .json_len = len,
                                      .ttl = ttl};
    assert_int_equal(tidings_publish(h->hub, &m, &receipt), 0);
    if (id)
        snprintf(id, TIDINGS_ID_MAX + 1, "%s", receipt.id);
}

static void say(struct sim_hub *h, const char *to, const char *json, char *id)
{
    publish(h, to, json, strlen(json), TIDINGS_TTL_DEFAULT, id);
}

static void ask(struct sim_client *c, const char *query)
{
    assert_true(sim_client_askf(c, "GET /api/sse/history?%s HTTP/1.1\r\nHost: localhost\r\n\r\n", query));
}

/* One question on a connection of its own; the body is valid until the client is finished. */
static const char *answer(struct sim_hub *h, struct sim_client *c, int status, const char *query)
{
    sim_client_open(c, h->sim, 0);
    ask(c, query);
    for (unsigned i = 0; i < 64 && c->answers == 0; i++) {
        assert_true(sim_settle(h->sim));
        sim_client_read_all(c);
    }
    assert_null(c->wrong);
    assert_int_equal(c->answers, 1);
    if (c->answer.status != status)
        fail_msg("?%s: %d %s", query, c->answer.status, c->answer.body);
    return c->answer.body;
}

static void expect(struct sim_hub *h, int status, const char *query, const char *body)
{
    struct sim_client c;
    const char *got = answer(h, &c, status, query);
    if (!strstr(got, body))
        fail_msg("?%s: %s has no %s", query, got, body);
    sim_client_finish(&c);
}

static const char *form(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *form(const char *format, ...)
{
    static char text[4][1024];
    static unsigned next;
    char *out = text[next++ % 4];
    va_list args;
    va_start(args, format);
    vsnprintf(out, sizeof(text[0]), format, args);
    va_end(args);
    return out;
}

static size_t length_of(struct sim_hub *h, const char *query)
{
    struct sim_client c;
    answer(h, &c, 200, query);
    const char *at = strstr(c.answer.head, "Content-Length: ");
    size_t n = at ? strtoul(at + strlen("Content-Length: "), NULL, 10) : 0;
    sim_client_finish(&c);
    return n;
}

/* ---- what is given ---- */

static void test_bytes_and_targets(void **state)
{
    (void)state;
    char id[3][TIDINGS_ID_MAX + 1], want[1024];
    struct sim_hub h;
    sim_hub_init(&h, 1);
    steps_start(&h);
    unsigned long long ts = sim_wall(h.sim);
    say(&h, "her", "1.10", id[0]);
    say(&h, NULL, "{\"z\":1,\"a\":\"\\u00fc\\/\"}", id[1]);
    say(&h, "him", "0", NULL);
    say(&h, "#her", "0", NULL);
    say(&h, "her", "[12345678901234567890]", id[2]);
    snprintf(
        want, sizeof(want),
        "{\"events\":[{\"id\":\"%s\",\"event\":\"e\\\"1\",\"payload\":1.10,\"ts\":%llu,\"clientId\":\"her\"},"
        "{\"id\":\"%s\",\"event\":\"e\\\"1\",\"payload\":{\"z\":1,\"a\":\"\\u00fc\\/"
        "\"},\"ts\":%llu,\"broadcast\":true},"
        "{\"id\":\"%s\",\"event\":\"e\\\"1\",\"payload\":[12345678901234567890],\"ts\":%llu,"
        "\"clientId\":\"her\"}],\"complete\":true,\"next\":null}",
        id[0], ts, id[1], ts, id[2], ts);
    expect(&h, 200, "clientId=her", want);
    expect(&h, 200, "clientId=her&limit=3", "\"next\":null");
    expect(&h, 200, "clientId=her&limit=2", form("\"complete\":true,\"next\":\"%s\"", id[1]));
    expect(&h, 200, form("clientId=her&after=%s", id[1]), form("{\"events\":[{\"id\":\"%s\"", id[2]));
    expect(&h, 200, "topic=her", "\"topic\":\"her\"}],\"complete\":true");
    expect(&h, 200, "broadcast=true&limit=1", form("{\"events\":[{\"id\":\"%s\"", id[1]));
    steps_stop(&h);
}

static void test_wrong_questions(void **state)
{
    (void)state;
    static const struct {
        const char *query, *code;
    } rows[] = {{"", "missing_field"},
                {"broadcast=false", "missing_field"},
                {"broadcast=yes", "invalid_parameter"},
                {"clientId=a&topic=b", "ambiguous_target"},
                {"clientId=a&broadcast=true", "ambiguous_target"},
                {"clientId=&broadcast=true", "ambiguous_target"},
                {"clientId=", "invalid_client_id"},
                {"clientId=%00", "invalid_client_id"},
                {"topic=%ff", "invalid_topic"},
                {"topic=a&limit=0", "invalid_parameter"},
                {"topic=a&limit=1001", "invalid_parameter"},
                {"topic=a&limit=", "invalid_parameter"}};
    struct sim_hub h;
    sim_hub_init(&h, 2);
    steps_start(&h);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect(&h, 400, rows[i].query, form("\"code\":\"%s\"", rows[i].code));
    expect(&h, 200, "broadcast=false&topic=a", "{\"events\":[],\"complete\":true,\"next\":null}");
    steps_stop(&h);
}

/* ttl 0, too old although nobody has swept it yet, and what is not known: shown, or missing? */
static void test_completeness(void **state)
{
    (void)state;
    char first[TIDINGS_ID_MAX + 1], brief[TIDINGS_ID_MAX + 1], last[TIDINGS_ID_MAX + 1];
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 3);
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    assert_true(sim_client_subscribe(&c, "ada", "", NULL));
    assert_true(sim_settle(h.sim));
    say(&h, "ada", "1", first);
    publish(&h, "ada", "2", 1, 0, NULL);
    publish(&h, "ada", "3", 1, 1, brief);
    say(&h, "ada", "4", last);
    expect(&h, 200, form("clientId=ada&after=%s", first), "\"payload\":3");
    sim_advance(h.sim, 1000);
    const char *of_ada = form("clientId=ada&after=%s", first);
    expect(&h, 200, of_ada, form("{\"events\":[{\"id\":\"%s\"", first));
    expect(&h, 200, of_ada, "\"complete\":false,\"next\":null");
    expect(&h, 200, form("clientId=ada&after=%s", brief), "\"complete\":true");
    sim_client_finish(&c);
    struct sim_client whole;
    const char *body = answer(&h, &whole, 200, "clientId=ada");
    assert_null(strstr(body, "\"payload\":2"));
    assert_null(strstr(body, "\"payload\":3"));
    assert_non_null(strstr(body, "\"complete\":true"));
    sim_client_finish(&whole);
    static const char *const unknown[] = {"garbage", "%ff"};
    expect(&h, 200, form("clientId=ada&after=zzzzzzzzzzz%s", last + EPOCH), "\"complete\":false");
    expect(&h, 200, form("clientId=ada&after=%s", last), "\"complete\":true");
    for (unsigned i = 0; i < 2; i++)
        expect(&h, 200, form("clientId=ada&after=%s", unknown[i]), "\"complete\":false");
    last[EPOCH + 1] = 'z'; /* the future */
    expect(&h, 200, form("clientId=ada&after=%s", last), "\"complete\":false");
    expect(&h, 200, "clientId=ada&after=", "\"complete\":true");
    steps_stop(&h);
}

/* A channel that holds nothing is not there any more, but what it has missed is known. */
static void test_forgotten(void **state)
{
    (void)state;
    char before[TIDINGS_ID_MAX + 1], gone[TIDINGS_ID_MAX + 1];
    static const char complete[] = "{\"events\":[],\"complete\":true",
                      incomplete[] = "{\"events\":[],\"complete\":false";
    struct sim_hub h;
    sim_hub_init(&h, 4);
    h.config.history_ttl = 1000;
    steps_start(&h);
    hub_service(h.hub)->log->seed = 4; /* marks are shared by whose hashes meet: not these */
    say(&h, "somebody", "0", before);
    say(&h, "gone", "1", gone);
    say(&h, "#gone", "1", NULL);
    assert_true(sim_pass(h.sim, 5000, 0));
    assert_int_equal(hub_service(h.hub)->log->held_events, 0);
    expect(&h, 200, form("clientId=gone&after=%s", before), incomplete);
    expect(&h, 200, form("topic=gone&after=%s", gone), incomplete);
    expect(&h, 200, form("clientId=gone&after=%s", gone), complete);
    expect(&h, 200, form("clientId=never&after=%s", before), complete);
    expect(&h, 200, form("topic=never&after=%s", before), complete);
    expect(&h, 200, "clientId=gone", complete);
    steps_stop(&h);
}

/* ---- large pages ---- */

#define LARGE (400u * 1024)
#define GIANT (9u << 20)

static char *filler(size_t n)
{
    char *json = malloc(n);
    assert_non_null(json);
    memset(json, 'x', n);
    json[0] = json[n - 1] = '"';
    return json;
}

static void test_large_pages(void **state)
{
    (void)state;
    char id[5][TIDINGS_ID_MAX + 1];
    struct sim_hub h;
    sim_hub_init(&h, 5);
    h.config.history_bytes = h.config.history_total_bytes = 64u << 20;
    h.config.max_body = 16u << 20;
    steps_start(&h);
    char *json = filler(GIANT);
    json[LARGE - 1] = '"';
    for (unsigned i = 0; i < 5; i++)
        publish(&h, "#large", json, LARGE, TIDINGS_TTL_DEFAULT, id[i]);
    json[LARGE - 1] = 'x';
    assert_in_range(length_of(&h, "topic=large&limit=1000"), 2 * LARGE, 3 * LARGE - 1);
    assert_in_range(length_of(&h, form("topic=large&after=%s", id[0])), 2 * LARGE, 3 * LARGE - 1);
    assert_in_range(length_of(&h, form("topic=large&after=%s", id[3])), LARGE, 2 * LARGE - 1);
    assert_in_range(length_of(&h, form("topic=large&after=%s", id[4])), 1, 100);
    publish(&h, "#giant", json, GIANT, TIDINGS_TTL_DEFAULT, NULL);
    assert_in_range(length_of(&h, "topic=giant"), GIANT, GIANT + 1000);
    free(json);
    steps_stop(&h);
}

/* Those who ask for pages and do not take them: what waits for them has its ceiling, and goes with them. */
#define HOARDERS 40

static void test_pages_have_a_ceiling(void **state)
{
    (void)state;
    static struct sim_client c[HOARDERS];
    struct sim_hub h;
    unsigned refused = 0;
    sim_hub_init(&h, 6);
    h.options.down = 4096;
    h.config.history_bytes = h.config.history_total_bytes = 64u << 20;
    h.config.max_body = 16u << 20;
    steps_start(&h);
    char *json = filler(GIANT);
    publish(&h, "#giant", json, GIANT, TIDINGS_TTL_DEFAULT, NULL);
    free(json);
    for (unsigned i = 0; i < HOARDERS; i++) {
        sim_client_open(&c[i], h.sim, 0);
        ask(&c[i], "topic=giant");
        assert_true(sim_settle(h.sim));
        assert_true(sim_hub_loop(&h, 0)->request_bytes <= LOOP_REQUEST_MEMORY);
        refused += sim_waiting(h.sim, c[i].sock) < 4096;
    }
    assert_in_range(refused, 1, HOARDERS - LOOP_REQUEST_MEMORY / (2 * GIANT));
    for (unsigned i = 0; i < HOARDERS; i++)
        sim_client_finish(&c[i]);
    steps_stop(&h);
}

/* ---- slow readers ---- */

static unsigned slow(const struct sim_hub *h)
{
    unsigned counted = sim_hub_loop(h, 0)->slow;
    assert_int_equal(counted, sim_hub_count_slow(sim_hub_loop(h, 0)));
    return counted;
}

/* Returns what waits for it. */
static uint64_t expect_row(struct sim_hub *h, const char *id, const char *text)
{
    struct sim_client c;
    uint64_t pending;
    sim_client_open(&c, h->sim, 0);
    sim_client_askf(&c, "GET /api/sse/clients?prefix=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
    assert_true(sim_settle(h->sim));
    sim_client_read_all(&c);
    if (!strstr(c.answer.body, text))
        fail_msg("%s has no %s", c.answer.body, text);
    assert_true(sim_json_number(c.answer.body, "pending", &pending));
    sim_client_finish(&c);
    return pending;
}

static void fill(struct sim_hub *h, const char *to, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        say(h, to, "\"................................................................................\"",
            NULL);
    assert_true(sim_settle(h->sim));
}

static void test_slow_readers_are_counted(void **state)
{
    (void)state;
    static struct sim_client c[4];
    static const char *const ids[] = {"ada", "bob", "cyd", "dan"};
    struct sim_hub h;
    sim_hub_init(&h, 7);
    h.options.down = 2048;
    h.config.history_bytes = 16384;
    steps_start(&h);
    for (unsigned i = 0; i < 4; i++) {
        sim_client_open(&c[i], h.sim, 0);
        assert_true(sim_client_subscribe(&c[i], ids[i], "", NULL));
    }
    assert_true(sim_settle(h.sim));
    assert_int_equal(slow(&h), 0);
    for (unsigned i = 0; i < 3; i++)
        fill(&h, ids[i], 40);
    assert_int_equal(slow(&h), 3);
    expect_row(&h, "dan", "\"pending\":0,\"resyncs\":0}");
    uint64_t pending = expect_row(&h, "ada", "\"resyncs\":0}");
    assert_in_range(pending, 1, 39);
    fill(&h, "ada", 3);
    assert_int_equal(expect_row(&h, "ada", "\"resyncs\":0}"), pending + 3);
    assert_true(tidings_disconnect_client(h.hub, "bob", 0) ==
                1); /* its last bytes wait, but it reads no more */
    assert_true(sim_settle(h.sim));
    assert_int_equal(slow(&h), 2);
    sim_client_reset(&c[2]);
    assert_true(sim_settle(h.sim));
    assert_int_equal(slow(&h), 1);
    fill(&h, "ada", 400); /* more than is held */
    for (unsigned i = 0; i < 100; i++) {
        sim_client_read_all(&c[0]);
        assert_true(sim_settle(h.sim));
    }
    assert_int_equal(slow(&h), 0);
    expect_row(&h, "ada", "\"pending\":0,\"resyncs\":1}");
    for (unsigned i = 0; i < 4; i++)
        sim_client_finish(&c[i]);
    steps_stop(&h);
}

/* The socket is full of an earlier answer when the stream begins; and a dashboard is no reader. */
static void test_slow_from_the_start(void **state)
{
    (void)state;
    struct sim_client c, dashboard;
    struct sim_hub h;
    sim_hub_init(&h, 8);
    h.options.down = 300;
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(sim_client_askf(&c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_true(sim_settle(h.sim));
    assert_int_equal(slow(&h), 0);
    assert_true(sim_client_subscribe(&c, "ada", "", NULL));
    sim_client_open(&dashboard, h.sim, 0);
    assert_true(sim_client_askf(&dashboard, "GET /api/sse/admin/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_true(sim_settle(h.sim));
    assert_int_equal(slow(&h), 1);
    for (unsigned i = 0; i < 20; i++) {
        sim_client_read_all(&c);
        assert_true(sim_settle(h.sim));
    }
    assert_int_equal(slow(&h), 0);
    sim_client_finish(&c);
    sim_client_finish(&dashboard);
    steps_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_and_targets),
        cmocka_unit_test(test_wrong_questions),
        cmocka_unit_test(test_completeness),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_large_pages),
        cmocka_unit_test(test_pages_have_a_ceiling),
        cmocka_unit_test(test_slow_readers_are_counted),
        cmocka_unit_test(test_slow_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
