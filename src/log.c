/* SPDX-License-Identifier: MIT
 *
 * log - see log.h. A channel's events are a ring of pointers that grows by doubling; all held events are also
 * linked in the order of their numbers, which is the order of their age, so that giving up the oldest of the
 * hub is O(1): it is always the oldest of its own ring too.
 *
 * What this room does not do: it knows nobody who reads, and it never sends anything.
 */
#include "log.h"

#include "rng.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Live readers need a window even where no history is wanted. */
#define LIVE_EVENTS 64
#define LIVE_BYTES  (256 * 1024)
#define TABLE_MIN   64

struct ring {
    struct event **slots;
    uint32_t cap; /* a power of two */
    uint32_t head;
    uint32_t count;
    uint64_t bytes;
    uint64_t lost; /* highest number given up */
    uint64_t tail; /* number of the newest event ever */
};

static struct event *ring_at(const struct ring *r, uint32_t i)
{
    return r->slots[(r->head + i) & (r->cap - 1)]; // NOLINT(clang-analyzer-core.NullDereference): i < count
}

/* Index of the first event after the cursor; count if there is none. */
static uint32_t ring_after(const struct ring *r, uint64_t cursor)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ring_at(r, middle)->seq <= cursor)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool ring_has_room(struct channel *c)
{
    if (!c->ring)
        c->ring = calloc(1, sizeof(*c->ring));
    struct ring *r = c->ring;
    if (!r)
        return false;
    if (r->count < r->cap)
        return true;
    uint32_t cap = r->cap ? r->cap * 2 : 4;
    struct event **slots = malloc(cap * sizeof(*slots));
    if (!slots)
        return false;
    for (uint32_t i = 0; i < r->count; i++)
        slots[i] = ring_at(r, i);
    free(r->slots);
    r->slots = slots;
    r->cap = cap;
    r->head = 0;
    return true;
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

struct channel *log_open(struct log *log, enum channel_kind kind, struct span key)
{
    uint32_t hash = hash_key(log, kind, key);
    struct channel *c = lookup(log, kind, key, hash);
    if (c)
        return c;
    c = make_channel(kind, key, hash);
    if (!c)
        return NULL;
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

void log_release(struct log *log, struct channel *c)
{
    if (c->subs > 0 || c->queued || (c->ring && c->ring->count > 0) || c == log->all || c == log->admin)
        return;
    uint64_t *forgotten = &log->forgotten[c->hash % LOG_FORGOTTEN];
    if (c->ring && c->ring->tail > *forgotten)
        *forgotten = c->ring->tail;
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

static void evict_first(struct log *log, struct channel *c)
{
    struct ring *r = c->ring;
    struct event *e = ring_at(r, 0);
    r->head = (r->head + 1) & (r->cap - 1);
    r->count--;
    r->bytes -= event_footprint(e);
    r->lost = e->seq;
    unlink_by_age(log, e);
    log->evicted++;
    event_unref(e);
    if (r->count == 0) {
        free(r->slots);
        r->slots = NULL;
        r->cap = 0;
    }
}

/* The newest event of a channel is never given up for size: live readers are about to be sent it. */
static void trim_channel(struct log *log, struct channel *c)
{
    const struct log_policy *p = &log->policy;
    uint32_t size = p->size > 0 ? p->size : LIVE_EVENTS;
    uint64_t bytes = p->size == 0 ? LIVE_BYTES : p->bytes > 0 ? p->bytes : UINT64_MAX;
    while (c->ring->count > 1 && (c->ring->count > size || c->ring->bytes > bytes))
        evict_first(log, c);
}

/* The oldest event of all is the first of its own ring: a channel that holds anything is never freed. */
static void evict_oldest(struct log *log)
{
    struct channel *c = log->oldest->channel; // NOLINT(clang-analyzer-core.NullDereference)
    evict_first(log, c);                      // NOLINT(clang-analyzer-unix.Malloc)
    log_release(log, c);
}

void log_retire(struct log *log, struct channel *c)
{
    if (c->subs > 0 || c == log->all || c == log->admin)
        return;
    while (c->ring && c->ring->count > 0)
        evict_first(log, c);
    log_release(log, c);
}

static void trim_hub(struct log *log)
{
    while (log->policy.total_bytes > 0 && log->held_bytes > log->policy.total_bytes &&
           log->oldest != log->newest)
        evict_oldest(log);
}

static uint64_t expiry(const struct log *log, uint64_t ttl, uint64_t now)
{
    uint64_t limit = log->policy.ttl ? log->policy.ttl : UINT64_MAX;
    if (ttl > limit)
        ttl = limit;
    return ttl == UINT64_MAX ? UINT64_MAX : now + ttl;
}

void log_number(struct log *log, struct event *e)
{
    event_stamp(e, log->epoch, ++log->seq, clock_wall(log->clock));
}

int log_append(struct log *log, struct channel *c, struct event *e, uint64_t ttl)
{
    if (!ring_has_room(c))
        return -1;
    struct ring *r = c->ring;
    log_number(log, e);
    e->kept = ttl > 0 && log->policy.size > 0;
    e->expires = expiry(log, e->kept ? ttl : UINT64_MAX, clock_mono(log->clock));
    e->channel = c;
    event_ref(e);
    r->slots[(r->head + r->count++) & (r->cap - 1)] = e;
    r->bytes += event_footprint(e);
    r->tail = e->seq;
    link_newest(log, e);
    trim_channel(log, c);
    trim_hub(log);
    return 0;
}

void log_sweep(struct log *log)
{
    uint64_t now = clock_mono(log->clock);
    while (log->oldest && log->oldest->expires <= now)
        evict_oldest(log);
    trim_hub(log);
}

/* ---- reading ---- */

static uint64_t lost_before(const struct log *log, const struct channel *c)
{
    uint64_t forgotten = log->forgotten[c->hash % LOG_FORGOTTEN];
    return c->ring && c->ring->lost > forgotten ? c->ring->lost : forgotten;
}

bool log_is_complete(const struct log *log, struct channel *const *channels, unsigned count, uint64_t cursor)
{
    for (unsigned i = 0; i < count; i++)
        if (lost_before(log, channels[i]) > cursor)
            return false;
    return cursor <= log->seq;
}

static bool live_reader_lost(struct channel *const *channels, unsigned count, uint64_t cursor)
{
    for (unsigned i = 0; i < count; i++)
        if (channels[i]->ring && channels[i]->ring->lost > cursor)
            return true;
    return false;
}

struct source {
    const struct ring *ring;
    uint32_t next;
};

/* Places each source behind the cursor; sources with nothing new are left out. *prev is raised to the number
 * below which the pull would have been another one. */
static unsigned find_sources(struct channel *const *channels, unsigned count, struct pull *pull,
                             struct source *sources)
{
    unsigned found = 0;
    pull->prev = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct ring *r = channels[i]->ring;
        if (!r)
            continue;
        uint32_t next = r->tail <= pull->cursor ? r->count : ring_after(r, pull->cursor);
        uint64_t before = next > 0 ? ring_at(r, next - 1)->seq : r->lost;
        if (before > pull->prev)
            pull->prev = before;
        if (next < r->count)
            sources[found++] = (struct source){r, next};
    }
    return found;
}

/* The oldest of the sources' next events, or NULL; its source moves on. */
static struct event *take_oldest(struct source *sources, unsigned count)
{
    struct source *best = NULL;
    struct event *oldest = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (sources[i].next >= sources[i].ring->count)
            continue;
        struct event *e = ring_at(sources[i].ring, sources[i].next);
        if (!oldest || e->seq < oldest->seq) {
            best = &sources[i];
            oldest = e;
        }
    }
    if (best)
        best->next++;
    return oldest;
}

void log_pull(struct log *log, struct channel *const *channels, unsigned count, uint64_t horizon,
              size_t max_bytes, struct pull *pull)
{
    struct source sources[LOG_SOURCES_MAX];
    pull->count = 0;
    pull->bytes = 0;
    pull->more = false;
    pull->lost = live_reader_lost(channels, count, pull->cursor);
    if (pull->lost)
        return;
    unsigned found = find_sources(channels, count, pull, sources);
    struct event *e;
    while (found > 0 && (e = take_oldest(sources, found)) && e->seq <= horizon) {
        if (pull->count == LOG_PULL_MAX || (pull->count > 0 && pull->bytes + e->size > max_bytes)) {
            pull->more = true;
            return;
        }
        event_ref(e);
        pull->events[pull->count++] = e;
        pull->bytes += e->size;
        pull->cursor = e->seq;
    }
    uint64_t end = horizon < log->seq ? horizon : log->seq;
    if (end > pull->cursor)
        pull->cursor = end;
}

void log_pull_finish(struct pull *pull)
{
    while (pull->count > 0)
        event_unref(pull->events[--pull->count]);
}

uint64_t log_owed(const struct channel *const *channels, unsigned count, uint64_t cursor)
{
    uint64_t owed = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct ring *r = channels[i]->ring;
        if (!r || r->count == 0)
            continue;
        for (uint32_t at = ring_after(r, cursor); at < r->count; at++)
            owed += ring_at(r, at)->size;
    }
    return owed;
}

