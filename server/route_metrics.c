/* SPDX-License-Identifier: MIT
 * GET /metrics: parameters, work and throughput since the start in Prometheus' text format 0.0.4; what /v1/report tells
 * as JSON, for a scraper. Counters end in _total; rates are the scraper's. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http.h"
#include "route.h"

static const char type_metrics[] = "text/plain; version=0.0.4; charset=utf-8";

/* A label's value: backslash, quote and line feed are escaped, and bytes that are no ASCII left out. */
static void write_label(FILE *to, const char *name, const char *value)
{
    fprintf(to, "%s=\"", name);
    for (const char *c = value; *c; c++)
        if (*c == '\n')
            fputs("\\n", to);
        else if ((unsigned char)*c < 0x80)
            fprintf(to, *c == '\\' || *c == '"' ? "\\%c" : "%c", *c);
    fputc('"', to);
}

static void begin(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put(FILE *to, const char *model, const char *name, const char *key, const char *value, double x)
{
    fprintf(to, "%s{", name);
    write_label(to, "model", model);
    if (key) {
        fputc(',', to);
        write_label(to, key, value);
    }
    fprintf(to, "} %.17g\n", x);
}

/* One sample of `name`, which is not of one model; `key` NULL: no label but the default model's. */
static void sample(FILE *to, const server *s, const char *name, const char *key, const char *value, double x)
{
    put(to, s->model_name, name, key, value, x);
}

/* A model and its work; live streams are in it where it is the only one. */
typedef struct row {
    const char *name;
    bool loaded;
    sotto_model_info info; /* while it was in memory */
    uint64_t passes, steps;
    engine_totals t;
    pool_state state;
} row;

static size_t read_rows(server *s, row rows[POOL_MODELS_MOST], const engine_totals *all)
{
    const size_t n = pool_count(s->pool);
    for (size_t i = 0; i < n; i++) {
        row *r = &rows[i];
        sotto_model *model = pool_borrow(s->pool, i);
        *r = (row){.name = pool_get_facts(s->pool, i)->name, .loaded = model};
        if (n == 1)
            r->t = *all;
        else
            engine_get_model_totals(s->engine, i, &r->t);
        pool_get_state(s->pool, i, &r->state);
        if (!model) continue;
        r->info = *sotto_model_get_info(model);
        sotto_model_get_batches(model, &r->passes, &r->steps);
        pool_release(s->pool, i, false);
    }
    return n;
}

static void write_parameters(FILE *to, const row *rows, size_t n)
{
    begin(to, "sotto_parameters", "gauge", "Parameters of the resident models by part.");
    for (size_t i = 0; i < n; i++)
        for (int p = 0; rows[i].loaded && p < SOTTO_PART_COUNT; p++)
            put(to, rows[i].name, "sotto_parameters", "part", sotto_part_name((sotto_part)p),
                (double)rows[i].info.part_parameters[p]);
    begin(to, "sotto_parameters_touched", "gauge", "Most parameters of each part that any run has used.");
    for (size_t i = 0; i < n; i++)
        for (int p = 0; p < SOTTO_PART_COUNT; p++)
            put(to, rows[i].name, "sotto_parameters_touched", "part", sotto_part_name((sotto_part)p),
                (double)rows[i].t.touched[p]);
    begin(to, "sotto_resident_bytes", "gauge", "Weights in memory by precision.");
    for (size_t i = 0; i < n; i++)
        for (int p = 0; rows[i].loaded && p < SOTTO_PRECISION_COUNT; p++)
            put(to, rows[i].name, "sotto_resident_bytes", "precision", sotto_precision_name((sotto_precision)p),
                (double)rows[i].info.resident_bytes[p]);
    begin(to, "sotto_model_loaded", "gauge", "1 while the model is in memory.");
    for (size_t i = 0; i < n; i++) put(to, rows[i].name, "sotto_model_loaded", NULL, NULL, rows[i].loaded);
    begin(to, "sotto_model_loads_total", "counter", "How often the model was loaded.");
    for (size_t i = 0; i < n; i++)
        put(to, rows[i].name, "sotto_model_loads_total", NULL, NULL, (double)rows[i].state.loads);
    begin(to, "sotto_model_load_seconds", "gauge", "What its last load took.");
    for (size_t i = 0; i < n; i++) put(to, rows[i].name, "sotto_model_load_seconds", NULL, NULL, rows[i].state.load_s);
}

/* How a counter is read from a row. */
static double audio_s(const row *r) { return r->t.sum.audio_s; }
static double wall_s(const row *r) { return r->t.sum.wall_s; }
static double windows(const row *r) { return (double)r->t.sum.windows; }
static double decoder_steps(const row *r) { return (double)r->t.sum.decoder_steps; }
static double tokens_prefilled(const row *r) { return (double)r->t.sum.tokens_prefilled; }
static double tokens_decoded(const row *r) { return (double)r->t.sum.tokens_decoded; }
static double tokens_kept(const row *r) { return (double)r->t.sum.tokens_kept; }
static double fallbacks(const row *r) { return (double)r->t.sum.fallbacks; }
static double full_window_retries(const row *r) { return (double)r->t.sum.full_window_retries; }
static double windows_skipped(const row *r) { return (double)r->t.sum.windows_skipped; }
static double passes(const row *r) { return (double)r->passes; }
static double steps(const row *r) { return (double)r->steps; }
static double speech_s(const row *r) { return r->t.sum.speech_s; }
static double covered_s(const row *r) { return r->t.sum.covered_s; }
static double gaps_decoded(const row *r) { return (double)r->t.sum.gaps_decoded; }
static double gaps_left(const row *r) { return (double)r->t.sum.gaps_left; }

static void write_work(FILE *to, const row *rows, size_t n)
{
    static const struct {
        const char *name, *help;
        double (*of)(const row *r);
    } table[] = {
        {"sotto_audio_seconds_total", "Audio transcribed.", audio_s},
        {"sotto_busy_seconds_total", "Time in which something was transcribed.", wall_s},
        {"sotto_windows_total", "Windows encoded.", windows},
        {"sotto_decoder_steps_total", "Passes of the decoder.", decoder_steps},
        {"sotto_tokens_prefilled_total", "Tokens of prompts.", tokens_prefilled},
        {"sotto_tokens_decoded_total", "Tokens generated.", tokens_decoded},
        {"sotto_tokens_kept_total", "Tokens in the texts.", tokens_kept},
        {"sotto_fallbacks_total", "Windows decoded again at a higher temperature.", fallbacks},
        {"sotto_full_window_retries_total", "Windows encoded and decoded again in full, for signs of failure.",
         full_window_retries},
        {"sotto_windows_skipped_total", "Windows judged silent.", windows_skipped},
        {"sotto_batch_passes_total",
         "Decoder passes computed since the model was loaded, each for all sequences that were ready.", passes},
        {"sotto_batch_steps_total", "Steps of sequences in those passes.", steps},
        {"sotto_speech_seconds_total", "Speech in recordings by the voice detector.", speech_s},
        {"sotto_speech_covered_seconds_total", "That of it inside of segments.", covered_s},
        {"sotto_gaps_decoded_total", "Stretches of speech outside of segments that were decoded again.", gaps_decoded},
        {"sotto_gaps_uncovered_total", "Those that stayed outside.", gaps_left},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        begin(to, table[i].name, "counter", table[i].help);
        for (size_t k = 0; k < n; k++) put(to, rows[k].name, table[i].name, NULL, NULL, table[i].of(&rows[k]));
    }
    begin(to, "sotto_multiply_adds_total", "counter", "Products with each part's parameters.");
    for (size_t k = 0; k < n; k++)
        for (int p = 0; p < SOTTO_PART_COUNT; p++)
            put(to, rows[k].name, "sotto_multiply_adds_total", "part", sotto_part_name((sotto_part)p),
                (double)rows[k].t.sum.multiply_adds[p]);
    begin(to, "sotto_stage_seconds_total", "counter", "Time by stage, summed over what ran side by side.");
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < SOTTO_STAGE_COUNT; i++)
            put(to, rows[k].name, "sotto_stage_seconds_total", "stage", sotto_stage_name((sotto_stage)i),
                rows[k].t.sum.stage_s[i]);
}

