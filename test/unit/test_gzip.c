/* SPDX-License-Identifier: MIT
 *
 * test_gzip - what readers of compressed streams are sent, put together and given to zlib's own decoder:
 * whoever joins whenever, hears what besides, and falls behind however far, reads what a reader of the plain
 * stream reads, at each moment and not only at the end.
 */
#include "gzip.h"

#include "json.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#define EVENTS  3000
#define READERS 12

static uint32_t state_of_chance = 1;

static uint32_t below(uint32_t n)
{
    state_of_chance = state_of_chance * 1664525 + 1013904223;
    return (state_of_chance >> 8) % n;
}

static struct event *make_event(uint64_t seq, size_t noise)
{
    static const char *const words[] = {"temperature", "humidity", "wind",
                                        "pressure",    "sunshine", "\\u00e9clair"};
    char json[70000];
    struct json_error error;
    int n = snprintf(json, sizeof(json), "{\"sensor\":\"%s\",\"value\":%u,\"unit\":\"%s\",\"noise\":\"",
                     words[below(6)], below(1000), words[below(6)]);
    for (size_t i = 0; i < noise; i++)
        json[n++] = (char)('!' + (below(90) == 1 ? 2 : below(80) + 2 == '\\' - '!' ? 3 : below(50) + 8));
    for (int i = 0; i < n; i++)
        if (json[i] == '\\' && json[i + 1] != 'u')
            json[i] = '/';
    n += snprintf(json + n, sizeof(json) - (size_t)n, "\"}");
    struct event *e = event_create(SPAN("measured"), (struct span){json, (size_t)n}, &error);
    assert_non_null(e);
    event_stamp(e, "1ng7vvzpbq4", seq, 0);
    return e;
}

/* A reader with a decoder, and the text that it should have read. */
struct reader {
    struct gzip_reader r;
    z_stream z;
    struct buf plain;
    size_t checked;
    bool here;
};

static void open_reader(struct reader *x)
{
    memset(x, 0, sizeof(*x));
    buf_init(&x->plain, 64u << 20);
    assert_int_equal(inflateInit2(&x->z, 15 + 16), Z_OK);
    x->here = true;
}

static void close_reader(struct reader *x)
{
    inflateEnd(&x->z);
    buf_finish(&x->plain);
    x->here = false;
}

