/* SPDX-License-Identifier: MIT
 *
 * test_library - the public library as its embedder has it: nothing but <tidings.h>, real sockets on
 * loopback, several hubs in one process, calls from several threads. After every test no descriptor and no
 * thread is left.
 */
#include <tidings.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE 60 /* s; nothing takes that long unless it is broken */

/* ---- a small blocking client ---- */

struct client {
    int fd;
    size_t len;
    char data[16384];
};

static int port_of(const char *url)
{
    return atoi(strrchr(url, ':') + 1);
}

static int dial(const char *url)
{
    const struct timeval patience = {.tv_sec = PATIENCE};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(url))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool say(int fd, const char *text)
{
    size_t n = strlen(text);

    return send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Drops what has come up to the end of the first `needle`. False if the stream ends before. */
static bool hear(struct client *c, const char *needle)
{
    size_t n = strlen(needle);

    for (;;) {
        char *at = memmem(c->data, c->len, needle, n);
        if (at) {
            c->len -= (size_t)(at + n - c->data);
            memmove(c->data, at + n, c->len);
            return true;
        }
        if (c->len == sizeof(c->data)) { /* keep what may be the beginning of the needle */
            memmove(c->data, c->data + c->len - n, n);
            c->len = n;
        }
        ssize_t got = recv(c->fd, c->data + c->len, sizeof(c->data) - c->len, 0);
        if (got <= 0)
            return false;
        c->len += (size_t)got;
    }
}

/* Opens a stream; more: further header lines. */
/* What a client does comes before what the hub says of it; the thread sanitizer cannot see that through a
 * socket, so both sides touch this. */
static void across_the_wire(void)
{
    static atomic_uint touched;

    atomic_fetch_add(&touched, 1);
}

static bool subscribe_with(struct client *c, const char *url, const char *target, const char *more)
{
    char request[2048];

    across_the_wire();
    c->len = 0;
    c->fd = dial(url);
    snprintf(request, sizeof(request),
             "GET /api/sse/subscribe/%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n%s\r\n",
             target, more);
    return c->fd >= 0 && say(c->fd, request) && hear(c, "event: __connected") && hear(c, "\n\n");
}

static bool subscribe(struct client *c, const char *url, const char *target)
{
    return subscribe_with(c, url, target, "");
}

static void hang_up(struct client *c)
{
    across_the_wire();
    close(c->fd);
    c->fd = -1;
}

/* One request on a connection of its own; the whole answer, NUL-ended. */
static const char *ask(const char *url, const char *method, const char *target, const char *more,
                       const char *body)
{
    static char answer[1 << 20];
    char request[4096];
    size_t len = 0;
    ssize_t got;
    int fd = dial(url);

    assert_true(fd >= 0);
    snprintf(request, sizeof(request),
             "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
             method, target, strlen(body), more, body);
    assert_true(say(fd, request));
    while (len < sizeof(answer) - 1 && (got = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
        len += (size_t)got;
    answer[len] = '\0';
    close(fd);
    return answer;
}

static const char *get(const char *url, const char *target, const char *more)
{
    return ask(url, "GET", target, more, "");
}

static int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static const char *body_of(const char *answer)
{
    const char *at = strstr(answer, "\r\n\r\n");

    return at ? at + 4 : "";
}

/* ---- what callbacks have seen ---- */

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned connects, disconnects, asked;
    char who[256], name[256], address[128], agent[300], connection[64], cause[64];
    uint64_t duration;
    int verdict; /* what authorize answers */
    char asked_client[256], asked_topics[256], asked_secrets[512];
    size_t log_len;
    char log[1 << 18];
    struct tidings_hub *hub;
    bool present_at_end;
    uint64_t total_at_end;
};

static struct seen *fresh_seen(void)
{
    static struct seen seen;

    memset(&seen, 0, sizeof(seen));
    pthread_mutex_init(&seen.lock, NULL);
    pthread_cond_init(&seen.changed, NULL);
    return &seen;
}

static void await(struct seen *seen, const unsigned *counter, unsigned at_least)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE;
    pthread_mutex_lock(&seen->lock);
    int rc = 0;
    while (*counter < at_least && rc == 0)
        rc = pthread_cond_timedwait(&seen->changed, &seen->lock, &end);
    unsigned reached = *counter;
    pthread_mutex_unlock(&seen->lock);
    assert_true(reached >= at_least);
}

static void note(struct seen *seen, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    if (n > 0 && seen->log_len + n + 1 < sizeof(seen->log)) {
        memcpy(seen->log + seen->log_len, text, n);
        seen->log[seen->log_len + n] = '\n';
        seen->log_len += n + 1;
    }
}

static void on_log(void *user, const struct tidings_log_record *record)
{
    struct seen *seen = user;

    pthread_mutex_lock(&seen->lock);
    note(seen, record->event);
    note(seen, record->message);
    for (size_t i = 0; i < record->field_count; i++) {
        note(seen, record->fields[i].name);
        note(seen, record->fields[i].text);
    }
    pthread_mutex_unlock(&seen->lock);
}

static void copy_info(struct seen *seen, const struct tidings_connection_info *info)
{
    across_the_wire();
    snprintf(seen->who, sizeof(seen->who), "%s", info->client_id);
    snprintf(seen->name, sizeof(seen->name), "%s", info->name);
    snprintf(seen->address, sizeof(seen->address), "%s", info->address);
    snprintf(seen->agent, sizeof(seen->agent), "%s", info->user_agent);
    snprintf(seen->connection, sizeof(seen->connection), "%s", info->connection_id);
}

static void on_connect(void *user, const struct tidings_connection_info *info)
{
    struct seen *seen = user;

    pthread_mutex_lock(&seen->lock);
    copy_info(seen, info);
    seen->connects++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void on_disconnect(void *user, const struct tidings_connection_info *info, const char *cause,
                          uint64_t duration_ms)
{
    struct seen *seen = user;
    /* Callbacks may call the hub. */
    bool present = seen->hub && tidings_has_client_connections(seen->hub, info->client_id);
    uint64_t total = seen->hub ? tidings_total_connections(seen->hub) : 0;

    pthread_mutex_lock(&seen->lock);
    copy_info(seen, info);
    snprintf(seen->cause, sizeof(seen->cause), "%s", cause);
    seen->duration = duration_ms;
    seen->present_at_end = present;
    seen->total_at_end = total;
    seen->disconnects++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static int authorize(void *user, const struct tidings_auth_request *request)
{
    struct seen *seen = user;

    across_the_wire();
    pthread_mutex_lock(&seen->lock);
    snprintf(seen->asked_client, sizeof(seen->asked_client), "%s", request->client_id);
    seen->asked_topics[0] = '\0';
    for (unsigned i = 0; request->topics[i]; i++) {
        size_t n = strlen(seen->asked_topics);
        snprintf(seen->asked_topics + n, sizeof(seen->asked_topics) - n, "%s;", request->topics[i]);
    }
    snprintf(seen->asked_secrets, sizeof(seen->asked_secrets), "%s|%s|%s",
             request->authorization ? request->authorization : "-", request->cookie ? request->cookie : "-",
             request->access_token ? request->access_token : "-");
    snprintf(seen->address, sizeof(seen->address), "%s", request->address);
    seen->asked++;
    int verdict = seen->verdict;
    pthread_mutex_unlock(&seen->lock);
    return verdict;
}

/* ---- hubs ---- */

static struct tidings_config config_with(struct seen *seen, uint32_t loops)
{
    struct tidings_config config;

    tidings_config_init(&config);
    config.loops = loops;
    if (!seen)
        return config;
    config.user = seen;
    config.on_connect = on_connect;
    config.on_disconnect = on_disconnect;
    config.log = on_log;
    return config;
}

static struct tidings_hub *start_hub(const struct tidings_config *config, char *url, size_t url_size)
{
    struct tidings_hub *hub;

    assert_int_equal(tidings_hub_create(&hub, config), 0);
    assert_int_equal(tidings_hub_listen(hub, "127.0.0.1:0", url, url_size), 0);
    assert_int_equal(tidings_hub_start(hub), 0);
    return hub;
}

/* Waits until nobody is connected any more. */
static void await_empty(struct tidings_hub *hub)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < PATIENCE * 1000 && tidings_total_connections(hub) > 0; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(tidings_total_connections(hub), 0);
}

/* ---- nothing is left behind ---- */

static unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static unsigned descriptors_before, threads_before;

static void *nothing(void *user)
{
    return user;
}

/* A sanitizer may add a thread of its own to the first one of the program. */
static int first_thread(void **state)
{
    pthread_t thread;

    (void)state;
    return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL);
}

static int count_before(void **state)
{
    (void)state;
    descriptors_before = count_entries("/proc/self/fd");
    threads_before = count_entries("/proc/self/task");
    return 0;
}

static int count_after(void **state)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    (void)state;
    /* A thread that was joined may be listed for a moment longer. */
    for (unsigned i = 0; i < 10000 && count_entries("/proc/self/task") > threads_before; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(count_entries("/proc/self/task"), threads_before);
    assert_int_equal(count_entries("/proc/self/fd"), descriptors_before);
    return 0;
}

/* ---- errors ---- */

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(tidings_version(), TIDINGS_VERSION);
    assert_string_equal(tidings_strerror(0), "success");
    assert_string_equal(tidings_strerror(1), "unknown error");
    assert_string_equal(tidings_strerror(-1000), "unknown error");
    for (int a = -1; a >= -14; a--) {
        assert_string_not_equal(tidings_strerror(a), "unknown error");
        for (int b = -1; b > a; b--)
            assert_string_not_equal(tidings_strerror(a), tidings_strerror(b));
    }
}

