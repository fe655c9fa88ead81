/* SPDX-License-Identifier: MIT
 *
 * netaddr - see netaddr.h. The C library reads and writes the addresses; what stands around them is read
 * here.
 */
#include "netaddr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool read_with(int family, struct span text, void *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.p, '\0', text.len))
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, out) == 1;
}

static bool parse_v4(struct span text, struct netaddr *a)
{
    memset(a, 0, sizeof(*a));
    a->family = NETADDR_V4;
    return read_with(AF_INET, text, a->bytes);
}

static bool parse_v6(struct span text, struct netaddr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(a, 0, sizeof(*a));
    a->family = NETADDR_V6;
    if (!read_with(AF_INET6, text, a->bytes))
        return false;
    if (memcmp(a->bytes, mapped, sizeof(mapped)) == 0) { /* RFC 4291 section 2.5.5.2: the same peer */
        memmove(a->bytes, a->bytes + 12, 4);
        memset(a->bytes + 4, 0, 12);
        a->family = NETADDR_V4;
    }
    return true;
}

static bool is_port(struct span text)
{
    uint64_t port;
    return text.len <= 5 && text_u64(text.p, text.len, &port) && port <= 65535;
}

static struct span behind(struct span text, size_t n)
{
    return (struct span){text.p + n, text.len - n};
}

static bool parse_bracketed(struct span text, struct netaddr *a)
{
    const char *end = memchr(text.p, ']', text.len);
    if (!end)
        return false;
    size_t n = (size_t)(end - text.p);
    struct span rest = behind(text, n + 1);
    return (rest.len == 0 || (rest.p[0] == ':' && is_port(behind(rest, 1)))) &&
           parse_v6((struct span){text.p + 1, n - 1}, a);
}

bool netaddr_parse(struct span text, struct netaddr *a)
{
    if (text.len == 0)
        return false;
    if (text.p[0] == '[')
        return parse_bracketed(text, a);
    const char *colon = memchr(text.p, ':', text.len);
    if (!colon)
        return parse_v4(text, a);
    size_t n = (size_t)(colon - text.p);
    if (memchr(colon + 1, ':', text.len - n - 1))
        return parse_v6(text, a);
    return is_port(behind(text, n + 1)) && parse_v4((struct span){text.p, n}, a);
}

void netaddr_print(const struct netaddr *a, char out[NETADDR_TEXT_MAX])
{
    if (a->family == NETADDR_NONE)
        snprintf(out, NETADDR_TEXT_MAX, "unix");
    else
        inet_ntop(a->family == NETADDR_V4 ? AF_INET : AF_INET6, a->bytes, out, NETADDR_TEXT_MAX);
}

bool netaddr_eq(const struct netaddr *a, const struct netaddr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct netaddr netaddr_group(const struct netaddr *a)
{
    struct netaddr group = *a;
    if (a->family == NETADDR_V6)
        memset(group.bytes + 8, 0, 8);
    return group;
}

/* ---- networks ---- */

static bool has_bit(const struct netaddr *a, unsigned i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

bool netaddr_parse_net(struct span text, struct netaddr_net *net)
{
    memset(net, 0, sizeof(*net));
    if (span_eq(text, SPAN("unix")))
        return true;
    struct span rest = text, address = span_split(&rest, '/');
    uint64_t bits;
    if (!netaddr_parse(address, &net->address) || (address.len > 0 && address.p[0] == '['))
        return false;
    unsigned most = net->address.family == NETADDR_V4 ? 32 : 128;
    if (!rest.p)
        bits = most;
    else if (!text_u64(rest.p, rest.len, &bits) || bits > most)
        return false;
    for (unsigned i = (unsigned)bits; i < most; i++)
        if (has_bit(&net->address, i))
            return false;
    net->bits = (uint8_t)bits;
    return true;
}

static bool is_in(const struct netaddr *a, const struct netaddr_net *net)
{
    unsigned whole = net->bits / 8, left = net->bits % 8;
    if (a->family != net->address.family || memcmp(a->bytes, net->address.bytes, whole) != 0)
        return false;
    return left == 0 || (a->bytes[whole] ^ net->address.bytes[whole]) >> (8 - left) == 0;
}

bool netaddr_in(const struct netaddr *a, const struct netaddr_net *nets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_in(a, &nets[i]))
            return true;
    return false;
}
