/* SPDX-License-Identifier: MIT
 *
 * Reads settings from the file:
 *
 *     name = value          ; general lines come first
 *     [topic prices.*]      ; what follows is the policy of the topics that fit
 *     name = value
 *
 * libinih takes lines apart. It would cut a section's name at 50 bytes and a line at 200, and take an
 * indented line for more of the one before; so lines reach it through next_line(), which refuses what is too
 * long, removes indentation and keeps the sections for itself.
 */
#include <errno.h>
#include <ini.h>
#include <string.h>

#include "settings_reader.h"
#include "value.h"

#define LINE_MAX_BYTES 512 /* a section with the longest topic fits */

/* What libinih is given to read from; it counts lines, so that a message can name one. */
struct lines {
    struct reader *reader;
    FILE *file;
    char text[LINE_MAX_BYTES];
    struct tidings_topic_policy *policy;  /* of the section that is being read; NULL before the first */
    unsigned set_at[SETTINGS_TOPIC_ROWS]; /* in it: the line of row i, 0 = not yet */
    bool failed;                          /* reader->error is set */
};

static int file_error(struct lines *lines, const char *what)
{
    char path[SHOWN_MAX];

    if (!lines->failed) {
        value_print_safe(path, sizeof path, lines->reader->file);
        snprintf(lines->reader->error, SETTINGS_ERROR_MAX, "%s:%u: %s", path, lines->reader->line, what);
    }
    lines->failed = true;
    return 0;
}

/* The same about a name or a section of the file, which is shown first. */
static int name_error(struct lines *lines, const char *name, const char *what)
{
    char shown[SHOWN_MAX], text[SHOWN_MAX * 3];

    value_print_safe(shown, sizeof shown, name);
    snprintf(text, sizeof text, "%s: %s", shown, what);
    return file_error(lines, text);
}

/* ------------------------------------------------------------------ sections */

static char *trim(char *text)
{
    size_t len;

    text += strspn(text, " \t\r\n");
    for (len = strlen(text); len > 0 && strchr(" \t\r\n", text[len - 1]); len--)
        ;
    text[len] = '\0';
    return text;
}

/* What stands between the brackets, cut out of text; NULL if the line does not end with them. A topic may
 * contain brackets itself. */
static char *between_brackets(char *text)
{
    for (char *end = strchr(text, ']'); end; end = strchr(end + 1, ']')) {
        size_t space = strspn(end + 1, " \t\r\n");
        if (end[1 + space] != '\0' && (space == 0 || end[1 + space] != ';'))
            continue;
        *end = '\0';
        return trim(text + 1);
    }
    return NULL;
}

/* What a pattern may be is the library's to say. */
static bool is_pattern(const struct tidings_topic_policy *policy)
{
    struct tidings_config config;
    const char *field;

    tidings_config_init(&config);
    config.topic_policies = policy;
    config.topic_policy_count = 1;
    return tidings_config_check(&config, &field) == 0;
}

static int find_pattern(const struct settings *settings, const char *pattern)
{
    for (size_t i = 0; i < settings->topic_pattern.count; i++) {
        if (strcmp(settings->topic_pattern.items[i], pattern) == 0)
            return (int)i;
    }
    return -1;
}

/* Opens the section of a pattern: the following lines are its. */
static int add_topic(struct lines *lines, const char *pattern)
{
    struct settings *settings = lines->reader->settings;
    struct tidings_topic_policy policy = {.pattern = pattern,
                                          .history_size = TIDINGS_AUTO,
                                          .history_bytes = TIDINGS_AUTO,
                                          .history_ttl = TIDINGS_AUTO};
    size_t count = settings->topic_pattern.count;
    int twin = find_pattern(settings, pattern);
    char what[SHOWN_MAX];

    if (twin >= 0) {
        snprintf(what, sizeof what, "already described in line %u", settings->topic_line[twin]);
        return name_error(lines, pattern, what);
    }
    if (!is_pattern(&policy))
        return name_error(lines, pattern, "not a topic, or the beginning of topics with a final *");
    if (count == TIDINGS_TOPIC_POLICIES_MAX) {
        snprintf(what, sizeof what, "more than %d sections [topic ...]", TIDINGS_TOPIC_POLICIES_MAX);
        return file_error(lines, what);
    }
    if (settings_list_add(&settings->topic_pattern, pattern, strlen(pattern)) < 0)
        return file_error(lines, "out of memory");
    policy.pattern = settings->topic_pattern.items[count];
    settings->topic_policy[count] = policy;
    settings->topic_line[count] = lines->reader->line;
    lines->policy = &settings->topic_policy[count];
    memset(lines->set_at, 0, sizeof lines->set_at);
    return 1;
}

/* A line that begins with a bracket. */
static int begin_section(struct lines *lines, char *text)
{
    char *name = between_brackets(text), *pattern;
    size_t kind;

    if (!name || *name == '\0')
        return file_error(lines, "not of the form `[topic PATTERN]`");
    kind = strcspn(name, " \t");
    pattern = trim(name + kind);
    if (kind != 5 || strncmp(name, "topic", kind) != 0)
        return name_error(lines, name, "there are no sections but `[topic PATTERN]`");
    if (*pattern == '\0')
        return file_error(lines, "[topic] needs a topic, or the beginning of topics with a final *");
    return add_topic(lines, pattern);
}

