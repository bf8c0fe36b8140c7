/* SPDX-License-Identifier: MIT
 * Where a model's parameters sit, how often each is applied per second of audio, and how many there would be if no
 * position shared its weights with another. */
#include <math.h>
#include <string.h>

#include "study/figures.h"

/* ---- unshared ------------------------------------------------------------------------------------------------- */

/* Positions of audio and of text, from the shapes of the positional embeddings; NAN where they are not told. */
typedef struct positions {
    double audio, text;
} positions;

static positions positions_of(const json_t *tensors)
{
    positions p = {NAN, NAN};
    const json_t *tensor;
    size_t i;
    json_array_foreach(tensors, i, tensor) {
        const json_t *rows = json_array_get(json_object_get(tensor, "shape"), 0);
        if (strcmp(report_string(tensor, "part"), "encoder_positions") == 0) p.audio = json_number_value(rows);
        if (strcmp(report_string(tensor, "part"), "decoder_positions") == 0) p.text = json_number_value(rows);
    }
    return p;
}

/* Keys and values of cross-attention are made of the encoder's states, one for each position of the audio. The names
 * are those of the weight formats: CTranslate2, OpenAI, Hugging Face. */
static bool is_of_audio(const char *name)
{
    static const char *const names[] = {"attention/linear_1", ".key.", ".value.", ".k_proj.", ".v_proj.", "cross_kv"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(name, names[i])) return true;
    return false;
}

/* At how many positions a tensor is applied with the same values. */
static double uses_of(const char *part, const char *name, positions p)
{
    if (strcmp(part, "encoder_positions") == 0 || strcmp(part, "decoder_positions") == 0) return 1;
    if (strcmp(part, "conv") == 0) return strstr(name, "conv1") ? 2 * p.audio : p.audio; /* the second has stride 2 */
    if (strncmp(part, "encoder_", 8) == 0) return p.audio;
    if (strcmp(part, "decoder_cross_attention") == 0 && is_of_audio(name)) return p.audio;
    return p.text; /* the token embedding too: its rows are multiplied with the state at each position */
}

/* NAN where the tensors of the part are not told. */
static double unshared_of(const json_t *tensors, const char *part)
{
    const positions p = positions_of(tensors);
    const json_t *tensor;
    double sum = 0;
    size_t i, n = 0;
    json_array_foreach(tensors, i, tensor) {
        if (strcmp(report_string(tensor, "part"), part) != 0) continue;
        sum += report_number(tensor, "parameters") * uses_of(part, report_string(tensor, "name"), p);
        n++;
    }
    return n ? sum : NAN;
}

/* ---- one model on one set ------------------------------------------------------------------------------------- */

typedef struct work {
    double parameters, multiply_adds, unshared;
} work;

static json_t *work_json(const char *name, work w, work whole, double audio_s, bool *ok)
{
    json_t *o = json_object();
    report_put(o, "part", report_text(name), ok);
    report_put(o, "parameters", report_real(w.parameters), ok);
    report_put(o, "share_of_parameters", report_real(report_ratio(w.parameters, whole.parameters)), ok);
    report_put(o, "multiply_adds_per_audio_second", report_real(report_ratio(w.multiply_adds, audio_s)), ok);
    report_put(o, "share_of_multiply_adds", report_real(report_ratio(w.multiply_adds, whole.multiply_adds)), ok);
    report_put(o, "applications_per_audio_second",
               report_real(report_ratio(report_ratio(w.multiply_adds, w.parameters), audio_s)), ok);
    report_put(o, "unshared_parameters", report_real(w.unshared), ok);
    report_put(o, "unshared_ratio", report_real(report_ratio(w.unshared, w.parameters)), ok);
    return o;
}

static void add(work *sum, work one)
{
    sum->parameters += one.parameters;
    sum->multiply_adds += one.multiply_adds;
    sum->unshared += one.unshared;
}

/* The convolutions belong to the encoder, the token embedding to the decoder. */
static bool is_encoder(const char *part) { return strcmp(part, "conv") == 0 || strncmp(part, "encoder_", 8) == 0; }

static json_t *parts_of(const report_table *t, size_t c, size_t set, bool *ok)
{
    const report_configuration *one = &t->d->configurations[c];
    const report_run *run = report_run_at(t->d, c, set);
    const json_t *tensors = json_object_get(one->shrink, "tensors");
    json_t *o = json_object(), *rows = json_array(), *entry;
    const char *part;
    work whole = {0, (double)run->multiply_adds, 0}, encoder = {0}, decoder = {0}, all = {0};
    json_object_foreach(run->by_part, part, entry)
        if (report_number(entry, "parameters") > 0) whole.parameters += report_number(entry, "parameters");
    json_object_foreach(run->by_part, part, entry) {
        const work w = {report_number(entry, "parameters"), report_number(entry, "multiply_adds"),
                        unshared_of(tensors, part)};
        if (!(w.parameters > 0)) continue; /* products of activations with activations */
        add(is_encoder(part) ? &encoder : &decoder, w);
        add(&all, w);
        report_append(rows, work_json(part, w, whole, run->audio_s, ok), ok);
    }
    report_put(o, "model", report_text(one->model), ok);
    report_put(o, "set", report_text(t->d->sets[set].name), ok);
    report_put(o, "parts", rows, ok);
    report_put(o, "encoder", work_json("encoder", encoder, whole, run->audio_s, ok), ok);
    report_put(o, "decoder", work_json("decoder", decoder, whole, run->audio_s, ok), ok);
    report_put(o, "all", work_json("all", all, whole, run->audio_s, ok), ok);
    report_put(o, "multiply_adds_per_audio_second", report_real(report_ratio(whole.multiply_adds, run->audio_s)), ok);
    report_put(o, "encoder_multiply_adds_per_audio_second",
               report_real(report_ratio((double)run->encoder_multiply_adds, run->audio_s)), ok);
    report_put(o, "decoder_multiply_adds_per_audio_second",
               report_real(report_ratio((double)run->decoder_multiply_adds, run->audio_s)), ok);
    report_put(o, "decoder_steps_per_audio_second", report_real(report_ratio((double)run->decoder_steps, run->audio_s)),
               ok);
    return o;
}

json_t *report_parts(const report_table *t, bool *ok)
{
    json_t *list = json_array();
    for (size_t c = 0; c < t->d->n_configurations; c++)
        for (size_t s = 0; t->d->configurations[c].whole == c && s < t->d->n_sets; s++) {
            const report_run *run = report_run_at(t->d, c, s);
            if (run && run->by_part) report_append(list, parts_of(t, c, s, ok), ok);
        }
    return list;
}
