/* SPDX-License-Identifier: MIT
 *
 * subscribe - GET /api/sse/subscribe/{clientId}: from a request to an event stream.
 */
#ifndef SUBSCRIBE_H
#define SUBSCRIBE_H

#include "http.h"

void subscribe_handle(struct request *r);

/* Writes `__connected` of a stream that has joined; client_id.p = NULL for a dashboard. */
void subscribe_put_connected(struct request *r, struct buf *out, struct span client_id, struct span name,
                             const struct found *found);

/* Keeps with the connection by which token it comes, and until when: before it joins. False: memory is short.
 */
bool subscribe_remember(struct request *r);

/* Asks the registry to admit the connection. False: it was not, and that is answered. */
bool subscribe_join(struct request *r, const struct join *join, struct found *found);

#endif
