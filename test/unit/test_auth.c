/* SPDX-License-Identifier: MIT
 *
 * test_auth - who is recognised by what, in which order, for how long, and what he may; sessions; key files.
 */
#include "auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "jwt.h"

#define NOW 1763800000000ull

static const struct auth_secret secret = {"the hub's own secret, 32 bytes.."};
static const char *const publish_keys[] = {"publish-1", "publish-2", NULL};
static const char *const admin_keys[] = {"admin-1", "publish-2", NULL};

static struct auth *make(const struct tidings_config *config)
{
    char error[AUTH_ERROR_MAX] = "";
    struct auth *auth = NULL;
    if (auth_create(&auth, config, &secret, error) != 0)
        fail_msg("%s", error);
    return auth;
}

static struct tidings_config with_keys(void)
{
    struct tidings_config config;
    tidings_config_init(&config);
    config.publish_keys = publish_keys;
    config.admin_keys = admin_keys;
    return config;
}

static struct tidings_config with_tokens(void)
{
    struct tidings_config config = with_keys();
    config.jwt_secret = JWT_SECRET;
    return config;
}

/* ---- requests ---- */

struct asked {
    enum auth_result result;
    struct who who;
    struct problem why;
};

/* Ends in auth_forget() by the caller. */
static struct asked ask_at(const struct auth *auth, enum auth_use use, uint64_t now, const char *query,
                           const char *format, ...)
{
    char text[16384], fields[12288];
    struct h1_head head;
    struct h1_error error;
    const struct h1_limits limits = {0};
    struct asked asked = {.why = {.code = ""}};
    va_list args;
    va_start(args, format);
    vsnprintf(fields, sizeof(fields), format, args);
    va_end(args);
    int n = snprintf(text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: h\r\n%s\r\n", query, fields);
    assert_int_equal(h1_parse_head(text, (size_t)n, 0, &limits, &head, &error), n);
    asked.result = auth_identify(auth, &head, use, now, &asked.who, &asked.why);
    return asked;
}

#define ASK(auth, use, ...) ask_at((auth), (use), NOW, "", __VA_ARGS__)

static void expect(struct asked asked, enum auth_result result, enum auth_kind kind, const char *code)
{
    assert_int_equal(asked.result, result);
    assert_int_equal(asked.who.kind, kind);
    if (result != AUTH_OK)
        assert_string_equal(asked.why.code, code);
    auth_forget(&asked.who);
}

/* ---- tests ---- */

static void test_nothing_configured(void **state)
{
    struct tidings_config config;
    struct problem why;

    (void)state;
    tidings_config_init(&config);
    struct auth *auth = make(&config);
    assert_false(auth_is_on(auth));
    struct asked asked = ASK(auth, AUTH_TO_ACT, "Authorization: Basic zzz\r\nAuthorization: x\r\n");
    assert_int_equal(asked.result, AUTH_OK);
    assert_int_equal(auth_may_administrate(auth, &asked.who, &why), AUTH_OK);
    assert_int_equal(auth_may_publish(auth, &asked.who, &why), AUTH_OK);
    assert_int_equal(auth_may_send(auth, &asked.who, TIDINGS_TO_ALL, SPAN(""), &why), AUTH_OK);
    assert_int_equal(auth_may_receive(auth, &asked.who, SPAN("ada"), NULL, 0, &why), AUTH_OK);
    auth_unref(auth);
}

static void test_keys(void **state)
{
    struct tidings_config config = with_keys();
    struct auth *auth = make(&config);
    struct problem why;

    (void)state;
    struct asked publisher = ASK(auth, AUTH_TO_ACT, "Authorization: Bearer publish-1\r\n");
    struct asked admin = ASK(auth, AUTH_TO_ACT, "Authorization: Bearer admin-1\r\n");
    struct asked both = ASK(auth, AUTH_TO_ACT, "Authorization: Bearer publish-2\r\n");
    assert_int_equal(publisher.who.kind, AUTH_KEY);
    assert_true(publisher.who.is_publisher && !publisher.who.is_admin);
    assert_true(admin.who.is_publisher && admin.who.is_admin);
    assert_true(both.who.is_admin); /* named twice: the greater right counts */
    assert_true(publisher.who.key != 0 && admin.who.key != publisher.who.key);
    struct asked again = ASK(auth, AUTH_TO_SUBSCRIBE, "Authorization: bearer  publish-1\r\n");
    assert_true(again.who.key == publisher.who.key);
    assert_int_equal(auth_may_administrate(auth, &publisher.who, &why), AUTH_FORBIDDEN);
    assert_int_equal(why.status, 403);
    assert_int_equal(auth_may_administrate(auth, &admin.who, &why), AUTH_OK);
    assert_int_equal(auth_may_publish(auth, &publisher.who, &why), AUTH_OK);
    assert_int_equal(auth_may_send(auth, &publisher.who, TIDINGS_TO_ALL, SPAN(""), &why), AUTH_OK);
    auth_unref(auth);
}

static void test_wrong_headers(void **state)
{
    struct tidings_config config = with_keys();
    struct auth *auth = make(&config);

    (void)state;
    expect(ASK(auth, AUTH_TO_ACT, "Authorization: Bearer publish\r\n"), AUTH_INVALID, AUTH_NOBODY,
           "invalid_key");
    expect(ASK(auth, AUTH_TO_ACT, "Authorization: Bearer publish-11\r\n"), AUTH_INVALID, AUTH_NOBODY,
           "invalid_key");
    expect(ASK(auth, AUTH_TO_ACT, "Authorization: Bearer PUBLISH-1\r\n"), AUTH_INVALID, AUTH_NOBODY,
           "invalid_key");
    expect(ASK(auth, AUTH_TO_ACT, "Authorization: Basic publish-1\r\n"), AUTH_INVALID, AUTH_NOBODY,
           "invalid_credentials");
    expect(ASK(auth, AUTH_TO_ACT, "Authorization:\r\n"), AUTH_INVALID, AUTH_NOBODY, "invalid_credentials");
    expect(ASK(auth, AUTH_TO_ACT, "Authorization: Bearer admin-1\r\nAuthorization: Bearer admin-1\r\n"),
           AUTH_INVALID, AUTH_NOBODY, "ambiguous_credentials");
    expect(ASK(auth, AUTH_TO_ACT, "Cookie: tidings_token=admin-1\r\n"), AUTH_OK, AUTH_NOBODY, "");
    expect(ask_at(auth, AUTH_TO_SUBSCRIBE, NOW, "?access_token=admin-1", "%s", ""), AUTH_OK, AUTH_NOBODY, "");
    /* It may be meant for whoever is asked besides the hub. */
    expect(ASK(auth, AUTH_TO_SUBSCRIBE, "Authorization: Bearer theirs\r\n"), AUTH_OK, AUTH_NOBODY, "");
    auth_unref(auth);
}

static void test_nobody(void **state)
{
    struct tidings_config config = with_keys();
    struct auth *auth = make(&config);
    struct who nobody = {.kind = AUTH_NOBODY};
    struct problem why;

    (void)state;
    assert_int_equal(auth_may_administrate(auth, &nobody, &why), AUTH_MISSING);
    assert_string_equal(why.code, "missing_credentials");
    assert_int_equal(why.status, 401);
    assert_int_equal(auth_may_publish(auth, &nobody, &why), AUTH_MISSING);
    assert_int_equal(auth_may_measure(auth, &nobody, &why), AUTH_MISSING);
    assert_int_equal(auth_may_subscribe(auth, &nobody, &why), AUTH_OK); /* anonymous */
    auth_unref(auth);
    config.anonymous = 0;
    config.public_metrics = true;
    auth = make(&config);
    assert_int_equal(auth_may_measure(auth, &nobody, &why), AUTH_OK);
    assert_int_equal(auth_may_subscribe(auth, &nobody, &why), AUTH_MISSING);
    auth_unref(auth);
    config = with_tokens();
    auth = make(&config);
    assert_int_equal(auth_may_subscribe(auth, &nobody, &why), AUTH_MISSING);
    auth_unref(auth);
}

static void test_token_places(void **state)
{
    struct tidings_config config = with_tokens();
    struct auth *auth = make(&config);
    const char *good = jwt("{\"sub\":\"ada\",\"exp\":1763800010}");
    char query[2048];

    (void)state;
    snprintf(query, sizeof(query), "?access_token=%s", good);
    expect(ASK(auth, AUTH_TO_SUBSCRIBE, "Authorization: Bearer %s\r\n", good), AUTH_OK, AUTH_TOKEN, "");
    expect(ASK(auth, AUTH_TO_SUBSCRIBE, "Cookie: tidings_token=%s\r\n", good), AUTH_OK, AUTH_TOKEN, "");
    expect(ASK(auth, AUTH_TO_ACT, "Cookie: x=y; tidings_token=\"%s\"\r\n", good), AUTH_OK, AUTH_TOKEN, "");
    expect(ask_at(auth, AUTH_TO_SUBSCRIBE, NOW, query, "%s", ""), AUTH_OK, AUTH_TOKEN, "");
    expect(ask_at(auth, AUTH_TO_ACT, NOW, query, "%s", ""), AUTH_OK, AUTH_NOBODY, "");
    /* The first place that has something counts alone. */
    expect(ask_at(auth, AUTH_TO_SUBSCRIBE, NOW, query, "Authorization: Bearer a.b.c\r\n"), AUTH_INVALID,
           AUTH_NOBODY, "token_malformed");
    expect(ask_at(auth, AUTH_TO_SUBSCRIBE, NOW, query, "Authorization: Bearer zzz\r\n"), AUTH_INVALID,
           AUTH_NOBODY, "invalid_key");
    expect(ask_at(auth, AUTH_TO_SUBSCRIBE, NOW, query, "Cookie: tidings_token=a.b.c\r\n"), AUTH_INVALID,
           AUTH_NOBODY, "token_malformed");
    expect(ASK(auth, AUTH_TO_ACT, "Cookie: tidings_token=%s; tidings_token=x\r\n", good), AUTH_INVALID,
           AUTH_NOBODY, "ambiguous_credentials");
    expect(ask_at(auth, AUTH_TO_SUBSCRIBE, NOW, "?access_token=%zz", "%s", ""), AUTH_INVALID, AUTH_NOBODY,
           "token_malformed");
    struct asked asked = ASK(auth, AUTH_TO_ACT, "Cookie: tidings_token=%s\r\n", good);
    assert_true(asked.who.by_cookie && asked.who.expires == 1763800010000ull);
    auth_forget(&asked.who);
    auth_unref(auth);
}

static void test_token_expiry(void **state)
{
    struct tidings_config config = with_tokens();
    config.jwt_leeway = 5000;
    config.jwt_allow_no_exp = true;
    struct auth *auth = make(&config);
    struct problem why;

    (void)state;
    expect(ASK(auth, AUTH_TO_ACT, "Authorization: Bearer %s\r\n", jwt("{\"exp\":1763799994}")), AUTH_EXPIRED,
           AUTH_NOBODY, "token_expired");
    struct asked late = ASK(auth, AUTH_TO_ACT, "Authorization: Bearer %s\r\n", jwt("{\"exp\":1763799998}"));
    assert_int_equal(late.result, AUTH_OK);
    assert_true(late.who.expires == 1763800003000ull);
    assert_int_equal(auth_may_go_on(&late.who, 1763800002999ull, &why), AUTH_OK);
    assert_int_equal(auth_may_go_on(&late.who, 1763800003000ull, &why), AUTH_EXPIRED);
    assert_string_equal(why.code, "token_expired");
    auth_forget(&late.who);
    struct asked never = ASK(auth, AUTH_TO_ACT, "Authorization: Bearer %s\r\n", jwt("{\"sub\":\"ada\"}"));
    assert_true(never.result == AUTH_OK && never.who.expires == 0);
    assert_int_equal(auth_may_go_on(&never.who, UINT64_MAX, &why), AUTH_OK);
    auth_forget(&never.who);
    auth_unref(auth);
}

static struct asked bear(const struct auth *auth, const char *claims)
{
    struct asked asked = ASK(auth, AUTH_TO_ACT, "Authorization: Bearer %s\r\n", jwt(claims));
    assert_int_equal(asked.result, AUTH_OK);
    return asked;
}

static void test_token_rights(void **state)
{
    static const struct span news = {"news", 4}, both[] = {{"news", 4}, {"secret", 6}};
    struct tidings_config config = with_tokens();
    struct auth *auth = make(&config);
    struct problem why;

    (void)state;
    struct asked ada =
        bear(auth, "{\"sub\":\"ada\",\"exp\":1763800010,\"tidings\":{\"subscribe\":[\"news\"]}}");
    assert_int_equal(auth_may_receive(auth, &ada.who, SPAN("ada"), &news, 1, &why), AUTH_OK);
    assert_int_equal(auth_may_receive(auth, &ada.who, SPAN("bob"), NULL, 0, &why), AUTH_FORBIDDEN);
    assert_string_equal(why.detail, "clientId: \"bob\" is not the token's `sub`");
    assert_int_equal(auth_may_receive(auth, &ada.who, SPAN("ada"), both, 2, &why), AUTH_FORBIDDEN);
    assert_string_equal(why.detail, "topic: \"secret\" is not in the token's `subscribe`");
    assert_int_equal(auth_may_publish(auth, &ada.who, &why), AUTH_FORBIDDEN);
    assert_int_equal(auth_may_administrate(auth, &ada.who, &why), AUTH_FORBIDDEN);

    struct asked sender =
        bear(auth, "{\"exp\":1763800010,\"tidings\":{\"publish\":[\"client:a*\",\"topic:news\"]}}");
    assert_int_equal(auth_may_publish(auth, &sender.who, &why), AUTH_OK);
    assert_int_equal(auth_may_send(auth, &sender.who, TIDINGS_TO_CLIENT, SPAN("ada"), &why), AUTH_OK);
    assert_int_equal(auth_may_send(auth, &sender.who, TIDINGS_TO_CLIENT, SPAN("bob"), &why), AUTH_FORBIDDEN);
    assert_string_equal(why.detail, "clientId: \"bob\" is not in the token's `publish`");
    assert_int_equal(auth_may_send(auth, &sender.who, TIDINGS_TO_TOPIC, SPAN("news"), &why), AUTH_OK);
    assert_int_equal(auth_may_send(auth, &sender.who, TIDINGS_TO_TOPIC, SPAN("ada"), &why), AUTH_FORBIDDEN);
    assert_int_equal(auth_may_send(auth, &sender.who, TIDINGS_TO_ALL, SPAN(""), &why), AUTH_FORBIDDEN);
    assert_int_equal(auth_may_receive(auth, &sender.who, SPAN("ada"), NULL, 0, &why), AUTH_FORBIDDEN);

    struct asked admin = bear(auth, "{\"exp\":1763800010,\"tidings\":{\"admin\":true}}");
    assert_int_equal(auth_may_administrate(auth, &admin.who, &why), AUTH_OK);
    assert_int_equal(auth_may_send(auth, &admin.who, TIDINGS_TO_ALL, SPAN(""), &why), AUTH_OK);
    assert_int_equal(auth_may_receive(auth, &admin.who, SPAN("bob"), both, 2, &why), AUTH_OK);
    assert_true(ada.who.key != 0 && ada.who.key != sender.who.key);
    auth_forget(&ada.who);
    auth_forget(&sender.who);
    auth_forget(&admin.who);
    auth_unref(auth);
}

static void test_sessions(void **state)
{
    struct tidings_config config = with_tokens();
    struct auth *auth = make(&config);
    struct problem why;
    char cookie[AUTH_SESSION_MAX];
    uint64_t until;

    (void)state;
    assert_int_equal(auth_begin_session(auth, SPAN("wrong"), NOW, cookie, &until, &why), AUTH_INVALID);
    assert_int_equal(auth_begin_session(auth, SPAN(""), NOW, cookie, &until, &why), AUTH_INVALID);
    assert_int_equal(auth_begin_session(auth, SPAN("publish-1"), NOW, cookie, &until, &why), AUTH_FORBIDDEN);
    assert_int_equal(auth_begin_session(auth, SPAN("admin-1"), NOW, cookie, &until, &why), AUTH_OK);
    assert_true(until == NOW + AUTH_SESSION_MS);
    assert_null(strstr(cookie, "admin-1"));
    for (enum auth_use use = AUTH_TO_SUBSCRIBE; use <= AUTH_TO_ACT; use++) {
        struct asked asked = ASK(auth, use, "Cookie: " AUTH_SESSION_COOKIE "=%s\r\n", cookie);
        assert_true(asked.who.kind == AUTH_SESSION && asked.who.is_admin && asked.who.by_cookie);
        assert_true(asked.who.expires == until);
        assert_string_equal(auth_expiry_reason(&asked.who), "session_expired");
    }
    expect(ask_at(auth, AUTH_TO_ACT, until - 1, "", "Cookie: tidings_admin=%s\r\n", cookie), AUTH_OK,
           AUTH_SESSION, "");
    expect(ask_at(auth, AUTH_TO_ACT, until, "", "Cookie: tidings_admin=%s\r\n", cookie), AUTH_OK, AUTH_NOBODY,
           "");
    for (size_t i = 0; i < strlen(cookie); i++) { /* no byte of it may be another */
        char forged[AUTH_SESSION_MAX];
        memcpy(forged, cookie, sizeof(forged));
        forged[i] = forged[i] == '1' ? '2' : '1';
        expect(ASK(auth, AUTH_TO_ACT, "Cookie: tidings_admin=%s\r\n", forged), AUTH_OK, AUTH_NOBODY, "");
    }
    config.admin_keys = publish_keys; /* the key is gone, and with it the session */
    struct auth *later = make(&config);
    expect(ASK(later, AUTH_TO_ACT, "Cookie: tidings_admin=%s\r\n", cookie), AUTH_OK, AUTH_NOBODY, "");
    auth_unref(later);
    auth_unref(auth);
}

static void test_sessions_of_tokens(void **state)
{
    struct tidings_config config = with_tokens();
    struct auth *auth = make(&config);
    struct problem why;
    char cookie[AUTH_SESSION_MAX];
    uint64_t until;

    (void)state;
    const char *admin = jwt("{\"exp\":1763800010,\"tidings\":{\"admin\":true}}");
    assert_int_equal(auth_begin_session(auth, span_of(admin), NOW, cookie, &until, &why), AUTH_OK);
    assert_true(until == 1763800010000ull);
    expect(ASK(auth, AUTH_TO_ACT, "Cookie: tidings_admin=%s\r\n", cookie), AUTH_OK, AUTH_SESSION, "");
    config.jwt_secret = "another secret of 32 bytes and more";
    struct auth *later = make(&config);
    expect(ASK(later, AUTH_TO_ACT, "Cookie: tidings_admin=%s\r\n", cookie), AUTH_OK, AUTH_NOBODY, "");
    auth_unref(later);
    const char *user = jwt("{\"exp\":1763800010,\"sub\":\"ada\"}");
    assert_int_equal(auth_begin_session(auth, span_of(user), NOW, cookie, &until, &why), AUTH_FORBIDDEN);
    auth_unref(auth);
}

static void test_bad_sessions(void **state)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "...",
                                      "1",
                                      "1.2",
                                      "1.2.3",
                                      "1.2.0123456789abcdef.",
                                      "a.b.c.d",
                                      "1.99999999999999999999.0123456789abcdef.00",
                                      "1..0123456789abcdef.00",
                                      "1.9999999999999.zzzzzzzzzzzzzzzz.00"};
    struct tidings_config config = with_keys();
    struct auth *auth = make(&config);

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect(ASK(auth, AUTH_TO_ACT, "Cookie: tidings_admin=%s\r\n", bad[i]), AUTH_OK, AUTH_NOBODY, "");
    auth_unref(auth);
}

