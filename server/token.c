/* SPDX-License-Identifier: MIT
 *
 * `tidings token`: signs a token for trying and for scripts, or says what is in one and whether a hub with
 * these keys would believe it. Reading and judging are the library's; this file writes claims and shows them.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <tidings.h>

#include "command.h"
#include "jsontext.h"
#include "options.h"
#include "secrets.h"

#define SECRET_MAX 4096

struct token {
    const char *inspect, *secret, *secret_file, *public_key, *jwks;
    const char *subject, *id, *issuer, *audience;
    struct option_list subscribe, publish;
    bool admin, no_expiry;
    uint64_t expires; /* ms */
    char kept_secret[SECRET_MAX + 2];
};

#define AT(field) .offset = offsetof(struct token, field)

static const struct option rows[] = {
    {.name = "secret",
     .kind = OPTION_TEXT,
     AT(secret),
     .form = "SECRET",
     .help = "the hub's --jwt-secret; better in TIDINGS_JWT_SECRET or a file: others see arguments until "
             "they are read"},
    {.name = "secret-file",
     .kind = OPTION_TEXT,
     AT(secret_file),
     .form = "FILE",
     .help = "file whose first line is the secret"},
    {.name = "sub",
     .kind = OPTION_TEXT,
     AT(subject),
     .form = "ID",
     .help = "the client that may subscribe; * for any"},
    {.name = "subscribe",
     .kind = OPTION_LIST,
     AT(subscribe),
     .form = "TOPIC",
     .help = "a topic it may have, or a beginning with a final *; repeatable"},
    {.name = "publish",
     .kind = OPTION_LIST,
     AT(publish),
     .form = "TARGET",
     .help = "where it may send: client:ID, topic:NAME, broadcast or *; repeatable"},
    {.name = "admin", .kind = OPTION_FLAG, AT(admin), .help = "it may do everything"},
    {.name = "expires",
     .kind = OPTION_DURATION,
     AT(expires),
     .min = 1000,
     .form = "DURATION",
     .help = "how long it is good [1h]"},
    {.name = "no-expiry",
     .kind = OPTION_FLAG,
     AT(no_expiry),
     .help = "for ever; the hub needs --jwt-allow-no-exp. With --inspect: may be"},
    {.name = "issuer",
     .kind = OPTION_TEXT,
     AT(issuer),
     .form = "TEXT",
     .help = "iss; with --inspect: must be"},
    {.name = "audience",
     .kind = OPTION_TEXT,
     AT(audience),
     .form = "TEXT",
     .help = "aud; with --inspect: must be"},
    {.name = "id",
     .kind = OPTION_TEXT,
     AT(id),
     .form = "TEXT",
     .help = "jti, by which it can be revoked [drawn at random]"},
    {.name = "inspect",
     .kind = OPTION_TEXT,
     AT(inspect),
     .form = "TOKEN",
     .help = "show this token instead; - reads it from standard input"},
    {.name = "public-key",
     .kind = OPTION_TEXT,
     AT(public_key),
     .form = "FILE",
     .help = "with --inspect: verify with this PEM file"},
    {.name = "jwks",
     .kind = OPTION_TEXT,
     AT(jwks),
     .form = "FILE",
     .help = "with --inspect: verify with this key set"},
};

static const struct option_table table = {
    .command = "token",
    .usage = "token [--sub ID] [--subscribe TOPIC]… [--publish TARGET]… [--admin] [--expires 1h] | --inspect "
             "TOKEN",
    .about = "Signs a JSON Web Token with HS256 and prints it, or shows what is in one.\n"
             "--inspect exits with 0 exactly if a hub with the given key would believe the token now. "
             "Without a key\n"
             "nobody has looked at its signature: 0 says that nothing else is wrong with it.",
    .rows = rows,
    .count = sizeof rows / sizeof *rows};

/* ---- the secret ---- */

