/* SPDX-License-Identifier: MIT
 *
 * problem - see problem.h.
 */
#include "problem.h"

#include "h1.h"
#include "json.h"

#include <stdarg.h>
#include <stdio.h>

void problem_set(struct problem *p, int status, const char *code, const char *detail, ...)
{
    va_list args;
    p->status = status;
    p->code = code;
    p->retry_ms = 0;
    va_start(args, detail);
    vsnprintf(p->detail, sizeof(p->detail), detail, args);
    va_end(args);
}

void problem_put(struct buf *out, const struct problem *p)
{
    buf_puts(out, "{\"ok\":false,\"type\":\"about:blank\",\"title\":");
    json_put_string(out, span_of(h1_reason(p->status)));
    json_put_member_u64(out, "status", (uint64_t)p->status);
    json_put_member(out, "detail", span_of(p->detail));
    json_put_member(out, "code", span_of(p->code));
    buf_putc(out, '}');
}
