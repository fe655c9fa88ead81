/* SPDX-License-Identifier: MIT
 *
 * test_h1 - request heads and chunked bodies on the vectors of test/vectors/h1, response heads, and the
 * Accept family.
 */
#include "h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "vectors.h"

/* A vector on its way through a parser. */
struct trial {
    const struct vector *v;
    struct guard guard;
    struct h1_limits limits;
    struct h1_head head;
    struct h1_error error;
    ssize_t result;
};

static bool is_view(const struct trial *t, struct span s, const char *input)
{
    return !s.p || (s.p >= input && s.p + s.len <= input + t->result);
}

static void views_lie_inside(const struct trial *t, const char *input)
{
    const struct h1_head *head = &t->head;

    assert_true(is_view(t, head->method, input) && is_view(t, head->target, input));
    assert_true(is_view(t, head->path, input) && is_view(t, head->query, input) &&
                is_view(t, head->host, input));
    for (unsigned i = 0; i < head->field_count; i++)
        assert_true(is_view(t, head->fields[i].name, input) && is_view(t, head->fields[i].value, input));
    for (unsigned i = 0; i < H1_KNOWN_COUNT; i++)
        assert_true(is_view(t, head->known[i], input));
}

/* What the head says about key, as the vector files write it. */
static void describe(const struct trial *t, const char *key, const char *value, char *out, size_t cap)
{
    const struct h1_head *h = &t->head;
    struct span s = {"?", 1};

    if (strcmp(key, "method") == 0)
        s = h->method;
    else if (strcmp(key, "target") == 0)
        s = h->target;
    else if (strcmp(key, "path") == 0)
        s = h->path;
    else if (strcmp(key, "query") == 0)
        s = h->query.p ? h->query : SPAN("-");
    else if (strcmp(key, "host") == 0)
        s = h->host;
    else if (strcmp(key, "field") == 0)
        s = h1_field(h, (struct span){value, strcspn(value, ":")});
    if (strcmp(key, "field") == 0 && s.p)
        snprintf(out, cap, "%.*s:%s%.*s", (int)strcspn(value, ":"), value, s.len ? " " : "", (int)s.len, s.p);
    else
        snprintf(out, cap, "%.*s", (int)s.len, s.p ? s.p : "");
}

static bool describe_number(const struct trial *t, const char *key, char *out, size_t cap)
{
    const struct h1_head *h = &t->head;

    if (strcmp(key, "minor") == 0)
        snprintf(out, cap, "%d", h->minor);
    else if (strcmp(key, "fields") == 0)
        snprintf(out, cap, "%u", h->field_count);
    else if (strcmp(key, "length") == 0)
        snprintf(out, cap, "%llu", (unsigned long long)h->content_length);
    else if (strcmp(key, "rest") == 0)
        snprintf(out, cap, "%zu", t->v->input_len - (size_t)t->result);
    else if (strcmp(key, "flags") == 0)
        snprintf(out, cap, "%s%s%s%s%s", h->keep_alive ? " keep_alive" : "", h->close_asked ? " close" : "",
                 h->expect_continue ? " expect" : "", h->has_body ? " body" : "",
                 h->chunked ? " chunked" : "");
    else
        return false;
    return true;
}

static void head_says(const struct trial *t, const struct cut *cut)
{
    for (unsigned i = 0; i < t->v->count; i++) {
        const char *key = t->v->lines[i].key, *value = t->v->lines[i].value;
        char actual[1024];

        if (strcmp(key, "limits") == 0)
            continue;
        if (!describe_number(t, key, actual, sizeof(actual)))
            describe(t, key, value, actual, sizeof(actual));
        if (strcmp(actual + (*actual == ' '), value) != 0)
            fail_msg("%s (cut %zu/%zu): %s is [%s]", t->v->title, cut->first, cut->step, key, actual);
    }
}

/* Is the outcome the one that the vector asks for with `error` or `more`? False if it asks for neither. */
static bool check_outcome(const struct trial *t, const struct cut *cut, ssize_t result)
{
    const char *refusal = vector_get(t->v, "error"), *more = vector_get(t->v, "more");
    char actual[256];

    if (refusal) {
        snprintf(actual, sizeof(actual), "%d %s", t->error.status, t->error.code);
        if (result >= 0)
            fail_msg("%s (cut %zu/%zu): not refused", t->v->title, cut->first, cut->step);
        if (strcmp(actual, refusal) != 0 || t->error.offset != t->v->mark)
            fail_msg("%s (cut %zu/%zu): %s at %zu, not %zu", t->v->title, cut->first, cut->step, actual,
                     t->error.offset, t->v->mark);
        assert_true(strlen(t->error.detail) > 10);
        return true;
    }
    if (result < 0)
        fail_msg("%s (cut %zu/%zu): %s at %zu", t->v->title, cut->first, cut->step, t->error.detail,
                 t->error.offset);
    if (more && result != 0)
        fail_msg("%s (cut %zu/%zu): complete", t->v->title, cut->first, cut->step);
    if (!more && result == 0)
        fail_msg("%s (cut %zu/%zu): not complete", t->v->title, cut->first, cut->step);
    return false;
}

