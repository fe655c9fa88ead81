/* SPDX-License-Identifier: MIT
 *
 * test_server_log - lines that no name can forge, the rate of noisy events, and a log whose reader is away.
 */
#include "logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <jansson.h>

#define WHEN UINT64_C(1795416192345) /* 2026-11-23T06:43:12.345Z */

static char line[LOGLINE_MAX + 1];

static const char *write_line(enum logline_format format, const struct tidings_log_record *record)
{
    size_t len = logline_write(line, format, WHEN, record);

    assert_true(len > 0 && len <= LOGLINE_MAX);
    line[len] = '\0';
    assert_int_equal(line[len - 1], '\n');
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    return line;
}

static void test_plain(void **state)
{
    struct tidings_log_field fields[] = {
        {"address", "127.0.0.1:4711", 0}, {"name", "Ada L.", 0}, {"ms", NULL, 17}};
    struct tidings_log_record record = {TIDINGS_LOG_INFO, "listen", "listening on http://127.0.0.1:3000",
                                        fields, 3};

    (void)state;
    assert_string_equal(write_line(LOGLINE_TEXT, &record),
                        "2026-11-23T06:43:12.345Z info  listening on http://127.0.0.1:3000 event=listen "
                        "address=127.0.0.1:4711 name=\"Ada L.\" ms=17\n");
    assert_string_equal(write_line(LOGLINE_JSON, &record),
                        "{\"time\":\"2026-11-23T06:43:12.345Z\",\"level\":\"info\",\"event\":\"listen\","
                        "\"msg\":\"listening on http://127.0.0.1:3000\",\"address\":\"127.0.0.1:4711\","
                        "\"name\":\"Ada L.\",\"ms\":17}\n");
}

static void test_hostile(void **state)
{
    static const char *const names[] = {
        "a\nb",
        "\r\n2026-11-23T06:43:12.345Z info  forged",
        "\x1b[2J",
        "\"} {\"msg\":\"x",
        "\\\"",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "\xe2\x80\xae",
        "\xff\xfe",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xc3",
        "\x7f",
        "",
        "event=x y",
    };
    json_error_t error;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tidings_log_field field = {"name", names[i], 0};
        struct tidings_log_record record = {TIDINGS_LOG_WARN, names[i], names[i], &field, 1};
        json_t *object;
        write_line(LOGLINE_TEXT, &record);
        for (const char *p = line; p[1]; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
        assert_null(strstr(line, "\xe2\x80\xae"));
        object = json_loads(write_line(LOGLINE_JSON, &record), JSON_REJECT_DUPLICATES, &error);
        if (!object)
            fail_msg("%zu: %s", i, error.text);
        assert_int_equal(json_object_size(object), 5);
        json_decref(object);
    }
}

static void test_taken_names(void **state)
{
    struct tidings_log_field fields[] = {{"event", "order", 0}, {"msg", "x", 0}};
    struct tidings_log_record record = {TIDINGS_LOG_DEBUG, "publish", "published", fields, 2};
    json_t *object = json_loads(write_line(LOGLINE_JSON, &record), JSON_REJECT_DUPLICATES, NULL);

    (void)state;
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "event")), "publish");
    assert_string_equal(json_string_value(json_object_get(object, "event_")), "order");
    json_decref(object);
}

static void test_long(void **state)
{
    static char text[20000];
    struct tidings_log_field fields[40];
    struct tidings_log_record record = {TIDINGS_LOG_ERROR, "x", text, fields, 40};
    json_t *object;

    (void)state;
    /* Quotes double when escaped, so every limit is met. */
    memset(text, '"', sizeof text - 1);
    for (size_t i = 0; i < 40; i++)
        fields[i] = (struct tidings_log_field){"f", text, 0};
    object = json_loads(write_line(LOGLINE_JSON, &record), 0, NULL);
    assert_non_null(object);
    json_decref(object);
    write_line(LOGLINE_TEXT, &record);
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    object = json_loads(write_line(LOGLINE_JSON, &record), 0, NULL);
    assert_non_null(object);
    json_decref(object);
}

