/* SPDX-License-Identifier: MIT
 *
 * publish - the one way by which an event gets into the hub, whoever brings it: checks names, encodes, hands
 * it to the registry, logs.
 */
#ifndef PUBLISH_H
#define PUBLISH_H

#include "json.h"
#include "service.h"

/* 0 and *receipt, or a TIDINGS_E* code; on TIDINGS_EJSON *error says where. self: the calling loop, or
 * REGISTRY_NO_LOOP. Any thread. */
int publish_message(struct service *s, const struct tidings_message *m, uint32_t self,
                    struct tidings_receipt *receipt, struct json_error *error);

/* Is this an event name that publishers may use? 0, TIDINGS_ENAME or TIDINGS_ERESERVED. */
int publish_check_event(struct span name);

/* Something that dashboards are told. json is compact. */
void publish_to_dashboards(struct service *s, const char *name, struct span json, uint32_t self);

#endif
