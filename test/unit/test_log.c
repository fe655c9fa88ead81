/* SPDX-License-Identifier: MIT
 *
 * test_log - what is held, what is given up and known to be lost, and what a reader pulls; at last all of it
 * against a plain list that keeps everything, with random operations.
 */
#include "log.h"

#include "cursor.h"
#include "json.h"
#include "ring.h"
#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t time_now;

static uint64_t read_time(void *user)
{
    (void)user;
    return time_now;
}

static const struct clock test_clock = {.mono = read_time, .wall = read_time};
static const struct log_policies wide = {.base = {.size = 1000, .bytes = 1 << 20}};

static const struct log_policies nothing = {.base = {.size = 0}};

static void init_as(struct log *log, const struct log_policies *policies, const struct log_identity *id)
{
    assert_int_equal(log_init(log, policies, id, &test_clock), 0);
    log_lock(log);
}

static void init(struct log *log, const struct log_policies *policies)
{
    struct log_identity id;

    time_now = 1000000;
    assert_int_equal(log_identity_make(&id, &test_clock), 0);
    init_as(log, policies, &id);
}

static void finish(struct log *log)
{
    log_unlock(log);
    log_finish(log);
}

static struct event *make(size_t payload)
{
    struct json_error error;
    char *json = malloc(payload + 2);

    memset(json, 'x', payload + 2);
    json[0] = json[payload + 1] = '"';
    struct event *e = event_create(SPAN("e"), (struct span){json, payload + 2}, &error);

    free(json);
    assert_non_null(e);
    return e;
}

static uint64_t append_ttl(struct log *log, struct channel *c, size_t payload, uint64_t ttl)
{
    struct event *e = make(payload);

    assert_int_equal(log_reserve(log, c), 0);
    log_number(log, e, log->seq + 1, time_now);
    log_append(log, c, e, ttl, 0);
    uint64_t seq = e->seq;

    event_unref(e);
    return seq;
}

static uint64_t append(struct log *log, struct channel *c)
{
    return append_ttl(log, c, 10, UINT64_MAX);
}

static struct channel *client(struct log *log, const char *id)
{
    return log_open(log, CHANNEL_CLIENT, span_of(id));
}

static void pull_from(struct log *log, struct channel *const *channels, unsigned count, uint64_t cursor,
                      struct pull *pull)
{
    memset(pull, 0xee, sizeof(*pull));
    pull->cursor = cursor;
    cursor_pull(log, channels, count, NULL, UINT64_MAX, SIZE_MAX, pull);
}

/* Does history owe nothing to a reader with this cursor that it cannot give? */
static bool is_complete(struct log *log, struct channel *const *channels, unsigned count, uint64_t cursor)
{
    struct found found;

    cursor_seek(log, channels, count, &(struct seek){.from = SEEK_CURSOR, .cursor = cursor}, &found);
    return found.resume == RESUME_COMPLETE;
}

static void expect(const struct pull *pull, unsigned count, const uint64_t *numbers)
{
    assert_int_equal(pull->count, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pull->events[i]->seq, numbers[i]);
}

/* ---- channels ---- */

static void test_channels(void **state)
{
    struct log log;
    char key[16];

    (void)state;
    init(&log, &wide);
    assert_null(log_find(&log, CHANNEL_CLIENT, SPAN("ada")));
    struct channel *ada = client(&log, "ada");

    assert_ptr_equal(client(&log, "ada"), ada);
    assert_ptr_equal(log_find(&log, CHANNEL_CLIENT, SPAN("ada")), ada);
    assert_null(log_find(&log, CHANNEL_TOPIC, SPAN("ada"))); /* another room, another name */
    assert_null(log_find(&log, CHANNEL_CLIENT, SPAN("ad")));
    assert_ptr_not_equal(log_open(&log, CHANNEL_TOPIC, SPAN("ada")), ada);
    assert_ptr_equal(log_find(&log, CHANNEL_ALL, SPAN("")), log.all);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "c%u", i);
        assert_non_null(client(&log, key));
    }
    assert_int_equal(log.channel_count, 5004);
    assert_true(log.table_size >= 2048);
    assert_ptr_equal(log_find(&log, CHANNEL_CLIENT, SPAN("ada")), ada);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "c%u", i);
        log_release(&log, client(&log, key));
    }
    assert_int_equal(log.channel_count, 4);
    assert_int_equal(log.table_size, 64); /* the table shrinks with it */
    assert_ptr_equal(log_find(&log, CHANNEL_CLIENT, SPAN("ada")), ada);
    finish(&log);
}

