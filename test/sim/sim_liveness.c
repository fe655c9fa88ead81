/* SPDX-License-Identifier: MIT
 *
 * sim_liveness - what the passing of time does: heartbeats that never gather, streams that end of age or by
 * draining one after the other, states that end by themselves when the peer is silent, and readers that never
 * read, who may cost the hub next to nothing.
 */
#include "steps.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CROWD 2000
#define STEP  100

static uint64_t counter(const struct sim_hub *h, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < h->config.loops; i++)
        sum += *(_Atomic uint64_t *)(void *)((char *)&sim_hub_loop(h, i)->stats + offset);
    return sum;
}

#define COUNTER(h, field) counter(h, offsetof(struct stats, field))

/* Streams whose bytes nobody looks at. */
static void join_crowd(struct sim_hub *h, uint32_t *socks, unsigned count)
{
    char request[160];
    for (unsigned i = 0; i < count; i++) {
        socks[i] = sim_connect(h->sim, i % h->config.loops);
        sim_count_only(h->sim, socks[i]);
        int n = snprintf(request, sizeof(request),
                         "GET /api/sse/subscribe/u%u HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
        sim_send(h->sim, socks[i], request, (size_t)n);
    }
    assert_true(sim_settle(h->sim));
    assert_int_equal(tidings_total_connections(h->hub), count);
}

static void leave_crowd(struct sim_hub *h, const uint32_t *socks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sim_close(h->sim, socks[i]);
    assert_true(sim_settle(h->sim));
}

/* Heartbeats of each second of `seconds`. */
static void measure_beats(struct sim_hub *h, uint32_t *beats, unsigned seconds)
{
    uint64_t before = COUNTER(h, heartbeats);
    for (unsigned i = 0; i < seconds; i++) {
        assert_true(sim_pass(h->sim, 1000, STEP));
        uint64_t now = COUNTER(h, heartbeats);
        beats[i] = (uint32_t)(now - before);
        before = now;
    }
}

/* All come in the same moment. From the first interval on no second has more than thrice its fair share, and
 * everybody is given one in each interval. */
static void test_heartbeats_spread(void **state)
{
    (void)state;
    static uint32_t socks[CROWD];
    uint32_t beats[120], sum = 0;
    struct sim_hub h;
    sim_hub_init(&h, 1);
    h.config.loops = 2;
    steps_start(&h);
    join_crowd(&h, socks, CROWD);
    measure_beats(&h, beats, 120);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(beats[i], 0);
    for (unsigned i = 0; i < 120; i++) {
        sum += beats[i];
        if (beats[i] > CROWD / 15 * 3)
            fail_msg("%u heartbeats in second %u", beats[i], i);
    }
    assert_in_range(sum, CROWD * 120 / 15 - CROWD, CROWD * 120 / 13 + CROWD);
    leave_crowd(&h, socks, CROWD);
    steps_stop(&h);
}

static void test_age(void **state)
{
    (void)state;
    static uint32_t socks[CROWD];
    struct sim_hub h;
    uint64_t most = 0;
    sim_hub_init(&h, 2);
    h.config.max_connection_age = 100000;
    steps_start(&h);
    join_crowd(&h, socks, CROWD);
    assert_true(sim_pass(h.sim, 79900, STEP));
    assert_int_equal(tidings_total_connections(h.hub), CROWD);
    for (unsigned second = 0; second < 22; second++) {
        uint64_t before = tidings_total_connections(h.hub);
        assert_true(sim_pass(h.sim, 1000, STEP));
        uint64_t ended = before - tidings_total_connections(h.hub);
        most = ended > most ? ended : most;
    }
    assert_int_equal(tidings_total_connections(h.hub), 0);
    assert_int_equal(COUNTER(&h, closed_age), CROWD);
    assert_true(most < CROWD / 20 * 2);
    assert_true(sim_pass(h.sim, 5000, STEP)); /* nobody has closed his side: the hub does not wait for ever */
    assert_int_equal(sim_open_sockets(h.sim), 0);
    leave_crowd(&h, socks, CROWD);
    steps_stop(&h);
}

static void test_drain(void **state)
{
    (void)state;
    static uint32_t socks[CROWD];
    struct sim_hub h;
    struct sim_client late, other;
    uint64_t most = 0;
    sim_hub_init(&h, 3);
    h.config.loops = 2;
    steps_start(&h);
    join_crowd(&h, socks, CROWD);
    assert_int_equal(tidings_hub_drain(h.hub, 10000), 0);
    sim_client_open(&late, h.sim, 0);
    sim_client_subscribe(&late, "late", "", NULL);
    sim_client_open(&other, h.sim, 1);
    sim_client_notify(&other, "{\"broadcast\":true,\"event\":\"note\",\"payload\":1}");
    for (unsigned second = 0; second < 10; second++) {
        uint64_t before = tidings_total_connections(h.hub);
        assert_true(sim_pass(h.sim, 1000, STEP));
        uint64_t ended = before - tidings_total_connections(h.hub);
        most = ended > most ? ended : most;
    }
    sim_client_read_all(&late);
    sim_client_read_all(&other);
    assert_true(late.answer.stream && late.answer.complete && !late.wrong);
    assert_int_equal(other.statuses[0], 200);
    assert_int_equal(tidings_total_connections(h.hub), 0);
    assert_int_equal(COUNTER(&h, closed_drain), CROWD);
    assert_true(most < CROWD / 10 * 2);
    assert_true(sim_pass(h.sim, 3000, STEP));
    assert_int_equal(tidings_hub_wait_drained(h.hub, 0), 1);
    leave_crowd(&h, socks, CROWD);
    sim_client_finish(&late);
    sim_client_finish(&other);
    steps_stop(&h);
}

/* ---- silence ---- */

/* What a peer says before it falls silent for good, and when its connection must be gone at the latest: if
 * what it is sent fits into its socket, and if not a byte of it is read. */
static const struct {
    const char *says;
    uint32_t until, until_full;
} silences[] = {
    {"", 11200, 11200},
    {"GET / HT", 13200, 71500},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 61200, 61200},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 3200, 61200},
    {"POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
     "9\r\n"
     "\r\n{",
     33200, 91500},
    {"GET /api/sse/subscribe/a HTTP/1.1\r\nHost: localhost\r\n\r\n", 204000, 207000},
    {"GET /api/sse/subscribe/a HTTP/1.0\r\n\r\n", 204000, 207000},
    {"GET /api/sse/admin/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", 204000, 207000},
    {"rubbish\r\n\r\n", 3200, 61200},
};

