/* SPDX-License-Identifier: MIT
 *
 * registry - see registry.h. Lists are intrusive where there is one per client (a million of them) and arrays
 * where one is walked for each event (topics). Publishing allocates nothing here but the growth of an inbox,
 * and when that fails all subs of the loop are marked instead: news are never lost.
 *
 * What this room does not do: it never reads or writes a socket and knows connections only as subs.
 */
#include "registry.h"

#include <stdlib.h>
#include <string.h>

struct members {
    struct sub **subs;
    uint32_t count;
    uint32_t cap;
};

void registry_init(struct registry *r, struct log *log, uint32_t loops, void (*wake)(void *, uint32_t),
                   void *wake_user)
{
    memset(r, 0, sizeof(*r));
    r->log = log;
    r->loops = loops;
    r->wake = wake;
    r->wake_user = wake_user;
    bans_init(&r->bans, log->seed);
    bans_init(&r->banned_addresses, log->seed);
    bans_init(&r->banned_tokens, log->seed);
}

void registry_finish(struct registry *r)
{
    for (uint32_t i = 0; i < r->loops; i++)
        free(r->inboxes[i].channels);
    registry_changes_free(r->changes);
    bans_finish(&r->bans);
    bans_finish(&r->banned_addresses);
    bans_finish(&r->banned_tokens);
}

/* ---- telling the loops ---- */

static uint64_t bit(uint32_t loop)
{
    return 1ull << loop;
}

static bool inbox_push(struct inbox *in, struct channel *c)
{
    if (in->count == in->cap) {
        uint32_t cap = in->cap ? in->cap * 2 : 16;
        struct channel **channels = realloc(in->channels, cap * sizeof(*channels));
        if (!channels)
            return false;
        in->channels = channels;
        in->cap = cap;
    }
    in->channels[in->count++] = c;
    return true;
}

/* Returns the bit of the loop if it had no news before, that is, if it has to be woken. */
static uint64_t tell(struct registry *r, uint32_t loop, struct channel *c)
{
    struct inbox *in = &r->inboxes[loop];
    if (c == r->log->all)
        in->all = true;
    else if (!(c->queued & bit(loop))) {
        if (inbox_push(in, c))
            c->queued |= bit(loop);
        else
            in->overflow = true;
    }
    uint64_t before = atomic_fetch_or_explicit(&r->news, bit(loop), memory_order_seq_cst);
    return ~before & bit(loop);
}

static uint64_t tell_client(struct registry *r, struct channel *c)
{
    uint64_t loops = 0, wake = 0;
    for (struct sub *s = c->client.first; s; s = s->next)
        loops |= bit(s->loop);
    for (uint32_t i = 0; i < r->loops; i++)
        if (loops & bit(i))
            wake |= tell(r, i, c);
    return wake;
}

static uint64_t tell_listeners(struct registry *r, struct channel *c)
{
    if (c->kind == CHANNEL_CLIENT)
        return tell_client(r, c);
    uint64_t wake = 0;
    for (uint32_t i = 0; i < r->loops; i++) {
        bool listens =
            c->kind == CHANNEL_ALL ? r->streams[i] > 0 : c->topic.loops && c->topic.loops[i].count > 0;
        if (listens)
            wake |= tell(r, i, c);
    }
    return wake;
}

void registry_wake(struct registry *r, uint64_t wake_mask, uint32_t self)
{
    for (uint32_t i = 0; wake_mask; i++, wake_mask >>= 1)
        if (wake_mask & 1 && i != self)
            r->wake(r->wake_user, i);
}

/* Those of the loop who listen to the channel. */
static void mark_listeners(const struct channel *c, uint32_t loop, void (*mark)(void *, struct sub *),
                           void *user)
{
    if (c->kind == CHANNEL_CLIENT) {
        for (struct sub *s = c->client.first; s; s = s->next)
            if (s->loop == loop)
                mark(user, s);
    } else if (c->topic.loops) {
        for (uint32_t k = 0; k < c->topic.loops[loop].count; k++)
            mark(user, c->topic.loops[loop].subs[k]);
    }
}

