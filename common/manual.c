/* SPDX-License-Identifier: MIT
 * man(7) of options (manual.h). */
#include "manual.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void put(FILE *to, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *escaped = text[i] == '\\' ? "\\e" : text[i] == '-' ? "\\-" : text[i] == '\'' ? "\\(aq" : NULL;
        if (escaped)
            fputs(escaped, to);
        else
            fputc(text[i], to);
    }
}

static void put_all(FILE *to, const char *text) { put(to, text, strlen(text)); }

/* Escapes what would be read as a request at the beginning of a line. */
static void put_begin(FILE *to, const char *text)
{
    if (*text == '.' || *text == '\'') fputs("\\&", to);
}

void manual_write_line(FILE *to, const char *text, size_t n)
{
    enum { WIDTH = 72 }; /* of lines of the source, which are filled when they are shown */
    size_t column = 0;
    for (size_t i = 0, m; i < n; i += m) {
        for (m = 0; i + m < n && text[i + m] == ' ';) m++;
        const size_t spaces = m;
        while (i + m < n && text[i + m] != ' ') m++;
        const bool breaks = column && spaces && column + m > WIDTH;
        if (breaks) fputc('\n', to);
        if (breaks || !column) put_begin(to, text + i + (breaks ? spaces : 0));
        put(to, text + i + (breaks ? spaces : 0), m - (breaks ? spaces : 0));
        column = breaks ? m - spaces : column + m;
    }
    fputc('\n', to);
}

void manual_write_head(FILE *to, const char *name, int section, const char *tagline)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    char date[16] = "", *end;
    time_t now = time(NULL);
    struct tm tm;
    if (epoch && isdigit((unsigned char)*epoch)) {
        long long given = strtoll(epoch, &end, 10);
        if (!*end) now = (time_t)given;
    }
    if (gmtime_r(&now, &tm)) strftime(date, sizeof date, "%Y-%m-%d", &tm);
    fputs(".\\\" Made from the tables of options; edit those.\n.TH ", to);
    for (const char *c = name; *c; c++) fputc(toupper((unsigned char)*c), to);
    fprintf(to, " %d \"%s\" \"sotto %s\"\n.SH NAME\n%s \\- ", section, date, sotto_version(), name);
    manual_write_line(to, tagline, strlen(tagline));
}

void manual_write_text(FILE *to, const char *text)
{
    bool as_is = false;
    while (*text) {
        const size_t n = strcspn(text, "\n");
        const bool indented = n && *text == ' ';
        if (indented != as_is) fputs(indented ? ".PP\n.nf\n" : ".fi\n.PP\n", to);
        as_is = indented;
        if (indented) {
            put(to, text, n);
            fputc('\n', to);
        } else if (n) {
            manual_write_line(to, text, n);
        }
        text += n + (text[n] == '\n');
    }
    if (as_is) fputs(".fi\n", to);
}

static void write_option(FILE *to, const option *o)
{
    const bool flag = o->kind == OPTION_IS_FLAG, on = flag && o->default_text && strcmp(o->default_text, "true") == 0;
    fputs(".TP\n", to);
    if (o->letter) fprintf(to, "\\fB\\-%c\\fR, ", o->letter);
    fprintf(to, "\\fB\\-\\-%s", on ? "no\\-" : "");
    put_all(to, o->name);
    if (!flag) {
        fputs("\\fR \\fI", to);
        put_all(to, o->metavar);
    }
    fputs("\\fR\n", to);
    manual_write_line(to, o->help, strlen(o->help));
    if (flag || !o->default_text || !*o->default_text) return;
    fputs("[", to);
    put_all(to, o->default_text);
    fputs("]\n", to);
}

void manual_write_options(FILE *to, const options_program *program, bool first)
{
    static const option own[] = {
        {OPTION_IS_FLAG, "help", 'h', 0, "false", 0, 0, NULL, "print the options", NULL},
        {OPTION_IS_FLAG, "version", 0, 0, "false", 0, 0, NULL, "print the version and what it was built with", NULL},
    };
    for (size_t g = 0; g < program->n_groups; g++)
        for (size_t i = 0; i < program->groups[g].n; i++) {
            const option *o = &program->groups[g].table[i];
            if (o->kind != OPTION_IS_SECTION) {
                write_option(to, o);
                continue;
            }
            fputs(i || g || !first ? ".PP\n\\fI" : "\\fI", to);
            put_all(to, o->help);
            fputs("\\fR\n", to);
        }
    fputs(".PP\n\\fIGeneral\\fR\n", to);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) write_option(to, &own[i]);
}

void manual_write_program(FILE *to, const options_program *program)
{
    const char *about = program->about;
    char tagline[160];
    /* The first sentence names the page, in the imperative of --help or not. */
    snprintf(tagline, sizeof tagline, "%.*s", (int)strcspn(about, ".\n:"), about);
    tagline[0] = (char)tolower((unsigned char)tagline[0]);
    manual_write_head(to, program->name, strcmp(program->name, "sottod") == 0 ? 8 : 1, tagline);
    fprintf(to, ".SH SYNOPSIS\n.B %s\n", program->name);
    manual_write_line(to, program->usage, strlen(program->usage));
    fputs(".SH DESCRIPTION\n", to);
    manual_write_text(to, about);
    fputs(".SH OPTIONS\n", to);
    manual_write_options(to, program, true);
    fputs(".SH ENVIRONMENT\nEvery option can also be set in the environment: \\fB\\-\\-some\\-name\\fR as "
          "\\fBSOTTO_SOME_NAME\\fR.\nThe command line wins.\n",
          to);
    if (program->notes) {
        fputs(".SH NOTES\n", to);
        manual_write_text(to, program->notes);
    }
    fputs(".SH SEE ALSO\n", to);
    fputs(strcmp(program->name, "sottod") == 0 ? ".BR sotto (1)\n" : ".BR sottod (8)\n", to);
}
