/* SPDX-License-Identifier: MIT
 *
 * test_cursor - what readers get, against a plain list of all that was published: many small worlds in which
 * chance publishes, sweeps, changes policies, and lets readers come, pull and go. The list says what each
 * reader is owed; the log tells what it has given up, and has to have a reason. SEED=n begins with world n,
 * WORLDS=n is how many.
 */
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

enum { KEYS = 7, READERS = 3, STEPS = 26, EVENTS = 64, WORLDS = 200000 };

static const struct {
    enum channel_kind kind;
    const char *key;
} keys[KEYS] = {
    {CHANNEL_ALL, ""},      {CHANNEL_CLIENT, "ada"},  {CHANNEL_CLIENT, "bob"}, {CHANNEL_TOPIC, "news"},
    {CHANNEL_TOPIC, "ada"}, {CHANNEL_TOPIC, "v/one"}, {CHANNEL_TOPIC, "w"},
};

struct entry {
    uint64_t ts, expires;
    uint32_t size, footprint;
    uint8_t key;
    bool placed, kept, gone, replaced, either;
};

struct reader {
    bool here, replaying, complete;
    unsigned count, mask;
    uint64_t cursor;
    struct replay replay;
    struct channel *channels[KEYS];
    bool owed[EVENTS];
};

struct world {
    struct log log;
    struct rng rng;
    struct log_policies policies;
    struct log_rule rules[2];
    struct entry list[EVENTS]; /* by number */
    struct reader readers[READERS];
    unsigned reserved[KEYS];
    bool sweeping, retiring, thinning;
    bool trimmed[KEYS]; /* in this sweep, for a rule */
};

static uint64_t time_now;
static struct {
    uint64_t joins, complete, incomplete, replayed, pulled, lost, skipped;
} seen;

static uint64_t read_time(void *user)
{
    (void)user;
    return time_now;
}

static const struct clock test_clock = {.mono = read_time, .wall = read_time};

static unsigned chance(struct world *w, unsigned n)
{
    return rng_below(&w->rng, n);
}

static struct channel *open_key(struct world *w, unsigned key)
{
    return log_open(&w->log, keys[key].kind, span_of(keys[key].key));
}

static const struct log_policy *policy_of(const struct world *w, unsigned key)
{
    return key == 5 ? &w->rules[0].policy : key == 6 ? &w->rules[1].policy : &w->policies.base;
}

static bool is_held(const struct entry *e)
{
    return e->placed && !e->gone;
}

/* ---- what the log gives up ---- */

struct amount {
    uint32_t count;
    uint64_t bytes;
};

static struct amount held_of(const struct world *w, unsigned key, bool kept)
{
    struct amount sum = {0};

    for (unsigned n = 1; n < EVENTS; n++)
        if (w->list[n].key == key && is_held(&w->list[n]) && w->list[n].kept == kept) {
            sum.count++;
            sum.bytes += w->list[n].footprint;
        }
    return sum;
}

/* History and what is only for live readers have a window each. */
static bool has_room(const struct world *w, unsigned key)
{
    const struct log_policy *p = policy_of(w, key);
    uint32_t size = p->latest_only ? 1 : p->size;
    struct amount kept = held_of(w, key, true), live = held_of(w, key, false);
    uint64_t most = p->size == 0 ? 256 * 1024 : p->bytes ? p->bytes : UINT64_MAX;

    return kept.count + live.count < 2 ||
           (kept.count <= size && (kept.count < 2 || p->bytes == 0 || kept.bytes <= p->bytes) &&
            live.count <= (size > 64 ? size : 64) && live.bytes <= most);
}

static bool is_oldest(const struct world *w, uint64_t seq, bool of_key)
{
    for (uint64_t n = 1; n < seq; n++)
        if (is_held(&w->list[n]) && (!of_key || w->list[n].key == w->list[seq].key))
            return false;
    return true;
}

/* A value that is kept: one that only passes replaces nothing. */
static bool has_newer(const struct world *w, uint64_t seq)
{
    for (uint64_t n = w->log.seq; n > seq; n--)
        if (is_held(&w->list[n]) && w->list[n].key == w->list[seq].key)
            return w->list[n].kept;
    return false;
}

