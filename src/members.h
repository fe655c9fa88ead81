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

/* A number times 1000, cut to a whole one. False: it is none, negative, or comes to more than max. */
bool members_milli(const struct member *member, uint64_t max, uint64_t *out);

/* The texts of a list: *count is how many, and *bytes grows by what keeping them needs at most. False: there
 * is something else, more than `most` texts, one longer than `size`, or one that is not valid. A list that is
 * not there has none. room has space for `size` bytes. */
bool members_measure(const struct member *list, uint32_t most, bool (*is_valid)(struct span), char *room,
                     size_t size, uint32_t *count, size_t *bytes);

/* Copies a text to *room, which has space for as many bytes as its raw form and moves on; p = NULL if it is
 * not there. The same for each text of a list that was measured. */
struct span members_keep(const struct member *text, char **room);
void members_keep_list(struct span *out, const struct member *list, char **room);

#endif
