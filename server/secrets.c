/* SPDX-License-Identifier: MIT
 *
 * See secrets.h. The kernel shows arguments and environment of a process to others from the memory in which
 * it found them, so overwriting them there is enough; what is not shown is copied first.
 */
#include "secrets.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "settings_reader.h"

#define ENV_PREFIX "TIDINGS_"

/* ------------------------------------------------------------------ arguments and environment */

static char **copy_texts(char *const *texts, size_t count, const char *prefix)
{
    char **copy = calloc(count + 1, sizeof *copy);
    size_t n = 0;

    for (size_t i = 0; copy && i < count; i++) {
        if (strncmp(texts[i], prefix, strlen(prefix)) != 0)
            continue;
        copy[n] = strdup(texts[i]);
        if (!copy[n++]) {
            while (--n > 0)
                free(copy[n - 1]);
            free(copy);
            return NULL;
        }
    }
    return copy;
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++) {
        explicit_bzero(texts[i], strlen(texts[i]));
        free(texts[i]);
    }
    free(texts);
}

void secrets_cover(const char *text)
{
    if (text)
        memset((char *)(uintptr_t)text, 'x',
               strlen(text)); /* arguments belong to the program (C17 5.1.2.2.1) */
}

/* Name and password of a URL (RFC 3986 section 3.2.1). */
static void cover_userinfo(const char *url)
{
    const char *begin = strstr(url, "://"), *end;
    size_t len;

    if (!begin)
        return;
    begin += 3;
    len = strcspn(begin, "/?#");
    end = memrchr(begin, '@', len);
    if (end)
        memset((char *)(uintptr_t)begin, 'x', (size_t)(end - begin));
}

static void cover_value(const struct setting *row, const char *value)
{
    if (row && row->secret)
        secrets_cover(value);
    else if (row && row->form && strcmp(row->form, "URL") == 0)
        cover_userinfo(value);
}

static void cover_arguments(int argc, char *const *argv)
{
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        const char *name = argv[i] + 2;
        const struct setting *row;
        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        row = settings_row(settings_row_index(name, equals ? (size_t)(equals - name) : strlen(name)));
        if (equals)
            cover_value(row, equals + 1);
        else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
            cover_value(row, argv[i + 1]);
    }
}

/* The client commands', which may share a shell with the hub: it does not read them, but it would show them.
 */
static bool is_client_secret(const char *name, size_t len)
{
    static const char key[] = ENV_PREFIX "KEY", token[] = ENV_PREFIX "TOKEN";

    return (len == sizeof key - 1 && memcmp(name, key, len) == 0) ||
           (len == sizeof token - 1 && memcmp(name, token, len) == 0);
}

static void cover_environment(char *const *env)
{
    for (; *env; env++) {
        const char *equals = strchr(*env, '=');
        size_t len = equals ? (size_t)(equals - *env) : 0;
        const struct setting *row = settings_row(settings_row_of_variable(*env, len));
        if (equals && is_client_secret(*env, len))
            secrets_cover(equals + 1);
        else if (equals)
            cover_value(row, equals + 1);
    }
}

int secrets_take(struct sources *sources, int argc, char *const *argv, char *const *env)
{
    size_t count = 0;

    while (env[count])
        count++;
    sources->argc = argc;
    sources->argv = copy_texts(argv, (size_t)argc, "");
    sources->env = copy_texts(env, count, ENV_PREFIX);
    if (!sources->argv || !sources->env)
        return -1;
    cover_arguments(argc, argv);
    cover_environment(env);
    return 0;
}

void secrets_finish(struct sources *sources)
{
    free_texts(sources->argv);
    free_texts(sources->env);
    sources->argv = sources->env = NULL;
    sources->argc = 0;
}
