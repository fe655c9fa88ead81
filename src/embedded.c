/* SPDX-License-Identifier: MIT
 *
 * embedded - the pages and routes that an embedder adds before the hub starts. They are served by pages.
 */
#include "hub.h"

#include <stdlib.h>
#include <string.h>

#define METHOD_MAX 32

int tidings_hub_pages(struct tidings_hub *hub, const struct tidings_page *pages, size_t count)
{
    size_t have = hub->service.page_count;
    if (hub->state != HUB_NEW)
        return TIDINGS_ESTATE;
    for (size_t i = 0; i < count; i++)
        if (!pages[i].path || pages[i].path[0] != '/' || !pages[i].content_type)
            return TIDINGS_EINVAL;
    const struct tidings_page **all = realloc(hub->pages, (have + count + 1) * sizeof(*all));
    if (!all)
        return TIDINGS_ENOMEM;
    for (size_t i = 0; i < count; i++)
        all[have + i] = &pages[i];
    hub->pages = all;
    hub->service.pages = all;
    hub->service.page_count = have + count;
    return 0;
}

static bool is_method(const char *method)
{
    size_t n = strlen(method);
    return n > 0 && n <= METHOD_MAX && strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == n;
}

int tidings_hub_route(struct tidings_hub *hub, const char *method, const char *path, tidings_handler *handle,
                      void *user)
{
    size_t have = hub->service.embedded_count, n = path ? strlen(path) : 0;
    if (hub->state != HUB_NEW)
        return TIDINGS_ESTATE;
    if (!method || !is_method(method) || !handle || n == 0 || path[0] != '/')
        return TIDINGS_EINVAL;
    struct embedder_route *all = realloc(hub->routes, (have + 1) * sizeof(*all));
    if (!all)
        return TIDINGS_ENOMEM;
    hub->routes = all;
    hub->service.embedded = all;
    bool prefix = n >= 2 && strcmp(path + n - 2, "/*") == 0;
    all[have] = (struct embedder_route){.method = strdup(method),
                                        .path = strndup(path, prefix ? n - 1 : n),
                                        .prefix = prefix,
                                        .handler = handle,
                                        .user = user};
    if (!all[have].method || !all[have].path) {
        free(all[have].method);
        free(all[have].path);
        return TIDINGS_ENOMEM;
    }
    hub->service.embedded_count++;
    return 0;
}

void hub_free_routes(struct tidings_hub *hub)
{
    for (size_t i = 0; i < hub->service.embedded_count; i++) {
        free(hub->routes[i].method);
        free(hub->routes[i].path);
    }
    free(hub->routes);
}
