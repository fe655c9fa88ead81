/* SPDX-License-Identifier: MIT
 *
 * tokens - what a program asks about tokens without a hub: sign one, and would it be believed.
 */
#include "auth.h"

#include <stdio.h>
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
