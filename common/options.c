/* SPDX-License-Identifier: MIT
 * The options engine: tables in, filled structs out (options.h). */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "manual.h"

extern char **environ;

enum { NAME_MAX_BYTES = 64, HELP_WIDTH = 100, HELP_COLUMN = 36 };

sotto_status options_fail(sotto_error *err, sotto_status code, const char *format, ...)
{
    if (err) {
        va_list args;
        err->code = code;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return code;
}

/* ---- parsers -------------------------------------------------------------------------------------------------- */

bool options_parse_flag(const char *text, bool *out)
{
    static const char *const names[][2] = {{"true", "false"}, {"yes", "no"}, {"on", "off"}, {"1", "0"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int side = 0; side < 2; side++)
            if (strcasecmp(text, names[i][side]) == 0) {
                *out = side == 0;
                return true;
            }
    return false;
}

bool options_parse_int(const char *text, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && !((text[0] == '-' || text[0] == '+') && isdigit((unsigned char)text[1])))
        return false;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || *end) return false;
    *out = v;
    return true;
}

/* A plain decimal number at the start of `text`: no white space, hexadecimal, "nan" or "inf". */
static bool parse_number(const char *text, double *out, char **end)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (digits[0] == '.' ? !isdigit((unsigned char)digits[1]) : !isdigit((unsigned char)digits[0])) return false;
    if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) return false;
    *out = strtod(text, end);
    return isfinite(*out);
}

bool options_parse_double(const char *text, double *out)
{
    char *end;
    double v;
    if (!parse_number(text, &v, &end) || *end) return false;
    *out = v;
    return true;
}

bool options_parse_size(const char *text, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    char *end;
    double v;
    if (!parse_number(text, &v, &end) || v < 0) return false;
    const char *at = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    if (at) {
        v = ldexp(v, 10 * (int)(at - suffixes + 1));
        end++;
        if (*end == 'i') end++;
    }
    if (*end == 'B') end++;
    if (*end || v >= 0x1p63) return false;
    *out = (uint64_t)v;
    return true;
}

bool options_parse_duration(const char *text, double *out)
{
    static const struct {
        const char *suffix;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"min", 60}, {"h", 3600}};
    char *end;
    double v;
    if (!parse_number(text, &v, &end)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].suffix) == 0) {
            *out = v * units[i].seconds;
            return true;
        }
    return false;
}

/* Index of `text` among the names "a|b|c", or -1. */
static int parse_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (int i = 0;; i++) {
        size_t len = strcspn(choices, "|");
        if (len == n && strncasecmp(choices, text, n) == 0) return i;
        if (!choices[len]) return -1;
        choices += len + 1;
    }
}

size_t options_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t rows[3][NAME_MAX_BYTES + 1], *before = rows[0], *last = rows[1], *now = rows[2];
    if (n > NAME_MAX_BYTES || m > NAME_MAX_BYTES) return SIZE_MAX;
    for (size_t j = 0; j <= m; j++) last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[m];
}

/* ---- storing -------------------------------------------------------------------------------------------------- */

static void list_clear(options_list *list)
{
    for (size_t i = 0; i < list->n; i++) free(list->items[i]);
    free(list->items);
    *list = (options_list){0};
}

/* Appends the comma separated items of `text`; empty ones are refused. */
static sotto_status list_append(options_list *list, const char *label, const char *text, sotto_error *err)
{
    for (;;) {
        size_t len = strcspn(text, ",");
        if (len == 0) return options_fail(err, SOTTO_EINVAL, "%s has an empty item in its list", label);
        char **items = realloc(list->items, (list->n + 1) * sizeof *items);
        if (!items) return options_fail(err, SOTTO_ENOMEM, "out of memory: values of %s", label);
        list->items = items;
        if (!(items[list->n] = strndup(text, len)))
            return options_fail(err, SOTTO_ENOMEM, "out of memory: values of %s", label);
        list->n++;
        if (!text[len]) return SOTTO_OK;
        text += len + 1;
    }
}

static sotto_status check_range(const option *o, const char *label, const char *text, double v, sotto_error *err)
{
    if (v >= o->min && v <= o->max) return SOTTO_OK;
    return options_fail(err, SOTTO_EINVAL, "%s is %s, which is outside %.15g to %.15g%s", label, text, o->min, o->max,
                        o->kind == OPTION_IS_DURATION ? " seconds"
                        : o->kind == OPTION_IS_SIZE   ? " bytes"
                                                      : "");
}

