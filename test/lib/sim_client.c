/* SPDX-License-Identifier: MIT
 *
 * sim_client - see sim_client.h. One byte at a time, one state for each thing that may come next.
 */
#include "sim_client.h"

#include "fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { HEAD, LENGTH, UNTIL_END, CHUNK_SIZE, CHUNK_LF, CHUNK, CHUNK_CR, CHUNK_END_LF, LAST_CR, LAST_LF };

static void wrong(struct sim_client *c, const char *what)
{
    if (!c->wrong)
        c->wrong = what;
}

static void text_put(struct sim_text *t, char ch)
{
    if (t->len + 2 > t->cap) {
        fault_pause();
        t->cap = t->cap ? t->cap * 2 : 256;
        t->p = realloc(t->p, t->cap);
        fault_resume();
        if (!t->p)
            abort();
    }
    t->p[t->len++] = ch;
    t->p[t->len] = '\0';
}

static void text_free(struct sim_text *t)
{
    fault_pause();
    free(t->p);
    fault_resume();
    *t = (struct sim_text){0};
}

static const char *text_of(const struct sim_text *t)
{
    return t->p ? t->p : "";
}

/* ---- event streams ---- */

static void copy_field(struct sim_client *c, char *out, size_t cap, const char *value)
{
    if (strlen(value) >= cap)
        wrong(c, "a field is too long");
    snprintf(out, cap, "%s", value);
}

static void dispatch(struct sim_client *c)
{
    if (c->has_data) {
        c->event.data = text_of(&c->data);
        c->event.data_len = c->data.len;
        if (c->event.name[0] == '\0')
            wrong(c, "an event without a name");
        if (c->on_event)
            c->on_event(c->user, &c->event);
    } else if (c->event.name[0]) {
        wrong(c, "an event without data");
    } else if (c->event.id[0] && c->on_event) {
        c->event.data = "";
        c->on_event(c->user, &c->event);
    }
    c->data.len = 0;
    c->has_data = false;
    memset(&c->event, 0, sizeof(c->event));
}

static void take_line(struct sim_client *c)
{
    char *line = c->line.p;
    if (c->line.len == 0) {
        dispatch(c);
        return;
    }
    if (line[0] == ':') {
        c->comments++;
        return;
    }
    char *value = strstr(line, ": ");
    if (!value) {
        wrong(c, "a line of the stream without ': '");
        return;
    }
    *value = '\0';
    value += 2;
    if (strcmp(line, "id") == 0) {
        copy_field(c, c->event.id, sizeof(c->event.id), value);
    } else if (strcmp(line, "event") == 0) {
        copy_field(c, c->event.name, sizeof(c->event.name), value);
    } else if (strcmp(line, "retry") == 0) {
        c->event.retry = strtoull(value, NULL, 10);
        if (value[0] < '1' || value[0] > '9')
            wrong(c, "retry is not a number");
    } else if (strcmp(line, "data") == 0) {
        if (c->has_data)
            wrong(c, "two data lines: a payload must be one line");
        c->has_data = true;
        for (; *value; value++)
            text_put(&c->data, *value);
    } else {
        wrong(c, "an unknown field in the stream");
    }
}

static void stream_byte(struct sim_client *c, char ch)
{
    if (ch == '\r' || ch == '\0')
        wrong(c, "CR or NUL in the stream");
    if (ch != '\n') {
        text_put(&c->line, ch);
        return;
    }
    take_line(c);
    c->line.len = 0;
}

/* ---- compressed streams ---- */

static void begin_inflating(struct sim_client *c)
{
    fault_pause();
    if (inflateInit2(&c->z, 15 + 16) != Z_OK) /* gzip */
        abort();
    fault_resume();
    c->inflating = true;
    c->z_ended = false;
}

static void end_inflating(struct sim_client *c)
{
    if (!c->inflating)
        return;
    fault_pause();
    inflateEnd(&c->z);
    fault_resume();
    c->inflating = false;
}

static void undecoded(struct sim_client *c, const char *what)
{
    c->undecoded = true;
    wrong(c, what);
}

/* All that the byte makes known. */
static void inflate_byte(struct sim_client *c, char ch)
{
    char out[512];
    int rc;
    if (c->z_ended) {
        undecoded(c, "bytes after the end of the compressed stream");
        return;
    }
    c->z.next_in = (unsigned char *)&ch;
    c->z.avail_in = 1;
    do {
        c->z.next_out = (unsigned char *)out;
        c->z.avail_out = sizeof(out);
        fault_pause();
        rc = inflate(&c->z, Z_SYNC_FLUSH);
        fault_resume();
        for (size_t i = 0; i < sizeof(out) - c->z.avail_out; i++)
            stream_byte(c, out[i]);
    } while (rc == Z_OK && c->z.avail_out == 0);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        undecoded(c, "a compressed stream that cannot be decoded");
    c->z_ended = rc == Z_STREAM_END;
}

/* Everything up to here can be read, and nothing is left of it. */
static void check_chunk(struct sim_client *c)
{
    if (c->inflating && (c->line.len > 0 || c->has_data || c->event.name[0]))
        undecoded(c, "a chunk of a compressed stream ends within an event");
}

