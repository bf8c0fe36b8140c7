/* SPDX-License-Identifier: MIT
 * Long recordings through the public functions: when they are cut into parts and when not. A model of random weights
 * hears a real recording (../shared/audio) with the real voice detector (models/silero-vad); without them that part is
 * skipped. */
#include "sound.h"

#include "audio/decode.h"
#include "tiny_model.h"

enum { RATE = SOTTO__SAMPLE_RATE, WINDOW = 30 * RATE };

static char dir[256], path[512];
static char vad[1024], recording[1024]; /* "" = not there */

static sotto_model *model;
static sotto_session *session;
static float *speech; /* two_cities.wav, 44 s */
static size_t n_speech;

static sotto_options options(void)
{
    sotto_options o;
    sotto_options_default(&o);
    o.temperature_increment = 0;
    o.no_speech_threshold = NAN;
    o.vad_path = vad;
    return o;
}

static const sotto_result *hear(const float *x, size_t n, const sotto_options *o)
{
    sotto_error err = {0};
    const sotto_result *r = NULL;
    if (sotto_transcribe_pcm(session, x, n, o, &r, &err) != SOTTO_OK) fail_msg("%s", err.message);
    return r;
}

static sotto_status keep(const float *samples, size_t n, void *user, sotto_error *err)
{
    (void)user, (void)err;
    speech = realloc(speech, (n_speech + n) * sizeof *speech);
    memcpy(speech + n_speech, samples, n * sizeof *samples);
    n_speech += n;
    return SOTTO_OK;
}

/* ---- without a detector ---- */

static void test_a_missing_detector_is_named(void **state)
{
    float *x = calloc(WINDOW + RATE, sizeof *x);
    sotto_options o = options();
    (void)state;
    for (int i = 0; i < 2; i++) {
        sotto_error err = {0};
        const sotto_result *r = (const sotto_result *)&err;
        const size_t n = i ? RATE : WINDOW + RATE;
        o.vad_path = "/nonexistent/vad";
        assert_int_equal(sotto_transcribe_pcm(session, x, n, &o, &r, &err), SOTTO_ENOTFOUND);
        assert_int_equal(err.code, SOTTO_ENOTFOUND);
        assert_non_null(strstr(err.message, "/nonexistent/vad"));
        assert_null(r);
        assert_int_equal(sotto_transcribe_pcm(session, x, n, &o, &r, NULL), SOTTO_ENOTFOUND);
    }
    /* who asks for no parts needs none, and the session works on */
    o.sequential = true;
    assert_int_equal(hear(x, RATE, &o)->counts.parts, 0);
    o.sequential = false;
    o.vad_path = NULL;
    assert_int_equal(hear(x, WINDOW + RATE, &o)->counts.parts, 0);
    o.vad_path = "";
    assert_int_equal(hear(x, RATE, &o)->counts.parts, 0);
    free(x);
}

/* ---- with one ---- */

static void test_a_long_recording_is_cut(void **state)
{
    sotto_options o = options();
    const sotto_result *r = hear(speech, n_speech, &o);
    char *text = strdup(r->text);
    const uint64_t n = r->counts.parts;
    double last = 0;
    (void)state;
    assert_true(n >= 2 && n <= 20);
    assert_true(r->n_segments > 0);
    for (size_t i = 0; i < r->n_segments; i++) {
        const sotto_segment *s = &r->segments[i];
        assert_int_equal(s->id, i);
        assert_true(s->start_s <= s->end_s && s->end_s <= r->duration_s);
        if (i && s->seek_frames != r->segments[i - 1].seek_frames) assert_true(s->start_s >= last);
        last = s->end_s;
    }
    assert_true(fabs(r->duration_s - (double)n_speech / RATE) < 1e-9);
    assert_int_equal(r->counts.runs, 1);
    /* the same from the file, and again */
    sotto_error err = {0};
    if (sotto_transcribe_file(session, recording, &o, &r, &err) != SOTTO_OK) fail_msg("%s", err.message);
    assert_int_equal(r->counts.parts, n);
    assert_string_equal(r->text, text);
    assert_string_equal(hear(speech, n_speech, &o)->text, text);
    free(text);
    /* and not for who wants it in one piece */
    o.sequential = true;
    r = hear(speech, n_speech, &o);
    assert_int_equal(r->counts.parts, 0);
    text = strdup(r->text);
    o = options();
    o.vad_path = NULL;
    r = hear(speech, n_speech, &o);
    assert_int_equal(r->counts.parts, 0);
    assert_string_equal(r->text, text);
    o = options();
    o.word_timestamps = true;
    o.hallucination_silence_threshold = 2;
    assert_int_equal(hear(speech, n_speech, &o)->counts.parts, 0);
    free(text);
}

