/* SPDX-License-Identifier: MIT
 *
 * Where --url, --key and --token come together with TIDINGS_URL, TIDINGS_KEY and TIDINGS_TOKEN. A secret goes
 * into one header and nowhere else.
 */
#include "remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

/* RFC 6750 section 2.1; anything else could end the header line. */
static bool is_bearer(const char *secret)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";
    size_t len = strlen(secret);

    return len > 0 && len < REMOTE_SECRET_MAX && strspn(secret, allowed) == len;
}

static bool resolve_secret(struct remote *remote, const struct option_table *table)
{
    const char *secret = remote->key ? remote->key : remote->token;

    if (remote->key && remote->token) {
        options_complain(table, "--key and --token: give one of them");
        return false;
    }
    if (!secret)
        secret = from_environment("TIDINGS_KEY");
    if (!secret)
        secret = from_environment("TIDINGS_TOKEN");
    if (!secret)
        return true;
    if (!is_bearer(secret)) {
        options_complain(table, "the key or token has characters that a bearer token cannot have (RFC 6750)");
        return false;
    }
    snprintf(remote->headers, sizeof remote->headers, "Authorization: Bearer %s\r\n", secret);
    return true;
}

bool remote_resolve(struct remote *remote, const struct option_table *table)
{
    const char *text = remote->url_text ? remote->url_text : from_environment("TIDINGS_URL");
    const char *wrong = httpc_parse_url(&remote->url, text ? text : "http://127.0.0.1:3000");

    if (wrong) {
        options_complain(table, "%s: %s", remote->url_text ? "--url" : "TIDINGS_URL", wrong);
        return false;
    }
    remote->url.cacert = remote->cacert;
    remote->url.unverified = remote->insecure;
    return resolve_secret(remote, table);
}
