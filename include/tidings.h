/* SPDX-License-Identifier: MIT
 *
 * tidings.h - the Tidings hub as a C library: Server-Sent Events fan-out with HTTP/1.1, in your process.
 *
 * The whole of it in one breath:
 *
 *     struct tidings_config config;
 *     struct tidings_hub *hub;
 *     tidings_config_init(&config);
 *     tidings_hub_create(&hub, &config);
 *     tidings_hub_listen(hub, "127.0.0.1:3000", NULL, 0);
 *     tidings_hub_start(hub);
 *     tidings_send_event(hub, "user-123", "notification", "{\"message\":\"Hello!\"}", 20);
 *     ...
 *     tidings_hub_stop(hub);
 *     tidings_hub_destroy(hub);
 *
 * Rules that hold for every call, unless it says otherwise:
 *   - Functions that return `int` return 0 (or a count where stated) on success and a negative TIDINGS_E*
 *     code on failure; out-parameters are written on success only.
 *   - Strings that are passed in are copied; the caller keeps what it owns. Strings are UTF-8.
 *   - The library has no global state, never logs, exits, aborts, changes signal dispositions or the
 *     process's environment. Several hubs can live in one process.
 *   - "Any thread" means: any thread, at any time between create and destroy, also from callbacks.
 *   - Times are milliseconds; wall-clock times are milliseconds since 1970-01-01 UTC. Sizes are bytes.
 *
 * Wire formats: WHATWG HTML "Server-sent events" (section 9.2), RFC 9110 and RFC 9112 (HTTP/1.1),
 * RFC 8259 (JSON), RFC 9457 (problem details).
 */
#ifndef TIDINGS_H
#define TIDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TIDINGS_VERSION_MAJOR 0
#define TIDINGS_VERSION_MINOR 1
#define TIDINGS_VERSION_PATCH 0
#define TIDINGS_VERSION       "0.1.0"

#if defined(__GNUC__)
#define TIDINGS_API __attribute__((visibility("default")))
#else
#define TIDINGS_API
#endif

/* The version of the library that runs, as "major.minor.patch". Static storage. Any thread. */
TIDINGS_API const char *tidings_version(void);

/* ------------------------------------------------------------------ errors */

/* The one list: enum, name and text derive from it, and so does docs/errors.md. */
#define TIDINGS_ERROR_MAP(X)                                                                                 \
    X(ENOMEM, -1, "out of memory")                                                                           \
    X(EINVAL, -2, "invalid argument")                                                                        \
    X(ENAME, -3, "not a valid client id, topic or event name")                                               \
    X(ERESERVED, -4, "this event name belongs to the hub or to EventSource")                                 \
    X(EJSON, -5, "the payload is not valid JSON")                                                            \
    X(ETOOBIG, -6, "larger than the configured limit")                                                       \
    X(ELIMIT, -7, "a configured limit is reached")                                                           \
    X(ESTATE, -8, "not possible in the hub's present state")                                                 \
    X(EADDRESS, -9, "not an address that can be listened on")                                                \
    X(EINUSE, -10, "the address is in use")                                                                  \
    X(EREFUSED, -11, "refused: not a loopback address, and neither credentials nor insecure are set")        \
    X(ENOENT, -12, "no such thing")                                                                          \
    X(ESYSTEM, -13, "a system call failed; errno says why")                                                  \
    X(ECONFIG, -14, "a setting is out of its range")                                                         \
    X(EMISMATCH, -15, "the idempotency key was used for something else")                                     \
    X(EKEYS, -16, "as many idempotency keys are remembered as idempotency_keys allows")                      \
    X(EBUSY, -17, "too much waits for the store already; nothing was sent")                                  \
    X(ESTORE, -18, "the event could not be stored, and was not sent")                                        \
    X(ECLOSED, -19, "the hub is being stopped; nothing was sent")                                            \
    X(ECERTIFICATE, -20, "no usable TLS certificate and key")                                                \
    X(ECREDENTIALS, -21, "a key of tokens cannot be used; the log says why")

enum tidings_error {
    TIDINGS_OK = 0,
#define TIDINGS_ERROR_ENUM(name, value, text) TIDINGS_##name = value,
    TIDINGS_ERROR_MAP(TIDINGS_ERROR_ENUM)
#undef TIDINGS_ERROR_ENUM
};

