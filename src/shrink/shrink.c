/* SPDX-License-Identifier: MIT
 * A model and a spec -> a smaller model: the terms, one kind after the other, on a copy of the parameters. */
#include "shrink/net.h"
#include "base/checked.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct sotto_shrinker {
    sotto_model *model; /* in f32 */
    char *calibration;  /* NULL = none */
    double calibration_s;
    float **grams; /* by parameter, once something asked for them, */
    char *heard;   /* and what they were measured on */
    size_t n;
};

static const struct {
    sotto__term_kind kind;
    sotto_status (*apply)(sotto__net *net, const sotto__term *term, sotto_error *err);
} steps[] = {
    {SOTTO__TERM_LAYERS, sotto__drop_layers},   {SOTTO__TERM_DROP, sotto__drop_layers},
    {SOTTO__TERM_HEADS, sotto__drop_heads},     {SOTTO__TERM_MLP, sotto__drop_neurons},
    {SOTTO__TERM_CTX, sotto__shorten},          {SOTTO__TERM_VOCAB, sotto__trim_vocabulary},
    {SOTTO__TERM_RANK, sotto__factor_matrices}, {SOTTO__TERM_PRUNE, sotto__prune_matrices},
    {SOTTO__TERM_HALF, sotto__choose_coding},   {SOTTO__TERM_CODES, sotto__choose_coding},
    {SOTTO__TERM_RARE, sotto__mark_rare},
};

void sotto_shrink_options_default(sotto_shrink_options *options)
{
    *options = (sotto_shrink_options){.size = sizeof *options, .calibration_s = 300};
}

sotto_status sotto_shrinker_open(sotto_shrinker **out, const char *model, const sotto_shrink_options *options,
                                 sotto_error *err)
{
    sotto_shrink_options o;
    sotto_model_options mo;
    sotto_status st;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_shrinker_open: out is NULL");
    *out = NULL;
    sotto_shrink_options_default(&o);
    st = sotto__take_options(&o, sizeof o, options, "options", "sotto_shrink_options_default", err);
    if (st != SOTTO_OK) return st;
    sotto_shrinker *s = calloc(1, sizeof *s);
    if (!s) return sotto__fail_nomem(err, "shrinker");
    s->calibration_s = o.calibration_s;
    if (o.calibration && !(s->calibration = strdup(o.calibration))) {
        free(s);
        return sotto__fail_nomem(err, "shrinker");
    }
    sotto_model_options_default(&mo);
    mo.threads = o.threads;
    mo.precision = SOTTO_PRECISION_F32;
    mo.no_cache = true;
    if ((st = sotto_model_open(&s->model, model, &mo, err)) == SOTTO_OK &&
        (s->model->row_tokens || s->model->inners[0].out || s->model->weights->format == SOTTO__SHRUNKEN))
        st = sotto__fail(err, SOTTO_EUNSUPPORTED,
                         "%s has been shrunken already: start from the model that it was made of", model);
    if (st == SOTTO_OK) {
        s->n = sotto__params_count(s->model);
        s->grams = calloc(s->n + 1, sizeof *s->grams);
        if (!s->grams) st = sotto__fail_nomem(err, "shrinker");
    }
    if (st != SOTTO_OK) {
        sotto_shrinker_free(s);
        return st;
    }
    *out = s;
    return SOTTO_OK;
}

static void forget(sotto_shrinker *s)
{
    for (size_t i = 0; s->grams && i < s->n; i++) {
        free(s->grams[i]);
        s->grams[i] = NULL;
    }
    free(s->heard);
    s->heard = NULL;
}

void sotto_shrinker_free(sotto_shrinker *s)
{
    if (!s) return;
    forget(s);
    free(s->grams);
    sotto_model_free(s->model);
    free(s->calibration);
    free(s);
}

/* Once for all specs that measure on the same audio. */
static sotto_status calibrate(sotto_shrinker *s, const char *path, sotto_error *err)
{
    if (s->heard && strcmp(s->heard, path) == 0) return SOTTO_OK;
    forget(s);
    const sotto_status st = sotto__calibrate(s->model, path, s->calibration_s, s->grams, err);
    if (st == SOTTO_OK && !(s->heard = strdup(path))) return sotto__fail_nomem(err, "calibration");
    return st;
}

static sotto_status apply(sotto__net *net, const sotto__spec *spec, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++)
        for (size_t i = 0; st == SOTTO_OK && i < spec->n; i++)
            if (spec->terms[i].kind == steps[k].kind) st = steps[k].apply(net, &spec->terms[i], err);
    return st;
}

sotto_status sotto_shrinker_write(sotto_shrinker *s, const char *spec, const char *path, char **report,
                                  sotto_error *err)
{
    sotto__spec *parsed = malloc(sizeof *parsed);
    sotto__net *net = NULL;
    const char *calibration = NULL;
    char line[2000];
    sotto_status st;
    if (report) *report = NULL;
    if (!s || !spec || !path || !*path)
        st = sotto__fail(err, SOTTO_EINVAL, "sotto_shrinker_write: shrinker, spec or path is missing");
    else if (!parsed)
        st = sotto__fail_nomem(err, "spec");
    else if (strcspn(spec, "\r\n") >= sizeof line)
        st = sotto__fail(err, SOTTO_EINVAL, "shrink spec: longer than %zu characters", sizeof line - 1);
    else
        st = sotto__spec_parse(parsed, spec, err);
    if (st == SOTTO_OK) calibration = s->calibration ? s->calibration : sotto__spec_calibration(parsed);
    if (calibration)
        st = calibrate(s, calibration, err);
    else if (st == SOTTO_OK && sotto__spec_wants_calibration(parsed))
        st = sotto__fail(err, SOTTO_EINVAL,
                         "shrink spec: layers=-N, heads, mlp, wanda, gptq and awq measure what goes through the model: "
                         "they need calibration audio");
    if (st == SOTTO_OK) st = sotto__net_open(&net, s->model, calibration ? s->grams : NULL, err);
    if (st == SOTTO_OK) st = apply(net, parsed, err);
    if (st == SOTTO_OK) {
        memcpy(line, spec, strcspn(spec, "\r\n"));
        line[strcspn(spec, "\r\n")] = '\0';
        st = sotto__net_write(net, line, path, report, err);
    }
    sotto__net_free(net);
    free(parsed);
    return st;
}

sotto_status sotto_shrink(const char *model, const char *spec, const sotto_shrink_options *options,
                          const char *out_path, char **report, sotto_error *err)
{
    sotto_shrinker *s;
    if (report) *report = NULL;
    sotto_status st = sotto_shrinker_open(&s, model, options, err);
    if (st == SOTTO_OK) st = sotto_shrinker_write(s, spec, out_path, report, err);
    sotto_shrinker_free(s);
    return st;
}
