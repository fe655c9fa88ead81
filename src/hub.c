/* SPDX-License-Identifier: MIT
 *
 * hub - see hub.h and include/tidings.h. Life of a hub:
 *
 *     create ──► (listen, route, pages)* ──► start ──► (drain)? ──► stop ──► destroy
 */
#include "hub.h"

#include "acceptor.h"
#include "admin.h"
#include "batch.h"
#include "epoll.h"
#include "history.h"
#include "listener.h"
#include "lists.h"
#include "login.h"
#include "metrics.h"
#include "notify.h"
#include "publish.h"
#include "revoke.h"
#include "rules.h"
#include "subscribe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_MAX_MS (24u * 3600 * 1000) /* deadlines are kept modulo 2^32 ms */

static const struct route routes[] = {
    {"GET", "/api/sse/subscribe/{}", RIGHT_SUBSCRIBE, BODY_ANY, subscribe_handle},
    {"POST", "/api/sse/notify", RIGHT_PUBLISH, BODY_JSON, notify_handle},
    {"POST", "/api/sse/notify/batch", RIGHT_PUBLISH, BODY_LINES, batch_handle},
    {"GET", "/api/sse/metrics", RIGHT_METRICS, BODY_ANY, lists_metrics},
    {"GET", "/api/sse/clients", RIGHT_ADMIN, BODY_ANY, lists_clients},
    {"GET", "/api/sse/clients/{}", RIGHT_ADMIN, BODY_ANY, lists_client},
    {"DELETE", "/api/sse/clients/{}", RIGHT_ADMIN, BODY_ANY, lists_kick_client},
    {"DELETE", "/api/sse/connections/{}", RIGHT_ADMIN, BODY_ANY, lists_kick_connection},
    {"DELETE", "/api/sse/addresses/{}", RIGHT_ADMIN, BODY_ANY, revoke_address},
    {"DELETE", "/api/sse/tokens/{}", RIGHT_ADMIN, BODY_ANY, revoke_token},
    {"GET", "/api/sse/bans", RIGHT_ADMIN, BODY_ANY, revoke_list},
    {"DELETE", "/api/sse/bans/clients/{}", RIGHT_ADMIN, BODY_ANY, revoke_lift_client},
    {"DELETE", "/api/sse/bans/addresses/{}", RIGHT_ADMIN, BODY_ANY, revoke_lift_address},
    {"DELETE", "/api/sse/bans/tokens/{}", RIGHT_ADMIN, BODY_ANY, revoke_lift_token},
    {"GET", "/api/sse/history", RIGHT_ADMIN, BODY_ANY, history_handle},
    {"GET", "/api/sse/admin/stream", RIGHT_ADMIN, BODY_ANY, admin_stream},
    {"POST", "/api/sse/admin/login", RIGHT_OPEN, BODY_JSON, login_begin},
    {"POST", "/api/sse/admin/logout", RIGHT_OPEN, BODY_ANY, login_end},
    {"GET", "/api/sse/admin/session", RIGHT_OPEN, BODY_ANY, login_show},
    {"GET", "/metrics", RIGHT_METRICS, BODY_ANY, metrics_prometheus},
    {"GET", "/healthz", RIGHT_OPEN, BODY_ANY, metrics_health},
    {"GET", "/readyz", RIGHT_OPEN, BODY_ANY, metrics_ready},
    {"GET", "/openapi.json", RIGHT_OPEN, BODY_ANY, pages_openapi},
    {NULL, NULL, RIGHT_OPEN, BODY_ANY, NULL},
};

/* ---- small public things ---- */

const char *tidings_version(void)
{
    return TIDINGS_VERSION;
}

const char *tidings_strerror(int error)
{
    switch (error) {
    case TIDINGS_OK:
        return "success";
#define HUB_ERROR_TEXT(name, value, text)                                                                    \
    case TIDINGS_##name:                                                                                     \
        return text;
        TIDINGS_ERROR_MAP(HUB_ERROR_TEXT)
#undef HUB_ERROR_TEXT
    default:
        return "unknown error";
    }
}

/* ---- wiring ---- */

static void on_stream_end(void *user, struct conn *c, enum close_cause cause)
{
    struct service *s = user;
    service_stream_ended(s, &s->loops[c->sub.loop], c, cause);
}

