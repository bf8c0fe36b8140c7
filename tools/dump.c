/* SPDX-License-Identifier: MIT
 * sotto-dump: one stage's output as raw little-endian f32, for comparing with the reference.
 *
 *   sotto-dump mel MODEL AUDIO OUT       [content frames, n_mels], normalised log-mel of the whole recording
 *   sotto-dump encoder MODEL AUDIO OUT   [1500, D], encoder states of the first window
 *   sotto-dump info MODEL                dimensions and parameters, one a line */
#include "audio/decode.h"
#include "model/model.h"
#include "model/runtime.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = SOTTO__WINDOW_FRAMES };

struct run {
    sotto_model *model;
    sotto__runtime *rt;
    sotto__features *f;
    float *mel;
    size_t mels;
    FILE *out;
};

static bool write_floats(struct run *r, const float *values, size_t n)
{
    return fwrite(values, sizeof *values, n, r->out) == n;
}

static sotto_status dump_mel(struct run *r, sotto_error *err)
{
    const size_t frames = sotto__features_frames(r->f);
    for (size_t seek = 0; seek < frames; seek += FRAMES) {
        const size_t n = frames - seek < FRAMES ? frames - seek : FRAMES;
        sotto_status st = sotto__features_window(r->f, seek, n, SOTTO__PAD_ZERO, r->mel, err);
        if (st != SOTTO_OK) return st;
        if (!write_floats(r, r->mel, n * r->mels)) return SOTTO_EIO;
    }
    return SOTTO_OK;
}

static sotto_status dump_encoder(struct run *r, sotto_error *err)
{
    const sotto_model_info *info = sotto_model_get_info(r->model);
    const size_t frames = sotto__features_frames(r->f);
    sotto__window *w = NULL;
    sotto_status st = sotto__features_window(r->f, 0, frames < FRAMES ? frames : FRAMES, SOTTO__PAD_ZERO, r->mel, err);
    if (st == SOTTO_OK) st = sotto__window_create(&w, r->rt, err);
    if (st == SOTTO_OK) st = sotto__encode(r->rt, r->mel, frames, 1, w, err);
    if (st == SOTTO_OK &&
        !write_floats(r, sotto__window_states(w), (size_t)info->n_audio_ctx * (size_t)info->n_audio_state))
        st = SOTTO_EIO;
    sotto__window_free(w);
    return st;
}

static void print_info(const sotto_model_info *info)
{
    printf("format %s\nmultilingual %d\n", info->format, info->multilingual);
    printf("dims %d %d %d %d %d %d %d %d %d %d\n", info->n_mels, info->n_audio_ctx, info->n_audio_state,
           info->n_audio_head, info->n_audio_layer, info->n_vocab, info->n_text_ctx, info->n_text_state,
           info->n_text_head, info->n_text_layer);
    printf("parameters %" PRIu64 "\n", info->parameters);
    for (int p = 0; p < SOTTO_PART_COUNT; p++)
        printf("part %s %" PRIu64 "\n", sotto_part_name((sotto_part)p), info->part_parameters[p]);
    printf("unshared_conv_parameters %" PRIu64 "\nload_s %.3f\n", info->unshared_conv_parameters, info->load_s);
}

static const struct {
    const char *name;
    sotto_status (*run)(struct run *r, sotto_error *err);
} stages[] = {{"mel", dump_mel}, {"encoder", dump_encoder}};

int main(int argc, char **argv)
{
    sotto_error err = {SOTTO_EINVAL, "usage: sotto-dump mel|encoder MODEL AUDIO OUT, or sotto-dump info MODEL"};
    struct run r = {0};
    sotto_model_options options;
    double seconds[SOTTO_STAGE_COUNT] = {0};
    sotto_status st = SOTTO_EINVAL;
    size_t stage = 0;
    const bool info_only = argc == 3 && strcmp(argv[1], "info") == 0;
    while (!info_only && stage < 2 && (argc != 5 || strcmp(argv[1], stages[stage].name) != 0)) stage++;
    if (stage == 2) goto done;
    sotto_model_options_default(&options);
    options.precision = SOTTO_PRECISION_F32;
    if ((st = sotto_model_open(&r.model, argv[2], &options, &err)) != SOTTO_OK) goto done;
    if (info_only) {
        print_info(sotto_model_get_info(r.model));
        goto done;
    }
    r.mels = (size_t)sotto_model_get_info(r.model)->n_mels;
    r.mel = malloc(FRAMES * r.mels * sizeof *r.mel);
    r.out = fopen(argv[4], "wb");
    if (!r.mel || !r.out) {
        st = SOTTO_EIO;
        snprintf(err.message, sizeof err.message, "cannot write %s", argv[4]);
        goto done;
    }
    if ((st = sotto__runtime_open(&r.rt, r.model, &err)) != SOTTO_OK) goto done;
    if ((st = sotto__features_open(&r.f, r.mels, sotto__runtime_mel_filters(r.rt), &err)) != SOTTO_OK) goto done;
    if ((st = sotto__decode_file(r.f, argv[3], seconds, NULL, NULL, &err)) != SOTTO_OK) goto done;
    st = stages[stage].run(&r, &err);
done:
    if (st != SOTTO_OK) fprintf(stderr, "sotto-dump: %s\n", err.message);
    if (r.out && fclose(r.out) != 0) st = SOTTO_EIO;
    free(r.mel);
    sotto__features_free(r.f);
    sotto__runtime_free(r.rt);
    sotto_model_free(r.model);
    return st == SOTTO_OK ? 0 : 1;
}
