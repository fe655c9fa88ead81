/* SPDX-License-Identifier: MIT
 *
 * sim - see sim.h. Sockets are numbers into one dense array, so that a million of them are cheap; a queue has
 * memory only while it holds something. Each loop's io has a list of sockets that may be ready, like the
 * kernel's: whoever is on it and turns out not to be ready is dropped when the loop waits.
 */
#include "sim_parts.h"

#include "acceptor.h"
#include "fault.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ROOM (1u << 20)
#define SETTLE_MAX   20000
#define WALL_START   1763800000000ull

/* ---- memory of the simulation ---- */

void *sim_grow(struct sim *s, void *p, size_t old, size_t size)
{
    fault_pause();
    void *fresh = realloc(p, size);
    fault_resume();
    if (!fresh) {
        fprintf(stderr, "sim: out of memory\n");
        abort();
    }
    if (size > old)
        memset((char *)fresh + old, 0, size - old);
    if (s)
        s->bytes += size - old;
    return fresh;
}

static void release(struct sim *s, void *p, size_t size)
{
    fault_pause();
    free(p);
    fault_resume();
    s->bytes -= size;
}

void sim_push(struct sim *s, struct numbers *n, uint32_t value)
{
    if (n->count == n->cap) {
        uint32_t cap = n->cap ? n->cap * 2 : 64;
        n->at = sim_grow(s, n->at, n->cap * sizeof(*n->at), cap * sizeof(*n->at));
        n->cap = cap;
    }
    n->at[n->count++] = value;
}

static void drop_numbers(struct sim *s, struct numbers *n)
{
    release(s, n->at, n->cap * sizeof(*n->at));
    *n = (struct numbers){0};
}

void sim_queue_put(struct sim *s, struct queue *q, const void *p, uint32_t n)
{
    if (q->head + q->len + n > q->cap && q->head > 0) {
        memmove(q->data, q->data + q->head, q->len);
        q->head = 0;
    }
    if (q->len + n > q->cap) {
        uint32_t cap = q->cap ? q->cap : 256;
        while (cap < q->len + n)
            cap *= 2;
        q->data = sim_grow(s, q->data, q->cap, cap);
        q->cap = cap;
    }
    memcpy(q->data + q->head + q->len, p, n);
    q->len += n;
}

void sim_queue_drop(struct sim *s, struct queue *q)
{
    if (q->cap > 0)
        release(s, q->data, q->cap);
    *q = (struct queue){0};
}

void sim_queue_take(struct sim *s, struct queue *q, void *p, uint32_t n)
{
    memcpy(p, q->data + q->head, n);
    q->head += n;
    q->len -= n;
    if (q->len == 0)
        sim_queue_drop(s, q);
}

/* ---- chance ---- */

uint32_t sim_below(struct sim *s, uint32_t n)
{
    return rng_below(&s->rng, n);
}

bool sim_chance(struct sim *s, uint32_t thousandths)
{
    return thousandths > 0 && rng_below(&s->rng, 1000) < thousandths;
}

/* ---- readiness ---- */

static bool fin_arrived(const struct sock *k)
{
    return k->flags & CLIENT_FIN && k->arrived == k->up.len;
}

static bool has_room(const struct sim *s, const struct sock *k)
{
    return k->flags & (COUNTING | CLIENT_GONE | BROKEN) || k->down.len < s->options.down;
}

static uint32_t readiness(const struct sim *s, const struct sock *k)
{
    uint32_t ready = 0;
    bool fin = fin_arrived(k), broken = k->flags & BROKEN;
    if (k->interest & IO_READ && (k->arrived > 0 || fin || broken))
        ready |= IO_READ;
    if (k->interest & IO_WRITE && has_room(s, k))
        ready |= IO_WRITE;
    if (broken || (fin && (k->interest & IO_HANGUP || k->flags & HUB_FIN)))
        ready |= IO_HANGUP;
    return ready;
}

