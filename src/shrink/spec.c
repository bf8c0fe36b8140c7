/* SPDX-License-Identifier: MIT */
#include "shrink/spec.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* A term taken apart: NAME[=VALUE][:FLAG…][@SCOPE] */
struct piece {
    char text[SOTTO__TERM_TEXT]; /* as written, for messages */
    char work[SOTTO__TERM_TEXT];
    char *name, *value, *scope, *flags[6];
    size_t n_flags;
};

static sotto_status wrong(const struct piece *p, const char *expected, sotto_error *err)
{
    return sotto__fail(err, SOTTO_EINVAL, "shrink spec: term \"%s\": expected %s", p->text, expected);
}

static bool parse_size(const char *text, size_t low, size_t high, size_t *out)
{
    char *end;
    if (!text || *text < '0' || *text > '9') return false;
    const unsigned long long v = strtoull(text, &end, 10);
    if (*end || v < low || v > high) return false;
    *out = (size_t)v;
    return true;
}

/* ---- terms ---- */

static sotto_status take_vocab(sotto__term *t, const struct piece *p, sotto_error *err)
{
    if (!p->value || !*p->value || p->n_flags > 1 || p->scope ||
        (p->n_flags && !parse_size(p->flags[0], 256, 1 << 20, &t->number)))
        return wrong(p, "vocab=en, vocab=en:N or vocab=FILE:N, N at least 256", err);
    strcpy(t->source, p->value);
    return SOTTO_OK;
}

static sotto_status take_calibration(sotto__term *t, const struct piece *p, sotto_error *err)
{
    if (!p->value || !*p->value || p->n_flags || p->scope)
        return wrong(p, "calibration=PATH, an audio file or a folder of some", err);
    strcpy(t->source, p->value);
    return SOTTO_OK;
}

static sotto_status take_layers(sotto__term *t, const struct piece *p, sotto_error *err)
{
    if (!p->value || p->value[0] != '-' || !parse_size(p->value + 1, 1, 255, &t->number) || !p->scope || p->n_flags)
        return wrong(p, "layers=-N@encoder or layers=-N@decoder", err);
    return SOTTO_OK;
}

static sotto_status take_drop(sotto__term *t, const struct piece *p, sotto_error *err)
{
    const char *at = p->value;
    if (!at || !p->scope || p->n_flags) return wrong(p, "drop=I@encoder or drop=I+J@decoder", err);
    for (;;) {
        char *end;
        const unsigned long layer = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : 256;
        if (layer > 255 || (*end && *end != '+')) return wrong(p, "drop=I@encoder or drop=I+J@decoder", err);
        t->drop[layer / 64] |= (uint64_t)1 << layer % 64;
        if (!*end) return SOTTO_OK;
        at = end + 1;
    }
}

static bool parse_fraction(const char *text, double *out)
{
    char *end;
    if (!text || !*text) return false;
    *out = strtod(text, &end);
    return !*end && *out > 0 && *out < 1;
}

static sotto_status take_fraction(sotto__term *t, const struct piece *p, sotto_error *err)
{
    if (!parse_fraction(p->value, &t->fraction) || p->n_flags)
        return wrong(p, "a fraction above 0 and below 1, as in heads=0.25@encoder", err);
    return SOTTO_OK;
}

static sotto_status take_prune(sotto__term *t, const struct piece *p, sotto_error *err)
{
    t->wanda = p->n_flags == 1 && strcmp(p->flags[0], "wanda") == 0;
    if (!parse_fraction(p->value, &t->fraction) || p->n_flags > t->wanda)
        return wrong(p, "prune=F or prune=F:wanda with a fraction F above 0 and below 1", err);
    return SOTTO_OK;
}

static sotto_status take_ctx(sotto__term *t, const struct piece *p, sotto_error *err)
{
    if (!parse_size(p->value, 100, 1500, &t->number) || p->n_flags || p->scope)
        return wrong(p, "ctx=N with N from 100 to 1500 positions of 20 ms", err);
    return SOTTO_OK;
}

static sotto_status take_half(sotto__term *t, const struct piece *p, sotto_error *err)
{
    (void)t;
    return p->value || p->n_flags ? wrong(p, "f16 or f16@SCOPE", err) : SOTTO_OK;
}

