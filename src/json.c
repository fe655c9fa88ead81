/* SPDX-License-Identifier: MIT
 *
 * json - RFC 8259, as strictly as it is written.
 *
 * One loop serves everything. A value is begun (a scalar is passed whole, a bracket is opened), then what may
 * follow a finished value is read: a comma leads to the next value, a bracket closes the one above, until the
 * outermost value has ended:
 *
 *              .--------- need a value <---------------------------.
 *              v                                                   |
 *          begin_value -- '{' '[' ----------------------------->---+
 *              |                                                   ^
 *              | a scalar, '{}', '[]'                              | ',' (and a key with ':')
 *              v                                                   |
 *           end_value --------------------------------------->-----'
 *              | ']' '}' stay here; at depth 0
 *              v
 *            done
 *
 * Which bracket is open at each depth is one bit, so that depth costs no memory, no recursion and no
 * allocation. Copying rides along: `run` marks where the bytes not yet copied begin, and only white space
 * ends a run. Every function takes the place where it starts and returns the place where it stopped, or NULL
 * after fail().
 *
 * Deliberately not here: numbers as numbers, duplicate keys (the caller knows which keys matter), a tree.
 */
#include "json.h"

#include <endian.h>
#include <string.h>

/* A walk hands out values one level deeper than a value may be: the items of a batch are envelopes around
 * payloads, and it is the payload that may be JSON_DEPTH_MAX deep. */
enum { WALK_DEPTH_MAX = JSON_DEPTH_MAX + 1, STACK_WORDS = WALK_DEPTH_MAX / 64 + 1 };

struct scan {
    const char *start, *end; /* of the whole text: offsets count from start */
    struct json_error *error;
    char *out;       /* where compact text goes, or NULL */
    const char *run; /* first byte that is not in out yet */
    size_t spaces;   /* bytes of white space passed */
    unsigned depth, depth_max;
    bool ended;                  /* the last value is complete */
    uint64_t stack[STACK_WORDS]; /* bit d: the bracket opened at depth d is an object */
};

enum byte_class {
    PLAIN,     /* an ordinary byte of a string */
    CONTROL,   /* 00..1F: never inside a string (RFC 8259 section 7) */
    HIGH,      /* 80..FF: must be UTF-8 (section 8.1) */
    QUOTE,     /* ends a string, or begins one */
    BACKSLASH, /* begins an escape */
    DIGIT,
    MINUS,
    WORD, /* t, f, n */
    OPEN_OBJECT,
    OPEN_ARRAY
};

#define CONTROL_8 CONTROL, CONTROL, CONTROL, CONTROL, CONTROL, CONTROL, CONTROL, CONTROL
#define HIGH_8    HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH
#define HIGH_32   HIGH_8, HIGH_8, HIGH_8, HIGH_8

/* clang-format off */
static const unsigned char class_of[256] = {
    CONTROL_8, CONTROL_8, CONTROL_8, CONTROL_8,
    ['"'] = QUOTE, ['\\'] = BACKSLASH,
    ['{'] = OPEN_OBJECT, ['['] = OPEN_ARRAY,
    ['t'] = WORD, ['f'] = WORD, ['n'] = WORD,
    ['-'] = MINUS,
    ['0'] = DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT, DIGIT,
    [0x80] = HIGH_32, HIGH_32, HIGH_32, HIGH_32
};
/* clang-format on */

static enum byte_class class_at(const char *p)
{
    return (enum byte_class)class_of[(unsigned char)*p];
}

