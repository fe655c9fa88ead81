/* SPDX-License-Identifier: MIT
 *
 * auth - see auth.h. Where credentials are looked for, in this order; the first that is there counts alone,
 * also if it is wrong, but for a session, which is the hub's own:
 *
 *     to subscribe   Authorization ──► cookie tidings_token ──► query access_token ──► session (cookie)
 *     to act         Authorization ──► session (cookie) ──► cookie tidings_token
 *
 * Keys come in the header only, tokens anywhere. Recognising one takes the same time whatever was sent: its
 * hash, keyed with the hub's secret, is compared with all of them to the last byte. A session is a text with
 * its end and the number of its key in it, and a code that only this hub can make: nothing has to be
 * remembered for it.
 */
#include "auth.h"

#include "bearer.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_LEN 32

struct key {
    unsigned char hash[HASH_LEN];
    bool is_admin;
};

struct auth {
    atomic_uint refs;
    struct auth_secret secret;
    EVP_MD *sha256;
    bool anonymous;
    bool public_metrics;
    char **hosts;
    char **origins;
    struct netaddr_net *proxies;
    size_t proxy_count;
    struct token_keys *tokens; /* NULL: none are understood */
    struct token_rules rules;  /* with copies of the texts */
    uint64_t tokens_number;    /* stands for the keys of tokens, in sessions */
    size_t key_count;
    struct key keys[];
};

/* ---- hashes ---- */

static bool hash(const struct auth_secret *secret, struct span text, unsigned char out[HASH_LEN])
{
    unsigned int len = HASH_LEN;
    return HMAC(EVP_sha256(), secret->bytes, sizeof(secret->bytes), (const unsigned char *)text.p, text.len,
                out, &len) != NULL;
}

/* The same for keys, which are looked up with every request: a tenth of the time. What nobody is shown needs
 * no HMAC. */
static bool hash_key(const struct auth *a, struct span key, unsigned char out[HASH_LEN])
{
    unsigned char text[AUTH_SECRET_LEN + TIDINGS_KEY_MAX];
    if (key.len > TIDINGS_KEY_MAX)
        return false;
    memcpy(text, a->secret.bytes, AUTH_SECRET_LEN);
    memcpy(text + AUTH_SECRET_LEN, key.p, key.len);
    bool done = EVP_Digest(text, AUTH_SECRET_LEN + key.len, out, NULL, a->sha256, NULL) == 1;
    OPENSSL_cleanse(text, AUTH_SECRET_LEN + key.len);
    return done;
}

static uint64_t number_of(const unsigned char h[HASH_LEN])
{
    uint64_t n;
    memcpy(&n, h, sizeof(n));
    return n | 1; /* 0 is nobody */
}

/* The key that has this text, or NULL. Looks at all of them. */
static const struct key *find_key(const struct auth *a, struct span text)
{
    unsigned char h[HASH_LEN];
    const struct key *found = NULL;
    if (!hash_key(a, text, h))
        return NULL;
    for (size_t i = 0; i < a->key_count; i++)
        if (CRYPTO_memcmp(a->keys[i].hash, h, HASH_LEN) == 0)
            found = &a->keys[i];
    OPENSSL_cleanse(h, sizeof(h));
    return found;
}

/* ---- made and unmade ---- */

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* One allocation for a NULL-ended list and its texts; *out stays NULL for an empty one. */
static int copy_list(const char *const *list, char ***out)
{
    size_t n = count(list), bytes = 0;
    *out = NULL;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        bytes += strlen(list[i]) + 1;
    char **copy = malloc((n + 1) * sizeof(*copy) + bytes);
    if (!copy)
        return TIDINGS_ENOMEM;
    char *text = (char *)(copy + n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(list[i]) + 1;
        copy[i] = memcpy(text, list[i], len);
        text += len;
    }
    copy[n] = NULL;
    *out = copy;
    return 0;
}

/* The file in *out, which is the caller's; error names the setting. */
static int read_file(const char *setting, const char *path, char **out, size_t *len, char *error)
{
    int rc = 0;
    FILE *file = fopen(path, "re");
    char *text = malloc(TOKEN_FILE_MAX + 1);
    if (!text)
        rc = TIDINGS_ENOMEM;
    else if (file)
        *len = fread(text, 1, TOKEN_FILE_MAX + 1, file);
    if (rc == 0 && (!file || ferror(file) || *len > TOKEN_FILE_MAX)) {
        snprintf(error, AUTH_ERROR_MAX, "%s %.256s: %s", setting, path,
                 file && !ferror(file) ? "the file is too large" : strerror(errno));
        rc = TIDINGS_ECREDENTIALS;
    }
    if (file)
        fclose(file);
    if (rc < 0)
        free(text);
    else
        *out = text;
    return rc;
}