static void test_release(void **state)
{
    struct log log;

    (void)state;
    init(&log, &wide);
    struct channel *c = client(&log, "ada");

    c->subs = 1;
    log_release(&log, c);
    log_retire(&log, c);
    c->subs = 0;
    c->queued = 2; /* a loop has it in its inbox */
    log_release(&log, c);
    c->queued = 0;
    append(&log, c);
    append_ttl(&log, c, 10, 0);
    append(&log, c);
    log_release(&log, c);
    assert_ptr_equal(log_find(&log, CHANNEL_CLIENT, SPAN("ada")), c);
    log_retire(&log, c); /* gives up what was for live readers */
    assert_ptr_equal(log_find(&log, CHANNEL_CLIENT, SPAN("ada")), c);
    assert_int_equal(log.held_events, 2);
    assert_int_equal(log.oldest->seq, 1);
    assert_int_equal(log.newest->seq, 3);
    log_set_policies(&log, &nothing);
    log_retire(&log, c); /* all is for live readers */
    assert_null(log_find(&log, CHANNEL_CLIENT, SPAN("ada")));
    assert_int_equal(log.held_events, 0);
    assert_int_equal(log.held_bytes, 0);
    log_release(&log, log.all);
    log_retire(&log, log.admin);
    assert_int_equal(log.channel_count, 2);
    finish(&log);
}

/* Readers stand in three events, and reached them in another order than the log gives them up. */
static void test_stalled_in_the_order_of_leaving(void **state)
{
    enum { COUNT = 3 };
    struct log log;
    struct event *events[COUNT];

    (void)state;
    init(&log, &wide);
    struct channel *c = client(&log, "a");
    for (int i = 0; i < COUNT; i++) {
        events[i] = make(1000);
        assert_int_equal(log_reserve(&log, c), 0);
        log_number(&log, events[i], log.seq + 1, time_now);
        log_append(&log, c, events[i], UINT64_MAX, 0);
    }
    uint64_t size = event_footprint(events[0]);
    log_unlock(&log);
    log_stall(&log, events[1]);
    log_stall(&log, events[0]);
    log_stall(&log, events[0]);
    log_lock(&log);
    assert_int_equal(log.stalled_bytes, 0);
    log_set_policies(&log, &nothing);
    log_retire(&log, c); /* gives up all */
    assert_int_equal(log.stalled_bytes, 2 * size);
    log_unlock(&log);
    log_stall(&log, events[2]); /* given up already */
    log_lock(&log);
    assert_int_equal(log.stalled_bytes, 3 * size);
    assert_int_equal(log_find_stalled(&log, 3 * size), 0);
    assert_int_equal(log_find_stalled(&log, 3 * size - 1), events[1]->seq); /* to the half of it */
    assert_int_equal(log_find_stalled(&log, 1), events[2]->seq);
    log_unlock(&log);
    log_unstall(&log, events[0]); /* another reader is still in it */
    log_unstall(&log, events[1]);
    log_lock(&log);
    assert_int_equal(log.stalled_bytes, 2 * size);
    assert_int_equal(log_find_stalled(&log, 2 * size - 1), events[2]->seq);
    log_unlock(&log);
    log_unstall(&log, events[2]);
    log_unstall(&log, events[0]);
    log_lock(&log);
    assert_int_equal(log.stalled_bytes, 0);
    assert_null(log.stalled_oldest);
    assert_null(log.stalled_newest);
    for (int i = 0; i < COUNT; i++)
        event_unref(events[i]);
    finish(&log);
}

