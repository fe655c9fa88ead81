/* SPDX-License-Identifier: MIT
 *
 * bench_window - when is measured: a warm-up, the window itself, and what was counted and used in it.
 */
#ifndef BENCH_WINDOW_H
#define BENCH_WINDOW_H

#include "bench.h"

struct bench_window {
    uint64_t begin, end;           /* ns */
    uint64_t events;               /* that arrived in it */
    struct histogram latency;      /* of events that were due in it, whenever they arrived; ns */
    double server_cpu, own_cpu;    /* seconds used in it; server_cpu negative if unknown */
    uint64_t begun_at, ended_at;   /* when the CPU times were really read, 0 = not yet */
    uint64_t events_before, total; /* all events, and those before the window */
};

/* Now the warm-up begins. */
void bench_window_init(struct bench_window *window, const struct bench *bench);

/* To be called each turn: reads the clocks when the window begins and ends. True until it has ended. */
bool bench_window_open(struct bench_window *window, const struct bench *bench, uint64_t now);

/* An event arrived that was due at `sent`. */
void bench_window_count(struct bench_window *window, uint64_t sent, uint64_t now);

/* Seconds that the window really lasted. */
double bench_window_seconds(const struct bench_window *window);

/* Adds rate, CPU and latency to the result; `what` is "deliveries" or "events" in keys and labels below. */
void bench_window_add(struct bench_window *window, struct bench *bench, const char *rate_key,
                      const char *rate_label);

#endif
