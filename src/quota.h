/* SPDX-License-Identifier: MIT
 *
 * quota - how often, and how many, for the whole hub and for each address and key: token buckets for
 * subscriptions and events, a brake for wrong credentials, and a count of streams for each address. Any
 * thread; every call takes one short lock of its own, and none when the limit is not set.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include "netaddr.h"
#include "problem.h"
#include "stats.h"
#include "throttle.h"
#include <tidings.h>

struct quota {
    struct throttle connects, connects_by_address;
    struct throttle events, events_by_address, events_by_key;
    struct throttle failures; /* of credentials, by address */
    pthread_mutex_t lock;     /* guards the rest */
    struct crowd *crowd;      /* streams by address */
    uint32_t crowd_size;      /* places, a power of two */
    uint32_t addresses;       /* that have streams */
    uint64_t seed;
};

/* stats, wherever it stands: of the calling loop, where refusals are counted. */

/* 0, or -1 when there is no randomness to be had. */
int quota_init(struct quota *l);
void quota_finish(struct quota *l);

/* May one more subscription begin? False: *why (429), with the name of the limit as its code. */
bool quota_admit_stream(struct quota *l, const struct tidings_config *c, struct stats *stats,
                        const struct netaddr *from, uint64_t now, struct problem *why);

/* May one more event come, from there, by this credential (0: none)? False: *why (429). */
bool quota_admit_event(struct quota *l, const struct tidings_config *c, struct stats *stats,
                       const struct netaddr *from, uint64_t key, uint64_t now, struct problem *why);

/* Were too many wrong credentials sent from there of late? True: *why (429). Nothing is counted. */
bool quota_is_guessing(struct quota *l, const struct tidings_config *c, struct stats *stats,
                       const struct netaddr *from, uint64_t now, struct problem *why);

/* Wrong credentials came from there. */
void quota_note_failure(struct quota *l, const struct tidings_config *c, const struct netaddr *from,
                        uint64_t now);

/* A stream of this address begins. False: there are `max` already. *counted: it is to be taken back with
 * quota_leave(). max = 0, or memory is short: admitted and not counted. */
bool quota_enter(struct quota *l, uint32_t max, struct stats *stats, const struct netaddr *from,
                 bool *counted);
void quota_leave(struct quota *l, const struct netaddr *from);

#endif
