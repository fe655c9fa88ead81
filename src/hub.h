/* SPDX-License-Identifier: MIT
 *
 * hub - the façade: makes the rooms, gives each its pointers, runs one thread for each loop, and is what the
 * public header promises. What stands here beside <tidings.h> is for the tests, which run a hub on an io and
 * a clock of their own, without threads.
 */
#ifndef HUB_H
#define HUB_H

#include "pages.h"

struct hub_world {
    struct io *(*create_io)(void *user, uint32_t loop); /* NULL: memory or descriptors are short */
    void (*destroy_io)(void *user, struct io *io);
    struct clock clock;
    void *user;
};

/* Like tidings_hub_create() in another world. */
int hub_create_in(struct tidings_hub **hub, const struct tidings_config *config,
                  const struct hub_world *world);

/* Makes the loops, instead of tidings_hub_start(); nobody turns them but the caller, with worker_turn(). */
int hub_prepare(struct tidings_hub *hub);

struct service *hub_service(struct tidings_hub *hub);

#endif
