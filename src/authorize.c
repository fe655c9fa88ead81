/* SPDX-License-Identifier: MIT
 *
 * authorize - see authorize.h. A question is known again by a keyed hash of all that was sent, credentials
 * included, so the cache holds none. It is a table of sets; where one is full the answer that ends first
 * makes room.
 */
#include "authorize.h"

#include "rng.h"
#include "token.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>
#include <time.h>

#define WAYS 8
#define SETS (AUTHORIZE_CACHE / WAYS)

struct decision {
    atomic_uint refs;
    enum verdict verdict;
    uint64_t expires;
    json_t *said; /* NULL: nothing but yes or no; read by any thread, changed by none */
};

struct cached {
    unsigned char key[AUTHORIZE_KEY_LEN];
    uint64_t until; /* monotonic ms */
    struct decision *decision;
};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- decisions ---- */

static struct decision *make(enum verdict verdict)
{
    struct decision *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    atomic_init(&d->refs, 1);
    d->verdict = verdict;
    return d;
}

void decision_unref(struct decision *d)
{
    if (!d || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) > 1)
        return;
    json_decref(d->said);
    free(d);
}

enum verdict decision_verdict(const struct decision *d)
{
    return d ? d->verdict : VERDICT_UNKNOWN;
}

static struct span text_of(const json_t *value)
{
    return json_is_string(value) ? (struct span){json_string_value(value), json_string_length(value)}
                                 : (struct span){0};
}

struct span decision_client(const struct decision *d)
{
    return text_of(json_object_get(d->said, "clientId"));
}

struct span decision_name(const struct decision *d)
{
    return text_of(json_object_get(d->said, "name"));
}

struct span decision_topic(const struct decision *d, size_t i)
{
    return text_of(json_array_get(json_object_get(d->said, "topics"), i));
}

uint64_t decision_expires(const struct decision *d)
{
    return d->expires;
}

bool decision_allows(const struct decision *d, struct span topic)
{
    const json_t *list = json_object_get(d->said, "subscribe"), *one;
    size_t i;
    if (!list)
        return true;
    json_array_foreach(list, i, one)
    {
        struct span entry = text_of(one);
        bool prefix = entry.len > 0 && entry.p[entry.len - 1] == '*';
        if (prefix ? span_starts(topic, (struct span){entry.p, entry.len - 1}) : span_eq(topic, entry))
            return true;
    }
    return false;
}

/* ---- reading answers ---- */

static bool is_text(const json_t *value, size_t max)
{
    struct span text = text_of(value);
    return !value || (text.p && text_is_name(text.p, text.len, max));
}

static bool are_topics(const json_t *list)
{
    const json_t *one;
    size_t i;
    if (list && (!json_is_array(list) || json_array_size(list) > TOKEN_ENTRIES))
        return false;
    json_array_foreach(list, i,
                       one) if (!json_is_string(one) || !is_text(one, TIDINGS_TOPIC_MAX)) return false;
    return true;
}

static bool read_number(const json_t *value, double max, double *out)
{
    *out = value ? json_number_value(value) : 0;
    return !value || (json_is_number(value) && *out >= 0 && *out <= max);
}

static bool read_expiry(struct decision *d)
{
    const json_t *in = json_object_get(d->said, "expiresIn"), *at = json_object_get(d->said, "expiresAt");
    double seconds, ms;
    if (!read_number(in, 1e9, &seconds) || !read_number(at, 8.64e15, &ms))
        return false;
    d->expires = at   ? (ms < 1 ? 1 : (uint64_t)ms)
                 : in ? clock_ms(CLOCK_REALTIME) + (uint64_t)(seconds * 1000)
                      : 0;
    return true;
}

static bool is_sound(const json_t *said)
{
    return json_is_object(said) && is_text(json_object_get(said, "clientId"), TIDINGS_CLIENT_ID_MAX) &&
           is_text(json_object_get(said, "name"), TIDINGS_NAME_MAX) &&
           are_topics(json_object_get(said, "topics")) && are_topics(json_object_get(said, "subscribe"));
}

/* NULL: it says nothing that can be understood. */
static struct decision *read_yes(const struct buf *answer)
{
    json_error_t why;
    struct decision *d = make(VERDICT_YES);
    if (!d || answer->len == 0)
        return d;
    d->said = json_loadb(answer->data, answer->len, JSON_REJECT_DUPLICATES, &why);
    if (is_sound(d->said) && read_expiry(d))
        return d;
    decision_unref(d);
    return NULL;
}

static struct decision *read_answer(const struct outbound_job *job)
{
    if (job->status == 401)
        return make(VERDICT_UNAUTHORIZED);
    if (job->status == 403)
        return make(VERDICT_FORBIDDEN);
    return job->status >= 200 && job->status < 300 ? read_yes(&job->answer) : NULL;
}

/* ---- the cache ---- */

static struct cached *set_of(struct authorizer *a, const unsigned char *key)
{
    uint32_t number;
    memcpy(&number, key, sizeof(number));
    return a->cache + number % SETS * WAYS;
}

static bool is_for(const struct cached *entry, const unsigned char *key)
{
    return entry->decision && memcmp(entry->key, key, AUTHORIZE_KEY_LEN) == 0;
}

