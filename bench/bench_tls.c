/* SPDX-License-Identifier: MIT
 *
 * bench_tls - what TLS costs: memory of a quiet stream, handshakes, and a broadcast against a bare
 * SSL_write() loop in the same run.
 *
 * As in bench_fanout the hub's loop runs in this thread, on core 0, and a child process on the last core
 * holds the other ends. The bare loop has as many sockets and sessions of its own, made by the same rules, on
 * OpenSSL's own socket BIO: nothing of the hub is in it. What is timed is this thread's processor time.
 *
 *     bench_tls fanout [connections [rounds]]
 *     bench_tls idle [connections]
 *     bench_tls handshakes [seconds]             each prints a table, then one JSON object
 */
#include "certificate.h"
#include "hub.h"
#include "json.h"

#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 200
#define GAP_MS  250
#define DAY     86400L
#define CROWDS  16 /* idle: processes that connect at the same time */

static const unsigned waiting[] = {1, 4, 16};

/* ---- common ---- */

static uint64_t read_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

static uint64_t cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void pin(unsigned core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *values, unsigned n, double q)
{
    qsort(values, n, sizeof(*values), by_value);
    return values[(unsigned)((double)(n - 1) * q + 0.5)];
}

struct bench {
    struct tidings_hub *hub;
    struct loop *loop;
    struct sockaddr_in address, bare_address;
    int bare_listener;
    SSL_CTX *bare_ctx; /* of the server */
    SSL **bare;
    unsigned connections, rounds;
    unsigned first; /* number of a child's first reader */
    char dir[32], cert[64], key[64];
    char payload[PAYLOAD + 1];
};

static uint64_t count_of(const struct bench *b, const char *what)
{
    const struct stats *s = &b->loop->stats;
    return strcmp(what, "handshakes") == 0 ? atomic_load(&s->tls_handshakes)
           : strcmp(what, "resumed") == 0  ? atomic_load(&s->tls_resumed)
                                           : atomic_load(&s->delivered);
}

/* ---- the child ---- */

static SSL_CTX *client_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx)
        die("SSL_CTX_new");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    return ctx;
}

static int connect_to(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        die("connect");
    return fd;
}

static SSL *handshake(SSL_CTX *ctx, int fd, SSL_SESSION *session)
{
    SSL *ssl = SSL_new(ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1 || (session && SSL_set_session(ssl, session) != 1) ||
        SSL_connect(ssl) != 1)
        die("SSL_connect");
    return ssl;
}

/* The session is given up once the request is sent: what comes is read and thrown away as it is. */
static int subscribe(SSL_CTX *ctx, const struct sockaddr_in *to, unsigned i, bool asks)
{
    char request[128];
    int fd = connect_to(to);
    SSL *ssl = handshake(ctx, fd, NULL);
    int n = snprintf(request, sizeof(request),
                     "GET /api/sse/subscribe/c%u HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
    if (asks && SSL_write(ssl, request, n) != n)
        die("SSL_write");
    SSL_free(ssl);
    return fd;
}

static void read_for_ever(int epfd)
{
    static char buffer[1 << 20];
    struct epoll_event events[512];
    for (;;) {
        int n = epoll_wait(epfd, events, 512, -1);
        for (int i = 0; i < n; i++)
            if (recv(events[i].data.fd, buffer, sizeof(buffer), MSG_DONTWAIT) == 0)
                _exit(0);
    }
}

static void run_readers(const struct bench *b, bool bare)
{
    SSL_CTX *ctx = client_ctx();
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < (bare ? 2 * b->connections : b->connections); i++) {
        bool ours = i < b->connections;
        int fd = subscribe(ctx, ours ? &b->address : &b->bare_address, b->first + i, ours);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
    }
    read_for_ever(epfd);
}

static SSL_SESSION *ticket;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

