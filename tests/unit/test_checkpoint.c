/* SPDX-License-Identifier: MIT
 * Interrupted transcriptions: from every checkpoint of a call another goes on to the same result, to the bit, and
 * computes what is left only; lines of something else are refused. On a model of random weights. */
#include "sound.h"

#include "base/checked.h"
#include "text/checkpoint.h"
#include "text/parallel.h"
#include "text/transcript.h"
#include "tiny_model.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ /* many times slower */
enum { CHECKS = 1 };
#else
enum { CHECKS = 12 };
#endif
enum { RATE = SOTTO__SAMPLE_RATE, SECONDS = 70, LINES = 1000 };

static char dir[2][256], path[2][512]; /* of the English and the multilingual model */

#define PART(first, last)                                                                                              \
    {                                                                                                                  \
        .begin = first, .end = last                                                                                    \
    }
static const sotto__part parts[] = {PART(50, 210), PART(210, 2400), PART(2400, 6000), PART(6100, 6500)};
enum { PARTS = sizeof parts / sizeof *parts };

typedef struct bench {
    sotto_model *model;
    sotto__features *f;
    sotto__runtime *rt;
    sotto_options o;
    size_t n_parts; /* 0: window after window */
} bench;

static bench set_up(int which, size_t n_parts)
{
    sotto_error err = {0};
    bench b = {.n_parts = n_parts};
    float *x = signal_mixed((size_t)SECONDS * RATE, RATE, 5);
    if (sotto_model_open(&b.model, path[which], NULL, &err) != SOTTO_OK) fail_msg("%s", err.message);
    b.f = features_of(x, (size_t)SECONDS * RATE, 80);
    free(x);
    assert_int_equal(sotto__runtime_open(&b.rt, b.model, &err), SOTTO_OK);
    sotto_options_default(&b.o);
    b.o.temperature_increment = 0; /* random weights look wrong: no window would be good enough */
    b.o.no_speech_threshold = NAN;
    b.o.word_timestamps = true;
    b.o.checkpoints = true;
    return b;
}

static void tear_down(bench *b)
{
    sotto__runtime_free(b->rt);
    sotto__features_free(b->f);
    sotto_model_free(b->model);
}

/* What on_progress was told. */
typedef struct told {
    char *lines[LINES];
    size_t n, calls;
    sotto__str text;
} told;

static bool tell(const sotto_progress *p, void *user)
{
    told *t = user;
    t->calls++;
    assert_true(sotto__str_puts(&t->text, p->text));
    if (!p->checkpoint) return true;
    assert_true(t->n < LINES);
    assert_null(strchr(p->checkpoint, '\n'));
    t->lines[t->n++] = strdup(p->checkpoint);
    return true;
}

static void drop(told *t)
{
    for (size_t i = 0; i < t->n; i++) free(t->lines[i]);
    sotto__str_free(&t->text);
    *t = (told){0};
}

static sotto_status run(bench *b, const char *resume, told *heard, sotto__transcript **out, sotto_error *err)
{
    *sotto__runtime_counts(b->rt) = (sotto_counts){0};
    assert_int_equal(sotto__transcript_create(out, err), SOTTO_OK);
    b->o.resume = resume;
    b->o.on_progress = tell;
    b->o.user = heard;
    return b->n_parts ? sotto__transcribe_parts(b->rt, b->f, &b->o, parts, b->n_parts, 3, *out, err)
                      : sotto__transcribe(b->rt, b->f, &b->o, *out, err);
}

/* All but the addresses. */
static void same(const sotto__transcript *a, const sotto__transcript *b)
{
    sotto_result x = {0}, y = {0};
    sotto__transcript_view(a, &x);
    sotto__transcript_view(b, &y);
    assert_string_equal(x.text, y.text);
    assert_string_equal(x.language, y.language);
    assert_true(x.language_probability == y.language_probability);
    assert_int_equal(x.n_segments, y.n_segments);
    for (size_t i = 0; i < x.n_segments; i++) {
        const sotto_segment *s = &x.segments[i], *t = &y.segments[i];
        assert_int_equal(s->id, t->id);
        assert_int_equal(s->seek_frames, t->seek_frames);
        assert_true(s->start_s == t->start_s && s->end_s == t->end_s && s->temperature == t->temperature &&
                    s->avg_logprob == t->avg_logprob && s->compression_ratio == t->compression_ratio &&
                    s->no_speech_prob == t->no_speech_prob);
        assert_string_equal(s->text, t->text);
        assert_int_equal(s->n_tokens, t->n_tokens);
        assert_memory_equal(s->tokens, t->tokens, s->n_tokens * sizeof *s->tokens);
        assert_memory_equal(s->token_logprobs, t->token_logprobs, s->n_tokens * sizeof *s->token_logprobs);
        assert_int_equal(s->n_words, t->n_words);
        for (size_t w = 0; w < s->n_words; w++) {
            assert_string_equal(s->words[w].text, t->words[w].text);
            assert_true(s->words[w].start_s == t->words[w].start_s && s->words[w].end_s == t->words[w].end_s &&
                        s->words[w].probability == t->words[w].probability);
        }
    }
}

