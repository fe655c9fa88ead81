/* SPDX-License-Identifier: MIT
 *
 * test_tls_server - what a hub's encrypted connections share: files that are good, bad or late, new ones
 * under open sessions, and tickets whose keys grow old.
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

#define ALL    ((size_t)-1)
#define HOUR   (3600 * 1000u)
#define DAY    86400L
#define DECADE (3652 * DAY)

static int set_up(void **state)
{
    static struct tls_world w;
    tls_world_init(&w);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    tls_world_finish(*state);
    return 0;
}

/* ---- files ---- */

static uint64_t at_rest(void *user)
{
    (void)user;
    return 1763800000000;
}

static const struct clock clock_at_rest = {at_rest, at_rest, NULL};

/* Valid from so many seconds to so many, as that clock sees it. */
static void write_certificate(const struct tls_world *w, const char *type, long from, long to)
{
    long behind = (long)(at_rest(NULL) / 1000) - (long)time(NULL);
    struct certificate c = certificate_make("localhost", type, behind + from, behind + to);
    assert_non_null(c.key);
    assert_true(certificate_write(&c, w->cert, w->key));
    certificate_drop(&c);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void expect(struct tls_world *w, enum tls_load want, const char *start, const char *says)
{
    char text[512] = "?";
    enum tls_load rc =
        tls_server_create(&w->server, w->cert, w->key, true, &clock_at_rest, text, sizeof(text));
    assert_int_equal(rc, want);
    assert_int_equal(strncmp(text, start, strlen(start)), 0);
    if (!strstr(text, says))
        fail_msg("%s: says nothing of \"%s\"", text, says);
    if (rc == TLS_LOADED)
        tls_server_destroy(w->server);
    w->server = NULL;
}

static void test_files(void **state)
{
    struct tls_world *w = *state;
    write_certificate(w, "RSA", -DAY, DAY);
    expect(w, TLS_LOADED, "", "");
    write_certificate(w, "EC", -DAY, DAY);
    expect(w, TLS_LOADED, "", "");
    write_certificate(w, "EC", -2 * DAY, -DAY);
    expect(w, TLS_LOADED, w->cert, "the certificate has expired on 2025-11-21 ");
    write_certificate(w, "EC", DAY, 2 * DAY);
    expect(w, TLS_LOADED, w->cert, "the certificate is not valid before 2025-11-23 ");

    write_certificate(w, "EC", -DAY, DAY);
    write_text(w->key, "");
    expect(w, TLS_LOAD_FAILED, w->key, "not the private key");
    write_text(w->key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    expect(w, TLS_LOAD_FAILED, w->key, "not the private key");
    unlink(w->key);
    expect(w, TLS_LOAD_FAILED, w->key, "cannot be read: No such file or directory");
    write_text(w->cert, "no PEM\n");
    expect(w, TLS_LOAD_FAILED, w->cert, "not a certificate");
    unlink(w->cert);
    expect(w, TLS_LOAD_FAILED, w->cert, "cannot be read: No such file or directory");
}

/* A key of another certificate, of the same kind and of another. */
static void test_a_key_that_does_not_fit(void **state)
{
    struct tls_world *w = *state;
    static const char *const types[] = {"EC", "RSA"};
    char other[sizeof(w->cert) + 2];
    snprintf(other, sizeof(other), "%s.2", w->cert);
    for (unsigned i = 0; i < 2; i++) {
        write_certificate(w, "EC", -DAY, DAY);
        struct certificate c = certificate_make("localhost", types[i], -DAY, DAY);
        assert_true(certificate_write(&c, other, w->key));
        certificate_drop(&c);
        unlink(other);
        expect(w, TLS_LOAD_FAILED, w->key, "not the private key");
    }
}

/* ---- new files under open sessions ---- */

static void say(struct tls_world *w, const char *text)
{
    char bytes[64];
    assert_int_equal(tls_world_send(w, text, strlen(text)), strlen(text));
    tls_peer_pump(&w->peer, ALL);
    assert_int_equal(tls_peer_read(&w->peer, bytes, sizeof(bytes)), strlen(text));
    assert_memory_equal(bytes, text, strlen(text));
}

struct digest {
    unsigned char bytes[EVP_MAX_MD_SIZE];
};

/* Of the certificate that the peer was shown. */
static struct digest shown(struct tls_world *w)
{
    struct digest digest = {{0}};
    const X509 *x = SSL_get0_peer_certificate(w->peer.ssl);
    assert_int_equal(X509_digest(x, EVP_sha256(), digest.bytes, NULL), 1);
    return digest;
}

static void test_reload(void **state)
{
    struct tls_world *w = *state;
    char text[512];
    tls_world_start(w, 0);
    tls_world_handshake(w, ALL);
    struct tls_peer open = w->peer;
    int fd = w->fd;
    struct digest old = shown(w);
    struct digest now;
    write_text(w->key, "broken\n");
    assert_int_equal(tls_server_reload(w->server, w->cert, w->key, true, text, sizeof(text)),
                     TLS_LOAD_FAILED);
    assert_int_equal(strncmp(text, w->key, strlen(w->key)), 0);
    say(w, "still here");

    w->fd = -1; /* the first stays open beside the next ones */
    w->peer = (struct tls_peer){.sock = SIM_NONE};
    tls_world_reconnect(w, NULL);
    tls_world_handshake(w, ALL);
    now = shown(w);
    assert_memory_equal(now.bytes, old.bytes, sizeof(old.bytes));
    write_certificate(w, "EC", -DECADE, 5 * DECADE);
    assert_int_equal(tls_server_reload(w->server, w->cert, w->key, true, text, sizeof(text)), TLS_LOADED);
    assert_string_equal(text, "");
    tls_world_reconnect(w, NULL);
    tls_world_handshake(w, ALL);
    now = shown(w);
    assert_memory_not_equal(now.bytes, old.bytes, sizeof(old.bytes));
    say(w, "new");

    w->io->ops->close(w->io, w->fd, false);
    tls_peer_finish(&w->peer);
    w->peer = open;
    w->fd = fd;
    say(w, "and still here");
}

static void test_protocols(void **state)
{
    struct tls_world *w = *state;
    static const unsigned char both[] = "\x08http/1.1\x02h2";
    const unsigned char *chosen;
    unsigned len;
    char text[64];
    tls_world_start(w, 0);
    SSL_CTX_set_alpn_protos(w->ctx, both, sizeof(both) - 1);
    for (unsigned http2 = 0; http2 < 2; http2++) {
        assert_int_equal(tls_server_reload(w->server, w->cert, w->key, http2, text, sizeof(text)),
                         TLS_LOADED);
        tls_world_reconnect(w, NULL);
        tls_world_handshake(w, ALL);
        SSL_get0_alpn_selected(w->peer.ssl, &chosen, &len);
        assert_int_equal(len, http2 ? 2 : 8);
        assert_memory_equal(chosen, http2 ? "h2" : "http/1.1", len);
    }
}

/* ---- tickets ---- */

/* With the ticket of the connection before, or that which it came with if it was given no other; true: it was
 * good. */
static bool comes_back(struct tls_world *w)
{
    SSL_SESSION *last = SSL_get1_session(w->peer.ssl), *ticket = SSL_SESSION_dup(last);
    assert_true(SSL_SESSION_has_ticket(ticket));
    SSL_SESSION_free(last);
    uint64_t before = atomic_load(&w->stats.tls_resumed);
    tls_world_reconnect(w, ticket);
    tls_world_handshake(w, ALL);
    say(w, "hello");
    SSL_SESSION_free(ticket);
    bool resumed = SSL_session_reused(w->peer.ssl);
    assert_int_equal(atomic_load(&w->stats.tls_resumed) - before, resumed);
    return resumed;
}

static void check_tickets(struct tls_world *w, int version)
{
    char text[64];
    tls_world_start(w, version);
    tls_world_handshake(w, ALL);
    say(w, "hello");
    assert_true(comes_back(w));
    assert_true(comes_back(w));
    sim_advance(w->sim, HOUR + 1); /* its key is the previous one now; another ticket comes */
    assert_true(comes_back(w));
    sim_advance(w->sim, HOUR + 1);
    assert_true(comes_back(w));
    sim_advance(w->sim, 2 * HOUR + 2); /* nobody came meanwhile, and still it is too old */
    assert_false(comes_back(w));
    assert_true(comes_back(w));
    assert_int_equal(tls_server_reload(w->server, w->cert, w->key, true, text, sizeof(text)), TLS_LOADED);
    assert_true(comes_back(w)); /* a new certificate is no reason to forget */
}

static void test_tickets12(void **state)
{
    check_tickets(*state, TLS1_2_VERSION);
}

static void test_tickets13(void **state)
{
    check_tickets(*state, TLS1_3_VERSION);
}

/* The key encrypts for an hour, and decrypts for one more; a ticket that was never renewed ends with it. */
static void test_a_ticket_ends(void **state)
{
    struct tls_world *w = *state;
    tls_world_start(w, TLS1_3_VERSION);
    tls_world_handshake(w, ALL);
    say(w, "hello");
    SSL_SESSION *first = SSL_SESSION_dup(tls_peer_ticket(w->ctx));
    for (unsigned hours = 0; hours < 3; hours++) {
        SSL_SESSION *copy = SSL_SESSION_dup(first); /* OpenSSL's clients use one once */
        tls_world_reconnect(w, copy);
        tls_world_handshake(w, ALL);
        SSL_SESSION_free(copy);
        assert_int_equal(SSL_session_reused(w->peer.ssl), hours < 2);
        sim_advance(w->sim, HOUR + 1);
    }
    SSL_SESSION_free(first);
}

/* Another hub's ticket, or one that was changed on its way: a full handshake, and no error. */
static void test_a_strange_ticket(void **state)
{
    struct tls_world *w = *state;
    char text[64];
    tls_world_start(w, TLS1_3_VERSION);
    tls_world_handshake(w, ALL);
    say(w, "hello");
    struct tls_server *other;
    assert_int_equal(tls_server_create(&other, w->cert, w->key, true, &w->world.clock, text, sizeof(text)),
                     TLS_LOADED);
    tls_destroy_io(w->io);
    w->fd = -1; /* went with it */
    tls_server_destroy(w->server);
    w->server = other;
    w->io = tls_create_io(w->below, other, &w->stats);
    assert_int_equal(tls_listen(w->io, TLS_WORLD_LISTENER), 0);
    assert_false(comes_back(w));
    assert_true(comes_back(w));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_files),         TEST(test_a_key_that_does_not_fit),
        TEST(test_reload),        TEST(test_protocols),
        TEST(test_tickets12),     TEST(test_tickets13),
        TEST(test_a_ticket_ends), TEST(test_a_strange_ticket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
