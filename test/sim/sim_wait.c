/* SPDX-License-Identifier: MIT
 *
 * sim_wait - answers that come later. A double of the sequencer keeps what is posted until the test lets it
 * be done, in the order of posting, with the result that the test likes; everything above and below it is the
 * hub's own. (The linker puts the double in its place.)
 */
#include "steps.h"

#include "publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the double ---- */

bool __wrap_publish_needs_waiting(const struct service *s);
bool __real_sequencer_post(struct sequencer *q, struct posting *p);
bool __wrap_sequencer_post(struct sequencer *q, struct posting *p);

#define QUEUE_MAX 20000

static struct {
    struct sequencer *of;
    struct posting *queue[QUEUE_MAX];
    unsigned first, last;
    bool at_once; /* has the result at once, as it may when it refuses */
} later;

bool __wrap_publish_needs_waiting(const struct service *s)
{
    (void)s;
    return true;
}

bool __wrap_sequencer_post(struct sequencer *q, struct posting *p)
{
    if (later.at_once || p->kind == CHANNEL_ADMIN)
        return __real_sequencer_post(q, p);
    later.of = q;
    assert_true(later.last < QUEUE_MAX);
    later.queue[later.last++] = p;
    return false;
}

static unsigned waiting(void)
{
    return later.last - later.first;
}

/* The oldest n are done, with the results of the real one unless another is given. */
static void complete_as(unsigned n, enum posting_result result, enum store_result why)
{
    for (; n > 0 && waiting() > 0; n--) {
        struct posting *p = later.queue[later.first++];
        if (result == POSTING_OK)
            __real_sequencer_post(later.of, p);
        p->result = result;
        p->why = why;
        p->done(p);
    }
    if (waiting() == 0)
        later.first = later.last = 0;
}

static void complete(unsigned n)
{
    complete_as(n, POSTING_OK, STORE_OK);
}

/* ---- helpers ---- */

#define JSON  "Content-Type: application/json\r\n"
#define LINES "Content-Type: application/x-ndjson\r\n"
#define HEAD  " HTTP/1.1\r\nHost: localhost\r\n"
#define GET   "GET /healthz" HEAD "\r\n"
#define BATCH "POST /api/sse/notify/batch" HEAD
#define OPEN  BATCH LINES "Transfer-Encoding: chunked\r\n\r\n"
#define ITEM  "{\"clientId\":\"a\",\"event\":\"n\",\"payload\":1}"
#define BAD   "{\"clientId\":\"a\"}"

static void start(struct sim_hub *h)
{
    memset(&later, 0, sizeof(later));
    steps_start(h);
}

static void stop(struct sim_hub *h)
{
    assert_int_equal(waiting(), 0);
    steps_stop(h);
}

static void put(struct sim_hub *h, struct sim_client *c, const char *text)
{
    assert_int_equal(sim_send(h->sim, c->sock, text, strlen(text)), strlen(text));
}

static void ask(struct sim_client *c, const char *client)
{
    char json[100];
    sprintf(json, "{\"clientId\":\"%s\",\"event\":\"n\",\"payload\":1}", client);
    assert_true(sim_client_notify(c, json));
}

static const struct conn *conn_at(const struct sim_hub *h, uint32_t slot)
{
    return slab_get(&sim_hub_loop(h, 0)->conns, slot);
}

static const char *code_of(const struct sim_client *c)
{
    static char code[40];
    assert_true(sim_json_text(c->answer.body, "code", code, sizeof(code)));
    return code;
}

/* ---- one message ---- */

static void test_notify(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    char text[100];
    sim_hub_init(&h, 1);
    start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned i = 1; i < 4; i++) { /* on one connection, one after the other */
        ask(&c, "ada");
        steps_settle(&h, &c);
        assert_int_equal(c.answers, i - 1);
        assert_int_equal(waiting(), 1);
        assert_int_equal(conn_at(&h, 0)->state, CONN_WAIT);
        complete(1);
        steps_settle(&h, &c);
        assert_int_equal(c.answers, i);
        assert_int_equal(c.answer.status, 200);
        assert_true(sim_json_text(c.answer.body, "clientId", text, sizeof(text)));
        assert_string_equal(text, "ada");
        assert_int_equal(conn_at(&h, 0)->state, CONN_HEAD);
        assert_null(conn_at(&h, 0)->io);
    }
    later.at_once = true;
    ask(&c, "ada");
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 4);
    sim_client_finish(&c);
    stop(&h);
}

