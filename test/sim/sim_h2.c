/* SPDX-License-Identifier: MIT
 *
 * sim_h2 - what the passing of time does to sessions of HTTP/2: who is silent, slow or restless is told to
 * go, and when exactly; who has a stream may stay.
 */
#include "h2_peer.h"
#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define IDLE_MS 60000
#define HEAD_MS 10000
#define BODY_MS 30000
#define SLACK   3000 /* deadlines are looked at ten times a second; and who was told to go has 2 s for it */

/* Somebody who speaks in bytes. */
struct raw {
    uint32_t sock;
    uint8_t got[64 * 1024];
    size_t len;
};

static void settle(struct sim_hub *h, struct h2_peer *p)
{
    do
        assert_true(sim_settle(h->sim));
    while (h2_peer_pump(p));
    assert_null(p->wrong);
}

/* The peer acts in between, if it is one that does. */
static void pass(struct sim_hub *h, struct h2_peer *p, uint64_t ms, bool pings)
{
    for (uint64_t at = 0; at < ms; at += 1000) {
        if (pings && !p->over)
            nghttp2_submit_ping(p->ng, NGHTTP2_FLAG_NONE, NULL);
        assert_true(sim_pass(h->sim, 1000, 100));
        settle(h, p);
    }
}

static struct h2_reply *ask(struct sim_hub *h, struct h2_peer *p, const char *path, int status)
{
    struct h2_reply *r = h2_peer_ask(p, "GET", path, NULL, false, 0);
    assert_non_null(r);
    settle(h, p);
    assert_int_equal(r->status, status);
    return r;
}

static void start(struct sim_hub *h, struct h2_peer *p)
{
    sim_hub_init(h, 1);
    h->config.idle_timeout = IDLE_MS;
    h->config.head_timeout = HEAD_MS;
    h->config.body_timeout = BODY_MS;
    h->config.max_connection_age = 0;
    steps_start(h);
    h2_peer_open(p, h->sim, 0, 65535);
    settle(h, p);
}

static void stop(struct sim_hub *h, struct h2_peer *p)
{
    h2_peer_finish(p);
    assert_true(sim_settle(h->sim));
    steps_stop(h);
}

/* ---- sessions without requests ---- */

static void test_who_asks_nothing_has_to_go(void **state)
{
    (void)state;
    for (unsigned pings = 0; pings < 2; pings++) {
        struct sim_hub h;
        struct h2_peer p;
        start(&h, &p);
        ask(&h, &p, "/healthz", 200);
        pass(&h, &p, IDLE_MS - 5000, pings);
        assert_false(p.over);
        ask(&h, &p, "/healthz", 200); /* counted anew */
        pass(&h, &p, IDLE_MS - 5000, pings);
        assert_false(p.goaway);
        pass(&h, &p, 5000 + SLACK, pings);
        assert_true(p.over && p.goaway);
        stop(&h, &p);
    }
}

static void test_who_reads_a_stream_may_stay(void **state)
{
    (void)state;
    struct sim_hub h;
    struct h2_peer p;
    start(&h, &p);
    const struct h2_reply *r = ask(&h, &p, "/api/sse/subscribe/ada", 200);
    pass(&h, &p, 5 * IDLE_MS, true);
    assert_false(p.over || h2_peer_is_done(&p, r));
    h2_peer_reset(&p, r);
    pass(&h, &p, IDLE_MS - 5000, true);
    assert_false(p.over);
    pass(&h, &p, 5000 + SLACK, true);
    assert_true(p.over && p.goaway);
    stop(&h, &p);
}

static void test_a_body_that_does_not_come_ends_its_stream_alone(void **state)
{
    (void)state;
    struct sim_hub h;
    struct h2_peer p;
    start(&h, &p);
    const struct h2_reply *r = h2_peer_ask(&p, "POST", "/api/sse/notify/batch", "{", true, 0);
    const struct h2_reply *stream = ask(&h, &p, "/api/sse/subscribe/ada", 200);
    pass(&h, &p, BODY_MS - 2000, false);
    assert_false(h2_peer_is_done(&p, r));
    pass(&h, &p, 2000 + SLACK, false);
    assert_true(h2_peer_is_done(&p, r));
    assert_non_null(strstr(r->body, "body_timeout"));
    assert_false(h2_peer_is_done(&p, stream));
    ask(&h, &p, "/healthz", 200);
    stop(&h, &p);
}

/* ---- byte by byte ---- */

static void put_frame(struct sim_hub *h, const struct raw *r, uint8_t type, uint8_t flags, uint32_t id,
                      const void *payload, uint8_t n)
{
    uint8_t out[9 + 255] = {0, 0, n, type, flags, 0, 0, (uint8_t)(id >> 8), (uint8_t)id};
    if (n > 0)
        memcpy(out + 9, payload, n);
    sim_send(h->sim, r->sock, out, 9u + n);
}

