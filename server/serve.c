/* SPDX-License-Identifier: MIT
 *
 * `tidings serve`: the hub as a process. The loops run in the library's threads; this one waits for signals.
 *
 *     start ── listen ──> serving ── SIGTERM, SIGINT ──> draining ── drained, time over, second signal ──>
 * stop │   ^ └───┘ SIGHUP: settings are read again
 *
 * Nothing is logged before all listeners are open, so that a start that is refused says exactly one line.
 * What the process may do is taken from it step by step meanwhile (seal.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <tidings.h>

#include "assets.h"
#include "command.h"
#include "logger.h"
#include "seal.h"
#include "secrets.h"
#include "settings.h"
#include "value.h"

#define URL_MAX     160
#define SHORT_KEY   16   /* bytes */
#define DRAIN_TURN  20   /* ms between looks at how far the drain is */
#define DRAIN_GRACE 2000 /* ms for the last bytes of the last stream; a busy machine needs some */

struct serve {
    struct sources sources;   /* from which settings are read */
    struct seal_user user;    /* who to become */
    struct settings *running; /* what the hub was started with; decides what "needs a restart" means */
    struct settings *current; /* the last that were applied: the same, or of the last reload */
    struct logger *log;
    struct tidings_hub *hub;
    char urls[SETTINGS_LIST_MAX][URL_MAX];
    sigset_t signals;
};

/* ------------------------------------------------------------------ settings */

static void on_log(void *user, const struct tidings_log_record *record)
{
    struct serve *serve = user;

    logger_record(serve->log, record);
}

static void release(struct settings *settings)
{
    if (!settings)
        return;
    settings_finish(settings);
    free(settings);
}

/* Reads the settings, ready for the hub; NULL with one line in error. */
static struct settings *read_settings(struct serve *serve, char *error)
{
    struct settings *settings = malloc(sizeof *settings);

    if (!settings) {
        snprintf(error, SETTINGS_ERROR_MAX, "out of memory");
        return NULL;
    }
    if (settings_load(settings, serve->sources.argc, serve->sources.argv, serve->sources.env, error) < 0) {
        release(settings);
        return NULL;
    }
    settings->config.user = serve;
    settings->config.log = on_log;
    return settings;
}

static void name_changed(void *user, const char *name)
{
    struct serve *serve = user;

    logger_say(serve->log, TIDINGS_LOG_WARN, "reload", "%s has changed: that needs a restart", name);
}

static void log_warnings(const struct serve *serve, const struct settings *settings)
{
    for (size_t i = 0; i < settings->warnings.count; i++)
        logger_say(serve->log, TIDINGS_LOG_WARN, "config", "%s", settings->warnings.items[i]);
}

static void reload(struct serve *serve)
{
    char error[SETTINGS_ERROR_MAX];
    struct settings *wanted = read_settings(serve, error);
    int result;

    if (!wanted) {
        logger_say(serve->log, TIDINGS_LOG_ERROR, "reload", "the old settings stay: %s", error);
        return;
    }
    result = tidings_hub_reconfigure(serve->hub, &wanted->config);
    if (result < 0) {
        logger_say(serve->log, TIDINGS_LOG_ERROR, "reload", "the old settings stay: %s",
                   tidings_strerror(result));
        release(wanted);
        return;
    }
    logger_set_level(serve->log, wanted->log_level);
    logger_say(serve->log, TIDINGS_LOG_INFO, "reload", "settings read again");
    log_warnings(serve, wanted);
    settings_compare(serve->running, wanted, name_changed, serve);
    if (serve->current != serve->running)
        release(serve->current);
    serve->current = wanted;
}

/* ------------------------------------------------------------------ start */

static int complain(const struct serve *serve, const char *what, int error)
{
    const char *text = error == TIDINGS_ESYSTEM ? strerror(errno) : tidings_strerror(error);

    logger_say(serve->log, TIDINGS_LOG_ERROR, "start", "%s: %s", what, text);
    return EXIT_FAILED;
}

