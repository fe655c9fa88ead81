/* SPDX-License-Identifier: MIT
 *
 * test_registry - exact counts while everybody comes, goes and is published to; who is told, once; who is
 * found, ended, kept away; and the same from several threads at once.
 */
#include "registry.h"

#include "json.h"
#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a registry in a world of its own ---- */

enum { LOOPS = 3 };

static uint64_t time_now;
static unsigned woken[REGISTRY_LOOPS_MAX];
static bool fail_realloc;

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

/* The linker sends realloc() here: see test/CMakeLists.txt. */
void *__wrap_realloc(void *p, size_t n)
{
    return fail_realloc ? NULL : __real_realloc(p, n);
}

static uint64_t read_time(void *user)
{
    (void)user;
    return time_now;
}

static void wake(void *user, uint32_t loop)
{
    assert_ptr_equal(user, woken);
    woken[loop]++;
}

struct world {
    struct clock clock;
    struct log log;
    struct registry r;
};

static void init(struct world *w)
{
    const struct log_policies policies = {.base = {.size = 1000, .bytes = 1 << 20}};
    struct log_identity id;

    time_now = 1000000;
    memset(woken, 0, sizeof(woken));
    w->clock = (struct clock){.mono = read_time, .wall = read_time};
    assert_int_equal(log_identity_make(&id, &w->clock), 0);
    assert_int_equal(log_init(&w->log, &policies, &id, &w->clock), 0);
    registry_init(&w->r, &w->log, LOOPS, wake, woken);
}

static void finish(struct world *w)
{
    assert_int_equal(w->r.connections, 0);
    assert_int_equal(w->r.clients, 0);
    assert_int_equal(w->r.dashboards, 0);
    assert_int_equal(w->r.topics_listened, 0);
    assert_null(w->r.newest);
    assert_null(w->r.oldest);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(w->r.streams[i], 0);
    registry_finish(&w->r);
    log_finish(&w->log);
}

static struct sub *sub_on(struct sub *s, uint32_t slot, uint8_t loop)
{
    memset(s, 0, sizeof(*s));
    s->slot = slot;
    s->gen = slot + 1000;
    s->loop = loop;
    return s;
}

static struct found found; /* by the last join */

static enum join_result join(struct world *w, struct sub *s, const char *id, unsigned topic_count,
                             const char *const *topics)
{
    struct span spans[1024];

    for (unsigned i = 0; i < topic_count; i++)
        spans[i] = span_of(topics[i]);
    return registry_join(
        &w->r, s, &(struct join){.client_id = span_of(id), .topics = spans, .topic_count = topic_count},
        &found);
}

/* What the sequencer does. */
static int publish_to(struct registry *r, enum channel_kind kind, struct span key, struct event *e,
                      uint64_t ttl, uint32_t self, uint64_t *connections)
{
    struct place place;
    uint64_t wake_mask = 0;

    log_lock(r->log);
    int rc = registry_prepare(r, kind, key, ttl, &place);
    if (rc == 0) {
        log_number(r->log, e, r->log->seq + 1, time_now);
        *connections = registry_commit(r, kind, &place, e, ttl, &wake_mask);
    }
    log_unlock(r->log);
    registry_wake(r, wake_mask, self);
    return rc;
}

static uint64_t publish_from(struct world *w, uint32_t self, enum channel_kind kind, const char *key)
{
    struct json_error error;
    uint64_t connections = 4711;
    struct event *e = event_create(SPAN("e"), SPAN("1"), &error);

    assert_int_equal(publish_to(&w->r, kind, span_of(key), e, UINT64_MAX, self, &connections), 0);
    event_unref(e);
    return connections;
}

static uint64_t publish(struct world *w, enum channel_kind kind, const char *key)
{
    return publish_from(w, REGISTRY_NO_LOOP, kind, key);
}

/* As if it had become too old: what is left then is left of nobody's history. */
static void drop_history(struct world *w)
{
    for (struct event *e = w->log.oldest; e; e = e->newer)
        e->expires = 0;
    log_lock(&w->log);
    log_sweep(&w->log);
    log_unlock(&w->log);
}

/* Who was marked by the last take. */
static struct sub *marked[64];
static unsigned marked_count;

static void mark(void *user, struct sub *s)
{
    (void)user;
    assert_true(marked_count < 64);
    marked[marked_count++] = s;
}

static struct news take(struct world *w, uint32_t loop)
{
    marked_count = 0;
    return registry_take(&w->r, loop, mark, NULL);
}

static bool was_marked(const struct sub *s)
{
    for (unsigned i = 0; i < marked_count; i++)
        if (marked[i] == s)
            return true;
    return false;
}

/* ---- joining, leaving, counting ---- */

