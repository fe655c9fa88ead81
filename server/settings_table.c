/* SPDX-License-Identifier: MIT
 *
 * The table of settings. A change here has twins: the field in struct settings or struct tidings_config (and
 * its range in tidings_config_check()), and docs/settings.md, which `tidings serve --help-markdown` prints.
 *
 * Defaults are not here: tidings_config_init() and settings_load() hold them once, and help asks them.
 */
#include "settings_table.h"

#include <string.h>

#include "value.h"

#define SECOND UINT64_C(1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)
#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)

#define HISTORY_SIZE_MAX  10000000
#define HISTORY_BYTES_MAX (1024 * MIB)
#define HISTORY_TTL_MAX   (24 * DAY)

#define AT(field)                                                                                            \
    .offset = offsetof(struct settings, field), .width = sizeof(((struct settings *)NULL)->field)
#define AT_TOPIC(field)                                                                                      \
    .offset = offsetof(struct tidings_topic_policy, field),                                                  \
    .width = sizeof(((struct tidings_topic_policy *)NULL)->field)

static bool is_address(const char *text)
{
    bool loopback;

    return value_address(text, &loopback);
}

static bool is_some(const char *text)
{
    return text[0] != '\0';
}

static const char *const slow_reader_choices[] = {"resync", "disconnect", NULL};
static const char *const compress_choices[] = {"auto", "on", "off", NULL};
static const char *const sync_choices[] = {"normal", "full", NULL};
static const char *const format_choices[] = {"text", "json", NULL};
static const char *const level_choices[] = {"error", "warn", "info", "debug", NULL};

static const struct setting listening_rows[] = {
    {.name = "listen",
     .kind = SETTING_LIST,
     AT(listen),
     .check = is_address,
     .form = "ADDR:PORT",
     .fallback = "127.0.0.1:3000",
     .help =
         "where to accept connections: 127.0.0.1:3000, [::1]:3000, localhost:3000 or unix:/run/tidings.sock; "
         "port 0 picks a free one; https:// or http:// before an address says whether it is encrypted, "
         "without either it is if there is a certificate"},
    {.name = "tls-cert",
     .kind = SETTING_TEXT,
     AT(tls_cert),
     .check = is_some,
     .form = "FILE",
     .reload = true,
     .help = "certificate for https, with the chain behind it, in PEM; read again by SIGHUP"},
    {.name = "tls-key",
     .kind = SETTING_TEXT,
     AT(tls_key),
     .check = is_some,
     .form = "FILE",
     .reload = true,
     .help = "the private key of the certificate, in PEM"},
    {.name = "loops",
     .kind = SETTING_COUNT,
     AT(config.loops),
     .min = 1,
     .max = 64,
     .automatic = "one for each processor",
     .help = "event loops, each a thread of its own"},
    {.name = "public-host",
     .kind = SETTING_LIST,
     AT(public_host),
     .check = value_host,
     .form = "HOST",
     .reload = true,
     .help = "a name besides the loopback ones that requests may carry in `Host`, or * for any"},
    {.name = "insecure",
     .kind = SETTING_FLAG,
     AT(config.insecure),
     .help = "allow addresses other than loopback although no credentials are configured"},
    {.name = "send-buffer",
     .kind = SETTING_SIZE,
     AT(config.send_buffer),
     .max = 64 * MIB,
     .help =
         "kernel send buffer of each connection; a reader that never reads pins about twice this; 0 leaves "
         "it to the kernel"},
    {.name = "user-timeout",
     .kind = SETTING_DURATION,
     AT(config.user_timeout),
     .max = HOUR,
     .help = "a peer that acknowledges nothing for so long is gone (TCP_USER_TIMEOUT); 0 leaves it to the "
             "kernel"},
};

