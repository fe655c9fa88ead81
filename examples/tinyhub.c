/* SPDX-License-Identifier: MIT
 *
 * tinyhub - the smallest program with a hub in it: a page, a route of its own, and a tick every second for
 * whoever listens.
 *
 *     cc -o tinyhub tinyhub.c $(pkg-config --cflags --libs tidings)
 *     ./tinyhub 127.0.0.1:3000      # the address may be left out
 *     curl -N http://127.0.0.1:3000/api/sse/subscribe/ada
 *
 * SIGINT or SIGTERM ends it: streams are told to come back later, and then the program leaves with 0.
 */
#include <tidings.h>

#include <signal.h>
#include <stdio.h>
#include <time.h>

static const char html[] =
    "<!doctype html><meta charset=utf-8><title>tinyhub</title><h1>tinyhub</h1><ul id=list></ul>"
    "<script src=/page.js></script>";
static const char script[] =
    "const source = new EventSource('/api/sse/subscribe/page-' + Math.random().toString(36).slice(2));\n"
    "source.addEventListener('tick', (e) => {\n"
    "  const line = document.createElement('li');\n"
    "  line.textContent = e.data;\n"
    "  document.getElementById('list').prepend(line);\n"
    "});\n";

static const struct tidings_page pages[] = {
    {.path = "/", .content_type = "text/html; charset=utf-8", .body = html, .body_len = sizeof(html) - 1},
    {.path = "/page.js", .content_type = "text/javascript", .body = script, .body_len = sizeof(script) - 1},
};

/* GET /count: how many are listening. */
static void count(void *user, struct tidings_request *request)
{
    char json[64];
    int len = snprintf(json, sizeof(json), "{\"listening\":%llu}\n",
                       (unsigned long long)tidings_total_connections(user));

    tidings_respond(request, 200, "application/json", json, (size_t)len);
}

/* Ticks once a second until one of the signals comes. */
static void tick_until(const sigset_t *signals, struct tidings_hub *hub)
{
    const struct timespec second = {.tv_sec = 1};
    char json[64];

    for (unsigned n = 1; sigtimedwait(signals, NULL, &second) < 0; n++) {
        int len = snprintf(json, sizeof(json), "{\"n\":%u,\"time\":%lld}", n, (long long)time(NULL));
        tidings_broadcast(hub, "tick", json, (size_t)len);
    }
}

int main(int argc, char **argv)
{
    struct tidings_config config;
    struct tidings_hub *hub = NULL;
    char url[160];
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    tidings_config_init(&config);
    int rc = tidings_hub_create(&hub, &config);
    if (rc == 0)
        rc = tidings_hub_listen(hub, argc > 1 ? argv[1] : "127.0.0.1:3000", url, sizeof(url));
    if (rc == 0)
        rc = tidings_hub_pages(hub, pages, 2);
    if (rc == 0)
        rc = tidings_hub_route(hub, "GET", "/count", count, hub);
    if (rc == 0)
        rc = tidings_hub_start(hub);
    if (rc == 0) {
        printf("tinyhub listens on %s\n", url);
        fflush(stdout);
        tick_until(&signals, hub);
        tidings_hub_drain(hub, 500);
        tidings_hub_wait_drained(hub, 1000);
    } else {
        fprintf(stderr, "tinyhub: %s\n", tidings_strerror(rc));
    }
    tidings_hub_destroy(hub);
    return rc == 0 ? 0 : 1;
}