/* Never without a reason. */
static void gone(void *user, uint64_t seq)
{
    struct world *w = user;
    struct entry *e = &w->list[seq];
    bool expired = w->sweeping && e->expires <= time_now;
    bool live_only = w->retiring && (!e->kept || policy_of(w, e->key)->size == 0);
    bool too_much = is_oldest(w, seq, true) && !has_room(w, e->key);
    bool too_much_of_all = w->policies.total_bytes > 0 && is_oldest(w, seq, false) &&
                           w->log.held_bytes + e->footprint > w->policies.total_bytes;

    assert_true(is_held(e));
    /* Of many that are only for live readers, behind history, half go at once. */
    w->thinning |= !e->kept && !has_room(w, e->key);
    assert_true(expired || live_only || too_much || too_much_of_all || (w->thinning && !e->kept));
    /* A sweep that finds a topic with a rule that is new to it replaces all but the last, expired or not. */
    e->replaced = (too_much || w->thinning) && (!expired || w->trimmed[e->key]) && !live_only &&
                  policy_of(w, e->key)->latest_only && has_newer(w, seq);
    /* Too much by two measures at once: it may be counted as lost, which only ever says too much. */
    e->either = e->replaced && (too_much_of_all || w->sweeping);
    w->trimmed[e->key] = w->sweeping && e->replaced;
    e->gone = true;
}

static void check_held(struct world *w)
{
    uint64_t n = 1, bytes = 0, slots = 0;

    for (const struct event *e = w->log.oldest; e; e = e->newer, n++) {
        while (n < e->seq)
            assert_false(is_held(&w->list[n++]));
        assert_true(is_held(&w->list[n]));
        bytes += w->list[n].footprint;
    }
    for (; n < EVENTS; n++)
        assert_false(is_held(&w->list[n]));
    for (unsigned i = 0; i < KEYS; i++) {
        const struct channel *c = log_find(&w->log, keys[i].kind, span_of(keys[i].key));

        assert_true(has_room(w, i));
        if (!c || !c->ring || c->ring->count == 0)
            continue;
        slots += c->ring->cap * sizeof(*c->ring->slots);
        bytes += sizeof(*c) + c->key_len + sizeof(*c->ring);
    }
    assert_int_equal(w->log.held_bytes, bytes + slots);
    /* Room that is only promised is made up for by the next event, or sweep. */
    assert_true(w->policies.total_bytes == 0 || bytes <= w->policies.total_bytes || w->log.held_events == 1);
}

/* ---- publishing ---- */

static bool has_listeners(const struct world *w, unsigned key)
{
    for (unsigned i = 0; i < READERS; i++)
        if (w->readers[i].here && w->readers[i].mask >> key & 1)
            return true;
    return false;
}

static struct event *make(struct world *w, struct entry *e)
{
    static const char text[] = "111111111111111111111111111111111111111111111111111111111111";
    struct event *event = event_restore(SPAN("e"), (struct span){text, 1 + chance(w, sizeof(text) - 1)});

    assert_non_null(event);
    time_now += chance(w, 3);
    log_number(&w->log, event, w->log.seq + 1, time_now);
    event->stored = true;
    e->ts = time_now;
    e->size = event->size;
    e->footprint = (uint32_t)event_footprint(event);
    return event;
}

static void reserve(struct world *w, unsigned key)
{
    assert_int_equal(log_reserve(&w->log, open_key(w, key)), 0);
    w->reserved[key]++;
}

static void unreserve(struct world *w, unsigned key)
{
    if (w->reserved[key] == 0)
        return;
    w->reserved[key]--;
    log_unreserve(&w->log, open_key(w, key));
}

static void retire(struct world *w, struct channel *c)
{
    w->retiring = true;
    log_retire(&w->log, c);
    w->retiring = false;
}