/* The text of an error code, static storage; "unknown error" for any other number. Any thread. */
TIDINGS_API const char *tidings_strerror(int error);

/* ------------------------------------------------------------------ limits of names */

#define TIDINGS_CLIENT_ID_MAX 128 /* bytes, valid UTF-8 without C0, DEL and C1 control characters */
#define TIDINGS_TOPIC_MAX     256 /* the same */
#define TIDINGS_EVENT_MAX     128 /* the same, and neither "__…", "open" nor "error" */
#define TIDINGS_NAME_MAX      128 /* display name of a client */
#define TIDINGS_ID_MAX        64  /* an event id: [A-Za-z0-9._~-] */
#define TIDINGS_KEY_MAX       512 /* a publish or admin key */
#define TIDINGS_KEYS_MAX      64  /* keys of one kind */
#define TIDINGS_ORIGINS_MAX   64
#define TIDINGS_PROXIES_MAX   64

/* ------------------------------------------------------------------ configuration */

#define TIDINGS_AUTO UINT32_MAX /* let the hub choose, where a field says so */

enum tidings_slow_reader {
    TIDINGS_SLOW_RESYNC = 0, /* skip what is lost, tell the reader with `event: __resync`, go on */
    TIDINGS_SLOW_DISCONNECT  /* end the stream; the reader comes back and is told `incomplete` */
};

enum tidings_store_sync {
    TIDINGS_SYNC_NORMAL = 0, /* a commit survives the end of the process; the newest ones may be lost when the
                                machine loses power */
    TIDINGS_SYNC_FULL        /* a commit is on the disk before it is acknowledged */
};

#define TIDINGS_TOPIC_POLICIES_MAX 64

/* How much is kept of the topics that fit a pattern, where that differs from the rest of the hub. */
struct tidings_topic_policy {
    const char *pattern;    /* a topic, or its beginning and a final '*' ("*" alone: every topic); at most 256
                               bytes. An exact name counts before any beginning, a longer beginning before a
                               shorter one. No pattern twice. */
    uint32_t history_size;  /* as in struct tidings_config; TIDINGS_AUTO = as the hub's */
    uint32_t history_bytes; /* the same */
    uint32_t history_ttl;   /* the same */
    bool latest_only; /* keep the newest event only, and give it to each new subscriber at once; history_size
                         is 1 or TIDINGS_AUTO then */
};

enum tidings_compress {
    TIDINGS_COMPRESS_AUTO = 0, /* event streams in the clear, for readers that accept gzip */
    TIDINGS_COMPRESS_ON,       /* also over TLS: see docs/compression.md before */
    TIDINGS_COMPRESS_OFF
};

struct tidings_log_record;
struct tidings_connection_info;
struct tidings_auth_request;

/* Everything that can be set. Always fill it with tidings_config_init() first, then change fields.
 * A limit of 0 means "none" unless it says otherwise. Fields marked (reload) can be changed on a running
 * hub by tidings_hub_reconfigure(). */
struct tidings_config {
    size_t size; /* sizeof(struct tidings_config), set by tidings_config_init(); guards the ABI */

    uint32_t loops; /* event loops, one thread each: 1..64, TIDINGS_AUTO = one per online core [AUTO] */

    /* open streams (reload) */
    uint32_t max_connections;             /* TIDINGS_AUTO = descriptors less a reserve [AUTO] */
    uint32_t max_connections_per_client;  /* [100] */
    uint32_t max_connections_per_address; /* of one IPv4 address, or IPv6 /64; streams that were open before
                                             the limit was set are not counted [0] */

    /* a second, with twice as much at once; 0 = none (reload) */
    uint32_t connect_rate;                  /* subscriptions [0] */
    uint32_t connect_rate_per_address;      /* [0] */
    uint32_t publish_rate;                  /* events that come by HTTP [0] */
    uint32_t publish_rate_per_address;      /* [0] */
    uint32_t publish_rate_per_key;          /* of one key or token [0] */
    uint32_t auth_failure_rate_per_address; /* requests with wrong credentials; beyond, no credentials of that
                                              address are looked at for a while [10] */

