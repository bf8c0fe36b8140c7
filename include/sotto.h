/* SPDX-License-Identifier: MIT
 *
 * sotto: Whisper speech recognition on a CPU, as a library.
 *
 * Audio goes in (a file of any common format, or 16 kHz samples), text with times comes out, together with a report
 * of which parameters ran, how often, and how fast. A complete program:
 *
 *     #include <sotto.h>
 *     #include <stdio.h>
 *     int main(int argc, char **argv)
 *     {
 *         sotto_error err;
 *         sotto_model *model = NULL;
 *         sotto_session *session = NULL;
 *         const sotto_result *result = NULL;
 *         if (argc == 3 && sotto_model_open(&model, argv[1], NULL, &err) == SOTTO_OK &&
 *             sotto_session_open(&session, model, &err) == SOTTO_OK &&
 *             sotto_transcribe_file(session, argv[2], NULL, &result, &err) == SOTTO_OK)
 *             puts(result->text);
 *         sotto_session_free(session);
 *         sotto_model_free(model);
 *         return result ? 0 : 1;
 *     }
 *
 * Threads. A sotto_model is immutable after it is opened and may be shared by any number of threads and sessions. A
 * sotto_session holds the state of one transcription and is used by one thread at a time. Sessions of the same model
 * may run at the same time; they share the model's worker threads, their decoder steps are computed together, and each
 * has the result that it has alone.
 *
 * Errors. Every function that can fail returns a sotto_status and, where `err` is not NULL, fills it with the same code
 * and one sentence that names the thing at fault. Out-parameters are NULL or 0 after a failure. The library never
 * prints, exits or aborts.
 *
 * Options structs carry their own size in their first field, so that a program built against an older header keeps
 * working: always fill them with their *_default() function first.
 */
#ifndef SOTTO_H
#define SOTTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SOTTO_API __attribute__((visibility("default")))
#define SOTTO_MUST_USE __attribute__((warn_unused_result))
#else
#define SOTTO_API
#define SOTTO_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- status and errors ---------------------------------------------------------------------------------------- */

/* Status values are only ever appended, never renumbered. name, text */
#define SOTTO_STATUS_LIST(X)                                                                                           \
    X(SOTTO_OK, "ok")                                                                                                  \
    X(SOTTO_EINVAL, "invalid argument")                                                                                \
    X(SOTTO_ENOMEM, "out of memory")                                                                                   \
    X(SOTTO_EIO, "input/output error")                                                                                 \
    X(SOTTO_ENOTFOUND, "not found")                                                                                    \
    X(SOTTO_EFORMAT, "malformed file")                                                                                 \
    X(SOTTO_EUNSUPPORTED, "unsupported")                                                                               \
    X(SOTTO_EAUDIO, "undecodable audio")                                                                               \
    X(SOTTO_ECANCELLED, "cancelled")                                                                                   \
    X(SOTTO_ELIMIT, "limit exceeded")                                                                                  \
    X(SOTTO_EINTERNAL, "internal error")

typedef enum sotto_status {
#define X(name, text) name,
    SOTTO_STATUS_LIST(X)
#undef X
} sotto_status;

/* Filled by a failing call when a pointer to it is given. `message` is one sentence, UTF-8, NUL-terminated. */
typedef struct sotto_error {
    sotto_status code;
    char message[500];
} sotto_error;

/* "SOTTO_EINVAL" / "invalid argument"; any value is accepted. Static strings. */
SOTTO_API const char *sotto_status_name(sotto_status status);
SOTTO_API const char *sotto_status_text(sotto_status status);

/* The library's version, "MAJOR.MINOR.PATCH", and what it was built with and picked on this machine, one line, for
 * example "openblas 0.3.21 (Zen), kernels avx2, libsndfile 1.2.0, ffmpeg 5.1". Static strings. */
SOTTO_API const char *sotto_version(void);
SOTTO_API const char *sotto_build_info(void);

/* ---- what is counted ------------------------------------------------------------------------------------------ */

