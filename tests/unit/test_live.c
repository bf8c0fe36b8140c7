/* SPDX-License-Identifier: MIT
 * Live captions. The frontier, the gate and the feed by hand; whole streams with tiny.en, Silero's detector and
 * recordings of ../shared/audio, without which those parts are skipped. */
#include "cmocka_all.h"

#include "live/captions.h"
#include "live/feed.h"
#include "live/gate.h"
#include "live/hear.h"
#include "base/checked.h"
#include "sound.h"

#include <glob.h>
#include <pthread.h>
#include <sndfile.h>

/* ---- the frontier --------------------------------------------------------------------------------------------- */

/* Words as " and| so|,": one token each, 0.5 s each. Those in capitals are improbable. */
static sotto__hypothesis hypothesis(const char *words)
{
    sotto__hypothesis h = {0};
    double at = 0;
    size_t cap = 0;
    while (*words) {
        const size_t n = strcspn(words, "|");
        sotto__heard_word w = {.token_end = h.n + 1,
                               .begin = h.text.len,
                               .start_s = at,
                               .end_s = at + 0.4,
                               .probability = n > 1 && words[1] < 'a' ? 0.5 : 0.9};
        assert_true(sotto__str_append(&h.text, words, n));
        assert_true(sotto__ids_push(&h.tokens, (int32_t)(100 + h.n)));
        assert_true(sotto__grow(&h.words, &cap, h.n + 1, sizeof *h.words));
        w.end = h.text.len;
        h.words[h.n++] = w;
        at += 0.5;
        words += n + (words[n] == '|');
    }
    h.cap = cap;
    return h;
}

static void advance(sotto__frontier *f, const char *words, double length_s)
{
    sotto__hypothesis next = hypothesis(words);
    sotto__frontier_advance(f, &next, length_s, 0.5);
    sotto__hypothesis_free(&next);
}

