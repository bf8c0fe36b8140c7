/* SPDX-License-Identifier: MIT
 * Loading (three formats, hostile files) and the decoder's own laws (caches, batches, copies), on a small random model.
 */
#include "cmocka_all.h"

#include "audio/features.h"
#include "model/model.h"
#include "model/runtime.h"
#include "tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRAMES = SOTTO__WINDOW_FRAMES };

static char dirs[TINY_FORMATS][256], files[TINY_FORMATS][512];
static const char *const format_names[TINY_FORMATS] = {"ctranslate2", "ggml", "huggingface"};

struct fixture {
    sotto_model *model;
    sotto__runtime *rt;
    sotto__window *window;
    sotto__seq *seq[4];
    float *logits; /* [64, V] */
    size_t v;
};

static float *noise_mel(size_t mels)
{
    float *mel = malloc(FRAMES * mels * sizeof *mel);
    uint64_t rng = 7;
    for (size_t i = 0; i < FRAMES * mels; i++) {
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        mel[i] = (float)(rng >> 40) / (float)(1 << 24) * 2.0f - 0.7f;
    }
    return mel;
}

static void open_precision(struct fixture *x, const char *path, sotto_precision precision)
{
    sotto_error err = {0};
    sotto_model_options options;
    sotto_model_options_default(&options);
    options.precision = precision;
    memset(x, 0, sizeof *x);
    if (sotto_model_open(&x->model, path, &options, &err) != SOTTO_OK) fail_msg("%s", err.message);
    assert_int_equal(sotto__runtime_open(&x->rt, x->model, &err), SOTTO_OK);
    assert_int_equal(sotto__window_create(&x->window, x->rt, &err), SOTTO_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(sotto__seq_create(&x->seq[i], x->rt, &err), SOTTO_OK);
    x->v = (size_t)sotto_model_get_info(x->model)->n_vocab;
    x->logits = calloc(64 * x->v, sizeof *x->logits);
    float *mel = noise_mel((size_t)sotto_model_get_info(x->model)->n_mels);
    assert_int_equal(sotto__encode(x->rt, mel, FRAMES, 1, x->window, &err), SOTTO_OK);
    free(mel);
}

static void open_fixture(struct fixture *x, const char *path) { open_precision(x, path, SOTTO_PRECISION_F32); }

static void close_fixture(struct fixture *x)
{
    for (int i = 0; i < 4; i++) sotto__seq_free(x->seq[i]);
    sotto__window_free(x->window);
    sotto__runtime_free(x->rt);
    sotto_model_free(x->model);
    free(x->logits);
}

static void forward(struct fixture *x, sotto__seq *seq, const int32_t *tokens, size_t n, float *logits, size_t n_logits)
{
    sotto_error err = {0};
    sotto__step step = {
        .seq = seq, .window = x->window, .tokens = tokens, .n_tokens = n, .logits = logits, .n_logits = n_logits};
    if (sotto__decoder_forward(x->rt, &step, 1, SOTTO_STAGE_DECODE, &err) != SOTTO_OK) fail_msg("%s", err.message);
}

static void assert_close(const float *a, const float *b, size_t n, float bound)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(a[i] - b[i]) <= bound)) fail_msg("at %zu: %g and %g differ by more than %g", i, a[i], b[i], bound);
    }
}

static const int32_t prompt[] = {50257, 50362, 70, 300, 4, 99, 1000, 42};
enum { PROMPT = sizeof prompt / sizeof prompt[0] };

/* ---- formats ---- */

