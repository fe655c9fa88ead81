/* SPDX-License-Identifier: MIT
 *
 * fuzz_json - one input as JSON, and as the content of a string.
 *
 * Beside not crashing: compact text stays as it is when compacted again, all forms of the checker agree, a
 * walk accepts what the checker accepts, and what is written as a string reads back as the same.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must work in every kind of build. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static char *copy_of(const void *p, size_t n)
{
    char *copy = malloc(n ? n : 1);

    must(copy != NULL);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

static bool same_error(const struct json_error *a, const struct json_error *b)
{
    return a->offset == b->offset && a->what == b->what;
}

static bool is_too_deep(const struct json_error *error)
{
    return strcmp(error->what, "nested too deep") == 0;
}

/* The checker with room, in place and without; returns the compact length or -1. out has room for text. */
static ssize_t compact(struct span text, char *out, struct json_error *error)
{
    char *same = copy_of(text.p, text.len);
    struct json_error checked, in_place;
    ssize_t len = json_compact(text, out, error);

    must(json_compact(text, NULL, &checked) == len);
    must(json_compact((struct span){same, text.len}, same, &in_place) == len);
    must(len >= -1 && len <= (ssize_t)text.len);
    if (len < 0)
        must(error->offset <= text.len && same_error(error, &checked) && same_error(error, &in_place));
    else
        must(len > 0 && memcmp(same, out, (size_t)len) == 0);
    free(same);
    return len;
}

static void check_again(const char *p, size_t n)
{
    char *again = copy_of(p, n);
    struct json_error error;

    must(json_compact((struct span){p, n}, again, &error) == (ssize_t)n);
    must(memcmp(p, again, n) == 0);
    free(again);
}

static void check_unescaped(struct span raw)
{
    char *out = copy_of(raw.p, raw.len);
    size_t n = json_unescape(raw, out);

    must(n + 2 <= raw.len && text_is_utf8(out, n));
    free(out);
}

static void check_field(const struct json_field *field, struct span text)
{
    struct json_error error;

    must(field->value.p == text.p + field->value_offset &&
         field->value_offset + field->value.len <= text.len);
    must(json_compact(field->value, NULL, &error) > 0 || is_too_deep(&error));
    if (field->kind == JSON_STRING)
        check_unescaped(field->value);
    if (field->key.p) {
        must(field->key.p == text.p + field->key_offset + 1 && text.p[field->key_offset] == '"');
        must(field->key_escaped == (memchr(field->key.p, '\\', field->key.len) != NULL));
        check_unescaped((struct span){field->key.p - 1, field->key.len + 2});
    }
}

/* len, error: what the checker said. */
static void check_walk(struct span text, char open, ssize_t len, const struct json_error *error)
{
    struct json_walk walk;
    struct json_field field;
    int r = json_walk_init(&walk, text, open);

    if (r == 0) {
        while ((r = json_walk_next(&walk, &field)) == 1)
            check_field(&field, text);
        must(json_walk_next(&walk, &field) == r);
    }
    if (r == 0)
        must(len > 0 || is_too_deep(error));
    else if (strncmp(walk.error.what, "expected an ", 12) != 0)
        must(len < 0 && (is_too_deep(error) || same_error(error, &walk.error)));
}

static void check_string(struct span s)
{
    struct buf b;
    struct json_error error;
    char *back;
    size_t n;

    buf_init(&b, 6 * s.len + 2);
    json_put_string(&b, s);
    must(!b.failed);
    must(json_compact((struct span){b.data, b.len}, NULL, &error) == (ssize_t)b.len);
    back = copy_of(b.data, b.len);
    n = json_unescape((struct span){b.data, b.len}, back);
    must(text_is_utf8(back, n));
    if (text_is_utf8(s.p, s.len))
        must(n == s.len && memcmp(back, s.p, n) == 0);
    free(back);
    buf_finish(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = copy_of(data, size), *out = copy_of(data, size);
    struct span text = {copy, size};
    struct json_error error;
    ssize_t len = compact(text, out, &error);

    if (len > 0)
        check_again(out, (size_t)len);
    check_walk(text, '{', len, &error);
    check_walk(text, '[', len, &error);
    check_string(text);
    free(copy);
    free(out);
    return 0;
}
