/* SPDX-License-Identifier: MIT
 *
 * test_idempotency - which key exactly, until when, how many; what is under way neither ends nor stands in
 * the way; memory that runs out; and all of it against a plain list, with random calls.
 */
#include "idempotency.h"

#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- memory that can run out, and is counted ---- */

static unsigned fail_next; /* that many allocations fail */
static size_t last_asked;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

/* The linker sends calloc() here: see test/CMakeLists.txt. */
void *__wrap_calloc(size_t n, size_t size)
{
    last_asked = n * size;
    if (fail_next == 0)
        return __real_calloc(n, size);
    fail_next--;
    return NULL;
}

/* ---- small words ---- */

struct name {
    char text[48];
};

static struct span name_of(struct name *n, unsigned i)
{
    return (struct span){n->text, (size_t)snprintf(n->text, sizeof(n->text), "key-%u", i)};
}

static struct idempotency_print print_of(unsigned i)
{
    return (struct idempotency_print){{i, ~(uint64_t)i}};
}

static enum idempotency_result add(struct idempotency *t, struct span key, uint64_t now, uint64_t expires,
                                   struct idempotency_entry **out)
{
    const struct idempotency_print print = print_of(7);

    assert_null(idempotency_find(t, key, now));
    return idempotency_add(t, key, &print, now, expires, out);
}

/* Reserved and settled in one step. */
static enum idempotency_result put(struct idempotency *t, unsigned i, uint64_t now, uint64_t expires)
{
    struct name n;
    struct idempotency_entry *e = NULL;
    enum idempotency_result result = add(t, name_of(&n, i), now, expires, &e);

    if (result == IDEMPOTENCY_OK)
        idempotency_settle(t, e, i + 1, i % 5);
    return result;
}

static struct idempotency_entry *get(struct idempotency *t, unsigned i, uint64_t now)
{
    struct name n;

    return idempotency_find(t, name_of(&n, i), now);
}

/* Table, list and count tell the same story. Returns how many are settled. */
static uint32_t check_whole(const struct idempotency *t)
{
    uint32_t in_table = 0, settled = 0, in_list = 0;

    for (uint32_t i = 0; i < t->table_size; i++)
        for (const struct idempotency_entry *e = t->table[i]; e; e = e->bucket) {
            assert_int_equal(e->hash & (t->table_size - 1), i);
            in_table++;
            settled += e->seq != 0;
        }
    const struct idempotency_entry *before = NULL;
    for (const struct idempotency_entry *e = t->oldest; e; before = e, e = e->newer) {
        assert_ptr_equal(e->older, before);
        assert_int_not_equal(e->seq, 0);
        in_list++;
    }
    assert_ptr_equal(t->newest, before);
    assert_int_equal(in_table, t->count);
    assert_int_equal(in_list, settled);
    return settled;
}

/* ---- the tests ---- */

static void test_life(void **state)
{
    struct idempotency t;
    struct idempotency_entry *e = NULL;

    (void)state;
    idempotency_init(&t, 10, 1);
    assert_null(idempotency_find(&t, SPAN("a"), 0)); /* no table yet */
    assert_int_equal(t.table_size, 0);
    assert_int_equal(add(&t, SPAN("a"), 5, 100, &e), IDEMPOTENCY_OK);
    assert_int_equal(e->seq, 0);
    assert_null(e->waiting);
    e->waiting = &t;
    assert_ptr_equal(idempotency_find(&t, SPAN("a"), 6), e);
    assert_ptr_equal(e->waiting, &t);
    idempotency_settle(&t, e, 42, 3);
    assert_ptr_equal(idempotency_find(&t, SPAN("a"), 99), e);
    assert_int_equal(e->seq, 42);
    assert_int_equal(e->connections, 3);
    assert_int_equal(e->print.half[0], 7);
    assert_int_equal(e->print.half[1], ~(uint64_t)7);
    assert_int_equal(check_whole(&t), 1);
    assert_null(idempotency_find(&t, SPAN("a"), 100));
    assert_int_equal(t.count, 0);
    idempotency_finish(&t);
    idempotency_finish(&t);
    assert_int_equal(put(&t, 1, 0, 10), IDEMPOTENCY_OK); /* and usable again, with the same ceiling */
    assert_int_equal(t.max, 10);
    idempotency_finish(&t);
}