/* Some channel found no place in the inbox, and nobody knows which. */
static void mark_everybody(const struct registry *r, uint32_t loop, void (*mark)(void *, struct sub *),
                           void *user)
{
    for (const struct channel *c = r->newest; c; c = c->client.older)
        mark_listeners(c, loop, mark, user);
    mark_listeners(r->log->admin, loop, mark, user);
}

struct news registry_take(struct registry *r, uint32_t loop, void (*mark)(void *user, struct sub *s),
                          void *user)
{
    struct inbox *in = &r->inboxes[loop];
    log_lock(r->log);
    atomic_fetch_and_explicit(&r->news, ~bit(loop), memory_order_seq_cst);
    if (in->overflow)
        mark_everybody(r, loop, mark, user);
    for (uint32_t i = 0; i < in->count; i++) {
        struct channel *c = in->channels[i];
        c->queued &= ~bit(loop);
        if (!in->overflow)
            mark_listeners(c, loop, mark, user);
        log_release(r->log, c);
    }
    in->count = 0;
    struct news news = {.horizon = r->log->seq, .all = in->all};
    in->all = in->overflow = false;
    log_unlock(r->log);
    return news;
}

/* ---- publishing ---- */

static struct channel *target(struct registry *r, enum channel_kind kind, struct span key, bool make)
{
    if (kind == CHANNEL_ALL || kind == CHANNEL_ADMIN)
        return kind == CHANNEL_ALL ? r->log->all : r->log->admin;
    return make ? log_open(r->log, kind, key) : log_find(r->log, kind, key);
}

uint64_t registry_listeners(const struct registry *r, const struct channel *c)
{
    return c->kind == CHANNEL_ALL ? r->connections : c->subs;
}

int registry_prepare(struct registry *r, enum channel_kind kind, struct span key, uint64_t ttl_ms,
                     struct place *place)
{
    bool keep = ttl_ms > 0;
    struct channel *c = target(r, kind, key, keep);
    *place = (struct place){.key = key};
    if (!c)
        return keep ? -1 : 0;
    place->kept = log_keeps(r->log, c, ttl_ms);
    place->refused = keep && !place->kept;
    place->slot = log_slot(c);
    if (!place->kept && registry_listeners(r, c) == 0) {
        log_release(r->log, c);
        return 0;
    }
    if (log_reserve(r->log, c) < 0) {
        log_release(r->log, c);
        return -1;
    }
    place->channel = c;
    place->prev = log_last_kept(r->log, c);
    return 0;
}

void registry_cancel(struct registry *r, struct place *place)
{
    if (place->channel)
        log_unreserve(r->log, place->channel);
    place->channel = NULL;
}

uint64_t registry_commit(struct registry *r, enum channel_kind kind, const struct place *place,
                         struct event *e, uint64_t ttl_ms, uint64_t *wake_mask)
{
    struct channel *c = place->channel;
    r->published[kind]++;
    if (place->refused)
        log_refuse(r->log, c ? c : target(r, kind, place->key, false), place->slot, e->seq);
    if (!c) {
        log_pass(r->log, e);
        return 0;
    }
    uint64_t connections = registry_listeners(r, c);
    log_append(r->log, c, e, ttl_ms, 0);
    if (connections > 0)
        *wake_mask |= tell_listeners(r, c);
    else if (!place->kept)
        log_retire(r->log, c); /* whoever was there when it was prepared has left */
    return connections;
}

/* ---- topics ---- */

static bool members_add(struct registry *r, struct sub *s, uint32_t at)
{
    struct channel *c = s->more->at[at].channel;
    if (!c->topic.loops)
        c->topic.loops = calloc(r->loops, sizeof(*c->topic.loops));
    if (!c->topic.loops)
        return false;
    struct members *m = &c->topic.loops[s->loop];
    if (m->count == m->cap) {
        uint32_t cap = m->cap ? m->cap * 2 : 4;
        struct sub **subs = realloc(m->subs, cap * sizeof(struct sub *));
        if (!subs)
            return false;
        m->subs = subs;
        m->cap = cap;
    }
    s->more->at[at].index = m->count;
    m->subs[m->count++] = s;
    c->subs++;
    r->topics_listened++;
    return true;
}