static void test_hosts(void **state)
{
    static const char *const hosts[] = {"hub.example", "other.example:8080", NULL}, *const any[] = {"*",
                                                                                                    NULL};
    static const char *const loopback[] = {
        "localhost", "LOCALHOST:3000", "127.0.0.1:3000", "127.9.9.9", "[::1]:3000", "[::1]", ""};
    static const char *const strange[] = {"evil.example", "localhost.evil", "128.0.0.1",  "127.0.0.1.evil",
                                          "127.0.0",      "[::2]",          "hub.example"};
    struct tidings_config config;

    (void)state;
    tidings_config_init(&config);
    struct auth *auth = make(&config);
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
        assert_true(auth_knows_host(auth, span_of(loopback[i])));
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        assert_false(auth_knows_host(auth, span_of(strange[i])));
    auth_unref(auth);
    config.public_hosts = hosts;
    auth = make(&config);
    assert_true(auth_knows_host(auth, SPAN("HUB.example:3000")) &&
                auth_knows_host(auth, SPAN("other.example:8080")));
    assert_false(auth_knows_host(auth, SPAN("other.example")));
    auth_unref(auth);
    config.public_hosts = any;
    auth = make(&config);
    assert_true(auth_knows_host(auth, SPAN("evil.example")));
    auth_unref(auth);
    config = with_keys();
    auth = make(&config);
    assert_true(auth_knows_host(auth, SPAN("evil.example"))); /* it would need a key */
    auth_unref(auth);
}

