/* SPDX-License-Identifier: MIT
 * The window loop: features -> window -> tokens -> segments -> words, and where the next window starts. Mirrors
 * whisper.transcribe.transcribe; what each window is made of lives in window.c, segment.c, word_pass.c, silence.c. */
#include "text/transcribe.h"
#include "base/error.h"
#include "text/checkpoint.h"
#include "text/coverage.h"
#include "text/language.h"
#include "text/options.h"
#include "text/prompt.h"
#include "text/silence.h"
#include "text/transcript.h"
#include "token/unicode.h"
#include "text/window.h"
#include "text/word_pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct sotto__transcriber run;

/* What a session transcribes with: made for one recording's features and options, then any number of its parts. */
struct sotto__transcriber {
    sotto__runtime *rt;
    const sotto__features *features;
    const sotto_options *o;
    sotto__transcript *transcript;
    const sotto__tokenizer *tokenizer;
    const sotto__specials *specials;
    const char *language; /* code */
    int32_t sot_sequence[4];
    size_t n_sot;
    sotto__rules rules;
    sotto__ids suppressed;
    sotto__keywords keywords;
    sotto__history history;
    sotto__ids prompt;
    sotto__window *window;
    float *mel; /* [3000, n_mels] */
    sotto__window_decoder *decoder;
    sotto__word_pass *word_pass; /* NULL without word timestamps */
    sotto__drafts drafts;
    sotto__str text;
    size_t content_frames, seek;
    bool is_part;                /* what its last window leaves unfinished is not heard again */
    double earliest_s, latest_s; /* times are held between them */
    bool encoded;                /* `window` holds the window at `seek` already */
    double last_speech_s;
    size_t n_reported; /* segments that on_progress has seen */
    bool silent;       /* it is not called for now */
    sotto__str checkpoint;
    const char *resume; /* the first part begins behind it; NULL = at its beginning */
};

/* ---- preparation ---------------------------------------------------------------------------------------------- */

static sotto_status make_history(run *r, sotto_error *err)
{
    sotto_status st = sotto__keywords_make(&r->keywords, r->o, r->tokenizer, &r->history.tokens, err);
    if (st == SOTTO_OK) st = sotto__prompt_encode(r->tokenizer, r->o->initial_prompt, &r->history.tokens, err);
    /* A glossary is of no use where it is not before the words. */
    r->history.carry = r->o->carry_initial_prompt || r->keywords.n;
    if (r->keywords.n) r->rules.keywords = &r->keywords;
    r->history.n_initial = r->history.tokens.len;
    return st;
}

static sotto_status encode_window(run *r, size_t n, sotto__pad pad, int32_t tail_stride, sotto_error *err)
{
    double started = sotto__now_s();
    sotto_status st = sotto__features_window(r->features, r->seek, n, pad, r->mel, err);
    sotto__runtime_counts(r->rt)->stage_s[SOTTO_STAGE_MEL] += sotto__now_s() - started;
    return st == SOTTO_OK ? sotto__encode(r->rt, r->mel, n, tail_stride, r->window, err) : st;
}

/* On the first 30 s. */
static sotto_status detect_language(run *r, sotto_error *err)
{
    double probability;
    sotto_status st = encode_window(r, SOTTO__WINDOW_FRAMES, SOTTO__PAD_SILENCE, 1, err);
    /* A shorter recording's window is padded differently. */
    r->encoded = r->content_frames - r->seek >= sotto__runtime_window_frames(r->rt);
    if (st == SOTTO_OK) st = sotto__language_detect(r->rt, r->window, &r->language, &probability, err);
    if (st == SOTTO_OK) sotto__transcript_set_language(r->transcript, r->language, probability);
    return st;
}

