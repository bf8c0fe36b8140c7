/* SPDX-License-Identifier: MIT
 * Hugging Face directory: model.safetensors (u64 length, JSON header, data; huggingface.co/docs/safetensors) with
 * config.json beside it. */
#include "model/weights.h"
#include "base/error.h"

#include <jansson.h>
#include <string.h>

enum { MAX_HEADER = 100 << 20 }; /* the reference implementation's own limit */

static sotto_status add_tensor(sotto__weights *w, const char *name, const json_t *entry, const unsigned char *data,
                               size_t data_bytes, sotto_error *err)
{
    static const struct {
        const char *name;
        sotto_precision precision;
    } types[] = {{"F32", SOTTO_PRECISION_F32}, {"F16", SOTTO_PRECISION_F16}, {"BF16", SOTTO_PRECISION_BF16}};
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    const json_int_t begin = json_integer_value(json_array_get(offsets, 0)),
                     end = json_integer_value(json_array_get(offsets, 1));
    size_t dims[SOTTO__MAX_RANK], used;
    sotto_status st;
    if (!type || !json_is_array(shape) || json_array_size(offsets) != 2 ||
        !json_is_integer(json_array_get(offsets, 0)) || !json_is_integer(json_array_get(offsets, 1)))
        return sotto__fail(err, SOTTO_EFORMAT, "%s: the entry of tensor %.100s lacks dtype, shape or data_offsets",
                           w->file, name);
    if (begin < 0 || end < begin || (unsigned long long)end > data_bytes)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %.100s lies outside the file", w->file, name);
    if (json_array_size(shape) == 0) return SOTTO_OK; /* scalars are no weights of Whisper's */
    if (json_array_size(shape) > SOTTO__MAX_RANK)
        return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %.100s has %zu dimensions, expected at most %d", w->file,
                           name, json_array_size(shape), SOTTO__MAX_RANK);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return sotto__fail(err, SOTTO_EFORMAT, "%s: the shape of tensor %.100s is no list of sizes", w->file, name);
        dims[i] = (size_t)json_integer_value(dim);
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(type, types[i].name) != 0) continue;
        st = sotto__weights_add(w, name, strlen(name), types[i].precision, (int)json_array_size(shape), dims,
                                data + begin, (size_t)(end - begin), &used, err);
        if (st == SOTTO_OK && used != (size_t)(end - begin))
            return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %.100s holds %lld bytes, its shape needs %zu", w->file,
                               name, (long long)(end - begin), used);
        return st;
    }
    return sotto__fail(err, SOTTO_EUNSUPPORTED, "%s: tensor %.100s has dtype %.20s, expected F32, F16 or BF16", w->file,
                       name, type);
}

static sotto_status read_config(sotto__weights *w, sotto_error *err)
{
    sotto__dims *d = &w->dims;
    const struct {
        const char *key;
        size_t *value;
    } keys[] = {{"num_mel_bins", &d->n_mels},
                {"max_source_positions", &d->n_audio_ctx},
                {"d_model", &d->n_audio_state},
                {"encoder_attention_heads", &d->n_audio_head},
                {"encoder_layers", &d->n_audio_layer},
                {"vocab_size", &d->n_vocab},
                {"max_target_positions", &d->n_text_ctx},
                {"d_model", &d->n_text_state},
                {"decoder_attention_heads", &d->n_text_head},
                {"decoder_layers", &d->n_text_layer}};
    sotto_status st = SOTTO_OK;
    sotto__str path = {0};
    json_error_t json_error;
    json_t *root;
    if (!sotto__str_printf(&path, "%s/config.json", w->dir)) return sotto__fail_nomem(err, "config path");
    root = json_load_file(path.data, 0, &json_error);
    if (!root) {
        st = sotto__fail(err, SOTTO_EFORMAT, "%s: %s; a Hugging Face model needs its config.json", path.data,
                         json_error.text);
    }
    for (size_t i = 0; st == SOTTO_OK && i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *value = json_object_get(root, keys[i].key);
        if (!json_is_integer(value) || json_integer_value(value) <= 0 || json_integer_value(value) > 10000000)
            st = sotto__fail(err, SOTTO_EFORMAT, "%s: %s is missing or no positive number", path.data, keys[i].key);
        else
            *keys[i].value = (size_t)json_integer_value(value);
    }
    json_decref(root);
    sotto__str_free(&path);
    return st;
}

sotto_status sotto__parse_safetensors(sotto__weights *w, sotto_error *err)
{
    sotto__reader r = {w->map, (const unsigned char *)w->map + w->map_bytes, true};
    const uint64_t header_bytes = sotto__read_u64(&r);
    const unsigned char *header;
    const char *name;
    json_error_t json_error;
    json_t *root, *entry;
    sotto_status st = SOTTO_OK;
    if (header_bytes > MAX_HEADER || !(header = sotto__read_bytes(&r, (size_t)header_bytes)))
        return sotto__fail(err, SOTTO_EFORMAT, "%s: a header of %llu bytes does not fit the file", w->file,
                           (unsigned long long)header_bytes);
    root = json_loadb((const char *)header, (size_t)header_bytes, JSON_REJECT_DUPLICATES, &json_error);
    if (!json_is_object(root)) {
        json_decref(root);
        return sotto__fail(err, SOTTO_EFORMAT, "%s: its header is no JSON object", w->file);
    }
    json_object_foreach(root, name, entry) {
        if (strcmp(name, "__metadata__") == 0) continue;
        if ((st = add_tensor(w, name, entry, r.at, (size_t)(r.end - r.at), err)) != SOTTO_OK) break;
    }
    json_decref(root);
    return st;
}

sotto_status sotto__parse_huggingface(sotto__weights *w, sotto_error *err)
{
    sotto_status st = sotto__parse_safetensors(w, err);
    if (st == SOTTO_OK) st = read_config(w, err);
    if (st == SOTTO_OK) st = sotto__config_alignment_heads(w, "generation_config.json", err);
    return st;
}
