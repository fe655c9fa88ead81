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

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AHEAD       65536 /* numbers that are reserved before they are needed */
#define LOCK_SHARE  64    /* events that are committed in one go */
#define TIDY_MS     1000
#define SWEEP_SHARE 1000

_Static_assert(STORE_KEY_MAX == IDEMPOTENCY_KEY_MAX, "every key can be stored");
_Static_assert(sizeof(struct idempotency_print) == sizeof(((struct store_key *)0)->hash),
               "a print is a hash");

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
        p->entry->waiting = p; // NOLINT(clang-analyzer-core.NullDereference): OK comes with an entry
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
    p->repeated = p->placed = false;
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

/* It comes to nothing: everything is as if it had never been asked. */
static void withdraw(struct sequencer *q, struct posting *p, enum posting_result result)
{
    /* Of several in one channel the first knows what was there before them. */
    if (p->place.kept && p->place.prev < log_last_kept(q->log, p->place.channel))
        log_expect(q->log, p->place.channel, p->place.prev);
    registry_cancel(q->registry, &p->place);
    give_key_back(q, p);
    p->placed = false;
    p->result = result;
}

/* The event has its number. */
static void commit(struct sequencer *q, struct posting *p, uint64_t *wake)
{
    p->placed = false;
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

/* ---- the queue for the store ---- */

static uint64_t weight(const struct posting *p)
{
    return event_footprint(p->event) + sizeof(*p);
}

static bool enqueue(struct sequencer *q, struct posting *p)
{
    pthread_mutex_lock(&q->mutex);
    bool full = q->queue_count >= SEQUENCER_QUEUE_MAX || q->queue_bytes > SEQUENCER_QUEUE_BYTES;
    bool takes = !q->stop && !full;
    if (takes) {
        p->next = NULL;
        *(q->last ? &q->last->next : &q->first) = p;
        q->last = p;
        q->queue_count++;
        q->queue_bytes += weight(p);
        atomic_store_explicit(&q->stats.queued, q->queue_count, memory_order_relaxed);
        pthread_cond_signal(&q->news);
    } else {
        p->repeated = false;
        p->result = q->stop ? POSTING_CLOSED : POSTING_BUSY;
    }
    pthread_mutex_unlock(&q->mutex);
    return takes;
}

static struct posting *dequeue(struct sequencer *q)
{
    pthread_mutex_lock(&q->mutex);
    struct posting *batch = q->first, *last = NULL;
    for (unsigned i = 0; q->first && i < SEQUENCER_BATCH_MAX; i++) {
        last = q->first;
        q->first = last->next;
        q->queue_count--;
        q->queue_bytes -= weight(last);
    }
    if (last)
        last->next = NULL;
    if (!q->first)
        q->last = NULL;
    atomic_store_explicit(&q->stats.queued, q->queue_count, memory_order_relaxed);
    pthread_mutex_unlock(&q->mutex);
    return batch;
}

bool sequencer_post(struct sequencer *q, struct posting *p)
{
    if (q->store)
        return !enqueue(q, p);
    post_now(q, p);
    return true;
}

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool is_done;
};

static void wake_waiter(struct posting *p)
{
    struct waiter *w = p->user;
    pthread_mutex_lock(&w->mutex);
    w->is_done = true;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->mutex);
}

