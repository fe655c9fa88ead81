/* SPDX-License-Identifier: MIT
 *
 * The client side of HTTP/1.1, as far as the commands need it. Sockets are non-blocking and every wait goes
 * through wait_for(), so that a time limit and the cancel descriptor hold everywhere, also in the handshake
 * of TLS (httpc_tls.c).
 */
#include "httpc.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "httpc_tls.h"
#include "value.h"

const char *httpc_strerror(int error)
{
    switch (error) {
    case HTTPC_ESYSTEM:
        return strerror(errno);
    case HTTPC_ERESOLVE:
        return "the host name has no address";
    case HTTPC_ETIMEOUT:
        return "no answer in time";
    case HTTPC_ECLOSED:
        return "the connection ended before the answer was complete";
    case HTTPC_EBAD:
        return "the answer is not HTTP/1.1";
    case HTTPC_ECANCELLED:
        return "interrupted";
    case HTTPC_ETLS:
        return httpc_tls_reason();
    default:
        return "no error";
    }
}

/* ------------------------------------------------------------------ URL */

static const char *parse_unix(struct httpc_url *url, const char *path)
{
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof url->path)
        return "the path of a unix socket has 1 to 107 bytes";
    url->is_unix = true;
    memcpy(url->path, path, len + 1);
    snprintf(url->authority, sizeof url->authority, "localhost");
    return NULL;
}

static const char *parse_prefix(struct httpc_url *url, const char *path)
{
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    if (len >= sizeof url->prefix)
        return "the path is too long";
    for (size_t i = 0; i < len; i++) {
        if (path[i] <= ' ' || path[i] == 0x7f || path[i] == '?' || path[i] == '#')
            return "it has a query, a fragment or characters that need percent-encoding";
    }
    memcpy(url->prefix, path, len);
    return NULL;
}

/* authority = HOST[:PORT], NUL-ended, in url->authority. */
static const char *parse_authority(struct httpc_url *url)
{
    const char *bracket = url->authority[0] == '[' ? strchr(url->authority, ']') : NULL;
    const char *colon = strchr(bracket ? bracket : url->authority, ':');
    size_t len = colon ? (size_t)(colon - url->authority) : strlen(url->authority);
    uint64_t port = url->tls ? 443 : 80;
    char host[sizeof url->host];

    if (len >= sizeof host)
        return "the host name is too long";
    memcpy(host, url->authority, len);
    host[len] = '\0';
    if (!value_host(host) || host[0] == '*')
        return "it has no valid host name";
    if (colon && (!value_count(colon + 1, &port) || port == 0 || port > 65535))
        return "the port is not a number from 1 to 65535";
    snprintf(url->port, sizeof url->port, "%u", (unsigned)(port & 0xffff));
    if (bracket)
        host[len - 1] = '\0';
    snprintf(url->host, sizeof url->host, "%s", bracket ? host + 1 : host);
    return NULL;
}

const char *httpc_parse_url(struct httpc_url *url, const char *text)
{
    const char *wrong;
    size_t len;

    memset(url, 0, sizeof *url);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(url, text + 5);
    url->tls = strncasecmp(text, "https://", 8) == 0;
    if (!url->tls && strncasecmp(text, "http://", 7) != 0)
        return "it must begin with http://, https:// or unix:";
    text += url->tls ? 8 : 7;
    len = strcspn(text, "/?#");
    if (len >= sizeof url->authority)
        return "the host name is too long";
    memcpy(url->authority, text, len);
    wrong = parse_authority(url);
    return wrong ? wrong : parse_prefix(url, text + len);
}

bool httpc_encode(char *out, size_t size, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t used = strlen(out);

    for (; *text; text++) {
        if (used + 4 > size)
            return false;
        if (strchr(plain, *text))
            out[used++] = *text;
        else
            used += (size_t)snprintf(out + used, size - used, "%%%02X", (unsigned char)*text);
        out[used] = '\0';
    }
    return true;
}

/* ------------------------------------------------------------------ socket */

