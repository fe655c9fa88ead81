/* SPDX-License-Identifier: MIT
 *
 * test_conn - a connection's life without a network: numbers, watching, times, names, buffers, both phases of
 * its end; and what deliver does for one that is too slow. The io is a few functions that remember what they
 * were asked.
 */
#include "deliver.h"

#include "json.h"
#include "service.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- an io that only remembers ---- */

struct memory_io {
    struct io io;
    int watch_result, watches;
    uint64_t tag;
    uint32_t interest;
    int closed, resets, wakes;
    size_t room; /* bytes that the socket still takes */
    size_t sent_len;
    char sent[1 << 16];
};

static struct memory_io *memory_of(struct io *io)
{
    return (struct memory_io *)(void *)io;
}

static int op_watch(struct io *io, int fd, uint64_t tag, uint32_t interest, bool first)
{
    struct memory_io *m = memory_of(io);

    (void)fd;
    (void)first;
    m->watches++;
    m->tag = tag;
    m->interest = interest;
    return m->watch_result;
}

static ssize_t op_send(struct io *io, int fd, const struct iovec *iov, int count)
{
    struct memory_io *m = memory_of(io);
    size_t taken = 0;

    (void)fd;
    if (m->room == 0)
        return -EAGAIN;
    for (int i = 0; i < count; i++) {
        size_t n = iov[i].iov_len < m->room ? iov[i].iov_len : m->room;

        assert_true(m->sent_len + n < sizeof(m->sent));
        memcpy(m->sent + m->sent_len, iov[i].iov_base, n);
        m->sent_len += n;
        m->room -= n;
        taken += n;
    }
    m->sent[m->sent_len] = '\0';
    return (ssize_t)taken;
}

static void op_close(struct io *io, int fd, bool reset)
{
    struct memory_io *m = memory_of(io);

    m->closed = fd;
    m->resets += reset;
}

static void op_wake(struct io *io)
{
    memory_of(io)->wakes++;
}

static const struct io_ops memory_ops = {
    .watch = op_watch, .send = op_send, .close = op_close, .wake = op_wake};

/* ---- a loop around it ---- */

static uint64_t mono_now, wall_now;

static uint64_t read_mono(void *user)
{
    (void)user;
    return mono_now;
}

static uint64_t read_wall(void *user)
{
    (void)user;
    return wall_now;
}

struct world {
    struct memory_io io;
    struct clock clock;
    struct log log;
    struct registry registry;
    struct sequencer sequencer;
    struct loop loop;
    unsigned ended;
    enum close_cause cause;
};

static void on_stream_end(void *user, struct conn *c, enum close_cause cause)
{
    struct world *w = user;

    (void)c;
    w->ended++;
    w->cause = cause;
}

static const struct loop_handler handler = {.on_stream_end = on_stream_end};

static void wake(void *user, uint32_t loop)
{
    (void)user;
    (void)loop;
}

static struct world *make_world(void)
{
    static struct world w;
    const struct log_policies policies = {.total_bytes = 0};
    struct log_identity id;
    struct tidings_config config;

    memset(&w, 0, sizeof(w));
    mono_now = 5000;
    wall_now = 1700000000000;
    w.clock = (struct clock){.mono = read_mono, .wall = read_wall};
    w.io.io.ops = &memory_ops;
    w.io.room = SIZE_MAX;
    tidings_config_init(&config);
    assert_int_equal(log_identity_make(&id, &w.clock), 0);
    assert_int_equal(log_init(&w.log, &policies, &id, &w.clock), 0);
    registry_init(&w.registry, &w.log, 1, wake, NULL);
    assert_int_equal(sequencer_init(&w.sequencer, &w.registry, NULL, &id, &(struct report){0}, 1000, 10), 0);
    assert_int_equal(loop_init(&w.loop, 0, &w.io.io, &w.clock, &w.registry, &config), 0);
    w.loop.handler = &handler;
    w.loop.user = &w;
    return &w;
}

/* What the worker does at the end of a turn with those that were closed. */
static void free_closed(struct world *w)
{
    while (w->loop.listed != SLAB_NONE) {
        struct conn *c = slab_get(&w->loop.conns, w->loop.listed);

        w->loop.listed = c->next;
        c->flags &= (uint8_t)~CONN_LISTED;
        if (c->state == CONN_CLOSED)
            conn_free(&w->loop, c);
    }
}

