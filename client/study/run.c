/* SPDX-License-Identifier: MIT
 * Configurations in, results into the database (study.h): each model is shrunk into a scratch file, opened, and hears
 * the utterances that have no result yet, longest first, on as many sessions at once as there are slots. Which of them
 * hear what depends on time; what they hear does not, so a study that was killed and begun again has the same results.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "study/study.h"
#include "study/store.h"

/* How fast a model of the plan was in this process, for the time left. */
typedef struct pace {
    double wall_s, audio_s;
} pace;

typedef struct runner {
    const study_work *work;
    pace pace[STUDY_MOST];
    double left_s[STUDY_MOST]; /* audio seconds still to be heard, by model */
    bool is_terminal;
    size_t failed;
    int64_t rss_before; /* bytes that the process had before the model of the moment was opened; -1 = unknown */
    sotto_shrinker
        *shrinker; /* of model `shrunken`; opened when the first spec wants it, so that calibration runs once */
    size_t shrunken;
} runner;

/* One configuration on one set. `lock` guards what follows it, and the database. */
typedef struct job {
    runner *runner;
    const study_configuration *c;
    const study_set *set;
    size_t number; /* of the configuration, from 1 */
    sotto_model *model;
    bool timed_only; /* for the speed on this machine; results are there */
    study_state state;
    size_t *order; /* utterances to hear, longest first */
    size_t n_order;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t taken, running;
    sotto_status status;
    sotto_error err;
} job;

static const char *model_name(const job *j) { return j->runner->work->plan->models[j->c->model].name; }

/* ---- progress --------------------------------------------------------------------------------------------------- */

static void clear_line(const runner *r)
{
    if (r->is_terminal) fputs("\r\033[K", stderr);
}

static void complain(runner *r, const char *model, const char *spec, const char *where, const char *message)
{
    clear_line(r);
    fflush(stdout);
    fprintf(stderr, "sotto study: %s %s%s%s: %s\n", model, spec, where ? " on " : "", where ? where : "", message);
    r->failed++;
}

/* Seconds that the rest will take: each model at its own pace so far, an unknown one at that of all; NAN at first. */
static double time_left(const runner *r)
{
    pace all = {0, 0};
    double sum = 0;
    for (size_t m = 0; m < r->work->plan->n_models; m++) {
        all.wall_s += r->pace[m].wall_s;
        all.audio_s += r->pace[m].audio_s;
    }
    for (size_t m = 0; m < r->work->plan->n_models; m++) {
        const pace *p = r->pace[m].audio_s > 0 ? &r->pace[m] : &all;
        if (r->left_s[m] > 0) sum += r->left_s[m] * p->wall_s / p->audio_s;
    }
    return sum;
}

static void time_text(char out[static 32], double seconds)
{
    if (!isfinite(seconds))
        snprintf(out, 32, "?");
    else if (seconds < 90)
        snprintf(out, 32, "%.0f s", seconds);
    else if (seconds < 5400)
        snprintf(out, 32, "%.0f min", seconds / 60);
    else
        snprintf(out, 32, "%.1f h", seconds / 3600);
}

static double wer(const study_state *s) { return s->words ? 100.0 * (double)s->edits / (double)s->words : NAN; }

static void draw(const job *j)
{
    const runner *r = j->runner;
    char left[32];
    if (!r->is_terminal) return;
    time_text(left, time_left(r));
    fprintf(stderr, "\r\033[K%zu of %zu  %.30s %.40s on %.20s  %zu of %zu", j->number, r->work->plan->n, model_name(j),
            j->c->spec, j->set->name, j->state.n_done, j->set->n);
    if (j->state.words) fprintf(stderr, "  WER %.2f %%", wer(&j->state));
    fprintf(stderr, "  %s left", left);
    fflush(stderr);
}

static void print_finished(const job *j, double wall_s)
{
    char took[32], left[32];
    clear_line(j->runner);
    time_text(took, wall_s);
    time_text(left, time_left(j->runner));
    printf("%zu of %zu  %s %s on %s: WER %.2f %%, %zu utterances in %s, %s left\n", j->number, j->runner->work->plan->n,
           model_name(j), j->c->spec, j->set->name, wer(&j->state), j->set->n, took, left);
    fflush(stdout);
}

