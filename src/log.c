/* SPDX-License-Identifier: MIT
 *
 * log - see log.h. A channel's events are a ring of pointers that grows by doubling; all held events are also
 * linked in the order of their numbers, which is the order of their age, so that giving up the oldest of the
 * hub is O(1): it is always the oldest of its own ring too.
 *
 * What this room does not do: it knows nobody who reads, and it never sends anything.
 */
#include "log.h"

#include "ring.h"
#include "rng.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Live readers need a window even where no history is wanted. */
#define LIVE_EVENTS 64
#define LIVE_BYTES  (256 * 1024)
#define TABLE_MIN   64
#define SWEEP_MIN   4096

/* What a channel that holds events costs beside them. */
static uint64_t channel_cost(const struct channel *c)
{
    return sizeof(*c) + c->key_len + sizeof(*c->ring);
}

/* ---- the table of channels ---- */

static uint32_t hash_key(const struct log *log, enum channel_kind kind, struct span key)
{
    return (uint32_t)text_hash(key.p, key.len, log->seed + kind);
}

static struct channel *lookup(const struct log *log, enum channel_kind kind, struct span key, uint32_t hash)
{
    struct channel *c = log->table[hash & (log->table_size - 1)];
    while (c && !(c->hash == hash && c->kind == kind && c->key_len == key.len &&
                  memcmp(c->key, key.p, key.len) == 0))
        c = c->bucket;
    return c;
}

struct channel *log_find(const struct log *log, enum channel_kind kind, struct span key)
{
    return lookup(log, kind, key, hash_key(log, kind, key));
}

/* A table that could not grow (or shrink) goes on with longer chains. */
static void resize_table(struct log *log, uint32_t size)
{
    struct channel **table = calloc(size, sizeof(*table));
    if (!table)
        return;
    for (uint32_t i = 0; i < log->table_size; i++)
        for (struct channel *c = log->table[i], *next; c; c = next) {
            next = c->bucket;
            c->bucket = table[c->hash & (size - 1)];
            table[c->hash & (size - 1)] = c;
        }
    free(log->table);
    log->table = table;
    log->table_size = size;
}

static struct channel *make_channel(enum channel_kind kind, struct span key, uint32_t hash)
{
    struct channel *c = calloc(1, offsetof(struct channel, key) + key.len);
    if (!c)
        return NULL;
    c->kind = kind;
    c->hash = hash;
    c->key_len = (uint16_t)key.len;
    memcpy(c->key, key.p, key.len);
    return c;
}

static uint8_t find_rule(const struct log *log, const struct channel *c)
{
    struct span key = {c->key, c->key_len};
    for (uint32_t i = 0; c->kind == CHANNEL_TOPIC && i < log->policies.rule_count; i++) {
        const struct log_rule *rule = &log->policies.rules[i];
        if (rule->prefix ? span_starts(key, rule->topic) : span_eq(key, rule->topic))
            return (uint8_t)(i + 1);
    }
    return 0;
}

const struct log_policy *log_policy_of(const struct log *log, const struct channel *c)
{
    return c->rule ? &log->policies.rules[c->rule - 1].policy : &log->policies.base;
}

struct channel *log_open(struct log *log, enum channel_kind kind, struct span key)
{
    uint32_t hash = hash_key(log, kind, key);
    struct channel *c = lookup(log, kind, key, hash);
    if (c)
        return c;
    c = make_channel(kind, key, hash);
    if (!c)
        return NULL;
    c->rule = find_rule(log, c);
    if (log->channel_count >= log->table_size * 2)
        resize_table(log, log->table_size * 2);
    struct channel **bucket = &log->table[hash & (log->table_size - 1)];
    c->bucket = *bucket;
    *bucket = c;
    log->channel_count++;
    return c;
}

static void free_channel(struct channel *c)
{
    if (c->ring)
        free(c->ring->slots);
    free(c->ring);
    free(c->label);
    if (c->kind == CHANNEL_TOPIC || c->kind == CHANNEL_ADMIN)
        free(c->topic.loops);
    free(c);
}

static bool is_in_use(const struct log *log, const struct channel *c)
{
    return c->subs > 0 || c->queued || (c->ring && c->ring->count + c->ring->reserved > 0) || c == log->all ||
           c == log->admin;
}

void log_release(struct log *log, struct channel *c)
{
    if (is_in_use(log, c))
        return;
    struct channel **at = &log->table[c->hash & (log->table_size - 1)];
    while (*at != c)
        at = &(*at)->bucket;
    *at = c->bucket;
    log->channel_count--;
    free_channel(c);
    if (log->table_size > TABLE_MIN && log->channel_count < log->table_size / 4)
        resize_table(log, log->table_size / 2);
}

