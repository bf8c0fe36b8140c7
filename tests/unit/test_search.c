/* SPDX-License-Identifier: MIT
 * Searches against openai-whisper's decoders on a toy model (tests/reference/make_text_tables.py), against exhaustive
 * enumeration, and the statistics of sampling. */
#include "text/search.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { VOCAB = 12, EOT = 9, NO_SPEECH = 11, MOST = 64 };

/* No masks: whatever the toy model says. */
static const sotto__rules toy_rules = {
    .specials = {.n_vocab = VOCAB, .eot = EOT, .no_speech = NO_SPEECH, .timestamp_begin = VOCAB},
    .max_initial_timestamp = -1};

static const int32_t toy_prompt[4] = {10, 10, 10, 10};

/* The logits after `sampled`: a hash, repeated from make_text_tables.py. */
static void toy_row_of(size_t n_vocab, uint32_t seed, const int32_t *sampled, size_t n, float *row)
{
    uint32_t h = seed * UINT32_C(2654435761) + 12345;
    for (size_t i = 0; i < n; i++) h = (h ^ ((uint32_t)sampled[i] + 1)) * UINT32_C(16777619);
    for (size_t v = 0; v < n_vocab; v++) {
        h = h * UINT32_C(1664525) + UINT32_C(1013904223);
        row[v] = (float)(h >> 16) / 8192.0F;
    }
}

static void toy_row(uint32_t seed, const int32_t *sampled, size_t n, float *row)
{
    toy_row_of(VOCAB, seed, sampled, n, row);
}

/* Drives a search over the toy model as a decoder with caches would: each hypothesis's tokens follow its sources. */
static sotto__search_result drive(sotto__search *s, const sotto__search_options *o, uint32_t seed)
{
    static int32_t caches[2][MOST][MOST], (*now)[MOST] = caches[0], (*next)[MOST] = caches[1], (*swapped)[MOST];
    static float logits[MOST * VOCAB];
    size_t n = 0, n_vocab = (size_t)o->rules->specials.n_vocab;
    assert_int_equal(sotto__search_start(s, o, NULL), SOTTO_OK);
    for (sotto__search_ask ask = sotto__search_next(s); ask.n; ask = sotto__search_next(s)) {
        if (!ask.sources) {
            assert_int_equal(ask.n, 1);
            assert_int_equal(ask.n_tokens, o->n_prompt);
            assert_int_equal(ask.n_logits, o->n_prompt - o->sot_index);
            for (size_t i = 0; i < ask.n_logits; i++) toy_row_of(n_vocab, seed, NULL, 0, logits + i * n_vocab);
        } else {
            assert_int_equal(ask.n_tokens, 1);
            assert_int_equal(ask.n_logits, 1);
            assert_true(ask.n <= o->width && o->n_prompt + n + 1 <= o->n_ctx);
            if (o->beams && n_vocab > o->width) assert_int_equal(ask.n, o->width); /* an ended one is replaced */
            for (size_t i = 0; i < ask.n; i++) {
                memcpy(next[i], now[ask.sources[i]], n * sizeof next[i][0]);
                next[i][n] = ask.tokens[i];
                toy_row_of(n_vocab, seed, next[i], n + 1, logits + i * n_vocab);
            }
            swapped = now;
            now = next;
            next = swapped;
            n++;
        }
        sotto__search_feed(s, logits);
    }
    return sotto__search_result_of(s);
}

static sotto__search_options options_of(size_t width, bool beams)
{
    return (sotto__search_options){.rules = &toy_rules,
                                   .prompt = toy_prompt,
                                   .n_prompt = 1,
                                   .n_ctx = 60,
                                   .sample_len = 8,
                                   .beams = beams,
                                   .width = width,
                                   .patience = 1,
                                   .length_penalty = NAN};
}

static sotto__search *open_search(void)
{
    sotto__search *s;
    assert_int_equal(sotto__search_create(&s, NULL), SOTTO_OK);
    return s;
}

