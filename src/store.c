/* SPDX-License-Identifier: MIT
 *
 * store - see store.h. SQLite does the work; what is decided here is how it is asked.
 *
 * - One process: locking_mode=EXCLUSIVE. The lock is taken before anything is read and held to the end, so
 *   the index of the write-ahead log lives on the heap and there is no -shm file.
 * - A file that is not ours is never written to, also not by closing it: KEEP_LOG stays set until all that
 *   can be wrong with it has been looked at.
 * - Everything that runs often is prepared once; values are bound, and not copied.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tidings.h>
#include <unistd.h>

#define APPLICATION_ID 0x54694447 /* "TiDG", in the file's head; file(1) shows it */

#define SEQ_MAX     ((1ULL << (5 * EVENT_SEQ_LEN)) - 1) /* the highest number that an id can say */
#define RESERVE     (1U << 20)                          /* numbers that are reserved at once */
#define SLOT_MAX    65535
#define FREE_KEPT   1024 /* unused pages that are left for what comes next */
#define WAL_AT_REST 1048576

#define TEXT(x)  TEXT_(x)
#define TEXT_(x) #x

/* ---------------------------------------------------------------- SQL */

/* 4 KiB pages. The log is folded into the file at 8 MiB, in between it is only appended to; after a larger
 * transaction it is cut back to 16 MiB. Debian's SQLite overwrites what is deleted; FAST does it where the
 * page is written anyway. */
#define SETTINGS                                                                                             \
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA busy_timeout=0; PRAGMA synchronous=FULL; PRAGMA mmap_size=0;"     \
    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192; PRAGMA cell_size_check=ON;"                          \
    "PRAGMA trusted_schema=OFF; PRAGMA secure_delete=FAST; PRAGMA wal_autocheckpoint=2048;"                  \
    "PRAGMA journal_size_limit=16777216;"

