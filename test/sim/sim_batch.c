/* SPDX-License-Identifier: MIT
 *
 * sim_batch - POST /api/sse/notify/batch as networks and their senders bring it: arrays, and lines that come
 * in pieces, slowly, halfway, from those who do not read their results, and while the hub is about to stop.
 */
#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define JSON  "Content-Type: application/json\r\n"
#define LINES "Content-Type: application/x-ndjson\r\n"
#define BATCH "POST /api/sse/notify/batch HTTP/1.1\r\nHost: localhost\r\n"
#define GET   "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

static size_t put(struct sim_hub *h, struct sim_client *c, const char *text)
{
    size_t n = sim_send(h->sim, c->sock, text, strlen(text));
    assert_int_equal(n, strlen(text));
    return n;
}

/* The same text for the same results, whatever their ids are. */
static void hide_ids(char *text)
{
    for (char *at = text; (at = strstr(at, "\"id\":\"")); at += 6)
        memset(at + 6, 'x', EVENT_ID_LEN);
}

static unsigned items_of(const struct sim_hub *h)
{
    return (unsigned)sim_hub_loop(h, 0)->stats.items;
}

/* ---- arrays ---- */

/* Behind the array another request may begin. */
static void ask_array(struct sim_client *c, const char *json)
{
    size_t n = strstr(json, "GET") ? (size_t)(strstr(json, "GET") - json) : strlen(json);
    assert_true(sim_client_askf(c, BATCH JSON "Content-Length: %zu\r\n\r\n%s", n, json));
}

static void test_array(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 1);
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    ask_array(&c, "[{\"clientId\":\"a\",\"event\":\"e\",\"payload\":1},\n{\"clientId\":\"a\"}, 7 , []"
                  ",{\"topic\":\"t\",\"event\":\"e\",\"payload\":{}}]");
    ask_array(&c, " [ ] ");
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 2);
    assert_string_equal(c.answer.body, "[]");
    ask_array(&c, "[{\"clientId\":\"a\",\"event\":\"e\",\"payload\":1},{\"clientId\":\"a\"},7,"
                  "{\"topic\":\"t\",\"event\":\"e\",\"payload\":{}}]");
    steps_settle(&h, &c);
    hide_ids(c.answer.body);
    assert_string_equal(c.answer.body,
                        "[{\"ok\":true,\"sent\":false,\"clientId\":\"a\",\"connections\":0,\"id\":"
                        "\"xxxxxxxxxxxxxxxxxxxxxx\"},"
                        "{\"ok\":false,\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
                        "\"detail\":\"event: missing\",\"code\":\"missing_field\"},"
                        "{\"ok\":false,\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
                        "\"detail\":\"expected an object (byte 0)\",\"code\":\"invalid_json\"},"
                        "{\"ok\":true,\"sent\":false,\"clientId\":null,\"connections\":0,\"id\":"
                        "\"xxxxxxxxxxxxxxxxxxxxxx\"}]");
    assert_int_equal(steps_published(&h), 4);
    assert_int_equal(items_of(&h), 9);
    sim_client_finish(&c);
    steps_stop(&h);
}

/* Nothing of an array is published that is malformed anywhere, or too long, or no array. */
static void test_array_is_checked_first(void **state)
{
    static const char *const bad[] = {"[{\"clientId\":\"a\",\"event\":\"e\",\"payload\":1},{]",
                                      "[{\"clientId\":\"a\",\"event\":\"e\",\"payload\":1}",
                                      "[{\"clientId\":\"a\",\"event\":\"e\",\"payload\":1}]x",
                                      "[{\"clientId\":\"a\",\"event\":\"e\",\"payload\":1},]",
                                      "{\"clientId\":\"a\",\"event\":\"e\",\"payload\":1}"};
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    char code[32];
    sim_hub_init(&h, 2);
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ask_array(&c, bad[i]);
        steps_settle(&h, &c);
        assert_int_equal(c.answer.status, 400);
        assert_true(sim_json_text(c.answer.body, "code", code, sizeof(code)));
        assert_string_equal(code, "invalid_json");
    }
    assert_int_equal(steps_published(&h), 0);
    assert_int_equal(items_of(&h), 0);
    sim_client_finish(&c);
    steps_stop(&h);
}

static char *array_of(unsigned items, size_t *len)
{
    char *text = malloc((size_t)items * 64 + 256), *at = text;
    assert_non_null(text);
    *at++ = '[';
    for (unsigned i = 0; i < items; i++)
        at += sprintf(at, "%s{\"clientId\":\"a\",\"event\":\"n\",\"payload\":%u}", i ? "," : "", i);
    *at++ = ']';
    *len = (size_t)(at - text);
    return text;
}

struct counter {
    unsigned wanted;
    unsigned strange;
};

static void on_number(void *user, const struct sim_event *e)
{
    struct counter *n = user;
    if (e->name[0] == '_')
        n->strange += strcmp(e->name, "__connected") != 0 && strcmp(e->name, "__heartbeat") != 0;
    else if ((unsigned)strtoul(e->data, NULL, 10) == n->wanted)
        n->wanted++;
    else
        n->strange++;
}

