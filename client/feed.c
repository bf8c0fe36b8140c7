/* SPDX-License-Identifier: MIT
 * The thread that pushes sound into a captioner (feed.h). */
#include "feed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "mic.h"
#include "pcm.h"

enum { BLOCK = 4096, RATE = 16000, BLOCKS_PER_SECOND = 50, BYTES = 1 << 16, WAIT_MS = 100 };

struct feed {
    feed_options options;
    char *name;
    mic *mic;
    pcm pcm; /* of standard input */
    unsigned char *bytes;
    size_t n_bytes;
    int rate;
    captioner *to;
    pthread_t thread;
    double began_s;  /* when the first sample was due */
    uint64_t pushed; /* samples */
    sotto_status status;
    sotto_error error;
    pthread_mutex_t lock; /* of notice */
    char *notice;
};

static bool is_stopped(const feed *f) { return atomic_load(f->options.stop); }

/* ---- messages ------------------------------------------------------------------------------------------------- */

static void add_notice(const char *text, void *user)
{
    feed *f = user;
    char *joined = NULL;
    pthread_mutex_lock(&f->lock);
    if (asprintf(&joined, "%s%s%s", f->notice ? f->notice : "", f->notice ? "\n" : "", text) >= 0) {
        free(f->notice);
        f->notice = joined;
    }
    pthread_mutex_unlock(&f->lock);
}

char *feed_notice(feed *f)
{
    pthread_mutex_lock(&f->lock);
    char *notice = f->notice;
    f->notice = NULL;
    pthread_mutex_unlock(&f->lock);
    return notice;
}

uint64_t feed_losses(const feed *f) { return f->mic ? mic_losses(f->mic) : 0; }

/* ---- pushing -------------------------------------------------------------------------------------------------- */

static bool push(feed *f, const float *samples, size_t n)
{
    if (f->status == SOTTO_OK) f->status = f->to->kind->push(f->to, samples, n, &f->error);
    f->pushed += n;
    return f->status == SOTTO_OK;
}

static void sleep_until(double when_s)
{
    struct timespec t = {.tv_sec = (time_t)when_s, .tv_nsec = (long)((when_s - (double)(time_t)when_s) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) continue;
}

/* Not before the next sample was spoken; or, fast, when not too much waits to be heard. False: stop. */
static bool wait_for_turn(feed *f)
{
    if (!f->options.is_fast) {
        if (f->began_s <= 0) f->began_s = now_s(); /* of standard input: when its first bytes came */
        sleep_until(f->began_s + (double)f->pushed / f->rate);
        return !is_stopped(f);
    }
    while (!is_stopped(f)) {
        if (!f->to->kind->is_ahead(f->to)) return true;
        sleep_until(now_s() + 0.01);
    }
    return false;
}

/* In blocks of 20 ms, each when it is due. */
static bool push_paced(const float *samples, size_t n, void *user)
{
    feed *f = user;
    size_t most = (size_t)f->rate / BLOCKS_PER_SECOND;
    while (n) {
        size_t now = n < most ? n : most;
        if (!wait_for_turn(f) || !push(f, samples, now)) return false;
        samples += now;
        n -= now;
    }
    return true;
}

static void push_mic(feed *f)
{
    float block[BLOCK];
    size_t n;
    while (!is_stopped(f) && f->status == SOTTO_OK) {
        n = mic_read(f->mic, block, BLOCK);
        if (n)
            push(f, block, n);
        else
            sleep_until(now_s() + 0.01);
    }
    mic_stop(f->mic);
    while (f->status == SOTTO_OK && (n = mic_read(f->mic, block, BLOCK)) > 0) push(f, block, n);
}

static void push_file(feed *f)
{
    sotto_error err;
    sotto_status st = sotto_audio_read(f->options.file, push_paced, f, &err);
    if (st == SOTTO_OK || st == SOTTO_ECANCELLED) return;
    f->status = st;
    f->error = err;
}

/* ---- standard input ------------------------------------------------------------------------------------------- */

/* More bytes behind those there are. 0 at the end; -1 with the status set. */
static ssize_t read_more(feed *f)
{
    for (;;) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        if (is_stopped(f)) {
            f->status = options_fail(&f->error, SOTTO_ECANCELLED, "interrupted");
            return -1;
        }
        int ready = poll(&p, 1, WAIT_MS);
        if (ready == 0) continue;
        ssize_t n = ready < 0 ? -1 : read(STDIN_FILENO, f->bytes + f->n_bytes, BYTES - f->n_bytes);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0)
            f->status = options_fail(&f->error, SOTTO_EIO, "standard input cannot be read: %s", strerror(errno));
        else
            f->n_bytes += (size_t)n;
        if (f->began_s <= 0) f->began_s = now_s();
        return n;
    }
}

