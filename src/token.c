/* SPDX-License-Identifier: MIT
 *
 * token - see token.h. The way of a token:
 *
 *     three parts ──► header: alg, kid, crit ──► a key that is bound to alg ──► signature ──► claims ──►
 * rules
 *
 * Header and claims are read here, strictly (duplicates, trailing bits, padding and white space are refused),
 * so that nobody can make this room and cjose see two different tokens in the same bytes.
 */
#include "token.h"

#include <jansson.h>
#include <limits.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>

#define SECONDS_MAX 8.64e12 /* what a JavaScript Date can hold */

#define RESULT_ROW(name, code, detail) [TOKEN_##name] = {code, detail},
static const struct {
    const char *code, *detail;
} results[] = {TOKEN_RESULTS(RESULT_ROW)};

const char *token_code(enum token_result result)
{
    return results[result].code;
}

const char *token_detail(enum token_result result)
{
    return results[result].detail;
}

/* ---- base64url ---- */

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

ssize_t token_base64url(const char *p, size_t n, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    char *at = out;
    if (n % 4 == 1)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int value = digit(p[i]);
        if (value < 0)
            return -1;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            *at++ = (char)(bits >> held & 0xff);
        }
    }
    return bits & ((1u << held) - 1) ? -1 : at - out; /* two texts must not be the same bytes */
}

/* ---- rights ---- */

/* Does the entry, with a final `*` a beginning, cover the name? */
static bool covers(struct span entry, struct span name)
{
    if (entry.len > 0 && entry.p[entry.len - 1] == '*')
        return span_starts(name, (struct span){entry.p, entry.len - 1});
    return span_eq(entry, name);
}

bool token_is_pattern(struct span topic)
{
    return text_is_name(topic.p, topic.len, TIDINGS_TOPIC_MAX);
}

#define CLIENT_TARGET SPAN("client:")
#define TOPIC_TARGET  SPAN("topic:")

static struct span behind(struct span target, struct span scheme)
{
    return (struct span){target.p + scheme.len, target.len - scheme.len};
}

bool token_is_target(struct span target)
{
    struct span name;
    if (span_eq(target, SPAN("*")) || span_eq(target, SPAN("broadcast")))
        return true;
    if (span_starts(target, CLIENT_TARGET)) {
        name = behind(target, CLIENT_TARGET);
        return text_is_name(name.p, name.len, TIDINGS_CLIENT_ID_MAX);
    }
    if (!span_starts(target, TOPIC_TARGET))
        return false;
    name = behind(target, TOPIC_TARGET);
    return text_is_name(name.p, name.len, TIDINGS_TOPIC_MAX);
}

bool token_may_be(const struct token_claims *c, struct span client_id)
{
    return c->subject.p && (span_eq(c->subject, SPAN("*")) || span_eq(c->subject, client_id));
}

bool token_may_subscribe(const struct token_claims *c, struct span topic)
{
    for (uint32_t i = 0; i < c->subscribe_count; i++)
        if (covers(c->subscribe[i], topic))
            return true;
    return false;
}

static bool covers_target(struct span entry, enum token_target target, struct span name)
{
    if (span_eq(entry, SPAN("*")))
        return true;
    if (target == TOKEN_BROADCAST)
        return span_eq(entry, SPAN("broadcast"));
    struct span scheme = target == TOKEN_CLIENT ? CLIENT_TARGET : TOPIC_TARGET;
    return span_starts(entry, scheme) && covers(behind(entry, scheme), name);
}

bool token_may_publish(const struct token_claims *c, enum token_target target, struct span name)
{
    for (uint32_t i = 0; i < c->publish_count; i++)
        if (covers_target(c->publish[i], target, name))
            return true;
    return c->admin;
}

/* ---- reading ---- */

struct parts {
    struct span header, payload, signature;
};

static bool split(struct span text, struct parts *parts)
{
    struct span rest = text;
    parts->header = span_split(&rest, '.');
    parts->payload = rest.p ? span_split(&rest, '.') : (struct span){0};
    parts->signature = rest;
    return parts->header.len > 0 && parts->payload.len > 0 && rest.p && !memchr(rest.p, '.', rest.len);
}

