/* SPDX-License-Identifier: MIT
 * sotto completions: the commands' tables of options -> completions for bash, zsh and fish. */
#include <string.h>

#include "client.h"

#define SHELLS "bash zsh fish"

/* "transcribe", "study run" of "sotto transcribe", "sotto study run" */
static const char *command_of(const options_program *p) { return strchr(p->name, ' ') + 1; }

/* A command within a command: where the second name begins, else NULL. */
static const char *second_name(const options_program *p)
{
    const char *space = strchr(command_of(p), ' ');
    return space ? space + 1 : NULL;
}

static bool takes_file(const option *o)
{
    static const char *const words[] = {"FILE", "DIR", "PATH"};
    for (size_t i = 0; o->metavar && i < sizeof words / sizeof *words; i++)
        if (strstr(o->metavar, words[i])) return true;
    return false;
}

/* "no-" for a flag that is on */
static const char *prefix_of(const option *o)
{
    return o->kind == OPTION_IS_FLAG && o->default_text && strcmp(o->default_text, "true") == 0 ? "no-" : "";
}

static void each_option(const options_program *p, void (*one)(const options_program *p, const option *o))
{
    static const option help = {OPTION_IS_FLAG, "help", 'h', 0, NULL, 0, 0, NULL, "print the options", NULL};
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; i < p->groups[g].n; i++)
            if (p->groups[g].table[i].kind != OPTION_IS_SECTION) one(p, &p->groups[g].table[i]);
    one(p, &help);
}

/* The names of an ENUM, with spaces between them. */
static void put_choices(const option *o)
{
    for (const char *c = o->metavar; *c; c++) putchar(*c == '|' ? ' ' : *c);
}

static void put_command_names(void)
{
    for (size_t i = 0; i < client_command_count; i++) printf("%s%s", i ? " " : "", client_commands[i].name);
}

/* ---- bash ----------------------------------------------------------------------------------------------------- */

static void bash_name(const options_program *p, const option *o)
{
    (void)p;
    if (o->letter) printf(" -%c", o->letter);
    printf(" --%s%s", prefix_of(o), o->name);
}

static void bash_values(const options_program *p, const option *o)
{
    if (o->kind == OPTION_IS_FLAG) return;
    printf("    \"%s --%s\"", command_of(p), o->name);
    if (o->letter) printf("|\"%s -%c\"", command_of(p), o->letter);
    if (o->kind == OPTION_IS_ENUM) {
        fputs(") COMPREPLY=($(compgen -W \"", stdout);
        put_choices(o);
        puts("\" -- \"$cur\")); return;;");
    } else {
        puts(takes_file(o) ? ") return;;" : ") compopt +o default; return;;");
    }
}

static void bash_value_cases(const options_program *p, void *user)
{
    (void)user;
    each_option(p, bash_values);
}

static void bash_command_case(const options_program *p, void *user)
{
    (void)user;
    printf("    \"%s\") options=\"", command_of(p));
    each_option(p, bash_name);
    printf("\"; files=%d;;\n", p->takes_arguments);
}

/* [study]="run list report" of the commands within commands, which come one after the other; both shells read it. */
static void group(const options_program *p, void *user)
{
    const char **open = user; /* the name before the second one, of the program before */
    const char *second = second_name(p), *name = command_of(p);
    const size_t n = second ? (size_t)(second - name) : 0;
    if (second && *open && strncmp(*open, name, n) == 0) {
        printf(" %s", second);
        return;
    }
    if (*open) putchar('"');
    *open = second ? name : NULL;
    if (second) printf(" [%.*s]=\"%s", (int)n - 1, name, second);
}

static void bash_script(void)
{
    const char *open = NULL;
    fputs("# bash completion of sotto, made by: sotto completions bash\n"
          "_sotto() {\n"
          "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" command options files\n"
          "  local -A groups=(",
          stdout);
    commands_visit(group, &open);
    puts(open ? "\")" : ")");
    fputs("  if [[ $cur == = ]]; then cur=\n"
          "  elif [[ $prev == = ]]; then prev=\"${COMP_WORDS[COMP_CWORD-2]}\"; fi\n"
          "  COMPREPLY=()\n"
          "  command=\"${COMP_WORDS[1]}\"\n"
          "  if (( COMP_CWORD == 1 )) || [[ $command == help ]]; then COMPREPLY=($(compgen -W \"",
          stdout);
    put_command_names();
    puts(
        "\" -- \"$cur\")); return; fi\n"
        "  if [[ $command == completions ]]; then COMPREPLY=($(compgen -W \"" SHELLS "\" -- \"$cur\")); return; fi\n"
        "  if [[ ${groups[$command]} ]]; then\n"
        "    if (( COMP_CWORD == 2 )); then COMPREPLY=($(compgen -W \"${groups[$command]}\" -- \"$cur\")); return; fi\n"
        "    command=\"$command ${COMP_WORDS[2]}\"\n"
        "  fi\n"
        "  case \"$command $prev\" in");
    commands_visit(bash_value_cases, NULL);
    puts("  esac\n  case \"$command\" in");
    commands_visit(bash_command_case, NULL);
    puts("    *) return;;\n  esac\n"
         "  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
         "  elif (( ! files )); then compopt +o default; fi\n"
         "}\n"
         "complete -o default -F _sotto sotto");
}

/* ---- zsh ------------------------------------------------------------------------------------------------------ */

