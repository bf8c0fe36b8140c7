/* SPDX-License-Identifier: MIT
 * A recording of any container that is read, as far as its first seconds. */
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "sotto.h"

enum { MOST = 16000 * 20 };

static bool hear(const float *samples, size_t n, void *user)
{
    size_t *heard = user;
    volatile float sum = 0;
    for (size_t i = 0; i < n; i++) sum += samples[i];
    *heard += n;
    return *heard < MOST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t heard = 0;
    sotto_error err = {0};
    const sotto_status st = sotto_audio_read(fuzz_file("sound", data, n), hear, &heard, &err);
    if (st != SOTTO_OK && !*err.message) abort();
    return 0;
}

void fuzz_seeds(void (*take)(const void *data, size_t n))
{
    static const struct {
        const char *muxer, *encoder;
    } kinds[] = {{"wav", "pcm_s16le"},  {"flac", "flac"},    {"aiff", "pcm_s16be"}, {"ogg", "libvorbis"},
                 {"mp3", "libmp3lame"}, {"webm", "libopus"}, {"au", "pcm_s16be"},   {"matroska", "pcm_s16le"},
                 {"mp4", "aac"},        {"avi", "adpcm_ms"}, {"matroska", "pcm_u8"}};
    static float tone[4800];
    av_log_set_level(AV_LOG_QUIET); /* the encoders talk */
    for (size_t i = 0; i < 4800; i++) tone[i] = 0.2f * sinf(0.05f * (float)i);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *path = fuzz_file("made", "", 0);
        const int rate = strcmp(kinds[i].encoder, "libopus") ? 16000 : 48000;
        if (encode_file(path, kinds[i].muxer, kinds[i].encoder, tone, 4800, rate)) fuzz_seed_file(take, 0, false, path);
    }
}