static sotto_status store(const option *o, void *base, const char *label, const char *text, sotto_error *err)
{
    void *field = (char *)base + o->offset;
    const char *expected = NULL;
    sotto_status st = SOTTO_OK;
    if (o->kind == OPTION_IS_FLAG) {
        bool v;
        if (!options_parse_flag(text, &v))
            expected = "yes or no";
        else if (o->store)
            return o->store(o, base, label, v ? "true" : "false", err);
        else
            *(bool *)field = v;
    } else if (o->store) {
        return o->store(o, base, label, text, err);
    } else if (o->kind == OPTION_IS_INT) {
        int64_t v;
        if (!options_parse_int(text, &v))
            expected = "a whole number";
        else if ((st = check_range(o, label, text, (double)v, err)) == SOTTO_OK)
            *(int64_t *)field = v;
    } else if (o->kind == OPTION_IS_DOUBLE) {
        double v;
        if (!options_parse_double(text, &v))
            expected = "a number";
        else if ((st = check_range(o, label, text, v, err)) == SOTTO_OK)
            *(double *)field = v;
    } else if (o->kind == OPTION_IS_SIZE) {
        uint64_t v;
        if (!options_parse_size(text, &v))
            expected = "a size in bytes, such as 500K, 25M or 1G";
        else if ((st = check_range(o, label, text, (double)v, err)) == SOTTO_OK)
            *(uint64_t *)field = v;
    } else if (o->kind == OPTION_IS_DURATION) {
        double v;
        if (!options_parse_duration(text, &v))
            expected = "a time, such as 250ms, 30s, 10m or 1h";
        else if ((st = check_range(o, label, text, v, err)) == SOTTO_OK)
            *(double *)field = v;
    } else if (o->kind == OPTION_IS_ENUM) {
        int v = parse_choice(o->metavar, text);
        if (v < 0)
            expected = o->metavar;
        else
            *(int *)field = v;
    } else if (o->kind == OPTION_IS_LIST) {
        st = list_append(field, label, text, err);
    } else {
        *(const char **)field = text;
    }
    if (expected) return options_fail(err, SOTTO_EINVAL, "%s is \"%s\", but should be %s", label, text, expected);
    return st;
}

/* ---- finding -------------------------------------------------------------------------------------------------- */

/* An option of a program: its group and index in the group's table. */
typedef struct found {
    options_group *group;
    size_t index;
    const option *option;
    bool negated; /* "no-" was in front of a flag's name */
} found;

static bool same_name(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((a[i] == '_' ? '-' : a[i]) != b[i]) return false;
    return b[n] == '\0';
}

/* The option called name[0 … n), or by its letter when name is NULL. */
static bool find(const options_program *p, const char *name, size_t n, char letter, found *out)
{
    bool no = name && n > 3 && (strncmp(name, "no-", 3) == 0 || strncmp(name, "no_", 3) == 0);
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; i < p->groups[g].n; i++) {
            const option *o = &p->groups[g].table[i];
            if (o->kind == OPTION_IS_SECTION) continue;
            bool plain = name ? same_name(name, o->name, n) : o->letter == letter && letter;
            bool negated = !plain && no && o->kind == OPTION_IS_FLAG && same_name(name + 3, o->name, n - 3);
            if (!plain && !negated) continue;
            *out = (found){&p->groups[g], i, o, negated};
            return true;
        }
    return false;
}

/* SOTTO_ENOTFOUND with the nearest name as a hint. */
static sotto_status fail_unknown(const options_program *p, const char *name, size_t n, sotto_error *err)
{
    char given[NAME_MAX_BYTES + 1];
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;
    snprintf(given, sizeof given, "%.*s", (int)(n > NAME_MAX_BYTES ? NAME_MAX_BYTES : n), name);
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; i < p->groups[g].n; i++) {
            const char *candidate = p->groups[g].table[i].name;
            size_t d = candidate ? options_distance(given, candidate) : SIZE_MAX;
            /* A beginning of a name is as good as one edit. */
            if (candidate && n >= 2 && strncmp(given, candidate, n) == 0 && d > 1) d = 1;
            if (d < best_distance) best_distance = d, best = candidate;
        }
    if (best && best_distance <= (n < 6 ? 2 : n / 3))
        return options_fail(err, SOTTO_ENOTFOUND, "unknown option --%s; did you mean --%s?", given, best);
    return options_fail(err, SOTTO_ENOTFOUND, "unknown option --%s", given);
}

