/* SPDX-License-Identifier: MIT
 * One window's search for its tokens: greedy, sampling or beam search as a state machine. Logits in, the tokens that
 * the next decoder pass needs out; no model, no input or output, so that one caller may drive many searches together.
 *
 *     sotto__search_start(s, &options, &err);
 *     for (ask = sotto__search_next(s); ask.n; ask = sotto__search_next(s)) {
 *         … run the decoder as `ask` says …
 *         sotto__search_feed(s, logits);
 *     }
 *     result = sotto__search_result_of(s);
 *
 * Mirrors whisper.decoding: DecodingTask._main_loop, GreedyDecoder, BeamSearchDecoder, MaximumLikelihoodRanker. */
#ifndef SOTTO_TEXT_SEARCH_H
#define SOTTO_TEXT_SEARCH_H

#include "text/draft.h"
#include "text/rules.h"

typedef struct sotto__search sotto__search;

typedef struct sotto__search_options {
    const sotto__rules *rules; /* borrowed until the search ends; its specials give eot, no_speech and n_vocab */
    const int32_t *prompt;     /* all initial tokens; borrowed */
    size_t n_prompt;
    size_t sot_index;        /* where in the prompt the start-of-transcript token is */
    size_t n_ctx;            /* the decoder's context length */
    size_t sample_len;       /* most tokens to generate */
    bool beams;              /* beam search; otherwise greedy (temperature 0) or sampling */
    size_t width;            /* beams, or samples drawn side by side */
    double temperature;      /* > 0: of the sampling */
    double patience;         /* beams: width * patience finished sequences end the search */
    double length_penalty;   /* alpha of Google's NMT paper; NAN divides by the length */
    uint64_t seed;           /* of the sampling; hypotheses draw from streams of their own */
    sotto__drafter *drafter; /* NULL, or begun: what it proposes is checked. Greedy of width 1 only; borrowed */
} sotto__search_options;

/* What the next decoder pass has to do: hypothesis i = 0 … n-1 continues the cache of hypothesis sources[i] of the pass
 * before, less the last `drop` tokens of it (drafted and not chosen), and appends tokens[i * n_tokens …]: the token
 * chosen last, then those drafted. The first pass (sources NULL, n 1) appends the prompt to an empty cache. */
typedef struct sotto__search_ask {
    size_t n; /* 0 = the search has ended */
    const int32_t *tokens;
    size_t n_tokens;
    size_t n_logits; /* rows of logits wanted for each hypothesis: of its last tokens */
    const size_t *sources;
    size_t drop;
} sotto__search_ask;

typedef struct sotto__search_result {
    const int32_t *tokens; /* without the end-of-text token; valid until the next start or free */
    const float *logprobs; /* [n_tokens], masked and temperature-less; likewise */
    size_t n_tokens;
    double sum_logprob, avg_logprob; /* avg = sum / (n_tokens + 1) */
    double no_speech_prob;
    uint64_t tokens_decoded; /* tokens chosen for all hypotheses, end-of-text included */
    uint64_t draft_tokens_proposed, draft_tokens_accepted;
} sotto__search_result;

sotto_status sotto__search_create(sotto__search **out, sotto_error *err);
void sotto__search_free(sotto__search *s);

/* Begins a search, forgetting the one before. Needs n_prompt <= n_ctx, sot_index < n_prompt, width >= 1. */
sotto_status sotto__search_start(sotto__search *s, const sotto__search_options *options, sotto_error *err);

sotto__search_ask sotto__search_next(const sotto__search *s);

/* The logits that the last ask wanted: [n * n_logits, n_vocab]; overwritten with masked log-probabilities. */
void sotto__search_feed(sotto__search *s, float *logits);

/* The best-ranked sequence of a search that has ended. */
sotto__search_result sotto__search_result_of(sotto__search *s);

/* How to make n caches continue the hypotheses sources[n] of `width` old ones with the fewest copies: order[i] is the
 * old cache that becomes cache i (a permutation of all `width`), and copies[i] is true where it has to be overwritten
 * first with the cache sources[i]. n <= width. */
void sotto__caches_arrange(const size_t *sources, size_t n, size_t width, size_t *order, bool *copies);

/* Uniform in [0, 1): the next number of a stream (SplitMix64). */
double sotto__random(uint64_t *stream);
/* A stream for (seed, number): neighbouring numbers give unrelated streams. */
uint64_t sotto__random_stream(uint64_t seed, uint64_t number);

#endif