/* The same weights in three formats: the same logits to the last bit, the same counts. */
static void test_formats_agree(void **state)
{
    float *first = NULL;
    uint64_t parts[SOTTO_PART_COUNT];
    (void)state;
    for (int f = 0; f < TINY_FORMATS; f++) {
        for (int by_file = 0; by_file < 2; by_file++) { /* directory, and the file itself */
            struct fixture x;
            open_fixture(&x, by_file ? files[f] : dirs[f]);
            const sotto_model_info *info = sotto_model_get_info(x.model);
            assert_string_equal(info->format, format_names[f]);
            assert_int_equal(info->parameters, tiny_parameters(&tiny_default));
            assert_int_equal(info->n_text_ctx, 64);
            assert_int_equal(info->n_audio_head, 2);
            assert_false(info->multilingual);
            forward(&x, x.seq[0], prompt, PROMPT, x.logits, PROMPT);
            if (!first) {
                first = malloc(PROMPT * x.v * sizeof *first);
                memcpy(first, x.logits, PROMPT * x.v * sizeof *first);
                memcpy(parts, info->part_parameters, sizeof parts);
            }
            assert_memory_equal(first, x.logits, PROMPT * x.v * sizeof *first);
            assert_memory_equal(parts, info->part_parameters, sizeof parts);
            close_fixture(&x);
        }
    }
    free(first);
}

static double relative(const float *got, const float *want, size_t n)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        power += (double)want[i] * want[i];
    }
    return sqrt(error / power);
}

/* Fewer bits: logits near those of f32, in every format of file alike, and what is held in memory shrinks. */
static void test_precisions(void **state)
{
    static const struct {
        sotto_precision precision;
        double bound;
    } cases[] = {{SOTTO_PRECISION_F16, 1e-5},
                 {SOTTO_PRECISION_INT16, 0.01},
                 {SOTTO_PRECISION_INT8, 0.02},
                 {SOTTO_PRECISION_INT4, 0.2},
                 {SOTTO_PRECISION_AUTO, 0.02}};
    struct fixture x;
    uint64_t bytes = 0;
    (void)state;
    open_fixture(&x, dirs[TINY_CTRANSLATE2]);
    forward(&x, x.seq[0], prompt, PROMPT, x.logits, PROMPT);
    float *want = malloc(PROMPT * x.v * sizeof *want);
    memcpy(want, x.logits, PROMPT * x.v * sizeof *want);
    const size_t v = x.v;
    for (int p = 0; p < SOTTO_PRECISION_COUNT; p++) bytes += sotto_model_get_info(x.model)->resident_bytes[p];
    close_fixture(&x);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float *first = malloc(PROMPT * v * sizeof *first);
        for (int f = 0; f < TINY_FORMATS; f++) {
            open_precision(&x, dirs[f], cases[c].precision);
            const sotto_model_info *info = sotto_model_get_info(x.model);
            uint64_t now = 0;
            forward(&x, x.seq[0], prompt, PROMPT, x.logits, PROMPT);
            const double off = relative(x.logits, want, PROMPT * v);
            if (off > cases[c].bound) fail_msg("precision %d: logits off by %g", (int)cases[c].precision, off);
            if (cases[c].bound > 1e-3) assert_true(off > 1e-5); /* it did not run in f32 */
            for (int p = 0; p < SOTTO_PRECISION_COUNT; p++) now += info->resident_bytes[p];
            assert_true(now < bytes * 6 / 10);
            if (f == 0) memcpy(first, x.logits, PROMPT * v * sizeof *first);
            assert_memory_equal(first, x.logits, PROMPT * v * sizeof *first);
            close_fixture(&x);
        }
        free(first);
    }
    free(want);
}

/* The peak that a report sets work beside is of the products that the precision computes with. */
static void test_peaks(void **state)
{
    static const struct {
        sotto_precision precision;
        bool is_integer, wants_bytes;
    } cases[] = {{SOTTO_PRECISION_F32, false, false},  {SOTTO_PRECISION_F16, false, false},
                 {SOTTO_PRECISION_INT16, true, false}, {SOTTO_PRECISION_INT8, true, true},
                 {SOTTO_PRECISION_INT4, true, true},   {SOTTO_PRECISION_AUTO, true, true}};
    double in_pairs = 0;
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct fixture x;
        const char *arithmetic = NULL;
        open_precision(&x, dirs[TINY_CTRANSLATE2], cases[c].precision);
        const bool in_bytes = cases[c].wants_bytes && x.model->nn.ops->bytes;
        const double peak = sotto_model_peak_gops(x.model, &arithmetic);
        assert_string_equal(arithmetic, in_bytes ? "int8" : cases[c].is_integer ? "int16" : "f32");
        assert_true(peak > 0);
        assert_true(peak == sotto_model_peak_gops(x.model, NULL)); /* from memory */
        if (!cases[c].is_integer) assert_true(peak == sotto_model_peak_gflops(x.model));
        if (cases[c].precision == SOTTO_PRECISION_INT16) in_pairs = peak;
        /* Faster, or no table would have them; half of it is allowed, as another process may take the cores meanwhile.
         */
        if (in_bytes) assert_true(peak > in_pairs / 2);
        close_fixture(&x);
    }
}

