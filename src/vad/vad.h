/* SPDX-License-Identifier: MIT
 * Voice activity detection: 16 kHz samples in, one speech probability per 512 samples (32 ms) out. The network is
 * Silero VAD's for 16 kHz in f32: a short-time Fourier transform as a convolution, four convolutions, an LSTM cell.
 * What probabilities mean for a recording is decided in vad/spans.h. */
#ifndef SOTTO_VAD_VAD_H
#define SOTTO_VAD_VAD_H

#include "sotto.h"

enum { SOTTO__VAD_RATE = 16000, SOTTO__VAD_CHUNK = 512 };

/* The weights: immutable once open, any number of threads. */
typedef struct sotto__vad sotto__vad;

/* `path` is silero_vad_16k.safetensors or a directory that holds it. */
sotto_status sotto__vad_open(sotto__vad **out, const char *path, sotto_error *err);
void sotto__vad_free(sotto__vad *vad);

/* What the network remembers of one signal: LSTM state and the last 64 samples. One thread at a time; borrows `vad`. */
typedef struct sotto__vad_stream sotto__vad_stream;
sotto_status sotto__vad_stream_create(sotto__vad_stream **out, const sotto__vad *vad, sotto_error *err);
void sotto__vad_stream_free(sotto__vad_stream *s);

/* Forgets the signal: the next chunk is a first one. */
void sotto__vad_stream_reset(sotto__vad_stream *s);

/* Probability that the next 512 samples (finite, full scale 1) hold speech. Does not allocate or block. */
float sotto__vad_stream_push(sotto__vad_stream *s, const float chunk[SOTTO__VAD_CHUNK]);

/* A recording's probabilities, gathered while its samples stream past in pieces of any size, which do not matter to
 * them. Within 2e-5 of sotto__vad_stream_push's, at a quarter of the time. */
typedef struct sotto__vad_track sotto__vad_track;
sotto_status sotto__vad_track_create(sotto__vad_track **out, const sotto__vad *vad, sotto_error *err);
void sotto__vad_track_free(sotto__vad_track *t);
sotto_status sotto__vad_track_push(sotto__vad_track *t, const float *samples, size_t n, sotto_error *err);

/* Ends the recording: zeros fill its last chunk. No push after this. */
sotto_status sotto__vad_track_finish(sotto__vad_track *t, sotto_error *err);

/* One probability per chunk, *n of them, valid until the next push; up to 64 chunks wait for company until the
 * recording ends. And the samples pushed. */
const float *sotto__vad_track_probabilities(const sotto__vad_track *t, size_t *n);
uint64_t sotto__vad_track_samples(const sotto__vad_track *t);

#endif