static void words_agree_but_for_case_and_punctuation(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {{" And", " and", true}, {" and,", " And", true}, {" don't", " dont", true},
                 {" an", " and", false}, {" and", " an", false},  {"!", ".", true},
                 {"!", "", true},        {" a", "", false},       {" Ärger", " ärger.", true},
                 {" का", " की", false},  {" ที", " ที่", false},     {"，", "。", true},
                 {" 5", " 6", false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (sotto__same_word(cases[i].a, strlen(cases[i].a), cases[i].b, strlen(cases[i].b)) != cases[i].same)
            fail_msg("\"%s\" and \"%s\"", cases[i].a, cases[i].b);
}

static void two_hypotheses_in_a_row_confirm(void **state)
{
    sotto__frontier f = {0};
    size_t n;
    (void)state;
    advance(&f, " And| so|...", 100);
    assert_int_equal(f.confirmed, 0); /* nothing to agree with */
    advance(&f, " and| so|,| my| fellow", 100);
    assert_int_equal(f.confirmed, 2); /* the comma waits for the word behind it */
    sotto__frontier_forced(&f, &n);
    assert_int_equal(n, 2);
    assert_int_equal(sotto__frontier_draft(&f, &n)[0], 102);
    assert_int_equal(n, 3);
    advance(&f, " and| so|,| my| friends", 100);
    assert_int_equal(f.confirmed, 4);
    advance(&f, " and| so|,| my| fellow| Americans", 100);
    assert_int_equal(f.confirmed, 4); /* friends and fellow differ */
    advance(&f, " and| so|,| my| fellow| Americans|!| ask", 2.7);
    assert_int_equal(f.confirmed, 4); /* fellow ends at 2.4 s, too near the end */
    advance(&f, " and| so|,| my| fellow| Americans|!| ask", 3.4);
    assert_int_equal(f.confirmed, 5); /* Americans ends at 2.9 s and is improbable */
    advance(&f, " and| so|,| my| fellow| Americans", 5.1);
    assert_int_equal(f.confirmed, 5); /* 2.2 s */
    advance(&f, " and| so|,| my| fellow| Americans", 5.2);
    assert_int_equal(f.confirmed, 6);
    advance(&f, " and| so|,| my| fellow| Americans", 100);
    assert_int_equal(f.confirmed, 6); /* fewer words take nothing back */
    sotto__frontier_settle(&f, 0.4);
    assert_int_equal(f.confirmed, 6); /* takes nothing back */
    advance(&f, " and| so|,| my| fellow| Americans|!| ask| not", 1);
    sotto__frontier_settle(&f, 3.9);
    assert_int_equal(f.confirmed, 8); /* ask ends at 3.9 s */
    sotto__frontier_finish(&f);
    assert_int_equal(f.confirmed, f.now.n);
    sotto__frontier_reset(&f);
    assert_int_equal(f.confirmed + f.now.n, 0);
    advance(&f, " and| so| my| fellow", 2.9);
    advance(&f, " and| so| my| fellow", 2.9);
    assert_int_equal(f.confirmed, 0); /* too little to go by */
    advance(&f, " and| so| my| fellow", 3.1);
    assert_int_equal(f.confirmed, 4);
    sotto__frontier_reset(&f);
    advance(&f, " and| so| My| fellow", 3.6);
    advance(&f, " and| so| my| fellow", 3.6);
    assert_int_equal(f.confirmed, 2); /* "my" ends at 1.4 s, and was improbable the first time */
    advance(&f, " and| so| my| fellow", 3.6);
    assert_int_equal(f.confirmed, 4);
    sotto__frontier_free(&f);
}

static void the_improbable_waits(void **state)
{
    static const struct {
        double probability, wait_s;
    } cases[] = {{1, 0.5}, {0.9, 0.658114}, {0.75, 1.125}, {0.5, 2.267767}, {0, 5.5}, {1.01, 0.5}, {-1, 5.5}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(fabs(sotto__frontier_wait_s(0.5, cases[i].probability) - cases[i].wait_s) < 1e-6);
}

static void windows_are_cut_at_sentence_ends(void **state)
{
    sotto__frontier f = {0};
    sotto__cut cut;
    (void)state;
    advance(&f, " one|.| two|?| three| four", 100);
    assert_int_equal(sotto__frontier_cut(&f, true).words, 0); /* nothing is confirmed */
    advance(&f, " one|.| two|?| three| four", 100);
    assert_int_equal(f.confirmed, 6);
    cut = sotto__frontier_cut(&f, false);
    assert_int_equal(cut.words, 4);
    assert_true(fabs(cut.at_s - 1.95) < 1e-9); /* between 1.9 and 2.0 */
    sotto__frontier_drop(&f, &cut);
    assert_int_equal(f.now.n, 2);
    assert_int_equal(f.confirmed, 2);
    assert_int_equal(f.now.tokens.data[0], 104);
    assert_int_equal(f.now.words[1].token_end, 2);
    assert_true(fabs(f.now.words[0].start_s - 0.05) < 1e-9);
    assert_memory_equal(f.now.text.data + f.now.words[1].begin, " four", 5);
    cut = sotto__frontier_cut(&f, false);
    assert_int_equal(cut.words, 0); /* no sentence ends in it */
    cut = sotto__frontier_cut(&f, true);
    assert_int_equal(cut.words, 1); /* four is not followed by anything */
    sotto__frontier_free(&f);
}

static void punctuation_joins_its_word_in_a_caption(void **state)
{
    sotto__frontier f = {0};
    sotto__captions c = {0};
    sotto_error err;
    (void)state;
    advance(&f, " one", 100);
    advance(&f, " one|.| two|,| three", 100);
    advance(&f, " one|.| two|,| three", 2.1); /* two ends at 1.4, three at 2.4 */
    sotto__captions_begin(&c);
    assert_int_equal(sotto__captions_confirm(&c, &f, 10, &err), SOTTO_OK);
    assert_int_equal(sotto__captions_finish(&c, &f, 10, &err), SOTTO_OK);
    assert_int_equal(c.caption.n_confirmed, 2);
    assert_string_equal(c.caption.confirmed[0].text, " one.");
    assert_string_equal(c.caption.confirmed[1].text, " two");
    assert_true(fabs(c.caption.confirmed[1].end_s - 11.4) < 1e-9);
    assert_int_equal(c.caption.n_tentative, 2);
    assert_string_equal(c.caption.tentative[0].text, ",");
    assert_string_equal(c.caption.tentative[1].text, " three");
    /* a later hypothesis times the words earlier: what is shown never goes back */
    sotto__captions_begin(&c);
    sotto__frontier_finish(&f);
    assert_int_equal(sotto__captions_confirm(&c, &f, 9, &err), SOTTO_OK);
    assert_int_equal(sotto__captions_finish(&c, &f, 9, &err), SOTTO_OK);
    assert_int_equal(c.caption.n_confirmed, 2);
    assert_int_equal(c.caption.n_tentative, 0);
    assert_true(c.caption.confirmed[0].start_s >= 11.4);
    assert_true(c.caption.confirmed[1].end_s >= c.caption.confirmed[1].start_s);
    sotto__captions_free(&c);
    sotto__frontier_free(&f);
}

/* ---- the gate ------------------------------------------------------------------------------------------------- */

static void utterances_begin_with_speech_and_end_with_silence(void **state)
{
    /* s speech, u unsure, . silence; B begins, E ends */
    static const char in[] = "...u.susu..s.u.u..s....";
    static const char out[] = "     B        E   B  E ";
    sotto__gate g = {.silence = 3};
    (void)state;
    for (size_t i = 0; in[i]; i++) {
        const float p = in[i] == 's' ? 0.9f : in[i] == 'u' ? 0.4f : 0.1f;
        const sotto__gate_event want = out[i] == 'B'   ? SOTTO__GATE_BEGIN
                                       : out[i] == 'E' ? SOTTO__GATE_END
                                                       : SOTTO__GATE_NONE;
        const sotto__gate_event got = sotto__gate_push(&g, p);
        if (got != want) fail_msg("chunk %zu of \"%s\": event %d, expected %d", i, in, (int)got, (int)want);
    }
    assert_false(g.open);
}

/* ---- the feed ------------------------------------------------------------------------------------------------- */

static void *push_counting(void *feed)
{
    float x[331];
    sotto_error err;
    for (size_t at = 0; at < 100000; at += 331) {
        for (size_t i = 0; i < 331; i++) x[i] = (float)(at + i);
        if (sotto__feed_push(feed, x, at + 331 < 100000 ? 331 : 100000 - at, &err) != SOTTO_OK) return NULL;
    }
    sotto__feed_end(feed);
    return feed;
}

static void samples_pass_between_threads_in_order(void **state)
{
    sotto__feed *f;
    sotto_error err;
    pthread_t thread;
    void *pushed;
    float x[512];
    uint64_t at = 0;
    bool more = true;
    sotto__feed_news news;
    (void)state;
    assert_int_equal(sotto__feed_create(&f, 16000, &err), SOTTO_OK);
    assert_int_equal(pthread_create(&thread, NULL, push_counting, f), 0);
    while ((news = sotto__feed_take(f, at, sotto__now_s() + 10, x, 512, &more)) == SOTTO__FEED_CHUNK) {
        for (size_t i = 0; i < 512; i++) {
            const float want = at + i < 100000 ? (float)(at + i) : 0;
            if (x[i] != want) fail_msg("sample %zu is %g", (size_t)at + i, (double)x[i]);
        }
        at += 512;
        if (at > 2048) sotto__feed_release(f, at - 1024, at, 0.4, true);
        if (at > 2048) sotto__feed_copy(f, at - 1024, 512, x);
        if (at > 2048) assert_true(x[511] == (float)(at - 513) || at > 100000);
    }
    assert_int_equal(news, SOTTO__FEED_END);
    assert_int_equal(at, (100000 + 511) / 512 * 512);
    assert_int_equal(pthread_join(thread, &pushed), 0);
    assert_ptr_equal(pushed, f);
    assert_int_equal(sotto__feed_push(f, x, 1, &err), SOTTO_EINVAL);
    sotto__feed_cancel(f);
    assert_int_equal(sotto__feed_take(f, at, 0, x, 512, &more), SOTTO__FEED_CANCELLED);
    sotto__feed_free(f);
}

static void levels_and_lag_are_told(void **state)
{
    sotto__feed *f;
    sotto_error err;
    sotto_stream_state s;
    float x[4800], nan_in[2] = {0, NAN};
    (void)state;
    for (size_t i = 0; i < 4800; i++) x[i] = i % 2 ? 0.1f : -0.1f;
    assert_int_equal(sotto__feed_create(&f, 48000, &err), SOTTO_OK);
    sotto__feed_get_state(f, &s);
    assert_true(s.level_db == -120 && s.pushed_s == 0);
    for (int i = 0; i < 10; i++) assert_int_equal(sotto__feed_push(f, x, 4800, &err), SOTTO_OK);
    assert_int_equal(sotto__feed_push(f, nan_in, 2, &err), SOTTO_EINVAL);
    sotto__feed_get_state(f, &s);
    assert_true(fabs(s.pushed_s - 1) < 1e-9);
    sotto__feed_free(f);
    assert_int_equal(sotto__feed_create(&f, 16000, &err), SOTTO_OK);
    assert_int_equal(sotto__feed_push(f, x, 4800, &err), SOTTO_OK);
    sotto__feed_release(f, 0, 512, 0.8, true);
    sotto__feed_get_state(f, &s);
    assert_true(fabs(s.level_db + 20) < 0.01);
    assert_true(fabs(s.heard_s - 0.032) < 1e-9 && s.speech && s.interval_s == 0.8);
    sotto__feed_free(f);
}

/* ---- whole streams -------------------------------------------------------------------------------------------- */

/* A hearing takes seconds under a sanitizer: fewer of them there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SLOW = 1 };
#else
enum { IS_SLOW = 0 };
#endif

static char model_dir[1024], vad_dir[1024];
static sotto_model *model;

/* The first channel of a recording of ../shared/audio, for free(). */
static float *load(const char *name, size_t *n, int32_t *rate)
{
    char path[1024];
    SF_INFO info = {0};
    snprintf(path, sizeof path, "%s/../shared/audio/%s", SOTTO_SOURCE_DIR, name);
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file) return NULL;
    *rate = info.samplerate;
    float *x = malloc(((size_t)info.frames + 1) * (size_t)info.channels * sizeof *x);
    assert_non_null(x);
    *n = (size_t)sf_readf_float(file, x, info.frames);
    sf_close(file);
    for (size_t i = 0; i < *n; i++) x[i] = x[i * (size_t)info.channels];
    return x;
}

typedef struct samples {
    float *data;
    size_t n, cap;
} samples;

static bool keep_samples(const float *x, size_t n, void *user)
{
    samples *all = user;
    assert_true(sotto__grow(&all->data, &all->cap, all->n + n, sizeof *all->data));
    memcpy(all->data + all->n, x, n * sizeof *x);
    all->n += n;
    return true;
}

typedef struct heard {
    sotto__str text;  /* confirmed */
    sotto__str times; /* of every confirmed word */
    size_t hearings, confirmed;
    double last_s;
    bool last;
    sotto_counts counts;
} heard;

static void take(sotto_stream *s, heard *h)
{
    const sotto_caption *c;
    sotto_error err;
    for (;;) {
        assert_int_equal(sotto_stream_next(s, 0, &c, &err), SOTTO_OK);
        if (!c) return;
        h->hearings++;
        h->counts = c->counts;
        assert_false(h->last);
        h->last = c->last;
        for (size_t i = 0; i < c->n_confirmed; i++) {
            const sotto_word *w = &c->confirmed[i];
            if (w->start_s < h->last_s || w->end_s < w->start_s)
                fail_msg("\"%s\" begins before its neighbour", w->text);
            if (w->end_s > c->heard_s + 0.5) fail_msg("\"%s\" ends behind what was heard", w->text);
            h->last_s = w->end_s;
            assert_true(sotto__str_puts(&h->text, w->text));
            assert_true(sotto__str_printf(&h->times, "%s %.2f %.2f\n", w->text, w->start_s, w->end_s));
        }
        h->confirmed += c->n_confirmed;
        if (c->last) assert_int_equal(c->n_tentative, 0);
    }
}

/* In pushes of up to `most` samples, drawn at random; most = 0: all at once. */
static heard listen(const float *x, size_t n, int32_t rate, size_t most, uint64_t seed)
{
    sotto_stream_options o;
    sotto_stream *s;
    sotto_error err;
    heard h = {0};
    sotto_stream_options_default(&o);
    o.vad_path = vad_dir;
    o.every_interval = true;
    o.sample_rate = rate;
    assert_int_equal(sotto_stream_open(&s, model, &o, &err), SOTTO_OK);
    for (size_t at = 0; at < n;) {
        size_t k = most ? (size_t)((signal_random(&seed) * 0.5 + 0.5) * (double)most) + 1 : n;
        if (k > n - at) k = n - at;
        assert_int_equal(sotto_stream_push(s, x + at, k, &err), SOTTO_OK);
        at += k;
        take(s, &h);
    }
    sotto_stream_end(s);
    take(s, &h);
    assert_true(h.last);
    sotto_stream_free(s);
    assert_true(sotto__str_puts(&h.text, ""));
    assert_true(sotto__str_puts(&h.times, ""));
    return h;
}

static void forget(heard *h)
{
    sotto__str_free(&h->text);
    sotto__str_free(&h->times);
}

static void any_chunking_confirms_the_same_words(void **state)
{
    size_t n = 0;
    int32_t rate = 0;
    float *x = model ? load("jfk.wav", &n, &rate) : NULL;
    (void)state;
    if (!x) skip();
    if (IS_SLOW) n = (size_t)(3.2 * rate);
    heard want = listen(x, n, rate, 320, 1);
    if (!IS_SLOW && (!strstr(want.text.data, "country can do for you") || !strstr(want.text.data, "fellow Americans")))
        fail_msg("heard \"%s\"", want.text.data);
    /* Every hearing takes what it can of the log-mel of the one before. */
    assert_true(want.counts.mel_frames_reused > want.counts.mel_frames_computed);
    for (uint64_t seed = 2; seed < (IS_SLOW ? 3 : 5); seed++) {
        heard got = listen(x, n, rate, seed == 2 ? 0 : seed == 3 ? 120000 : 700, seed);
        assert_string_equal(got.times.data, want.times.data);
        assert_int_equal(got.hearings, want.hearings);
        forget(&got);
    }
    forget(&want);
    free(x);
}

static void check_same_hypothesis(const sotto__hypothesis *a, const sotto__hypothesis *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->tokens.len, b->tokens.len);
    assert_int_equal(a->text.len, b->text.len);
    if (!a->n) return;
    assert_memory_equal(a->tokens.data, b->tokens.data, a->tokens.len * sizeof *a->tokens.data);
    assert_memory_equal(a->text.data, b->text.data, a->text.len);
    for (size_t i = 0; i < a->n; i++)
        if (a->words[i].start_s != b->words[i].start_s || a->words[i].end_s != b->words[i].end_s ||
            a->words[i].probability != b->words[i].probability)
            fail_msg("word %zu: %.17g … %.17g, p %.17g; from the beginning %.17g … %.17g, p %.17g", i,
                     a->words[i].start_s, a->words[i].end_s, a->words[i].probability, b->words[i].start_s,
                     b->words[i].end_s, b->words[i].probability);
}

/* What a hearer hears that reuses log-mel frames, and one to which every window is new, to the bit: a window that
 * grows, and one whose beginning is cut off. */
static void reused_frames_change_no_hypothesis(void **state)
{
    enum { STEP = 6553, CUT = 16000 * 3 / 2, KNOWN = 0, NEW = 1 };
    samples x = {0};
    sotto_stream_options o;
    sotto__runtime *rt[2];
    sotto__hearer *hearer[2];
    sotto__hypothesis found[2] = {0};
    sotto__frontier nothing = {0};
    size_t n_words = 0;
    sotto_error err;
    (void)state;
    if (!model || sotto_audio_read(SOTTO_SOURCE_DIR "/../shared/audio/jfk.wav", keep_samples, &x, &err) != SOTTO_OK)
        skip();
    sotto_stream_options_default(&o);
    for (size_t k = KNOWN; k <= NEW; k++) {
        assert_int_equal(sotto__runtime_open(&rt[k], model, &err), SOTTO_OK);
        assert_int_equal(sotto__hearer_create(&hearer[k], rt[k], &o, &err), SOTTO_OK);
    }
    for (size_t i = 0; i < (IS_SLOW ? 4 : 16); i++) {
        const size_t from = i < (IS_SLOW ? 2 : 8) ? 0 : CUT, end = 2 * CUT + i * STEP;
        for (size_t k = KNOWN; k <= NEW; k++) {
            sotto__verdict verdict;
            /* No position of one hearing is in another's window. */
            const uint64_t start = from + (k == NEW ? (uint64_t)i << 32 : 0);
            const sotto__hearing ask = {.samples = x.data + from, .n = end - from, .start = start, .before = &nothing};
            assert_int_equal(sotto__hear(hearer[k], &ask, &found[k], &verdict, &err), SOTTO_OK);
        }
        check_same_hypothesis(&found[KNOWN], &found[NEW]);
        n_words += found[KNOWN].n;
    }
    assert_true(n_words > 10);
    const sotto_counts *known = sotto__runtime_counts(rt[KNOWN]), *new = sotto__runtime_counts(rt[NEW]);
    assert_int_equal(new->mel_frames_reused, 0);
    assert_true(known->mel_frames_reused > 2 * known->mel_frames_computed || IS_SLOW);
    assert_true(known->mel_frames_reused > 0);
    assert_int_equal(known->mel_frames_reused + known->mel_frames_computed, new->mel_frames_computed);
    for (size_t k = KNOWN; k <= NEW; k++) {
        sotto__hypothesis_free(&found[k]);
        sotto__hearer_free(hearer[k]);
        sotto__runtime_free(rt[k]);
    }
    free(x.data);
}

/* What is said after a pause that was heard already, and is over before the next hearing: a phrase, 0.3 s of nothing,
 * a phrase, and the end of the utterance, with an interval longer than all of it. */
static void words_between_pauses_are_not_lost(void **state)
{
    size_t n = 0, at = 0;
    int32_t rate = 0;
    float *x = model ? load("jfk.wav", &n, &rate) : NULL, *y;
    sotto_stream_options o;
    sotto_stream *s;
    sotto_error err;
    heard h = {0};
    (void)state;
    if (!x) skip();
    /* "ask not" 3.3 … 4.5 s, "what your country can do for you" 5.3 … 7.9 s */
    const double pieces[][2] = {{3.25, 4.55}, {5.3, 7.95}};
    y = calloc(n * 2, sizeof *y);
    assert_non_null(y);
    for (size_t k = 0; k < 2; k++) {
        const size_t from = (size_t)(pieces[k][0] * rate), to = (size_t)(pieces[k][1] * rate);
        memcpy(y + at, x + from, (to - from) * sizeof *y);
        at += to - from + (size_t)((k ? 2.0 : 0.15) * rate);
    }
    sotto_stream_options_default(&o);
    o.vad_path = vad_dir;
    o.sample_rate = rate;
    o.every_interval = true;
    o.interval_s = 10;
    assert_int_equal(sotto_stream_open(&s, model, &o, &err), SOTTO_OK);
    for (size_t i = 0; i < at; i += 1000) {
        assert_int_equal(sotto_stream_push(s, y + i, at - i < 1000 ? at - i : 1000, &err), SOTTO_OK);
        take(s, &h);
    }
    sotto_stream_end(s);
    take(s, &h);
    if (!strstr(h.text.data, "country can do for you")) fail_msg("heard \"%s\"", h.text.data);
    sotto_stream_free(s);
    forget(&h);
    free(x);
    free(y);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strcasestr(text, what)); text++) n++;
    return n;
}

