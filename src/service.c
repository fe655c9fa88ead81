/* SPDX-License-Identifier: MIT
 *
 * service - see service.h.
 */
#include "service.h"

#include "json.h"

#include <string.h>

void service_sum(const struct service *s, uint64_t sum[STATS_COUNT])
{
    memset(sum, 0, STATS_COUNT * sizeof(*sum));
    for (uint32_t i = 0; i < s->loop_count; i++)
        stats_sum(sum, &s->loops[i].stats);
}

uint64_t service_slow_readers(const struct service *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->loop_count; i++)
        sum += atomic_load_explicit(&s->loops[i].slow, memory_order_relaxed);
    return sum;
}

static uint64_t counter(const struct service *s, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->loop_count; i++) {
        const char *set = (const char *)&s->loops[i].stats;
        sum += atomic_load_explicit((const _Atomic uint64_t *)(const void *)(set + offset),
                                    memory_order_relaxed);
    }
    return sum;
}

#define COUNTER(s, field) counter((s), offsetof(struct stats, field))

static struct service_limit without_use(const char *name, uint64_t limit, uint64_t refused)
{
    return (struct service_limit){.name = name, .limit = limit, .refused = refused};
}

static struct service_limit with_use(const char *name, uint64_t limit, uint64_t used, uint64_t refused)
{
    return (struct service_limit){name, limit, true, used, refused};
}

/* Its use: for how many addresses or keys a bucket is not full. */
static struct service_limit rate(const struct service *s, const char *name, uint32_t limit,
                                 struct throttle *t, uint64_t refused)
{
    return limit ? with_use(name, limit, throttle_busy(t, clock_mono(s->clock)), refused)
                 : without_use(name, 0, refused);
}

static unsigned put_rates(const struct service *s, const struct tidings_config *c, struct service_limit *out)
{
    struct quota *l = s->quota;
    unsigned n = 0;
    out[n++] = without_use("connect-rate", c->connect_rate, COUNTER(s, refused_connect_rate));
    out[n++] = rate(s, "connect-rate-per-address", c->connect_rate_per_address, &l->connects_by_address,
                    COUNTER(s, refused_connect_rate_address));
    out[n++] = without_use("publish-rate", c->publish_rate, COUNTER(s, refused_publish_rate));
    out[n++] = rate(s, "publish-rate-per-address", c->publish_rate_per_address, &l->events_by_address,
                    COUNTER(s, refused_publish_rate_address));
    out[n++] = rate(s, "publish-rate-per-key", c->publish_rate_per_key, &l->events_by_key,
                    COUNTER(s, refused_publish_rate_key));
    out[n++] = rate(s, "auth-failure-rate-per-address", c->auth_failure_rate_per_address, &l->failures,
                    COUNTER(s, refused_guessing));
    return n;
}

static unsigned put_application(const struct service *s, struct service_limit *out)
{
    struct authorizer *a = s->authorizer;
    struct hooks *h = s->hooks;
    unsigned n = 0;
    if (a->outbound)
        out[n++] = with_use("authorize-questions", (uint64_t)a->most + AUTHORIZE_QUEUE,
                            atomic_load(&a->waiting), atomic_load(&a->busy));
    if (hooks_is_on(h))
        out[n++] = with_use("event-queue", h->most, hooks_waiting(h), atomic_load(&h->lost_ever));
    return n;
}

unsigned service_limits(const struct service *s, struct service_limit out[SERVICE_LIMITS_MAX])
{
    uint64_t request_bytes = 0;
    for (uint32_t i = 0; i < s->loop_count; i++)
        request_bytes += atomic_load_explicit(&s->loops[i].request_bytes, memory_order_relaxed);
    const struct registry *reg = s->registry;
    log_lock(s->log);
    uint64_t streams = reg->connections, dashboards = reg->dashboards, held = s->log->held_bytes;
    uint64_t stalled = s->log->stalled_bytes;
    uint64_t bans = (uint64_t)reg->bans.count + reg->banned_addresses.count + reg->banned_tokens.count;
    struct tidings_config config = *s->config;
    log_unlock(s->log);
    unsigned n = 0;
    out[n++] = with_use("max-connections", config.max_connections, streams, COUNTER(s, refused_hub));
    out[n++] = without_use("max-connections-per-client", config.max_connections_per_client,
                           COUNTER(s, refused_client));
    out[n++] = without_use("max-connections-per-address", config.max_connections_per_address,
                           COUNTER(s, refused_address));
    out[n++] = with_use("dashboards", REGISTRY_DASHBOARDS_MAX, dashboards, COUNTER(s, refused_dashboards));
    out[n++] = with_use("history-total-bytes", config.history_total_bytes, held, 0);
    out[n++] = with_use("max-stalled-bytes", config.max_stalled_bytes, stalled, COUNTER(s, refused_stalled));
    out[n++] = with_use("request-memory", LOOP_REQUEST_MEMORY * s->loop_count, request_bytes,
                        COUNTER(s, refused_memory));
    out[n++] = with_use("bans", 3ull * BANS_MAX, bans, COUNTER(s, refused_banned));
    n += put_rates(s, &config, out + n);
    return n + put_application(s, out + n);
}

