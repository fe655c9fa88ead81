/* SPDX-License-Identifier: MIT
 *
 * Streams under load.
 *
 *     NEW ─> CONNECTING ─> HEAD ─> OPEN ─> ENDED
 *                └───────────┴────────────────^
 *
 * All streams share one large receive buffer: what a line needs across two receives is kept with the stream
 * (its first 96 bytes; the data line of an event has its numbers there). Lines are found with memchr(), and
 * only data lines of this run and empty lines are looked at closer.
 */
#include "readers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpc.h"

#define BUFFER      ((size_t)256 * 1024)
#define AT_ONCE     256 /* streams that are being opened */
#define PATIENCE    (20 * BENCH_SECOND)
#define REQUEST_MAX 8192

/* ------------------------------------------------------------------ events */

/* The event is complete: has it come before, and is it late? */
static void deliver(struct reader *reader, uint64_t now)
{
    struct readers *all = reader->all;
    uint64_t seq = reader->seq;

    reader->has_event = false;
    reader->before = reader->highest;
    if (seq > reader->highest) {
        uint64_t step = seq - reader->highest;
        reader->recent = step < 64 ? (reader->recent << step) | 1 : 1;
        reader->highest = seq;
    } else {
        uint64_t behind = reader->highest - seq;
        if (behind >= 64 || ((reader->recent >> behind) & 1)) {
            all->duplicates++;
            return;
        }
        reader->recent |= UINT64_C(1) << behind;
        all->out_of_order++;
    }
    reader->received++;
    if (all->callback)
        all->callback(all->user, reader, seq, reader->time, now);
}

static const char *read_number(const char *p, const char *end, uint64_t *number)
{
    uint64_t value = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    *number = value;
    return p;
}

/* `data:{"r":RUN,"n":SEQ,"t":NS,…`, with or without a space behind the colon. */
static void data_line(struct reader *reader, const char *line, size_t len)
{
    static const char between[] = ",\"t\":";
    const struct readers *all = reader->all;
    const char *p = line + 5, *end = line + len;

    p += p < end && *p == ' ';
    if ((size_t)(end - p) < all->marker_len || memcmp(p, all->marker, all->marker_len) != 0)
        return;
    p = read_number(p + all->marker_len, end, &reader->seq);
    if ((size_t)(end - p) < sizeof between - 1 || memcmp(p, between, sizeof between - 1) != 0)
        return;
    read_number(p + sizeof between - 1, end, &reader->time);
    reader->has_event = true;
}

/* A whole line without its LF; of a long one at least the first READERS_LINE bytes. */
static void whole_line(struct reader *reader, const char *line, size_t len, uint64_t now)
{
    static const char resync[] = "event: __resync";

    if (len == 0 || (len == 1 && line[0] == '\r')) {
        if (reader->has_event)
            deliver(reader, now);
    } else if (len > 5 && memcmp(line, "data:", 5) == 0) {
        data_line(reader, line, len);
    } else if (len >= sizeof resync - 1 && memcmp(line, resync, sizeof resync - 1) == 0) {
        reader->all->resyncs++;
    }
}

static void keep(struct reader *reader, const char *bytes, size_t len)
{
    size_t room = READERS_LINE - reader->kept;

    if (len > room)
        len = room;
    memcpy(reader->line + reader->kept, bytes, len);
    reader->kept = (uint8_t)(reader->kept + len);
}

static void read_lines(struct reader *reader, const char *p, size_t n, uint64_t now)
{
    while (n > 0) {
        const char *lf = memchr(p, '\n', n);
        size_t len = lf ? (size_t)(lf - p) : n;
        if (!lf) {
            keep(reader, p, len);
            return;
        }
        if (reader->kept > 0) {
            keep(reader, p, len);
            whole_line(reader, reader->line, reader->kept, now);
            reader->kept = 0;
        } else {
            whole_line(reader, p, len, now);
        }
        p = lf + 1;
        n -= len + 1;
    }
}

/* ------------------------------------------------------------------ a stream */

static void end_stream(struct reader *reader, int status, int error)
{
    struct readers *all = reader->all;

    if (reader->state == READER_OPEN) {
        all->open--;
        all->ended++;
    } else {
        all->opening--;
        if (all->failed++ == 0) {
            all->first_status = status;
            all->first_errno = error;
        }
    }
    reader->state = READER_ENDED;
    engine_close(&reader->watch, 1);
}

static bool read_body(struct reader *reader, const char *p, size_t n, uint64_t now)
{
    enum chunk_result result;
    const char *run;
    size_t len;

    if (!reader->chunked) {
        read_lines(reader, p, n, now);
        return true;
    }
    while ((result = chunk_next(&reader->chunk, &p, &n, &run, &len)) == CHUNK_RUN)
        read_lines(reader, run, len, now);
    return result == CHUNK_MORE;
}

