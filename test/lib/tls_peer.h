/* SPDX-License-Identifier: MIT
 *
 * tls_peer - an OpenSSL client at the other end of a simulated connection. Bytes move only when the test says
 * so, and as many as it says.
 */
#ifndef TLS_PEER_H
#define TLS_PEER_H

#include "sim.h"

#include <openssl/ssl.h>

struct tls_peer {
    struct sim *sim;
    uint32_t sock; /* SIM_NONE after closing */
    SSL *ssl;
    BIO *in, *out; /* memory; the session's */
    bool failed;   /* the handshake, or what came later, was refused */
};

/* A context of clients that trust everybody and keep tickets; version 0: any. The caller's. */
SSL_CTX *tls_peer_context(int version);

/* The latest ticket that came to a client of the context; its memory. NULL: none. */
SSL_SESSION *tls_peer_ticket(SSL_CTX *ctx);

void tls_peer_open(struct tls_peer *p, struct sim *s, uint32_t loop, SSL_CTX *ctx, SSL_SESSION *session);
void tls_peer_finish(struct tls_peer *p); /* closes it, if it is open */

/* At most n bytes in each direction, and the handshake goes on. True: something moved. */
bool tls_peer_pump(struct tls_peer *p, size_t n);

bool tls_peer_is_up(const struct tls_peer *p); /* the handshake is complete */

/* Plaintext; what does not fit on the wire waits for tls_peer_pump(). */
void tls_peer_write(struct tls_peer *p, const void *bytes, size_t n);
size_t tls_peer_read(struct tls_peer *p, void *bytes, size_t n); /* 0: nothing there */

/* The hub has said that nothing more comes (close_notify). */
bool tls_peer_was_told(const struct tls_peer *p);

#endif
