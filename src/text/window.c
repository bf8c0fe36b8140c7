/* SPDX-License-Identifier: MIT
 * The loop between search and decoder, with temperature fallback. V vocabulary; hypotheses of one search go through the
 * decoder as one batch. */
#include "text/window.h"
#include "base/error.h"
#include "text/search.h"
#include "token/unicode.h"

#include <stdlib.h>
#include <string.h>

struct sotto__window_decoder {
    sotto__runtime *rt;
    const sotto_options *options;
    const sotto__rules *rules;
    sotto__search *search;
    size_t n_ctx, n_vocab, width;
    sotto__seq **seqs, **ordered; /* [width], created when first needed */
    size_t n_seqs;                /* created so far */
    size_t *order;                /* [width] */
    bool *copies;                 /* [width] */
    sotto__step *steps;           /* [width] */
    float *logits;                /* [rows, V] */
    float *prompt_logits;         /* of the prompt's last tokens, kept for the next temperature */
    size_t rows;
    bool prefilled;    /* seqs[0] begins with this window's prompt */
    sotto__str text;   /* decoded, for the compression ratio */
    sotto__ids tokens; /* of the outcome */
    sotto__drafter drafter;
};

_Static_assert((int)SOTTO__DRAFT_MOST + 1 <= (int)SOTTO__EXACT_ROWS, "drafts change no logits");

static bool drafts(const sotto__window_decoder *d)
{
    return d->options->beam_size == 1 && (d->drafter.n_draft || d->drafter.lookup);
}

/* Room for the logits of `rows` rows. */
static sotto_status reserve_logits(sotto__window_decoder *d, size_t rows, sotto_error *err)
{
    size_t n;
    float *logits;
    if (rows <= d->rows) return SOTTO_OK;
    logits = sotto__mul(rows, d->n_vocab, &n) ? sotto__aligned(n, sizeof *logits) : NULL;
    if (!logits) return sotto__fail_nomem(err, "decoder");
    free(d->logits);
    d->logits = logits;
    d->rows = rows;
    return SOTTO_OK;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

sotto_status sotto__window_decoder_create(sotto__window_decoder **out, sotto__runtime *rt, const sotto_options *options,
                                          const sotto__rules *rules, sotto_error *err)
{
    enum { SOT_ROWS = 4 }; /* sot, language, task, no_timestamps */
    const sotto_model_info *info = sotto__runtime_info(rt);
    sotto__window_decoder *d = calloc(1, sizeof *d);
    sotto_status st;
    *out = NULL;
    if (!d) return sotto__fail_nomem(err, "decoder");
    d->rt = rt;
    d->options = options;
    d->rules = rules;
    d->n_ctx = (size_t)info->n_text_ctx;
    d->n_vocab = (size_t)info->n_vocab;
    d->width = 1;
    if (options->temperature <= 0) d->width = (size_t)options->beam_size;
    if (sotto__temperature(options, sotto__temperatures(options) - 1) > 0 && d->width < (size_t)options->best_of)
        d->width = (size_t)options->best_of;
    d->drafter = (sotto__drafter){.draft = options->draft_tokens,
                                  .n_draft = options->draft_tokens ? options->n_draft_tokens : 0,
                                  .lookup = options->prompt_lookup,
                                  .timestamps = !options->without_timestamps,
                                  .eot = rules->specials.eot,
                                  .timestamp_begin = rules->specials.timestamp_begin};
    d->seqs = calloc(d->width, sizeof(sotto__seq *));
    d->ordered = calloc(d->width, sizeof(sotto__seq *));
    d->order = calloc(d->width, sizeof *d->order);
    d->copies = calloc(d->width, sizeof *d->copies);
    d->steps = calloc(d->width, sizeof *d->steps);
    d->prompt_logits = sotto__aligned(SOT_ROWS * d->n_vocab, sizeof *d->prompt_logits);
    st = reserve_logits(d, d->width < SOT_ROWS ? SOT_ROWS : d->width, err);
    if (!d->seqs || !d->ordered || !d->order || !d->copies || !d->steps || !d->prompt_logits)
        st = sotto__fail_nomem(err, "decoder");
    if (st == SOTTO_OK && drafts(d)) st = reserve_logits(d, 1 + SOTTO__DRAFT_MOST, err);
    if (st == SOTTO_OK) st = sotto__search_create(&d->search, err);
    if (st != SOTTO_OK) {
        sotto__window_decoder_free(d);
        return st;
    }
    *out = d;
    return SOTTO_OK;
}

void sotto__window_decoder_free(sotto__window_decoder *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->n_seqs; i++) sotto__seq_free(d->seqs[i]);
    free(d->seqs);
    free(d->ordered);
    free(d->order);
    free(d->copies);
    free(d->steps);
    free(d->logits);
    free(d->prompt_logits);
    sotto__search_free(d->search);
    sotto__str_free(&d->text);
    sotto__ids_free(&d->tokens);
    sotto__drafter_free(&d->drafter);
    free(d);
}

