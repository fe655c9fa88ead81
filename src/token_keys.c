/* SPDX-License-Identifier: MIT
 *
 * token_keys - see token_keys.h. cjose checks signatures, with OpenSSL below it; here is decided which keys
 * it is asked about. A PEM file is turned into a JSON Web Key first, so that there is one kind of key.
 *
 * Deliberately not here: fetching keys from anywhere. A header's jwk, jku, x5u or x5c is never looked at (RFC
 * 8725 section 3.10).
 */
#include "token_keys.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RSA_BITS_MIN   2048
#define RSA_BITS_MAX   8192 /* a larger one costs a loop too long */
#define WEAK_SECRET    32
#define SECRET_MAX     4096
#define KID_MAX        256
#define COORDINATE_MAX 66 /* bytes, of P-521 */

enum family { NO_FAMILY, HMAC, RSA_KEY, EC_KEY_ };
#define FAMILY_HMAC HMAC
#define FAMILY_RSA  RSA_KEY
#define FAMILY_EC   EC_KEY_

struct key {
    cjose_jwk_t *jwk;
    enum family family;
    unsigned curve_bits;       /* of an EC key, as its algorithm names them */
    size_t bytes;              /* of an RSA key's modulus, or of a coordinate */
    enum token_algorithm only; /* the one that the key set allows, or TOKEN_NO_ALGORITHM */
    char kid[KID_MAX + 1];     /* "" if it has none */
};

struct token_keys {
    unsigned count;
    bool weak;
    struct key all[TOKEN_KEYS_MAX + 2]; /* a set, a secret, a PEM file */
};

static const struct {
    const char *name;
    enum family family;
    unsigned bits;
} algorithms[] = {[TOKEN_NO_ALGORITHM] = {"", NO_FAMILY, 0},
#define ALGORITHM_ROW(name, family, bits) [TOKEN_##name] = {#name, FAMILY_##family, bits},
                  TOKEN_ALGORITHMS(ALGORITHM_ROW)
#undef ALGORITHM_ROW
};