static void send_in_pieces(struct sim_hub *h, struct sim_client *c, const char *p, size_t n)
{
    while (n > 0) {
        size_t sent = sim_send(h->sim, c->sock, p, n);
        p += sent;
        n -= sent;
        assert_true(sim_settle(h->sim));
    }
}

/* Ten thousand are taken and one more is not. A reader who is not slow gets them all although the hub keeps
 * far fewer: it is served while the array is published. */
static void test_ten_thousand(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c, reader;
    struct counter seen = {0};
    sim_hub_init(&h, 3);
    h.config.history_size = 500;
    h.options.up = h.options.down = 4 << 20;
    steps_start(&h);
    sim_client_open(&reader, h.sim, 0);
    reader.on_event = on_number;
    reader.user = &seen;
    sim_client_subscribe(&reader, "a", "", NULL);
    steps_settle(&h, &reader);
    sim_client_open(&c, h.sim, 0);
    for (unsigned items = 10001; items >= 10000; items--) {
        size_t n;
        char *text = array_of(items, &n);
        sim_client_askf(&c, BATCH JSON "Content-Length: %zu\r\n\r\n", n);
        send_in_pieces(&h, &c, text, n);
        free(text);
        steps_settle(&h, &c);
        assert_int_equal(c.answer.status, items > 10000 ? 413 : 200);
        assert_int_equal(steps_published(&h), items > 10000 ? 0 : items);
    }
    assert_int_equal(c.answer.body_len, 10000 * 85 + 1); /* each with a comma or a bracket behind it */
    steps_settle(&h, &reader);
    assert_int_equal(seen.strange, 0);
    assert_int_equal(seen.wanted, 10000);
    sim_client_finish(&c);
    sim_client_finish(&reader);
    steps_stop(&h);
}

/* Large answers that nobody reads are counted, and at some point there are no further ones; nothing is
 * published then. */
static void test_unread_answers(void **state)
{
    enum { MOST = 60 };
    (void)state;
    static struct sim_client clients[MOST];
    struct sim_hub h;
    size_t n, refused = 0;
    char *text = array_of(10000, &n);
    sim_hub_init(&h, 4);
    h.options.down = 4096;
    h.options.up = 1 << 20;
    steps_start(&h);
    for (unsigned i = 0; i < MOST; i++) {
        sim_client_open(&clients[i], h.sim, 0);
        sim_client_askf(&clients[i], BATCH JSON "Content-Length: %zu\r\n\r\n", n);
        send_in_pieces(&h, &clients[i], text, n);
        sim_client_read(&clients[i], 256);
        refused += strncmp(clients[i].answer.head, "HTTP/1.1 503", 12) == 0;
    }
    assert_in_range(refused, 1, MOST - 20);
    assert_int_equal(steps_published(&h), (MOST - refused) * 10000);
    assert_true(sim_hub_loop(&h, 0)->request_bytes <= LOOP_REQUEST_MEMORY);
    for (unsigned i = 0; i < MOST; i++)
        sim_client_finish(&clients[i]);
    free(text);
    steps_stop(&h);
}

/* Many bodies at once: readers who are not slow are served between them, although the hub keeps far fewer
 * events than arrive in a turn. */
static void test_many_bodies(void **state)
{
    enum { BODIES = 30, EACH = 600 };
    (void)state;
    static struct sim_client bodies[BODIES];
    static char text[EACH * 64];
    struct sim_hub h;
    struct sim_client reader;
    struct counter seen = {0};
    size_t n = 0;
    sim_hub_init(&h, 6);
    h.config.history_size = 300;
    steps_start(&h);
    sim_client_open(&reader, h.sim, 0);
    reader.on_event = on_number;
    reader.user = &seen;
    sim_client_subscribe(&reader, "a", "", NULL);
    steps_settle(&h, &reader);
    for (unsigned i = 0; i < EACH; i++)
        n += (size_t)sprintf(text + n, "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":1}\n");
    for (unsigned i = 0; i < BODIES; i++) {
        sim_client_open(&bodies[i], h.sim, 0);
        sim_client_askf(&bodies[i], BATCH LINES "Content-Length: %zu\r\n\r\n", n);
        assert_int_equal(sim_send(h.sim, bodies[i].sock, text, n), n);
    }
    for (unsigned i = 0; i < 10000 && steps_published(&h) < BODIES * EACH; i++) {
        sim_turn(h.sim, 0);
        sim_client_read_all(&reader);
    }
    steps_settle(&h, &reader);
    assert_int_equal(steps_published(&h), BODIES * EACH);
    assert_int_equal(sim_hub_loop(&h, 0)->stats.resyncs, 0);
    for (unsigned i = 0; i < BODIES; i++) {
        steps_settle(&h, &bodies[i]);
        assert_int_equal(bodies[i].answers, 1);
        sim_client_finish(&bodies[i]);
    }
    sim_client_finish(&reader);
    steps_stop(&h);
}

/* What was counted for an answer is given back when that is sent, also if another request has begun. */
static void test_answers_are_forgotten(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 7);
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned i = 1; i < 20; i++) {
        ask_array(&c, "[7,7,7,7,7,7,7,7,7,7]" GET "GET /heal");
        c.asked += 2;
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 3 * i - 1);
        assert_in_range(sim_hub_loop(&h, 0)->request_bytes, 1, 1500);
        put(&h, &c, "thz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 3 * i);
    }
    sim_client_finish(&c);
    steps_stop(&h);
}

