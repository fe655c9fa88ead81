/* SPDX-License-Identifier: MIT
 *
 * ask - puts a request to the floor above and sees to it that something comes of it: an answer, a stream, a
 * wait, or the end of the connection. One place for all protocols.
 */
#ifndef ASK_H
#define ASK_H

#include "conn.h"

/* The head is complete. True: the handler wants the whole body, and is to be asked with ask_request() then.
 */
bool ask_head(struct exchange *x);

/* The request is complete. Its bytes, and the connection's memory for them, may be gone afterwards. */
void ask_request(struct exchange *x);

/* The same for a request of which `in` holds the head, which was parsed before, and the whole body behind it.
 */
void ask_kept(struct loop *l, struct conn *c, size_t head_len, size_t body_len);

/* A wait (worker_wait()) is over and the request is handled as if it had just come: between these two calls
 * the handler has the connection in HEAD, and answers or becomes a stream. */
void ask_resume(struct loop *l, struct conn *c);
void ask_resumed(struct exchange *x);

/* The request is none, or too large, or too slow: answered with the error. head may be NULL: then what `in`
 * holds of it, if anything, says for which origin the answer is. */
void ask_refuse(struct loop *l, struct conn *c, const struct h1_head *head, const struct h1_error *error);

/* The same for bytes that are no head. */
void ask_refuse_bytes(struct loop *l, struct conn *c, struct span bytes, const struct h1_error *error);

#endif