static void check_silence(unsigned i, uint32_t room, uint32_t until)
{
    struct sim_hub h;
    struct sim_client c;
    sim_hub_init(&h, 100 + i);
    h.options.down = room;
    h.config.max_connection_age = 200000;
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    c.asked = 1;
    sim_send(h.sim, c.sock, silences[i].says, strlen(silences[i].says));
    assert_true(sim_pass(h.sim, until, STEP));
    if (sim_open_sockets(h.sim) > 0)
        fail_msg("silence %u with room %u lasts for ever", i, room);
    assert_null(sim_hub_leftover(h.sim, h.hub));
    sim_client_finish(&c);
    steps_stop(&h);
}

static void test_every_state_ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(silences) / sizeof(silences[0]); i++) {
        check_silence(i, 1u << 20, silences[i].until);
        check_silence(i, 10, silences[i].until_full);
    }
}

/* Who is told to go has some seconds for the last bytes, and no more than some. */
static void test_last_bytes_have_time(void **state)
{
    (void)state;
    for (unsigned reads = 0; reads < 2; reads++) {
        struct sim_hub h;
        struct sim_client c;
        sim_hub_init(&h, 30 + reads);
        h.options.down = 400;
        steps_start(&h);
        sim_client_open(&c, h.sim, 0);
        sim_client_subscribe(&c, "ada", "", NULL);
        for (unsigned i = 0; i < 3; i++) {
            assert_true(sim_settle(h.sim));
            sim_client_read_all(&c);
        }
        assert_int_equal(tidings_broadcast(h.hub, "note", "\"0123456789\"", 12), 1);
        assert_true(sim_settle(h.sim)); /* what follows does not fit at once */
        while (sim_waiting(h.sim, c.sock) < 390) {
            assert_int_equal(tidings_broadcast(h.hub, "note", "1", 1), 1);
            assert_true(sim_settle(h.sim));
        }
        assert_int_equal(tidings_disconnect_client(h.hub, "ada", 0), 1);
        for (unsigned i = 0; i < 30; i++) {
            assert_true(sim_pass(h.sim, 100, 0));
            if (reads)
                sim_client_read(&c, 40);
        }
        assert_null(c.wrong);
        assert_int_equal(c.finished, reads);
        assert_true(sim_pass(h.sim, 3200, 0));
        assert_int_equal(sim_open_sockets(h.sim), 0);
        sim_client_finish(&c);
        steps_stop(&h);
    }
}

