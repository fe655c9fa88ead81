/* SPDX-License-Identifier: MIT
 *
 * test_epoll - the real io: readiness by level, the end of a peer, wake-ups that are not lost, resets, and
 * the descriptor in reserve.
 */
#include "epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG 10000 /* ms: longer than any of this takes; never waited for when all is well */

struct pair {
    struct io *io;
    int ours, theirs;
};

/* Two connected TCP sockets on loopback. */
static void connect_tcp(int *ours, int *theirs)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    *theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*theirs, (struct sockaddr *)&a, sizeof(a)), 0);
    *ours = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(*ours >= 0);
    close(listener);
}

static void make(struct pair *p, uint32_t interest)
{
    p->io = epoll_create_io();
    assert_non_null(p->io);
    connect_tcp(&p->ours, &p->theirs);
    assert_int_equal(p->io->ops->watch(p->io, p->ours, 0x123456789abcdef0, interest, true), 0);
}

static void drop(struct pair *p)
{
    if (p->ours >= 0)
        close(p->ours);
    if (p->theirs >= 0)
        close(p->theirs);
    epoll_destroy_io(p->io);
}

/* What is ready; 0 if nothing is. */
static uint32_t ready(struct pair *p, int timeout_ms)
{
    struct io_event events[8];
    int n = p->io->ops->wait(p->io, events, 8, timeout_ms);

    assert_in_range(n, 0, 1);
    if (n == 0)
        return 0;
    assert_true(events[0].tag == 0x123456789abcdef0);
    return events[0].ready;
}

static void test_level(void **state)
{
    struct pair p;
    char byte[8];

    (void)state;
    make(&p, IO_READ | IO_HANGUP);
    assert_int_equal(ready(&p, 0), 0);
    assert_int_equal(p.io->ops->recv(p.io, p.ours, byte, 8), -EAGAIN);
    assert_int_equal(write(p.theirs, "ab", 2), 2);
    assert_int_equal(ready(&p, LONG), IO_READ);
    assert_int_equal(ready(&p, LONG), IO_READ); /* told again until it is read */
    assert_int_equal(p.io->ops->recv(p.io, p.ours, byte, 1), 1);
    assert_int_equal(ready(&p, LONG), IO_READ);
    assert_int_equal(p.io->ops->recv(p.io, p.ours, byte, 8), 1);
    assert_int_equal(ready(&p, 0), 0);
    drop(&p);
}

static void test_interest(void **state)
{
    struct pair p;

    (void)state;
    make(&p, IO_READ | IO_WRITE | IO_HANGUP);
    assert_int_equal(ready(&p, LONG), IO_WRITE);
    assert_int_equal(p.io->ops->watch(p.io, p.ours, 0x123456789abcdef0, IO_READ | IO_HANGUP, false), 0);
    assert_int_equal(ready(&p, 0), 0);
    assert_int_equal(p.io->ops->watch(p.io, p.ours, 0x123456789abcdef0, IO_WRITE, false), 0);
    assert_int_equal(write(p.theirs, "x", 1), 1);
    assert_int_equal(ready(&p, LONG), IO_WRITE); /* there is something to read, but nobody asked */
    assert_int_equal(p.io->ops->watch(p.io, -1, 1, IO_READ, true), -EBADF);
    assert_int_equal(p.io->ops->watch(p.io, p.ours, 1, IO_READ, true), -EEXIST);
    drop(&p);
}

static void test_half_close(void **state)
{
    struct pair p;
    char byte;

    (void)state;
    make(&p, IO_READ | IO_HANGUP);
    shutdown(p.theirs, SHUT_WR);
    assert_true(ready(&p, LONG) & IO_HANGUP); /* the end of the peer's side, without reading */
    assert_int_equal(p.io->ops->recv(p.io, p.ours, &byte, 1), 0);
    assert_int_equal(p.io->ops->watch(p.io, p.ours, 0x123456789abcdef0, 0, false), 0);
    assert_int_equal(ready(&p, 0), 0); /* a half-closed peer can be left alone */
    drop(&p);
}

