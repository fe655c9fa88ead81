/* SPDX-License-Identifier: MIT
 *
 * Reads settings from flags, environment and file into struct settings.
 *
 *     flags  ──┐
 *     env    ──┼─> settings_assign(): find the row, check the value, store it unless a stronger source
 * already has file   ──┘
 *
 * The sources are read strongest first, because the strongest ones say where the file is. Every value is
 * checked, also one that a stronger source hides: a mistake that shows up only when a flag is removed is a
 * trap.
 *
 * The file is settings_file.c's.
 */
#include "settings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "settings_reader.h"
#include "value.h"

#define ENV_PREFIX "TIDINGS_"

static void put_where(const struct reader *reader, const struct setting *row, char *out, size_t size)
{
    char path[SHOWN_MAX];
    size_t n;

    if (reader->origin == SETTINGS_FILE) {
        value_print_safe(path, sizeof path, reader->file);
        snprintf(out, size, "%s:%u: %s", path, reader->line, row->name);
        return;
    }
    snprintf(out, size, "%s%s", reader->origin == SETTINGS_ENV ? ENV_PREFIX : "--", row->name);
    if (reader->origin != SETTINGS_ENV)
        return;
    for (n = strlen(ENV_PREFIX); out[n]; n++)
        out[n] = out[n] == '-' ? '_' : (char)(out[n] >= 'a' && out[n] <= 'z' ? out[n] - 32 : out[n]);
}

int settings_wrong(const struct reader *reader, const struct setting *row, const char *format, ...)
{
    char where[SHOWN_MAX * 2], what[SETTINGS_ERROR_MAX / 2];
    va_list args;

    put_where(reader, row, where, sizeof where);
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(reader->error, SETTINGS_ERROR_MAX, "%s: %s", where, what);
    return -1;
}

int settings_wrong_value(const struct reader *reader, const struct setting *row, const char *value,
                         const char *right)
{
    char shown[SHOWN_MAX];

    value_print_safe(shown, sizeof shown, value);
    return settings_wrong(reader, row, "\"%s\" is not %s", shown, right);
}

/* ------------------------------------------------------------------ one value */

size_t settings_row_index(const char *name, size_t len)
{
    const struct setting *row;
    size_t i;

    for (i = 0; (row = settings_row(i)) != NULL; i++) {
        if (strlen(row->name) == len && strncmp(row->name, name, len) == 0)
            break;
    }
    return i; /* settings_row(i) is NULL if there is none */
}

int settings_list_add(struct settings_list *list, const char *text, size_t len)
{
    char *copy;

    if (list->count == SETTINGS_LIST_MAX)
        return -1;
    copy = strndup(text, len);
    if (!copy)
        return -1;
    list->items[list->count++] = copy;
    list->items[list->count] = NULL;
    return 0;
}

