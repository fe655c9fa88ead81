/* SPDX-License-Identifier: MIT
 *
 * deliver - see deliver.h. The order in which a connection is served:
 *
 *     partial   the event of which the socket took only a part
 *     out       answers, `__connected`, `__resync`; then io->page
 *     log       whatever lies behind the cursor, many events in one write
 *
 * A broadcast is pulled from the log once for all connections that stand at the same place (struct batch);
 * from the second one on, several events lie in one flat piece of memory, because one send() of a flat piece
 * is the cheapest thing the kernel offers and the copy is shared by all. A connection whose own channels have
 * news (SUB_NEWS), or that lags behind, pulls for itself.
 */
#include "deliver.h"

#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PULL_BYTES LOOP_FLAT_BUFFER
#define TURN_BYTES (256 * 1024) /* what one reader gets in one turn, so that others get theirs */
#define ENDING_MS  5000         /* for the last bytes, when user_timeout says nothing */

uint32_t deliver_retry(struct loop *l)
{
    uint32_t half = l->config.retry / 2;
    return l->config.retry - half / 2 + rng_below(&l->rng, half + 1);
}

/* ---- one send ---- */

static enum close_cause cause_of(int error)
{
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH ? CLOSE_TIMEOUT : CLOSE_RESET;
}

static void block(struct loop *l, struct conn *c)
{
    conn_set_blocked(l, c, true);
    uint32_t interest = c->flags & (CONN_PAUSED | CONN_EOF) ? 0 : IO_READ | IO_HANGUP;
    conn_watch(l, c, interest | IO_WRITE);
    stats_add(&l->stats.blocked, 1);
}

/* Bytes taken; less than total: the socket is full, and watched. -1: the connection was closed. */
static ssize_t send_some(struct loop *l, struct conn *c, const struct iovec *iov, int count, size_t total)
{
    ssize_t sent = conn_send(l, c, iov, count);
    if (!conn_is_carried(c))
        stats_add(&l->stats.sends, 1);
    if (sent == -EAGAIN) {
        block(l, c);
        return 0;
    }
    if (sent < 0) {
        conn_close(l, c, cause_of((int)-sent), true);
        return -1;
    }
    atomic_store_explicit(&c->last_write, (uint32_t)l->now, memory_order_relaxed);
    if (!conn_is_carried(c)) /* else they are counted when the session sends them */
        stats_add(&l->stats.sent_bytes, (uint64_t)sent);
    if ((size_t)sent < total)
        block(l, c);
    return sent;
}

/* What dashboards are told is not a delivery: a hub that is only looked at shows no traffic. */
static void count_delivered(struct loop *l, const struct conn *c, unsigned events)
{
    if (c->flags & CONN_COUNTED)
        stats_add(&l->stats.delivered, events);
}

static struct span wire(const struct conn *c, const struct event *e)
{
    return conn_is_chunked(c) ? event_frame(e) : event_text(e);
}

static struct span wire_block(const struct conn *c, const struct deflate_block *b)
{
    return conn_is_chunked(c) ? deflate_frame(b) : deflate_body(b);
}

static enum deliver_result flush_partial(struct loop *l, struct conn *c)
{
    struct conn_io *io = c->io;
    if (!io || !io->partial)
        return DELIVER_DONE;
    struct span bytes = io->partial_block ? wire_block(c, io->partial_block) : wire(c, io->partial);
    size_t left = bytes.len - io->partial_off;
    struct iovec iov = {(char *)(uintptr_t)bytes.p + io->partial_off, left};
    ssize_t sent = send_some(l, c, &iov, 1, left);
    if (sent < 0)
        return DELIVER_GONE;
    io->partial_off += (uint32_t)sent;
    if ((size_t)sent < left)
        return DELIVER_WAIT;
    count_delivered(l, c, 1);
    conn_leave_event(l, c);
    conn_trim(l, c);
    return DELIVER_DONE;
}

