/* SPDX-License-Identifier: MIT
 *
 * pages - what the embedder brings: files that never change while the hub runs, and routes of its own; and
 * the hub's own description of itself, /openapi.json.
 */
#ifndef PAGES_H
#define PAGES_H

#include "http.h"

struct embedder_route {
    char *method;
    char *path; /* exact, or a prefix if it ended in "/" and a star (the star is gone) */
    bool prefix;
    tidings_handler *handler;
    void *user;
};

/* Answers if a page or a route of the embedder has this path; false: nothing is there. */
bool pages_serve(struct request *r);

void pages_openapi(struct request *r);

#endif
