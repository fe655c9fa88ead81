/* SPDX-License-Identifier: MIT
 *
 * torture_token - the n-th allocation fails, for every n, while keys are loaded and tokens are checked:
 * alone, and with all behind it. OpenSSL allocates through malloc() here, so that its allocations are among
 * them.
 *
 * OpenSSL's first use in a process is tried as well, in processes of its own, at every 13th allocation.
 *
 * Loading ends with all keys or with "out of memory", never with some of them or with another complaint. An
 * honest token is believed or memory was short; one that is not honest gets its own answer or that one, and
 * is never believed. Whatever was allocated on the way is given back.
 *
 * Environment: N=n and CASE=c replay one.
 */
#include "fault.h"
#include "mint.h"
#include "sim.h"
#include "token.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tidings.h>
#include <unistd.h>

#define SECRET "a secret of sixty-four bytes, so that it does for HS512 as well!"
#define NOW    UINT64_C(1800000000000) /* ms */
#define CLAIMS                                                                                               \
    "{\"iss\":\"https://issuer.example\",\"aud\":[\"somebody else\",\"the hub that is meant\"],"             \
    "\"sub\":\"a client of twenty-nine bytes\",\"exp\":1800000060.25,\"jti\":\"\\u0031234567890123456789\"," \
    "\"tidings\":{\"subscribe\":[\"a topic of more than sixteen bytes\",\"chat.*\"],"                        \
    "\"publish\":[\"client:a client of twenty-nine bytes\"]}}"
#define NO_RIGHT "{\"exp\":1800000060,\"tidings\":{\"publish\":[\"a target that is none at all\"]}}"
#define TWICE    "{\"exp\":1800000060,\"a member that is there twice\":1,\"a member that is there twice\":2}"

static long allocated; /* blocks of OpenSSL that are held now */

static void *take(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    void *p = malloc(n);
    allocated += p != NULL;
    return p;
}

static void give(void *p, const char *file, int line)
{
    (void)file, (void)line;
    allocated -= p != NULL;
    free(p);
}

static void *take_more(void *p, size_t n, const char *file, int line)
{
    if (n == 0 && p) {
        give(p, file, line);
        return NULL;
    }
    void *more = realloc(p, n);
    allocated += more && !p;
    return more;
}

static const char *the_case;
static long the_n;

static _Noreturn void fail(const char *what, const char *detail)
{
    fault_disarm();
    fprintf(stderr, "torture_token: CASE='%s' N=%ld: %s: %s\n", the_case, the_n, what, detail);
    exit(1);
}

/* ---- the keys ---- */

static struct {
    EVP_PKEY *rsa, *p256, *p384, *p521;
    char *rsa_pem, *p256_pem;
    char set[16000];
} made;

static void set_up(void)
{
    char secret[128];
    made.rsa = mint_rsa(2048);
    made.p256 = mint_ec("P-256");
    made.p384 = mint_ec("P-384");
    made.p521 = mint_ec("P-521");
    made.rsa_pem = mint_pem(made.rsa);
    made.p256_pem = mint_pem(made.p256);
    char *rsa = mint_jwk(made.rsa), *p256 = mint_jwk(made.p256), *p384 = mint_jwk(made.p384),
         *p521 = mint_jwk(made.p521);
    mint_encode(secret, SECRET, strlen(SECRET));
    snprintf(made.set, sizeof(made.set),
             "{\"keys\":[{%s,\"kid\":\"rsa\"},{%s,\"kid\":\"p256\",\"use\":\"sig\"},{%s,\"alg\":\"ES384\"},"
             "{%s,\"key_ops\":[\"verify\"]},{\"kty\":\"oct\",\"k\":\"%s\"}]}",
             rsa, p256, p384, p521, secret);
    free(rsa);
    free(p256);
    free(p384);
    free(p521);
}

static void tear_down(void)
{
    EVP_PKEY_free(made.rsa);
    EVP_PKEY_free(made.p256);
    EVP_PKEY_free(made.p384);
    EVP_PKEY_free(made.p521);
    free(made.rsa_pem);
    free(made.p256_pem);
}

enum keyring { BY_SECRET, BY_RSA, BY_P256, BY_SET, RINGS };

