/* SPDX-License-Identifier: MIT
 * Files of server/pages/ and the study's report, made into arrays by cmake/embed.cmake. */
#ifndef SOTTOD_PAGES_H
#define SOTTOD_PAGES_H

#include <stddef.h>

extern const unsigned char page_home[];
extern const size_t page_home_size;

extern const unsigned char page_captions[];
extern const size_t page_captions_size;

extern const unsigned char page_study[]; /* study/results/index.html; empty where the build had none */
extern const size_t page_study_size;

extern const unsigned char openapi_document[]; /* server/openapi.json */
extern const size_t openapi_document_size;

#endif
