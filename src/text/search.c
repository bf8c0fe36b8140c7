/* SPDX-License-Identifier: MIT
 * Greedy, sampling and beam search over rows of logits. Invariant: all live hypotheses have the same length, and live
 * hypothesis i reads row i of the logits fed next. */
#include "text/search.h"
#include "base/error.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A sequence of generated tokens: live, or finished (the end-of-text token is not stored). */
typedef struct hypothesis {
    int32_t *tokens; /* [room] */
    float *logprobs; /* [room]: of each token, masked and temperature-less as `sum` */
    size_t n;
    float sum; /* of log-probabilities, f32 as the reference's tensor */
    uint64_t stream;
} hypothesis;

typedef struct candidate {
    float score, logprob;
    int32_t token;
    size_t source;
} candidate;

struct sotto__search {
    sotto__search_options o;
    size_t n_vocab;
    int32_t eot;
    size_t room;              /* tokens that a hypothesis can hold */
    size_t max_finished;      /* beams: BeamSearchDecoder.max_candidates */
    hypothesis *live, *spare; /* [width] each; beams are rebuilt from one into the other */
    hypothesis *finished;     /* [cap_finished], in the order of the reference's dict */
    size_t n_live, n_finished, cap_finished;
    size_t width_cap, room_cap, finished_cap; /* what the blocks below were allocated for */
    int32_t *block;                           /* tokens of all hypotheses */
    float *logprob_block;                     /* and their log-probabilities */
    int32_t *next;                            /* [width + SOTTO__DRAFT_MOST]: chosen last; drafted */
    size_t n_drafted, drop;                   /* drafted tokens in `next`; those of the pass before not chosen */
    size_t *sources;                          /* [width] */
    candidate *candidates;                    /* [width * (width + 1)] */
    float *weights;                           /* [n_vocab], sampling */
    size_t weights_cap;
    size_t steps;
    bool started, ended;
    double no_speech_prob;
    uint64_t tokens_decoded, draft_tokens_proposed, draft_tokens_accepted;
};

/* ---- random numbers ------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double sotto__random(uint64_t *stream)
{
    *stream += UINT64_C(0x9e3779b97f4a7c15);
    return (double)(mix(*stream) >> 11) * 0x1p-53;
}

uint64_t sotto__random_stream(uint64_t seed, uint64_t number)
{
    return mix(mix(seed + UINT64_C(0x9e3779b97f4a7c15)) ^ (number * UINT64_C(0xd1342543de82ef95) + 1));
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

sotto_status sotto__search_create(sotto__search **out, sotto_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SOTTO_OK : sotto__fail_nomem(err, "search");
}

static void free_blocks(sotto__search *s)
{
    free(s->live);
    free(s->spare);
    free(s->finished);
    free(s->block);
    free(s->logprob_block);
    free(s->next);
    free(s->sources);
    free(s->candidates);
    s->live = s->spare = s->finished = NULL;
    s->block = s->next = NULL;
    s->logprob_block = NULL;
    s->sources = NULL;
    s->candidates = NULL;
    s->width_cap = s->room_cap = s->finished_cap = 0;
}

void sotto__search_free(sotto__search *s)
{
    if (!s) return;
    free_blocks(s);
    free(s->weights);
    free(s);
}

/* Hypothesis `i` of all that there is memory for. */
static hypothesis empty(const sotto__search *s, size_t i)
{
    return (hypothesis){.tokens = s->block + i * s->room, .logprobs = s->logprob_block + i * s->room};
}

