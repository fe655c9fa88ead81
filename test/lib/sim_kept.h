/* SPDX-License-Identifier: MIT
 *
 * sim_kept - what sim_model's plain list says of history: which of the published events are still kept, why
 * the others are not, and what a reader who joins is therefore owed and told. Of the hub it reads which
 * events are held at this moment, and nothing else; that one is missing has to have a reason.
 */
#ifndef SIM_KEPT_H
#define SIM_KEPT_H

#include "sim_oracle.h"

/* A hash seed from the run's seed with which no two of the test's channels share a mark for what is
 * forgotten: a false alarm then has no excuse. And ids that are the same in each run. Before sim_start(). */
void kept_choose_hash(struct model *m);

/* The event was published just now: what is to be kept of it. */
void kept_publish(struct model *m, struct published *e, uint32_t ttl);

/* Finds out what was given up since the last call. After whatever may have done so. */
void kept_look(struct model *m);

/* The reader has joined: what it is owed from before, and what it must be told. */
void kept_join(struct model *m, struct reader *r);

/* Limits are about to change. */
void kept_change(struct model *m);

/* Is a reader owed event i, which was published before it joined? */
bool kept_owes(const struct reader *r, size_t i);

/* May event i be missing although the reader is owed it, and is told nothing more? */
bool kept_may_skip(const struct model *m, const struct reader *r, size_t i);

#endif