/* A phrase, silence that ends its utterance, a phrase: each is said once, and times are those of the whole. */
static void an_utterance_that_goes_on_is_said_once(void **state)
{
    static const double silences[] = {0.9, 1.6, 3.0};
    size_t n;
    int32_t rate;
    float *x = model ? load("jfk.wav", &n, &rate) : NULL;
    (void)state;
    if (!x) skip();
    for (size_t k = 0; k < (IS_SLOW ? 1 : 3); k++) {
        const size_t a = (size_t)(3.25 * rate), b = (size_t)(4.55 * rate), c = (size_t)(5.3 * rate),
                     d = (size_t)(7.95 * rate), quiet = (size_t)(silences[k] * rate), end = (size_t)(3.0 * rate);
        float *y = calloc(b - a + quiet + d - c + end, sizeof *y);
        assert_non_null(y);
        memcpy(y, x + a, (b - a) * sizeof *y);
        memcpy(y + (b - a) + quiet, x + c, (d - c) * sizeof *y);
        heard h = listen(y, b - a + quiet + d - c + end, rate, 700, k);
        if (count(h.text.data, "not") != 1 || count(h.text.data, "country can do for you") != 1)
            fail_msg("%.1f s: heard \"%s\"", silences[k], h.text.data);
        assert_true(h.last_s > 1.3 + silences[k] + 2.0 && h.last_s < 1.3 + silences[k] + 3.3);
        forget(&h);
        free(y);
    }
    free(x);
}

