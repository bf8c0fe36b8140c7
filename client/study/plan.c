/* SPDX-License-Identifier: MIT
 * A plan file in, sets, models and configurations out (study.h). Line by line, each a keyword and its words, each
 * valid from there on; `#` begins a comment. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"
#include "options.h"
#include "study/study.h"

enum { MOST_WORDS = 256, LONGEST_PLAN = 1 << 20 };

typedef struct parser {
    study_plan *plan;
    size_t line;
    uint64_t models, sets; /* that specs are for; sets 0 = all of the plan */
    bool has_seed, has_precision, has_decode;
} parser;

static sotto_status out_of_memory(sotto_error *err) { return options_fail(err, SOTTO_ENOMEM, "out of memory: plan"); }

#define AT "%s:%zu: "
#define HERE(p) (p)->plan->path, (p)->line

void *study_grow(void *items, size_t n, size_t size)
{
    char *more = reallocarray(items, n + 1, size);
    if (more) memset(more + n * size, 0, size);
    return more;
}

sotto_status study_read_text(char **out, const char *path, sotto_error *err)
{
    FILE *file = fopen(path, "rbe");
    size_t n = 0, room = 0;
    char *text = NULL;
    *out = NULL;
    if (!file) return options_fail(err, SOTTO_EIO, "%.300s cannot be opened: %s", path, strerror(errno));
    const ssize_t got = getdelim(&text, &room, '\0', file);
    const bool is_bad = ferror(file) != 0, more = !is_bad && fgetc(file) != EOF;
    fclose(file);
    if (got > 0) n = (size_t)got;
    if (is_bad || more || (n && text[n - 1] == '\0')) {
        free(text);
        return is_bad ? options_fail(err, SOTTO_EIO, "%.300s cannot be read: %s", path, strerror(errno))
                      : options_fail(err, SOTTO_EFORMAT, "%.300s holds a zero byte; text was expected", path);
    }
    if (!n) {
        free(text);
        text = strdup("");
    }
    if (!text) return options_fail(err, SOTTO_ENOMEM, "out of memory: %.300s", path);
    *out = text;
    return SOTTO_OK;
}

/* ---- lines ---------------------------------------------------------------------------------------------------- */

static sotto_status take_seed(parser *p, char **words, size_t n, sotto_error *err)
{
    int64_t seed;
    (void)n;
    if (p->has_seed) return options_fail(err, SOTTO_EINVAL, AT "a second seed; one a plan was expected", HERE(p));
    if (!options_parse_int(words[0], &seed) || seed < 0)
        return options_fail(err, SOTTO_EINVAL, AT "\"%.100s\" is no seed; a whole number from 0 was expected", HERE(p),
                            words[0]);
    p->plan->seed = (uint64_t)seed;
    p->has_seed = true;
    return SOTTO_OK;
}

static size_t find_set(const study_plan *plan, const char *name)
{
    size_t i = 0;
    while (i < plan->n_sets && strcmp(plan->sets[i].name, name) != 0) i++;
    return i;
}

static sotto_status take_set(parser *p, char **words, size_t n, sotto_error *err)
{
    study_plan *plan = p->plan;
    (void)n;
    if (find_set(plan, words[0]) < plan->n_sets)
        return options_fail(err, SOTTO_EINVAL, AT "a second set \"%.100s\"; names of sets must differ", HERE(p),
                            words[0]);
    if (plan->n_sets == STUDY_MOST)
        return options_fail(err, SOTTO_ELIMIT, AT "too many sets; at most %d were expected", HERE(p), STUDY_MOST);
    study_set *more = study_grow(plan->sets, plan->n_sets, sizeof *more);
    if (!more) return out_of_memory(err);
    plan->sets = more;
    study_set *set = &more[plan->n_sets++];
    set->name = strdup(words[0]);
    set->path = strdup(words[1]);
    return set->name && set->path ? SOTTO_OK : out_of_memory(err);
}

static sotto_status take_calibration(parser *p, char **words, size_t n, sotto_error *err)
{
    (void)n;
    if (p->plan->calibration)
        return options_fail(err, SOTTO_EINVAL, AT "a second calibration; one a plan was expected", HERE(p));
    p->plan->calibration = strdup(words[0]);
    return p->plan->calibration ? SOTTO_OK : out_of_memory(err);
}

static size_t find_model(const study_plan *plan, const char *name)
{
    size_t i = 0;
    while (i < plan->n_models && strcmp(plan->models[i].name, name) != 0) i++;
    return i;
}

