/* SPDX-License-Identifier: MIT
 * CTranslate2's model.bin (the format of faster-whisper's models), binary versions 5 and 6: see serialize() in
 * ctranslate2/specs/model_spec.py. Scalars among the variables are hyper-parameters. */
#include "model/weights.h"
#include "base/error.h"

#include <string.h>

enum { CT2_F32, CT2_I8, CT2_I16, CT2_I32, CT2_F16, CT2_BF16 };

static sotto_status ends_early(const sotto__weights *w, const char *where, sotto_error *err)
{
    return sotto__fail(err, SOTTO_EFORMAT, "%s: the file ends in the middle of %s", w->file, where);
}

/* u16 length that counts a final NUL, then the bytes. */
static const char *read_string(sotto__reader *r, size_t *len)
{
    size_t n = sotto__read_u16(r);
    const char *s = (const char *)sotto__read_bytes(r, n);
    if (!s || n == 0 || s[n - 1] != '\0') {
        r->ok = false;
        return NULL;
    }
    *len = strlen(s);
    return s;
}

static void note_scalar(sotto__weights *w, const char *name, size_t len, const unsigned char *data, size_t bytes)
{
    size_t value = 0;
    for (size_t i = bytes < 4 ? bytes : 4; i-- > 0;) value = value << 8 | data[i];
    if (len == 17 && memcmp(name, "encoder/num_heads", len) == 0) w->dims.n_audio_head = value;
    if (len == 17 && memcmp(name, "decoder/num_heads", len) == 0) w->dims.n_text_head = value;
}

sotto_status sotto__parse_ctranslate2(sotto__weights *w, sotto_error *err)
{
    static const sotto_precision precisions[] = {
        [CT2_F32] = SOTTO_PRECISION_F32, [CT2_F16] = SOTTO_PRECISION_F16, [CT2_BF16] = SOTTO_PRECISION_BF16};
    sotto__reader r = {w->map, (const unsigned char *)w->map + w->map_bytes, true};
    sotto_status st;
    size_t len;
    const uint32_t version = sotto__read_u32(&r);
    const char *spec;
    if (version < 5 || version > 6)
        return sotto__fail(err, SOTTO_EUNSUPPORTED, "%s: CTranslate2 binary version %u, expected 5 or 6", w->file,
                           version);
    spec = read_string(&r, &len);
    if (!spec) return ends_early(w, "its header", err);
    if (strcmp(spec, "WhisperSpec") != 0)
        return sotto__fail(err, SOTTO_EUNSUPPORTED, "%s: CTranslate2 model of kind %.40s, expected WhisperSpec",
                           w->file, spec);
    sotto__read_u32(&r); /* revision of the spec */
    const uint32_t n = sotto__read_u32(&r);
    if (!r.ok) return ends_early(w, "its header", err);
    for (uint32_t i = 0; i < n; i++) {
        size_t dims[256], name_len = 0, used;
        const char *name = read_string(&r, &name_len);
        const uint8_t rank = sotto__read_u8(&r);
        for (int d = 0; d < rank; d++) dims[d] = sotto__read_u32(&r);
        const uint8_t type = sotto__read_u8(&r);
        const size_t bytes = sotto__read_u32(&r);
        const unsigned char *data = sotto__read_bytes(&r, bytes);
        if (!data) return ends_early(w, name && r.at ? "a tensor" : "its list of tensors", err);
        if (rank == 0) {
            note_scalar(w, name, name_len, data, bytes);
            continue;
        }
        if (type == CT2_I8 || type == CT2_I16 || type == CT2_I32 || type > CT2_BF16)
            return sotto__fail(err, SOTTO_EUNSUPPORTED,
                               "%s: tensor %.*s has CTranslate2 type %u, expected float32, float16 or bfloat16",
                               w->file, (int)name_len, name, type);
        st = sotto__weights_add(w, name, name_len, precisions[type], rank, dims, data, bytes, &used, err);
        if (st != SOTTO_OK) return st;
        if (used != bytes)
            return sotto__fail(err, SOTTO_EFORMAT, "%s: tensor %.*s holds %zu bytes, its shape needs %zu", w->file,
                               (int)name_len, name, bytes, used);
    }
    return sotto__config_alignment_heads(w, "config.json", err);
}
