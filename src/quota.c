/* SPDX-License-Identifier: MIT
 *
 * quota - see quota.h. Streams are counted in a table with open addressing; an address is known there by a
 * keyed hash of 64 bits. The table grows with the streams that are open, which have a ceiling of their own.
 */
#include "quota.h"

#include "rng.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define CROWD_MIN 64

struct crowd {
    uint64_t key; /* hash; 0 = empty */
    uint32_t count;
};

int quota_init(struct quota *l)
{
    uint64_t seeds[7];
    memset(l, 0, sizeof(*l));
    if (rng_secret(seeds, sizeof(seeds)) < 0)
        return -1;
    throttle_init(&l->connects, seeds[0]);
    throttle_init(&l->connects_by_address, seeds[1]);
    throttle_init(&l->events, seeds[2]);
    throttle_init(&l->events_by_address, seeds[3]);
    throttle_init(&l->events_by_key, seeds[4]);
    throttle_init(&l->failures, seeds[5]);
    pthread_mutex_init(&l->lock, NULL);
    l->seed = seeds[6];
    return 0;
}

void quota_finish(struct quota *l)
{
    throttle_finish(&l->connects);
    throttle_finish(&l->connects_by_address);
    throttle_finish(&l->events);
    throttle_finish(&l->events_by_address);
    throttle_finish(&l->events_by_key);
    throttle_finish(&l->failures);
    pthread_mutex_destroy(&l->lock);
    free(l->crowd);
}

/* ---- rates ---- */

static void refuse(_Atomic uint64_t *counter, struct problem *why, const char *code, const char *what,
                   const char *flag, uint32_t rate, uint32_t wait)
{
    stats_add(counter, 1);
    problem_set(why, 429, code, "%s (--%s %u)", what, flag, rate);
    why->retry_ms = wait;
}

static bool take_all(struct throttle *t, uint32_t rate, uint64_t now, uint32_t *wait)
{
    *wait = throttle_take(t, "", 0, rate, 1, now);
    return *wait == 0;
}

static bool take_address(struct throttle *t, uint32_t rate, const struct netaddr *from, uint64_t now,
                         uint32_t *wait)
{
    struct netaddr group = netaddr_group(from);
    *wait = throttle_take(t, &group, sizeof(group), rate, 1, now);
    return *wait == 0;
}

/* By address first: who is refused for his own haste does not use up what all share. */
bool quota_admit_stream(struct quota *l, const struct tidings_config *c, struct stats *stats,
                        const struct netaddr *from, uint64_t now, struct problem *why)
{
    uint32_t wait;
    if (!take_address(&l->connects_by_address, c->connect_rate_per_address, from, now, &wait))
        refuse(&stats->refused_connect_rate_address, why, "connect_rate_per_address",
               "too many subscriptions a second from this address", "connect-rate-per-address",
               c->connect_rate_per_address, wait);
    else if (!take_all(&l->connects, c->connect_rate, now, &wait))
        refuse(&stats->refused_connect_rate, why, "connect_rate", "too many subscriptions a second",
               "connect-rate", c->connect_rate, wait);
    else
        return true;
    return false;
}

static bool take_key(struct throttle *t, uint32_t rate, uint64_t key, uint64_t now, uint32_t *wait)
{
    *wait = key ? throttle_take(t, &key, sizeof(key), rate, 1, now) : 0;
    return *wait == 0;
}

bool quota_admit_event(struct quota *l, const struct tidings_config *c, struct stats *stats,
                       const struct netaddr *from, uint64_t key, uint64_t now, struct problem *why)
{
    uint32_t wait;
    if (!take_key(&l->events_by_key, c->publish_rate_per_key, key, now, &wait))
        refuse(&stats->refused_publish_rate_key, why, "publish_rate_per_key",
               "too many events a second with this credential", "publish-rate-per-key",
               c->publish_rate_per_key, wait);
    else if (!take_address(&l->events_by_address, c->publish_rate_per_address, from, now, &wait))
        refuse(&stats->refused_publish_rate_address, why, "publish_rate_per_address",
               "too many events a second from this address", "publish-rate-per-address",
               c->publish_rate_per_address, wait);
    else if (!take_all(&l->events, c->publish_rate, now, &wait))
        refuse(&stats->refused_publish_rate, why, "publish_rate", "too many events a second", "publish-rate",
               c->publish_rate, wait);
    else
        return true;
    return false;
}

