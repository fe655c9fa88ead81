/* SPDX-License-Identifier: MIT
 *
 * test_token_hostile - tokens that somebody made in order to be believed: bent after they were signed, signed
 * with the wrong thing, or signed rightly and saying what must not be said. Each is refused, and for the
 * reason that its row names; control rows are believed, which shows that the bench lets through what is good.
 *
 * A row says what is signed and how, which keys the hub has, and what is done to the text afterwards.
 */
#include "json.h"
#include "mint.h"
#include "token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>

#include <cmocka.h>

#define SECRET "a secret of sixty-four bytes, so that it does for HS512 as well!"
#define NOW    UINT64_C(1800000000000) /* ms */
#define EXP    ",\"exp\":1800000060"
#define GOOD   "{\"sub\":\"ada\"" EXP "}"
#define HS     "{\"alg\":\"HS256\"}"
#define RS     "{\"alg\":\"RS256\"}"
#define PS     "{\"alg\":\"PS256\"}"
#define ES     "{\"alg\":\"ES256\"}"
#define X64    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* Who signs. */
enum signer { THE_SECRET, RSA_PEM, EC_PEM, RSA_, OTHER_RSA, P256, P384, P521, STRANGER };

/* What the hub verifies with. */
enum ring { BY_SECRET, BY_RSA, BY_P256, BY_P384, BY_P521, BY_SET, BY_ONLY_RS256, RINGS };

static EVP_PKEY *pairs[STRANGER + 1];
static char *rsa_pem, *ec_pem;
static struct token_keys *rings[RINGS];

/* ---- what is done to a token ---- */

struct cut {
    char *header, *claims, *signature; /* each with its NUL, in one block */
};

static void cut(struct cut *c, char *text)
{
    c->header = text;
    c->claims = strchr(text, '.') + 1;
    c->signature = strchr(c->claims, '.') + 1;
    c->claims[-1] = c->signature[-1] = '\0';
}

static size_t join(char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static size_t join(char *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, MINT_MAX, format, args);
    va_end(args);
    assert_in_range(n, 0, MINT_MAX - 1);
    return (size_t)n;
}

/* The forms in which the three parts come back. */
enum twist {
    AS_IT_IS,
    PADDED_HEADER,
    PADDED_CLAIMS,
    PADDED_SIGNATURE,
    SPACE_IN_HEADER,
    LINE_END_IN_CLAIMS,
    LINE_END_BEHIND,
    SPACE_BEFORE,
    BEARER_BEFORE,
    QUOTED,
    ENCODED_DOTS,
    CLAIMS_FIRST,
    SIGNATURE_SECOND,
    TWICE,
    FOURTH_PART,
    FIVE_PARTS,
    ONE_DOT,
    NO_DOT,
    EMPTY_HEADER,
    DETACHED,
    NO_SIGNATURE,
    NO_LAST_DOT,
    FLATTENED_JSON,
    OTHER_CLAIMS,
    NONE_KEEPS_SIGNATURE,
    NONE_WITHOUT_SIGNATURE,
    OTHER_HEADER
};

static size_t twist(char *out, enum twist how, const struct cut *c)
{
    const char *h = c->header, *p = c->claims, *s = c->signature;
    static const char none[] = "eyJhbGciOiJub25lIn0", hs384[] = "eyJhbGciOiJIUzM4NCJ9";
    static const char admin[] = "eyJleHAiOjE4MDAwMDAwNjAsInRpZGluZ3MiOnsiYWRtaW4iOnRydWV9fQ";
    switch (how) {
    case PADDED_HEADER:
        return join(out, "%s=.%s.%s", h, p, s);
    case PADDED_CLAIMS:
        return join(out, "%s.%s==.%s", h, p, s);
    case PADDED_SIGNATURE:
        return join(out, "%s.%s.%s=", h, p, s);
    case SPACE_IN_HEADER:
        return join(out, "%.4s %s.%s.%s", h, h + 4, p, s);
    case LINE_END_IN_CLAIMS:
        return join(out, "%s.%.4s\r\n%s.%s", h, p, p + 4, s);
    case LINE_END_BEHIND:
        return join(out, "%s.%s.%s\n", h, p, s);
    case SPACE_BEFORE:
        return join(out, " %s.%s.%s", h, p, s);
    case BEARER_BEFORE:
        return join(out, "Bearer %s.%s.%s", h, p, s);
    case QUOTED:
        return join(out, "\"%s.%s.%s\"", h, p, s);
    case ENCODED_DOTS:
        return join(out, "%s%%2E%s%%2E%s", h, p, s);
    case CLAIMS_FIRST:
        return join(out, "%s.%s.%s", p, h, s);
    case SIGNATURE_SECOND:
        return join(out, "%s.%s.%s", h, s, p);
    case TWICE:
        return join(out, "%s.%s.%s.%s.%s.%s", h, p, s, h, p, s);
    case FOURTH_PART:
        return join(out, "%s.%s.%s.%s", h, p, s, s);
    case FIVE_PARTS:
        return join(out, "%s.%s.%s.%s.%s", h, p, s, p, s);
    case ONE_DOT:
        return join(out, "%s.%s%s", h, p, s);
    case NO_DOT:
        return join(out, "%s%s%s", h, p, s);
    case EMPTY_HEADER:
        return join(out, ".%s.%s", p, s);
    case DETACHED:
        return join(out, "%s..%s", h, s);
    case NO_SIGNATURE:
        return join(out, "%s.%s.", h, p);
    case NO_LAST_DOT:
        return join(out, "%s.%s", h, p);
    case FLATTENED_JSON:
        return join(out, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}", h, p, s);
    case OTHER_CLAIMS:
        return join(out, "%s.%s.%s", h, admin, s);
    case NONE_KEEPS_SIGNATURE:
        return join(out, "%s.%s.%s", none, p, s);
    case NONE_WITHOUT_SIGNATURE:
        return join(out, "%s.%s.", none, p);
    case OTHER_HEADER:
        return join(out, "%s.%s.%s", hs384, p, s);
    default:
        return join(out, "%s.%s.%s", h, p, s);
    }
}

