/* SPDX-License-Identifier: MIT
 *
 * rules - what a configuration says of history, streams and loops, as the rooms that obey want to hear it.
 */
#ifndef RULES_H
#define RULES_H

#include "log.h"
#include <tidings.h>

/* *out: the rules for topics with their texts in one allocation, NULL if there are none; the caller's, to be
 * freed when the log has others. 0 or TIDINGS_ENOMEM. */
int rules_make(const struct tidings_config *c, struct log_rule **out);

/* rules: as rules_make() made them of the same configuration. */
struct log_policies rules_policies(const struct tidings_config *c, const struct log_rule *rules);

/* Open streams: descriptors less a reserve for requests, refusals, listeners and files of the embedder,
 * unless it is set. */
uint32_t rules_max_connections(const struct tidings_config *c);

/* Event loops: one for each processor, unless it is set. */
uint32_t rules_loops(const struct tidings_config *c);

#endif