#define SCHEMA                                                                                               \
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;"                    \
    "CREATE TABLE events(seq INTEGER PRIMARY KEY, prev INTEGER NOT NULL, kind INTEGER NOT NULL,"             \
    " key BLOB NOT NULL, name BLOB NOT NULL, payload BLOB NOT NULL, ts INTEGER NOT NULL, ttl INTEGER)"       \
    " STRICT;"                                                                                               \
    "CREATE TABLE marks(slot INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;"                             \
    "CREATE TABLE keys(key BLOB PRIMARY KEY, hash BLOB NOT NULL, seq INTEGER NOT NULL,"                      \
    " connections INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;"                        \
    "CREATE INDEX keys_by_expires ON keys(expires);"                                                         \
    "PRAGMA application_id=" TEXT(APPLICATION_ID) "; PRAGMA user_version=" TEXT(STORE_SCHEMA) ";"

#define SELECT_KIND                                                                                          \
    "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema), auto_vacuum"                 \
    " FROM pragma_application_id, pragma_user_version, pragma_auto_vacuum"

#define SELECT_IDENTITY                                                                                      \
    "SELECT (SELECT value FROM meta WHERE name = 'epoch'), (SELECT value FROM meta WHERE name = 'seeds'),"   \
    " (SELECT value FROM meta WHERE name = 'reserved'), (SELECT ifnull(max(seq), 0) FROM events)"

#define QUERY_MAP(X)                                                                                         \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                              \
    X(COMMIT, "COMMIT")                                                                                      \
    X(ROLLBACK, "ROLLBACK")                                                                                  \
    X(PUT_EVENT, "INSERT INTO events(seq, prev, kind, key, name, payload, ts, ttl)"                          \
                 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                                                  \
    X(DELETE_EVENT, "DELETE FROM events WHERE seq = ?1")                                                     \
    X(PUT_MARK, "INSERT INTO marks(slot, seq) VALUES(?1, ?2)"                                                \
                " ON CONFLICT(slot) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq")              \
    X(PUT_KEY, "INSERT OR REPLACE INTO keys(key, hash, seq, connections, expires)"                           \
               " VALUES(?1, ?2, ?3, ?4, ?5)")                                                                \
    X(DELETE_KEYS, "DELETE FROM keys WHERE expires <= ?1")                                                   \
    X(RESERVE, "UPDATE meta SET value = ?1 WHERE name = 'reserved'")                                         \
    X(LOAD_MARKS, "SELECT slot, seq FROM marks ORDER BY slot")                                               \
    X(LOAD_EVENTS, "SELECT seq, prev, kind, key, name, payload, ts, ttl FROM events ORDER BY seq")           \
    X(LOAD_KEYS, "SELECT key, hash, seq, connections, expires FROM keys ORDER BY expires")                   \
    X(GIVE_BACK, "PRAGMA incremental_vacuum(512)")

#define QUERY_ENUM(name, sql) QUERY_##name,
#define QUERY_SQL(name, sql)  [QUERY_##name] = (sql),

enum query { QUERY_MAP(QUERY_ENUM) QUERY_COUNT };
static const char *const query_sql[QUERY_COUNT] = {QUERY_MAP(QUERY_SQL)};

struct store {
    sqlite3 *db;
    sqlite3_stmt *query[QUERY_COUNT];
    enum store_result failed; /* the first failure of this transaction */
    bool full_sync;
    bool unsynced;      /* commits are not on the disk yet */
    bool busy;          /* something was committed since the last tidying */
    bool shrunk;        /* pages were given back in the log that the file still has */
    bool moved;         /* as of the last tidying */
    uint64_t reserved;  /* no number above is used; with this transaction */
    uint64_t committed; /* the same without it */
    ino_t log_inode;    /* of the write-ahead log */
};

/* ---------------------------------------------------------------- results */

#define RESULT_CODE(name, code, text) [STORE_##name] = (code),
#define RESULT_TEXT(name, code, text) [STORE_##name] = (text),

const char *store_code(enum store_result result)
{
    static const char *const codes[] = {[STORE_OK] = "ok", STORE_RESULT_MAP(RESULT_CODE)};
    return codes[result];
}

const char *store_text(enum store_result result)
{
    static const char *const texts[] = {[STORE_OK] = "the store works", STORE_RESULT_MAP(RESULT_TEXT)};
    return texts[result];
}

static enum store_result result_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STORE_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return STORE_READONLY;
    case ENOMEM:
        return STORE_MEMORY;
    default:
        return STORE_IO;
    }
}

/* rc: the extended code of the call that failed just now, with errno cleared before it. (What
 * sqlite3_system_errno() says is not of now when a commit fails.) */
static enum store_result result_of(int rc)
{
    if (rc == SQLITE_READONLY_DBMOVED)
        return STORE_MOVED;
    if (rc == SQLITE_IOERR_NOMEM)
        return STORE_MEMORY;
    switch (rc & 0xff) {
    case SQLITE_OK:
        return STORE_OK;
    case SQLITE_FULL:
        return STORE_FULL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return STORE_READONLY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return STORE_LOCKED;
    case SQLITE_NOMEM:
        return STORE_MEMORY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return result_of_errno(errno);
    default: /* CORRUPT, NOTADB; not our tables (ERROR); a number that is there already (CONSTRAINT) */
        return STORE_CORRUPT;
    }
}

/* ---------------------------------------------------------------- asking */

static enum store_result execute(struct store *s, const char *sql)
{
    errno = 0;
    return result_of(sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

/* Runs a prepared statement to its end, without rows. */
static enum store_result step(struct store *s, enum query query)
{
    sqlite3_stmt *q = s->query[query];
    int rc;
    errno = 0;
    do {
        rc = sqlite3_step(q);
    } while (rc == SQLITE_ROW);
    enum store_result result = rc == SQLITE_DONE ? STORE_OK : result_of(rc);
    sqlite3_reset(q);
    return result;
}

/* The same as part of a transaction. */
static void run(struct store *s, enum query query)
{
    if (!s->failed)
        s->failed = step(s, query);
}

/* Only the wrong index and values of a gigabyte cannot be bound. SQLite counts to 2^63 - 1: what is beyond is
 * a time that never comes. */
static void bind_number(sqlite3_stmt *q, int at, uint64_t n)
{
    sqlite3_bind_int64(q, at, n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

static void bind_bytes(sqlite3_stmt *q, int at, const void *p, size_t len)
{
    sqlite3_bind_blob64(q, at, p ? p : "", len, SQLITE_STATIC);
}

static bool column_number(sqlite3_stmt *q, int at, uint64_t max, uint64_t *out)
{
    sqlite3_int64 n = sqlite3_column_int64(q, at);
    *out = (uint64_t)n;
    return sqlite3_column_type(q, at) == SQLITE_INTEGER && n >= 0 && (uint64_t)n <= max;
}

static bool column_span(sqlite3_stmt *q, int at, struct span *out)
{
    out->p = sqlite3_column_blob(q, at); /* NULL for an empty one */
    out->len = (size_t)sqlite3_column_bytes(q, at);
    return sqlite3_column_type(q, at) == SQLITE_BLOB && (out->p || out->len == 0);
}

/* The only row of a question, handed to take(); no row is damage. */
typedef bool take_fn(sqlite3_stmt *q, void *to);

static enum store_result ask(struct store *s, const char *sql, take_fn *take, void *to)
{
    sqlite3_stmt *q;
    errno = 0;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (rc)
        return result_of(rc);
    rc = sqlite3_step(q);
    enum store_result result = STORE_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        result = result_of(rc);
    else if (rc == SQLITE_DONE || !take(q, to))
        result = sqlite3_errcode(s->db) == SQLITE_NOMEM ? STORE_MEMORY : STORE_CORRUPT;
    sqlite3_finalize(q);
    return result;
}

static bool take_numbers(sqlite3_stmt *q, void *to)
{
    for (int i = 0; i < sqlite3_column_count(q); i++)
        ((int64_t *)to)[i] = sqlite3_column_int64(q, i);
    return true;
}

/* The text must be the one at `to`. */
static bool take_expected(sqlite3_stmt *q, void *to)
{
    const char *text = (const char *)sqlite3_column_text(q, 0);
    return text && strcmp(text, to) == 0;
}

/* ---------------------------------------------------------------- opening */

/* A file with nobody's rights but ours, if there is none yet. SQLite must not make it (mode 0644), and one
 * that exists must not be opened here: closing it would drop the locks of a store in this process. */
static enum store_result make_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    else if (errno == ENOENT || errno == ENOTDIR)
        return STORE_READONLY; /* no such directory */
    else if (errno != EEXIST)
        return result_of_errno(errno);
    if (lstat(path, &st))
        return result_of_errno(errno);
    /* Not a directory, a pipe, a link to who knows what. */
    return S_ISREG(st.st_mode) ? STORE_OK : STORE_READONLY;
}

/* While this is on, closing leaves the file and its log as they are. */
static void keep_log(struct store *s, bool on)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, (int)on, NULL);
}

/* SQLite takes names like ":memory:" and "file:x?mode=ro" for something else. */
static char *plain_path(const char *path)
{
    size_t len = strlen(path);
    char *plain = malloc(len + 3);
    if (!plain)
        return NULL;
    memcpy(plain, "./", 2);
    memcpy(plain + (path[0] == '/' ? 0 : 2), path, len + 1);
    return plain;
}

static enum store_result open_file(struct store *s, const char *path)
{
    char *plain = plain_path(path);
    if (!plain)
        return STORE_MEMORY;
    errno = 0;
    int rc = sqlite3_open_v2(plain, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    free(plain);
    if (rc)
        return s->db ? result_of(rc) : STORE_MEMORY;
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    keep_log(s, true);
    return sqlite3_db_readonly(s->db, "main") ? STORE_READONLY : STORE_OK;
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Reading undoes what a crash has left half done; then it is known whether the file is empty, and has to
 * learn to give pages back before it has any. Inside of a transaction from here to settle(); the lock stays.
 */
static enum store_result lock_file(struct store *s)
{
    enum store_result result = execute(s, SETTINGS "PRAGMA schema_version;");
    if (result == STORE_OK && size_of(sqlite3_db_filename(s->db, "main")) == 0)
        result = execute(s, "PRAGMA auto_vacuum=INCREMENTAL");
    return result == STORE_OK ? execute(s, "BEGIN EXCLUSIVE") : result;
}

/* Is it ours, and of a version that we know? fresh: nothing but what lock_file() makes. */
static enum store_result identify(struct store *s, bool *fresh)
{
    struct {
        int64_t id, version, tables, vacuum;
    } is = {0};
    enum store_result result = ask(s, SELECT_KIND, take_numbers, &is);
    *fresh = is.id == 0 && is.version == 0 && is.tables == 0 && is.vacuum == 2;
    if (result || *fresh || (is.id == APPLICATION_ID && is.version == STORE_SCHEMA))
        return result;
    return is.id == APPLICATION_ID && is.version > STORE_SCHEMA ? STORE_NEWER : STORE_CORRUPT;
}

static enum store_result create_tables(struct store *s, const struct log_identity *id)
{
    static const char sql[] = "INSERT INTO meta VALUES('epoch', ?1), ('seeds', ?2), ('reserved', ?3)";
    sqlite3_stmt *q;
    enum store_result result = execute(s, SCHEMA);
    if (result)
        return result;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (rc)
        return result_of(rc);
    bind_bytes(q, 1, id->epoch, EVENT_EPOCH_LEN);
    bind_bytes(q, 2, id->seeds, sizeof(id->seeds));
    bind_number(q, 3, id->seq);
    rc = sqlite3_step(q);
    result = rc == SQLITE_DONE ? STORE_OK : result_of(rc);
    sqlite3_finalize(q);
    return result;
}

static bool take_identity(sqlite3_stmt *q, void *to)
{
    struct log_identity *id = to;
    struct span epoch, seeds;
    uint64_t number, used;
    if (!column_span(q, 0, &epoch) || epoch.len != EVENT_EPOCH_LEN ||
        !text_base32(epoch.p, EVENT_EPOCH_LEN, &number) || !column_span(q, 1, &seeds) ||
        seeds.len != sizeof(id->seeds) || !column_number(q, 2, SEQ_MAX, &number) ||
        !column_number(q, 3, SEQ_MAX, &used))
        return false;
    memcpy(id->epoch, epoch.p, EVENT_EPOCH_LEN);
    id->epoch[EVENT_EPOCH_LEN] = '\0';
    memcpy(id->seeds, seeds.p, sizeof(id->seeds));
    id->seq = used > number ? used : number;
    return true;
}

static enum store_result check_tables(struct store *s, struct log_identity *id)
{
    /* Its answer to pages that cannot be read, or for which memory is short, is that they are damaged. */
    enum store_result result = ask(s, "PRAGMA quick_check(1)", take_expected, "ok");
    return result == STORE_OK ? ask(s, SELECT_IDENTITY, take_identity, id) : result;
}

static enum store_result prepare_all(struct store *s)
{
    for (int i = 0; i < QUERY_COUNT; i++) {
        int rc = sqlite3_prepare_v3(s->db, query_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->query[i], NULL);
        if (rc)
            return result_of(rc);
    }
    return STORE_OK;
}

static const char *log_path(const struct store *s)
{
    return sqlite3_filename_wal(sqlite3_db_filename(s->db, "main"));
}

/* Ends the transaction of lock_file() and begins the everyday. Writing is tried, because the log can be
 * read-only where the file is not. */
static enum store_result settle(struct store *s)
{
    enum store_result result = execute(s, "COMMIT");
    if (result == STORE_OK)
        result = ask(s, "PRAGMA journal_mode=WAL", take_expected, "wal");
    if (result == STORE_OK && !s->full_sync)
        result = execute(s, "PRAGMA synchronous=NORMAL");
    if (result == STORE_OK)
        result = execute(s, "BEGIN IMMEDIATE; ROLLBACK");
    if (result == STORE_OK)
        result = prepare_all(s);
    struct stat st;
    if (result == STORE_OK && stat(log_path(s), &st))
        result = STORE_MOVED;
    if (result)
        return result;
    s->log_inode = st.st_ino;
    keep_log(s, false);
    return STORE_OK;
}

static enum store_result open_all(struct store *s, const char *path, struct log_identity *identity)
{
    bool fresh = false;
    enum store_result result = make_file(path);
    if (result == STORE_OK)
        result = open_file(s, path);
    if (result == STORE_OK)
        result = lock_file(s);
    if (result == STORE_OK)
        result = identify(s, &fresh);
    if (result == STORE_OK)
        result = fresh ? create_tables(s, identity) : check_tables(s, identity);
    if (result == STORE_OK)
        result = settle(s);
    s->reserved = s->committed = identity->seq;
    return result;
}

enum store_result store_open(struct store **out, const char *path, bool full_sync,
                             struct log_identity *identity)
{
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return STORE_MEMORY;
    s->full_sync = full_sync;
    enum store_result result = open_all(s, path, identity);
    if (result == STORE_OK)
        *out = s;
    else
        store_close(s);
    return result;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (int i = 0; i < QUERY_COUNT; i++)
        sqlite3_finalize(s->query[i]);
    sqlite3_close(s->db); /* rolls back; folds the log, if the file is where it was */
    free(s);
}

/* ---------------------------------------------------------------- loading */

typedef enum store_result row_fn(sqlite3_stmt *q, const struct store_reader *reader);

static enum store_result each(struct store *s, enum query query, row_fn *row,
                              const struct store_reader *reader)
{
    sqlite3_stmt *q = s->query[query];
    enum store_result result = STORE_OK;
    int rc = SQLITE_ROW;
    errno = 0;
    while (result == STORE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW)
        result = row(q, reader);
    if (result == STORE_OK && rc != SQLITE_DONE)
        result = result_of(rc);
    sqlite3_reset(q);
    return result;
}

static enum store_result load_mark(sqlite3_stmt *q, const struct store_reader *reader)
{
    uint64_t slot, seq;
    if (!column_number(q, 0, SLOT_MAX, &slot) || !column_number(q, 1, SEQ_MAX, &seq))
        return STORE_CORRUPT;
    return reader->on_mark(reader->user, (uint32_t)slot, seq) ? STORE_OK : STORE_MEMORY;
}

/* Names were checked when they came and the payload is one line: anything else would break the streams that
 * it is written to. */
static bool is_sound(const struct store_row *row)
{
    static const size_t key_max[] = {
        [CHANNEL_CLIENT] = TIDINGS_CLIENT_ID_MAX, [CHANNEL_TOPIC] = TIDINGS_TOPIC_MAX};
    if (row->kind == CHANNEL_ALL ? row->key.len > 0
                                 : !text_is_name(row->key.p, row->key.len, key_max[row->kind]))
        return false;
    for (size_t i = 0; i < row->payload.len; i++)
        if ((unsigned char)row->payload.p[i] < ' ')
            return false;
    return row->payload.len > 0 && text_is_name(row->name.p, row->name.len, TIDINGS_EVENT_MAX) &&
           row->prev < row->seq;
}

static enum store_result load_event(sqlite3_stmt *q, const struct store_reader *reader)
{
    struct store_row row = {.ttl = UINT64_MAX};
    uint64_t kind;
    if (!column_number(q, 0, SEQ_MAX, &row.seq) || !column_number(q, 1, SEQ_MAX, &row.prev) ||
        !column_number(q, 2, CHANNEL_TOPIC, &kind) || !column_span(q, 3, &row.key) ||
        !column_span(q, 4, &row.name) || !column_span(q, 5, &row.payload) ||
        !column_number(q, 6, INT64_MAX, &row.ts) ||
        (sqlite3_column_type(q, 7) != SQLITE_NULL && !column_number(q, 7, INT64_MAX, &row.ttl)))
        return STORE_CORRUPT;
    row.kind = (enum channel_kind)kind;
    if (!is_sound(&row))
        return STORE_CORRUPT;
    return reader->on_event(reader->user, &row) ? STORE_OK : STORE_MEMORY;
}

static enum store_result load_key(sqlite3_stmt *q, const struct store_reader *reader)
{
    struct store_key key;
    struct span hash;
    if (!column_span(q, 0, &key.key) || key.key.len == 0 || key.key.len > STORE_KEY_MAX ||
        !column_span(q, 1, &hash) || hash.len != sizeof(key.hash) ||
        !column_number(q, 2, SEQ_MAX, &key.seq) || !column_number(q, 3, INT64_MAX, &key.connections) ||
        !column_number(q, 4, INT64_MAX, &key.expires))
        return STORE_CORRUPT;
    memcpy(key.hash, hash.p, sizeof(key.hash));
    return reader->on_key(reader->user, &key) ? STORE_OK : STORE_MEMORY;
}

enum store_result store_load(struct store *s, const struct store_reader *reader)
{
    enum store_result result = STORE_OK;
    if (reader->on_mark)
        result = each(s, QUERY_LOAD_MARKS, load_mark, reader);
    if (result == STORE_OK && reader->on_event)
        result = each(s, QUERY_LOAD_EVENTS, load_event, reader);
    if (result == STORE_OK && reader->on_key)
        result = each(s, QUERY_LOAD_KEYS, load_key, reader);
    return result;
}

/* ---------------------------------------------------------------- transactions */

void store_begin(struct store *s)
{
    s->failed = s->moved ? STORE_MOVED : STORE_OK; /* nobody would find what goes into an unlinked file */
    run(s, QUERY_BEGIN);
}

void store_put_event(struct store *s, const struct store_row *row)
{
    sqlite3_stmt *q = s->query[QUERY_PUT_EVENT];
    bind_number(q, 1, row->seq);
    bind_number(q, 2, row->prev);
    bind_number(q, 3, (uint64_t)row->kind);
    bind_bytes(q, 4, row->key.p, row->key.len);
    bind_bytes(q, 5, row->name.p, row->name.len);
    bind_bytes(q, 6, row->payload.p, row->payload.len);
    bind_number(q, 7, row->ts);
    if (row->ttl == UINT64_MAX)
        sqlite3_bind_null(q, 8);
    else
        bind_number(q, 8, row->ttl);
    run(s, QUERY_PUT_EVENT);
}

void store_delete_event(struct store *s, uint64_t seq)
{
    bind_number(s->query[QUERY_DELETE_EVENT], 1, seq);
    run(s, QUERY_DELETE_EVENT);
}

void store_put_mark(struct store *s, uint32_t slot, uint64_t seq)
{
    sqlite3_stmt *q = s->query[QUERY_PUT_MARK];
    bind_number(q, 1, slot);
    bind_number(q, 2, seq);
    run(s, QUERY_PUT_MARK);
}

void store_put_key(struct store *s, const struct store_key *key)
{
    sqlite3_stmt *q = s->query[QUERY_PUT_KEY];
    bind_bytes(q, 1, key->key.p, key->key.len);
    bind_bytes(q, 2, key->hash, sizeof(key->hash));
    bind_number(q, 3, key->seq);
    bind_number(q, 4, key->connections);
    bind_number(q, 5, key->expires);
    run(s, QUERY_PUT_KEY);
}

void store_delete_keys(struct store *s, uint64_t now)
{
    bind_number(s->query[QUERY_DELETE_KEYS], 1, now);
    run(s, QUERY_DELETE_KEYS);
}

void store_reserve(struct store *s, uint64_t seq)
{
    if (seq <= s->reserved)
        return;
    uint64_t end = seq < SEQ_MAX - RESERVE ? seq + RESERVE : SEQ_MAX;
    bind_number(s->query[QUERY_RESERVE], 1, end);
    run(s, QUERY_RESERVE);
    s->reserved = end;
}

/* Brings what was committed to the disk. What cannot be brought now is tried again: a later failure of the
 * disk must not make a commit that has happened look as if it had not. */
static void sync_log(struct store *s)
{
    sqlite3_file *file = NULL;
    sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
    if (file && file->pMethods && file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK)
        s->unsynced = false;
}

enum store_result store_commit(struct store *s)
{
    run(s, QUERY_COMMIT);
    enum store_result result = s->failed;
    if (result) {
        store_rollback(s);
        return result;
    }
    bool reserved = s->reserved != s->committed;
    s->committed = s->reserved;
    s->busy = true;
    s->unsynced = !s->full_sync;
    if (s->unsynced && reserved)
        sync_log(s); /* a number must not be used twice, whatever a power failure takes */
    return STORE_OK;
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db)) /* SQLite may have done it by itself */
        step(s, QUERY_ROLLBACK);
    s->reserved = s->committed;
    s->failed = STORE_OK;
}

/* ---------------------------------------------------------------- tidying */

uint64_t store_bytes(const struct store *s)
{
    return size_of(sqlite3_db_filename(s->db, "main")) + size_of(log_path(s));
}

/* A quarter may stay unused, for the next events. */
static bool has_much_free(struct store *s)
{
    int64_t pages[2] = {0};
    ask(s, "SELECT * FROM pragma_page_count, pragma_freelist_count", take_numbers, pages);
    return pages[1] > FREE_KEPT && pages[1] > pages[0] / 4;
}

/* Writes the log into the file, which takes on its new size by that, and empties it. */
static enum store_result fold_log(struct store *s)
{
    errno = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    s->shrunk = s->shrunk && rc;
    return result_of(rc);
}

/* Somebody renamed or removed the file or its log. */
static bool is_moved(const struct store *s)
{
    struct stat st;
    int moved = 0;
    sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return moved || stat(log_path(s), &st) || st.st_ino != s->log_inode;
}

enum store_result store_tidy(struct store *s)
{
    s->moved = is_moved(s);
    if (s->moved)
        return STORE_MOVED;
    if (s->unsynced)
        sync_log(s);
    bool idle = !s->busy;
    s->busy = has_much_free(s);
    if (s->busy) {
        s->shrunk = true;
        return step(s, QUERY_GIVE_BACK);
    }
    return idle && (s->shrunk || size_of(log_path(s)) > WAL_AT_REST) ? fold_log(s) : STORE_OK;
}
