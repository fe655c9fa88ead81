/* SPDX-License-Identifier: MIT
 *
 * test_ring - events come in at one end and go out anywhere; what is found by number and by time.
 */
#include "ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EVENTS = 100 };

static struct event *events[EVENTS]; /* event i has number 10 * i + 10 and was published at 5 * (i / 2) */

static int make_events(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EVENTS; i++) {
        events[i] = event_restore(SPAN("e"), SPAN("1"));
        assert_non_null(events[i]);
        event_stamp(events[i], "0123456789a", 10 * i + 10, 5 * (i / 2));
        events[i]->kept = i % 3 != 0;
    }
    return 0;
}

static int drop_events(void **state)
{
    (void)state;
    for (unsigned i = 0; i < EVENTS; i++)
        event_unref(events[i]);
    return 0;
}

static void push(struct ring *r, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        assert_true(ring_make_room(r));
        ring_push(r, events[i]);
    }
}

static void expect(const struct ring *r, unsigned count, const unsigned *which)
{
    size_t bytes = 0, live = 0;

    assert_int_equal(r->count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_ptr_equal(ring_at(r, i), events[which[i]]);
        bytes += event_footprint(events[which[i]]);
        live += !events[which[i]]->kept;
    }
    assert_int_equal(r->bytes, bytes);
    assert_int_equal(r->live, live);
}

static void test_push(void **state)
{
    struct ring r = {0};

    (void)state;
    push(&r, 0, 4);
    expect(&r, 4, (const unsigned[]){0, 1, 2, 3});
    assert_int_equal(r.tail, 40);
    assert_int_equal(r.kept, 30); /* the last is for live readers */
    assert_int_equal(r.end, 4 * events[0]->size);
    assert_int_equal(events[1]->end, 2 * events[0]->size);
    while (r.count > 0)
        ring_remove(&r, 0);
    assert_int_equal(r.end, 4 * events[0]->size); /* of all that were ever added */
    ring_shrink(&r);
    assert_int_equal(r.cap, 0);
    assert_null(r.slots);
}

/* Every place of every count, wherever the ring begins in its memory. */
static void test_remove(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 8; count++)
        for (unsigned at = 0; at < count; at++)
            for (unsigned turn = 0; turn < 8; turn++) {
                struct ring r = {0};
                unsigned left[8], n = 0;

                push(&r, 0, 5); /* of eight places */
                for (unsigned i = 5; i < 5 + turn; i++) {
                    ring_remove(&r, 0);
                    push(&r, i, 1);
                }
                while (r.count > 0)
                    ring_remove(&r, 0);
                push(&r, 20, count);
                ring_remove(&r, at);
                for (unsigned i = 0; i < count; i++)
                    if (i != at)
                        left[n++] = 20 + i;
                expect(&r, n, left);
                free(r.slots);
            }
}

static void test_find(void **state)
{
    struct ring r = {0};

    (void)state;
    assert_int_equal(ring_after(&r, 0), 0);
    assert_int_equal(ring_since(&r, 0), 0);
    push(&r, 0, 7);
    for (unsigned i = 0; i < 3; i++)
        ring_remove(&r, 0);
    push(&r, 7, 4); /* it goes round: events 3 to 10 */
    assert_int_equal(r.cap, 8);
    for (unsigned cursor = 0; cursor < 130; cursor++)
        assert_int_equal(ring_after(&r, cursor), cursor < 40 ? 0 : cursor >= 110 ? 8 : cursor / 10 - 3);
    assert_int_equal(ring_after(&r, UINT64_MAX), 8);
    for (unsigned ts = 0; ts < 40; ts++) {
        unsigned first = 0;

        while (first < 8 && ring_at(&r, first)->ts < ts)
            first++;
        assert_int_equal(ring_since(&r, ts), first);
    }
    assert_int_equal(ring_since(&r, 10), 1); /* of two in the same millisecond the first */
    free(r.slots);
}

/* Room is for what is held and what has been promised. */
static void test_reservations(void **state)
{
    struct ring r = {0};
    unsigned all[EVENTS];

    (void)state;
    push(&r, 0, 3);
    for (unsigned i = 0; i < 3; i++)
        ring_remove(&r, 0);
    push(&r, 3, 3); /* it begins in the middle */
    for (unsigned i = 0; i < 60; i++) {
        assert_true(ring_make_room(&r));
        r.reserved++;
        assert_true(r.cap >= r.count + r.reserved);
    }
    assert_int_equal(r.cap, 64);
    struct event **slots = r.slots;

    for (unsigned i = 0; i < 60; i++) {
        r.reserved--;
        ring_push(&r, events[6 + i]);
    }
    assert_ptr_equal(r.slots, slots);
    for (unsigned i = 0; i < 63; i++)
        all[i] = 3 + i;
    expect(&r, 63, all);
    free(r.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_reservations),
    };

    return cmocka_run_group_tests_name("ring", tests, make_events, drop_events);
}
