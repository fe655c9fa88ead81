/* SPDX-License-Identifier: MIT
 *
 * h1 - HTTP/1.1 messages as bytes.
 *
 * A head is read in two passes. The first looks only for its end, and on the way for bytes that no head may
 * hold; it starts where the last call stopped. The second one takes the whole head apart. What the first pass
 * refuses it refuses at the byte whose arrival made it certain, so the answer does not depend on how the
 * bytes were cut into packets.
 *
 *      bytes --> find_end --> over_limit --> parse_request_line --> parse_field * --> check_head
 *                   | 0: more                                          note_field
 *
 * Two parties that disagree on where a message ends can be made to smuggle one inside another (RFC 9112
 * section 11.2). Hence nothing here is repaired:
 *   - a line ends in CRLF; bare LF, bare CR, NUL, other controls and folded lines are refused;
 *   - no white space before a colon, no empty name, exactly two spaces in a request line;
 *   - one Content-Length of digits only, never a list, never beside Transfer-Encoding;
 *   - Transfer-Encoding is exactly "chunked", once, and not on HTTP/1.0;
 *   - exactly one Host on HTTP/1.1, of the characters that real hosts are made of.
 * Chunked bodies are read in h1_chunked.c, in the same spirit.
 *
 * Deliberately not here: routing, limits on bodies (the caller sees content_length and counts chunks),
 * multi-line joins (h1_field gives the first; whoever needs all walks fields[]), upgrades.
 */
#include "h1.h"

#include <endian.h>
#include <string.h>

/* Every way to refuse: name, status, code, detail. A new row also belongs into the docs' list of codes. */
#define FAULTS(X)                                                                                            \
    X(TLS, 400, "tls_on_plain_port", "these bytes are TLS, but this port speaks plain HTTP")                 \
    X(NUL, 400, "forbidden_byte", "a NUL byte in the head")                                                  \
    X(CONTROL, 400, "forbidden_byte", "a control character in the head")                                     \
    X(BARE_LF, 400, "bare_lf", "a line ends in LF without CR")                                               \
    X(BARE_CR, 400, "bare_cr", "a CR without LF")                                                            \
    X(EMPTY_LINE, 400, "bad_request_line", "an empty line instead of a request line")                        \
    X(LONG_LINE, 414, "request_line_too_long", "the request line is longer than max-request-line")           \
    X(LONG_METHOD, 501, "method_too_long", "no method is as long as this request line")                      \
    X(LONG_HEADERS, 431, "headers_too_large", "the header fields are longer than max-headers")               \
    X(MANY_FIELDS, 431, "too_many_fields", "more than 100 header fields")                                    \
    X(EMPTY_METHOD, 400, "bad_request_line", "request line: begins with white space")                        \
    X(BAD_METHOD, 400, "bad_method", "method: a character that is not allowed")                              \
    X(NO_TARGET, 400, "bad_request_line", "request line: no target after the method")                        \
    X(NO_VERSION, 400, "bad_request_line", "request line: no HTTP version after the target")                 \
    X(EMPTY_TARGET, 400, "bad_request_line", "request line: two spaces after the method")                    \
    X(SPACE, 400, "bad_request_line", "request line: more than two spaces; in a target write %20")           \
    X(TARGET_BYTE, 400, "bad_target", "target: a byte that must be percent-encoded")                         \
    X(FRAGMENT, 400, "bad_target", "target: a fragment (#) is not sent to a server")                         \
    X(TARGET_FORM, 400, "bad_target", "target: neither a path nor an http or https address")                 \
    X(TARGET_HOST, 400, "bad_target", "target: not a valid host and port")                                   \
    X(ASTERISK, 400, "bad_target", "target: * is for OPTIONS only")                                          \
    X(CONNECT, 501, "connect_not_supported", "method: CONNECT is for proxies")                               \
    X(BAD_VERSION, 400, "bad_version", "version: not HTTP/1.1 or HTTP/1.0")                                  \
    X(OTHER_VERSION, 505, "version_not_supported", "version: only HTTP/1.1 and HTTP/1.0 are spoken here")    \
    X(PREFACE, 505, "http2_preface", "this is HTTP/2 with prior knowledge, which is not spoken here")        \
    X(OBS_FOLD, 400, "obs_fold", "a header line begins with white space")                                    \
    X(COLON_SPACE, 400, "space_before_colon", "white space between a field name and its colon")              \
    X(EMPTY_NAME, 400, "bad_field_name", "a header field without a name")                                    \
    X(BAD_NAME, 400, "bad_field_name", "a character that is not allowed in a field name")                    \
    X(NO_COLON, 400, "bad_field", "a header line without a colon")                                           \
    X(NO_HOST, 400, "missing_host", "Host: missing")                                                         \
    X(TWO_HOSTS, 400, "duplicate_host", "Host: more than one")                                               \
    X(BAD_HOST, 400, "bad_host", "Host: not a valid host and port")                                          \
    X(BOTH_LENGTHS, 400, "both_lengths", "both Content-Length and Transfer-Encoding")                        \
    X(TWO_LENGTHS, 400, "duplicate_content_length", "Content-Length: more than one")                         \
    X(BAD_LENGTH, 400, "bad_content_length", "Content-Length: not a plain decimal number")                   \
    X(UNKNOWN_CODING, 501, "unknown_transfer_coding", "Transfer-Encoding: only chunked is understood")       \
    X(BAD_CODING, 400, "bad_transfer_encoding", "Transfer-Encoding: must be chunked, exactly once")          \
    X(CODING_1_0, 400, "bad_transfer_encoding", "Transfer-Encoding: not in HTTP/1.0")                        \
    X(EXPECT, 417, "expectation_failed", "Expect: only 100-continue can be met")

