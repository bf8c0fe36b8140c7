/* SPDX-License-Identifier: MIT
 * sotto: the client. This file only dispatches to commands. */
#include <stdio.h>
#include <string.h>

#include "client.h"

static int command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("sotto %s\n%s\n", sotto_version(), sotto_build_info());
    return EXIT_FINE;
}

static int command_help(int argc, char **argv);

const client_command client_commands[] = {
    {"transcribe", command_transcribe, "turn recordings into text"},
    {"live", command_live, "captions while someone speaks"},
    {"bench", command_bench, "time a model stage by stage beside what the machine can do"},
    {"shrink", command_shrink, "make a smaller model of one"},
    {"jobs", command_jobs, "hand recordings over to a daemon, and fetch what became of them"},
    {"study", command_study, "shrink models, transcribe labelled speech, keep the results"},
    {"devices", command_devices, "list the microphones"},
    {"completions", command_completions, "print completions for a shell"},
    {"version", command_version, "print the version and what it was built with"},
    {"help", command_help, "print this text, or the help of a command"},
};
enum { COMMAND_COUNT = sizeof client_commands / sizeof *client_commands };
const size_t client_command_count = COMMAND_COUNT;

static void print_usage(FILE *to)
{
    fputs("Usage: sotto COMMAND [OPTION]… [FILE]…\n\nCommands:\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-12s %s\n", client_commands[i].name, client_commands[i].help);
    fputs("\nExamples:\n"
          "  sotto transcribe talk.mp3\n"
          "  sotto transcribe -f srt,json -o subtitles/ *.m4a\n"
          "  sotto live --model base --srt talk.srt\n"
          "  curl -s https://example.org/talk.ogg | sotto transcribe -\n"
          "\n'sotto COMMAND --help' lists the options of a command. They can also be set in "
          "~/.config/sotto/config.toml.\n",
          to);
}

static int unknown_command(const char *name)
{
    size_t best = 0, best_distance = SIZE_MAX;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t d = options_distance(name, client_commands[i].name);
        if (d < best_distance) best_distance = d, best = i;
    }
    fprintf(stderr, "sotto: unknown command \"%s\"", name);
    if (best_distance <= 3) fprintf(stderr, "; did you mean %s?", client_commands[best].name);
    fputs("\nTry 'sotto help'.\n", stderr);
    return EXIT_USAGE;
}

static int command_help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-' || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "version") == 0) {
        print_usage(stdout);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], client_commands[i].name) == 0)
            return client_commands[i].run(2, (char *[]){argv[1], (char[]){"--help"}, NULL});
    return unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    options_read_file(settings_apply);
    if (strcmp(argv[1], "--help=man") == 0) return command_manual();
    if (strcmp(argv[1], "--version") == 0) return command_version(argc, argv);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return command_help(1, argv);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], client_commands[i].name) == 0) return client_commands[i].run(argc - 1, argv + 1);
    return unknown_command(argv[1]);
}
