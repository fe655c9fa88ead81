/* SPDX-License-Identifier: MIT
 *
 * login - see login.h. The cookie is a session of auth's, never the key: scripts cannot read it (HttpOnly),
 * other sites cannot have it sent (SameSite=Strict), and over TLS it never leaves in the clear (Secure).
 * Nothing is remembered here, so there is nothing to run full.
 */
#include "login.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

#define COOKIE_ATTRIBUTES "; Path=/; HttpOnly; SameSite=Strict"

/* From a page of somebody else nobody logs in or out. What is no browser sends no Origin. False: answered. */
static bool comes_from_here(struct request *r)
{
    return !r->head->known[H1_ORIGIN].p || http_is_own_page(r);
}

/* Also behind a proxy that has ended TLS: the browser says by which way it came. */
static bool is_secure(const struct request *r)
{
    return r->x->conn->tls || span_starts(r->head->known[H1_ORIGIN], SPAN("https://"));
}

/* Answers with the cookie; an empty value takes it away. */
static void reply_cookie(struct request *r, const char *value, uint64_t seconds, struct span json)
{
    struct buf extra;
    buf_init(&extra, 1024);
    buf_printf(&extra, "Cache-Control: no-store\r\nSet-Cookie: " AUTH_SESSION_COOKIE "=%s; Max-Age=", value);
    buf_put_u64(&extra, seconds);
    buf_puts(&extra, is_secure(r) ? COOKIE_ATTRIBUTES "; Secure\r\n" : COOKIE_ATTRIBUTES "\r\n");
    buf_putc(&extra, '\0');
    if (extra.failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        http_reply(r, 200, TYPE_JSON, json, extra.data);
    buf_finish(&extra);
}

/* The one field of the body. text: room for what it holds. False: answered. */
static bool read_key(struct request *r, char *text, struct span *key)
{
    struct json_walk walk;
    struct json_field field;
    int rc = json_walk_init(&walk, r->body, '{');
    *key = (struct span){0};
    while (rc == 0 && (rc = json_walk_next(&walk, &field)) == 1) {
        if (!span_eq(field.key, SPAN("key")) || field.kind != JSON_STRING || key->p) {
            http_problem(r, 400, "invalid_login", "the body must be {\"key\": \"…\"} and nothing else");
            return false;
        }
        *key = (struct span){text, json_unescape(field.value, text)};
        rc = 0;
    }
    if (rc < 0)
        http_problem(r, 400, "invalid_json", "%s (byte %zu)", walk.error.what, walk.error.offset);
    else if (!key->p)
        http_problem(r, 400, "missing_field", "key: missing");
    return rc == 0 && key->p;
}

static void begin(struct request *r, struct span key)
{
    char session[AUTH_SESSION_MAX];
    struct problem why;
    struct buf json;
    uint64_t until, now = clock_wall(r->service->clock);
    enum auth_result result = auth_begin_session(r->auth, key, now, session, &until, &why);
    if (result == AUTH_INVALID)
        http_note_failure(r);
    if (result != AUTH_OK) {
        http_deny(r, result, &why);
        return;
    }
    buf_init(&json, 128);
    buf_puts(&json, "{\"ok\":true");
    json_put_member_u64(&json, "until", until);
    buf_putc(&json, '}');
    if (json.failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        reply_cookie(r, session, (until - now) / 1000, (struct span){json.data, json.len});
    buf_finish(&json);
}

void login_begin(struct request *r)
{
    struct span key;
    if (!comes_from_here(r) || http_is_guessing(r))
        return;
    char *text = malloc(r->body.len + 1);
    if (!text)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else if (read_key(r, text, &key))
        begin(r, key);
    if (text)
        explicit_bzero(text, r->body.len);
    free(text);
}

void login_end(struct request *r)
{
    if (comes_from_here(r))
        reply_cookie(r, "", 0, SPAN("{\"ok\":true}"));
}

void login_show(struct request *r)
{
    struct who who;
    struct problem why;
    struct buf json;
    enum auth_result result =
        auth_identify(r->auth, r->head, AUTH_TO_ACT, clock_wall(r->service->clock), &who, &why);
    bool is_admin = result == AUTH_OK && auth_may_administrate(r->auth, &who, &why) == AUTH_OK;
    buf_init(&json, 256);
    buf_puts(&json, auth_is_on(r->auth) ? "{\"needed\":true" : "{\"needed\":false");
    buf_puts(&json, is_admin ? ",\"admin\":true" : ",\"admin\":false");
    if (who.kind == AUTH_SESSION)
        json_put_member_u64(&json, "until", who.expires);
    else
        buf_puts(&json, ",\"until\":null");
    buf_putc(&json, '}');
    http_reply_json(r, 200, &json);
    buf_finish(&json);
    auth_forget(&who);
}
