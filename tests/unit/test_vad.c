/* SPDX-License-Identifier: MIT
 * The voice detector: its network against a double-precision twin on random weights and against the silero-vad package
 * on the real ones (tests/reference/make_vad_goldens.py), its spans against the package's, its chunks by their
 * properties. The real weights are models/silero-vad (`models/fetch silero-vad`); without them that part is skipped. */
#include "sound.h"

#include "audio/decode.h"
#include "vad/spans.h"
#include "vad/vad.h"

#include <inttypes.h>

enum { CHUNK = SOTTO__VAD_CHUNK, SYNTHETIC = 319000 };

#define GOLDEN SOTTO_SOURCE_DIR "/tests/reference/golden/vad/"

static char real_dir[1024]; /* of the real weights */

/* ---- a file of random weights --------------------------------------------------------------------------------- */

typedef struct tensor {
    const char *name;
    size_t dims[3];
    double scale;
    float *values;
} tensor;

enum { BASIS, CONV1, BIAS1, CONV2, BIAS2, CONV3, BIAS3, CONV4, BIAS4, IH, HH, BIH, BHH, OUT, BOUT, TENSORS };

static tensor net[TENSORS] = {
    {"stft_conv.weight", {258, 1, 256}, 0.2, NULL},
    {"conv1.weight", {128, 129, 3}, 0.1, NULL},
    {"conv1.bias", {128}, 0.1, NULL},
    {"conv2.weight", {64, 128, 3}, 0.1, NULL},
    {"conv2.bias", {64}, 0.1, NULL},
    {"conv3.weight", {64, 64, 3}, 0.1, NULL},
    {"conv3.bias", {64}, 0.1, NULL},
    {"conv4.weight", {128, 64, 3}, 0.2, NULL},
    {"conv4.bias", {128}, 0.1, NULL},
    {"lstm_cell.weight_ih", {512, 128}, 0.2, NULL},
    {"lstm_cell.weight_hh", {512, 128}, 0.2, NULL},
    {"lstm_cell.bias_ih", {512}, 0.1, NULL},
    {"lstm_cell.bias_hh", {512}, 0.1, NULL},
    {"final_conv.weight", {1, 128, 1}, 0.5, NULL},
    {"final_conv.bias", {1}, 0.1, NULL},
};

static size_t elements(const tensor *t)
{
    return t->dims[0] * (t->dims[1] ? t->dims[1] : 1) * (t->dims[2] ? t->dims[2] : 1);
}

static bool only_positive; /* weights before the LSTM */
static bool fourier_basis; /* as in the real file, else random */

/* A windowed basis with the symmetries of sine and cosine to the last bit. */
static float fourier(size_t row, size_t i)
{
    const size_t k = row % 129, low = k <= 64 ? k : 128 - k, near = i <= 128 ? i : 256 - i;
    const double angle = 2 * PI * (double)(low * near % 256) / 256,
                 window = 0.5 - 0.5 * cos(2 * PI * (double)near / 256);
    if (row < 129) return (float)(0.1 * window * (k > 64 && i % 2 ? -cos(angle) : cos(angle)));
    if (near % 128 == 0) return 0;
    return (float)(0.1 * window * ((k > 64 && i % 2 == 0) != (i > 128) ? -sin(angle) : sin(angle)));
}

/* net as a safetensors file without tensor `missing` (or -1) and cut short by `cut` bytes. */
static void write_net(const char *path, int missing, const char *dtype, size_t cut)
{
    char header[4096] = "{";
    size_t at = 1, offset = 0;
    uint64_t seed = 5, length;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < TENSORS; i++) {
        const size_t n = elements(&net[i]), bytes = n * sizeof(float);
        if (i == missing) continue;
        at += (size_t)snprintf(header + at, sizeof header - at, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu",
                               at > 1 ? "," : "", net[i].name, dtype, net[i].dims[0]);
        for (int d = 1; d < 3 && net[i].dims[d]; d++)
            at += (size_t)snprintf(header + at, sizeof header - at, ",%zu", net[i].dims[d]);
        at += (size_t)snprintf(header + at, sizeof header - at, "],\"data_offsets\":[%zu,%zu]}", offset,
                               offset + (strcmp(dtype, "F32") == 0 ? bytes : bytes / 2));
        offset += strcmp(dtype, "F32") == 0 ? bytes : bytes / 2;
        net[i].values = realloc(net[i].values, bytes);
        assert_non_null(net[i].values);
        for (size_t k = 0; k < n; k++) {
            const double w = net[i].scale * signal_random(&seed);
            net[i].values[k] = (float)(only_positive && i < IH ? fabs(w) : w);
            if (fourier_basis && i == BASIS) net[i].values[k] = fourier(k / 256, k % 256);
        }
    }
    length = at + (size_t)snprintf(header + at, sizeof header - at, "} "); /* odd offsets: nothing is aligned */
    assert_int_equal(fwrite(&length, sizeof length, 1, file), 1);
    assert_int_equal(fwrite(header, length, 1, file), 1);
    for (int i = 0; i < TENSORS; i++)
        if (i != missing) assert_int_equal(fwrite(net[i].values, elements(&net[i]) * sizeof(float), 1, file), 1);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), ftell(file) - (long)cut), 0);
    fclose(file);
}

