/* SPDX-License-Identifier: MIT
 *
 * test_store - what was committed is there again, whatever happened to the process; what is no store of ours
 * is told apart and left alone; a disk that is full is full until it is not.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tidings.h>
#include <unistd.h>

#include <cmocka.h>

#define EPOCH "1ng7v6hx2g9"

/* ---- a directory for each test, with a store in it or without ---- */

struct place {
    char dir[256];
    char path[300];
    struct store *store;
    struct log_identity id; /* as the last opening left it */
};

static int set_up(void **state)
{
    const char *tmp = getenv("TMPDIR");
    struct place *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    snprintf(p->dir, sizeof(p->dir), "%s/store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof(p->path), "%s/store.db", p->dir);
    *state = p;
    return 0;
}

static const char *beside(const struct place *p, const char *ending)
{
    static char paths[4][320];
    static unsigned next;
    char *path = paths[next++ % 4]; /* so that one call may use several */
    snprintf(path, sizeof(paths[0]), "%s%s", p->path, ending);
    return path;
}

static int tear_down(void **state)
{
    static const char *const endings[] = {"", "-wal", "-journal", "-shm", ".away", "-wal.away", ".pipe"};
    struct place *p = *state;
    store_close(p->store);
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
        unlink(beside(p, endings[i]));
    int rc = rmdir(p->dir);
    free(p);
    return rc;
}

static enum store_result try_open(struct place *p, bool full_sync)
{
    p->id = (struct log_identity){.epoch = EPOCH, .seeds = {1, UINT64_MAX, 3}};
    return store_open(&p->store, p->path, full_sync, &p->id);
}

static void open_store(struct place *p)
{
    assert_string_equal(store_code(try_open(p, false)), "ok");
}

static void close_store(struct place *p)
{
    store_close(p->store);
    p->store = NULL;
}

static void reopen(struct place *p)
{
    close_store(p);
    open_store(p);
}

static void commit(struct place *p)
{
    assert_string_equal(store_code(store_commit(p->store)), "ok");
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- what is in the store, as text ---- */

struct dump {
    char text[4096];
    size_t len;
    uint64_t events, marks, keys, first, last;
    bool in_order;
    bool stop;
};

static void add(struct dump *d, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (d->len < sizeof(d->text))
        d->len += (size_t)vsnprintf(d->text + d->len, sizeof(d->text) - d->len, format, list);
    va_end(list);
}

static bool on_mark(void *user, uint32_t slot, uint64_t seq)
{
    struct dump *d = user;
    d->marks++;
    add(d, "mark %u=%llu\n", slot, (unsigned long long)seq);
    return !d->stop;
}

static bool on_event(void *user, const struct store_row *row)
{
    struct dump *d = user;
    d->in_order = d->events++ == 0 ? true : d->in_order && row->seq > d->last;
    if (d->events == 1)
        d->first = row->seq;
    d->last = row->seq;
    add(d, "event %llu<%llu %d '%.*s' '%.*s' '%.*s' ts=%llu ttl=%llu\n", (unsigned long long)row->seq,
        (unsigned long long)row->prev, (int)row->kind, (int)row->key.len, row->key.p, (int)row->name.len,
        row->name.p, (int)row->payload.len, row->payload.p, (unsigned long long)row->ts,
        (unsigned long long)row->ttl);
    return !d->stop;
}

static bool on_key(void *user, const struct store_key *key)
{
    struct dump *d = user;
    d->keys++;
    add(d, "key ");
    for (size_t i = 0; i < key->key.len; i++)
        add(d, key->key.p[i] ? "%c" : "\\0", key->key.p[i]);
    add(d, " %02x..%02x seq=%llu connections=%llu expires=%llu\n", key->hash[0], key->hash[15],
        (unsigned long long)key->seq, (unsigned long long)key->connections, (unsigned long long)key->expires);
    return !d->stop;
}

static enum store_result dump_into(struct store *s, struct dump *d)
{
    const struct store_reader reader = {on_mark, on_event, on_key, d};
    return store_load(s, &reader);
}

static struct dump dump(struct place *p)
{
    struct dump d = {0};
    assert_string_equal(store_code(dump_into(p->store, &d)), "ok");
    return d;
}

static void assert_holds(struct place *p, const char *text)
{
    assert_string_equal(dump(p).text, text);
}

/* ---- and things to put into it ---- */

static struct store_row row_of(uint64_t seq)
{
    return (struct store_row){.seq = seq,
                              .kind = CHANNEL_CLIENT,
                              .key = SPAN("ada"),
                              .name = SPAN("note"),
                              .payload = SPAN("{}"),
                              .ts = 1,
                              .ttl = UINT64_MAX};
}

static void put(struct place *p, uint64_t seq)
{
    struct store_row row = row_of(seq);
    store_put_event(p->store, &row);
}

static void put_key(struct place *p, struct span name, uint8_t hash, uint64_t expires)
{
    struct store_key key = {.key = name, .seq = 5, .connections = 2, .expires = expires};
    memset(key.hash, hash, sizeof(key.hash));
    store_put_key(p->store, &key);
}

static void put_committed(struct place *p, uint64_t first, uint64_t last)
{
    store_begin(p->store);
    for (uint64_t seq = first; seq <= last; seq++)
        put(p, seq);
    commit(p);
}

/* SQL by another connection, while the store is closed. What it writes in WAL mode stays in the log. */
static void execute(const char *path, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- round trips ---- */

static void test_new_file(void **state)
{
    struct place *p = *state;
    struct stat st;
    mode_t old = umask(0);
    open_store(p);
    umask(old);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(beside(p, "-wal"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_false(exists(beside(p, "-shm")));
    assert_string_equal(p->id.epoch, EPOCH);
    assert_int_equal(p->id.seq, 0);
    assert_holds(p, "");
    assert_int_equal(store_bytes(p->store), size_of(p->path) + size_of(beside(p, "-wal")));
    close_store(p);
    assert_false(exists(beside(p, "-wal")));
}

static void test_identity(void **state)
{
    struct place *p = *state;
    open_store(p);
    close_store(p);
    struct log_identity id = {.epoch = "00000000000", .seeds = {7, 8, 9}, .seq = 4};
    assert_int_equal(store_open(&p->store, p->path, true, &id), STORE_OK);
    assert_string_equal(id.epoch, EPOCH);
    assert_true(id.seeds[0] == 1 && id.seeds[1] == UINT64_MAX && id.seeds[2] == 3);
    assert_int_equal(id.seq, 0);
}

static void put_one_of_each(struct place *p)
{
    const struct store_row rows[] = {
        {9, 7, CHANNEL_TOPIC, SPAN("caf\xc3\xa9/\xe2\x82\xac"), SPAN("\xf0\x9f\x99\x82"),
         SPAN("\"\xc3\xa9\\u0000\""), 1763800000000, 0},
        {7, 0, CHANNEL_CLIENT, SPAN("ada"), SPAN("note"), SPAN("{\"a\":1.10}"), 0, 1000},
        {8, 0, CHANNEL_ALL, {NULL, 0}, SPAN("n'; DROP TABLE events;--"), SPAN("null"), INT64_MAX, UINT64_MAX},
        {(1ULL << 50) - 1, 9, CHANNEL_CLIENT, SPAN("bo"), SPAN("n"), SPAN("0"), UINT64_MAX, UINT64_MAX - 1}};
    store_begin(p->store);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        store_put_event(p->store, &rows[i]);
    store_put_mark(p->store, 65535, 6);
    store_put_mark(p->store, 0, 3);
    put_key(p, SPAN("a\0b\xc3\xa9"), 0xab, 900);
    put_key(p, SPAN("a"), 0xcd, UINT64_MAX);
    commit(p);
}

static void test_round_trip(void **state)
{
    static const char all[] =
        "mark 0=3\nmark 65535=6\n"
        "event 7<0 1 'ada' 'note' '{\"a\":1.10}' ts=0 ttl=1000\n"
        "event 8<0 0 '' 'n'; DROP TABLE events;--' 'null' ts=9223372036854775807 ttl=18446744073709551615\n"
        "event 9<7 2 'caf\xc3\xa9/\xe2\x82\xac' '\xf0\x9f\x99\x82' '\"\xc3\xa9\\u0000\"' ts=1763800000000 "
        "ttl=0\n"
        "event 1125899906842623<9 1 'bo' 'n' '0' ts=9223372036854775807 ttl=9223372036854775807\n"
        "key a\\0b\xc3\xa9 ab..ab seq=5 connections=2 expires=900\n"
        "key a cd..cd seq=5 connections=2 expires=9223372036854775807\n";
    struct place *p = *state;
    open_store(p);
    put_one_of_each(p);
    assert_holds(p, all);
    reopen(p);
    assert_holds(p, all);
    const struct store_reader nobody = {0};
    assert_int_equal(store_load(p->store, &nobody), STORE_OK);
}

static bool same_payload(void *user, const struct store_row *row)
{
    const struct span *wanted = user;
    return span_eq(*wanted, row->payload);
}

static void test_long_values(void **state)
{
    struct place *p = *state;
    char name[TIDINGS_TOPIC_MAX];
    struct span payload = {malloc(3 << 20), 3 << 20};
    assert_non_null(payload.p);
    memset(name, 'x', sizeof(name));
    memset((char *)payload.p, '7', payload.len);
    struct store_row row = row_of(1);
    row.kind = CHANNEL_TOPIC;
    row.key = (struct span){name, TIDINGS_TOPIC_MAX};
    row.name = (struct span){name, TIDINGS_EVENT_MAX};
    row.payload = payload;
    open_store(p);
    store_begin(p->store);
    store_put_event(p->store, &row);
    put_key(p, (struct span){name, STORE_KEY_MAX}, 1, 1);
    commit(p);
    reopen(p);
    const struct store_reader reader = {.on_event = same_payload, .user = &payload};
    assert_int_equal(store_load(p->store, &reader), STORE_OK);
    assert_int_equal(dump(p).keys, 1);
    free((char *)payload.p);
}

static void test_delete(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 10);
    store_begin(p->store);
    store_delete_event(p->store, 1);
    store_delete_event(p->store, 10);
    store_delete_event(p->store, 10);
    store_delete_event(p->store, 11);
    store_delete_event(p->store, 0);
    store_delete_event(p->store, UINT64_MAX);
    put(p, 11);
    commit(p);
    reopen(p);
    struct dump d = dump(p);
    assert_true(d.in_order);
    assert_int_equal(d.events, 9);
    assert_int_equal(d.first, 2);
    assert_int_equal(d.last, 11);
}

static void test_marks_only_rise(void **state)
{
    struct place *p = *state;
    open_store(p);
    store_begin(p->store);
    store_put_mark(p->store, 4, 100);
    store_put_mark(p->store, 4, 99);
    store_put_mark(p->store, 5, 1);
    commit(p);
    store_begin(p->store);
    store_put_mark(p->store, 4, 7);
    store_put_mark(p->store, 5, 2);
    commit(p);
    assert_holds(p, "mark 4=100\nmark 5=2\n");
}

static void test_keys(void **state)
{
    struct place *p = *state;
    open_store(p);
    store_begin(p->store);
    put_key(p, SPAN("one"), 1, 100);
    put_key(p, SPAN("two"), 2, 200);
    put_key(p, SPAN("one\0"), 3, 300);
    put_key(p, SPAN("one"), 4, 400); /* replaces the first */
    commit(p);
    assert_holds(p, "key two 02..02 seq=5 connections=2 expires=200\n"
                    "key one\\0 03..03 seq=5 connections=2 expires=300\n"
                    "key one 04..04 seq=5 connections=2 expires=400\n");
    store_begin(p->store);
    store_delete_keys(p->store, 100); /* when the first would have ended */
    store_delete_keys(p->store, 300);
    commit(p);
    assert_holds(p, "key one 04..04 seq=5 connections=2 expires=400\n");
    store_begin(p->store);
    store_delete_keys(p->store, 399);
    commit(p);
    assert_int_equal(dump(p).keys, 1);
    store_begin(p->store);
    store_delete_keys(p->store, UINT64_MAX);
    commit(p);
    assert_holds(p, "");
}

static void test_reserve(void **state)
{
    struct place *p = *state;
    open_store(p);
    store_begin(p->store);
    store_reserve(p->store, 1);
    store_rollback(p->store);
    reopen(p);
    assert_int_equal(p->id.seq, 0);
    store_begin(p->store);
    store_reserve(p->store, 1);
    store_reserve(p->store, 1000);
    commit(p);
    reopen(p);
    assert_int_equal(p->id.seq, 1 + (1 << 20));
    store_begin(p->store);
    store_reserve(p->store, p->id.seq); /* reserved already */
    commit(p);
    reopen(p);
    assert_int_equal(p->id.seq, 1 + (1 << 20));
    store_begin(p->store);
    store_reserve(p->store, p->id.seq + 1);
    commit(p);
    reopen(p);
    assert_int_equal(p->id.seq, 2 + (2 << 20));
    store_begin(p->store);
    store_reserve(p->store, (1ULL << 50) - 2);
    commit(p);
    reopen(p);
    assert_int_equal(p->id.seq, (1ULL << 50) - 1); /* more cannot be said in an id */
}

static void test_reserve_after_rollback(void **state)
{
    struct place *p = *state;
    open_store(p);
    store_begin(p->store);
    store_reserve(p->store, 1);
    put(p, 1);
    put(p, 1);
    assert_int_equal(store_commit(p->store), STORE_CORRUPT);
    store_begin(p->store);
    store_reserve(p->store, 1); /* what was reserved was undone with the rest */
    commit(p);
    reopen(p);
    assert_int_equal(p->id.seq, 1 + (1 << 20));
}

/* A number that is in the file was used, whatever was reserved. */
static void test_used_beyond_reserve(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 77, 77);
    reopen(p);
    assert_int_equal(p->id.seq, 77);
}

/* ---- transactions ---- */

static void test_rollback(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 2);
    store_begin(p->store);
    put(p, 3);
    store_delete_event(p->store, 1);
    store_put_mark(p->store, 1, 1);
    put_key(p, SPAN("k"), 1, 1);
    store_rollback(p->store);
    store_rollback(p->store); /* none under way */
    struct dump d = dump(p);
    assert_true(d.events == 2 && d.first == 1 && d.marks == 0 && d.keys == 0);
    store_begin(p->store);
    put(p, 3);
    close_store(p); /* in the middle of it */
    open_store(p);
    assert_int_equal(dump(p).events, 2);
}

static void test_first_failure(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 1);
    store_begin(p->store);
    put(p, 2);
    put(p, 1); /* is there */
    put(p, 3);
    store_delete_event(p->store, 1);
    assert_int_equal(store_commit(p->store), STORE_CORRUPT);
    struct dump d = dump(p);
    assert_true(d.events == 1 && d.first == 1);
    put_committed(p, 2, 3);
    assert_int_equal(dump(p).events, 3);
}

static void test_reader_stops(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 3);
    struct dump d = {.stop = true};
    assert_int_equal(dump_into(p->store, &d), STORE_MEMORY);
    assert_int_equal(d.events, 1);
    put_committed(p, 4, 4); /* nothing is left open */
    assert_int_equal(dump(p).events, 4);
}