static void matches_the_reference(void **state)
{
    json_t *all = json_load_file(SOTTO_SOURCE_DIR "/tests/unit/data/text.json", 0, NULL), *one;
    sotto__search *s = open_search();
    size_t at;
    (void)state;
    assert_non_null(all);
    assert_true(json_array_size(json_object_get(all, "searches")) >= 50);
    json_array_foreach(json_object_get(all, "searches"), at, one) {
        json_t *tokens = json_object_get(one, "tokens"), *penalty = json_object_get(one, "length_penalty");
        sotto__search_options o = options_of((size_t)json_integer_value(json_object_get(one, "width")),
                                             json_is_true(json_object_get(one, "beams")));
        sotto__search_result r;
        o.n_prompt = (size_t)json_integer_value(json_object_get(one, "n_prompt"));
        o.n_ctx = (size_t)json_integer_value(json_object_get(one, "n_ctx"));
        o.sample_len = (size_t)json_integer_value(json_object_get(one, "sample_len"));
        o.patience = json_number_value(json_object_get(one, "patience"));
        o.length_penalty = json_is_null(penalty) ? NAN : json_number_value(penalty);
        r = drive(s, &o, (uint32_t)json_integer_value(json_object_get(one, "seed")));
        if (r.n_tokens != json_array_size(tokens)) fail_msg("search %zu: %zu tokens", at, r.n_tokens);
        for (size_t i = 0; i < r.n_tokens; i++)
            if (r.tokens[i] != json_integer_value(json_array_get(tokens, i))) fail_msg("search %zu: token %zu", at, i);
        assert_true(fabs(r.sum_logprob - json_number_value(json_object_get(one, "sum_logprob"))) < 2e-5);
        assert_true(fabs(r.avg_logprob - r.sum_logprob / (double)(r.n_tokens + 1)) < 1e-12);
    }
    sotto__search_free(s);
    json_decref(all);
}

/* A vocabulary small enough to try every sequence. */
enum { SMALL_VOCAB = 4, SMALL_EOT = 2, SMALL_LENGTH = 3 };

static const sotto__rules small_rules = {.specials = {.n_vocab = SMALL_VOCAB, .eot = SMALL_EOT, .no_speech = 3},
                                         .max_initial_timestamp = -1};

typedef struct every {
    uint32_t seed;
    double penalty, best;
    int32_t tokens[SMALL_LENGTH], best_tokens[SMALL_LENGTH];
    size_t best_n;
} every;

/* Tries all sequences that begin with e->tokens[n]: ended by end-of-text, or cut off at SMALL_LENGTH. */
static void enumerate(every *e, size_t n, float sum)
{
    float row[SMALL_VOCAB] = {0};
    double length = n ? (double)n : 1, score;
    if (!isnan(e->penalty)) length = pow((5 + (double)n) / 6, e->penalty);
    if (n < SMALL_LENGTH) {
        toy_row_of(SMALL_VOCAB, e->seed, e->tokens, n, row);
        sotto__log_softmax(row, SMALL_VOCAB, row);
    }
    score = (double)(sum + row[SMALL_EOT]) / length;
    if (score > e->best) {
        e->best = score;
        e->best_n = n;
        memcpy(e->best_tokens, e->tokens, n * sizeof *e->tokens);
    }
    for (int32_t v = 0; n < SMALL_LENGTH && v < SMALL_VOCAB; v++) {
        if (v == SMALL_EOT) continue;
        e->tokens[n] = v;
        enumerate(e, n + 1, sum + row[v]);
    }
}

/* With more beams than there are sequences nothing is pruned. */
static void wide_beams_find_the_best_of_all(void **state)
{
    sotto__search *s = open_search();
    const double penalties[] = {NAN, 0, 0.5, 1};
    size_t lengths[SMALL_LENGTH + 1] = {0};
    (void)state;
    for (uint32_t seed = 0; seed < 200; seed++) {
        sotto__search_options o = options_of(30, true);
        every e = {.seed = seed, .penalty = penalties[seed % 4], .best = -INFINITY};
        sotto__search_result r;
        o.rules = &small_rules;
        o.sample_len = SMALL_LENGTH;
        o.length_penalty = e.penalty;
        enumerate(&e, 0, 0);
        r = drive(s, &o, seed);
        if (r.n_tokens != e.best_n) fail_msg("seed %u: %zu tokens, the best has %zu", seed, r.n_tokens, e.best_n);
        assert_memory_equal(r.tokens, e.best_tokens, e.best_n * sizeof *e.tokens);
        lengths[e.best_n]++;
    }
    for (size_t i = 0; i <= SMALL_LENGTH; i++) assert_true(lengths[i] > 0); /* all kinds came up */
    sotto__search_free(s);
}

