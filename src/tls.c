/* SPDX-License-Identifier: MIT
 *
 * tls - see tls.h.
 *
 *     above:   recv / send of plaintext            watch(interest)          wait
 *                │                                    │                      ▲
 *     here:    SSL_read / SSL_write               + IO_WRITE while           │  + sessions that hold
 * plaintext │    BIO                           ciphertext waits         │  - readiness that is ours alone
 *     below:   recv / send of ciphertext           watch                    wait
 *
 * What OpenSSL has encrypted must go out as it is: a record cannot be taken back when the socket is full,
 * while the floor above may want to send something else next time. So the BIO takes everything, and keeps
 * what the socket does not take as the session's backlog: one record, since nothing more is encrypted until
 * it is gone.
 *
 * The other way OpenSSL may hold plaintext although the socket is not readable; such sessions are reported by
 * wait() as if it were.
 *
 * An end without close_notify is an end: HTTP knows itself where its messages end (RFC 9112 section 9.8).
 */
#include "tls.h"

#include <openssl/err.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (16 * 1024) /* what one record holds (RFC 8446 section 5.1) */
#define CHUNK 1024        /* sessions in one piece of the table */

/* Ciphertext that may wait for a socket: a record, and as much again of what OpenSSL says by itself (new
 * keys, when a peer asks for them; RFC 8446 section 4.6.3). In the handshake the certificates too: clients of
 * OpenSSL take 100 KB. */
#define BACKLOG_MAX       (2 * PIECE + 1024)
#define BACKLOG_HANDSHAKE (8 * PIECE)

struct session {
    SSL *ssl;
    struct tls_io *io;
    uint64_t tag; /* as the floor above gave it */
    struct session *next_full, *prev_full;
    char *backlog; /* ciphertext that the socket did not take; NULL if there is none */
    size_t backlog_len, backlog_off;
    uint64_t turn; /* of the latest wait() that has reported it, */
    int event;     /* and there which one */
    int fd;
    int error;        /* of the socket, as errno; 0: none */
    uint8_t interest; /* of the floor above */
    bool watched;     /* below */
    bool established; /* the handshake is complete */
    bool is_full;     /* in the list of sessions that may hold plaintext */
    bool told;        /* the peer, that we say no more (close_notify) */
    bool shut;        /* our side ends when the backlog is gone */
    bool ended;       /* it has */
    bool failed;      /* not TLS as we want it: an alert is on its way */
};

struct tls_io {
    struct io io;
    struct io *below;
    struct tls_server *server;
    struct stats *stats;
    struct session ***table; /* by descriptor, in pieces */
    size_t pieces;
    int *listeners;
    size_t listener_count;
    struct session *full;
    uint64_t turn;
    BIO_METHOD *method;
    char piece[PIECE];
};

static struct tls_io *of(struct io *io)
{
    return (struct tls_io *)(void *)io;
}

/* ---- sessions by descriptor ---- */

static struct session *find(const struct tls_io *t, int fd)
{
    size_t piece = (size_t)fd / CHUNK;
    return piece < t->pieces && t->table[piece] ? t->table[piece][(size_t)fd % CHUNK] : NULL;
}

static bool make_room(struct tls_io *t, int fd)
{
    size_t piece = (size_t)fd / CHUNK;
    if (piece >= t->pieces) {
        struct session ***more = realloc(t->table, (piece + 1) * sizeof(*more));
        if (!more)
            return false;
        memset(more + t->pieces, 0, (piece + 1 - t->pieces) * sizeof(*more));
        t->table = more;
        t->pieces = piece + 1;
    }
    if (!t->table[piece])
        t->table[piece] = calloc(CHUNK, sizeof(struct session *));
    return t->table[piece] != NULL;
}

static void set_full(struct session *s, bool full)
{
    struct tls_io *t = s->io;
    if (s->is_full == full)
        return;
    s->is_full = full;
    if (full) {
        s->prev_full = NULL;
        s->next_full = t->full;
        if (t->full)
            t->full->prev_full = s;
        t->full = s;
        return;
    }
    if (s->next_full)
        s->next_full->prev_full = s->prev_full;
    if (s->prev_full)
        s->prev_full->next_full = s->next_full;
    else
        t->full = s->next_full;
}

static void drop(struct session *s)
{
    set_full(s, false);
    s->io->table[(size_t)s->fd / CHUNK][(size_t)s->fd % CHUNK] = NULL;
    SSL_free(s->ssl);
    free(s->backlog);
    free(s);
}

