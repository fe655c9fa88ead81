/* SPDX-License-Identifier: MIT
 *
 * members - JSON objects whose members are found by name: none is there twice, and what a name means does not
 * depend on who reads. For texts of bounded size that are read once. No allocation, so that nothing here can
 * fail for want of memory; any thread.
 */
#ifndef MEMBERS_H
#define MEMBERS_H

#include "json.h"

#define MEMBERS_MAX 1024 /* names in one text, at all depths; comparing them is quadratic */
#define MEMBERS_KEY 1536 /* bytes of a name that is written with escapes */

/* Is the text one JSON object, in which no object at any depth has two members of one name (escapes do not
 * hide that), with at most `most` names in all (`most` <= MEMBERS_MAX), and no NUL in any string? NULL, or a
 * static text that says what is wrong. */
const char *members_check(struct span text, unsigned most);

struct member {
    enum json_kind kind;
    struct span raw; /* p = NULL: it is not there */
};

/* The member of a checked object, which may be within another one. Linear. An object that is not there has no
 * members. */
struct member members_find(struct span object, const char *name);

/* The content of a string: a view of the text, or of out, where escapes are resolved and which has room for
 * raw.len bytes. p = NULL if it is not a string. */
struct span members_text(const struct member *member, char *out);

#endif
