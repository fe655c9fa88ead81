/* SPDX-License-Identifier: MIT
 *
 * notify - see notify.h. Without a store the answer is there when the event is; with one it comes later, when
 * the event is stored.
 */
#include "notify.h"

#include "notice.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The store works on it. Frees itself when it is told, whether or not anybody still waits. */
struct asked {
    struct waiter waiter;
    struct request request;
    struct publishing publishing;
    char texts[];
};

static void answer(struct request *r, const struct publishing *p)
{
    struct buf json;
    struct problem why;
    if (p->result < 0) {
        notice_refused(p, &why);
        http_refuse(r, &why);
        return;
    }
    buf_init(&json, 4096);
    notice_put_answer(&json, p);
    if (json.failed)
        http_problem(r, 503, "out_of_memory", "memory is short");
    else
        http_reply(r, 200, TYPE_JSON, (struct span){json.data, json.len},
                   p->receipt.repeated ? "Cache-Control: no-store\r\nIdempotent-Replayed: true\r\n"
                                       : "Cache-Control: no-store\r\n");
    buf_finish(&json);
}

/* ---- with a store ---- */

static void told(struct publishing *p)
{
    struct asked *a = (struct asked *)(void *)((char *)p - offsetof(struct asked, publishing));
    if (a->waiter.conn) {
        struct exchange x = {.loop = p->loop, .conn = a->waiter.conn};
        a->request.x = &x;
        answer(&a->request, p);
    }
    http_forget(&a->request);
    free(a);
}

static void overdue(struct waiter *w, struct exchange *x)
{
    struct asked *a = (struct asked *)(void *)((char *)w - offsetof(struct asked, waiter));
    struct problem why;
    notice_timed_out(&why);
    a->request.x = x;
    http_refuse(&a->request, &why);
}

static void publish_later(struct request *r, struct notice *n)
{
    struct problem why;
    struct asked *a = malloc(sizeof(*a) + notice_keep_size(&n->message));
    if (!a || !conn_buffers(r->loop, r->x->conn)) {
        free(a);
        http_problem(r, 503, "out_of_memory", "memory is short");
        return;
    }
    a->waiter = (struct waiter){.overdue = overdue};
    a->request = http_keep(r);
    a->publishing.told = told;
    notice_keep(&n->message, a->texts);
    int rc = notice_publish(r->service, r->loop, &n->message, notice_payload_at(n), &a->publishing, &why);
    if (rc == 0) {
        worker_wait(r->x, &a->waiter);
        return;
    }
    if (rc < 0)
        http_refuse(r, &why);
    else
        answer(r, &a->publishing);
    http_forget(&a->request);
    free(a);
}

/* ---- without ---- */

static void publish_now(struct request *r, const struct notice *n)
{
    struct publishing p;
    struct problem why;
    p.told = NULL;
    if (notice_publish(r->service, r->loop, &n->message, notice_payload_at(n), &p, &why) < 0)
        http_refuse(r, &why);
    else
        answer(r, &p);
}

/* The header Idempotency-Key, without the quotes that a structured field has. Given twice it says nothing
 * that can be relied on. False: answered. */
static bool read_header(struct request *r, struct span *key)
{
    unsigned count = 0;
    *key = r->head->known[H1_IDEMPOTENCY_KEY];
    for (unsigned i = 0; key->p && i < r->head->field_count; i++)
        count += span_eq_nocase(r->head->fields[i].name, SPAN("idempotency-key"));
    if (count > 1) {
        http_problem(r, 400, "ambiguous_key", "Idempotency-Key: given twice");
        return false;
    }
    if (key->p && key->len >= 2 && key->p[0] == '"' && key->p[key->len - 1] == '"')
        *key = (struct span){key->p + 1, key->len - 2};
    return true;
}

/* False: answered. */
static bool may_send(struct request *r, const struct notice *n)
{
    struct problem why;
    struct span to = {n->message.to, n->message.to_len};
    enum auth_result result = auth_may_send(r->auth, &r->who, n->message.target, to, &why);
    if (result != AUTH_OK)
        http_deny(r, result, &why);
    return result == AUTH_OK;
}

void notify_handle(struct request *r)
{
    struct notice n;
    struct problem why;
    struct span key;
    if (!read_header(r, &key))
        return;
    if (!notice_read(&n, r->body, key, &why)) {
        http_refuse(r, &why);
        return;
    }
    if (!may_send(r, &n))
        return;
    if (!http_admits_event(r, &why))
        http_refuse(r, &why);
    else if (publish_needs_waiting(r->service))
        publish_later(r, &n);
    else
        publish_now(r, &n);
}