static void place(struct world *w, unsigned key, struct event *event, uint64_t ttl)
{
    struct entry *e = &w->list[event->seq];
    struct channel *c = open_key(w, key);
    uint64_t limit = policy_of(w, key)->ttl ? policy_of(w, key)->ttl : UINT64_MAX;

    e->placed = true;
    e->kept = ttl > 0 && policy_of(w, key)->size > 0;
    if (e->kept && ttl < limit)
        limit = ttl;
    e->expires = limit == UINT64_MAX ? limit : time_now + limit;
    if (w->reserved[key] == 0)
        reserve(w, key);
    w->reserved[key]--;
    w->thinning = false;
    log_append(&w->log, c, event, ttl, 0);
    if (!has_listeners(w, key) && !e->kept)
        retire(w, c);
}

static void publish(struct world *w)
{
    unsigned key = chance(w, KEYS);
    uint64_t ttl = chance(w, 5) == 0 ? 0 : chance(w, 3) ? UINT64_MAX : 1 + chance(w, 60);
    struct entry *e = &w->list[w->log.seq + 1];
    struct event *event = make(w, e);

    e->key = (uint8_t)key;
    for (unsigned i = 0; i < READERS; i++)
        w->readers[i].owed[event->seq] = w->readers[i].here && w->readers[i].mask >> key & 1;
    if (has_listeners(w, key) || w->reserved[key] || (ttl > 0 && policy_of(w, key)->size > 0))
        place(w, key, event, ttl);
    else
        log_pass(&w->log, event);
    event_unref(event);
}

static void sweep(struct world *w)
{
    w->sweeping = true;
    memset(w->trimmed, 0, sizeof(w->trimmed));
    log_sweep(&w->log);
    w->sweeping = false;
    for (uint64_t n = 1; n <= w->log.seq; n++)
        assert_false(is_held(&w->list[n]) && w->list[n].expires <= time_now);
}

/* ---- readers ---- */

static void leave(struct world *w, struct reader *r)
{
    r->here = false;
    for (unsigned i = 0; i < r->count; i++) {
        struct channel *c = r->channels[i];

        if (c != w->log.all && --c->subs == 0)
            retire(w, c);
    }
    memset(r, 0, sizeof(*r));
}

/* Is it history that can be given, and if not, is it history that is missing? */
static bool is_fresh(const struct reader *r, const struct entry *e)
{
    return r->mask >> e->key & 1 && is_held(e) && e->kept && e->expires > time_now;
}

static bool is_missing(const struct reader *r, const struct entry *e)
{
    return r->mask >> e->key & 1 && e->placed && e->kept && !e->replaced &&
           (e->gone || e->expires <= time_now);
}

static bool misses_nothing(const struct world *w, const struct reader *r, const struct seek *seek)
{
    if (seek->from != SEEK_CURSOR || seek->cursor > w->log.seq)
        return false;
    for (uint64_t n = seek->cursor + 1; n <= w->log.seq; n++)
        if (is_missing(r, &w->list[n]))
            return false;
    return true;
}

static bool is_asked(const struct world *w, const struct reader *r, const struct seek *seek,
                     const struct entry *e, uint64_t before)
{
    bool asked = seek->last > 0 || seek->since > 0;

    if (seek->from != SEEK_FRESH)
        return !r->complete || e > &w->list[seek->cursor];
    if (!asked)
        return policy_of(w, e->key)->latest_only;
    return (seek->last == 0 || before < seek->last) && e->ts >= seek->since;
}

/* Marks what the reader is owed, from the newest backwards. */
static void owe(const struct world *w, struct reader *r, const struct seek *seek, uint64_t *count,
                uint64_t *oldest)
{
    uint64_t before = 0;

    *count = 0;
    *oldest = 0;
    for (uint64_t n = w->log.seq; n > 0; n--) {
        if (!is_fresh(r, &w->list[n]))
            continue;
        r->owed[n] = is_asked(w, r, seek, &w->list[n], before++);
        *count += r->owed[n];
        if (r->owed[n])
            *oldest = n;
    }
}