/* An object in a part, or NULL; *result says why. The caller drops it. */
static json_t *read_object(struct span part, enum token_result *result)
{
    char text[TOKEN_MAX];
    json_error_t why;
    *result = TOKEN_MALFORMED;
    ssize_t n = token_base64url(part.p, part.len, text);
    if (n < 0 || memchr(text, '\0', (size_t)n)) /* jansson overlooks a NUL behind a number or a word */
        return NULL;
    json_t *object = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why);
    explicit_bzero(text, sizeof(text));
    if (!object && json_error_code(&why) == json_error_out_of_memory)
        *result = TOKEN_MEMORY;
    if (object && !json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static struct span text_of(const json_t *value)
{
    return json_is_string(value) ? (struct span){json_string_value(value), json_string_length(value)}
                                 : (struct span){0};
}

/* RFC 8725 section 3.11: a token that was made for something else says so. */
static bool is_our_type(const json_t *type)
{
    struct span name = text_of(type);
    if (span_starts(name, SPAN("application/")))
        name = behind(name, SPAN("application/"));
    return !type || span_eq_nocase(name, SPAN("JWT")) || span_eq_nocase(name, SPAN("at+jwt"));
}

static enum token_result read_header(const json_t *header, enum token_algorithm *algorithm, struct span *kid)
{
    static const char *const unsupported[] = {"crit", "b64", "enc", "zip"};
    const json_t *named = json_object_get(header, "kid");
    for (unsigned i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
        if (json_object_get(header, unsupported[i]))
            return TOKEN_HEADER;
    if (!is_our_type(json_object_get(header, "typ")))
        return TOKEN_HEADER;
    *kid = text_of(named);
    if (named && !kid->p)
        return TOKEN_HEADER;
    *algorithm = token_algorithm_of(text_of(json_object_get(header, "alg")));
    return *algorithm == TOKEN_NO_ALGORITHM ? TOKEN_ALGORITHM : TOKEN_OK;
}

/* Is it what it should be, byte for byte? cjose must be shown nothing else: its decoder ends the process at a
 * `=` in the wrong place (0.6.2, assert() in base64.c). */
static bool is_base64url(struct span part)
{
    char unused[TOKEN_MAX];
    return token_base64url(part.p, part.len, unused) >= 0;
}

static enum token_result check_signature(const struct token_keys *keys, const struct parts *parts,
                                         struct span text)
{
    enum token_algorithm algorithm = TOKEN_NO_ALGORITHM;
    enum token_result result;
    struct span kid = {0};
    if (!is_base64url(parts->payload))
        return TOKEN_MALFORMED;
    json_t *header = read_object(parts->header, &result);
    if (!header)
        return result;
    result = read_header(header, &algorithm, &kid);
    if (result == TOKEN_OK && (parts->signature.len == 0 || !is_base64url(parts->signature)))
        result = TOKEN_SIGNATURE;
    if (result == TOKEN_OK) {
        enum token_check check = token_keys_verify(keys, algorithm, kid, text);
        result = check == TOKEN_CHECK_OK       ? TOKEN_OK
                 : check == TOKEN_CHECK_MEMORY ? TOKEN_MEMORY
                 : check == TOKEN_CHECK_WRONG  ? TOKEN_SIGNATURE
                 : kid.p                       ? TOKEN_KEY
                                               : TOKEN_ALGORITHM;
    }
    json_decref(header);
    return result;
}

/* ---- claims ---- */

/* NumericDate (RFC 7519 section 2) as ms. False: not one. */
static bool read_date(const json_t *claims, const char *name, bool *there, uint64_t *ms)
{
    const json_t *value = json_object_get(claims, name);
    *there = value != NULL;
    if (!value)
        return true;
    if (!json_is_number(value))
        return false;
    double seconds = json_number_value(value);
    if (!(seconds >= 0 && seconds <= SECONDS_MAX))
        return false;
    *ms = (uint64_t)(seconds * 1000);
    return true;
}

static enum token_result check_times(const json_t *claims, const struct token_rules *rules, uint64_t now,
                                     uint64_t *expires)
{
    uint64_t begins = 0, issued = 0;
    bool ends, has_begin, has_issue;
    *expires = TOKEN_NEVER;
    if (!read_date(claims, "exp", &ends, expires) || !read_date(claims, "nbf", &has_begin, &begins) ||
        !read_date(claims, "iat", &has_issue, &issued))
        return TOKEN_CLAIMS;
    if (!ends && !rules->allow_no_exp)
        return TOKEN_NO_EXPIRY;
    if (ends && now >= *expires + rules->leeway_ms)
        return TOKEN_EXPIRED;
    return has_begin && now + rules->leeway_ms < begins ? TOKEN_TOO_EARLY : TOKEN_OK;
}

static bool is_meant(const json_t *audience, struct span us, bool *valid)
{
    const json_t *one;
    size_t i;
    bool found = json_is_string(audience) && span_eq(text_of(audience), us);
    *valid = json_is_string(audience) || json_is_array(audience);
    json_array_foreach(audience, i, one)
    {
        *valid &= json_is_string(one);
        found |= json_is_string(one) && span_eq(text_of(one), us);
    }
    return found;
}

static enum token_result check_parties(const json_t *claims, const struct token_rules *rules)
{
    const json_t *issuer = json_object_get(claims, "iss"), *audience = json_object_get(claims, "aud");
    bool valid = true;
    bool meant = audience && is_meant(audience, span_of(rules->audience), &valid);
    if ((issuer && !json_is_string(issuer)) || !valid)
        return TOKEN_CLAIMS;
    if (rules->issuer && !span_eq(text_of(issuer), span_of(rules->issuer)))
        return TOKEN_ISSUER;
    return rules->audience && !meant ? TOKEN_AUDIENCE : TOKEN_OK;
}

/* The entries of a list: how many, and the bytes of their texts. */
static bool measure(const json_t *list, bool (*is_valid)(struct span), uint32_t *count, size_t *bytes)
{
    const json_t *one;
    size_t i;
    *count = 0;
    if (!list)
        return true;
    if (!json_is_array(list) || json_array_size(list) > TOKEN_ENTRIES)
        return false;
    json_array_foreach(list, i, one)
    {
        struct span entry = text_of(one);
        if (!entry.p || !is_valid(entry))
            return false;
        *bytes += entry.len;
    }
    *count = (uint32_t)json_array_size(list);
    return true;
}

static struct span keep(struct span text, char **room)
{
    struct span kept = {*room, text.len};
    if (!text.p)
        return (struct span){0};
    memcpy(*room, text.p, text.len);
    *room += text.len;
    return kept;
}

static void keep_list(struct span *out, const json_t *list, char **room)
{
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) out[i] = keep(text_of(one), room);
}

static bool is_text(const json_t *value, size_t max)
{
    struct span text = text_of(value);
    return !value || (text.p && text_is_name(text.p, text.len, max));
}

static enum token_result make_claims(const json_t *from, uint64_t expires, struct token_claims **out)
{
    const json_t *ours = json_object_get(from, "tidings"), *admin = json_object_get(ours, "admin");
    const json_t *subscribe = json_object_get(ours, "subscribe"), *publish = json_object_get(ours, "publish");
    const json_t *subject = json_object_get(from, "sub"), *id = json_object_get(from, "jti");
    uint32_t subscribes, publishes;
    size_t bytes = text_of(subject).len + text_of(id).len;
    if ((ours && !json_is_object(ours)) || (admin && !json_is_boolean(admin)) ||
        !is_text(subject, TIDINGS_CLIENT_ID_MAX) || !is_text(id, TOKEN_ID_MAX) ||
        !measure(subscribe, token_is_pattern, &subscribes, &bytes) ||
        !measure(publish, token_is_target, &publishes, &bytes))
        return TOKEN_CLAIMS;
    struct token_claims *c = malloc(sizeof(*c) + (subscribes + publishes) * sizeof(struct span) + bytes);
    if (!c)
        return TOKEN_MEMORY;
    struct span *spans = (struct span *)(c + 1);
    char *room = (char *)(spans + subscribes + publishes);
    *c = (struct token_claims){.expires = expires,
                               .admin = json_is_true(admin),
                               .subscribe = spans,
                               .publish = spans + subscribes,
                               .subscribe_count = subscribes,
                               .publish_count = publishes};
    c->subject = keep(text_of(subject), &room);
    c->id = keep(text_of(id), &room);
    keep_list(c->subscribe, subscribe, &room);
    keep_list(c->publish, publish, &room);
    *out = c;
    return TOKEN_OK;
}

static enum token_result read_claims(struct span payload, const struct token_rules *rules, uint64_t now,
                                     struct token_claims **claims)
{
    uint64_t expires;
    enum token_result result;
    json_t *object = read_object(payload, &result);
    if (!object)
        return result;
    result = check_times(object, rules, now, &expires);
    result = result == TOKEN_OK ? check_parties(object, rules) : result;
    result = result == TOKEN_OK ? make_claims(object, expires, claims) : result;
    json_decref(object);
    return result;
}

enum token_result token_verify(const struct token_keys *keys, const struct token_rules *rules,
                               struct span text, uint64_t now_ms, struct token_claims **claims)
{
    struct parts parts;
    if (text.len > TOKEN_MAX)
        return TOKEN_TOO_LARGE;
    if (!text.p || !split(text, &parts))
        return TOKEN_MALFORMED;
    enum token_result result = check_signature(keys, &parts, text);
    return result == TOKEN_OK ? read_claims(parts.payload, rules, now_ms, claims) : result;
}

void token_claims_free(struct token_claims *claims)
{
    free(claims);
}

/* ---- signing ---- */

static char *put_base64url(char *at, const unsigned char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (held += 8; held >= 6; held -= 6)
            *at++ = digits[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *at++ = digits[bits << (6 - held) & 63];
    return at;
}

static int check_object(struct span text)
{
    json_error_t why;
    json_t *object = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &why);
    int rc = !object && json_error_code(&why) == json_error_out_of_memory ? TIDINGS_ENOMEM : 0;
    rc = rc == 0 && !json_is_object(object) ? TIDINGS_EINVAL : rc;
    json_decref(object);
    return rc;
}

#define SIGN_HEADER      "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define SIGNATURE_LEN    32
#define BASE64URL_LEN(n) (((n)*4 + 2) / 3)

int token_sign(struct span claims, struct span secret, char *out, size_t size)
{
    unsigned char mac[SIGNATURE_LEN];
    unsigned int mac_len = sizeof(mac);
    size_t need = BASE64URL_LEN(sizeof(SIGN_HEADER) - 1) + BASE64URL_LEN(sizeof(mac)) + 2;
    if (!claims.p || !secret.p || secret.len == 0 || secret.len > INT_MAX)
        return TIDINGS_EINVAL;
    if (claims.len > TOKEN_MAX || need + BASE64URL_LEN(claims.len) > TOKEN_MAX ||
        need + BASE64URL_LEN(claims.len) >= size)
        return TIDINGS_ETOOBIG;
    int rc = check_object(claims);
    if (rc < 0)
        return rc;
    char *at = put_base64url(out, (const unsigned char *)SIGN_HEADER, sizeof(SIGN_HEADER) - 1);
    *at++ = '.';
    at = put_base64url(at, (const unsigned char *)claims.p, claims.len);
    if (!HMAC(EVP_sha256(), secret.p, (int)secret.len, (const unsigned char *)out, (size_t)(at - out), mac,
              &mac_len))
        return TIDINGS_ENOMEM;
    *at++ = '.';
    at = put_base64url(at, mac, sizeof(mac));
    *at = '\0';
    return (int)(at - out);
}
