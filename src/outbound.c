/* SPDX-License-Identifier: MIT
 *
 * outbound - see outbound.h. The thread:
 *
 *     inbox (any thread) ──► waiting, until due and a place is free ──► libcurl ──► done()
 *
 * Redirects are not followed and no proxy of the environment is used: the operator has named whom to ask, and
 * what is sent along are visitors' credentials.
 */
#include "outbound.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIBRARY     "libcurl.so.4"
#define HEADERS_MAX (128 * 1024)
#define BODY_MAX    (1024 * 1024)
#define POLL_MS     1000
#define HURRY_MS    100 /* longest delay while the thread is being stopped */
#define IDLE_CONNS  16L

/* What is used of libcurl, by name. */
#define CURL_FUNCTIONS(X)                                                                                    \
    X(CURLcode, global_init, (long))                                                                         \
    X(CURL *, easy_init, (void))                                                                             \
    X(CURLcode, easy_setopt, (CURL *, CURLoption, ...))                                                      \
    X(CURLcode, easy_getinfo, (CURL *, CURLINFO, ...))                                                       \
    X(void, easy_cleanup, (CURL *))                                                                          \
    X(struct curl_slist *, slist_append, (struct curl_slist *, const char *))                                \
    X(void, slist_free_all, (struct curl_slist *))                                                           \
    X(CURLM *, multi_init, (void))                                                                           \
    X(CURLMcode, multi_setopt, (CURLM *, CURLMoption, ...))                                                  \
    X(CURLMcode, multi_add_handle, (CURLM *, CURL *))                                                        \
    X(CURLMcode, multi_remove_handle, (CURLM *, CURL *))                                                     \
    X(CURLMcode, multi_perform, (CURLM *, int *))                                                            \
    X(CURLMcode, multi_poll, (CURLM *, struct curl_waitfd *, unsigned, int, int *))                          \
    X(CURLMcode, multi_wakeup, (CURLM *))                                                                    \
    X(CURLMsg *, multi_info_read, (CURLM *, int *))                                                          \
    X(CURLMcode, multi_cleanup, (CURLM *))

struct curl_api {
#define CURL_POINTER(result, name, arguments) result(*name) arguments;
    CURL_FUNCTIONS(CURL_POINTER)
#undef CURL_POINTER
};

struct outbound {
    struct curl_api curl;
    void *library;
    CURLM *multi;
    char *url;
    unsigned most;
    pthread_t thread;
    pthread_mutex_t lock;
    struct outbound_job *inbox; /* lock: newest first */
    bool ended;                 /* lock: nobody looks at the inbox any more */
    bool joined;
    atomic_bool stopping;
    _Atomic uint64_t stop_at;     /* monotonic ms: what is not done then is done without an answer */
    struct outbound_job *waiting; /* the thread's from here on: oldest first */
    struct outbound_job *working;
    unsigned count; /* of those */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- jobs ---- */

void outbound_job_init(struct outbound_job *job)
{
    memset(job, 0, sizeof(*job));
    buf_init(&job->headers, HEADERS_MAX);
    buf_init(&job->body, BODY_MAX);
    buf_init(&job->answer, OUTBOUND_ANSWER_MAX);
}

void outbound_job_finish(struct outbound_job *job)
{
    if (job->headers.data)
        explicit_bzero(job->headers.data, job->headers.len); /* credentials */
    buf_finish(&job->headers);
    buf_finish(&job->body);
    buf_finish(&job->answer);
}

void outbound_add_header(struct outbound_job *job, const char *name, struct span value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0')
            return;
    if (!value.p)
        return;
    buf_puts(&job->headers, name);
    /* libcurl wants a semicolon where there is no value. */
    buf_puts(&job->headers, value.len > 0 ? ": " : ";");
    buf_append(&job->headers, value.p, value.len);
    buf_putc(&job->headers, '\0');
}

/* ---- with libcurl ---- */

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    struct outbound_job *job = user;
    return buf_append(&job->answer, p, size * n) < 0 ? 0 : size * n;
}

/* RFC 9111 section 5.2.2: how long the answer may be kept. Of several lines the strictest counts. */
static void read_directive(struct outbound_job *job, struct span directive)
{
    struct span prefix = SPAN("max-age=");
    uint64_t seconds;
    if (span_eq_nocase(directive, SPAN("no-store")) || span_eq_nocase(directive, SPAN("no-cache")))
        job->never_kept = true;
    if (directive.len < prefix.len || !span_eq_nocase((struct span){directive.p, prefix.len}, prefix))
        return;
    if (!text_u64(directive.p + prefix.len, directive.len - prefix.len, &seconds) || seconds == 0)
        job->never_kept = true;
    else if (job->max_age == 0 || seconds < job->max_age)
        job->max_age = seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    struct outbound_job *job = user;
    struct span line = {p, size * n}, name = SPAN("cache-control:");
    if (span_starts(line, SPAN("HTTP/"))) { /* what came before was said of an interim answer */
        job->max_age = 0;
        job->never_kept = false;
    } else if (line.len > name.len && span_eq_nocase((struct span){line.p, name.len}, name)) {
        size_t end = line.len;
        while (end > name.len && (p[end - 1] == '\r' || p[end - 1] == '\n'))
            end--;
        struct span value = {p + name.len, end - name.len};
        while (value.p)
            read_directive(job, span_trim(span_split(&value, ',')));
    }
    return size * n;
}