static void drop_world(struct world *w)
{
    free_closed(w);
    deliver_turn_end(&w->loop);
    assert_int_equal(w->loop.conns.used, 0);
    assert_int_equal(w->loop.request_bytes, 0);
    loop_finish(&w->loop);
    sequencer_finish(&w->sequencer);
    registry_finish(&w->registry);
    log_finish(&w->log);
}

static const struct io_peer peer = {.address = {192, 0, 2, 1}, .port = 4711, .family = IO_IPV4};

/* A stream of the client "ada" whose head has been sent. */
static struct conn *open_stream(struct world *w)
{
    struct conn *c = conn_open(&w->loop, 7, &peer);

    struct found found;

    assert_int_equal(registry_join(&w->registry, &c->sub, &(struct join){.client_id = SPAN("ada")}, &found),
                     JOIN_OK);
    deliver_begin(&w->loop, c, 0);
    return c;
}

static void publish(struct world *w, enum channel_kind kind, const char *json)
{
    struct json_error error;
    struct posting p = {.event = event_create(SPAN("e"), span_of(json), &error),
                        .kind = kind,
                        .to = kind == CHANNEL_ALL ? SPAN("") : SPAN("ada"),
                        .ttl = UINT64_MAX,
                        .self = REGISTRY_NO_LOOP};

    sequencer_publish(&w->sequencer, &p);
    assert_int_equal(p.result, POSTING_OK);
    event_unref(p.event);
}

static unsigned occurrences(const struct world *w, const char *text)
{
    unsigned n = 0;

    for (const char *at = w->io.sent; (at = strstr(at, text)); at++)
        n++;
    return n;
}

/* ---- completions ---- */

struct word {
    struct completion c;
    unsigned sender, number;
    bool again; /* posts itself once more when it is run */
};

static unsigned heard[4], words, disorder;

static void hear(struct completion *c, struct loop *l)
{
    struct word *w = (struct word *)(void *)c;

    words++;
    disorder += w->number != heard[w->sender]++;
    if (w->again) {
        w->again = false;
        w->number += 100;
        loop_post(l, c);
    }
}

static void expect_words(void)
{
    memset(heard, 0, sizeof(heard));
    words = disorder = 0;
}

/* In the order of posting; what is posted meanwhile comes next time; nothing is lost at the end. */
static void test_completions(void **state)
{
    struct world *w = make_world();
    struct word list[10];

    (void)state;
    expect_words();
    for (unsigned i = 0; i < 10; i++) {
        list[i] = (struct word){.c = {.run = hear}, .number = i};
        loop_post(&w->loop, &list[i].c);
    }
    list[9].again = true;
    assert_int_equal(w->io.wakes, 0); /* it was awake */
    assert_true(loop_is_posted(&w->loop));
    loop_run_posted(&w->loop);
    assert_int_equal(words, 10);
    assert_int_equal(disorder, 0);
    assert_true(loop_is_posted(&w->loop));
    w->loop.sleeping = true;
    loop_post(&w->loop, &list[0].c);
    loop_post(&w->loop, &list[1].c);
    assert_int_equal(w->io.wakes, 1); /* once */
    drop_world(w);
    assert_int_equal(words, 13);
}

#define POSTS 50000

static struct world *posted_to;
static struct word *posts[3];

static void *post_many(void *arg)
{
    unsigned sender = *(unsigned *)arg;

    for (unsigned i = 0; i < POSTS; i++)
        loop_post(&posted_to->loop, &posts[sender][i].c);
    return NULL;
}