static void test_retire_while_queued(void **state)
{
    struct log log;

    (void)state;
    init(&log, &wide);
    struct channel *c = client(&log, "ada");

    append_ttl(&log, c, 10, 0);
    c->queued = 1;
    log_retire(&log, c);
    assert_ptr_equal(log_find(&log, CHANNEL_CLIENT, SPAN("ada")), c);
    assert_int_equal(log.held_events, 0);
    c->queued = 0;
    log_release(&log, c);
    assert_null(log_find(&log, CHANNEL_CLIENT, SPAN("ada")));
    finish(&log);
}

/* What a channel has missed is remembered when the channel is gone. */
static void test_forgotten(void **state)
{
    struct log log;

    (void)state;
    init(&log, &wide);
    struct channel *c = client(&log, "ada");
    uint64_t before = append(&log, log.all), seq = append(&log, c);

    append(&log, log.all);
    log_set_policies(&log, &nothing);
    log_retire(&log, c);
    assert_null(log_find(&log, CHANNEL_CLIENT, SPAN("ada")));
    log_set_policies(&log, &wide);
    c = client(&log, "ada");
    assert_false(is_complete(&log, &c, 1, before));
    assert_true(is_complete(&log, &c, 1, seq));
    log_release(&log, c);
    c = client(&log, "grace"); /* (one slot in 16384 would be shared) */
    if (c->hash % LOG_FORGOTTEN != log_open(&log, CHANNEL_CLIENT, SPAN("ada"))->hash % LOG_FORGOTTEN)
        assert_true(is_complete(&log, &c, 1, before));
    finish(&log);
}

/* ---- numbers ---- */

static void test_numbers(void **state)
{
    struct log log, later;
    struct log_identity id_later;
    char id[EVENT_ID_LEN + 1], epoch[EVENT_EPOCH_LEN];
    uint64_t seq;

    (void)state;
    init(&log, &wide);
    assert_int_equal(append(&log, log.all), 1);
    struct event *e = make(1);

    time_now += 500;
    log_number(&log, e, 2, time_now);
    assert_int_equal(e->seq, 2);
    assert_int_equal(e->ts, time_now);
    assert_null(e->channel);
    assert_int_equal(log.seq, 1);
    log_pass(&log, e);
    assert_int_equal(log.seq, 2);
    event_unref(e);
    assert_int_equal(append(&log, client(&log, "a")), 3);
    assert_int_equal(log.held_events, 2);
    event_id(id, log.epoch, 3);
    assert_true(event_parse_id(span_of(id), epoch, &seq)); /* the epoch is one of the legal alphabet */
    time_now += 1000; /* a hub that starts a second later has later ids */
    assert_int_equal(log_identity_make(&id_later, &test_clock), 0);
    assert_true(strcmp(log.epoch, id_later.epoch) < 0);
    id_later.seq = 41; /* a hub that had been there before goes on with its numbers */
    init_as(&later, &wide, &id_later);
    assert_string_equal(later.epoch, id_later.epoch);
    assert_int_equal(append(&later, later.all), 42);
    finish(&later);
    finish(&log);
    log_finish(&later); /* twice is fine */
}

/* ---- what is kept ---- */

static void test_ring_grows(void **state)
{
    static struct pull pull;
    struct log log;

    (void)state;
    init(&log, &wide);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t first = log.seq + 1;

        for (unsigned i = 0; i < 900; i++)
            append(&log, log.all);
        for (uint64_t at = first - 1; at < first + 899;) {
            pull_from(&log, &log.all, 1, at, &pull);
            assert_false(pull.lost);
            assert_true(pull.count > 0);
            for (unsigned i = 0; i < pull.count; i++)
                assert_int_equal(pull.events[i]->seq, ++at);
            cursor_pull_finish(&pull);
        }
    }
    assert_int_equal(log.held_events, 1000);
    assert_int_equal(log.evicted, 1700);
    finish(&log);
}

