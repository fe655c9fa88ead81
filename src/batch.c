/* SPDX-License-Identifier: MIT
 *
 * batch - see batch.h. Results leave in the order of their messages:
 *
 *     message ──► nothing waits before it, result is there ──► written
 *             └─► items: first ──► … ──► last ──► written when it is done and all before it are
 *
 * Without a store the queue of items is always empty, and nothing is allocated for a message but its event.
 * With one an item lives until the sequencer has told about it, whatever has become of its connection.
 */
#include "batch.h"

#include "feed.h"
#include "notice.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SLICE       64   /* items of an array in one turn, so that readers get theirs */
#define LARGE       8192 /* so many bytes count as one item more */
#define RESULT_SIZE 192  /* what a result takes, with a long name in it */
#define RESULTS_MAX (CONN_OUT_MAX - 2 * CONN_PAUSE_BYTES)

struct item {
    struct item *next;
    struct batching *batch; /* NULL: nobody waits for it any more */
    struct publishing publishing;
    uint32_t since;    /* loop time */
    bool done;         /* the result is there */
    size_t result_len; /* > 0: texts is the result, there was nothing to publish */
    char texts[];
};

struct batching {
    struct request request; /* without its bytes */
    struct loop *loop;
    struct item *first; /* whose results are not written yet */
    struct item *last;
    bool is_array;

    struct feed feed; /* lines */

    struct waiter waiter; /* array */
    struct completion next_slice;
    struct json_walk walk;
    char *text;    /* what is walked, once the request is gone */
    uint32_t left; /* items that were not walked yet */
    struct buf results;
};

static struct batching *of_feed(struct feed *f)
{
    return (struct batching *)(void *)((char *)f - offsetof(struct batching, feed));
}

static struct batching *of_waiter(struct waiter *w)
{
    return (struct batching *)(void *)((char *)w - offsetof(struct batching, waiter));
}

/* ---- results ---- */

/* The order of the results is more than can be promised then. */
static void out_of_memory(struct batching *b)
{
    if (b->is_array)
        b->results.failed = true;
    else if (b->feed.waiter.conn)
        conn_close(b->loop, b->feed.waiter.conn, CLOSE_ERROR, true);
}

static struct buf *begin_result(struct batching *b)
{
    struct buf *out = b->is_array ? &b->results : &b->loop->scratch;
    if (!b->is_array)
        buf_clear(out);
    else if (out->len > 1)
        buf_putc(out, ',');
    return out;
}

static void end_result(struct batching *b, struct buf *out)
{
    if (b->is_array)
        return;
    buf_putc(out, '\n');
    if (!out->failed)
        feed_put(&b->feed, (struct span){out->data, out->len});
    else
        out_of_memory(b);
}

static void put_result(struct buf *out, const struct publishing *p)
{
    struct problem why;
    if (p->result == 0) {
        notice_put_answer(out, p);
        return;
    }
    notice_refused(p, &why);
    problem_put(out, &why);
}

static void write_problem(struct batching *b, const struct problem *why)
{
    struct buf *out = begin_result(b);
    problem_put(out, why);
    end_result(b, out);
}

static void write_item(struct batching *b, const struct item *i)
{
    struct buf *out = begin_result(b);
    if (i->result_len > 0)
        buf_append(out, i->texts, i->result_len);
    else
        put_result(out, &i->publishing);
    end_result(b, out);
}

/* ---- the queue ---- */

/* For the deadline of lines. */
static void tell_feed(struct batching *b, uint32_t waiting)
{
    b->feed.waiting = waiting;
    if (b->first)
        b->feed.oldest = b->first->since;
}

static void push(struct batching *b, struct item *i)
{
    i->next = NULL;
    i->batch = b;
    i->since = (uint32_t)b->loop->now;
    *(b->first ? &b->last->next : &b->first) = i;
    b->last = i;
    tell_feed(b, b->feed.waiting + 1);
}

static struct item *pop(struct batching *b)
{
    struct item *i = b->first;
    b->first = i->next;
    tell_feed(b, b->feed.waiting - 1);
    return i;
}

static void write_done(struct batching *b)
{
    while (b->first && b->first->done) {
        struct item *i = pop(b);
        write_item(b, i);
        free(i);
    }
}

static bool is_overdue(const struct batching *b, const struct item *i)
{
    uint32_t limit = b->loop->config.publish_timeout;
    return !i->done && limit > 0 && (uint32_t)b->loop->now - i->since >= limit;
}

/* Waits no longer for those whose time is over; they free themselves. */
static void give_up_overdue(struct batching *b)
{
    struct problem why;
    notice_timed_out(&why);
    while (b->first && is_overdue(b, b->first)) {
        pop(b)->batch = NULL;
        write_problem(b, &why);
        write_done(b);
    }
}