static void refused(const char *path, sotto_status code, const char *why)
{
    sotto_error err = {0};
    sotto__vad *vad = (sotto__vad *)1;
    assert_int_equal(sotto__vad_open(&vad, path, &err), code);
    assert_null(vad);
    if (!strstr(err.message, why)) fail_msg("\"%s\" does not say \"%s\"", err.message, why);
}

static void broken_files_are_refused(void **state)
{
    const char *path = temp_file("broken.safetensors");
    FILE *file;
    (void)state;
    refused(temp_file("nowhere"), SOTTO_ENOTFOUND, "nowhere");
    refused(temp_path, SOTTO_ENOTFOUND, "/silero_vad_16k.safetensors");
    for (int i = 0; i < TENSORS; i++) {
        char why[100];
        write_net(path, i, "F32", 0);
        snprintf(why, sizeof why, "tensor %s of Silero VAD (16 kHz) is missing", net[i].name);
        refused(path, SOTTO_EFORMAT, why);
    }
    for (int i = 0; i < TENSORS; i++) {
        char why[100];
        net[i].dims[0]++;
        write_net(path, -1, "F32", 0);
        snprintf(why, sizeof why, "tensor %s has shape [", net[i].name);
        refused(path, SOTTO_EFORMAT, why);
        net[i].dims[0]--;
    }
    net[CONV3].dims[2] = 0; /* a rank less */
    write_net(path, -1, "F32", 0);
    refused(path, SOTTO_EFORMAT, "has shape [64, 64], expected [64, 64, 3]");
    net[CONV3].dims[2] = 3;
    write_net(path, -1, "F16", 0);
    refused(path, SOTTO_EUNSUPPORTED, "tensor stft_conv.weight is not of dtype F32");
    for (size_t cut = 1; cut < 1200000; cut = cut * 7 + 3) {
        write_net(path, -1, "F32", cut);
        refused(path, SOTTO_EFORMAT, "lies outside the file");
    }
    file = fopen(path, "wb");
    assert_non_null(file);
    fputs("RIFF    WAVEfmt of something else entirely", file);
    fclose(file);
    refused(path, SOTTO_EFORMAT, "is no safetensors file");
}

/* ---- the network ---------------------------------------------------------------------------------------------- */

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* torch.nn.functional.conv1d with padding 1 and ReLU: x [in][n] -> y [out][(n - 1) / stride + 1] */
static void twin_conv(int weight, const double *x, size_t n, size_t stride, double *y)
{
    const size_t out = net[weight].dims[0], in = net[weight].dims[1], n_out = (n - 1) / stride + 1;
    for (size_t o = 0; o < out; o++)
        for (size_t t = 0; t < n_out; t++) {
            double sum = (double)net[weight + 1].values[o];
            for (size_t i = 0; i < in; i++)
                for (size_t k = 0; k < 3; k++) {
                    const size_t from = t * stride + k; /* behind the padding */
                    if (from >= 1 && from <= n)
                        sum += (double)net[weight].values[(o * in + i) * 3 + k] * x[i * n + from - 1];
                }
            y[o * n_out + t] = sum > 0 ? sum : 0;
        }
}

/* The network as tinygrad_model.py of silero-vad defines it, on samples at - 64 … at + 511. */
static double twin(const float *samples, size_t at, double h[128], double c[128])
{
    double x[640], magnitude[129 * 4], y1[128 * 4], y2[64 * 2], y3[64], y4[128], gates[512];
    double sum = (double)net[BOUT].values[0];
    for (size_t i = 0; i < 576; i++) x[i] = at + i >= 64 ? (double)samples[at + i - 64] : 0.0;
    for (size_t i = 0; i < 64; i++) x[576 + i] = x[574 - i];
    for (size_t k = 0; k < 129; k++)
        for (size_t t = 0; t < 4; t++) {
            double re = 0, im = 0;
            for (size_t i = 0; i < 256; i++) {
                re += (double)net[BASIS].values[k * 256 + i] * x[t * 128 + i];
                im += (double)net[BASIS].values[(129 + k) * 256 + i] * x[t * 128 + i];
            }
            magnitude[k * 4 + t] = sqrt(re * re + im * im);
        }
    twin_conv(CONV1, magnitude, 4, 1, y1);
    twin_conv(CONV2, y1, 4, 2, y2);
    twin_conv(CONV3, y2, 2, 2, y3);
    twin_conv(CONV4, y3, 1, 1, y4);
    for (size_t g = 0; g < 512; g++) {
        gates[g] = (double)net[BIH].values[g] + (double)net[BHH].values[g];
        for (size_t i = 0; i < 128; i++)
            gates[g] += (double)net[IH].values[g * 128 + i] * y4[i] + (double)net[HH].values[g * 128 + i] * h[i];
    }
    for (size_t i = 0; i < 128; i++) {
        c[i] = logistic(gates[128 + i]) * c[i] + logistic(gates[i]) * tanh(gates[256 + i]);
        h[i] = logistic(gates[384 + i]) * tanh(c[i]);
        if (h[i] > 0) sum += h[i] * (double)net[OUT].values[i];
    }
    return logistic(sum);
}

