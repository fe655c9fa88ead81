/* SPDX-License-Identifier: MIT
 *
 * io - the seam between the hub and the operating system: one table of functions for each loop. The real one
 * is epoll.c; the tests' simulated world is another, with sockets in memory, virtual time and seeded faults.
 * Nothing above this line knows which one it stands on.
 *
 * All functions but wake are called by the loop's own thread. Results below 0 are -errno. None blocks but
 * wait.
 */
#ifndef IO_H
#define IO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum io_ready {
    IO_READ = 1,
    IO_WRITE = 2,
    IO_HANGUP = 4 /* the peer has ended its side, or the connection is broken; always reported */
};

/* Tags with this upper half are for an io that stands on another one. */
#define IO_TAG_INNER UINT32_MAX

struct io_event {
    uint64_t tag; /* as given to watch */
    uint32_t ready;
};

enum io_family { IO_UNIX = 0, IO_IPV4 = 4, IO_IPV6 = 6 };

struct io_peer {
    uint8_t address[16]; /* network order; an IPv4 address uses the first 4 (also an IPv4-mapped one) */
    uint16_t port;
    uint8_t family;
    bool tls; /* what is received and sent is encrypted on its way */
};

struct io;

struct io_ops {
    /* The next connection of a listener: a descriptor and *peer, -EAGAIN when there is none, -EMFILE and
     * -ENFILE when descriptors are short. */
    int (*accept)(struct io *io, int listener, struct io_peer *peer);
    /* > 0 bytes, 0 the peer has ended its side, -EAGAIN nothing there. */
    ssize_t (*recv)(struct io *io, int fd, void *p, size_t n);
    /* > 0 bytes taken, maybe fewer than offered, -EAGAIN no room. Never raises SIGPIPE. */
    ssize_t (*send)(struct io *io, int fd, const struct iovec *iov, int count);
    /* Reports fd with this tag from now on when it is ready for interest (a mask of io_ready; level
     * triggered). first: fd is not watched yet. */
    int (*watch)(struct io *io, int fd, uint64_t tag, uint32_t interest, bool first);
    /* Ends our side, the other may still send. */
    void (*shutdown)(struct io *io, int fd);
    /* reset: what is not sent yet is thrown away (RST), so that a dead reader pins no kernel memory. */
    void (*close)(struct io *io, int fd, bool reset);
    /* Waits until something is ready, wake was called or the time is over (-1: for ever). Returns the count.
     */
    int (*wait)(struct io *io, struct io_event *events, int max, int timeout_ms);
    /* Gives up (false) or takes again (true) the one descriptor that is held in reserve, so that a connection
     * can be accepted, answered and closed when descriptors have run out. */
    void (*spare)(struct io *io, bool hold);
    /* Makes wait return; remembered if nobody waits. Any thread. */
    void (*wake)(struct io *io);
};

struct io {
    const struct io_ops *ops;
};

#endif
