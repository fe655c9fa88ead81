/* SPDX-License-Identifier: MIT
 *
 * history - see history.h. A page is a reader that comes, is given its replay, and leaves: found and pulled
 * like anybody's, under one lock, so that it is of one moment. It is written when the lock is given back,
 * from the events that the pulls have referenced.
 */
#include "history.h"

#include "json.h"
#include "query.h"

#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000
#define PAGE_BYTES    (1024 * 1024) /* of frames; one event is given whatever its size */
#define ITEM_BYTES    1024          /* of an item, besides its payload: id, event, ts, target, all escaped */
#define HEAD_BYTES    4096          /* of the answer's head */

struct wish {
    enum channel_kind kind;
    struct span key; /* in `name` */
    char name[TIDINGS_TOPIC_MAX];
    bool has_after;
    struct seek seek;
    uint64_t limit;
};

struct page {
    struct event *events[LIMIT_MAX]; /* each with a reference */
    bool broadcast[LIMIT_MAX];       /* noted under the lock: e->channel is the log's */
    unsigned count;
    size_t bytes;
    bool more;
    bool complete;
};

/* ---- what is asked ---- */

static bool read_name(struct request *r, struct wish *w, const char *what, size_t max, const char *code)
{
    ssize_t n = query_text(r, what, w->name, max);
    if (n < 0 || !text_is_name(w->name, (size_t)n, max)) {
        http_problem(r, 400, code, "%s: 1 to %zu bytes of UTF-8 without control characters", what, max);
        return false;
    }
    w->key = (struct span){w->name, (size_t)n};
    return true;
}

static bool read_target(struct request *r, struct wish *w)
{
    char text[sizeof("false") - 1], any;
    bool client = query_text(r, "clientId", &any, 0) != -1, topic = query_text(r, "topic", &any, 0) != -1;
    ssize_t n = query_text(r, "broadcast", text, sizeof(text));
    struct span flag = {text, n > 0 ? (size_t)n : 0};
    bool all = span_eq(flag, SPAN("true"));
    if (n != -1 && !all && !span_eq(flag, SPAN("false"))) {
        http_problem(r, 400, "invalid_parameter", "broadcast: true or false");
        return false;
    }
    if (client + topic + all == 0) {
        http_problem(r, 400, "missing_field", "clientId, topic or broadcast=true: missing");
        return false;
    }
    if (client + topic + all > 1) {
        http_problem(r, 400, "ambiguous_target", "clientId, topic, broadcast: only one of them");
        return false;
    }
    w->kind = client ? CHANNEL_CLIENT : topic ? CHANNEL_TOPIC : CHANNEL_ALL;
    return all || (client ? read_name(r, w, "clientId", TIDINGS_CLIENT_ID_MAX, "invalid_client_id")
                          : read_name(r, w, "topic", TIDINGS_TOPIC_MAX, "invalid_topic"));
}

/* What cannot be read is an unknown id, not none. */
static void read_after(struct request *r, struct wish *w)
{
    char text[TIDINGS_ID_MAX], epoch[EVENT_EPOCH_LEN];
    ssize_t n = query_text(r, "after", text, sizeof(text));
    w->has_after = n > 0 || n == -2;
    bool ours = n > 0 && event_parse_id((struct span){text, (size_t)n}, epoch, &w->seek.cursor) &&
                memcmp(epoch, r->service->log->epoch, EVENT_EPOCH_LEN) == 0;
    w->seek.from = ours ? SEEK_CURSOR : SEEK_UNKNOWN;
}

static bool read_limit(struct request *r, uint64_t *limit)
{
    if (!query_number(r, "limit", LIMIT_MAX, LIMIT_DEFAULT, limit))
        return false;
    if (*limit == 0)
        http_problem(r, 400, "invalid_parameter", "limit: not a whole number from 1 to %d", LIMIT_MAX);
    return *limit > 0;
}

/* ---- under the lock ---- */

/* Takes over the references. */
static void take(const struct log *log, const struct wish *w, struct pull *pull, struct page *p)
{
    for (unsigned i = 0; i < pull->count; i++) {
        struct event *e = pull->events[i];
        if (p->more || p->count == w->limit || (p->count > 0 && p->bytes + e->size > PAGE_BYTES)) {
            p->more = true;
            event_unref(e); /* the log has one too */
            continue;
        }
        p->broadcast[p->count] = e->channel == log->all;
        p->events[p->count++] = e;
        p->bytes += e->size;
    }
    pull->count = 0;
}