static void unlink_ready(struct sim *s, uint32_t n)
{
    struct sock *k = &s->socks[n];
    struct sim_io *io = &s->ios[k->loop];
    if (!(k->flags & READY))
        return;
    *(k->prev != SIM_NONE ? &s->socks[k->prev].next : &io->first) = k->next;
    *(k->next != SIM_NONE ? &s->socks[k->next].prev : &io->last) = k->prev;
    k->flags &= (uint16_t)~READY;
}

/* At one end or the other of the list: the order in which a kernel reports is nobody's business. */
static void link_ready(struct sim *s, uint32_t n, bool front)
{
    struct sock *k = &s->socks[n];
    struct sim_io *io = &s->ios[k->loop];
    if (k->flags & READY)
        return;
    k->flags |= READY;
    k->prev = front ? SIM_NONE : io->last;
    k->next = front ? io->first : SIM_NONE;
    *(k->prev != SIM_NONE ? &s->socks[k->prev].next : &io->first) = n;
    *(k->next != SIM_NONE ? &s->socks[k->next].prev : &io->last) = n;
}

void sim_changed(struct sim *s, uint32_t n)
{
    struct sock *k = &s->socks[n];
    if (k->flags & WATCHED && readiness(s, k))
        link_ready(s, n, rng_next(&s->rng) & 1);
}

/* ---- life of a socket ---- */

void sim_forget(struct sim *s, uint32_t n)
{
    struct sock *k = &s->socks[n];
    if (!(k->flags & HUB_GONE) || !(k->flags & CLIENT_GONE) || k->flags & ON_WIRE)
        return;
    sim_queue_drop(s, &k->up);
    sim_queue_drop(s, &k->down);
    memset(k, 0, sizeof(*k));
    sim_push(s, &s->free_socks, n);
}

void sim_break(struct sim *s, uint32_t n)
{
    struct sock *k = &s->socks[n];
    k->flags |= BROKEN;
    sim_queue_drop(s, &k->up);
    sim_queue_drop(s, &k->down);
    k->arrived = 0;
    sim_changed(s, n);
}

static struct sock *of_fd(struct sim *s, int fd, uint32_t *n)
{
    assert(fd >= 0 && (uint32_t)fd < s->fd_count);
    *n = s->fd_sock[fd];
    assert(*n != SIM_NONE);
    return &s->socks[*n];
}

static int take_fd(struct sim *s, uint32_t sock)
{
    int fd;
    if (s->free_fds.count > 0) {
        fd = (int)s->free_fds.at[--s->free_fds.count];
    } else {
        if (s->fd_count == s->fd_cap) {
            uint32_t cap = s->fd_cap ? s->fd_cap * 2 : 64;
            s->fd_sock = sim_grow(s, s->fd_sock, s->fd_cap * sizeof(uint32_t), cap * sizeof(uint32_t));
            s->fd_cap = cap;
        }
        fd = (int)s->fd_count++;
    }
    s->fd_sock[fd] = sock;
    s->fds_open++;
    return fd;
}

static void give_fd(struct sim *s, int fd)
{
    s->fd_sock[fd] = SIM_NONE;
    s->fds_open--;
    sim_push(s, &s->free_fds, (uint32_t)fd);
}

static bool fds_are_short(const struct sim *s)
{
    return s->options.descriptors > 0 && s->fds_open >= s->options.descriptors;
}

/* ---- other threads ---- */

void sim_interrupt(struct sim *s, uint32_t thousandths, void (*call)(void *user), void *user)
{
    s->interrupt_often = thousandths;
    s->interrupt = call;
    s->interrupt_user = user;
}

static void maybe_interrupt(struct sim *s)
{
    if (s->interrupt && sim_chance(s, s->interrupt_often))
        s->interrupt(s->interrupt_user);
}

/* ---- struct io ---- */