static enum deliver_result flush_out(struct loop *l, struct conn *c)
{
    struct conn_io *io = c->io;
    if (!io || io->out.len + io->page.len == 0)
        return DELIVER_DONE;
    struct iovec iov[2] = {{io->out.data, io->out.len}, {(char *)(uintptr_t)io->page.p, io->page.len}};
    bool has_out = io->out.len > 0, has_page = io->page.len > 0;
    size_t total = io->out.len + io->page.len;
    ssize_t sent = send_some(l, c, has_out ? iov : iov + 1, has_out + has_page, total);
    if (sent < 0)
        return DELIVER_GONE;
    size_t from_out = (size_t)sent < io->out.len ? (size_t)sent : io->out.len;
    buf_consume(&io->out, from_out);
    if (has_page) {
        io->page.p += (size_t)sent - from_out;
        io->page.len -= (size_t)sent - from_out;
    }
    if ((size_t)sent < total)
        return DELIVER_WAIT;
    conn_trim(l, c);
    return DELIVER_DONE;
}

/* ---- events ---- */

static void flatten(struct loop *l, struct batch *b)
{
    char *at = l->flat;
    for (unsigned i = 0; i < b->pull.count; i++) {
        struct span bytes = event_frame(b->pull.events[i]);
        memcpy(at, bytes.p, bytes.len);
        at += bytes.len;
    }
    b->flattened = true;
}

/* Broadcasts behind the connection's cursor, shared with everybody who stands where it stands. */
static struct batch *shared_batch(struct loop *l, uint64_t cursor)
{
    struct batch *b = &l->batch;
    if (b->first > 0 && cursor >= b->pull.prev && cursor < b->first) {
        if (++b->uses == 2 && b->pull.count > 1 && b->pull.bytes <= LOOP_FLAT_BUFFER)
            flatten(l, b);
        return b;
    }
    cursor_pull_finish(&b->pull);
    b->pull.cursor = cursor;
    log_lock(l->log);
    cursor_pull(l->log, &l->log->all, 1, NULL, l->news.horizon, PULL_BYTES, &b->pull);
    log_unlock(l->log);
    b->first = b->pull.count > 0 ? b->pull.events[0]->seq : 0;
    b->uses = 1;
    b->flattened = false;
    return b;
}

static void pull_own(struct loop *l, struct conn *c, struct pull *pull)
{
    struct channel *channels[CURSOR_SOURCES_MAX];
    const struct replay *replay = c->sub.marks & SUB_REPLAY ? &c->sub.more->replay : NULL;
    log_lock(l->log);
    unsigned count = registry_channels(l->registry, &c->sub, channels);
    cursor_pull(l->log, channels, count, replay, UINT64_MAX, PULL_BYTES, pull);
    log_unlock(l->log);
}

static void set_cursor(struct conn *c, uint64_t cursor)
{
    atomic_store_explicit(&c->sub.cursor, cursor, memory_order_relaxed);
}

static uint64_t get_cursor(const struct conn *c)
{
    return atomic_load_explicit(&c->sub.cursor, memory_order_relaxed);
}

/* The socket took a part of this event: the rest comes before everything else. False: the connection was
 * closed, because half an event cannot be taken back. */
static bool keep_partial(struct loop *l, struct conn *c, struct event *e, const struct deflate_block *block,
                         size_t sent)
{
    struct conn_io *io = conn_buffers(l, c);
    if (!io) {
        conn_close(l, c, CLOSE_ERROR, true);
        return false;
    }
    io->partial = e;
    io->partial_block = block;
    io->partial_off = (uint32_t)sent;
    event_ref(e);
    log_stall(l->log, e);
    return true;
}

/* The socket took only `sent` bytes: the cursor stays behind the last event of which it took something. */
static enum deliver_result stop_at(struct loop *l, struct conn *c, const struct pull *pull,
                                   const struct deflate_block *const *blocks, size_t sent)
{
    for (unsigned i = 0; i < pull->count; i++) {
        struct event *e = pull->events[i];
        const struct deflate_block *block = blocks ? blocks[i] : NULL;
        size_t size = block ? wire_block(c, block).len : wire(c, e).len;
        if (sent == 0)
            break;
        set_cursor(c, e->seq);
        if (block)
            gzip_advance(&c->more->gzip, e, block);
        if (sent < size)
            return keep_partial(l, c, e, block, sent) ? DELIVER_WAIT : DELIVER_GONE;
        sent -= size;
        count_delivered(l, c, 1);
    }
    return DELIVER_WAIT;
}