static void check_found(const struct world *w, struct reader *r, const struct seek *seek,
                        const struct found *found)
{
    uint64_t count, oldest;

    r->complete = misses_nothing(w, r, seek);
    owe(w, r, seek, &count, &oldest);
    assert_int_equal(found->resume, seek->from == SEEK_FRESH ? RESUME_FRESH
                                    : r->complete            ? RESUME_COMPLETE
                                                             : RESUME_INCOMPLETE);
    assert_int_equal(found->replayed, count);
    assert_int_equal(found->cursor, r->complete ? seek->cursor : count > 0 ? oldest - 1 : w->log.seq);
    assert_int_equal(found->replay.until, found->cursor < w->log.seq ? w->log.seq : 0);
    seen.joins++;
    seen.complete += found->resume == RESUME_COMPLETE;
    seen.incomplete += found->resume == RESUME_INCOMPLETE;
    seen.replayed += count;
}

static struct seek any_seek(struct world *w)
{
    struct seek s = {.from = SEEK_FRESH};
    unsigned dice = chance(w, 10);

    if (dice < 5)
        s = (struct seek){.from = SEEK_CURSOR, .cursor = chance(w, (unsigned)w->log.seq + 2)};
    else if (dice == 5)
        s.from = SEEK_UNKNOWN;
    if (dice == 6 || dice == 8)
        s.last = 1 + chance(w, 6);
    if (dice == 7 || dice == 8)
        s.since = time_now - chance(w, 30);
    return s;
}

static void join(struct world *w, struct reader *r)
{
    struct seek seek = any_seek(w);
    struct found found;

    r->here = true;
    r->mask = (1 + chance(w, (1 << KEYS) - 1));
    for (unsigned i = 0; i < KEYS; i++)
        if (r->mask >> i & 1) {
            r->channels[r->count] = open_key(w, i);
            r->channels[r->count++]->subs += i > 0;
        }
    cursor_seek(&w->log, r->channels, r->count, &seek, &found);
    check_found(w, r, &seek, &found);
    r->cursor = found.cursor;
    r->replay = found.replay;
    r->replaying = found.replay.until > 0;
}

/* Something that it is owed is gone. *must: it has not been told about that before. */
static bool is_short(const struct world *w, const struct reader *r, bool *must)
{
    bool lost = false;

    *must = false;
    for (uint64_t n = r->cursor + 1; n <= w->log.seq; n++) {
        const struct entry *e = &w->list[n];

        if (!r->owed[n] || !e->gone || (e->replaced && !e->either))
            continue;
        lost = true;
        if (e->either)
            continue;
        *must |= r->complete || !r->replaying || n > r->replay.until || n > r->replay.floor;
    }
    return lost;
}

static void check_pulled(const struct world *w, const struct reader *r, uint64_t horizon, size_t max_bytes,
                         const struct pull *pull)
{
    uint64_t n = r->cursor + 1, end = horizon < w->log.seq ? horizon : w->log.seq;
    unsigned count = 0;
    size_t bytes = 0;
    bool more = false;

    for (; n <= end && !more; n++) {
        if (!r->owed[n] || w->list[n].gone)
            continue;
        more = count == CURSOR_PULL_MAX || (count > 0 && bytes + w->list[n].size > max_bytes);
        if (more)
            break;
        assert_true(count < pull->count);
        assert_int_equal(pull->events[count++]->seq, n);
        bytes += w->list[n].size;
    }
    assert_int_equal(pull->count, count);
    assert_int_equal(pull->bytes, bytes);
    assert_int_equal(pull->more, more);
    assert_int_equal(pull->cursor, more ? pull->events[count - 1]->seq : end > r->cursor ? end : r->cursor);
}

static void check_owed(const struct world *w, const struct reader *r)
{
    const struct channel *const *channels = (const struct channel *const *)r->channels;
    uint64_t events = 0, bytes = 0;

    for (uint64_t n = r->cursor + 1; n <= w->log.seq; n++)
        if (is_held(&w->list[n]) && r->mask >> w->list[n].key & 1) {
            events++;
            bytes += w->list[n].size;
        }
    assert_int_equal(cursor_owed_events(channels, r->count, r->cursor), events);
    assert_true(cursor_owed(channels, r->count, r->cursor) >= bytes);
    assert_int_equal(cursor_owed(channels, r->count, r->cursor) > 0, events > 0);
}

