/* SPDX-License-Identifier: MIT
 *
 * jws - see jws.h. OpenSSL does the mathematics. Its functions answer 0 for a wrong signature and for an
 * allocation that failed, and its queue of errors tells one from the other: what is wrong with a signature is
 * said in the words of the code that looked at it (lib RSA or EC, a reason of its own), and whatever could
 * not be finished in the words of somebody below it, or in none. Only the former is believed.
 *
 * Deliberately not here: where keys come from (token_keys), and what is signed (token).
 */
#include "jws.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define DER_MAX (2 * (66 + 4) + 4) /* of an ECDSA signature on P-521 */

enum family { NO_FAMILY, HMAC_FAMILY, RSA_FAMILY, PSS_FAMILY, EC_FAMILY };

struct jws_key {
    EVP_PKEY *pkey;     /* of RSA_FAMILY and EC_FAMILY */
    size_t bytes;       /* of an RSA key's modulus, or of a coordinate */
    unsigned curve;     /* of an EC key, as its algorithm names it */
    enum family family; /* an RSA key is of RSA_FAMILY, whatever padding it is used with */
    size_t secret_len;
    unsigned char secret[]; /* of HMAC_FAMILY */
};

static const struct {
    const char *name;
    enum family family;
    unsigned bits;
} algorithms[] = {[JWS_NO_ALGORITHM] = {"", NO_FAMILY, 0},
#define ALGORITHM_ROW(name, family, bits) [JWS_##name] = {#name, family##_FAMILY, bits},
                  JWS_ALGORITHMS(ALGORITHM_ROW)
#undef ALGORITHM_ROW
};

