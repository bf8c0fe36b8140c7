/* SPDX-License-Identifier: MIT
 * The report: its sums add up, its ratios are what they are called, and nothing in it is not a number. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"

#include "report/report.h"

/* Parts that differ from one another, so that a mix-up shows. Positions have no products; token_embedding is last. */
static sotto_model_info make_info(void)
{
    sotto_model_info info = {.path = "models/tiny.en",
                             .format = "ggml",
                             .threads = 2,
                             .n_mels = 80,
                             .n_vocab = 51864,
                             .unshared_conv_parameters = 7000};
    for (unsigned i = 0; i < SOTTO_PART_COUNT; i++) {
        info.part_parameters[i] = 10 * (i + 1);
        info.parameters += info.part_parameters[i];
    }
    info.stored_bytes[SOTTO_PRECISION_F16] = 1000;
    info.stored_bytes[SOTTO_PRECISION_F32] = 24;
    info.resident_bytes[SOTTO_PRECISION_F32] = 2048;
    return info;
}

static sotto_counts make_counts(void)
{
    sotto_counts c = {.runs = 1,
                      .audio_s = 30,
                      .wall_s = 2,
                      .windows = 1,
                      .decoder_steps = 25,
                      .tokens_prefilled = 4,
                      .tokens_decoded = 24,
                      .tokens_kept = 23,
                      .draft_tokens_proposed = 9,
                      .draft_tokens_accepted = 7,
                      .mel_frames_computed = 130,
                      .mel_frames_reused = 870};
    for (unsigned i = 0; i < SOTTO_PART_COUNT; i++) c.multiply_adds[i] = i == 1 ? 0 : (i + 1) * 1000000ull;
    for (unsigned i = 0; i < SOTTO_MIX_COUNT; i++) c.mix_multiply_adds[i] = (i + 1) * 500000ull;
    c.stage_s[SOTTO_STAGE_READ] = 0.25;
    c.stage_s[SOTTO_STAGE_MEL] = 0.125;
    c.stage_s[SOTTO_STAGE_ENCODER] = 1;
    c.stage_s[SOTTO_STAGE_PREFILL] = 0.125;
    c.stage_s[SOTTO_STAGE_DECODE] = 0.25;
    return c;
}

static json_t *make_report(const sotto_counts *counts, const uint64_t *touched)
{
    sotto_model_info info = make_info();
    sotto_error err = {.message = ""};
    json_t *r = NULL;
    if (sotto__report_json(&r, &info, "int8", 100.0, counts, touched, &err) != SOTTO_OK) fail_msg("%s", err.message);
    return r;
}

/* The value at "a.b.c". */
static const json_t *at(const json_t *o, const char *path)
{
    char copy[120];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok(copy, "."); key; key = strtok(NULL, ".")) o = json_object_get(o, key);
    if (!o) fail_msg("the report has no %s", path);
    return o;
}

static void check(const json_t *r, const char *path, double expected)
{
    double v = json_number_value(at(r, path));
    if (!json_is_number(at(r, path)) || fabs(v - expected) > 1e-9 * (1 + fabs(expected)))
        fail_msg("%s is %.12g, expected %.12g", path, v, expected);
}

static double sum_members(const json_t *o, const char *except)
{
    const char *key;
    json_t *value;
    double sum = 0;
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
        if (strcmp(key, except) != 0) sum += json_number_value(value);
    return sum;
}

static void sums_add_up(void **state)
{
    (void)state;
    sotto_model_info info = make_info();
    sotto_counts counts = make_counts();
    json_t *r = make_report(&counts, info.part_parameters);
    check(r, "parameters.total", 660);
    check(r, "parameters.touched", 660);
    assert_true(sum_members(at(r, "parameters.by_part"), "") == 660);
    assert_true(sum_members(at(r, "parameters.touched_by_part"), "") == 660);
    check(r, "bytes.stored.total", 1024);
    check(r, "bytes.stored.f16", 1000);
    check(r, "bytes.resident.total", 2048);
    check(r, "multiply_adds.total", 64e6 + 3e6);
    assert_true(sotto_counts_multiply_adds(&counts) == 64000000);
    assert_true(sum_members(at(r, "multiply_adds.by_part"), "") + sum_members(at(r, "multiply_adds.scores"), "") ==
                67e6);
    check(r, "seconds.total", 2);
    check(r, "seconds.other", 0.25);
    assert_true(fabs(sum_members(at(r, "seconds"), "total") - 2) < 1e-9);
    json_decref(r);
}

