/* SPDX-License-Identifier: MIT
 *
 * test_server_secrets - secrets from files, which of two sources counts, that no message repeats a secret,
 * and that what others can see of a process shows none.
 */
#include "secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "settings_reader.h"

#define FILES 4

static char *no_env[] = {NULL};

struct world {
    char path[FILES][64];
    char flag[FILES][128];
    struct settings settings;
    char error[SETTINGS_ERROR_MAX];
};

/* Writes a file and returns its name. */
static char *file(struct world *w, int i, const char *text, size_t len)
{
    int fd;

    snprintf(w->path[i], sizeof w->path[i], "/tmp/tidings-secrets-XXXXXX");
    fd = mkstemp(w->path[i]);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
    return w->path[i];
}

static char *flag(struct world *w, int i, const char *name, const char *text)
{
    snprintf(w->flag[i], sizeof w->flag[i], "--%s=%s", name, file(w, i, text, strlen(text)));
    return w->flag[i];
}

static int load(struct world *w, char *const *argv, char *const *env)
{
    int argc = 0;

    while (argv[argc])
        argc++;
    w->error[0] = '\0';
    return settings_load(&w->settings, argc, argv, env, w->error);
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct world));
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    settings_finish(&w->settings);
    for (int i = 0; i < FILES; i++)
        if (w->path[i][0])
            unlink(w->path[i]);
    free(w);
    return 0;
}

static void assert_list(const struct settings_list *list, const char *const *expected)
{
    size_t count = 0;

    for (; expected[count]; count++) {
        assert_true(count < list->count);
        assert_string_equal(list->items[count], expected[count]);
    }
    assert_int_equal(list->count, count);
}
#define ASSERT_LIST(list, ...) assert_list(&(list), (const char *const[]){__VA_ARGS__, NULL})

/* ---- files ---- */

static void test_every_secret_can_be_in_a_file(void **state)
{
    struct world *w = *state;
    char *argv[] = {flag(w, 0, "publish-key-file", "one\n\ntwo\r\nthree"),
                    flag(w, 1, "admin-key-file", "admin\n"),
                    flag(w, 2, "jwt-secret-file", " a secret with spaces \n"),
                    flag(w, 3, "event-secret-file", "old, and its comma\nnew\n"), NULL};

    assert_int_equal(load(w, argv, no_env), 0);
    ASSERT_LIST(w->settings.publish_key, "one", "two", "three");
    ASSERT_LIST(w->settings.admin_key, "admin");
    ASSERT_LIST(w->settings.event_secret, "old, and its comma", "new");
    assert_string_equal(w->settings.jwt_secret, " a secret with spaces ");
    assert_string_equal(w->settings.config.publish_keys[2], "three");
    assert_string_equal(w->settings.config.jwt_secret, " a secret with spaces ");
    assert_int_equal(w->settings.warnings.count, 0);
}

static void test_several_files_and_all_sources(void **state)
{
    struct world *w = *state;
    char variable[192], line[192];
    char *argv[] = {"--config", NULL, NULL}, *env[] = {variable, NULL};

    snprintf(variable, sizeof variable, "TIDINGS_PUBLISH_KEY_FILE=%s,%s", file(w, 0, "one", 3),
             file(w, 1, "two\n", 4));
    snprintf(line, sizeof line, "admin-key-file = %s\n", file(w, 2, "three\n", 6));
    argv[1] = file(w, 3, line, strlen(line));
    assert_int_equal(load(w, argv, env), 0);
    ASSERT_LIST(w->settings.publish_key, "one", "two");
    ASSERT_LIST(w->settings.admin_key, "three");
}

static void test_one_source_gives_both(void **state)
{
    struct world *w = *state;
    char *argv[] = {"--publish-key", "argument", flag(w, 0, "publish-key-file", "one\n"), NULL};

    assert_int_equal(load(w, argv, no_env), 0);
    ASSERT_LIST(w->settings.publish_key, "argument", "one");
}

static void test_the_stronger_source_counts(void **state)
{
    struct world *w = *state;
    char variable[128];
    char *file_flag[] = {flag(w, 0, "publish-key-file", "one\n"),
                         flag(w, 1, "jwt-secret-file", "of the file\n"), NULL};
    char *weak[] = {"TIDINGS_PUBLISH_KEY=weak", "TIDINGS_JWT_SECRET=weak", NULL};
    char *key_flag[] = {"--publish-key=strong", "--jwt-secret=strong", NULL};
    char *file_env[] = {variable, "TIDINGS_JWT_SECRET_FILE=/nowhere/at/all", NULL};

    assert_int_equal(load(w, file_flag, weak), 0);
    ASSERT_LIST(w->settings.publish_key, "one");
    assert_string_equal(w->settings.jwt_secret, "of the file");
    settings_finish(&w->settings);
    snprintf(variable, sizeof variable, "TIDINGS_PUBLISH_KEY_FILE=%s", w->path[0]);
    assert_int_equal(load(w, key_flag, file_env), 0);
    ASSERT_LIST(w->settings.publish_key, "strong");
    assert_string_equal(w->settings.jwt_secret, "strong");
}

