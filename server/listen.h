/* SPDX-License-Identifier: MIT
 * "HOST:PORT" -> listening socket and the URL it is reached at. */
#ifndef SOTTOD_LISTEN_H
#define SOTTOD_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "sotto.h"

/* *fd listens, non-blocking. `url` is made of `scheme` and the actual address; *is_local tells that only this machine
 * can reach it (loopback). Errors name the address, and `name` ("--listen") where it is malformed. */
sotto_status listen_open(int *fd, const char *name, const char *address, const char *scheme, char *url, size_t url_size,
                         bool *is_local, sotto_error *err);
/* The same of a socket that listens already. */
sotto_status listen_adopt(int fd, const char *scheme, char *url, size_t url_size, bool *is_local, sotto_error *err);

#endif