static void test_exactly(void **state)
{
    struct idempotency t;
    struct idempotency_entry *e = NULL, *longest = NULL;
    char key[IDEMPOTENCY_KEY_MAX + 1];

    (void)state;
    memset(key, 'k', sizeof(key));
    idempotency_init(&t, 10, 2);
    assert_int_equal(add(&t, SPAN("ada"), 0, 100, &e), IDEMPOTENCY_OK);
    assert_null(idempotency_find(&t, SPAN("ad"), 1));
    assert_null(idempotency_find(&t, SPAN("adam"), 1));
    assert_null(idempotency_find(&t, SPAN("Ada"), 1));
    assert_null(idempotency_find(&t, SPAN("ada\0"), 1));
    assert_int_equal(add(&t, (struct span){key, IDEMPOTENCY_KEY_MAX}, 0, 100, &longest), IDEMPOTENCY_OK);
    assert_ptr_equal(idempotency_find(&t, (struct span){key, IDEMPOTENCY_KEY_MAX}, 1), longest);
    assert_null(idempotency_find(&t, (struct span){key, IDEMPOTENCY_KEY_MAX - 1}, 1));
    assert_null(idempotency_find(&t, (struct span){key, IDEMPOTENCY_KEY_MAX + 1}, 1));
    assert_ptr_equal(idempotency_find(&t, SPAN("ada"), 1), e);
    idempotency_finish(&t);
}

/* Keys that share their hash: length and bytes decide. */
static void test_same_hash(void **state)
{
    struct idempotency t;
    struct idempotency_entry *a = NULL, *b = NULL;

    (void)state;
    idempotency_init(&t, 10, 3);
    assert_int_equal(add(&t, SPAN("one"), 0, 100, &a), IDEMPOTENCY_OK);
    memcpy(a->key, "two", 3); /* now it lies where "one" belongs, with the hash of "one" */
    assert_null(idempotency_find(&t, SPAN("one"), 0));
    assert_int_equal(add(&t, SPAN("one"), 0, 100, &b), IDEMPOTENCY_OK);
    assert_ptr_equal(idempotency_find(&t, SPAN("one"), 0), b);
    b->key_len = 2;
    assert_null(idempotency_find(&t, SPAN("one"), 0));
    idempotency_remove(&t, b);
    assert_ptr_equal(t.table[a->hash & (t.table_size - 1)], a);
    idempotency_finish(&t);
}

/* What is under way does not end, and does not keep others from ending. */
static void test_under_way(void **state)
{
    struct idempotency t;
    struct idempotency_entry *waits = NULL, *fails = NULL;

    (void)state;
    idempotency_init(&t, 10, 4);
    assert_int_equal(add(&t, SPAN("waits"), 0, 10, &waits), IDEMPOTENCY_OK);
    assert_int_equal(add(&t, SPAN("fails"), 0, 10, &fails), IDEMPOTENCY_OK);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(put(&t, i, 0, 20 + i), IDEMPOTENCY_OK);
    assert_int_equal(idempotency_sweep(&t, 22, UINT32_MAX), 3);
    assert_ptr_equal(idempotency_find(&t, SPAN("waits"), 22), waits);
    assert_ptr_equal(idempotency_find(&t, SPAN("fails"), 22), fails);
    idempotency_remove(&t, fails);
    assert_null(idempotency_find(&t, SPAN("fails"), 22)); /* the key is free again */
    idempotency_settle(&t, waits, 9, 0);
    assert_int_equal(check_whole(&t), 3);
    assert_null(idempotency_find(&t, SPAN("waits"), 22)); /* its time was over before it was settled */
    assert_int_equal(t.count, 2);
    idempotency_finish(&t);
}

