/* SPDX-License-Identifier: MIT
 *
 * `tidings bench`: a load generator. One thread, one epoll loop; every number is counted from bytes that were
 * received. This file reads the options, knows the dialects of servers and prints results; the modes are in
 * bench_*.c.
 */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include <jansson.h>

#include "command.h"
#include "options.h"
#include "value.h"

#define AT(field)    .offset = offsetof(struct bench, field)
#define DURATION_MAX UINT64_C(86400000)
#define ANY_CPU      UINT64_MAX
#define ANY_RATE     UINT64_MAX

static const struct option rows[] = {
    {.name = "mode", .kind = OPTION_TEXT, AT(mode_text), .form = "MODE", .help = "instead of the argument"},
    {.name = "connections",
     .kind = OPTION_COUNT,
     AT(connections),
     .min = 1,
     .max = 1000000,
     .form = "N",
     .help = "streams to open [1000]"},
    {.name = "size",
     .kind = OPTION_SIZE,
     AT(size),
     .min = 1,
     .max = 1 << 20,
     .form = "SIZE",
     .help = "bytes of a payload; at least some 60 are used [200]"},
    {.name = "rate",
     .kind = OPTION_COUNT,
     AT(rate),
     .max = 10000000,
     .form = "N",
     .help = "events a second, on schedule whatever happens; 0 = as fast as --inflight allows\n"
             "                            [fanout 10, publish 0]"},
    {.name = "inflight",
     .kind = OPTION_COUNT,
     AT(inflight),
     .min = 1,
     .max = 4096,
     .form = "N",
     .help = "fanout, rate 0: events on their way; publish: posters; connect: at once [16]"},
    {.name = "duration",
     .kind = OPTION_DURATION,
     AT(duration),
     .min = 1,
     .max = DURATION_MAX,
     .form = "DURATION",
     .help = "how long to measure [10s]"},
    {.name = "warmup",
     .kind = OPTION_DURATION,
     AT(warmup),
     .max = DURATION_MAX,
     .form = "DURATION",
     .help = "how long to run before that [1s]"},
    {.name = "server-pid",
     .kind = OPTION_LIST,
     AT(server_pids),
     .form = "PID",
     .help = "process to read CPU time and memory of; repeatable"},
    {.name = "cpu", .kind = OPTION_COUNT, AT(cpu), .max = 1023, .form = "N", .help = "processor to stay on"},
    {.name = "profile",
     .kind = OPTION_TEXT,
     AT(profile_text),
     .form = "NAME",
     .help = "what the server is: tidings or nchan [tidings]"},
    {.name = "json", .kind = OPTION_FLAG, AT(json), .help = "print the result as one JSON object"},
    REMOTE_OPTIONS(struct bench),
};

static const struct option_table table = {
    .command = "bench",
    .usage = "bench [fanout|publish|idle|connect] [--OPTION VALUE]…",
    .about = "Measures a server of event streams.\n"
             "  fanout   events to everybody: deliveries a second, time from publish to receive\n"
             "  publish  events to single clients: events a second, time from publish to receive\n"
             "  idle     open streams and hold them: memory for each\n"
             "  connect  connect, read the head of the answer, close: cycles a second",
    .rows = rows,
    .count = sizeof rows / sizeof *rows};

/* ------------------------------------------------------------------ dialects */

static const char *tidings_subscribe_path(char *out, size_t size, uint64_t reader)
{
    snprintf(out, size, "/api/sse/subscribe/bench-%" PRIu64, reader);
    return out;
}

static const char *tidings_publish_path(char *out, size_t size, uint64_t reader)
{
    (void)reader;
    snprintf(out, size, "/api/sse/notify");
    return out;
}

static const char *tidings_body_head(char *out, size_t size, uint64_t reader)
{
    if (reader == BENCH_ALL)
        snprintf(out, size, "{\"broadcast\":true,\"event\":\"bench\",\"payload\":");
    else
        snprintf(out, size, "{\"clientId\":\"bench-%" PRIu64 "\",\"event\":\"bench\",\"payload\":", reader);
    return out;
}

static const char *nchan_path(char *out, size_t size, const char *verb, uint64_t reader)
{
    if (reader == BENCH_ALL)
        snprintf(out, size, "/%s/all", verb);
    else
        snprintf(out, size, "/%s/bench-%" PRIu64, verb, reader);
    return out;
}

static const char *nchan_subscribe_path(char *out, size_t size, uint64_t reader)
{
    return nchan_path(out, size, "sub", reader);
}

static const char *nchan_publish_path(char *out, size_t size, uint64_t reader)
{
    return nchan_path(out, size, "pub", reader);
}

