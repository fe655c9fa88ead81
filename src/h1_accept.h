/* SPDX-License-Identifier: MIT
 *
 * h1_accept - content negotiation (RFC 9110 section 12.5) and media types, as far as the hub needs them. Pure
 * functions of field values.
 */
#ifndef H1_ACCEPT_H
#define H1_ACCEPT_H

#include "text.h"

/* Does an Accept value admit the media type "type/subtype"? Absent (p = NULL) or empty admits all
 * (RFC 9110 section 12.5.1). Respects q=0 and the most specific range. */
bool h1_accepts(struct span accept, struct span type);

/* Does the list of an Accept value name exactly this media type, with q > 0? */
bool h1_names(struct span accept, struct span type);

/* Does an Accept-Encoding value admit gzip by name or `*` with q > 0 (RFC 9110 section 12.5.3)? */
bool h1_accepts_gzip(struct span accept_encoding);

/* Is a Content-Type's media type this one, parameters aside (charset other than utf-8: false)? */
bool h1_is_type(struct span content_type, struct span type);

#endif
