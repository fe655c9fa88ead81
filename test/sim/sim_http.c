/* SPDX-License-Identifier: MIT
 *
 * sim_http - requests as networks and their senders bring them: cut at every byte, in a row, slowly, halfway,
 * too large, too many, and from those who do not read what they asked for.
 */
#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char get[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char head[] = "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char post[] =
    "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: 47\r\n\r\n{\"clientId\":\"ada\",\"event\":\"note\",\"payload\":[1]}";
static const char chunked[] =
    "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Transfer-Encoding: chunked\r\n\r\n"
    "1\r\n{\r\n10;x=\"y\"\r\n\"clientId\":\"ada\"\r\n1e\r\n,\"event\":\"note\",\"payload\":[1]}\r\n0\r\nA: "
    "b\r\n\r\n";
static const char bad[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n";
static const char unread[] = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n1234567";

/* ---- every split ---- */

struct sample {
    const char *text;
    unsigned requests;
    int statuses[4];
    bool closes;
};

#define SAMPLES_MAX 12

static unsigned samples(struct sample *out, char *room, size_t size)
{
    char *at = room;
    unsigned n = 0;
    out[n++] = (struct sample){get, 1, {200}, false};
    out[n++] = (struct sample){head, 1, {200}, false};
    out[n++] = (struct sample){post, 1, {200}, false};
    out[n++] = (struct sample){chunked, 1, {200}, false};
    out[n++] = (struct sample){bad, 1, {400}, true};
    out[n++] = (struct sample){unread, 1, {404}, false};
    const char *rows[][4] = {{get, head, get, NULL},
                             {post, chunked, get, NULL},
                             {chunked, post, unread, get},
                             {chunked, bad, NULL, NULL}};
    static const int statuses[][4] = {
        {200, 200, 200, 0}, {200, 200, 200, 0}, {200, 200, 404, 200}, {200, 400, 0, 0}};
    for (unsigned i = 0; i < 4; i++) {
        struct sample s = {.text = at, .closes = i == 3};
        memcpy(s.statuses, statuses[i], sizeof(s.statuses));
        for (unsigned k = 0; k < 4 && rows[i][k]; k++, s.requests++)
            at += snprintf(at, size - (size_t)(at - room), "%s", rows[i][k]);
        at++;
        out[n++] = s;
    }
    return n;
}

static void check_sample(const struct sample *s, const struct sim_client *c, size_t cut)
{
    unsigned want = s->requests;
    bool may_end = strstr(s->text, "/nowhere") != NULL;
    if (may_end && c->ended)
        want = c->answers;
    if (c->answers != want)
        fail_msg("%u answers, not %u, cut at %zu of: %s", c->answers, want, cut, s->text);
    for (unsigned i = 0; i < want; i++)
        if (c->statuses[i] != s->statuses[i])
            fail_msg("answer %u is %d, cut at %zu of: %s", i, c->statuses[i], cut, s->text);
    if (!may_end && c->ended != s->closes)
        fail_msg("closed: %d, cut at %zu of: %s", c->ended, cut, s->text);
}

static void expect_requests(struct sim_client *c, const char *text)
{
    for (const char *at = text; (at = strstr(at, " HTTP/1.")); at++) {
        const char *line = at;
        while (line > text && line[-1] != '\n' && line[-1] != ']' && line[-1] != '}' && line[-1] != '7')
            line--;
        c->head_only[c->asked++] = strncmp(line, "HEAD ", 5) == 0;
    }
}

static void test_every_split(void **state)
{
    (void)state;
    struct sample list[SAMPLES_MAX];
    static char room[8192];
    unsigned count = samples(list, room, sizeof(room));
    struct sim_hub h;
    sim_hub_init(&h, 1);
    steps_start(&h);
    for (unsigned i = 0; i < count; i++) {
        size_t n = strlen(list[i].text);
        for (size_t cut = 0; cut <= n + 1; cut++) {
            struct sim_client c;
            sim_client_open(&c, h.sim, 0);
            expect_requests(&c, list[i].text);
            size_t step = cut == n + 1 ? 1 : n;
            for (size_t at = 0, to; at < n; at = to) {
                to = at < cut && cut <= n ? cut : at + step < n ? at + step : n;
                sim_send(h.sim, c.sock, list[i].text + at, to - at);
                assert_true(sim_settle(h.sim));
            }
            steps_settle(&h, &c);
            check_sample(&list[i], &c, cut);
            sim_client_finish(&c);
        }
    }
    steps_stop(&h);
}

/* ---- in a row ---- */

/* half_close: who says that he has no further request still gets all answers. */
static void pipeline(uint64_t seed, bool half_close)
{
    static char row[512 * 64];
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, seed);
    h.options.down = 3000;
    h.options.faults = (struct sim_faults){.short_read = 300, .short_write = 300, .again = 300};
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    char *at = row;
    for (unsigned i = 0; i < 400; i++)
        at += sprintf(at, "GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n", i % 3 ? "healthz" : "nowhere");
    c.asked = 400;
    assert_int_equal(sim_send(h.sim, c.sock, row, (size_t)(at - row)), at - row);
    if (half_close)
        sim_shutdown(h.sim, c.sock);
    for (unsigned i = 0; i < 1000 && c.answers < 400; i++)
        steps_settle(&h, &c);
    assert_int_equal(c.answers, 400);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(c.statuses[i], i % 3 ? 200 : 404);
    steps_settle(&h, &c);
    assert_int_equal(c.ended, half_close);
    sim_client_finish(&c);
    steps_stop(&h);
}