static void on_tick(void *user, struct loop *l)
{
    struct service *s = user;
    if (l->index != 0)
        return;
    admin_tick(s, l);
    if (l->now < s->next_sweep)
        return;
    s->next_sweep = l->now + 1000;
    log_lock(s->log);
    log_sweep(s->log);
    log_unlock(s->log);
    sequencer_tick(s->sequencer);
}

static const struct loop_handler handler = {
    .on_head = http_on_head,
    .on_request = http_on_request,
    .on_bad = http_on_bad,
    .on_stream_end = on_stream_end,
    .on_shed = http_on_shed,
    .on_tick = on_tick,
};

static void wake(void *user, uint32_t loop)
{
    struct tidings_hub *hub = user;
    if (hub->state >= HUB_PREPARED)
        loop_wake(&hub->loops[loop]);
}

/* What is configured of credentials, hosts and origins is in *auth from now on, and nowhere else. */
static int make_auth(const struct tidings_hub *hub, struct tidings_config *config, struct auth **auth)
{
    char error[AUTH_ERROR_MAX];
    int rc = auth_create(auth, config, &hub->secret, error);
    const struct report told = {.log = config->log, .user = config->user};
    if (rc == TIDINGS_ECREDENTIALS)
        report(&told, TIDINGS_LOG_ERROR, "credentials", error, NULL, 0);
    config->public_hosts = config->publish_keys = config->admin_keys = config->cors_origins =
        config->trusted_proxies = NULL;
    config->jwt_secret = config->jwt_public_key = config->jwks = NULL;
    config->jwt_issuer = config->jwt_audience = NULL;
    return rc;
}

static void apply_limits(struct tidings_hub *hub)
{
    hub->config.max_connections = rules_max_connections(&hub->config);
    hub->registry.max_connections = hub->config.max_connections;
    hub->registry.max_per_client = hub->config.max_connections_per_client;
    const struct log_policies policies = rules_policies(&hub->config, hub->rules);
    log_set_policies(&hub->log, &policies);
    hub->sequencer.window = hub->config.idempotency_window;
    hub->sequencer.keys.max = hub->config.idempotency_keys;
}

static void wire(struct tidings_hub *hub)
{
    hub->service = (struct service){.log = &hub->log,
                                    .registry = &hub->registry,
                                    .sequencer = &hub->sequencer,
                                    .gzip = &hub->gzip,
                                    .quota = &hub->quota,
                                    .authorizer = &hub->authorizer,
                                    .hooks = &hub->hooks,
                                    .clock = &hub->clock,
                                    .loops = hub->loops,
                                    .loop_count = hub->loop_count,
                                    .config = &hub->config,
                                    .report = {.log = hub->config.log, .user = hub->config.user},
                                    .started = clock_mono(&hub->clock),
                                    .routes = routes,
                                    .elsewhere = pages_serve};
}

/* ---- certificates ---- */

static int tell_tls(const struct tidings_hub *hub, enum tls_load rc, const char *text)
{
    const struct report told = {.log = hub->config.log, .user = hub->config.user};
    if (text[0] != '\0')
        report(&told, rc == TLS_LOADED ? TIDINGS_LOG_WARN : TIDINGS_LOG_ERROR, "certificate", text, NULL, 0);
    return rc == TLS_LOADED ? 0 : rc == TLS_LOAD_MEMORY ? TIDINGS_ENOMEM : TIDINGS_ECERTIFICATE;
}

/* Reads the files that *config names, in create and in reconfigure. A hub that began without a certificate
 * has no encrypted listener, so that later ones would have no use. */
static int load_tls(struct tidings_hub *hub, const struct tidings_config *config)
{
    char text[512];
    const char *certificate = config->tls_cert, *key = config->tls_key;
    enum tls_load rc;
    if (!certificate || (!hub->tls && hub->state != HUB_NEW))
        return 0;
    if (hub->tls)
        rc = tls_server_reload(hub->tls, certificate, key, config->http2, text, sizeof(text));
    else
        rc = tls_server_create(&hub->tls, certificate, key, config->http2, &hub->clock, text, sizeof(text));
    return tell_tls(hub, rc, text);
}

/* ---- the user's application ---- */

/* Threads that ask and tell it, if it is configured. The texts of the configuration are not needed
 * afterwards. */