static void test_reset(void **state)
{
    const struct linger now = {.l_onoff = 1};
    struct iovec iov = {(char[]){"x"}, 1};
    struct pair p;
    char byte;

    (void)state;
    make(&p, 0); /* reported even if nothing is asked for */
    setsockopt(p.theirs, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(p.theirs);
    p.theirs = -1;
    assert_true(ready(&p, LONG) & IO_HANGUP);
    assert_int_equal(p.io->ops->recv(p.io, p.ours, &byte, 1), -ECONNRESET);
    assert_int_equal(p.io->ops->send(p.io, p.ours, &iov, 1), -EPIPE); /* and no SIGPIPE */
    drop(&p);
}

static void test_close(void **state)
{
    char bytes[8];

    (void)state;
    for (unsigned reset = 0; reset < 2; reset++) {
        struct pair p;

        make(&p, IO_READ | IO_HANGUP);
        p.io->ops->close(p.io, p.ours, reset);
        p.ours = -1;
        ssize_t n = recv(p.theirs, bytes, 8, 0);
        int error = errno;

        assert_int_equal(n, reset ? -1 : 0);
        if (reset)
            assert_int_equal(error, ECONNRESET);
        assert_int_equal(ready(&p, 0), 0); /* no longer watched */
        drop(&p);
    }
}

static void test_shutdown(void **state)
{
    struct pair p;
    char byte;

    (void)state;
    make(&p, IO_READ | IO_HANGUP);
    p.io->ops->shutdown(p.io, p.ours);
    assert_int_equal(read(p.theirs, &byte, 1), 0);
    assert_int_equal(write(p.theirs, "x", 1), 1); /* the other side may go on */
    assert_int_equal(ready(&p, LONG), IO_READ);
    assert_int_equal(p.io->ops->recv(p.io, p.ours, &byte, 1), 1);
    drop(&p);
}

static void test_send(void **state)
{
    static char block[1 << 20];
    struct iovec iov[3] = {{(char[]){"ab"}, 2}, {(char[]){"cde"}, 3}, {(char[]){"f"}, 1}};
    struct iovec big = {block, sizeof(block)};
    struct pair p;
    char got[8];
    ssize_t n, total = 0;

    (void)state;
    make(&p, IO_READ | IO_HANGUP);
    assert_int_equal(p.io->ops->send(p.io, p.ours, iov, 3), 6);
    assert_int_equal(p.io->ops->send(p.io, p.ours, iov, 1), 2);
    assert_int_equal(recv(p.theirs, got, 8, MSG_WAITALL), 8);
    assert_memory_equal(got, "abcdefab", 8);
    while ((n = p.io->ops->send(p.io, p.ours, &big, 1)) > 0)
        total += n;
    assert_int_equal(n, -EAGAIN);
    assert_int_equal(p.io->ops->watch(p.io, p.ours, 0x123456789abcdef0, IO_WRITE, false), 0);
    assert_int_equal(ready(&p, 0), 0); /* full */
    while (total > 0 && (n = recv(p.theirs, block, sizeof(block), 0)) > 0)
        total -= n;
    assert_int_equal(total, 0); /* what was taken arrives */
    assert_int_equal(ready(&p, LONG), IO_WRITE);
    drop(&p);
}

/* ---- waking ---- */

static void *wake_later(void *user)
{
    struct io *io = user;

    io->ops->wake(io);
    return NULL;
}

static void test_wake(void **state)
{
    struct pair p;
    pthread_t thread;

    (void)state;
    make(&p, IO_READ | IO_HANGUP);
    p.io->ops->wake(p.io);
    p.io->ops->wake(p.io);
    assert_int_equal(ready(&p, -1), 0); /* remembered if nobody waits */
    assert_int_equal(ready(&p, 0), 0);  /* and once */
    assert_int_equal(pthread_create(&thread, NULL, wake_later, p.io), 0);
    assert_int_equal(ready(&p, -1), 0); /* would wait for ever */
    pthread_join(thread, NULL);
    p.io->ops->wake(p.io);
    assert_int_equal(write(p.theirs, "x", 1), 1);
    assert_int_equal(ready(&p, LONG), IO_READ); /* beside something else */
    drop(&p);
}

static void test_many(void **state)
{
    enum { COUNT = 300 };
    struct io *io = epoll_create_io();
    int fds[COUNT][2];
    bool seen[COUNT] = {false};
    struct io_event events[400];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds[i]), 0);
        assert_int_equal(io->ops->watch(io, fds[i][0], i, IO_READ, true), 0);
        assert_int_equal(write(fds[i][1], "x", 1), 1);
    }
    assert_int_equal(io->ops->wait(io, events, 7, 0), 7); /* never more than asked for */
    for (unsigned left = COUNT; left > 0;) {
        int n = io->ops->wait(io, events, 400, LONG);
        char byte;

        assert_true(n > 0);
        for (int i = 0; i < n; i++, left--) {
            assert_false(seen[events[i].tag]);
            seen[events[i].tag] = true;
            assert_int_equal(read(fds[events[i].tag][0], &byte, 1), 1);
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    epoll_destroy_io(io);
}

/* ---- accepting ---- */

static void test_accept(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t len = sizeof(a);
    struct io *io = epoll_create_io();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct io_peer peer;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(listener, 4), 0);
    getsockname(listener, (struct sockaddr *)&a, &len);
    assert_int_equal(io->ops->accept(io, listener, &peer), -EAGAIN);
    assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof(a)), 0);
    getsockname(client, (struct sockaddr *)&from, &len);
    int fd = io->ops->accept(io, listener, &peer);

    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(peer.family, IO_IPV4);
    assert_int_equal(peer.port, ntohs(from.sin_port));
    assert_memory_equal(peer.address, &from.sin_addr, 4);
    close(fd);
    close(client);
    close(listener);
    assert_int_equal(io->ops->accept(io, -1, &peer), -EBADF);
    epoll_destroy_io(io);
}

