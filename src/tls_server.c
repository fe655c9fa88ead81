/* SPDX-License-Identifier: MIT
 *
 * tls_server - see tls_server.h. Deliberately not here: a cache of sessions (tickets need none), early data
 * (a request that can be replayed must not publish), renegotiation, client certificates.
 */
#include "tls_server.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_MS (3600u * 1000)

/* Forward secrecy and authenticated encryption only (RFC 9325 section 4.2); TLS 1.3 has nothing else. */
#define CIPHERS                                                                                              \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"               \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

struct ticket_key {
    unsigned char name[16];
    unsigned char cipher[32]; /* AES-256-CBC */
    unsigned char mac[32];    /* HMAC-SHA256 */
};

struct tls_server {
    pthread_mutex_t lock; /* guards all below; held for a pointer, or a copy of a key */
    SSL_CTX *ctx;
    const struct clock *clock;
    struct ticket_key current, previous;
    uint64_t made; /* monotonic ms: when the current one was */
};

/* ---- tickets ---- */

static bool make_key(struct ticket_key *key)
{
    return RAND_bytes((unsigned char *)key, sizeof(*key)) == 1;
}

/* Called with the lock. A key that has had two lives' time off is not kept as the previous one. */
static void rotate(struct tls_server *s)
{
    uint64_t now = clock_mono(s->clock), age = now - s->made;
    struct ticket_key fresh;
    if (age < TLS_TICKET_HOURS * HOUR_MS || !make_key(&fresh))
        return;
    if (age < 2 * TLS_TICKET_HOURS * HOUR_MS)
        s->previous = s->current;
    else
        make_key(&s->previous);
    s->current = fresh;
    s->made = now;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
}

enum found { NOT_FOUND, FOUND_CURRENT, FOUND_PREVIOUS };

static enum found find_key(struct tls_server *s, const unsigned char *name, struct ticket_key *key)
{
    enum found found = NOT_FOUND;
    pthread_mutex_lock(&s->lock);
    rotate(s);
    if (!name || memcmp(name, s->current.name, sizeof(s->current.name)) == 0) {
        *key = s->current;
        found = FOUND_CURRENT;
    } else if (memcmp(name, s->previous.name, sizeof(s->previous.name)) == 0) {
        *key = s->previous;
        found = FOUND_PREVIOUS;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
                           OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's contract: -1 failed, 0 no such key (a full handshake follows), 1 used, 2 used and to be renewed.
 */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypts)
{
    struct tls_server *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key key;
    enum found found = find_key(s, encrypts ? NULL : name, &key);
    int ok = found == NOT_FOUND ? 0 : set_mac(mac, &key) ? 1 : -1;
    if (ok == 1 && encrypts) {
        memcpy(name, key.name, sizeof(key.name));
        ok = RAND_bytes(iv, 16) == 1 && EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv)
                 ? 1
                 : -1;
    } else if (ok == 1) {
        ok = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1 ? 1 : -1;
        /* In TLS 1.3 each ticket is used once (RFC 8446 appendix C.4), so each answer brings another. */
        if (ok == 1 && (found == FOUND_PREVIOUS || SSL_version(ssl) == TLS1_3_VERSION))
            ok = 2;
    }
    OPENSSL_cleanse(&key, sizeof(key));
    return ok;
}

/* ---- the context ---- */

/* h2 first, if it is spoken: what a browser offers it takes (RFC 7301 section 3.2). */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                   unsigned in_len, void *http2)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1", old[] = "\x08http/1.1";
    (void)ssl;
    const unsigned char *ours = http2 ? both : old;
    unsigned len = http2 ? sizeof(both) - 1 : sizeof(old) - 1;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, len, in, in_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool set_rules(SSL_CTX *ctx, bool http2)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_timeout(ctx, 2 * TLS_TICKET_HOURS * 3600);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, http2 ? ctx : NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, CIPHERS) == 1 && SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1 &&
           SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"tidings", 7) == 1;
}

/* What OpenSSL says of its last failure, without the parts that nobody wants to read; of a file that cannot
 * be read, what the system says. */
