/* SPDX-License-Identifier: MIT
 *
 * options - the arguments of the client commands: a table of rows for each, read into a struct of its own.
 * (The hub's own settings, with environment and file, are settings.h.)
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_TEXT,     /* const char * into argv */
    OPTION_LIST,     /* struct option_list */
    OPTION_FLAG,     /* bool */
    OPTION_COUNT,    /* uint64_t */
    OPTION_DURATION, /* uint64_t, ms */
    OPTION_SIZE,     /* uint64_t, bytes */
};

#define OPTION_LIST_MAX 64

struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset;     /* in the command's struct */
    uint64_t min, max; /* of a number; max 0 = none */
    const char *form;  /* of the value, for help; NULL for a flag */
    const char *help;
};

struct option_table {
    const char *command; /* "publish" */
    const char *usage;   /* what follows "usage: tidings " */
    const char *about;   /* a paragraph for --help */
    const struct option *rows;
    size_t count;
};

enum options_result { OPTIONS_GO = 0, OPTIONS_HELPED, OPTIONS_WRONG };

/* Reads argv into *target, which holds the defaults; what is no option goes to rest. `--` ends the options.
 * Prints the help (OPTIONS_HELPED) or one line that names what is wrong (OPTIONS_WRONG). */
enum options_result options_read(const struct option_table *table, void *target, int argc, char *const *argv,
                                 struct option_list *rest);

/* One line "tidings COMMAND: …" to standard error. */
void options_complain(const struct option_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