static void silence_and_noise_say_nothing(void **state)
{
    enum { N = 40 * 16000 };
    float *x = calloc(N, sizeof *x);
    uint64_t seed = 7;
    (void)state;
    assert_non_null(x);
    if (!model) {
        free(x);
        skip();
    }
    for (size_t i = N / 4; i < N; i++) { /* silence, noise, a chord that swells, clicks */
        const double t = (double)i / 16000;
        if (i < N / 2)
            x[i] = (float)(0.05 * signal_random(&seed));
        else if (i < N * 3 / 4)
            x[i] = (float)(0.2 * sin(2 * PI * 0.3 * t) *
                           (sin(2 * PI * 220 * t) + sin(2 * PI * 277.2 * t) + sin(2 * PI * 329.6 * t)) / 3);
        else
            x[i] = i % 8000 < 20 ? 0.9f : 0;
    }
    heard h = listen(x, N, 16000, 16000, 3);
    if (h.confirmed) fail_msg("heard \"%s\"", h.text.data);
    forget(&h);
    free(x);
}

static void recordings_without_speech_say_nothing(void **state)
{
    glob_t found;
    (void)state;
    if (!model || glob(SOTTO_SOURCE_DIR "/../shared/audio/nonspeech/*.flac", 0, NULL, &found) != 0) skip();
    assert_true(found.gl_pathc > 10);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        size_t n;
        int32_t rate;
        float *x = load(strstr(found.gl_pathv[i], "nonspeech/"), &n, &rate);
        assert_non_null(x);
        heard h = listen(x, n, rate, 8000, i);
        if (h.confirmed) fail_msg("%s: heard \"%s\"", found.gl_pathv[i], h.text.data);
        forget(&h);
        free(x);
    }
    globfree(&found);
}