/* ---- guessing ---- */

bool quota_is_guessing(struct quota *l, const struct tidings_config *c, struct stats *stats,
                       const struct netaddr *from, uint64_t now, struct problem *why)
{
    struct netaddr group = netaddr_group(from);
    uint32_t wait = throttle_peek(&l->failures, &group, sizeof(group), c->auth_failure_rate_per_address, now);
    if (wait > 0)
        refuse(&stats->refused_guessing, why, "auth_failure_rate_per_address",
               "too many wrong credentials from this address", "auth-failure-rate-per-address",
               c->auth_failure_rate_per_address, wait);
    return wait > 0;
}

void quota_note_failure(struct quota *l, const struct tidings_config *c, const struct netaddr *from,
                        uint64_t now)
{
    uint32_t wait;
    take_address(&l->failures, c->auth_failure_rate_per_address, from, now, &wait);
}

/* ---- streams by address ---- */

static uint64_t key_of(const struct quota *l, const struct netaddr *from)
{
    struct netaddr group = netaddr_group(from);
    uint64_t key = text_hash((const char *)&group, sizeof(group), l->seed);
    return key ? key : 1;
}

/* The place of the key, or the empty one where it would be. */
static uint32_t place_of(const struct crowd *crowd, uint32_t size, uint64_t key)
{
    uint32_t i = (uint32_t)key & (size - 1);
    while (crowd[i].key && crowd[i].key != key)
        i = (i + 1) & (size - 1);
    return i;
}

static bool grow(struct quota *l)
{
    uint32_t old = l->crowd ? l->crowd_size : 0, size = old ? 2 * old : CROWD_MIN;
    if (l->crowd && l->addresses < old / 2)
        return true;
    struct crowd *larger = calloc(size, sizeof(*larger));
    if (!larger)
        return false;
    for (uint32_t i = 0; i < old; i++)
        if (l->crowd[i].key)
            larger[place_of(larger, size, l->crowd[i].key)] = l->crowd[i];
    free(l->crowd);
    l->crowd = larger;
    l->crowd_size = size;
    return true;
}

bool quota_enter(struct quota *l, uint32_t max, struct stats *stats, const struct netaddr *from,
                 bool *counted)
{
    *counted = false;
    if (max == 0)
        return true;
    uint64_t key = key_of(l, from);
    pthread_mutex_lock(&l->lock);
    struct crowd *at = grow(l) ? &l->crowd[place_of(l->crowd, l->crowd_size, key)] : NULL;
    bool admitted = !at || at->count < max;
    if (at && admitted) {
        l->addresses += at->key == 0;
        at->key = key;
        at->count++;
        *counted = true;
    }
    pthread_mutex_unlock(&l->lock);
    if (!admitted)
        stats_add(&stats->refused_address, 1);
    return admitted;
}

/* What follows an emptied place moves up, so that nothing is looked for behind a hole. */
static void remove_at(struct quota *l, uint32_t hole)
{
    uint32_t mask = l->crowd_size - 1;
    for (uint32_t i = (hole + 1) & mask; l->crowd[i].key; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)l->crowd[i].key & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        l->crowd[hole] = l->crowd[i];
        hole = i;
    }
    l->crowd[hole] = (struct crowd){0};
    l->addresses--;
}

void quota_leave(struct quota *l, const struct netaddr *from)
{
    uint64_t key = key_of(l, from);
    pthread_mutex_lock(&l->lock);
    uint32_t i = l->crowd ? place_of(l->crowd, l->crowd_size, key) : 0;
    if (l->crowd && l->crowd[i].key && --l->crowd[i].count == 0)
        remove_at(l, i);
    pthread_mutex_unlock(&l->lock);
}
