/* SPDX-License-Identifier: MIT
 *
 * cors - origins (RFC 6454, WHATWG URL and Fetch): which ones may be listed, which one a request comes from,
 * and what an answer says to it. Pure, no state; origins are compared byte for byte, as the standard does.
 */
#ifndef CORS_H
#define CORS_H

#include "buf.h"
#include "text.h"

#define CORS_ORIGIN_MAX 280 /* bytes of one origin */

/* May it be listed? As browsers write it: `scheme://host[:port]` in lower case, the scheme's own port left
 * out, no path. "*" and "null" may not: answers carry credentials, and anybody can be "null". */
bool cors_is_origin(struct span text);

/* The entry of the NULL-ended list that is this origin, or NULL. list may be NULL. */
const char *cors_find(const char *const *list, struct span origin);

/* The value of the first Origin line in the bytes of a head that could not be read, or that is not complete;
 * an empty span if there is none. What follows the empty line is not looked at. */
struct span cors_look(struct span head);

/* Is it the origin that a request with this Host was sent to? tls: the connection is encrypted. Without it
 * `https` is right, too: a proxy may have ended TLS; with it `http` is not. */
bool cors_is_same(struct span origin, struct span host, bool tls);

/* The fields of every answer, once any origin is listed. origin: the listed one that asks, or NULL. */
void cors_put(struct buf *out, const char *origin);

/* The fields of the answer to a preflight from a listed origin. methods: "GET, HEAD". */
void cors_put_preflight(struct buf *out, const char *methods);

#endif
