/* SPDX-License-Identifier: MIT
 *
 * remote - which hub a client command speaks to, as whom, and whom it trusts: --url, --key, --token,
 * --cacert,
 * --insecure and the environment.
 */
#ifndef REMOTE_H
#define REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "httpc.h"
#include "options.h"

#define REMOTE_SECRET_MAX 8193  /* with its NUL; a token has 8192 bytes at most */
#define REMOTE_TIMEOUT    10000 /* ms that a hub may take to connect or to go on with an answer */

struct remote {
    const char *url_text, *key, *key_file, *token, *token_file; /* as given; NULL = ask the environment */
    const char *cacert;                                         /* NULL: the system trusts */
    bool insecure;
    struct httpc_url url;
    char headers[REMOTE_SECRET_MAX + 64]; /* "Authorization: Bearer …" CRLF, or "" */
};

/* Rows for the option table of a command whose struct holds a struct remote as `remote`. */
#define REMOTE_OPTIONS(type)                                                                                 \
    {.name = "url",                                                                                          \
     .kind = OPTION_TEXT,                                                                                    \
     .offset = offsetof(type, remote.url_text),                                                              \
     .form = "URL",                                                                                          \
     .help = "the hub: http(s)://HOST:PORT or unix:PATH (TIDINGS_URL) [http://127.0.0.1:3000]"},             \
        {.name = "key",                                                                                      \
         .kind = OPTION_TEXT,                                                                                \
         .offset = offsetof(type, remote.key),                                                               \
         .form = "KEY",                                                                                      \
         .help = "publish or admin key; better in TIDINGS_KEY or a file: others see the arguments"},         \
        {.name = "key-file",                                                                                 \
         .kind = OPTION_TEXT,                                                                                \
         .offset = offsetof(type, remote.key_file),                                                          \
         .form = "FILE",                                                                                     \
         .help = "file whose first line is the key (TIDINGS_KEY_FILE)"},                                     \
        {.name = "token-file",                                                                               \
         .kind = OPTION_TEXT,                                                                                \
         .offset = offsetof(type, remote.token_file),                                                        \
         .form = "FILE",                                                                                     \
         .help = "file whose first line is the token (TIDINGS_TOKEN_FILE)"},                                 \
    {                                                                                                        \
        .name = "token", .kind = OPTION_TEXT, .offset = offsetof(type, remote.token), .form = "TOKEN",       \
        .help = "JSON Web Token; better in TIDINGS_TOKEN"                                                    \
    }

/* The same for a command that speaks https. */
#define REMOTE_TLS_OPTIONS(type)                                                                             \
    {.name = "cacert",                                                                                       \
     .kind = OPTION_TEXT,                                                                                    \
     .offset = offsetof(type, remote.cacert),                                                                \
     .form = "FILE",                                                                                         \
     .help = "https: trust the certificates in this file, not the system's"},                                \
    {                                                                                                        \
        .name = "insecure", .kind = OPTION_FLAG, .offset = offsetof(type, remote.insecure),                  \
        .help = "https: take any certificate, whoever it belongs to; for trying only"                        \
    }

/* Reads URL and secret from options and environment; false after one line that says what is wrong. */
bool remote_resolve(struct remote *remote, const struct option_table *table);

#endif