static void test_errors_before_start(void **state)
{
    struct tidings_config config = config_with(NULL, 1);
    struct tidings_hub *hub = NULL;
    char url[12], taken[64];
    static const struct tidings_page nowhere = {.path = "relative", .content_type = "text/plain"};
    static const struct tidings_page typeless = {.path = "/x"};

    (void)state;
    config.retry = 0;
    assert_int_equal(tidings_hub_create(&hub, &config), TIDINGS_ECONFIG);
    assert_null(hub);
    config.retry = 3000;
    assert_int_equal(tidings_hub_create(&hub, &config), 0);
    assert_int_equal(tidings_hub_drain(hub, 100), TIDINGS_ESTATE);
    assert_int_equal(tidings_hub_wait_drained(hub, 0), 1);
    assert_int_equal(tidings_hub_listen(hub, "nonsense", NULL, 0), TIDINGS_EADDRESS);
    assert_int_equal(tidings_hub_listen(hub, NULL, NULL, 0), TIDINGS_EADDRESS);
    assert_int_equal(tidings_hub_listen(hub, "0.0.0.0:0", NULL, 0), TIDINGS_EREFUSED);
    assert_int_equal(tidings_hub_listen(hub, "127.0.0.1:0", url, sizeof(url)), 0);
    assert_string_equal(url, "http://127."); /* cut, and ended */
    assert_int_equal(tidings_hub_listen(hub, "127.0.0.1:0", taken, sizeof(taken)), 0);
    assert_int_equal(tidings_hub_listen(hub, taken + strlen("http://"), NULL, 0), TIDINGS_EINUSE);
    assert_int_equal(tidings_hub_pages(hub, &nowhere, 1), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_pages(hub, &typeless, 1), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_pages(hub, NULL, 0), 0);
    assert_int_equal(tidings_broadcast(hub, "e", "1", 1), 0); /* nobody is here yet: not an error */
    assert_int_equal(tidings_total_connections(hub), 0);
    tidings_hub_destroy(hub);
}

static void no_handler(void *user, struct tidings_request *request)
{
    (void)user;
    (void)request;
}

