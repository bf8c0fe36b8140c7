/* SPDX-License-Identifier: MIT
 * The Wyoming front (docs/WYOMING.md): one thread that receives audio from any number of clients, queues it as HTTP's
 * uploads are, and sends what the engine made of it. Off unless --wyoming. */
#ifndef SOTTOD_WYOMING_H
#define SOTTOD_WYOMING_H

#include "server.h"

/* Binds s->config->wyoming: fills s->wyoming_listener and s->wyoming_url, "tcp://host:port". */
sotto_status wyoming_listen(server *s, sotto_error *err);
/* Answers on s->wyoming_listener. Queue, engine and watch of `s` are ready. */
sotto_status wyoming_start(wyoming **out, server *s, sotto_error *err);
/* s->draining has changed: no new clients, and those who have not begun to send audio are let go. NULL is fine here and
 * below. */
void wyoming_wake(wyoming *w);
/* Requests begun and not yet answered in full. */
size_t wyoming_busy(const wyoming *w);
/* No job may be waiting or running any more. The listener stays the caller's. */
void wyoming_stop(wyoming *w);

#endif
