/* SPDX-License-Identifier: MIT
 *
 * httpc_tls - TLS on a connected, non-blocking socket, in the role of the client, for httpc. It waits for
 * nothing itself: whoever calls it waits for what httpc_tls_wants() says, and calls again.
 */
#ifndef HTTPC_TLS_H
#define HTTPC_TLS_H

#include <stddef.h>
#include <sys/types.h>

#include "httpc.h"

struct httpc_tls;

/* TLS to the host of url, whose certificate is verified as url says. NULL: httpc_tls_reason() says why. */
struct httpc_tls *httpc_tls_create(const struct httpc_url *url, int fd);

/* Says that nothing more comes, and frees it; the socket stays the caller's. NULL is fine. */
void httpc_tls_destroy(struct httpc_tls *tls);

/* As send() and recv(): -1 with errno, EAGAIN if it has to wait, EPROTO if httpc_tls_reason() says more. The
 * handshake is 0 when it is complete, else -1 with errno. */
int httpc_tls_handshake(struct httpc_tls *tls);
ssize_t httpc_tls_send(struct httpc_tls *tls, const void *bytes, size_t len);
ssize_t httpc_tls_recv(struct httpc_tls *tls, void *bytes, size_t len);

/* After EAGAIN: POLLIN or POLLOUT. */
short httpc_tls_wants(const struct httpc_tls *tls);

/* What went wrong last, as one line. Not thread safe. */
const char *httpc_tls_reason(void);

#endif