static void test_pipelining(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        pipeline(50 + i, i % 2);
}

/* Who asks and asks but does not read is not answered further, and costs little. */
static void test_paused_output(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    size_t sent = 0, most = 0;
    sim_hub_init(&h, 3);
    h.options.down = 4096;
    h.options.up = 16384;
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned i = 0; i < 4000; i++) {
        bool whole = sent % (sizeof(get) - 1) == 0;
        const char *rest = get + sent % (sizeof(get) - 1);
        sent += sim_send(h.sim, c.sock, rest, strlen(rest));
        c.asked += whole;
        assert_true(sim_settle(h.sim));
        struct conn *k = slab_get(&sim_hub_loop(&h, 0)->conns, 0);
        size_t held = k->io ? k->io->in.cap + k->io->out.cap : 0;
        most = held > most ? held : most;
    }
    assert_true(most < 200 * 1024);
    for (unsigned i = 0; i < 500; i++)
        steps_settle(&h, &c);
    assert_true(sent > 20000);
    assert_int_equal(c.answers, sent / (sizeof(get) - 1));
    sim_client_finish(&c);
    steps_stop(&h);
}

/* ---- slowly ---- */

static void check_timeout(struct sim_hub *h, const char *text, size_t n, uint64_t limit, int status)
{
    struct sim_client c;
    sim_client_open(&c, h->sim, 0);
    uint64_t begin = sim_now(h->sim);
    c.asked = 2;
    for (size_t i = 0; i < n; i++)
        sim_send(h->sim, c.sock, text + i, 1);
    while (!c.ended && !c.broken) {
        assert_true(sim_pass(h->sim, 100, 0));
        sim_client_read_all(&c);
        assert_null(c.wrong);
        assert_true(sim_now(h->sim) - begin < limit + 1200);
    }
    assert_true(sim_now(h->sim) - begin >= limit);
    assert_int_equal(c.answers > 0 ? c.statuses[c.answers - 1] : 0, status);
    if (status == 0)
        assert_int_equal(c.bytes, 0);
    sim_client_finish(&c);
}

static void test_timeouts(void **state)
{
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 4);
    steps_start(&h);
    check_timeout(&h, "", 0, 10000, 0);
    check_timeout(&h, get, 1, 10000, 408);
    check_timeout(&h, get, sizeof(get) - 2, 10000, 408);
    check_timeout(&h, post, strlen(post) - 1, 30000, 408);
    check_timeout(&h, chunked, strlen(chunked) - 1, 30000, 408);
    check_timeout(&h, get, strlen(get), 60000, 200);
    steps_stop(&h);
}

/* One byte a second does not keep a head open, nor does it count anew from each byte. */
static void test_drip(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    unsigned i = 0;
    sim_hub_init(&h, 5);
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    c.asked = 2;
    sim_send(h.sim, c.sock, get, strlen(get));
    steps_settle(&h, &c);
    assert_true(sim_pass(h.sim, 40000, 0));
    for (; i < 30 && c.answers < 2; i++) {
        sim_send(h.sim, c.sock, get + i, 1);
        assert_true(sim_pass(h.sim, 1000, 0));
        sim_client_read_all(&c);
        assert_null(c.wrong);
    }
    assert_in_range(i, 10, 12);
    assert_int_equal(c.answer.status, 408);
    sim_client_finish(&c);
    steps_stop(&h);
}

static void test_continue(void **state)
{
    (void)state;
    static const char *const lengths[] = {"Content-Length: 47", "Transfer-Encoding: chunked"};
    static const char *bodies[2];
    struct sim_hub h;
    bodies[0] = strstr(post, "\r\n\r\n") + 4;
    bodies[1] = strstr(chunked, "\r\n\r\n") + 4;
    sim_hub_init(&h, 6);
    steps_start(&h);
    for (unsigned i = 0; i < 4; i++) {
        struct sim_client c;
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(
            &c,
            "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Expect: 100-continue\r\n%s\r\n\r\n",
            lengths[i % 2]);
        if (i < 2) {
            steps_settle(&h, &c);
            assert_int_equal(c.continues, 1);
            assert_int_equal(c.answers, 0);
        }
        sim_send(h.sim, c.sock, bodies[i % 2], strlen(bodies[i % 2]));
        steps_settle(&h, &c);
        assert_int_equal(c.continues, i < 2);
        assert_int_equal(c.statuses[0], 200);
        sim_client_finish(&c);
    }
    steps_stop(&h);
}