/* ---- the table ---- */

struct row {
    const char *what, *header, *claims;
    const char *alg; /* how it is really signed, whatever its header says */
    enum signer signer;
    enum ring ring;
    enum twist twist;
    enum token_result result;
};

#define TEXT(what, twist, result)                                                                            \
    {                                                                                                        \
        what, HS, GOOD, "HS256", THE_SECRET, BY_SECRET, twist, TOKEN_##result                                \
    }
#define HEAD(what, header, result)                                                                           \
    {                                                                                                        \
        what, header, GOOD, "HS256", THE_SECRET, BY_SECRET, AS_IT_IS, TOKEN_##result                         \
    }
#define SAYS(what, claims, result)                                                                           \
    {                                                                                                        \
        what, HS, claims, "HS256", THE_SECRET, BY_SECRET, AS_IT_IS, TOKEN_##result                           \
    }
#define ENTRY(what, ours, result) SAYS(what, "{\"tidings\":{" ours "}" EXP "}", result)
#define SIGN(what, header, alg, signer, ring, result)                                                        \
    {                                                                                                        \
        what, header, GOOD, alg, signer, ring, AS_IT_IS, TOKEN_##result                                      \
    }
#define KID(kid)     "{\"alg\":\"ES256\",\"kid\":" kid "}"
#define WITH(member) "{\"alg\":\"ES256\"," member "}"

