/* SPDX-License-Identifier: MIT
 * Ranges of the decoding options, and what follows from them. */
#include "text/options.h"
#include "base/error.h"
#include "token/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static sotto_status check_language(const sotto_options *o, const sotto__tokenizer *tokenizer, sotto_error *err)
{
    const sotto__specials *specials = sotto__tokenizer_specials(tokenizer);
    const char *code;
    if (!specials->multilingual && o->task == SOTTO_TASK_TRANSLATE)
        return sotto__fail(err, SOTTO_EINVAL, "task translate: the model knows English only and cannot translate");
    if (!o->language) return SOTTO_OK;
    code = sotto_language_code(o->language);
    if (!code)
        return sotto__fail(err, SOTTO_EINVAL,
                           "language \"%.40s\": expected a code such as \"en\" or a name such as "
                           "\"english\"",
                           o->language);
    if (!specials->multilingual && strcmp(code, "en") != 0)
        return sotto__fail(err, SOTTO_EINVAL, "language \"%.40s\": the model knows English only", o->language);
    if (specials->multilingual && sotto__tokenizer_language_id(tokenizer, code) < 0)
        return sotto__fail(err, SOTTO_EINVAL, "language \"%.40s\": not among the %d languages of the model",
                           o->language, (int)specials->n_languages);
    return SOTTO_OK;
}

/* NAN passes: it switches the option off. */
static bool is_within(double x, double low, double high) { return isnan(x) || (x >= low && x <= high); }

sotto_status sotto__options_check(const sotto_options *o, const sotto__tokenizer *tokenizer, sotto_error *err)
{
    const sotto__specials *specials = sotto__tokenizer_specials(tokenizer);
    if (o->task != SOTTO_TASK_TRANSCRIBE && o->task != SOTTO_TASK_TRANSLATE)
        return sotto__fail(err, SOTTO_EINVAL, "task %d: expected transcribe or translate", (int)o->task);
    if (!(o->temperature >= 0 && o->temperature <= 1))
        return sotto__fail(err, SOTTO_EINVAL, "temperature %g: expected a number from 0 to 1", o->temperature);
    if (!(o->temperature_increment == 0 || (o->temperature_increment >= 0.01 && o->temperature_increment <= 1)))
        return sotto__fail(err, SOTTO_EINVAL, "temperature_increment %g: expected 0 (no fallback) or 0.01 to 1",
                           o->temperature_increment);
    if (o->best_of < 1 || o->best_of > SOTTO__MAX_BEST_OF)
        return sotto__fail(err, SOTTO_EINVAL, "best_of %d: expected 1 to %d", (int)o->best_of, SOTTO__MAX_BEST_OF);
    if (o->beam_size < 1 || o->beam_size > SOTTO__MAX_BEAMS)
        return sotto__fail(err, SOTTO_EINVAL, "beam_size %d: expected 1 to %d", (int)o->beam_size, SOTTO__MAX_BEAMS);
    if (!(o->patience > 0 && o->patience <= SOTTO__MAX_PATIENCE))
        return sotto__fail(err, SOTTO_EINVAL, "patience %g: expected a number above 0, at most %d", o->patience,
                           SOTTO__MAX_PATIENCE);
    if (o->beam_size > 1 && rint(o->beam_size * o->patience) < 1)
        return sotto__fail(err, SOTTO_EINVAL, "patience %g: times beam_size %d it has to round to 1 at least",
                           o->patience, (int)o->beam_size);
    if (!is_within(o->length_penalty, 0, 1))
        return sotto__fail(err, SOTTO_EINVAL,
                           "length_penalty %g: expected a number from 0 to 1, or nan to divide by "
                           "the length",
                           o->length_penalty);
    if (!is_within(o->hallucination_silence_threshold, 0, HUGE_VAL))
        return sotto__fail(err, SOTTO_EINVAL, "hallucination_silence_threshold %g: expected seconds from 0 on",
                           o->hallucination_silence_threshold);
    if (!isnan(o->hallucination_silence_threshold) && !o->word_timestamps)
        return sotto__fail(err, SOTTO_EINVAL, "hallucination_silence_threshold: needs word_timestamps");
    if (o->tail_stride < 0 || o->tail_stride > 64)
        return sotto__fail(err, SOTTO_EINVAL,
                           "tail_stride %d: expected 0 (chosen for the model), or 1 (the full window) to 64",
                           (int)o->tail_stride);
    if (!is_within(o->max_initial_timestamp, 0, 30))
        return sotto__fail(err, SOTTO_EINVAL, "max_initial_timestamp %g: expected 0 to 30 seconds",
                           o->max_initial_timestamp);
    for (size_t i = 0; o->suppress_tokens && i < o->n_suppress_tokens; i++)
        if (o->suppress_tokens[i] < -1 || o->suppress_tokens[i] >= specials->n_vocab)
            return sotto__fail(err, SOTTO_EINVAL, "suppress_tokens: %d is no token of the model, expected -1 to %d",
                               (int)o->suppress_tokens[i], (int)specials->n_vocab - 1);
    for (size_t i = 0; o->draft_tokens && i < o->n_draft_tokens; i++)
        if (o->draft_tokens[i] < 0 || o->draft_tokens[i] >= specials->n_vocab)
            return sotto__fail(err, SOTTO_EINVAL, "draft_tokens: %d is no token of the model, expected 0 to %d",
                               (int)o->draft_tokens[i], (int)specials->n_vocab - 1);
    if (o->initial_prompt && !sotto__utf8_is_valid(o->initial_prompt, strlen(o->initial_prompt)))
        return sotto__fail(err, SOTTO_EINVAL, "initial_prompt: not valid UTF-8");
    if (!(o->offset_s >= 0 && o->offset_s <= 1e9))
        return sotto__fail(err, SOTTO_EINVAL, "offset_s %g: expected seconds from 0 on", o->offset_s);
    if (!(o->duration_s >= 0))
        return sotto__fail(err, SOTTO_EINVAL, "duration_s %g: expected seconds from 0 on", o->duration_s);
    if (!(o->vad_threshold >= 0 && o->vad_threshold <= 1))
        return sotto__fail(err, SOTTO_EINVAL, "vad_threshold %g: expected a number from 0 to 1", o->vad_threshold);
    if (!(o->vad_min_silence_ms >= 0 && o->vad_min_silence_ms <= 1e6))
        return sotto__fail(err, SOTTO_EINVAL, "vad_min_silence_ms %g: expected 0 to 1000000", o->vad_min_silence_ms);
    if (!(o->vad_speech_pad_ms >= 0 && o->vad_speech_pad_ms <= 1e6))
        return sotto__fail(err, SOTTO_EINVAL, "vad_speech_pad_ms %g: expected 0 to 1000000", o->vad_speech_pad_ms);
    return check_language(o, tokenizer, err);
}

