/* SPDX-License-Identifier: MIT
 * Recordings in parts: what several sessions make of the parts is, to the last bit and count, what one session makes of
 * them one after the other; and how it ends when something goes wrong. On a model of random weights. */
#include "sound.h"

#include "base/checked.h"
#include "model/batch.h"
#include "model/model.h"
#include "text/parallel.h"
#include "text/transcript.h"
#include "tiny_model.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#ifdef __SANITIZE_THREAD__ /* a hundred times slower */
enum { PARTS = 4, SOUNDS = 1 };
#else
enum { PARTS = 9, SOUNDS = 6 };
#endif
enum { RATE = SOTTO__SAMPLE_RATE, HOP = SOTTO__HOP, SEGMENTS = 400, SECONDS = 60 };

static char dir[2][256], path[2][512]; /* of the English and the multilingual model */

/* ---- threads that cannot be started ---- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

static atomic_int created, most_created = INT32_MAX;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    if (atomic_load(&created) >= atomic_load(&most_created)) return EAGAIN;
    atomic_fetch_add(&created, 1);
    return __real_pthread_create(thread, attr, run, arg);
}

static void allow_threads(int n)
{
    atomic_store(&created, 0);
    atomic_store(&most_created, n);
}

/* ---- what all tests need ---- */

/* Frames begin … end-1: silences between them, some next to each other, one longer than a window's half. */
#define PART(first, last)                                                                                              \
    {                                                                                                                  \
        .begin = first, .end = last                                                                                    \
    }
static const sotto__part parts[] = {PART(50, 210),    PART(210, 290),   PART(400, 760),
                                    PART(800, 2400),  PART(2400, 2480), PART(3000, 3100),
                                    PART(3150, 3500), PART(4000, 4300), PART(5700, 6000)};

/* Noise within the parts, zeros elsewhere. */
static float *sound_of_parts(void)
{
    float *x = signal_mixed((size_t)SECONDS * RATE, RATE, 5);
    size_t at = 0;
    for (size_t i = 0; i <= PARTS; i++) {
        const size_t begin = i < PARTS ? parts[i].begin * HOP : (size_t)SECONDS * RATE;
        memset(x + at, 0, (begin - at) * sizeof *x);
        if (i < PARTS) at = parts[i].end * HOP;
    }
    return x;
}

typedef struct bench {
    sotto_model *model;
    sotto__features *f;
    sotto__runtime *rt;
    sotto__transcript *t;
    sotto_options o;
} bench;

static bench set_up(int which, sotto__features *f)
{
    sotto_error err = {0};
    bench b = {.f = f};
    sotto_model_options mo;
    float *x = f ? NULL : sound_of_parts();
    sotto_model_options_default(&mo);
    mo.threads = 2;
    if (sotto_model_open(&b.model, path[which], &mo, &err) != SOTTO_OK) fail_msg("%s", err.message);
    if (!f) b.f = features_of(x, (size_t)SECONDS * RATE, 80);
    free(x);
    assert_int_equal(sotto__runtime_open(&b.rt, b.model, &err), SOTTO_OK);
    assert_int_equal(sotto__transcript_create(&b.t, &err), SOTTO_OK);
    sotto_options_default(&b.o);
    b.o.temperature_increment = 0; /* random weights look wrong: no window would be good enough */
    b.o.no_speech_threshold = NAN;
    return b;
}

static void tear_down(bench *b)
{
    if (atomic_load(&b->model->helpers) != 0) fail_msg("%zu helpers not given back", atomic_load(&b->model->helpers));
    sotto__transcript_free(b->t);
    sotto__runtime_free(b->rt);
    sotto__features_free(b->f);
    sotto_model_free(b->model);
}

static void start_over(sotto__runtime *rt)
{
    *sotto__runtime_counts(rt) = (sotto_counts){0};
    sotto__runtime_touched_reset(rt);
    sotto__runtime_cancel(rt, false);
}

/* The parts one after the other, each by a transcriber of its own, on one session. */
typedef struct alone {
    sotto__transcript *t[PARTS];
    sotto_counts counts[PARTS]; /* up to and with this part */
    uint64_t touched[PARTS][SOTTO_PART_COUNT];
    const char *language;
    double probability;
} alone;

