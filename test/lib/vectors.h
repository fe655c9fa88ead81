/* SPDX-License-Identifier: MIT
 *
 * vectors - a reader of test cases that are plain text, so that adding one needs no C.
 *
 *      # a comment, or nothing
 *      == title of the case            begins a case
 *      key value up to the line's end  what the case says; keys may repeat
 *      key                             the same with an empty value
 *
 * The keys belong to the test that reads the file, and its head explains them, but these give a case's input
 * in every file; they are joined in their order:
 *
 *      in TEXT      bytes, with the escapes \r \n \t \\ \0 \xHH, and \! which is no byte but marks its place
 *      in*N TEXT    the same, N times
 *      raw TEXT     bytes as they stand
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { VECTOR_LINES_MAX = 64, VECTOR_KEY_MAX = 32 };
#define VECTOR_NO_MARK ((size_t)-1)

struct vector {
    char title[256];
    unsigned count;
    struct {
        char key[VECTOR_KEY_MAX];
        char *value; /* as it stands in the file */
        size_t len;
    } lines[VECTOR_LINES_MAX];
    char *input; /* owned by the vector, like all values */
    size_t input_len;
    size_t mark; /* offset of the last \! in it, or VECTOR_NO_MARK */
};

struct vectors {
    FILE *file;
    const char *path;
    char *line; /* the one that was read last, the title of the next case */
    size_t cap;
    unsigned number;
};

/* Opens a file; path must outlive the reader. Ends the program with a message if that fails, as all here: a
 * broken vector must not pass for a passed one. */
void vectors_open(struct vectors *v, const char *path);
void vectors_close(struct vectors *v);

/* The next case, or false. vector_finish() it before the next call. */
bool vectors_next(struct vectors *v, struct vector *out);
void vector_finish(struct vector *vector);

/* The value of the first line with that key, or NULL. */
const char *vector_get(const struct vector *vector, const char *key);

/* Undoes the escapes of text in place; returns the length. *mark is set where a \! stands. */
size_t vector_unescape(char *text, size_t *mark);

#endif
