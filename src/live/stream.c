/* SPDX-License-Identifier: MIT */
#include "base/error.h"
sotto_status sotto_stream_open(sotto_stream **o, sotto_model *m, const sotto_stream_options *p, sotto_error *e) { (void)m,(void)p; *o=0; return sotto__fail(e, SOTTO_EUNSUPPORTED, "live captions: not yet"); }
void sotto_stream_options_default(sotto_stream_options *o) { *o = (sotto_stream_options){.size = sizeof *o, .sample_rate = 16000, .silence_s=0.5, .window_s=8}; }
void sotto_stream_free(sotto_stream *s) { (void)s; }
sotto_status sotto_stream_push(sotto_stream *s, const float *x, size_t n, sotto_error *e) { (void)s,(void)x,(void)n; return sotto__fail(e, SOTTO_EUNSUPPORTED, "live captions: not yet"); }
void sotto_stream_end(sotto_stream *s) { (void)s; }
void sotto_stream_cancel(sotto_stream *s) { (void)s; }
sotto_status sotto_stream_next(sotto_stream *s, double t, const sotto_caption **o, sotto_error *e) { (void)s,(void)t; *o=0; return sotto__fail(e, SOTTO_EUNSUPPORTED, "live captions: not yet"); }
void sotto_stream_get_state(sotto_stream *s, sotto_stream_state *t) { (void)s,(void)t; }
