/* SPDX-License-Identifier: MIT
 * whisper.cpp's ggml .bin, f32 and f16: see whisper.cpp models/convert-pt-to-ggml.py. Header, mel filters, vocabulary
 * and tensors in one file; dimensions are stored innermost first. */
#include "model/weights.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum { GGML_F32, GGML_F16, MAX_BINS = 4096, MAX_NAME = 160 };

static sotto_status ends_early(const sotto__weights *w, const char *where, sotto_error *err)
{
    return sotto__fail(err, SOTTO_EFORMAT, "%s: the file ends in the middle of %s", w->file, where);
}

static sotto_status read_filters(sotto__weights *w, sotto__reader *r, sotto_error *err)
{
    const size_t n_mel = sotto__read_u32(r), n_bins = sotto__read_u32(r);
    const unsigned char *data;
    if (!r->ok) return ends_early(w, "its header", err);
    if (n_mel != w->dims.n_mels || n_bins != 201)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: mel filters are %zu x %zu, expected %zu x 201", w->file, n_mel,
                           n_bins, w->dims.n_mels);
    data = sotto__read_bytes(r, n_mel * n_bins * sizeof(float));
    if (!data) return ends_early(w, "its mel filters", err);
    w->mel_filters = malloc(n_mel * n_bins * sizeof(float));
    if (!w->mel_filters) return sotto__fail_nomem(err, "mel filters");
    memcpy(w->mel_filters, data, n_mel * n_bins * sizeof(float));
    return SOTTO_OK;
}

static sotto_status read_vocabulary(sotto__weights *w, sotto__reader *r, sotto_error *err)
{
    const uint32_t n = sotto__read_u32(r);
    for (uint32_t i = 0; i < n; i++) {
        const size_t len = sotto__read_u32(r);
        const unsigned char *bytes = sotto__read_bytes(r, len);
        sotto_status st;
        if (!bytes) return ends_early(w, "its vocabulary", err);
        st = sotto__vocab_add(&w->vocab, (const char *)bytes, len, err);
        if (st != SOTTO_OK) return st;
    }
    return r->ok ? SOTTO_OK : ends_early(w, "its vocabulary", err);
}

sotto_status sotto__parse_ggml(sotto__weights *w, sotto_error *err)
{
    sotto__reader r = {w->map, (const unsigned char *)w->map + w->map_bytes, true};
    sotto__dims *d = &w->dims;
    size_t *const header[] = {&d->n_vocab,    &d->n_audio_ctx,  &d->n_audio_state, &d->n_audio_head, &d->n_audio_layer,
                              &d->n_text_ctx, &d->n_text_state, &d->n_text_head,   &d->n_text_layer, &d->n_mels};
    sotto_status st;
    sotto__read_u32(&r); /* magic */
    for (size_t i = 0; i < sizeof header / sizeof header[0]; i++) *header[i] = sotto__read_u32(&r);
    const uint32_t ftype = sotto__read_u32(&r);
    if (!r.ok) return ends_early(w, "its header", err);
    if (ftype > 1)
        return sotto__fail(err, SOTTO_EUNSUPPORTED, "%s: ggml file type %u (quantised), expected f32 (0) or f16 (1)",
                           w->file, ftype);
    if (d->n_mels == 0 || d->n_mels > MAX_BINS)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: %zu mel bands, expected 1 to %d", w->file, d->n_mels, MAX_BINS);
    if ((st = read_filters(w, &r, err)) != SOTTO_OK) return st;
    if ((st = read_vocabulary(w, &r, err)) != SOTTO_OK) return st;
    while (r.at < r.end) {
        size_t dims[SOTTO__MAX_RANK], used;
        const uint32_t rank = sotto__read_u32(&r), name_len = sotto__read_u32(&r), type = sotto__read_u32(&r);
        if (!r.ok) return ends_early(w, "a tensor's header", err);
        if (rank < 1 || rank > SOTTO__MAX_RANK)
            return sotto__fail(err, SOTTO_EFORMAT, "%s: a tensor of %u dimensions at byte %td, expected 1 to %d",
                               w->file, rank, r.at - (const unsigned char *)w->map, SOTTO__MAX_RANK);
        if (name_len > MAX_NAME)
            return sotto__fail(err, SOTTO_EFORMAT, "%s: a tensor's name of %u bytes at byte %td, expected at most %d",
                               w->file, name_len, r.at - (const unsigned char *)w->map, MAX_NAME);
        for (uint32_t i = rank; i-- > 0;) dims[i] = sotto__read_u32(&r);
        const char *name = (const char *)sotto__read_bytes(&r, name_len);
        if (!name) return ends_early(w, "a tensor's header", err);
        if (memchr(name, '\0', name_len))
            return sotto__fail(err, SOTTO_EFORMAT, "%s: a tensor's name holds a NUL byte", w->file);
        if (type > GGML_F16)
            return sotto__fail(err, SOTTO_EUNSUPPORTED, "%s: tensor %.*s has ggml type %u, expected f32 (0) or f16 (1)",
                               w->file, (int)name_len, name, type);
        st = sotto__weights_add(w, name, name_len, type == GGML_F16 ? SOTTO_PRECISION_F16 : SOTTO_PRECISION_F32,
                                (int)rank, dims, r.at, (size_t)(r.end - r.at), &used, err);
        if (st != SOTTO_OK) return st;
        r.at += used;
    }
    return SOTTO_OK;
}