static int listen_all(struct serve *serve)
{
    const struct settings_list *list = &serve->running->listen;

    for (size_t i = 0; i < list->count; i++) {
        char what[URL_MAX * 2];
        const char *hint = "";
        int result = tidings_hub_listen(serve->hub, list->items[i], serve->urls[i], URL_MAX);
        if (result == 0)
            continue;
        settings_where(serve->running, "listen", what, sizeof what);
        if (result == TIDINGS_EREFUSED)
            hint =
                "; set --publish-key and --admin-key, or give --insecure if everybody who can reach it may "
                "use it";
        if (result == TIDINGS_ECERTIFICATE)
            hint = "; give --tls-cert and --tls-key";
        logger_say(serve->log, TIDINGS_LOG_ERROR, "start", "%s %s: %s%s", what, list->items[i],
                   result == TIDINGS_ESYSTEM ? strerror(errno) : tidings_strerror(result), hint);
        return result == TIDINGS_EREFUSED || result == TIDINGS_EADDRESS || result == TIDINGS_ECERTIFICATE
                   ? EXIT_USAGE
                   : EXIT_FAILED;
    }
    return EXIT_FINE;
}

/* What a browser on this machine can open: "any address" is not something one can go to. */
static void put_openable(const char *url, char *out, size_t size)
{
    static const char any4[] = "//0.0.0.0:", any6[] = "//[::]:";
    const char *address = strstr(url, "//");
    int scheme = address ? (int)(address - url) : 0;

    if (address && strncmp(address, any4, sizeof any4 - 1) == 0)
        snprintf(out, size, "%.*s//127.0.0.1:%s", scheme, url, address + sizeof any4 - 1);
    else if (address && strncmp(address, any6, sizeof any6 - 1) == 0)
        snprintf(out, size, "%.*s//[::1]:%s", scheme, url, address + sizeof any6 - 1);
    else
        snprintf(out, size, "%s", url);
}

static void say_what_to_open(const struct serve *serve)
{
    char url[URL_MAX + 16];

    for (size_t i = 0; i < serve->running->listen.count; i++) {
        if (strncmp(serve->urls[i], "http", 4) != 0 || !assets_has("/client") || !assets_has("/admin"))
            continue;
        put_openable(serve->urls[i], url, sizeof url);
        logger_say(serve->log, TIDINGS_LOG_INFO, "open", "open %s/client and %s/admin", url, url);
        return;
    }
}

static void say_where_events_are_kept(const struct serve *serve)
{
    const struct tidings_config *config = &serve->running->config;

    if (!config->store || strcmp(config->store, "memory") == 0)
        return;
    logger_say(serve->log, TIDINGS_LOG_INFO, "store", "store: %s, sync %s", config->store,
               config->store_sync == TIDINGS_SYNC_FULL ? "full" : "normal");
}

static bool has_tokens(const struct settings *settings)
{
    return settings->jwt_secret || settings->jwt_public_key || settings->jwks;
}

static bool has_credentials(const struct settings *settings)
{
    return settings->publish_key.count + settings->admin_key.count > 0 || has_tokens(settings);
}

static bool is_anonymous(const struct settings *settings)
{
    return settings->config.anonymous == TIDINGS_AUTO ? !has_tokens(settings) && !settings->authorize_url
                                                      : settings->config.anonymous;
}

static size_t count_short(const struct settings_list *keys)
{
    size_t count = 0;

    for (size_t i = 0; i < keys->count; i++)
        count += strlen(keys->items[i]) < SHORT_KEY;
    return count;
}

static const char *who_subscribes(const struct settings *settings)
{
    if (settings->authorize_url)
        return "your application says who may subscribe, unless he brings credentials of the hub";
    return is_anonymous(settings) ? "anybody may subscribe, as any client" : "subscribers need credentials";
}

static void say_credentials(const struct serve *serve)
{
    const struct settings *settings = serve->running;
    size_t shorts = count_short(&settings->publish_key) + count_short(&settings->admin_key);

    logger_say(serve->log, TIDINGS_LOG_INFO, "credentials",
               "credentials: %zu publish keys, %zu admin keys%s; %s", settings->publish_key.count,
               settings->admin_key.count, has_tokens(settings) ? ", tokens" : "", who_subscribes(settings));
    if (settings->admin_key.count == 0 && !has_tokens(settings))
        logger_say(serve->log, TIDINGS_LOG_WARN, "credentials",
                   "no admin key: lists, history and the dashboard are closed to everybody");
    if (shorts > 0)
        logger_say(
            serve->log, TIDINGS_LOG_WARN, "credentials",
            "%zu keys are shorter than %d bytes and may be guessed; openssl rand -hex 32 makes good ones",
            shorts, SHORT_KEY);
}

static void say_who_it_is(const struct serve *serve)
{
    if (geteuid() == 0)
        logger_say(serve->log, TIDINGS_LOG_WARN, "user",
                   "running as root: a hub needs no such rights; --user NAME gives them up when all sockets "
                   "are open");
    else if (serve->user.given)
        logger_say(serve->log, TIDINGS_LOG_INFO, "user", "running as %s", serve->user.name);
}