static uint32_t *index_in(struct sub *s, const struct channel *c)
{
    uint32_t i = 0;
    while (s->more->at[i].channel != c)
        i++;
    return &s->more->at[i].index;
}

static void members_remove(struct registry *r, struct sub *s, uint32_t at)
{
    struct channel *c = s->more->at[at].channel;
    struct members *m = &c->topic.loops[s->loop];
    struct sub *last = m->subs[--m->count];
    *index_in(last, c) = s->more->at[at].index;
    m->subs[s->more->at[at].index] = last;
    if (m->count == 0) {
        free(m->subs);
        *m = (struct members){0};
    }
    c->subs--;
    r->topics_listened--;
}

static void leave_topics(struct registry *r, struct sub *s)
{
    if (!s->more)
        return;
    for (uint32_t i = 0; i < s->more->count; i++) {
        members_remove(r, s, i);
        log_retire(r->log, s->more->at[i].channel);
    }
    free(s->more);
    s->more = NULL;
}

static bool has_topic(const struct sub_more *t, const struct channel *c)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->at[i].channel == c)
            return true;
    return false;
}

static bool join_topic(struct registry *r, struct sub *s, struct channel *c)
{
    if (!c)
        return false;
    if (has_topic(s->more, c))
        return true;
    s->more->at[s->more->count].channel = c;
    if (!members_add(r, s, s->more->count)) {
        log_retire(r->log, c);
        return false;
    }
    s->more->count++;
    return true;
}

static bool join_topics(struct registry *r, struct sub *s, const struct join *join)
{
    uint32_t wanted = join->client_id.p ? join->topic_count : 1;
    if (wanted == 0)
        return true;
    s->more = calloc(1, sizeof(*s->more) + wanted * sizeof(s->more->at[0]));
    if (!s->more)
        return false;
    bool ok = true;
    if (!join->client_id.p)
        ok = join_topic(r, s, r->log->admin);
    else
        for (uint32_t i = 0; ok && i < wanted; i++)
            ok = join_topic(r, s, log_open(r->log, CHANNEL_TOPIC, join->topics[i]));
    if (!ok)
        leave_topics(r, s);
    return ok;
}

/* ---- what dashboards are told ---- */

static void note_change(struct registry *r, const struct channel *c)
{
    struct changes *ch = r->changes;
    if (!ch || ch->truncated)
        return;
    for (uint32_t i = 0; i < ch->count; i++)
        if (ch->keys[i].len == c->key_len && memcmp(ch->keys[i].p, c->key, c->key_len) == 0)
            return;
    char *copy = ch->count < REGISTRY_CHANGES_MAX ? malloc(c->key_len) : NULL;
    if (!copy) {
        ch->truncated = true;
        return;
    }
    memcpy(copy, c->key, c->key_len);
    ch->keys[ch->count++] = (struct span){copy, c->key_len};
}

struct changes *registry_take_changes(struct registry *r)
{
    struct changes *taken = r->changes;
    if (r->dashboards == 0) {
        r->changes = NULL;
        registry_changes_free(taken);
        return NULL;
    }
    if (taken && taken->count == 0 && !taken->truncated)
        return NULL;
    struct changes *fresh = calloc(1, sizeof(*fresh));
    if (!fresh)
        return NULL;
    r->changes = fresh;
    return taken;
}

void registry_changes_free(struct changes *c)
{
    for (uint32_t i = 0; c && i < c->count; i++)
        free((void *)(uintptr_t)c->keys[i].p);
    free(c);
}

/* ---- joining and leaving ---- */

static void link_present(struct registry *r, struct channel *c)
{
    c->client.newer = NULL;
    c->client.older = r->newest;
    *(r->newest ? &r->newest->client.newer : &r->oldest) = c;
    r->newest = c;
    c->arrival = ++r->arrivals;
    r->clients++;
}