static void test_counts(void **state)
{
    struct world w;
    struct sub a, b, c;

    (void)state;
    init(&w);
    assert_int_equal(join(&w, sub_on(&a, 0, 0), "ada", 0, NULL), JOIN_OK);
    assert_int_equal(join(&w, sub_on(&b, 0, 1), "ada", 0, NULL), JOIN_OK);
    assert_int_equal(join(&w, sub_on(&c, 1, 1), "grace", 0, NULL), JOIN_OK);
    assert_int_equal(w.r.connections, 3);
    assert_int_equal(w.r.clients, 2);
    assert_int_equal(w.r.streams[0], 1);
    assert_int_equal(w.r.streams[1], 2);
    assert_int_equal(publish(&w, CHANNEL_CLIENT, "ada"), 2);
    assert_int_equal(publish(&w, CHANNEL_CLIENT, "grace"), 1);
    assert_int_equal(publish(&w, CHANNEL_CLIENT, "nobody"), 0);
    assert_int_equal(publish(&w, CHANNEL_ALL, ""), 3);
    assert_int_equal(publish(&w, CHANNEL_TOPIC, "ada"), 0);
    registry_leave(&w.r, &a);
    registry_leave(&w.r, &a); /* idempotent */
    assert_int_equal(publish(&w, CHANNEL_CLIENT, "ada"), 1);
    registry_leave(&w.r, &b);
    assert_int_equal(w.r.clients, 1);
    assert_int_equal(publish(&w, CHANNEL_CLIENT, "ada"), 0);
    assert_int_equal(w.r.published[CHANNEL_CLIENT], 5);
    assert_int_equal(w.r.published[CHANNEL_ALL], 1);
    assert_int_equal(w.r.published[CHANNEL_TOPIC], 1);
    take(&w, 1);
    registry_leave(&w.r, &c);
    take(&w, 0);
    take(&w, 1);
    drop_history(&w);
    assert_int_equal(w.log.channel_count, 2); /* nothing is left of those who left */
    finish(&w);
}

static void test_cursor_starts_at_the_end(void **state)
{
    struct world w;
    struct sub a, b;

    (void)state;
    init(&w);
    join(&w, sub_on(&a, 0, 0), "ada", 0, NULL);
    assert_int_equal(a.cursor, 0);
    publish(&w, CHANNEL_ALL, "");
    publish(&w, CHANNEL_CLIENT, "nobody"); /* has a number too */
    join(&w, sub_on(&b, 1, 0), "ada", 0, NULL);
    assert_int_equal(b.cursor, 2);
    registry_leave(&w.r, &a);
    registry_leave(&w.r, &b);
    take(&w, 0);
    finish(&w);
}

static void test_names(void **state)
{
    struct world w;
    struct sub a, b;
    struct join join_a = {.client_id = SPAN("ada"), .name = SPAN("Ada")};
    struct join join_b = {.client_id = SPAN("ada")};

    (void)state;
    init(&w);
    registry_join(&w.r, sub_on(&a, 0, 0), &join_a, &found);
    assert_string_equal(a.client->label, "Ada");
    registry_join(&w.r, sub_on(&b, 1, 0), &join_b, &found);
    assert_string_equal(a.client->label, "Ada"); /* an empty name keeps the one it has */
    registry_leave(&w.r, &b);
    join_b.name = SPAN("Countess");
    registry_join(&w.r, sub_on(&b, 1, 0), &join_b, &found);
    assert_string_equal(a.client->label, "Countess");
    registry_leave(&w.r, &a);
    assert_string_equal(b.client->label, "Countess");
    registry_leave(&w.r, &b);
    join_b.name = SPAN("");
    registry_join(&w.r, sub_on(&b, 1, 0), &join_b, &found);
    assert_null(b.client->label); /* who has left entirely begins anew */
    registry_leave(&w.r, &b);
    finish(&w);
}

static void test_limits(void **state)
{
    struct world w;
    struct sub s[5];

    (void)state;
    init(&w);
    for (unsigned i = 0; i < 5; i++)
        sub_on(&s[i], i, 0);
    w.r.max_connections = 3;
    w.r.max_per_client = 2;
    assert_int_equal(join(&w, &s[0], "ada", 0, NULL), JOIN_OK);
    assert_int_equal(join(&w, &s[1], "ada", 0, NULL), JOIN_OK);
    assert_int_equal(join(&w, &s[2], "ada", 0, NULL), JOIN_CLIENT_FULL);
    assert_false(s[2].joined);
    assert_int_equal(registry_join(&w.r, &s[2], &(struct join){.topic_count = 0}, &found),
                     JOIN_OK); /* a dashboard */
    assert_int_equal(w.r.connections, 2);
    assert_int_equal(w.r.dashboards, 1);
    assert_int_equal(join(&w, &s[3], "grace", 0, NULL), JOIN_OK); /* a dashboard takes no client's place */
    assert_int_equal(join(&w, &s[4], "mary", 0, NULL), JOIN_HUB_FULL);
    w.r.dashboards = REGISTRY_DASHBOARDS_MAX;
    assert_int_equal(registry_join(&w.r, &s[4], &(struct join){.topic_count = 0}, &found),
                     JOIN_DASHBOARDS_FULL);
    w.r.dashboards = 1;
    registry_leave(&w.r, &s[2]);
    assert_null(log_find(&w.log, CHANNEL_CLIENT, SPAN("nobody")));
    registry_leave(&w.r, &s[0]);
    assert_int_equal(join(&w, &s[4], "ada", 0, NULL), JOIN_OK);
    w.r.max_connections = w.r.max_per_client = 0; /* none */
    assert_int_equal(join(&w, &s[0], "ada", 0, NULL), JOIN_OK);
    for (unsigned i = 0; i < 5; i++)
        registry_leave(&w.r, &s[i]);
    finish(&w);
}

