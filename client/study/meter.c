/* SPDX-License-Identifier: MIT
 * Memory, processor time, energy and name of the machine, from the kernel (study.h). */
#include <glob.h>
#include <malloc.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "study/study.h"

/* ---- energy: Intel's and AMD's RAPL, one counter of microjoules a package, which wraps around ------------------- */

static bool read_number(const char *path, double *out)
{
    FILE *file = fopen(path, "re");
    if (!file) return false;
    const bool is_read = fscanf(file, "%lf", out) == 1;
    fclose(file);
    return is_read;
}

void study_meter_begin(study_meter *m)
{
    glob_t found;
    *m = (study_meter){0};
    /* intel-rapl:0, not intel-rapl:0:1: what is inside a package is in its own counter already. */
    if (glob("/sys/class/powercap/intel-rapl:[0-9]*", 0, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc && m->n < sizeof m->zones / sizeof *m->zones; i++) {
        char range[128];
        const char *zone = found.gl_pathv[i];
        if (strchr(strchr(zone, ':') + 1, ':')) continue;
        snprintf(m->zones[m->n].path, sizeof m->zones[0].path, "%s/energy_uj", zone);
        snprintf(range, sizeof range, "%s/max_energy_range_uj", zone);
        if (read_number(m->zones[m->n].path, &m->zones[m->n].last_uj) && read_number(range, &m->zones[m->n].range_uj))
            m->n++;
    }
    globfree(&found);
}

void study_meter_read(study_meter *m)
{
    for (size_t i = 0; i < m->n; i++) {
        double now;
        if (!read_number(m->zones[i].path, &now)) continue;
        double moved = now - m->zones[i].last_uj;
        if (moved < 0) moved += m->zones[i].range_uj;
        m->zones[i].last_uj = now;
        m->joules += 1e-6 * moved;
    }
}

double study_meter_joules(const study_meter *m) { return m->n ? m->joules : NAN; }

/* ---- processor time ------------------------------------------------------------------------------------------- */

double study_cpu_seconds(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) return NAN;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

void study_rss_reset(void)
{
    malloc_trim(0); /* what earlier models left in the heap is not the next one's */
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (!file) return;
    fputs("5", file); /* proc(5): resets VmHWM */
    fclose(file);
}

/* Of /proc/self/status; `format` reads kB. */
static int64_t memory(const char *format)
{
    char line[256];
    long long kb = -1;
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return -1;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, format, &kb) == 1) break;
    fclose(file);
    return kb < 0 ? -1 : (int64_t)kb * 1024;
}

int64_t study_rss(void) { return memory("VmRSS: %lld kB"); }

int64_t study_rss_peak(void) { return memory("VmHWM: %lld kB"); }

/* ---- the machine ----------------------------------------------------------------------------------------------- */

void study_machine(char out[static 200], int threads, int slots)
{
    cpu_set_t mine;
    char line[256], cpu[128] = "unknown processor";
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %127[^\n]", cpu) == 1) break;
    if (file) fclose(file);
    if (!threads) threads = sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : 1;
    snprintf(out, 200, "%s, %d threads, %d slots", cpu, threads, slots);
}
