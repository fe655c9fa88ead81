/* SPDX-License-Identifier: MIT
 *
 * config - see tidings.h: defaults and ranges of struct tidings_config.
 */
#include "config.h"

#include <stddef.h>

#define SECOND 1000u
#define KIB    1024u

void tidings_config_init(struct tidings_config *config)
{
    *config = (struct tidings_config){
        .size = sizeof(*config),
        .loops = TIDINGS_AUTO,
        .max_connections = TIDINGS_AUTO,
        .max_connections_per_client = 100,
        .max_request_line = 64 * KIB,
        .max_headers = 64 * KIB,
        .max_body = KIB * KIB,
        .max_topics = 64,
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
        .slow_reader = TIDINGS_SLOW_RESYNC,
        .send_buffer = 16 * KIB,
    };
}

#define TIME_MAX (24u * 24 * 3600 * SECOND) /* deadlines are compared as signed numbers modulo 2^32 ms */

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
    RANGE(max_request_line, 64, KIB *KIB, false, false),
    RANGE(max_headers, 256, KIB *KIB, false, false),
    RANGE(max_body, 1, 1024 * KIB * KIB, false, true),
    RANGE(max_topics, 1, 1024, false, true),
    RANGE(head_timeout, 1, TIME_MAX, false, true),
    RANGE(body_timeout, 1, TIME_MAX, false, true),
    RANGE(idle_timeout, 1, TIME_MAX, false, true),
    RANGE(heartbeat, 1, TIME_MAX, false, true),
    RANGE(retry, 1, 24 * 3600 * SECOND, false, false),
    RANGE(max_connection_age, 1, TIME_MAX, false, true),
    RANGE(user_timeout, 1, TIME_MAX, false, true),
    RANGE(history_size, 1, 100000000, false, true),
    RANGE(history_bytes, 1, 1024 * KIB * KIB, false, true),
    RANGE(history_ttl, 1, TIME_MAX, false, true),
    RANGE(send_buffer, 1, 64 * KIB * KIB, false, true),
#undef RANGE
};

int tidings_config_check(const struct tidings_config *config, const char **field)
{
    *field = "size";
    if (config->size != sizeof(*config))
        return TIDINGS_ECONFIG;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        uint32_t value = *(const uint32_t *)(const void *)((const char *)config + ranges[i].offset);
        bool fits = (value >= ranges[i].min && value <= ranges[i].max) ||
                    (value == TIDINGS_AUTO && ranges[i].may_be_auto) || (value == 0 && ranges[i].may_be_none);
        *field = ranges[i].name;
        if (!fits)
            return TIDINGS_ECONFIG;
    }
    *field = "slow_reader";
    return config->slow_reader > TIDINGS_SLOW_DISCONNECT ? TIDINGS_ECONFIG : 0;
}
