/* SPDX-License-Identifier: MIT
 *
 * test_tokens - tidings_token_sign(), tidings_token_check() and tidings_token_inspect(), as an embedder calls
 * them: with files of keys, with rooms that are too small, and with what nobody should send.
 */
#include "mint.h"

#include <tidings.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET "a secret of sixty-four bytes, so that it does for HS512 as well!"
#define NOW    UINT64_C(1800000000000) /* ms */
#define GOOD   "{\"sub\":\"ada\",\"exp\":1800000060}"

static const struct kind {
    const char *alg, *curve; /* NULL: a secret; "": RSA */
} kinds[] = {{"HS256", NULL}, {"HS384", NULL},    {"HS512", NULL},    {"RS256", ""},
             {"RS384", ""},   {"RS512", ""},      {"PS256", ""},      {"PS384", ""},
             {"PS512", ""},   {"ES256", "P-256"}, {"ES384", "P-384"}, {"ES512", "P-521"}};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct {
    char dir[64], pem[KINDS][96], set[KINDS][96];
    EVP_PKEY *keys[KINDS];
} made;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A PEM file and a key set for each algorithm; of a secret only the set. */
static int set_up(void **state)
{
    char text[6000], secret[128];
    (void)state;
    strcpy(made.dir, "/tmp/test_tokens.XXXXXX");
    if (!mkdtemp(made.dir))
        return -1;
    mint_encode(secret, SECRET, strlen(SECRET));
    for (unsigned i = 0; i < KINDS; i++) {
        snprintf(made.pem[i], sizeof(made.pem[i]), "%s/%u.pem", made.dir, i);
        snprintf(made.set[i], sizeof(made.set[i]), "%s/%u.json", made.dir, i);
        if (!kinds[i].curve) {
            snprintf(text, sizeof(text), "{\"keys\":[{\"kty\":\"oct\",\"k\":\"%s\"}]}", secret);
            write_file(made.set[i], text);
            continue;
        }
        made.keys[i] = kinds[i].curve[0] ? mint_ec(kinds[i].curve) : mint_rsa(2048);
        char *pem = mint_pem(made.keys[i]), *jwk = mint_jwk(made.keys[i]);
        snprintf(text, sizeof(text), "{\"keys\":[{%s,\"alg\":\"%s\"}]}", jwk, kinds[i].alg);
        write_file(made.pem[i], pem);
        write_file(made.set[i], text);
        free(pem);
        free(jwk);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        EVP_PKEY_free(made.keys[i]);
        unlink(made.pem[i]);
        unlink(made.set[i]);
    }
    return rmdir(made.dir);
}

static struct tidings_config config_of(const char *secret, const char *pem, const char *set)
{
    struct tidings_config config;
    tidings_config_init(&config);
    config.jwt_secret = secret;
    config.jwt_public_key = pem;
    config.jwks = set;
    return config;
}

/* `wanted` is the code that why begins with, or NULL: it is believed. */
static void expect(const struct tidings_config *config, const char *text, const char *wanted)
{
    char why[256] = "untouched";
    int rc = tidings_token_check(config, text, strlen(text), NOW, why, sizeof(why));
    if (rc != (wanted ? 1 : 0))
        fail_msg("%d: %s", rc, why);
    if (strncmp(why, wanted ? wanted : "untouched", strlen(wanted ? wanted : "untouched")) != 0)
        fail_msg("%s instead of %s", why, wanted ? wanted : "nothing");
}

static int sign(const char *claims, const char *secret, char *out, size_t size)
{
    return tidings_token_sign(claims, strlen(claims), secret, strlen(secret), out, size);
}

/* ---- round trips ---- */

static void test_every_algorithm(void **state)
{
    (void)state;
    char text[MINT_MAX], header[64];
    for (unsigned i = 0; i < KINDS; i++) {
        bool by_secret = !kinds[i].curve;
        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", kinds[i].alg);
        mint(text, header, GOOD, kinds[i].alg, SECRET, made.keys[i]);
        struct tidings_config one =
                                  config_of(by_secret ? SECRET : NULL, by_secret ? NULL : made.pem[i], NULL),
                              set = config_of(NULL, NULL, made.set[i]);
        expect(&one, text, NULL);
        expect(&set, text, NULL);
        char *first = strrchr(text, '.') + 1;
        *first = *first == 'A' ? 'B' : 'A';
        expect(&one, text, "token_signature: ");
        expect(&set, text, "token_signature: ");
    }
}