#define FAULT_NAME(name, status, code, detail) F_##name,
#define FAULT_ROW(name, status, code, detail)  {status, code, detail, 0},
enum fault { F_NONE, FAULTS(FAULT_NAME) };
static const struct h1_error faults[] = {{0, "", "", 0}, FAULTS(FAULT_ROW)};

/* What a byte may be part of. A name that real hosts do not have (userinfo, lists, escapes) is not a host. */
enum { TOKEN = 1, TARGET = 2, HOST = 4, T = TARGET, TT = TOKEN | TARGET, ALL = TOKEN | TARGET | HOST };

/* clang-format off */
static const unsigned char may_be[256] = {
    ['!'] = TT, ['"'] = T, ['#'] = TOKEN, ['$'] = TT, ['%'] = TT, ['&'] = TT, ['\''] = TT, ['('] = T,
    [')'] = T, ['*'] = TT, ['+'] = TT, [','] = T, ['-'] = ALL, ['.'] = ALL, ['/'] = T,
    ['0'] = ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
    [':'] = T, [';'] = T, ['<'] = T, ['='] = T, ['>'] = T, ['?'] = T, ['@'] = T,
    ['A'] = ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
    ['N'] = ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
    ['['] = T, ['\\'] = T, [']'] = T, ['^'] = TT, ['_'] = ALL, ['`'] = TT,
    ['a'] = ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
    ['n'] = ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL,
    ['{'] = T, ['|'] = TT, ['}'] = T, ['~'] = ALL,
};
/* clang-format on */

/* Fields that say how the message is framed, beside those that h1.h names. */
enum { CONTENT_LENGTH = H1_KNOWN_COUNT, TRANSFER_ENCODING, CONNECTION, EXPECT, UNKNOWN };

/* A hash without collisions among the names below; the unit test looks each of them up. */
#define SLOT(len, first, last)     (((len) + ((first) | 0x20) + 5 * ((last) | 0x20)) & 63)
#define ROW(id, name, first, last) [SLOT(sizeof(name) - 1, first, last)] = {name, sizeof(name) - 1, id}

static const struct known_row {
    const char *name;
    unsigned char len, id;
} known_rows[64] = {
    ROW(H1_HOST, "host", 'h', 't'),
    ROW(H1_ACCEPT, "accept", 'a', 't'),
    ROW(H1_CONTENT_TYPE, "content-type", 'c', 'e'),
    ROW(H1_AUTHORIZATION, "authorization", 'a', 'n'),
    ROW(H1_COOKIE, "cookie", 'c', 'e'),
    ROW(H1_ORIGIN, "origin", 'o', 'n'),
    ROW(H1_LAST_EVENT_ID, "last-event-id", 'l', 'd'),
    ROW(H1_USER_AGENT, "user-agent", 'u', 't'),
    ROW(H1_IDEMPOTENCY_KEY, "idempotency-key", 'i', 'y'),
    ROW(H1_IF_NONE_MATCH, "if-none-match", 'i', 'h'),
    ROW(H1_ACCEPT_ENCODING, "accept-encoding", 'a', 'g'),
    ROW(H1_X_FORWARDED_FOR, "x-forwarded-for", 'x', 'r'),
    ROW(H1_FORWARDED, "forwarded", 'f', 'd'),
    ROW(CONTENT_LENGTH, "content-length", 'c', 'h'),
    ROW(TRANSFER_ENCODING, "transfer-encoding", 't', 'g'),
    ROW(CONNECTION, "connection", 'c', 'n'),
    ROW(EXPECT, "expect", 'e', 't'),
};

