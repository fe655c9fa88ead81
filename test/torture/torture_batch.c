/* SPDX-License-Identifier: MIT
 *
 * torture_batch - the n-th allocation fails, for every n, while publishers send arrays, lines and single
 * messages, without a store and with one that answers later (a double, as in sim_wait). Whatever fails may
 * fail, but what is acknowledged was published, once, the results are in their order, and nothing is left.
 *
 * Environment: N=n, TIMES=n and LATER=1 replay one.
 */
#include "fault.h"
#include "steps.h"

#include "publish.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS 130 /* an array of more than one turn */

bool __wrap_publish_needs_waiting(const struct service *s);
bool __real_sequencer_post(struct sequencer *q, struct posting *p);
bool __wrap_sequencer_post(struct sequencer *q, struct posting *p);

static struct {
    bool on;
    struct sequencer *of;
    struct posting *queue[2 * ITEMS];
    unsigned first, last;
} later;

static long the_n, the_times;

static _Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "torture_batch: %s: %.300s\nN=%ld TIMES=%ld LATER=%d\n", what, detail ? detail : "",
            the_n, the_times, later.on);
    abort();
}

bool __wrap_publish_needs_waiting(const struct service *s)
{
    (void)s;
    return later.on;
}

bool __wrap_sequencer_post(struct sequencer *q, struct posting *p)
{
    if (!later.on || p->kind == CHANNEL_ADMIN)
        return __real_sequencer_post(q, p);
    if (later.last == sizeof(later.queue) / sizeof(later.queue[0]))
        fail("more is posted than was asked", NULL);
    later.of = q;
    later.queue[later.last++] = p;
    return false;
}

static void complete(unsigned n)
{
    for (; n > 0 && later.first < later.last; n--) {
        struct posting *p = later.queue[later.first++];
        __real_sequencer_post(later.of, p);
        p->done(p);
    }
    if (later.first == later.last)
        later.first = later.last = 0;
}

static void settle(struct sim_hub *h, struct sim_client *c)
{
    do {
        if (!sim_settle(h->sim))
            fail("the loops turn for ever", NULL);
        sim_client_read_all(c);
        complete(7);
    } while (sim_waiting(h->sim, c->sock) > 0 || later.first < later.last || !sim_settle(h->sim));
    sim_client_read_all(c);
    if (c->wrong)
        fail(c->wrong, c->answer.head);
}

/* Each acknowledged result has the id that is next or later; returns how many there are. */
static unsigned check_results(const char *body, unsigned most)
{
    unsigned ok = 0, all = 0;
    char last[EVENT_ID_LEN + 1] = "";
    for (const char *at = body; (at = strstr(at, "\"ok\":")); at++, all++) {
        const char *id = strstr(at, "\"id\":\"");
        if (strncmp(at + 5, "true", 4) != 0)
            continue;
        if (!id || strncmp(id + 6, last, EVENT_ID_LEN) <= 0)
            fail("results are not in order", at);
        snprintf(last, sizeof(last), "%s", id + 6);
        ok++;
    }
    if (all > most)
        fail("more results than items", body);
    return ok;
}

static void send_batch(struct sim_hub *h, const char *type, const char *text, size_t n, unsigned items)
{
    struct sim_client c;
    uint64_t before = steps_published(h);
    sim_client_open(&c, h->sim, 0);
    sim_client_askf(&c,
                    "POST /api/sse/notify%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n"
                    "Content-Length: %zu\r\n\r\n",
                    items > 1 ? "/batch" : "", type, n);
    for (size_t at = 0, step; at < n; at += step) {
        step = n - at < 3000 ? n - at : 3000;
        if (sim_send(h->sim, c.sock, text + at, step) != step && !c.broken && !c.ended && !fault_hit())
            fail("it is not read", NULL);
        settle(h, &c);
    }
    bool whole = c.answers == 1 && c.answer.complete && c.answer.status == 200;
    unsigned ok = whole ? check_results(c.answer.body, items) : 0;
    if (steps_published(h) - before < ok || steps_published(h) - before > items)
        fail("acknowledged and not published, or published twice", c.answer.body);
    if (!fault_hit() && ok != items - items / 10)
        fail("not everything was published", c.answer.body);
    if (!fault_hit() && steps_published(h) - before != ok)
        fail("what was refused was published", c.answer.body);
    sim_client_finish(&c);
    if (!sim_settle(h->sim))
        fail("the loops turn for ever", NULL);
}

/* Every tenth is refused. */
static size_t put_items(char *out, unsigned items, const char *between)
{
    char *at = out;
    for (unsigned i = 1; i <= items; i++)
        at += i % 10 == 0 ? sprintf(at, "%s{\"clientId\":\"a\"}", i > 1 ? between : "")
                          : sprintf(at, "%s{\"clientId\":\"a\",\"event\":\"n\",\"payload\":%u%s}",
                                    i > 1 ? between : "", i, i % 7 ? "" : ",\"ttl\":60");
    return (size_t)(at - out);
}

static void live(struct sim_hub *h)
{
    static char text[ITEMS * 80];
    size_t n = put_items(text + 1, ITEMS, ",");
    text[0] = '[';
    text[n + 1] = ']';
    send_batch(h, "application/json", text, n + 2, ITEMS);
    n = put_items(text, ITEMS, "\n");
    send_batch(h, "application/x-ndjson", text, n, ITEMS);
    for (unsigned i = 0; i < 3; i++)
        send_batch(h, "application/json", text, (size_t)(strchr(text, '\n') - text), 1);
}

static bool run(long n, long times, bool with_store, long *count)
{
    struct sim_hub h;
    memset(&later, 0, sizeof(later));
    later.on = with_store;
    the_n = n;
    the_times = times;
    sim_hub_init(&h, 9);
    if (sim_hub_start(&h) != 0)
        fail("no hub", NULL);
    fault_arm(n, times);
    live(&h);
    *count = fault_count();
    bool hit = fault_hit();
    fault_disarm();
    const char *left = sim_hub_leftover(h.sim, h.hub);
    if (left)
        fail("something is left", left);
    sim_hub_finish(&h);
    return hit;
}

static long number_of(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : fallback;
}

int main(void)
{
    static const long times[] = {1, 3, LONG_MAX};
    long total = 0, count, one = number_of("N", 0), step = SIM_SLOW ? 11 : 1;
    if (one != 0) {
        run(one, number_of("TIMES", 1), number_of("LATER", 0) != 0, &count);
        return 0;
    }
    for (unsigned with_store = 0; with_store < 2; with_store++) {
        run(0, 0, with_store, &count);
        total += count;
        for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++)
            for (long n = 1; run(n, times[i], with_store, &count); n += step)
                ;
    }
    printf("%ld allocations: each failed alone, with its next ones, and with all behind it\n", total);
    return total > 500 ? 0 : 1;
}
