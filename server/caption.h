/* SPDX-License-Identifier: MIT
 * What a live stream tells its client: JSON texts. Pure. Each is from malloc, NULL when memory ran out. */
#ifndef SOTTOD_CAPTION_H
#define SOTTOD_CAPTION_H

#include "sotto.h"

char *caption_ready(const char *model, int32_t rate);
/* `interval_s` as the stream's state has it. */
char *caption_words(const sotto_caption *c, double interval_s);
char *caption_status(const sotto_stream_state *state);
char *caption_error(const char *message);
/* `report` is sotto_report_write's. */
char *caption_done(const char *report);

#endif