/* `code`: the language if an earlier part told it, else NULL. */
static sotto_status settle_language(run *r, const char *code, sotto_error *err)
{
    const sotto__specials *s = r->specials;
    if (code) {
        r->language = code;
        sotto__transcript_set_language(r->transcript, code, 1.0);
    } else if (s->multilingual && !r->o->language) {
        sotto_status st = detect_language(r, err);
        if (st != SOTTO_OK) return st;
    } else {
        r->language = r->o->language ? sotto_language_code(r->o->language) : "en";
        sotto__transcript_set_language(r->transcript, r->language, 1.0);
    }
    r->n_sot = sotto__sot_sequence(r->tokenizer, r->language, r->o->task, r->sot_sequence);
    return SOTTO_OK;
}

static sotto_status prepare(run *r, sotto_error *err)
{
    size_t n_mel;
    sotto_status st;
    if ((st = sotto__options_check(r->o, r->tokenizer, err)) != SOTTO_OK) return st;
    if (!sotto__mul(SOTTO__WINDOW_FRAMES, sotto__features_mels(r->features), &n_mel) ||
        !(r->mel = sotto__aligned(n_mel, sizeof *r->mel)))
        return sotto__fail_nomem(err, "mel window");
    st = sotto__rules_make(&r->rules, r->o, r->tokenizer, &r->suppressed, err);
    if (st != SOTTO_OK || (st = make_history(r, err)) != SOTTO_OK ||
        (st = sotto__window_create(&r->window, r->rt, err)) != SOTTO_OK)
        return st;
    st = sotto__window_decoder_create(&r->decoder, r->rt, r->o, &r->rules, err);
    if (st == SOTTO_OK && r->o->word_timestamps) st = sotto__word_pass_create(&r->word_pass, r->rt, err);
    return st;
}

/* ---- windows -------------------------------------------------------------------------------------------------- */

static sotto__checkpoint where(const run *r)
{
    return (sotto__checkpoint){.info = sotto__runtime_info(r->rt),
                               .frames = sotto__features_frames(r->features),
                               .next = r->seek,
                               .language = r->language,
                               .reset_since = r->history.reset_since,
                               .last_speech_s = r->last_speech_s};
}

/* For `progress`, of which its segments are known. */
static sotto_status add_checkpoint(run *r, sotto_progress *progress, sotto_error *err)
{
    sotto__checkpoint c = where(r);
    if (!r->o->checkpoints || r->is_part) return SOTTO_OK;
    sotto__transcript_language(r->transcript, &c.language_probability);
    r->checkpoint.len = 0;
    const sotto_status st = sotto__checkpoint_write(&c, progress->segments, progress->n_segments, &r->checkpoint, err);
    progress->checkpoint = r->checkpoint.data;
    return st;
}

static sotto_status report_progress(run *r, bool fresh, sotto_error *err)
{
    size_t n, done = r->seek < r->content_frames ? r->seek : r->content_frames;
    const sotto_segment *segments = sotto__transcript_segments(r->transcript, &n);
    if (!r->o->on_progress || r->silent) return SOTTO_OK;
    sotto_progress progress = {.done_s = (double)done / SOTTO__FRAMES_PER_SECOND,
                               .total_s = (double)sotto__features_samples(r->features) / SOTTO__SAMPLE_RATE,
                               .segments = n > r->n_reported ? segments + r->n_reported : NULL,
                               .n_segments = n - r->n_reported};
    sotto_status st = sotto__transcript_tell(r->transcript, r->tokenizer, &progress.text, err);
    if (st == SOTTO_OK && fresh) st = add_checkpoint(r, &progress, err);
    if (st != SOTTO_OK) return st;
    r->n_reported = n;
    if (!r->o->on_progress(&progress, r->o->user))
        return sotto__fail(err, SOTTO_ECANCELLED, "transcription cancelled by on_progress");
    return SOTTO_OK;
}

/* The text of the draft's tokens below end-of-text, into r->text. */
static sotto_status draft_text(run *r, const int32_t *tokens, size_t n, sotto_error *err)
{
    r->text.len = 0;
    return sotto__tokenizer_decode(r->tokenizer, tokens, n, &r->text, err);
}

static double within(double s, double low, double high) { return s < low ? low : s > high ? high : s; }

