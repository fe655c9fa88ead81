/* SPDX-License-Identifier: MIT
 *
 * admission - a subscription waits at the door while the user's application is asked about it: the question
 * is written from the request, the request is kept, and goes on when the answer is there.
 */
#ifndef ADMISSION_H
#define ADMISSION_H

#include "authorize.h"
#include "http.h"

/* What is asked. */
struct inquiry {
    struct span client_id;
    struct span name;
    const struct span *topics;
    uint32_t topic_count;
    struct span access_token; /* of the query; p = NULL: none */
};

/* Is there an application to be asked? */
bool admission_is_asked(const struct service *s);

/* Goes on with go_on(), at once or later, on the request's loop, once: with a request that can be answered
 * and the decision (NULL: nobody knows), or with r = NULL when the visitor has gone. what is the caller's. */
void admission_ask(struct request *r, const struct inquiry *i,
                   void (*go_on)(struct request *r, void *what, const struct decision *d), void *what);

#endif