/* The longest times that may be configured are long, not over at once; and clocks of 32 bits come round. */
static void test_long_times(void **state)
{
    (void)state;
    static uint32_t socks[10];
    const char *field;
    const uint32_t day = 24 * 3600 * 1000;
    struct sim_hub h;
    sim_hub_init(&h, 40);
    for (h.config.max_connection_age = 48 * day;
         tidings_config_check(&h.config, &field) != 0 && h.config.max_connection_age > day;)
        h.config.max_connection_age -= day;
    h.config.heartbeat = h.config.max_connection_age;
    steps_start(&h);
    join_crowd(&h, socks, 10);
    assert_true(sim_pass(h.sim, day, 3600000));
    assert_int_equal(tidings_total_connections(h.hub), 10);
    assert_int_equal(COUNTER(&h, heartbeats), 0);
    assert_true(sim_pass(h.sim, h.config.max_connection_age, 3600000));
    assert_int_equal(tidings_total_connections(h.hub), 0);
    leave_crowd(&h, socks, 10);
    assert_true(sim_pass(h.sim, 26ull * day, 3600000));
    join_crowd(&h, socks, 10); /* about 50 days after the start */
    assert_true(sim_pass(h.sim, day, 3600000));
    assert_int_equal(tidings_total_connections(h.hub), 10);
    leave_crowd(&h, socks, 10);
    steps_stop(&h);
}

/* ---- readers that do not read ---- */

static void test_no_heartbeat_into_a_full_socket(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client c;
    static char json[9000];
    sim_hub_init(&h, 20);
    h.options.down = 2000;
    steps_start(&h);
    sim_client_open(&c, h.sim, 0);
    sim_client_subscribe(&c, "ada", "", NULL);
    assert_true(sim_settle(h.sim));
    int n = snprintf(json, sizeof(json), "\"%08000d\"", 0);
    assert_int_equal(tidings_broadcast(h.hub, "note", json, (size_t)n), 1);
    assert_true(sim_pass(h.sim, 100000, STEP));
    assert_int_equal(COUNTER(&h, heartbeats), 0);
    for (unsigned i = 0; i < 10; i++) {
        sim_client_read_all(&c);
        assert_true(sim_settle(h.sim));
    }
    assert_true(sim_client_is_between(&c) || c.left == 0);
    assert_true(sim_pass(h.sim, 16000, STEP));
    assert_true(COUNTER(&h, heartbeats) >= 1);
    sim_client_read_all(&c);
    assert_null(c.wrong);
    sim_client_finish(&c);
    steps_stop(&h);
}

#define STUCK 200

/* Sanitizers have an allocator of their own, of which mallinfo2() knows nothing: then what the hub itself
 * says that it holds has to do. */
static size_t hub_memory(const struct sim_hub *h)
{
    const struct mallinfo2 heap = mallinfo2();
    size_t said = hub_service(h->hub)->log->held_bytes;
    return heap.uordblks ? heap.uordblks + heap.hblkhd - sim_bytes(h->sim) : said;
}

