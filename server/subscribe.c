/* SPDX-License-Identifier: MIT
 *
 * `tidings subscribe`: events as JSON lines, with the manners of EventSource: it comes back by itself after
 * the time that the hub asked for, says where it was, and stays away when it is told to (204).
 *
 * Unlike EventSource it also comes back after 429 and 5xx, with growing pauses; and it gives up at once when
 * the very first connection cannot be made, because then the URL is more likely to be wrong than the network.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command.h"
#include "httpc.h"
#include "jsontext.h"
#include "options.h"
#include "remote.h"
#include "sse.h"

#define EVENT_MAX ((size_t)256 << 20) /* bytes of one event */
#define RETRY     3000                /* ms, until the hub says otherwise */
#define PAUSE_MAX 60000               /* ms, of a pause that grows */

struct subscribe {
    struct remote remote;
    struct option_list topics;
    const char *last_event_id;
    uint64_t count; /* 0 = no end */
    bool all;

    const char *client;
    char path[16384];
    struct sse sse;
    uint64_t printed;
    unsigned failures; /* in a row */
    bool was_open;     /* a stream has been open */
    int signals;
    struct httpc http;
};

#define AT(field) .offset = offsetof(struct subscribe, field)

static const struct option rows[] = {
    {.name = "topic",
     .kind = OPTION_LIST,
     AT(topics),
     .form = "TOPIC",
     .help = "also this topic; repeatable"},
    {.name = "last-event-id",
     .kind = OPTION_TEXT,
     AT(last_event_id),
     .form = "ID",
     .help = "go on after this event"},
    {.name = "count", .kind = OPTION_COUNT, AT(count), .min = 1, .form = "N", .help = "exit after N events"},
    {.name = "all", .kind = OPTION_FLAG, AT(all), .help = "print the hub's own events (__connected, …) too"},
    REMOTE_OPTIONS(struct subscribe),
    REMOTE_TLS_OPTIONS(struct subscribe),
};

static const struct option_table table = {
    .command = "subscribe",
    .usage = "subscribe [--topic TOPIC]… [--last-event-id ID] [--count N] [--all] CLIENT_ID",
    .about =
        "Receives the client's events and prints each as a line {\"id\",\"event\",\"data\"}. Comes back by\n"
        "itself when the connection is lost; ends with 0 after --count events, on SIGINT, or when the hub "
        "says so.",
    .rows = rows,
    .count = sizeof rows / sizeof *rows};

/* ------------------------------------------------------------------ events */

static bool print_event(void *user, const struct sse_event *event)
{
    struct subscribe *subscribe = user;

    if (!subscribe->all && event->event_len >= 2 && memcmp(event->event, "__", 2) == 0)
        return true;
    fputs("{\"id\":", stdout);
    jsontext_put_string(stdout, event->id, event->id_len);
    fputs(",\"event\":", stdout);
    jsontext_put_string(stdout, event->event, event->event_len);
    fputs(",\"data\":", stdout);
    if (jsontext_is_value(event->data, event->data_len))
        jsontext_put_value(stdout, event->data, event->data_len);
    else
        jsontext_put_string(stdout, event->data, event->data_len);
    fputs("}\n", stdout);
    subscribe->printed++;
    return fflush(stdout) == 0 && subscribe->printed != subscribe->count;
}

static bool feed(void *user, const char *bytes, size_t len)
{
    struct subscribe *subscribe = user;
    int result = sse_feed(&subscribe->sse, bytes, len, print_event, subscribe);

    if (result < 0)
        options_complain(&table, "an event is larger than %zu bytes, or memory is short", EVENT_MAX);
    return result == 0;
}

/* ------------------------------------------------------------------ one connection */

enum outcome { OUTCOME_AGAIN, OUTCOME_DONE, OUTCOME_FAILED };

static bool is_stream(const struct httpc_response *response)
{
    return response->status == 200 && strncasecmp(response->content_type, "text/event-stream", 17) == 0;
}

static enum outcome read_stream(struct subscribe *subscribe, const struct httpc_response *response)
{
    int result;

    subscribe->was_open = true;
    subscribe->failures = 0;
    subscribe->http.timeout = -1; /* how long a hub may be silent is its own business */
    sse_reconnect(&subscribe->sse);
    result = httpc_read_body(&subscribe->http, response, feed, subscribe);
    if (result == HTTPC_ECANCELLED)
        return OUTCOME_DONE;
    if (result != 1)
        return OUTCOME_AGAIN;
    return subscribe->printed == subscribe->count && subscribe->count > 0 ? OUTCOME_DONE : OUTCOME_FAILED;
}

static bool print_problem(void *user, const char *bytes, size_t len)
{
    (void)user;
    fwrite(bytes, 1, len, stderr);
    return true;
}

static enum outcome refused(struct subscribe *subscribe, const struct httpc_response *response)
{
    if (response->status == 204)
        return OUTCOME_DONE;
    options_complain(&table, "the hub answered %d%s", response->status,
                     response->status == 200 ? ", but not with an event stream" : "");
    if (response->status == 429 || response->status >= 500) {
        if (response->retry_after > 0 && response->retry_after < PAUSE_MAX)
            subscribe->sse.retry = response->retry_after * 1000;
        subscribe->failures++;
        return OUTCOME_AGAIN;
    }
    if (response->status >= 400 && httpc_read_body(&subscribe->http, response, print_problem, NULL) == 0)
        fputc('\n', stderr);
    return OUTCOME_FAILED;
}

