/* SPDX-License-Identifier: MIT
 *
 * test_sequencer - nothing is seen before it is stored, nothing is told that is not stored, and a restart
 * finds what was there: turns are taken by hand, the clock is the test's, the store is a real one.
 */
#include "sequencer.h"

#include "json.h"
#include "ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t time_now;

static uint64_t read_time(void *user)
{
    (void)user;
    return time_now;
}

static const struct clock test_clock = {.mono = read_time, .wall = read_time};

struct world {
    char dir[64];
    char path[96];
    char away[96];
    struct log_policies policies;
    struct log log;
    struct registry registry;
    struct sequencer q;
};

static void wake(void *user, uint32_t loop)
{
    (void)user;
    (void)loop;
}

static void open_world(struct world *w)
{
    struct log_identity id;
    struct store *store;
    const struct report nobody = {0};

    assert_int_equal(log_identity_make(&id, &test_clock), 0);
    assert_int_equal(store_open(&store, w->path, false, &id), STORE_OK);
    assert_int_equal(log_init(&w->log, &w->policies, &id, &test_clock), 0);
    registry_init(&w->registry, &w->log, 1, wake, NULL);
    assert_int_equal(sequencer_init(&w->q, &w->registry, store, &id, &nobody, 600000, 1000), 0);
    assert_int_equal(sequencer_load(&w->q), STORE_OK);
}

static void close_world(struct world *w)
{
    while (sequencer_turn(&w->q)) {
    }
    sequencer_finish(&w->q);
    registry_finish(&w->registry);
    log_finish(&w->log);
}

