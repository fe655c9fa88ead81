/* SPDX-License-Identifier: MIT
 *
 * test_json - the checker and the walk on the vectors of test/vectors/json, and the writers.
 */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "vectors.h"

/* A text to check: at the end of memory, so that reading on stops the test. */
struct subject {
    struct guard text, copy;
    char *out;
};

static void subject_init(struct subject *s, size_t n)
{
    guard_init(&s->text, n);
    guard_init(&s->copy, n);
    s->out = malloc(n + 1);
    assert_non_null(s->out);
}

static void subject_finish(struct subject *s)
{
    guard_finish(&s->text);
    guard_finish(&s->copy);
    free(s->out);
}

/* Runs all three forms of json_compact() on n bytes, which must agree; returns the result, in s->out. */
static ssize_t compact(struct subject *s, const char *p, size_t n, struct json_error *error)
{
    struct span text = {guard_copy(&s->text, p, n), n};
    struct span same = {guard_copy(&s->copy, p, n), n};
    struct json_error in_place = {0}, checked = {0};
    ssize_t len = json_compact(text, s->out, error);

    assert_int_equal(json_compact(text, NULL, &checked), len);
    assert_int_equal(json_compact(same, (char *)same.p, &in_place), len);
    if (len < 0) {
        assert_int_equal(checked.offset, error->offset);
        assert_int_equal(in_place.offset, error->offset);
        assert_string_equal(checked.what, error->what);
        assert_string_equal(in_place.what, error->what);
        assert_true(error->offset <= n);
    } else {
        assert_memory_equal(same.p, s->out, (size_t)len);
    }
    return len;
}

/* Walks the whole of an object or array. 0, or -1 and walk->error. */
static int walk_all(struct json_walk *walk, struct span text, char open, unsigned *count)
{
    struct json_field field;
    int r = json_walk_init(walk, text, open);

    if (r)
        return r;
    for (*count = 0; (r = json_walk_next(walk, &field)) == 1; ++*count) {
        struct json_error error;

        assert_int_equal(field.value.p - text.p, field.value_offset);
        assert_true(json_compact(field.value, NULL, &error) > 0 ||
                    strcmp(error.what, "nested too deep") == 0);
        if (open == '{') {
            assert_int_equal(text.p[field.key_offset], '"');
            assert_ptr_equal(field.key.p, text.p + field.key_offset + 1);
            assert_int_equal(field.key.p[field.key.len], '"');
        }
    }
    assert_int_equal(json_walk_next(walk, &field), r); /* both ends are final */
    return r;
}

/* A walk sees what the checker sees, but for one level of depth. */
static void walk_agrees(struct subject *s, const char *p, size_t n, ssize_t len,
                        const struct json_error *error)
{
    struct span text = {guard_copy(&s->text, p, n), n};
    struct json_walk walk;
    size_t spaces = 0;
    unsigned count;
    int r;

    while (spaces < n && strchr(" \t\r\n", p[spaces]) && p[spaces])
        spaces++;
    if (spaces == n || (p[spaces] != '{' && p[spaces] != '['))
        return;
    r = walk_all(&walk, text, p[spaces], &count);
    if (len >= 0)
        assert_int_equal(r, 0);
    else if (strcmp(error->what, "nested too deep") != 0) {
        assert_int_equal(r, -1);
        assert_int_equal(walk.error.offset, error->offset);
        assert_string_equal(walk.error.what, error->what);
    }
}

/* A part of a text that is good up to there is refused only for its end; UTF-8, and a byte order mark, cut in
 * two show that only at their first byte. */
static void prefix_is_sound(struct subject *s, const char *p, size_t n, size_t whole_fault)
{
    struct json_error error;
    ssize_t len = compact(s, p, n, &error);

    walk_agrees(s, p, n, len, &error);
    if (len >= 0 || strcmp(error.what, "unexpected end") == 0) {
        assert_true(len >= 0 || error.offset == n);
        return;
    }
    if (n - error.offset < 4 && (unsigned char)p[error.offset] >= 0x80)
        return;
    assert_int_equal(error.offset, whole_fault);
}

