/* SPDX-License-Identifier: MIT
 *
 * sim_oracle - see sim_oracle.h.
 */
#include "sim_kept.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool oracle_trace;

const char *const oracle_clients[CLIENTS] = {"ada", "grace", "edsger", "barbara"};
const char *const oracle_topics[TOPICS] = {"news", "sport", "weather"};

_Noreturn void oracle_fail(const struct model *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim_model: seed %llu, step %u: ", (unsigned long long)m->seed, m->step);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nreplay with SEED=%llu TRACE=1\n", (unsigned long long)m->seed);
    va_end(args);
    exit(1);
}

void oracle_say(const struct model *m, const char *format, ...)
{
    va_list args;
    if (!oracle_trace)
        return;
    va_start(args, format);
    fprintf(stderr, "%5u @%llu  ", m->step, (unsigned long long)sim_now(m->sim));
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static const char *const resume_texts[] = {
    [RESUME_FRESH] = "fresh", [RESUME_COMPLETE] = "complete", [RESUME_INCOMPLETE] = "incomplete"};

/* ---- the oracle ---- */

bool oracle_is_for(const struct published *e, const struct reader *r)
{
    if (r->tab.dashboard)
        return false;
    return e->target == TIDINGS_TO_ALL || (e->target == TIDINGS_TO_CLIENT && e->key == r->tab.client) ||
           (e->target == TIDINGS_TO_TOPIC && r->tab.topics >> e->key & 1);
}

bool oracle_listens(const struct reader *r)
{
    return r->used && r->joined && !r->left;
}

uint64_t oracle_seq(const char *id)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t seq = 0;
    const char *dash = strchr(id, '-');
    for (const char *at = dash ? dash + 1 : ""; *at; at++) {
        const char *digit = strchr(digits, *at);
        seq = seq << 5 | (uint64_t)(digit ? digit - digits : 0);
    }
    return seq;
}

static bool is_owed(const struct model *m, const struct reader *r, size_t i)
{
    return i < r->from ? kept_owes(r, i) : oracle_is_for(&m->events[i], r);
}

/* The next event that the reader has to be given, or NULL; what has a number below `seq` and may be missing
 * is passed over. */
static const struct published *expected(const struct model *m, struct reader *r, uint64_t seq)
{
    size_t end = r->left ? r->to : m->count;
    while (r->next < end &&
           (!is_owed(m, r, r->next) || (m->events[r->next].seq < seq && kept_may_skip(m, r, r->next))))
        r->next++;
    return r->next < end ? &m->events[r->next] : NULL;
}

static unsigned index_of(const struct model *m, const char *name, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    oracle_fail(m, "an unknown name: %s", name);
}

static struct reader *by_serial(struct model *m, uint32_t serial)
{
    for (unsigned i = 0; i < READERS; i++)
        if (m->readers[i].used && m->readers[i].serial == serial)
            return &m->readers[i];
    return NULL;
}

/* ---- what the hub says that it does ---- */

static const char *text_field(const struct tidings_log_record *record, const char *name)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return record->fields[i].text;
    return "";
}

static void on_publish(struct model *m, const struct tidings_log_record *record)
{
    struct published *e = &m->events[m->count];
    char *ttl;
    const char *target = text_field(record, "target"), *to = text_field(record, "to");
    if (m->count == EVENTS)
        oracle_fail(m, "too many events for this test");
    *e = (struct published){.number = (unsigned)strtoul(text_field(record, "name") + 1, &ttl, 10)};
    snprintf(e->id, sizeof(e->id), "%s", text_field(record, "id"));
    e->seq = oracle_seq(e->id);
    e->connections = record->fields[4].number;
    e->target = target[0] == 'b' ? TIDINGS_TO_ALL : target[0] == 'c' ? TIDINGS_TO_CLIENT : TIDINGS_TO_TOPIC;
    if (e->target == TIDINGS_TO_CLIENT)
        e->key = index_of(m, to, oracle_clients, CLIENTS);
    else if (e->target == TIDINGS_TO_TOPIC)
        e->key = index_of(m, to, oracle_topics, TOPICS);
    if (m->count > 0 && strcmp(e->id, m->events[m->count - 1].id) <= 0)
        oracle_fail(m, "ids do not increase: %s after %s", e->id, m->events[m->count - 1].id);
    uint64_t want = 0;
    for (unsigned i = 0; i < READERS; i++)
        want += oracle_listens(&m->readers[i]) && oracle_is_for(e, &m->readers[i]);
    if (e->connections != want)
        oracle_fail(m, "event %u was handed to %llu, not %llu", e->number, (unsigned long long)e->connections,
                    (unsigned long long)want);
    kept_publish(m, e, *ttl ? (uint32_t)strtoul(ttl + 1, NULL, 10) : TIDINGS_TTL_DEFAULT);
    m->count++;
    oracle_say(m, "published %u%s (%s %s) %s to %llu", e->number, e->kept ? "" : ", not kept", target, to,
               e->id, (unsigned long long)want);
    kept_look(m);
}

