/* SPDX-License-Identifier: MIT
 *
 * jsontext - JSON that is passed on as it is: is it one value, and how is a string written. jansson, which
 * reads answers elsewhere, turns numbers into long long and double; a payload with 12345678901234567890
 * or 1.10 must come through unchanged.
 */
#ifndef JSONTEXT_H
#define JSONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define JSONTEXT_DEPTH 512

/* Is the whole text one JSON value (RFC 8259), at most JSONTEXT_DEPTH levels deep? Whether strings hold good
 * UTF-8 is not asked. */
bool jsontext_is_value(const char *text, size_t len);

/* Writes a value that jsontext_is_value() knows, on one line. */
void jsontext_put_value(FILE *out, const char *text, size_t len);

/* Writes bytes as a JSON string, with U+FFFD for what is not UTF-8. */
void jsontext_put_string(FILE *out, const char *text, size_t len);

#endif
