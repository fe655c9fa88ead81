/* SPDX-License-Identifier: MIT
 *
 * payload - JSON as applications send it: sentences made of 27 words, no two payloads alike.
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PAYLOAD_MAX 2048 /* bytes */

/* The n-th payload of this size; out has room for PAYLOAD_MAX + 1. Returns its length. */
static inline size_t payload_make(char *out, size_t size, unsigned n)
{
    static const char *const words[] = {
        "order",  "invoice",  "the",     "was", "changed", "by",    "customer", "new",   "comment",
        "on",     "shipment", "arrived", "for", "your",    "team",  "meeting",  "moved", "to",
        "report", "ready",    "please",  "and", "review",  "price", "item",     "from",  "account"};
    uint32_t x = n * 2654435761u + 12345;
    size_t len = (size_t)snprintf(out, PAYLOAD_MAX,
                                  "{\"id\":%u,\"type\":\"notification\",\"userId\":\"u_%08x\","
                                  "\"createdAt\":1764250%06u,\"message\":\"",
                                  100000 + n, x, n % 1000000);
    while (len + 14 < size) {
        x = x * 1664525u + 1013904223u;
        len += (size_t)snprintf(out + len, PAYLOAD_MAX - len, "%s ", words[(x >> 16) % 27]);
    }
    for (; len + 2 < size; len++)
        out[len] = (char)('a' + len % 26);
    memcpy(out + len, "\"}", 3);
    return len + 2;
}

#endif
