/* SPDX-License-Identifier: MIT
 *
 * settings_reader - one reading of the sources, as settings.c (flags, environment, values),
 * settings_file.c and settings_secrets.c share it. Private to these, and to secrets.c.
 */
#ifndef SETTINGS_READER_H
#define SETTINGS_READER_H

#include "settings_table.h"

#define SHOWN_MAX 80 /* bytes of a wrong value or path that a message repeats */

/* What is being read now. */
struct reader {
    struct settings *settings;
    char *error;
    enum settings_origin origin;
    const char *file; /* of SETTINGS_FILE */
    unsigned line;
};

/* Writes the one line that names the culprit; returns -1. */
__attribute__((format(printf, 3, 4))) int settings_wrong(const struct reader *reader,
                                                         const struct setting *row, const char *format, ...);

/* The same for a value that is not what is right. */
int settings_wrong_value(const struct reader *reader, const struct setting *row, const char *value,
                         const char *right);

/* Of the row with this name; settings_row() is NULL for it if there is none. */
size_t settings_row_index(const char *name, size_t len);

/* The same of an environment variable, "TIDINGS_…", whose name has len bytes. */
size_t settings_row_of_variable(const char *name, size_t len);

/* Empties a list or text; a secret is overwritten. */
void settings_clear(struct settings *settings, const struct setting *row);

/* Adds a copy; -1 if the list is full or memory short. */
int settings_list_add(struct settings_list *list, const char *text, size_t len);

/* Reads and checks the value of a row that holds a number (flags and enums too). 0, or -1 with the error. */
int settings_read_number(const struct reader *reader, const struct setting *row, const char *value,
                         uint64_t *number);

/* Checks the value of row `index`, and stores it unless a stronger source already has. 0, or -1 with the
 * error. */
int settings_assign(const struct reader *reader, size_t index, const char *value);

/* Reads the file that settings->config_file names, if any. 0, or -1 with the error. */
int settings_read_file(struct reader *reader);

#define SECRET_FILE_MAX 65536 /* bytes of a file of secrets */
#define SECRET_LINE_MAX 4096  /* bytes of one secret in it */

/* Reads the files that settings name in place of secrets, after all sources were read. Of a secret and its
 * file the one from the stronger source counts; from the same source a repeatable one gets both, any other is
 * an error. A line is a secret; empty lines are left out. 0, or -1 with the error, which names the file and
 * the line, and nothing of what is in it. Whoever else may read the file is named in the settings' warnings.
 */
int settings_read_secrets(const struct reader *reader);

#endif