static void ratios(void **state)
{
    (void)state;
    sotto_counts counts = make_counts();
    json_t *r = make_report(&counts, NULL);
    check(r, "audio_seconds_per_second", 15);
    check(r, "real_time_factor", 2.0 / 30);
    check(r, "tokens_per_second", 96);
    check(r, "multiply_adds.per_audio_second", 67e6 / 30);
    check(r, "gops.reached", 2 * 67e6 / 1.375 / 1e9);
    check(r, "gops.peak_measured", 100);
    check(r, "gops.ratio", 2 * 67e6 / 1.375 / 1e11);
    assert_string_equal(json_string_value(at(r, "gops.arithmetic")), "int8");
    check(r, "applications_per_parameter.by_part.conv", 1e6 / 10);
    check(r, "applications_per_parameter.by_part.decoder_norm", 11e6 / 110);
    check(r, "applications_per_parameter.by_part.encoder_positions", 0);
    check(r, "applications_per_parameter.total", 64e6 / 660);
    check(r, "conv.ratio", 700);
    check(r, "unshared_conv_parameters", 7000);
    check(r, "model.dims.n_vocab", 51864);
    assert_string_equal(json_string_value(at(r, "model.name")), "tiny.en"); /* of models/tiny.en */
    check(r, "tokens.kept", 23);
    check(r, "tokens.draft_proposed", 9);
    check(r, "tokens.draft_accepted", 7);
    check(r, "mel_frames.computed", 130);
    check(r, "mel_frames.reused", 870);
    assert_true(json_is_null(at(r, "parameters.touched")));
    assert_true(json_is_null(at(r, "parameters.touched_by_part")));
    json_decref(r);
}

/* Before the first run every rate is null, not infinite. */
static void nothing_ran(void **state)
{
    (void)state;
    sotto_counts zero = {0};
    json_t *r = make_report(&zero, NULL);
    static const char *const rates[] = {"audio_seconds_per_second",       "real_time_factor", "tokens_per_second",
                                        "multiply_adds.per_audio_second", "gops.reached",     "gops.ratio"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) assert_true(json_is_null(at(r, rates[i])));
    check(r, "applications_per_parameter.total", 0);
    char *text = json_dumps(r, 0);
    assert_non_null(text);
    free(text);
    json_decref(r);
}

/* A field forgotten in sotto_counts_add stays as it was. Every byte of the struct is a uint64_t or a double. */
static void counts_add_every_field(void **state)
{
    (void)state;
    enum { FIELDS = sizeof(sotto_counts) / 8 };
    sotto_counts sum = {0}, one;
    uint64_t before[FIELDS], after[FIELDS];
    memset(&one, 0, sizeof one);
    one = make_counts();
    one.fallbacks = one.windows_skipped = one.encoder_positions = one.full_window_retries = 3;
    one.draft_tokens_proposed = one.draft_tokens_accepted = one.parts = one.gaps_decoded = one.gaps_left = 5;
    one.speech_s = one.covered_s = one.resumed_s = 5;
    for (unsigned i = 0; i < SOTTO_PART_COUNT; i++) one.multiply_adds[i]++;
    for (unsigned i = 0; i < SOTTO_STAGE_COUNT; i++) one.stage_s[i] += 1;
    sotto_counts_add(&sum, &one);
    assert_memory_equal(&sum, &one, sizeof sum);
    memcpy(before, &sum, sizeof sum);
    sotto_counts_add(&sum, &one);
    memcpy(after, &sum, sizeof sum);
    for (unsigned i = 0; i < FIELDS; i++) assert_true(before[i] != after[i]);
    assert_true(sum.audio_s == 60 && sum.runs == 2 && sum.tokens_decoded == 48);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(sotto_part_name(SOTTO_PART_ENCODER_MLP), "encoder_mlp");
    assert_string_equal(sotto_mix_name(SOTTO_MIX_DECODER_CROSS), "decoder_cross_scores");
    assert_string_equal(sotto_stage_name(SOTTO_STAGE_DECODE), "decode");
    assert_string_equal(sotto_precision_name(SOTTO_PRECISION_BF16), "bf16");
    assert_null(sotto_part_name(SOTTO_PART_COUNT));
    assert_null(sotto_mix_name((sotto_mix)-1));
    assert_null(sotto_stage_name(SOTTO_STAGE_COUNT));
    assert_null(sotto_precision_name(SOTTO_PRECISION_COUNT));
}

static void bad_arguments(void **state)
{
    (void)state;
    sotto_counts counts = {0};
    sotto_error err;
    char *out = (char *)1;
    assert_int_equal(sotto_report_write(NULL, &counts, NULL, &out, &err), SOTTO_EINVAL);
    assert_null(out);
    assert_int_equal(sotto_report_write(NULL, &counts, NULL, NULL, &err), SOTTO_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_add_up), cmocka_unit_test(ratios),
        cmocka_unit_test(nothing_ran), cmocka_unit_test(counts_add_every_field),
        cmocka_unit_test(names),       cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