/* Feeds the growing beginning of the input, as a connection would. */
static void try_head(void *user, const struct cut *cut)
{
    struct trial *t = user;
    size_t n = t->v->input_len, len = 0, seen = 0;
    const char *copy;

    memset(&t->head, 0xEE, sizeof(t->head));
    do {
        len = cut_next(cut, len, n);
        copy = guard_copy(&t->guard, t->v->input, len);
        t->result = h1_parse_head(copy, len, seen, &t->limits, &t->head, &t->error);
        seen = len;
    } while (t->result == 0 && len < n);
    if (check_outcome(t, cut, t->result) || t->result == 0)
        return;
    views_lie_inside(t, copy);
    head_says(t, cut);
}

static void run_head(const struct vector *v)
{
    struct trial t = {.v = v, .limits = {65536, 65536}};
    const char *limits = vector_get(v, "limits");
    char *end;

    if (limits) {
        t.limits.max_request_line = (uint32_t)strtoul(limits, &end, 10);
        t.limits.max_headers = (uint32_t)strtoul(end, NULL, 10);
    }
    guard_init(&t.guard, v->input_len);
    cut_each_way(v->input_len, try_head, &t);
    guard_finish(&t.guard);
}

/* Joins the `data` lines of the vector. The caller frees. */
static char *expected_data(const struct vector *v, size_t *n)
{
    char *all = calloc(1, 8 * v->input_len + 1);

    assert_non_null(all);
    *n = 0;
    for (unsigned i = 0; i < v->count; i++) {
        const char *key = v->lines[i].key;
        unsigned long times = key[4] == '*' ? strtoul(key + 5, NULL, 10) : 1;
        size_t mark, len;
        char *text;

        if (strncmp(key, "data", 4) != 0)
            continue;
        text = strdup(v->lines[i].value);
        assert_non_null(text);
        len = vector_unescape(text, &mark);
        for (; times > 0; times--, *n += len)
            memcpy(all + *n, text, len);
        free(text);
    }
    return all;
}

/* Feeds the input piece by piece; each piece ends at the end of memory. */
static void try_chunked(void *user, const struct cut *cut)
{
    struct trial *t = user;
    struct h1_chunked decoder = {0};
    size_t n = t->v->input_len, from = 0, to, got = 0, rest = 0, expected_len;
    char *expected = expected_data(t->v, &expected_len), *data = malloc(n + 1);
    const char *expected_rest = vector_get(t->v, "rest");
    int result = 0;

    assert_non_null(data);
    for (; result == 0 && from < n; from = to) {
        size_t len;
        char *copy;

        to = cut_next(cut, from, n);
        len = to - from;
        copy = guard_copy(&t->guard, t->v->input + from, len);
        result = h1_chunked_feed(&decoder, copy, &len, &rest, &t->error);
        if (result < 0) {
            t->error.offset += from;
            break;
        }
        memcpy(data + got, copy, len);
        got += len;
        assert_true(result == 1 || rest == 0);
    }
    if (!check_outcome(t, cut, result)) {
        if (got != expected_len || memcmp(data, expected, got) != 0)
            fail_msg("%s (cut %zu/%zu): got [%.*s]", t->v->title, cut->first, cut->step, (int)got, data);
        assert_int_equal(decoder.total, got);
        rest += n - from;
        if (expected_rest && strtoul(expected_rest, NULL, 10) != rest)
            fail_msg("%s (cut %zu/%zu): rest %zu", t->v->title, cut->first, cut->step, rest);
    }
    free(expected);
    free(data);
}

static void run_chunked(const struct vector *v)
{
    struct trial t = {.v = v};
    struct cut whole = {v->input_len, v->input_len}, bytes = {1, 1};

    guard_init(&t.guard, v->input_len);
    if (vector_get(v, "quick")) {
        try_chunked(&t, &whole);
        try_chunked(&t, &bytes);
    } else {
        cut_each_way(v->input_len, try_chunked, &t);
    }
    guard_finish(&t.guard);
}

static void run_file(const char *path, void (*run)(const struct vector *v))
{
    struct vectors file;
    struct vector v;
    unsigned count = 0;

    vectors_open(&file, path);
    for (; vectors_next(&file, &v); count++) {
        run(&v);
        vector_finish(&v);
    }
    vectors_close(&file);
    assert_true(count > 30);
}