/* One run of the second pass. */
struct parse {
    const char *base; /* of the message: offsets count from here */
    struct h1_head *head;
    struct h1_error *error;
    unsigned hosts, lengths, codings; /* how many of these fields came */
    bool keep_alive_asked;
};

static int fail(struct h1_error *error, enum fault fault, size_t offset)
{
    *error = faults[fault];
    error->offset = offset;
    return -1;
}

static int fail_at(const struct parse *s, enum fault fault, const char *at)
{
    return fail(s->error, fault, (size_t)(at - s->base));
}

static bool is_any(char c, unsigned flags)
{
    return may_be[(unsigned char)c] & flags;
}

/* The first byte from p on that is not of this kind, or end. */
static const char *skip_any(const char *p, const char *end, unsigned flags)
{
    while (p < end && is_any(*p, flags))
        p++;
    return p;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7F;
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Index of the first control character from i on, or len. Eight at a time: a high bit of `stop` marks a byte
 * below 0x20 or equal to 0x7F; borrows only spoil bytes above one that stops anyway. */
static size_t skip_text(const char *p, size_t i, size_t len)
{
    for (; len - i >= 8; i += 8) {
        uint64_t word, stop;

        memcpy(&word, p + i, 8);
        word = le64toh(word);
        stop = (word - EACH_BYTE(0x20)) | ((word ^ EACH_BYTE(0x7F)) - EACH_BYTE(1));
        stop &= ~word & EACH_BYTE(0x80);
        if (stop)
            return i + (size_t)__builtin_ctzll(stop) / 8;
    }
    while (i < len && !is_control(p[i]))
        i++;
    return i;
}

/* One empty line before a request is forgiven (RFC 9112 section 2.2), and no more. */
static size_t first_line(const char *p, size_t len)
{
    return len >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
}

static enum fault control_fault(char c, size_t at)
{
    if (c == '\n')
        return F_BARE_LF;
    if (c == 0x16 && at == 0) /* a TLS record of type handshake (RFC 8446 section 5.1) */
        return F_TLS;
    return c == '\0' ? F_NUL : F_CONTROL;
}

/* The first pass. *at is the end of the head, or where it was found to be faulty, or len if neither is there.
 */
static enum fault find_end(const char *p, size_t len, size_t seen, size_t *at, bool *ended)
{
    size_t start = first_line(p, len);
    size_t i = seen > 0 ? seen - 1 : 0; /* that byte may be a CR still waiting for its LF */

    *ended = false;
    while ((i = skip_text(p, i, len)) < len) {
        if (p[i] == '\r') {
            bool empty = i > 0 && p[i - 1] == '\n';

            if (i + 1 == len)
                break;
            *at = i + 1;
            if (p[i + 1] != '\n')
                return F_BARE_CR;
            if (empty && i == start)
                return F_EMPTY_LINE;
            *at = i += 2;
            *ended = empty;
            if (empty)
                return F_NONE;
        } else if (p[i] == '\t' || (p[i] == '\n' && i > 0 && p[i - 1] == '\r')) {
            i++;
        } else {
            *at = i;
            return control_fault(p[i], i);
        }
    }
    *at = len;
    return F_NONE;
}

static size_t ceiling(uint32_t limit)
{
    return limit ? limit : UINT32_MAX;
}

/* Are the first n bytes, a whole head if ended, too many? *at is then the byte that was one too many. */
static enum fault over_limit(const char *p, size_t n, bool ended, const struct h1_limits *limits, size_t *at)
{
    size_t line_max = ceiling(limits->max_request_line), fields_max = ceiling(limits->max_headers) + 2;
    size_t start = first_line(p, n), fields, room;
    const char *lf;

    if (n < line_max && n < fields_max)
        return F_NONE;
    room = n - start < line_max ? n - start : line_max;
    lf = memchr(p + start, '\n', room);
    if (!lf) {
        *at = start + line_max - 1;
        if (room < line_max)
            return F_NONE;
        return memchr(p + start, ' ', room) ? F_LONG_LINE : F_LONG_METHOD;
    }
    fields = (size_t)(lf + 1 - p);
    *at = fields + fields_max - 1;
    return n - fields > fields_max || (n - fields == fields_max && !ended) ? F_LONG_HEADERS : F_NONE;
}

/* uri-host [":" port] of RFC 3986 section 3.2, less what no real host has; not empty. */
static bool is_host(struct span s)
{
    const char *p = s.p, *end = s.p + s.len, *name = p;

    if (p < end && *p == '[') {
        for (name = ++p; p < end && (text_hex_value(*p) >= 0 || *p == ':' || *p == '.'); p++)
            ;
        if (p == end || *p++ != ']' || p - name < 3)
            return false;
    } else {
        p = skip_any(p, end, HOST);
    }
    if (p == name)
        return false;
    if (p < end && *p++ != ':')
        return false;
    if (end - p > 5)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
    }
    return true;
}

