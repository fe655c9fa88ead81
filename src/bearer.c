/* SPDX-License-Identifier: MIT
 *
 * bearer - see bearer.h.
 */
#include "bearer.h"

int bearer_cookie(const struct h1_head *head, struct span name, struct span *out)
{
    bool found = false;
    for (unsigned i = 0; i < head->field_count; i++) {
        struct span rest = head->fields[i].value;
        if (!span_eq_nocase(head->fields[i].name, SPAN("cookie")))
            continue;
        while (rest.p) {
            struct span value = span_trim(span_split(&rest, ';'));
            struct span key = span_split(&value, '=');
            if (!value.p || !span_eq(span_trim(key), name))
                continue;
            value = span_trim(value);
            if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
                value = (struct span){value.p + 1, value.len - 2};
            if (found && !span_eq(*out, value))
                return -1;
            *out = value;
            found = true;
        }
    }
    return found;
}

ssize_t bearer_query(const struct h1_head *head, char *out, size_t cap)
{
    struct span rest = head->query, key, value;
    ssize_t found = 0;
    while (text_query_next(&rest, &key, &value)) {
        char name[16];
        ssize_t n = key.len <= sizeof(name) ? text_percent_decode(key.p, key.len, name, true) : -1;
        if (n > 0 && span_eq((struct span){name, (size_t)n}, SPAN("access_token")))
            found = value.len <= cap ? text_percent_decode(value.p, value.len, out, true) : -1;
    }
    return found;
}

unsigned bearer_count(const struct h1_head *head)
{
    unsigned n = 0;
    for (unsigned i = 0; head->known[H1_AUTHORIZATION].p && i < head->field_count; i++)
        n += span_eq_nocase(head->fields[i].name, SPAN("authorization"));
    return n;
}

/* RFC 9110 section 11.4: a scheme in any case, spaces, the token. */
struct span bearer_header(const struct h1_head *head)
{
    struct span value = head->known[H1_AUTHORIZATION];
    const size_t n = sizeof("bearer") - 1;
    if (value.len <= n || !span_eq_nocase((struct span){value.p, n}, SPAN("bearer")) || value.p[n] != ' ')
        return (struct span){0};
    return span_trim((struct span){value.p + n, value.len - n});
}
