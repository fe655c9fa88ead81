/* SPDX-License-Identifier: MIT
 *
 * test_tls - TLS as a filter: handshakes in pieces, plaintext that the socket does not tell of, ciphertext
 * that the socket does not take, records at their limit, peers that speak something else or nothing, and both
 * directions under faults from a seed. (Certificates and tickets: test_tls_server.c.)
 */
#include "tls_world.h"

#include <openssl/err.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim_parts.h"

#define RECORD (16 * 1024)
#define ALL    ((size_t)-1)

static char many[4 * RECORD], back[8 * RECORD];

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

static void fill(char *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(seed = seed * 1103515245 + 12345) >> 3;
}

static uint64_t read_stat(const _Atomic uint64_t *stat)
{
    return atomic_load(stat);
}

/* What comes to the peer, while the filter goes on with what it owes. */
static size_t read_back(struct tls_world *w)
{
    size_t n = 0, got;
    bool moved = true;
    while (moved) {
        moved = tls_peer_pump(&w->peer, ALL);
        while (n < sizeof(back) && (got = tls_peer_read(&w->peer, back + n, sizeof(back) - n)) > 0) {
            n += got;
            moved = true;
        }
        tls_world_wait(w);
    }
    return n;
}

/* ---- handshakes ---- */

static void exchange(struct tls_world *w)
{
    char bytes[16];
    tls_peer_write(&w->peer, "ping", 4);
    tls_peer_pump(&w->peer, ALL);
    assert_int_equal(tls_world_wait(w), IO_READ);
    assert_int_equal(tls_world_recv(w, bytes, sizeof(bytes)), 4);
    assert_memory_equal(bytes, "ping", 4);
    assert_int_equal(tls_world_recv(w, bytes, sizeof(bytes)), -EAGAIN);
    assert_int_equal(tls_world_send(w, "pong!", 5), 5);
    assert_int_equal(read_back(w), 5);
    assert_memory_equal(back, "pong!", 5);
}

static void handshake_of(struct tls_world *w, int version, size_t piece)
{
    tls_world_start(w, version);
    tls_world_handshake(w, piece);
    assert_int_equal(SSL_version(w->peer.ssl), version);
    assert_int_equal(read_stat(&w->stats.tls_handshakes), 1);
    assert_int_equal(read_stat(&w->stats.tls_handshake_failures), 0);
    exchange(w);
}

static void test_tls12(void **state)
{
    handshake_of(*state, TLS1_2_VERSION, ALL);
}

static void test_tls13(void **state)
{
    handshake_of(*state, TLS1_3_VERSION, ALL);
}

/* Each byte alone, and a socket that takes 40 of the hub's flight at a time. */
static void test_tls12_in_pieces(void **state)
{
    struct tls_world *w = *state;
    w->options.down = 40;
    handshake_of(w, TLS1_2_VERSION, 1);
}

static void test_tls13_in_pieces(void **state)
{
    struct tls_world *w = *state;
    w->options.down = 40;
    handshake_of(w, TLS1_3_VERSION, 1);
}

static void test_an_old_version(void **state)
{
    struct tls_world *w = *state;
    char byte;
    tls_world_start(w, TLS1_1_VERSION);
    tls_peer_pump(&w->peer, ALL);
    assert_int_equal(tls_world_recv(w, &byte, 1), -EPROTO);
    assert_int_equal(tls_world_recv(w, &byte, 1), -EPROTO);
    assert_int_equal(tls_world_send(w, "x", 1), -EPROTO);
    assert_int_equal(read_stat(&w->stats.tls_handshake_failures), 1);
    tls_peer_pump(&w->peer, ALL);
    assert_true(w->peer.failed); /* an alert came, and not only the end */
}