static int parse_version(const struct parse *s, const char *p, const char *end)
{
    if (memchr(p, ' ', (size_t)(end - p)))
        return fail_at(s, F_SPACE, p - 1);
    if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.')
        return fail_at(s, F_BAD_VERSION, p);
    if (p[5] < '0' || p[5] > '9' || p[7] < '0' || p[7] > '9')
        return fail_at(s, F_BAD_VERSION, p);
    if (p[5] != '1')
        return fail_at(s, span_eq(s->head->method, SPAN("PRI")) ? F_PREFACE : F_OTHER_VERSION, p);
    s->head->minor = p[7] != '0'; /* a higher minor version is answered as 1.1 (RFC 9110 section 2.5) */
    return 0;
}

static void split_path(struct h1_head *head, struct span path)
{
    head->path = span_split(&path, '?');
    head->query = path;
}

/* RFC 9112 section 3.2.2. after = the length of "http://" or "https://". */
static int parse_absolute(const struct parse *s, size_t after)
{
    struct h1_head *head = s->head;
    const char *p = head->target.p + after, *end = head->target.p + head->target.len, *slash = p;

    while (slash < end && *slash != '/' && *slash != '?')
        slash++;
    head->host = (struct span){p, (size_t)(slash - p)};
    if (!is_host(head->host))
        return fail_at(s, F_TARGET_HOST, p);
    split_path(head, (struct span){slash, (size_t)(end - slash)});
    if (head->path.len ==
        0) /* an empty path means "/" (RFC 9110 section 4.2.3): the last one of "://" will do */
        head->path = (struct span){p - 1, 1};
    return 0;
}

static int parse_target(const struct parse *s)
{
    struct span target = s->head->target, http = SPAN("http://"), https = SPAN("https://");

    if (span_eq(s->head->method, SPAN("CONNECT")))
        return fail_at(s, F_CONNECT, s->head->method.p);
    if (target.p[0] == '/') {
        split_path(s->head, target);
        return 0;
    }
    if (span_eq(target, SPAN("*"))) {
        s->head->path = target;
        return span_eq(s->head->method, SPAN("OPTIONS")) ? 0 : fail_at(s, F_ASTERISK, target.p);
    }
    if (target.len >= http.len && span_eq_nocase((struct span){target.p, http.len}, http))
        return parse_absolute(s, http.len);
    if (target.len >= https.len && span_eq_nocase((struct span){target.p, https.len}, https))
        return parse_absolute(s, https.len);
    return fail_at(s, F_TARGET_FORM, target.p);
}

/* method SP request-target SP HTTP-version (RFC 9112 section 3). */
static int parse_request_line(const struct parse *s, const char *p, const char *end)
{
    const char *method_end = skip_any(p, end, TOKEN), *target, *target_end, *space;

    if (p < end && (*p == ' ' || *p == '\t'))
        return fail_at(s, F_EMPTY_METHOD, p);
    if (method_end < end && *method_end != ' ')
        return fail_at(s, F_BAD_METHOD, method_end);
    if (method_end >= end - 1)
        return fail_at(s, F_NO_TARGET, end);
    target = method_end + 1;
    target_end = skip_any(target, end, TARGET);
    space = memchr(target, ' ', (size_t)(end - target));
    if (space == target)
        return fail_at(s, F_EMPTY_TARGET, target);
    if (target_end < end && *target_end != ' ')
        return fail_at(s, *target_end == '#' ? F_FRAGMENT : F_TARGET_BYTE, target_end);
    if (!space)
        return fail_at(s, F_NO_VERSION, end);
    s->head->method = (struct span){p, (size_t)(method_end - p)};
    s->head->target = (struct span){target, (size_t)(space - target)};
    return parse_version(s, space + 1, end) ? -1 : parse_target(s);
}