    /* one request (reload) */
    uint32_t max_request_line; /* bytes, 64..1 MiB [64 KiB]; beyond: 414 */
    uint32_t max_headers;      /* bytes, 256..1 MiB [64 KiB]; beyond, or above 100 fields: 431 */
    uint32_t max_body;         /* bytes, 0 = none, at most 1 GiB [1 MiB]; beyond: 413 */
    uint32_t max_topics;       /* of one subscription, 0..1024 [64] */
    uint32_t max_streams; /* of one HTTP/2 connection at the same time, 1..65,536 [256]; for connections that
                             begin after a reload */
    const char *tls_cert; /* PEM files: the certificate with its chain, and its key; both or none. They are
                             read by create and reconfigure, the strings are not kept (reload: for connections
                             that begin afterwards) [NULL] */
    const char *tls_key;
    bool http2; /* HTTP/2 over TLS (ALPN) and with prior knowledge [true] */

    enum tidings_compress compress; /* of event streams that begin from now on [AUTO] (reload) */

    /* time, milliseconds (reload) */
    uint32_t head_timeout;       /* until the request head is complete [10 s]; 0 = none */
    uint32_t body_timeout;       /* until the body is complete [30 s]; 0 = none */
    uint32_t idle_timeout;       /* a kept-alive connection without a request [60 s]; 0 = none */
    uint32_t heartbeat;          /* between heartbeats, jittered per connection [15 s]; 0 = none */
    uint32_t retry;              /* reconnection time told to browsers, jittered [3 s]; at least 1 */
    uint32_t max_connection_age; /* of a stream, jittered 80-100 % [1 h]; 0 = none */
    uint32_t user_timeout;       /* TCP_USER_TIMEOUT (RFC 5482) of accepted sockets [30 s]; 0 = the kernel's;
                                    read when listening starts */

    /* kept events: per client, per topic and for broadcasts; and for the whole hub (reload) */
    uint32_t history_size;        /* events per stream, 0 = keep none for later [1000] */
    uint32_t history_bytes;       /* bytes per stream [1 MiB] */
    uint32_t history_ttl;         /* milliseconds [5 m]; 0 = no limit of age */
    uint64_t history_total_bytes; /* bytes for the hub [32 MiB] */
    uint64_t max_stalled_bytes;   /* bytes of events that are kept no more and that readers have received the
                                     beginning   of; beyond, those in the oldest ones are ended [64 MiB]; 0 = no
                                     limit */
    enum tidings_slow_reader slow_reader;

    /* Topics that are kept differently; NULL if count is 0, copied by the hub, at most
     * TIDINGS_TOPIC_POLICIES_MAX (reload) */
    const struct tidings_topic_policy *topic_policies;
    size_t topic_policy_count;

    /* where kept events, idempotency keys and the epoch survive the process */
    const char *store;                  /* "sqlite:PATH"; NULL or "memory" = nowhere [NULL] */
    enum tidings_store_sync store_sync; /* [NORMAL] */
    uint32_t publish_timeout; /* that a publisher waits for the store, milliseconds, at most 24 d [10 s]; then
                                 503 `publish_timeout`, and the event may be stored all the same; 0 = no
                                 limit (reload) */

    /* keys of publishers that repeat themselves (reload) */
    uint32_t idempotency_window; /* how long a key is remembered, milliseconds, 1 s..7 d [10 m] */
    uint32_t idempotency_keys;   /* remembered at once, 1..10,000,000 [500,000] */

    uint32_t send_buffer; /* SO_SNDBUF of accepted sockets, bytes: what a reader that never reads can pin in
                             the kernel is about twice this [16 KiB]; 0 = the kernel's default; read when
                             listening starts */