static const struct row rows[] = {
    /* Bent after it was signed. */
    TEXT("padding behind the header", PADDED_HEADER, MALFORMED),
    TEXT("padding behind the claims", PADDED_CLAIMS, MALFORMED),
    TEXT("padding behind the signature", PADDED_SIGNATURE, SIGNATURE),
    TEXT("a space in the header", SPACE_IN_HEADER, MALFORMED),
    TEXT("a line end in the claims", LINE_END_IN_CLAIMS, MALFORMED),
    TEXT("a line end behind all", LINE_END_BEHIND, SIGNATURE),
    TEXT("a space before all", SPACE_BEFORE, MALFORMED),
    TEXT("Bearer before all", BEARER_BEFORE, MALFORMED),
    TEXT("in quotes", QUOTED, MALFORMED),
    TEXT("percent-encoded dots", ENCODED_DOTS, MALFORMED),
    TEXT("claims before the header", CLAIMS_FIRST, ALGORITHM),
    TEXT("signature before the claims", SIGNATURE_SECOND, SIGNATURE),
    TEXT("twice in a row", TWICE, MALFORMED),
    TEXT("a fourth part", FOURTH_PART, MALFORMED),
    TEXT("five parts, as an encrypted one has", FIVE_PARTS, MALFORMED),
    TEXT("one dot", ONE_DOT, MALFORMED),
    TEXT("no dot", NO_DOT, MALFORMED),
    TEXT("an empty header", EMPTY_HEADER, MALFORMED),
    TEXT("detached claims", DETACHED, MALFORMED),
    TEXT("an empty signature", NO_SIGNATURE, SIGNATURE),
    TEXT("no signature at all", NO_LAST_DOT, MALFORMED),
    TEXT("as JSON (RFC 7515 section 7.2)", FLATTENED_JSON, MALFORMED),
    TEXT("claims of an admin under the signature of others", OTHER_CLAIMS, SIGNATURE),
    TEXT("none, with the signature that was there", NONE_KEEPS_SIGNATURE, ALGORITHM),
    TEXT("none, without", NONE_WITHOUT_SIGNATURE, ALGORITHM),
    TEXT("HS384 in the header, signed as HS256", OTHER_HEADER, SIGNATURE),

    /* Headers. */
    HEAD("a member twice that nobody reads", "{\"alg\":\"HS256\",\"x\":1,\"x\":2}", MALFORMED),
    HEAD("alg twice, both the same", "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", MALFORMED),
    HEAD("alg of an encrypted one", "{\"alg\":\"dir\",\"enc\":\"A256GCM\"}", HEADER),
    HEAD("alg is an object", "{\"alg\":{\"HS256\":1}}", ALGORITHM),
    HEAD("alg is empty", "{\"alg\":\"\"}", ALGORITHM),
    HEAD("alg with a NUL", "{\"alg\":\"HS256\\u0000\"}", MALFORMED),
    HEAD("alg with something behind it", "{\"alg\":\"HS256none\"}", ALGORITHM),
    HEAD("ALG", "{\"ALG\":\"HS256\"}", ALGORITHM),
    HEAD("crit is null", "{\"alg\":\"HS256\",\"crit\":null}", HEADER),
    HEAD("crit names an extension", "{\"alg\":\"HS256\",\"crit\":[\"http://x\"],\"http://x\":1}", HEADER),
    HEAD("b64 true", "{\"alg\":\"HS256\",\"b64\":true}", HEADER),
    HEAD("an id token of somebody", "{\"alg\":\"HS256\",\"typ\":\"logout+jwt\"}", HEADER),
    HEAD("typ JWE", "{\"alg\":\"HS256\",\"typ\":\"JWE\"}", HEADER),
    HEAD("typ is null", "{\"alg\":\"HS256\",\"typ\":null}", HEADER),
    HEAD("kid is null", "{\"alg\":\"HS256\",\"kid\":null}", HEADER),
    HEAD("header in single quotes", "{'alg':'HS256'}", MALFORMED),
    HEAD("a comma too many", "{\"alg\":\"HS256\",}", MALFORMED),
    HEAD("a comment", "{\"alg\":\"HS256\"/* */}", MALFORMED),
    HEAD("header is null", "null", MALFORMED),
    HEAD("header is a number", "1", MALFORMED),
    HEAD("a control in a string", "{\"alg\":\"HS256\",\"x\":\"\x01\"}", MALFORMED),

    /* Claims: when. */
    SAYS("exp is an object", "{\"exp\":{\"$date\":1800000060}}", CLAIMS),
    SAYS("exp is false", "{\"exp\":false}", CLAIMS),
    SAYS("exp is empty text", "{\"exp\":\"\"}", CLAIMS),
    SAYS("exp beyond what a date can be", "{\"exp\":8640000000001}", CLAIMS),
    SAYS("exp in milliseconds, far beyond", "{\"exp\":180000006000000}", CLAIMS),
    SAYS("exp beyond 64 bits", "{\"exp\":18446744073709551676}", CLAIMS),
    SAYS("exp is minus zero", "{\"exp\":-0.0}", EXPIRED),
    SAYS("exp is minus infinity", "{\"exp\":-Infinity}", MALFORMED),
    SAYS("exp is too large a power", "{\"exp\":1e99999}", CLAIMS),
    SAYS("exp in hexadecimal", "{\"exp\":0x6B49D23C}", MALFORMED),
    SAYS("exp with a plus", "{\"exp\":+1800000060}", MALFORMED),
    SAYS("exp with a zero before it", "{\"exp\":01800000060}", MALFORMED),
    SAYS("exp almost now", "{\"exp\":1800000000.0000001}", EXPIRED),
    SAYS("EXP", "{\"EXP\":1800000060}", NO_EXPIRY),
    SAYS("exp within tidings", "{\"tidings\":{\"exp\":1800000060}}", NO_EXPIRY),
    SAYS("exp twice, once with an escape", "{\"exp\":1800000060,\"\\u0065xp\":1800009999}", MALFORMED),
    SAYS("exp with a NUL in its name", "{\"exp\\u0000\":1800000060}", MALFORMED),
    SAYS("nbf is negative", "{\"nbf\":-1" EXP "}", CLAIMS),
    SAYS("nbf is null", "{\"nbf\":null" EXP "}", CLAIMS),
    SAYS("nbf is huge", "{\"nbf\":1e300" EXP "}", CLAIMS),
    SAYS("nbf in some hundred years", "{\"nbf\":16000000000" EXP "}", TOO_EARLY),
    SAYS("iat is negative", "{\"iat\":-5" EXP "}", CLAIMS),
    SAYS("iat is null", "{\"iat\":null" EXP "}", CLAIMS),

    /* Claims: who. */
    SAYS("sub of 129 bytes", "{\"sub\":\"" X64 X64 "x\"" EXP "}", CLAIMS),
    SAYS("sub is true", "{\"sub\":true" EXP "}", CLAIMS),
    SAYS("sub is an object", "{\"sub\":{\"id\":\"ada\"}" EXP "}", CLAIMS),
    SAYS("sub with DEL", "{\"sub\":\"ada\x7f\"" EXP "}", CLAIMS),
    SAYS("sub with a control of C1", "{\"sub\":\"ada\xc2\x85\"" EXP "}", CLAIMS),
    SAYS("sub with an overlong NUL", "{\"sub\":\"ada\xc0\x80\"" EXP "}", MALFORMED),
    SAYS("sub with an encoded surrogate", "{\"sub\":\"\xed\xa0\x80\"" EXP "}", MALFORMED),
    SAYS("sub with surrogates the wrong way round", "{\"sub\":\"\\udc00\\ud800\"" EXP "}", MALFORMED),
    SAYS("sub ends within a character", "{\"sub\":\"ada\xe2\x82\"" EXP "}", MALFORMED),
    SAYS("sub with a return", "{\"sub\":\"ada\\r\"" EXP "}", CLAIMS),
    SAYS("jti is empty", "{\"jti\":\"\"" EXP "}", CLAIMS),
    SAYS("jti of 256 bytes", "{\"jti\":\"" X64 X64 X64 X64 "\"" EXP "}", CLAIMS),
    SAYS("iss is null", "{\"iss\":null" EXP "}", CLAIMS),
    SAYS("aud is null", "{\"aud\":null" EXP "}", CLAIMS),
    SAYS("aud is an object", "{\"aud\":{\"hub\":true}" EXP "}", CLAIMS),
    SAYS("aud is a list of lists", "{\"aud\":[[\"hub\"]]" EXP "}", CLAIMS),

    /* Claims: what for. */
    SAYS("tidings is null", "{\"tidings\":null" EXP "}", CLAIMS),
    SAYS("tidings is true", "{\"tidings\":true" EXP "}", CLAIMS),
    SAYS("tidings twice", "{\"tidings\":{},\"tidings\":{\"admin\":true}" EXP "}", MALFORMED),
    ENTRY("admin twice", "\"admin\":false,\"admin\":true", MALFORMED),
    ENTRY("admin is null", "\"admin\":null", CLAIMS),
    ENTRY("admin is a list", "\"admin\":[true]", CLAIMS),
    ENTRY("subscribe is null", "\"subscribe\":null", CLAIMS),
    ENTRY("subscribe is an object", "\"subscribe\":{\"0\":\"*\"}", CLAIMS),
    ENTRY("subscribe holds a list", "\"subscribe\":[[\"*\"]]", CLAIMS),
    ENTRY("subscribe holds null", "\"subscribe\":[null]", CLAIMS),
    ENTRY("subscribe with a control", "\"subscribe\":[\"news\\t\"]", CLAIMS),
    ENTRY("a topic of 257 bytes", "\"subscribe\":[\"" X64 X64 X64 X64 "x\"]", CLAIMS),
    ENTRY("publish is text", "\"publish\":\"*\"", CLAIMS),
    ENTRY("publish holds true", "\"publish\":[true]", CLAIMS),
    ENTRY("publish holds nothing", "\"publish\":[\"\"]", CLAIMS),
    ENTRY("one good target and a bad one", "\"publish\":[\"broadcast\",\"all\"]", CLAIMS),
    ENTRY("broadcast with a star", "\"publish\":[\"broadcast*\"]", CLAIMS),
    ENTRY("two stars", "\"publish\":[\"**\"]", CLAIMS),
    ENTRY("a space before a target", "\"publish\":[\" broadcast\"]", CLAIMS),
    ENTRY("client without a name", "\"publish\":[\"client:\"]", CLAIMS),
    ENTRY("a client of 129 bytes", "\"publish\":[\"client:" X64 X64 "x\"]", CLAIMS),
    ENTRY("Client", "\"publish\":[\"Client:ada\"]", CLAIMS),

    /* Claims: not even JSON, or not alone. */
    SAYS("a token in a token", "eyJhbGciOiJub25lIn0.e30.", MALFORMED),
    SAYS("a token in quotes", "\"eyJhbGciOiJub25lIn0.e30.\"", MALFORMED),
    SAYS("a byte order mark", "\xef\xbb\xbf" GOOD, MALFORMED),
    SAYS("two objects", GOOD GOOD, MALFORMED),
    SAYS("a list around them", "[" GOOD "]", MALFORMED),
    SAYS("not closed", "{\"sub\":\"ada", MALFORMED),
    SAYS("a member twice that nobody reads", "{\"x\":{\"y\":1,\"y\":2}" EXP "}", MALFORMED),

    /* Keys: one kind of key as another (RFC 8725 section 2.1). */
    SIGN("HMAC with the PEM text of the RSA key", HS, "HS256", RSA_PEM, BY_RSA, ALGORITHM),
    SIGN("HS512 with it", "{\"alg\":\"HS512\"}", "HS512", RSA_PEM, BY_RSA, ALGORITHM),
    SIGN("HMAC with the PEM text of the EC key", HS, "HS256", EC_PEM, BY_P256, ALGORITHM),
    SIGN("HMAC under the name of RS256", RS, "HS256", RSA_PEM, BY_RSA, SIGNATURE),
    SIGN("HMAC under the name of ES256", ES, "HS256", EC_PEM, BY_P256, SIGNATURE),
    SIGN("RS256 at a hub with a secret", RS, "RS256", RSA_, BY_SECRET, ALGORITHM),
    SIGN("ES256 at a hub with a secret", ES, "ES256", P256, BY_SECRET, ALGORITHM),
    SIGN("RS256 at a hub with an EC key", RS, "RS256", RSA_, BY_P256, ALGORITHM),
    SIGN("ES256 at a hub with an RSA key", ES, "ES256", P256, BY_RSA, ALGORITHM),
    SIGN("RS256 by another key", RS, "RS256", OTHER_RSA, BY_RSA, SIGNATURE),
    SIGN("PS256 by another key", PS, "PS256", OTHER_RSA, BY_RSA, SIGNATURE),
    SIGN("PS256 under the name of RS256", RS, "PS256", RSA_, BY_RSA, SIGNATURE),
    SIGN("RS256 under the name of PS256", PS, "RS256", RSA_, BY_RSA, SIGNATURE),
    SIGN("RS512 under the name of RS256", RS, "RS512", RSA_, BY_RSA, SIGNATURE),
    SIGN("PS512 under the name of PS256", PS, "PS512", RSA_, BY_RSA, SIGNATURE),
    SIGN("PS256 with a key of a set that is for RS256", PS, "PS256", RSA_, BY_ONLY_RS256, ALGORITHM),
    SIGN("ES256 by a stranger", ES, "ES256", STRANGER, BY_P256, SIGNATURE),
    SIGN("ES256 with a key on P-384", ES, "ES256", P384, BY_P384, ALGORITHM),
    SIGN("ES384 with a key on P-256", "{\"alg\":\"ES384\"}", "ES384", P256, BY_P256, ALGORITHM),
    SIGN("ES256 under the name of ES512", "{\"alg\":\"ES512\"}", "ES256", P521, BY_P521, SIGNATURE),
    SIGN("ES512 by a key on P-384", "{\"alg\":\"ES512\"}", "ES512", P384, BY_P521, SIGNATURE),
    SIGN("ES256 in DER", ES, "EDER", P256, BY_P256, SIGNATURE),
    SIGN("ES256K", "{\"alg\":\"ES256K\"}", "ES256", P256, BY_P256, ALGORITHM),

    /* Keys: that the token brings or names itself (RFC 8725 section 3.10). */
    SIGN("jwk", WITH("\"jwk\":{\"kty\":\"EC\"}"), "ES256", STRANGER, BY_P256, SIGNATURE),
    SIGN("jku", WITH("\"jku\":\"https://evil.example/keys\""), "ES256", STRANGER, BY_P256, SIGNATURE),
    SIGN("x5u", WITH("\"x5u\":\"file:///etc/passwd\""), "ES256", STRANGER, BY_P256, SIGNATURE),
    SIGN("x5c", WITH("\"x5c\":[\"MIIB\"]"), "ES256", STRANGER, BY_P256, SIGNATURE),
    SIGN("kid names nobody", KID("\"three\""), "ES256", P256, BY_SET, KEY),
    SIGN("kid is empty", KID("\"\""), "ES256", P256, BY_SET, KEY),
    SIGN("kid is a path", KID("\"../../../dev/null\""), "ES256", P256, BY_SET, KEY),
    SIGN("kid is a query", KID("\"one' OR '1'='1\""), "ES256", P256, BY_SET, KEY),
    SIGN("kid in capitals", KID("\"ONE\""), "ES256", P256, BY_SET, KEY),
    SIGN("kid with something behind it", KID("\"one \""), "ES256", P256, BY_SET, KEY),
    SIGN("kid is very long", KID("\"" X64 X64 X64 X64 X64 "\""), "ES256", P256, BY_SET, KEY),
    SIGN("kid is a list", KID("[\"one\"]"), "ES256", P256, BY_SET, HEADER),
    SIGN("kid of another key", KID("\"two\""), "ES256", P256, BY_SET, SIGNATURE),
    SIGN("any key of the set, but a stranger's", ES, "ES256", P521, BY_SET, SIGNATURE),

    /* Control: these are good. */
    TEXT("an honest one", AS_IT_IS, OK),
    SAYS("exp is a fraction", "{\"exp\":1800000000.5}", OK),
    SAYS("exp is a power", "{\"exp\":1.80000006e9}", OK),
    SAYS("exp with an escape", "{\"\\u0065xp\":1800000060}", OK),
    SAYS("sub of 128 bytes", "{\"sub\":\"" X64 X64 "\"" EXP "}", OK),
    SAYS("sub in other letters", "{\"sub\":\"\xd0\xb0\xd0\xb4\xd0\xb0\"" EXP "}", OK),
    SAYS("jti of 255 bytes",
         "{\"jti\":\"" X64 X64 X64 "xxxxxxxxxxxxxxx" /* 207 */
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"" EXP "}",
         OK),
    ENTRY("every kind of right",
          "\"subscribe\":[\"news\",\"room:*\",\"*\"],\"admin\":true,\"publish\":[\"*\",\"broadcast\","
          "\"client:a*\",\"topic:*\"]",
          OK),
    HEAD("application/at+JWT", "{\"alg\":\"HS256\",\"typ\":\"application/at+JWT\"}", OK),
    SIGN("RS256", RS, "RS256", RSA_, BY_RSA, OK),
    SIGN("PS256", PS, "PS256", RSA_, BY_RSA, OK),
    SIGN("RS256 with a key for it alone", RS, "RS256", RSA_, BY_ONLY_RS256, OK),
    SIGN("ES256", ES, "ES256", P256, BY_P256, OK),
    SIGN("ES384", "{\"alg\":\"ES384\"}", "ES384", P384, BY_P384, OK),
    SIGN("ES512", "{\"alg\":\"ES512\"}", "ES512", P521, BY_P521, OK),
    SIGN("kid of its key", KID("\"one\""), "ES256", P256, BY_SET, OK),
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* ---- the bench ---- */

static struct token_keys *ring_of(const char *secret, const char *pem, const char *jwks)
{
    struct token_keys *keys = NULL;
    char error[256] = "";
    const struct token_sources from = {secret, secret ? strlen(secret) : 0, pem, pem ? strlen(pem) : 0,
                                       jwks,   jwks ? strlen(jwks) : 0};
    if (token_keys_create(&keys, &from, error, sizeof(error)) < 0)
        fail_msg("%s", error);
    return keys;
}

static struct token_keys *ring_of_pem(EVP_PKEY *pair)
{
    char *pem = mint_pem(pair);
    struct token_keys *keys = ring_of(NULL, pem, NULL);
    free(pem);
    return keys;
}

static void make_sets(void)
{
    char set[12000], *rsa = mint_jwk(pairs[RSA_]), *one = mint_jwk(pairs[P256]);
    EVP_PKEY *second = mint_ec("P-256");
    char *two = mint_jwk(second);
    snprintf(set, sizeof(set), "{\"keys\":[{%s,\"kid\":\"one\"},{%s,\"kid\":\"two\"}]}", one, two);
    rings[BY_SET] = ring_of(NULL, NULL, set);
    snprintf(set, sizeof(set), "{\"keys\":[{%s,\"alg\":\"RS256\"}]}", rsa);
    rings[BY_ONLY_RS256] = ring_of(NULL, NULL, set);
    EVP_PKEY_free(second);
    free(rsa);
    free(one);
    free(two);
}

static int set_up(void **state)
{
    (void)state;
    pairs[RSA_] = mint_rsa(2048);
    pairs[OTHER_RSA] = mint_rsa(2048);
    pairs[P256] = mint_ec("P-256");
    pairs[P384] = mint_ec("P-384");
    pairs[P521] = mint_ec("P-521");
    pairs[STRANGER] = mint_ec("P-256");
    rsa_pem = mint_pem(pairs[RSA_]);
    ec_pem = mint_pem(pairs[P256]);
    rings[BY_SECRET] = ring_of(SECRET, NULL, NULL);
    rings[BY_RSA] = ring_of_pem(pairs[RSA_]);
    rings[BY_P256] = ring_of_pem(pairs[P256]);
    rings[BY_P384] = ring_of_pem(pairs[P384]);
    rings[BY_P521] = ring_of_pem(pairs[P521]);
    make_sets();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RINGS; i++)
        token_keys_destroy(rings[i]);
    for (unsigned i = 0; i <= STRANGER; i++)
        EVP_PKEY_free(pairs[i]);
    free(rsa_pem);
    free(ec_pem);
    return 0;
}

