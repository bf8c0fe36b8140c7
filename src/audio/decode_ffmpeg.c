/* SPDX-License-Identifier: MIT
 * Files that FFmpeg reads -> mono blocks. The only file that includes libav*.
 *
 * FFmpeg would also open playlists, captions and raw data, and follow what they refer to. So it only gets bytes of the
 * one open file, may not open anything else, and only demuxers of the list below are taken. */
#include "audio/reader.h"

#include "base/error.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char demuxers[] = "mov,matroska,ogg,mp3,aac,wav,w64,flac,asf,avi,mpegts,mpeg,flv,amr,amrnb,amrwb,caf,aiff,"
                               "au,ac3,eac3,dts,truehd,ape,wv,tta,dsf,iff,mpc,mpc8,oma,rm,tak,xwma,gsm,nut,mxf";

enum { IO_BYTES = 1 << 16, MAX_BAD_IN_A_ROW = 64 };

typedef struct reader {
    int fd;
    int64_t at, size;
    int read_errno; /* of the file itself */
    sotto__sink *sink;

    AVFormatContext *format;
    AVIOContext *io;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *frame;
    AVStream *stream;
    int64_t end;  /* of the last packet, in stream time; AV_NOPTS_VALUE until one says */
    unsigned bad; /* packets or frames in a row that could not be decoded */
    char why[AV_ERROR_MAX_STRING_SIZE];
    float mono[SOTTO__BLOCK_FRAMES];
} reader;

static int read_bytes(void *opaque, uint8_t *buffer, int n)
{
    reader *r = opaque;
    ssize_t got;
    do {
        got = pread(r->fd, buffer, (size_t)n, (off_t)r->at);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        r->read_errno = errno;
        return AVERROR(errno);
    }
    if (got == 0) return AVERROR_EOF;
    r->at += got;
    return (int)got;
}

static int64_t seek_bytes(void *opaque, int64_t offset, int whence)
{
    reader *r = opaque;
    int64_t base = 0, to;
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE) return r->size;
    if (whence == SEEK_CUR) base = r->at;
    if (whence == SEEK_END) base = r->size;
    if (__builtin_add_overflow(base, offset, &to) || to < 0) return AVERROR(EINVAL);
    r->at = to;
    return to;
}

/* Asked by demuxers that want to open another file or address. */
static int open_nothing(AVFormatContext *s, AVIOContext **pb, const char *url, int flags, AVDictionary **options)
{
    (void)s, (void)url, (void)flags, (void)options;
    *pb = NULL;
    return AVERROR(EPERM);
}

/* The library never prints. This is FFmpeg's only switch for it, and the whole process's. */
static void be_quiet(void) { av_log_set_level(AV_LOG_QUIET); }

static const char *reason(reader *r, int code)
{
    if (av_strerror(code, r->why, sizeof r->why) < 0) snprintf(r->why, sizeof r->why, "error %d", code);
    return r->why;
}

static void close_all(reader *r)
{
    av_frame_free(&r->frame);
    av_packet_free(&r->packet);
    avcodec_free_context(&r->codec);
    avformat_close_input(&r->format);
    if (r->io) av_freep(&r->io->buffer);
    avio_context_free(&r->io);
    free(r);
}

static sotto_status open_format(reader *r, sotto_error *err)
{
    uint8_t *buffer = av_malloc(IO_BYTES);
    int code;
    if (!buffer) return sotto__fail_nomem(err, "FFmpeg's read buffer");
    r->io = avio_alloc_context(buffer, IO_BYTES, 0, r, read_bytes, NULL, seek_bytes);
    if (!r->io) {
        av_free(buffer);
        return sotto__fail_nomem(err, "FFmpeg's input");
    }
    r->format = avformat_alloc_context();
    if (!r->format) return sotto__fail_nomem(err, "FFmpeg's input");
    r->format->pb = r->io;
    r->format->io_open = open_nothing;
    r->format->format_whitelist = av_strdup(demuxers);
    r->format->protocol_whitelist = av_strdup("none");
    if (!r->format->format_whitelist || !r->format->protocol_whitelist) return sotto__fail_nomem(err, "FFmpeg's input");
    /* without a name, so that only content decides; frees the context when it fails */
    code = avformat_open_input(&r->format, NULL, NULL, NULL);
    if (code == AVERROR(ENOMEM)) return sotto__fail_nomem(err, "FFmpeg's input");
    if (code < 0) return sotto__fail(err, SOTTO_EUNSUPPORTED, "ffmpeg: %s", reason(r, code));
    code = avformat_find_stream_info(r->format, NULL);
    if (code < 0) return sotto__fail(err, SOTTO_EUNSUPPORTED, "ffmpeg: %s", reason(r, code));
    return SOTTO_OK;
}