static void test_by_count(void **state)
{
    static struct pull pull;
    const struct log_policies policy = {.base = {.size = 100, .bytes = 1 << 20}};
    struct log log;

    (void)state;
    init(&log, &policy);
    for (unsigned i = 0; i < 130; i++)
        append(&log, log.all);
    assert_int_equal(log.held_events, 100);
    pull_from(&log, &log.all, 1, 29, &pull);
    assert_true(pull.lost);
    assert_int_equal(pull.count, 0);
    assert_int_equal(pull.bytes, 0);
    pull_from(&log, &log.all, 1, 30, &pull); /* has seen all that was given up */
    assert_false(pull.lost);
    assert_int_equal(pull.events[0]->seq, 31);
    cursor_pull_finish(&pull);
    assert_false(is_complete(&log, &log.all, 1, 29));
    assert_true(is_complete(&log, &log.all, 1, 30));
    assert_true(is_complete(&log, &log.all, 1, 130));
    assert_false(is_complete(&log, &log.all, 1, 131)); /* a cursor from the future */
    finish(&log);
}

static void test_by_bytes(void **state)
{
    const struct log_policies policy = {.base = {.size = 1000, .bytes = 512 * 1024}};
    struct log log;

    (void)state;
    init(&log, &policy);
    for (unsigned i = 0; i < 100; i++) {
        append_ttl(&log, log.all, 50000, UINT64_MAX);
        assert_true(log.all->ring->bytes <= 512 * 1024);
    }
    assert_int_equal(log.held_events, 10);
    append_ttl(&log, log.all, 600000, UINT64_MAX); /* the newest is always held, however large */
    assert_int_equal(log.held_events, 1);
    append(&log, log.all);
    assert_int_equal(log.held_events, 1);
    finish(&log);
}

static void test_live_window(void **state)
{
    const struct log_policies none = {.base = {.size = 0, .bytes = 1024}};
    struct log log;

    (void)state;
    init(&log, &none); /* no history: live readers have a window all the same */
    for (unsigned i = 0; i < 200; i++)
        append(&log, log.all);
    assert_int_equal(log.held_events, 64);
    assert_false(log.newest->kept);
    finish(&log);
}

static void test_by_total(void **state)
{
    const struct log_policies policy = {.base = {.size = 1000, .bytes = 1 << 20}, .total_bytes = 20000};
    struct log log;
    char key[16];

    (void)state;
    init(&log, &policy);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "c%u", i);
        append_ttl(&log, client(&log, key), 1000, UINT64_MAX);
        assert_true(log.held_bytes <= 20000);
    }
    assert_in_range(log.held_events, 12, 15); /* each with its channel and ring */
    /* A channel that holds nothing any more and has no listener is gone. */
    assert_int_equal(log.channel_count, log.held_events + 2);
    assert_null(log_find(&log, CHANNEL_CLIENT, SPAN("c0")));
    append_ttl(&log, log.all, 30000, UINT64_MAX);
    assert_int_equal(log.held_events, 1);
    assert_int_equal(log.channel_count, 2);
    finish(&log);
}

static void test_by_age(void **state)
{
    const struct log_policies policy = {.base = {.size = 1000, .bytes = 1 << 20, .ttl = 1000}};
    struct log log;

    (void)state;
    init(&log, &policy);
    append(&log, log.all);
    time_now += 600;
    append_ttl(&log, log.all, 1, 5000); /* never longer than the policy */
    append_ttl(&log, log.all, 1, 0);
    assert_false(log.newest->kept);
    append_ttl(&log, log.all, 1, 300);
    assert_true(log.newest->kept);
    assert_int_equal(log.newest->expires, time_now + 300);
    time_now += 299;
    log_sweep(&log);
    assert_int_equal(log.held_events, 4);
    time_now += 1; /* the newest is the first to go */
    log_sweep(&log);
    assert_int_equal(log.held_events, 3);
    assert_int_equal(log.newest->seq, 3);
    time_now += 99;
    log_sweep(&log);
    assert_int_equal(log.held_events, 3);
    time_now += 1;
    log_sweep(&log);
    assert_int_equal(log.held_events, 2);
    time_now += 600;
    log_sweep(&log);
    assert_int_equal(log.held_events, 0);
    assert_null(log.oldest);
    assert_null(log.newest);
    assert_int_equal(log.held_bytes, 0);
    append(&log, log.all); /* and goes on */
    assert_int_equal(log.held_events, 1);
    finish(&log);
}