static void test_words(void **state)
{
    (void)state;
    assert_string_equal(store_code(STORE_OK), "ok");
    assert_string_equal(store_code(STORE_FULL), "store_full");
    assert_string_equal(store_code(STORE_MEMORY), "out_of_memory");
    assert_string_equal(store_text(STORE_LOCKED), "another process has the store open");
    store_close(NULL);
}

/* ---- what a power failure would take ---- */

static unsigned syncs; /* of SQLite, which calls these instead of libc's */

__attribute__((visibility("default"))) int fsync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

static unsigned syncs_of_commit(struct place *p, uint64_t seq, uint64_t reserve)
{
    unsigned before = syncs;
    store_begin(p->store);
    put(p, seq);
    store_reserve(p->store, reserve);
    commit(p);
    return syncs - before;
}

static unsigned syncs_of_tidy(struct place *p)
{
    unsigned before = syncs;
    assert_int_equal(store_tidy(p->store), STORE_OK);
    return syncs - before;
}

static void test_syncs(void **state)
{
    struct place *p = *state;
    open_store(p);
    assert_true(syncs > 0); /* they are seen at all */
    syncs_of_commit(p, 1, 0);
    syncs_of_tidy(p);
    assert_int_equal(syncs_of_commit(p, 2, 0), 0);
    assert_int_equal(syncs_of_commit(p, 3, 0), 0);
    assert_true(syncs_of_tidy(p) > 0);
    assert_int_equal(syncs_of_tidy(p), 0);
    assert_true(syncs_of_commit(p, 4, 4) > 0); /* a number must never come back */
    assert_int_equal(syncs_of_commit(p, 5, 5), 0);
    close_store(p);
    assert_int_equal(try_open(p, true), STORE_OK);
    assert_true(syncs_of_commit(p, 6, 0) > 0);
    assert_true(syncs_of_commit(p, 7, 0) > 0);
    assert_int_equal(syncs_of_tidy(p), 0);
}