static const char *secret_of(enum signer signer)
{
    return signer == RSA_PEM ? rsa_pem : signer == EC_PEM ? ec_pem : SECRET;
}

static enum token_result verify(enum ring ring, const char *text, size_t len)
{
    static const struct token_rules plain = {.leeway_ms = 0};
    struct token_claims *claims = NULL;
    char *exact = malloc(len ? len : 1); /* where a checker sees over-reads */
    assert_non_null(exact);
    memcpy(exact, text, len);
    enum token_result result = token_verify(rings[ring], &plain, (struct span){exact, len}, NOW, &claims);
    assert_int_equal(result == TOKEN_OK, claims != NULL);
    token_claims_free(claims);
    free(exact);
    return result;
}

static void expect(enum ring ring, const char *text, size_t len, enum token_result wanted, const char *what)
{
    enum token_result result = verify(ring, text, len);
    if (result != wanted)
        fail_msg("%s: %s instead of %s", what, result ? token_code(result) : "believed",
                 wanted ? token_code(wanted) : "believed");
}

static void test_table(void **state)
{
    (void)state;
    char made[MINT_MAX], text[MINT_MAX];
    struct cut parts;
    unsigned refused = 0;
    for (unsigned i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        mint(made, r->header, r->claims, r->alg, secret_of(r->signer), pairs[r->signer]);
        cut(&parts, made);
        expect(r->ring, text, twist(text, r->twist, &parts), r->result, r->what);
        refused += r->result != TOKEN_OK;
    }
    print_message("%u hostile tokens refused, %u honest ones believed\n", refused, (unsigned)ROWS - refused);
    assert_true(refused >= 60 && refused < ROWS);
}

