/* SPDX-License-Identifier: MIT
 * A vocabulary of the tokens that one language needs: rows of the embedding less. The special tokens stay, and so do
 * the single bytes, of which any text can be made, and the symbols that decoding suppresses. */
#include "shrink/net.h"
#include "base/checked.h"
#include "base/error.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct choice {
    const sotto__tokenizer *tokenizer;
    size_t n, ordinary; /* tokens in all, and those before the special ones */
    unsigned char *stays;
    size_t staying; /* ordinary ones */
};

static void stay(struct choice *c, size_t id)
{
    if (!c->stays[id] && id < c->ordinary) c->staying++;
    c->stays[id] = 1;
}

static sotto_status keep_needed(struct choice *c, sotto_error *err)
{
    sotto__ids ids = {0};
    for (size_t id = 0; id < c->n; id++) {
        size_t len = 2;
        if (id < c->ordinary) sotto__tokenizer_bytes(c->tokenizer, (int32_t)id, &len);
        if (id >= c->ordinary || len == 1) stay(c, id);
    }
    sotto_status st = sotto__tokenizer_non_speech(c->tokenizer, &ids, err);
    for (size_t i = 0; st == SOTTO_OK && i < ids.len; i++) stay(c, (size_t)ids.data[i]);
    sotto__ids_free(&ids);
    return st;
}

static bool is_ascii(const struct choice *c, size_t id)
{
    size_t len;
    const char *bytes = sotto__tokenizer_bytes(c->tokenizer, (int32_t)id, &len);
    for (size_t i = 0; i < len; i++)
        if (bytes[i] < ' ' || bytes[i] > '~') return false;
    return len > 0;
}

/* Byte pair encoding adds the pair that is most frequent in its text first, so that a low id is a frequent token. */
static void keep_ascii(struct choice *c, size_t most)
{
    for (size_t id = 0; id < c->ordinary && c->staying < most; id++)
        if (is_ascii(c, id)) stay(c, id);
}

/* ---- a text's tokens ---- */

struct seen {
    size_t id, times;
};

static int by_times(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    if (x->times != y->times) return x->times < y->times ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static sotto_status read_text(const char *path, sotto__str *text, sotto_error *err)
{
    char block[1 << 16];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f) return sotto__fail(err, SOTTO_ENOTFOUND, "vocabulary: cannot open the text %s: %s", path, strerror(errno));
    bool good = true;
    while (good && (n = fread(block, 1, sizeof block, f)) > 0) good = sotto__str_append(text, block, n);
    fclose(f);
    return good ? SOTTO_OK : sotto__fail_nomem(err, path);
}

static sotto_status keep_text(struct choice *c, const char *path, size_t most, sotto_error *err)
{
    sotto__str text = {0};
    sotto__ids ids = {0};
    struct seen *seen = calloc(c->ordinary, sizeof *seen);
    sotto_status st = seen ? read_text(path, &text, err) : sotto__fail_nomem(err, path);
    if (st == SOTTO_OK) st = sotto__tokenizer_encode(c->tokenizer, text.data ? text.data : "", text.len, &ids, err);
    for (size_t id = 0; st == SOTTO_OK && id < c->ordinary; id++) seen[id].id = id;
    for (size_t i = 0; st == SOTTO_OK && i < ids.len; i++) seen[ids.data[i]].times++;
    if (st == SOTTO_OK) qsort(seen, c->ordinary, sizeof *seen, by_times);
    for (size_t i = 0; st == SOTTO_OK && i < c->ordinary && seen[i].times && c->staying < most; i++)
        stay(c, seen[i].id);
    free(seen);
    sotto__str_free(&text);
    sotto__ids_free(&ids);
    return st;
}

static void keep_rows(sotto__net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        sotto__tensor_copy *t = &net->tensors[i];
        if (t->param.piece != SOTTO__PIECE_EMBEDDING) continue;
        for (size_t k = 0; k < net->n_tokens; k++)
            memmove(t->values + k * t->in, t->values + (size_t)net->tokens[k] * t->in, t->in * sizeof *t->values);
        t->out = net->n_tokens;
    }
}

/* Which of the source's tokens are needed or among the term's; c->stays is for free() in any case. */
static sotto_status choose(struct choice *c, const sotto__net *net, const sotto__term *term, sotto_error *err)
{
    *c = (struct choice){.tokenizer = net->model->tokenizer, .n = (size_t)net->model->info.n_vocab};
    const size_t most = term->number ? term->number : c->n;
    c->ordinary = (size_t)sotto__tokenizer_specials(c->tokenizer)->eot;
    c->stays = calloc(c->n, 1);
    const sotto_status st = c->stays ? keep_needed(c, err) : sotto__fail_nomem(err, "vocabulary");
    if (st != SOTTO_OK) return st;
    if (strcmp(term->source, "en") != 0) return keep_text(c, term->source, most, err);
    keep_ascii(c, most);
    return SOTTO_OK;
}

sotto_status sotto__trim_vocabulary(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    struct choice c;
    if (net->tokens) return sotto__fail(err, SOTTO_EINVAL, "shrink spec: the vocabulary is to be trimmed twice");
    sotto_status st = choose(&c, net, term, err);
    if (st == SOTTO_OK && !(net->tokens = calloc(c.n, sizeof *net->tokens))) st = sotto__fail_nomem(err, "vocabulary");
    for (size_t id = 0; st == SOTTO_OK && id < c.n; id++)
        if (c.stays[id]) net->tokens[net->n_tokens++] = (int32_t)id;
    if (st == SOTTO_OK) keep_rows(net);
    free(c.stays);
    return st;
}

static sotto_status mark(sotto__tensor_copy *t, const sotto__net *net, const unsigned char *common, double bits,
                         sotto_error *err)
{
    const sotto__coding *c = t->coding && t->coding->kind == SOTTO__TERM_CODES ? &t->coding->coding : NULL;
    if (!c || !(c->rate > 0 ? bits < 8 : bits >= 2 && bits <= c->bits && bits == floor(bits)))
        return sotto__fail(
            err, SOTTO_EINVAL,
            "shrink spec: rare tokens of %g bits, where the embedding's are %s: expected a whole number "
            "of bits, 2 or more, that is not above that of intB, or the embedding in the scope of a rate",
            bits, c ? "fewer or a whole number" : "no codes");
    free(t->rare);
    t->rare = calloc(t->out, 1);
    if (!t->rare) return sotto__fail_nomem(err, "vocabulary");
    for (size_t o = 0; o < t->out; o++) t->rare[o] = !common[net->tokens ? (size_t)net->tokens[o] : o];
    t->rare_bits = bits;
    return SOTTO_OK;
}

sotto_status sotto__mark_rare(sotto__net *net, const sotto__term *term, sotto_error *err)
{
    struct choice c;
    sotto_status st = choose(&c, net, term, err);
    for (size_t i = 0; st == SOTTO_OK && i < net->n; i++)
        if (net->tensors[i].param.piece == SOTTO__PIECE_EMBEDDING)
            st = mark(&net->tensors[i], net, c.stays, term->fraction, err);
    free(c.stays);
    return st;
}
