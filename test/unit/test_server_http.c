/* SPDX-License-Identifier: MIT
 *
 * test_server_http - the pure parts of the HTTP client: URLs, percent-encoding, heads of answers, the chunked
 * coding at every split; and the JSON that commands pass on.
 */
#include "httpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guard.h"
#include "jsontext.h"

static void test_urls(void **state)
{
    static const char *const wrong[] = {
        "",           "x",           "https://",   "https:/a",     "ftp://a",
        "http://",    "http://:80",  "http://a:",  "http://a:0",   "http://a:65536",
        "http://u@a", "http://a b",  "http://a?x", "http://a/x?y", "http://a/x y",
        "http://*",   "http://[::1", "http://[x]", "unix:",        "http://a\r\nx: y"};
    struct httpc_url url;

    (void)state;
    assert_null(httpc_parse_url(&url, "http://hub.example.com"));
    assert_string_equal(url.host, "hub.example.com");
    assert_string_equal(url.port, "80");
    assert_string_equal(url.authority, "hub.example.com");
    assert_string_equal(url.prefix, "");
    assert_null(httpc_parse_url(&url, "HTTP://[::1]:3000/a/b//"));
    assert_string_equal(url.host, "::1");
    assert_string_equal(url.port, "3000");
    assert_string_equal(url.authority, "[::1]:3000");
    assert_string_equal(url.prefix, "/a/b");
    assert_false(url.tls);
    assert_null(httpc_parse_url(&url, "HTTPS://hub.example.com/x"));
    assert_true(url.tls);
    assert_string_equal(url.host, "hub.example.com");
    assert_string_equal(url.port, "443");
    assert_string_equal(url.prefix, "/x");
    assert_null(httpc_parse_url(&url, "https://a:8443"));
    assert_string_equal(url.port, "8443");
    assert_null(httpc_parse_url(&url, "unix:/run/t.sock"));
    assert_false(url.tls);
    assert_true(url.is_unix);
    assert_string_equal(url.path, "/run/t.sock");
    assert_string_equal(url.authority, "localhost");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (!httpc_parse_url(&url, wrong[i]))
            fail_msg("\"%s\" was taken", wrong[i]);
    }
}

static void test_encoding(void **state)
{
    char out[32] = "/x/", small[8] = "";

    (void)state;
    assert_true(httpc_encode(out, sizeof out, "a b/\xc3\xa4?~"));
    assert_string_equal(out, "/x/a%20b%2F%C3%A4%3F~");
    assert_false(httpc_encode(small, sizeof small, "abcdefgh"));
}

static void test_heads(void **state)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: \t text/event-stream \r\nTRANSFER-ENCODING: chunked\r\n"
        "Retry-After: 7\r\nX: y\r\n\r\nbody";
    static const char *const wrong[] = {"HTTP/2 200 OK\r\n\r\n",
                                        "HTTP/1.1 20 OK\r\n\r\n",
                                        "HTTP/1.1 999 \r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                                        "x\r\n\r\n",
                                        "\r\n\r\n"};
    struct httpc_response response;
    struct guard guard;

    (void)state;
    guard_init(&guard, sizeof head);
    for (size_t n = 0; n < sizeof head - 5; n++)
        assert_int_equal(httpc_parse_head(&response, guard_copy(&guard, head, n), n), 0);
    assert_int_equal(httpc_parse_head(&response, head, sizeof head - 1), sizeof head - 5);
    assert_int_equal(response.status, 200);
    assert_true(response.chunked && !response.has_length);
    assert_string_equal(response.content_type, "text/event-stream");
    assert_int_equal(response.retry_after, 7);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (httpc_parse_head(&response, wrong[i], strlen(wrong[i])) != HTTPC_EBAD)
            fail_msg("\"%s\" was taken", wrong[i]);
    }
    guard_finish(&guard);
}

struct coded {
    const char *input;
    const char *payload;
    enum chunk_result result;
};