static void collect(struct log *log, const struct wish *w, struct page *p)
{
    struct channel *channels[2], *own = w->kind == CHANNEL_ALL ? log->all : log_find(log, w->kind, w->key);
    unsigned count = 0;
    struct seek seek = w->seek;
    struct found found;
    if (w->kind == CHANNEL_CLIENT)
        channels[count++] = log->all;
    if (own)
        channels[count++] = own;
    else if (log_forgotten(log, w->kind, w->key) > seek.cursor)
        seek.from = SEEK_UNKNOWN;
    cursor_seek(log, channels, count, &seek, &found);
    p->complete = !w->has_after || found.resume == RESUME_COMPLETE;
    struct pull pull = {.cursor = found.cursor, .more = true};
    while (pull.more && !p->more) {
        cursor_pull(log, channels, count, &found.replay, log->seq, PAGE_BYTES, &pull);
        take(log, w, &pull, p);
    }
}

/* ---- the answer ---- */

static void put_event(struct buf *out, const struct service *s, const struct wish *w, const struct event *e,
                      bool broadcast)
{
    char id[EVENT_ID_LEN + 1];
    event_id(id, s->log->epoch, e->seq);
    buf_putc(out, '{');
    json_put_member(out, "id", span_of(id));
    json_put_member(out, "event", event_name(e));
    struct span payload = event_payload(e);
    buf_puts(out, ",\"payload\":");
    buf_append(out, payload.p, payload.len);
    json_put_member_u64(out, "ts", e->ts);
    if (broadcast)
        buf_puts(out, ",\"broadcast\":true");
    else
        json_put_member(out, w->kind == CHANNEL_TOPIC ? "topic" : "clientId", w->key);
    buf_putc(out, '}');
}

static void put_page(struct buf *out, const struct service *s, const struct wish *w, const struct page *p)
{
    char id[EVENT_ID_LEN + 1];
    buf_puts(out, "{\"events\":[");
    for (unsigned i = 0; i < p->count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        put_event(out, s, w, p->events[i], p->broadcast[i]);
    }
    buf_puts(out, p->complete ? "],\"complete\":true,\"next\":" : "],\"complete\":false,\"next\":");
    if (p->more) {
        event_id(id, s->log->epoch, p->events[p->count - 1]->seq);
        json_put_string(out, span_of(id));
    } else {
        buf_puts(out, "null");
    }
    buf_putc(out, '}');
}

/* A page is large enough to be counted with the memory of requests until its reader has taken it. One event
 * alone may be larger than what else a connection is allowed to hold. */
static bool make_room(struct request *r, size_t n)
{
    struct conn_io *io = conn_buffers(r->loop, r->x->conn);
    if (!io) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return false;
    }
    if (!conn_reserve(r->loop, r->x->conn, n)) {
        stats_add(&r->loop->stats.refused_memory, 1);
        http_problem(r, 503, "request_memory", "the memory for requests is used up");
        return false;
    }
    if (io->out.max < io->out.len + n + HEAD_BYTES)
        io->out.max = io->out.len + n + HEAD_BYTES;
    return true;
}

static void answer(struct request *r, const struct wish *w, const struct page *p)
{
    struct buf json;
    buf_init(&json, p->bytes + (p->count + 1) * (size_t)ITEM_BYTES);
    put_page(&json, r->service, w, p);
    if (json.failed || r->is_head || make_room(r, json.len))
        http_reply_json(r, 200, &json);
    buf_finish(&json);
}

void history_handle(struct request *r)
{
    struct wish wish = {.kind = CHANNEL_ALL};
    struct page page = {.count = 0};
    if (!read_target(r, &wish) || !read_limit(r, &wish.limit))
        return;
    read_after(r, &wish);
    log_lock(r->service->log);
    collect(r->service->log, &wish, &page);
    log_unlock(r->service->log);
    answer(r, &wish, &page);
    while (page.count > 0)
        event_unref(page.events[--page.count]);
}
