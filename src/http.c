/* SPDX-License-Identifier: MIT
 *
 * http - see http.h. Order of the checks, first failure answers: Host (421), path (404), method (405),
 * credentials (401, 403), media type (415), length (411, 413). So a stranger learns of a route that it is
 * there and what it is called, and of its body nothing is read.
 */
#include "http.h"

#include "cors.h"
#include "forwarded.h"
#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- answers ---- */

static void count_answer(struct loop *l, int status)
{
    _Atomic uint64_t *counter = status < 300                    ? &l->stats.responses_2xx
                                : status >= 400 && status < 500 ? &l->stats.responses_4xx
                                : status >= 500                 ? &l->stats.responses_5xx
                                                                : &l->stats.responses_other;
    stats_add(counter, 1);
}

static void put_connection(struct buf *out, const struct request *r)
{
    if (conn_is_carried(r->x->conn)) /* RFC 9113 section 8.2.2: it would make the answer malformed */
        return;
    if (!r->keep_alive)
        h1_put_field(out, "Connection", SPAN("close"));
    else if (r->raw)
        h1_put_field(out, "Connection", SPAN("keep-alive"));
}

static void put_length(struct buf *out, size_t n)
{
    buf_puts(out, "Content-Length: ");
    buf_put_u64(out, n);
    buf_puts(out, "\r\n");
}

static bool has_body(const struct request *r, int status)
{
    return status != 204 && status != 304 && !r->is_head;
}

/* A head that is being written: field lines at the end of the connection's buffer. */
struct head {
    struct conn_io *io; /* NULL: memory is short */
    size_t start;       /* of the head in io->out */
    int status;
};

/* Begins every answer: the status, and the fields that all answers have. */
static struct head begin_head(struct request *r, int status, struct span type)
{
    struct head h = {.io = conn_buffers(r->loop, r->x->conn), .status = status};
    if (!h.io)
        return h;
    int64_t now = (int64_t)(clock_wall(r->service->clock) / 1000);
    h.start = h.io->out.len;
    if (conn_is_carried(r->x->conn))
        h1_put_date(&h.io->out, now);
    else
        h1_put_status(&h.io->out, status, now);
    if (type.len > 0)
        h1_put_field(&h.io->out, "Content-Type", type);
    buf_puts(&h.io->out, "X-Content-Type-Options: nosniff\r\n");
    if (auth_origins(r->auth))
        cors_put(&h.io->out, r->origin);
    return h;
}

/* What HTTP/2 makes of a head is the carrier's; in HTTP/1 an empty line ends it. False: memory is short. */
static bool end_head(struct request *r, const struct head *h)
{
    struct conn *c = r->x->conn;
    if (!h->io || h->io->out.failed)
        return false;
    count_answer(r->loop, h->status);
    struct buf *out = &h->io->out;
    if (!conn_is_carried(c)) {
        buf_puts(out, "\r\n");
        return !out->failed;
    }
    bool done = c->more->carrier->respond(r->loop, c, h->status, out->data + h->start, out->len - h->start);
    out->len = h->start;
    return done;
}

/* The head of an answer whose length is known; NULL when memory is short. */
static struct conn_io *put_head(struct request *r, int status, struct span type, size_t length,
                                const char *extra)
{
    struct head h = begin_head(r, status, type);
    if (!h.io)
        return NULL;
    if (status != 204 && status != 304)
        put_length(&h.io->out, length);
    if (extra)
        buf_puts(&h.io->out, extra);
    put_connection(&h.io->out, r);
    return end_head(r, &h) ? h.io : NULL;
}

static void answered(struct request *r, struct conn_io *io)
{
    if (!io || io->out.failed)
        conn_close(r->loop, r->x->conn, CLOSE_ERROR, true);
    else
        worker_answered(r->x, !r->keep_alive);
}

void http_reply(struct request *r, int status, struct span type, struct span body, const char *extra)
{
    struct conn_io *io = put_head(r, status, type, body.len, extra);
    if (io && has_body(r, status))
        buf_append(&io->out, body.p, body.len);
    answered(r, io);
}