/* A part's neighbours know nothing of it: its times must not run into theirs. */
static void hold_times(run *r, sotto__draft *s)
{
    s->start_s = within(s->start_s, r->earliest_s, r->latest_s);
    s->end_s = within(s->end_s, r->earliest_s, r->latest_s);
    for (size_t i = 0; i < s->n_words; i++) {
        sotto__draft_word *w = &r->drafts.words[s->first_word + i];
        w->start_s = within(w->start_s, r->earliest_s, r->latest_s);
        w->end_s = within(w->end_s, r->earliest_s, r->latest_s);
    }
}

/* Adds the window's drafts to the transcript and to the history. Instantaneous segments and those without text are left
 * out (the reference keeps them, blanked). */
static sotto_status keep_drafts(run *r, const sotto__window_tokens *found, sotto_error *err)
{
    for (size_t i = 0; i < r->drafts.n; i++) {
        sotto__draft *s = &r->drafts.items[i];
        const int32_t *tokens = found->tokens + s->first;
        sotto__finished one = {.seek = r->seek,
                               .temperature = found->temperature,
                               .avg_logprob = found->avg_logprob,
                               .compression_ratio = found->compression_ratio,
                               .no_speech_prob = found->no_speech_prob,
                               .drafts = &r->drafts,
                               .draft = s,
                               .tokens = tokens,
                               .logprobs = found->logprobs + s->first};
        const char *stripped;
        size_t n_stripped;
        sotto_status st = draft_text(r, tokens, s->n, err);
        if (st != SOTTO_OK) return st;
        stripped = one.text = r->text.len ? r->text.data : "";
        n_stripped = one.text_len = r->text.len;
        sotto__utf8_strip(&stripped, &n_stripped);
        if (s->start_s == s->end_s || !n_stripped) continue;
        hold_times(r, s);
        if ((st = sotto__transcript_add(r->transcript, &one, err)) != SOTTO_OK) return st;
        if (!sotto__ids_append(&r->history.tokens, tokens, s->n)) return sotto__fail_nomem(err, "history");
        sotto__runtime_counts(r->rt)->tokens_kept += s->n;
    }
    if (!r->o->condition_on_previous_text || found->temperature > 0.5) r->history.reset_since = r->history.tokens.len;
    return SOTTO_OK;
}

/* Words of the window's drafts, and what they say about where to go on. *keep is false when the window is thrown away.
 */
static sotto_status time_words(run *r, const sotto__window_tokens *found, size_t frames, size_t *next_seek, bool *keep,
                               sotto_error *err)
{
    sotto__word_pass_input in = {.window = r->window,
                                 .sot_sequence = r->sot_sequence,
                                 .n_sot = r->n_sot,
                                 .language = r->language,
                                 .tokens = found->tokens,
                                 .seek = r->seek,
                                 .frames = frames,
                                 .last_speech_s = r->last_speech_s};
    double offset = (double)(r->seek * SOTTO__HOP) / SOTTO__SAMPLE_RATE, end;
    sotto_status st = sotto__word_pass_run(r->word_pass, &in, &r->drafts, err);
    *keep = true;
    if (st != SOTTO_OK) return st;
    if (!r->drafts.single_timestamp_ending && sotto__drafts_end(&r->drafts, &end) && end > offset)
        *next_seek = (size_t)rint(end * SOTTO__FRAMES_PER_SECOND);
    if (!isnan(r->o->hallucination_silence_threshold)) {
        sotto__silence silence = {.threshold_s = r->o->hallucination_silence_threshold,
                                  .last_speech_s = r->last_speech_s,
                                  .seek = r->seek,
                                  .frames = frames,
                                  .window_frames = sotto__runtime_window_frames(r->rt),
                                  .content_frames = r->content_frames};
        *keep = sotto__silence_skip(&silence, &r->drafts, next_seek);
    }
    if (*keep && sotto__drafts_end(&r->drafts, &end)) r->last_speech_s = end;
    return SOTTO_OK;
}

