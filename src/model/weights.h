/* SPDX-License-Identifier: MIT
 * A weight file as named tensor views over a read-only mapping, whichever of the four formats it has. Nothing is
 * converted here but sotto's own compressed tensors; every offset, size and name is checked against the mapping before
 * it is handed out. */
#ifndef SOTTO_MODEL_WEIGHTS_H
#define SOTTO_MODEL_WEIGHTS_H

#include "sotto.h"
#include "token/vocab.h"

typedef enum sotto__file_format {
    SOTTO__CTRANSLATE2,
    SOTTO__GGML,
    SOTTO__HUGGINGFACE,
    SOTTO__SHRUNKEN /* ours: weights_sotto.c */
} sotto__file_format;
enum { SOTTO__FILE_FORMATS = 4, SOTTO__MAX_RANK = 4 };

typedef struct sotto__tensor {
    char *name; /* owned */
    sotto_precision precision;
    int rank;
    size_t dims[SOTTO__MAX_RANK]; /* row-major, outermost first */
    size_t elements;
    const void *data; /* in the mapping, or `owned` */
    void *owned;      /* NULL, or values that were made of compressed ones */
    /* what the file holds: bits that a value takes without its scales, values that are not zero, bytes in all */
    int bits;
    size_t nonzero, file_bytes;
} sotto__tensor;

/* Hyper-parameters as whisper.model.ModelDimensions; 0 = the file does not say. */
typedef struct sotto__dims {
    size_t n_mels, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer;
    size_t n_vocab, n_text_ctx, n_text_state, n_text_head, n_text_layer;
} sotto__dims;

typedef struct sotto__weights {
    sotto__file_format format;
    char *file; /* the weight file, for messages */
    char *dir;  /* the directory that it lies in */
    void *map;
    size_t map_bytes;
    sotto__tensor *tensors; /* sorted by name once parsed */
    size_t n_tensors, tensors_cap;
    sotto__dims dims;         /* what the header or config says */
    sotto__vocab vocab;       /* ggml carries it inside */
    float *mel_filters;       /* ggml carries them: [n_mels, 201]; else NULL */
    int32_t *alignment_heads; /* pairs (layer, head); NULL = not stated */
    size_t n_alignment_heads;
    int32_t *token_rows; /* [n_vocab]: row of a token in a trimmed embedding, -1 = it has none; NULL = not trimmed */
    int32_t *row_tokens; /* [n_rows], ascending */
    size_t n_rows;
} sotto__weights;

/* First bytes of a file of ours; the second half catches copies that changed line ends, as PNG's does. */
#define SOTTO__SHRUNKEN_MAGIC "SOTTO\r\n\x1a"

/* Maps the file, tells the format from its content, reads its header and (for directories) config.json. */
sotto_status sotto__weights_open(sotto__weights **out, const char *path, sotto_error *err);
void sotto__weights_close(sotto__weights *w);

/* Maps one safetensors file of any network: its tensors, no config.json and no hyper-parameters. */
sotto_status sotto__safetensors_open(sotto__weights **out, const char *file, sotto_error *err);

/* The tensor of that name, or NULL. */
const sotto__tensor *sotto__weights_find(const sotto__weights *w, const char *name);

const char *sotto__file_format_name(sotto__file_format format);

/* For the parsers: appends a tensor after checking its size against the bytes that follow `data` in the mapping. */
sotto_status sotto__weights_add(sotto__weights *w, const char *name, size_t name_len, sotto_precision precision,
                                int rank, const size_t *dims, const unsigned char *data, size_t bytes_left,
                                size_t *bytes_used, sotto_error *err);

/* The parsers, one file each. They see a mapped file whose first bytes have been recognised. */
sotto_status sotto__parse_ctranslate2(sotto__weights *w, sotto_error *err);
sotto_status sotto__parse_ggml(sotto__weights *w, sotto_error *err);
sotto_status sotto__parse_huggingface(sotto__weights *w, sotto_error *err);
sotto_status sotto__parse_shrunken(sotto__weights *w, sotto_error *err);
/* Frees the values that were made of compressed ones, but those of `keep`. */
void sotto__weights_drop(sotto__weights *w, const sotto__tensor *keep);
/* The tensors alone, as sotto__parse_huggingface reads them. */
sotto_status sotto__parse_safetensors(sotto__weights *w, sotto_error *err);

/* Bounded reading of a mapped file, little-endian. `ok` turns false at the first read past the end and stays so. */
typedef struct sotto__reader {
    const unsigned char *at, *end;
    bool ok;
} sotto__reader;

const unsigned char *sotto__read_bytes(sotto__reader *r, size_t n);
uint8_t sotto__read_u8(sotto__reader *r);
uint16_t sotto__read_u16(sotto__reader *r);
uint32_t sotto__read_u32(sotto__reader *r);
uint64_t sotto__read_u64(sotto__reader *r);

/* config.json beside the weights: reads integer `key` into *out if present. `alignment_heads` from `file`. */
sotto_status sotto__config_alignment_heads(sotto__weights *w, const char *file, sotto_error *err);

#endif
