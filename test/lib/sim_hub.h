/* SPDX-License-Identifier: MIT
 *
 * sim_hub - a hub in a simulated world, with the two or three lines that every such test begins and ends
 * with.
 */
#ifndef SIM_HUB_H
#define SIM_HUB_H

#include "sim_client.h"

struct sim_hub {
    struct tidings_config config;
    struct sim_options options;
    struct sim *sim;
    struct tidings_hub *hub;
};

/* Defaults: one loop, no faults. Change config and options before sim_hub_start(). */
void sim_hub_init(struct sim_hub *h, uint64_t seed);

/* 0, or what the hub said. */
int sim_hub_start(struct sim_hub *h);

/* Destroys hub and world. A zeroed struct is fine. */
void sim_hub_finish(struct sim_hub *h);

struct loop *sim_hub_loop(const struct sim_hub *h, uint32_t i);

/* Streams of clients with a full socket, counted by looking at all connections. */
unsigned sim_hub_count_slow(const struct loop *l);

/* What is left although nobody is connected any more: static text; NULL: nothing. */
const char *sim_hub_leftover(struct sim *s, struct tidings_hub *hub);

#endif