    /* Who may reach the hub, and for what (reload, but for insecure). Lists end with NULL, or are NULL; the
     * hub keeps what it needs of all of these: of keys only what recognises them. As soon as there is one
     * key, lists, details, history, both metrics and the dashboard need the right of an admin, publishing
     * that of a publisher. Routes and pages of the embedder are open: what they ask for is his own business.
     */
    bool insecure;                   /* allow listening beyond loopback without credentials [false] */
    const char *const *public_hosts; /* without credentials: `Host` names answered besides loopback ones; "*"
                                        = any */
    const char *const *publish_keys; /* `Authorization: Bearer KEY`: who may publish; each 1 to
                                        TIDINGS_KEY_MAX bytes of letters, digits and -._~+/= (RFC 6750) */
    const char *const *admin_keys;   /* the same: who may do anything */
    /* JSON Web Tokens (RFC 7519) of whoever subscribes, publishes or administrates: `sub` is the client,
     * "tidings": {"subscribe": [topic…], "publish": [target…], "admin": true} the rest; docs/api.md has it.
     * The files are read by create and reconfigure. */
    const char *jwt_secret; /* verifies HS256, HS384, HS512; NULL = none */
    const char
        *jwt_public_key;      /* PEM file of a public key or certificate: RS*, PS* or the ES* of its curve */
    const char *jwks;         /* file with a JSON Web Key Set (RFC 7517) */
    const char *jwt_issuer;   /* what `iss` must be; NULL: anything */
    const char *jwt_audience; /* what must be in `aud`; NULL: anything */
    uint32_t jwt_leeway;      /* ms that clocks may differ, at most 1 h [0] */
    bool jwt_allow_no_exp;    /* tokens may live for ever [false] */
    uint32_t anonymous;       /* 1: whoever comes may subscribe, as any client; 0: a token or an admin key is
                                 needed, or what authorize_url says; TIDINGS_AUTO: 1 as long as there is neither a
                                 key of tokens nor an authorize_url [AUTO] */
    bool public_metrics;      /* /metrics and /api/sse/metrics need no right [false] */
    const char *const
        *trusted_proxies; /* networks ("10.0.0.0/8", "::1", "unix") of proxies whose X-Forwarded-For
                             and Forwarded are believed; at most TIDINGS_PROXIES_MAX */
    /* The user's application, asked with POST and JSON; http or https. Read by create; docs/backend.md. */
    const char *authorize_url;      /* who is this visitor, what may he have? NULL = nobody is asked [NULL] */
    uint32_t authorize_timeout;     /* ms until nobody knows, 1..60 s [2 s] */
    uint32_t authorize_concurrency; /* questions at the same time, 1..1,000 [64] */
    const char *event_url;          /* who has come, who has gone; NULL = nobody is told [NULL] */
    const char *const
        *event_secrets;   /* that sign what is told; all of them, so that they can be changed; at most 8 */
    uint32_t event_queue; /* notices that wait, 1..1,000,000 [10,000] */
    const char *const *cors_origins; /* whose pages may use the hub, with credentials, besides its own: exact,
                                        "https://app.example.com"; at most TIDINGS_ORIGINS_MAX */

    /* Callbacks, all optional, each with `user` as its first argument. They run on a loop's thread (log: on
     * any thread that calls the library; on_disconnect of a stream that tidings_hub_stop() ends: on the
     * thread that calls it), must not block and must not call start, stop or destroy. Pointers
     * in their arguments are valid only until they return. */
    void *user;
    /* May this request subscribe? Return 0 to admit, or 401 or 403 to refuse. Asked after the hub has found
     * its own credentials sufficient (or, with `anonymous`, none). */
    int (*authorize)(void *user, const struct tidings_auth_request *request);
    /* After a stream was opened / has ended. Order is kept per connection. */
    void (*on_connect)(void *user, const struct tidings_connection_info *connection);
    void (*on_disconnect)(void *user, const struct tidings_connection_info *connection, const char *cause,
                          uint64_t duration_ms);
    void (*log)(void *user, const struct tidings_log_record *record);
};

/* Fills *config with the defaults in [brackets]. Any thread. */
TIDINGS_API void tidings_config_init(struct tidings_config *config);

struct tidings_connection_info {
    const char *client_id;
    const char *name; /* display name, "" if none was given */
    const char *connection_id;
    const char *address; /* "192.0.2.1:4711", "[2001:db8::1]:4711" or "unix" */
    const char *user_agent;
};

struct tidings_auth_request {
    const char *client_id;
    const char *const *topics; /* NULL-ended */
    const char *address;
    const char *authorization; /* the header's value, or NULL. Never log it. */
    const char *cookie;        /* the header's value, or NULL. Never log it. */
    const char *access_token;  /* the query's value, or NULL. Never log it. */
};

