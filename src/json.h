/* SPDX-License-Identifier: MIT
 *
 * json - RFC 8259, as strictly as it is written: a checker that removes insignificant white space, a reader
 * that walks the fields of one object or the items of one array, and a writer of strings.
 *
 * Nothing is ever converted: numbers and strings keep their bytes, keys their order and their escapes.
 * Refused besides what the grammar refuses: text that is not UTF-8, an escaped surrogate without its partner,
 * nesting deeper than JSON_DEPTH_MAX, a byte order mark. No allocation, no recursion, no I/O; any thread.
 */
#ifndef JSON_H
#define JSON_H

#include "buf.h"
#include "text.h"

#define JSON_DEPTH_MAX 512

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_error {
    size_t offset;    /* of the byte that is wrong, from the start of the text that was given */
    const char *what; /* static text for people: "unexpected end", "lone surrogate", … */
};

/* Checks that the whole of text is one JSON value and writes it without insignificant white space to out,
 * which has room for text.len bytes and may be text.p itself (it never writes ahead of what it has read).
 * out may be NULL: then it only checks. Returns the length, or -1 and *error. */
ssize_t json_compact(struct span text, char *out, struct json_error *error);

/* One member of an object or item of an array. */
struct json_field {
    struct span key;     /* raw, between its quotes, escapes untouched; empty for an item */
    bool key_escaped;    /* the key holds a backslash */
    size_t key_offset;   /* of the key's first quote */
    enum json_kind kind; /* of the value */
    struct span value;   /* raw text of the value, quotes and inner white space included */
    size_t value_offset;
};

/* Walks the members of one object or the items of one array; checks all it passes. */
struct json_walk {
    struct span text;
    size_t pos;
    int stage;
    char close; /* '}' or ']' */
    struct json_error error;
};

/* Begins at text, which must hold one object (open = '{') or one array (open = '[') and nothing after it.
 * 0, or -1 and walk->error. */
int json_walk_init(struct json_walk *walk, struct span text, char open);

/* 1 and *field, 0 at the (checked) end of the text, -1 and walk->error. Linear in what it passes. */
int json_walk_next(struct json_walk *walk, struct json_field *field);

/* The content of a string value (raw, with its quotes) as UTF-8 into out, which has room for raw.len bytes.
 * The raw text must have been checked by a walk. Returns the length. */
size_t json_unescape(struct span raw, char *out);

/* Appends s as a JSON string with its quotes; s is UTF-8. U+0000..001F, '"' and '\' are escaped, and so are
 * U+2028 and U+2029; anything that is not UTF-8 becomes U+FFFD. */
void json_put_string(struct buf *out, struct span s);

/* Appends `"key":"value"` with a comma before it unless the buffer ends in '{', '[' or is empty. */
void json_put_member(struct buf *out, const char *key, struct span value);
void json_put_member_u64(struct buf *out, const char *key, uint64_t value);

#endif