static void test_policy_changes(void **state)
{
    struct log log;

    (void)state;
    init(&log, &wide);
    for (unsigned i = 0; i < 500; i++)
        append(&log, log.all);
    struct log_policies policies = wide;

    policies.total_bytes = 20000;
    log_set_policies(&log, &policies);
    log_sweep(&log);
    assert_true(log.held_bytes <= 20000);
    assert_true(log.held_events > 20);
    policies.base.size = 10;
    log_set_policies(&log, &policies);
    log_sweep(&log); /* without anything new being published */
    assert_int_equal(log.held_events, 10);
    policies.base.size = 5;
    log_set_policies(&log, &policies);
    append(&log, log.all);
    assert_int_equal(log.held_events, 5);
    finish(&log);
}

/* ---- pulling ---- */

static void test_diagram(void **state)
{
    static struct pull pull;
    struct log log;

    (void)state;
    init(&log, &wide);
    struct channel *ada = client(&log, "ada"), *news = log_open(&log, CHANNEL_TOPIC, SPAN("news"));
    struct channel *readers[] = {log.all, ada}, *all_three[] = {news, log.all, ada};
    struct channel *order[] = {log.all, ada, news, log.all, ada, log.all, news, news, log.all};

    for (unsigned i = 0; i < 9; i++)
        append(&log, order[i]);
    pull_from(&log, readers, 2, 4, &pull);
    expect(&pull, 3, (const uint64_t[]){5, 6, 9});
    assert_int_equal(pull.cursor, 9);
    assert_int_equal(pull.prev, 4); /* event 4 was the last before: from a smaller cursor 4 would come too */
    assert_false(pull.more);
    assert_false(pull.lost);
    assert_int_equal(pull.bytes, 3 * pull.events[0]->size);
    cursor_pull_finish(&pull);
    assert_int_equal(pull.count, 0);
    pull_from(&log, all_three, 3, 0, &pull);
    expect(&pull, 9, (const uint64_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
    cursor_pull_finish(&pull);
    pull_from(&log, readers, 2, 9, &pull);
    expect(&pull, 0, NULL);
    assert_int_equal(pull.cursor, 9);
    pull_from(&log, readers, 2, 8, &pull);
    expect(&pull, 1, (const uint64_t[]){9});
    assert_int_equal(pull.prev, 6);
    cursor_pull_finish(&pull);
    finish(&log);
}

static void test_horizon(void **state)
{
    static struct pull pull;
    struct log log;

    (void)state;
    init(&log, &wide);
    for (unsigned i = 0; i < 9; i++)
        append(&log, log.all);
    pull.cursor = 3;
    cursor_pull(&log, &log.all, 1, NULL, 5, SIZE_MAX, &pull);
    expect(&pull, 2, (const uint64_t[]){4, 5});
    assert_int_equal(pull.cursor, 5);
    assert_false(pull.more); /* what lies beyond the horizon is not more */
    cursor_pull_finish(&pull);
    pull.cursor = 7;
    cursor_pull(&log, &log.all, 1, NULL, 5, SIZE_MAX, &pull);
    expect(&pull, 0, NULL);
    assert_int_equal(pull.cursor, 7); /* never backwards */
    struct channel *quiet = client(&log, "quiet");

    pull.cursor = 3;
    cursor_pull(&log, &quiet, 1, NULL, 6, SIZE_MAX, &pull);
    assert_int_equal(pull.cursor, 6); /* nothing for it up to there */
    pull.cursor = 3;
    cursor_pull(&log, &quiet, 1, NULL, 100, SIZE_MAX, &pull);
    assert_int_equal(pull.cursor, 9); /* never ahead of what there is */
    pull.cursor = 2;
    cursor_pull(&log, NULL, 0, NULL, 100, SIZE_MAX, &pull);
    assert_int_equal(pull.cursor, 9);
    finish(&log);
}

static void test_portions(void **state)
{
    static struct pull pull;
    struct log log;

    (void)state;
    init(&log, &wide);
    for (unsigned i = 0; i < CURSOR_PULL_MAX + 1; i++)
        append(&log, log.all);
    pull_from(&log, &log.all, 1, 0, &pull);
    assert_int_equal(pull.count, CURSOR_PULL_MAX);
    assert_true(pull.more);
    assert_int_equal(pull.cursor, CURSOR_PULL_MAX);
    size_t one = pull.events[0]->size;

    cursor_pull_finish(&pull);
    pull_from(&log, &log.all, 1, 1, &pull);
    assert_int_equal(pull.count, CURSOR_PULL_MAX);
    assert_false(pull.more); /* exactly what fits */
    cursor_pull_finish(&pull);
    pull.cursor = 0;
    cursor_pull(&log, &log.all, 1, NULL, UINT64_MAX, 3 * one, &pull);
    assert_int_equal(pull.count, 3);
    assert_int_equal(pull.bytes, 3 * one);
    assert_true(pull.more);
    assert_int_equal(pull.cursor, 3);
    cursor_pull_finish(&pull);
    cursor_pull(&log, &log.all, 1, NULL, UINT64_MAX, 3 * one - 1, &pull);
    assert_int_equal(pull.count, 2);
    assert_int_equal(pull.cursor, 5);
    cursor_pull_finish(&pull);
    cursor_pull(&log, &log.all, 1, NULL, UINT64_MAX, 0, &pull);
    assert_int_equal(pull.count, 1); /* one event always, however large */
    assert_true(pull.more);
    cursor_pull_finish(&pull);
    finish(&log);
}

/* The events of a pull live on when the log has given them up. */
static void test_references(void **state)
{
    static struct pull pull;
    struct log log;

    (void)state;
    init(&log, &wide);
    struct channel *c = client(&log, "ada");

    append(&log, c);
    pull_from(&log, &c, 1, 0, &pull);
    log_set_policies(&log, &nothing);
    log_retire(&log, c);
    assert_int_equal(pull.events[0]->refs, 1);
    assert_int_equal(event_text(pull.events[0]).p[0], 'i');
    cursor_pull_finish(&pull);
    finish(&log);
}

/* A source that was emptied still says below which cursor the pull would have been another one. */
static void test_prev_of_an_empty_source(void **state)
{
    static struct pull pull;
    const struct log_policies policy = {.base = {.size = 1000, .bytes = 1 << 20, .ttl = 100}};
    struct log log;

    (void)state;
    init(&log, &policy);
    struct channel *ada = client(&log, "ada"), *channels[] = {log.all, ada};

    append(&log, ada);
    uint64_t gone = append(&log, log.all);

    time_now += 200;
    log_sweep(&log);
    ada = client(&log, "ada");
    channels[1] = ada;
    uint64_t next = append(&log, ada);

    pull_from(&log, channels, 2, gone, &pull);
    expect(&pull, 1, &next);
    assert_int_equal(pull.prev, gone);
    cursor_pull_finish(&pull);
    pull_from(&log, channels, 2, gone - 1, &pull);
    assert_true(pull.lost);
    finish(&log);
}

static void test_owed(void **state)
{
    struct log log;

    (void)state;
    init(&log, &wide);
    struct channel *ada = client(&log, "ada");
    const struct channel *both[] = {log.all, ada};

    append_ttl(&log, log.all, 100, UINT64_MAX);
    uint64_t first = log.newest->size;

    append_ttl(&log, ada, 2000, UINT64_MAX);
    uint64_t second = log.newest->size;

    assert_int_equal(cursor_owed(both, 2, 0), first + second);
    assert_int_equal(cursor_owed(both, 2, 1), second);
    assert_int_equal(cursor_owed(both, 1, 1), 0);
    assert_int_equal(cursor_owed(both, 2, 2), 0);
    finish(&log);
}

/* ---- against a plain list ---- */

enum { PUBLISHED_MAX = 20000, CHANNELS = 6 };

struct model {
    struct log log;
    struct rng rng;
    struct channel *channels[CHANNELS];
    uint8_t channel_of[PUBLISHED_MAX + 1]; /* by number */
    uint32_t size_of[PUBLISHED_MAX + 1];
};

/* The highest number of this channel that the log no longer holds. */
static uint64_t model_lost(const struct model *m, unsigned channel)
{
    uint64_t oldest_held = UINT64_MAX, lost = 0;

    for (const struct event *e = m->log.oldest; e; e = e->newer)
        if (e->channel == m->channels[channel] && e->seq < oldest_held)
            oldest_held = e->seq;
    for (uint64_t n = 1; n <= m->log.seq && n < oldest_held; n++)
        if (m->channel_of[n] == channel)
            lost = n;
    return lost;
}

static void model_pull(const struct model *m, unsigned mask, uint64_t cursor, uint64_t horizon,
                       size_t max_bytes, struct pull *want, uint64_t *numbers)
{
    *want = (struct pull){.cursor = cursor};
    for (unsigned i = 0; i < CHANNELS; i++)
        if (mask >> i & 1 && model_lost(m, i) > cursor)
            want->lost = true;
    for (uint64_t n = cursor + 1; !want->lost && n <= m->log.seq && n <= horizon; n++) {
        if (!(mask >> m->channel_of[n] & 1))
            continue;
        if (want->count == CURSOR_PULL_MAX || (want->count > 0 && want->bytes + m->size_of[n] > max_bytes)) {
            want->more = true;
            return;
        }
        numbers[want->count++] = n;
        want->bytes += m->size_of[n];
        want->cursor = n;
    }
    uint64_t end = horizon < m->log.seq ? horizon : m->log.seq;

    if (!want->lost && end > want->cursor)
        want->cursor = end;
}

static void pull_masked(struct model *m, unsigned mask, uint64_t cursor, uint64_t horizon, size_t max_bytes,
                        struct pull *pull)
{
    struct channel *channels[CHANNELS];
    unsigned count = 0;

    for (unsigned i = 0; i < CHANNELS; i++)
        if (mask >> i & 1)
            channels[count++] = m->channels[i];
    pull->cursor = cursor;
    cursor_pull(&m->log, channels, count, NULL, horizon, max_bytes, pull);
}

static bool same(const struct pull *a, const struct pull *b)
{
    bool equal = a->count == b->count && a->cursor == b->cursor && a->more == b->more && a->lost == b->lost;

    for (unsigned i = 0; equal && i < a->count; i++)
        equal = a->events[i] == b->events[i];
    return equal;
}

/* Deliver's shared batch stands on this: from every cursor between prev and the first event the pull is the
 * same; from the one below prev it is not. */
static void check_prev(struct model *m, unsigned mask, uint64_t horizon, size_t max_bytes,
                       const struct pull *pull)
{
    static struct pull other;
    uint64_t first = pull->events[0]->seq;

    assert_true(pull->prev < first);
    for (uint64_t cursor = pull->prev; cursor < first; cursor += 1 + (first - pull->prev) / 5) {
        pull_masked(m, mask, cursor, horizon, max_bytes, &other);
        assert_true(same(&other, pull));
        cursor_pull_finish(&other);
    }
    if (pull->prev == 0)
        return;
    pull_masked(m, mask, pull->prev - 1, horizon, max_bytes, &other);
    assert_false(same(&other, pull));
    cursor_pull_finish(&other);
}

static void check_pull(struct model *m)
{
    static struct pull pull, want;
    uint64_t numbers[CURSOR_PULL_MAX];
    unsigned mask = 1 + rng_below(&m->rng, (1 << CHANNELS) - 1);
    uint64_t back = rng_below(&m->rng, 250), cursor = m->log.seq > back ? m->log.seq - back : 0;
    uint64_t horizon =
        rng_below(&m->rng, 3) ? UINT64_MAX : m->log.seq - rng_below(&m->rng, 5) % (m->log.seq + 1);
    size_t max_bytes = rng_below(&m->rng, 2) ? SIZE_MAX : rng_below(&m->rng, 5000);

    pull_masked(m, mask, cursor, horizon, max_bytes, &pull);
    model_pull(m, mask, cursor, horizon, max_bytes, &want, numbers);
    assert_int_equal(pull.lost, want.lost);
    expect(&pull, want.count, numbers);
    assert_int_equal(pull.bytes, want.bytes);
    assert_int_equal(pull.more, want.more);
    if (!pull.lost)
        assert_int_equal(pull.cursor, want.cursor);
    if (pull.count > 0)
        check_prev(m, mask, horizon, max_bytes, &pull);
    cursor_pull_finish(&pull);
}

static void publish(struct model *m)
{
    unsigned channel = rng_below(&m->rng, CHANNELS);

    append_ttl(&m->log, m->channels[channel], 5 + rng_below(&m->rng, 60), UINT64_MAX);
    m->channel_of[m->log.seq] = (uint8_t)channel;
    m->size_of[m->log.seq] = m->log.newest->size;
}

/* What channels that hold something cost beside their events. */
static uint64_t channels_cost(const struct model *m)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < CHANNELS; i++) {
        const struct channel *c = m->channels[i];

        if (c->ring && c->ring->count > 0)
            bytes += sizeof(*c) + c->key_len + sizeof(*c->ring) + c->ring->cap * sizeof(*c->ring->slots);
    }
    return bytes;
}