#define FLOOD (SIM_SLOW ? 1ull << 27 : 1ull << 30)

/* 1 GB goes to those who read, while STUCK others never do: what the hub holds is bounded by its history. */
static void test_stuck_readers_cost_nothing(void **state)
{
    (void)state;
    static uint32_t socks[STUCK], good[2];
    static char json[16 * 1024];
    struct sim_hub h;
    size_t most = 0;
    sim_hub_init(&h, 21);
    h.options.down = 4096;
    h.config.history_bytes = 1u << 20;
    steps_start(&h);
    for (unsigned i = 0; i < STUCK; i++) {
        socks[i] = sim_connect(h.sim, 0);
        sim_send(h.sim, socks[i], "GET /api/sse/subscribe/slow HTTP/1.0\r\n\r\n",
                 strlen("GET /api/sse/subscribe/slow HTTP/1.0\r\n\r\n"));
        assert_true(sim_settle(h.sim));
        if (i == 99)
            assert_int_equal(tidings_total_connections(h.hub), 100);
    }
    assert_int_equal(tidings_total_connections(h.hub), 100); /* the limit of one client */
    for (unsigned i = 0; i < 2; i++) {
        good[i] = sim_connect(h.sim, 0);
        sim_count_only(h.sim, good[i]);
        sim_send(h.sim, good[i], "GET /api/sse/subscribe/good HTTP/1.0\r\n\r\n",
                 strlen("GET /api/sse/subscribe/good HTTP/1.0\r\n\r\n"));
    }
    assert_true(sim_settle(h.sim));
    memset(json, '7', sizeof(json));
    size_t before = hub_memory(&h);
    for (uint64_t sent = 0; sent < FLOOD; sent += sizeof(json)) {
        assert_int_equal(tidings_broadcast(h.hub, "note", json, sizeof(json)), 102);
        sim_turn(h.sim, 0);
        size_t now = hub_memory(&h);
        most = now > most ? now : most;
    }
    assert_true(sim_settle(h.sim));
    assert_true(sim_received(h.sim, good[0]) > FLOOD);
    print_message("# held at most: %zu KiB more than at the beginning\n", (most - before) / 1024);
    assert_true(most - before < 3u << 20);
    for (unsigned i = 0; i < STUCK; i++)
        sim_close(h.sim, socks[i]);
    sim_close(h.sim, good[0]);
    sim_close(h.sim, good[1]);
    steps_stop(&h);
}

#define DRAGGING 40
#define BIG      (64 * 1024)

/* Each of them stands in the middle of an event of its own, which history has given up since. */
static void drag(struct sim_hub *h, uint32_t *socks)
{
    static char json[BIG];
    char name[16];
    memset(json, '7', sizeof(json));
    for (unsigned i = 0; i < DRAGGING; i++) {
        char request[96];
        int n = snprintf(request, sizeof(request), "GET /api/sse/subscribe/c%u HTTP/1.0\r\n\r\n", i);
        socks[i] = sim_connect(h->sim, i % h->config.loops);
        sim_send(h->sim, socks[i], request, (size_t)n);
        assert_true(sim_settle(h->sim));
        snprintf(name, sizeof(name), "c%u", i);
        assert_int_equal(tidings_send_event(h->hub, name, "big", json, sizeof(json)), 1);
        assert_true(sim_settle(h->sim));
        assert_int_equal(tidings_send_event(h->hub, name, "next", "1", 1), 1);
        assert_true(sim_settle(h->sim));
    }
}

static uint64_t stalled_bytes(const struct sim_hub *h)
{
    return hub_service(h->hub)->log->stalled_bytes;
}

static void start_dragging(struct sim_hub *h, uint32_t *socks, uint64_t limit)
{
    sim_hub_init(h, 22);
    h->options.down = 4096;
    h->config.loops = 2;
    h->config.history_size = 1;
    h->config.max_stalled_bytes = limit;
    steps_start(h);
    drag(h, socks);
}