static sotto__vad *open_vad(const char *path)
{
    sotto_error err = {0};
    sotto__vad *vad = NULL;
    if (sotto__vad_open(&vad, path, &err) != SOTTO_OK) fail_msg("%s", err.message);
    return vad;
}

static sotto__vad *open_random(void)
{
    const char *path = temp_file("silero_vad_16k.safetensors");
    write_net(path, -1, "F32", 0);
    return open_vad(temp_path);
}

static void network_equals_the_definition(void **state)
{
    enum { N = 40 };
    sotto__vad *vad = open_random();
    sotto__vad_stream *s = NULL;
    float *x = signal_mixed(N * CHUNK, 16000.0, 3);
    double h[128] = {0}, c[128] = {0}, low = 1, high = 0;
    (void)state;
    assert_int_equal(sotto__vad_stream_create(&s, vad, NULL), SOTTO_OK);
    for (size_t i = 0; i < N; i++) {
        double expected = twin(x, i * CHUNK, h, c), got = (double)sotto__vad_stream_push(s, x + i * CHUNK);
        if (!(fabs(got - expected) < 1e-5)) fail_msg("chunk %zu: %.7f, expected %.7f", i, got, expected);
        low = fmin(low, got);
        high = fmax(high, got);
    }
    assert_true(high - low > 0.01); /* it listens */
    free(x);
    sotto__vad_stream_free(s);
    sotto__vad_free(vad);
}

/* Batches are counted from the first chunk, so pieces do not matter; against chunk by chunk, products are summed in
 * another order. */
static void check_tracks(sotto__vad *vad, size_t chunks, uint64_t seed)
{
    enum { LAST = 77 };
    const size_t samples = (chunks - 1) * CHUNK + LAST;
    sotto__vad_stream *s = NULL;
    float *x = signal_mixed(samples, 16000.0, seed), last[CHUNK] = {0};
    float *expected = malloc(chunks * sizeof *expected), *first = malloc(chunks * sizeof *first);
    assert_true(expected && first);
    memcpy(last, x + samples - LAST, LAST * sizeof *x);
    assert_int_equal(sotto__vad_stream_create(&s, vad, NULL), SOTTO_OK);
    for (size_t i = 0; i + 1 < chunks; i++) expected[i] = sotto__vad_stream_push(s, x + i * CHUNK);
    expected[chunks - 1] = sotto__vad_stream_push(s, last);
    sotto__vad_stream_reset(s);
    assert_float_equal(sotto__vad_stream_push(s, chunks > 1 ? x : last), expected[0], 0.0f);
    for (int round = 0; round < 10; round++) {
        sotto__vad_track *t = NULL;
        const float *got;
        size_t n;
        assert_int_equal(sotto__vad_track_create(&t, vad, NULL), SOTTO_OK);
        for (size_t at = 0; at < samples; at += n) {
            n = (size_t)((signal_random(&seed) + 1) * (double)(64 << round));
            if (round == 9 || n > samples - at) n = samples - at;
            assert_int_equal(sotto__vad_track_push(t, x + at, n, NULL), SOTTO_OK);
        }
        assert_int_equal(sotto__vad_track_finish(t, NULL), SOTTO_OK);
        assert_int_equal(sotto__vad_track_push(t, x, 1, NULL), SOTTO_EINVAL);
        assert_int_equal(sotto__vad_track_finish(t, NULL), SOTTO_EINVAL);
        assert_int_equal(sotto__vad_track_samples(t), samples);
        got = sotto__vad_track_probabilities(t, &n);
        assert_int_equal(n, chunks);
        for (size_t i = 0; i < chunks; i++)
            if (!(fabsf(got[i] - expected[i]) <= 2e-5f))
                fail_msg("chunk %zu of %zu: %.7f, expected %.7f", i, chunks, (double)got[i], (double)expected[i]);
        if (round == 0)
            memcpy(first, got, chunks * sizeof *first);
        else
            assert_memory_equal(got, first, chunks * sizeof *first);
        sotto__vad_track_free(t);
    }
    free(x);
    free(expected);
    free(first);
    sotto__vad_stream_free(s);
}

