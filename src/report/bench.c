/* SPDX-License-Identifier: MIT
 * sotto_bench_write: the model's own encoder and decoder run on made-up input, timed lap by lap, and set against what
 * this machine was measured to reach: a roofline for every stage. */
#include "base/checked.h"
#include "base/error.h"
#include "model/model.h"
#include "model/runtime.h"
#include "nn/ceilings.h"
#include "report/values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BATCH = 16,          /* most sequences of a pass */
    PAST = 64,           /* tokens before the step that is measured, where the context has room */
    STEPS = 4,           /* rounds of a decoder pass for one of the encoder */
    MACHINE_ROUNDS = 40, /* of every ceiling but memory's */
    MEMORY_ROUNDS = 6,
    CACHE_BYTES = 24 << 20,
    MEMORY_BYTES = 256 << 20
};

/* A pass measured several times: the least seconds of each lap, and of the whole. */
struct measured {
    const char *name;
    size_t rows;
    int rounds;
    double seconds;
    double share;     /* of the threads' time that this process had, in the fastest round */
    uint64_t counted; /* multiply-adds by the session's own counters */
    size_t n;
    sotto__lap laps[SOTTO__LAPS_MOST];
};

struct bench {
    sotto_model *model;
    sotto__runtime *rt;
    int rounds;
    float *mel;                    /* [3000, n_mels] */
    sotto__window *windows[BATCH]; /* each encoded */
    sotto__seq *seqs[BATCH];       /* each holds `past` tokens */
    size_t past, n_windows;
    int32_t tokens[PAST + BATCH];
    float *logits; /* [BATCH, V] */
    sotto__peaks peaks;
    json_t *passes;
    sotto__timer timer;
    struct measured measured, untimed; /* the pass that is measured; what is left out */
};

static uint64_t counted(const struct bench *b)
{
    const sotto_counts *c = sotto__runtime_counts(b->rt);
    uint64_t sum = 0;
    for (size_t i = 0; i < SOTTO_PART_COUNT; i++) sum += c->multiply_adds[i];
    for (size_t i = 0; i < SOTTO_MIX_COUNT; i++) sum += c->mix_multiply_adds[i];
    return sum;
}

/* ---- measuring ---- */

static double processor_s(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec : NAN;
}

/* Clocks and counters at the start of a pass. */
struct start {
    double seconds, processor;
    uint64_t counted;
};

static struct start begin(struct bench *b)
{
    struct start s = {.processor = processor_s(), .counted = counted(b)};
    b->model->nn.timer = &b->timer;
    s.seconds = sotto__now_s();
    sotto__timer_start(&b->timer);
    return s;
}

static void end(struct bench *b, struct start s, struct measured *m)
{
    sotto__timer_lap(&b->timer, SOTTO__LAP_OTHER);
    const double seconds = sotto__now_s() - s.seconds;
    const bool first = m->rounds++ == 0;
    b->model->nn.timer = NULL;
    if (first || seconds < m->seconds) {
        m->seconds = seconds;
        m->share = (processor_s() - s.processor) / (seconds * b->model->info.threads);
    }
    m->counted = counted(b) - s.counted;
    m->n = b->timer.n;
    for (size_t i = 0; i < m->n; i++) {
        const double before = m->laps[i].seconds;
        m->laps[i] = b->timer.laps[i];
        if (!first && before < m->laps[i].seconds) m->laps[i].seconds = before;
    }
}

static sotto_status time_encoder(struct bench *b, struct measured *m, sotto__window *w, sotto_error *err)
{
    const struct start s = begin(b);
    const sotto_status st = sotto__encode(b->rt, b->mel, 2 * (size_t)b->model->info.n_audio_ctx, 1, w, err);
    end(b, s, m);
    return st;
}

static sotto_status time_decoder(struct bench *b, struct measured *m, sotto__step *steps, size_t n, sotto_error *err)
{
    const struct start s = begin(b);
    const sotto_status st = sotto__decoder_forward(b->rt, steps, n, SOTTO_STAGE_DECODE, err);
    end(b, s, m);
    return st;
}

/* ---- what was measured, as JSON ---- */

/* GB/s or GOP/s of a lap beside their ceilings. Ideal: products at the peak of their kind, or all bytes at the
 * bandwidth, whichever takes longer. */
