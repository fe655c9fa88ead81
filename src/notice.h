/* SPDX-License-Identifier: MIT
 *
 * notice - one message as JSON: from the object that a publisher sends to a struct tidings_message, and from
 * what came of it to the object that he is answered. It knows nothing of HTTP.
 */
#ifndef NOTICE_H
#define NOTICE_H

#include "problem.h"
#include "publish.h"

#define NOTICE_FIELDS 7

/* A string of the contract is at most 256 bytes; six times that when every byte is a \u escape. */
#define NOTICE_RAW_MAX (6 * TIDINGS_TOPIC_MAX + 2)

struct notice {
    struct json_field at[NOTICE_FIELDS];
    bool seen[NOTICE_FIELDS]; /* also with null */
    bool set[NOTICE_FIELDS];
    struct span object;
    struct tidings_message message; /* points into the notice and into the object */
    char to[NOTICE_RAW_MAX]; /* from here on not cleared: some KB that only count as far as message says */
    char event[NOTICE_RAW_MAX];
    char key[NOTICE_RAW_MAX];
};

/* Reads one object. key: of idempotency, if one came beside it (p = NULL: none); it must outlive the notice.
 * False: *why. */
bool notice_read(struct notice *n, struct span object, struct span key, struct problem *why);

static inline size_t notice_payload_at(const struct notice *n)
{
    return (size_t)(n->message.json - n->object.p);
}

/* Publishes it: publish_begin() with a problem instead of a code. m is the notice's message, or a copy of it;
 * payload: where its payload lies in the object. 1: p->result and p->receipt are there. 0: p->told will be
 * called; what m->to and m->idempotency_key point to must live until then. -1: *why, nothing was begun. */
int notice_publish(struct service *s, struct loop *l, const struct tidings_message *m, size_t payload,
                   struct publishing *p, struct problem *why);

/* Bytes of those two texts, and a copy of them: m points there afterwards. */
size_t notice_keep_size(const struct tidings_message *m);
void notice_keep(struct tidings_message *m, char *room);

/* Appends the answer to what was published, p->result == 0. */
void notice_put_answer(struct buf *out, const struct publishing *p);

/* Why it was not, p->result < 0; and that nobody knows yet. */
void notice_refused(const struct publishing *p, struct problem *why);
void notice_timed_out(struct problem *why);

#endif