static void test_sweep(void **state)
{
    struct idempotency t;

    (void)state;
    idempotency_init(&t, 1000, 5);
    assert_int_equal(idempotency_sweep(&t, UINT64_MAX, UINT32_MAX), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(put(&t, i, 0, 100 + i), IDEMPOTENCY_OK);
    assert_int_equal(idempotency_sweep(&t, 99, UINT32_MAX), 0);
    assert_int_equal(idempotency_sweep(&t, 149, 10), 10);
    assert_int_equal(t.oldest->expires, 110); /* the first to end is the first to go */
    assert_int_equal(idempotency_sweep(&t, 149, UINT32_MAX), 40);
    assert_int_equal(t.count, 50);
    /* A call that asks for one forgets a few besides, not all: the lock is held. */
    assert_null(get(&t, 1000, 199));
    assert_in_range(t.count, 40, 48);
    assert_null(get(&t, 99, 199)); /* asked for, and over, though many that are older still lie there */
    assert_int_equal(t.newest->expires, 198);
    assert_in_range(check_whole(&t), 30, 47);
    idempotency_finish(&t);
}

static void test_ceiling(void **state)
{
    struct idempotency t;
    struct name n;
    struct idempotency_entry *e = NULL;

    (void)state;
    idempotency_init(&t, 100, 6);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(put(&t, i, 0, 100 + i), IDEMPOTENCY_OK);
    assert_int_equal(put(&t, 100, 99, 300), IDEMPOTENCY_FULL);
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(get(&t, i, 99)); /* nobody was forgotten for it */
    assert_int_equal(idempotency_add(&t, name_of(&n, 100), &(struct idempotency_print){{0}}, 100, 300, &e),
                     IDEMPOTENCY_OK); /* without a find before it, add itself finds the room */
    assert_int_equal(t.count, 100);
    idempotency_remove(&t, e);
    /* Fewer are wanted: what is there stays until it ends. */
    t.max = 10;
    assert_int_equal(put(&t, 101, 188, 300), IDEMPOTENCY_FULL);
    assert_non_null(get(&t, 99, 188));
    assert_int_equal(t.count, 11);
    assert_int_equal(put(&t, 101, 190, 300), IDEMPOTENCY_OK);
    assert_int_equal(t.count, 10);
    check_whole(&t);
    idempotency_finish(&t);
}

/* The ceiling counts what is under way, which no sweep can take. */
static void test_ceiling_under_way(void **state)
{
    struct idempotency t;
    struct idempotency_entry *a = NULL, *b = NULL;

    (void)state;
    idempotency_init(&t, 2, 7);
    assert_int_equal(add(&t, SPAN("a"), 0, 1, &a), IDEMPOTENCY_OK);
    assert_int_equal(add(&t, SPAN("b"), 0, 1, &b), IDEMPOTENCY_OK);
    assert_int_equal(put(&t, 1, 1000, 2000), IDEMPOTENCY_FULL);
    idempotency_settle(&t, b, 1, 0);
    assert_int_equal(put(&t, 1, 1000, 2000), IDEMPOTENCY_OK);
    assert_ptr_equal(idempotency_find(&t, SPAN("a"), 1000), a);
    idempotency_finish(&t);
}

/* The window was made shorter: the later one ends first, and is not found any more. */
static void test_out_of_order(void **state)
{
    struct idempotency t;

    (void)state;
    idempotency_init(&t, 2, 8);
    assert_int_equal(put(&t, 1, 0, 1000), IDEMPOTENCY_OK);
    assert_int_equal(put(&t, 2, 0, 50), IDEMPOTENCY_OK);
    assert_int_equal(idempotency_sweep(&t, 500, UINT32_MAX), 0);
    assert_int_equal(put(&t, 3, 500, 600), IDEMPOTENCY_FULL);
    assert_non_null(get(&t, 1, 500));
    assert_null(get(&t, 2, 500));
    assert_int_equal(t.count, 1);
    idempotency_finish(&t);
}

static void test_memory(void **state)
{
    struct idempotency t;
    struct idempotency_entry *e = NULL, *first = NULL;

    (void)state;
    idempotency_init(&t, 100000, 9);
    fail_next = 1; /* the first table */
    assert_int_equal(add(&t, SPAN("a"), 0, 100, &e), IDEMPOTENCY_MEMORY);
    assert_int_equal(fail_next, 0);
    assert_null(e);
    assert_int_equal(add(&t, SPAN("first"), 0, 100, &first), IDEMPOTENCY_OK);
    fail_next = 1; /* the entry */
    assert_int_equal(add(&t, SPAN("a"), 0, 100, &e), IDEMPOTENCY_MEMORY);
    assert_int_equal(fail_next, 0);
    assert_null(e);
    assert_null(idempotency_find(&t, SPAN("a"), 0));
    assert_int_equal(t.count, 1);
    assert_int_equal(add(&t, SPAN("a"), 0, 100, &e), IDEMPOTENCY_OK);
    check_whole(&t);
    idempotency_finish(&t);
}

/* Twice what the table was made for: it doubles. If it cannot, it goes on, and doubles when it can. */
static void test_growth(void **state)
{
    struct idempotency t;

    (void)state;
    idempotency_init(&t, 100000, 10);
    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(put(&t, i, 0, 100), IDEMPOTENCY_OK);
    assert_int_equal(t.table_size, 64);
    fail_next = 1;
    assert_int_equal(put(&t, 128, 0, 100), IDEMPOTENCY_OK);
    assert_int_equal(fail_next, 0);
    assert_int_equal(t.table_size, 64);
    for (unsigned i = 0; i <= 128; i++)
        assert_non_null(get(&t, i, 0));
    struct idempotency_entry *e = get(&t, 5, 0);
    for (unsigned i = 129; i < 5000; i++)
        assert_int_equal(put(&t, i, 0, 100), IDEMPOTENCY_OK);
    assert_int_equal(t.table_size, 4096);
    assert_ptr_equal(get(&t, 5, 0), e); /* entries stay where they are */
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(get(&t, i, 99)->seq, i + 1);
    assert_int_equal(check_whole(&t), 5000);
    /* On the way back it halves, or if it cannot, stays as it is. */
    fail_next = 1;
    assert_int_equal(idempotency_sweep(&t, 100, 4000), 4000);
    assert_int_equal(fail_next, 0);
    assert_int_equal(check_whole(&t), 1000);
    assert_int_equal(t.table_size, 2048);
    assert_int_equal(idempotency_sweep(&t, 100, UINT32_MAX), 1000);
    assert_int_equal(t.table_size, 64);
    assert_int_equal(check_whole(&t), 0);
    idempotency_finish(&t);
}

static void test_footprint(void **state)
{
    struct idempotency t;
    struct idempotency_entry *e = NULL;

    (void)state;
    idempotency_init(&t, 10, 11);
    assert_int_equal(add(&t, SPAN("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), 0, 100, &e), IDEMPOTENCY_OK);
    assert_int_equal(last_asked, idempotency_footprint(36));
    assert_int_equal(idempotency_footprint(36), 101);
    assert_int_equal(idempotency_footprint(IDEMPOTENCY_KEY_MAX), 101 - 36 + 255);
    idempotency_finish(&t);
}

/* ---- against a plain list ---- */

enum { KEYS = 400, CALLS = 200000 };

/* What is known of a key. */
struct fact {
    unsigned key;
    uint64_t print;
    uint64_t expires;
    uint64_t seq; /* 0: under way */
    uint32_t connections;
    struct idempotency_entry *entry; /* while it is under way */
};

struct model {
    struct idempotency t;
    struct rng rng;
    uint64_t now;
    uint64_t seq;
    struct fact facts[KEYS]; /* settled ones in the order in which they were settled */
    uint32_t count;
    unsigned full, starved, settled, freed, found, over; /* how often each happened */
};

static void drop_fact(struct model *m, uint32_t at)
{
    m->count--;
    memmove(&m->facts[at], &m->facts[at + 1], (m->count - at) * sizeof(m->facts[0]));
}

/* The index of the key, or of nobody: count. */
static uint32_t fact_of(const struct model *m, unsigned key)
{
    uint32_t i = 0;

    while (i < m->count && m->facts[i].key != key)
        i++;
    return i;
}

/* The ones whose room a sweep gives back: settled and over, with nobody settled before them that is not. */
static void drop_expired(struct model *m)
{
    for (uint32_t i = 0; i < m->count;)
        if (m->facts[i].seq == 0)
            i++;
        else if (m->facts[i].expires <= m->now)
            drop_fact(m, i);
        else
            return;
}

/* Asks for the key; true if it is there. */
static bool ask(struct model *m, unsigned key)
{
    struct name n;
    struct idempotency_entry *e = idempotency_find(&m->t, name_of(&n, key), m->now);
    uint32_t at = fact_of(m, key);
    const struct fact *f = at < m->count ? &m->facts[at] : NULL;

    if (f && f->seq != 0 && f->expires <= m->now) {
        drop_fact(m, at);
        m->over++;
        f = NULL;
    }
    assert_int_equal(e != NULL, f != NULL);
    if (!f || !e)
        return false;
    assert_int_equal(e->seq, f->seq);
    assert_int_equal(e->connections, f->connections);
    assert_int_equal(e->expires, f->expires);
    assert_int_equal(e->print.half[0], f->print);
    if (f->seq == 0)
        assert_ptr_equal(e, f->entry);
    m->found++;
    return true;
}

static void random_add(struct model *m, unsigned key, bool starve)
{
    struct name n;
    struct fact f = {.key = key, .print = rng_next(&m->rng)};
    const struct idempotency_print print = {{f.print, 0}};

    if (ask(m, key))
        return;
    f.expires = m->now + (rng_below(&m->rng, 20) ? 1000 : rng_below(&m->rng, 1000));
    drop_expired(m);
    fail_next = starve ? 2 : 0; /* a table that cannot grow, and the entry */
    enum idempotency_result result =
        idempotency_add(&m->t, name_of(&n, key), &print, m->now, f.expires, &f.entry);
    fail_next = 0;
    if (m->count >= m->t.max) {
        assert_int_equal(result, IDEMPOTENCY_FULL);
        m->full++;
    } else if (starve) {
        assert_int_equal(result, IDEMPOTENCY_MEMORY);
        m->starved++;
    } else {
        assert_int_equal(result, IDEMPOTENCY_OK);
        m->facts[m->count++] = f;
    }
}

/* One that is under way gets its result, or comes to nothing. */
static void random_end(struct model *m, bool comes_to_nothing)
{
    uint32_t at = m->count ? rng_below(&m->rng, m->count) : 0;

    while (at < m->count && m->facts[at].seq != 0)
        at++;
    if (at >= m->count)
        return;
    struct fact f = m->facts[at];
    drop_fact(m, at);
    if (comes_to_nothing) {
        idempotency_remove(&m->t, f.entry);
        m->freed++;
        return;
    }
    f.seq = ++m->seq;
    f.connections = rng_below(&m->rng, 1000);
    idempotency_settle(&m->t, f.entry, f.seq, f.connections);
    m->facts[m->count++] = f;
    m->settled++;
}

static void sweep_all(struct model *m)
{
    idempotency_sweep(&m->t, m->now, UINT32_MAX);
    drop_expired(m);
    assert_int_equal(m->t.count, m->count);
    check_whole(&m->t);
}

static void random_call(struct model *m)
{
    unsigned dice = rng_below(&m->rng, 1000);

    if (dice < 400)
        random_add(m, rng_below(&m->rng, KEYS), false);
    else if (dice < 430)
        random_add(m, rng_below(&m->rng, KEYS), true);
    else if (dice < 600)
        ask(m, rng_below(&m->rng, KEYS));
    else if (dice < 900)
        random_end(m, dice < 650);
    else if (dice < 996)
        m->now += rng_below(&m->rng, 20);
    else if (dice < 997)
        m->now += 1001; /* a quiet hour */
    else if (dice < 998)
        m->t.max = 1 + rng_below(&m->rng, KEYS);
    else
        sweep_all(m);
}

static void test_model(void **state)
{
    struct model *m = calloc(1, sizeof(*m));

    (void)state;
    assert_non_null(m);
    idempotency_init(&m->t, 150, 12);
    m->rng.state = 20;
    for (unsigned i = 0; i < CALLS; i++) {
        random_call(m);
        drop_expired(m);
        assert_true(m->t.count >= m->count);
    }
    sweep_all(m);
    for (unsigned key = 0; key < KEYS; key++)
        ask(m, key);
    /* All that can happen did happen, and often. */
    assert_true(m->full > 1000 && m->starved > 1000 && m->settled > 10000);
    assert_true(m->freed > 1000 && m->found > 10000 && m->over > 100);
    idempotency_finish(&m->t);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),         cmocka_unit_test(test_exactly),
        cmocka_unit_test(test_same_hash),    cmocka_unit_test(test_under_way),
        cmocka_unit_test(test_sweep),        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_out_of_order), cmocka_unit_test(test_ceiling_under_way),
        cmocka_unit_test(test_memory),       cmocka_unit_test(test_growth),
        cmocka_unit_test(test_footprint),    cmocka_unit_test(test_model),
    };

    return cmocka_run_group_tests_name("idempotency", tests, NULL, NULL);
}
