/* SPDX-License-Identifier: MIT
 * What goes through the layers while audio is transcribed: the sum of x x^T over every layer's inputs x. */
#include "shrink/net.h"
#include "base/checked.h"
#include "base/error.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROWS = 256 }; /* that are gathered before they are multiplied: decoder steps bring one at a time */

struct sum {
    const sotto__linear *layer;
    size_t in, rows;
    bool looked_up; /* the embedding, which is an input, too */
    float *waiting; /* [in, ROWS] */
    float *gram;    /* [in, in] */
};

struct sums {
    const sotto_model *model;
    struct sum *items;
    size_t n;
    bool failed;
};

/* ---- summing ---- */

struct product {
    const sotto__ops *ops;
    struct sum *s;
};

enum { STRIP = 64 };

static void add_strip(void *arg, size_t index, int thread)
{
    const struct product *p = arg;
    struct sum *s = p->s;
    const size_t first = index * STRIP, n = s->in - first < STRIP ? s->in - first : STRIP;
    (void)thread;
    p->ops->gemm_nt(n, s->in, s->rows, s->waiting + first * ROWS, ROWS, s->waiting, ROWS, 1.0f, s->gram + first * s->in,
                    s->in);
}

static void flush(const sotto_model *m, struct sum *s)
{
    struct product p = {m->nn.ops, s};
    if (s->rows) sotto__pool_run(m->nn.pool, add_strip, &p, (s->in + STRIP - 1) / STRIP);
    s->rows = 0;
}

/* Called between layers, with the pool at rest, by whoever executes a pass: one thread at a time. */
static void see_input(void *user, const sotto__linear *layer, const float *x, size_t ldx, size_t rows)
{
    struct sums *sums = user;
    struct sum *s = sums->items;
    while (s < sums->items + sums->n && s->layer != layer) s++;
    if (s == sums->items + sums->n) return;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < s->in; i++) s->waiting[i * ROWS + s->rows] = x[r * ldx + i];
        if (++s->rows == ROWS) flush(sums->model, s);
    }
}

static bool open_sum(void *user, const sotto__param *p)
{
    struct sums *sums = user;
    struct sum *s = &sums->items[sums->n++];
    *s = (struct sum){.layer = p->layer_of, .looked_up = p->piece == SOTTO__PIECE_EMBEDDING};
    if (!s->layer) return true;
    s->in = s->layer->taps * s->layer->in;
    s->waiting = sotto__aligned(s->in * ROWS, sizeof *s->waiting);
    s->gram = sotto__aligned(s->in * s->in, sizeof *s->gram);
    sums->failed = !s->waiting || !s->gram;
    if (!sums->failed) memset(s->gram, 0, s->in * s->in * sizeof *s->gram);
    return !sums->failed;
}

/* What is looked up goes on into sums where each of its values counts alike: as much again, evenly, in the Gram matrix.
 */
static void count_lookups(struct sum *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->in; i++) sum += (double)s->gram[i * s->in + i];
    for (size_t i = 0; i < s->in; i++) s->gram[i * s->in + i] += (float)(sum / (double)s->in);
}

/* ---- audio ---- */

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int is_shown(const struct dirent *e)
{
    static const char *const kinds[] = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"};
    const size_t n = strlen(e->d_name);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const size_t k = strlen(kinds[i]);
        if (n > k && strcasecmp(e->d_name + n - k, kinds[i]) == 0) return 1;
    }
    return 0;
}

static sotto_status hear(sotto_session *session, const char *file, double *left_s, sotto_error *err)
{
    sotto_options o;
    const sotto_result *result;
    sotto_options_default(&o);
    o.temperature_increment = 0;
    const sotto_status st = sotto_transcribe_file(session, file, &o, &result, err);
    if (st == SOTTO_OK) *left_s -= result->duration_s;
    return st;
}

static sotto_status hear_folder(sotto_session *session, const char *path, double seconds, sotto_error *err)
{
    struct dirent **entries;
    const int n = scandir(path, &entries, is_shown, by_name);
    sotto_status st = SOTTO_OK;
    if (n < 0) return sotto__fail(err, SOTTO_ENOTFOUND, "calibration: cannot read the folder %s", path);
    if (n == 0) st = sotto__fail(err, SOTTO_ENOTFOUND, "calibration: no audio files in %s", path);
    for (int i = 0; i < n; i++) {
        sotto__str file = {0};
        if (st == SOTTO_OK && seconds > 0)
            st = sotto__str_printf(&file, "%s/%s", path, entries[i]->d_name) ? hear(session, file.data, &seconds, err)
                                                                             : sotto__fail_nomem(err, "calibration");
        sotto__str_free(&file);
        free(entries[i]);
    }
    free(entries);
    return st;
}

sotto_status sotto__calibrate(sotto_model *model, const char *path, double seconds, float **grams, sotto_error *err)
{
    sotto_session *session = NULL;
    struct sums sums = {.model = model};
    struct stat sb;
    sotto_status st = SOTTO_OK;
    sums.items = calloc(sotto__params_count(model) + 1, sizeof *sums.items);
    if (sums.items) sotto__params_walk(model, open_sum, &sums);
    if (!sums.items || sums.failed) st = sotto__fail_nomem(err, "calibration");
    if (st == SOTTO_OK && stat(path, &sb) != 0)
        st = sotto__fail(err, SOTTO_ENOTFOUND, "calibration: no file or folder %s", path);
    if (st == SOTTO_OK && (st = sotto_session_open(&session, model, err)) == SOTTO_OK) {
        model->nn.tap = see_input;
        model->nn.tap_user = &sums;
        st = S_ISDIR(sb.st_mode) ? hear_folder(session, path, seconds, err) : hear(session, path, &seconds, err);
        model->nn.tap = NULL;
    }
    sotto_session_free(session);
    for (size_t i = 0; sums.items && i < sums.n; i++) {
        if (st == SOTTO_OK && sums.items[i].layer) {
            flush(model, &sums.items[i]);
            if (sums.items[i].looked_up) count_lookups(&sums.items[i]);
            grams[i] = sums.items[i].gram;
        } else {
            free(sums.items[i].gram);
        }
        free(sums.items[i].waiting);
    }
    free(sums.items);
    return st;
}