/* From several threads at once, each in its own order. */
static void test_completions_of_threads(void **state)
{
    pthread_t threads[3];
    unsigned ids[3] = {0, 1, 2};

    (void)state;
    posted_to = make_world();
    expect_words();
    for (unsigned t = 0; t < 3; t++) {
        posts[t] = calloc(POSTS, sizeof(*posts[t]));
        assert_non_null(posts[t]);
        for (unsigned i = 0; i < POSTS; i++)
            posts[t][i] = (struct word){.c = {.run = hear}, .sender = t, .number = i};
    }
    for (unsigned t = 0; t < 3; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, post_many, &ids[t]), 0);
    while (words < POSTS) /* while they post */
        loop_run_posted(&posted_to->loop);
    for (unsigned t = 0; t < 3; t++)
        pthread_join(threads[t], NULL);
    loop_run_posted(&posted_to->loop);
    assert_int_equal(words, 3 * POSTS);
    assert_int_equal(disorder, 0);
    drop_world(posted_to);
    for (unsigned t = 0; t < 3; t++)
        free(posts[t]);
}

/* ---- waiting ---- */

static void on_gone(struct completion *c, struct loop *l)
{
    (void)l;
    ((struct waiter *)(void *)((char *)c - offsetof(struct waiter, gone)))->overdue = NULL;
}

static void no_answer(struct waiter *w, struct exchange *x)
{
    (void)w;
    (void)x;
}

/* Whoever waits for a connection is told of its end once, later; after the answer never. */
static void test_waiters(void **state)
{
    struct world *w = make_world();
    struct waiter told = {.overdue = no_answer, .gone = {.run = on_gone}}, answered = told, silent = {0};
    struct waiter *all[] = {&told, &answered, &silent};
    struct conn *c[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        c[i] = conn_open(&w->loop, 7, &peer);
        assert_non_null(conn_buffers(&w->loop, c[i]));
        conn_wait(c[i], i == 2 ? CONN_FEED : CONN_WAIT, all[i]);
        conn_trim(&w->loop, c[i]);
        assert_ptr_equal(all[i]->conn, c[i]);
        assert_non_null(c[i]->io); /* as long as somebody waits */
    }
    conn_answered(&w->loop, c[1], false);
    assert_null(answered.conn);
    assert_int_equal(c[1]->state, CONN_HEAD);
    for (unsigned i = 0; i < 3; i++) {
        conn_close(&w->loop, c[i], CLOSE_CLIENT, false);
        assert_null(all[i]->conn);
    }
    assert_non_null(told.overdue); /* not while somebody may still use it */
    loop_run_posted(&w->loop);
    assert_null(told.overdue);
    assert_non_null(answered.overdue);
    drop_world(w);
}

/* Memory of large answers is counted until it is sent or the connection is gone, and has a ceiling. */
static void test_reserved(void **state)
{
    struct world *w = make_world();
    struct conn *a = conn_open(&w->loop, 7, &peer), *b = conn_open(&w->loop, 8, &peer);

    (void)state;
    conn_buffers(&w->loop, a);
    conn_buffers(&w->loop, b);
    assert_true(conn_reserve(&w->loop, a, LOOP_REQUEST_MEMORY - 100));
    assert_false(conn_reserve(&w->loop, b, 101));
    assert_true(conn_reserve(&w->loop, b, 100));
    assert_false(conn_grow_in(&w->loop, b, 1));
    conn_release(&w->loop, a);
    conn_release(&w->loop, a);
    assert_int_equal(w->loop.request_bytes, 100);
    assert_true(conn_grow_in(&w->loop, a, 1000));
    conn_close(&w->loop, b, CLOSE_CLIENT, false);
    conn_drop_in(&w->loop, a);
    assert_int_equal(w->loop.request_bytes, 0);
    conn_close(&w->loop, a, CLOSE_CLIENT, false);
    drop_world(w);
}

/* ---- conn ---- */

