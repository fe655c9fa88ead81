/* SPDX-License-Identifier: MIT
 *
 * `tidings clients`: who is connected, as a table or as JSON. The hub answers in pages; they are printed as
 * they come, so that a million clients need no more memory than a page of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "command.h"
#include "httpc.h"
#include "options.h"
#include "remote.h"
#include "value.h"

#define PAGE_MAX ((size_t)16 << 20) /* bytes of one answer */

struct clients {
    struct remote remote;
    bool json;
    char *text; /* the answer */
    size_t len;
    uint64_t printed;
    struct httpc http;
};

static const struct option rows[] = {
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct clients, json),
     .help = "print one JSON object {\"clients\":[…],\"total\":N}"},
    REMOTE_OPTIONS(struct clients),
    REMOTE_TLS_OPTIONS(struct clients),
};

static const struct option_table table = {.command = "clients",
                                          .usage = "clients [--json]",
                                          .about = "Lists the connected clients, the most recent first.",
                                          .rows = rows,
                                          .count = sizeof rows / sizeof *rows};

static bool collect(void *user, const char *bytes, size_t len)
{
    struct clients *clients = user;
    char *bigger;

    if (len > PAGE_MAX - clients->len)
        return false;
    bigger = realloc(clients->text, clients->len + len);
    if (!bigger)
        return false;
    clients->text = bigger;
    memcpy(clients->text + clients->len, bytes, len);
    clients->len += len;
    return true;
}

/* Asks for a page; false after a message. */
static bool ask_page(struct clients *clients, const char *after)
{
    char path[4096] = "/api/sse/clients?limit=500", headers[sizeof clients->remote.headers + 64];
    struct httpc_request request = {.method = "GET", .path = path, .headers = headers};
    struct httpc_response response = {.status = 0};
    int result;

    clients->len = 0;
    snprintf(headers, sizeof headers, "Connection: close\r\n%s", clients->remote.headers);
    if (after) {
        snprintf(path, sizeof path, "/api/sse/clients?limit=500&after=");
        if (!httpc_encode(path, sizeof path, after)) {
            options_complain(&table, "the hub's answer names a page that is too long to ask for");
            return false;
        }
    }
    result = httpc_open(&clients->http, &clients->remote.url, -1, REMOTE_TIMEOUT);
    if (result == 0)
        result = httpc_ask(&clients->http, &clients->remote.url, &request, &response);
    if (result == 0)
        result = httpc_read_body(&clients->http, &response, collect, clients);
    httpc_close(&clients->http);
    if (result == 0 && response.status == 200)
        return true;
    if (result < 0)
        options_complain(&table, "%s: %s", clients->remote.url.authority, httpc_strerror(result));
    else if (result > 0)
        options_complain(&table, "the hub's answer is too long");
    else
        options_complain(&table, "the hub answered %d: %.*s", response.status, (int)clients->len,
                         clients->text);
    return false;
}

/* How long ago that was, in the largest whole unit. */
static void print_age(uint64_t then_ms)
{
    static const struct {
        uint64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    uint64_t now = (uint64_t)time(NULL), then = then_ms / 1000, age = now > then ? now - then : 0;
    size_t i = 0;

    while (units[i].seconds > 1 && age < units[i].seconds)
        i++;
    printf(" %6" PRIu64 "%c", age / units[i].seconds, units[i].unit);
}

/* Fills width columns; characters, not bytes, are counted. What could command a terminal is replaced. */
static void print_column(const char *text, int width)
{
    int columns = 0;

    for (; text && *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool c1 = c == 0xc2 && (unsigned char)text[1] < 0xa0;
        putchar(c < 0x20 || c == 0x7f || c1 ? '?' : c);
        text += c1;
        columns += (c & 0xc0) != 0x80;
    }
    printf("%*s", columns < width ? width - columns : 0, "");
}

static void print_row(const json_t *client)
{
    print_column(json_string_value(json_object_get(client, "clientId")), 24);
    putchar(' ');
    print_column(json_string_value(json_object_get(client, "name")), 20);
    printf(" %11" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(client, "connections")));
    printf(" %6zu", json_array_size(json_object_get(client, "topics")));
    print_age((uint64_t)json_integer_value(json_object_get(client, "connectedAt")));
    print_age((uint64_t)json_integer_value(json_object_get(client, "lastSeen")));
    putchar('\n');
}

static void print_page(struct clients *clients, const json_t *page)
{
    const json_t *list = json_object_get(page, "clients");
    size_t i;
    json_t *client;

    json_array_foreach(list, i, client)
    {
        if (clients->json) {
            fputs(clients->printed ? ",\n" : "\n", stdout);
            json_dumpf(client, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
        } else {
            print_row(client);
        }
        clients->printed++;
    }
}

static void print_head(const struct clients *clients)
{
    if (clients->json)
        fputs("{\"clients\":[", stdout);
    else
        printf("%-24s %-20s %11s %6s %7s %7s\n", "CLIENT", "NAME", "CONNECTIONS", "TOPICS", "SINCE", "SEEN");
}

/* Prints page after page; total is the last page's. */
static bool print_all(struct clients *clients)
{
    json_t *page = NULL;
    const char *after = NULL;
    bool fine;

    do {
        json_t *next;
        json_error_t error;
        fine = ask_page(clients, after);
        next = fine ? json_loadb(clients->text, clients->len, 0, &error) : NULL;
        json_decref(page); /* `after` points into it */
        page = next;
        if (fine && !json_is_array(json_object_get(page, "clients"))) {
            options_complain(&table, "the answer is not a list of clients");
            fine = false;
        }
        if (fine && !after)
            print_head(clients);
        print_page(clients, page);
        after = json_string_value(json_object_get(page, "next"));
    } while (fine && after);
    if (clients->json && fine)
        printf("\n],\"total\":%" JSON_INTEGER_FORMAT "}\n",
               json_integer_value(json_object_get(page, "total")));
    json_decref(page);
    return fine && fflush(stdout) == 0;
}

static int run(struct clients *clients, int argc, char *const *argv)
{
    struct option_list rest = {.count = 0};
    enum options_result result = options_read(&table, clients, argc, argv, &rest);

    if (result != OPTIONS_GO)
        return result == OPTIONS_HELPED ? EXIT_FINE : EXIT_USAGE;
    if (rest.count > 0) {
        options_complain(&table, "takes no arguments");
        return EXIT_USAGE;
    }
    if (!remote_resolve(&clients->remote, &table))
        return EXIT_USAGE;
    return print_all(clients) ? EXIT_FINE : EXIT_FAILED;
}

int clients_main(int argc, char *const *argv)
{
    struct clients *clients = calloc(1, sizeof *clients);
    int code;

    if (!clients)
        return EXIT_FAILED;
    code = run(clients, argc, argv);
    free(clients->text);
    free(clients);
    return code;
}