static void check_every_checkpoint(int which, size_t n_parts)
{
    sotto_error err = {0};
    bench b = set_up(which, n_parts);
    told all = {0}, rest = {0};
    sotto__transcript *whole, *again;
    sotto__str lines = {0};
    if (run(&b, NULL, &all, &whole, &err) != SOTTO_OK) fail_msg("%s", err.message);
    const sotto_counts full = *sotto__runtime_counts(b.rt);
    assert_int_equal(all.n, all.calls);
    assert_true(n_parts ? all.n == n_parts : all.n >= 3);
    for (size_t k = 0; k < all.n; k++) {
        assert_true(sotto__str_puts(&lines, all.lines[k]) && sotto__str_puts(&lines, "\n"));
        if (k % (all.n / CHECKS + 1) != 0 && k + 1 != all.n) continue;
        if (run(&b, lines.data, &rest, &again, &err) != SOTTO_OK) fail_msg("line %zu: %s", k, err.message);
        const sotto_counts *c = sotto__runtime_counts(b.rt);
        same(whole, again);
        assert_string_equal(rest.text.data ? rest.text.data : "", all.text.data ? all.text.data : "");
        assert_int_equal(rest.n, all.n - k - 1);
        assert_int_equal(rest.calls, all.n - k);
        for (size_t i = 0; i < rest.n; i++) assert_string_equal(rest.lines[i], all.lines[k + 1 + i]);
        assert_true(c->resumed_s > 0 && c->resumed_s <= SECONDS + 30);
        if (k + 1 == all.n)
            assert_int_equal(c->windows, 0);
        else
            assert_true(c->windows > 0 && c->windows < full.windows && c->tokens_kept <= full.tokens_kept);
        drop(&rest);
        sotto__transcript_free(again);
    }
    sotto__str_free(&lines);
    sotto__transcript_free(whole);
    drop(&all);
    tear_down(&b);
}

static void test_window_after_window(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) check_every_checkpoint(which, 0);
}

static void test_in_parts(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) check_every_checkpoint(which, PARTS);
}

static void refused(bench *b, const char *resume)
{
    sotto_error err = {0};
    told heard = {0};
    sotto__transcript *t;
    assert_int_equal(run(b, resume, &heard, &t, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "resume"));
    assert_int_equal(heard.calls, 0);
    drop(&heard);
    sotto__transcript_free(t);
}

static void test_what_is_not_its_own(void **state)
{
    sotto_error err = {0};
    bench b = set_up(0, PARTS), other = set_up(1, PARTS);
    told all = {0};
    sotto__transcript *whole;
    (void)state;
    if (run(&b, NULL, &all, &whole, &err) != SOTTO_OK) fail_msg("%s", err.message);
    char *line = all.lines[0];
    refused(&other, line); /* another model */
    b.n_parts = PARTS - 1;
    refused(&b, line); /* another way to cut it */
    b.n_parts = 0;
    refused(&b, line);
    b.n_parts = PARTS;
    refused(&b, "");
    refused(&b, "\n");
    refused(&b, "no JSON\n");
    refused(&b, "{}\n");
    for (size_t n = strlen(line); n-- > 0;) { /* every line that was cut */
        line[n] = '\0';
        if (n % 7 == 0) refused(&b, line);
    }
    sotto__transcript_free(whole);
    drop(&all);
    tear_down(&b);
    tear_down(&other);
}

static int setup(void **state)
{
    tiny_model tiny = tiny_default;
    (void)state;
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
        cmocka_unit_test(test_window_after_window),
        cmocka_unit_test(test_in_parts),
        cmocka_unit_test(test_what_is_not_its_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