static void greet(const struct serve *serve)
{
    for (size_t i = 0; i < serve->running->listen.count; i++)
        logger_announce(serve->log, "listen", "listening on %s", serve->urls[i]);
    log_warnings(serve, serve->running);
    say_who_it_is(serve);
    if (has_credentials(serve->running))
        say_credentials(serve);
    else if (serve->running->config.insecure)
        logger_say(serve->log, TIDINGS_LOG_WARN, "insecure",
                   "no credentials configured and --insecure given: whoever reaches this hub may publish; "
                   "names other than loopback ones need --public-host");
    else
        logger_say(serve->log, TIDINGS_LOG_INFO, "loopback",
                   "no credentials configured: serving loopback only");
    say_where_events_are_kept(serve);
    say_what_to_open(serve);
}

static int complain_of_user(const struct serve *serve, const char *error)
{
    logger_say(serve->log, TIDINGS_LOG_ERROR, "start", "--user: %s", error);
    return EXIT_FAILED;
}

/* Where the hub will have to make and remove files as its user, long after it could as root. */
static int check_places(const struct serve *serve, char *error)
{
    static const char sqlite[] = "sqlite:", local[] = "unix:";
    const char *store = serve->running->store;
    const struct settings_list *listen = &serve->running->listen;

    if (!serve->user.given)
        return 0;
    if (store && strncmp(store, sqlite, sizeof sqlite - 1) == 0 &&
        seal_check_place(&serve->user, store + sizeof sqlite - 1, error) < 0)
        return -1;
    for (size_t i = 0; i < listen->count; i++)
        if (strncmp(listen->items[i], local, sizeof local - 1) == 0 &&
            seal_check_place(&serve->user, listen->items[i] + sizeof local - 1, error) < 0)
            return -1;
    return 0;
}

static int start_hub(struct serve *serve)
{
    char error[SEAL_ERROR_MAX];
    int result = tidings_hub_create(&serve->hub, &serve->running->config);

    if (result == TIDINGS_ESTORE)
        return EXIT_FAILED; /* the hub has said what is wrong with the store */
    if (result == TIDINGS_ECERTIFICATE || result == TIDINGS_ECREDENTIALS)
        return EXIT_USAGE; /* and with which file */
    if (result < 0)
        return complain(serve, "cannot create the hub", result);
    result = assets_add(serve->hub);
    if (result < 0)
        return complain(serve, "cannot add the pages", result);
    result = listen_all(serve);
    if (result != EXIT_FINE)
        return result;
    if (seal_bound(&serve->user, error) < 0 || check_places(serve, error) < 0)
        return complain_of_user(serve, error);
    result = tidings_hub_start(serve->hub);
    if (result < 0)
        return complain(serve, "cannot start", result);
    if (serve->running->seccomp && seal_system_calls(error) < 0) {
        logger_say(serve->log, TIDINGS_LOG_ERROR, "start", "--seccomp: %s", error);
        return EXIT_FAILED;
    }
    greet(serve);
    return EXIT_FINE;
}

/* ------------------------------------------------------------------ life and end */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Ends all streams; returns when they have ended, the time is over or a second signal came. */
static void drain(struct serve *serve, int signal_number)
{
    uint64_t time = serve->current->drain_time, end = now_ms() + time + DRAIN_GRACE;
    struct timespec turn = {.tv_nsec = DRAIN_TURN * 1000000L};

    logger_say(serve->log, TIDINGS_LOG_INFO, "drain", "%s: ending %llu streams; a second signal ends at once",
               signal_number == SIGINT ? "interrupted" : "asked to end",
               (unsigned long long)tidings_total_connections(serve->hub));
    if (tidings_hub_drain(serve->hub, (uint32_t)time) < 0)
        return;
    while (now_ms() < end && !tidings_hub_wait_drained(serve->hub, 0)) {
        int again = sigtimedwait(&serve->signals, NULL, &turn);
        if (again == SIGTERM || again == SIGINT)
            return;
    }
}

static void run(struct serve *serve)
{
    for (;;) {
        int number = sigwaitinfo(&serve->signals, NULL);
        if (number == SIGHUP)
            reload(serve);
        if (number == SIGTERM || number == SIGINT) {
            drain(serve, number);
            return;
        }
    }
}

