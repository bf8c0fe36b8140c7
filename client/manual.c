/* SPDX-License-Identifier: MIT
 * sotto(1), all commands on one page. */
#include "manual.h"

#include <string.h>

#include "client.h"

void commands_visit(void (*visit)(const options_program *program, void *user), void *user)
{
    options_visit(visit, user);
    for (size_t i = 0; i < client_command_count; i++) {
        const client_command *c = &client_commands[i];
        /* help and version are not options engines' programs */
        if (strcmp(c->name, "help") == 0 || strcmp(c->name, "version") == 0) continue;
        c->run(1, (char *[]){(char *)(uintptr_t)c->name, NULL});
    }
    options_visit(NULL, NULL);
}

static void write_command(const options_program *p, void *user)
{
    FILE *to = user;
    fprintf(to, ".SS %s\n.B %s\n", p->name, p->name);
    manual_write_line(to, p->usage, strlen(p->usage));
    fputs(".PP\n", to);
    manual_write_text(to, p->about);
    manual_write_options(to, p, false);
    if (!p->notes) return;
    fputs(".PP\n", to);
    manual_write_text(to, p->notes);
}

int command_manual(void)
{
    FILE *to = stdout;
    manual_write_head(to, "sotto", 1, "speech to text on this computer");
    fputs(".SH SYNOPSIS\n.B sotto\n\\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIFILE\\fR]...\n"
          ".SH DESCRIPTION\nTurns recordings and speech into text with Whisper models, by asking\n.BR sottod (8)\n"
          "or in its own process.\n.SH COMMANDS\n",
          to);
    for (size_t i = 0; i < client_command_count; i++) {
        fprintf(to, ".TP\n.B %s\n", client_commands[i].name);
        manual_write_line(to, client_commands[i].help, strlen(client_commands[i].help));
    }
    fputs(".SH OPTIONS\n", to);
    commands_visit(write_command, to);
    fputs(".SH FILES\n.TP\n.I ~/.config/sotto/config.toml\n"
          "Options that neither command line nor environment give, by their long names without the hyphens in front:\n"
          "those before the first table for every command that has them, those of a table such as [transcribe] or\n"
          "[study.run] for that command. $XDG_CONFIG_HOME is minded. For example:\n.PP\n.nf\n"
          "server = \"http://127.0.0.1:8177\"\n[transcribe]\nformat = [\"txt\", \"srt\"]\njobs = 4\n.fi\n",
          to);
    fputs(".SH ENVIRONMENT\nEvery option can also be set in the environment: \\fB\\-\\-some\\-name\\fR as "
          "\\fBSOTTO_SOME_NAME\\fR.\nThe command line wins.\n.SH SEE ALSO\n.BR sottod (8)\n",
          to);
    return fflush(to) == 0 ? EXIT_FINE : EXIT_SOME_FAILED;
}