/* ---- the end of the process ---- */

#define IN_ONE 8 /* events in a transaction of the child */

/* Writes transactions and says how many are committed; the one that it is killed in is never one of them. */
static void write_until_killed(struct place *p, bool full_sync, int out)
{
    uint64_t seq = 0;
    if (try_open(p, full_sync))
        _exit(1);
    for (uint32_t done = 1;; done++) {
        store_begin(p->store);
        store_reserve(p->store, seq + IN_ONE);
        for (int i = 0; i < IN_ONE; i++)
            put(p, ++seq);
        if (done % 16 == 0 && store_tidy(p->store))
            _exit(2);
        if (store_commit(p->store) || write(out, &done, sizeof(done)) != sizeof(done))
            _exit(3);
    }
}

static void kill_child(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void kill_while_writing(struct place *p, bool full_sync, uint32_t wanted)
{
    uint32_t done = 0, last;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        write_until_killed(p, full_sync, pipes[1]);
    close(pipes[1]);
    while (done < wanted && read(pipes[0], &last, sizeof(last)) == sizeof(last))
        done = last;
    assert_int_equal(done, wanted);
    kill_child(child);
    while (read(pipes[0], &last, sizeof(last)) == sizeof(last))
        done = last;
    close(pipes[0]);
    open_store(p);
    struct dump d = dump(p);
    assert_true(d.in_order && d.first == 1 && d.last == d.events);
    assert_int_equal(d.events % IN_ONE, 0);             /* whole transactions */
    assert_in_range(d.events / IN_ONE, done, done + 1); /* killed between the commit and saying so */
    assert_int_equal(p->id.seq, IN_ONE + (1 << 20));
    close_store(p);
    unlink(p->path);
}

static void test_killed_writer(void **state)
{
    static const uint32_t wanted[] = {1, 17, 64};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        kill_while_writing(*state, false, wanted[i]);
        kill_while_writing(*state, true, wanted[i]);
    }
}

