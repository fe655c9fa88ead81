/* SPDX-License-Identifier: MIT
 *
 * tls_world - see tls_world.h.
 */
#include "tls_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DECADE (3652 * 86400L) /* the simulated clock has a time of its own */

void tls_world_init(struct tls_world *w)
{
    *w = (struct tls_world){.options = {.seed = 1, .loops = 1}, .fd = -1, .peer = {.sock = SIM_NONE}};
    struct certificate c = certificate_make("localhost", "EC", -DECADE, DECADE);
    assert_non_null(c.key);
    const char *tmp = getenv("TMPDIR");
    snprintf(w->dir, sizeof(w->dir), "%s/tls-XXXXXX", tmp && strlen(tmp) < 16 ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->cert, sizeof(w->cert), "%s/cert.pem", w->dir);
    snprintf(w->key, sizeof(w->key), "%s/key.pem", w->dir);
    assert_true(certificate_write(&c, w->cert, w->key));
    certificate_drop(&c);
}

void tls_world_reconnect(struct tls_world *w, SSL_SESSION *ticket)
{
    struct io_peer peer;
    if (w->fd >= 0)
        w->io->ops->close(w->io, w->fd, false);
    tls_peer_finish(&w->peer);
    tls_peer_open(&w->peer, w->sim, 0, w->ctx, ticket);
    w->fd = w->io->ops->accept(w->io, TLS_WORLD_LISTENER, &peer);
    assert_true(w->fd >= 0);
    assert_true(peer.tls);
    assert_int_equal(w->io->ops->watch(w->io, w->fd, TLS_WORLD_TAG, IO_READ | IO_HANGUP, true), 0);
}

void tls_world_start(struct tls_world *w, int version)
{
    char text[256];
    w->sim = sim_create(&w->options);
    w->world = sim_world(w->sim);
    w->below = w->world.create_io(w->world.user, 0);
    assert_int_equal(
        tls_server_create(&w->server, w->cert, w->key, true, &w->world.clock, text, sizeof(text)),
        TLS_LOADED);
    assert_string_equal(text, "");
    w->io = tls_create_io(w->below, w->server, &w->stats);
    assert_non_null(w->io);
    assert_int_equal(tls_listen(w->io, TLS_WORLD_LISTENER), 0);
    w->ctx = tls_peer_context(version);
    tls_world_reconnect(w, NULL);
}

void tls_world_finish(struct tls_world *w)
{
    if (w->fd >= 0)
        w->io->ops->close(w->io, w->fd, false);
    tls_peer_finish(&w->peer);
    if (w->ctx) {
        SSL_SESSION_free(tls_peer_ticket(w->ctx));
        SSL_CTX_free(w->ctx);
    }
    tls_destroy_io(w->io);
    tls_server_destroy(w->server);
    if (w->sim) {
        w->world.destroy_io(w->world.user, w->below);
        sim_destroy(w->sim);
    }
    unlink(w->cert);
    unlink(w->key);
    rmdir(w->dir);
}

uint32_t tls_world_wait(struct tls_world *w)
{
    struct io_event events[8];
    int n = w->io->ops->wait(w->io, events, 8, -1);
    if (n == 0)
        return 0;
    assert_int_equal(n, 1); /* nobody is reported twice */
    assert_int_equal(events[0].tag, TLS_WORLD_TAG);
    assert_true(events[0].ready != 0);
    return events[0].ready;
}

void tls_world_handshake(struct tls_world *w, size_t piece)
{
    char byte;
    for (unsigned i = 0; i < 100000; i++) {
        bool moved = tls_peer_pump(&w->peer, piece);
        uint32_t ready = tls_world_wait(w);
        assert_false(w->peer.failed);
        if (ready & IO_READ)
            assert_int_equal(tls_world_recv(w, &byte, 1), -EAGAIN);
        if (!moved && !ready && tls_peer_is_up(&w->peer))
            return;
    }
    fail_msg("the handshake does not end");
}

ssize_t tls_world_recv(struct tls_world *w, void *p, size_t n)
{
    return w->io->ops->recv(w->io, w->fd, p, n);
}

ssize_t tls_world_send(struct tls_world *w, const void *p, size_t n)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    return w->io->ops->send(w->io, w->fd, &iov, 1);
}

void tls_world_watch(struct tls_world *w, uint32_t interest)
{
    assert_int_equal(w->io->ops->watch(w->io, w->fd, TLS_WORLD_TAG, interest, false), 0);
}