static void test_results(void **state)
{
    static const struct {
        enum posting_result result;
        enum store_result why;
        int status;
        const char *code;
    } rows[] = {{POSTING_MEMORY, STORE_OK, 503, "out_of_memory"},
                {POSTING_MISMATCH, STORE_OK, 422, "idempotency_mismatch"},
                {POSTING_KEYS_FULL, STORE_OK, 503, "idempotency_full"},
                {POSTING_BUSY, STORE_OK, 503, "store_busy"},
                {POSTING_STORE, STORE_FULL, 503, "store_full"},
                {POSTING_STORE, STORE_READONLY, 503, "store_readonly"},
                {POSTING_CLOSED, STORE_OK, 503, "stopping"}};
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 2);
    start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask(&c, "ada");
        assert_true(sim_settle(h.sim));
        complete_as(1, rows[i].result, rows[i].why);
        steps_settle(&h, &c);
        assert_int_equal(c.answers, i + 1);
        assert_int_equal(c.answer.status, rows[i].status);
        assert_string_equal(code_of(&c), rows[i].code);
        assert_int_equal(strstr(c.answer.head, "\r\nRetry-After: 1\r\n") != NULL, rows[i].status == 503);
    }
    sim_client_finish(&c);
    stop(&h);
}

/* What is sent behind a request that waits is neither answered nor parsed before, nor is more of it read than
 * came with it; then it goes on where it was. */
static void test_pipelining(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 3);
    h.options.up = 200000;
    start(&h);
    for (unsigned round = 0; round < 2; round++) {
        sim_client_open(&c, h.sim, 0);
        ask(&c, "ada");
        if (round == 0)
            assert_true(sim_settle(h.sim));
        for (unsigned i = 0; i < 1500; i++) {
            ask(&c, "bob");
            put(&h, &c, GET);
            c.asked += 1;
            if (i % 100 == 0)
                assert_true(sim_settle(h.sim));
            if (i == 400)
                break;
        }
        assert_true(sim_settle(h.sim));
        assert_int_equal(waiting(), 1);
        const struct conn *k = conn_at(&h, 0);
        assert_int_equal(k->state, CONN_WAIT);
        assert_true(k->io->in.len <= LOOP_READ_BUFFER);
        assert_int_equal(k->interest, 0);
        uint64_t turns = sim_events(h.sim);
        assert_true(sim_pass(h.sim, 5000, 100));
        assert_true(sim_events(h.sim) == turns); /* it does not keep the loop awake */
        while (waiting() > 0) {
            assert_int_equal(waiting(), 1);
            complete(1);
            steps_settle(&h, &c);
        }
        assert_int_equal(c.answers, 1 + 2 * 401);
        for (unsigned i = 0; i < 500; i++)
            assert_int_equal(c.statuses[i], 200);
        sim_client_finish(&c);
        assert_true(sim_settle(h.sim));
    }
    stop(&h);
}

static void test_body_split(void **state)
{
    static const char text[] =
        "POST /api/sse/notify" HEAD JSON "Transfer-Encoding: chunked\r\n\r\n"
        "5\r\n{\"cli\r\n23\r\nentId\":\"a\",\"event\":\"n\",\"payload\":1}\r\n0\r\n\r\n" GET;
    (void)state;
    struct sim_hub h;
    sim_hub_init(&h, 4);
    start(&h);
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct sim_client c;
        sim_client_open(&c, h.sim, 0);
        c.asked = 2;
        sim_send(h.sim, c.sock, text, cut);
        assert_true(sim_settle(h.sim));
        sim_send(h.sim, c.sock, text + cut, strlen(text) - cut);
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 0);
        assert_int_equal(waiting(), 1);
        complete(1);
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 2);
        assert_int_equal(c.statuses[0], 200);
        assert_int_equal(c.statuses[1], 200);
        sim_client_finish(&c);
    }
    stop(&h);
}

