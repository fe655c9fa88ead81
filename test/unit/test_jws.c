/* SPDX-License-Identifier: MIT
 *
 * test_jws - which numbers are keys, and what a key may verify. What is signed by whom, and how it is bent,
 * is in test_token and test_token_hostile.
 */
#include "jws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include <cmocka.h>

static enum jws_result rsa_key(unsigned bytes, unsigned char first, unsigned char last, struct span e)
{
    char n[2048];
    struct jws_key *key = NULL;
    memset(n, 0x5a, sizeof(n));
    n[0] = (char)first;
    n[bytes - 1] = (char)last;
    enum jws_result result = jws_key_of_rsa(&key, (struct span){n, bytes}, e);
    assert_int_equal(result == JWS_FINE, key != NULL);
    jws_key_destroy(key);
    return result;
}

static void test_rsa_keys(void **state)
{
    (void)state;
    struct span e = SPAN("\x01\x00\x01");
    assert_int_equal(rsa_key(256, 0x80, 1, e), JWS_FINE);
    assert_int_equal(rsa_key(256, 0x7f, 1, e), JWS_WRONG); /* 2047 bits */
    assert_int_equal(rsa_key(257, 0x00, 1, e), JWS_WRONG); /* 0x5a: 2047 bits behind the zero */
    assert_int_equal(rsa_key(1024, 0xff, 1, e), JWS_FINE);
    assert_int_equal(rsa_key(1025, 0x01, 1, e), JWS_WRONG); /* 8193 bits */
    assert_int_equal(rsa_key(256, 0x80, 2, e), JWS_WRONG);  /* even */
    assert_int_equal(rsa_key(256, 0x80, 1, SPAN("\x03")), JWS_FINE);
    assert_int_equal(rsa_key(256, 0x80, 1, SPAN("\x00\x03")), JWS_FINE);
    assert_int_equal(rsa_key(256, 0x80, 1, SPAN("\x01")), JWS_WRONG); /* everybody can sign */
    assert_int_equal(rsa_key(256, 0x80, 1, SPAN("\x00\x00\x01")), JWS_WRONG);
    assert_int_equal(rsa_key(256, 0x80, 1, SPAN("\x02")), JWS_WRONG);
    assert_int_equal(rsa_key(256, 0x80, 1, SPAN("\x00")), JWS_WRONG);
    assert_int_equal(rsa_key(256, 0x80, 1, SPAN("")), JWS_WRONG);
}

/* The generator of P-256, compressed, and its coordinates. */
#define GX                                                                                                   \
    "\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4"   \
    "\xa1\x39\x45\xd8\x98\xc2\x96"
#define GY                                                                                                   \
    "\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb"   \
    "\xb6\x40\x68\x37\xbf\x51\xf5"

static enum jws_result ec_key(unsigned curve, struct span point)
{
    struct jws_key *key = NULL;
    enum jws_result result = jws_key_of_ec(&key, curve, point);
    assert_int_equal(result == JWS_FINE, key != NULL);
    assert_int_equal(ERR_peek_error(), 0);
    jws_key_destroy(key);
    return result;
}

static void test_ec_keys(void **state)
{
    (void)state;
    assert_int_equal(ec_key(256, SPAN("\x04" GX GY)), JWS_FINE);
    assert_int_equal(ec_key(256, SPAN("\x03" GX)), JWS_FINE);
    assert_int_equal(ec_key(256, SPAN("\x04" GX GX)), JWS_WRONG); /* not on the curve */
    assert_int_equal(ec_key(256, SPAN("\x04" GY GX)), JWS_WRONG);
    assert_int_equal(ec_key(256, SPAN("\x05" GX GY)), JWS_WRONG);
    assert_int_equal(ec_key(256, SPAN("\x00")), JWS_WRONG); /* infinity: everybody can sign */
    assert_int_equal(ec_key(256, SPAN("\x00" GX)), JWS_WRONG);
    assert_int_equal(ec_key(256, SPAN("")), JWS_WRONG);
    assert_int_equal(ec_key(384, SPAN("\x04" GX GY)), JWS_WRONG);
    assert_int_equal(ec_key(521, SPAN("\x04" GX GY)), JWS_WRONG);
    char beyond[65];
    memset(beyond, 0xff, sizeof(beyond)); /* coordinates beyond the field */
    beyond[0] = 4;
    assert_int_equal(ec_key(256, (struct span){beyond, sizeof(beyond)}), JWS_WRONG);
    memset(beyond + 1, 0, sizeof(beyond) - 1);
    assert_int_equal(ec_key(256, (struct span){beyond, sizeof(beyond)}), JWS_WRONG);
}

static void test_bound(void **state)
{
    (void)state;
    struct jws_key *secret, *ec;
    assert_int_equal(jws_key_of_secret(&secret, SPAN("")), JWS_WRONG);
    assert_int_equal(jws_key_of_secret(&secret, SPAN("x")), JWS_FINE);
    assert_int_equal(jws_key_of_ec(&ec, 256, SPAN("\x04" GX GY)), JWS_FINE);
    for (enum jws_algorithm a = JWS_NO_ALGORITHM; a <= JWS_ES512; a++) {
        assert_int_equal(jws_is_bound(secret, a), a == JWS_HS256 || a == JWS_HS384 || a == JWS_HS512);
        assert_int_equal(jws_is_bound(ec, a), a == JWS_ES256);
    }
    jws_key_destroy(secret);
    jws_key_destroy(ec);
    jws_key_destroy(NULL);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(jws_algorithm_of(SPAN("PS384")), JWS_PS384);
    assert_int_equal(jws_algorithm_of(SPAN("none")), JWS_NO_ALGORITHM);
    assert_int_equal(jws_algorithm_of(SPAN("")), JWS_NO_ALGORITHM);
    assert_int_equal(jws_algorithm_of((struct span){0}), JWS_NO_ALGORITHM);
    assert_int_equal(jws_algorithm_of(SPAN("hs256")), JWS_NO_ALGORITHM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rsa_keys),
        cmocka_unit_test(test_ec_keys),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("jws", tests, NULL, NULL);
}