static struct sim_io *self(struct io *io)
{
    return (struct sim_io *)(void *)io;
}

static int op_accept(struct io *base, int listener, struct io_peer *peer)
{
    struct sim_io *io = self(base);
    struct sim *s = io->sim;
    assert(listener == io->listener);
    (void)listener;
    if (fds_are_short(s))
        return -EMFILE;
    if (io->backlog_head == io->backlog.count)
        return -EAGAIN;
    if (sim_chance(s, s->options.faults.accept_error))
        return -ENOMEM;
    uint32_t n = io->backlog.at[io->backlog_head++];
    if (io->backlog_head == io->backlog.count)
        io->backlog_head = io->backlog.count = 0;
    struct sock *k = &s->socks[n];
    *peer = (struct io_peer){.port = 1, .family = IO_IPV4};
    for (unsigned i = 0; i < 4; i++)
        peer->address[i] = (uint8_t)(k->serial >> (24 - 8 * i));
    k->fd = take_fd(s, n);
    k->flags |= ACCEPTED;
    s->open++;
    return k->fd;
}

static ssize_t op_recv(struct io *base, int fd, void *p, size_t n)
{
    struct sim *s = self(base)->sim;
    uint32_t number;
    struct sock *k = of_fd(s, fd, &number);
    assert(k->loop == self(base)->loop && n > 0);
    maybe_interrupt(s);
    if (k->flags & BROKEN)
        return -ECONNRESET;
    if (sim_chance(s, s->options.faults.again))
        return -EAGAIN;
    if (k->arrived == 0)
        return fin_arrived(k) ? 0 : -EAGAIN;
    uint32_t take = n < k->arrived ? (uint32_t)n : k->arrived;
    if (sim_chance(s, s->options.faults.short_read))
        take = 1 + sim_below(s, take);
    sim_queue_take(s, &k->up, p, take);
    k->arrived -= take;
    return (ssize_t)take;
}

/* What the client is sent; returns the bytes taken. */
static size_t put_down(struct sim *s, struct sock *k, const struct iovec *iov, int count, size_t room)
{
    size_t taken = 0;
    for (int i = 0; i < count && taken < room; i++) {
        size_t n = iov[i].iov_len < room - taken ? iov[i].iov_len : room - taken;
        if (!(k->flags & (COUNTING | CLIENT_GONE)) && n > 0)
            sim_queue_put(s, &k->down, iov[i].iov_base, (uint32_t)n);
        taken += n;
    }
    k->total += taken;
    return taken;
}

static ssize_t op_send(struct io *base, int fd, const struct iovec *iov, int count)
{
    struct sim *s = self(base)->sim;
    uint32_t number;
    struct sock *k = of_fd(s, fd, &number);
    assert(k->loop == self(base)->loop && !(k->flags & HUB_FIN));
    maybe_interrupt(s);
    if (k->flags & BROKEN)
        return sim_chance(s, 500) ? -EPIPE : -ECONNRESET;
    if (sim_chance(s, s->options.faults.again) || !has_room(s, k))
        return -EAGAIN;
    size_t offered = 0;
    for (int i = 0; i < count; i++)
        offered += iov[i].iov_len;
    assert(offered > 0);
    size_t room = k->flags & (COUNTING | CLIENT_GONE) ? offered : s->options.down - k->down.len;
    size_t take = offered < room ? offered : room;
    if (sim_chance(s, s->options.faults.short_write))
        take = 1 + sim_below(s, (uint32_t)take);
    size_t taken = put_down(s, k, iov, count, take);
    if (k->flags & CLIENT_GONE)
        sim_break(s, number); /* nobody is there any more: the answer is a RST */
    return (ssize_t)taken;
}

