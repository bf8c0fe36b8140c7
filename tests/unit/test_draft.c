/* SPDX-License-Identifier: MIT
 * Drafts: what is proposed while a draft is followed; and that whatever is proposed, the tokens and their probabilities
 * are those of plain greedy decoding to the bit: on a toy model, a small random model and, where they are at hand
 * (models/tiny.en, recordings in $SOTTO_RECORDINGS or ../shared/audio), real weights. */
#include "cmocka_all.h"

#include "model/runtime.h"
#include "text/draft.h"
#include "text/search.h"
#include "text/window.h"
#include "tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- proposals ------------------------------------------------------------------------------------------------ */

enum { EOT = 100, BEGIN = 200, T = BEGIN }; /* text below EOT, times from T on */

#define LIST(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

static sotto__drafter drafter_of(const int32_t *draft, size_t n)
{
    return (sotto__drafter){.draft = draft, .n_draft = n, .timestamps = true, .eot = EOT, .timestamp_begin = BEGIN};
}

static void begin(sotto__drafter *d, size_t window)
{
    assert_int_equal(sotto__drafter_begin(d, window, LIST(150), 64, NULL), SOTTO_OK);
}

static void take(sotto__drafter *d, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++) sotto__drafter_take(d, tokens[i]);
}

static void expect(sotto__drafter *d, const int32_t *tokens, size_t n)
{
    size_t got;
    const int32_t *p = sotto__drafter_propose(d, SOTTO__DRAFT_MOST, &got);
    if (got != n) fail_msg("%zu tokens proposed, expected %zu", got, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(p[i], tokens[i]);
}

static void expect_none(sotto__drafter *d) { expect(d, NULL, 0); }

static void drafts_are_followed(void **state)
{
    sotto__drafter d = drafter_of(LIST(T, 1, 2, 3, T + 50, T + 50, 4, 5, 6, 7, 8, 9, T + 80));
    (void)state;
    begin(&d, 0);
    expect(&d, LIST(T, 1, 2, 3, T + 50, T + 50, 4));
    take(&d, LIST(T, 1, 2, 3));
    expect(&d, LIST(T + 50, T + 50, 4, 5, 6, 7, 8));
    take(&d, LIST(T + 52, T + 52)); /* times move */
    expect(&d, LIST(4, 5, 6, 7, 8, 9, T + 80));
    take(&d, LIST(4, 5, 33)); /* one word for another: believed less */
    expect(&d, LIST(7, 8, 9));
    take(&d, LIST(34));
    expect(&d, LIST(8));
    take(&d, LIST(35));
    expect_none(&d);
    take(&d, LIST(6, 7)); /* found again */
    expect(&d, LIST(8, 9));
    take(&d, LIST(8, 9));
    expect(&d, LIST(T + 80));
    take(&d, LIST(T + 80));
    expect_none(&d);
    take(&d, LIST(1, 2, 3, 4, 5));
    expect(&d, LIST(6, 7, 8, 9, T + 80));
    sotto__drafter_free(&d);
}

static void words_more_or_less_are_passed(void **state)
{
    sotto__drafter d = drafter_of(LIST(T, 1, 2, 3, 4, 5, T + 9, T + 9, 6, 7, 8, 9, 10, 11, 12));
    (void)state;
    begin(&d, 0);
    take(&d, LIST(T, 1, 3)); /* without the 2 */
    expect(&d, LIST(4));
    take(&d, LIST(4, 5));
    expect(&d, LIST(T + 9, T + 9, 6));
    take(&d, LIST(6, 7)); /* without the times */
    expect(&d, LIST(8, 9, 10, 11, 12));
    take(&d, LIST(60, 8, 9)); /* with a 60 */
    expect(&d, LIST(10, 11));
    take(&d, LIST(T + 20, T + 20)); /* with times */
    expect(&d, LIST(10, 11));
    sotto__drafter_free(&d);
}

/* Nearest of several places that agree as well. */
static void places_nearby_are_preferred(void **state)
{
    sotto__drafter d = drafter_of(LIST(1, 2, 20, 3, 4, 5, 6, 1, 2, 21, 7, 8, 9, 1, 2, 22, 7, 8));
    (void)state;
    begin(&d, 0);
    take(&d, LIST(1, 2, 20, 3, 4, 40, 41, 42, 1, 2));
    expect(&d, LIST(21, 7));
    sotto__drafter_free(&d);
}

static void proposals_end_at_other_tokens(void **state)
{
    sotto__drafter d = drafter_of(LIST(T, 1, 2, EOT, 3, T + 5, 4, 5));
    (void)state;
    begin(&d, 0);
    expect(&d, LIST(T, 1, 2));
    take(&d, LIST(T, 1, 2));
    expect_none(&d);
    take(&d, LIST(3));
    expect(&d, LIST(T + 5));
    d.timestamps = false;
    expect(&d, LIST(4));
    sotto__drafter_free(&d);
}

/* The same window again (its tail in full) starts over; the next one goes on, carefully. */
static void windows_start_where_the_last_ended(void **state)
{
    sotto__drafter d = drafter_of(LIST(T, 1, 2, T + 9, T, 3, 4, 5));
    (void)state;
    begin(&d, 0);
    take(&d, LIST(T, 1, 2, T + 9));
    begin(&d, 0);
    expect(&d, LIST(T, 1, 2, T + 9, T, 3, 4));
    take(&d, LIST(T, 1, 2, T + 9));
    begin(&d, 700);
    expect(&d, LIST(T));
    take(&d, LIST(T, 3));
    expect(&d, LIST(4, 5));
    begin(&d, 700);
    expect(&d, LIST(T));
    sotto__drafter_free(&d);
}

static void text_is_looked_up(void **state)
{
    sotto__drafter d = drafter_of(NULL, 0);
    (void)state;
    d.lookup = true;
    begin(&d, 0);
    expect_none(&d);
    take(&d, LIST(T, 1, 2, 3, 4, 5, T + 9, T + 9, 2, 3)); /* two agree */
    expect(&d, LIST(4, 5));
    take(&d, LIST(4));
    expect(&d, LIST(5));     /* three agree, but times do not come again */
    take(&d, LIST(8, 2, 3)); /* the latest of two */
    expect(&d, LIST(4, 8));
    take(&d, LIST(9, 3));
    expect_none(&d);
    sotto__drafter_free(&d);
}

/* ---- a toy model ---------------------------------------------------------------------------------------------- */

enum { VOCAB = 24, TOY_EOT = 9, TOY_BEGIN = 12, CONTEXT = 40, LENGTH = 20 };

static const sotto__rules toy_rules = {
    .specials = {.n_vocab = VOCAB, .eot = TOY_EOT, .no_timestamps = 10, .no_speech = 11, .timestamp_begin = TOY_BEGIN},
    .timestamps = true,
    .max_initial_timestamp = 3};

/* The logits after n tokens: a hash. */
static void toy_row(uint32_t seed, const int32_t *tokens, size_t n, float *row)
{
    uint32_t h = seed * UINT32_C(2654435761) + 12345;
    for (size_t i = 0; i < n; i++) h = (h ^ ((uint32_t)tokens[i] + 1)) * UINT32_C(16777619);
    for (size_t v = 0; v < VOCAB; v++) {
        h = h * UINT32_C(1664525) + UINT32_C(1013904223);
        row[v] = (float)(h >> 16) / 8192.0F;
    }
    row[TOY_EOT] -= 2; /* longer */
}

/* Drives a search as a decoder with a cache would; counts its passes. */
static sotto__search_result toy_run(sotto__search *s, sotto__drafter *d, uint32_t seed, size_t n_prompt, size_t *passes)
{
    static const int32_t prompt[CONTEXT];
    static float logits[(1 + SOTTO__DRAFT_MOST) * VOCAB];
    int32_t cache[CONTEXT];
    size_t n = 0;
    sotto__search_options o = {.rules = &toy_rules,
                               .prompt = prompt,
                               .n_prompt = n_prompt,
                               .sot_index = n_prompt - 1,
                               .n_ctx = CONTEXT,
                               .sample_len = LENGTH,
                               .width = 1,
                               .patience = 1,
                               .length_penalty = NAN,
                               .drafter = d};
    *passes = 0;
    assert_int_equal(sotto__search_start(s, &o, NULL), SOTTO_OK);
    for (sotto__search_ask ask = sotto__search_next(s); ask.n; ask = sotto__search_next(s)) {
        assert_true(ask.drop <= n);
        n -= ask.drop;
        assert_true(n + ask.n_tokens <= CONTEXT);
        for (size_t i = 0; i < ask.n_tokens; i++) {
            cache[n++] = ask.tokens[i];
            if (i + ask.n_logits >= ask.n_tokens)
                toy_row(seed, cache, n, logits + (i + ask.n_logits - ask.n_tokens) * VOCAB);
        }
        sotto__search_feed(s, logits);
        ++*passes;
    }
    return sotto__search_result_of(s);
}

static uint64_t rng;

static size_t below(size_t n) { return (size_t)(sotto__random(&rng) * (double)n); }

/* A draft made of the right tokens: as they are, with some replaced, left out or put in, of nothing but noise, with
 * more behind its end, or empty. */
static size_t make_draft(const int32_t *right, size_t n, int32_t n_vocab, int32_t eot, int32_t *draft)
{
    const size_t kind = below(7);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const bool hit = below(5) == 0;
        if (kind == 1 && hit) continue;
        if (kind == 2 && hit) draft[m++] = (int32_t)below((size_t)n_vocab);
        draft[m++] = (kind == 3 && hit) || kind == 4 ? (int32_t)below((size_t)n_vocab) : right[i];
    }
    if (kind == 5) draft[m++] = eot;
    if (kind == 5 || kind == 0)
        for (size_t i = below(9); i > 0; i--) draft[m++] = (int32_t)below((size_t)n_vocab);
    return kind == 6 ? 0 : m;
}

