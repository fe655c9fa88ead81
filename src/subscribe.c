/* SPDX-License-Identifier: MIT
 *
 * subscribe - see subscribe.h. Everything is checked before the registry is asked; once it has admitted the
 * connection, only want of memory can stop the stream, and then the connection is closed: a browser comes
 * back.
 */
#include "subscribe.h"

#include "admission.h"
#include "bearer.h"
#include "json.h"
#include "query.h"
#include "say.h"

#include <stdlib.h>
#include <string.h>

#define TOPICS_CEILING 1024 /* also when --max-topics is 0: see CURSOR_SOURCES_MAX */

struct wish {
    char client_id[TIDINGS_CLIENT_ID_MAX];
    char name[TIDINGS_NAME_MAX];
    struct join join;
    struct span *topics; /* owned, with their text behind them */
    struct span *added;  /* owned: these and those of the application */
    struct found found;
};

/* ---- reading the request ---- */

static bool read_client_id(struct request *r, struct wish *w)
{
    char decoded[3 * TIDINGS_CLIENT_ID_MAX];
    ssize_t n =
        r->param.len <= sizeof(decoded) ? text_percent_decode(r->param.p, r->param.len, decoded, false) : -1;
    if (n < 0 || !text_is_name(decoded, (size_t)n, TIDINGS_CLIENT_ID_MAX)) {
        http_problem(r, 400, "invalid_client_id",
                     "clientId: 1 to %d bytes of UTF-8 without control characters, percent-encoded",
                     TIDINGS_CLIENT_ID_MAX);
        return false;
    }
    memcpy(w->client_id, decoded, (size_t)n);
    w->join.client_id = (struct span){w->client_id, (size_t)n};
    return true;
}

static bool read_name(struct request *r, struct wish *w)
{
    ssize_t n = query_text(r, "name", w->name, sizeof(w->name));
    if (n == -2 || (n > 0 && !text_is_name(w->name, (size_t)n, TIDINGS_NAME_MAX))) {
        http_problem(r, 400, "invalid_name", "name: at most %d bytes of UTF-8 without control characters",
                     TIDINGS_NAME_MAX);
        return false;
    }
    w->join.name = (struct span){w->name, n > 0 ? (size_t)n : 0};
    return true;
}

static bool is_topic(struct span key)
{
    char decoded[16];
    ssize_t n = key.len <= sizeof(decoded) ? text_percent_decode(key.p, key.len, decoded, true) : -1;
    return n > 0 && span_eq((struct span){decoded, (size_t)n}, SPAN("topic"));
}

static uint32_t count_topics(const struct request *r)
{
    struct span rest = r->head->query, key, value;
    uint32_t count = 0;
    while (text_query_next(&rest, &key, &value))
        count += is_topic(key);
    return count;
}

/* One allocation: the spans, then room for all of the decoded text (never longer than the query). */
static bool alloc_topics(struct request *r, struct wish *w, uint32_t count)
{
    w->topics = malloc(count * sizeof(*w->topics) + r->head->query.len);
    if (!w->topics)
        http_problem(r, 503, "out_of_memory", "memory is short");
    return w->topics != NULL;
}

static bool read_topics(struct request *r, struct wish *w)
{
    struct span rest = r->head->query, key, value;
    uint32_t count = count_topics(r), max = r->loop->config.max_topics;
    max = max ? max : TOPICS_CEILING;
    if (count == 0)
        return true;
    if (count > max) {
        http_problem(r, 400, "too_many_topics", "topic: more than %u (--max-topics)", max);
        return false;
    }
    if (!alloc_topics(r, w, count))
        return false;
    char *text = (char *)(w->topics + count);
    while (text_query_next(&rest, &key, &value)) {
        if (!is_topic(key))
            continue;
        ssize_t n = text_percent_decode(value.p, value.len, text, true);
        if (n < 0 || !text_is_name(text, (size_t)n, TIDINGS_TOPIC_MAX)) {
            http_problem(r, 400, "invalid_topic", "topic: 1 to %d bytes of UTF-8 without control characters",
                         TIDINGS_TOPIC_MAX);
            return false;
        }
        w->topics[w->join.topic_count++] = (struct span){text, (size_t)n};
        text += n;
    }
    w->join.topics = w->topics;
    return true;
}

static void seek_from(struct request *r, struct seek *seek, struct span id)
{
    char epoch[EVENT_EPOCH_LEN];
    bool ours = event_parse_id(id, epoch, &seek->cursor) &&
                memcmp(epoch, r->service->log->epoch, EVENT_EPOCH_LEN) == 0;
    seek->from = ours ? SEEK_CURSOR : SEEK_UNKNOWN;
}

