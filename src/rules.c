/* SPDX-License-Identifier: MIT
 *
 * rules - see rules.h.
 */
#include "rules.h"

#include <stdlib.h>
#include <string.h>

struct log_policies rules_policies(const struct tidings_config *c, const struct log_rule *rules)
{
    return (struct log_policies){
        .base = {.size = c->history_size, .bytes = c->history_bytes, .ttl = c->history_ttl},
        .total_bytes = c->history_total_bytes,
        .rules = rules,
        .rule_count = rules ? (uint32_t)c->topic_policy_count : 0};
}

static uint32_t given(uint32_t value, uint32_t fallback)
{
    return value == TIDINGS_AUTO ? fallback : value;
}

static struct log_rule rule_of(const struct tidings_config *c, const struct tidings_topic_policy *p,
                               char *text)
{
    size_t n = strlen(p->pattern);
    bool prefix = p->pattern[n - 1] == '*';
    memcpy(text, p->pattern, n);
    return (struct log_rule){.topic = {text, prefix ? n - 1 : n},
                             .prefix = prefix,
                             .policy = {.size = p->latest_only ? 1 : given(p->history_size, c->history_size),
                                        .bytes = given(p->history_bytes, c->history_bytes),
                                        .ttl = given(p->history_ttl, c->history_ttl),
                                        .latest_only = p->latest_only}};
}

/* The first that fits counts: exact names, then the longest beginnings. */
static int compare_rules(const void *a, const void *b)
{
    const struct log_rule *x = a, *y = b;
    if (x->prefix != y->prefix)
        return x->prefix ? 1 : -1;
    return x->topic.len > y->topic.len ? -1 : x->topic.len < y->topic.len;
}

int rules_make(const struct tidings_config *c, struct log_rule **out)
{
    size_t count = c->topic_policy_count, bytes = 0;
    *out = NULL;
    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(c->topic_policies[i].pattern);
    struct log_rule *rules = malloc(count * sizeof(*rules) + bytes);
    if (!rules)
        return TIDINGS_ENOMEM;
    char *text = (char *)(rules + count);
    for (size_t i = 0; i < count; i++) {
        rules[i] = rule_of(c, &c->topic_policies[i], text);
        text += strlen(c->topic_policies[i].pattern);
    }
    qsort(rules, count, sizeof(*rules), compare_rules);
    *out = rules;
    return 0;
}
