/* SPDX-License-Identifier: MIT
 *
 * test_token - what is believed, with every algorithm and every kind of key; a long table of what is not;
 * what the claims allow; and keys that are refused.
 */
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
#define OTHER  "another one of sixty-four bytes, which is not configured at all!"
#define NOW    UINT64_C(1800000000000) /* ms */
#define GOOD   "{\"sub\":\"ada\",\"exp\":1800000060}"
#define HS     "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static struct {
    EVP_PKEY *rsa, *p256, *p384, *p521, *stranger;
    char *rsa_pem, *p256_pem;
} made;

static int set_up(void **state)
{
    (void)state;
    made.rsa = mint_rsa(2048);
    made.p256 = mint_ec("P-256");
    made.p384 = mint_ec("P-384");
    made.p521 = mint_ec("P-521");
    made.stranger = mint_ec("P-256");
    made.rsa_pem = mint_pem(made.rsa);
    made.p256_pem = mint_pem(made.p256);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(made.rsa);
    EVP_PKEY_free(made.p256);
    EVP_PKEY_free(made.p384);
    EVP_PKEY_free(made.p521);
    EVP_PKEY_free(made.stranger);
    free(made.rsa_pem);
    free(made.p256_pem);
    return 0;
}

static struct token_keys *keys_of(const char *secret, const char *pem, const char *jwks)
{
    struct token_keys *keys = NULL;
    char error[256] = "";
    const struct token_sources from = {secret, secret ? strlen(secret) : 0, pem, pem ? strlen(pem) : 0,
                                       jwks,   jwks ? strlen(jwks) : 0};
    if (token_keys_create(&keys, &from, error, sizeof(error)) < 0)
        fail_msg("%s", error);
    return keys;
}

static const struct token_rules plain = {.leeway_ms = 0};

static enum token_result verify(const struct token_keys *keys, const struct token_rules *rules,
                                const char *text)
{
    struct token_claims *claims = NULL;
    enum token_result result = token_verify(keys, rules, span_of(text), NOW, &claims);
    assert_int_equal(result == TOKEN_OK, claims != NULL);
    token_claims_free(claims);
    return result;
}

static void expect(const struct token_keys *keys, const char *text, enum token_result wanted,
                   const char *what)
{
    enum token_result result = verify(keys, &plain, text);
    if (result != wanted)
        fail_msg("%s: %s instead of %s", what, token_code(result), token_code(wanted));
}

/* ---- what is believed ---- */

static void test_every_algorithm(void **state)
{
    (void)state;
    const struct {
        const char *alg;
        EVP_PKEY *key;
    } all[] = {{"HS256", NULL},     {"HS384", NULL},      {"HS512", NULL},      {"RS256", made.rsa},
               {"RS384", made.rsa}, {"RS512", made.rsa},  {"PS256", made.rsa},  {"PS384", made.rsa},
               {"PS512", made.rsa}, {"ES256", made.p256}, {"ES384", made.p384}, {"ES512", made.p521}};
    char text[MINT_MAX], header[64];
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char *pem = all[i].key ? mint_pem(all[i].key) : NULL, *jwk = all[i].key ? mint_jwk(all[i].key) : NULL;
        char set[6000];
        snprintf(set, sizeof(set), "{\"keys\":[{%s,\"kid\":\"k\",\"use\":\"sig\",\"alg\":\"%s\"}]}",
                 jwk ? jwk : "", all[i].alg);
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", all[i].alg);
        mint(text, header, GOOD, all[i].alg, SECRET, all[i].key);
        struct token_keys *keys = keys_of(all[i].key ? NULL : SECRET, pem, NULL);
        expect(keys, text, TOKEN_OK, all[i].alg);
        token_keys_destroy(keys);
        if (jwk) {
            keys = keys_of(NULL, NULL, set);
            expect(keys, text, TOKEN_OK, set);
            token_keys_destroy(keys);
        }
        free(pem);
        free(jwk);
    }
}