/* Tokens of the encoded window. One whose silent tail was sampled gets one try; where its outcome looks wrong (it
 * repeats itself, is improbable, or does not end), the full window is encoded and decoded instead. */
static sotto_status decode_window(run *r, size_t frames, size_t sot_index, sotto__window_tokens *found,
                                  sotto_error *err)
{
    const sotto_model_info *info = sotto__runtime_info(r->rt);
    const bool sampled = sotto__window_positions(r->window) < (size_t)info->n_audio_ctx;
    bool good;
    sotto_status st = sotto__window_decode(r->decoder, r->window, r->prompt.data, r->prompt.len, sot_index, r->seek,
                                           sampled, found, &good, err);
    if (st != SOTTO_OK || !sampled || (good && found->n < (size_t)info->n_text_ctx / 2)) return st;
    sotto__runtime_counts(r->rt)->full_window_retries++;
    if ((st = encode_window(r, frames, SOTTO__PAD_ZERO, 1, err)) != SOTTO_OK) return st;
    return sotto__window_decode(r->decoder, r->window, r->prompt.data, r->prompt.len, sot_index, r->seek, false, found,
                                &good, err);
}

static sotto_status run_window(run *r, sotto_error *err)
{
    const size_t most = sotto__runtime_window_frames(r->rt);
    size_t left = r->content_frames - r->seek, frames = left < most ? left : most;
    size_t next_seek = r->seek + frames, sot_index, n_sot = r->n_sot;
    int32_t sot_sequence[5];
    sotto__window_tokens found;
    bool keep = true;
    sotto_status st;
    if (!r->encoded && (st = encode_window(r, frames, SOTTO__PAD_ZERO,
                                           sotto__tail_stride(r->o, sotto__runtime_info(r->rt)), err)) != SOTTO_OK)
        return st;
    r->encoded = false;
    memcpy(sot_sequence, r->sot_sequence, sizeof r->sot_sequence);
    if (r->o->without_timestamps) sot_sequence[n_sot++] = r->specials->no_timestamps;
    st = sotto__prompt_build(&r->history, r->specials, sot_sequence, n_sot,
                             (size_t)sotto__runtime_info(r->rt)->n_text_ctx, &r->prompt, &sot_index, err);
    if (st != SOTTO_OK) return st;
    st = decode_window(r, frames, sot_index, &found, err);
    if (st != SOTTO_OK) return st;

    if (sotto__is_silence(r->o, &found)) {
        sotto__runtime_counts(r->rt)->windows_skipped++;
    } else {
        st = sotto__segments_cut(&r->drafts, found.tokens, found.n, r->specials->timestamp_begin, r->seek, frames, err);
        if (st != SOTTO_OK) return st;
        if (r->is_part && left <= most)
            st = sotto__segments_close(&r->drafts, found.tokens, found.n, r->specials->timestamp_begin, r->seek, frames,
                                       err);
        if (st != SOTTO_OK) return st;
        next_seek = r->seek + r->drafts.advance;
        if (r->word_pass && (st = time_words(r, &found, frames, &next_seek, &keep, err)) != SOTTO_OK) return st;
        if (keep && (st = keep_drafts(r, &found, err)) != SOTTO_OK) return st;
    }
    /* The reference could stand still here, for example after a last word that ends where the window starts. */
    r->seek = next_seek > r->seek ? next_seek : r->seek + frames;
    return report_progress(r, true, err);
}

sotto_status sotto__transcriber_create(sotto__transcriber **out, sotto__runtime *rt, const sotto__features *f,
                                       const sotto_options *options, sotto_error *err)
{
    run *r = calloc(1, sizeof *r);
    sotto_status st;
    *out = NULL;
    if (!r) return sotto__fail_nomem(err, "transcriber");
    r->rt = rt;
    r->features = f;
    r->o = options;
    r->tokenizer = sotto__runtime_tokenizer(rt);
    r->specials = sotto__tokenizer_specials(r->tokenizer);
    sotto__runtime_set_background(rt, options->background);
    if ((st = prepare(r, err)) != SOTTO_OK) {
        sotto__transcriber_free(r);
        return st;
    }
    *out = r;
    return SOTTO_OK;
}