/* ---- hearing ---------------------------------------------------------------------------------------------------- */

static bool go_on(const sotto_progress *now, void *user)
{
    (void)now, (void)user;
    return !is_interrupted();
}

static void stop(job *j, sotto_status st, const sotto_error *err)
{
    if (j->status != SOTTO_OK) return;
    j->status = st;
    j->err = *err;
}

/* The next utterance, or NULL. */
static const study_utterance *take(job *j, size_t *index)
{
    const study_utterance *u = NULL;
    pthread_mutex_lock(&j->lock);
    if (j->status == SOTTO_OK && !is_interrupted() && j->taken < j->n_order) {
        *index = j->order[j->taken++];
        u = &j->set->utterances[*index];
    }
    pthread_mutex_unlock(&j->lock);
    return u;
}

static sotto_status hear(const job *j, sotto_session *session, const study_utterance *u, const sotto_result **result,
                         sotto_edits *edits, sotto_error *err)
{
    sotto_options o;
    sotto_status st;
    sotto_options_default(&o);
    o.language = u->language;
    o.on_progress = go_on;
    if (!j->runner->work->plan->fallback) o.temperature_increment = 0;
    st = sotto_transcribe_file(session, u->audio, &o, result, err);
    return st == SOTTO_OK ? sotto_score_edits(u->reference, (*result)->text, u->language, edits, err) : st;
}

static void keep(job *j, size_t index, const sotto_result *result, const sotto_edits *edits)
{
    const study_utterance *u = &j->set->utterances[index];
    sotto_error err;
    const sotto_status st = j->timed_only ? SOTTO_OK
                                          : study_store_result(j->runner->work->store, j->c->id, j->set, u,
                                                               result->text, edits, &result->counts, &err);
    if (st != SOTTO_OK) {
        stop(j, st, &err);
        return;
    }
    j->state.done[index] = true;
    j->state.n_done++;
    j->state.edits += edits->substitutions + edits->deletions + edits->insertions;
    j->state.words += edits->words;
    j->state.seconds += u->seconds;
    sotto_counts_add(&j->state.counts, &result->counts);
    if (!j->timed_only) j->runner->left_s[j->c->model] -= u->seconds;
}

static void *hear_in_turn(void *argument)
{
    job *j = argument;
    sotto_session *session = NULL;
    sotto_error err;
    const study_utterance *u;
    size_t index;
    sotto_status st = sotto_session_open(&session, j->model, &err);
    while (st == SOTTO_OK && (u = take(j, &index))) {
        const sotto_result *result = NULL;
        sotto_edits edits;
        st = hear(j, session, u, &result, &edits, &err);
        pthread_mutex_lock(&j->lock);
        if (st == SOTTO_OK) keep(j, index, result, &edits);
        pthread_cond_signal(&j->changed);
        pthread_mutex_unlock(&j->lock);
    }
    pthread_mutex_lock(&j->lock);
    if (st != SOTTO_OK) stop(j, st, &err);
    j->running--;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
    sotto_session_free(session);
    return NULL;
}

static const study_set *ordered; /* qsort has no argument; one set is ordered at a time */

static int longest_first(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const double s = ordered->utterances[x].seconds, t = ordered->utterances[y].seconds;
    return s != t ? (s < t) - (s > t) : (x > y) - (x < y);
}

static sotto_status order(job *j, sotto_error *err)
{
    j->order = calloc(j->set->n + 1, sizeof *j->order);
    if (!j->order) return options_fail(err, SOTTO_ENOMEM, "out of memory: utterances");
    for (size_t i = 0; i < j->set->n; i++)
        if (!j->state.done[i]) j->order[j->n_order++] = i;
    ordered = j->set;
    if (j->n_order) qsort(j->order, j->n_order, sizeof *j->order, longest_first);
    return SOTTO_OK;
}

/* Draws and reads the meter until the workers are done; under the lock. */
static void watch(job *j, study_meter *meter)
{
    while (j->running) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 200000000;
        if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
        pthread_cond_clockwait(&j->changed, &j->lock, CLOCK_MONOTONIC, &until);
        study_meter_read(meter);
        draw(j);
    }
}