static sotto_status open_codec(reader *r, sotto_error *err)
{
    const AVCodec *decoder = NULL;
    unsigned i;
    int index = av_find_best_stream(r->format, AVMEDIA_TYPE_AUDIO, -1, -1, &decoder, 0), code;
    if (index == AVERROR_DECODER_NOT_FOUND)
        return sotto__fail(err, SOTTO_EAUDIO, "%.250s: FFmpeg has no decoder for its audio stream", r->sink->path);
    if (index < 0)
        return sotto__fail(err, SOTTO_EAUDIO, "%.250s holds no audio stream (it is a %s file)", r->sink->path,
                           r->format->iformat->long_name);
    for (i = 0; i < r->format->nb_streams; i++) {
        if (i != (unsigned)index) r->format->streams[i]->discard = AVDISCARD_ALL;
    }
    r->stream = r->format->streams[index];
    r->codec = avcodec_alloc_context3(decoder);
    r->packet = av_packet_alloc();
    r->frame = av_frame_alloc();
    if (!r->codec || !r->packet || !r->frame) return sotto__fail_nomem(err, "FFmpeg's decoder");
    r->codec->thread_count = 1;
    r->codec->pkt_timebase = r->stream->time_base; /* priming samples are skipped by time */
    code = avcodec_parameters_to_context(r->codec, r->stream->codecpar);
    if (code >= 0) code = avcodec_open2(r->codec, decoder, NULL);
    if (code < 0)
        return sotto__fail(err, SOTTO_EAUDIO, "%.250s: FFmpeg's %s decoder does not start: %s", r->sink->path,
                           decoder->name, reason(r, code));
    return SOTTO_OK;
}

/* mono[i] = mean of the channels of sample from + i, where `type` holds full scale as `scale`. */
#define MIX(type, scale)                                                                                               \
    for (i = 0; i < n; i++) {                                                                                          \
        double sum = 0.0;                                                                                              \
        for (c = 0; c < channels; c++) {                                                                               \
            const type *data = (const type *)(const void *)frame->extended_data[planar ? c : 0];                       \
            sum += (double)data[planar ? from + i : (from + i) * channels + c] - bias;                                 \
        }                                                                                                              \
        mono[i] = (float)(sum / ((scale) * (double)channels));                                                         \
    }

/* false for a sample format unknown here */
static bool mix_down(const AVFrame *frame, size_t channels, size_t from, size_t n, float *mono)
{
    const bool planar = av_sample_fmt_is_planar(frame->format) != 0;
    double bias = 0.0;
    size_t i, c;
    switch (av_get_packed_sample_fmt(frame->format)) {
    case AV_SAMPLE_FMT_U8:
        bias = 128.0;
        MIX(uint8_t, 128.0)
        return true;
    case AV_SAMPLE_FMT_S16:
        MIX(int16_t, 32768.0)
        return true;
    case AV_SAMPLE_FMT_S32:
        MIX(int32_t, 2147483648.0)
        return true;
    case AV_SAMPLE_FMT_S64:
        MIX(int64_t, 9223372036854775808.0)
        return true;
    case AV_SAMPLE_FMT_FLT:
        MIX(float, 1.0)
        return true;
    case AV_SAMPLE_FMT_DBL:
        MIX(double, 1.0)
        return true;
    default:
        return false;
    }
}

static sotto_status push_frame(reader *r, sotto_error *err)
{
    size_t channels, total, from, n;
    sotto_status st;
    if (r->frame->nb_samples <= 0 || r->frame->ch_layout.nb_channels <= 0 || r->frame->sample_rate <= 0)
        return SOTTO_OK;
    channels = (size_t)r->frame->ch_layout.nb_channels;
    total = (size_t)r->frame->nb_samples;
    for (from = 0; from < total; from += n) {
        n = total - from < SOTTO__BLOCK_FRAMES ? total - from : SOTTO__BLOCK_FRAMES;
        if (!mix_down(r->frame, channels, from, n, r->mono))
            return sotto__fail(err, SOTTO_EAUDIO, "%.250s: FFmpeg's sample format %d is not known here", r->sink->path,
                               r->frame->format);
        st = sotto__sink_push(r->sink, r->frame->sample_rate, r->mono, n, err);
        if (st != SOTTO_OK) return st;
    }
    return SOTTO_OK;
}

