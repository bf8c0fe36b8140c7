/* SPDX-License-Identifier: MIT
 * Sessions of one model at the same time: each gets what it gets alone, to the last bit and count, whatever the others
 * do (decode, encode, fail, be cancelled), and their passes are merged. */
#include "cmocka_all.h"

#include "audio/features.h"
#include "base/checked.h"
#include "model/model.h"
#include "model/state.h"
#include "tiny_model.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SESSIONS = 16, SECONDS_MOST = 34, RATE = 16000, STEPS = 12 };

static char dir[256], path[512];

static sotto_model *open_model(int32_t threads)
{
    sotto_error err = {0};
    sotto_model *model = NULL;
    sotto_model_options o;
    sotto_model_options_default(&o);
    o.threads = threads;
    if (sotto_model_open(&model, path, &o, &err) != SOTTO_OK) fail_msg("%s", err.message);
    return model;
}

static float noise(uint64_t *rng)
{
    *rng = *rng * 6364136223846793005u + 1442695040888963407u;
    return (float)(*rng >> 40) / (float)(1 << 24) - 0.5f;
}

/* ---- passes ---- */

/* One session: its own window, prompt and cache. Decodes STEPS tokens, each the likeliest after the last. */
struct speaker {
    sotto_model *model;
    size_t number;
    pthread_barrier_t *start;
    float *logits; /* [2 + STEPS, 2, V]: two rows of the prompt, two hypotheses a step */
    sotto_counts counts;
    uint64_t touched[SOTTO_PART_COUNT];
    sotto_status status;
};

static size_t n_logits(const sotto_model *model) { return (1 + STEPS) * 2 * (size_t)model->info.n_vocab; }