static alone one_by_one(bench *b, size_t n)
{
    sotto_error err = {0};
    alone a = {0};
    sotto__runtime *rt;
    const bool unknown = sotto__runtime_info(b->rt)->multilingual && !b->o.language;
    a.language = unknown ? NULL : b->o.language ? b->o.language : "en";
    a.probability = 1;
    assert_int_equal(sotto__runtime_open(&rt, b->model, &err), SOTTO_OK);
    for (size_t i = 0; i < n; i++) {
        sotto__transcriber *r;
        assert_int_equal(sotto__transcript_create(&a.t[i], &err), SOTTO_OK);
        if (sotto__transcriber_create(&r, rt, b->f, &b->o, &err) != SOTTO_OK ||
            sotto__transcriber_run(r, &parts[i], a.language, a.t[i], &err) != SOTTO_OK)
            fail_msg("%s", err.message);
        if (!a.language) a.language = sotto__transcript_language(a.t[i], &a.probability);
        sotto__transcriber_free(r);
        a.counts[i] = *sotto__runtime_counts(rt);
        sotto__runtime_touched(rt, a.touched[i]);
    }
    sotto__runtime_free(rt);
    return a;
}

static void drop_alone(alone *a)
{
    for (size_t i = 0; i < PARTS; i++) sotto__transcript_free(a->t[i]);
}

/* The text of all tokens at once, without white space around it. */
static char *text_of(bench *b, const sotto_segment *s, size_t n)
{
    sotto__ids ids = {0};
    sotto__str text = {0};
    char *from, *end, *out;
    for (size_t i = 0; i < n; i++) assert_true(sotto__ids_append(&ids, s[i].tokens, s[i].n_tokens));
    assert_int_equal(sotto__tokenizer_decode(sotto__runtime_tokenizer(b->rt), ids.data, ids.len, &text, NULL),
                     SOTTO_OK);
    assert_true(sotto__str_append(&text, "", 1));
    from = text.data + strspn(text.data, " \t\n\v\f\r\x1c\x1d\x1e\x1f");
    for (end = from + strlen(from); end > from && strchr(" \t\n\v\f\r\x1c\x1d\x1e\x1f", end[-1]);) end--;
    out = strndup(from, (size_t)(end - from));
    sotto__str_free(&text);
    sotto__ids_free(&ids);
    return out;
}

static void same_segment(const sotto_segment *a, const sotto_segment *b)
{
    assert_int_equal(a->seek_frames, b->seek_frames);
    assert_true(a->start_s == b->start_s && a->end_s == b->end_s);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens);
    assert_true(a->avg_logprob == b->avg_logprob && a->temperature == b->temperature &&
                a->compression_ratio == b->compression_ratio && a->no_speech_prob == b->no_speech_prob);
    assert_int_equal(a->n_words, b->n_words);
    for (size_t i = 0; i < a->n_words; i++) {
        assert_string_equal(a->words[i].text, b->words[i].text);
        assert_true(a->words[i].start_s == b->words[i].start_s && a->words[i].end_s == b->words[i].end_s &&
                    a->words[i].probability == b->words[i].probability);
    }
}

static void same_work(const sotto_counts *a, const sotto_counts *b)
{
    assert_memory_equal(a->multiply_adds, b->multiply_adds, sizeof a->multiply_adds);
    assert_memory_equal(a->mix_multiply_adds, b->mix_multiply_adds, sizeof a->mix_multiply_adds);
    assert_int_equal(a->encoder_positions, b->encoder_positions);
    assert_int_equal(a->full_window_retries, b->full_window_retries);
    assert_int_equal(a->windows, b->windows);
    assert_int_equal(a->decoder_steps, b->decoder_steps);
    assert_int_equal(a->tokens_prefilled, b->tokens_prefilled);
    assert_int_equal(a->tokens_decoded, b->tokens_decoded);
    assert_int_equal(a->tokens_kept, b->tokens_kept);
    assert_int_equal(a->fallbacks, b->fallbacks);
    assert_int_equal(a->windows_skipped, b->windows_skipped);
}

/* Checks progress as it comes; `stop_at` = the call that returns false, from 1 on. */
typedef struct watcher {
    pthread_t thread;
    size_t calls, stop_at, n_segments;
    double done_s, total_s;
    sotto_segment seen[SEGMENTS]; /* texts and tokens belong to the transcript */
    bool in_order;
} watcher;