enum token_algorithm token_algorithm_of(struct span name)
{
    for (unsigned i = 1; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (span_eq(name, span_of(algorithms[i].name)))
            return (enum token_algorithm)i;
    return TOKEN_NO_ALGORITHM;
}

static int complain(char *error, size_t size, const char *text)
{
    snprintf(error, size, "%s", text);
    return -1;
}

/* ---- one key ---- */

static struct key *next_key(struct token_keys *keys)
{
    return &keys->all[keys->count];
}

static int add(struct token_keys *keys, cjose_jwk_t *jwk, enum family family, unsigned curve_bits)
{
    if (!jwk)
        return -1;
    struct key *key = next_key(keys);
    cjose_err why;
    key->jwk = jwk;
    key->family = family;
    key->curve_bits = curve_bits;
    key->bytes = (cjose_jwk_get_keysize(jwk, &why) + 7) / 8;
    keys->count++;
    return 0;
}

static int add_secret(struct token_keys *keys, const struct token_sources *from, char *error, size_t size)
{
    cjose_err why;
    if (from->secret_len == 0 || from->secret_len > SECRET_MAX)
        return complain(error, size, "jwt-secret: must have 1 to 4096 bytes");
    keys->weak = from->secret_len < WEAK_SECRET;
    cjose_jwk_t *jwk = cjose_jwk_create_oct_spec((const uint8_t *)from->secret, from->secret_len, &why);
    return add(keys, jwk, HMAC, 0) == 0 ? 0 : complain(error, size, "jwt-secret: out of memory");
}

/* ---- PEM ---- */

static EVP_PKEY *decode_key(const char *pem, size_t len)
{
    EVP_PKEY *key = NULL;
    const unsigned char *at = (const unsigned char *)pem;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, NULL, EVP_PKEY_PUBLIC_KEY, NULL, NULL);
    if (ctx && !OSSL_DECODER_from_data(ctx, &at, &len)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    OSSL_DECODER_CTX_free(ctx);
    return key;
}

static EVP_PKEY *decode_certificate(const char *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    BIO_free(bio);
    return key;
}

/* A number of the key as bytes, with zeroes before it up to `width`; 0 if there is none. */
static size_t number_of(const EVP_PKEY *key, const char *name, uint8_t *out, size_t cap, size_t width)
{
    BIGNUM *number = NULL;
    size_t n = 0;
    if (EVP_PKEY_get_bn_param(key, name, &number) && (size_t)BN_num_bytes(number) <= cap && width <= cap) {
        n = width ? width : (size_t)BN_num_bytes(number);
        if (BN_bn2binpad(number, out, (int)n) < 0)
            n = 0;
    }
    BN_free(number);
    return n;
}

static int add_rsa(struct token_keys *keys, const EVP_PKEY *key, char *error, size_t size)
{
    uint8_t n[RSA_BITS_MAX / 8], e[RSA_BITS_MAX / 8];
    int bits = EVP_PKEY_get_bits(key);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return complain(error, size, "jwt-public-key: an RSA key must have 2048 to 8192 bits");
    cjose_jwk_rsa_keyspec spec = {.n = n, .e = e};
    cjose_err why;
    spec.nlen = number_of(key, OSSL_PKEY_PARAM_RSA_N, n, sizeof(n), 0);
    spec.elen = number_of(key, OSSL_PKEY_PARAM_RSA_E, e, sizeof(e), 0);
    bool whole = spec.nlen > 0 && spec.elen > 0;
    return whole && add(keys, cjose_jwk_create_RSA_spec(&spec, &why), RSA_KEY, 0) == 0
               ? 0
               : complain(error, size, "jwt-public-key: this RSA key cannot be used");
}

static const struct curve {
    const char *name;
    cjose_jwk_ec_curve id;
    unsigned bits; /* in the algorithm's name */
    size_t bytes;
} curves[] = {{"prime256v1", CJOSE_JWK_EC_P_256, 256, 32},
              {"secp384r1", CJOSE_JWK_EC_P_384, 384, 48},
              {"secp521r1", CJOSE_JWK_EC_P_521, 512, 66}};

static const struct curve *curve_of(const EVP_PKEY *key)
{
    char name[64];
    size_t n;
    if (!EVP_PKEY_get_group_name(key, name, sizeof(name), &n))
        return NULL;
    for (unsigned i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (strcmp(name, curves[i].name) == 0)
            return &curves[i];
    return NULL;
}

static int add_ec(struct token_keys *keys, const EVP_PKEY *key, char *error, size_t size)
{
    uint8_t x[COORDINATE_MAX], y[COORDINATE_MAX];
    const struct curve *curve = curve_of(key);
    if (!curve)
        return complain(error, size, "jwt-public-key: only the curves P-256, P-384 and P-521 are known");
    cjose_jwk_ec_keyspec spec = {.crv = curve->id, .x = x, .y = y};
    cjose_err why;
    spec.xlen = number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, x, sizeof(x), curve->bytes);
    spec.ylen = number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, y, sizeof(y), curve->bytes);
    bool whole = spec.xlen > 0 && spec.ylen > 0;
    return whole && add(keys, cjose_jwk_create_EC_spec(&spec, &why), EC_KEY_, curve->bits) == 0
               ? 0
               : complain(error, size, "jwt-public-key: this key on a curve cannot be used");
}

static int add_pem(struct token_keys *keys, const struct token_sources *from, char *error, size_t size)
{
    const char *pem = from->public_key;
    size_t len = from->public_key_len;
    if (len > TOKEN_FILE_MAX)
        return complain(error, size, "jwt-public-key: the file is larger than 256 KiB");
    if (memmem(pem, len, "PRIVATE KEY", 11))
        return complain(error, size, "jwt-public-key: holds a private key; the hub wants the public one");
    EVP_PKEY *key = decode_key(pem, len);
    key = key ? key : decode_certificate(pem, len);
    int rc;
    if (!key)
        rc = complain(error, size, "jwt-public-key: neither a public key nor a certificate in PEM");
    else if (EVP_PKEY_is_a(key, "RSA"))
        rc = add_rsa(keys, key, error, size);
    else if (EVP_PKEY_is_a(key, "EC"))
        rc = add_ec(keys, key, error, size);
    else
        rc = complain(error, size, "jwt-public-key: neither an RSA key nor one on a curve of NIST");
    EVP_PKEY_free(key);
    return rc;
}