static void restart(struct world *w)
{
    close_world(w);
    open_world(w);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    time_now = 1763800000000;
    strcpy(w->dir, "/tmp/sequencer-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/s.db", w->dir);
    snprintf(w->away, sizeof(w->away), "%s/away.db", w->dir);
    w->policies = (struct log_policies){.base = {.size = 5, .bytes = 1 << 20}};
    open_world(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char wal[128];

    close_world(w);
    unlink(w->path);
    unlink(w->away);
    snprintf(wal, sizeof(wal), "%s-wal", w->path);
    unlink(wal);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

/* ---- postings ---- */

static void mark_done(struct posting *p)
{
    *(bool *)p->user = true;
}

struct sent {
    struct posting posting;
    bool done;
};

static void post(struct world *w, struct sent *s, enum channel_kind kind, const char *to, const char *json,
                 const char *key, uint64_t ttl)
{
    struct json_error error;
    struct event *e = event_create(SPAN("n"), span_of(json), &error);

    assert_non_null(e);
    memset(s, 0, sizeof(*s));
    s->posting = (struct posting){
        .event = e, .kind = kind, .to = span_of(to), .ttl = ttl, .self = REGISTRY_NO_LOOP, .done = mark_done};
    s->posting.user = &s->done;
    if (key) {
        s->posting.key = span_of(key);
        s->posting.print = sequencer_print(&w->q, kind, s->posting.to, e, ttl);
    }
    assert_false(sequencer_post(&w->q, &s->posting));
}

static void send_now(struct world *w, struct sent *s, enum channel_kind kind, const char *to,
                     const char *json, const char *key, uint64_t ttl)
{
    post(w, s, kind, to, json, key, ttl);
    assert_true(sequencer_turn(&w->q));
    assert_true(s->done);
    event_unref(s->posting.event);
}

static uint32_t held(struct world *w, enum channel_kind kind, const char *key)
{
    struct channel *c = kind == CHANNEL_ALL ? w->log.all : log_find(&w->log, kind, span_of(key));

    return c && c->ring ? c->ring->count : 0;
}

/* ---- tests ---- */

static void test_nothing_is_seen_before_it_is_stored(void **state)
{
    struct world *w = *state;
    struct sent a, b;
    uint64_t before = w->log.seq;

    post(w, &a, CHANNEL_CLIENT, "ada", "1", NULL, UINT64_MAX);
    post(w, &b, CHANNEL_ALL, "", "2", NULL, UINT64_MAX);
    assert_int_equal(w->log.seq, before);
    assert_int_equal(held(w, CHANNEL_CLIENT, "ada"), 0);
    assert_false(a.done || b.done);
    assert_true(sequencer_turn(&w->q));
    assert_true(a.done && b.done);
    assert_int_equal(a.posting.result, POSTING_OK);
    assert_int_equal(a.posting.seq, before + 1);
    assert_int_equal(b.posting.seq, before + 2);
    assert_int_equal(held(w, CHANNEL_CLIENT, "ada"), 1);
    assert_int_equal(atomic_load(&w->q.stats.commits), 1);
    assert_int_equal(atomic_load(&w->q.stats.committed), 2);
    event_unref(a.posting.event);
    event_unref(b.posting.event);
    assert_false(sequencer_turn(&w->q));
}

static void test_a_restart_finds_events_and_never_uses_a_number_twice(void **state)
{
    struct world *w = *state;
    struct sent s;
    char epoch[EVENT_EPOCH_LEN + 1];

    strcpy(epoch, w->log.epoch);
    send_now(w, &s, CHANNEL_CLIENT, "ada", "{\"a\": 1}", NULL, UINT64_MAX);
    send_now(w, &s, CHANNEL_TOPIC, "t", "2", NULL, 0); /* for nobody: its number counts all the same */
    uint64_t last = s.posting.seq;
    restart(w);
    assert_string_equal(w->log.epoch, epoch);
    assert_true(w->log.seq >= last);
    assert_int_equal(held(w, CHANNEL_CLIENT, "ada"), 1);
    assert_int_equal(held(w, CHANNEL_TOPIC, "t"), 0);
    struct event *e = ring_at(log_find(&w->log, CHANNEL_CLIENT, SPAN("ada"))->ring, 0);
    assert_true(span_eq(event_payload(e), SPAN("{\"a\":1}")));
    assert_int_equal(e->seq, last - 1);
    send_now(w, &s, CHANNEL_CLIENT, "ada", "3", NULL, UINT64_MAX);
    assert_true(s.posting.seq > last);
}

static void test_what_was_given_up_is_deleted_and_known_after_a_restart(void **state)
{
    struct world *w = *state;
    struct sent s;
    uint64_t third = 0;

    for (int i = 0; i < 8; i++) {
        send_now(w, &s, CHANNEL_CLIENT, "ada", "1", NULL, UINT64_MAX);
        if (i == 2)
            third = s.posting.seq;
    }
    struct channel *c = log_find(&w->log, CHANNEL_CLIENT, SPAN("ada"));
    assert_int_equal(log_missed(&w->log, c), third);
    restart(w);
    c = log_find(&w->log, CHANNEL_CLIENT, SPAN("ada"));
    assert_non_null(c);
    assert_int_equal(c->ring->count, 5);
    assert_int_equal(log_missed(&w->log, c), third);
}

static void test_events_that_expired_are_marked(void **state)
{
    struct world *w = *state;
    struct sent s;

    send_now(w, &s, CHANNEL_CLIENT, "ada", "1", NULL, 5000);
    time_now += 6000;
    log_lock(&w->log);
    log_sweep(&w->log);
    log_unlock(&w->log);
    assert_null(log_find(&w->log, CHANNEL_CLIENT, SPAN("ada")));
    restart(w);
    log_lock(&w->log);
    struct channel *c = log_open(&w->log, CHANNEL_CLIENT, SPAN("ada"));
    assert_int_equal(log_missed(&w->log, c), s.posting.seq);
    log_release(&w->log, c);
    log_unlock(&w->log);
}

static void test_a_key_counts_across_batches_within_one_and_after_a_restart(void **state)
{
    struct world *w = *state;
    struct sent a, b, c;

    post(w, &a, CHANNEL_CLIENT, "ada", "1", "k", UINT64_MAX);
    post(w, &b, CHANNEL_CLIENT, "ada", "1", "k", UINT64_MAX);
    post(w, &c, CHANNEL_CLIENT, "ada", "2", "k", UINT64_MAX);
    assert_true(sequencer_turn(&w->q));
    assert_int_equal(a.posting.result, POSTING_OK);
    assert_false(a.posting.repeated);
    assert_int_equal(b.posting.result, POSTING_OK);
    assert_true(b.posting.repeated);
    assert_int_equal(b.posting.seq, a.posting.seq);
    assert_int_equal(c.posting.result, POSTING_MISMATCH);
    assert_int_equal(held(w, CHANNEL_CLIENT, "ada"), 1);
    event_unref(b.posting.event);
    event_unref(c.posting.event);
    restart(w);
    send_now(w, &b, CHANNEL_CLIENT, "ada", "1", "k", UINT64_MAX);
    assert_true(b.posting.repeated);
    assert_int_equal(b.posting.seq, a.posting.seq);
    time_now += 600001;
    send_now(w, &b, CHANNEL_CLIENT, "ada", "1", "k", UINT64_MAX);
    assert_false(b.posting.repeated);
    event_unref(a.posting.event);
}

static void test_what_cannot_be_stored_never_was(void **state)
{
    struct world *w = *state;
    struct sent a, b, c, d;

    send_now(w, &a, CHANNEL_CLIENT, "ada", "0", NULL, UINT64_MAX);
    struct channel *ada = log_find(&w->log, CHANNEL_CLIENT, SPAN("ada"));
    uint64_t kept = log_last_kept(&w->log, ada);
    assert_int_equal(rename(w->path, w->away), 0);
    time_now += 2000;
    assert_int_equal(store_tidy(w->q.store), STORE_MOVED);
    post(w, &a, CHANNEL_CLIENT, "ada", "1", "k", UINT64_MAX);
    post(w, &b, CHANNEL_CLIENT, "ada", "1", "k", UINT64_MAX);
    post(w, &c, CHANNEL_CLIENT, "ada", "2", NULL, UINT64_MAX);
    post(w, &d, CHANNEL_ADMIN, "", "3", NULL, 0);
    assert_true(sequencer_turn(&w->q));
    assert_int_equal(a.posting.result, POSTING_STORE);
    assert_int_equal(a.posting.why, STORE_MOVED);
    assert_int_equal(b.posting.result, POSTING_STORE);
    assert_false(b.posting.repeated);
    assert_int_equal(c.posting.result, POSTING_STORE);
    assert_int_equal(d.posting.result, POSTING_OK); /* dashboards show that it fails */
    assert_int_equal(held(w, CHANNEL_CLIENT, "ada"), 1);
    assert_int_equal(log_last_kept(&w->log, ada), kept);
    event_unref(a.posting.event);
    event_unref(b.posting.event);
    event_unref(c.posting.event);
    event_unref(d.posting.event);
    assert_int_equal(rename(w->away, w->path), 0);
    assert_int_equal(store_tidy(w->q.store), STORE_OK);
    send_now(w, &a, CHANNEL_CLIENT, "ada", "1", "k", UINT64_MAX);
    assert_int_equal(a.posting.result, POSTING_OK);
    assert_false(a.posting.repeated); /* a refused request does not use the key up */
    restart(w);
    assert_int_equal(held(w, CHANNEL_CLIENT, "ada"), 2);
    assert_int_equal(log_missed(&w->log, log_find(&w->log, CHANNEL_CLIENT, SPAN("ada"))), 0);
}

static void test_the_queue_has_a_ceiling(void **state)
{
    struct world *w = *state;
    struct sent a, b;
    struct json_error error;

    post(w, &a, CHANNEL_ALL, "", "1", NULL, UINT64_MAX);
    w->q.queue_count = SEQUENCER_QUEUE_MAX;
    memset(&b, 0, sizeof(b));
    b.posting = (struct posting){.event = event_create(SPAN("n"), SPAN("1"), &error), .kind = CHANNEL_ALL};
    assert_true(sequencer_post(&w->q, &b.posting));
    assert_int_equal(b.posting.result, POSTING_BUSY);
    w->q.queue_count = 1;
    assert_true(sequencer_turn(&w->q));
    assert_true(a.done);
    event_unref(a.posting.event);
    event_unref(b.posting.event);
}

/* ---- random: what is known after a restart is what was known before ---- */

#define NAMES 6

struct known {
    uint64_t missed, first, last, count;
};

static struct known what_is_known(struct world *w, enum channel_kind kind, const char *name)
{
    struct channel *c = kind == CHANNEL_ALL ? w->log.all : log_find(&w->log, kind, span_of(name));
    struct known k = {0};

    if (!c)
        return k;
    k.missed = log_missed(&w->log, c);
    k.count = c->ring ? c->ring->count : 0;
    k.first = k.count ? ring_at(c->ring, 0)->seq : 0;
    k.last = k.count ? ring_at(c->ring, c->ring->count - 1)->seq : 0;
    return k;
}

static void test_random_lives(void **state)
{
    static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};
    struct world *w = *state;
    const char *text = getenv("SEED");
    unsigned seed = text ? (unsigned)atoi(text) : 1;

    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 40; i++) {
            struct sent s[4];
            unsigned n = 1 + (unsigned)rand_r(&seed) % 4;
            for (unsigned k = 0; k < n; k++) {
                unsigned name = (unsigned)rand_r(&seed) % NAMES;
                unsigned ttl = (unsigned)rand_r(&seed) % 8;
                post(w, &s[k],
                     name == 0  ? CHANNEL_ALL
                     : name < 3 ? CHANNEL_TOPIC
                                : CHANNEL_CLIENT,
                     names[name], "\"x\"", NULL,
                     ttl == 0   ? 0
                     : ttl == 1 ? 3000
                                : UINT64_MAX);
            }
            assert_true(sequencer_turn(&w->q));
            for (unsigned k = 0; k < n; k++)
                event_unref(s[k].posting.event);
            time_now += (unsigned)rand_r(&seed) % 500;
            if (rand_r(&seed) % 10 == 0) {
                log_lock(&w->log);
                log_sweep(&w->log);
                log_unlock(&w->log);
            }
        }
        log_lock(&w->log);
        log_sweep(&w->log);
        log_unlock(&w->log);
        struct known before[NAMES];
        for (unsigned i = 0; i < NAMES; i++)
            before[i] = what_is_known(w,
                                      i == 0  ? CHANNEL_ALL
                                      : i < 3 ? CHANNEL_TOPIC
                                              : CHANNEL_CLIENT,
                                      names[i]);
        restart(w);
        for (unsigned i = 0; i < NAMES; i++) {
            struct known after = what_is_known(w,
                                               i == 0  ? CHANNEL_ALL
                                               : i < 3 ? CHANNEL_TOPIC
                                                       : CHANNEL_CLIENT,
                                               names[i]);
            if (memcmp(&before[i], &after, sizeof(after)) != 0 && before[i].count > 0)
                fail_msg(
                    "round %u, %s: missed %llu, %llu..%llu of %llu became missed %llu, %llu..%llu of %llu",
                    round, names[i], (unsigned long long)before[i].missed,
                    (unsigned long long)before[i].first, (unsigned long long)before[i].last,
                    (unsigned long long)before[i].count, (unsigned long long)after.missed,
                    (unsigned long long)after.first, (unsigned long long)after.last,
                    (unsigned long long)after.count);
        }
    }
}