/* The forms of a request that an answer must know: HTTP/1.0, Connection. */
static void test_forms(void **state)
{
    static const char *const heads[] = {
        "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
        "POST /api/sse/notify HTTP/1.0\r\n",
        "POST /api/sse/notify HTTP/1.0\r\nConnection: keep-alive\r\n",
    };
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 5);
    start(&h);
    for (unsigned i = 0; i < 3; i++) {
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(&c, "%s" JSON "Content-Length: %zu\r\n\r\n" ITEM, heads[i], strlen(ITEM));
        assert_true(sim_settle(h.sim));
        complete(1);
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 1);
        assert_int_equal(c.ended, i < 2);
        assert_int_equal(strstr(c.answer.head, "\r\nConnection: close\r\n") != NULL, i < 2);
        assert_int_equal(strstr(c.answer.head, "\r\nConnection: keep-alive\r\n") != NULL, i == 2);
        sim_client_finish(&c);
    }
    stop(&h);
}

static void test_timeout(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 6);
    h.config.publish_timeout = 3000;
    start(&h);
    sim_client_open(&c, h.sim, 0);
    ask(&c, "ada");
    put(&h, &c, GET);
    c.asked++;
    assert_true(sim_pass(h.sim, 2800, 0));
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 0);
    assert_true(sim_pass(h.sim, 1300, 0));
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 2);
    assert_int_equal(c.statuses[0], 503);
    assert_int_equal(c.statuses[1], 200);
    complete(1); /* too late: nobody is told, and the next one is told only about his own */
    ask(&c, "bob");
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 2);
    complete(1);
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 3);
    assert_non_null(strstr(c.answer.body, "\"clientId\":\"bob\""));
    sim_client_finish(&c);
    stop(&h);
}

static void test_timeout_none(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 7);
    h.config.publish_timeout = 0;
    start(&h);
    sim_client_open(&c, h.sim, 0);
    ask(&c, "ada");
    assert_true(sim_pass(h.sim, 1000000, 10000));
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 0);
    complete(1);
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 1);
    sim_client_finish(&c);
    stop(&h);
}

/* Gone in the middle, before or after it is done; whoever comes to the same place is told nothing. */
static void test_peer_gone(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client a, b;
    sim_hub_init(&h, 8);
    start(&h);
    for (unsigned how = 0; how < 8; how++) {
        bool reset = how & 1, pipelined = how & 2, done_first = how & 4;
        sim_client_open(&a, h.sim, 0);
        ask(&a, "ada");
        if (pipelined)
            put(&h, &a, GET);
        assert_true(sim_settle(h.sim));
        if (done_first)
            complete(1); /* but the loop has not looked */
        if (reset)
            sim_client_reset(&a);
        else
            sim_client_close(&a);
        if (!done_first) {
            assert_true(sim_settle(h.sim));
            assert_int_equal(sim_open_sockets(h.sim), reset ? 0 : 1);
        }
        sim_client_open(&b, h.sim, 0);
        ask(&b, "bob");
        assert_true(sim_settle(h.sim));
        assert_int_equal(waiting(), done_first ? 1 : 2);
        if (!done_first)
            complete(1);
        steps_settle(&h, &b);
        assert_int_equal(b.answers, 0);
        assert_int_equal(sim_open_sockets(h.sim), 1);
        complete(1);
        steps_settle(&h, &b);
        assert_int_equal(b.answers, 1);
        assert_non_null(strstr(b.answer.body, "\"clientId\":\"bob\""));
        sim_client_finish(&a);
        sim_client_finish(&b);
        assert_true(sim_settle(h.sim));
    }
    stop(&h);
}

/* Who has said everything is answered all the same. */
static void test_half_closed(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 9);
    start(&h);
    for (unsigned early = 0; early < 2; early++) {
        sim_client_open(&c, h.sim, 0);
        ask(&c, "ada");
        put(&h, &c, GET);
        c.asked++;
        if (!early)
            assert_true(sim_settle(h.sim));
        sim_shutdown(h.sim, c.sock);
        uint64_t turns = sim_events(h.sim);
        assert_true(sim_pass(h.sim, 2000, 0));
        assert_true(sim_events(h.sim) - turns < 10);
        complete(1);
        steps_settle(&h, &c);
        assert_int_equal(c.answers, 2);
        assert_true(c.ended);
        sim_client_finish(&c);
    }
    stop(&h);
}

