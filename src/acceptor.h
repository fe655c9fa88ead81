/* SPDX-License-Identifier: MIT
 *
 * acceptor - how connections come: from the loop's listeners into state HEAD, also when descriptors run out.
 */
#ifndef ACCEPTOR_H
#define ACCEPTOR_H

#include "conn.h"

/* In an io tag the upper half is a connection's generation, never 0, or this: then the lower half is the
 * index of a listener. */
#define ACCEPTOR_GEN 0

/* Begins to accept on these listeners, which must outlive the loop. 0 or -errno. */
int acceptor_listen(struct loop *l, const int *listeners, uint32_t count);

/* A listener is ready: accepts what waits, up to a turn's share. */
void acceptor_ready(struct loop *l, uint32_t index);

/* Ten times a second: listeners that rest for want of descriptors are tried again. */
void acceptor_tick(struct loop *l);

#endif