enum jws_algorithm jws_algorithm_of(struct span name)
{
    for (unsigned i = 1; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (span_eq(name, span_of(algorithms[i].name)))
            return (enum jws_algorithm)i;
    return JWS_NO_ALGORITHM;
}

/* OpenSSL has refused something: does this part of it say so in a reason of its own, and has nothing failed
 * below it? If not, it may have been for want of memory. Such reasons begin at 100; those before are common
 * to all, as are "malloc failure" and its kin. A number that could not be allocated is sometimes reported by
 * lib BN only. */
static bool is_certain(int lib)
{
    bool said = false, failed = false;
    for (unsigned long code = ERR_get_error(); code; code = ERR_get_error()) {
        bool own = ERR_GET_REASON(code) >= 100 && !ERR_FATAL_ERROR(code);
        said |= own && ERR_GET_LIB(code) == lib;
        failed |= ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE || ERR_GET_LIB(code) == ERR_LIB_BN;
    }
    return said && !failed;
}

/* ---- keys ---- */

/* OpenSSL makes its library context when it is used first, and goes on without one if memory was short then
 * (3.0: it locks a lock that is not there). Asked for it, it says so. */
static bool is_awake(void)
{
    return OSSL_LIB_CTX_get0_global_default() != NULL;
}

static enum jws_result key_of(struct jws_key **out, enum family family, size_t bytes, unsigned curve,
                              EVP_PKEY *pkey)
{
    struct jws_key *key = calloc(1, sizeof(*key));
    if (!key) {
        EVP_PKEY_free(pkey);
        return JWS_MEMORY;
    }
    key->pkey = pkey;
    key->family = family;
    key->bytes = bytes;
    key->curve = curve;
    *out = key;
    return JWS_FINE;
}

enum jws_result jws_key_of_secret(struct jws_key **out, struct span secret)
{
    if (secret.len == 0 || secret.len > INT_MAX)
        return JWS_WRONG;
    struct jws_key *key = is_awake() ? calloc(1, sizeof(*key) + secret.len) : NULL;
    if (!key)
        return JWS_MEMORY;
    key->family = HMAC_FAMILY;
    key->secret_len = secret.len;
    memcpy(key->secret, secret.p, secret.len);
    *out = key;
    return JWS_FINE;
}

void jws_key_destroy(struct jws_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    OPENSSL_cleanse(key->secret, key->secret_len);
    free(key);
}

/* NULL: see is_certain(). */
static EVP_PKEY *make_pkey(const char *type, OSSL_PARAM *numbers)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = is_awake() ? EVP_PKEY_CTX_new_from_name(NULL, type, NULL) : NULL;
    if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, numbers) <= 0) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *make_rsa(struct span modulus, struct span exponent)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *n = BN_bin2bn((const unsigned char *)modulus.p, (int)modulus.len, NULL),
           *e = BN_bin2bn((const unsigned char *)exponent.p, (int)exponent.len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *numbers = NULL;
    if (n && e && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
        numbers = OSSL_PARAM_BLD_to_param(build);
    if (numbers)
        pkey = make_pkey("RSA", numbers);
    OSSL_PARAM_free(numbers);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static struct span without_zeroes(struct span number)
{
    while (number.len > 0 && number.p[0] == 0) {
        number.p++;
        number.len--;
    }
    return number;
}

unsigned jws_rsa_bits(struct span modulus)
{
    struct span n = without_zeroes(modulus);
    unsigned bits = n.len > 8 * JWS_RSA_BITS_MAX ? 8 * JWS_RSA_BITS_MAX : (unsigned)n.len * 8;
    for (unsigned first = n.len > 0 ? (unsigned char)n.p[0] : 0x80; first < 0x80; first <<= 1)
        bits--;
    return bits;
}

static bool is_odd(struct span number)
{
    return number.len > 0 && number.p[number.len - 1] & 1;
}

enum jws_result jws_key_of_rsa(struct jws_key **out, struct span modulus, struct span exponent)
{
    struct span n = without_zeroes(modulus), e = without_zeroes(exponent);
    unsigned bits = jws_rsa_bits(n);
    if (bits < JWS_RSA_BITS_MIN || bits > JWS_RSA_BITS_MAX || !is_odd(n))
        return JWS_WRONG;
    if (!is_odd(e) || e.len > n.len || (e.len == 1 && e.p[0] == 1)) /* by 1, everybody can sign */
        return JWS_WRONG;
    ERR_clear_error();
    EVP_PKEY *pkey = make_rsa(n, e);
    ERR_clear_error();
    return pkey ? key_of(out, RSA_FAMILY, n.len, 0, pkey) : JWS_MEMORY; /* it takes any two numbers */
}

static const struct curve {
    unsigned bits; /* in the algorithm's name */
    size_t bytes;  /* of a coordinate */
    const char *name;
} curves[] = {{256, 32, "P-256"}, {384, 48, "P-384"}, {512, 66, "P-521"}};

static const struct curve *curve_of(unsigned bits)
{
    for (unsigned i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (curves[i].bits == bits)
            return &curves[i];
    return NULL;
}

size_t jws_coordinate_len(unsigned curve)
{
    return curve_of(curve) ? curve_of(curve)->bytes : 0;
}

/* OpenSSL sees to it that the point is on the curve. The point at infinity, with which anybody could sign, is
 * one byte. */
enum jws_result jws_key_of_ec(struct jws_key **out, unsigned curve, struct span point)
{
    const struct curve *c = curve_of(curve);
    unsigned char bytes[JWS_POINT_MAX];
    char name[8];
    if (!c || (point.len != 1 + c->bytes && point.len != 1 + 2 * c->bytes))
        return JWS_WRONG;
    memcpy(bytes, point.p, point.len);
    memcpy(name, c->name, strlen(c->name) + 1);
    OSSL_PARAM numbers[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
                            OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes, point.len),
                            OSSL_PARAM_construct_end()};
    ERR_clear_error();
    EVP_PKEY *pkey = make_pkey("EC", numbers);
    if (!pkey)
        return is_certain(ERR_LIB_EC) ? JWS_WRONG : JWS_MEMORY;
    ERR_clear_error();
    return key_of(out, EC_FAMILY, c->bytes, curve, pkey);
}

bool jws_is_bound(const struct jws_key *key, enum jws_algorithm algorithm)
{
    enum family family = algorithms[algorithm].family;
    if (key->family == EC_FAMILY && key->curve != algorithms[algorithm].bits)
        return false;
    return key->family == (family == PSS_FAMILY ? RSA_FAMILY : family);
}

/* ---- signatures ---- */

static const EVP_MD *hash_of(enum jws_algorithm algorithm)
{
    unsigned bits = algorithms[algorithm].bits;
    return bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();
}

size_t jws_hmac(enum jws_algorithm algorithm, struct span secret, struct span text, unsigned char *mac)
{
    unsigned len = JWS_MAC_MAX;
    bool made = is_awake() && HMAC(hash_of(algorithm), secret.p, (int)secret.len,
                                   (const unsigned char *)text.p, text.len, mac, &len);
    ERR_clear_error();
    return made ? len : 0;
}

static enum jws_result verify_hmac(const struct jws_key *key, enum jws_algorithm algorithm, struct span text,
                                   struct span signature)
{
    unsigned char mac[JWS_MAC_MAX];
    size_t len = jws_hmac(algorithm, (struct span){(const char *)key->secret, key->secret_len}, text, mac);
    if (len == 0)
        return JWS_MEMORY;
    return signature.len == len && CRYPTO_memcmp(mac, signature.p, len) == 0 ? JWS_FINE : JWS_WRONG;
}

/* How long its signatures are, to the byte (RFC 7518 section 3.3 to 3.5): another length would be another
 * text that is believed, which nobody has signed. */
static size_t signature_len(const struct jws_key *key)
{
    return key->family == EC_FAMILY ? 2 * key->bytes : key->bytes;
}

/* Two numbers of fixed width become what OpenSSL reads. Its length, or -1 for want of memory. */
static int to_der(struct span signature, unsigned char *der)
{
    const unsigned char *bytes = (const unsigned char *)signature.p;
    int half = (int)(signature.len / 2), len = -1;
    BIGNUM *r = BN_bin2bn(bytes, half, NULL), *s = BN_bin2bn(bytes + half, half, NULL);
    ECDSA_SIG *both = r && s ? ECDSA_SIG_new() : NULL;
    if (!both) {
        BN_free(r);
        BN_free(s);
        return -1;
    }
    ECDSA_SIG_set0(both, r, s); /* which are its own from now on; it fails for NULL only */
    if (i2d_ECDSA_SIG(both, NULL) <= DER_MAX)
        len = i2d_ECDSA_SIG(both, &der);
    ECDSA_SIG_free(both);
    return len > 0 ? len : -1;
}

static bool prepare(EVP_PKEY_CTX *ctx, enum jws_algorithm algorithm)
{
    if (!ctx || EVP_PKEY_verify_init(ctx) <= 0 || EVP_PKEY_CTX_set_signature_md(ctx, hash_of(algorithm)) <= 0)
        return false;
    if (algorithms[algorithm].family != PSS_FAMILY)
        return true; /* RSA: PKCS #1 version 1.5 */
    /* RFC 7518 section 3.5: the salt is as long as the hash, and MGF1 uses the same hash. */
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

/* 1, or 0 and less as OpenSSL says it. */
static int ask_openssl(const struct jws_key *key, enum jws_algorithm algorithm, struct span text,
                       const unsigned char *signature, size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;
    int rc = -1;
    if (!EVP_Digest(text.p, text.len, digest, &digest_len, hash_of(algorithm), NULL))
        return -1;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (prepare(ctx, algorithm))
        rc = EVP_PKEY_verify(ctx, signature, len, digest, digest_len);
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

static enum jws_result verify_ec(const struct jws_key *key, enum jws_algorithm algorithm, struct span text,
                                 struct span signature)
{
    unsigned char der[DER_MAX];
    int len = to_der(signature, der);
    int rc = len < 0 ? -1 : ask_openssl(key, algorithm, text, der, (size_t)len);
    ERR_clear_error();
    return rc == 1 ? JWS_FINE : rc == 0 ? JWS_WRONG : JWS_MEMORY; /* of ECDSA, 0 is certain */
}

static enum jws_result verify_rsa(const struct jws_key *key, enum jws_algorithm algorithm, struct span text,
                                  struct span signature)
{
    int rc = ask_openssl(key, algorithm, text, (const unsigned char *)signature.p, signature.len);
    if (rc != 1)
        return is_certain(ERR_LIB_RSA) ? JWS_WRONG : JWS_MEMORY;
    ERR_clear_error();
    return JWS_FINE;
}

enum jws_result jws_verify(const struct jws_key *key, enum jws_algorithm algorithm, struct span text,
                           struct span signature)
{
    ERR_clear_error();
    if (key->family == HMAC_FAMILY)
        return verify_hmac(key, algorithm, text, signature);
    if (signature.len != signature_len(key))
        return JWS_WRONG;
    return key->family == EC_FAMILY ? verify_ec(key, algorithm, text, signature)
                                    : verify_rsa(key, algorithm, text, signature);
}
