/* SPDX-License-Identifier: MIT
 * chunking_strategy -> options of the voice detector (chunking.h). */
#include "chunking.h"

#include <stdlib.h>
#include <string.h>

/* The numbers of server_vad, OpenAI's defaults. */
static const struct {
    const char *key;
    double fallback, max;
    size_t offset; /* in sotto_options */
} numbers[] = {
    {"threshold", 0.5, 1, offsetof(sotto_options, vad_threshold)},
    {"prefix_padding_ms", 300, 10000, offsetof(sotto_options, vad_speech_pad_ms)},
    {"silence_duration_ms", 200, 10000, offsetof(sotto_options, vad_min_silence_ms)},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };
_Static_assert((int)NUMBERS == (int)(sizeof((chunking *)0)->values / sizeof(double)), "one value a number");

static bool invalid(api_error *e, const char *what)
{
    return api_error_set(e, 400, "chunking_strategy", "invalid_value",
                         "chunking_strategy %.200s, but should be \"auto\" or an object of type \"server_vad\"", what);
}

static bool take_type(chunking *c, const char *value, api_error *e)
{
    if (strcmp(value, "server_vad") != 0) return invalid(e, "has another type");
    c->is_vad = true;
    return true;
}

static bool take_number(chunking *c, const char *key, bool is_number, double x, api_error *e)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        if (strcmp(key, numbers[i].key) != 0) continue;
        if (!is_number || !(x >= 0 && x <= numbers[i].max))
            return api_error_set(e, 400, "chunking_strategy", "invalid_value",
                                 "chunking_strategy's %s should be a number from 0 to %g", key, numbers[i].max);
        c->given[i] = true;
        c->values[i] = x;
        return true;
    }
    return api_error_set(e, 400, "chunking_strategy", "unknown_parameter", "chunking_strategy has no \"%.40s\"", key);
}

static bool take_object(chunking *c, const char *text, api_error *e)
{
    const char *key;
    json_t *value, *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json_is_object(o) || invalid(e, "is no JSON object");
    json_object_foreach(o, key, value) {
        if (!ok) break;
        if (strcmp(key, "type") == 0)
            ok = take_type(c, json_is_string(value) ? json_string_value(value) : "", e);
        else if (!json_is_null(value))
            ok = take_number(c, key, json_is_number(value), json_number_value(value), e);
    }
    json_decref(o);
    return ok;
}

bool chunking_add(chunking *c, const char *key, const char *value, api_error *e)
{
    if (!key) {
        const char *text = value + strspn(value, " \t\r\n");
        if (*text == '{') return take_object(c, text, e);
        if (strcmp(text, "null") == 0) return true;
        c->is_auto = strcmp(text, "auto") == 0;
        return c->is_auto || invalid(e, "is something else");
    }
    if (strcmp(key, "type") == 0) return take_type(c, value, e);
    char *end;
    const double x = strtod(value, &end);
    return take_number(c, key, end > value && !*end, x, e);
}

bool chunking_settle(const chunking *c, sotto_options *options, api_error *e)
{
    bool any = false;
    for (size_t i = 0; i < NUMBERS; i++) any |= c->given[i];
    if (c->is_auto && (c->is_vad || any)) return invalid(e, "is both");
    if (any && !c->is_vad) return invalid(e, "has no type");
    for (size_t i = 0; i < NUMBERS && c->is_vad; i++) {
        const double x = c->given[i] ? c->values[i] : numbers[i].fallback;
        memcpy((char *)options + numbers[i].offset, &x, sizeof x);
    }
    return true;
}
