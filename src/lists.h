/* SPDX-License-Identifier: MIT
 *
 * lists - who is here: totals, pages of clients, the connections of one, and how to end them.
 */
#ifndef LISTS_H
#define LISTS_H

#include "http.h"

void lists_metrics(struct request *r);         /* GET /api/sse/metrics */
void lists_clients(struct request *r);         /* GET /api/sse/clients */
void lists_client(struct request *r);          /* GET /api/sse/clients/{} */
void lists_kick_client(struct request *r);     /* DELETE /api/sse/clients/{} */
void lists_kick_connection(struct request *r); /* DELETE /api/sse/connections/{} */

/* Appends the row of a present client, as GET /api/sse/clients shows it. The lock is held. */
void lists_put_row(struct buf *out, const struct service *s, const struct channel *client);

/* The oldest connection and the latest sign of life of a client. The lock is held. */
void lists_times(const struct service *s, const struct channel *client, uint64_t *connected_at,
                 uint64_t *last_seen);

/* The client that comes after the one with this key and arrival number. If that one has left, the newest that
 * came before it: found by walking, which is the rare case. The lock is held. */
struct channel *lists_behind(struct service *s, uint64_t arrival, struct span key);

/* Ends a client's streams, with a ban if ban_seconds > 0. The number that will end, TIDINGS_ENOENT,
 * TIDINGS_ELIMIT or TIDINGS_ENOMEM. Any thread; self as for registry_publish(). */
int lists_disconnect(struct service *s, struct span client_id, uint32_t ban_seconds, uint32_t self);

/* Answers how many streams were ended, or with a problem for a TIDINGS_E* code. */
void lists_answer_kick(struct request *r, int rc);

#endif