/* The parts a model's parameters are counted in. name, JSON key */
#define SOTTO_PART_LIST(X)                                                                                             \
    X(SOTTO_PART_CONV, "conv")                                                                                         \
    X(SOTTO_PART_ENCODER_POSITIONS, "encoder_positions")                                                               \
    X(SOTTO_PART_ENCODER_ATTENTION, "encoder_attention")                                                               \
    X(SOTTO_PART_ENCODER_MLP, "encoder_mlp")                                                                           \
    X(SOTTO_PART_ENCODER_NORM, "encoder_norm")                                                                         \
    X(SOTTO_PART_TOKEN_EMBEDDING, "token_embedding")                                                                   \
    X(SOTTO_PART_DECODER_POSITIONS, "decoder_positions")                                                               \
    X(SOTTO_PART_DECODER_SELF_ATTENTION, "decoder_self_attention")                                                     \
    X(SOTTO_PART_DECODER_CROSS_ATTENTION, "decoder_cross_attention")                                                   \
    X(SOTTO_PART_DECODER_MLP, "decoder_mlp")                                                                           \
    X(SOTTO_PART_DECODER_NORM, "decoder_norm")

typedef enum sotto_part {
#define X(name, key) name,
    SOTTO_PART_LIST(X)
#undef X
        SOTTO_PART_COUNT
} sotto_part;

/* Products of activations with activations: scores and weighted sums of attention, which no parameter takes part in. */
#define SOTTO_MIX_LIST(X)                                                                                              \
    X(SOTTO_MIX_ENCODER, "encoder_scores")                                                                             \
    X(SOTTO_MIX_DECODER_SELF, "decoder_self_scores")                                                                   \
    X(SOTTO_MIX_DECODER_CROSS, "decoder_cross_scores")

typedef enum sotto_mix {
#define X(name, key) name,
    SOTTO_MIX_LIST(X)
#undef X
        SOTTO_MIX_COUNT
} sotto_mix;

/* Stages that a run's seconds are divided into. `prefill` is the decoder on prompts, `decode` its steps from token to
 * token, `words` the extra pass and alignment of word timestamps. */
#define SOTTO_STAGE_LIST(X)                                                                                            \
    X(SOTTO_STAGE_READ, "read")                                                                                        \
    X(SOTTO_STAGE_RESAMPLE, "resample")                                                                                \
    X(SOTTO_STAGE_MEL, "mel")                                                                                          \
    X(SOTTO_STAGE_ENCODER, "encoder")                                                                                  \
    X(SOTTO_STAGE_PREFILL, "prefill")                                                                                  \
    X(SOTTO_STAGE_DECODE, "decode")                                                                                    \
    X(SOTTO_STAGE_WORDS, "words")

typedef enum sotto_stage {
#define X(name, key) name,
    SOTTO_STAGE_LIST(X)
#undef X
        SOTTO_STAGE_COUNT
} sotto_stage;

/* Number formats that weights are stored or held in. name, JSON key, bits */
#define SOTTO_PRECISION_LIST(X)                                                                                        \
    X(SOTTO_PRECISION_F32, "f32", 32)                                                                                  \
    X(SOTTO_PRECISION_F16, "f16", 16)                                                                                  \
    X(SOTTO_PRECISION_BF16, "bf16", 16)                                                                                \
    X(SOTTO_PRECISION_INT16, "int16", 16)                                                                              \
    X(SOTTO_PRECISION_INT8, "int8", 8)                                                                                 \
    X(SOTTO_PRECISION_INT4, "int4", 4)

typedef enum sotto_precision {
    SOTTO_PRECISION_AUTO = -1, /* of sotto_model_options only */
#define X(name, key, bits) name,
    SOTTO_PRECISION_LIST(X)
#undef X
        SOTTO_PRECISION_COUNT
} sotto_precision;

/* JSON keys of the above ("encoder_mlp", "decode", "f16"); NULL outside the range. Static strings. */
SOTTO_API const char *sotto_part_name(sotto_part part);
SOTTO_API const char *sotto_mix_name(sotto_mix mix);
SOTTO_API const char *sotto_stage_name(sotto_stage stage);
SOTTO_API const char *sotto_precision_name(sotto_precision precision);

/* Counts of one run, or of many added up (a daemon's totals). Everything in here is a sum, so two of them add field by
 * field; see sotto_counts_add. */