/* Connect, handshake, one small request and its whole answer, close: again and again. */
static void run_visitors(const struct bench *b, bool resume)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    SSL_CTX *ctx = client_ctx();
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    for (;;) {
        char answer[4096];
        int fd = connect_to(&b->address);
        SSL *ssl = handshake(ctx, fd, resume ? ticket : NULL);
        SSL_write(ssl, request, sizeof(request) - 1);
        while (SSL_read(ssl, answer, sizeof(answer)) > 0)
            ;
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or the ticket would be void */
        SSL_free(ssl);
        struct linger now = {.l_onoff = 1, .l_linger = 0}; /* TIME_WAIT would use up the ports */
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
    }
}

static pid_t start_child(struct bench *b, void (*run)(const struct bench *b, bool way), bool way)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    pin((unsigned)sysconf(_SC_NPROCESSORS_ONLN) - 1);
    run(b, way);
    _exit(1);
}

static void end_child(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- the hub ---- */

static void make_certificate(struct bench *b, const char *type)
{
    struct certificate c = certificate_make("localhost", type, -DAY, 30 * DAY);
    snprintf(b->dir, sizeof(b->dir), "/tmp/bench-tls-XXXXXX");
    if (!c.key || !mkdtemp(b->dir))
        die("a certificate");
    snprintf(b->cert, sizeof(b->cert), "%s/cert.pem", b->dir);
    snprintf(b->key, sizeof(b->key), "%s/key.pem", b->dir);
    if (!certificate_write(&c, b->cert, b->key))
        die(b->cert);
    certificate_drop(&c);
}

static void start_hub(struct bench *b, const char *type)
{
    struct tidings_config config;
    char url[160];
    make_certificate(b, type);
    tidings_config_init(&config);
    config.loops = 1;
    config.max_connections = 0;
    config.heartbeat = 0; /* nothing else may happen while a round is timed */
    config.max_connection_age = 0;
    config.head_timeout = config.idle_timeout = 0;
    config.tls_cert = b->cert;
    config.tls_key = b->key;
    if (tidings_hub_create(&b->hub, &config) < 0 ||
        tidings_hub_listen(b->hub, "https://127.0.0.1:0", url, sizeof(url)) < 0 || hub_prepare(b->hub) < 0)
        die("hub");
    b->loop = &hub_service(b->hub)->loops[0];
    b->address = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void stop_hub(struct bench *b)
{
    tidings_hub_destroy(b->hub);
    unlink(b->cert);
    unlink(b->key);
    rmdir(b->dir);
}

static void turn_for(struct bench *b, unsigned ms)
{
    uint64_t end = now_ns() + (uint64_t)ms * 1000000;
    while (now_ns() < end)
        worker_turn(b->loop, 50);
}

static void turn_until_joined(struct bench *b)
{
    while (tidings_total_connections(b->hub) < b->connections)
        worker_turn(b->loop, 100);
}

/* ---- fan-out ---- */

/* The same rules as the hub's, so that the same cipher is used and the same memory is touched. */
static void open_bare_listener(struct bench *b)
{
    int one = 1;
    socklen_t len = sizeof(b->bare_address);
    b->bare_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(b->bare_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (SSL_CTX_use_certificate_chain_file(b->bare_ctx, b->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(b->bare_ctx, b->key, SSL_FILETYPE_PEM) != 1)
        die("the bare context");
    b->bare_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    b->bare_address = b->address;
    b->bare_address.sin_port = 0;
    setsockopt(b->bare_listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (bind(b->bare_listener, (struct sockaddr *)&b->bare_address, sizeof(b->bare_address)) < 0 ||
        listen(b->bare_listener, 128) < 0 ||
        getsockname(b->bare_listener, (struct sockaddr *)&b->bare_address, &len) < 0)
        die("the bare listener");
}

static void accept_bare(struct bench *b)
{
    b->bare = calloc(b->connections, sizeof(*b->bare));
    for (unsigned i = 0; i < b->connections; i++) {
        int fd = accept(b->bare_listener, NULL, NULL);
        b->bare[i] = SSL_new(b->bare_ctx);
        if (fd < 0 || !b->bare[i] || SSL_set_fd(b->bare[i], fd) != 1 || SSL_accept(b->bare[i]) != 1)
            die("SSL_accept");
    }
}

static void drop_bare(struct bench *b)
{
    for (unsigned i = 0; i < b->connections; i++) {
        close(SSL_get_fd(b->bare[i]));
        SSL_free(b->bare[i]);
    }
    free(b->bare);
    close(b->bare_listener);
    SSL_CTX_free(b->bare_ctx);
}

static double hub_round(struct bench *b, unsigned count)
{
    uint64_t before = count_of(b, "delivered"), want = (uint64_t)count * b->connections, start = cpu_ns();
    for (unsigned i = 0; i < count; i++)
        if (tidings_broadcast(b->hub, "notification", b->payload, PAYLOAD) != (int)b->connections)
            die("a broadcast did not reach everybody");
    while (count_of(b, "delivered") - before < want)
        worker_turn(b->loop, 0);
    return (double)(cpu_ns() - start) / (double)want;
}

static double bare_round(struct bench *b, const char *bytes, size_t n)
{
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < b->connections; i++)
        if (SSL_write(b->bare[i], bytes, (int)n) != (int)n)
            die("SSL_write");
    return (double)(cpu_ns() - start) / b->connections;
}

static struct event *sample_event(struct bench *b)
{
    struct json_error error;
    struct event *e = event_create(SPAN("notification"), (struct span){b->payload, PAYLOAD}, &error);
    if (!e)
        die("event");
    event_stamp(e, "00000000000", 1, 0);
    return e;
}

static void fanout_row(struct bench *b, unsigned count, const char *end)
{
    struct event *e = sample_event(b);
    struct span bytes = event_frame(e);
    char *piece = malloc(bytes.len * count);
    double *hub = calloc(b->rounds, sizeof(double)), *bare = calloc(b->rounds, sizeof(double)),
           *merged = calloc(b->rounds, sizeof(double)), *ratio = calloc(b->rounds, sizeof(double));
    for (unsigned i = 0; i < count; i++)
        memcpy(piece + i * bytes.len, bytes.p, bytes.len);
    for (unsigned i = 0; i < b->rounds; i++) {
        turn_for(b, GAP_MS);
        hub[i] = hub_round(b, count);
        turn_for(b, GAP_MS);
        bare[i] = bare_round(b, bytes.p, bytes.len);
        turn_for(b, GAP_MS);
        merged[i] = bare_round(b, piece, bytes.len * count) / count;
        ratio[i] = hub[i] / bare[i];
    }
    double middle = quantile(ratio, b->rounds, 0.5), h = quantile(hub, b->rounds, 0.5),
           s = quantile(bare, b->rounds, 0.5), m = quantile(merged, b->rounds, 0.5);
    fprintf(stderr, "%11u  %7u  %12.0f  %19.0f  %21.0f  %6.3f  (%.3f to %.3f)\n", b->connections, count, h, s,
            m, middle, ratio[0], ratio[b->rounds - 1]);
    printf("{\"connections\":%u,\"waiting\":%u,\"hub_ns_per_event\":%.0f,\"bare_ssl_write_ns\":%.0f,"
           "\"bare_merged_ns_per_event\":%.0f,\"ratio_median\":%.3f,\"ratio_min\":%.3f,\"ratio_max\":%.3f,"
           "\"rounds\":%u,\"bytes\":%zu}%s",
           b->connections, count, h, s, m, middle, ratio[0], ratio[b->rounds - 1], b->rounds, bytes.len, end);
    free(hub);
    free(bare);
    free(merged);
    free(ratio);
    free(piece);
    event_unref(e);
}

static void fanout(struct bench *b)
{
    start_hub(b, "EC");
    open_bare_listener(b);
    pid_t child = start_child(b, run_readers, true);
    turn_until_joined(b);
    accept_bare(b);
    turn_for(b, 8 * GAP_MS);
    fprintf(
        stderr,
        "connections  waiting  hub ns/event  bare SSL_write() ns  bare, merged, ns/event   ratio  (min to "
        "max), %u rounds, %s\n",
        b->rounds, SSL_get_cipher(b->bare[0]));
    printf("{\"name\":\"tls-fanout\",\"cipher\":\"%s\",\"rows\":[", SSL_get_cipher(b->bare[0]));
    for (unsigned i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++)
        fanout_row(b, waiting[i], i + 1 < sizeof(waiting) / sizeof(waiting[0]) ? "," : "]}\n");
    end_child(child);
    drop_bare(b);
    stop_hub(b);
}

/* ---- idle ---- */

static double resident(void)
{
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "Rss: %lf kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb * 1024;
}

static void idle(struct bench *b)
{
    start_hub(b, "EC");
    turn_for(b, GAP_MS);
    double before = resident();
    pid_t children[CROWDS];
    uint64_t start = now_ns();
    unsigned all = b->connections;
    b->connections = all / CROWDS; /* what each child takes for the whole */
    for (unsigned i = 0; i < CROWDS; i++, b->first += b->connections)
        children[i] = start_child(b, run_readers, false);
    b->connections *= CROWDS;
    turn_until_joined(b);
    double seconds = (double)(now_ns() - start) / 1e9;
    turn_for(b, 4 * GAP_MS);
    double bytes = (resident() - before) / b->connections;
    fprintf(stderr, "%u quiet streams over TLS: %.0f bytes resident for each; opened in %.1f s\n",
            b->connections, bytes, seconds);
    printf("{\"name\":\"tls-idle\",\"connections\":%u,\"bytes_per_connection\":%.0f,\"seconds\":%.2f}\n",
           b->connections, bytes, seconds);
    for (unsigned i = 0; i < CROWDS; i++)
        end_child(children[i]);
    stop_hub(b);
}

/* ---- handshakes ---- */

static void handshakes_row(struct bench *b, const char *type, bool resume, unsigned seconds, const char *end)
{
    start_hub(b, type);
    pid_t child = start_child(b, run_visitors, resume);
    turn_for(b, 500);
    uint64_t count = count_of(b, "handshakes"), resumed = count_of(b, "resumed"), wall = now_ns(),
             cpu = cpu_ns();
    turn_for(b, seconds * 1000);
    double n = (double)(count_of(b, "handshakes") - count), r = (double)(count_of(b, "resumed") - resumed);
    double wall_s = (double)(now_ns() - wall) / 1e9, cpu_us = (double)(cpu_ns() - cpu) / 1e3 / n;
    fprintf(stderr, "%-8s  %-7s  %8.0f  %8.0f  %12.0f  %13.0f\n",
            strcmp(type, "EC") == 0 ? "P-256" : "RSA-2048", resume ? "resumed" : "full", n, r, n / wall_s,
            cpu_us);
    printf("{\"key\":\"%s\",\"resumed\":%s,\"handshakes\":%.0f,\"with_ticket\":%.0f,\"per_second\":%.0f,"
           "\"server_cpu_us\":%.1f,\"per_core_second\":%.0f}%s",
           type, resume ? "true" : "false", n, r, n / wall_s, cpu_us, 1e6 / cpu_us, end);
    end_child(child);
    turn_for(b, 50);
    stop_hub(b);
}

static void handshakes(struct bench *b, unsigned seconds)
{
    fprintf(stderr, "key       kind        number    resumed  handshakes/s  server CPU µs\n");
    printf("{\"name\":\"tls-handshakes\",\"rows\":[");
    handshakes_row(b, "EC", false, seconds, ",");
    handshakes_row(b, "EC", true, seconds, ",");
    handshakes_row(b, "RSA", false, seconds, ",");
    handshakes_row(b, "RSA", true, seconds, "]}\n");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    unsigned number = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    struct bench b = {.rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 15};
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    memset(b.payload, 'x', PAYLOAD);
    b.payload[0] = b.payload[PAYLOAD - 1] = '"';
    pin(0);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16); /* a child has nothing of it to say */
    b.connections = number > 0 ? number : 4000;
    if (strcmp(mode, "fanout") == 0)
        fanout(&b);
    else if (strcmp(mode, "idle") == 0)
        idle(&b);
    else if (strcmp(mode, "handshakes") == 0)
        handshakes(&b, number > 0 ? number : 3);
    else
        return fprintf(stderr, "usage: bench_tls fanout|idle|handshakes [number [rounds]]\n"), 2;
    return 0;
}
