/* SPDX-License-Identifier: MIT
 *
 * sim_authorize - the user's application in the simulated world. A double of the outbound keeps every
 * question until the test answers it, in any order, at any moment, or never; everything else is the hub's
 * own. (The linker puts the double in its place.)
 */
#include "steps.h"

#include "authorize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the double ---- */

int __wrap_outbound_create(struct outbound **out, const char *url, unsigned most, char *error, size_t size);
void __wrap_outbound_submit(struct outbound *o, struct outbound_job *job);
void __wrap_outbound_stop(struct outbound *o, uint32_t grace_ms);
void __wrap_outbound_destroy(struct outbound *o);

#define ASKED_MAX 2048

static struct {
    struct outbound_job *jobs[ASKED_MAX]; /* in the order in which they came */
    unsigned count;
} out;

int __wrap_outbound_create(struct outbound **o, const char *url, unsigned most, char *error, size_t size)
{
    (void)url, (void)most, (void)error, (void)size;
    *o = (struct outbound *)(void *)&out;
    return 0;
}

void __wrap_outbound_submit(struct outbound *o, struct outbound_job *job)
{
    (void)o;
    assert_true(out.count < ASKED_MAX);
    out.jobs[out.count++] = job;
}

/* Question i is answered; status = 0: it is not. */
static void answer(unsigned i, int status, const char *text)
{
    struct outbound_job *job = out.jobs[i];
    assert_true(i < out.count);
    memmove(&out.jobs[i], &out.jobs[i + 1], (out.count - i - 1) * sizeof(job));
    out.count--;
    job->status = status;
    buf_puts(&job->answer, text);
    job->done(job);
}

void __wrap_outbound_stop(struct outbound *o, uint32_t grace_ms)
{
    (void)grace_ms;
    while (o && out.count > 0) {
        out.jobs[0]->over = true;
        answer(0, 0, "");
    }
}

void __wrap_outbound_destroy(struct outbound *o)
{
    __wrap_outbound_stop(o, 0);
}

/* ---- helpers ---- */

#define STREAM "GET /api/sse/subscribe/%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"

static void start(struct sim_hub *h, uint64_t seed)
{
    memset(&out, 0, sizeof(out));
    sim_hub_init(h, seed);
    h->config.authorize_url = "http://application.example/authorize";
    steps_start(h);
}

static void stop(struct sim_hub *h)
{
    assert_int_equal(out.count, 0);
    steps_stop(h);
}

struct seen {
    char client[TIDINGS_CLIENT_ID_MAX + 1];
    char last[160];  /* name of the latest event */
    char reason[40]; /* of the latest that has one */
    unsigned events;
};

static void see(void *user, const struct sim_event *e)
{
    struct seen *s = user;
    snprintf(s->last, sizeof(s->last), "%s", e->name);
    if (strcmp(e->name, "__connected") == 0)
        assert_true(sim_json_text(e->data, "clientId", s->client, sizeof(s->client)));
    sim_json_text(e->data, "reason", s->reason, sizeof(s->reason));
    s->events++;
}

static void come(struct sim_hub *h, struct sim_client *c, struct seen *s, const char *client)
{
    memset(s, 0, sizeof(*s));
    sim_client_open(c, h->sim, 0);
    c->on_event = see;
    c->user = s;
    assert_true(sim_client_askf(c, STREAM "\r\n", client));
    assert_true(sim_settle(h->sim));
}

/* ---- tests ---- */

