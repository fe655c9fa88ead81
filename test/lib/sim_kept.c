/* SPDX-License-Identifier: MIT
 *
 * sim_kept - see sim_kept.h.
 */
#include "sim_kept.h"

#include <string.h>

/* What the log keeps for live readers where no history is wanted. */
#define LIVE_SIZE 64

#define CHANNEL_BYTES 512 /* what a channel may cost beside its events, at the most */

/* ---- policies ---- */

struct policy {
    uint32_t size, bytes, ttl;
    bool latest;
};

static bool fits(const char *pattern, const char *topic, size_t *rank)
{
    size_t n = strlen(pattern);
    bool prefix = pattern[n - 1] == '*';
    *rank = prefix ? n : 1000;
    return prefix ? strncmp(pattern, topic, n - 1) == 0 : strcmp(pattern, topic) == 0;
}

static uint32_t given(uint32_t value, uint32_t fallback)
{
    return value == TIDINGS_AUTO ? fallback : value;
}

static struct policy policy_of(const struct model *m, const struct published *e)
{
    const struct tidings_config *c = &m->config;
    const struct tidings_topic_policy *best = NULL;
    size_t rank, highest = 0;
    for (size_t i = 0; e->target == TIDINGS_TO_TOPIC && i < c->topic_policy_count; i++)
        if (fits(c->topic_policies[i].pattern, oracle_topics[e->key], &rank) && rank > highest) {
            best = &c->topic_policies[i];
            highest = rank;
        }
    if (!best)
        return (struct policy){c->history_size, c->history_bytes, c->history_ttl, false};
    return (struct policy){best->latest_only ? 1 : given(best->history_size, c->history_size),
                           given(best->history_bytes, c->history_bytes),
                           given(best->history_ttl, c->history_ttl), best->latest_only};
}

/* ---- what is kept ---- */

static const struct log *log_of(const struct model *m)
{
    return hub_service(m->hub)->log;
}

static bool is_same_channel(const struct published *a, const struct published *b)
{
    return a->target == b->target && (a->target == TIDINGS_TO_ALL || a->key == b->key);
}

void kept_publish(struct model *m, struct published *e, uint32_t ttl)
{
    const struct policy p = policy_of(m, e);
    const struct event *held = log_of(m)->newest;
    uint64_t limit = p.ttl ? p.ttl : UINT64_MAX, asked = UINT64_MAX;
    if (ttl != TIDINGS_TTL_DEFAULT)
        asked = (uint64_t)ttl * 1000;
    e->kept = ttl > 0 && p.size > 0;
    e->refused = ttl > 0 && !e->kept;
    e->ts = sim_wall(m->sim);
    e->expires = asked < limit ? asked : limit;
    e->expires = e->expires == UINT64_MAX ? UINT64_MAX : sim_now(m->sim) + e->expires;
    e->fate = e->kept || e->connections > 0 ? HELD : NOWHERE;
    if (e->fate == NOWHERE)
        return;
    if (!held || held->seq != e->seq)
        oracle_fail(m, "event %u is not the newest that is held", e->number);
    if (held->kept != e->kept || (e->kept && held->expires != e->expires))
        oracle_fail(m, "event %u is kept as it should not be", e->number);
    e->bytes = event_footprint(held);
}

static bool is_over_total(const struct model *m, size_t i)
{
    uint64_t sum = 0, limit = m->config.history_total_bytes;
    for (size_t k = i; k < m->count; k++)
        if (m->events[k].fate != NOWHERE)
            sum += m->events[k].bytes + CHANNEL_BYTES;
    return limit > 0 && sum + (CLIENTS + TOPICS + 2) * CHANNEL_BYTES > limit;
}

/* Nothing for history goes without a reason. */
static bool has_reason(const struct model *m, size_t i, const struct policy *p)
{
    const struct published *e = &m->events[i];
    uint64_t count = 0, bytes = 0;
    for (size_t k = i; k < m->count; k++)
        if (m->events[k].fate != NOWHERE && is_same_channel(&m->events[k], e)) {
            count++;
            bytes += m->events[k].bytes;
        }
    return e->expires <= sim_now(m->sim) || p->size == 0 || count > p->size ||
           (p->bytes > 0 && bytes > p->bytes) || is_over_total(m, i);
}

static enum fate fate_of(const struct model *m, size_t i)
{
    const struct published *e = &m->events[i], *last = e;
    const struct policy p = policy_of(m, e);
    bool newer = false;
    if (e->kept && !has_reason(m, i, &p))
        oracle_fail(m, "event %u was given up for no reason", e->number);
    for (size_t k = i + 1; k < m->count; k++)
        if (m->events[k].fate != NOWHERE && is_same_channel(&m->events[k], e)) {
            last = &m->events[k];
            newer = true;
        }
    if (!p.latest || !newer)
        return GONE;
    /* Two reasons at once, and which of them it was cannot be seen; or a value that is itself not kept. */
    return e->expires <= sim_now(m->sim) || is_over_total(m, i) || !last->kept ? UNSURE : REPLACED;
}

void kept_look(struct model *m)
{
    const struct log *log = log_of(m);
    const struct event *held = log->oldest;
    if (log->evicted == m->evicted)
        return;
    m->evicted = log->evicted;
    for (size_t i = 0; i < m->count; i++) {
        struct published *e = &m->events[i];
        if (e->fate != HELD)
            continue;
        while (held && held->seq < e->seq)
            held = held->newer;
        if (held && held->seq == e->seq)
            continue;
        e->fate = fate_of(m, i);
        oracle_say(m, "given up: %u%s", e->number, e->fate == REPLACED ? " (replaced)" : "");
    }
}

