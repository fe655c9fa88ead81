/* SPDX-License-Identifier: MIT
 *
 * bench_gzip - what compressed streams save and cost: broadcasts to readers of gzip, to readers of plain
 * text, and by a loop in which every connection has a compressor of its own, in the same run.
 *
 * As in bench_fanout the loops run in this thread, on core 0, and a child process on the last core holds the
 * other ends. The loop of compressors is the best of its kind: what waits is compressed in one piece, leaves
 * with one send(), and may refer to all that its reader has had. What is timed is this thread's processor
 * time.
 *
 *     bench_gzip [connections [rounds]]          prints a table, then one JSON object
 */
#include "hub.h"
#include "json.h"
#include "payload.h"

#include <zlib.h>

#include <arpa/inet.h>
#include <malloc.h>
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

#define GAP_MS      150
#define MOST        PAYLOAD_MAX
#define MOST_EVENTS 16

static const unsigned sizes[] = {130, 366, 2000};
static const unsigned waiting[] = {1, MOST_EVENTS};

static uint64_t read_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
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

enum way { SHARED, PLAIN, OWN, WAYS };

struct side { /* one hub */
    struct tidings_hub *hub;
    struct loop *loop;
    struct sockaddr_in address;
};

struct bench {
    struct side sides[OWN];
    struct sockaddr_in address; /* of the loop of compressors */
    int listener;
    int *fds;
    z_stream *own;
    size_t own_memory; /* of all of them */
    unsigned connections, rounds;
    unsigned number; /* of the next event */
};

struct result {
    double ns;    /* a delivery */
    double bytes; /* a delivery */
};

/* ---- the child ---- */

static int connect_to(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        die("connect");
    return fd;
}

static void subscribe(int fd, unsigned i, bool gzip)
{
    char request[160];
    int n =
        snprintf(request, sizeof(request), "GET /api/sse/subscribe/c%u HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                 i, gzip ? "Accept-Encoding: gzip\r\n" : "");
    if (write(fd, request, (size_t)n) != n)
        die("write");
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

static void run_child(const struct bench *b)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin((unsigned)sysconf(_SC_NPROCESSORS_ONLN) - 1);
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < b->connections * WAYS; i++) {
        enum way way = (enum way)(i % WAYS);
        int fd = connect_to(way == OWN ? &b->address : &b->sides[way].address);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (way != OWN)
            subscribe(fd, i, way == SHARED);
        epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
    }
    read_for_ever(epfd);
}

/* ---- the ways ---- */

static void start_hub(struct side *s)
{
    struct tidings_config config;
    char url[160];
    tidings_config_init(&config);
    config.loops = 1;
    config.max_connections = 0;
    config.heartbeat = 0; /* nothing else may happen while a round is timed */
    config.max_connection_age = 0;
    config.head_timeout = config.idle_timeout = 0;
    if (tidings_hub_create(&s->hub, &config) < 0 ||
        tidings_hub_listen(s->hub, "127.0.0.1:0", url, sizeof(url)) < 0 || hub_prepare(s->hub) < 0)
        die("hub");
    s->loop = &hub_service(s->hub)->loops[0];
    s->address = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void open_listener(struct bench *b)
{
    socklen_t len = sizeof(b->address);
    b->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(b->listener, (struct sockaddr *)&b->address, len) < 0 || listen(b->listener, 4096) < 0 ||
        getsockname(b->listener, (struct sockaddr *)&b->address, &len) < 0)
        die("listener");
}

static size_t in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void accept_own(struct bench *b)
{
    b->fds = calloc(b->connections, sizeof(*b->fds));
    b->own = calloc(b->connections, sizeof(*b->own));
    size_t before = in_use();
    for (unsigned i = 0; i < b->connections; i++) {
        b->fds[i] = accept(b->listener, NULL, NULL);
        if (b->fds[i] < 0 || deflateInit2(&b->own[i], Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, 0) != Z_OK)
            die("accept");
    }
    b->own_memory = in_use() - before;
}

static void turn_for(struct bench *b, unsigned ms)
{
    uint64_t end = read_ns(CLOCK_MONOTONIC) + (uint64_t)ms * 1000000;
    while (read_ns(CLOCK_MONOTONIC) < end)
        for (unsigned i = 0; i < OWN; i++)
            worker_turn(b->sides[i].loop, 5);
}

static struct result hub_round(struct bench *b, struct side *s, unsigned size, unsigned count)
{
    char payload[MOST + 1];
    uint64_t want = (uint64_t)count * b->connections, before = atomic_load(&s->loop->stats.delivered),
             bytes = atomic_load(&s->loop->stats.sent_bytes), start = cpu_ns();
    for (unsigned i = 0; i < count; i++) {
        size_t len = payload_make(payload, size, b->number + i);
        if (tidings_broadcast(s->hub, "notification", payload, len) != (int)b->connections)
            die("a broadcast did not reach everybody");
    }
    while (atomic_load(&s->loop->stats.delivered) - before < want)
        worker_turn(s->loop, 0);
    return (struct result){
        .ns = (double)(cpu_ns() - start) / (double)want,
        .bytes = (double)(atomic_load(&s->loop->stats.sent_bytes) - bytes) / (double)want,
    };
}