/* Before any thread exists: they inherit the mask, so that signals come to sigwaitinfo() only. */
static void set_up_process(struct serve *serve)
{
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&serve->signals);
    sigaddset(&serve->signals, SIGTERM);
    sigaddset(&serve->signals, SIGINT);
    sigaddset(&serve->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &serve->signals, NULL);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int serve_with_log(struct serve *serve)
{
    int result;

    set_up_process(serve);
    result = start_hub(serve);
    if (result == EXIT_FINE) {
        run(serve);
        tidings_hub_stop(serve->hub);
        logger_say(serve->log, TIDINGS_LOG_INFO, "stop", "stopped");
    }
    tidings_hub_destroy(serve->hub);
    return result;
}

static void print_record(void *user, const struct tidings_log_record *record)
{
    (void)user;
    if (record->level <= TIDINGS_LOG_WARN)
        fprintf(stderr, "tidings: %s\n", record->message);
}

/* Files are read as a start would, but for the store: another hub may have it open. */
static bool can_make_hub(const struct settings *settings)
{
    struct tidings_config config = settings->config;
    struct tidings_hub *hub = NULL;

    config.store = NULL;
    config.log = print_record;
    config.loops = 1;
    int result = tidings_hub_create(&hub, &config);
    tidings_hub_destroy(hub);
    if (result < 0 && result != TIDINGS_ECERTIFICATE)
        fprintf(stderr, "tidings: %s\n", tidings_strerror(result));
    return result == 0;
}

/* What a start would refuse although every single value is right. */
static int check_only(const struct settings *settings)
{
    char where[URL_MAX];
    bool loopback;

    for (size_t i = 0; i < settings->listen.count; i++) {
        if (settings->config.insecure || has_credentials(settings) ||
            !value_address(settings->listen.items[i], &loopback) || loopback)
            continue;
        fprintf(stderr, "tidings: %s %s: %s\n", settings_where(settings, "listen", where, sizeof where),
                settings->listen.items[i], tidings_strerror(TIDINGS_EREFUSED));
        return EXIT_USAGE;
    }
    if (!can_make_hub(settings))
        return EXIT_USAGE;
    for (size_t i = 0; i < settings->warnings.count; i++)
        fprintf(stderr, "tidings: %s\n", settings->warnings.items[i]);
    puts("the settings are right");
    return EXIT_FINE;
}

/* Names the setting as it was given. */
static int complain_before_log(const struct serve *serve, const char *error, int result)
{
    char where[URL_MAX];

    fprintf(stderr, "tidings: %s: %s\n", settings_where(serve->running, "user", where, sizeof where), error);
    return result;
}

static int serve_with_settings(struct serve *serve)
{
    struct logger_options options = {
        .fd = STDERR_FILENO, .format = serve->running->log_format, .level = serve->running->log_level};
    char error[SEAL_ERROR_MAX];
    int result;

    if (seal_find_user(&serve->user, serve->running->user, error) < 0)
        return complain_before_log(serve, error, EXIT_USAGE);
    if (serve->running->check_config)
        return check_only(serve->running);
    if (seal_process(error) < 0) {
        fprintf(stderr, "tidings: %s\n", error);
        return EXIT_FAILED;
    }
    if (seal_become(&serve->user, error) < 0)
        return complain_before_log(serve, error, EXIT_FAILED);
    if (logger_create(&serve->log, &options) < 0) {
        fputs("tidings: cannot start the log\n", stderr);
        return EXIT_FAILED;
    }
    result = serve_with_log(serve);
    logger_destroy(serve->log);
    return result;
}

static int serve_from_sources(struct serve *serve)
{
    char error[SETTINGS_ERROR_MAX];
    int result;

    serve->running = serve->current = read_settings(serve, error);
    if (!serve->running) {
        fprintf(stderr, "tidings: %s\n", error);
        return EXIT_USAGE;
    }
    result = serve_with_settings(serve);
    if (serve->current != serve->running)
        release(serve->current);
    release(serve->running);
    return result;
}

int serve_main(int argc, char *const *argv)
{
    struct serve serve = {.hub = NULL};
    int result;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            puts("usage: tidings serve [--SETTING VALUE]…\n");
            settings_print_help(stdout);
            return EXIT_FINE;
        }
        if (strcmp(argv[i], "--help-markdown") == 0) {
            settings_print_markdown(stdout);
            return EXIT_FINE;
        }
    }
    if (secrets_take(&serve.sources, argc, argv, environ) < 0) {
        fputs("tidings: out of memory\n", stderr);
        result = EXIT_FAILED;
    } else {
        result = serve_from_sources(&serve);
    }
    secrets_finish(&serve.sources);
    return result;
}
