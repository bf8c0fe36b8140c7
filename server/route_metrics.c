/* SPDX-License-Identifier: MIT
 * GET /metrics: parameters, work and throughput since the start in Prometheus' text format 0.0.4; what /v1/report tells
 * as JSON, for a scraper. Counters end in _total; rates are the scraper's. */
#include "route.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char type_metrics[] = "text/plain; version=0.0.4; charset=utf-8";

/* A label's value: backslash, quote and line feed are escaped, and bytes that are no ASCII left out. */
static void write_label(FILE *to, const char *name, const char *value)
{
    fprintf(to, "%s=\"", name);
    for (const char *c = value; *c; c++)
        if (*c == '\n')
            fputs("\\n", to);
        else if ((unsigned char)*c < 0x80)
            fprintf(to, *c == '\\' || *c == '"' ? "\\%c" : "%c", *c);
    fputc('"', to);
}

static void begin(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One sample of `name`; `key` NULL: no label but the model's. */
static void sample(FILE *to, const server *s, const char *name, const char *key, const char *value, double x)
{
    fprintf(to, "%s{", name);
    write_label(to, "model", s->model_name);
    if (key) {
        fputc(',', to);
        write_label(to, key, value);
    }
    fprintf(to, "} %.17g\n", x);
}

static void write_parameters(FILE *to, const server *s, const engine_totals *t)
{
    const sotto_model_info *m = sotto_model_get_info(s->model);
    begin(to, "sotto_parameters", "gauge", "Parameters of the resident model by part.");
    for (int p = 0; p < SOTTO_PART_COUNT; p++)
        sample(to, s, "sotto_parameters", "part", sotto_part_name((sotto_part)p), (double)m->part_parameters[p]);
    begin(to, "sotto_parameters_touched", "gauge", "Most parameters of each part that any run has used.");
    for (int p = 0; p < SOTTO_PART_COUNT; p++)
        sample(to, s, "sotto_parameters_touched", "part", sotto_part_name((sotto_part)p), (double)t->touched[p]);
    begin(to, "sotto_resident_bytes", "gauge", "Weights in memory by precision.");
    for (int p = 0; p < SOTTO_PRECISION_COUNT; p++)
        sample(to, s, "sotto_resident_bytes", "precision", sotto_precision_name((sotto_precision)p),
               (double)m->resident_bytes[p]);
}

static void write_work(FILE *to, const server *s, const engine_totals *t)
{
    const struct {
        const char *name, *help;
        double value;
    } table[] = {
        {"sotto_audio_seconds_total", "Audio transcribed.", t->sum.audio_s},
        {"sotto_busy_seconds_total", "Time in which something was transcribed.", t->sum.wall_s},
        {"sotto_windows_total", "Windows encoded.", (double)t->sum.windows},
        {"sotto_decoder_steps_total", "Passes of the decoder.", (double)t->sum.decoder_steps},
        {"sotto_tokens_prefilled_total", "Tokens of prompts.", (double)t->sum.tokens_prefilled},
        {"sotto_tokens_decoded_total", "Tokens generated.", (double)t->sum.tokens_decoded},
        {"sotto_fallbacks_total", "Windows decoded again at a higher temperature.", (double)t->sum.fallbacks},
        {"sotto_speech_seconds_total", "Speech in recordings by the voice detector.", t->sum.speech_s},
        {"sotto_speech_covered_seconds_total", "That of it inside of segments.", t->sum.covered_s},
        {"sotto_gaps_decoded_total", "Stretches of speech outside of segments that were decoded again.",
         (double)t->sum.gaps_decoded},
        {"sotto_gaps_uncovered_total", "Those that stayed outside.", (double)t->sum.gaps_left},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        begin(to, table[i].name, "counter", table[i].help);
        sample(to, s, table[i].name, NULL, NULL, table[i].value);
    }
    begin(to, "sotto_multiply_adds_total", "counter", "Products with each part's parameters.");
    for (int p = 0; p < SOTTO_PART_COUNT; p++)
        sample(to, s, "sotto_multiply_adds_total", "part", sotto_part_name((sotto_part)p),
               (double)t->sum.multiply_adds[p]);
    begin(to, "sotto_stage_seconds_total", "counter", "Time by stage, summed over what ran side by side.");
    for (int i = 0; i < SOTTO_STAGE_COUNT; i++)
        sample(to, s, "sotto_stage_seconds_total", "stage", sotto_stage_name((sotto_stage)i), t->sum.stage_s[i]);
}

static void write_requests(FILE *to, server *s, const engine_totals *t)
{
    begin(to, "sotto_requests_total", "counter", "Recordings and live streams that ended, by outcome.");
    sample(to, s, "sotto_requests_total", "outcome", "done", (double)t->sum.runs);
    sample(to, s, "sotto_requests_total", "outcome", "failed", (double)t->failed);
    sample(to, s, "sotto_requests_total", "outcome", "cancelled", (double)t->cancelled);
    begin(to, "sotto_requests", "gauge", "Recordings and live streams at the moment.");
    sample(to, s, "sotto_requests", "state", "running", (double)queue_running(s->queue));
    sample(to, s, "sotto_requests", "state", "queued", (double)queue_waiting(s->queue));
    sample(to, s, "sotto_requests", "state", "live", (double)lives_count(s->lives));
}

static void answer(server *s, const char *tail, reply *out)
{
    engine_totals t;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    (void)tail;
    lives_get_totals(s->lives, &t);
    if (to) {
        write_parameters(to, s, &t);
        write_work(to, s, &t);
        write_requests(to, s, &t);
    }
    if (!to || fclose(to) != 0) {
        free(text);
        text = NULL;
    }
    reply_own(out, 200, type_metrics, text, size, free);
}

const route route_metrics = {.method = "GET", .path = "/metrics", .answer = answer};
