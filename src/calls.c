/* SPDX-License-Identifier: MIT
 *
 * calls - what an embedder asks of a running hub: the guide's calls, publishing, looking, ending streams.
 */
#include "hub.h"

#include "lists.h"
#include "publish.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- the guide's calls ---- */

int tidings_publish(struct tidings_hub *hub, const struct tidings_message *message,
                    struct tidings_receipt *receipt)
{
    struct tidings_receipt unused;
    struct json_error error;
    if ((message->json_len > 0 && !message->json) || (message->event_len > 0 && !message->event) ||
        (message->to_len > 0 && !message->to && message->target != TIDINGS_TO_ALL) ||
        (message->idempotency_key_len > 0 && !message->idempotency_key))
        return TIDINGS_EINVAL;
    return publish_message(&hub->service, message, receipt ? receipt : &unused, &error);
}

static int send_simple(struct tidings_hub *hub, enum tidings_target target, const char *to, const char *event,
                       const char *json, size_t len)
{
    struct tidings_receipt receipt;
    const struct tidings_message message = {.target = target,
                                            .to = to,
                                            .to_len = to ? strlen(to) : 0,
                                            .event = event,
                                            .event_len = event ? strlen(event) : 0,
                                            .json = json,
                                            .json_len = len,
                                            .ttl = TIDINGS_TTL_DEFAULT};
    int rc = tidings_publish(hub, &message, &receipt);
    if (rc < 0)
        return rc;
    return receipt.connections > INT_MAX ? INT_MAX : (int)receipt.connections;
}

int tidings_send_event(struct tidings_hub *hub, const char *client_id, const char *event, const char *json,
                       size_t len)
{
    return send_simple(hub, TIDINGS_TO_CLIENT, client_id, event, json, len);
}

int tidings_broadcast(struct tidings_hub *hub, const char *event, const char *json, size_t len)
{
    return send_simple(hub, TIDINGS_TO_ALL, NULL, event, json, len);
}

uint64_t tidings_total_connections(struct tidings_hub *hub)
{
    log_lock(&hub->log);
    uint64_t n = hub->registry.connections;
    log_unlock(&hub->log);
    return n;
}

void tidings_get_connection_metrics(struct tidings_hub *hub, struct tidings_connection_metrics *metrics)
{
    log_lock(&hub->log);
    metrics->total_connections = hub->registry.connections;
    metrics->total_clients = hub->registry.clients;
    log_unlock(&hub->log);
    metrics->average_connections_per_client =
        metrics->total_clients ? (double)metrics->total_connections / (double)metrics->total_clients : 0;
}

/* A page of clients, copied so that the callback may call the hub. */
#define COPY_MAX 256

struct client_copy {
    struct tidings_client_info info;
    uint64_t arrival;
    char client_id[TIDINGS_CLIENT_ID_MAX + 1];
    char name[TIDINGS_NAME_MAX + 1];
};

static void copy_client(const struct service *s, const struct channel *c, struct client_copy *copy)
{
    memset(copy, 0, sizeof(*copy));
    memcpy(copy->client_id, c->key, c->key_len);
    if (c->label)
        memcpy(copy->name, c->label, strlen(c->label));
    copy->arrival = c->arrival;
    copy->info = (struct tidings_client_info){
        .client_id = copy->client_id, .name = copy->name, .connections = c->subs};
    lists_times(s, c, &copy->info.connected_at, &copy->info.last_seen);
}

/* Clients that came before `arrival`. Where the last page ended is found again by its client, or by walking.
 */
static unsigned copy_page(struct tidings_hub *hub, const struct client_copy *last, struct client_copy *page)
{
    unsigned n = 0;
    log_lock(&hub->log);
    struct channel *c =
        last ? lists_behind(&hub->service, last->arrival, span_of(last->client_id)) : hub->registry.newest;
    for (; c && n < COPY_MAX; c = registry_next_client(&hub->registry, c))
        copy_client(&hub->service, c, &page[n++]);
    log_unlock(&hub->log);
    return n;
}

int tidings_get_connected_clients(struct tidings_hub *hub,
                                  bool (*callback)(void *user, const struct tidings_client_info *client),
                                  void *user)
{
    struct client_copy *page = malloc((COPY_MAX + 1) * sizeof(*page)), *last = NULL;
    if (!page)
        return TIDINGS_ENOMEM;
    bool more = true;
    for (unsigned n; more && (n = copy_page(hub, last, page)) > 0;) {
        for (unsigned i = 0; more && i < n; i++)
            more = callback(user, &page[i].info);
        page[COPY_MAX] = page[n - 1];
        last = &page[COPY_MAX];
    }
    free(page);
    return 0;
}

bool tidings_has_client_connections(struct tidings_hub *hub, const char *client_id)
{
    log_lock(&hub->log);
    struct channel *c = client_id ? log_find(&hub->log, CHANNEL_CLIENT, span_of(client_id)) : NULL;
    bool has = c && c->subs > 0;
    log_unlock(&hub->log);
    return has;
}

int tidings_disconnect_client(struct tidings_hub *hub, const char *client_id, uint32_t ban_seconds)
{
    struct span id = span_of(client_id);
    if (!text_is_name(id.p, id.len, TIDINGS_CLIENT_ID_MAX))
        return TIDINGS_ENAME;
    return lists_disconnect(&hub->service, id, ban_seconds, REGISTRY_NO_LOOP);
}
