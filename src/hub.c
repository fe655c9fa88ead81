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
#include "listener.h"
#include "lists.h"
#include "metrics.h"
#include "notify.h"
#include "publish.h"
#include "subscribe.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define LISTENERS_MAX 64
#define METHOD_MAX    32
#define DRAIN_MAX_MS  (24u * 3600 * 1000) /* deadlines are kept modulo 2^32 ms */

enum hub_state { HUB_NEW, HUB_PREPARED, HUB_RUNNING, HUB_STOPPED };

struct tidings_hub {
    _Atomic enum hub_state state; /* changed by create, start and stop, read by any thread */
    struct tidings_config config;
    struct hub_world world;
    struct clock clock;
    struct log log;
    struct registry registry;
    struct sequencer sequencer;
    struct service service;
    struct loop *loops;
    uint32_t loop_count;
    pthread_t *threads;
    uint32_t thread_count;
    atomic_bool stop;
    struct listener listeners[LISTENERS_MAX];
    uint32_t listener_count;
    int *loop_listeners; /* loop_count rows of listener_count descriptors */
    const struct tidings_page **pages;
    struct embedder_route *routes;
    struct host_list *hosts;
};

/* A NULL-ended copy of configured host names; lists are kept until the end, because a loop may still read the
 * one before. They only grow by reloads. */
struct host_list {
    struct host_list *next;
    char *names[];
};

static const struct route routes[] = {
    {"GET", "/api/sse/subscribe/{}", RIGHT_SUBSCRIBE, BODY_ANY, subscribe_handle},
    {"POST", "/api/sse/notify", RIGHT_PUBLISH, BODY_JSON, notify_handle},
    {"POST", "/api/sse/notify/batch", RIGHT_PUBLISH, BODY_LINES, batch_handle},
    {"GET", "/api/sse/metrics", RIGHT_ADMIN, BODY_ANY, lists_metrics},
    {"GET", "/api/sse/clients", RIGHT_ADMIN, BODY_ANY, lists_clients},
    {"GET", "/api/sse/clients/{}", RIGHT_ADMIN, BODY_ANY, lists_client},
    {"DELETE", "/api/sse/clients/{}", RIGHT_ADMIN, BODY_ANY, lists_kick_client},
    {"DELETE", "/api/sse/connections/{}", RIGHT_ADMIN, BODY_ANY, lists_kick_connection},
    {"GET", "/api/sse/admin/stream", RIGHT_ADMIN, BODY_ANY, admin_stream},
    {"GET", "/metrics", RIGHT_ADMIN, BODY_ANY, metrics_prometheus},
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

static struct log_policies policies_of(const struct tidings_config *c)
{
    return (struct log_policies){
        .base = {.size = c->history_size, .bytes = c->history_bytes, .ttl = c->history_ttl},
        .total_bytes = c->history_total_bytes};
}

static uint32_t descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 100000000)
        return 100000000;
    return (uint32_t)limit.rlim_cur;
}

/* Descriptors less a reserve: requests, the reserve for refusals, listeners, files of the embedder. */
static uint32_t connection_ceiling(const struct tidings_config *c)
{
    if (c->max_connections != TIDINGS_AUTO)
        return c->max_connections;
    uint32_t have = descriptors(), reserve = have / 50 < 32 ? 32 : have / 50 > 256 ? 256 : have / 50;
    return have > reserve + 1 ? have - reserve : 1;
}

static uint32_t count_loops(const struct tidings_config *c)
{
    long cores = c->loops != TIDINGS_AUTO ? (long)c->loops : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > REGISTRY_LOOPS_MAX ? REGISTRY_LOOPS_MAX : (uint32_t)cores;
}

/* Copies the names so that the caller's strings need not live. */
static int keep_hosts(struct tidings_hub *hub, struct tidings_config *config)
{
    size_t count = 0, bytes = 0;
    if (!config->public_hosts)
        return 0;
    for (; config->public_hosts[count]; count++)
        bytes += strlen(config->public_hosts[count]) + 1;
    struct host_list *list = malloc(sizeof(*list) + (count + 1) * sizeof(char *) + bytes);
    if (!list)
        return TIDINGS_ENOMEM;
    char *text = (char *)(list->names + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(config->public_hosts[i]) + 1;
        list->names[i] = memcpy(text, config->public_hosts[i], n);
        text += n;
    }
    list->names[count] = NULL;
    list->next = hub->hosts;
    hub->hosts = list;
    config->public_hosts = (const char *const *)list->names;
    return 0;
}