static void on_connect(struct model *m, const struct tidings_log_record *record)
{
    struct reader *r = by_serial(m, sim_serial_of(text_field(record, "address")));
    if (!r || r->joined)
        oracle_fail(m, "a stream nobody asked for");
    if (!r->tab.dashboard && strcmp(oracle_clients[r->tab.client], text_field(record, "client")) != 0)
        oracle_fail(m, "joined as another client");
    if (!r->tab.dashboard && m->banned_until[r->tab.client] > sim_now(m->sim))
        oracle_fail(m, "joined in spite of a ban");
    if (m->draining)
        oracle_fail(m, "joined while draining");
    m->joined++;
    r->joined = true;
    r->from = m->count;
    r->next = 0;
    kept_join(m, r);
    snprintf(r->connection, sizeof(r->connection), "%s", text_field(record, "connection"));
    oracle_say(m, "reader %u joined as %s, topics %x: %s, %u to be replayed", r->serial,
               oracle_clients[r->tab.client], r->tab.topics, resume_texts[r->plans[0].resume],
               r->plans[0].replayed);
}

static void on_disconnect(struct model *m, const struct tidings_log_record *record)
{
    struct reader *r = by_serial(m, sim_serial_of(text_field(record, "address")));
    if (!r || !r->joined || r->left)
        oracle_fail(m, "the end of a stream that is not there");
    r->left = true;
    r->to = m->count;
    oracle_say(m, "reader %u left: %s", r->serial, text_field(record, "cause"));
}

static void on_refuse(struct model *m, const struct tidings_log_record *record)
{
    struct reader *r = by_serial(m, sim_serial_of(text_field(record, "address")));
    const char *reason = text_field(record, "reason");
    unsigned present = 0, all = 0;
    if (!r || r->joined || r->refused)
        oracle_fail(m, "a refusal of nobody");
    for (unsigned i = 0; i < READERS; i++)
        if (oracle_listens(&m->readers[i]) && !m->readers[i].tab.dashboard) {
            present += m->readers[i].tab.client == r->tab.client;
            all++;
        }
    if (strcmp(reason, "max_connections_per_client") == 0) {
        if (present < m->config.max_connections_per_client)
            oracle_fail(m, "refused below the limit of a client");
    } else if (strcmp(reason, "max_connections") == 0) {
        if (all < m->config.max_connections)
            oracle_fail(m, "refused below the limit");
    } else if (strcmp(reason, "draining") != 0 || !m->draining) {
        oracle_fail(m, "refused for %s", reason);
    }
    r->refused = true;
    oracle_say(m, "reader %u refused: %s", r->serial, reason);
}

void oracle_on_log(void *user, const struct tidings_log_record *record)
{
    static const struct {
        const char *event;
        void (*take)(struct model *m, const struct tidings_log_record *record);
    } takers[] = {{"publish", on_publish},
                  {"connect", on_connect},
                  {"disconnect", on_disconnect},
                  {"refuse", on_refuse}};
    for (unsigned i = 0; i < sizeof(takers) / sizeof(takers[0]); i++)
        if (strcmp(record->event, takers[i].event) == 0)
            takers[i].take(user, record);
}

/* ---- what readers see ---- */

