/* SPDX-License-Identifier: MIT
 *
 * bench_forms - the compressed forms of events, without connections and with one hub.
 *
 * First the time to make one: shared, behind the broadcasts before it in its epoch, and alone. In a row, as
 * in a burst, and cold: before each one 64 MiB of other memory are read. Then the memory: a hub is filled
 * with 32 MiB of broadcasts in front of a reader of gzip, and a second one reads all of that history,
 * between small events of its own, so that it is sent the form that was made alone. The payloads are random
 * letters, which hardly shrink: the worst case.
 *
 *     bench_forms [rounds]          prints tables, then one JSON object
 */
#include "hub.h"
#include "json.h"
#include "payload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 4096
#define OTHER      (64u << 20)
#define RANDOM     2000 /* bytes of a payload of the second part */

static const unsigned sizes[] = {130, 366, 2000};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- time ---- */

static void forget_caches(void)
{
    static volatile unsigned char *other;
    if (!other) {
        other = malloc(OTHER);
        if (!other)
            die("memory");
        memset((void *)(uintptr_t)other, 1, OTHER);
    }
    for (size_t i = 0; i < OTHER; i += 64)
        (void)other[i];
}

static struct event *make_event(unsigned size, unsigned n)
{
    char payload[PAYLOAD_MAX + 1];
    struct json_error error;
    size_t len = payload_make(payload, size, n);
    struct event *e = event_create(SPAN("notification"), (struct span){payload, len}, &error);
    if (!e)
        die("event");
    event_stamp(e, "00000000000", n, 0);
    return e;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median, in microseconds. */
static double time_form(unsigned size, bool shared, bool cold, unsigned rounds)
{
    static double us[ROUNDS_MAX];
    struct gzip g;
    const struct gzip_reader r = {0};
    gzip_init(&g);
    for (unsigned i = 0; i < rounds; i++) {
        struct event *e = make_event(size, i + 1);
        if (cold)
            forget_caches();
        uint64_t start = cpu_ns();
        /* A reader out of step would be given the other form as well: whoever asks for this one is in step.
         */
        struct gzip_reader in_step = {.epoch = g.epoch, .next = g.index};
        if (!gzip_pick(&g, shared ? &in_step : &r, e, shared))
            die("gzip");
        us[i] = (double)(cpu_ns() - start) / 1000;
        event_unref(e);
    }
    if (atomic_load(&g.events) != rounds)
        die("another form was made as well");
    gzip_finish(&g);
    qsort(us, rounds, sizeof(us[0]), by_value);
    return us[rounds / 2];
}

static void times(unsigned rounds)
{
    unsigned n = sizeof(sizes) / sizeof(sizes[0]);
    fprintf(stderr, "           in a row, us          cold, us\n"
                    "payload  shared   alone   shared   alone\n");
    printf("{\"name\":\"forms\",\"rounds\":%u,\"us\":[", rounds);
    for (unsigned i = 0; i < n; i++) {
        double us[4];
        for (unsigned k = 0; k < 4; k++)
            us[k] = time_form(sizes[i], k % 2 == 0, k >= 2, k < 2 ? rounds : (rounds + 7) / 8);
        fprintf(stderr, "%7u %7.1f %7.1f  %7.1f %7.1f\n", sizes[i], us[0], us[1], us[2], us[3]);
        printf("{\"payload\":%u,\"shared\":%.1f,\"alone\":%.1f,\"cold_shared\":%.1f,\"cold_alone\":%.1f}%s",
               sizes[i], us[0], us[1], us[2], us[3], i + 1 < n ? "," : "],");
    }
}

/* ---- memory ---- */

struct world {
    struct tidings_hub *hub;
    struct loop *loop;
    struct log *log;
    struct gzip *gzip;
    struct sockaddr_in address;
};

static double in_use_mib(void)
{
    struct mallinfo2 m = mallinfo2();
    return (double)(m.uordblks + m.hblkhd) / (1 << 20);
}

static void start_hub(struct world *w)
{
    struct tidings_config config;
    char url[160];
    tidings_config_init(&config);
    config.loops = 1;
    config.heartbeat = 0;
    config.head_timeout = config.idle_timeout = 0;
    config.history_size = 10000000;
    config.history_bytes = 0;
    if (tidings_hub_create(&w->hub, &config) < 0 ||
        tidings_hub_listen(w->hub, "127.0.0.1:0", url, sizeof(url)) < 0 || hub_prepare(w->hub) < 0)
        die("hub");
    w->loop = &hub_service(w->hub)->loops[0];
    w->log = hub_service(w->hub)->log;
    w->gzip = hub_service(w->hub)->gzip;
    w->address = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* cursor: a header of who is to be given all that is held; "" otherwise. */
static int subscribe(const struct world *w, const char *client, const char *cursor)
{
    char request[256];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&w->address, sizeof(w->address)) < 0)
        die("connect");
    int n =
        snprintf(request, sizeof(request),
                 "GET /api/sse/subscribe/%s HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n%s\r\n",
                 client, cursor);
    if (write(fd, request, (size_t)n) != n)
        die("write");
    return fd;
}