static int op_watch(struct io *base, int fd, uint64_t tag, uint32_t interest, bool first)
{
    struct sim_io *io = self(base);
    if (fd == io->listener) {
        io->listening = interest & IO_READ;
        io->listener_tag = tag;
        return 0;
    }
    uint32_t number;
    struct sock *k = of_fd(io->sim, fd, &number);
    assert(k->loop == io->loop && first == !(k->flags & WATCHED));
    k->flags |= WATCHED;
    k->tag = tag;
    k->interest = (uint8_t)interest;
    (void)first;
    sim_changed(io->sim, number);
    return 0;
}

static void op_shutdown(struct io *base, int fd)
{
    struct sim *s = self(base)->sim;
    uint32_t number;
    struct sock *k = of_fd(s, fd, &number);
    k->flags |= HUB_FIN;
    sim_changed(s, number);
}

static void op_close(struct io *base, int fd, bool reset)
{
    struct sim *s = self(base)->sim;
    uint32_t number;
    struct sock *k = of_fd(s, fd, &number);
    unlink_ready(s, number);
    k->flags &= (uint16_t)~WATCHED;
    if (reset || k->up.len > 0) {
        k->flags |= RESET;
        sim_break(s, number);
    }
    k->flags |= HUB_GONE | HUB_FIN;
    k->fd = -1;
    s->open--;
    give_fd(s, fd);
    sim_forget(s, number);
}

static int op_wait(struct io *base, struct io_event *events, int max, int timeout_ms)
{
    struct sim_io *io = self(base);
    struct sim *s = io->sim;
    int count = 0;
    uint32_t n = io->first, last = io->last;
    bool pending = io->backlog_head < io->backlog.count;
    if (io->listening && pending && max > 0)
        events[count++] = (struct io_event){io->listener_tag, IO_READ};
    while (n != SIM_NONE && count < max) {
        struct sock *k = &s->socks[n];
        uint32_t next = n == last ? SIM_NONE : k->next, ready = readiness(s, k);
        unlink_ready(s, n);
        if (ready) {
            events[count++] = (struct io_event){k->tag, ready};
            link_ready(s, n, false); /* level-triggered: looked at again next time */
        }
        n = next;
    }
    s->events += (uint64_t)count;
    io->idle = count == 0 && timeout_ms != 0 && !io->woken;
    io->woken = false;
    return count;
}

static void op_spare(struct io *base, bool hold)
{
    struct sim_io *io = self(base);
    if (hold == io->spare || (hold && fds_are_short(io->sim)))
        return;
    io->spare = hold;
    io->sim->fds_open += hold ? 1 : UINT32_MAX;
}

static void op_wake(struct io *base)
{
    self(base)->woken = true;
}

static const struct io_ops sim_ops = {
    .accept = op_accept,
    .recv = op_recv,
    .send = op_send,
    .watch = op_watch,
    .shutdown = op_shutdown,
    .close = op_close,
    .wait = op_wait,
    .spare = op_spare,
    .wake = op_wake,
};

/* ---- the world ---- */

static struct io *create_io(void *user, uint32_t loop)
{
    struct sim *s = user;
    struct sim_io *io = &s->ios[loop];
    *io = (struct sim_io){
        .io = {&sim_ops}, .sim = s, .loop = loop, .first = SIM_NONE, .last = SIM_NONE, .listener = -1};
    op_spare(&io->io, true);
    return &io->io;
}

static void destroy_io(void *user, struct io *base)
{
    struct sim *s = user;
    struct sim_io *io = self(base);
    op_spare(base, false);
    if (io->listener >= 0)
        give_fd(s, io->listener);
    io->listener = -1;
    while (io->backlog_head < io->backlog.count) {
        uint32_t n = io->backlog.at[io->backlog_head++];
        s->socks[n].flags |= HUB_GONE;
        sim_break(s, n);
        sim_forget(s, n);
    }
    drop_numbers(s, &io->backlog);
}

static uint64_t mono(void *user)
{
    return ((struct sim *)user)->now;
}

static uint64_t wall(void *user)
{
    return WALL_START + ((struct sim *)user)->now;
}

