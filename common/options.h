/* SPDX-License-Identifier: MIT
 * Options of a program, each written once in a `.def` table: struct field, default, command line, environment and help
 * text all come from that line. Used by sottod and sotto.
 *
 * options.def, one line an option (kind, field, name, letter or 0, default, min, max, metavar, help):
 *
 *     SECTION("Network")
 *     OPTION(STRING,   listen,  "listen",  'l', "127.0.0.1:8177", 0, 0,     "HOST:PORT", "address to listen on")
 *     OPTION(INT,      queue,   "queue",   0,   "16",             1, 10000, "N",         "requests that may wait")
 *     OPTION(SIZE,     body,    "max-upload", 0, "1G",            1, 1e15,  "BYTES",     "largest upload")
 *     OPTION(DURATION, timeout, "timeout", 0,   "10m",            0, 86400, "TIME",      "longest wait in the queue")
 *     OPTION(ENUM,     log,     "log",     0,   "info",           0, 0,     "error|info|debug", "what is logged")
 *     OPTION(FLAG,     quiet,   "quiet",   'q', "false",          0, 0,     NULL,        "log nothing")
 *
 * The struct and the table:
 *
 *     typedef struct server_options {
 *     #define SECTION(title)
 *     #define OPTION OPTION_FIELD
 *     #include "options.def"
 *     #undef OPTION
 *     #undef SECTION
 *     } server_options;
 *
 *     static const option table[] = {
 *     #define SECTION OPTION_SECTION
 *     #define OPTION(...) OPTION_ENTRY(server_options, __VA_ARGS__)
 *     #include "options.def"
 *     #undef OPTION
 *     #undef SECTION
 *     };
 *
 * And main():
 *
 *     server_options o;
 *     options_group groups[] = {{.table = table, .n = sizeof table / sizeof *table, .base = &o}};
 *     options_program program = {.name = "sottod", .usage = "[OPTION]…", .about = "Transcribes …",
 *                                .groups = groups, .n_groups = 1};
 *     int status = options_main(&program, argc, argv);
 *     if (status >= 0) return status;     // --help, --version (0), or a usage error already printed (2)
 *     … program.arguments[0 … program.n_arguments-1] are the positional ones …
 *     options_free(&program);
 *
 * Sources, later ones win: defaults, a file where the program has one (options_read_file), environment (SOTTO_<NAME>,
 * '-' as '_'), command line.
 *
 * Command line: --name value, --name=value, -l value, -lvalue; flags --name, --no-name, --name=yes|no, letters bundled;
 * `--` ends the options; `-` is a positional argument. A value that begins with '-' and is no number has to be written
 * with '='. Every option is accepted with '_' for '-' too. */
#ifndef SOTTO_COMMON_OPTIONS_H
#define SOTTO_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sotto.h"

/* What a value looks like, and the C type of its field. */
typedef enum option_kind {
    OPTION_IS_SECTION,  /* heading in the help text; `help` is its title */
    OPTION_IS_FLAG,     /* bool; true false yes no on off 1 0 */
    OPTION_IS_INT,      /* int64_t; whole number in min … max */
    OPTION_IS_DOUBLE,   /* double in min … max, finite */
    OPTION_IS_STRING,   /* const char *; default NULL = none. Borrowed from argv, environment or table */
    OPTION_IS_LIST,     /* options_list; comma separated, repeatable */
    OPTION_IS_ENUM,     /* int; index into the names that the metavar lists: "error|info|debug" */
    OPTION_IS_SIZE,     /* uint64_t bytes; suffixes K M G T, powers of 1024 */
    OPTION_IS_DURATION, /* double seconds; suffixes ms s m h, none = seconds */
} option_kind;

typedef struct options_list {
    char **items;
    size_t n;
} options_list;

typedef bool option_type_FLAG;
typedef int64_t option_type_INT;
typedef double option_type_DOUBLE;
typedef const char *option_type_STRING;
typedef options_list option_type_LIST;
typedef int option_type_ENUM;
typedef uint64_t option_type_SIZE;
typedef double option_type_DURATION;

