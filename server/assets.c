/* SPDX-License-Identifier: MIT
 *
 * Hands the embedded files to the hub. No file is read at run time: what was built is what is served.
 */
#include "assets.h"

#include <string.h>

int assets_add(struct tidings_hub *hub)
{
    return tidings_hub_pages(hub, assets_data, assets_data_count);
}

bool assets_has(const char *path)
{
    for (size_t i = 0; i < assets_data_count; i++) {
        if (strcmp(assets_data[i].path, path) == 0)
            return true;
    }
    return false;
}
