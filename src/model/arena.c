/* SPDX-License-Identifier: MIT
 * Tensors of the file -> parameters in the forms that layers compute with (arena.h). */
#include "model/arena.h"
#include "model/cache.h"
#include "base/checked.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void sotto__widen(const sotto__ops *ops, const sotto__tensor *t, size_t first, size_t n, float *y)
{
    const char *from = t->data;
    switch (t->precision) {
    case SOTTO_PRECISION_F16:
        ops->from_f16(y, from + 2 * first, n);
        break;
    case SOTTO_PRECISION_BF16:
        ops->from_bf16(y, from + 2 * first, n);
        break;
    default:
        memcpy(y, from + 4 * first, n * sizeof *y);
        break;
    }
}

/* ---- layout ---- */

/* By precision: the form of the matrices of each place. Where 4 bits do not fit (inputs not in groups of 32), 8 are
 * taken. */
static const sotto__form forms[SOTTO_PRECISION_COUNT][SOTTO__PLACES] = {
    [SOTTO_PRECISION_F32] = {SOTTO__FLOATS, SOTTO__FLOATS, SOTTO__FLOATS, SOTTO__FLOATS},
    [SOTTO_PRECISION_F16] = {SOTTO__HALVES, SOTTO__HALVES, SOTTO__HALVES, SOTTO__HALVES},
    [SOTTO_PRECISION_INT16] = {SOTTO__PACKED16, SOTTO__PACKED16, SOTTO__PACKED16, SOTTO__PACKED16},
    [SOTTO_PRECISION_INT8] = {SOTTO__PACKED8, SOTTO__PACKED8, SOTTO__PACKED8, SOTTO__PACKED8},
    [SOTTO_PRECISION_INT4] = {SOTTO__PACKED8, SOTTO__PACKED4, SOTTO__PACKED8, SOTTO__PACKED8},
};

static int bits_of(sotto__form form) { return form == SOTTO__PACKED4 ? 4 : form == SOTTO__PACKED8 ? 8 : 16; }

/* A matrix that the file holds as one half-precision tensor in our order is used where it lies. */
static bool lies_in_file(const sotto__field *f)
{
    return f->form == SOTTO__HALVES && f->slices == 1 && f->linear->taps == 1 &&
           f->slice[0]->precision == SOTTO_PRECISION_F16 && !f->slice[0]->owned;
}

static void lay_out(sotto_model *m, const sotto__fields *fields)
{
    uint64_t *resident = m->info.resident_bytes;
    size_t at = 0;
    for (size_t i = 0; i < fields->n; i++) {
        sotto__field *f = &fields->items[i];
        const sotto__linear *l = f->linear;
        size_t scales = 0;
        f->form = SOTTO__FLOATS;
        if (l) f->form = forms[m->precision][f->place];
        if (f->form == SOTTO__PACKED4 && l->taps * l->in % SOTTO__GROUP4) f->form = SOTTO__PACKED8;
        switch (f->form) {
        case SOTTO__FLOATS:
            f->bytes = f->size * sizeof(float);
            resident[SOTTO_PRECISION_F32] += f->bytes;
            break;
        case SOTTO__HALVES:
            f->bytes = lies_in_file(f) ? 0 : f->size * sizeof(uint16_t);
            resident[SOTTO_PRECISION_F16] += f->size * sizeof(uint16_t);
            break;
        default:
            f->bytes = sotto__packed_bytes(l->taps * l->in, l->out, bits_of(f->form));
            scales = sotto__packed_scales(l->taps * l->in, l->out, bits_of(f->form)) * sizeof(float);
            resident[f->form == SOTTO__PACKED4   ? SOTTO_PRECISION_INT4
                     : f->form == SOTTO__PACKED8 ? SOTTO_PRECISION_INT8
                                                 : SOTTO_PRECISION_INT16] += f->bytes;
            resident[SOTTO_PRECISION_F32] += scales;
            break;
        }
        f->at = at;
        f->scales_at = at + sotto__round_64(f->bytes);
        at = f->scales_at + sotto__round_64(scales);
    }
    m->arena_bytes = at;
}