sotto_status sotto__window_decoder_set_draft(sotto__window_decoder *d, const int32_t *draft, size_t n, sotto_error *err)
{
    d->drafter.draft = draft;
    d->drafter.n_draft = n;
    d->drafter.seen.len = d->drafter.cursor = d->drafter.window_cursor = 0;
    return drafts(d) ? reserve_logits(d, 1 + SOTTO__DRAFT_MOST, err) : SOTTO_OK;
}

/* ---- decoding ------------------------------------------------------------------------------------------------- */

/* The first pass of a search: the prompt, or what is left of it from the temperature before. */
static sotto_status prefill(sotto__window_decoder *d, const sotto__window *window, const sotto__search_ask *ask,
                            sotto_error *err)
{
    sotto_status st;
    size_t n = ask->n_logits * d->n_vocab;
    if (!d->n_seqs) {
        if ((st = sotto__seq_create(&d->seqs[0], d->rt, err)) != SOTTO_OK) return st;
        d->n_seqs = 1;
    }
    if (!d->prefilled) {
        sotto__step step = {.seq = d->seqs[0],
                            .window = window,
                            .tokens = ask->tokens,
                            .n_tokens = ask->n_tokens,
                            .logits = d->prompt_logits,
                            .n_logits = ask->n_logits};
        sotto__seq_truncate(d->seqs[0], 0);
        if ((st = sotto__decoder_forward(d->rt, &step, 1, SOTTO_STAGE_PREFILL, err)) != SOTTO_OK) return st;
        sotto__runtime_counts(d->rt)->tokens_prefilled += ask->n_tokens;
        d->prefilled = true;
    }
    sotto__seq_truncate(d->seqs[0], ask->n_tokens); /* it was in the last batch of the search before */
    memcpy(d->logits, d->prompt_logits, n * sizeof *d->logits);
    return SOTTO_OK;
}

/* One pass over all live hypotheses. */
static sotto_status step(sotto__window_decoder *d, const sotto__window *window, const sotto__search_ask *ask,
                         sotto_error *err)
{
    sotto__seq **swapped;
    sotto_status st;
    while (d->n_seqs < ask->n) {
        if ((st = sotto__seq_create(&d->seqs[d->n_seqs], d->rt, err)) != SOTTO_OK) return st;
        d->n_seqs++;
    }
    sotto__caches_arrange(ask->sources, ask->n, d->n_seqs, d->order, d->copies);
    for (size_t i = 0; i < d->n_seqs; i++) d->ordered[i] = d->seqs[d->order[i]];
    for (size_t i = 0; i < ask->n; i++)
        if (d->copies[i]) sotto__seq_copy(d->ordered[i], d->seqs[ask->sources[i]]);
    swapped = d->seqs;
    d->seqs = d->ordered;
    d->ordered = swapped;
    for (size_t i = 0; i < ask->n; i++) {
        sotto__seq_truncate(d->seqs[i], sotto__seq_length(d->seqs[i]) - ask->drop);
        d->steps[i] = (sotto__step){.seq = d->seqs[i],
                                    .window = window,
                                    .tokens = ask->tokens + i * ask->n_tokens,
                                    .n_tokens = ask->n_tokens,
                                    .logits = d->logits + i * ask->n_logits * d->n_vocab,
                                    .n_logits = ask->n_logits};
    }
    return sotto__decoder_forward(d->rt, d->steps, ask->n, SOTTO_STAGE_DECODE, err);
}