/* Nobody shall find in freed memory what was a secret; what was none is overwritten with it. */
static void forget(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void list_finish(struct settings_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        forget(list->items[i]);
    list->count = 0;
    list->items[0] = NULL;
}

void settings_clear(struct settings *settings, const struct setting *row)
{
    void *at = (char *)settings + row->offset;

    if (row->kind == SETTING_LIST) {
        list_finish(at);
        return;
    }
    forget(*(char **)at);
    *(char **)at = NULL;
}

static int store_text(const struct reader *reader, const struct setting *row, const char *value)
{
    char **at = (char **)(void *)((char *)reader->settings + row->offset);
    char *copy = strdup(value);

    if (!copy)
        return settings_wrong(reader, row, "out of memory");
    forget(*at);
    *at = copy;
    return 0;
}

static int check_text(const struct reader *reader, const struct setting *row, const char *value)
{
    static const char *const address_hint =
        "an address such as 127.0.0.1:3000, [::1]:3000, localhost:3000, https://127.0.0.1:3443 or "
        "unix:/run/tidings.sock";
    static const char *const store_hint = "memory or a file such as sqlite:/var/lib/tidings/tidings.db";

    static const char *const origin_hint =
        "an origin such as https://app.example.com or http://localhost:5173: lower case, no path, the "
        "scheme's own port left out; * and null cannot be listed, because answers carry credentials";

    if (row->check(value))
        return 0;
    if (strcmp(row->form, "KEY") == 0) /* never repeated: it is a secret, or nearly one */
        return settings_wrong(reader, row, "not 1 to %d bytes of letters, digits and -._~+/= (RFC 6750)",
                              TIDINGS_KEY_MAX);
    if (strcmp(row->form, "SECRET") == 0 || strcmp(row->form, "TEXT") == 0)
        return settings_wrong(reader, row, "must not be empty");
    if (strcmp(row->form, "URL") == 0)
        return settings_wrong_value(reader, row, value, "an address such as http://127.0.0.1:8080/authorize");
    if (strcmp(row->form, "CIDR") == 0)
        return settings_wrong_value(reader, row, value, "a network such as 10.0.0.0/8, an address, or unix");
    if (strcmp(row->form, "ORIGIN") == 0)
        return settings_wrong_value(reader, row, value, origin_hint);
    if (strcmp(row->form, "ADDR:PORT") == 0)
        return settings_wrong_value(reader, row, value, address_hint);
    if (strcmp(row->form, "memory|sqlite:PATH") == 0)
        return settings_wrong_value(reader, row, value, store_hint);
    if (strcmp(row->form, "HOST") == 0)
        return settings_wrong_value(reader, row, value, "a host name such as hub.example.com, or *");
    return settings_wrong_value(reader, row, value, "the name of a file");
}

/* One piece of a list; out_of_sight when a stronger source has set the list already. */
static int assign_piece(const struct reader *reader, const struct setting *row, const char *piece, size_t len,
                        bool out_of_sight)
{
    struct settings_list *list = (struct settings_list *)(void *)((char *)reader->settings + row->offset);
    char *copy = strndup(piece, len);
    int result;

    if (!copy)
        return settings_wrong(reader, row, "out of memory");
    result = check_text(reader, row, copy);
    if (result == 0 && !out_of_sight && settings_list_add(list, copy, len) < 0)
        result = settings_wrong(reader, row, "more than %d values", SETTINGS_LIST_MAX);
    forget(copy);
    return result;
}

/* Only the environment, where a name can be given once, separates several values by commas. */
static int assign_list(const struct reader *reader, const struct setting *row, const char *value,
                       bool out_of_sight)
{
    if (reader->origin != SETTINGS_ENV)
        return assign_piece(reader, row, value, strlen(value), out_of_sight);
    for (;;) {
        size_t len, trimmed;
        value += strspn(value, " \t");
        len = strcspn(value, ",");
        for (trimmed = len; trimmed > 0 && strchr(" \t", value[trimmed - 1]); trimmed--)
            ;
        if (assign_piece(reader, row, value, trimmed, out_of_sight) < 0)
            return -1;
        if (value[len] == '\0')
            return 0;
        value += len + 1;
    }
}

static int wrong_choice(const struct reader *reader, const struct setting *row, const char *value)
{
    char right[SHOWN_MAX] = "";

    for (size_t i = 0; row->choices[i]; i++) {
        size_t used = strlen(right);
        const char *glue = i == 0 ? "" : row->choices[i + 1] ? ", " : " or ";
        snprintf(right + used, sizeof right - used, "%s%s", glue, row->choices[i]);
    }
    return settings_wrong_value(reader, row, value, right);
}

static int check_range(const struct reader *reader, const struct setting *row, const char *value,
                       uint64_t number)
{
    char low[32], high[32];

    if (number >= row->min && number <= row->max)
        return 0;
    if (row->kind == SETTING_DURATION) {
        value_print_duration(low, sizeof low, row->min);
        value_print_duration(high, sizeof high, row->max);
    } else if (row->kind == SETTING_SIZE) {
        value_print_size(low, sizeof low, row->min);
        value_print_size(high, sizeof high, row->max);
    } else {
        snprintf(low, sizeof low, "%llu", (unsigned long long)row->min);
        snprintf(high, sizeof high, "%llu", (unsigned long long)row->max);
    }
    return settings_wrong(reader, row, "%.40s is out of range, it can be %s to %s", value, low, high);
}

int settings_read_number(const struct reader *reader, const struct setting *row, const char *value,
                         uint64_t *number)
{
    bool flag;

    switch (row->kind) {
    case SETTING_DURATION:
        if (!value_duration(value, number))
            return settings_wrong_value(reader, row, value,
                                        "a duration (500ms, 15s, 2m, 1h or a number of seconds)");
        return check_range(reader, row, value, *number);
    case SETTING_SIZE:
        if (!value_size(value, number))
            return settings_wrong_value(reader, row, value, "a size (16KiB, 1MiB or a number of bytes)");
        return check_range(reader, row, value, *number);
    case SETTING_FLAG:
        if (row->automatic && strcmp(value, "auto") == 0) {
            *number = TIDINGS_AUTO;
            return 0;
        }
        if (!value_flag(value, &flag))
            return settings_wrong_value(reader, row, value,
                                        row->automatic ? "true, false or auto" : "true or false");
        *number = flag;
        return 0;
    case SETTING_ENUM:
        for (*number = 0; row->choices[*number]; ++*number) {
            if (strcmp(value, row->choices[*number]) == 0)
                return 0;
        }
        return wrong_choice(reader, row, value);
    default:
        break;
    }
    if (row->automatic && strcmp(value, "auto") == 0) {
        *number = TIDINGS_AUTO;
        return 0;
    }
    if (!value_count(value, number))
        return settings_wrong_value(reader, row, value,
                                    row->automatic ? "a whole number or auto" : "a whole number");
    return check_range(reader, row, value, *number);
}

int settings_assign(const struct reader *reader, size_t index, const char *value)
{
    const struct setting *row = settings_row(index);
    struct settings *settings = reader->settings;
    bool out_of_sight = settings->origin[index] > reader->origin;
    uint64_t number = 0;

    if (row->kind == SETTING_LIST) {
        if (assign_list(reader, row, value, out_of_sight) < 0)
            return -1;
    } else if (row->kind == SETTING_TEXT) {
        if (check_text(reader, row, value) < 0 || (!out_of_sight && store_text(reader, row, value) < 0))
            return -1;
    } else {
        if (settings_read_number(reader, row, value, &number) < 0)
            return -1;
        if (!out_of_sight)
            settings_set_number(settings, row, number);
    }
    if (!out_of_sight)
        settings->origin[index] = reader->origin;
    return 0;
}

/* ------------------------------------------------------------------ flags */

static int unknown_argument(const struct reader *reader, const char *argument)
{
    char shown[SHOWN_MAX];

    value_print_safe(shown, sizeof shown, argument);
    shown[strcspn(shown, "=")] = '\0'; /* the value may be a secret that was meant for something else */
    snprintf(reader->error, SETTINGS_ERROR_MAX, "%s: unknown %s; `tidings serve --help` lists the flags",
             shown, argument[0] == '-' ? "flag" : "argument");
    return -1;
}

/* Reads the flag at argv[0]; returns how many arguments it took, or -1. */
static int read_flag(const struct reader *reader, int argc, char *const *argv)
{
    const char *name = argv[0] + 2, *equals = strchr(argv[0], '=');
    size_t index;
    const struct setting *row;

    if (strncmp(argv[0], "--", 2) != 0)
        return unknown_argument(reader, argv[0]);
    index = settings_row_index(name, equals ? (size_t)(equals - name) : strlen(name));
    row = settings_row(index);
    if (!row)
        return unknown_argument(reader, argv[0]);
    if (equals)
        return settings_assign(reader, index, equals + 1) < 0 ? -1 : 1;
    if (row->kind == SETTING_FLAG)
        return settings_assign(reader, index, "true") < 0 ? -1 : 1;
    if (argc < 2 || strncmp(argv[1], "--", 2) == 0)
        return settings_wrong(reader, row, "needs a value");
    return settings_assign(reader, index, argv[1]) < 0 ? -1 : 2;
}

static int read_flags(struct reader *reader, int argc, char *const *argv)
{
    reader->origin = SETTINGS_FLAG;
    while (argc > 0) {
        int taken = read_flag(reader, argc, argv);
        if (taken < 0)
            return -1;
        argc -= taken;
        argv += taken;
    }
    return 0;
}

/* ------------------------------------------------------------------ environment */

/* These belong to the client commands, which may share a shell with the hub. */
static bool is_client_variable(const char *name, size_t len)
{
    static const char *const names[] = {"TIDINGS_URL", "TIDINGS_KEY", "TIDINGS_KEY_FILE", "TIDINGS_TOKEN",
                                        "TIDINGS_TOKEN_FILE"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == len && strncmp(names[i], name, len) == 0)
            return true;
    }
    return false;
}

