/* SPDX-License-Identifier: MIT
 *
 * tls_server - what all encrypted connections of a hub share: the certificate chain with its key, the rules
 * of TLS 1.2 and 1.3 (RFC 8446; RFC 9325 for what of 1.2 is still good), and the keys of session tickets (RFC
 * 5077, RFC 8446 section 4.6.1), which change every hour and are never on a disk.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include "clock.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#define TLS_TICKET_HOURS 1 /* that a key encrypts; for as long again it still decrypts */

struct tls_server; /* any thread */

enum tls_load { TLS_LOADED, TLS_LOAD_FAILED, TLS_LOAD_MEMORY };

/* Reads certificate chain and key from PEM files. TLS_LOAD_FAILED: `text` says which file and what is wrong
 * with it. Otherwise text is "", or a warning (the certificate has expired, is not valid yet). */
enum tls_load tls_server_create(struct tls_server **server, const char *certificate, const char *key,
                                bool http2, const struct clock *clock, char *text, size_t text_size);
void tls_server_destroy(
    struct tls_server *server); /* NULL is fine; sessions that are open keep what they need */

/* The same for connections that come from now on; on failure everything stays as it was. */
enum tls_load tls_server_reload(struct tls_server *server, const char *certificate, const char *key,
                                bool http2, char *text, size_t text_size);

/* A session in the role of the server, the caller's; NULL when memory is short. */
SSL *tls_server_session(struct tls_server *server);

#endif