static void drop_bytes(feed *f, size_t n)
{
    memmove(f->bytes, f->bytes + n, f->n_bytes - n);
    f->n_bytes -= n;
}

static sotto_status open_stdin(feed *f)
{
    size_t used = 0;
    ssize_t n = 1;
    if (!(f->bytes = malloc(BYTES))) return options_fail(&f->error, SOTTO_ENOMEM, "out of memory: standard input");
    sotto_status st = SOTTO_OK;
    while (!pcm_begin(&f->pcm, f->bytes, f->n_bytes, n == 0, &used, &st, &f->error))
        if ((n = read_more(f)) < 0) return f->status;
    if (f->n_bytes == 0 && st == SOTTO_OK)
        st = options_fail(&f->error, SOTTO_EAUDIO, "standard input is empty, expected WAV or 16-bit samples at 16 kHz");
    drop_bytes(f, used);
    f->rate = (int)f->pcm.rate;
    return st;
}

static void push_stdin(feed *f)
{
    float block[BLOCK];
    size_t frame = pcm_frame(&f->pcm);
    for (;;) {
        uint64_t here = f->n_bytes < f->pcm.left ? f->n_bytes : f->pcm.left;
        size_t frames = (size_t)here / frame < BLOCK ? (size_t)here / frame : BLOCK;
        if (frames) {
            pcm_decode(&f->pcm, f->bytes, frames, block);
            drop_bytes(f, frames * frame);
            if (f->pcm.left != UINT64_MAX) f->pcm.left -= frames * frame;
            if (!push_paced(block, frames, f)) break;
        } else if (f->pcm.left < frame || read_more(f) <= 0) {
            break;
        }
    }
    if (f->status == SOTTO_ECANCELLED) f->status = SOTTO_OK;
}

/* ---- the thread ----------------------------------------------------------------------------------------------- */

static void *run(void *user)
{
    feed *f = user;
    if (f->mic)
        push_mic(f);
    else if (f->bytes)
        push_stdin(f);
    else
        push_file(f);
    f->to->kind->end(f->to);
    return NULL;
}

sotto_status feed_start(feed *f, captioner *to, sotto_error *err)
{
    f->to = to;
    int failed = thread_start(&f->thread, run, f);
    if (!failed) return SOTTO_OK;
    return options_fail(err, SOTTO_ENOMEM, "the thread that feeds the stream cannot be started: %s", strerror(failed));
}

sotto_status feed_finish(feed *f, sotto_error *err)
{
    pthread_join(f->thread, NULL);
    if (f->status != SOTTO_OK) *err = f->error;
    return f->status;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static sotto_status open_file(feed *f)
{
    const char *path = f->options.file;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return options_fail(&f->error, errno == ENOENT ? SOTTO_ENOTFOUND : SOTTO_EIO, "%s cannot be opened: %s", path,
                            strerror(errno));
    bool is_file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    close(fd);
    f->rate = RATE;
    return is_file ? SOTTO_OK
                   : options_fail(&f->error, SOTTO_EINVAL, "%s is no file; `-` reads sound from a pipe", path);
}

sotto_status feed_open(feed **out, const feed_options *o, sotto_error *err)
{
    feed *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return options_fail(err, SOTTO_ENOMEM, "out of memory: source of sound");
    f->options = *o;
    pthread_mutex_init(&f->lock, NULL);
    sotto_status st;
    if (!o->file) {
        st = mic_open(&f->mic, o->device, add_notice, f, &f->error);
        if (st == SOTTO_OK) f->rate = mic_rate(f->mic);
    } else {
        st = strcmp(o->file, "-") == 0 ? open_stdin(f) : open_file(f);
    }
    int made = st != SOTTO_OK ? 0
               : f->mic       ? asprintf(&f->name, "the microphone \"%s\"", mic_name(f->mic))
                              : asprintf(&f->name, "%s", f->bytes ? "standard input" : o->file);
    if (made < 0) f->name = NULL, st = options_fail(&f->error, SOTTO_ENOMEM, "out of memory: source of sound");
    if (st == SOTTO_OK) {
        *out = f;
    } else {
        *err = f->error;
        feed_free(f);
    }
    return st;
}

int feed_rate(const feed *f) { return f->rate; }

const char *feed_name(const feed *f) { return f->name; }

void feed_free(feed *f)
{
    if (!f) return;
    mic_close(f->mic);
    pthread_mutex_destroy(&f->lock);
    free(f->bytes);
    free(f->notice);
    free(f->name);
    free(f);
}
