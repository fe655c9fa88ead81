/* SPDX-License-Identifier: MIT
 *
 * publish - see publish.h.
 */
#include "publish.h"

#include <string.h>

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

static void log_publish(struct service *s, enum channel_kind kind, const struct tidings_message *m,
                        const struct tidings_receipt *receipt)
{
    char to[TIDINGS_TOPIC_MAX + 1] = "", event[TIDINGS_EVENT_MAX + 1] = "";
    if (!s->report.log)
        return;
    if (kind != CHANNEL_ALL)
        memcpy(to, m->to, m->to_len);
    memcpy(event, m->event, m->event_len);
    const struct tidings_log_field fields[] = {
        REPORT_TEXT("target", target_name(kind)), REPORT_TEXT("to", to), REPORT_TEXT("name", event),
        REPORT_TEXT("id", receipt->id), REPORT_NUMBER("connections", receipt->connections)};
    report(&s->report, TIDINGS_LOG_DEBUG, "publish", "event published", fields, 5);
}

int publish_message(struct service *s, const struct tidings_message *m, uint32_t self,
                    struct tidings_receipt *receipt, struct json_error *error)
{
    static const enum channel_kind kinds[] = {[TIDINGS_TO_CLIENT] = CHANNEL_CLIENT,
                                              [TIDINGS_TO_TOPIC] = CHANNEL_TOPIC,
                                              [TIDINGS_TO_ALL] = CHANNEL_ALL};
    *error = (struct json_error){0};
    int rc = self == REGISTRY_NO_LOOP && is_too_large(s, m) ? TIDINGS_ETOOBIG : check_target(m);
    if (rc == 0)
        rc = publish_check_event((struct span){m->event, m->event_len});
    if (rc < 0)
        return rc;
    struct event *e =
        event_create((struct span){m->event, m->event_len}, (struct span){m->json, m->json_len}, error);
    if (!e)
        return error->what ? TIDINGS_EJSON : TIDINGS_ENOMEM;
    uint64_t ttl = m->ttl == TIDINGS_TTL_DEFAULT ? UINT64_MAX : (uint64_t)m->ttl * 1000;
    enum channel_kind kind = kinds[m->target];
    struct posting po = {.event=e,.kind=kind,.to={m->to,m->to_len},.ttl=ttl,.self=self};
    sequencer_post(s->sequencer,&po); receipt->connections=po.connections; rc = po.result==POSTING_OK?0:-1;
    if (rc == 0) {
        event_id(receipt->id, s->log->epoch, e->seq);
        log_publish(s, kind, m, receipt);
    }
    event_unref(e);
    return rc < 0 ? TIDINGS_ENOMEM : 0;
}

void publish_to_dashboards(struct service *s, const char *name, struct span json, uint32_t self)
{
    struct json_error error;
    uint64_t connections;
    struct event *e = event_create(span_of(name), json, &error);
    if (!e)
        return; /* the next one follows within a second */
    struct posting po = {.event=e,.kind=CHANNEL_ADMIN,.to=SPAN(""),.ttl=0,.self=self}; connections=0;
    sequencer_post(s->sequencer,&po);
    event_unref(e);
}