/* Events as pieces of one write; returns the bytes. */
static size_t gather(const struct conn *c, const struct pull *pull, struct iovec *iov)
{
    size_t total = 0;
    for (unsigned i = 0; i < pull->count; i++) {
        struct span bytes = wire(c, pull->events[i]);
        iov[i] = (struct iovec){(char *)(uintptr_t)bytes.p, bytes.len};
        total += bytes.len;
    }
    return total;
}

/* The blocks for a compressed stream as pieces of one write; returns the bytes, 0 when memory is short.
 * Broadcasts that are pulled for all are also compressed for all. */
static size_t gather_blocks(struct loop *l, const struct conn *c, const struct pull *pull, bool shared,
                            const struct deflate_block **blocks, struct iovec *iov)
{
    struct gzip_reader r = c->more->gzip;
    size_t total = 0;
    for (unsigned i = 0; i < pull->count; i++) {
        blocks[i] = gzip_pick(l->gzip, &r, pull->events[i], shared);
        if (!blocks[i])
            return 0;
        gzip_advance(&r, pull->events[i], blocks[i]);
        struct span bytes = wire_block(c, blocks[i]);
        iov[i] = (struct iovec){(char *)(uintptr_t)bytes.p, bytes.len};
        total += bytes.len;
    }
    return total;
}

/* Forms of events that are only held make room for others. */
static void thin_forms(struct loop *l)
{
    if (!gzip_is_full(l->gzip))
        return;
    log_lock(l->log);
    struct event_zip *old = gzip_take(l->gzip);
    log_unlock(l->log);
    gzip_drop(old);
}

static enum deliver_result send_zipped(struct loop *l, struct conn *c, const struct pull *pull, bool shared)
{
    const struct deflate_block *blocks[CURSOR_PULL_MAX];
    struct iovec iov[CURSOR_PULL_MAX];
    thin_forms(l);
    size_t total = gather_blocks(l, c, pull, shared, blocks, iov);
    if (total == 0) {
        conn_close(l, c, CLOSE_ERROR, true);
        return DELIVER_GONE;
    }
    ssize_t sent = send_some(l, c, iov, (int)pull->count, total);
    if (sent < 0)
        return DELIVER_GONE;
    enum deliver_result rc = stop_at(l, c, pull, blocks, (size_t)sent);
    if ((size_t)sent < total)
        return rc;
    set_cursor(c, pull->cursor);
    return DELIVER_DONE;
}

static enum deliver_result send_pull(struct loop *l, struct conn *c, const struct pull *pull, bool flat)
{
    struct iovec iov[CURSOR_PULL_MAX];
    iov[0] = (struct iovec){l->flat, pull->bytes};
    size_t total = flat ? pull->bytes : gather(c, pull, iov);
    ssize_t sent = send_some(l, c, iov, flat ? 1 : (int)pull->count, total);
    if (sent < 0)
        return DELIVER_GONE;
    if ((size_t)sent < total)
        return stop_at(l, c, pull, NULL, (size_t)sent);
    set_cursor(c, pull->cursor);
    count_delivered(l, c, pull->count);
    return DELIVER_DONE;
}

static uint64_t newest(struct loop *l)
{
    log_lock(l->log);
    uint64_t seq = l->log->seq;
    log_unlock(l->log);
    return seq;
}

/* The one place where a reader that was too slow is dealt with. */
static enum deliver_result too_slow(struct loop *l, struct conn *c)
{
    if (l->config.slow_reader == TIDINGS_SLOW_DISCONNECT) {
        deliver_end(l, c, CLOSE_SLOW);
        return DELIVER_WAIT;
    }
    char id[EVENT_ID_LEN + 1];
    struct conn_io *io = conn_buffers(l, c);
    if (!io) {
        conn_close(l, c, CLOSE_ERROR, true);
        return DELIVER_GONE;
    }
    /* Everything so far is skipped, also what is still held: the application reloads its state now, and older
     * events would take it back. Not to the horizon: what is lost may lie behind it, and so may the cursor.
     */
    uint64_t cursor = newest(l);
    set_cursor(c, cursor);
    registry_count_resync(l->registry, &c->sub);
    registry_end_replay(l->registry, &c->sub);
    c->sub.marks &= (uint8_t)~SUB_NEWS;
    event_id(id, l->log->epoch, cursor);
    say(c, &io->out, "__resync", span_of(id), SPAN("{\"resume\":\"incomplete\",\"reason\":\"slow_reader\"}"));
    stats_add(&l->stats.resyncs, 1);
    if (!io->out.failed)
        return flush_out(l, c);
    conn_close(l, c, CLOSE_ERROR, true);
    return DELIVER_GONE;
}