static bool watch(const sotto_progress *p, void *user)
{
    watcher *w = user;
    w->in_order &= pthread_equal(pthread_self(), w->thread) && p->done_s > w->done_s && p->done_s <= p->total_s &&
                   (w->calls == 0 || p->total_s == w->total_s) && (p->segments != NULL) == (p->n_segments > 0) &&
                   w->n_segments + p->n_segments <= SEGMENTS;
    for (size_t i = 0; w->in_order && i < p->n_segments; i++) w->seen[w->n_segments++] = p->segments[i];
    w->done_s = p->done_s;
    w->total_s = p->total_s;
    return ++w->calls != w->stop_at;
}

static watcher watcher_for(bench *b)
{
    const watcher w = {.thread = pthread_self(), .in_order = true};
    b->o.on_progress = watch;
    return w;
}

/* n parts at a width: all that can be compared with what they are alone. */
static void check_parts(bench *b, const alone *a, size_t n, size_t width)
{
    sotto_error err = {0};
    static watcher w;
    sotto_result r = {0};
    uint64_t mine[SOTTO_PART_COUNT];
    size_t at = 0;
    char *text;
    w = watcher_for(b);
    b->o.user = &w;
    start_over(b->rt);
    allow_threads(INT32_MAX);
    if (sotto__transcribe_parts(b->rt, b->f, &b->o, parts, n, width, b->t, &err) != SOTTO_OK)
        fail_msg("%s", err.message);
    b->o.on_progress = NULL;
    assert_true((size_t)atomic_load(&created) <= width);
    sotto__transcript_view(b->t, &r);
    for (size_t i = 0; i < n; i++) {
        size_t m;
        const sotto_segment *s = sotto__transcript_segments(a->t[i], &m);
        for (size_t k = 0; k < m; k++, at++) {
            assert_true(at < r.n_segments);
            assert_int_equal(r.segments[at].id, at);
            same_segment(&s[k], &r.segments[at]);
            assert_true(s[k].start_s >= (double)parts[i].begin / 100 && s[k].end_s <= (double)parts[i].end / 100);
        }
    }
    assert_int_equal(at, r.n_segments);
    text = text_of(b, r.segments, r.n_segments);
    assert_string_equal(text, r.text);
    free(text);
    assert_string_equal(r.language, a->language);
    assert_true(r.language_probability == a->probability);
    same_work(&a->counts[n - 1], sotto__runtime_counts(b->rt));
    sotto__runtime_touched(b->rt, mine);
    assert_memory_equal(a->touched[n - 1], mine, sizeof mine);
    assert_true(w.in_order);
    assert_int_equal(w.calls, n);
    assert_true(w.total_s == SECONDS && w.done_s == SECONDS);
    assert_int_equal(w.n_segments, r.n_segments);
    for (size_t i = 0; i < w.n_segments; i++) {
        assert_ptr_equal(w.seen[i].text, r.segments[i].text);
        assert_int_equal(w.seen[i].id, i);
    }
}

static void check_mode(bench *b, size_t n)
{
    static const size_t widths[] = {1, 2, 6};
    alone a = one_by_one(b, n);
    for (size_t i = 0; i < 3; i++) check_parts(b, &a, n, widths[i]);
    drop_alone(&a);
}

/* ---- the same as alone ---- */

static void test_parts_together_are_parts_alone(void **state)
{
    bench b = set_up(0, NULL);
    alone a = one_by_one(&b, PARTS);
    (void)state;
    for (size_t n = 1; n <= PARTS; n++) check_parts(&b, &a, n, 6);
    for (size_t width = 1; width <= 2; width++) {
        check_parts(&b, &a, 1, width);
        check_parts(&b, &a, 3, width);
        check_parts(&b, &a, PARTS, width);
    }
    drop_alone(&a);
    tear_down(&b);
}

static void test_every_way_to_decode(void **state)
{
    bench b = set_up(0, NULL);
    (void)state;
    b.o.beam_size = 3;
    check_mode(&b, 3);
    b.o.beam_size = 1;
    b.o.temperature = 0.7;
    b.o.best_of = 2;
    check_mode(&b, 3);
    b.o.temperature = 0;
    b.o.word_timestamps = true;
    b.o.initial_prompt = "ab cd";
    b.o.tail_stride = 16;
    check_mode(&b, PARTS - 2);
    tear_down(&b);
}