static int32_t likeliest(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

static void *speak(void *arg)
{
    struct speaker *k = arg;
    const sotto_model_info *info = sotto_model_get_info(k->model);
    const size_t v = (size_t)info->n_vocab, n_mel = SOTTO__WINDOW_FRAMES * (size_t)info->n_mels;
    /* prompts of 2 to 32 tokens: some are products of matrices, some of vectors */
    const size_t n_prompt = 2 + 2 * k->number;
    int32_t prompt[2 + 2 * SESSIONS], tokens[2];
    uint64_t rng = 1 + k->number;
    float *mel = malloc(n_mel * sizeof *mel);
    sotto__runtime *rt = NULL;
    sotto__window *window = NULL;
    sotto__seq *seq[2] = {NULL, NULL};
    for (size_t i = 0; i < n_mel; i++) mel[i] = 2 * noise(&rng) + 0.3f;
    for (size_t i = 0; i < n_prompt; i++) prompt[i] = (int32_t)(noise(&rng) * 50000 + 25000);
    k->status = sotto__runtime_open(&rt, k->model, NULL);
    if (k->status == SOTTO_OK) k->status = sotto__window_create(&window, rt, NULL);
    for (int i = 0; i < 2 && k->status == SOTTO_OK; i++) k->status = sotto__seq_create(&seq[i], rt, NULL);
    if (k->start) pthread_barrier_wait(k->start);
    if (k->status == SOTTO_OK)
        k->status = sotto__encode(rt, mel, k->number ? 100 + 20 * k->number : SOTTO__WINDOW_FRAMES, 64, window, NULL);
    sotto__step step = {
        .seq = seq[0], .window = window, .tokens = prompt, .n_tokens = n_prompt, .logits = k->logits, .n_logits = 2};
    if (k->status == SOTTO_OK) k->status = sotto__decoder_forward(rt, &step, 1, SOTTO_STAGE_PREFILL, NULL);
    if (k->status == SOTTO_OK) sotto__seq_copy(seq[1], seq[0]);
    float *last = k->logits + v; /* of the last token of the prompt: both hypotheses go on from it */
    for (size_t i = 0; i < STEPS && k->status == SOTTO_OK; i++) {
        float *next = k->logits + 2 * (i + 1) * v;
        sotto__step steps[2];
        for (size_t h = 0; h < 2; h++) {
            tokens[h] = likeliest(last + (i ? h * v : 0), v - h * 40000);
            steps[h] = (sotto__step){.seq = seq[h],
                                     .window = window,
                                     .tokens = &tokens[h],
                                     .n_tokens = 1,
                                     .logits = next + h * v,
                                     .n_logits = 1};
        }
        k->status = sotto__decoder_forward(rt, steps, 2, SOTTO_STAGE_DECODE, NULL);
        last = next;
    }
    if (rt) {
        k->counts = *sotto__runtime_counts(rt);
        sotto__runtime_touched(rt, k->touched);
    }
    for (int i = 0; i < 2; i++) sotto__seq_free(seq[i]);
    sotto__window_free(window);
    sotto__runtime_free(rt);
    free(mel);
    return NULL;
}

static void same_work(const sotto_counts *a, const sotto_counts *b)
{
    assert_memory_equal(a->multiply_adds, b->multiply_adds, sizeof a->multiply_adds);
    assert_memory_equal(a->mix_multiply_adds, b->mix_multiply_adds, sizeof a->mix_multiply_adds);
    assert_int_equal(a->decoder_steps, b->decoder_steps);
    assert_int_equal(a->windows, b->windows);
    assert_int_equal(a->encoder_positions, b->encoder_positions);
    assert_int_equal(a->tokens_prefilled, b->tokens_prefilled);
    assert_int_equal(a->tokens_decoded, b->tokens_decoded);
    assert_int_equal(a->fallbacks, b->fallbacks);
}

static void test_logits_do_not_depend_on_the_others(void **state)
{
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads++) {
        struct speaker alone[SESSIONS], together[SESSIONS];
        pthread_t thread[SESSIONS];
        pthread_barrier_t start;
        sotto_model *model = open_model(threads);
        const size_t n = n_logits(model);
        double seconds = 0, began, took;
        pthread_barrier_init(&start, NULL, SESSIONS);
        for (size_t i = 0; i < SESSIONS; i++) {
            alone[i] = (struct speaker){.model = model, .number = i, .logits = calloc(n, sizeof(float))};
            together[i] = alone[i];
            together[i].start = &start;
            together[i].logits = calloc(n, sizeof(float));
            speak(&alone[i]);
            assert_int_equal(alone[i].status, SOTTO_OK);
        }
        const sotto__desk_tally before = sotto__desk_get_tally(model->desk);
        assert_int_equal(before.steps, SESSIONS * (1 + STEPS));
        assert_int_equal(before.passes, before.steps);
        began = sotto__now_s();
        for (size_t i = 0; i < SESSIONS; i++) pthread_create(&thread[i], NULL, speak, &together[i]);
        for (size_t i = 0; i < SESSIONS; i++) pthread_join(thread[i], NULL);
        took = sotto__now_s() - began;
        const sotto__desk_tally after = sotto__desk_get_tally(model->desk);
        assert_int_equal(after.steps - before.steps, SESSIONS * (1 + STEPS));
        /* 13 where nobody is ever late; a busy machine makes some late */
        if (after.passes - before.passes > SESSIONS * (1 + STEPS) / 2)
            fail_msg("%u passes for %u steps", (unsigned)(after.passes - before.passes), SESSIONS * (1 + STEPS));
        for (size_t i = 0; i < SESSIONS; i++) {
            assert_int_equal(together[i].status, SOTTO_OK);
            if (memcmp(alone[i].logits, together[i].logits, n * sizeof(float)) != 0)
                fail_msg("%d threads: session %zu has other logits than alone", threads, i);
            same_work(&alone[i].counts, &together[i].counts);
            assert_memory_equal(alone[i].touched, together[i].touched, sizeof alone[i].touched);
            for (int s = 0; s < SOTTO_STAGE_COUNT; s++) seconds += together[i].counts.stage_s[s];
            free(alone[i].logits);
            free(together[i].logits);
        }
        /* each pass's seconds are shared out once */
        assert_true(seconds > 0 && seconds <= took);
        pthread_barrier_destroy(&start);
        sotto_model_free(model);
    }
}