static void pull(struct world *w, struct reader *r)
{
    struct pull p = {.cursor = r->cursor};
    uint64_t horizon = chance(w, 4) ? UINT64_MAX : chance(w, (unsigned)w->log.seq + 1);
    size_t max_bytes = chance(w, 4) ? chance(w, 600) : SIZE_MAX;
    bool must, may = is_short(w, r, &must);

    check_owed(w, r);
    cursor_pull(&w->log, r->channels, r->count, r->replaying ? &r->replay : NULL, horizon, max_bytes, &p);
    assert_true(!must || p.lost);
    assert_true(may || !p.lost);
    if (p.lost) {
        assert_int_equal(p.count, 0);
        memset(r->owed, 0, sizeof(r->owed)); /* it reloads its state, and goes on from here */
        p.cursor = w->log.seq;
        r->replaying = false;
        seen.lost++;
    } else {
        check_pulled(w, r, horizon, max_bytes, &p);
        seen.pulled += p.count;
        seen.skipped += may;
    }
    r->cursor = p.cursor;
    r->replaying = r->replaying && r->cursor < r->replay.until;
    cursor_pull_finish(&p);
}

/* ---- the world ---- */

/* Two topics have rules: one keeps its latest value, the other does so at times. */
static void any_policies(struct world *w)
{
    static const uint32_t sizes[] = {0, 1, 2, 3, 5, 100}, bytes[] = {0, 0, 300, 900},
                          ttls[] = {0, 10, 40, 200};
    static const uint64_t totals[] = {0, 0, 1500, 4000};
    bool latest = chance(w, 2);

    w->policies.base =
        (struct log_policy){sizes[chance(w, 6)], bytes[chance(w, 4)], ttls[chance(w, 4)], false};
    w->policies.total_bytes = totals[chance(w, 4)];
    w->rules[0] = (struct log_rule){SPAN("v/"), true, {1, bytes[chance(w, 4)], ttls[chance(w, 4)], true}};
    w->rules[1] = (struct log_rule){
        SPAN("w"), false, {latest ? 1 : sizes[chance(w, 6)], 0, ttls[chance(w, 4)], latest}};
    w->policies.rules = w->rules;
    w->policies.rule_count = 2;
}

/* Who is being given the latest values goes: which topics have one is another question now. */
static void change_policies(struct world *w)
{
    for (unsigned i = 0; i < READERS; i++)
        if (w->readers[i].here && w->readers[i].replaying && w->readers[i].replay.latest_only)
            leave(w, &w->readers[i]);
    any_policies(w);
    log_set_policies(&w->log, &w->policies);
    sweep(w);
}

/* Two of the keys share a mark: what one has missed would count for the other. */
static bool has_collision(struct world *w)
{
    uint32_t slots[KEYS];

    for (unsigned i = 0; i < KEYS; i++) {
        struct channel *c = open_key(w, i);

        slots[i] = c->hash % LOG_FORGOTTEN;
        log_release(&w->log, c);
        for (unsigned k = 0; k < i; k++)
            if (slots[k] == slots[i])
                return true;
    }
    return false;
}

static void begin(struct world *w, uint64_t seed)
{
    struct log_identity id = {.epoch = "0123456789a"};

    memset(w, 0, sizeof(*w));
    w->rng.state = seed;
    time_now = 1000;
    any_policies(w);
    for (;;) {
        id.seeds[0] = rng_next(&w->rng);
        assert_int_equal(log_init(&w->log, &w->policies, &id, &test_clock), 0);
        if (!has_collision(w))
            break;
        log_finish(&w->log);
    }
    w->log.watch = (struct log_watch){.gone = gone, .user = w};
}

static void step(struct world *w)
{
    struct reader *r = &w->readers[chance(w, READERS)];
    unsigned dice = chance(w, 100);

    if (dice < 50)
        publish(w);
    else if (dice < 58) {
        time_now += chance(w, 25);
        if (chance(w, 3))
            sweep(w);
    } else if (dice < 60)
        change_policies(w);
    else if (dice < 63)
        reserve(w, chance(w, KEYS));
    else if (dice < 66)
        unreserve(w, chance(w, KEYS));
    else if (!r->here)
        join(w, r);
    else if (dice < 70)
        leave(w, r);
    else
        pull(w, r);
}

