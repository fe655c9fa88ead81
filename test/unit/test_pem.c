/* SPDX-License-Identifier: MIT
 *
 * test_pem - public keys in every armour they come in, and what is none.
 */
#include "mint.h"
#include "pem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cmocka.h>

#define P256 SPAN("\x2a\x86\x48\xce\x3d\x03\x01\x07")

static EVP_PKEY *rsa, *ec;

static int set_up(void **state)
{
    (void)state;
    rsa = mint_rsa(2048);
    ec = mint_ec("P-256");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return 0;
}

/* The text of a BIO, which is freed. */
static char *text_of(BIO *bio)
{
    char *at, *text;
    long n = BIO_get_mem_data(bio, &at);
    text = calloc(1, (size_t)n + 1);
    assert_non_null(text);
    memcpy(text, at, (size_t)n);
    BIO_free(bio);
    return text;
}

static char *certificate_of(EVP_PKEY *key, long version)
{
    X509 *certificate = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    X509_set_version(certificate, version);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1000);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"issuer.example", -1, -1, 0);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    X509_free(certificate);
    return text_of(bio);
}

/* "RSA PUBLIC KEY", as PKCS #1 has it. */
static char *pkcs1_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int len = i2d_PublicKey(key, &der);
    assert_true(len > 0);
    assert_true(PEM_write_bio(bio, PEM_STRING_RSA_PUBLIC, "", der, len) > 0);
    OPENSSL_free(der);
    return text_of(bio);
}

static void expect_number(const char *name, struct span bytes)
{
    BIGNUM *wanted = NULL, *got = BN_bin2bn((const unsigned char *)bytes.p, (int)bytes.len, NULL);
    assert_int_equal(EVP_PKEY_get_bn_param(rsa, name, &wanted), 1);
    assert_int_equal(BN_cmp(wanted, got), 0);
    BN_free(wanted);
    BN_free(got);
}

/* Takes the text. */
static void expect_rsa(char *text)
{
    struct pem_key key;
    assert_int_equal(pem_read(&key, span_of(text)), PEM_RSA);
    expect_number(OSSL_PKEY_PARAM_RSA_N, key.modulus);
    expect_number(OSSL_PKEY_PARAM_RSA_E, key.exponent);
    pem_finish(&key);
    free(text);
}

static void expect_ec(char *text)
{
    unsigned char point[65];
    size_t len;
    struct pem_key key;
    assert_int_equal(pem_read(&key, span_of(text)), PEM_EC);
    assert_int_equal(EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len),
                     1);
    assert_true(span_eq(key.curve, P256));
    assert_true(span_eq(key.point, (struct span){(const char *)point, len}));
    pem_finish(&key);
    free(text);
}

static void test_armours(void **state)
{
    (void)state;
    expect_rsa(mint_pem(rsa));
    expect_rsa(pkcs1_of(rsa));
    expect_rsa(certificate_of(rsa, 2));
    expect_rsa(certificate_of(rsa, 0));
    expect_ec(mint_pem(ec));
    expect_ec(certificate_of(ec, 2));
}

/* Whatever stands before the first key, and behind it, is passed over. */
static void test_other_blocks(void **state)
{
    (void)state;
    char *pem = mint_pem(ec), *other = mint_pem(rsa), *text = malloc(8000);
    snprintf(
        text, 8000,
        "a key of the issuer\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        "%s%s",
        pem, other);
    expect_ec(text);
    free(pem);
    free(other);
}

static void expect_kind(const char *text, enum pem_kind wanted)
{
    struct pem_key key;
    enum pem_kind kind = pem_read(&key, span_of(text));
    if (kind != wanted)
        fail_msg("%d for %s", kind, text);
    pem_finish(&key);
}

static void test_none(void **state)
{
    (void)state;
    static const char *const none[] = {
        "",
        "nothing",
        "-----BEGIN PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN RSA PUBLIC KEY-----\nMAA=\n-----END RSA PUBLIC KEY-----\n",
        "-----BEGIN RSA PUBLIC KEY-----\nMAYCAf8CAQM=\n-----END RSA PUBLIC KEY-----\n", /* a negative number
                                                                                         */
        "-----BEGIN RSA PUBLIC KEY-----\nMAgCAQ8CAQMFAA==\n-----END RSA PUBLIC KEY-----\n", /* a third thing
                                                                                             */
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"};
    for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        expect_kind(none[i], PEM_NONE);
    EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *pem = mint_pem(ed);
    expect_kind(pem, PEM_OTHER);
    free(pem);
    EVP_PKEY_free(ed);
}

/* Cut at every byte, and every byte another: what is read ends where the text ends. */
static void test_bent(void **state)
{
    (void)state;
    char *texts[] = {mint_pem(ec), certificate_of(ec, 2), pkcs1_of(rsa)};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *name, *header;
        unsigned char *der;
        long len;
        BIO *bio = BIO_new_mem_buf(texts[i], -1);
        assert_int_equal(PEM_read_bio(bio, &name, &header, &der, &len), 1);
        BIO_free(bio);
        for (long at = 0; at < len; at++)
            for (unsigned way = 0; way < 3; way++) {
                struct pem_key key;
                bio = BIO_new(BIO_s_mem());
                der[at] ^= way == 0 ? 0 : way == 1 ? 0x80 : 0x7f;
                PEM_write_bio(bio, name, "", der, way == 0 ? at : len);
                der[at] ^= way == 0 ? 0 : way == 1 ? 0x80 : 0x7f;
                char *bent = text_of(bio);
                enum pem_kind kind = pem_read(&key, span_of(bent));
                assert_true(way > 0 ? kind != PEM_MEMORY : kind == PEM_NONE);
                pem_finish(&key);
                free(bent);
            }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(der);
        free(texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_armours),
        cmocka_unit_test(test_other_blocks),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_bent),
    };
    return cmocka_run_group_tests_name("pem", tests, set_up, tear_down);
}