static void drop_text(char *text, size_t len)
{
    if (text)
        OPENSSL_cleanse(text, len);
    free(text);
}

/* A number that changes when any of the keys does. */
static bool number_tokens(struct auth *a, const struct token_sources *from)
{
    unsigned char h[3 * HASH_LEN] = {0};
    bool fine = hash(&a->secret, (struct span){from->secret, from->secret_len}, h) &&
                hash(&a->secret, (struct span){from->public_key, from->public_key_len}, h + HASH_LEN) &&
                hash(&a->secret, (struct span){from->jwks, from->jwks_len}, h + 2 * HASH_LEN) &&
                hash(&a->secret, (struct span){(const char *)h, sizeof(h)}, h);
    a->tokens_number = number_of(h);
    return fine;
}

static int make_tokens(struct auth *a, const struct token_sources *from, char *error)
{
    char what[AUTH_ERROR_MAX - 64] = "";
    if (!from->secret && !from->public_key && !from->jwks)
        return 0;
    int rc = token_keys_create(&a->tokens, from, what, sizeof(what));
    if (rc < 0) {
        snprintf(error, AUTH_ERROR_MAX, "keys of tokens: %s", what);
        return rc;
    }
    return number_tokens(a, from) ? 0 : TIDINGS_ENOMEM;
}

static int add_tokens(struct auth *a, const struct tidings_config *config, char *error)
{
    struct token_sources from = {.secret = config->jwt_secret,
                                 .secret_len = config->jwt_secret ? strlen(config->jwt_secret) : 0};
    char *pem = NULL, *jwks = NULL;
    int rc = config->jwt_public_key
                 ? read_file("jwt-public-key", config->jwt_public_key, &pem, &from.public_key_len, error)
                 : 0;
    if (rc == 0 && config->jwks)
        rc = read_file("jwks", config->jwks, &jwks, &from.jwks_len, error);
    from.public_key = pem;
    from.jwks = jwks;
    rc = rc < 0 ? rc : make_tokens(a, &from, error);
    drop_text(pem, from.public_key_len);
    drop_text(jwks, from.jwks_len);
    return rc;
}

static int copy_text(const char *text, const char **out)
{
    *out = text ? strdup(text) : NULL;
    return text && !*out ? TIDINGS_ENOMEM : 0;
}

static int add_rules(struct auth *a, const struct tidings_config *config)
{
    a->rules.leeway_ms = config->jwt_leeway;
    a->rules.allow_no_exp = config->jwt_allow_no_exp;
    int rc = copy_text(config->jwt_issuer, &a->rules.issuer);
    return rc < 0 ? rc : copy_text(config->jwt_audience, &a->rules.audience);
}

static int add_keys(struct auth *a, const char *const *list, bool is_admin)
{
    for (; list && *list; list++) {
        struct key *key = &a->keys[a->key_count++];
        key->is_admin = is_admin;
        if (!hash_key(a, span_of(*list), key->hash))
            return TIDINGS_ENOMEM;
    }
    return 0;
}

static int add_proxies(struct auth *a, const char *const *list)
{
    size_t n = count(list);
    if (n == 0)
        return 0;
    a->proxies = calloc(n, sizeof(*a->proxies));
    if (!a->proxies)
        return TIDINGS_ENOMEM;
    for (; a->proxy_count < n; a->proxy_count++)
        netaddr_parse_net(span_of(list[a->proxy_count]), &a->proxies[a->proxy_count]); /* was checked */
    return 0;
}

static int fill(struct auth *a, const struct tidings_config *config, char *error)
{
    /* If memory is short when OpenSSL makes its context, at its first use, it goes on without one (3.0). */
    a->sha256 = OSSL_LIB_CTX_get0_global_default() ? EVP_MD_fetch(NULL, "SHA256", NULL) : NULL;
    int rc = a->sha256 ? copy_list(config->public_hosts, &a->hosts) : TIDINGS_ENOMEM;
    rc = rc < 0 ? rc : copy_list(config->cors_origins, &a->origins);
    rc = rc < 0 ? rc : add_keys(a, config->publish_keys, false);
    rc = rc < 0 ? rc : add_keys(a, config->admin_keys, true); /* last: a key that is both is an admin's */
    rc = rc < 0 ? rc : add_proxies(a, config->trusted_proxies);
    rc = rc < 0 ? rc : add_rules(a, config);
    return rc < 0 ? rc : add_tokens(a, config, error);
}