/* Memory for what is behind the request is short: that is lost, the answer is not. */
static void test_no_room_behind(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 10);
    start(&h);
    struct loop *l = sim_hub_loop(&h, 0);
    sim_client_open(&c, h.sim, 0);
    l->request_bytes += LOOP_REQUEST_MEMORY;
    ask(&c, "ada");
    put(&h, &c, GET);
    assert_true(sim_settle(h.sim));
    complete(1);
    l->request_bytes -= LOOP_REQUEST_MEMORY;
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 1);
    assert_int_equal(c.answer.status, 200);
    assert_true(c.ended);
    sim_client_finish(&c);
    stop(&h);
}

/* The hub ends while some wait, some are done and not told, and arrays and lines are under way. */
static void test_stop(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c[4];
    for (unsigned done = 0; done < 9; done++) {
        sim_hub_init(&h, 11);
        start(&h);
        for (unsigned i = 0; i < 4; i++)
            sim_client_open(&c[i], h.sim, 0);
        ask(&c[0], "ada");
        assert_true(sim_client_askf(&c[1], OPEN "53\r\n" ITEM "\n" ITEM "\n"
                                                "\r\n"));
        assert_true(sim_client_askf(&c[2],
                                    BATCH JSON "Content-Length: %zu\r\n\r\n[" ITEM "," BAD "," ITEM "]",
                                    2 * strlen(ITEM) + strlen(BAD) + 4));
        ask(&c[3], "eve");
        for (unsigned i = 0; i < 4; i++)
            sim_turn(h.sim, 0);
        complete(done);
        tidings_hub_drain(h.hub, 100);
        if (done % 2)
            sim_turn(h.sim, 0);
        complete(waiting()); /* as the sequencer does before the loops are gone */
        tidings_hub_destroy(h.hub);
        h.hub = NULL;
        for (unsigned i = 0; i < 4; i++)
            sim_client_finish(&c[i]);
        sim_hub_finish(&h);
    }
}

/* ---- arrays ---- */

static void ask_array(struct sim_hub *h, struct sim_client *c, unsigned items)
{
    char *text = malloc(items * 64 + 64), *at = text;
    assert_non_null(text);
    *at++ = '[';
    for (unsigned i = 0; i < items; i++)
        at += i % 7 == 3
                  ? sprintf(at, "%s{\"clientId\":\"%u\"}", i ? "," : "", i)
                  : sprintf(at, "%s{\"clientId\":\"%u\",\"event\":\"n\",\"payload\":1}", i ? "," : "", i);
    *at++ = ']';
    sim_client_askf(c, BATCH JSON "Content-Length: %zu\r\n\r\n", (size_t)(at - text));
    assert_int_equal(sim_send(h->sim, c->sock, text, (size_t)(at - text)), at - text);
    free(text);
}

/* The results of ask_array(), in order; `lost` at the end were not waited for. */
static void check_array(const char *body, unsigned items, unsigned first_lost)
{
    const char *at = body;
    char wanted[60];
    for (unsigned i = 0; i < items; i++, at++) {
        if (i % 7 == 3)
            sprintf(wanted, "missing_field");
        else if (i >= first_lost)
            sprintf(wanted, "publish_timeout");
        else
            sprintf(wanted, "\"clientId\":\"%u\"", i);
        const char *end = strchr(at, '}');
        if (!end || !memmem(at, (size_t)(end - at), wanted, strlen(wanted)))
            fail_msg("result %u: no %s in %.200s", i, wanted, at);
        at = end;
        assert_int_equal(at[1], i + 1 == items ? ']' : ',');
    }
}

static void test_array(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 20);
    start(&h);
    sim_client_open(&c, h.sim, 0);
    for (unsigned items = 1; items < 600; items = items * 2 + 1) {
        unsigned good = items - (items + 3) / 7, before = c.answers;
        ask_array(&h, &c, items);
        put(&h, &c, GET);
        c.asked++;
        steps_settle(&h, &c);
        assert_int_equal(waiting(), good);
        for (unsigned step = 1; waiting() > 0; step += 3) {
            assert_int_equal(c.answers, before);
            complete(step);
            assert_true(sim_settle(h.sim));
        }
        sim_client_read(&c, c.bytes > 0 ? 200 : 200);
        while (c.answers == before)
            assert_true(sim_client_read(&c, 1) == 1);
        check_array(c.answer.body, items, items);
        steps_settle(&h, &c);
        assert_int_equal(c.answers, before + 2);
    }
    sim_client_finish(&c);
    stop(&h);
}