static void test_open(void **state)
{
    struct world *w = make_world();
    struct conn *a = conn_open(&w->loop, 7, &peer), *b = conn_open(&w->loop, 8, &peer);

    (void)state;
    assert_int_equal(a->state, CONN_HEAD);
    assert_int_equal(a->sub.slot, 0);
    assert_int_equal(b->sub.slot, 1);
    assert_int_not_equal(a->sub.gen, b->sub.gen);
    assert_true(w->io.tag == ((uint64_t)b->sub.gen << 32 | 1));
    assert_int_equal(w->io.interest, IO_READ | IO_HANGUP);
    assert_ptr_equal(conn_of_sub(&a->sub), a);
    assert_null(a->io); /* nothing but its two cache lines */
    w->io.watch_result = -ENOMEM;
    assert_null(conn_open(&w->loop, 9, &peer));
    assert_int_equal(w->loop.conns.used, 2);
    conn_close(&w->loop, a, CLOSE_CLIENT, false);
    conn_close(&w->loop, a, CLOSE_CLIENT, false); /* once */
    assert_int_equal(w->io.closed, 7);
    assert_int_equal(w->ended, 0);           /* it was no stream */
    assert_int_equal(w->loop.conns.used, 2); /* freed in the second phase */
    conn_close(&w->loop, b, CLOSE_ERROR, true);
    assert_int_equal(w->io.resets, 1);
    drop_world(w);
}

/* Generation 0 tags listeners: no connection ever has it. */
static void test_generations(void **state)
{
    struct world *w = make_world();

    (void)state;
    w->loop.next_gen = UINT32_MAX - 2;
    for (unsigned i = 0; i < 5; i++) {
        struct conn *c = conn_open(&w->loop, 7, &peer);

        assert_true(c->sub.gen > 0);
        assert_true(w->io.tag >> 32 > 0);
        conn_close(&w->loop, c, CLOSE_CLIENT, false);
    }
    drop_world(w);
}

static void test_watch(void **state)
{
    struct world *w = make_world();
    struct conn *c = conn_open(&w->loop, 7, &peer);

    (void)state;
    conn_watch(&w->loop, c, IO_READ | IO_HANGUP);
    assert_int_equal(w->io.watches, 1); /* nothing changes: nobody is asked */
    conn_watch(&w->loop, c, IO_WRITE);
    assert_int_equal(w->io.watches, 2);
    assert_int_equal(w->io.interest, IO_WRITE);
    conn_list(&w->loop, c);
    conn_list(&w->loop, c); /* is in the list once */
    assert_int_equal(c->next, SLAB_NONE);
    conn_close(&w->loop, c, CLOSE_CLIENT, false);
    drop_world(w);
}

static void test_deadlines(void **state)
{
    struct world *w = make_world();
    struct conn *c = conn_open(&w->loop, 7, &peer);
    static const uint64_t nows[] = {0, 1000, UINT32_MAX - 50, UINT32_MAX, (UINT64_C(1) << 32) + 5};

    (void)state;
    assert_false(conn_due(&w->loop, c));
    for (unsigned i = 0; i < 5; i++) { /* also where 2^32 ms, about 50 days, are over */
        w->loop.now = nows[i];
        conn_set_deadline(&w->loop, c, 100);
        assert_false(conn_due(&w->loop, c));
        w->loop.now += 99;
        assert_false(conn_due(&w->loop, c));
        w->loop.now += 1;
        assert_true(conn_due(&w->loop, c));
        w->loop.now += 1000000;
        assert_true(conn_due(&w->loop, c));
        conn_set_deadline(&w->loop, c, 0);
        assert_false(conn_due(&w->loop, c));
    }
    conn_close(&w->loop, c, CLOSE_CLIENT, false);
    drop_world(w);
}

static void test_times(void **state)
{
    const uint64_t days = UINT64_C(60) * 24 * 3600 * 1000; /* more than 2^32 ms */
    struct world *w = make_world();

    (void)state;
    mono_now += days;
    wall_now += days + 7777; /* the wall clock was corrected */
    loop_update_time(&w->loop);
    struct conn *c = conn_open(&w->loop, 7, &peer);

    assert_int_equal(conn_connected_at(&w->loop, c), 1700000000000 + days);
    assert_int_equal(conn_last_seen(&w->loop, c), 1700000000000 + days);
    mono_now += 5000;
    loop_update_time(&w->loop);
    assert_int_equal(conn_last_seen(&w->loop, c), 1700000000000 + days);
    c->last_write = (uint32_t)w->loop.now;
    assert_int_equal(conn_last_seen(&w->loop, c), 1700000000000 + days + 5000);
    assert_int_equal(conn_connected_at(&w->loop, c), 1700000000000 + days);
    conn_close(&w->loop, c, CLOSE_CLIENT, false);
    drop_world(w);
}

