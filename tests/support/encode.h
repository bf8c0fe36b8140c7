/* SPDX-License-Identifier: MIT
 * Writes compressed audio files for tests with FFmpeg's encoders. */
#ifndef SOTTO_TEST_ENCODE_H
#define SOTTO_TEST_ENCODE_H

#include "cmocka_all.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdbool.h>
#include <string.h>

static inline void encode_packets(AVCodecContext *codec, AVFormatContext *format, AVPacket *packet,
                                  const AVFrame *frame)
{
    assert_true(avcodec_send_frame(codec, frame) >= 0);
    while (avcodec_receive_packet(codec, packet) >= 0) {
        av_packet_rescale_ts(packet, codec->time_base, format->streams[0]->time_base);
        packet->stream_index = 0;
        assert_true(av_interleaved_write_frame(format, packet) >= 0);
    }
}

/* The first that encode_file knows how to fill. */
static inline enum AVSampleFormat encode_sample_format(const AVCodec *c)
{
    const enum AVSampleFormat *f;
    for (f = c->sample_fmts; *f != AV_SAMPLE_FMT_NONE; f++) {
        enum AVSampleFormat packed = av_get_packed_sample_fmt(*f);
        if (packed == AV_SAMPLE_FMT_FLT || packed == AV_SAMPLE_FMT_DBL || packed == AV_SAMPLE_FMT_U8 ||
            packed == AV_SAMPLE_FMT_S16 || packed == AV_SAMPLE_FMT_S32)
            return *f;
    }
    fail_msg("encoder %s takes no format that is known here", c->name);
    return AV_SAMPLE_FMT_NONE;
}

/* Mono x[n] at `rate` into `path`, muxed as `muxer` by `encoder`; false when this FFmpeg lacks one of them. */
static inline bool encode_file(const char *path, const char *muxer, const char *encoder, const float *x, size_t n,
                               int rate)
{
    const AVCodec *c = avcodec_find_encoder_by_name(encoder);
    AVCodecContext *codec;
    AVFormatContext *format = NULL;
    AVDictionary *options = NULL;
    AVStream *stream;
    AVFrame *frame = av_frame_alloc();
    AVPacket *packet = av_packet_alloc();
    size_t at = 0, per_frame;
    enum AVSampleFormat packed;

    if (!c || avformat_alloc_output_context2(&format, NULL, muxer, path) < 0) {
        av_frame_free(&frame);
        av_packet_free(&packet);
        return false;
    }
    codec = avcodec_alloc_context3(c);
    assert_true(codec && frame && packet);
    codec->sample_fmt = encode_sample_format(c);
    codec->sample_rate = rate;
    codec->bit_rate = 96000;
    codec->time_base = (AVRational){1, rate};
    codec->strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    av_channel_layout_default(&codec->ch_layout, 1);
    if (format->oformat->flags & AVFMT_GLOBALHEADER) codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    assert_true(avcodec_open2(codec, c, NULL) >= 0);
    stream = avformat_new_stream(format, NULL);
    assert_non_null(stream);
    assert_true(avcodec_parameters_from_context(stream->codecpar, codec) >= 0);
    stream->time_base = codec->time_base;
    assert_true(avio_open(&format->pb, path, AVIO_FLAG_WRITE) >= 0);
    if (strcmp(muxer, "mp4") == 0) av_dict_set(&options, "movflags", "faststart", 0); /* index in front */
    assert_true(avformat_write_header(format, &options) >= 0);
    av_dict_free(&options);

    per_frame = codec->frame_size > 0 ? (size_t)codec->frame_size : 1024;
    packed = av_get_packed_sample_fmt(codec->sample_fmt);
    while (at < n) {
        size_t take = n - at < per_frame ? n - at : per_frame, i;
        frame->nb_samples = (int)take;
        frame->format = codec->sample_fmt;
        frame->sample_rate = rate;
        frame->pts = (int64_t)at;
        assert_true(av_channel_layout_copy(&frame->ch_layout, &codec->ch_layout) >= 0);
        assert_true(av_frame_get_buffer(frame, 0) >= 0);
        for (i = 0; i < take; i++) { /* one channel: planar or not is the same */
            if (packed == AV_SAMPLE_FMT_FLT)
                ((float *)(void *)frame->data[0])[i] = x[at + i];
            else if (packed == AV_SAMPLE_FMT_DBL)
                ((double *)(void *)frame->data[0])[i] = (double)x[at + i];
            else if (packed == AV_SAMPLE_FMT_U8)
                frame->data[0][i] = (uint8_t)(128.5f + x[at + i] * 127.0f);
            else if (packed == AV_SAMPLE_FMT_S16)
                ((int16_t *)(void *)frame->data[0])[i] = (int16_t)(x[at + i] * 32767.0f);
            else
                ((int32_t *)(void *)frame->data[0])[i] = (int32_t)((double)x[at + i] * 2147483647.0);
        }
        encode_packets(codec, format, packet, frame);
        av_frame_unref(frame);
        at += take;
    }
    encode_packets(codec, format, packet, NULL);
    assert_true(av_write_trailer(format) >= 0);
    avio_closep(&format->pb);
    avformat_free_context(format);
    avcodec_free_context(&codec);
    av_frame_free(&frame);
    av_packet_free(&packet);
    return true;
}

#endif