/* ---- streams come and go ---- */

struct described {
    char address[CONN_ADDRESS_LEN];
    char connection_id[CONNECTION_ID_LEN + 1];
    char client_id[TIDINGS_CLIENT_ID_MAX + 1];
    char name[TIDINGS_NAME_MAX + 1];
    struct tidings_connection_info info;
};

/* The client's texts are the lock's; the rest is the calling loop's. */
static void describe(struct service *s, struct conn *c, struct described *d)
{
    memset(d, 0, sizeof(*d));
    conn_address(c, d->address);
    log_lock(s->log);
    registry_connection_id(&c->sub, d->connection_id);
    if (c->sub.client) {
        memcpy(d->client_id, c->sub.client->key, c->sub.client->key_len);
        if (c->sub.client->label)
            memcpy(d->name, c->sub.client->label, strlen(c->sub.client->label));
    }
    log_unlock(s->log);
    d->info = (struct tidings_connection_info){.client_id = d->client_id,
                                               .name = d->name,
                                               .connection_id = d->connection_id,
                                               .address = d->address,
                                               .user_agent = conn_agent(c)};
}

/* Tells the user's application. cause = NULL: it has come. */
static void tell_hooks(struct service *s, const struct described *d, const char *cause, uint64_t duration)
{
    struct buf json;
    if (!hooks_is_on(s->hooks))
        return;
    buf_init(&json, 8192);
    buf_puts(&json, cause ? "\"type\":\"disconnect\"" : "\"type\":\"connect\"");
    json_put_member(&json, "clientId", span_of(d->client_id));
    json_put_member(&json, "name", span_of(d->name));
    json_put_member(&json, "connectionId", span_of(d->connection_id));
    json_put_member(&json, "address", span_of(d->address));
    json_put_member(&json, "userAgent", span_of(d->info.user_agent));
    if (cause) {
        json_put_member(&json, "cause", span_of(cause));
        json_put_member_u64(&json, "durationMs", duration);
    }
    json_put_member_u64(&json, "ts", clock_wall(s->clock));
    hooks_tell(s->hooks, json.failed ? (struct span){0} : (struct span){json.data, json.len});
    buf_finish(&json);
}

static bool is_anybody_told(const struct service *s, bool callback)
{
    return s->report.log || callback || hooks_is_on(s->hooks);
}

void service_stream_opened(struct service *s, struct loop *l, struct conn *c)
{
    if (!is_anybody_told(s, l->config.on_connect))
        return;
    struct described d;
    describe(s, c, &d);
    if (c->sub.client)
        tell_hooks(s, &d, NULL, 0);
    const struct tidings_log_field fields[] = {
        REPORT_TEXT("client", d.client_id), REPORT_TEXT("connection", d.connection_id),
        REPORT_TEXT("address", d.address), REPORT_TEXT("kind", c->sub.client ? "client" : "dashboard")};
    report(&s->report, TIDINGS_LOG_INFO, "connect", "stream opened", fields, 4);
    if (c->sub.client && l->config.on_connect)
        l->config.on_connect(l->config.user, &d.info);
}

void service_leave_address(struct service *s, struct conn *c)
{
    struct netaddr from = conn_netaddr(c);
    if (c->crowded)
        quota_leave(s->quota, &from);
    c->crowded = false;
}

void service_stream_ended(struct service *s, struct loop *l, struct conn *c, enum close_cause cause)
{
    service_leave_address(s, c);
    if (!is_anybody_told(s, l->config.on_disconnect))
        return;
    struct described d;
    bool is_client = c->sub.client;
    describe(s, c, &d);
    /* Whoever is told that it has ended, and looks, finds it counted nowhere. */
    registry_leave(s->registry, &c->sub);
    /* By the clock that never goes back. */
    uint64_t opened = conn_connected_at(l, c) - l->started_wall;
    uint64_t duration = clock_mono(s->clock) - l->started - opened;
    const struct tidings_log_field fields[] = {
        REPORT_TEXT("client", d.client_id), REPORT_TEXT("connection", d.connection_id),
        REPORT_TEXT("address", d.address), REPORT_TEXT("cause", close_cause_text(cause)),
        REPORT_NUMBER("duration_ms", duration)};
    report(&s->report, TIDINGS_LOG_INFO, "disconnect", "stream ended", fields, 5);
    if (is_client)
        tell_hooks(s, &d, close_cause_text(cause), duration);
    if (is_client && l->config.on_disconnect)
        l->config.on_disconnect(l->config.user, &d.info, close_cause_text(cause), duration);
}

static void refused(struct service *s, const char *address, const char *event, const char *message,
                    const char *reason)
{
    const struct tidings_log_field fields[] = {REPORT_TEXT("reason", reason),
                                               REPORT_TEXT("address", address)};
    report(&s->report, TIDINGS_LOG_WARN, event, message, fields, 2);
}

void service_refused(struct service *s, const char *address, const char *what)
{
    refused(s, address, "refuse", "subscription refused", what);
}

void service_denied(struct service *s, const char *address, const char *code)
{
    refused(s, address, "deny", "credentials refused", code);
}
