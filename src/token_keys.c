/* SPDX-License-Identifier: MIT
 *
 * token_keys - see token_keys.h. Whatever the source, a key is read as its numbers, and jws makes a key of
 * them, so that there is one kind of key.
 *
 * Deliberately not here: fetching keys from anywhere. A header's jwk, jku, x5u or x5c is never looked at (RFC
 * 8725 section 3.10).
 */
#include "token_keys.h"

#include "members.h"
#include "pem.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>

#define WEAK_SECRET 32
#define SECRET_MAX  4096
#define KID_MAX     256
#define NUMBER_MAX  (JWS_RSA_BITS_MAX / 8 + 1)

struct key {
    struct jws_key *key;
    enum jws_algorithm only; /* the one that the key set allows, or JWS_NO_ALGORITHM */
    char kid[KID_MAX + 1];   /* "" if it has none */
};

struct token_keys {
    unsigned count;
    bool weak;
    struct key all[TOKEN_KEYS_MAX + 2]; /* a set, a secret, a PEM file */
};

/* Where a complaint goes. */
struct complaint {
    char *text;
    size_t size;
};

static int complain(const struct complaint *to, const char *source, const char *what)
{
    snprintf(to->text, to->size, "%s: %s", source, what);
    return TIDINGS_ECREDENTIALS;
}

static int run_out(const struct complaint *to, const char *source)
{
    snprintf(to->text, to->size, "%s: out of memory", source);
    return TIDINGS_ENOMEM;
}

static struct key *next_key(struct token_keys *keys)
{
    return &keys->all[keys->count];
}

/* Takes the key that jws has just put into next_key(). */
static int take(struct token_keys *keys, enum jws_result result, const struct complaint *to,
                const char *source, const char *what)
{
    keys->count += result == JWS_FINE;
    return result == JWS_FINE ? 0 : result == JWS_MEMORY ? run_out(to, source) : complain(to, source, what);
}

static int add_secret(struct token_keys *keys, const struct token_sources *from, const struct complaint *to)
{
    struct span secret = {from->secret, from->secret_len};
    if (secret.len == 0 || secret.len > SECRET_MAX)
        return complain(to, "jwt-secret", "must have 1 to 4096 bytes");
    keys->weak |= secret.len < WEAK_SECRET;
    return take(keys, jws_key_of_secret(&next_key(keys)->key, secret), to, "jwt-secret", "cannot be used");
}

/* ---- PEM ---- */

#define PEM_SOURCE "jwt-public-key"

static int add_rsa(struct token_keys *keys, const struct pem_key *from, const struct complaint *to)
{
    unsigned bits = jws_rsa_bits(from->modulus);
    if (bits < JWS_RSA_BITS_MIN || bits > JWS_RSA_BITS_MAX)
        return complain(to, PEM_SOURCE, "an RSA key must have 2048 to 8192 bits");
    return take(keys, jws_key_of_rsa(&next_key(keys)->key, from->modulus, from->exponent), to, PEM_SOURCE,
                "this RSA key cannot be used");
}

static unsigned curve_of(struct span identifier)
{
    if (span_eq(identifier, SPAN("\x2a\x86\x48\xce\x3d\x03\x01\x07"))) /* 1.2.840.10045.3.1.7 */
        return 256;
    if (span_eq(identifier, SPAN("\x2b\x81\x04\x00\x22"))) /* 1.3.132.0.34 */
        return 384;
    return span_eq(identifier, SPAN("\x2b\x81\x04\x00\x23")) ? 512 : 0; /* 1.3.132.0.35 */
}

static int add_ec(struct token_keys *keys, const struct pem_key *from, const struct complaint *to)
{
    unsigned curve = curve_of(from->curve);
    if (curve == 0)
        return complain(to, PEM_SOURCE, "only the curves P-256, P-384 and P-521 are known");
    return take(keys, jws_key_of_ec(&next_key(keys)->key, curve, from->point), to, PEM_SOURCE,
                "this key on a curve cannot be used");
}

static int add_pem(struct token_keys *keys, const struct token_sources *from, const struct complaint *to)
{
    struct span text = {from->public_key, from->public_key_len};
    struct pem_key key;
    int rc;
    if (text.len > TOKEN_FILE_MAX)
        return complain(to, PEM_SOURCE, "the file is larger than 256 KiB");
    if (memmem(text.p, text.len, "PRIVATE KEY", 11))
        return complain(to, PEM_SOURCE, "holds a private key; the hub wants the public one");
    switch (pem_read(&key, text)) {
    case PEM_MEMORY:
        rc = run_out(to, PEM_SOURCE);
        break;
    case PEM_RSA:
        rc = add_rsa(keys, &key, to);
        break;
    case PEM_EC:
        rc = add_ec(keys, &key, to);
        break;
    case PEM_OTHER:
        rc = complain(to, PEM_SOURCE, "neither an RSA key nor one on a curve of NIST");
        break;
    default:
        rc = complain(to, PEM_SOURCE, "neither a public key nor a certificate in PEM");
    }
    pem_finish(&key);
    return rc;
}

