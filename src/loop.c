/* SPDX-License-Identifier: MIT
 *
 * loop - see loop.h.
 */
#include "loop.h"

#include <stdlib.h>
#include <string.h>

/* More than any descriptor table; the ceiling that counts is config.max_connections. */
#define CONNS_MAX (1u << 26)

int loop_init(struct loop *l, uint32_t index, struct io *io, const struct clock *clock,
              struct registry *registry, const struct tidings_config *config)
{
    memset(l, 0, sizeof(*l));
    l->index = index;
    l->io = io;
    l->clock = clock;
    l->log = registry->log;
    l->registry = registry;
    l->config = *config;
    l->report = (struct report){.log = config->log, .user = config->user};
    l->listed = SLAB_NONE;
    l->started = clock_mono(clock);
    l->started_wall = clock_wall(clock);
    agents_init(&l->agents);
    buf_init(&l->scratch, 4096);
    slab_init(&l->conns, 128, CONNS_MAX);
    l->read_buffer = malloc(LOOP_READ_BUFFER);
    l->flat = malloc(LOOP_FLAT_BUFFER);
    if (!l->read_buffer || !l->flat || rng_secret(&l->rng, sizeof(l->rng)) < 0) {
        loop_finish(l);
        return -1;
    }
    /* Anywhere: with a store an epoch outlives the process, and ids of connections must not come again. */
    l->next_gen = rng_below(&l->rng, UINT32_MAX);
    return 0;
}

void loop_finish(struct loop *l)
{
    while (loop_is_posted(l))
        loop_run_posted(l);
    cursor_pull_finish(&l->batch.pull);
    slab_finish(&l->conns);
    agents_finish(&l->agents);
    auth_unref(l->auth);
    l->auth = NULL;
    free(l->read_buffer);
    free(l->flat);
    buf_finish(&l->scratch);
    l->read_buffer = l->flat = NULL;
}

void loop_take_config(struct loop *l)
{
    struct auth *before = l->auth;
    log_lock(l->log);
    l->config = *l->shared_config;
    l->auth = auth_ref(*l->shared_auth);
    log_unlock(l->log);
    auth_unref(before);
}

void loop_update_time(struct loop *l)
{
    l->now = clock_mono(l->clock) - l->started;
}

void loop_wake(struct loop *l)
{
    if (atomic_exchange_explicit(&l->sleeping, false, memory_order_seq_cst))
        l->io->ops->wake(l->io);
}

/* Whoever posts pushes first and then looks at `sleeping`; the loop does it the other way round (see
 * worker_turn()). One of the two always sees the other. */
void loop_post(struct loop *l, struct completion *c)
{
    struct completion *last = atomic_load_explicit(&l->posted, memory_order_relaxed);
    do
        c->next = last;
    while (!atomic_compare_exchange_weak_explicit(&l->posted, &last, c, memory_order_seq_cst,
                                                  memory_order_relaxed));
    loop_wake(l);
}

void loop_run_posted(struct loop *l)
{
    struct completion *taken = atomic_exchange_explicit(&l->posted, NULL, memory_order_seq_cst);
    struct completion *first = NULL;
    while (taken) {
        struct completion *next = taken->next;
        taken->next = first;
        first = taken;
        taken = next;
    }
    while (first) {
        struct completion *next = first->next;
        first->run(first, l);
        first = next;
    }
}
