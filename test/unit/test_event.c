/* SPDX-License-Identifier: MIT
 *
 * test_event - exact bytes, sizes where the chunk frame grows a digit, ids, and the way back: everything that
 * is written is read again by a reader of event streams written here from WHATWG HTML section 9.2.6 alone.
 */
#include "event.h"

#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EPOCH "1h7ac9xyzwv"

/* ---- a reader of event streams (WHATWG HTML section 9.2.6), fed at any cut ---- */

struct reader {
    char line[200000];
    size_t line_len;
    bool after_cr;
    char data[200000], type[512], last_id[128];
    size_t data_len;
    unsigned events; /* dispatched */
    unsigned comments;
    uint64_t retry;
    char got_data[200000], got_type[512];
};

static void dispatch(struct reader *r)
{
    if (r->data_len == 0) {
        r->type[0] = '\0';
        return;
    }
    r->data[r->data_len - 1] = '\0'; /* its last character is a line feed */
    memcpy(r->got_data, r->data, r->data_len);
    snprintf(r->got_type, sizeof(r->got_type), "%s", r->type[0] ? r->type : "message");
    r->events++;
    r->data_len = 0;
    r->type[0] = '\0';
}

static void take_field(struct reader *r, const char *name, const char *value)
{
    if (strcmp(name, "event") == 0) {
        snprintf(r->type, sizeof(r->type), "%s", value);
    } else if (strcmp(name, "data") == 0) {
        size_t n = strlen(value);

        memcpy(r->data + r->data_len, value, n);
        r->data[r->data_len + n] = '\n';
        r->data_len += n + 1;
    } else if (strcmp(name, "id") == 0) {
        snprintf(r->last_id, sizeof(r->last_id), "%s", value);
    } else if (strcmp(name, "retry") == 0 && value[strspn(value, "0123456789")] == '\0') {
        r->retry = strtoull(value, NULL, 10);
    }
}

static void take_line(struct reader *r)
{
    r->line[r->line_len] = '\0';
    char *colon = strchr(r->line, ':');

    if (r->line_len == 0) {
        dispatch(r);
    } else if (colon == r->line) {
        r->comments++;
    } else if (colon) {
        *colon = '\0';
        take_field(r, r->line, colon[1] == ' ' ? colon + 2 : colon + 1);
    } else {
        take_field(r, r->line, "");
    }
    r->line_len = 0;
}

static void read_text(struct reader *r, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool half = p[i] == '\n' && r->after_cr;

        r->after_cr = p[i] == '\r';
        if (half)
            continue;
        if (p[i] == '\n' || p[i] == '\r')
            take_line(r);
        else
            r->line[r->line_len++] = p[i];
    }
}

/* Takes the chunk frames off (RFC 9112 section 7.1); *ended tells whether the last chunk came. */
static void read_chunked(struct reader *r, const char *p, size_t n, bool *ended)
{
    *ended = false;
    while (n > 0) {
        char *end;
        unsigned long size = strtoul(p, &end, 16);
        size_t head = (size_t)(end - p) + 2;

        assert_memory_equal(end, "\r\n", 2);
        assert_true(n >= head + size + 2);
        read_text(r, p + head, size);
        assert_memory_equal(p + head + size, "\r\n", 2);
        p += head + size + 2;
        n -= head + size + 2;
        if (size > 0)
            continue;
        assert_int_equal(n, 0);
        *ended = true;
    }
}

static struct reader *fresh_reader(void)
{
    static struct reader r;

    memset(&r, 0, sizeof(r));
    return &r;
}

/* ---- helpers ---- */

static struct event *make(const char *name, struct span payload)
{
    struct json_error error;
    struct event *e = event_create(span_of(name), payload, &error);

    assert_non_null(e);
    event_stamp(e, EPOCH, 7, 1700000000000);
    return e;
}

