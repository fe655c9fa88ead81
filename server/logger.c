/* SPDX-License-Identifier: MIT
 *
 * The log's ring and its writer.
 *
 *     any thread ── logline_write() on its stack ──> ring (mutex, memcpy) ──> writer thread ── write() ──> fd
 *
 * The mutex is held for a copy of one line only, never for I/O and never for formatting. If nobody reads the
 * other end, the writer waits, the ring fills up and further lines are counted instead of kept: an event loop
 * must not stop because a terminal was paused.
 */
#include "logger.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY  ((size_t)1 << 20)
#define PIECE     4096 /* PIPE_BUF: what poll() promises that a pipe takes at once */
#define FAREWELL  1000 /* ms that logger_destroy() waits for a reader */
#define IDLE_TURN 1000 /* ms between looks at what was left out */

struct logger {
    int fd;
    enum logline_format format;
    atomic_int level;
    pthread_t thread;

    pthread_mutex_t mutex; /* guards everything below */
    pthread_cond_t wake;
    char *ring;
    size_t capacity;
    size_t head; /* next byte to write out */
    size_t used;
    uint64_t dropped; /* lines that did not fit since this was last reported */
    struct logline_rate rate;
    bool asleep; /* the writer waits for `wake` */
    bool stopping;
    uint64_t give_up; /* when, once stopping */
};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ ring; the mutex is held */

static bool ring_put(struct logger *log, const char *line, size_t len)
{
    size_t tail = (log->head + log->used) % log->capacity;
    size_t first = len < log->capacity - tail ? len : log->capacity - tail;

    if (len > log->capacity - log->used)
        return false;
    memcpy(log->ring + tail, line, first);
    memcpy(log->ring, line + first, len - first);
    log->used += len;
    return true;
}

static size_t ring_take(struct logger *log, char *out, size_t max)
{
    size_t len = log->used < max ? log->used : max;
    size_t first = len < log->capacity - log->head ? len : log->capacity - log->head;

    memcpy(out, log->ring + log->head, first);
    memcpy(out + first, log->ring, len - first);
    log->head = (log->head + len) % log->capacity;
    log->used -= len;
    return len;
}

static void wake_writer(struct logger *log)
{
    if (log->asleep)
        pthread_cond_signal(&log->wake);
}

/* Puts a line about the log itself; false if there is no room for it. */
static bool ring_put_count(struct logger *log, const char *event, const char *message, uint64_t count)
{
    char line[LOGLINE_MAX];
    struct tidings_log_field field = {.name = "count", .number = count};
    struct tidings_log_record record = {
        .level = TIDINGS_LOG_WARN, .event = event, .message = message, .fields = &field, .field_count = 1};

    return ring_put(log, line, logline_write(line, log->format, clock_ms(CLOCK_REALTIME), &record));
}

static void report_counts(struct logger *log)
{
    char message[128];
    const char *event;
    uint64_t count;

    if (log->dropped > 0 && log->used < log->capacity / 2) {
        snprintf(message, sizeof message, "%" PRIu64 " log lines lost: nobody read them in time",
                 log->dropped);
        if (ring_put_count(log, "log", message, log->dropped))
            log->dropped = 0;
    }
    if (!log->stopping && !logline_rate_due(&log->rate, clock_ms(CLOCK_MONOTONIC)))
        return;
    while (logline_rate_next(&log->rate, &event, &count)) {
        snprintf(message, sizeof message, "… and %" PRIu64 " more %s lines left out", count, event);
        ring_put_count(log, "left-out", message, count);
    }
}

/* ------------------------------------------------------------------ writer */