/* With a random basis and with one whose symmetries are used. */
static void any_pieces_give_the_stream_s_probabilities(void **state)
{
    static const size_t lengths[] = {1, 50, 64, 65, 128, 150};
    (void)state;
    for (int fourier = 0; fourier < 2; fourier++) {
        sotto__vad *vad;
        fourier_basis = fourier;
        vad = open_random();
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) check_tracks(vad, lengths[i], 4 + i);
        sotto__vad_free(vad);
    }
    fourier_basis = false;
}

/* Squares of their spectrum would overflow and, all weights before the LSTM being positive, reach its state. */
static void deafening_samples_leave_the_state_finite(void **state)
{
    sotto__vad *vad;
    sotto__vad_stream *s = NULL;
    float x[CHUNK], last = 0;
    (void)state;
    only_positive = true;
    vad = open_random();
    only_positive = false;
    assert_int_equal(sotto__vad_stream_create(&s, vad, NULL), SOTTO_OK);
    for (int round = 0; round < 8; round++) {
        float p;
        for (size_t i = 0; i < CHUNK; i++) x[i] = round > 3 ? 1e-3f * (float)(round - 4) : 1e20f;
        p = sotto__vad_stream_push(s, x);
        if (round > 4 && p == last) fail_msg("chunk %d: %f as before, it hears nothing", round, (double)p);
        last = p;
    }
    sotto__vad_stream_free(s);
    sotto__vad_free(vad);
}

/* ---- the package's probabilities ------------------------------------------------------------------------------ */

/* synthetic() of make_vad_goldens.py, for free(). */
static float *signal_synthetic(void)
{
    float *x = malloc(SYNTHETIC * sizeof *x);
    uint64_t seed = 7;
    assert_non_null(x);
    for (size_t i = 0; i < SYNTHETIC; i++) {
        const double t = (double)i / 16000, turn = 2 * PI * t, f0 = 120 + 30 * sin(0.4 * turn),
                     phase = 120 * turn - 75 * cos(0.4 * turn), in_turn = fmod(t, 5.0), syllable = sin(3 * turn);
        const double formants[] = {500 + 200 * sin(1.3 * turn), 1500 + 400 * sin(0.9 * turn), 2500};
        double y = 0;
        for (int h = 1; h <= 30 && in_turn < 3.0 && syllable > 0; h++) {
            double level = 0;
            for (int k = 0; k < 3; k++) level += exp(-(h * f0 - formants[k]) * (h * f0 - formants[k]) / 22500);
            y += 0.1 * syllable * level * sin(h * phase);
        }
        y += (0.002 + (in_turn >= 3.5 && in_turn < 3.75 ? 0.2 : 0.0)) * signal_random(&seed);
        if (t >= 18.0) y += 0.3 * sin(2 * PI * 400 * (t - 18.0) * (t - 18.0));
        x[i] = (float)y;
    }
    return x;
}

/* Holds the track against the golden signal of that name. */
static void check_probabilities(const sotto__vad_track *t, const char *name)
{
    FILE *file = fopen(GOLDEN "probabilities.txt", "r");
    char found[100];
    size_t samples, chunks, n;
    const float *got = sotto__vad_track_probabilities(t, &n);
    double worst = 0;
    assert_non_null(file);
    while (fscanf(file, " signal %99s %zu %zu", found, &samples, &chunks) == 3) {
        for (size_t i = 0; i < chunks; i++) {
            double p;
            assert_int_equal(fscanf(file, "%lf", &p), 1);
            if (strcmp(found, name) != 0) continue;
            assert_int_equal(chunks, n);
            assert_int_equal(samples, sotto__vad_track_samples(t));
            if (!(fabs((double)got[i] - p) <= 1e-4))
                fail_msg("%s, chunk %zu: %.6f, expected %.6f", name, i, (double)got[i], p);
            worst = fmax(worst, fabs((double)got[i] - p));
        }
        if (strcmp(found, name) == 0) {
            print_message("%s: largest difference %.1e over %zu chunks\n", name, worst, n);
            fclose(file);
            return;
        }
    }
    fail_msg("no golden signal %s", name);
}

static sotto_status tap(const float *samples, size_t n, void *user, sotto_error *err)
{
    return sotto__vad_track_push(user, samples, n, err);
}