/* When the time is over, those that are done have their results and the others say so. */
static void test_array_timeout(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 21);
    h.config.publish_timeout = 2000;
    start(&h);
    sim_client_open(&c, h.sim, 0);
    ask_array(&h, &c, 200);
    assert_true(sim_settle(h.sim));
    complete(100);
    assert_true(sim_pass(h.sim, 1500, 0));
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 0);
    assert_true(sim_pass(h.sim, 1700, 0));
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 1);
    check_array(c.answer.body, 200, 117);
    complete(waiting());
    ask(&c, "ada");
    assert_true(sim_settle(h.sim));
    complete(1);
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 2);
    sim_client_finish(&c);
    stop(&h);
}

static void test_array_gone(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    for (unsigned done = 0; done < 200; done += 33) {
        sim_hub_init(&h, 22);
        start(&h);
        sim_client_open(&c, h.sim, 0);
        ask_array(&h, &c, 200);
        sim_turn(h.sim, 0);
        sim_turn(h.sim, 0);
        complete(done);
        sim_client_reset(&c);
        assert_true(sim_settle(h.sim));
        while (waiting() > 0) {
            complete(17);
            assert_true(sim_settle(h.sim));
        }
        assert_int_equal(sim_hub_loop(&h, 0)->stats.items, 200); /* what was asked is done */
        sim_client_finish(&c);
        stop(&h);
    }
}

/* ---- lines ---- */

static void put_line(struct sim_hub *h, struct sim_client *c, const char *line)
{
    char chunk[256];
    sprintf(chunk, "%zx\r\n%s\n\r\n", strlen(line) + 1, line);
    put(h, c, chunk);
}

/* Results leave in the order of their lines, each as soon as all before it have left. */
static void test_lines(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 30);
    start(&h);
    sim_client_open(&c, h.sim, 0);
    sim_client_askf(&c, OPEN);
    put_line(&h, &c, BAD);
    steps_settle(&h, &c);
    assert_int_equal(steps_count(steps_so_far(&c), "\n"), 1); /* nothing waits before it */
    put_line(&h, &c, ITEM);
    put_line(&h, &c, BAD);
    put_line(&h, &c, ITEM);
    put_line(&h, &c, "{}");
    steps_settle(&h, &c);
    assert_int_equal(steps_count(steps_so_far(&c), "\n"), 1);
    complete(1);
    steps_settle(&h, &c);
    assert_int_equal(steps_count(steps_so_far(&c), "\n"), 3);
    complete_as(1, POSTING_STORE, STORE_FULL);
    steps_settle(&h, &c);
    assert_int_equal(steps_count(steps_so_far(&c), "\n"), 5);
    const char *store = strstr(steps_so_far(&c), "store_full"),
               *target = strstr(steps_so_far(&c), "(or topic");
    assert_true(store && target && store < target);
    put_line(&h, &c, ITEM);
    put(&h, &c, "0\r\n\r\n" GET); /* the end of the body is not the end of the answer */
    c.asked++;
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 0);
    complete(1);
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 2);
    assert_false(c.ended);
    sim_client_finish(&c);
    stop(&h);
}

/* No more is taken while 256 wait; then it goes on. */
static void test_lines_are_held(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    char *text = malloc(3000 * sizeof(ITEM));
    assert_non_null(text);
    for (unsigned i = 0; i < 3000; i++)
        memcpy(text + i * sizeof(ITEM), ITEM "\n", sizeof(ITEM));
    sim_hub_init(&h, 31);
    start(&h);
    sim_client_open(&c, h.sim, 0);
    sim_client_askf(&c, BATCH LINES "Content-Length: %zu\r\n\r\n", 3000 * sizeof(ITEM));
    assert_int_equal(sim_send(h.sim, c.sock, text, 3000 * sizeof(ITEM)), 3000 * sizeof(ITEM));
    for (unsigned done = 0; done < 3000;) {
        steps_settle(&h, &c);
        unsigned most = 3000 - done < 256 ? 3000 - done : 256;
        assert_int_equal(waiting(), most);
        assert_true(conn_at(&h, 0)->io->in.len <= 64 * 1024);
        uint64_t turns = sim_events(h.sim);
        assert_true(sim_pass(h.sim, 1000, 0));
        assert_true(sim_events(h.sim) - turns < 10); /* it sleeps meanwhile */
        unsigned n = 1 + done % 300;
        n = n < most ? n : most;
        complete(n);
        done += n;
    }
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 1);
    assert_int_equal(c.answer.body_len, 3000 * 86);
    free(text);
    sim_client_finish(&c);
    stop(&h);
}

