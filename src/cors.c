/* SPDX-License-Identifier: MIT
 *
 * cors - see cors.h. It decides nothing about methods or paths: a preflight is answered with what the route
 * takes, and whoever may not is told so by the request itself.
 */
#include "cors.h"

#include <string.h>

#define PREFLIGHT_AGE 7200 /* seconds: the longest that Chromium keeps */

static bool is_label(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool is_host(struct span host)
{
    bool v6 = host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    for (size_t i = v6 ? 1 : 0; i < host.len - (v6 ? 1 : 0); i++) {
        char c = host.p[i];
        bool fine =
            v6 ? c == ':' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') : is_label(c);
        if (!fine)
            return false;
    }
    return host.len > 0;
}

/* Cuts ":PORT" from the end of *host; an empty span if there is none. */
static struct span cut_port(struct span *host)
{
    size_t n = host->len;
    while (n > 0 && host->p[n - 1] >= '0' && host->p[n - 1] <= '9')
        n--;
    if (n == 0 || host->p[n - 1] != ':')
        return (struct span){0};
    struct span port = {host->p + n, host->len - n};
    host->len = n - 1;
    return port;
}

static bool is_port(struct span port)
{
    uint64_t number;
    return port.len > 0 && port.len <= 5 && port.p[0] != '0' && text_u64(port.p, port.len, &number) &&
           number <= 65535;
}

static bool is_scheme(struct span scheme)
{
    if (scheme.len == 0 || scheme.p[0] < 'a' || scheme.p[0] > 'z')
        return false;
    for (size_t i = 1; i < scheme.len; i++)
        if (!is_label(scheme.p[i]) && scheme.p[i] != '+')
            return false;
    return true;
}

/* The part behind "://", and the scheme before it; false if there is none. */
static bool split(struct span origin, struct span *scheme, struct span *rest)
{
    const char *at = origin.len > 0 ? memmem(origin.p, origin.len, "://", 3) : NULL;
    if (!at)
        return false;
    *scheme = (struct span){origin.p, (size_t)(at - origin.p)};
    *rest = (struct span){at + 3, origin.len - scheme->len - 3};
    return true;
}

static struct span own_port(struct span scheme)
{
    return span_eq(scheme, SPAN("http"))    ? SPAN("80")
           : span_eq(scheme, SPAN("https")) ? SPAN("443")
                                            : SPAN("");
}

bool cors_is_origin(struct span text)
{
    struct span scheme, host;
    if (text.len > CORS_ORIGIN_MAX || !split(text, &scheme, &host) || !is_scheme(scheme))
        return false;
    struct span port = cut_port(&host);
    if (port.p && (!is_port(port) || span_eq(port, own_port(scheme))))
        return false;
    return is_host(host);
}

const char *cors_find(const char *const *list, struct span origin)
{
    for (; list && *list; list++)
        if (span_eq(span_of(*list), origin))
            return *list;
    return NULL;
}

struct span cors_look(struct span head)
{
    static const struct span name = {"origin:", sizeof("origin:") - 1};
    const char *end;
    while (head.len > 0 && (end = memchr(head.p, '\n', head.len))) {
        struct span line = {head.p, (size_t)(end - head.p)};
        head = (struct span){end + 1, head.len - line.len - 1};
        line.len -= line.len > 0 && end[-1] == '\r';
        if (line.len == 0)
            break;
        if (line.len >= name.len && span_eq_nocase((struct span){line.p, name.len}, name))
            return span_trim((struct span){line.p + name.len, line.len - name.len});
    }
    return (struct span){0};
}

bool cors_is_same(struct span origin, struct span host, bool tls)
{
    struct span scheme, name;
    if (host.len == 0 || !split(origin, &scheme, &name))
        return false;
    bool https = span_eq(scheme, SPAN("https"));
    if (!https && (tls || !span_eq(scheme, SPAN("http"))))
        return false;
    struct span port = cut_port(&name), asked = cut_port(&host);
    port = port.p ? port : own_port(scheme);
    asked = asked.p ? asked : own_port(scheme);
    return span_eq_nocase(name, host) && span_eq(port, asked);
}

void cors_put(struct buf *out, const char *origin)
{
    buf_puts(out, "Vary: Origin\r\n");
    if (origin)
        buf_printf(out,
                   "Access-Control-Allow-Origin: %s\r\nAccess-Control-Allow-Credentials: true\r\n"
                   "Access-Control-Expose-Headers: Retry-After, Idempotent-Replayed\r\n",
                   origin);
}

void cors_put_preflight(struct buf *out, const char *methods)
{
    /* Cache-Control, because EventSource in JavaScript sends it; Accept is always allowed. */
    buf_printf(
        out,
        "Access-Control-Allow-Methods: %s\r\nAccess-Control-Allow-Headers: Last-Event-ID, "
        "Authorization, Content-Type, Idempotency-Key, Cache-Control\r\nAccess-Control-Max-Age: %d\r\n",
        methods, PREFLIGHT_AGE);
}
