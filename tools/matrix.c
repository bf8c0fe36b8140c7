/* SPDX-License-Identifier: MIT
 * sotto-matrix: the algorithms of src/shrink on one matrix, for comparing with references. Not installed.
 *
 *   sotto-matrix quantise BITS GROUP FLAGS RARE IN OUT   FLAGS: letters of "agwcr" (asymmetric, GPTQ, AWQ, centred,
 * BITS is a rate) or "-"; every third row has RARE bits, unless that is 0 sotto-matrix magnitude|wanda FRACTION IN OUT
 * the matrix with zeros sotto-matrix heads WIDTH IN OUT                 scores, f64 sotto-matrix inputs IN OUT scores,
 * f64 sotto-matrix compensate I,J,… IN OUT            the matrix with these inputs only sotto-matrix low_rank RANK IN
 * OUT               a [RANK, in], b [out, RANK]
 *
 * IN: int64 out, in, and 1 if a Gram matrix follows, else 0; then f32 w[out, in], gram[in, in]. OUT of quantise: codes,
 * scales (u16), zero points (u8; only with a), one byte that tells whether columns follow, columns (u16), the matrix
 * (f32). All little-endian. */
#include "shrink/coded.h"
#include "shrink/low_rank.h"
#include "shrink/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct matrix {
    float *w, *gram;
    size_t out, in;
    char **args; /* what stands between the name and IN */
    FILE *to;
};

static bool write_all(const struct matrix *m, const void *data, size_t bytes)
{
    return fwrite(data, 1, bytes, m->to) == bytes;
}

static sotto_status quantise(struct matrix *m, sotto_error *err)
{
    const char *flags = m->args[2];
    const bool rate = strchr(flags, 'r');
    uint8_t *rare = calloc(m->out + 1, 1);
    for (size_t o = 0; rare && o < m->out; o += 3) rare[o] = 1;
    const sotto__coding coding = {.bits = rate ? 8 : atoi(m->args[0]),
                                  .group = strtoul(m->args[1], NULL, 10),
                                  .rate = rate ? atof(m->args[0]) : 0,
                                  .rare = atof(m->args[3]) > 0 ? rare : NULL,
                                  .rare_bits = atof(m->args[3]),
                                  .asymmetric = strchr(flags, 'a'),
                                  .gptq = strchr(flags, 'g'),
                                  .awq = strchr(flags, 'w'),
                                  .centred = strchr(flags, 'c')};
    sotto__coded c;
    sotto_status st = sotto__quantise(&c, m->w, m->out, m->in, &coding, m->gram, err);
    free(rare);
    if (st != SOTTO_OK) return st;
    const size_t groups = (c.in + c.group - 1) / c.group;
    const uint8_t columns = c.column != NULL, offsets = c.offset != NULL;
    bool ok = write_all(m, c.codes, c.out * c.in) && write_all(m, c.scale, 2 * c.out * groups) &&
              (!c.zero || write_all(m, c.zero, c.out * groups)) && write_all(m, &columns, 1) &&
              (!columns || write_all(m, c.column, 2 * c.in)) && write_all(m, &offsets, 1) &&
              (!offsets || write_all(m, c.offset, 2 * c.in));
    for (size_t o = 0; ok && o < c.out; o++) {
        sotto__dequantise_row(&c, o, m->w);
        ok = write_all(m, m->w, c.in * sizeof *m->w);
    }
    sotto__coded_free(&c);
    return ok ? SOTTO_OK : SOTTO_EIO;
}

static sotto_status written(const struct matrix *m, sotto_status st, const void *data, size_t bytes)
{
    return st == SOTTO_OK && !write_all(m, data, bytes) ? SOTTO_EIO : st;
}

static sotto_status magnitude(struct matrix *m, sotto_error *err)
{
    const size_t n = m->out * m->in;
    return written(m, sotto__prune_magnitude(m->w, n, atof(m->args[0]), err), m->w, n * sizeof *m->w);
}

static sotto_status wanda(struct matrix *m, sotto_error *err)
{
    const sotto_status st = sotto__prune_wanda(m->w, m->out, m->in, atof(m->args[0]), m->gram, err);
    return written(m, st, m->w, m->out * m->in * sizeof *m->w);
}