typedef struct sotto_counts {
    uint64_t runs;
    double audio_s;                              /* audio heard, seconds */
    double wall_s;                               /* first byte read to last word, seconds */
    double stage_s[SOTTO_STAGE_COUNT];           /* seconds by stage */
    uint64_t multiply_adds[SOTTO_PART_COUNT];    /* products with that part's parameters */
    uint64_t mix_multiply_adds[SOTTO_MIX_COUNT]; /* products of activations */
    uint64_t encoder_positions;     /* positions computed in them: 1500 each, fewer where the tail is sampled */
    uint64_t full_window_retries;   /* windows decoded again without sampling, for signs of failure */
    uint64_t windows;               /* 30 s windows encoded */
    uint64_t decoder_steps;         /* decoder passes (a batch of beams is one) */
    uint64_t tokens_prefilled;      /* tokens of prompts pushed through the decoder */
    uint64_t tokens_decoded;        /* tokens generated, all hypotheses and attempts */
    uint64_t tokens_kept;           /* tokens in the final segments, timestamps included */
    uint64_t fallbacks;             /* windows decoded again at a higher temperature */
    uint64_t windows_skipped;       /* windows judged silent */
    uint64_t parts;                 /* that recordings were cut into, to be transcribed side by side */
    uint64_t draft_tokens_proposed; /* guessed tokens put to the decoder, see sotto_options.draft_tokens */
    uint64_t draft_tokens_accepted; /* those that were the decoder's choice too */
    uint64_t mel_frames_computed;   /* 10 ms frames of log-mel computed */
    uint64_t mel_frames_reused;     /* those of live captions that were there from an earlier hearing of the window */
    double speech_s, covered_s;     /* of sotto_coverage, where it is known */
    uint64_t gaps_decoded;          /* stretches of speech outside segments that were decoded again */
    uint64_t gaps_left;             /* those that stayed outside */
    double resumed_s;               /* audio whose segments came from sotto_options.resume; not in audio_s */
} sotto_counts;

SOTTO_API void sotto_counts_add(sotto_counts *sum, const sotto_counts *one);
/* Multiply-adds with parameters, of all parts. */
SOTTO_API uint64_t sotto_counts_multiply_adds(const sotto_counts *c);

/* ---- models --------------------------------------------------------------------------------------------------- */

typedef struct sotto_model sotto_model;

typedef struct sotto_model_options {
    size_t size;
    int32_t
        threads; /* worker threads; 0 = the cores that this process may use: its affinity mask, its cgroup's quota */
    sotto_precision precision; /* of the weights in memory: F32, F16, INT16, INT8, INT4 (in decoder layers; INT8
                                  elsewhere) or AUTO, which is INT8 */
    bool no_cache;             /* neither read nor write the file of prepacked integers beside the weights */
} sotto_model_options;

SOTTO_API void sotto_model_options_default(sotto_model_options *options);

/* Facts about an open model; valid as long as the model. Parameter counts come from its tensors. */
typedef struct sotto_model_info {
    size_t size;
    const char *path;
    const char *format; /* "ctranslate2", "ggml", "huggingface" or "sotto" */
    bool multilingual;
    sotto_precision precision; /* of the weights in memory */
    bool prepacked;            /* they are mapped from a file that an earlier opening left beside the model */
    int32_t threads;
    int32_t n_mels, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer;
    int32_t n_vocab, n_text_ctx, n_text_state, n_text_head, n_text_layer;
    uint64_t parameters; /* total: each stored value once (the token embedding serves input and output) */
    uint64_t part_parameters[SOTTO_PART_COUNT];
    uint64_t stored_bytes[SOTTO_PRECISION_COUNT];   /* as in the file */
    uint64_t resident_bytes[SOTTO_PRECISION_COUNT]; /* as held in memory for computing */
    uint64_t unshared_conv_parameters; /* what the conv block would hold with own weights at every output position */
    double load_s;                     /* seconds that opening took */
    uint64_t file_bytes;               /* of the weight file */
    uint64_t nonzero_parameters;       /* of a shrunken model: those that are not zero; else all values stored */
    uint64_t parameter_bits;           /* bits that the values take in the file, before it is compressed and without the
                                          scales that they share */
} sotto_model_info;

/* Opens the model at `path`: a CTranslate2 directory (faster-whisper) or its model.bin, a ggml .bin (whisper.cpp), or a
 * Hugging Face directory or its model.safetensors, or a file that sotto_shrink made. The format is told from the
 * content. `options` may be NULL. On success the caller owns *out. Blocks while weights are read. Any thread. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_model_open(sotto_model **out, const char *path,
                                                       const sotto_model_options *options, sotto_error *err);

/* Frees the model; sessions must be freed before. NULL is fine. */
SOTTO_API void sotto_model_free(sotto_model *model);

SOTTO_API const sotto_model_info *sotto_model_get_info(const sotto_model *model);

/* The bytes of one token of text, which may be a part of a character: *n of them, valid as long as the model. "" and 0
 * for tokens that have none, such as timestamps, and beyond the vocabulary. Any thread. */