/* Each line has its own time, and none waits for one that has given up. */
static void test_lines_timeout(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 32);
    h.config.publish_timeout = 2000;
    start(&h);
    sim_client_open(&c, h.sim, 0);
    sim_client_askf(&c, OPEN);
    put_line(&h, &c, ITEM);
    put_line(&h, &c, BAD);
    assert_true(sim_pass(h.sim, 1000, 0));
    put_line(&h, &c, "{\"topic\":\"t\",\"event\":\"n\",\"payload\":1}");
    assert_true(sim_pass(h.sim, 1300, 0));
    steps_settle(&h, &c);
    assert_int_equal(steps_count(steps_so_far(&c), "\n"), 2);
    assert_int_equal(steps_count(steps_so_far(&c), "publish_timeout"), 1);
    complete(1); /* of the one that was given up */
    steps_settle(&h, &c);
    assert_int_equal(steps_count(steps_so_far(&c), "\n"), 2);
    complete(1);
    steps_settle(&h, &c);
    assert_int_equal(steps_count(steps_so_far(&c), "\"clientId\":null"), 1);
    put_line(&h, &c, ITEM);
    put(&h, &c, "0\r\n\r\n");
    assert_true(sim_pass(h.sim, 2300, 0)); /* also when the body is over */
    steps_settle(&h, &c);
    assert_int_equal(c.answers, 1);
    assert_int_equal(steps_count(c.answer.body, "publish_timeout"), 2);
    complete(1);
    sim_client_finish(&c);
    stop(&h);
}

/* The peer ends, halfway or for good, with lines that wait. */
static void test_lines_gone(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c, other;
    sim_hub_init(&h, 33);
    start(&h);
    for (unsigned how = 0; how < 6; how++) {
        sim_client_open(&c, h.sim, 0);
        sim_client_askf(&c, OPEN);
        put_line(&h, &c, ITEM);
        put_line(&h, &c, BAD);
        put_line(&h, &c, ITEM);
        put(&h, &c, "4\r\n{\"cl\r\n");
        assert_true(sim_settle(h.sim));
        complete(how / 3);
        if (how % 3 == 0)
            sim_shutdown(h.sim, c.sock);
        else if (how % 3 == 1)
            sim_client_close(&c);
        else
            sim_client_reset(&c);
        assert_true(sim_settle(h.sim));
        sim_client_open(&other, h.sim, 0);
        put(&h, &other, GET);
        other.asked = 1;
        complete(waiting());
        steps_settle(&h, &other);
        assert_int_equal(other.answers, 1);
        if (how % 3 == 0) {
            steps_settle(&h, &c);
            assert_int_equal(c.answers, 1);
            assert_int_equal(steps_count(c.answer.body, "\"ok\":true"), 2);
            assert_int_equal(steps_count(c.answer.body, "incomplete_body"), 1);
            assert_true(c.ended);
        }
        sim_client_finish(&c);
        sim_client_finish(&other);
        assert_true(sim_settle(h.sim));
    }
    stop(&h);
}

static void test_lines_drain(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 34);
    start(&h);
    sim_client_open(&c, h.sim, 0);
    sim_client_askf(&c, OPEN);
    put_line(&h, &c, ITEM);
    assert_true(sim_settle(h.sim));
    assert_int_equal(tidings_hub_drain(h.hub, 1000), 0);
    steps_settle(&h, &c);
    assert_false(c.ended);
    complete(1);
    steps_settle(&h, &c);
    assert_true(c.ended && c.answer.complete);
    assert_int_equal(steps_count(c.answer.body, "\"ok\":true"), 1);
    sim_client_finish(&c);
    stop(&h);
}

