/* SPDX-License-Identifier: MIT
 *
 * hooks - see hooks.h. The job goes round: written from the head of the list, sent, and either its notices
 * are dropped from the list or it is written again, with a new time in its signature.
 */
#include "hooks.h"

#include "rng.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_MS 10000
#define RETRY_MS   500
#define RETRY_MAX  60000

struct notice_text {
    struct notice_text *next;
    size_t len;
    char text[];
};

/* ---- writing a request ---- */

static void sign_with(const struct hooks *h, size_t i, long long seconds, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char mac[EVP_MAX_MD_SIZE] = {0};
    unsigned int len = sizeof(mac);
    struct buf text;
    buf_init(&text, 2u << 20);
    buf_printf(&text, "%lld.", seconds);
    buf_append(&text, h->job.body.data, h->job.body.len);
    if (text.failed || !HMAC(EVP_sha256(), h->secrets[i], (int)strlen(h->secrets[i]),
                             (const unsigned char *)text.data, text.len, mac, &len))
        out->failed = true;
    buf_finish(&text);
    buf_puts(out, ",v1=");
    for (unsigned k = 0; !out->failed && k < len; k++) {
        buf_putc(out, digits[mac[k] >> 4]);
        buf_putc(out, digits[mac[k] & 15]);
    }
}

static void sign(struct hooks *h)
{
    struct buf value;
    long long seconds = (long long)time(NULL);
    if (h->secret_count == 0)
        return;
    buf_init(&value, 1024);
    buf_printf(&value, "t=%lld", seconds);
    for (size_t i = 0; i < h->secret_count; i++)
        sign_with(h, i, seconds, &value);
    if (value.failed)
        h->job.headers.failed = true;
    else
        outbound_add_header(&h->job, "Tidings-Signature", (struct span){value.data, value.len});
    buf_finish(&value);
}

static void write_body(struct hooks *h)
{
    struct buf *body = &h->job.body;
    const struct notice_text *n = h->first;
    h->told_lost = h->lost;
    buf_puts(body, "{\"events\":[");
    if (h->lost > 0)
        buf_printf(body, "{\"type\":\"lost\",\"count\":%llu}", (unsigned long long)h->lost);
    for (h->batch = 0; n && h->batch < HOOKS_BATCH; n = n->next) {
        buf_puts(body, h->batch++ > 0 || h->lost > 0 ? ",{" : "{");
        buf_append(body, n->text, n->len);
        buf_putc(body, '}');
    }
    buf_puts(body, "]}");
}

static uint32_t pause(const struct hooks *h)
{
    uint32_t ms = RETRY_MS, jitter;
    for (uint32_t i = 1; i < h->failures && ms < RETRY_MAX; i++)
        ms *= 2;
    ms = ms < RETRY_MAX ? ms : RETRY_MAX;
    if (h->failures == 0)
        return 0;
    return rng_secret(&jitter, sizeof(jitter)) < 0 ? ms : ms - jitter % (ms / 4 + 1);
}

/* With the lock: takes the next batch, or the same again. True: the job is the caller's now, to send it. */
static bool take_next(struct hooks *h)
{
    if (h->busy || (!h->first && h->lost == 0))
        return false;
    buf_clear(&h->job.headers);
    buf_clear(&h->job.body);
    write_body(h);
    h->job.timeout_ms = TIMEOUT_MS;
    h->job.delay_ms = pause(h);
    h->busy = true;
    return true;
}

/* Without the lock: a loop that has something to tell does not wait for a signature, and the job may be done
 * before this returns. */
static void send_taken(struct hooks *h)
{
    sign(h);
    outbound_submit(h->outbound, &h->job);
}

/* ---- what came of it ---- */

static void drop_batch(struct hooks *h)
{
    for (; h->batch > 0; h->batch--) {
        struct notice_text *gone = h->first;
        h->first = gone->next;
        h->waiting--;
        free(gone);
    }
    if (!h->first)
        h->last = NULL;
    h->lost -= h->told_lost;
    h->told_lost = 0;
    h->failures = 0;
}

