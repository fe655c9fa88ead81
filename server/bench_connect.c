/* SPDX-License-Identifier: MIT
 *
 * `tidings bench connect`: connect, ask for a stream, read the head of the answer, close; --inflight cycles
 * at once. Connections are closed with a reset, because TIME_WAIT would use up the ports within a second.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench_window.h"
#include "command.h"
#include "engine.h"
#include "httpc.h"

#define REQUEST_MAX 8192

struct connect_mode;

struct slot {
    struct engine_watch watch; /* first */
    struct connect_mode *mode;
    bool asked;
    uint64_t began;
};

struct connect_mode {
    struct bench *bench;
    struct engine engine;
    struct bench_window window;
    struct slot *slots;
    uint64_t cycles, errors;
    int first_status, first_errno;
    bool running;
    char buffer[HTTPC_HEAD_MAX];
};

static void begin(struct slot *slot);

static void fail(struct slot *slot, int status, int error)
{
    struct connect_mode *mode = slot->mode;

    if (mode->errors++ == 0) {
        mode->first_status = status;
        mode->first_errno = error;
    }
    engine_close(&slot->watch, 1);
}

/* False with errno. */
static bool send_request(struct slot *slot)
{
    char request[REQUEST_MAX];
    size_t len = bench_subscribe_request(slot->mode->bench, request, sizeof request,
                                         (uint64_t)(slot - slot->mode->slots));

    slot->asked = send(slot->watch.fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
    return slot->asked;
}

/* The connection stands, or could not be made. */
static void connected(struct slot *slot)
{
    if (!send_request(slot) || engine_change(&slot->mode->engine, &slot->watch, EPOLLIN) < 0)
        fail(slot, 0, errno);
}

static void read_answer(struct slot *slot)
{
    struct connect_mode *mode = slot->mode;
    struct httpc_response response;
    ssize_t n = recv(slot->watch.fd, mode->buffer, sizeof mode->buffer, MSG_PEEK);
    int len = n > 0 ? httpc_parse_head(&response, mode->buffer, (size_t)n) : HTTPC_EBAD;

    if (len == 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    if (len < 0 || response.status != 200) {
        fail(slot, len > 0 ? response.status : 0, n < 0 ? errno : n == 0 ? ECONNRESET : EPROTO);
        return;
    }
    mode->cycles++;
    bench_window_count(&mode->window, slot->began, bench_now());
    engine_close(&slot->watch, 0); /* what was only looked at makes it a reset */
}

static void slot_ready(struct engine_watch *watch, uint32_t events)
{
    struct slot *slot = (struct slot *)watch;

    if (watch->fd < 0)
        return;
    if (slot->asked)
        read_answer(slot);
    else if (events & (EPOLLOUT | EPOLLERR))
        connected(slot);
    if (watch->fd < 0 && slot->mode->running && slot->mode->errors == 0)
        begin(slot);
}

static void begin(struct slot *slot)
{
    slot->asked = false;
    slot->began = bench_now();
    if (engine_connect(&slot->mode->engine, slot->mode->bench, &slot->watch, EPOLLIN) < 0) {
        fail(slot, 0, errno);
        return;
    }
    /* On loopback the connection mostly stands when connect() returns: the request leaves without another
     * turn. */
    if (send_request(slot))
        return;
    if (errno != EAGAIN || engine_change(&slot->mode->engine, &slot->watch, EPOLLOUT) < 0)
        fail(slot, 0, errno);
}

static int run(struct connect_mode *mode)
{
    struct bench *bench = mode->bench;

    bench_window_init(&mode->window, bench);
    mode->running = true;
    for (size_t i = 0; i < bench->inflight && mode->errors == 0; i++) {
        mode->slots[i].mode = mode;
        mode->slots[i].watch.ready = slot_ready;
        mode->slots[i].watch.fd = -1;
        begin(&mode->slots[i]);
    }
    while (mode->errors == 0 && bench_window_open(&mode->window, bench, bench_now()))
        engine_turn(&mode->engine, bench_now() + BENCH_SECOND / 100);
    if (mode->errors > 0) {
        bench_say("a cycle failed after %llu: %s %d", (unsigned long long)mode->cycles,
                  mode->first_status ? "status" : strerror(mode->first_errno), mode->first_status);
        return EXIT_FAILED;
    }
    bench_add(bench, "inflight", "cycles at once", (double)bench->inflight, -1);
    bench_add(bench, "cycles", "cycles in all", (double)mode->cycles, -1);
    bench_window_add(&mode->window, bench, "cycles_per_s", "cycles/s");
    return EXIT_FINE;
}

int bench_connect(struct bench *bench)
{
    struct connect_mode *mode = calloc(1, sizeof *mode);
    int code = EXIT_FAILED;

    if (!mode)
        return EXIT_FAILED;
    mode->bench = bench;
    mode->slots = calloc((size_t)bench->inflight, sizeof *mode->slots);
    if (engine_init(&mode->engine) < 0 || !mode->slots)
        bench_say("cannot start: memory or descriptors are short");
    else
        code = run(mode);
    for (size_t i = 0; mode->slots && i < bench->inflight; i++) {
        if (mode->slots[i].mode)
            engine_close(&mode->slots[i].watch, 1);
    }
    engine_finish(&mode->engine);
    free(mode->slots);
    free(mode);
    return code;
}