static void test_a_window_is_one_piece(void **state)
{
    sotto_options o = options();
    char *text;
    (void)state;
    assert_int_equal(hear(speech, WINDOW, &o)->counts.parts, 0);
    text = strdup(hear(speech, WINDOW, &o)->text);
    o.sequential = true;
    assert_string_equal(hear(speech, WINDOW, &o)->text, text);
    o.sequential = false;
    assert_true(hear(speech, WINDOW + 1, &o)->counts.parts > 0);
    free(text);
}

static void test_silence_is_heard_all_the_same(void **state)
{
    float *x = calloc(WINDOW + 10 * RATE, sizeof *x);
    sotto_options o = options();
    char *text;
    const sotto_result *r = hear(x, WINDOW + 10 * RATE, &o);
    (void)state;
    assert_int_equal(r->counts.parts, 0);
    assert_true(r->counts.windows >= 2);
    text = strdup(r->text);
    o.sequential = true;
    assert_string_equal(hear(x, WINDOW + 10 * RATE, &o)->text, text);
    free(text);
    free(x);
}

static void test_bad_options_and_samples(void **state)
{
    sotto_options o = options();
    sotto_error err = {0};
    const sotto_result *r;
    const float kept = speech[n_speech - 1];
    (void)state;
    o.beam_size = 0;
    assert_int_equal(sotto_transcribe_pcm(session, speech, n_speech, &o, &r, &err), SOTTO_EINVAL);
    assert_non_null(strstr(err.message, "beam_size"));
    o = options();
    speech[n_speech - 1] = NAN;
    assert_int_equal(sotto_transcribe_pcm(session, speech, n_speech, &o, &r, &err), SOTTO_EAUDIO);
    speech[n_speech - 1] = kept;
    assert_true(hear(speech, n_speech, &o)->counts.parts >= 2);
}

static bool cancel_self(const sotto_progress *progress, void *user)
{
    (void)progress;
    ++*(int *)user;
    sotto_session_cancel(session);
    return true;
}

static void test_cancellation(void **state)
{
    sotto_options o = options();
    sotto_error err = {0};
    const sotto_result *r;
    int calls = 0;
    (void)state;
    o.on_progress = cancel_self;
    o.user = &calls;
    assert_int_equal(sotto_transcribe_pcm(session, speech, n_speech, &o, &r, &err), SOTTO_ECANCELLED);
    assert_null(r);
    assert_true(calls >= 1);
    o.on_progress = NULL;
    assert_true(hear(speech, n_speech, &o)->counts.parts >= 2);
}

static bool is_there(char *out, size_t cap, const char *root, const char *name)
{
    if (!root) return false;
    snprintf(out, cap, "%s/%s", root, name);
    if (access(out, R_OK) == 0) return true;
    *out = '\0';
    return false;
}

static int setup(void **state)
{
    sotto_model_options mo;
    tiny_model tiny = tiny_default;
    (void)state;
    tiny.text_ctx = 32; /* short texts: the times are what matters */
    sotto_model_options_default(&mo);
    mo.threads = 2;
    if (tiny_directory(dir, sizeof dir) != 0 || tiny_write(&tiny, TINY_CTRANSLATE2, dir, path, sizeof path) != 0)
        return -1;
    if (sotto_model_open(&model, path, &mo, NULL) != SOTTO_OK || sotto_session_open(&session, model, NULL) != SOTTO_OK)
        return -1;
    if (!*recording) return 0;
    double stage_s[SOTTO_STAGE_COUNT] = {0};
    sotto__features *f = features_new(80);
    sotto__features_set_tap(f, keep, NULL);
    const sotto_status st = sotto__decode_file(f, recording, stage_s, NULL, NULL, NULL);
    sotto__features_free(f);
    return st == SOTTO_OK && n_speech > WINDOW + RATE ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sotto_session_free(session);
    sotto_model_free(model);
    tiny_remove(dir);
    free(speech);
    return 0;
}

int main(void)
{
    const struct CMUnitTest always[] = {cmocka_unit_test(test_a_missing_detector_is_named)};
    const struct CMUnitTest real[] = {
        cmocka_unit_test(test_a_missing_detector_is_named), cmocka_unit_test(test_a_long_recording_is_cut),
        cmocka_unit_test(test_a_window_is_one_piece),       cmocka_unit_test(test_silence_is_heard_all_the_same),
        cmocka_unit_test(test_bad_options_and_samples),     cmocka_unit_test(test_cancellation),
    };
    const char *models = getenv("SOTTO_MODELS");
    const bool all = (is_there(vad, sizeof vad, models, "silero-vad/silero_vad_16k.safetensors") ||
                      is_there(vad, sizeof vad, SOTTO_SOURCE_DIR "/models", "silero-vad/silero_vad_16k.safetensors")) &&
                     is_there(recording, sizeof recording, SOTTO_SOURCE_DIR "/../shared/audio", "two_cities.wav");
    if (all) return cmocka_run_group_tests(real, setup, teardown) ? 1 : 0;
    fprintf(stderr, "skipped: silero-vad (models/fetch silero-vad) or ../shared/audio/two_cities.wav is not there\n");
    return cmocka_run_group_tests(always, setup, teardown) ? 1 : 77;
}