SOTTO_API const char *sotto_model_token_bytes(const sotto_model *model, int32_t token, size_t *n);

/* Measures, once per model and then from memory, the f32 multiply-add peak of this machine on the model's threads, in
 * GFLOP/s (a multiply-add is two), with large matrix products. Takes about 0.1 s the first time. Any thread. */
SOTTO_API double sotto_model_peak_gflops(sotto_model *model);

/* The same of the products that the model's precision computes with, in 10^9 operations a second: "int8" (weights and
 * activations of 8 bits, where the processor multiplies them faster than 16), "int16", or "f32", which *arithmetic
 * (may be NULL) says; a static string. 0: out of memory. Any thread. */
SOTTO_API double sotto_model_peak_gops(sotto_model *model, const char **arithmetic);

/* Since the model was opened: decoder passes computed, and the steps of sessions in them; steps / passes is the mean
 * number of sequences that were decoded together. Any thread. */
SOTTO_API void sotto_model_get_batches(sotto_model *model, uint64_t *passes, uint64_t *steps);

/* Whisper's language list: code "en" <-> English name "english"; NULL when unknown. Accepts code or name in any case.
 */
SOTTO_API const char *sotto_language_code(const char *code_or_name);
SOTTO_API const char *sotto_language_name(const char *code_or_name);

/* Codes of the languages that the model knows, by index from 0, in Whisper's order ("en" first); NULL behind the last.
 */
SOTTO_API const char *sotto_model_language(const sotto_model *model, size_t index);

/* ---- transcription -------------------------------------------------------------------------------------------- */

typedef struct sotto_session sotto_session;

typedef enum sotto_task { SOTTO_TASK_TRANSCRIBE, SOTTO_TASK_TRANSLATE } sotto_task;

typedef struct sotto_word {
    const char *text; /* with its leading space where the language writes one, and its punctuation */
    double start_s, end_s;
    double probability;
} sotto_word;

typedef struct sotto_segment {
    int32_t id;
    int32_t seek_frames; /* start of the window it was decoded in, in frames of 10 ms */
    double start_s, end_s;
    const char *text; /* UTF-8, whole characters, with its leading space */
    const int32_t *tokens;
    size_t n_tokens;
    double temperature, avg_logprob, compression_ratio, no_speech_prob;
    const sotto_word *words; /* NULL unless options.word_timestamps */
    size_t n_words;
    const float *token_logprobs; /* [n_tokens]: natural logarithms of what each token's probability was, among those
                                    that the decoding rules allowed and before the temperature */
} sotto_segment;

/* Progress of a run: called from the thread that called sotto_transcribe_*, with no lock held. */
typedef struct sotto_progress {
    double done_s;                 /* audio finished, seconds */
    double total_s;                /* audio in all, seconds */
    const sotto_segment *segments; /* finished since the last call; valid during the call only */
    size_t n_segments;
    const char *text; /* what the result's text has more with them, "" for nothing: joined over all calls they are its
                         beginning. White space or half a character at the end waits for what follows. */
    const char *checkpoint; /* with sotto_options.checkpoints: a line for sotto_options.resume, without its end; NULL:
                               none, or it would hold what the call resumed with */
} sotto_progress;