static void test_bans(void **state)
{
    struct world w;
    struct sub s;

    (void)state;
    init(&w);
    sub_on(&s, 0, 0);
    assert_int_equal(bans_set(&w.r.bans, SPAN("ada"), time_now + 1000, time_now), 0);
    assert_int_equal(join(&w, &s, "ada", 0, NULL), JOIN_BANNED);
    assert_int_equal(join(&w, &s, "adam", 0, NULL), JOIN_OK);
    registry_leave(&w.r, &s);
    time_now += 1000;
    assert_int_equal(join(&w, &s, "ada", 0, NULL), JOIN_OK);
    registry_leave(&w.r, &s);
    finish(&w);
}

/* ---- topics ---- */

static void test_topics(void **state)
{
    static const char *const doubles[] = {"x", "y", "x", "x"};
    static const char *const one[] = {"y"};
    struct channel *channels[CURSOR_SOURCES_MAX];
    struct world w;
    struct sub a, b;

    (void)state;
    init(&w);
    assert_int_equal(join(&w, sub_on(&a, 0, 0), "ada", 4, doubles), JOIN_OK);
    assert_int_equal(join(&w, sub_on(&b, 1, 2), "bob", 1, one), JOIN_OK);
    assert_int_equal(w.r.topics_listened, 3);
    assert_int_equal(publish(&w, CHANNEL_TOPIC, "x"), 1);
    assert_int_equal(publish(&w, CHANNEL_TOPIC, "y"), 2);
    assert_int_equal(publish(&w, CHANNEL_TOPIC, "z"), 0);
    assert_int_equal(registry_channels(&w.r, &a, channels), 4);
    assert_ptr_equal(channels[0], w.log.all);
    assert_ptr_equal(channels[1], a.client);
    take(&w, 0);
    assert_true(was_marked(&a));
    assert_false(was_marked(&b));
    take(&w, 2);
    assert_int_equal(marked_count, 1);
    assert_true(was_marked(&b));
    registry_leave(&w.r, &a);
    assert_non_null(log_find(&w.log, CHANNEL_TOPIC, SPAN("x"))); /* its history is kept */
    assert_int_equal(publish(&w, CHANNEL_TOPIC, "y"), 1);
    registry_leave(&w.r, &b);
    take(&w, 2);
    finish(&w);
}

/* Many subs with many topics leave in any order: every other one is still marked, by swap removal. */
static void test_topic_churn(void **state)
{
    enum { SUBS = 40, TOPICS = 30 };
    static struct sub subs[SUBS];
    static bool has[SUBS][TOPICS], here[SUBS];
    struct rng rng = {9};
    struct world w;

    (void)state;
    init(&w);
    memset(has, 0, sizeof(has));
    for (unsigned step = 0; step < 4000; step++) {
        unsigned i = rng_below(&rng, SUBS), topic = rng_below(&rng, TOPICS), count = 0, listeners = 0;
        char names[TOPICS][8], id[16];
        const char *wanted[TOPICS];

        if (here[i]) {
            registry_leave(&w.r, &subs[i]);
            here[i] = false;
        } else {
            for (unsigned t = 0; t < TOPICS; t++) {
                has[i][t] = rng_below(&rng, 3) == 0;
                snprintf(names[t], sizeof(names[t]), "t%u", t);
                if (has[i][t])
                    wanted[count++] = names[t];
            }
            snprintf(id, sizeof(id), "c%u", i % 7);
            assert_int_equal(join(&w, sub_on(&subs[i], i, (uint8_t)(i % LOOPS)), id, count, wanted), JOIN_OK);
            here[i] = true;
        }
        for (unsigned loop = 0; loop < LOOPS; loop++)
            take(&w, loop);
        snprintf(id, sizeof(id), "t%u", topic);
        for (unsigned k = 0; k < SUBS; k++)
            listeners += here[k] && has[k][topic];
        assert_int_equal(publish(&w, CHANNEL_TOPIC, id), listeners);
        for (unsigned loop = 0; loop < LOOPS; loop++) {
            take(&w, loop);
            for (unsigned k = loop; k < SUBS; k += LOOPS)
                assert_int_equal(was_marked(&subs[k]), here[k] && has[k][topic]);
        }
    }
    for (unsigned i = 0; i < SUBS; i++)
        registry_leave(&w.r, &subs[i]);
    drop_history(&w);
    assert_int_equal(w.log.channel_count, 2);
    memset(here, 0, sizeof(here));
    finish(&w);
}

