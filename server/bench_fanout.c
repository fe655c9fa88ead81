/* SPDX-License-Identifier: MIT
 *
 * `tidings bench fanout`: one publisher, everybody receives.
 *
 * With a rate the publisher keeps to its schedule, whatever the server does, and latency is measured from the
 * moment when an event was due, not from when it could be sent: a server that stops for a second gets a
 * second of late events, not one. With rate 0 a fixed number of events is on its way: the next one is
 * published when one has been received by every stream.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench_window.h"
#include "command.h"
#include "engine.h"
#include "poster.h"
#include "readers.h"

#define RING   8192 /* events on their way that are told apart, a power of two above --inflight's limit */
#define SETTLE (BENCH_SECOND / 2)
#define STALL  (2 * BENCH_SECOND) /* without any delivery: what is missing will not come */

struct fanout {
    struct bench *bench;
    struct engine engine;
    struct readers readers;
    struct poster poster;
    struct bench_window window;
    uint64_t published;     /* sequence numbers 1..published */
    uint64_t complete;      /* 1..complete were received by every stream, or given up */
    uint64_t given_up;      /* of them */
    uint64_t last_delivery; /* ns */
    uint32_t passed[RING];  /* streams that received seq or a later one, at seq % RING */
};

static void delivered(void *user, struct reader *reader, uint64_t seq, uint64_t sent, uint64_t now)
{
    struct fanout *fanout = user;

    bench_window_count(&fanout->window, sent, now);
    fanout->last_delivery = now;
    /* What it jumped over will not come in order any more: it is not waited for. */
    for (uint64_t passed = reader->before + 1; passed <= seq; passed++)
        fanout->passed[passed % RING]++;
}

/* Moves `complete` on. A stream that ended is not waited for. */
static void advance(struct fanout *fanout, uint64_t now)
{
    bool stalled = now > fanout->last_delivery + STALL;

    while (fanout->complete < fanout->published) {
        uint32_t *passed = &fanout->passed[(fanout->complete + 1) % RING];
        bool full = *passed >= fanout->readers.open && fanout->readers.open > 0;
        if (!full && !stalled)
            return;
        fanout->given_up += !full;
        fanout->complete++;
        *passed = 0;
    }
    if (stalled)
        fanout->last_delivery = now;
}

static bool publish(struct fanout *fanout, uint64_t due)
{
    /* Set before sending: the answer and the event may be back before this returns. */
    fanout->published++;
    return poster_post(&fanout->poster, BENCH_ALL, fanout->published, due);
}

static bool publish_on_schedule(struct fanout *fanout, uint64_t *due)
{
    uint64_t interval = BENCH_SECOND / fanout->bench->rate;
    bool fine = true;

    for (; fine && *due <= bench_now() && *due < fanout->window.end; *due += interval)
        fine = publish(fanout, *due);
    return fine;
}

static bool publish_what_fits(struct fanout *fanout)
{
    bool fine = true;

    while (fine && fanout->published - fanout->complete < fanout->bench->inflight)
        fine = publish(fanout, bench_now());
    return fine;
}

/* Publishes until the window ends. */
static bool run_window(struct fanout *fanout)
{
    uint64_t due, now;
    bool fine = true;

    bench_window_init(&fanout->window, fanout->bench);
    due = fanout->last_delivery = bench_now();
    while (fine && bench_window_open(&fanout->window, fanout->bench, now = bench_now())) {
        if (fanout->bench->rate > 0) {
            fine = publish_on_schedule(fanout, &due);
            engine_turn(&fanout->engine, due < fanout->window.end ? due : fanout->window.end);
        } else {
            advance(fanout, now);
            fine = publish_what_fits(fanout);
            engine_turn(&fanout->engine, now + BENCH_SECOND / 100);
        }
        fine = fine && !fanout->poster.broken;
    }
    if (!fine)
        bench_say("the publisher's connection was lost (posted %" PRIu64 ", unanswered %" PRIu64 ")",
                  fanout->poster.posted, poster_unanswered(&fanout->poster));
    return fine;
}

