/* SPDX-License-Identifier: MIT
 *
 * fault - memory that runs out on purpose. Programs linked with -Wl,--wrap=malloc,… have their allocations
 * counted here; one of them, or all from one on, can be told to fail. In other programs this room does
 * nothing. What the simulation and the test allocate for themselves is excepted by pausing. One thread only.
 */
#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>

/* From now on count; the n-th allocation fails (1 = the next one), and so do those behind it, `times` in all.
 * n = 0: none fails. */
void fault_arm(long n, long times);

/* Counts no more, fails no more. */
void fault_disarm(void);

/* Allocations counted since fault_arm(). */
long fault_count(void);

/* Has one been failed since fault_arm()? */
bool fault_hit(void);

/* Allocations between these two are the test's own. They nest. */
void fault_pause(void);
void fault_resume(void);

#endif
