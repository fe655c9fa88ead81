/* SPDX-License-Identifier: MIT
 *
 * token - see token.h. The way of a token:
 *
 *     three parts ──► header: alg, kid, crit ──► a key that is bound to alg ──► signature ──► claims ──►
 * rules
 *
 * Header and claims are read strictly: names that are there twice, spare bits, padding and white space are
 * refused, so that nobody can make two readers see different tokens in the same bytes. Reading allocates
 * nothing; only what is believed is kept, in one allocation.
 */
#include "token.h"

#include "members.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>

#define DATE_MAX       UINT64_C(8640000000000000) /* ms: what a JavaScript Date can hold */
#define HEADER_MEMBERS 64                         /* of a header, which anybody may send */

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

/* The object in a part, of which room takes the text; p = NULL if there is none. */
static struct span read_object(struct span part, unsigned members, char *room)
{
    ssize_t n = text_base64url(part.p, part.len, room);
    struct span object = {room, n < 0 ? 0 : (size_t)n};
    return n < 0 || members_check(object, members) ? (struct span){0} : object;
}

/* RFC 8725 section 3.11: a token that was made for something else says so. */
static bool is_our_type(struct span header, char *room)
{
    struct member type = members_find(header, "typ");
    struct span name = members_text(&type, room);
    if (span_starts(name, SPAN("application/")))
        name = behind(name, SPAN("application/"));
    return !type.raw.p || span_eq_nocase(name, SPAN("JWT")) || span_eq_nocase(name, SPAN("at+jwt"));
}

/* What of a header matters. The texts are in `text` and `room`. */
struct header {
    char text[TOKEN_MAX], room[TOKEN_MAX];
    enum jws_algorithm algorithm;
    struct span kid; /* p = NULL: it names no key */
};