/* A new store is made in one transaction: whenever its maker is killed, the next one can open it. */
static void test_killed_maker(void **state)
{
    struct place *p = *state;
    for (unsigned i = 0; i < 60; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            try_open(p, false);
            pause();
            _exit(0);
        }
        struct timespec moment = {0, (long)i * 150000};
        nanosleep(&moment, NULL);
        kill_child(child);
        open_store(p);
        put_committed(p, 1, 1);
        close_store(p);
        unlink(p->path);
    }
}

/* ---- one process at a time ---- */

/* What a process of its own (a forked one would know our locks from memory) is told. */
static enum store_result open_elsewhere(struct place *p)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "test_store", "--open", p->path, (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (enum store_result)WEXITSTATUS(status);
}

static int be_elsewhere(const char *path)
{
    struct log_identity id = {.epoch = EPOCH};
    struct store *s = NULL;
    enum store_result result = store_open(&s, path, false, &id);
    store_close(s);
    return (int)result;
}

static void test_locked(void **state)
{
    struct place *p = *state;
    open_store(p);
    assert_int_equal(open_elsewhere(p), STORE_LOCKED); /* nothing was written yet */
    put_committed(p, 1, 1);
    assert_int_equal(open_elsewhere(p), STORE_LOCKED);
    struct store *second = NULL;
    struct log_identity id = {.epoch = EPOCH};
    assert_int_equal(store_open(&second, p->path, false, &id), STORE_LOCKED);
    assert_null(second);
    assert_int_equal(open_elsewhere(p), STORE_LOCKED); /* the failed attempt of ours cost us no lock */
    put_committed(p, 2, 2);
    close_store(p);
    assert_int_equal(open_elsewhere(p), STORE_OK);
    open_store(p);
    assert_int_equal(dump(p).events, 2);
}

