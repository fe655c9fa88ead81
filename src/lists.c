/* SPDX-License-Identifier: MIT
 *
 * lists - see lists.h. Answers are pages of bounded length, written while the registry's lock is held: what
 * they show is of one moment. A page ends early rather than hold the lock long, and `next` says where to go
 * on.
 */
#include "lists.h"

#include "json.h"
#include "query.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000
#define SCAN_MAX      20000 /* clients, and connections of those shown, looked at for one page */
#define PAGE_BYTES    (512 * 1024)
#define ROW_TOPICS    64
#define BAN_MAX       (366u * 24 * 3600)
#define ARRIVAL_LEN   13
#define NEXT_MAX      (ARRIVAL_LEN + 2 * TIDINGS_CLIENT_ID_MAX)

static struct loop *loop_of(const struct service *s, const struct sub *sub)
{
    return &s->loops[sub->loop];
}

static struct span key_of(const struct channel *c)
{
    return (struct span){c->key, c->key_len};
}

static struct span label_of(const struct channel *c)
{
    return c->label ? span_of(c->label) : SPAN("");
}

/* ---- totals ---- */

void lists_metrics(struct request *r)
{
    char json[160];
    struct registry *reg = r->service->registry;
    log_lock(r->service->log);
    uint64_t connections = reg->connections, clients = reg->clients;
    log_unlock(r->service->log);
    /* In hundredths, rounded; printf's %f would follow the embedder's locale. */
    uint64_t average = clients ? (connections * 100 + clients / 2) / clients : 0;
    int n = snprintf(json, sizeof(json),
                     "{\"totalConnections\":%llu,\"totalClients\":%llu,\"averageConnectionsPerClient\":",
                     (unsigned long long)connections, (unsigned long long)clients);
    n += snprintf(json + n, sizeof(json) - (size_t)n, average % 100 ? "%llu.%02llu}" : "%llu}",
                  (unsigned long long)(average / 100), (unsigned long long)(average % 100));
    http_reply(r, 200, TYPE_JSON, (struct span){json, (size_t)n}, "Cache-Control: no-store\r\n");
}

/* ---- rows ---- */

void lists_times(const struct service *s, const struct channel *client, uint64_t *connected_at,
                 uint64_t *last_seen)
{
    *connected_at = UINT64_MAX;
    *last_seen = 0;
    for (struct sub *sub = client->client.first; sub; sub = sub->next) {
        const struct conn *c = conn_of_sub(sub);
        uint64_t since = conn_connected_at(loop_of(s, sub), c), seen = conn_last_seen(loop_of(s, sub), c);
        *connected_at = since < *connected_at ? since : *connected_at;
        *last_seen = seen > *last_seen ? seen : *last_seen;
    }
}

static void put_topics(struct buf *out, const struct sub *first, bool all_subs)
{
    const struct channel *seen[ROW_TOPICS];
    unsigned count = 0;
    buf_puts(out, ",\"topics\":[");
    for (const struct sub *sub = first; sub; sub = all_subs ? sub->next : NULL)
        for (uint32_t i = 0; sub->more && i < sub->more->count && count < ROW_TOPICS; i++) {
            const struct channel *topic = sub->more->at[i].channel;
            unsigned k = 0;
            while (k < count && seen[k] != topic)
                k++;
            if (k < count)
                continue;
            if (count > 0)
                buf_putc(out, ',');
            seen[count++] = topic;
            json_put_string(out, key_of(topic));
        }
    buf_putc(out, ']');
}

static void put_times(struct buf *out, uint64_t connected_at, uint64_t last_seen)
{
    json_put_member_u64(out, "connectedAt", connected_at);
    json_put_member_u64(out, "lastSeen", last_seen);
}

static void put_client(struct buf *out, const struct service *s, const struct channel *client)
{
    uint64_t connected_at, last_seen;
    json_put_member(out, "clientId", key_of(client));
    json_put_member(out, "name", label_of(client));
    put_topics(out, client->client.first, true);
    lists_times(s, client, &connected_at, &last_seen);
    put_times(out, connected_at, last_seen);
}