/* Counts a packet that cannot be decoded: single ones are passed over, as players do. */
static sotto_status bad_packet(reader *r, int code, sotto_error *err)
{
    if (code == AVERROR(ENOMEM)) return sotto__fail_nomem(err, "FFmpeg's decoder");
    if (++r->bad < MAX_BAD_IN_A_ROW) return SOTTO_OK;
    return sotto__fail(err, SOTTO_EAUDIO, "%.250s is broken at %.3f s: %d packets in a row cannot be decoded (%s)",
                       r->sink->path, r->sink->seconds, MAX_BAD_IN_A_ROW, reason(r, code));
}

/* Decodes one packet, or, with NULL, what the decoder still holds. */
static sotto_status decode_packet(reader *r, const AVPacket *packet, sotto_error *err)
{
    int code = avcodec_send_packet(r->codec, packet);
    if (code < 0 && code != AVERROR_EOF) return bad_packet(r, code, err);
    for (;;) {
        sotto_status st;
        code = avcodec_receive_frame(r->codec, r->frame);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return SOTTO_OK;
        if (code < 0) return bad_packet(r, code, err);
        r->bad = 0;
        st = push_frame(r, err);
        av_frame_unref(r->frame);
        if (st != SOTTO_OK) return st;
    }
}

/* An mp4 or FLAC states how long its stream is; packets that end a second earlier mean that the file was cut. */
static sotto_status check_end(const reader *r, sotto_error *err)
{
    const char *name = r->format->iformat->name;
    double base = av_q2d(r->stream->time_base), stated, reached;
    int64_t start = r->stream->start_time == AV_NOPTS_VALUE ? 0 : r->stream->start_time;
    if (strncmp(name, "mov", 3) != 0 && strcmp(name, "flac") != 0) return SOTTO_OK;
    if (r->stream->duration == AV_NOPTS_VALUE || r->stream->duration <= 0 || r->end == AV_NOPTS_VALUE) return SOTTO_OK;
    stated = (double)r->stream->duration * base;
    reached = ((double)r->end - (double)start) * base;
    if (reached + 1.0 >= stated) return SOTTO_OK;
    return sotto__fail(err, SOTTO_EAUDIO, "%.250s breaks off at %.3f s of %.3f s", r->sink->path, reached, stated);
}

static sotto_status read_all(reader *r, sotto_error *err)
{
    sotto_status st;
    int code;
    while ((code = av_read_frame(r->format, r->packet)) >= 0) {
        st = SOTTO_OK;
        if (r->packet->stream_index == r->stream->index) {
            if (r->packet->pts != AV_NOPTS_VALUE) {
                int64_t end = r->packet->pts + r->packet->duration;
                if (r->end == AV_NOPTS_VALUE || end > r->end) r->end = end;
            }
            st = decode_packet(r, r->packet, err);
        }
        av_packet_unref(r->packet);
        if (st == SOTTO_OK && r->sink->cancel && r->sink->cancel(r->sink->user))
            st = sotto__fail(err, SOTTO_ECANCELLED, "cancelled while reading %.250s", r->sink->path);
        if (st != SOTTO_OK) return st;
    }
    if (r->read_errno)
        return sotto__fail(err, SOTTO_EIO, "cannot read %.250s: %s", r->sink->path, strerror(r->read_errno));
    if (code == AVERROR(ENOMEM)) return sotto__fail_nomem(err, "FFmpeg's packets");
    st = decode_packet(r, NULL, err);
    if (st != SOTTO_OK) return st;
    if (r->sink->frames == 0 && r->bad > 0)
        return sotto__fail(err, SOTTO_EAUDIO, "%.250s: nothing in its audio stream can be decoded", r->sink->path);
    return check_end(r, err);
}

sotto_status sotto__ffmpeg_read(int fd, sotto__sink *sink, sotto_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct stat info;
    sotto_status st;
    reader *r;
    if (fstat(fd, &info) != 0)
        return sotto__fail(err, SOTTO_EIO, "cannot read %.250s: %s", sink->path, strerror(errno));
    r = calloc(1, sizeof *r);
    if (!r) return sotto__fail_nomem(err, "FFmpeg reader");
    pthread_once(&once, be_quiet);
    r->fd = fd;
    r->size = info.st_size;
    r->sink = sink;
    r->end = AV_NOPTS_VALUE;
    st = open_format(r, err);
    if (st == SOTTO_OK) st = open_codec(r, err);
    if (st == SOTTO_OK) st = read_all(r, err);
    close_all(r);
    return st;
}

void sotto__ffmpeg_version(unsigned *major, unsigned *minor)
{
    unsigned version = avformat_version();
    *major = AV_VERSION_MAJOR(version);
    *minor = AV_VERSION_MINOR(version);
}