/* TLS 1.2 knows renegotiation, and we do not. */
static void test_renegotiation(void **state)
{
    struct tls_world *w = *state;
    char byte;
    handshake_of(w, TLS1_2_VERSION, ALL);
    SSL_renegotiate(w->peer.ssl);
    assert_int_equal(SSL_do_handshake(w->peer.ssl), -1);
    tls_peer_pump(&w->peer, ALL);
    tls_world_wait(w);
    assert_int_equal(tls_world_recv(w, &byte, 1), -EAGAIN);
    tls_peer_pump(&w->peer, ALL);
    tls_peer_pump(&w->peer, ALL);
    assert_true(w->peer.failed);
    assert_int_equal(read_stat(&w->stats.tls_handshakes), 1);
}

/* Whoever asks for new keys again and again, and does not read the answers, is cut off. */
static void test_keys_again_and_again(void **state)
{
    struct tls_world *w = *state;
    ssize_t got = 1;
    unsigned i = 0;
    w->options.down = 3000;
    handshake_of(w, TLS1_3_VERSION, ALL);
    for (; got == 1 && i < 5000; i++) {
        char *p, byte;
        SSL_key_update(w->peer.ssl, SSL_KEY_UPDATE_REQUESTED);
        tls_peer_write(&w->peer, "x", 1);
        long n = BIO_get_mem_data(w->peer.out, &p);
        assert_int_equal(sim_send(w->sim, w->peer.sock, p, (size_t)n), n);
        (void)BIO_reset(w->peer.out);
        tls_world_wait(w);
        got = tls_world_recv(w, &byte, 1);
    }
    assert_int_equal(got, -ENOBUFS);
    assert_in_range(i, 100, 2000);
    assert_true(tls_world_send(w, "y", 1) < 0);
}

/* What others of this thread left in OpenSSL's queue is nothing that happened to us. */
static void test_errors_of_others(void **state)
{
    struct tls_world *w = *state;
    char byte;
    tls_world_start(w, 0);
    for (unsigned i = 0; i < 10 && !tls_peer_is_up(&w->peer); i++) {
        tls_peer_pump(&w->peer, 100);
        ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
        assert_int_equal(tls_world_recv(w, &byte, 1), -EAGAIN);
        ERR_clear_error();
    }
    tls_world_handshake(w, ALL);
    ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
    assert_int_equal(tls_world_recv(w, &byte, 1), -EAGAIN);
    ERR_raise(ERR_LIB_EVP, EVP_R_DECODE_ERROR);
    exchange(w);
}

/* ---- not TLS ---- */

static void refused(struct tls_world *w, const char *bytes, size_t n)
{
    char byte;
    uint64_t failures = read_stat(&w->stats.tls_handshake_failures);
    tls_world_reconnect(w, NULL);
    sim_send(w->sim, w->peer.sock, bytes, n);
    assert_true(tls_world_wait(w) & IO_READ);
    assert_int_equal(tls_world_recv(w, &byte, 1), -EPROTO);
    assert_int_equal(tls_world_recv(w, &byte, 1), -EPROTO);
    assert_int_equal(read_stat(&w->stats.tls_handshake_failures), failures + 1);
}

