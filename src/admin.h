/* SPDX-License-Identifier: MIT
 *
 * admin - what dashboards see: GET /api/sse/admin/stream, an event stream of the hub about itself. `stats`
 * comes at once and every second, `clients` at most four times a second when somebody came, left or changed.
 * A dashboard counts against --max-connections, but is in no list and no metric of clients.
 */
#ifndef ADMIN_H
#define ADMIN_H

#include "http.h"

void admin_stream(struct request *r);

/* Called by loop 0 about ten times a second. */
void admin_tick(struct service *s, struct loop *l);

#endif
