/* SPDX-License-Identifier: MIT
 * What the commands of `sotto jobs` share: recordings that were handed over to a daemon. */
#ifndef SOTTO_CLIENT_HANDED_H
#define SOTTO_CLIENT_HANDED_H

#include "client.h"

enum { EXIT_NOT_DONE = 3 };

/* --server, --api-key and --cacert; the group's base is client_options. */
extern const option handed_access_table[];
extern const size_t handed_access_count;

/* Connects as the options say. */
sotto_status handed_open(remote **out, const work *w, sotto_error *err);

/* The jobs `ids`, or all there are where n is 0, oldest first: an array of the daemon's objects. SOTTO_ENOTFOUND names
 * one that is not there. */
sotto_status handed_jobs(remote *r, const char *const *ids, size_t n, json_t **out, sotto_error *err);
/* One of them with its recordings ("data"). */
sotto_status handed_recordings(remote *r, const char *id, json_t **out, sotto_error *err);

/* A text or a number of an object; "" and 0 where it has none. */
const char *handed_text(const json_t *o, const char *key);
int64_t handed_number(const json_t *o, const char *key);

int command_jobs_submit(int argc, char **argv);
int command_jobs_status(int argc, char **argv);
int command_jobs_results(int argc, char **argv);
int command_jobs_cancel(int argc, char **argv);

#endif