/* Who leaves in the middle has asked all the same. */
static void test_array_without_publisher(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    size_t n;
    char *text = array_of(5000, &n);
    for (unsigned how = 0; how < 3; how++) {
        sim_hub_init(&h, 5);
        steps_start(&h);
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(&c, BATCH JSON "Content-Length: %zu\r\n\r\n", n);
        assert_int_equal(sim_send(h.sim, c.sock, text, n), n);
        while (steps_published(&h) == 0)
            sim_turn(h.sim, 0);
        assert_in_range(steps_published(&h), 1, 4000);
        if (how == 0) {
            sim_client_reset(&c);
            assert_true(sim_settle(h.sim));
            assert_int_equal(steps_published(&h), 5000);
        } else if (how == 1) {
            sim_shutdown(h.sim, c.sock);
            steps_settle(&h, &c);
            assert_int_equal(c.answers, 1);
            assert_true(c.ended);
        } /* else the hub ends in the middle of it */
        if (how < 2)
            sim_client_finish(&c);
        if (how < 2)
            steps_stop(&h);
        else
            sim_hub_finish(&h);
        c.sock = SIM_NONE;
        sim_client_finish(&c);
    }
    free(text);
}

/* ---- lines ---- */

#define A       "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":1}"
#define B       "{\"topic\":\"t\",\"event\":\"n\",\"payload\":[2]}"
#define BAD     "{\"clientId\":\"a\"}"
#define OPEN    BATCH LINES "Transfer-Encoding: chunked\r\n\r\n"
#define A_CHUNK "29\r\n" A "\n\r\n" /* a line and a chunk of its own */

static const char results[] =
    "{\"ok\":true,\"sent\":false,\"clientId\":\"a\",\"connections\":0,\"id\":\"xxxxxxxxxxxxxxxxxxxxxx\"}\n"
    "{\"ok\":false,\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"event: "
    "missing\","
    "\"code\":\"missing_field\"}\n"
    "{\"ok\":true,\"sent\":false,\"clientId\":null,\"connections\":0,\"id\":\"xxxxxxxxxxxxxxxxxxxxxx\"}\n"
    "{\"ok\":true,\"sent\":false,\"clientId\":\"a\",\"connections\":0,\"id\":\"xxxxxxxxxxxxxxxxxxxxxx\"}\n";

static const char body[] =
    A "\r\n\n\r\n \t\r\n" BAD "\n" B "\n" A; /* empty lines, a blank one; the last line does not end */

/* The body in chunks of `size`. */
static size_t put_chunked(char *out, const char *text, size_t size)
{
    char *at = out;
    size_t left = strlen(text);
    for (; left > 0; text += size, left -= size) {
        size = left < size ? left : size;
        at += sprintf(at, "%zx\r\n%.*s\r\n", size, (int)size, text);
    }
    at += sprintf(at, "0\r\n\r\n");
    return (size_t)(at - out);
}

static void check_lines(struct sim_hub *h, const char *text, size_t n, size_t cut)
{
    struct sim_client c;
    sim_client_open(&c, h->sim, 0);
    c.asked = 2;
    size_t step = cut > n ? 1 : n;
    for (size_t at = 0, to; at < n; at = to) {
        to = at < cut && cut <= n ? cut : at + step < n ? at + step : n;
        sim_send(h->sim, c.sock, text + at, to - at);
        assert_true(sim_settle(h->sim));
        if (c.answers == 0) {
            sim_client_read_all(&c);
            if (c.answers > 0 && strstr(c.answer.head, "ndjson")) {
                hide_ids(c.answer.body);
                assert_string_equal(c.answer.body, results);
            }
        }
    }
    steps_settle(h, &c);
    if (c.answers != 2 || c.statuses[0] != 200 || c.statuses[1] != 200 || c.ended)
        fail_msg("cut at %zu: %u answers: %d, %d", cut, c.answers, c.statuses[0], c.statuses[1]);
    sim_client_finish(&c);
}

static void test_every_split(void **state)
{
    static char text[4096];
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 10);
    steps_start(&h);
    for (unsigned form = 0; form < 4; form++) {
        char *at = text + sprintf(text, BATCH LINES);
        if (form == 0)
            at += sprintf(at, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
        else
            at += sprintf(at, "Transfer-Encoding: chunked\r\n\r\n");
        if (form > 0)
            at += put_chunked(at, body, form == 1 ? 1 : form == 2 ? 7 : 1000);
        at += sprintf(at, GET);
        size_t n = (size_t)(at - text);
        for (size_t cut = 0; cut <= n + 1; cut++)
            check_lines(&h, text, n, cut);
    }
    steps_stop(&h);
}