/* The model's index; it is added when the plan has not named it before, and must be there. */
static sotto_status add_model(parser *p, const char *name, size_t *out, sotto_error *err)
{
    study_plan *plan = p->plan;
    sotto_error why;
    if ((*out = find_model(plan, name)) < plan->n_models) return SOTTO_OK;
    if (plan->n_models == STUDY_MOST)
        return options_fail(err, SOTTO_ELIMIT, AT "too many models; at most %d were expected", HERE(p), STUDY_MOST);
    study_model *more = study_grow(plan->models, plan->n_models, sizeof *more);
    if (!more) return out_of_memory(err);
    plan->models = more;
    study_model *m = &more[plan->n_models++];
    const sotto_status st = models_resolve(name, &m->path, &why);
    if (st != SOTTO_OK) return options_fail(err, st, AT "%.400s", HERE(p), why.message);
    m->name = strdup(name);
    return m->name ? SOTTO_OK : out_of_memory(err);
}

static sotto_status take_models(parser *p, char **words, size_t n, sotto_error *err)
{
    p->models = 0;
    for (size_t i = 0; i < n; i++) {
        size_t index;
        const sotto_status st = add_model(p, words[i], &index, err);
        if (st != SOTTO_OK) return st;
        p->models |= UINT64_C(1) << index;
    }
    return SOTTO_OK;
}

static sotto_status take_on(parser *p, char **words, size_t n, sotto_error *err)
{
    p->sets = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t index = find_set(p->plan, words[i]);
        if (index == p->plan->n_sets)
            return options_fail(err, SOTTO_EINVAL,
                                AT "there is no set \"%.100s\"; a line \"set %.100s FOLDER\" above was expected",
                                HERE(p), words[i], words[i]);
        p->sets |= UINT64_C(1) << index;
    }
    return SOTTO_OK;
}

static sotto_status take_precision(parser *p, char **words, size_t n, sotto_error *err)
{
    const char *at = MODELS_PRECISIONS;
    (void)n;
    if (p->has_precision)
        return options_fail(err, SOTTO_EINVAL, AT "a second precision; one a plan was expected", HERE(p));
    p->has_precision = true;
    for (int i = 0; *at; i++) {
        const size_t length = strcspn(at, "|");
        if (strlen(words[0]) == length && memcmp(at, words[0], length) == 0) {
            p->plan->precision = i;
            return SOTTO_OK;
        }
        at += length + (at[length] == '|');
    }
    return options_fail(err, SOTTO_EINVAL, AT "\"%.100s\" is no precision; one of %s was expected", HERE(p), words[0],
                        MODELS_PRECISIONS);
}

static sotto_status take_decode(parser *p, char **words, size_t n, sotto_error *err)
{
    (void)n;
    if (p->has_decode) return options_fail(err, SOTTO_EINVAL, AT "a second decode; one a plan was expected", HERE(p));
    p->has_decode = true;
    p->plan->fallback = strcmp(words[0], "fallback") == 0;
    if (p->plan->fallback || strcmp(words[0], "greedy") == 0) return SOTTO_OK;
    return options_fail(err, SOTTO_EINVAL, AT "\"%.100s\" is no way to decode; greedy or fallback was expected",
                        HERE(p), words[0]);
}

/* A configuration that the plan named before takes the sets in. */
static sotto_status add_configuration(parser *p, size_t model, const char *spec, sotto_error *err)
{
    study_plan *plan = p->plan;
    const uint64_t sets = p->sets ? p->sets : ~UINT64_C(0);
    for (size_t i = 0; i < plan->n; i++) {
        study_configuration *c = &plan->configurations[i];
        if (c->model != model || strcmp(c->spec, spec) != 0) continue;
        c->sets |= sets;
        return SOTTO_OK;
    }
    study_configuration *more = study_grow(plan->configurations, plan->n, sizeof *more);
    if (!more) return out_of_memory(err);
    plan->configurations = more;
    more[plan->n] = (study_configuration){.model = model, .spec = strdup(spec), .sets = sets};
    return more[plan->n++].spec ? SOTTO_OK : out_of_memory(err);
}

static sotto_status take_specs(parser *p, char **words, size_t n, sotto_error *err)
{
    if (!p->models)
        return options_fail(err, SOTTO_EINVAL, AT "a spec without a model; a line \"model NAME…\" above was expected",
                            HERE(p));
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < p->plan->n_models; m++)
            if (p->models >> m & 1) {
                const sotto_status st = add_configuration(p, m, words[i], err);
                if (st != SOTTO_OK) return st;
            }
    return SOTTO_OK;
}