struct sim *sim_create(const struct sim_options *options)
{
    struct sim *s = sim_grow(NULL, NULL, 0, sizeof(*s));
    s->options = *options;
    s->rng.state = options->seed;
    s->now = 1000000;
    s->options.up = options->up ? options->up : DEFAULT_ROOM;
    s->options.down = options->down ? options->down : DEFAULT_ROOM;
    s->ios = sim_grow(s, NULL, 0, options->loops * sizeof(*s->ios));
    s->sock_cap = options->sockets ? options->sockets : 16;
    s->socks = sim_grow(s, NULL, 0, (size_t)s->sock_cap * sizeof(*s->socks));
    return s;
}

void sim_destroy(struct sim *s)
{
    for (uint32_t i = 0; i < s->sock_count; i++) {
        sim_queue_drop(s, &s->socks[i].up);
        sim_queue_drop(s, &s->socks[i].down);
    }
    fault_pause();
    free(s->socks);
    free(s->ios);
    free(s->fd_sock);
    free(s->free_socks.at);
    free(s->free_fds.at);
    free(s->wire.at);
    free(s);
    fault_resume();
}

struct hub_world sim_world(struct sim *s)
{
    return (struct hub_world){
        .create_io = create_io, .destroy_io = destroy_io, .clock = {mono, wall, s}, .user = s};
}

int sim_start(struct sim *s, struct tidings_hub *hub)
{
    int rc = hub_prepare(hub);
    s->hub = hub;
    for (uint32_t i = 0; rc == 0 && i < s->options.loops; i++) {
        struct loop *l = &hub_service(hub)->loops[i];
        s->ios[i].listener = take_fd(s, SIM_NONE);
        rc = acceptor_listen(l, &s->ios[i].listener, 1);
        l->rng.state = rng_next(&s->rng);
    }
    return rc;
}

struct sim_faults *sim_faults(struct sim *s)
{
    return &s->options.faults;
}

/* ---- time and turns ---- */

uint64_t sim_now(const struct sim *s)
{
    return s->now;
}

uint64_t sim_wall(const struct sim *s)
{
    return WALL_START + s->now;
}

void sim_advance(struct sim *s, uint64_t ms)
{
    s->now += ms;
}

/* Some of what is on its way arrives. */
static void deliver(struct sim *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->wire.count; i++) {
        uint32_t n = s->wire.at[i];
        struct sock *k = &s->socks[n];
        uint32_t left = k->up.len - k->arrived;
        if (left > 0 && !sim_chance(s, s->options.faults.delay)) {
            uint32_t some = 1 + sim_below(s, left);
            k->arrived += s->options.faults.delay && sim_chance(s, 500) ? some : left;
            sim_changed(s, n);
        }
        if (k->arrived < k->up.len) {
            s->wire.at[kept++] = n;
            continue;
        }
        k->flags &= (uint16_t)~ON_WIRE;
        sim_forget(s, n);
    }
    s->wire.count = kept;
}

void sim_turn(struct sim *s, uint32_t loop)
{
    deliver(s);
    worker_turn(&hub_service(s->hub)->loops[loop], -1);
}

bool sim_settle(struct sim *s)
{
    uint32_t idle = 0;
    for (unsigned rounds = 0; rounds < SETTLE_MAX; rounds++) {
        uint32_t loop = rounds % s->options.loops;
        sim_turn(s, loop);
        idle = s->ios[loop].idle && s->wire.count == 0 ? idle + 1 : 0;
        if (idle > s->options.loops)
            return true;
    }
    return false;
}

bool sim_pass(struct sim *s, uint64_t ms, uint32_t step)
{
    uint64_t end = s->now + ms;
    while (s->now < end) {
        uint64_t left = end - s->now, most = step ? step : 100;
        sim_advance(s, left < most ? left : most);
        if (!sim_settle(s))
            return false;
    }
    return true;
}
