/* SPDX-License-Identifier: MIT
 *
 * metrics - see metrics.h. Counters come from the one list in stats.h; their number does not grow with
 * clients or topics.
 */
#include "metrics.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *labels, *help;
} counters[] = {
#define METRICS_COUNTER(field, metric, label_text, help_text) {metric, label_text, help_text},
    STATS_MAP(METRICS_COUNTER)
#undef METRICS_COUNTER
};

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(struct buf *out, const char *name, const char *labels, uint64_t value)
{
    buf_puts(out, name);
    if (labels[0])
        buf_printf(out, "{%s}", labels);
    buf_putc(out, ' ');
    buf_put_u64(out, value);
    buf_putc(out, '\n');
}

static void put_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    put_head(out, name, "gauge", help);
    put_value(out, name, "", value);
}

#define REFUSED "tidings_refused_total"

static void label_limit(char *out, size_t cap, const char *limit)
{
    snprintf(out, cap, "limit=\"%s\"", limit);
}

static bool is_counted_by_loops(const char *label)
{
    for (unsigned i = 0; i < STATS_COUNT; i++)
        if (strcmp(counters[i].name, REFUSED) == 0 && strcmp(counters[i].labels, label) == 0)
            return true;
    return false;
}

/* Refusals that are not in stats.h, so that every limit has some. */
static void put_other_refusals(struct buf *out, const struct service *s)
{
    char label[64];
    struct service_limit limits[SERVICE_LIMITS_MAX];
    unsigned count = service_limits(s, limits);
    for (unsigned i = 0; i < count; i++) {
        label_limit(label, sizeof(label), limits[i].name);
        if (!is_counted_by_loops(label))
            put_value(out, REFUSED, label, limits[i].refused);
    }
}

static void put_counters(struct buf *out, const struct service *s)
{
    uint64_t sum[STATS_COUNT];
    service_sum(s, sum);
    for (unsigned i = 0; i < STATS_COUNT; i++) {
        bool first = i == 0 || strcmp(counters[i].name, counters[i - 1].name) != 0;
        if (first)
            put_head(out, counters[i].name, "counter", counters[i].help);
        if (first && strcmp(counters[i].name, REFUSED) == 0)
            put_other_refusals(out, s);
        put_value(out, counters[i].name, counters[i].labels, sum[i]);
    }
}

static void put_published(struct buf *out, const struct registry *reg)
{
    static const char name[] = "tidings_published_total";
    put_head(out, name, "counter", "Events published, by target.");
    put_value(out, name, "target=\"broadcast\"", reg->published[CHANNEL_ALL]);
    put_value(out, name, "target=\"client\"", reg->published[CHANNEL_CLIENT]);
    put_value(out, name, "target=\"topic\"", reg->published[CHANNEL_TOPIC]);
}

static void put_gauges(struct buf *out, struct service *s)
{
    const struct registry *reg = s->registry;
    log_lock(s->log);
    put_gauge(out, "tidings_connections", "Open event streams.", reg->connections);
    put_gauge(out, "tidings_clients", "Clients with an open stream.", reg->clients);
    put_gauge(out, "tidings_dashboards", "Open dashboards.", reg->dashboards);
    put_gauge(out, "tidings_topic_subscriptions", "Subscriptions to topics.", reg->topics_listened);
    put_gauge(out, "tidings_held_events", "Events held for readers.", s->log->held_events);
    put_gauge(out, "tidings_held_bytes", "Bytes of events held for readers.", s->log->held_bytes);
    put_published(out, reg);
    put_head(out, "tidings_evicted_total", "counter", "Held events given up, whatever the reason.");
    put_value(out, "tidings_evicted_total", "", s->log->evicted);
    log_unlock(s->log);
    put_gauge(out, "tidings_slow_readers", "Event streams of clients whose socket is full.",
              service_slow_readers(s));
    put_gauge(out, "tidings_draining", "1 while the hub drains.", atomic_load(&s->draining));
    put_gauge(out, "tidings_uptime_seconds", "Since the start.", (clock_mono(s->clock) - s->started) / 1000);
    put_gauge(out, "tidings_loops", "Event loops.", s->loop_count);
}

static uint64_t peek(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void put_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    put_head(out, name, "counter", help);
    put_value(out, name, "", value);
}