static bool is(struct span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* A payload such that the text of an event named "n" is `len` bytes long. */
static char *payload_for(size_t text_len, size_t *len)
{
    size_t around = strlen("id: ") + EVENT_ID_LEN + strlen("\nevent: n\ndata: \n\n");
    char *p = malloc(text_len);

    *len = text_len - around;
    memset(p, 'x', *len);
    p[0] = p[*len - 1] = '"';
    return p;
}

/* ---- published events ---- */

static void test_exact(void **state)
{
    struct event *e = make("notification", SPAN("{\"message\":\"Hello!\"}"));

    (void)state;
    assert_true(is(event_text(e), "id: " EPOCH "-0000000007\nevent: notification\n"
                                  "data: {\"message\":\"Hello!\"}\n\n"));
    assert_true(is(event_frame(e), "4b\r\nid: " EPOCH "-0000000007\nevent: notification\n"
                                   "data: {\"message\":\"Hello!\"}\n\n\r\n"));
    assert_int_equal(e->seq, 7);
    assert_int_equal(e->ts, 1700000000000);
    assert_true(e->kept);
    assert_true(e->expires == UINT64_MAX);
    assert_true(is((struct span){e->bytes + e->name, e->name_len}, "notification"));
    assert_true(is((struct span){e->bytes + e->data, e->data_len}, "{\"message\":\"Hello!\"}"));
    assert_true(event_footprint(e) >= sizeof(*e) + event_frame(e).len);
    event_unref(e);
    event_unref(NULL);
}

static void test_payloads(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"1", "1"},
        {" null\r\n", "null"},
        {"\"\"", "\"\""},
        {"[1.10 , 12345678901234567890,\t-0.0e+5]", "[1.10,12345678901234567890,-0.0e+5]"},
        {"{\n  \"b\" : 1,\r\n  \"a\" : \" spaces \\u000a stay \"\n}\n",
         "{\"b\":1,\"a\":\" spaces \\u000a stay \"}"},
        {"\"\xe2\x80\xa8\xe2\x80\xa9 \xf0\x9f\x90\xa7\"", "\"\xe2\x80\xa8\xe2\x80\xa9 \xf0\x9f\x90\xa7\""},
        {"\"data: x\\nid: 5\\r\\n\\r\\n\"", "\"data: x\\nid: 5\\r\\n\\r\\n\""},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct event *e = make("n", span_of(cases[i].in));
        struct reader *r = fresh_reader();
        bool ended;

        assert_true(is((struct span){e->bytes + e->data, e->data_len}, cases[i].out));
        read_chunked(r, event_frame(e).p, event_frame(e).len, &ended);
        assert_int_equal(r->events, 1);
        assert_string_equal(r->got_data, cases[i].out);
        event_unref(e);
    }
}

static void test_refused(void **state)
{
    static const char *const cases[] = {"",        " ", "{", "tru", "1 2", "\"a\nb\"", "{\"a\":\"\\ud800\"}",
                                        "\"\xff\""};
    struct json_error error;

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(event_create(SPAN("n"), span_of(cases[i]), &error));
        assert_non_null(error.what);
    }
    assert_null(event_create(SPAN("n"), (struct span){"1", (size_t)UINT32_MAX}, &error));
    assert_null(error.what);
}

/* Around each size at which the frame gains a digit. */
static void test_sizes(void **state)
{
    static const size_t sizes[] = {60,   63,    64,    255,   256,     257,    4095,
                                   4096, 65535, 65536, 65537, 1048575, 1048576};

    (void)state;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char head[16];
        size_t len;
        char *payload = payload_for(sizes[i], &len);
        struct event *e = make("n", (struct span){payload, len});
        int digits = snprintf(head, sizeof(head), "%zx\r\n", sizes[i]);

        assert_int_equal(event_text(e).len, sizes[i]);
        assert_int_equal(event_frame(e).len, sizes[i] + (size_t)digits + 2);
        assert_memory_equal(event_frame(e).p, head, (size_t)digits);
        assert_memory_equal(event_frame(e).p + digits, event_text(e).p, sizes[i]);
        assert_memory_equal(event_text(e).p + sizes[i] - 2, "\n\n\r\n", 4);
        event_unref(e);
        free(payload);
    }
}

