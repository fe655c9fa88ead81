/* SPDX-License-Identifier: MIT
 *
 * value - the written forms that people use in settings and options: durations, sizes, counts, yes and no,
 * addresses. Pure functions, no state, no allocation; any thread.
 */
#ifndef VALUE_H
#define VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each value_… returns true and writes *out if the whole text has the form, false otherwise (also when the
 * number does not fit); nothing is written then. Signs, white space, decimals and the empty text are refused.
 */
bool value_count(const char *text, uint64_t *out);
bool value_duration(const char *text,
                    uint64_t *out);               /* "500ms", "15s", "2m", "1h", "15" (s) -> milliseconds */
bool value_size(const char *text, uint64_t *out); /* "16KiB", "1MiB", "4096" -> bytes */
bool value_flag(const char *text, bool *out);     /* true, yes, 1; false, no, 0 */

/* Is it an address to listen on: "IPv4:PORT", "[IPv6]:PORT", "localhost:PORT" or "unix:PATH"? *loopback tells
 * whether only this machine can reach it. */
bool value_address(const char *text, bool *loopback);

/* May it stand in a Host header: letters, digits, '.', '-', '_', an IPv6 address in brackets; or just "*"? */
bool value_host(const char *text);

/* May it be a publish or admin key, an origin to be listed? What these are is the library's to say. */
bool value_key(const char *text);
bool value_url(const char *text);     /* http:// or https:// */
bool value_network(const char *text); /* "10.0.0.0/8", an address alone, or "unix" */
bool value_origin(const char *text);

/* Is it a place to keep events: "memory", or "sqlite:PATH" with a path? */
bool value_store(const char *text);

/* The shortest of the forms above, NUL-ended, cut to size. */
void value_print_duration(char *out, size_t size, uint64_t ms);
void value_print_size(char *out, size_t size, uint64_t bytes);

/* Copies text to out, NUL-ended and cut to size, with everything replaced by '?' that could break a line or
 * command a terminal. */
void value_print_safe(char *out, size_t size, const char *text);

#endif