static void any_draft_changes_nothing(void **state)
{
    enum { ROUNDS = 5000 };
    sotto__search *s;
    uint64_t accepted = 0, rejected = 0, ended = 0, saved = 0;
    (void)state;
    rng = 11;
    assert_int_equal(sotto__search_create(&s, NULL), SOTTO_OK);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const size_t n_prompt = 1 + below(CONTEXT);
        int32_t tokens[LENGTH], draft[4 * LENGTH];
        size_t plain_passes, passes, n_draft;
        sotto__search_result plain = toy_run(s, NULL, round, n_prompt, &plain_passes), r;
        memcpy(tokens, plain.tokens, plain.n_tokens * sizeof *tokens);
        n_draft = make_draft(tokens, plain.n_tokens, VOCAB, TOY_EOT, draft);
        sotto__drafter d = {.draft = draft,
                            .n_draft = n_draft,
                            .timestamps = below(8) != 0,
                            .lookup = below(2) != 0,
                            .eot = TOY_EOT,
                            .timestamp_begin = TOY_BEGIN};
        assert_int_equal(sotto__drafter_begin(&d, 0, tokens, 0, LENGTH, NULL), SOTTO_OK);
        r = toy_run(s, &d, round, n_prompt, &passes);
        if (r.n_tokens != plain.n_tokens) fail_msg("round %u: %zu tokens of %zu", round, r.n_tokens, plain.n_tokens);
        assert_memory_equal(r.tokens, tokens, r.n_tokens * sizeof *tokens);
        assert_memory_equal(&r.sum_logprob, &plain.sum_logprob, sizeof r.sum_logprob);
        assert_memory_equal(&r.no_speech_prob, &plain.no_speech_prob, sizeof r.no_speech_prob);
        assert_int_equal(r.tokens_decoded, plain.tokens_decoded);
        assert_int_equal(passes + r.draft_tokens_accepted, plain_passes);
        accepted += r.draft_tokens_accepted;
        rejected += r.draft_tokens_proposed - r.draft_tokens_accepted;
        ended += r.n_tokens + 1 == r.tokens_decoded;
        saved += plain_passes - passes;
        sotto__drafter_free(&d);
    }
    /* all of it came up */
    assert_true(accepted > ROUNDS && rejected > ROUNDS && saved > ROUNDS);
    assert_true(ended > ROUNDS / 10 && ended < ROUNDS);
    sotto__search_free(s);
}

