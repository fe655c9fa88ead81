/* SPDX-License-Identifier: MIT
 *
 * config - see tidings.h: defaults and ranges of struct tidings_config.
 */
#include "config.h"

#include <stddef.h>
#include <string.h>

#include "cors.h"
#include "netaddr.h"
#include "text.h"

#define SECOND 1000u
#define DAY    (24u * 3600 * SECOND)
#define KIB    1024u

void tidings_config_init(struct tidings_config *config)
{
    *config = (struct tidings_config){
        .size = sizeof(*config),
        .loops = TIDINGS_AUTO,
        .max_connections = TIDINGS_AUTO,
        .max_connections_per_client = 100,
        .auth_failure_rate_per_address = 10,
        .authorize_timeout = 2 * SECOND,
        .authorize_concurrency = 64,
        .event_queue = 10000,
        .max_request_line = 64 * KIB,
        .max_headers = 64 * KIB,
        .max_body = KIB * KIB,
        .max_topics = 64,
        .max_streams = 256,
        .http2 = true,
        .head_timeout = 10 * SECOND,
        .body_timeout = 30 * SECOND,
        .idle_timeout = 60 * SECOND,
        .heartbeat = 15 * SECOND,
        .retry = 3 * SECOND,
        .max_connection_age = 3600 * SECOND,
        .user_timeout = 30 * SECOND,
        .history_size = 1000,
        .history_bytes = KIB * KIB,
        .history_ttl = 300 * SECOND,
        .history_total_bytes = 32ull * KIB * KIB,
        .max_stalled_bytes = 64ull * KIB * KIB,
        .slow_reader = TIDINGS_SLOW_RESYNC,
        .store_sync = TIDINGS_SYNC_NORMAL,
        .publish_timeout = 10 * SECOND,
        .idempotency_window = 600 * SECOND,
        .idempotency_keys = 500000,
        .send_buffer = 16 * KIB,
        .anonymous = TIDINGS_AUTO,
    };
}

#define TIME_MAX          (24 * DAY) /* deadlines are compared as signed numbers modulo 2^32 ms */
#define RATE_MAX          10000000u
#define HISTORY_SIZE_MAX  100000000u
#define HISTORY_BYTES_MAX (1024 * KIB * KIB)

static const struct {
    const char *name;
    size_t offset;
    uint32_t min, max;
    bool may_be_auto, may_be_none;
} ranges[] = {
#define RANGE(field, min, max, may_be_auto, may_be_none)                                                     \
    {                                                                                                        \
#field, offsetof(struct tidings_config, field), min, max, may_be_auto, may_be_none                   \
    }
    RANGE(loops, 1, 64, true, false),
    RANGE(max_connections, 1, 100000000, true, true),
    RANGE(max_connections_per_client, 1, 10000000, false, true),
    RANGE(max_connections_per_address, 1, 10000000, false, true),
    RANGE(authorize_timeout, 1, 60 * SECOND, false, false),
    RANGE(authorize_concurrency, 1, 1000, false, false),
    RANGE(event_queue, 1, 1000000, false, false),
    RANGE(connect_rate, 1, RATE_MAX, false, true),
    RANGE(connect_rate_per_address, 1, RATE_MAX, false, true),
    RANGE(publish_rate, 1, RATE_MAX, false, true),
    RANGE(publish_rate_per_address, 1, RATE_MAX, false, true),
    RANGE(publish_rate_per_key, 1, RATE_MAX, false, true),
    RANGE(auth_failure_rate_per_address, 1, RATE_MAX, false, true),
    RANGE(max_request_line, 64, KIB *KIB, false, false),
    RANGE(max_headers, 256, KIB *KIB, false, false),
    RANGE(max_body, 1, 1024 * KIB * KIB, false, true),
    RANGE(max_topics, 1, 1024, false, true),
    RANGE(max_streams, 1, 65536, false, false),
    RANGE(head_timeout, 1, TIME_MAX, false, true),
    RANGE(body_timeout, 1, TIME_MAX, false, true),
    RANGE(idle_timeout, 1, TIME_MAX, false, true),
    RANGE(heartbeat, 1, TIME_MAX, false, true),
    RANGE(retry, 1, DAY, false, false),
    RANGE(max_connection_age, 1, TIME_MAX, false, true),
    RANGE(user_timeout, 1, TIME_MAX, false, true),
    RANGE(history_size, 1, HISTORY_SIZE_MAX, false, true),
    RANGE(history_bytes, 1, HISTORY_BYTES_MAX, false, true),
    RANGE(history_ttl, 1, TIME_MAX, false, true),
    RANGE(publish_timeout, 1, TIME_MAX, false, true),
    RANGE(idempotency_window, SECOND, 7 * DAY, false, false),
    RANGE(idempotency_keys, 1, 10000000, false, false),
    RANGE(send_buffer, 1, 64 * KIB * KIB, false, true),
    RANGE(jwt_leeway, 1, 3600 * SECOND, false, true),
    RANGE(anonymous, 1, 1, true, true),
#undef RANGE
};