static size_t topic_row_index(const char *name)
{
    size_t i = 0;

    while (i < SETTINGS_TOPIC_ROWS && strcmp(settings_topic_rows[i].name, name) != 0)
        i++;
    return i;
}

/* A line of a section. */
static int topic_setting(struct lines *lines, const char *name, const char *value)
{
    size_t i = topic_row_index(name);
    const struct setting *row = &settings_topic_rows[i];
    char what[SHOWN_MAX];
    uint64_t number;

    if (i == SETTINGS_TOPIC_ROWS)
        return name_error(lines, name,
                          settings_row(settings_row_index(name, strlen(name)))
                              ? "not for topics; general settings come before the first section"
                              : "no setting of topics has this name");
    if (lines->set_at[i] != 0) {
        snprintf(what, sizeof what, "already set in line %u", lines->set_at[i]);
        return name_error(lines, name, what);
    }
    lines->set_at[i] = lines->reader->line;
    lines->failed = settings_read_number(lines->reader, row, value, &number) < 0;
    if (lines->failed)
        return 0;
    settings_set_number(lines->policy, row, number);
    if (lines->policy->latest_only && lines->policy->history_size != 1 &&
        lines->policy->history_size != TIDINGS_AUTO)
        return name_error(lines, name, "latest-only keeps one event; history-size can only be 1 beside it");
    return 1;
}

/* ------------------------------------------------------------------ lines */

/* Reads a line into lines->text; false at the end of the file, or when it is wrong. */
static bool read_line(struct lines *lines)
{
    size_t n = 0;
    int c = EOF;

    lines->reader->line++;
    while (n < sizeof lines->text - 1 && (c = getc(lines->file)) != EOF) {
        lines->text[n++] = (char)c;
        if (c == '\n' || c == '\0')
            break;
    }
    lines->text[n] = '\0';
    if (n > 0 && c == '\0')
        file_error(lines, "a NUL byte");
    else if (n == sizeof lines->text - 1 && c != '\n')
        file_error(lines, "the line is too long");
    return n > 0 && !lines->failed;
}

/* fgets() for libinih. */
static char *next_line(char *out, int size, void *stream)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, as some editors write it */
    struct lines *lines = stream;
    char *text = lines->text;

    if (lines->failed || !read_line(lines))
        return NULL;
    if (lines->reader->line == 1 && strncmp(text, mark, sizeof mark - 1) == 0)
        text += sizeof mark - 1;
    text += strspn(text, " \t");
    if (*text == '[') {
        begin_section(lines, text);
        *text = '\0'; /* an empty line means nothing to libinih */
    }
    if (strlen(text) >= (size_t)size)
        file_error(lines, "the line is too long");
    else
        memcpy(out, text, strlen(text) + 1);
    return lines->failed ? NULL : out;
}

static int general_setting(struct lines *lines, const char *name, const char *value)
{
    struct reader *reader = lines->reader;
    size_t index = settings_row_index(name, strlen(name));
    const struct setting *row = settings_row(index);
    char what[SHOWN_MAX];

    if (!row && topic_row_index(name) < SETTINGS_TOPIC_ROWS)
        return name_error(lines, name, "only for topics, in a section `[topic PATTERN]`");
    if (!row || row->not_in_file)
        return name_error(lines, name, row ? "cannot be set in a file" : "no setting has this name");
    if (reader->settings->line[index] != 0 && row->kind != SETTING_LIST) {
        snprintf(what, sizeof what, "already set in line %u", reader->settings->line[index]);
        return name_error(lines, name, what);
    }
    reader->settings->line[index] = reader->line;
    lines->failed = settings_assign(reader, index, value) < 0;
    return !lines->failed;
}

/* libinih's callback: 1 = go on, 0 = wrong. */
static int file_setting(void *user, const char *section, const char *name, const char *value)
{
    struct lines *lines = user;

    (void)section; /* next_line() lets none through */
    if (lines->failed)
        return 0;
    return lines->policy ? topic_setting(lines, name, value) : general_setting(lines, name, value);
}

int settings_read_file(struct reader *reader)
{
    struct lines lines = {.reader = reader};
    char shown[SHOWN_MAX];
    int result;

    reader->origin = SETTINGS_FILE;
    reader->file = reader->settings->config_file;
    if (!reader->file)
        return 0;
    errno = 0;
    lines.file = fopen(reader->file, "re");
    if (lines.file) {
        result = ini_parse_stream(next_line, &lines, file_setting, &lines);
        /* The first wrong line; before ours, or without one of ours, it is one that libinih could not read.
         */
        if (result > 0 && (!lines.failed || (unsigned)result < reader->line)) {
            lines.failed = false;
            reader->line = (unsigned)result;
            file_error(&lines, "not of the form `name = value`");
        }
    }
    if (!lines.failed && (!lines.file || ferror(lines.file))) {
        value_print_safe(shown, sizeof shown, reader->file);
        snprintf(reader->error, SETTINGS_ERROR_MAX, "--config: cannot read %s: %s", shown, strerror(errno));
        lines.failed = true;
    }
    if (lines.file)
        fclose(lines.file);
    return lines.failed ? -1 : 0;
}