static void test_the_prompt_is_before_every_part(void **state)
{
    bench b = set_up(0, NULL);
    uint64_t prefilled[2];
    (void)state;
    b.o.condition_on_previous_text = false;
    b.o.without_timestamps = true; /* a window a part */
    for (int i = 0; i < 2; i++) {
        b.o.initial_prompt = i ? "abcd" : NULL; /* five tokens, with the space before it */
        start_over(b.rt);
        assert_int_equal(sotto__transcribe_parts(b.rt, b.f, &b.o, parts, PARTS, 3, b.t, NULL), SOTTO_OK);
        prefilled[i] = sotto__runtime_counts(b.rt)->tokens_prefilled;
    }
    assert_int_equal(prefilled[1], prefilled[0] + PARTS * 6); /* and what says that it comes before */
    tear_down(&b);
}

static void test_the_first_part_tells_the_language(void **state)
{
    bench b = set_up(1, NULL);
    (void)state;
    check_mode(&b, 1);
    check_mode(&b, 4);
    b.o.language = "de";
    check_mode(&b, 2);
    tear_down(&b);
}

/* ---- gaps ---- */

/* One part; its first segment's figures, false when it has none. */
static bool listen_to(bench *b, sotto__part part, double *avg_logprob, double *no_speech_prob)
{
    size_t n;
    start_over(b->rt);
    assert_int_equal(sotto__transcribe_parts(b->rt, b->f, &b->o, &part, 1, 1, b->t, NULL), SOTTO_OK);
    const sotto_segment *s = sotto__transcript_segments(b->t, &n);
    if (n) *avg_logprob = s->avg_logprob, *no_speech_prob = s->no_speech_prob;
    return n > 0;
}

/* Thresholds under which a part is silence, and a stretch of it is not: what is said there joins the transcript. */
static void test_a_gap_is_decoded_again(void **state)
{
    enum { BEGIN = 800, END = 2400, PAD = 20, LONG = 300 };
    bench b = set_up(0, NULL);
    double whole_logprob, whole_silence, logprob = 0, silence = 0;
    sotto__stretch gap = {0, 0};
    size_t n;
    (void)state;
    b.o.logprob_threshold = b.o.compression_ratio_threshold = NAN;
    assert_true(listen_to(&b, (sotto__part)PART(BEGIN, END), &whole_logprob, &whole_silence));
    for (size_t at = BEGIN + PAD; at + LONG + PAD < END && !gap.end; at += 40)
        if (listen_to(&b, (sotto__part)PART(at - PAD, at + LONG + PAD), &logprob, &silence) &&
            logprob > whole_logprob && silence < whole_silence)
            gap = (sotto__stretch){at, at + LONG};
    assert_true(gap.end > 0);
    char *expected = strdup(sotto__transcript_segments(b.t, &n)->text);

    b.o.logprob_threshold = (logprob + whole_logprob) / 2;
    b.o.no_speech_threshold = (silence + whole_silence) / 2;
    assert_false(listen_to(&b, (sotto__part)PART(BEGIN, END), &logprob, &silence));
    const sotto__part part = {BEGIN, END, &gap, 1};
    assert_true(listen_to(&b, part, &logprob, &silence));
    const sotto_segment *s = sotto__transcript_segments(b.t, &n);
    assert_string_equal(s->text, expected);
    assert_true(s->start_s >= (double)(gap.begin - PAD) / 100 && s[n - 1].end_s <= (double)(gap.end + PAD) / 100);
    assert_int_equal(sotto__runtime_counts(b.rt)->gaps_decoded, 1);

    /* Where the segments hold all speech, nothing is done again. */
    b.o.logprob_threshold = b.o.no_speech_threshold = NAN;
    assert_true(listen_to(&b, (sotto__part)PART(BEGIN, END), &logprob, &silence));
    s = sotto__transcript_segments(b.t, &n);
    gap = (sotto__stretch){(size_t)(s->start_s * 100), (size_t)(s->end_s * 100)};
    char *text = strdup(s->text);
    const size_t before = n;
    assert_true(listen_to(&b, part, &logprob, &silence));
    s = sotto__transcript_segments(b.t, &n);
    assert_int_equal(n, before);
    assert_string_equal(s->text, text);
    assert_int_equal(sotto__runtime_counts(b.rt)->gaps_decoded, 0);
    free(text);
    free(expected);
    tear_down(&b);
}

