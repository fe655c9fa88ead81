/* SPDX-License-Identifier: MIT
 *
 * `tidings publish`: one event from the command line. The payload goes out byte for byte as it was given,
 * inside an object that is written here; it is checked to be one JSON value first, so that it cannot be more
 * than a payload.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "httpc.h"
#include "jsontext.h"
#include "options.h"
#include "remote.h"

struct publish {
    struct remote remote;
    const char *client, *topic, *event;
    bool broadcast;
    struct httpc http;
};

#define AT(field) .offset = offsetof(struct publish, field)

static const struct option rows[] = {
    {.name = "client", .kind = OPTION_TEXT, AT(client), .form = "ID", .help = "send to this client"},
    {.name = "topic", .kind = OPTION_TEXT, AT(topic), .form = "TOPIC", .help = "send to this topic"},
    {.name = "broadcast", .kind = OPTION_FLAG, AT(broadcast), .help = "send to everybody"},
    {.name = "event",
     .kind = OPTION_TEXT,
     AT(event),
     .form = "NAME",
     .help = "name of the event [notification]"},
    REMOTE_OPTIONS(struct publish),
    REMOTE_TLS_OPTIONS(struct publish),
};

static const struct option_table table = {
    .command = "publish",
    .usage = "publish (--client ID | --topic TOPIC | --broadcast) [--event NAME] JSON|-",
    .about = "Sends an event, prints the hub's answer, and exits with 0 if the event was accepted.\n"
             "The payload is any JSON value; - reads it from standard input.",
    .rows = rows,
    .count = sizeof rows / sizeof *rows};

static char *read_standard_input(size_t *len)
{
    size_t room = 65536;
    char *text = malloc(room);

    for (*len = 0; text;) {
        size_t n = fread(text + *len, 1, room - *len, stdin);
        char *bigger;
        *len += n;
        if (n == 0 || *len < room)
            break;
        room *= 2;
        bigger = realloc(text, room);
        if (!bigger)
            free(text);
        text = bigger;
    }
    if (text && ferror(stdin)) {
        free(text);
        return NULL;
    }
    return text;
}

/* The request's body; NULL if memory fails. */
static char *write_body(const struct publish *publish, const char *payload, size_t payload_len, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    if (!out)
        return NULL;
    fputs("{", out);
    if (publish->broadcast) {
        fputs("\"broadcast\":true", out);
    } else {
        fputs(publish->client ? "\"clientId\":" : "\"topic\":", out);
        jsontext_put_string(out, publish->client ? publish->client : publish->topic,
                            strlen(publish->client ? publish->client : publish->topic));
    }
    fputs(",\"event\":", out);
    jsontext_put_string(out, publish->event, strlen(publish->event));
    fputs(",\"payload\":", out);
    fwrite(payload, 1, payload_len, out);
    fputs("}", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static bool print_piece(void *user, const char *bytes, size_t len)
{
    char *last = user;

    fwrite(bytes, 1, len, stdout);
    *last = len > 0 ? bytes[len - 1] : *last;
    return true;
}

static int send_body(struct publish *publish, const char *body, size_t len)
{
    char headers[sizeof publish->remote.headers + 128], last = '\0';
    struct httpc_request request = {
        .method = "POST", .path = "/api/sse/notify", .headers = headers, .body = body, .body_len = len};
    struct httpc_response response;
    int result = httpc_open(&publish->http, &publish->remote.url, -1, REMOTE_TIMEOUT);

    snprintf(headers, sizeof headers, "Content-Type: application/json\r\nConnection: close\r\n%s",
             publish->remote.headers);
    if (result == 0)
        result = httpc_ask(&publish->http, &publish->remote.url, &request, &response);
    if (result == 0)
        result = httpc_read_body(&publish->http, &response, print_piece, &last);
    if (last != '\0' && last != '\n')
        putchar('\n');
    if (result < 0)
        options_complain(&table, "%s: %s", publish->remote.url.authority, httpc_strerror(result));
    httpc_close(&publish->http);
    if (fflush(stdout) != 0)
        return EXIT_FAILED;
    return result == 0 && response.status / 100 == 2 ? EXIT_FINE : EXIT_FAILED;
}

static int publish_payload(struct publish *publish, const char *payload, size_t len)
{
    size_t body_len;
    char *body;
    int result;

    if (!jsontext_is_value(payload, len)) {
        options_complain(&table, "the payload is not a JSON value (a text needs quotes: '\"hello\"')");
        return EXIT_USAGE;
    }
    body = write_body(publish, payload, len, &body_len);
    if (!body) {
        options_complain(&table, "out of memory");
        return EXIT_FAILED;
    }
    result = send_body(publish, body, body_len);
    free(body);
    return result;
}

static bool is_complete(const struct publish *publish, const struct option_list *rest)
{
    int targets = (publish->client != NULL) + (publish->topic != NULL) + publish->broadcast;

    if (targets != 1)
        options_complain(&table, "give one of --client ID, --topic TOPIC and --broadcast");
    else if (rest->count != 1)
        options_complain(&table, "give one payload: JSON, or - to read it from standard input");
    return targets == 1 && rest->count == 1;
}

static int publish_input(struct publish *publish)
{
    size_t len;
    char *text = read_standard_input(&len);
    int code;

    if (!text) {
        options_complain(&table, "cannot read standard input: %s", strerror(errno));
        return EXIT_FAILED;
    }
    code = publish_payload(publish, text, len);
    free(text);
    return code;
}

static int run(struct publish *publish, int argc, char *const *argv)
{
    struct option_list rest = {.count = 0};
    enum options_result result = options_read(&table, publish, argc, argv, &rest);

    if (result != OPTIONS_GO)
        return result == OPTIONS_HELPED ? EXIT_FINE : EXIT_USAGE;
    if (!is_complete(publish, &rest) || !remote_resolve(&publish->remote, &table))
        return EXIT_USAGE;
    if (strcmp(rest.items[0], "-") == 0)
        return publish_input(publish);
    return publish_payload(publish, rest.items[0], strlen(rest.items[0]));
}

int publish_main(int argc, char *const *argv)
{
    struct publish *publish = calloc(1, sizeof *publish);
    int code;

    if (!publish)
        return EXIT_FAILED;
    publish->event = "notification";
    code = run(publish, argc, argv);
    free(publish);
    return code;
}