/* 44 s that came while nobody heard: utterances are heard once each, or, where pauses do not end them, windows of
 * 24 s. */
static void late_hearings_lose_no_audio(void **state)
{
    static const char *const phrases[] = {
        "best of times",   "worst of times",     "age of wisdom",     "age of foolishness",
        "season of",       "spring of hope",     "winter of despair", "everything before us",
        "going direct to", "the present period", "superlative degree"};
    static const double silences[] = {0.5, 10};
    size_t n;
    int32_t rate;
    float *x = model ? load("two_cities.wav", &n, &rate) : NULL;
    (void)state;
    if (!x) skip();
    for (size_t k = IS_SLOW; k < 2; k++) {
        sotto_stream_options o;
        sotto_stream *s;
        sotto_error err;
        sotto_stream_state now = {.size = sizeof now};
        heard h = {0};
        sotto_stream_options_default(&o);
        o.vad_path = vad_dir;
        o.language = "english";
        o.sample_rate = rate;
        o.silence_s = silences[k];
        assert_int_equal(sotto_stream_open(&s, model, &o, &err), SOTTO_OK);
        assert_int_equal(sotto_stream_push(s, x, n, &err), SOTTO_OK);
        sotto_stream_end(s);
        take(s, &h);
        sotto_stream_get_state(s, &now);
        assert_true(h.last);
        if (h.hearings > 40) fail_msg("%zu hearings", h.hearings);
        assert_true(fabs(now.pushed_s - (double)n / rate) < 1e-6 && now.heard_s == now.pushed_s);
        for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
            if (!strstr(h.text.data, phrases[i])) fail_msg("\"%s\" is not in \"%s\"", phrases[i], h.text.data);
        sotto_stream_free(s);
        forget(&h);
    }
    free(x);
}

