/* SPDX-License-Identifier: MIT
 * What people see on stderr: the progress line and the report as a table. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- progress ------------------------------------------------------------------------------------------------- */

static atomic_bool silent;

void progress_silence(void) { atomic_store(&silent, true); }

void progress_begin(progress *p, const char *name)
{
    const char *slash = strrchr(name, '/');
    *p = (progress){.name = slash ? slash + 1 : name,
                    .on = isatty(STDERR_FILENO) == 1 && !atomic_load(&silent),
                    .began_s = now_s()};
}

void progress_draw(progress *p, const char *what, double done, double total)
{
    static const char full[] = "##############################";
    enum { WIDTH = sizeof full - 1 };
    double now = now_s();
    if (!p->on || (now - p->drawn_s < 0.1 && !(total > 0 && done >= total))) return;
    p->drawn_s = now;
    if (total > 0) {
        double part = done / total < 1 ? done / total : 1;
        int filled = (int)(part * WIDTH);
        fprintf(stderr, "\r\033[K%.30s  %s [%.*s%*s] %3.0f %%  %.0f s", p->name, what, filled, full, WIDTH - filled, "",
                100 * part, now - p->began_s);
    } else {
        static const char wheel[] = "|/-\\";
        fprintf(stderr, "\r\033[K%.30s  %s %c %.0f s", p->name, what, wheel[(unsigned)(now * 5) % 4], now - p->began_s);
    }
    fflush(stderr);
}

void progress_end(progress *p)
{
    if (p->on && p->drawn_s > 0) fputs("\r\033[K", stderr);
}

/* ---- report --------------------------------------------------------------------------------------------------- */

/* The number at a path of keys ("gops", "reached"), or NAN. */
static double at(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(o, a);
    if (b) v = json_object_get(v, b);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static void print_number(FILE *to, double v, const char *format)
{
    char text[64] = "-";
    if (!isnan(v)) snprintf(text, sizeof text, format, v);
    fprintf(to, "  %14s", text);
}

static void print_parts(FILE *to, const json_t *r)
{
    const json_t *parameters = json_object_get(json_object_get(r, "parameters"), "by_part");
    const json_t *touched = json_object_get(json_object_get(r, "parameters"), "touched_by_part");
    const json_t *products = json_object_get(json_object_get(r, "multiply_adds"), "by_part");
    const json_t *applied = json_object_get(json_object_get(r, "applications_per_parameter"), "by_part");
    const char *key;
    json_t *value;
    fprintf(to, "  %-24s  %14s  %14s  %14s  %14s\n", "part", "parameters", "touched", "multiply-adds", "applications");
    json_object_foreach((json_t *)(uintptr_t)parameters, key, value) {
        fprintf(to, "  %-24s", key);
        print_number(to, json_number_value(value), "%.0f");
        print_number(to, at(touched, key, NULL), "%.0f");
        print_number(to, at(products, key, NULL), "%.3e");
        print_number(to, at(applied, key, NULL), "%.1f");
        fputc('\n', to);
    }
    fprintf(to, "  %-24s", "total");
    print_number(to, at(r, "parameters", "total"), "%.0f");
    print_number(to, at(r, "parameters", "touched"), "%.0f");
    print_number(to, at(r, "multiply_adds", "total"), "%.3e");
    print_number(to, at(r, "applications_per_parameter", "total"), "%.1f");
    fprintf(to, "\n  the conv block with own weights at every position: %.0f parameters (%.0f times as many)\n",
            at(r, "conv", "unshared_parameters"), at(r, "conv", "ratio"));
}

void print_report(FILE *to, const char *name, const char *report)
{
    json_t *r = json_loads(report, 0, NULL);
    const json_t *model = json_object_get(r, "model"), *seconds = json_object_get(r, "seconds");
    const char *model_name = json_string_value(json_object_get(model, "name"));
    const char *format = json_string_value(json_object_get(model, "format"));
    const char *key;
    json_t *value;
    if (!r) return;
    fprintf(to, "%s: report\n  model %s (%s), %.0f threads, %.1f MB stored, %.1f MB resident\n", name,
            model_name ? model_name : "?", format ? format : "?", at(r, "threads", NULL),
            json_number_value(json_object_get(json_object_get(json_object_get(r, "bytes"), "stored"), "total")) / 1e6,
            json_number_value(json_object_get(json_object_get(json_object_get(r, "bytes"), "resident"), "total")) /
                1e6);
    print_parts(to, r);
    fprintf(to,
            "  %.0f windows (%.0f skipped), %.0f fallbacks, %.0f decoder steps; tokens: %.0f prefilled, %.0f decoded, "
            "%.0f kept",
            at(r, "windows", NULL), at(r, "windows_skipped", NULL), at(r, "fallbacks", NULL),
            at(r, "decoder_steps", NULL), at(r, "tokens", "prefilled"), at(r, "tokens", "decoded"),
            at(r, "tokens", "kept"));
    if (at(r, "tokens", "draft_proposed") > 0)
        fprintf(to, ", %.0f of %.0f drafted accepted", at(r, "tokens", "draft_accepted"),
                at(r, "tokens", "draft_proposed"));
    fputs("\n  seconds:", to);
    json_object_foreach((json_t *)(uintptr_t)seconds, key, value)
        fprintf(to, " %s %.3f", key, json_number_value(value));
    fprintf(to, "\n  throughput: %.1f s of audio in %.2f s = %.2f audio seconds per second",
            at(r, "audio_seconds", NULL), at(r, "seconds", "total"), at(r, "audio_seconds_per_second", NULL));
    if (!isnan(at(r, "tokens_per_second", NULL)))
        fprintf(to, ", %.0f tokens per second", at(r, "tokens_per_second", NULL));
    fprintf(to, "\n  %.1f GOP/s reached of %.1f measured %s peak (%.0f %%)\n", at(r, "gops", "reached"),
            at(r, "gops", "peak_measured"),
            json_string_value(json_object_get(json_object_get(r, "gops"), "arithmetic")), 100 * at(r, "gops", "ratio"));
    json_decref(r);
}
