/* SPDX-License-Identifier: MIT
 * Whole layers, heads, neurons and positions less. What goes is what was measured to matter least; what stays of a
 * matrix imitates the whole one as well as it can (sotto__compensate). */
#include "shrink/net.h"
#include "shrink/prune.h"
#include "base/checked.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- layers ---- */

static void drop_layer(sotto__net *net, sotto__where where, size_t layer)
{
    for (size_t i = 0; i < net->n; i++) {
        sotto__tensor_copy *t = &net->tensors[i];
        if (t->param.where != where || t->param.layer != layer) continue;
        free(t->values);
        free(t->gram);
        t->values = t->gram = NULL;
    }
    if (where != SOTTO__DECODER) return;
    size_t kept = 0;
    for (size_t i = 0; i < net->n_heads; i++) {
        if ((size_t)net->heads[2 * i] == layer) continue;
        net->heads[2 * kept] = net->heads[2 * i];
        net->heads[2 * kept++ + 1] = net->heads[2 * i + 1];
    }
    net->n_heads = kept;
}

/* trace(W G W^T): the energy of what the matrix adds to the residual stream. */
static double energy(const sotto__tensor_copy *t)
{
    double sum = 0;
    for (size_t o = 0; t && t->gram && o < t->out; o++) {
        const float *w = t->values + o * t->in;
        for (size_t i = 0; i < t->in; i++) {
            double row = 0;
            for (size_t j = 0; j < t->in; j++) row += (double)t->gram[i * t->in + j] * w[j];
            sum += row * w[i];
        }
    }
    return sum;
}

static double layer_energy(sotto__net *net, sotto__where where, size_t layer)
{
    return energy(sotto__net_find(net, where, layer, SOTTO__PIECE_OUT)) +
           energy(sotto__net_find(net, where, layer, SOTTO__PIECE_CROSS_OUT)) +
           energy(sotto__net_find(net, where, layer, SOTTO__PIECE_DOWN));
}

static bool is_there(sotto__net *net, sotto__where where, size_t layer)
{
    return sotto__net_find(net, where, layer, SOTTO__PIECE_UP) != NULL;
}

/* Drops the layer whose own energy is the smallest share of what has been added up to it. */
static void drop_least(sotto__net *net, sotto__where where)
{
    const size_t n = sotto__net_layers(net, where);
    size_t least = n;
    double share = 0, sum = 0;
    for (size_t l = 0; l < n; l++) {
        if (!is_there(net, where, l)) continue;
        const double own = layer_energy(net, where, l);
        sum += own;
        if (least < n && own / sum >= share) continue;
        least = l;
        share = own / sum;
    }
    drop_layer(net, where, least);
}

sotto_status sotto__drop_layers(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    const bool encoder = strcmp(term->scope, "encoder") == 0;
    const sotto__where where = encoder ? SOTTO__ENCODER : SOTTO__DECODER;
    const size_t n = sotto__net_layers(net, where);
    size_t left = 0, going = 0;
    if (!encoder && strcmp(term->scope, "decoder") != 0)
        return sotto__fail(err, SOTTO_EINVAL, "shrink spec: layers are dropped @encoder or @decoder, not @%s",
                           term->scope);
    for (size_t l = 0; l < n; l++) left += is_there(net, where, l);
    for (size_t l = 0; term->kind == SOTTO__TERM_DROP && l < 256; l++) {
        if (!(term->drop[l / 64] >> l % 64 & 1)) continue;
        if (l >= n)
            return sotto__fail(err, SOTTO_EINVAL, "shrink spec: no layer %zu in the %s, whose layers are 0 to %zu", l,
                               term->scope, n - 1);
        going += is_there(net, where, l);
    }
    if (term->kind == SOTTO__TERM_LAYERS) going = term->number;
    if (going >= left)
        return sotto__fail(err, SOTTO_EINVAL, "shrink spec: %zu layers less, but the %s has %zu, and one must stay",
                           going, term->scope, left);
    if (term->kind == SOTTO__TERM_LAYERS) {
        for (size_t i = 0; i < going; i++) drop_least(net, where);
        return SOTTO_OK;
    }
    for (size_t l = 0; l < n; l++)
        if (term->drop[l / 64] >> l % 64 & 1) drop_layer(net, where, l);
    return SOTTO_OK;
}

/* ---- parts of matrices ---- */

