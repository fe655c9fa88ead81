/* SPDX-License-Identifier: MIT
 *
 * query - see query.h.
 */
#include "query.h"

#include <string.h>

/* Decoding needs room for the encoded length, which may be three times the result. */
static ssize_t decode_value(struct span value, char *out, size_t cap)
{
    char decoded[3 * TIDINGS_TOPIC_MAX];
    if (value.len > sizeof(decoded))
        return -2;
    ssize_t n = text_percent_decode(value.p, value.len, decoded, true);
    if (n < 0 || (size_t)n > cap)
        return -2;
    memcpy(out, decoded, (size_t)n);
    return n;
}

ssize_t query_text(const struct request *r, const char *name, char *out, size_t cap)
{
    struct span rest = r->head->query, key, value, wanted = span_of(name);
    ssize_t found = -1;
    while (text_query_next(&rest, &key, &value)) {
        char decoded[32];
        ssize_t n = key.len <= sizeof(decoded) ? text_percent_decode(key.p, key.len, decoded, true) : -1;
        if (n < 0 || !span_eq((struct span){decoded, (size_t)n}, wanted))
            continue;
        found = decode_value(value, out, cap);
    }
    return found;
}

bool query_number(struct request *r, const char *name, uint64_t max, uint64_t fallback, uint64_t *out)
{
    char text[24];
    ssize_t n = query_text(r, name, text, sizeof(text));
    *out = fallback;
    if (n == -1 || (n >= 0 && text_u64(text, (size_t)n, out) && *out <= max))
        return true;
    http_problem(r, 400, "invalid_parameter", "%s: not a whole number from 0 to %llu", name,
                 (unsigned long long)max);
    return false;
}