static const struct setting credential_rows[] = {
    {.name = "publish-key",
     .kind = SETTING_LIST,
     AT(publish_key),
     .check = value_key,
     .form = "KEY",
     .reload = true,
     .secret = true,
     .help = "a key with which a backend may publish (`Authorization: Bearer KEY`)"},
    {.name = "publish-key-file",
     .kind = SETTING_LIST,
     AT(publish_key_file),
     .check = is_some,
     .form = "FILE",
     .reload = true,
     .file_of = "publish-key",
     .help = "file with such keys, one in a line"},
    {.name = "admin-key",
     .kind = SETTING_LIST,
     AT(admin_key),
     .check = value_key,
     .form = "KEY",
     .reload = true,
     .secret = true,
     .help = "a key that may do everything: publish, subscribe, lists, metrics, history, the dashboard"},
    {.name = "admin-key-file",
     .kind = SETTING_LIST,
     AT(admin_key_file),
     .check = is_some,
     .form = "FILE",
     .reload = true,
     .file_of = "admin-key",
     .help = "file with such keys, one in a line"},
    {.name = "jwt-secret",
     .kind = SETTING_TEXT,
     AT(jwt_secret),
     .check = is_some,
     .form = "SECRET",
     .reload = true,
     .secret = true,
     .help = "verifies tokens (JSON Web Tokens) with HS256, HS384 and HS512; 32 bytes or more"},
    {.name = "jwt-secret-file",
     .kind = SETTING_TEXT,
     AT(jwt_secret_file),
     .check = is_some,
     .form = "FILE",
     .reload = true,
     .file_of = "jwt-secret",
     .help = "file whose one line is this secret"},
    {.name = "jwt-public-key",
     .kind = SETTING_TEXT,
     AT(jwt_public_key),
     .check = is_some,
     .form = "FILE",
     .reload = true,
     .help = "PEM file of a public key or certificate: verifies RS*, PS*, or the ES* of its curve"},
    {.name = "jwks",
     .kind = SETTING_TEXT,
     AT(jwks),
     .check = is_some,
     .form = "FILE",
     .reload = true,
     .help = "file with a JSON Web Key Set: several keys, told apart by `kid`"},
    {.name = "jwt-issuer",
     .kind = SETTING_TEXT,
     AT(jwt_issuer),
     .check = is_some,
     .form = "TEXT",
     .reload = true,
     .help = "what `iss` of a token must be"},
    {.name = "jwt-audience",
     .kind = SETTING_TEXT,
     AT(jwt_audience),
     .check = is_some,
     .form = "TEXT",
     .reload = true,
     .help = "what must be in `aud` of a token"},
    {.name = "jwt-leeway",
     .kind = SETTING_DURATION,
     AT(config.jwt_leeway),
     .max = HOUR,
     .reload = true,
     .help = "how much the clocks of hub and issuer may differ, for `exp` and `nbf`"},
    {.name = "jwt-allow-no-exp",
     .kind = SETTING_FLAG,
     AT(config.jwt_allow_no_exp),
     .reload = true,
     .help = "admit tokens that never expire"},
    {.name = "anonymous",
     .kind = SETTING_FLAG,
     AT(config.anonymous),
     .automatic = "true without keys of tokens and --authorize-url",
     .reload = true,
     .help = "whoever comes may subscribe, as any client; otherwise subscribers need credentials"},
    {.name = "public-metrics",
     .kind = SETTING_FLAG,
     AT(config.public_metrics),
     .reload = true,
     .help = "metrics need no key"},
    {.name = "trusted-proxy",
     .kind = SETTING_LIST,
     AT(trusted_proxy),
     .check = value_network,
     .form = "CIDR",
     .reload = true,
     .help = "a proxy, or a network of them, whose X-Forwarded-For (or Forwarded) says where a request comes "
             "from: "
             "10.0.0.0/8, ::1, unix"},
    {.name = "cors-origin",
     .kind = SETTING_LIST,
     AT(cors_origin),
     .check = value_origin,
     .form = "ORIGIN",
     .reload = true,
     .help = "an origin besides the hub's own whose pages may use it, with credentials: "
             "https://app.example.com"},
};