/* Each line leaves at once, and its result too, while the body stays open. */
static void test_stream(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c, reader;
    struct counter seen = {0};
    sim_hub_init(&h, 11);
    steps_start(&h);
    sim_client_open(&reader, h.sim, 0);
    reader.on_event = on_number;
    reader.user = &seen;
    sim_client_subscribe(&reader, "a", "", NULL);
    sim_client_open(&c, h.sim, 0);
    sim_client_askf(&c, OPEN);
    steps_settle(&h, &c);
    assert_int_equal(c.bytes, 0);
    put(&h, &c, "1\r\n\n\r\n"); /* a sign of life is enough for the head of the answer */
    steps_settle(&h, &c);
    assert_int_equal(c.answer.status, 200);
    assert_non_null(strstr(c.answer.head, "\r\nContent-Type: application/x-ndjson; charset=utf-8\r\n"));
    assert_string_equal(steps_so_far(&c), "");
    for (unsigned i = 0; i < 20; i++) {
        char line[128], chunk[160];
        sprintf(line, "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":%u}\n", i);
        sprintf(chunk, "%zx\r\n%s\r\n", strlen(line), line);
        put(&h, &c, chunk);
        steps_settle(&h, &c);
        steps_settle(&h, &reader);
        assert_int_equal(steps_count(steps_so_far(&c), "\"sent\":true"), i + 1);
        assert_int_equal(seen.wanted, i + 1);
        assert_true(sim_pass(h.sim, 70000, 1000)); /* longer than any timeout of a request */
    }
    assert_int_equal(c.answers, 0);
    put(&h, &c, "0\r\n\r\n" GET);
    c.asked++;
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 2);
    assert_non_null(strstr(c.answer.body, "\"status\":\"ok\""));
    assert_false(c.ended);
    sim_client_finish(&c);
    sim_client_finish(&reader);
    steps_stop(&h);
}

static void read_raw(struct sim_hub *h, uint32_t sock, char *out, size_t cap)
{
    size_t n = 0, got;
    do {
        assert_true(sim_settle(h->sim));
        got = sim_recv(h->sim, sock, out + n, cap - n - 1);
        n += got;
    } while (got > 0);
    out[n] = '\0';
}

/* HTTP/1.0: no chunks, the end of the connection is the end of the answer. */
static void test_http10(void **state)
{
    static char answer[4096];
    (void)state;
    struct sim_hub h;
    char request[1024];
    sim_hub_init(&h, 12);
    steps_start(&h);
    uint32_t sock = sim_connect(h.sim, 0);
    int n = sprintf(request,
                    "POST /api/sse/notify/batch HTTP/1.0\r\nConnection: keep-alive\r\n" LINES
                    "Content-Length: %zu\r\n\r\n%s",
                    strlen(body), body);
    sim_send(h.sim, sock, request, (size_t)n);
    read_raw(&h, sock, answer, sizeof(answer));
    char *at = strstr(answer, "\r\n\r\n");
    assert_non_null(at);
    hide_ids(at);
    assert_string_equal(at + 4, results);
    assert_null(strstr(answer, "Transfer-Encoding"));
    assert_true(sim_ended(h.sim, sock));
    sim_close(h.sim, sock);
    steps_stop(&h);
}

static void test_continue(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 13);
    steps_start(&h);
    for (unsigned early = 0; early < 2; early++) {
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(&c, BATCH LINES "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                        early ? A_CHUNK "0\r\n\r\n" : "");
        steps_settle(&h, &c);
        assert_int_equal(c.continues, !early);
        if (!early)
            put(&h, &c, A_CHUNK "0\r\n\r\n");
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 1);
        assert_int_equal(steps_count(c.answer.body, "\"ok\":true"), 1);
        sim_client_finish(&c);
    }
    steps_stop(&h);
}

static void test_empty_body(void **state)
{
    static const char *const rest[] = {
        "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 3\r\n\r\n\r\n\n", "Transfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n0\r\n\r\n"};
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 14);
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned i = 0; i < 4; i++) {
        sim_client_askf(&c, BATCH LINES "%s" GET, rest[i]);
        c.asked++;
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 2 * (i + 1));
        assert_int_equal(c.statuses[2 * i], 200);
    }
    sim_client_finish(&c);
    steps_stop(&h);
}

static int status_of(struct sim_hub *h, const char *text, char *code, size_t size)
{
    struct sim_client c;
    sim_client_open(&c, h->sim, 0);
    c.asked = 1;
    put(h, &c, text);
    steps_settle(h, &c);
    int status = c.answers > 0 ? c.answer.status : 0;
    if (!sim_json_text(c.answer.body, "code", code, size))
        code[0] = '\0';
    sim_client_finish(&c);
    assert_true(sim_settle(h->sim));
    return status;
}

static void test_heads(void **state)
{
    static const struct {
        const char *rest, *code;
        int status;
    } rows[] = {
        {"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n[]", "unsupported_media_type", 415},
        {"Content-Length: 2\r\n\r\n[]", "unsupported_media_type", 415},
        {LINES "\r\n", "length_required", 411},
        {JSON "\r\n", "length_required", 411},
        {JSON "Idempotency-Key: a\r\nContent-Length: 2\r\n\r\n[]", "unsupported_header", 400},
        {LINES "Idempotency-Key: a\r\nContent-Length: 2\r\n\r\n\r\n", "unsupported_header", 400},
        {JSON "Content-Length: 2000000\r\n\r\n", "body_too_large", 413},
        {LINES "Transfer-Encoding: chunked\r\n\r\nx\r\n", "bad_chunk", 400},
        {JSON "Content-Length: 2\r\n\r\n[]", "", 200},
        {"Content-Type: application/x-ndjson; charset=utf-8\r\nContent-Length: 0\r\n\r\n", "", 200},
    };
    (void)state;
    struct sim_hub h;
    char text[512], code[40];
    sim_hub_init(&h, 15);
    steps_start(&h);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sprintf(text, BATCH "%s", rows[i].rest);
        assert_int_equal(status_of(&h, text, code, sizeof(code)), rows[i].status);
        assert_string_equal(code, rows[i].code);
    }
    assert_int_equal(status_of(&h, "GET /api/sse/notify/batch HTTP/1.1\r\nHost: localhost\r\n\r\n", code, 40),
                     405);
    steps_stop(&h);
}

