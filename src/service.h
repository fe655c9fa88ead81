/* SPDX-License-Identifier: MIT
 *
 * service - the hub as its behaviour (floor 4) sees it: what all handlers share, on all loops. Made by hub.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "authorize.h"
#include "hooks.h"
#include "quota.h"
#include "sequencer.h"
#include "worker.h"

struct route;
struct request;
struct embedder_route;

struct service {
    struct log *log;
    struct registry *registry;
    struct sequencer *sequencer;
    struct gzip *gzip;
    struct quota *quota;
    struct authorizer *authorizer;
    struct hooks *hooks;
    const struct clock *clock;
    struct loop *loops;
    uint32_t loop_count;
    struct tidings_config *config; /* written under the registry's lock */
    struct report report;
    uint64_t started; /* monotonic ms */

    const struct route *routes;              /* the contract's; ends with a NULL pattern */
    bool (*elsewhere)(struct request *r);    /* asked when no route has the path; false: nobody has it */
    const struct tidings_page *const *pages; /* the embedder's, fixed once the hub runs */
    size_t page_count;
    const struct embedder_route *embedded;
    size_t embedded_count;

    atomic_bool draining;

    /* dashboards; touched by loop 0 only */
    uint64_t next_changes;
    uint64_t next_stats;
    uint64_t next_sweep;
};

/* Sums of all loops' counters, in the order of STATS_MAP. */
void service_sum(const struct service *s, uint64_t sum[STATS_COUNT]);

/* Streams of clients whose socket is full. */
uint64_t service_slow_readers(const struct service *s);

/* One limit with its present use, for /metrics and dashboards. */
struct service_limit {
    const char *name;
    uint64_t limit; /* 0 = none */
    bool has_use;   /* some limits are of one request or one client: they have refusals only */
    uint64_t used;
    uint64_t refused; /* since the start */
};

#define SERVICE_LIMITS_MAX 20
unsigned service_limits(const struct service *s, struct service_limit out[SERVICE_LIMITS_MAX]);

/* Logs a stream's beginning and calls the embedder. */
void service_stream_opened(struct service *s, struct loop *l, struct conn *c);
void service_stream_ended(struct service *s, struct loop *l, struct conn *c, enum close_cause cause);

/* The same for a request that was refused for its credentials; code: of the problem. */
void service_denied(struct service *s, const char *address, const char *code);

/* The stream is not counted with those of its address any more. Idempotent. */
void service_leave_address(struct service *s, struct conn *c);

/* Logs a refusal; what: "max_connections", "draining", … */
void service_refused(struct service *s, const char *address, const char *what);

#endif