static const struct setting backend_rows[] = {
    {.name = "authorize-url",
     .kind = SETTING_TEXT,
     AT(authorize_url),
     .check = value_url,
     .form = "URL",
     .help =
         "your application, which is asked with the visitor's cookies who he is and what he may subscribe to "
         "(docs/backend.md); if it does not answer, he is told to come back later"},
    {.name = "authorize-timeout",
     .kind = SETTING_DURATION,
     AT(config.authorize_timeout),
     .min = 1,
     .max = 60 * SECOND,
     .help = "how long it may think"},
    {.name = "authorize-concurrency",
     .kind = SETTING_COUNT,
     AT(config.authorize_concurrency),
     .min = 1,
     .max = 1000,
     .help = "questions at the same time; 1024 more wait, further ones are refused"},
    {.name = "event-url",
     .kind = SETTING_TEXT,
     AT(event_url),
     .check = value_url,
     .form = "URL",
     .help = "your application, which is told who has connected and disconnected"},
    {.name = "event-secret",
     .kind = SETTING_LIST,
     AT(event_secret),
     .check = is_some,
     .form = "SECRET",
     .secret = true,
     .help = "signs what it is told; several while one is changed for another"},
    {.name = "event-secret-file",
     .kind = SETTING_LIST,
     AT(event_secret_file),
     .check = is_some,
     .form = "FILE",
     .file_of = "event-secret",
     .help = "file with such secrets, one in a line"},
    {.name = "event-queue",
     .kind = SETTING_COUNT,
     AT(config.event_queue),
     .min = 1,
     .max = 1000000,
     .help = "notices that wait for it; beyond, they are lost, and it is told how many"},
};