/* ---- time ---- */

static struct sim_client open_lines(struct sim_hub *h, const char *first)
{
    struct sim_client c;
    sim_client_open(&c, h->sim, 0);
    assert_true(sim_client_askf(&c, OPEN "%s", first));
    steps_settle(h, &c);
    return c;
}

/* Lets time pass until the hub ends the connection; returns how long it took. */
static uint64_t time_to_end(struct sim_hub *h, struct sim_client *c, uint64_t most)
{
    uint64_t begin = sim_now(h->sim);
    while (!c->ended && !c->broken) {
        assert_true(sim_pass(h->sim, 100, 0));
        steps_settle(h, c);
        assert_true(sim_now(h->sim) - begin < most);
    }
    return sim_now(h->sim) - begin;
}

static void test_deadlines(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 20);
    h.config.max_connection_age = 600000;
    steps_start(&h);

    c = open_lines(&h, "5\r\n{\"top\r\n"); /* half a line: 408 is the whole answer */
    assert_in_range(time_to_end(&h, &c, 40000), 30000, 31000);
    assert_int_equal(c.statuses[0], 408);
    sim_client_finish(&c);

    c = open_lines(&h, A_CHUNK "5\r\n{\"top\r\n"); /* after a result: the last one */
    assert_in_range(time_to_end(&h, &c, 40000), 30000, 31000);
    assert_int_equal(c.statuses[0], 200);
    assert_true(c.answer.complete);
    assert_int_equal(steps_count(c.answer.body, "\n"), 2);
    assert_int_equal(steps_count(c.answer.body, "\"code\":\"body_timeout\""), 1);
    sim_client_finish(&c);

    c = open_lines(&h, A_CHUNK "5\r\n{\"top\r\n"); /* one byte now and then does not make it longer */
    unsigned drops = 0;
    for (; drops < 40 && !c.ended; drops++) {
        sim_send(h.sim, c.sock, "1\r\n \r\n", 6);
        assert_true(sim_pass(h.sim, 1000, 0));
        steps_settle(&h, &c);
    }
    assert_in_range(drops, 29, 32);
    sim_client_finish(&c);

    c = open_lines(&h, A_CHUNK); /* between lines: as long as a stream may live */
    assert_in_range(time_to_end(&h, &c, 700000), 600000, 601000);
    assert_true(c.answer.complete);
    assert_int_equal(steps_count(c.answer.body, "\n"), 1);
    sim_client_finish(&c);

    c = open_lines(&h, A_CHUNK); /* with signs of life: longer */
    for (unsigned i = 0; i < 10; i++) {
        put(&h, &c, "1\r\n\n\r\n");
        steps_settle(&h, &c);
        assert_true(sim_pass(h.sim, 300000, 10000));
        steps_settle(&h, &c);
        assert_false(c.ended);
    }
    assert_in_range(time_to_end(&h, &c, 700000), 300000 - 1000, 301000);
    sim_client_finish(&c);
    assert_int_equal(steps_published(&h), 4);
    steps_stop(&h);
}

/* Who does not read his results is not read further, costs little, and has idle_timeout for it. */
static void test_slow_reader_of_results(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    char *lines = malloc(1000 * sizeof(A) + 1);
    size_t sent = 0, most = 0, size = 1000 * sizeof(A);
    assert_non_null(lines);
    for (unsigned i = 0; i < 1000; i++)
        memcpy(lines + i * sizeof(A), A "\n", sizeof(A));
    for (unsigned reads = 0; reads < 2; reads++) {
        sim_hub_init(&h, 21);
        h.options.down = 4096;
        h.options.up = 16384;
        steps_start(&h);
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(&c, BATCH LINES "Content-Length: 100000000\r\n\r\n");
        sent = 0;
        for (unsigned i = 0; i < 2000; i++) {
            sent += sim_send(h.sim, c.sock, lines + sent % size, size - sent % size);
            assert_true(sim_settle(h.sim));
            struct conn *k = slab_get(&sim_hub_loop(&h, 0)->conns, 0);
            size_t held = k->io->in.cap + k->io->out.cap;
            most = held > most ? held : most;
            if (reads)
                sim_client_read(&c, 700);
        }
        assert_true(most < 256 * 1024);
        if (!reads) {
            assert_in_range(steps_published(&h), 500, 2000);
            assert_true(sim_pass(h.sim, 61500, 0));
            assert_true(sim_was_reset(h.sim, c.sock));
        } else {
            for (uint64_t before = 0; before != c.bytes;) {
                before = c.bytes;
                steps_settle(&h, &c);
            }
            assert_int_equal(steps_published(&h), sent / sizeof(A));
            assert_int_equal(c.answer.body_len, steps_published(&h) * 86);
        }
        sim_client_finish(&c);
        steps_stop(&h);
    }
    free(lines);
}