/* Each is given his own answer, whatever their order. */
static void test_any_order(void **state)
{
    enum { MANY = 9 };
    static const int status[] = {200, 401, 403, 500, 0, 204, 302, 200, 200};
    static const char *const text[] = {
        "{\"clientId\":\"real-0\"}", "", "", "", "", "", "", "{\"clientId\":7}", "{\"clientId\":\"real-8\"}"};
    static const char *const client[] = {"real-0", "", "", "", "", "v5", "", "", "real-8"};
    static const int answered[] = {200, 401, 403, 200, 200, 200, 200, 200, 200};
    (void)state;
    for (unsigned turn = 0; turn < MANY; turn++) {
        struct sim_hub h;
        struct sim_client c[MANY];
        struct seen s[MANY];
        struct outbound_job *jobs[MANY];
        char name[8];
        start(&h, turn + 1);
        for (unsigned i = 0; i < MANY; i++) {
            sprintf(name, "v%u", i);
            come(&h, &c[i], &s[i], name);
            assert_int_equal(out.count, i + 1);
            jobs[i] = out.jobs[i];
        }
        for (unsigned k = 0; k < MANY; k++) {
            unsigned i = (k * 4 + turn) % MANY, at = 0; /* 4 and 9 have no divisor in common */
            assert_int_equal(c[i].answers, 0);
            while (out.jobs[at] != jobs[i])
                at++;
            answer(at, status[i], text[i]);
            steps_settle(&h, &c[i]);
            assert_int_equal(c[i].answers, 1);
            assert_int_equal(c[i].statuses[0], answered[i]);
            assert_string_equal(s[i].client, client[i]);
            bool unknown = answered[i] == 200 && !client[i][0];
            assert_string_equal(s[i].reason, unknown ? "authorize_unavailable" : "");
        }
        for (unsigned i = 0; i < MANY; i++)
            sim_client_finish(&c[i]);
        stop(&h);
    }
}

/* Who has left is not missed, and his answer meets nobody: his slot may be another's by then. */
static void test_gone(void **state)
{
    (void)state;
    for (unsigned reset = 0; reset < 2; reset++) {
        struct sim_hub h;
        struct sim_client c, other;
        struct seen s, o;
        start(&h, 20 + reset);
        come(&h, &c, &s, "ada");
        reset ? sim_client_reset(&c) : sim_client_close(&c);
        assert_true(sim_settle(h.sim));
        come(&h, &other, &o, "bob");
        assert_int_equal(out.count, 2);
        answer(0, 200, "{\"clientId\":\"admitted\"}");
        steps_settle(&h, &other);
        assert_int_equal(other.answers, 0);
        answer(0, 200, "");
        steps_settle(&h, &other);
        assert_string_equal(o.client, "bob");
        assert_int_equal(hub_service(h.hub)->registry->connections, 1);
        sim_client_finish(&c);
        sim_client_finish(&other);
        stop(&h);
    }
}

/* The outbound owes an answer in time. If it gives none, the visitor does not wait for ever, and what comes
 * later is nobody's. */
static void test_never(void **state)
{
    struct sim_hub h;
    struct sim_client c;
    struct seen s;
    (void)state;
    start(&h, 30);
    come(&h, &c, &s, "ada");
    assert_true(sim_pass(h.sim, h.config.authorize_timeout, 0));
    steps_settle(&h, &c);
    assert_false(c.ended || c.broken);
    assert_true(sim_pass(h.sim, 5000, 0));
    sim_client_read_all(&c);
    assert_true(c.ended || c.broken);
    assert_int_equal(out.count, 1);
    answer(0, 200, "");
    assert_true(sim_settle(h.sim));
    assert_int_equal(hub_service(h.hub)->registry->connections, 0);
    sim_client_finish(&c);
    stop(&h);
}

static void test_drain(void **state)
{
    struct sim_hub h;
    struct sim_client c;
    struct seen s;
    (void)state;
    start(&h, 40);
    come(&h, &c, &s, "ada");
    tidings_hub_drain(h.hub, 30000);
    assert_true(sim_settle(h.sim));
    assert_int_equal(out.count, 1);
    answer(0, 200, "");
    steps_settle(&h, &c);
    assert_string_equal(s.client, "");
    assert_string_equal(s.reason, "draining");
    assert_int_equal(hub_service(h.hub)->registry->connections, 0);
    sim_client_finish(&c);
    assert_true(sim_settle(h.sim));
    stop(&h);
}

