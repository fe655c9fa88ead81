/* SPDX-License-Identifier: MIT
 *
 * steps - what tests in the simulated world do again and again; each fails the running test if it cannot.
 */
#ifndef STEPS_H
#define STEPS_H

#include "sim_hub.h"

/* The hub of *h must start; and at the end nothing may be left of anybody. */
void steps_start(struct sim_hub *h);
void steps_stop(struct sim_hub *h);

/* Until nobody has anything more to say and the client has read all of it. */
void steps_settle(struct sim_hub *h, struct sim_client *c);

/* Events published so far. */
uint64_t steps_published(const struct sim_hub *h);

/* What the client has of a line, or body, that is not complete; "" if nothing. */
const char *steps_so_far(const struct sim_client *c);

/* How often `what` stands in text. */
unsigned steps_count(const char *text, const char *what);

#endif
