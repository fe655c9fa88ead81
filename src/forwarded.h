/* SPDX-License-Identifier: MIT
 *
 * forwarded - whom a proxy speaks for: X-Forwarded-For, and Forwarded (RFC 7239). Pure; any thread.
 *
 * A header is believed as far as trusted proxies have written it: from the right, each address that is itself
 * a trusted proxy vouches for the one before it; the first that is not is the visitor. What cannot be read
 * ends the walk at the last address that could. X-Forwarded-For counts if it is there, and Forwarded only
 * without it: most proxies write the former and hand through the latter as the visitor sent it.
 */
#ifndef FORWARDED_H
#define FORWARDED_H

#include "h1.h"
#include "netaddr.h"

/* Replaces *address, the peer's own, by the visitor's if the peer is one of the trusted. True: it was. */
bool forwarded_address(const struct h1_head *head, const struct netaddr_net *trusted, size_t count,
                       struct netaddr *address);

/* Did the visitor come by https, as the nearest proxy says (X-Forwarded-Proto, or proto of Forwarded)? Only
 * to be asked of a trusted peer. */
bool forwarded_is_https(const struct h1_head *head);

#endif