static void test_errors_of_routes(void **state)
{
    static const char *const bad_methods[] = {"", "get", "GET ", "GET\r\nX: y", "G(T"};
    struct tidings_config config = config_with(NULL, 1);
    struct tidings_hub *hub;

    (void)state;
    assert_int_equal(tidings_hub_create(&hub, &config), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(tidings_hub_route(hub, bad_methods[i], "/x", no_handler, NULL), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_route(hub, NULL, "/x", no_handler, NULL), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_route(hub, "GET", NULL, no_handler, NULL), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_route(hub, "GET", "", no_handler, NULL), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_route(hub, "GET", "x", no_handler, NULL), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_route(hub, "GET", "/x", NULL, NULL), TIDINGS_EINVAL);
    assert_int_equal(tidings_hub_start(hub), 0); /* a hub that listens nowhere is legal */
    assert_int_equal(tidings_hub_start(hub), TIDINGS_ESTATE);
    assert_int_equal(tidings_hub_route(hub, "GET", "/x", no_handler, NULL), TIDINGS_ESTATE);
    assert_int_equal(tidings_hub_pages(hub, NULL, 0), TIDINGS_ESTATE);
    assert_int_equal(tidings_hub_listen(hub, "127.0.0.1:0", NULL, 0), TIDINGS_ESTATE);
    config.retry = 0; /* out of its range */
    assert_int_equal(tidings_hub_reconfigure(hub, &config), TIDINGS_ECONFIG);
    tidings_hub_stop(hub);
    tidings_hub_stop(hub);
    assert_int_equal(tidings_hub_start(hub), TIDINGS_ESTATE); /* one life */
    assert_int_equal(tidings_hub_drain(hub, 1), TIDINGS_ESTATE);
    assert_int_equal(tidings_broadcast(hub, "e", "1", 1), 0);
    tidings_hub_destroy(hub);
    tidings_hub_destroy(NULL);
}

static void test_errors_of_publishing(void **state)
{
    struct tidings_config config = config_with(NULL, 1);
    struct tidings_hub *hub;
    char name[300];
    struct tidings_receipt receipt = {.id = "unchanged"};
    struct tidings_message m = {.target = TIDINGS_TO_TOPIC,
                                .to = "news",
                                .to_len = 4,
                                .event = "e",
                                .event_len = 1,
                                .json = "1",
                                .json_len = 1,
                                .ttl = TIDINGS_TTL_DEFAULT};

    (void)state;
    memset(name, 'x', sizeof(name));
    name[TIDINGS_CLIENT_ID_MAX + 1] = '\0';
    assert_int_equal(tidings_hub_create(&hub, &config), 0);
    assert_int_equal(tidings_send_event(hub, "", "e", "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_send_event(hub, NULL, "e", "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_send_event(hub, name, "e", "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_send_event(hub, "a\nb", "e", "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_send_event(hub, "\xff", "e", "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_send_event(hub, name + 1, "e", "1", 1), 0);
    assert_int_equal(tidings_broadcast(hub, NULL, "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_broadcast(hub, "", "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_broadcast(hub, "e\r\ndata: x", "1", 1), TIDINGS_ENAME);
    assert_int_equal(tidings_broadcast(hub, "__mine", "1", 1), TIDINGS_ERESERVED);
    assert_int_equal(tidings_broadcast(hub, "open", "1", 1), TIDINGS_ERESERVED);
    assert_int_equal(tidings_broadcast(hub, "error", "1", 1), TIDINGS_ERESERVED);
    assert_int_equal(tidings_broadcast(hub, "errors", "1", 1), 0);
    assert_int_equal(tidings_broadcast(hub, "e", "{", 1), TIDINGS_EJSON);
    assert_int_equal(tidings_broadcast(hub, "e", NULL, 0), TIDINGS_EJSON);
    assert_int_equal(tidings_broadcast(hub, "e", NULL, 1), TIDINGS_EINVAL);
    m.to = NULL;
    assert_int_equal(tidings_publish(hub, &m, &receipt), TIDINGS_EINVAL);
    m.to = "news";
    m.event = NULL;
    assert_int_equal(tidings_publish(hub, &m, &receipt), TIDINGS_EINVAL);
    m.event = "e";
    m.target = (enum tidings_target)3;
    assert_int_equal(tidings_publish(hub, &m, &receipt), TIDINGS_EINVAL);
    assert_string_equal(receipt.id, "unchanged"); /* written on success only */
    m.target = TIDINGS_TO_TOPIC;
    assert_int_equal(tidings_publish(hub, &m, &receipt), 0);
    assert_int_equal(receipt.connections, 0);
    assert_true(strlen(receipt.id) > 0 && strlen(receipt.id) <= TIDINGS_ID_MAX);
    assert_int_equal(tidings_publish(hub, &m, NULL), 0);
    char *large = malloc(config.max_body + 1);
    memset(large, ' ', config.max_body + 1);
    large[0] = '1';
    assert_int_equal(tidings_broadcast(hub, "e", large, config.max_body), 0);
    assert_int_equal(tidings_broadcast(hub, "e", large, config.max_body + 1), TIDINGS_ETOOBIG);
    free(large);
    assert_int_equal(tidings_disconnect_client(hub, "ada", 0), TIDINGS_ENOENT);
    assert_int_equal(tidings_disconnect_client(hub, NULL, 0), TIDINGS_ENAME);
    assert_int_equal(tidings_disconnect_client(hub, name, 0), TIDINGS_ENAME);
    assert_int_equal(tidings_disconnect_client(hub, "ada", 5), 0); /* who is absent can be banned */
    assert_false(tidings_has_client_connections(hub, NULL));
    assert_false(tidings_has_client_connections(hub, "ada"));
    tidings_hub_destroy(hub);
}

/* ---- the guide's calls ---- */

static void test_guide(void **state)
{
    struct tidings_config config = config_with(NULL, 2);
    struct tidings_connection_metrics metrics;
    struct client a, b, c;
    char url[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    (void)state;
    tidings_get_connection_metrics(hub, &metrics);
    assert_true(metrics.average_connections_per_client == 0);
    assert_true(subscribe(&a, url, "user-123"));
    assert_true(subscribe(&b, url, "user-123?topic=news"));
    assert_true(subscribe(&c, url, "caf%C3%A9"));
    assert_int_equal(tidings_total_connections(hub), 3);
    tidings_get_connection_metrics(hub, &metrics);
    assert_int_equal(metrics.total_connections, 3);
    assert_int_equal(metrics.total_clients, 2);
    assert_true(metrics.average_connections_per_client == 1.5);
    assert_true(tidings_has_client_connections(hub, "user-123"));
    assert_true(tidings_has_client_connections(hub, "caf\xc3\xa9"));
    assert_int_equal(tidings_send_event(hub, "user-123", "notification", "{ \"message\": \"Hello!\" }", 23),
                     2);
    assert_int_equal(tidings_broadcast(hub, "system-alert", "[1.10, 2e0]", 11), 3);
    struct tidings_message m = {.target = TIDINGS_TO_TOPIC,
                                .to = "news",
                                .to_len = 4,
                                .event = "n",
                                .event_len = 1,
                                .json = "true",
                                .json_len = 4};
    struct tidings_receipt receipt;

    assert_int_equal(tidings_publish(hub, &m, &receipt), 0);
    assert_int_equal(receipt.connections, 1);
    assert_true(hear(&a, "event: notification\ndata: {\"message\":\"Hello!\"}\n\n"));
    assert_true(hear(&a, "event: system-alert\ndata: [1.10,2e0]\n\n"));
    assert_true(hear(&b, "event: notification\n") && hear(&b, "event: system-alert\n"));
    assert_true(hear(&b, receipt.id) && hear(&b, "event: n\ndata: true\n\n"));
    assert_true(hear(&c, "event: system-alert\ndata: [1.10,2e0]\n\n"));
    hang_up(&a);
    hang_up(&b);
    hang_up(&c);
    await_empty(hub);
    assert_int_equal(tidings_send_event(hub, "user-123", "notification", "{}", 2), 0);
    tidings_hub_destroy(hub);
}

/* Three hubs, each with its own settings, clients and numbers; what happens in one is not seen in another. */
static void test_three_hubs(void **state)
{
    struct tidings_hub *hubs[3];
    struct client clients[3];
    char urls[3][64], text[64];

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct tidings_config config = config_with(NULL, i + 1);
        config.max_connections_per_client = i + 1;
        config.retry = 1000 * (i + 1);
        hubs[i] = start_hub(&config, urls[i], sizeof(urls[i]));
        assert_true(subscribe(&clients[i], urls[i], "ada"));
    }
    for (unsigned i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "\"hub %u\"", i);
        assert_int_equal(tidings_send_event(hubs[i], "ada", "own", text, strlen(text)), 1);
        assert_int_equal(tidings_broadcast(hubs[i], "end", "0", 1), 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        /* The first event of each is its own, and nothing lies between it and the end. */
        snprintf(text, sizeof(text), "event: own\ndata: \"hub %u\"\n\n", i);
        assert_true(hear(&clients[i], "event: "));
        assert_true(hear(&clients[i], text + strlen("event: ")));
        assert_true(hear(&clients[i], "event: "));
        assert_true(hear(&clients[i], "\n"));
    }
    for (unsigned i = 0; i < 3; i++) { /* each has its own limit */
        struct client more[3];
        for (unsigned k = 1; k <= i; k++)
            assert_true(subscribe(&more[k - 1], urls[i], "ada"));
        assert_int_equal(status_of(get(urls[i], "/api/sse/subscribe/ada", "")), 429);
        for (unsigned k = 1; k <= i; k++)
            hang_up(&more[k - 1]);
    }
    tidings_hub_destroy(hubs[1]);
    assert_false(hear(&clients[1], "never"));
    assert_int_equal(tidings_broadcast(hubs[2], "still", "1", 1) >= 1, true);
    assert_true(hear(&clients[2], "event: still"));
    for (unsigned i = 0; i < 3; i++)
        hang_up(&clients[i]);
    tidings_hub_destroy(hubs[0]);
    tidings_hub_destroy(hubs[2]);
}

static void test_heartbeat(void **state)
{
    struct tidings_config config = config_with(NULL, 1);
    struct client c;
    char url[64];

    (void)state;
    config.heartbeat = 50;
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    assert_true(subscribe(&c, url, "ada"));
    for (unsigned i = 0; i < 3; i++)
        assert_true(hear(&c, "event: __heartbeat\ndata: {\"ts\":"));
    hang_up(&c);
    tidings_hub_destroy(hub);
}

/* ---- callbacks ---- */

static void test_callbacks(void **state)
{
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 1);
    struct client c, second;
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    char url[64], address[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    (void)state;
    seen->hub = hub;
    assert_true(subscribe_with(&c, url, "ada?name=Ada%20L", "User-Agent: test/1\r\n"));
    await(seen, &seen->connects, 1);
    assert_string_equal(seen->who, "ada");
    assert_string_equal(seen->name, "Ada L");
    assert_string_equal(seen->agent, "test/1");
    getsockname(c.fd, (struct sockaddr *)&a, &len);
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(a.sin_port));
    assert_string_equal(seen->address, address);
    char id[sizeof(seen->connection)];
    memcpy(id, seen->connection, sizeof(id));
    assert_true(subscribe(&second, url, "ada"));
    await(seen, &seen->connects, 2);
    assert_string_not_equal(seen->connection, id);
    hang_up(&c);
    await(seen, &seen->disconnects, 1);
    assert_string_equal(seen->cause, "client_closed");
    assert_string_equal(seen->connection, id);
    assert_string_equal(seen->who, "ada");
    assert_true(seen->duration < PATIENCE * 1000);
    assert_true(seen->present_at_end); /* by the other one */
    assert_int_equal(seen->total_at_end, 1);
    hang_up(&second);
    await(seen, &seen->disconnects, 2);
    assert_false(seen->present_at_end); /* a stream that has ended is counted nowhere */
    assert_int_equal(seen->total_at_end, 0);
    seen->hub = NULL;
    tidings_hub_destroy(hub);
}

/* A stream that ends in the moment in which it began has lasted about nothing, not 2^64 ms. */
static void test_short_streams(void **state)
{
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 1);
    struct client c;
    char url[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    (void)state;
    for (unsigned i = 1; i <= 200; i++) {
        assert_true(subscribe(&c, url, "ada"));
        hang_up(&c);
        await(seen, &seen->disconnects, i);
        assert_true(seen->duration < PATIENCE * 1000);
    }
    tidings_hub_destroy(hub);
}

static void test_causes(void **state)
{
    const struct linger now = {.l_onoff = 1};
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 1);
    struct client c;
    char url[64];

    (void)state;
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    assert_true(subscribe(&c, url, "ada"));
    setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    hang_up(&c);
    await(seen, &seen->disconnects, 1);
    assert_string_equal(seen->cause, "reset");
    assert_true(subscribe(&c, url, "ada"));
    assert_int_equal(tidings_disconnect_client(hub, "ada", 0), 1);
    assert_true(hear(&c, "retry: ")); /* a good end: come back later, and the end of the body */
    assert_true(hear(&c, "\r\n0\r\n\r\n"));
    assert_false(hear(&c, "never"));
    await(seen, &seen->disconnects, 2);
    assert_string_equal(seen->cause, "disconnected");
    hang_up(&c);
    config.max_connection_age = 100;
    assert_int_equal(tidings_hub_reconfigure(hub, &config), 0);
    /* The loops take the new settings between two turns: the next stream may still be an old one. */
    while (strcmp(seen->cause, "max_age") != 0) {
        unsigned before = seen->disconnects;
        assert_true(subscribe(&c, url, "ada"));
        if (hear(&c, "\r\n0\r\n\r\n"))
            await(seen, &seen->disconnects, before + 1);
        hang_up(&c);
    }
    config.max_connection_age = 0;
    assert_int_equal(tidings_hub_reconfigure(hub, &config), 0);
    tidings_hub_stop(hub);
    tidings_hub_destroy(hub);
    seen = fresh_seen();
    config = config_with(seen, 1);
    hub = start_hub(&config, url, sizeof(url));
    assert_true(subscribe(&c, url, "ada"));
    tidings_hub_stop(hub);
    assert_string_equal(seen->cause, "stop"); /* stop returns when all is said */
    assert_int_equal(seen->disconnects, 1);
    hang_up(&c);
    tidings_hub_destroy(hub);
}

static void test_slow_reader(void **state)
{
    static char json[60000];
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 1);
    struct client c;
    char url[64];

    (void)state;
    config.slow_reader = TIDINGS_SLOW_DISCONNECT;
    config.history_bytes = 1024;
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    memset(json, '1', sizeof(json));
    assert_true(subscribe(&c, url, "ada"));
    /* It does not read: kernel buffers fill up, and the log moves past it. */
    for (unsigned i = 0; i < 400; i++)
        tidings_broadcast(hub, "e", json, sizeof(json));
    assert_false(hear(&c, "no such thing")); /* now it reads, and is sent away */
    await(seen, &seen->disconnects, 1);
    assert_string_equal(seen->cause, "slow_reader");
    hang_up(&c);
    tidings_hub_destroy(hub);
}

static void test_authorize(void **state)
{
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 2);
    struct client c;
    char url[64];

    (void)state;
    config.authorize = authorize;
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    seen->verdict = 401;
    const char *answer = get(url, "/api/sse/subscribe/ada", "");
    assert_int_equal(status_of(answer), 401);
    assert_non_null(strstr(answer, "application/problem+json"));
    assert_string_equal(seen->asked_secrets, "-|-|-");
    assert_string_equal(seen->asked_topics, "");
    seen->verdict = 403;
    assert_int_equal(status_of(get(url, "/api/sse/subscribe/a%20b?topic=x&topic=y%2Bz&access_token=t%30ken",
                                   "Authorization: Bearer s3cret\r\nCookie: a=crumb\r\n")),
                     403);
    assert_string_equal(seen->asked_client, "a b");
    assert_string_equal(seen->asked_topics, "x;y+z;");
    assert_string_equal(seen->asked_secrets, "Bearer s3cret|a=crumb|t0ken");
    assert_memory_equal(seen->address, "127.0.0.1:", 10);
    seen->verdict = 200; /* anything else is a refusal */
    assert_int_equal(status_of(get(url, "/api/sse/subscribe/ada", "")), 403);
    assert_int_equal(seen->connects, 0);
    seen->verdict = 0;
    assert_true(subscribe(&c, url, "ada"));
    assert_int_equal(seen->asked, 4);
    assert_int_equal(status_of(ask(url, "HEAD", "/api/sse/subscribe/ada", "", "")), 200);
    hang_up(&c);
    await(seen, &seen->disconnects, 1);
    tidings_hub_destroy(hub);
}

/* No credential is in any record or callback, whatever comes of the request. */
static void test_no_secrets(void **state)
{
    static const char *const secrets[] = {"s3cret", "crumb", "t0ken", "payload-text", "query-text"};
    static const char headers[] = "Authorization: Bearer s3cret\r\nCookie: tidings_token=crumb\r\n";
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 1);
    struct client c;
    char url[64];

    (void)state;
    config.max_connections_per_client = 1;
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    assert_true(subscribe_with(&c, url, "ada?access_token=t0ken&x=query-text", headers));
    get(url, "/api/sse/subscribe/ada?access_token=t0ken&x=query-text", headers); /* refused: full */
    get(url, "/nowhere?access_token=t0ken", headers);
    get(url, "/api/sse/subscribe/%zz?access_token=t0ken", headers);
    ask(url, "POST", "/api/sse/notify?access_token=t0ken", headers, "no json payload-text");
    tidings_send_event(hub, "ada", "e", "\"payload-text\"", 14);
    tidings_disconnect_client(hub, "ada", 60);
    await(seen, &seen->disconnects, 1);
    get(url, "/api/sse/subscribe/ada?access_token=t0ken", headers); /* refused: banned */
    tidings_hub_drain(hub, 1);
    get(url, "/api/sse/subscribe/bob?access_token=t0ken", headers); /* refused: draining */
    hang_up(&c);
    tidings_hub_destroy(hub);
    seen->log[seen->log_len] = '\0';
    for (unsigned i = 0; i < 5; i++)
        assert_null(strstr(seen->log, secrets[i]));
    assert_non_null(strstr(seen->log, "connect\n")); /* and yet something was said */
    assert_non_null(strstr(seen->log, "disconnect\n"));
    assert_non_null(strstr(seen->log, "publish\n"));
    assert_non_null(strstr(seen->log, "refuse\n"));
}

/* ---- routes and pages ---- */

struct echo {
    struct tidings_hub *hub;
    atomic_int results[8];
};

static void echo(void *user, struct tidings_request *request)
{
    char text[1024];
    size_t n[5];
    const char *method = tidings_request_method(request, &n[0]), *path = tidings_request_path(request, &n[1]);
    const char *query = tidings_request_query(request, &n[2]), *body = tidings_request_body(request, &n[3]);
    const char *header = tidings_request_header(request, "x-GREETING", &n[4]);

    (void)user;
    int len = snprintf(text, sizeof(text), "%.*s %.*s ?%.*s [%.*s] <%.*s>", (int)n[0], method, (int)n[1],
                       path, (int)n[2], query ? query : "", (int)n[3], body ? body : "",
                       (int)(header ? n[4] : 1), header ? header : "-");
    tidings_respond(request, 201, "text/plain", text, (size_t)len);
}

static void difficult(void *user, struct tidings_request *request)
{
    struct echo *e = user;

    e->results[0] = tidings_respond(request, 199, "text/plain", "x", 1);
    e->results[1] = tidings_respond(request, 600, "text/plain", "x", 1);
    e->results[2] = tidings_respond(request, 200, "text/plain\r\nX-Evil: 1", "x", 1);
    e->results[3] = tidings_respond(request, 200, NULL, "x", 1);
    e->results[4] = tidings_respond(request, 200, "text/plain", NULL, 1);
    e->results[5] = tidings_broadcast(e->hub, "from-a-handler", "1", 1);
    e->results[6] = tidings_respond(request, 202, NULL, NULL, 0);
    e->results[7] = tidings_respond(request, 200, "text/plain", "x", 1);
}

static void too_large(void *user, struct tidings_request *request)
{
    struct echo *e = user;
    size_t n = 64u << 20;
    char *body = calloc(1, n);

    e->results[0] = tidings_respond(request, 200, "text/plain", body, n);
    free(body);
}

static void test_routes(void **state)
{
    static struct echo e;
    struct tidings_config config = config_with(NULL, 1);
    struct tidings_hub *hub;
    struct client c;
    char url[64];
    const char *answer;

    (void)state;
    assert_int_equal(tidings_hub_create(&hub, &config), 0);
    assert_int_equal(tidings_hub_listen(hub, "127.0.0.1:0", url, sizeof(url)), 0);
    assert_int_equal(tidings_hub_route(hub, "GET", "/echo", echo, NULL), 0);
    assert_int_equal(tidings_hub_route(hub, "POST", "/echo", echo, NULL), 0);
    assert_int_equal(tidings_hub_route(hub, "PUT", "/tree/*", echo, NULL), 0);
    assert_int_equal(tidings_hub_route(hub, "GET", "/silent", no_handler, NULL), 0);
    assert_int_equal(tidings_hub_route(hub, "POST", "/difficult", difficult, &e), 0);
    assert_int_equal(tidings_hub_route(hub, "GET", "/large", too_large, &e), 0);
    assert_int_equal(tidings_hub_route(hub, "GET", "/healthz", echo, NULL), 0);
    assert_int_equal(tidings_hub_start(hub), 0);
    e.hub = hub;
    answer = get(url, "/echo?a=%20b", "X-Greeting: hi\r\n");
    assert_int_equal(status_of(answer), 201);
    assert_string_equal(body_of(answer), "GET /echo ?a=%20b [] <hi>");
    answer = ask(url, "POST", "/echo", "", "the body");
    assert_string_equal(body_of(answer), "POST /echo ? [the body] <->");
    answer = ask(url, "HEAD", "/echo", "", "");
    assert_int_equal(status_of(answer), 201);
    assert_string_equal(body_of(answer), "");
    answer = ask(url, "DELETE", "/echo", "", "");
    assert_int_equal(status_of(answer), 405);
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"));
    answer = ask(url, "OPTIONS", "/echo", "", "");
    assert_int_equal(status_of(answer), 204);
    assert_string_equal(body_of(ask(url, "PUT", "/tree/a/b", "", "")), "PUT /tree/a/b ? [] <->");
    assert_string_equal(body_of(ask(url, "PUT", "/tree/", "", "")), "PUT /tree/ ? [] <->");
    assert_int_equal(status_of(ask(url, "PUT", "/tree", "", "")), 404);
    assert_int_equal(status_of(get(url, "/echo/", "")), 404);
    assert_int_equal(status_of(get(url, "/silent", "")), 500);
    assert_null(strstr(get(url, "/healthz", ""), "GET /healthz")); /* the hub's own paths win */
    assert_true(subscribe(&c, url, "ada"));
    answer = ask(url, "POST", "/difficult", "", "");
    assert_int_equal(status_of(answer), 202);
    assert_null(strstr(answer, "Evil"));
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(e.results[i], TIDINGS_EINVAL);
    assert_int_equal(e.results[5], 1);
    assert_int_equal(e.results[6], 0);
    assert_int_equal(e.results[7], TIDINGS_ESTATE);
    assert_true(hear(&c, "event: from-a-handler"));
    get(url, "/large", ""); /* more than the hub keeps for one connection: that one ends, the hub goes on */
    assert_true(e.results[0] < 0);
    assert_int_equal(status_of(get(url, "/echo", "")), 201);
    hang_up(&c);
    tidings_hub_destroy(hub);
}

static void test_pages(void **state)
{
    static const struct tidings_page pages[] = {
        {.path = "/client",
         .content_type = "text/html; charset=utf-8",
         .body = "<p>plain</p>",
         .body_len = 12,
         .gzip = "\x1f\x8b squeezed",
         .gzip_len = 11,
         .etag = "\"3f9a\""},
        {.path = "/app.js", .content_type = "text/javascript", .body = "1", .body_len = 1, .immutable = true},
        {.path = "/empty", .content_type = "text/plain", .body = "", .body_len = 0},
    };
    struct tidings_config config = config_with(NULL, 1);
    struct tidings_hub *hub;
    char url[64];
    const char *answer;

    (void)state;
    assert_int_equal(tidings_hub_create(&hub, &config), 0);
    assert_int_equal(tidings_hub_listen(hub, "127.0.0.1:0", url, sizeof(url)), 0);
    assert_int_equal(tidings_hub_pages(hub, pages, 2), 0);
    assert_int_equal(tidings_hub_pages(hub, pages + 2, 1), 0);
    assert_int_equal(tidings_hub_start(hub), 0);
    answer = get(url, "/client?x", "");
    assert_int_equal(status_of(answer), 200);
    assert_string_equal(body_of(answer), "<p>plain</p>");
    assert_non_null(strstr(answer, "\r\nETag: W/\"3f9a\"\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_null(strstr(answer, "Content-Encoding"));
    answer = get(url, "/client", "Accept-Encoding: br, gzip\r\n");
    assert_non_null(strstr(answer, "\r\nContent-Encoding: gzip\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Length: 11\r\n"));
    assert_string_equal(body_of(answer), "\x1f\x8b squeezed");
    assert_null(strstr(get(url, "/client", "Accept-Encoding: gzip;q=0\r\n"), "Content-Encoding"));
    answer = get(url, "/client", "If-None-Match: \"other\", W/\"3f9a\"\r\n");
    assert_int_equal(status_of(answer), 304);
    assert_non_null(strstr(answer, "\r\nETag: W/\"3f9a\"\r\n"));
    assert_string_equal(body_of(answer), "");
    assert_int_equal(status_of(get(url, "/client", "If-None-Match: \"other\"\r\n")), 200);
    answer = ask(url, "HEAD", "/client", "", "");
    assert_non_null(strstr(answer, "\r\nContent-Length: 12\r\n"));
    assert_string_equal(body_of(answer), "");
    answer = ask(url, "POST", "/client", "", "");
    assert_int_equal(status_of(answer), 405);
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    assert_non_null(strstr(get(url, "/app.js", ""), "immutable"));
    answer = get(url, "/empty", "");
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "\r\nContent-Length: 0\r\n"));
    assert_int_equal(status_of(get(url, "/nothing", "")), 404);
    tidings_hub_destroy(hub);
}

/* ---- reconfigure, drain ---- */

static void test_reconfigure(void **state)
{
    struct tidings_config config = config_with(NULL, 2);
    const char *hosts[] = {"hub.example", NULL};
    struct client c;
    char url[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));
    int status = 0;

    (void)state;
    assert_true(subscribe(&c, url, "ada"));
    assert_int_equal(status_of(get(url, "/api/sse/metrics", "")), 200);
    config.max_connections_per_client = 1;
    config.public_hosts = hosts;
    config.max_topics = 1;
    assert_int_equal(tidings_hub_reconfigure(hub, &config), 0);
    hosts[0] = "gone.example";                                                /* copied */
    assert_int_equal(status_of(get(url, "/api/sse/subscribe/ada", "")), 429); /* the registry's: at once */
    for (unsigned i = 0; i < 1000 && status != 400; i++) /* the loops': between two turns of each */
        status = status_of(get(url, "/api/sse/subscribe/ada?topic=a&topic=b", ""));
    assert_int_equal(status, 400);
    assert_int_equal(tidings_broadcast(hub, "e", "1", 1), 1); /* open connections stay */
    assert_true(hear(&c, "event: e\n"));
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(tidings_hub_reconfigure(hub, &config), 0);
    hang_up(&c);
    tidings_hub_destroy(hub);
}

