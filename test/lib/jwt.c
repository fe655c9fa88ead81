/* SPDX-License-Identifier: MIT
 *
 * jwt - see jwt.h.
 */
#include "jwt.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static size_t encode(const void *p, size_t n, char *out)
{
    size_t len = (size_t)EVP_EncodeBlock((unsigned char *)out, p, (int)n);
    while (len > 0 && out[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    return len;
}

const char *jwt(const char *claims)
{
    static char text[8192];
    static const char header[] = "{\"alg\":\"HS256\"}";
    unsigned char code[32];
    size_t n = encode(header, strlen(header), text);
    text[n++] = '.';
    n += encode(claims, strlen(claims), text + n);
    HMAC(EVP_sha256(), JWT_SECRET, (int)strlen(JWT_SECRET), (const unsigned char *)text, n, code, NULL);
    text[n++] = '.';
    n += encode(code, sizeof(code), text + n);
    text[n] = '\0';
    return text;
}