/* ---- with its thread ---- */

#define THREADS 4
#define EACH    200

static void *publish_many(void *arg)
{
    struct world *w = arg;
    struct json_error error;
    uint64_t last = 0;

    for (unsigned i = 0; i < EACH; i++) {
        struct posting p = {.event = event_create(SPAN("n"), SPAN("1"), &error),
                            .kind = CHANNEL_ALL,
                            .ttl = UINT64_MAX,
                            .self = REGISTRY_NO_LOOP};
        sequencer_publish(&w->q, &p);
        bool fine = p.result == POSTING_OK && p.seq > last;
        last = p.seq;
        event_unref(p.event);
        if (!fine)
            return arg;
    }
    return NULL;
}

static void test_threads_wait_for_the_commit(void **state)
{
    struct world *w = *state;
    pthread_t threads[THREADS];
    void *wrong;
    struct json_error error;

    assert_int_equal(sequencer_start(&w->q), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, publish_many, w), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    sequencer_stop(&w->q);
    assert_int_equal(atomic_load(&w->q.stats.committed), THREADS * EACH);
    struct posting late = {.event = event_create(SPAN("n"), SPAN("1"), &error), .kind = CHANNEL_ALL};
    sequencer_publish(&w->q, &late);
    assert_int_equal(late.result, POSTING_CLOSED);
    event_unref(late.event);
}

