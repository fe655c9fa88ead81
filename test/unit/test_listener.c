/* SPDX-License-Identifier: MIT
 *
 * test_listener - forms of addresses, what is refused, files of unix sockets, and the options that accepted
 * sockets are born with.
 */
#include "listener.h"

#include <tidings.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static const struct listener_options plain = {.anywhere = false};

static int open_as(const char *address, const struct listener_options *options)
{
    struct listener l;
    int rc = listener_open(&l, address, 1, options);

    if (rc == 0) {
        listener_close(&l);
    } else { /* a failure leaves nothing behind */
        assert_null(l.fds);
        assert_null(l.path);
        assert_int_equal(l.count, 0);
    }
    return rc;
}

static int connect_to(const char *url)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_port = htons((uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

/* ---- addresses ---- */

static void test_forms(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "127.1.2.3:0", "localhost:0", "http://127.0.0.1:0",
                                       "https://localhost:0"};
    static const char *const bad[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        ":0",
        "127.0.0.1:x",
        "127.0.0.1:0 ",
        " 127.0.0.1:0",
        "127.0.0:0",
        "256.0.0.1:0",
        "::1:0",
        "[::1]",
        "[::1:0",
        "[]:0",
        "[127.0.0.1]:0",
        "[::1]x:0",
        "host.x:0",
        "unix:",
        "http://unix:/x",
        "https://",
        "ftp://127.0.0.1:0",
        "https://https://127.0.0.1:0",
        "0x7f.1:0",
        "127.0.0.1:+1",
        "99999999999999999999:1",
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(open_as(good[i], &plain), 0);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(open_as(bad[i], &plain), TIDINGS_EADDRESS);
    if (has_ipv6())
        assert_int_equal(open_as("[::1]:0", &plain), 0);
}

static void test_url(void **state)
{
    struct listener l;
    char want[64];
    struct sockaddr_in a;
    socklen_t len = sizeof(a);

    (void)state;
    assert_int_equal(listener_open(&l, "localhost:0", 1, &plain), 0);
    assert_int_equal(getsockname(l.fds[0], (struct sockaddr *)&a, &len), 0);
    snprintf(want, sizeof(want), "http://127.0.0.1:%u", ntohs(a.sin_port));
    assert_string_equal(l.url, want); /* port 0 became a real one */
    listener_close(&l);
    listener_close(&l);
    if (!has_ipv6())
        return;
    assert_int_equal(listener_open(&l, "[::1]:0", 1, &plain), 0);
    assert_memory_equal(l.url, "http://[::1]:", 13);
    listener_close(&l);
}

static void test_beyond_loopback(void **state)
{
    static const char *const beyond[] = {"0.0.0.0:0",           "[::]:0",      "192.0.2.1:0",
                                         "126.255.255.255:0",   "128.0.0.1:0", "[2001:db8::1]:0",
                                         "[::ffff:192.0.2.1]:0"};
    const struct listener_options anywhere = {.anywhere = true};

    (void)state;
    for (unsigned i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
        assert_int_equal(open_as(beyond[i], &plain), TIDINGS_EREFUSED);
    assert_int_equal(open_as("0.0.0.0:0", &anywhere), 0);
    assert_int_equal(open_as("192.0.2.1:0", &anywhere), TIDINGS_EADDRESS); /* none of this machine's */
}

static void test_in_use(void **state)
{
    struct listener l;
    char address[64];

    (void)state;
    assert_int_equal(listener_open(&l, "127.0.0.1:0", 2, &plain), 0);
    snprintf(address, sizeof(address), "%.40s", l.url + strlen("http://"));
    assert_int_equal(open_as(address, &plain), TIDINGS_EINUSE); /* also for another hub of the same user */
    listener_close(&l);
    assert_int_equal(open_as(address, &plain), 0); /* free again at once */
}

/* One socket for each loop, between which the kernel spreads connections; all of them accept. */
static void test_loops(void **state)
{
    struct listener l;
    unsigned accepted = 0;
    int fds[64];

    (void)state;
    assert_int_equal(listener_open(&l, "127.0.0.1:0", 4, &plain), 0);
    assert_int_equal(l.count, 4);
    assert_false(l.shared);
    for (unsigned i = 0; i < 64; i++)
        fds[i] = connect_to(l.url);
    for (unsigned i = 0; i < 4; i++)
        for (int fd; (fd = accept4(l.fds[i], NULL, NULL, SOCK_CLOEXEC)) >= 0; accepted++)
            close(fd); /* the listeners do not block: this ends */
    assert_int_equal(accepted, 64);
    for (unsigned i = 0; i < 64; i++)
        close(fds[i]);
    listener_close(&l);
}

/* ---- options ---- */

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static int accept_one(const struct listener *l, int *client)
{
    *client = connect_to(l->url);
    int fd = accept4(l->fds[0], NULL, NULL, SOCK_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void test_inherited(void **state)
{
    const struct listener_options options = {.user_timeout = 12345, .send_buffer = 16384};
    struct listener l;
    int client, fd;

    (void)state;
    assert_int_equal(listener_open(&l, "127.0.0.1:0", 1, &options), 0);
    fd = accept_one(&l, &client);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
    assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), 2 * 16384); /* socket(7): the kernel doubles it */
    close(fd);
    close(client);
    listener_close(&l);
}

static void test_kernels_own(void **state)
{
    struct listener l;
    int client, fd;

    (void)state;
    assert_int_equal(listener_open(&l, "127.0.0.1:0", 1, &plain), 0);
    fd = accept_one(&l, &client);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), option(client, SOL_SOCKET, SO_SNDBUF));
    close(fd);
    close(client);
    listener_close(&l);
}

static void test_close_on_exec(void **state)
{
    struct listener l;

    (void)state;
    assert_int_equal(listener_open(&l, "127.0.0.1:0", 1, &plain), 0);
    assert_true(fcntl(l.fds[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(l.fds[0], F_GETFL) & O_NONBLOCK);
    listener_close(&l);
}

/* ---- unix sockets ---- */

static char dir[32], path[64], address[80];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/tidings-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/hub.sock", dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir); /* fails if something was left behind */
}

static struct sockaddr_un unix_address(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    memcpy(a.sun_path, path, strlen(path));
    return a;
}

static int bound_socket(void)
{
    struct sockaddr_un a = unix_address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static int connect_unix(int flags)
{
    struct sockaddr_un a = unix_address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void test_unix(void **state)
{
    struct listener l;

    (void)state;
    assert_int_equal(listener_open(&l, address, 3, &plain), 0);
    assert_string_equal(l.url, address);
    assert_true(l.shared);
    assert_int_equal(l.count, 1); /* all loops accept on the same */
    int client = connect_unix(0), fd = accept4(l.fds[0], NULL, NULL, SOCK_CLOEXEC);

    assert_true(client >= 0 && fd >= 0);
    close(client);
    close(fd);
    listener_close(&l);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_unix_stale(void **state)
{
    struct listener l;

    (void)state;
    close(bound_socket()); /* as a crash leaves it */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(listener_open(&l, address, 1, &plain), 0);
    int client = connect_unix(0);

    assert_true(client >= 0);
    close(client);
    listener_close(&l);
}

static void test_unix_live(void **state)
{
    struct listener l;

    (void)state;
    assert_int_equal(listener_open(&l, address, 1, &plain), 0);
    assert_int_equal(open_as(address, &plain), TIDINGS_EINUSE);
    int client = connect_unix(0); /* still the first one's */

    assert_true(client >= 0);
    close(client);
    listener_close(&l);
}

/* A live hub that is too busy to accept is live all the same, and asking it does not hang. */
static void test_unix_busy(void **state)
{
    int fd = bound_socket(), clients[16], count = 0;

    (void)state;
    assert_int_equal(listen(fd, 0), 0);
    while (count < 16 && (clients[count] = connect_unix(SOCK_NONBLOCK)) >= 0)
        count++;
    assert_in_range(count, 1, 15);
    assert_int_equal(open_as(address, &plain), TIDINGS_EINUSE);
    while (count > 0)
        close(clients[--count]);
    close(fd);
}

static void test_unix_regular_file(void **state)
{
    struct stat st;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    (void)state;
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(open_as(address, &plain), TIDINGS_EINUSE);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 8);
}

static void test_unix_bad_paths(void **state)
{
    char longest[200] = "unix:/tmp/";

    (void)state;
    assert_int_equal(open_as("unix:/nonexistent-directory/x.sock", &plain), TIDINGS_ESYSTEM);
    assert_int_equal(errno, ENOENT);
    memset(longest + 10, 'x', 150);
    assert_int_equal(open_as(longest, &plain), TIDINGS_EADDRESS);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_url),
        cmocka_unit_test(test_beyond_loopback),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_inherited),
        cmocka_unit_test(test_kernels_own),
        cmocka_unit_test(test_close_on_exec),
        IN_DIR(test_unix),
        IN_DIR(test_unix_stale),
        IN_DIR(test_unix_live),
        IN_DIR(test_unix_busy),
        IN_DIR(test_unix_regular_file),
        cmocka_unit_test(test_unix_bad_paths),
    };

    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
