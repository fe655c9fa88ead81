/* SPDX-License-Identifier: MIT
 *
 * `tidings bench idle`: opens streams, holds them and says what each costs the server: memory of the process
 * (resident, and the anonymous part of it, which leaves out the binary's own pages) and of the machine's
 * sockets. Both ends of a loopback connection are in the latter.
 */
#include <stdlib.h>

#include "bench.h"
#include "command.h"
#include "engine.h"
#include "readers.h"

#define SETTLE BENCH_SECOND

struct idle {
    struct bench *bench;
    struct engine engine;
    struct readers readers;
};

static void turn_for(struct idle *idle, uint64_t ns)
{
    for (uint64_t until = bench_now() + ns; bench_now() < until;)
        engine_turn(&idle->engine, until);
}

static void add_memory(struct bench *bench, const struct bench_memory *before,
                       const struct bench_memory *after, double streams)
{
    if (after->rss >= 0) {
        bench_add(bench, "rss_before", "server, resident before, bytes", before->rss, -1);
        bench_add(bench, "rss_after", "server, resident after, bytes", after->rss, -1);
        bench_add(bench, "rss_per_connection", "resident for each stream, bytes",
                  (after->rss - before->rss) / streams, 1);
        bench_add(bench, "anonymous_per_connection", "anonymous for each stream, bytes",
                  (after->anonymous - before->anonymous) / streams, 1);
    }
    if (after->kernel_tcp >= 0)
        bench_add(bench, "kernel_buffers_per_connection", "socket buffers for each, bytes",
                  (after->kernel_tcp - before->kernel_tcp) / streams, 1);
}

static int run(struct idle *idle)
{
    struct bench *bench = idle->bench;
    struct bench_memory before, after;
    uint64_t start;
    double seconds;

    turn_for(idle, SETTLE);
    bench_memory_read(bench, &before);
    start = bench_now();
    if (!readers_open_all(&idle->readers))
        return EXIT_FAILED;
    seconds = (double)(bench_now() - start) / (double)BENCH_SECOND;
    turn_for(idle, SETTLE + bench->duration * (BENCH_SECOND / 1000));
    bench_memory_read(bench, &after);
    bench_add(bench, "connections", "streams", (double)idle->readers.count, -1);
    bench_add(bench, "open_seconds", "seconds to open them", seconds, 3);
    bench_add(bench, "held", "still open", (double)idle->readers.open, -1);
    bench_add(bench, "held_seconds", "seconds held", (double)bench->duration / 1000, 1);
    bench_add(bench, "bytes_received", "bytes received", (double)idle->readers.bytes, -1);
    add_memory(bench, &before, &after, (double)idle->readers.count);
    return EXIT_FINE;
}

int bench_idle(struct bench *bench)
{
    struct idle *idle = calloc(1, sizeof *idle);
    int code = EXIT_FAILED;

    if (!idle)
        return EXIT_FAILED;
    idle->bench = bench;
    if (engine_init(&idle->engine) < 0 || readers_init(&idle->readers, &idle->engine, bench, NULL, NULL) < 0)
        bench_say("cannot start: memory or descriptors are short");
    else
        code = run(idle);
    readers_finish(&idle->readers);
    engine_finish(&idle->engine);
    free(idle);
    return code;
}
