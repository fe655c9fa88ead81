/* SPDX-License-Identifier: MIT
 *
 * jwt - tokens for tests, signed by OpenSSL and by nothing of the hub's.
 */
#ifndef JWT_H
#define JWT_H

#define JWT_SECRET "0123456789abcdef0123456789abcdef"

/* A token with these claims, HS256 with JWT_SECRET. Static storage, until the next call. */
const char *jwt(const char *claims);

#endif