enum tidings_log_level { TIDINGS_LOG_ERROR = 0, TIDINGS_LOG_WARN, TIDINGS_LOG_INFO, TIDINGS_LOG_DEBUG };

struct tidings_log_field {
    const char *name;
    const char *text; /* NULL: the number counts */
    uint64_t number;
};

struct tidings_log_record {
    enum tidings_log_level level;
    const char *event; /* stable machine name: "connect", "disconnect", "publish", "refuse", "listen", … */
    const char *message; /* for people; never holds a secret or a query string */
    const struct tidings_log_field *fields;
    size_t field_count;
};

/* ------------------------------------------------------------------ life of a hub */

struct tidings_hub;

/* Makes a hub that does nothing yet. *hub is the caller's, to be ended with tidings_hub_destroy().
 * Errors: ENOMEM, ESYSTEM, ECERTIFICATE, ECREDENTIALS (the log record says which file and why), ECONFIG
 * (*config holds a value out of range: see tidings_config_check()). */
TIDINGS_API int tidings_hub_create(struct tidings_hub **hub, const struct tidings_config *config);

/* Checks ranges without making anything. On ECONFIG *field is the name of the first bad field (static
 * storage). Any thread. */
TIDINGS_API int tidings_config_check(const struct tidings_config *config, const char **field);

/* Listens on "IPv4:PORT", "[IPv6]:PORT", "localhost:PORT" or "unix:PATH"; port 0 picks a free one.
 * "https://" before it is TLS, "http://" is not; without either it is TLS if the configuration has a
 * certificate. A unix socket is never encrypted. May be called several times, before start. The URL of the
 * listener ("http://127.0.0.1:3000", "unix:/run/t.sock") is written to url (NUL-ended, cut to url_size) if
 * url is not NULL. Connections are accepted from tidings_hub_start() on. A stale unix socket (nobody accepts
 * on it) is replaced. Errors: EADDRESS, EINUSE, EREFUSED, ECERTIFICATE (https without one), ESYSTEM, ENOMEM,
 * ESTATE (already started). */
TIDINGS_API int tidings_hub_listen(struct tidings_hub *hub, const char *address, char *url, size_t url_size);

/* Starts one thread for each loop. All signals are blocked in them. Errors: ESTATE, ESYSTEM, ENOMEM. */
TIDINGS_API int tidings_hub_start(struct tidings_hub *hub);

/* Changes the fields marked (reload); the others are ignored. Open connections stay. Any thread.
 * Errors: ECONFIG, ENOMEM, ECREDENTIALS, EREFUSED (it listens beyond loopback, and no credentials would be
 * left); then all stays as it was. */
TIDINGS_API int tidings_hub_reconfigure(struct tidings_hub *hub, const struct tidings_config *config);

/* Begins to drain: /readyz turns 503, new subscriptions are told to come back later, open streams end one
 * after the other, spread over drain_ms. Health, metrics and publishing are answered until stop. Returns at
 * once. Any thread; a second call changes nothing. Errors: ESTATE (not started). */
TIDINGS_API int tidings_hub_drain(struct tidings_hub *hub, uint32_t drain_ms);

/* Waits until no stream is open, at most timeout_ms. 1 = none is open, 0 = the time is over. Any thread
 * except a loop's. */
TIDINGS_API int tidings_hub_wait_drained(struct tidings_hub *hub, uint32_t timeout_ms);

/* Closes every connection and joins the threads. Not from a callback. Safe to call twice. */
TIDINGS_API void tidings_hub_stop(struct tidings_hub *hub);

/* Stops if necessary and frees everything. NULL is fine. Not from a callback. */
TIDINGS_API void tidings_hub_destroy(struct tidings_hub *hub);

/* ------------------------------------------------------------------ the guide's calls */

/* Sends the event to every connection of the client. json is any JSON value (RFC 8259), len its length in
 * bytes; white space outside strings is removed, everything else arrives as given.
 * Returns the number of connections that the event was handed to (0: the client is absent), or ENAME,
 * ERESERVED, EJSON, ETOOBIG, ENOMEM. Any thread. */
TIDINGS_API int tidings_send_event(struct tidings_hub *hub, const char *client_id, const char *event,
                                   const char *json, size_t len);

