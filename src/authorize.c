/* SPDX-License-Identifier: MIT
 *
 * authorize - see authorize.h. A question is known again by a keyed hash of all that was sent, credentials
 * included, so the cache holds none. It is a table of sets; where one is full the answer that ends first
 * makes room.
 */
#include "authorize.h"

#include "members.h"
#include "rng.h"
#include "token.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>
#include <time.h>

#define WAYS     8
#define SETS     (AUTHORIZE_CACHE / WAYS)
#define TEXT_MAX 2048 /* bytes of a text as it is written: the longest, with an escape for each byte */
#define AT_MAX   UINT64_C(8640000000000000) /* ms: what a JavaScript Date can hold */
#define IN_MAX   UINT64_C(1000000000000)    /* ms */

/* One allocation with all its texts. */
struct decision {
    atomic_uint refs;
    enum verdict verdict;
    uint64_t expires;
    struct span client, name; /* p = NULL: it does not say */
    bool limits;              /* it says `subscribe` */
    uint32_t topic_count, subscribe_count;
    struct span *topics, *subscribe;
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

static struct decision *make(enum verdict verdict, size_t spans, size_t bytes)
{
    struct decision *d = calloc(1, sizeof(*d) + spans * sizeof(struct span) + bytes);
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
    free(d);
}

enum verdict decision_verdict(const struct decision *d)
{
    return d ? d->verdict : VERDICT_UNKNOWN;
}

struct span decision_client(const struct decision *d)
{
    return d->client;
}

struct span decision_name(const struct decision *d)
{
    return d->name;
}

struct span decision_topic(const struct decision *d, size_t i)
{
    return i < d->topic_count ? d->topics[i] : (struct span){0};
}

uint64_t decision_expires(const struct decision *d)
{
    return d->expires;
}

bool decision_allows(const struct decision *d, struct span topic)
{
    for (uint32_t i = 0; i < d->subscribe_count; i++) {
        struct span entry = d->subscribe[i];
        bool prefix = entry.len > 0 && entry.p[entry.len - 1] == '*';
        if (prefix ? span_starts(topic, (struct span){entry.p, entry.len - 1}) : span_eq(topic, entry))
            return true;
    }
    return !d->limits;
}

/* ---- reading answers ---- */

/* What an answer says, before it is a decision. */
struct saying {
    struct member client, name, topics, subscribe;
    uint32_t topic_count, subscribe_count;
    uint64_t expires;
    size_t bytes;
};

static bool is_text(const struct member *text, size_t max)
{
    char room[TEXT_MAX];
    if (!text->raw.p)
        return true;
    if (text->kind != JSON_STRING || text->raw.len > sizeof(room))
        return false;
    struct span content = members_text(text, room);
    return text_is_name(content.p, content.len, max);
}

static bool is_topic(struct span topic)
{
    return text_is_name(topic.p, topic.len, TIDINGS_TOPIC_MAX);
}

static bool read_expiry(struct span said, uint64_t *expires)
{
    struct member in = members_find(said, "expiresIn"), at = members_find(said, "expiresAt");
    uint64_t in_ms = 0, at_micros = 0;
    if ((in.raw.p && !members_milli(&in, IN_MAX, &in_ms)) ||
        (at.raw.p && !members_milli(&at, AT_MAX * 1000, &at_micros)))
        return false;
    uint64_t end = at.raw.p ? at_micros / 1000 : clock_ms(CLOCK_REALTIME) + in_ms;
    *expires = !at.raw.p && !in.raw.p ? 0 : end > 0 ? end : 1; /* 0 would be no end */
    return true;
}

static bool read_saying(struct span said, struct saying *s)
{
    char room[TEXT_MAX];
    if (members_check(said, MEMBERS_MAX))
        return false;
    s->client = members_find(said, "clientId");
    s->name = members_find(said, "name");
    s->topics = members_find(said, "topics");
    s->subscribe = members_find(said, "subscribe");
    s->bytes = s->client.raw.len + s->name.raw.len;
    return is_text(&s->client, TIDINGS_CLIENT_ID_MAX) && is_text(&s->name, TIDINGS_NAME_MAX) &&
           members_measure(&s->topics, TOKEN_ENTRIES, is_topic, room, sizeof(room), &s->topic_count,
                           &s->bytes) &&
           members_measure(&s->subscribe, TOKEN_ENTRIES, is_topic, room, sizeof(room), &s->subscribe_count,
                           &s->bytes) &&
           read_expiry(said, &s->expires);
}

/* NULL: it says nothing that can be understood, or memory is short. */
static struct decision *read_yes(const struct buf *answer)
{
    struct saying s;
    if (answer->len == 0)
        return make(VERDICT_YES, 0, 0);
    if (!read_saying((struct span){answer->data, answer->len}, &s))
        return NULL;
    struct decision *d = make(VERDICT_YES, s.topic_count + s.subscribe_count, s.bytes);
    if (!d)
        return NULL;
    d->expires = s.expires;
    d->limits = s.subscribe.raw.p != NULL;
    d->topic_count = s.topic_count;
    d->subscribe_count = s.subscribe_count;
    d->topics = (struct span *)(d + 1);
    d->subscribe = d->topics + d->topic_count;
    char *room = (char *)(d->subscribe + d->subscribe_count);
    d->client = members_keep(&s.client, &room);
    d->name = members_keep(&s.name, &room);
    members_keep_list(d->topics, &s.topics, &room);
    members_keep_list(d->subscribe, &s.subscribe, &room);
    return d;
}

static struct decision *read_answer(const struct outbound_job *job)
{
    if (job->status == 401)
        return make(VERDICT_UNAUTHORIZED, 0, 0);
    if (job->status == 403)
        return make(VERDICT_FORBIDDEN, 0, 0);
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

/* False: memory is short, or was when the question was written. Two visitors must not have one key then. */
static bool make_key(const struct authorizer *a, struct question *q)
{
    unsigned char first[JWS_MAC_MAX], both[JWS_MAC_MAX];
    struct span secret = {(const char *)a->secret, sizeof(a->secret)};
    struct span headers = {q->job.headers.data, q->job.headers.len},
                body = {q->job.body.data, q->job.body.len};
    bool whole = !q->job.headers.failed && !q->job.body.failed;
    bool made = whole && jws_hmac(JWS_HS256, secret, headers, first) == AUTHORIZE_KEY_LEN &&
                jws_hmac(JWS_HS256, (struct span){(const char *)first, AUTHORIZE_KEY_LEN}, body, both) ==
                    AUTHORIZE_KEY_LEN;
    if (made)
        memcpy(q->key, both, AUTHORIZE_KEY_LEN);
    return made;
}

int authorizer_look_up(struct authorizer *a, struct question *q, uint64_t now)
{
    q->authorizer = a;
    q->decision = NULL;
    if (!make_key(a, q))
        return -1;
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