static void test_signed_by_us(void **state)
{
    (void)state;
    char text[TIDINGS_TOKEN_MAX + 1], wanted[MINT_MAX];
    struct tidings_config config = config_of(SECRET, NULL, NULL),
                          other = config_of("another secret", NULL, NULL);
    int n = sign(GOOD, SECRET, text, sizeof(text));
    assert_int_equal(n, strlen(text));
    mint(wanted, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", GOOD, "HS256", SECRET, NULL);
    assert_string_equal(text, wanted); /* HMAC is the same whoever makes it */
    expect(&config, text, NULL);
    expect(&other, text, "token_signature: ");
    sign(" { \"exp\" : 1800000060 } ", SECRET, text, sizeof(text));
    expect(&config, text, NULL);
}

/* No kind of key stands in for another. */
static void test_wrong_kind(void **state)
{
    (void)state;
    char text[MINT_MAX];
    struct tidings_config rsa = config_of(NULL, made.pem[3], NULL), p256 = config_of(NULL, made.pem[9], NULL),
                          p384 = config_of(NULL, NULL, made.set[10]), secret = config_of(SECRET, NULL, NULL),
                          rs256_only = config_of(NULL, NULL, made.set[3]);
    assert_true(sign(GOOD, SECRET, text, sizeof(text)) > 0);
    expect(&rsa, text, "token_algorithm: ");
    expect(&p256, text, "token_algorithm: ");
    mint(text, "{\"alg\":\"ES256\"}", GOOD, "ES256", NULL, made.keys[9]);
    expect(&secret, text, "token_algorithm: ");
    expect(&p384, text, "token_algorithm: ");
    expect(&p256, text, NULL);
    mint(text, "{\"alg\":\"PS256\"}", GOOD, "PS256", NULL, made.keys[3]);
    expect(&rs256_only, text, "token_algorithm: ");
    expect(&rsa, text, NULL);
    mint(text, "{\"alg\":\"HS256\",\"kid\":\"other\"}", GOOD, "HS256", SECRET, NULL);
    expect(&p256, text, "token_key: ");
}

/* ---- rooms that are too small ---- */

static void test_room_to_sign(void **state)
{
    (void)state;
    char text[TIDINGS_TOKEN_MAX + 1], claims[TIDINGS_TOKEN_MAX];
    int n = sign(GOOD, SECRET, text, sizeof(text));
    memset(text, 'x', sizeof(text));
    for (int size = 0; size <= n; size++) {
        assert_int_equal(sign(GOOD, SECRET, text, (size_t)size), TIDINGS_ETOOBIG);
        assert_int_equal(text[size], 'x');
    }
    assert_int_equal(sign(GOOD, SECRET, text, (size_t)n + 1), n);
    assert_int_equal(strlen(text), n);
    int longest = 0;
    for (int room = 6040; room < 6100; room++) {
        snprintf(claims, sizeof(claims), "{\"exp\":1800000060,\"x\":\"%0*d\"}", room, 0);
        n = sign(claims, SECRET, text, sizeof(text));
        assert_true(n > longest || (n == TIDINGS_ETOOBIG && longest >= TIDINGS_TOKEN_MAX - 1));
        longest = n > 0 ? n : longest;
    }
    assert_in_range(longest, TIDINGS_TOKEN_MAX - 1, TIDINGS_TOKEN_MAX); /* what a hub looks at */
}

static void test_room_to_say_why(void **state)
{
    (void)state;
    static const char whole[] = "token_malformed: the token is not a JSON Web Token in compact form";
    struct tidings_config config = config_of(SECRET, NULL, NULL);
    for (size_t size = 1; size < 100; size++) {
        char why[100];
        memset(why, 'x', sizeof(why));
        assert_int_equal(tidings_token_check(&config, "x", 1, NOW, why, size), 1);
        assert_int_equal(strlen(why), size > sizeof(whole) ? sizeof(whole) - 1 : size - 1);
        assert_memory_equal(why, whole, strlen(why));
        assert_int_equal(why[size], 'x');
    }
    assert_int_equal(tidings_token_check(&config, "x", 1, NOW, NULL, 0), 1);
}

/* ---- arguments ---- */

static void test_bad_arguments(void **state)
{
    (void)state;
    char out[TIDINGS_TOKEN_MAX + 1];
    static const char *const no_claims[] = {"",
                                            "[]",
                                            "1",
                                            "null",
                                            "{",
                                            "{}{}",
                                            "{'a'}",
                                            "{\"a\":nan}",
                                            "{\"a\":1,\"a\":2}",
                                            "{\"a\":{\"b\":1,\"\\u0062\":2}}"};
    for (unsigned i = 0; i < sizeof(no_claims) / sizeof(no_claims[0]); i++)
        assert_int_equal(sign(no_claims[i], SECRET, out, sizeof(out)), TIDINGS_EINVAL);
    assert_int_equal(sign(GOOD, "", out, sizeof(out)), TIDINGS_EINVAL);
    assert_int_equal(tidings_token_sign(NULL, 0, SECRET, 5, out, sizeof(out)), TIDINGS_EINVAL);
    assert_int_equal(tidings_token_sign("{}", 2, NULL, 0, out, sizeof(out)), TIDINGS_EINVAL);
    assert_int_equal(tidings_token_sign("{}", 2, SECRET, 5, NULL, 100), TIDINGS_EINVAL);
    assert_int_equal(tidings_token_sign("{}", 2, SECRET, 5, out, 0), TIDINGS_ETOOBIG);

    struct tidings_config config = config_of(SECRET, NULL, NULL), none = config_of(NULL, NULL, NULL);
    expect(&config, "", "token_malformed: ");
    assert_int_equal(tidings_token_check(&config, NULL, 0, NOW, out, sizeof(out)), 1);
    assert_true(sign(GOOD, SECRET, out, sizeof(out)) > 0);
    expect(&none, out, "token_key: ");
}

static void test_unusable_keys(void **state)
{
    (void)state;
    char missing[96], why[512];
    snprintf(missing, sizeof(missing), "%s/missing", made.dir);
    const struct {
        struct tidings_config config;
        const char *why;
    } rows[] = {{config_of(NULL, missing, NULL), "jwt-public-key"},
                {config_of(NULL, NULL, missing), "jwks"},
                {config_of(NULL, made.set[0], NULL), "neither a public key nor a certificate"},
                {config_of(NULL, NULL, made.pem[3]), "array `keys`"},
                {config_of("", NULL, NULL), "jwt-secret"}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int rc = tidings_token_check(&rows[i].config, "a.b.c", 5, NOW, why, sizeof(why));
        if (rc != TIDINGS_ECREDENTIALS || !strstr(why, rows[i].why))
            fail_msg("%d: %s instead of %s", rc, why, rows[i].why);
    }
}

/* ---- claims that nobody should believe, though they are signed ---- */

static void test_hostile_claims(void **state)
{
    (void)state;
    char text[TIDINGS_TOKEN_MAX + 1];
    struct tidings_config config = config_of(SECRET, NULL, NULL);
    config.jwt_issuer = "us";
    config.jwt_audience = "hub";
#define OURS "\"iss\":\"us\",\"aud\":\"hub\","
    static const struct {
        const char *claims, *code;
    } rows[] = {{"{" OURS "\"exp\":1800000060}", NULL},
                {"{" OURS "\"exp\":1.80000006e9}", NULL},
                {"{" OURS "\"exp\":18000000600E-1}", NULL},
                {"{" OURS "\"exp\":8640000000000}", NULL},
                {"{" OURS "\"exp\":8640000000000.001}", "token_claims"},
                {"{" OURS "\"exp\":8.64e12}", NULL},
                {"{" OURS "\"exp\":1e13}", "token_claims"},
                {"{" OURS "\"exp\":1e999999999999}", "token_claims"},
                {"{" OURS "\"exp\":1e-999999999999}", "token_expired"},
                {"{" OURS "\"exp\":0e999999999999}", "token_expired"},
                {"{" OURS "\"exp\":1800000000.001}", NULL},
                {"{" OURS "\"exp\":1800000000.0009}", "token_expired"},
                {"{" OURS "\"exp\":1800000000}", "token_expired"},
                {"{" OURS "\"exp\":00000000000000000000000000000000000000001e1}", "EINVAL"},
                {"{" OURS "\"exp\":0.00000000000000000000000000000000018000000600e43}", NULL},
                {"{" OURS "\"exp\":180000006000000000000000000000000000000000e-32}", NULL},
                {"{" OURS "\"exp\":1800000060.000000000000000000000000000000000000000}", NULL},
                {"{" OURS "\"exp\":-1}", "token_claims"},
                {"{" OURS "\"exp\":-0}", "token_expired"},
                {"{" OURS "\"exp\":\"1800000060\"}", "token_claims"},
                {"{" OURS "\"exp\":1800000060,\"nbf\":1800000000.5}", "token_not_yet_valid"},
                {"{" OURS "\"exp\":1800000060,\"nbf\":1800000000}", NULL},
                {"{" OURS "\"exp\":1800000060,\"iat\":[]}", "token_claims"},
                {"{" OURS "\"x\":1}", "token_no_expiry"},
                {"{\"aud\":\"hub\",\"exp\":1800000060}", "token_issuer"},
                {"{\"iss\":\"us\",\"exp\":1800000060}", "token_audience"},
                {"{\"iss\":\"\\u0075s\",\"aud\":[\"a\",\"h\\u0075b\"],\"exp\":1800000060}", NULL},
                {"{\"iss\":[\"us\"],\"aud\":\"hub\",\"exp\":1800000060}", "token_claims"},
                {"{\"iss\":\"us\",\"aud\":[\"hub\",1],\"exp\":1800000060}", "token_claims"},
                {"{" OURS "\"exp\":1800000060,\"sub\":\"\\u0007\"}", "token_claims"},
                {"{" OURS "\"exp\":1800000060,\"tidings\":{\"admin\":1}}", "token_claims"},
                {"{" OURS "\"exp\":1800000060,\"tidings\":{\"publish\":[\"news\"]}}", "token_claims"},
                {"{" OURS "\"exp\":1800000060,\"tidings\":{\"subscribe\":\"*\"}}", "token_claims"}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int n = sign(rows[i].claims, SECRET, text, sizeof(text));
        if (rows[i].code && strcmp(rows[i].code, "EINVAL") == 0) {
            assert_int_equal(n, TIDINGS_EINVAL);
            continue;
        }
        assert_true(n > 0);
        expect(&config, text, rows[i].code);
    }
}

/* ---- without a key ---- */

static int inspect(const struct tidings_config *config, const char *text, char *out, size_t size, char *why)
{
    return tidings_token_inspect(config, text, strlen(text), NOW, out, size, why, 256);
}

static void test_inspect(void **state)
{
    (void)state;
    char text[MINT_MAX], out[TIDINGS_TOKEN_MAX], why[256];
    struct tidings_config config = config_of(NULL, "/nowhere", "/nowhere"); /* which is not read */
    static const char said[] =
        "{\"header\":{\"alg\":\"ES256\"},\"claims\":{\"exp\":1800000060,\"x\":[1.50,\"\\u00e9\"]}}";
    mint(text, " {\"alg\": \"ES256\"}\n", "{ \"exp\":1800000060, \"x\": [1.50, \"\\u00e9\"] }", "HS256",
         "anything", NULL);
    assert_int_equal(inspect(&config, text, out, sizeof(out), why), sizeof(said) - 1);
    assert_string_equal(out, said);
    assert_string_equal(why, "");
    for (size_t size = 0; size < sizeof(said); size++) {
        memset(out, 'x', sizeof(out));
        assert_int_equal(inspect(&config, text, out, size, why), TIDINGS_ETOOBIG);
        assert_int_equal(out[size], 'x');
    }
    assert_int_equal(inspect(&config, text, out, sizeof(said), why), sizeof(said) - 1);
    assert_int_equal(inspect(&config, text, NULL, 0, why), TIDINGS_EINVAL);
    assert_int_equal(tidings_token_inspect(&config, NULL, 0, NOW, out, sizeof(out), why, sizeof(why)),
                     TIDINGS_EINVAL);
    assert_int_equal(tidings_token_inspect(&config, "e30.e30.AAAA", 12, NOW, out, sizeof(out), NULL, 0), 25);
}

/* What no key could mend, and the text that is shown all the same. */
static void test_inspect_says_why(void **state)
{
    (void)state;
    char text[MINT_MAX], out[TIDINGS_TOKEN_MAX], why[256];
    struct tidings_config plain = config_of(NULL, NULL, NULL), strict = plain, lenient = plain;
    strict.jwt_issuer = "us";
    strict.jwt_audience = "hub";
    lenient.jwt_allow_no_exp = true;
    lenient.jwt_leeway = 5000;
    const struct {
        const struct tidings_config *config;
        const char *header, *claims, *alg, *code;
    } rows[] = {{&plain, "{\"alg\":\"none\"}", GOOD, "", "token_algorithm: "},
                {&plain, "{\"alg\":\"none\"}", GOOD, "HS256", "token_algorithm: "},
                {&plain, "{\"alg\":\"HS256\"}", GOOD, "", "token_signature: "},
                {&plain, "{\"alg\":\"HS256\",\"crit\":[]}", GOOD, "HS256", "token_header: "},
                {&plain, "{\"alg\":\"HS256\"}", "{}", "HS256", "token_no_expiry: "},
                {&lenient, "{\"alg\":\"HS256\"}", "{}", "HS256", ""},
                {&plain, "{\"alg\":\"HS256\"}", "{\"exp\":1799999996}", "HS256", "token_expired: "},
                {&lenient, "{\"alg\":\"HS256\"}", "{\"exp\":1799999996}", "HS256", ""},
                {&plain, "{\"alg\":\"HS256\"}", "{\"exp\":1,\"exp\":1}", "HS256", NULL},
                {&plain, "{\"alg\":\"HS256\"}", "{\"sub\":1,\"exp\":1800000060}", "HS256", "token_claims: "},
                {&strict, "{\"alg\":\"HS256\"}", GOOD, "HS256", "token_issuer: "},
                {&plain, "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", GOOD, "HS256", NULL},
                {&plain, "[]", GOOD, "HS256", NULL}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mint(text, rows[i].header, rows[i].claims, rows[i].alg, SECRET, NULL);
        int n = inspect(rows[i].config, text, out, sizeof(out), why);
        const char *code = rows[i].code ? rows[i].code : "token_malformed: ";
        if (n != (rows[i].code ? (int)strlen(out) : TIDINGS_EINVAL) ||
            strncmp(why, code, strlen(code)) != 0 || (!code[0] && why[0]))
            fail_msg("%s %s: %d, %s", rows[i].header, rows[i].claims, n, why);
    }
}

static void test_inspect_is_strict(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "e30.e31.x",   "e30A.e30.x", "e30AAA.e30.x", "e30.e30A.x",  "e30.e30AAA.x", "e3A.e30.x",   "e.e30.x",
        "e30.e.x",     "e30=.e30.x", "e30.e30=.x",   "e3+.e30.x",   " e30.e30.x",   "e30.e30",     "e30.e30.",
        "e30.e30.x.x", ".e30.x",     "e30..x",       "e30.e30.x\n", "e30 .e30.x",   "e30.bnVsbA.x"};
    static char large[TIDINGS_TOKEN_MAX + 2];
    char out[TIDINGS_TOKEN_MAX], why[256];
    struct tidings_config config = config_of(NULL, NULL, NULL);
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int n = inspect(&config, texts[i], out, sizeof(out), why);
        bool shown =
            strncmp(texts[i], "e30.e30.", 8) == 0 && !strstr(texts[i], ".x.x"); /* by its algorithm */
        if (n != (shown ? 25 : TIDINGS_EINVAL) ||
            strncmp(why, shown ? "token_algorithm" : "token_malformed", 15) != 0)
            fail_msg("%s: %d, %s", texts[i], n, why);
    }
    memset(large, 'A', sizeof(large) - 1);
    assert_int_equal(inspect(&config, large, out, sizeof(out), why), TIDINGS_EINVAL);
    assert_string_equal(why, "token_too_large: the token is longer than 8192 bytes");
}

