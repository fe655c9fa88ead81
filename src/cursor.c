/* SPDX-License-Identifier: MIT
 *
 * cursor - see cursor.h. Each channel is searched once (binary), then the channels are merged by number.
 */
#include "cursor.h"

#include "ring.h"

#include <string.h>

static bool is_latest(const struct log *log, const struct channel *c)
{
    return log_policy_of(log, c)->latest_only;
}

static bool has_lost(struct channel *const *channels, unsigned count, uint64_t cursor)
{
    for (unsigned i = 0; i < count; i++)
        if (channels[i]->ring && channels[i]->ring->lost > cursor)
            return true;
    return false;
}

static bool has_missed(const struct log *log, struct channel *const *channels, unsigned count,
                       const struct replay *replay, uint64_t cursor)
{
    for (unsigned i = 0; i < count; i++)
        if ((!replay->latest_only || is_latest(log, channels[i])) && log_missed(log, channels[i]) > cursor)
            return true;
    return false;
}

/* The same for one who was there when it was given up: what is refused for history reaches who listens. */
static bool has_given_up(const struct log *log, struct channel *const *channels, unsigned count,
                         const struct replay *replay, uint64_t cursor)
{
    for (unsigned i = 0; i < count; i++)
        if ((!replay->latest_only || is_latest(log, channels[i])) && channels[i]->ring &&
            channels[i]->ring->missed > cursor)
            return true;
    return false;
}

static bool is_replaying(const struct replay *replay, uint64_t cursor)
{
    return replay && cursor < replay->until;
}

/* Is something gone that the reader is still owed? */
static bool is_lost(const struct log *log, struct channel *const *channels, unsigned count,
                    const struct replay *replay, uint64_t cursor)
{
    if (!is_replaying(replay, cursor))
        return has_lost(channels, count, cursor);
    return has_lost(channels, count, replay->until) ||
           has_given_up(log, channels, count, replay, cursor > replay->floor ? cursor : replay->floor);
}