static void probabilities_of_synthetic_speech_are_the_package_s(void **state)
{
    sotto__vad *vad = open_vad(real_dir);
    sotto__vad_track *t = NULL;
    float *x = signal_synthetic();
    (void)state;
    assert_int_equal(sotto__vad_track_create(&t, vad, NULL), SOTTO_OK);
    assert_int_equal(sotto__vad_track_push(t, x, SYNTHETIC, NULL), SOTTO_OK);
    assert_int_equal(sotto__vad_track_finish(t, NULL), SOTTO_OK);
    check_probabilities(t, "synthetic");
    free(x);
    sotto__vad_track_free(t);
    sotto__vad_free(vad);
}

/* Decoded, resampled, and heard on the way into features. */
static void probabilities_of_a_recording_are_the_package_s(void **state)
{
    static const char path[] = SOTTO_SOURCE_DIR "/../shared/audio/jfk.flac";
    double stage_s[SOTTO_STAGE_COUNT] = {0};
    sotto_error err = {0};
    sotto__vad *vad;
    sotto__vad_track *t = NULL;
    sotto__features *f;
    (void)state;
    if (access(path, R_OK) != 0) skip();
    vad = open_vad(real_dir);
    f = features_new(80);
    assert_int_equal(sotto__vad_track_create(&t, vad, NULL), SOTTO_OK);
    sotto__features_set_tap(f, tap, t);
    if (sotto__decode_file(f, path, stage_s, NULL, NULL, &err) != SOTTO_OK) fail_msg("%s", err.message);
    assert_int_equal(sotto__vad_track_finish(t, NULL), SOTTO_OK);
    check_probabilities(t, "audio/jfk.flac");
    sotto__features_free(f);
    sotto__vad_track_free(t);
    sotto__vad_free(vad);
}

/* ---- spans ---------------------------------------------------------------------------------------------------- */

/* random_probabilities() of make_vad_goldens.py, for free(). */
static float *random_probabilities(uint64_t seed, size_t n)
{
    float *p = malloc((n + 1) * sizeof *p);
    double base = 0, width = 0;
    size_t left = 0;
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        if (left == 0) {
            const double length = (signal_random(&seed) + 1) * 0.5;
            double kind;
            left = 1 + (size_t)(length * (signal_random(&seed) > 0 ? 60 : 6));
            kind = signal_random(&seed);
            base = kind < -0.3 ? 0.0 : kind < 0.0 ? 0.3 : 0.5;
            width = kind < 0.0 ? 0.3 : 0.5;
        }
        left--;
        p[i] = (float)(base + width * (signal_random(&seed) + 1) * 0.5);
    }
    return p;
}

static void spans_are_the_package_s(void **state)
{
    FILE *file = fopen(GOLDEN "spans.txt", "r");
    sotto__vad_options o;
    sotto__spans spans = {0};
    size_t seed, chunks, samples, expected, cases = 0;
    int use_longest;
    (void)state;
    assert_non_null(file);
    sotto__vad_options_default(&o);
    while (fscanf(file, " case %zu %zu %zu %lf %lf %lf %lf %lf %lf %lf %d %zu", &seed, &chunks, &samples, &o.threshold,
                  &o.neg_threshold, &o.min_speech_duration_ms, &o.max_speech_duration_s, &o.min_silence_duration_ms,
                  &o.speech_pad_ms, &o.min_silence_at_max_speech, &use_longest, &expected) == 12) {
        float *p = random_probabilities(seed, chunks);
        o.use_max_poss_sil_at_max_speech = use_longest != 0;
        assert_int_equal(sotto__vad_spans(p, chunks, samples, &o, &spans, NULL), SOTTO_OK);
        if (spans.n != expected) fail_msg("case %zu: %zu spans, expected %zu", seed, spans.n, expected);
        for (size_t i = 0; i < expected; i++) {
            uint64_t start, end;
            assert_int_equal(fscanf(file, "%" SCNu64 " %" SCNu64, &start, &end), 2);
            if (start != spans.items[i].start || end != spans.items[i].end)
                fail_msg("case %zu, span %zu: %" PRIu64 " … %" PRIu64 ", expected %" PRIu64 " … %" PRIu64, seed, i,
                         spans.items[i].start, spans.items[i].end, start, end);
        }
        free(p);
        cases++;
    }
    assert_true(feof(file));
    assert_int_equal(cases, 120);
    fclose(file);
    sotto__spans_free(&spans);
}

