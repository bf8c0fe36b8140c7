/* SPDX-License-Identifier: MIT
 * Opening a model: weight file -> parameters, tokenizer, mel filters, alignment heads. */
#include "model/arena.h"
#include "audio/features.h"
#include "base/checked.h"
#include "base/error.h"
#include "nn/ceilings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sotto_model_options_default(sotto_model_options *options)
{
    *options = (sotto_model_options){.size = sizeof *options, .precision = SOTTO_PRECISION_AUTO};
}

/* Heads whose cross-attention follows the audio, for files that do not say: openai-whisper's _ALIGNMENT_HEADS
 * (whisper/__init__.py), told apart by vocabulary, decoder layers and heads. large-v1 and v2 cannot be told apart:
 * v2's. */
static const struct {
    int32_t n_vocab, n_text_layer, n_text_head;
    const char *pairs; /* layer:head … */
} known_alignment[] = {
    {51864, 4, 6, "1:0 2:0 2:5 3:0 3:1 3:2 3:3 3:4"}, /* tiny.en */
    {51865, 4, 6, "2:2 3:0 3:2 3:3 3:4 3:5"},         /* tiny */
    {51864, 6, 8, "3:3 4:7 5:1 5:5 5:7"},             /* base.en */
    {51865, 6, 8, "3:1 4:2 4:3 4:7 5:1 5:2 5:4 5:6"}, /* base */
    {51864, 12, 12, "6:6 7:0 7:3 7:8 8:2 8:5 8:7 9:0 9:4 9:8 9:10 10:0 10:1 10:2 10:3 10:6 10:11 11:2 11:4"},
    {51865, 12, 12, "5:3 5:9 8:0 8:4 8:7 8:8 9:0 9:7 9:9 10:5"}, /* small.en above, small */
    {51864, 24, 16,
     "11:4 14:1 14:12 14:14 15:4 16:0 16:4 16:9 17:12 17:14 18:7 18:10 18:15 20:0 20:3 20:9 20:14 21:12"},
    {51865, 24, 16, "13:15 15:4 15:15 16:1 20:0 23:4"}, /* medium.en above, medium */
    {51865, 32, 20,
     "10:12 13:17 16:11 16:12 16:13 17:15 17:16 18:4 18:11 18:19 19:11 21:2 21:3 22:3 22:9 22:12 23:5 23:7 23:13 "
     "25:5 26:1 26:12 27:15"},                                                /* large-v2 */
    {51866, 32, 20, "7:0 10:17 12:18 13:12 16:1 17:14 19:11 21:4 24:1 25:6"}, /* large-v3 */
    {51866, 4, 20, "2:4 2:11 3:3 3:6 3:11 3:14"},                             /* large-v3-turbo */
};

/* The file's own list, else the known one, else every head of the upper half (whisper/model.py's default). */
static sotto_status set_alignment(sotto_model *m, sotto__weights *w, sotto_error *err)
{
    const sotto_model_info *info = &m->info;
    const size_t all = (size_t)info->n_text_layer * (size_t)info->n_text_head;
    for (size_t i = 0; i < w->n_alignment_heads; i++) {
        const int32_t layer = w->alignment_heads[2 * i], head = w->alignment_heads[2 * i + 1];
        if (layer >= info->n_text_layer || head >= info->n_text_head)
            return sotto__fail(err, SOTTO_EFORMAT, "%s: alignment head [%d, %d] is not among %d layers of %d heads",
                               w->file, layer, head, info->n_text_layer, info->n_text_head);
    }
    if (w->n_alignment_heads > all)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: %zu alignment heads, the decoder has %zu heads", w->file,
                           w->n_alignment_heads, all);
    if (w->n_alignment_heads) {
        m->alignment_heads = w->alignment_heads;
        m->n_alignment_heads = w->n_alignment_heads;
        w->alignment_heads = NULL;
        return SOTTO_OK;
    }
    m->alignment_heads = calloc(all, 2 * sizeof *m->alignment_heads);
    if (!m->alignment_heads) return sotto__fail_nomem(err, "alignment heads");
    for (size_t i = 0; i < sizeof known_alignment / sizeof known_alignment[0]; i++) {
        const char *p = known_alignment[i].pairs;
        int layer, head, used;
        if (known_alignment[i].n_vocab != info->n_vocab || known_alignment[i].n_text_layer != info->n_text_layer ||
            known_alignment[i].n_text_head != info->n_text_head)
            continue;
        while (m->n_alignment_heads < all && sscanf(p, "%d:%d%n", &layer, &head, &used) == 2) {
            m->alignment_heads[2 * m->n_alignment_heads] = layer;
            m->alignment_heads[2 * m->n_alignment_heads++ + 1] = head;
            p += used;
        }
        return SOTTO_OK;
    }
    for (int32_t layer = info->n_text_layer / 2; layer < info->n_text_layer; layer++) {
        for (int32_t head = 0; head < info->n_text_head; head++) {
            m->alignment_heads[2 * m->n_alignment_heads] = layer;
            m->alignment_heads[2 * m->n_alignment_heads++ + 1] = head;
        }
    }
    return SOTTO_OK;
}