/* ---- files that are no store of ours ---- */

struct copy {
    char *bytes;
    size_t len;
};

static struct copy read_whole(const char *path)
{
    struct copy c = {malloc(size_of(path) + 1), size_of(path)};
    int fd = open(path, O_RDONLY);
    assert_non_null(c.bytes);
    assert_int_equal(fd < 0 ? 0 : read(fd, c.bytes, c.len), (ssize_t)c.len);
    if (fd >= 0)
        close(fd);
    return c; /* nothing, if there is no file */
}

static void assert_same(struct copy before, struct copy after)
{
    assert_int_equal(after.len, before.len);
    assert_memory_equal(after.bytes, before.bytes, before.len);
    free(before.bytes);
    free(after.bytes);
}

/* Opening says so, and changes nothing. */
static void refuses(struct place *p, enum store_result wanted)
{
    struct copy file = read_whole(p->path), log = read_whole(beside(p, "-wal"));
    assert_string_equal(store_code(try_open(p, false)), store_code(wanted));
    assert_null(p->store);
    assert_same(file, read_whole(p->path));
    assert_same(log, read_whole(beside(p, "-wal")));
}

static void write_at(const char *path, off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

static void test_not_a_database(void **state)
{
    static char text[9000];
    struct place *p = *state;
    write_at(p->path, 0, "x", 1);
    refuses(p, STORE_CORRUPT);
    write_at(p->path, 0, text, sizeof(text)); /* zeros */
    refuses(p, STORE_CORRUPT);
    memset(text, 'x', sizeof(text));
    write_at(p->path, 0, text, sizeof(text));
    refuses(p, STORE_CORRUPT);
}

static void test_other_database(void **state)
{
    static const char *const kinds[] = {"CREATE TABLE events(x)", "PRAGMA application_id=7",
                                        "PRAGMA auto_vacuum=INCREMENTAL; CREATE TABLE t(x)",
                                        "PRAGMA journal_mode=WAL; CREATE TABLE t(x); PRAGMA user_version=1"};
    struct place *p = *state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        execute(p->path, kinds[i]);
        refuses(p, STORE_CORRUPT);
        unlink(p->path);
        unlink(beside(p, "-wal"));
    }
}

/* The version, and the tables, of a store are changed by somebody. */
static void test_versions(void **state)
{
    static const struct {
        const char *sql;
        enum store_result wanted;
    } cases[] = {{"PRAGMA user_version=2", STORE_NEWER},
                 {"PRAGMA user_version=2000000000", STORE_NEWER},
                 {"PRAGMA user_version=0", STORE_CORRUPT},
                 {"PRAGMA user_version=-1", STORE_CORRUPT},
                 {"PRAGMA user_version=1", STORE_OK},
                 {"DROP TABLE marks", STORE_CORRUPT},
                 {"ALTER TABLE keys DROP COLUMN connections", STORE_CORRUPT}};
    struct place *p = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        open_store(p);
        put_committed(p, 1, 1);
        close_store(p);
        execute(p->path, cases[i].sql);
        if (cases[i].wanted != STORE_OK)
            refuses(p, cases[i].wanted);
        else
            open_store(p);
        close_store(p);
        unlink(p->path);
        unlink(beside(p, "-wal"));
    }
}

/* A store of another journal mode, as it is after it was copied with some tool, is ours all the same. */
static void test_journal_mode(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 1);
    close_store(p);
    execute(p->path, "PRAGMA journal_mode=DELETE; VACUUM");
    open_store(p);
    put_committed(p, 2, 2);
    assert_true(size_of(beside(p, "-wal")) > 0);
    assert_int_equal(dump(p).events, 2);
}

static void fill(struct place *p)
{
    char payload[400];
    memset(payload, '1', sizeof(payload));
    open_store(p);
    store_begin(p->store);
    for (uint64_t seq = 1; seq <= 2000; seq++) {
        struct store_row row = row_of(seq);
        row.payload = (struct span){payload, sizeof(payload)};
        store_put_event(p->store, &row);
    }
    commit(p);
    close_store(p);
}

static void test_garbage(void **state)
{
    char garbage[3 * 4096];
    struct place *p = *state;
    fill(p);
    memset(garbage, 0x5a, sizeof(garbage));
    write_at(p->path, (off_t)(size_of(p->path) / 2 / 4096 * 4096), garbage, sizeof(garbage));
    refuses(p, STORE_CORRUPT);
}

static void test_truncated(void **state)
{
    struct place *p = *state;
    fill(p);
    assert_int_equal(truncate(p->path, (off_t)(size_of(p->path) / 2)), 0);
    refuses(p, STORE_CORRUPT);
    assert_int_equal(truncate(p->path, 1000), 0);
    refuses(p, STORE_CORRUPT);
}

/* A log that was cut in the middle of a transaction loses that one only. */
static void test_truncated_log(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 1);
    uint64_t whole = size_of(beside(p, "-wal"));
    put_committed(p, 2, 2);
    assert_int_equal(rename(p->path, beside(p, ".away")), 0); /* so that closing leaves the log alone */
    close_store(p);
    assert_int_equal(rename(beside(p, ".away"), p->path), 0);
    assert_int_equal(truncate(beside(p, "-wal"), (off_t)whole + 100), 0);
    open_store(p);
    assert_int_equal(dump(p).events, 1);
}