static void stop_dragging(struct sim_hub *h, const uint32_t *socks)
{
    for (unsigned i = 0; i < DRAGGING; i++)
        sim_close(h->sim, socks[i]);
    assert_true(sim_settle(h->sim));
    assert_int_equal(stalled_bytes(h), 0);
    steps_stop(h);
}

static void test_events_that_are_dragged_out_are_bounded(void **state)
{
    (void)state;
    enum { LIMIT = 16 * BIG };
    uint32_t socks[DRAGGING];
    struct sim_hub h;
    start_dragging(&h, socks, LIMIT);
    assert_true(sim_pass(h.sim, 200, STEP));
    assert_true(stalled_bytes(&h) <= LIMIT);
    uint64_t left = tidings_total_connections(h.hub);
    assert_true(left >= 4 && left < 16);
    assert_int_equal(COUNTER(&h, refused_stalled), DRAGGING - left);
    assert_int_equal(COUNTER(&h, closed_slow), DRAGGING - left);
    unsigned ended = 0;
    for (unsigned i = 0; i < DRAGGING;
         i++) { /* on each of the loops those in the oldest events, by a reset */
        ended += sim_was_reset(h.sim, socks[i]);
        assert_true(i < 2 || !sim_was_reset(h.sim, socks[i]) || sim_was_reset(h.sim, socks[i - 2]));
    }
    assert_int_equal(ended, DRAGGING - left);
    assert_true(sim_pass(h.sim, 1000, STEP));
    assert_int_equal(tidings_total_connections(h.hub), left);
    stop_dragging(&h, socks);
}

static void test_no_limit_to_dragging(void **state)
{
    (void)state;
    uint32_t socks[DRAGGING];
    struct sim_hub h;
    start_dragging(&h, socks, 0);
    assert_true(sim_pass(h.sim, 1000, STEP));
    assert_true(stalled_bytes(&h) > DRAGGING * BIG);
    assert_int_equal(tidings_total_connections(h.hub), DRAGGING);
    stop_dragging(&h, socks);
}

/* What history still has costs nothing more, however many stand in it; and who reads on leaves it. */
static void test_what_is_kept_is_not_counted(void **state)
{
    (void)state;
    static const char request[] = "GET /api/sse/subscribe/a HTTP/1.0\r\n\r\n";
    static char json[BIG];
    uint32_t socks[DRAGGING];
    struct sim_hub h;
    sim_hub_init(&h, 23);
    h.options.down = 4096;
    h.config.history_size = 1;
    h.config.max_stalled_bytes = 1;
    steps_start(&h);
    memset(json, '7', sizeof(json));
    for (unsigned i = 0; i < DRAGGING; i++) {
        socks[i] = sim_connect(h.sim, 0);
        sim_send(h.sim, socks[i], request, strlen(request));
    }
    assert_true(sim_settle(h.sim));
    assert_int_equal(tidings_broadcast(h.hub, "big", json, sizeof(json)), DRAGGING);
    assert_true(sim_pass(h.sim, 1000, STEP));
    assert_int_equal(stalled_bytes(&h), 0);
    assert_int_equal(tidings_total_connections(h.hub), DRAGGING);
    for (unsigned i = 0; i < DRAGGING; i++)
        sim_count_only(h.sim, socks[i]);
    assert_true(sim_settle(h.sim));
    assert_int_equal(tidings_broadcast(h.hub, "next", "1", 1), DRAGGING);
    assert_true(sim_pass(h.sim, 1000, STEP));
    assert_int_equal(stalled_bytes(&h), 0);
    assert_int_equal(tidings_total_connections(h.hub), DRAGGING);
    stop_dragging(&h, socks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heartbeats_spread),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_every_state_ends),
        cmocka_unit_test(test_last_bytes_have_time),
        cmocka_unit_test(test_long_times),
        cmocka_unit_test(test_no_heartbeat_into_a_full_socket),
        cmocka_unit_test(test_stuck_readers_cost_nothing),
        cmocka_unit_test(test_events_that_are_dragged_out_are_bounded),
        cmocka_unit_test(test_no_limit_to_dragging),
        cmocka_unit_test(test_what_is_kept_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