/* Turns and reads until so many have been delivered. */
static void read_until(const struct world *w, const int *fds, unsigned count, uint64_t delivered)
{
    static char buffer[1 << 18];
    while (atomic_load(&w->loop->stats.delivered) < delivered) {
        worker_turn(w->loop, 0);
        for (unsigned i = 0; i < count; i++)
            while (recv(fds[i], buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
                ;
    }
}

static void publish_random(const struct world *w)
{
    static uint64_t x = 88172645463325252u;
    char payload[RANDOM];
    payload[0] = payload[RANDOM - 1] = '"';
    for (unsigned i = 1; i + 1 < RANDOM; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        payload[i] = (char)(' ' + 3 + (x >> 20) % 56); /* no quotes, no backslash */
    }
    if (tidings_broadcast(w->hub, "notification", payload, RANDOM) != 1 ||
        tidings_send_event(w->hub, "late", "small", "1", 1) < 0)
        die("a broadcast did not reach the reader");
}

static void say(const struct world *w, const char *when, double before, const char *name, const char *end)
{
    double all = in_use_mib() - before, held = (double)w->log->held_bytes / (1 << 20),
           forms = (double)atomic_load(&w->gzip->held_bytes) / (1 << 20);
    fprintf(stderr, "%-28s %7.1f %7.1f %7.1f\n", when, held, forms, all);
    printf("\"%s\":{\"held\":%.1f,\"forms\":%.1f,\"heap\":%.1f}%s", name, held, forms, all, end);
}

static void memory(void)
{
    struct world w;
    int fds[2];
    uint64_t evicted = 0, events = 0;
    double before = in_use_mib();
    start_hub(&w);
    fds[0] = subscribe(&w, "live", "");
    while (tidings_total_connections(w.hub) < 1)
        worker_turn(w.loop, 5);
    fprintf(stderr, "\nMiB                          history   forms    heap\n");
    while (evicted == 0) {
        publish_random(&w);
        read_until(&w, fds, 1, ++events);
        evicted = w.log->evicted;
    }
    say(&w, "one reader heard all of it", before, "live", ",");
    fds[1] = subscribe(&w, "late", "Last-Event-ID: unknown\r\n");
    read_until(&w, fds, 2, events + w.log->held_events);
    say(&w, "another one read all of it", before, "replayed", "}\n");
    close(fds[0]);
    close(fds[1]);
    tidings_hub_destroy(w.hub);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
    if (rounds == 0 || rounds > ROUNDS_MAX)
        return fprintf(stderr, "usage: bench_forms [rounds]\n"), 2;
    times(rounds);
    memory();
    return 0;
}