void sotto__transcriber_free(sotto__transcriber *r)
{
    if (!r) return;
    sotto__word_pass_free(r->word_pass);
    sotto__window_decoder_free(r->decoder);
    sotto__window_free(r->window);
    sotto__drafts_free(&r->drafts);
    sotto__ids_free(&r->suppressed);
    sotto__keywords_free(&r->keywords);
    sotto__ids_free(&r->history.tokens);
    sotto__ids_free(&r->prompt);
    sotto__str_free(&r->text);
    sotto__str_free(&r->checkpoint);
    free(r->mel);
    free(r);
}

/* The segments of r->resume, as if they had just been decoded. */
static sotto_status take_up(run *r, sotto_error *err)
{
    sotto__checkpoint c = where(r);
    sotto_status st = sotto__checkpoint_read(&c, r->resume, r->transcript, err);
    if (st == SOTTO_OK && c.next < r->seek)
        st = sotto__fail(err, SOTTO_EINVAL, "resume: its checkpoints end before the offset");
    if (st != SOTTO_OK || (st = settle_language(r, c.language, err)) != SOTTO_OK) return st;
    sotto__transcript_set_language(r->transcript, c.language, c.language_probability);
    size_t n;
    const sotto_segment *segments = sotto__transcript_segments(r->transcript, &n);
    for (size_t i = 0; i < n; i++)
        if (!sotto__ids_append(&r->history.tokens, segments[i].tokens, segments[i].n_tokens))
            return sotto__fail_nomem(err, "history");
    const size_t most = r->history.tokens.len;
    r->history.reset_since = c.reset_since < most ? c.reset_since : most;
    sotto__runtime_counts(r->rt)->resumed_s = (double)(c.next - r->seek) / SOTTO__FRAMES_PER_SECOND;
    r->seek = c.next;
    r->last_speech_s = c.last_speech_s;
    return report_progress(r, false, err);
}

static sotto_status run_frames(run *r, size_t begin, size_t end, const char *language, sotto__transcript *t,
                               sotto_error *err)
{
    sotto_status st;
    sotto__transcript_clear(t);
    r->transcript = t;
    r->seek = begin;
    r->content_frames = end;
    r->history.tokens.len = r->history.n_initial;
    r->history.reset_since = 0;
    r->last_speech_s = (double)begin / SOTTO__FRAMES_PER_SECOND;
    r->n_reported = 0;
    r->encoded = false;
    st = r->resume ? take_up(r, err) : settle_language(r, language, err);
    while (st == SOTTO_OK && r->seek < r->content_frames) st = run_window(r, err);
    if (st != SOTTO_OK) sotto__transcript_clear(t);
    return st;
}

/* Times stay within these frames. */
static void hold_to(run *r, size_t begin, size_t end)
{
    r->is_part = true;
    r->earliest_s = (double)begin / SOTTO__FRAMES_PER_SECOND;
    r->latest_s = (double)end / SOTTO__FRAMES_PER_SECOND;
}

/* What was heard in a gap is taken only if it is neither improbable nor repeats itself, at any temperature: the text
 * stood without it. */
static bool is_sure(const sotto_options *o, const sotto_segment *s)
{
    return !(s->avg_logprob < o->logprob_threshold) && !(s->compression_ratio > o->compression_ratio_threshold) &&
           !(s->no_speech_prob > o->no_speech_threshold);
}

