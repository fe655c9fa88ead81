/* SPDX-License-Identifier: MIT
 *
 * Prints the table of settings for people: `tidings serve --help`, and docs/settings.md.
 */
#include <ctype.h>
#include <string.h>

#include "settings_table.h"
#include "value.h"

#define HELP_COLUMN 36 /* where the explanations begin */
#define HELP_WIDTH  108

static void put_form(const struct setting *row, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    switch (row->kind) {
    case SETTING_DURATION:
        snprintf(out, size, "DURATION");
        return;
    case SETTING_SIZE:
        snprintf(out, size, "SIZE");
        return;
    case SETTING_COUNT:
        snprintf(out, size, "N");
        return;
    case SETTING_FLAG:
        return;
    case SETTING_ENUM:
        for (size_t i = 0; row->choices[i] && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "|" : "", row->choices[i]);
        return;
    default:
        snprintf(out, size, "%s", row->form);
    }
}

/* The default as one would write it; "" if there is none worth a word. */
static void put_default(const struct settings *defaults, const struct setting *row, char *out, size_t size)
{
    out[0] = '\0';
    if (row->kind == SETTING_LIST && row->fallback)
        snprintf(out, size, "%s", row->fallback);
    else if (row->automatic && settings_number(defaults, row) == TIDINGS_AUTO)
        snprintf(out, size, "auto: %s", row->automatic);
    else
        settings_print_value(defaults, row, out, size);
}