/* ---- decoding windows ----------------------------------------------------------------------------------------- */

struct outcome {
    int32_t tokens[224];
    size_t n;
    double avg_logprob, no_speech_prob;
    sotto_counts counts;
};

struct fixture {
    sotto_model *model;
    sotto__runtime *rt;
    sotto__window *window;
    sotto__rules rules;
};

static void open_fixture(struct fixture *x, const char *path)
{
    sotto_error err = {0};
    if (sotto_model_open(&x->model, path, NULL, &err) != SOTTO_OK) fail_msg("%s", err.message);
    assert_int_equal(sotto__runtime_open(&x->rt, x->model, &err), SOTTO_OK);
    assert_int_equal(sotto__window_create(&x->window, x->rt, &err), SOTTO_OK);
    x->rules = (sotto__rules){.specials = *sotto__tokenizer_specials(sotto__runtime_tokenizer(x->rt)),
                              .timestamps = true,
                              .max_initial_timestamp = 50};
}

static void close_fixture(struct fixture *x)
{
    sotto__window_free(x->window);
    sotto__runtime_free(x->rt);
    sotto_model_free(x->model);
}

static void decode(struct fixture *x, const int32_t *draft, size_t n_draft, bool lookup, struct outcome *out)
{
    sotto_options o;
    sotto__window_decoder *d;
    sotto__window_tokens found;
    sotto_error err = {0};
    bool good;
    sotto_options_default(&o);
    o.draft_tokens = draft;
    o.n_draft_tokens = n_draft;
    o.prompt_lookup = lookup;
    *sotto__runtime_counts(x->rt) = (sotto_counts){0};
    assert_int_equal(sotto__window_decoder_create(&d, x->rt, &o, &x->rules, &err), SOTTO_OK);
    if (sotto__window_decode(d, x->window, &x->rules.specials.sot, 1, 0, 0, true, &found, &good, &err) != SOTTO_OK)
        fail_msg("%s", err.message);
    assert_true(found.n <= sizeof out->tokens / sizeof *out->tokens);
    *out = (struct outcome){.n = found.n,
                            .avg_logprob = found.avg_logprob,
                            .no_speech_prob = found.no_speech_prob,
                            .counts = *sotto__runtime_counts(x->rt)};
    memcpy(out->tokens, found.tokens, found.n * sizeof *found.tokens);
    sotto__window_decoder_free(d);
}

