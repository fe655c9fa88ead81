/* SPDX-License-Identifier: MIT
 *
 * torture_authorize - the n-th allocation fails, for every n, while a hub asks the user's application about
 * its visitors. Whom it refuses is never admitted because memory was short, whom it admits is admitted as it
 * said or not at all, and nothing is left. The application is a double that answers at once.
 *
 * Environment: N=n replays one.
 */
#include "fault.h"
#include "sim_hub.h"

#include "authorize.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL's allocations are among those that fail. */
static void *take(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return malloc(n);
}

static void *take_more(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return realloc(p, n);
}

static void give(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

static long the_n;

static _Noreturn void fail(const char *what, const char *detail)
{
    fault_disarm();
    fprintf(stderr, "torture_authorize: N=%ld: %s: %s\n", the_n, what, detail);
    exit(1);
}

/* ---- the double ---- */

int __wrap_outbound_create(struct outbound **out, const char *url, unsigned most, char *error, size_t size);
void __wrap_outbound_submit(struct outbound *o, struct outbound_job *job);
void __wrap_outbound_stop(struct outbound *o, uint32_t grace_ms);
void __wrap_outbound_destroy(struct outbound *o);

static char asked, told;             /* the two ends */
static struct outbound_job *notices; /* that nobody takes before the end */

int __wrap_outbound_create(struct outbound **out, const char *url, unsigned most, char *error, size_t size)
{
    (void)most, (void)error, (void)size;
    *out = (struct outbound *)(void *)(strstr(url, "/events") ? &told : &asked);
    return 0;
}

static bool asks_for(const struct outbound_job *job, const char *client)
{
    return job->body.len > 0 && memmem(job->body.data, job->body.len, client, strlen(client));
}

void __wrap_outbound_submit(struct outbound *o, struct outbound_job *job)
{
    if (o == (struct outbound *)(void *)&told) {
        notices = job;
        return;
    }
    if (!job->headers.failed && !job->body.failed) { /* as the real one */
        bool is_me = asks_for(job, "\"clientId\":\"me\"");
        job->status = is_me ? 200 : 403;
        job->max_age = 60;
        if (is_me)
            buf_puts(&job->answer, "{\"clientId\":\"user-7\",\"topics\":[\"extra\"],\"subscribe\":[\"n*\"],"
                                   "\"expiresAt\":8000000000000000}");
        if (job->answer.failed)
            job->status = 0;
    }
    job->done(job);
}

void __wrap_outbound_stop(struct outbound *o, uint32_t grace_ms)
{
    (void)grace_ms;
    if (o != (struct outbound *)(void *)&told || !notices)
        return;
    struct outbound_job *job = notices;
    notices = NULL;
    job->over = true;
    job->done(job);
}

void __wrap_outbound_destroy(struct outbound *o)
{
    (void)o;
}

/* ---- the visitors ---- */

static void see(void *user, const struct sim_event *e)
{
    char client[TIDINGS_CLIENT_ID_MAX + 1];
    if (strcmp(e->name, "__connected") != 0)
        return;
    *(bool *)user = true;
    if (!sim_json_text(e->data, "clientId", client, sizeof(client)) || strcmp(client, "user-7") != 0)
        fail("was admitted as somebody else", e->data);
}

static void come(struct sim_hub *h, bool right, const char *target, const char *cookie)
{
    struct sim_client c;
    bool admitted = false;
    sim_client_open(&c, h->sim, 0);
    c.on_event = see;
    c.user = &admitted;
    fault_pause();
    sim_client_askf(&c,
                    "GET /api/sse/subscribe/%s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
                    "Cookie: %s\r\nUser-Agent: probe\r\n\r\n",
                    target, cookie);
    fault_resume();
    if (!sim_settle(h->sim))
        fail("the loops turn for ever", target);
    sim_client_read_all(&c);
    if (c.wrong && !c.broken && !c.ended)
        fail(c.wrong, target);
    if (admitted && !right)
        fail("was admitted", target);
    if (!admitted && right && !fault_hit())
        fail("was not admitted", c.answer.head);
    sim_client_finish(&c);
    if (!sim_settle(h->sim))
        fail("the loops turn for ever", target);
}

static void come_all(struct sim_hub *h)
{
    come(h, true, "me?name=Ada&topic=news&topic=night", "session=1");
    come(h, true, "me?name=Ada&topic=news&topic=night", "session=1"); /* it is known */
    come(h, true, "me?access_token=abc.def", "session=2");
    come(h, false, "me?topic=weather", "session=1");
    come(h, false, "bob?name=me&topic=news", "session=1");
    come(h, false, "bob?name=me&topic=news", "session=1");
}

static bool run(long n, long *count)
{
    struct sim_hub h;
    the_n = n;
    sim_hub_init(&h, 5);
    h.config.authorize_url = "http://application.example/authorize";
    h.config.event_url = "http://application.example/events";
    fault_arm(n, 1);
    int rc = sim_hub_start(&h);
    if (rc == 0) {
        come_all(&h);
        const char *left = sim_hub_leftover(h.sim, h.hub);
        if (left)
            fail("something is left", left);
    } else if (!fault_hit()) {
        fail("no hub", tidings_strerror(rc));
    }
    *count = fault_count();
    bool hit = fault_hit();
    fault_disarm();
    sim_hub_finish(&h);
    return hit;
}

int main(void)
{
    const char *one = getenv("N");
    long total, count;
    CRYPTO_set_mem_functions(take, take_more, give);
    run(0, &total); /* what OpenSSL makes once for the whole process */
    if (one) {
        run(strtol(one, NULL, 10), &count);
        return 0;
    }
    run(0, &total);
    for (long n = 1; run(n, &count); n += SIM_SLOW ? 5 : 1)
        ;
    printf("%ld allocations, each failed\n", total);
    return total > 100 ? 0 : 1;
}