static sotto_status set_found(const found *f, option_origin origin, const char *label, const char *value,
                              sotto_error *err)
{
    unsigned char *was = f->group->origins ? &f->group->origins[f->index] : NULL;
    if (was && *was > origin) return SOTTO_OK;
    if (f->option->kind == OPTION_IS_LIST && !f->option->store && was && *was < origin)
        list_clear((void *)((char *)f->group->base + f->option->offset));
    if (was) *was = (unsigned char)origin;
    return store(f->option, f->group->base, label, value, err);
}

sotto_status options_set(options_program *program, option_origin origin, const char *name, const char *value,
                         sotto_error *err)
{
    found f;
    if (!find(program, name, strlen(name), 0, &f) || f.negated) return fail_unknown(program, name, strlen(name), err);
    return set_found(&f, origin, name, value, err);
}

bool options_has(const options_program *program, const char *name)
{
    found f;
    return find(program, name, strlen(name), 0, &f) && !f.negated;
}

option_origin options_origin(const options_program *program, const char *name)
{
    found f;
    if (!find(program, name, strlen(name), 0, &f) || !f.group->origins) return OPTIONS_FROM_DEFAULT;
    return (option_origin)f.group->origins[f.index];
}

/* ---- sources -------------------------------------------------------------------------------------------------- */

static sotto_status read_defaults(options_program *p, sotto_error *err)
{
    for (size_t g = 0; g < p->n_groups; g++) {
        options_group *group = &p->groups[g];
        if (!(group->origins = calloc(group->n ? group->n : 1, 1)))
            return options_fail(err, SOTTO_ENOMEM, "out of memory: options of %s", p->name);
        /* Lists first become empty, so that options_free may run whatever happens after. */
        for (size_t i = 0; i < group->n; i++)
            if (group->table[i].kind == OPTION_IS_LIST && !group->table[i].store)
                *(options_list *)(void *)((char *)group->base + group->table[i].offset) = (options_list){0};
    }
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; i < p->groups[g].n; i++) {
            const option *o = &p->groups[g].table[i];
            if (o->kind == OPTION_IS_SECTION || o->store) continue;
            if (!o->default_text) {
                if (o->kind == OPTION_IS_STRING) *(const char **)(void *)((char *)p->groups[g].base + o->offset) = NULL;
                continue;
            }
            sotto_status st = store(o, p->groups[g].base, o->name, o->default_text, err);
            if (st != SOTTO_OK) return st;
        }
    return SOTTO_OK;
}

static sotto_status read_environment(options_program *p, sotto_error *err)
{
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; i < p->groups[g].n; i++) {
            const option *o = &p->groups[g].table[i];
            char variable[NAME_MAX_BYTES + 8];
            if (o->kind == OPTION_IS_SECTION) continue;
            snprintf(variable, sizeof variable, "SOTTO_%s", o->name);
            for (char *c = variable; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
            const char *value = getenv(variable);
            if (!value || !*value) continue;
            found f = {&p->groups[g], i, o, false};
            sotto_status st = set_found(&f, OPTIONS_FROM_ENVIRONMENT, variable, value, err);
            if (st != SOTTO_OK) return st;
        }
    return SOTTO_OK;
}

/* A following argument that is rather another option than this one's value. */
static bool looks_like_option(const char *text)
{
    return text[0] == '-' && text[1] && !isdigit((unsigned char)text[1]) && text[1] != '.';
}

