/* SPDX-License-Identifier: MIT
 *
 * tls_peer - see tls_peer.h.
 */
#include "tls_peer.h"

#include <openssl/err.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "tls_peer: %s\n", what);
    ERR_print_errors_fp(stderr);
    abort();
}

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
    SSL_SESSION_free(SSL_CTX_get_app_data(ctx));
    SSL_CTX_set_app_data(ctx, session);
    return 1;
}

SSL_CTX *tls_peer_context(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx)
        die("no context");
    SSL_CTX_set_security_level(ctx, 0); /* so that it may ask for what is refused */
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    return ctx;
}

SSL_SESSION *tls_peer_ticket(SSL_CTX *ctx)
{
    return SSL_CTX_get_app_data(ctx);
}

void tls_peer_open(struct tls_peer *p, struct sim *s, uint32_t loop, SSL_CTX *ctx, SSL_SESSION *session)
{
    *p = (struct tls_peer){.sim = s,
                           .sock = sim_connect(s, loop),
                           .ssl = SSL_new(ctx),
                           .in = BIO_new(BIO_s_mem()),
                           .out = BIO_new(BIO_s_mem())};
    if (!p->ssl || !p->in || !p->out)
        die("memory");
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_connect_state(p->ssl);
    if (session && SSL_set_session(p->ssl, session) != 1)
        die("the session");
}

void tls_peer_finish(struct tls_peer *p)
{
    if (p->sock != SIM_NONE && p->ssl)
        sim_close(p->sim, p->sock);
    p->sock = SIM_NONE;
    if (p->ssl) /* or its ticket would be void */
        SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->ssl);
    p->ssl = NULL;
    ERR_clear_error();
}

static bool move_down(struct tls_peer *p, size_t n)
{
    char bytes[4096];
    size_t moved = 0, got;
    while (moved < n) {
        size_t most = n - moved < sizeof(bytes) ? n - moved : sizeof(bytes);
        got = sim_recv(p->sim, p->sock, bytes, most);
        if (got == 0)
            break;
        BIO_write(p->in, bytes, (int)got);
        moved += got;
    }
    if (sim_ended(p->sim, p->sock) || sim_was_reset(p->sim, p->sock))
        BIO_set_mem_eof_return(p->in, 0);
    return moved > 0;
}

static bool move_up(struct tls_peer *p, size_t n)
{
    char dropped[4096];
    char *bytes;
    size_t have = (size_t)BIO_get_mem_data(p->out, &bytes);
    size_t moved = have > 0 ? sim_send(p->sim, p->sock, bytes, have < n ? have : n) : 0;
    for (size_t left = moved; left > 0;)
        left -= (size_t)BIO_read(p->out, dropped, (int)(left < sizeof(dropped) ? left : sizeof(dropped)));
    return moved > 0;
}

static void note(struct tls_peer *p, int rc)
{
    int error = SSL_get_error(p->ssl, rc);
    if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
        p->failed = true;
    ERR_clear_error();
}

bool tls_peer_pump(struct tls_peer *p, size_t n)
{
    bool moved = move_down(p, n);
    if (!p->failed && !SSL_is_init_finished(p->ssl)) {
        int rc = SSL_do_handshake(p->ssl);
        if (rc != 1)
            note(p, rc);
    }
    return move_up(p, n) || moved;
}

bool tls_peer_is_up(const struct tls_peer *p)
{
    return SSL_is_init_finished(p->ssl);
}

void tls_peer_write(struct tls_peer *p, const void *bytes, size_t n)
{
    int rc = SSL_write(p->ssl, bytes, (int)n);
    if (rc != (int)n)
        note(p, rc);
}

size_t tls_peer_read(struct tls_peer *p, void *bytes, size_t n)
{
    int rc = SSL_read(p->ssl, bytes, (int)n);
    if (rc > 0)
        return (size_t)rc;
    note(p, rc);
    return 0;
}

bool tls_peer_was_told(const struct tls_peer *p)
{
    return SSL_get_shutdown(p->ssl) & SSL_RECEIVED_SHUTDOWN;
}
