/* SPDX-License-Identifier: MIT
 *
 * bench_million [CONNECTIONS] - memory of a hub that holds a million idle event streams, each of a client of
 * its own, in the simulated world (no machine gives a million descriptors to a benchmark). Counted is what
 * the hub has allocated and not given back: connections, client records, tables and lists; the simulation's
 * own memory is subtracted. Then one broadcast to all of them, which every one must have been sent whole.
 */
#include "sim_hub.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CROWD 10000 /* that come in one turn */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_million: %s\n", what);
    exit(1);
}

static size_t in_use(const struct sim_hub *h)
{
    const struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd - sim_bytes(h->sim);
}

static void join(struct sim_hub *h, uint32_t *socks, uint32_t count)
{
    char request[200];
    for (uint32_t i = 0; i < count; i++) {
        socks[i] = sim_connect(h->sim, i % h->config.loops);
        sim_count_only(h->sim, socks[i]);
        int n = snprintf(request, sizeof(request),
                         "GET /api/sse/subscribe/user-%u HTTP/1.1\r\nHost: localhost\r\n"
                         "Accept: text/event-stream\r\nUser-Agent: Mozilla/5.0\r\n\r\n",
                         i);
        if (sim_send(h->sim, socks[i], request, (size_t)n) != (size_t)n)
            fail("a request did not fit");
        if ((i + 1) % CROWD == 0 && !sim_settle(h->sim))
            fail("the loops turn for ever");
    }
    if (!sim_settle(h->sim) || tidings_total_connections(h->hub) != count)
        fail("not everybody has joined");
}

static uint64_t received(const struct sim_hub *h, const uint32_t *socks, uint32_t count)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += sim_received(h->sim, socks[i]);
    return sum;
}

/* Seconds that one broadcast takes from the call to the last socket. */
static double broadcast(struct sim_hub *h, const uint32_t *socks, uint32_t count)
{
    const char json[] = "{\"message\":\"to a million\"}";
    uint64_t before = received(h, socks, count);
    double begin = seconds();
    if (tidings_broadcast(h->hub, "notification", json, sizeof(json) - 1) != (int)count ||
        !sim_settle(h->sim))
        fail("the broadcast did not reach everybody");
    double took = seconds() - begin;
    uint64_t each = sim_received(h->sim, socks[0]), got = received(h, socks, count) - before;
    if (got % count != 0 || got == 0 || each == 0)
        fail("somebody was sent something else");
    return took;
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    uint32_t *socks = calloc(count ? count : 1, sizeof(*socks));
    struct sim_hub h;
    sim_hub_init(&h, 1);
    h.config.loops = 2;
    h.options.sockets = count;
    if (!socks || count == 0 || sim_hub_start(&h) != 0)
        fail("no world");
    size_t before = in_use(&h);
    double begin = seconds();
    join(&h, socks, count);
    double joined = seconds() - begin, bytes = (double)(in_use(&h) - before) / count;
    double took = broadcast(&h, socks, count);
    printf("%-28s %10s %14s %12s %16s\n", "idle memory, simulated", "streams", "bytes/stream", "joins/s",
           "ns/delivery");
    printf("%-28s %10u %14.1f %12.0f %16.0f\n", "", count, bytes, count / joined, took * 1e9 / count);
    printf("{\"name\":\"idle_memory_simulated\",\"connections\":%u,\"bytes_per_connection\":%.1f,"
           "\"connect_per_second\":%.0f,\"broadcast_ns_per_delivery\":%.0f}\n",
           count, bytes, count / joined, took * 1e9 / count);
    for (uint32_t i = 0; i < count; i++)
        sim_close(h.sim, socks[i]);
    const char *left = sim_settle(h.sim) ? sim_hub_leftover(h.sim, h.hub) : "turning for ever";
    if (left)
        fail(left);
    sim_hub_finish(&h);
    free(socks);
    return bytes <= 256 ? 0 : 2;
}
