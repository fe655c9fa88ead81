/* SPDX-License-Identifier: MIT
 *
 * secrets - what only the hub may know is not left where others can see it. Which settings are secrets says
 * the table (settings_table.h).
 */
#ifndef SECRETS_H
#define SECRETS_H

#include <stddef.h>

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

#endif