void sequencer_publish(struct sequencer *q, struct posting *p)
{
    struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    p->user = &w;
    p->done = wake_waiter;
    if (sequencer_post(q, p))
        return;
    pthread_mutex_lock(&w.mutex);
    while (!w.is_done)
        pthread_cond_wait(&w.done, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    pthread_mutex_destroy(&w.mutex);
    pthread_cond_destroy(&w.done);
}

/* ---- what the log has given up; under its lock ---- */

/* Without memory the row stays until the next start, when it is found to be too much. */
static void drop(struct sequencer *q, uint64_t seq, uint32_t slot)
{
    struct sequencer_drops *d = &q->drops;
    if (d->count == d->cap) {
        uint32_t cap = d->cap ? d->cap * 2 : 64;
        struct store_mark *at = realloc(d->at, cap * sizeof(*at));
        if (!at)
            return;
        d->at = at;
        d->cap = cap;
    }
    d->at[d->count++] = (struct store_mark){seq, slot};
}

static void on_gone(void *user, uint64_t seq)
{
    drop(user, seq, UINT32_MAX);
}

static void on_marked(void *user, uint32_t slot, uint64_t seq)
{
    drop(user, seq, slot);
}

static struct sequencer_drops take_drops(struct sequencer *q)
{
    struct sequencer_drops taken = q->drops;
    q->drops = (struct sequencer_drops){0};
    return taken;
}

static void put_drops_back(struct sequencer *q, const struct sequencer_drops *taken)
{
    for (uint32_t i = 0; i < taken->count; i++)
        drop(q, taken->at[i].seq, taken->at[i].slot);
}

/* ---- a batch ---- */

/* A place and a number for each, in the order in which they came. */
static void place_all(struct sequencer *q, struct posting *batch, struct sequencer_drops *drops)
{
    struct log *log = q->log;
    uint64_t now = clock_mono(log->clock), ts = clock_wall(log->clock);
    log_lock(log);
    uint64_t seq = log->seq;
    q->batch_window = q->window;
    for (struct posting *p = batch; p; p = p->next) {
        if (!prepare(q, p, now))
            continue;
        p->placed = true;
        p->connections = p->place.channel ? registry_listeners(q->registry, p->place.channel) : 0;
        log_number(log, p->event, ++seq, ts);
        if (p->place.kept)
            log_expect(log, p->place.channel, seq);
    }
    *drops = take_drops(q);
    log_unlock(log);
}

static void write_posting(struct sequencer *q, const struct posting *p)
{
    if (p->place.kept) {
        const struct store_row row = {.seq = p->event->seq,
                                      .prev = p->place.prev,
                                      .kind = p->kind,
                                      .key = p->kind == CHANNEL_ALL ? SPAN("") : p->to,
                                      .name = event_name(p->event),
                                      .payload = event_payload(p->event),
                                      .ts = p->event->ts,
                                      .ttl = p->ttl};
        store_put_event(q->store, &row);
    }
    if (p->entry) {
        /* The connections are those of just before the commit; the exact number is remembered in memory. */
        struct store_key key = {.key = p->key,
                                .seq = p->event->seq,
                                .connections = p->connections,
                                .expires = p->event->ts + q->batch_window};
        memcpy(key.hash, &p->print, sizeof(key.hash));
        store_put_key(q->store, &key);
    }
}

/* What a transaction was about. */
struct written {
    unsigned events;
    unsigned rows; /* 0: nothing that has to do with the disk, so its success says nothing of that */
};

static enum store_result write_all(struct sequencer *q, const struct posting *batch,
                                   const struct sequencer_drops *drops, struct written *written)
{
    uint64_t last = q->log->seq; /* only this thread changes it */
    *written = (struct written){.rows = drops->count};
    store_begin(q->store);
    for (const struct posting *p = batch; p; p = p->next) {
        if (!p->placed)
            continue;
        write_posting(q, p);
        last = p->event->seq;
        written->events += p->place.kept;
        written->rows += p->place.kept || p->entry;
    }
    for (uint32_t i = 0; i < drops->count; i++) {
        if (drops->at[i].slot == UINT32_MAX)
            store_delete_event(q->store, drops->at[i].seq);
        else
            store_put_mark(q->store, drops->at[i].slot, drops->at[i].seq);
    }
    uint64_t safe = last + AHEAD;
    if (last + AHEAD / 2 > q->safe) {
        store_reserve(q->store, safe);
        written->rows++;
    }
    enum store_result rc = store_commit(q->store);
    if (rc == STORE_OK && last + AHEAD / 2 > q->safe)
        q->safe = safe;
    return rc;
}

/* Readers may see them now. The lock is given back now and then: a batch may be long. */
static void commit_all(struct sequencer *q, struct posting *batch)
{
    uint64_t wake = 0;
    unsigned n = 0;
    log_lock(q->log);
    for (struct posting *p = batch; p; p = p->next) {
        if (!p->placed)
            continue;
        p->event->stored = p->place.kept;
        commit(q, p, &wake);
        if (++n % LOCK_SHARE == 0) {
            log_unlock(q->log);
            log_lock(q->log);
        }
    }
    log_unlock(q->log);
    registry_wake(q->registry, wake, REGISTRY_NO_LOOP);
}

/* What was to be stored is not, and nobody sees it. What was only for those who are there now goes out all
 * the same, as long as its number is one that no later start can use again. */
static void fail_all(struct sequencer *q, struct posting *batch, enum store_result why)
{
    log_lock(q->log);
    uint64_t seq = q->log->seq;
    for (struct posting *p = batch; p; p = p->next) {
        if (!p->placed)
            continue;
        p->why = why;
        if (p->place.kept || p->entry || seq >= q->safe)
            withdraw(q, p, POSTING_STORE);
        else
            log_number(q->log, p->event, ++seq, p->event->ts);
    }
    log_unlock(q->log);
    commit_all(q, batch);
}

static void share_results(struct posting *batch)
{
    for (struct posting *p = batch; p; p = p->next) {
        if (!p->first)
            continue;
        p->result = p->first->result;
        p->why = p->first->why;
        p->seq = p->first->seq;
        p->connections = p->first->connections;
        p->repeated = p->result == POSTING_OK;
    }
}

static void tell_all(struct posting *batch)
{
    for (struct posting *p = batch, *next; p; p = next) {
        next = p->next;
        p->done(p);
    }
}

/* Said once when it begins and once when it is over. */
static void note_result(struct sequencer *q, enum store_result rc)
{
    enum store_result before = atomic_exchange(&q->stats.failing, rc);
    if (rc == before)
        return;
    const struct tidings_log_field fields[] = {REPORT_TEXT("code", rc ? store_code(rc) : "ok")};
    if (rc != STORE_OK)
        report(&q->report, TIDINGS_LOG_ERROR, "store", store_text(rc), fields, 1);
    else
        report(&q->report, TIDINGS_LOG_WARN, "store", "the store can be written to again", fields, 1);
}

static void count_commit(struct sequencer *q, enum store_result rc, unsigned events, uint64_t took_us)
{
    struct sequencer_stats *s = &q->stats;
    if (rc != STORE_OK) {
        atomic_fetch_add(&s->failures, 1);
        return;
    }
    atomic_fetch_add(&s->commits, 1);
    atomic_fetch_add(&s->committed, events);
    atomic_fetch_add(&s->commit_us, took_us);
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool sequencer_turn(struct sequencer *q)
{
    struct sequencer_drops drops;
    struct posting *batch = dequeue(q);
    struct written written;
    place_all(q, batch, &drops);
    if (!batch && drops.count == 0)
        return false;
    uint64_t begun = now_us();
    enum store_result rc = write_all(q, batch, &drops, &written);
    if (written.rows > 0) {
        count_commit(q, rc, written.events, now_us() - begun);
        note_result(q, rc);
    }
    if (rc == STORE_OK) {
        commit_all(q, batch);
    } else {
        log_lock(q->log);
        put_drops_back(q, &drops);
        log_unlock(q->log);
        fail_all(q, batch, rc);
    }
    free(drops.at);
    share_results(batch);
    tell_all(batch);
    return batch != NULL;
}

/* ---- the thread ---- */

static void tidy(struct sequencer *q)
{
    uint64_t now = clock_mono(q->log->clock);
    if (now - q->tidied < TIDY_MS)
        return;
    q->tidied = now;
    store_begin(q->store);
    store_delete_keys(q->store, clock_wall(q->log->clock));
    enum store_result rc = store_commit(q->store);
    if (rc == STORE_OK || rc == STORE_MOVED) /* only that finds out that the file is back */
        rc = store_tidy(q->store);
    /* That there was room for this says nothing about room for events. */
    if (rc != STORE_OK || atomic_load(&q->stats.failing) == STORE_MOVED)
        note_result(q, rc);
    atomic_store_explicit(&q->stats.bytes, store_bytes(q->store), memory_order_relaxed);
}

/* Until something waits, or it is time to tidy up. False: the end has come and nothing waits. */
static bool wait_for_work(struct sequencer *q)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 1;
    int rc = 0;
    pthread_mutex_lock(&q->mutex);
    while (!q->first && !q->stop && rc == 0)
        rc = pthread_cond_timedwait(&q->news, &q->mutex, &end);
    bool goes_on = q->first || !q->stop;
    pthread_mutex_unlock(&q->mutex);
    return goes_on;
}

static void *run(void *arg)
{
    struct sequencer *q = arg;
    while (wait_for_work(q)) {
        sequencer_turn(q);
        tidy(q);
    }
    sequencer_turn(q); /* what was given up in the last moment */
    return NULL;
}

int sequencer_start(struct sequencer *q)
{
    sigset_t all, before;
    if (!q->store || q->running)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&q->thread, NULL, run, q);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    q->running = rc == 0;
    return -rc;
}