static void test_drain(void **state)
{
    enum { STREAMS = 20 };
    static struct client clients[STREAMS];
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 2);
    char url[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    (void)state;
    for (unsigned i = 0; i < STREAMS; i++)
        assert_true(subscribe(&clients[i], url, "ada"));
    assert_int_equal(status_of(get(url, "/readyz", "")), 200);
    assert_int_equal(tidings_hub_wait_drained(hub, 0), 0);
    assert_int_equal(tidings_hub_drain(hub, 300), 0);
    assert_int_equal(tidings_hub_drain(hub, UINT32_MAX), 0); /* changes nothing */
    assert_int_equal(status_of(get(url, "/readyz", "")), 503);
    assert_int_equal(status_of(get(url, "/healthz", "")), 200);
    const char *answer = get(url, "/api/sse/subscribe/bob", "");
    assert_int_equal(status_of(answer), 503);
    assert_non_null(strstr(answer, "Retry-After: "));
    answer = get(url, "/api/sse/subscribe/bob", "Accept: text/event-stream\r\n");
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "event: __overloaded\ndata: {\"reason\":\"draining\""));
    assert_non_null(strstr(answer, "\nretry: "));
    for (unsigned i = 0; i < STREAMS; i++) {
        assert_true(hear(&clients[i], "retry: "));
        assert_true(hear(&clients[i], "0\r\n\r\n"));
        assert_false(hear(&clients[i], "never"));
        hang_up(&clients[i]);
    }
    assert_int_equal(tidings_hub_wait_drained(hub, PATIENCE * 1000), 1);
    await(seen, &seen->disconnects, STREAMS);
    assert_string_equal(seen->cause, "drain");
    assert_int_equal(tidings_broadcast(hub, "e", "1", 1), 0); /* publishing is answered until stop */
    tidings_hub_destroy(hub);
}