int auth_create(struct auth **auth, const struct tidings_config *config, const struct auth_secret *secret,
                char error[AUTH_ERROR_MAX])
{
    size_t keys = count(config->publish_keys) + count(config->admin_keys);
    struct auth *a = calloc(1, sizeof(*a) + keys * sizeof(a->keys[0]));
    if (!a)
        return TIDINGS_ENOMEM;
    atomic_init(&a->refs, 1);
    a->secret = *secret;
    a->public_metrics = config->public_metrics;
    int rc = fill(a, config, error);
    a->anonymous =
        config->anonymous == TIDINGS_AUTO ? !a->tokens && !config->authorize_url : config->anonymous != 0;
    if (rc < 0) {
        auth_unref(a);
        return rc;
    }
    *auth = a;
    return 0;
}

struct auth *auth_ref(struct auth *a)
{
    if (a)
        atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void auth_unref(struct auth *a)
{
    if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) > 1)
        return;
    OPENSSL_cleanse(a->keys, a->key_count * sizeof(a->keys[0]));
    OPENSSL_cleanse(&a->secret, sizeof(a->secret));
    EVP_MD_free(a->sha256);
    token_keys_destroy(a->tokens);
    free((char *)(uintptr_t)a->rules.issuer);
    free((char *)(uintptr_t)a->rules.audience);
    free(a->hosts);
    free(a->origins);
    free(a->proxies);
    free(a);
}

bool auth_is_on(const struct auth *a)
{
    return a->key_count > 0 || a->tokens;
}

const struct netaddr_net *auth_proxies(const struct auth *a, size_t *n)
{
    *n = a->proxy_count;
    return a->proxies;
}

const char *const *auth_origins(const struct auth *a)
{
    return (const char *const *)a->origins;
}

/* ---- Host ---- */

static struct span without_port(struct span host)
{
    size_t n = host.len;
    while (n > 0 && host.p[n - 1] >= '0' && host.p[n - 1] <= '9')
        n--;
    return n > 0 && host.p[n - 1] == ':' ? (struct span){host.p, n - 1} : host;
}

static bool is_loopback_v4(struct span name)
{
    struct span rest = name, part;
    unsigned parts = 0;
    uint64_t number, first = 0;
    while (rest.p) {
        part = span_split(&rest, '.');
        if (part.len > 3 || !text_u64(part.p, part.len, &number) || number > 255)
            return false;
        first = parts++ == 0 ? number : first;
    }
    return parts == 4 && first == 127;
}

bool auth_knows_host(const struct auth *a, struct span host)
{
    struct span name = without_port(host);
    if (auth_is_on(a) || host.len == 0 || span_eq_nocase(name, SPAN("localhost")) ||
        span_eq(name, SPAN("[::1]")) || is_loopback_v4(name))
        return true;
    for (char **one = a->hosts; one && *one; one++)
        if (strcmp(*one, "*") == 0 || span_eq_nocase(name, span_of(*one)) ||
            span_eq_nocase(host, span_of(*one)))
            return true;
    return false;
}

/* ---- sessions ---- */

/* "1.END.KEY." - all but the code at its end. */
static int put_session(char out[AUTH_SESSION_MAX], uint64_t end, uint64_t key)
{
    return snprintf(out, AUTH_SESSION_MAX, "1.%" PRIu64 ".%016" PRIx64 ".", end, key);
}

/* Appends the code to the n bytes that are there. */
static bool seal_session(const struct auth *a, char out[AUTH_SESSION_MAX], size_t n)
{
    unsigned char code[HASH_LEN];
    if (!hash(&a->secret, (struct span){out, n}, code))
        return false;
    for (size_t i = 0; i < HASH_LEN; i++)
        snprintf(out + n + 2 * i, 3, "%02x", code[i]);
    return true;
}

static uint64_t key_of_hex(struct span hex)
{
    uint64_t key = 0;
    for (size_t i = 0; i < hex.len; i++)
        key = key << 4 | (uint64_t)text_hex_value(hex.p[i]); // NOLINT(clang-analyzer-core.NullDereference)
    return key;
}