static void test_bad_rows(void **state)
{
    static const char *const rows[] = {
        "INSERT INTO marks VALUES(65536, 1)",
        "INSERT INTO marks VALUES(-1, 1)",
        "INSERT INTO marks VALUES(1, 1 << 50)",
        "INSERT INTO marks VALUES(1, -1)",
        "INSERT INTO keys VALUES(x'', zeroblob(16), 1, 1, 1)",
        "INSERT INTO keys VALUES(zeroblob(256), zeroblob(16), 1, 1, 1)",
        "INSERT INTO keys VALUES(x'61', zeroblob(15), 1, 1, 1)",
        "INSERT INTO keys VALUES(x'61', zeroblob(17), 1, 1, 1)",
        "INSERT INTO keys VALUES(x'61', zeroblob(16), -1, 1, 1)",
        "INSERT INTO keys VALUES(x'61', zeroblob(16), 1, -1, 1)",
        "INSERT INTO keys VALUES(x'61', zeroblob(16), 1, 1, -1)",
        "INSERT INTO events VALUES(-5, 0, 0, x'', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(0, 0, 0, x'', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 5, 0, x'', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, -1, 0, x'', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 3, x'', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, -1, x'61', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 0, x'61', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, CAST(printf('%129d', 1) AS BLOB), x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 2, CAST(printf('%257d', 1) AS BLOB), x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'ff', x'61', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'61', x'', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'61', x'610a', x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'61', CAST(printf('%129d', 1) AS BLOB), x'30', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'61', x'61', x'', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'61', x'61', x'310a32', 1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'61', x'61', x'30', -1, NULL)",
        "INSERT INTO events VALUES(5, 0, 1, x'61', x'61', x'30', 1, -1)"};
    struct place *p = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct dump d = {0};
        open_store(p);
        close_store(p);
        execute(p->path, rows[i]);
        enum store_result result = try_open(p, false);
        if ((result == STORE_OK ? dump_into(p->store, &d) : result) != STORE_CORRUPT)
            fail_msg("taken: %s", rows[i]);
        close_store(p);
        unlink(p->path);
    }
}

static void test_bad_identity(void **state)
{
    static const char *const changes[] = {
        "UPDATE meta SET value = x'00' WHERE name = 'epoch'",
        "UPDATE meta SET value = CAST('IIIIIIIIIII' AS BLOB) WHERE name = 'epoch'",
        "UPDATE meta SET value = 'text' WHERE name = 'seeds'",
        "UPDATE meta SET value = zeroblob(23) WHERE name = 'seeds'",
        "UPDATE meta SET value = -1 WHERE name = 'reserved'",
        "UPDATE meta SET value = 1 << 50 WHERE name = 'reserved'",
        "UPDATE meta SET value = 'x' WHERE name = 'reserved'",
        "DELETE FROM meta WHERE name = 'reserved'",
        "DELETE FROM meta WHERE name = 'epoch'",
        "DELETE FROM meta"};
    struct place *p = *state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        open_store(p);
        close_store(p);
        execute(p->path, changes[i]);
        refuses(p, STORE_CORRUPT);
        assert_string_equal(p->id.epoch, EPOCH); /* as it was given */
        assert_int_equal(p->id.seq, 0);
        unlink(p->path);
        unlink(beside(p, "-wal"));
    }
}

/* ---- where nothing can be written ---- */

/* So that permissions count for root too. False if they do not even so. */
static bool drop_override(const char *read_only)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    if (syscall(SYS_capset, &head, none))
        return false;
    int fd = open(read_only, O_WRONLY);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EACCES;
}

#define NOT_OBSERVABLE 98

static int open_without_rights(struct place *p)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(drop_override(beside(p, ".away")) ? (int)try_open(p, false) : NOT_OBSERVABLE);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_read_only(void **state)
{
    struct place *p = *state;
    write_at(beside(p, ".away"), 0, "x", 1); /* to see whether permissions count */
    assert_int_equal(chmod(beside(p, ".away"), 0400), 0);
    open_store(p);
    put_committed(p, 1, 1);
    close_store(p);
    assert_int_equal(open_elsewhere(p), STORE_OK);
    assert_int_equal(chmod(p->path, 0400), 0);
    int file = open_without_rights(p);
    assert_int_equal(chmod(p->path, 0600), 0);
    assert_int_equal(chmod(p->dir, 0500), 0);
    int directory = open_without_rights(p);
    assert_int_equal(chmod(p->dir, 0700), 0);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(chmod(p->dir, 0500), 0);
    int missing = open_without_rights(p);
    assert_int_equal(chmod(p->dir, 0700), 0);
    if (file == NOT_OBSERVABLE) {
        print_message("permissions do not count for this user: not looked at\n");
        skip();
    }
    assert_int_equal(file, STORE_READONLY);
    assert_int_equal(directory, STORE_READONLY);
    assert_int_equal(missing, STORE_READONLY);
}

