/* SPDX-License-Identifier: MIT
 *
 * steps - see steps.h.
 */
#include "steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void steps_start(struct sim_hub *h)
{
    assert_int_equal(sim_hub_start(h), 0);
}

void steps_stop(struct sim_hub *h)
{
    assert_true(sim_settle(h->sim));
    const char *left = sim_hub_leftover(h->sim, h->hub);
    if (left)
        fail_msg("left over: %s", left);
    sim_hub_finish(h);
}

void steps_settle(struct sim_hub *h, struct sim_client *c)
{
    size_t got;
    do {
        assert_true(sim_settle(h->sim));
        got = sim_client_read(c, SIZE_MAX);
        if (c->wrong)
            fail_msg("%s", c->wrong);
    } while (got > 0);
}

uint64_t steps_published(const struct sim_hub *h)
{
    return hub_service(h->hub)->log->seq;
}

const char *steps_so_far(const struct sim_client *c)
{
    return c->line.len > 0 ? c->line.p : "";
}

unsigned steps_count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}