/* What he sends behind his question is not taken for another one, and does not grow. */
static void test_behind(void **state)
{
    struct sim_hub h;
    struct sim_client c;
    struct seen s;
    char text[1000];
    (void)state;
    start(&h, 50);
    memset(text, 'x', sizeof(text));
    come(&h, &c, &s, "ada");
    for (unsigned i = 0; i < 500; i++)
        sim_send(h.sim, c.sock, text, sizeof(text));
    assert_true(sim_settle(h.sim));
    assert_int_equal(out.count, 1);
    const struct conn *k = slab_get(&sim_hub_loop(&h, 0)->conns, 0);
    assert_int_equal(k->state, CONN_WAIT);
    assert_true(k->io->in.len <= LOOP_READ_BUFFER);
    answer(0, 200, "");
    sim_turn(h.sim, 0);
    assert_int_equal(atomic_load(&sim_hub_loop(&h, 0)->request_bytes), 0); /* given back with the answer */
    steps_settle(&h, &c);
    assert_string_equal(s.client, "ada");
    assert_string_equal(s.last, "__connected");
    sim_client_finish(&c);
    stop(&h);
}

/* More than may wait are refused at once; then there is room again. */
static void test_full(void **state)
{
    enum { ROOM = 3 + AUTHORIZE_QUEUE };
    static struct sim_client c[ROOM + 1];
    static struct seen s[ROOM + 1];
    struct sim_hub h;
    (void)state;
    memset(&out, 0, sizeof(out));
    sim_hub_init(&h, 60);
    h.config.authorize_url = "http://application.example/authorize";
    h.config.authorize_concurrency = 3;
    h.config.max_connections = ROOM + 10;
    steps_start(&h);
    for (unsigned i = 0; i <= ROOM; i++)
        come(&h, &c[i], &s[i], "ada");
    assert_int_equal(out.count, ROOM);
    steps_settle(&h, &c[ROOM]);
    assert_string_equal(s[ROOM].reason, "authorize_unavailable");
    sim_client_finish(&c[ROOM]);
    answer(0, 403, "");
    come(&h, &c[ROOM], &s[ROOM], "ada");
    assert_int_equal(out.count, ROOM);
    while (out.count > 0)
        answer(out.count - 1, 403, "");
    for (unsigned i = 0; i <= ROOM; i++) {
        steps_settle(&h, &c[i]);
        assert_int_equal(c[i].statuses[0], 403);
        sim_client_finish(&c[i]);
    }
    stop(&h);
}

/* Visitors come, leave and are answered by chance, over sockets that fail. */
static void random_visitors(uint64_t seed)
{
    enum { VISITORS = 12 };
    static const int statuses[] = {200, 200, 401, 403, 500, 0};
    struct sim_hub h;
    struct sim_client c[VISITORS];
    struct seen s[VISITORS];
    bool here[VISITORS] = {false};
    start(&h, seed);
    *sim_faults(h.sim) =
        (struct sim_faults){.short_read = 200, .short_write = 200, .again = 100, .delay = 100};
    for (unsigned step = 0; step < 400; step++) {
        unsigned i = sim_below(h.sim, VISITORS);
        if (out.count > 0 && sim_chance(h.sim, 400)) {
            answer(sim_below(h.sim, out.count), statuses[sim_below(h.sim, 6)], "");
        } else if (!here[i]) {
            come(&h, &c[i], &s[i], "ada");
            here[i] = true;
        } else if (sim_chance(h.sim, 300)) {
            sim_chance(h.sim, 500) ? sim_client_reset(&c[i]) : sim_client_close(&c[i]);
            sim_client_finish(&c[i]);
            here[i] = false;
        } else {
            steps_settle(&h, &c[i]);
        }
        assert_true(sim_pass(h.sim, sim_below(h.sim, 400), 0));
    }
    while (out.count > 0)
        answer(sim_below(h.sim, out.count), 200, "");
    for (unsigned i = 0; i < VISITORS; i++)
        if (here[i])
            sim_client_finish(&c[i]);
    stop(&h);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 700; seed < (SIM_SLOW ? 720 : 800); seed++)
        random_visitors(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order), cmocka_unit_test(test_gone),   cmocka_unit_test(test_never),
        cmocka_unit_test(test_drain),     cmocka_unit_test(test_behind), cmocka_unit_test(test_full),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("authorize", tests, NULL, NULL);
}