static void test_not_a_file(void **state)
{
    struct place *p = *state;
    struct store *s = NULL;
    struct log_identity id = {.epoch = EPOCH};
    assert_int_equal(store_open(&s, p->dir, false, &id), STORE_READONLY);
    assert_int_equal(store_open(&s, beside(p, "/in/a/file"), false, &id), STORE_READONLY);
    assert_int_equal(store_open(&s, "", false, &id), STORE_READONLY);
    assert_int_equal(mkfifo(beside(p, ".pipe"), 0600), 0);
    assert_int_equal(store_open(&s, beside(p, ".pipe"), false, &id), STORE_READONLY);
    assert_int_equal(symlink(beside(p, ".away"), p->path), 0);
    assert_int_equal(store_open(&s, p->path, false, &id), STORE_READONLY);
    assert_false(exists(beside(p, ".away")));
    assert_null(s);
}

/* Names that mean something to SQLite are names of files here. */
static void test_special_names(void **state)
{
    static const char *const names[] = {":memory:", "file:x?mode=memory", "a b%20c?d#e"};
    struct place *p = *state;
    int back = open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir(p->dir), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct log_identity id = {.epoch = EPOCH};
        assert_int_equal(store_open(&p->store, names[i], false, &id), STORE_OK);
        put_committed(p, 1, 1);
        close_store(p);
        assert_true(size_of(names[i]) > 0);
        assert_int_equal(unlink(names[i]), 0);
    }
    assert_int_equal(fchdir(back), 0);
    close(back);
}

/* ---- a file that goes away ---- */

static void test_moved(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 1);
    assert_int_equal(store_tidy(p->store), STORE_OK);
    assert_int_equal(rename(p->path, beside(p, ".away")), 0);
    assert_int_equal(store_tidy(p->store), STORE_MOVED);
    store_begin(p->store);
    put(p, 2);
    assert_int_equal(store_commit(p->store), STORE_MOVED);
    assert_int_equal(rename(beside(p, ".away"), p->path), 0); /* and it is back */
    assert_int_equal(store_tidy(p->store), STORE_OK);
    put_committed(p, 2, 2);
    assert_int_equal(dump(p).events, 2);
}

/* Who removes the log takes what is in it from a crash, not from an orderly end. */
static void test_log_removed(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 1);
    assert_int_equal(unlink(beside(p, "-wal")), 0);
    assert_int_equal(store_tidy(p->store), STORE_MOVED);
    reopen(p);
    assert_int_equal(dump(p).events, 1);
    assert_int_equal(store_tidy(p->store), STORE_OK);
}

/* Another store in the place of one that was removed keeps its log when the first is closed. */
static void test_replaced(void **state)
{
    struct place *p = *state;
    open_store(p);
    put_committed(p, 1, 1);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(rename(beside(p, "-wal"), beside(p, ".away")), 0);
    struct store *first = p->store;
    open_store(p);
    put_committed(p, 5, 6);
    assert_int_equal(store_tidy(first), STORE_MOVED);
    store_close(first);
    assert_true(exists(beside(p, "-wal")));
    assert_int_equal(store_tidy(p->store), STORE_OK);
    reopen(p);
    struct dump d = dump(p);
    assert_true(d.events == 2 && d.first == 5);
}

/* ---- a disk that is full ---- */

static void limit_files(uint64_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Transactions until one fails; returns the last number that was committed. */
static uint64_t put_until_full(struct place *p, uint64_t seq)
{
    enum store_result result;
    do {
        store_begin(p->store);
        for (int i = 1; i <= 100; i++)
            put(p, seq + (uint64_t)i);
        result = store_commit(p->store);
        seq += result == STORE_OK ? 100 : 0;
    } while (result == STORE_OK);
    assert_string_equal(store_code(result), "store_full");
    return seq;
}

static void fill_and_recover(struct place *p, bool full_sync)
{
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(try_open(p, full_sync), STORE_OK);
    limit_files(150000);
    uint64_t last = put_until_full(p, 0);
    uint64_t again = put_until_full(p, last);
    struct dump d = dump(p);
    enum store_result tidy = store_tidy(p->store); /* has nothing to do, or no room for it */
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, old);
    assert_true(last > 0 && again == last);
    assert_true(d.events == last && d.last == last);
    assert_true(tidy == STORE_OK || tidy == STORE_FULL);
    put_committed(p, last + 1, last + 500);
    reopen(p);
    d = dump(p);
    assert_true(d.in_order && d.events == last + 500 && d.last == last + 500);
    close_store(p);
    unlink(p->path);
}

static void test_full(void **state)
{
    fill_and_recover(*state, false);
    fill_and_recover(*state, true);
}

/* There is no room to make one, and then there is. */
static void test_full_at_birth(void **state)
{
    struct place *p = *state;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    limit_files(6000);
    enum store_result result = try_open(p, false);
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, old);
    assert_string_equal(store_code(result), "store_full");
    assert_null(p->store);
    open_store(p);
    put_committed(p, 1, 1);
}

/* ---- memory that runs out ---- */

