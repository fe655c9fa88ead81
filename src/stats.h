/* SPDX-License-Identifier: MIT
 *
 * stats - what is counted. Each loop has its own set and is its only writer, so that counting is a plain add;
 * whoever wants the sums reads all sets. One list gives fields, Prometheus names and texts.
 */
#ifndef STATS_H
#define STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* field, Prometheus name, labels, help (the first of several lines with the same name) */
#define STATS_MAP(X)                                                                                         \
    X(accepted, "tidings_accepted_total", "", "Network connections accepted.")                               \
    X(requests, "tidings_http_requests_total", "", "Requests with a complete head.")                         \
    X(batches, "tidings_batches_total", "", "Batches of messages that publishers sent.")                     \
    X(items, "tidings_batch_items_total", "", "Messages in them.")                                           \
    X(repeated, "tidings_idempotent_replays_total", "",                                                      \
      "Messages that were recognised as repeats, and not sent again.")                                       \
    X(responses_2xx, "tidings_http_responses_total", "class=\"2xx\"", "Answers by class of status.")         \
    X(responses_4xx, "tidings_http_responses_total", "class=\"4xx\"", "")                                    \
    X(responses_5xx, "tidings_http_responses_total", "class=\"5xx\"", "")                                    \
    X(responses_other, "tidings_http_responses_total", "class=\"other\"", "")                                \
    X(bad_requests, "tidings_http_malformed_total", "", "Requests that were not HTTP as RFC 9112 wants it.") \
    X(tls_handshakes, "tidings_tls_handshakes_total", "", "TLS handshakes that were completed.")             \
    X(tls_resumed, "tidings_tls_resumed_total", "", "Of these, those with a session ticket.")                \
    X(tls_handshake_failures, "tidings_tls_handshake_failures_total", "", "TLS handshakes that failed.")     \
    X(h2_sessions, "tidings_http2_connections_total", "", "Connections that spoke HTTP/2.")                  \
    X(h2_floods, "tidings_http2_floods_total", "", "HTTP/2 connections ended for frames without end.")       \
    X(streams_opened, "tidings_streams_opened_total", "", "Event streams opened.")                           \
    X(gzip_streams, "tidings_gzip_streams_total", "", "Of these, compressed ones.")                          \
    X(delivered, "tidings_delivered_total", "", "Events handed to the kernel, once for each connection.")    \
    X(sent_bytes, "tidings_sent_bytes_total", "", "Bytes handed to the kernel.")                             \
    X(received_bytes, "tidings_received_bytes_total", "", "Bytes received.")                                 \
    X(sends, "tidings_sends_total", "", "System calls that sent something.")                                 \
    X(blocked, "tidings_send_blocked_total", "", "Sends that found the socket full.")                        \
    X(heartbeats, "tidings_heartbeats_total", "", "Heartbeats sent.")                                        \
    X(resume_fresh, "tidings_subscriptions_total", "resume=\"fresh\"",                                       \
      "Subscriptions, by what could be resumed.")                                                            \
    X(resume_complete, "tidings_subscriptions_total", "resume=\"complete\"", "")                             \
    X(resume_incomplete, "tidings_subscriptions_total", "resume=\"incomplete\"", "")                         \
    X(replayed, "tidings_replayed_total", "", "Events from history that subscribers were given.")            \
    X(resyncs, "tidings_resyncs_total", "", "Readers that were too slow and were told so.")                  \
    X(refused_hub, "tidings_refused_total", "limit=\"max-connections\"",                                     \
      "Streams, requests and notices refused, by limit.")                                                    \
    X(refused_client, "tidings_refused_total", "limit=\"max-connections-per-client\"", "")                   \
    X(refused_dashboards, "tidings_refused_total", "limit=\"dashboards\"", "")                               \
    X(refused_draining, "tidings_refused_total", "limit=\"draining\"", "")                                   \
    X(refused_descriptors, "tidings_refused_total", "limit=\"descriptors\"", "")                             \
    X(refused_banned, "tidings_refused_total", "limit=\"bans\"", "")                                         \
    X(refused_address, "tidings_refused_total", "limit=\"max-connections-per-address\"", "")                 \
    X(refused_connect_rate, "tidings_refused_total", "limit=\"connect-rate\"", "")                           \
    X(refused_connect_rate_address, "tidings_refused_total", "limit=\"connect-rate-per-address\"", "")       \
    X(refused_publish_rate, "tidings_refused_total", "limit=\"publish-rate\"", "")                           \
    X(refused_publish_rate_address, "tidings_refused_total", "limit=\"publish-rate-per-address\"", "")       \
    X(refused_publish_rate_key, "tidings_refused_total", "limit=\"publish-rate-per-key\"", "")               \
    X(refused_guessing, "tidings_refused_total", "limit=\"auth-failure-rate-per-address\"", "")              \
    X(refused_memory, "tidings_refused_total", "limit=\"request-memory\"", "")                               \
    X(refused_stalled, "tidings_refused_total", "limit=\"max-stalled-bytes\"", "")                           \
    X(denied_missing, "tidings_denied_total", "reason=\"missing\"",                                          \
      "Requests refused for their credentials.")                                                             \
    X(denied_invalid, "tidings_denied_total", "reason=\"invalid\"", "")                                      \
    X(denied_expired, "tidings_denied_total", "reason=\"expired\"", "")                                      \
    X(denied_forbidden, "tidings_denied_total", "reason=\"forbidden\"", "")                                  \
    X(denied_origin, "tidings_denied_total", "reason=\"origin\"", "")                                        \
    X(closed_client, "tidings_streams_closed_total", "cause=\"client_closed\"",                              \
      "Event streams ended, by cause.")                                                                      \
    X(closed_reset, "tidings_streams_closed_total", "cause=\"reset\"", "")                                   \
    X(closed_timeout, "tidings_streams_closed_total", "cause=\"timeout\"", "")                               \
    X(closed_age, "tidings_streams_closed_total", "cause=\"max_age\"", "")                                   \
    X(closed_expired, "tidings_streams_closed_total", "cause=\"expired\"", "")                               \
    X(closed_drain, "tidings_streams_closed_total", "cause=\"drain\"", "")                                   \
    X(closed_kick, "tidings_streams_closed_total", "cause=\"disconnected\"", "")                             \
    X(closed_slow, "tidings_streams_closed_total", "cause=\"slow_reader\"", "")                              \
    X(closed_stop, "tidings_streams_closed_total", "cause=\"stop\"", "")                                     \
    X(closed_error, "tidings_streams_closed_total", "cause=\"error\"", "")

struct stats {
#define STATS_FIELD(field, name, labels, help) _Atomic uint64_t field;
    STATS_MAP(STATS_FIELD)
#undef STATS_FIELD
};

/* Only the owner of the set calls this: load and store, no locked instruction. */
static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Adds what `from` holds to the plain numbers in sum, field by field. */
#define STATS_COUNT (sizeof(struct stats) / sizeof(_Atomic uint64_t))
void stats_sum(uint64_t sum[STATS_COUNT], const struct stats *from);

#endif
