/* SPDX-License-Identifier: MIT
 *
 * http - from a request to its handler, and from an answer to bytes: one const table of routes, the checks
 * that every request passes (Host, method, media type, size), and the two forms of answer: a body, or a
 * problem (RFC 9457). A handler never touches a socket.
 */
#ifndef HTTP_H
#define HTTP_H

#include "problem.h"
#include "service.h"

/* Who may use a route, once credentials are configured; until then whoever can reach the hub may. To what one
 * may subscribe, and to whom one may publish, the handler asks when it knows it. */
enum right { RIGHT_OPEN, RIGHT_SUBSCRIBE, RIGHT_PUBLISH, RIGHT_METRICS, RIGHT_ADMIN };

struct request {
    struct service *service;
    struct loop *loop;
    struct exchange *x;
    const struct h1_head *head;
    struct span body;
    struct span param;      /* of the path, where the pattern has `{}`; still percent-encoded */
    struct auth *auth;      /* the loop's; of a kept request a reference */
    struct who who;         /* whoever asks; of a route that is open to all he is not asked for */
    struct netaddr address; /* where it comes from, as far as trusted proxies say */
    bool forwarded;         /* that is not the peer's own */
    bool https;             /* the visitor's own connection is encrypted, as far as anybody trusted says */
    const char *origin;     /* the listed origin whose page asks, in auth; NULL if none does */
    bool is_head;           /* HEAD: the answer has no body */
    bool keep_alive;        /* the connection may go on after the answer */
    bool raw;               /* HTTP/1.0, HTTP/2: no chunks */
};

/* What a route takes for a body. */
enum body_kind {
    BODY_ANY,
    BODY_JSON, /* application/json */
    BODY_LINES /* application/json, or application/x-ndjson: then the handler is called without a body, and
                  takes it as it arrives (feed_begin()) */
};

struct route {
    const char *method;
    const char *pattern; /* "/a/b", or with one `{}` as its last segment */
    enum right right;
    enum body_kind body;
    void (*handle)(struct request *r);
};

/* Handlers of loop_handler; user is the struct service. */
bool http_on_head(void *user, struct exchange *x);
void http_on_request(void *user, struct exchange *x);
void http_on_bad(void *user, struct exchange *x, const struct h1_error *error);
void http_on_shed(void *user, struct loop *loop, const struct h1_head *head, struct buf *out);

/* Answers with a body. type may be empty if body is. extra: further header lines, each with its CRLF, or
 * NULL. */
void http_reply(struct request *r, int status, struct span type, struct span body, const char *extra);

/* The same for what has been written to a buffer; 503 if the buffer failed. The buffer stays the caller's. */
void http_reply_json(struct request *r, int status, const struct buf *json);

/* Answers with a body that nobody may change as long as the hub lives: it is not copied. */
void http_reply_static(struct request *r, int status, struct span type, struct span body, const char *extra);

/* Answers with a problem. detail is a printf format; it names the culprit and never holds a secret. */
void http_problem(struct request *r, int status, const char *code, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a problem that is there already. */
void http_refuse(struct request *r, const struct problem *p);

/* A copy that outlives the bytes of the request, for an answer that comes later: give it an exchange then.
 * Whoever asks is the copy's from then on. To be ended with http_forget(). */
struct request http_keep(struct request *r);
void http_forget(struct request *kept);

/* May it publish one more event now? False: *why. */
bool http_admits_event(const struct request *r, struct problem *why);

/* Were so many wrong credentials sent from there that none is looked at for a moment? True: answered. And:
 * another one was wrong. */
bool http_is_guessing(struct request *r);
void http_note_failure(const struct request *r);

/* May it begin one more stream now? False: answered. */
bool http_admits_stream(struct request *r);

/* Was its address banned, perhaps while it waited? True: answered. */
bool http_bars_stream(struct request *r);

/* Answers with 400, 401 or 403, counts and logs it. why->code is what is logged. */
void http_deny(struct request *r, enum auth_result result, const struct problem *why);

/* May a request with a cookie in it change something? Only from a page of the hub's own, or of a listed
 * origin. False: answered. */
bool http_is_own_page(struct request *r);

/* Is the body application/x-ndjson, for a route of BODY_LINES? */
bool http_has_lines(const struct request *r);

/* Writes the head of an answer whose body is written bit by bit: in chunks, or until the connection ends.
 * False when memory is short. */
bool http_begin_body(struct request *r, struct span type);

/* 405, or for OPTIONS 204, with Allow. allowed: "GET, HEAD". */
void http_method_not_allowed(struct request *r, const char *allowed);

/* 429 or 503 with Retry-After, or, for whoever asks for an event stream, 200 with `__overloaded`: a native
 * EventSource never comes back after a status other than 200 (WHATWG HTML section 9.2.2). */
void http_overloaded(struct request *r, int status, const char *reason, const char *detail);

/* Writes the head of an event stream; false when memory is short. */
bool http_begin_stream(struct request *r);

#define TYPE_JSON  SPAN("application/json; charset=utf-8")
#define TYPE_LINES SPAN("application/x-ndjson; charset=utf-8")
#define TYPE_SSE   SPAN("text/event-stream; charset=utf-8")

#endif