static void assert_same(const struct outcome *plain, const struct outcome *drafted)
{
    assert_int_equal(drafted->n, plain->n);
    assert_memory_equal(drafted->tokens, plain->tokens, plain->n * sizeof *plain->tokens);
    assert_memory_equal(&drafted->avg_logprob, &plain->avg_logprob, sizeof plain->avg_logprob);
    assert_memory_equal(&drafted->no_speech_prob, &plain->no_speech_prob, sizeof plain->no_speech_prob);
    assert_int_equal(drafted->counts.tokens_decoded, plain->counts.tokens_decoded);
    assert_int_equal(drafted->counts.decoder_steps + drafted->counts.draft_tokens_accepted,
                     plain->counts.decoder_steps);
}

static void drafts_of_a_random_model(void **state)
{
    char dir[256], path[512];
    struct fixture x;
    struct outcome plain, drafted;
    int32_t draft[256];
    float *mel = malloc((size_t)3000 * 80 * sizeof *mel);
    (void)state;
    rng = 5;
    assert_int_equal(tiny_directory(dir, sizeof dir), 0);
    assert_int_equal(tiny_write(&tiny_default, TINY_CTRANSLATE2, dir, path, sizeof path), 0);
    open_fixture(&x, dir);
    for (int window = 0; window < 3; window++) {
        for (size_t i = 0; i < (size_t)3000 * 80; i++) mel[i] = (float)sotto__random(&rng) * 2 - 0.7F;
        assert_int_equal(sotto__encode(x.rt, mel, 3000, 1, x.window, NULL), SOTTO_OK);
        decode(&x, NULL, 0, false, &plain);
        assert_true(plain.n > 8);
        assert_int_equal(plain.counts.draft_tokens_proposed, 0);
        /* the right draft */
        decode(&x, plain.tokens, plain.n, false, &drafted);
        assert_same(&plain, &drafted);
        assert_true(drafted.counts.decoder_steps <= 2 + plain.n / (1 + SOTTO__DRAFT_MOST) + 1);
        assert_int_equal(drafted.counts.draft_tokens_proposed, drafted.counts.draft_tokens_accepted);
        /* wrong at each place */
        for (size_t i = 0; i < plain.n; i++) {
            memcpy(draft, plain.tokens, plain.n * sizeof *draft);
            draft[i] = draft[i] ? draft[i] - 1 : 1;
            decode(&x, draft, plain.n, false, &drafted);
            assert_same(&plain, &drafted);
        }
        for (int round = 0; round < 30; round++) {
            size_t n = make_draft(plain.tokens, plain.n, x.rules.specials.n_vocab, x.rules.specials.eot, draft);
            decode(&x, draft, n, round % 2, &drafted);
            assert_same(&plain, &drafted);
        }
    }
    close_fixture(&x);
    tiny_remove(dir);
    free(mel);
}