/* Is what a session began with still configured? */
static bool is_admin_key(const struct auth *a, uint64_t number)
{
    if (a->tokens && number == a->tokens_number)
        return true;
    for (size_t i = 0; i < a->key_count; i++)
        if (a->keys[i].is_admin && number_of(a->keys[i].hash) == number)
            return true;
    return false;
}

/* Only what this hub has made is a session: it is written a second time and compared. */
static bool read_session(const struct auth *a, struct span text, uint64_t *end, uint64_t *key)
{
    char again[AUTH_SESSION_MAX];
    struct span rest = text;
    span_split(&rest, '.');
    struct span end_text = rest.p ? span_split(&rest, '.') : rest;
    struct span key_text = rest.p ? span_split(&rest, '.') : rest;
    if (!text_u64(end_text.p, end_text.len, end) || key_text.len != 16)
        return false;
    *key = key_of_hex(key_text);
    int n = put_session(again, *end, *key);
    return n > 0 && (size_t)n + 2 * HASH_LEN == text.len && seal_session(a, again, (size_t)n) &&
           CRYPTO_memcmp(again, text.p, text.len) == 0;
}

/* ---- who it is ---- */

static enum auth_result invalid(struct problem *why, int status, const char *code, const char *detail)
{
    problem_set(why, status, code, "%s", detail);
    return AUTH_INVALID;
}

static uint64_t number_of_token(const struct auth *a, const struct token_claims *claims, struct span text)
{
    uint64_t seed;
    bool named = claims->subject.len > 0 && !span_eq(claims->subject, SPAN("*"));
    struct span of = named ? claims->subject : text;
    memcpy(&seed, a->secret.bytes, sizeof(seed));
    return text_hash(of.p, of.len, seed) | 1;
}

static enum auth_result take_token(const struct auth *a, struct span text, uint64_t now, struct who *who,
                                   struct problem *why)
{
    struct token_claims *claims;
    enum token_result result = token_verify(a->tokens, &a->rules, text, now, &claims);
    if (result != TOKEN_OK) {
        problem_set(why, result == TOKEN_MEMORY ? 503 : 401, token_code(result), "%s", token_detail(result));
        return result == TOKEN_EXPIRED ? AUTH_EXPIRED : AUTH_INVALID;
    }
    *who = (struct who){.kind = AUTH_TOKEN,
                        .is_admin = claims->admin,
                        .is_publisher = claims->admin,
                        .key = number_of_token(a, claims, text),
                        .expires = claims->expires == TOKEN_NEVER ? 0 : claims->expires + a->rules.leeway_ms,
                        .claims = claims};
    return AUTH_OK;
}

enum token_result auth_check_token(const struct auth *a, struct span text, uint64_t now)
{
    struct token_claims *claims;
    if (!a->tokens)
        return TOKEN_KEY;
    enum token_result result = token_verify(a->tokens, &a->rules, text, now, &claims);
    if (result == TOKEN_OK)
        token_claims_free(claims);
    return result;
}

/* Two dots: whoever sends it means a token. */
static bool looks_like_token(struct span text)
{
    unsigned dots = 0;
    for (size_t i = 0; i < text.len; i++)
        dots += text.p[i] == '.';
    return dots == 2;
}

/* A key, or else a token. */
static enum auth_result take_text(const struct auth *a, struct span text, uint64_t now, struct who *who,
                                  struct problem *why)
{
    const struct key *key = text.len > 0 ? find_key(a, text) : NULL;
    if (key) {
        *who = (struct who){
            .kind = AUTH_KEY, .is_admin = key->is_admin, .is_publisher = true, .key = number_of(key->hash)};
        return AUTH_OK;
    }
    if (a->tokens && looks_like_token(text))
        return take_token(a, text, now, who, why);
    return invalid(why, 401, "invalid_key",
                   a->tokens ? "neither a key of this hub nor a JSON Web Token" : "no key of this hub");
}

static enum auth_result take_header(const struct auth *a, const struct h1_head *head, enum auth_use use,
                                    uint64_t now, struct who *who, struct problem *why)
{
    struct span text = bearer_header(head);
    if (bearer_count(head) > 1)
        return invalid(why, 400, "ambiguous_credentials", "Authorization: given twice");
    enum auth_result result = text.len > 0 ? take_text(a, text, now, who, why)
                                           : invalid(why, 401, "invalid_credentials",
                                                     "Authorization: must be Bearer and a key or token");
    /* Without keys of tokens a subscriber's header may be meant for whoever is asked besides the hub. */
    return result != AUTH_OK && use == AUTH_TO_SUBSCRIBE && !a->tokens ? AUTH_OK : result;
}