static json_t *rates(const struct bench *b, const sotto__lap *lap, double bandwidth, bool *ok)
{
    json_t *o = json_object();
    const double pairs = (double)lap->integer_multiply_adds, bytes = (double)lap->byte_multiply_adds;
    const double all = (double)lap->multiply_adds;
    const double at_peak =
        pairs / b->peaks.pairs + (bytes > 0 ? bytes / b->peaks.bytes : 0) + (all - pairs - bytes) / b->peaks.floats;
    const double at_bandwidth = (double)lap->bytes / bandwidth, s = lap->seconds;
    sotto__json_put(o, "seconds", sotto__json_real(s), ok);
    sotto__json_put(o, "multiply_adds", sotto__json_count(lap->multiply_adds), ok);
    sotto__json_put(o, "integer_multiply_adds", sotto__json_count(lap->integer_multiply_adds), ok);
    sotto__json_put(o, "byte_multiply_adds", sotto__json_count(lap->byte_multiply_adds), ok);
    sotto__json_put(o, "bytes", sotto__json_count(lap->bytes), ok);
    sotto__json_put(o, "weight_bytes", sotto__json_count(lap->weight_bytes), ok);
    sotto__json_put(o, "gops", sotto__json_ratio(2e-9 * all, s), ok);
    sotto__json_put(o, "of_peak", sotto__json_ratio(at_peak, s), ok);
    sotto__json_put(o, "gb_per_s", sotto__json_ratio(1e-9 * (double)lap->bytes, s), ok);
    sotto__json_put(o, "of_bandwidth", sotto__json_ratio(at_bandwidth, s), ok);
    sotto__json_put(o, "of_roofline", sotto__json_ratio(at_peak > at_bandwidth ? at_peak : at_bandwidth, s), ok);
    return o;
}

/* The bandwidth beside a pass is that of reading as many bytes as its weights over and over: a small model's stay in a
 * cache from step to step. */
static sotto_status put_pass(struct bench *b, const struct measured *m, sotto_error *err)
{
    sotto__lap stage[SOTTO__LAP_NAMES] = {{0}}, sum = {0};
    uint64_t calls[SOTTO__LAP_NAMES] = {0};
    bool ok = true;
    double bandwidth;
    for (size_t i = 0; i < m->n; i++) {
        sotto__lap_add(&stage[m->laps[i].name], &m->laps[i]);
        sotto__lap_add(&sum, &m->laps[i]);
        calls[m->laps[i].name]++;
    }
    const size_t bytes = sum.weight_bytes < MEMORY_BYTES ? (size_t)sum.weight_bytes : MEMORY_BYTES;
    const sotto_status st = sotto__bandwidth_measure(&bandwidth, &b->model->nn, bytes, MACHINE_ROUNDS, err);
    if (st != SOTTO_OK) return st;
    json_t *stages = json_array();
    for (size_t i = 0; i < SOTTO__LAP_NAMES; i++) {
        const char *key = sotto__lap_key((sotto__lap_name)i);
        if (calls[i] == 0) continue;
        json_t *one = rates(b, &stage[i], bandwidth, &ok);
        sotto__json_put(one, "name", sotto__json_text(key, strlen(key)), &ok);
        sotto__json_put(one, "calls", sotto__json_count(calls[i]), &ok);
        sotto__json_push(stages, one, &ok);
    }
    const double stage_seconds = sum.seconds;
    sum.seconds = m->seconds;
    json_t *pass = rates(b, &sum, bandwidth, &ok);
    sotto__json_put(pass, "name", sotto__json_text(m->name, strlen(m->name)), &ok);
    sotto__json_put(pass, "rows", sotto__json_count(m->rows), &ok);
    sotto__json_put(pass, "rounds", json_integer(m->rounds), &ok);
    sotto__json_put(pass, "stage_seconds", sotto__json_real(stage_seconds), &ok);
    sotto__json_put(pass, "processor_share", sotto__json_real(m->share), &ok);
    sotto__json_put(pass, "counted_multiply_adds", sotto__json_count(m->counted), &ok);
    sotto__json_put(pass, "bandwidth_gb_per_s", sotto__json_real(1e-9 * bandwidth), &ok);
    sotto__json_put(pass, "stages", stages, &ok);
    sotto__json_push(b->passes, pass, &ok);
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "measurements");
}

/* ---- passes ---- */

static struct measured *clear(struct bench *b, const char *name, size_t rows)
{
    b->measured = (struct measured){.name = name, .rows = rows};
    return &b->measured;
}

/* Every round fills a window of its own, as long as there are; decoder passes read them. */
static sotto_status encoder_pass(struct bench *b, sotto_error *err)
{
    const size_t n_mel = 2 * (size_t)b->model->info.n_audio_ctx * (size_t)b->model->info.n_mels;
    struct measured *m = clear(b, "encoder", (size_t)b->model->info.n_audio_ctx);
    sotto_status st;
    uint32_t x = 1;
    b->mel = sotto__aligned(n_mel, sizeof *b->mel);
    if (!b->mel) return sotto__fail_nomem(err, "a window of noise");
    for (size_t i = 0; i < n_mel; i++) {
        x = x * 1664525u + 1013904223u;
        b->mel[i] = (float)(x >> 8) / 8388608.0f - 1.0f;
    }
    for (int round = 0; round < b->rounds; round++) {
        sotto__window **w = &b->windows[round % BATCH];
        if (!*w && (st = sotto__window_create(w, b->rt, err)) != SOTTO_OK) return st;
        if ((st = time_encoder(b, m, *w, err)) != SOTTO_OK) return st;
        if (b->n_windows < BATCH) b->n_windows++;
    }
    return put_pass(b, m, err);
}