static sotto_status reserve(sotto__search *s, size_t width, size_t finished, sotto_error *err)
{
    size_t sequences, n_tokens, n_candidates, n_next;
    if (width > s->width_cap || s->room > s->room_cap || finished > s->finished_cap) {
        free_blocks(s);
        if (!sotto__mul_add(width, 2, finished, &sequences) || !sotto__mul(sequences, s->room, &n_tokens) ||
            !sotto__mul_add(width, width, width, &n_candidates) || !sotto__add(width, SOTTO__DRAFT_MOST, &n_next))
            return sotto__fail_nomem(err, "search");
        s->live = calloc(width, sizeof *s->live);
        s->spare = calloc(width, sizeof *s->spare);
        s->finished = calloc(finished, sizeof *s->finished);
        s->block = calloc(n_tokens, sizeof *s->block);
        s->logprob_block = calloc(n_tokens, sizeof *s->logprob_block);
        s->next = calloc(n_next, sizeof *s->next);
        s->sources = calloc(width, sizeof *s->sources);
        s->candidates = calloc(n_candidates, sizeof *s->candidates);
        if (!s->live || !s->spare || !s->finished || !s->block || !s->logprob_block || !s->next || !s->sources ||
            !s->candidates) {
            free_blocks(s);
            return sotto__fail_nomem(err, "search");
        }
        s->width_cap = width;
        s->room_cap = s->room;
        s->finished_cap = finished;
    }
    if (s->o.temperature > 0 && s->n_vocab > s->weights_cap) {
        free(s->weights);
        s->weights_cap = 0;
        s->weights = calloc(s->n_vocab, sizeof *s->weights);
        if (!s->weights) return sotto__fail_nomem(err, "search");
        s->weights_cap = s->n_vocab;
    }
    for (size_t i = 0; i < width; i++) {
        s->live[i] = empty(s, i);
        s->spare[i] = empty(s, width + i);
    }
    for (size_t i = 0; i < finished; i++) s->finished[i] = empty(s, 2 * width + i);
    return SOTTO_OK;
}

sotto_status sotto__search_start(sotto__search *s, const sotto__search_options *options, sotto_error *err)
{
    size_t width = options->width, finished = width;
    sotto_status st;
    assert(width >= 1 && options->n_prompt >= 1 && options->n_prompt <= options->n_ctx);
    assert(options->sot_index < options->n_prompt && options->sample_len >= 1);
    assert(!options->drafter || (!options->beams && width == 1 && !(options->temperature > 0)));
    s->o = *options;
    s->n_vocab = (size_t)options->rules->specials.n_vocab;
    s->eot = options->rules->specials.eot;
    s->room = options->sample_len;
    s->max_finished = 0;
    if (options->beams) { /* Python's round(): half to even */
        s->max_finished = (size_t)rint((double)width * options->patience);
        if (s->max_finished < 1) s->max_finished = 1;
        if (finished < s->max_finished) finished = s->max_finished;
    }
    if ((st = reserve(s, width, finished, err)) != SOTTO_OK) return st;
    for (size_t i = 0; i < width; i++) s->live[i].stream = sotto__random_stream(options->seed, i);
    s->n_live = 1;
    s->n_finished = 0;
    s->steps = 0;
    s->started = s->ended = false;
    s->no_speech_prob = NAN;
    s->n_drafted = s->drop = 0;
    s->tokens_decoded = s->draft_tokens_proposed = s->draft_tokens_accepted = 0;
    return SOTTO_OK;
}

/* ---- steps ---------------------------------------------------------------------------------------------------- */

sotto__search_ask sotto__search_next(const sotto__search *s)
{
    if (s->ended) return (sotto__search_ask){0};
    if (!s->started) return (sotto__search_ask){1, s->o.prompt, s->o.n_prompt, s->o.n_prompt - s->o.sot_index, NULL, 0};
    return (sotto__search_ask){s->n_live, s->next, 1 + s->n_drafted, 1 + s->n_drafted, s->sources, s->drop};
}

static double softmax_at(const float *logits, size_t n, size_t at)
{
    float max = logits[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++) max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < n; i++) sum += (double)expf(logits[i] - max);
    return (double)expf(logits[at] - max) / sum;
}

static int32_t argmax(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

/* A draw from softmax(logits / temperature), by walking the cumulated weights. */
static int32_t draw(const float *logits, size_t n, double temperature, float *weights, uint64_t *stream)
{
    float max = logits[argmax(logits, n)], scale = (float)(1.0 / temperature);
    double sum = 0, left;
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        weights[i] = expf((logits[i] - max) * scale);
        sum += (double)weights[i];
    }
    left = sotto__random(stream) * sum;
    for (size_t i = 0; i < n; i++) {
        if (!(weights[i] > 0)) continue;
        last = i;
        left -= (double)weights[i];
        if (left < 0) break;
    }
    return (int32_t)last;
}

/* GreedyDecoder.update. The first pass's one row serves all samples. Finished hypotheses leave s->live for s->finished;
 * equal scores mean equal samples there, so their order does not matter. */
