/* SPDX-License-Identifier: MIT
 *
 * Where --url, --key, --token and their files come together with TIDINGS_URL, TIDINGS_KEY, TIDINGS_TOKEN and
 * theirs. A secret goes into one header and nowhere else.
 */
#include "remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secrets.h"
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

/* The first line of a file, without white space around it, into secret; false after a message. */
static bool read_secret(const char *path, char *secret, size_t size, const struct option_table *table)
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(secret, (int)size, file);
    size_t start, len;

    if (!read)
        options_complain(table, "cannot read %s: %s", path,
                         !file || ferror(file) ? strerror(errno) : "the file is empty");
    if (file)
        fclose(file);
    if (!read)
        return false;
    start = strspn(secret, " \t\r\n");
    len = strcspn(secret + start, " \t\r\n");
    memmove(secret, secret + start, len);
    secret[len] = '\0';
    return true;
}

/* What was given, or else what the environment says, in the order of the names; NULL if nobody says anything.
 */
static const char *find_secret(const struct remote *remote, bool *is_path)
{
    static const struct {
        const char *name;
        bool is_path;
    } variables[] = {{"TIDINGS_KEY", false},
                     {"TIDINGS_KEY_FILE", true},
                     {"TIDINGS_TOKEN", false},
                     {"TIDINGS_TOKEN_FILE", true}};
    const char *given = remote->key ? remote->key : remote->token;
    const char *path = remote->key_file ? remote->key_file : remote->token_file;

    *is_path = path != NULL;
    if (given || path)
        return given ? given : path;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = from_environment(variables[i].name);
        *is_path = variables[i].is_path;
        if (value)
            return value;
    }
    return NULL;
}

static bool resolve_secret(struct remote *remote, const struct option_table *table)
{
    char text[REMOTE_SECRET_MAX + 2];
    bool is_path, fine;
    const char *secret = find_secret(remote, &is_path);
    int given = (remote->key != NULL) + (remote->key_file != NULL) + (remote->token != NULL) +
                (remote->token_file != NULL);

    if (given > 1) {
        options_complain(table, "--key, --key-file, --token and --token-file: give one of them");
        return false;
    }
    if (!secret)
        return true;
    if (is_path && !read_secret(secret, text, sizeof text, table))
        return false;
    fine = is_bearer(is_path ? text : secret);
    if (!fine)
        options_complain(table, "the key or token has characters that a bearer token cannot have (RFC 6750)");
    else
        snprintf(remote->headers, sizeof remote->headers, "Authorization: Bearer %s\r\n",
                 is_path ? text : secret);
    explicit_bzero(text, sizeof text);
    secrets_cover(remote->key); /* in the arguments others could read it while the command runs */
    secrets_cover(remote->token);
    return fine;
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
