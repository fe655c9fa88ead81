/* SPDX-License-Identifier: MIT
 *
 * test_agents - one text for all who send the same, cleaned and cut.
 */
#include "agents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static unsigned held(const struct agents *a)
{
    unsigned n = 0;

    for (unsigned i = 0; i < AGENTS_BUCKETS; i++)
        for (const struct agent *at = a->buckets[i]; at; at = at->next)
            n++;
    return n;
}

static void test_shared(void **state)
{
    struct agents a;
    char copy[] = "Mozilla/5.0";

    (void)state;
    agents_init(&a);
    struct agent *first = agents_ref(&a, SPAN("Mozilla/5.0"));
    struct agent *again = agents_ref(&a, span_of(copy));
    struct agent *other = agents_ref(&a, SPAN("Mozilla/5.1"));

    assert_non_null(first);
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, other);
    assert_string_equal(first->text, "Mozilla/5.0");
    agents_unref(&a, first);
    assert_int_equal(held(&a), 2);
    assert_string_equal(again->text, "Mozilla/5.0");
    agents_unref(&a, again);
    assert_int_equal(held(&a), 1);
    agents_unref(&a, other);
    assert_int_equal(held(&a), 0);
    agents_finish(&a);
}

static void test_nothing(void **state)
{
    struct agents a;

    (void)state;
    agents_init(&a);
    assert_null(agents_ref(&a, (struct span){0}));
    assert_null(agents_ref(&a, SPAN("")));
    agents_unref(&a, NULL);
    agents_finish(&a);
}

static void test_cut(void **state)
{
    struct agents a;
    char text[300];

    (void)state;
    memset(text, 'a', sizeof(text));
    agents_init(&a);
    struct agent *exact = agents_ref(&a, (struct span){text, AGENTS_TEXT_MAX});
    struct agent *longer = agents_ref(&a, (struct span){text, sizeof(text)});
    struct agent *shorter = agents_ref(&a, (struct span){text, AGENTS_TEXT_MAX - 1});

    assert_int_equal(strlen(exact->text), AGENTS_TEXT_MAX);
    assert_ptr_equal(exact, longer);
    assert_ptr_not_equal(exact, shorter);
    assert_int_equal(strlen(shorter->text), AGENTS_TEXT_MAX - 1);
    agents_finish(&a); /* frees what is still held */
}

static void test_clean(void **state)
{
    struct agents a;

    (void)state;
    agents_init(&a);
    struct agent *agent = agents_ref(&a, SPAN("a\tb\x7f\0c\xc3\xa9 ~\r\nX: y"));

    assert_string_equal(agent->text, "a?b??c?? ~??X: y");
    agents_finish(&a);
}

static void test_many(void **state)
{
    static struct agent *all[5000];
    struct agents a;
    char text[32];

    (void)state;
    agents_init(&a);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "agent/%u", i);
        all[i] = agents_ref(&a, span_of(text));
    }
    assert_int_equal(held(&a), 5000);
    for (unsigned i = 0; i < 5000; i += 2)
        agents_unref(&a, all[i]);
    for (unsigned i = 1; i < 5000; i += 2) {
        snprintf(text, sizeof(text), "agent/%u", i);
        assert_ptr_equal(agents_ref(&a, span_of(text)), all[i]);
        agents_unref(&a, all[i]);
        agents_unref(&a, all[i]);
    }
    assert_int_equal(held(&a), 0);
    agents_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared), cmocka_unit_test(test_nothing), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_clean),  cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests_name("agents", tests, NULL, NULL);
}