/* The same sound in two parts has the same text, at times as far apart as the parts. Heard after a little silence. */
static void test_times_count_from_the_part(void **state)
{
    enum { APART = 40 * 100, LONG = 240 };
    const sotto__part two[] = {PART(0, LONG), PART(APART, APART + LONG)};
    size_t words = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SOUNDS; seed++) {
        float *x = calloc((size_t)SECONDS * RATE, sizeof *x), *sound = signal_mixed(LONG * HOP, RATE, seed);
        sotto_result r = {0};
        size_t half;
        for (size_t i = 0; i < 2; i++) memcpy(x + (two[i].begin + 5) * HOP, sound, (LONG - 10) * HOP * sizeof *x);
        bench b = set_up(0, features_of(x, (size_t)SECONDS * RATE, 80));
        b.o.word_timestamps = true;
        assert_int_equal(sotto__transcribe_parts(b.rt, b.f, &b.o, two, 2, 2, b.t, NULL), SOTTO_OK);
        sotto__transcript_view(b.t, &r);
        half = r.n_segments / 2;
        assert_true(half > 0 && r.n_segments == 2 * half);
        for (size_t i = 0; i < half; i++) {
            const sotto_segment *s = &r.segments[i], *later = &r.segments[half + i];
            assert_string_equal(s->text, later->text);
            assert_true(fabs(later->start_s - s->start_s - 40) < 1e-6 && fabs(later->end_s - s->end_s - 40) < 1e-6);
            assert_true(s->start_s >= 0 && s->end_s <= 2.4);
            assert_int_equal(s->n_words, later->n_words);
            words += s->n_words;
            for (size_t k = 0; k < s->n_words; k++) {
                assert_true(fabs(later->words[k].start_s - s->words[k].start_s - 40) < 1e-6);
                assert_true(fabs(later->words[k].end_s - s->words[k].end_s - 40) < 1e-6);
                assert_true(s->words[k].start_s >= 0 && s->words[k].end_s <= 2.4);
            }
        }
        tear_down(&b);
        free(x);
        free(sound);
    }
    assert_true(words > 0);
}

/* ---- ends that are not the end ---- */

/* The session does what it did before. */
static void works_again(bench *b, const alone *a) { check_parts(b, a, PARTS, 3); }

static void is_empty(bench *b)
{
    sotto_result r = {0};
    sotto__transcript_view(b->t, &r);
    assert_int_equal(r.n_segments, 0);
    assert_string_equal(r.text, "");
    assert_int_equal(atomic_load(&b->model->helpers), 0);
}

static void test_progress_may_stop_it(void **state)
{
    for (int which = 0; which < 2; which++) {
        bench b = set_up(which, NULL);
        alone a = one_by_one(&b, PARTS);
        static watcher w;
        (void)state;
        for (size_t stop_at = 1; stop_at <= PARTS; stop_at += PARTS / 2) {
            sotto_error err = {0};
            w = watcher_for(&b);
            w.stop_at = stop_at;
            b.o.user = &w;
            start_over(b.rt);
            assert_int_equal(sotto__transcribe_parts(b.rt, b.f, &b.o, parts, PARTS, 6, b.t, stop_at > 1 ? &err : NULL),
                             SOTTO_ECANCELLED);
            if (stop_at > 1) {
                assert_int_equal(err.code, SOTTO_ECANCELLED);
                assert_non_null(strstr(err.message, "on_progress"));
            }
            assert_int_equal(w.calls, stop_at);
            is_empty(&b);
        }
        works_again(&b, &a);
        drop_alone(&a);
        tear_down(&b);
    }
}

/* Cancels once so many decoder steps were made. */
typedef struct canceller {
    bench *b;
    uint64_t steps;
    double at_s;
} canceller;

static void *cancel(void *arg)
{
    canceller *c = arg;
    while (sotto__desk_get_tally(c->b->model->desk).steps < c->steps) sched_yield();
    c->at_s = sotto__now_s();
    sotto__runtime_cancel(c->b->rt, true);
    return NULL;
}

