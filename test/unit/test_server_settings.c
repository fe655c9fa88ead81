/* SPDX-License-Identifier: MIT
 *
 * test_server_settings - the table read from flags, environment and file, which source wins, and that
 * everything wrong is named.
 */
#include "settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "settings_table.h"

static char *no_env[] = {NULL};

/* Writes a file and returns the flag that names it. */
static char *config_flag(const char *text)
{
    static char flag[64];
    char path[] = "/tmp/tidings-settings-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    snprintf(flag, sizeof flag, "--config=%s", path);
    return flag;
}

static void remove_config(const char *flag)
{
    unlink(strchr(flag, '=') + 1);
}

/* Loads one flag; the message, or NULL if it was fine. */
static const char *complaint(char *flag, char *value)
{
    static char error[SETTINGS_ERROR_MAX];
    char *argv[] = {flag, value, NULL};
    struct settings settings;
    int result = settings_load(&settings, value ? 2 : 1, argv, no_env, error);

    settings_finish(&settings);
    return result < 0 ? error : NULL;
}

static void assert_complaint(char *flag, char *value, const char *expected)
{
    const char *text = complaint(flag, value);

    assert_non_null(text);
    if (!strstr(text, expected))
        fail_msg("\"%s\" does not say \"%s\"", text, expected);
    assert_null(strchr(text, '\n'));
}

static void test_defaults(void **state)
{
    struct settings settings;
    struct tidings_config config;
    char error[SETTINGS_ERROR_MAX];

    (void)state;
    assert_int_equal(settings_load(&settings, 0, no_env, no_env, error), 0);
    tidings_config_init(&config);
    assert_int_equal(settings.config.heartbeat, config.heartbeat);
    assert_int_equal(settings.config.history_total_bytes, config.history_total_bytes);
    assert_int_equal(settings.listen.count, 1);
    assert_string_equal(settings.listen.items[0], "127.0.0.1:3000");
    assert_int_equal(settings.drain_time, 10000);
    assert_int_equal(settings.log_level, TIDINGS_LOG_INFO);
    assert_null(settings.config.public_hosts);
    assert_null(settings.config.topic_policies);
    assert_null(settings.config.store);
    settings_finish(&settings);
}

static void test_precedence(void **state)
{
    char *flag = config_flag("heartbeat = 1s\nretry = 1s\nmax-body = 1KiB ; why\nlisten=127.0.0.1:1\n# no\n"
                             "listen=127.0.0.1:2\n");
    char *argv[] = {flag, "--heartbeat", "3s", "--public-host=a", "--public-host", "b", NULL};
    char *env[] = {"TIDINGS_HEARTBEAT=2s",
                   "TIDINGS_RETRY=2s",
                   "TIDINGS_LISTEN=127.0.0.1:3, [::1]:4",
                   "HOME=/",
                   "TIDINGS_URL=x",
                   "TIDINGS_KEY=secret",
                   "TIDINGS_NONSENSE=1",
                   NULL};
    struct settings settings;
    char error[SETTINGS_ERROR_MAX] = "";

    (void)state;
    assert_int_equal(settings_load(&settings, 6, argv, env, error), 0);
    assert_int_equal(settings.config.heartbeat, 3000);
    assert_int_equal(settings.config.retry, 2000);
    assert_int_equal(settings.config.max_body, 1024);
    assert_int_equal(settings.listen.count, 2);
    assert_string_equal(settings.listen.items[0], "127.0.0.1:3");
    assert_string_equal(settings.listen.items[1], "[::1]:4");
    assert_string_equal(settings.config.public_hosts[1], "b");
    assert_null(settings.config.public_hosts[2]);
    assert_int_equal(settings.warnings.count, 1);
    assert_non_null(strstr(settings.warnings.items[0], "TIDINGS_NONSENSE"));
    settings_finish(&settings);
    remove_config(flag);
}

static void test_forms_of_flags(void **state)
{
    struct settings settings;
    char *argv[] = {"--insecure",
                    "--max-connections=auto",
                    "--max-topics",
                    "0",
                    "--slow-reader=disconnect",
                    "--log-level",
                    "debug",
                    NULL};
    char *off[] = {"--insecure=false", NULL};
    char error[SETTINGS_ERROR_MAX];

    (void)state;
    assert_int_equal(settings_load(&settings, 7, argv, no_env, error), 0);
    assert_true(settings.config.insecure);
    assert_int_equal(settings.config.max_connections, TIDINGS_AUTO);
    assert_int_equal(settings.config.max_topics, 0);
    assert_int_equal(settings.config.slow_reader, TIDINGS_SLOW_DISCONNECT);
    assert_int_equal(settings.log_level, TIDINGS_LOG_DEBUG);
    settings_finish(&settings);
    assert_int_equal(settings_load(&settings, 1, off, no_env, error), 0);
    assert_false(settings.config.insecure);
    settings_finish(&settings);
}