/* Fills the sequences' pasts; the first one's is timed, as a prompt is. */
static sotto_status prompt_pass(struct bench *b, sotto_error *err)
{
    struct measured *m = clear(b, "prompt", b->past);
    sotto_status st;
    for (size_t i = 0; i < sizeof b->tokens / sizeof b->tokens[0]; i++)
        b->tokens[i] = (int32_t)((i * 7919 + 11) % (size_t)b->model->info.n_vocab);
    for (size_t i = 0; i < BATCH; i++) {
        sotto__step step = {.window = b->windows[i % b->n_windows],
                            .tokens = b->tokens,
                            .n_tokens = b->past,
                            .logits = b->logits,
                            .n_logits = 1};
        if ((st = sotto__seq_create(&b->seqs[i], b->rt, err)) != SOTTO_OK) return st;
        step.seq = b->seqs[i];
        for (int round = 0; round < (i ? 1 : b->rounds); round++) {
            sotto__seq_truncate(step.seq, 0);
            if ((st = time_decoder(b, i ? &b->untimed : m, &step, 1, err)) != SOTTO_OK) return st;
        }
    }
    return put_pass(b, m, err);
}

/* One token for each of n sequences, on windows of their own or all on one, as beams are. */
static sotto_status step_pass(struct bench *b, const char *name, size_t n, bool one_window, sotto_error *err)
{
    struct measured *m = clear(b, name, n);
    sotto__step steps[BATCH];
    sotto_status st;
    for (size_t i = 0; i < n; i++)
        steps[i] = (sotto__step){.seq = b->seqs[i],
                                 .window = b->windows[one_window ? 0 : i],
                                 .tokens = b->tokens + PAST + i,
                                 .n_tokens = 1,
                                 .logits = b->logits + i * (size_t)b->model->info.n_vocab,
                                 .n_logits = 1};
    for (int round = 0; round < STEPS * b->rounds; round++) {
        for (size_t i = 0; i < n; i++) sotto__seq_truncate(b->seqs[i], b->past);
        if ((st = time_decoder(b, m, steps, n, err)) != SOTTO_OK) return st;
    }
    return put_pass(b, m, err);
}

static sotto_status run_passes(struct bench *b, sotto_error *err)
{
    static const struct {
        const char *name;
        size_t n;
        bool one_window;
    } steps[] = {{"step", 1, true}, {"step_4", 4, false}, {"step_16", BATCH, false}, {"beam_5", 5, true}};
    const sotto_model_info *info = &b->model->info;
    size_t n_logits;
    sotto_status st;
    b->past = info->n_text_ctx > 2 * PAST ? PAST : (size_t)info->n_text_ctx / 2;
    if (sotto__mul(BATCH, (size_t)info->n_vocab, &n_logits)) b->logits = sotto__aligned(n_logits, sizeof *b->logits);
    b->passes = json_array();
    if (!b->logits || !b->passes) return sotto__fail_nomem(err, "logits of a batch");
    if ((st = sotto__runtime_open(&b->rt, b->model, err)) != SOTTO_OK ||
        (st = sotto__peaks_measure(&b->peaks, &b->model->nn, MACHINE_ROUNDS, err)) != SOTTO_OK ||
        (st = encoder_pass(b, err)) != SOTTO_OK || (st = prompt_pass(b, err)) != SOTTO_OK)
        return st;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (!steps[i].one_window && steps[i].n > b->n_windows) continue;
        if ((st = step_pass(b, steps[i].name, steps[i].n, steps[i].one_window, err)) != SOTTO_OK) return st;
    }
    return SOTTO_OK;
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; i < BATCH; i++) {
        sotto__seq_free(b->seqs[i]);
        sotto__window_free(b->windows[i]);
    }
    sotto__runtime_free(b->rt);
    free(b->mel);
    free(b->logits);
    json_decref(b->passes);
    free(b);
}

/* ---- the machine ---- */

/* "model name" of /proc/cpuinfo, or "unknown". */
static void read_cpu_name(char *name, size_t cap)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(name, cap, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        snprintf(name, cap, "%.*s", (int)strcspn(colon + 1, "\n") - 1, colon + 2);
        break;
    }
    if (f) fclose(f);
}

