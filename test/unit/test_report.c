/* SPDX-License-Identifier: MIT
 *
 * test_report - one record, to whoever listens.
 */
#include "report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct tidings_log_record seen;
static int count;

static void take(void *user, const struct tidings_log_record *record)
{
    assert_ptr_equal(user, &count);
    seen = *record;
    count++;
}

static void test_reports(void **state)
{
    const struct report r = {.log = take, .user = &count};
    const struct tidings_log_field fields[] = {REPORT_TEXT("to", "ada"), REPORT_NUMBER("n", 7)};

    (void)state;
    count = 0;
    report(&r, TIDINGS_LOG_WARN, "refuse", "for people", fields, 2);
    assert_int_equal(count, 1);
    assert_int_equal(seen.level, TIDINGS_LOG_WARN);
    assert_string_equal(seen.event, "refuse");
    assert_string_equal(seen.message, "for people");
    assert_int_equal(seen.field_count, 2);
    assert_string_equal(seen.fields[0].name, "to");
    assert_string_equal(seen.fields[0].text, "ada");
    assert_null(seen.fields[1].text);
    assert_int_equal(seen.fields[1].number, 7);
    report(&r, TIDINGS_LOG_ERROR, "e", "m", NULL, 0);
    assert_int_equal(seen.field_count, 0);
}

static void test_nobody(void **state)
{
    const struct report r = {0};

    (void)state;
    report(&r, TIDINGS_LOG_INFO, "e", "m", NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_nobody),
    };

    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
