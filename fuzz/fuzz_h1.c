/* SPDX-License-Identifier: MIT
 *
 * fuzz_h1 - one input as a request head with its body, as a chunked body, and as the value of an Accept
 * field.
 *
 * Beside not crashing: the answer does not depend on how the bytes were cut, what a part of a head is refused
 * for the whole is refused for, and all views lie inside the head.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "h1.h"

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

/* Lengths of pieces that depend on nothing but the input. */
struct pieces {
    uint64_t seed;
};

static size_t next_piece(struct pieces *pieces, size_t left)
{
    size_t most;

    pieces->seed = pieces->seed * 6364136223846793005u + 1442695040888963407u;
    most = pieces->seed >> 62 ? 16 : 300;
    most = most < left ? most : left;
    return 1 + (size_t)(pieces->seed >> 33) % most;
}

/* What came out of a parser; error only if result < 0. */
struct outcome {
    ssize_t result;
    struct h1_error error;
};

static void must_equal(const struct outcome *a, const struct outcome *b)
{
    must(a->result == b->result);
    if (a->result < 0) {
        must(a->error.code == b->error.code && a->error.detail == b->error.detail);
        must(a->error.offset == b->error.offset);
    }
}

static struct outcome parse(const char *p, size_t n, size_t seen, const struct h1_limits *limits,
                            struct h1_head *head)
{
    struct outcome o = {0};
    char *copy = copy_of(p, n);

    o.result = h1_parse_head(copy, n, seen, limits, head, &o.error);
    must(o.result >= -1 && o.result <= (ssize_t)n);
    if (o.result < 0)
        must(o.error.status >= 400 && o.error.offset <= n && o.error.code[0] && o.error.detail[0]);
    free(copy);
    return o;
}

static void check_view(struct span s, const char *p, size_t n)
{
    must(s.p ? s.p >= p && s.p + s.len <= p + n : s.len == 0);
}

static void check_head(const struct h1_head *head, const char *p, size_t n)
{
    const struct span views[] = {head->method, head->target, head->path, head->query, head->host};

    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
        check_view(views[i], p, n);
    for (unsigned i = 0; i < head->field_count; i++) {
        check_view(head->fields[i].name, p, n);
        check_view(head->fields[i].value, p, n);
        must(head->fields[i].name.len > 0 &&
             span_eq(span_trim(head->fields[i].value), head->fields[i].value));
        must(h1_field(head, head->fields[i].name).p != NULL);
    }
    for (unsigned i = 0; i < H1_KNOWN_COUNT; i++)
        check_view(head->known[i], p, n);
    must(head->method.len > 0 && head->path.len > 0 && (head->path.p[0] == '/' || head->path.p[0] == '*'));
    must(head->minor == 0 || head->host.len > 0);
    must(!head->chunked || (head->content_length == 0 && head->minor == 1));
    must(head->has_body == (head->chunked || head->content_length > 0));
    must(!(head->keep_alive && head->close_asked));
    must(h1_field(head, SPAN("content-length")).p == NULL || !head->chunked);
}

/* The same head in pieces, and the beginnings of it alone. */
static void cut_head(const char *p, size_t n, const struct h1_limits *limits, const struct outcome *whole)
{
    struct h1_head *head = malloc(sizeof(*head));
    struct pieces pieces = {n};
    struct outcome grown = {0};

    must(head != NULL);
    for (size_t len = 0, seen = 0; grown.result == 0 && len < n; seen = len) {
        struct outcome alone;

        len += next_piece(&pieces, n - len);
        alone = parse(p, len, 0, limits, head);
        grown = parse(p, len, seen, limits, head);
        must_equal(&alone, &grown);
    }
    if (n > 0)
        must_equal(&grown, whole);
    free(head);
}

/* Decodes p in pieces as long as `pieces` says, or whole. Data goes to out, *len is how much. */
static struct outcome decode(const char *p, size_t n, struct pieces *pieces, char *out, size_t *len)
{
    struct h1_chunked decoder = {0};
    struct outcome o = {0};
    size_t from = 0;

    *len = 0;
    while (o.result == 0 && from < n) {
        size_t take = pieces ? next_piece(pieces, n - from) : n, got = take, rest = 0;
        char *copy = copy_of(p + from, take);

        o.result = h1_chunked_feed(&decoder, copy, &got, &rest, &o.error);
        if (o.result < 0) {
            must(o.error.offset < take);
            o.error.offset += from;
        } else {
            must(got + rest <= take && (o.result == 1 || rest == 0));
            memcpy(out + *len, copy, got);
            *len += got;
        }
        from += take - rest;
        free(copy);
    }
    if (o.result > 0)
        o.result = (ssize_t)from;
    return o;
}

static void check_chunked(const char *p, size_t n)
{
    char *a = copy_of(p, n), *b = copy_of(p, n);
    struct pieces pieces = {n};
    size_t a_len, b_len;
    struct outcome whole = decode(p, n, NULL, a, &a_len), cut = decode(p, n, &pieces, b, &b_len);

    must_equal(&whole, &cut);
    must(whole.result < 0 || (a_len == b_len && memcmp(a, b, a_len) == 0));
    free(a);
    free(b);
}

static void check_accept(const char *p, size_t n)
{
    char *copy = copy_of(p, n);
    struct span value = {copy, n}, type = SPAN("text/event-stream");

    if (h1_names(value, type))
        must(h1_accepts(value, type));
    h1_accepts_gzip(value);
    h1_is_type(value, type);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct h1_limits wide = {65536, 65536}, narrow = {64, 128};
    const struct h1_limits *limits = size % 2 ? &wide : &narrow;
    struct h1_head *head = malloc(sizeof(*head));
    char *copy = copy_of(data, size);
    struct outcome whole = {0};

    must(head != NULL);
    whole.result = h1_parse_head(copy, size, 0, limits, head, &whole.error);
    if (whole.result > 0)
        check_head(head, copy, (size_t)whole.result);
    cut_head(copy, size, limits, &whole);
    if (whole.result > 0)
        check_chunked(copy + whole.result, size - (size_t)whole.result);
    check_chunked(copy, size);
    check_accept(copy, size);
    free(copy);
    free(head);
    return 0;
}