/* A header that is there wins, then the query's names; an empty cursor is none. */
static void read_cursor(struct request *r, struct wish *w)
{
    static const char *const names[] = {"lastEventId", "last_event_id", "lastEventID"};
    struct span header = r->head->known[H1_LAST_EVENT_ID];
    char text[TIDINGS_ID_MAX];
    if (header.len > 0)
        seek_from(r, &w->join.seek, header);
    for (unsigned i = 0; i < 3 && !header.p && w->join.seek.from == SEEK_FRESH; i++) {
        ssize_t n = query_text(r, names[i], text, sizeof(text));
        if (n > 0 || n == -2) /* what cannot be read is an unknown cursor, not none */
            seek_from(r, &w->join.seek, (struct span){text, n > 0 ? (size_t)n : 0});
    }
}

/* What a newcomer wants of the recent past. */
static bool read_past(struct request *r, struct wish *w)
{
    const uint64_t most = 1ull << 53; /* what a JavaScript number can say */
    return query_number(r, "replay", most, 0, &w->join.seek.last) &&
           query_number(r, "since", most, 0, &w->join.seek.since);
}

static bool accepts_stream(struct request *r)
{
    if (h1_accepts(r->head->known[H1_ACCEPT], SPAN("text/event-stream")))
        return true;
    http_problem(r, 406, "not_acceptable", "Accept: excludes text/event-stream, which is all there is");
    return false;
}

/* ---- asking the embedder ---- */

static const char *copy(struct buf *text, struct span s)
{
    if (!s.p)
        return NULL;
    const char *at = text->data + text->len;
    buf_append(text, s.p, s.len);
    buf_putc(text, '\0');
    return at;
}

static int ask(struct request *r, const struct wish *w)
{
    const struct h1_head *head = r->head;
    struct buf text;
    char address[CONN_ADDRESS_LEN], token[AUTH_TEXT_MAX];
    ssize_t token_len = bearer_query(head, token, sizeof(token));
    size_t room = head->known[H1_AUTHORIZATION].len + head->known[H1_COOKIE].len + head->query.len +
                  w->join.client_id.len + sizeof(token) + w->join.topic_count + 8;
    const char **topics = calloc(w->join.topic_count + 1, sizeof(*topics));
    buf_init(&text, room);
    int rc = 503;
    if (topics && buf_reserve(&text, room) == 0) {
        for (uint32_t i = 0; i < w->join.topic_count; i++)
            topics[i] = copy(&text, w->join.topics[i]);
        conn_address(r->x->conn, address);
        struct tidings_auth_request asked = {
            .client_id = copy(&text, w->join.client_id),
            .topics = topics,
            .address = address,
            .authorization = copy(&text, head->known[H1_AUTHORIZATION]),
            .cookie = copy(&text, head->known[H1_COOKIE]),
            .access_token = token_len > 0 ? copy(&text, (struct span){token, (size_t)token_len}) : NULL};
        rc = r->loop->config.authorize(r->loop->config.user, &asked);
    }
    buf_finish(&text);
    free(topics);
    return rc;
}

/* Whoever brings none of our credentials is the application's to know. */
static bool asks_application(const struct request *r)
{
    return r->who.kind == AUTH_NOBODY && admission_is_asked(r->service);
}

/* By the hub's own credentials first, unless the application is to be asked; then the embedder has the last
 * word. */
static bool is_authorized(struct request *r, const struct wish *w)
{
    struct problem why;
    enum auth_result result = asks_application(r)
                                  ? AUTH_OK
                                  : auth_may_receive(r->auth, &r->who, w->join.client_id, w->join.topics,
                                                     w->join.topic_count, &why);
    if (result != AUTH_OK) {
        http_deny(r, result, &why);
        return false;
    }
    int rc = r->loop->config.authorize ? ask(r, w) : 0;
    if (rc == 0)
        return true;
    if (rc == 401)
        http_problem(r, 401, "unauthorized", "credentials are required to subscribe");
    else if (rc == 503)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        http_problem(r, 403, "forbidden", "this subscription is not allowed");
    return false;
}

/* ---- the stream ---- */

/* Where the stream begins. A newcomer who is given the latest values only stands at the tail: whoever is cut
 * off in between has missed nothing that came later. */
static uint64_t connected_at(const struct found *found)
{
    return found->replay.latest_only && found->replay.until > 0 ? found->replay.until : found->cursor;
}

