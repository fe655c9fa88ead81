/* SPDX-License-Identifier: MIT
 *
 * notify - see notify.h. The request is walked once; the payload is a view into it until the event is
 * encoded. Fields are a table: a new one is a row here, a line in docs/api.md and one in openapi.json.
 */
#include "notify.h"

#include "publish.h"

#include <stddef.h>
#include <string.h>

enum field { F_CLIENT, F_EVENT, F_PAYLOAD, F_BROADCAST, F_TOPIC, F_TTL, F_KEY, F_COUNT };

static const struct {
    const char *name;
    int kind; /* enum json_kind, -1: any */
    const char *type;
} fields[F_COUNT] = {
    [F_CLIENT] = {"clientId", JSON_STRING, "a string"},
    [F_EVENT] = {"event", JSON_STRING, "a string"},
    [F_PAYLOAD] = {"payload", -1, "JSON"},
    [F_BROADCAST] = {"broadcast", JSON_BOOL, "true or false"},
    [F_TOPIC] = {"topic", JSON_STRING, "a string"},
    [F_TTL] = {"ttl", JSON_NUMBER, "a whole number of seconds"},
    [F_KEY] = {"idempotencyKey", JSON_STRING, "a string"},
};

/* A string of the contract is at most 256 bytes; six times that when every byte is a \u escape. */
#define RAW_MAX (6 * TIDINGS_TOPIC_MAX + 2)

struct notice {
    struct json_field at[F_COUNT];
    bool seen[F_COUNT]; /* also with null */
    bool set[F_COUNT];
    struct tidings_message message;
    char to[RAW_MAX]; /* from here on not cleared: 3 KB that only count as far as message says */
    char event[RAW_MAX];
};

/* ---- reading ---- */