static void refuse_file(struct tidings_config *config, const char *setting, const char *what)
{
    char error[AUTH_ERROR_MAX] = "";
    struct auth *auth = NULL;
    assert_int_equal(auth_create(&auth, config, &secret, error), TIDINGS_ECREDENTIALS);
    if (!strstr(error, setting) || !strstr(error, what))
        fail_msg("%s", error);
}

static void test_files(void **state)
{
    struct tidings_config config;
    char path[] = "/tmp/tidings-auth-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    tidings_config_init(&config);
    config.jwt_public_key = "/nonexistent/key.pem";
    refuse_file(&config, "jwt-public-key", "No such file");
    config.jwt_public_key = NULL;
    config.jwks = "/";
    refuse_file(&config, "jwks", "directory");
    config.jwks = path;
    refuse_file(&config, "keys of tokens", "");
    assert_int_equal(
        write(fd, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c3VwZXItc2VjcmV0LXRleHQtb2YtMzItYnl0ZXMuLi4\"", 67),
        67);
    char error[AUTH_ERROR_MAX] = "";
    struct auth *auth = NULL;
    assert_int_equal(auth_create(&auth, &config, &secret, error), TIDINGS_ECREDENTIALS);
    assert_null(strstr(error, "c3Vw")); /* what is wrong, never what is in it */
    assert_int_equal(ftruncate(fd, TOKEN_FILE_MAX + 1), 0);
    refuse_file(&config, "jwks", "too large");
    close(fd);
    unlink(path);
}

static void test_references(void **state)
{
    struct tidings_config config = with_keys();
    struct auth *auth = make(&config);

    (void)state;
    assert_ptr_equal(auth_ref(auth), auth);
    auth_unref(auth);
    assert_true(auth_is_on(auth));
    auth_unref(auth);
    assert_null(auth_ref(NULL));
    auth_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_configured),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_wrong_headers),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_token_places),
        cmocka_unit_test(test_token_expiry),
        cmocka_unit_test(test_token_rights),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_sessions_of_tokens),
        cmocka_unit_test(test_bad_sessions),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