static const char *nchan_body_head(char *out, size_t size, uint64_t reader)
{
    (void)out;
    (void)size;
    (void)reader;
    return "";
}

static const struct bench_profile profiles[] = {
    {"tidings", false, tidings_subscribe_path, tidings_publish_path, tidings_body_head, "}"},
    {"nchan", true, nchan_subscribe_path, nchan_publish_path, nchan_body_head, ""},
};

size_t bench_subscribe_request(const struct bench *bench, char *out, size_t size, uint64_t reader)
{
    char path[128];
    int n = snprintf(out, size, "GET %s%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n",
                     bench->remote.url.prefix, bench->profile->subscribe_path(path, sizeof path, reader),
                     bench->remote.url.authority, bench->remote.headers);

    return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

size_t bench_publish_room(const struct bench *bench)
{
    return sizeof bench->remote.headers + (size_t)bench->size + 2048;
}

/* The payload is {"r":RUN,"n":SEQ,"t":NS,"p":"x…"}, of bench->size bytes or as short as it can be;
 * readers.c reads it. */
size_t bench_publish_request(const struct bench *bench, char *out, size_t size, uint64_t reader, uint64_t seq,
                             uint64_t time)
{
    char numbers[128], path[128], head[256];
    const char *body_head = bench->profile->body_head(head, sizeof head, reader);
    size_t used = (size_t)snprintf(numbers, sizeof numbers,
                                   "{\"r\":%" PRIu32 ",\"n\":%" PRIu64 ",\"t\":%" PRIu64 ",\"p\":\"",
                                   bench->run, seq, time);
    size_t pad = bench->size > used + 2 ? (size_t)bench->size - used - 2 : 0;
    size_t body_len = strlen(body_head) + used + pad + 2 + strlen(bench->profile->body_tail);
    int n = snprintf(
        out, size,
        "POST %s%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n"
        "%s%s",
        bench->remote.url.prefix, bench->profile->publish_path(path, sizeof path, reader),
        bench->remote.url.authority, body_len, bench->remote.headers, body_head, numbers);
    size_t len = n > 0 ? (size_t)n : size;

    if (len + pad + 8 > size)
        return 0;
    memset(out + len, 'x', pad);
    n = snprintf(out + len + pad, size - len - pad, "\"}%s", bench->profile->body_tail);
    return len + pad + (size_t)n;
}

/* ------------------------------------------------------------------ results */

uint64_t bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * BENCH_SECOND + (uint64_t)now.tv_nsec;
}