static const char *fail(struct scan *s, const char *at, const char *what)
{
    s->error->offset = (size_t)(at - s->start);
    s->error->what = at == s->end ? "unexpected end" : what;
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Copies the run that ends at p; the next one begins at `next`. memmove: out may be the text itself. */
static void flush(struct scan *s, const char *p, const char *next)
{
    size_t n = (size_t)(p - s->run);

    if (s->out != s->run)
        memmove(s->out, s->run, n);
    s->out += n;
    s->run = next;
}

static inline const char *skip_space(struct scan *s, const char *p)
{
    const char *from = p;

    if (p == s->end || (unsigned char)*p > ' ')
        return p;
    while (p < s->end && is_space(*p))
        p++;
    s->spaces += (size_t)(p - from);
    if (s->out && p > from)
        flush(s, from, p);
    return p;
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* The first byte from p on that is not PLAIN, or end. Eight at a time: the high bit of a byte of `stop` is
 * set if that byte is below 0x20, a quote, a backslash or above 0x7F. A subtraction that borrows spoils only
 * the bytes above one that stops anyway, and the lowest is the one asked for. */
static inline const char *skip_plain(const char *p, const char *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word, stop;

        memcpy(&word, p, 8);
        word = le64toh(word);
        stop = (word - EACH_BYTE(0x20)) | ((word ^ EACH_BYTE('"')) - EACH_BYTE(1)) |
               ((word ^ EACH_BYTE('\\')) - EACH_BYTE(1)) | word;
        stop &= EACH_BYTE(0x80);
        if (stop)
            return p + __builtin_ctzll(stop) / 8;
    }
    while (p < end && class_at(p) != CONTROL && class_at(p) != HIGH && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* The four hexadecimal digits at p as a number, or -1 and *bad = where they are not. */
static long hex4(const char *p, const char *end, const char **bad)
{
    long unit = 0;

    for (int i = 0; i < 4; i++, p++) {
        int digit = p < end ? text_hex_value(*p) : -1;

        *bad = p;
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_high_surrogate(long unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(long unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* \uXXXX at p. RFC 8259 section 8.2 leaves lone surrogates open; they have no UTF-8, so they are refused. */
static const char *scan_unicode(struct scan *s, const char *p)
{
    const char *bad;
    long unit = hex4(p + 2, s->end, &bad);

    if (unit < 0)
        return fail(s, bad, "\\u needs four hexadecimal digits");
    if (is_low_surrogate(unit))
        return fail(s, p, "lone surrogate");
    if (!is_high_surrogate(unit))
        return p + 6;
    for (int i = 0; i < 2; i++) {
        if (p + 6 + i == s->end)
            return fail(s, s->end, "");
        if (p[6 + i] != "\\u"[i])
            return fail(s, p, "lone surrogate");
    }
    unit = hex4(p + 8, s->end, &bad);
    if (unit < 0)
        return fail(s, bad, "\\u needs four hexadecimal digits");
    if (!is_low_surrogate(unit))
        return fail(s, p, "lone surrogate");
    return p + 12;
}

/* The escape whose backslash is at p. */
static const char *scan_escape(struct scan *s, const char *p)
{
    if (p + 1 == s->end)
        return fail(s, s->end, "");
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        return scan_unicode(s, p);
    default:
        return fail(s, p + 1, "unknown escape");
    }
}

static const char *scan_high(struct scan *s, const char *p)
{
    while (p < s->end && class_at(p) == HIGH) {
        size_t n = text_utf8_len(p, (size_t)(s->end - p));

        if (n == 0)
            return fail(s, p, "not UTF-8");
        p += n;
    }
    return p;
}

/* The string whose first quote is at p. */
static inline const char *scan_string(struct scan *s, const char *p)
{
    p++;
    while (p) {
        p = skip_plain(p, s->end);
        if (p == s->end)
            return fail(s, p, "");
        switch (class_at(p)) {
        case QUOTE:
            return p + 1;
        case BACKSLASH:
            p = scan_escape(s, p);
            break;
        case HIGH:
            p = scan_high(s, p);
            break;
        default:
            return fail(s, p, "control character in a string");
        }
    }
    return NULL;
}

static inline const char *skip_digits(struct scan *s, const char *p)
{
    while (p < s->end && class_at(p) == DIGIT)
        p++;
    return p;
}

/* At least one digit. */
static const char *scan_digits(struct scan *s, const char *p)
{
    if (p == s->end || class_at(p) != DIGIT)
        return fail(s, p, "expected a digit");
    return skip_digits(s, p);
}

/* RFC 8259 section 6: [-] int [frac] [exp]. */
static const char *scan_number(struct scan *s, const char *p)
{
    const char *digits = p + (*p == '-');

    p = scan_digits(s, digits);
    if (p && *digits == '0' && p > digits + 1)
        return fail(s, digits + 1, "number with a leading zero");
    if (p && p < s->end && *p == '.')
        p = scan_digits(s, p + 1);
    if (p && p < s->end && (*p | 0x20) == 'e') {
        p++;
        if (p < s->end && (*p == '+' || *p == '-'))
            p++;
        p = scan_digits(s, p);
    }
    return p;
}

static const char *scan_word(struct scan *s, const char *p)
{
    const char *word = *p == 't' ? "true" : *p == 'f' ? "false" : "null";

    for (; *word; word++, p++) {
        if (p == s->end || *p != *word)
            return fail(s, p, "expected true, false or null");
    }
    return p;
}

static inline bool in_object(const struct scan *s)
{
    return s->stack[s->depth / 64] >> s->depth % 64 & 1;
}

/* A key, from its first quote to behind its last. */
static inline const char *scan_key(struct scan *s, const char *p)
{
    if (p == s->end || *p != '"')
        return fail(s, p, "expected a key in double quotes");
    return scan_string(s, p);
}

/* The colon behind a key. */
static inline const char *scan_colon(struct scan *s, const char *p)
{
    p = skip_space(s, p);
    if (p == s->end || *p != ':')
        return fail(s, p, "expected ':'");
    return p + 1;
}

/* What stands before the value of a member; p is before the key. */
static inline const char *scan_member(struct scan *s, const char *p)
{
    p = scan_key(s, skip_space(s, p));
    return p ? scan_colon(s, p) : NULL;
}

/* The bracket at p. An empty object or array ends here. */
static const char *open_bracket(struct scan *s, const char *p)
{
    bool object = *p == '{';
    uint64_t bit;

    if (s->depth == s->depth_max)
        return fail(s, p, "nested too deep");
    s->depth++;
    bit = UINT64_C(1) << s->depth % 64;
    /* The stack is not cleared before: a bit is only read after it was written here. */
    if (object)
        s->stack[s->depth / 64] |= bit; // NOLINT(clang-analyzer-core.uninitialized.Assign)
    else
        s->stack[s->depth / 64] &= ~bit; // NOLINT(clang-analyzer-core.uninitialized.Assign)
    p = skip_space(s, p + 1);
    if (p < s->end && *p == (object ? '}' : ']')) {
        s->depth--;
        s->ended = true;
        return p + 1;
    }
    return object ? scan_member(s, p) : p;
}

/* The value at p, or the beginning of it: s->ended tells which. */
static inline const char *begin_value(struct scan *s, const char *p)
{
    p = skip_space(s, p);
    if (p == s->end)
        return fail(s, p, "");
    s->ended = true;
    switch (class_at(p)) {
    case QUOTE:
        return scan_string(s, p);
    case DIGIT:
    case MINUS:
        return scan_number(s, p);
    case WORD:
        return scan_word(s, p);
    case OPEN_OBJECT:
    case OPEN_ARRAY:
        s->ended = false;
        return open_bracket(s, p);
    default:
        return fail(s, p, "expected a value");
    }
}

/* What follows a complete value: brackets that close, up to a comma (s->ended = false) or to the outermost
 * end. */
static inline const char *end_value(struct scan *s, const char *p)
{
    while (s->depth > 0) {
        bool object = in_object(s);

        p = skip_space(s, p);
        if (p < s->end && *p == ',') {
            s->ended = false;
            return object ? scan_member(s, p + 1) : p + 1;
        }
        if (p == s->end || *p != (object ? '}' : ']'))
            return fail(s, p, object ? "expected ',' or '}'" : "expected ',' or ']'");
        s->depth--;
        p++;
    }
    return p;
}

/* One whole value, white space before it included, from p on. */
static const char *scan_value(struct scan *s, const char *p)
{
    do {
        p = begin_value(s, p);
        if (p && s->ended)
            p = end_value(s, p);
    } while (p && !s->ended);
    return p;
}

static void scan_init(struct scan *s, struct span text, unsigned depth_max, struct json_error *error)
{
    s->start = text.p;
    s->end = text.p + text.len;
    s->error = error;
    s->out = NULL;
    s->run = text.p;
    s->spaces = 0;
    s->depth = 0;
    s->depth_max = depth_max;
    s->ended = false;
}

/* RFC 8259 section 8.1 allows to ignore a byte order mark; here nothing is ever changed, so it is refused. */
static const char *scan_start(struct scan *s)
{
    if (s->end - s->start >= 3 && memcmp(s->start, "\xEF\xBB\xBF", 3) == 0)
        return fail(s, s->start, "byte order mark");
    return s->start;
}

/* Nothing but white space from p to the end of the text. */
static const char *scan_end(struct scan *s, const char *p)
{
    p = skip_space(s, p);
    return p == s->end ? p : fail(s, p, "text after the value");
}

ssize_t json_compact(struct span text, char *out, struct json_error *error)
{
    struct scan s;
    const char *p;

    if (text.len == 0)
        text.p = ""; /* a NULL has no end to compare with */
    scan_init(&s, text, JSON_DEPTH_MAX, error);
    s.out = out;
    p = scan_start(&s);
    if (p)
        p = scan_value(&s, p);
    if (p)
        p = scan_end(&s, p);
    if (!p)
        return -1;
    if (out)
        flush(&s, p, p);
    return (ssize_t)(text.len - s.spaces);
}

/* Stages of a walk. FIRST -> MORE -> DONE, and from any of them to FAILED; the last two are final. */
enum { FIRST, MORE, DONE, FAILED };

static int walk_fail(struct json_walk *walk)
{
    walk->stage = FAILED;
    return -1;
}

int json_walk_init(struct json_walk *walk, struct span text, char open)
{
    struct scan s;
    const char *p;

    if (text.len == 0)
        text.p = "";
    *walk = (struct json_walk){.text = text, .stage = FIRST, .close = open == '{' ? '}' : ']'};
    scan_init(&s, text, WALK_DEPTH_MAX, &walk->error);
    p = scan_start(&s);
    if (p)
        p = skip_space(&s, p);
    if (p && (p == s.end || *p != open))
        p = fail(&s, p, open == '{' ? "expected an object" : "expected an array");
    if (!p)
        return walk_fail(walk);
    walk->pos = (size_t)(p + 1 - s.start);
    return 0;
}

static enum json_kind kind_at(const char *p)
{
    switch (class_at(p)) {
    case QUOTE:
        return JSON_STRING;
    case OPEN_OBJECT:
        return JSON_OBJECT;
    case OPEN_ARRAY:
        return JSON_ARRAY;
    case WORD:
        return *p == 'n' ? JSON_NULL : JSON_BOOL;
    default:
        return JSON_NUMBER;
    }
}

static const char *walk_key(struct scan *s, const char *p, struct json_field *field)
{
    const char *end;

    p = skip_space(s, p);
    end = scan_key(s, p);
    if (!end)
        return NULL;
    field->key = (struct span){p + 1, (size_t)(end - p) - 2};
    field->key_escaped = field->key.len > 0 && memchr(field->key.p, '\\', field->key.len);
    field->key_offset = (size_t)(p - s->start);
    return scan_colon(s, end);
}

static const char *walk_value(struct scan *s, const char *p, struct json_field *field)
{
    const char *end;

    p = skip_space(s, p);
    end = scan_value(s, p);
    if (!end)
        return NULL;
    field->kind = kind_at(p);
    field->value = (struct span){p, (size_t)(end - p)};
    field->value_offset = (size_t)(p - s->start);
    return end;
}

/* The closing bracket is at p: nothing may follow it. */
static int walk_end(struct json_walk *walk, struct scan *s, const char *p)
{
    if (!scan_end(s, p + 1))
        return walk_fail(walk);
    walk->stage = DONE;
    return 0;
}

int json_walk_next(struct json_walk *walk, struct json_field *field)
{
    bool object = walk->close == '}';
    struct scan s;
    const char *p;

    if (walk->stage == DONE || walk->stage == FAILED)
        return walk->stage == DONE ? 0 : -1;
    scan_init(&s, walk->text, WALK_DEPTH_MAX, &walk->error);
    p = skip_space(&s, s.start + walk->pos);
    if (p < s.end && *p == walk->close)
        return walk_end(walk, &s, p);
    if (walk->stage == MORE) {
        if (p == s.end || *p != ',')
            p = fail(&s, p, object ? "expected ',' or '}'" : "expected ',' or ']'");
        else
            p++;
    }
    *field = (struct json_field){0};
    if (p && object)
        p = walk_key(&s, p, field);
    if (p)
        p = walk_value(&s, p, field);
    if (!p)
        return walk_fail(walk);
    walk->stage = MORE;
    walk->pos = (size_t)(p - s.start);
    return 1;
}

static char *put_utf8(char *w, unsigned long point)
{
    if (point < 0x80) {
        *w++ = (char)point;
        return w;
    }
    if (point < 0x800) {
        *w++ = (char)(0xC0 | point >> 6);
    } else {
        if (point < 0x10000) {
            *w++ = (char)(0xE0 | point >> 12);
        } else {
            *w++ = (char)(0xF0 | point >> 18);
            *w++ = (char)(0x80 | (point >> 12 & 0x3F));
        }
        *w++ = (char)(0x80 | (point >> 6 & 0x3F));
    }
    *w++ = (char)(0x80 | (point & 0x3F));
    return w;
}

/* Writes what the escape at p means to *w; returns what follows it. It was checked by scan_escape(). */
static const char *unescape(const char *p, const char *end, char **w)
{
    static const char meaning[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                      ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    const char *bad;
    long unit;

    if (p[1] != 'u') {
        *(*w)++ = meaning[p[1] & 0x7F];
        return p + 2;
    }
    unit = hex4(p + 2, end, &bad);
    p += 6;
    if (is_high_surrogate(unit)) { /* RFC 8259 section 7: twelve characters for one beyond U+FFFF */
        unit = 0x10000 + ((unit - 0xD800) << 10) + (hex4(p + 2, end, &bad) - 0xDC00);
        p += 6;
    }
    *w = put_utf8(*w, (unsigned long)unit);
    return p;
}

size_t json_unescape(struct span raw, char *out)
{
    const char *p = raw.p + 1, *end = raw.p + raw.len - 1;
    char *w = out;

    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t n = (size_t)((slash ? slash : end) - p);

        memmove(w, p, n);
        w += n;
        p += n;
        if (slash)
            p = unescape(p, end, &w);
    }
    return (size_t)(w - out);
}

/* The byte at p is not PLAIN: writes what stands for it and returns what follows. */
static const char *put_special(struct buf *out, const char *p, const char *end)
{
    static const char short_form[32] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    unsigned char c = (unsigned char)*p;
    size_t n;

    if (c < 0x20 && !short_form[c]) {
        buf_printf(out, "\\u%04x", c);
        return p + 1;
    }
    if (c < 0x80) {
        buf_putc(out, '\\');
        buf_putc(out, c < 0x20 ? short_form[c] : *p);
        return p + 1;
    }
    n = text_utf8_len(p, (size_t)(end - p));
    if (n == 0)
        buf_puts(out, "\xEF\xBF\xBD"); /* U+FFFD */
    else if (n == 3 && (memcmp(p, "\xE2\x80\xA8", 3) == 0 || memcmp(p, "\xE2\x80\xA9", 3) == 0))
        buf_puts(out, p[2] == '\xA8' ? "\\u2028" : "\\u2029"); /* line ends, to JavaScript before 2019 */
    else
        buf_append(out, p, n);
    return p + (n ? n : 1);
}

void json_put_string(struct buf *out, struct span s)
{
    const char *p = s.len ? s.p : "", *end = p + s.len;

    buf_putc(out, '"');
    while (p < end) {
        const char *stop = skip_plain(p, end);

        buf_append(out, p, (size_t)(stop - p));
        p = stop < end ? put_special(out, stop, end) : end;
    }
    buf_putc(out, '"');
}

static void put_key(struct buf *out, const char *key)
{
    char last = out->len ? out->data[out->len - 1] : '{';

    if (last != '{' && last != '[')
        buf_putc(out, ',');
    json_put_string(out, span_of(key));
    buf_putc(out, ':');
}

void json_put_member(struct buf *out, const char *key, struct span value)
{
    put_key(out, key);
    json_put_string(out, value);
}

void json_put_member_u64(struct buf *out, const char *key, uint64_t value)
{
    put_key(out, key);
    buf_put_u64(out, value);
}
