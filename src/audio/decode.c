/* SPDX-License-Identifier: MIT
 * File -> features or blocks: picks the reader, resamples what it reads, shares out the seconds. */
#include "audio/decode.h"

#include "audio/reader.h"
#include "base/checked.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef SOTTO_FFMPEG
#define FORMATS "wav, flac, ogg, opus, mp3, aiff, m4a, mp4, webm, mkv, aac or wma"
#else
#define FORMATS "wav, flac, ogg, opus, mp3 or aiff"
#endif

/* To where the sink leads, n samples at 16 kHz. */
static sotto_status hand_over(sotto__sink *sink, const float *samples, size_t n, sotto_error *err)
{
    if (!sink->features) return sink->take(samples, n, sink->take_user, err);
    double begin = sotto__now_s();
    sotto_status st = sotto__features_push(sink->features, samples, n, err);
    sink->stage_s[SOTTO_STAGE_MEL] += sotto__now_s() - begin;
    return st;
}

/* Through the resampler; n = 0 ends it. */
static sotto_status push_resampled(sotto__sink *sink, const float *samples, size_t n, sotto_error *err)
{
    const float *out;
    size_t n_out;
    double begin = sotto__now_s();
    sotto_status st = sotto__resampler_push(sink->resampler, samples, n, &out, &n_out, err);
    sink->stage_s[SOTTO_STAGE_RESAMPLE] += sotto__now_s() - begin;
    if (st == SOTTO_OK && n_out) st = hand_over(sink, out, n_out, err);
    return st;
}

static sotto_status end_rate(sotto__sink *sink, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    if (sink->resampler) st = push_resampled(sink, NULL, 0, err);
    sotto__resampler_free(sink->resampler);
    sink->resampler = NULL;
    sink->rate = 0;
    return st;
}

sotto_status sotto__sink_push(sotto__sink *sink, int rate, const float *mono, size_t n, sotto_error *err)
{
    sotto_status st = SOTTO_OK;
    if (n == 0) return SOTTO_OK;
    if (sink->cancel && sink->cancel(sink->user))
        return sotto__fail(err, SOTTO_ECANCELLED, "cancelled while reading %.250s", sink->path);
    if (rate != sink->rate) {
        st = end_rate(sink, err);
        if (st != SOTTO_OK) return st;
        /* 16 kHz passes untouched */
        if (rate != SOTTO__SAMPLE_RATE) st = sotto__resampler_open(&sink->resampler, rate, err);
        if (st != SOTTO_OK) return st;
        sink->rate = rate;
    }
    st = sink->resampler ? push_resampled(sink, mono, n, err) : hand_over(sink, mono, n, err);
    sink->frames += n;
    sink->seconds += (double)n / rate;
    return st;
}

static sotto_status open_file(const char *path, int *fd, sotto_error *err)
{
    struct stat info;
    /* not to wait for a writer when it is a pipe */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return sotto__fail(err, errno == ENOENT || errno == ENOTDIR ? SOTTO_ENOTFOUND : SOTTO_EIO,
                           "cannot open %.250s: %s", path, strerror(errno));
    if (fstat(*fd, &info) != 0) return sotto__fail(err, SOTTO_EIO, "cannot read %.250s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return sotto__fail(err, SOTTO_EIO, "%.250s is %s, expected a file", path,
                           S_ISDIR(info.st_mode) ? "a directory" : "a pipe or device");
    if (info.st_size == 0) return sotto__fail(err, SOTTO_EAUDIO, "%.250s is empty, expected audio as " FORMATS, path);
    return SOTTO_OK;
}

#ifdef SOTTO_FFMPEG
/* MPEG audio and Ogg are FFmpeg's alone when it is there. libsndfile's MPEG decoder prints to stderr about junk and,
 * before 1.2.1, finds no samples in files that lack an Info header; opening a damaged Vorbis header leaks memory in it.
 */
static bool is_for_ffmpeg(int fd)
{
    unsigned char head[4];
    if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head) return false;
    return memcmp(head, "OggS", 4) == 0 || memcmp(head, "ID3", 3) == 0 || (head[0] == 0xff && (head[1] & 0xe0) == 0xe0);
}
#endif