void kept_change(struct model *m)
{
    kept_look(m);
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &m->readers[i];
        if (r->vague || !r->joined || r->next >= r->from || !r->plans[r->plan].latest)
            continue;
        r->vague = true;
        m->replayed += r->from; /* what it is given may be any of it */
    }
}

/* ---- what is owed ---- */

static bool is_alive(const struct model *m, const struct published *e)
{
    return e->kept && e->fate == HELD && e->expires > sim_now(m->sim);
}

static bool is_wanted(const struct published *e)
{
    return e->kept || e->refused;
}

static void mark(uint64_t *set, size_t i, bool on)
{
    set[i / 64] = on ? set[i / 64] | 1ull << i % 64 : set[i / 64] & ~(1ull << i % 64);
}

static bool is_owed(const struct model *m, const struct reader *r, const struct plan *p, size_t i)
{
    const struct published *e = &m->events[i];
    if (!oracle_is_for(e, r) || !is_alive(m, e))
        return false;
    if (p->resume == RESUME_COMPLETE)
        return e->seq > r->ask.seq;
    return p->resume == RESUME_INCOMPLETE || (p->latest ? policy_of(m, e).latest : e->ts >= r->ask.since);
}

/* The newest so many only. */
static void keep_last(const struct model *m, struct plan *p, uint64_t last)
{
    for (size_t i = 0; i < m->count && p->replayed > last; i++)
        if (p->owed[i / 64] >> i % 64 & 1) {
            mark(p->owed, i, false);
            p->replayed--;
        }
}

static void make_plan(const struct model *m, const struct reader *r, struct plan *p, enum resume resume)
{
    uint64_t tail = log_of(m)->seq;
    *p = (struct plan){.resume = resume};
    p->latest = resume == RESUME_FRESH && r->ask.last == 0 && r->ask.since == 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct published *e = &m->events[i];
        if (is_owed(m, r, p, i)) {
            mark(p->owed, i, true);
            p->replayed++;
        } else if (resume != RESUME_COMPLETE && is_wanted(e) && oracle_is_for(e, r)) {
            p->floor = i + 1;
        }
    }
    if (resume == RESUME_FRESH && r->ask.last > 0)
        keep_last(m, p, r->ask.last);
    size_t first = 0;
    while (first < m->count && !(p->owed[first / 64] >> first % 64 & 1))
        first++;
    p->begin = resume == RESUME_COMPLETE        ? r->ask.seq
               : p->latest || first == m->count ? tail
                                                : m->events[first].seq - 1;
}

void kept_join(struct model *m, struct reader *r)
{
    bool missing = false;
    kept_look(m);
    r->unsure = false;
    r->plan = 0;
    for (size_t i = 0; r->ask.kind == ASK_CURSOR && i < m->count; i++) {
        const struct published *e = &m->events[i];
        if (e->seq <= r->ask.seq || !is_wanted(e) || !oracle_is_for(e, r))
            continue;
        missing |= e->refused || e->fate == GONE || (e->fate == HELD && !is_alive(m, e));
        r->unsure |= e->fate == UNSURE;
    }
    if (r->ask.kind == ASK_NOTHING)
        make_plan(m, r, &r->plans[0], RESUME_FRESH);
    else if (r->ask.kind == ASK_CURSOR && r->ask.seq <= log_of(m)->seq && !missing)
        make_plan(m, r, &r->plans[0], RESUME_COMPLETE);
    else
        make_plan(m, r, &r->plans[0], RESUME_INCOMPLETE);
    r->unsure &= r->plans[0].resume == RESUME_COMPLETE;
    if (r->unsure)
        make_plan(m, r, &r->plans[1], RESUME_INCOMPLETE);
    m->replayed += r->plans[0].replayed + (r->unsure ? r->plans[1].replayed : 0);
}

bool kept_owes(const struct reader *r, size_t i)
{
    return r->plans[r->plan].owed[i / 64] >> i % 64 & 1;
}

bool kept_may_skip(const struct model *m, const struct reader *r, size_t i)
{
    const struct published *e = &m->events[i];
    const struct plan *p = &r->plans[r->plan];
    if (e->fate == REPLACED || e->fate == UNSURE)
        return true;
    return i < r->from && (r->vague || (p->resume != RESUME_COMPLETE && i < p->floor && !is_alive(m, e)));
}

/* ---- chance ---- */

static bool shares_a_mark(const uint32_t *marks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < i; k++)
            if (marks[i] == marks[k])
                return true;
    return false;
}

void kept_choose_hash(struct model *m)
{
    struct log *log = hub_service(m->hub)->log;
    uint32_t marks[CLIENTS + TOPICS + 2];
    log->seed = m->seed;
    memcpy(log->epoch, "1ng7vvzpbq4",
           EVENT_EPOCH_LEN); /* how well an id shrinks decides what a socket takes */
    log->all->hash = 0;      /* nobody looks these two up */
    log->admin->hash = 1;
    do {
        unsigned n = 0;
        log->seed++;
        marks[n++] = log->all->hash % LOG_FORGOTTEN;
        marks[n++] = log->admin->hash % LOG_FORGOTTEN;
        for (unsigned i = 0; i < CLIENTS; i++)
            marks[n++] = (uint32_t)text_hash(oracle_clients[i], strlen(oracle_clients[i]),
                                             log->seed + CHANNEL_CLIENT) %
                         LOG_FORGOTTEN;
        for (unsigned i = 0; i < TOPICS; i++)
            marks[n++] =
                (uint32_t)text_hash(oracle_topics[i], strlen(oracle_topics[i]), log->seed + CHANNEL_TOPIC) %
                LOG_FORGOTTEN;
    } while (shares_a_mark(marks, CLIENTS + TOPICS + 2));
}