static unsigned known_id(struct span name)
{
    const struct known_row *row =
        &known_rows[SLOT(name.len, (unsigned char)name.p[0], (unsigned char)name.p[name.len - 1])];

    return span_eq_nocase(name, (struct span){row->name, row->len}) ? row->id : UNKNOWN;
}

/* RFC 9112 section 6.2. INT64_MAX bounds it, so that nobody has to think about sums that overflow. */
static int note_length(struct parse *s, struct span value)
{
    if (s->lengths++ > 0)
        return fail_at(s, F_TWO_LENGTHS, value.p);
    if (s->codings > 0)
        return fail_at(s, F_BOTH_LENGTHS, value.p);
    if (!text_u64(value.p, value.len, &s->head->content_length) || s->head->content_length > INT64_MAX)
        return fail_at(s, F_BAD_LENGTH, value.p);
    return 0;
}

/* RFC 9112 section 6.1: a coding that is not understood is a 501, a wrong order of known ones a 400. */
static int note_coding(struct parse *s, struct span value)
{
    unsigned items = 0;

    if (s->codings++ > 0)
        return fail_at(s, F_BAD_CODING, value.p);
    if (s->lengths > 0)
        return fail_at(s, F_BOTH_LENGTHS, value.p);
    if (s->head->minor == 0)
        return fail_at(s, F_CODING_1_0, value.p);
    for (struct span rest = value; rest.p; items++) {
        struct span coding = span_trim(span_split(&rest, ','));

        if (!span_eq_nocase(coding, SPAN("chunked")))
            return fail_at(s, items > 0 || coding.len == 0 ? F_BAD_CODING : F_UNKNOWN_CODING, coding.p);
    }
    if (items > 1)
        return fail_at(s, F_BAD_CODING, value.p);
    s->head->chunked = true;
    return 0;
}

static int note_host(struct parse *s, struct span value)
{
    if (s->hosts++ > 0)
        return fail_at(s, F_TWO_HOSTS, value.p);
    return is_host(value) ? 0 : fail_at(s, F_BAD_HOST, value.p);
}

static void note_connection(struct parse *s, struct span value)
{
    while (value.p) {
        struct span option = span_trim(span_split(&value, ','));

        s->head->close_asked |= span_eq_nocase(option, SPAN("close"));
        s->keep_alive_asked |= span_eq_nocase(option, SPAN("keep-alive"));
    }
}

/* RFC 9110 section 10.1.1: HTTP/1.0 has no 100 (Continue). */
static int note_expect(struct parse *s, struct span value)
{
    if (!span_eq_nocase(value, SPAN("100-continue")))
        return fail_at(s, F_EXPECT, value.p);
    s->head->expect_continue = s->head->minor == 1;
    return 0;
}

static int note_field(struct parse *s, struct span name, struct span value)
{
    unsigned id = known_id(name);

    if (id < H1_KNOWN_COUNT && !s->head->known[id].p)
        s->head->known[id] = value;
    switch (id) {
    case H1_HOST:
        return note_host(s, value);
    case CONTENT_LENGTH:
        return note_length(s, value);
    case TRANSFER_ENCODING:
        return note_coding(s, value);
    case EXPECT:
        return note_expect(s, value);
    case CONNECTION:
        note_connection(s, value);
        return 0;
    default:
        return 0;
    }
}

/* The line at p has no proper name: `at` is where that shows. */
static enum fault name_fault(const char *p, const char *at, const char *end)
{
    if (at == p && at < end && *at == ':')
        return F_EMPTY_NAME;
    if (at == p && at < end && (*at == ' ' || *at == '\t'))
        return F_OBS_FOLD; /* RFC 9112 section 5.2, and 2.2 for the first line */
    if (!memchr(at, ':', (size_t)(end - at)))
        return F_NO_COLON;
    return *at == ' ' || *at == '\t' ? F_COLON_SPACE : F_BAD_NAME;
}

static int parse_field(struct parse *s, const char *p, const char *end)
{
    const char *colon = skip_any(p, end, TOKEN);
    struct h1_field *field = &s->head->fields[s->head->field_count];

    if (colon == end || *colon != ':' || colon == p)
        return fail_at(s, name_fault(p, colon, end), colon);
    if (s->head->field_count == H1_FIELDS_MAX)
        return fail_at(s, F_MANY_FIELDS, p);
    s->head->field_count++;
    field->name = (struct span){p, (size_t)(colon - p)};
    field->value = span_trim((struct span){colon + 1, (size_t)(end - colon - 1)});
    return note_field(s, field->name, field->value);
}