static size_t expected_out(const struct vector *v, char *out, size_t cap)
{
    size_t n = 0;

    for (unsigned i = 0; i < v->count; i++) {
        unsigned long times = v->lines[i].key[3] ? strtoul(v->lines[i].key + 4, NULL, 10) : 1;

        for (; times > 0; times--) {
            assert_true(n + v->lines[i].len <= cap);
            memcpy(out + n, v->lines[i].value, v->lines[i].len);
            n += v->lines[i].len;
        }
    }
    return n;
}

static void accepted(struct subject *s, const struct vector *v)
{
    char *expected = malloc(v->input_len + 1);
    size_t n = v->input_len;
    struct json_error error;
    ssize_t len = compact(s, v->input, v->input_len, &error);

    assert_non_null(expected);
    memcpy(expected, v->input, n);
    if (v->count > 0)
        n = expected_out(v, expected, v->input_len);
    if (len < 0)
        fail_msg("%s: refused at %zu: %s", v->title, error.offset, error.what);
    if ((size_t)len != n || memcmp(s->out, expected, n) != 0)
        fail_msg("%s: got %.*s", v->title, (int)len, s->out);
    walk_agrees(s, v->input, v->input_len, len, &error);
    for (size_t i = 0; i < v->input_len; i++)
        prefix_is_sound(s, v->input, i, SIZE_MAX);
    free(expected);
}

static void refused(struct subject *s, const struct vector *v)
{
    const char *what = vector_get(v, "error"), *at = vector_get(v, "at");
    size_t offset = at ? strtoul(at, NULL, 10) : v->mark;
    struct json_error error;
    ssize_t len = compact(s, v->input, v->input_len, &error);
    size_t step = v->input_len > 5000 ? 4999 : 1;

    if (len >= 0)
        fail_msg("%s: accepted", v->title);
    if (error.offset != offset || strcmp(error.what, what) != 0)
        fail_msg("%s: at %zu, not %zu: %s", v->title, error.offset, offset, error.what);
    walk_agrees(s, v->input, v->input_len, len, &error);
    for (size_t i = 0; i < v->input_len; i += step)
        prefix_is_sound(s, v->input, i, error.offset);
}

static void run_file(const char *path, void (*run)(struct subject *s, const struct vector *v))
{
    struct vectors file;
    struct vector v;
    unsigned count = 0;

    vectors_open(&file, path);
    for (; vectors_next(&file, &v); count++) {
        struct subject s;

        subject_init(&s, v.input_len);
        run(&s, &v);
        subject_finish(&s);
        vector_finish(&v);
    }
    vectors_close(&file);
    assert_true(count > 30);
}

static void test_accepted(void **state)
{
    (void)state;
    run_file(TEST_DIR "/vectors/json/accepted.txt", accepted);
}

static void test_refused(void **state)
{
    (void)state;
    run_file(TEST_DIR "/vectors/json/refused.txt", refused);
}

static bool span_is(struct span s, const char *text)
{
    return span_eq(s, span_of(text));
}

static void test_null_text(void **state)
{
    struct json_error error;
    struct json_walk walk;

    (void)state;
    assert_int_equal(json_compact((struct span){NULL, 0}, NULL, &error), -1);
    assert_int_equal(error.offset, 0);
    assert_string_equal(error.what, "unexpected end");
    assert_int_equal(json_walk_init(&walk, (struct span){NULL, 0}, '{'), -1);
    assert_string_equal(walk.error.what, "unexpected end");
}

static void test_walk_object(void **state)
{
    static const struct {
        const char *key, *value;
        enum json_kind kind;
        bool escaped;
    } expected[] = {
        {"n", "null", JSON_NULL, false},
        {"t", "true", JSON_BOOL, false},
        {"f", "false", JSON_BOOL, false},
        {"", "-1.50", JSON_NUMBER, false},
        {"\\u0061", "\"x\\n\"", JSON_STRING, true},
        {"a", "[ 1 , 2 ]", JSON_ARRAY, false},
        {"o", "{ \"n\" : 1 }", JSON_OBJECT, false},
        {"n", "0", JSON_NUMBER, false},
    };
    const char *text =
        " { \"n\" : null , \"t\":true,\"f\":false,\"\":-1.50,\"\\u0061\":\"x\\n\",\"a\":[ 1 , 2 ],"
        "\"o\" : { \"n\" : 1 }\n,\"n\":0 } ";
    struct json_walk walk;
    struct json_field field;

    (void)state;
    assert_int_equal(json_walk_init(&walk, span_of(text), '{'), 0);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(json_walk_next(&walk, &field), 1);
        assert_true(span_is(field.key, expected[i].key));
        assert_true(span_is(field.value, expected[i].value));
        assert_int_equal(field.kind, expected[i].kind);
        assert_int_equal(field.key_escaped, expected[i].escaped);
        assert_int_equal(field.value_offset, field.value.p - text);
        assert_int_equal(text[field.key_offset], '"');
    }
    assert_int_equal(json_walk_next(&walk, &field), 0);
    assert_int_equal(json_walk_next(&walk, &field), 0);
}

