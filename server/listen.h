/* SPDX-License-Identifier: MIT
 * "HOST:PORT" -> listening socket and the URL it is reached at. */
#ifndef SOTTOD_LISTEN_H
#define SOTTOD_LISTEN_H

#include <stddef.h>

#include "sotto.h"

/* *fd listens, non-blocking. `url` gets the actual port. Errors name the address, and `name` ("--listen") where it is
 * malformed. */
sotto_status listen_open(int *fd, const char *name, const char *address, char *url, size_t url_size, sotto_error *err);

#endif
