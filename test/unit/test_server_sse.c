/* SPDX-License-Identifier: MIT
 *
 * test_server_sse - event streams as WHATWG HTML section 9.2.6 says, cut at every place.
 */
#include "sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"

struct run {
    const char *input;
    size_t len;
    const char *expected; /* "id|event|data;" for each event */
    uint64_t retry;       /* in the end */
    char seen[1024];
};

static bool note(void *user, const struct sse_event *event)
{
    struct run *run = user;
    size_t used = strlen(run->seen);

    assert_int_equal(strlen(event->event), event->event_len);
    assert_int_equal(event->data[event->data_len], '\0');
    snprintf(run->seen + used, sizeof run->seen - used, "%s|%s|%s;", event->id, event->event, event->data);
    return true;
}

static void check(void *user, const struct cut *cut)
{
    struct run *run = user;
    struct guard guard;
    struct sse sse;

    guard_init(&guard, run->len + 1);
    sse_init(&sse, 1024, 7);
    run->seen[0] = '\0';
    for (size_t from = 0, to; from < run->len; from = to) {
        to = cut_next(cut, from, run->len);
        assert_int_equal(
            sse_feed(&sse, guard_copy(&guard, run->input + from, to - from), to - from, note, run), 0);
    }
    assert_string_equal(run->seen, run->expected);
    assert_int_equal(sse.retry, run->retry);
    sse_finish(&sse);
    guard_finish(&guard);
}

#define CASE(input, expected, retry)                                                                         \
    {                                                                                                        \
        input, sizeof(input) - 1, expected, retry, ""                                                        \
    }

static void test_vectors(void **state)
{
    static struct run runs[] = {
        CASE("data: a\n\n", "|message|a;", 7),
        CASE("data: a\r\n\r\n", "|message|a;", 7),
        CASE("data: a\r\r", "|message|a;", 7),
        CASE("data: a\r\n\rdata: b\n\r\n", "|message|a;|message|b;", 7),
        CASE("\xef\xbb\xbf"
             "data: a\n\n",
             "|message|a;", 7),
        CASE("\xef\xbb\xbf\xef\xbb\xbf"
             "data: a\n\n",
             "", 7),
        CASE("data: a\n\n\xef\xbb\xbf"
             "data: b\n\n",
             "|message|a;", 7),
        CASE(":comment\n\nid: 1\nevent: x\ndata: a\ndata: b\n\n", "1|x|a\nb;", 7),
        CASE("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", "1|message|a;1|message|b;|message|c;", 7),
        CASE("id: 1\n\ndata: b\n\n", "1|message|b;", 7),
        CASE("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", "1|message|a;1|message|b;", 7),
        CASE("event: x\n\ndata: b\n\n", "|message|b;", 7),
        CASE("data\n\ndata\ndata\n\ndata:\n\n", "|message|;|message|\n;|message|;", 7),
        CASE("data:  a\n\ndata:a\n\n", "|message| a;|message|a;", 7),
        CASE("Data: a\ndat: a\ndataa: a\n: x\n\n", "", 7),
        CASE("data: a", "", 7),
        CASE("data: a\n", "", 7),
        CASE("retry: 250\n\nretry: 1x\nretry: -1\nretry: \nretry\nretry: 1 \n\n", "", 250),
        CASE("retry: 99999999999999999999999\n\n", "", 7),
        CASE("data: x:y: z\nunknown: 1\n\n", "|message|x:y: z;", 7),
    };

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        cut_each_way(runs[i].len, check, &runs[i]);
}

static bool stop(void *user, const struct sse_event *event)
{
    (void)event;
    return --*(int *)user > 0;
}

static void test_stop(void **state)
{
    static const char text[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    struct sse sse;
    int wanted = 2;

    (void)state;
    sse_init(&sse, 1024, 0);
    assert_int_equal(sse_feed(&sse, text, sizeof text - 1, stop, &wanted), 1);
    assert_int_equal(wanted, 0);
    sse_finish(&sse);
}

static void test_limits(void **state)
{
    static char line[3000];
    struct run run = {.seen = ""};
    struct sse sse;
    int result = 0;

    (void)state;
    memset(line, 'x', sizeof line);
    sse_init(&sse, 1024, 0);
    assert_int_equal(sse_feed(&sse, line, sizeof line, note, &run), -1);
    sse_finish(&sse);
    sse_init(&sse, 1024, 0);
    for (int i = 0; i < 300 && result == 0; i++)
        result = sse_feed(&sse, "data: four\n", 11, note, &run);
    assert_int_equal(result, -1);
    sse_finish(&sse);
}

static void test_reconnect(void **state)
{
    struct run run = {.seen = ""};
    struct sse sse;
    size_t len;

    (void)state;
    sse_init(&sse, 1024, 0);
    assert_string_equal(sse_last_id(&sse, &len), "");
    assert_int_equal(sse_feed(&sse, "id: 7\ndata: a\n\nid: 8\ndata: lo", 29, note, &run), 0);
    assert_string_equal(sse_last_id(&sse, &len), "7");
    assert_int_equal(len, 1);
    sse_reconnect(&sse);
    assert_int_equal(sse_feed(&sse, "data: b\n\n", 9, note, &run), 0);
    assert_string_equal(run.seen, "7|message|a;7|message|b;");
    sse_finish(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_reconnect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
