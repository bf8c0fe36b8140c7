/* SPDX-License-Identifier: MIT
 * What ran, how often and how fast: counters of runs set against the tensors of the model (sotto_report_write). */
#include "report/report.h"

#include <string.h>

#include "base/error.h"
#include "report/values.h"

/* ---- names ---------------------------------------------------------------------------------------------------- */

const char *sotto_part_name(sotto_part part)
{
    static const char *const keys[] = {
#define X(name, key) key,
        SOTTO_PART_LIST(X)
#undef X
    };
    return (unsigned)part < SOTTO_PART_COUNT ? keys[part] : NULL;
}

const char *sotto_mix_name(sotto_mix mix)
{
    static const char *const keys[] = {
#define X(name, key) key,
        SOTTO_MIX_LIST(X)
#undef X
    };
    return (unsigned)mix < SOTTO_MIX_COUNT ? keys[mix] : NULL;
}

const char *sotto_stage_name(sotto_stage stage)
{
    static const char *const keys[] = {
#define X(name, key) key,
        SOTTO_STAGE_LIST(X)
#undef X
    };
    return (unsigned)stage < SOTTO_STAGE_COUNT ? keys[stage] : NULL;
}

const char *sotto_precision_name(sotto_precision precision)
{
    static const char *const keys[] = {
#define X(name, key, bits) key,
        SOTTO_PRECISION_LIST(X)
#undef X
    };
    return (unsigned)precision < SOTTO_PRECISION_COUNT ? keys[precision] : NULL;
}

/* ---- counts --------------------------------------------------------------------------------------------------- */

void sotto_counts_add(sotto_counts *sum, const sotto_counts *one)
{
    sum->runs += one->runs;
    sum->audio_s += one->audio_s;
    sum->wall_s += one->wall_s;
    for (size_t i = 0; i < SOTTO_STAGE_COUNT; i++) sum->stage_s[i] += one->stage_s[i];
    for (size_t i = 0; i < SOTTO_PART_COUNT; i++) sum->multiply_adds[i] += one->multiply_adds[i];
    for (size_t i = 0; i < SOTTO_MIX_COUNT; i++) sum->mix_multiply_adds[i] += one->mix_multiply_adds[i];
    sum->windows += one->windows;
    sum->decoder_steps += one->decoder_steps;
    sum->tokens_prefilled += one->tokens_prefilled;
    sum->tokens_decoded += one->tokens_decoded;
    sum->tokens_kept += one->tokens_kept;
    sum->fallbacks += one->fallbacks;
    sum->windows_skipped += one->windows_skipped;
    sum->parts += one->parts;
    sum->encoder_positions += one->encoder_positions;
    sum->full_window_retries += one->full_window_retries;
    sum->draft_tokens_proposed += one->draft_tokens_proposed;
    sum->draft_tokens_accepted += one->draft_tokens_accepted;
    sum->mel_frames_computed += one->mel_frames_computed;
    sum->mel_frames_reused += one->mel_frames_reused;
    sum->speech_s += one->speech_s;
    sum->covered_s += one->covered_s;
    sum->gaps_decoded += one->gaps_decoded;
    sum->gaps_left += one->gaps_left;
    sum->resumed_s += one->resumed_s;
}

static uint64_t sum_of(const uint64_t *values, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return sum;
}

uint64_t sotto_counts_multiply_adds(const sotto_counts *c) { return sum_of(c->multiply_adds, SOTTO_PART_COUNT); }

/* With products of activations. */
static uint64_t all_multiply_adds(const sotto_counts *c)
{
    return sotto_counts_multiply_adds(c) + sum_of(c->mix_multiply_adds, SOTTO_MIX_COUNT);
}

/* ---- the object's members ------------------------------------------------------------------------------------- */

static json_t *counts_by_part(const uint64_t values[SOTTO_PART_COUNT], bool *ok)
{
    json_t *o = json_object();
    for (size_t i = 0; i < SOTTO_PART_COUNT; i++)
        sotto__json_put(o, sotto_part_name((sotto_part)i), sotto__json_count(values[i]), ok);
    return o;
}

/* A report may be read by anyone: of the model's path only its end, without slashes that trail. */
static const char *last_component(const char *path, size_t *n)
{
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/') end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--) continue;
    *n = end - begin;
    return path + begin;
}

static json_t *model_of(const sotto_model_info *m, bool *ok)
{
    const struct {
        const char *key;
        int32_t value;
    } dims[] = {
        {"n_mels", m->n_mels},
        {"n_audio_ctx", m->n_audio_ctx},
        {"n_audio_state", m->n_audio_state},
        {"n_audio_head", m->n_audio_head},
        {"n_audio_layer", m->n_audio_layer},
        {"n_vocab", m->n_vocab},
        {"n_text_ctx", m->n_text_ctx},
        {"n_text_state", m->n_text_state},
        {"n_text_head", m->n_text_head},
        {"n_text_layer", m->n_text_layer},
    };
    json_t *o = json_object(), *d = json_object();
    size_t n_name;
    const char *name = last_component(m->path ? m->path : "", &n_name);
    sotto__json_put(o, "name", sotto__json_text(name, n_name), ok);
    sotto__json_put(o, "format", sotto__json_text(m->format, m->format ? strlen(m->format) : 0), ok);
    const char *precision = sotto_precision_name(m->precision);
    sotto__json_put(o, "precision", sotto__json_text(precision, strlen(precision)), ok);
    sotto__json_put(o, "multilingual", json_boolean(m->multilingual), ok);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        sotto__json_put(d, dims[i].key, json_integer(dims[i].value), ok);
    sotto__json_put(o, "dims", d, ok);
    sotto__json_put(o, "load_seconds", sotto__json_rounded(m->load_s, 6), ok);
    return o;
}