static sotto_status set_mel_filters(sotto_model *m, sotto__weights *w, sotto_error *err)
{
    if (w->mel_filters) { /* ggml's own */
        m->mel_filters = w->mel_filters;
        w->mel_filters = NULL;
        return SOTTO_OK;
    }
    m->mel_filters = sotto__aligned((size_t)m->info.n_mels * 201, sizeof *m->mel_filters);
    if (!m->mel_filters) return sotto__fail_nomem(err, "mel filters");
    return sotto__mel_filters(m->mel_filters, (size_t)m->info.n_mels, err);
}

static sotto_status set_tokenizer(sotto_model *m, sotto__weights *w, sotto_error *err)
{
    if (w->vocab.n == 0) {
        sotto_status st = sotto__vocab_read_dir(&w->vocab, w->dir, err);
        if (st != SOTTO_OK) return st;
    }
    return sotto__tokenizer_create(&m->tokenizer, &w->vocab, (size_t)m->info.n_vocab, err);
}

static sotto_status set_kernels(sotto_model *m, int32_t threads, sotto_error *err)
{
    m->nn.ops = sotto__ops_allowed(err);
    if (!m->nn.ops) return SOTTO_EINVAL;
    sotto__gemm_init();
    return sotto__pool_create(&m->nn.pool, threads, err);
}

static sotto_status set_precision(sotto_model *m, sotto_precision precision, sotto_error *err)
{
    switch (precision) {
    case SOTTO_PRECISION_AUTO:
        m->precision = SOTTO_PRECISION_INT8;
        break;
    case SOTTO_PRECISION_F32:
    case SOTTO_PRECISION_F16:
    case SOTTO_PRECISION_INT16:
    case SOTTO_PRECISION_INT8:
    case SOTTO_PRECISION_INT4:
        m->precision = precision;
        break;
    default:
        return sotto__fail(err, SOTTO_EINVAL, "precision is %d, expected auto, f32, f16, int16, int8 or int4",
                           (int)precision);
    }
    m->info.precision = m->precision;
    return SOTTO_OK;
}

/* Memory that layers of this model need while they run. */
static sotto_status reserve(sotto_model *m, sotto_error *err)
{
    const size_t d = (size_t)m->info.n_audio_state, rows = 2 * (size_t)m->info.n_audio_ctx;
    const size_t conv1 = m->params.conv1.taps * m->params.conv1.in;
    const size_t width = conv1 > 4 * d ? conv1 : 4 * d;
    const sotto_status st = sotto__nn_reserve(&m->nn, rows, width, sotto__half_scratch(width), err);
    size_t rank = 0;
    for (const sotto__linear *l = m->inners; l->out; l++) rank = l->out > rank ? l->out : rank;
    return st == SOTTO_OK && rank ? sotto__nn_reserve_low(&m->nn, rank, err) : st;
}

sotto_status sotto_model_open(sotto_model **out, const char *path, const sotto_model_options *options, sotto_error *err)
{
    const double start = sotto__now_s();
    sotto_model_options defaults;
    sotto__weights *w = NULL;
    sotto_status st;
    sotto_model *m;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_model_open: out is NULL");
    *out = NULL;
    if (!path || !*path) return sotto__fail(err, SOTTO_EINVAL, "sotto_model_open: path is empty");
    sotto_model_options_default(&defaults);
    st = sotto__take_options(&defaults, sizeof defaults, options, "model options", "sotto_model_options_default", err);
    if (st != SOTTO_OK) return st;
    m = calloc(1, sizeof *m);
    if (!m) return sotto__fail_nomem(err, "model");
    pthread_mutex_init(&m->peak_lock, NULL);
    m->path = strdup(path);
    if (!m->path) {
        st = sotto__fail_nomem(err, "model path");
        goto fail;
    }
    if ((st = set_kernels(m, defaults.threads, err)) != SOTTO_OK) goto fail;
    if ((st = sotto__weights_open(&w, path, err)) != SOTTO_OK) goto fail;
    if ((st = set_precision(m, defaults.precision, err)) != SOTTO_OK) goto fail;
    if ((st = sotto__bind(m, w, !defaults.no_cache, err)) != SOTTO_OK) goto fail;
    if ((st = reserve(m, err)) != SOTTO_OK) goto fail;
    if ((st = set_tokenizer(m, w, err)) != SOTTO_OK) goto fail;
    if ((st = set_mel_filters(m, w, err)) != SOTTO_OK) goto fail;
    if ((st = set_alignment(m, w, err)) != SOTTO_OK) goto fail;
    if ((st = sotto__desk_open(&m->desk, m, err)) != SOTTO_OK) goto fail;
    m->info.size = sizeof m->info;
    m->info.path = m->path;
    m->info.format = sotto__file_format_name(w->format);
    m->info.multilingual = sotto__tokenizer_specials(m->tokenizer)->multilingual;
    m->info.threads = sotto__pool_threads(m->nn.pool);
    m->weights = w; /* token embeddings are looked up in it */
    sotto__weights_drop(w, m->embedding);
    m->info.file_bytes = w->map_bytes;
    m->info.load_s = sotto__now_s() - start;
    *out = m;
    return SOTTO_OK;
fail:
    sotto__weights_close(w);
    sotto_model_free(m);
    return st;
}