/* The text of the events, as the hub would write it. */
static size_t make_text(struct bench *b, char *out, unsigned size, unsigned count)
{
    char payload[MOST + 1];
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        struct json_error error;
        size_t n = payload_make(payload, size, b->number + i);
        struct event *e = event_create(SPAN("notification"), (struct span){payload, n}, &error);
        if (!e)
            die("event");
        event_stamp(e, "00000000000", b->number + i + 1, 0);
        memcpy(out + len, event_text(e).p, event_text(e).len);
        len += event_text(e).len;
        event_unref(e);
    }
    return len;
}

static struct result own_round(struct bench *b, unsigned size, unsigned count)
{
    static char text[MOST_EVENTS * (MOST + 256)], out[2 * sizeof(text)];
    size_t len = make_text(b, text, size, count), sent = 0;
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < b->connections; i++) {
        z_stream *z = &b->own[i];
        z->next_in = (unsigned char *)text;
        z->avail_in = (uInt)len;
        z->next_out = (unsigned char *)out + 8;
        z->avail_out = sizeof(out) - 16;
        if (deflate(z, Z_SYNC_FLUSH) != Z_OK)
            die("deflate");
        size_t n = sizeof(out) - 16 - z->avail_out;
        char *at = out + 8 - snprintf(NULL, 0, "%zx\r\n", n);
        char first = out[8];
        snprintf(at, 9, "%zx\r\n", n);
        out[8] = first;
        memcpy(out + 8 + n, "\r\n", 2);
        size_t whole = (size_t)(out + 8 + n + 2 - at);
        if (send(b->fds[i], at, whole, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)whole)
            die("send");
        sent += whole;
    }
    double all = (double)count * b->connections;
    return (struct result){.ns = (double)(cpu_ns() - start) / all, .bytes = (double)sent / all};
}

/* ---- tables ---- */

static int by_ns(const void *a, const void *b)
{
    double x = ((const struct result *)a)->ns, y = ((const struct result *)b)->ns;
    return (x > y) - (x < y);
}

static void row(struct bench *b, unsigned size, unsigned count, const char *end)
{
    static struct result results[WAYS][256];
    struct result middle[WAYS] = {0};
    for (unsigned i = 0; i < b->rounds; i++, b->number += count)
        for (unsigned w = 0; w < WAYS; w++) {
            turn_for(b, GAP_MS);
            results[w][i] = w == OWN ? own_round(b, size, count) : hub_round(b, &b->sides[w], size, count);
            middle[w].bytes += results[w][i].bytes / b->rounds;
        }
    for (unsigned w = 0; w < WAYS; w++) {
        qsort(results[w], b->rounds, sizeof(results[w][0]), by_ns);
        middle[w].ns = results[w][b->rounds / 2].ns;
    }
    fprintf(stderr, "%7u  %7u  %8.0f  %8.0f  %8.0f  %8.0f  %8.0f  %8.0f\n", size, count, middle[PLAIN].ns,
            middle[SHARED].ns, middle[OWN].ns, middle[PLAIN].bytes, middle[SHARED].bytes, middle[OWN].bytes);
    printf("{\"payload\":%u,\"waiting\":%u,\"plain_ns\":%.0f,\"shared_ns\":%.0f,\"own_ns\":%.0f,"
           "\"plain_bytes\":%.1f,\"shared_bytes\":%.1f,\"own_bytes\":%.1f}%s",
           size, count, middle[PLAIN].ns, middle[SHARED].ns, middle[OWN].ns, middle[PLAIN].bytes,
           middle[SHARED].bytes, middle[OWN].bytes, end);
}

static void rows(struct bench *b)
{
    unsigned n = sizeof(sizes) / sizeof(sizes[0]), m = sizeof(waiting) / sizeof(waiting[0]);
    fprintf(stderr, "                        ns a delivery                bytes a delivery\n"
                    "payload  waiting     plain    shared       own     plain    shared       own\n");
    printf("{\"name\":\"gzip\",\"connections\":%u,\"rounds\":%u,\"own_memory\":%zu,\"rows\":[",
           b->connections, b->rounds, b->own_memory / b->connections);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < m; k++)
            row(b, sizes[i], waiting[k], i + 1 < n || k + 1 < m ? "," : "]}\n");
    fprintf(stderr,
            "%u readers of each kind, medians of %u rounds; a compressor of one's own takes %zu bytes\n",
            b->connections, b->rounds, b->own_memory / b->connections);
}

int main(int argc, char **argv)
{
    struct bench b = {.connections = argc > 1 ? (unsigned)atoi(argv[1]) : 1000,
                      .rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15};
    struct rlimit files;
    if (b.connections == 0 || b.rounds == 0 || b.rounds > 256)
        return fprintf(stderr, "usage: bench_gzip [connections [rounds]]\n"), 2;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    start_hub(&b.sides[SHARED]);
    start_hub(&b.sides[PLAIN]);
    open_listener(&b);
    pid_t child = fork();
    if (child == 0)
        run_child(&b);
    pin(0);
    for (unsigned i = 0; i < OWN; i++)
        while (tidings_total_connections(b.sides[i].hub) < b.connections)
            turn_for(&b, 10);
    accept_own(&b);
    turn_for(&b, 8 * GAP_MS);
    rows(&b);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    for (unsigned i = 0; i < OWN; i++)
        tidings_hub_destroy(b.sides[i].hub);
    for (unsigned i = 0; i < b.connections; i++) {
        deflateEnd(&b.own[i]);
        close(b.fds[i]);
    }
    close(b.listener);
    free(b.own);
    free(b.fds);
    return 0;
}