static void done(struct outbound_job *job)
{
    struct hooks *h = (struct hooks *)(void *)((char *)job - offsetof(struct hooks, job));
    pthread_mutex_lock(&h->lock);
    h->busy = false;
    if (job->status >= 200 && job->status < 300) {
        atomic_fetch_add_explicit(&h->sent, h->batch, memory_order_relaxed);
        drop_batch(h);
    } else {
        atomic_fetch_add_explicit(&h->failed, 1, memory_order_relaxed);
        h->failures++;
    }
    bool more = !job->over && take_next(h);
    pthread_mutex_unlock(&h->lock);
    if (more)
        send_taken(h);
}

/* ---- telling ---- */

static struct notice_text *make(struct hooks *h, struct span members)
{
    char head[160];
    unsigned long long number = h->number + 1;
    int n = snprintf(head, sizeof(head), "\"id\":\"%s.%llu\",\"node\":\"%s\",\"seq\":%llu,", h->node, number,
                     h->node, number);
    struct notice_text *text = malloc(sizeof(*text) + (size_t)n + members.len);
    if (!text)
        return NULL;
    text->next = NULL;
    text->len = (size_t)n + members.len;
    memcpy(text->text, head, (size_t)n);
    memcpy(text->text + n, members.p, members.len);
    return text;
}

void hooks_tell(struct hooks *h, struct span members)
{
    if (!h->outbound)
        return;
    pthread_mutex_lock(&h->lock);
    struct notice_text *text = members.p && h->waiting < h->most ? make(h, members) : NULL;
    h->number++;
    if (!text) {
        h->lost++;
        atomic_fetch_add_explicit(&h->lost_ever, 1, memory_order_relaxed);
    } else {
        if (h->last)
            h->last->next = text;
        else
            h->first = text;
        h->last = text;
        h->waiting++;
    }
    bool more = take_next(h);
    pthread_mutex_unlock(&h->lock);
    if (more)
        send_taken(h);
}

uint32_t hooks_waiting(struct hooks *h)
{
    pthread_mutex_lock(&h->lock);
    uint32_t waiting = h->waiting;
    pthread_mutex_unlock(&h->lock);
    return waiting;
}

/* ---- life ---- */

static int keep_secrets(struct hooks *h, const char *const *secrets)
{
    for (; secrets && *secrets && h->secret_count < HOOKS_SECRETS_MAX; secrets++) {
        h->secrets[h->secret_count] = strdup(*secrets);
        if (!h->secrets[h->secret_count])
            return -1;
        h->secret_count++;
    }
    return 0;
}

int hooks_init(struct hooks *h, const char *url, const char *const *secrets, uint32_t most, const char *node,
               char *error, size_t size)
{
    memset(h, 0, sizeof(*h));
    snprintf(h->node, sizeof(h->node), "%s", node);
    pthread_mutex_init(&h->lock, NULL);
    outbound_job_init(&h->job);
    h->job.done = done;
    h->most = most;
    if (!url)
        return 0;
    if (keep_secrets(h, secrets) < 0) {
        snprintf(error, size, "out of memory");
        return -1;
    }
    return outbound_create(&h->outbound, url, 1, error, size);
}

void hooks_stop(struct hooks *h)
{
    outbound_stop(h->outbound, HOOKS_GRACE_MS);
}

void hooks_finish(struct hooks *h)
{
    hooks_stop(h);
    outbound_destroy(h->outbound);
    while (h->first) {
        struct notice_text *gone = h->first;
        h->first = gone->next;
        free(gone);
    }
    for (size_t i = 0; i < h->secret_count; i++) {
        explicit_bzero(h->secrets[i], strlen(h->secrets[i]));
        free(h->secrets[i]);
    }
    outbound_job_finish(&h->job);
    pthread_mutex_destroy(&h->lock);
}
