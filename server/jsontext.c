/* SPDX-License-Identifier: MIT
 *
 * A recogniser of JSON: one pass, one bit for each open bracket, no recursion, nothing converted.
 */
#include "jsontext.h"

#include <stdint.h>
#include <string.h>

struct scan {
    const char *p, *end;
    size_t depth;
    uint8_t is_object[JSONTEXT_DEPTH / 8];
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool take(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return false;
    s->p += len;
    return true;
}

static bool take_digits(struct scan *s)
{
    const char *start = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > start;
}

static bool take_number(struct scan *s)
{
    take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        return take_digits(s);
    }
    return true;
}

static bool take_escape(struct scan *s)
{
    if (s->p == s->end)
        return false;
    if (*s->p != 'u')
        return strchr("\"\\/bfnrt", *s->p++) != NULL && s->p[-1] != '\0';
    s->p++;
    for (int i = 0; i < 4; i++, s->p++) {
        if (s->p == s->end || *s->p == '\0' || !strchr("0123456789abcdefABCDEF", *s->p))
            return false;
    }
    return true;
}

static bool take_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    while (s->p < s->end) {
        unsigned char c = (unsigned char)*s->p++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !take_escape(s)))
            return false;
    }
    return false;
}

static bool in_object(const struct scan *s)
{
    size_t top = s->depth - 1;

    return (s->is_object[top / 8] >> (top % 8)) & 1;
}

static bool push(struct scan *s, bool object)
{
    uint8_t bit = (uint8_t)(1U << (s->depth % 8));

    if (s->depth == JSONTEXT_DEPTH)
        return false;
    if (object)
        s->is_object[s->depth / 8] |= bit;
    else
        s->is_object[s->depth / 8] &= (uint8_t)~bit;
    s->depth++;
    return true;
}

static bool take_key(struct scan *s)
{
    skip_space(s);
    if (!take_string(s))
        return false;
    skip_space(s);
    return take(s, ':');
}

/* A scalar, or the beginning of an array or object. *opened: a value is expected next. */
static bool take_value(struct scan *s, bool *opened)
{
    *opened = false;
    skip_space(s);
    if (s->p == s->end)
        return false;
    switch (*s->p) {
    case '{':
    case '[':
        if (!push(s, *s->p++ == '{'))
            return false;
        skip_space(s);
        if (take(s, in_object(s) ? '}' : ']')) {
            s->depth--;
            return true;
        }
        *opened = true;
        return !in_object(s) || take_key(s);
    case '"':
        return take_string(s);
    case 't':
        return take_word(s, "true");
    case 'f':
        return take_word(s, "false");
    case 'n':
        return take_word(s, "null");
    default:
        return take_number(s);
    }
}

/* Behind a value: closes what ends here. *more: a comma came, a value is expected next. */
static bool take_ends(struct scan *s, bool *more)
{
    *more = false;
    for (skip_space(s); s->depth > 0; skip_space(s)) {
        if (take(s, ',')) {
            *more = true;
            return !in_object(s) || take_key(s);
        }
        if (!take(s, in_object(s) ? '}' : ']'))
            return false;
        s->depth--;
    }
    return true;
}

bool jsontext_is_value(const char *text, size_t len)
{
    struct scan s = {.p = text, .end = text + len};
    bool go_on = true;

    while (go_on) {
        if (!take_value(&s, &go_on))
            return false;
        if (!go_on && !take_ends(&s, &go_on))
            return false;
    }
    return s.p == s.end;
}

void jsontext_put_value(FILE *out, const char *text, size_t len)
{
    /* In valid JSON a line end can only be white space between tokens. */
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\n' && text[i] != '\r')
            putc(text[i], out);
    }
}

/* Length of the UTF-8 sequence at p (RFC 3629 table), 0 if it is none. */
static size_t sequence(const unsigned char *p, size_t left)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

void jsontext_put_string(FILE *out, const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;

    putc('"', out);
    while (len > 0) {
        size_t n = sequence(p, len);
        if (n == 0)
            fputs("\xef\xbf\xbd", out);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", *p);
        else if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else
            fwrite(p, 1, n, out);
        p += n ? n : 1;
        len -= n ? n : 1;
    }
    putc('"', out);
}