/* Slowly, but he reads: he is waited for. */
static void test_reader_that_is_only_slow(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    char *lines = malloc(3000 * sizeof(A) + 1);
    assert_non_null(lines);
    for (unsigned i = 0; i < 3000; i++)
        memcpy(lines + i * sizeof(A), A "\n", sizeof(A));
    sim_hub_init(&h, 22);
    h.options.down = 4096;
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    sim_client_askf(&c, BATCH LINES "Content-Length: %zu\r\n\r\n", 3000 * sizeof(A));
    assert_int_equal(sim_send(h.sim, c.sock, lines, 3000 * sizeof(A)), 3000 * sizeof(A));
    for (unsigned i = 0; i < 1000 && c.answers == 0; i++) {
        assert_true(sim_pass(h.sim, 20000, 1000));
        sim_client_read(&c, 1000);
        assert_null(c.wrong);
        assert_false(c.broken);
    }
    assert_int_equal(c.answers, 1);
    assert_int_equal(c.answer.body_len, 3000 * 86);
    free(lines);
    sim_client_finish(&c);
    steps_stop(&h);
}

/* ---- halfway ---- */

static void end_at(struct sim_hub *h, const char *text, size_t at, unsigned how, unsigned whole)
{
    struct sim_client c;
    uint64_t before = steps_published(h);
    sim_client_open(&c, h->sim, 0);
    c.asked = 1;
    sim_send(h->sim, c.sock, text, at);
    if (at % 2)
        assert_true(sim_settle(h->sim));
    if (how == 0)
        sim_shutdown(h->sim, c.sock);
    else if (how == 1)
        sim_client_close(&c);
    else
        sim_client_reset(&c);
    if (how == 0) {
        steps_settle(h, &c);
        assert_true(c.ended || c.broken);
        if (c.answers > 0 && whole > 0 && at < strlen(text)) {
            assert_int_equal(steps_count(c.answer.body, "\"ok\":true"), whole);
            assert_int_equal(steps_count(c.answer.body, "incomplete_body"), 1);
        }
        if (whole > 0)
            assert_true(c.answers == 1 && c.answer.complete);
    }
    assert_true(sim_settle(h->sim));
    /* Whole lines that have arrived are published, and nothing else. */
    uint64_t got = steps_published(h) - before;
    if (how < 2 || at % 2)
        assert_int_equal(got, whole);
    else
        assert_in_range(got, 0, whole);
    assert_int_equal(sim_open_sockets(h->sim), 0);
    sim_client_finish(&c);
}

static void test_end_at_every_point(void **state)
{
    static const char text[] = OPEN A_CHUNK A_CHUNK "2a\r\n" A "\r\n\r\n1\r\n\n\r\n0\r\n\r\n";
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 30);
    steps_start(&h);
    for (size_t at = 0; at <= strlen(text); at++) {
        unsigned whole = 0;
        for (const char *line = text + strlen(OPEN); (line = strstr(line, A)); line++) {
            const char *end = strchr(line, '\n');
            whole += end && (size_t)(end + 1 - text) <= at;
        }
        for (unsigned how = 0; how < 3; how++)
            end_at(&h, text, at, how, whole);
    }
    steps_stop(&h);
}

/* A line that is too long is refused, is not held, and the others go on. */
static void test_long_line(void **state)
{
    static char text[40000];
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 31);
    h.config.max_body = 200;
    steps_start(&h);
    for (unsigned i = 0; i < 4; i++) { /* whole in what is read, or in many pieces; also as the last line */
        size_t junk = i % 2 ? 250 : 30000, step = i % 2 ? 20 : 1000;
        char *at = text + sprintf(text, A "\n");
        memset(at, 'x', junk);
        at += junk;
        at += sprintf(at, i < 2 ? "\n" A "\n" : "");
        size_t n = (size_t)(at - text);
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(&c, BATCH LINES "Content-Length: %zu\r\n\r\n", n);
        for (size_t k = 0; k < n; k += step) {
            sim_send(h.sim, c.sock, text + k, n - k < step ? n - k : step);
            assert_true(sim_settle(h.sim));
            struct conn *held = slab_get(&sim_hub_loop(&h, 0)->conns, 0);
            assert_true(!held->io || held->io->in.len <= 200);
        }
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 1);
        assert_int_equal(steps_count(c.answer.body, "\n"), i < 2 ? 3 : 2);
        assert_int_equal(steps_count(c.answer.body, "\"code\":\"body_too_large\""), 1);
        assert_int_equal(steps_count(c.answer.body, "\"ok\":true"), i < 2 ? 2 : 1);
        sim_client_finish(&c);
        assert_true(sim_settle(h.sim));
    }
    steps_stop(&h);
}