static void test_garbage(void **state)
{
    struct tls_world *w = *state;
    tls_world_start(w, 0);
    refused(w, "\x16\x03\x01\xff\xff", 5);                              /* a record beyond the limit */
    refused(w, "\x17\x03\x03\x00\x05hello", 10);                        /* data before the handshake */
    refused(w, "\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9);              /* the hello of a server */
    refused(w, "\x80\x0a\x04\x03\x01\x00\x01\x00\x00\x00\x10\x00", 12); /* SSL 2 */
    refused(w, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    fill(many, 1000, 5);
    refused(w, many, 1000);
}

static void test_plain_http(void **state)
{
    struct tls_world *w = *state;
    tls_world_start(w, 0);
    refused(w, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
    w->io->ops->close(w->io, w->fd, true); /* as the floor above does after an error; the answer stays */
    w->fd = -1;
    size_t n = sim_recv(w->sim, w->peer.sock, back, sizeof(back));
    back[n] = '\0';
    assert_memory_equal(back, "HTTP/1.1 400 ", 13);
    const char *body = strstr(back, "\r\n\r\n"), *length = strstr(back, "Content-Length: ");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), strtoul(length + 16, NULL, 10));
}

/* The first flight ends after so many bytes, and so does the connection. */
static void test_truncated(void **state)
{
    struct tls_world *w = *state;
    char byte;
    tls_world_start(w, 0);
    for (size_t n = 0; n < 200; n += 7) {
        tls_world_reconnect(w, NULL);
        if (n > 0)
            tls_peer_pump(&w->peer, n);
        sim_shutdown(w->sim, w->peer.sock);
        assert_true(tls_world_wait(w) & (IO_READ | IO_HANGUP));
        assert_true(tls_world_recv(w, &byte, 1) <= 0);
        assert_int_not_equal(tls_world_recv(w, &byte, 1), -EAGAIN);
    }
    assert_int_equal(read_stat(&w->stats.tls_handshakes), 0);
}

/* ---- plaintext that the socket does not tell of ---- */

static bool io_sleeps(struct tls_world *w)
{
    return w->sim->ios[0].idle;
}

static void test_pending(void **state)
{
    struct tls_world *w = *state;
    size_t n = 0;
    handshake_of(w, TLS1_3_VERSION, ALL);
    fill(many, RECORD, 1);
    tls_peer_write(&w->peer, many, RECORD);
    tls_peer_pump(&w->peer, ALL);
    for (; n < RECORD; n += 100) {
        size_t want = RECORD - n < 100 ? RECORD - n : 100;
        assert_int_equal(tls_world_wait(w), IO_READ);
        assert_false(io_sleeps(w));
        assert_int_equal(tls_world_recv(w, back + n, want), want);
        if (n == 5000) { /* who does not want to know is not told, and the loop may sleep */
            tls_world_watch(w, 0);
            assert_int_equal(tls_world_wait(w), 0);
            assert_true(io_sleeps(w));
            tls_world_watch(w, IO_READ);
        }
    }
    assert_memory_equal(many, back, RECORD);
    tls_world_wait(w); /* there may be more: asked once */
    assert_int_equal(tls_world_recv(w, back, 1), -EAGAIN);
    assert_int_equal(tls_world_wait(w), 0);
    assert_true(io_sleeps(w));
}

/* ---- ciphertext that the socket does not take ---- */

static void test_backlog(void **state)
{
    struct tls_world *w = *state;
    w->options.down = 3000;
    handshake_of(w, TLS1_3_VERSION, ALL);
    fill(many, RECORD, 2);
    assert_int_equal(tls_world_send(w, many, RECORD), RECORD); /* all of it is encrypted, 3000 are sent */
    assert_int_equal(tls_world_send(w, "never", 5), -EAGAIN);
    assert_int_equal(tls_world_wait(w), 0);
    tls_world_watch(w, IO_READ | IO_WRITE);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(tls_world_wait(w), 0); /* not writable for the floor above */
        tls_peer_pump(&w->peer, 2000);
        assert_int_equal(tls_world_send(w, "never", 5), -EAGAIN);
    }
    uint32_t ready = 0;
    for (unsigned i = 0; i < 20 && !ready; i++) {
        tls_peer_pump(&w->peer, ALL);
        ready = tls_world_wait(w);
    }
    assert_int_equal(ready, IO_WRITE);
    assert_int_equal(tls_world_send(w, "other bytes", 11), 11);
    assert_int_equal(read_back(w), RECORD + 11);
    assert_memory_equal(back, many, RECORD);
    assert_memory_equal(back + RECORD, "other bytes", 11);
}