static void test_cancelling_from_another_thread(void **state)
{
    static const uint64_t after[] = {0, 1, 7, 20, 40};
    for (int which = 0; which < 2; which++) {
        bench b = set_up(which, NULL);
        alone a = one_by_one(&b, PARTS);
        (void)state;
        for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
            sotto_error err = {0};
            const uint64_t before = sotto__desk_get_tally(b.model->desk).steps;
            canceller c = {.b = &b, .steps = before + after[i]};
            pthread_t thread;
            double took;
            start_over(b.rt);
            allow_threads(INT32_MAX);
            assert_int_equal(pthread_create(&thread, NULL, cancel, &c), 0);
            assert_int_equal(sotto__transcribe_parts(b.rt, b.f, &b.o, parts, PARTS, 6, b.t, &err), SOTTO_ECANCELLED);
            took = sotto__now_s();
            pthread_join(thread, NULL);
            took -= c.at_s;
            assert_int_equal(err.code, SOTTO_ECANCELLED);
            assert_string_equal(err.message, "the transcription was cancelled");
            if (took > 5) fail_msg("ended %g s after the cancellation", took);
            assert_true(sotto__desk_get_tally(b.model->desk).steps - before < a.counts[PARTS - 1].decoder_steps);
            is_empty(&b);
        }
        works_again(&b, &a);
        drop_alone(&a);
        tear_down(&b);
    }
}

/* The file of features, found among this process's open ones. */
static int spill_of_features(void)
{
    for (int fd = 0; fd < 1000; fd++) {
        char name[64], to[4096];
        ssize_t n;
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        n = readlink(name, to, sizeof to - 1);
        if (n <= 0) continue;
        to[n] = '\0';
        if (strstr(to, "(deleted)") && lseek(fd, 0, SEEK_END) > 1 << 20) return fd;
    }
    return -1;
}

static void test_a_part_that_cannot_be_read(void **state)
{
    float *x = sound_of_parts();
    sotto__features *f = features_new(80);
    bench good = set_up(0, NULL), b;
    alone a = one_by_one(&good, PARTS);
    (void)state;
    sotto__features_set_memory(f, 0);
    assert_int_equal(sotto__features_push(f, x, (size_t)SECONDS * RATE, NULL), SOTTO_OK);
    assert_int_equal(sotto__features_finish(f, NULL), SOTTO_OK);
    free(x);
    b = good;
    b.f = f;
    works_again(&b, &a); /* from the file */
    const int fd = spill_of_features();
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 80 * 4 * (off_t)parts[PARTS - 3].begin), 0);
    for (size_t width = 1; width <= 6; width += 5) {
        sotto_error err = {0};
        static watcher w;
        w = watcher_for(&b);
        b.o.user = &w;
        start_over(b.rt);
        assert_int_equal(sotto__transcribe_parts(b.rt, f, &b.o, parts, PARTS, width, b.t, &err), SOTTO_EIO);
        assert_int_equal(err.code, SOTTO_EIO);
        assert_non_null(strstr(err.message, "it has become shorter"));
        assert_true(w.calls <= PARTS - 3 && w.in_order);
        is_empty(&b);
        assert_int_equal(sotto__transcribe_parts(b.rt, f, &b.o, parts, PARTS, width, b.t, NULL), SOTTO_EIO);
    }
    assert_int_equal(sotto__transcribe_parts(b.rt, f, &b.o, parts, PARTS - 3, 6, b.t, NULL), SOTTO_OK);
    sotto__features_free(f);
    works_again(&good, &a);
    drop_alone(&a);
    tear_down(&good);
}

static void test_options_that_are_wrong(void **state)
{
    for (int which = 0; which < 2; which++) {
        bench b = set_up(which, NULL);
        static watcher w;
        (void)state;
        for (int i = 0; i < 2; i++) {
            sotto_error err = {0};
            w = watcher_for(&b);
            b.o.user = &w;
            b.o.beam_size = i ? 1 : -1;
            b.o.language = i ? "klingon" : NULL;
            assert_int_equal(sotto__transcribe_parts(b.rt, b.f, &b.o, parts, PARTS, 6, b.t, &err), SOTTO_EINVAL);
            assert_int_equal(err.code, SOTTO_EINVAL);
            assert_non_null(strstr(err.message, i ? "klingon" : "beam_size"));
            assert_int_equal(sotto__transcribe_parts(b.rt, b.f, &b.o, parts, PARTS, 6, b.t, NULL), SOTTO_EINVAL);
            assert_int_equal(w.calls, 0);
            is_empty(&b);
        }
        tear_down(&b);
    }
}

