/* SPDX-License-Identifier: MIT
 *
 * fuzz_token - one input as a token or as keys of tokens. Its first byte says which (low 3 bits), and by what
 * rules a token is judged (the others):
 *
 *       0 text     the rest is a token, as a stranger would send it
 *       1 claims   the rest is signed under an honest header
 *       2 both     header, line end, claims: signed
 *       3 PEM      the rest is a file with a public key
 *       4 set      the rest is a JSON Web Key Set
 *
 * Signing again is what lets the fuzzer see what lies behind the signature. Beside not crashing: whatever is
 * believed is JSON to another parser (jansson) too, is in force, holds names and targets that the contract
 * allows, and is not believed any more when one byte of it is another, more or less.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>

#include "mint.h"
#include "token.h"

#define SECRET "a secret for fuzzing, of more than the sixty-four bytes of HS512"
#define HEADER "{\"alg\":\"HS256\"}"
#define NOW    UINT64_C(1300819379000) /* ms; the examples of RFC 7515 have one second left */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must work in every kind of build. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static char *copy_of(const void *p, size_t n)
{
    char *copy = malloc(n ? n : 1);
    must(copy != NULL);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

/* ---- keys ---- */

/* The public keys of RFC 7515 appendix A.2 and A.3, whose examples are in the corpus. */
static const char set[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql"
    "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs"
    "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud"
    "F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}";

static struct token_keys *keys_of(struct token_sources from)
{
    struct token_keys *keys = NULL;
    char error[256] = "";
    int rc = token_keys_create(&keys, &from, error, sizeof(error));
    must(rc == 0 || rc == TIDINGS_ECREDENTIALS);
    if (rc == 0)
        return keys;
    must(keys == NULL && strlen(error) > 0 && text_is_name(error, strlen(error), sizeof(error)));
    must(strncmp(error, "jw", 2) == 0); /* names its source */
    return NULL;
}

static const struct token_keys *our_keys(void)
{
    static struct token_keys *keys;
    if (!keys)
        keys = keys_of((struct token_sources){
            .secret = SECRET, .secret_len = strlen(SECRET), .jwks = set, .jwks_len = strlen(set)});
    must(keys != NULL);
    return keys;
}

/* Keys that a fuzzer made: may be asked, whatever they are. */
static void check_keys(struct token_sources from)
{
    static const char *const tokens[] = {"eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
                                         "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"};
    struct token_keys *keys = keys_of(from);
    const struct token_rules rules = {.allow_no_exp = true};
    struct token_claims *claims = NULL;
    if (!keys)
        return;
    token_keys_has_weak_secret(keys);
    for (unsigned i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
        must(token_verify(keys, &rules, span_of(tokens[i]), NOW, &claims) != TOKEN_OK);
    token_keys_destroy(keys);
}

/* ---- what is believed ---- */

static struct token_rules rules_of(unsigned bits)
{
    return (struct token_rules){.issuer = bits & 1 ? "joe" : NULL,
                                .audience = bits & 2 ? "hub" : NULL,
                                .leeway_ms = bits & 4 ? 3600000 : 0,
                                .allow_no_exp = bits & 8};
}

/* A part of a believed token is an object in anybody's eyes, with no member twice. Numbers that nobody reads
 * may be larger than jansson likes. */
static void check_part(struct span part)
{
    char text[TOKEN_MAX];
    json_error_t why;
    ssize_t n = text_base64url(part.p, part.len, text);
    must(n > 0);
    json_t *object = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why);
    must(json_is_object(object) || json_error_code(&why) == json_error_numeric_overflow);
    json_decref(object);
}

static void check_rights(const struct token_claims *c)
{
    must(c->subscribe_count <= TOKEN_ENTRIES && c->publish_count <= TOKEN_ENTRIES);
    for (uint32_t i = 0; i < c->subscribe_count; i++) {
        must(text_is_name(c->subscribe[i].p, c->subscribe[i].len, TIDINGS_TOPIC_MAX));
        must(token_may_subscribe(c, c->subscribe[i]));
    }
    for (uint32_t i = 0; i < c->publish_count; i++) {
        struct span target = c->publish[i], name = target;
        must(token_is_target(target));
        must(memchr(target.p, ':', target.len) || target.len == 1 || span_eq(target, SPAN("broadcast")));
        span_split(&name, ':');
        must(token_may_publish(c,
                               span_starts(target, SPAN("client:"))  ? TOKEN_CLIENT
                               : span_starts(target, SPAN("topic:")) ? TOKEN_TOPIC
                                                                     : TOKEN_BROADCAST,
                               name));
    }
    if (c->publish_count == 0)
        must(token_may_publish(c, TOKEN_BROADCAST, SPAN("")) == c->admin);
    if (c->subscribe_count == 0)
        must(!token_may_subscribe(c, SPAN("news")));
}

static void check_claims(const struct token_claims *c, const struct token_rules *rules)
{
    must(c->expires == TOKEN_NEVER ? rules->allow_no_exp : c->expires + rules->leeway_ms > NOW);
    must(!c->subject.p || text_is_name(c->subject.p, c->subject.len, TIDINGS_CLIENT_ID_MAX));
    must(!c->id.p || text_is_name(c->id.p, c->id.len, TOKEN_ID_MAX));
    must(token_may_be(c, c->subject) == (c->subject.p != NULL));
    if (!span_eq(c->subject, SPAN("*")))
        must(!token_may_be(c, SPAN("somebody else of 30 letters..")) || c->subject.len == 29);
    check_rights(c);
}

static enum token_result judge(struct span text, const struct token_rules *rules, bool look)
{
    char *exact = copy_of(text.p, text.len);
    struct token_claims *claims = NULL;
    enum token_result result = token_verify(our_keys(), rules, (struct span){exact, text.len}, NOW, &claims);
    must(result <= TOKEN_MEMORY && (result == TOKEN_OK) == (claims != NULL));
    if (claims && look)
        check_claims(claims, rules);
    token_claims_free(claims);
    free(exact);
    return result;
}

/* One byte changed (which, the text says), one more, one less. */
static void bend(struct span text, const struct token_rules *rules)
{
    char *bent = malloc(text.len + 1);
    size_t at = text_hash(text.p, text.len, 1) % text.len;
    must(bent != NULL);
    memcpy(bent, text.p, text.len);
    bent[text.len] = 'A';
    must(judge((struct span){bent, text.len + 1}, rules, false) != TOKEN_OK);
    must(judge((struct span){bent, text.len - 1}, rules, false) != TOKEN_OK);
    bent[at] ^= (char)(1u << at % 8);
    must(judge((struct span){bent, text.len}, rules, false) != TOKEN_OK);
    free(bent);
}

/* Without a key: what a hub believes can be read and nothing is wrong with it, and what it does not for
 * another reason than its key is not called fine. */
static void look(struct span text, const struct token_rules *rules, enum token_result judged)
{
    struct token_text out;
    bool readable;
    enum token_result result = token_inspect(rules, text, NOW, &out, &readable);
    bool by_key = judged == TOKEN_SIGNATURE || judged == TOKEN_KEY || judged == TOKEN_ALGORITHM;
    must(readable || result == TOKEN_MALFORMED || result == TOKEN_TOO_LARGE);
    must(by_key || (result == TOKEN_OK) == (judged == TOKEN_OK));
    if (readable)
        must(out.header_len > 1 && out.header_len <= text.len && out.claims_len > 1 &&
             out.claims_len <= text.len);
}

static enum token_result check_token(struct span text, const struct token_rules *rules)
{
    enum token_result result = judge(text, rules, true);
    look(text, rules, result);
    must(token_detail(result) != NULL && (result == TOKEN_OK) == (token_code(result)[0] == '\0'));
    if (result == TOKEN_OK) {
        struct span rest = text;
        check_part(span_split(&rest, '.'));
        check_part(span_split(&rest, '.'));
        bend(text, rules);
    }
    return result;
}

/* ---- the input ---- */

static void check_signed(struct span header, struct span claims, const struct token_rules *rules, bool honest)
{
    char text[MINT_MAX];
    if (header.len + claims.len > MINT_MAX / 2)
        return;
    mint_bytes(text, header.p, header.len, claims.p, claims.len, "HS256", SECRET, NULL);
    enum token_result result = check_token(span_of(text), rules);
    if (honest && claims.len > 0)
        must(result != TOKEN_HEADER && result != TOKEN_ALGORITHM && result != TOKEN_KEY &&
             result != TOKEN_SIGNATURE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *copy = copy_of(data + 1, size - 1);
    struct span input = {copy, size - 1}, rest = input, header;
    const struct token_rules rules = rules_of(data[0] >> 3);
    switch (data[0] & 7) {
    case 1:
        check_signed(SPAN(HEADER), input, &rules, true);
        break;
    case 2:
        header = span_split(&rest, '\n');
        if (rest.p)
            check_signed(header, rest, &rules, false);
        break;
    case 3:
        check_keys((struct token_sources){.public_key = copy, .public_key_len = input.len});
        break;
    case 4:
        check_keys((struct token_sources){.jwks = copy, .jwks_len = input.len});
        break;
    default:
        check_token(input, &rules);
    }
    free(copy);
    return 0;
}