/* shared: the same is pulled for everybody. */
static enum deliver_result serve(struct loop *l, struct conn *c, const struct pull *pull, bool shared)
{
    if (pull->lost)
        return too_slow(l, c);
    if (pull->count > 0 && conn_is_zipped(c))
        return send_zipped(l, c, pull, shared);
    if (pull->count > 0)
        return send_pull(l, c, pull, shared && l->batch.flattened && conn_is_chunked(c));
    set_cursor(c, pull->cursor);
    return DELIVER_DONE;
}

/* History is behind it: what comes now is live. Whoever was given only the latest values has ids of old
 * events as its cursor, and is moved to where it really stands. */
static enum deliver_result finish_replay(struct loop *l, struct conn *c)
{
    const struct replay *replay = &c->sub.more->replay;
    bool latest_only = replay->latest_only;
    if (get_cursor(c) < replay->until)
        return DELIVER_DONE;
    registry_end_replay(l->registry, &c->sub);
    if (!latest_only)
        return DELIVER_DONE;
    char id[EVENT_ID_LEN + 1];
    struct conn_io *io = conn_buffers(l, c);
    if (io) {
        event_id(id, l->log->epoch, get_cursor(c));
        say_id(c, &io->out, span_of(id));
        return flush_out(l, c);
    }
    return DELIVER_DONE; /* the next event or heartbeat says it too */
}

/* One pull and one write. *left: there may be more behind it. */
static enum deliver_result serve_own(struct loop *l, struct conn *c, size_t *share, bool *left)
{
    struct pull own;
    own.cursor = get_cursor(c);
    pull_own(l, c, &own);
    *share += own.bytes;
    *left = own.more || own.lost;
    enum deliver_result rc = serve(l, c, &own, false);
    /* Only now: as long as a part is not sent, its own channels still have news. */
    if (rc == DELIVER_DONE && !*left)
        c->sub.marks &= (uint8_t)~SUB_NEWS;
    cursor_pull_finish(&own);
    return rc == DELIVER_DONE && c->sub.marks & SUB_REPLAY ? finish_replay(l, c) : rc;
}

static enum deliver_result serve_shared(struct loop *l, struct conn *c, size_t *share, bool *left)
{
    const struct batch *b = shared_batch(l, get_cursor(c));
    *share += b->pull.bytes;
    *left = b->pull.more || b->pull.lost;
    return serve(l, c, &b->pull, true);
}

static enum deliver_result flush_stream(struct loop *l, struct conn *c)
{
    size_t share = 0;
    bool left = true;
    while (left && share < TURN_BYTES) {
        bool shared = c->sub.client && !(c->sub.marks & SUB_NEWS);
        enum deliver_result rc = shared ? serve_shared(l, c, &share, &left) : serve_own(l, c, &share, &left);
        if (rc != DELIVER_DONE)
            return rc;
    }
    if (!left)
        return DELIVER_DONE;
    conn_list(l, c);
    return DELIVER_WAIT;
}

static void unblock(struct loop *l, struct conn *c)
{
    if (!(c->flags & CONN_BLOCKED))
        return;
    conn_set_blocked(l, c, false);
    conn_watch(l, c, c->interest & (uint32_t)~IO_WRITE);
}

enum deliver_result deliver_flush(struct loop *l, struct conn *c)
{
    enum deliver_result rc = flush_partial(l, c);
    if (rc == DELIVER_DONE)
        rc = flush_out(l, c);
    if (rc == DELIVER_DONE && c->state == CONN_STREAM)
        rc = flush_stream(l, c);
    if (rc == DELIVER_DONE)
        unblock(l, c);
    return rc;
}

