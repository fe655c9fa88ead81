/* SPDX-License-Identifier: MIT
 *
 * A publisher's connection. What the socket does not take is kept and sent when it does; an answer counts
 * when its body has come whole.
 */
#include "poster.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define IN_ROOM HTTPC_HEAD_MAX

static void break_off(struct poster *poster)
{
    poster->broken = true;
    engine_close(&poster->watch, 0);
}

/* ------------------------------------------------------------------ sending */

static void flush(struct poster *poster)
{
    while (poster->out_len > 0) {
        ssize_t n = send(poster->watch.fd, poster->out + poster->out_start, poster->out_len, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
                break_off(poster);
            else
                engine_change(poster->engine, &poster->watch, EPOLLIN | EPOLLOUT);
            return;
        }
        poster->out_start += (size_t)n;
        poster->out_len -= (size_t)n;
    }
    poster->out_start = 0;
}

/* Makes room behind what waits. */
static bool make_room(struct poster *poster, size_t wanted)
{
    size_t room = poster->out_room;
    char *bigger;

    if (poster->out_room - poster->out_start - poster->out_len >= wanted)
        return true;
    if (poster->out_start > 0) {
        memmove(poster->out, poster->out + poster->out_start, poster->out_len);
        poster->out_start = 0;
    }
    while (room - poster->out_len < wanted)
        room = room ? room * 2 : 65536;
    if (room == poster->out_room)
        return true;
    bigger = realloc(poster->out, room);
    if (!bigger)
        return false;
    poster->out = bigger;
    poster->out_room = room;
    return true;
}

bool poster_post(struct poster *poster, uint64_t reader, uint64_t seq, uint64_t time)
{
    size_t room = bench_publish_room(poster->bench), len;
    bool idle = poster->out_len == 0;

    if (poster->broken || !make_room(poster, room))
        return false;
    len = bench_publish_request(poster->bench, poster->out + poster->out_start + poster->out_len, room,
                                reader, seq, time);
    if (len == 0)
        return false;
    poster->out_len += len;
    poster->posted++;
    if (idle)
        flush(poster);
    return !poster->broken;
}

/* ------------------------------------------------------------------ answers */

static void count_answer(struct poster *poster)
{
    poster->in_body = false;
    if (poster->response.status / 100 == 2)
        poster->accepted++;
    else if (poster->refused++ == 0)
        poster->first_refusal = poster->response.status;
    if (poster->answered)
        poster->answered(poster->user, poster);
}

/* Takes what there is of the body; true when it is complete, *bad when it is not to be understood. */
static bool take_body(struct poster *poster, const char **p, size_t *n, bool *bad)
{
    const char *run;
    size_t len;
    enum chunk_result result;

    if (!poster->response.chunked) {
        len = *n < poster->body_left ? *n : (size_t)poster->body_left;
        poster->body_left -= len;
        *p += len;
        *n -= len;
        return poster->body_left == 0;
    }
    while ((result = chunk_next(&poster->chunk, p, n, &run, &len)) == CHUNK_RUN)
        ;
    *bad = result == CHUNK_BAD;
    return result == CHUNK_END;
}

/* Takes the head of an answer; false when more bytes are needed. */
static bool take_head(struct poster *poster, const char **p, size_t *n, bool *bad)
{
    int len = httpc_parse_head(&poster->response, *p, *n);

    *bad = len < 0;
    if (len <= 0)
        return false;
    *p += len;
    *n -= (size_t)len;
    poster->in_body = poster->response.status >= 200;
    poster->body_left = poster->response.status == 204 ? 0 : poster->response.length;
    memset(&poster->chunk, 0, sizeof poster->chunk);
    return true;
}

static void read_answers(struct poster *poster)
{
    const char *p = poster->in;
    size_t n = poster->in_len;
    bool bad = false;

    while (!bad && !poster->broken) {
        if (!poster->in_body && !take_head(poster, &p, &n, &bad))
            break;
        if (!poster->in_body)
            continue; /* an interim answer */
        if (!take_body(poster, &p, &n, &bad))
            break;
        count_answer(poster);
    }
    memmove(poster->in, p, n);
    poster->in_len = n;
    if (bad)
        break_off(poster);
}

static void poster_ready(struct engine_watch *watch, uint32_t events)
{
    struct poster *poster = (struct poster *)watch;
    ssize_t n;

    if (watch->fd < 0)
        return;
    if (events & EPOLLOUT) {
        engine_change(poster->engine, watch, EPOLLIN);
        flush(poster);
    }
    if (watch->fd < 0 || !(events & ~(uint32_t)EPOLLOUT))
        return;
    n = recv(watch->fd, poster->in + poster->in_len, IN_ROOM - poster->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        break_off(poster);
        return;
    }
    poster->in_len += (size_t)n;
    read_answers(poster);
}

/* ------------------------------------------------------------------ life */

int poster_init(struct poster *poster, struct engine *engine, const struct bench *bench)
{
    int one = 1;

    memset(poster, 0, sizeof *poster);
    poster->engine = engine;
    poster->bench = bench;
    poster->watch.ready = poster_ready;
    poster->watch.fd = -1;
    poster->in = malloc(IN_ROOM);
    if (!poster->in)
        return -1;
    if (engine_connect(engine, bench, &poster->watch, EPOLLIN) < 0)
        return -1;
    if (bench->address.ss_family != AF_UNIX)
        setsockopt(poster->watch.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return 0;
}

void poster_finish(struct poster *poster)
{
    engine_close(&poster->watch, 1);
    free(poster->out);
    free(poster->in);
    memset(poster, 0, sizeof *poster);
    poster->watch.fd = -1;
}

uint64_t poster_unanswered(const struct poster *poster)
{
    return poster->posted - poster->accepted - poster->refused;
}

size_t poster_waiting(const struct poster *poster)
{
    return poster->out_len;
}
