/* SPDX-License-Identifier: MIT
 * From the name of a model to its path on disk, the same for daemon and client. */
#ifndef SOTTO_COMMON_MODELS_H
#define SOTTO_COMMON_MODELS_H

#include "sotto.h"

/* The model used when none is named. */
#define MODELS_DEFAULT "tiny.en"

/* Finds model `name`, in this order: the path itself if it exists; $SOTTO_MODELS/name; models/name of the source tree
 * that the program was built in (<its directory>/../../../models); $XDG_CACHE_HOME/sotto/name, by default
 * ~/.cache/sotto/name. *out is the caller's, for free(). SOTTO_ENOTFOUND names every place looked in. Names from remote
 * callers must pass models_is_plain_name() first. */
SOTTO_MUST_USE sotto_status models_resolve(const char *name, char **out, sotto_error *err);

/* Is `name` a plain name that one of the directories above has? Never looks anywhere else. */
bool models_is_installed(const char *name);

/* The voice detector `name` for sotto_options.vad_path: NULL for "none", or where it is not installed. Anything but the
 * default name has to be there. *out is the caller's. */
#define MODELS_VAD "silero-vad"
SOTTO_MUST_USE sotto_status models_resolve_vad(const char *name, char **out, sotto_error *err);

/* Names for the option --precision, and the library's value for each of them. */
#define MODELS_PRECISIONS "auto|f32|f16|int16|int8|int4"
sotto_precision models_precision(int name);

/* Opens the model at `path`, or, where `spec` is neither NULL nor "", what that makes of it (docs/SHRINKING.md), by way
 * of a file in $TMPDIR that is gone afterwards. `calibration` as of sotto_shrink_options. */
SOTTO_MUST_USE sotto_status models_open(sotto_model **out, const char *path, const sotto_model_options *options,
                                        const char *spec, const char *calibration, sotto_error *err);

/* Not a path: letters, digits, '.', '-', '_' only, and no '.' at the start. */
bool models_is_plain_name(const char *name);

#endif
