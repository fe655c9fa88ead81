/* SPDX-License-Identifier: MIT
 *
 * report - how the library tells its embedder what happens: one record an event, handed to the callback that
 * the configuration holds, or to nobody. Callers never pass secrets or query strings.
 */
#ifndef REPORT_H
#define REPORT_H

#include <tidings.h>

struct report {
    void (*log)(void *user, const struct tidings_log_record *record); /* may be NULL */
    void *user;
};

#define REPORT_TEXT(key, value)                                                                              \
    {                                                                                                        \
        .name = (key), .text = (value)                                                                       \
    }
#define REPORT_NUMBER(key, value)                                                                            \
    {                                                                                                        \
        .name = (key), .number = (value)                                                                     \
    }

/* Sends one record. fields may be NULL if count is 0. Thread-safe as far as the callback is. */
void report(const struct report *r, enum tidings_log_level level, const char *event, const char *message,
            const struct tidings_log_field *fields, size_t count);

#endif
