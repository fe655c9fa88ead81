/* SPDX-License-Identifier: MIT
 *
 * guard - input for parsers under attack: bytes that end exactly where readable memory ends, so that one byte
 * of over-read stops the test, and the same bytes cut in every way that a network may cut them.
 */
#ifndef GUARD_H
#define GUARD_H

#include <stddef.h>

/* Memory whose last byte is followed by a page that nobody may touch. */
struct guard {
    char *base;  /* of the mapping */
    size_t room; /* usable bytes */
    size_t page;
};

/* Room for n bytes. Ends the test if there is no memory. */
void guard_init(struct guard *g, size_t n);
void guard_finish(struct guard *g);

/* Copies n bytes (n <= room) so that they end at the forbidden page. The copy may be written to; the next
 * call overwrites it. */
char *guard_copy(struct guard *g, const void *p, size_t n);

/* One way to cut: `first` bytes, then pieces of `step` bytes. */
struct cut {
    size_t first;
    size_t step;
};

/* Where the piece ends that begins at `from`, of n bytes in all. */
size_t cut_next(const struct cut *cut, size_t from, size_t n);

/* Runs check for n bytes whole, byte by byte, and in two pieces at every place. */
typedef void cut_check(void *user, const struct cut *cut);
void cut_each_way(size_t n, cut_check *check, void *user);

#endif