/* Hears what is left of the set; *meter runs meanwhile. */
static void hear_all(job *j, study_meter *meter)
{
    const size_t slots = (size_t)j->runner->work->slots, n = slots < j->n_order ? slots : j->n_order;
    pthread_t *threads = calloc(n + 1, sizeof *threads);
    size_t started = 0;
    sotto_error err;
    if (!threads) {
        stop(j, options_fail(&err, SOTTO_ENOMEM, "out of memory: slots"), &err);
        return;
    }
    study_meter_begin(meter);
    pthread_mutex_lock(&j->lock);
    for (; started < n; started++) {
        const int code = pthread_create(&threads[started], NULL, hear_in_turn, j);
        if (code) { /* some are enough */
            if (!started) stop(j, options_fail(&err, SOTTO_ENOMEM, "no thread: %s", strerror(code)), &err);
            break;
        }
        j->running++;
    }
    watch(j, meter);
    pthread_mutex_unlock(&j->lock);
    for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
    study_meter_read(meter);
    free(threads);
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

/* What hearing took: seconds of the clock and of all cores. */
typedef struct taken {
    double wall_s, cpu_s;
} taken;

/* The most that the model and its sessions took. What the shrinker keeps (the model in f32, what it measured) is not
 * theirs. */
static int64_t rss_taken(const runner *r)
{
    const int64_t peak = study_rss_peak();
    return peak < 0 || r->rss_before < 0 || peak < r->rss_before ? -1 : peak - r->rss_before;
}

static sotto_status finish(job *j, bool is_whole, taken t, const study_meter *meter, sotto_error *err)
{
    const sotto_model_info *info = sotto_model_get_info(j->model);
    const study_run_figures figures = {.wall_s = is_whole ? t.wall_s : NAN,
                                       .cpu_s = is_whole ? t.cpu_s : NAN,
                                       .joules = is_whole ? study_meter_joules(meter) : NAN,
                                       .peak_rss_bytes = is_whole ? rss_taken(j->runner) : -1,
                                       .counts = j->state.counts,
                                       .part_parameters = info->part_parameters};
    return study_store_finish(j->runner->work->store, j->c->id, j->set, &figures, err);
}

static taken hear_timed(job *j, study_meter *meter)
{
    pace *p = &j->runner->pace[j->c->model];
    const double began_s = now_s(), cpu_s = study_cpu_seconds(), heard_s = j->state.seconds;
    if (j->n_order) hear_all(j, meter);
    const taken t = {now_s() - began_s, study_cpu_seconds() - cpu_s};
    p->wall_s += t.wall_s;
    p->audio_s += j->state.seconds - heard_s;
    return t;
}

static sotto_status hear_set(job *j, sotto_error *err)
{
    const bool is_whole = j->state.n_done == 0;
    study_meter meter = {0};
    sotto_status st = order(j, err);
    if (st != SOTTO_OK || (st = study_store_run(j->runner->work->store, j->c->id, j->set, err)) != SOTTO_OK) return st;
    const taken t = hear_timed(j, &meter);
    if (is_interrupted()) return SOTTO_OK;
    if (j->status != SOTTO_OK) {
        /* The set stays unfinished; the study goes on, unless the database is at fault. */
        const char *told = j->err.message;
        complain(j->runner, model_name(j), j->c->spec, j->set->name, told);
        for (size_t i = 0; i < j->set->n; i++)
            if (!j->state.done[i]) j->runner->left_s[j->c->model] -= j->set->utterances[i].seconds;
        return SOTTO_OK;
    }
    if ((st = finish(j, is_whole, t, &meter, err)) == SOTTO_OK) print_finished(j, t.wall_s);
    return st;
}

static sotto_status with_lock(job *j, sotto_status (*pass)(job *j, sotto_error *err), sotto_error *err)
{
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->changed, NULL);
    const sotto_status st = pass(j, err);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->changed);
    return st;
}

static sotto_status run_set(runner *r, size_t number, sotto_model *model, const study_set *set, sotto_error *err)
{
    job j = {
        .runner = r, .c = &r->work->plan->configurations[number], .number = number + 1, .set = set, .model = model};
    sotto_status st = study_store_state(r->work->store, j.c->id, set, &j.state, err);
    if (st == SOTTO_OK && !j.state.finished) st = with_lock(&j, hear_set, err);
    free(j.order);
    free(j.state.done);
    return st;
}