static int compare_ids(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

sotto_status sotto__rules_make(sotto__rules *out, const sotto_options *o, const sotto__tokenizer *tokenizer,
                               sotto__ids *suppressed, sotto_error *err)
{
    const sotto__specials *s = sotto__tokenizer_specials(tokenizer);
    const int32_t specials[] = {s->transcribe, s->translate, s->sot, s->sot_prev, s->sot_lm, s->no_speech};
    sotto__ids space = {0};
    bool non_speech = !o->suppress_tokens;
    size_t kept = 0;
    sotto_status st;
    for (size_t i = 0; o->suppress_tokens && i < o->n_suppress_tokens; i++) {
        if (o->suppress_tokens[i] < 0)
            non_speech = true;
        else if (!sotto__ids_push(suppressed, o->suppress_tokens[i]))
            return sotto__fail_nomem(err, "suppressed tokens");
    }
    if (non_speech && (st = sotto__tokenizer_non_speech(tokenizer, suppressed, err)) != SOTTO_OK) return st;
    if (!sotto__ids_append(suppressed, specials, sizeof specials / sizeof *specials))
        return sotto__fail_nomem(err, "suppressed tokens");
    qsort(suppressed->data, suppressed->len, sizeof *suppressed->data, compare_ids);
    for (size_t i = 0; i < suppressed->len; i++)
        if (!i || suppressed->data[i] != suppressed->data[i - 1]) suppressed->data[kept++] = suppressed->data[i];
    suppressed->len = kept;

    st = sotto__tokenizer_encode(tokenizer, " ", 1, &space, err);
    if (st == SOTTO_OK && space.len != 1)
        st = sotto__fail(err, SOTTO_EFORMAT, "vocabulary: a space takes %zu tokens, expected 1", space.len);
    if (st == SOTTO_OK)
        *out = (sotto__rules){.specials = *s,
                              .suppress_blank = o->suppress_blank,
                              .space = space.data[0],
                              .suppressed = suppressed->data,
                              .n_suppressed = suppressed->len,
                              .timestamps = !o->without_timestamps,
                              .max_initial_timestamp = -1};
    if (st == SOTTO_OK && !isnan(o->max_initial_timestamp)) /* round(seconds / 0.02) */
        out->max_initial_timestamp = (int32_t)rint(o->max_initial_timestamp / 0.02);
    sotto__ids_free(&space);
    return st;
}

int32_t sotto__tail_stride(const sotto_options *o, const sotto_model_info *info)
{
    if (o->full_window) return 1;
    if (o->tail_stride > 0) return o->tail_stride;
    return info->n_audio_state == 384 || info->n_audio_state == 512 ? 4 : 1;
}