/* One "--name…" at argv[*at]; moves *at over a value taken from the next argument. */
static sotto_status read_long(options_program *p, int argc, char **argv, int *at, sotto_error *err)
{
    const char *name = argv[*at] + 2, *value = strchr(name, '=');
    size_t n = value ? (size_t)(value - name) : strlen(name);
    char label[NAME_MAX_BYTES + 8];
    found f;
    if (value) value++;
    if (!value && strcmp(name, "help") == 0) {
        p->help = true;
        return SOTTO_OK;
    }
    if (strcmp(name, "help=man") == 0) {
        p->help = p->manual = true;
        return SOTTO_OK;
    }
    if (!value && strcmp(name, "version") == 0) {
        p->version = true;
        return SOTTO_OK;
    }
    if (!find(p, name, n, 0, &f)) return fail_unknown(p, name, n, err);
    snprintf(label, sizeof label, "--%s%s", f.negated ? "no-" : "", f.option->name);
    if (f.negated) {
        if (value) return options_fail(err, SOTTO_EINVAL, "%s takes no value, but was given \"%s\"", label, value);
        value = "false";
    } else if (!value && f.option->kind == OPTION_IS_FLAG) {
        value = "true";
    } else if (!value) {
        if (*at + 1 >= argc) return options_fail(err, SOTTO_EINVAL, "%s needs a value: %s", label, f.option->metavar);
        if (looks_like_option(argv[*at + 1]))
            return options_fail(err, SOTTO_EINVAL, "%s needs a value, but %s follows; write %s=%s if that is the value",
                                label, argv[*at + 1], label, argv[*at + 1]);
        value = argv[++*at];
    }
    return set_found(&f, OPTIONS_FROM_COMMAND_LINE, label, value, err);
}

/* One "-xyz" at argv[*at]: flags, the last of them possibly an option with its value. */
static sotto_status read_letters(options_program *p, int argc, char **argv, int *at, sotto_error *err)
{
    for (const char *c = argv[*at] + 1; *c; c++) {
        char label[NAME_MAX_BYTES + 8];
        const char *value = "true";
        found f;
        if (*c == 'h' && !find(p, NULL, 0, 'h', &f)) {
            p->help = true;
            continue;
        }
        if (!find(p, NULL, 0, *c, &f))
            return options_fail(err, SOTTO_ENOTFOUND, "unknown option -%c in %s", *c, argv[*at]);
        snprintf(label, sizeof label, "-%c (--%s)", *c, f.option->name);
        bool last = f.option->kind != OPTION_IS_FLAG;
        if (last && c[1]) {
            value = c + 1 + (c[1] == '=');
        } else if (last) {
            if (*at + 1 >= argc)
                return options_fail(err, SOTTO_EINVAL, "%s needs a value: %s", label, f.option->metavar);
            if (looks_like_option(argv[*at + 1]))
                return options_fail(err, SOTTO_EINVAL,
                                    "%s needs a value, but %s follows; write --%s=%s if that is "
                                    "the value",
                                    label, argv[*at + 1], f.option->name, argv[*at + 1]);
            value = argv[++*at];
        }
        sotto_status st = set_found(&f, OPTIONS_FROM_COMMAND_LINE, label, value, err);
        if (st != SOTTO_OK || last) return st;
    }
    return SOTTO_OK;
}

static sotto_status (*file_reader)(options_program *program, sotto_error *err);

void options_read_file(sotto_status (*apply)(options_program *program, sotto_error *err)) { file_reader = apply; }

sotto_status options_read(options_program *p, int argc, char **argv, sotto_error *err)
{
    sotto_status st;
    bool options_over = false;
    p->arguments = NULL;
    p->n_arguments = 0;
    p->help = p->version = p->manual = false;
    if ((st = read_defaults(p, err)) != SOTTO_OK) return st;
    if (!(p->arguments = calloc(argc > 0 ? (size_t)argc : 1, sizeof *p->arguments)))
        return options_fail(err, SOTTO_ENOMEM, "out of memory: arguments of %s", p->name);
    for (int i = 1; i < argc; i++) {
        if (!options_over && strcmp(argv[i], "--") == 0) {
            options_over = true;
        } else if (!options_over && strncmp(argv[i], "--", 2) == 0) {
            if ((st = read_long(p, argc, argv, &i, err)) != SOTTO_OK) return st;
        } else if (!options_over && argv[i][0] == '-' && argv[i][1]) {
            if ((st = read_letters(p, argc, argv, &i, err)) != SOTTO_OK) return st;
        } else if (p->takes_arguments) {
            p->arguments[p->n_arguments++] = argv[i];
        } else {
            return options_fail(err, SOTTO_EINVAL, "%s takes no arguments, but was given \"%s\"", p->name, argv[i]);
        }
    }
    /* After the command line, whose values stay: --help must work whatever file and environment hold. */
    if (p->help || p->version) return SOTTO_OK;
    if (file_reader && (st = file_reader(p, err)) != SOTTO_OK) return st;
    return read_environment(p, err);
}

static void (*visitor)(const options_program *program, void *user);
static void *visitor_user;

