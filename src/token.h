/* SPDX-License-Identifier: MIT
 *
 * token - JSON Web Tokens (RFC 7519) as signed compact text (RFC 7515): what they say, if they may be
 * believed. No I/O and no clock. Follows RFC 8725: the algorithm is bound to the key, `none` does not exist,
 * keys in headers are ignored, unknown `crit` is refused, everything has a size.
 *
 * Claims: sub (the client that may subscribe, `*` any), exp, nbf, iat, iss, aud, jti, and
 * "tidings": {"subscribe": [topic…], "publish": [target…], "admin": true}. A topic may end in `*`: every
 * topic that begins so. A target is `*`, `broadcast`, `client:ID` or `topic:NAME`, the latter two with a
 * final `*` if wanted.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include "token_keys.h"

#define TOKEN_MAX     8192 /* bytes of a token */
#define TOKEN_ENTRIES 256  /* of subscribe, and of publish */
#define TOKEN_ID_MAX  255  /* bytes of jti */
#define TOKEN_NEVER   UINT64_MAX

/* What came of it: enumerator, code of the problem document, detail. Nobody learns from it which key nearly
 * matched. */
#define TOKEN_RESULTS(X)                                                                                     \
    X(OK, "", "")                                                                                            \
    X(MALFORMED, "token_malformed", "the token is not a JSON Web Token in compact form")                     \
    X(TOO_LARGE, "token_too_large", "the token is longer than 8192 bytes")                                   \
    X(HEADER, "token_header",                                                                                \
      "the token's header asks for something that is not supported (crit, b64, typ)")                        \
    X(ALGORITHM, "token_algorithm", "the token's alg is not one that a configured key may verify")           \
    X(KEY, "token_key", "the token's kid names none of the configured keys for its alg")                     \
    X(SIGNATURE, "token_signature", "the token's signature is wrong")                                        \
    X(CLAIMS, "token_claims", "a claim of the token has a wrong type or form")                               \
    X(EXPIRED, "token_expired", "the token has expired (exp)")                                               \
    X(NO_EXPIRY, "token_no_expiry", "the token does not expire (exp is missing)")                            \
    X(TOO_EARLY, "token_not_yet_valid", "the token is not valid yet (nbf)")                                  \
    X(ISSUER, "token_issuer", "the token comes from another issuer (iss)")                                   \
    X(AUDIENCE, "token_audience", "the token is meant for somebody else (aud)")                              \
    X(MEMORY, "out_of_memory", "memory is short")

enum token_result {
#define TOKEN_RESULT_ENUM(name, code, detail) TOKEN_##name,
    TOKEN_RESULTS(TOKEN_RESULT_ENUM)
#undef TOKEN_RESULT_ENUM
};

/* Static texts. */
const char *token_code(enum token_result result);
const char *token_detail(enum token_result result);

struct token_rules {
    const char *issuer;   /* NULL: any */
    const char *audience; /* NULL: any */
    uint32_t leeway_ms;   /* for exp and nbf */
    bool allow_no_exp;
};

/* One allocation with all its texts. */
struct token_claims {
    struct span subject; /* p = NULL: the token names no client */
    struct span id;      /* jti; p = NULL if there is none */
    uint64_t expires;    /* wall clock, ms, leeway not counted; TOKEN_NEVER */
    bool admin;
    uint32_t subscribe_count;
    uint32_t publish_count;
    struct span *subscribe;
    struct span *publish;
};

/* Believes nothing before the signature is checked. *claims is written on TOKEN_OK only, and the caller's.
 * now_ms: wall clock. */
enum token_result token_verify(const struct token_keys *keys, const struct token_rules *rules,
                               struct span text, uint64_t now_ms, struct token_claims **claims);

void token_claims_free(struct token_claims *claims); /* NULL is fine */

/* What a token says, as JSON objects. */
struct token_text {
    char header[TOKEN_MAX], claims[TOKEN_MAX];
    size_t header_len, claims_len;
};

/* Reads a token without a key. *readable: it has a header and claims, which are in *out. TOKEN_OK: nothing is
 * wrong with it that can be seen without a key. Its signature is not looked at, so it is not to be believed.
 */
enum token_result token_inspect(const struct token_rules *rules, struct span text, uint64_t now_ms,
                                struct token_text *out, bool *readable);

/* May its bearer subscribe as this client? */
bool token_may_be(const struct token_claims *claims, struct span client_id);

/* And to this topic? */
bool token_may_subscribe(const struct token_claims *claims, struct span topic);

enum token_target { TOKEN_BROADCAST, TOKEN_CLIENT, TOKEN_TOPIC };

/* May its bearer publish there? name is not looked at for a broadcast. An admin may everywhere. */
bool token_may_publish(const struct token_claims *claims, enum token_target target, struct span name);

/* Is this what a `publish` entry may look like? */
bool token_is_target(struct span target);

/* Is this what a `subscribe` entry may look like? */
bool token_is_pattern(struct span topic);

/* Signs claims, which must be a JSON object, with HS256 into out. The length, without the NUL that follows,
 * or TIDINGS_EINVAL, TIDINGS_ETOOBIG (more than TOKEN_MAX, or than fits), TIDINGS_ENOMEM. */
int token_sign(struct span claims, struct span secret, char *out, size_t size);

#endif
