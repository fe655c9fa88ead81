/* SPDX-License-Identifier: MIT
 *
 * cursor - what a reader gets. A reader is a number, the last that it has seen, and a set of channels:
 * history and live delivery are the same thing, a cursor that is behind. What differs is what a reader is
 * owed: of events from before it came (a replay) only those that are meant to be kept and were still fresh
 * then, of those from later all.
 *
 * The log's lock is held by the caller, except where it says otherwise.
 */
#ifndef CURSOR_H
#define CURSOR_H

#include "log.h"

#define CURSOR_PULL_MAX    64   /* events that one pull returns at the most */
#define CURSOR_SOURCES_MAX 1026 /* channels that one reader can have: all, its own, 1024 topics */

/* A replay: how a reader is treated that has come lately. Numbers up to `until` come from history. */
struct replay {
    uint64_t until;   /* the newest number when it came; 0: no replay */
    uint64_t floor;   /* what was known to be missing then, or was too old, and was told */
    uint64_t now;     /* monotonic ms when it came: what was fresh then is owed, however slowly it reads */
    bool latest_only; /* only what channels with that policy hold */
};

/* What a reader gets next. */
struct pull {
    uint64_t cursor; /* in: the last number seen. out: the number seen once `events` are */
    uint64_t prev;   /* any cursor from here to below the first event would have pulled the same */
    bool more;       /* there was more than fits */
    bool lost;       /* something after the cursor is gone. Nothing is pulled then */
    unsigned count;
    size_t bytes;                          /* of the frames */
    struct event *events[CURSOR_PULL_MAX]; /* each with a reference, the caller's */
};

/* Merges the channels in order, up to number `horizon`, CURSOR_PULL_MAX events and about max_bytes (at least
 * one event). replay: NULL for a reader that has seen all from before it came. */
void cursor_pull(struct log *log, struct channel *const *channels, unsigned count,
                 const struct replay *replay, uint64_t horizon, size_t max_bytes, struct pull *pull);

/* Drops the references of a pull. Without the lock. */
void cursor_pull_finish(struct pull *pull);

/* Where a reader wants to begin. */
struct seek {
    enum { SEEK_FRESH, SEEK_CURSOR, SEEK_UNKNOWN } from; /* UNKNOWN: a cursor came that is none of ours */
    uint64_t cursor;                                     /* SEEK_CURSOR */
    uint64_t last;  /* FRESH: the newest so many events of all channels; 0: not asked */
    uint64_t since; /* FRESH: events published at this wall-clock ms or later; 0: not asked */
};

enum resume { RESUME_FRESH, RESUME_COMPLETE, RESUME_INCOMPLETE };

struct found {
    enum resume resume;
    uint64_t cursor;   /* where to begin */
    uint64_t replayed; /* events from there to now that the reader will be given */
    struct replay replay;
};

#define CURSOR_LAST_MAX 10000 /* events that `last` can ask for */

/* Finds the place. Linear in what will be replayed, never in what is held. */
void cursor_seek(struct log *log, struct channel *const *channels, unsigned count, const struct seek *seek,
                 struct found *found);

/* Bytes that a reader with this cursor has before it. */
uint64_t cursor_owed(const struct channel *const *channels, unsigned count, uint64_t cursor);

/* Events that a reader with this cursor has before it. */
uint64_t cursor_owed_events(const struct channel *const *channels, unsigned count, uint64_t cursor);

#endif