static int begin_asking(struct tidings_hub *hub)
{
    char error[256];
    struct tidings_config *c = &hub->config;
    const struct report told = {.log = c->log, .user = c->user};
    int rc = authorizer_init(&hub->authorizer, c->authorize_url, c->authorize_timeout,
                             c->authorize_concurrency, error, sizeof(error));
    if (rc == 0)
        rc = hooks_init(&hub->hooks, c->event_url, c->event_secrets, c->event_queue, hub->log.epoch, error,
                        sizeof(error));
    c->authorize_url = c->event_url = NULL;
    c->event_secrets = NULL;
    if (rc < 0)
        report(&told, TIDINGS_LOG_ERROR, "backend", error, NULL, 0);
    return rc < 0 ? TIDINGS_ESYSTEM : 0;
}

/* ---- create and destroy ---- */

static struct io *real_io(void *user, uint32_t loop)
{
    (void)user;
    (void)loop;
    return epoll_create_io();
}

static void destroy_real_io(void *user, struct io *io)
{
    (void)user;
    epoll_destroy_io(io);
}

static int complain(const struct tidings_config *config, enum store_result why)
{
    char message[512];
    const struct report told = {.log = config->log, .user = config->user};
    const struct tidings_log_field fields[] = {REPORT_TEXT("code", store_code(why))};
    snprintf(message, sizeof(message), "store %s: %s", config->store, store_text(why));
    report(&told, TIDINGS_LOG_ERROR, "store", message, fields, 1);
    return why == STORE_MEMORY ? TIDINGS_ENOMEM : TIDINGS_ESTORE;
}

/* *id is what the store says; without a store it stays as it is. */
static int open_store(const struct tidings_config *config, struct log_identity *id, struct store **store)
{
    static const char scheme[] = "sqlite:";
    *store = NULL;
    if (!config->store || strncmp(config->store, scheme, sizeof(scheme) - 1) != 0)
        return 0;
    enum store_result rc =
        store_open(store, config->store + sizeof(scheme) - 1, config->store_sync == TIDINGS_SYNC_FULL, id);
    return rc == STORE_OK ? 0 : complain(config, rc);
}

static int code_of(int error)
{
    return error == 0 ? 0 : error == -ENOMEM ? TIDINGS_ENOMEM : TIDINGS_ESYSTEM;
}

/* The rooms in which events live; on failure none of them is left. */
static int make_log(struct tidings_hub *hub)
{
    struct log_identity id;
    struct store *store;
    const struct log_policies policies = rules_policies(&hub->config, hub->rules);
    const struct report told = {.log = hub->config.log, .user = hub->config.user};
    int rc = code_of(log_identity_make(&id, &hub->clock));
    rc = rc < 0 ? rc : open_store(&hub->config, &id, &store);
    if (rc < 0)
        return rc;
    rc = code_of(log_init(&hub->log, &policies, &id, &hub->clock));
    if (rc < 0) {
        store_close(store);
        return rc;
    }
    registry_init(&hub->registry, &hub->log, hub->loop_count, wake, hub);
    rc = code_of(sequencer_init(&hub->sequencer, &hub->registry, store, &id, &told,
                                hub->config.idempotency_window, hub->config.idempotency_keys));
    if (rc < 0) {
        registry_finish(&hub->registry);
        log_finish(&hub->log);
    }
    return rc;
}

static int fill_log(struct tidings_hub *hub)
{
    enum store_result rc = sequencer_load(&hub->sequencer);
    return rc == STORE_OK ? code_of(sequencer_start(&hub->sequencer)) : complain(&hub->config, rc);
}

int hub_create_in(struct tidings_hub **out, const struct tidings_config *config,
                  const struct hub_world *world)
{
    const char *field;
    int rc = tidings_config_check(config, &field);
    if (rc < 0)
        return rc;
    struct tidings_hub *hub = calloc(1, sizeof(*hub));
    if (!hub)
        return TIDINGS_ENOMEM;
    hub->config = *config;
    hub->config.tls_cert = hub->config.tls_key = NULL; /* read below; the strings are the caller's */
    hub->world = *world;
    hub->clock = world->clock;
    hub->loop_count = rules_loops(config);
    gzip_init(&hub->gzip);
    rc = rng_secret(&hub->secret, sizeof(hub->secret)) < 0 || quota_init(&hub->quota) < 0 ? TIDINGS_ESYSTEM
                                                                                          : 0;
    rc = rc < 0 ? rc : make_auth(hub, &hub->config, &hub->auth);
    rc = rc < 0 ? rc : rules_make(config, &hub->rules);
    rc = rc < 0 ? rc : make_log(hub);
    if (rc < 0) {
        free(hub->rules);
        auth_unref(hub->auth);
        free(hub);
        return rc;
    }
    apply_limits(hub);
    hub->loops = calloc(hub->loop_count, sizeof(*hub->loops));
    rc = hub->loops ? 0 : TIDINGS_ENOMEM;
    rc = rc < 0 ? rc : load_tls(hub, config);
    rc = rc < 0 ? rc : begin_asking(hub);
    wire(hub);
    rc = rc < 0 ? rc : fill_log(hub);
    if (rc < 0) {
        tidings_hub_destroy(hub);
        return rc;
    }
    *out = hub;
    return 0;
}

