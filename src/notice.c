/* SPDX-License-Identifier: MIT
 *
 * notice - see notice.h. The object is walked once; the payload is a view into it until the event is encoded.
 * Fields are a table: a new one is a row here, a line in docs/api.md and one in openapi.json.
 */
#include "notice.h"

#include <stddef.h>
#include <string.h>

enum field { F_CLIENT, F_EVENT, F_PAYLOAD, F_BROADCAST, F_TOPIC, F_TTL, F_KEY, F_COUNT };

static const struct {
    const char *name;
    int kind; /* enum json_kind, -1: any */
    const char *type;
    const char *code; /* of strings: when they are not as they must be */
} fields[F_COUNT] = {
    [F_CLIENT] = {"clientId", JSON_STRING, "a string", "invalid_client_id"},
    [F_EVENT] = {"event", JSON_STRING, "a string", "invalid_event"},
    [F_PAYLOAD] = {"payload", -1, "JSON", NULL},
    [F_BROADCAST] = {"broadcast", JSON_BOOL, "true or false", NULL},
    [F_TOPIC] = {"topic", JSON_STRING, "a string", "invalid_topic"},
    [F_TTL] = {"ttl", JSON_NUMBER, "a whole number of seconds", NULL},
    [F_KEY] = {"idempotencyKey", JSON_STRING, "a string", "invalid_idempotency_key"},
};

_Static_assert(F_COUNT == NOTICE_FIELDS, "a new field is one more in notice.h");

/* ---- reading ---- */

static int field_of(const struct json_field *f)
{
    char key[NOTICE_RAW_MAX];
    struct span name = f->key;
    if (f->key_escaped) {
        struct span raw = {f->key.p - 1, f->key.len + 2};
        if (raw.len > sizeof(key))
            return F_COUNT;
        name = (struct span){key, json_unescape(raw, key)};
    }
    int i = 0;
    while (i < F_COUNT && !span_eq(name, span_of(fields[i].name)))
        i++;
    return i;
}

static bool take_field(struct notice *n, const struct json_field *f, struct problem *why)
{
    int i = field_of(f);
    if (i == F_COUNT) {
        problem_set(why, 400, "unknown_field", "%.*s: unknown field", f->key.len < 64 ? (int)f->key.len : 64,
                    f->key.p);
        return false;
    }
    if (n->seen[i]) {
        problem_set(why, 400, "duplicate_field", "%s: given twice (byte %zu)", fields[i].name, f->key_offset);
        return false;
    }
    n->seen[i] = true;
    if (f->kind == JSON_NULL)
        return true;
    if (fields[i].kind >= 0 && (int)f->kind != fields[i].kind) {
        problem_set(why, 400, "wrong_type", "%s: must be %s", fields[i].name, fields[i].type);
        return false;
    }
    n->at[i] = *f;
    n->set[i] = true;
    return true;
}

static bool read_fields(struct notice *n, struct span object, struct problem *why)
{
    struct json_walk walk;
    struct json_field f;
    int rc = json_walk_init(&walk, object, '{');
    if (rc == 0)
        while ((rc = json_walk_next(&walk, &f)) == 1)
            if (!take_field(n, &f, why))
                return false;
    if (rc < 0)
        problem_set(why, 400, "invalid_json", "%s (byte %zu)", walk.error.what, walk.error.offset);
    return rc == 0;
}

/* The text of a string field; false when it is longer than any legal one. */
static bool read_string(const struct notice *n, enum field i, char *out, size_t *len, struct problem *why)
{
    struct span raw = n->at[i].value;
    if (raw.len > NOTICE_RAW_MAX) {
        problem_set(why, 400, fields[i].code, "%s: too long", fields[i].name);
        return false;
    }
    *len = json_unescape(raw, out);
    return true;
}

static bool is_true(const struct notice *n)
{
    return n->set[F_BROADCAST] && n->at[F_BROADCAST].value.p[0] == 't';
}

static bool read_client(struct notice *n, struct problem *why)
{
    struct tidings_message *m = &n->message;
    m->to = n->to;
    if (!read_string(n, F_CLIENT, n->to, &m->to_len, why))
        return false;
    if (text_is_name(m->to, m->to_len, TIDINGS_CLIENT_ID_MAX))
        return true;
    problem_set(why, 400, "invalid_client_id", "clientId: 1 to %d bytes of UTF-8 without control characters",
                TIDINGS_CLIENT_ID_MAX);
    return false;
}

static bool read_topic(struct notice *n, struct problem *why)
{
    struct tidings_message *m = &n->message;
    m->to = n->to;
    m->target = TIDINGS_TO_TOPIC;
    if (!read_string(n, F_TOPIC, n->to, &m->to_len, why))
        return false;
    if (text_is_name(m->to, m->to_len, TIDINGS_TOPIC_MAX))
        return true;
    problem_set(why, 400, "invalid_topic", "topic: 1 to %d bytes of UTF-8 without control characters",
                TIDINGS_TOPIC_MAX);
    return false;
}

static bool read_target(struct notice *n, struct problem *why)
{
    bool all = is_true(n), client = n->set[F_CLIENT], topic = n->set[F_TOPIC];
    if (topic && (all || client)) {
        problem_set(why, 400, "ambiguous_target", "topic: cannot stand beside %s",
                    all ? "broadcast" : "clientId");
        return false;
    }
    if (!all && !client && !topic) {
        problem_set(why, 400, "missing_field", "clientId: missing (or topic, or broadcast: true)");
        return false;
    }
    if (client && !read_client(n, why)) /* beside broadcast it is ignored, yet it must be valid */
        return false;
    if (topic)
        return read_topic(n, why);
    n->message.target = all ? TIDINGS_TO_ALL : TIDINGS_TO_CLIENT;
    return true;
}