static void test_addresses(void **state)
{
    static const struct {
        struct io_peer peer;
        const char *text;
    } cases[] = {
        {{.address = {192, 0, 2, 1}, .port = 65535, .family = IO_IPV4}, "192.0.2.1:65535"},
        {{.address = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .port = 1, .family = IO_IPV6}, "[2001:db8::1]:1"},
        {{.address = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
          .port = 65535,
          .family = IO_IPV6},
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {{.family = IO_UNIX}, "unix"},
    };
    struct world *w = make_world();
    char text[CONN_ADDRESS_LEN];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct conn *c = conn_open(&w->loop, 7, &cases[i].peer);

        conn_address(c, text);
        assert_string_equal(text, cases[i].text);
        conn_close(&w->loop, c, CLOSE_CLIENT, false);
    }
    drop_world(w);
}

static void test_buffers(void **state)
{
    struct world *w = make_world();
    struct conn *c = conn_open(&w->loop, 7, &peer);
    struct conn_io *io = conn_buffers(&w->loop, c);

    (void)state;
    assert_ptr_equal(conn_buffers(&w->loop, c), io);
    buf_puts(&io->out, "x");
    conn_trim(&w->loop, c);
    assert_ptr_equal(c->io, io); /* holds something */
    buf_clear(&io->out);
    io->page = SPAN("page");
    conn_trim(&w->loop, c);
    assert_ptr_equal(c->io, io);
    io->page.len = 0;
    conn_trim(&w->loop, c);
    assert_null(c->io);
    conn_trim(&w->loop, c);
    conn_set_agent(&w->loop, c, SPAN("one"));
    conn_set_agent(&w->loop, c, SPAN("two"));
    assert_string_equal(conn_agent(c), "two");
    conn_set_agent(&w->loop, c, SPAN(""));
    assert_string_equal(conn_agent(c), "");
    conn_buffers(&w->loop, c);
    conn_close(&w->loop, c, CLOSE_CLIENT, false);
    drop_world(w);
}

static void test_stream_ends(void **state)
{
    struct world *w = make_world();
    struct conn *a = open_stream(w), *b = open_stream(w);

    (void)state;
    assert_int_equal(w->loop.streams, 2);
    assert_int_equal(w->registry.connections, 2);
    conn_close(&w->loop, a, CLOSE_RESET, true);
    assert_int_equal(w->ended, 1);
    assert_int_equal(w->cause, CLOSE_RESET);
    assert_int_equal(w->registry.connections, 1);
    assert_int_equal(w->loop.stats.closed_reset, 1);
    deliver_end(&w->loop, b, CLOSE_AGE);
    assert_int_equal(w->ended, 2);
    assert_int_equal(w->registry.connections, 0); /* counted no longer */
    assert_int_equal(w->loop.streams, 1);         /* but its last bytes are on their way */
    assert_int_equal(deliver_flush(&w->loop, b), DELIVER_DONE);
    assert_int_equal(occurrences(w, "retry: "), 1);
    assert_non_null(strstr(w->io.sent, "\r\n0\r\n\r\n"));
    conn_close(&w->loop, b, CLOSE_CLIENT, false);
    assert_int_equal(w->ended, 2); /* told once */
    assert_int_equal(w->loop.streams, 0);
    assert_int_equal(w->loop.stats.closed_age, 1);
    drop_world(w);
}

static void on_left(void *user, const struct tidings_connection_info *connection, const char *cause,
                    uint64_t duration_ms)
{
    assert_string_equal(connection->client_id, "ada");
    assert_string_equal(connection->address, "192.0.2.1:4711");
    assert_string_equal(cause, "client_closed");
    *(uint64_t *)user = duration_ms;
}

/* How long a stream was open does not depend on the wall clock, which may be set back meanwhile. */
static void test_duration(void **state)
{
    struct world *w = make_world();
    struct conn *c = open_stream(w);
    struct hooks nobody = {0};
    struct service s = {.log = &w->log, .registry = &w->registry, .clock = &w->clock, .hooks = &nobody};
    uint64_t duration = 0;

    (void)state;
    w->loop.config.on_disconnect = on_left;
    w->loop.config.user = &duration;
    mono_now += 1234;
    wall_now -= 100000;
    service_stream_ended(&s, &w->loop, c, CLOSE_CLIENT);
    assert_int_equal(duration, 1234);
    assert_int_equal(w->registry.connections, 0); /* counted no longer when it is told */
    conn_close(&w->loop, c, CLOSE_CLIENT, false);
    drop_world(w);
}

