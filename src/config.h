/* SPDX-License-Identifier: MIT
 *
 * config - defaults and ranges of the public configuration: tidings_config_init() and tidings_config_check().
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <tidings.h>

#endif