/* Whatever a hub can read can be shown. */
static void test_inspect_the_largest(void **state)
{
    (void)state;
    char text[TIDINGS_TOKEN_MAX + 1], claims[TIDINGS_TOKEN_MAX], out[TIDINGS_TOKEN_MAX], why[256];
    struct tidings_config config = config_of(NULL, NULL, NULL);
    for (int room = 6040, n = 1; n > 0; room++) {
        snprintf(claims, sizeof(claims), "{\"exp\":1800000060,\"x\":\"%0*d\"}", room, 0);
        n = sign(claims, SECRET, text, sizeof(text));
        if (n > 0)
            assert_true(inspect(&config, text, out, sizeof(out), why) > room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_algorithm),   cmocka_unit_test(test_signed_by_us),
        cmocka_unit_test(test_wrong_kind),        cmocka_unit_test(test_room_to_sign),
        cmocka_unit_test(test_room_to_say_why),   cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_unusable_keys),     cmocka_unit_test(test_hostile_claims),
        cmocka_unit_test(test_inspect),           cmocka_unit_test(test_inspect_says_why),
        cmocka_unit_test(test_inspect_is_strict), cmocka_unit_test(test_inspect_the_largest),
    };
    return cmocka_run_group_tests_name("tokens", tests, set_up, tear_down);
}
