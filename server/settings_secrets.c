/* SPDX-License-Identifier: MIT
 *
 * Reads the files that settings name in place of secrets, one secret in a line. What a message says is where,
 * never what: whoever reads the log need not know a key.
 */
#include "settings_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "value.h"

/* A file of secrets while it is read. */
struct secret_file {
    const struct reader *reader;
    const struct setting *row;  /* that names it */
    const struct setting *twin; /* whose values it holds */
    char shown[SHOWN_MAX];      /* its name, for messages */
    char text[SECRET_FILE_MAX + 2];
    size_t len;
};

static int cannot_read(const struct secret_file *file, const char *why)
{
    return settings_wrong(file->reader, file->row, "cannot read %s: %s", file->shown, why);
}

/* Reads the open file into file->text. Something that is no file could keep the start waiting for ever. */
static int read_open(struct secret_file *file, int fd)
{
    struct stat status;
    char line[SHOWN_MAX * 2];
    ssize_t n = 1;

    if (fstat(fd, &status) < 0)
        return cannot_read(file, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return cannot_read(file, "not a regular file");
    while (n > 0 && file->len < sizeof file->text - 1) {
        n = read(fd, file->text + file->len, sizeof file->text - 1 - file->len);
        if (n < 0)
            return cannot_read(file, strerror(errno));
        file->len += (size_t)n;
    }
    if (file->len > SECRET_FILE_MAX)
        return cannot_read(file, "longer than 64 KiB");
    if (memchr(file->text, '\0', file->len))
        return cannot_read(file, "a NUL byte");
    if (status.st_mode & (S_IROTH | S_IWOTH)) {
        int used = snprintf(line, sizeof line, "%s holds secrets, and everybody on this machine may %s it",
                            file->shown, status.st_mode & S_IROTH ? "read" : "change");
        settings_list_add(&file->reader->settings->warnings, line, (size_t)used);
    }
    return 0;
}

static int read_file(struct secret_file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result;

    value_print_safe(file->shown, sizeof file->shown, path);
    file->len = 0;
    if (fd < 0)
        return cannot_read(file, strerror(errno));
    result = read_open(file, fd);
    close(fd);
    file->text[file->len] = '\0';
    return result;
}

static int add_secret(const struct secret_file *file, const char *line, size_t len, unsigned number)
{
    void *at = (char *)file->reader->settings + file->twin->offset;
    char *copy;
    int result = 0;

    if (len > SECRET_LINE_MAX)
        return settings_wrong(file->reader, file->row, "%s:%u: longer than %d bytes", file->shown, number,
                              SECRET_LINE_MAX);
    copy = strndup(line, len);
    if (!copy)
        return settings_wrong(file->reader, file->row, "out of memory");
    if (!file->twin->check(copy))
        result = settings_wrong(file->reader, file->row, "%s:%u: cannot be a value of %s", file->shown,
                                number, file->twin->name);
    else if (file->twin->kind == SETTING_LIST && settings_list_add(at, copy, len) < 0)
        result = settings_wrong(file->reader, file->row, "more than %d values", SETTINGS_LIST_MAX);
    else if (file->twin->kind == SETTING_TEXT && *(char **)at)
        result = settings_wrong(file->reader, file->row, "%s:%u: a second %s", file->shown, number,
                                file->twin->name);
    if (result == 0 && file->twin->kind == SETTING_TEXT) {
        *(char **)at = copy;
        return 0;
    }
    explicit_bzero(copy, len);
    free(copy);
    return result;
}

static int add_secrets(const struct secret_file *file)
{
    const char *line = file->text;
    unsigned number = 1, found = 0;

    for (const char *end; *line; line = end + (*end != '\0'), number++) {
        size_t len;
        end = line + strcspn(line, "\n");
        len = (size_t)(end - line);
        len -= len > 0 && line[len - 1] == '\r';
        if (len == 0)
            continue;
        if (add_secret(file, line, len, number) < 0)
            return -1;
        found++;
    }
    return found > 0 ? 0 : settings_wrong(file->reader, file->row, "there is nothing in %s", file->shown);
}

static int read_one(struct secret_file *file, const char *path)
{
    return read_file(file, path) < 0 || add_secrets(file) < 0 ? -1 : 0;
}

static int read_all(struct secret_file *file)
{
    const void *at = (const char *)file->reader->settings + file->row->offset;
    const struct settings_list *list = at;

    if (file->row->kind == SETTING_TEXT)
        return read_one(file, *(char *const *)at);
    for (size_t i = 0; i < list->count; i++)
        if (read_one(file, list->items[i]) < 0)
            return -1;
    return 0;
}

/* Row i names files whose content belongs to another row. */
static int read_twin(struct reader *reader, size_t i)
{
    struct settings *settings = reader->settings;
    const struct setting *row = settings_row(i);
    size_t twin = settings_row_index(row->file_of, strlen(row->file_of));
    struct secret_file *file;
    int result;

    if (settings->origin[i] == SETTINGS_DEFAULT || settings->origin[i] < settings->origin[twin])
        return 0;
    reader->origin = settings->origin[i];
    reader->line = settings->line[i];
    if (settings->origin[i] > settings->origin[twin])
        settings_clear(settings, settings_row(twin));
    else if (row->kind == SETTING_TEXT)
        return settings_wrong(reader, row, "%s is given, too; give one of them", row->file_of);
    file = malloc(sizeof *file);
    if (!file)
        return settings_wrong(reader, row, "out of memory");
    file->reader = reader;
    file->row = row;
    file->twin = settings_row(twin);
    result = read_all(file);
    explicit_bzero(file, sizeof *file);
    free(file);
    settings->origin[twin] = settings->origin[i];
    settings->line[twin] = settings->line[i];
    return result;
}

int settings_read_secrets(const struct reader *reader)
{
    struct reader own = *reader;

    own.file = reader->settings->config_file;
    for (size_t i = 0; settings_row(i); i++)
        if (settings_row(i)->file_of && read_twin(&own, i) < 0)
            return -1;
    return 0;
}