static void test_walk_array(void **state)
{
    const char *text = "[1, \"two\" ,[3]]";
    struct json_walk walk;
    struct json_field field;

    (void)state;
    assert_int_equal(json_walk_init(&walk, span_of(text), '['), 0);
    assert_int_equal(json_walk_next(&walk, &field), 1);
    assert_true(span_is(field.value, "1") && field.key.len == 0 && field.value_offset == 1);
    assert_int_equal(json_walk_next(&walk, &field), 1);
    assert_true(span_is(field.value, "\"two\"") && field.value_offset == 4);
    assert_int_equal(json_walk_next(&walk, &field), 1);
    assert_true(span_is(field.value, "[3]"));
    assert_int_equal(json_walk_next(&walk, &field), 0);
}

static void walk_fails(const char *text, char open, unsigned passed, size_t offset, const char *what)
{
    struct json_walk walk;
    unsigned count = 0;

    assert_int_equal(walk_all(&walk, span_of(text), open, &count), -1);
    assert_int_equal(count, passed);
    assert_int_equal(walk.error.offset, offset);
    assert_string_equal(walk.error.what, what);
}

static void test_walk_faults(void **state)
{
    (void)state;
    walk_fails("[]", '{', 0, 0, "expected an object");
    walk_fails(" {}", '[', 0, 1, "expected an array");
    walk_fails("1", '{', 0, 0, "expected an object");
    walk_fails("", '{', 0, 0, "unexpected end");
    walk_fails("\xEF\xBB\xBF{}", '{', 0, 0, "byte order mark");
    walk_fails("{} x", '{', 0, 3, "text after the value");
    walk_fails("{\"a\":1,}", '{', 1, 7, "expected a key in double quotes");
    walk_fails("{\"a\":1;\"b\":2}", '{', 1, 6, "expected ',' or '}'");
    walk_fails("[1,2,", '[', 2, 5, "unexpected end");
    walk_fails("[1 2]", '[', 1, 3, "expected ',' or ']'");
    walk_fails("{\"a\":1]", '{', 1, 6, "expected ',' or '}'");
    walk_fails("{\"a\":tru}", '{', 0, 8, "expected true, false or null");
}

/* Builds `before`, depth arrays, `after`. The caller frees. */
static char *nested(const char *before, unsigned depth, const char *after)
{
    size_t b = strlen(before), a = strlen(after);
    char *text = malloc(b + 2 * depth + a + 1);

    assert_non_null(text);
    memcpy(text, before, b);
    memset(text + b, '[', depth);
    memset(text + b + depth, ']', depth);
    memcpy(text + b + 2 * depth, after, a + 1);
    return text;
}

/* A batch is an array of envelopes around payloads, and a payload may be JSON_DEPTH_MAX deep. */
static void test_walk_depth(void **state)
{
    char *good = nested("[{\"payload\":", JSON_DEPTH_MAX, "}]");
    char *deep = nested("[{\"payload\":", JSON_DEPTH_MAX + 1, "}]");
    struct json_walk batch, item;
    struct json_field field;
    struct json_error error;

    (void)state;
    assert_int_equal(json_walk_init(&batch, span_of(good), '['), 0);
    assert_int_equal(json_walk_next(&batch, &field), 1);
    assert_int_equal(json_walk_init(&item, field.value, '{'), 0);
    assert_int_equal(json_walk_next(&item, &field), 1);
    assert_int_equal(json_compact(field.value, NULL, &error), 2 * JSON_DEPTH_MAX);
    assert_int_equal(json_walk_next(&item, &field), 0);
    assert_int_equal(json_walk_next(&batch, &field), 0);
    walk_fails(deep, '[', 0, 12 + JSON_DEPTH_MAX, "nested too deep");
    free(good);
    free(deep);
}

