/* SPDX-License-Identifier: MIT
 * Tables of options -> manual pages in man(7), so that those say what --help says. */
#ifndef SOTTO_COMMON_MANUAL_H
#define SOTTO_COMMON_MANUAL_H

#include <stdio.h>

#include "options.h"

/* The page of a program that is one table or a few: sottod(8). What --help=man prints. */
void manual_write_program(FILE *to, const options_program *program);

/* ---- parts of pages ------------------------------------------------------------------------------------------- */

/* Title and NAME. The date is SOURCE_DATE_EPOCH's, else today's. */
void manual_write_head(FILE *to, const char *name, int section, const char *tagline);
/* Paragraphs; lines that begin with a space are kept as they are. */
void manual_write_text(FILE *to, const char *text);
/* The sections' titles and a paragraph for every option, --help and --version too. `first`: a heading is right before.
 */
void manual_write_options(FILE *to, const options_program *program, bool first);
/* Text that is filled, on lines of the source; what is not to be read as a request or an escape is escaped. */
void manual_write_line(FILE *to, const char *text, size_t n);

#endif
