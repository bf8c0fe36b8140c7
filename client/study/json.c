/* SPDX-License-Identifier: MIT
 * Small helpers of the report of a study: JSON values, and what a spec is made of. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/figures.h"

void report_put(json_t *o, const char *key, json_t *value, bool *ok)
{
    if (json_object_set_new(o, key, value) != 0) *ok = false;
}

void report_append(json_t *array, json_t *value, bool *ok)
{
    if (json_array_append_new(array, value) != 0) *ok = false;
}

json_t *report_real(double v) { return isfinite(v) ? json_real(v) : json_null(); }

json_t *report_known(int64_t n) { return n > 0 ? json_integer(n) : json_null(); }

json_t *report_text(const char *s)
{
    json_t *text = s ? json_string(s) : json_null();
    return text ? text : json_string("(no UTF-8)");
}

json_t *report_interval_json(report_interval v)
{
    return json_pack("{s:o, s:o, s:o}", "value", report_real(v.value), "low", report_real(v.low), "high",
                     report_real(v.high));
}

double report_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *report_string(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

double report_ratio(double a, double b) { return b != 0 ? a / b : NAN; }

/* ---- specs ---------------------------------------------------------------------------------------------------- */

bool report_spec_has(const char *spec, const char *beginning)
{
    const size_t n = strlen(beginning);
    for (const char *term = spec; term; term = strchr(term, ',')) {
        while (*term == ',' || *term == ' ') term++;
        if (strncmp(term, beginning, n) == 0) return true;
    }
    return false;
}

/* Terms that name what they change in words of their own. */
static const struct {
    const char *beginning, *method, *scope;
    bool numbered; /* numbers that follow ("3", "2+3") belong to the scope */
} own_scopes[] = {
    {"layers=enc:drop=", "leave layer out", "encoder", true},
    {"layers=dec:drop=", "leave layer out", "decoder", true},
    {"layers=enc:", "layers ", "encoder", false},
    {"layers=dec:", "layers ", "decoder", false},
    {"vocab=", "vocab=", "embedding", false},
    {"ctx=", "ctx=", "encoder_positions", false},
};

static bool is_own_scope(const char *spec, char **method, char **scope)
{
    for (size_t i = 0; i < sizeof own_scopes / sizeof *own_scopes; i++) {
        const size_t n = strlen(own_scopes[i].beginning);
        if (strncmp(spec, own_scopes[i].beginning, n) != 0) continue;
        const char *rest = spec + n;
        const bool numbered = own_scopes[i].numbered;
        if (asprintf(method, "%s%s", own_scopes[i].method, numbered ? "" : rest) < 0) *method = NULL;
        if (asprintf(scope, "%s%s%s", own_scopes[i].scope, numbered ? "." : "", numbered ? rest : "") < 0)
            *scope = NULL;
        return true;
    }
    return false;
}

bool report_spec_single(const char *spec, char **method, char **scope)
{
    *method = *scope = NULL;
    if (!*spec || strchr(spec, ',') || strcmp(spec, "none") == 0) return false;
    if (!is_own_scope(spec, method, scope)) {
        const char *at = strchr(spec, '@');
        *method = at ? strndup(spec, (size_t)(at - spec)) : strdup(spec);
        *scope = strdup(at ? at + 1 : "whole model");
    }
    if (*method && *scope) return true;
    free(*method);
    free(*scope);
    *method = *scope = NULL;
    return false;
}