static const struct setting limit_rows[] = {
    {.name = "max-connections",
     .kind = SETTING_COUNT,
     AT(config.max_connections),
     .max = 10000000,
     .reload = true,
     .automatic = "descriptors less a reserve",
     .help = "open streams; 0 = no limit"},
    {.name = "max-connections-per-client",
     .kind = SETTING_COUNT,
     AT(config.max_connections_per_client),
     .max = 10000000,
     .reload = true,
     .help = "open streams of one client; 0 = no limit"},
    {.name = "max-connections-per-address",
     .kind = SETTING_COUNT,
     AT(config.max_connections_per_address),
     .max = 10000000,
     .reload = true,
     .help = "open streams of one IPv4 address, or one IPv6 /64; 0 = no limit"},
    {.name = "connect-rate",
     .kind = SETTING_COUNT,
     AT(config.connect_rate),
     .max = 10000000,
     .reload = true,
     .help = "subscriptions a second, with twice as many at once; 0 = no limit"},
    {.name = "connect-rate-per-address",
     .kind = SETTING_COUNT,
     AT(config.connect_rate_per_address),
     .max = 10000000,
     .reload = true,
     .help = "the same of one IPv4 address, or one IPv6 /64"},
    {.name = "publish-rate",
     .kind = SETTING_COUNT,
     AT(config.publish_rate),
     .max = 10000000,
     .reload = true,
     .help = "events a second that come by HTTP, with twice as many at once; 0 = no limit"},
    {.name = "publish-rate-per-address",
     .kind = SETTING_COUNT,
     AT(config.publish_rate_per_address),
     .max = 10000000,
     .reload = true,
     .help = "the same of one IPv4 address, or one IPv6 /64"},
    {.name = "publish-rate-per-key",
     .kind = SETTING_COUNT,
     AT(config.publish_rate_per_key),
     .max = 10000000,
     .reload = true,
     .help = "the same by one key or token"},
    {.name = "auth-failure-rate-per-address",
     .kind = SETTING_COUNT,
     AT(config.auth_failure_rate_per_address),
     .max = 10000000,
     .reload = true,
     .help = "requests with wrong credentials a second; beyond, no credentials of that address are "
             "looked at for a while; 0 = no limit"},
    {.name = "max-request-line",
     .kind = SETTING_SIZE,
     AT(config.max_request_line),
     .min = 64,
     .max = MIB,
     .reload = true,
     .help = "first line of a request; a longer one is answered with 414"},
    {.name = "max-headers",
     .kind = SETTING_SIZE,
     AT(config.max_headers),
     .min = 256,
     .max = MIB,
     .reload = true,
     .help = "header fields of a request, 100 at most; more are answered with 431"},
    {.name = "max-body",
     .kind = SETTING_SIZE,
     AT(config.max_body),
     .max = 1024 * MIB,
     .reload = true,
     .help = "body of a request; a longer one is answered with 413; 0 = no limit"},
    {.name = "max-topics",
     .kind = SETTING_COUNT,
     AT(config.max_topics),
     .max = 1024,
     .reload = true,
     .help =
         "topics of one subscription; more are answered with 400; 0 = as many as the hub can merge, 1024"},
    {.name = "http2",
     .kind = SETTING_FLAG,
     AT(config.http2),
     .reload = true,
     .help = "speak HTTP/2 where the peer begins with it: over TLS, and in the clear with prior knowledge"},
    {.name = "max-streams",
     .kind = SETTING_COUNT,
     AT(config.max_streams),
     .min = 1,
     .max = 65536,
     .reload = true,
     .help = "streams of one HTTP/2 connection at the same time; further ones are refused and may be tried "
             "again"},
    {.name = "compress",
     .kind = SETTING_ENUM,
     AT(config.compress),
     .choices = compress_choices,
     .reload = true,
     .help =
         "gzip for event streams whose readers accept it: auto compresses what travels in the clear, on also "
         "what travels over TLS (docs/compression.md says when that is wise)"},
    {.name = "max-stalled-bytes",
     .kind = SETTING_SIZE,
     AT(config.max_stalled_bytes),
     .max = 1024 * 1024 * MIB,
     .reload = true,
     .help = "bytes of events that are kept no more, but of which some reader has got the beginning and not "
             "the end; "
             "beyond, the streams of those that stand in the oldest ones are ended; 0 = no limit"},
    {.name = "slow-reader",
     .kind = SETTING_ENUM,
     AT(config.slow_reader),
     .choices = slow_reader_choices,
     .reload = true,
     .help = "what happens to a reader so slow that events it has not been sent yet were given up: skip "
             "them and tell it (`__resync`), or end its stream; it is told `incomplete` when it comes back"},
};

static const struct setting time_rows[] = {
    {.name = "head-timeout",
     .kind = SETTING_DURATION,
     AT(config.head_timeout),
     .max = DAY,
     .reload = true,
     .help = "until the head of a request is complete; 0 = no limit"},
    {.name = "body-timeout",
     .kind = SETTING_DURATION,
     AT(config.body_timeout),
     .max = DAY,
     .reload = true,
     .help = "until the body of a request is complete; 0 = no limit"},
    {.name = "idle-timeout",
     .kind = SETTING_DURATION,
     AT(config.idle_timeout),
     .max = DAY,
     .reload = true,
     .help = "a kept connection without a request; 0 = no limit"},
    {.name = "heartbeat",
     .kind = SETTING_DURATION,
     AT(config.heartbeat),
     .max = DAY,
     .reload = true,
     .help = "between heartbeats of a stream, jittered; 0 = none are sent"},
    {.name = "retry",
     .kind = SETTING_DURATION,
     AT(config.retry),
     .min = 1,
     .max = DAY,
     .reload = true,
     .help = "how long browsers are told to wait before they reconnect, jittered"},
    {.name = "max-connection-age",
     .kind = SETTING_DURATION,
     AT(config.max_connection_age),
     .max = 24 * DAY,
     .reload = true,
     .help = "a stream ends after so long, jittered 80-100 %; 0 = no limit"},
    {.name = "drain-time",
     .kind = SETTING_DURATION,
     AT(drain_time),
     .max = HOUR,
     .reload = true,
     .help = "over which streams are ended when the hub stops; 0 = at once"},
};

