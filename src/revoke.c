/* SPDX-License-Identifier: MIT
 *
 * revoke - see revoke.h. Streams are found by looking at all of them, under the lock: an operator does that
 * rarely, and then wants all of them, at once.
 */
#include "revoke.h"

#include "json.h"
#include "lists.h"
#include "query.h"

#include <stdio.h>
#include <string.h>

#define BAN_MAX  (365u * 24 * 3600) /* seconds */
#define LIST_MAX 1000               /* bans in one answer */
#define KEY_MAX  256

enum kind { CLIENT, ADDRESS, TOKEN };

/* What is to be revoked, as bans know it. */
struct target {
    enum kind kind;
    struct netaddr group; /* ADDRESS */
    char text[3 * KEY_MAX];
    struct span key; /* in text, or the group's bytes */
};

static struct bans *bans_of(struct service *s, enum kind kind)
{
    struct registry *reg = s->registry;
    return kind == CLIENT ? &reg->bans : kind == ADDRESS ? &reg->banned_addresses : &reg->banned_tokens;
}

static bool read_target(struct request *r, enum kind kind, struct target *t)
{
    ssize_t n =
        r->param.len <= sizeof(t->text) ? text_percent_decode(r->param.p, r->param.len, t->text, false) : -1;
    t->kind = kind;
    t->key = (struct span){t->text, n > 0 ? (size_t)n : 0};
    if (kind != ADDRESS) {
        if (n > 0 && text_is_name(t->text, (size_t)n, KEY_MAX))
            return true;
        http_problem(r, 400, "invalid_id", "1 to %d bytes of UTF-8 without control characters are wanted",
                     KEY_MAX);
        return false;
    }
    struct netaddr address = {.family = NETADDR_NONE};
    if (n <= 0 || (!span_eq(t->key, SPAN("unix")) && !netaddr_parse(t->key, &address))) {
        http_problem(r, 400, "invalid_address", "an IPv4 or IPv6 address is wanted, or unix");
        return false;
    }
    t->group = netaddr_group(&address);
    t->key = (struct span){(const char *)&t->group, sizeof(t->group)};
    return true;
}

static bool is_meant(const struct target *t, const struct sub *sub)
{
    const struct conn *c = conn_of_sub((struct sub *)(uintptr_t)sub);
    if (t->kind == TOKEN)
        return conn_token_id(c).p && span_eq(conn_token_id(c), t->key);
    struct netaddr address = conn_netaddr(c), group = netaddr_group(&address);
    return netaddr_eq(&group, &t->group);
}

/* With the lock. */
static uint32_t kick_all(struct service *s, const struct target *t, uint64_t *wake)
{
    uint32_t count = 0;
    struct channel *client = NULL;
    while ((client = registry_next_client(s->registry, client)))
        for (struct sub *sub = client->client.first; sub; sub = sub->next)
            if (is_meant(t, sub))
                count += registry_kick_sub(s->registry, sub, wake);
    return count;
}

static void revoke(struct request *r, enum kind kind)
{
    struct service *s = r->service;
    struct target t;
    uint64_t seconds, wake = 0, now = clock_mono(s->clock);
    if (!read_target(r, kind, &t) || !query_number(r, "ban", BAN_MAX, 0, &seconds))
        return;
    log_lock(s->log);
    int banned = seconds ? registry_ban(s->registry, bans_of(s, kind), t.key, now + seconds * 1000, now) : 0;
    uint32_t count = banned == 0 ? kick_all(s, &t, &wake) : 0;
    log_unlock(s->log);
    registry_wake(s->registry, wake, r->loop->index);
    int rc = banned == -2 ? TIDINGS_ELIMIT : banned < 0 ? TIDINGS_ENOMEM : (int)count;
    lists_answer_kick(r, rc == 0 && seconds == 0 ? TIDINGS_ENOENT : rc);
}

void revoke_address(struct request *r)
{
    revoke(r, ADDRESS);
}

void revoke_token(struct request *r)
{
    revoke(r, TOKEN);
}

/* ---- bans ---- */

struct listing {
    struct buf json;
    enum kind kind;
    uint32_t count;
    uint64_t now;
    uint64_t wall;
};

static void put_ban(void *user, struct span key, uint64_t until)
{
    static const char *const kinds[] = {"client", "address", "token"};
    struct listing *l = user;
    char text[NETADDR_TEXT_MAX];
    if (l->count == LIST_MAX)
        return;
    buf_puts(&l->json, l->count++ ? ",{\"kind\":\"" : "{\"kind\":\"");
    buf_puts(&l->json, kinds[l->kind]);
    buf_putc(&l->json, '"');
    if (l->kind == ADDRESS) {
        struct netaddr group;
        memcpy(&group, key.p, sizeof(group));
        netaddr_print(&group, text);
        key = span_of(text);
    }
    json_put_member(&l->json, "key", key);
    json_put_member_u64(&l->json, "until", l->wall + (until - l->now));
    buf_putc(&l->json, '}');
}

void revoke_list(struct request *r)
{
    struct service *s = r->service;
    struct listing l = {.now = clock_mono(s->clock), .wall = clock_wall(s->clock)};
    uint64_t total = 0;
    buf_init(&l.json, 4u << 20);
    buf_puts(&l.json, "{\"bans\":[");
    log_lock(s->log);
    for (l.kind = CLIENT; l.kind <= TOKEN; l.kind++) {
        bans_each(bans_of(s, l.kind), l.now, put_ban, &l);
        total += bans_of(s, l.kind)->count;
    }
    log_unlock(s->log);
    buf_putc(&l.json, ']');
    json_put_member_u64(&l.json, "total", total);
    buf_putc(&l.json, '}');
    http_reply_json(r, 200, &l.json);
    buf_finish(&l.json);
}

static void lift(struct request *r, enum kind kind)
{
    struct service *s = r->service;
    struct target t;
    if (!read_target(r, kind, &t))
        return;
    log_lock(s->log);
    bool was = bans_lift(bans_of(s, kind), t.key, clock_mono(s->clock));
    log_unlock(s->log);
    if (was)
        http_reply(r, 200, TYPE_JSON, SPAN("{\"ok\":true}"), "Cache-Control: no-store\r\n");
    else
        http_problem(r, 404, "not_banned", "no such ban is in force");
}

void revoke_lift_client(struct request *r)
{
    lift(r, CLIENT);
}

void revoke_lift_address(struct request *r)
{
    lift(r, ADDRESS);
}

void revoke_lift_token(struct request *r)
{
    lift(r, TOKEN);
}