static void test_where_a_secret_came_from(void **state)
{
    struct world *w = *state;
    char *argv[] = {flag(w, 0, "publish-key-file", "one\n"), NULL};
    char where[64];

    assert_int_equal(load(w, argv, no_env), 0);
    assert_string_equal(settings_where(&w->settings, "publish_key", where, sizeof where), "--publish-key");
}

static void test_who_else_may_read(void **state)
{
    struct world *w = *state;
    char *argv[] = {flag(w, 0, "publish-key-file", "one\n"), NULL};

    assert_int_equal(chmod(w->path[0], 0644), 0);
    assert_int_equal(load(w, argv, no_env), 0);
    assert_int_equal(w->settings.warnings.count, 1);
    assert_non_null(strstr(w->settings.warnings.items[0], w->path[0]));
    assert_non_null(strstr(w->settings.warnings.items[0], "everybody on this machine may read it"));
}

/* ---- what is wrong ---- */

static void assert_wrong(struct world *w, char *argument, const char *expected)
{
    char *argv[] = {argument, NULL};

    assert_int_equal(load(w, argv, no_env), -1);
    settings_finish(&w->settings);
    if (!strstr(w->error, expected))
        fail_msg("\"%s\" does not say \"%s\"", w->error, expected);
    assert_null(strstr(w->error, "hidden"));
    assert_null(strchr(w->error, '\n'));
    for (int i = 0; i < FILES; i++) {
        if (w->path[i][0])
            unlink(w->path[i]);
        w->path[i][0] = '\0';
    }
}

static void test_wrong_files(void **state)
{
    struct world *w = *state;
    char name[SECRET_LINE_MAX + 8], *big = malloc(SECRET_FILE_MAX + 8);

    assert_non_null(big);
    assert_wrong(w, "--publish-key-file=/nowhere/at/all",
                 "--publish-key-file: cannot read /nowhere/at/all: No such file");
    assert_wrong(w, "--jwt-secret-file=/tmp", "--jwt-secret-file: cannot read /tmp: not a regular file");
    assert_wrong(w, "--jwt-secret-file=/dev/zero", "not a regular file");
    assert_wrong(w, "--jwt-secret-file=", "--jwt-secret-file: ");
    assert_wrong(w, flag(w, 0, "admin-key-file", "\n\r\n"), "there is nothing in /tmp/tidings-secrets-");
    assert_wrong(w, flag(w, 0, "admin-key-file", "fine\nhidden hidden\n"),
                 ":2: cannot be a value of admin-key");
    assert_wrong(w, flag(w, 0, "jwt-secret-file", "hidden\nhidden\n"), ":2: a second jwt-secret");
    memset(name, 'h', sizeof name);
    name[SECRET_LINE_MAX + 1] = '\0';
    assert_wrong(w, flag(w, 0, "event-secret-file", name), ":1: longer than 4096 bytes");
    memset(big, '\n', SECRET_FILE_MAX + 7);
    big[SECRET_FILE_MAX + 1] = '\0';
    assert_wrong(w, flag(w, 0, "event-secret-file", big), "longer than 64 KiB");
    snprintf(w->flag[0], sizeof w->flag[0], "--jwt-secret-file=%s", file(w, 0, "hid\0den", 7));
    assert_wrong(w, w->flag[0], "a NUL byte");
    free(big);
}

static void test_one_secret_twice(void **state)
{
    struct world *w = *state;
    char *argv[] = {flag(w, 0, "jwt-secret-file", "hidden\n"), "--jwt-secret=hidden", NULL};

    assert_int_equal(load(w, argv, no_env), -1);
    assert_string_equal(w->error, "--jwt-secret-file: jwt-secret is given, too; give one of them");
}

static void test_too_many(void **state)
{
    struct world *w = *state;
    char text[4 * (SETTINGS_LIST_MAX + 2)] = "";

    for (int i = 0; i <= SETTINGS_LIST_MAX; i++)
        strcat(text, "k\n");
    assert_wrong(w, flag(w, 0, "publish-key-file", text), "more than 64 values");
}

/* ---- what others see ---- */

static void test_arguments_are_covered(void **state)
{
    struct sources own;
    char texts[][32] = {
        "--publish-key", "alpha",           "--admin-key=beta", "--jwt-secret", "gamma",        "--listen",
        "alpha:1",       "--event-secret=", "--publish-key",    "--insecure",   "--publish-key"};
    enum { COUNT = sizeof texts / sizeof *texts };
    static const char *const shown[] = {
        "--publish-key", "xxxxx",           "--admin-key=xxxx", "--jwt-secret", "xxxxx",        "--listen",
        "alpha:1",       "--event-secret=", "--publish-key",    "--insecure",   "--publish-key"};
    char *argv[COUNT + 1] = {NULL}, *env[] = {NULL};

    (void)state;
    for (int i = 0; i < COUNT; i++)
        argv[i] = texts[i];
    assert_int_equal(secrets_take(&own, COUNT, argv, env), 0);
    for (int i = 0; i < COUNT; i++)
        assert_string_equal(argv[i], shown[i]);
    assert_int_equal(own.argc, COUNT);
    assert_string_equal(own.argv[1], "alpha");
    assert_string_equal(own.argv[2], "--admin-key=beta");
    assert_string_equal(own.argv[4], "gamma");
    assert_null(own.argv[COUNT]);
    secrets_finish(&own);
}

