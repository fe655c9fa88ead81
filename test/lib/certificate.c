/* SPDX-License-Identifier: MIT
 *
 * certificate - see certificate.h.
 */
#include "certificate.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool fill(const struct certificate *c, const char *name, long from, long to)
{
    char names[128];
    X509_NAME *subject = X509_get_subject_name(c->x509);
    snprintf(names, sizeof(names), "DNS:%s,IP:127.0.0.1", name);
    return X509_set_version(c->x509, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(c->x509), 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(c->x509), from) &&
           X509_gmtime_adj(X509_getm_notAfter(c->x509), to) && X509_set_pubkey(c->x509, c->key) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) ==
               1 &&
           X509_set_issuer_name(c->x509, subject) == 1 &&
           add_extension(c->x509, NID_subject_alt_name, names) &&
           add_extension(c->x509, NID_basic_constraints, "critical,CA:TRUE") &&
           X509_sign(c->x509, c->key, EVP_sha256()) > 0;
}

struct certificate certificate_make(const char *name, const char *type, long from, long to)
{
    struct certificate c = {.key = strcmp(type, "EC") == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048),
                            .x509 = X509_new()};
    if (!c.key || !c.x509 || !fill(&c, name, from, to))
        certificate_drop(&c);
    return c;
}

void certificate_drop(struct certificate *c)
{
    EVP_PKEY_free(c->key);
    X509_free(c->x509);
    *c = (struct certificate){NULL, NULL};
}

bool certificate_write(const struct certificate *c, const char *cert_path, const char *key_path)
{
    int fd = open(key_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *key = fd < 0 ? NULL : fdopen(fd, "w"), *cert = fopen(cert_path, "we");
    bool ok = key && cert && PEM_write_PrivateKey(key, c->key, NULL, NULL, 0, NULL, NULL) == 1 &&
              PEM_write_X509(cert, c->x509) == 1;
    if (key)
        ok = fclose(key) == 0 && ok;
    if (cert)
        ok = fclose(cert) == 0 && ok;
    return ok;
}