/* RFC 7515 appendix A.1 (HS256) and A.3 (ES256), to the letter. Their claims have expired in 2011. */
static void test_of_the_rfc(void **state)
{
    (void)state;
    static const char hs[] =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    static const char es[] =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    struct token_keys *keys =
        keys_of(NULL, NULL,
                "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
                "1qS0gZH75aKtMN3Yj0iPS4hcgUu"
                "TwjAzZr1Z9CAow\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
                "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}");
    struct token_claims *claims;
    assert_int_equal(token_verify(keys, &plain, span_of(hs), 1300819379000, &claims), TOKEN_OK);
    assert_int_equal(claims->expires, 1300819380000);
    assert_null(claims->subject.p);
    token_claims_free(claims);
    assert_int_equal(token_verify(keys, &plain, span_of(es), 1300819379000, &claims), TOKEN_OK);
    token_claims_free(claims);
    assert_int_equal(token_verify(keys, &plain, span_of(hs), 1300819380000, &claims), TOKEN_EXPIRED);
    token_keys_destroy(keys);
}

static void test_kid_chooses(void **state)
{
    (void)state;
    char set[8000], text[MINT_MAX];
    char *one = mint_jwk(made.p256), *two = mint_jwk(made.stranger);
    snprintf(set, sizeof(set), "{\"keys\":[{%s,\"kid\":\"one\"},{%s,\"kid\":\"two\"},{\"kty\":\"OKP\"},7]}",
             one, two);
    struct token_keys *keys = keys_of(NULL, NULL, set);
    mint(text, "{\"alg\":\"ES256\",\"kid\":\"two\"}", GOOD, "ES256", NULL, made.stranger);
    expect(keys, text, TOKEN_OK, "the key that it names");
    mint(text, "{\"alg\":\"ES256\"}", GOOD, "ES256", NULL, made.stranger);
    expect(keys, text, TOKEN_OK, "any key of the set");
    mint(text, "{\"alg\":\"ES256\",\"kid\":\"one\"}", GOOD, "ES256", NULL, made.stranger);
    expect(keys, text, TOKEN_SIGNATURE, "another key than it names");
    mint(text, "{\"alg\":\"ES256\",\"kid\":\"three\"}", GOOD, "ES256", NULL, made.stranger);
    expect(keys, text, TOKEN_KEY, "a key that is not there");
    token_keys_destroy(keys);
    free(one);
    free(two);
}

/* ---- what is not ---- */

struct hostile {
    const char *what, *header, *claims, *alg;
    enum token_result result;
};

#define C(what, claims, result)                                                                              \
    {                                                                                                        \
        what, HS, claims, "HS256", TOKEN_##result                                                            \
    }
#define H(what, header, alg, result)                                                                         \
    {                                                                                                        \
        what, header, GOOD, alg, TOKEN_##result                                                              \
    }
#define EXP ",\"exp\":1800000060"