/* ---- key sets ---- */

/* Is it the text? */
static bool says(const struct member *member, const char *text)
{
    char room[64];
    return member->raw.p && member->raw.len <= sizeof(room) &&
           span_eq(members_text(member, room), span_of(text));
}

/* Is it meant for checking signatures (RFC 7517 section 4.2, 4.3)? */
static bool is_for_signatures(struct span jwk)
{
    struct member use = members_find(jwk, "use"), ops = members_find(jwk, "key_ops");
    struct json_walk walk;
    struct json_field op;
    if (use.raw.p && !says(&use, "sig"))
        return false;
    if (!ops.raw.p)
        return true;
    if (json_walk_init(&walk, ops.raw, '[') < 0)
        return false;
    while (json_walk_next(&walk, &op) > 0)
        if (says(&(struct member){op.kind, op.value}, "verify"))
            return true;
    return false;
}

/* Its name, and what it is for. */
static bool read_names(struct key *key, struct span jwk)
{
    struct member kid = members_find(jwk, "kid"), alg = members_find(jwk, "alg");
    char room[64];
    key->kid[0] = '\0';
    key->only = JWS_NO_ALGORITHM;
    if (kid.raw.p) {
        if (kid.kind != JSON_STRING || kid.raw.len > KID_MAX + 2)
            return false;
        struct span name = members_text(&kid, key->kid);
        memmove(key->kid, name.p, name.len);
        key->kid[name.len] = '\0';
    }
    if (!alg.raw.p)
        return true;
    if (alg.raw.len <= sizeof(room))
        key->only = jws_algorithm_of(members_text(&alg, room));
    return key->only != JWS_NO_ALGORITHM;
}

/* The bytes of a member that is base64url, into room for as many as its text has; p = NULL if it is none. */
static struct span bytes_in(struct span jwk, const char *name, char *room, size_t size)
{
    struct member member = members_find(jwk, name);
    if (member.kind != JSON_STRING || member.raw.len > size)
        return (struct span){0};
    struct span text = members_text(&member, room);
    ssize_t n = text.p ? text_base64url(text.p, text.len, room) : -1;
    return n > 0 ? (struct span){room, (size_t)n} : (struct span){0};
}

static enum jws_result make_secret(struct token_keys *keys, struct span jwk)
{
    char room[SECRET_MAX * 4 / 3 + 4];
    struct span secret = bytes_in(jwk, "k", room, sizeof(room));
    bool usable = secret.p && secret.len <= SECRET_MAX;
    enum jws_result result = usable ? jws_key_of_secret(&next_key(keys)->key, secret) : JWS_WRONG;
    keys->weak |= result == JWS_FINE && secret.len < WEAK_SECRET;
    OPENSSL_cleanse(room, sizeof(room));
    return result;
}

static enum jws_result make_rsa(struct token_keys *keys, struct span jwk)
{
    char n[NUMBER_MAX * 4 / 3 + 4], e[NUMBER_MAX * 4 / 3 + 4];
    struct span modulus = bytes_in(jwk, "n", n, sizeof(n)), exponent = bytes_in(jwk, "e", e, sizeof(e));
    if (!modulus.p || !exponent.p)
        return JWS_WRONG;
    return jws_key_of_rsa(&next_key(keys)->key, modulus, exponent);
}

static enum jws_result make_ec(struct token_keys *keys, struct span jwk)
{
    struct member crv = members_find(jwk, "crv");
    unsigned curve = says(&crv, "P-256") ? 256 : says(&crv, "P-384") ? 384 : says(&crv, "P-521") ? 512 : 0;
    size_t width = jws_coordinate_len(curve);
    char x[JWS_POINT_MAX], y[JWS_POINT_MAX], point[JWS_POINT_MAX] = {4}; /* uncompressed */
    struct span across = bytes_in(jwk, "x", x, sizeof(x)), up = bytes_in(jwk, "y", y, sizeof(y));
    if (width == 0 || across.len != width || up.len != width) /* RFC 7518 section 6.2.1.2 */
        return JWS_WRONG;
    memcpy(point + 1, across.p, width);
    memcpy(point + 1 + width, up.p, width);
    return jws_key_of_ec(&next_key(keys)->key, curve, (struct span){point, 1 + 2 * width});
}