/* ---- bodies ---- */

static void body_byte(struct sim_client *c, char ch)
{
    if (!c->answer.stream) {
        if (c->line.len < SIM_CLIENT_BODY)
            text_put(&c->line, ch);
        c->answer.body_len++;
        return;
    }
    if (c->inflating)
        inflate_byte(c, ch);
    else
        stream_byte(c, ch);
}

/* ---- messages ---- */

static void free_body(struct sim_client *c)
{
    fault_pause();
    free(c->answer.body);
    fault_resume();
    c->answer.body = NULL;
}

static void message_ends(struct sim_client *c)
{
    c->answer.complete = true;
    if (!c->answer.stream) {
        c->statuses[c->answers++ % SIM_CLIENT_RESULT] = c->answer.status;
        fault_pause();
        c->answer.body = strdup(text_of(&c->line));
        fault_resume();
    } else {
        c->finished = c->answer.chunked;
        if (c->line.len > 0 || c->has_data || c->event.name[0])
            wrong(c, "the stream ends within an event");
        if (c->inflating && c->answer.chunked && !c->z_ended)
            undecoded(c, "the compressed stream has no end");
    }
    end_inflating(c);
    c->line.len = 0;
    c->state = HEAD;
    c->head_len = 0;
}

static const char *field(const char *head, const char *name)
{
    const char *at = strstr(head, name);
    return at ? at + strlen(name) : NULL;
}

/* Each line NAME ": " VALUE, names are tokens. */
static bool lines_are_sound(const char *head)
{
    const char *at = strstr(head, "\r\n") + 2;
    while (*at != '\r') {
        size_t name = strcspn(at, ": \r\n"), value;
        if (name == 0 || strncmp(at + name, ": ", 2) != 0)
            return false;
        at += name + 2;
        value = strcspn(at, "\r\n");
        if (value == 0 || strncmp(at + value, "\r\n", 2) != 0)
            return false;
        at += value + 2;
    }
    return true;
}

static bool is_head_only(struct sim_client *c, int status)
{
    if (c->next_asked == c->asked) {
        wrong(c, "an answer to nothing");
        return status == 204 || status == 304;
    }
    bool head = c->head_only[c->next_asked++ % SIM_CLIENT_ASKED];
    return head || status == 204 || status == 304;
}