void sotto_model_free(sotto_model *m)
{
    if (!m) return;
    sotto__desk_free(m->desk);
    sotto__tokenizer_free(m->tokenizer);
    pthread_mutex_destroy(&m->peak_lock);
    free(m->params.encoder);
    free(m->params.decoder);
    free(m->inners);
    sotto__arena_release(m);
    sotto__weights_close(m->weights);
    sotto__nn_release(&m->nn);
    sotto__pool_free(m->nn.pool);
    free(m->mel_filters);
    free(m->alignment_heads);
    free(m->path);
    free(m);
}

const sotto_model_info *sotto_model_get_info(const sotto_model *m) { return &m->info; }

const char *sotto_model_token_bytes(const sotto_model *m, int32_t token, size_t *n)
{
    return sotto__tokenizer_bytes(m->tokenizer, token, n);
}

const char *sotto_model_language(const sotto_model *m, size_t index)
{
    const sotto__specials *s = sotto__tokenizer_specials(m->tokenizer);
    if (!s->multilingual) return index == 0 ? "en" : NULL;
    return index < (size_t)s->n_languages ? sotto__tokenizer_language(m->tokenizer, s->language_begin + (int32_t)index)
                                          : NULL;
}

/* ---- peak ---- */

enum { PEAK_N = 384, PEAK_REPEATS = 12 };

struct peak_job {
    const sotto__ops *ops;
    float *memory; /* per thread: three matrices */
};

static void peak_task(void *arg, size_t index, int thread)
{
    const struct peak_job *j = arg;
    float *a = j->memory + (size_t)thread * 3 * PEAK_N * PEAK_N, *b = a + PEAK_N * PEAK_N, *c = b + PEAK_N * PEAK_N;
    (void)index;
    j->ops->gemm_nt(PEAK_N, PEAK_N, PEAK_N, a, PEAK_N, b, PEAK_N, 0.0f, c, PEAK_N);
}

/* Square products of 384, that all fit a core's caches, as many per thread as there are repeats; best of three rounds.
 */
static double measure_floats(sotto_model *m)
{
    const size_t threads = (size_t)sotto__pool_threads(m->nn.pool), n = threads * PEAK_REPEATS;
    struct peak_job job = {m->nn.ops, sotto__aligned(threads * 3 * PEAK_N * PEAK_N, sizeof(float))};
    double peak = 0;
    if (!job.memory) return 0;
    memset(job.memory, 0, threads * 3 * PEAK_N * PEAK_N * sizeof(float));
    sotto__pool_run(m->nn.pool, peak_task, &job, threads); /* warm */
    for (int round = 0; round < 3; round++) {
        const double start = sotto__now_s();
        sotto__pool_run(m->nn.pool, peak_task, &job, n);
        const double flops = 2.0 * PEAK_N * PEAK_N * PEAK_N * (double)n / (sotto__now_s() - start);
        if (flops > peak * 1e9) peak = flops / 1e9;
    }
    free(job.memory);
    return peak;
}

static double measure_integers(sotto_model *m)
{
    double peak;
    if (sotto__product_measure(&peak, &m->nn, m->precision != SOTTO_PRECISION_INT16, 40, NULL) != SOTTO_OK) return 0;
    return 2e-9 * peak;
}

static double peak_of(sotto_model *m, double *kept, double (*measure)(sotto_model *m))
{
    pthread_mutex_lock(&m->peak_lock);
    if (*kept == 0) *kept = measure(m);
    const double peak = *kept;
    pthread_mutex_unlock(&m->peak_lock);
    return peak;
}

double sotto_model_peak_gflops(sotto_model *m) { return peak_of(m, &m->peak_gflops, measure_floats); }

double sotto_model_peak_gops(sotto_model *m, const char **arithmetic)
{
    const bool is_integer = m->precision != SOTTO_PRECISION_F32 && m->precision != SOTTO_PRECISION_F16;
    const bool in_bytes = is_integer && m->precision != SOTTO_PRECISION_INT16 && m->nn.ops->bytes;
    if (arithmetic) *arithmetic = in_bytes ? "int8" : is_integer ? "int16" : "f32";
    return is_integer ? peak_of(m, &m->peak_gops, measure_integers) : sotto_model_peak_gflops(m);
}

void sotto_model_get_batches(sotto_model *m, uint64_t *passes, uint64_t *steps)
{
    const sotto__desk_tally tally = sotto__desk_get_tally(m->desk);
    *passes = tally.passes;
    *steps = tally.steps;
}
