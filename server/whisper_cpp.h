/* SPDX-License-Identifier: MIT
 * The contract of whisper.cpp's server (its examples/server/server.cpp, 233fe1f): fields of POST /inference -> options,
 * and its verbose_json. Pure. */
#ifndef SOTTOD_WHISPER_CPP_H
#define SOTTOD_WHISPER_CPP_H

#include "form.h"

/* Is there such a field? */
bool whisper_cpp_field(const char *name);

/* All fields are there: checks them and fills options, format and write; facts->task is ignored. */
bool whisper_cpp_finish(form *f, const form_facts *facts, api_error *e);

/* Makes a written verbose_json whisper.cpp's: words inside of segments, and the language detected with its probability.
 * Other formats stay. *body is replaced; on failure it is freed and NULL. */
sotto_status whisper_cpp_rewrite(const sotto_result *result, sotto_format format, char **body, sotto_error *err);

#endif
