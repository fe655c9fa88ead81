/* SPDX-License-Identifier: MIT
 *
 * query - parameters of a request's query, form-encoded (WHATWG URL section 5); of a repeated one the last
 * counts.
 */
#ifndef QUERY_H
#define QUERY_H

#include "http.h"

/* The last query parameter with this name, decoded: its length, -1 if there is none, -2 if it is not properly
 * encoded or longer than cap. */
ssize_t query_text(const struct request *r, const char *name, char *out, size_t cap);

/* The same as a whole number from 0 to max; absent: fallback. False: answered with a problem. */
bool query_number(struct request *r, const char *name, uint64_t max, uint64_t fallback, uint64_t *out);

#endif