/* NULL while there is no arena, or where all lies in the weight file. */
static const void *place(const sotto_model *m, size_t at) { return m->arena ? m->arena + at : NULL; }

static void point(const sotto_model *m, const sotto__fields *fields)
{
    for (size_t i = 0; i < fields->n; i++) {
        const sotto__field *f = &fields->items[i];
        const void *data = place(m, f->at);
        sotto__linear *l = f->linear;
        switch (f->form) {
        case SOTTO__FLOATS:
            *f->to = data;
            break;
        case SOTTO__HALVES:
            l->half = lies_in_file(f) ? f->slice[0]->data : data;
            break;
        default:
            l->packed = sotto__packed_weights(data, place(m, f->scales_at), l->taps * l->in, l->out, bits_of(f->form));
            break;
        }
    }
}

/* ---- filling ---- */

struct filling {
    const sotto_model *model;
    const sotto__fields *fields;
    size_t *first; /* [fields + 1]: number of each field's first task */
    float *rows;   /* [threads, stride] */
    size_t stride;
};

/* Rows o … o+n-1 of a matrix as [n, taps * in]. */
static void fetch(const sotto__ops *ops, const sotto__field *f, size_t o, size_t n, float *to)
{
    const sotto__linear *l = f->linear;
    const size_t per_slice = l->out / (size_t)f->slices, width = l->taps * l->in;
    for (size_t r = o; r < o + n; r++, to += width) {
        const sotto__tensor *t = f->slice[r / per_slice];
        if (l->taps == 1) {
            sotto__widen(ops, t, r % per_slice * width, width, to);
            continue;
        }
        for (size_t i0 = 0; i0 < l->in; i0 += 64) { /* [in, taps] in the file */
            const size_t some = l->in - i0 < 64 ? l->in - i0 : 64;
            float part[64 * 8];
            sotto__widen(ops, t, r * width + i0 * l->taps, some * l->taps, part);
            for (size_t i = 0; i < some; i++)
                for (size_t k = 0; k < l->taps; k++) to[k * l->in + i0 + i] = part[i * l->taps + k];
        }
    }
}

static void fill_vector(const sotto__ops *ops, const sotto__field *f, float *to)
{
    const size_t n = f->size / (size_t)f->slices;
    for (int s = 0; s < f->slices; s++, to += n) {
        if (f->slice[s])
            sotto__widen(ops, f->slice[s], 0, n, to);
        else
            memset(to, 0, n * sizeof *to); /* keys have no bias, and some formats no tensor for it */
    }
}

static void to_half(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        __extension__ _Float16 half = (_Float16)x[i];
        memcpy(y + i, &half, sizeof half);
    }
}

/* A panel's rows of a matrix, or a whole vector. */
static void fill(void *arg, size_t index, int thread)
{
    const struct filling *j = arg;
    const sotto__ops *ops = j->model->nn.ops;
    size_t low = 0, high = j->fields->n;
    while (high - low > 1) { /* the last field that starts at or before this task */
        const size_t mid = (low + high) / 2;
        if (j->first[mid] <= index)
            low = mid;
        else
            high = mid;
    }
    const sotto__field *f = &j->fields->items[low];
    const sotto__linear *l = f->linear;
    unsigned char *data = j->model->arena + f->at;
    if (!l) {
        fill_vector(ops, f, (float *)(void *)data);
        return;
    }
    const size_t panel = index - j->first[low], o = panel * SOTTO__PANEL, width = l->taps * l->in;
    const size_t n = l->out - o < SOTTO__PANEL ? l->out - o : SOTTO__PANEL;
    float *rows = j->rows + (size_t)thread * j->stride;
    fetch(ops, f, o, n, rows);
    if (f->form == SOTTO__PACKED8 || f->form == SOTTO__PACKED16) {
        const sotto__packed *p = &l->packed;
        int16_t *row = (int16_t *)(void *)(rows + SOTTO__PANEL * width);
        float *scale = (float *)(void *)(j->model->arena + f->scales_at);
        scale += panel * sotto__packed_scales(width, SOTTO__PANEL, p->bits);
        data += panel * sotto__packed_bytes(width, SOTTO__PANEL, p->bits);
        for (size_t i = 0; i < width; i += p->group, scale += SOTTO__PANEL)
            ops->pack_rows(data + i * SOTTO__PANEL * (size_t)(p->bits / 8), scale, rows + i, width, n,
                           width - i < p->group ? width - i : p->group, p->bits, (float)p->largest, row);
    } else if (f->form == SOTTO__PACKED4) {
        float *scale = (float *)(void *)(j->model->arena + f->scales_at);
        sotto__pack(data + panel * sotto__packed_bytes(width, SOTTO__PANEL, 4),
                    scale + panel * sotto__packed_scales(width, SOTTO__PANEL, 4), rows, width, n, 1, 4, 0);
    } else {
        for (size_t r = 0; r < n; r++) {
            for (size_t k = 0; k < l->taps; k++) {
                const size_t at = (k * l->out + o + r) * l->in;
                if (f->form == SOTTO__FLOATS)
                    memcpy((float *)(void *)data + at, rows + r * width + k * l->in, l->in * sizeof(float));
                else
                    to_half((uint16_t *)(void *)data + at, rows + r * width + k * l->in, l->in);
            }
        }
    }
}

