/* SPDX-License-Identifier: MIT
 *
 * settings - what can be set, and what has been: one table of rows, three sources (flags, environment, file)
 * and one struct that holds the result. The help text and docs/settings.md are printed from the same table.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tidings.h>

#include "logger.h"

#define SETTINGS_MAX       80  /* rows that the table may have */
#define SETTINGS_LIST_MAX  64  /* values that a repeatable setting may have */
#define SETTINGS_ERROR_MAX 512 /* room for one line that names a wrong setting */

_Static_assert(SETTINGS_LIST_MAX >= TIDINGS_TOPIC_POLICIES_MAX, "patterns of topics are a list");

/* Strings in the order given; items[count] is NULL. The list owns them. */
struct settings_list {
    char *items[SETTINGS_LIST_MAX + 1];
    size_t count;
};

enum settings_origin {
    SETTINGS_DEFAULT = 0,
    SETTINGS_FILE,
    SETTINGS_ENV,
    SETTINGS_FLAG,
};

struct settings {
    struct tidings_config config; /* its lists and texts point to what is below */
    struct settings_list listen;
    struct settings_list public_host;
    struct settings_list publish_key;
    struct settings_list admin_key;
    struct settings_list cors_origin;
    struct settings_list trusted_proxy;
    struct settings_list event_secret;
    /* Files that hold what the lists and texts without _file do, added to these. */
    struct settings_list publish_key_file, admin_key_file, event_secret_file;
    char *jwt_secret_file;
    char *authorize_url, *event_url;
    char *store; /* NULL if nothing was said; so are these */
    char *jwt_secret, *jwt_public_key, *jwks, *jwt_issuer, *jwt_audience;
    char *tls_cert;
    char *tls_key;

    /* Sections of the file; policy i has pattern i, which begins in line i. */
    struct settings_list topic_pattern;
    struct tidings_topic_policy topic_policy[TIDINGS_TOPIC_POLICIES_MAX];
    unsigned topic_line[TIDINGS_TOPIC_POLICIES_MAX];

    uint64_t drain_time; /* ms */
    enum logline_format log_format;
    enum tidings_log_level log_level;
    char *config_file; /* NULL if none */
    bool check_config;
    char *user; /* NAME[:GROUP] to become; NULL: stay who it is */
    bool seccomp;

    struct settings_list warnings; /* lines for the log: unknown TIDINGS_* variables */

    enum settings_origin origin[SETTINGS_MAX]; /* where row i got its value from */
    unsigned line[SETTINGS_MAX];               /* and, for SETTINGS_FILE, the line */
};

/* Fills *settings with the defaults, then with what the file, the environment (NULL-ended "NAME=value"
 * strings) and the arguments (argv[0] is the first flag; argc may be 0) say. Returns 0, or -1 with one line
 * without a line end in error (SETTINGS_ERROR_MAX bytes) that names the wrong setting. Files of secrets are
 * read, too. To be ended with settings_finish() in both cases, which overwrites the secrets. */
int settings_load(struct settings *settings, int argc, char *const *argv, char *const *env, char *error);

void settings_finish(struct settings *settings);

/* The way in which to name the setting in a message: "--listen", "TIDINGS_LISTEN", "hub.conf:3: listen". name
 * is a setting's name or a field of struct tidings_config (with underscores). Returns out. */
const char *settings_where(const struct settings *settings, const char *name, char *out, size_t size);

/* Calls changed() for each setting that differs between the two and that only a restart applies. */
void settings_compare(const struct settings *running, const struct settings *wanted,
                      void (*changed)(void *user, const char *name), void *user);

/* The flags for a terminal; docs/settings.md. */
void settings_print_help(FILE *out);
void settings_print_markdown(FILE *out);

#endif
