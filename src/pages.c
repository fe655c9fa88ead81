/* SPDX-License-Identifier: MIT
 *
 * pages - see pages.h. A page's bytes are never copied: the connection sends them from where they lie.
 */
#include "pages.h"

#include "openapi_data.h"

#include <string.h>

/* Nothing but what the hub itself serves: no foreign script, no frame around it, no inline code. */
#define PAGE_FIELDS                                                                                          \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "      \
    "data:; "                                                                                                \
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"   \
    "Referrer-Policy: no-referrer\r\nVary: Accept-Encoding\r\n"

struct tidings_request {
    struct request *r;
};

static const struct tidings_page *find_page(const struct request *r)
{
    for (size_t i = 0; i < r->service->page_count; i++)
        if (span_eq(r->head->path, span_of(r->service->pages[i]->path)))
            return r->service->pages[i];
    return NULL;
}

static bool holds_etag(struct span list, struct span etag)
{
    while (list.p) {
        struct span one = span_trim(span_split(&list, ','));
        if (span_starts(one, SPAN("W/")))
            one = (struct span){one.p + 2, one.len - 2};
        if (span_eq(one, etag) || span_eq(one, SPAN("*")))
            return true;
    }
    return false;
}

static void serve_page(struct request *r, const struct tidings_page *page)
{
    struct buf extra;
    struct span none = {0}, body = {page->body, page->body_len};
    bool unchanged = page->etag && holds_etag(r->head->known[H1_IF_NONE_MATCH], span_of(page->etag));
    buf_init(&extra, 2048);
    buf_puts(&extra, PAGE_FIELDS);
    buf_puts(&extra, page->immutable ? "Cache-Control: public, max-age=31536000, immutable\r\n"
                                     : "Cache-Control: no-cache\r\n");
    if (page->etag)
        buf_printf(&extra, "ETag: W/%s\r\n", page->etag); /* weak: the compressed form has the same */
    if (!unchanged && page->gzip && h1_accepts_gzip(r->head->known[H1_ACCEPT_ENCODING])) {
        h1_put_field(&extra, "Content-Encoding", SPAN("gzip"));
        body = (struct span){page->gzip, page->gzip_len};
    }
    buf_putc(&extra, '\0');
    if (extra.failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else if (unchanged)
        http_reply(r, 304, none, none, extra.data);
    else
        http_reply_static(r, 200, span_of(page->content_type), body, extra.data);
    buf_finish(&extra);
}

static void serve_page_method(struct request *r, const struct tidings_page *page)
{
    if (r->is_head || span_eq(r->head->method, SPAN("GET")))
        serve_page(r, page);
    else
        http_method_not_allowed(r, "GET, HEAD");
}

/* ---- the embedder's routes ---- */

static bool path_fits(const struct embedder_route *route, struct span path)
{
    return route->prefix ? span_starts(path, span_of(route->path)) : span_eq(path, span_of(route->path));
}

/* The next route from index i on that has the request's path and, unless method.p is NULL, its method. */
static const struct embedder_route *find_route(const struct request *r, struct span method, size_t i)
{
    for (; i < r->service->embedded_count; i++) {
        const struct embedder_route *route = &r->service->embedded[i];
        if (path_fits(route, r->head->path) && (!method.p || span_eq(method, span_of(route->method))))
            return route;
    }
    return NULL;
}

static void call(struct request *r, const struct embedder_route *route)
{
    struct tidings_request request = {r};
    route->handler(route->user, &request);
    if (!r->x->answered && r->x->conn->state != CONN_CLOSED)
        http_problem(r, 500, "no_answer", "the handler of this path gave no answer");
}

#define ALLOW_MAX 120

/* Names the methods of all routes with this path, each once, as many as fit. */
static void refuse_method(struct request *r, const struct embedder_route *first)
{
    struct span any = {0};
    const struct embedder_route *all = r->service->embedded, *route = first;
    struct buf allowed;
    buf_init(&allowed, ALLOW_MAX);
    for (; route; route = find_route(r, any, (size_t)(route - all) + 1)) {
        if (find_route(r, span_of(route->method), 0) != route ||
            allowed.len + strlen(route->method) + sizeof(", , HEAD") > ALLOW_MAX)
            continue;
        buf_puts(&allowed, allowed.len ? ", " : "");
        buf_puts(&allowed, route->method);
        buf_puts(&allowed, strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }
    buf_putc(&allowed, '\0');
    if (allowed.failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        http_method_not_allowed(r, allowed.data);
    buf_finish(&allowed);
}

static bool serve_route(struct request *r)
{
    struct span any = {0};
    const struct embedder_route *there = find_route(r, any, 0);
    const struct embedder_route *route = find_route(r, r->is_head ? SPAN("GET") : r->head->method, 0);
    if (route)
        call(r, route);
    else if (there)
        refuse_method(r, there);
    return there != NULL;
}

bool pages_serve(struct request *r)
{
    const struct tidings_page *page = find_page(r);
    if (!page)
        return serve_route(r);
    serve_page_method(r, page);
    return true;
}

void pages_openapi(struct request *r)
{
    http_reply_static(r, 200, TYPE_JSON, (struct span){openapi_data, openapi_data_len},
                      "Cache-Control: no-cache\r\n");
}

/* ---- the public calls of a handler ---- */

static const char *view(struct span s, size_t *len)
{
    *len = s.len;
    return s.p;
}

const char *tidings_request_method(const struct tidings_request *request, size_t *len)
{
    return view(request->r->head->method, len);
}

const char *tidings_request_path(const struct tidings_request *request, size_t *len)
{
    return view(request->r->head->path, len);
}

const char *tidings_request_query(const struct tidings_request *request, size_t *len)
{
    return view(request->r->head->query, len);
}

const char *tidings_request_header(const struct tidings_request *request, const char *name, size_t *len)
{
    return view(h1_field(request->r->head, span_of(name)), len);
}

const char *tidings_request_body(const struct tidings_request *request, size_t *len)
{
    return view(request->r->body, len);
}

int tidings_respond(struct tidings_request *request, int status, const char *content_type, const char *body,
                    size_t len)
{
    struct request *r = request->r;
    if (status < 200 || status > 599 || (len > 0 && (!body || !content_type)))
        return TIDINGS_EINVAL;
    if (len > TIDINGS_RESPONSE_MAX)
        return TIDINGS_ETOOBIG;
    if (r->x->answered || r->x->conn->state == CONN_CLOSED)
        return TIDINGS_ESTATE;
    struct span type = content_type ? span_of(content_type) : (struct span){0};
    if (!text_is_name(type.p, type.len, 256) && type.len > 0)
        return TIDINGS_EINVAL; /* a control character would begin another header */
    http_reply(r, status, type, (struct span){body, len}, "Cache-Control: no-store\r\n");
    return r->x->conn->state == CONN_CLOSED ? TIDINGS_ENOMEM : 0;
}