static bool has_given_up(struct logger *log)
{
    bool result;

    pthread_mutex_lock(&log->mutex);
    result = log->stopping && clock_ms(CLOCK_MONOTONIC) >= log->give_up;
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* Returns false when it is time to give up. A descriptor that fails (closed terminal, full disk) may work
 * again later: the piece is lost then, not the log. */
static bool write_all(struct logger *log, const char *bytes, size_t len)
{
    struct pollfd ready = {.fd = log->fd, .events = POLLOUT};

    while (len > 0) {
        ssize_t n;
        if (poll(&ready, 1, 100) <= 0) {
            if (has_given_up(log))
                return false;
            continue;
        }
        n = write(log->fd, bytes, len);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return true;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* Sleeps until there is something to write; false when all is written and the log ends. */
static bool wait_for_lines(struct logger *log)
{
    while (log->used == 0) {
        struct timespec until;
        report_counts(log);
        if (log->used > 0)
            break;
        if (log->stopping)
            return false;
        log->asleep = true;
        if (logline_rate_waits(&log->rate) || log->dropped > 0) {
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += IDLE_TURN / 1000;
            pthread_cond_timedwait(&log->wake, &log->mutex, &until);
        } else {
            pthread_cond_wait(&log->wake, &log->mutex);
        }
        log->asleep = false;
    }
    return true;
}

static void *writer(void *arg)
{
    struct logger *log = arg;
    char piece[PIECE];
    bool open = true;

    pthread_mutex_lock(&log->mutex);
    while (open && wait_for_lines(log)) {
        size_t len = ring_take(log, piece, sizeof piece);
        report_counts(log);
        pthread_mutex_unlock(&log->mutex);
        open = write_all(log, piece, len);
        pthread_mutex_lock(&log->mutex);
    }
    pthread_mutex_unlock(&log->mutex);
    return NULL;
}

/* ------------------------------------------------------------------ life */

static int start_writer(struct logger *log)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&log->thread, NULL, writer, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result == 0 ? 0 : TIDINGS_ESYSTEM;
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void free_log(struct logger *log)
{
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->mutex);
    free(log->ring);
    free(log);
}

int logger_create(struct logger **out, const struct logger_options *options)
{
    struct logger *log = calloc(1, sizeof *log);

    if (!log)
        return TIDINGS_ENOMEM;
    log->fd = options->fd;
    log->format = options->format;
    log->capacity = options->capacity ? options->capacity : CAPACITY;
    atomic_init(&log->level, (int)options->level);
    logline_rate_init(&log->rate, clock_ms(CLOCK_MONOTONIC));
    pthread_mutex_init(&log->mutex, NULL);
    init_condition(&log->wake);
    log->ring = malloc(log->capacity);
    if (!log->ring) {
        free_log(log);
        return TIDINGS_ENOMEM;
    }
    if (start_writer(log) < 0) {
        free_log(log);
        return TIDINGS_ESYSTEM;
    }
    *out = log;
    return 0;
}

void logger_destroy(struct logger *log)
{
    if (!log)
        return;
    pthread_mutex_lock(&log->mutex);
    log->stopping = true;
    log->give_up = clock_ms(CLOCK_MONOTONIC) + FAREWELL;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->mutex);
    pthread_join(log->thread, NULL);
    free_log(log);
}

void logger_set_level(struct logger *log, enum tidings_log_level level)
{
    atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

/* ------------------------------------------------------------------ lines */

/* Asks the rate; the first line that is left out sends the writer to look at the clock. */
static bool may_keep(struct logger *log, const char *event)
{
    bool waited, result;

    pthread_mutex_lock(&log->mutex);
    waited = logline_rate_waits(&log->rate);
    result = logline_rate_take(&log->rate, event, clock_ms(CLOCK_MONOTONIC));
    if (!result && !waited)
        wake_writer(log);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

static void keep_line(struct logger *log, const struct tidings_log_record *record)
{
    char line[LOGLINE_MAX];
    size_t len;

    if (!may_keep(log, record->event))
        return;
    len = logline_write(line, log->format, clock_ms(CLOCK_REALTIME), record);
    pthread_mutex_lock(&log->mutex);
    if (!ring_put(log, line, len))
        log->dropped++;
    wake_writer(log);
    pthread_mutex_unlock(&log->mutex);
}

void logger_record(struct logger *log, const struct tidings_log_record *record)
{
    if ((int)record->level <= atomic_load_explicit(&log->level, memory_order_relaxed))
        keep_line(log, record);
}

void logger_say(struct logger *log, enum tidings_log_level level, const char *event, const char *format, ...)
{
    char message[1024];
    struct tidings_log_record record = {.level = level, .event = event, .message = message};
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    logger_record(log, &record);
}

void logger_announce(struct logger *log, const char *event, const char *format, ...)
{
    char message[1024];
    struct tidings_log_record record = {.level = TIDINGS_LOG_INFO, .event = event, .message = message};
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    keep_line(log, &record);
}