static json_t *machine_of(const sotto_model *m, bool *ok)
{
    char cpu[128];
    json_t *o = json_object();
    read_cpu_name(cpu, sizeof cpu);
    sotto__json_put(o, "cpu", sotto__json_text(cpu, strlen(cpu)), ok);
    sotto__json_put(o, "kernels", sotto__json_text(m->nn.ops->name, strlen(m->nn.ops->name)), ok);
    sotto__json_put(o, "threads", json_integer(m->info.threads), ok);
    return o;
}

static sotto_status ceilings_of(struct bench *b, json_t *o, sotto_error *err)
{
    const struct {
        const char *key;
        size_t bytes;
        int rounds;
    } reads[] = {{"l2", (size_t)b->model->info.threads << 18, MACHINE_ROUNDS},
                 {"cache", CACHE_BYTES, MACHINE_ROUNDS},
                 {"memory", MEMORY_BYTES, MEMORY_ROUNDS}};
    bool ok = true;
    json_t *gops = json_object(), *read = json_object();
    sotto_status st = SOTTO_OK;
    sotto__json_put(gops, "f32", sotto__json_real(2e-9 * b->peaks.floats), &ok);
    sotto__json_put(gops, "f32_product", sotto__json_real(sotto_model_peak_gflops(b->model)), &ok);
    sotto__json_put(gops, "int16", sotto__json_real(2e-9 * b->peaks.pairs), &ok);
    sotto__json_put(gops, "int8", sotto__json_real(2e-9 * b->peaks.bytes), &ok);
    sotto__json_put(gops, "packed_product", sotto__json_real(2e-9 * b->peaks.product), &ok);
    for (size_t i = 0; i < sizeof reads / sizeof reads[0] && st == SOTTO_OK; i++) {
        double bandwidth = 0;
        json_t *one = json_object();
        st = sotto__bandwidth_measure(&bandwidth, &b->model->nn, reads[i].bytes, reads[i].rounds, err);
        sotto__json_put(one, "bytes", sotto__json_count(reads[i].bytes), &ok);
        sotto__json_put(one, "gb_per_s", sotto__json_real(1e-9 * bandwidth), &ok);
        sotto__json_put(read, reads[i].key, one, &ok);
    }
    sotto__json_put(o, "gops", gops, &ok);
    sotto__json_put(o, "read", read, &ok);
    if (st == SOTTO_OK && !ok) return sotto__fail_nomem(err, "measurements");
    return st;
}

static sotto_status document_of(json_t **out, struct bench *b, sotto_error *err)
{
    const sotto_model_info *info = &b->model->info;
    const char *precision = sotto_precision_name(info->precision), *path = info->path;
    bool ok = true;
    json_t *o = json_object(), *model = json_object(), *ceilings = json_object();
    sotto_status st = run_passes(b, err);
    if (st == SOTTO_OK) st = ceilings_of(b, ceilings, err);
    sotto__json_put(o, "version", sotto__json_text(sotto_version(), strlen(sotto_version())), &ok);
    sotto__json_put(o, "build", sotto__json_text(sotto_build_info(), strlen(sotto_build_info())), &ok);
    sotto__json_put(o, "machine", machine_of(b->model, &ok), &ok);
    sotto__json_put(model, "path", sotto__json_text(path, strlen(path)), &ok);
    sotto__json_put(model, "precision", sotto__json_text(precision, strlen(precision)), &ok);
    sotto__json_put(model, "parameters", sotto__json_count(info->parameters), &ok);
    sotto__json_put(o, "model", model, &ok);
    sotto__json_put(o, "ceilings", ceilings, &ok);
    sotto__json_put(o, "past_tokens", sotto__json_count(b->past), &ok);
    sotto__json_put(o, "passes", json_incref(b->passes), &ok);
    if (st == SOTTO_OK && ok) {
        *out = o;
        return SOTTO_OK;
    }
    json_decref(o);
    return st != SOTTO_OK ? st : sotto__fail_nomem(err, "measurements");
}

sotto_status sotto_bench_write(sotto_model *model, int32_t rounds, char **out, sotto_error *err)
{
    json_t *document = NULL;
    if (!out) return sotto__fail(err, SOTTO_EINVAL, "sotto_bench_write: out is NULL");
    *out = NULL;
    if (!model) return sotto__fail(err, SOTTO_EINVAL, "sotto_bench_write: model is NULL");
    if (rounds < 1 || rounds > 1000)
        return sotto__fail(err, SOTTO_EINVAL, "rounds is %d, expected 1 to 1000", (int)rounds);
    struct bench *b = calloc(1, sizeof *b);
    if (!b) return sotto__fail_nomem(err, "measurements");
    b->model = model;
    b->rounds = rounds;
    sotto_status st = document_of(&document, b, err);
    close_bench(b);
    if (st != SOTTO_OK) return st;
    *out = sotto__json_dump(document, true);
    json_decref(document);
    return *out ? SOTTO_OK : sotto__fail_nomem(err, "measurements");
}