static void test_thousand_topics(void **state)
{
    static char names[1024][8];
    static const char *wanted[1024];
    static struct channel *channels[CURSOR_SOURCES_MAX];
    struct world w;
    struct sub a, b;

    (void)state;
    init(&w);
    for (unsigned i = 0; i < 1024; i++) {
        snprintf(names[i], sizeof(names[i]), "%u", i);
        wanted[i] = names[i];
    }
    assert_int_equal(join(&w, sub_on(&a, 0, 0), "ada", 1024, wanted), JOIN_OK);
    assert_int_equal(join(&w, sub_on(&b, 1, 0), "bob", 1024, wanted), JOIN_OK);
    assert_int_equal(registry_channels(&w.r, &a, channels), CURSOR_SOURCES_MAX);
    registry_leave(&w.r, &a);
    assert_int_equal(publish(&w, CHANNEL_TOPIC, "1023"), 1);
    registry_leave(&w.r, &b);
    take(&w, 0);
    drop_history(&w);
    assert_int_equal(w.log.channel_count, 2);
    finish(&w);
}

/* ---- telling the loops ---- */

static void test_told_once(void **state)
{
    struct world w;
    struct sub a, b;

    (void)state;
    init(&w);
    join(&w, sub_on(&a, 0, 0), "ada", 0, NULL);
    join(&w, sub_on(&b, 1, 2), "ada", 0, NULL);
    assert_false(registry_has_news(&w.r, 0));
    for (unsigned i = 0; i < 10; i++)
        publish(&w, CHANNEL_CLIENT, "ada");
    publish(&w, CHANNEL_ALL, "");
    assert_int_equal(woken[0], 1); /* once, however many events come before it looks */
    assert_int_equal(woken[1], 0);
    assert_int_equal(woken[2], 1);
    assert_true(registry_has_news(&w.r, 0));
    assert_false(registry_has_news(&w.r, 1));
    struct news news = take(&w, 0);

    assert_int_equal(marked_count, 1);
    assert_ptr_equal(marked[0], &a);
    assert_true(news.all);
    assert_int_equal(news.horizon, 11);
    assert_false(registry_has_news(&w.r, 0));
    assert_true(registry_has_news(&w.r, 2));
    news = take(&w, 0);
    assert_int_equal(marked_count, 0);
    assert_false(news.all);
    publish(&w, CHANNEL_CLIENT, "ada");
    assert_int_equal(woken[0], 2);
    assert_int_equal(woken[2], 1); /* has not looked yet */
    registry_leave(&w.r, &a);
    registry_leave(&w.r, &b);
    take(&w, 0);
    take(&w, 2);
    assert_int_equal(marked_count, 0); /* gone before it looked */
    finish(&w);
}

static void test_self_is_not_woken(void **state)
{
    struct world w;
    struct sub a, b;

    (void)state;
    init(&w);
    join(&w, sub_on(&a, 0, 0), "ada", 0, NULL);
    join(&w, sub_on(&b, 1, 1), "bob", 0, NULL);
    assert_int_equal(publish_from(&w, 0, CHANNEL_ALL, ""), 2);
    assert_int_equal(woken[0], 0);
    assert_int_equal(woken[1], 1);
    assert_true(registry_has_news(&w.r, 0)); /* it looks by itself */
    registry_leave(&w.r, &a);
    registry_leave(&w.r, &b);
    finish(&w);
}

static void test_dashboards(void **state)
{
    struct channel *channels[CURSOR_SOURCES_MAX];
    struct world w;
    struct sub d, a;

    (void)state;
    init(&w);
    assert_int_equal(registry_join(&w.r, sub_on(&d, 0, 1), &(struct join){.topic_count = 0}, &found),
                     JOIN_OK);
    join(&w, sub_on(&a, 1, 0), "ada", 0, NULL);
    assert_int_equal(w.r.connections, 1);
    assert_int_equal(publish(&w, CHANNEL_ALL, ""), 1); /* is not one of those who are broadcast to */
    assert_int_equal(woken[1], 0);
    assert_int_equal(publish(&w, CHANNEL_ADMIN, ""), 1);
    assert_int_equal(woken[1], 1);
    take(&w, 1);
    assert_int_equal(marked_count, 1);
    assert_ptr_equal(marked[0], &d);
    assert_int_equal(registry_channels(&w.r, &d, channels), 1);
    assert_ptr_equal(channels[0], w.log.admin);
    registry_leave(&w.r, &d);
    assert_int_equal(publish(&w, CHANNEL_ADMIN, ""), 0);
    registry_leave(&w.r, &a);
    finish(&w);
}

