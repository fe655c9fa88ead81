/* SPDX-License-Identifier: MIT
 *
 * The binary: finds the command and runs it. Without a command, or when a flag comes first, it serves.
 */
#include <stdio.h>
#include <string.h>

#include <tidings.h>

#include "command.h"
#include "settings.h"
#include "value.h"

struct command {
    const char *name;
    int (*run)(int argc, char *const *argv);
    const char *help;
};

static int help_main(int argc, char *const *argv);

static const struct command commands[] = {
    {"serve", serve_main, "run the hub (also what `tidings` does without a command)"},
    {"publish", publish_main, "send an event to a client, a topic or everybody"},
    {"subscribe", subscribe_main, "receive events, one JSON line each"},
    {"clients", clients_main, "list who is connected"},
    {"token", token_main, "sign a token for a subscriber or publisher, or look into one"},
    {"bench", bench_main, "measure a hub, or another server"},
    {"version", version_main, "print the version"},
    {"help", help_main, "explain a command: tidings help COMMAND"},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static void print_overview(FILE *out)
{
    fputs("usage: tidings [COMMAND] [--FLAG VALUE]…\n\nTidings is a hub for Server-Sent Events.\n\n", out);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  tidings %-10s %s\n", commands[i].name, commands[i].help);
}

int version_main(int argc, char *const *argv)
{
    (void)argv;
    if (argc > 0) {
        fputs("tidings version: takes no arguments\n", stderr);
        return EXIT_USAGE;
    }
    printf("tidings %s\n", tidings_version());
    return EXIT_FINE;
}

static int unknown_command(const char *name)
{
    char shown[64];

    value_print_safe(shown, sizeof shown, name);
    fprintf(stderr, "tidings: %s: unknown command; `tidings help` lists them\n", shown);
    return EXIT_USAGE;
}

static int help_main(int argc, char *const *argv)
{
    static char *const wish[] = {"--help", NULL};
    const struct command *command;

    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "help") == 0) {
        print_overview(stdout);
        puts("\nSettings of `tidings serve`\n");
        settings_print_help(stdout);
        return EXIT_FINE;
    }
    command = find_command(argv[0]);
    if (!command)
        return unknown_command(argv[0]);
    if (command->run == version_main)
        return version_main(0, NULL);
    return command->run(1, wish);
}

int main(int argc, char **argv)
{
    const struct command *command;

    if (argc < 2)
        return serve_main(0, argv + argc);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help_main(0, NULL);
    if (strcmp(argv[1], "--version") == 0)
        return version_main(0, NULL);
    if (argv[1][0] == '-')
        return serve_main(argc - 1, argv + 1);
    command = find_command(argv[1]);
    return command ? command->run(argc - 2, argv + 2) : unknown_command(argv[1]);
}