static void test_heads(void **state)
{
    (void)state;
    run_file(TEST_DIR "/vectors/h1/head.txt", run_head);
}

static void test_refused_heads(void **state)
{
    (void)state;
    run_file(TEST_DIR "/vectors/h1/refused.txt", run_head);
}

static void test_chunked(void **state)
{
    (void)state;
    run_file(TEST_DIR "/vectors/h1/chunked.txt", run_chunked);
}

/* A body that is over stays over. */
static void test_chunked_after_end(void **state)
{
    char input[] = "0\r\n\r\n", next[] = "next";
    size_t len = 5, rest = 0;
    struct h1_chunked decoder = {0};
    struct h1_error error;

    (void)state;
    assert_int_equal(h1_chunked_feed(&decoder, input, &len, &rest, &error), 1);
    len = 4;
    assert_int_equal(h1_chunked_feed(&decoder, next, &len, &rest, &error), 1);
    assert_int_equal(len, 0);
    assert_int_equal(rest, 4);
}

/* A slow sender of a head as long as allowed: no byte is looked at twice. */
static void test_seen_is_believed(void **state)
{
    struct h1_limits limits = {65536, 65536};
    struct h1_head *head = malloc(sizeof(*head));
    struct h1_error error;
    char text[] = "GET / HTTP/1.1\r\nHost: h\r\n";
    size_t n = sizeof(text) - 1;

    (void)state;
    assert_non_null(head);
    assert_int_equal(h1_parse_head(text, n, 0, &limits, head, &error), 0);
    text[5] = '\n'; /* would be refused if it were looked at again */
    assert_int_equal(h1_parse_head(text, n, n, &limits, head, &error), 0);
    free(head);
}

static void test_known_fields(void **state)
{
    static const char *names[H1_KNOWN_COUNT] = {
        [H1_HOST] = "HoSt",
        [H1_ACCEPT] = "Accept",
        [H1_CONTENT_TYPE] = "Content-Type",
        [H1_AUTHORIZATION] = "authorization",
        [H1_COOKIE] = "COOKIE",
        [H1_ORIGIN] = "Origin",
        [H1_LAST_EVENT_ID] = "Last-Event-ID",
        [H1_USER_AGENT] = "User-Agent",
        [H1_IDEMPOTENCY_KEY] = "Idempotency-Key",
        [H1_IF_NONE_MATCH] = "If-None-Match",
        [H1_ACCEPT_ENCODING] = "Accept-Encoding",
        [H1_X_FORWARDED_FOR] = "X-Forwarded-For",
        [H1_FORWARDED] = "Forwarded",
    };
    struct h1_limits limits = {65536, 65536};
    struct h1_head *head = malloc(sizeof(*head));
    struct h1_error error;
    struct buf b;

    (void)state;
    assert_non_null(head);
    for (unsigned id = 0; id < H1_KNOWN_COUNT; id++) {
        char expected[16];

        buf_init(&b, 1000);
        buf_printf(&b, "GET / HTTP/1.0\r\n%s: v%u\r\n", names[id], id);
        if (id != H1_HOST) /* of two, the first; another Host would be refused */
            buf_printf(&b, "%s: second\r\n", names[id]);
        buf_puts(&b, "X-Other: x\r\n\r\n");
        assert_int_equal(h1_parse_head(b.data, b.len, 0, &limits, head, &error), b.len);
        for (unsigned other = 0; other < H1_KNOWN_COUNT; other++)
            assert_int_equal(head->known[other].p != NULL, other == id);
        snprintf(expected, sizeof(expected), "v%u", id);
        assert_true(span_eq(head->known[id], span_of(expected)));
        assert_null(h1_field(head, SPAN("absent")).p);
        buf_finish(&b);
    }
    free(head);
}

