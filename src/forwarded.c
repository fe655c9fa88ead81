/* SPDX-License-Identifier: MIT
 *
 * forwarded - see forwarded.h. Several fields of one name are one list (RFC 9110 section 5.3); the walk takes
 * them, and the elements in each, from the last to the first.
 */
#include "forwarded.h"

#include <string.h>

/* Cuts the last element from *rest; rest->p is NULL when nothing is left. A comma in quotes divides nothing.
 */
static struct span take_last(struct span *rest)
{
    size_t at = rest->len;
    bool quoted = false;
    while (at > 0) {
        char c = rest->p[at - 1];
        if (c == '"')
            quoted = !quoted;
        if (c == ',' && !quoted)
            break;
        at--;
    }
    struct span last = {rest->p + at, rest->len - at};
    *rest = at > 0 ? (struct span){rest->p, at - 1} : (struct span){0};
    return span_trim(last);
}

static struct span unquote(struct span s)
{
    if (s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"')
        return (struct span){s.p + 1, s.len - 2};
    return s;
}

/* The value of a parameter of one element of Forwarded: `for=192.0.2.1;proto=https`. p = NULL if it has none.
 */
static struct span parameter(struct span element, struct span name)
{
    while (element.p) {
        struct span value = span_trim(span_split(&element, ';'));
        struct span key = span_split(&value, '=');
        if (value.p && span_eq_nocase(span_trim(key), name))
            return unquote(span_trim(value));
    }
    return (struct span){0};
}

/* Walks one field's list. True: go on with the field before it. */
static bool walk(struct span list, bool is_forwarded, const struct netaddr_net *trusted, size_t count,
                 struct netaddr *address)
{
    while (list.p) {
        struct netaddr hop;
        struct span element = take_last(&list);
        struct span text = is_forwarded ? parameter(element, SPAN("for")) : element;
        if (!netaddr_parse(text, &hop)) /* "unknown", "_hidden", or nothing that anybody should write */
            return false;
        *address = hop;
        if (!netaddr_in(&hop, trusted, count))
            return false;
    }
    return true;
}

bool forwarded_address(const struct h1_head *head, const struct netaddr_net *trusted, size_t count,
                       struct netaddr *address)
{
    struct netaddr found = *address;
    if (!netaddr_in(address, trusted, count))
        return false;
    bool is_forwarded = !head->known[H1_X_FORWARDED_FOR].p;
    struct span name = is_forwarded ? SPAN("forwarded") : SPAN("x-forwarded-for");
    for (unsigned i = head->field_count; i-- > 0;)
        if (span_eq_nocase(head->fields[i].name, name) &&
            !walk(head->fields[i].value, is_forwarded, trusted, count, &found))
            break;
    bool replaced = !netaddr_eq(&found, address);
    *address = found;
    return replaced;
}

static struct span last_field(const struct h1_head *head, struct span name)
{
    for (unsigned i = head->field_count; i-- > 0;)
        if (span_eq_nocase(head->fields[i].name, name))
            return head->fields[i].value;
    return (struct span){0};
}

bool forwarded_is_https(const struct h1_head *head)
{
    struct span proto = last_field(head, SPAN("x-forwarded-proto"));
    if (proto.p)
        return span_eq_nocase(take_last(&proto), SPAN("https"));
    struct span list = last_field(head, SPAN("forwarded"));
    return list.p && span_eq_nocase(parameter(take_last(&list), SPAN("proto")), SPAN("https"));
}