static void test_wrong_flags(void **state)
{
    (void)state;
    assert_complaint("--heartbeat", "1.5s", "--heartbeat: \"1.5s\" is not a duration");
    assert_complaint("--heartbeat=", NULL, "--heartbeat: \"\" is not a duration");
    assert_complaint("--retry=0", NULL, "--retry: 0 is out of range, it can be 1ms to 24h");
    assert_complaint("--max-request-line=63", NULL, "64 to 1MiB");
    assert_complaint("--loops", "65", "1 to 64");
    assert_complaint("--max-topics", "-1", "--max-topics: \"-1\" is not a whole number");
    assert_complaint("--insecure=maybe", NULL, "--insecure: \"maybe\" is not true or false");
    assert_complaint("--slow-reader", "wait", "\"wait\" is not resync or disconnect");
    assert_complaint("--listen", "--insecure", "--listen: needs a value");
    assert_complaint("--listen", "example.com:80", "--listen: \"example.com:80\" is not an address");
    assert_complaint("--public-host", "a/b", "--public-host:");
    assert_complaint("--config", "/does/not/exist", "--config: cannot read /does/not/exist");
    assert_complaint("--publish-keys=secret", NULL, "--publish-keys: unknown flag");
    assert_null(strstr(complaint("--publish-keys=secret", NULL), "secret"));
    assert_complaint("--admin-key=se cret", NULL, "--admin-key: not 1 to 512 bytes");
    assert_null(strstr(complaint("--admin-key=se cret", NULL), "cret"));
    assert_complaint("--cors-origin", "*", "\"*\" is not an origin such as https://app.example.com");
    assert_complaint("--cors-origin", "https://app.example.com/", "no path");
    assert_complaint("--anonymous=maybe", NULL, "\"maybe\" is not true, false or auto");
    assert_complaint("--store", "postgres:x",
                     "--store: \"postgres:x\" is not memory or a file such as sqlite:");
    assert_complaint("--store=sqlite:", NULL, "--store: \"sqlite:\" is not");
    assert_complaint("--store=", NULL, "--store: \"\" is not");
    assert_complaint("--store-sync=off", NULL, "--store-sync: \"off\" is not normal or full");
    assert_complaint("--idempotency-window=999ms", NULL, "it can be 1s to 168h");
    assert_complaint("--idempotency-keys=0", NULL, "it can be 1 to 10000000");
    assert_complaint("--publish-timeout=25h", NULL, "it can be 0 to 24h");
    assert_complaint("--latest-only", NULL, "--latest-only: unknown flag");
    assert_complaint("3000", NULL, "3000: unknown argument");
    assert_complaint("--heartbeat", "a\nb\x1b", "\"a?b?\"");
}

static void test_wrong_environment(void **state)
{
    char *env[] = {"TIDINGS_MAX_BODY=2GB", NULL}, *hidden[] = {"TIDINGS_RETRY=x", NULL};
    char *argv[] = {"--retry=1s", NULL};
    struct settings settings;
    char error[SETTINGS_ERROR_MAX];

    (void)state;
    assert_int_equal(settings_load(&settings, 0, no_env, env, error), -1);
    assert_non_null(strstr(error, "TIDINGS_MAX_BODY: \"2GB\" is not a size"));
    settings_finish(&settings);
    /* Also when a flag hides it. */
    assert_int_equal(settings_load(&settings, 1, argv, hidden, error), -1);
    assert_non_null(strstr(error, "TIDINGS_RETRY: "));
    settings_finish(&settings);
}

static void test_wrong_files(void **state)
{
    static const struct {
        const char *text, *expected;
    } files[] = {
        {"retry=1s\nretry=2s\n", ":2: retry: already set in line 1"},
        {"retry=1s\nwhat\nloops=0\n", ":2: not of the form"},
        {"secret-key = 1\n", ":1: secret-key: no setting has this name"},
        {"# c\n; c\nretry = soon\n", ":3: retry: \"soon\" is not a duration"},
        {"config = x\n", ":1: config: cannot be set in a file"},
        {"check-config = true\n", "cannot be set in a file"},
    };
    char long_line[400];

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *flag = config_flag(files[i].text);
        assert_complaint(flag, NULL, files[i].expected);
        remove_config(flag);
    }
    memset(long_line, 'x', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = '\0';
    memcpy(long_line, "listen=", 7);
    char *flag = config_flag(long_line);
    assert_complaint(flag, NULL, ":1: the line is too long");
    remove_config(flag);
}