static void head_ends(struct sim_client *c)
{
    struct sim_answer *a = &c->answer;
    const char *length = field(a->head, "\r\nContent-Length: ");
    int status = atoi(a->head + 9);
    c->head_len = 0;
    if (strncmp(a->head, "HTTP/1.1 ", 9) != 0 || status < 100 || status > 599 || a->head[12] != ' ' ||
        !lines_are_sound(a->head)) {
        wrong(c, "not the head of an answer");
        return;
    }
    if (status == 100) {
        c->continues++;
        return;
    }
    bool stream = strstr(a->head, "\r\nContent-Type: text/event-stream") != NULL;
    free_body(c);
    a->status = status;
    a->stream = stream;
    a->chunked = strstr(a->head, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
    a->zipped = strstr(a->head, "\r\nContent-Encoding: gzip\r\n") != NULL;
    a->complete = false;
    a->body_len = 0;
    c->left = length ? strtoull(length, NULL, 10) : 0;
    if (length && a->chunked)
        wrong(c, "both lengths");
    if (is_head_only(c, status) || (length && c->left == 0)) {
        a->stream = false;
        message_ends(c);
        return;
    }
    if (stream)
        c->statuses[c->answers++ % SIM_CLIENT_RESULT] = status;
    if (stream && a->zipped)
        begin_inflating(c);
    c->state = a->chunked ? CHUNK_SIZE : length ? LENGTH : UNTIL_END;
    c->left = a->chunked ? 0 : c->left;
    c->digits = 0;
    if (c->state == UNTIL_END && !stream)
        wrong(c, "a body without a length");
}

static void head_byte(struct sim_client *c, char ch)
{
    struct sim_answer *a = &c->answer;
    if (c->head_len + 1 >= SIM_CLIENT_HEAD) {
        wrong(c, "the head of the answer is too long");
        return;
    }
    if (c->head_len == 0 && c->finished)
        wrong(c, "bytes after the end of the stream");
    a->head[c->head_len++] = ch;
    a->head[c->head_len] = '\0';
    if (c->head_len >= 4 && memcmp(a->head + c->head_len - 4, "\r\n\r\n", 4) == 0)
        head_ends(c);
}

static void chunk_size_byte(struct sim_client *c, char ch)
{
    const char *digits = "0123456789abcdef", *at = ch ? strchr(digits, ch) : NULL;
    if (ch == '\r' && c->digits > 0) {
        c->state = CHUNK_LF;
        return;
    }
    if (!at || c->digits == 8)
        wrong(c, "not the size of a chunk");
    else
        c->left = c->left * 16 + (uint64_t)(at - digits);
    c->digits++;
}

static void expect(struct sim_client *c, char ch, char wanted, int next)
{
    if (ch != wanted)
        wrong(c, "the frame of a chunk is broken");
    c->state = next;
}

static void take_byte(struct sim_client *c, char ch)
{
    switch ((enum state)c->state) {
    case HEAD:
        head_byte(c, ch);
        break;
    case LENGTH:
        body_byte(c, ch);
        if (--c->left == 0)
            message_ends(c);
        break;
    case UNTIL_END:
        body_byte(c, ch);
        break;
    case CHUNK_SIZE:
        chunk_size_byte(c, ch);
        break;
    case CHUNK_LF:
        expect(c, ch, '\n', c->left ? CHUNK : LAST_CR);
        break;
    case CHUNK:
        body_byte(c, ch);
        if (--c->left == 0)
            c->state = CHUNK_CR;
        break;
    case CHUNK_CR:
        check_chunk(c);
        expect(c, ch, '\r', CHUNK_END_LF);
        break;
    case CHUNK_END_LF:
        expect(c, ch, '\n', CHUNK_SIZE);
        c->digits = 0;
        break;
    case LAST_CR:
        expect(c, ch, '\r', LAST_LF);
        break;
    case LAST_LF:
        expect(c, ch, '\n', HEAD);
        message_ends(c);
        break;
    }
}

void sim_client_feed(struct sim_client *c, const char *p, size_t n)
{
    c->bytes += n;
    for (size_t i = 0; i < n && !c->wrong; i++)
        take_byte(c, p[i]);
}

/* ---- the connection ---- */

void sim_client_open(struct sim_client *c, struct sim *s, uint32_t loop)
{
    memset(c, 0, sizeof(*c));
    c->sim = s;
    c->sock = sim_connect(s, loop);
}

void sim_client_close(struct sim_client *c)
{
    if (c->sock != SIM_NONE)
        sim_close(c->sim, c->sock);
    c->sock = SIM_NONE;
}

void sim_client_reset(struct sim_client *c)
{
    if (c->sock != SIM_NONE)
        sim_reset(c->sim, c->sock);
    c->sock = SIM_NONE;
}

void sim_client_finish(struct sim_client *c)
{
    if (!c->sim)
        return;
    sim_client_close(c);
    end_inflating(c);
    free_body(c);
    text_free(&c->line);
    text_free(&c->data);
    memset(c, 0, sizeof(*c));
}

size_t sim_client_ask(struct sim_client *c, const char *request, size_t n)
{
    c->head_only[c->asked++ % SIM_CLIENT_ASKED] = n >= 5 && memcmp(request, "HEAD ", 5) == 0;
    return sim_send(c->sim, c->sock, request, n);
}

bool sim_client_askf(struct sim_client *c, const char *format, ...)
{
    char request[8192];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(request, sizeof(request), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(request))
        return false;
    return sim_client_ask(c, request, (size_t)n) == (size_t)n;
}

bool sim_client_subscribe(struct sim_client *c, const char *id, const char *query, const char *cursor)
{
    return sim_client_askf(c,
                           "GET /api/sse/subscribe/%s%s HTTP/1.1\r\nHost: localhost\r\n"
                           "Accept: text/event-stream\r\n%s%s%s%s\r\n",
                           id, query, c->accepts_gzip ? "Accept-Encoding: gzip\r\n" : "",
                           cursor ? "Last-Event-ID: " : "", cursor ? cursor : "", cursor ? "\r\n" : "");
}

bool sim_client_notify(struct sim_client *c, const char *json)
{
    return sim_client_askf(
        c,
        "POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
        "\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(json), json);
}

size_t sim_client_read(struct sim_client *c, size_t n)
{
    char piece[4096];
    size_t done = 0, got = 1;
    if (c->sock == SIM_NONE)
        return 0;
    while (done < n && got > 0) {
        got = sim_recv(c->sim, c->sock, piece, n - done < sizeof(piece) ? n - done : sizeof(piece));
        sim_client_feed(c, piece, got);
        done += got;
    }
    if (sim_was_reset(c->sim, c->sock))
        c->broken = true;
    else if (sim_ended(c->sim, c->sock)) {
        if (c->state == UNTIL_END && !c->ended)
            message_ends(c);
        c->ended = true;
    }
    return done;
}

void sim_client_read_all(struct sim_client *c)
{
    sim_client_read(c, SIZE_MAX);
}

bool sim_client_is_between(const struct sim_client *c)
{
    return c->state == HEAD && c->head_len == 0;
}

/* ---- flat JSON ---- */

static const char *json_value(const char *json, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *at = json ? strstr(json, quoted) : NULL;
    return at ? at + strlen(quoted) : NULL;
}

bool sim_json_text(const char *json, const char *key, char *out, size_t cap)
{
    const char *at = json_value(json, key), *end;
    if (!at || *at != '"' || !(end = strchr(at + 1, '"')) || (size_t)(end - at) > cap)
        return false;
    memcpy(out, at + 1, (size_t)(end - at - 1));
    out[end - at - 1] = '\0';
    return true;
}

bool sim_json_number(const char *json, const char *key, uint64_t *out)
{
    const char *at = json_value(json, key);
    if (!at || *at < '0' || *at > '9')
        return false;
    *out = strtoull(at, NULL, 10);
    return true;
}
