/* SPDX-License-Identifier: MIT
 *
 * bench_fanout - what one broadcast costs, against a bare send() loop over the same sockets in the same run.
 *
 * The hub's loop runs in this thread, on core 0 (worker_turn() is called directly), so that what is measured
 * is the work and nothing else: publish, one turn, every socket written. A child process on the last core
 * holds the other ends and reads. Rounds are interleaved (hub, bare loop with one event,
 * bare loop with all waiting events in one piece, hub, …) and 250 ms apart, because sockets that are written
 * more often fall into delayed acknowledgement and look cheaper than they are.
 *
 *     bench_fanout [connections [rounds]]        prints a table, then one JSON object
 */
#include "hub.h"
#include "json.h"

#include <arpa/inet.h>
#include <errno.h>
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

static const unsigned waiting[] = {1, 4, 16, 64};

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

/* What is timed is this thread's processor time: over loopback it holds the whole way into the receiver's
 * queue, and it does not hold what other programs do on the core meanwhile. */
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

/* ---- the child: connects, reads, counts nothing ---- */

static int subscribe(const struct sockaddr_in *to, unsigned i)
{
    char request[128];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        die("connect");
    int n = snprintf(request, sizeof(request),
                     "GET /api/sse/subscribe/c%u HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
    if (write(fd, request, (size_t)n) != n)
        die("write");
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

static void run_child(const struct sockaddr_in *to, unsigned connections)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin((unsigned)sysconf(_SC_NPROCESSORS_ONLN) - 1);
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = subscribe(to, i)};
        epoll_ctl(epfd, EPOLL_CTL_ADD, e.data.fd, &e);
    }
    read_for_ever(epfd);
}

/* ---- the hub ---- */

struct bench {
    struct tidings_hub *hub;
    struct loop *loop;
    unsigned connections;
    unsigned rounds;
    int *fds; /* the hub's ends */
    char payload[PAYLOAD + 1];
};

static void turn_until(struct bench *b, unsigned connections)
{
    while (tidings_total_connections(b->hub) < connections)
        worker_turn(b->loop, 100);
}

static void drain_gap(struct bench *b)
{
    uint64_t end = now_ns() + (uint64_t)GAP_MS * 1000000;
    while (now_ns() < end)
        worker_turn(b->loop, 50);
}

static void collect_fds(struct bench *b)
{
    unsigned n = 0;
    b->fds = calloc(b->connections, sizeof(int));
    for (uint32_t i = 0; i < slab_end(&b->loop->conns); i++) {
        struct conn *c = slab_get(&b->loop->conns, i);
        if (c && c->state == CONN_STREAM && n < b->connections)
            b->fds[n++] = c->fd;
    }
    if (n != b->connections) {
        fprintf(stderr, "%u of %u streams\n", n, b->connections);
        exit(1);
    }
}

static uint64_t delivered(const struct bench *b)
{
    return atomic_load(&b->loop->stats.delivered);
}

static void publish(struct bench *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (tidings_broadcast(b->hub, "notification", b->payload, PAYLOAD) != (int)b->connections) {
            fprintf(stderr, "a broadcast did not reach everybody\n");
            exit(1);
        }
}

/* ns for each delivered event; every delivery is checked by the hub's own count of bytes taken. */
static double hub_round(struct bench *b, unsigned count)
{
    uint64_t before = delivered(b), start = cpu_ns(), want = (uint64_t)count * b->connections;
    publish(b, count);
    while (delivered(b) - before < want)
        worker_turn(b->loop, 0);
    return (double)(cpu_ns() - start) / (double)want;
}