/* A cancellation that comes during a pass: the pass goes on while anyone wants it, and stops when nobody does. */
static void test_cancellation_during_a_pass(void **state)
{
    enum { N = 2 };
    sotto_error err = {0};
    sotto_model *model = open_model(2);
    const size_t v = (size_t)model->info.n_vocab;
    sotto__runtime *rt[N];
    sotto__window *window;
    sotto__seq *seq[N];
    const int32_t tokens[N] = {50, 60};
    float *logits = calloc(2 * N * v, sizeof *logits),
          *mel = calloc(SOTTO__WINDOW_FRAMES * (size_t)model->info.n_mels, sizeof *mel);
    sotto__step steps[N];
    sotto__request requests[N];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(sotto__runtime_open(&rt[i], model, &err), SOTTO_OK);
        assert_int_equal(sotto__seq_create(&seq[i], rt[i], &err), SOTTO_OK);
    }
    assert_int_equal(sotto__window_create(&window, rt[0], &err), SOTTO_OK);
    assert_int_equal(sotto__encode(rt[0], mel, 100, 64, window, &err), SOTTO_OK);
    for (size_t i = 0; i < N; i++) {
        steps[i] = (sotto__step){.seq = seq[i],
                                 .window = window,
                                 .tokens = &tokens[i],
                                 .n_tokens = 1,
                                 .logits = logits + i * v,
                                 .n_logits = 1};
        assert_int_equal(sotto__decoder_forward(rt[i], &steps[i], 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
        sotto__seq_truncate(seq[i], 0);
        steps[i].logits = logits + (N + i) * v;
        requests[i] = (sotto__request){.rt = rt[i],
                                       .err = &err,
                                       .next = i ? &requests[i - 1] : NULL,
                                       .steps = &steps[i],
                                       .n_steps = 1,
                                       .rows = 1,
                                       .stage = SOTTO_STAGE_DECODE};
    }
    sotto__runtime_cancel(rt[0], true);
    sotto__decoder_run(model, &requests[1]);
    assert_int_equal(requests[1].status, SOTTO_OK);
    assert_int_equal(sotto__seq_length(seq[1]), 1);
    assert_memory_equal(logits, logits + N * v, N * v * sizeof *logits);
    for (size_t i = 0; i < N; i++) sotto__seq_truncate(seq[i], 0);
    sotto__runtime_cancel(rt[1], true);
    sotto__decoder_run(model, &requests[1]);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(requests[i].status, SOTTO_ECANCELLED);
        assert_int_equal(sotto__seq_length(seq[i]), 0);
        sotto__seq_free(seq[i]);
    }
    sotto__window_free(window);
    for (size_t i = 0; i < N; i++) sotto__runtime_free(rt[i]);
    sotto_model_free(model);
    free(logits);
    free(mel);
}

/* ---- meeting ---- */

/* One of two that decode in turn; the slower one takes a while between two steps. */
struct member {
    sotto_model *model;
    unsigned pause_us;
    pthread_barrier_t *start;
};

enum { MEETINGS = 40 };

static void *meet(void *arg)
{
    const struct member *m = arg;
    const int32_t token = 7;
    float *mel = calloc(SOTTO__WINDOW_FRAMES * (size_t)m->model->info.n_mels, sizeof *mel);
    sotto__runtime *rt;
    sotto__window *window;
    sotto__seq *seq;
    assert_int_equal(sotto__runtime_open(&rt, m->model, NULL), SOTTO_OK);
    assert_int_equal(sotto__window_create(&window, rt, NULL), SOTTO_OK);
    assert_int_equal(sotto__seq_create(&seq, rt, NULL), SOTTO_OK);
    assert_int_equal(sotto__encode(rt, mel, 100, 64, window, NULL), SOTTO_OK);
    pthread_barrier_wait(m->start);
    for (int i = 0; i < MEETINGS; i++) {
        sotto__step step = {.seq = seq, .window = window, .tokens = &token, .n_tokens = 1};
        assert_int_equal(sotto__decoder_forward(rt, &step, 1, SOTTO_STAGE_DECODE, NULL), SOTTO_OK);
        usleep(m->pause_us);
    }
    sotto__seq_free(seq);
    sotto__window_free(window);
    sotto__runtime_free(rt);
    free(mel);
    return NULL;
}