int tidings_hub_create(struct tidings_hub **hub, const struct tidings_config *config)
{
    const struct hub_world real = {
        .create_io = real_io, .destroy_io = destroy_real_io, .clock = clock_system()};
    return hub_create_in(hub, config, &real);
}

void tidings_hub_destroy(struct tidings_hub *hub)
{
    if (!hub)
        return;
    tidings_hub_stop(hub);
    for (uint32_t i = 0; i < hub->listener_count; i++)
        listener_close(&hub->listeners[i]);
    sequencer_finish(&hub->sequencer);
    registry_finish(&hub->registry);
    log_finish(&hub->log);
    hub_free_routes(hub);
    tls_server_destroy(hub->tls);
    gzip_finish(&hub->gzip);
    quota_finish(&hub->quota);
    authorizer_finish(&hub->authorizer);
    hooks_finish(&hub->hooks);
    auth_unref(hub->auth);
    free(hub->pages);
    free(hub->rules);
    free(hub->loops);
    free(hub);
}

/* ---- before start ---- */

/* Addresses beyond loopback need credentials, or somebody who says that they need none. */
static bool may_be_anywhere(const struct auth *auth, const struct tidings_config *config)
{
    return config->insecure || auth_is_on(auth);
}

int tidings_hub_listen(struct tidings_hub *hub, const char *address, char *url, size_t url_size)
{
    if (hub->state != HUB_NEW || hub->listener_count == HUB_LISTENERS_MAX)
        return TIDINGS_ESTATE;
    if (!address)
        return TIDINGS_EADDRESS;
    const struct listener_options options = {.user_timeout = hub->config.user_timeout,
                                             .send_buffer = hub->config.send_buffer,
                                             .anywhere = may_be_anywhere(hub->auth, &hub->config),
                                             .tls = hub->tls != NULL};
    struct listener *l = &hub->listeners[hub->listener_count];
    int rc = listener_open(l, address, hub->loop_count, &options);
    if (rc < 0)
        return rc;
    if (l->tls && !hub->tls) {
        listener_close(l);
        return TIDINGS_ECERTIFICATE;
    }
    hub->listener_count++;
    if (url && url_size > 0) {
        size_t n = strlen(l->url) < url_size ? strlen(l->url) : url_size - 1;
        memcpy(url, l->url, n);
        url[n] = '\0';
    }
    return 0;
}

/* ---- running ---- */

static bool has_tls(const struct tidings_hub *hub)
{
    for (uint32_t k = 0; k < hub->listener_count; k++)
        if (hub->listeners[k].tls)
            return true;
    return false;
}

/* The loop's io: with a filter on it if a listener is encrypted. NULL: memory or descriptors are short. */
static struct io *make_io(struct tidings_hub *hub, uint32_t i, const int *fds)
{
    struct io *io = hub->world.create_io(hub->world.user, i);
    if (!io || !has_tls(hub))
        return io;
    struct io *tls = tls_create_io(io, hub->tls, &hub->loops[i].stats);
    int rc = tls ? 0 : -1;
    for (uint32_t k = 0; rc == 0 && k < hub->listener_count; k++)
        if (hub->listeners[k].tls)
            rc = tls_listen(tls, fds[k]);
    if (rc == 0)
        return tls;
    tls_destroy_io(tls);
    hub->world.destroy_io(hub->world.user, io);
    return NULL;
}

static void destroy_io(struct tidings_hub *hub, struct io *io)
{
    struct io *below = has_tls(hub) ? tls_below(io) : io;
    if (below != io)
        tls_destroy_io(io);
    hub->world.destroy_io(hub->world.user, below);
}

