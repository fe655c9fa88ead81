/* SPDX-License-Identifier: MIT
 *
 * seal_system_calls() of seal.h: libseccomp makes a program for the kernel of a list of what is allowed.
 * Looking up names may load libraries and start threads, so files may be mapped to be run and threads be
 * started, as long as nothing that was written can be run and no process is made.
 */
#include "seal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifdef TIDINGS_SECCOMP

#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Names and not numbers: a system that lacks one, or whose library does not know it, does without. */
static const char *const allowed[] = {
    /* bytes */
    "read",
    "readv",
    "write",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "lseek",
    "close",
    "fcntl",
    "dup",
    "pipe2",
    "eventfd2",
    /* sockets */
    "accept",
    "accept4",
    "bind",
    "connect",
    "listen",
    "shutdown",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "sendto",
    "sendmsg",
    "sendmmsg",
    /* waiting */
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "futex",
    "nanosleep",
    "clock_nanosleep",
    "sched_yield",
    "restart_syscall",
    /* files: those of the store, of settings and certificates, and what names are looked up with */
    "open",
    "openat",
    "stat",
    "fstat",
    "lstat",
    "newfstatat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getdents64",
    "getcwd",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "unlink",
    "unlinkat",
    "flock",
    "fchmod",
    "statfs",
    "fstatfs",
    "fadvise64",
    /* memory; mmap and mprotect have rules of their own */
    "munmap",
    "mremap",
    "madvise",
    "brk",
    /* time, chance, and who one is */
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "time",
    "getrandom",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "uname",
    "sysinfo",
    "getrusage",
    "getrlimit",
    "sched_getaffinity",
    "getcpu",
    /* signals, threads, the end */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sigaltstack",
    "set_robust_list",
    "set_tid_address",
    "rseq",
    "membarrier",
    "exit",
    "exit_group",
};

#define ALLOW(context, call, ...) seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(call), __VA_ARGS__)

static int allow_names(scmp_filter_ctx context)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof allowed / sizeof *allowed; i++) {
        int call = seccomp_syscall_resolve_name(allowed[i]);
        if (call != __NR_SCMP_ERROR)
            rc = seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0);
    }
    return rc;
}

static int allow_sockets(scmp_filter_ctx context)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    int rc = ALLOW(context, socketpair, 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));

    for (size_t i = 0; rc == 0 && i < sizeof families / sizeof *families; i++)
        rc = ALLOW(context, socket, 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    return rc;
}

static int allow_controls(scmp_filter_ctx context)
{
    static const unsigned long requests[] = {FIONBIO, FIONREAD, TCGETS, TIOCGWINSZ};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof requests / sizeof *requests; i++)
        rc = ALLOW(context, ioctl, 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, requests[i]));
    return rc;
}

/* Written or run, but not both, and not one after the other. */
static int allow_memory(scmp_filter_ctx context)
{
    int rc = ALLOW(context, mmap, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0));

    rc = rc == 0 ? ALLOW(context, mmap, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) : rc;
    return rc == 0 ? ALLOW(context, mprotect, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) : rc;
}

/* Threads of this process. Flags of clone3() lie in memory, where a filter cannot look; told that there is
 * none, glibc takes clone(). */
static int allow_threads(scmp_filter_ctx context)
{
    const scmp_datum_t thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
    const scmp_datum_t forbidden = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                   CLONE_NEWUTS | CLONE_NEWCGROUP;
    int rc = ALLOW(context, clone, 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread | forbidden, thread));

    rc = rc == 0 ? seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) : rc;
    rc = rc == 0 ? ALLOW(context, prctl, 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)) : rc;
    /* abort() of this process; others are not to be ended */
    rc = rc == 0 ? ALLOW(context, tgkill, 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) : rc;
    return rc == 0 ? ALLOW(context, prlimit64, 1, SCMP_A2(SCMP_CMP_EQ, 0)) : rc; /* asking, not setting */
}

static int fill(scmp_filter_ctx context)
{
    int rc = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1);

    rc = rc == 0 ? seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2) : rc; /* a tree: there are many */
    rc = rc == 0 ? allow_names(context) : rc;
    rc = rc == 0 ? allow_sockets(context) : rc;
    rc = rc == 0 ? allow_controls(context) : rc;
    rc = rc == 0 ? allow_memory(context) : rc;
    return rc == 0 ? allow_threads(context) : rc;
}

int seal_system_calls(char *error)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = context ? fill(context) : -ENOMEM;

    rc = rc == 0 ? seccomp_load(context) : rc;
    if (context)
        seccomp_release(context);
    if (rc < 0)
        snprintf(error, SEAL_ERROR_MAX, "cannot limit the system calls: %s", strerror(-rc));
    return rc < 0 ? -1 : 0;
}

#else

int seal_system_calls(char *error)
{
    snprintf(error, SEAL_ERROR_MAX, "this program was built without libseccomp");
    return -1;
}

#endif
