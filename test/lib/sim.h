/* SPDX-License-Identifier: MIT
 *
 * sim - a world in memory for a whole hub: sockets are pairs of byte queues, time stands still until the test
 * moves it, and what goes wrong is drawn from a seed. The hub runs in it unchanged, on this `struct io` and
 * this `struct clock`; the test turns its loops itself, in the order it likes.
 *
 *     client                      the socket                           hub
 *     sim_send ──► up:   [ on its way | arrived ] ──► recv
 *     sim_recv ◄── down: [ not yet read by the client ] ◄── send     (full at `down` bytes: -EAGAIN)
 *
 * Readiness is level-triggered like epoll's: IO_READ and IO_WRITE as watched, end of the peer's side only if
 * IO_HANGUP is watched, breakage always. A connection that is reset loses what was not read yet, in both
 * directions; a hub that closes while bytes of the client are unread resets it (as TCP does), and so does
 * a client that goes on talking to a hub that has closed. Descriptors are used again at once, the last one
 * first. One thread only.
 */
#ifndef SIM_H
#define SIM_H

#include "hub.h"

#define SIM_NONE UINT32_MAX

/* 1 in builds with assertions or sanitizers: tests do less there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
#define SIM_SLOW 1
#else
#define SIM_SLOW 0
#endif

/* In 1/1000 of the calls. */
struct sim_faults {
    uint16_t short_read;   /* recv gives fewer bytes than there are */
    uint16_t short_write;  /* send takes fewer bytes than there is room for */
    uint16_t again;        /* recv and send say -EAGAIN although they could */
    uint16_t delay;        /* bytes of a client stay on their way for another turn */
    uint16_t accept_error; /* accept says -ENOMEM; the connection stays in the queue */
};

struct sim_options {
    uint64_t seed;
    uint32_t loops;       /* at least 1 */
    uint32_t sockets;     /* room is made for so many at once; more come by growing */
    uint32_t descriptors; /* ceiling, spare ones and listeners included; 0 = none */
    uint32_t up, down;    /* capacities in bytes; 0: 1 MiB */
    struct sim_faults faults;
};

struct sim;

/* Ends the program when memory is short: the simulation itself never fails. */
struct sim *sim_create(const struct sim_options *options);
void sim_destroy(struct sim *s);

/* For hub_create_in(). */
struct hub_world sim_world(struct sim *s);

/* hub_prepare(), then one listener for each loop, and the loops' jitter from the seed. */
int sim_start(struct sim *s, struct tidings_hub *hub);

struct sim_faults *sim_faults(struct sim *s);

/* Called in 1/1000 of all calls of recv and send, before they do anything: what another thread may do just
 * then (publish, kick), since no lock is held during I/O. It may not turn a loop. NULL: nothing. */
void sim_interrupt(struct sim *s, uint32_t thousandths, void (*call)(void *user), void *user);

/* ---- chance ---- */

uint32_t sim_below(struct sim *s, uint32_t n);
bool sim_chance(struct sim *s, uint32_t thousandths);

/* ---- time and turns ---- */

uint64_t sim_now(const struct sim *s);
uint64_t sim_wall(const struct sim *s);
void sim_advance(struct sim *s, uint64_t ms);

void sim_turn(struct sim *s, uint32_t loop);

/* Turns all loops until nobody has anything to do at this moment. False: they would turn for ever. */
bool sim_settle(struct sim *s);

/* Lets time pass in steps of at most `step` ms (0: 100) and settles after each. False as above. */
bool sim_pass(struct sim *s, uint64_t ms, uint32_t step);

/* ---- the client's side of a connection ---- */

/* A new connection to this loop's listener. */
uint32_t sim_connect(struct sim *s, uint32_t loop);

/* Bytes taken: as many as fit. 0 after a reset. */
size_t sim_send(struct sim *s, uint32_t sock, const void *p, size_t n);

/* Bytes read into p. 0: nothing there; sim_ended() or sim_was_reset() may say why. */
size_t sim_recv(struct sim *s, uint32_t sock, void *p, size_t n);

void sim_shutdown(struct sim *s, uint32_t sock); /* half-close: we have said everything */
void sim_close(struct sim *s, uint32_t sock);    /* the client is gone; the number is invalid afterwards */
void sim_reset(struct sim *s, uint32_t sock);    /* the same with a RST */

size_t sim_waiting(const struct sim *s, uint32_t sock);    /* bytes to be read */
uint64_t sim_received(const struct sim *s, uint32_t sock); /* bytes that the hub has sent so far */
bool sim_ended(const struct sim *s, uint32_t sock);        /* the hub has ended its side, all is read */
bool sim_was_reset(const struct sim *s, uint32_t sock);    /* by the hub */
bool sim_was_accepted(const struct sim *s, uint32_t sock);
uint32_t sim_serial(const struct sim *s, uint32_t sock); /* unique for all connections of the world */
uint32_t sim_serial_of(const char *address);             /* from the hub's text of the peer's address */

/* What the hub sends is counted and thrown away; the client never falls behind. */
void sim_count_only(struct sim *s, uint32_t sock);

/* ---- questions about the whole ---- */

uint32_t sim_open_sockets(const struct sim *s); /* that the hub has not closed */
uint32_t sim_descriptors(const struct sim *s);  /* in use */
uint64_t sim_events(const struct sim *s);       /* readiness events reported so far */
uint64_t sim_bytes(const struct sim *s);        /* memory of the simulation itself */

#endif
