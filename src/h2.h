/* SPDX-License-Identifier: MIT
 *
 * h2 - a connection that speaks HTTP/2 (RFC 9113), over TLS or in the clear with prior knowledge (section
 * 3.3): it begins with the preface, whatever ALPN said, and stays in SESSION until it ends. nghttp2 knows the
 * frames; requests and answers are h2_stream's business.
 */
#ifndef H2_H
#define H2_H

#include "conn.h"

enum h2_preface { H2_NONE, H2_PART, H2_WHOLE };

/* Do these first bytes of a connection begin with the preface, or may they, when more have come? */
enum h2_preface h2_look(const char *p, size_t n);

/* HEAD → SESSION: the n bytes at p are the first ones, the preface among them. */
void h2_begin(struct loop *l, struct conn *c, const char *p, size_t n);

/* The socket is readable. */
void h2_read(struct loop *l, struct conn *c);

/* The buffer was flushed; all: nothing of it is left. */
void h2_flushed(struct loop *l, struct conn *c, bool all);

/* Sends what the sessions have framed, before the loop sleeps. */
void h2_flush_all(struct loop *l);

/* The deadline has passed. */
void h2_overdue(struct loop *l, struct conn *c);

/* The connection will be closed at once, its streams are closed already: frames the last word. */
void h2_say_goodbye(struct loop *l, struct conn *c);

/* Tells the peer to open no more streams here. */
void h2_drain(struct loop *l, struct conn *c);

#endif
