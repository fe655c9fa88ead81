/* SPDX-License-Identifier: MIT
 *
 * mint - see mint.h. Ends the program when OpenSSL does not do what it is asked.
 */
#include "mint.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "mint: %s\n", what);
    exit(2);
}

size_t mint_encode(char *out, const void *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in = p;
    char *at = out;
    for (size_t i = 0; i < n; i += 3) {
        unsigned left = (unsigned)(n - i < 3 ? n - i : 3);
        unsigned bits = in[i] << 16 | (left > 1 ? in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        for (unsigned k = 0; k <= left; k++)
            *at++ = digits[bits >> (18 - 6 * k) & 63];
    }
    *at = '\0';
    return (size_t)(at - out);
}

static const EVP_MD *hash_of(const char *alg)
{
    return strstr(alg, "512") ? EVP_sha512() : strstr(alg, "384") ? EVP_sha384() : EVP_sha256();
}

/* DER → r and s of fixed width (RFC 7518 section 3.4). */
static size_t raw_signature(const unsigned char *der, size_t len, size_t width, unsigned char *out)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    must(sig != NULL, "ECDSA");
    must(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)width) > 0, "r");
    must(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + width, (int)width) > 0, "s");
    ECDSA_SIG_free(sig);
    return 2 * width;
}

static size_t sign(const char *alg, const char *secret, EVP_PKEY *key, const char *text, size_t n,
                   unsigned char *out)
{
    unsigned char der[2048];
    size_t len = sizeof(der);
    unsigned hmac_len = 0;
    if (alg[0] == '\0')
        return 0;
    if (alg[0] == 'H') {
        HMAC(hash_of(alg), secret, (int)strlen(secret), (const unsigned char *)text, n, out, &hmac_len);
        return hmac_len;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey = NULL;
    must(EVP_DigestSignInit(ctx, &pkey, hash_of(alg), NULL, key) == 1, "init");
    if (alg[0] == 'P')
        must(EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) == 1 &&
                 EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) == 1,
             "PSS");
    must(EVP_DigestSign(ctx, der, &len, (const unsigned char *)text, n) == 1, "sign");
    EVP_MD_CTX_free(ctx);
    if (alg[0] == 'E' && strcmp(alg, "EDER") != 0)
        return raw_signature(der, len, ((size_t)EVP_PKEY_get_bits(key) + 7) / 8, out);
    memcpy(out, der, len);
    return len;
}

void mint_bytes(char *out, const void *header, size_t header_len, const void *claims, size_t claims_len,
                const char *alg, const char *secret, EVP_PKEY *key)
{
    unsigned char signature[2048];
    size_t n = mint_encode(out, header, header_len);
    out[n++] = '.';
    n += mint_encode(out + n, claims, claims_len);
    size_t len = sign(alg, secret, key, out, n, signature);
    out[n++] = '.';
    mint_encode(out + n, signature, len);
}

void mint(char *out, const char *header, const char *claims, const char *alg, const char *secret,
          EVP_PKEY *key)
{
    mint_bytes(out, header, strlen(header), claims, strlen(claims), alg, secret, key);
}

EVP_PKEY *mint_rsa(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    must(key != NULL, "RSA");
    return key;
}

EVP_PKEY *mint_ec(const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    must(key != NULL, curve);
    return key;
}

char *mint_pem(EVP_PKEY *key)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PUBKEY(bio, key) == 1, "PEM");
    long n = BIO_get_mem_data(bio, &text);
    char *copy = malloc((size_t)n + 1);
    must(n > 0 && copy != NULL, "PEM");
    memcpy(copy, text, (size_t)n); /* there is no NUL behind it, which a strict strndup() would look for */
    copy[n] = '\0';
    BIO_free(bio);
    return copy;
}

static void put_number(char *out, EVP_PKEY *key, const char *name, size_t width)
{
    unsigned char bytes[1024];
    BIGNUM *number = NULL;
    must(EVP_PKEY_get_bn_param(key, name, &number) == 1, name);
    size_t n = width ? width : (size_t)BN_num_bytes(number);
    must(BN_bn2binpad(number, bytes, (int)n) > 0, "number");
    mint_encode(out, bytes, n);
    BN_free(number);
}

char *mint_jwk(EVP_PKEY *key)
{
    char a[2048], b[2048];
    char *out = malloc(5000);
    if (EVP_PKEY_is_a(key, "RSA")) {
        put_number(a, key, OSSL_PKEY_PARAM_RSA_N, 0);
        put_number(b, key, OSSL_PKEY_PARAM_RSA_E, 0);
        snprintf(out, 5000, "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"", a, b);
        return out;
    }
    int bits = EVP_PKEY_get_bits(key);
    size_t width = ((size_t)bits + 7) / 8;
    put_number(a, key, OSSL_PKEY_PARAM_EC_PUB_X, width);
    put_number(b, key, OSSL_PKEY_PARAM_EC_PUB_Y, width);
    snprintf(out, 5000, "\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"%s\",\"y\":\"%s\"", bits, a, b);
    return out;
}
