/* SPDX-License-Identifier: MIT
 *
 * sequencer - see sequencer.h. Every publish has the same three steps, with a store between the second and
 * the third:
 *
 *     check    the key of idempotency: a repeat ends here
 *     prepare  a place in the log, with room, so that nothing can fail later; a number
 *     commit   into the log; the loops are told
 */
#include "sequencer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the fingerprint of what is asked ---- */

struct idempotency_print sequencer_print(const struct sequencer *q, enum channel_kind kind, struct span to,
                                         const struct event *e, uint64_t ttl)
{
    struct idempotency_print print;
    struct span name = event_name(e), payload = event_payload(e);
    for (unsigned i = 0; i < 2; i++) {
        /* Each hash seeds the next, so that no part can take a byte from its neighbour. */
        uint64_t h = text_hash((const char *)&ttl, sizeof(ttl), q->seeds[i] + kind);
        h = text_hash(to.p, kind == CHANNEL_ALL ? 0 : to.len, h);
        h = text_hash(name.p, name.len, h);
        print.half[i] = text_hash(payload.p, payload.len, h);
    }
    return print;
}

/* ---- one posting; the log's lock is held ---- */

static void repeat(struct posting *p, const struct idempotency_entry *known)
{
    p->repeated = true;
    p->result = POSTING_OK;
    p->seq = known->seq;
    p->connections = known->connections;
}

/* True: the posting has its result, or will share that of an earlier one of the same batch. */
static bool is_known(struct sequencer *q, struct posting *p, uint64_t now)
{
    struct idempotency_entry *known = p->key.p ? idempotency_find(&q->keys, p->key, now) : NULL;
    if (!known)
        return false;
    if (memcmp(&known->print, &p->print, sizeof(p->print)) != 0)
        p->result = POSTING_MISMATCH;
    else if (known->seq == 0)
        p->first = known->waiting;
    else
        repeat(p, known);
    return true;
}

static bool take_key(struct sequencer *q, struct posting *p, uint64_t now)
{
    if (!p->key.p)
        return true;
    enum idempotency_result rc =
        idempotency_add(&q->keys, p->key, &p->print, now, now + q->window, &p->entry);
    if (rc == IDEMPOTENCY_OK) {
        p->entry->waiting = p;
        return true;
    }
    p->entry = NULL;
    p->result = rc == IDEMPOTENCY_FULL ? POSTING_KEYS_FULL : POSTING_MEMORY;
    return false;
}

static void give_key_back(struct sequencer *q, struct posting *p)
{
    if (p->entry)
        idempotency_remove(&q->keys, p->entry);
    p->entry = NULL;
}

/* False: it has its result already. */
static bool prepare(struct sequencer *q, struct posting *p, uint64_t now)
{
    p->result = POSTING_OK;
    p->repeated = false;
    p->entry = NULL;
    p->first = NULL;
    p->place = (struct place){0};
    if (is_known(q, p, now) || !take_key(q, p, now))
        return false;
    if (registry_prepare(q->registry, p->kind, p->to, p->ttl, &p->place) == 0)
        return true;
    give_key_back(q, p);
    p->result = POSTING_MEMORY;
    return false;
}

/* The event has its number. */
static void commit(struct sequencer *q, struct posting *p, uint64_t *wake)
{
    p->seq = p->event->seq;
    p->connections = registry_commit(q->registry, p->kind, &p->place, p->event, p->ttl, wake);
    if (p->entry)
        idempotency_settle(&q->keys, p->entry, p->seq, p->connections);
}

/* ---- without a store ---- */

static void post_now(struct sequencer *q, struct posting *p)
{
    uint64_t wake = 0;
    struct log *log = q->log;
    log_lock(log);
    if (prepare(q, p, p->key.p ? clock_mono(log->clock) : 0)) {
        log_number(log, p->event, log->seq + 1, clock_wall(log->clock));
        commit(q, p, &wake);
    }
    log_unlock(log);
    registry_wake(q->registry, wake, p->self);
}

bool sequencer_post(struct sequencer *q, struct posting *p)
{
    post_now(q, p);
    return true;
}

void sequencer_publish(struct sequencer *q, struct posting *p)
{
    post_now(q, p);
}

/* ---- life ---- */

int sequencer_init(struct sequencer *q, struct registry *registry, struct store *store,
                   const struct log_identity *id, const struct report *report, uint32_t window_ms,
                   uint32_t keys_max)
{
    memset(q, 0, sizeof(*q));
    q->registry = registry;
    q->log = registry->log;
    q->store = store;
    q->report = *report;
    q->window = window_ms;
    memcpy(q->seeds, id->seeds + 1, sizeof(q->seeds));
    idempotency_init(&q->keys, keys_max, id->seeds[0]);
    return 0;
}

void sequencer_finish(struct sequencer *q)
{
    if (q->log)
        idempotency_finish(&q->keys);
}

void sequencer_tick(struct sequencer *q)
{
    log_lock(q->log);
    idempotency_sweep(&q->keys, clock_mono(q->log->clock), 1000);
    log_unlock(q->log);
}
