/* SPDX-License-Identifier: MIT */
#include "shrink/net.h"
#include "base/checked.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct copying {
    sotto__net *net;
    float *const *grams;
    bool failed;
};

/* [taps, out, in] -> [out, in, taps] */
static void from_taps(float *to, const float *from, size_t out, size_t in, size_t taps)
{
    for (size_t k = 0; k < taps; k++)
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++) to[(o * in + i) * taps + k] = from[(k * out + o) * in + i];
}

/* A gram of [taps, in] inputs as one of [in, taps]. */
static void reorder_gram(float *to, const float *from, size_t in, size_t taps)
{
    const size_t n = in * taps;
    for (size_t i = 0; i < in; i++)
        for (size_t k = 0; k < taps; k++)
            for (size_t j = 0; j < in; j++)
                for (size_t l = 0; l < taps; l++)
                    to[(i * taps + k) * n + j * taps + l] = from[(k * in + i) * n + l * in + j];
}

static float *copy_gram(const float *gram, size_t in, size_t taps)
{
    float *copy = sotto__aligned(in * taps * in * taps, sizeof *copy);
    if (copy) reorder_gram(copy, gram, in, taps);
    return copy;
}

static bool copy_tensor(void *user, const sotto__param *p)
{
    struct copying *c = user;
    sotto__net *net = c->net;
    sotto__tensor_copy *t = &net->tensors[net->n];
    const size_t taps = p->rank == 3 ? p->shape[2] : 1;
    *t = (sotto__tensor_copy){.param = *p, .out = p->rank == 1 ? 1 : p->shape[0]};
    t->in = (p->rank == 1 ? p->shape[0] : p->shape[1]) * taps;
    t->values = sotto__aligned(t->out * t->in, sizeof *t->values);
    c->failed = !t->values;
    if (c->failed) return false;
    if (p->rank == 3)
        from_taps(t->values, p->values, p->shape[0], p->shape[1], taps);
    else
        memcpy(t->values, p->values, t->out * t->in * sizeof *t->values);
    if (c->grams && c->grams[net->n]) {
        t->gram = copy_gram(c->grams[net->n], t->in / taps, taps);
        c->failed = !t->gram;
    }
    net->n++;
    return !c->failed;
}

static bool count_one(void *user, const sotto__param *p)
{
    (void)p;
    ++*(size_t *)user;
    return true;
}

size_t sotto__params_count(const sotto_model *model)
{
    size_t n = 0;
    sotto__params_walk(model, count_one, &n);
    return n;
}

sotto_status sotto__net_open(sotto__net **out, const sotto_model *model, float *const *grams, sotto_error *err)
{
    sotto__net *net = *out = calloc(1, sizeof *net);
    if (!net) return sotto__fail_nomem(err, "copy of the model");
    struct copying c = {net, grams, false};
    net->model = model;
    net->n_audio_ctx = (size_t)model->info.n_audio_ctx;
    net->n_heads = model->n_alignment_heads;
    net->tensors = calloc(sotto__params_count(model) + 1, sizeof *net->tensors);
    net->heads = calloc(net->n_heads + 1, 2 * sizeof *net->heads);
    if (net->tensors && net->heads) {
        memcpy(net->heads, model->alignment_heads, net->n_heads * 2 * sizeof *net->heads);
        sotto__params_walk(model, copy_tensor, &c);
        if (!c.failed) return SOTTO_OK;
    }
    sotto__net_free(net);
    *out = NULL;
    return sotto__fail_nomem(err, "copy of the model");
}

void sotto__net_free(sotto__net *net)
{
    if (!net) return;
    for (size_t i = 0; net->tensors && i < net->n; i++) {
        free(net->tensors[i].values);
        free(net->tensors[i].gram);
        free(net->tensors[i].first);
        free(net->tensors[i].inner_gram);
        free(net->tensors[i].rare);
    }
    free(net->tensors);
    free(net->tokens);
    free(net->heads);
    free(net);
}

/* ---- names of scopes ---- */

static const char *const pieces[][3] = {
    [SOTTO__PIECE_CONV] = {"conv", "encoder"}, [SOTTO__PIECE_POSITIONS] = {"positions", "decoder"},
    [SOTTO__PIECE_EMBEDDING] = {"embedding"},  [SOTTO__PIECE_QKV] = {"attention", "qkv"},
    [SOTTO__PIECE_OUT] = {"attention", "out"}, [SOTTO__PIECE_CROSS_Q] = {"cross", "q"},
    [SOTTO__PIECE_CROSS_KV] = {"cross", "kv"}, [SOTTO__PIECE_CROSS_OUT] = {"cross", "out"},
    [SOTTO__PIECE_UP] = {"mlp", "up"},         [SOTTO__PIECE_DOWN] = {"mlp", "down"},
};

static bool has_name(const sotto__tensor_copy *t, const char *name)
{
    const sotto__param *p = &t->param;
    if (*name >= '0' && *name <= '9') return p->where != SOTTO__GLOBAL && strtoul(name, NULL, 10) == p->layer;
    if (p->where == SOTTO__ENCODER && strcmp(name, "encoder") == 0) return true;
    if (p->where == SOTTO__DECODER && strcmp(name, "decoder") == 0) return true;
    if ((size_t)p->piece >= sizeof pieces / sizeof pieces[0]) return false;
    for (size_t i = 0; i < 3 && pieces[p->piece][i]; i++)
        if (strcmp(name, pieces[p->piece][i]) == 0) return true;
    return false;
}

bool sotto__in_scope(const sotto__tensor_copy *t, const char *scope)
{
    char copy[SOTTO__TERM_TEXT], *rest = copy, *name;
    if (!*scope) return true;
    strcpy(copy, scope);
    while ((name = strsep(&rest, ".")))
        if (!has_name(t, name)) return false;
    return true;
}

sotto__tensor_copy *sotto__net_find(sotto__net *net, sotto__where where, size_t layer, sotto__piece piece)
{
    for (size_t i = 0; i < net->n; i++) {
        const sotto__param *p = &net->tensors[i].param;
        if (p->where == where && p->layer == layer && p->piece == piece && net->tensors[i].values)
            return &net->tensors[i];
    }
    return NULL;
}

size_t sotto__net_layers(const sotto__net *net, sotto__where where)
{
    const sotto_model_info *info = &net->model->info;
    return (size_t)(where == SOTTO__ENCODER ? info->n_audio_layer : info->n_text_layer);
}