/* ---- ciphertext ---- */

static void watch_below(struct session *s)
{
    struct io *below = s->io->below;
    uint32_t interest = s->interest | (s->backlog ? IO_WRITE : 0u);
    if (s->watched)
        below->ops->watch(below, s->fd, (uint64_t)IO_TAG_INNER << 32 | (uint32_t)s->fd, interest, false);
}

static ssize_t send_below(struct session *s, const void *p, size_t n)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    ssize_t sent = s->io->below->ops->send(s->io->below, s->fd, &iov, 1);
    if (sent < 0 && sent != -EAGAIN)
        s->error = (int)-sent;
    return sent < 0 ? 0 : sent;
}

static bool keep(struct session *s, const char *p, size_t n)
{
    size_t have = s->backlog_len - s->backlog_off;
    /* Whoever makes us talk and does not listen. */
    bool fits = have + n <= (s->established ? BACKLOG_MAX : BACKLOG_HANDSHAKE);
    char *more = fits ? malloc(have + n) : NULL;
    if (!more) {
        s->error = fits ? ENOMEM : ENOBUFS;
        return false;
    }
    if (s->backlog)
        memcpy(more, s->backlog + s->backlog_off, have);
    memcpy(more + have, p, n);
    free(s->backlog);
    s->backlog = more;
    s->backlog_len = have + n;
    s->backlog_off = 0;
    watch_below(s);
    return true;
}

static int bio_write(BIO *bio, const char *p, size_t n, size_t *written)
{
    struct session *s = BIO_get_data(bio);
    *written = n;
    if (s->ended) /* what OpenSSL still says by itself, to a peer that goes on */
        return 1;
    size_t sent = s->backlog || s->error ? 0 : (size_t)send_below(s, p, n);
    return s->error || (sent < n && !keep(s, p + sent, n - sent)) ? 0 : 1;
}

/* Our side ends, if it is to and nothing waits. */
static void end_side(struct session *s)
{
    if (!s->shut || s->ended || s->backlog)
        return;
    s->ended = true;
    s->io->below->ops->shutdown(s->io->below, s->fd);
}

/* What waits goes out, as far as the socket takes it. True: nothing waits. */
static bool flush(struct session *s)
{
    if (!s->backlog)
        return true;
    s->backlog_off += (size_t)send_below(s, s->backlog + s->backlog_off, s->backlog_len - s->backlog_off);
    if (s->backlog_off < s->backlog_len)
        return false;
    free(s->backlog);
    s->backlog = NULL;
    s->backlog_len = s->backlog_off = 0;
    watch_below(s);
    end_side(s);
    return true;
}

