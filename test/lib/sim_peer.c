/* SPDX-License-Identifier: MIT
 *
 * sim_peer - the clients' side of the simulated sockets; see sim.h.
 */
#include "sim_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void on_wire(struct sim *s, uint32_t n)
{
    struct sock *k = &s->socks[n];
    if (s->options.faults.delay == 0) {
        k->arrived = k->up.len;
        sim_changed(s, n);
    } else if (!(k->flags & ON_WIRE)) {
        k->flags |= ON_WIRE;
        sim_push(s, &s->wire, n);
    }
}

uint32_t sim_connect(struct sim *s, uint32_t loop)
{
    uint32_t n;
    if (s->free_socks.count > 0) {
        n = s->free_socks.at[--s->free_socks.count];
    } else {
        if (s->sock_count == s->sock_cap) {
            size_t old = (size_t)s->sock_cap * sizeof(*s->socks);
            s->socks = sim_grow(s, s->socks, old, 2 * old);
            s->sock_cap *= 2;
        }
        n = s->sock_count++;
    }
    struct sock *k = &s->socks[n];
    *k = (struct sock){
        .serial = ++s->serials, .next = SIM_NONE, .prev = SIM_NONE, .fd = -1, .loop = (uint8_t)loop};
    k->flags = USED;
    struct sim_io *io = &s->ios[loop];
    sim_push(s, &io->backlog, n);
    return n;
}

size_t sim_send(struct sim *s, uint32_t sock, const void *p, size_t n)
{
    struct sock *k = &s->socks[sock];
    assert(!(k->flags & (CLIENT_FIN | CLIENT_GONE)));
    if (k->flags & BROKEN || n == 0)
        return 0;
    if (k->flags & HUB_GONE) {
        k->flags |= RESET;
        sim_break(s, sock);
        return 0;
    }
    size_t room = s->options.up - k->up.len;
    size_t take = n < room ? n : room;
    if (take == 0)
        return 0;
    sim_queue_put(s, &k->up, p, (uint32_t)take);
    on_wire(s, sock);
    return take;
}

size_t sim_recv(struct sim *s, uint32_t sock, void *p, size_t n)
{
    struct sock *k = &s->socks[sock];
    size_t take = n < k->down.len ? n : k->down.len;
    if (take == 0)
        return 0;
    sim_queue_take(s, &k->down, p, (uint32_t)take);
    sim_changed(s, sock);
    return take;
}

void sim_shutdown(struct sim *s, uint32_t sock)
{
    struct sock *k = &s->socks[sock];
    if (k->flags & (CLIENT_FIN | BROKEN))
        return;
    k->flags |= CLIENT_FIN;
    sim_changed(s, sock);
}

void sim_close(struct sim *s, uint32_t sock)
{
    struct sock *k = &s->socks[sock];
    assert(!(k->flags & CLIENT_GONE));
    if (k->down.len > 0)
        sim_break(s, sock); /* closing with unread bytes resets, as TCP does */
    k->flags |= CLIENT_FIN | CLIENT_GONE;
    sim_changed(s, sock);
    sim_forget(s, sock);
}

void sim_reset(struct sim *s, uint32_t sock)
{
    sim_break(s, sock);
    sim_close(s, sock);
}

size_t sim_waiting(const struct sim *s, uint32_t sock)
{
    return s->socks[sock].down.len;
}

uint64_t sim_received(const struct sim *s, uint32_t sock)
{
    return s->socks[sock].total;
}

bool sim_ended(const struct sim *s, uint32_t sock)
{
    const struct sock *k = &s->socks[sock];
    return k->flags & HUB_FIN && k->down.len == 0;
}

bool sim_was_reset(const struct sim *s, uint32_t sock)
{
    return s->socks[sock].flags & (RESET | BROKEN);
}

bool sim_was_accepted(const struct sim *s, uint32_t sock)
{
    return s->socks[sock].flags & ACCEPTED;
}

uint32_t sim_serial(const struct sim *s, uint32_t sock)
{
    return s->socks[sock].serial;
}

uint32_t sim_serial_of(const char *address)
{
    uint32_t serial = 0;
    for (unsigned i = 0; i < 4; i++) {
        char *end;
        serial = serial << 8 | (uint32_t)strtoul(address, &end, 10);
        address = end + 1;
    }
    return serial;
}

void sim_count_only(struct sim *s, uint32_t sock)
{
    s->socks[sock].flags |= COUNTING;
    sim_queue_drop(s, &s->socks[sock].down);
    sim_changed(s, sock);
}

uint32_t sim_open_sockets(const struct sim *s)
{
    return s->open;
}

uint32_t sim_descriptors(const struct sim *s)
{
    return s->fds_open;
}

uint64_t sim_events(const struct sim *s)
{
    return s->events;
}

uint64_t sim_bytes(const struct sim *s)
{
    return s->bytes;
}