static void check_sums(const struct model *m)
{
    uint64_t bytes = channels_cost(m), events = 0, before = 0;

    for (const struct event *e = m->log.oldest; e; e = e->newer) {
        assert_true(e->seq > before);
        before = e->seq;
        bytes += event_footprint(e);
        events++;
    }
    assert_int_equal(m->log.held_bytes, bytes);
    assert_int_equal(m->log.held_events, events);
}

static void run_model(uint64_t seed, const struct log_policies *policies)
{
    static struct model m;

    memset(&m, 0, sizeof(m));
    m.rng.state = seed;
    init(&m.log, policies);
    m.channels[0] = m.log.all;
    for (unsigned i = 1; i < CHANNELS; i++) {
        char key[] = {(char)('a' + i), '\0'};
        m.channels[i] = log_open(&m.log, i % 2 ? CHANNEL_CLIENT : CHANNEL_TOPIC, span_of(key));
        m.channels[i]->subs = 1; /* somebody listens: it stays */
    }
    while (m.log.seq < 3000) {
        unsigned dice = rng_below(&m.rng, 100);

        if (dice < 60) {
            publish(&m);
        } else if (dice < 64) {
            time_now += rng_below(&m.rng, 200);
            log_sweep(&m.log);
        } else {
            check_pull(&m);
        }
        if (dice == 99)
            check_sums(&m);
    }
    for (unsigned i = 1; i < CHANNELS; i++)
        m.channels[i]->subs = 0;
    finish(&m.log);
}