static void wrong_options_are_named(void **state)
{
    static const struct {
        const char *vad, *language;
        int32_t rate;
        double interval, silence, window;
        sotto_task task;
        const char *named;
    } cases[] = {{NULL, NULL, 16000, 0, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "vad_path"},
                 {"/nonexistent", NULL, 16000, 0, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "/nonexistent"},
                 {"", NULL, 16000, 0, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "vad_path"},
                 {"v", NULL, 7999, 0, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "sample_rate"},
                 {"v", NULL, 16000, 0.01, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "interval_s"},
                 {"v", NULL, 16000, NAN, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "interval_s"},
                 {"v", NULL, 16000, 0, 0, 8, SOTTO_TASK_TRANSCRIBE, "silence_s"},
                 {"v", NULL, 16000, 0, 0.5, 1, SOTTO_TASK_TRANSCRIBE, "window_s"},
                 {"v", "klingon", 16000, 0, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "klingon"},
                 {"v", "de", 16000, 0, 0.5, 8, SOTTO_TASK_TRANSCRIBE, "English only"},
                 {"v", NULL, 16000, 0, 0.5, 8, SOTTO_TASK_TRANSLATE, "translate"}};
    (void)state;
    if (!model) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sotto_stream_options o;
        sotto_stream *s;
        sotto_error err = {0};
        sotto_stream_options_default(&o);
        o.vad_path = cases[i].vad;
        o.language = cases[i].language;
        o.sample_rate = cases[i].rate;
        o.interval_s = cases[i].interval;
        o.silence_s = cases[i].silence;
        o.window_s = cases[i].window;
        o.task = cases[i].task;
        assert_int_not_equal(sotto_stream_open(&s, model, &o, &err), SOTTO_OK);
        assert_null(s);
        if (!strstr(err.message, cases[i].named)) fail_msg("\"%s\" does not name %s", err.message, cases[i].named);
    }
}