/* Recordings of durable jobs; nothing where there are none. */
static void write_stored(FILE *to, server *s)
{
    size_t files[STORE_STATES];
    api_error e;
    if (!s->jobs || !store_count(jobs_store(s->jobs), NULL, files, &e)) return;
    const size_t running = jobs_running(s->jobs, NULL);
    begin(to, "sotto_job_recordings", "gauge", "Recordings of durable jobs that are kept.");
    const double queued = files[STORE_QUEUED] > running ? (double)(files[STORE_QUEUED] - running) : 0;
    sample(to, s, "sotto_job_recordings", "state", "queued", queued);
    sample(to, s, "sotto_job_recordings", "state", "running", (double)running);
    sample(to, s, "sotto_job_recordings", "state", "done", (double)files[STORE_DONE]);
    sample(to, s, "sotto_job_recordings", "state", "failed", (double)files[STORE_FAILED]);
}

/* Jobs from Redis; nothing where there is no --queue. */
static void write_worker(FILE *to, server *s)
{
    worker_counts c;
    if (!worker_get_counts(s->worker, &c)) return;
    begin(to, "sotto_queue_connected", "gauge", "1 while there is a connection to Redis.");
    sample(to, s, "sotto_queue_connected", NULL, NULL, c.connected);
    begin(to, "sotto_queue_running", "gauge", "Jobs from Redis that this worker is at.");
    sample(to, s, "sotto_queue_running", NULL, NULL, (double)c.running);
    begin(to, "sotto_queue_jobs_total", "counter",
          "Jobs from Redis: taken, of these taken over from another worker, stored, and repeated: answered before.");
    sample(to, s, "sotto_queue_jobs_total", "event", "taken", (double)c.taken);
    sample(to, s, "sotto_queue_jobs_total", "event", "taken_over", (double)c.taken_over);
    sample(to, s, "sotto_queue_jobs_total", "event", "stored", (double)c.stored);
    sample(to, s, "sotto_queue_jobs_total", "event", "repeated", (double)c.repeated);
}