/* What cannot be used is left out: a set may hold keys for others. False: out of memory. */
static bool add_jwk(struct token_keys *keys, struct span jwk)
{
    enum jws_result result = JWS_WRONG;
    struct member kty = members_find(jwk, "kty");
    if (!is_for_signatures(jwk) || !read_names(next_key(keys), jwk))
        return true;
    if (says(&kty, "oct"))
        result = make_secret(keys, jwk);
    else if (says(&kty, "RSA"))
        result = make_rsa(keys, jwk);
    else if (says(&kty, "EC"))
        result = make_ec(keys, jwk);
    keys->count += result == JWS_FINE;
    return result != JWS_MEMORY;
}

#define SET_SOURCE "jwks"

static int add_keys(struct token_keys *keys, struct span list, const struct complaint *to)
{
    struct json_walk walk;
    struct json_field one;
    unsigned before = keys->count;
    json_walk_init(&walk, list, '[');
    for (unsigned i = 0; json_walk_next(&walk, &one) > 0; i++) {
        if (i == TOKEN_KEYS_MAX)
            return complain(to, SET_SOURCE, "more than 64 keys");
        if (one.kind == JSON_OBJECT && !add_jwk(keys, one.value))
            return run_out(to, SET_SOURCE);
    }
    memset(next_key(keys), 0, sizeof(*next_key(keys))); /* the names of one that was left out */
    return keys->count > before ? 0
                                : complain(to, SET_SOURCE,
                                           "none of its keys can check a signature (RSA from 2048 bits, "
                                           "P-256, P-384, P-521, oct)");
}

static int add_set(struct token_keys *keys, const struct token_sources *from, const struct complaint *to)
{
    struct span set = {from->jwks, from->jwks_len};
    if (set.len > TOKEN_FILE_MAX)
        return complain(to, SET_SOURCE, "the file is larger than 256 KiB");
    const char *why = members_check(set, MEMBERS_MAX);
    struct member list = members_find(why ? (struct span){0} : set, "keys");
    if (!why && list.kind == JSON_ARRAY)
        return add_keys(keys, list.raw, to);
    char what[128];
    snprintf(what, sizeof(what), "must be a JSON object with an array `keys`%s%s", why ? ": " : "",
             why ? why : "");
    return complain(to, SET_SOURCE, what);
}

/* ---- all keys ---- */

int token_keys_create(struct token_keys **out, const struct token_sources *from, char *error, size_t size)
{
    const struct complaint to = {error, size};
    struct token_keys *keys = calloc(1, sizeof(*keys));
    if (!keys)
        return run_out(&to, "jwt");
    int rc = from->jwks ? add_set(keys, from, &to) : 0;
    if (rc == 0 && from->secret)
        rc = add_secret(keys, from, &to);
    if (rc == 0 && from->public_key)
        rc = add_pem(keys, from, &to);
    if (rc < 0)
        token_keys_destroy(keys);
    else
        *out = keys;
    return rc;
}

void token_keys_destroy(struct token_keys *keys)
{
    if (!keys)
        return;
    for (unsigned i = 0; i < keys->count; i++)
        jws_key_destroy(keys->all[i].key);
    free(keys);
}

bool token_keys_has_weak_secret(const struct token_keys *keys)
{
    return keys->weak;
}

static bool fits(const struct key *key, enum jws_algorithm algorithm, struct span kid)
{
    if (!jws_is_bound(key->key, algorithm) || (key->only != JWS_NO_ALGORITHM && key->only != algorithm))
        return false;
    return !kid.p || key->kid[0] == '\0' || span_eq(kid, span_of(key->kid));
}

enum token_check token_keys_verify(const struct token_keys *keys, enum jws_algorithm algorithm,
                                   struct span kid, struct span text, struct span signature)
{
    bool tried = false, memory = false;
    for (unsigned i = 0; i < keys->count; i++) {
        if (!fits(&keys->all[i], algorithm, kid))
            continue;
        enum jws_result result = jws_verify(keys->all[i].key, algorithm, text, signature);
        if (result == JWS_FINE)
            return TOKEN_CHECK_OK;
        tried = true;
        memory |= result == JWS_MEMORY;
    }
    return memory ? TOKEN_CHECK_MEMORY : tried ? TOKEN_CHECK_WRONG : TOKEN_CHECK_NO_KEY;
}
