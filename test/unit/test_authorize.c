/* SPDX-License-Identifier: MIT
 *
 * test_authorize - what an application's answer is taken for, and that a question is never known again by a
 * key that could not be made. The application is a double: it answers what the test says.
 */
#include "authorize.h"
#include "jws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidings.h>

#include <cmocka.h>

/* ---- doubles ---- */

int __wrap_outbound_create(struct outbound **out, const char *url, unsigned most, char *error, size_t size);
void __wrap_outbound_submit(struct outbound *o, struct outbound_job *job);
void __wrap_outbound_stop(struct outbound *o, uint32_t grace_ms);
void __wrap_outbound_destroy(struct outbound *o);
size_t __real_jws_hmac(enum jws_algorithm algorithm, struct span secret, struct span text,
                       unsigned char *mac);
size_t __wrap_jws_hmac(enum jws_algorithm algorithm, struct span secret, struct span text,
                       unsigned char *mac);

static struct {
    int status;
    unsigned max_age;
    const char *text;
    unsigned asked;
} application;

static int macs_left; /* until memory is short; -1: never */

int __wrap_outbound_create(struct outbound **out, const char *url, unsigned most, char *error, size_t size)
{
    (void)url, (void)most, (void)error, (void)size;
    *out = (struct outbound *)(void *)&application;
    return 0;
}

void __wrap_outbound_submit(struct outbound *o, struct outbound_job *job)
{
    (void)o;
    application.asked++;
    job->status = application.status;
    job->max_age = application.max_age;
    buf_puts(&job->answer, application.text);
    job->done(job);
}

void __wrap_outbound_stop(struct outbound *o, uint32_t grace_ms)
{
    (void)o, (void)grace_ms;
}

void __wrap_outbound_destroy(struct outbound *o)
{
    (void)o;
}

size_t __wrap_jws_hmac(enum jws_algorithm algorithm, struct span secret, struct span text, unsigned char *mac)
{
    if (macs_left == 0)
        return 0;
    macs_left -= macs_left > 0;
    return __real_jws_hmac(algorithm, secret, text, mac);
}

/* ---- one question ---- */

static void answered(struct question *q)
{
    (void)q;
}

static void begin(struct question *q, const char *cookie)
{
    memset(q, 0, sizeof(*q));
    outbound_job_init(&q->job);
    buf_puts(&q->job.headers, cookie);
    buf_puts(&q->job.body, "{\"clientId\":\"me\"}");
    q->answered = answered;
}

static void finish(struct question *q)
{
    decision_unref(q->decision);
    outbound_job_finish(&q->job);
}

/* What authorizer_look_up() says, and what came of asking. The caller's to finish. */
static int ask(struct authorizer *a, struct question *q, const char *cookie)
{
    begin(q, cookie);
    int rc = authorizer_look_up(a, q, 1000);
    if (rc == 0)
        authorizer_ask(a, q);
    return rc;
}

static int set_up(void **state)
{
    static struct authorizer a;
    char error[128];
    memset(&application, 0, sizeof(application));
    macs_left = -1;
    *state = &a;
    return authorizer_init(&a, "http://application.example/", 1000, 8, error, sizeof(error));
}

static int tear_down(void **state)
{
    authorizer_finish(*state);
    return 0;
}

static enum verdict verdict_of(struct authorizer *a, const char *text)
{
    struct question q;
    application.status = 200;
    application.text = text;
    assert_int_equal(ask(a, &q, "Cookie: s=1"), 0);
    enum verdict verdict = decision_verdict(q.decision);
    finish(&q);
    return verdict;
}

/* ---- answers ---- */

static void test_everything(void **state)
{
    struct question q;
    application.status = 200;
    application.text =
        " {\"clientId\":\"us\\u0065r-1234567890123456789\", \"name\":\"\\u00e9va\", "
        "\"extra\":{\"a\":[1e999]},"
        "\"topics\":[\"a\",\"b\\/c\"],\"subscribe\":[\"n*\",\"chat\"],\"expiresAt\":1800000000000.75} ";
    assert_int_equal(ask(*state, &q, "Cookie: s=1"), 0);
    const struct decision *d = q.decision;
    assert_int_equal(decision_verdict(d), VERDICT_YES);
    assert_true(span_eq(decision_client(d), SPAN("user-1234567890123456789")));
    assert_true(span_eq(decision_name(d), SPAN("\xc3\xa9va")));
    assert_true(span_eq(decision_topic(d, 0), SPAN("a")) && span_eq(decision_topic(d, 1), SPAN("b/c")));
    assert_null(decision_topic(d, 2).p);
    assert_true(decision_allows(d, SPAN("news")) && decision_allows(d, SPAN("chat")));
    assert_false(decision_allows(d, SPAN("chats")) || decision_allows(d, SPAN("m")));
    assert_true(decision_expires(d) == UINT64_C(1800000000000));
    finish(&q);
}

static void test_little(void **state)
{
    static const char *const texts[] = {"", "{}", "{\"other\":null}"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct question q;
        application.status = 204;
        application.text = texts[i];
        assert_int_equal(ask(*state, &q, "Cookie: s=1"), 0);
        assert_int_equal(decision_verdict(q.decision), VERDICT_YES);
        assert_null(decision_client(q.decision).p);
        assert_null(decision_name(q.decision).p);
        assert_null(decision_topic(q.decision, 0).p);
        assert_true(decision_allows(q.decision, SPAN("anything")));
        assert_true(decision_expires(q.decision) == 0);
        finish(&q);
    }
}

