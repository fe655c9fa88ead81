/* SPDX-License-Identifier: MIT
 *
 * secrets - what only the hub may know: read from files, and not left where others can see it. Which settings
 * are secrets, and which name the file of one, says the table (settings_table.h).
 */
#ifndef SECRETS_H
#define SECRETS_H

#include <stddef.h>

#include "settings_reader.h"

#define SECRETS_FILE_MAX 65536 /* bytes of a file of secrets */
#define SECRETS_LINE_MAX 4096  /* bytes of one secret in it */

/* Arguments and TIDINGS_* variables as they were given; each ends with NULL. */
struct sources {
    int argc;
    char **argv;
    char **env;
};

/* Copies the arguments (argv[0] is the first flag) and what of the environment begins with TIDINGS_, then
 * covers each secret in the originals with 'x': from then on /proc/PID/cmdline, /proc/PID/environ and ps show
 * no secret. Reading the settings again needs the copies. 0, or -1 when memory is short; to be ended with
 * secrets_finish() in both cases. */
int secrets_take(struct sources *sources, int argc, char *const *argv, char *const *env);

/* Overwrites the copies and frees them. */
void secrets_finish(struct sources *sources);

/* Covers one text with 'x', such as an argument whose copy is in safety. NULL is fine. */
void secrets_cover(const char *text);

/* Reads the files that settings name in place of secrets, after all sources were read. Of a secret and its
 * file the one from the stronger source counts; from the same source a repeatable one gets both, any other is
 * an error. A line is a secret; empty lines are left out. 0, or -1 with the error, which names the file and
 * the line, and nothing of what is in it. Whoever else may read the file is named in the settings' warnings.
 */
int secrets_read_files(const struct reader *reader);

#endif
