/* SPDX-License-Identifier: MIT
 *
 * Log lines. Names of clients and topics come from strangers, so nothing is written as it is: a name that
 * holds a line end, a quote or a terminal sequence must not be able to forge a line or hide one.
 *
 * A line is put together in pieces; a piece that does not fit is taken back whole, so that the line stays
 * well formed (JSON above all).
 */
#include "logline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MESSAGE_MAX 1024 /* bytes of the message before escaping */
#define TEXT_MAX    512  /* of a field */
#define TAIL        8    /* kept free for the end of the line */

struct line {
    char *out;
    size_t len;
    bool full;
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static void put(struct line *line, const char *bytes, size_t len)
{
    if (line->full || len > LOGLINE_MAX - TAIL - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->out + line->len, bytes, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* ------------------------------------------------------------------ escaping */

/* Length of the UTF-8 sequence at p (NUL-ended) and its code point; 0 if it is not UTF-8 (RFC 3629). */
static size_t decode(const char *p, uint32_t *point)
{
    const unsigned char *s = (const unsigned char *)p;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    uint32_t c = len == 1 ? s[0] : len == 2 ? s[0] & 0x1fU : len == 3 ? s[0] & 0x0fU : s[0] & 0x07U;

    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = (c << 6) | (s[i] & 0x3fU);
    }
    if (len > 1 && (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
        return 0;
    *point = c;
    return len;
}

/* Characters that end lines, move the cursor or turn the direction of writing. */
static bool is_dangerous(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 ||
           (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* The escape of one byte or character that cannot stand for itself. */
static void put_escape(struct line *line, enum logline_format format, uint32_t c, bool is_byte)
{
    char escape[16];
    int n;

    if (c == '\n' || c == '\r' || c == '\t')
        n = snprintf(escape, sizeof escape, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (is_byte && format == LOGLINE_JSON)
        n = snprintf(escape, sizeof escape, "\\ufffd");
    else if (is_byte)
        n = snprintf(escape, sizeof escape, "\\x%02" PRIx32, c);
    else
        n = snprintf(escape, sizeof escape, "\\u%04" PRIx32, c);
    put(line, escape, (size_t)n);
}

/* Escapes at most max bytes of text; quotes and backslashes too if it stands in quotes. */
static void put_escaped(struct line *line, enum logline_format format, const char *text, size_t max,
                        bool quoted)
{
    const char *start = text;

    while (*text) {
        uint32_t c = 0;
        size_t len = decode(text, &c);
        if ((size_t)(text - start) + (len ? len : 1) > max) {
            put_text(line, "…");
            return;
        }
        if (len == 0)
            put_escape(line, format, (unsigned char)*text, true);
        else if (is_dangerous(c))
            put_escape(line, format, c, false);
        else if (quoted && (c == '"' || c == '\\'))
            put(line, c == '"' ? "\\\"" : "\\\\", 2);
        else
            put(line, text, len);
        text += len ? len : 1;
    }
}

static bool needs_quotes(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@%+-[]~*";

    return text[0] == '\0' || text[strspn(text, plain)] != '\0';
}

static void put_string(struct line *line, enum logline_format format, const char *text, size_t max)
{
    bool quotes = format == LOGLINE_JSON || needs_quotes(text);

    if (quotes)
        put(line, "\"", 1);
    put_escaped(line, format, text, max, true);
    if (quotes)
        put(line, "\"", 1);
}

/* ------------------------------------------------------------------ lines */

static void put_time(struct line *line, uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[64];
    size_t n;

    gmtime_r(&seconds, &tm);
    n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(text + n, sizeof text - n, ".%03uZ", (unsigned)(wall_ms % 1000));
    put(line, text, n);
}

/* A field may have the name of one of the members that every line has. */
static bool is_taken(const char *name)
{
    static const char *const names[] = {"time", "level", "event", "msg"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static void put_field(struct line *line, enum logline_format format, const struct tidings_log_field *field)
{
    size_t before = line->len;
    char number[24];

    put_text(line, format == LOGLINE_JSON ? ",\"" : " ");
    put_escaped(line, format, field->name, TEXT_MAX, true);
    put_text(line, is_taken(field->name) ? "_" : "");
    put_text(line, format == LOGLINE_JSON ? "\":" : "=");
    if (field->text) {
        put_string(line, format, field->text, TEXT_MAX);
    } else {
        snprintf(number, sizeof number, "%" PRIu64, field->number);
        put_text(line, number);
    }
    if (line->full)
        line->len = before;
    line->full = false;
}

static void put_head_json(struct line *line, uint64_t wall_ms, const char *level,
                          const struct tidings_log_record *record)
{
    put_text(line, "{\"time\":\"");
    put_time(line, wall_ms);
    put_text(line, "\",\"level\":\"");
    put_text(line, level);
    put_text(line, "\",\"event\":");
    put_string(line, LOGLINE_JSON, record->event, TEXT_MAX);
    put_text(line, ",\"msg\":");
    put_string(line, LOGLINE_JSON, record->message, MESSAGE_MAX);
}

static void put_head_text(struct line *line, uint64_t wall_ms, const char *level,
                          const struct tidings_log_record *record)
{
    struct tidings_log_field event = {.name = "event", .text = record->event};

    put_time(line, wall_ms);
    put_text(line, " ");
    put_text(line, level);
    put_text(line, strlen(level) == 4 ? "  " : " ");
    put_escaped(line, LOGLINE_TEXT, record->message, MESSAGE_MAX, false);
    put_text(line, " event=");
    put_string(line, LOGLINE_TEXT, event.text, TEXT_MAX);
}

size_t logline_write(char *out, enum logline_format format, uint64_t wall_ms,
                     const struct tidings_log_record *record)
{
    struct line line = {.out = out};
    size_t level = (size_t)record->level;
    const char *name = level < sizeof level_names / sizeof *level_names ? level_names[level] : "error";

    if (format == LOGLINE_JSON)
        put_head_json(&line, wall_ms, name, record);
    else
        put_head_text(&line, wall_ms, name, record);
    for (size_t i = 0; i < record->field_count; i++)
        put_field(&line, format, &record->fields[i]);
    if (format == LOGLINE_JSON)
        line.out[line.len++] = '}';
    line.out[line.len++] = '\n';
    return line.len;
}

/* ------------------------------------------------------------------ rate of noisy events */

#define RATE  100U /* lines a second */
#define BURST 200U

static const char *const noisy_events[LOGLINE_NOISY_EVENTS] = {"connect", "disconnect", "publish", "refuse",
                                                               "deny"};

void logline_rate_init(struct logline_rate *rate, uint64_t now_ms)
{
    memset(rate, 0, sizeof *rate);
    for (size_t i = 0; i < LOGLINE_NOISY_EVENTS; i++) {
        rate->buckets[i].refilled = now_ms;
        rate->buckets[i].tokens = BURST * 1000;
    }
}

static void refill(struct logline_bucket *bucket, uint64_t now_ms)
{
    uint64_t elapsed = now_ms > bucket->refilled ? now_ms - bucket->refilled : 0;
    uint64_t tokens = elapsed > 1000 * BURST / RATE ? BURST * 1000 : bucket->tokens + elapsed * RATE;

    bucket->tokens = tokens > BURST * 1000 ? BURST * 1000 : (uint32_t)tokens;
    bucket->refilled = now_ms;
}

bool logline_rate_take(struct logline_rate *rate, const char *event, uint64_t now_ms)
{
    for (size_t i = 0; i < LOGLINE_NOISY_EVENTS; i++) {
        struct logline_bucket *bucket = &rate->buckets[i];
        if (strcmp(noisy_events[i], event) != 0)
            continue;
        refill(bucket, now_ms);
        if (bucket->tokens < 1000) {
            if (!logline_rate_waits(rate))
                rate->since = now_ms;
            bucket->left_out++;
            return false;
        }
        bucket->tokens -= 1000;
        return true;
    }
    return true;
}

bool logline_rate_waits(const struct logline_rate *rate)
{
    for (size_t i = 0; i < LOGLINE_NOISY_EVENTS; i++) {
        if (rate->buckets[i].left_out > 0)
            return true;
    }
    return false;
}

bool logline_rate_due(const struct logline_rate *rate, uint64_t now_ms)
{
    return logline_rate_waits(rate) && now_ms >= rate->since + 1000;
}

bool logline_rate_next(struct logline_rate *rate, const char **event, uint64_t *count)
{
    for (size_t i = 0; i < LOGLINE_NOISY_EVENTS; i++) {
        struct logline_bucket *bucket = &rate->buckets[i];
        if (bucket->left_out == 0)
            continue;
        *event = noisy_events[i];
        *count = bucket->left_out;
        bucket->left_out = 0;
        return true;
    }
    return false;
}
