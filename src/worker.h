/* SPDX-License-Identifier: MIT
 *
 * worker - what a loop does with its time: accept, read requests, deliver, keep deadlines, sleep.
 */
#ifndef WORKER_H
#define WORKER_H

#include "deliver.h"

/* One turn: waits at most max_wait_ms (-1: as long as nothing is due) and does everything that is to be done.
 * The simulated world calls it directly. */
void worker_turn(struct loop *l, int max_wait_ms);

/* Turns until *stop is set and the loop is woken. */
void worker_run(struct loop *l, const atomic_bool *stop);

/* Closes every connection. */
void worker_close_all(struct loop *l);

/* The exchange has its answer in the connection's buffer. close: the connection ends after it. */
void worker_answered(struct exchange *x, bool close);

/* The answer comes later: the handler may return without one, and answers with an exchange of its own as long
 * as w->conn is not NULL, on the loop's thread. After config.publish_timeout ms w->overdue is called. The
 * connection must have buffers. */
void worker_wait(struct exchange *x, struct waiter *w);

#endif