void subscribe_put_connected(struct request *r, struct buf *out, struct span client_id, struct span name,
                             const struct found *found)
{
    static const char *const texts[] = {
        [RESUME_FRESH] = "fresh", [RESUME_COMPLETE] = "complete", [RESUME_INCOMPLETE] = "incomplete"};
    struct conn *c = r->x->conn;
    char id[EVENT_ID_LEN + 1], connection[CONNECTION_ID_LEN + 1];
    struct buf json;
    buf_init(&json, 4096);
    registry_connection_id(&c->sub, connection);
    event_id(id, r->service->log->epoch, connected_at(found));
    buf_puts(&json, "{\"message\":\"connected\"");
    if (client_id.p) {
        json_put_member(&json, "clientId", client_id);
        json_put_member(&json, "name", name);
    }
    json_put_member(&json, "connectionId", span_of(connection));
    json_put_member_u64(&json, "ts", clock_wall(r->service->clock));
    json_put_member(&json, "resume", span_of(texts[found->resume]));
    json_put_member_u64(&json, "replayed", found->replayed);
    buf_putc(&json, '}');
    say(c, out, "__connected", span_of(id), (struct span){json.data, json.len});
    if (json.failed)
        out->failed = true;
    buf_finish(&json);
}

static void refuse(struct request *r, enum join_result result)
{
    struct stats *stats = &r->loop->stats;
    switch (result) {
    case JOIN_HUB_FULL:
        stats_add(&stats->refused_hub, 1);
        http_overloaded(r, 503, "max_connections",
                        "the hub holds as many streams as --max-connections allows");
        break;
    case JOIN_CLIENT_FULL:
        stats_add(&stats->refused_client, 1);
        http_overloaded(r, 429, "max_connections_per_client",
                        "the client has as many streams as --max-connections-per-client allows");
        break;
    case JOIN_DASHBOARDS_FULL:
        stats_add(&stats->refused_dashboards, 1);
        http_overloaded(r, 503, "max_dashboards", "the hub shows itself to as many dashboards as it can");
        break;
    case JOIN_BANNED:
        /* WHATWG HTML section 9.2.2: 204 makes an EventSource stop for good. */
        stats_add(&stats->refused_banned, 1);
        http_reply(r, 204, (struct span){0}, (struct span){0}, "Cache-Control: no-store\r\n");
        break;
    case JOIN_NO_MEMORY:
        http_overloaded(r, 503, "out_of_memory", "memory is short");
        break;
    case JOIN_OK:
        break;
    }
}

bool subscribe_join(struct request *r, const struct join *join, struct found *found)
{
    struct conn *c = r->x->conn;
    conn_set_agent(r->loop, c, r->head->known[H1_USER_AGENT]);
    enum join_result result = registry_join(r->service->registry, &c->sub, join, found);
    if (result != JOIN_OK)
        refuse(r, result);
    return result == JOIN_OK;
}

bool subscribe_remember(struct request *r)
{
    const struct token_claims *claims = r->who.claims;
    struct conn *c = r->x->conn;
    return conn_expire(c, r->who.expires, auth_expiry_reason(&r->who)) &&
           (!claims || conn_set_pass(c, claims->id, claims->subject));
}

/* Counts the stream with those of its address, which is the visitor's from now on. False: answered. */
static bool enter(struct request *r)
{
    struct conn *c = r->x->conn;
    if (r->forwarded)
        conn_set_netaddr(c, &r->address);
    if (quota_enter(r->service->quota, r->loop->config.max_connections_per_address, &r->loop->stats,
                    &r->address, &c->crowded))
        return true;
    http_overloaded(r, 429, "max_connections_per_address",
                    "the address has as many streams as --max-connections-per-address allows");
    return false;
}

static void count_resume(struct loop *l, const struct found *found)
{
    stats_add(found->resume == RESUME_FRESH      ? &l->stats.resume_fresh
              : found->resume == RESUME_COMPLETE ? &l->stats.resume_complete
                                                 : &l->stats.resume_incomplete,
              1);
    stats_add(&l->stats.replayed, found->replayed);
}

static void start(struct request *r, struct wish *w)
{
    struct conn *c = r->x->conn;
    struct conn_io *io = conn_buffers(r->loop, c);
    if (!io || !subscribe_remember(r)) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return;
    }
    if (!enter(r))
        return;
    if (!subscribe_join(r, &w->join, &w->found)) {
        service_leave_address(r->service, c);
        return;
    }
    count_resume(r->loop, &w->found);
    bool begun = http_begin_stream(r);
    deliver_begin(r->loop, c, r->loop->config.max_connection_age);
    say_hello(c, &io->out, deliver_retry(r->loop));
    subscribe_put_connected(r, &io->out, w->join.client_id, w->join.name, &w->found);
    service_stream_opened(r->service, r->loop, c);
    if (!begun || io->out.failed)
        conn_close(r->loop, c, CLOSE_ERROR, true);
}

/* ---- asking the application ---- */

static void wish_finish(struct wish *w)
{
    free(w->topics);
    free(w->added);
}

