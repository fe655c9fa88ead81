/* SPDX-License-Identifier: MIT
 *
 * publish - see publish.h.
 */
#include "publish.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LARGE 8192 /* so many bytes count as one request more: readers have to keep up with them */

int publish_check_event(struct span name)
{
    if (!text_is_name(name.p, name.len, TIDINGS_EVENT_MAX))
        return TIDINGS_ENAME;
    if (span_starts(name, SPAN("__")) || span_eq(name, SPAN("open")) || span_eq(name, SPAN("error")))
        return TIDINGS_ERESERVED;
    return 0;
}

static int check_target(const struct tidings_message *m)
{
    switch (m->target) {
    case TIDINGS_TO_ALL:
        return 0;
    case TIDINGS_TO_CLIENT:
        return text_is_name(m->to, m->to_len, TIDINGS_CLIENT_ID_MAX) ? 0 : TIDINGS_ENAME;
    case TIDINGS_TO_TOPIC:
        return text_is_name(m->to, m->to_len, TIDINGS_TOPIC_MAX) ? 0 : TIDINGS_ENAME;
    }
    return TIDINGS_EINVAL;
}

/* HTTP bodies were measured when they came; calls of the library are held to the same limit here. */
static bool is_too_large(struct service *s, const struct tidings_message *m)
{
    log_lock(s->log);
    uint32_t max = s->config->max_body;
    log_unlock(s->log);
    return max > 0 && m->json_len > max;
}

static const char *target_name(enum channel_kind kind)
{
    return kind == CHANNEL_ALL ? "broadcast" : kind == CHANNEL_CLIENT ? "client" : "topic";
}

/* ---- what came of it ---- */

static void log_publish(struct service *s, const struct posting *p, const struct tidings_receipt *receipt)
{
    char to[TIDINGS_TOPIC_MAX + 1] = "", event[TIDINGS_EVENT_MAX + 1] = "";
    struct span name = event_name(p->event);
    if (!s->report.log)
        return;
    if (p->kind != CHANNEL_ALL)
        memcpy(to, p->to.p, p->to.len);
    memcpy(event, name.p, name.len);
    const struct tidings_log_field fields[] = {
        REPORT_TEXT("target", target_name(p->kind)), REPORT_TEXT("to", to), REPORT_TEXT("name", event),
        REPORT_TEXT("id", receipt->id), REPORT_NUMBER("connections", receipt->connections)};
    report(&s->report, TIDINGS_LOG_DEBUG, "publish", "event published", fields, 5);
}

static int code_of(enum posting_result result)
{
    switch (result) {
    case POSTING_OK:
        return 0;
    case POSTING_MEMORY:
        break;
    case POSTING_MISMATCH:
        return TIDINGS_EMISMATCH;
    case POSTING_KEYS_FULL:
        return TIDINGS_EKEYS;
    case POSTING_BUSY:
        return TIDINGS_EBUSY;
    case POSTING_STORE:
        return TIDINGS_ESTORE;
    case POSTING_CLOSED:
        return TIDINGS_ECLOSED;
    }
    return TIDINGS_ENOMEM;
}

/* The posting is done: its result becomes ours, and the event is let go. */
static void settle(struct publishing *p)
{
    struct posting *done = &p->posting;
    p->result = code_of(done->result);
    if (p->result == 0) {
        p->receipt.connections = done->connections;
        p->receipt.repeated = done->repeated;
        event_id(p->receipt.id, p->service->log->epoch, done->seq);
        if (!done->repeated)
            log_publish(p->service, done, &p->receipt);
    }
    event_unref(done->event);
}

/* ---- on its way ---- */

static bool is_key(const struct tidings_message *m)
{
    return m->idempotency_key_len == 0 ||
           text_is_name(m->idempotency_key, m->idempotency_key_len, IDEMPOTENCY_KEY_MAX);
}