/* ---- chance ---- */

#define CLIENTS 6

struct publisher {
    struct sim_client c;
    unsigned asked, answered; /* notifies; lines */
    bool lines;
    size_t checked;
};

static void open_publisher(struct sim_hub *h, struct publisher *p)
{
    sim_client_finish(&p->c);
    memset(p, 0, sizeof(*p));
    sim_client_open(&p->c, h->sim, 0);
    p->lines = sim_below(h->sim, 2);
    if (p->lines)
        sim_client_askf(&p->c, OPEN);
}

static void ask_more(struct sim_hub *h, struct publisher *p)
{
    char json[80];
    if (p->asked - p->answered > 20 || p->asked > 250)
        return;
    sprintf(json, "{\"clientId\":\"%u\",\"event\":\"n\",\"payload\":1}", p->asked++);
    if (p->lines)
        put_line(h, &p->c, json);
    else
        assert_true(sim_client_notify(&p->c, json));
}

static void read_more(struct publisher *p, size_t n)
{
    char wanted[40];
    for (; n > 0 && sim_client_read(&p->c, 1) == 1; n--) {
        assert_null(p->c.wrong);
        sprintf(wanted, "\"clientId\":\"%u\"", p->answered);
        const char *text = p->lines ? steps_so_far(&p->c) + p->checked : p->c.answer.body;
        if (p->lines ? strchr(text, '\n') != NULL : p->c.answers > p->answered) {
            if (!strstr(text, wanted))
                fail_msg("no %s in %s", wanted, text);
            p->answered++;
            p->checked = p->c.line.len;
        }
    }
}

static void random_publishers(uint64_t seed)
{
    static struct publisher p[CLIENTS];
    struct sim_hub h;
    memset(p, 0, sizeof(p));
    sim_hub_init(&h, seed);
    h.options.down = 600;
    h.options.faults = (struct sim_faults){.short_read = 200, .short_write = 200, .again = 200, .delay = 200};
    h.config.publish_timeout = 0;
    start(&h);
    for (unsigned i = 0; i < CLIENTS; i++)
        open_publisher(&h, &p[i]);
    for (unsigned step = 0; step < 3000; step++) {
        struct publisher *who = &p[sim_below(h.sim, CLIENTS)];
        switch (sim_below(h.sim, 8)) {
        case 0:
        case 1:
            ask_more(&h, who);
            break;
        case 2:
        case 3:
            read_more(who, sim_below(h.sim, 300));
            break;
        case 4:
            complete(sim_below(h.sim, 10));
            break;
        case 5:
            if (sim_chance(h.sim, 30)) {
                if (sim_below(h.sim, 2))
                    sim_client_reset(&who->c);
                open_publisher(&h, who);
            }
            break;
        default:
            sim_turn(h.sim, 0);
        }
    }
    for (unsigned round = 0; round < 400; round++) {
        complete(waiting());
        assert_true(sim_settle(h.sim));
        for (unsigned i = 0; i < CLIENTS; i++)
            read_more(&p[i], SIZE_MAX);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (p[i].answered != p[i].asked)
            fail_msg("seed %llu: %u of %u", (unsigned long long)seed, p[i].answered, p[i].asked);
        sim_client_finish(&p[i].c);
    }
    stop(&h);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 500; seed < (SIM_SLOW ? 530 : 650); seed++)
        random_publishers(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify),        cmocka_unit_test(test_results),
        cmocka_unit_test(test_pipelining),    cmocka_unit_test(test_body_split),
        cmocka_unit_test(test_forms),         cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_timeout_none),  cmocka_unit_test(test_peer_gone),
        cmocka_unit_test(test_half_closed),   cmocka_unit_test(test_no_room_behind),
        cmocka_unit_test(test_stop),          cmocka_unit_test(test_array),
        cmocka_unit_test(test_array_timeout), cmocka_unit_test(test_array_gone),
        cmocka_unit_test(test_lines),         cmocka_unit_test(test_lines_are_held),
        cmocka_unit_test(test_lines_timeout), cmocka_unit_test(test_lines_gone),
        cmocka_unit_test(test_lines_drain),   cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