struct channel *log_chain(const struct log *log, uint32_t hash)
{
    return log->table[hash & (log->table_size - 1)];
}

/* ---- what is kept ---- */

static void unlink_by_age(struct log *log, struct event *e)
{
    if (log->sweep == e)
        log->sweep = e->newer;
    *(e->older ? &e->older->newer : &log->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &log->newest) = e->older;
    log->held_bytes -= event_footprint(e);
    log->held_events--;
}

static void link_newest(struct log *log, struct event *e)
{
    e->newer = NULL;
    e->older = log->newest;
    *(log->newest ? &log->newest->newer : &log->oldest) = e;
    log->newest = e;
    log->held_bytes += event_footprint(e);
    log->held_events++;
}

void log_forget(struct log *log, uint32_t slot, uint64_t seq)
{
    if (slot < LOG_FORGOTTEN && seq > log->forgotten[slot])
        log->forgotten[slot] = seq;
}

/* Whoever looks later, after the channel was freed or the hub restarted, finds it here: what is held says
 * what came before it, and nothing of what came last and is gone. */
static void raise_mark(struct log *log, uint32_t slot, uint64_t seq)
{
    if (seq <= log->forgotten[slot])
        return;
    log->forgotten[slot] = seq;
    if (log->watch.marked)
        log->watch.marked(log->watch.user, slot, seq);
}

static void emptied(struct log *log, struct channel *c)
{
    struct ring *r = c->ring;
    log->held_bytes -= channel_cost(c) + r->cap * sizeof(*r->slots);
    if (r->reserved == 0)
        ring_shrink(r);
}

/* Its place in the log's own queue is free by then. */
static void link_stalled(struct log *log, struct event *e)
{
    e->newer = NULL;
    e->older = log->stalled_newest;
    *(e->older ? &e->older->newer : &log->stalled_oldest) = e;
    log->stalled_newest = e;
    log->stalled_bytes += event_footprint(e);
}

static void unlink_stalled(struct log *log, struct event *e)
{
    *(e->older ? &e->older->newer : &log->stalled_oldest) = e->newer;
    *(e->newer ? &e->newer->older : &log->stalled_newest) = e->older;
    log->stalled_bytes -= event_footprint(e);
}

/* The caller's reference is the log's own. */
static void evict(struct log *log, struct channel *c, uint32_t i, bool replaced)
{
    struct ring *r = c->ring;
    struct event *e = ring_at(r, i);
    ring_remove(r, i);
    if (!replaced && e->seq > r->lost)
        r->lost = e->seq;
    if (!replaced && e->kept && e->seq > r->missed)
        r->missed = e->seq;
    unlink_by_age(log, e);
    log->evicted++;
    if (e->stored && log->watch.gone)
        log->watch.gone(log->watch.user, e->seq);
    e->channel = NULL;
    if (e->stalls > 0)
        link_stalled(log, e);
    event_unref(e);
    if (r->count == 0 || r->missed == r->kept)
        raise_mark(log, log_slot(c), r->missed);
    if (r->count == 0)
        emptied(log, c);
}

void log_stall(struct log *log, struct event *e)
{
    log_lock(log);
    if (e->stalls++ == 0 && !e->channel)
        link_stalled(log, e);
    log_unlock(log);
}

void log_unstall(struct log *log, struct event *e)
{
    log_lock(log);
    if (--e->stalls == 0 && !e->channel)
        unlink_stalled(log, e);
    log_unlock(log);
}

uint64_t log_find_stalled(const struct log *log, uint64_t max)
{
    uint64_t left = log->stalled_bytes, seq = 0;
    if (left <= max)
        return 0;
    max /= 2; /* not for each single event anew */
    for (const struct event *e = log->stalled_oldest; e && left > max; e = e->newer) {
        left -= event_footprint(e);
        seq = e->seq > seq ? e->seq : seq;
    }
    return seq;
}

static bool has_too_much_history(const struct ring *r, const struct log_policy *p)
{
    uint32_t size = p->latest_only ? 1 : p->size;
    uint64_t bytes = p->bytes > 0 ? p->bytes : UINT64_MAX;
    uint32_t kept = r->count - r->live;
    return kept > size || (kept > 1 && r->bytes - r->live_bytes > bytes);
}

/* What is not for history has a window of its own, so that it displaces nothing that is. */
static bool has_too_much_live(const struct ring *r, const struct log_policy *p)
{
    uint32_t size = p->size > LIVE_EVENTS ? p->size : LIVE_EVENTS;
    uint64_t bytes = p->size == 0 ? LIVE_BYTES : p->bytes > 0 ? p->bytes : UINT64_MAX;
    return r->live > size || r->live_bytes > bytes;
}