/* An inbox that cannot grow: everybody of that loop is marked instead, and nobody's news or end is lost. */
static void test_overflow(void **state)
{
    static struct sub subs[40];
    struct sub dashboard, elsewhere;
    struct world w;
    char id[8];

    (void)state;
    init(&w);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(id, sizeof(id), "c%u", i);
        assert_int_equal(join(&w, sub_on(&subs[i], i, 0), id, 0, NULL), JOIN_OK);
    }
    registry_join(&w.r, sub_on(&dashboard, 50, 0), &(struct join){.topic_count = 0}, &found);
    join(&w, sub_on(&elsewhere, 0, 1), "c1", 0, NULL);
    fail_realloc = true;
    assert_int_equal(publish(&w, CHANNEL_CLIENT, "c0"), 1);
    assert_int_equal(publish(&w, CHANNEL_ADMIN, ""), 1);
    uint64_t wakes = 0;

    log_lock(&w.log);
    assert_int_equal(registry_kick_sub(&w.r, &subs[7], &wakes), 1);
    log_unlock(&w.log);
    fail_realloc = false;
    assert_int_equal(woken[0], 1);
    take(&w, 0);
    assert_int_equal(marked_count, 41);
    for (unsigned i = 0; i < 40; i++)
        assert_true(was_marked(&subs[i]));
    assert_true(was_marked(&dashboard));
    assert_true(subs[7].kick);
    take(&w, 0);
    assert_int_equal(marked_count, 0); /* once */
    publish(&w, CHANNEL_CLIENT, "c3");
    take(&w, 0);
    assert_int_equal(marked_count, 1);
    for (unsigned i = 0; i < 40; i++)
        registry_leave(&w.r, &subs[i]);
    registry_leave(&w.r, &dashboard);
    registry_leave(&w.r, &elsewhere);
    finish(&w);
}

/* When a topic's list cannot grow, the join fails as a whole and leaves nothing behind. */
static void test_join_without_memory(void **state)
{
    static const char *const topics[] = {"x", "y"};
    struct world w;
    struct sub a, b;

    (void)state;
    init(&w);
    join(&w, sub_on(&a, 0, 0), "ada", 1, topics);
    fail_realloc = true;
    assert_int_equal(join(&w, sub_on(&b, 1, 0), "bob", 2, topics), JOIN_NO_MEMORY);
    fail_realloc = false;
    assert_false(b.joined);
    assert_null(b.more);
    assert_null(log_find(&w.log, CHANNEL_CLIENT, SPAN("bob")));
    assert_null(log_find(&w.log, CHANNEL_TOPIC, SPAN("y")));
    assert_int_equal(publish(&w, CHANNEL_TOPIC, "x"), 1);
    registry_leave(&w.r, &b);
    registry_leave(&w.r, &a);
    take(&w, 0);
    finish(&w);
}

/* ---- lists ---- */

static void test_present_in_order(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    struct sub s[4], again;
    struct world w;

    (void)state;
    init(&w);
    for (unsigned i = 0; i < 4; i++)
        join(&w, sub_on(&s[i], i, 0), ids[i], 0, NULL);
    join(&w, sub_on(&again, 9, 1), "a", 0, NULL); /* a second connection moves nobody */
    registry_leave(&w.r, &s[1]);
    struct channel *c = registry_next_client(&w.r, NULL);

    assert_ptr_equal(c, s[3].client);
    c = registry_next_client(&w.r, c);
    assert_ptr_equal(c, s[2].client);
    assert_true(s[2].client->arrival < s[3].client->arrival);
    c = registry_next_client(&w.r, c);
    assert_ptr_equal(c, s[0].client);
    assert_null(registry_next_client(&w.r, c));
    join(&w, &s[1], "b", 0, NULL);
    assert_ptr_equal(registry_next_client(&w.r, NULL), s[1].client);
    for (unsigned i = 0; i < 4; i++)
        registry_leave(&w.r, &s[i]);
    assert_ptr_equal(registry_next_client(&w.r, NULL), again.client);
    registry_leave(&w.r, &again);
    assert_null(registry_next_client(&w.r, NULL));
    finish(&w);
}

static void test_connection_ids(void **state)
{
    enum { SUBS = 300 };
    static struct sub subs[SUBS];
    static char ids[SUBS][CONNECTION_ID_LEN + 1];
    struct sub dashboard;
    struct world w;
    char client[8], id[CONNECTION_ID_LEN + 1];

    (void)state;
    init(&w);
    for (unsigned i = 0; i < SUBS; i++) {
        snprintf(client, sizeof(client), "c%u", i % 11);
        join(&w, sub_on(&subs[i], i / LOOPS, (uint8_t)(i % LOOPS)), client, 0, NULL);
        registry_connection_id(&subs[i], ids[i]);
        assert_int_equal(strlen(ids[i]), CONNECTION_ID_LEN);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(ids[k], ids[i]);
    }
    log_lock(&w.log);
    for (unsigned i = 0; i < SUBS; i++)
        assert_ptr_equal(registry_find_connection(&w.r, span_of(ids[i])), &subs[i]);
    memcpy(id, ids[5], sizeof(id));
    id[CONNECTION_ID_LEN - 1] = id[CONNECTION_ID_LEN - 1] == 'z' ? 'y' : 'z';
    assert_null(registry_find_connection(&w.r, span_of(id)));
    assert_null(registry_find_connection(&w.r, SPAN("")));
    assert_null(registry_find_connection(&w.r, SPAN("zzzzzzzzzzzzzzzzzzzz")));
    assert_null(registry_find_connection(&w.r, SPAN("UUUUUUUUUUUUUUUUUUUU")));
    assert_null(registry_find_connection(&w.r, (struct span){ids[5], CONNECTION_ID_LEN - 1}));
    log_unlock(&w.log);
    registry_join(&w.r, sub_on(&dashboard, 4000, 0), &(struct join){.topic_count = 0}, &found);
    registry_connection_id(&dashboard, id);
    log_lock(&w.log);
    assert_null(registry_find_connection(&w.r, span_of(id)));
    log_unlock(&w.log);
    registry_leave(&w.r, &dashboard);
    for (unsigned i = 0; i < SUBS; i++)
        registry_leave(&w.r, &subs[i]);
    log_lock(&w.log);
    assert_null(registry_find_connection(&w.r, span_of(ids[5])));
    log_unlock(&w.log);
    finish(&w);
}