static uint32_t resyncs_of(const struct sub *sub)
{
    return sub->more ? sub->more->resyncs : 0;
}

/* How far its connections are behind, all together, and how often they were too far. */
static void put_lag(struct buf *out, const struct service *s, const struct channel *client)
{
    struct channel *channels[CURSOR_SOURCES_MAX];
    uint64_t pending = 0, resyncs = 0;
    for (const struct sub *sub = client->client.first; sub; sub = sub->next) {
        unsigned count = registry_channels(s->registry, sub, channels);
        pending += cursor_owed_events((const struct channel *const *)channels, count,
                                      atomic_load_explicit(&sub->cursor, memory_order_relaxed));
        resyncs += resyncs_of(sub);
    }
    json_put_member_u64(out, "pending", pending);
    json_put_member_u64(out, "resyncs", resyncs);
}

void lists_put_row(struct buf *out, const struct service *s, const struct channel *client)
{
    buf_putc(out, '{');
    put_client(out, s, client);
    json_put_member_u64(out, "connections", client->subs);
    put_lag(out, s, client);
    buf_putc(out, '}');
}

/* ---- pages ---- */

static void put_token(char *out, const struct channel *c)
{
    static const char digits[] = "0123456789abcdef";
    text_put_base32(out, c->arrival, ARRIVAL_LEN);
    out += ARRIVAL_LEN;
    for (unsigned i = 0; i < c->key_len; i++) {
        *out++ = digits[(unsigned char)c->key[i] >> 4];
        *out++ = digits[(unsigned char)c->key[i] & 15];
    }
    *out = '\0';
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_token(struct span token, uint64_t *arrival, char *key, size_t *key_len)
{
    if (token.len < ARRIVAL_LEN || token.len > NEXT_MAX || (token.len - ARRIVAL_LEN) % 2 ||
        !text_base32(token.p, ARRIVAL_LEN, arrival))
        return false;
    *key_len = (token.len - ARRIVAL_LEN) / 2;
    for (size_t i = 0; i < *key_len; i++) {
        int high = hex(token.p[ARRIVAL_LEN + 2 * i]), low = hex(token.p[ARRIVAL_LEN + 2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key[i] = (char)(high << 4 | low);
    }
    return true;
}

struct channel *lists_behind(struct service *s, uint64_t arrival, struct span key)
{
    struct channel *c = log_find(s->log, CHANNEL_CLIENT, key);
    if (c && c->subs > 0 && c->arrival == arrival)
        return registry_next_client(s->registry, c);
    for (c = s->registry->newest; c && c->arrival >= arrival;)
        c = registry_next_client(s->registry, c);
    return c;
}

struct page {
    char after[NEXT_MAX];
    ssize_t after_len;
    uint64_t arrival;
    char after_key[TIDINGS_CLIENT_ID_MAX];
    size_t after_key_len;
    char prefix[TIDINGS_CLIENT_ID_MAX];
    ssize_t prefix_len;
    uint64_t limit;
};

static bool read_page(struct request *r, struct page *p)
{
    if (!query_number(r, "limit", LIMIT_MAX, LIMIT_DEFAULT, &p->limit))
        return false;
    p->prefix_len = query_text(r, "prefix", p->prefix, sizeof(p->prefix));
    p->after_len = query_text(r, "after", p->after, sizeof(p->after));
    if (p->prefix_len == -2) {
        http_problem(r, 400, "invalid_parameter", "prefix: at most %d bytes", TIDINGS_CLIENT_ID_MAX);
        return false;
    }
    if (p->after_len == -2 ||
        (p->after_len > 0 && !read_token((struct span){p->after, (size_t)p->after_len}, &p->arrival,
                                         p->after_key, &p->after_key_len))) {
        http_problem(r, 400, "invalid_parameter", "after: not the `next` of an earlier page");
        return false;
    }
    return true;
}

static void put_page(struct buf *out, struct service *s, const struct page *p)
{
    struct span prefix = {p->prefix, p->prefix_len > 0 ? (size_t)p->prefix_len : 0};
    char next[NEXT_MAX + 1] = "";
    uint64_t rows = 0;
    unsigned scanned = 0;
    struct channel *c = p->after_len > 0
                            ? lists_behind(s, p->arrival, (struct span){p->after_key, p->after_key_len})
                            : s->registry->newest;
    buf_puts(out, "{\"clients\":[");
    for (struct channel *last = NULL; c; last = c, c = registry_next_client(s->registry, c)) {
        if (last && (rows == p->limit || scanned >= SCAN_MAX || out->len > PAGE_BYTES)) {
            put_token(next, last);
            break;
        }
        scanned++;
        if (p->limit == 0 || !span_starts(key_of(c), prefix))
            continue;
        if (rows++ > 0)
            buf_putc(out, ',');
        scanned += c->subs;
        lists_put_row(out, s, c);
    }
    buf_puts(out, "],\"total\":");
    buf_put_u64(out, s->registry->clients);
    buf_puts(out, ",\"next\":");
    if (next[0])
        json_put_string(out, span_of(next));
    else
        buf_puts(out, "null");
    buf_putc(out, '}');
}

void lists_clients(struct request *r)
{
    struct page page;
    struct buf json;
    if (!read_page(r, &page))
        return;
    buf_init(&json, 4u << 20);
    log_lock(r->service->log);
    put_page(&json, r->service, &page);
    log_unlock(r->service->log);
    http_reply_json(r, 200, &json);
    buf_finish(&json);
}

/* ---- one client ---- */

static bool read_param(struct request *r, char *out, struct span *key)
{
    char decoded[3 * TIDINGS_CLIENT_ID_MAX];
    ssize_t n =
        r->param.len <= sizeof(decoded) ? text_percent_decode(r->param.p, r->param.len, decoded, false) : -1;
    if (n < 0 || !text_is_name(decoded, (size_t)n, TIDINGS_CLIENT_ID_MAX)) {
        http_problem(r, 400, "invalid_client_id",
                     "clientId: 1 to %d bytes of UTF-8 without control characters", TIDINGS_CLIENT_ID_MAX);
        return false;
    }
    memcpy(out, decoded, (size_t)n);
    *key = (struct span){out, (size_t)n};
    return true;
}

static uint64_t pending_of(const struct service *s, const struct sub *sub)
{
    struct channel *channels[CURSOR_SOURCES_MAX];
    unsigned count = registry_channels(s->registry, sub, channels);
    return cursor_owed((const struct channel *const *)channels, count,
                       atomic_load_explicit(&sub->cursor, memory_order_relaxed));
}

static struct span protocol_of(const struct conn *c)
{
    if (c->protocol == CONN_HTTP2)
        return SPAN("h2");
    return conn_is_chunked(c) ? SPAN("http/1.1") : SPAN("http/1.0");
}

static void put_connection(struct buf *out, const struct service *s, struct sub *sub)
{
    const struct conn *c = conn_of_sub(sub);
    char id[CONNECTION_ID_LEN + 1], address[CONN_ADDRESS_LEN];
    registry_connection_id(sub, id);
    conn_address(c, address);
    buf_putc(out, '{');
    json_put_member(out, "connectionId", span_of(id));
    json_put_member(out, "address", span_of(address));
    json_put_member(out, "userAgent", span_of(conn_agent(c)));
    json_put_member(out, "protocol", protocol_of(c));
    if (conn_token_id(c).p)
        json_put_member(out, "tokenId", conn_token_id(c));
    put_topics(out, sub, false);
    put_times(out, conn_connected_at(loop_of(s, sub), c), conn_last_seen(loop_of(s, sub), c));
    json_put_member_u64(out, "pending", pending_of(s, sub));
    json_put_member_u64(out, "resyncs", resyncs_of(sub));
    buf_putc(out, '}');
}

static void put_details(struct buf *out, const struct service *s, struct channel *client)
{
    buf_putc(out, '{');
    put_client(out, s, client);
    buf_puts(out, ",\"connections\":[");
    for (struct sub *sub = client->client.first; sub && out->len < 2 * PAGE_BYTES; sub = sub->next) {
        if (sub != client->client.first)
            buf_putc(out, ',');
        put_connection(out, s, sub);
    }
    buf_puts(out, "]}");
}

static void absent(struct request *r)
{
    http_problem(r, 404, "not_connected", "nobody with this id is connected");
}

void lists_client(struct request *r)
{
    char id[TIDINGS_CLIENT_ID_MAX];
    struct span key;
    struct buf json;
    if (!read_param(r, id, &key))
        return;
    buf_init(&json, 4u << 20);
    log_lock(r->service->log);
    struct channel *client = log_find(r->service->log, CHANNEL_CLIENT, key);
    if (client && client->subs > 0)
        put_details(&json, r->service, client);
    log_unlock(r->service->log);
    if (json.len == 0 && !json.failed)
        absent(r);
    else
        http_reply_json(r, 200, &json);
    buf_finish(&json);
}

/* ---- ending streams ---- */

static int ban(struct service *s, struct span client_id, uint32_t seconds)
{
    uint64_t now = clock_mono(s->clock);
    int rc = bans_set(&s->registry->bans, client_id, now + (uint64_t)seconds * 1000, now);
    return rc == -2 ? TIDINGS_ELIMIT : rc < 0 ? TIDINGS_ENOMEM : 0;
}

int lists_disconnect(struct service *s, struct span client_id, uint32_t ban_seconds, uint32_t self)
{
    uint64_t wake = 0;
    log_lock(s->log);
    struct channel *client = log_find(s->log, CHANNEL_CLIENT, client_id);
    bool present = client && client->subs > 0;
    int rc = ban_seconds ? ban(s, client_id, ban_seconds) : present ? 0 : TIDINGS_ENOENT;
    if (rc == 0 && present)
        rc = (int)registry_kick_client(s->registry, client, &wake);
    log_unlock(s->log);
    registry_wake(s->registry, wake, self);
    return rc;
}

static int disconnect_one(struct service *s, struct span connection_id, uint32_t ban_seconds, uint32_t self)
{
    uint64_t wake = 0;
    int rc = TIDINGS_ENOENT;
    log_lock(s->log);
    struct sub *sub = registry_find_connection(s->registry, connection_id);
    if (sub) {
        rc = ban_seconds ? ban(s, key_of(sub->client), ban_seconds) : 0;
        if (rc == 0)
            rc = (int)registry_kick_sub(s->registry, sub, &wake);
    }
    log_unlock(s->log);
    registry_wake(s->registry, wake, self);
    return rc;
}

void lists_answer_kick(struct request *r, int rc)
{
    char json[64];
    if (rc == TIDINGS_ENOENT) {
        absent(r);
    } else if (rc == TIDINGS_ELIMIT) {
        http_problem(r, 503, "too_many_bans", "more than %d bans are in force", BANS_MAX);
    } else if (rc < 0) {
        http_problem(r, 503, "out_of_memory", "memory is short");
    } else {
        int n = snprintf(json, sizeof(json), "{\"ok\":true,\"disconnected\":%d}", rc);
        http_reply(r, 200, TYPE_JSON, (struct span){json, (size_t)n}, "Cache-Control: no-store\r\n");
    }
}

void lists_kick_client(struct request *r)
{
    char id[TIDINGS_CLIENT_ID_MAX];
    struct span key;
    uint64_t seconds;
    if (read_param(r, id, &key) && query_number(r, "ban", BAN_MAX, 0, &seconds))
        lists_answer_kick(r, lists_disconnect(r->service, key, (uint32_t)seconds, r->loop->index));
}

void lists_kick_connection(struct request *r)
{
    uint64_t seconds;
    if (query_number(r, "ban", BAN_MAX, 0, &seconds))
        lists_answer_kick(r, disconnect_one(r->service, r->param, (uint32_t)seconds, r->loop->index));
}
