/* SPDX-License-Identifier: MIT
 * Files of client/pages/, made into arrays by cmake/embed.cmake; a NUL follows each. */
#ifndef SOTTO_CLIENT_PAGES_H
#define SOTTO_CLIENT_PAGES_H

#include <stddef.h>

extern const unsigned char page_study_report[];
extern const size_t page_study_report_size;

#endif