/* Fewer beams than sequences: never better than the best of all, and sometimes worse. */
static void narrow_beams_prune(void **state)
{
    sotto__search *s = open_search();
    size_t worse = 0;
    (void)state;
    for (uint32_t seed = 0; seed < 200; seed++) {
        sotto__search_options o = options_of(2, true);
        every e = {.seed = seed, .penalty = 0, .best = -INFINITY};
        double score;
        o.rules = &small_rules;
        o.sample_len = SMALL_LENGTH;
        o.length_penalty = 0;
        enumerate(&e, 0, 0);
        score = drive(s, &o, seed).sum_logprob;
        assert_true(score <= e.best + 1e-6);
        worse += score < e.best - 1e-6;
    }
    assert_true(worse > 0 && worse < 150);
    sotto__search_free(s);
}

static void greedy_takes_the_likeliest(void **state)
{
    sotto__search *s = open_search();
    (void)state;
    for (uint32_t seed = 100; seed < 120; seed++) {
        sotto__search_options o = options_of(1, false);
        sotto__search_result r = drive(s, &o, seed);
        float row[VOCAB];
        double sum = 0;
        for (size_t i = 0; i <= r.n_tokens && i < o.sample_len; i++) {
            int32_t token = i < r.n_tokens ? r.tokens[i] : EOT;
            toy_row(seed, r.tokens, i, row);
            for (size_t v = 0; v < VOCAB; v++) assert_true(row[v] <= row[token]);
            sotto__log_softmax(row, VOCAB, row);
            if (i < r.n_tokens) assert_true(r.logprobs[i] == row[token]);
            sum += (double)row[token];
        }
        assert_true(fabs(sum - r.sum_logprob) < 1e-5);
        assert_int_equal(r.tokens_decoded, r.n_tokens < o.sample_len ? r.n_tokens + 1 : o.sample_len);
    }
    sotto__search_free(s);
}

/* no_speech_prob comes from the raw logits at the start-of-transcript token, not from the prompt's last. */
static void no_speech_is_read_at_sot(void **state)
{
    sotto__search *s = open_search();
    sotto__search_options o = options_of(1, false);
    float logits[3 * VOCAB];
    double sum = 0;
    (void)state;
    o.n_prompt = 4;
    o.sot_index = 1;
    o.sample_len = 1;
    for (size_t i = 0; i < 3 * VOCAB; i++) logits[i] = (float)((i * 7) % 11) / 3;
    for (size_t v = 0; v < VOCAB; v++) sum += exp((double)logits[v]);
    sum = exp((double)logits[NO_SPEECH]) / sum;
    logits[2 * VOCAB + 5] = 9;
    assert_int_equal(sotto__search_start(s, &o, NULL), SOTTO_OK);
    assert_int_equal(sotto__search_next(s).n_logits, 3);
    sotto__search_feed(s, logits);
    assert_int_equal(sotto__search_next(s).n, 0);
    assert_true(fabs(sotto__search_result_of(s).no_speech_prob - sum) < 1e-6);
    assert_int_equal(sotto__search_result_of(s).tokens[0], 5);
    sotto__search_free(s);
}

static void rules_are_applied(void **state)
{
    const int32_t suppressed[] = {2, 5};
    sotto__search *s = open_search();
    sotto__rules rules = toy_rules;
    sotto__search_options o = options_of(3, true);
    (void)state;
    rules.suppressed = suppressed;
    rules.n_suppressed = 2;
    o.rules = &rules;
    for (uint32_t seed = 0; seed < 50; seed++) {
        sotto__search_result r;
        o.beams = seed % 2;
        o.width = o.beams ? 3 : 1;
        r = drive(s, &o, seed);
        for (size_t i = 0; i < r.n_tokens; i++) assert_true(r.tokens[i] != 2 && r.tokens[i] != 5);
    }
    sotto__search_free(s);
}