static void test_like_a_list(void **state)
{
    static const struct log_policies policies[] = {
        {.base = {.size = 1000, .bytes = 1 << 20}},
        {.base = {.size = 70, .bytes = 1 << 20}},
        {.base = {.size = 1000, .bytes = 1 << 20}, .total_bytes = 30000},
        {.base = {.size = 1000, .bytes = 1 << 20, .ttl = 1500}},
        {.base = {.size = 0, .bytes = 1024, .ttl = 3000}, .total_bytes = 50000},
    };

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        run_model(i + 1, &policies[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channels),       cmocka_unit_test(test_stalled_in_the_order_of_leaving),
        cmocka_unit_test(test_release),        cmocka_unit_test(test_retire_while_queued),
        cmocka_unit_test(test_forgotten),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_ring_grows),     cmocka_unit_test(test_by_count),
        cmocka_unit_test(test_by_bytes),       cmocka_unit_test(test_live_window),
        cmocka_unit_test(test_by_total),       cmocka_unit_test(test_by_age),
        cmocka_unit_test(test_policy_changes), cmocka_unit_test(test_diagram),
        cmocka_unit_test(test_horizon),        cmocka_unit_test(test_portions),
        cmocka_unit_test(test_references),     cmocka_unit_test(test_prev_of_an_empty_source),
        cmocka_unit_test(test_owed),           cmocka_unit_test(test_like_a_list),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
