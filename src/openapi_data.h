/* SPDX-License-Identifier: MIT
 *
 * openapi_data - docs/openapi.json as bytes. The build generates the .c file.
 */
#ifndef OPENAPI_DATA_H
#define OPENAPI_DATA_H

#include <stddef.h>

extern const char openapi_data[];
extern const size_t openapi_data_len;

#endif