/* Loop, slot and generation all tell, up to the largest. */
static void test_connection_id_parts(void **state)
{
    static const struct {
        uint8_t loop;
        uint32_t slot, gen;
    } cases[] = {
        {0, 0, 1}, {63, 0, 1}, {0, (1u << 26) - 1, 1}, {0, 0, UINT32_MAX}, {63, (1u << 26) - 1, UINT32_MAX}};
    char ids[5][CONNECTION_ID_LEN + 1];
    struct channel c = {.hash = UINT32_MAX};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct sub s = {.loop = cases[i].loop, .slot = cases[i].slot, .gen = cases[i].gen, .client = &c};

        registry_connection_id(&s, ids[i]);
        assert_int_equal(strlen(ids[i]), CONNECTION_ID_LEN);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(ids[k], ids[i]);
    }
}

/* ---- ending ---- */

static void test_kick(void **state)
{
    struct world w;
    struct sub a, b, c;
    uint64_t wakes = 0;

    (void)state;
    init(&w);
    join(&w, sub_on(&a, 0, 0), "ada", 0, NULL);
    join(&w, sub_on(&b, 1, 2), "ada", 0, NULL);
    join(&w, sub_on(&c, 2, 2), "bob", 0, NULL);
    log_lock(&w.log);
    assert_int_equal(registry_kick_client(&w.r, a.client, &wakes), 2);
    log_unlock(&w.log);
    assert_int_equal(wakes, 5);
    registry_wake(&w.r, wakes, REGISTRY_NO_LOOP);
    assert_int_equal(woken[0] + woken[1] + woken[2], 2);
    take(&w, 2);
    assert_int_equal(marked_count, 1);
    assert_true(marked[0] == &b && b.kick && !c.kick);
    take(&w, 0);
    assert_true(marked[0] == &a && a.kick);
    registry_leave(&w.r, &a);
    join(&w, &a, "ada", 0, NULL);
    assert_false(a.kick); /* a new life */
    registry_leave(&w.r, &a);
    registry_leave(&w.r, &b);
    registry_leave(&w.r, &c);
    finish(&w);
}

/* ---- changes ---- */

static void test_changes(void **state)
{
    struct world w;
    struct sub d, a, b;

    (void)state;
    init(&w);
    join(&w, sub_on(&a, 0, 0), "ada", 0, NULL);
    assert_null(registry_take_changes(&w.r)); /* nobody wants to know */
    registry_join(&w.r, sub_on(&d, 1, 0), &(struct join){.topic_count = 0}, &found);
    assert_null(registry_take_changes(&w.r)); /* nothing has changed */
    join(&w, sub_on(&b, 2, 1), "bob", 0, NULL);
    registry_leave(&w.r, &b);
    registry_leave(&w.r, &a);
    struct changes *ch = registry_take_changes(&w.r);

    assert_non_null(ch);
    assert_int_equal(ch->count, 2); /* each once */
    assert_true(span_eq(ch->keys[0], SPAN("bob")));
    assert_true(span_eq(ch->keys[1], SPAN("ada")));
    assert_false(ch->truncated);
    registry_changes_free(ch);
    assert_null(registry_take_changes(&w.r));
    join(&w, &a, "ada", 0, NULL);
    registry_leave(&w.r, &d);
    assert_null(registry_take_changes(&w.r)); /* the last dashboard has left */
    assert_null(w.r.changes);
    registry_leave(&w.r, &a);
    registry_changes_free(NULL);
    finish(&w);
}

static void test_changes_truncated(void **state)
{
    static struct sub subs[REGISTRY_CHANGES_MAX + 1];
    struct world w;
    struct sub d;
    char id[8];

    (void)state;
    init(&w);
    registry_join(&w.r, sub_on(&d, 1000, 0), &(struct join){.topic_count = 0}, &found);
    for (unsigned i = 0; i <= REGISTRY_CHANGES_MAX; i++) {
        snprintf(id, sizeof(id), "c%u", i);
        assert_int_equal(w.r.changes->count, i);
        join(&w, sub_on(&subs[i], i, 0), id, 0, NULL);
    }
    struct changes *ch = registry_take_changes(&w.r);

    assert_true(ch->truncated);
    assert_int_equal(ch->count, REGISTRY_CHANGES_MAX);
    registry_changes_free(ch);
    for (unsigned i = 0; i <= REGISTRY_CHANGES_MAX; i++)
        registry_leave(&w.r, &subs[i]);
    registry_leave(&w.r, &d);
    finish(&w); /* what nobody took is freed */
}

