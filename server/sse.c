/* SPDX-License-Identifier: MIT
 *
 * Event streams. Lines end in LF, CR or CRLF; a line is a comment, a field, or empty, which sends the event
 * off.
 *
 *     bytes ──> line ──> field: data += value LF │ event = value │ id = value │ retry = digits
 *                └─ empty ──> last_id = id; callback if there was data; data and event are emptied
 *
 * The id buffer begins a connection with the last id, as in browsers, so that a stream without ids does not
 * make a reader forget where it was.
 */
#include "sse.h"

#include <stdlib.h>
#include <string.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";

static bool text_add(struct sse_text *text, const char *bytes, size_t len)
{
    if (len + 1 > text->room - text->len) {
        size_t room = (text->len + len + 1) * 2;
        char *bigger = realloc(text->bytes, room);
        if (!bigger)
            return false;
        text->bytes = bigger;
        text->room = room;
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = '\0';
    return true;
}

static bool text_set(struct sse_text *text, const char *bytes, size_t len)
{
    text->len = 0;
    return text_add(text, bytes, len);
}

static const char *text_bytes(const struct sse_text *text)
{
    return text->bytes ? text->bytes : "";
}

void sse_init(struct sse *sse, size_t limit, uint64_t retry)
{
    memset(sse, 0, sizeof *sse);
    sse->limit = limit;
    sse->retry = retry;
}

void sse_finish(struct sse *sse)
{
    struct sse_text *texts[] = {&sse->line, &sse->data, &sse->event, &sse->id, &sse->last_id};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]->bytes);
    memset(sse, 0, sizeof *sse);
}

void sse_reconnect(struct sse *sse)
{
    sse->line.len = sse->data.len = sse->event.len = 0;
    sse->began = sse->after_cr = false;
    text_set(&sse->id, text_bytes(&sse->last_id), sse->last_id.len);
}

const char *sse_last_id(const struct sse *sse, size_t *len)
{
    *len = sse->last_id.len;
    return text_bytes(&sse->last_id);
}

/* An empty line. */
static int dispatch(struct sse *sse, sse_callback *callback, void *user)
{
    struct sse_event event = {.id = text_bytes(&sse->id),
                              .id_len = sse->id.len,
                              .event = sse->event.len ? text_bytes(&sse->event) : "message",
                              .event_len = sse->event.len ? sse->event.len : strlen("message")};
    bool go_on = true;

    if (!text_set(&sse->last_id, event.id, event.id_len))
        return -1;
    if (sse->data.len > 0) {
        sse->data.bytes[--sse->data.len] = '\0'; /* the LF behind the last line */
        event.data = sse->data.bytes;
        event.data_len = sse->data.len;
        go_on = callback(user, &event);
    }
    sse->data.len = sse->event.len = 0;
    return go_on ? 0 : 1;
}

static bool set_retry(struct sse *sse, const char *value, size_t len)
{
    uint64_t retry = 0;

    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9' || retry > UINT64_MAX / 10 - 1)
            return true; /* not a retry field: ignored */
        retry = retry * 10 + (uint64_t)(value[i] - '0');
    }
    if (len > 0)
        sse->retry = retry;
    return true;
}

static bool is_field(const char *name, size_t len, const char *field)
{
    return strlen(field) == len && memcmp(name, field, len) == 0;
}

static bool process_field(struct sse *sse, const char *name, size_t name_len, const char *value, size_t len)
{
    if (is_field(name, name_len, "data")) {
        if (len >= sse->limit || sse->data.len > sse->limit - len)
            return false;
        return text_add(&sse->data, value, len) && text_add(&sse->data, "\n", 1);
    }
    if (is_field(name, name_len, "event"))
        return text_set(&sse->event, value, len);
    if (is_field(name, name_len, "id"))
        return memchr(value, '\0', len) != NULL || text_set(&sse->id, value, len);
    if (is_field(name, name_len, "retry"))
        return set_retry(sse, value, len);
    return true;
}

static int process_line(struct sse *sse, const char *line, size_t len, sse_callback *callback, void *user)
{
    const char *colon, *value;

    if (!sse->began && len >= 3 && memcmp(line, byte_order_mark, 3) == 0) {
        line += 3;
        len -= 3;
    }
    sse->began = true;
    if (len == 0)
        return dispatch(sse, callback, user);
    colon = memchr(line, ':', len);
    if (!colon)
        return process_field(sse, line, len, "", 0) ? 0 : -1;
    value = colon + 1;
    if (value < line + len && *value == ' ')
        value++;
    return process_field(sse, line, (size_t)(colon - line), value, (size_t)(line + len - value)) ? 0 : -1;
}

static size_t line_length(const char *bytes, size_t len)
{
    const char *lf = memchr(bytes, '\n', len), *cr;

    if (lf)
        len = (size_t)(lf - bytes);
    cr = memchr(bytes, '\r', len);
    return cr ? (size_t)(cr - bytes) : len;
}

int sse_feed(struct sse *sse, const char *bytes, size_t len, sse_callback *callback, void *user)
{
    while (len > 0) {
        size_t n;
        int result;
        if (sse->after_cr && *bytes == '\n') {
            bytes++;
            len--;
        }
        if (len == 0) {
            sse->after_cr = false;
            return 0;
        }
        sse->after_cr = false;
        n = line_length(bytes, len);
        if (n > sse->limit || sse->line.len > sse->limit - n || !text_add(&sse->line, bytes, n))
            return -1;
        if (n == len)
            return 0;
        sse->after_cr = bytes[n] == '\r';
        result = process_line(sse, sse->line.bytes, sse->line.len, callback, user);
        sse->line.len = 0;
        if (result != 0)
            return result;
        bytes += n + 1;
        len -= n + 1;
    }
    return 0;
}