/* ---- signatures of the wrong size or value ---- */

/* header.claims. of the alg, and the bytes of its signature. */
static size_t sign(char *text, unsigned char *signature, const char *alg, EVP_PKEY *pair)
{
    char header[64];
    snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", alg);
    mint(text, header, GOOD, alg, SECRET, pair);
    char *dot = strrchr(text, '.') + 1;
    ssize_t n = text_base64url(dot, strlen(dot), (char *)signature);
    assert_true(n > 0);
    *dot = '\0';
    return (size_t)n;
}

static void expect_signature(enum ring ring, const char *text, const unsigned char *signature, size_t n,
                             enum token_result wanted, const char *what)
{
    char whole[MINT_MAX];
    size_t len = join(whole, "%s", text);
    len += mint_encode(whole + len, signature, n);
    expect(ring, whole, len, wanted, what);
}

static const struct {
    const char *alg;
    enum signer signer;
    enum ring ring;
} kinds[] = {
    {"HS256", THE_SECRET, BY_SECRET}, {"HS384", THE_SECRET, BY_SECRET}, {"HS512", THE_SECRET, BY_SECRET},
    {"RS256", RSA_, BY_RSA},          {"RS384", RSA_, BY_RSA},          {"RS512", RSA_, BY_RSA},
    {"PS256", RSA_, BY_RSA},          {"PS384", RSA_, BY_RSA},          {"PS512", RSA_, BY_RSA},
    {"ES256", P256, BY_P256},         {"ES384", P384, BY_P384},         {"ES512", P521, BY_P521}};

