/* SPDX-License-Identifier: MIT
 *
 * guard - a mapping whose last page is PROT_NONE, and the ways to cut an input.
 *
 *      base                        copy            end
 *      |....... room ..............|<-- n bytes -->|###### PROT_NONE ######|
 */
#include "guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void guard_init(struct guard *g, size_t n)
{
    g->page = (size_t)sysconf(_SC_PAGESIZE);
    g->room = (n / g->page + 1) * g->page;
    g->base = mmap(NULL, g->room + g->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->base == MAP_FAILED || mprotect(g->base + g->room, g->page, PROT_NONE)) {
        perror("guard_init");
        abort();
    }
}

void guard_finish(struct guard *g)
{
    munmap(g->base, g->room + g->page);
}

char *guard_copy(struct guard *g, const void *p, size_t n)
{
    char *copy = g->base + g->room - n;

    if (n > g->room)
        abort();
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

size_t cut_next(const struct cut *cut, size_t from, size_t n)
{
    size_t piece = from == 0 ? cut->first : cut->step;

    return piece < n - from ? from + piece : n;
}

void cut_each_way(size_t n, cut_check *check, void *user)
{
    struct cut whole = {n, n}, bytes = {1, 1};

    check(user, &whole);
    check(user, &bytes);
    for (size_t at = 1; at < n; at++) {
        struct cut two = {at, n};

        check(user, &two);
    }
}