static void unlink_present(struct registry *r, struct channel *c)
{
    *(c->client.older ? &c->client.older->client.newer : &r->oldest) = c->client.newer;
    *(c->client.newer ? &c->client.newer->client.older : &r->newest) = c->client.older;
    r->clients--;
}

static void set_label(struct channel *c, struct span name)
{
    if (name.len == 0 || (c->label && span_eq(span_of(c->label), name)))
        return;
    char *label = malloc(name.len + 1); /* without memory the client keeps the name it had */
    if (!label)
        return;
    memcpy(label, name.p, name.len);
    label[name.len] = '\0';
    free(c->label);
    c->label = label;
}

static void link_client(struct registry *r, struct sub *s, struct channel *c)
{
    s->client = c;
    s->prev = NULL;
    s->next = c->client.first;
    if (s->next)
        s->next->prev = s;
    c->client.first = s;
    if (c->subs++ == 0)
        link_present(r, c);
    r->connections++;
    r->streams[s->loop]++;
    note_change(r, c);
}

static void unlink_client(struct registry *r, struct sub *s)
{
    struct channel *c = s->client;
    *(s->prev ? &s->prev->next : &c->client.first) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->client = NULL;
    r->connections--;
    r->streams[s->loop]--;
    note_change(r, c);
    if (--c->subs > 0)
        return;
    unlink_present(r, c);
    free(c->label);
    c->label = NULL;
    log_retire(r->log, c);
}

static enum join_result admit(struct registry *r, const struct join *join, const struct channel *c)
{
    if (bans_has(&r->bans, join->client_id, clock_mono(r->log->clock)))
        return JOIN_BANNED;
    if (r->max_connections && r->connections >= r->max_connections)
        return JOIN_HUB_FULL;
    if (r->max_per_client && c && c->subs >= r->max_per_client)
        return JOIN_CLIENT_FULL;
    return JOIN_OK;
}

static enum join_result join_client(struct registry *r, struct sub *s, const struct join *join)
{
    enum join_result rc = admit(r, join, log_find(r->log, CHANNEL_CLIENT, join->client_id));
    if (rc != JOIN_OK)
        return rc;
    struct channel *c = log_open(r->log, CHANNEL_CLIENT, join->client_id);
    if (!c)
        return JOIN_NO_MEMORY;
    if (!join_topics(r, s, join)) {
        log_release(r->log, c);
        return JOIN_NO_MEMORY;
    }
    link_client(r, s, c);
    set_label(c, join->name);
    return JOIN_OK;
}

static enum join_result join_dashboard(struct registry *r, struct sub *s, const struct join *join)
{
    if (r->dashboards >= REGISTRY_DASHBOARDS_MAX)
        return JOIN_DASHBOARDS_FULL;
    if (!r->changes)
        r->changes = calloc(1, sizeof(*r->changes));
    if (!r->changes || !join_topics(r, s, join))
        return JOIN_NO_MEMORY;
    r->dashboards++;
    return JOIN_OK;
}

static struct sub_more *more_of(struct sub *s)
{
    if (!s->more)
        s->more = calloc(1, sizeof(*s->more));
    return s->more;
}

static void leave(struct registry *r, struct sub *s)
{
    leave_topics(r, s);
    if (s->client)
        unlink_client(r, s);
    else
        r->dashboards--;
}

static bool begin(struct registry *r, struct sub *s, const struct seek *seek, struct found *found)
{
    struct channel *channels[CURSOR_SOURCES_MAX];
    unsigned count = registry_channels(r, s, channels);
    cursor_seek(r->log, channels, count, seek, found);
    s->marks = 0;
    if (found->replay.until > 0) {
        if (!more_of(s))
            return false;
        s->more->replay = found->replay;
        s->marks = SUB_REPLAY | SUB_NEWS;
    }
    atomic_store_explicit(&s->cursor, found->cursor, memory_order_relaxed);
    return true;
}

