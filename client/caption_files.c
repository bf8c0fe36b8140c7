/* SPDX-License-Identifier: MIT
 * Subtitles and captions in files while they are confirmed (captions.h): whoever is killed loses what was tentative,
 * and of subtitles the cue begun. */
#include "captions.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- growing files -------------------------------------------------------------------------------------------- */

static void give_up(caption_files *f, growing_file *g, int error)
{
    char text[600];
    snprintf(text, sizeof text, "%.400s cannot be written: %s; captions go on without it", g->path, strerror(error));
    /* not half a piece: what stands there stays whole */
    bool cut = g->fd < 0 || ftruncate(g->fd, (off_t)g->whole) == 0;
    (void)cut; /* pipes and devices cannot be cut */
    if (g->fd >= 0) close(g->fd);
    *g = (growing_file){.fd = -1};
    f->failed = true;
    f->tell(text, f->user);
}

static void grow(caption_files *f, growing_file *g, const char *piece, bool sync)
{
    if (!g->path) return;
    size_t n = piece ? strlen(piece) : 0;
    if (!piece) {
        give_up(f, g, ENOMEM);
        return;
    }
    for (size_t at = 0; at < n;) {
        ssize_t m = write(g->fd, piece + at, n - at);
        if (m < 0 && errno == EINTR) continue;
        if (m < 0) {
            give_up(f, g, errno);
            return;
        }
        at += (size_t)m;
    }
    /* pipes and devices know no fsync */
    if (sync && fsync(g->fd) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP) {
        give_up(f, g, errno);
        return;
    }
    g->whole += (long long)n;
}

static void begin(caption_files *f, growing_file *g, const char *path, const char *head)
{
    *g = (growing_file){.path = path && *path ? path : NULL, .fd = -1};
    if (!g->path) return;
    g->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (g->fd < 0)
        give_up(f, g, errno);
    else
        grow(f, g, head, true);
}

static void end(caption_files *f, growing_file *g)
{
    if (!g->path) return;
    int fd = g->fd;
    g->fd = -1;
    if (close(fd) != 0 && errno != EINTR) give_up(f, g, errno);
    g->path = NULL;
}

/* ---- captions ------------------------------------------------------------------------------------------------- */

static bool take_cue(const cue *c, void *user)
{
    caption_files *f = user;
    char *srt = cue_srt(c, ++f->n_cues), *vtt = cue_vtt(c);
    grow(f, &f->srt, srt, true);
    grow(f, &f->vtt, vtt, true);
    free(srt);
    free(vtt);
    return true;
}

/* A caption on a line of JSON; NULL when memory ran out. */
static char *caption_line(const sotto_caption *c)
{
    json_t *words = json_array();
    char *tentative = NULL, *text, *line = NULL;
    size_t bytes;
    FILE *to = open_memstream(&tentative, &bytes);
    for (size_t i = 0; i < c->n_confirmed; i++) {
        const sotto_word *w = &c->confirmed[i];
        json_array_append_new(words, json_pack("{s:s, s:f, s:f, s:f}", "word", w->text, "start", w->start_s, "end",
                                               w->end_s, "probability", w->probability));
    }
    for (size_t i = 0; to && i < c->n_tentative; i++) fputs(c->tentative[i].text, to);
    if (!to || fclose(to) != 0) {
        json_decref(words);
        return NULL;
    }
    json_t *o = json_pack("{s:o, s:s, s:b, s:b, s:s?, s:f, s:f, s:f}", "confirmed", words, "tentative", tentative,
                          "utterance_end", c->utterance_end, "last", c->last, "language", c->language, "heard_s",
                          c->heard_s, "pushed_s", c->pushed_s, "wall_s", c->wall_s);
    text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (!text || asprintf(&line, "%s\n", text) < 0) line = NULL;
    free(text);
    free(tentative);
    json_decref(o);
    return line;
}

void caption_files_open(caption_files *f, const char *srt, const char *vtt, const char *jsonl, captions_tell *tell,
                        void *user)
{
    *f = (caption_files){.cutter = {.characters = CUE_CHARACTERS, .seconds = CUE_SECONDS}, .tell = tell, .user = user};
    begin(f, &f->srt, srt, "");
    begin(f, &f->vtt, vtt, "WEBVTT\n\n");
    begin(f, &f->jsonl, jsonl, "");
}

void caption_files_add(caption_files *f, const sotto_caption *c)
{
    if (f->jsonl.path) {
        char *line = caption_line(c);
        grow(f, &f->jsonl, line, c->n_confirmed > 0);
        free(line);
    }
    if (!f->srt.path && !f->vtt.path) return;
    bool ok = cues_add(&f->cutter, c->confirmed, c->n_confirmed, take_cue, f) &&
              (!(c->utterance_end || c->last) || cues_end(&f->cutter, take_cue, f));
    if (!ok) {
        if (f->srt.path) give_up(f, &f->srt, ENOMEM);
        if (f->vtt.path) give_up(f, &f->vtt, ENOMEM);
    }
}

void caption_files_close(caption_files *f)
{
    cues_end(&f->cutter, take_cue, f);
    end(f, &f->srt);
    end(f, &f->vtt);
    end(f, &f->jsonl);
    cues_free(&f->cutter);
}
