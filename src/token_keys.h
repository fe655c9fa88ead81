/* SPDX-License-Identifier: MIT
 *
 * token_keys - the keys that tokens are verified with: a secret, a PEM file, a JSON Web Key Set (RFC 7517).
 * Each is bound to what it may verify, so the `alg` of a token chooses among keys and never what a key is
 * used for.
 */
#ifndef TOKEN_KEYS_H
#define TOKEN_KEYS_H

#include "jws.h"

#define TOKEN_KEYS_MAX 64            /* of a key set */
#define TOKEN_FILE_MAX (256u * 1024) /* bytes of a PEM file or a key set */

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

/* Makes keys of all sources. 0; TIDINGS_ENOMEM, never with a part of the keys; or TIDINGS_ECREDENTIALS with a
 * sentence in `error` that names the source and what is wrong with it, never what is in it. */
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

/* Was the text signed by one of the keys? kid.p = NULL: the token names no key. Keys without a name are tried
 * whatever the token says. */
enum token_check token_keys_verify(const struct token_keys *keys, enum jws_algorithm algorithm,
                                   struct span kid, struct span text, struct span signature);

#endif