static void unescapes(const char *raw, const char *expected, size_t n)
{
    struct guard g;
    char out[256];

    guard_init(&g, strlen(raw));
    memset(out, 'x', sizeof(out));
    assert_int_equal(json_unescape((struct span){guard_copy(&g, raw, strlen(raw)), strlen(raw)}, out), n);
    assert_memory_equal(out, expected, n);
    assert_int_equal(out[n], 'x');
    guard_finish(&g);
}

static void test_unescape(void **state)
{
    (void)state;
    unescapes("\"\"", "", 0);
    unescapes("\"plain\"", "plain", 5);
    unescapes("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    unescapes("\"a\\u0000b\"", "a\0b", 3);
    unescapes("\"\\u007F\\u0080\\u07ff\\u0800\\uFFFF\"", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF", 11);
    unescapes("\"\\ud800\\udc00\\uDBFF\\uDFFF\"", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 8);
    unescapes("\"\\uD83D\\uDE00!\xC3\xA9\"", "\xF0\x9F\x98\x80!\xC3\xA9", 7);
}

static void puts_string(const char *s, size_t n, const char *expected)
{
    struct buf b;
    struct guard g;
    struct json_error error;

    guard_init(&g, n);
    buf_init(&b, 4096);
    json_put_string(&b, (struct span){guard_copy(&g, s, n), n});
    assert_false(b.failed);
    assert_int_equal(b.len, strlen(expected));
    assert_memory_equal(b.data, expected, b.len);
    assert_int_equal(json_compact((struct span){b.data, b.len}, NULL, &error), b.len);
    buf_finish(&b);
    guard_finish(&g);
}

static void test_put_string(void **state)
{
    (void)state;
    puts_string(NULL, 0, "\"\"");
    puts_string("plain text of some length", 25, "\"plain text of some length\"");
    puts_string("\"\\/", 3, "\"\\\"\\\\/\"");
    puts_string("\0\x01\b\t\n\v\f\r\x1f\x7f", 10, "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\"");
    puts_string("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    puts_string("a\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA", 10, "\"a\\u2028\\u2029\xE2\x80\xAA\"");
    puts_string("\xFF"
                "a\xC3",
                3,
                "\"\xEF\xBF\xBD"
                "a\xEF\xBF\xBD\"");
    puts_string("\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void test_put_member(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    json_put_member_u64(&b, "n", UINT64_MAX);
    assert_memory_equal(b.data, "\"n\":18446744073709551615", b.len);
    buf_clear(&b);
    buf_puts(&b, "[{");
    json_put_member(&b, "a", SPAN("x\"y"));
    json_put_member_u64(&b, "b", 0);
    buf_puts(&b, ",\"c\":{");
    json_put_member(&b, "d", (struct span){NULL, 0});
    buf_puts(&b, "}}]");
    assert_int_equal(b.len, strlen("[{\"a\":\"x\\\"y\",\"b\":0,\"c\":{\"d\":\"\"}}]"));
    assert_memory_equal(b.data, "[{\"a\":\"x\\\"y\",\"b\":0,\"c\":{\"d\":\"\"}}]", b.len);
    buf_finish(&b);
}

/* A buffer that is too small fails and stays so, whichever of its appends did not fit. */
static void test_put_overflow(void **state)
{
    const char *whole = "\"k\":\"a\\u0001\\n\\u2028\xEF\xBF\xBD\"";

    (void)state;
    for (size_t max = 0; max <= strlen(whole); max++) {
        struct buf b;

        buf_init(&b, max);
        json_put_member(&b, "k", SPAN("a\x01\n\xE2\x80\xA8\xFF"));
        assert_int_equal(b.failed, max < strlen(whole));
        assert_true(b.len <= max && memcmp(b.data ? b.data : "", whole, b.len) == 0);
        buf_finish(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_null_text),    cmocka_unit_test(test_walk_object),
        cmocka_unit_test(test_walk_array),   cmocka_unit_test(test_walk_faults),
        cmocka_unit_test(test_walk_depth),   cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_put_string),   cmocka_unit_test(test_put_member),
        cmocka_unit_test(test_put_overflow),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
