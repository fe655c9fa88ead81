/* SPDX-License-Identifier: MIT
 *
 * jws - signatures of JSON Web Algorithms (RFC 7518 section 3): does a key say that it made this one? Each
 * key is bound to what it may verify (RFC 8725 section 3.1): a secret to HMAC, an RSA key to RS* and PS*, a
 * key on a curve to the one ES* of that curve.
 *
 * Every answer but JWS_MEMORY is certain: what fails for want of memory, in OpenSSL too, is never taken for a
 * wrong signature or a bad key. Nothing is left in OpenSSL's queue of errors.
 */
#ifndef JWS_H
#define JWS_H

#include "text.h"

/* Name, family, bits of the hash. */
#define JWS_ALGORITHMS(X)                                                                                    \
    X(HS256, HMAC, 256)                                                                                      \
    X(HS384, HMAC, 384)                                                                                      \
    X(HS512, HMAC, 512)                                                                                      \
    X(RS256, RSA, 256)                                                                                       \
    X(RS384, RSA, 384)                                                                                       \
    X(RS512, RSA, 512)                                                                                       \
    X(PS256, PSS, 256)                                                                                       \
    X(PS384, PSS, 384)                                                                                       \
    X(PS512, PSS, 512)                                                                                       \
    X(ES256, EC, 256)                                                                                        \
    X(ES384, EC, 384)                                                                                        \
    X(ES512, EC, 512)

enum jws_algorithm {
    JWS_NO_ALGORITHM, /* none, unknown, or not one of ours */
#define JWS_ALGORITHM_ENUM(name, family, bits) JWS_##name,
    JWS_ALGORITHMS(JWS_ALGORITHM_ENUM)
#undef JWS_ALGORITHM_ENUM
};

enum jws_algorithm jws_algorithm_of(struct span name);

enum jws_result {
    JWS_FINE,
    JWS_WRONG, /* the key has not made this signature; or the numbers are no key that can be used */
    JWS_MEMORY
};

#define JWS_RSA_BITS_MIN 2048
#define JWS_RSA_BITS_MAX 8192 /* a larger one costs a loop too long */
#define JWS_POINT_MAX    133  /* bytes of a point on P-521 */

struct jws_key; /* immutable: any thread */

/* Makes a key of its numbers, big-endian. *key is written on JWS_FINE only. */
enum jws_result jws_key_of_secret(struct jws_key **key, struct span secret);
enum jws_result jws_key_of_rsa(struct jws_key **key, struct span modulus, struct span exponent);

/* curve: the bits of the hash with which it is used: 256, 384, 512. The point is written as in SEC 1. */
enum jws_result jws_key_of_ec(struct jws_key **key, unsigned curve, struct span point);

#define JWS_MAC_MAX 64 /* bytes */

/* The HMAC of an HS algorithm into mac, which has room for JWS_MAC_MAX. Its length, or 0 for want of memory.
 */
size_t jws_hmac(enum jws_algorithm algorithm, struct span secret, struct span text, unsigned char *mac);

void jws_key_destroy(struct jws_key *key); /* NULL is fine */

size_t jws_coordinate_len(unsigned curve); /* bytes; 0 if there is no such curve */
unsigned jws_rsa_bits(struct span modulus);

/* May this key verify signatures of this algorithm? */
bool jws_is_bound(const struct jws_key *key, enum jws_algorithm algorithm);

/* The key must be bound to the algorithm. */
enum jws_result jws_verify(const struct jws_key *key, enum jws_algorithm algorithm, struct span text,
                           struct span signature);

#endif