/* ---- threads ---- */

enum { HAMMER_ROUNDS = 3000, HAMMER_SUBS = 8 };

struct hammer {
    struct world *w;
    uint8_t loop;
    uint64_t handed; /* what publishing said */
    uint64_t seen;   /* what arrived at this loop's subs, counted by pulling */
    unsigned marks;
    bool lost;
};

static void count_mark(void *user, struct sub *s)
{
    struct hammer *h = user;

    h->marks++;
    s->marks |= SUB_NEWS;
}

/* All that lies behind the cursor, as a loop would send it. */
static void pull_all(struct hammer *h, struct sub *s)
{
    struct channel *channels[CURSOR_SOURCES_MAX];
    struct pull pull = {.cursor = s->cursor};

    do {
        log_lock(&h->w->log);
        unsigned count = registry_channels(&h->w->r, s, channels);
        cursor_pull(&h->w->log, channels, count, NULL, UINT64_MAX, SIZE_MAX, &pull);
        log_unlock(&h->w->log);
        h->lost |= pull.lost;
        h->seen += pull.count;
        cursor_pull_finish(&pull);
    } while (pull.more);
    s->cursor = pull.cursor;
}

static void publish_any(struct hammer *h, struct rng *rng)
{
    static const enum channel_kind kinds[] = {CHANNEL_ALL, CHANNEL_CLIENT, CHANNEL_TOPIC};
    static const char *const keys[] = {"", "c1", "t1"};
    unsigned which = rng_below(rng, 3);
    struct json_error error;
    uint64_t connections;
    struct event *e = event_create(SPAN("e"), SPAN("1"), &error);

    publish_to(&h->w->r, kinds[which], span_of(keys[which]), e, UINT64_MAX, REGISTRY_NO_LOOP, &connections);
    h->handed += connections;
    event_unref(e);
}

static void *hammer(void *user)
{
    static const char *const ids[] = {"c0", "c1", "c2"};
    static const char *const topics[] = {"t0", "t1"};
    struct hammer *h = user;
    struct rng rng = {h->loop};
    struct sub subs[HAMMER_SUBS];

    for (unsigned i = 0; i < HAMMER_SUBS; i++)
        sub_on(&subs[i], i, h->loop);
    for (unsigned round = 0; round < HAMMER_ROUNDS; round++) {
        struct sub *s = &subs[rng_below(&rng, HAMMER_SUBS)];

        if (!s->joined) {
            if (join(h->w, s, ids[rng_below(&rng, 3)], rng_below(&rng, 3), topics) != JOIN_OK)
                return "join";
        } else if (rng_below(&rng, 4) == 0) {
            pull_all(h, s);
            registry_leave(&h->w->r, s);
        }
        publish_any(h, &rng);
        registry_take(&h->w->r, h->loop, count_mark, h);
        for (unsigned i = 0; i < HAMMER_SUBS; i++)
            if (subs[i].joined && subs[i].marks) {
                subs[i].marks = 0;
                pull_all(h, &subs[i]);
            }
    }
    for (unsigned i = 0; i < HAMMER_SUBS; i++)
        registry_leave(&h->w->r, &subs[i]);
    registry_take(&h->w->r, h->loop, count_mark, h);
    return NULL;
}

static void wake_nobody(void *user, uint32_t loop)
{
    (void)user;
    (void)loop;
}

static void test_threads(void **state)
{
    struct hammer hammers[2];
    pthread_t threads[2];
    struct world w;

    (void)state;
    init(&w);
    w.r.wake = wake_nobody;
    w.log.policies.base.size = 10000;
    for (unsigned i = 0; i < 2; i++) {
        hammers[i] = (struct hammer){.w = &w, .loop = (uint8_t)i};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
        assert_true(hammers[i].marks > 0);
        assert_false(hammers[i].lost);
    }
    uint64_t handed = hammers[0].handed + hammers[1].handed, seen = hammers[0].seen + hammers[1].seen;

    assert_true(seen > 0 && seen <= handed); /* never something that was not handed over */
    assert_int_equal(w.r.published[0] + w.r.published[1] + w.r.published[2], 2 * HAMMER_ROUNDS);
    finish(&w);
}

/* One publisher, one loop: with nobody leaving, each event arrives exactly once. */
struct stream {
    struct world *w;
    struct hammer counter;
    struct sub subs[HAMMER_SUBS];
    atomic_bool done;
};

static void *read_stream(void *user)
{
    struct stream *st = user;
    bool last = false;

    while (!last) {
        last = atomic_load(&st->done); /* one more look after the last event */
        registry_take(&st->w->r, 0, count_mark, &st->counter);
        for (unsigned i = 0; i < HAMMER_SUBS; i++)
            pull_all(&st->counter, &st->subs[i]);
    }
    return NULL;
}