static void apply_limits(struct tidings_hub *hub)
{
    hub->config.max_connections = connection_ceiling(&hub->config);
    hub->registry.max_connections = hub->config.max_connections;
    hub->registry.max_per_client = hub->config.max_connections_per_client;
    const struct log_policies policies = policies_of(&hub->config);
    log_set_policies(&hub->log, &policies);
}

static void wire(struct tidings_hub *hub)
{
    hub->service = (struct service){.log = &hub->log,
                                    .registry = &hub->registry,
                                    .sequencer = &hub->sequencer,
                                    .clock = &hub->clock,
                                    .loops = hub->loops,
                                    .loop_count = hub->loop_count,
                                    .config = &hub->config,
                                    .report = {.log = hub->config.log, .user = hub->config.user},
                                    .started = clock_mono(&hub->clock),
                                    .routes = routes,
                                    .elsewhere = pages_serve};
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
    hub->world = *world;
    hub->clock = world->clock;
    hub->loop_count = count_loops(config);
    struct log_identity id;
    const struct log_policies policies = policies_of(config);
    rc = log_identity_make(&id, &hub->clock);
    rc = rc < 0 ? rc : log_init(&hub->log, &policies, &id, &hub->clock);
    if (rc < 0) {
        free(hub);
        return rc == -ENOMEM ? TIDINGS_ENOMEM : TIDINGS_ESYSTEM;
    }
    registry_init(&hub->registry, &hub->log, hub->loop_count, wake, hub);
    const struct report told = {.log = config->log, .user = config->user};
    sequencer_init(&hub->sequencer, &hub->registry, NULL, &id, &told, config->idempotency_window,
                   config->idempotency_keys);
    apply_limits(hub);
    hub->loops = calloc(hub->loop_count, sizeof(*hub->loops));
    if (!hub->loops || keep_hosts(hub, &hub->config) < 0) {
        tidings_hub_destroy(hub);
        return TIDINGS_ENOMEM;
    }
    wire(hub);
    *out = hub;
    return 0;
}

int tidings_hub_create(struct tidings_hub **hub, const struct tidings_config *config)
{
    const struct hub_world real = {
        .create_io = real_io, .destroy_io = destroy_real_io, .clock = clock_system()};
    return hub_create_in(hub, config, &real);
}

static void free_routes(struct tidings_hub *hub)
{
    for (size_t i = 0; i < hub->service.embedded_count; i++) {
        free(hub->routes[i].method);
        free(hub->routes[i].path);
    }
    free(hub->routes);
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
    free_routes(hub);
    while (hub->hosts) {
        struct host_list *next = hub->hosts->next;
        free(hub->hosts);
        hub->hosts = next;
    }
    free(hub->pages);
    free(hub->loops);
    free(hub);
}

/* ---- before start ---- */

int tidings_hub_listen(struct tidings_hub *hub, const char *address, char *url, size_t url_size)
{
    if (hub->state != HUB_NEW || hub->listener_count == LISTENERS_MAX)
        return TIDINGS_ESTATE;
    if (!address)
        return TIDINGS_EADDRESS;
    const struct listener_options options = {.user_timeout = hub->config.user_timeout,
                                             .send_buffer = hub->config.send_buffer,
                                             .anywhere = hub->config.insecure};
    struct listener *l = &hub->listeners[hub->listener_count];
    int rc = listener_open(l, address, hub->loop_count, &options);
    if (rc < 0)
        return rc;
    hub->listener_count++;
    if (url && url_size > 0) {
        size_t n = strlen(l->url) < url_size ? strlen(l->url) : url_size - 1;
        memcpy(url, l->url, n);
        url[n] = '\0';
    }
    return 0;
}

int tidings_hub_pages(struct tidings_hub *hub, const struct tidings_page *pages, size_t count)
{
    size_t have = hub->service.page_count;
    if (hub->state != HUB_NEW)
        return TIDINGS_ESTATE;
    for (size_t i = 0; i < count; i++)
        if (!pages[i].path || pages[i].path[0] != '/' || !pages[i].content_type)
            return TIDINGS_EINVAL;
    const struct tidings_page **all = realloc(hub->pages, (have + count + 1) * sizeof(*all));
    if (!all)
        return TIDINGS_ENOMEM;
    for (size_t i = 0; i < count; i++)
        all[have + i] = &pages[i];
    hub->pages = all;
    hub->service.pages = all;
    hub->service.page_count = have + count;
    return 0;
}