/* Integer sums do not care who else is in the pass: a row's logits alone and among others are the same bits. */
static void test_integer_batch(void **state)
{
    struct fixture x;
    sotto_error err;
    sotto__step steps[4];
    (void)state;
    open_precision(&x, dirs[TINY_CTRANSLATE2], SOTTO_PRECISION_INT8);
    float *alone = malloc(4 * x.v * sizeof *alone);
    for (size_t i = 0; i < 4; i++) {
        sotto__seq_truncate(x.seq[i], 0);
        for (size_t t = 0; t <= i; t++) forward(&x, x.seq[i], prompt + t, 1, alone + i * x.v, 1);
        sotto__seq_truncate(x.seq[i], i);
        steps[i] = (sotto__step){.seq = x.seq[i],
                                 .window = x.window,
                                 .tokens = prompt + i,
                                 .n_tokens = 1,
                                 .logits = x.logits + i * x.v,
                                 .n_logits = 1};
    }
    assert_int_equal(sotto__decoder_forward(x.rt, steps, 4, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
    assert_memory_equal(alone, x.logits, 4 * x.v * sizeof *alone);
    free(alone);
    close_fixture(&x);
}

static void test_counts(void **state)
{
    struct fixture x;
    uint64_t sum = 0, touched[SOTTO_PART_COUNT];
    (void)state;
    open_fixture(&x, dirs[TINY_CTRANSLATE2]);
    const sotto_model_info *info = sotto_model_get_info(x.model);
    for (int p = 0; p < SOTTO_PART_COUNT; p++) sum += info->part_parameters[p];
    assert_int_equal(sum, info->parameters);
    /* conv1 64*80*3 + 64, conv2 64*64*3 + 64; 3000 and 1500 output positions */
    assert_int_equal(info->part_parameters[SOTTO_PART_CONV], 15424 + 12352);
    assert_int_equal(info->unshared_conv_parameters, 3000u * 15424 + 1500u * 12352);
    assert_int_equal(sotto__runtime_counts(x.rt)->multiply_adds[SOTTO_PART_CONV], info->unshared_conv_parameters);
    assert_int_equal(info->stored_bytes[SOTTO_PRECISION_F16],
                     2 * (info->parameters + 64u * 5)); /* five zero key biases */
    forward(&x, x.seq[0], prompt, PROMPT, x.logits, 0);
    sotto__runtime_touched(x.rt, touched);
    assert_int_equal(touched[SOTTO_PART_TOKEN_EMBEDDING], PROMPT * 64u); /* looked up only */
    assert_int_equal(touched[SOTTO_PART_DECODER_POSITIONS], PROMPT * 64u);
    forward(&x, x.seq[0], prompt, 1, x.logits, 1);
    sotto__runtime_touched(x.rt, touched);
    assert_int_equal(touched[SOTTO_PART_TOKEN_EMBEDDING], 51864u * 64u);
    assert_int_equal(touched[SOTTO_PART_CONV], info->part_parameters[SOTTO_PART_CONV]);
    assert_int_equal(sotto__runtime_counts(x.rt)->decoder_steps, 2);
    sotto__runtime_touched_reset(x.rt);
    sotto__runtime_touched(x.rt, touched);
    for (int p = 0; p < SOTTO_PART_COUNT; p++) assert_int_equal(touched[p], 0);
    close_fixture(&x);
}

/* ---- the decoder's laws ---- */

static void test_cache(void **state)
{
    struct fixture x;
    (void)state;
    open_fixture(&x, dirs[TINY_CTRANSLATE2]);
    float *whole = x.logits, *piece = x.logits + 16 * x.v;
    forward(&x, x.seq[0], prompt, PROMPT, whole, PROMPT);
    /* token by token gives what one pass gives */
    for (size_t i = 0; i < PROMPT; i++) forward(&x, x.seq[1], prompt + i, 1, piece + i * x.v, 1);
    assert_close(whole, piece, PROMPT * x.v, 1e-4f);
    assert_int_equal(sotto__seq_length(x.seq[1]), PROMPT);
    /* 3 + 5 as well, and only the last logits */
    forward(&x, x.seq[2], prompt, 3, piece, 1);
    assert_close(whole + 2 * x.v, piece, x.v, 1e-4f);
    forward(&x, x.seq[2], prompt + 3, PROMPT - 3, piece, 2);
    assert_close(whole + (PROMPT - 2) * x.v, piece, 2 * x.v, 1e-4f);
    /* a truncated sequence forgets: the same continuation as one that never saw the rest */
    sotto__seq_truncate(x.seq[2], 3);
    forward(&x, x.seq[2], prompt + 3, PROMPT - 3, piece, 2);
    assert_close(whole + (PROMPT - 2) * x.v, piece, 2 * x.v, 1e-4f);
    /* a copy goes its own way */
    sotto__seq_copy(x.seq[3], x.seq[2]);
    const int32_t other = 500, same = 600;
    forward(&x, x.seq[2], &other, 1, piece, 1);
    forward(&x, x.seq[3], &same, 1, piece, 1);
    forward(&x, x.seq[0], &same, 1, piece + x.v, 1);
    assert_close(piece, piece + x.v, x.v, 1e-4f);
    close_fixture(&x);
}

/* Rows of one pass are those of passes of one row, to the bit, after pasts of any length (drafts are checked so). */
static void test_few_rows_are_exact(void **state)
{
    struct fixture x;
    (void)state;
    open_fixture(&x, dirs[TINY_CTRANSLATE2]);
    float *alone = x.logits, *together = x.logits + 32 * x.v;
    for (size_t past = 1; past <= 19; past += 3) {
        for (size_t rows = 2; rows <= SOTTO__EXACT_ROWS; rows++) {
            sotto__seq_truncate(x.seq[0], 0);
            sotto__seq_truncate(x.seq[1], 0);
            for (size_t i = 0; i < past; i++) {
                forward(&x, x.seq[0], prompt + i % PROMPT, 1, alone, 0);
                forward(&x, x.seq[1], prompt + i % PROMPT, 1, together, 0);
            }
            for (size_t i = 0; i < rows; i++) forward(&x, x.seq[0], prompt + i, 1, alone + i * x.v, 1);
            forward(&x, x.seq[1], prompt, rows, together, rows);
            assert_memory_equal(alone, together, rows * x.v * sizeof *alone);
            /* a few of them forgotten: what follows is the same again */
            sotto__seq_truncate(x.seq[0], past + 1);
            sotto__seq_truncate(x.seq[1], past + 1);
            forward(&x, x.seq[0], prompt + 3, 1, alone, 1);
            forward(&x, x.seq[1], prompt + 3, 1, together, 1);
            assert_memory_equal(alone, together, x.v * sizeof *alone);
        }
    }
    close_fixture(&x);
}

/* Sequences of different lengths and windows in one pass are what they are alone. */
static void test_batch(void **state)
{
    struct fixture x;
    sotto_error err;
    sotto__window *other = NULL;
    (void)state;
    open_fixture(&x, dirs[TINY_CTRANSLATE2]);
    assert_int_equal(sotto__window_create(&other, x.rt, &err), SOTTO_OK);
    float *mel = noise_mel(80);
    for (size_t i = 0; i < FRAMES * 80; i++) mel[i] = -mel[i];
    assert_int_equal(sotto__encode(x.rt, mel, FRAMES, 1, other, &err), SOTTO_OK);
    free(mel);
    float *alone = x.logits, *together = x.logits + 16 * x.v;
    sotto__step steps[4];
    for (int i = 0; i < 4; i++) {
        steps[i] = (sotto__step){.seq = x.seq[i],
                                 .window = i == 2 ? other : x.window,
                                 .tokens = prompt + i,
                                 .n_tokens = (size_t)(1 + i % 3),
                                 .logits = alone + (size_t)i * x.v,
                                 .n_logits = 1};
        assert_int_equal(sotto__decoder_forward(x.rt, &steps[i], 1, SOTTO_STAGE_PREFILL, &err), SOTTO_OK);
        sotto__seq_truncate(x.seq[i], 0);
        steps[i].logits = together + (size_t)i * x.v;
    }
    assert_int_equal(sotto__decoder_forward(x.rt, steps, 4, SOTTO_STAGE_PREFILL, &err), SOTTO_OK);
    assert_close(alone, together, 4 * x.v, 1e-4f);
    /* the window matters at all */
    sotto__seq_truncate(x.seq[2], 0);
    steps[2].window = x.window;
    assert_int_equal(sotto__decoder_forward(x.rt, &steps[2], 1, SOTTO_STAGE_PREFILL, &err), SOTTO_OK);
    float apart = 0;
    for (size_t i = 0; i < x.v; i++) apart = fmaxf(apart, fabsf(alone[2 * x.v + i] - together[2 * x.v + i]));
    assert_true(apart > 1e-2f);
    sotto__window_free(other);
    close_fixture(&x);
}

/* Raw cross-attention scores: softmax of them times values is what attention uses, so their shape must fit: each row of
 * every alignment head is filled, and asking for them changes nothing else. */
static void test_cross_scores(void **state)
{
    struct fixture x;
    sotto_error err;
    size_t heads;
    (void)state;
    open_fixture(&x, dirs[TINY_CTRANSLATE2]);
    sotto__runtime_alignment_heads(x.rt, &heads);
    assert_int_equal(heads, 2); /* the upper half of two layers: one layer of two heads */
    float *scores = malloc(heads * PROMPT * 1500 * sizeof *scores);
    for (size_t i = 0; i < heads * PROMPT * 1500; i++) scores[i] = NAN;
    sotto__step step = {.seq = x.seq[0],
                        .window = x.window,
                        .tokens = prompt,
                        .n_tokens = PROMPT,
                        .logits = x.logits,
                        .n_logits = 1,
                        .cross_scores = scores};
    assert_int_equal(sotto__decoder_forward(x.rt, &step, 1, SOTTO_STAGE_WORDS, &err), SOTTO_OK);
    for (size_t i = 0; i < heads * PROMPT * 1500; i++) assert_true(!isnan(scores[i]));
    forward(&x, x.seq[1], prompt, PROMPT, x.logits + x.v, 1);
    assert_close(x.logits, x.logits + x.v, x.v, 1e-5f);
    free(scores);
    close_fixture(&x);
}

/* Where the positions of the tail do not differ at all, sampling them with their weights is no approximation: the
 * states of the others and the logits are those of the full window. With real (differing) positions they are not, which
 * shows that the comparison can fail. */
static void test_sampled_tail(void **state)
{
    (void)state;
    for (int flat = 1; flat >= 0; flat--) {
        tiny_model m = tiny_default;
        char dir[256], path[512];
        struct fixture x;
        sotto_error err;
        float worst = 0;
        m.flat_positions = flat;
        assert_int_equal(tiny_directory(dir, sizeof dir), 0);
        assert_int_equal(tiny_write(&m, TINY_GGML, dir, path, sizeof path), 0);
        open_fixture(&x, dir);
        float *mel = noise_mel(80), *full = malloc(1500 * 64 * sizeof *full);
        const size_t frames = 801; /* 451 positions with the margin; 1049 left */
        for (size_t i = frames * 80; i < FRAMES * 80; i++) mel[i] = 0;
        assert_int_equal(sotto__encode(x.rt, mel, frames, 1, x.window, &err), SOTTO_OK);
        assert_int_equal(sotto__window_positions(x.window), 1500);
        memcpy(full, sotto__window_states(x.window), 1500 * 64 * sizeof *full);
        forward(&x, x.seq[0], prompt, PROMPT, x.logits, PROMPT);
        uint64_t touched[SOTTO_PART_COUNT];
        sotto__runtime_touched(x.rt, touched);
        assert_int_equal(touched[SOTTO_PART_ENCODER_POSITIONS], 1500u * 64);
        sotto__runtime_touched_reset(x.rt);
        assert_int_equal(sotto__encode(x.rt, mel, frames, 4, x.window, &err), SOTTO_OK);
        sotto__runtime_touched(x.rt, touched);
        assert_int_equal(touched[SOTTO_PART_ENCODER_POSITIONS], (451u + 262u) * 64);
        assert_int_equal(sotto__window_positions(x.window), 451 + 262);
        for (size_t i = 0; i < 451 * 64; i++) worst = fmaxf(worst, fabsf(full[i] - sotto__window_states(x.window)[i]));
        forward(&x, x.seq[1], prompt, PROMPT, x.logits + PROMPT * x.v, PROMPT);
        for (size_t i = 0; i < PROMPT * x.v; i++) worst = fmaxf(worst, fabsf(x.logits[i] - x.logits[PROMPT * x.v + i]));
        if (flat && worst > 2e-3f) fail_msg("sampling the tail of flat positions changes values by %g", worst);
        if (!flat) assert_true(worst > 5e-3f);
        /* nothing to sample: a window that is full, or nearly */
        assert_int_equal(sotto__encode(x.rt, mel, FRAMES, 4, x.window, &err), SOTTO_OK);
        assert_int_equal(sotto__window_positions(x.window), 1500);
        assert_int_equal(sotto__encode(x.rt, mel, 2899, 64, x.window, &err), SOTTO_OK);
        assert_int_equal(sotto__window_positions(x.window), 1500);
        free(mel);
        free(full);
        close_fixture(&x);
        tiny_remove(dir);
    }
}

static void test_bounds(void **state)
{
    struct fixture x;
    sotto_error err;
    int32_t many[65] = {0};
    (void)state;
    open_fixture(&x, dirs[TINY_CTRANSLATE2]);
    sotto__step step = {.seq = x.seq[0], .window = x.window, .tokens = many, .n_tokens = 65};
    assert_int_equal(sotto__decoder_forward(x.rt, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_EINTERNAL);
    assert_int_equal(sotto__decoder_forward(x.rt, NULL, 0, SOTTO_STAGE_DECODE, &err), SOTTO_EINTERNAL);
    step.n_tokens = 64;
    assert_int_equal(sotto__decoder_forward(x.rt, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
    step.n_tokens = 1;
    assert_int_equal(sotto__decoder_forward(x.rt, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_EINTERNAL);
    sotto__seq_truncate(x.seq[0], 0);
    many[0] = 51864;
    assert_int_equal(sotto__decoder_forward(x.rt, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_EINTERNAL);
    many[0] = 0;
    sotto__runtime_cancel(x.rt, true);
    assert_int_equal(sotto__decoder_forward(x.rt, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_ECANCELLED);
    sotto__runtime_cancel(x.rt, false);
    assert_int_equal(sotto__decoder_forward(x.rt, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
    close_fixture(&x);
}

/* ---- hostile files ---- */

static unsigned char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(*n);
    assert_int_equal(fread(data, 1, *n, f), *n);
    fclose(f);
    return data;
}

static void spill(const char *path, const unsigned char *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

/* Must fail with a sentence that names the file; must not crash. */
static void refuse(const char *path)
{
    sotto_model *model = (sotto_model *)1;
    sotto_error err = {0};
    const sotto_status st = sotto_model_open(&model, path, NULL, &err);
    assert_int_not_equal(st, SOTTO_OK);
    assert_null(model);
    assert_int_equal(err.code, st);
    assert_true(strlen(err.message) > 10);
    assert_non_null(strstr(err.message, "sotto-test-"));
}

static void test_truncated(void **state)
{
    (void)state;
    for (int f = 0; f < TINY_FORMATS; f++) {
        size_t n;
        unsigned char *data = slurp(files[f], &n);
        const size_t cuts[] = {0,    3,     8,     15,     16,    17,        40,    100,
                               1000, 30000, 65000, 300000, n / 2, n - 70000, n - 5, n - 1};
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            /* CTranslate2's list of aliases at the end is not needed */
            if (f == TINY_CTRANSLATE2 && cuts[i] >= n - 5) continue;
            spill(files[f], data, cuts[i]);
            refuse(files[f]);
        }
        spill(files[f], data, n);
        free(data);
    }
}

/* Random bytes of the header changed: loads or refuses, never crashes. ASan sees every read outside the mapping. */
static void test_mutated(void **state)
{
    uint64_t rng = 99;
    int opened = 0, refused = 0;
    (void)state;
    for (int f = 0; f < TINY_FORMATS; f++) {
        size_t n;
        unsigned char *data = slurp(files[f], &n);
        const size_t header = f == TINY_GGML ? 60 : 4000;
        for (int round = 0; round < 60; round++) {
            size_t at[3];
            unsigned char old[3];
            sotto_model *model = NULL;
            sotto_error err;
            for (int k = 0; k < 3; k++) {
                rng = rng * 6364136223846793005u + 1442695040888963407u;
                at[k] = (size_t)(rng >> 33) % header;
                old[k] = data[at[k]];
                data[at[k]] = (unsigned char)(rng >> 25);
            }
            spill(files[f], data, n);
            if (sotto_model_open(&model, files[f], NULL, &err) == SOTTO_OK)
                opened++;
            else
                refused++;
            sotto_model_free(model);
            for (int k = 3; k-- > 0;) data[at[k]] = old[k];
        }
        spill(files[f], data, n);
        free(data);
    }
    assert_true(refused > 60);
    assert_int_equal(opened + refused, 180);
}

static void expect(const char *path, sotto_status status, const char *part)
{
    sotto_model *model = NULL;
    sotto_error err = {0};
    assert_int_equal(sotto_model_open(&model, path, NULL, &err), status);
    if (!strstr(err.message, part)) fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

/* Finds `needle` in the file and overwrites it from `offset` on. */
static void patch(const char *path, const char *needle, size_t needle_len, size_t offset, const void *bytes, size_t len)
{
    size_t n;
    unsigned char *data = slurp(path, &n), *at = memmem(data, n, needle, needle_len);
    assert_non_null(at);
    memcpy(at + offset, bytes, len);
    spill(path, data, n);
    free(data);
}

static void test_messages(void **state)
{
    char path[600], text[] = "hello, this is a text file and no model at all\n";
    tiny_model other = tiny_default;
    (void)state;
    expect("/nonexistent/model", SOTTO_ENOTFOUND, "cannot open model /nonexistent/model: No such file");
    expect("", SOTTO_EINVAL, "path is empty");
    expect("/", SOTTO_ENOTFOUND, "holds none of model.bin");
    snprintf(path, sizeof path, "%s/text.bin", dirs[0]);
    spill(path, (unsigned char *)text, sizeof text);
    expect(path, SOTTO_EFORMAT, "expected CTranslate2, ggml, safetensors or sotto's own");

    patch(files[TINY_CTRANSLATE2], "WhisperSpec", 11, 0, "WhispurSpec", 11);
    expect(files[TINY_CTRANSLATE2], SOTTO_EUNSUPPORTED, "kind WhispurSpec, expected WhisperSpec");
    patch(files[TINY_CTRANSLATE2], "WhispurSpec", 11, 0, "WhisperSpec", 11);
    patch(files[TINY_CTRANSLATE2], "encoder/conv2/weight", 20, 0, "encoder/conv3/weight", 20);
    expect(files[TINY_CTRANSLATE2], SOTTO_EFORMAT, "tensor encoder/conv2/weight is missing");
    patch(files[TINY_CTRANSLATE2], "encoder/conv3/weight", 20, 0, "encoder/conv2/weight", 20);
    /* rank byte and dims follow the name's NUL: 64 x 64 x 3 becomes 32 x 128 x 3 */
    patch(files[TINY_CTRANSLATE2], "encoder/conv2/weight", 20, 22, "\x20\0\0\0\x80\0\0\0", 8);
    expect(files[TINY_CTRANSLATE2], SOTTO_EFORMAT, "encoder/conv2/weight is 32 x 128 x 3, expected 64 x 64 x 3");
    patch(files[TINY_CTRANSLATE2], "encoder/conv2/weight", 20, 22, "\x40\0\0\0\x40\0\0\0", 8);
    patch(files[TINY_GGML], "lmgg", 4, 44, "\x08\0\0\0", 4);
    expect(files[TINY_GGML], SOTTO_EUNSUPPORTED, "ggml file type 8 (quantised)");
    patch(files[TINY_GGML], "lmgg", 4, 44, "\x01\0\0\0", 4);
    patch(files[TINY_HUGGINGFACE], "\"dtype\":\"F16\"", 13, 9, "I64", 3);
    expect(files[TINY_HUGGINGFACE], SOTTO_EUNSUPPORTED, "dtype I64, expected F32, F16 or BF16");
    patch(files[TINY_HUGGINGFACE], "\"dtype\":\"I64\"", 13, 9, "F16", 3);
    for (int f = 0; f < TINY_FORMATS; f++) { /* all mended */
        struct fixture x;
        open_fixture(&x, files[f]);
        close_fixture(&x);
    }
    /* a vocabulary that is no Whisper's */
    char dir[256];
    assert_int_equal(tiny_directory(dir, sizeof dir), 0);
    other.n_vocab = 51000;
    assert_int_equal(tiny_write(&other, TINY_GGML, dir, path, sizeof path), 0);
    expect(path, SOTTO_EFORMAT, "n_vocab is 51000");
    tiny_remove(dir);
}

static void test_environment(void **state)
{
    (void)state;
    setenv("SOTTO_ISA", "pentium", 1);
    expect(dirs[0], SOTTO_EINVAL, "SOTTO_ISA is \"pentium\"");
    unsetenv("SOTTO_ISA");
}

/* Sizes not reachable as real weights: 128 mels, 51,866 tokens. */
static void test_large_v3_shape(void **state)
{
    tiny_model v3 = {128, 128, 2, 2, 2, 51866, 448, 5, 0, 0};
    char dir[256], path[512];
    struct fixture x;
    (void)state;
    for (int f = 0; f < TINY_FORMATS; f++) {
        assert_int_equal(tiny_directory(dir, sizeof dir), 0);
        assert_int_equal(tiny_write(&v3, (tiny_format)f, dir, path, sizeof path), 0);
        open_fixture(&x, dir);
        assert_int_equal(sotto_model_get_info(x.model)->n_mels, 128);
        assert_true(sotto_model_get_info(x.model)->multilingual);
        assert_int_equal(sotto__tokenizer_specials(sotto__runtime_tokenizer(x.rt))->n_languages, 100);
        forward(&x, x.seq[0], (int32_t[]){50258, 50259, 50360}, 3, x.logits, 3);
        close_fixture(&x);
        tiny_remove(dir);
    }
}

static int setup(void **state)
{
    (void)state;
    for (int f = 0; f < TINY_FORMATS; f++) {
        if (tiny_directory(dirs[f], sizeof dirs[f]) != 0) return -1;
        if (tiny_write(&tiny_default, (tiny_format)f, dirs[f], files[f], sizeof files[f]) != 0) return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int f = 0; f < TINY_FORMATS; f++) tiny_remove(dirs[f]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_agree), cmocka_unit_test(test_precisions),
        cmocka_unit_test(test_peaks),         cmocka_unit_test(test_integer_batch),
        cmocka_unit_test(test_counts),        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_batch),         cmocka_unit_test(test_few_rows_are_exact),
        cmocka_unit_test(test_cross_scores),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_sampled_tail),  cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_mutated),       cmocka_unit_test(test_messages),
        cmocka_unit_test(test_environment),   cmocka_unit_test(test_large_v3_shape),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