static void step_samples(sotto__search *s, float *logits)
{
    size_t kept = 0, n = s->started ? s->n_live : s->o.width;
    for (size_t i = 0; i < n; i++) {
        hypothesis *h = &s->live[i];
        float *row = logits + (s->started ? i : 0) * s->n_vocab;
        int32_t token;
        if (i == 0 || s->started) sotto__rules_apply(s->o.rules, h->tokens, h->n, row);
        token = s->o.temperature > 0 ? draw(row, s->n_vocab, s->o.temperature, s->weights, &h->stream)
                                     : argmax(row, s->n_vocab);
        if (i == 0 || s->started) sotto__log_softmax(row, s->n_vocab, row); /* keeps the order of the values */
        h->sum += row[token];
        s->tokens_decoded++;
        if (token == s->eot) { /* trade token memory with a finished slot */
            hypothesis *f = &s->finished[s->n_finished++], old = *f;
            *f = *h;
            h->tokens = old.tokens;
            h->logprobs = old.logprobs;
            continue;
        }
        h->logprobs[h->n] = row[token];
        h->tokens[h->n++] = token;
        s->next[kept] = token;
        s->sources[kept] = s->started ? i : 0;
        if (kept != i) { /* swap, so that each slot keeps token memory */
            hypothesis gone = s->live[kept];
            s->live[kept] = *h;
            *h = gone;
        }
        kept++;
    }
    s->n_live = kept;
    if (!kept) s->ended = true;
}

/* torch.topk(row, k), sorted; equal values by index. Appends to out, returns how many. */
static size_t top(const float *row, size_t n, size_t k, float sum, size_t source, candidate *out)
{
    size_t m = 0;
    for (size_t v = 0; v < n; v++) {
        size_t at;
        if (m == k && !(row[v] > out[m - 1].score)) continue;
        at = m < k ? m++ : m - 1;
        for (; at > 0 && out[at - 1].score < row[v]; at--) out[at] = out[at - 1];
        out[at] = (candidate){row[v], row[v], (int32_t)v, source};
    }
    for (size_t i = 0; i < m; i++) out[i].score = sum + out[i].score;
    return m;
}

/* Python's sorted(…, reverse=True): descending, equal scores stay in order. */
static void sort_stable(candidate *c, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        candidate one = c[i];
        size_t at = i;
        for (; at > 0 && c[at - 1].score < one.score; at--) c[at] = c[at - 1];
        c[at] = one;
    }
}

static void put(hypothesis *to, const hypothesis *from, float sum)
{
    memcpy(to->tokens, from->tokens, from->n * sizeof *from->tokens);
    memcpy(to->logprobs, from->logprobs, from->n * sizeof *from->logprobs);
    to->n = from->n;
    to->sum = sum;
}

/* BeamSearchDecoder.update. In the first pass all beams are the same sequence, and the reference's dict holds its
 * candidates once: one row, one beam. */
static void step_beams(sotto__search *s, float *logits)
{
    size_t width = s->o.width, n = 0, saved = 0;
    hypothesis *swapped;
    for (size_t i = 0; i < s->n_live; i++) {
        float *row = logits + i * s->n_vocab;
        sotto__rules_apply(s->o.rules, s->live[i].tokens, s->live[i].n, row);
        sotto__log_softmax(row, s->n_vocab, row);
        n += top(row, s->n_vocab, width + 1, s->live[i].sum, i, s->candidates + n);
    }
    sort_stable(s->candidates, n);
    for (size_t i = 0; i < n && saved < width; i++) {
        const candidate *c = &s->candidates[i];
        s->tokens_decoded++;
        if (c->token == s->eot) {
            if (s->n_finished < s->max_finished) put(&s->finished[s->n_finished++], &s->live[c->source], c->score);
            continue;
        }
        put(&s->spare[saved], &s->live[c->source], c->score);
        s->spare[saved].logprobs[s->spare[saved].n] = c->logprob;
        s->spare[saved].tokens[s->spare[saved].n++] = c->token;
        s->next[saved] = c->token;
        s->sources[saved] = c->source;
        saved++;
    }
    swapped = s->live;
    s->live = s->spare;
    s->spare = swapped;
    s->n_live = saved;
    if (s->n_finished >= s->max_finished || !saved) s->ended = true;
}

/* One more token for every hypothesis. */
static void step(sotto__search *s, float *logits)
{
    if (s->o.beams)
        step_beams(s, logits);
    else
        step_samples(s, logits);
    s->started = true;
    s->steps++;
    if (s->o.drafter && s->n_live) sotto__drafter_take(s->o.drafter, s->next[0]);
    if (s->steps >= s->o.sample_len || s->o.n_prompt + s->steps > s->o.n_ctx) s->ended = true;
}