static void test_causes_have_texts(void **state)
{
    (void)state;
    for (int a = CLOSE_CLIENT; a <= CLOSE_ERROR; a++)
        for (int b = CLOSE_CLIENT; b < a; b++)
            assert_string_not_equal(close_cause_text((enum close_cause)a),
                                    close_cause_text((enum close_cause)b));
    assert_string_equal(close_cause_text(CLOSE_SLOW), "slow_reader");
}

/* ---- deliver ---- */

static void test_retry(void **state)
{
    struct world *w = make_world();
    static const uint32_t retries[] = {1, 2, 3, 100, 3000, 86400000};

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        uint32_t retry = retries[i];

        w->loop.config.retry = retry;
        for (unsigned k = 0; k < 2000; k++) /* a quarter around it, and never 0 */
            assert_in_range(deliver_retry(&w->loop), retry - retry / 4, retry + retry / 4 + 1);
    }
    drop_world(w);
}

/* Events go out whole and once, however little the socket takes at a time. */
static void test_byte_by_byte(void **state)
{
    struct world *w = make_world();
    struct conn *c = open_stream(w);

    (void)state;
    publish(w, CHANNEL_ALL, "1");
    publish(w, CHANNEL_CLIENT, "2");
    publish(w, CHANNEL_ALL, "3");
    w->io.room = 1;
    deliver_news(&w->loop);
    for (unsigned i = 0; deliver_flush(&w->loop, c) != DELIVER_DONE; i++) {
        assert_true(i < 1000);
        w->io.room = 1;
    }
    assert_int_equal(occurrences(w, "event: e\n"), 3);
    const char *one = strstr(w->io.sent, "data: 1\n\n\r\n"), *two = strstr(w->io.sent, "data: 2\n\n\r\n");
    const char *three = strstr(w->io.sent, "data: 3\n\n\r\n");

    assert_true(one && two && three && one < two && two < three);
    assert_int_equal(w->loop.stats.delivered, 3);
    conn_close(&w->loop, c, CLOSE_CLIENT, false);
    deliver_turn_end(&w->loop);
    drop_world(w);
}

/* Between the loop's look at its news and the sending, more was published than is held: the reader is told
 * once, is not set back, and gets what comes afterwards. */
static void test_resync_once(void **state)
{
    struct world *w = make_world();
    struct conn *c = open_stream(w);

    (void)state;
    publish(w, CHANNEL_CLIENT, "1");
    deliver_news(&w->loop);
    for (unsigned i = 0; i < 200; i++)
        publish(w, CHANNEL_CLIENT, "2");
    deliver_flush(&w->loop, c);
    deliver_turn_end(&w->loop);
    assert_int_equal(occurrences(w, "event: __resync\n"), 1);
    uint64_t cursor = c->sub.cursor;

    for (unsigned turn = 0; turn < 3; turn++) {
        deliver_news(&w->loop);
        deliver_flush(&w->loop, c);
        deliver_turn_end(&w->loop);
        assert_true(c->sub.cursor >= cursor);
    }
    assert_int_equal(occurrences(w, "event: __resync\n"), 1);
    publish(w, CHANNEL_CLIENT, "3");
    deliver_news(&w->loop);
    deliver_flush(&w->loop, c);
    assert_int_equal(occurrences(w, "data: 3\n"), 1);
    conn_close(&w->loop, c, CLOSE_CLIENT, false);
    drop_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_completions), cmocka_unit_test(test_completions_of_threads),
        cmocka_unit_test(test_waiters),     cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_open),        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_watch),       cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_times),       cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_buffers),     cmocka_unit_test(test_stream_ends),
        cmocka_unit_test(test_duration),    cmocka_unit_test(test_causes_have_texts),
        cmocka_unit_test(test_retry),       cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_resync_once),
    };

    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
