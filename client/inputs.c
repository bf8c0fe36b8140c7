/* SPDX-License-Identifier: MIT
 * Folders -> recordings -> names of outputs (inputs.h). */
#include "inputs.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* ---- folders -------------------------------------------------------------------------------------------------- */

static const char *const extensions[] = {
    "wav", "w64", "rf64", "flac", "aif", "aiff", "aifc", "au",  "caf", "ogg", "oga", "opus", "mp3", "mp2",
    "m4a", "m4b", "mp4",  "mov",  "mkv", "mka",  "webm", "aac", "wma", "amr", "3gp", "avi",  "ts",  "ac3",
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool is_recording(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < sizeof extensions / sizeof *extensions; i++)
        if (strcasecmp(dot + 1, extensions[i]) == 0) return true;
    return false;
}

/* Takes copies of path[0 … ) and folder[0 … n), and `trouble` itself. */
static bool add(input_list *list, const char *path, const char *folder, size_t n, char *trouble)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 16;
        input_entry *grown = reallocarray(list->entries, cap, sizeof *grown);
        if (!grown) {
            free(trouble);
            return false;
        }
        list->entries = grown;
        list->cap = cap;
    }
    input_entry *e = &list->entries[list->n++];
    *e = (input_entry){.path = strdup(path), .folder = strndup(folder, n), .trouble = trouble};
    return e->path && e->folder;
}

static bool add_trouble(input_list *list, const char *path, const char *format, const char *why)
{
    char *sentence;
    if (asprintf(&sentence, format, path, why) < 0) return false;
    return add(list, path, "", 0, sentence);
}

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

static bool add_file(input_list *list, const FTSENT *e, size_t root)
{
    const char *below = e->fts_path + root;
    struct stat st;
    if (e->fts_name[0] == '.' || !is_recording(e->fts_name)) return true;
    if (e->fts_info == FTS_SL && (stat(e->fts_path, &st) != 0 || !S_ISREG(st.st_mode))) return true;
    while (*below == '/') below++;
    const char *slash = strrchr(below, '/');
    return add(list, e->fts_path, below, slash ? (size_t)(slash - below) : 0, NULL);
}

static bool add_folder(input_list *list, const char *name)
{
    char *roots[] = {(char *)(uintptr_t)name, NULL}; /* only read */
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
    const size_t before = list->n;
    bool ok = tree != NULL;
    for (FTSENT *e; ok && (e = fts_read(tree));) {
        switch (e->fts_info) {
        case FTS_D:
            if (e->fts_level > 0 && e->fts_name[0] == '.') fts_set(tree, e, FTS_SKIP);
            break;
        case FTS_F:
        case FTS_SL:
            ok = add_file(list, e, strlen(name));
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            ok = add_trouble(list, e->fts_path, "%s cannot be read: %s", strerror(e->fts_errno));
            break;
        default:
            break;
        }
    }
    if (tree) fts_close(tree);
    if (ok && list->n == before) ok = add_trouble(list, name, "the folder %s has no recordings in it%s", "");
    return ok;
}

sotto_status inputs_expand(input_list *out, const char *const *names, size_t n, sotto_error *err)
{
    bool ok = true;
    *out = (input_list){0};
    for (size_t i = 0; i < n && ok; i++) {
        struct stat st;
        bool folder = strcmp(names[i], "-") != 0 && stat(names[i], &st) == 0 && S_ISDIR(st.st_mode);
        ok = folder ? add_folder(out, names[i]) : add(out, names[i], "", 0, NULL);
    }
    return ok ? SOTTO_OK : options_fail(err, SOTTO_ENOMEM, "out of memory: names of recordings");
}

void inputs_free(input_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->entries[i].path);
        free(list->entries[i].folder);
        free(list->entries[i].trouble);
    }
    free(list->entries);
    *list = (input_list){0};
}

/* ---- names of outputs ----------------------------------------------------------------------------------------- */

/* A stem, and what it was made of; sorted, equal ones are neighbours, whatever the number of files. */
typedef struct named {
    char *stem;
    size_t entry;
} named;

static char *stem_of(const input_entry *e, bool with_extension)
{
    const char *base = strcmp(e->path, "-") == 0 ? "stdin" : base_name(e->path), *dot = strrchr(base, '.');
    const int n = (int)(with_extension || !dot || dot == base ? strlen(base) : (size_t)(dot - base));
    char *stem;
    return asprintf(&stem, "%s%s%.*s", e->folder, *e->folder ? "/" : "", n, base) < 0 ? NULL : stem;
}