static const struct setting history_rows[] = {
    {.name = "history-size",
     .kind = SETTING_COUNT,
     AT(config.history_size),
     .max = HISTORY_SIZE_MAX,
     .reload = true,
     .help = "events kept for each client, each topic and for broadcasts, and replayed to readers that come "
             "back; 0 = nothing is replayed"},
    {.name = "history-bytes",
     .kind = SETTING_SIZE,
     AT(config.history_bytes),
     .max = HISTORY_BYTES_MAX,
     .reload = true,
     .help = "bytes of them, also for each of these; the newest one is kept whatever its size; 0 = no limit"},
    {.name = "history-ttl",
     .kind = SETTING_DURATION,
     AT(config.history_ttl),
     .max = HISTORY_TTL_MAX,
     .reload = true,
     .help = "how long they are kept and replayed; 0 = no limit"},
    {.name = "history-total-bytes",
     .kind = SETTING_SIZE,
     AT(config.history_total_bytes),
     .max = 1024 * 1024 * MIB,
     .reload = true,
     .help = "bytes of kept events of the whole hub; beyond it the oldest are given up; 0 = no limit"},
};

static const struct setting store_rows[] = {
    {.name = "store",
     .kind = SETTING_TEXT,
     AT(store),
     .check = value_store,
     .form = "memory|sqlite:PATH",
     .fallback = "memory",
     .help = "where history and idempotency keys are kept: in memory, or in a file that survives the hub; "
             "with a file a publisher is answered when its event is stored"},
    {.name = "store-sync",
     .kind = SETTING_ENUM,
     AT(config.store_sync),
     .choices = sync_choices,
     .help = "what an answer means: the event survives the end of the process (normal; when the machine "
             "loses power the newest may be lost), or also a loss of power (full)"},
    {.name = "publish-timeout",
     .kind = SETTING_DURATION,
     AT(config.publish_timeout),
     .max = DAY,
     .reload = true,
     .help = "how long a publisher waits for the store; then it is answered with 503, and the event may be "
             "stored all the same; 0 = no limit"},
    {.name = "idempotency-window",
     .kind = SETTING_DURATION,
     AT(config.idempotency_window),
     .min = SECOND,
     .max = 7 * DAY,
     .reload = true,
     .help = "how long an idempotency key is remembered"},
    {.name = "idempotency-keys",
     .kind = SETTING_COUNT,
     AT(config.idempotency_keys),
     .min = 1,
     .max = 10000000,
     .reload = true,
     .help = "idempotency keys remembered at once; beyond it a publish with a new key is answered with 503"},
};

const struct setting settings_topic_rows[SETTINGS_TOPIC_ROWS] = {
    {.name = "history-size",
     .kind = SETTING_COUNT,
     AT_TOPIC(history_size),
     .max = HISTORY_SIZE_MAX,
     .help = "events kept for each of these topics; 0 = nothing is replayed"},
    {.name = "history-bytes",
     .kind = SETTING_SIZE,
     AT_TOPIC(history_bytes),
     .max = HISTORY_BYTES_MAX,
     .help = "bytes of them; 0 = no limit"},
    {.name = "history-ttl",
     .kind = SETTING_DURATION,
     AT_TOPIC(history_ttl),
     .max = HISTORY_TTL_MAX,
     .help = "how long they are kept and replayed; 0 = no limit"},
    {.name = "latest-only",
     .kind = SETTING_FLAG,
     AT_TOPIC(latest_only),
     .help = "keep the newest event only, and give it to each new subscriber at once; history-size is left "
             "out then, or 1"},
};