/* A drain of the longest time is a long one, not one that is over at once. */
static void test_long_drain(void **state)
{
    struct tidings_config config = config_with(NULL, 1);
    struct client c;
    char url[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    (void)state;
    assert_true(subscribe(&c, url, "ada"));
    assert_int_equal(tidings_hub_drain(hub, UINT32_MAX), 0);
    assert_int_equal(tidings_hub_wait_drained(hub, 400), 0);
    assert_int_equal(tidings_total_connections(hub), 1);
    hang_up(&c);
    tidings_hub_destroy(hub);
}

/* ---- many clients ---- */

struct roll {
    struct tidings_hub *hub;
    unsigned count, wanted;
    uint8_t *times_seen;
    unsigned before;
    bool ordered, sane;
};

static bool call_roll(void *user, const struct tidings_client_info *client)
{
    struct roll *roll = user;
    unsigned number = (unsigned)atoi(client->client_id + 1);

    roll->times_seen[number]++;
    roll->ordered &= roll->count == 0 || number < roll->before; /* the one that came last is the first */
    roll->before = number;
    roll->sane &= client->connections == 1 && client->connected_at > 1700000000000 &&
                  client->last_seen >= client->connected_at && strcmp(client->name, "N") == 0 &&
                  tidings_has_client_connections(roll->hub, client->client_id);
    return ++roll->count < roll->wanted;
}

static unsigned raise_descriptors(unsigned wanted)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted * 2 + 200 && limit.rlim_max > limit.rlim_cur) {
        limit.rlim_cur = limit.rlim_max < wanted * 2 + 200 ? limit.rlim_max : wanted * 2 + 200;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur < wanted * 2 + 200 ? (unsigned)(limit.rlim_cur - 200) / 2 : wanted;
}