static void on_resync(struct model *m, struct reader *r, const struct sim_event *e)
{
    unsigned gap = 0;
    uint64_t seq = oracle_seq(e->id);
    const struct published *x;
    if (m->config.slow_reader != TIDINGS_SLOW_RESYNC)
        oracle_fail(m, "reader %u: a resync in the wrong mode", r->serial);
    while ((x = expected(m, r, 0)) && x->seq <= seq) {
        gap += x->fate == GONE || x->fate == UNSURE || x->expires <= sim_now(m->sim);
        r->next++;
    }
    if (gap == 0 && !r->tab.dashboard && !r->vague)
        oracle_fail(m, "reader %u: a resync without a gap, %s", r->serial, e->id);
    if (r->tab.told < r->next)
        r->tab.told = r->next;
    m->resyncs++;
}

/* What the greeting says of the past. */
static void check_resume(struct model *m, struct reader *r, const struct sim_event *e)
{
    char text[64];
    uint64_t replayed;
    if (!sim_json_text(e->data, "resume", text, sizeof(text)) ||
        !sim_json_number(e->data, "replayed", &replayed))
        oracle_fail(m, "reader %u: greeted with %s", r->serial, e->data);
    if (r->unsure && strcmp(text, resume_texts[r->plans[1].resume]) == 0)
        r->plan = 1;
    const struct plan *p = &r->plans[r->plan];
    if (strcmp(text, resume_texts[p->resume]) != 0)
        oracle_fail(m, "reader %u: resume %s, not %s", r->serial, text, resume_texts[p->resume]);
    if (replayed != p->replayed)
        oracle_fail(m, "reader %u: replayed %llu, not %u", r->serial, (unsigned long long)replayed,
                    p->replayed);
    if (!r->tab.dashboard && oracle_seq(e->id) != p->begin)
        oracle_fail(m, "reader %u: begins at %s, not at %llu", r->serial, e->id,
                    (unsigned long long)p->begin);
    m->resumed[p->resume]++;
    m->from_history += p->replayed;
}

/* Whoever is told `incomplete` starts anew; so does one that has not been here before. */
static void open_tab(const struct model *m, struct reader *r)
{
    const struct plan *p = &r->plans[r->plan];
    size_t told = r->from;
    if (r->tab.known && p->resume == RESUME_COMPLETE)
        return;
    if (p->resume == RESUME_COMPLETE)
        for (told = 0; told < m->count && m->events[told].seq <= r->ask.seq;)
            told++;
    memset(r->tab.seen, 0, sizeof(r->tab.seen));
    r->tab.known = true;
    r->tab.told = told;
}

static void on_greeting(struct model *m, struct reader *r, const struct sim_event *e)
{
    char text[64];
    if (r->greeted || !r->joined)
        oracle_fail(m, "reader %u: greeted at the wrong time", r->serial);
    if (r->c.answer.zipped != r->zips)
        oracle_fail(m, "reader %u: asked for gzip: %d, given: %d", r->serial, r->zips, r->c.answer.zipped);
    if (!r->tab.dashboard && (!sim_json_text(e->data, "clientId", text, sizeof(text)) ||
                              strcmp(text, oracle_clients[r->tab.client]) != 0))
        oracle_fail(m, "reader %u: greeted as another", r->serial);
    if (!sim_json_text(e->data, "connectionId", text, sizeof(text)) || strcmp(text, r->connection) != 0)
        oracle_fail(m, "reader %u: connection %s, not %s", r->serial, text, r->connection);
    check_resume(m, r, e);
    open_tab(m, r);
    r->greeted = true;
}

/* Topics changed in the middle: which values are the latest ones is anybody's guess, but each is real. */
static const struct published *find_vague(const struct model *m, struct reader *r, uint64_t seq)
{
    for (size_t i = r->next; i < r->from; i++)
        if (m->events[i].seq == seq && m->events[i].kept && oracle_is_for(&m->events[i], r)) {
            r->next = i;
            return &m->events[i];
        }
    return NULL;
}