/* Half of it goes at once where history stands before it: the walk is then paid for by many events. */
static void thin_live(struct log *log, struct channel *c, const struct log_policy *p, bool replaced)
{
    struct ring *r = c->ring;
    uint32_t half = r->live / 2;
    for (uint32_t i = 0; i + 1 < r->count && (r->live > half || has_too_much_live(r, p));) {
        if (ring_at(r, i)->kept)
            i++;
        else
            evict(log, c, i, replaced);
    }
}

/* The newest event of a channel is never given up for size: live readers are about to be sent it. What stands
 * before an event of history that goes is older than that, and goes with it. */
static void trim_channel(struct log *log, struct channel *c)
{
    const struct log_policy *p = log_policy_of(log, c);
    struct ring *r = c->ring;
    bool replaced = p->latest_only && ring_at(r, r->count - 1)->kept;
    while (r->count > 1 && has_too_much_history(r, p))
        evict(log, c, 0, replaced);
    while (r->count > 1 && has_too_much_live(r, p) && !ring_at(r, 0)->kept)
        evict(log, c, 0, replaced);
    if (r->count > 1 && has_too_much_live(r, p))
        thin_live(log, c, p, replaced);
}

/* The oldest event of all is the first of its own ring: a channel that holds anything is never freed. */
static void evict_oldest(struct log *log)
{
    struct channel *c = log->oldest->channel; // NOLINT(clang-analyzer-core.NullDereference)
    evict(log, c, 0, false);                  // NOLINT(clang-analyzer-unix.Malloc)
    log_release(log, c);
}

void log_retire(struct log *log, struct channel *c)
{
    if (c->subs > 0 || c == log->all || c == log->admin)
        return;
    bool keeps = log_policy_of(log, c)->size > 0;
    for (uint32_t i = c->ring ? c->ring->count : 0; i > 0 && (!keeps || c->ring->live > 0); i--)
        if (!keeps || !ring_at(c->ring, i - 1)->kept)
            evict(log, c, i - 1, false);
    log_release(log, c);
}

static void trim_hub(struct log *log)
{
    while (log->policies.total_bytes > 0 && log->held_bytes > log->policies.total_bytes &&
           log->oldest != log->newest)
        evict_oldest(log);
}

static uint64_t expiry(const struct log_policy *p, uint64_t ttl, uint64_t age, uint64_t now)
{
    uint64_t limit = p->ttl ? p->ttl : UINT64_MAX;
    if (ttl > limit)
        ttl = limit;
    if (ttl == UINT64_MAX)
        return UINT64_MAX;
    return ttl > age ? now + (ttl - age) : now;
}

/* ---- publishing ---- */

int log_reserve(struct log *log, struct channel *c)
{
    struct ring *r = c->ring;
    if (!r) {
        r = c->ring = calloc(1, sizeof(*r));
        if (!r)
            return -1;
        r->missed = r->kept = log->forgotten[log_slot(c)];
    }
    uint32_t cap = r->cap;
    if (!ring_make_room(r))
        return -1;
    if (r->count > 0)
        log->held_bytes += (r->cap - cap) * sizeof(*r->slots);
    r->reserved++;
    return 0;
}

void log_unreserve(struct log *log, struct channel *c)
{
    c->ring->reserved--;
    if (c->ring->count == 0 && c->ring->reserved == 0)
        ring_shrink(c->ring);
    log_release(log, c);
}

void log_number(struct log *log, struct event *e, uint64_t seq, uint64_t ts)
{
    event_stamp(e, log->epoch, seq, ts);
}

void log_pass(struct log *log, const struct event *e)
{
    log->seq = e->seq;
}

void log_append(struct log *log, struct channel *c, struct event *e, uint64_t ttl, uint64_t age)
{
    const struct log_policy *p = log_policy_of(log, c);
    struct ring *r = c->ring;
    log->seq = e->seq;
    e->kept = ttl > 0 && p->size > 0;
    e->expires = expiry(p, e->kept ? ttl : UINT64_MAX, age, clock_mono(log->clock));
    e->channel = c;
    event_ref(e);
    if (r->count == 0)
        log->held_bytes += channel_cost(c) + r->cap * sizeof(*r->slots);
    r->reserved--;
    ring_push(r, e);
    link_newest(log, e);
    trim_channel(log, c);
    trim_hub(log);
}

void log_refuse(struct log *log, struct channel *c, uint32_t slot, uint64_t seq)
{
    if (c && c->ring)
        c->ring->refused = seq;
    raise_mark(log, slot, seq);
}

