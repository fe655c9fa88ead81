/* SPDX-License-Identifier: MIT
 *
 * problem - why something was refused, as RFC 9457 wants it: the body of an answer, or the result of one item
 * of a batch.
 */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "buf.h"

#define PROBLEM_DETAIL_MAX 512

struct problem {
    int status;
    const char *code; /* stable, static; listed in docs/errors.md */
    char detail[PROBLEM_DETAIL_MAX];
    uint32_t retry_ms; /* it is worth to try again after so long; 0: nothing is known */
};

/* detail is a printf format; it names the culprit and never holds a secret. Cut if it is too long. */
void problem_set(struct problem *p, int status, const char *code, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));

/* Appends it as a JSON object. */
void problem_put(struct buf *out, const struct problem *p);

#endif