/* Steps meet in one pass although one session is slower; without waiting for it each would go alone. */
static void test_sessions_keep_in_step(void **state)
{
    sotto_model *model = open_model(1);
    uint64_t least = UINT64_MAX;
    (void)state;
    for (int attempt = 0; attempt < 10 && least > MEETINGS * 3 / 2; attempt++) { /* the machine may be busy */
        const uint64_t before = sotto__desk_get_tally(model->desk).passes;
        pthread_t thread[2];
        pthread_barrier_t start;
        struct member members[2] = {{model, 0, &start}, {model, 300, &start}};
        pthread_barrier_init(&start, NULL, 2);
        for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, meet, &members[i]);
        for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
        pthread_barrier_destroy(&start);
        const uint64_t passes = sotto__desk_get_tally(model->desk).passes - before;
        least = passes < least ? passes : least;
    }
    if (least > MEETINGS * 3 / 2) fail_msg("%u passes for 2 x %d steps", (unsigned)least, MEETINGS);
    sotto_model_free(model);
}

/* A session alone never waits, nor for one that has left: a step takes what it takes. */
static void test_nobody_waits_for_who_has_left(void **state)
{
    sotto_error err;
    sotto_model *model = open_model(1);
    const int32_t token = 7;
    float *mel = calloc(SOTTO__WINDOW_FRAMES * (size_t)model->info.n_mels, sizeof *mel);
    sotto__runtime *rt[2];
    sotto__window *window;
    sotto__seq *seq;
    double best = 1;
    (void)state;
    for (int i = 0; i < 2; i++) assert_int_equal(sotto__runtime_open(&rt[i], model, &err), SOTTO_OK);
    assert_int_equal(sotto__window_create(&window, rt[0], &err), SOTTO_OK);
    assert_int_equal(sotto__seq_create(&seq, rt[0], &err), SOTTO_OK);
    assert_int_equal(sotto__encode(rt[0], mel, 100, 64, window, &err), SOTTO_OK);
    sotto__step step = {.seq = seq, .window = window, .tokens = &token, .n_tokens = 1};
    for (int i = 0; i < 50; i++) {
        sotto__seq_truncate(seq, 0);
        assert_int_equal(sotto__decoder_forward(rt[1], &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
        sotto__runtime_leave(rt[1]);
        sotto__seq_truncate(seq, 0);
        const double start = sotto__now_s(), stage = sotto__runtime_counts(rt[0])->stage_s[SOTTO_STAGE_DECODE];
        assert_int_equal(sotto__decoder_forward(rt[0], &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
        const double took = sotto__now_s() - start,
                     waited = took - (sotto__runtime_counts(rt[0])->stage_s[SOTTO_STAGE_DECODE] - stage);
        best = waited < best ? waited : best;
    }
    if (best > 2e-4) fail_msg("a step waits %g s", best);
    print_message("a lone step is handed over in %.2f us\n", best * 1e6);
    sotto__seq_free(seq);
    sotto__window_free(window);
    for (int i = 0; i < 2; i++) sotto__runtime_free(rt[i]);
    sotto_model_free(model);
    free(mel);
}

/* ---- the background ---- */

struct backbencher {
    sotto__runtime *rt;
    sotto__window *window;
    const float *mel;
    atomic_bool done;
    double ended;
};

static void *encode_behind(void *arg)
{
    struct backbencher *b = arg;
    assert_int_equal(sotto__encode(b->rt, b->mel, 100, 64, b->window, NULL), SOTTO_OK);
    b->ended = sotto__now_s();
    atomic_store(&b->done, true);
    return NULL;
}

/* While someone waits for `front`, what `back` wants encoded is not begun within a second of what it had before. */
static void test_background_gives_way(void **state)
{
    sotto_error err;
    sotto_model *model = open_model(1);
    const int32_t token = 7;
    float *mel = calloc(SOTTO__WINDOW_FRAMES * (size_t)model->info.n_mels, sizeof *mel);
    sotto__runtime *front, *back;
    sotto__window *window[2];
    sotto__seq *seq[2];
    pthread_t thread;
    double began, shortest = 1;
    (void)state;
    assert_int_equal(sotto__runtime_open(&front, model, &err), SOTTO_OK);
    assert_int_equal(sotto__runtime_open(&back, model, &err), SOTTO_OK);
    sotto__runtime_set_background(back, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sotto__window_create(&window[i], i ? back : front, &err), SOTTO_OK);
        assert_int_equal(sotto__seq_create(&seq[i], i ? back : front, &err), SOTTO_OK);
    }
    struct backbencher b = {.rt = back, .window = window[1], .mel = mel};
    for (int leaves = 1; leaves >= 0; leaves--) {
        encode_behind(&b);
        const double before = b.ended;
        atomic_store(&b.done, false);
        sotto__runtime_arrive(front);
        pthread_create(&thread, NULL, encode_behind, &b);
        /* who is in front goes on, and short steps of the background with it */
        assert_int_equal(sotto__encode(front, mel, 100, 64, window[0], &err), SOTTO_OK);
        for (int i = 0; i < STEPS; i++) {
            sotto__step step = {.seq = seq[0], .window = window[0], .tokens = &token, .n_tokens = 1};
            assert_int_equal(sotto__decoder_forward(front, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
        }
        usleep(200000);
        const double left = sotto__now_s();
        if (leaves) sotto__runtime_leave(front);
        pthread_join(thread, NULL);
        if (b.ended < before + 1 && (!leaves || b.ended < left))
            fail_msg("the background went on after %g s, while others were at work", b.ended - before);
        if (leaves && left < before + 0.9) assert_true(b.ended < before + 1); /* and not later than it may */
        sotto__seq_truncate(seq[0], 0);
    }
    for (int i = 0; i < 5; i++) { /* `front` is still there, not decoding */
        sotto__step step = {.seq = seq[1], .window = window[1], .tokens = &token, .n_tokens = 1};
        began = sotto__now_s();
        assert_int_equal(sotto__decoder_forward(back, &step, 1, SOTTO_STAGE_DECODE, &err), SOTTO_OK);
        if (sotto__now_s() - began < shortest) shortest = sotto__now_s() - began;
    }
    if (shortest > 0.1) fail_msg("a short step of the background takes %g s", shortest);
    began = sotto__now_s();
    sotto__runtime_give_way(back);
    assert_true(sotto__now_s() - began >= 0.05);
    sotto__runtime_leave(front);
    shortest = 1;
    for (int i = 0; i < 5; i++) {
        began = sotto__now_s();
        sotto__runtime_give_way(back);
        if (sotto__now_s() - began < shortest) shortest = sotto__now_s() - began;
    }
    assert_true(shortest < 0.04);
    for (int i = 0; i < 2; i++) {
        sotto__seq_free(seq[i]);
        sotto__window_free(window[i]);
    }
    sotto__runtime_free(front);
    sotto__runtime_free(back);
    sotto_model_free(model);
    free(mel);
}

/* ---- whole transcriptions ---- */

enum plan { RUN, CANCEL_BY_PROGRESS, CANCEL_FROM_OUTSIDE, BAD_OPTIONS };

struct caller {
    sotto_session *session;
    size_t number;
    sotto_options options;
    enum plan plan;
    pthread_barrier_t *start;
    atomic_bool ended;
    sotto_status status;
    sotto_error err;
    sotto_counts counts;
    uint64_t touched;
    char *text;
    double logprobs[64]; /* of the segments */
    size_t n_segments;
};

static bool stop_at_once(const sotto_progress *progress, void *user)
{
    (void)progress;
    (void)user;
    return false;
}

static void *call(void *arg)
{
    struct caller *c = arg;
    const size_t n = (c->number ? 2 + c->number : SECONDS_MOST) * RATE;
    const sotto_result *result = NULL;
    float *samples = malloc(n * sizeof *samples);
    uint64_t rng = 77 + c->number;
    for (size_t i = 0; i < n; i++) samples[i] = noise(&rng);
    if (c->plan == CANCEL_BY_PROGRESS) c->options.on_progress = stop_at_once;
    if (c->plan == BAD_OPTIONS) c->options.beam_size = -1;
    if (c->start) pthread_barrier_wait(c->start);
    c->status = sotto_transcribe_pcm(c->session, samples, n, &c->options, &result, &c->err);
    atomic_store(&c->ended, true);
    if (result) {
        c->text = strdup(result->text);
        c->counts = result->counts;
        c->touched = result->touched_parameters;
        c->n_segments = result->n_segments;
        for (size_t i = 0; i < result->n_segments && i < 64; i++) c->logprobs[i] = result->segments[i].avg_logprob;
    }
    free(samples);
    return NULL;
}

static void prepare(struct caller *c, sotto_model *model, size_t number, const sotto_options *options)
{
    sotto_error err;
    *c = (struct caller){.number = number, .options = *options};
    assert_int_equal(sotto_session_open(&c->session, model, &err), SOTTO_OK);
}

static void run_all(sotto_model *model, struct caller *callers, size_t n)
{
    pthread_t thread[SESSIONS];
    pthread_barrier_t start;
    const uint64_t begun = sotto__desk_get_tally(model->desk).steps;
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (size_t i = 0; i < n; i++) {
        callers[i].start = &start;
        pthread_create(&thread[i], NULL, call, &callers[i]);
    }
    /* One is cancelled after the other, in the midst of decoding; repeated, as a cancellation before the call has begun
     * has no effect. */
    for (size_t i = 0; i < n; i++) {
        if (callers[i].plan != CANCEL_FROM_OUTSIDE) continue;
        while (sotto__desk_get_tally(model->desk).steps < begun + 10 * (i + 1)) sched_yield();
        usleep((unsigned)(200 * i));
        for (; !atomic_load(&callers[i].ended); sched_yield()) sotto_session_cancel(callers[i].session);
    }
    for (size_t i = 0; i < n; i++) pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&start);
}

static void same(const struct caller *a, const struct caller *b)
{
    assert_int_equal(a->status, SOTTO_OK);
    if (b->status != SOTTO_OK) fail_msg("session %zu: %s", b->number, b->err.message);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n_segments, b->n_segments);
    assert_memory_equal(a->logprobs, b->logprobs, sizeof a->logprobs);
    assert_int_equal(a->touched, b->touched);
    same_work(&a->counts, &b->counts);
}

static void release(struct caller *c)
{
    free(c->text);
    sotto_session_free(c->session);
}

static void test_texts_do_not_depend_on_the_others(void **state)
{
    static const struct {
        const char *name;
        size_t n;
    } modes[] = {{"greedy", SESSIONS}, {"beams", 8}, {"sampling", 8}, {"words", 4}};
    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        static struct caller alone[SESSIONS], together[SESSIONS];
        sotto_model *model = open_model(mode ? 2 : 3);
        sotto_options o;
        sotto_options_default(&o);
        o.temperature_increment = mode == 1 ? 1.0 : 0; /* random weights look wrong: windows fall back once */
        o.beam_size = mode == 1 ? 5 : 1;
        o.temperature = mode == 2 ? 0.8 : 0;
        o.word_timestamps = mode == 3;
        o.best_of = 3;
        o.tail_stride = mode == 1 ? 4 : 1;
        o.logprob_threshold = mode == 1 ? -1 : NAN;
        o.no_speech_threshold = NAN;
        print_message("%s\n", modes[mode].name);
        for (size_t i = 0; i < modes[mode].n; i++) {
            o.seed = i;
            prepare(&alone[i], model, i, &o);
            prepare(&together[i], model, i, &o);
            call(&alone[i]);
        }
        run_all(model, together, modes[mode].n);
        for (size_t i = 0; i < modes[mode].n; i++) {
            same(&alone[i], &together[i]);
            assert_true(alone[i].text[0] || alone[i].counts.tokens_decoded > 0);
            release(&alone[i]);
            release(&together[i]);
        }
        sotto_model_free(model);
    }
}

static void test_one_that_ends_early_disturbs_nobody(void **state)
{
    enum { N = 10 };
    static struct caller alone[N], together[N];
    sotto_model *model = open_model(2);
    sotto_options o;
    (void)state;
    sotto_options_default(&o);
    o.temperature_increment = 0;
    for (size_t i = 0; i < N; i++) {
        prepare(&alone[i], model, i, &o);
        prepare(&together[i], model, i, &o);
        if (i % 3 == 0) together[i].plan = CANCEL_FROM_OUTSIDE;
        if (i == 5) together[i].plan = CANCEL_BY_PROGRESS;
        if (i == 8) together[i].plan = BAD_OPTIONS;
        call(&alone[i]);
    }
    run_all(model, together, N);
    for (size_t i = 0; i < N; i++) {
        if (together[i].plan == RUN)
            same(&alone[i], &together[i]);
        else
            assert_int_equal(together[i].status, together[i].plan == BAD_OPTIONS ? SOTTO_EINVAL : SOTTO_ECANCELLED);
        if (together[i].plan != RUN) assert_int_equal(together[i].err.code, together[i].status);
        release(&alone[i]);
    }
    /* and a session that ended early is as good as new */
    for (size_t i = 0; i < N; i++) {
        if (together[i].plan == RUN) {
            release(&together[i]);
            continue;
        }
        struct caller again;
        prepare(&again, model, i, &o);
        call(&again);
        together[i].plan = RUN;
        together[i].options = o;
        together[i].start = NULL;
        call(&together[i]);
        same(&again, &together[i]);
        release(&again);
        release(&together[i]);
    }
    sotto_model_free(model);
}

/* ---- a step that cannot be done ---- */

static void *stumble(void *arg)
{
    struct speaker *k = arg;
    const sotto_model_info *info = sotto_model_get_info(k->model);
    float *mel = calloc(SOTTO__WINDOW_FRAMES * (size_t)info->n_mels, sizeof *mel);
    int32_t token = 1, wrong = info->n_vocab;
    sotto__runtime *rt = NULL;
    sotto__window *window = NULL;
    sotto__seq *seq = NULL;
    assert_int_equal(sotto__runtime_open(&rt, k->model, NULL), SOTTO_OK);
    assert_int_equal(sotto__window_create(&window, rt, NULL), SOTTO_OK);
    assert_int_equal(sotto__seq_create(&seq, rt, NULL), SOTTO_OK);
    pthread_barrier_wait(k->start);
    k->status = sotto__encode(rt, mel, SOTTO__WINDOW_FRAMES, 1, window, NULL);
    sotto__step step = {.seq = seq, .window = window, .tokens = &token, .n_tokens = 1};
    for (int i = 0; i < STEPS && k->status == SOTTO_OK; i++) {
        step.tokens = i % 2 ? &wrong : &token;
        if (sotto__decoder_forward(rt, &step, 1, SOTTO_STAGE_DECODE, NULL) != (i % 2 ? SOTTO_EINTERNAL : SOTTO_OK))
            k->status = SOTTO_EINTERNAL;
    }
    /* stays a member that never comes again until it is freed: the others must go on without it */
    while (sotto__desk_get_tally(k->model->desk).steps < (SESSIONS - 1) * (1 + STEPS) + STEPS / 2) sched_yield();
    sotto__seq_free(seq);
    sotto__window_free(window);
    sotto__runtime_free(rt);
    free(mel);
    return NULL;
}

static void test_one_that_fails_fails_alone(void **state)
{
    struct speaker speakers[SESSIONS], reference;
    pthread_t thread[SESSIONS];
    pthread_barrier_t start;
    sotto_model *model = open_model(2), *other = open_model(2);
    const size_t n = n_logits(model);
    (void)state;
    pthread_barrier_init(&start, NULL, SESSIONS);
    for (size_t i = 0; i < SESSIONS; i++) {
        speakers[i] = (struct speaker){.model = model, .number = i, .start = &start};
        speakers[i].logits = calloc(n, sizeof(float));
        pthread_create(&thread[i], NULL, i ? speak : stumble, &speakers[i]);
    }
    for (size_t i = 0; i < SESSIONS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(speakers[0].status, SOTTO_OK);
    for (size_t i = 1; i < SESSIONS; i++) {
        assert_int_equal(speakers[i].status, SOTTO_OK);
        reference = (struct speaker){.model = other, .number = i, .logits = calloc(n, sizeof(float))};
        speak(&reference);
        assert_memory_equal(reference.logits, speakers[i].logits, n * sizeof(float));
        free(reference.logits);
        free(speakers[i].logits);
    }
    free(speakers[0].logits);
    pthread_barrier_destroy(&start);
    sotto_model_free(model);
    sotto_model_free(other);
}

static int setup(void **state)
{
    (void)state;
    return tiny_directory(dir, sizeof dir) || tiny_write(&tiny_default, TINY_CTRANSLATE2, dir, path, sizeof path);
}

static int teardown(void **state)
{
    (void)state;
    tiny_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_do_not_depend_on_the_others),
        cmocka_unit_test(test_cancellation_during_a_pass),
        cmocka_unit_test(test_sessions_keep_in_step),
        cmocka_unit_test(test_nobody_waits_for_who_has_left),
        cmocka_unit_test(test_background_gives_way),
        cmocka_unit_test(test_texts_do_not_depend_on_the_others),
        cmocka_unit_test(test_one_that_ends_early_disturbs_nobody),
        cmocka_unit_test(test_one_that_fails_fails_alone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