static sotto_status take_codes(sotto__term *t, const struct piece *p, sotto_error *err)
{
    sotto__coding *c = &t->coding;
    *c = (sotto__coding){.bits = p->name[3] - '0', .group = 64};
    if (p->value) return wrong(p, "intB[:gN|:row][:asym][:gptq][:awq][:centred][@SCOPE]", err);
    for (size_t i = 0; i < p->n_flags; i++) {
        const char *flag = p->flags[i];
        if (strcmp(flag, "row") == 0)
            c->group = 0;
        else if (strcmp(flag, "asym") == 0)
            c->asymmetric = true;
        else if (strcmp(flag, "gptq") == 0)
            c->gptq = true;
        else if (strcmp(flag, "awq") == 0)
            c->awq = true;
        else if (strcmp(flag, "centred") == 0)
            c->centred = true;
        else if (flag[0] != 'g' || !parse_size(flag + 1, 8, 1 << 16, &c->group))
            return wrong(p, "of flags gN (N at least 8), row, asym, gptq, awq and centred", err);
    }
    if (c->awq && c->centred) return wrong(p, "awq or centred, as both scale inputs", err);
    return SOTTO_OK;
}

static bool parse_bits(const char *text, double *out)
{
    char *end;
    if (!text || *text < '0' || *text > '9') return false;
    *out = strtod(text, &end);
    return !*end && *out >= 0.5 && *out <= 8;
}

static sotto_status take_rate(sotto__term *t, const struct piece *p, sotto_error *err)
{
    sotto__coding *c = &t->coding;
    *c = (sotto__coding){.bits = 8};
    bool good = parse_bits(p->value, &c->rate) && c->rate <= 7;
    for (size_t i = 0; i < p->n_flags; i++) {
        if (strcmp(p->flags[i], "gptq") == 0)
            c->gptq = true;
        else if (strcmp(p->flags[i], "centred") == 0)
            c->centred = true;
        else
            good = false;
    }
    return good ? SOTTO_OK : wrong(p, "rate=B[:gptq][:centred][@SCOPE], B from 0.5 to 7 bits", err);
}

static sotto_status take_rare(sotto__term *t, const struct piece *p, sotto_error *err)
{
    if (!p->value || !*p->value || p->n_flags != 2 || p->scope || !parse_size(p->flags[0], 256, 1 << 20, &t->number) ||
        !parse_bits(p->flags[1], &t->fraction))
        return wrong(p, "rare=en:N:B or rare=FILE:N:B, N at least 256, B from 0.5 to 8 bits", err);
    strcpy(t->source, p->value);
    return SOTTO_OK;
}

static const struct {
    const char *name; /* '#': a digit from 2 to 8 */
    sotto__term_kind kind;
    sotto_status (*take)(sotto__term *t, const struct piece *p, sotto_error *err);
} table[] = {
    {"calibration", SOTTO__TERM_CALIBRATION, take_calibration},
    {"vocab", SOTTO__TERM_VOCAB, take_vocab},
    {"layers", SOTTO__TERM_LAYERS, take_layers},
    {"drop", SOTTO__TERM_DROP, take_drop},
    {"heads", SOTTO__TERM_HEADS, take_fraction},
    {"mlp", SOTTO__TERM_MLP, take_fraction},
    {"ctx", SOTTO__TERM_CTX, take_ctx},
    {"rank", SOTTO__TERM_RANK, take_fraction},
    {"prune", SOTTO__TERM_PRUNE, take_prune},
    {"f16", SOTTO__TERM_HALF, take_half},
    {"int#", SOTTO__TERM_CODES, take_codes},
    {"rate", SOTTO__TERM_CODES, take_rate},
    {"rare", SOTTO__TERM_RARE, take_rare},
};

static bool is_called(const char *name, const char *pattern)
{
    for (; *name && *pattern; name++, pattern++)
        if (*pattern == '#' ? *name < '2' || *name > '8' : *name != *pattern) return false;
    return !*name && !*pattern;
}

/* ---- the string ---- */