static void put_reason(char *text, size_t size, const char *file, const char *what)
{
    char room[128];
    unsigned long first = ERR_peek_error(), last = ERR_peek_last_error();
    const char *reason = last ? ERR_reason_error_string(last) : NULL;
    if (ERR_SYSTEM_ERROR(first)) {
        what = "cannot be read";
        reason = strerror_r(ERR_GET_REASON(first), room, sizeof(room));
    }
    snprintf(text, size, "%s: %s%s%s", file, what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
}

static bool load_files(SSL_CTX *ctx, const char *certificate, const char *key, char *text, size_t size)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        put_reason(text, size, certificate, "not a certificate chain in PEM");
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        put_reason(text, size, key, "not the private key of the certificate, in PEM");
    else if (SSL_CTX_check_private_key(ctx) != 1)
        put_reason(text, size, key, "not the private key of the certificate");
    else
        return true;
    return false;
}

static void put_time(char *out, size_t size, const ASN1_TIME *at)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1 || strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, size, "an unknown date");
}

/* An operator at three in the morning must be able to start the hub with what he has: it is said, not
 * refused. */
static void look_at_dates(SSL_CTX *ctx, const struct clock *clock, const char *file, char *text, size_t size)
{
    const X509 *certificate = SSL_CTX_get0_certificate(ctx);
    time_t now = (time_t)(clock_wall(clock) / 1000);
    char date[40];
    text[0] = '\0';
    if (!certificate)
        return;
    const ASN1_TIME *from = X509_get0_notBefore(certificate), *to = X509_get0_notAfter(certificate);
    if (ASN1_TIME_cmp_time_t(to, now) < 0) {
        put_time(date, sizeof(date), to);
        snprintf(text, size, "%s: the certificate has expired on %s", file, date);
    } else if (ASN1_TIME_cmp_time_t(from, now) > 0) {
        put_time(date, sizeof(date), from);
        snprintf(text, size, "%s: the certificate is not valid before %s", file, date);
    }
}

static enum tls_load make_ctx(struct tls_server *s, const char *certificate, const char *key, bool http2,
                              SSL_CTX **out, char *text, size_t size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    text[0] = '\0';
    if (!ctx || !set_rules(ctx, http2) || SSL_CTX_set_app_data(ctx, s) != 1) {
        SSL_CTX_free(ctx);
        ERR_clear_error();
        return TLS_LOAD_MEMORY;
    }
    if (!load_files(ctx, certificate, key, text, size)) {
        SSL_CTX_free(ctx);
        return TLS_LOAD_FAILED;
    }
    look_at_dates(ctx, s->clock, certificate, text, size);
    *out = ctx;
    return TLS_LOADED;
}

/* ---- life ---- */

enum tls_load tls_server_create(struct tls_server **out, const char *certificate, const char *key, bool http2,
                                const struct clock *clock, char *text, size_t size)
{
    struct tls_server *s = calloc(1, sizeof(*s));
    if (!s || !make_key(&s->current) || !make_key(&s->previous)) {
        free(s);
        return TLS_LOAD_MEMORY;
    }
    s->clock = clock;
    s->made = clock_mono(clock);
    enum tls_load rc = make_ctx(s, certificate, key, http2, &s->ctx, text, size);
    if (rc != TLS_LOADED) {
        free(s);
        return rc;
    }
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return TLS_LOADED;
}

void tls_server_destroy(struct tls_server *s)
{
    if (!s)
        return;
    SSL_CTX_free(s->ctx);
    pthread_mutex_destroy(&s->lock);
    OPENSSL_cleanse(s, sizeof(*s));
    free(s);
}

enum tls_load tls_server_reload(struct tls_server *s, const char *certificate, const char *key, bool http2,
                                char *text, size_t size)
{
    SSL_CTX *fresh;
    enum tls_load rc = make_ctx(s, certificate, key, http2, &fresh, text, size);
    if (rc != TLS_LOADED)
        return rc;
    pthread_mutex_lock(&s->lock);
    SSL_CTX *before = s->ctx;
    s->ctx = fresh;
    pthread_mutex_unlock(&s->lock);
    SSL_CTX_free(before);
    return TLS_LOADED;
}

SSL *tls_server_session(struct tls_server *s)
{
    pthread_mutex_lock(&s->lock);
    SSL *ssl = SSL_new(s->ctx);
    pthread_mutex_unlock(&s->lock);
    if (ssl)
        SSL_set_accept_state(ssl);
    else
        ERR_clear_error();
    return ssl;
}
