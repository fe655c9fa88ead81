/* SPDX-License-Identifier: MIT
 *
 * acceptor - see acceptor.h. Running out of descriptors is an ordinary state here, with an answer for it: one
 * spare descriptor refuses politely, idle connections make room, and at the very end the listeners rest for a
 * tick.
 */
#include "acceptor.h"

#include <errno.h>

#define ACCEPT_MAX 64 /* a turn and listener */
#define ERRORS_MAX 16 /* of accept in a row, then the listeners rest */

/* The head of a request in the loop's buffer; NULL if it is none, or only a part. */
static const struct h1_head *read_head(const struct loop *l, ssize_t n, struct h1_head *head)
{
    struct h1_error error;
    const struct h1_limits limits = {l->config.max_request_line, l->config.max_headers};
    return n > 0 && h1_parse_head(l->read_buffer, (size_t)n, 0, &limits, head, &error) > 0 ? head : NULL;
}

static bool is_short(int fd)
{
    return fd == -EMFILE || fd == -ENFILE;
}

/* The newest connection without a request on its way, of those that were answered before, or of those that
 * were not. */
static struct conn *find_idle(const struct loop *l, bool answered)
{
    for (uint32_t i = slab_end(&l->conns); i-- > 0;) {
        struct conn *c = slab_get(&l->conns, i);
        if (c && c->state == CONN_HEAD && !c->io && (c->last_write != c->sub.since) == answered)
            return c;
    }
    return NULL;
}

/* Closes a connection that has not asked anything yet, or else one that waits between requests: those may be
 * closed at any time (RFC 9112 section 9.5). False if there is none. */
static bool close_idle(struct loop *l)
{
    struct conn *c = find_idle(l, false);
    if (!c)
        c = find_idle(l, true);
    if (c)
        conn_close(l, c, CLOSE_TIMEOUT, false);
    return c != NULL;
}

/* With no descriptor at all a listener would be reported again and again: it rests until the next tick. */
static void watch_listeners(struct loop *l, bool on)
{
    if (l->accepting == on)
        return;
    l->accepting = on;
    for (uint32_t i = 0; i < l->listener_count; i++)
        l->io->ops->watch(l->io, l->listeners[i], (uint64_t)ACCEPTOR_GEN << 32 | i, on ? IO_READ : 0, false);
}

/* No descriptor is left but the spare one: answer one connection with it instead of leaving it unanswered in
 * the kernel's queue while the listener reports it again and again. False if there was none. */
static bool shed(struct loop *l, int listener)
{
    struct io_peer peer;
    struct buf out;
    struct h1_head head;
    l->io->ops->spare(l->io, false);
    int fd = l->io->ops->accept(l->io, listener, &peer);
    if (is_short(fd) && close_idle(l)) /* another thread was quicker to take what the spare one left free */
        fd = l->io->ops->accept(l->io, listener, &peer);
    if (fd >= 0) {
        ssize_t n = l->io->ops->recv(l->io, fd, l->read_buffer, LOOP_READ_BUFFER);
        buf_init(&out, 4096);
        l->handler->on_shed(l->user, l, read_head(l, n, &head), &out);
        struct iovec iov = {out.data, out.len};
        if (out.len > 0)
            l->io->ops->send(l->io, fd, &iov, 1);
        l->io->ops->shutdown(l->io, fd);
        l->io->ops->close(l->io, fd, false);
        buf_finish(&out);
        stats_add(&l->stats.refused_descriptors, 1);
    }
    l->io->ops->spare(l->io, true);
    if (is_short(fd))
        watch_listeners(l, false);
    return fd >= 0;
}

void acceptor_ready(struct loop *l, uint32_t index)
{
    int listener = l->listeners[index];
    for (unsigned i = 0; i < ACCEPT_MAX; i++) {
        struct io_peer peer;
        int fd = l->io->ops->accept(l->io, listener, &peer);
        if (is_short(fd)) {
            if (!shed(l, listener))
                return;
            continue;
        }
        if (fd < 0) {
            /* The kernel's memory is short, say: that passes, or it would be reported again and again. */
            if (fd != -EAGAIN && ++l->accept_errors >= ERRORS_MAX)
                watch_listeners(l, false);
            return;
        }
        l->accept_errors = 0;
        struct conn *c = conn_open(l, fd, &peer);
        if (c)
            conn_set_deadline(l, c, l->config.head_timeout);
        else
            l->io->ops->close(l->io, fd, true);
    }
}

int acceptor_listen(struct loop *l, const int *listeners, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int rc = l->io->ops->watch(l->io, listeners[i], (uint64_t)ACCEPTOR_GEN << 32 | i, IO_READ, true);
        if (rc < 0)
            return rc;
    }
    l->listeners = listeners;
    l->listener_count = count;
    l->accepting = true;
    return 0;
}

void acceptor_tick(struct loop *l)
{
    if (l->accepting)
        return;
    l->io->ops->spare(l->io, true);
    watch_listeners(l, true);
}