static int bio_read(BIO *bio, char *p, size_t n, size_t *got)
{
    struct session *s = BIO_get_data(bio);
    struct io *below = s->io->below;
    ssize_t rc = below->ops->recv(below, s->fd, p, n);
    BIO_clear_retry_flags(bio);
    *got = rc > 0 ? (size_t)rc : 0;
    if (rc == -EAGAIN)
        BIO_set_retry_read(bio);
    else if (rc < 0)
        s->error = (int)-rc;
    if (rc == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return rc > 0;
}

static long bio_ctrl(BIO *bio, int cmd, long larg, void *parg)
{
    (void)larg, (void)parg;
    if (cmd == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

/* The type number matters to nobody; BIO_get_new_index() has only some hundred for the whole process. */
static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "tidings io");
    if (m && BIO_meth_set_write_ex(m, bio_write) && BIO_meth_set_read_ex(m, bio_read) &&
        BIO_meth_set_ctrl(m, bio_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- accept ---- */

static bool is_ours(const struct tls_io *t, int listener)
{
    for (size_t i = 0; i < t->listener_count; i++)
        if (t->listeners[i] == listener)
            return true;
    return false;
}

static struct session *make_session(struct tls_io *t, int fd)
{
    struct session *s = make_room(t, fd) ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    BIO *bio = BIO_new(t->method);
    s->ssl = bio ? tls_server_session(t->server) : NULL;
    if (!s->ssl) {
        BIO_free(bio);
        free(s);
        return NULL;
    }
    s->io = t;
    s->fd = fd;
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    t->table[(size_t)fd / CHUNK][(size_t)fd % CHUNK] = s;
    return s;
}

static int on_accept(struct io *io, int listener, struct io_peer *peer)
{
    struct tls_io *t = of(io);
    int fd = t->below->ops->accept(t->below, listener, peer);
    if (fd < 0 || !is_ours(t, listener))
        return fd;
    peer->tls = true;
    if (make_session(t, fd))
        return fd;
    t->below->ops->close(t->below, fd, true);
    return -ENOMEM;
}

/* ---- reading ---- */

static void note_handshake(struct session *s)
{
    if (s->established || !SSL_is_init_finished(s->ssl))
        return;
    s->established = true;
    stats_add(&s->io->stats->tls_handshakes, 1);
    if (SSL_session_reused(s->ssl))
        stats_add(&s->io->stats->tls_resumed, 1);
}

/* Somebody has come to this port without TLS: a few words that a browser or curl can show. */
static void answer_plain(struct session *s)
{
    static const char text[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 45\r\n"
        "Connection: close\r\n\r\nThis port speaks HTTPS; ask https://, please.";
    send_below(s, text, sizeof(text) - 1);
}

/* What an operation without result means, as a result of io. */
static ssize_t result_of(struct session *s, int rc)
{
    int error = SSL_get_error(s->ssl, rc);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (error == SSL_ERROR_ZERO_RETURN && !s->error)
        return 0;
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
        answer_plain(s);
    ERR_clear_error();
    if (!s->established && !s->failed)
        stats_add(&s->io->stats->tls_handshake_failures, 1);
    s->failed = true;
    return s->error ? -s->error : -EPROTO;
}

/* SSL_get_error() takes what anybody has left in this thread's queue (a token that was refused, say) for
 * ours. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

static ssize_t on_recv(struct io *io, int fd, void *p, size_t n)
{
    struct tls_io *t = of(io);
    struct session *s = find(t, fd);
    size_t got = 0, more = 0;
    int rc = 1;
    if (!s)
        return t->below->ops->recv(t->below, fd, p, n);
    if (s->failed)
        return s->error ? -s->error : -EPROTO;
    forget_errors();
    flush(s);
    while (got < n && (rc = SSL_read_ex(s->ssl, (char *)p + got, n - got, &more)) == 1)
        got += more;
    note_handshake(s);
    set_full(s, got == n); /* there may be more, of which the socket will not tell */
    return got > 0 ? (ssize_t)got : result_of(s, rc);
}

/* ---- writing ---- */

/* As much of the pieces as one record holds, in one. */
static struct iovec gather(struct tls_io *t, const struct iovec *iov, int count, size_t skip)
{
    size_t n = 0;
    for (int i = 0; i < count && n < PIECE; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        const char *p = (const char *)iov[i].iov_base + skip;
        size_t have = iov[i].iov_len - skip, part = have < PIECE - n ? have : PIECE - n;
        skip = 0;
        if (n == 0 && (part == PIECE || i == count - 1))
            return (struct iovec){(void *)(uintptr_t)p, part}; /* lies in one piece already */
        memcpy(t->piece + n, p, part);
        n += part;
    }
    return (struct iovec){t->piece, n};
}

static ssize_t on_send(struct io *io, int fd, const struct iovec *iov, int count)
{
    struct tls_io *t = of(io);
    struct session *s = find(t, fd);
    size_t total = 0, taken = 0, wrote = 0;
    int rc = 1;
    if (!s)
        return t->below->ops->send(t->below, fd, iov, count);
    forget_errors();
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    while (taken < total && !s->failed && !s->error && flush(s)) {
        struct iovec one = gather(t, iov, count, taken);
        if ((rc = SSL_write_ex(s->ssl, one.iov_base, one.iov_len, &wrote)) != 1)
            break;
        taken += wrote;
    }
    if (taken > 0)
        return (ssize_t)taken;
    if (s->error || s->failed)
        return s->error ? -s->error : -EPROTO;
    return rc == 1 ? -EAGAIN : result_of(s, rc);
}

/* ---- readiness ---- */

static int on_watch(struct io *io, int fd, uint64_t tag, uint32_t interest, bool first)
{
    struct tls_io *t = of(io);
    struct session *s = find(t, fd);
    if (!s)
        return t->below->ops->watch(t->below, fd, tag, interest, first);
    s->tag = tag;
    s->interest = (uint8_t)interest;
    s->watched = true;
    return t->below->ops->watch(t->below, fd, (uint64_t)IO_TAG_INNER << 32 | (uint32_t)fd,
                                interest | (s->backlog ? IO_WRITE : 0u), first);
}

/* An event of below, which would be number `at`, as the floor above knows it. False: it concerned us alone.
 */
static bool translate(struct tls_io *t, struct io_event *e, int at)
{
    if (e->tag >> 32 != IO_TAG_INNER)
        return true;
    struct session *s = find(t, (int)(uint32_t)e->tag);
    if (!s)
        return false;
    e->tag = s->tag;
    if (e->ready & IO_WRITE && (!flush(s) || !(s->interest & IO_WRITE)))
        e->ready &= ~(uint32_t)IO_WRITE;
    if (e->ready == 0)
        return false;
    s->turn = t->turn;
    s->event = at;
    return true;
}

/* Nobody is reported twice: after the first time the floor above may have lost its interest, and then takes
 * whatever is reported for breakage. */
static int add_full(struct tls_io *t, struct io_event *events, int count, int max)
{
    for (struct session *s = t->full; s && count < max; s = s->next_full) {
        if (!s->watched || !(s->interest & IO_READ))
            continue;
        if (s->turn == t->turn)
            events[s->event].ready |= IO_READ;
        else
            events[count++] = (struct io_event){s->tag, IO_READ};
    }
    return count;
}

static bool has_full(const struct tls_io *t)
{
    for (const struct session *s = t->full; s; s = s->next_full)
        if (s->watched && s->interest & IO_READ)
            return true;
    return false;
}

static int on_wait(struct io *io, struct io_event *events, int max, int timeout_ms)
{
    struct tls_io *t = of(io);
    bool full = has_full(t);
    /* Half of the room is theirs, however much sockets have to tell. */
    int count = 0, n = t->below->ops->wait(t->below, events, full ? max / 2 : max, full ? 0 : timeout_ms);
    t->turn++;
    for (int i = 0; i < n; i++) {
        struct io_event e = events[i];
        if (translate(t, &e, count))
            events[count++] = e;
    }
    return add_full(t, events, count, max);
}

/* ---- the end ---- */

/* close_notify; the peer's is not waited for. */
static void tell_end(struct session *s)
{
    if (!s->established || s->failed || s->error || s->told)
        return;
    s->told = true; /* OpenSSL forgets it when the peer's side ends without a word */
    SSL_shutdown(s->ssl);
    ERR_clear_error();
}

static void on_shutdown(struct io *io, int fd)
{
    struct tls_io *t = of(io);
    struct session *s = find(t, fd);
    if (!s) {
        t->below->ops->shutdown(t->below, fd);
        return;
    }
    tell_end(s);
    s->shut = true;
    end_side(s);
}

static void on_close(struct io *io, int fd, bool reset)
{
    struct tls_io *t = of(io);
    struct session *s = find(t, fd);
    if (s) {
        /* An alert, or a plain answer, may be under way: not to be destroyed by a reset. */
        reset = reset && (!s->failed || s->error);
        if (!reset)
            tell_end(s);
        drop(s);
    }
    t->below->ops->close(t->below, fd, reset);
}

static void on_spare(struct io *io, bool hold)
{
    struct io *below = of(io)->below;
    below->ops->spare(below, hold);
}

static void on_wake(struct io *io)
{
    struct io *below = of(io)->below;
    below->ops->wake(below);
}

static const struct io_ops ops = {.accept = on_accept,
                                  .recv = on_recv,
                                  .send = on_send,
                                  .watch = on_watch,
                                  .shutdown = on_shutdown,
                                  .close = on_close,
                                  .wait = on_wait,
                                  .spare = on_spare,
                                  .wake = on_wake};

/* ---- life ---- */

struct io *tls_create_io(struct io *below, struct tls_server *server, struct stats *stats)
{
    struct tls_io *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->io.ops = &ops;
    t->below = below;
    t->server = server;
    t->stats = stats;
    t->method = make_method();
    if (t->method)
        return &t->io;
    free(t);
    return NULL;
}

void tls_destroy_io(struct io *io)
{
    if (!io)
        return;
    struct tls_io *t = of(io);
    for (size_t piece = 0; piece < t->pieces; piece++) {
        for (size_t i = 0; t->table[piece] && i < CHUNK; i++)
            if (t->table[piece][i])
                drop(t->table[piece][i]);
        free(t->table[piece]);
    }
    free(t->table);
    free(t->listeners);
    BIO_meth_free(t->method);
    free(t);
}

int tls_listen(struct io *io, int listener)
{
    struct tls_io *t = of(io);
    int *more = realloc(t->listeners, (t->listener_count + 1) * sizeof(*more));
    if (!more)
        return -1;
    t->listeners = more;
    t->listeners[t->listener_count++] = listener;
    return 0;
}

struct io *tls_below(struct io *io)
{
    return of(io)->below;
}