/* Of each algorithm: one byte more or less at either end, twice, nothing, and every bit. */
static void test_sizes_of_signatures(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char text[MINT_MAX];
        unsigned char room[2048] = {0}, *s = room + 1;
        enum ring ring = kinds[i].ring;
        const char *alg = kinds[i].alg;
        size_t n = sign(text, s, alg, pairs[kinds[i].signer]);
        expect_signature(ring, text, s, n, TOKEN_OK, alg);
        expect_signature(ring, text, s, n + 1, TOKEN_SIGNATURE, "a zero behind it");
        expect_signature(ring, text, room, n + 1, TOKEN_SIGNATURE, "a zero before it");
        expect_signature(ring, text, room, n + 2, TOKEN_SIGNATURE, "a zero on both sides");
        expect_signature(ring, text, s, n - 1, TOKEN_SIGNATURE, "cut behind");
        expect_signature(ring, text, s + 1, n - 1, TOKEN_SIGNATURE, "cut before");
        expect_signature(ring, text, s, n / 2, TOKEN_SIGNATURE, "half of it");
        expect_signature(ring, text, s, 1, TOKEN_SIGNATURE, "one byte");
        memcpy(s + n, s, n);
        expect_signature(ring, text, s, 2 * n, TOKEN_SIGNATURE, "twice");
        for (size_t bit = 0; bit<8 * n; bit += n> 128 ? 13 : 3) {
            s[bit / 8] ^= (unsigned char)(1 << bit % 8);
            expect_signature(ring, text, s, n, TOKEN_SIGNATURE, "a bit of it");
            s[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
}

/* r and s, each with a zero before it: the same numbers in another length (RFC 7518 section 3.4 forbids it).
 */
static void test_wide_numbers(void **state)
{
    (void)state;
    for (unsigned i = 9; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char text[MINT_MAX];
        unsigned char s[256], wide[300] = {0};
        size_t n = sign(text, s, kinds[i].alg, pairs[kinds[i].signer]), half = n / 2;
        for (size_t more = 1; more <= 3; more++) {
            memset(wide, 0, sizeof(wide));
            memcpy(wide + more, s, half);
            memcpy(wide + half + 2 * more, s + half, half);
            expect_signature(kinds[i].ring, text, wide, n + 2 * more, TOKEN_SIGNATURE, kinds[i].alg);
        }
    }
}

/* An RSA signature that begins with a zero is still as long as the modulus (RFC 8017 section 8.1.2). */
static void test_short_rsa(void **state)
{
    (void)state;
    for (unsigned i = 3; i < 9; i += 3) {
        char text[MINT_MAX], claims[64], header[64];
        unsigned char s[512];
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", kinds[i].alg);
        ssize_t n = 0;
        s[0] = 1;
        for (unsigned k = 0; s[0] != 0; k++) {
            assert_in_range(k, 0, 20000);
            snprintf(claims, sizeof(claims), "{\"jti\":\"%u\"" EXP "}", k);
            mint(text, header, claims, kinds[i].alg, NULL, pairs[RSA_]);
            char *dot = strrchr(text, '.') + 1;
            n = text_base64url(dot, strlen(dot), (char *)s);
        }
        *(strrchr(text, '.') + 1) = '\0';
        expect_signature(BY_RSA, text, s, (size_t)n, TOKEN_OK, "with its zero");
        expect_signature(BY_RSA, text, s + 1, (size_t)n - 1, TOKEN_SIGNATURE, "without its zero");
    }
}

/* Numbers that make lazy formulas true: 0, 1, the order, the modulus. */
static void test_values_of_signatures(void **state)
{
    (void)state;
    static const unsigned char order[] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                          0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    char text[MINT_MAX];
    unsigned char s[512], made[512] = {0};
    assert_int_equal(sign(text, s, "ES256", pairs[P256]), 64);
    expect_signature(BY_P256, text, made, 64, TOKEN_SIGNATURE, "r = s = 0 (CVE-2022-21449)");
    made[31] = made[63] = 1;
    expect_signature(BY_P256, text, made, 64, TOKEN_SIGNATURE, "r = s = 1");
    memcpy(made, order, 32);
    memcpy(made + 32, order, 32);
    expect_signature(BY_P256, text, made, 64, TOKEN_SIGNATURE, "r = s = the order");
    memcpy(made, s + 32, 32);
    memcpy(made + 32, s, 32);
    expect_signature(BY_P256, text, made, 64, TOKEN_SIGNATURE, "s before r");
    memset(made, 0, sizeof(made));
    size_t n = sign(text, s, "RS256", pairs[RSA_]);
    expect_signature(BY_RSA, text, made, n, TOKEN_SIGNATURE, "0 to the e");
    made[n - 1] = 1;
    expect_signature(BY_RSA, text, made, n, TOKEN_SIGNATURE, "1 to the e");
    memset(made, 0xff, sizeof(made));
    expect_signature(BY_RSA, text, made, n, TOKEN_SIGNATURE, "beyond the modulus");
}

/* ---- the other spelling of the same bytes ---- */

static void test_other_alphabet(void **state)
{
    (void)state;
    char text[MINT_MAX], claims[64], *at = NULL, *dot = NULL;
    for (unsigned k = 0; !at; k++) {
        snprintf(claims, sizeof(claims), "{\"jti\":\"%u\"" EXP "}", k);
        mint(text, HS, claims, "HS256", SECRET, NULL);
        dot = strrchr(text, '.');
        at = strpbrk(dot, "-_");
    }
    *at = *at == '-' ? '+' : '/';
    expect(BY_SECRET, text, strlen(text), TOKEN_SIGNATURE, "+ or /");
}

static void test_spare_bits(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char text[MINT_MAX];
    mint(text, HS, GOOD, "HS256", SECRET, NULL);
    char *last = text + strlen(text) - 1;
    ptrdiff_t value = strchr(digits, *last) - digits;
    for (ptrdiff_t spare = 1; spare < 4; spare++) {
        *last = digits[value + spare];
        expect(BY_SECRET, text, strlen(text), TOKEN_SIGNATURE, "bits behind the signature");
    }
}

/* Claims that nobody has signed reach the decoder of base64 first: none of these may end the process. */
static void test_any_claims_unsigned(void **state)
{
    (void)state;
    static const char *const claims[] = {
        "A",   "A=",    "A==", "A===", "AA=",  "AA==", "AAA=", "AAAAA=", "AAAA=", "=",   "==",  "=A",
        "A=A", "AAAAA", "+",   "/",    "AA+A", "%",    "AA.",  "\xff",   " ",     "A\n", "AAAA"};
    char text[MINT_MAX], long_one[4096];
    for (unsigned i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        size_t n =
            join(text, "eyJhbGciOiJIUzI1NiJ9.%s.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", claims[i]);
        bool good = strcmp(claims[i], "AAAA") == 0;
        expect(BY_SECRET, text, n, good ? TOKEN_SIGNATURE : TOKEN_MALFORMED, claims[i]);
    }
    for (size_t n = 1; n < sizeof(long_one) - 1; n += 61) {
        memset(long_one, 'A', n);
        long_one[n] = '\0';
        long_one[n - 1] = '=';
        size_t len =
            join(text, "eyJhbGciOiJIUzI1NiJ9.%s.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", long_one);
        expect(BY_SECRET, text, len, TOKEN_MALFORMED, "long claims with padding");
    }
}

/* Whatever a key set holds: the process lives, and the keys beside it are good. */
static void test_any_key_set(void **state)
{
    (void)state;
    static const char *const odd[] = {"{\"kty\":\"oct\",\"k\":\"A=\"}",
                                      "{\"kty\":\"oct\",\"k\":\"AAAAA\"}",
                                      "{\"kty\":\"oct\",\"k\":\"\"}",
                                      "{\"kty\":\"oct\",\"k\":7}",
                                      "{\"kty\":\"oct\"}",
                                      "{\"kty\":\"RSA\",\"n\":\"A=\",\"e\":\"AQAB\"}",
                                      "{\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"A=\"}",
                                      "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}",
                                      "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"A=\",\"y\":\"A=\"}",
                                      "{\"kty\":\"EC\",\"crv\":7}",
                                      "{\"kty\":7}",
                                      "{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"A=\"}",
                                      "{}",
                                      "[]",
                                      "null"};
    char set[1024], text[MINT_MAX];
    mint(text, HS, GOOD, "HS256", SECRET, NULL);
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        char secret[128], error[256], empty[MINT_MAX];
        struct token_keys *kept = rings[BY_SECRET], *keys = NULL;
        mint_encode(secret, SECRET, strlen(SECRET));
        snprintf(set, sizeof(set), "{\"keys\":[%s,{\"kty\":\"oct\",\"k\":\"%s\"}]}", odd[i], secret);
        rings[BY_SECRET] = ring_of(NULL, NULL, set);
        expect(BY_SECRET, text, strlen(text), TOKEN_OK, odd[i]);
        mint(empty, HS, GOOD, "HS256", "", NULL);
        expect(BY_SECRET, empty, strlen(empty), TOKEN_SIGNATURE, odd[i]);
        token_keys_destroy(rings[BY_SECRET]);
        rings[BY_SECRET] = kept;
        snprintf(set, sizeof(set), "{\"keys\":[%s]}", odd[i]);
        const struct token_sources from = {.jwks = set, .jwks_len = strlen(set)};
        assert_int_equal(token_keys_create(&keys, &from, error, sizeof(error)), TIDINGS_ECREDENTIALS);
        assert_non_null(strstr(error, "none of its keys"));
    }
}

static void test_nul_bytes(void **state)
{
    (void)state;
    char text[MINT_MAX];
    static const char claims[] = GOOD "\0", header[] = "\0" HS, hidden[] = "{\"sub\":\"ad\0a\"" EXP "}";
    static const char number[] = "{\"exp\":1800000060\0}", word[] = "{\"tidings\":{\"admin\":true\0}" EXP "}";
    mint(text, HS, GOOD, "HS256", SECRET, NULL);
    expect(BY_SECRET, text, strlen(text) + 1, TOKEN_SIGNATURE, "a NUL behind all");
    mint_bytes(text, HS, strlen(HS), claims, sizeof(claims) - 1, "HS256", SECRET, NULL);
    expect(BY_SECRET, text, strlen(text), TOKEN_MALFORMED, "a NUL behind the claims");
    mint_bytes(text, header, sizeof(header) - 1, GOOD, strlen(GOOD), "HS256", SECRET, NULL);
    expect(BY_SECRET, text, strlen(text), TOKEN_MALFORMED, "a NUL before the header");
    mint_bytes(text, HS, strlen(HS), hidden, sizeof(hidden) - 1, "HS256", SECRET, NULL);
    expect(BY_SECRET, text, strlen(text), TOKEN_MALFORMED, "a NUL in sub");
    mint_bytes(text, HS, strlen(HS), number, sizeof(number) - 1, "HS256", SECRET, NULL);
    expect(BY_SECRET, text, strlen(text), TOKEN_MALFORMED, "a NUL behind a number");
    mint_bytes(text, HS, strlen(HS), word, sizeof(word) - 1, "HS256", SECRET, NULL);
    expect(BY_SECRET, text, strlen(text), TOKEN_MALFORMED, "a NUL behind a word");
}

/* ---- too much ---- */

/* `n` times `one` between two texts, signed. */
static void expect_many(const char *before, const char *one, unsigned n, const char *behind,
                        enum token_result wanted)
{
    char claims[3 * MINT_MAX / 4 - 400], text[MINT_MAX];
    size_t len = (size_t)snprintf(claims, sizeof(claims), "%s", before);
    for (unsigned i = 0; i < n; i++)
        len += (size_t)snprintf(claims + len, sizeof(claims) - len, "%s", one);
    snprintf(claims + len, sizeof(claims) - len, "%s", behind);
    assert_true(len + strlen(behind) < sizeof(claims));
    mint(text, HS, claims, "HS256", SECRET, NULL);
    expect(BY_SECRET, text, strlen(text), wanted, before);
}

static void test_too_much(void **state)
{
    (void)state;
    expect_many("{\"tidings\":{\"subscribe\":[", "\"a\",", 255, "\"a\"]}" EXP "}", TOKEN_OK);
    expect_many("{\"tidings\":{\"subscribe\":[", "\"a\",", 256, "\"a\"]}" EXP "}", TOKEN_CLAIMS);
    expect_many("{\"tidings\":{\"publish\":[", "\"*\",", 255, "\"*\"]}" EXP "}", TOKEN_OK);
    expect_many("{\"tidings\":{\"publish\":[", "\"*\",", 256, "\"*\"]}" EXP "}", TOKEN_CLAIMS);
    expect_many("{\"x\":", "[", 3000, "", TOKEN_MALFORMED);
    expect_many("{\"x\":", "{\"x\":", 1000, "", TOKEN_MALFORMED);
    expect_many("{\"x\":\"", "x", 6000, "\"" EXP "}", TOKEN_OK);
    expect_many("{\"x\":\"", "x", 6100, "\"" EXP "}", TOKEN_TOO_LARGE);
    expect_many("{\"x\":\"", "x", 11000, "\"" EXP "}", TOKEN_TOO_LARGE);
}

/* Every depth: refused or believed, but the stack holds. */
static void test_deep(void **state)
{
    (void)state;
    char claims[7000], text[MINT_MAX];
    for (unsigned depth = 1; depth < 3000; depth += 97) {
        size_t at = (size_t)snprintf(claims, sizeof(claims), "{\"exp\":1800000060,\"x\":");
        memset(claims + at, '[', depth);
        memset(claims + at + depth, ']', depth);
        snprintf(claims + at + 2 * depth, sizeof(claims) - at - 2 * depth, "}");
        mint(text, HS, claims, "HS256", SECRET, NULL);
        expect(BY_SECRET, text, strlen(text),
               depth < JSON_DEPTH_MAX     ? TOKEN_OK
               : strlen(text) > TOKEN_MAX ? TOKEN_TOO_LARGE
                                          : TOKEN_MALFORMED,
               "deep");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_sizes_of_signatures),
        cmocka_unit_test(test_wide_numbers),
        cmocka_unit_test(test_short_rsa),
        cmocka_unit_test(test_values_of_signatures),
        cmocka_unit_test(test_other_alphabet),
        cmocka_unit_test(test_spare_bits),
        cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_any_claims_unsigned),
        cmocka_unit_test(test_any_key_set),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests_name("token_hostile", tests, set_up, tear_down);
}