static int prepare_loop(struct tidings_hub *hub, uint32_t i)
{
    struct loop *l = &hub->loops[i];
    int *fds = hub->loop_listeners + (size_t)i * hub->listener_count;
    for (uint32_t k = 0; k < hub->listener_count; k++)
        fds[k] = hub->listeners[k].shared ? hub->listeners[k].fds[0] : hub->listeners[k].fds[i];
    struct io *io = make_io(hub, i, fds);
    if (!io)
        return TIDINGS_ESYSTEM;
    log_lock(&hub->log); /* a reload may be under way */
    int rc = loop_init(l, i, io, &hub->clock, &hub->registry, &hub->config);
    l->auth = rc == 0 ? auth_ref(hub->auth) : NULL;
    log_unlock(&hub->log);
    if (rc < 0) {
        destroy_io(hub, io);
        l->io = NULL;
        return TIDINGS_ENOMEM;
    }
    l->handler = &handler;
    l->gzip = &hub->gzip;
    l->user = &hub->service;
    l->shared_config = &hub->config;
    l->shared_auth = &hub->auth;
    return acceptor_listen(l, fds, hub->listener_count) < 0 ? TIDINGS_ESYSTEM : 0;
}

static void finish_loops(struct tidings_hub *hub)
{
    for (uint32_t i = 0; i < hub->loop_count; i++)
        if (hub->loops[i].io)
            worker_close_all(&hub->loops[i]);
    for (uint32_t i = 0; i < hub->loop_count; i++) {
        struct loop *l = &hub->loops[i];
        if (!l->io)
            continue;
        loop_finish(l);
        destroy_io(hub, l->io);
        l->io = NULL;
    }
    free(hub->loop_listeners);
    hub->loop_listeners = NULL;
}

int hub_prepare(struct tidings_hub *hub)
{
    if (hub->state != HUB_NEW)
        return TIDINGS_ESTATE;
    hub->loop_listeners = calloc((size_t)hub->loop_count * (hub->listener_count + 1), sizeof(int));
    if (!hub->loop_listeners)
        return TIDINGS_ENOMEM;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < hub->loop_count; i++)
        rc = prepare_loop(hub, i);
    if (rc < 0) {
        finish_loops(hub);
        return rc;
    }
    hub->state = HUB_PREPARED;
    for (uint32_t i = 0; i < hub->loop_count;
         i++) /* a reload may have come between the copies and the state */
        atomic_store(&hub->loops[i].new_config, true);
    return 0;
}

struct service *hub_service(struct tidings_hub *hub)
{
    return &hub->service;
}

struct thread_start {
    struct loop *loop;
    const atomic_bool *stop;
};

static void *run_loop(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;
    free(arg);
    worker_run(start.loop, start.stop);
    return NULL;
}

static int start_thread(struct tidings_hub *hub, uint32_t i)
{
    struct thread_start *start = malloc(sizeof(*start));
    if (!start)
        return TIDINGS_ENOMEM;
    *start = (struct thread_start){&hub->loops[i], &hub->stop};
    int rc = pthread_create(&hub->threads[i], NULL, run_loop, start);
    if (rc != 0) {
        free(start);
        errno = rc;
        return TIDINGS_ESYSTEM;
    }
    hub->thread_count++;
    return 0;
}

int tidings_hub_start(struct tidings_hub *hub)
{
    sigset_t all, before;
    int rc = hub_prepare(hub);
    if (rc < 0)
        return rc;
    hub->threads = calloc(hub->loop_count, sizeof(*hub->threads));
    rc = hub->threads ? 0 : TIDINGS_ENOMEM;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; rc == 0 && i < hub->loop_count; i++)
        rc = start_thread(hub, i);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    hub->state = HUB_RUNNING;
    if (rc < 0)
        tidings_hub_stop(hub);
    return rc;
}

/* What is read when listening starts, and whom to call, stays as it was. */
static void keep_fixed(struct tidings_config *fresh, const struct tidings_config *before)
{
    fresh->loops = before->loops;
    fresh->user_timeout = before->user_timeout;
    fresh->send_buffer = before->send_buffer;
    fresh->insecure = before->insecure;
    fresh->tls_cert = fresh->tls_key = NULL; /* paths of the caller's, read already */
    fresh->store = before->store;
    fresh->store_sync = before->store_sync;
    fresh->user = before->user;
    fresh->authorize = before->authorize;
    fresh->on_connect = before->on_connect;
    fresh->on_disconnect = before->on_disconnect;
    fresh->log = before->log;
}