/* ---- halfway ---- */

static void end_at(struct sim_hub *h, const char *text, size_t at, unsigned how, unsigned requests)
{
    struct sim_client c;
    sim_client_open(&c, h->sim, 0);
    expect_requests(&c, text);
    sim_send(h->sim, c.sock, text, at);
    if (at % 2)
        assert_true(sim_settle(h->sim));
    if (how == 0)
        sim_shutdown(h->sim, c.sock);
    else if (how == 1)
        sim_client_close(&c);
    else
        sim_client_reset(&c);
    assert_true(sim_settle(h->sim));
    if (how == 0) {
        steps_settle(h, &c);
        assert_true(c.ended || c.broken);
        if (at == strlen(text))
            assert_int_equal(c.answers, requests);
    }
    assert_int_equal(sim_open_sockets(h->sim), 0);
    sim_client_finish(&c);
}

static void test_end_at_every_point(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sample list[SAMPLES_MAX];
    static char room[8192];
    unsigned count = samples(list, room, sizeof(room));
    sim_hub_init(&h, 7);
    steps_start(&h);
    for (unsigned i = 0; i < count; i++)
        for (size_t at = 0; at <= strlen(list[i].text); at++)
            for (unsigned how = 0; how < 3; how++)
                end_at(&h, list[i].text, at, how, list[i].requests);
    steps_stop(&h);
}

/* An answer that comes before its request is read must reach whoever is still sending. */
static void test_answer_while_sending(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    static char junk[4096];
    sim_hub_init(&h, 8);
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    sim_client_askf(&c, "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n");
    for (unsigned i = 0; i < 20; i++) {
        sim_send(h.sim, c.sock, junk, sizeof(junk));
        assert_true(sim_settle(h.sim));
    }
    steps_settle(&h, &c);
    assert_int_equal(c.statuses[0], 413);
    assert_true(c.answer.complete && c.ended);
    assert_true(sim_pass(h.sim, 3200, 0));
    assert_int_equal(sim_open_sockets(h.sim), 0);
    sim_client_finish(&c);
    steps_stop(&h);
}

/* Who ends his side as soon as he has his answer is let go at once, also if the answer was a large one. */
static void test_end_after_answer(void **state)
{
    static const char *const asked[] = {"/openapi.json", "/healthz"};
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 14);
    steps_start(&h);
    for (unsigned i = 0; i < 2; i++) {
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(&c, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", asked[i]);
        steps_settle(&h, &c);
        assert_true(c.answer.complete && c.ended);
        assert_int_equal(sim_open_sockets(h.sim), 1);
        sim_shutdown(h.sim, c.sock);
        assert_true(sim_settle(h.sim));
        assert_int_equal(sim_open_sockets(h.sim), 0);
        sim_client_finish(&c);
    }
    steps_stop(&h);
}

/* ---- too large ---- */

static int status_of(struct sim_hub *h, const char *text, size_t n)
{
    struct sim_client c;
    sim_client_open(&c, h->sim, 0);
    c.asked = 1;
    sim_send(h->sim, c.sock, text, n);
    steps_settle(h, &c);
    int status = c.statuses[0];
    sim_client_finish(&c);
    assert_true(sim_settle(h->sim));
    return status;
}