uint64_t log_missed(const struct log *log, const struct channel *c)
{
    if (!c->ring)
        return log->forgotten[log_slot(c)];
    return c->ring->missed > c->ring->refused ? c->ring->missed : c->ring->refused;
}

uint64_t log_forgotten(const struct log *log, enum channel_kind kind, struct span key)
{
    return log->forgotten[hash_key(log, kind, key) % LOG_FORGOTTEN];
}

uint64_t log_last_kept(const struct log *log, const struct channel *c)
{
    return c->ring ? c->ring->kept : log->forgotten[log_slot(c)];
}

void log_expect(struct log *log, struct channel *c, uint64_t seq)
{
    c->ring->kept = seq;
    if (seq == c->ring->missed) /* it was given up meanwhile */
        raise_mark(log, log_slot(c), c->ring->missed);
}

void log_set_missed(struct log *log, struct channel *c, uint64_t seq)
{
    (void)log;
    if (c->ring && seq > c->ring->missed)
        c->ring->missed = seq;
}

void log_set_policies(struct log *log, const struct log_policies *policies)
{
    log->policies = *policies;
    for (uint32_t i = 0; i < log->table_size; i++)
        for (struct channel *c = log->table[i]; c; c = c->bucket)
            c->rule = find_rule(log, c);
}

/* ---- what is too old ---- */

static uint32_t index_of(const struct event *e)
{
    return ring_after(e->channel->ring, e->seq - 1);
}

static void sweep_one(struct log *log, struct event *e, uint64_t now)
{
    struct channel *c = e->channel;
    if (e->expires <= now)
        evict(log, c, index_of(e), false);
    else if (e == ring_at(c->ring, 0)) /* a changed policy shows at the oldest */
        trim_channel(log, c);
    log_release(log, c);
}

void log_sweep(struct log *log)
{
    uint64_t now = clock_mono(log->clock);
    uint64_t share = log->held_events / 8 > SWEEP_MIN ? log->held_events / 8 : SWEEP_MIN;
    while (log->oldest && log->oldest->expires <= now)
        evict_oldest(log);
    if (!log->sweep)
        log->sweep = log->oldest;
    for (uint64_t i = 0; i < share && log->sweep; i++) {
        struct event *e = log->sweep;
        log->sweep = e->newer;
        sweep_one(log, e, now);
    }
    trim_hub(log);
}

/* ---- life ---- */

int log_identity_make(struct log_identity *id, const struct clock *clock)
{
    uint64_t chance[LOG_SEEDS + 1];
    memset(id, 0, sizeof(*id));
    if (rng_secret(chance, sizeof(chance)) < 0)
        return -errno;
    memcpy(id->seeds, chance, sizeof(id->seeds));
    /* 55 bits: 35 of seconds (until the year 3058), 20 of chance, so that ids of a later start sort later and
     * two hubs started in the same second differ. */
    uint64_t number = (clock_wall(clock) / 1000 & 0x7ffffffff) << 20 | (chance[LOG_SEEDS] & 0xfffff);
    text_put_base32(id->epoch, number, EVENT_EPOCH_LEN);
    return 0;
}

int log_init(struct log *log, const struct log_policies *policies, const struct log_identity *id,
             const struct clock *clock)
{
    memset(log, 0, sizeof(*log));
    log->policies = *policies;
    log->clock = clock;
    log->seed = id->seeds[0];
    log->seq = id->seq;
    memcpy(log->epoch, id->epoch, sizeof(log->epoch));
    int rc = pthread_mutex_init(&log->lock, NULL);
    if (rc != 0)
        return -rc;
    log->table = calloc(TABLE_MIN, sizeof(*log->table));
    log->forgotten = calloc(LOG_FORGOTTEN, sizeof(*log->forgotten));
    log->table_size = log->table ? TABLE_MIN : 0;
    if (log->table && log->forgotten) {
        log->all = log_open(log, CHANNEL_ALL, SPAN(""));
        log->admin = log_open(log, CHANNEL_ADMIN, SPAN(""));
    }
    if (log->all && log->admin)
        return 0;
    log_finish(log);
    return -ENOMEM;
}

void log_finish(struct log *log)
{
    if (!log->clock)
        return;
    for (struct event *e = log->oldest, *next; e; e = next) {
        next = e->newer;
        event_unref(e);
    }
    for (uint32_t i = 0; i < log->table_size; i++)
        for (struct channel *c = log->table[i], *next; c; c = next) {
            next = c->bucket;
            free_channel(c);
        }
    free(log->table);
    free(log->forgotten);
    log->table = NULL;
    log->clock = NULL;
    pthread_mutex_destroy(&log->lock);
}