/* Waits until fd is ready for `events`. */
static int wait_for(struct httpc *http, short events)
{
    struct pollfd fds[2] = {{.fd = http->fd, .events = events}, {.fd = http->cancel_fd, .events = POLLIN}};
    int n;

    do {
        n = poll(fds, http->cancel_fd >= 0 ? 2 : 1, http->timeout);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return HTTPC_ESYSTEM;
    if (n == 0)
        return HTTPC_ETIMEOUT;
    return fds[1].revents ? HTTPC_ECANCELLED : 0;
}

/* The error of a call that has set errno; 0 after it was waited for what it lacks. */
static int wait_or_fail(struct httpc *http, short events)
{
    if (errno == EAGAIN || errno == EINTR)
        return wait_for(http, http->tls ? httpc_tls_wants(http->tls) : events);
    return http->tls && errno == EPROTO ? HTTPC_ETLS : HTTPC_ESYSTEM;
}

static int connect_to(struct httpc *http, int family, const struct sockaddr *address, socklen_t len)
{
    int error = 0, result, one = 1;
    socklen_t size = sizeof error;

    http->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (http->fd < 0)
        return HTTPC_ESYSTEM;
    if (connect(http->fd, address, len) < 0) {
        if (errno != EINPROGRESS)
            return HTTPC_ESYSTEM;
        result = wait_for(http, POLLOUT);
        if (result < 0)
            return result;
        getsockopt(http->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        errno = error;
        if (error != 0)
            return HTTPC_ESYSTEM;
    }
    if (family != AF_UNIX) {
        setsockopt(http->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(http->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    }
    return 0;
}

static int open_unix(struct httpc *http, const struct httpc_url *url)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, url->path, strlen(url->path) + 1);
    return connect_to(http, AF_UNIX, (const struct sockaddr *)&address, sizeof address);
}

static int open_tcp(struct httpc *http, const struct httpc_url *url)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *one;
    int result = HTTPC_ERESOLVE;

    if (getaddrinfo(url->host, url->port, &hints, &found) != 0)
        return HTTPC_ERESOLVE;
    for (one = found; one; one = one->ai_next) {
        int saved;
        result = connect_to(http, one->ai_family, one->ai_addr, one->ai_addrlen);
        if (result == 0 || result == HTTPC_ECANCELLED)
            break;
        saved = errno;
        httpc_close(http);
        errno = saved;
    }
    freeaddrinfo(found);
    return result;
}

static int begin_tls(struct httpc *http, const struct httpc_url *url)
{
    int result = 0;

    http->tls = httpc_tls_create(url, http->fd);
    if (!http->tls)
        return HTTPC_ETLS;
    while (result == 0) {
        if (httpc_tls_handshake(http->tls) == 0)
            return 0;
        result = wait_or_fail(http, POLLIN);
    }
    return result;
}

int httpc_open(struct httpc *http, const struct httpc_url *url, int cancel_fd, int timeout)
{
    int result;

    http->fd = -1;
    http->tls = NULL;
    http->cancel_fd = cancel_fd;
    http->timeout = timeout;
    http->start = http->end = 0;
    if (url->is_unix)
        return open_unix(http, url);
    result = open_tcp(http, url);
    return result == 0 && url->tls ? begin_tls(http, url) : result;
}

void httpc_close(struct httpc *http)
{
    httpc_tls_destroy(http->tls);
    http->tls = NULL;
    if (http->fd >= 0)
        close(http->fd);
    http->fd = -1;
}

static int send_all(struct httpc *http, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n =
            http->tls ? httpc_tls_send(http->tls, bytes, len) : send(http->fd, bytes, len, MSG_NOSIGNAL);
        int result;
        if (n >= 0) {
            bytes += n;
            len -= (size_t)n;
            continue;
        }
        /* A hub that refuses a body early answers and closes: the answer is worth reading. */
        if (errno == EPIPE || errno == ECONNRESET)
            return 0;
        result = wait_or_fail(http, POLLOUT);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Reads more into the buffer. 1 = got some, 0 = end of stream. */
static int fill(struct httpc *http)
{
    if (http->start == http->end)
        http->start = http->end = 0;
    if (http->end == sizeof http->buffer && http->start > 0) {
        memmove(http->buffer, http->buffer + http->start, http->end - http->start);
        http->end -= http->start;
        http->start = 0;
    }
    if (http->end == sizeof http->buffer)
        return HTTPC_EBAD;
    for (;;) {
        char *room = http->buffer + http->end;
        size_t len = sizeof http->buffer - http->end;
        ssize_t n = http->tls ? httpc_tls_recv(http->tls, room, len) : recv(http->fd, room, len, 0);
        int result;
        if (n >= 0) {
            http->end += (size_t)n;
            return n > 0;
        }
        result = wait_or_fail(http, POLLIN);
        if (result < 0)
            return result;
    }
}

/* ------------------------------------------------------------------ head */

struct field {
    const char *name, *value;
    size_t name_len, value_len;
};

static bool has_name(const struct field *field, const char *name)
{
    return strlen(name) == field->name_len && strncasecmp(name, field->name, field->name_len) == 0;
}

static bool read_field(struct httpc_response *response, const struct field *field)
{
    char value[64];

    snprintf(value, sizeof value, "%.*s", (int)(field->value_len < 63 ? field->value_len : 63), field->value);
    if (has_name(field, "content-length")) {
        response->has_length = true;
        return value_count(value, &response->length);
    }
    if (has_name(field, "transfer-encoding")) {
        response->chunked = strcasecmp(value, "chunked") == 0;
        return response->chunked;
    }
    if (has_name(field, "content-type"))
        snprintf(response->content_type, sizeof response->content_type, "%s", value);
    if (has_name(field, "retry-after") && !value_count(value, &response->retry_after))
        response->retry_after = 0;
    return true;
}

/* Reads the line of len bytes, without its line end. */
static bool read_field_line(struct httpc_response *response, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    struct field field = {.name = line};

    if (!colon)
        return false;
    field.name_len = (size_t)(colon - line);
    field.value = colon + 1;
    field.value_len = len - field.name_len - 1;
    while (field.value_len > 0 && (*field.value == ' ' || *field.value == '\t')) {
        field.value++;
        field.value_len--;
    }
    while (field.value_len > 0 &&
           (field.value[field.value_len - 1] == ' ' || field.value[field.value_len - 1] == '\t'))
        field.value_len--;
    return read_field(response, &field);
}

static bool read_status(struct httpc_response *response, const char *line, size_t len)
{
    static const char version[] = "HTTP/1.";

    if (len < 12 || memcmp(line, version, 7) != 0 || line[8] != ' ')
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        response->status = response->status * 10 + (line[i] - '0');
    }
    return response->status >= 100 && response->status <= 599 && (len == 12 || line[12] == ' ');
}

int httpc_parse_head(struct httpc_response *response, const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4), *line = bytes;

    memset(response, 0, sizeof *response);
    if (!end)
        return len >= HTTPC_HEAD_MAX ? HTTPC_EBAD : 0;
    end += 2;
    while (line < end) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        size_t n = (size_t)(stop - line);
        if (line == bytes ? !read_status(response, line, n) : !read_field_line(response, line, n))
            return HTTPC_EBAD;
        line = stop + 2;
    }
    return (int)(end + 2 - bytes);
}

