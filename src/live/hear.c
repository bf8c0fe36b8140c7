/* SPDX-License-Identifier: MIT
 * A window is decoded without timestamps: what was confirmed stays a plain beginning of the text then, and times come
 * from the alignment of cross-attention (text/word_pass.h).
 *
 * Of what is heard again the raw log-mel frames are kept (audio/rolling.h). The rest is computed again: the encoder
 * attends in both directions and log-mel is clamped against the window's maximum, so no state of an earlier hearing is
 * exact for a longer window. */
#include "live/hear.h"
#include "audio/features.h"
#include "audio/rolling.h"
#include "base/error.h"
#include "live/heard_words.h"
#include "text/language.h"
#include "text/options.h"
#include "text/prompt.h"
#include "text/window.h"
#include "text/word_pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY = 64 }; /* tokens of text before the window that it is conditioned on */

struct sotto__hearer {
    sotto__runtime *rt;
    const sotto__tokenizer *tokenizer;
    const sotto__specials *specials;
    sotto_options options;
    sotto__rules rules;
    sotto__ids suppressed;
    sotto__window *window;
    sotto__window_decoder *decoder;
    sotto__word_pass *word_pass;
    sotto__rolling *rolling;
    float *mel; /* [3000, n_mels] */
    size_t frames;
    sotto__ids prompt;
    sotto__drafts drafts;
};

sotto_status sotto__hearer_create(sotto__hearer **out, sotto__runtime *rt, const sotto_stream_options *options,
                                  sotto_error *err)
{
    const sotto_model_info *info = sotto__runtime_info(rt);
    sotto__hearer *h = calloc(1, sizeof *h);
    size_t n_mel;
    sotto_status st;
    *out = NULL;
    if (!h) return sotto__fail_nomem(err, "captions");
    h->rt = rt;
    h->tokenizer = sotto__runtime_tokenizer(rt);
    h->specials = sotto__tokenizer_specials(h->tokenizer);
    sotto_options_default(&h->options);
    h->options.task = options->task;
    h->options.language = options->language;
    h->options.initial_prompt = options->initial_prompt; /* to be checked; the stream begins its history with it */
    h->options.without_timestamps = true;
    h->options.word_timestamps = true;
    if ((st = sotto__options_check(&h->options, h->tokenizer, err)) == SOTTO_OK &&
        (st = sotto__rules_make(&h->rules, &h->options, h->tokenizer, &h->suppressed, err)) == SOTTO_OK &&
        (st = sotto__window_create(&h->window, rt, err)) == SOTTO_OK &&
        (st = sotto__window_decoder_create(&h->decoder, rt, &h->options, &h->rules, err)) == SOTTO_OK &&
        (st = sotto__rolling_open(&h->rolling, (size_t)info->n_mels, sotto__runtime_mel_filters(rt), err)) == SOTTO_OK)
        st = sotto__word_pass_create(&h->word_pass, rt, err);
    if (st == SOTTO_OK && sotto__mul(SOTTO__WINDOW_FRAMES, (size_t)info->n_mels, &n_mel))
        h->mel = sotto__aligned(n_mel, sizeof *h->mel);
    if (st == SOTTO_OK && !h->mel) st = sotto__fail_nomem(err, "captions");
    if (st != SOTTO_OK) {
        sotto__hearer_free(h);
        return st;
    }
    h->options.initial_prompt = NULL;
    *out = h;
    return SOTTO_OK;
}

void sotto__hearer_free(sotto__hearer *h)
{
    if (!h) return;
    sotto__rolling_free(h->rolling);
    sotto__word_pass_free(h->word_pass);
    sotto__window_decoder_free(h->decoder);
    sotto__window_free(h->window);
    sotto__drafts_free(&h->drafts);
    sotto__ids_free(&h->suppressed);
    sotto__ids_free(&h->prompt);
    free(h->mel);
    free(h);
}