/* Rows keep[0 … n-1] only. */
static void keep_rows(sotto__tensor_copy *t, const size_t *keep, size_t n)
{
    const bool vector = t->out == 1 && t->param.rank == 1;
    const size_t width = vector ? 1 : t->in;
    for (size_t i = 0; i < n; i++)
        memmove(t->values + i * width, t->values + keep[i] * width, width * sizeof *t->values);
    if (vector)
        t->in = n;
    else
        t->out = n;
}

/* Inputs keep[0 … n-1] only, the others imitated. */
static sotto_status keep_inputs(sotto__tensor_copy *t, const size_t *keep, size_t n, sotto_error *err)
{
    float *to = sotto__aligned(t->out * n, sizeof *to);
    float *gram = t->gram ? sotto__aligned(n * n, sizeof *gram) : NULL;
    sotto_status st = to && (gram || !t->gram) ? sotto__compensate(to, t->values, t->out, t->in, keep, n, t->gram, err)
                                               : sotto__fail_nomem(err, "shrunken matrix");
    if (st != SOTTO_OK) {
        free(to);
        free(gram);
        return st;
    }
    for (size_t i = 0; gram && i < n; i++)
        for (size_t j = 0; j < n; j++) gram[i * n + j] = t->gram[keep[i] * t->in + keep[j]];
    free(t->values);
    free(t->gram);
    t->values = to;
    t->gram = gram;
    t->in = n;
    return SOTTO_OK;
}

/* A thing that can go: unit `unit` of the matrix `reader`, which reads it. */
struct unit {
    sotto__tensor_copy *reader;
    size_t unit;
    double score; /* change of the reader's output, relative to its size */
};

static int by_score(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? -1 : 1;
    if (x->reader != y->reader) return x->reader < y->reader ? -1 : 1;
    return (x->unit > y->unit) - (x->unit < y->unit);
}

struct ranking {
    struct unit *units;
    size_t n, cap;
    size_t width; /* inputs of a unit */
};

static sotto_status rank_units(struct ranking *r, sotto__tensor_copy *t, sotto_error *err)
{
    const size_t n = t->in / r->width;
    double *score = calloc(n, sizeof *score), all = 0;
    sotto_status st = SOTTO_OK;
    if (!score || !sotto__grow(&r->units, &r->cap, r->n + n, sizeof *r->units)) {
        free(score);
        return sotto__fail_nomem(err, "ranking");
    }
    if (r->width == 1)
        sotto__score_inputs(score, t->values, t->out, t->in, t->gram);
    else
        st = sotto__score_heads(score, t->values, t->out, n, r->width, t->gram, err);
    for (size_t i = 0; i < n; i++) all += score[i];
    for (size_t i = 0; i < n; i++) r->units[r->n++] = (struct unit){t, i, all > 0 ? score[i] / all : 0};
    free(score);
    return st;
}

/* What stays of the reader's inputs once the first `going` units of the ranking are gone: at least one unit. */
static size_t staying(const struct ranking *r, size_t going, const sotto__tensor_copy *reader, size_t *keep)
{
    const size_t n = reader->in / r->width;
    unsigned char *gone = calloc(n, 1);
    size_t left = n, kept = 0;
    if (!gone) return 0;
    for (size_t i = 0; i < going; i++) {
        if (r->units[i].reader != reader || left == 1) continue;
        gone[r->units[i].unit] = 1;
        left--;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; !gone[i] && j < r->width; j++) keep[kept++] = i * r->width + j;
    free(gone);
    return kept;
}

/* The writer's rows that make those inputs, `copies` times one after the other (queries, keys, values). */
static sotto_status keep_copies(sotto__tensor_copy *t, const size_t *keep, size_t kept, size_t in, size_t copies,
                                sotto_error *err)
{
    size_t *rows = calloc(kept * copies + 1, sizeof *rows);
    if (!rows) return sotto__fail_nomem(err, "shrunken matrix");
    for (size_t c = 0; c < copies; c++)
        for (size_t i = 0; i < kept; i++) rows[c * kept + i] = c * in + keep[i];
    keep_rows(t, rows, kept * copies);
    free(rows);
    return SOTTO_OK;
}