static void test_no_topics(void **state)
{
    struct question q;
    application.status = 200;
    application.text = "{\"subscribe\":[],\"expiresIn\":0,\"expiresAt\":0}";
    assert_int_equal(ask(*state, &q, "Cookie: s=1"), 0);
    assert_int_equal(decision_verdict(q.decision), VERDICT_YES);
    assert_false(decision_allows(q.decision, SPAN("anything")));
    assert_true(decision_expires(q.decision) == 1); /* over, and not without end */
    finish(&q);
}

static void test_not_understood(void **state)
{
    char text[4000];
    static const char *const bad[] = {"[]",
                                      "null",
                                      "yes",
                                      "{",
                                      "{}{}",
                                      "{\"clientId\":1}",
                                      "{\"clientId\":\"\"}",
                                      "{\"clientId\":null}",
                                      "{\"clientId\":\"a\",\"clientId\":\"b\"}",
                                      "{\"clientId\":\"a\",\"\\u0063lientId\":\"b\"}",
                                      "{\"clientId\":\"a\\u0000\"}",
                                      "{\"clientId\":\"a\\n\"}",
                                      "{\"name\":[]}",
                                      "{\"topics\":\"a\"}",
                                      "{\"topics\":[1]}",
                                      "{\"topics\":[\"\"]}",
                                      "{\"topics\":null}",
                                      "{\"subscribe\":{}}",
                                      "{\"subscribe\":[null]}",
                                      "{\"expiresIn\":-1}",
                                      "{\"expiresIn\":\"5\"}",
                                      "{\"expiresIn\":1000000000.001}",
                                      "{\"expiresAt\":8640000000000001}",
                                      "{\"expiresAt\":1e400}",
                                      "{\"expiresAt\":null}"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (verdict_of(*state, bad[i]) != VERDICT_UNKNOWN)
            fail_msg("%s", bad[i]);
    assert_int_equal(verdict_of(*state, "{\"expiresIn\":1000000000,\"expiresAt\":8640000000000000}"),
                     VERDICT_YES);
    snprintf(text, sizeof(text), "{\"clientId\":\"%0*d\"}", TIDINGS_CLIENT_ID_MAX, 1);
    assert_int_equal(verdict_of(*state, text), VERDICT_YES);
    snprintf(text, sizeof(text), "{\"clientId\":\"%0*d\"}", TIDINGS_CLIENT_ID_MAX + 1, 1);
    assert_int_equal(verdict_of(*state, text), VERDICT_UNKNOWN);
    snprintf(text, sizeof(text), "{\"name\":\"%0*d\"}", 3000, 1);
    assert_int_equal(verdict_of(*state, text), VERDICT_UNKNOWN);
    snprintf(text, sizeof(text), "{\"topics\":[\"%0*d\"]}", 3000, 1);
    assert_int_equal(verdict_of(*state, text), VERDICT_UNKNOWN);
}

static void test_statuses(void **state)
{
    static const struct {
        int status;
        enum verdict verdict;
    } rows[] = {{200, VERDICT_YES},       {299, VERDICT_YES},    {401, VERDICT_UNAUTHORIZED},
                {403, VERDICT_FORBIDDEN}, {0, VERDICT_UNKNOWN},  {302, VERDICT_UNKNOWN},
                {404, VERDICT_UNKNOWN},   {500, VERDICT_UNKNOWN}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct question q;
        application.status = rows[i].status;
        application.text = "";
        assert_int_equal(ask(*state, &q, "Cookie: s=1"), 0);
        assert_int_equal(decision_verdict(q.decision), rows[i].verdict);
        finish(&q);
    }
}

/* ---- the cache ---- */

static void test_known_again(void **state)
{
    struct question q;
    application.status = 200;
    application.text = "{\"clientId\":\"ada\"}";
    application.max_age = 60;
    assert_int_equal(ask(*state, &q, "Cookie: s=1"), 0);
    finish(&q);
    application.text = "{\"clientId\":\"bob\"}";
    assert_int_equal(ask(*state, &q, "Cookie: s=1"), 1);
    assert_true(span_eq(decision_client(q.decision), SPAN("ada")));
    finish(&q);
    assert_int_equal(ask(*state, &q, "Cookie: s=2"), 0);
    assert_true(span_eq(decision_client(q.decision), SPAN("bob")));
    finish(&q);
    assert_int_equal(application.asked, 2);
}

/* Without a key nobody is asked about, and nobody is taken for somebody else. */
static void test_without_a_key(void **state)
{
    struct question q;
    application.status = 200;
    application.text = "{\"clientId\":\"ada\"}";
    application.max_age = 60;
    for (int left = 0; left < 2; left++)
        for (int visitor = 0; visitor < 2; visitor++) {
            macs_left = left;
            assert_int_equal(ask(*state, &q, visitor ? "Cookie: s=1" : "Cookie: s=2"), -1);
            assert_null(q.decision);
            finish(&q);
        }
    macs_left = -1;
    for (int which = 0; which < 2; which++) { /* nor by what was cut when it was written */
        begin(&q, "Cookie: s=1");
        *(which ? &q.job.headers.failed : &q.job.body.failed) = true;
        assert_int_equal(authorizer_look_up(*state, &q, 1000), -1);
        finish(&q);
    }
    assert_int_equal(application.asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_little, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_topics, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_statuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_known_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_key, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("authorize", tests, NULL, NULL);
}