/* Decoding options, named and defaulted as in openai-whisper's transcribe(). NAN switches a threshold off. */
typedef struct sotto_options {
    size_t size;
    sotto_task task;
    const char *language;       /* code or English name; NULL = detect from the first 30 s */
    const char *initial_prompt; /* text to condition the first window on; NULL = none */
    bool carry_initial_prompt;  /* prepend initial_prompt to every window */
    bool condition_on_previous_text;
    bool without_timestamps;
    bool word_timestamps;
    double temperature;           /* first temperature */
    double temperature_increment; /* step of the fallback up to 1.0; 0 = no fallback */
    int32_t best_of;              /* samples at temperatures > 0 */
    int32_t beam_size;            /* beams at temperature 0; 1 = greedy */
    double patience;              /* beam patience (arXiv:2204.05424), 1 = conventional */
    double length_penalty;        /* alpha of the length penalty; NAN = divide by length */
    double compression_ratio_threshold;
    double logprob_threshold;
    double no_speech_threshold;
    double hallucination_silence_threshold; /* seconds; NAN = off; needs word_timestamps */
    double max_initial_timestamp;           /* seconds */
    bool suppress_blank;
    const int32_t *suppress_tokens; /* NULL = the default set of non-speech symbols */
    size_t n_suppress_tokens;       /* with suppress_tokens != NULL; 0 = suppress none */
    uint64_t seed;                  /* of the sampling at temperatures > 0: same seed, same text */
    bool (*on_progress)(const sotto_progress *progress, void *user); /* return false to cancel; may be NULL */
    void *user;
    int32_t tail_stride; /* 0 = 4 for models of tiny's and base's width, else 1; 1 = the full 30 s window; S > 1: of the
                            silence after a window's end only every S-th position is computed, standing for S; windows
                            that look wrong then are decoded again in full */
    /* Speculative decoding: guessed tokens are checked several in one decoder pass. The result is the same to the bit,
     * and the closer the guess the sooner it is there. Greedy decoding only: beams and samples pass over it. */
    const int32_t *draft_tokens; /* NULL, or a guess at the tokens of all segments, as those of an earlier result of the
                                    same or nearly the same audio; read during the call only */
    size_t n_draft_tokens;
    bool prompt_lookup; /* guess that what followed the same tokens before, in the prompt or in what was decoded so far,
                           follows them again */
    bool full_window;   /* no sampling, whatever tail_stride says */
    const char *vad_path; /* Silero's silero_vad_16k.safetensors, or a directory with it: recordings of more than 30 s
                             are cut where nobody speaks and their parts transcribed side by side, each without the
                             text before it; NULL = window after window, as openai-whisper does */
    bool sequential;      /* window after window all the same */
    bool early_segments;  /* transcribe the first of those parts before the others are begun, for on_progress to have
                             segments soon; the result is the same */
    /* The voice detector's, named as Silero's; recordings of up to 30 s are not cut, whatever they say. */
    double vad_threshold;        /* 0 … 1: likelier than this is speech; 0.5 by default */
    double vad_min_silence_ms;   /* shorter silences do not end a stretch of speech; 100 by default */
    double vad_speech_pad_ms;    /* added to a stretch of speech on both sides; 30 by default */
    bool coverage;               /* needs vad_path: hold the segments against the speech that the voice detector
                                    hears, and decode again what they leave out; see sotto_coverage */
    const char *const *keywords; /* NULL, or words and names that may well come up, UTF-8, at most 100 of at most 100
                                    bytes and 160 tokens: decoding leans towards them, by a glossary before every window
                                    and by their logits; read during the call only */
    size_t n_keywords;
    double offset_s, duration_s; /* transcribe so much of the recording from there on, times counting from its
                                    start; 0 and INFINITY by default: all of it */
    bool background;    /* nobody waits for it: while another session of the model is at work without this, this one
                           reads little and encodes at most a window a second; the result is the same */
    bool checkpoints;   /* sotto_progress.checkpoint */
    const char *resume; /* NULL, or the checkpoints of an earlier call with the same recording, model and options that
                           was interrupted, in order, each ended by a newline: what is in them is not computed again,
                           and the first on_progress tells of it. The result is that of an undisturbed call, but for
                           its counts, which are of what was computed. Those of something else are SOTTO_EINVAL */
} sotto_options;

SOTTO_API void sotto_options_default(sotto_options *options);

/* A stretch of the recording, in seconds. */
typedef struct sotto_span {
    double start_s, end_s;
} sotto_span;

/* Speech by the voice detector against speech inside segments. A gap, which is speech of 1 s or more outside all
 * segments, is decoded again once, by itself, and what is said in it joins the segments, unless it is improbable or
 * repeats itself; not with options.sequential or hallucination_silence_threshold. Gaps that remain are `uncovered`. */
typedef struct sotto_coverage {
    bool known; /* false without options.coverage or a voice detector; then all below is 0 */
    double speech_s, covered_s;
    uint64_t gaps_decoded;
    const sotto_span *uncovered; /* of 1 s or more, in order */
    size_t n_uncovered;
} sotto_coverage;

/* A finished transcription. Valid until the next call on the same session or its free. */
typedef struct sotto_result {
    const char *text;            /* all segments joined, UTF-8, leading and trailing white space removed */
    const char *language;        /* code, "en" */
    double language_probability; /* 1.0 when the caller chose it */
    sotto_task task;
    double duration_s;
    const sotto_segment *segments;
    size_t n_segments;
    sotto_counts counts;         /* of this run */
    uint64_t touched_parameters; /* parameters that took part in this run */
    uint64_t touched_part_parameters[SOTTO_PART_COUNT];
    sotto_coverage coverage;
} sotto_result;