static bool read_secret_file(struct token *token)
{
    FILE *file = fopen(token->secret_file, "re");
    bool read = file && fgets(token->kept_secret, sizeof token->kept_secret, file);

    if (!read)
        options_complain(&table, "cannot read %s: %s", token->secret_file,
                         !file || ferror(file) ? strerror(errno) : "the file is empty");
    if (file)
        fclose(file);
    token->kept_secret[strcspn(token->kept_secret, "\r\n")] = '\0';
    token->secret = token->kept_secret;
    return read;
}

/* Takes it from where others could read it while the command runs. */
static bool keep_secret(struct token *token)
{
    size_t len = strlen(token->secret);

    if (len > SECRET_MAX)
        options_complain(&table, "the secret is longer than %d bytes", SECRET_MAX);
    else
        memcpy(token->kept_secret, token->secret, len + 1);
    secrets_cover(token->secret);
    token->secret = token->kept_secret;
    return len <= SECRET_MAX;
}

static bool find_secret(struct token *token)
{
    if (token->secret && token->secret_file) {
        secrets_cover(token->secret);
        options_complain(&table, "--secret and --secret-file: give one of them");
        return false;
    }
    if (token->secret_file)
        return read_secret_file(token);
    if (!token->secret && !token->public_key && !token->jwks)
        token->secret = getenv("TIDINGS_JWT_SECRET");
    if (token->secret && !token->secret[0])
        token->secret = NULL;
    return !token->secret || keep_secret(token);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- signing ---- */

static void put_text(FILE *out, const char *name, const char *text)
{
    if (!text)
        return;
    fprintf(out, ",\"%s\":", name);
    jsontext_put_string(out, text, strlen(text));
}

static void put_list(FILE *out, const char *name, const struct option_list *list)
{
    fprintf(out, "\"%s\":[", name);
    for (size_t i = 0; i < list->count; i++) {
        fputs(i > 0 ? "," : "", out);
        jsontext_put_string(out, list->items[i], strlen(list->items[i]));
    }
    fputs("]", out);
}

/* NULL if memory or randomness fails; the caller's. */
static char *write_claims(const struct token *token, size_t *len)
{
    unsigned char random[16];
    uint64_t now = now_ms() / 1000;
    char *text = NULL, id[2 * sizeof random + 1] = "";
    FILE *out = open_memstream(&text, len);

    if (!out)
        return NULL;
    bool drawn = token->id || getrandom(random, sizeof random, 0) == (ssize_t)sizeof random;
    for (size_t i = 0; i < sizeof random && drawn && !token->id; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    fprintf(out, "{\"iat\":%" PRIu64, now);
    if (!token->no_expiry)
        fprintf(out, ",\"exp\":%" PRIu64, now + token->expires / 1000);
    put_text(out, "jti", token->id ? token->id : id);
    put_text(out, "sub", token->subject);
    put_text(out, "iss", token->issuer);
    put_text(out, "aud", token->audience);
    fputs(",\"tidings\":{", out);
    put_list(out, "subscribe", &token->subscribe);
    fputs(",", out);
    put_list(out, "publish", &token->publish);
    fprintf(out, ",\"admin\":%s}}", token->admin ? "true" : "false");
    if (fclose(out) != 0 || !drawn) {
        free(text);
        return NULL;
    }
    return text;
}

static void configure(struct tidings_config *config, const struct token *token)
{
    tidings_config_init(config);
    config->jwt_secret = token->secret;
    config->jwt_public_key = token->public_key;
    config->jwks = token->jwks;
    config->jwt_issuer = token->issuer;
    config->jwt_audience = token->audience;
    config->jwt_allow_no_exp = token->no_expiry;
}

static int check(const struct token *token, const char *text, char *why, size_t size)
{
    struct tidings_config config;

    configure(&config, token);
    return tidings_token_check(&config, text, strlen(text), now_ms(), why, size);
}

static int sign(const struct token *token)
{
    char out[TIDINGS_TOKEN_MAX + 1], why[512] = "";
    size_t len;
    char *claims = write_claims(token, &len);
    int rc;

    if (!claims) {
        options_complain(&table, "out of memory or of random numbers");
        return EXIT_FAILED;
    }
    rc = tidings_token_sign(claims, len, token->secret, strlen(token->secret), out, sizeof out);
    free(claims);
    if (rc < 0) {
        options_complain(&table, "%s", tidings_strerror(rc));
        return EXIT_USAGE;
    }
    if (check(token, out, why, sizeof why) != 0) { /* what no hub would take is not handed out */
        options_complain(&table, "%s", why);
        return EXIT_USAGE;
    }
    puts(out);
    return fflush(stdout) == 0 ? EXIT_FINE : EXIT_FAILED;
}

/* ---- looking into one ---- */

/* Says nothing without a date. */
static void show_date(json_t *shown, const json_t *claims, const char *claim, const char *name)
{
    const json_t *value = json_object_get(claims, claim);
    double seconds = json_number_value(value);
    char text[32];
    struct tm tm;
    time_t at;

    if (!json_is_number(value) || !(seconds >= 0 && seconds <= 8.64e12))
        return;
    at = (time_t)seconds;
    if (gmtime_r(&at, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        json_object_set_new(shown, name, json_string(text));
}

/* `said` holds header and claims. Only who has looked at the signature may call a token valid. */
static int show(const struct token *token, const char *text, json_t *said, char *why, size_t size)
{
    bool with_key = token->secret || token->public_key || token->jwks;
    int rc = with_key ? check(token, text, why, size) : why[0] ? 1 : 0;
    const json_t *claims = json_object_get(said, "claims");

    show_date(said, claims, "iat", "issued");
    show_date(said, claims, "nbf", "validFrom");
    show_date(said, claims, "exp", "expires");
    json_object_set_new(said, "signature", json_string(with_key ? "checked" : "not checked"));
    if (with_key || rc != 0)
        json_object_set_new(said, "valid", json_boolean(rc == 0));
    if (rc != 0)
        json_object_set_new(said, "why", json_string(why));
    bool printed = json_dumpf(said, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0 && putchar('\n') != EOF;
    if (rc < 0)
        options_complain(&table, "%s", why);
    return printed && fflush(stdout) == 0 && rc == 0 ? EXIT_FINE : EXIT_FAILED;
}

static int inspect_text(const struct token *token, const char *text)
{
    struct tidings_config config;
    char out[TIDINGS_TOKEN_MAX], why[512];
    json_t *said;
    int n, code;

    configure(&config, token);
    n = tidings_token_inspect(&config, text, strlen(text), now_ms(), out, sizeof out, why, sizeof why);
    if (n < 0) {
        options_complain(&table, "%s", why);
        return EXIT_FAILED;
    }
    said = json_loadb(out, (size_t)n, 0, NULL);
    if (!said) {
        options_complain(&table, "out of memory, or a number in it is too large to be shown");
        return EXIT_FAILED;
    }
    code = show(token, text, said, why, sizeof why);
    json_decref(said);
    return code;
}

static int inspect(const struct token *token)
{
    char text[TIDINGS_TOKEN_MAX + 3];

    if (strcmp(token->inspect, "-") != 0)
        return inspect_text(token, token->inspect);
    if (!fgets(text, sizeof text, stdin))
        text[0] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    return inspect_text(token, text);
}

static int run(struct token *token, int argc, char *const *argv)
{
    struct option_list rest = {.count = 0};
    enum options_result result = options_read(&table, token, argc, argv, &rest);

    if (result != OPTIONS_GO)
        return result == OPTIONS_HELPED ? EXIT_FINE : EXIT_USAGE;
    if (rest.count > 0) {
        options_complain(&table, "takes options only");
        return EXIT_USAGE;
    }
    if (!find_secret(token))
        return EXIT_USAGE;
    if (token->inspect)
        return inspect(token);
    if (token->public_key || token->jwks || !token->secret) {
        options_complain(&table,
                         "to sign, give --secret, --secret-file or TIDINGS_JWT_SECRET, and no other key");
        return EXIT_USAGE;
    }
    return sign(token);
}

int token_main(int argc, char *const *argv)
{
    struct token *token = calloc(1, sizeof *token);
    int code;

    if (!token)
        return EXIT_FAILED;
    token->expires = 3600 * 1000;
    code = run(token, argc, argv);
    explicit_bzero(token, sizeof *token);
    free(token);
    return code;
}