/* ---- configurations --------------------------------------------------------------------------------------------- */

static int64_t number_of(const json_t *report, const char *key)
{
    const json_t *v = json_object_get(report, key);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* What is known of an open model and of how it was made. */
static void fill_facts(study_facts *f, const sotto_model_info *info)
{
    json_t *report = f->shrink_report ? json_loads(f->shrink_report, 0, NULL) : NULL;
    int64_t stored = 0, resident = 0;
    for (int p = 0; p < SOTTO_PRECISION_COUNT; p++) {
        stored += (int64_t)info->stored_bytes[p];
        resident += (int64_t)info->resident_bytes[p];
    }
    f->parameters = report ? number_of(report, "parameters") : (int64_t)info->parameters;
    f->nonzero = number_of(report, "nonzero");
    f->bits = report ? number_of(report, "bits") : 8 * stored;
    f->file_bytes = (int64_t)info->file_bytes;
    f->resident_bytes = resident;
    f->load_s = info->load_s;
    json_decref(report);
}

/* The shrinker of plan's model `model`. */
static sotto_status take_shrinker(runner *r, size_t model, sotto_error *err)
{
    sotto_shrink_options o;
    if (r->shrinker && r->shrunken == model) return SOTTO_OK;
    sotto_shrinker_free(r->shrinker);
    r->shrinker = NULL;
    r->shrunken = model;
    sotto_shrink_options_default(&o);
    o.calibration = r->work->plan->calibration;
    o.threads = r->work->threads;
    return sotto_shrinker_open(&r->shrinker, r->work->plan->models[model].path, &o, err);
}

/* Makes and opens the model of a configuration; *report is the library's, for sotto_string_free. */
static sotto_status prepare(runner *r, const study_configuration *c, sotto_model **model, char **report, study_facts *f,
                            sotto_error *err)
{
    const study_plan *plan = r->work->plan;
    const char *path = plan->models[c->model].path;
    sotto_model_options mo;
    sotto_status st = SOTTO_OK;
    *report = NULL;
    if (strcmp(c->spec, "none") != 0) {
        const double began_s = now_s();
        unlink(r->work->scratch);
        if ((st = take_shrinker(r, c->model, err)) == SOTTO_OK)
            st = sotto_shrinker_write(r->shrinker, c->spec, r->work->scratch, report, err);
        f->shrink_s = now_s() - began_s;
        path = r->work->scratch;
    }
    if (st != SOTTO_OK) return st;
    sotto_model_options_default(&mo);
    mo.threads = r->work->threads;
    mo.precision = models_precision(plan->precision);
    mo.no_cache = true;
    study_rss_reset();
    r->rss_before = study_rss();
    if ((st = sotto_model_open(model, path, &mo, err)) != SOTTO_OK) return st;
    f->shrink_report = *report;
    fill_facts(f, sotto_model_get_info(*model));
    return SOTTO_OK;
}

static bool is_asked(const study_configuration *c, size_t set) { return c->sets >> set & 1; }

static sotto_status run_configuration(runner *r, size_t number, sotto_error *err)
{
    const study_plan *plan = r->work->plan;
    const study_configuration *c = &plan->configurations[number];
    study_facts facts = {.parameters = -1,
                         .nonzero = -1,
                         .bits = -1,
                         .file_bytes = -1,
                         .resident_bytes = -1,
                         .shrink_s = NAN,
                         .load_s = NAN};
    sotto_model *model = NULL;
    char *report = NULL;
    sotto_error why;
    sotto_status st = prepare(r, c, &model, &report, &facts, &why);
    const bool is_made = st == SOTTO_OK;
    if (!is_made) {
        facts.error = why.message;
        complain(r, plan->models[c->model].name, c->spec, NULL, why.message);
        for (size_t k = 0; k < plan->n_sets; k++)
            if (is_asked(c, k)) r->left_s[c->model] -= plan->sets[k].seconds;
    }
    st = study_store_facts(r->work->store, c->id, &facts, err);
    for (size_t k = 0; k < plan->n_sets && is_made && st == SOTTO_OK && !is_interrupted(); k++)
        if (is_asked(c, k)) st = run_set(r, number, model, &plan->sets[k], err);
    sotto_model_free(model);
    sotto_string_free(report);
    return st;
}

/* ---- speed of the unshrunken model on another machine than its run was on ------------------------------------- */

static sotto_status time_set(job *j, sotto_error *err)
{
    study_meter meter = {0};
    sotto_status st = order(j, err);
    if (st != SOTTO_OK) return st;
    const taken t = hear_timed(j, &meter);
    if (is_interrupted()) return SOTTO_OK;
    if (j->status != SOTTO_OK) {
        complain(j->runner, model_name(j), j->c->spec, j->set->name, j->err.message);
        return SOTTO_OK;
    }
    st = study_store_speed(j->runner->work->store, j->c->id, j->set, t.wall_s, t.cpu_s, err);
    clear_line(j->runner);
    if (st == SOTTO_OK)
        printf("%s none on %s: %.2f times real time on this machine\n", model_name(j), j->set->name,
               j->set->seconds / t.wall_s);
    fflush(stdout);
    return st;
}

static sotto_status measure_speed(runner *r, const study_configuration *c, const study_set *set, sotto_error *err)
{
    job j = {.runner = r, .c = c, .set = set, .timed_only = true};
    study_facts facts = {0};
    char *report;
    sotto_error why;
    j.state.done = calloc(set->n + 1, sizeof *j.state.done);
    if (!j.state.done) return options_fail(err, SOTTO_ENOMEM, "out of memory: utterances");
    sotto_status st = prepare(r, c, &j.model, &report, &facts, &why);
    if (st != SOTTO_OK)
        complain(r, model_name(&j), c->spec, NULL, why.message), st = SOTTO_OK;
    else
        st = with_lock(&j, time_set, err);
    sotto_model_free(j.model);
    free(j.order);
    free(j.state.done);
    return st;
}

/* Measures it wherever a shrunken model's on this machine has nothing to be compared to. */
static sotto_status measure_speeds(runner *r, sotto_error *err)
{
    const study_plan *plan = r->work->plan;
    char none[] = "none";
    sotto_status st = SOTTO_OK;
    for (size_t m = 0; m < plan->n_models; m++)
        for (size_t k = 0; k < plan->n_sets && st == SOTTO_OK && !is_interrupted(); k++) {
            study_configuration c = {.model = m, .spec = none};
            st = study_store_lacks_speed(r->work->store, plan->models[m].name, &plan->sets[k], &c.id, err);
            if (st == SOTTO_OK && c.id >= 0) st = measure_speed(r, &c, &plan->sets[k], err);
        }
    return st;
}

/* Whether a set is still to be heard; audio that was heard before no longer counts as left. */
static sotto_status look(runner *r, const study_configuration *c, bool *is_open, sotto_error *err)
{
    const study_plan *plan = r->work->plan;
    sotto_status st = SOTTO_OK;
    *is_open = false;
    for (size_t k = 0; k < plan->n_sets && st == SOTTO_OK; k++) {
        study_state state;
        if (!is_asked(c, k)) continue;
        if ((st = study_store_state(r->work->store, c->id, &plan->sets[k], &state, err)) == SOTTO_OK) {
            *is_open |= !state.finished;
            r->left_s[c->model] += plan->sets[k].seconds - state.seconds;
        }
        free(state.done);
    }
    return st;
}

sotto_status study_run(const study_work *w, size_t *failed, sotto_error *err)
{
    runner r = {.work = w, .is_terminal = isatty(STDERR_FILENO) == 1};
    bool *open = calloc(w->plan->n + 1, sizeof *open);
    sotto_status st = open ? SOTTO_OK : options_fail(err, SOTTO_ENOMEM, "out of memory: configurations");
    for (size_t i = 0; i < w->plan->n && st == SOTTO_OK; i++) st = look(&r, &w->plan->configurations[i], &open[i], err);
    if (st == SOTTO_OK) st = measure_speeds(&r, err); /* left from before */
    for (size_t i = 0; i < w->plan->n && st == SOTTO_OK && !is_interrupted(); i++)
        if (open[i]) st = run_configuration(&r, i, err);
    if (st == SOTTO_OK) st = measure_speeds(&r, err);
    clear_line(&r);
    sotto_shrinker_free(r.shrinker);
    unlink(w->scratch);
    free(open);
    *failed = r.failed;
    return st;
}
