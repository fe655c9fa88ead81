/* SPDX-License-Identifier: MIT
 *
 * test_stats - sums of several sets, and the one list that names them.
 */
#include "stats.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *field, *name, *labels, *help;
} rows[] = {
#define ROW(field, name, labels, help) {#field, name, labels, help},
    STATS_MAP(ROW)
#undef ROW
};

static void test_sum(void **state)
{
    static struct stats a, b;
    uint64_t sum[STATS_COUNT] = {0};
    _Atomic uint64_t *all = (_Atomic uint64_t *)&a;

    (void)state;
    for (unsigned i = 0; i < STATS_COUNT; i++)
        stats_add(&all[i], i + 1);
    stats_add(&a.accepted, 0);
    stats_add(&b.accepted, 1000);
    stats_add(&b.closed_error, UINT64_C(1) << 40);
    stats_sum(sum, &a);
    stats_sum(sum, &b);
    assert_int_equal(sum[0], 1001);
    for (unsigned i = 1; i < STATS_COUNT - 1; i++)
        assert_int_equal(sum[i], i + 1); /* in the order of the list */
    assert_int_equal(sum[STATS_COUNT - 1], (UINT64_C(1) << 40) + STATS_COUNT);
}

static bool is_metric_name(const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)name[i]) && name[i] != '_' && !isdigit((unsigned char)name[i]))
            return false;
    return strncmp(name, "tidings_", 8) == 0 && n > 6 && strcmp(name + n - 6, "_total") == 0;
}

/* What Prometheus wants: counters end in _total, lines of one name stand together and only the first has a
 * help text, and no two rows are the same series. */
static void test_names(void **state)
{
    (void)state;
    assert_int_equal(sizeof(rows) / sizeof(rows[0]), STATS_COUNT);
    for (unsigned i = 0; i < STATS_COUNT; i++) {
        bool first = i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0;

        assert_true(is_metric_name(rows[i].name));
        assert_int_equal(rows[i].help[0] != '\0', first);
        for (unsigned k = 0; k < i; k++) {
            assert_false(strcmp(rows[i].name, rows[k].name) == 0 &&
                         strcmp(rows[i].labels, rows[k].labels) == 0);
            assert_false(first && strcmp(rows[i].name, rows[k].name) == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
