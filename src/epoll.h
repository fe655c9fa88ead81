/* SPDX-License-Identifier: MIT
 *
 * epoll - the io of Linux: level-triggered epoll and an eventfd to wake it. (docs/decisions/002-epoll.md says
 * why not io_uring.)
 */
#ifndef EPOLL_H
#define EPOLL_H

#include "io.h"

/* A new io, the caller's, or NULL with errno. */
struct io *epoll_create_io(void);

/* Descriptors that are still watched are the caller's to close before. NULL is fine. */
void epoll_destroy_io(struct io *io);

#endif