static int field_of(const struct json_field *f)
{
    char key[RAW_MAX];
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

static bool take_field(struct request *r, struct notice *n, const struct json_field *f)
{
    int i = field_of(f);
    if (i == F_COUNT) {
        http_problem(r, 400, "unknown_field", "%.*s: unknown field", f->key.len < 64 ? (int)f->key.len : 64,
                     f->key.p);
        return false;
    }
    if (n->seen[i]) {
        http_problem(r, 400, "duplicate_field", "%s: given twice (byte %zu)", fields[i].name, f->key_offset);
        return false;
    }
    n->seen[i] = true;
    if (f->kind == JSON_NULL)
        return true;
    if (fields[i].kind >= 0 && (int)f->kind != fields[i].kind) {
        http_problem(r, 400, "wrong_type", "%s: must be %s", fields[i].name, fields[i].type);
        return false;
    }
    n->at[i] = *f;
    n->set[i] = true;
    return true;
}

static bool read_fields(struct request *r, struct notice *n)
{
    struct json_walk walk;
    struct json_field f;
    int rc = json_walk_init(&walk, r->body, '{');
    if (rc == 0)
        while ((rc = json_walk_next(&walk, &f)) == 1)
            if (!take_field(r, n, &f))
                return false;
    if (rc < 0)
        http_problem(r, 400, "invalid_json", "%s (byte %zu)", walk.error.what, walk.error.offset);
    return rc == 0;
}

/* The text of a string field; false and answered when it is longer than any legal one. */
static bool read_string(struct request *r, const struct notice *n, enum field i, char *out, size_t *len)
{
    struct span raw = n->at[i].value;
    if (raw.len > RAW_MAX) {
        http_problem(r, 400,
                     i == F_EVENT   ? "invalid_event"
                     : i == F_TOPIC ? "invalid_topic"
                                    : "invalid_client_id",
                     "%s: too long", fields[i].name);
        return false;
    }
    *len = json_unescape(raw, out);
    return true;
}

static bool is_true(const struct notice *n)
{
    return n->set[F_BROADCAST] && n->at[F_BROADCAST].value.p[0] == 't';
}

static bool read_client(struct request *r, struct notice *n)
{
    struct tidings_message *m = &n->message;
    m->to = n->to;
    if (!read_string(r, n, F_CLIENT, n->to, &m->to_len))
        return false;
    if (text_is_name(m->to, m->to_len, TIDINGS_CLIENT_ID_MAX))
        return true;
    http_problem(r, 400, "invalid_client_id", "clientId: 1 to %d bytes of UTF-8 without control characters",
                 TIDINGS_CLIENT_ID_MAX);
    return false;
}

static bool read_topic(struct request *r, struct notice *n)
{
    struct tidings_message *m = &n->message;
    m->to = n->to;
    m->target = TIDINGS_TO_TOPIC;
    if (!read_string(r, n, F_TOPIC, n->to, &m->to_len))
        return false;
    if (text_is_name(m->to, m->to_len, TIDINGS_TOPIC_MAX))
        return true;
    http_problem(r, 400, "invalid_topic", "topic: 1 to %d bytes of UTF-8 without control characters",
                 TIDINGS_TOPIC_MAX);
    return false;
}

static bool read_target(struct request *r, struct notice *n)
{
    bool all = is_true(n), client = n->set[F_CLIENT], topic = n->set[F_TOPIC];
    if (topic && (all || client)) {
        http_problem(r, 400, "ambiguous_target", "topic: cannot stand beside %s",
                     all ? "broadcast" : "clientId");
        return false;
    }
    if (!all && !client && !topic) {
        http_problem(r, 400, "missing_field", "clientId: missing (or topic, or broadcast: true)");
        return false;
    }
    if (client && !read_client(r, n)) /* beside broadcast it is ignored, yet it must be valid */
        return false;
    if (topic)
        return read_topic(r, n);
    n->message.target = all ? TIDINGS_TO_ALL : TIDINGS_TO_CLIENT;
    return true;
}

static bool read_event(struct request *r, struct notice *n)
{
    struct tidings_message *m = &n->message;
    m->event = n->event;
    if (!n->set[F_EVENT]) {
        http_problem(r, 400, "missing_field", "event: missing");
        return false;
    }
    if (!read_string(r, n, F_EVENT, n->event, &m->event_len))
        return false;
    int rc = publish_check_event((struct span){m->event, m->event_len});
    if (rc == TIDINGS_ERESERVED)
        http_problem(
            r, 400, "reserved_event",
            "event: names that begin with __, and open and error, belong to the hub and to EventSource");
    else if (rc < 0)
        http_problem(r, 400, "invalid_event", "event: 1 to %d bytes of UTF-8 without control characters",
                     TIDINGS_EVENT_MAX);
    return rc == 0;
}

static bool read_ttl(struct request *r, struct notice *n)
{
    uint64_t ttl = TIDINGS_TTL_DEFAULT;
    struct span raw = n->at[F_TTL].value;
    if (n->set[F_TTL] && (!text_u64(raw.p, raw.len, &ttl) || ttl >= TIDINGS_TTL_DEFAULT)) {
        http_problem(r, 400, "invalid_ttl", "ttl: not a whole number of seconds");
        return false;
    }
    n->message.ttl = (uint32_t)ttl;
    return true;
}

static bool read_rest(struct request *r, struct notice *n)
{
    if (!n->set[F_PAYLOAD]) {
        http_problem(r, 400, "missing_field", "payload: missing");
        return false;
    }
    /* Taking the key and sending twice all the same would be a lie. */
    if (n->set[F_KEY] || r->head->known[H1_IDEMPOTENCY_KEY].p) {
        http_problem(r, 400, "unsupported_field", "idempotencyKey: this version does not know it yet");
        return false;
    }
    n->message.json = n->at[F_PAYLOAD].value.p;
    n->message.json_len = n->at[F_PAYLOAD].value.len;
    return read_ttl(r, n);
}

/* ---- answering ---- */

static void answer(struct request *r, const struct notice *n, const struct tidings_receipt *receipt)
{
    struct buf json;
    buf_init(&json, 4096);
    buf_puts(&json, receipt->connections ? "{\"ok\":true,\"sent\":true,\"clientId\":"
                                         : "{\"ok\":true,\"sent\":false,\"clientId\":");
    if (n->message.target == TIDINGS_TO_CLIENT)
        json_put_string(&json, (struct span){n->message.to, n->message.to_len});
    else
        buf_puts(&json, "null");
    json_put_member_u64(&json, "connections", receipt->connections);
    json_put_member(&json, "id", span_of(receipt->id));
    buf_putc(&json, '}');
    http_reply_json(r, 200, &json);
    buf_finish(&json);
}

void notify_handle(struct request *r)
{
    struct notice n;
    struct tidings_receipt receipt;
    struct json_error error;
    memset(&n, 0, offsetof(struct notice, to));
    if (!read_fields(r, &n) || !read_target(r, &n) || !read_event(r, &n) || !read_rest(r, &n))
        return;
    int rc = publish_message(r->service, &n.message, r->loop->index, &receipt, &error);
    if (rc == TIDINGS_EJSON)
        http_problem(r, 400, "invalid_json", "payload: %s (byte %zu)", error.what,
                     n.at[F_PAYLOAD].value_offset + error.offset);
    else if (rc < 0)
        http_problem(r, 503, "out_of_memory", "%s", tidings_strerror(rc));
    else
        answer(r, &n, &receipt);
}