/* With no descriptor left, giving up the spare one lets exactly one connection in. */
static void test_spare(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}; /* an abstract name, chosen by the kernel */
    socklen_t len = sizeof(a);
    struct rlimit before, none;
    struct io_peer peer;
    struct io *io = epoll_create_io();
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), clients[2], probe;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(listener, 4), 0);
    getsockname(listener, (struct sockaddr *)&a, &len);
    for (unsigned i = 0; i < 2; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i], (struct sockaddr *)&a, len), 0);
    }
    probe = dup(0);
    close(probe);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = (rlim_t)probe, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int full = io->ops->accept(io, listener, &peer);

    io->ops->spare(io, false);
    io->ops->spare(io, false); /* twice is once */
    int fd = io->ops->accept(io, listener, &peer), second = io->ops->accept(io, listener, &peer);

    if (fd >= 0)
        close(fd);
    io->ops->spare(io, true);
    io->ops->spare(io, true);
    int again = io->ops->accept(io, listener, &peer);

    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(full, -EMFILE);
    assert_true(fd >= 0);
    assert_int_equal(peer.family, IO_UNIX);
    assert_int_equal(second, -EMFILE);
    assert_int_equal(again, -EMFILE);
    close(clients[0]);
    close(clients[1]);
    close(listener);
    epoll_destroy_io(io);
}

static void test_create_without_descriptors(void **state)
{
    struct rlimit before, none;
    int probe = dup(0);

    (void)state;
    close(probe);
    getrlimit(RLIMIT_NOFILE, &before);
    for (rlim_t more = 0; more < 2; more++) {
        none = (struct rlimit){.rlim_cur = (rlim_t)probe + more, .rlim_max = before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        struct io *io = epoll_create_io();
        int error = errno;

        setrlimit(RLIMIT_NOFILE, &before);
        assert_null(io);
        assert_int_equal(error, EMFILE);
    }
    int after = dup(0);

    assert_int_equal(after, probe); /* nothing was left open */
    close(after);
    epoll_destroy_io(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level),      cmocka_unit_test(test_interest),
        cmocka_unit_test(test_half_close), cmocka_unit_test(test_reset),
        cmocka_unit_test(test_close),      cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_send),       cmocka_unit_test(test_wake),
        cmocka_unit_test(test_many),       cmocka_unit_test(test_accept),
        cmocka_unit_test(test_spare),      cmocka_unit_test(test_create_without_descriptors),
    };

    return cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
}
