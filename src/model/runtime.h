/* SPDX-License-Identifier: MIT
 * The model as a function: mel -> window (encoder states and cross-attention keys and values), tokens -> logits.
 *
 * A runtime belongs to one session (one thread at a time) and holds its counters; weights and scratch memory are the
 * shared model's. Sessions of a model on several threads meet at its desk (batch.h): they encode one after the other,
 * and their decoder passes are computed as one. Shapes: T = n_audio_ctx (1500), D = state width, H = heads, V =
 * n_vocab, all row-major. */
#ifndef SOTTO_MODEL_RUNTIME_H
#define SOTTO_MODEL_RUNTIME_H

#include "sotto.h"
#include "token/tokenizer.h"

typedef struct sotto__runtime sotto__runtime;
typedef struct sotto__window sotto__window; /* one encoded 30 s window */
typedef struct sotto__seq sotto__seq;       /* one hypothesis: self-attention KV cache */

sotto_status sotto__runtime_open(sotto__runtime **out, sotto_model *model, sotto_error *err);
void sotto__runtime_free(sotto__runtime *rt);

sotto_model *sotto__runtime_model(const sotto__runtime *rt);

/* Sessions that a call may open beside its caller's, for parts of its recording: up to `wanted`, at least 1; all calls
 * of a model together are kept to a few, as each costs memory. Given back with sotto__helpers_return. */
size_t sotto__helpers_take(sotto_model *model, size_t wanted);
void sotto__helpers_return(sotto_model *model, size_t n);
const sotto_model_info *sotto__runtime_info(const sotto__runtime *rt);
const sotto__tokenizer *sotto__runtime_tokenizer(const sotto__runtime *rt);
/* [n_mels, 201] */
const float *sotto__runtime_mel_filters(const sotto__runtime *rt);
/* Pairs (layer, head) whose cross-attention follows the audio: *n pairs. */
const int32_t *sotto__runtime_alignment_heads(const sotto__runtime *rt, size_t *n);

/* Frames of a window: 3000, or twice n_audio_ctx where the audio context was shortened. */
size_t sotto__runtime_window_frames(const sotto__runtime *rt);

/* Counters of the run: the callee adds multiply-adds, decoder_steps, windows; callers add the rest. Reset by zeroing.
 */
sotto_counts *sotto__runtime_counts(sotto__runtime *rt);
/* Parameters of each part touched since reset. */
void sotto__runtime_touched_reset(sotto__runtime *rt);
void sotto__runtime_touched(const sotto__runtime *rt, uint64_t out[SOTTO_PART_COUNT]);

/* Adds what `other`, of the same model, counted and touched to `rt`. */
void sotto__runtime_absorb(sotto__runtime *rt, const sotto__runtime *other);

/* Cancellation flag, async-signal-safe to set; forward calls return SOTTO_ECANCELLED once it is set. */
void sotto__runtime_cancel(sotto__runtime *rt, bool on);
bool sotto__runtime_cancelled(const sotto__runtime *rt);

/* Nobody waits for what it does from now on: see sotto_options.background. */
void sotto__runtime_set_background(sotto__runtime *rt, bool on);

/* The session begins to work: one that is not of the background holds the background back until it leaves. */
void sotto__runtime_arrive(sotto__runtime *rt);

/* Between two pieces of work outside the desk: a session of the background waits while others work, 50 ms at most. */
void sotto__runtime_give_way(sotto__runtime *rt);

/* The session decodes no further for now: the others need not wait for its next step. To be called at the end of a
 * transcription, however it ended. */
void sotto__runtime_leave(sotto__runtime *rt);

sotto_status sotto__window_create(sotto__window **out, const sotto__runtime *rt, sotto_error *err);
void sotto__window_free(sotto__window *w);

/* mel[3000, n_mels] frame-major -> encoder states and cross-attention K, V of all decoder layers, kept in `w`. Counts
 * its seconds under ENCODER.
 *
 * Frames from `frames` on are padding: one constant column, so that its encoder positions differ by their positional
 * embedding only. With tail_stride S > 1 only about every S-th of them is computed (after a margin of 1 s), and each
 * stands for S: log S is added to every attention score on it, here and in the decoder's cross-attention. S = 1
 * computes all positions, which is the definition. */
sotto_status sotto__encode(sotto__runtime *rt, const float *mel, size_t frames, int32_t tail_stride, sotto__window *w,
                           sotto_error *err);
/* Encoder positions computed by the last sotto__encode: T, or fewer where the tail was sampled. */
size_t sotto__window_positions(const sotto__window *w);
/* Encoder output [positions, D] of the last sotto__encode, borrowed. */
const float *sotto__window_states(const sotto__window *w);

sotto_status sotto__seq_create(sotto__seq **out, const sotto__runtime *rt, sotto_error *err);
void sotto__seq_free(sotto__seq *s);
size_t sotto__seq_length(const sotto__seq *s);                /* tokens in the cache */
void sotto__seq_truncate(sotto__seq *s, size_t length);       /* forget all tokens from `length` on */
void sotto__seq_copy(sotto__seq *dst, const sotto__seq *src); /* dst becomes src's twin */

/* One sequence's share of a decoder pass: append tokens to its cache, get logits of its last positions. */
typedef struct sotto__step {
    sotto__seq *seq;
    const sotto__window *window;
    const int32_t *tokens; /* n_tokens >= 1; seq length + n_tokens <= n_text_ctx */
    size_t n_tokens;
    float *logits; /* [n_logits, V] for the last n_logits of the tokens */
    size_t n_logits;
    float *cross_scores; /* NULL, or [n_alignment_heads, n_tokens, T]: raw scaled q.k scores before softmax ("qk");
                          * columns from the window's positions on are not written */
} sotto__step;

/* A pass of up to so many rows gives each the logits, to the bit, that passes of one row give it: drafts are checked
 * so. */
enum { SOTTO__EXACT_ROWS = 8 };

/* One decoder pass over all steps together, and over those of other sessions that are decoding. A step's logits are the
 * same to the last bit whatever else is in the pass. Counts, for this session's share of the pass, seconds under
 * `stage` (PREFILL, DECODE or WORDS) and multiply-adds, and one decoder step. Sequences of one call must be distinct.
 */
sotto_status sotto__decoder_forward(sotto__runtime *rt, sotto__step *steps, size_t n_steps, sotto_stage stage,
                                    sotto_error *err);

#endif