static void streams_end_and_cancel(void **state)
{
    sotto_stream_options o;
    sotto_stream *s;
    sotto_error err;
    const sotto_caption *c;
    const float x[600] = {0};
    (void)state;
    if (!model) skip();
    sotto_stream_options_default(&o);
    o.vad_path = vad_dir;
    assert_int_equal(sotto_stream_open(&s, model, &o, &err), SOTTO_OK);
    assert_int_equal(sotto_stream_next(s, 0.01, &c, &err), SOTTO_OK);
    assert_null(c); /* nothing came */
    assert_int_equal(sotto_stream_push(s, x, 600, &err), SOTTO_OK);
    sotto_stream_end(s);
    assert_int_equal(sotto_stream_push(s, x, 600, &err), SOTTO_EINVAL);
    assert_int_equal(sotto_stream_next(s, 10, &c, &err), SOTTO_OK);
    assert_non_null(c);
    assert_true(c->last && c->n_confirmed == 0 && c->n_tentative == 0);
    assert_int_equal(sotto_stream_next(s, 10, &c, &err), SOTTO_OK);
    assert_null(c); /* it has ended */
    sotto_stream_free(s);
    assert_int_equal(sotto_stream_open(&s, model, &o, &err), SOTTO_OK);
    sotto_stream_cancel(s);
    assert_int_equal(sotto_stream_next(s, 10, &c, &err), SOTTO_ECANCELLED);
    assert_null(c);
    sotto_stream_free(s);
}

