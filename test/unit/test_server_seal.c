/* SPDX-License-Identifier: MIT
 *
 * test_server_seal - each sealing happens in a process of its own, which then tries what it must not be able
 * to do any more, also from a thread that existed before. What only root can do is left out for others, and
 * the filter of system calls under sanitizers, which need more of them.
 */
#include "seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                                   \
    __has_feature(undefined_behavior_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- who ---- */

static void assert_nobody(const char *text, const char *expected)
{
    struct seal_user user;
    char error[SEAL_ERROR_MAX] = "";

    assert_int_equal(seal_find_user(&user, text, error), -1);
    if (!strstr(error, expected))
        fail_msg("\"%s\" does not say \"%s\"", error, expected);
}

static void test_find_user(void **state)
{
    struct seal_user user;
    char error[SEAL_ERROR_MAX];

    (void)state;
    assert_int_equal(seal_find_user(&user, NULL, error), 0);
    assert_false(user.given);
    assert_int_equal(seal_find_user(&user, "nobody", error), 0);
    assert_true(user.given);
    assert_int_equal(user.uid, 65534);
    assert_string_equal(user.name, "nobody");
    assert_int_equal(seal_find_user(&user, "nobody:daemon", error), 0);
    assert_int_equal(user.uid, 65534);
    assert_int_equal(user.gid, 1);
    assert_string_equal(user.name, "nobody");
    assert_nobody("", "is not NAME or NAME:GROUP");
    assert_nobody(":daemon", "is not NAME or NAME:GROUP");
    assert_nobody("a-user-that-is-not-there", "there is no such user");
    assert_nobody("nobody:", "there is no such group");
    assert_nobody("nobody:a-group-that-is-not-there", "there is no such group");
    assert_nobody("root", "the superuser");
    assert_nobody("nobody:root", "the superuser");
    assert_nobody("\033[31mred\n", "\"?[31mred?\": there is no such user");
    assert_nobody("a-name-that-is-longer-than-any-name-of-a-user-can-be-on-any-system-there-is",
                  "is not NAME");
}

/* ---- a process of its own ---- */

/* Runs body in a child; it returns the line in which something was wrong, or 0. */
static void in_child(int (*body)(void))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(body() & 0xff);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0)
        fail_msg("line … %d (of 256) of the child", WEXITSTATUS(status));
}
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            return __LINE__;                                                                                 \
    } while (0)
/* The call is refused, and not for another reason. */
#define CHECK_REFUSED(what)                                                                                  \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        if ((long)(what) != -1 || errno != EPERM)                                                            \
            return __LINE__;                                                                                 \
    } while (0)

/* A thread that exists before the sealing and does something after it. */
struct late {
    pthread_t thread;
    pthread_barrier_t barrier;
    int (*body)(void);
    int result;
};

static void *run_late(void *arg)
{
    struct late *late = arg;

    pthread_barrier_wait(&late->barrier);
    late->result = late->body();
    return NULL;
}

static int start_late(struct late *late, int (*body)(void))
{
    late->body = body;
    late->result = -1;
    pthread_barrier_init(&late->barrier, NULL, 2);
    return pthread_create(&late->thread, NULL, run_late, late);
}

static int finish_late(struct late *late)
{
    pthread_barrier_wait(&late->barrier);
    pthread_join(late->thread, NULL);
    return late->result;
}

/* ---- another user ---- */

static int open_for(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd;
}

static int has_no_rights(void)
{
    uid_t ids[3];

    CHECK(getresuid(&ids[0], &ids[1], &ids[2]) == 0);
    CHECK(ids[0] == 65534 && ids[1] == 65534 && ids[2] == 65534);
    CHECK(open_for("/etc/shadow", O_RDONLY) == -1 && errno == EACCES);
    CHECK(syscall(SYS_setuid, 0) == -1);
    CHECK(syscall(SYS_setresuid, 0, 0, 0) == -1);
    return 0;
}

