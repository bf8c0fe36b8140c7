/* SPDX-License-Identifier: MIT
 * Affinity, topology and quota from the system's files (processors.h). A file that is missing says nothing. */
#include "base/processors.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PROCESSORS = 1024, LINE = 512 };

static bool read_line(char *line, const char *path)
{
    FILE *f = fopen(path, "re");
    const bool got = f && fgets(line, LINE, f);
    if (f) fclose(f);
    if (got) line[strcspn(line, "\n")] = '\0';
    return got;
}

static long number_in(const char *root, int processor, const char *name)
{
    char path[LINE], line[LINE];
    long value = -1;
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/topology/%s", root, processor, name);
    return read_line(line, path) && sscanf(line, "%ld", &value) == 1 ? value : -1;
}

int sotto__cores_of(const char *root, const int *processors, int n)
{
    long package[MAX_PROCESSORS], core[MAX_PROCESSORS];
    int cores = 0;
    if (n > MAX_PROCESSORS) n = MAX_PROCESSORS;
    for (int i = 0; i < n; i++) {
        bool seen = false;
        package[i] = number_in(root, processors[i], "physical_package_id");
        core[i] = number_in(root, processors[i], "core_id");
        for (int j = 0; j < i && core[i] >= 0; j++) seen |= package[j] == package[i] && core[j] == core[i];
        cores += !seen;
    }
    return cores;
}

/* Version 2: "max 100000" or "150000 100000". */
static int quota_in(const char *path)
{
    char line[LINE];
    long long quota, period;
    if (!read_line(line, path) || sscanf(line, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0)
        return 0;
    return (int)((quota + period - 1) / period);
}

static int lesser(int a, int b) { return a == 0 ? b : b == 0 ? a : a < b ? a : b; }

int sotto__quota_of(const char *root)
{
    char path[2 * LINE], line[LINE], group[LINE] = "";
    int quota = 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "0::", 3) == 0) snprintf(group, sizeof group, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (f) fclose(f);
    for (;;) { /* from the process's group up to the root */
        snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/cpu.max", root, group);
        quota = lesser(quota, quota_in(path));
        char *slash = strrchr(group, '/');
        if (!slash) break;
        *slash = '\0';
    }
    /* Version 1. */
    long long us = 0, period = 0;
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu/cpu.cfs_quota_us", root);
    const bool has_quota = read_line(line, path) && sscanf(line, "%lld", &us) == 1 && us > 0;
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/cpu/cpu.cfs_period_us", root);
    if (has_quota && read_line(line, path) && sscanf(line, "%lld", &period) == 1 && period > 0)
        quota = lesser(quota, (int)((us + period - 1) / period));
    return quota;
}

int sotto__processors(void)
{
    int list[MAX_PROCESSORS], n = 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    for (unsigned i = 0; i < CPU_SETSIZE && n < MAX_PROCESSORS; i++)
        if (CPU_ISSET(i, &set)) list[n++] = (int)i;
    const int usable = lesser(sotto__cores_of("", list, n), sotto__quota_of(""));
    return usable > 0 ? usable : 1;
}
