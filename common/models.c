/* SPDX-License-Identifier: MIT
 * Model names -> paths -> models (models.h). */
#include "models.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

bool models_is_plain_name(const char *name)
{
    if (!*name || *name == '.') return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.' && *c != '-' && *c != '_') return false;
    return true;
}

/* <directory of this program>/../../../models: build/release/bin/sotto -> models/. NULL when that is no source tree. */
static char *source_tree_models(void)
{
    char exe[PATH_MAX], *path = NULL;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return NULL;
    exe[n] = '\0';
    for (int up = 0; up < 4; up++) {
        char *slash = strrchr(exe, '/');
        if (!slash) return NULL;
        *slash = '\0';
    }
    /* include/sotto.h tells the source tree from, say, /usr/models. */
    if (asprintf(&path, "%s/include/sotto.h", exe) < 0) return NULL;
    bool is_source = access(path, R_OK) == 0;
    free(path);
    return is_source && asprintf(&path, "%s/models", exe) >= 0 ? path : NULL;
}

static char *cache_models(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int n = -1;
    if (cache && *cache == '/')
        n = asprintf(&path, "%s/sotto", cache);
    else if (home && *home)
        n = asprintf(&path, "%s/.cache/sotto", home);
    return n >= 0 ? path : NULL;
}

sotto_status models_resolve(const char *name, char **out, sotto_error *err)
{
    const char *set = getenv("SOTTO_MODELS");
    char *places[3] = {set && *set ? strdup(set) : NULL, source_tree_models(), cache_models()};
    char looked[400] = "the current directory";
    sotto_status st = SOTTO_OK;
    *out = NULL;
    if (!*name) {
        st = options_fail(err, SOTTO_EINVAL, "the name of the model is empty");
    } else if (access(name, F_OK) == 0) {
        if (!(*out = strdup(name))) st = options_fail(err, SOTTO_ENOMEM, "out of memory: path of model %s", name);
    } else if (strchr(name, '/')) {
        st = options_fail(err, SOTTO_ENOTFOUND, "there is no model at %.400s", name);
    } else {
        for (size_t i = 0; i < sizeof places / sizeof *places && !*out && st == SOTTO_OK; i++) {
            size_t used = strlen(looked);
            if (!places[i]) continue;
            if (asprintf(out, "%s/%s", places[i], name) < 0) {
                *out = NULL;
                st = options_fail(err, SOTTO_ENOMEM, "out of memory: path of model %s", name);
            } else if (access(*out, F_OK) != 0) {
                free(*out);
                *out = NULL;
            }
            snprintf(looked + used, sizeof looked - used, ", %s", places[i]);
        }
        if (!*out && st == SOTTO_OK)
            st = options_fail(err, SOTTO_ENOTFOUND, "model \"%.60s\" is in none of %s; get it with: models/fetch %.60s",
                              name, looked, name);
    }
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) free(places[i]);
    return st;
}

bool models_is_installed(const char *name)
{
    const char *set = getenv("SOTTO_MODELS");
    char *places[3] = {set && *set ? strdup(set) : NULL, source_tree_models(), cache_models()}, *path;
    bool found = false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (places[i] && models_is_plain_name(name) && asprintf(&path, "%s/%s", places[i], name) >= 0) {
            found |= access(path, F_OK) == 0;
            free(path);
        }
        free(places[i]);
    }
    return found;
}

sotto_precision models_precision(int name)
{
    static const sotto_precision precisions[] = {SOTTO_PRECISION_AUTO,  SOTTO_PRECISION_F32,  SOTTO_PRECISION_F16,
                                                 SOTTO_PRECISION_INT16, SOTTO_PRECISION_INT8, SOTTO_PRECISION_INT4};
    return name >= 0 && (size_t)name < sizeof precisions / sizeof *precisions ? precisions[name] : SOTTO_PRECISION_AUTO;
}

sotto_status models_resolve_vad(const char *name, char **out, sotto_error *err)
{
    sotto_status st;
    *out = NULL;
    if (!name || !*name || strcmp(name, "none") == 0) return SOTTO_OK;
    st = models_resolve(name, out, err);
    return st == SOTTO_ENOTFOUND && strcmp(name, MODELS_VAD) == 0 ? SOTTO_OK : st;
}

sotto_status models_open(sotto_model **out, const char *path, const sotto_model_options *options, const char *spec,
                         const char *calibration, sotto_error *err)
{
    const char *tmp = getenv("TMPDIR");
    sotto_model_options o = *options;
    sotto_shrink_options so;
    char *file;
    *out = NULL;
    if (!spec || !*spec) return sotto_model_open(out, path, options, err);
    if (asprintf(&file, "%s/sotto.XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0)
        return options_fail(err, SOTTO_ENOMEM, "out of memory: shrunken model");
    const int fd = mkostemp(file, O_CLOEXEC);
    if (fd < 0) {
        const sotto_status st = options_fail(err, SOTTO_EIO, "%.300s cannot be made: %s", file, strerror(errno));
        free(file);
        return st;
    }
    sotto_shrink_options_default(&so);
    so.calibration = calibration;
    so.threads = o.threads;
    o.no_cache = true; /* prepacked weights would lie beside a file that goes */
    sotto_status st = sotto_shrink(path, spec, &so, file, NULL, err);
    if (st == SOTTO_OK) st = sotto_model_open(out, file, &o, err);
    unlink(file);
    close(fd);
    free(file);
    return st;
}