/* First tokens of many samples follow softmax(logits / temperature): chi-square with 11 degrees of freedom. */
static void samples_follow_the_distribution(void **state)
{
    enum { ROUNDS = 1500, WIDTH = 20 };
    const double temperatures[] = {0.2, 0.6, 1.0};
    sotto__search *s = open_search();
    (void)state;
    for (size_t t = 0; t < 3; t++) {
        sotto__search_options o = options_of(WIDTH, false);
        double expected[VOCAB], sum = 0, chi = 0, rare = 0, rare_seen = 0;
        size_t seen[VOCAB] = {0};
        float row[VOCAB];
        o.temperature = temperatures[t];
        toy_row(77, NULL, 0, row);
        for (size_t v = 0; v < VOCAB; v++) sum += expected[v] = exp((double)row[v] / o.temperature);
        for (uint64_t seed = 0; seed < ROUNDS; seed++) {
            sotto__search_ask ask;
            o.seed = seed;
            assert_int_equal(sotto__search_start(s, &o, NULL), SOTTO_OK);
            toy_row(77, NULL, 0, row);
            sotto__search_feed(s, row);
            ask = sotto__search_next(s);
            for (size_t i = 0; i < ask.n; i++) seen[ask.tokens[i]]++;
            seen[EOT] += WIDTH - ask.n;
        }
        for (size_t v = 0; v < VOCAB; v++) {
            double e = expected[v] / sum * ROUNDS * WIDTH;
            if (e < 10) {
                rare += e;
                rare_seen += (double)seen[v];
            } else {
                chi += ((double)seen[v] - e) * ((double)seen[v] - e) / e;
            }
        }
        assert_true(chi < 35); /* p = 0.0003 */
        assert_true(rare_seen <= 3 * rare + 12);
    }
    sotto__search_free(s);
}

static void same_seed_same_tokens(void **state)
{
    sotto__search *s = open_search();
    size_t differ = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        sotto__search_options o = options_of(5, false);
        int32_t tokens[MOST];
        sotto__search_result r;
        size_t n;
        o.temperature = 1;
        o.seed = seed;
        r = drive(s, &o, 4);
        n = r.n_tokens;
        memcpy(tokens, r.tokens, n * sizeof *tokens);
        r = drive(s, &o, 4);
        assert_int_equal(r.n_tokens, n);
        assert_memory_equal(r.tokens, tokens, n * sizeof *tokens);
        o.seed = seed + 1000;
        r = drive(s, &o, 4);
        differ += r.n_tokens != n || memcmp(r.tokens, tokens, n * sizeof *tokens) != 0;
    }
    assert_true(differ > 10);
    sotto__search_free(s);
}

/* The best of n samples is the one with the highest mean log-probability. */
static void sampling_keeps_the_best(void **state)
{
    sotto__search *s = open_search();
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        sotto__search_options o = options_of(1, false);
        double one, five;
        sotto__search_result r;
        o.temperature = 1;
        o.seed = seed;
        r = drive(s, &o, 9); /* hypothesis 0 of the five */
        one = r.sum_logprob / (double)(r.n_tokens ? r.n_tokens : 1);
        o.width = 5;
        r = drive(s, &o, 9);
        five = r.sum_logprob / (double)(r.n_tokens ? r.n_tokens : 1);
        assert_true(five >= one);
    }
    sotto__search_free(s);
}

/* Whatever the sources: every cache ends up where it is wanted, each once, and a source wanted once is not copied. */
static void caches_are_arranged(void **state)
{
    uint64_t stream = 1;
    (void)state;
    for (size_t round = 0; round < 2000; round++) {
        size_t width = 1 + (size_t)(sotto__random(&stream) * 8),
               n = 1 + (size_t)(sotto__random(&stream) * (double)width);
        size_t sources[8], order[8], distinct = 0, copied = 0;
        bool copies[8], used[8] = {false}, wanted[8] = {false};
        for (size_t i = 0; i < n; i++) sources[i] = (size_t)(sotto__random(&stream) * (double)width);
        sotto__caches_arrange(sources, n, width, order, copies);
        for (size_t i = 0; i < n; i++) {
            distinct += !wanted[sources[i]];
            wanted[sources[i]] = true;
        }
        for (size_t i = 0; i < width; i++) {
            assert_true(order[i] < width && !used[order[i]]);
            used[order[i]] = true;
            if (i >= n) {
                assert_false(copies[i]);
            } else if (copies[i]) {
                copied++;
                assert_false(wanted[order[i]]); /* nothing of value is overwritten */
            } else {
                assert_int_equal(order[i], sources[i]);
            }
        }
        assert_int_equal(copied, n - distinct);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_reference),
        cmocka_unit_test(wide_beams_find_the_best_of_all),
        cmocka_unit_test(narrow_beams_prune),
        cmocka_unit_test(greedy_takes_the_likeliest),
        cmocka_unit_test(no_speech_is_read_at_sot),
        cmocka_unit_test(rules_are_applied),
        cmocka_unit_test(samples_follow_the_distribution),
        cmocka_unit_test(same_seed_same_tokens),
        cmocka_unit_test(sampling_keeps_the_best),
        cmocka_unit_test(caches_are_arranged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