void options_visit(void (*visit)(const options_program *program, void *user), void *user)
{
    visitor = visit;
    visitor_user = user;
}

bool options_visiting(void) { return visitor != NULL; }

int options_main(options_program *p, int argc, char **argv)
{
    sotto_error err;
    if (visitor) {
        visitor(p, visitor_user);
        return 0;
    }
    if (options_read(p, argc, argv, &err) != SOTTO_OK) {
        fprintf(stderr, "%s: %s\nTry '%s --help'.\n", p->name, err.message, p->name);
        options_free(p);
        return 2;
    }
    if (!p->help && !p->version) return -1;
    if (p->manual)
        manual_write_program(stdout, p);
    else if (p->help)
        options_print_help(p, stdout);
    else
        options_print_version(p, stdout);
    options_free(p);
    return 0;
}

void options_free(options_program *p)
{
    for (size_t g = 0; g < p->n_groups; g++) {
        options_group *group = &p->groups[g];
        for (size_t i = 0; group->origins && i < group->n; i++)
            if (group->table[i].kind == OPTION_IS_LIST && !group->table[i].store)
                list_clear((void *)((char *)group->base + group->table[i].offset));
        free(group->origins);
        group->origins = NULL;
    }
    free(p->arguments);
    p->arguments = NULL;
    p->n_arguments = 0;
}

/* ---- help ----------------------------------------------------------------------------------------------------- */

/* Prints `text` from `column` on, broken at spaces, continued under HELP_COLUMN. Counts bytes of UTF-8 heads only. */
static void print_wrapped(FILE *to, const char *text, int column)
{
    if (column > HELP_COLUMN - 2) {
        fputc('\n', to);
        column = 0;
    }
    fprintf(to, "%*s", HELP_COLUMN - column, "");
    column = HELP_COLUMN;
    while (*text) {
        size_t n = strcspn(text, " ");
        int width = 0;
        for (size_t i = 0; i < n; i++) width += ((unsigned char)text[i] & 0xC0) != 0x80;
        if (column > HELP_COLUMN && column + 1 + width > HELP_WIDTH) {
            fprintf(to, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            fputc(' ', to);
            column++;
        }
        fwrite(text, 1, n, to);
        column += width;
        text += n;
        text += *text == ' ';
    }
    fputc('\n', to);
}

static void print_option(const option *o, FILE *to)
{
    char left[160], right[600];
    bool on = o->kind == OPTION_IS_FLAG && o->default_text && strcmp(o->default_text, "true") == 0;
    int n = snprintf(left, sizeof left, "  %c%c%s --%s%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                     o->letter ? "," : " ", on ? "no-" : "", o->name, o->kind == OPTION_IS_FLAG ? "" : " ",
                     o->kind == OPTION_IS_FLAG ? "" : o->metavar);
    bool show = o->kind != OPTION_IS_FLAG && o->default_text && *o->default_text;
    snprintf(right, sizeof right, "%s%s%s%s", o->help, show ? " [" : "", show ? o->default_text : "", show ? "]" : "");
    fputs(left, to);
    print_wrapped(to, right, n);
}

void options_print_help(const options_program *p, FILE *to)
{
    static const option own[] = {
        {OPTION_IS_FLAG, "help", 'h', 0, "false", 0, 0, NULL, "print this text", NULL},
        {OPTION_IS_FLAG, "version", 0, 0, "false", 0, 0, NULL, "print the version and what it was built with", NULL},
    };
    fprintf(to, "Usage: %s %s\n\n%s\n", p->name, p->usage, p->about);
    for (size_t g = 0; g < p->n_groups; g++)
        for (size_t i = 0; i < p->groups[g].n; i++) {
            const option *o = &p->groups[g].table[i];
            if (o->kind == OPTION_IS_SECTION)
                fprintf(to, "\n%s:\n", o->help);
            else
                print_option(o, to);
        }
    fputs("\nGeneral:\n", to);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) print_option(&own[i], to);
    fputs("\nEvery option can also be set in the environment: --some-name as SOTTO_SOME_NAME.\n", to);
    if (p->notes) fprintf(to, "\n%s\n", p->notes);
}

void options_print_version(const options_program *p, FILE *to)
{
    size_t n = strcspn(p->name, " ");
    fprintf(to, "%.*s %s\n%s\n", (int)n, p->name, sotto_version(), sotto_build_info());
}
