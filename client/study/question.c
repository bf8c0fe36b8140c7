/* SPDX-License-Identifier: MIT
 * The figures of the essay that asked why audio models are so small, each with its source and its arithmetic, beside
 * what was counted here. What the essay guessed is marked as its estimate. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "study/figures.h"

/* Radford et al. 2022, "Robust speech recognition via large-scale weak supervision". */
#define WHISPER "Radford et al. 2022, arXiv:2212.04356"
#define ESSAY "the essay"

enum { AWAKE_HOURS = 18, DAYS = 365, IMAGES_A_SECOND = 10 };

/* What a figure is set against. */
typedef enum against { NOTHING, PARAMETERS, SHRINKING } against;

typedef struct figure {
    const char *what;
    double value;
    const char *unit, *source;
    bool estimate;
    against against;
    /* Writes the arithmetic that gives `value`, or what follows from it; NULL: none to show. */
    void (*arithmetic)(char *out, size_t size, double value);
} figure;

static void images_a_year(char *out, size_t size, double value)
{
    snprintf(out, size, "%d images a second × %d h × 3600 s × %d days = %.1f million; 10 years: %.2f billion",
             IMAGES_A_SECOND, AWAKE_HOURS, DAYS, value / 1e6, value * 10 / 1e9);
}

static void years_of_images(char *out, size_t size, double value)
{
    const double a_year = (double)IMAGES_A_SECOND * AWAKE_HOURS * 3600 * DAYS;
    snprintf(out, size, "%.0f billion / %.1f million a year = %.1f years of seeing", value / 1e9, a_year / 1e6,
             value / a_year);
}

static void years_of_hearing(char *out, size_t size, double value)
{
    snprintf(out, size, "%.0f h / %d h a day / %d days = %.1f years of listening", value, AWAKE_HOURS, DAYS,
             value / AWAKE_HOURS / DAYS);
}

static void english_hours(char *out, size_t size, double value)
{
    snprintf(out, size,
             "680000 h − 117000 h in 96 other languages − 125000 h of translation = %.0f h; / %d / %d = %.1f years",
             value, AWAKE_HOURS, DAYS, value / AWAKE_HOURS / DAYS);
}

static void two_orders(char *out, size_t size, double value)
{
    snprintf(out, size, "two orders of magnitude above the largest Whisper: 1.6 billion × 100 = %.0f billion",
             value / 1e9);
}

static const figure figures[] = {
    {"Whisper, largest: parameters", 1.6e9, "parameters", ESSAY "; 1.55 billion in " WHISPER, false, PARAMETERS, NULL},
    {"Whisper v1 and v2: audio in training", 680000, "hours", WHISPER, false, NOTHING, years_of_hearing},
    {"of which English", 680000 - 117000 - 125000, "hours", WHISPER, false, NOTHING, english_hours},
    {"Stable Diffusion, first: parameters", 0.89e9, "parameters", ESSAY, false, PARAMETERS, NULL},
    {"images a person sees", (double)IMAGES_A_SECOND *AWAKE_HOURS * 3600 * DAYS, "images a year", ESSAY, true, NOTHING,
     images_a_year},
    {"Stable Diffusion, first: images in training", 2e9, "images", ESSAY, false, NOTHING, years_of_images},
    {"visual cortex", 1e11, "parameters, or more", ESSAY, true, PARAMETERS, NULL},
    {"auditory cortex", 1.6e11, "parameters", ESSAY, true, PARAMETERS, two_orders},
    {"GPT-3: parameters", 175e9, "parameters", "Brown et al. 2020, arXiv:2005.14165", false, PARAMETERS, NULL},
    {"GPT-4: parameters, at most", 1e12, "parameters", ESSAY, true, PARAMETERS, NULL},
    {"shrinking that the essay holds unlikely", 100, "times", ESSAY, true, SHRINKING, NULL},
};

static void put_ratio(json_t *ratios, const char *model, const char *label, double measured, double ratio, bool *ok)
{
    json_t *o = json_object();
    if (!isfinite(ratio)) {
        json_decref(o);
        return;
    }
    report_put(o, "model", report_text(model), ok);
    report_put(o, "label", report_text(label), ok);
    report_put(o, "measured", report_real(measured), ok);
    report_put(o, "ratio", report_real(ratio), ok);
    report_append(ratios, o, ok);
}

static void put_parameters(json_t *ratios, const report_table *t, const json_t *parts, double value, bool *ok)
{
    const char *main_set = t->d->n_sets ? t->d->sets[t->main_set].name : "";
    const json_t *one;
    size_t i;
    json_array_foreach(parts, i, one) {
        const char *model = report_string(one, "model");
        if (strcmp(report_string(one, "set"), main_set) != 0) continue;
        const double shared = report_number(json_object_get(one, "all"), "parameters");
        const double unshared = report_number(json_object_get(one, "all"), "unshared_parameters");
        put_ratio(ratios, model, "parameters", shared, report_ratio(value, shared), ok);
        put_ratio(ratios, model, "with own weights at each position", unshared, report_ratio(value, unshared), ok);
    }
}

static void put_shrinking(json_t *ratios, const report_table *t, const json_t *headline, double value, bool *ok)
{
    const char *main_set = t->d->n_sets ? t->d->sets[t->main_set].name : "";
    const json_t *one;
    size_t i;
    json_array_foreach(headline, i, one) {
        const double times = report_number(one, "times_smaller");
        if (strcmp(report_string(one, "set"), main_set) == 0 &&
            strcmp(report_string(one, "criterion"), "within 1 point") == 0)
            put_ratio(ratios, report_string(one, "model"), "times smaller a file within 1 point", times, value / times,
                      ok);
    }
}

json_t *report_question(const report_table *t, const json_t *parts, const json_t *headline, bool *ok)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        const figure *f = &figures[i];
        json_t *o = json_object(), *ratios = json_array();
        char arithmetic[256] = "";
        if (f->arithmetic) f->arithmetic(arithmetic, sizeof arithmetic, f->value);
        if (f->against == PARAMETERS) put_parameters(ratios, t, parts, f->value, ok);
        if (f->against == SHRINKING) put_shrinking(ratios, t, headline, f->value, ok);
        report_put(o, "what", report_text(f->what), ok);
        report_put(o, "value", report_real(f->value), ok);
        report_put(o, "unit", report_text(f->unit), ok);
        report_put(o, "source", report_text(f->source), ok);
        report_put(o, "estimate", json_boolean(f->estimate), ok);
        report_put(o, "arithmetic", report_text(arithmetic), ok);
        report_put(o, "ratios", ratios, ok);
        report_append(list, o, ok);
    }
    return list;
}