/* ------------------------------------------------------------------ request and answer */

int httpc_ask(struct httpc *http, const struct httpc_url *url, const struct httpc_request *request,
              struct httpc_response *response)
{
    char head[8192], length[64] = "";
    int n, result;

    if (request->body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", request->body_len);
    n = snprintf(head, sizeof head, "%s %s%s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", request->method, url->prefix,
                 request->path, url->authority, length, request->headers ? request->headers : "");
    if (n < 0 || (size_t)n >= sizeof head) {
        errno = EMSGSIZE;
        return HTTPC_ESYSTEM;
    }
    http->for_head = strcmp(request->method, "HEAD") == 0;
    memset(&http->chunks, 0, sizeof http->chunks);
    result = send_all(http, head, (size_t)n);
    explicit_bzero(head, sizeof head); /* it may hold a key */
    if (result == 0 && request->body)
        result = send_all(http, request->body, request->body_len);
    while (result == 0) {
        n = httpc_parse_head(response, http->buffer + http->start, http->end - http->start);
        if (n < 0)
            return n;
        http->start += (size_t)n;
        if (n > 0 && response->status >= 200)
            return 0;
        if (n > 0)
            continue;
        result = fill(http);
        result = result > 0 ? 0 : result == 0 ? HTTPC_ECLOSED : result;
    }
    return result;
}

struct body {
    bool (*callback)(void *user, const char *bytes, size_t len);
    void *user;
    uint64_t left; /* of a body with a length */
};

/* Hands out what the buffer holds. 1 = stopped, 0 = more is needed, 2 = complete. */
static int hand_out(struct httpc *http, const struct httpc_response *response, struct body *body)
{
    const char *p = http->buffer + http->start, *run;
    size_t n = http->end - http->start, len;
    enum chunk_result result;

    if (!response->chunked) {
        if (response->has_length && n > body->left)
            n = (size_t)body->left;
        http->start += n;
        body->left -= response->has_length ? n : 0;
        if (n > 0 && !body->callback(body->user, p, n))
            return 1;
        return response->has_length && body->left == 0 ? 2 : 0;
    }
    while ((result = chunk_next(&http->chunks, &p, &n, &run, &len)) == CHUNK_RUN) {
        http->start = http->end - n;
        if (!body->callback(body->user, run, len))
            return 1;
    }
    http->start = http->end - n;
    return result == CHUNK_END ? 2 : result == CHUNK_BAD ? HTTPC_EBAD : 0;
}

int httpc_read_body(struct httpc *http, const struct httpc_response *response,
                    bool (*callback)(void *user, const char *bytes, size_t len), void *user)
{
    struct body body = {.callback = callback, .user = user, .left = response->length};
    bool until_close = !response->chunked && !response->has_length;

    if (http->for_head || response->status == 204 || response->status == 304)
        return 0;
    for (;;) {
        int result = hand_out(http, response, &body);
        if (result == 2)
            return 0;
        if (result != 0)
            return result;
        result = fill(http);
        if (result == 0)
            return until_close ? 0 : HTTPC_ECLOSED;
        if (result < 0)
            return result;
    }
}