/* Without interest in writing nobody is told, but what is owed still leaves. */
static void test_backlog_leaves_by_itself(void **state)
{
    struct tls_world *w = *state;
    w->options.down = 1000;
    handshake_of(w, TLS1_2_VERSION, ALL);
    assert_int_equal(tls_world_send(w, many, RECORD), RECORD);
    w->io->ops->shutdown(w->io, w->fd); /* ends our side behind it */
    assert_false(sim_ended(w->sim, w->peer.sock));
    assert_int_equal(read_back(w), RECORD);
    assert_true(tls_peer_was_told(&w->peer));
    assert_true(sim_ended(w->sim, w->peer.sock));
}

static void test_records_at_their_limit(void **state)
{
    struct tls_world *w = *state;
    static const size_t sizes[] = {1, RECORD - 1, RECORD, RECORD + 1, 2 * RECORD, 2 * RECORD + 1, 4 * RECORD};
    handshake_of(w, TLS1_3_VERSION, ALL);
    fill(many, sizeof(many), 3);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (size_t cut = 1; cut < sizes[i]; cut = cut * 7 + 1) {
            struct iovec iov[4] = {{many, cut}, {many + cut, 0}, {many + cut, sizes[i] - cut}, {many, 0}};
            assert_int_equal(w->io->ops->send(w->io, w->fd, iov, 4), sizes[i]);
            assert_int_equal(read_back(w), sizes[i]);
            assert_memory_equal(many, back, sizes[i]);
        }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tls_peer_write(&w->peer, many, sizes[i]);
        tls_peer_pump(&w->peer, ALL);
        assert_int_equal(tls_world_recv(w, back, sizeof(back)), sizes[i]);
        assert_memory_equal(many, back, sizes[i]);
    }
}

/* ---- ends ---- */

static void test_ends(void **state)
{
    struct tls_world *w = *state;
    char byte;
    handshake_of(w, TLS1_3_VERSION, ALL);
    w->io->ops->shutdown(w->io, w->fd);
    assert_int_equal(read_back(w), 0);
    assert_true(tls_peer_was_told(&w->peer));
    tls_peer_write(&w->peer, "late", 4); /* the other way is still open */
    tls_peer_pump(&w->peer, ALL);
    SSL_key_update(w->peer.ssl, SSL_KEY_UPDATE_REQUESTED); /* is not answered any more, and breaks nothing */
    tls_peer_write(&w->peer, "st", 2);
    tls_peer_pump(&w->peer, ALL);
    assert_int_equal(tls_world_recv(w, back, 10), 6);
    sim_shutdown(w->sim, w->peer.sock); /* without close_notify: HTTP knows where it ends */
    assert_true(tls_world_wait(w) & IO_READ);
    assert_int_equal(tls_world_recv(w, &byte, 1), 0);

    tls_world_reconnect(w, NULL);
    tls_world_handshake(w, ALL);
    w->io->ops->close(w->io, w->fd, false); /* says so too */
    w->fd = -1;
    tls_peer_pump(&w->peer, ALL);
    assert_int_equal(tls_peer_read(&w->peer, &byte, 1), 0);
    assert_true(tls_peer_was_told(&w->peer));

    tls_world_reconnect(w, NULL);
    tls_world_handshake(w, ALL);
    sim_break(w->sim, w->peer.sock);
    assert_true(tls_world_wait(w) & IO_HANGUP);
    assert_int_equal(tls_world_recv(w, &byte, 1), -ECONNRESET);
    assert_true(tls_world_send(w, "x", 1) < 0);
}

/* ---- both directions, with faults ---- */

struct flow {
    char *sent; /* what the receiver must see */
    size_t len, seen;
};

#define FLOW_MAX (200 * 1024)

static void check(struct flow *f, const char *p, size_t n)
{
    assert_true(f->seen + n <= f->len);
    assert_memory_equal(f->sent + f->seen, p, n);
    f->seen += n;
}

static void note(struct flow *f, const char *p, size_t n)
{
    memcpy(f->sent + f->len, p, n);
    f->len += n;
}