static const struct setting running_rows[] = {
    {.name = "log-level",
     .kind = SETTING_ENUM,
     AT(log_level),
     .choices = level_choices,
     .reload = true,
     .help = "the least important lines that are logged"},
    {.name = "log-format",
     .kind = SETTING_ENUM,
     AT(log_format),
     .choices = format_choices,
     .help = "form of the log on standard error"},
    {.name = "user",
     .kind = SETTING_TEXT,
     AT(user),
     .check = is_some,
     .form = "NAME[:GROUP]",
     .help = "become this user, for good, when all sockets are open; only root can become another one. Files "
             "that the hub "
             "writes, and "
             "those that SIGHUP reads again, have to be his"},
    {.name = "seccomp",
     .kind = SETTING_FLAG,
     AT(seccomp),
     .help = "give up all system calls but those that a hub needs"},
    {.name = "config",
     .kind = SETTING_TEXT,
     AT(config_file),
     .check = is_some,
     .form = "FILE",
     .not_in_file = true,
     .help = "file with lines `name = value` and sections `[topic PATTERN]`; it is read again on SIGHUP"},
    {.name = "check-config",
     .kind = SETTING_FLAG,
     AT(check_config),
     .not_in_file = true,
     .help = "check all settings and exit: 0 if they are right, 2 if not"},
};

#define GROUP(title, rows)                                                                                   \
    {                                                                                                        \
        title, rows, sizeof(rows) / sizeof *(rows)                                                           \
    }

const struct setting_group settings_groups[] = {
    GROUP("Listening", listening_rows),
    GROUP("Credentials", credential_rows),
    GROUP("Your application", backend_rows),
    GROUP("Limits", limit_rows),
    GROUP("Time", time_rows),
    GROUP("History", history_rows),
    GROUP("Store", store_rows),
    GROUP("Running", running_rows),
};
const size_t settings_group_count = sizeof settings_groups / sizeof *settings_groups;

const struct setting *settings_row(size_t i)
{
    for (size_t g = 0; g < settings_group_count; g++) {
        if (i < settings_groups[g].count)
            return &settings_groups[g].rows[i];
        i -= settings_groups[g].count;
    }
    return NULL;
}

uint64_t settings_number(const void *of, const struct setting *row)
{
    const char *at = (const char *)of + row->offset;
    uint64_t wide;
    uint32_t narrow;
    bool flag;

    if (row->width == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    if (row->width == sizeof flag) {
        memcpy(&flag, at, sizeof flag);
        return flag;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

void settings_set_number(void *of, const struct setting *row, uint64_t number)
{
    char *at = (char *)of + row->offset;
    uint32_t narrow = (uint32_t)number;
    bool flag = number != 0;

    if (row->width == sizeof number)
        memcpy(at, &number, sizeof number);
    else if (row->width == sizeof flag)
        memcpy(at, &flag, sizeof flag);
    else
        memcpy(at, &narrow, sizeof narrow);
}

static void print_list(const struct settings_list *list, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < list->count && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%s", i ? ", " : "", list->items[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

void settings_print_value(const struct settings *settings, const struct setting *row, char *out, size_t size)
{
    const char *at = (const char *)settings + row->offset;
    const char *text;

    switch (row->kind) {
    case SETTING_TEXT:
        memcpy(&text, at, sizeof text);
        snprintf(out, size, "%s", text ? text : row->fallback ? row->fallback : "");
        return;
    case SETTING_LIST:
        print_list((const struct settings_list *)(const void *)at, out, size);
        return;
    case SETTING_ENUM:
        snprintf(out, size, "%s", row->choices[settings_number(settings, row)]);
        return;
    case SETTING_FLAG:
        if (row->automatic && settings_number(settings, row) == TIDINGS_AUTO)
            break;
        snprintf(out, size, "%s", settings_number(settings, row) ? "true" : "false");
        return;
    default:
        break;
    }
    if (row->automatic && settings_number(settings, row) == TIDINGS_AUTO)
        snprintf(out, size, "auto");
    else if (row->kind == SETTING_DURATION)
        value_print_duration(out, size, settings_number(settings, row));
    else if (row->kind == SETTING_SIZE)
        value_print_size(out, size, settings_number(settings, row));
    else
        snprintf(out, size, "%llu", (unsigned long long)settings_number(settings, row));
}