void http_reply_static(struct request *r, int status, struct span type, struct span body, const char *extra)
{
    struct conn_io *io = put_head(r, status, type, body.len, extra);
    if (io && has_body(r, status))
        io->page = body;
    answered(r, io);
}

void http_reply_json(struct request *r, int status, const struct buf *json)
{
    if (json->failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        http_reply(r, status, TYPE_JSON, (struct span){json->data, json->len}, "Cache-Control: no-store\r\n");
}

static void reply_problem(struct request *r, const struct problem *p, const char *extra)
{
    struct buf body;
    buf_init(&body, 8192);
    problem_put(&body, p);
    http_reply(r, p->status, SPAN("application/problem+json"), (struct span){body.data, body.len}, extra);
    buf_finish(&body);
}

void http_refuse(struct request *r, const struct problem *p)
{
    char extra[80];
    uint32_t retry_ms = p->retry_ms == 0 && p->status == 503 ? 1000 : p->retry_ms;
    snprintf(extra, sizeof(extra), "Cache-Control: no-store\r\nRetry-After: %u\r\n", (retry_ms + 999) / 1000);
    reply_problem(r, p, retry_ms > 0 ? extra : "Cache-Control: no-store\r\n");
}

void http_problem(struct request *r, int status, const char *code, const char *format, ...)
{
    struct problem p = {.status = status, .code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(p.detail, sizeof(p.detail), format, args);
    va_end(args);
    http_refuse(r, &p);
}

/* ---- where it comes from ---- */

static void print_address(const struct request *r, char out[CONN_ADDRESS_LEN])
{
    if (r->forwarded)
        netaddr_print(&r->address, out);
    else
        conn_address(r->x->conn, out);
}

static void find_address(struct request *r)
{
    size_t count;
    const struct netaddr_net *proxies = auth_proxies(r->auth, &count);
    r->address = conn_netaddr(r->x->conn);
    r->https = r->x->conn->tls;
    if (!r->head || !netaddr_in(&r->address, proxies, count))
        return;
    r->https |= forwarded_is_https(r->head); /* a header takes nothing back that this connection has */
    r->forwarded = forwarded_address(r->head, proxies, count, &r->address);
}

/* ---- overload ---- */

static uint32_t overload_retry(struct loop *l)
{
    return deliver_retry(l) * 2; /* a full hub wants to be left alone a little longer */
}

static void put_overloaded(struct buf *body, const char *reason, uint32_t retry_ms)
{
    char json[160];
    int n = snprintf(json, sizeof(json), "{\"reason\":\"%s\",\"retryMs\":%u}", reason, retry_ms);
    event_put(body, false, "__overloaded", (struct span){0}, (struct span){json, (size_t)n}, retry_ms);
}

#define STREAM_FIELDS "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"

void http_overloaded(struct request *r, int status, const char *reason, const char *detail)
{
    uint32_t retry_ms = overload_retry(r->loop);
    char address[CONN_ADDRESS_LEN];
    print_address(r, address);
    service_refused(r->service, address, reason);
    if (h1_names(r->head->known[H1_ACCEPT], SPAN("text/event-stream"))) {
        struct buf body;
        buf_init(&body, 1024);
        put_overloaded(&body, reason, retry_ms);
        http_reply(r, 200, TYPE_SSE, (struct span){body.data, body.len}, STREAM_FIELDS);
        buf_finish(&body);
        return;
    }
    char extra[80];
    struct problem p;
    problem_set(&p, status, reason, "%s", detail);
    snprintf(extra, sizeof(extra), "Cache-Control: no-store\r\nRetry-After: %u\r\n", (retry_ms + 999) / 1000);
    reply_problem(r, &p, extra);
}

static void put_cors(struct buf *out, const struct auth *auth, const struct h1_head *head)
{
    const char *const *origins = auth_origins(auth);
    if (origins)
        cors_put(out, head ? cors_find(origins, head->known[H1_ORIGIN]) : NULL);
}

void http_on_shed(void *user, struct loop *l, const struct h1_head *head, struct buf *out)
{
    static const struct problem none_left = {
        .status = 503, .code = "descriptors", .detail = "the hub has no descriptor left"};
    struct service *s = user;
    struct buf body;
    uint32_t retry_ms = overload_retry(l);
    bool asks_stream = head && h1_names(head->known[H1_ACCEPT], SPAN("text/event-stream"));
    buf_init(&body, 2048);
    if (asks_stream)
        put_overloaded(&body, "descriptors", retry_ms);
    else
        problem_put(&body, &none_left);
    h1_put_status(out, asks_stream ? 200 : 503, (int64_t)(clock_wall(s->clock) / 1000));
    h1_put_field(out, "Content-Type", asks_stream ? TYPE_SSE : SPAN("application/problem+json"));
    put_length(out, body.len);
    if (asks_stream)
        buf_puts(out, STREAM_FIELDS);
    else
        buf_printf(out, "Cache-Control: no-store\r\nRetry-After: %u\r\n", (retry_ms + 999) / 1000);
    put_cors(out, l->auth, head);
    buf_puts(out, "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n");
    buf_append(out, body.data, body.len);
    buf_finish(&body);
    count_answer(l, asks_stream ? 200 : 503);
}

/* What travels encrypted is compressed only if somebody has said that it mixes no secrets with what an
 * attacker may choose: lengths give away what both have in common (BREACH). */
static bool may_zip(const struct request *r)
{
    enum tidings_compress wish = r->loop->config.compress;
    return wish == TIDINGS_COMPRESS_ON || (wish == TIDINGS_COMPRESS_AUTO && !r->https);
}

static bool zip(const struct request *r)
{
    if (!may_zip(r) || !h1_accepts_gzip(r->head->known[H1_ACCEPT_ENCODING]))
        return false;
    struct conn_more *more = conn_more(r->x->conn);
    if (!more)
        return false;
    more->zipped = true;
    more->gzip = (struct gzip_reader){0};
    stats_add(&r->loop->stats.gzip_streams, 1);
    return true;
}

bool http_begin_stream(struct request *r)
{
    struct head h = begin_head(r, 200, TYPE_SSE);
    if (!h.io)
        return false;
    buf_puts(&h.io->out, STREAM_FIELDS);
    if (may_zip(r))
        h1_put_field(&h.io->out, "Vary", SPAN("Accept-Encoding"));
    if (zip(r))
        h1_put_field(&h.io->out, "Content-Encoding", SPAN("gzip"));
    if (!r->raw) {
        buf_puts(&h.io->out, "Transfer-Encoding: chunked\r\n");
        h1_put_field(&h.io->out, "Connection", r->head->close_asked ? SPAN("close") : SPAN("keep-alive"));
    }
    return end_head(r, &h);
}

bool http_begin_body(struct request *r, struct span type)
{
    struct head h = begin_head(r, 200, type);
    if (!h.io)
        return false;
    buf_puts(&h.io->out, "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
    if (r->raw)
        r->keep_alive = false; /* the end of the connection is the end of the body */
    else
        buf_puts(&h.io->out, "Transfer-Encoding: chunked\r\n");
    put_connection(&h.io->out, r);
    return end_head(r, &h);
}

/* ---- credentials ---- */

static _Atomic uint64_t *counter_of(struct stats *s, enum auth_result result)
{
    return result == AUTH_MISSING     ? &s->denied_missing
           : result == AUTH_EXPIRED   ? &s->denied_expired
           : result == AUTH_FORBIDDEN ? &s->denied_forbidden
                                      : &s->denied_invalid;
}

void http_deny(struct request *r, enum auth_result result, const struct problem *why)
{
    stats_add(counter_of(&r->loop->stats, result), 1);
    char address[CONN_ADDRESS_LEN];
    print_address(r, address);
    service_denied(r->service, address, why->code);
    /* RFC 6750 section 3: no error when nothing came. */
    if (why->status != 401)
        http_refuse(r, why);
    else
        reply_problem(r, why,
                      result == AUTH_MISSING
                          ? "Cache-Control: no-store\r\nWWW-Authenticate: Bearer realm=\"tidings\"\r\n"
                          : "Cache-Control: no-store\r\nWWW-Authenticate: Bearer realm=\"tidings\", "
                            "error=\"invalid_token\"\r\n");
}

bool http_is_own_page(struct request *r)
{
    struct span origin = r->head->known[H1_ORIGIN];
    struct problem why;
    if (r->origin || (origin.p && cors_is_same(origin, r->head->host, r->x->conn->tls)))
        return true;
    stats_add(&r->loop->stats.denied_origin, 1);
    char address[CONN_ADDRESS_LEN];
    print_address(r, address);
    service_denied(r->service, address, "origin");
    problem_set(&why, 403, "origin",
                origin.p
                    ? "Origin: not the one of Host, and not listed (--cors-origin)"
                    : "Origin: missing; what a cookie allows is only done for a page of this hub, or of a "
                      "listed origin");
    http_refuse(r, &why);
    return false;
}

static bool is_safe(const struct request *r)
{
    return r->is_head || span_eq(r->head->method, SPAN("GET"));
}

static enum auth_result ask_right(const struct request *r, enum right right, struct problem *why)
{
    switch (right) {
    case RIGHT_SUBSCRIBE:
        return auth_may_subscribe(r->auth, &r->who, why);
    case RIGHT_PUBLISH:
        return auth_may_publish(r->auth, &r->who, why);
    case RIGHT_METRICS:
        return auth_may_measure(r->auth, &r->who, why);
    case RIGHT_ADMIN:
        return auth_may_administrate(r->auth, &r->who, why);
    case RIGHT_OPEN:
        break;
    }
    return AUTH_OK;
}

/* An address or token was told to stay away: a browser that comes for a stream does not come again (WHATWG
 * HTML section 9.2.2). True: answered. */
static bool is_barred(struct request *r, enum right right)
{
    struct netaddr group = netaddr_group(&r->address);
    struct span token = r->who.claims ? r->who.claims->id : (struct span){0};
    if (!registry_bars(r->service->registry, (struct span){(const char *)&group, sizeof(group)}, token))
        return false;
    stats_add(&r->loop->stats.refused_banned, 1);
    if (right == RIGHT_SUBSCRIBE)
        http_reply(r, 204, (struct span){0}, (struct span){0}, "Cache-Control: no-store\r\n");
    else
        http_problem(r, 403, "banned", "this address, or this token, is banned");
    return true;
}

/* Whoever tries many keys is not told any more which one is right. */
bool http_is_guessing(struct request *r)
{
    struct problem why;
    if (!auth_is_on(r->auth) || !quota_is_guessing(r->service->quota, &r->loop->config, &r->loop->stats,
                                                   &r->address, clock_mono(r->service->clock), &why))
        return false;
    http_refuse(r, &why);
    return true;
}

void http_note_failure(const struct request *r)
{
    quota_note_failure(r->service->quota, &r->loop->config, &r->address, clock_mono(r->service->clock));
}

static bool brings_credentials(const struct request *r)
{
    const struct h1_head *head = r->head;
    return head->known[H1_AUTHORIZATION].p || head->known[H1_COOKIE].p || head->query.len > 0;
}

bool http_admits_event(const struct request *r, struct problem *why)
{
    return quota_admit_event(r->service->quota, &r->loop->config, &r->loop->stats, &r->address, r->who.key,
                             clock_mono(r->service->clock), why);
}

bool http_admits_stream(struct request *r)
{
    struct problem why;
    if (quota_admit_stream(r->service->quota, &r->loop->config, &r->loop->stats, &r->address,
                           clock_mono(r->service->clock), &why))
        return true;
    http_overloaded(r, 429, why.code, why.detail);
    return false;
}

/* Is it the user's application that decides, because nobody is known to us? */
static bool is_asked_elsewhere(const struct request *r, enum right right)
{
    return right == RIGHT_SUBSCRIBE && r->who.kind == AUTH_NOBODY && r->service->authorizer->outbound;
}

/* Finds out who asks, and whether he may use the route. False: answered. */
static bool admits(struct request *r, enum right right)
{
    struct problem why;
    conn_drop_pass(r->x->conn);
    if (right == RIGHT_OPEN)
        return true;
    if (is_barred(r, right) || (brings_credentials(r) && http_is_guessing(r)))
        return false;
    enum auth_use use = right == RIGHT_SUBSCRIBE ? AUTH_TO_SUBSCRIBE : AUTH_TO_ACT;
    enum auth_result result =
        auth_identify(r->auth, r->head, use, clock_wall(r->service->clock), &r->who, &why);
    if (result != AUTH_OK && right == RIGHT_SUBSCRIBE && r->service->authorizer->outbound) {
        auth_forget(&r->who); /* not ours; perhaps the application knows what it is */
        return true;
    }
    if (result == AUTH_INVALID && why.status == 401)
        http_note_failure(r);
    if (result == AUTH_OK && r->who.claims && is_barred(r, right))
        return false;
    if (result == AUTH_OK && !is_asked_elsewhere(r, right))
        result = ask_right(r, right, &why);
    if (result != AUTH_OK)
        http_deny(r, result, &why);
    return result == AUTH_OK && (!r->who.by_cookie || is_safe(r) || http_is_own_page(r));
}

bool http_bars_stream(struct request *r)
{
    return is_barred(r, RIGHT_SUBSCRIBE);
}

/* ---- routing ---- */

static bool matches(const char *pattern, struct span path, struct span *param)
{
    const char *hole = strstr(pattern, "{}");
    if (!hole)
        return span_eq(path, span_of(pattern));
    struct span fixed = {pattern, (size_t)(hole - pattern)};
    if (!span_starts(path, fixed))
        return false;
    *param = (struct span){path.p + fixed.len, path.len - fixed.len};
    return memchr(param->p, '/', param->len) == NULL;
}

static void allow(struct buf *out, const char *method)
{
    if (out->len > 0)
        buf_puts(out, ", ");
    buf_puts(out, method);
    if (strcmp(method, "GET") == 0)
        buf_puts(out, ", HEAD");
}

void http_method_not_allowed(struct request *r, const char *allowed)
{
    static const struct problem refused = {.status = 405,
                                           .code = "method_not_allowed",
                                           .detail = "this path does not take this method; see Allow"};
    struct buf extra;
    buf_init(&extra, 1024);
    bool asks = span_eq(r->head->method, SPAN("OPTIONS"));
    buf_printf(&extra, "Cache-Control: no-store\r\nAllow: %s, OPTIONS\r\n", allowed);
    /* A preflight carries no credentials, so it is answered before anybody asks for them. */
    if (asks && r->origin && h1_field(r->head, SPAN("access-control-request-method")).p)
        cors_put_preflight(&extra, allowed);
    buf_putc(&extra, '\0');
    if (extra.failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else if (asks)
        http_reply(r, 204, (struct span){0}, (struct span){0}, extra.data);
    else
        reply_problem(r, &refused, extra.data);
    buf_finish(&extra);
}

/* The route of the request; NULL when it was answered already. */
static const struct route *find_route(struct request *r)
{
    struct span method =
        r->is_head ? SPAN("GET") : r->head->method; // NOLINT(clang-analyzer-core.NullDereference)
    struct buf allowed;
    buf_init(&allowed, 128);
    for (const struct route *at = r->service->routes; at->pattern; at++) {
        struct span param = {0};
        if (!matches(at->pattern, r->head->path, &param))
            continue;
        if (span_eq(method, span_of(at->method))) {
            r->param = param;
            buf_finish(&allowed);
            return at;
        }
        allow(&allowed, at->method);
    }
    buf_putc(&allowed, '\0');
    if (allowed.len > 1)
        http_method_not_allowed(r, allowed.data);
    buf_finish(&allowed);
    return NULL;
}

static struct request request_of(void *user, struct exchange *x)
{
    struct auth *auth = x->loop->auth;
    struct span origin = x->head ? x->head->known[H1_ORIGIN] : x->origin;
    struct request r = {.service = user,
                        .loop = x->loop,
                        .x = x,
                        .head = x->head,
                        .auth = auth,
                        .origin = cors_find(auth_origins(auth), origin),
                        .body = x->body,
                        .is_head = x->head && span_eq(x->head->method, SPAN("HEAD")),
                        .keep_alive = x->head && x->head->keep_alive,
                        .raw = x->conn->raw};
    find_address(&r);
    return r;
}

struct request http_keep(struct request *r)
{
    struct request kept = *r;
    kept.x = NULL;
    kept.head = NULL;
    kept.body = kept.param = (struct span){0};
    auth_ref(kept.auth);
    r->who = (struct who){.kind = AUTH_NOBODY}; /* the copy's now */
    return kept;
}

void http_forget(struct request *kept)
{
    auth_forget(&kept->who);
    auth_unref(kept->auth);
    kept->auth = NULL;
}

bool http_has_lines(const struct request *r)
{
    return h1_is_type(r->head->known[H1_CONTENT_TYPE], SPAN("application/x-ndjson"));
}

static bool is_wrong_type(const struct request *r, enum body_kind body)
{
    if (body == BODY_ANY || h1_is_type(r->head->known[H1_CONTENT_TYPE], SPAN("application/json")))
        return false;
    return body == BODY_JSON || !http_has_lines(r);
}

static bool takes_body(struct request *r, enum body_kind body)
{
    uint32_t max = r->loop->config.max_body;
    const struct h1_head *head = r->head;
    bool lines = body == BODY_LINES && http_has_lines(r); /* each line of them is measured */
    if (is_wrong_type(r, body))
        http_problem(r, 415, "unsupported_media_type", "Content-Type: application/json%s is required",
                     body == BODY_LINES ? " or application/x-ndjson" : "");
    else if (body != BODY_ANY && !head->chunked && !h1_field(head, SPAN("content-length")).p)
        http_problem(r, 411, "length_required", "Content-Length or Transfer-Encoding: chunked is required");
    else if (max && head->content_length > max && !lines)
        http_problem(r, 413, "body_too_large", "the body is larger than --max-body (%u bytes)", max);
    else
        return true;
    return false;
}

static void not_found(struct request *r)
{
    http_problem(r, 404, "not_found", "nothing is here");
}

static void handle(struct request *r, const struct route *route)
{
    if (route)
        route->handle(r);
    else if (!r->service->elsewhere(r) && !r->x->answered)
        not_found(r);
}

/* Whom the head has shown is known when the body is there, too. False: answered. */
static bool remember(struct request *r)
{
    if (r->who.kind == AUTH_NOBODY)
        return true;
    struct conn_io *io = conn_buffers(r->loop, r->x->conn);
    if (!io) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return false;
    }
    io->who = r->who;
    r->who = (struct who){.kind = AUTH_NOBODY};
    return true;
}

/* True: the body is wanted first. Only what is no request has no head. */
static bool take_head(struct request *r)
{
    const struct h1_head *head = r->head;
    if (!auth_knows_host(r->auth, head->host)) { // NOLINT(clang-analyzer-core.NullDereference)
        http_problem(r, 421, "misdirected_request",
                     "Host: this hub answers loopback names only; allow others with --public-host");
        return false;
    }
    const struct route *route = find_route(r);
    enum body_kind body = route ? route->body : BODY_ANY;
    if (r->x->answered || (route && !admits(r, route->right)) || !takes_body(r, body))
        return false;
    if (head->has_body && !(body == BODY_LINES && http_has_lines(r)))
        return remember(r);
    handle(r, route);
    return false;
}

bool http_on_head(void *user, struct exchange *x)
{
    struct request r = request_of(user, x);
    bool wanted = take_head(&r);
    auth_forget(&r.who);
    return wanted;
}

void http_on_request(void *user, struct exchange *x)
{
    struct request r = request_of(user, x);
    struct conn_io *io = x->conn->io;
    if (io) {
        r.who = io->who;
        io->who = (struct who){.kind = AUTH_NOBODY};
    }
    handle(&r, find_route(&r));
    auth_forget(&r.who);
}

void http_on_bad(void *user, struct exchange *x, const struct h1_error *error)
{
    struct request r = request_of(user, x);
    if (error->status == 408 || error->status == 503 || error->status == 413)
        http_problem(&r, error->status, error->code, "%s", error->detail);
    else
        http_problem(&r, error->status, error->code, "%s (byte %zu)", error->detail, error->offset);
}