static struct token_sources source_of(enum keyring ring)
{
    switch (ring) {
    case BY_SECRET:
        return (struct token_sources){.secret = SECRET, .secret_len = strlen(SECRET)};
    case BY_RSA:
        return (struct token_sources){.public_key = made.rsa_pem, .public_key_len = strlen(made.rsa_pem)};
    case BY_P256:
        return (struct token_sources){.public_key = made.p256_pem, .public_key_len = strlen(made.p256_pem)};
    default:
        return (struct token_sources){.jwks = made.set, .jwks_len = strlen(made.set)};
    }
}

static const struct kind {
    const char *alg;
    EVP_PKEY **key;
    enum keyring ring;
} kinds[] = {{"HS256", NULL, BY_SECRET},     {"HS512", NULL, BY_SET},       {"RS256", &made.rsa, BY_RSA},
             {"PS384", &made.rsa, BY_RSA},   {"RS512", &made.rsa, BY_SET},  {"PS256", &made.rsa, BY_SET},
             {"ES256", &made.p256, BY_P256}, {"ES256", &made.p256, BY_SET}, {"ES384", &made.p384, BY_SET},
             {"ES512", &made.p521, BY_SET}};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void make(char *text, const struct kind *kind, const char *claims)
{
    char header[64];
    snprintf(header, sizeof(header), "{\"typ\":\"application/at+jwt\",\"alg\":\"%s\"}", kind->alg);
    mint(text, header, claims, kind->alg, SECRET, kind->key ? *kind->key : NULL);
}

/* ---- one try ---- */

static const struct token_rules rules = {.issuer = "https://issuer.example",
                                         .audience = "the hub that is meant"},
                                plain;

static void check_claims(const struct token_claims *c)
{
    if (!span_eq(c->subject, SPAN("a client of twenty-nine bytes")) ||
        !span_eq(c->id, SPAN("1234567890123456789")) || c->expires != 1800000060250 || c->admin ||
        c->subscribe_count != 2 || c->publish_count != 1 ||
        !token_may_subscribe(c, SPAN("a topic of more than sixteen bytes")) ||
        !token_may_publish(c, TOKEN_CLIENT, SPAN("a client of twenty-nine bytes")))
        fail("the claims are others", "");
}

static enum token_result verify(const struct token_keys *keys, const struct token_rules *by, const char *text)
{
    struct token_claims *claims = NULL;
    enum token_result result = token_verify(keys, by, span_of(text), NOW, &claims);
    if ((result == TOKEN_OK) != (claims != NULL))
        fail("claims without belief", token_code(result));
    if (claims && by == &rules)
        check_claims(claims);
    token_claims_free(claims);
    return result;
}

static void check_token(const struct token_keys *keys, const struct token_rules *by, const char *text,
                        enum token_result wanted)
{
    enum token_result result = verify(keys, by, text);
    if (result != wanted && !(result == TOKEN_MEMORY && fault_hit()))
        fail(token_code(wanted)[0] ? token_code(wanted) : "is honest", token_code(result));
}

static bool loads(enum keyring ring, struct token_keys **keys)
{
    char error[256] = "";
    const struct token_sources from = source_of(ring);
    *keys = NULL;
    if (token_keys_create(keys, &from, error, sizeof(error)) == 0)
        return true;
    if (*keys || !fault_hit() || !strstr(error, "out of memory"))
        fail("another complaint", error);
    return false;
}

/* What was loaded although memory was short is whole. */
static void load(enum keyring ring)
{
    char text[MINT_MAX];
    struct token_keys *keys;
    if (!loads(ring, &keys))
        return;
    fault_pause();
    for (unsigned i = 0; i < KINDS; i++) {
        if (kinds[i].ring != ring)
            continue;
        make(text, &kinds[i], CLAIMS);
        if (verify(keys, &rules, text) != TOKEN_OK)
            fail("a key is missing", kinds[i].alg);
    }
    fault_resume();
    token_keys_destroy(keys);
}

/* ---- every try ---- */

struct attempt {
    enum keyring ring;
    const struct token_keys *keys; /* NULL: load; without text: sign */
    const struct token_rules *rules;
    const char *text;
    enum token_result wanted;
};