/* Checks and encodes. 0, or a TIDINGS_E* code. */
static int prepare(struct service *s, const struct tidings_message *m, uint32_t self, struct publishing *p,
                   struct json_error *error)
{
    static const enum channel_kind kinds[] = {[TIDINGS_TO_CLIENT] = CHANNEL_CLIENT,
                                              [TIDINGS_TO_TOPIC] = CHANNEL_TOPIC,
                                              [TIDINGS_TO_ALL] = CHANNEL_ALL};
    *error = (struct json_error){0};
    int rc = is_key(m) ? check_target(m) : TIDINGS_EINVAL;
    if (rc == 0)
        rc = publish_check_event((struct span){m->event, m->event_len});
    if (rc < 0)
        return rc;
    struct event *e =
        event_create((struct span){m->event, m->event_len}, (struct span){m->json, m->json_len}, error);
    if (!e)
        return error->what ? TIDINGS_EJSON : TIDINGS_ENOMEM;
    p->service = s;
    p->target = m->target;
    p->posting = (struct posting){.event = e,
                                  .kind = kinds[m->target],
                                  .to = {m->to, m->to_len},
                                  .ttl = m->ttl == TIDINGS_TTL_DEFAULT ? UINT64_MAX : (uint64_t)m->ttl * 1000,
                                  .self = self};
    if (m->idempotency_key_len > 0) {
        p->posting.key = (struct span){m->idempotency_key, m->idempotency_key_len};
        p->posting.print = sequencer_print(s->sequencer, p->posting.kind, p->posting.to, e, p->posting.ttl);
    }
    return 0;
}

int publish_message(struct service *s, const struct tidings_message *m, struct tidings_receipt *receipt,
                    struct json_error *error)
{
    struct publishing p;
    int rc = is_too_large(s, m) ? TIDINGS_ETOOBIG : prepare(s, m, REGISTRY_NO_LOOP, &p, error);
    if (rc < 0)
        return rc;
    sequencer_publish(s->sequencer, &p.posting);
    settle(&p);
    if (p.result == 0)
        *receipt = p.receipt;
    return p.result;
}

bool publish_needs_waiting(const struct service *s)
{
    return sequencer_is_async(s->sequencer);
}

static void count_repeat(struct publishing *p)
{
    if (p->result == 0 && p->receipt.repeated)
        stats_add(&p->loop->stats.repeated, 1);
}

static void run_told(struct completion *c, struct loop *l)
{
    struct publishing *p = (struct publishing *)(void *)((char *)c - offsetof(struct publishing, completion));
    (void)l;
    settle(p);
    count_repeat(p);
    p->told(p);
}

/* On the sequencer's thread. */
static void tell_loop(struct posting *done)
{
    struct publishing *p = (struct publishing *)(void *)((char *)done - offsetof(struct publishing, posting));
    p->completion.run = run_told;
    loop_post(p->loop, &p->completion);
}

int publish_begin(struct service *s, struct loop *loop, const struct tidings_message *m, struct publishing *p,
                  struct json_error *error)
{
    int rc = prepare(s, m, loop->index, p, error);
    if (rc < 0)
        return rc;
    p->loop = loop;
    p->posting.done = tell_loop;
    loop->requests_since_news += (unsigned)(m->json_len / LARGE);
    if (!sequencer_post(s->sequencer, &p->posting))
        return 0;
    settle(p);
    count_repeat(p);
    return 1;
}

/* ---- dashboards ---- */

static void forget(struct posting *p)
{
    event_unref(p->event);
    free(p);
}

void publish_to_dashboards(struct service *s, const char *name, struct span json, uint32_t self)
{
    struct json_error error;
    struct posting *p = calloc(1, sizeof(*p));
    struct event *e = p ? event_create(span_of(name), json, &error) : NULL;
    if (!e) {
        free(p);
        return; /* the next one follows within a second */
    }
    p->event = e;
    p->kind = CHANNEL_ADMIN;
    p->to = SPAN("");
    p->self = self;
    p->done = forget;
    if (sequencer_post(s->sequencer, p))
        forget(p);
}