/* Text inside '…[text]…' or 'name:text' of zsh. */
static void zsh_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_option(const options_program *p, const option *o)
{
    const bool flag = o->kind == OPTION_IS_FLAG;
    (void)p;
    printf(" \\\n        ");
    if (o->letter)
        printf("'(-%c --%s%s)'{-%c%s,--%s%s%s}'[", o->letter, prefix_of(o), o->name, o->letter, flag ? "" : "+",
               prefix_of(o), o->name, flag ? "" : "=");
    else
        printf("'--%s%s%s[", prefix_of(o), o->name, flag ? "" : "=");
    zsh_text(o->help);
    putchar(']');
    if (!flag) {
        putchar(':');
        zsh_text(o->kind == OPTION_IS_ENUM ? o->name : o->metavar);
        putchar(':');
        if (o->kind == OPTION_IS_ENUM) {
            putchar('(');
            put_choices(o);
            putchar(')');
        } else if (takes_file(o)) {
            fputs("_files", stdout);
        }
    }
    putchar('\'');
}

static void zsh_case(const options_program *p, void *user)
{
    (void)user;
    printf("    '%s')\n      _arguments -s", command_of(p));
    each_option(p, zsh_option);
    puts(p->takes_arguments ? " \\\n        '*:file:_files';;" : ";;");
}

static void zsh_script(void)
{
    const char *open = NULL;
    fputs("#compdef sotto\n# made by: sotto completions zsh\n_sotto() {\n  local command\n  local -a commands\n"
          "  commands=(\n",
          stdout);
    for (size_t i = 0; i < client_command_count; i++) {
        printf("    '%s:", client_commands[i].name);
        zsh_text(client_commands[i].help);
        puts("'");
    }
    puts("  )\n"
         "  if (( CURRENT == 2 )) || [[ $words[2] == help ]]; then _describe command commands; return; fi\n"
         "  if [[ $words[2] == completions ]]; then compadd " SHELLS "; return; fi\n"
         "  command=$words[2]\n"
         "  local -A groups");
    fputs("  groups=(", stdout);
    commands_visit(group, &open);
    puts(open ? "\")" : ")");
    puts("  if [[ -n $groups[$command] ]]; then\n"
         "    if (( CURRENT == 3 )); then compadd ${=groups[$command]}; return; fi\n"
         "    command=\"$command $words[3]\"\n"
         "    shift words; (( CURRENT-- ))\n"
         "  fi\n"
         "  shift words; (( CURRENT-- ))\n"
         "  case $command in");
    commands_visit(zsh_case, NULL);
    puts("  esac\n}\n"
         "if [[ $funcstack[1] == _sotto ]]; then _sotto \"$@\"; else compdef _sotto sotto; fi");
}

/* ---- fish ----------------------------------------------------------------------------------------------------- */

static void fish_text(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') putchar('\\');
        putchar(*text);
    }
    putchar('\'');
}

static void fish_condition(const options_program *p)
{
    const char *name = command_of(p), *second = second_name(p);
    if (second)
        printf("complete -c sotto -n '__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'",
               (int)(second - name) - 1, name, second);
    else
        printf("complete -c sotto -n '__fish_seen_subcommand_from %s'", name);
}

static void fish_option(const options_program *p, const option *o)
{
    fish_condition(p);
    if (o->letter) printf(" -s %c", o->letter);
    printf(" -l %s%s", prefix_of(o), o->name);
    if (o->kind == OPTION_IS_ENUM) {
        fputs(" -x -a '", stdout);
        put_choices(o);
        putchar('\'');
    } else if (o->kind != OPTION_IS_FLAG) {
        fputs(takes_file(o) ? " -r -F" : " -x", stdout);
    }
    fputs(" -d ", stdout);
    fish_text(o->help);
    putchar('\n');
}

static void fish_command(const options_program *p, void *user)
{
    const char *name = command_of(p), *second = second_name(p);
    (void)user;
    if (second) {
        const int n = (int)(second - name) - 1;
        printf("complete -c sotto -n '__fish_seen_subcommand_from %.*s; and test (count (commandline -opc)) -eq 2' "
               "-f -a %s\n",
               n, name, second);
    }
    each_option(p, fish_option);
    if (p->takes_arguments && strcmp(name, "completions") != 0) {
        fish_condition(p);
        puts(" -F");
    }
}

static void fish_script(void)
{
    puts("# fish completion of sotto, made by: sotto completions fish\ncomplete -c sotto -f");
    for (size_t i = 0; i < client_command_count; i++) {
        printf("complete -c sotto -n '__fish_use_subcommand' -a %s -d ", client_commands[i].name);
        fish_text(client_commands[i].help);
        putchar('\n');
    }
    puts("complete -c sotto -n '__fish_seen_subcommand_from completions' -a '" SHELLS "'");
    commands_visit(fish_command, NULL);
}

/* ---- command -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*write)(void);
} shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

int command_completions(int argc, char **argv)
{
    options_program program = {
        .name = "sotto completions",
        .usage = "bash|zsh|fish",
        .about = "Prints the completions of all commands and options for a shell. `make install` puts them where the\n"
                 "shells look; without that, for bash:\n"
                 "  source <(sotto completions bash)",
        .takes_arguments = true,
    };
    int status = options_main(&program, argc, argv);
    if (status >= 0) return status;
    status = EXIT_USAGE;
    for (size_t i = 0; program.n_arguments == 1 && i < sizeof shells / sizeof *shells; i++)
        if (strcmp(program.arguments[0], shells[i].name) == 0) {
            shells[i].write();
            status = fflush(stdout) == 0 ? EXIT_FINE : EXIT_SOME_FAILED;
        }
    if (status == EXIT_USAGE) fputs("sotto completions: name one shell: bash, zsh or fish\n", stderr);
    options_free(&program);
    return status;
}