/* Signed with the right secret, unless the row says otherwise. */
static const struct hostile hostile[] = {
    H("none", "{\"alg\":\"none\"}", "", ALGORITHM),
    H("None", "{\"alg\":\"None\"}", "", ALGORITHM),
    H("NONE", "{\"alg\":\"NONE\"}", "", ALGORITHM),
    H("nOnE with a signature", "{\"alg\":\"nOnE\"}", "HS256", ALGORITHM),
    H("no signature", HS, "", SIGNATURE),
    H("no alg", "{\"typ\":\"JWT\"}", "HS256", ALGORITHM),
    H("alg is null", "{\"alg\":null}", "HS256", ALGORITHM),
    H("alg is a number", "{\"alg\":256}", "HS256", ALGORITHM),
    H("alg is a list", "{\"alg\":[\"HS256\"]}", "HS256", ALGORITHM),
    H("alg in lower case", "{\"alg\":\"hs256\"}", "HS256", ALGORITHM),
    H("alg with a space", "{\"alg\":\"HS256 \"}", "HS256", ALGORITHM),
    H("alg twice", "{\"alg\":\"none\",\"alg\":\"HS256\"}", "HS256", MALFORMED),
    H("alg escaped twice", "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", "HS256", MALFORMED),
    H("EdDSA", "{\"alg\":\"EdDSA\"}", "HS256", ALGORITHM),
    H("ES256K", "{\"alg\":\"ES256K\"}", "HS256", ALGORITHM),
    H("HS1", "{\"alg\":\"HS1\"}", "HS256", ALGORITHM),
    H("RS256 without such a key", "{\"alg\":\"RS256\"}", "HS256", ALGORITHM),
    H("signed with another hash", "{\"alg\":\"HS384\"}", "HS256", SIGNATURE),
    H("crit", "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "HS256", HEADER),
    H("empty crit", "{\"alg\":\"HS256\",\"crit\":[]}", "HS256", HEADER),
    H("b64 false", "{\"alg\":\"HS256\",\"b64\":false}", "HS256", HEADER),
    H("an encrypted one", "{\"alg\":\"HS256\",\"enc\":\"A128GCM\"}", "HS256", HEADER),
    H("compressed", "{\"alg\":\"HS256\",\"zip\":\"DEF\"}", "HS256", HEADER),
    H("made for something else", "{\"alg\":\"HS256\",\"typ\":\"dpop+jwt\"}", "HS256", HEADER),
    H("typ is a number", "{\"alg\":\"HS256\",\"typ\":1}", "HS256", HEADER),
    H("kid is a number", "{\"alg\":\"HS256\",\"kid\":1}", "HS256", HEADER),
    H("kid is a path, no such algorithm", "{\"alg\":\"ES256\",\"kid\":\"../../dev/null\"}", "HS256", KEY),
    H("header is a list", "[\"HS256\"]", "HS256", MALFORMED),
    H("header is a string", "\"HS256\"", "HS256", MALFORMED),
    H("header is no JSON", "alg=HS256", "HS256", MALFORMED),
    H("something behind the header", "{\"alg\":\"HS256\"}{}", "HS256", MALFORMED),
    H("a byte order mark", "\xEF\xBB\xBF{\"alg\":\"HS256\"}", "HS256", MALFORMED),
    C("no claims", "{}", NO_EXPIRY),
    C("does not expire", "{\"sub\":\"ada\"}", NO_EXPIRY),
    C("expired", "{\"exp\":1799999999}", EXPIRED),
    C("expires now", "{\"exp\":1800000000}", EXPIRED),
    C("expired by a fraction", "{\"exp\":1799999999.9}", EXPIRED),
    C("expires in 1970", "{\"exp\":0}", EXPIRED),
    C("exp is text", "{\"exp\":\"1800000060\"}", CLAIMS),
    C("exp is negative", "{\"exp\":-1}", CLAIMS),
    C("exp is huge", "{\"exp\":1e300}", CLAIMS),
    C("exp beyond any number", "{\"exp\":1e400}", CLAIMS),
    C("exp is null", "{\"exp\":null}", CLAIMS),
    C("exp is true", "{\"exp\":true}", CLAIMS),
    C("exp is a list", "{\"exp\":[1800000060]}", CLAIMS),
    C("exp is not a number", "{\"exp\":NaN}", MALFORMED),
    C("exp twice", "{\"exp\":1,\"exp\":1800000060}", MALFORMED),
    C("not yet valid", "{\"nbf\":1800000001" EXP "}", TOO_EARLY),
    C("nbf is text", "{\"nbf\":\"0\"" EXP "}", CLAIMS),
    C("iat is text", "{\"iat\":\"0\"" EXP "}", CLAIMS),
    C("claims are a list", "[]", MALFORMED),
    C("claims are no JSON", "sub=ada", MALFORMED),
    C("claims are cut", "{\"sub\":\"ada\"" EXP, MALFORMED),
    C("sub is a number", "{\"sub\":1" EXP "}", CLAIMS),
    C("sub is a list", "{\"sub\":[\"ada\"]" EXP "}", CLAIMS),
    C("sub is empty", "{\"sub\":\"\"" EXP "}", CLAIMS),
    C("sub is null", "{\"sub\":null" EXP "}", CLAIMS),
    C("sub with a line end", "{\"sub\":\"ada\\n\"" EXP "}", CLAIMS),
    C("sub with a NUL", "{\"sub\":\"ada\\u0000\"" EXP "}", MALFORMED),
    C("sub with a lone surrogate", "{\"sub\":\"\\ud800\"" EXP "}", MALFORMED),
    C("sub is no UTF-8", "{\"sub\":\"\xff\"" EXP "}", MALFORMED),
    C("sub twice", "{\"sub\":\"eve\",\"sub\":\"ada\"" EXP "}", MALFORMED),
    C("jti is a number", "{\"jti\":1" EXP "}", CLAIMS),
    C("jti with a control", "{\"jti\":\"\\u0001\"" EXP "}", CLAIMS),
    C("iss is a list", "{\"iss\":[]" EXP "}", CLAIMS),
    C("aud is a number", "{\"aud\":1" EXP "}", CLAIMS),
    C("aud holds a number", "{\"aud\":[\"us\",1]" EXP "}", CLAIMS),
    C("tidings is a list", "{\"tidings\":[]" EXP "}", CLAIMS),
    C("tidings is text", "{\"tidings\":\"admin\"" EXP "}", CLAIMS),
    C("admin is text", "{\"tidings\":{\"admin\":\"true\"}" EXP "}", CLAIMS),
    C("admin is a number", "{\"tidings\":{\"admin\":1}" EXP "}", CLAIMS),
    C("subscribe is text", "{\"tidings\":{\"subscribe\":\"*\"}" EXP "}", CLAIMS),
    C("subscribe holds a number", "{\"tidings\":{\"subscribe\":[1]}" EXP "}", CLAIMS),
    C("subscribe holds nothing", "{\"tidings\":{\"subscribe\":[\"\"]}" EXP "}", CLAIMS),
    C("publish is an object", "{\"tidings\":{\"publish\":{\"*\":true}}" EXP "}", CLAIMS),
    C("a target without a kind", "{\"tidings\":{\"publish\":[\"news\"]}" EXP "}", CLAIMS),
    C("a target without a name", "{\"tidings\":{\"publish\":[\"topic:\"]}" EXP "}", CLAIMS),
    C("a target of another kind", "{\"tidings\":{\"publish\":[\"queue:x\"]}" EXP "}", CLAIMS),
    C("a target in capitals", "{\"tidings\":{\"publish\":[\"Broadcast\"]}" EXP "}", CLAIMS),
    C("a target with a control", "{\"tidings\":{\"publish\":[\"topic:\\n\"]}" EXP "}", CLAIMS),
};

static void test_hostile(void **state)
{
    (void)state;
    char text[MINT_MAX], set[4000];
    char *jwk = mint_jwk(made.p256);
    snprintf(set, sizeof(set), "{\"keys\":[{%s,\"kid\":\"k\"}]}", jwk);
    struct token_keys *keys = keys_of(SECRET, NULL, set);
    mint(text, HS, GOOD, "HS256", SECRET, NULL);
    expect(keys, text, TOKEN_OK, "the honest one");
    assert_true(sizeof(hostile) / sizeof(hostile[0]) >= 60);
    for (unsigned i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        const struct hostile *h = &hostile[i];
        mint(text, h->header, h->claims, h->alg, SECRET, NULL);
        expect(keys, text, h->result, h->what);
    }
    token_keys_destroy(keys);
    free(jwk);
}

/* The key that checks one kind of signature is offered as the secret of another (RFC 8725 section 2.1). */
static void test_confused_keys(void **state)
{
    (void)state;
    char text[MINT_MAX];
    struct token_keys *rsa = keys_of(NULL, made.rsa_pem, NULL), *ec = keys_of(NULL, made.p256_pem, NULL);
    mint(text, HS, GOOD, "HS256", made.rsa_pem, NULL);
    expect(rsa, text, TOKEN_ALGORITHM, "HMAC with the PEM text");
    mint(text, HS, GOOD, "HS256", made.p256_pem, NULL);
    expect(ec, text, TOKEN_ALGORITHM, "HMAC with the PEM text of a key on a curve");
    mint(text, "{\"alg\":\"ES384\"}", GOOD, "ES384", NULL, made.p384);
    expect(ec, text, TOKEN_ALGORITHM, "another curve");
    mint(text, "{\"alg\":\"ES384\"}", GOOD, "ES256", NULL, made.p256);
    expect(ec, text, TOKEN_ALGORITHM, "the right curve under another name");
    mint(text, "{\"alg\":\"ES256\"}", GOOD, "ES256", NULL, made.stranger);
    expect(ec, text, TOKEN_SIGNATURE, "a stranger's key");
    mint(text, "{\"alg\":\"ES256\"}", GOOD, "EDER", NULL, made.p256);
    expect(ec, text, TOKEN_SIGNATURE, "DER");
    mint(text, "{\"alg\":\"PS256\"}", GOOD, "RS256", NULL, made.rsa);
    expect(rsa, text, TOKEN_SIGNATURE, "another padding");
    mint(text, "{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}", GOOD, "HS256", "", NULL);
    expect(rsa, text, TOKEN_SIGNATURE, "a key of its own");
    mint(text, "{\"alg\":\"RS256\",\"jku\":\"http://evil.example/\"}", GOOD, "RS256", NULL, made.rsa);
    expect(rsa, text, TOKEN_OK, "an address of keys is not followed, and does no harm");
    token_keys_destroy(rsa);
    token_keys_destroy(ec);
}

static void test_zero_signature(void **state)
{
    (void)state;
    char text[MINT_MAX], zero[64] = "";
    struct token_keys *ec = keys_of(NULL, made.p256_pem, NULL);
    mint(text, "{\"alg\":\"ES256\"}", GOOD, "", NULL, NULL);
    mint_encode(text + strlen(text), zero, sizeof(zero));
    expect(ec, text, TOKEN_SIGNATURE, "r = s = 0 (CVE-2022-21449)");
    token_keys_destroy(ec);
}

/* Every single bit of the text; and every length. Base64url is read strictly, so no other text means the
 * same. */
static void test_every_bit(void **state)
{
    (void)state;
    char good[MINT_MAX], text[MINT_MAX];
    struct token_keys *keys = keys_of(SECRET, NULL, NULL);
    mint(good, HS, GOOD, "HS256", SECRET, NULL);
    size_t n = strlen(good);
    for (size_t i = 0; i < 8 * n; i++) {
        strcpy(text, good);
        text[i / 8] ^= (char)(1 << i % 8);
        struct token_claims *claims;
        assert_int_not_equal(token_verify(keys, &plain, (struct span){text, n}, NOW, &claims), TOKEN_OK);
    }
    for (size_t len = 0; len < n; len++) {
        struct token_claims *claims;
        assert_int_not_equal(token_verify(keys, &plain, (struct span){good, len}, NOW, &claims), TOKEN_OK);
    }
    token_keys_destroy(keys);
}

static void test_shapes(void **state)
{
    (void)state;
    static char text[MINT_MAX + 16], other[MINT_MAX], large[2 * TOKEN_MAX];
    struct token_keys *keys = keys_of(SECRET, NULL, NULL);
    mint(other, HS, GOOD, "HS256", SECRET, NULL);
    const char *const tails[] = {"=", "==", " ", "\n", ".", ".x", "A", "AA", "AAAA", "\t"};
    const char *const heads[] = {" ", ".", "Bearer ", "A"};
    for (unsigned i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", other, tails[i]);
        assert_int_not_equal(verify(keys, &plain, text), TOKEN_OK);
    }
    for (unsigned i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", heads[i], other);
        assert_int_not_equal(verify(keys, &plain, text), TOKEN_OK);
    }
    const char *const odd[] = {"",  ".",           "..",    "...",   "a.b.c",
                               "a", "e30.e30.e30", "e30..", "..e30", "a.b.c.d.e"};
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        assert_int_not_equal(verify(keys, &plain, odd[i]), TOKEN_OK);
    memset(large, 'A', sizeof(large) - 1);
    assert_int_equal(verify(keys, &plain, large), TOKEN_TOO_LARGE);
    token_keys_destroy(keys);
}

static void test_wrong_secret(void **state)
{
    (void)state;
    char text[MINT_MAX];
    struct token_keys *keys = keys_of(SECRET, NULL, NULL);
    mint(text, HS, GOOD, "HS256", OTHER, NULL);
    expect(keys, text, TOKEN_SIGNATURE, "another secret");
    mint(text, HS, GOOD, "HS256", "", NULL);
    expect(keys, text, TOKEN_SIGNATURE, "the empty secret");
    token_keys_destroy(keys);
}

/* ---- rules ---- */

static void test_rules(void **state)
{
    (void)state;
    char text[MINT_MAX];
    struct token_keys *keys = keys_of(SECRET, NULL, NULL);
    const struct token_rules lenient = {.leeway_ms = 5000, .allow_no_exp = true};
    const struct token_rules strict = {.issuer = "us", .audience = "hub"};
    const struct {
        const char *claims;
        const struct token_rules *rules;
        enum token_result result;
    } rows[] = {
        {"{\"exp\":1799999996}", &lenient, TOKEN_OK},
        {"{\"exp\":1799999995}", &lenient, TOKEN_EXPIRED},
        {"{\"nbf\":1800000005}", &lenient, TOKEN_OK},
        {"{\"nbf\":1800000006}", &lenient, TOKEN_TOO_EARLY},
        {"{}", &lenient, TOKEN_OK},
        {"{\"iss\":\"us\",\"aud\":\"hub\"" EXP "}", &strict, TOKEN_OK},
        {"{\"iss\":\"us\",\"aud\":[\"a\",\"hub\"]" EXP "}", &strict, TOKEN_OK},
        {"{\"iss\":\"Us\",\"aud\":\"hub\"" EXP "}", &strict, TOKEN_ISSUER},
        {"{\"aud\":\"hub\"" EXP "}", &strict, TOKEN_ISSUER},
        {"{\"iss\":\"us\"" EXP "}", &strict, TOKEN_AUDIENCE},
        {"{\"iss\":\"us\",\"aud\":[]" EXP "}", &strict, TOKEN_AUDIENCE},
        {"{\"iss\":\"us\",\"aud\":\"hub2\"" EXP "}", &strict, TOKEN_AUDIENCE},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mint(text, HS, rows[i].claims, "HS256", SECRET, NULL);
        enum token_result result = verify(keys, rows[i].rules, text);
        if (result != rows[i].result)
            fail_msg("%s: %s", rows[i].claims, token_code(result));
    }
    token_keys_destroy(keys);
}

static struct token_claims *claims_of(const char *json)
{
    char text[MINT_MAX];
    struct token_claims *claims = NULL;
    struct token_keys *keys = keys_of(SECRET, NULL, NULL);
    mint(text, HS, json, "HS256", SECRET, NULL);
    assert_int_equal(token_verify(keys, &plain, span_of(text), NOW, &claims), TOKEN_OK);
    token_keys_destroy(keys);
    return claims;
}

static void test_rights(void **state)
{
    (void)state;
    struct token_claims *c =
        claims_of("{\"sub\":\"ada\",\"jti\":\"t1\",\"tidings\":{\"subscribe\":[\"news\",\"room:*\"],"
                  "\"publish\":[\"client:bob\",\"topic:room:*\"],\"admin\":false}" EXP "}");
    assert_true(span_eq(c->id, SPAN("t1")));
    assert_int_equal(c->expires, NOW + 60000);
    assert_true(token_may_be(c, SPAN("ada")));
    assert_false(token_may_be(c, SPAN("adam")));
    assert_false(token_may_be(c, SPAN("*")));
    assert_true(token_may_subscribe(c, SPAN("news")));
    assert_false(token_may_subscribe(c, SPAN("newspaper")));
    assert_true(token_may_subscribe(c, SPAN("room:1")));
    assert_false(token_may_subscribe(c, SPAN("room")));
    assert_true(token_may_publish(c, TOKEN_CLIENT, SPAN("bob")));
    assert_false(token_may_publish(c, TOKEN_CLIENT, SPAN("bobby")));
    assert_false(token_may_publish(c, TOKEN_TOPIC, SPAN("bob")));
    assert_true(token_may_publish(c, TOKEN_TOPIC, SPAN("room:9")));
    assert_false(token_may_publish(c, TOKEN_BROADCAST, (struct span){0}));
    token_claims_free(c);

    c = claims_of("{\"sub\":\"*\",\"tidings\":{\"subscribe\":[\"*\"],\"publish\":[\"broadcast\"]}" EXP "}");
    assert_true(token_may_be(c, SPAN("anybody")));
    assert_true(token_may_subscribe(c, SPAN("anything")));
    assert_true(token_may_publish(c, TOKEN_BROADCAST, (struct span){0}));
    assert_false(token_may_publish(c, TOKEN_TOPIC, SPAN("broadcast")));
    token_claims_free(c);

    c = claims_of("{\"tidings\":{\"publish\":[\"*\"]}" EXP "}");
    assert_false(token_may_be(c, SPAN("ada")));
    assert_false(token_may_subscribe(c, SPAN("news")));
    assert_true(token_may_publish(c, TOKEN_CLIENT, SPAN("x")) &&
                token_may_publish(c, TOKEN_TOPIC, SPAN("x")) &&
                token_may_publish(c, TOKEN_BROADCAST, SPAN("")));
    token_claims_free(c);

    c = claims_of("{\"tidings\":{\"admin\":true}" EXP "}");
    assert_true(c->admin && token_may_publish(c, TOKEN_TOPIC, SPAN("x")));
    token_claims_free(c);
}

/* ---- keys ---- */

static void refuse(const struct token_sources *from, const char *wanted)
{
    struct token_keys *keys;
    char error[256] = "";
    assert_int_equal(token_keys_create(&keys, from, error, sizeof(error)), TIDINGS_ECREDENTIALS);
    if (!strstr(error, wanted))
        fail_msg("%s instead of %s", error, wanted);
}

#define PEM(text)                                                                                            \
    {                                                                                                        \
        .public_key = (text), .public_key_len = strlen(text)                                                 \
    }
#define JWKS(text)                                                                                           \
    {                                                                                                        \
        .jwks = (text), .jwks_len = strlen(text)                                                             \
    }

static void test_bad_keys(void **state)
{
    (void)state;
    EVP_PKEY *small = mint_rsa(1024), *odd = mint_ec("secp256k1");
    char *small_pem = mint_pem(small), *odd_pem = mint_pem(odd);
    const struct {
        struct token_sources from;
        const char *error;
    } rows[] = {
        {{.secret = "", .secret_len = 0}, "jwt-secret: must have"},
        {PEM("nothing"), "neither a public key nor a certificate"},
        {PEM("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "neither a public key"},
        {PEM("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "private key"},
        {PEM(small_pem), "2048"},
        {PEM(odd_pem), "P-256"},
        {JWKS("[]"), "array `keys`"},
        {JWKS("{}"), "array `keys`"},
        {JWKS("{\"keys\":[],\"keys\":[]}"), "array `keys`: a member is there twice"},
        {JWKS("{\"keys\":[]}"), "none of its keys"},
        {JWKS("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}"), "none of its keys"},
        {JWKS("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"use\":\"enc\"}]}"), "none of its keys"},
        {JWKS("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"key_ops\":[\"sign\"]}]}"), "none of its keys"},
        {JWKS("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"alg\":\"none\"}]}"), "none of its keys"},
        {JWKS("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}"),
         "none of its keys"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refuse(&rows[i].from, rows[i].error);
    EVP_PKEY_free(small);
    EVP_PKEY_free(odd);
    free(small_pem);
    free(odd_pem);
}

static void test_weak_secret(void **state)
{
    (void)state;
    struct token_keys *weak = keys_of("thirty-one bytes are not enough", NULL, NULL),
                      *good = keys_of(SECRET, NULL, NULL);
    assert_true(token_keys_has_weak_secret(weak));
    assert_false(token_keys_has_weak_secret(good));
    token_keys_destroy(weak);
    token_keys_destroy(good);
    token_keys_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_algorithm), cmocka_unit_test(test_of_the_rfc),
        cmocka_unit_test(test_kid_chooses),     cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_confused_keys),   cmocka_unit_test(test_zero_signature),
        cmocka_unit_test(test_every_bit),       cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_wrong_secret),    cmocka_unit_test(test_rules),
        cmocka_unit_test(test_rights),          cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_weak_secret),
    };
    return cmocka_run_group_tests_name("token", tests, set_up, tear_down);
}
