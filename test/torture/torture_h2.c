/* SPDX-License-Identifier: MIT
 *
 * torture_h2 - the n-th allocation of a hub that is spoken to in HTTP/2 fails, for every n, nghttp2's own
 * included; then a few in a row; then every one from the n-th on. Two peers subscribe, publish at once and
 * line by line, ask for large and for too large things, reset a stream, open no window; the hub drains.
 * Whatever fails may fail, but each request comes to an end, a reader that is still there was given what was
 * published, the peers are sent nothing that is not HTTP/2, when there is memory again a session works as if
 * nothing had been, and in the end nothing is left.
 *
 * Environment: N=n, TIMES=n and ROUGH=1 replay one, STEP=n tries only every n-th.
 */
#include "fault.h"
#include "h2_peer.h"
#include "sim_hub.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE(n)  "{\"topic\":\"t\",\"event\":\"note\",\"payload\":" #n "}"
#define EVENTS   6
#define WINDOW   65535
#define GREETING "event: __connected\n"

struct life {
    struct sim_hub h;
    struct h2_peer one, two, late;
    struct h2_reply *reader;
    bool delivered[EVENTS]; /* this event was acknowledged while the reader was there */
};

static struct {
    long n, times;
    bool rough;
} now;

static _Noreturn void fail(const char *what)
{
    fault_disarm();
    fprintf(stderr, "torture_h2: N=%ld TIMES=%ld ROUGH=%d: %s\n", now.n, now.times, now.rough, what);
    exit(1);
}

static void settle(struct life *l)
{
    bool busy;
    do {
        if (!sim_settle(l->h.sim))
            fail("the loop turns for ever");
        busy = h2_peer_pump(&l->one);
        busy |= h2_peer_pump(&l->two);
        busy |= h2_peer_pump(&l->late);
    } while (busy);
    if (l->one.wrong || l->two.wrong || l->late.wrong)
        fail("what a peer was sent is not HTTP/2");
}

static void pass(struct life *l, uint64_t ms)
{
    for (uint64_t at = 0; at < ms; at += 500) {
        sim_advance(l->h.sim, 500);
        settle(l);
    }
}

static bool is_reading(const struct life *l)
{
    return l->reader && strstr(l->reader->body, GREETING) && !h2_peer_is_done(&l->one, l->reader);
}

static struct h2_reply *ask(struct life *l, struct h2_peer *p, const char *method, const char *path,
                            const char *body, unsigned large)
{
    struct h2_reply *r = h2_peer_ask(p, method, path, body, false, large);
    settle(l);
    return r;
}

/* Without want of memory the answer is this one, and complete. */
static void expect(const struct h2_reply *r, int status)
{
    if (!fault_hit() && (!r || r->status != status || !r->ended))
        fail("another answer than usual");
}

static void publish(struct life *l, unsigned n)
{
    char json[16];
    bool was_there = is_reading(l);
    int len = snprintf(json, sizeof(json), "%u", n);
    const struct tidings_message m = {.target = TIDINGS_TO_TOPIC,
                                      .to = "t",
                                      .to_len = 1,
                                      .event = "note",
                                      .event_len = 4,
                                      .json = json,
                                      .json_len = (size_t)len,
                                      .ttl = TIDINGS_TTL_DEFAULT};
    struct tidings_receipt receipt;
    if (tidings_publish(l->h.hub, &m, &receipt) == 0)
        l->delivered[n] = was_there;
    else if (!fault_hit())
        fail("a publish failed for another reason");
    settle(l);
}

static void publish_over_http(struct life *l, struct h2_peer *p, unsigned n, const char *body)
{
    bool was_there = is_reading(l);
    const struct h2_reply *r = ask(l, p, "POST", "/api/sse/notify", body, 0);
    expect(r, 200);
    l->delivered[n] = was_there && r && r->status == 200;
}

static void publish_lines(struct life *l, struct h2_peer *p)
{
    bool was_there = is_reading(l);
    struct h2_reply *r = h2_peer_ask(p, "POST", "/api/sse/notify/batch", NOTE(2) "\n{\"topic\"", true, 0);
    settle(l);
    if (!r)
        return;
    h2_peer_more(p, r, ":\"t\",\"event\":\"note\",\"payload\":3}\n", true);
    settle(l);
    h2_peer_more(p, r, "", false);
    settle(l);
    expect(r, 200);
    if (!fault_hit())
        l->delivered[2] = l->delivered[3] = was_there;
}

/* Every request has come to an end: nobody waits for memory that has come back. */
static void check_done(const struct life *l, const struct h2_peer *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct h2_reply *r = &p->replies[i];
        if (r != l->reader && r->status != 200 && !h2_peer_is_done(p, r))
            fail("a request that hangs");
    }
}