/* AUTH_MISSING: there is none. */
static enum auth_result take_cookie(const struct auth *a, const struct h1_head *head, uint64_t now,
                                    struct who *who, struct problem *why)
{
    struct span text;
    int found = a->tokens ? bearer_cookie(head, SPAN(AUTH_COOKIE), &text) : 0;
    if (found == 0)
        return AUTH_MISSING;
    if (found < 0)
        return invalid(why, 400, "ambiguous_credentials", "Cookie: two different " AUTH_COOKIE);
    enum auth_result result = take_token(a, text, now, who, why);
    who->by_cookie = true;
    return result;
}

/* AUTH_MISSING: there is none. */
static enum auth_result take_query(const struct auth *a, const struct h1_head *head, uint64_t now,
                                   struct who *who, struct problem *why)
{
    char text[AUTH_TEXT_MAX];
    ssize_t n = a->tokens ? bearer_query(head, text, sizeof(text)) : 0;
    if (n == 0)
        return AUTH_MISSING;
    if (n < 0)
        return invalid(why, 401, token_code(TOKEN_MALFORMED),
                       "access_token: not properly encoded, or too long");
    return take_token(a, (struct span){text, (size_t)n}, now, who, why);
}

/* AUTH_MISSING: there is none, or it is over. */
static enum auth_result take_session(const struct auth *a, const struct h1_head *head, uint64_t now,
                                     struct who *who)
{
    struct span text = {0};
    uint64_t end, key;
    int found = bearer_cookie(head, SPAN(AUTH_SESSION_COOKIE), &text);
    if (found != 1 || !read_session(a, text, &end, &key) || end <= now || !is_admin_key(a, key)) {
        who->was_session = found != 0 && text.len > 0;
        return AUTH_MISSING;
    }
    *who = (struct who){.kind = AUTH_SESSION,
                        .by_cookie = true,
                        .is_admin = true,
                        .is_publisher = true,
                        .key = key,
                        .expires = end};
    return AUTH_OK;
}

static enum auth_result identify_reader(const struct auth *a, const struct h1_head *head, uint64_t now,
                                        struct who *who, struct problem *why)
{
    enum auth_result result = take_cookie(a, head, now, who, why);
    if (result == AUTH_MISSING)
        result = take_query(a, head, now, who, why);
    return result == AUTH_MISSING ? take_session(a, head, now, who) : result;
}

static enum auth_result identify_actor(const struct auth *a, const struct h1_head *head, uint64_t now,
                                       struct who *who, struct problem *why)
{
    enum auth_result result = take_session(a, head, now, who);
    return result == AUTH_MISSING ? take_cookie(a, head, now, who, why) : result;
}

enum auth_result auth_identify(const struct auth *a, const struct h1_head *head, enum auth_use use,
                               uint64_t now, struct who *who, struct problem *why)
{
    *who = (struct who){.kind = AUTH_NOBODY};
    if (!auth_is_on(a))
        return AUTH_OK;
    if (head->known[H1_AUTHORIZATION].p)
        return take_header(a, head, use, now, who, why);
    enum auth_result result = use == AUTH_TO_SUBSCRIBE ? identify_reader(a, head, now, who, why)
                                                       : identify_actor(a, head, now, who, why);
    return result == AUTH_MISSING ? AUTH_OK : result; /* what is missing depends on what is wanted */
}

void auth_forget(struct who *who)
{
    token_claims_free(who->claims);
    *who = (struct who){.kind = AUTH_NOBODY};
}

/* ---- sessions, begun ---- */

static enum auth_result admit_to_session(const struct auth *a, struct span text, uint64_t now,
                                         uint64_t *number, uint64_t *until, struct problem *why)
{
    struct who who = {.kind = AUTH_NOBODY};
    enum auth_result result = take_text(a, text, now, &who, why);
    *until = now + AUTH_SESSION_MS;
    if (who.expires > 0 && who.expires < *until)
        *until = who.expires;
    *number = who.kind == AUTH_TOKEN ? a->tokens_number : who.key;
    if (result == AUTH_OK && !who.is_admin) {
        problem_set(why, 403, "forbidden", "these credentials do not include it: an admin's are needed");
        result = AUTH_FORBIDDEN;
    }
    auth_forget(&who);
    return result;
}

