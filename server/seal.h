/* SPDX-License-Identifier: MIT
 *
 * seal - what the process can do is taken away from it, for good, as soon as it is not needed any more:
 *
 *     seal_process() ─> seal_become() ─> (files read, threads started, sockets bound) ─> seal_bound() ─>
 *     (loops started) ─> seal_system_calls()
 *
 * All of them are called by the process's first thread. Each returns 0, or -1 with one line in error.
 */
#ifndef SEAL_H
#define SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SEAL_ERROR_MAX 256

/* Who to become. */
struct seal_user {
    char name[64];
    uid_t uid;
    gid_t gid;
    bool given; /* false: stay who the process is */
};

/* Looks up "NAME" or "NAME:GROUP"; without a group it is the user's own. NULL is nobody in particular. The
 * superuser is refused. */
int seal_find_user(struct seal_user *user, const char *text, char *error);

/* Before any other thread exists: programs with more rights are never gained by starting them (no_new_privs),
 * and who is not root keeps no capability but that of low ports. */
int seal_process(char *error);

/* Before any other thread exists: becomes user with all of his groups, as far as files are concerned for
 * good. Until seal_bound() the process may read every file, as keys may be root's alone, and bind low ports.
 * Only root can; for who is that user already nothing happens. */
int seal_become(const struct seal_user *user, char *error);

/* All threads lose what seal_become() left them. */
int seal_bound(const struct seal_user *user, char *error);

/* Can files beside this one be made and removed, as a store and a socket need it? Asked after seal_bound(),
 * when it is the user alone who is asked about. */
int seal_check_place(const struct seal_user *user, const char *path, char *error);

/* All threads, also those to come, have only the system calls that a hub needs; others are answered with
 * EPERM. Sockets are local or of the Internet, no mapping can be written and run, no program is started; what
 * was written to a file can still be mapped to be run (decision 031). -1 also where the program was built
 * without libseccomp. */
int seal_system_calls(char *error);

#endif
