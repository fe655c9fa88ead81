/* SPDX-License-Identifier: MIT
 *
 * fault - see fault.h. The functions named __wrap_* are what the linker puts in the place of malloc and its
 * kin where it was asked to; the __real_* behind them exist only there.
 */
#include "fault.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static struct {
    bool armed;
    long times;
    bool hit;
    int paused;
    long n;
    long count;
} fault;

void fault_arm(long n, long times)
{
    fault.armed = true;
    fault.times = times;
    fault.hit = false;
    fault.n = n;
    fault.count = 0;
}

void fault_disarm(void)
{
    fault.armed = false;
}

long fault_count(void)
{
    return fault.count;
}

bool fault_hit(void)
{
    return fault.hit;
}

void fault_pause(void)
{
    fault.paused++;
}

void fault_resume(void)
{
    fault.paused--;
}

/* The place for a breakpoint: here an allocation fails. */
static bool refuse(void)
{
    fault.hit = true;
    errno = ENOMEM;
    return true;
}

static bool fails(void)
{
    if (!fault.armed || fault.paused > 0)
        return false;
    fault.count++;
    if (fault.n == 0 || fault.count < fault.n || fault.count - fault.n >= fault.times)
        return false;
    return refuse();
}

#define WEAK __attribute__((weak))
void *__real_malloc(size_t n) WEAK;
void *__real_calloc(size_t n, size_t size) WEAK;
void *__real_realloc(void *p, size_t n) WEAK;
void *__real_aligned_alloc(size_t align, size_t n) WEAK;
void __real_free(void *p) WEAK;
char *__real_strdup(const char *s) WEAK;
char *__real_strndup(const char *s, size_t n) WEAK;

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(align, n);
}

void __wrap_free(void *p)
{
    __real_free(p);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return fails() ? NULL : __real_strndup(s, n);
}
