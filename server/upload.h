/* SPDX-License-Identifier: MIT
 * An uploaded file on its way from the socket to the decoder: a nameless file in the spool directory, so that nothing
 * is left behind however the process ends. */
#ifndef SOTTOD_UPLOAD_H
#define SOTTOD_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "sotto.h"

typedef struct upload {
    int fd; /* -1 = none */
    uint64_t size;
    char path[32];  /* opens the file from its start while the upload is open */
    char name[128]; /* as the client calls it, printable ASCII only; for messages, never a path of ours */
} upload;

void upload_init(upload *u);
/* `client_name` may be NULL. SOTTO_EIO names `dir`. */
sotto_status upload_open(upload *u, const char *dir, const char *client_name, sotto_error *err);
sotto_status upload_append(upload *u, const char *data, size_t n, sotto_error *err);
/* Takes over `fd`, a recording that lies somewhere already. */
void upload_adopt(upload *u, int fd, const char *client_name);
void upload_close(upload *u);

/* Puts the client's name for the file where `message` has its path. */
void upload_name_in(const upload *u, char *message, size_t size);

#endif