/* After a refusal the floor above offers other bytes than before. */
static void send_some(struct tls_world *w, struct flow *down, unsigned *seed)
{
    size_t n = 1 + sim_below(w->sim, sim_chance(w->sim, 100) ? 40000 : 600);
    if (n > FLOW_MAX - down->len)
        n = FLOW_MAX - down->len;
    if (n == 0)
        return;
    fill(many, n, ++*seed);
    size_t cut = sim_below(w->sim, (uint32_t)n + 1);
    struct iovec iov[2] = {{many, cut}, {many + cut, n - cut}};
    ssize_t taken = w->io->ops->send(w->io, w->fd, iov, 2);
    if (taken > 0)
        note(down, many, (size_t)taken);
    else
        assert_int_equal(taken, -EAGAIN);
    tls_world_watch(w, IO_READ | IO_HANGUP | (taken < (ssize_t)n ? IO_WRITE : 0u));
}

static void step_above(struct tls_world *w, struct flow *up, struct flow *down, unsigned *seed)
{
    uint32_t ready = tls_world_wait(w);
    if (ready & IO_READ) {
        ssize_t got = tls_world_recv(w, back, 1 + sim_below(w->sim, 20000));
        if (got > 0)
            check(up, back, (size_t)got);
        else
            assert_int_equal(got, -EAGAIN);
    }
    if (tls_peer_is_up(&w->peer) && (ready & IO_WRITE || sim_chance(w->sim, 300)))
        send_some(w, down, seed);
}

static void step_peer(struct tls_world *w, struct flow *up, struct flow *down, unsigned *seed)
{
    tls_peer_pump(&w->peer, 1 + sim_below(w->sim, 30000));
    if (!tls_peer_is_up(&w->peer))
        return;
    size_t got = tls_peer_read(&w->peer, back, 1 + sim_below(w->sim, 20000));
    check(down, back, got);
    size_t n = 1 + sim_below(w->sim, 20000);
    char *p;
    if (up->len + n <= FLOW_MAX && sim_chance(w->sim, 400) && BIO_get_mem_data(w->peer.out, &p) < 50000) {
        fill(many, n, ++*seed);
        tls_peer_write(&w->peer, many, n);
        note(up, many, n);
    }
}

static void run_flows(struct tls_world *w)
{
    struct flow up = {.sent = test_malloc(FLOW_MAX)}, down = {.sent = test_malloc(FLOW_MAX)};
    unsigned seed = (unsigned)w->options.seed, i = 0;
    for (; i < 200000 && (down.seen < FLOW_MAX || up.seen < up.len || up.len < FLOW_MAX - 20000); i++) {
        step_above(w, &up, &down, &seed);
        step_peer(w, &up, &down, &seed);
        assert_false(w->peer.failed);
    }
    assert_true(i < 200000);
    assert_int_equal(read_stat(&w->stats.tls_handshake_failures), 0);
    test_free(up.sent);
    test_free(down.sent);
}

static void test_flows(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= (SIM_SLOW ? 6 : 30); seed++) {
        struct tls_world w;
        tls_world_init(&w);
        w.options.seed = seed;
        w.options.down = seed % 3 == 0 ? 500 : seed % 3 == 1 ? 20000 : 0;
        w.options.up = seed % 2 == 0 ? 700 : 0;
        w.options.faults = (struct sim_faults){.short_read = 300, .short_write = 300, .again = 200};
        tls_world_start(&w, seed % 4 == 0 ? TLS1_2_VERSION : 0);
        run_flows(&w);
        tls_world_finish(&w);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tls12),
        TEST(test_tls13),
        TEST(test_tls12_in_pieces),
        TEST(test_tls13_in_pieces),
        TEST(test_an_old_version),
        TEST(test_renegotiation),
        TEST(test_keys_again_and_again),
        TEST(test_errors_of_others),
        TEST(test_garbage),
        TEST(test_plain_http),
        TEST(test_truncated),
        TEST(test_pending),
        TEST(test_backlog),
        TEST(test_backlog_leaves_by_itself),
        TEST(test_records_at_their_limit),
        TEST(test_ends),
        cmocka_unit_test(test_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