static bool known_scope(const char *scope)
{
    static const char *const names[] = {"encoder", "decoder", "conv", "embedding", "positions", "attention", "cross",
                                        "mlp",     "qkv",     "out",  "q",         "kv",        "up",        "down"};
    char copy[SOTTO__TERM_TEXT], *rest = copy, *name;
    strcpy(copy, scope);
    while ((name = strsep(&rest, "."))) {
        bool known = *name >= '0' && *name <= '9';
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) known |= strcmp(name, names[i]) == 0;
        if (!known) return false;
    }
    return true;
}

static bool take_apart(struct piece *p, const char *text, size_t n)
{
    if (n >= sizeof p->text) return false;
    memcpy(p->text, text, n);
    p->text[n] = '\0';
    strcpy(p->work, p->text);
    p->scope = strchr(p->work, '@');
    if (p->scope) *p->scope++ = '\0';
    p->name = p->work;
    char *flag = strchr(p->work, ':');
    while (flag) {
        *flag++ = '\0';
        if (p->n_flags == sizeof p->flags / sizeof p->flags[0]) return false;
        p->flags[p->n_flags++] = flag;
        flag = strchr(flag, ':');
    }
    p->value = strchr(p->work, '=');
    if (p->value) *p->value++ = '\0';
    return true;
}

static sotto_status add_term(sotto__spec *s, const char *text, size_t n, sotto_error *err)
{
    struct piece p = {0};
    if (!take_apart(&p, text, n))
        return sotto__fail(err, SOTTO_EINVAL, "shrink spec: a term of %zu characters or too many flags: \"%.40s\"", n,
                           text);
    if (s->n == SOTTO__TERMS) return sotto__fail(err, SOTTO_EINVAL, "shrink spec: more than %d terms", SOTTO__TERMS);
    if (p.scope && !known_scope(p.scope))
        return wrong(&p,
                     "a scope of encoder, decoder, conv, embedding, positions, attention, cross, mlp, qkv, out, q, "
                     "kv, up, down or a layer's number, joined by dots",
                     err);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!is_called(p.name, table[i].name)) continue;
        sotto__term *t = &s->terms[s->n++];
        *t = (sotto__term){.kind = table[i].kind};
        if (p.scope) strcpy(t->scope, p.scope);
        return table[i].take(t, &p, err);
    }
    return wrong(&p, "calibration, vocab, layers, drop, heads, mlp, ctx, rank, prune, f16, int2 … int8, rate or rare",
                 err);
}

sotto_status sotto__spec_parse(sotto__spec *out, const char *text, sotto_error *err)
{
    *out = (sotto__spec){0};
    const size_t len = strcspn(text, "\r\n");
    if (text[len + strspn(text + len, "\r\n \t")])
        return sotto__fail(err, SOTTO_EINVAL, "shrink spec: it has more than one line");
    for (size_t at = 0; at < len;) {
        const size_t skip = strspn(text + at, " \t"), n = strcspn(text + at, ",\r\n");
        size_t end = n;
        while (end > skip && (text[at + end - 1] == ' ' || text[at + end - 1] == '\t')) end--;
        const char *term = text + at + skip;
        const size_t size = end > skip ? end - skip : 0;
        const bool alone = at == 0 && n == len;
        if (!(alone && (size == 0 || (size == 4 && memcmp(term, "none", 4) == 0)))) {
            const sotto_status st = add_term(out, term, size, err);
            if (st != SOTTO_OK) return st;
        }
        at += n;
        if (at < len && text[at] == ',') at++;
    }
    return SOTTO_OK;
}

bool sotto__spec_wants_calibration(const sotto__spec *spec)
{
    for (size_t i = 0; i < spec->n; i++) {
        const sotto__term *t = &spec->terms[i];
        if (t->kind == SOTTO__TERM_LAYERS || t->kind == SOTTO__TERM_HEADS || t->kind == SOTTO__TERM_MLP || t->wanda ||
            (t->kind == SOTTO__TERM_CODES && (t->coding.gptq || t->coding.awq)))
            return true;
    }
    return false;
}

const char *sotto__spec_calibration(const sotto__spec *spec)
{
    for (size_t i = 0; i < spec->n; i++)
        if (spec->terms[i].kind == SOTTO__TERM_CALIBRATION) return spec->terms[i].source;
    return NULL;
}
