/* SPDX-License-Identifier: MIT
 *
 * vectors - see vectors.h for the form of the files.
 */
#include "vectors.h"

#include <stdlib.h>
#include <string.h>

static void die(const struct vectors *v, const char *what)
{
    fprintf(stderr, "%s:%u: %s\n", v->path, v->number, what);
    exit(99);
}

/* Reads a line without its end into v->line; false at the end of the file. */
static bool read_line(struct vectors *v)
{
    ssize_t n = getline(&v->line, &v->cap, v->file);

    if (n < 0)
        return false;
    v->number++;
    if (n > 0 && v->line[n - 1] == '\n')
        v->line[n - 1] = '\0';
    return true;
}

static bool is_title(const char *line)
{
    return strncmp(line, "== ", 3) == 0;
}

void vectors_open(struct vectors *v, const char *path)
{
    *v = (struct vectors){.path = path, .file = fopen(path, "r")};
    if (!v->file)
        die(v, "cannot be opened");
    while (read_line(v)) {
        if (is_title(v->line))
            return;
        if (*v->line && *v->line != '#')
            die(v, "a line before the first case");
    }
    die(v, "no case");
}

void vectors_close(struct vectors *v)
{
    fclose(v->file);
    free(v->line);
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

    return at ? (int)(at - digits) : -1;
}

size_t vector_unescape(char *text, size_t *mark)
{
    static const char letters[] = "rnt\\0", bytes[] = "\r\n\t\\\0";
    const char *p = text, *at;
    char *w = text;

    while (*p) {
        if (*p != '\\') {
            *w++ = *p++;
        } else if (p[1] == 'x' && hex(p[2]) >= 0 && hex(p[3]) >= 0) {
            *w++ = (char)(hex(p[2]) << 4 | hex(p[3]));
            p += 4;
        } else if (p[1] == '!') {
            *mark = (size_t)(w - text);
            p += 2;
        } else if (p[1] && (at = strchr(letters, p[1]))) {
            *w++ = bytes[at - letters];
            p += 2;
        } else {
            fprintf(stderr, "unknown escape: %s\n", p);
            exit(99);
        }
    }
    return (size_t)(w - text);
}

static void add_input(struct vectors *v, struct vector *out, const char *text, bool raw, size_t times)
{
    char *bytes = strdup(text), *all;
    size_t n, mark = VECTOR_NO_MARK;

    if (!bytes)
        die(v, "no memory");
    n = raw ? strlen(bytes) : vector_unescape(bytes, &mark);
    all = realloc(out->input, out->input_len + n * times + 1);
    if (!all)
        die(v, "no memory");
    out->input = all;
    if (mark != VECTOR_NO_MARK)
        out->mark = out->input_len + mark;
    for (; times > 0; times--) {
        memcpy(all + out->input_len, bytes, n);
        out->input_len += n;
    }
    free(bytes);
}

static bool is_key(const char *line, size_t n, const char *key)
{
    return n == strlen(key) && memcmp(line, key, n) == 0;
}

static void add_line(struct vectors *v, struct vector *out)
{
    size_t n = strcspn(v->line, " ");
    const char *value = v->line[n] ? v->line + n + 1 : "";

    if (n == 0 || n >= VECTOR_KEY_MAX || out->count == VECTOR_LINES_MAX)
        die(v, "not a line of a case, or one too many");
    if (is_key(v->line, n, "in") || is_key(v->line, n, "raw")) {
        add_input(v, out, value, *v->line == 'r', 1);
    } else if (strncmp(v->line, "in*", 3) == 0) {
        add_input(v, out, value, false, strtoul(v->line + 3, NULL, 10));
    } else {
        memcpy(out->lines[out->count].key, v->line, n);
        out->lines[out->count].key[n] = '\0';
        out->lines[out->count].value = strdup(value);
        out->lines[out->count].len = strlen(value);
        out->count++;
    }
}

bool vectors_next(struct vectors *v, struct vector *out)
{
    if (!v->line || !is_title(v->line))
        return false;
    memset(out, 0, sizeof(*out));
    out->mark = VECTOR_NO_MARK;
    snprintf(out->title, sizeof(out->title), "%s:%u: %s", strrchr(v->path, '/') + 1, v->number, v->line + 3);
    add_input(v, out, "", true, 0);
    while (read_line(v)) {
        if (is_title(v->line))
            return true;
        if (*v->line && *v->line != '#')
            add_line(v, out);
    }
    *v->line = '\0';
    return true;
}

void vector_finish(struct vector *vector)
{
    for (unsigned i = 0; i < vector->count; i++)
        free(vector->lines[i].value);
    free(vector->input);
}

const char *vector_get(const struct vector *vector, const char *key)
{
    for (unsigned i = 0; i < vector->count; i++) {
        if (strcmp(vector->lines[i].key, key) == 0)
            return vector->lines[i].value;
    }
    return NULL;
}