static void test_thousands(void **state)
{
    unsigned count = raise_descriptors(3000);
    struct tidings_config config = config_with(NULL, 2);
    char url[64], target[32];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));
    int *fds = calloc(count, sizeof(*fds));
    struct roll roll = {.hub = hub, .ordered = true, .sane = true, .wanted = UINT32_MAX};
    static struct client c;

    (void)state;
    roll.times_seen = calloc(count, 1);
    for (unsigned i = 0; i < count; i++) {
        snprintf(target, sizeof(target), "c%u?name=N", i);
        assert_true(subscribe(&c, url, target));
        fds[i] = c.fd;
    }
    assert_int_equal(tidings_total_connections(hub), count);
    assert_int_equal(tidings_get_connected_clients(hub, call_roll, &roll), 0);
    assert_int_equal(roll.count, count);
    assert_true(roll.ordered);
    assert_true(roll.sane);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(roll.times_seen[i], 1);
    roll.count = 0;
    roll.wanted = 257; /* it can be stopped anywhere */
    assert_int_equal(tidings_get_connected_clients(hub, call_roll, &roll), 0);
    assert_int_equal(roll.count, 257);
    assert_int_equal(tidings_broadcast(hub, "all", "1", 1), (int)count);
    for (unsigned i = 0; i < count; i++) {
        c.fd = fds[i];
        c.len = 0;
        assert_true(hear(&c, "event: all\n"));
        hang_up(&c);
    }
    await_empty(hub);
    free(fds);
    free(roll.times_seen);
    tidings_hub_destroy(hub);
}