static void read_raw(struct sim_hub *h, struct raw *r)
{
    size_t n;
    assert_true(sim_settle(h->sim));
    while ((n = sim_recv(h->sim, r->sock, r->got + r->len, sizeof(r->got) - r->len)) > 0) {
        r->len += n;
        assert_true(sim_settle(h->sim));
    }
}

static void open_raw(struct sim_hub *h, struct raw *r, bool with_settings)
{
    r->len = 0;
    r->sock = sim_connect(h->sim, 0);
    sim_send(h->sim, r->sock, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    if (with_settings)
        put_frame(h, r, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    read_raw(h, r);
}

/* The error of the GOAWAY that it was sent; -1: none. */
static int goaway_of(const struct raw *r)
{
    size_t at = 0;
    while (at + 9 <= r->len) {
        size_t n = (size_t)r->got[at] << 16 | (size_t)r->got[at + 1] << 8 | r->got[at + 2];
        if (r->got[at + 3] == NGHTTP2_GOAWAY)
            return r->got[at + 9 + 7];
        at += 9 + n;
    }
    return -1;
}

static bool is_over(struct sim_hub *h, const struct raw *r)
{
    return sim_ended(h->sim, r->sock) || sim_was_reset(h->sim, r->sock);
}

/* GET / with indices of the static table (RFC 7541 appendix A). */
static const uint8_t get_root[] = {0x82, 0x86, 0x84, 0x01, 9, 'l', 'o', 'c', 'a', 'l', 'h', 'o', 's', 't'};

static void test_a_head_must_be_complete_in_time(void **state)
{
    (void)state;
    static struct raw r;
    struct sim_hub h;
    struct h2_peer p;
    start(&h, &p);
    open_raw(&h, &r, true);
    put_frame(&h, &r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, get_root, 3);
    for (unsigned second = 0; second < HEAD_MS / 1000; second++) {
        read_raw(&h, &r);
        assert_int_equal(goaway_of(&r), -1);
        put_frame(&h, &r, NGHTTP2_CONTINUATION, 0, 1, NULL, 0); /* no progress */
        assert_true(sim_pass(h.sim, 900, 100));
    }
    assert_true(sim_pass(h.sim, HEAD_MS / 10 + 200, 100));
    read_raw(&h, &r);
    assert_int_equal(goaway_of(&r), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(sim_pass(h.sim, SLACK, 100));
    assert_true(is_over(&h, &r));
    sim_close(h.sim, r.sock);
    stop(&h, &p);
}

static void test_a_preface_must_be_complete_in_time(void **state)
{
    (void)state;
    static struct raw r[2];
    struct sim_hub h;
    struct h2_peer p;
    start(&h, &p);
    r[0].sock = sim_connect(h.sim, 0);
    sim_send(h.sim, r[0].sock, NGHTTP2_CLIENT_MAGIC, 10);
    open_raw(&h, &r[1], false);
    assert_true(sim_pass(h.sim, HEAD_MS - 1000, 100));
    for (unsigned i = 0; i < 2; i++)
        assert_false(is_over(&h, &r[i]));
    assert_true(sim_pass(h.sim, 1000 + SLACK, 100));
    for (unsigned i = 0; i < 2; i++) {
        read_raw(&h, &r[i]);
        assert_true(is_over(&h, &r[i]));
        sim_close(h.sim, r[i].sock);
    }
    stop(&h, &p);
}

static void open_and_reset(struct sim_hub *h, struct raw *r, uint32_t *id, unsigned times)
{
    static const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    while (times-- > 0) {
        put_frame(h, r, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS, *id, get_root,
                  sizeof(get_root));
        put_frame(h, r, NGHTTP2_RST_STREAM, 0, *id, cancel, 4);
        *id += 2;
    }
    read_raw(h, r);
    r->len = goaway_of(r) < 0 ? 0 : r->len;
}

static void test_streams_for_nothing_are_counted(void **state)
{
    (void)state;
    static struct raw r;
    struct sim_hub h;
    struct h2_peer p;
    uint32_t id = 1;
    start(&h, &p);
    open_raw(&h, &r, true);
    r.len = 0;
    open_and_reset(&h, &r, &id, 500);
    assert_int_equal(goaway_of(&r), -1);
    assert_true(sim_pass(h.sim, 4000, 100)); /* 200 are granted */
    read_raw(&h, &r);
    r.len = 0;
    open_and_reset(&h, &r, &id, 200);
    assert_int_equal(goaway_of(&r), -1);
    open_and_reset(&h, &r, &id, 1);
    assert_int_equal(goaway_of(&r), NGHTTP2_ENHANCE_YOUR_CALM);
    ask(&h, &p, "/healthz", 200);
    sim_close(h.sim, r.sock);
    stop(&h, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_asks_nothing_has_to_go),
        cmocka_unit_test(test_who_reads_a_stream_may_stay),
        cmocka_unit_test(test_a_body_that_does_not_come_ends_its_stream_alone),
        cmocka_unit_test(test_a_head_must_be_complete_in_time),
        cmocka_unit_test(test_a_preface_must_be_complete_in_time),
        cmocka_unit_test(test_streams_for_nothing_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