/* Drafts what the next pass checks: no more than could still be chosen, and the context holds. */
static void propose(sotto__search *s)
{
    size_t most = s->o.sample_len - s->steps - 1, room = s->o.n_ctx - s->o.n_prompt - s->steps;
    const int32_t *tokens;
    if (most > room) most = room;
    if (most > SOTTO__DRAFT_MOST) most = SOTTO__DRAFT_MOST;
    tokens = sotto__drafter_propose(s->o.drafter, most, &s->n_drafted);
    if (s->n_drafted) memcpy(s->next + 1, tokens, s->n_drafted * sizeof *tokens);
    s->draft_tokens_proposed += s->n_drafted;
}

void sotto__search_feed(sotto__search *s, float *logits)
{
    size_t row;
    assert(!s->ended);
    if (!s->started) { /* no_speech_prob comes from the raw logits at the start-of-transcript token */
        s->no_speech_prob = softmax_at(logits, s->n_vocab, (size_t)s->o.rules->specials.no_speech);
        logits += (s->o.n_prompt - s->o.sot_index - 1) * s->n_vocab;
    }
    step(s, logits);
    /* The row after a drafted token counts if that token is what the row before chose. */
    for (row = 0; row < s->n_drafted && !s->ended && s->next[0] == s->next[row + 1]; row++)
        step(s, logits + (row + 1) * s->n_vocab);
    s->draft_tokens_accepted += row;
    s->drop = s->n_drafted - row;
    s->n_drafted = 0;
    if (s->o.drafter && !s->ended) propose(s);
}

void sotto__caches_arrange(const size_t *sources, size_t n, size_t width, size_t *order, bool *copies)
{
    size_t next = 0;
    for (size_t i = 0; i < width; i++) copies[i] = i < n;
    for (size_t i = 0; i < n; i++) { /* the first to want a cache gets it */
        bool taken = false;
        for (size_t k = 0; k < i; k++) taken |= !copies[k] && sources[k] == sources[i];
        if (taken) continue;
        order[i] = sources[i];
        copies[i] = false;
    }
    for (size_t i = 0; i < width; i++) { /* the others get what nobody wanted */
        bool wanted = true;
        if (i < n && !copies[i]) continue;
        for (; wanted; next++) {
            wanted = false;
            for (size_t k = 0; k < n; k++) wanted |= sources[k] == next;
            if (!wanted) order[i] = next;
        }
    }
}

/* ---- ranking -------------------------------------------------------------------------------------------------- */

/* finalize(): what did not finish joins the finished, as if it had ended here. Beams fill up to `width` from the best
 * on, equal sums from the last on (argsort reversed). */
static void finalize(sotto__search *s)
{
    size_t limit = s->o.width;
    while (s->n_live && s->n_finished < limit) {
        size_t best = s->n_live - 1;
        if (s->o.beams) {
            for (size_t i = s->n_live - 1; i-- > 0;)
                if (s->live[i].sum > s->live[best].sum) best = i;
        }
        hypothesis *f = &s->finished[s->n_finished++], gone = *f;
        *f = s->live[best];
        memmove(&s->live[best], &s->live[best + 1], (s->n_live - best - 1) * sizeof *s->live);
        s->live[--s->n_live] = gone;
    }
    s->n_live = 0;
}

sotto__search_result sotto__search_result_of(sotto__search *s)
{
    sotto__search_result r = {.no_speech_prob = s->no_speech_prob,
                              .tokens_decoded = s->tokens_decoded,
                              .draft_tokens_proposed = s->draft_tokens_proposed,
                              .draft_tokens_accepted = s->draft_tokens_accepted};
    const hypothesis *best = NULL;
    double best_score = 0;
    assert(s->ended);
    finalize(s);
    for (size_t i = 0; i < s->n_finished; i++) { /* MaximumLikelihoodRanker; the first of equals */
        const hypothesis *h = &s->finished[i];
        double length = (double)h->n, penalty = h->n ? length : 1; /* the reference fails on an empty sequence */
        double score;
        if (!isnan(s->o.length_penalty)) penalty = pow((5 + length) / 6, s->o.length_penalty);
        score = (double)h->sum / penalty;
        if (best && !(score > best_score)) continue;
        best = h;
        best_score = score;
    }
    assert(best);
    r.tokens = best->tokens;
    r.logprobs = best->logprobs;
    r.n_tokens = best->n;
    r.sum_logprob = (double)best->sum;
    r.avg_logprob = r.sum_logprob / (double)(best->n + 1);
    return r;
}