static sotto_status read_file(int fd, sotto__sink *sink, sotto_error *err)
{
    typedef sotto_status reader(int, sotto__sink *, sotto_error *);
    reader *readers[2] = {sotto__sndfile_read, NULL};
    sotto_status st = SOTTO_EUNSUPPORTED;
    bool known = false;
    size_t i;
#ifdef SOTTO_FFMPEG
    readers[1] = sotto__ffmpeg_read;
    if (is_for_ffmpeg(fd)) {
        readers[0] = sotto__ffmpeg_read;
        readers[1] = NULL;
    }
#endif
    /* a WAV with a data size of 0, as streams have it, holds nothing for libsndfile, but does for FFmpeg */
    for (i = 0; i < 2 && readers[i] && (st == SOTTO_EUNSUPPORTED || (st == SOTTO_OK && sink->frames == 0)); i++) {
        if (lseek(fd, 0, SEEK_SET) != 0)
            return sotto__fail(err, SOTTO_EIO, "cannot read %.250s: %s", sink->path, strerror(errno));
        st = readers[i](fd, sink, err);
        if (st == SOTTO_OK) known = true;
    }
    if (st == SOTTO_EUNSUPPORTED && known) return SOTTO_OK;
    if (st == SOTTO_EUNSUPPORTED)
        return sotto__fail(err, SOTTO_EAUDIO, "%.250s is not audio in a known format, expected " FORMATS, sink->path);
    return st;
}

/* The whole file at sink->path into the sink. */
static sotto_status read_path(sotto__sink *sink, sotto_error *err)
{
    int fd = -1;
    sotto_status st = open_file(sink->path, &fd, err);
    if (st == SOTTO_OK) st = read_file(fd, sink, err);
    if (st == SOTTO_OK) st = end_rate(sink, err);
    sotto__resampler_free(sink->resampler);
    sink->resampler = NULL;
    if (fd >= 0) close(fd);
    return st;
}

static sotto_status fail_empty(const char *path, sotto_error *err)
{
    return sotto__fail(err, SOTTO_EAUDIO, "%.250s holds no audio (0 samples)", path);
}

sotto_status sotto__decode_file(sotto__features *f, const char *path, double stage_s[SOTTO_STAGE_COUNT],
                                bool (*cancel)(void *user), void *user, sotto_error *err)
{
    double spent[SOTTO_STAGE_COUNT] = {0}, begin = sotto__now_s(), finish;
    sotto__sink sink = {.features = f, .path = path, .stage_s = spent, .cancel = cancel, .user = user};
    sotto_status st = read_path(&sink, err);
    if (st == SOTTO_OK && sotto__features_samples(f) == 0) st = fail_empty(path, err);
    finish = sotto__now_s();
    if (st == SOTTO_OK) st = sotto__features_finish(f, err);
    spent[SOTTO_STAGE_MEL] += sotto__now_s() - finish;
    stage_s[SOTTO_STAGE_RESAMPLE] += spent[SOTTO_STAGE_RESAMPLE];
    stage_s[SOTTO_STAGE_MEL] += spent[SOTTO_STAGE_MEL];
    stage_s[SOTTO_STAGE_READ] += sotto__now_s() - begin - spent[SOTTO_STAGE_RESAMPLE] - spent[SOTTO_STAGE_MEL];
    return st;
}

sotto_status sotto__decode_blocks(const char *path, sotto__take *take, void *user, sotto_error *err)
{
    double spent[SOTTO_STAGE_COUNT] = {0};
    sotto__sink sink = {.path = path, .stage_s = spent, .take = take, .take_user = user};
    sotto_status st = read_path(&sink, err);
    return st == SOTTO_OK && sink.frames == 0 ? fail_empty(path, err) : st;
}

static char build_info[96];

static void fill_build_info(void)
{
    const char *version = sotto__sndfile_version(), *dash = strchr(version, '-');
#ifdef SOTTO_FFMPEG
    unsigned major, minor;
    sotto__ffmpeg_version(&major, &minor);
    snprintf(build_info, sizeof build_info, "libsndfile %.40s, ffmpeg %u.%u", dash ? dash + 1 : version, major, minor);
#else
    snprintf(build_info, sizeof build_info, "libsndfile %.40s", dash ? dash + 1 : version);
#endif
}

const char *sotto__decode_build_info(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_build_info);
    return build_info;
}