static int become_nobody(void)
{
    char error[SEAL_ERROR_MAX];
    struct seal_user user;
    struct late late;
    gid_t groups[64];
    int count;

    CHECK(seal_find_user(&user, "nobody", error) == 0);
    CHECK(seal_process(error) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(seal_become(&user, error) == 0);
    /* From now on files are written as that user, while keys of root's can be read. */
    CHECK(geteuid() == 65534 && getegid() == 65534);
    CHECK(open_for("/etc/shadow", O_RDONLY) >= 0);
    CHECK(open_for("/etc/shadow", O_WRONLY) == -1 && errno == EACCES);
    count = getgroups(64, groups);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++)
        CHECK(groups[i] != 0);
    CHECK(start_late(&late, has_no_rights) == 0);
    CHECK(seal_bound(&user, error) == 0);
    CHECK(has_no_rights() == 0);
    CHECK(finish_late(&late) == 0);
    CHECK(seal_become(&user, error) == 0); /* who it is already */
    return 0;
}

static void test_become_nobody(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_child(become_nobody);
}

static int not_root(void)
{
    char error[SEAL_ERROR_MAX] = "";
    struct seal_user user;

    CHECK(seal_find_user(&user, "nobody", error) == 0);
    CHECK(geteuid() != 0 || setresuid(1, 1, 1) == 0);
    CHECK(seal_process(error) == 0);
    CHECK(seal_become(&user, error) == -1);
    CHECK(strcmp(error, "only root can become nobody") == 0);
    CHECK(seal_bound(&(struct seal_user){.given = false}, error) == 0);
    return 0;
}

static void test_only_root_can(void **state)
{
    (void)state;
    in_child(not_root);
}

/* ---- system calls ---- */

static int is_limited(void)
{
    char *args[] = {"/not/there",
                    NULL}; /* a program that could be started would end the test, as if all were well */

    CHECK_REFUSED(execve(args[0], args, args + 1));
    CHECK_REFUSED(syscall(SYS_execveat, AT_FDCWD, args[0], args, args + 1, 0));
    CHECK_REFUSED(fork());
    CHECK_REFUSED(syscall(SYS_clone, CLONE_VM | CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL));
    CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
    CHECK_REFUSED(socket(AF_NETLINK, SOCK_RAW, 0));
    CHECK_REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
    CHECK_REFUSED(kill(getppid(), 0));
    CHECK_REFUSED(syscall(SYS_tgkill, getppid(), getppid(), 0));
    CHECK_REFUSED(syscall(SYS_ptrace, 0, 0, 0, 0));
    CHECK_REFUSED(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
    CHECK_REFUSED(syscall(SYS_setuid, getuid()));
    CHECK_REFUSED(syscall(SYS_capset, NULL, NULL));
    CHECK_REFUSED(syscall(SYS_bpf, 0, NULL, 0));
    CHECK_REFUSED(syscall(SYS_io_uring_setup, 1, NULL));
    CHECK_REFUSED(rename("/tmp/a-file-that-is-not-there", "/tmp/another"));
    CHECK_REFUSED(mkdir("/tmp/a-file-that-is-not-there", 0700));
    CHECK_REFUSED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    return 0;
}

static int no_new_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(page != MAP_FAILED);
    CHECK_REFUSED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
    CHECK_REFUSED(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(mprotect(page, 4096, PROT_READ) == 0);
    CHECK(munmap(page, 4096) == 0);
    return 0;
}

static void *nothing(void *arg)
{
    return arg;
}

static int still_works(void)
{
    int families[] = {AF_UNIX, AF_INET, AF_INET6}, pair[2], fd;
    pthread_t thread;

    for (size_t i = 0; i < 3; i++) {
        fd = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0 || errno == EAFNOSUPPORT);
        CHECK(fd < 0 || close(fd) == 0);
    }
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
    return 0;
}

static int limit_calls(void)
{
    char error[SEAL_ERROR_MAX];
    struct late late;

    CHECK(start_late(&late, is_limited) == 0);
    CHECK(seal_process(error) == 0 && seal_system_calls(error) == 0);
    CHECK(is_limited() == 0);
    CHECK(no_new_code() == 0);
    CHECK(still_works() == 0);
    CHECK(finish_late(&late) == 0);
    return 0;
}

static void test_system_calls(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    in_child(limit_calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_user),
        cmocka_unit_test(test_become_nobody),
        cmocka_unit_test(test_only_root_can),
        cmocka_unit_test(test_system_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