/* ---- the beginning and the end of a stream ---- */

static void schedule_heartbeat(struct loop *l, struct conn *c, bool first)
{
    uint32_t every = l->config.heartbeat;
    c->flags &= (uint8_t)~CONN_BEATS;
    if (every == 0)
        return;
    c->flags |= CONN_BEATS;
    /* The first one anywhere in the second half of the interval, so that a crowd that came together spreads
     * out; the others keep their distance within a tenth, so that it stays spread. */
    c->heartbeat_at = (uint32_t)l->now + rng_shorten(&l->rng, every, first ? 50 : 10);
}

/* Until a stream has to end for what it was admitted with, ms; 0 = never. Deadlines are shorter than the life
 * of some tokens: then it is asked again. */
static uint32_t time_left(struct loop *l, const struct conn *c)
{
    const uint64_t longest = 24ull * 3600 * 1000;
    uint64_t now = clock_wall(l->clock), expires = c->more ? c->more->expires : 0;
    if (expires == 0)
        return 0;
    return expires <= now ? 1 : expires - now > longest ? (uint32_t)longest : (uint32_t)(expires - now);
}

void deliver_begin(struct loop *l, struct conn *c, uint32_t age)
{
    conn_begin_stream(l, c);
    stats_add(&l->stats.streams_opened, 1);
    uint32_t left = time_left(l, c);
    age = age ? rng_shorten(&l->rng, age, 20) : 0;
    if (left > 0 && (age == 0 || left < age))
        age = left;
    conn_set_deadline(l, c, age);
    schedule_heartbeat(l, c, true);
    conn_list(l, c);
}

void deliver_end(struct loop *l, struct conn *c, enum close_cause cause)
{
    conn_end_stream(l, c, cause);
    uint32_t patience = l->config.user_timeout;
    conn_set_deadline(l, c, patience && patience < ENDING_MS ? patience : ENDING_MS);
    struct conn_io *io = conn_buffers(l, c);
    if (io) {
        say_retry(c, &io->out, deliver_retry(l));
        say_end(c, &io->out);
    }
    conn_list(l, c);
}

static void say_expired(struct loop *l, struct conn *c)
{
    char json[64];
    struct conn_io *io = conn_buffers(l, c);
    int n = snprintf(json, sizeof(json), "{\"reason\":\"%s\"}", c->more->expiry_reason);
    if (io)
        say(c, &io->out, "__expired", (struct span){0}, (struct span){json, (size_t)n});
}

void deliver_due(struct loop *l, struct conn *c)
{
    const uint64_t rounding = 10; /* the deadline was of another clock */
    uint64_t expires = c->more ? c->more->expires : 0;
    if (l->draining) {
        deliver_end(l, c, CLOSE_DRAIN);
    } else if (expires > 0 && clock_wall(l->clock) + rounding >= expires) {
        say_expired(l, c);
        deliver_end(l, c, CLOSE_EXPIRED);
    } else if (expires > 0 && l->config.max_connection_age == 0) {
        conn_set_deadline(l, c, time_left(l, c));
    } else {
        deliver_end(l, c, CLOSE_AGE);
    }
}

/* ---- readers that stand still ---- */

/* The number of the event in the middle of which the connection stands; 0: of none that it alone holds. */
static uint64_t stalled_in(struct loop *l, const struct conn *c)
{
    struct event *e = c->flags & CONN_BLOCKED && c->io ? c->io->partial : NULL;
    if (!e)
        return 0;
    log_lock(l->log);
    bool gone = !e->channel;
    log_unlock(l->log);
    return gone ? e->seq : 0;
}

static void end_stalled(struct loop *l, uint64_t up_to)
{
    for (uint32_t i = 0; i < slab_end(&l->conns); i++) {
        struct conn *c = slab_get(&l->conns, i);
        uint64_t seq = c ? stalled_in(l, c) : 0;
        if (seq == 0 || seq > up_to)
            continue;
        stats_add(&l->stats.refused_stalled, 1);
        conn_close(l, c, CLOSE_SLOW, true); /* half an event cannot be taken back */
    }
}