/* One thread is enough; none is not. */
static void test_threads_that_cannot_be_started(void **state)
{
    bench b = set_up(0, NULL);
    alone a = one_by_one(&b, PARTS);
    sotto_result r = {0};
    char *text = NULL;
    (void)state;
    for (int most = 4; most >= 0; most--) {
        sotto_error err = {0};
        start_over(b.rt);
        allow_threads(most);
        const sotto_status st = sotto__transcribe_parts(b.rt, b.f, &b.o, parts, PARTS, 6, b.t, &err);
        allow_threads(INT32_MAX);
        assert_int_equal(st, most ? SOTTO_OK : SOTTO_ENOMEM);
        if (!most) {
            assert_int_equal(err.code, SOTTO_ENOMEM);
            assert_non_null(strstr(err.message, "thread"));
            is_empty(&b);
            continue;
        }
        sotto__transcript_view(b.t, &r);
        if (text) assert_string_equal(r.text, text);
        if (!text) text = strdup(r.text);
        same_work(&a.counts[PARTS - 1], sotto__runtime_counts(b.rt));
    }
    works_again(&b, &a);
    free(text);
    drop_alone(&a);
    tear_down(&b);
}

/* Calls of one model at the same time share a few helpers, and each has at least one. */
static void *call(void *arg)
{
    const bench *b = arg;
    return sotto__transcribe_parts(b->rt, b->f, &b->o, parts, PARTS, 6, b->t, NULL) == SOTTO_OK ? NULL : arg;
}

static void test_several_recordings_at_once(void **state)
{
    enum { N = 4 };
    bench b[N];
    alone a;
    pthread_t thread[N];
    (void)state;
    b[0] = set_up(0, NULL);
    a = one_by_one(&b[0], PARTS);
    for (size_t i = 1; i < N; i++) {
        b[i] = b[0];
        assert_int_equal(sotto__runtime_open(&b[i].rt, b[0].model, NULL), SOTTO_OK);
        assert_int_equal(sotto__transcript_create(&b[i].t, NULL), SOTTO_OK);
    }
    for (size_t i = 0; i < N; i++) assert_int_equal(pthread_create(&thread[i], NULL, call, &b[i]), 0);
    for (size_t i = 0; i < N; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    for (size_t i = 0; i < N; i++) {
        size_t n, at = 0, m;
        const sotto_segment *s = sotto__transcript_segments(b[i].t, &n);
        for (size_t k = 0; k < PARTS; k++) {
            const sotto_segment *one = sotto__transcript_segments(a.t[k], &m);
            for (size_t j = 0; j < m; j++) same_segment(&one[j], &s[at++]);
        }
        assert_int_equal(at, n);
        same_work(&a.counts[PARTS - 1], sotto__runtime_counts(b[i].rt));
        if (i) sotto__transcript_free(b[i].t);
        if (i) sotto__runtime_free(b[i].rt);
    }
    drop_alone(&a);
    tear_down(&b[0]);
}

static int setup(void **state)
{
    tiny_model tiny = tiny_default;
    (void)state;
    tiny.width = 32; /* many runs, slow under a sanitizer */
    tiny.heads = tiny.text_layers = 1;
    tiny.text_ctx = 32;
    return tiny_pair(&tiny, dir, path);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) tiny_remove(dir[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_together_are_parts_alone),
        cmocka_unit_test(test_every_way_to_decode),
        cmocka_unit_test(test_the_prompt_is_before_every_part),
        cmocka_unit_test(test_the_first_part_tells_the_language),
        cmocka_unit_test(test_a_gap_is_decoded_again),
        cmocka_unit_test(test_times_count_from_the_part),
        cmocka_unit_test(test_progress_may_stop_it),
        cmocka_unit_test(test_cancelling_from_another_thread),
        cmocka_unit_test(test_a_part_that_cannot_be_read),
        cmocka_unit_test(test_options_that_are_wrong),
        cmocka_unit_test(test_threads_that_cannot_be_started),
        cmocka_unit_test(test_several_recordings_at_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
