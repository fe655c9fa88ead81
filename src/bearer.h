/* SPDX-License-Identifier: MIT
 *
 * bearer - where a request carries its credentials (RFC 6750 section 2): the header Authorization, a cookie,
 * the query. It finds texts and judges none. Pure, no state; views point into the head.
 */
#ifndef BEARER_H
#define BEARER_H

#include "h1.h"

/* The token of `Authorization: Bearer TOKEN`; an empty span if it is another scheme, or nothing. */
struct span bearer_header(const struct h1_head *head);

/* How many Authorization fields there are. More than one say nothing that can be relied on. */
unsigned bearer_count(const struct h1_head *head);

/* The value of the cookie, without quotes, from all Cookie fields: 1; 0: there is none; -1: two that differ,
 * of which a neighbouring subdomain may have set one (RFC 6265 section 8.6). */
int bearer_cookie(const struct h1_head *head, struct span name, struct span *out);

/* The query's access_token, decoded: its length; 0 if there is none, -1 if it is not properly encoded or
 * longer than cap. Of several the last counts. */
ssize_t bearer_query(const struct h1_head *head, char *out, size_t cap);

#endif