static bool is_number_in_range(const struct tidings_config *config, size_t i)
{
    uint32_t value = *(const uint32_t *)(const void *)((const char *)config + ranges[i].offset);

    return (value >= ranges[i].min && value <= ranges[i].max) ||
           (value == TIDINGS_AUTO && ranges[i].may_be_auto) || (value == 0 && ranges[i].may_be_none);
}

/* A '*' anywhere but at the end would look like a wildcard and be none. */
static bool is_pattern(const char *pattern)
{
    size_t len = strnlen(pattern, TIDINGS_TOPIC_MAX + 1);
    const char *star = memchr(pattern, '*', len);

    return text_is_name(pattern, len, TIDINGS_TOPIC_MAX) && (!star || star == pattern + len - 1);
}

static bool is_policy(const struct tidings_topic_policy *p)
{
    return p->pattern && is_pattern(p->pattern) &&
           (p->history_size <= HISTORY_SIZE_MAX || p->history_size == TIDINGS_AUTO) &&
           (p->history_bytes <= HISTORY_BYTES_MAX || p->history_bytes == TIDINGS_AUTO) &&
           (p->history_ttl <= TIME_MAX || p->history_ttl == TIDINGS_AUTO) &&
           (!p->latest_only || p->history_size == 1 || p->history_size == TIDINGS_AUTO);
}

static bool are_policies(const struct tidings_topic_policy *policies, size_t count)
{
    if (count > TIDINGS_TOPIC_POLICIES_MAX || (count > 0 && !policies))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_policy(&policies[i]))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(policies[k].pattern, policies[i].pattern) == 0)
                return false;
        }
    }
    return true;
}

static bool is_store(const char *store)
{
    static const char sqlite[] = "sqlite:";

    if (!store || strcmp(store, "memory") == 0)
        return true;
    return strncmp(store, sqlite, sizeof(sqlite) - 1) == 0 && store[sizeof(sqlite) - 1] != '\0';
}

/* RFC 6750 section 2.1: anything else could not stand in a header. */
static bool is_key(const char *key)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";
    size_t len = strnlen(key, TIDINGS_KEY_MAX + 1);

    return len > 0 && len <= TIDINGS_KEY_MAX && strspn(key, allowed) == len;
}

static bool is_origin(const char *origin)
{
    return cors_is_origin(span_of(origin));
}

static bool is_url(const char *url)
{
    return !url || ((strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) &&
                    strchr(url, ':')[3] != '\0' && strlen(url) < 2048);
}

static bool is_secret(const char *text)
{
    return text[0] != '\0' && strlen(text) <= 1024;
}

static bool is_network(const char *text)
{
    struct netaddr_net net;

    return netaddr_parse_net(span_of(text), &net);
}

static bool are_all(const char *const *list, size_t max, bool (*is_one)(const char *text))
{
    size_t count = 0;

    for (; list && *list; list++) {
        if (++count > max || !is_one(*list))
            return false;
    }
    return true;
}

static const char *wrong_text(const struct tidings_config *config)
{
    return !is_store(config->store)                                             ? "store"
           : !are_all(config->publish_keys, TIDINGS_KEYS_MAX, is_key)           ? "publish_keys"
           : !are_all(config->admin_keys, TIDINGS_KEYS_MAX, is_key)             ? "admin_keys"
           : !are_all(config->cors_origins, TIDINGS_ORIGINS_MAX, is_origin)     ? "cors_origins"
           : !is_url(config->authorize_url)                                     ? "authorize_url"
           : !is_url(config->event_url)                                         ? "event_url"
           : !are_all(config->event_secrets, 8, is_secret)                      ? "event_secrets"
           : !are_all(config->trusted_proxies, TIDINGS_PROXIES_MAX, is_network) ? "trusted_proxies"
                                                                                : NULL;
}

int tidings_config_check(const struct tidings_config *config, const char **field)
{
    *field = "size";
    if (config->size != sizeof(*config))
        return TIDINGS_ECONFIG;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        *field = ranges[i].name;
        if (!is_number_in_range(config, i))
            return TIDINGS_ECONFIG;
    }
    *field = "slow_reader";
    if (config->slow_reader > TIDINGS_SLOW_DISCONNECT)
        return TIDINGS_ECONFIG;
    *field = "compress";
    if (config->compress > TIDINGS_COMPRESS_OFF)
        return TIDINGS_ECONFIG;
    *field = "topic_policies";
    if (!are_policies(config->topic_policies, config->topic_policy_count))
        return TIDINGS_ECONFIG;
    *field = config->tls_cert ? "tls_key" : "tls_cert";
    if (!config->tls_cert != !config->tls_key)
        return TIDINGS_ECONFIG;
    *field = "store_sync";
    if (config->store_sync > TIDINGS_SYNC_FULL)
        return TIDINGS_ECONFIG;
    const char *wrong = wrong_text(config);
    *field = wrong ? wrong : *field;
    return wrong ? TIDINGS_ECONFIG : 0;
}