static struct decision *look_up(struct authorizer *a, const unsigned char *key, uint64_t now)
{
    struct decision *found = NULL;
    uint64_t wall = clock_ms(CLOCK_REALTIME);
    pthread_mutex_lock(&a->lock);
    struct cached *set = a->cache ? set_of(a, key) : NULL;
    for (unsigned i = 0; set && i < WAYS && !found; i++)
        if (set[i].until > now && is_for(&set[i], key) &&
            (set[i].decision->expires == 0 || set[i].decision->expires > wall)) {
            found = set[i].decision;
            atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
        }
    pthread_mutex_unlock(&a->lock);
    return found;
}

static void remember(struct authorizer *a, const unsigned char *key, struct decision *d, uint64_t until)
{
    struct decision *before = NULL;
    pthread_mutex_lock(&a->lock);
    if (!a->cache)
        a->cache = calloc(AUTHORIZE_CACHE, sizeof(*a->cache));
    if (a->cache) {
        struct cached *set = set_of(a, key), *at = set;
        for (unsigned i = 1; i < WAYS && !is_for(at, key); i++)
            if (is_for(&set[i], key) || set[i].until < at->until)
                at = &set[i];
        before = at->decision;
        memcpy(at->key, key, AUTHORIZE_KEY_LEN);
        at->until = until;
        at->decision = d;
        atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&a->lock);
    decision_unref(before);
}

/* ---- asking ---- */

static void count(struct authorizer *a, const struct decision *d)
{
    atomic_uint_fast64_t *counter = !d ? &a->unknown : d->verdict == VERDICT_YES ? &a->yes : &a->no;
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* A decision is not kept beyond its own end: whoever comes back then is asked about again. */
static uint64_t keep_ms(const struct outbound_job *job, const struct decision *d)
{
    uint64_t ms = (job->max_age < AUTHORIZE_AGE_MAX ? job->max_age : AUTHORIZE_AGE_MAX) * 1000ull;
    uint64_t now = clock_ms(CLOCK_REALTIME), left = d->expires > now ? d->expires - now : 0;
    return d->expires > 0 && left < ms ? left : ms;
}

/* On the outbound's thread. */
static void done(struct outbound_job *job)
{
    struct question *q = (struct question *)(void *)job; /* its first member */
    struct authorizer *a = q->authorizer;
    q->decision = read_answer(job);
    uint64_t ms = q->decision ? keep_ms(job, q->decision) : 0;
    if (ms > 0)
        remember(a, q->key, q->decision, clock_ms(CLOCK_MONOTONIC) + ms);
    count(a, q->decision);
    atomic_fetch_add_explicit(&a->took_ms, job->took_ms, memory_order_relaxed);
    atomic_fetch_sub(&a->waiting, 1);
    q->answered(q);
}

static void make_key(const struct authorizer *a, struct question *q)
{
    unsigned char first[AUTHORIZE_KEY_LEN];
    unsigned int len = AUTHORIZE_KEY_LEN;
    HMAC(EVP_sha256(), a->secret, sizeof(a->secret), (const unsigned char *)q->job.headers.data,
         q->job.headers.len, first, &len);
    HMAC(EVP_sha256(), first, sizeof(first), (const unsigned char *)q->job.body.data, q->job.body.len, q->key,
         &len);
}

int authorizer_look_up(struct authorizer *a, struct question *q, uint64_t now)
{
    q->authorizer = a;
    make_key(a, q);
    q->decision = look_up(a, q->key, now);
    if (q->decision) {
        atomic_fetch_add_explicit(&a->cached, 1, memory_order_relaxed);
        return 1;
    }
    if (atomic_fetch_add(&a->waiting, 1) >= a->most + AUTHORIZE_QUEUE) {
        atomic_fetch_sub(&a->waiting, 1);
        atomic_fetch_add_explicit(&a->busy, 1, memory_order_relaxed);
        return -1;
    }
    return 0;
}

void authorizer_ask(struct authorizer *a, struct question *q)
{
    atomic_fetch_add_explicit(&a->asked, 1, memory_order_relaxed);
    q->job.timeout_ms = a->timeout_ms;
    q->job.done = done;
    outbound_submit(a->outbound, &q->job);
}

/* ---- life ---- */

int authorizer_init(struct authorizer *a, const char *url, uint32_t timeout_ms, uint32_t most, char *error,
                    size_t size)
{
    memset(a, 0, sizeof(*a));
    pthread_mutex_init(&a->lock, NULL);
    if (!url)
        return 0;
    a->timeout_ms = timeout_ms;
    a->most = most;
    if (rng_secret(a->secret, sizeof(a->secret)) < 0)
        return -1;
    return outbound_create(&a->outbound, url, most, error, size);
}

void authorizer_stop(struct authorizer *a)
{
    outbound_stop(a->outbound, 0);
}

void authorizer_finish(struct authorizer *a)
{
    outbound_destroy(a->outbound);
    for (unsigned i = 0; a->cache && i < AUTHORIZE_CACHE; i++)
        decision_unref(a->cache[i].decision);
    free(a->cache);
    pthread_mutex_destroy(&a->lock);
}