/* The same bytes as one event of the hub, by the cheapest call there is. */
static double bare_round(struct bench *b, const char *bytes, size_t n)
{
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < b->connections; i++)
        if (send(b->fds[i], bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
            die("send");
    return (double)(cpu_ns() - start) / b->connections;
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

static struct event *sample_event(struct bench *b)
{
    struct json_error error;
    struct event *e = event_create(SPAN("notification"), (struct span){b->payload, PAYLOAD}, &error);
    if (!e)
        exit(1);
    event_stamp(e, "00000000000", 1, 0);
    return e;
}

/* What is measured in turn, round after round. */
enum kind { HUB, BARE, BARE_MERGED, KINDS };

struct figures {
    double ns[KINDS]; /* medians, an event */
    double ratio, lowest, highest;
};

/* The bytes of `count` events in one piece: what the kernel asks for them when nobody else takes part. */
static char *merge(struct span bytes, unsigned count)
{
    char *piece = malloc(bytes.len * count);
    for (unsigned i = 0; piece && i < count; i++)
        memcpy(piece + i * bytes.len, bytes.p, bytes.len);
    if (!piece)
        die("malloc");
    return piece;
}

static void measure(struct bench *b, unsigned count, struct span bytes, struct figures *f)
{
    double *ns[KINDS], *ratio = calloc(b->rounds, sizeof(double));
    char *piece = merge(bytes, count);
    for (unsigned k = 0; k < KINDS; k++)
        ns[k] = calloc(b->rounds, sizeof(double));
    for (unsigned i = 0; i < b->rounds; i++) {
        drain_gap(b);
        ns[HUB][i] = hub_round(b, count);
        drain_gap(b);
        ns[BARE][i] = bare_round(b, bytes.p, bytes.len);
        drain_gap(b);
        ns[BARE_MERGED][i] = bare_round(b, piece, bytes.len * count) / count;
        ratio[i] = ns[HUB][i] / ns[BARE][i];
    }
    f->ratio = quantile(ratio, b->rounds, 0.5);
    f->lowest = ratio[0];
    f->highest = ratio[b->rounds - 1];
    for (unsigned k = 0; k < KINDS; k++) {
        f->ns[k] = quantile(ns[k], b->rounds, 0.5);
        free(ns[k]);
    }
    free(ratio);
    free(piece);
}

static void row(struct bench *b, unsigned count, const char *end)
{
    struct event *e = sample_event(b);
    struct figures f;
    measure(b, count, event_frame(e), &f);
    fprintf(stderr, "%11u  %7u  %12.0f  %14.0f  %21.0f  %6.3f  (%.3f to %.3f)\n", b->connections, count,
            f.ns[HUB], f.ns[BARE], f.ns[BARE_MERGED], f.ratio, f.lowest, f.highest);
    printf("{\"connections\":%u,\"waiting\":%u,\"hub_ns_per_event\":%.0f,\"bare_send_ns\":%.0f,"
           "\"bare_merged_ns_per_event\":%.0f,\"ratio_median\":%.3f,\"ratio_min\":%.3f,\"ratio_max\":%.3f,"
           "\"rounds\":%u,\"bytes\":%zu}%s",
           b->connections, count, f.ns[HUB], f.ns[BARE], f.ns[BARE_MERGED], f.ratio, f.lowest, f.highest,
           b->rounds, event_frame(e).len, end);
    event_unref(e);
}

static void start_hub(struct bench *b, struct sockaddr_in *address)
{
    struct tidings_config config;
    char url[160];
    tidings_config_init(&config);
    config.loops = 1;
    config.max_connections = 0;
    config.heartbeat = 0; /* nothing else may happen while a round is timed */
    config.max_connection_age = 0;
    config.head_timeout = config.idle_timeout = 0;
    if (tidings_hub_create(&b->hub, &config) < 0 ||
        tidings_hub_listen(b->hub, "127.0.0.1:0", url, sizeof(url)) < 0 || hub_prepare(b->hub) < 0)
        die("hub");
    b->loop = &hub_service(b->hub)->loops[0];
    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int main(int argc, char **argv)
{
    struct bench b = {.connections = argc > 1 ? (unsigned)atoi(argv[1]) : 10000,
                      .rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15};
    struct sockaddr_in address;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    memset(b.payload, 'x', PAYLOAD);
    b.payload[0] = b.payload[PAYLOAD - 1] = '"';
    start_hub(&b, &address);
    pid_t child = fork();
    if (child == 0)
        run_child(&address, b.connections);
    pin(0);
    turn_until(&b, b.connections);
    for (unsigned i = 0; i < 8; i++)
        drain_gap(&b);
    collect_fds(&b);
    fprintf(stderr,
            "connections  waiting  hub ns/event  bare send() ns  bare, merged, ns/event   ratio  (min to "
            "max), %u rounds\n",
            b.rounds);
    printf("{\"name\":\"fanout\",\"rows\":[");
    for (unsigned i = 0; i < sizeof(waiting) / sizeof(waiting[0]); i++)
        row(&b, waiting[i], i + 1 < sizeof(waiting) / sizeof(waiting[0]) ? "," : "]}\n");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tidings_hub_destroy(b.hub);
    free(b.fds);
    return 0;
}
