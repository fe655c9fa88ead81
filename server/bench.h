/* SPDX-License-Identifier: MIT
 *
 * bench - what the modes of `tidings bench` share: options, the server's dialect, results, the process under
 * test.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "histogram.h"
#include "remote.h"

#define BENCH_SECOND   UINT64_C(1000000000) /* ns */
#define BENCH_PIDS_MAX 32

/* How a server is spoken to. */
struct bench_profile {
    const char *name;
    bool one_channel; /* broadcasts go to a channel that all readers subscribe to */
    const char *(*subscribe_path)(char *out, size_t size, uint64_t reader);
    const char *(*publish_path)(char *out, size_t size, uint64_t reader); /* BENCH_ALL: everybody */
    const char *(*body_head)(char *out, size_t size, uint64_t reader);    /* what comes before the payload */
    const char *body_tail;
};

#define BENCH_ALL UINT64_MAX

/* A row of the result; decimals < 0: an integer. */
struct bench_number {
    const char *key;
    const char *label;
    double value;
    int decimals;
};

#define BENCH_NUMBERS_MAX 40

struct bench {
    /* options */
    struct remote remote;
    const char *mode_text, *profile_text;
    uint64_t connections, size, rate, inflight, duration, warmup,
        cpu; /* durations in ms; cpu: UINT64_MAX = any */
    struct option_list server_pids;
    bool json;

    const struct bench_profile *profile;
    uint64_t pids[BENCH_PIDS_MAX];
    size_t pid_count;
    struct sockaddr_storage address; /* the server's */
    socklen_t address_len;
    uint32_t run; /* random: tells this run's events from others */

    struct bench_number numbers[BENCH_NUMBERS_MAX];
    size_t number_count;
};

/* The modes; each fills in the numbers and returns an enum exit_code. */
int bench_fanout(struct bench *bench);
int bench_publish(struct bench *bench);
int bench_idle(struct bench *bench);
int bench_connect(struct bench *bench);

/* ns of CLOCK_MONOTONIC. */
uint64_t bench_now(void);

void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds a number to the result. key and label are static. */
void bench_add(struct bench *bench, const char *key, const char *label, double value, int decimals);
void bench_add_latency(struct bench *bench, const struct histogram *ns);

/* The request that opens stream `reader`; its length. */
size_t bench_subscribe_request(const struct bench *bench, char *out, size_t size, uint64_t reader);

/* A request that publishes event number `seq`, scheduled at `time` ns, to `reader` or BENCH_ALL; its length,
 * or 0 if out is too small. */
size_t bench_publish_request(const struct bench *bench, char *out, size_t size, uint64_t reader, uint64_t seq,
                             uint64_t time);

/* Room that bench_publish_request() needs. */
size_t bench_publish_room(const struct bench *bench);

/* ------------------------------------------------------------------ processes (bench_proc.c) */

/* CPU seconds used so far by the processes of --server-pid together; negative if there are none. */
double bench_server_cpu(const struct bench *bench);
/* The same of this process. */
double bench_own_cpu(void);

struct bench_memory {
    double rss, anonymous; /* bytes, of the processes of --server-pid; negative if there are none */
    double kernel_tcp; /* bytes of socket memory of the machine (/proc/net/sockstat); negative if unknown */
};
void bench_memory_read(const struct bench *bench, struct bench_memory *memory);

#endif