/* Loads a file with this text; the caller finishes settings. */
static void load_file(struct settings *settings, const char *text)
{
    char *flag = config_flag(text), *argv[] = {flag, NULL}, error[SETTINGS_ERROR_MAX] = "";

    if (settings_load(settings, 1, argv, no_env, error) < 0)
        fail_msg("%s", error);
    remove_config(flag);
}

static void test_store(void **state)
{
    char *argv[] = {"--store=memory", "--store-sync=full", NULL};
    struct settings settings;
    char error[SETTINGS_ERROR_MAX];

    (void)state;
    load_file(&settings, "store = sqlite:/var/lib/t.db ; here\nstore-sync = full\nidempotency-window = 1h\n"
                         "idempotency-keys = 7\npublish-timeout = 0\n");
    assert_string_equal(settings.config.store, "sqlite:/var/lib/t.db");
    assert_int_equal(settings.config.store_sync, TIDINGS_SYNC_FULL);
    assert_int_equal(settings.config.idempotency_window, 3600000);
    assert_int_equal(settings.config.idempotency_keys, 7);
    assert_int_equal(settings.config.publish_timeout, 0);
    settings_finish(&settings);
    assert_null(settings.config.store);
    assert_int_equal(settings_load(&settings, 2, argv, no_env, error), 0);
    assert_string_equal(settings.config.store, "memory");
    settings_finish(&settings);
}

static void assert_policy(const struct settings *settings, size_t i,
                          const struct tidings_topic_policy *expected)
{
    const struct tidings_topic_policy *policy = &settings->config.topic_policies[i];

    assert_string_equal(policy->pattern, expected->pattern);
    assert_int_equal(policy->history_size, expected->history_size);
    assert_int_equal(policy->history_bytes, expected->history_bytes);
    assert_int_equal(policy->history_ttl, expected->history_ttl);
    assert_int_equal(policy->latest_only, expected->latest_only);
}

