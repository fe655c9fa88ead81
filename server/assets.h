/* SPDX-License-Identifier: MIT
 *
 * assets - the files that the build embedded (tools/embed.c wrote them into assets_data.c).
 */
#ifndef ASSETS_H
#define ASSETS_H

#include <stdbool.h>
#include <stddef.h>

#include <tidings.h>

extern const struct tidings_page assets_data[];
extern const size_t assets_data_count;

/* Adds all embedded files to the hub, before it starts. Returns 0 or what tidings_hub_pages() returned. */
int assets_add(struct tidings_hub *hub);

/* Is there a page at this path? */
bool assets_has(const char *path);

#endif
