/* SPDX-License-Identifier: MIT
 *
 * h2_peer - somebody who speaks HTTP/2 at the other end of a simulated connection: nghttp2's client, with all
 * the memory that it needs. What is not as RFC 9113 wants it ends up in `wrong`.
 */
#ifndef H2_PEER_H
#define H2_PEER_H

#include "sim.h"

#include <nghttp2/nghttp2.h>

#define H2_PEER_REPLIES 16
#define H2_PEER_BODY    8192

struct h2_reply {
    int32_t id;
    int status;
    bool ended; /* in good order */
    bool reset;
    char body[H2_PEER_BODY]; /* NUL-ended, cut */
    size_t len;
    size_t bytes;     /* of all of it */
    const char *send; /* of the request's body: what is still to be sent */
    bool holds;       /* more of that comes later */
};

struct h2_peer {
    struct sim *sim;
    uint32_t sock; /* SIM_NONE after closing */
    nghttp2_session *ng;
    const char *wrong;
    bool over;   /* the hub has ended the connection, or reset it */
    bool goaway; /* was said */
    struct h2_reply replies[H2_PEER_REPLIES];
    unsigned count;
};

/* window: of each stream. */
void h2_peer_open(struct h2_peer *p, struct sim *s, uint32_t loop, uint32_t window);

/* A request; body: NULL if none comes, text that lives as long as the reply, and after it more if holds. A
 * large field of so many bytes goes with it. NULL: the session takes no more of them. */
struct h2_reply *h2_peer_ask(struct h2_peer *p, const char *method, const char *path, const char *body,
                             bool holds, unsigned large);

/* More of the body. */
void h2_peer_more(struct h2_peer *p, struct h2_reply *r, const char *body, bool holds);

void h2_peer_reset(struct h2_peer *p, const struct h2_reply *r);

/* Sends and reads what there is; false: there was nothing. */
bool h2_peer_pump(struct h2_peer *p);

/* Is nothing more to come of this? */
bool h2_peer_is_done(const struct h2_peer *p, const struct h2_reply *r);

/* Closes the connection if it is open, and frees its memory. A zeroed struct is fine. */
void h2_peer_finish(struct h2_peer *p);

#endif