static void test_topics(void **state)
{
    static const struct tidings_topic_policy expected[] = {
        {"prices.*", TIDINGS_AUTO, TIDINGS_AUTO, 3600000, true},
        {"chat.lobby", 5000, 4u << 20, TIDINGS_AUTO, false},
        {"a [b]; c*", 1, TIDINGS_AUTO, 0, true},
        {"empty", TIDINGS_AUTO, TIDINGS_AUTO, TIDINGS_AUTO, false},
    };
    struct settings settings;

    (void)state;
    load_file(&settings, "history-size = 1000\n\n[topic prices.*]\nlatest-only = true\nhistory-ttl = 1h\n\n"
                         "  [ topic\tchat.lobby ] ; what everybody reads\r\n"
                         "  history-size = 5000\r\n\thistory-bytes = 4MiB\r\n"
                         "[topic a [b]; c*]\nlatest-only=yes\nhistory-size=1\nhistory-ttl=0\n[topic empty]");
    assert_int_equal(settings.config.history_size, 1000);
    assert_int_equal(settings.config.topic_policy_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_policy(&settings, i, &expected[i]);
    settings_finish(&settings);
    assert_null(settings.config.topic_policies);
    assert_int_equal(settings.config.topic_policy_count, 0);
}

/* libinih alone would cut such names at 50 bytes, and take them for twins. */
static void test_long_topics(void **state)
{
    char text[1024], topic[TIDINGS_TOPIC_MAX + 1];
    struct settings settings;

    (void)state;
    memset(topic, 'x', TIDINGS_TOPIC_MAX);
    topic[TIDINGS_TOPIC_MAX] = '\0';
    snprintf(text, sizeof text, "[topic %s]\nhistory-size=1\n[topic %.255s*]\nhistory-size=2\n", topic,
             topic);
    load_file(&settings, text);
    assert_int_equal(settings.config.topic_policy_count, 2);
    assert_string_equal(settings.config.topic_policies[0].pattern, topic);
    assert_int_equal(strlen(settings.config.topic_policies[1].pattern), TIDINGS_TOPIC_MAX);
    assert_int_equal(settings.config.topic_policies[1].history_size, 2);
    settings_finish(&settings);
    snprintf(text, sizeof text, "[topic %sx]\n", topic);
    char *flag = config_flag(text);
    assert_complaint(flag, NULL, "xxx: not a topic, or the beginning of topics");
    remove_config(flag);
}

static void test_wrong_topics(void **state)
{
    static const struct {
        const char *text, *expected;
    } files[] = {
        {"\n[hub]\nretry=1s\n", ":2: hub: there are no sections but `[topic PATTERN]`"},
        {"[topics a]\n", ":1: topics a: there are no sections but"},
        {"[client a]\n", ":1: client a: there are no sections but"},
        {"[]\n", ":1: not of the form `[topic PATTERN]`"},
        {"[topic a\n", ":1: not of the form `[topic PATTERN]`"},
        {"[topic a] b\n", ":1: not of the form `[topic PATTERN]`"},
        {"[topic a] # b\n", ":1: not of the form `[topic PATTERN]`"},
        {"[topic]\n", ":1: [topic] needs a topic"},
        {"[topic  ]\n", ":1: [topic] needs a topic"},
        {"[topic a*b]\n", ":1: a*b: not a topic, or the beginning of topics with a final *"},
        {"[topic **]\n", ":1: **: not a topic"},
        {"[topic a\xff]\n", ":1: a?: not a topic"},
        {"[topic a\x1b]\n", ":1: a?: not a topic"},
        {"[topic a]\n[topic b]\n[topic  a]\n", ":3: a: already described in line 1"},
        {"[topic a]\nretry = 1s\n", ":2: retry: not for topics; general settings come before"},
        {"[topic a]\nsize = 1\n", ":2: size: no setting of topics has this name"},
        {"[topic a]\nhistory-total-bytes = 1\n", ":2: history-total-bytes: not for topics"},
        {"latest-only = true\n", ":1: latest-only: only for topics, in a section"},
        {"[topic a]\nhistory-ttl=1\n\nhistory-ttl=1\n", ":4: history-ttl: already set in line 2"},
        {"[topic a]\nhistory-size = many\n", ":2: history-size: \"many\" is not a whole number"},
        {"[topic a]\nhistory-size = auto\n", ":2: history-size: \"auto\" is not a whole number"},
        {"[topic a]\nhistory-size = 10000001\n",
         ":2: history-size: 10000001 is out of range, it can be 0 to"},
        {"[topic a]\nhistory-bytes = 2000MiB\n", ":2: history-bytes: 2000MiB is out of range"},
        {"[topic a]\nhistory-ttl = 577h\n", ":2: history-ttl: 577h is out of range, it can be 0 to 576h"},
        {"[topic a]\nlatest-only = maybe\n", ":2: latest-only: \"maybe\" is not true or false"},
        {"[topic a]\nlatest-only = true\nhistory-size = 2\n",
         ":3: history-size: latest-only keeps one event"},
        {"[topic a]\nhistory-size = 0\nlatest-only = true\n", ":3: latest-only: latest-only keeps one event"},
        {"[topic a]\nlatest-only\n", ":2: not of the form `name = value`"},
        {"[topic a]\nwhat\n[topic b*c]\n", ":2: not of the form `name = value`"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *flag = config_flag(files[i].text);
        assert_complaint(flag, NULL, files[i].expected);
        remove_config(flag);
    }
}

static void test_number_of_topics(void **state)
{
    char text[4096];
    size_t used = 0;
    struct settings settings;

    (void)state;
    for (unsigned i = 0; i < TIDINGS_TOPIC_POLICIES_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "[topic t%u]\n", i);
    load_file(&settings, text);
    assert_int_equal(settings.config.topic_policy_count, TIDINGS_TOPIC_POLICIES_MAX);
    assert_string_equal(settings.config.topic_policies[63].pattern, "t63");
    settings_finish(&settings);
    snprintf(text + used, sizeof text - used, "[topic one.more]\n");
    char *flag = config_flag(text);
    assert_complaint(flag, NULL, ":65: more than 64 sections");
    remove_config(flag);
}

/* What libinih would take for more of the line before. */
static void test_indented_lines(void **state)
{
    struct settings settings;

    (void)state;
    load_file(&settings, "\xef\xbb\xbf  retry = 1s\n\theartbeat = 2s\n  # why\n  listen = [::1]:1\n");
    assert_int_equal(settings.config.retry, 1000);
    assert_int_equal(settings.config.heartbeat, 2000);
    assert_int_equal(settings.listen.count, 1);
    settings_finish(&settings);
    char *flag = config_flag("listen = [::1]:1\n  [::1]:2\n");
    assert_complaint(flag, NULL, ":2: not of the form `[topic PATTERN]`");
    remove_config(flag);
}

static void count_changed(void *user, const char *name)
{
    char *names = user;

    size_t used = strlen(names);

    snprintf(names + used, 256 - used, "%s ", name);
}

static void test_compare(void **state)
{
    char *argv[] = {"--loops=3",
                    "--heartbeat=1s",
                    "--listen=[::1]:1",
                    "--store=sqlite:t.db",
                    "--publish-timeout=1s",
                    "--store-sync=full",
                    NULL};
    char *memory[] = {"--store=memory", NULL};
    struct settings before, after;
    char error[SETTINGS_ERROR_MAX], names[256] = "";

    (void)state;
    assert_int_equal(settings_load(&before, 0, no_env, no_env, error), 0);
    assert_int_equal(settings_load(&after, 6, argv, no_env, error), 0);
    settings_compare(&before, &after, count_changed, names);
    assert_string_equal(names, "listen loops store store-sync ");
    settings_finish(&after);
    /* Saying what was meant anyway changes nothing. */
    assert_int_equal(settings_load(&after, 1, memory, no_env, error), 0);
    names[0] = '\0';
    settings_compare(&before, &after, count_changed, names);
    assert_string_equal(names, "");
    settings_finish(&before);
    settings_finish(&after);
}

static void test_where(void **state)
{
    char *env[] = {"TIDINGS_MAX_CONNECTION_AGE=1h", NULL}, where[128], error[SETTINGS_ERROR_MAX];
    struct settings settings;

    (void)state;
    assert_int_equal(settings_load(&settings, 0, no_env, env, error), 0);
    assert_string_equal(settings_where(&settings, "max_connection_age", where, sizeof where),
                        "TIDINGS_MAX_CONNECTION_AGE");
    assert_string_equal(settings_where(&settings, "listen", where, sizeof where), "--listen");
    settings_finish(&settings);
}

/* Each row's default can be written as a flag, and is the same then. */
static void test_every_default_reads_back(void **state)
{
    struct settings defaults, again;
    char error[SETTINGS_ERROR_MAX], value[256], flag[400], value_again[256];
    char *argv[] = {flag, NULL};
    const struct setting *row;

    (void)state;
    assert_int_equal(settings_load(&defaults, 0, no_env, no_env, error), 0);
    for (size_t i = 0; (row = settings_row(i)) != NULL; i++) {
        assert_true(i < SETTINGS_MAX);
        settings_print_value(&defaults, row, value, sizeof value);
        if (!value[0])
            continue;
        snprintf(flag, sizeof flag, "--%s=%s", row->name, value);
        if (settings_load(&again, 1, argv, no_env, error) < 0)
            fail_msg("%s: %s", flag, error);
        settings_print_value(&again, row, value_again, sizeof value_again);
        assert_string_equal(value, value_again);
        settings_finish(&again);
    }
    settings_finish(&defaults);
}

static void read_whole(FILE *file, char *out, size_t size)
{
    size_t n;

    assert_non_null(file);
    n = fread(out, 1, size - 1, file);
    assert_true(n < size - 1);
    out[n] = '\0';
    fclose(file);
}

static void test_documentation_is_up_to_date(void **state)
{
    static char printed[65536], kept[65536];
    char path[1024];
    FILE *file = tmpfile();

    (void)state;
    assert_non_null(file);
    settings_print_markdown(file);
    rewind(file);
    read_whole(file, printed, sizeof printed);
    snprintf(path, sizeof path, "%s/../docs/settings.md", TEST_DIR);
    read_whole(fopen(path, "r"), kept, sizeof kept);
    if (strcmp(printed, kept) != 0)
        fail_msg("docs/settings.md is out of date: tidings serve --help-markdown > docs/settings.md");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_forms_of_flags),
        cmocka_unit_test(test_wrong_flags),
        cmocka_unit_test(test_wrong_environment),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_long_topics),
        cmocka_unit_test(test_wrong_topics),
        cmocka_unit_test(test_number_of_topics),
        cmocka_unit_test(test_indented_lines),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_every_default_reads_back),
        cmocka_unit_test(test_documentation_is_up_to_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
