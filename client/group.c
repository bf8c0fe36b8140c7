/* SPDX-License-Identifier: MIT
 * Commands within commands: sotto study run, sotto jobs submit. */
#include <string.h>

#include "client.h"

static void print_usage(FILE *to, const char *name, const client_command *commands, size_t n, const char *more)
{
    fprintf(to, "Usage: %s COMMAND [OPTION]…\n\nCommands:\n", name);
    for (size_t i = 0; i < n; i++) fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\n%s'%s COMMAND --help' lists the options of a command.\n", more, name);
}

int command_group(const char *name, const client_command *commands, size_t n, const char *more, int argc, char **argv)
{
    if (options_visiting()) {
        for (size_t i = 0; i < n; i++) commands[i].run(1, (char *[]){(char *)(uintptr_t)commands[i].name, NULL});
        return EXIT_FINE;
    }
    for (size_t i = 0; argc > 1 && i < n; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout, name, commands, n, more);
        return EXIT_FINE;
    }
    if (argc > 1) fprintf(stderr, "%s: unknown command \"%s\"\n", name, argv[1]);
    print_usage(stderr, name, commands, n, more);
    return EXIT_USAGE;
}