/* Decodes the bytes: all of the text comes out at once, and nothing else. */
static int decode(struct reader *x, struct span bytes)
{
    static unsigned char out[200000];
    int rc;
    x->z.next_in = (unsigned char *)(uintptr_t)bytes.p;
    x->z.avail_in = (uInt)bytes.len;
    do {
        x->z.next_out = out;
        x->z.avail_out = sizeof(out);
        rc = inflate(&x->z, Z_SYNC_FLUSH);
        assert_true(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
        size_t n = sizeof(out) - x->z.avail_out;
        assert_true(x->checked + n <= x->plain.len);
        if (n > 0) /* with nothing decoded yet there may be no text to point into */
            assert_memory_equal(out, x->plain.data + x->checked, n);
        x->checked += n;
    } while (rc == Z_OK && (x->z.avail_in > 0 || x->z.avail_out == 0));
    assert_int_equal(x->checked, x->plain.len);
    assert_int_equal(x->z.avail_in, 0);
    return rc;
}

static void give(struct gzip *g, struct reader *x, struct event *e, bool broadcast)
{
    const struct deflate_block *b = gzip_pick(g, &x->r, e, broadcast);
    struct span text = event_text(e), body = deflate_body(b), frame = deflate_frame(b);
    char size[16];
    int n = snprintf(size, sizeof(size), "%zx\r\n", body.len);
    assert_int_equal(frame.len, (size_t)n + body.len + 2);
    assert_memory_equal(frame.p, size, n);
    assert_memory_equal(frame.p + frame.len - 2, "\r\n", 2);
    assert_true(body.len <= text.len + 5 * (text.len / 65535 + 1));
    gzip_advance(&x->r, e, b);
    buf_append(&x->plain, text.p, text.len);
    decode(x, body);
}

static void tell(struct reader *x, struct span text)
{
    struct buf out;
    buf_init(&out, 1000);
    gzip_put(&out, &x->r, text);
    buf_append(&x->plain, text.p, text.len);
    decode(x, (struct span){out.data, out.len});
    buf_finish(&out);
}

static void finish(struct reader *x)
{
    struct buf out;
    buf_init(&out, 100);
    gzip_put_end(&out, &x->r);
    assert_int_equal(decode(x, (struct span){out.data, out.len}),
                     Z_STREAM_END); /* CRC and length are right */
    buf_finish(&out);
    close_reader(x);
}

/* Readers come and go, hear of private events and heartbeats, lag and catch up, and are not given events that
 * have expired meanwhile. */
static void test_every_moment(void **state)
{
    (void)state;
    static struct event *events[EVENTS];
    static struct reader readers[READERS];
    size_t at[READERS];
    struct gzip g;
    gzip_init(&g);
    for (unsigned i = 0; i < EVENTS; i++) {
        events[i] = make_event(i + 1, below(20) == 0 ? below(3000) : below(200));
        for (unsigned k = 0; k < READERS; k++) {
            struct reader *x = &readers[k];
            if (!x->here && below(10) == 0) {
                open_reader(x);
                at[k] = i - (i > 50 ? below(50) : 0);
                tell(x, SPAN(":ok\nretry: 3000\n\n"));
            }
            if (!x->here || below(30) == 0)
                continue; /* lags */
            for (; at[k] <= i; at[k]++)
                if (below(20) > 0)
                    give(&g, x, events[at[k]], at[k] == i);
            if (below(25) == 0)
                tell(x, SPAN("event: __heartbeat\ndata: {\"ts\":1}\n\n"));
            if (below(15) == 0) {
                struct event *own = make_event(100000 + i, below(100));
                give(&g, x, own, false);
                event_unref(own);
            }
            if (below(200) == 0)
                finish(x);
        }
    }
    for (unsigned k = 0; k < READERS; k++)
        if (readers[k].here)
            finish(&readers[k]);
    for (unsigned i = 0; i < EVENTS; i++)
        event_unref(events[i]);
    gzip_finish(&g);
}

/* Who listens from the start and to broadcasts only is sent shared blocks, and each event is compressed once
 * for any number of them. */
static void test_once_for_all(void **state)
{
    (void)state;
    struct gzip g;
    static struct reader readers[100];
    gzip_init(&g);
    for (unsigned k = 0; k < 100; k++)
        open_reader(&readers[k]);
    size_t text = 0;
    for (unsigned i = 1; i <= 64; i++) {
        struct event *e = make_event(i, 20);
        text += event_text(e).len;
        for (unsigned k = 0; k < 100; k++) {
            if (!readers[k].r.begun)
                tell(&readers[k], SPAN(":ok\n\n"));
            give(&g, &readers[k], e, true);
        }
        event_unref(e);
    }
    assert_int_equal(atomic_load(&g.events), 64);
    assert_int_equal(atomic_load(&g.text_bytes), text);
    assert_true(atomic_load(&g.block_bytes) * 2 < text);
    for (unsigned k = 0; k < 100; k++)
        finish(&readers[k]);
    gzip_finish(&g);
}

/* What cannot be compressed is stored, in as many blocks as it needs; and a large event does not fit any
 * window. */
static void test_large(void **state)
{
    (void)state;
    struct gzip g;
    struct reader x;
    gzip_init(&g);
    open_reader(&x);
    for (unsigned i = 1; i <= 40; i++) {
        struct event *e = make_event(i, i % 4 == 0 ? 66000 : i % 4 == 1 ? 33000 : 50);
        if (i == 1)
            tell(&x, SPAN(":ok\n\n"));
        give(&g, &x, e, true);
        event_unref(e);
    }
    finish(&x);
    gzip_finish(&g);
}

/* What a log holds, with forms of each event as its readers left them: they are bounded, those in use stay,
 * and who comes later reads the same. */
#define HELD  2000
#define BOUND (1024 * 1024)

static size_t drop_old(struct gzip *g)
{
    size_t count = 0;
    struct event_zip *taken = gzip_take(g);
    for (const struct event_zip *z = taken; z; z = z->newer)
        count++;
    gzip_drop(taken);
    return count;
}

static void fill_history(struct gzip *g, struct event **events, struct reader *live, struct reader *late)
{
    static struct channel channel;
    size_t most = 0;
    for (unsigned i = 0; i < HELD; i++) {
        events[i] = make_event(i + 1, 400);
        events[i]->channel = &channel;
        if (gzip_is_full(g))
            assert_true(drop_old(g) > 0);
        give(g, live, events[i], true);
        tell(late, SPAN(":\n")); /* so that it is sent the other form, unless an epoch begins */
        give(g, late, events[i], false);
        most = atomic_load(&g->held_bytes) > most ? atomic_load(&g->held_bytes) : most;
    }
    assert_int_equal(atomic_load(&g->events), 2 * HELD - HELD / GZIP_EPOCH_EVENTS); /* once in each form */
    assert_true(most > BOUND && most <= BOUND + 2048);
}

static void test_held_is_bounded(void **state)
{
    (void)state;
    static struct event *events[HELD];
    struct gzip g;
    struct reader live, late, third;
    gzip_init(&g);
    assert_int_equal(g.held_max, GZIP_HELD_BYTES);
    g.held_max = BOUND;
    open_reader(&live);
    open_reader(&late);
    open_reader(&third);
    tell(&live, SPAN(":ok\n\n"));
    tell(&late, SPAN(":ok\n\n:I am behind\n\n"));
    tell(&third, SPAN(":ok\n\n"));
    fill_history(&g, events, &live, &late);
    assert_null(atomic_load(&events[0]->zip));
    assert_non_null(atomic_load(&events[HELD - 1]->zip));
    for (unsigned i = 0; i < HELD; i++) {
        give(&g, &third, events[i], true);
        drop_old(&g);
    }
    finish(&live);
    finish(&late);
    finish(&third);
    for (unsigned i = 0; i < HELD; i++)
        event_unref(events[i]);
    assert_int_equal(atomic_load(&g.held_bytes), 0);
    assert_null(g.oldest);
    gzip_finish(&g);
}

/* A form is in use as long as somebody besides the log refers to its event, and when the log does not have
 * the event any more. */
static void test_in_use(void **state)
{
    (void)state;
    static struct event *events[100];
    struct channel channel;
    struct gzip g;
    struct gzip_reader r = {0};
    const struct deflate_block *block = NULL, *gone = NULL;
    gzip_init(&g);
    g.held_max = BOUND;
    for (unsigned i = 0; i < 100; i++) {
        events[i] = make_event(i + 1, 20000);
        events[i]->channel = i == 7 ? NULL : &channel;
        if (i == 3)
            event_ref(events[i]);
        const struct deflate_block *b = gzip_pick(&g, &r, events[i], false);
        assert_non_null(b);
        block = i == 3 ? b : block;
        gone = i == 7 ? b : gone;
        drop_old(&g);
    }
    assert_null(atomic_load(&events[4]->zip));
    assert_ptr_equal(gzip_pick(&g, &r, events[3], false), block);
    assert_ptr_equal(gzip_pick(&g, &r, events[7], false), gone);
    event_unref(events[3]);
    for (unsigned i = 0; i < 100; i++)
        event_unref(events[i]);
    assert_int_equal(atomic_load(&g.held_bytes), 0);
    gzip_finish(&g);
}

/* A stream that has nothing in it is a gzip stream, too. */
static void test_empty(void **state)
{
    (void)state;
    struct reader x;
    open_reader(&x);
    finish(&x);
}

/* When all are in use nobody looks for more until there is more; afterwards everything can go. */
static void test_all_in_use(void **state)
{
    (void)state;
    static struct event *events[200];
    struct channel channel;
    struct gzip g;
    struct gzip_reader r = {0};
    unsigned looked = 0;
    gzip_init(&g);
    g.held_max = 640000;
    for (unsigned i = 0; i < 200; i++) {
        events[i] = make_event(i + 1, 10000);
        events[i]->channel = &channel;
        event_ref(events[i]);
        assert_non_null(gzip_pick(&g, &r, events[i], false));
        if (gzip_is_full(&g)) {
            looked++;
            assert_int_equal(drop_old(&g), 0);
            assert_false(gzip_is_full(&g));
        }
    }
    assert_in_range(looked, 20, 60);
    for (unsigned i = 0; i < 200; i++)
        event_unref(events[i]);
    assert_true(drop_old(&g) > 0);
    assert_true(atomic_load(&g.held_bytes) <= g.held_max);
    for (unsigned i = 0; i < 200; i++)
        event_unref(events[i]);
    assert_int_equal(atomic_load(&g.held_bytes), 0);
    gzip_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_moment), cmocka_unit_test(test_once_for_all),
        cmocka_unit_test(test_large),        cmocka_unit_test(test_held_is_bounded),
        cmocka_unit_test(test_in_use),       cmocka_unit_test(test_all_in_use),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests_name("gzip", tests, NULL, NULL);
}