static bool is_method(const char *method)
{
    size_t n = strlen(method);
    return n > 0 && n <= METHOD_MAX && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == n;
}

int tidings_hub_route(struct tidings_hub *hub, const char *method, const char *path, tidings_handler *handle,
                      void *user)
{
    size_t have = hub->service.embedded_count, n = path ? strlen(path) : 0;
    if (hub->state != HUB_NEW)
        return TIDINGS_ESTATE;
    if (!method || !is_method(method) || !handle || n == 0 || path[0] != '/')
        return TIDINGS_EINVAL;
    struct embedder_route *all = realloc(hub->routes, (have + 1) * sizeof(*all));
    if (!all)
        return TIDINGS_ENOMEM;
    hub->routes = all;
    hub->service.embedded = all;
    bool prefix = n >= 2 && strcmp(path + n - 2, "/*") == 0;
    all[have] = (struct embedder_route){.method = strdup(method),
                                        .path = strndup(path, prefix ? n - 1 : n),
                                        .prefix = prefix,
                                        .handler = handle,
                                        .user = user};
    if (!all[have].method || !all[have].path) {
        free(all[have].method);
        free(all[have].path);
        return TIDINGS_ENOMEM;
    }
    hub->service.embedded_count++;
    return 0;
}

/* ---- running ---- */