/* Broken framing behind good lines: they keep their results, and the connection ends. */
static void test_broken_framing(void **state)
{
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 32);
    steps_start(&h);
    for (unsigned i = 0; i < 3; i++) { /* behind them, with them, with the beginning of another */
        struct sim_client c = open_lines(&h, i == 0 ? A_CHUNK : "");
        put(&h, &c, i == 0 ? "zz\r\n" : i == 1 ? A_CHUNK "zz\r\n" : A_CHUNK "2\r\n{}x");
        steps_settle(&h, &c);
        assert_true(c.answer.complete && c.ended);
        assert_int_equal(steps_count(c.answer.body, "\"ok\":true"), 1);
        assert_int_equal(steps_count(c.answer.body, "\"code\":\"bad_chunk\""), 1);
        assert_int_equal(steps_count(c.answer.body, "\n"), 2);
        sim_client_finish(&c);
    }
    steps_stop(&h);
}

/* When requests have taken all memory, a line that does not fit is refused; the others are whole. */
static void test_request_memory(void **state)
{
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 33);
    steps_start(&h);
    struct sim_client c = open_lines(&h, A_CHUNK);
    struct loop *l = sim_hub_loop(&h, 0);
    l->request_bytes += LOOP_REQUEST_MEMORY;
    put(&h, &c, A_CHUNK);
    steps_settle(&h, &c);
    l->request_bytes -= LOOP_REQUEST_MEMORY;
    assert_true(c.answer.complete && c.ended);
    assert_int_equal(steps_count(c.answer.body, "\"code\":\"request_memory\""), 1);
    assert_int_equal(steps_count(c.answer.body, "\n"), 2);
    assert_int_equal(l->stats.refused_memory, 1);
    sim_client_finish(&c);
    steps_stop(&h);
}

/* ---- the end of the hub ---- */

static void test_drain(void **state)
{
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 40);
    steps_start(&h);
    struct sim_client between = open_lines(&h, A_CHUNK), within = open_lines(&h, A_CHUNK "5\r\n{\"top\r\n");
    struct sim_client silent = open_lines(&h, "");
    assert_int_equal(tidings_hub_drain(h.hub, 10000), 0);
    steps_settle(&h, &between);
    steps_settle(&h, &within);
    steps_settle(&h, &silent);
    assert_true(between.answer.complete && between.ended && silent.answer.complete && silent.ended);
    assert_int_equal(steps_count(between.answer.body, "\n"), 1);
    assert_false(within.ended);
    put(&h, &within, "23\r\nic\":\"t\",\"event\":\"n\",\"payload\":[2]}\n\r\n");
    steps_settle(&h, &within);
    assert_true(within.answer.complete && within.ended);
    assert_int_equal(steps_count(within.answer.body, "\"ok\":true"), 2);
    struct sim_client late =
        open_lines(&h, A_CHUNK A_CHUNK); /* what is there already is published to the end */
    assert_int_equal(steps_count(late.answer.body, "\"ok\":true"), 2);
    assert_true(late.ended);
    sim_client_finish(&between);
    sim_client_finish(&within);
    sim_client_finish(&silent);
    sim_client_finish(&late);
    steps_stop(&h);
}

static void test_stop(void **state)
{
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 41);
    steps_start(&h);
    struct sim_client a = open_lines(&h, A_CHUNK), b = open_lines(&h, "5\r\n{\"top\r\n");
    tidings_hub_destroy(h.hub);
    h.hub = NULL;
    sim_client_finish(&a);
    sim_client_finish(&b);
    sim_hub_finish(&h);
}

/* ---- keys ---- */

static void count_publishes(void *user, const struct tidings_log_record *record)
{
    *(unsigned *)user += strcmp(record->event, "publish") == 0;
}

static void ask_with_key(struct sim_client *c, const char *headers, const char *key)
{
    char json[600];
    sprintf(json, "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":1%s%s%s}",
            key ? ",\"idempotencyKey\":\"" : "", key ? key : "", key ? "\"" : "");
    sim_client_askf(
        c, "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\n" JSON "%sContent-Length: %zu\r\n\r\n%s",
        headers, strlen(json), json);
}