struct leaving {
    struct tidings_hub *hub;
    struct client *clients;
    unsigned seen, left;
    char last[32];
};

/* While the list is read, the client that was just shown leaves: those behind it are still all shown. */
static bool leave_behind(void *user, const struct tidings_client_info *client)
{
    struct leaving *l = user;

    l->seen++;
    if (l->seen % 256 == 0) {
        const struct timespec pause = {.tv_nsec = 1000000};
        hang_up(&l->clients[atoi(client->client_id + 1)]);
        while (tidings_has_client_connections(l->hub, client->client_id))
            nanosleep(&pause, NULL);
        l->left++;
    }
    return true;
}

static void test_leaving_while_listed(void **state)
{
    enum { COUNT = 600 };
    static struct client clients[COUNT];
    struct tidings_config config = config_with(NULL, 1);
    struct leaving leaving = {.clients = clients};
    char url[64], id[16];

    (void)state;
    if (raise_descriptors(COUNT) < COUNT)
        skip();
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));
    leaving.hub = hub;
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(id, sizeof(id), "c%u", i);
        assert_true(subscribe(&clients[i], url, id));
    }
    assert_int_equal(tidings_get_connected_clients(hub, leave_behind, &leaving), 0);
    assert_int_equal(leaving.seen, COUNT);
    assert_int_equal(leaving.left, 2);
    for (unsigned i = 0; i < COUNT; i++)
        if (clients[i].fd >= 0)
            hang_up(&clients[i]);
    tidings_hub_destroy(hub);
}

