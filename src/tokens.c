/* SPDX-License-Identifier: MIT
 *
 * tokens - what a program asks about tokens without a hub: sign one, what does it say, would it be believed.
 */
#include "auth.h"
#include "json.h"

#include <stdio.h>
#include <string.h>
#include <tidings.h>

_Static_assert(TOKEN_MAX == TIDINGS_TOKEN_MAX, "the header promises it");

int tidings_token_sign(const char *claims, size_t claims_len, const char *secret, size_t secret_len,
                       char *out, size_t size)
{
    return out ? token_sign((struct span){claims, claims_len}, (struct span){secret, secret_len}, out, size)
               : TIDINGS_EINVAL;
}

int tidings_token_check(const struct tidings_config *config, const char *token, size_t len, uint64_t now,
                        char *why, size_t size)
{
    /* Hashes of keys are made with it and thrown away here, so it need not be secret. */
    static const struct auth_secret unused;
    char error[AUTH_ERROR_MAX] = "";
    struct auth *auth;
    int rc = auth_create(&auth, config, &unused, error);
    if (rc < 0) {
        snprintf(why, size, "%s", error[0] ? error : tidings_strerror(rc));
        return rc;
    }
    enum token_result result = auth_check_token(auth, (struct span){token, len}, now);
    auth_unref(auth);
    if (result == TOKEN_OK)
        return 0;
    snprintf(why, size, "%s: %s", token_code(result), token_detail(result));
    return result == TOKEN_MEMORY ? TIDINGS_ENOMEM : 1;
}

/* Appends compact JSON; *len grows beyond size if it does not fit. */
static void put(char *out, size_t size, size_t *len, const char *before, char *json, size_t json_len)
{
    struct json_error error;
    ssize_t n = json_compact((struct span){json, json_len}, json, &error); /* it was checked, so n >= 0 */
    size_t before_len = strlen(before);
    if (*len + before_len + (size_t)n < size) {
        memcpy(out + *len, before, before_len);
        memcpy(out + *len + before_len, json, (size_t)n);
    }
    *len += before_len + (size_t)n;
}

int tidings_token_inspect(const struct tidings_config *config, const char *token, size_t len, uint64_t now,
                          char *out, size_t size, char *why, size_t why_size)
{
    const struct token_rules rules = {.issuer = config->jwt_issuer,
                                      .audience = config->jwt_audience,
                                      .leeway_ms = config->jwt_leeway,
                                      .allow_no_exp = config->jwt_allow_no_exp};
    struct token_text text;
    bool readable;
    size_t n = 0;
    enum token_result result = token_inspect(&rules, (struct span){token, len}, now, &text, &readable);
    snprintf(why, why_size, "%s%s%s", token_code(result), result == TOKEN_OK ? "" : ": ",
             token_detail(result));
    if (!readable || !out)
        return TIDINGS_EINVAL;
    put(out, size, &n, "{\"header\":", text.header, text.header_len);
    put(out, size, &n, ",\"claims\":", text.claims, text.claims_len);
    if (n + 1 >= size)
        return TIDINGS_ETOOBIG;
    memcpy(out + n, "}", 2);
    return (int)n + 1;
}
