/* SPDX-License-Identifier: MIT
 *
 * publish - the one way by which an event gets into the hub, whoever brings it: checks names, encodes, hands
 * it to the sequencer, logs.
 */
#ifndef PUBLISH_H
#define PUBLISH_H

#include "json.h"
#include "service.h"

/* 0 and *receipt, or a TIDINGS_E* code; on TIDINGS_EJSON *error says where. With a store it waits for the
 * commit: for the calls of the library. Any thread. */
int publish_message(struct service *s, const struct tidings_message *m, struct tidings_receipt *receipt,
                    struct json_error *error);

/* One message of a request on its way. The request's memory until it is told; on the heap wherever
 * publish_needs_waiting(). */
struct publishing {
    struct completion completion; /* how the loop is told */
    struct posting posting;
    struct service *service;
    struct loop *loop;
    void (*told)(struct publishing *p); /* on the loop's thread */
    enum tidings_target target;         /* of the message */
    int result;                         /* 0 or TIDINGS_E*, valid when it is done or told */
    struct tidings_receipt receipt;
};

/* Is there a store to wait for? */
bool publish_needs_waiting(const struct service *s);

/* 1: p->result and p->receipt are there. 0: p->told will be called on the loop; texts that m points to must
 * live until then. < 0: a TIDINGS_E* code, *error as above, nothing was begun. p->told must be set. */
int publish_begin(struct service *s, struct loop *loop, const struct tidings_message *m, struct publishing *p,
                  struct json_error *error);

/* Is this an event name that publishers may use? 0, TIDINGS_ENAME or TIDINGS_ERESERVED. */
int publish_check_event(struct span name);

/* Something that dashboards are told. json is compact. */
void publish_to_dashboards(struct service *s, const char *name, struct span json, uint32_t self);

#endif
