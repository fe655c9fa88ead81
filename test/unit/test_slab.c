/* SPDX-License-Identifier: MIT
 *
 * test_slab - the lowest free place first, chunks given back, walks, the ceiling; and all of it against a
 * plain array, with random takes and gives.
 */
#include "slab.h"

#include "rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void take_all(struct slab *s, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = SLAB_NONE;
        unsigned char *object = slab_take(s, &index);

        assert_non_null(object);
        assert_int_equal(index, first + i);
        memset(object, 0xee, s->size);
    }
}

static void test_empty(void **state)
{
    struct slab s;

    (void)state;
    slab_init(&s, 1, 10);
    assert_int_equal(s.size, 64); /* whole cache lines */
    assert_int_equal(slab_end(&s), 0);
    assert_null(slab_get(&s, 0));
    assert_null(slab_get(&s, SLAB_NONE));
    assert_null(slab_chunk_at(&s, 0));
    slab_finish(&s);
    slab_finish(&s);
    assert_int_equal(s.max, 10); /* and usable again */
    take_all(&s, 0, 1);
    slab_finish(&s);
}

static void test_objects_are_lines_and_zeroed(void **state)
{
    struct slab s;
    uint32_t index;
    static const char zero[128];

    (void)state;
    slab_init(&s, 65, 100);
    assert_int_equal(s.size, 128);
    for (unsigned round = 0; round < 3; round++) {
        char *object = slab_take(&s, &index);

        assert_int_equal((uintptr_t)object % 64, 0);
        assert_memory_equal(object, zero, sizeof(zero));
        memset(object, 'x', 128);
        if (round == 0)
            slab_take(&s, &index); /* keeps the chunk */
        slab_give(&s, 0);
        assert_memory_equal(object, zero, sizeof(zero)); /* walks see zeroes in free places */
    }
    slab_finish(&s);
}

static void test_lowest_first(void **state)
{
    static const uint32_t holes[] = {1500, 3, 511, 512, 64, 63, 1023};
    static const uint32_t filled[] = {3, 63, 64, 511, 512, 1023, 1500};
    struct slab s;
    uint32_t index;

    (void)state;
    slab_init(&s, 64, 10000);
    take_all(&s, 0, 4 * SLAB_CHUNK);
    for (unsigned i = 0; i < 7; i++)
        slab_give(&s, holes[i]);
    for (unsigned i = 0; i < 7; i++) {
        assert_non_null(slab_take(&s, &index));
        assert_int_equal(index, filled[i]);
    }
    assert_non_null(slab_take(&s, &index));
    assert_int_equal(index, 4 * SLAB_CHUNK);
    slab_finish(&s);
}

static void test_gives_chunks_back(void **state)
{
    struct slab s;

    (void)state;
    slab_init(&s, 64, 10000);
    take_all(&s, 0, 3 * SLAB_CHUNK + 1);
    assert_int_equal(slab_end(&s), 4 * SLAB_CHUNK);
    for (uint32_t i = SLAB_CHUNK; i < 2 * SLAB_CHUNK; i++)
        slab_give(&s, i); /* a hole in the middle stays */
    assert_int_equal(slab_end(&s), 4 * SLAB_CHUNK);
    assert_null(slab_chunk_at(&s, SLAB_CHUNK));
    assert_non_null(slab_chunk_at(&s, 0));
    slab_give(&s, 3 * SLAB_CHUNK);
    assert_int_equal(slab_end(&s), 3 * SLAB_CHUNK);
    assert_null(slab_get(&s, 3 * SLAB_CHUNK));
    for (uint32_t i = 2 * SLAB_CHUNK; i < 3 * SLAB_CHUNK; i++)
        slab_give(&s, i); /* both the last and the hole before it go */
    assert_int_equal(slab_end(&s), SLAB_CHUNK);
    assert_int_equal(s.used, SLAB_CHUNK);
    take_all(&s, SLAB_CHUNK, 2);
    for (uint32_t i = 0; i < SLAB_CHUNK + 2; i++)
        slab_give(&s, i);
    assert_int_equal(slab_end(&s), 0);
    slab_finish(&s);
}

static void test_ceiling(void **state)
{
    struct slab s;
    uint32_t index = 77;

    (void)state;
    slab_init(&s, 64, 3);
    take_all(&s, 0, 3);
    assert_null(slab_take(&s, &index));
    assert_int_equal(index, 77); /* written on success only */
    slab_give(&s, 1);
    assert_non_null(slab_take(&s, &index));
    assert_int_equal(index, 1);
    slab_finish(&s);
    slab_init(&s, 64, 0);
    assert_null(slab_take(&s, &index));
    slab_finish(&s);
}

static void test_objects_do_not_move(void **state)
{
    enum { COUNT = 20 * SLAB_CHUNK };
    static uint32_t *at[COUNT];
    struct slab s;
    uint32_t index;

    (void)state;
    slab_init(&s, 64, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        at[i] = slab_take(&s, &index);
        *at[i] = i;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(slab_get(&s, i), at[i]);
        assert_int_equal(*at[i], i);
        assert_ptr_equal(slab_chunk_at(&s, i), at[i - i % SLAB_CHUNK]);
    }
    assert_ptr_equal((char *)at[1], (char *)at[0] + 64); /* neighbours in number are neighbours in memory */
    slab_finish(&s);
}

enum { MODEL = 6 * SLAB_CHUNK };

static uint32_t lowest_free(const bool *used)
{
    uint32_t i = 0;

    while (i < MODEL && used[i])
        i++;
    return i;
}

static void compare(const struct slab *s, const bool *used)
{
    uint32_t count = 0, end = 0;

    for (uint32_t i = 0; i < MODEL; i++) {
        const uint32_t *object = slab_get(s, i);

        assert_int_equal(object != NULL, used[i]);
        if (!used[i])
            continue;
        assert_int_equal(*object, i + 1);
        count++;
        end = (i / SLAB_CHUNK + 1) * SLAB_CHUNK;
    }
    assert_int_equal(s->used, count);
    assert_int_equal(slab_end(s), end);
}

static void test_like_an_array(void **state)
{
    static bool used[MODEL];
    struct rng rng = {42};
    struct slab s;

    (void)state;
    slab_init(&s, 64, MODEL);
    for (unsigned step = 0; step < 60000; step++) {
        /* Tides: filling up for a while, then emptying. */
        bool take = rng_below(&rng, 100) < (step / 7000 % 2 ? 20u : 80u);
        uint32_t index = rng_below(&rng, MODEL);

        if (take) {
            uint32_t want = lowest_free(used);
            uint32_t *object = slab_take(&s, &index);
            assert_int_equal(object != NULL, want < MODEL);
            if (!object)
                continue;
            assert_int_equal(index, want);
            assert_int_equal(*object, 0);
            *object = index + 1;
            used[index] = true;
        } else if (used[index]) {
            slab_give(&s, index);
            used[index] = false;
        }
        if (step % 1000 == 0)
            compare(&s, used);
    }
    slab_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_objects_are_lines_and_zeroed),
        cmocka_unit_test(test_lowest_first),  cmocka_unit_test(test_gives_chunks_back),
        cmocka_unit_test(test_ceiling),       cmocka_unit_test(test_objects_do_not_move),
        cmocka_unit_test(test_like_an_array),
    };

    return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
