/* SPDX-License-Identifier: MIT
 *
 * admission - see admission.h. Of the request's head only what the answer depends on is kept, as the head of
 * a request of its own, so that it is read again by the one parser. It ends when it was told, whether or not
 * anybody still waits.
 */
#include "admission.h"

#include "ask.h"
#include "json.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX  (64 * 1024)
#define MARGIN_MS 2000 /* behind the question's own time: it is always answered */

struct visit {
    struct question question; /* first: see told() */
    struct completion completion;
    struct waiter waiter;
    struct request request;
    struct buf head;
    void (*go_on)(struct request *r, void *what, const struct decision *d);
    void *what;
};

bool admission_is_asked(const struct service *s)
{
    return s->authorizer->outbound != NULL;
}

/* ---- what is kept of the request ---- */

static void keep_field(struct buf *out, const struct request *r, enum h1_known known, const char *name)
{
    if (r->head->known[known].p)
        h1_put_field(out, name, r->head->known[known]);
}

static void keep_head(struct buf *out, const struct request *r)
{
    buf_puts(out, "GET / HTTP/1.1\r\nHost: kept\r\n");
    keep_field(out, r, H1_ACCEPT, "Accept");
    keep_field(out, r, H1_ACCEPT_ENCODING, "Accept-Encoding");
    keep_field(out, r, H1_USER_AGENT, "User-Agent");
    keep_field(out, r, H1_ORIGIN, "Origin");
    if (r->head->close_asked)
        buf_puts(out, "Connection: close\r\n");
    buf_puts(out, "\r\n");
}

static bool parse_kept(const struct visit *v, struct h1_head *head)
{
    struct h1_error error;
    const struct h1_limits limits = {UINT32_MAX, UINT32_MAX};
    return !v->head.failed && h1_parse_head(v->head.data, v->head.len, 0, &limits, head, &error) > 0;
}

/* ---- the question ---- */

static void put_body(struct buf *out, const struct request *r, const struct inquiry *i)
{
    char address[NETADDR_TEXT_MAX];
    netaddr_print(&r->address, address);
    buf_putc(out, '{');
    json_put_member(out, "clientId", i->client_id);
    json_put_member(out, "name", i->name);
    buf_puts(out, ",\"topics\":[");
    for (uint32_t k = 0; k < i->topic_count; k++) {
        if (k > 0)
            buf_putc(out, ',');
        json_put_string(out, i->topics[k]);
    }
    buf_putc(out, ']');
    json_put_member(out, "address", span_of(address));
    json_put_member(out, "userAgent", r->head->known[H1_USER_AGENT]);
    json_put_member(out, "origin", r->head->known[H1_ORIGIN]);
    buf_putc(out, '}');
}

/* All fields of this name: cookies may come in several. */
static void add_all(struct outbound_job *job, const struct request *r, const char *name)
{
    for (unsigned k = 0; k < r->head->field_count; k++)
        if (span_eq_nocase(r->head->fields[k].name, span_of(name)))
            outbound_add_header(job, name, r->head->fields[k].value);
}

static void add_token(struct outbound_job *job, struct span token)
{
    struct buf value;
    buf_init(&value, 16 * 1024);
    buf_puts(&value, "Bearer ");
    buf_append(&value, token.p, token.len);
    if (!value.failed)
        outbound_add_header(job, "Authorization", (struct span){value.data, value.len});
    explicit_bzero(value.data, value.len);
    buf_finish(&value);
}

static void write_question(struct outbound_job *job, const struct request *r, const struct inquiry *i)
{
    static const char *const names[] = {"Cookie", "Origin", "User-Agent", "Accept-Language", "Referer"};
    char address[NETADDR_TEXT_MAX];
    for (unsigned k = 0; k < sizeof(names) / sizeof(names[0]); k++)
        add_all(job, r, names[k]);
    if (r->head->known[H1_AUTHORIZATION].p)
        add_all(job, r, "Authorization");
    else if (i->access_token.p)
        add_token(job, i->access_token);
    netaddr_print(&r->address, address);
    outbound_add_header(job, "X-Forwarded-For", span_of(address));
    put_body(&job->body, r, i);
}

/* ---- the answer ---- */

static void destroy(struct visit *v)
{
    decision_unref(v->question.decision);
    outbound_job_finish(&v->question.job);
    http_forget(&v->request);
    buf_finish(&v->head);
    free(v);
}

static void resume(struct visit *v, struct loop *l)
{
    struct conn *c = v->waiter.conn;
    struct h1_head head;
    if (!c || !parse_kept(v, &head)) {
        if (c)
            conn_close(l, c, CLOSE_ERROR, true);
        v->go_on(NULL, v->what, NULL);
        return;
    }
    struct exchange x = {.loop = l, .conn = c, .head = &head};
    v->request.x = &x;
    v->request.head = &head;
    ask_resume(l, c);
    v->go_on(&v->request, v->what, v->question.decision);
    ask_resumed(&x);
}

static void on_loop(struct completion *completion, struct loop *l)
{
    struct visit *v = (struct visit *)(void *)((char *)completion - offsetof(struct visit, completion));
    resume(v, l);
    destroy(v);
}

/* On the outbound's thread. */
static void answered(struct question *q)
{
    struct visit *v = (struct visit *)(void *)q;
    v->completion.run = on_loop;
    loop_post(v->request.loop, &v->completion);
}

/* The question ends before this; if not, something is very slow, and the visitor is told that nobody knows.
 */
static void overdue(struct waiter *w, struct exchange *x)
{
    (void)w;
    conn_close(x->loop, x->conn, CLOSE_TIMEOUT, true);
}

static void wait(struct request *r, struct visit *v)
{
    const struct authorizer *a = r->service->authorizer;
    worker_wait(r->x, &v->waiter);
    conn_set_deadline(r->loop, r->x->conn, a->timeout_ms + MARGIN_MS);
}

void admission_ask(struct request *r, const struct inquiry *i,
                   void (*go_on)(struct request *r, void *what, const struct decision *d), void *what)
{
    struct visit *v = conn_buffers(r->loop, r->x->conn) ? calloc(1, sizeof(*v)) : NULL;
    if (!v) {
        go_on(r, what, NULL);
        return;
    }
    outbound_job_init(&v->question.job);
    buf_init(&v->head, HEAD_MAX * 4);
    write_question(&v->question.job, r, i);
    int rc = authorizer_look_up(r->service->authorizer, &v->question, clock_mono(r->service->clock));
    if (rc != 0) {
        go_on(r, what, v->question.decision);
        destroy(v);
        return;
    }
    keep_head(&v->head, r);
    v->go_on = go_on;
    v->what = what;
    v->waiter.overdue = overdue;
    v->question.answered = answered;
    v->request = http_keep(r);
    wait(r, v);
    authorizer_ask(r->service->authorizer, &v->question);
}
