/* SPDX-License-Identifier: MIT
 *
 * Reads the arguments of the client commands. Values are never repeated in messages unless they are numbers:
 * a value may be a key.
 */
#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "value.h"

void options_complain(const struct option_table *table, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "tidings %s: ", table->command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void print_help(const struct option_table *table)
{
    printf("usage: tidings %s\n\n%s\n\n", table->usage, table->about);
    for (size_t i = 0; i < table->count; i++) {
        const struct option *row = &table->rows[i];
        int column = printf("  --%s%s%s", row->name, row->form ? " " : "", row->form ? row->form : "");
        printf("%*s%s\n", column < 28 ? 28 - column : 1, "", row->help);
    }
}

static const struct option *find_row(const struct option_table *table, const char *name, size_t len)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strlen(table->rows[i].name) == len && strncmp(table->rows[i].name, name, len) == 0)
            return &table->rows[i];
    }
    return NULL;
}

static bool read_number(enum option_kind kind, const char *value, uint64_t *number)
{
    if (kind == OPTION_DURATION)
        return value_duration(value, number);
    if (kind == OPTION_SIZE)
        return value_size(value, number);
    return value_count(value, number);
}

static int store_number(const struct option_table *table, const struct option *row, void *at,
                        const char *value)
{
    static const char *const forms[] = {[OPTION_COUNT] = "a whole number",
                                        [OPTION_DURATION] = "a duration such as 500ms, 15s, 2m",
                                        [OPTION_SIZE] = "a size such as 200, 16KiB, 1MiB"};
    uint64_t number;

    if (!read_number(row->kind, value, &number)) {
        options_complain(table, "--%s: must be %s", row->name, forms[row->kind]);
        return -1;
    }
    if (number < row->min || (row->max && number > row->max)) {
        options_complain(table, "--%s: %.40s is out of range", row->name, value);
        return -1;
    }
    memcpy(at, &number, sizeof number);
    return 0;
}

static int store(const struct option_table *table, const struct option *row, void *target, const char *value)
{
    char *at = (char *)target + row->offset;
    struct option_list *list = (struct option_list *)(void *)at;
    bool flag;

    switch (row->kind) {
    case OPTION_TEXT:
        memcpy(at, &value, sizeof value);
        return 0;
    case OPTION_LIST:
        if (list->count == OPTION_LIST_MAX) {
            options_complain(table, "--%s: more than %d", row->name, OPTION_LIST_MAX);
            return -1;
        }
        list->items[list->count++] = value;
        return 0;
    case OPTION_FLAG:
        if (!value_flag(value, &flag)) {
            options_complain(table, "--%s: must be true or false", row->name);
            return -1;
        }
        memcpy(at, &flag, sizeof flag);
        return 0;
    default:
        return store_number(table, row, at, value);
    }
}

/* Reads the option at argv[0]; returns how many arguments it took, or -1. */
static int read_option(const struct option_table *table, void *target, int argc, char *const *argv)
{
    const char *name = argv[0] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *row = find_row(table, name, len);
    char shown[64];

    if (!row) {
        value_print_safe(shown, sizeof shown, name);
        shown[strcspn(shown, "=")] = '\0';
        options_complain(table, "--%s: unknown option; `tidings help %s` lists them", shown, table->command);
        return -1;
    }
    if (equals)
        return store(table, row, target, equals + 1) < 0 ? -1 : 1;
    if (row->kind == OPTION_FLAG)
        return store(table, row, target, "true") < 0 ? -1 : 1;
    if (argc < 2) {
        options_complain(table, "--%s: needs a value", row->name);
        return -1;
    }
    return store(table, row, target, argv[1]) < 0 ? -1 : 2;
}

enum options_result options_read(const struct option_table *table, void *target, int argc, char *const *argv,
                                 struct option_list *rest)
{
    bool only_rest = false;

    while (argc > 0) {
        int taken = 1;
        if (!only_rest && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
            print_help(table);
            return OPTIONS_HELPED;
        }
        if (!only_rest && strcmp(argv[0], "--") == 0) {
            only_rest = true;
        } else if (!only_rest && strncmp(argv[0], "--", 2) == 0) {
            taken = read_option(table, target, argc, argv);
        } else if (rest->count == OPTION_LIST_MAX) {
            options_complain(table, "too many arguments");
            taken = -1;
        } else {
            rest->items[rest->count++] = argv[0];
        }
        if (taken < 0)
            return OPTIONS_WRONG;
        argc -= taken;
        argv += taken;
    }
    return OPTIONS_GO;
}
