/* SPDX-License-Identifier: MIT
 *
 * h1_accept - what a request is ready to receive, and what it says that it sends.
 *
 * Accept and its siblings are lists of items with weights: `text/html;q=0.5, text/event-stream, x;p="a,b"`.
 * Only one question is asked of a weight here, whether it is 0, since the hub has one representation of
 * everything; so weights are never numbers, and a weight that makes no sense counts as "yes".
 */
#include "h1_accept.h"

/* Like span_split(), but a separator inside a quoted string is part of it (RFC 9110 section 5.6.4). */
static struct span cut(struct span *rest, char sep)
{
    struct span part = *rest;
    bool quoted = false;
    size_t i = 0;

    for (; i < rest->len && (quoted || rest->p[i] != sep); i++) {
        if (rest->p[i] == '"')
            quoted = !quoted;
        else if (quoted && rest->p[i] == '\\')
            i++;
    }
    if (i >= rest->len) {
        *rest = (struct span){NULL, 0};
        return part;
    }
    part.len = i;
    *rest = (struct span){rest->p + i + 1, rest->len - i - 1};
    return part;
}

static struct span cut_trimmed(struct span *rest, char sep)
{
    return span_trim(cut(rest, sep));
}

/* Is this weight 0, 0.0, 0.00 or 0.000 (RFC 9110 section 12.4.2)? */
static bool is_zero(struct span q)
{
    for (size_t i = 0; i < q.len; i++) {
        if (q.p[i] != (i == 1 ? '.' : '0'))
            return false;
    }
    return q.len > 0;
}

/* How well an item of a list fits what is wanted: the highest rank decides, 0 does not fit at all. */
typedef int rank_of(struct span item, struct span wanted);

static bool admits(struct span list, struct span wanted, rank_of *rank_of_item)
{
    bool admitted = false;
    int best = 1;

    while (list.p) {
        struct span item = cut(&list, ',');
        int rank = rank_of_item(cut_trimmed(&item, ';'), wanted);
        bool zero = false;

        while (item.p) {
            struct span weight = cut_trimmed(&item, ';');

            if (span_eq_nocase(span_trim(span_split(&weight, '=')), SPAN("q")))
                zero = is_zero(span_trim(weight));
        }
        if (rank == best)
            admitted |= !zero;
        else if (rank > best)
            admitted = !zero;
        best = rank > best ? rank : best;
    }
    return admitted;
}

static int rank_exact(struct span item, struct span wanted)
{
    return span_eq_nocase(item, wanted);
}

static int rank_range(struct span item, struct span wanted)
{
    struct span type = span_split(&wanted, '/');

    if (span_eq(item, SPAN("*/*")) || span_eq(item, SPAN("*"))) /* "*" alone: old Java clients */
        return 1;
    if (!span_eq_nocase(span_split(&item, '/'), type))
        return 0;
    return span_eq(item, SPAN("*")) ? 2 : span_eq_nocase(item, wanted) ? 3 : 0;
}

static int rank_coding(struct span item, struct span wanted)
{
    if (span_eq_nocase(item, wanted) || span_eq_nocase(item, SPAN("x-gzip"))) /* RFC 9110 section 8.4.1.3 */
        return 2;
    return span_eq(item, SPAN("*"));
}

bool h1_accepts(struct span accept, struct span type)
{
    return span_trim(accept).len == 0 || admits(accept, type, rank_range);
}

bool h1_names(struct span accept, struct span type)
{
    return admits(accept, type, rank_exact);
}

bool h1_accepts_gzip(struct span accept_encoding)
{
    return admits(accept_encoding, SPAN("gzip"), rank_coding);
}

bool h1_is_type(struct span content_type, struct span type)
{
    if (!span_eq_nocase(cut_trimmed(&content_type, ';'), type))
        return false;
    while (content_type.p) {
        struct span value = cut_trimmed(&content_type, ';');
        struct span name = span_trim(span_split(&value, '='));

        value = span_trim(value);
        if (!span_eq_nocase(name, SPAN("charset")))
            continue;
        if (!span_eq_nocase(value, SPAN("utf-8")) && !span_eq_nocase(value, SPAN("\"utf-8\"")))
            return false;
    }
    return true;
}