/* The same, to every connection. */
TIDINGS_API int tidings_broadcast(struct tidings_hub *hub, const char *event, const char *json, size_t len);

/* Open streams. Any thread. */
TIDINGS_API uint64_t tidings_total_connections(struct tidings_hub *hub);

struct tidings_connection_metrics {
    uint64_t total_connections;
    uint64_t total_clients;
    double average_connections_per_client; /* 0 when empty; not rounded */
};

/* Both totals of the same moment. Any thread. */
TIDINGS_API void tidings_get_connection_metrics(struct tidings_hub *hub,
                                                struct tidings_connection_metrics *metrics);

struct tidings_client_info {
    const char *client_id;
    const char *name; /* "" if none */
    uint32_t connections;
    uint64_t connected_at; /* wall clock, ms: its oldest open connection */
    uint64_t last_seen;    /* wall clock, ms: when a write to one of its connections last succeeded */
};

/* Calls callback for each connected client, most recent first, until it returns false. It works on pages
 * copied from the hub: clients that come or go meanwhile may or may not be seen, none is seen twice, and the
 * callback may call the hub. Returns 0 or ENOMEM. Any thread. */
TIDINGS_API int tidings_get_connected_clients(struct tidings_hub *hub,
                                              bool (*callback)(void *user,
                                                               const struct tidings_client_info *client),
                                              void *user);

/* Has the client an open connection? Any thread. */
TIDINGS_API bool tidings_has_client_connections(struct tidings_hub *hub, const char *client_id);

/* ------------------------------------------------------------------ beyond the guide */

enum tidings_target { TIDINGS_TO_CLIENT = 0, TIDINGS_TO_TOPIC, TIDINGS_TO_ALL };

#define TIDINGS_TTL_DEFAULT UINT32_MAX

struct tidings_message {
    enum tidings_target target;
    const char *to; /* client id or topic, length to_len; ignored for TIDINGS_TO_ALL */
    size_t to_len;
    const char *event;
    size_t event_len;
    const char *json;
    size_t json_len;
    uint32_t ttl; /* seconds that it stays in history, at most history_ttl; 0: for those who are there now,
                     not kept; TIDINGS_TTL_DEFAULT: history_ttl */
    const char *idempotency_key; /* 1 to 255 bytes of UTF-8 without control characters: a message with the
                                    same key within idempotency_window is this one again, gets the same
                                    receipt and is not sent */
    size_t idempotency_key_len;  /* 0: none */
};

struct tidings_receipt {
    uint64_t connections;        /* that the event was handed to */
    char id[TIDINGS_ID_MAX + 1]; /* the event's id, NUL-ended */
    bool repeated;               /* the key was known: this is the first receipt, and nothing was sent */
};

/* Publishes. receipt may be NULL. 0, or ENAME, ERESERVED, EJSON, ETOOBIG, EINVAL, ENOMEM, EMISMATCH, EKEYS;
 * with a store it waits until the event is stored, and may also return EBUSY, ESTORE or ECLOSED: not from a
 * callback then. Any thread. */
TIDINGS_API int tidings_publish(struct tidings_hub *hub, const struct tidings_message *message,
                                struct tidings_receipt *receipt);

/* Ends every stream of the client; with ban_seconds > 0 it is also told to stay away (204 when it comes back)
 * for that long. Returns the number of streams that will end, ENOENT if there is none and no ban was asked
 * for, ELIMIT (too many bans), ENAME. Any thread. */
TIDINGS_API int tidings_disconnect_client(struct tidings_hub *hub, const char *client_id,
                                          uint32_t ban_seconds);

/* ------------------------------------------------------------------ the embedder's own pages */

struct tidings_request;

typedef void tidings_handler(void *user, struct tidings_request *request);

/* Adds a route before start: exact path, or a prefix if it ends in "/" + "*". The hub's own paths win.
 * The handler runs on a loop's thread, must answer with tidings_respond() before it returns (500 otherwise)
 * and must not block. Errors: ESTATE, EINVAL, ENOMEM. */
TIDINGS_API int tidings_hub_route(struct tidings_hub *hub, const char *method, const char *path,
                                  tidings_handler *handler, void *user);

