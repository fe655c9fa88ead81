/* SPDX-License-Identifier: MIT
 *
 * certificate - self-signed certificates for tests and measurements of TLS, made while they run.
 */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include <openssl/x509.h>
#include <stdbool.h>

struct certificate {
    EVP_PKEY *key;
    X509 *x509;
};

/* For `name` and 127.0.0.1, valid from `from` to `to`, in seconds from now. type: "EC" (P-256) or "RSA" (of
 * 2048 bits). Both are NULL if OpenSSL cannot. */
struct certificate certificate_make(const char *name, const char *type, long from, long to);
void certificate_drop(struct certificate *c);

/* Each as a PEM file of its own; the key for its owner only. */
bool certificate_write(const struct certificate *c, const char *cert_path, const char *key_path);

#endif