static bool read_event(struct notice *n, struct problem *why)
{
    struct tidings_message *m = &n->message;
    m->event = n->event;
    if (!n->set[F_EVENT]) {
        problem_set(why, 400, "missing_field", "event: missing");
        return false;
    }
    if (!read_string(n, F_EVENT, n->event, &m->event_len, why))
        return false;
    int rc = publish_check_event((struct span){m->event, m->event_len});
    if (rc == TIDINGS_ERESERVED)
        problem_set(
            why, 400, "reserved_event",
            "event: names that begin with __, and open and error, belong to the hub and to EventSource");
    else if (rc < 0)
        problem_set(why, 400, "invalid_event", "event: 1 to %d bytes of UTF-8 without control characters",
                    TIDINGS_EVENT_MAX);
    return rc == 0;
}

static bool read_ttl(struct notice *n, struct problem *why)
{
    uint64_t ttl = TIDINGS_TTL_DEFAULT;
    struct span raw = n->at[F_TTL].value;
    if (n->set[F_TTL] && (!text_u64(raw.p, raw.len, &ttl) || ttl >= TIDINGS_TTL_DEFAULT)) {
        problem_set(why, 400, "invalid_ttl", "ttl: not a whole number of seconds");
        return false;
    }
    n->message.ttl = (uint32_t)ttl;
    return true;
}

/* The same key may come in the object and beside it. */
static bool read_key(struct notice *n, struct span beside, struct problem *why)
{
    struct span key = beside;
    if (n->set[F_KEY]) {
        key.p = n->key;
        if (!read_string(n, F_KEY, n->key, &key.len, why))
            return false;
    }
    if (!key.p)
        return true;
    if (!text_is_name(key.p, key.len, IDEMPOTENCY_KEY_MAX)) {
        problem_set(why, 400, "invalid_idempotency_key",
                    "idempotencyKey: 1 to %d bytes of UTF-8 without control characters", IDEMPOTENCY_KEY_MAX);
        return false;
    }
    if (beside.p && !span_eq(key, beside)) {
        problem_set(why, 400, "ambiguous_key",
                    "idempotencyKey: is not the one of the header Idempotency-Key");
        return false;
    }
    n->message.idempotency_key = key.p;
    n->message.idempotency_key_len = key.len;
    return true;
}

static bool read_rest(struct notice *n, struct span key, struct problem *why)
{
    if (!n->set[F_PAYLOAD]) {
        problem_set(why, 400, "missing_field", "payload: missing");
        return false;
    }
    n->message.json = n->at[F_PAYLOAD].value.p;
    n->message.json_len = n->at[F_PAYLOAD].value.len;
    return read_ttl(n, why) && read_key(n, key, why);
}

bool notice_read(struct notice *n, struct span object, struct span key, struct problem *why)
{
    memset(n, 0, offsetof(struct notice, to));
    n->object = object;
    return read_fields(n, object, why) && read_target(n, why) && read_event(n, why) && read_rest(n, key, why);
}

/* ---- publishing ---- */

int notice_publish(struct service *s, struct loop *l, const struct tidings_message *m, size_t payload,
                   struct publishing *p, struct problem *why)
{
    struct json_error error;
    int rc = publish_begin(s, l, m, p, &error);
    if (rc >= 0)
        return rc;
    if (rc == TIDINGS_EJSON)
        problem_set(why, 400, "invalid_json", "payload: %s (byte %zu)", error.what, payload + error.offset);
    else
        problem_set(why, 503, "out_of_memory", "%s", tidings_strerror(rc));
    return -1;
}

static char *keep(char *room, const char **text, size_t n)
{
    if (n > 0)
        memcpy(room, *text, n);
    *text = room;
    return room + n;
}

size_t notice_keep_size(const struct tidings_message *m)
{
    return m->to_len + m->idempotency_key_len;
}

void notice_keep(struct tidings_message *m, char *room)
{
    room = keep(room, &m->to, m->to_len);
    keep(room, &m->idempotency_key, m->idempotency_key_len);
}

/* ---- what came of it ---- */

void notice_put_answer(struct buf *out, const struct publishing *p)
{
    buf_puts(out, p->receipt.connections ? "{\"ok\":true,\"sent\":true,\"clientId\":"
                                         : "{\"ok\":true,\"sent\":false,\"clientId\":");
    if (p->target == TIDINGS_TO_CLIENT)
        json_put_string(out, p->posting.to);
    else
        buf_puts(out, "null");
    json_put_member_u64(out, "connections", p->receipt.connections);
    json_put_member(out, "id", span_of(p->receipt.id));
    buf_putc(out, '}');
}

void notice_refused(const struct publishing *p, struct problem *why)
{
    const char *text = tidings_strerror(p->result);
    switch (p->result) {
    case TIDINGS_EMISMATCH:
        problem_set(why, 422, "idempotency_mismatch", "idempotencyKey: was used for something else");
        break;
    case TIDINGS_EKEYS:
        problem_set(why, 503, "idempotency_full", "%s", text);
        break;
    case TIDINGS_EBUSY:
        problem_set(why, 503, "store_busy", "%s", text);
        break;
    case TIDINGS_ESTORE:
        problem_set(why, 503, store_code(p->posting.why), "%s; the event was not sent",
                    store_text(p->posting.why));
        break;
    case TIDINGS_ECLOSED:
        problem_set(why, 503, "stopping", "%s", text);
        break;
    default:
        problem_set(why, 503, "out_of_memory", "%s", text);
    }
}

void notice_timed_out(struct problem *why)
{
    problem_set(why, 503, "publish_timeout",
                "the store took longer than --publish-timeout; the event may still be stored and sent");
}