static const struct keyword {
    const char *name;
    sotto_status (*take)(parser *p, char **words, size_t n, sotto_error *err);
    size_t least, most; /* words after the keyword */
    const char *form;
} keywords[] = {
    {"seed", take_seed, 1, 1, "seed NUMBER"},
    {"set", take_set, 2, 2, "set NAME FOLDER"},
    {"calibration", take_calibration, 1, 1, "calibration PATH"},
    {"precision", take_precision, 1, 1, "precision " MODELS_PRECISIONS},
    {"decode", take_decode, 1, 1, "decode greedy|fallback"},
    {"model", take_models, 1, MOST_WORDS, "model NAME…"},
    {"on", take_on, 1, MOST_WORDS, "on SET…"},
    {"spec", take_specs, 1, MOST_WORDS, "spec SPEC…"},
};
enum { KEYWORD_COUNT = sizeof keywords / sizeof *keywords };

static sotto_status unknown_keyword(const parser *p, const char *word, sotto_error *err)
{
    char all[128] = "";
    for (size_t i = 0; i < KEYWORD_COUNT; i++) {
        const size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s",
                 i == 0                  ? ""
                 : i + 1 < KEYWORD_COUNT ? ", "
                                         : " or ",
                 keywords[i].name);
    }
    return options_fail(err, SOTTO_EINVAL, AT "unknown keyword \"%.100s\"; %s was expected", HERE(p), word, all);
}

static sotto_status take_line(parser *p, char *line, sotto_error *err)
{
    char *words[MOST_WORDS + 1], *rest, *comment = strchr(line, '#');
    size_t n = 0;
    if (comment) *comment = '\0';
    for (char *w = strtok_r(line, " \t\r", &rest); w; w = strtok_r(NULL, " \t\r", &rest)) {
        if (n == MOST_WORDS + 1)
            return options_fail(err, SOTTO_ELIMIT, AT "too many words; at most %d were expected", HERE(p), MOST_WORDS);
        words[n++] = w;
    }
    if (!n) return SOTTO_OK;
    for (size_t i = 0; i < KEYWORD_COUNT; i++) {
        const struct keyword *k = &keywords[i];
        if (strcmp(words[0], k->name) != 0) continue;
        if (n - 1 < k->least || n - 1 > k->most)
            return options_fail(err, SOTTO_EINVAL, AT "%zu words after \"%s\"; \"%s\" was expected", HERE(p), n - 1,
                                k->name, k->form);
        return k->take(p, words + 1, n - 1, err);
    }
    return unknown_keyword(p, words[0], err);
}

/* ---- the plan ------------------------------------------------------------------------------------------------- */

static sotto_status settle(study_plan *plan, sotto_error *err)
{
    const uint64_t all = plan->n_sets == STUDY_MOST ? ~UINT64_C(0) : (UINT64_C(1) << plan->n_sets) - 1;
    const char *missing = !plan->n_sets ? "set NAME FOLDER" : !plan->n ? "spec SPEC" : NULL;
    if (missing)
        return options_fail(err, SOTTO_EINVAL, "%.300s: a line \"%s\" was expected, there is none", plan->path,
                            missing);
    for (size_t i = 0; i < plan->n; i++) plan->configurations[i].sets &= all;
    return SOTTO_OK;
}

sotto_status study_plan_read(study_plan *plan, const char *path, sotto_error *err)
{
    parser p = {.plan = plan};
    char *lines, *rest;
    sotto_status st;
    *plan = (study_plan){.path = strdup(path)};
    if (!plan->path) return out_of_memory(err);
    if ((st = study_read_text(&plan->text, path, err)) != SOTTO_OK) return st;
    if (strlen(plan->text) > LONGEST_PLAN)
        return options_fail(err, SOTTO_ELIMIT, "%.300s is no plan: it is longer than 1 MiB", path);
    if (!(lines = rest = strdup(plan->text))) return out_of_memory(err);
    for (char *line; st == SOTTO_OK && (line = strsep(&rest, "\n"));) {
        p.line++;
        st = take_line(&p, line, err);
    }
    free(lines);
    return st == SOTTO_OK ? settle(plan, err) : st;
}

void study_plan_free(study_plan *plan)
{
    for (size_t i = 0; i < plan->n_sets; i++) study_set_free(&plan->sets[i]);
    for (size_t i = 0; i < plan->n_models; i++) free(plan->models[i].name), free(plan->models[i].path);
    for (size_t i = 0; i < plan->n; i++) free(plan->configurations[i].spec);
    free(plan->sets);
    free(plan->models);
    free(plan->configurations);
    free(plan->calibration);
    free(plan->text);
    free(plan->path);
    *plan = (study_plan){0};
}