static void put_store(struct buf *out, const struct service *s)
{
    const struct sequencer_stats *stats = &s->sequencer->stats;
    if (!sequencer_is_async(s->sequencer))
        return;
    put_gauge(out, "tidings_store_up", "1 while the last attempt to store something succeeded.",
              atomic_load(&stats->failing) == STORE_OK);
    put_gauge(out, "tidings_store_queue", "Events that wait for the store.", peek(&stats->queued));
    put_gauge(out, "tidings_store_bytes", "Of the store's file and its log.", peek(&stats->bytes));
    put_counter(out, "tidings_store_commits_total", "Transactions.", peek(&stats->commits));
    put_counter(out, "tidings_store_committed_events_total", "Events in them.", peek(&stats->committed));
    put_counter(out, "tidings_store_failures_total", "Transactions that failed.", peek(&stats->failures));
    uint64_t us = peek(&stats->commit_us);
    put_head(out, "tidings_store_commit_seconds_total", "counter", "Spent in transactions.");
    buf_printf(out, "tidings_store_commit_seconds_total %llu.%06llu\n", (unsigned long long)(us / 1000000),
               (unsigned long long)(us % 1000000));
}

static void put_gzip(struct buf *out, const struct gzip *g)
{
    put_gauge(out, "tidings_gzip_held_bytes", "Memory of compressed forms of events.",
              atomic_load_explicit(&g->held_bytes, memory_order_relaxed));
    put_counter(out, "tidings_gzip_events_total", "Events compressed, for all readers at once.",
                atomic_load_explicit(&g->events, memory_order_relaxed));
    put_counter(out, "tidings_gzip_text_bytes_total", "Their bytes.",
                atomic_load_explicit(&g->text_bytes, memory_order_relaxed));
    put_counter(out, "tidings_gzip_block_bytes_total", "What came of them.",
                atomic_load_explicit(&g->block_bytes, memory_order_relaxed));
}

static void put_backend(struct buf *out, const struct authorizer *a, const struct hooks *h)
{
    if (a->outbound) {
        put_head(out, "tidings_authorize_total", "counter", "Questions to the application, by what it said.");
        put_value(out, "tidings_authorize_total", "verdict=\"yes\"", atomic_load(&a->yes));
        put_value(out, "tidings_authorize_total", "verdict=\"no\"", atomic_load(&a->no));
        put_value(out, "tidings_authorize_total", "verdict=\"unknown\"", atomic_load(&a->unknown));
        put_counter(out, "tidings_authorize_cached_total", "Questions of which the answer was known.",
                    atomic_load(&a->cached));
        put_counter(out, "tidings_authorize_milliseconds_total", "That the application took.",
                    atomic_load(&a->took_ms));
    }
    if (hooks_is_on(h)) {
        put_counter(out, "tidings_event_notices_total", "Notices that the application has taken.",
                    atomic_load(&h->sent));
        put_counter(out, "tidings_event_failures_total", "Requests with notices that it did not take.",
                    atomic_load(&h->failed));
        put_counter(out, "tidings_event_lost_total", "Notices for which there was no room.",
                    atomic_load(&h->lost_ever));
    }
}

static void put_limits(struct buf *out, const struct service *s)
{
    char label[64];
    struct service_limit limits[SERVICE_LIMITS_MAX];
    unsigned count = service_limits(s, limits);
    put_head(out, "tidings_limit", "gauge", "Configured limits; 0 = none.");
    for (unsigned i = 0; i < count; i++) {
        label_limit(label, sizeof(label), limits[i].name);
        put_value(out, "tidings_limit", label, limits[i].limit);
    }
    put_head(out, "tidings_limit_used", "gauge", "Present use of the limits that have one.");
    for (unsigned i = 0; i < count; i++) {
        label_limit(label, sizeof(label), limits[i].name);
        if (limits[i].has_use)
            put_value(out, "tidings_limit_used", label, limits[i].used);
    }
}

void metrics_prometheus(struct request *r)
{
    struct buf out;
    buf_init(&out, 256 * 1024);
    put_head(&out, "tidings_build_info", "gauge", "The version that runs.");
    buf_puts(&out, "tidings_build_info{version=\"" TIDINGS_VERSION "\"} 1\n");
    put_gauges(&out, r->service);
    put_store(&out, r->service);
    put_gzip(&out, r->service->gzip);
    put_backend(&out, r->service->authorizer, r->service->hooks);
    put_counters(&out, r->service);
    put_limits(&out, r->service);
    if (out.failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        http_reply(r, 200, SPAN("text/plain; version=0.0.4; charset=utf-8"), (struct span){out.data, out.len},
                   "Cache-Control: no-store\r\n");
    buf_finish(&out);
}

void metrics_health(struct request *r)
{
    http_reply(r, 200, TYPE_JSON, SPAN("{\"status\":\"ok\"}"), "Cache-Control: no-store\r\n");
}

void metrics_ready(struct request *r)
{
    if (atomic_load(&r->service->draining))
        http_problem(r, 503, "draining", "the hub is about to stop");
    else
        http_reply(r, 200, TYPE_JSON, SPAN("{\"status\":\"ready\"}"), "Cache-Control: no-store\r\n");
}
