/* SPDX-License-Identifier: MIT
 *
 * deliver - what leaves a connection: answers, what the hub says on its own, and events, pulled from the log
 * at the pace at which each socket takes them. Nothing is queued for a reader but its place in the log.
 */
#ifndef DELIVER_H
#define DELIVER_H

#include "conn.h"

enum deliver_result {
    DELIVER_DONE, /* everything is sent */
    DELIVER_WAIT, /* the socket is full, or the turn's share is used up: goes on later by itself */
    DELIVER_GONE  /* the connection was closed */
};

/* Sends what the connection has to send, in the order in which it arose. */
enum deliver_result deliver_flush(struct loop *l, struct conn *c);

/* The connection has joined the registry, its head and `__connected` are in its buffer: it is a stream now.
 * age in ms, 0 = no limit. */
void deliver_begin(struct loop *l, struct conn *c, uint32_t age);

/* Ends a stream in good order: a jittered `retry:`, the end of the body, then the connection. */
void deliver_end(struct loop *l, struct conn *c, enum close_cause cause);

/* Its deadline has passed: it ends, for its age, for a drain, or because what it was admitted with has
 * expired; then it is told so with `__expired`. */
void deliver_due(struct loop *l, struct conn *c);

/* Takes the loop's news, marks whom they concern and sends broadcasts to everybody. */
void deliver_news(struct loop *l);

/* Drops what deliver_news() has kept for this turn. */
void deliver_turn_end(struct loop *l);

/* Ends streams that stand in the middle of events that the log has given up, those in the oldest ones first,
 * if such events take more than max_stalled_bytes. */
void deliver_relieve(struct loop *l);

/* Sends `__heartbeat` if it is due. */
void deliver_heartbeat(struct loop *l, struct conn *c);

/* The next jittered reconnection time. */
uint32_t deliver_retry(struct loop *l);

#endif