/* ---- samples -> encoded window -------------------------------------------------------------------------------- */

static sotto_status make_mel(sotto__hearer *h, const sotto__hearing *ask, sotto_error *err)
{
    const double started = sotto__now_s();
    sotto_counts *counts = sotto__runtime_counts(h->rt);
    const sotto_status st =
        sotto__rolling_window(h->rolling, ask->samples, ask->n, ask->start, h->mel, &h->frames, counts, err);
    counts->stage_s[SOTTO_STAGE_MEL] += sotto__now_s() - started;
    return st;
}

static sotto_status encode(sotto__hearer *h, bool full, sotto_error *err)
{
    const int32_t stride = full ? 1 : sotto__tail_stride(&h->options, sotto__runtime_info(h->rt));
    return sotto__encode(h->rt, h->mel, h->frames, stride, h->window, err);
}

static sotto_status settle_language(sotto__hearer *h, const sotto__hearing *ask, const char **code, sotto_error *err)
{
    double probability;
    if (ask->language || !h->specials->multilingual) {
        *code = ask->language ? ask->language : "en";
        return SOTTO_OK;
    }
    return sotto__language_detect(h->rt, h->window, code, &probability, err);
}

/* ---- encoded window -> tokens --------------------------------------------------------------------------------- */

/* [sot_prev, history,] sot sequence, no_timestamps, forced tokens. *sot_index: whose logits come first; with forced
 * tokens only those after the last are of use. */
static sotto_status make_prompt(sotto__hearer *h, const sotto__hearing *ask, const char *language, size_t *sot_index,
                                sotto_error *err)
{
    size_t n_forced;
    const int32_t *forced = sotto__frontier_forced(ask->before, &n_forced);
    const size_t n_ctx = (size_t)sotto__runtime_info(h->rt)->n_text_ctx;
    const size_t most = n_ctx / 2 > n_forced + 8 ? n_ctx / 2 - n_forced - 8 : 0;
    size_t n = ask->n_history < HISTORY ? ask->n_history : HISTORY;
    int32_t sot[SOTTO__SOT_MOST];
    bool ok = true;
    if (n > most) n = most;
    h->prompt.len = 0;
    if (n)
        ok = sotto__ids_push(&h->prompt, h->specials->sot_prev) &&
             sotto__ids_append(&h->prompt, ask->history + ask->n_history - n, n);
    *sot_index = h->prompt.len;
    ok = ok && sotto__ids_append(&h->prompt, sot, sotto__sot_sequence(h->tokenizer, language, h->options.task, sot)) &&
         sotto__ids_push(&h->prompt, h->specials->no_timestamps);
    if (n_forced) {
        ok = ok && sotto__ids_append(&h->prompt, forced, n_forced);
        *sot_index = h->prompt.len - 1;
    }
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "captions");
}

/* Whether the tokens make sense: improbable ones do not where nothing is confirmed yet to lean on. */
static bool makes_sense(const sotto__hearer *h, const sotto__hearing *ask, const sotto__window_tokens *found)
{
    const size_t n_ctx = (size_t)sotto__runtime_info(h->rt)->n_text_ctx;
    if (found->compression_ratio > h->options.compression_ratio_threshold) return false;
    if (found->n + h->prompt.len >= n_ctx || found->n >= n_ctx / 2) return false;
    return ask->before->confirmed || found->avg_logprob >= h->options.logprob_threshold;
}