static bool add_lines(struct outbound *o, struct outbound_job *job)
{
    struct curl_slist *list = o->curl.slist_append(NULL, "Content-Type: application/json");
    for (size_t at = 0; list && at < job->headers.len; at += strlen(job->headers.data + at) + 1) {
        struct curl_slist *more = o->curl.slist_append(list, job->headers.data + at);
        if (!more)
            o->curl.slist_free_all(list);
        list = more;
    }
    job->list = list;
    return list != NULL;
}

static uint64_t end_of(const struct outbound_job *job)
{
    return job->due + job->timeout_ms;
}

static bool set_options(struct outbound *o, struct outbound_job *job)
{
    const struct curl_api *c = &o->curl;
    CURL *e = job->easy;
    return add_lines(o, job) && c->easy_setopt(e, CURLOPT_URL, o->url) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(end_of(job) - job->begun)) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_HTTPHEADER, (struct curl_slist *)job->list) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_POSTFIELDS, job->body.data) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)job->body.len) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_USERAGENT, "tidings") == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_WRITEDATA, job) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_HEADERDATA, job) == CURLE_OK &&
           c->easy_setopt(e, CURLOPT_PRIVATE, (char *)job) == CURLE_OK;
}

static void clean(struct outbound *o, struct outbound_job *job)
{
    if (job->easy)
        o->curl.easy_cleanup(job->easy);
    if (job->list)
        o->curl.slist_free_all(job->list);
    job->easy = job->list = NULL;
}

static void give_up(struct outbound *o, struct outbound_job *job)
{
    clean(o, job);
    job->status = 0;
    job->done(job);
}

static void begin(struct outbound *o, struct outbound_job *job)
{
    buf_clear(&job->answer);
    job->max_age = 0;
    job->never_kept = false;
    job->begun = now_ms();
    job->easy = o->curl.easy_init();
    if (end_of(job) <= job->begun || !job->easy || job->headers.failed || job->body.failed ||
        !set_options(o, job) || o->curl.multi_add_handle(o->multi, job->easy) != CURLM_OK) {
        give_up(o, job);
        return;
    }
    job->next = o->working;
    o->working = job;
    o->count++;
}

static void forget(struct outbound *o, struct outbound_job *job)
{
    struct outbound_job **at = &o->working;
    while (*at && *at != job)
        at = &(*at)->next;
    if (*at)
        *at = job->next;
    o->count--;
    o->curl.multi_remove_handle(o->multi, job->easy);
}

static void finish(struct outbound *o, struct outbound_job *job, CURLcode result)
{
    long status = 0;
    forget(o, job);
    if (result == CURLE_OK && !job->answer.failed)
        o->curl.easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
    clean(o, job);
    job->took_ms = (uint32_t)(now_ms() - job->begun);
    job->max_age = job->never_kept ? 0 : job->max_age;
    job->status = (int)status;
    job->done(job);
}

/* ---- the thread ---- */

/* What was submitted comes behind what waits, in its order. */
static void take_inbox(struct outbound *o)
{
    struct outbound_job *list = NULL, **end = &o->waiting;
    pthread_mutex_lock(&o->lock);
    struct outbound_job *job = o->inbox;
    o->inbox = NULL;
    pthread_mutex_unlock(&o->lock);
    while (job) {
        struct outbound_job *next = job->next;
        job->next = list;
        list = job;
        job = next;
    }
    while (*end)
        end = &(*end)->next;
    *end = list;
}

/* Begins what is due and has room, and gives up what found none in its time; returns ms until the next is due
 * or too late. */
static int begin_due(struct outbound *o)
{
    uint64_t now = now_ms();
    int wait = POLL_MS;
    struct outbound_job **at = &o->waiting;
    while (*at) {
        struct outbound_job *job = *at;
        bool is_due = job->due <= now, has_room = o->count < o->most;
        if (is_due && (has_room || end_of(job) <= now)) {
            *at = job->next;
            has_room ? begin(o, job) : give_up(o, job);
            continue;
        }
        uint64_t next = is_due ? end_of(job) : job->due;
        wait = next - now < (uint64_t)wait ? (int)(next - now) : wait;
        at = &job->next;
    }
    return wait;
}

/* The end is near: what was to be tried later is tried now. */
static void hurry(struct outbound *o)
{
    uint64_t soon = now_ms() + HURRY_MS;
    for (struct outbound_job *job = o->waiting; job; job = job->next)
        job->due = job->due > soon ? soon : job->due;
}