static void test_rate(void **state)
{
    struct logline_rate rate;
    const char *event;
    uint64_t count, let_through = 0;

    (void)state;
    logline_rate_init(&rate, 1000);
    for (int i = 0; i < 1000; i++)
        let_through += logline_rate_take(&rate, "connect", 1000);
    assert_int_equal(let_through, 200);
    assert_true(logline_rate_take(&rate, "disconnect", 1000));
    assert_true(logline_rate_waits(&rate));
    assert_false(logline_rate_due(&rate, 1999));
    assert_true(logline_rate_due(&rate, 2000));
    assert_true(logline_rate_next(&rate, &event, &count));
    assert_string_equal(event, "connect");
    assert_int_equal(count, 800);
    assert_false(logline_rate_next(&rate, &event, &count));
    for (let_through = 0; logline_rate_take(&rate, "connect", 2000); let_through++)
        ;
    assert_int_equal(let_through, 100);
    for (let_through = 0; logline_rate_take(&rate, "connect", 100000); let_through++)
        ;
    assert_int_equal(let_through, 200);
    for (int i = 0; i < 1000; i++)
        assert_true(logline_rate_take(&rate, "reload", 2000));
}

/* Reads what the other end wrote, until it is closed. */
static size_t drain(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    return len;
}

static void test_flush_and_level(void **state)
{
    struct logger_options options = {.format = LOGLINE_TEXT, .level = TIDINGS_LOG_WARN};
    struct logger *log;
    char text[4096];
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    options.fd = fds[1];
    assert_int_equal(logger_create(&log, &options), 0);
    logger_say(log, TIDINGS_LOG_INFO, "x", "unseen");
    logger_announce(log, "listen", "listening on %s", "unix:/x");
    logger_set_level(log, TIDINGS_LOG_DEBUG);
    logger_say(log, TIDINGS_LOG_DEBUG, "x", "seen %d", 1);
    logger_destroy(log);
    close(fds[1]);
    drain(fds[0], text, sizeof text);
    close(fds[0]);
    assert_null(strstr(text, "unseen"));
    assert_non_null(strstr(text, "info  listening on unix:/x event=listen\n"));
    assert_non_null(strstr(text, "debug seen 1 event=x\n"));
}

static void test_noisy_lines_are_counted(void **state)
{
    struct logger_options options = {.format = LOGLINE_TEXT, .level = TIDINGS_LOG_INFO};
    struct logger *log;
    static char text[65536];
    size_t lines = 0;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    options.fd = fds[1];
    assert_int_equal(logger_create(&log, &options), 0);
    for (int i = 0; i < 5000; i++)
        logger_say(log, TIDINGS_LOG_INFO, "connect", "c");
    logger_destroy(log);
    close(fds[1]);
    drain(fds[0], text, sizeof text);
    close(fds[0]);
    for (const char *p = text; (p = strstr(p, " info  c event=connect\n")) != NULL; p++)
        lines++;
    assert_true(lines >= 200 && lines < 400);
    assert_non_null(strstr(text, "more connect lines left out"));
}

/* Nobody reads: logging goes on at once, lines are counted, and the end does not hang. */
static void test_stuck_reader(void **state)
{
    struct logger_options options = {.format = LOGLINE_JSON, .level = TIDINGS_LOG_INFO, .capacity = 65536};
    struct logger *log;
    static char text[1 << 20];
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    options.fd = fds[1];
    assert_int_equal(logger_create(&log, &options), 0);
    for (int i = 0; i < 20000; i++)
        logger_say(log, TIDINGS_LOG_INFO, "x", "line %d of a log that nobody reads", i);
    /* It comes back: what is left is written, and what was lost is told. */
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    for (size_t len = 0; !strstr(text, "log lines lost");) {
        struct pollfd ready = {.fd = fds[0], .events = POLLIN};
        assert_int_equal(poll(&ready, 1, 5000), 1);
        len += drain(fds[0], text + len, sizeof text - len);
        logger_say(log, TIDINGS_LOG_INFO, "x", "more");
    }
    for (int i = 0; i < 20000; i++)
        logger_say(log, TIDINGS_LOG_INFO, "x", "line %d of a log that nobody reads", i);
    logger_destroy(log);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_taken_names),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_flush_and_level),
        cmocka_unit_test(test_noisy_lines_are_counted),
        cmocka_unit_test(test_stuck_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
