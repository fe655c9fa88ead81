/* SPDX-License-Identifier: MIT
 *
 * notify - POST /api/sse/notify: one event from JSON to the hub, and the answer.
 */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "http.h"

void notify_handle(struct request *r);

#endif
