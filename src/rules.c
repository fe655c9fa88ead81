/* SPDX-License-Identifier: MIT
 *
 * rules - see rules.h.
 */
#include "rules.h"

#include "registry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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

static uint32_t descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 100000000)
        return 100000000;
    return (uint32_t)limit.rlim_cur;
}

uint32_t rules_max_connections(const struct tidings_config *c)
{
    if (c->max_connections != TIDINGS_AUTO)
        return c->max_connections;
    uint32_t have = descriptors(), reserve = have / 50 < 32 ? 32 : have / 50 > 256 ? 256 : have / 50;
    return have > reserve + 1 ? have - reserve : 1;
}

uint32_t rules_loops(const struct tidings_config *c)
{
    long cores = c->loops != TIDINGS_AUTO ? (long)c->loops : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > REGISTRY_LOOPS_MAX ? REGISTRY_LOOPS_MAX : (uint32_t)cores;
}