/* Everybody sees the rest; when all is too old nothing is left. */
static void end(struct world *w)
{
    for (unsigned i = 0; i < READERS; i++)
        for (unsigned n = 0; w->readers[i].here && n < 3; n++)
            pull(w, &w->readers[i]);
    for (unsigned i = 0; i < READERS; i++)
        if (w->readers[i].here)
            leave(w, &w->readers[i]);
    for (unsigned i = 0; i < KEYS; i++)
        while (w->reserved[i] > 0)
            unreserve(w, i);
    check_held(w);
    time_now += 1000;
    sweep(w);
    check_held(w);
    bool forever = false;

    for (uint64_t n = 1; n <= w->log.seq; n++)
        forever |= is_held(&w->list[n]);
    if (!forever) {
        assert_int_equal(w->log.held_bytes, 0);
        assert_int_equal(w->log.channel_count, 2);
    }
    log_finish(&w->log);
}

/* ---- by hand ---- */

static uint64_t add(struct world *w, unsigned key, uint64_t ttl)
{
    struct entry e;
    struct event *event = make(w, &e);
    uint64_t seq = event->seq;
    struct channel *c = open_key(w, key);

    assert_int_equal(log_reserve(&w->log, c), 0);
    log_append(&w->log, c, event, ttl, 0);
    event_unref(event);
    return seq;
}

static struct {
    unsigned gone, marked;
    uint32_t slot;
    uint64_t seq, mark;
} told;

static void tell_gone(void *user, uint64_t seq)
{
    assert_ptr_equal(user, &told);
    told.gone++;
    told.seq = seq;
}

static void tell_marked(void *user, uint32_t slot, uint64_t seq)
{
    assert_ptr_equal(user, &told);
    told.marked++;
    told.slot = slot;
    told.mark = seq;
}

static struct world *begin_plain(void)
{
    static struct world w;

    begin(&w, 4711);
    w.policies = (struct log_policies){.base = {.size = 100}};
    log_set_policies(&w.log, &w.policies);
    memset(&told, 0, sizeof(told));
    w.log.watch = (struct log_watch){tell_gone, tell_marked, &told};
    return &w;
}

static void test_reservation(void **state)
{
    struct world *w = begin_plain();
    struct channel *c = open_key(w, 1);

    (void)state;
    assert_int_equal(log_reserve(&w->log, c), 0);
    assert_int_equal(log_reserve(&w->log, c), 0);
    log_release(&w->log, c); /* it stays */
    assert_ptr_equal(log_find(&w->log, CHANNEL_CLIENT, SPAN("ada")), c);
    assert_int_equal(w->log.held_bytes, 0);
    log_unreserve(&w->log, c);
    assert_ptr_equal(log_find(&w->log, CHANNEL_CLIENT, SPAN("ada")), c);
    log_unreserve(&w->log, c);
    assert_null(log_find(&w->log, CHANNEL_CLIENT, SPAN("ada")));
    add(w, 1, 5);
    c = open_key(w, 1);
    uint64_t held = w->log.held_bytes;

    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(log_reserve(&w->log, c), 0);
    assert_int_equal(w->log.held_bytes, held + 12 * sizeof(*c->ring->slots)); /* it grew from 4 to 16 */
    for (unsigned i = 0; i < 7; i++)
        log_unreserve(&w->log, c);
    time_now += 10;
    log_sweep(&w->log); /* empty, with room for one */
    assert_int_equal(w->log.held_bytes, 0);
    assert_ptr_equal(log_find(&w->log, CHANNEL_CLIENT, SPAN("ada")), c);
    assert_true(c->ring->cap > 0);
    log_unreserve(&w->log, c);
    assert_int_equal(w->log.channel_count, 2);
    log_finish(&w->log);
}

