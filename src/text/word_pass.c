/* SPDX-License-Identifier: MIT
 * Tokens -> decoder pass with cross-attention scores -> alignment -> words. Shapes: H alignment heads, N tokens of the
 * pass, T encoder positions, F those of them that hold audio, V vocabulary. */
#include "text/word_pass.h"
#include "audio/features.h"
#include "base/error.h"
#include "text/align.h"
#include "text/rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 }; /* tokens a pass: bounds the logits held at once */

struct sotto__word_pass {
    sotto__runtime *rt;
    sotto__seq *seq;
    size_t heads, positions, n_vocab;
    float *logits;          /* [CHUNK, V] */
    float *chunk;           /* [H, CHUNK, T] */
    float *scores, *matrix; /* [H, N, F], [N, F] */
    size_t cap_scores, cap_matrix;
    double *probabilities; /* [text tokens] */
    size_t *n_text_tokens; /* [drafts] */
    int32_t *first;        /* [text tokens + 1]: position where each is first heard */
    sotto__timing *timings;
    size_t cap_probabilities, cap_n_text_tokens, cap_first, cap_timings;
    sotto__ids tokens; /* of the pass */
    sotto__words words;
};

sotto_status sotto__word_pass_create(sotto__word_pass **out, sotto__runtime *rt, sotto_error *err)
{
    const sotto_model_info *info = sotto__runtime_info(rt);
    sotto__word_pass *p = calloc(1, sizeof *p);
    size_t n_chunk;
    sotto_status st;
    *out = NULL;
    if (!p) return sotto__fail_nomem(err, "words");
    p->rt = rt;
    p->positions = (size_t)info->n_audio_ctx;
    p->n_vocab = (size_t)info->n_vocab;
    sotto__runtime_alignment_heads(rt, &p->heads);
    if (!p->heads) {
        st = sotto__fail(err, SOTTO_EUNSUPPORTED, "word timestamps: the model names no alignment heads");
        goto fail;
    }
    if (!sotto__mul(p->heads * CHUNK, p->positions, &n_chunk)) {
        st = sotto__fail_nomem(err, "words");
        goto fail;
    }
    p->logits = sotto__aligned(CHUNK * p->n_vocab, sizeof *p->logits);
    p->chunk = sotto__aligned(n_chunk, sizeof *p->chunk);
    if (!p->logits || !p->chunk) {
        st = sotto__fail_nomem(err, "words");
        goto fail;
    }
    if ((st = sotto__seq_create(&p->seq, rt, err)) != SOTTO_OK) goto fail;
    *out = p;
    return SOTTO_OK;
fail:
    sotto__word_pass_free(p);
    return st;
}

void sotto__word_pass_free(sotto__word_pass *p)
{
    if (!p) return;
    sotto__seq_free(p->seq);
    free(p->logits);
    free(p->chunk);
    free(p->scores);
    free(p->matrix);
    free(p->probabilities);
    free(p->n_text_tokens);
    free(p->first);
    free(p->timings);
    sotto__ids_free(&p->tokens);
    sotto__words_free(&p->words);
    free(p);
}

/* softmax(row[0 … n-1])[at]; overwrites the row. */
static double probability_of(float *row, size_t n, size_t at)
{
    sotto__log_softmax(row, n, row);
    return exp((double)row[at]);
}

/* tokens = [sot sequence, no_timestamps, text, eot] -> scores[H, N, F], probabilities[text] */
static sotto_status run_decoder(sotto__word_pass *p, const sotto__word_pass_input *in, size_t n_text, size_t frames,
                                sotto_error *err)
{
    size_t n = p->tokens.len, eot = (size_t)sotto__tokenizer_specials(sotto__runtime_tokenizer(p->rt))->eot;
    sotto__seq_truncate(p->seq, 0);
    for (size_t from = 0; from < n; from += CHUNK) {
        size_t m = n - from < CHUNK ? n - from : CHUNK;
        sotto__step step = {.seq = p->seq,
                            .window = in->window,
                            .tokens = p->tokens.data + from,
                            .n_tokens = m,
                            .logits = p->logits,
                            .n_logits = m,
                            .cross_scores = p->chunk};
        double started;
        sotto_status st = sotto__decoder_forward(p->rt, &step, 1, SOTTO_STAGE_WORDS, err);
        if (st != SOTTO_OK) return st;
        started = sotto__now_s();
        for (size_t i = 0; i < m; i++) { /* the row after token n_sot + k foretells text token k */
            size_t row = from + i;
            if (row < in->n_sot || row - in->n_sot >= n_text) continue;
            p->probabilities[row - in->n_sot] =
                probability_of(p->logits + i * p->n_vocab, eot, (size_t)p->tokens.data[row + 1]);
        }
        for (size_t h = 0; h < p->heads; h++)
            for (size_t i = 0; i < m; i++)
                memcpy(p->scores + (h * n + from + i) * frames, p->chunk + (h * m + i) * p->positions,
                       frames * sizeof *p->scores);
        sotto__runtime_counts(p->rt)->stage_s[SOTTO_STAGE_WORDS] += sotto__now_s() - started;
    }
    return SOTTO_OK;
}

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return n ? sum / (double)n : NAN;
}

