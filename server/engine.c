/* SPDX-License-Identifier: MIT
 *
 * The loop of the load generator. It takes a limited number of events a turn, so that a publisher with a
 * schedule gets its turn while thousands of readers have something to read.
 */
#include "engine.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_TURN 256

int engine_init(struct engine *engine)
{
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    return engine->epoll < 0 ? -1 : 0;
}

void engine_finish(struct engine *engine)
{
    if (engine->epoll >= 0)
        close(engine->epoll);
    engine->epoll = -1;
}

int engine_connect(struct engine *engine, const struct bench *bench, struct engine_watch *watch,
                   uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int saved;

    watch->fd = socket(bench->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (watch->fd < 0)
        return -1;
    if ((connect(watch->fd, (const struct sockaddr *)&bench->address, bench->address_len) == 0 ||
         errno == EINPROGRESS) &&
        epoll_ctl(engine->epoll, EPOLL_CTL_ADD, watch->fd, &event) == 0)
        return 0;
    saved = errno;
    engine_close(watch, 0);
    errno = saved;
    return -1;
}

int engine_change(struct engine *engine, struct engine_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    return epoll_ctl(engine->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void engine_close(struct engine_watch *watch, int hard)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    if (watch->fd < 0)
        return;
    if (hard)
        setsockopt(watch->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(watch->fd);
    watch->fd = -1;
}

void engine_turn(struct engine *engine, uint64_t until)
{
    struct epoll_event events[EVENTS_A_TURN];
    uint64_t now = bench_now(), wait = until > now ? until - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait / BENCH_SECOND),
                               .tv_nsec = (long)(wait % BENCH_SECOND)};
    int n = epoll_pwait2(engine->epoll, events, EVENTS_A_TURN, &timeout, NULL);

    for (int i = 0; i < n; i++) {
        struct engine_watch *watch = events[i].data.ptr;
        watch->ready(watch, events[i].events);
    }
}