SOTTO_API SOTTO_MUST_USE sotto_status sotto_session_open(sotto_session **out, sotto_model *model, sotto_error *err);
SOTTO_API void sotto_session_free(sotto_session *session);

/* Transcribes the audio file at `path` (what libsndfile and FFmpeg read, any rate, any number of channels; memory does
 * not grow with its length). `options` may be NULL. On success *out is owned by the session. Blocks. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_transcribe_file(sotto_session *session, const char *path,
                                                            const sotto_options *options, const sotto_result **out,
                                                            sotto_error *err);

/* The same for `n` samples of 16 kHz mono float audio in -1 … 1; they are only read during the call. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_transcribe_pcm(sotto_session *session, const float *samples, size_t n,
                                                           const sotto_options *options, const sotto_result **out,
                                                           sotto_error *err);

/* Cancels the session's running call from another thread or a signal handler; it returns SOTTO_ECANCELLED soon, between
 * two decoder steps or encoder layers. Has no effect on later calls. */
SOTTO_API void sotto_session_cancel(sotto_session *session);

/* Reads the audio file at `path`, whatever sotto_transcribe_file reads, and calls `on_samples` with its sound as 16 kHz
 * mono samples in -1 … 1, n > 0 at a time, in order, from the calling thread; false ends the reading with
 * SOTTO_ECANCELLED. SOTTO_EAUDIO for a file without samples too. Memory does not grow with the file's length. Any
 * thread. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_audio_read(const char *path,
                                                       bool (*on_samples)(const float *samples, size_t n, void *user),
                                                       void *user, sotto_error *err);

/* ---- live captions -------------------------------------------------------------------------------------------- */

/* Words while they are spoken. Audio is pushed as it comes; now and then the sound since the last cut, at most 24 s of
 * it, is heard again as a whole, and words on which two hearings in a row agree are confirmed (LocalAgreement-2,
 * arXiv:2307.14743). A confirmed word never changes. A voice detector (Silero) says when there is something to hear and
 * when an utterance has ended, which confirms the rest of it.
 *
 *     sotto_stream_open(&stream, model, &options, &err);
 *     // one thread:                                      // another thread:
 *     sotto_stream_push(stream, samples, n, &err);        sotto_stream_next(stream, 0.1, &caption, &err);
 *     …                                                   if (caption) show(caption);
 *     sotto_stream_end(stream);                           if (caption && caption->last) …
 *
 * The same thread may do both. When hearing takes longer than options.interval_s, the interval stretches; no audio is
 * left out, and sotto_stream_state tells the lag. */
typedef struct sotto_stream sotto_stream;

typedef struct sotto_stream_options {
    size_t size;
    const char *vad_path; /* Silero's silero_vad_16k.safetensors, or a directory with it; needed */
    int32_t sample_rate;  /* of the samples pushed, 8000 … 192000; 16000 by default */
    sotto_task task;
    const char *language;       /* code or English name; NULL = told from each utterance's beginning */
    const char *initial_prompt; /* text to condition the first words on; NULL = none */
    double interval_s;   /* from one hearing to the next, seconds of audio; 0 = 0.2 up to tiny's width, else 0.4 */
    double silence_s;    /* silence that ends an utterance; 0.5 by default */
    double window_s;     /* a longer window is cut at the end of a confirmed sentence; 12 by default, at least 2 */
    bool every_interval; /* hear at every interval however late that is: the words then depend on the audio alone,
                            not on the machine's speed or on how the audio was divided into pushes */
} sotto_stream_options;

SOTTO_API void sotto_stream_options_default(sotto_stream_options *options);

/* What one hearing brought. Times are seconds since the stream began. Valid until the next call of sotto_stream_next.
 */
typedef struct sotto_caption {
    const sotto_word *confirmed; /* since the caption before; they follow the words confirmed then */
    size_t n_confirmed;
    const sotto_word *tentative; /* what follows them for now: replaces the tentative words of the caption before */
    size_t n_tentative;
    bool utterance_end;   /* a pause follows the confirmed words: a line ends here */
    bool last;            /* the stream was ended, and everything in it is confirmed */
    const char *language; /* code */
    double heard_s;       /* where the audio ended that was heard for this */
    double pushed_s;      /* audio pushed when it was ready */
    double wall_s;        /* time that the hearing took */
    sotto_counts counts;  /* since the stream began; audio_s is audio pushed, wall_s time spent hearing */
    uint64_t touched_part_parameters[SOTTO_PART_COUNT]; /* parameters that took part since the stream began */
} sotto_caption;

