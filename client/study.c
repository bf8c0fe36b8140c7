/* SPDX-License-Identifier: MIT
 * sotto study: `report` makes a page and tables of what was measured. */
#include <string.h>

#include "client.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"report", command_study_report, "make a page and tables of what was measured"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_usage(FILE *to)
{
    fputs("Usage: sotto study COMMAND [OPTION]…\n\nCommands:\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++) fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    fputs("\n'sotto study COMMAND --help' lists the options of a command.\n", to);
}

int command_study(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout);
        return EXIT_FINE;
    }
    if (argc > 1) fprintf(stderr, "sotto study: unknown command \"%s\"\n", argv[1]);
    print_usage(stderr);
    return EXIT_USAGE;
}