static void test_watch(void **state)
{
    struct world *w = begin_plain();

    (void)state;
    add(w, 1, UINT64_MAX);
    uint64_t middle = add(w, 1, 5), last = add(w, 1, 50);

    time_now += 10;
    log_sweep(&w->log);
    assert_int_equal(told.gone, 1);
    assert_int_equal(told.seq, middle);
    assert_int_equal(told.marked, 0); /* what is held after it says that something was there */
    struct channel *c = open_key(w, 1);

    assert_int_equal(log_missed(&w->log, c), middle);
    assert_int_equal(log_last_kept(&w->log, c), last);
    time_now += 50;
    log_sweep(&w->log);
    assert_int_equal(told.seq, last);
    assert_int_equal(told.marked, 1);
    assert_int_equal(told.slot, c->hash % LOG_FORGOTTEN);
    assert_int_equal(told.mark, last);
    assert_int_equal(log_last_kept(&w->log, c), last);
    log_finish(&w->log);
}

/* Policies that follow a rule, and no rule, and another rule. */
static void test_rules(void **state)
{
    struct world *w = begin_plain();
    struct channel *v = open_key(w, 5), *other = open_key(w, 3);
    const struct log_rule rules[] = {{SPAN("v/"), true, {.size = 2}}, {SPAN("news"), false, {.size = 3}}};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        add(w, 5, UINT64_MAX);
        add(w, 3, UINT64_MAX);
    }
    w->policies.rules = rules;
    w->policies.rule_count = 2;
    log_set_policies(&w->log, &w->policies);
    assert_int_equal(log_policy_of(&w->log, v)->size, 2);
    assert_int_equal(v->ring->count, 5);
    log_sweep(&w->log);
    assert_int_equal(v->ring->count, 2);
    assert_int_equal(other->ring->count, 3);
    assert_true(log_keeps(&w->log, v, 1));
    assert_false(log_keeps(&w->log, v, 0));
    w->policies.rule_count = 0;
    log_set_policies(&w->log, &w->policies);
    assert_int_equal(log_policy_of(&w->log, v)->size, 100);
    log_finish(&w->log);
}

/* Two clients share a mark: a channel that holds no ring may be told too much, one that has a ring is not. */
static void test_shared_mark(void **state)
{
    struct world *w = begin_plain();
    struct channel *ada = open_key(w, 1), *bob = open_key(w, 2);
    const struct seek seek = {.from = SEEK_CURSOR, .cursor = 1};
    struct found found;

    (void)state;
    add(w, 1, UINT64_MAX);
    add(w, 0, UINT64_MAX);
    log_forget(&w->log, ada->hash % LOG_FORGOTTEN, 2);
    log_forget(&w->log, bob->hash % LOG_FORGOTTEN, 2);
    cursor_seek(&w->log, &ada, 1, &seek, &found);
    assert_int_equal(found.resume, RESUME_COMPLETE);
    cursor_seek(&w->log, &bob, 1, &seek, &found);
    assert_int_equal(found.resume, RESUME_INCOMPLETE);
    log_finish(&w->log);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t world_seed; /* of the world that is being looked at */

static void test_like_a_list(void **state)
{
    static struct world w;
    uint64_t first = from_environment("SEED", 1), worlds = from_environment("WORLDS", WORLDS);

    (void)state;
    memset(&seen, 0, sizeof(seen));
    for (world_seed = first; world_seed < first + worlds; world_seed++) {
        begin(&w, world_seed);
        for (unsigned i = 0; i < STEPS; i++) {
            step(&w);
            if (i % 4 == 0)
                check_held(&w);
        }
        end(&w);
    }
    world_seed = 0;
    print_message(
        "joins %lu (complete %lu, incomplete %lu), replayed %lu, pulled %lu, lost %lu, skipped %lu\n",
        seen.joins, seen.complete, seen.incomplete, seen.replayed, seen.pulled, seen.lost, seen.skipped);
    if (worlds >= WORLDS)
        assert_true(seen.complete > 10000 && seen.incomplete > 10000 && seen.lost > 10000);
}

static int tell_seed(void **state)
{
    (void)state;
    if (world_seed > 0)
        print_error("world of SEED=%lu\n", world_seed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reservation),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_shared_mark),
        cmocka_unit_test_teardown(test_like_a_list, tell_seed),
    };

    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