static int open_model(void **state)
{
    const char *models = getenv("SOTTO_MODELS");
    sotto_error err;
    (void)state;
    if (!models) models = SOTTO_SOURCE_DIR "/models";
    snprintf(model_dir, sizeof model_dir, "%s/tiny.en", models);
    snprintf(vad_dir, sizeof vad_dir, "%s/silero-vad", models);
    if (access(model_dir, R_OK) == 0 && access(vad_dir, R_OK) == 0 &&
        sotto_model_open(&model, model_dir, NULL, &err) != SOTTO_OK)
        return -1;
    if (!model)
        fprintf(stderr, "skipped: streams, tiny.en or silero-vad is not there (models/fetch tiny.en silero-vad)\n");
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    sotto_model_free(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_agree_but_for_case_and_punctuation),
        cmocka_unit_test(two_hypotheses_in_a_row_confirm),
        cmocka_unit_test(the_improbable_waits),
        cmocka_unit_test(windows_are_cut_at_sentence_ends),
        cmocka_unit_test(punctuation_joins_its_word_in_a_caption),
        cmocka_unit_test(utterances_begin_with_speech_and_end_with_silence),
        cmocka_unit_test(samples_pass_between_threads_in_order),
        cmocka_unit_test(levels_and_lag_are_told),
        cmocka_unit_test(any_chunking_confirms_the_same_words),
        cmocka_unit_test(reused_frames_change_no_hypothesis),
        cmocka_unit_test(words_between_pauses_are_not_lost),
        cmocka_unit_test(an_utterance_that_goes_on_is_said_once),
        cmocka_unit_test(silence_and_noise_say_nothing),
        cmocka_unit_test(recordings_without_speech_say_nothing),
        cmocka_unit_test(late_hearings_lose_no_audio),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(streams_end_and_cancel),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