static void test_keys(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    char first[200];
    unsigned logged = 0;
    sim_hub_init(&h, 50);
    h.config.idempotency_keys = 2;
    h.config.log = count_publishes;
    h.config.user = &logged;
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    ask_array(&c, "[{\"clientId\":\"a\",\"event\":\"n\",\"payload\":1,\"idempotencyKey\":\"k\"},"
                  "{\"clientId\":\"a\",\"event\":\"n\",\"payload\": 1,\"idempotencyKey\":\"k\"},"
                  "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":2,\"idempotencyKey\":\"k\"},"
                  "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":2,\"idempotencyKey\":\"l\"},"
                  "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":2,\"idempotencyKey\":\"m\"},"
                  "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":2,\"idempotencyKey\":\"\\u0000\"}]");
    steps_settle(&h, &c);
    assert_int_equal(steps_published(&h), 2);
    assert_int_equal(sim_hub_loop(&h, 0)->stats.repeated, 1);
    assert_int_equal(steps_count(c.answer.body, "\"ok\":true"), 3);
    assert_int_equal(steps_count(c.answer.body, "\"status\":422"), 1);
    assert_int_equal(steps_count(c.answer.body, "\"code\":\"idempotency_full\""), 1);
    assert_int_equal(steps_count(c.answer.body, "\"code\":\"invalid_idempotency_key\""), 1);
    snprintf(first, strchr(c.answer.body, '}') - c.answer.body + 1u, "%s", c.answer.body + 1);
    static const char *const same[][2] = {{"Idempotency-Key: k\r\n", NULL},
                                          {"Idempotency-Key: \"k\"\r\n", NULL},
                                          {"idempotency-key: k\r\n", "k"},
                                          {"Idempotency-Key: \"k\"\r\n", "\\u006b"},
                                          {"", "k"}};
    for (unsigned i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        ask_with_key(&c, same[i][0], same[i][1]);
        steps_settle(&h, &c);
        assert_string_equal(c.answer.body, first);
        assert_non_null(strstr(c.answer.head, "\r\nIdempotent-Replayed: true\r\n"));
    }
    assert_int_equal(logged, 2); /* what is repeated is not published */
    static char long_key[300];
    memset(long_key, 'k', 256);
    static const char *const bad[][3] = {
        {"Idempotency-Key: k\r\n", "l", "ambiguous_key"},
        {"Idempotency-Key: k\r\nIdempotency-Key: k\r\n", NULL, "ambiguous_key"},
        {"Idempotency-Key: \"k\r\n", "k", "ambiguous_key"},
        {"Idempotency-Key: \"\"\r\n", NULL, "invalid_idempotency_key"},
        {"Idempotency-Key: \xff\r\n", NULL, "invalid_idempotency_key"},
        {"Idempotency-Key:\r\n", NULL, "invalid_idempotency_key"},
        {"", "", "invalid_idempotency_key"},
        {"", long_key, "invalid_idempotency_key"},
        {"", "\\u0085", "invalid_idempotency_key"},
        {"", long_key + 1, "idempotency_full"}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char code[40];
        ask_with_key(&c, bad[i][0], bad[i][1]);
        steps_settle(&h, &c);
        assert_true(sim_json_text(c.answer.body, "code", code, sizeof(code)));
        assert_string_equal(code, bad[i][2]);
    }
    assert_int_equal(steps_published(&h), 2);
    sim_client_finish(&c);
    steps_stop(&h);
}

/* ---- chance ---- */

/* Lines of many kinds from a network that does what it can: every result at its place. */
static void random_lines(uint64_t seed)
{
    enum { COUNT = 300 };
    static const char *const kinds[] = {A "\n", BAD "\n", B "\r\n", "\n", "7\n"};
    static const char *const signs[] = {"\"clientId\":\"a\"", "missing_field", "\"clientId\":null", NULL,
                                        "expected an object"};
    struct sim_hub h;
    struct sim_client c;
    unsigned kind[COUNT];
    static char text[COUNT * 64], raw[COUNT * 300];
    size_t n = 0, sent = 0;
    sim_hub_init(&h, seed);
    h.options.up = h.options.down = 512;
    h.options.faults = (struct sim_faults){.short_read = 300, .short_write = 300, .again = 200, .delay = 300};
    steps_start(&h);
    for (unsigned i = 0; i < COUNT; i++) {
        kind[i] = sim_below(h.sim, 5);
        n += (size_t)sprintf(text + n, "%s", kinds[kind[i]]);
    }
    bool chunked = seed % 2;
    size_t raw_len = chunked ? put_chunked(raw, text, 1 + sim_below(h.sim, 100)) : n;
    const char *bytes = chunked ? raw : text;
    sim_client_open(&c, h.sim, 0);
    char length[40];
    sprintf(length, "Content-Length: %zu", n);
    sim_client_askf(&c, BATCH LINES "%s\r\n\r\n", chunked ? "Transfer-Encoding: chunked" : length);
    for (unsigned i = 0; i < 100000 && c.answers == 0; i++) {
        size_t piece = 1 + sim_below(h.sim, 200);
        piece = piece < raw_len - sent ? piece : raw_len - sent;
        sent += sim_send(h.sim, c.sock, bytes + sent, piece);
        sim_turn(h.sim, 0);
        sim_client_read(&c, sim_below(h.sim, 300));
        assert_null(c.wrong);
    }
    assert_int_equal(c.answers, 1);
    const char *at = c.answer.body;
    for (unsigned i = 0; i < COUNT; i++) {
        if (!signs[kind[i]])
            continue;
        const char *end = strchr(at, '\n'), *sign = strstr(at, signs[kind[i]]);
        if (!end || !sign || sign > end)
            fail_msg("seed %llu: result %u is not what it should be", (unsigned long long)seed, i);
        at = end + 1;
    }
    assert_int_equal(*at, 0);
    sim_client_finish(&c);
    steps_stop(&h);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < (SIM_SLOW ? 130 : 200); seed++)
        random_lines(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_array_is_checked_first),
        cmocka_unit_test(test_ten_thousand),
        cmocka_unit_test(test_unread_answers),
        cmocka_unit_test(test_many_bodies),
        cmocka_unit_test(test_answers_are_forgotten),
        cmocka_unit_test(test_array_without_publisher),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_http10),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_empty_body),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_slow_reader_of_results),
        cmocka_unit_test(test_reader_that_is_only_slow),
        cmocka_unit_test(test_end_at_every_point),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_broken_framing),
        cmocka_unit_test(test_request_memory),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