static void check_coded(void *user, const struct cut *cut)
{
    const struct coded *coded = user;
    size_t total = strlen(coded->input), got = 0;
    enum chunk_result result = CHUNK_MORE;
    struct chunk chunk = {0};
    struct guard guard;
    char payload[256];

    guard_init(&guard, total + 1);
    for (size_t from = 0, to; from < total && result == CHUNK_MORE; from = to) {
        const char *p, *run;
        size_t n, len;
        to = cut_next(cut, from, total);
        n = to - from;
        p = guard_copy(&guard, coded->input + from, n);
        while ((result = chunk_next(&chunk, &p, &n, &run, &len)) == CHUNK_RUN) {
            memcpy(payload + got, run, len);
            got += len;
        }
    }
    payload[got] = '\0';
    assert_int_equal(result, coded->result);
    assert_string_equal(payload, coded->payload);
    guard_finish(&guard);
}

static void test_chunks(void **state)
{
    static struct coded all[] = {
        {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", CHUNK_END},
        {"00000A;x=y\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\nrest", "0123456789", CHUNK_END},
        {"5\nhello\n0\n\n", "hello", CHUNK_END},
        {"5\r\nhel", "hel", CHUNK_MORE},
        {"5\r\nhellox", "hello", CHUNK_BAD},
        {"\r\n", "", CHUNK_BAD},
        {"x\r\n", "", CHUNK_BAD},
        {"1234567890abcdef0\r\n", "", CHUNK_BAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cut_each_way(strlen(all[i].input), check_coded, &all[i]);
}

static void test_json_values(void **state)
{
    static const char *const right[] = {"1",
                                        "-0",
                                        "1.10",
                                        "12345678901234567890",
                                        "1e999",
                                        "1E-2",
                                        "true",
                                        "null",
                                        "\"\"",
                                        "\"a\\u00e4\\n\"",
                                        "[]",
                                        "{}",
                                        " [ 1 , {\"a\" : [ ] } ] \n",
                                        "{\"a\":1,\"a\":2}"};
    static const char *const wrong[] = {"",      " ",         "01",          "1.",     ".5",         "-",
                                        "1e",    "+1",        "tru",         "truex",  "nul",        "'a'",
                                        "\"",    "\"\\x\"",   "\"\\u12g4\"", "\"\t\"", "[1,]",       "[,1]",
                                        "[1 2]", "{\"a\"}",   "{\"a\":}",    "{a:1}",  "{\"a\":1,}", "[}",
                                        "[1",    "1,\"x\":2", "1 2",         "]"};
    char deep[JSONTEXT_DEPTH * 2 + 2];
    struct guard guard;

    (void)state;
    guard_init(&guard, 64);
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        size_t len = strlen(right[i]);
        if (!jsontext_is_value(guard_copy(&guard, right[i], len), len))
            fail_msg("%s was refused", right[i]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t len = strlen(wrong[i]);
        if (jsontext_is_value(guard_copy(&guard, wrong[i], len), len))
            fail_msg("%s was taken", wrong[i]);
    }
    guard_finish(&guard);
    memset(deep, '[', sizeof deep);
    memset(deep + JSONTEXT_DEPTH, ']', JSONTEXT_DEPTH);
    assert_true(jsontext_is_value(deep, JSONTEXT_DEPTH * 2));
    memset(deep, '[', JSONTEXT_DEPTH + 1);
    memset(deep + JSONTEXT_DEPTH + 1, ']', JSONTEXT_DEPTH + 1);
    assert_false(jsontext_is_value(deep, JSONTEXT_DEPTH * 2 + 2));
}

static void test_json_strings(void **state)
{
    static const char text[] = "a\"\\\n\x7f\xc3\xa4\xff\xed\xa0\x80z\0y";
    char *out;
    size_t len;
    FILE *file = open_memstream(&out, &len);

    (void)state;
    jsontext_put_string(file, text, sizeof text - 1);
    jsontext_put_value(file, "[1,\r\n 2]", 9);
    fclose(file);
    assert_string_equal(
        out,
        "\"a\\\"\\\\\\u000a\\u007f\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\\u0000y\"[1, 2]");
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_heads),       cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_json_values), cmocka_unit_test(test_json_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