static void test_limits(void **state)
{
    (void)state;
    static char text[20000];
    struct sim_hub h;
    sim_hub_init(&h, 9);
    h.config.max_request_line = 200;
    h.config.max_headers = 3000;
    h.config.max_body = 100;
    steps_start(&h);
    int n = sprintf(text, "GET /%0300d HTTP/1.1\r\nHost: localhost\r\n\r\n", 7);
    assert_int_equal(status_of(&h, text, (size_t)n), 414);
    assert_int_equal(status_of(&h, text, 250), 414); /* without waiting for its end */
    n = sprintf(text, "GET / HTTP/1.1\r\nHost: localhost\r\nA: %04000d\r\n\r\n", 7);
    assert_int_equal(status_of(&h, text, (size_t)n), 431);
    n = sprintf(text, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    for (unsigned i = 0; i < 100; i++)
        n += sprintf(text + n, "A%u: b\r\n", i);
    n += sprintf(text + n, "\r\n");
    assert_int_equal(status_of(&h, text, (size_t)n), 431);
    const char *api =
        "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    n = sprintf(text, "%sContent-Length: 101\r\n\r\n", api);
    assert_int_equal(status_of(&h, text, (size_t)n), 413);
    n = sprintf(text, "%sTransfer-Encoding: chunked\r\n\r\n65\r\n{%0100d", api, 0);
    assert_int_equal(status_of(&h, text, (size_t)n), 413);
    n = sprintf(text, "%sTransfer-Encoding: chunked\r\n\r\n64\r\n%0100d\r\n0\r\n\r\n", api, 0);
    assert_int_equal(status_of(&h, text, (size_t)n), 400);
    steps_stop(&h);
}

#define HOARDERS   24
#define HOARD      (7u << 20)
#define HOARD_BODY (8u << 20)

static void hoard(struct sim_hub *h, struct sim_client *c, const char *junk, size_t n)
{
    for (unsigned i = 0; i < HOARDERS; i++) {
        bool modest = i % 4 == 1 && c[i].asked++ > 1; /* so that what is left is no power of two */
        if (!c[i].ended && !c[i].broken && !modest)
            sim_send(h->sim, c[i].sock, junk, n);
        assert_true(sim_settle(h->sim));
        sim_client_read_all(&c[i]);
        assert_null(c[i].wrong);
        assert_true(sim_hub_loop(h, 0)->request_bytes <= LOOP_REQUEST_MEMORY);
    }
}

/* Many large bodies that never end: some are refused, the hub's memory has its ceiling, others are served. */
static void test_request_memory(void **state)
{
    (void)state;
    static struct sim_client c[HOARDERS];
    static char junk[256 * 1024];
    struct sim_hub h;
    unsigned refused = 0;
    sim_hub_init(&h, 10);
    h.config.max_body = HOARD_BODY;
    steps_start(&h);
    memset(junk, ' ', sizeof(junk));
    for (unsigned i = 0; i < HOARDERS; i++) {
        sim_client_open(&c[i], h.sim, 0);
        sim_client_askf(
            &c[i],
            "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: %u\r\n\r\n",
            HOARD_BODY);
    }
    for (size_t sent = 0; sent < HOARD; sent += sizeof(junk))
        hoard(&h, c, junk, sizeof(junk));
    for (unsigned i = 0; i < HOARDERS; i++)
        refused += c[i].answers > 0 && c[i].statuses[0] == 503;
    assert_in_range(refused, 1, HOARDERS - 6);
    assert_int_equal(status_of(&h, get, strlen(get)), 200);
    for (unsigned i = 0; i < HOARDERS; i++)
        sim_client_finish(&c[i]);
    steps_stop(&h);
}

/* ---- too many ---- */

#define CROWD 12

static void test_descriptors_run_out(void **state)
{
    (void)state;
    struct sim_client c[CROWD];
    struct sim_hub h;
    unsigned served = 0, streams = 0, refused = 0;
    sim_hub_init(&h, 11);
    h.options.descriptors = 2 + CROWD / 2; /* one listener, one spare */
    steps_start(&h);
    for (unsigned i = 0; i < CROWD; i++) {
        sim_client_open(&c[i], h.sim, 0);
        if (i % 2)
            sim_client_subscribe(&c[i], "ada", "", NULL);
        else
            sim_client_ask(&c[i], get, strlen(get));
    }
    assert_true(sim_settle(h.sim));
    for (unsigned i = 0; i < CROWD; i++) {
        sim_client_read_all(&c[i]);
        assert_null(c[i].wrong);
        assert_int_equal(c[i].answers, 1);
        served += !c[i].ended;
        streams += c[i].ended && c[i].answer.stream && c[i].answer.complete;
        refused += c[i].ended && c[i].statuses[0] == 503;
    }
    assert_int_equal(served, CROWD / 2);
    assert_int_equal(streams, CROWD / 4);
    assert_int_equal(refused, CROWD / 4);
    for (unsigned i = 0; i < CROWD; i++)
        sim_client_finish(&c[i]);
    assert_true(sim_settle(h.sim));
    assert_int_equal(status_of(&h, get, strlen(get)), 200);
    assert_int_equal(sim_descriptors(h.sim), 2);
    steps_stop(&h);
}

/* The number that tells a connection from its predecessor in the same place comes round. */
static void test_generations_come_round(void **state)
{
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 12);
    steps_start(&h);
    sim_hub_loop(&h, 0)->next_gen = UINT32_MAX - 3;
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(status_of(&h, get, strlen(get)), 200);
    steps_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_paused_output),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_drip),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_end_at_every_point),
        cmocka_unit_test(test_answer_while_sending),
        cmocka_unit_test(test_end_after_answer),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_request_memory),
        cmocka_unit_test(test_descriptors_run_out),
        cmocka_unit_test(test_generations_come_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