static void test_prints_tell_messages_apart(void **state)
{
    struct world *w = *state;
    struct json_error error;
    struct event *e = event_create(SPAN("n"), SPAN("1"), &error);
    struct event *f = event_create(SPAN("n"), SPAN("2"), &error);
    struct idempotency_print a = sequencer_print(&w->q, CHANNEL_CLIENT, SPAN("x"), e, 1);
    struct idempotency_print b = sequencer_print(&w->q, CHANNEL_CLIENT, SPAN("x"), e, 1);

    assert_memory_equal(&a, &b, sizeof(a));
    b = sequencer_print(&w->q, CHANNEL_TOPIC, SPAN("x"), e, 1);
    assert_memory_not_equal(&a, &b, sizeof(a));
    b = sequencer_print(&w->q, CHANNEL_CLIENT, SPAN("y"), e, 1);
    assert_memory_not_equal(&a, &b, sizeof(a));
    b = sequencer_print(&w->q, CHANNEL_CLIENT, SPAN("x"), e, 2);
    assert_memory_not_equal(&a, &b, sizeof(a));
    b = sequencer_print(&w->q, CHANNEL_CLIENT, SPAN("x"), f, 1);
    assert_memory_not_equal(&a, &b, sizeof(a));
    event_unref(e);
    event_unref(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_seen_before_it_is_stored),
        TEST(test_a_restart_finds_events_and_never_uses_a_number_twice),
        TEST(test_what_was_given_up_is_deleted_and_known_after_a_restart),
        TEST(test_events_that_expired_are_marked),
        TEST(test_a_key_counts_across_batches_within_one_and_after_a_restart),
        TEST(test_what_cannot_be_stored_never_was),
        TEST(test_the_queue_has_a_ceiling),
        TEST(test_random_lives),
        TEST(test_threads_wait_for_the_commit),
        TEST(test_prints_tell_messages_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
