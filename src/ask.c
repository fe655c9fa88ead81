/* SPDX-License-Identifier: MIT
 *
 * ask - see ask.h. A handler that leaves a request without anything has failed: its connection is closed, so
 * that nobody waits for ever.
 */
#include "ask.h"

#include "cors.h"

/* Has the handler left something that will go on by itself? */
static bool is_settled(const struct exchange *x)
{
    enum conn_state state = (enum conn_state)x->conn->state;
    return x->answered || state == CONN_STREAM || state == CONN_WAIT || state == CONN_FEED ||
           state == CONN_CLOSED;
}

static void settle(const struct exchange *x)
{
    if (!is_settled(x))
        conn_close(x->loop, x->conn, CLOSE_ERROR, true);
}

bool ask_head(struct exchange *x)
{
    struct loop *l = x->loop;
    x->conn->raw = x->head->minor == 0 || conn_is_carried(x->conn);
    stats_add(&l->stats.requests, 1);
    l->requests_since_news++;
    bool wants_body = l->handler->on_head(l->user, x);
    if (!wants_body)
        settle(x);
    return wants_body;
}

void ask_request(struct exchange *x)
{
    x->loop->handler->on_request(x->loop->user, x);
    settle(x);
}

void ask_kept(struct loop *l, struct conn *c, size_t head_len, size_t body_len)
{
    const char *p = c->io->in.data;
    struct h1_head head;
    struct h1_error error;
    const struct h1_limits limits = {UINT32_MAX, UINT32_MAX};
    if (h1_parse_head(p, head_len, 0, &limits, &head, &error) <= 0) {
        conn_close(l, c, CLOSE_ERROR, true); /* cannot be: it was parsed before */
        return;
    }
    if (c->state == CONN_BODY)
        conn_set_state(c, CONN_HEAD);
    struct exchange x = {.loop = l, .conn = c, .head = &head, .body = {p + head_len, body_len}};
    ask_request(&x);
}

void ask_resume(struct loop *l, struct conn *c)
{
    c->io->waiter->conn = NULL;
    c->io->waiter = NULL;
    conn_set_state(c, CONN_HEAD);
    conn_set_deadline(l, c, 0);
    c->flags |= CONN_PAUSED; /* what came behind the request is taken up when it is answered */
}

void ask_resumed(struct exchange *x)
{
    struct loop *l = x->loop;
    struct conn *c = x->conn;
    settle(x);
    if (c->state != CONN_STREAM)
        return;
    c->flags &= (uint8_t)~CONN_PAUSED; /* what came behind it is nobody's */
    conn_drop_in(l, c);
    conn_watch(l, c, IO_READ | IO_HANGUP | (c->interest & IO_WRITE));
}

/* What is too large or too slow may come from a browser, whose page is to see the answer. What breaks the
 * rules of HTTP does not, and no line of it is believed. */
static struct span find_origin(struct span bytes, const struct h1_error *error)
{
    return error->status == 400 ? (struct span){0} : cors_look(bytes);
}

static void refuse(struct exchange *x, const struct h1_error *error)
{
    stats_add(&x->loop->stats.bad_requests, 1);
    x->loop->handler->on_bad(x->loop->user, x, error);
    if (!x->answered)
        conn_close(x->loop, x->conn, CLOSE_ERROR, true);
}

void ask_refuse(struct loop *l, struct conn *c, const struct h1_head *head, const struct h1_error *error)
{
    struct exchange x = {.loop = l, .conn = c, .head = head};
    if (!head && c->io && c->state != CONN_FEED) /* whose head has been used */
        x.origin = find_origin((struct span){c->io->in.data, c->io->in.len}, error);
    refuse(&x, error);
}

void ask_refuse_bytes(struct loop *l, struct conn *c, struct span bytes, const struct h1_error *error)
{
    struct exchange x = {.loop = l, .conn = c, .origin = find_origin(bytes, error)};
    refuse(&x, error);
}
