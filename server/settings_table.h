/* SPDX-License-Identifier: MIT
 *
 * settings_table - the rows that settings.c and settings_file.c read with and settings_help.c prints. Private
 * to these.
 */
#ifndef SETTINGS_TABLE_H
#define SETTINGS_TABLE_H

#include "settings.h"

enum setting_kind {
    SETTING_DURATION, /* ms */
    SETTING_SIZE,     /* bytes */
    SETTING_COUNT,
    SETTING_FLAG, /* bool */
    SETTING_ENUM, /* index into choices */
    SETTING_TEXT, /* char *, owned */
    SETTING_LIST, /* struct settings_list */
};

struct setting {
    const char *name;
    size_t offset; /* in struct settings; of a topic's row in struct tidings_topic_policy */
    size_t width;  /* bytes there */
    uint64_t min, max;
    const char *automatic;           /* not NULL: "auto" may be written, and this is what it means */
    const char *const *choices;      /* of an enum, NULL-ended, in the order of its values */
    bool (*check)(const char *text); /* of a text or list */
    const char *form;                /* what a text looks like, for messages and help */
    const char *fallback;            /* of a text or list: the value if none is given; NULL = none */
    const char *help;
    enum setting_kind kind;
    bool reload;         /* SIGHUP applies it */
    bool not_in_file;    /* it would make no sense there */
    bool secret;         /* its values are never shown, and covered where they came from */
    const char *file_of; /* not NULL: names files that hold values of this secret, one in a line */
};

struct setting_group {
    const char *title;
    const struct setting *rows;
    size_t count;
};

extern const struct setting_group settings_groups[];
extern const size_t settings_group_count;

/* Row i over all groups; NULL behind the last one. */
const struct setting *settings_row(size_t i);

/* What a section `[topic PATTERN]` of the file may say. */
#define SETTINGS_TOPIC_ROWS 4
extern const struct setting settings_topic_rows[SETTINGS_TOPIC_ROWS];

/* The number that the row has in *of, the struct of its offset (flags and enums too); not for texts and
 * lists. */
uint64_t settings_number(const void *of, const struct setting *row);
void settings_set_number(void *of, const struct setting *row, uint64_t number);

/* The row's value as one would write it; "" for an empty text or list. */
void settings_print_value(const struct settings *settings, const struct setting *row, char *out, size_t size);

#endif
