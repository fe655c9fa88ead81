/* SPDX-License-Identifier: MIT
 *
 * command - the commands of the binary, one file each; main.c holds the table.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdio.h>

enum exit_code { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Each takes the arguments behind the command's name and returns an enum exit_code. */
int serve_main(int argc, char *const *argv);
int publish_main(int argc, char *const *argv);
int subscribe_main(int argc, char *const *argv);
int clients_main(int argc, char *const *argv);
int token_main(int argc, char *const *argv);
int bench_main(int argc, char *const *argv);
int version_main(int argc, char *const *argv);

#endif