typedef struct sotto_stream_state {
    size_t size;
    double pushed_s;   /* audio pushed */
    double heard_s;    /* audio that has been dealt with: heard, or found to hold no speech */
    double interval_s; /* between the last two hearings: longer than the option's where the machine is late */
    double level_db;   /* of the last 0.1 s: root mean square in dB below full scale, -120 at least */
    bool speech;       /* the voice detector hears someone */
} sotto_stream_state;

/* Opens a stream on `model`, any number at once; they share decoder passes with each other and with transcriptions. On
 * success the caller owns *out; the model must outlive it. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_stream_open(sotto_stream **out, sotto_model *model,
                                                        const sotto_stream_options *options, sotto_error *err);
SOTTO_API void sotto_stream_free(sotto_stream *stream);

/* Appends n mono samples in -1 … 1 at the stream's rate. Copies them; never waits for a hearing. One thread at a time.
 * SOTTO_EINVAL after sotto_stream_end, and for samples that are not finite, of which none is kept. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_stream_push(sotto_stream *stream, const float *samples, size_t n,
                                                        sotto_error *err);

/* No more audio comes. On the thread that pushes. */
SOTTO_API void sotto_stream_end(sotto_stream *stream);

/* Waits until there is something to hear, at most `timeout_s` seconds (0: not at all), hears it, and sets *out, or NULL
 * when nothing was due. One thread at a time. After an error the stream can only be freed. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_stream_next(sotto_stream *stream, double timeout_s,
                                                        const sotto_caption **out, sotto_error *err);

/* Any thread, at any time: a running or later sotto_stream_next returns SOTTO_ECANCELLED soon. */
SOTTO_API void sotto_stream_cancel(sotto_stream *stream);

/* How things stand now. Set state->size = sizeof *state before. Any thread. */
SOTTO_API void sotto_stream_get_state(sotto_stream *stream, sotto_stream_state *state);

/* ---- writing results ------------------------------------------------------------------------------------------ */

typedef enum sotto_format {
    SOTTO_FORMAT_TXT,          /* the text of each segment on a line of its own */
    SOTTO_FORMAT_TEXT,         /* the whole text on one line: OpenAI's "text" */
    SOTTO_FORMAT_JSON,         /* {"text": …, "usage": …} */
    SOTTO_FORMAT_VERBOSE_JSON, /* OpenAI's verbose_json, and the report of parameters and throughput under "sotto" */
    SOTTO_FORMAT_SRT,
    SOTTO_FORMAT_VTT,
    SOTTO_FORMAT_TSV /* start and end in milliseconds, text */
} sotto_format;

/* "srt" -> SOTTO_FORMAT_SRT; false when unknown. And back. */
SOTTO_API bool sotto_format_parse(const char *name, sotto_format *out);
SOTTO_API const char *sotto_format_name(sotto_format format);

typedef struct sotto_write_options {
    size_t size;
    bool segments; /* verbose_json: write "segments" */
    bool words;    /* verbose_json: write top-level "words"; srt and vtt: one cue a word */
    bool logprobs; /* json: write "logprobs", OpenAI's {"token", "logprob", "bytes"} of every token of text */
} sotto_write_options;

SOTTO_API void sotto_write_options_default(sotto_write_options *options);

/* Writes `result` as `format` into a new NUL-terminated UTF-8 string that the caller frees with sotto_string_free.
 * `model` is the one that made the result. `options` may be NULL. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_result_write(const sotto_result *result, sotto_model *model,
                                                         sotto_format format, const sotto_write_options *options,
                                                         char **out, sotto_error *err);

/* The report of parameters used and throughput as a JSON object: the model's parameters by part, bytes by precision,
 * and for `counts` (a run, or a sum of runs) multiply-adds by part, stage seconds, tokens per second, audio seconds per
 * second, GFLOP/s against the measured peak, applications per parameter. `touched` may be NULL. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_report_write(sotto_model *model, const sotto_counts *counts,
                                                         const uint64_t touched[SOTTO_PART_COUNT], char **out,
                                                         sotto_error *err);

/* Times the model's encoder on a full window and its decoder on a prompt, single steps, batches and beams, each
 * `rounds` times or more, and writes as a JSON object, stage by stage, the operations and bytes a second reached beside
 * what this machine was measured to reach on the same threads. Input is made up; results do not depend on it. Blocks
 * for seconds; no session of the model may exist meanwhile. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_bench_write(sotto_model *model, int32_t rounds, char **out,
                                                        sotto_error *err);

/* ---- scoring -------------------------------------------------------------------------------------------------- */