/* ---- key sets ---- */

/* Is it meant for checking signatures (RFC 7517 section 4.2, 4.3)? */
static bool is_for_signatures(const json_t *key)
{
    const json_t *use = json_object_get(key, "use"), *ops = json_object_get(key, "key_ops"), *op;
    size_t i;
    if (use && (!json_is_string(use) || strcmp(json_string_value(use), "sig") != 0))
        return false;
    if (!ops)
        return true;
    json_array_foreach(ops, i, op) if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
    {
        return true;
    }
    return false;
}

/* The numbers and the secret as they must be (RFC 7515 section 2). cjose's decoder ends the process at a `=`
 * in the wrong place (0.6.2, assert() in base64.c), so it is shown nothing but the alphabet. */
static bool is_encoded(const json_t *key)
{
    static const char *const names[] = {"k", "n", "e", "x", "y", "d", "p", "q", "dp", "dq", "qi"};
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *value = json_object_get(key, names[i]);
        size_t n = json_string_length(value);
        if (value && (n == 0 || n % 4 == 1 || strspn(json_string_value(value), digits) != n))
            return false;
    }
    return true;
}

static bool read_names(struct key *key, const json_t *from)
{
    const json_t *kid = json_object_get(from, "kid"), *alg = json_object_get(from, "alg");
    key->kid[0] = '\0';
    key->only = TOKEN_NO_ALGORITHM;
    if (kid && (!json_is_string(kid) || json_string_length(kid) > KID_MAX))
        return false;
    if (kid)
        memcpy(key->kid, json_string_value(kid), json_string_length(kid) + 1);
    if (alg && json_is_string(alg))
        key->only = token_algorithm_of(span_of(json_string_value(alg)));
    return !alg || key->only != TOKEN_NO_ALGORITHM;
}