enum join_result registry_join(struct registry *r, struct sub *s, const struct join *join,
                               struct found *found)
{
    log_lock(r->log);
    enum join_result rc = join->client_id.p ? join_client(r, s, join) : join_dashboard(r, s, join);
    if (rc == JOIN_OK && !begin(r, s, &join->seek, found)) {
        leave(r, s);
        rc = JOIN_NO_MEMORY;
    }
    if (rc == JOIN_OK) {
        s->joined = true;
        s->kick = false;
    }
    log_unlock(r->log);
    return rc;
}

void registry_leave(struct registry *r, struct sub *s)
{
    log_lock(r->log);
    if (s->joined) {
        leave(r, s);
        s->joined = false;
    }
    log_unlock(r->log);
}

void registry_end_replay(struct registry *r, struct sub *s)
{
    log_lock(r->log);
    s->marks &= (uint8_t)~SUB_REPLAY;
    if (s->more && s->more->count == 0 && s->more->resyncs == 0) {
        free(s->more);
        s->more = NULL;
    }
    log_unlock(r->log);
}

void registry_count_resync(struct registry *r, struct sub *s)
{
    log_lock(r->log);
    if (more_of(s))
        s->more->resyncs++;
    log_unlock(r->log);
}

unsigned registry_channels(const struct registry *r, const struct sub *s, struct channel **out)
{
    unsigned n = 0;
    if (s->client) {
        out[n++] = r->log->all;
        out[n++] = s->client;
    }
    for (uint32_t i = 0; s->more && i < s->more->count; i++)
        out[n++] = s->more->at[i].channel;
    return n;
}

/* ---- lists ---- */

struct channel *registry_next_client(struct registry *r, struct channel *after)
{
    return after ? after->client.older : r->newest;
}

void registry_connection_id(const struct sub *s, char *out)
{
    uint64_t place = (uint64_t)s->loop << 58 | (uint64_t)(s->slot & 0x3ffffff) << 32 | s->gen;
    text_put_base32(out, s->client ? s->client->hash : 0, 7);
    text_put_base32(out + 7, place, 13);
    out[CONNECTION_ID_LEN] = '\0';
}

struct sub *registry_find_connection(struct registry *r, struct span connection_id)
{
    uint64_t hash;
    char id[CONNECTION_ID_LEN + 1];
    if (connection_id.len != CONNECTION_ID_LEN || !text_base32(connection_id.p, 7, &hash) ||
        hash > UINT32_MAX)
        return NULL;
    for (struct channel *c = log_chain(r->log, (uint32_t)hash); c; c = c->bucket) {
        if (c->hash != hash || c->kind != CHANNEL_CLIENT)
            continue;
        for (struct sub *s = c->client.first; s; s = s->next) {
            registry_connection_id(s, id);
            if (memcmp(id, connection_id.p, CONNECTION_ID_LEN) == 0)
                return s;
        }
    }
    return NULL;
}

uint32_t registry_kick_sub(struct registry *r, struct sub *s, uint64_t *wake_mask)
{
    s->kick = true;
    *wake_mask |= tell(r, s->loop, s->client);
    return 1;
}

uint32_t registry_kick_client(struct registry *r, struct channel *client, uint64_t *wake_mask)
{
    uint32_t n = 0;
    for (struct sub *s = client->client.first; s; s = s->next)
        n += registry_kick_sub(r, s, wake_mask);
    return n;
}

int registry_ban(struct registry *r, struct bans *bans, struct span key, uint64_t until, uint64_t now)
{
    atomic_store_explicit(&r->bars, true, memory_order_release);
    return bans_set(bans, key, until, now);
}

bool registry_bars(struct registry *r, struct span address, struct span token)
{
    if (!atomic_load_explicit(&r->bars, memory_order_acquire))
        return false;
    uint64_t now = clock_mono(r->log->clock);
    log_lock(r->log);
    bool barred =
        bans_has(&r->banned_addresses, address, now) || (token.p && bans_has(&r->banned_tokens, token, now));
    log_unlock(r->log);
    return barred;
}