static sotto_status make_timings(sotto__word_pass *p, const sotto__word_pass_input *in, size_t n_text, size_t frames,
                                 size_t *n_timings, sotto_error *err)
{
    const sotto__tokenizer *tokenizer = sotto__runtime_tokenizer(p->rt);
    size_t n = p->tokens.len, n_words;
    sotto_status st = sotto__attention_matrix(p->scores, p->heads, n, frames, p->matrix, err);
    if (st != SOTTO_OK) return st;
    /* rows of no_timestamps and the text; eot's is left out: row k is where text token k begins */
    st = sotto__dtw(p->matrix + in->n_sot * frames, n_text + 1, frames, p->first, err);
    if (st != SOTTO_OK) return st;
    sotto__words_free(&p->words);
    st = sotto__tokenizer_words(tokenizer, in->language, p->tokens.data + in->n_sot + 1, n_text + 1, &p->words, err);
    if (st != SOTTO_OK) return st;
    n_words = p->words.n > 1 ? p->words.n - 1 : 0; /* the last is eot */
    if (!sotto__grow(&p->timings, &p->cap_timings, n_words + 1, sizeof *p->timings))
        return sotto__fail_nomem(err, "words");
    for (size_t i = 0; i < n_words; i++) {
        size_t from = i ? p->words.token_ends[i - 1] : 0, to = p->words.token_ends[i];
        if (to > n_text) to = n_text;
        if (from > to) from = to;
        p->timings[i] = (sotto__timing){.begin = i ? p->words.text_ends[i - 1] : 0,
                                        .end = p->words.text_ends[i],
                                        .n_tokens = to - from,
                                        .start_s = (double)p->first[from] / SOTTO__POSITIONS_PER_SECOND,
                                        .end_s = (double)p->first[to] / SOTTO__POSITIONS_PER_SECOND,
                                        .probability = mean_of(p->probabilities + from, to - from)};
    }
    *n_timings = n_words;
    return SOTTO_OK;
}

/* find_alignment(): timings of the words of the text tokens; none when there is no text. */
static sotto_status align(sotto__word_pass *p, const sotto__word_pass_input *in, const sotto__drafts *d,
                          size_t *n_timings, sotto_error *err)
{
    const sotto__specials *specials = sotto__tokenizer_specials(sotto__runtime_tokenizer(p->rt));
    size_t n_text = 0, frames = in->frames / SOTTO__INPUT_STRIDE, n, n_matrix, n_scores;
    double started;
    sotto_status st;
    *n_timings = 0;
    if (frames > p->positions) frames = p->positions;
    p->tokens.len = 0;
    if (!sotto__ids_append(&p->tokens, in->sot_sequence, in->n_sot) ||
        !sotto__ids_push(&p->tokens, specials->no_timestamps) ||
        !sotto__grow(&p->n_text_tokens, &p->cap_n_text_tokens, d->n + 1, sizeof *p->n_text_tokens))
        return sotto__fail_nomem(err, "words");
    for (size_t i = 0; i < d->n; i++) {
        const sotto__draft *s = &d->items[i];
        p->n_text_tokens[i] = 0;
        for (size_t k = s->first; k < s->first + s->n; k++) {
            if (in->tokens[k] >= specials->eot) continue;
            if (!sotto__ids_push(&p->tokens, in->tokens[k])) return sotto__fail_nomem(err, "words");
            p->n_text_tokens[i]++;
        }
        n_text += p->n_text_tokens[i];
    }
    if (!n_text) return SOTTO_OK;
    if (!sotto__ids_push(&p->tokens, specials->eot)) return sotto__fail_nomem(err, "words");
    n = p->tokens.len;
    if (!sotto__mul(n, frames, &n_matrix) || !sotto__mul(n_matrix, p->heads, &n_scores) ||
        !sotto__grow(&p->scores, &p->cap_scores, n_scores + 1, sizeof *p->scores) ||
        !sotto__grow(&p->matrix, &p->cap_matrix, n_matrix + 1, sizeof *p->matrix) ||
        !sotto__grow(&p->probabilities, &p->cap_probabilities, n_text, sizeof *p->probabilities) ||
        !sotto__grow(&p->first, &p->cap_first, n_text + 1, sizeof *p->first))
        return sotto__fail_nomem(err, "words");
    if ((st = run_decoder(p, in, n_text, frames, err)) != SOTTO_OK) return st;
    started = sotto__now_s();
    st = make_timings(p, in, n_text, frames, n_timings, err);
    sotto__runtime_counts(p->rt)->stage_s[SOTTO_STAGE_WORDS] += sotto__now_s() - started;
    return st;
}

sotto_status sotto__word_pass_run(sotto__word_pass *p, const sotto__word_pass_input *in, sotto__drafts *d,
                                  sotto_error *err)
{
    size_t n;
    double median_s;
    const char *text;
    sotto_status st;
    if (!d->n) return SOTTO_OK;
    if ((st = align(p, in, d, &n, err)) != SOTTO_OK) return st;
    text = p->words.texts.data ? p->words.texts.data : "";
    if ((st = sotto__timings_trim(p->timings, n, text, &median_s, err)) != SOTTO_OK) return st;
    sotto__timings_merge(p->timings, n, text);
    return sotto__timings_place(p->timings, n, text, median_s, in->seek, p->n_text_tokens, in->last_speech_s, d, err);
}