static void test_exactly_once(void **state)
{
    static struct stream st;
    struct hammer publisher;
    struct rng rng = {5};
    struct world w;
    pthread_t thread;
    static const char *const topics[] = {"t1"};

    (void)state;
    init(&w);
    w.r.wake = wake_nobody;
    w.log.policies.base = (struct log_policy){.size = 10000, .bytes = 100 << 20};
    publisher = (struct hammer){.w = &w};
    st.w = st.counter.w = &w;
    for (unsigned i = 0; i < HAMMER_SUBS; i++)
        join(&w, sub_on(&st.subs[i], i, 0), i % 2 ? "c1" : "c2", i % 3 ? 1 : 0, topics);
    assert_int_equal(pthread_create(&thread, NULL, read_stream, &st), 0);
    for (unsigned i = 0; i < 5000; i++)
        publish_any(&publisher, &rng);
    atomic_store(&st.done, true);
    pthread_join(thread, NULL);
    assert_false(st.counter.lost);
    assert_int_equal(st.counter.seen, publisher.handed);
    for (unsigned i = 0; i < HAMMER_SUBS; i++)
        registry_leave(&w.r, &st.subs[i]);
    take(&w, 0);
    finish(&w);
}

static void test_coming_back(void **state)
{
    struct world w;
    struct sub a;
    struct join again = {.client_id = SPAN("ada"), .seek = {.from = SEEK_CURSOR}};

    (void)state;
    init(&w);
    assert_int_equal(join(&w, sub_on(&a, 0, 0), "ada", 0, NULL), JOIN_OK);
    assert_int_equal(found.resume, RESUME_FRESH);
    assert_null(a.more);
    publish(&w, CHANNEL_CLIENT, "ada");
    again.seek.cursor = w.log.seq;
    registry_leave(&w.r, &a);
    take(&w, 0);
    assert_int_equal(publish(&w, CHANNEL_CLIENT, "ada"), 0);
    assert_int_equal(publish(&w, CHANNEL_ALL, ""), 0);
    assert_int_equal(registry_join(&w.r, sub_on(&a, 0, 0), &again, &found), JOIN_OK);
    assert_int_equal(found.resume, RESUME_COMPLETE);
    assert_int_equal(found.replayed, 2);
    assert_int_equal(a.marks, SUB_NEWS | SUB_REPLAY);
    assert_int_equal(atomic_load(&a.cursor), again.seek.cursor);
    registry_end_replay(&w.r, &a);
    assert_int_equal(a.marks, SUB_NEWS);
    assert_null(a.more);
    registry_count_resync(&w.r, &a);
    assert_int_equal(a.more->resyncs, 1);
    registry_leave(&w.r, &a);
    assert_null(a.more);
    finish(&w);
}

static void test_what_is_refused_is_missed(void **state)
{
    struct world w;
    struct sub a;
    struct join again = {.client_id = SPAN("ada"), .seek = {.from = SEEK_CURSOR}};

    (void)state;
    init(&w);
    publish(&w, CHANNEL_CLIENT, "ada"); /* the channel has a ring */
    w.log.policies.base.size = 0;
    again.seek.cursor = w.log.seq;
    publish(&w, CHANNEL_CLIENT, "ada");
    registry_join(&w.r, sub_on(&a, 0, 0), &again, &found);
    assert_int_equal(found.resume, RESUME_INCOMPLETE);
    registry_leave(&w.r, &a);
    again.seek.cursor = w.log.seq;
    publish(&w, CHANNEL_ALL, "");
    registry_join(&w.r, sub_on(&a, 0, 0), &again, &found);
    assert_int_equal(found.resume, RESUME_INCOMPLETE);
    registry_leave(&w.r, &a);
    finish(&w);
}

static void test_a_place_that_is_given_back(void **state)
{
    struct world w;
    struct place place;

    (void)state;
    init(&w);
    log_lock(&w.log);
    assert_int_equal(registry_prepare(&w.r, CHANNEL_CLIENT, SPAN("ada"), UINT64_MAX, &place), 0);
    assert_true(place.kept);
    assert_int_equal(w.log.channel_count, 3);
    registry_cancel(&w.r, &place);
    assert_int_equal(w.log.channel_count, 2);
    assert_int_equal(registry_prepare(&w.r, CHANNEL_CLIENT, SPAN("ada"), 0, &place), 0);
    assert_null(place.channel); /* nobody is there, and nothing is to be kept */
    assert_int_equal(w.log.channel_count, 2);
    log_unlock(&w.log);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coming_back),
        cmocka_unit_test(test_what_is_refused_is_missed),
        cmocka_unit_test(test_a_place_that_is_given_back),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_cursor_starts_at_the_end),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_bans),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_topic_churn),
        cmocka_unit_test(test_thousand_topics),
        cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_self_is_not_woken),
        cmocka_unit_test(test_dashboards),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_join_without_memory),
        cmocka_unit_test(test_present_in_order),
        cmocka_unit_test(test_connection_ids),
        cmocka_unit_test(test_connection_id_parts),
        cmocka_unit_test(test_kick),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_changes_truncated),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_exactly_once),
    };

    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