/* Does history owe it to a reader? */
static bool is_replayed(const struct log *log, const struct event *e, const struct replay *replay,
                        uint64_t now)
{
    return e->kept && e->expires > now && (!replay->latest_only || is_latest(log, e->channel));
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
        uint64_t before = next > 0 ? ring_at(r, next - 1)->seq : 0;
        before = before > r->lost ? before : r->lost;
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

void cursor_pull(struct log *log, struct channel *const *channels, unsigned count,
                 const struct replay *replay, uint64_t horizon, size_t max_bytes, struct pull *pull)
{
    struct source sources[CURSOR_SOURCES_MAX];
    pull->count = 0;
    pull->bytes = 0;
    pull->more = false;
    pull->lost = is_lost(log, channels, count, replay, pull->cursor);
    if (pull->lost)
        return;
    uint64_t until = is_replaying(replay, pull->cursor) ? replay->until : 0;
    unsigned found = find_sources(channels, count, pull, sources);
    struct event *e;
    while (found > 0 && (e = take_oldest(sources, found)) && e->seq <= horizon) {
        if (e->seq <= until && !is_replayed(log, e, replay, replay->now))
            continue;
        if (pull->count == CURSOR_PULL_MAX || (pull->count > 0 && pull->bytes + e->size > max_bytes)) {
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

void cursor_pull_finish(struct pull *pull)
{
    while (pull->count > 0)
        event_unref(pull->events[--pull->count]);
}

uint64_t cursor_owed(const struct channel *const *channels, unsigned count, uint64_t cursor)
{
    uint64_t owed = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct ring *r = channels[i]->ring;
        uint32_t at = r ? ring_after(r, cursor) : 0;
        if (r && at < r->count)
            owed += r->end - (ring_at(r, at)->end - ring_at(r, at)->size);
    }
    return owed;
}

uint64_t cursor_owed_events(const struct channel *const *channels, unsigned count, uint64_t cursor)
{
    uint64_t owed = 0;
    for (unsigned i = 0; i < count; i++)
        if (channels[i]->ring && channels[i]->ring->tail > cursor) /* most readers have seen all there is */
            owed += channels[i]->ring->count - ring_after(channels[i]->ring, cursor);
    return owed;
}

/* ---- where a reader begins ---- */

/* Events after the cursor that history owes to a reader; *oldest: the number of the first of them. *stale is
 * raised to the last one that is too old by now and has only not been swept yet. */
static uint64_t count_replayed(const struct log *log, const struct channel *c, uint64_t cursor,
                               const struct replay *replay, uint64_t *oldest, uint64_t *stale)
{
    uint64_t count = 0, now = clock_mono(log->clock);
    if (replay->latest_only && !is_latest(log, c))
        return 0;
    for (uint32_t i = c->ring ? ring_after(c->ring, cursor) : 0; c->ring && i < c->ring->count; i++) {
        const struct event *e = ring_at(c->ring, i);
        if (e->kept && e->expires <= now && e->seq > *stale)
            *stale = e->seq;
        if (!is_replayed(log, e, replay, now))
            continue;
        if (e->seq < *oldest)
            *oldest = e->seq;
        count++;
    }
    return count;
}

static uint64_t count_all(const struct log *log, struct channel *const *channels, unsigned count,
                          const struct found *found, uint64_t *oldest, uint64_t *stale)
{
    uint64_t sum = 0;
    *oldest = UINT64_MAX;
    *stale = 0;
    for (unsigned i = 0; i < count; i++)
        sum += count_replayed(log, channels[i], found->cursor, &found->replay, oldest, stale);
    return sum;
}

static uint64_t highest_missed(const struct log *log, struct channel *const *channels, unsigned count)
{
    uint64_t highest = 0;
    for (unsigned i = 0; i < count; i++)
        if (log_missed(log, channels[i]) > highest)
            highest = log_missed(log, channels[i]);
    return highest;
}

/* The cursor behind which exactly `last` events of all channels stand, from the newest backwards. */
static uint64_t find_last(const struct log *log, struct channel *const *channels, unsigned count,
                          const struct replay *replay, uint64_t last)
{
    uint32_t left[CURSOR_SOURCES_MAX];
    uint64_t cursor = log->seq, now = clock_mono(log->clock);
    for (unsigned i = 0; i < count; i++)
        left[i] = channels[i]->ring ? channels[i]->ring->count : 0;
    while (last > 0) {
        unsigned best = count;
        for (unsigned i = 0; i < count; i++)
            if (left[i] > 0 && (best == count || ring_at(channels[i]->ring, left[i] - 1)->seq >
                                                     ring_at(channels[best]->ring, left[best] - 1)->seq))
                best = i;
        if (best == count)
            break;
        const struct event *e = ring_at(channels[best]->ring, --left[best]);
        if (!is_replayed(log, e, replay, now))
            continue;
        cursor = e->seq - 1;
        last--;
    }
    return cursor;
}

static uint64_t find_since(const struct log *log, struct channel *const *channels, unsigned count,
                           uint64_t ts)
{
    uint64_t cursor = log->seq;
    for (unsigned i = 0; i < count; i++) {
        const struct ring *r = channels[i]->ring;
        uint32_t at = r ? ring_since(r, ts) : 0;
        if (r && at < r->count && ring_at(r, at)->seq - 1 < cursor)
            cursor = ring_at(r, at)->seq - 1;
    }
    return cursor;
}

static bool has_latest(const struct log *log, struct channel *const *channels, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_latest(log, channels[i]))
            return true;
    return false;
}

/* A newcomer: nothing, what it asks for, or what topics that keep the latest value hold. */
static void seek_fresh(const struct log *log, struct channel *const *channels, unsigned count,
                       const struct seek *seek, struct found *found)
{
    uint64_t oldest, stale;
    bool asked = seek->last > 0 || seek->since > 0;
    uint64_t last = seek->last < CURSOR_LAST_MAX ? seek->last : CURSOR_LAST_MAX;
    found->resume = RESUME_FRESH;
    found->replay.latest_only = !asked;
    found->cursor = seek->since > 0 ? find_since(log, channels, count, seek->since) : asked ? log->seq : 0;
    if (seek->last > 0) {
        uint64_t from = find_last(log, channels, count, &found->replay, last);
        found->cursor = seek->since == 0 || from > found->cursor ? from : found->cursor;
    }
    if (!asked && !has_latest(log, channels, count)) {
        found->cursor = log->seq;
        return;
    }
    found->replayed = count_all(log, channels, count, found, &oldest, &stale);
    found->cursor = found->replayed > 0 ? oldest - 1 : log->seq;
    found->replay.floor = stale;
}

static void seek_cursor(const struct log *log, struct channel *const *channels, unsigned count,
                        const struct seek *seek, struct found *found)
{
    uint64_t oldest, stale;
    if (seek->from == SEEK_CURSOR && seek->cursor <= log->seq &&
        !has_missed(log, channels, count, &found->replay, seek->cursor)) {
        found->resume = RESUME_COMPLETE;
        found->cursor = seek->cursor;
        found->replayed = count_all(log, channels, count, found, &oldest, &stale);
        if (!stale)
            return;
    }
    found->resume = RESUME_INCOMPLETE;
    found->cursor = 0;
    found->replayed = count_all(log, channels, count, found, &oldest, &stale);
    found->cursor = found->replayed > 0 ? oldest - 1 : log->seq;
    found->replay.floor = stale;
}

void cursor_seek(struct log *log, struct channel *const *channels, unsigned count, const struct seek *seek,
                 struct found *found)
{
    memset(found, 0, sizeof(*found));
    if (seek->from == SEEK_FRESH)
        seek_fresh(log, channels, count, seek, found);
    else
        seek_cursor(log, channels, count, seek, found);
    if (found->cursor == log->seq)
        return;
    found->replay.until = log->seq;
    found->replay.now = clock_mono(log->clock);
    uint64_t missed = highest_missed(log, channels, count);
    if (missed > found->replay.floor)
        found->replay.floor = missed;
}