static void write_requests(FILE *to, server *s, const engine_totals *t, const row *rows, size_t n)
{
    uint64_t computed = 0, stepped = 0, bytes, most_bytes;
    for (size_t i = 0; i < n; i++) {
        computed += rows[i].passes;
        stepped += rows[i].steps;
    }
    pool_get_bytes(s->pool, &bytes, &most_bytes);
    begin(to, "sotto_requests_total", "counter", "Recordings and live streams that ended, by outcome.");
    sample(to, s, "sotto_requests_total", "outcome", "done", (double)t->sum.runs);
    sample(to, s, "sotto_requests_total", "outcome", "failed", (double)t->failed);
    sample(to, s, "sotto_requests_total", "outcome", "cancelled", (double)t->cancelled);
    begin(to, "sotto_jobs", "gauge", "Recordings and live streams at the moment.");
    sample(to, s, "sotto_jobs", "state", "running", (double)queue_running(s->queue));
    sample(to, s, "sotto_jobs", "state", "queued", (double)queue_waiting(s->queue));
    sample(to, s, "sotto_jobs", "state", "live", (double)lives_count(s->lives));
    write_stored(to, s);
    write_worker(to, s);
    const struct {
        const char *name, *help;
        double value;
    } table[] = {
        {"sotto_slots", "Recordings that may run at a time.", (double)s->config->slots},
        {"sotto_queue_capacity", "Recordings that may wait.", (double)s->config->max_queue},
        {"sotto_clients", "Clients with recordings that wait or run.", (double)queue_clients(s->queue)},
        {"sotto_connections", "Connections open.", (double)http_connections(s->http)},
        {"sotto_batch_size", "Sequences decoded together, mean since the start; 0 before the first.",
         computed ? (double)stepped / (double)computed : 0},
        {"sotto_weights_bytes", "Weights in memory, of all models.", (double)bytes},
        {"sotto_weights_bytes_most", "The most there were at a time.", (double)most_bytes},
        {"sotto_real_time_factor", "Seconds that the last recording took for each of its own; 0 before the first.",
         t->last.audio_s > 0 ? t->last.wall_s / t->last.audio_s : 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        begin(to, table[i].name, "gauge", table[i].help);
        sample(to, s, table[i].name, NULL, NULL, table[i].value);
    }
}

static void write_times(FILE *to, const char *name, const char *help, const traffic_times *t)
{
    uint64_t sum = 0;
    begin(to, name, "histogram", help);
    for (size_t i = 0; i < TRAFFIC_BUCKETS; i++)
        fprintf(to, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, traffic_bounds[i], sum += t->buckets[i]);
    sum += t->buckets[TRAFFIC_BUCKETS];
    fprintf(to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.17g\n%s_count %" PRIu64 "\n", name, sum, name, t->sum_s,
            name, sum);
}

static void write_traffic(FILE *to, const server *s)
{
    traffic_counts c;
    traffic_get(s->traffic, &c);
    begin(to, "sotto_http_requests_total", "counter", "Requests that ended; code 499: the client left unanswered.");
    for (size_t i = 0; i < c.n_kinds; i++) {
        fputs("sotto_http_requests_total{", to);
        write_label(to, "route", c.kinds[i].route);
        fprintf(to, ",code=\"%u\"} %" PRIu64 "\n", c.kinds[i].status ? c.kinds[i].status : 499, c.kinds[i].n);
    }
    begin(to, "sotto_http_received_bytes_total", "counter", "Bytes of requests' bodies.");
    fprintf(to, "sotto_http_received_bytes_total %" PRIu64 "\n", c.received_bytes);
    write_times(to, "sotto_answer_seconds", "Transcriptions from a request's head to the end of its answer.",
                &c.answer);
    write_times(to, "sotto_queue_seconds", "Transcriptions' time in the queue.", &c.queue);
}

/* Under the names that Prometheus' own client libraries give them. */
static void write_process(FILE *to, const server *s)
{
    struct rusage used = {0};
    uint64_t size = 0, resident = 0;
    int open_files = -3; /* ".", ".." and the one that counts */
    FILE *statm = fopen("/proc/self/statm", "re");
    DIR *fds = opendir("/proc/self/fd");
    if (statm && fscanf(statm, "%" SCNu64 " %" SCNu64, &size, &resident) != 2) resident = 0;
    if (statm) fclose(statm);
    while (fds && readdir(fds)) open_files++;
    if (fds) closedir(fds);
    getrusage(RUSAGE_SELF, &used);
    const struct {
        const char *name, *type, *help;
        double value;
    } table[] = {
        {"process_resident_memory_bytes", "gauge", "Memory resident, files mapped included.",
         (double)resident * (double)sysconf(_SC_PAGESIZE)},
        {"process_open_fds", "gauge", "Open files and sockets.", open_files < 0 ? 0 : open_files},
        {"process_cpu_seconds_total", "counter", "Processor time, of all threads.",
         (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
             1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec)},
        {"process_start_time_seconds", "gauge", "When the daemon started, seconds since 1970.", (double)s->started},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        begin(to, table[i].name, table[i].type, table[i].help);
        fprintf(to, "%s %.17g\n", table[i].name, table[i].value);
    }
}

static void answer(server *s, const char *tail, reply *out)
{
    engine_totals t;
    row *rows = calloc(POOL_MODELS_MOST, sizeof *rows);
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    (void)tail;
    lives_get_totals(s->lives, &t);
    if (to && rows) {
        const size_t n = read_rows(s, rows, &t);
        write_parameters(to, rows, n);
        write_work(to, rows, n);
        write_requests(to, s, &t, rows, n);
        write_traffic(to, s);
        write_process(to, s);
    }
    const bool whole = to && rows && fflush(to) == 0;
    if (to && (fclose(to) != 0 || !whole)) {
        free(text);
        text = NULL;
    }
    free(rows);
    reply_own(out, 200, type_metrics, text, size, free);
}

const route route_metrics = {.method = "GET", .path = "/metrics", .answer = answer};
