/* SPDX-License-Identifier: MIT
 *
 * netaddr - addresses of peers and networks: read, written, compared, grouped. Pure; any thread.
 *
 * Limits count by group: one IPv4 address, or the /64 of an IPv6 address, which is what one customer is given
 * (RFC 6177) and can choose freely in.
 */
#ifndef NETADDR_H
#define NETADDR_H

#include "text.h"

enum netaddr_family { NETADDR_NONE = 0, NETADDR_V4 = 4, NETADDR_V6 = 6 }; /* NONE: a unix socket */

#define NETADDR_TEXT_MAX 48 /* with NUL */

struct netaddr {
    uint8_t bytes[16]; /* network order; IPv4 uses the first 4, also an IPv4-mapped one; the rest is 0 */
    uint8_t family;
};

/* An address as RFC 3986 and RFC 7239 write it: "192.0.2.1", "2001:db8::1", "[2001:db8::1]", each but the
 * bare IPv6 one also with ":port", which is ignored. False: not one. */
bool netaddr_parse(struct span text, struct netaddr *a);

/* As netaddr_parse() reads it, without brackets and port; "unix" for NONE. */
void netaddr_print(const struct netaddr *a, char out[NETADDR_TEXT_MAX]);

bool netaddr_eq(const struct netaddr *a, const struct netaddr *b);

/* What limits count it as. */
struct netaddr netaddr_group(const struct netaddr *a);

/* A network: the first `bits` of an address. */
struct netaddr_net {
    struct netaddr address;
    uint8_t bits;
};

/* "10.0.0.0/8", "2001:db8::/32", an address alone, or "unix". Bits behind the prefix must be 0. */
bool netaddr_parse_net(struct span text, struct netaddr_net *net);

bool netaddr_in(const struct netaddr *a, const struct netaddr_net *nets, size_t count);

#endif
