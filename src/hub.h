/* SPDX-License-Identifier: MIT
 *
 * hub - the façade: makes the rooms, gives each its pointers, runs one thread for each loop, and is what the
 * public header promises. What stands here beside <tidings.h> is for the tests, which run a hub on an io and
 * a clock of their own, without threads.
 */
#ifndef HUB_H
#define HUB_H

#include "listener.h"
#include "pages.h"
#include "tls.h"

#define HUB_LISTENERS_MAX 64

struct hub_world {
    struct io *(*create_io)(void *user, uint32_t loop); /* NULL: memory or descriptors are short */
    void (*destroy_io)(void *user, struct io *io);
    struct clock clock;
    void *user;
};

enum hub_state { HUB_NEW, HUB_PREPARED, HUB_RUNNING, HUB_STOPPED };

struct tidings_hub {
    _Atomic enum hub_state state; /* changed by create, start and stop, read by any thread */
    struct tidings_config config;
    struct hub_world world;
    struct clock clock;
    struct log log;
    struct registry registry;
    struct sequencer sequencer;
    struct gzip gzip;
    struct quota quota;
    struct authorizer authorizer;
    struct hooks hooks;
    struct service service;
    struct loop *loops;
    uint32_t loop_count;
    pthread_t *threads;
    uint32_t thread_count;
    atomic_bool stop;
    struct listener listeners[HUB_LISTENERS_MAX];
    uint32_t listener_count;
    int *loop_listeners; /* loop_count rows of listener_count descriptors */
    const struct tidings_page **pages;
    struct embedder_route *routes;
    struct auth_secret secret;
    struct auth *auth;      /* replaced under the lock; loops hold references of their own */
    struct tls_server *tls; /* NULL: no certificate is configured */
    struct log_rule *rules; /* read under the lock only; one allocation with its texts */
};

/* Like tidings_hub_create() in another world. */
int hub_create_in(struct tidings_hub **hub, const struct tidings_config *config,
                  const struct hub_world *world);

/* Makes the loops, instead of tidings_hub_start(); nobody turns them but the caller, with worker_turn(). */
int hub_prepare(struct tidings_hub *hub);

struct service *hub_service(struct tidings_hub *hub);

/* Of the embedder; in embedded.c. */
void hub_free_routes(struct tidings_hub *hub);

#endif