/* What pretty-printed JSON had reserved is given back, and nothing of the text with it. */
static void test_trim(void **state)
{
    char pretty[20000], compact[20000];
    size_t n = 0, m = 0;

    (void)state;
    pretty[n++] = compact[m++] = '[';
    for (unsigned i = 0; i < 100; i++) {
        memset(pretty + n, ' ', 100);
        n += 100;
        n += (size_t)snprintf(pretty + n, 30, "%u%s", i, i < 99 ? ",\n" : "\n");
        m += (size_t)snprintf(compact + m, 30, "%u%s", i, i < 99 ? "," : "");
    }
    pretty[n++] = compact[m++] = ']';
    struct event *a = make("n", (struct span){pretty, n}), *b = make("n", (struct span){compact, m});

    assert_int_equal(event_footprint(a), event_footprint(b));
    assert_int_equal(event_frame(a).len, event_frame(b).len);
    assert_memory_equal(event_frame(a).p, event_frame(b).p, event_frame(a).len);
    assert_int_equal(a->refs, 1);
    event_unref(a);
    event_unref(b);
}

static void test_longest_name(void **state)
{
    char name[129];
    struct event *e;

    (void)state;
    memset(name, 'e', 128);
    name[128] = '\0';
    e = make(name, SPAN("{}"));
    struct reader *r = fresh_reader();

    read_text(r, event_text(e).p, event_text(e).len);
    assert_string_equal(r->got_type, name);
    assert_string_equal(r->last_id, EPOCH "-0000000007");
    event_unref(e);
}

static void test_references(void **state)
{
    struct event *e = make("n", SPAN("1"));

    (void)state;
    event_ref(e);
    event_ref(e);
    event_unref(e);
    event_unref(e);
    assert_int_equal(e->refs, 1);
    event_unref(e);
}

/* ---- ids ---- */

static void test_ids_sort(void **state)
{
    static const uint64_t numbers[] = {0, 1, 2, 31, 32, 33, 1023, 1024, UINT32_MAX, (UINT64_C(1) << 50) - 1};
    char before[EVENT_ID_LEN + 1] = "", id[EVENT_ID_LEN + 1], epoch[EVENT_EPOCH_LEN];
    uint64_t seq;

    (void)state;
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        event_id(id, EPOCH, numbers[i]);
        assert_int_equal(strlen(id), EVENT_ID_LEN);
        assert_int_equal(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz-"), EVENT_ID_LEN);
        assert_true(strcmp(before, id) < 0);
        assert_true(event_parse_id(span_of(id), epoch, &seq));
        assert_true(seq == numbers[i]);
        assert_memory_equal(epoch, EPOCH, EVENT_EPOCH_LEN);
        memcpy(before, id, sizeof(id));
    }
}

static void test_hostile_ids(void **state)
{
    static const char *const cases[] = {
        "",
        "-",
        EPOCH,
        EPOCH "-",
        EPOCH "-000000000",
        EPOCH "-00000000000",
        EPOCH "-000000000 ",
        EPOCH "-000000000U",
        EPOCH "-00000000-0",
        EPOCH "_0000000000",
        "1H7AC9XYZWV-0000000000",
        "1h7ac9xyzw-00000000000",
        "ilou-------0-000000000",
        "1h7ac9xyz\xc3\xa9-0000000000",
        "../../../..-0000000000",
    };
    char epoch[EVENT_EPOCH_LEN] = "unchanged!";
    uint64_t seq = 77;

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_false(event_parse_id(span_of(cases[i]), epoch, &seq));
    assert_false(event_parse_id((struct span){NULL, 0}, epoch, &seq));
    assert_false(event_parse_id((struct span){EPOCH "-000000\0\0\0\0", EVENT_ID_LEN}, epoch, &seq));
    assert_string_equal(epoch, "unchanged!");
}

/* ---- what the hub says on its own ---- */

