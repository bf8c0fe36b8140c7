/* SPDX-License-Identifier: MIT
 * The HTTP front: receives requests, spools uploads, parks clients while their job runs, sends replies. */
#ifndef SOTTOD_HTTP_H
#define SOTTOD_HTTP_H

#include "server.h"

/* Answers on s->listener, which it takes over, from one thread of its own. All of `s` but s->http is ready. */
sotto_status http_start(http **out, server *s, sotto_error *err);
/* Requests begun and not yet answered in full. */
size_t http_busy(const http *h);
/* Connections open, those of live streams included. */
size_t http_connections(const http *h);
/* No job may be waiting or running any more. NULL is fine. */
void http_stop(http *h);

#endif
