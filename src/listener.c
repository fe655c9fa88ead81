/* SPDX-License-Identifier: MIT
 *
 * listener - one socket for each loop with SO_REUSEPORT, between which the kernel spreads connections evenly
 * (two loops share one accept queue badly: the busier one wins the race). SO_REUSEPORT would also let a
 * second hub of the same user share the port unnoticed, so a plain socket claims the address first: "in use"
 * stays an error.
 */
#include "listener.h"

#include "text.h"
#include <tidings.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG       4096
#define KEEPALIVE_SEC 30

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_len(const union address *a)
{
    return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static bool parse_host(struct span host, uint16_t port, union address *a)
{
    char text[64];
    bool v6 = host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    if (v6)
        host = (struct span){host.p + 1, host.len - 2};
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.p, host.len);
    text[host.len] = '\0';
    memset(a, 0, sizeof(*a));
    if (v6) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons(port);
        return inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1;
    }
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons(port);
    return inet_pton(AF_INET, strcmp(text, "localhost") == 0 ? "127.0.0.1" : text, &a->v4.sin_addr) == 1;
}

static bool parse_address(struct span text, union address *a)
{
    size_t colon = text.len;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    uint64_t port;
    if (colon == 0 || !text_u64(text.p + colon, text.len - colon, &port) || port > 65535)
        return false;
    return parse_host((struct span){text.p, colon - 1}, (uint16_t)port, a);
}

static bool is_loopback(const union address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        return a->v6.sin6_addr.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

static int system_error(int fd)
{
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return saved == EADDRINUSE                               ? TIDINGS_EINUSE
           : saved == EADDRNOTAVAIL || saved == EAFNOSUPPORT ? TIDINGS_EADDRESS
                                                             : TIDINGS_ESYSTEM;
}

static void set_int(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_options(int fd, const struct listener_options *o, bool tcp)
{
    if (o->send_buffer > 0)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, (int)o->send_buffer);
    if (!tcp)
        return;
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SEC);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_SEC / 3);
    if (o->user_timeout > 0)
        set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)o->user_timeout);
}

static int bind_tcp(union address *a, bool reuse_port)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reuse_port)
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (a->any.sa_family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    socklen_t len = address_len(a);
    if (bind(fd, &a->any, len) < 0 || getsockname(fd, &a->any, &len) < 0) {
        system_error(fd);
        return -1;
    }
    return fd;
}

/* Finds out whether the address is free, and which port 0 becomes. */
static int claim(union address *a)
{
    int fd = bind_tcp(a, false);
    if (fd < 0)
        return -1;
    if (listen(fd, 1) < 0) {
        system_error(fd);
        return -1;
    }
    close(fd);
    return 0;
}

static void write_url(struct listener *l, const union address *a)
{
    char host[INET6_ADDRSTRLEN];
    bool v4 = a->any.sa_family == AF_INET;
    const void *raw = v4 ? (const void *)&a->v4.sin_addr : (const void *)&a->v6.sin6_addr;
    inet_ntop(a->any.sa_family, raw, host, sizeof(host));
    snprintf(l->url, sizeof(l->url), v4 ? "%s://%s:%u" : "%s://[%s]:%u", l->tls ? "https" : "http", host,
             (unsigned)ntohs(v4 ? a->v4.sin_port : a->v6.sin6_port));
}

static int open_tcp(struct listener *l, const char *text, uint32_t loops, const struct listener_options *o)
{
    union address a;
    if (!parse_address(span_of(text), &a))
        return TIDINGS_EADDRESS;
    if (!o->anywhere && !is_loopback(&a))
        return TIDINGS_EREFUSED;
    l->beyond = !is_loopback(&a);
    if (claim(&a) < 0)
        return system_error(-1);
    for (uint32_t i = 0; i < loops; i++) {
        int fd = bind_tcp(&a, true);
        if (fd < 0)
            return system_error(-1);
        set_options(fd, o, true);
        if (listen(fd, BACKLOG) < 0)
            return system_error(fd);
        l->fds[l->count++] = fd;
    }
    write_url(l, &a);
    return 0;
}

/* A socket file that nobody accepts on is left over from a crash and may be replaced; anything else may not.
 */
static bool clear_stale(const struct sockaddr_un *a)
{
    struct stat st;
    if (lstat(a->sun_path, &st) < 0)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EADDRINUSE;
        return false;
    }
    /* Without waiting: the queue of a busy hub may be full, and then it is alive. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int rc = connect(fd, (const struct sockaddr *)a, sizeof(*a)), error = rc < 0 ? errno : 0;
    close(fd);
    if (error == ECONNREFUSED)
        return unlink(a->sun_path) == 0;
    errno = error == EACCES ? EACCES : EADDRINUSE; /* of another user: perhaps in use, perhaps not */
    return false;
}

static int open_unix(struct listener *l, const char *path, const struct listener_options *o)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(a.sun_path))
        return TIDINGS_EADDRESS;
    memcpy(a.sun_path, path, n);
    if (!clear_stale(&a))
        return system_error(-1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return system_error(-1);
    set_options(fd, o, false);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return system_error(fd);
    l->fds[l->count++] = fd;
    l->shared = true;
    l->path = strdup(path);
    snprintf(l->url, sizeof(l->url), "unix:%s", path);
    if (!l->path)
        return TIDINGS_ENOMEM;
    return listen(fd, BACKLOG) < 0 ? system_error(-1) : 0;
}

/* The address behind its scheme. */
static const char *take_scheme(const char *address, const struct listener_options *o, bool *tls)
{
    *tls = o->tls;
    if (strncmp(address, "https://", 8) == 0) {
        *tls = true;
        return address + 8;
    }
    if (strncmp(address, "http://", 7) != 0)
        return address;
    *tls = false;
    return address + 7;
}

int listener_open(struct listener *l, const char *address, uint32_t loops,
                  const struct listener_options *options)
{
    memset(l, 0, sizeof(*l));
    l->fds = calloc(loops, sizeof(*l->fds));
    if (!l->fds)
        return TIDINGS_ENOMEM;
    int rc = strncmp(address, "unix:", 5) == 0
                 ? open_unix(l, address + 5, options)
                 : open_tcp(l, take_scheme(address, options, &l->tls), loops, options);
    if (rc < 0) {
        int saved = errno;
        listener_close(l);
        errno = saved;
    }
    return rc;
}

void listener_close(struct listener *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        close(l->fds[i]);
    if (l->path)
        unlink(l->path);
    free(l->path);
    free(l->fds);
    memset(l, 0, sizeof(*l));
}