void sequencer_stop(struct sequencer *q)
{
    if (!q->running)
        return;
    pthread_mutex_lock(&q->mutex);
    q->stop = true;
    pthread_cond_signal(&q->news);
    pthread_mutex_unlock(&q->mutex);
    pthread_join(q->thread, NULL);
    q->running = false;
}

/* ---- after a start: what the store holds ---- */

static bool load_mark(void *user, uint32_t slot, uint64_t seq)
{
    struct sequencer *q = user;
    log_forget(q->log, slot, seq);
    return true;
}

static bool load_event(void *user, const struct store_row *row)
{
    struct sequencer *q = user;
    struct log *log = q->log;
    uint64_t now = clock_wall(log->clock), age = now > row->ts ? now - row->ts : 0;
    struct channel *c = row->kind == CHANNEL_ALL ? log->all : log_open(log, row->kind, row->key);
    struct event *e = event_restore(row->name, row->payload);
    if (!c || !e || log_reserve(log, c) < 0) {
        if (c)
            log_release(log, c);
        event_unref(e);
        return false;
    }
    /* The one before it is not here: it was given up before the restart, or replaced, and then nobody has
     * missed it. */
    if (row->prev != log_last_kept(log, c) && !log_policy_of(log, c)->latest_only)
        log_set_missed(log, c, row->prev);
    log_number(log, e, row->seq, row->ts);
    e->stored = true;
    log_append(log, c, e, row->ttl, age);
    event_unref(e);
    return true;
}