static enum token_result read_header(struct span part, struct header *h)
{
    static const char *const unsupported[] = {"crit", "b64", "enc", "zip"};
    struct span object = read_object(part, HEADER_MEMBERS, h->text);
    if (!object.p)
        return TOKEN_MALFORMED;
    for (unsigned i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
        if (members_find(object, unsupported[i]).raw.p)
            return TOKEN_HEADER;
    struct member alg = members_find(object, "alg"), kid = members_find(object, "kid");
    if (!is_our_type(object, h->room) || (kid.raw.p && kid.kind != JSON_STRING))
        return TOKEN_HEADER;
    h->algorithm = jws_algorithm_of(members_text(&alg, h->room));
    h->kid = members_text(&kid, h->room);
    return h->algorithm == JWS_NO_ALGORITHM ? TOKEN_ALGORITHM : TOKEN_OK;
}

static enum token_result check_signature(const struct token_keys *keys, const struct parts *parts,
                                         struct span text)
{
    struct header header;
    char signature[TOKEN_MAX];
    if (text_base64url(parts->payload.p, parts->payload.len, signature) < 0)
        return TOKEN_MALFORMED;
    enum token_result result = read_header(parts->header, &header);
    if (result != TOKEN_OK)
        return result;
    ssize_t len = text_base64url(parts->signature.p, parts->signature.len, signature);
    if (len <= 0)
        return TOKEN_SIGNATURE;
    struct span is_signed = {text.p, parts->header.len + 1 + parts->payload.len};
    switch (token_keys_verify(keys, header.algorithm, header.kid, is_signed,
                              (struct span){signature, (size_t)len})) {
    case TOKEN_CHECK_OK:
        return TOKEN_OK;
    case TOKEN_CHECK_MEMORY:
        return TOKEN_MEMORY;
    case TOKEN_CHECK_WRONG:
        return TOKEN_SIGNATURE;
    default:
        return header.kid.p ? TOKEN_KEY : TOKEN_ALGORITHM;
    }
}

/* ---- claims ---- */

/* NumericDate (RFC 7519 section 2) as ms. False: not one. */
static bool read_date(struct span claims, const char *name, bool *there, uint64_t *ms)
{
    struct member value = members_find(claims, name);
    *there = value.raw.p != NULL;
    return !value.raw.p || members_milli(&value, DATE_MAX, ms);
}

static enum token_result check_times(struct span claims, const struct token_rules *rules, uint64_t now,
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

/* Are we among those it is meant for? False in *valid: it is no text, nor a list of texts. */
static bool is_meant(const struct member *audience, struct span us, char *room, bool *valid)
{
    struct json_walk walk;
    struct json_field one;
    *valid = audience->kind == JSON_STRING || audience->kind == JSON_ARRAY;
    if (audience->kind == JSON_STRING)
        return span_eq(members_text(audience, room), us);
    bool found = false;
    if (!*valid || json_walk_init(&walk, audience->raw, '[') < 0)
        return false;
    while (json_walk_next(&walk, &one) > 0) {
        *valid &= one.kind == JSON_STRING;
        found |= span_eq(members_text(&(struct member){one.kind, one.value}, room), us);
    }
    return found;
}

static enum token_result check_parties(struct span claims, const struct token_rules *rules, char *room)
{
    struct member issuer = members_find(claims, "iss"), audience = members_find(claims, "aud");
    bool valid = true;
    bool meant = audience.raw.p && is_meant(&audience, span_of(rules->audience), room, &valid);
    if ((issuer.raw.p && issuer.kind != JSON_STRING) || !valid)
        return TOKEN_CLAIMS;
    if (rules->issuer && !span_eq(members_text(&issuer, room), span_of(rules->issuer)))
        return TOKEN_ISSUER;
    return rules->audience && !meant ? TOKEN_AUDIENCE : TOKEN_OK;
}

static bool is_text(const struct member *value, size_t max, char *room)
{
    struct span text = members_text(value, room);
    return !value->raw.p || (text.p && text_is_name(text.p, text.len, max));
}

/* What a hub reads of claims, before it is a struct token_claims. */
struct rights {
    struct member subject, id, ours, subscribe, publish, admin;
    uint32_t subscribes, publishes;
    size_t bytes;
};

static bool read_rights(struct span claims, struct rights *r, char *room)
{
    r->subject = members_find(claims, "sub");
    r->id = members_find(claims, "jti");
    r->ours = members_find(claims, "tidings");
    if (r->ours.raw.p && r->ours.kind != JSON_OBJECT)
        return false;
    r->subscribe = members_find(r->ours.raw, "subscribe");
    r->publish = members_find(r->ours.raw, "publish");
    r->admin = members_find(r->ours.raw, "admin");
    r->bytes = r->subject.raw.len + r->id.raw.len;
    return (!r->admin.raw.p || r->admin.kind == JSON_BOOL) &&
           is_text(&r->subject, TIDINGS_CLIENT_ID_MAX, room) && is_text(&r->id, TOKEN_ID_MAX, room) &&
           members_measure(&r->subscribe, TOKEN_ENTRIES, token_is_pattern, room, TOKEN_MAX, &r->subscribes,
                           &r->bytes) &&
           members_measure(&r->publish, TOKEN_ENTRIES, token_is_target, room, TOKEN_MAX, &r->publishes,
                           &r->bytes);
}

static enum token_result make_claims(const struct rights *r, uint64_t expires, struct token_claims **out)
{
    uint32_t entries = r->subscribes + r->publishes;
    struct token_claims *c = malloc(sizeof(*c) + entries * sizeof(struct span) + r->bytes);
    if (!c)
        return TOKEN_MEMORY;
    struct span *spans = (struct span *)(c + 1);
    char *room = (char *)(spans + entries);
    *c = (struct token_claims){.expires = expires,
                               .admin = span_eq(r->admin.raw, SPAN("true")),
                               .subscribe = spans,
                               .publish = spans + r->subscribes,
                               .subscribe_count = r->subscribes,
                               .publish_count = r->publishes};
    c->subject = members_keep(&r->subject, &room);
    c->id = members_keep(&r->id, &room);
    members_keep_list(c->subscribe, &r->subscribe, &room);
    members_keep_list(c->publish, &r->publish, &room);
    *out = c;
    return TOKEN_OK;
}

static enum token_result judge_claims(struct span claims, const struct token_rules *rules, uint64_t now,
                                      struct rights *rights, uint64_t *expires)
{
    char room[TOKEN_MAX];
    enum token_result result = check_times(claims, rules, now, expires);
    if (result == TOKEN_OK)
        result = check_parties(claims, rules, room);
    return result == TOKEN_OK && !read_rights(claims, rights, room) ? TOKEN_CLAIMS : result;
}

static enum token_result read_claims(struct span payload, const struct token_rules *rules, uint64_t now,
                                     struct token_claims **claims)
{
    char text[TOKEN_MAX];
    struct rights rights;
    uint64_t expires;
    struct span object = read_object(payload, MEMBERS_MAX, text);
    if (!object.p)
        return TOKEN_MALFORMED;
    enum token_result result = judge_claims(object, rules, now, &rights, &expires);
    return result == TOKEN_OK ? make_claims(&rights, expires, claims) : result;
}

static enum token_result take_apart(struct span text, struct parts *parts)
{
    if (text.len > TOKEN_MAX)
        return TOKEN_TOO_LARGE;
    return text.p && split(text, parts) ? TOKEN_OK : TOKEN_MALFORMED;
}

enum token_result token_verify(const struct token_keys *keys, const struct token_rules *rules,
                               struct span text, uint64_t now_ms, struct token_claims **claims)
{
    struct parts parts;
    enum token_result result = take_apart(text, &parts);
    if (result == TOKEN_OK)
        result = check_signature(keys, &parts, text);
    return result == TOKEN_OK ? read_claims(parts.payload, rules, now_ms, claims) : result;
}

enum token_result token_inspect(const struct token_rules *rules, struct span text, uint64_t now_ms,
                                struct token_text *out, bool *readable)
{
    struct parts parts;
    struct header header;
    struct rights rights;
    uint64_t expires;
    char signature[TOKEN_MAX];
    enum token_result result = take_apart(text, &parts);
    *readable = false;
    if (result != TOKEN_OK)
        return result;
    struct span head = read_object(parts.header, HEADER_MEMBERS, out->header),
                claims = read_object(parts.payload, MEMBERS_MAX, out->claims);
    if (!head.p || !claims.p)
        return TOKEN_MALFORMED;
    *readable = true;
    out->header_len = head.len;
    out->claims_len = claims.len;
    result = read_header(parts.header, &header);
    if (result == TOKEN_OK && text_base64url(parts.signature.p, parts.signature.len, signature) <= 0)
        result = TOKEN_SIGNATURE;
    return result == TOKEN_OK ? judge_claims(claims, rules, now_ms, &rights, &expires) : result;
}

void token_claims_free(struct token_claims *claims)
{
    free(claims);
}

/* ---- signing ---- */

#define SIGN_HEADER   "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define SIGNATURE_LEN 32

int token_sign(struct span claims, struct span secret, char *out, size_t size)
{
    unsigned char mac[JWS_MAC_MAX];
    size_t need = TEXT_BASE64URL_LEN(sizeof(SIGN_HEADER) - 1) + TEXT_BASE64URL_LEN(SIGNATURE_LEN) + 2;
    if (!claims.p || !secret.p || secret.len == 0 || secret.len > INT_MAX)
        return TIDINGS_EINVAL;
    if (claims.len > TOKEN_MAX || need + TEXT_BASE64URL_LEN(claims.len) > TOKEN_MAX ||
        need + TEXT_BASE64URL_LEN(claims.len) >= size)
        return TIDINGS_ETOOBIG;
    if (members_check(claims, MEMBERS_MAX))
        return TIDINGS_EINVAL;
    char *at = out + text_put_base64url(out, SIGN_HEADER, sizeof(SIGN_HEADER) - 1);
    *at++ = '.';
    at += text_put_base64url(at, claims.p, claims.len);
    if (jws_hmac(JWS_HS256, secret, (struct span){out, (size_t)(at - out)}, mac) != SIGNATURE_LEN)
        return TIDINGS_ENOMEM;
    *at++ = '.';
    at += text_put_base64url(at, mac, SIGNATURE_LEN);
    *at = '\0';
    return (int)(at - out);
}