static int prepare_loop(struct tidings_hub *hub, uint32_t i)
{
    struct loop *l = &hub->loops[i];
    struct io *io = hub->world.create_io(hub->world.user, i);
    if (!io)
        return TIDINGS_ESYSTEM;
    log_lock(&hub->log); /* a reload may be under way */
    int rc = loop_init(l, i, io, &hub->clock, &hub->registry, &hub->config);
    log_unlock(&hub->log);
    if (rc < 0) {
        hub->world.destroy_io(hub->world.user, io);
        l->io = NULL;
        return TIDINGS_ENOMEM;
    }
    l->handler = &handler;
    l->user = &hub->service;
    l->shared_config = &hub->config;
    int *fds = hub->loop_listeners + (size_t)i * hub->listener_count;
    for (uint32_t k = 0; k < hub->listener_count; k++)
        fds[k] = hub->listeners[k].shared ? hub->listeners[k].fds[0] : hub->listeners[k].fds[i];
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
        hub->world.destroy_io(hub->world.user, l->io);
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

int tidings_hub_reconfigure(struct tidings_hub *hub, const struct tidings_config *config)
{
    const char *field;
    struct tidings_config fresh = *config;
    int rc = tidings_config_check(config, &field);
    if (rc < 0)
        return rc;
    log_lock(&hub->log);
    rc = keep_hosts(hub, &fresh);
    if (rc == 0) {
        /* What is read when listening starts, and whom to call, stays as it was. */
        fresh.loops = hub->config.loops;
        fresh.user_timeout = hub->config.user_timeout;
        fresh.send_buffer = hub->config.send_buffer;
        fresh.insecure = hub->config.insecure;
        fresh.user = hub->config.user;
        fresh.authorize = hub->config.authorize;
        fresh.on_connect = hub->config.on_connect;
        fresh.on_disconnect = hub->config.on_disconnect;
        fresh.log = hub->config.log;
        hub->config = fresh;
        apply_limits(hub);
    }
    log_unlock(&hub->log);
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
    atomic_store(&hub->stop, true);
    for (uint32_t i = 0; i < hub->thread_count; i++) {
        hub->loops[i].io->ops->wake(hub->loops[i].io);
        pthread_join(hub->threads[i], NULL);
    }
    finish_loops(hub);
    free(hub->threads);
    hub->threads = NULL;
    hub->state = HUB_STOPPED;
}

/* ---- the guide's calls ---- */

int tidings_publish(struct tidings_hub *hub, const struct tidings_message *message,
                    struct tidings_receipt *receipt)
{
    struct tidings_receipt unused;
    struct json_error error;
    if ((message->json_len > 0 && !message->json) || (message->event_len > 0 && !message->event) ||
        (message->to_len > 0 && !message->to && message->target != TIDINGS_TO_ALL) ||
        (message->idempotency_key_len > 0 && !message->idempotency_key))
        return TIDINGS_EINVAL;
    return publish_message(&hub->service, message, receipt ? receipt : &unused, &error);
}

static int send_simple(struct tidings_hub *hub, enum tidings_target target, const char *to, const char *event,
                       const char *json, size_t len)
{
    struct tidings_receipt receipt;
    const struct tidings_message message = {.target = target,
                                            .to = to,
                                            .to_len = to ? strlen(to) : 0,
                                            .event = event,
                                            .event_len = event ? strlen(event) : 0,
                                            .json = json,
                                            .json_len = len,
                                            .ttl = TIDINGS_TTL_DEFAULT};
    int rc = tidings_publish(hub, &message, &receipt);
    if (rc < 0)
        return rc;
    return receipt.connections > INT_MAX ? INT_MAX : (int)receipt.connections;
}

int tidings_send_event(struct tidings_hub *hub, const char *client_id, const char *event, const char *json,
                       size_t len)
{
    return send_simple(hub, TIDINGS_TO_CLIENT, client_id, event, json, len);
}

int tidings_broadcast(struct tidings_hub *hub, const char *event, const char *json, size_t len)
{
    return send_simple(hub, TIDINGS_TO_ALL, NULL, event, json, len);
}

uint64_t tidings_total_connections(struct tidings_hub *hub)
{
    log_lock(&hub->log);
    uint64_t n = hub->registry.connections;
    log_unlock(&hub->log);
    return n;
}

void tidings_get_connection_metrics(struct tidings_hub *hub, struct tidings_connection_metrics *metrics)
{
    log_lock(&hub->log);
    metrics->total_connections = hub->registry.connections;
    metrics->total_clients = hub->registry.clients;
    log_unlock(&hub->log);
    metrics->average_connections_per_client =
        metrics->total_clients ? (double)metrics->total_connections / (double)metrics->total_clients : 0;
}

/* A page of clients, copied so that the callback may call the hub. */
#define COPY_MAX 256

struct client_copy {
    struct tidings_client_info info;
    uint64_t arrival;
    char client_id[TIDINGS_CLIENT_ID_MAX + 1];
    char name[TIDINGS_NAME_MAX + 1];
};

static void copy_client(const struct service *s, const struct channel *c, struct client_copy *copy)
{
    memset(copy, 0, sizeof(*copy));
    memcpy(copy->client_id, c->key, c->key_len);
    if (c->label)
        memcpy(copy->name, c->label, strlen(c->label));
    copy->arrival = c->arrival;
    copy->info = (struct tidings_client_info){
        .client_id = copy->client_id, .name = copy->name, .connections = c->subs};
    lists_times(s, c, &copy->info.connected_at, &copy->info.last_seen);
}

/* Clients that came before `arrival`. Where the last page ended is found again by its client, or by walking.
 */
static unsigned copy_page(struct tidings_hub *hub, const struct client_copy *last, struct client_copy *page)
{
    unsigned n = 0;
    log_lock(&hub->log);
    struct channel *c =
        last ? lists_behind(&hub->service, last->arrival, span_of(last->client_id)) : hub->registry.newest;
    for (; c && n < COPY_MAX; c = registry_next_client(&hub->registry, c))
        copy_client(&hub->service, c, &page[n++]);
    log_unlock(&hub->log);
    return n;
}

int tidings_get_connected_clients(struct tidings_hub *hub,
                                  bool (*callback)(void *user, const struct tidings_client_info *client),
                                  void *user)
{
    struct client_copy *page = malloc((COPY_MAX + 1) * sizeof(*page)), *last = NULL;
    if (!page)
        return TIDINGS_ENOMEM;
    bool more = true;
    for (unsigned n; more && (n = copy_page(hub, last, page)) > 0;) {
        for (unsigned i = 0; more && i < n; i++)
            more = callback(user, &page[i].info);
        page[COPY_MAX] = page[n - 1];
        last = &page[COPY_MAX];
    }
    free(page);
    return 0;
}

bool tidings_has_client_connections(struct tidings_hub *hub, const char *client_id)
{
    log_lock(&hub->log);
    struct channel *c = client_id ? log_find(&hub->log, CHANNEL_CLIENT, span_of(client_id)) : NULL;
    bool has = c && c->subs > 0;
    log_unlock(&hub->log);
    return has;
}

int tidings_disconnect_client(struct tidings_hub *hub, const char *client_id, uint32_t ban_seconds)
{
    struct span id = span_of(client_id);
    if (!text_is_name(id.p, id.len, TIDINGS_CLIENT_ID_MAX))
        return TIDINGS_ENAME;
    return lists_disconnect(&hub->service, id, ban_seconds, REGISTRY_NO_LOOP);
}