size_t settings_row_of_variable(const char *name, size_t len)
{
    char flag[SHOWN_MAX];

    if (len < strlen(ENV_PREFIX) || strncmp(name, ENV_PREFIX, strlen(ENV_PREFIX)) != 0)
        return SETTINGS_MAX;
    name += strlen(ENV_PREFIX);
    len -= strlen(ENV_PREFIX);
    if (len >= sizeof flag)
        return SETTINGS_MAX;
    for (size_t i = 0; i < len; i++)
        flag[i] = name[i] == '_' ? '-' : (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : '?');
    return settings_row_index(flag, len);
}

static int warn_of_variable(struct reader *reader, const char *name, size_t len)
{
    char safe[SHOWN_MAX], shown[SHOWN_MAX], line[SETTINGS_ERROR_MAX];
    int n;

    snprintf(safe, sizeof safe, "%.*s", (int)len, name);
    value_print_safe(shown, sizeof shown, safe);
    n = snprintf(line, sizeof line, "%s: no setting has this name; the variable is ignored", shown);
    settings_list_add(&reader->settings->warnings, line, (size_t)n);
    return 0;
}

static int read_environment(struct reader *reader, char *const *env)
{
    reader->origin = SETTINGS_ENV;
    for (; *env; env++) {
        const char *equals = strchr(*env, '=');
        size_t len = equals ? (size_t)(equals - *env) : 0, index;
        if (!equals || strncmp(*env, ENV_PREFIX, strlen(ENV_PREFIX)) != 0 || is_client_variable(*env, len))
            continue;
        index = settings_row_of_variable(*env, len);
        if (settings_row(index) == NULL)
            warn_of_variable(reader, *env, len);
        else if (settings_assign(reader, index, equals + 1) < 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------ the whole */

static int add_fallbacks(struct settings *settings)
{
    const struct setting *row;

    for (size_t i = 0; (row = settings_row(i)) != NULL; i++) {
        struct settings_list *list = (struct settings_list *)(void *)((char *)settings + row->offset);
        if (row->kind == SETTING_LIST && row->fallback && list->count == 0 &&
            settings_list_add(list, row->fallback, strlen(row->fallback)) < 0)
            return -1;
    }
    return 0;
}

/* The library has the last word on ranges. */
static int check_config(const struct settings *settings, char *error)
{
    const char *field;
    char where[SHOWN_MAX * 2];

    if (tidings_config_check(&settings->config, &field) == 0)
        return 0;
    snprintf(error, SETTINGS_ERROR_MAX, "%s: out of range",
             settings_where(settings, field, where, sizeof where));
    return -1;
}

static const char *const *strings_of(const struct settings_list *list)
{
    return list->count > 0 ? (const char *const *)list->items : NULL;
}

int settings_load(struct settings *settings, int argc, char *const *argv, char *const *env, char *error)
{
    struct reader reader = {.settings = settings, .error = error};

    memset(settings, 0, sizeof *settings);
    tidings_config_init(&settings->config);
    settings->drain_time = 10000;
    settings->log_level = TIDINGS_LOG_INFO;
    if (read_flags(&reader, argc, argv) < 0 || read_environment(&reader, env) < 0 ||
        settings_read_file(&reader) < 0 || settings_read_secrets(&reader) < 0)
        return -1;
    if (add_fallbacks(settings) < 0) {
        snprintf(error, SETTINGS_ERROR_MAX, "out of memory");
        return -1;
    }
    settings->config.public_hosts = strings_of(&settings->public_host);
    settings->config.publish_keys = strings_of(&settings->publish_key);
    settings->config.admin_keys = strings_of(&settings->admin_key);
    settings->config.cors_origins = strings_of(&settings->cors_origin);
    settings->config.trusted_proxies = strings_of(&settings->trusted_proxy);
    settings->config.event_secrets = strings_of(&settings->event_secret);
    settings->config.authorize_url = settings->authorize_url;
    settings->config.event_url = settings->event_url;
    if (settings->topic_pattern.count > 0)
        settings->config.topic_policies = settings->topic_policy;
    settings->config.topic_policy_count = settings->topic_pattern.count;
    settings->config.store = settings->store;
    settings->config.tls_cert = settings->tls_cert;
    settings->config.tls_key = settings->tls_key;
    settings->config.jwt_secret = settings->jwt_secret;
    settings->config.jwt_public_key = settings->jwt_public_key;
    settings->config.jwks = settings->jwks;
    settings->config.jwt_issuer = settings->jwt_issuer;
    settings->config.jwt_audience = settings->jwt_audience;
    return check_config(settings, error);
}

void settings_finish(struct settings *settings)
{
    list_finish(&settings->listen);
    list_finish(&settings->public_host);
    list_finish(&settings->publish_key);
    list_finish(&settings->admin_key);
    list_finish(&settings->cors_origin);
    list_finish(&settings->trusted_proxy);
    list_finish(&settings->event_secret);
    list_finish(&settings->publish_key_file);
    list_finish(&settings->admin_key_file);
    list_finish(&settings->event_secret_file);
    free(settings->jwt_secret_file);
    free(settings->user);
    settings->jwt_secret_file = settings->user = NULL;
    free(settings->authorize_url);
    free(settings->event_url);
    settings->authorize_url = settings->event_url = NULL;
    list_finish(&settings->warnings);
    list_finish(&settings->topic_pattern);
    free(settings->store);
    free(settings->tls_cert);
    free(settings->tls_key);
    free(settings->config_file);
    forget(settings->jwt_secret);
    free(settings->jwt_public_key);
    free(settings->jwks);
    free(settings->jwt_issuer);
    free(settings->jwt_audience);
    settings->store = settings->tls_cert = settings->tls_key = settings->config_file = NULL;
    settings->jwt_secret = settings->jwt_public_key = settings->jwks = NULL;
    settings->jwt_issuer = settings->jwt_audience = NULL;
    settings->config.tls_cert = settings->config.tls_key = NULL;
    settings->config.public_hosts = NULL;
    settings->config.publish_keys = settings->config.admin_keys = settings->config.cors_origins = NULL;
    settings->config.trusted_proxies = settings->config.event_secrets = NULL;
    settings->config.authorize_url = settings->config.event_url = NULL;
    settings->config.store = NULL;
    settings->config.jwt_secret = settings->config.jwt_public_key = settings->config.jwks = NULL;
    settings->config.jwt_issuer = settings->config.jwt_audience = NULL;
    settings->config.topic_policies = NULL;
    settings->config.topic_policy_count = 0;
}

const char *settings_where(const struct settings *settings, const char *name, char *out, size_t size)
{
    struct reader reader = {.origin = SETTINGS_FLAG, .file = settings->config_file};
    char flag[SHOWN_MAX];
    const struct setting *row;
    size_t index;

    snprintf(flag, sizeof flag, "%s", name);
    for (char *p = flag; *p; p++)
        *p = *p == '_' ? '-' : *p;
    index = settings_row_index(flag, strlen(flag));
    row = settings_row(index);
    if (!row) {
        snprintf(out, size, "%s", name);
        return out;
    }
    if (settings->origin[index] != SETTINGS_DEFAULT)
        reader.origin = settings->origin[index];
    reader.line = settings->line[index];
    put_where(&reader, row, out, size);
    return out;
}

void settings_compare(const struct settings *running, const struct settings *wanted,
                      void (*changed)(void *user, const char *name), void *user)
{
    const struct setting *row;

    for (size_t i = 0; (row = settings_row(i)) != NULL; i++) {
        char before[SETTINGS_ERROR_MAX], after[SETTINGS_ERROR_MAX];
        if (row->reload || row->not_in_file)
            continue;
        settings_print_value(running, row, before, sizeof before);
        settings_print_value(wanted, row, after, sizeof after);
        if (strcmp(before, after) != 0)
            changed(user, row->name);
        if (row->secret) {
            explicit_bzero(before, sizeof before);
            explicit_bzero(after, sizeof after);
        }
    }
}