/* Looks at the head without taking it, until it is complete. */
static void read_head(struct reader *reader)
{
    struct readers *all = reader->all;
    struct httpc_response response;
    ssize_t n = recv(reader->watch.fd, all->buffer, BUFFER, MSG_PEEK);
    int len = n > 0 ? httpc_parse_head(&response, all->buffer, (size_t)n) : HTTPC_EBAD;

    if (len == 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    if (len < 0 || response.status != 200 ||
        strncasecmp(response.content_type, "text/event-stream", strlen("text/event-stream")) != 0) {
        end_stream(reader, len > 0 ? response.status : 0, n < 0 ? errno : n == 0 ? ECONNRESET : EPROTO);
        return;
    }
    recv(reader->watch.fd, all->buffer, (size_t)len, 0);
    reader->chunked = response.chunked;
    reader->state = READER_OPEN;
    all->opening--;
    all->open++;
}

static void connected(struct reader *reader)
{
    char request[REQUEST_MAX];
    struct readers *all = reader->all;
    size_t len = bench_subscribe_request(
        all->bench, request, sizeof request,
        all->one_channel && all->bench->profile->one_channel ? BENCH_ALL : (uint64_t)(reader - all->items));
    ssize_t sent = send(reader->watch.fd, request, len, MSG_NOSIGNAL);

    if (sent < 0 || (size_t)sent != len || engine_change(all->engine, &reader->watch, EPOLLIN) < 0) {
        end_stream(reader, 0, sent < 0 ? errno : EMSGSIZE);
        return;
    }
    reader->state = READER_HEAD;
}

static void reader_ready(struct engine_watch *watch, uint32_t events)
{
    struct reader *reader = (struct reader *)watch;
    struct readers *all = reader->all;
    ssize_t n;

    if (watch->fd < 0)
        return;
    if (reader->state == READER_CONNECTING && (events & EPOLLOUT)) {
        connected(reader);
        return;
    }
    if (reader->state != READER_OPEN) {
        read_head(reader);
        return;
    }
    n = recv(watch->fd, all->buffer, BUFFER, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end_stream(reader, 0, n < 0 ? errno : ECONNRESET);
        return;
    }
    all->bytes += (uint64_t)n;
    if (!read_body(reader, all->buffer, (size_t)n, bench_now()))
        end_stream(reader, 0, EPROTO);
}

/* ------------------------------------------------------------------ all of them */

int readers_init(struct readers *readers, struct engine *engine, const struct bench *bench,
                 readers_callback *callback, void *user)
{
    memset(readers, 0, sizeof *readers);
    readers->engine = engine;
    readers->bench = bench;
    readers->callback = callback;
    readers->user = user;
    readers->count = (size_t)bench->connections;
    readers->items = calloc(readers->count, sizeof *readers->items);
    readers->buffer = malloc(BUFFER);
    if (!readers->items)
        return -1;
    for (size_t i = 0; i < readers->count; i++) {
        readers->items[i].all = readers;
        readers->items[i].watch.ready = reader_ready;
        readers->items[i].watch.fd = -1;
    }
    readers->marker_len =
        (size_t)snprintf(readers->marker, sizeof readers->marker, "{\"r\":%" PRIu32 ",\"n\":", bench->run);
    return readers->buffer ? 0 : -1;
}

void readers_finish(struct readers *readers)
{
    for (size_t i = 0; readers->items && i < readers->count; i++)
        engine_close(&readers->items[i].watch, 1);
    free(readers->items);
    free(readers->buffer);
    memset(readers, 0, sizeof *readers);
}

static void begin_some(struct readers *readers)
{
    while (readers->begun < readers->count && readers->opening < AT_ONCE && readers->failed == 0) {
        struct reader *reader = &readers->items[readers->begun++];
        readers->opening++;
        reader->state = READER_CONNECTING;
        if (engine_connect(readers->engine, readers->bench, &reader->watch, EPOLLOUT) < 0)
            end_stream(reader, 0, errno);
    }
}

bool readers_open_all(struct readers *readers)
{
    uint64_t patience = bench_now() + PATIENCE;
    size_t open = 0;

    while (readers->open + readers->ended < readers->count && readers->failed == 0) {
        begin_some(readers);
        engine_turn(readers->engine, bench_now() + BENCH_SECOND / 10);
        if (readers->open > open)
            patience = bench_now() + PATIENCE;
        open = readers->open;
        if (bench_now() > patience) {
            bench_say("%zu of %zu streams are open, and no more within 20 s", readers->open, readers->count);
            return false;
        }
    }
    if (readers->failed == 0)
        return true;
    if (readers->first_status != 0)
        bench_say("%zu of %zu streams are open; the next was answered with %d", readers->open, readers->count,
                  readers->first_status);
    else
        bench_say("%zu of %zu streams are open; the next: %s", readers->open, readers->count,
                  strerror(readers->first_errno));
    return false;
}