/* What was signed although memory was short is whole. */
static void sign(void)
{
    char out[TOKEN_MAX + 1], wanted[MINT_MAX];
    int n = token_sign(span_of(CLAIMS), span_of(SECRET), out, sizeof(out));
    if (n == TIDINGS_ENOMEM && fault_hit())
        return;
    fault_pause();
    mint(wanted, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", CLAIMS, "HS256", SECRET, NULL);
    fault_resume();
    if (n < 0 || strcmp(out, wanted) != 0)
        fail("another signature", n < 0 ? tidings_strerror(n) : out);
}

static void attempt(const struct attempt *a)
{
    if (!a->keys && !a->text)
        sign();
    else if (a->keys)
        check_token(a->keys, a->rules, a->text, a->wanted);
    else
        load(a->ring);
}

/* OpenSSL keeps some of what it has allocated for the text of an error, at each place of a queue of this
 * length, for the next error there. What is left behind more often is lost. */
#define ERRORS_KEPT 16

/* False: there was no n-th allocation any more. */
static bool try_with(const struct attempt *a, long n, long times)
{
    bool hit = false, grew = true;
    the_n = n;
    for (unsigned again = 0; grew; again++) {
        long before = allocated;
        fault_arm(n, times);
        attempt(a);
        hit = fault_hit();
        fault_disarm();
        grew = allocated != before;
        if (ERR_peek_error())
            fail("something is left", "in the queue of errors");
        if (grew && again > ERRORS_KEPT)
            fail("something is left", "of OpenSSL");
    }
    return hit;
}

static long total;

static void torture(const char *name, const struct attempt *a)
{
    const char *one = getenv("N"), *only = getenv("CASE");
    long n = 1;
    fault_arm(0, 0);
    fault_disarm();
    if (only && strcmp(only, name) != 0)
        return;
    the_case = name;
    attempt(a); /* what OpenSSL makes once for the whole process */
    if (one) {
        try_with(a, strtol(one, NULL, 10), 1);
        try_with(a, strtol(one, NULL, 10), LONG_MAX);
        return;
    }
    while (try_with(a, n, 1) && try_with(a, n, LONG_MAX))
        n++;
    total += n - 1;
}

/* ---- OpenSSL's first use ---- */

/* The example of RFC 7515 appendix A.1, which has expired, and its neighbour. */
#define OLD_KEY                                                                                              \
    "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Y"      \
    "j0iPS4hcgUuTwjAzZr1Z9CAow\"}]}"
#define OLD_TEXT                                                                                             \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."                                                              \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
#define OLD_MAC "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define NO_MAC  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXo"

enum { DONE = 80, WENT_WRONG };

/* As a program does that only wants to know. */
static int ask_first(void)
{
    struct tidings_config config;
    char why[256] = "";
    tidings_config_init(&config);
    config.jwt_secret = SECRET;
    int rc = tidings_token_check(&config, OLD_TEXT NO_MAC, strlen(OLD_TEXT NO_MAC), NOW, why, sizeof(why));
    bool hit = fault_hit(), refused = rc == 1 && strncmp(why, "token_signature", 15) == 0;
    fault_disarm();
    return !refused && !(hit && rc == TIDINGS_ENOMEM) ? WENT_WRONG : hit ? 0 : DONE;
}

static int sign_first(void)
{
    char out[TOKEN_MAX + 1];
    int n = token_sign(SPAN("{}"), SPAN("x"), out, sizeof(out));
    bool hit = fault_hit();
    fault_disarm();
    return n < 0 && !(hit && n == TIDINGS_ENOMEM) ? WENT_WRONG : hit ? 0 : DONE;
}

/* In a process in which OpenSSL has not been used yet: it makes what it needs now, or cannot. */
static int use_first(long n, long times, const char *text, enum token_result wanted)
{
    const struct token_sources from = {.jwks = OLD_KEY, .jwks_len = strlen(OLD_KEY)};
    struct token_keys *keys = NULL;
    char error[256] = "";
    fault_arm(n, times);
    if (!text)
        return wanted == TOKEN_OK ? sign_first() : ask_first();
    int rc = token_keys_create(&keys, &from, error, sizeof(error));
    enum token_result result = rc == 0 ? verify(keys, &plain, text) : TOKEN_MEMORY;
    bool hit = fault_hit();
    fault_disarm();
    if (rc < 0 && !strstr(error, "out of memory"))
        return WENT_WRONG;
    if (result != wanted && !(hit && result == TOKEN_MEMORY))
        return WENT_WRONG;
    return hit ? 0 : DONE;
}

/* False: there was no n-th allocation any more. */
static bool try_first_use(long n, long times, const char *text, enum token_result wanted)
{
    int status;
    the_n = n;
    pid_t child = fork();
    if (child < 0)
        fail("no process", "");
    if (child == 0)
        _exit(use_first(n, times, text, wanted));
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        fail("the process was ended", "by a signal");
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != DONE)
        fail("another answer", text ? text : "without a hub");
    return WEXITSTATUS(status) == 0;
}

