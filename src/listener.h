/* SPDX-License-Identifier: MIT
 *
 * listener - turns "127.0.0.1:3000", "[::1]:3000", "localhost:0" and "unix:/run/t.sock" into listening
 * sockets. "https://" or "http://" before an address says whether what comes there is encrypted.
 *
 * Options that every connection needs (TCP_NODELAY, SO_KEEPALIVE, TCP_USER_TIMEOUT, SO_SNDBUF) are set on the
 * listener: Linux hands them down to accepted sockets, so that accepting costs no call for each.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listener_options {
    uint32_t user_timeout; /* ms, RFC 5482; 0 = the kernel's */
    uint32_t send_buffer;  /* bytes; 0 = the kernel's */
    bool anywhere;         /* addresses beyond loopback are allowed */
    bool tls;              /* an address that does not say it is encrypted */
};

struct listener {
    char url[160];  /* "http://127.0.0.1:3000", "https://…" or "unix:/run/t.sock" */
    bool beyond;    /* others than this machine can reach it */
    char *path;     /* of a unix socket, removed at close; owned */
    int *fds;       /* one for each loop (SO_REUSEPORT), or the same shared by all (unix); owned */
    uint32_t count; /* of fds */
    bool shared;
    bool tls;
};

/* Opens `loops` sockets at address. TIDINGS_* error; on TIDINGS_ESYSTEM errno says why. */
int listener_open(struct listener *l, const char *address, uint32_t loops,
                  const struct listener_options *options);

/* Closes the sockets and removes the unix path. A zeroed struct is fine. */
void listener_close(struct listener *l);

#endif