void bench_say(const char *format, ...)
{
    va_list args;

    fputs("tidings bench: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void bench_add(struct bench *bench, const char *key, const char *label, double value, int decimals)
{
    if (bench->number_count < BENCH_NUMBERS_MAX)
        bench->numbers[bench->number_count++] = (struct bench_number){key, label, value, decimals};
}

void bench_add_latency(struct bench *bench, const struct histogram *ns)
{
    bench_add(bench, "latency_samples", "latency samples", (double)ns->count, -1);
    bench_add(bench, "latency_p50_ms", "latency p50, ms", (double)histogram_at(ns, 0.5) / 1e6, 3);
    bench_add(bench, "latency_p90_ms", "latency p90, ms", (double)histogram_at(ns, 0.9) / 1e6, 3);
    bench_add(bench, "latency_p99_ms", "latency p99, ms", (double)histogram_at(ns, 0.99) / 1e6, 3);
    bench_add(bench, "latency_p999_ms", "latency p99.9, ms", (double)histogram_at(ns, 0.999) / 1e6, 3);
    bench_add(bench, "latency_max_ms", "latency max, ms", (double)ns->max / 1e6, 3);
}

static void print_json(const struct bench *bench)
{
    json_t *object = json_object();

    json_object_set_new(object, "mode", json_string(bench->mode_text));
    json_object_set_new(object, "profile", json_string(bench->profile->name));
    for (size_t i = 0; i < bench->number_count; i++) {
        const struct bench_number *number = &bench->numbers[i];
        json_object_set_new(object, number->key,
                            number->decimals < 0 ? json_integer((json_int_t)number->value)
                                                 : json_real(number->value));
    }
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

static void print_table(const struct bench *bench)
{
    printf("%s, %s\n", bench->mode_text, bench->profile->name);
    for (size_t i = 0; i < bench->number_count; i++) {
        const struct bench_number *number = &bench->numbers[i];
        printf("  %-34s %16.*f\n", number->label, number->decimals < 0 ? 0 : number->decimals, number->value);
    }
}

/* ------------------------------------------------------------------ start */

static const struct {
    const char *name;
    int (*run)(struct bench *bench);
    uint64_t rate; /* if none is given */
} modes[] = {{"fanout", bench_fanout, 10},
             {"publish", bench_publish, 0},
             {"idle", bench_idle, 0},
             {"connect", bench_connect, 0}};

static bool read_pids(struct bench *bench)
{
    for (size_t i = 0; i < bench->server_pids.count; i++) {
        if (i == BENCH_PIDS_MAX || !value_count(bench->server_pids.items[i], &bench->pids[i])) {
            options_complain(&table, "--server-pid: must be a process id, %d at most", BENCH_PIDS_MAX);
            return false;
        }
    }
    bench->pid_count = bench->server_pids.count;
    return true;
}

static bool find_profile(struct bench *bench)
{
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
        if (!bench->profile_text || strcmp(profiles[i].name, bench->profile_text) == 0) {
            bench->profile = &profiles[i];
            return true;
        }
    }
    options_complain(&table, "--profile: must be tidings or nchan");
    return false;
}

/* Enough descriptors for the readers, the posters and some others. */
static bool raise_limit(const struct bench *bench)
{
    struct rlimit files;
    rlim_t needed = bench->connections + bench->inflight + 32;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return true;
    if (files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (files.rlim_cur >= needed)
        return true;
    bench_say("this machine allows %llu descriptors, %llu are needed; use fewer --connections",
              (unsigned long long)files.rlim_cur, (unsigned long long)needed);
    return false;
}

static bool pin(const struct bench *bench)
{
    cpu_set_t set;

    if (bench->cpu == ANY_CPU)
        return true;
    CPU_ZERO(&set);
    CPU_SET(bench->cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        return true;
    bench_say("--cpu: %s", strerror(errno));
    return false;
}

/* Finds the address by connecting to it once. */
static bool find_server(struct bench *bench)
{
    struct httpc *http = calloc(1, sizeof *http);
    int result = http ? httpc_open(http, &bench->remote.url, -1, REMOTE_TIMEOUT) : HTTPC_ESYSTEM;

    bench->address_len = sizeof bench->address;
    if (result == 0 && getpeername(http->fd, (struct sockaddr *)&bench->address, &bench->address_len) < 0)
        result = HTTPC_ESYSTEM;
    if (result < 0)
        bench_say("%s: %s", bench->remote.url.authority, httpc_strerror(result));
    if (http)
        httpc_close(http);
    free(http);
    return result == 0;
}

static int run_mode(struct bench *bench, int (*mode)(struct bench *bench))
{
    int result;

    if (!pin(bench) || !raise_limit(bench) || !find_server(bench))
        return EXIT_FAILED;
    if (getrandom(&bench->run, sizeof bench->run, 0) != sizeof bench->run)
        bench->run = (uint32_t)bench_now();
    result = mode(bench);
    if (result != EXIT_FINE)
        return result;
    if (bench->json)
        print_json(bench);
    else
        print_table(bench);
    return fflush(stdout) == 0 ? EXIT_FINE : EXIT_FAILED;
}

static int start(struct bench *bench, int argc, char *const *argv)
{
    struct option_list rest = {.count = 0};
    enum options_result result = options_read(&table, bench, argc, argv, &rest);

    if (result != OPTIONS_GO)
        return result == OPTIONS_HELPED ? EXIT_FINE : EXIT_USAGE;
    if (rest.count + (bench->mode_text != NULL) > 1) {
        options_complain(&table, "give one mode");
        return EXIT_USAGE;
    }
    if (!bench->mode_text)
        bench->mode_text = rest.count ? rest.items[0] : modes[0].name;
    if (!read_pids(bench) || !find_profile(bench) || !remote_resolve(&bench->remote, &table))
        return EXIT_USAGE;
    if (bench->remote.url.tls) {
        options_complain(&table, "the load generator speaks plain HTTP only: give it a listener without TLS");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(modes[i].name, bench->mode_text) != 0)
            continue;
        if (bench->rate == ANY_RATE)
            bench->rate = modes[i].rate;
        return run_mode(bench, modes[i].run);
    }
    options_complain(&table, "the mode must be fanout, publish, idle or connect");
    return EXIT_USAGE;
}

int bench_main(int argc, char *const *argv)
{
    struct bench *bench = calloc(1, sizeof *bench);
    int code;

    if (!bench)
        return EXIT_FAILED;
    bench->connections = 1000;
    bench->size = 200;
    bench->rate = ANY_RATE;
    bench->inflight = 16;
    bench->duration = 10000;
    bench->warmup = 1000;
    bench->cpu = ANY_CPU;
    code = start(bench, argc, argv);
    free(bench);
    return code;
}