/* Views into the request, valid until the handler returns; NULL if absent. *len may not be NULL.
 * Header names are compared without case. */
TIDINGS_API const char *tidings_request_method(const struct tidings_request *request, size_t *len);
TIDINGS_API const char *tidings_request_path(const struct tidings_request *request, size_t *len);
TIDINGS_API const char *tidings_request_query(const struct tidings_request *request, size_t *len);
TIDINGS_API const char *tidings_request_header(const struct tidings_request *request, const char *name,
                                               size_t *len);
TIDINGS_API const char *tidings_request_body(const struct tidings_request *request, size_t *len);

#define TIDINGS_RESPONSE_MAX (4u << 20) /* bytes of one answer of tidings_respond() */

/* Answers, once. content_type may be NULL if len is 0; body is copied. Errors: ETOOBIG, EINVAL (status not
 * 200..599), ESTATE (already answered), ENOMEM. */
TIDINGS_API int tidings_respond(struct tidings_request *request, int status, const char *content_type,
                                const char *body, size_t len);

/* A file that never changes while the hub runs: answered with an ETag and, if gzip is not NULL, compressed
 * for those who ask. Nothing is copied: the array and all its pointers must outlive the hub. */
struct tidings_page {
    const char *path; /* exact, e.g. "/client" */
    const char *content_type;
    const void *body;
    size_t body_len;
    const void *gzip; /* the same bytes, gzip-compressed, or NULL */
    size_t gzip_len;
    const char *etag; /* quoted, e.g. "\"3f9a\"" */
    bool immutable;   /* the name changes when the content does: may be cached for a year */
};

/* Adds pages before start. Errors: ESTATE, EINVAL, ENOMEM. */
TIDINGS_API int tidings_hub_pages(struct tidings_hub *hub, const struct tidings_page *pages, size_t count);

/* ------------------------------------------------------------------ tokens */

#define TIDINGS_TOKEN_MAX 8192 /* bytes of a token that a hub looks at */

/* Signs a JSON Web Token (RFC 7519) with HS256 (RFC 7518 section 3.2). claims is a JSON object, whose bytes
 * go in as they are; docs/api.md says which claims a hub understands. The token is written to out with a NUL,
 * which is the caller's, size bytes; TIDINGS_TOKEN_MAX + 1 are always enough. Nothing is kept of the secret.
 * The length of the token, or EINVAL (no object, an empty secret), ETOOBIG (more than TIDINGS_TOKEN_MAX or
 * than fits), ENOMEM. Needs no hub; any thread. */
TIDINGS_API int tidings_token_sign(const char *claims, size_t claims_len, const char *secret,
                                   size_t secret_len, char *out, size_t size);

/* Would a hub with this configuration (jwt_…; its files are read) believe the token at this time (now: ms
 * since 1970)? 0: yes. 1: no, and why is "CODE: DETAIL", CODE as in docs/errors.md. ECREDENTIALS: a key
 * cannot be used, and why is a sentence about it; ENOMEM. why is written, NUL-ended and cut to size, whenever
 * the answer is not 0; it never holds a secret. For tools and tests: the keys are read anew each time. Needs
 * no hub; any thread. */
TIDINGS_API int tidings_token_check(const struct tidings_config *config, const char *token, size_t len,
                                    uint64_t now, char *why, size_t size);

/* What does the token say? For people and tools that have no key: nobody has looked at its signature, so
 * nothing of it is to be believed. Header and claims are read as strictly as a hub reads them, and written to
 * out with a NUL, which is the caller's, size bytes, as {"header":{…},"claims":{…}}; TIDINGS_TOKEN_MAX are
 * always enough. why gets, NUL-ended and cut to why_size, what would keep every hub with this configuration
 * from believing it at this time (now: ms since 1970), whatever its keys, as "CODE: DETAIL", or "" if nothing
 * can be seen. Of the configuration jwt_issuer, jwt_audience, jwt_leeway and jwt_allow_no_exp count; no file
 * is read. The length of what is in out, or EINVAL (it cannot be read, and why says how), ETOOBIG (more than
 * fits). Needs no hub; any thread. */
TIDINGS_API int tidings_token_inspect(const struct tidings_config *config, const char *token, size_t len,
                                      uint64_t now, char *out, size_t size, char *why, size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