typedef struct option option;
struct option {
    option_kind kind;
    const char *name; /* "max-upload" */
    char letter;      /* 0 = none */
    size_t offset;    /* of the field in the group's base */
    const char *default_text;
    double min, max;
    const char *metavar; /* of an ENUM: its names, separated by '|' */
    const char *help;
    /* NULL, or what stores the value instead of the kind's own parser ("true"/"false" for a FLAG). `label` is how the
     * option is called in messages. Such options have no default to store; default_text is for the help only. */
    sotto_status (*store)(const option *self, void *base, const char *label, const char *value, sotto_error *err);
};

#define OPTION_FIELD(kind, field, name, letter, default_text, min, max, metavar, help) option_type_##kind field;
#define OPTION_ENTRY(type, kind, field, name, letter, default_text, min, max, metavar, help)                           \
    {OPTION_IS_##kind, name, letter, offsetof(type, field), default_text, min, max, metavar, help, NULL},
#define OPTION_SECTION(title) {OPTION_IS_SECTION, NULL, 0, 0, NULL, 0, 0, NULL, title, NULL},

/* Where an option's value came from; later ones win. */
typedef enum option_origin {
    OPTIONS_FROM_DEFAULT,
    OPTIONS_FROM_FILE,
    OPTIONS_FROM_ENVIRONMENT,
    OPTIONS_FROM_COMMAND_LINE
} option_origin;

/* A table and the struct that it fills. A program may have several (its own, and one shared with other programs). */
typedef struct options_group {
    const option *table;
    size_t n;
    void *base;
    unsigned char *origins; /* the engine's: option_origin by index */
} options_group;

typedef struct options_program {
    const char *name;  /* "sottod", "sotto transcribe" */
    const char *usage; /* what follows the name in the usage line */
    const char *about; /* sentences under it */
    const char *notes; /* NULL, or text at the end of the help */
    options_group *groups;
    size_t n_groups;
    bool takes_arguments; /* positional arguments are allowed */
    /* filled by options_read */
    const char **arguments;
    size_t n_arguments;
    bool help, version; /* --help, -h; --version were given */
    bool manual;        /* --help=man was given: the manual page in man(7) */
} options_program;

/* Defaults, file, environment, command line, in this order. argv[0] is skipped. On failure `err` holds a sentence for
 * people, with a hint where one is near. Free with options_free in any case. */
sotto_status options_read(options_program *program, int argc, char **argv, sotto_error *err);

/* options_read, then what every program does with it: returns -1 to go on, 0 after printing --help or --version to
 * stdout, 2 after printing the error to stderr. */
int options_main(options_program *program, int argc, char **argv);

/* Sets one option by its name from text. SOTTO_ENOTFOUND when there is none, SOTTO_EINVAL for a bad value. Texts must
 * outlive the options. A weaker origin never overwrites a stronger one (SOTTO_OK, nothing changed). */
sotto_status options_set(options_program *program, option_origin origin, const char *name, const char *value,
                         sotto_error *err);

/* From here on options_main only hands its program to `visit` and returns 0: for what is made of the tables of all
 * commands, each of which is called for that. NULL: as before. */
void options_visit(void (*visit)(const options_program *program, void *user), void *user);
bool options_visiting(void);

bool options_has(const options_program *program, const char *name);

/* What options_read asks for options from a file, by options_set, before it looks at the environment; NULL: none. */
void options_read_file(sotto_status (*apply)(options_program *program, sotto_error *err));

option_origin options_origin(const options_program *program, const char *name);

void options_print_help(const options_program *program, FILE *to);
void options_print_version(const options_program *program, FILE *to);
void options_free(options_program *program);

/* ---- parsers, whole string or false --------------------------------------------------------------------------- */

bool options_parse_flag(const char *text, bool *out);
bool options_parse_int(const char *text, int64_t *out);
bool options_parse_double(const char *text, double *out); /* finite, decimal */
bool options_parse_size(const char *text, uint64_t *out);
bool options_parse_duration(const char *text, double *out);

/* Edits (insert, delete, replace, swap of neighbours) between two words, for "did you mean". */
size_t options_distance(const char *a, const char *b);

/* Fills `err` (may be NULL) as the library does, and returns `code`: for daemon and client, which cannot see inside
 * the library. */
sotto_status options_fail(sotto_error *err, sotto_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
