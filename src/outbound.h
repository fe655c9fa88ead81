/* SPDX-License-Identifier: MIT
 *
 * outbound - requests of the hub's own, to the user's application: one thread, many at once, nothing that
 * blocks anybody else. libcurl does the work; it is loaded when the first outbound is made, so a hub that
 * asks nobody carries none of its thirty libraries.
 */
#ifndef OUTBOUND_H
#define OUTBOUND_H

#include "buf.h"
#include "text.h"

#define OUTBOUND_ANSWER_MAX (64 * 1024) /* bytes of an answer's body; more makes it no answer */

struct outbound;

/* One POST. The memory of whoever submits it, until `done` is called. */
struct outbound_job {
    struct outbound_job *next;
    struct buf headers;  /* lines without their end, each with a NUL: "Cookie: …\0" */
    struct buf body;     /* application/json */
    uint32_t delay_ms;   /* not before */
    uint32_t timeout_ms; /* from when it is due: waiting for a place is part of it */
    /* On the outbound's thread, once; may submit it, or another, again. */
    void (*done)(struct outbound_job *job);

    /* the answer */
    int status; /* 0: none came in time, or none that can be used */
    struct buf answer;
    uint32_t max_age; /* seconds, of Cache-Control; 0 if it may not be kept */
    bool never_kept;  /* a line of it forbids to keep the answer */
    uint32_t took_ms;
    bool over; /* the outbound ends: nothing may be submitted to it again */

    /* outbound's own */
    void *easy;
    void *list;
    uint64_t due;
    uint64_t begun;
};

void outbound_job_init(struct outbound_job *job);
void outbound_job_finish(struct outbound_job *job);

/* Adds a header line, without its end. What holds a line end is left out. */
void outbound_add_header(struct outbound_job *job, const char *name, struct span value);

/* A thread that POSTs to this http or https URL, `most` at once. 0, or -1 with a sentence in error. */
int outbound_create(struct outbound **out, const char *url, unsigned most, char *error, size_t error_size);

/* Any thread. The job will be done, with status 0 if the outbound is being stopped; if it has stopped, before
 * this returns. */
void outbound_submit(struct outbound *o, struct outbound_job *job);

/* Waits at most grace_ms for what is under way, for which delays are short now, lets all other jobs be done
 * with status 0 and ends the thread. NULL is fine for both. */
void outbound_stop(struct outbound *o, uint32_t grace_ms);
void outbound_destroy(struct outbound *o);

#endif
