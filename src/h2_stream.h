/* SPDX-License-Identifier: MIT
 *
 * h2_stream - one stream of an HTTP/2 session (RFC 9113 section 5): a request comes out of it, and from then
 * on it carries a `struct conn` like any other, to which no other room need do anything different.
 *
 *     HEADERS ──► h2_head ──► the HTTP/1.1 head that means the same, in io->in ──► h1_parse_head ──► ask
 *     DATA    ──► io->in, at the pace at which it is used (the stream's window)
 *     DATA    ◄── conn_send(), as much as both windows and the session's buffer take
 *
 * There is one parser of heads and one set of rules for them, whatever the wire.
 */
#ifndef H2_STREAM_H
#define H2_STREAM_H

#include "conn.h"

#include <nghttp2/nghttp2.h>

#define H2_OUT_MAX                                                                                           \
    (32 * 1024) /* frames that wait for the socket: beyond, streams wait in the log instead                  \
                 */

struct h2_stream;

/* What a peer may do so and so often; see h2.c. */
struct h2_allowance {
    uint32_t left;
    uint32_t at; /* loop time up to which it has grown */
};

/* One connection; see h2.h. */
struct h2_session {
    nghttp2_session *ng;
    struct loop *loop;
    struct conn *conn;         /* the one with the socket */
    struct h2_stream *streams; /* all that are open */
    struct h2_stream *sending; /* whose bytes are being framed right now */
    struct h2_block *memory;   /* nghttp2's; see h2.c */
    struct h2_stream *waiting; /* for room in the session, not in a window of their own; first come first */
    struct h2_stream *last_waiting;
    struct h2_session *next; /* in the loop's list of those with something to send */
    uint32_t count;          /* streams */
    uint32_t waiting_count;
    uint32_t heads;             /* requests whose head is not complete */
    uint32_t head_deadline;     /* of the oldest of them; loop time */
    struct h2_allowance credit; /* frames that cost us something and may still come */
    struct h2_allowance resets; /* streams that may still be opened for nothing */
    int32_t last_id;            /* the latest stream that was opened */
    int32_t spoiled;            /* the latest one that we reset, or refused: its peer may not know yet */
    uint32_t error;             /* why it has to end; NO_ERROR: it goes on */
    bool reading;               /* nghttp2 is taking in bytes: nothing can be taken out of it */
    bool listed;                /* in the loop's list */
    bool broken;                /* memory was short, or nghttp2 gave up: closed when nobody is on the stack */
    bool greeted;               /* the peer's SETTINGS are here */
    bool idle;                  /* it waits for requests, and its deadline is set for that */
};

/* A request head while its fields come. */
struct h2_head {
    struct buf method, path, authority;
    struct buf fields; /* lines */
    struct buf cookie; /* crumbs are one field again (RFC 9113 section 8.2.3) */
    size_t bytes;      /* of all */
    bool has_length;   /* Content-Length came */
    bool too_large;
    bool malformed;
};

struct h2_stream {
    struct h2_session *session;
    struct h2_stream *next, *prev;
    struct h2_stream *next_waiting, *prev_waiting;
    struct conn *conn;       /* NULL before the head is complete, and after the connection is closed */
    struct h2_head *head;    /* NULL once it is complete */
    const struct iovec *iov; /* of the send that is going on */
    size_t offset;           /* in the first of them */
    size_t left;             /* bytes of it that may be taken */
    int32_t id;
    uint32_t owed; /* bytes of the body that came and were not given back to the stream's window */
    bool answered; /* the head of an answer was handed over */
    bool heard;    /* and was framed */
    bool ending;   /* nothing comes after what was sent */
    bool dribbles; /* what is being sent is little because the windows are */
    bool waits;    /* in the session's list of those that wait for room */
    bool over;     /* nghttp2 has closed it, or is about to with the session */
};

/* A request begins; NULL when memory is short. */
struct h2_stream *h2_stream_open(struct h2_session *session, int32_t id);

/* Without a word to the peer: its connection, if it has one, is closed for this cause. */
void h2_stream_drop(struct h2_stream *s, enum close_cause cause);

/* A field of the request's head. False: far too much of it comes. */
bool h2_stream_field(struct h2_stream *s, struct span name, struct span value);

/* The head is complete. ended: no body comes. */
void h2_stream_asked(struct h2_stream *s, bool ended);

/* Bytes of the body, and its end. */
void h2_stream_data(struct h2_stream *s, const char *p, size_t n);
void h2_stream_ended(struct h2_stream *s);

/* Bytes that streams may send now, as far as the session is concerned. */
size_t h2_room(const struct h2_session *session);

/* Takes the stream that has waited for room the longest from the list; NULL if none does. */
struct h2_stream *h2_stream_take_waiting(struct h2_session *session);

/* The session is flushed before the loop sleeps. */
void h2_list(struct h2_session *session);

/* Takes what nghttp2 has to send into the buffer of the session's connection. */
void h2_pump(struct h2_session *session);

/* nghttp2's send_data: a whole DATA frame, its payload straight from what is being sent. */
int h2_stream_put_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t length,
                       nghttp2_data_source *source, void *user);

#endif
