/* SPDX-License-Identifier: MIT
 *
 * batch - POST /api/sse/notify/batch: many messages in one request, and their results in the same order. An
 * array is checked as a whole before anything of it is published, and answered with an array. Lines
 * (application/x-ndjson) are published as they arrive, and each result is written as soon as it and all
 * before it are there. A message that is refused stops no other.
 */
#ifndef BATCH_H
#define BATCH_H

#include "http.h"

#define BATCH_ITEMS_MAX 10000 /* of an array */

void batch_handle(struct request *r);

#endif