static void check_reader(const struct life *l)
{
    char wanted[32];
    if (!is_reading(l) || strstr(l->reader->body, "__resync"))
        return;
    for (unsigned n = 0; n < EVENTS; n++) {
        snprintf(wanted, sizeof(wanted), "event: note\ndata: %u\n", n);
        const char *at = strstr(l->reader->body, wanted);
        if (l->delivered[n] && !at)
            fail("an event that was acknowledged did not arrive");
        if (at && strstr(at + 1, wanted))
            fail("an event came twice");
    }
}

/* Its windows are closed at first. */
static void second_peer(struct life *l)
{
    h2_peer_open(&l->two, l->h.sim, 0, 0);
    struct h2_reply *bob = ask(l, &l->two, "GET", "/api/sse/subscribe/bob?topic=t", NULL, 0);
    publish(l, 4);
    if (bob) {
        fault_pause();
        nghttp2_submit_window_update(l->two.ng, NGHTTP2_FLAG_NONE, bob->id, 100);
        fault_resume();
        settle(l);
        h2_peer_reset(&l->two, bob);
        settle(l);
    }
    ask(l, &l->two, "GET", "/api/sse/subscribe/bob", NULL, 0);
}

static void live(struct life *l)
{
    h2_peer_open(&l->one, l->h.sim, 0, WINDOW);
    l->reader = h2_peer_ask(&l->one, "GET", "/api/sse/subscribe/ada?topic=t&name=A", NULL, false, 0);
    settle(l);
    if (!fault_hit() && !is_reading(l))
        fail("the reader could not join");
    publish(l, 0);
    publish_over_http(l, &l->one, 1, NOTE(1));
    publish_lines(l, &l->one);
    expect(ask(l, &l->one, "GET", "/openapi.json", NULL, 0), 200);
    expect(ask(l, &l->one, "GET", "/healthz", NULL, 9000), 431);
    expect(ask(l, &l->one, "GET", "/nowhere", NULL, 0), 404);
    second_peer(l);
    publish(l, 5);
    pass(l, 2000);
    check_reader(l);
}

/* There is memory again. */
static void live_on(struct life *l)
{
    h2_peer_open(&l->late, l->h.sim, 0, WINDOW);
    struct h2_reply *r = ask(l, &l->late, "GET", "/healthz", NULL, 0);
    if (!r || r->status != 200 || !r->ended)
        fail("a new session does not work");
    pass(l, 61000);
    check_done(l, &l->one);
    check_done(l, &l->two);
    check_reader(l);
}

static void check_end(struct life *l)
{
    h2_peer_finish(&l->one);
    h2_peer_finish(&l->two);
    h2_peer_finish(&l->late);
    if (!sim_settle(l->h.sim))
        fail("the loop turns for ever");
    const char *left = sim_hub_leftover(l->h.sim, l->h.hub);
    if (left)
        fail(left);
}

/* One life; drains: the hub drains while memory is still short. Returns whether an allocation has failed. */
static bool run(long n, long times, bool rough, bool drains, long *count)
{
    static struct life l;
    memset(&l, 0, sizeof(l));
    now.n = n;
    now.times = times;
    now.rough = rough;
    sim_hub_init(&l.h, 7);
    l.h.config.heartbeat = 1000;
    l.h.config.max_headers = 4096;
    l.h.config.max_request_line = 512;
    if (rough)
        l.h.options.faults = (struct sim_faults){.short_write = 500, .short_read = 300, .again = 300};
    fault_arm(n, times);
    int rc = sim_hub_start(&l.h);
    if (rc == 0) {
        live(&l);
        if (drains) {
            tidings_hub_drain(l.h.hub, 2000);
            pass(&l, 6000);
        }
    } else if (!fault_hit()) {
        fail("no hub");
    }
    *count = fault_count();
    bool hit = fault_hit();
    fault_disarm();
    if (rc == 0) {
        if (!drains)
            live_on(&l);
        check_end(&l);
    }
    sim_hub_finish(&l.h);
    return hit;
}

static long number_of(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : fallback;
}

int main(void)
{
    static const long times[] = {1, 3, 20, LONG_MAX};
    long total, count, one = number_of("N", 0), step = number_of("STEP", 1), few = SIM_SLOW ? 7 * step : step;
    if (one != 0) {
        run(one, number_of("TIMES", 1), number_of("ROUGH", 0) != 0, false, &count);
        run(one, number_of("TIMES", 1), number_of("ROUGH", 0) != 0, true, &count);
        return 0;
    }
    run(0, 0, true, false, &total);
    run(0, 0, false, false, &total);
    for (unsigned i = 0; i < 4 * sizeof(times) / sizeof(times[0]); i++)
        for (long n = 1; run(n, times[i / 4], i & 1, i & 2, &count); n += i < 4 ? step : few)
            ;
    printf("%ld allocations: each failed alone, with its next ones, and with all behind it\n", total);
    return total > 100 ? 0 : 1;
}
