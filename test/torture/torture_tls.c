/* SPDX-License-Identifier: MIT
 *
 * torture_tls - the n-th allocation of an encrypted connection's life fails, for every n, OpenSSL's own
 * included: create, accept, handshake, data in both directions with a socket that is full, new files, the
 * end. Whatever fails may fail, but the connection ends then, what has arrived is what was sent, and nothing
 * is left.
 *
 * Environment: N=n replays one, STEP=n tries only every n-th.
 */
#include "fault.h"
#include "tls_world.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES 40000

static void *take(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return malloc(n);
}

static void *take_more(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return realloc(p, n);
}

static void give(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

static long the_n;

static _Noreturn void fail(const char *what)
{
    fault_disarm();
    fprintf(stderr, "torture_tls: N=%ld: %s\n", the_n, what);
    exit(1);
}

static char bytes[BYTES];

struct life {
    struct tls_world w;
    struct tls_peer peer;
    int fd;
    size_t sent, got, heard;
    bool over;
};

/* The peer has all the memory it needs. */
static void peer_acts(struct life *l)
{
    static char in[BYTES];
    size_t n;
    fault_pause();
    tls_peer_pump(&l->peer, 3000);
    if (tls_peer_is_up(&l->peer) && !l->peer.failed) {
        while (l->got < BYTES && (n = tls_peer_read(&l->peer, in, BYTES - l->got)) > 0) {
            if (memcmp(in, bytes + l->got, n) != 0)
                fail("other bytes came than were sent");
            l->got += n;
        }
        if (!l->peer.failed && l->got == 0)
            tls_peer_write(&l->peer, "hello", 5);
    }
    fault_resume();
}

static void above_acts(struct life *l)
{
    struct io_event events[4];
    char in[64];
    struct io *io = l->w.io;
    io->ops->wait(io, events, 4, -1);
    ssize_t n = io->ops->recv(io, l->fd, in, sizeof(in));
    l->heard += n > 0 ? (size_t)n : 0;
    l->over = l->over || (n <= 0 && n != -EAGAIN);
    if (l->heard == 0 || l->sent == BYTES || l->over)
        return;
    struct iovec iov[2] = {{bytes + l->sent, 1}, {bytes + l->sent + 1, BYTES - l->sent - 1}};
    n = io->ops->send(io, l->fd, iov, 2);
    l->sent += n > 0 ? (size_t)n : 0;
    l->over = l->over || (n < 0 && n != -EAGAIN);
}

static void talk(struct life *l, SSL_CTX *ctx)
{
    struct io_peer from;
    char text[256];
    fault_pause();
    tls_peer_open(&l->peer, l->w.sim, 0, ctx, NULL);
    fault_resume();
    l->fd = l->w.io->ops->accept(l->w.io, TLS_WORLD_LISTENER, &from);
    if (l->fd >= 0 && l->w.io->ops->watch(l->w.io, l->fd, TLS_WORLD_TAG, IO_READ | IO_WRITE, true) == 0) {
        for (unsigned i = 0; i < 200 && !l->over && l->got < BYTES; i++) {
            peer_acts(l);
            above_acts(l);
            if (i == 3)
                tls_server_reload(l->w.server, l->w.cert, l->w.key, false, text, sizeof(text));
        }
        l->w.io->ops->shutdown(l->w.io, l->fd);
    }
    if (l->fd >= 0)
        l->w.io->ops->close(l->w.io, l->fd, false);
    fault_pause();
    tls_peer_finish(&l->peer);
    fault_resume();
}

/* One connection, from nothing to nothing. */
static void live(struct life *l, SSL_CTX *ctx)
{
    char text[256];
    struct tls_world *w = &l->w;
    w->options.down = 2000;
    w->sim = sim_create(&w->options);
    w->world = sim_world(w->sim);
    w->below = w->world.create_io(w->world.user, 0);
    if (tls_server_create(&w->server, w->cert, w->key, true, &w->world.clock, text, sizeof(text)) ==
        TLS_LOADED)
        w->io = tls_create_io(w->below, w->server, &w->stats);
    if (w->io && tls_listen(w->io, TLS_WORLD_LISTENER) == 0)
        talk(l, ctx);
    if (sim_open_sockets(w->sim) > 0)
        fail("a socket is left open");
    tls_destroy_io(w->io);
    tls_server_destroy(w->server);
    w->world.destroy_io(w->world.user, w->below);
    sim_destroy(w->sim);
    w->sim = NULL;
    w->io = NULL;
    w->server = NULL;
    ERR_clear_error();
}

/* False: there was no n-th allocation any more. */
static bool try_with(struct tls_world *files, SSL_CTX *ctx, long n)
{
    struct life l = {.w = *files, .fd = -1};
    the_n = n;
    fault_arm(n, 1);
    live(&l, ctx);
    bool hit = fault_hit();
    fault_disarm();
    if (!hit && l.got != BYTES)
        fail("not all arrived, although nothing had failed");
    return hit;
}

int main(void)
{
    struct tls_world files;
    const char *one = getenv("N"), *given = getenv("STEP");
    long step = given ? atol(given) : SIM_SLOW ? 13 : 3;
    CRYPTO_set_mem_functions(take, take_more, give);
    tls_world_init(&files);
    SSL_CTX *ctx = tls_peer_context(0);
    long n = one ? atol(one) : 1;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 >> 3);
    try_with(&files, ctx, 0); /* what OpenSSL makes once for the whole process */
    while (try_with(&files, ctx, n) && !one)
        n += step;
    printf("of %ld allocations every %ld. failed\n", n, step);
    SSL_SESSION_free(tls_peer_ticket(ctx));
    SSL_CTX_free(ctx);
    tls_world_finish(&files);
    return 0;
}
