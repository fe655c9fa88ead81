/* SPDX-License-Identifier: MIT
 *
 * sim_gzip - the compressed forms of what a hub holds: each broadcast is compressed once for the readers of
 * all loops, and what is kept of that stays within its bound, also while somebody reads all of history. What
 * readers are sent is sim_model's.
 */
#include "steps.h"

#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define EVENTS  600
#define READERS 4
#define BOUND   16384
#define FORMS   1024           /* what the forms of one event take, at the most */
#define PULL    (64 * (FORMS)) /* and those of one pull */

static void count(void *user, const struct sim_event *e)
{
    *(unsigned *)user += strcmp(e->name, "note") == 0;
}

static void subscribe(struct sim_hub *h, struct sim_client *c, unsigned i, unsigned *got, const char *cursor)
{
    char name[8];
    snprintf(name, sizeof(name), "r%u", i);
    sim_client_open(c, h->sim, i % 2);
    c->accepts_gzip = true;
    c->on_event = count;
    c->user = got;
    assert_true(sim_client_subscribe(c, name, "", cursor));
    assert_true(sim_settle(h->sim));
}

static void publish(struct sim_hub *h, struct rng *chance)
{
    char json[202] = "\"";
    for (unsigned i = 1; i < 200; i++)
        json[i] = (char)('a' + rng_below(chance, 26));
    json[200] = '"';
    assert_int_equal(tidings_broadcast(h->hub, "note", json, 201), READERS);
    assert_true(sim_settle(h->sim));
}

static void read_well(struct sim_client *c)
{
    sim_client_read_all(c);
    assert_null(c->wrong);
    assert_true(c->answer.zipped);
}

static void test_bound(void **state)
{
    (void)state;
    struct sim_hub h;
    struct sim_client readers[READERS], late;
    unsigned got[READERS + 1] = {0};
    struct rng chance = {1};
    sim_hub_init(&h, 1);
    h.config.loops = 2;
    steps_start(&h);
    struct gzip *g = hub_service(h.hub)->gzip;
    g->held_max = BOUND;
    for (unsigned i = 0; i < READERS; i++)
        subscribe(&h, &readers[i], i, &got[i], NULL);
    for (unsigned n = 1; n <= EVENTS; n++) {
        publish(&h, &chance);
        for (unsigned i = 0; i < READERS; i++)
            read_well(&readers[i]);
        assert_true(g->held_bytes <= BOUND + FORMS);
        assert_int_equal(g->events, n);
    }
    subscribe(&h, &late, READERS, &got[READERS], "unknown");
    for (unsigned i = 0; i < EVENTS && got[READERS] < EVENTS; i++) {
        read_well(&late);
        assert_true(sim_settle(h.sim));
        assert_true(g->held_bytes <= BOUND + PULL);
    }
    assert_true(g->events > EVENTS); /* what had been given up was made again */
    for (unsigned i = 0; i <= READERS; i++)
        assert_int_equal(got[i], EVENTS);
    for (unsigned i = 0; i < READERS; i++)
        sim_client_finish(&readers[i]);
    sim_client_finish(&late);
    steps_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bound)};
    return cmocka_run_group_tests_name("sim_gzip", tests, NULL, NULL);
}