static unsigned curve_bits(const cjose_jwk_t *jwk)
{
    cjose_err why;
    cjose_jwk_ec_curve id = cjose_jwk_EC_get_curve(jwk, &why);
    for (unsigned i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (curves[i].id == id)
            return curves[i].bits;
    return 0;
}

static int add_imported(struct token_keys *keys, cjose_jwk_t *jwk)
{
    cjose_err why;
    size_t bits = cjose_jwk_get_keysize(jwk, &why);
    switch (cjose_jwk_get_kty(jwk, &why)) {
    case CJOSE_JWK_KTY_RSA:
        return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX ? add(keys, jwk, RSA_KEY, 0) : -1;
    case CJOSE_JWK_KTY_EC:
        return curve_bits(jwk) ? add(keys, jwk, EC_KEY_, curve_bits(jwk)) : -1;
    case CJOSE_JWK_KTY_OCT:
        keys->weak |= bits < 8 * WEAK_SECRET;
        return add(keys, jwk, HMAC, 0);
    default:
        return -1;
    }
}

/* What cannot be used is left out: a set may hold keys for others. */
static void add_jwk(struct token_keys *keys, json_t *from)
{
    cjose_err why;
    if (!json_is_object(from) || !is_for_signatures(from) || !is_encoded(from) ||
        !read_names(next_key(keys), from))
        return;
    cjose_jwk_t *jwk = cjose_jwk_import_json((cjose_header_t *)from, &why);
    if (jwk && add_imported(keys, jwk) < 0)
        cjose_jwk_release(jwk);
}

static int add_set(struct token_keys *keys, const struct token_sources *from, char *error, size_t size)
{
    json_error_t why;
    if (from->jwks_len > TOKEN_FILE_MAX)
        return complain(error, size, "jwks: the file is larger than 256 KiB");
    json_t *set = json_loadb(from->jwks, from->jwks_len, JSON_REJECT_DUPLICATES, &why), *key;
    json_t *list = json_object_get(set, "keys");
    unsigned before = keys->count;
    size_t i;
    int rc = 0;
    if (!json_is_array(list))
        rc = complain(error, size, "jwks: not a JSON object with an array `keys`");
    else if (json_array_size(list) > TOKEN_KEYS_MAX)
        rc = complain(error, size, "jwks: more than 64 keys");
    if (rc == 0)
        json_array_foreach(list, i, key) add_jwk(keys, key);
    if (rc == 0 && keys->count == before)
        rc = complain(error, size,
                      "jwks: none of its keys can check a signature (RSA from 2048 bits, P-256, "
                      "P-384, P-521, oct)");
    json_decref(set);
    return rc;
}

/* ---- all keys ---- */

int token_keys_create(struct token_keys **out, const struct token_sources *from, char *error, size_t size)
{
    struct token_keys *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return complain(error, size, "out of memory");
    int rc = from->jwks ? add_set(keys, from, error, size) : 0;
    memset(next_key(keys), 0, sizeof(*next_key(keys)));
    if (rc == 0 && from->secret)
        rc = add_secret(keys, from, error, size);
    if (rc == 0 && from->public_key)
        rc = add_pem(keys, from, error, size);
    if (rc < 0) {
        token_keys_destroy(keys);
        return -1;
    }
    *out = keys;
    return 0;
}

void token_keys_destroy(struct token_keys *keys)
{
    if (!keys)
        return;
    for (unsigned i = 0; i < keys->count; i++)
        cjose_jwk_release(keys->all[i].jwk);
    free(keys);
}

bool token_keys_has_weak_secret(const struct token_keys *keys)
{
    return keys->weak;
}

static bool fits(const struct key *key, enum token_algorithm algorithm, struct span kid)
{
    if (key->family != algorithms[algorithm].family)
        return false;
    if (key->family == EC_KEY_ && key->curve_bits != algorithms[algorithm].bits)
        return false;
    if (key->only != TOKEN_NO_ALGORITHM && key->only != algorithm)
        return false;
    return !kid.p || key->kid[0] == '\0' || span_eq(kid, span_of(key->kid));
}

/* How long its signatures are, to the byte (RFC 7518 section 3.2 to 3.5). cjose takes an ECDSA signature for
 * two halves of whatever length, and an RSA signature without the zeroes it begins with: other texts, which
 * nobody has signed, would be believed. */
static size_t signature_size(const struct key *key, enum token_algorithm algorithm)
{
    if (key->family == HMAC)
        return algorithms[algorithm].bits / 8;
    return key->family == EC_KEY_ ? 2 * key->bytes : key->bytes;
}

/* Bytes behind the last dot, as strict base64url. */
static size_t size_in(struct span jws)
{
    const char *dot = memrchr(jws.p, '.', jws.len);
    return dot ? (size_t)(jws.p + jws.len - dot - 1) * 3 / 4 : 0;
}

static bool check(const struct key *key, struct span jws, bool *memory)
{
    cjose_err why = {.code = CJOSE_ERR_NONE};
    cjose_jws_t *parsed = cjose_jws_import(jws.p, jws.len, &why);
    bool good = parsed && cjose_jws_verify(parsed, key->jwk, &why);
    *memory |= !good && why.code == CJOSE_ERR_NO_MEMORY;
    cjose_jws_release(parsed);
    return good;
}

enum token_check token_keys_verify(const struct token_keys *keys, enum token_algorithm algorithm,
                                   struct span kid, struct span jws)
{
    bool tried = false, good = false, memory = false;
    for (unsigned i = 0; i < keys->count && !good; i++) {
        if (!fits(&keys->all[i], algorithm, kid))
            continue;
        tried = true;
        if (size_in(jws) == signature_size(&keys->all[i], algorithm))
            good = check(&keys->all[i], jws, &memory);
    }
    if (good)
        return TOKEN_CHECK_OK;
    return memory ? TOKEN_CHECK_MEMORY : tried ? TOKEN_CHECK_WRONG : TOKEN_CHECK_NO_KEY;
}
