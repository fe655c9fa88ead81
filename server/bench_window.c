/* SPDX-License-Identifier: MIT
 *
 * The window of a measurement. Rates are events that arrived between two moments divided by the time between
 * them; the CPU times are read at the same two moments. Latency belongs to the moment at which an event was
 * due, so that a server that falls behind at the end of the window does not look better for it.
 */
#include "bench_window.h"

#include <string.h>

void bench_window_init(struct bench_window *window, const struct bench *bench)
{
    memset(window, 0, sizeof *window);
    window->begin = bench_now() + bench->warmup * (BENCH_SECOND / 1000);
    window->end = window->begin + bench->duration * (BENCH_SECOND / 1000);
    window->server_cpu = -1;
}

bool bench_window_open(struct bench_window *window, const struct bench *bench, uint64_t now)
{
    if (now >= window->begin && window->begun_at == 0) {
        window->server_cpu = bench_server_cpu(bench);
        window->own_cpu = bench_own_cpu();
        window->events_before = window->total;
        window->begun_at = bench_now();
    }
    if (now < window->end)
        return true;
    if (window->ended_at == 0) {
        if (window->server_cpu >= 0)
            window->server_cpu = bench_server_cpu(bench) - window->server_cpu;
        window->own_cpu = bench_own_cpu() - window->own_cpu;
        window->events = window->total - window->events_before;
        window->ended_at = bench_now();
    }
    return false;
}

void bench_window_count(struct bench_window *window, uint64_t sent, uint64_t now)
{
    window->total++;
    if (sent >= window->begin && sent < window->end)
        histogram_add(&window->latency, now > sent ? now - sent : 0);
}

double bench_window_seconds(const struct bench_window *window)
{
    return (double)(window->ended_at - window->begun_at) / (double)BENCH_SECOND;
}

void bench_window_add(struct bench_window *window, struct bench *bench, const char *rate_key,
                      const char *rate_label)
{
    double seconds = bench_window_seconds(window);

    bench_add(bench, "seconds", "seconds measured", seconds, 3);
    bench_add(bench, rate_key, rate_label, (double)window->events / seconds, 0);
    bench_add_latency(bench, &window->latency);
    if (window->server_cpu >= 0) {
        bench_add(bench, "server_cpu_s", "server CPU, s", window->server_cpu, 2);
        if (window->events > 0)
            bench_add(bench, "server_cpu_s_per_million", "server CPU, s per million",
                      window->server_cpu * 1e6 / (double)window->events, 3);
    }
    bench_add(bench, "own_cpu_share", "load generator's CPU, share of a core", window->own_cpu / seconds, 2);
}
