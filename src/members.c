/* SPDX-License-Identifier: MIT
 *
 * members - see members.h. A text is checked once, in two passes: that it is JSON, and then, bracket by
 * bracket and string by string, that its names are unambiguous. A string is a name if a colon follows it.
 * Each object has a number, and two names of one number must differ.
 *
 * Deliberately not here: a tree. jansson builds one, but its reader drops a byte of a string when memory is
 * short, and goes on (2.14, lex_save() in load.c): who reads credentials cannot have that.
 */
#include "members.h"

#include <string.h>

struct names {
    struct span text;
    unsigned count, most;
    struct {
        uint32_t at, len; /* between the quotes */
        uint32_t object;
    } all[MEMBERS_MAX];
};

static bool is_escaped(struct span raw)
{
    return raw.len > 0 && memchr(raw.p, '\\', raw.len);
}

/* What a name means, whatever it is written like. out has room for MEMBERS_KEY bytes. */
static struct span meaning(struct span name, char *out)
{
    if (!is_escaped(name))
        return name;
    return (struct span){out, json_unescape((struct span){name.p - 1, name.len + 2}, out)};
}

static bool is_same(struct span a, struct span b)
{
    char one[MEMBERS_KEY], other[MEMBERS_KEY];
    if (!is_escaped(a) && !is_escaped(b))
        return span_eq(a, b);
    return span_eq(meaning(a, one), meaning(b, other));
}

static const char *add_name(struct names *names, struct span name, uint32_t object)
{
    if (names->count == names->most)
        return "too many members";
    if (is_escaped(name) && name.len > MEMBERS_KEY)
        return "a name too long";
    for (unsigned i = 0; i < names->count; i++)
        if (names->all[i].object == object &&
            is_same((struct span){names->text.p + names->all[i].at, names->all[i].len}, name))
            return "a member is there twice";
    names->all[names->count].at = (uint32_t)(name.p - names->text.p);
    names->all[names->count].len = (uint32_t)name.len;
    names->all[names->count++].object = object;
    return NULL;
}

/* The string that begins at p, between its quotes; p = NULL if there is a NUL in it. */
static struct span string_at(const char *p)
{
    const char *from = ++p;
    for (; *p != '"'; p++)
        if (*p == '\\' && *++p == 'u' && memcmp(p, "u0000", 5) == 0)
            return (struct span){0};
    return (struct span){from, (size_t)(p - from)};
}

static bool is_name(const char *behind, const char *end)
{
    while (behind < end && (*behind == ' ' || *behind == '\t' || *behind == '\r' || *behind == '\n'))
        behind++;
    return behind < end && *behind == ':';
}

/* Of a text that is JSON. */
static const char *check_names(struct names *names)
{
    uint32_t object[JSON_DEPTH_MAX + 1] = {0}, next = 0;
    const char *end = names->text.p + names->text.len, *why = NULL;
    unsigned depth = 0;
    for (const char *p = names->text.p; p < end && !why; p++) {
        if (*p == '{' || *p == '[')
            object[++depth] = next++;
        if (*p == '}' || *p == ']')
            depth--;
        if (*p != '"')
            continue;
        struct span string = string_at(p);
        if (!string.p)
            return "a NUL in a string";
        p += string.len + 1;
        if (is_name(p + 1, end))
            why = add_name(names, string, object[depth]);
    }
    return why;
}

const char *members_check(struct span text, unsigned most)
{
    struct json_error error;
    struct json_walk walk;
    struct names names;
    if (text.len >= UINT32_MAX || json_compact(text, NULL, &error) < 0 ||
        json_walk_init(&walk, text, '{') < 0)
        return "not a JSON object";
    names.text = text;
    names.count = 0;
    names.most = most;
    return check_names(&names);
}

struct member members_find(struct span object, const char *name)
{
    struct json_walk walk;
    struct json_field field;
    if (!object.p || json_walk_init(&walk, object, '{') < 0)
        return (struct member){0};
    while (json_walk_next(&walk, &field) > 0)
        if (is_same(field.key, span_of(name)))
            return (struct member){field.kind, field.value};
    return (struct member){0};
}

struct span members_text(const struct member *member, char *out)
{
    if (!member->raw.p || member->kind != JSON_STRING)
        return (struct span){0};
    if (is_escaped(member->raw))
        return (struct span){out, json_unescape(member->raw, out)};
    return (struct span){member->raw.p + 1, member->raw.len - 2};
}

/* What follows the `e` of a number; beyond a million it is all the same, since no number is that long. */
static int read_exponent(const char *p, const char *end)
{
    int power = 0;
    bool small = p < end && *p == '-';
    for (p += p < end && (*p == '-' || *p == '+'); p < end; p++)
        power = power > 1000000 ? power : power * 10 + (*p - '0');
    return small ? -power : power;
}

/* Not by strtod(), which wants a comma where the user's language does. */
bool members_milli(const struct member *member, uint64_t max, uint64_t *out)
{
    const char *p = member->raw.p, *end = p + member->raw.len;
    bool negative, fraction = false;
    uint64_t digits = 0;
    int scale = 3;
    if (!p || member->kind != JSON_NUMBER)
        return false;
    negative = *p == '-';
    for (p += negative; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        bool fits = digits < UINT64_MAX / 10 - 1; /* what does not only shifts the others */
        digits = fits ? digits * 10 + (uint64_t)(*p - '0') : digits;
        scale += !fits - fraction;
    }
    if (p < end)
        scale += read_exponent(p + 1, end);
    for (; scale < 0 && digits > 0; scale++)
        digits /= 10;
    for (; scale > 0 && digits > 0 && digits <= max / 10; scale--)
        digits *= 10;
    *out = digits;
    return digits <= max && !(negative && digits > 0) && (scale <= 0 || digits == 0);
}

bool members_measure(const struct member *list, uint32_t most, bool (*is_valid)(struct span), char *room,
                     size_t size, uint32_t *count, size_t *bytes)
{
    struct json_walk walk;
    struct json_field one;
    *count = 0;
    if (!list->raw.p)
        return true;
    if (list->kind != JSON_ARRAY || json_walk_init(&walk, list->raw, '[') < 0)
        return false;
    while (json_walk_next(&walk, &one) > 0) {
        const struct member text = {one.kind, one.value};
        if (one.kind != JSON_STRING || one.value.len > size || ++*count > most ||
            !is_valid(members_text(&text, room)))
            return false;
        *bytes += one.value.len;
    }
    return true;
}

struct span members_keep(const struct member *text, char **room)
{
    char *at = *room;
    struct span kept = members_text(text, at);
    if (!at || !kept.p)
        return (struct span){0};
    *room += text->raw.len;
    return (struct span){memmove(at, kept.p, kept.len), kept.len};
}

void members_keep_list(struct span *out, const struct member *list, char **room)
{
    struct json_walk walk;
    struct json_field one;
    if (!list->raw.p || json_walk_init(&walk, list->raw, '[') < 0)
        return;
    while (json_walk_next(&walk, &one) > 0)
        *out++ = members_keep(&(struct member){one.kind, one.value}, room);
}