/* Opens, writes and reads while SQLite may have so many bytes more; says what went wrong first. */
static enum store_result use_within(struct place *p, sqlite3_int64 bytes)
{
    struct dump d = {0};
    sqlite3_hard_heap_limit64(sqlite3_memory_used() + bytes);
    enum store_result result = try_open(p, false);
    if (result == STORE_CORRUPT)
        result = STORE_MEMORY; /* what quick_check makes of it */
    if (result == STORE_OK) {
        store_begin(p->store);
        for (uint64_t seq = 1; seq <= 200; seq++)
            put(p, seq);
        result = store_commit(p->store);
        enum store_result loaded = dump_into(p->store, &d);
        if (loaded == STORE_OK)
            assert_int_equal(d.events, result == STORE_OK ? 200 : 0);
        result = result ? result : loaded;
    }
    sqlite3_hard_heap_limit64(0);
    return result;
}

static void test_memory(void **state)
{
    struct place *p = *state;
    unsigned failed = 0;
    enum store_result result;
    do {
        result = use_within(p, 1 + (sqlite3_int64)failed * 2000);
        if (result != STORE_OK && result != STORE_MEMORY)
            fail_msg("%u: %s", failed, store_code(result));
        failed += result == STORE_MEMORY;
        close_store(p);
        if (result == STORE_MEMORY) { /* and with memory it works */
            open_store(p);
            store_begin(p->store);
            for (uint64_t seq = 1; seq <= 200; seq++)
                store_delete_event(p->store, seq);
            commit(p);
            close_store(p);
        }
    } while (result != STORE_OK);
    assert_true(failed > 10);
}

/* ---- the size of the file ---- */

#define ALL_INSERTS 200000
#define HELD        1000

static void test_bounded(void **state)
{
    char payload[200];
    uint64_t seq = 0, most = 0;
    struct place *p = *state;
    memset(payload, '1', sizeof(payload));
    open_store(p);
    while (seq < ALL_INSERTS) {
        store_begin(p->store);
        for (int i = 0; i < 50; i++) {
            struct store_row row = row_of(++seq);
            row.payload = (struct span){payload, sizeof(payload)};
            store_put_event(p->store, &row);
            if (seq > HELD)
                store_delete_event(p->store, seq - HELD);
        }
        commit(p);
        if (seq % 5000 == 0)
            assert_int_equal(store_tidy(p->store), STORE_OK);
        most = store_bytes(p->store) > most ? store_bytes(p->store) : most;
    }
    assert_in_range(most, HELD * sizeof(payload), 12 << 20); /* mostly the log before it is folded */
    struct dump d = dump(p);
    assert_true(d.in_order && d.events == HELD && d.last == ALL_INSERTS);
    for (int i = 0; i < 3; i++) /* nothing happens any more */
        assert_int_equal(store_tidy(p->store), STORE_OK);
    assert_in_range(store_bytes(p->store), HELD * sizeof(payload), 2 << 20);
}

static void test_given_back(void **state)
{
    char payload[4000];
    struct place *p = *state;
    memset(payload, '1', sizeof(payload));
    open_store(p);
    store_begin(p->store);
    for (uint64_t seq = 1; seq <= 4000; seq++) {
        struct store_row row = row_of(seq);
        row.payload = (struct span){payload, sizeof(payload)};
        store_put_event(p->store, &row);
    }
    commit(p);
    reopen(p);
    assert_true(size_of(p->path) > 16000000);
    store_begin(p->store);
    for (uint64_t seq = 1; seq < 4000; seq++)
        store_delete_event(p->store, seq);
    commit(p);
    for (int i = 0; i < 20; i++)
        assert_int_equal(store_tidy(p->store), STORE_OK);
    assert_true(store_bytes(p->store) < 7 << 20); /* 1024 pages are kept, and a log at rest */
    reopen(p);
    assert_int_equal(dump(p).first, 4000);
}

#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--open") == 0)
        return be_elsewhere(argv[2]);
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_new_file),
        IN_PLACE(test_identity),
        IN_PLACE(test_round_trip),
        IN_PLACE(test_long_values),
        IN_PLACE(test_delete),
        IN_PLACE(test_marks_only_rise),
        IN_PLACE(test_keys),
        IN_PLACE(test_reserve),
        IN_PLACE(test_reserve_after_rollback),
        IN_PLACE(test_used_beyond_reserve),
        IN_PLACE(test_rollback),
        IN_PLACE(test_first_failure),
        IN_PLACE(test_reader_stops),
        cmocka_unit_test(test_words),
        IN_PLACE(test_syncs),
        IN_PLACE(test_killed_writer),
        IN_PLACE(test_killed_maker),
        IN_PLACE(test_locked),
        IN_PLACE(test_not_a_database),
        IN_PLACE(test_other_database),
        IN_PLACE(test_versions),
        IN_PLACE(test_journal_mode),
        IN_PLACE(test_garbage),
        IN_PLACE(test_truncated),
        IN_PLACE(test_truncated_log),
        IN_PLACE(test_bad_rows),
        IN_PLACE(test_bad_identity),
        IN_PLACE(test_read_only),
        IN_PLACE(test_not_a_file),
        IN_PLACE(test_special_names),
        IN_PLACE(test_moved),
        IN_PLACE(test_log_removed),
        IN_PLACE(test_replaced),
        IN_PLACE(test_full),
        IN_PLACE(test_full_at_birth),
        IN_PLACE(test_memory),
        IN_PLACE(test_bounded),
        IN_PLACE(test_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