static void bad_arguments_are_refused(void **state)
{
    float p[4] = {0};
    sotto__vad_options o;
    sotto__chunk_options c;
    sotto__span pair[] = {{0, 900}, {800, 1000}};
    sotto__spans in = {pair, 2, 2}, out = {0};
    (void)state;
    sotto__vad_options_default(&o);
    sotto__chunk_options_default(&c);
    assert_int_equal(sotto__vad_spans(p, 4, 3 * CHUNK, &o, &out, NULL), SOTTO_EINVAL);
    assert_int_equal(sotto__vad_spans(p, 4, 4 * CHUNK + 1, &o, &out, NULL), SOTTO_EINVAL);
    o.speech_pad_ms = -1;
    assert_int_equal(sotto__vad_spans(p, 4, 4 * CHUNK, &o, &out, NULL), SOTTO_EINVAL);
    assert_int_equal(sotto__vad_chunks(&in, p, 3, 4 * CHUNK, &c, &out, NULL), SOTTO_EINVAL);
    assert_int_equal(sotto__vad_chunks(&in, p, 4, 4 * CHUNK, &c, &out, NULL), SOTTO_EINVAL); /* overlapping spans */
    pair[1] = (sotto__span){1000, 2049};
    assert_int_equal(sotto__vad_chunks(&in, p, 4, 4 * CHUNK, &c, &out, NULL), SOTTO_EINVAL); /* beyond the end */
    pair[1] = (sotto__span){1000, 2048};
    assert_int_equal(sotto__vad_chunks(&in, p, 4, 4 * CHUNK, &c, &out, NULL), SOTTO_OK);
    c.max = 1000;
    assert_int_equal(sotto__vad_chunks(&in, p, 4, 4 * CHUNK, &c, &out, NULL), SOTTO_EINVAL);
    c.max = 0;
    assert_int_equal(sotto__vad_chunks(&in, p, 4, 4 * CHUNK, &c, &out, NULL), SOTTO_EINVAL);
    c.grid = 0;
    assert_int_equal(sotto__vad_chunks(&in, p, 4, 4 * CHUNK, &c, &out, NULL), SOTTO_EINVAL);
    assert_int_equal(out.n, 0);
    sotto__spans_free(&out);
}

/* ---- chunks --------------------------------------------------------------------------------------------------- */

static void check_chunks(const sotto__spans *spans, const float *p, size_t n, uint64_t samples,
                         const sotto__chunk_options *o, sotto__spans *out)
{
    size_t k = 0;
    assert_int_equal(sotto__vad_chunks(spans, p, n, samples, o, out, NULL), SOTTO_OK);
    for (size_t i = 0; i < out->n; i++) {
        const sotto__span *c = &out->items[i];
        uint64_t speech_start = 0, speech_end = 0; /* the first and last speech of this chunk */
        bool heard = false;
        assert_true(c->start < c->end && c->end <= samples);
        assert_true(c->end - c->start <= o->max);
        assert_true(c->start % o->grid == 0 && (c->end % o->grid == 0 || c->end == samples));
        if (i) {
            assert_true(c->start >= c[-1].end);
            if (i > 1) assert_true(c->end - c[-2].start > o->max); /* else two would do for the three */
        }
        for (size_t s = 0; s < spans->n; s++) {
            const sotto__span *speech = &spans->items[s];
            if (speech->start >= c->end || speech->end <= c->start || speech->start == speech->end) continue;
            if (!heard) speech_start = speech->start > c->start ? speech->start : c->start;
            speech_end = speech->end < c->end ? speech->end : c->end;
            heard = true;
        }
        assert_true(heard);
        assert_true(speech_start - c->start < o->pad + o->grid);
        assert_true(c->end - speech_end < o->pad + o->grid);
    }
    for (size_t s = 0; s < spans->n; s++) { /* chunks are disjoint: covered means exactly once */
        uint64_t at = spans->items[s].start;
        while (at < spans->items[s].end) {
            while (k < out->n && out->items[k].end <= at) k++;
            if (k == out->n || out->items[k].start > at)
                fail_msg("sample %" PRIu64 " of span %zu is in no chunk", at, s);
            at = out->items[k].end;
        }
    }
}

/* A full chunk ends at its longest pause, if that lies in its second half; else at the last one. */
static void full_chunks_end_at_the_longest_pause(void **state)
{
    enum { SECOND = SOTTO__VAD_RATE, SECONDS = 50 };
    static const struct {
        double pause_at, pause; /* one pause among those of 0.2 s */
        double first_end;       /* where the first chunk's speech ends */
    } cases[] = {{20, 0.9, 20}, {28, 0.5, 28}, {9, 0.9, 29.4}, {20, 0.2, 29.4}};
    float p[SECONDS * SECOND / CHUNK + 1];
    (void)state;
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) p[i] = 0.9f;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        sotto__span items[64];
        sotto__spans spans = {items, 0, 64}, out = {0};
        sotto__chunk_options o;
        double at = 0;
        sotto__chunk_options_default(&o);
        while (at < SECONDS - 2) { /* speech of 0.8 s, then 0.2 s or the long pause */
            const double end = at + 0.8, pause = fabs(end - cases[k].pause_at) < 0.5 ? cases[k].pause : 0.2;
            items[spans.n++] = (sotto__span){(uint64_t)(at * SECOND), (uint64_t)(end * SECOND)};
            at = end + pause;
        }
        check_chunks(&spans, p, sizeof p / sizeof *p, SECONDS * SECOND, &o, &out);
        assert_true(out.n == 2);
        assert_true(fabs((double)out.items[0].end / SECOND - cases[k].first_end) < 0.6);
        sotto__spans_free(&out);
    }
}

