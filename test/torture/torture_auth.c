/* SPDX-License-Identifier: MIT
 *
 * torture_auth - the n-th allocation fails, for every n, while a hub with credentials is made, asked and
 * reloaded. Whoever may not is never admitted because memory was short, whoever may is admitted or told that
 * it is, and nothing is left.
 *
 * Environment: N=n replays one.
 */
#include "fault.h"
#include "jwt.h"
#include "sim_hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const publish_keys[] = {"publish-key", NULL}, *const admin_keys[] = {"admin-key", NULL};
static const char *const origins[] = {"https://app.example", "https://other.example", NULL};

static long the_n;

static _Noreturn void fail(const char *what, const char *detail)
{
    fault_disarm();
    fprintf(stderr, "torture_auth: N=%ld: %s: %s\n", the_n, what, detail);
    exit(1);
}

/* One request on a connection of its own; `right`: it may be answered with 200, else never. */
static void ask(struct sim_hub *h, bool right, const char *request)
{
    struct sim_client c;
    sim_client_open(&c, h->sim, 0);
    sim_client_ask(&c, request, strlen(request));
    if (!sim_settle(h->sim))
        fail("the loops turn for ever", request);
    sim_client_read_all(&c);
    int status = c.answers > 0 ? c.statuses[0] : 0;
    if (c.wrong && !c.broken && !c.ended)
        fail(c.wrong, request);
    if (!right && status != 401 && status != 403 && !fault_hit())
        fail("was not refused", request);
    if (!right && status == 200)
        fail("was admitted", request);
    if (right && status != 200 && !fault_hit())
        fail("was not admitted", request);
    sim_client_finish(&c);
    if (!sim_settle(h->sim))
        fail("the loops turn for ever", request);
}

static void askf(struct sim_hub *h, bool right, const char *method, const char *target, const char *field,
                 const char *value, const char *body)
{
    char request[4096];
    fault_pause();
    snprintf(request, sizeof(request),
             "%s %s HTTP/1.1\r\nHost: hub.example\r\nOrigin: https://app.example\r\n%s%s%s"
             "Content-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
             method, target, field, value, field[0] ? "\r\n" : "", strlen(body), body);
    fault_resume();
    ask(h, right, request);
}

static void ask_everything(struct sim_hub *h)
{
    static const char note[] = "{\"clientId\":\"ada\",\"event\":\"x\",\"payload\":1}";
    static const char batch[] = "[{\"clientId\":\"ada\",\"event\":\"x\",\"payload\":1}]";
    char ada[1024], admin[1024];
    fault_pause();
    snprintf(
        ada, sizeof(ada), "%s",
        jwt("{\"sub\":\"ada\",\"exp\":9999999999,\"jti\":\"j\",\"tidings\":{\"publish\":[\"client:ada\"]}}"));
    snprintf(admin, sizeof(admin), "%s", jwt("{\"exp\":9999999999,\"tidings\":{\"admin\":true}}"));
    fault_resume();
    askf(h, false, "GET", "/api/sse/clients", "", "", "");
    askf(h, false, "GET", "/api/sse/clients", "Authorization: Bearer ", "admin-kez", "");
    askf(h, true, "GET", "/api/sse/clients", "Authorization: Bearer ", "admin-key", "");
    askf(h, true, "GET", "/api/sse/clients", "Cookie: tidings_token=", admin, "");
    askf(h, false, "POST", "/api/sse/notify", "", "", note);
    askf(h, true, "POST", "/api/sse/notify", "Authorization: Bearer ", "publish-key", note);
    askf(h, true, "POST", "/api/sse/notify", "Authorization: Bearer ", ada, note);
    askf(h, true, "POST", "/api/sse/notify/batch", "Cookie: tidings_token=", ada, batch);
    askf(h, true, "GET", "/api/sse/subscribe/ada", "Authorization: Bearer ", ada, "");
    askf(h, false, "GET", "/api/sse/subscribe/bob", "Authorization: Bearer ", ada, "");
    askf(h, false, "GET", "/api/sse/subscribe/ada", "", "", "");
    askf(h, true, "POST", "/api/sse/admin/login", "", "", "{\"key\":\"admin-key\"}");
    askf(h, false, "POST", "/api/sse/admin/login", "", "", "{\"key\":\"publish-key\"}");
    askf(h, true, "GET", "/api/sse/admin/session", "Authorization: Bearer ", admin, "");
}

static bool run(long n, long *count)
{
    struct sim_hub h;
    the_n = n;
    sim_hub_init(&h, 5);
    h.config.publish_keys = publish_keys;
    h.config.admin_keys = admin_keys;
    h.config.cors_origins = origins;
    h.config.jwt_secret = JWT_SECRET;
    h.config.jwt_issuer = NULL;
    fault_arm(n, 1);
    int rc = sim_hub_start(&h);
    if (rc == 0) {
        ask_everything(&h);
        tidings_hub_reconfigure(h.hub, &h.config);
        ask_everything(&h);
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