enum auth_result auth_begin_session(const struct auth *a, struct span text, uint64_t now,
                                    char out[AUTH_SESSION_MAX], uint64_t *until, struct problem *why)
{
    uint64_t number;
    enum auth_result result = admit_to_session(a, text, now, &number, until, why);
    if (result != AUTH_OK)
        return result;
    int n = put_session(out, *until, number);
    if (n > 0 && seal_session(a, out, (size_t)n))
        return AUTH_OK;
    return invalid(why, 503, "out_of_memory", "memory is short");
}

/* ---- what he may ---- */

static enum auth_result refuse(const struct who *who, struct problem *why, const char *needs)
{
    bool known = who->kind != AUTH_NOBODY;
    if (who->was_session) {
        problem_set(why, 401, auth_expiry_reason(who), "the login is over; log in again");
        return AUTH_EXPIRED;
    }
    if (known)
        problem_set(why, 403, "forbidden", "these credentials do not include it: %s is needed", needs);
    else
        problem_set(why, 401, "missing_credentials", "Authorization: missing; %s is needed", needs);
    return known ? AUTH_FORBIDDEN : AUTH_MISSING;
}

enum auth_result auth_may_administrate(const struct auth *a, const struct who *who, struct problem *why)
{
    if (!auth_is_on(a) || who->is_admin)
        return AUTH_OK;
    return refuse(who, why, "an admin key, or the token of an admin");
}

enum auth_result auth_may_measure(const struct auth *a, const struct who *who, struct problem *why)
{
    return a->public_metrics ? AUTH_OK : auth_may_administrate(a, who, why);
}

enum auth_result auth_may_publish(const struct auth *a, const struct who *who, struct problem *why)
{
    if (!auth_is_on(a) || who->is_publisher || (who->claims && who->claims->publish_count > 0))
        return AUTH_OK;
    return refuse(who, why, "a publish or admin key, or a token with targets in `publish`");
}

enum auth_result auth_may_subscribe(const struct auth *a, const struct who *who, struct problem *why)
{
    if (a->anonymous || who->is_admin || who->claims)
        return AUTH_OK;
    return refuse(who, why, "the token of this client, or an admin key");
}

static enum auth_result forbid(struct problem *why, const char *field, struct span name, const char *what)
{
    problem_set(why, 403, "forbidden", "%s: \"%.*s\" %s", field, (int)name.len, name.p, what);
    return AUTH_FORBIDDEN;
}

enum auth_result auth_may_send(const struct auth *a, const struct who *who, enum tidings_target target,
                               struct span to, struct problem *why)
{
    static const enum token_target targets[] = {[TIDINGS_TO_CLIENT] = TOKEN_CLIENT,
                                                [TIDINGS_TO_TOPIC] = TOKEN_TOPIC,
                                                [TIDINGS_TO_ALL] = TOKEN_BROADCAST};
    if (!who->claims || who->is_publisher || token_may_publish(who->claims, targets[target], to))
        return auth_may_publish(a, who, why);
    if (target == TIDINGS_TO_ALL)
        return forbid(why, "broadcast", SPAN("broadcast"), "is not in the token's `publish`");
    return forbid(why, target == TIDINGS_TO_CLIENT ? "clientId" : "topic", to,
                  "is not in the token's `publish`");
}

enum auth_result auth_may_receive(const struct auth *a, const struct who *who, struct span client_id,
                                  const struct span *topics, uint32_t count, struct problem *why)
{
    if (!who->claims || a->anonymous || who->is_admin)
        return auth_may_subscribe(a, who, why);
    if (!token_may_be(who->claims, client_id))
        return forbid(why, "clientId", client_id, "is not the token's `sub`");
    for (uint32_t i = 0; i < count; i++)
        if (!token_may_subscribe(who->claims, topics[i]))
            return forbid(why, "topic", topics[i], "is not in the token's `subscribe`");
    return AUTH_OK;
}

enum auth_result auth_may_go_on(const struct who *who, uint64_t now, struct problem *why)
{
    if (who->expires == 0 || now < who->expires)
        return AUTH_OK;
    problem_set(why, 401, auth_expiry_reason(who), "what the request was admitted with has expired");
    return AUTH_EXPIRED;
}

const char *auth_expiry_reason(const struct who *who)
{
    return who->kind == AUTH_SESSION || who->was_session ? "session_expired" : token_code(TOKEN_EXPIRED);
}