static void test_passwords_of_urls_are_covered(void **state)
{
    struct sources own;
    char texts[][64] = {"--event-url", "http://me:secret@127.0.0.1:1/a@b", "--authorize-url=https://me@host/",
                        "--authorize-url=http://host/x@y"};
    char variable[] = "TIDINGS_EVENT_URL=http://a:b@c";
    char *argv[] = {texts[0], texts[1], texts[2], texts[3], NULL}, *env[] = {variable, NULL};

    (void)state;
    assert_int_equal(secrets_take(&own, 4, argv, env), 0);
    assert_string_equal(texts[1], "http://xxxxxxxxx@127.0.0.1:1/a@b");
    assert_string_equal(texts[2], "--authorize-url=https://xx@host/");
    assert_string_equal(texts[3], "--authorize-url=http://host/x@y");
    assert_string_equal(variable, "TIDINGS_EVENT_URL=http://xxx@c");
    assert_string_equal(own.argv[1], "http://me:secret@127.0.0.1:1/a@b");
    secrets_finish(&own);
}

static void test_environment_is_covered(void **state)
{
    struct sources own;
    char texts[][48] = {"PATH=/bin",
                        "TIDINGS_PUBLISH_KEY=alpha,beta",
                        "TIDINGS_JWT_SECRET=gamma",
                        "TIDINGS_PUBLISH_KEY_FILE=/etc/keys",
                        "TIDINGS_LISTEN=:1",
                        "TIDINGS_WHAT=ever",
                        "TIDINGS",
                        "TIDINGS_KEY=delta",
                        "TIDINGS_TOKEN=epsilon",
                        "TIDINGS_KEY_FILE=/etc/key"};
    enum { COUNT = sizeof texts / sizeof *texts };
    char *env[COUNT + 1] = {NULL}, *argv[] = {NULL};

    (void)state;
    for (int i = 0; i < COUNT; i++)
        env[i] = texts[i];
    assert_int_equal(secrets_take(&own, 0, argv, env), 0);
    assert_string_equal(texts[0], "PATH=/bin");
    assert_string_equal(texts[1], "TIDINGS_PUBLISH_KEY=xxxxxxxxxx");
    assert_string_equal(texts[2], "TIDINGS_JWT_SECRET=xxxxx");
    assert_string_equal(texts[3], "TIDINGS_PUBLISH_KEY_FILE=/etc/keys");
    assert_string_equal(texts[4], "TIDINGS_LISTEN=:1");
    assert_string_equal(own.env[0], "TIDINGS_PUBLISH_KEY=alpha,beta");
    assert_string_equal(own.env[1], "TIDINGS_JWT_SECRET=gamma");
    assert_string_equal(own.env[4], "TIDINGS_WHAT=ever");
    assert_null(own.env[8]);
    assert_string_equal(texts[7], "TIDINGS_KEY=xxxxx"); /* of client commands in the same shell */
    assert_string_equal(texts[8], "TIDINGS_TOKEN=xxxxxxx");
    assert_string_equal(texts[9], "TIDINGS_KEY_FILE=/etc/key");
    secrets_finish(&own);
}

/* A secret whose row forgets to say so would stay in the arguments. */
static void test_the_table_knows_its_secrets(void **state)
{
    size_t secrets = 0, files = 0;

    (void)state;
    for (size_t i = 0; settings_row(i); i++) {
        const struct setting *row = settings_row(i);
        bool looks_so = row->form && (strcmp(row->form, "KEY") == 0 || strcmp(row->form, "SECRET") == 0);
        assert_int_equal(row->secret, looks_so);
        secrets += row->secret;
        if (!row->file_of)
            continue;
        const struct setting *twin = settings_row(settings_row_index(row->file_of, strlen(row->file_of)));
        assert_true(twin && twin->secret && twin->kind == row->kind && twin->reload == row->reload);
        files++;
    }
    assert_int_equal(secrets, 4);
    assert_int_equal(files, secrets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_secret_can_be_in_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_files_and_all_sources, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_source_gives_both, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_stronger_source_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_where_a_secret_came_from, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_else_may_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_secret_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test(test_arguments_are_covered),
        cmocka_unit_test(test_environment_is_covered),
        cmocka_unit_test(test_passwords_of_urls_are_covered),
        cmocka_unit_test(test_the_table_knows_its_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