static bool is_beyond_loopback(const struct tidings_hub *hub)
{
    bool beyond = false;
    for (uint32_t i = 0; i < hub->listener_count; i++)
        beyond |= hub->listeners[i].beyond;
    return beyond;
}

/* All that a reload replaces, made before anything is. */
struct reload {
    struct tidings_config config;
    struct log_rule *rules;
    struct auth *auth;
};

static bool would_be_open(struct tidings_hub *hub, const struct auth *auth)
{
    log_lock(&hub->log);
    bool open = is_beyond_loopback(hub) && !may_be_anywhere(auth, &hub->config);
    log_unlock(&hub->log);
    return open;
}

/* The certificate comes last: it is in use when it is read. */
static int prepare_reload(struct tidings_hub *hub, const struct tidings_config *config, struct reload *r)
{
    const char *field;
    *r = (struct reload){.config = *config};
    int rc = tidings_config_check(config, &field);
    rc = rc < 0 ? rc : rules_make(config, &r->rules);
    rc = rc < 0 ? rc : make_auth(hub, &r->config, &r->auth);
    rc = rc == 0 && would_be_open(hub, r->auth) ? TIDINGS_EREFUSED : rc;
    return rc < 0 ? rc : load_tls(hub, config);
}

/* Under the lock: what is in *r becomes what counts, and what counted is in *r. */
static void exchange(struct tidings_hub *hub, struct reload *r)
{
    struct log_rule *rules = hub->rules;
    struct auth *auth = hub->auth;
    keep_fixed(&r->config, &hub->config);
    hub->config = r->config;
    hub->rules = r->rules;
    hub->auth = r->auth;
    apply_limits(hub);
    r->rules = rules;
    r->auth = auth;
}

int tidings_hub_reconfigure(struct tidings_hub *hub, const struct tidings_config *config)
{
    struct reload r;
    int rc = prepare_reload(hub, config, &r);
    if (rc == 0) {
        log_lock(&hub->log);
        exchange(hub, &r);
        log_unlock(&hub->log);
    }
    free(r.rules);
    auth_unref(r.auth);
    for (uint32_t i = 0; rc == 0 && hub->state >= HUB_PREPARED && i < hub->loop_count; i++) {
        atomic_store(&hub->loops[i].new_config, true);
        loop_wake(&hub->loops[i]);
    }
    return rc;
}

int tidings_hub_drain(struct tidings_hub *hub, uint32_t drain_ms)
{
    if (hub->state != HUB_RUNNING && hub->state != HUB_PREPARED)
        return TIDINGS_ESTATE;
    if (atomic_exchange(&hub->service.draining, true))
        return 0;
    if (drain_ms > DRAIN_MAX_MS)
        drain_ms = DRAIN_MAX_MS;
    for (uint32_t i = 0; i < hub->loop_count; i++) {
        atomic_store(&hub->loops[i].drain_ms, drain_ms ? drain_ms : 1);
        loop_wake(&hub->loops[i]);
    }
    return 0;
}

static bool is_drained(struct tidings_hub *hub)
{
    uint32_t streams = 0;
    for (uint32_t i = 0; i < hub->loop_count; i++)
        streams += atomic_load(&hub->loops[i].streams);
    return streams == 0;
}

int tidings_hub_wait_drained(struct tidings_hub *hub, uint32_t timeout_ms)
{
    uint64_t end = clock_mono(&hub->clock) + timeout_ms;
    bool drained;
    while (!(drained = is_drained(hub)) && clock_mono(&hub->clock) < end) {
        const struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
    }
    return drained;
}

void tidings_hub_stop(struct tidings_hub *hub)
{
    if (hub->state != HUB_RUNNING && hub->state != HUB_PREPARED)
        return;
    authorizer_stop(&hub->authorizer);
    sequencer_stop(&hub->sequencer); /* what waits is stored, and the loops still answer for it */
    atomic_store(&hub->stop, true);
    for (uint32_t i = 0; i < hub->thread_count; i++) {
        hub->loops[i].io->ops->wake(hub->loops[i].io);
        pthread_join(hub->threads[i], NULL);
    }
    finish_loops(hub);
    hooks_stop(&hub->hooks); /* who has gone with the hub is told, too */
    free(hub->threads);
    hub->threads = NULL;
    hub->state = HUB_STOPPED;
}
