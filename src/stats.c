/* SPDX-License-Identifier: MIT
 *
 * stats - see stats.h.
 */
#include "stats.h"

void stats_sum(uint64_t sum[STATS_COUNT], const struct stats *from)
{
    unsigned i = 0;
#define STATS_ADD(field, name, labels, help)                                                                 \
    sum[i++] += atomic_load_explicit(&from->field, memory_order_relaxed);
    STATS_MAP(STATS_ADD)
#undef STATS_ADD
}
