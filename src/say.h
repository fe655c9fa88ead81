/* SPDX-License-Identifier: MIT
 *
 * say - what the hub says on its own to one stream, in the form in which that stream is sent: with or without
 * chunks, compressed or not. Each call appends to `out`, all that it has to say or, when memory is short,
 * nothing: `out` has failed then, like any buffer.
 */
#ifndef SAY_H
#define SAY_H

#include "conn.h"

void say_hello(struct conn *c, struct buf *out, uint32_t retry_ms);
void say_id(struct conn *c, struct buf *out, struct span id);
void say(struct conn *c, struct buf *out, const char *name, struct span id, struct span json);
void say_retry(struct conn *c, struct buf *out, uint32_t retry_ms);

/* The end of the body. */
void say_end(struct conn *c, struct buf *out);

#endif
