/* SPDX-License-Identifier: MIT
 *
 * sim_parts - what sim.c (the hub's side: io, clock, turns) and sim_peer.c (the clients' side) share. Not for
 * tests.
 */
#ifndef SIM_PARTS_H
#define SIM_PARTS_H

#include "sim.h"

enum socket_flag {
    ACCEPTED = 1,
    WATCHED = 2,
    READY = 4,        /* is in the list of its io */
    CLIENT_FIN = 8,   /* the client has ended its side; seen by the hub when `up` has arrived */
    CLIENT_GONE = 16, /* the client reads no more either */
    HUB_FIN = 32,
    HUB_GONE = 64,  /* closed by the hub */
    BROKEN = 128,   /* reset, whoever did it */
    RESET = 256,    /* the hub did it */
    COUNTING = 512, /* what comes down is only counted */
    ON_WIRE = 1024, /* in the list of sockets whose bytes are on their way */
    USED = 2048
};

struct queue {
    char *data;
    uint32_t cap, head, len;
};

struct sock {
    struct queue up, down;
    uint32_t arrived; /* bytes of `up` that the hub can see */
    uint32_t serial;
    uint64_t tag;
    uint64_t total; /* bytes that came down so far */
    uint32_t next, prev;
    int fd;
    uint16_t flags;
    uint8_t interest;
    uint8_t loop;
};

struct numbers {
    uint32_t *at;
    uint32_t count, cap;
};

struct sim_io {
    struct io io;
    struct sim *sim;
    uint32_t loop;
    uint32_t first, last; /* sockets that may be ready */
    struct numbers backlog;
    uint32_t backlog_head;
    int listener;
    uint64_t listener_tag;
    bool listening, spare, woken, idle;
};

struct sim {
    struct sim_options options;
    struct rng rng;
    uint64_t now;
    struct sim_io *ios;
    struct tidings_hub *hub;
    struct sock *socks;
    uint32_t sock_count, sock_cap;
    struct numbers free_socks, free_fds, wire;
    uint32_t *fd_sock;
    uint32_t fd_count, fd_cap, fds_open;
    uint32_t serials, open;
    uint64_t events, bytes;
    uint32_t interrupt_often;
    void (*interrupt)(void *user);
    void *interrupt_user;
};

/* Zeroes what is beyond old; never NULL. */
void *sim_grow(struct sim *s, void *p, size_t old, size_t size);
void sim_push(struct sim *s, struct numbers *n, uint32_t value);

void sim_queue_put(struct sim *s, struct queue *q, const void *p, uint32_t n);
void sim_queue_take(struct sim *s, struct queue *q, void *p, uint32_t n);
void sim_queue_drop(struct sim *s, struct queue *q);

/* Something about socket n changed: its loop may have to look at it. */
void sim_changed(struct sim *s, uint32_t n);

/* Gives the number back when both sides are done with it. */
void sim_forget(struct sim *s, uint32_t n);

/* Reset: what was not read yet is lost. */
void sim_break(struct sim *s, uint32_t n);

#endif