static void test_ban(void **state)
{
    struct tidings_config config = config_with(NULL, 2);
    struct client a, b, other;
    char url[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    (void)state;
    assert_true(subscribe(&a, url, "ada"));
    assert_true(subscribe(&b, url, "ada"));
    assert_true(subscribe(&other, url, "bob"));
    assert_int_equal(tidings_disconnect_client(hub, "ada", 3600), 2);
    assert_false(hear(&a, "never"));
    assert_false(hear(&b, "never"));
    assert_int_equal(status_of(get(url, "/api/sse/subscribe/ada", "Accept: text/event-stream\r\n")), 204);
    assert_int_equal(tidings_send_event(hub, "ada", "e", "1", 1), 0);
    assert_int_equal(tidings_send_event(hub, "bob", "e", "1", 1), 1);
    assert_true(hear(&other, "event: e"));
    hang_up(&a);
    hang_up(&b);
    hang_up(&other);
    tidings_hub_destroy(hub);
}

/* ---- threads ---- */

enum { PUBLISHERS = 2, VISITORS = 2, PUBLISHED = 250, VISITS = 60 };

struct worker {
    struct tidings_hub *hub;
    const char *url;
    unsigned number;
    bool failed;
};

static bool count_clients(void *user, const struct tidings_client_info *client)
{
    (void)client;
    ++*(unsigned *)user;
    return true;
}

static void *publish_much(void *user)
{
    struct worker *w = user;
    struct tidings_connection_metrics metrics;
    char json[32], id[8];
    unsigned seen = 0;

    for (unsigned i = 0; i < PUBLISHED; i++) {
        snprintf(json, sizeof(json), "[%u,%u]", w->number, i);
        snprintf(id, sizeof(id), "v%u", i % VISITORS);
        w->failed |= tidings_broadcast(w->hub, "tick", json, strlen(json)) < 1; /* the steady one is there */
        w->failed |= tidings_send_event(w->hub, id, "direct", json, strlen(json)) < 0;
        tidings_get_connection_metrics(w->hub, &metrics);
        w->failed |= metrics.total_connections < metrics.total_clients || metrics.total_clients < 1;
        tidings_has_client_connections(w->hub, id);
        if (i % 50 == 0)
            w->failed |= tidings_get_connected_clients(w->hub, count_clients, &seen) < 0;
        if (i % 40 == 0)
            w->failed |= tidings_disconnect_client(w->hub, id, 0) == TIDINGS_ENAME;
        if (i % 60 == 0) {
            struct tidings_config config;
            tidings_config_init(&config);
            config.max_topics = i + 1;
            w->failed |= tidings_hub_reconfigure(w->hub, &config) < 0;
        }
    }
    return NULL;
}

static void *visit_often(void *user)
{
    struct worker *w = user;
    struct client *c = malloc(sizeof(*c));
    char target[32];

    for (unsigned i = 0; i < VISITS; i++) {
        snprintf(target, sizeof(target), "v%u?topic=t%u", w->number, i % 3);
        w->failed |= !subscribe(c, w->url, target);
        if (i % 2)
            hear(c, "event: tick"); /* or it is told to leave */
        if (c->fd >= 0)
            hang_up(c);
    }
    free(c);
    return NULL;
}

/* Counts the ticks of each publisher: each comes once and in its order. */
static bool read_ticks(struct client *c)
{
    unsigned next[PUBLISHERS] = {0};
    char tick[64];

    for (unsigned left = PUBLISHERS * PUBLISHED; left > 0; left--) {
        if (!hear(c, "event: tick\ndata: ["))
            return false;
        while (!memchr(c->data, '\n', c->len)) {
            ssize_t got = recv(c->fd, c->data + c->len, sizeof(c->data) - c->len, 0);
            if (got <= 0)
                return false;
            c->len += (size_t)got;
        }
        snprintf(tick, sizeof(tick), "%.*s", 20, c->data);
        unsigned publisher = (unsigned)strtoul(tick, NULL, 10);
        if (publisher >= PUBLISHERS || strtoul(strchr(tick, ',') + 1, NULL, 10) != next[publisher]++)
            return false;
    }
    return true;
}

static void test_threads(void **state)
{
    struct seen *seen = fresh_seen();
    struct tidings_config config = config_with(seen, 2);
    struct worker workers[PUBLISHERS + VISITORS];
    pthread_t threads[PUBLISHERS + VISITORS];
    static struct client steady;
    char url[64];
    struct tidings_hub *hub = start_hub(&config, url, sizeof(url));

    (void)state;
    assert_true(subscribe(&steady, url, "steady"));
    for (unsigned i = 0; i < PUBLISHERS + VISITORS; i++) {
        bool publishes = i < PUBLISHERS;
        workers[i] = (struct worker){hub, url, publishes ? i : i - PUBLISHERS, false};
        assert_int_equal(
            pthread_create(&threads[i], NULL, publishes ? publish_much : visit_often, &workers[i]), 0);
    }
    bool all = read_ticks(&steady);
    /* Visitors wait for ticks: they get some until the last of them is done. */
    for (unsigned i = 0; i < PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    const struct timespec pause = {.tv_nsec = 1000000};
    for (unsigned i = PUBLISHERS; i < PUBLISHERS + VISITORS; i++)
        while (pthread_tryjoin_np(threads[i], NULL) == EBUSY) {
            tidings_broadcast(hub, "tick", "[0,0]", 5);
            nanosleep(&pause, NULL);
        }
    assert_true(all);
    for (unsigned i = 0; i < PUBLISHERS + VISITORS; i++)
        assert_false(workers[i].failed);
    hang_up(&steady);
    await_empty(hub);
    await(seen, &seen->disconnects, VISITORS * VISITS + 1);
    assert_int_equal(seen->connects, VISITORS * VISITS + 1);
    assert_int_equal(seen->disconnects, seen->connects);
    tidings_hub_destroy(hub);
}

struct restless {
    struct tidings_hub *hub;
    atomic_bool stop;
};

static void *never_rest(void *user)
{
    struct restless *r = user;

    while (!atomic_load(&r->stop)) {
        tidings_broadcast(r->hub, "e", "1", 1);
        tidings_total_connections(r->hub);
    }
    return NULL;
}

/* Publishing goes on from before the start until after the stop. */
static void test_calls_around_start_and_stop(void **state)
{
    static struct client clients[5];

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        struct tidings_config config = config_with(NULL, 2);
        struct restless restless = {0};
        pthread_t thread;
        char url[64];

        assert_int_equal(tidings_hub_create(&restless.hub, &config), 0);
        assert_int_equal(tidings_hub_listen(restless.hub, "127.0.0.1:0", url, sizeof(url)), 0);
        assert_int_equal(pthread_create(&thread, NULL, never_rest, &restless), 0);
        assert_int_equal(tidings_hub_start(restless.hub), 0);
        for (unsigned i = 0; i < 5; i++) {
            assert_true(subscribe(&clients[i], url, "ada"));
            assert_true(hear(&clients[i], "event: e\n"));
        }
        tidings_hub_stop(restless.hub);
        atomic_store(&restless.stop, true);
        pthread_join(thread, NULL);
        for (unsigned i = 0; i < 5; i++)
            hang_up(&clients[i]);
        tidings_hub_destroy(restless.hub);
    }
}

#define CLEAN(test) cmocka_unit_test_setup_teardown(test, count_before, count_after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEAN(test_texts),
        CLEAN(test_errors_before_start),
        CLEAN(test_errors_of_routes),
        CLEAN(test_errors_of_publishing),
        CLEAN(test_guide),
        CLEAN(test_three_hubs),
        CLEAN(test_heartbeat),
        CLEAN(test_callbacks),
        CLEAN(test_short_streams),
        CLEAN(test_causes),
        CLEAN(test_slow_reader),
        CLEAN(test_authorize),
        CLEAN(test_no_secrets),
        CLEAN(test_routes),
        CLEAN(test_pages),
        CLEAN(test_reconfigure),
        CLEAN(test_drain),
        CLEAN(test_long_drain),
        CLEAN(test_thousands),
        CLEAN(test_leaving_while_listed),
        CLEAN(test_ban),
        CLEAN(test_threads),
        CLEAN(test_calls_around_start_and_stop),
    };

    return cmocka_run_group_tests_name("library", tests, first_thread, NULL);
}
