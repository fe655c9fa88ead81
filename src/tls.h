/* SPDX-License-Identifier: MIT
 *
 * tls - TLS as a filter at the io seam: an io that stands on another io. Nothing above knows of it but for
 * io_peer.tls; a descriptor that was not accepted on an encrypted listener passes straight through.
 */
#ifndef TLS_H
#define TLS_H

#include "io.h"
#include "stats.h"
#include "tls_server.h"

/* An io on `below`, which stays the caller's and must outlive it. stats: where handshakes are counted, the
 * loop's own. NULL when memory is short. */
struct io *tls_create_io(struct io *below, struct tls_server *server, struct stats *stats);

/* Frees what is left of sessions, not `below`. NULL is fine. */
void tls_destroy_io(struct io *io);

/* What is accepted on this listener is encrypted. 0, or -1 when memory is short. */
int tls_listen(struct io *io, int listener);

struct io *tls_below(struct io *io);

#endif