/* Speech of `part` that the segments of `t` leave out is decoded again, once, by itself. */
static sotto_status fill_gaps(run *r, const sotto__part *part, sotto__transcript *t, sotto_error *err)
{
    sotto__gaps gaps = {0};
    sotto__transcript *more = NULL;
    const sotto__stretch range = {part->begin, part->end};
    double probability;
    size_t n;
    const sotto_segment *segments = sotto__transcript_segments(t, &n);
    sotto_status st = sotto__gaps_find(part->speech, part->n_speech, segments, n, range, &gaps, err);
    if (st == SOTTO_OK && gaps.n) st = sotto__transcript_create(&more, err);
    for (size_t i = 0; st == SOTTO_OK && i < gaps.n; i++) {
        const sotto__gap *g = &gaps.items[i];
        const size_t begin = g->begin - g->low > SOTTO__GAP_PAD ? g->begin - SOTTO__GAP_PAD : g->low;
        const size_t end = g->high - g->end > SOTTO__GAP_PAD ? g->end + SOTTO__GAP_PAD : g->high;
        hold_to(r, begin, end);
        sotto__runtime_counts(r->rt)->gaps_decoded++;
        st = run_frames(r, begin, end, sotto__transcript_language(t, &probability), more, err);
        segments = sotto__transcript_segments(more, &n);
        for (size_t k = 0; st == SOTTO_OK && k < n; k++)
            if (is_sure(r->o, &segments[k])) st = sotto__transcript_insert(t, more, k, err);
    }
    sotto__transcript_free(more);
    sotto__gaps_free(&gaps);
    return st;
}

sotto_status sotto__transcriber_run(sotto__transcriber *r, const sotto__part *part, const char *language,
                                    sotto__transcript *t, sotto_error *err)
{
    hold_to(r, part->begin, part->end);
    sotto_status st = run_frames(r, part->begin, part->end, language, t, err);
    return st == SOTTO_OK && part->n_speech ? fill_gaps(r, part, t, err) : st;
}

sotto__stretch sotto__wanted_frames(const sotto_options *o, size_t frames)
{
    const double first = o->offset_s * SOTTO__FRAMES_PER_SECOND,
                 last = first + o->duration_s * SOTTO__FRAMES_PER_SECOND;
    const size_t begin = first < (double)frames ? (size_t)first : frames;
    const size_t end = last < (double)frames ? (size_t)last : frames;
    return (sotto__stretch){begin, end};
}

sotto_status sotto__transcribe_covering(sotto__runtime *rt, const sotto__features *f, const sotto_options *options,
                                        const sotto__stretch *speech, size_t n_speech, sotto__transcript *t,
                                        sotto_error *err)
{
    sotto__transcriber *r;
    sotto_status st = sotto__transcriber_create(&r, rt, f, options, err);
    if (st == SOTTO_OK) {
        const sotto__stretch wanted = sotto__wanted_frames(options, sotto__features_frames(f));
        const sotto__part part = {wanted.begin, wanted.end, speech,
                                  options->sequential || !isnan(options->hallucination_silence_threshold) ? 0
                                                                                                          : n_speech};
        r->latest_s = HUGE_VAL; /* the reference's times may run past the end */
        r->silent = part.n_speech > 0;
        r->resume = options->resume;
        if (r->silent && options->resume)
            st = sotto__fail(err, SOTTO_EINVAL, "resume: a recording of one window has no checkpoints");
        if (st == SOTTO_OK) st = run_frames(r, wanted.begin, wanted.end, NULL, t, err);
        if (st == SOTTO_OK && r->silent) {
            st = fill_gaps(r, &part, t, err);
            r->transcript = t;
            r->seek = r->content_frames = part.end;
            r->silent = false;
            r->n_reported = 0;
            if (st == SOTTO_OK) st = report_progress(r, false, err);
        }
        if (st == SOTTO_OK) st = sotto__transcript_join(t, r->tokenizer, err);
    }
    if (st != SOTTO_OK) sotto__transcript_clear(t);
    sotto__transcriber_free(r);
    return st;
}

sotto_status sotto__transcribe(sotto__runtime *rt, const sotto__features *f, const sotto_options *options,
                               sotto__transcript *t, sotto_error *err)
{
    return sotto__transcribe_covering(rt, f, options, NULL, 0, t, err);
}
