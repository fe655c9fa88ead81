/* SPDX-License-Identifier: MIT
 *
 * store - what must survive the process, in one SQLite file: held events, the marks of what was given up,
 * keys of idempotency, the epoch and how far its numbers may have been used. It knows rows and transactions;
 * when something is stored, and in which order, is the sequencer's business.
 *
 *     store_open ──► store_load ──► (store_begin ──► put, delete, … ──► store_commit)* ──► store_close
 *
 * No threads and no locks of its own: one thread at a time calls. All calls block on the disk.
 */
#ifndef STORE_H
#define STORE_H

#include "log.h"

#include <stdbool.h>
#include <stdint.h>

/* What can go wrong. After a failure the transaction is rolled back and the next one may be tried: what
 * failed for want of room or because of the disk recovers by itself. */
#define STORE_RESULT_MAP(X)                                                                                  \
    X(FULL, "store_full", "the disk of the store is full")                                                   \
    X(READONLY, "store_readonly", "the store cannot be written to")                                          \
    X(CORRUPT, "store_corrupt", "the file of the store is damaged, or is no store")                          \
    X(LOCKED, "store_locked", "another process has the store open")                                          \
    X(NEWER, "store_newer", "the store was written by a newer version of Tidings")                           \
    X(MOVED, "store_moved", "the file of the store was moved or removed while it was open")                  \
    X(IO, "store_io", "the disk of the store reports errors")                                                \
    X(MEMORY, "out_of_memory", "memory is short")

enum store_result {
    STORE_OK = 0,
#define STORE_RESULT_ENUM(name, code, text) STORE_##name,
    STORE_RESULT_MAP(STORE_RESULT_ENUM)
#undef STORE_RESULT_ENUM
};

const char *store_code(enum store_result result); /* "store_full", stable; static */
const char *store_text(enum store_result result); /* for people; static */

#define STORE_SCHEMA 1 /* version of the tables, in `PRAGMA user_version` */

/* One event as it is kept. Views are valid until the call, or callback, returns. */
struct store_row {
    uint64_t seq;
    uint64_t prev; /* number of the kept event before it in its channel, also if that is gone; 0: none */
    enum channel_kind kind;
    struct span key;
    struct span name;
    struct span payload; /* compact JSON */
    uint64_t ts;         /* wall clock, ms */
    uint64_t ttl;        /* ms, as the publisher asked; UINT64_MAX: what the policy says */
};

#define STORE_KEY_MAX 255 /* bytes of a key of idempotency */

/* A key of idempotency with the result of the request that used it. */
struct store_key {
    struct span key;
    uint8_t hash[16]; /* of what was asked */
    uint64_t seq;     /* of the event */
    uint64_t connections;
    uint64_t expires; /* wall clock, ms */
};

struct store;

/* Opens the file at path, or makes it (mode 0600), with an exclusive lock that other processes meet at once.
 * A file with the tables is checked (PRAGMA quick_check) and *identity is overwritten by what it says, with
 * seq set to the end of the numbers that were reserved; a new one gets *identity as it is. What is not a
 * store is not changed; what is not a file (a directory, a link, a pipe, or a path that leads nowhere) is
 * STORE_READONLY.
 *
 * full_sync: every commit survives a power failure (synchronous=FULL). Else every commit survives the end of
 * the process, and a power failure may take those since the last store_tidy() (NORMAL); that a number is
 * never used twice survives it in either case. *out is the caller's, to be closed with store_close(). */
enum store_result store_open(struct store **out, const char *path, bool full_sync,
                             struct log_identity *identity);

/* NULL is fine. What was not committed is gone; the write-ahead log is folded into the file. */
void store_close(struct store *s);

/* Everything that is kept, events in the order of their numbers. A callback returns false to stop (the result
 * is then STORE_MEMORY). Any may be NULL. */
struct store_reader {
    bool (*on_mark)(void *user, uint32_t slot, uint64_t seq);
    bool (*on_event)(void *user, const struct store_row *row);
    bool (*on_key)(void *user, const struct store_key *key);
    void *user;
};
enum store_result store_load(struct store *s, const struct store_reader *reader);

/* ---- one transaction. The first failure is remembered: later calls do nothing and store_commit() returns
 * it. ---- */

void store_begin(struct store *s);
/* The number is a new one (else STORE_CORRUPT), names and payload were checked: what could not be published
 * is not loaded again. Times beyond 2^63 - 1 are stored as that. */
void store_put_event(struct store *s, const struct store_row *row);
void store_delete_event(struct store *s, uint64_t seq); /* none with this number: nothing happens */
/* The mark of a slot is raised to seq, never lowered. slot: 0..65535. */
void store_put_mark(struct store *s, uint32_t slot, uint64_t seq);
void store_put_key(struct store *s, const struct store_key *key); /* replaces one with the same key */
void store_delete_keys(struct store *s, uint64_t now); /* all with expires <= now (wall clock, ms) */
/* Numbers up to seq are about to be used. Writes only when they go beyond what is reserved, and then far
 * ahead (2^20 numbers), so that it costs nothing as a rule. */
void store_reserve(struct store *s, uint64_t seq);

/* On failure everything since store_begin() is undone. */
enum store_result store_commit(struct store *s);

/* Drops everything since store_begin(). */
void store_rollback(struct store *s);

/* Gives unused pages back to the file system, a bounded step; folds a long log into the file if nothing was
 * committed since the last time; without full_sync brings what was committed to the disk. Finds out whether
 * the file and its log are still where they were opened: if not STORE_MOVED, and so is every commit until
 * they are back. Between transactions, about once a second. */
enum store_result store_tidy(struct store *s);

/* Bytes of the file and its write-ahead log. */
uint64_t store_bytes(const struct store *s);

#endif
