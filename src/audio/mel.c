/* SPDX-License-Identifier: MIT
 * The mel filter bank and the log-mel energies of one frame. Mirrors librosa.filters.mel and the body of
 * whisper.audio.log_mel_spectrogram up to the log10. */
#include "audio/mel.h"

#include "audio/fft.h"
#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MELS = 1024 };

/* Slaney's Auditory Toolbox scale: linear below 1 kHz (15 mels), then 27 mels to a factor of 6.4. */
static double mel_to_hz(double mel)
{
    const double hz_per_mel = 200.0 / 3.0, knee_hz = 1000.0, knee_mel = 15.0;
    if (mel < knee_mel) return hz_per_mel * mel;
    return knee_hz * exp(log(6.4) / 27.0 * (mel - knee_mel));
}

static double hz_to_mel(double hz)
{
    const double hz_per_mel = 200.0 / 3.0, knee_hz = 1000.0, knee_mel = 15.0;
    if (hz < knee_hz) return hz / hz_per_mel;
    return knee_mel + log(hz / knee_hz) / (log(6.4) / 27.0);
}

static sotto_status check_mels(size_t n_mels, sotto_error *err)
{
    if (n_mels >= 1 && n_mels <= MAX_MELS) return SOTTO_OK;
    return sotto__fail(err, SOTTO_EINVAL, "mel bands: got %zu, expected 1 to %d", n_mels, MAX_MELS);
}

sotto_status sotto__mel_filters(float *out, size_t n_mels, sotto_error *err)
{
    const double top_hz = SOTTO__SAMPLE_RATE / 2.0, top_mel = hz_to_mel(top_hz), bin_hz = top_hz / (SOTTO__BINS - 1);
    size_t i, k;
    sotto_status st = check_mels(n_mels, err);
    if (st != SOTTO_OK) return st;
    for (i = 0; i < n_mels; i++) {
        double step = top_mel / (double)(n_mels + 1);
        double left = mel_to_hz((double)i * step), peak = mel_to_hz((double)(i + 1) * step);
        double right = i + 1 == n_mels ? mel_to_hz(top_mel) : mel_to_hz((double)(i + 2) * step);
        for (k = 0; k < SOTTO__BINS; k++) {
            double hz = bin_hz * (double)k, up = (hz - left) / (peak - left), down = (right - hz) / (right - peak);
            /* librosa stores the triangle as f32 and then scales it to unit area: two roundings. */
            float triangle = (float)fmax(0.0, fmin(up, down));
            out[i * SOTTO__BINS + k] = (float)((double)triangle * (2.0 / (right - left)));
        }
    }
    return SOTTO_OK;
}

/* Bins first … first+count-1 of a filter are all that is not zero; its weights start at weights[offset]. */
typedef struct band {
    size_t first, count, offset;
} band;

struct sotto__mel {
    size_t n_mels;
    sotto__fft fft;
    double window[SOTTO__N_FFT];
    band *bands;
    double *weights;
};

sotto_status sotto__mel_open(sotto__mel **out, size_t n_mels, const float *filters, sotto_error *err)
{
    sotto__mel *mel;
    size_t i, k, total = 0;
    sotto_status st = check_mels(n_mels, err);
    *out = NULL;
    if (st != SOTTO_OK) return st;
    for (i = 0; i < n_mels * SOTTO__BINS; i++) {
        if (!isfinite(filters[i]))
            return sotto__fail(err, SOTTO_EFORMAT, "mel filter %zu: value of bin %zu is not a finite number",
                               i / SOTTO__BINS, i % SOTTO__BINS);
    }
    mel = calloc(1, sizeof *mel);
    if (!mel) return sotto__fail_nomem(err, "mel filters");
    mel->n_mels = n_mels;
    mel->bands = calloc(n_mels, sizeof *mel->bands);
    mel->weights = calloc(n_mels * SOTTO__BINS, sizeof *mel->weights);
    if (!mel->bands || !mel->weights) {
        sotto__mel_free(mel);
        return sotto__fail_nomem(err, "mel filters");
    }
    sotto__fft_init(&mel->fft);
    /* torch.hann_window(400): periodic */
    for (i = 0; i < SOTTO__N_FFT; i++) mel->window[i] = 0.5 - 0.5 * mel->fft.re[i];
    for (i = 0; i < n_mels; i++) {
        const float *row = filters + i * SOTTO__BINS;
        size_t first = 0, end = SOTTO__BINS;
        while (end > 0 && row[end - 1] == 0.0f) end--;
        while (first < end && row[first] == 0.0f) first++;
        mel->bands[i] = (band){first, end - first, total};
        for (k = first; k < end; k++) mel->weights[total++] = (double)row[k];
    }
    *out = mel;
    return SOTTO_OK;
}

void sotto__mel_free(sotto__mel *mel)
{
    if (!mel) return;
    free(mel->bands);
    free(mel->weights);
    free(mel);
}

void sotto__mel_frame(const sotto__mel *mel, const float x[SOTTO__N_FFT], float *out)
{
    double windowed[SOTTO__N_FFT], power[SOTTO__BINS];
    size_t i, k;
    for (i = 0; i < SOTTO__N_FFT; i++) windowed[i] = mel->window[i] * (double)x[i];
    sotto__fft_power(&mel->fft, windowed, power);
    for (i = 0; i < mel->n_mels; i++) {
        const band *b = &mel->bands[i];
        const double *weights = mel->weights + b->offset, *bins = power + b->first;
        double sum = 0.0;
        for (k = 0; k < b->count; k++) sum += weights[k] * bins[k];
        out[i] = (float)log10(sum > 1e-10 ? sum : 1e-10);
    }
}
