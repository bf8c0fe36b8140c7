/* SPDX-License-Identifier: MIT
 * Files that libsndfile reads -> mono blocks. The only file that includes sndfile.h. */
#include "audio/reader.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SAMPLES = 4 * SOTTO__BLOCK_FRAMES }; /* of all channels: bounds memory at 256 KiB */

/* mono[i] = mean of frame i, in place at the start of the block. */
static void mix_down(float *block, size_t frames, size_t channels)
{
    size_t i, c;
    for (i = 0; i < frames; i++) {
        double sum = 0.0;
        for (c = 0; c < channels; c++) sum += (double)block[i * channels + c];
        block[i] = (float)(sum / (double)channels);
    }
}

/* A FLAC states its length, and one that ends early is broken. Others are read to where they end: a recorder that was
 * killed or wrote to a pipe leaves a WAV whose header promises more than there is, and mp3 lengths are estimates. */
static bool states_length(const SF_INFO *info)
{
    return (info->format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC && info->frames > 0 && info->frames < SF_COUNT_MAX;
}

/* libsndfile keeps why opening failed in a variable of the process: one thread at a time opens. */
static SNDFILE *open_file(int fd, SF_INFO *info, sotto_error *err)
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one);
    SNDFILE *file = sf_open_fd(fd, SFM_READ, info, SF_TRUE);
    if (!file) sotto__fail(err, SOTTO_EUNSUPPORTED, "libsndfile: %s", sf_strerror(NULL));
    pthread_mutex_unlock(&one);
    return file;
}

sotto_status sotto__sndfile_read(int fd, sotto__sink *sink, sotto_error *err)
{
    SF_INFO info;
    SNDFILE *file;
    sotto_status st = SOTTO_OK;
    float *block = NULL;
    size_t channels, per_block;
    sf_count_t got;
    int own;

    memset(&info, 0, sizeof info);
    /* a descriptor of its own: sf_open_fd closes what it is given when it fails, even when told not to */
    own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) return sotto__fail(err, SOTTO_EIO, "cannot read %.250s: %s", sink->path, strerror(errno));
    file = open_file(own, &info, err);
    if (!file) return SOTTO_EUNSUPPORTED;
    if (info.channels < 1 || info.channels > BLOCK_SAMPLES || info.samplerate < 1) {
        st = sotto__fail(err, SOTTO_EUNSUPPORTED, "libsndfile: %d channels at %d Hz", info.channels, info.samplerate);
        goto done;
    }
    channels = (size_t)info.channels;
    per_block = BLOCK_SAMPLES / channels;
    if (per_block > SOTTO__BLOCK_FRAMES) per_block = SOTTO__BLOCK_FRAMES;
    block = malloc(per_block * channels * sizeof *block);
    if (!block) {
        st = sotto__fail_nomem(err, "block of samples");
        goto done;
    }
    while ((got = sf_readf_float(file, block, (sf_count_t)per_block)) > 0) {
        mix_down(block, (size_t)got, channels);
        st = sotto__sink_push(sink, info.samplerate, block, (size_t)got, err);
        if (st != SOTTO_OK) goto done;
    }
    if (states_length(&info) && sink->frames < (uint64_t)info.frames)
        st = sotto__fail(err, SOTTO_EAUDIO, "%.250s breaks off at %.3f s: %llu of %lld samples can be read", sink->path,
                         sink->seconds, (unsigned long long)sink->frames, (long long)info.frames);
    else if (sf_error(file) != SF_ERR_NO_ERROR && sink->frames > 0)
        st = sotto__fail(err, SOTTO_EAUDIO, "%.250s is broken at %.3f s: %s", sink->path, sink->seconds,
                         sf_strerror(file));
done:
    free(block);
    sf_close(file);
    return st;
}

const char *sotto__sndfile_version(void) { return sf_version_string(); }
