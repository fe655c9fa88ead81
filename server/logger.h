/* SPDX-License-Identifier: MIT
 *
 * logger - one line an event on a file descriptor, as text or JSON.
 *
 * Whoever logs never waits: a line is formatted on the caller's stack and copied into a ring of fixed size; a
 * thread of its own writes the ring out. What does not fit, and what noisy events say beyond their rate, is
 * counted, and the count is logged. All functions may be called from any thread.
 */
#ifndef LOGGER_H
#define LOGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tidings.h>

#include "logline.h"

struct logger;

struct logger_options {
    int fd; /* not closed by logger_destroy() */
    enum logline_format format;
    enum tidings_log_level level;
    size_t capacity; /* bytes of the ring; 0 = 1 MiB */
};

/* Starts the writer thread, with all signals blocked. Returns 0, or a negative TIDINGS_E* (ENOMEM, ESYSTEM).
 */
int logger_create(struct logger **log, const struct logger_options *options);

/* Writes what is left (giving up after a second if nobody reads), ends the thread, frees. NULL is fine. */
void logger_destroy(struct logger *log);

void logger_set_level(struct logger *log, enum tidings_log_level level);

/* Logs the record if its level is wanted and its event is not over its rate. */
void logger_record(struct logger *log, const struct tidings_log_record *record);

/* The same with a message made from format; event is a machine name. Not rate limited unless event is noisy.
 */
void logger_say(struct logger *log, enum tidings_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, whatever the level is: for the lines that other programs wait for. */
void logger_announce(struct logger *log, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
