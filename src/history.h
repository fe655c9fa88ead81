/* SPDX-License-Identifier: MIT
 *
 * history - what is held for a client, of a topic, or of the broadcasts: what a subscriber would be replayed,
 * in pages.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include "http.h"

void history_handle(struct request *r); /* GET /api/sse/history */

#endif
