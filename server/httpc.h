/* SPDX-License-Identifier: MIT
 *
 * httpc - a small blocking HTTP/1.1 client over TCP, TLS or a unix socket, for the client commands. One
 * connection, one request at a time; bodies with a length, chunked, or until the end of the connection.
 */
#ifndef HTTPC_H
#define HTTPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"

#define HTTPC_HEAD_MAX 65536

struct httpc_url {
    bool is_unix;
    bool tls;            /* https */
    bool unverified;     /* the certificate may be anybody's; set by the caller, as is cacert */
    const char *cacert;  /* file of certificates to trust; NULL: the system's */
    char path[108];      /* of a unix socket */
    char host[256];      /* without the brackets of an IPv6 address */
    char port[6];        /* decimal */
    char authority[272]; /* for the Host header */
    char prefix[256];    /* path that comes before every request's; "" or "/…" without a final slash */
};

/* Reads "http://HOST[:PORT][/PREFIX]", the same with "https://", or "unix:PATH". Returns NULL, or what is
 * wrong with it. */
const char *httpc_parse_url(struct httpc_url *url, const char *text);

enum httpc_error {
    HTTPC_ESYSTEM = -1,    /* errno says why */
    HTTPC_ERESOLVE = -2,   /* no address for the host */
    HTTPC_ETIMEOUT = -3,   /* no answer in time */
    HTTPC_ECLOSED = -4,    /* the connection ended too early */
    HTTPC_EBAD = -5,       /* the answer is not HTTP/1.1 */
    HTTPC_ECANCELLED = -6, /* cancel_fd became readable */
    HTTPC_ETLS = -7,       /* the certificate is not trusted, or no TLS comes about */
};

/* Text for an error, errno included where it counts. Not thread safe. */
const char *httpc_strerror(int error);

struct httpc_response {
    int status;
    bool chunked;
    bool has_length;
    uint64_t length;
    uint64_t retry_after; /* seconds, 0 if absent or a date */
    char content_type[64];
};

/* Reads a head, which ends with its empty line. Returns its length, 0 if more is needed, HTTPC_EBAD. */
int httpc_parse_head(struct httpc_response *response, const char *bytes, size_t len);

struct httpc {
    int fd;
    struct httpc_tls *tls; /* NULL: plain */
    int cancel_fd;         /* waiting ends when it becomes readable; -1 = none */
    int timeout;           /* ms that one wait may last; -1 = for ever */
    size_t start, end;     /* bytes of buffer that are not used up */
    bool for_head;         /* the request was HEAD */
    struct chunk chunks;   /* of the body that is being read */
    char buffer[HTTPC_HEAD_MAX];
};

/* Connects. 0 or an enum httpc_error; to be ended with httpc_close() in any case. */
int httpc_open(struct httpc *http, const struct httpc_url *url, int cancel_fd, int timeout);
void httpc_close(struct httpc *http);

struct httpc_request {
    const char *method;
    const char *path;    /* with its query, already percent-encoded */
    const char *headers; /* lines that end in CRLF; NULL = none */
    const char *body;    /* NULL = none */
    size_t body_len;
};

/* Sends the request and reads the head of the answer; interim answers (1xx) are skipped. */
int httpc_ask(struct httpc *http, const struct httpc_url *url, const struct httpc_request *request,
              struct httpc_response *response);

/* Reads the body to its end; callback returns false to stop, then httpc_read_body() returns 1. 0 = complete.
 */
int httpc_read_body(struct httpc *http, const struct httpc_response *response,
                    bool (*callback)(void *user, const char *bytes, size_t len), void *user);

/* Appends text, percent-encoded for a path segment or a query value; false if it does not fit. */
bool httpc_encode(char *out, size_t size, const char *text);

#endif