/* ---- life ---- */

static void make_epoch(struct log *log, uint64_t wall_ms, uint64_t random)
{
    /* 55 bits: 35 of seconds (until the year 3058), 20 of chance, so that ids of a later start sort later and
     * two hubs started in the same second differ. */
    uint64_t number = (wall_ms / 1000 & 0x7ffffffff) << 20 | (random & 0xfffff);
    text_put_base32(log->epoch, number, EVENT_EPOCH_LEN);
    log->epoch[EVENT_EPOCH_LEN] = '\0';
}

int log_init(struct log *log, const struct log_policy *policy, const struct clock *clock)
{
    uint64_t secret[2];
    memset(log, 0, sizeof(*log));
    if (rng_secret(secret, sizeof(secret)) < 0)
        return -errno;
    log->policy = *policy;
    log->clock = clock;
    log->seed = secret[0];
    make_epoch(log, clock_wall(clock), secret[1]);
    log->table = calloc(TABLE_MIN, sizeof(*log->table));
    if (!log->table)
        return -ENOMEM;
    log->table_size = TABLE_MIN;
    pthread_mutex_init(&log->lock, NULL);
    log->all = log_open(log, CHANNEL_ALL, SPAN(""));
    log->admin = log_open(log, CHANNEL_ADMIN, SPAN(""));
    if (log->all && log->admin)
        return 0;
    log_finish(log);
    return -ENOMEM;
}

void log_finish(struct log *log)
{
    if (!log->table)
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
    log->table = NULL;
    pthread_mutex_destroy(&log->lock);
}