static void on_published(struct model *m, struct reader *r, const struct sim_event *e)
{
    uint64_t number, seq = oracle_seq(e->id);
    const struct published *x = r->vague ? find_vague(m, r, seq) : NULL;
    x = x ? x : expected(m, r, seq);
    if (!x)
        oracle_fail(m, "reader %u: %s %s, but nothing is to come", r->serial, e->name, e->id);
    if (strcmp(e->id, x->id) != 0)
        oracle_fail(m, "reader %u: %s %s instead of e%u %s", r->serial, e->name, e->id, x->number, x->id);
    if (!sim_json_number(e->data, "n", &number) || number != x->number ||
        strtoul(e->name + 1, NULL, 10) != x->number || e->data[e->data_len - 1] != '}')
        oracle_fail(m, "reader %u: %s is not what was published", r->serial, e->name);
    uint64_t *seen = &r->tab.seen[r->next / 64], bit = 1ull << r->next % 64;
    if (*seen & bit)
        oracle_fail(m, "reader %u: %s %s for the second time", r->serial, e->name, e->id);
    *seen |= bit;
    r->next++;
    m->delivered++;
    m->zipped += r->zips;
}

/* A heartbeat, or an id alone: never ahead of what was sent. */
static void on_position(const struct model *m, struct reader *r, const struct sim_event *e)
{
    uint64_t seq = oracle_seq(e->id);
    const struct published *x = expected(m, r, seq + 1);
    if (x && x->seq <= seq)
        oracle_fail(m, "reader %u: the position %s hides e%u %s", r->serial, e->id, x->number, x->id);
    if (!e->name[0] && !r->plans[r->plan].latest)
        oracle_fail(m, "reader %u: an id alone", r->serial);
}

static void take_id(struct reader *r, const struct sim_event *e, bool greeting)
{
    if (!e->id[0])
        return;
    memcpy(r->tab.cursor, e->id, sizeof(r->tab.cursor));
    memcpy(r->last, e->id, sizeof(r->last));
    /* The latest values are older than the place where their reader begins. */
    if (greeting && r->plans[r->plan].latest && (r->plans[r->plan].replayed > 0 || r->vague))
        r->last[0] = '\0';
}

void oracle_on_event(void *user, const struct sim_event *e)
{
    struct model_reader *mr = user;
    struct model *m = mr->m;
    struct reader *r = mr->r;
    if (strcmp(e->name, "__overloaded") == 0) {
        if (!r->refused || e->id[0])
            oracle_fail(m, "reader %u: overloaded without a refusal, or with an id", r->serial);
        return;
    }
    bool greeting = strcmp(e->name, "__connected") == 0;
    if (r->refused || (!greeting && !r->greeted))
        oracle_fail(m, "reader %u: %s before the greeting", r->serial, e->name);
    if (!e->id[0] && r->tab.dashboard && strcmp(e->name, "stats") == 0)
        return; /* the first one, which only this dashboard is sent */
    if (strcmp(e->id, r->last) < 0 || (e->name[0] == 'e' && strcmp(e->id, r->last) == 0))
        oracle_fail(m, "reader %u: %s has id %s after %s", r->serial, e->name, e->id, r->last);
    if (greeting)
        on_greeting(m, r, e);
    else if (strcmp(e->name, "__resync") == 0)
        on_resync(m, r, e);
    else if (strcmp(e->name, "__heartbeat") == 0 || !e->name[0])
        on_position(m, r, e);
    else if (e->name[0] == 'e')
        on_published(m, r, e);
    else if (!r->tab.dashboard)
        oracle_fail(m, "reader %u: an unknown event %s", r->serial, e->name);
    take_id(r, e, greeting);
}

/* ---- at the end ---- */