/* A copy that does not live on anybody's stack. NULL: memory is short. */
static struct wish *wish_keep(struct wish *w)
{
    struct wish *kept = malloc(sizeof(*kept));
    if (!kept)
        return NULL;
    *kept = *w;
    kept->join.client_id.p = kept->client_id;
    kept->join.name.p = kept->name;
    w->topics = NULL;
    return kept;
}

static void forbid(struct request *r, struct span topic)
{
    http_problem(r, 403, "forbidden", "topic: \"%.*s\" is not allowed",
                 (int)(topic.len < 80 ? topic.len : 80), topic.p);
}

/* His own topics, as far as they are allowed, and those that the application adds. False: answered. */
static bool take_topics(struct request *r, struct wish *w, const struct decision *d)
{
    uint32_t added = 0, max = r->loop->config.max_topics ? r->loop->config.max_topics : TOPICS_CEILING;
    for (uint32_t i = 0; i < w->join.topic_count; i++)
        if (!decision_allows(d, w->join.topics[i])) {
            forbid(r, w->join.topics[i]);
            return false;
        }
    while (decision_topic(d, added).p)
        added++;
    if (added == 0)
        return true;
    if (added + w->join.topic_count > max) {
        http_problem(r, 400, "too_many_topics", "topic: more than %u (--max-topics)", max);
        return false;
    }
    w->added = malloc((added + w->join.topic_count) * sizeof(*w->added));
    if (!w->added) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return false;
    }
    for (uint32_t i = 0; i < w->join.topic_count; i++)
        w->added[i] = w->join.topics[i];
    for (uint32_t i = 0; i < added; i++)
        w->added[w->join.topic_count++] = decision_topic(d, i);
    w->join.topics = w->added;
    return true;
}

static void admit(struct request *r, struct wish *w, const struct decision *d)
{
    uint64_t expires = decision_expires(d);
    if (decision_client(d).p)
        w->join.client_id = decision_client(d);
    if (decision_name(d).p)
        w->join.name = decision_name(d);
    if (!take_topics(r, w, d))
        return;
    if (expires > 0 && expires <= clock_wall(r->service->clock))
        http_problem(r, 401, "unauthorized", "what the application allowed is over already");
    else if (!conn_expire(r->x->conn, expires, "authorization_expired"))
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        start(r, w);
}

/* The application has decided; r = NULL: nobody waits any more. */
static void go_on(struct request *r, void *what, const struct decision *d)
{
    struct wish *w = what;
    if (r && atomic_load(&r->service->draining)) {
        stats_add(&r->loop->stats.refused_draining, 1);
        http_overloaded(r, 503, "draining", "the hub is about to stop");
    } else if (r && !http_bars_stream(r)) {
        switch (decision_verdict(d)) {
        case VERDICT_YES:
            admit(r, w, d);
            break;
        case VERDICT_UNAUTHORIZED:
            http_problem(r, 401, "unauthorized", "the application asks for credentials");
            break;
        case VERDICT_FORBIDDEN:
            http_problem(r, 403, "forbidden", "the application does not allow this subscription");
            break;
        case VERDICT_UNKNOWN:
            http_overloaded(r, 503, "authorize_unavailable",
                            "the application did not say whether this is allowed");
            break;
        }
    }
    wish_finish(w);
    free(w);
}

static void ask_application(struct request *r, struct wish *w)
{
    char token[AUTH_TEXT_MAX];
    ssize_t n = query_text(r, "access_token", token, sizeof(token));
    struct wish *kept = wish_keep(w);
    if (!kept) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return;
    }
    const struct inquiry i = {.client_id = kept->join.client_id,
                              .name = kept->join.name,
                              .topics = kept->join.topics,
                              .topic_count = kept->join.topic_count,
                              .access_token = n > 0 ? (struct span){token, (size_t)n} : (struct span){0}};
    admission_ask(r, &i, go_on, kept);
    explicit_bzero(token, sizeof(token));
}

static void answer_head(struct request *r)
{
    http_reply(r, 200, TYPE_SSE, (struct span){0}, "Cache-Control: no-cache, no-transform\r\n");
}

void subscribe_handle(struct request *r)
{
    struct wish w = {.topics = NULL};
    if (read_client_id(r, &w) && accepts_stream(r) && read_name(r, &w) && read_topics(r, &w) &&
        read_past(r, &w)) {
        read_cursor(r, &w);
        if (r->is_head) {
            answer_head(r);
        } else if (atomic_load(&r->service->draining)) {
            stats_add(&r->loop->stats.refused_draining, 1);
            http_overloaded(r, 503, "draining", "the hub is about to stop");
        } else if (is_authorized(r, &w) && http_admits_stream(r)) {
            asks_application(r) ? ask_application(r, &w) : start(r, &w);
        }
    }
    wish_finish(&w);
}