static sotto_status fill_all(const sotto_model *m, const sotto__fields *fields, sotto_error *err)
{
    const size_t threads = (size_t)sotto__pool_threads(m->nn.pool);
    struct filling job = {.model = m, .fields = fields};
    size_t widest = 1, tasks = 0;
    job.first = calloc(fields->n + 1, sizeof *job.first);
    for (size_t i = 0; job.first && i < fields->n; i++) {
        const sotto__field *f = &fields->items[i];
        job.first[i] = tasks;
        if (!f->linear)
            tasks++;
        else if (!lies_in_file(f))
            tasks += sotto__panels(f->linear->out);
        if (f->linear && f->linear->taps * f->linear->in > widest) widest = f->linear->taps * f->linear->in;
    }
    job.stride = (SOTTO__PANEL + 1) * widest + 16;
    job.rows = sotto__aligned(threads * job.stride, sizeof(float));
    if (job.first && job.rows) sotto__pool_run(m->nn.pool, fill, &job, tasks);
    const bool ok = job.first && job.rows;
    free(job.first);
    free(job.rows);
    return ok ? SOTTO_OK : sotto__fail_nomem(err, "memory to read parameters with");
}

/* What the arena's bytes are, for the prepacked file: every field's form, place and size. */
static uint64_t layout_of(const sotto__fields *fields)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < fields->n; i++) {
        const sotto__field *f = &fields->items[i];
        const uint64_t facts[] = {(uint64_t)f->form, f->at,   f->scales_at,
                                  f->bytes,          f->size, f->linear ? f->linear->packed.group : 0};
        hash = sotto__hash(facts, sizeof facts, hash);
    }
    return hash;
}

sotto_status sotto__arena_fill(sotto_model *m, const sotto__weights *w, const sotto__fields *fields, bool cache,
                               sotto_error *err)
{
    sotto_status st;
    lay_out(m, fields);
    point(m, fields); /* sizes; the pointers come below */
    const uint64_t layout = layout_of(fields);
    const bool prepacked = cache && m->precision >= SOTTO_PRECISION_INT16 && w->format != SOTTO__SHRUNKEN;
    if (!prepacked || !sotto__cache_map(m, w, m->arena_bytes, layout)) {
        void *memory = mmap(NULL, m->arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return sotto__fail_nomem(err, "model parameters");
        m->arena = memory;
        madvise(memory, m->arena_bytes, MADV_HUGEPAGE); /* fewer faults while filling; failing is fine */
        if ((st = fill_all(m, fields, err)) != SOTTO_OK) return st;
        if (prepacked && sotto__cache_write(m, w, layout) && sotto__cache_map(m, w, m->arena_bytes, layout))
            munmap(memory, m->arena_bytes); /* the file's pages are shared */
    }
    point(m, fields);
    m->info.prepacked = m->arena_is_file;
    return SOTTO_OK;
}

void sotto__arena_release(sotto_model *m)
{
    if (m->arena && m->arena_is_file)
        sotto__cache_unmap(m);
    else if (m->arena)
        munmap(m->arena, m->arena_bytes);
    m->arena = NULL;
}
