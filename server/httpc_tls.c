/* SPDX-License-Identifier: MIT
 *
 * TLS for the client commands. Certificates are verified against the system's store, or against the file that
 * --cacert names, and must be made out to the host of the URL. The socket is read and written with recv() and
 * send() through a BIO of our own, because OpenSSL's would raise SIGPIPE.
 */
#include "httpc_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct httpc_tls {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO_METHOD *method;
    int fd;
    int error; /* of the socket */
    short wants;
};

static char reason[256];

const char *httpc_tls_reason(void)
{
    return reason;
}

/* ------------------------------------------------------------------ the socket */

static bool has_to_wait(int error)
{
    return error == EAGAIN || error == EINTR;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct httpc_tls *tls = BIO_get_data(bio);
    ssize_t n = send(tls->fd, bytes, (size_t)len, MSG_NOSIGNAL);

    BIO_clear_retry_flags(bio);
    if (n < 0 && has_to_wait(errno))
        BIO_set_retry_write(bio);
    else if (n < 0)
        tls->error = errno;
    return (int)n;
}

static int bio_read(BIO *bio, char *bytes, int len)
{
    struct httpc_tls *tls = BIO_get_data(bio);
    ssize_t n = recv(tls->fd, bytes, (size_t)len, 0);

    BIO_clear_retry_flags(bio);
    if (n < 0 && has_to_wait(errno))
        BIO_set_retry_read(bio);
    else if (n < 0)
        tls->error = errno;
    return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO *make_bio(struct httpc_tls *tls)
{
    BIO *bio;

    tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "socket");
    if (!tls->method)
        return NULL;
    BIO_meth_set_write(tls->method, bio_write);
    BIO_meth_set_read(tls->method, bio_read);
    BIO_meth_set_ctrl(tls->method, bio_ctrl);
    bio = BIO_new(tls->method);
    if (!bio)
        return NULL;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    return bio;
}

/* ------------------------------------------------------------------ life */

/* Whom to trust, and what for. False: `reason` says what is wrong. */
static bool set_trust(struct httpc_tls *tls, const struct httpc_url *url)
{
    snprintf(reason, sizeof reason, "OpenSSL cannot be set up, or memory is short");
    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (!tls->ctx || SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) != 1)
        return false;
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(tls->ctx, url->unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!url->cacert)
        return SSL_CTX_set_default_verify_paths(tls->ctx) == 1;
    if (SSL_CTX_load_verify_file(tls->ctx, url->cacert) == 1)
        return true;
    snprintf(reason, sizeof reason, "%.200s: no certificates in PEM can be read from it", url->cacert);
    return false;
}

/* Names are verified as RFC 9525 wants it; an address must stand in the certificate as an address. */
static bool set_host(SSL *ssl, const char *host)
{
    unsigned char address[16];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool make_session(struct httpc_tls *tls, const struct httpc_url *url)
{
    static const unsigned char protocol[] = "\x08http/1.1";
    BIO *bio;

    tls->ssl = SSL_new(tls->ctx);
    bio = tls->ssl ? make_bio(tls) : NULL;
    if (!bio)
        return false;
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_connect_state(tls->ssl);
    return set_host(tls->ssl, url->host) && SSL_set_alpn_protos(tls->ssl, protocol, sizeof protocol - 1) == 0;
}

struct httpc_tls *httpc_tls_create(const struct httpc_url *url, int fd)
{
    struct httpc_tls *tls = calloc(1, sizeof *tls);

    if (!tls)
        return NULL;
    tls->fd = fd;
    if (set_trust(tls, url) && make_session(tls, url))
        return tls;
    httpc_tls_destroy(tls);
    ERR_clear_error();
    return NULL;
}

void httpc_tls_destroy(struct httpc_tls *tls)
{
    if (!tls)
        return;
    if (tls->ssl && SSL_is_init_finished(tls->ssl) && !tls->error)
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
    SSL_free(tls->ssl);
    BIO_meth_free(tls->method);
    SSL_CTX_free(tls->ctx);
    free(tls);
}

/* ------------------------------------------------------------------ bytes */

static void explain(struct httpc_tls *tls)
{
    long verified = SSL_get_verify_result(tls->ssl);
    unsigned long code = ERR_peek_error();
    const char *text = ERR_reason_error_string(code);

    if (!SSL_is_init_finished(tls->ssl) && verified != X509_V_OK)
        snprintf(reason, sizeof reason,
                 "the hub's certificate is not trusted: %s (--cacert names a file to trust)",
                 X509_verify_cert_error_string(verified));
    else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(reason, sizeof reason,
                 "the hub does not speak TLS at this port (http:// instead of https://?)");
    else
        snprintf(reason, sizeof reason, "TLS: %s", text ? text : "it failed");
}

/* What an operation without result means: -1 and errno, or 0 for the end. */
static int failed(struct httpc_tls *tls, int rc)
{
    int error = SSL_get_error(tls->ssl, rc);

    tls->wants = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (tls->error) {
        errno = tls->error;
    } else if (error == SSL_ERROR_SYSCALL ||
               ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        errno = tls->error = ECONNRESET; /* an end without close_notify may be anybody's */
    } else {
        explain(tls);
        errno = tls->error = EPROTO;
    }
    ERR_clear_error();
    return -1;
}

int httpc_tls_handshake(struct httpc_tls *tls)
{
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(tls->ssl);
    if (rc == 1)
        return 0;
    if (failed(tls, rc) == 0)
        errno = ECONNRESET;
    return -1;
}

ssize_t httpc_tls_send(struct httpc_tls *tls, const void *bytes, size_t len)
{
    size_t n;
    int rc;

    ERR_clear_error();
    rc = SSL_write_ex(tls->ssl, bytes, len, &n);
    if (rc == 1)
        return (ssize_t)n;
    if (failed(tls, rc) == 0)
        errno = EPIPE;
    return -1;
}

ssize_t httpc_tls_recv(struct httpc_tls *tls, void *bytes, size_t len)
{
    size_t n;
    int rc;

    ERR_clear_error();
    rc = SSL_read_ex(tls->ssl, bytes, len, &n);
    return rc == 1 ? (ssize_t)n : failed(tls, rc);
}

short httpc_tls_wants(const struct httpc_tls *tls)
{
    return tls->wants;
}