static void take_results(struct outbound *o)
{
    int left;
    CURLMsg *m;
    o->curl.multi_perform(o->multi, &left);
    while ((m = o->curl.multi_info_read(o->multi, &left)))
        if (m->msg == CURLMSG_DONE) {
            struct outbound_job *job = NULL;
            CURLcode result = m->data.result;
            o->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&job);
            finish(o, job, result);
        }
}

static bool is_over(struct outbound *o)
{
    if (!atomic_load(&o->stopping))
        return false;
    pthread_mutex_lock(&o->lock);
    bool idle = !o->inbox;
    pthread_mutex_unlock(&o->lock);
    return (idle && !o->waiting && !o->working) || now_ms() >= atomic_load(&o->stop_at);
}

static void drop(struct outbound *o, struct outbound_job *job)
{
    job->over = true;
    give_up(o, job);
}

/* From now on whoever submits is told at once. False: something came just before. */
static bool end(struct outbound *o)
{
    pthread_mutex_lock(&o->lock);
    o->ended = !o->inbox;
    bool ended = o->ended;
    pthread_mutex_unlock(&o->lock);
    return ended;
}

static void drop_all(struct outbound *o)
{
    struct outbound_job *job;
    while ((job = o->working)) {
        forget(o, job);
        drop(o, job);
    }
    for (take_inbox(o); (job = o->waiting) || !end(o); take_inbox(o)) {
        if (!job)
            continue;
        o->waiting = job->next;
        drop(o, job);
    }
}

static void *run(void *arg)
{
    struct outbound *o = arg;
    while (!is_over(o)) {
        bool stopping = atomic_load(&o->stopping);
        take_inbox(o);
        if (stopping)
            hurry(o);
        int wait = begin_due(o);
        take_results(o);
        if (stopping)
            wait = wait < 20 ? wait : 20;
        o->curl.multi_poll(o->multi, NULL, 0, wait, NULL);
    }
    drop_all(o);
    return NULL;
}

/* ---- life ---- */

static int complain(char *error, size_t size, const char *text)
{
    snprintf(error, size, "%s", text);
    return -1;
}

static int load(struct outbound *o, char *error, size_t size)
{
    o->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!o->library)
        return complain(error, size, LIBRARY " is needed to ask an application, and cannot be loaded");
#define CURL_LOOK_UP(result, name, arguments)                                                                \
    if (!(*(void **)&o->curl.name = dlsym(o->library, "curl_" #name)))                                       \
        return complain(error, size, LIBRARY " is too old: curl_" #name " is missing");
    CURL_FUNCTIONS(CURL_LOOK_UP)
#undef CURL_LOOK_UP
    if (o->curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(o->multi = o->curl.multi_init()))
        return complain(error, size, "libcurl cannot begin");
    o->curl.multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, IDLE_CONNS);
    return 0;
}

static void release(struct outbound *o)
{
    if (o->multi)
        o->curl.multi_cleanup(o->multi);
    if (o->library)
        dlclose(o->library); /* stays: a thread of its may still look up a name */
    pthread_mutex_destroy(&o->lock);
    free(o->url);
    free(o);
}

static int start(struct outbound *o)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&o->thread, NULL, run, o);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int outbound_create(struct outbound **out, const char *url, unsigned most, char *error, size_t size)
{
    struct outbound *o = calloc(1, sizeof(*o));
    if (!o)
        return complain(error, size, "out of memory");
    pthread_mutex_init(&o->lock, NULL);
    o->most = most;
    o->url = strdup(url);
    int rc = o->url ? load(o, error, size) : complain(error, size, "out of memory");
    if (rc == 0 && start(o) != 0)
        rc = complain(error, size, "no thread can be started");
    if (rc < 0)
        release(o);
    else
        *out = o;
    return rc;
}

void outbound_submit(struct outbound *o, struct outbound_job *job)
{
    job->due = now_ms() + job->delay_ms;
    pthread_mutex_lock(&o->lock);
    bool ended = o->ended;
    if (!ended) {
        job->next = o->inbox;
        o->inbox = job;
    }
    pthread_mutex_unlock(&o->lock);
    if (!ended) {
        o->curl.multi_wakeup(o->multi);
        return;
    }
    job->over = true;
    job->status = 0;
    job->done(job);
}

void outbound_stop(struct outbound *o, uint32_t grace_ms)
{
    if (!o || o->joined)
        return;
    atomic_store(&o->stop_at, now_ms() + grace_ms);
    atomic_store(&o->stopping, true);
    o->curl.multi_wakeup(o->multi);
    pthread_join(o->thread, NULL);
    o->joined = true;
}

void outbound_destroy(struct outbound *o)
{
    outbound_stop(o, 0);
    if (o)
        release(o);
}