/* ---- real weights --------------------------------------------------------------------------------------------- */

static const sotto_result *transcribe(sotto_session *session, const char *path, const sotto_options *o)
{
    sotto_error err = {0};
    const sotto_result *r;
    if (sotto_transcribe_file(session, path, o, &r, &err) != SOTTO_OK) fail_msg("%s", err.message);
    return r;
}

/* Two runs over whole recordings: a run's own result as its draft. */
static void drafts_of_real_weights(void **state)
{
    const char *models = getenv("SOTTO_MODELS"), *folder = getenv("SOTTO_RECORDINGS");
    const char *const names[] = {"jfk.flac", "two_cities.wav"};
    char model_path[512], path[512];
    sotto_model *model;
    sotto_session *one, *two;
    sotto_error err = {0};
    (void)state;
    snprintf(model_path, sizeof model_path, "%s/tiny.en", models ? models : SOTTO_SOURCE_DIR "/models");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : SOTTO_SOURCE_DIR "/../shared/audio", names[0]);
    if (access(model_path, R_OK) != 0 || access(path, R_OK) != 0) skip();
    if (sotto_model_open(&model, model_path, NULL, &err) != SOTTO_OK) fail_msg("%s", err.message);
    assert_int_equal(sotto_session_open(&one, model, &err), SOTTO_OK);
    assert_int_equal(sotto_session_open(&two, model, &err), SOTTO_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sotto__ids draft = {0};
        sotto_options o;
        const sotto_result *a, *b;
        sotto_options_default(&o);
        snprintf(path, sizeof path, "%s/%s", folder ? folder : SOTTO_SOURCE_DIR "/../shared/audio", names[i]);
        a = transcribe(one, path, &o);
        for (size_t k = 0; k < a->n_segments; k++)
            assert_true(sotto__ids_append(&draft, a->segments[k].tokens, a->segments[k].n_tokens));
        o.draft_tokens = draft.data;
        o.n_draft_tokens = draft.len;
        o.prompt_lookup = i % 2;
        b = transcribe(two, path, &o);
        assert_string_equal(a->text, b->text);
        assert_int_equal(a->n_segments, b->n_segments);
        for (size_t k = 0; k < a->n_segments; k++) {
            const sotto_segment *x = &a->segments[k], *y = &b->segments[k];
            assert_int_equal(x->n_tokens, y->n_tokens);
            assert_memory_equal(x->tokens, y->tokens, x->n_tokens * sizeof *x->tokens);
            assert_true(x->avg_logprob == y->avg_logprob && x->no_speech_prob == y->no_speech_prob);
            assert_true(x->start_s == y->start_s && x->end_s == y->end_s);
        }
        assert_int_equal(a->counts.tokens_decoded, b->counts.tokens_decoded);
        print_message("%s: %d decoder steps, %d with its result as draft, %.3f s and %.3f s\n", names[i],
                      (int)a->counts.decoder_steps, (int)b->counts.decoder_steps, a->counts.stage_s[SOTTO_STAGE_DECODE],
                      b->counts.stage_s[SOTTO_STAGE_DECODE]);
        assert_true(b->counts.decoder_steps * 5 <= a->counts.decoder_steps);
        sotto__ids_free(&draft);
    }
    sotto_session_free(one);
    sotto_session_free(two);
    sotto_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_are_followed),
        cmocka_unit_test(words_more_or_less_are_passed),
        cmocka_unit_test(places_nearby_are_preferred),
        cmocka_unit_test(proposals_end_at_other_tokens),
        cmocka_unit_test(windows_start_where_the_last_ended),
        cmocka_unit_test(text_is_looked_up),
        cmocka_unit_test(any_draft_changes_nothing),
        cmocka_unit_test(drafts_of_a_random_model),
        cmocka_unit_test(drafts_of_real_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