static void chunks_hold_all_speech_once(void **state)
{
    sotto__spans spans = {0}, out = {0};
    sotto__vad_options vad;
    uint64_t seed = 17;
    size_t several = 0;
    (void)state;
    sotto__vad_options_default(&vad);
    for (uint64_t round = 0; round < 600; round++) {
        static const uint64_t longest[] = {160, 1600, 16000, 80000, 480000}, grids[] = {160, 160, 1, 320},
                              pads[] = {0, 160, 3200, 100000};
        const size_t n = (size_t)((signal_random(&seed) + 1) * 1000);
        const uint64_t samples = n * CHUNK - (n ? round % CHUNK : 0);
        float *p = random_probabilities(round, n);
        sotto__chunk_options o = {.max = longest[round % 5], .pad = pads[round / 5 % 4], .grid = grids[round % 4]};
        if (o.max % o.grid != 0) o.grid = 160;
        vad.min_silence_duration_ms = round % 3 ? 100 : 0;
        vad.max_speech_duration_s = round % 7 ? INFINITY : 3;
        vad.speech_pad_ms = round % 2 ? 30 : 0;
        assert_int_equal(sotto__vad_spans(p, n, samples, &vad, &spans, NULL), SOTTO_OK);
        check_chunks(&spans, p, n, samples, &o, &out);
        several += out.n > 1;
        free(p);
    }
    assert_true(several > 300);
    sotto__spans_free(&spans);
    sotto__spans_free(&out);
}

/* Spans of any length at any place, touching ones and empty ones too. */
static void chunks_of_arbitrary_spans(void **state)
{
    sotto__span items[40];
    sotto__spans spans = {items, 0, 40}, out = {0};
    uint64_t seed = 18;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        const double scale = round % 2 ? 300 : 60000;
        sotto__chunk_options o;
        uint64_t at = 0, samples;
        size_t n;
        float *p;
        sotto__chunk_options_default(&o);
        if (round % 4 < 2) o.max = 1600, o.pad = 320;
        spans.n = (size_t)((signal_random(&seed) + 1) * 20);
        for (size_t i = 0; i < spans.n; i++) {
            double gap = signal_random(&seed) * scale, length = signal_random(&seed) * scale;
            items[i].start = at + (gap > 0 ? (uint64_t)gap : 0);
            at = items[i].end = items[i].start + (length > 0 ? (uint64_t)length : 0);
        }
        samples = at + (uint64_t)(fabs(signal_random(&seed)) * scale);
        n = (size_t)((samples + CHUNK - 1) / CHUNK);
        p = random_probabilities((uint64_t)round, n);
        check_chunks(&spans, p, n, samples, &o, &out);
        free(p);
    }
    sotto__spans_free(&out);
}

static void expect_chunks(sotto__span *spans, size_t n_spans, const float *p, size_t n, const sotto__span *expected,
                          size_t n_expected)
{
    sotto__spans in = {spans, n_spans, n_spans}, out = {0};
    sotto__chunk_options o;
    sotto__chunk_options_default(&o);
    check_chunks(&in, p, n, (uint64_t)n * CHUNK, &o, &out);
    assert_int_equal(out.n, n_expected);
    for (size_t i = 0; i < n_expected; i++) {
        assert_int_equal(out.items[i].start, expected[i].start);
        assert_int_equal(out.items[i].end, expected[i].end);
    }
    sotto__spans_free(&out);
}