static void renumber_heads(sotto__net *net, size_t layer, const size_t *keep, size_t kept, size_t width)
{
    size_t left = 0;
    for (size_t i = 0; i < net->n_heads; i++) {
        int32_t head = net->heads[2 * i + 1];
        if ((size_t)net->heads[2 * i] == layer) {
            size_t j = 0;
            while (j < kept && keep[j] != (size_t)head * width) j += width;
            if (j >= kept) continue;
            head = (int32_t)(j / width);
        }
        net->heads[2 * left] = net->heads[2 * i];
        net->heads[2 * left++ + 1] = head;
    }
    net->n_heads = left;
}

/* Who writes what a reader reads. */
static const struct {
    sotto__piece reader, writers[4];
    size_t copies[4];
} plans[] = {
    {SOTTO__PIECE_OUT, {SOTTO__PIECE_QKV, SOTTO__PIECE_QKV_BIAS}, {3, 3}},
    {SOTTO__PIECE_CROSS_OUT,
     {SOTTO__PIECE_CROSS_Q, SOTTO__PIECE_CROSS_Q_BIAS, SOTTO__PIECE_CROSS_KV, SOTTO__PIECE_CROSS_KV_BIAS},
     {1, 1, 2, 2}},
    {SOTTO__PIECE_DOWN, {SOTTO__PIECE_UP, SOTTO__PIECE_UP_BIAS}, {1, 1}},
};

static sotto_status reduce(sotto__net *net, const struct ranking *r, size_t going, sotto__tensor_copy *reader,
                           size_t plan, sotto_error *err)
{
    const sotto__param *p = &reader->param;
    size_t *keep = calloc(reader->in, sizeof *keep);
    const size_t in = reader->in, kept = keep ? staying(r, going, reader, keep) : 0;
    sotto_status st = kept ? SOTTO_OK : sotto__fail_nomem(err, "ranking");
    if (st == SOTTO_OK && kept < in) {
        st = keep_inputs(reader, keep, kept, err);
        for (size_t i = 0; st == SOTTO_OK && i < 4 && plans[plan].copies[i]; i++)
            st = keep_copies(sotto__net_find(net, p->where, p->layer, plans[plan].writers[i]), keep, kept, in,
                             plans[plan].copies[i], err);
        if (p->piece == SOTTO__PIECE_CROSS_OUT) renumber_heads(net, p->layer, keep, kept, r->width);
    }
    free(keep);
    return st;
}

static sotto_status drop_units(sotto__net *net, const sotto__term *term, size_t width, const char *what, size_t first,
                               size_t last, sotto_error *err)
{
    struct ranking r = {.width = width};
    sotto_status st = SOTTO_OK;
    for (size_t i = 0; st == SOTTO_OK && i < net->n; i++) {
        sotto__tensor_copy *t = &net->tensors[i];
        bool reads = false;
        for (size_t p = first; p <= last; p++) reads |= t->param.piece == plans[p].reader;
        if (t->values && reads && sotto__in_scope(t, term->scope)) st = rank_units(&r, t, err);
    }
    if (st == SOTTO_OK && r.n == 0)
        st = sotto__fail(err, SOTTO_EINVAL, "shrink spec: no %s in the scope @%s", what, term->scope);
    if (st == SOTTO_OK) {
        qsort(r.units, r.n, sizeof *r.units, by_score);
        const size_t going = (size_t)((double)r.n * term->fraction + 0.5);
        for (size_t i = 0; st == SOTTO_OK && i < net->n; i++) {
            sotto__tensor_copy *t = &net->tensors[i];
            for (size_t p = first; st == SOTTO_OK && p <= last; p++)
                if (t->values && t->param.piece == plans[p].reader && sotto__in_scope(t, term->scope))
                    st = reduce(net, &r, going, t, p, err);
        }
    }
    free(r.units);
    return st;
}

sotto_status sotto__drop_heads(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    const sotto_model_info *info = &net->model->info;
    return drop_units(net, term, (size_t)(info->n_audio_state / info->n_audio_head), "heads", 0, 1, err);
}

sotto_status sotto__drop_neurons(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    return drop_units(net, term, 1, "MLP neurons", 2, 2, err);
}

sotto_status sotto__shorten(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    (void)err;
    for (size_t i = 0; i < net->n; i++) {
        sotto__tensor_copy *t = &net->tensors[i];
        if (t->param.part == SOTTO_PART_ENCODER_POSITIONS && t->out > term->number) t->out = term->number;
    }
    if (net->n_audio_ctx > term->number) net->n_audio_ctx = term->number;
    return SOTTO_OK;
}