/* Prints words, broken at HELP_WIDTH, from HELP_COLUMN on; the cursor stands at column. */
static void print_wrapped(FILE *out, size_t column, const char *text)
{
    bool first = true;

    if (column >= HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    while (*text) {
        size_t len = strcspn(text, " ");
        if (!first && column + 1 + len > HELP_WIDTH) {
            fputc('\n', out);
            column = 0;
            first = true;
        }
        fprintf(out, "%*s%.*s", first ? (int)(HELP_COLUMN - column) : 1, "", (int)len, text);
        column = (first ? HELP_COLUMN : column + 1) + len;
        first = false;
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* value is the default; "" if there is none to show. */
static void print_row(FILE *out, const char *label, const struct setting *row, const char *value)
{
    char text[512];
    int column = fprintf(out, "  %s", label);

    snprintf(text, sizeof text, "%s%s%s%s%s", row->help, row->kind == SETTING_LIST ? "; repeatable" : "",
             value[0] ? " [" : "", value, value[0] ? "]" : "");
    print_wrapped(out, column > 0 ? (size_t)column : 0, text);
}

static void print_flag(FILE *out, const struct settings *defaults, const struct setting *row)
{
    char form[64], value[128], label[128];

    put_form(row, form, sizeof form);
    put_default(defaults, row, value, sizeof value);
    snprintf(label, sizeof label, "--%s%s%s", row->name, form[0] ? " " : "", form);
    print_row(out, label, row, value);
}

/* A line of a section, as one writes it. */
static void put_topic_line(const struct setting *row, char *out, size_t size)
{
    char form[64];

    put_form(row, form, sizeof form);
    snprintf(out, size, "%s = %s", row->name, form[0] ? form : "true");
}

static void init_defaults(struct settings *defaults)
{
    static char *const none[] = {NULL};
    char error[SETTINGS_ERROR_MAX];

    /* Nothing is read from anywhere, so nothing can be wrong. */
    settings_load(defaults, 0, none, none, error);
}

static void print_topics(FILE *out)
{
    char line[128];

    fputs("\nTopics, in the file only: lines after [topic NAME] or [topic BEGINNING*] say what is kept "
          "differently for the\n"
          "topics that fit. The longest that fits counts, an exact name before any beginning; what is not "
          "said is as\n"
          "above. General lines come before the first section.\n",
          out);
    for (size_t i = 0; i < SETTINGS_TOPIC_ROWS; i++) {
        put_topic_line(&settings_topic_rows[i], line, sizeof line);
        print_row(out, line, &settings_topic_rows[i], "");
    }
}

void settings_print_help(FILE *out)
{
    struct settings defaults;

    init_defaults(&defaults);
    fputs("Every setting is a flag, an environment variable (--max-body: TIDINGS_MAX_BODY) and a line of the "
          "file\n"
          "given with --config (max-body = 1MiB), in this order of precedence. DURATION is 500ms, 15s, 2m, "
          "1h or a\n"
          "number of seconds; SIZE is 16KiB, 1MiB or a number of bytes. Defaults stand in [brackets].\n",
          out);
    for (size_t g = 0; g < settings_group_count; g++) {
        fprintf(out, "\n%s\n", settings_groups[g].title);
        for (size_t i = 0; i < settings_groups[g].count; i++)
            print_flag(out, &defaults, &settings_groups[g].rows[i]);
    }
    print_topics(out);
    settings_finish(&defaults);
}

/* In a table cell a '|' would end the cell, and a line end the row. */
static void put_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_variable(FILE *out, const char *name)
{
    fputs("`TIDINGS_", out);
    for (; *name; name++)
        fputc(*name == '-' ? '_' : toupper((unsigned char)*name), out);
    fputc('`', out);
}

static void markdown_row(FILE *out, const struct settings *defaults, const struct setting *row)
{
    char form[64], value[128];

    put_form(row, form, sizeof form);
    put_default(defaults, row, value, sizeof value);
    fprintf(out, "| `--%s%s", row->name, form[0] ? " " : "");
    put_cell(out, form);
    fputs("` | ", out);
    put_variable(out, row->name);
    fprintf(out, " | %s | %s | ", value[0] ? value : "none", row->reload ? "yes" : "");
    put_cell(out, row->help);
    if (row->kind == SETTING_LIST)
        fputs("; repeatable", out);
    if (row->not_in_file)
        fputs("; not in a file", out);
    fputs(" |\n", out);
}

static const char markdown_head[] =
    "# Settings\n"
    "\n"
    "This page is printed by `tidings serve --help-markdown`, from the table that reads the settings.\n"
    "\n"
    "Every setting exists as a flag (`--max-body 1MiB` or `--max-body=1MiB`), as an environment variable\n"
    "(`TIDINGS_MAX_BODY=1MiB`) and as a line of the file given with `--config` (`max-body = 1MiB`). A flag "
    "wins\n"
    "over the environment, the environment over the file, the file over the default. A repeatable flag is "
    "given\n"
    "several times, and so is its line in the file; in the environment its values are separated by commas. "
    "What the\n"
    "stronger source says about a repeatable setting replaces the whole list of the weaker one.\n"
    "\n"
    "A duration is written `500ms`, `15s`, `2m`, `1h` or as a number of seconds; a size `16KiB`, `1MiB` or "
    "as a\n"
    "number of bytes; yes and no are `true` and `false` (`yes`, `no`, `1`, `0`). A flag of that kind may "
    "stand alone:\n"
    "`--insecure` is `--insecure=true`. The settings with the default `auto` take the word `auto`, too.\n"
    "\n"
    "The file has one `name = value` a line, comments begin with `#` or `;`; at its end may stand sections "
    "for\n"
    "[topics](#topics). An unknown name in it is an error; an unknown environment variable that begins with\n"
    "`TIDINGS_` is a warning. (`TIDINGS_URL`, `TIDINGS_KEY`, `TIDINGS_TOKEN`, `TIDINGS_KEY_FILE` and\n"
    "`TIDINGS_TOKEN_FILE` belong to the client commands.) A\n"
    "wrong setting stops the start with exit code 2 and one line that names it; `tidings serve "
    "--check-config` only\n"
    "checks.\n"
    "\n"
    "`SIGHUP` reads everything again and applies the settings marked *reload* without closing a connection. "
    "If\n"
    "something is wrong, the old settings stay and the log says what it was; changed settings that need a "
    "restart are\n"
    "named in a warning.\n";

static const char markdown_topics[] =
    "\n"
    "## Topics\n"
    "\n"
    "Sections of the file, and only of the file, say what is kept differently for some topics:\n"
    "\n"
    "```ini\n"
    "# General lines come first: in an INI file a section goes on until the next one begins.\n"
    "history-size = 1000\n"
    "\n"
    "[topic prices.*]\n"
    "latest-only = true\n"
    "history-ttl = 1h\n"
    "\n"
    "[topic chat.lobby]\n"
    "history-size = 5000\n"
    "history-bytes = 4MiB\n"
    "```\n"
    "\n"
    "`[topic PATTERN]` names a topic, or with a final `*` the beginning of topics; `*` alone fits every "
    "topic. "
    "Of all\n"
    "patterns that fit a topic only one counts: its exact name before any beginning, and a longer beginning "
    "before a\n"
    "shorter one. What the section leaves out is as the general settings say. The order of the sections "
    "means "
    "nothing; a\n"
    "pattern can have one section only, and a file at most 64. Everything in a section is applied by "
    "`SIGHUP`.\n"
    "\n"
    "| line | meaning |\n| --- | --- |\n";

static void markdown_topic_row(FILE *out, const struct setting *row)
{
    char line[128];

    put_topic_line(row, line, sizeof line);
    fprintf(out, "| `%s` | %s |\n", line, row->help);
}

void settings_print_markdown(FILE *out)
{
    struct settings defaults;

    init_defaults(&defaults);
    fputs(markdown_head, out);
    for (size_t g = 0; g < settings_group_count; g++) {
        fprintf(out, "\n## %s\n\n", settings_groups[g].title);
        fputs("| flag | environment | default | reload | meaning |\n| --- | --- | --- | --- | --- |\n", out);
        for (size_t i = 0; i < settings_groups[g].count; i++)
            markdown_row(out, &defaults, &settings_groups[g].rows[i]);
    }
    fputs(markdown_topics, out);
    for (size_t i = 0; i < SETTINGS_TOPIC_ROWS; i++)
        markdown_topic_row(out, &settings_topic_rows[i]);
    settings_finish(&defaults);
}
