/* SPDX-License-Identifier: MIT
 *
 * pem - see pem.h. Armour (RFC 7468) and the few tags on the way to the numbers are read here. OpenSSL's own
 * readers of a SubjectPublicKeyInfo try one decoder after the other: they leave memory behind when it is
 * short, and then take what they could not allocate for another format.
 *
 * Deliberately not here: whether a certificate is to be trusted. Who configures it says so.
 */
#include "pem.h"

#include <stdlib.h>
#include <string.h>

enum { INTEGER = 0x02, BIT_STRING = 0x03, OBJECT = 0x06, SEQUENCE = 0x30, VERSION = 0xa0 };

/* Takes the value at the front of *rest: true if it has this tag and is whole (X.690 section 8.1). */
static bool take(struct span *rest, unsigned tag, struct span *content)
{
    const unsigned char *p = (const unsigned char *)rest->p;
    if (rest->len < 2 || p[0] != tag)
        return false;
    size_t len = p[1], head = 2;
    if (p[1] & 0x80) { /* the length of the length; nothing here is longer than three bytes can say */
        size_t bytes = p[1] & 0x7f;
        if (bytes == 0 || bytes > 3 || rest->len < 2 + bytes)
            return false;
        for (len = 0; head < 2 + bytes; head++)
            len = len << 8 | p[head];
    }
    if (len > rest->len - head)
        return false;
    *content = (struct span){rest->p + head, len};
    *rest = (struct span){rest->p + head + len, rest->len - head - len};
    return true;
}

static bool take_number(struct span *rest, struct span *number)
{
    return take(rest, INTEGER, number) && number->len > 0 && !(number->p[0] & 0x80);
}

static enum pem_kind read_rsa(struct pem_key *key, struct span der)
{
    struct span numbers;
    bool whole = take(&der, SEQUENCE, &numbers) && take_number(&numbers, &key->modulus) &&
                 take_number(&numbers, &key->exponent);
    return whole && numbers.len == 0 ? PEM_RSA : PEM_NONE;
}

#define RSA_ENCRYPTION SPAN("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") /* 1.2.840.113549.1.1.1 */
#define EC_PUBLIC_KEY  SPAN("\x2a\x86\x48\xce\x3d\x02\x01")         /* 1.2.840.10045.2.1 */

/* SubjectPublicKeyInfo: what kind it is, and the key as that kind writes it. */
static enum pem_kind read_info(struct pem_key *key, struct span der)
{
    struct span info, algorithm, kind, bits;
    if (!take(&der, SEQUENCE, &info) || !take(&info, SEQUENCE, &algorithm) ||
        !take(&info, BIT_STRING, &bits) || !take(&algorithm, OBJECT, &kind) || bits.len < 2 ||
        bits.p[0] != 0) /* bits that are not used */
        return PEM_NONE;
    struct span bytes = {bits.p + 1, bits.len - 1};
    if (span_eq(kind, RSA_ENCRYPTION))
        return read_rsa(key, bytes);
    if (!span_eq(kind, EC_PUBLIC_KEY))
        return PEM_OTHER;
    if (!take(&algorithm, OBJECT, &key->curve))
        key->curve = (struct span){0}; /* it has none with a name */
    key->point = bytes;
    return PEM_EC;
}

/* To the SubjectPublicKeyInfo of a certificate (RFC 5280 section 4.1). */
static enum pem_kind read_certificate(struct pem_key *key, struct span der)
{
    static const unsigned before[] = {INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE};
    struct span certificate, body, skipped;
    if (!take(&der, SEQUENCE, &certificate) || !take(&certificate, SEQUENCE, &body))
        return PEM_NONE;
    take(&body, VERSION, &skipped); /* the first version does not name itself */
    for (unsigned i = 0; i < sizeof(before) / sizeof(before[0]); i++)
        if (!take(&body, before[i], &skipped))
            return PEM_NONE;
    return read_info(key, body);
}

/* By the name in its first line. False: it is none of ours. */
static bool read_block(struct pem_key *key, struct span name, struct span der, enum pem_kind *kind)
{
    if (span_eq(name, SPAN("PUBLIC KEY")))
        *kind = read_info(key, der);
    else if (span_eq(name, SPAN("RSA PUBLIC KEY")))
        *kind = read_rsa(key, der);
    else if (span_eq(name, SPAN("CERTIFICATE")) || span_eq(name, SPAN("X509 CERTIFICATE")) ||
             span_eq(name, SPAN("TRUSTED CERTIFICATE")))
        *kind = read_certificate(key, der);
    else
        return false;
    return true;
}

/* ---- the armour ---- */

/* What stands before `mark`, which is taken away with it. */
static bool cut(struct span *rest, struct span mark, struct span *before)
{
    const char *at = rest->len > 0 ? memmem(rest->p, rest->len, mark.p, mark.len) : NULL;
    if (!at)
        return false;
    *before = (struct span){rest->p, (size_t)(at - rest->p)};
    *rest = (struct span){at + mark.len, rest->len - before->len - mark.len};
    return true;
}

static bool next_block(struct span *rest, struct span *name, struct span *body)
{
    struct span skipped, end;
    return cut(rest, SPAN("-----BEGIN "), &skipped) && cut(rest, SPAN("-----"), name) &&
           cut(rest, SPAN("-----END "), body) && cut(rest, SPAN("-----"), &end) && span_eq(*name, end);
}

/* Base64 with padding, in lines: out has room for body.len bytes. p = NULL if it is none. */
static struct span decode(struct span body, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.p[i];
        if (c == '-' || c == '_') /* of the other alphabet, into which this one is turned */
            return (struct span){0};
        if (c != '\n' && c != '\r' && c != ' ' && c != '\t')
            out[n++] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
    }
    if (n == 0 || n % 4 != 0)
        return (struct span){0};
    n -= out[n - 1] != '=' ? 0 : out[n - 2] != '=' ? 1 : 2;
    ssize_t len = text_base64url(out, n, out);
    return len < 0 ? (struct span){0} : (struct span){out, (size_t)len};
}

enum pem_kind pem_read(struct pem_key *key, struct span text)
{
    struct span name, body;
    memset(key, 0, sizeof(*key));
    key->der = malloc(text.len + 1);
    if (!key->der)
        return PEM_MEMORY;
    while (next_block(&text, &name, &body)) {
        enum pem_kind kind;
        if (read_block(key, name, decode(body, key->der), &kind))
            return kind;
    }
    return PEM_NONE;
}

void pem_finish(struct pem_key *key)
{
    free(key->der);
    memset(key, 0, sizeof(*key));
}