static sotto_status heads(struct matrix *m, sotto_error *err)
{
    const size_t width = strtoul(m->args[0], NULL, 10), n = m->in / width;
    double *score = calloc(n, sizeof *score);
    const sotto_status st = sotto__score_heads(score, m->w, m->out, n, width, m->gram, err);
    const sotto_status end = written(m, st, score, n * sizeof *score);
    free(score);
    return end;
}

static sotto_status inputs(struct matrix *m, sotto_error *err)
{
    (void)err;
    double *score = calloc(m->in, sizeof *score);
    sotto__score_inputs(score, m->w, m->out, m->in, m->gram);
    const sotto_status end = written(m, SOTTO_OK, score, m->in * sizeof *score);
    free(score);
    return end;
}

static sotto_status compensate(struct matrix *m, sotto_error *err)
{
    size_t *keep = calloc(m->in, sizeof *keep), n = 0;
    float *to = calloc(m->out * m->in, sizeof *to);
    for (char *s = m->args[0]; *s && n < m->in; s += *s == ',') keep[n++] = strtoul(s, &s, 10);
    const sotto_status st = sotto__compensate(to, m->w, m->out, m->in, keep, n, m->gram, err);
    const sotto_status end = written(m, st, to, m->out * n * sizeof *to);
    free(keep);
    free(to);
    return end;
}

static sotto_status low_rank(struct matrix *m, sotto_error *err)
{
    const size_t rank = strtoul(m->args[0], NULL, 10);
    float *a = calloc(rank * m->in + 1, sizeof *a), *b = calloc(rank * m->out + 1, sizeof *b);
    sotto_status st = sotto__low_rank(a, b, m->w, m->out, m->in, rank, m->gram, err);
    st = written(m, st, a, rank * m->in * sizeof *a);
    st = written(m, st, b, rank * m->out * sizeof *b);
    free(a);
    free(b);
    return st;
}

static const struct {
    const char *name;
    int args;
    sotto_status (*run)(struct matrix *m, sotto_error *err);
} algorithms[] = {{"quantise", 4, quantise}, {"magnitude", 1, magnitude}, {"wanda", 1, wanda},
                  {"heads", 1, heads},       {"inputs", 0, inputs},       {"compensate", 1, compensate},
                  {"low_rank", 1, low_rank}};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

static float *read_floats(FILE *f, size_t n)
{
    float *x = malloc(n * sizeof *x + 1);
    if (x && fread(x, sizeof *x, n, f) == n) return x;
    free(x);
    return NULL;
}

static bool read_matrix(struct matrix *m, const char *path)
{
    int64_t head[3];
    FILE *f = fopen(path, "rb");
    bool ok = f && fread(head, sizeof *head, 3, f) == 3;
    if (ok) {
        m->out = (size_t)head[0];
        m->in = (size_t)head[1];
        ok = (m->w = read_floats(f, m->out * m->in)) && (!head[2] || (m->gram = read_floats(f, m->in * m->in)));
    }
    if (f) fclose(f);
    return ok;
}

int main(int argc, char **argv)
{
    sotto_error err = {SOTTO_EIO, "files cannot be read or written"};
    struct matrix m = {.args = argv + 2};
    sotto_status st = SOTTO_EIO;
    int a = 0;
    while (a < ALGORITHMS && (argc != algorithms[a].args + 4 || strcmp(argv[1], algorithms[a].name) != 0)) a++;
    if (a == ALGORITHMS) {
        fprintf(stderr, "usage: sotto-matrix ALGORITHM ARGUMENTS IN OUT\n");
        return 2;
    }
    m.to = fopen(argv[argc - 1], "wb");
    if (m.to && read_matrix(&m, argv[argc - 2])) st = algorithms[a].run(&m, &err);
    if (st != SOTTO_OK) fprintf(stderr, "sotto-matrix: %s\n", err.message);
    if (m.to && fclose(m.to) != 0) st = SOTTO_EIO;
    free(m.w);
    free(m.gram);
    return st == SOTTO_OK ? 0 : 1;
}