/* DecodingTask.run at one temperature */
static sotto_status run_search(sotto__window_decoder *d, const sotto__window *window,
                               const sotto__search_options *options, sotto__window_tokens *out, sotto_error *err)
{
    sotto__search_result found;
    const char *text;
    size_t n_text;
    sotto_counts *counts = sotto__runtime_counts(d->rt);
    sotto_status st = sotto__search_start(d->search, options, err);
    if (st != SOTTO_OK) return st;
    for (sotto__search_ask ask = sotto__search_next(d->search); ask.n; ask = sotto__search_next(d->search)) {
        double started;
        st = ask.sources ? step(d, window, &ask, err) : prefill(d, window, &ask, err);
        if (st != SOTTO_OK) return st;
        started = sotto__now_s();
        sotto__search_feed(d->search, d->logits);
        counts->stage_s[SOTTO_STAGE_DECODE] += sotto__now_s() - started;
    }
    found = sotto__search_result_of(d->search);
    counts->tokens_decoded += found.tokens_decoded;
    counts->draft_tokens_proposed += found.draft_tokens_proposed;
    counts->draft_tokens_accepted += found.draft_tokens_accepted;
    d->tokens.len = 0;
    if (!sotto__ids_append(&d->tokens, found.tokens, found.n_tokens)) return sotto__fail_nomem(err, "tokens");
    *out = (sotto__window_tokens){.tokens = d->tokens.data,
                                  .logprobs = found.logprobs, /* the search's until it is started again */
                                  .n = d->tokens.len,
                                  .temperature = options->temperature,
                                  .avg_logprob = found.avg_logprob,
                                  .no_speech_prob = found.no_speech_prob};
    d->text.len = 0;
    st = sotto__tokenizer_decode(sotto__runtime_tokenizer(d->rt), out->tokens, out->n, &d->text, err);
    if (st != SOTTO_OK) return st;
    text = d->text.len ? d->text.data : "";
    n_text = d->text.len;
    sotto__utf8_strip(&text, &n_text);
    return sotto__compression_ratio(text, n_text, &out->compression_ratio, err);
}

sotto_status sotto__window_decode(sotto__window_decoder *d, const sotto__window *window, const int32_t *prompt,
                                  size_t n_prompt, size_t sot_index, size_t seek, bool first_only,
                                  sotto__window_tokens *out, bool *good, sotto_error *err)
{
    const sotto_options *o = d->options;
    size_t n = first_only ? 1 : sotto__temperatures(o);
    d->prefilled = false;
    for (size_t i = 0; i < n; i++) {
        double t = sotto__temperature(o, i);
        bool sampling = t > 0; /* beams and patience only at 0, best_of only above */
        uint64_t stream = sotto__random_stream(sotto__random_stream(o->seed, seek), i);
        sotto__search_options search = {.rules = d->rules,
                                        .prompt = prompt,
                                        .n_prompt = n_prompt,
                                        .sot_index = sot_index,
                                        .n_ctx = d->n_ctx,
                                        .sample_len = d->n_ctx / 2,
                                        .beams = !sampling && o->beam_size > 1,
                                        .width = (size_t)(sampling ? o->best_of : o->beam_size),
                                        .temperature = t,
                                        .patience = o->patience,
                                        .length_penalty = o->length_penalty,
                                        .seed = stream};
        sotto_status st;
        if (i) sotto__runtime_counts(d->rt)->fallbacks++;
        if (!sampling && drafts(d)) {
            search.drafter = &d->drafter;
            st = sotto__drafter_begin(&d->drafter, seek, prompt, n_prompt, search.sample_len, err);
            if (st != SOTTO_OK) return st;
        }
        if ((st = run_search(d, window, &search, out, err)) != SOTTO_OK) return st;
        *good = !sotto__needs_fallback(o, out);
        if (*good) break;
    }
    return SOTTO_OK;
}