static sotto_status decode(sotto__hearer *h, const sotto__hearing *ask, const char *language,
                           sotto__window_tokens *found, bool *sense, sotto_error *err)
{
    const bool leans = ask->before->confirmed > 0; /* on forced words */
    size_t sot_index, n_draft;
    const int32_t *draft = sotto__frontier_draft(ask->before, &n_draft);
    bool good;
    sotto_status st = make_prompt(h, ask, language, &sot_index, err);
    if (st != SOTTO_OK) return st;
    h->rules.suppress_blank = !leans; /* after forced words the text may end at once */
    st = sotto__window_decoder_set_draft(h->decoder, draft, n_draft, err);
    if (st == SOTTO_OK)
        st = sotto__window_decode(h->decoder, h->window, h->prompt.data, h->prompt.len, sot_index, 0, true, found,
                                  &good, err);
    if (st != SOTTO_OK) return st;
    *sense = makes_sense(h, ask, found);
    if (*sense || !ask->final) return SOTTO_OK;
    if (!leans && sotto__is_silence(&h->options, found)) return SOTTO_OK;
    sotto__runtime_counts(h->rt)->full_window_retries++;
    if ((st = encode(h, true, err)) == SOTTO_OK)
        st = sotto__window_decode(h->decoder, h->window, h->prompt.data, h->prompt.len, sot_index, 0, false, found,
                                  &good, err);
    if (st == SOTTO_OK) *sense = makes_sense(h, ask, found);
    return st;
}

/* ---- tokens -> words ------------------------------------------------------------------------------------------ */

static sotto_status time_words(sotto__hearer *h, const sotto__hearing *ask, const char *language,
                               sotto__hypothesis *out, sotto_error *err)
{
    int32_t sot[SOTTO__SOT_MOST];
    sotto__word_pass_input in = {.window = h->window,
                                 .sot_sequence = sot,
                                 .n_sot = sotto__sot_sequence(h->tokenizer, language, h->options.task, sot),
                                 .language = language,
                                 .tokens = out->tokens.data,
                                 .frames = h->frames};
    sotto_status st;
    if (!out->tokens.len) return SOTTO_OK;
    if (!sotto__grow(&h->drafts.items, &h->drafts.cap, 1, sizeof *h->drafts.items))
        return sotto__fail_nomem(err, "captions");
    h->drafts.items[0] = (sotto__draft){.end_s = (double)h->frames / SOTTO__FRAMES_PER_SECOND, .n = out->tokens.len};
    h->drafts.n = 1;
    st = sotto__word_pass_run(h->word_pass, &in, &h->drafts, err);
    return st == SOTTO_OK ? sotto__heard_words(h->tokenizer, &h->drafts, ask->before, out, err) : st;
}

sotto_status sotto__hear(sotto__hearer *h, const sotto__hearing *ask, sotto__hypothesis *out, sotto__verdict *verdict,
                         sotto_error *err)
{
    size_t n_forced;
    const int32_t *forced = sotto__frontier_forced(ask->before, &n_forced);
    sotto__window_tokens found;
    sotto_status st;
    sotto__hypothesis_clear(out);
    *verdict = (sotto__verdict){0};
    if ((st = make_mel(h, ask, err)) != SOTTO_OK || (st = encode(h, false, err)) != SOTTO_OK ||
        (st = settle_language(h, ask, &verdict->language, err)) != SOTTO_OK ||
        (st = decode(h, ask, verdict->language, &found, &verdict->trusted, err)) != SOTTO_OK)
        goto done;
    if (!n_forced && sotto__is_silence(&h->options, &found)) {
        sotto__runtime_counts(h->rt)->windows_skipped++;
        verdict->trusted = true;
        goto done;
    }
    if (!verdict->trusted) goto done;
    if (n_forced && !sotto__ids_append(&out->tokens, forced, n_forced)) goto no_memory;
    for (size_t i = 0; i < found.n; i++)
        if (found.tokens[i] < h->specials->eot && !sotto__ids_push(&out->tokens, found.tokens[i])) goto no_memory;
    sotto__runtime_counts(h->rt)->tokens_kept += out->tokens.len - n_forced;
    st = time_words(h, ask, verdict->language, out, err);
    goto done;
no_memory:
    st = sotto__fail_nomem(err, "captions");
done:
    sotto__runtime_leave(h->rt);
    return st;
}