static json_t *parameters_of(const sotto_model_info *m, const uint64_t *touched, bool *ok)
{
    json_t *o = json_object();
    sotto__json_put(o, "total", sotto__json_count(m->parameters), ok);
    sotto__json_put(o, "by_part", counts_by_part(m->part_parameters, ok), ok);
    sotto__json_put(o, "touched", touched ? sotto__json_count(sum_of(touched, SOTTO_PART_COUNT)) : json_null(), ok);
    sotto__json_put(o, "touched_by_part", touched ? counts_by_part(touched, ok) : json_null(), ok);
    return o;
}

static json_t *bytes_of(const uint64_t values[SOTTO_PRECISION_COUNT], bool *ok)
{
    json_t *o = json_object();
    for (size_t i = 0; i < SOTTO_PRECISION_COUNT; i++)
        sotto__json_put(o, sotto_precision_name((sotto_precision)i), sotto__json_count(values[i]), ok);
    sotto__json_put(o, "total", sotto__json_count(sum_of(values, SOTTO_PRECISION_COUNT)), ok);
    return o;
}

static json_t *multiply_adds_of(const sotto_counts *c, bool *ok)
{
    uint64_t total = all_multiply_adds(c);
    json_t *o = json_object(), *scores = json_object();
    sotto__json_put(o, "total", sotto__json_count(total), ok);
    sotto__json_put(o, "by_part", counts_by_part(c->multiply_adds, ok), ok);
    for (size_t i = 0; i < SOTTO_MIX_COUNT; i++)
        sotto__json_put(scores, sotto_mix_name((sotto_mix)i), sotto__json_count(c->mix_multiply_adds[i]), ok);
    sotto__json_put(o, "scores", scores, ok);
    sotto__json_put(o, "per_audio_second", sotto__json_ratio((double)total, c->audio_s), ok);
    return o;
}

/* How often a parameter of each part was used, on average: products with the part's parameters over their number. */
static json_t *applications_of(const sotto_model_info *m, const sotto_counts *c, bool *ok)
{
    json_t *o = json_object(), *by_part = json_object();
    for (size_t i = 0; i < SOTTO_PART_COUNT; i++)
        sotto__json_put(by_part, sotto_part_name((sotto_part)i),
                        sotto__json_ratio((double)c->multiply_adds[i], (double)m->part_parameters[i]), ok);
    sotto__json_put(o, "total", sotto__json_ratio((double)sotto_counts_multiply_adds(c), (double)m->parameters), ok);
    sotto__json_put(o, "by_part", by_part, ok);
    return o;
}

static json_t *conv_of(const sotto_model_info *m, bool *ok)
{
    uint64_t shared = m->part_parameters[SOTTO_PART_CONV];
    json_t *o = json_object();
    sotto__json_put(o, "parameters", sotto__json_count(shared), ok);
    sotto__json_put(o, "unshared_parameters", sotto__json_count(m->unshared_conv_parameters), ok);
    sotto__json_put(o, "ratio", sotto__json_ratio((double)m->unshared_conv_parameters, (double)shared), ok);
    return o;
}

static json_t *tokens_of(const sotto_counts *c, bool *ok)
{
    json_t *o = json_object();
    sotto__json_put(o, "prefilled", sotto__json_count(c->tokens_prefilled), ok);
    sotto__json_put(o, "decoded", sotto__json_count(c->tokens_decoded), ok);
    sotto__json_put(o, "kept", sotto__json_count(c->tokens_kept), ok);
    sotto__json_put(o, "draft_proposed", sotto__json_count(c->draft_tokens_proposed), ok);
    sotto__json_put(o, "draft_accepted", sotto__json_count(c->draft_tokens_accepted), ok);
    return o;
}

static json_t *mel_frames_of(const sotto_counts *c, bool *ok)
{
    json_t *o = json_object();
    sotto__json_put(o, "computed", sotto__json_count(c->mel_frames_computed), ok);
    sotto__json_put(o, "reused", sotto__json_count(c->mel_frames_reused), ok);
    return o;
}

static json_t *seconds_of(const sotto_counts *c, bool *ok)
{
    json_t *o = json_object();
    double other = c->wall_s;
    for (size_t i = 0; i < SOTTO_STAGE_COUNT; i++) {
        sotto__json_put(o, sotto_stage_name((sotto_stage)i), sotto__json_rounded(c->stage_s[i], 6), ok);
        other -= c->stage_s[i];
    }
    sotto__json_put(o, "other", sotto__json_rounded(other > 0 ? other : 0, 6), ok);
    sotto__json_put(o, "total", sotto__json_rounded(c->wall_s, 6), ok);
    return o;
}