static void recordings_are_cut_at_silences(void **state)
{
    enum { S = 16000, N = 4000 }; /* 128 s */
    static float p[N];
    (void)state;
    for (size_t i = 0; i < N; i++) p[i] = 0.9f;
    expect_chunks(NULL, 0, p, N, NULL, 0);
    expect_chunks(NULL, 0, p, 0, NULL, 0);
    /* joined up to 30 s, padded by 0.2 s where there is silence; leading and trailing silence dropped */
    expect_chunks((sotto__span[]){{5 * S, 10 * S}, {12 * S, 34 * S}, {36 * S, 40 * S}}, 3, p, N,
                  (sotto__span[]){{5 * S - 3200, 34 * S + 3200}, {36 * S - 3200, 40 * S + 3200}}, 2);
    /* a silence shorter than twice the padding is shared; one at the start is all there is */
    expect_chunks((sotto__span[]){{1600, 29 * S}, {29 * S + 1600, 40 * S}}, 2, p, N,
                  (sotto__span[]){{0, 29 * S + 800}, {29 * S + 800, 40 * S + 3200}}, 2);
    /* 30 s of speech leave no room for padding, and half a second less leaves all of it */
    expect_chunks((sotto__span[]){{10 * S, 40 * S}}, 1, p, N, (sotto__span[]){{10 * S, 40 * S}}, 1);
    expect_chunks((sotto__span[]){{10 * S, 40 * S - 8000}}, 1, p, N,
                  (sotto__span[]){{10 * S - 3200, 40 * S - 8000 + 3200}}, 1);
    /* 33 s of speech: the rest behind the cut is at least 7.5 s long, though speech is less probable later */
    for (size_t i = 820; i < 840; i++) p[i] = 0.5f;
    expect_chunks((sotto__span[]){{0, 33 * S}}, 1, p, N, (sotto__span[]){{0, 2548 * 160}, {2548 * 160, 33 * S + 3200}},
                  2);
    for (size_t i = 820; i < 840; i++) p[i] = 0.9f;
    /* 70 s of speech: cut in the middle of a dip, not at a deeper single chunk, and not after 30 s */
    for (size_t i = 700; i < 703; i++) p[i] = 0.3f;
    p[650] = 0.0f;
    for (size_t i = 1000; i < 1010; i++) p[i] = 0.1f; /* 32 s: more than 30 s from the start */
    for (size_t i = 1450; i < 1460; i++) p[i] = 0.2f;
    expect_chunks((sotto__span[]){{0, 70 * S}}, 1, p, N,
                  (sotto__span[]){{0, (701 * CHUNK + 256) / 160 * 160},
                                  {(701 * CHUNK + 256) / 160 * 160, (1458 * CHUNK + 256) / 160 * 160},
                                  {(1458 * CHUNK + 256) / 160 * 160, 70 * S + 3200}},
                  3);
}

/* ---- the tap -------------------------------------------------------------------------------------------------- */

static sotto_status refuse(const float *samples, size_t n, void *user, sotto_error *err)
{
    (void)samples, (void)n;
    *(int *)user += 1;
    if (err) err->code = SOTTO_ECANCELLED;
    return SOTTO_ECANCELLED;
}

static void a_tap_that_refuses_stops_the_push(void **state)
{
    float x[700] = {0};
    int calls = 0;
    sotto__features *f = features_new(80);
    (void)state;
    sotto__features_set_tap(f, refuse, &calls);
    assert_int_equal(sotto__features_push(f, x, 0, NULL), SOTTO_OK);
    x[600] = NAN;
    assert_int_equal(sotto__features_push(f, x, 700, NULL), SOTTO_EAUDIO);
    assert_int_equal(calls, 0);
    assert_int_equal(sotto__features_push(f, x, 600, NULL), SOTTO_ECANCELLED);
    assert_int_equal(calls, 1);
    sotto__features_free(f);
}

static bool find_real(void)
{
    const char *roots[] = {getenv("SOTTO_MODELS"), SOTTO_SOURCE_DIR "/models"};
    for (size_t i = 0; i < 2; i++) {
        char file[1100];
        if (!roots[i]) continue;
        snprintf(real_dir, sizeof real_dir, "%s/silero-vad", roots[i]);
        snprintf(file, sizeof file, "%s/silero_vad_16k.safetensors", real_dir);
        if (access(file, R_OK) == 0) return true;
    }
    return false;
}

int main(void)
{
    const struct CMUnitTest always[] = {
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(network_equals_the_definition),
        cmocka_unit_test(any_pieces_give_the_stream_s_probabilities),
        cmocka_unit_test(deafening_samples_leave_the_state_finite),
        cmocka_unit_test(spans_are_the_package_s),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(full_chunks_end_at_the_longest_pause),
        cmocka_unit_test(chunks_hold_all_speech_once),
        cmocka_unit_test(chunks_of_arbitrary_spans),
        cmocka_unit_test(recordings_are_cut_at_silences),
        cmocka_unit_test(a_tap_that_refuses_stops_the_push),
    };
    const struct CMUnitTest real[] = {
        cmocka_unit_test(probabilities_of_synthetic_speech_are_the_package_s),
        cmocka_unit_test(probabilities_of_a_recording_are_the_package_s),
    };
    int failed = cmocka_run_group_tests(always, temp_create, temp_remove);
    for (size_t i = 0; i < TENSORS; i++) free(net[i].values);
    if (!find_real()) {
        fprintf(stderr, "skipped: silero-vad is not there (models/fetch silero-vad)\n");
        return failed ? 1 : 77;
    }
    failed += cmocka_run_group_tests_name("silero-vad", real, NULL, NULL);
    return failed ? 1 : 0;
}
