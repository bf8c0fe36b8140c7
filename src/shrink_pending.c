/* SPDX-License-Identifier: MIT
 * Holds the place of sotto_shrink (sotto.h) until the room that shrinks models is there: that one replaces this file.
 */
#include "base/error.h"
#include "sotto.h"

void sotto_shrink_options_default(sotto_shrink_options *options)
{
    *options = (sotto_shrink_options){.size = sizeof *options};
}

sotto_status sotto_shrink(const char *model, const char *spec, const sotto_shrink_options *options,
                          const char *out_path, char **report, sotto_error *err)
{
    (void)model, (void)options, (void)out_path;
    if (report) *report = NULL;
    return sotto__fail(err, SOTTO_EUNSUPPORTED, "sotto_shrink: \"%.100s\" is not supported by this build", spec);
}