static int by_stem(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int order = strcmp(x->stem, y->stem);
    return order ? order : x->entry < y->entry ? -1 : 1;
}

static bool is_taken(char **stems, size_t n, const char *stem)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(stems[i], stem) == 0) return true;
    return false;
}

/* Entries that share a stem get their extension, and a number where that does not tell them apart either. */
static bool tell_apart(const input_list *list, const named *first, size_t n, char **stems, char **taken,
                       size_t *n_taken)
{
    for (size_t i = 0; i < n; i++) {
        const input_entry *e = &list->entries[first[i].entry];
        char *whole = stem_of(e, true), *name = whole ? strdup(whole) : NULL;
        for (unsigned number = 2; name && is_taken(taken, *n_taken, name); number++) {
            free(name);
            if (asprintf(&name, "%s.%u", whole, number) < 0) name = NULL;
        }
        free(whole);
        if (!name) return false;
        taken[(*n_taken)++] = stems[first[i].entry] = name;
    }
    return true;
}

char **output_stems(const input_list *list)
{
    const size_t n = list->n;
    char **stems = calloc(n + 1, sizeof *stems), **taken = calloc(n + 1, sizeof *taken);
    named *short_names = calloc(n + 1, sizeof *short_names);
    size_t n_taken = 0;
    bool ok = stems && taken && short_names;
    for (size_t i = 0; i < n && ok; i++)
        ok = (short_names[i] = (named){stem_of(&list->entries[i], false), i}).stem != NULL;
    if (ok) qsort(short_names, n, sizeof *short_names, by_stem);
    /* Those that are alone with their name keep it, and no other may take it. */
    for (size_t i = 0; i < n && ok; i++) {
        bool alone = (i == 0 || strcmp(short_names[i - 1].stem, short_names[i].stem) != 0) &&
                     (i + 1 == n || strcmp(short_names[i].stem, short_names[i + 1].stem) != 0);
        if (!alone) continue;
        ok = (stems[short_names[i].entry] = strdup(short_names[i].stem)) != NULL;
        if (ok && strrchr(base_name(stems[short_names[i].entry]), '.')) taken[n_taken++] = stems[short_names[i].entry];
    }
    for (size_t i = 0, m; i < n && ok; i += m) {
        for (m = 1; i + m < n && strcmp(short_names[i].stem, short_names[i + m].stem) == 0;) m++;
        if (m > 1) ok = tell_apart(list, short_names + i, m, stems, taken, &n_taken);
    }
    for (size_t i = 0; short_names && i < n; i++) free(short_names[i].stem);
    free(short_names);
    free(taken);
    if (ok) return stems;
    if (stems) output_stems_free(stems, n);
    return NULL;
}

void output_stems_free(char **stems, size_t n)
{
    for (size_t i = 0; i < n; i++) free(stems[i]);
    free(stems);
}

/* ---- outputs -------------------------------------------------------------------------------------------------- */

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

bool outputs_are_there(const work *w, const char *path, const char *stem)
{
    struct stat in, out;
    if (strcmp(path, "-") == 0 || stat(path, &in) != 0 || !S_ISREG(in.st_mode)) return false;
    for (size_t i = 0; i < w->n_formats; i++) {
        char *name;
        if (asprintf(&name, "%s/%s.%s", w->options.directory, stem, output_extension(w, w->formats[i])) < 0)
            return false;
        bool there = stat(name, &out) == 0 && S_ISREG(out.st_mode) && !is_older(&out.st_mtim, &in.st_mtim);
        free(name);
        if (!there) return false;
    }
    return true;
}

sotto_status output_make_folders(const char *directory, const char *stem, sotto_error *err)
{
    char *path;
    sotto_status st = SOTTO_OK;
    if (asprintf(&path, "%s/%s", directory, stem) < 0)
        return options_fail(err, SOTTO_ENOMEM, "out of memory: path of an output in %s", directory);
    for (char *slash = path + strlen(directory); st == SOTTO_OK && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            st = options_fail(err, SOTTO_EIO, "the directory %s cannot be made: %s", path, strerror(errno));
        *slash = '/';
    }
    free(path);
    return st;
}

sotto_status outputs_write(const work *w, const transcripts *t, const char *stem, sotto_error *err)
{
    sotto_status st = output_make_folders(w->options.directory, stem, err);
    for (size_t i = 0; i < w->n_formats && st == SOTTO_OK; i++)
        st = output_write_file(w->options.directory, stem, output_extension(w, w->formats[i]), t->texts[i], err);
    return st;
}
