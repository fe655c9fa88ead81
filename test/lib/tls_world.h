/* SPDX-License-Identifier: MIT
 *
 * tls_world - the filter of `tls` on a simulated io, without a hub above it: the test is the floor above.
 */
#ifndef TLS_WORLD_H
#define TLS_WORLD_H

#include "certificate.h"
#include "tls.h"
#include "tls_peer.h"

#define TLS_WORLD_LISTENER (-1) /* the simulated io's own */
#define TLS_WORLD_TAG      77   /* of the connection that is watched */

struct tls_world {
    struct sim_options options; /* change it before tls_world_start() */
    struct sim *sim;
    struct hub_world world;
    struct io *below, *io;
    struct tls_server *server;
    struct stats stats;
    char dir[32], cert[64], key[64];
    int fd; /* the accepted connection, -1 */
    struct tls_peer peer;
    SSL_CTX *ctx; /* the peer's */
};

/* A certificate is made. */
void tls_world_init(struct tls_world *w);

/* With a peer of this version (0: any) that connects; the connection is accepted and watched for reading. */
void tls_world_start(struct tls_world *w, int version);

/* The same once more with the next peer, which comes with this ticket, if any. */
void tls_world_reconnect(struct tls_world *w, SSL_SESSION *ticket);

void tls_world_finish(struct tls_world *w);

/* What the filter says of the connection, in one call of wait(); 0: nothing. */
uint32_t tls_world_wait(struct tls_world *w);

/* The handshake, at most `piece` bytes at a time, until it is complete on both sides. */
void tls_world_handshake(struct tls_world *w, size_t piece);

ssize_t tls_world_recv(struct tls_world *w, void *p, size_t n);
ssize_t tls_world_send(struct tls_world *w, const void *p, size_t n);
void tls_world_watch(struct tls_world *w, uint32_t interest);

#endif
