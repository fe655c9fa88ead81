/* SPDX-License-Identifier: MIT
 *
 * logline - a log record as a line of text, and how many lines of a noisy event are let through. Pure: the
 * time is given, nothing is allocated.
 *
 *     text  2026-11-23T06:43:12.345Z info  listening on http://127.0.0.1:3000 event=listen
 *     json  {"time":"2026-11-23T06:43:12.345Z","level":"info","event":"listen","msg":"listening on http://…"}
 */
#ifndef LOGLINE_H
#define LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tidings.h>

enum logline_format { LOGLINE_TEXT = 0, LOGLINE_JSON };

#define LOGLINE_MAX 8192 /* bytes of the longest line, its line end included */

/* Writes the record as one line, with its '\n' and without a NUL, to out (LOGLINE_MAX bytes); returns its
 * length. Whatever strings hold, the result is one line: control characters, quotes and bytes that are not
 * UTF-8 are escaped (text) or escaped and replaced (JSON). Overlong strings are cut and end in "…"; fields
 * that do not fit are left out. */
size_t logline_write(char *out, enum logline_format format, uint64_t wall_ms,
                     const struct tidings_log_record *record);

/* ------------------------------------------------------------------ rate of noisy events */

enum { LOGLINE_NOISY_EVENTS = 5 }; /* connect, disconnect, publish, refuse, deny */

struct logline_bucket {
    uint64_t refilled; /* when, ms of a monotonic clock */
    uint32_t tokens;   /* thousandths of a line */
    uint64_t left_out; /* lines since the last report */
};

struct logline_rate {
    struct logline_bucket buckets[LOGLINE_NOISY_EVENTS];
    uint64_t since; /* when the first line was left out that is not reported yet */
};

/* 100 lines a second of each noisy event, 200 at once. */
void logline_rate_init(struct logline_rate *rate, uint64_t now_ms);

/* May a line of this event be written now? Counts it as left out if not. */
bool logline_rate_take(struct logline_rate *rate, const char *event, uint64_t now_ms);

/* Is anything waiting to be reported, and has it waited for a second? */
bool logline_rate_waits(const struct logline_rate *rate);
bool logline_rate_due(const struct logline_rate *rate, uint64_t now_ms);

/* *event and *count of one of the noisy events that lines were left out of, whose count begins anew; false
 * when all are reported. */
bool logline_rate_next(struct logline_rate *rate, const char **event, uint64_t *count);

#endif