/* Reached: all multiply-adds (two operations each) over the seconds of the stages that do them. */
static json_t *gops_of(const sotto_counts *c, const char *arithmetic, double peak, bool *ok)
{
    double operations = 2.0 * (double)all_multiply_adds(c);
    double seconds = c->stage_s[SOTTO_STAGE_ENCODER] + c->stage_s[SOTTO_STAGE_PREFILL] +
                     c->stage_s[SOTTO_STAGE_DECODE] + c->stage_s[SOTTO_STAGE_WORDS];
    json_t *o = json_object();
    sotto__json_put(o, "reached", sotto__json_ratio(operations / 1e9, seconds), ok);
    sotto__json_put(o, "arithmetic", sotto__json_text(arithmetic, strlen(arithmetic)), ok);
    sotto__json_put(o, "peak_measured", sotto__json_real(peak), ok);
    sotto__json_put(o, "ratio", sotto__json_ratio(operations / 1e9, seconds * peak), ok);
    return o;
}

sotto_status sotto__report_json(json_t **out, const sotto_model_info *info, const char *arithmetic, double peak_gops,
                                const sotto_counts *counts, const uint64_t touched[SOTTO_PART_COUNT], sotto_error *err)
{
    bool ok = true;
    json_t *o = json_object();
    *out = NULL;
    sotto__json_put(o, "model", model_of(info, &ok), &ok);
    sotto__json_put(o, "threads", json_integer(info->threads), &ok);
    sotto__json_put(o, "runs", sotto__json_count(counts->runs), &ok);
    sotto__json_put(o, "parameters", parameters_of(info, touched, &ok), &ok);
    json_t *bytes = json_object();
    sotto__json_put(bytes, "stored", bytes_of(info->stored_bytes, &ok), &ok);
    sotto__json_put(bytes, "resident", bytes_of(info->resident_bytes, &ok), &ok);
    sotto__json_put(o, "bytes", bytes, &ok);
    sotto__json_put(o, "multiply_adds", multiply_adds_of(counts, &ok), &ok);
    sotto__json_put(o, "applications_per_parameter", applications_of(info, counts, &ok), &ok);
    sotto__json_put(o, "unshared_conv_parameters", sotto__json_count(info->unshared_conv_parameters), &ok);
    sotto__json_put(o, "conv", conv_of(info, &ok), &ok);
    sotto__json_put(o, "mel_frames", mel_frames_of(counts, &ok), &ok);
    sotto__json_put(o, "windows", sotto__json_count(counts->windows), &ok);
    sotto__json_put(o, "encoder_positions", sotto__json_count(counts->encoder_positions), &ok);
    sotto__json_put(o, "full_window_retries", sotto__json_count(counts->full_window_retries), &ok);
    sotto__json_put(o, "windows_skipped", sotto__json_count(counts->windows_skipped), &ok);
    sotto__json_put(o, "parts", sotto__json_count(counts->parts), &ok);
    sotto__json_put(o, "fallbacks", sotto__json_count(counts->fallbacks), &ok);
    sotto__json_put(o, "decoder_steps", sotto__json_count(counts->decoder_steps), &ok);
    sotto__json_put(o, "tokens", tokens_of(counts, &ok), &ok);
    sotto__json_put(o, "seconds", seconds_of(counts, &ok), &ok);
    sotto__json_put(o, "audio_seconds", sotto__json_rounded(counts->audio_s, 6), &ok);
    sotto__json_put(o, "audio_seconds_per_second", sotto__json_ratio(counts->audio_s, counts->wall_s), &ok);
    sotto__json_put(o, "real_time_factor", sotto__json_ratio(counts->wall_s, counts->audio_s), &ok);
    sotto__json_put(o, "tokens_per_second",
                    sotto__json_ratio((double)counts->tokens_decoded, counts->stage_s[SOTTO_STAGE_DECODE]), &ok);
    sotto__json_put(o, "gops", gops_of(counts, arithmetic, peak_gops, &ok), &ok);
    if (!o || !ok) {
        json_decref(o);
        return sotto__fail_nomem(err, "report");
    }
    *out = o;
    return SOTTO_OK;
}

sotto_status sotto_report_write(sotto_model *model, const sotto_counts *counts,
                                const uint64_t touched[SOTTO_PART_COUNT], char **out, sotto_error *err)
{
    json_t *report;
    const char *arithmetic;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_report_write: out is NULL");
    *out = NULL;
    if (!model || !counts) return sotto__fail(err, SOTTO_EINVAL, "sotto_report_write: model or counts is NULL");
    const double peak = sotto_model_peak_gops(model, &arithmetic);
    sotto_status st = sotto__report_json(&report, sotto_model_get_info(model), arithmetic, peak, counts, touched, err);
    if (st != SOTTO_OK) return st;
    *out = sotto__json_dump(report, true);
    json_decref(report);
    return *out ? SOTTO_OK : sotto__fail_nomem(err, "report");
}
