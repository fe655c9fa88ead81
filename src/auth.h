/* SPDX-License-Identifier: MIT
 *
 * auth - who may reach the hub, and as whom: the keys that were configured, where a request carries its
 * credentials (header, cookies, query), and what each right needs. It knows requests as heads and answers
 * with reasons; it knows no connection and no route.
 *
 * A struct auth is immutable and counted: each loop holds one and takes another between turns, without a lock
 * on the way of a request. Keys are held as keyed hashes, never as text.
 */
#ifndef AUTH_H
#define AUTH_H

#include "h1.h"
#include "netaddr.h"
#include "problem.h"
#include "token.h"
#include <tidings.h>

#define AUTH_SECRET_LEN  32
#define AUTH_ERROR_MAX   512
#define AUTH_TEXT_MAX    TOKEN_MAX /* bytes of a key or token as it comes */
#define AUTH_SESSION_MAX 128       /* bytes of a session's cookie */
#define AUTH_SESSION_MS  (12ull * 3600 * 1000)

#define AUTH_COOKIE         "tidings_token"
#define AUTH_SESSION_COOKIE "tidings_admin"

struct auth;

/* What a hub draws once: hashes of keys and sessions depend on it, so no session outlives the hub. */
struct auth_secret {
    unsigned char bytes[AUTH_SECRET_LEN];
};

/* What the configuration says, from now on with one reference; reads the files that it names. 0,
 * TIDINGS_ENOMEM, or TIDINGS_ECREDENTIALS with a sentence in error that names the setting and what is wrong,
 * never what is in it. */
int auth_create(struct auth **auth, const struct tidings_config *config, const struct auth_secret *secret,
                char error[AUTH_ERROR_MAX]);

/* Any thread. NULL is fine for both. */
struct auth *auth_ref(struct auth *auth);
void auth_unref(struct auth *auth);

/* Is any credential configured? */
bool auth_is_on(const struct auth *auth);

/* The proxies whose word counts for where a request comes from. */
const struct netaddr_net *auth_proxies(const struct auth *auth, size_t *count);

/* NULL-ended, or NULL if nothing was configured. */
const char *const *auth_origins(const struct auth *auth);

/* Without credentials only loopback names and those configured may stand in Host: a web page must not reach a
 * developer's hub by DNS rebinding, where Host would be the page's own name. HTTP/1.0 without Host is no
 * browser. */
bool auth_knows_host(const struct auth *auth, struct span host);

enum auth_kind { AUTH_NOBODY, AUTH_KEY, AUTH_SESSION, AUTH_TOKEN };

/* Who sends a request. */
struct who {
    enum auth_kind kind;
    bool by_cookie;
    bool was_session; /* nobody, but the cookie of a session that is over */
    bool is_admin;
    bool is_publisher;           /* may publish to whatever target */
    uint64_t key;                /* stands for the credential, the same as long as the hub runs; 0: nobody */
    uint64_t expires;            /* wall clock, ms, leeway included; 0 = never */
    struct token_claims *claims; /* of a token; owned */
};

/* Gives back what it holds; nobody afterwards. */
void auth_forget(struct who *who);

enum auth_result {
    AUTH_OK,
    AUTH_MISSING,   /* 401: nothing came */
    AUTH_INVALID,   /* 400, 401: what came is not one, or not one of ours; 503: memory is short */
    AUTH_EXPIRED,   /* 401 */
    AUTH_FORBIDDEN, /* 403: known, and not allowed */
};

/* What the request is for: decides where credentials may stand. */
enum auth_use { AUTH_TO_SUBSCRIBE, AUTH_TO_ACT };

/* Finds out who asks; *who, to be ended with auth_forget(), is AUTH_NOBODY when nothing came, which is no
 * failure. now: wall clock, ms. */
enum auth_result auth_identify(const struct auth *auth, const struct h1_head *head, enum auth_use use,
                               uint64_t now, struct who *who, struct problem *why);

/* May he do what an admin does; read metrics; publish at all; subscribe at all? */
enum auth_result auth_may_administrate(const struct auth *auth, const struct who *who, struct problem *why);
enum auth_result auth_may_measure(const struct auth *auth, const struct who *who, struct problem *why);
enum auth_result auth_may_publish(const struct auth *auth, const struct who *who, struct problem *why);
enum auth_result auth_may_subscribe(const struct auth *auth, const struct who *who, struct problem *why);

/* And, when it is known, to this target; to this client's stream with these topics? */
enum auth_result auth_may_send(const struct auth *auth, const struct who *who, enum tidings_target target,
                               struct span to, struct problem *why);
enum auth_result auth_may_receive(const struct auth *auth, const struct who *who, struct span client_id,
                                  const struct span *topics, uint32_t count, struct problem *why);

/* Still, for who was admitted earlier. */
enum auth_result auth_may_go_on(const struct who *who, uint64_t now, struct problem *why);

/* Of a stream's end, if it ends because of *who: "token_expired", "session_expired". */
const char *auth_expiry_reason(const struct who *who);

/* Would a token be believed now? Without keys of tokens none is. */
enum token_result auth_check_token(const struct auth *auth, struct span text, uint64_t now);

/* A cookie's value, with *until, for whoever has an admin key or the token of an admin. It is good until
 * then, which is at most now + AUTH_SESSION_MS, or until the key is not configured any more. */
enum auth_result auth_begin_session(const struct auth *auth, struct span text, uint64_t now,
                                    char out[AUTH_SESSION_MAX], uint64_t *until, struct problem *why);

#endif