static uint64_t received(const struct fanout *fanout)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < fanout->readers.count; i++)
        sum += fanout->readers.items[i].received;
    return sum;
}

/* What was accepted and should have come to everybody, less what did. */
static uint64_t missing(const struct fanout *fanout)
{
    uint64_t due = fanout->poster.accepted * fanout->readers.count, got = received(fanout);

    return due > got ? due - got : 0;
}

/* Waits for what is still on its way. */
static void run_out(struct fanout *fanout)
{
    uint64_t before = bench_now();

    fanout->last_delivery = before;
    while (bench_now() < fanout->last_delivery + STALL) {
        if (poster_unanswered(&fanout->poster) == 0 && missing(fanout) == 0)
            return;
        engine_turn(&fanout->engine, bench_now() + BENCH_SECOND / 10);
        if (fanout->poster.broken || fanout->readers.open == 0)
            return;
    }
}

static void settle(struct fanout *fanout)
{
    for (uint64_t until = bench_now() + SETTLE; bench_now() < until;)
        engine_turn(&fanout->engine, until);
}

static void add_results(struct fanout *fanout)
{
    struct bench *bench = fanout->bench;

    bench_add(bench, "connections", "connections", (double)fanout->readers.count, -1);
    bench_add(bench, "size", "payload, bytes", (double)bench->size, -1);
    bench_add(bench, "rate", "wanted rate, events/s (0 = saturate)", (double)bench->rate, -1);
    if (bench->rate == 0)
        bench_add(bench, "inflight", "events on their way", (double)bench->inflight, -1);
    bench_add(bench, "published", "events accepted", (double)fanout->poster.accepted, -1);
    bench_add(bench, "refused", "events refused", (double)fanout->poster.refused, -1);
    bench_window_add(&fanout->window, bench, "deliveries_per_s", "deliveries/s");
    bench_add(bench, "deliveries", "deliveries in all", (double)received(fanout), -1);
    bench_add(bench, "missing", "missing", (double)missing(fanout), -1);
    bench_add(bench, "duplicate", "duplicate", (double)fanout->readers.duplicates, -1);
    bench_add(bench, "out_of_order", "out of order", (double)fanout->readers.out_of_order, -1);
    bench_add(bench, "given_up", "events waited for in vain", (double)fanout->given_up, -1);
    bench_add(bench, "resyncs", "__resync events", (double)fanout->readers.resyncs, -1);
    bench_add(bench, "ended", "streams that ended", (double)fanout->readers.ended, -1);
    if (fanout->poster.first_refusal)
        bench_say("events were refused, the first with %d", fanout->poster.first_refusal);
}

static int run(struct fanout *fanout)
{
    fanout->readers.one_channel = true;
    if (!readers_open_all(&fanout->readers))
        return EXIT_FAILED;
    settle(fanout);
    if (!run_window(fanout))
        return EXIT_FAILED;
    run_out(fanout);
    add_results(fanout);
    return EXIT_FINE;
}

int bench_fanout(struct bench *bench)
{
    struct fanout *fanout = calloc(1, sizeof *fanout);
    int code = EXIT_FAILED;

    if (!fanout)
        return EXIT_FAILED;
    fanout->bench = bench;
    fanout->poster.watch.fd = -1;
    if (engine_init(&fanout->engine) < 0 ||
        readers_init(&fanout->readers, &fanout->engine, bench, delivered, fanout) < 0 ||
        poster_init(&fanout->poster, &fanout->engine, bench) < 0)
        bench_say("cannot start: memory or descriptors are short");
    else
        code = run(fanout);
    poster_finish(&fanout->poster);
    readers_finish(&fanout->readers);
    engine_finish(&fanout->engine);
    free(fanout);
    return code;
}