/* What only the whole head shows. */
static int check_head(const struct parse *s, const char *end)
{
    struct h1_head *head = s->head;

    if (head->minor == 1 && s->hosts == 0)
        return fail_at(s, F_NO_HOST, end);
    if (!head->host.p)
        head->host = head->known[H1_HOST];
    head->has_body = head->chunked || head->content_length > 0;
    head->keep_alive = !head->close_asked && (head->minor == 1 || s->keep_alive_asked);
    return 0;
}

/* The second pass: p[0..len) is known to be lines that end in CRLF, the last of them empty. */
static int parse_head(const char *p, size_t len, struct h1_head *head, struct h1_error *error)
{
    struct parse s = {.base = p, .head = head, .error = error};
    const char *line = p + first_line(p, len), *last = p + len - 2;
    const char *end = memchr(line, '\r', (size_t)(last - line));

    memset(head, 0, offsetof(struct h1_head, fields));
    if (parse_request_line(&s, line, end))
        return -1;
    for (line = end + 2; line < last; line = end + 2) {
        end = memchr(line, '\r', (size_t)(last - line));
        if (parse_field(&s, line, end))
            return -1;
    }
    return check_head(&s, last);
}

ssize_t h1_parse_head(const char *p, size_t len, size_t seen, const struct h1_limits *limits,
                      struct h1_head *head, struct h1_error *error)
{
    size_t at, limit_at;
    bool ended;
    enum fault fault = find_end(p, len, seen, &at, &ended);
    enum fault limit = over_limit(p, at, ended, limits, &limit_at);

    if (limit != F_NONE)
        return fail(error, limit, limit_at);
    if (fault != F_NONE)
        return fail(error, fault, at);
    if (!ended)
        return 0;
    return parse_head(p, at, head, error) ? -1 : (ssize_t)at;
}

struct span h1_field(const struct h1_head *head, struct span name)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        if (span_eq_nocase(head->fields[i].name, name))
            return head->fields[i].value;
    }
    return (struct span){NULL, 0};
}

const char *h1_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Unknown";
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static void put_two(char *at, int64_t n)
{
    at[0] = (char)('0' + n / 10);
    at[1] = (char)('0' + n % 10);
}

/* IMF-fixdate (RFC 9110 section 5.6.7). By hand: gmtime_r() takes a lock that all loops would share. */
static void put_date(struct buf *out, int64_t now)
{
    static const char names[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const unsigned char lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    char date[] = "Thu, 01 Jan 1970 00:00:00 GMT";
    int64_t days = now / 86400, second = now % 86400, year = 1970;
    int month = 0;

    memcpy(date, names + 3 * (days % 7), 3);
    for (; days >= 365 + is_leap(year); year++)
        days -= 365 + is_leap(year);
    for (; days >= lengths[month] + (month == 1 && is_leap(year)); month++)
        days -= lengths[month] + (month == 1 && is_leap(year));
    put_two(date + 5, days + 1);
    memcpy(date + 8, months + 3 * month, 3);
    put_two(date + 12, year / 100 % 100);
    put_two(date + 14, year % 100);
    put_two(date + 17, second / 3600);
    put_two(date + 20, second / 60 % 60);
    put_two(date + 23, second % 60);
    buf_append(out, date, sizeof(date) - 1);
}

void h1_put_date(struct buf *out, int64_t now)
{
    buf_puts(out, "Date: ");
    put_date(out, now);
    buf_puts(out, "\r\n");
}

void h1_put_status(struct buf *out, int status, int64_t now)
{
    buf_puts(out, "HTTP/1.1 ");
    buf_put_u64(out, (uint64_t)status);
    buf_putc(out, ' ');
    buf_puts(out, h1_reason(status));
    buf_puts(out, "\r\n");
    h1_put_date(out, now);
}

/* A line end in a value would begin a field, or a response, of its own (RFC 9110 section 5.5). */
void h1_put_field(struct buf *out, const char *name, struct span value)
{
    buf_puts(out, name);
    buf_puts(out, ": ");
    for (size_t i = 0; i < value.len; i++)
        buf_putc(out, is_control(value.p[i]) ? ' ' : value.p[i]);
    buf_puts(out, "\r\n");
}