static void test_response(void **state)
{
    static const struct {
        int64_t now;
        const char *date;
    } dates[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},
        {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
        {1735689599, "Tue, 31 Dec 2024 23:59:59 GMT"},
        {1763800000, "Sat, 22 Nov 2025 08:26:40 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        char expected[128];

        buf_init(&b, 1000);
        snprintf(expected, sizeof(expected), "HTTP/1.1 404 Not Found\r\nDate: %s\r\n", dates[i].date);
        h1_put_status(&b, 404, dates[i].now);
        assert_int_equal(b.len, strlen(expected));
        assert_memory_equal(b.data, expected, b.len);
        buf_finish(&b);
    }
    buf_init(&b, 1000);
    h1_put_field(&b, "X", SPAN("a\r\nSet-Cookie: b\0\tc\x7f"));
    assert_int_equal(b.len, strlen("X: a  Set-Cookie: b  c \r\n"));
    assert_memory_equal(b.data, "X: a  Set-Cookie: b  c \r\n", b.len);
    buf_finish(&b);
    assert_string_equal(h1_reason(200), "OK");
    assert_string_equal(h1_reason(431), "Request Header Fields Too Large");
    assert_string_equal(h1_reason(299), "Unknown");
}

/* A value at the end of memory. */
static struct span guarded(struct guard *g, const char *text)
{
    if (!text)
        return (struct span){NULL, 0};
    return (struct span){guard_copy(g, text, strlen(text)), strlen(text)};
}

static void test_accept(void **state)
{
    static const struct {
        const char *accept;
        bool accepted, named;
    } cases[] = {
        {NULL, true, false},
        {"", true, false},
        {" \t ", true, false},
        {"text/event-stream", true, true},
        {"Text/Event-Stream", true, true},
        {"text/event-stream;q=0", false, false},
        {"text/event-stream; Q=0.000", false, false},
        {"text/event-stream ; q = 0.0", false, false},
        {"text/event-stream;q=0.001", true, true},
        {"text/event-stream;q=1", true, true},
        {"text/event-stream;q=", true, true},
        {"text/event-stream;charset=utf-8", true, true},
        {"text/event-stream;charset=utf-8;q=0", false, false},
        {"text/html", false, false},
        {"text/event-streams", false, false},
        {"text/event", false, false},
        {"*/*", true, false},
        {"*", true, false},
        {"*/*;q=0", false, false},
        {"*/*;q=0.1", true, false},
        {"text/*", true, false},
        {"TEXT/*", true, false},
        {"text/*;q=0", false, false},
        {"image/*", false, false},
        {"*/event-stream", false, false},
        {"text/html, application/json;q=0.9, */*;q=0.8", true, false},
        {"text/html , text/event-stream", true, true},
        {",,text/event-stream,", true, true},
        {"*/*, text/event-stream;q=0", false, false},
        {"text/event-stream;q=0, */*", false, false},
        {"text/*;q=0, */*", false, false},
        {"*/*;q=0, text/*", true, false},
        {"text/*;q=0, text/event-stream", true, true},
        {"text/event-stream, text/*;q=0", true, true},
        {"text/event-stream;q=0, text/event-stream;x=1", true, true},
        {"x/y;a=\"b,text/event-stream\"", false, false},
        {"x/y;a=\"b\\\",text/event-stream\"", false, false},
        {"x/y;a=\"\",text/event-stream", true, true},
        {"x/y;a=\"unended,text/event-stream", false, false},
        {"x/y;a=\"unended\\", false, false},
        {"text/event-stream;a=\";q=0\"", true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guard g;
        struct span value;

        guard_init(&g, 100);
        value = guarded(&g, cases[i].accept);
        if (h1_accepts(value, SPAN("text/event-stream")) != cases[i].accepted)
            fail_msg("h1_accepts(%s)", cases[i].accept);
        if (h1_names(value, SPAN("text/event-stream")) != cases[i].named)
            fail_msg("h1_names(%s)", cases[i].accept);
        guard_finish(&g);
    }
}

static void test_accept_gzip(void **state)
{
    static const struct {
        const char *value;
        bool accepted;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZIP", true},
        {"x-gzip", true},
        {"gzip;q=0", false},
        {"deflate, br", false},
        {"deflate, gzip;q=1.0, *;q=0.5", true},
        {"*", true},
        {"*;q=0", false},
        {"*;q=0, gzip", true},
        {"gzip;q=0, *", false},
        {"identity", false},
        {"gzipped", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (h1_accepts_gzip(span_of(cases[i].value)) != cases[i].accepted)
            fail_msg("h1_accepts_gzip(%s)", cases[i].value);
    }
}

static void test_is_type(void **state)
{
    static const struct {
        const char *value;
        bool same;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"application/json", true},
        {"Application/JSON", true},
        {" application/json ", true},
        {"application/json;", true},
        {"application/json; charset=utf-8", true},
        {"application/json;Charset=\"UTF-8\"", true},
        {"application/json ; charset = utf-8", true},
        {"application/json; x=y; charset=utf-8", true},
        {"application/json; charset=iso-8859-1", false},
        {"application/json; charset=utf-16", false},
        {"application/json; charset=", false},
        {"application/json; charset", false},
        {"application/json; x=\"; charset=latin1\"", true},
        {"application/jsonp", false},
        {"application/json, text/plain", false},
        {"text/plain", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (h1_is_type(span_of(cases[i].value), SPAN("application/json")) != cases[i].same)
            fail_msg("h1_is_type(%s)", cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_refused_heads),
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_chunked_after_end),
        cmocka_unit_test(test_seen_is_believed),
        cmocka_unit_test(test_known_fields),
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_accept_gzip),
        cmocka_unit_test(test_is_type),
    };

    return cmocka_run_group_tests_name("h1", tests, NULL, NULL);
}