static void free_batch(struct batching *b)
{
    while (b->first) {
        struct item *i = pop(b);
        i->batch = NULL;
        if (i->done)
            free(i);
    }
    buf_finish(&b->results);
    http_forget(&b->request);
    free(b->text);
    free(b);
}

/* ---- messages ---- */

/* A result that has to wait for those before it. */
static void queue_problem(struct batching *b, const struct problem *why)
{
    struct buf text;
    buf_init(&text, 4096);
    problem_put(&text, why);
    struct item *i = text.failed ? NULL : malloc(sizeof(*i) + text.len);
    if (i) {
        i->done = true;
        i->result_len = text.len;
        memcpy(i->texts, text.data, text.len);
        push(b, i);
    } else {
        out_of_memory(b);
    }
    buf_finish(&text);
}

static void refuse(struct batching *b, const struct problem *why)
{
    if (b->first)
        queue_problem(b, why);
    else
        write_problem(b, why);
}

static void answer_array(struct batching *b);

static bool is_complete(const struct batching *b)
{
    return b->is_array && b->left == 0 && !b->first;
}

static void told(struct publishing *p)
{
    struct item *i = (struct item *)(void *)((char *)p - offsetof(struct item, publishing));
    struct batching *b = i->batch;
    if (!b) {
        free(i);
        return;
    }
    i->done = true;
    write_done(b);
    if (is_complete(b))
        answer_array(b);
}

static void publish_now(struct batching *b, const struct notice *n)
{
    struct publishing p;
    struct problem why;
    p.told = NULL;
    if (notice_publish(b->request.service, b->loop, &n->message, notice_payload_at(n), &p, &why) < 0) {
        refuse(b, &why);
        return;
    }
    struct buf *out = begin_result(b);
    put_result(out, &p);
    end_result(b, out);
}

static void publish_later(struct batching *b, struct notice *n)
{
    struct problem why;
    struct item *i = malloc(sizeof(*i) + notice_keep_size(&n->message));
    if (!i) {
        problem_set(&why, 503, "out_of_memory", "memory is short");
        refuse(b, &why);
        return;
    }
    notice_keep(&n->message, i->texts);
    i->publishing.told = told;
    i->result_len = 0;
    int rc =
        notice_publish(b->request.service, b->loop, &n->message, notice_payload_at(n), &i->publishing, &why);
    if (rc < 0) {
        free(i);
        refuse(b, &why);
        return;
    }
    i->done = rc == 1;
    push(b, i);
    write_done(b);
}

/* A body may last longer than what it was admitted with. */
static bool may_send(const struct batching *b, const struct notice *n, struct problem *why)
{
    const struct request *r = &b->request;
    struct span to = {n->message.to, n->message.to_len};
    enum auth_result result = auth_may_go_on(&r->who, clock_wall(r->service->clock), why);
    if (result == AUTH_OK)
        result = auth_may_send(r->auth, &r->who, n->message.target, to, why);
    if (result == AUTH_FORBIDDEN)
        stats_add(&b->loop->stats.denied_forbidden, 1);
    else if (result != AUTH_OK)
        stats_add(&b->loop->stats.denied_expired, 1);
    return result == AUTH_OK;
}

static void take_message(struct batching *b, struct span object)
{
    struct notice n;
    struct problem why;
    stats_add(&b->loop->stats.items, 1);
    if (!notice_read(&n, object, (struct span){0}, &why) || !may_send(b, &n, &why) ||
        !http_admits_event(&b->request, &why))
        refuse(b, &why);
    else if (publish_needs_waiting(b->request.service))
        publish_later(b, &n);
    else
        publish_now(b, &n);
}

static struct batching *create(struct request *r)
{
    struct batching *b = conn_buffers(r->loop, r->x->conn) ? calloc(1, sizeof(*b)) : NULL;
    if (!b) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return NULL;
    }
    b->request = http_keep(r);
    b->loop = r->loop;
    buf_init(&b->results, RESULTS_MAX);
    return b;
}

/* ---- lines ---- */

static void take_line(struct feed *f, struct span line)
{
    take_message(of_feed(f), line);
}

static void refuse_line(struct feed *f, const struct h1_error *error)
{
    struct problem why;
    problem_set(&why, error->status, error->code, "%s", error->detail);
    refuse(of_feed(f), &why);
}

static void lines_overdue(struct feed *f)
{
    give_up_overdue(of_feed(f));
}

static bool begin_answer(struct feed *f)
{
    struct batching *b = of_feed(f);
    struct exchange x = {.loop = f->loop, .conn = f->waiter.conn};
    b->request.x = &x;
    bool begun = http_begin_body(&b->request, TYPE_LINES);
    b->request.x = NULL;
    f->last |= !b->request.keep_alive;
    return begun;
}

static void end_lines(struct feed *f)
{
    free_batch(of_feed(f));
}

static void lines_gone(struct completion *c, struct loop *l)
{
    (void)l;
    free_batch((struct batching *)(void *)((char *)c - offsetof(struct batching, feed.waiter.gone)));
}