void oracle_check_metrics(struct model *m)
{
    struct tidings_connection_metrics metrics;
    bool present[CLIENTS] = {false};
    uint64_t connections = 0, clients = 0;
    for (unsigned i = 0; i < READERS; i++)
        if (oracle_listens(&m->readers[i]) && !m->readers[i].tab.dashboard) {
            connections++;
            clients += !present[m->readers[i].tab.client];
            present[m->readers[i].tab.client] = true;
        }
    tidings_get_connection_metrics(m->hub, &metrics);
    if (metrics.total_connections != connections || metrics.total_clients != clients)
        oracle_fail(m, "metrics say %llu/%llu, not %llu/%llu", (unsigned long long)metrics.total_connections,
                    (unsigned long long)metrics.total_clients, (unsigned long long)connections,
                    (unsigned long long)clients);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (tidings_has_client_connections(m->hub, oracle_clients[i]) != present[i])
            oracle_fail(m, "has_client_connections(%s) is wrong", oracle_clients[i]);
}

/* The union of what came, over all connections of the tab: what was kept and is not there was told. */
static void check_union(const struct model *m, const struct reader *r)
{
    for (size_t i = r->tab.told; i < m->count; i++) {
        const struct published *e = &m->events[i];
        if (oracle_is_for(e, r) && e->kept && !(r->tab.seen[i / 64] >> i % 64 & 1) && e->fate != REPLACED &&
            e->fate != UNSURE)
            oracle_fail(m, "reader %u: e%u %s is in none of its streams", r->serial, e->number, e->id);
    }
}

void oracle_check_readers(struct model *m)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &m->readers[i];
        if (!r->used || r->cut)
            continue;
        const struct published *x = expected(m, r, UINT64_MAX);
        if (oracle_listens(r) && x)
            oracle_fail(m, "reader %u was never given e%u %s", r->serial, x->number, x->id);
        if (oracle_listens(r) && !r->greeted)
            oracle_fail(m, "reader %u was never greeted", r->serial);
        if (oracle_listens(r))
            check_union(m, r);
        if (!r->joined && !r->refused && !r->c.ended && !r->c.broken && r->c.statuses[0] != 204)
            oracle_fail(m, "reader %u was never answered", r->serial);
    }
}

void oracle_check_empty(struct model *m)
{
    const char *left = sim_hub_leftover(m->sim, m->hub);
    if (left)
        oracle_fail(m, "%s: something is left", left);
    /* Forms of what is held can be given up, all of them. */
    struct gzip *g = hub_service(m->hub)->gzip;
    g->held_max = 0;
    for (unsigned i = 0; g->oldest && i < EVENTS; i++)
        gzip_drop(gzip_take(g));
    if (g->held_bytes > 0)
        oracle_fail(m, "%llu bytes of compressed forms are left", (unsigned long long)g->held_bytes);
}

static uint64_t counter(const struct model *m, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->loops; i++)
        sum += *(_Atomic uint64_t *)(void *)((char *)&hub_service(m->hub)->loops[i].stats + offset);
    return sum;
}

#define COUNTER(field) counter(m, offsetof(struct stats, field))

/* What is counted agrees with what has happened. */
void oracle_check_counters(struct model *m)
{
    uint64_t closed = 0, published = 0, handed = m->replayed;
    for (size_t i = 0; i < m->count; i++)
        handed += m->events[i].connections;
#define MODEL_CLOSED(name, field, text) closed += COUNTER(field);
    CLOSE_CAUSE_MAP(MODEL_CLOSED)
#undef MODEL_CLOSED
    const struct registry *reg = hub_service(m->hub)->registry;
    for (unsigned kind = CHANNEL_ALL; kind <= CHANNEL_TOPIC; kind++)
        published += reg->published[kind];
    if (COUNTER(streams_opened) != m->joined || closed != m->joined)
        oracle_fail(m, "%llu streams were opened, %llu closed, not %llu",
                    (unsigned long long)COUNTER(streams_opened), (unsigned long long)closed,
                    (unsigned long long)m->joined);
    if (published != m->count)
        oracle_fail(m, "%llu events were published, not %zu", (unsigned long long)published, m->count);
    /* The last bytes of an event's frame come after the event: a connection may be cut between the two. */
    if (COUNTER(delivered) + m->joined < m->delivered || COUNTER(delivered) > handed ||
        COUNTER(resyncs) < m->resyncs)
        oracle_fail(m, "%llu deliveries were counted: received %llu, handed over %llu",
                    (unsigned long long)COUNTER(delivered), (unsigned long long)m->delivered,
                    (unsigned long long)handed);
}
