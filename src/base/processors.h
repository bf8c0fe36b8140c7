/* SPDX-License-Identifier: MIT
 * How many threads can compute at once in this process. */
#ifndef SOTTO_BASE_PROCESSORS_H
#define SOTTO_BASE_PROCESSORS_H

/* The cores of the affinity mask (two hardware threads of one core count once), no more than the cgroup's quota of
 * processor time allows; at least 1. */
int sotto__processors(void);

/* The parts of it, with the files below `root` in place of those below "/"; for tests. The cores of n processors; and
 * the least quota in processors, rounded up, of the process's cgroup and those above it, 0 = none. */
int sotto__cores_of(const char *root, const int *processors, int n);
int sotto__quota_of(const char *root);

#endif