static enum outcome connect_once(struct subscribe *subscribe)
{
    char headers[sizeof subscribe->remote.headers + 512];
    struct httpc_request request = {.method = "GET", .path = subscribe->path, .headers = headers};
    struct httpc_response response;
    size_t len;
    const char *id = sse_last_id(&subscribe->sse, &len);
    bool has_id = len > 0 && len <= 256 && strcspn(id, "\r\n") == len;
    int result;

    snprintf(headers, sizeof headers, "Accept: text/event-stream\r\nCache-Control: no-store\r\n%s%s%s%s",
             has_id ? "Last-Event-ID: " : "", has_id ? id : "", has_id ? "\r\n" : "",
             subscribe->remote.headers);
    result = httpc_open(&subscribe->http, &subscribe->remote.url, subscribe->signals, REMOTE_TIMEOUT);
    if (result == 0)
        result = httpc_ask(&subscribe->http, &subscribe->remote.url, &request, &response);
    if (result == 0)
        return is_stream(&response) ? read_stream(subscribe, &response) : refused(subscribe, &response);
    if (result == HTTPC_ECANCELLED)
        return OUTCOME_DONE;
    options_complain(&table, "%s: %s", subscribe->remote.url.authority, httpc_strerror(result));
    subscribe->failures++;
    return subscribe->was_open ? OUTCOME_AGAIN : OUTCOME_FAILED;
}

/* ------------------------------------------------------------------ the whole */

/* The pause before the next attempt: as asked for, doubled with each failure in a row. False when a signal
 * came. */
static bool pause_before_retry(const struct subscribe *subscribe)
{
    struct pollfd signals = {.fd = subscribe->signals, .events = POLLIN};
    unsigned doublings = subscribe->failures > 6 ? 6 : subscribe->failures;
    uint64_t pause = subscribe->sse.retry;

    for (; doublings > 1 && pause < PAUSE_MAX; doublings--)
        pause *= 2;
    if (subscribe->failures > 1 && pause > PAUSE_MAX)
        pause = PAUSE_MAX;
    if (pause > INT32_MAX)
        pause = INT32_MAX;
    return poll(&signals, 1, (int)pause) == 0;
}

static bool write_path(struct subscribe *subscribe)
{
    char *path = subscribe->path;
    size_t size = sizeof subscribe->path;
    bool fits;

    snprintf(path, size, "/api/sse/subscribe/");
    fits = httpc_encode(path, size, subscribe->client);
    for (size_t i = 0; i < subscribe->topics.count && fits; i++) {
        size_t used = strlen(path);
        fits = snprintf(path + used, size - used, "%stopic=", i ? "&" : "?") < (int)(size - used) &&
               httpc_encode(path, size, subscribe->topics.items[i]);
    }
    return fits;
}

static int receive(struct subscribe *subscribe)
{
    enum outcome outcome;

    do {
        outcome = connect_once(subscribe);
        httpc_close(&subscribe->http);
        if (outcome == OUTCOME_AGAIN && !pause_before_retry(subscribe))
            outcome = OUTCOME_DONE;
    } while (outcome == OUTCOME_AGAIN);
    return outcome == OUTCOME_DONE ? EXIT_FINE : EXIT_FAILED;
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Where --last-event-id says that the stream was left. */
static bool begin_at(struct subscribe *subscribe)
{
    const char *id = subscribe->last_event_id;

    if (!id)
        return true;
    return strcspn(id, "\r\n") == strlen(id) &&
           sse_feed(&subscribe->sse, "id:", 3, print_event, subscribe) == 0 &&
           sse_feed(&subscribe->sse, id, strlen(id), print_event, subscribe) == 0 &&
           sse_feed(&subscribe->sse, "\n\n", 2, print_event, subscribe) == 0;
}

static int run(struct subscribe *subscribe, int argc, char *const *argv)
{
    struct option_list rest = {.count = 0};
    enum options_result result = options_read(&table, subscribe, argc, argv, &rest);

    if (result != OPTIONS_GO)
        return result == OPTIONS_HELPED ? EXIT_FINE : EXIT_USAGE;
    if (rest.count != 1) {
        options_complain(&table, "give one client id");
        return EXIT_USAGE;
    }
    subscribe->client = rest.items[0];
    if (!remote_resolve(&subscribe->remote, &table))
        return EXIT_USAGE;
    if (!write_path(subscribe) || !begin_at(subscribe)) {
        options_complain(&table, "client id, topics or event id cannot be sent: too long, or with line ends");
        return EXIT_USAGE;
    }
    return receive(subscribe);
}

int subscribe_main(int argc, char *const *argv)
{
    struct subscribe *subscribe = calloc(1, sizeof *subscribe);
    int code;

    if (!subscribe)
        return EXIT_FAILED;
    sse_init(&subscribe->sse, EVENT_MAX, RETRY);
    subscribe->signals = open_signals();
    code = run(subscribe, argc, argv);
    close(subscribe->signals);
    sse_finish(&subscribe->sse);
    free(subscribe);
    return code;
}
