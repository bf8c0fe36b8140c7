/* SPDX-License-Identifier: MIT
 * A transcription while it grows -> OpenAI's events: transcript.text.delta for what each finished window adds, one
 * transcript.text.done, [DONE]; an error in place of both when something fails after the first. On the engine's
 * thread. */
#ifndef SOTTOD_STREAM_H
#define SOTTOD_STREAM_H

#include "events.h"
#include "job.h"

/* False when the reader is too far behind or memory ran out: the run should be cancelled. */
bool stream_progress(job *j, const sotto_progress *progress);
/* The last events of a run that went well. False and nothing said as above. */
bool stream_done(job *j, const sotto_result *result);
/* An error, if the stream has begun; false when it has not, and an ordinary reply is to be made. */
bool stream_failed(job *j, const api_error *e);

#endif
