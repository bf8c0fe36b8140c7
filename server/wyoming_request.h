/* SPDX-License-Identifier: MIT
 * One transcription asked for over Wyoming, while it is received: transcribe (what is asked), audio-start, audio-chunk
 * …, audio-stop. Samples go into the spool as a WAV file, so that the engine gets what HTTP's uploads are. Pure but for
 * the spool: no sockets. */
#ifndef SOTTOD_WYOMING_REQUEST_H
#define SOTTOD_WYOMING_REQUEST_H

#include "job.h"
#include "server.h"

enum { WYOMING_WAV_HEAD_BYTES = 44 };

/* Interleaved PCM: samples of 1 byte are unsigned (as in WAV files and in the reference), those of 2 and 4 signed and
 * little-endian. */
typedef struct wyoming_format {
    uint32_t rate, width, channels;
} wyoming_format;

/* Zero at first and between two requests. */
typedef struct wyoming_request {
    json_t *asked; /* the transcribe event's data, NULL without one */
    job *job;      /* from the first audio event to its end, else NULL */
    wyoming_format format;
    bool has_chunk; /* `format` is a chunk's; else at most announced */
    uint64_t pcm_bytes;
} wyoming_request;

/* What is wrong goes to *e (false); the request can then only be dropped. Each takes the data of its event. */
bool wyoming_request_ask(wyoming_request *r, server *s, json_t *data, api_error *e);
bool wyoming_request_start(wyoming_request *r, server *s, const json_t *data, api_error *e);
bool wyoming_request_chunk(wyoming_request *r, server *s, const json_t *data, api_error *e);
/* A piece of the chunk's payload. */
bool wyoming_request_append(wyoming_request *r, const server *s, const char *pcm, size_t n, api_error *e);
/* *out is a job ready to be queued, whose reply will be verbose_json; NULL when no sound came. `r` is empty then. */
bool wyoming_request_finish(wyoming_request *r, server *s, job **out, api_error *e);
void wyoming_request_drop(wyoming_request *r);

/* The head of a WAV file with `pcm_bytes` of sound. */
void wyoming_wav_head(const wyoming_format *f, uint32_t pcm_bytes, uint8_t out[WYOMING_WAV_HEAD_BYTES]);

/* The `info` event's data: this daemon as one program with one model. NULL when memory ran out. */
json_t *wyoming_info(const server *s);

#endif