static void torture_first_use(void)
{
    const char *one = getenv("N"), *only = getenv("CASE");
    the_case = "first use";
    if (only && strcmp(only, the_case) != 0)
        return;
    for (long n = one ? strtol(one, NULL, 10) : 1;; n += SIM_SLOW ? 61 : 13) {
        bool more = try_first_use(n, 1, OLD_TEXT OLD_MAC, TOKEN_EXPIRED) &&
                    try_first_use(n, LONG_MAX, OLD_TEXT NO_MAC, TOKEN_SIGNATURE) &&
                    try_first_use(n, 1, NULL, TOKEN_OK) && try_first_use(n, 1, NULL, TOKEN_SIGNATURE);
        if (!more || one)
            break;
    }
}

static void torture_tokens(struct token_keys *const *rings)
{
    static const struct {
        const char *what, *claims;
        enum token_result wanted;
    } ways[] = {{"honest", CLAIMS, TOKEN_OK},
                {"with other claims", NO_RIGHT, TOKEN_SIGNATURE},
                {"with a bit changed", CLAIMS, TOKEN_SIGNATURE},
                {"that asks for nonsense", NO_RIGHT, TOKEN_CLAIMS},
                {"that is ambiguous", TWICE, TOKEN_MALFORMED}};
    for (unsigned i = 0; i < KINDS; i++)
        for (unsigned k = 0; k < sizeof(ways) / sizeof(ways[0]); k++) {
            char name[64], text[MINT_MAX], honest[MINT_MAX];
            make(text, &kinds[i], ways[k].claims);
            make(honest, &kinds[i], CLAIMS);
            if (k == 1)
                memmove(strrchr(text, '.'), strrchr(honest, '.'), strlen(strrchr(honest, '.')) + 1);
            if (k == 2) {
                char *first = strrchr(text, '.') + 1;
                *first = *first == 'A' ? 'B' : 'A';
            }
            snprintf(name, sizeof(name), "%s of ring %u %s", kinds[i].alg, kinds[i].ring, ways[k].what);
            const struct attempt a = {.keys = rings[kinds[i].ring],
                                      .rules = k == 0 ? &rules : &plain,
                                      .text = text,
                                      .wanted = ways[k].wanted};
            torture(name, &a);
        }
}

int main(void)
{
    static const char *const names[RINGS] = {"load a secret", "load RSA", "load P-256", "load a set"};
    struct token_keys *rings[RINGS];
    if (!CRYPTO_set_mem_functions(take, take_more, give))
        fail("OpenSSL has allocated already", "");
    torture_first_use();
    set_up();
    for (enum keyring ring = 0; ring < RINGS; ring++) {
        if (!loads(ring, &rings[ring]))
            fail("no keys", names[ring]);
        torture(names[ring], &(struct attempt){.ring = ring, .text = ""});
    }
    torture("sign", &(struct attempt){.text = NULL});
    torture_tokens(rings);
    for (enum keyring ring = 0; ring < RINGS; ring++)
        token_keys_destroy(rings[ring]);
    tear_down();
    printf("%ld allocations, each failed twice\n", total);
    return getenv("N") || total > 500 ? 0 : 1;
}