static void test_control(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    event_put_hello(&b, false, 3000);
    assert_true(is((struct span){b.data, b.len}, ":ok\nretry: 3000\n\n"));
    buf_clear(&b);
    event_put_hello(&b, true, 3000);
    assert_true(is((struct span){b.data, b.len}, "0011\r\n:ok\nretry: 3000\n\n\r\n"));
    buf_clear(&b);
    event_put(&b, false, "__heartbeat", SPAN("a-b"), SPAN("{\"ts\":1}"), 0);
    assert_true(is((struct span){b.data, b.len}, "id: a-b\nevent: __heartbeat\ndata: {\"ts\":1}\n\n"));
    buf_clear(&b);
    event_put(&b, false, "__overloaded", (struct span){0}, SPAN("{}"), 1);
    assert_true(is((struct span){b.data, b.len}, "retry: 1\nevent: __overloaded\ndata: {}\n\n"));
    buf_clear(&b);
    event_put_retry(&b, true, 5);
    event_put_end(&b, true);
    assert_true(is((struct span){b.data, b.len}, "000a\r\nretry: 5\n\n\r\n0\r\n\r\n"));
    buf_clear(&b);
    event_put_retry(&b, false, 5);
    event_put_end(&b, false);
    assert_true(is((struct span){b.data, b.len}, "retry: 5\n\n"));
    buf_finish(&b);
}

/* A buffer that is full fails as a whole and is never written to beyond its end. */
static void test_control_in_no_room(void **state)
{
    (void)state;
    for (size_t max = 0; max < 60; max++) {
        struct buf b;

        buf_init(&b, max);
        event_put(&b, true, "e", SPAN("id"), SPAN("{\"some\":\"thing\"}"), 9);
        event_put_hello(&b, true, 1);
        assert_true(b.failed && b.len <= max);
        buf_finish(&b);
    }
}

/* Four digits hold 65535: what is larger must fail, not lie about its length. */
static void test_control_too_large(void **state)
{
    static char json[70000];
    const size_t around = strlen("event: e\ndata: \n\n");
    struct reader *r = fresh_reader();
    struct buf b;
    bool ended;

    (void)state;
    memset(json, '1', sizeof(json));
    buf_init(&b, 1 << 20);
    event_put(&b, true, "e", (struct span){0}, (struct span){json, 65535 - around}, 0);
    assert_false(b.failed);
    assert_memory_equal(b.data, "ffff\r\n", 6);
    read_chunked(r, b.data, b.len, &ended);
    assert_int_equal(r->events, 1);
    buf_clear(&b);
    event_put(&b, true, "e", (struct span){0}, (struct span){json, 65536 - around}, 0);
    assert_true(b.failed);
    buf_finish(&b);
}

/* A whole stream, as a client sees it. */
static void test_round_trip(void **state)
{
    struct reader *r = fresh_reader();
    struct buf b;
    bool ended;

    (void)state;
    buf_init(&b, 1 << 20);
    event_put_hello(&b, true, 2500);
    event_put(&b, true, "__connected", SPAN(EPOCH "-0000000006"), SPAN("{\"message\":\"connected\"}"), 0);
    read_chunked(r, b.data, b.len, &ended);
    assert_int_equal(r->comments, 1);
    assert_int_equal(r->retry, 2500);
    assert_int_equal(r->events, 1);
    assert_string_equal(r->got_type, "__connected");
    assert_string_equal(r->got_data, "{\"message\":\"connected\"}");
    assert_string_equal(r->last_id, EPOCH "-0000000006");
    for (unsigned i = 0; i < 50; i++) {
        char json[32];
        snprintf(json, sizeof(json), "{ \"i\": %u }", i);
        struct event *e = make("tick", span_of(json));
        read_chunked(r, event_frame(e).p, event_frame(e).len, &ended);
        event_unref(e);
        snprintf(json, sizeof(json), "{\"i\":%u}", i);
        assert_string_equal(r->got_data, json);
        assert_string_equal(r->got_type, "tick");
    }
    assert_int_equal(r->events, 51);
    buf_clear(&b);
    event_put_retry(&b, true, 77);
    event_put_end(&b, true);
    read_chunked(r, b.data, b.len, &ended);
    assert_true(ended);
    assert_int_equal(r->retry, 77);
    assert_int_equal(r->events, 51); /* `retry:` alone dispatches nothing */
    buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_ids_sort),
        cmocka_unit_test(test_hostile_ids),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_control_in_no_room),
        cmocka_unit_test(test_control_too_large),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
