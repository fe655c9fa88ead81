/* SPDX-License-Identifier: MIT
 *
 * mint - tokens as a test wants them, honest or hostile: header and claims are any bytes, the signature is
 * made with OpenSSL directly, so that the room under test and this file share no code.
 */
#ifndef MINT_H
#define MINT_H

#include <openssl/evp.h>
#include <stddef.h>

#define MINT_MAX 16384

/* base64url without padding; NUL-ended. Returns the length. */
size_t mint_encode(char *out, const void *p, size_t n);

/* header.claims.signature in out (MINT_MAX). alg says how it is really signed: "HS256"… with the secret, else
 * with the key. "": an empty signature. */
void mint_bytes(char *out, const void *header, size_t header_len, const void *claims, size_t claims_len,
                const char *alg, const char *secret, EVP_PKEY *key);
void mint(char *out, const char *header, const char *claims, const char *alg, const char *secret,
          EVP_PKEY *key);

EVP_PKEY *mint_rsa(unsigned bits);
EVP_PKEY *mint_ec(const char *curve); /* "P-256", "P-384", "P-521", "secp256k1" */

/* The public key in PEM; malloc'ed, NUL-ended. */
char *mint_pem(EVP_PKEY *key);

/* The public key as a JSON Web Key without the braces: "kty":…; malloc'ed. */
char *mint_jwk(EVP_PKEY *key);

#endif
