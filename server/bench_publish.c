/* SPDX-License-Identifier: MIT
 *
 * `tidings bench publish`: events to single clients, from several publishers at once.
 *
 * Poster p serves the clients p, p + P, p + 2P, … in turn, so that the events of one client come from one
 * connection and have an order that can be checked. With rate 0 each poster has one request on its way; with
 * a rate, posts follow the schedule of the whole.
 */
#include <stdlib.h>
#include <string.h>

#include "bench_window.h"
#include "command.h"
#include "engine.h"
#include "poster.h"
#include "readers.h"

#define SETTLE (BENCH_SECOND / 2)
#define STALL  (2 * BENCH_SECOND)

struct publish_mode;

struct lane {
    struct poster poster;
    struct publish_mode *mode;
    uint64_t turn; /* requests so far */
};

struct publish_mode {
    struct bench *bench;
    struct engine engine;
    struct readers readers;
    struct bench_window window;
    struct lane *lanes;
    size_t lane_count;
    uint64_t last_delivery;
    bool running; /* posters go on by themselves */
};

static void delivered(void *user, struct reader *reader, uint64_t seq, uint64_t sent, uint64_t now)
{
    struct publish_mode *mode = user;

    (void)reader;
    (void)seq;
    bench_window_count(&mode->window, sent, now);
    mode->last_delivery = now;
}

/* The lane's next event; its clients take turns, each with its own sequence. */
static void post(struct lane *lane, uint64_t due)
{
    struct publish_mode *mode = lane->mode;
    size_t first = (size_t)(lane - mode->lanes);
    uint64_t clients = (mode->readers.count - first + mode->lane_count - 1) / mode->lane_count;
    uint64_t client = first + lane->turn % clients * mode->lane_count;

    poster_post(&lane->poster, client, lane->turn / clients + 1, due);
    lane->turn++;
}

static void answered(void *user, struct poster *poster)
{
    struct lane *lane = user;

    (void)poster;
    if (lane->mode->running && lane->mode->bench->rate == 0)
        post(lane, bench_now());
}

static bool is_broken(const struct publish_mode *mode)
{
    for (size_t i = 0; i < mode->lane_count; i++) {
        if (mode->lanes[i].poster.broken)
            return true;
    }
    return false;
}

static bool run_window(struct publish_mode *mode)
{
    uint64_t due, scheduled = 0, rate = mode->bench->rate;

    bench_window_init(&mode->window, mode->bench);
    due = bench_now();
    mode->running = true;
    for (size_t i = 0; rate == 0 && i < mode->lane_count; i++)
        post(&mode->lanes[i], bench_now());
    while (bench_window_open(&mode->window, mode->bench, bench_now())) {
        for (; rate > 0 && due <= bench_now() && due < mode->window.end; due += BENCH_SECOND / rate)
            post(&mode->lanes[scheduled++ % mode->lane_count], due);
        engine_turn(&mode->engine,
                    rate > 0 && due < mode->window.end ? due : bench_now() + BENCH_SECOND / 100);
        if (is_broken(mode)) {
            bench_say("a publisher's connection was lost");
            return false;
        }
    }
    mode->running = false;
    return true;
}

struct totals {
    uint64_t accepted, refused, unanswered, received;
    int first_refusal;
};

static struct totals add_up(const struct publish_mode *mode)
{
    struct totals totals = {.accepted = 0};

    for (size_t i = 0; i < mode->lane_count; i++) {
        const struct poster *poster = &mode->lanes[i].poster;
        totals.accepted += poster->accepted;
        totals.refused += poster->refused;
        totals.unanswered += poster_unanswered(poster);
        if (totals.first_refusal == 0)
            totals.first_refusal = poster->first_refusal;
    }
    for (size_t i = 0; i < mode->readers.count; i++)
        totals.received += mode->readers.items[i].received;
    return totals;
}

static void run_out(struct publish_mode *mode)
{
    mode->last_delivery = bench_now();
    while (bench_now() < mode->last_delivery + STALL) {
        struct totals totals = add_up(mode);
        if ((totals.unanswered == 0 && totals.received >= totals.accepted) || is_broken(mode))
            return;
        engine_turn(&mode->engine, bench_now() + BENCH_SECOND / 100);
    }
}

static void add_results(struct publish_mode *mode)
{
    struct bench *bench = mode->bench;
    struct totals totals = add_up(mode);
    uint64_t missing = totals.accepted > totals.received ? totals.accepted - totals.received : 0;

    bench_add(bench, "connections", "clients, one stream each", (double)mode->readers.count, -1);
    bench_add(bench, "size", "payload, bytes", (double)bench->size, -1);
    bench_add(bench, "rate", "wanted rate, events/s (0 = saturate)", (double)bench->rate, -1);
    bench_add(bench, "inflight", "publishers", (double)mode->lane_count, -1);
    bench_add(bench, "published", "events accepted", (double)totals.accepted, -1);
    bench_add(bench, "refused", "events refused", (double)totals.refused, -1);
    bench_window_add(&mode->window, bench, "events_per_s", "events/s");
    bench_add(bench, "deliveries", "deliveries in all", (double)totals.received, -1);
    bench_add(bench, "missing", "missing", (double)missing, -1);
    bench_add(bench, "duplicate", "duplicate", (double)mode->readers.duplicates, -1);
    bench_add(bench, "out_of_order", "out of order", (double)mode->readers.out_of_order, -1);
    bench_add(bench, "ended", "streams that ended", (double)mode->readers.ended, -1);
    if (totals.first_refusal)
        bench_say("events were refused, the first with %d", totals.first_refusal);
}

static bool open_lanes(struct publish_mode *mode)
{
    size_t wanted = mode->bench->inflight < mode->bench->connections ? (size_t)mode->bench->inflight
                                                                     : (size_t)mode->bench->connections;

    mode->lanes = calloc(wanted, sizeof *mode->lanes);
    for (; mode->lanes && mode->lane_count < wanted; mode->lane_count++) {
        struct lane *lane = &mode->lanes[mode->lane_count];
        if (poster_init(&lane->poster, &mode->engine, mode->bench) < 0) {
            poster_finish(&lane->poster);
            return false;
        }
        lane->mode = mode;
        lane->poster.answered = answered;
        lane->poster.user = lane;
    }
    return mode->lanes != NULL;
}

static int run(struct publish_mode *mode)
{
    if (!readers_open_all(&mode->readers))
        return EXIT_FAILED;
    for (uint64_t until = bench_now() + SETTLE; bench_now() < until;)
        engine_turn(&mode->engine, until);
    if (!run_window(mode))
        return EXIT_FAILED;
    run_out(mode);
    add_results(mode);
    return EXIT_FINE;
}

int bench_publish(struct bench *bench)
{
    struct publish_mode *mode = calloc(1, sizeof *mode);
    int code = EXIT_FAILED;

    if (!mode)
        return EXIT_FAILED;
    mode->bench = bench;
    if (engine_init(&mode->engine) < 0 ||
        readers_init(&mode->readers, &mode->engine, bench, delivered, mode) < 0 || !open_lanes(mode))
        bench_say("cannot start: memory or descriptors are short");
    else
        code = run(mode);
    for (size_t i = 0; i < mode->lane_count; i++)
        poster_finish(&mode->lanes[i].poster);
    free(mode->lanes);
    readers_finish(&mode->readers);
    engine_finish(&mode->engine);
    free(mode);
    return code;
}