/* Whisper's normaliser for the language (a code): English's own for "en", the basic one for any other, and with
 * characters as words for "zh", "ja", "th", "lo", "my" and "yue". What is not UTF-8 in `text` counts as U+FFFD. The
 * caller frees *out with sotto_string_free. Any thread. SOTTO_EINVAL (an argument is NULL) or SOTTO_ENOMEM, and then
 * *out is NULL. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_score_normalise(const char *text, const char *language, char **out,
                                                            sotto_error *err);

/* Fewest edits from a reference to a hypothesis, both normalised. */
typedef struct sotto_edits {
    uint64_t words; /* of the reference */
    uint64_t substitutions, deletions, insertions;
    uint64_t characters; /* of the reference, blanks between words included */
    uint64_t character_edits;
} sotto_edits;

/* Normalises both texts and counts the edits between them; of several ways with as few edits, one with the fewest
 * substitutions. Takes time with the product of the texts' characters. Any thread. Errors as above. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_score_edits(const char *reference, const char *hypothesis,
                                                        const char *language, sotto_edits *out, sotto_error *err);

/* An error rate and its 95 % interval. 0.05 is 5 %. */
typedef struct sotto_interval {
    double value, low, high;
} sotto_interval;

/* Of `n` utterances with edits[i] edits of words[i] reference words: the sum of the one over the sum of the other, and
 * the percentile bootstrap's interval over utterances, 10000 resamples (Bisani and Ney, ICASSP 2004). The same seed
 * gives the same interval on every machine. Any thread. SOTTO_EINVAL for an argument that is NULL, without a word of
 * reference, and beyond 2^31 - 1 utterances or edits or words of one; SOTTO_ENOMEM. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_score_interval(const uint64_t *edits, const uint64_t *words, size_t n,
                                                           uint64_t seed, sotto_interval *out, sotto_error *err);

/* Two systems on the same utterances: error rate of the first less that of the second, the 95 % interval of that, and
 * how often chance alone makes a difference as large (two-sided approximate randomisation, 10000 times). Arguments and
 * errors as above. */
typedef struct sotto_paired {
    double difference, low, high, p;
} sotto_paired;

SOTTO_API SOTTO_MUST_USE sotto_status sotto_score_paired(const uint64_t *edits, const uint64_t *base_edits,
                                                         const uint64_t *words, size_t n, uint64_t seed,
                                                         sotto_paired *out, sotto_error *err);

/* ---- shrinking ------------------------------------------------------------------------------------------------- */

/* Makes smaller models of one: fewer bits, parameters, layers or tokens, as a spec of terms separated by commas asks
 * for; docs/SHRINKING.md lists the terms. What is written is one file that sotto_model_open opens like any other. */
typedef struct sotto_shrinker sotto_shrinker;

typedef struct sotto_shrink_options {
    size_t size;
    int32_t threads;         /* as of sotto_model_options */
    const char *calibration; /* an audio file, or a folder of some: what is transcribed to learn what goes through the
                                layers; NULL = terms that need it are refused */
    double calibration_s;    /* seconds of it at most, whole files in the order of their names; 300 by default */
} sotto_shrink_options;

SOTTO_API void sotto_shrink_options_default(sotto_shrink_options *options);

/* Opens the model at `path` to be shrunken, any number of times; the calibration audio is transcribed once, by the
 * first call that writes. SOTTO_EUNSUPPORTED for a model that was shrunken already. One thread at a time. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_shrinker_open(sotto_shrinker **out, const char *path,
                                                          const sotto_shrink_options *options, sotto_error *err);
SOTTO_API void sotto_shrinker_free(sotto_shrinker *shrinker);

/* Writes what `spec` makes of the model as the file `out_path`; "none" or "" changes nothing. *report, where `report`
 * is not NULL, is a JSON object to free with sotto_string_free: parameters, those that are not zero, bits and bytes, in
 * all, by part and by tensor. SOTTO_EINVAL names the term at fault. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_shrinker_write(sotto_shrinker *shrinker, const char *spec,
                                                           const char *out_path, char **report, sotto_error *err);

/* All of it, once. */
SOTTO_API SOTTO_MUST_USE sotto_status sotto_shrink(const char *model, const char *spec,
                                                   const sotto_shrink_options *options, const char *out_path,
                                                   char **report, sotto_error *err);

SOTTO_API void sotto_string_free(char *string);

#ifdef __cplusplus
}
#endif
#endif
