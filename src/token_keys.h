/* SPDX-License-Identifier: MIT
 *
 * token_keys - the keys that tokens are verified with: a secret, a PEM file, a JSON Web Key Set (RFC 7517).
 * Each key is bound to what it may verify (RFC 8725 section 3.1): a secret to HMAC, an RSA key to RS* and
 * PS*, a key on a curve to the one ES* of that curve. So the `alg` of a token chooses among keys and never
 * what a key is used for.
 */
#ifndef TOKEN_KEYS_H
#define TOKEN_KEYS_H

#include "text.h"

#define TOKEN_KEYS_MAX 64            /* of a key set */
#define TOKEN_FILE_MAX (256u * 1024) /* bytes of a PEM file or a key set */

/* What a token may be signed with (RFC 7518 section 3.1): name, family, bits of the hash. */
#define TOKEN_ALGORITHMS(X)                                                                                  \
    X(HS256, HMAC, 256)                                                                                      \
    X(HS384, HMAC, 384)                                                                                      \
    X(HS512, HMAC, 512)                                                                                      \
    X(RS256, RSA, 256)                                                                                       \
    X(RS384, RSA, 384)                                                                                       \
    X(RS512, RSA, 512)                                                                                       \
    X(PS256, RSA, 256)                                                                                       \
    X(PS384, RSA, 384)                                                                                       \
    X(PS512, RSA, 512)                                                                                       \
    X(ES256, EC, 256)                                                                                        \
    X(ES384, EC, 384)                                                                                        \
    X(ES512, EC, 512)

enum token_algorithm {
    TOKEN_NO_ALGORITHM, /* none, unknown, or not one of ours */
#define TOKEN_ALGORITHM_ENUM(name, family, bits) TOKEN_##name,
    TOKEN_ALGORITHMS(TOKEN_ALGORITHM_ENUM)
#undef TOKEN_ALGORITHM_ENUM
};

enum token_algorithm token_algorithm_of(struct span name);

/* Where keys come from; what is NULL is not there. The texts are not needed afterwards. */
struct token_sources {
    const char *secret;
    size_t secret_len;
    const char *public_key; /* PEM: a public key, or a certificate */
    size_t public_key_len;
    const char *jwks; /* JSON */
    size_t jwks_len;
};

struct token_keys; /* immutable: any thread */

/* Makes keys of all sources. 0, or -1 with a sentence in `error` that names the source and what is wrong with
 * it, never what is in it. */
int token_keys_create(struct token_keys **keys, const struct token_sources *from, char *error,
                      size_t error_size);
void token_keys_destroy(struct token_keys *keys); /* NULL is fine */

/* Is there a secret shorter than the 32 bytes that RFC 7518 section 3.2 asks for? It can be guessed by
 * whoever has one token. */
bool token_keys_has_weak_secret(const struct token_keys *keys);

enum token_check {
    TOKEN_CHECK_OK,
    TOKEN_CHECK_WRONG,  /* no fitting key has made this signature */
    TOKEN_CHECK_NO_KEY, /* there is no key for this algorithm, or none with this kid */
    TOKEN_CHECK_MEMORY
};

/* Verifies a JWS in compact form. kid.p = NULL: the token names no key. Keys without a name are tried
 * whatever the token says. */
enum token_check token_keys_verify(const struct token_keys *keys, enum token_algorithm algorithm,
                                   struct span kid, struct span jws);

#endif