static void begin_lines(struct request *r)
{
    static const struct feed_ops ops = {.line = take_line,
                                        .refuse = refuse_line,
                                        .overdue = lines_overdue,
                                        .begin = begin_answer,
                                        .end = end_lines};
    struct batching *b = create(r);
    if (!b)
        return;
    b->feed.ops = &ops;
    b->feed.last = !r->keep_alive;
    b->feed.waiter.gone.run = lines_gone;
    feed_begin(r->x, &b->feed);
}

/* ---- an array ---- */

/* The batch is over. */
static void answer_array(struct batching *b)
{
    if (b->waiter.conn) {
        struct exchange x = {.loop = b->loop, .conn = b->waiter.conn};
        b->request.x = &x;
        buf_putc(&b->results, ']');
        http_reply_json(&b->request, 200, &b->results);
    }
    free_batch(b);
}

static void take_slice(struct batching *b)
{
    struct json_field item;
    for (size_t n = 0; n < SLICE && b->left > 0; b->left--) {
        json_walk_next(&b->walk, &item); /* the whole array was checked */
        take_message(b, item.value);
        b->loop->requests_since_news++;
        n += 1 + item.value.len / LARGE;
    }
}

static void run_slice(struct completion *c, struct loop *l)
{
    struct batching *b = (struct batching *)(void *)((char *)c - offsetof(struct batching, next_slice));
    take_slice(b);
    if (b->left > 0)
        loop_post(l, c);
    else if (is_complete(b))
        answer_array(b);
}

static void array_overdue(struct waiter *w, struct exchange *x)
{
    struct batching *b = of_waiter(w);
    uint32_t limit = b->loop->config.publish_timeout;
    give_up_overdue(b);
    if (is_complete(b)) {
        answer_array(b);
        x->answered = true;
        return;
    }
    uint32_t age = b->first ? (uint32_t)b->loop->now - b->first->since : 0;
    conn_set_deadline(b->loop, w->conn, limit > age ? limit - age : limit);
}

/* How many items it has; false: answered, and nothing of it is published. */
static bool check_array(struct request *r, uint32_t *count)
{
    struct json_walk walk;
    struct json_field item;
    int rc = json_walk_init(&walk, r->body, '[');
    for (*count = 0; rc == 0 && (rc = json_walk_next(&walk, &item)) == 1; rc = 0)
        if (++*count > BATCH_ITEMS_MAX) {
            http_problem(r, 413, "too_many_items", "an array holds at most %d items", BATCH_ITEMS_MAX);
            return false;
        }
    if (rc < 0)
        http_problem(r, 400, "invalid_json", "%s (byte %zu)", walk.error.what, walk.error.offset);
    return rc == 0;
}

/* All memory that it takes is taken before the first of them is published. */
static bool prepare_array(struct request *r, struct batching *b, uint32_t count)
{
    size_t each = RESULT_SIZE + (publish_needs_waiting(r->service) ? sizeof(struct item) : 0);
    size_t text = count > SLICE ? r->body.len : 0;
    b->is_array = true;
    b->left = count;
    b->waiter.overdue = array_overdue;
    b->next_slice.run = run_slice;
    if (!conn_reserve(r->loop, r->x->conn, count * each + text)) {
        stats_add(&r->loop->stats.refused_memory, 1);
        http_problem(r, 503, "request_memory", "the memory for requests is used up");
        return false;
    }
    if (text > 0 && !(b->text = malloc(text))) {
        http_problem(r, 503, "out_of_memory", "memory is short");
        return false;
    }
    if (text > 0)
        memcpy(b->text, r->body.p, text);
    json_walk_init(&b->walk, text ? (struct span){b->text, text} : r->body, '[');
    buf_putc(&b->results, '[');
    return true;
}

static void begin_array(struct request *r)
{
    uint32_t count;
    struct batching *b = check_array(r, &count) ? create(r) : NULL;
    if (!b)
        return;
    if (!prepare_array(r, b, count)) {
        free_batch(b);
        return;
    }
    take_slice(b);
    if (is_complete(b)) { /* as most are, at once */
        buf_putc(&b->results, ']');
        http_reply_json(r, 200, &b->results);
        free_batch(b);
        return;
    }
    worker_wait(r->x, &b->waiter);
    if (b->left > 0)
        loop_post(r->loop, &b->next_slice);
}

void batch_handle(struct request *r)
{
    bool lines = http_has_lines(r);
    if (r->head->known[H1_IDEMPOTENCY_KEY].p) {
        http_problem(r, 400, "unsupported_header",
                     "Idempotency-Key: names one message; in a batch each item has its own idempotencyKey");
        return;
    }
    stats_add(&r->loop->stats.batches, 1);
    if (lines)
        begin_lines(r);
    else
        begin_array(r);
}