static bool load_key(void *user, const struct store_key *row)
{
    struct sequencer *q = user;
    struct idempotency_entry *e;
    struct idempotency_print print;
    uint64_t wall = clock_wall(q->log->clock), now = clock_mono(q->log->clock);
    if (row->expires <= wall)
        return true;
    memcpy(&print, row->hash, sizeof(print));
    enum idempotency_result rc =
        idempotency_add(&q->keys, row->key, &print, now, now + (row->expires - wall), &e);
    if (rc == IDEMPOTENCY_OK)
        idempotency_settle(&q->keys, e, row->seq, row->connections);
    return rc != IDEMPOTENCY_MEMORY;
}

enum store_result sequencer_load(struct sequencer *q)
{
    const struct store_reader reader = {
        .on_mark = load_mark, .on_event = load_event, .on_key = load_key, .user = q};
    if (!q->store)
        return STORE_OK;
    log_lock(q->log);
    uint64_t seq = q->log->seq; /* appending moves it to the last event; what was reserved lies beyond */
    enum store_result rc = store_load(q->store, &reader);
    q->log->seq = seq;
    log_unlock(q->log);
    return rc;
}

/* ---- life ---- */

static int init_queue(struct sequencer *q)
{
    pthread_condattr_t attr;
    int rc = pthread_mutex_init(&q->mutex, NULL);
    if (rc != 0)
        return -rc;
    rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        rc = pthread_cond_init(&q->news, &attr);
        pthread_condattr_destroy(&attr);
    }
    if (rc != 0)
        pthread_mutex_destroy(&q->mutex);
    return -rc;
}

int sequencer_init(struct sequencer *q, struct registry *registry, struct store *store,
                   const struct log_identity *id, const struct report *told, uint32_t window_ms,
                   uint32_t keys_max)
{
    memset(q, 0, sizeof(*q));
    int rc = init_queue(q);
    if (rc < 0) {
        store_close(store);
        return rc;
    }
    q->registry = registry;
    q->log = registry->log;
    q->store = store;
    q->report = *told;
    q->window = window_ms;
    q->safe = id->seq;
    memcpy(q->seeds, id->seeds + 1, sizeof(q->seeds));
    idempotency_init(&q->keys, keys_max, id->seeds[0]);
    if (store)
        q->log->watch = (struct log_watch){.gone = on_gone, .marked = on_marked, .user = q};
    return 0;
}

void sequencer_finish(struct sequencer *q)
{
    if (!q->log)
        return;
    sequencer_stop(q);
    store_close(q->store);
    free(q->drops.at);
    idempotency_finish(&q->keys);
    pthread_cond_destroy(&q->news);
    pthread_mutex_destroy(&q->mutex);
    q->log->watch = (struct log_watch){0};
    q->log = NULL;
}

void sequencer_tick(struct sequencer *q)
{
    log_lock(q->log);
    idempotency_sweep(&q->keys, clock_mono(q->log->clock), SWEEP_SHARE);
    log_unlock(q->log);
}