/* Whoever drags one event out is in an older one than the merely slow. All loops come to the same number, so
 * that none gives up readers of its own for those of another, which leave when that one ticks. */
void deliver_relieve(struct loop *l)
{
    uint64_t limit = l->config.max_stalled_bytes;
    if (limit == 0)
        return;
    log_lock(l->log);
    uint64_t up_to = log_find_stalled(l->log, limit);
    log_unlock(l->log);
    if (up_to > 0)
        end_stalled(l, up_to);
}

/* ---- a loop's turn ---- */

static void mark(void *user, struct sub *s)
{
    struct loop *l = user;
    struct conn *c = conn_of_sub(s);
    s->marks |= s->kick ? SUB_NEWS | SUB_KICK : SUB_NEWS;
    if (!(c->flags & CONN_BLOCKED) || s->kick)
        conn_list(l, c);
}

static bool takes_broadcasts(const struct conn *c)
{
    return c->state == CONN_STREAM && !(c->flags & CONN_BLOCKED) && c->sub.client;
}

static void walk_streams(struct loop *l, void (*visit)(struct loop *l, struct conn *c))
{
    for (uint32_t base = 0; base < slab_end(&l->conns); base += SLAB_CHUNK) {
        struct conn *chunk = slab_chunk_at(&l->conns, base);
        for (unsigned i = 0; chunk && i < SLAB_CHUNK; i++)
            if (takes_broadcasts(&chunk[i]))
                visit(l, &chunk[i]);
    }
}

static void visit_broadcast(struct loop *l, struct conn *c)
{
    /* `out` before events: a stream that has just begun has its head there. */
    if (c->io ? flush_out(l, c) == DELIVER_DONE : true)
        flush_stream(l, c);
}

void deliver_news(struct loop *l)
{
    /* Before heartbeats are due also without news: what went to others alone moves quiet readers on, too. */
    if (!registry_has_news(l->registry, l->index) && l->now < l->next_tick)
        return;
    l->news = registry_take(l->registry, l->index, mark, l);
    if (l->news.all)
        walk_streams(l, visit_broadcast);
}

void deliver_turn_end(struct loop *l)
{
    cursor_pull_finish(&l->batch.pull);
    l->batch.first = 0;
}

/* The socket took only a part of l->scratch. */
static void keep_rest(struct loop *l, struct conn *c, size_t sent)
{
    if (sent == l->scratch.len)
        return;
    struct conn_io *io = conn_buffers(l, c);
    if (!io || buf_append(&io->out, l->scratch.data + sent, l->scratch.len - sent) < 0)
        conn_close(l, c, CLOSE_ERROR, true); /* half a heartbeat cannot be taken back */
}

void deliver_heartbeat(struct loop *l, struct conn *c)
{
    if (!(c->flags & CONN_BEATS)) {
        schedule_heartbeat(l, c, true); /* a reload may have brought an interval */
        return;
    }
    if ((int32_t)((uint32_t)l->now - c->heartbeat_at) < 0)
        return;
    schedule_heartbeat(l, c, false);
    /* A full socket needs no sign of life, and what is listed has more to say in a moment. */
    if (c->flags & (CONN_BLOCKED | CONN_LISTED) || c->sub.marks)
        return;
    char id[EVENT_ID_LEN + 1], json[48];
    size_t n = sizeof("{\"ts\":") - 1;
    if (l->news.horizon > get_cursor(c))
        set_cursor(c, l->news.horizon); /* nothing up to there was for this one */
    event_id(id, l->log->epoch, get_cursor(c));
    memcpy(json, "{\"ts\":", n);
    n += text_put_u64(json + n, clock_wall(l->clock));
    json[n++] = '}';
    buf_clear(&l->scratch);
    say(c, &l->scratch, "__heartbeat", span_of(id), (struct span){json, n});
    struct iovec iov = {l->scratch.data, l->scratch.len};
    ssize_t sent = l->scratch.failed ? -1 : send_some(l, c, &iov, 1, l->scratch.len);
    if (sent < 0)
        return;
    stats_add(&l->stats.heartbeats, 1);
    keep_rest(l, c, (size_t)sent);
}
