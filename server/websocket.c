/* SPDX-License-Identifier: MIT
 * WebSocket framing (websocket.h) over wslay, which no other file includes. wslay answers pings and closes, unmasks,
 * and checks frames and UTF-8. */
#include "websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

enum { READ_BYTES_A_TURN = 64 << 10, ANSWERS = 100 };

struct websocket {
    wslay_event_context_ptr ctx;
    websocket_handler handler;
    void *user;
    int fd;
    bool ignoring, gone;
    bool cut_off; /* the last turn ended at its limit */
    size_t turn;  /* bytes left of this turn */
    uint64_t received;
    uint8_t opcode;  /* of the message that is coming in */
    uint8_t frame;   /* of the frame */
    uint64_t length; /* of the message's frames so far */
    size_t n_text;
    char text[WEBSOCKET_TEXT_BYTES + 1];
    size_t n_extra, used_extra;
    uint8_t extra[];
};

static ssize_t on_read(wslay_event_context_ptr ctx, uint8_t *bytes, size_t n, int flags, void *user)
{
    websocket *w = user;
    ssize_t got;
    (void)flags;
    if (n > w->turn) n = w->turn;
    w->cut_off = n == 0;
    if (n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (w->used_extra < w->n_extra) {
        if (n > w->n_extra - w->used_extra) n = w->n_extra - w->used_extra;
        memcpy(bytes, w->extra + w->used_extra, n);
        w->used_extra += n;
        got = (ssize_t)n;
    } else {
        do got = recv(w->fd, bytes, n, MSG_DONTWAIT);
        while (got < 0 && errno == EINTR);
    }
    if (got > 0) {
        w->turn -= (size_t)got;
        w->received += (uint64_t)got;
        return got;
    }
    bool later = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    w->gone = w->gone || !later;
    wslay_event_set_error(ctx, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_write(wslay_event_context_ptr ctx, const uint8_t *bytes, size_t n, int flags, void *user)
{
    websocket *w = user;
    ssize_t put;
    do put = send(w->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));
    while (put < 0 && errno == EINTR);
    if (put > 0) return put;
    bool later = put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    w->gone = w->gone || !later;
    wslay_event_set_error(ctx, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_frame(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_start_arg *arg, void *user)
{
    websocket *w = user;
    (void)ctx;
    w->frame = arg->opcode;
    if (wslay_is_ctrl_frame(arg->opcode)) return;
    if (arg->opcode != WSLAY_CONTINUATION_FRAME) {
        w->opcode = arg->opcode;
        w->length = 0;
        w->n_text = 0;
    }
    uint64_t most = w->opcode == WSLAY_TEXT_FRAME ? WEBSOCKET_TEXT_BYTES : WEBSOCKET_MESSAGE_BYTES;
    if (w->ignoring) return;
    if (arg->payload_length <= most - w->length) {
        w->length += arg->payload_length;
        return;
    }
    w->ignoring = true;
    w->handler.on_too_big(w->user);
}

static void on_chunk(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
    websocket *w = user;
    (void)ctx;
    if (w->ignoring || wslay_is_ctrl_frame(w->frame) || arg->data_length == 0) return;
    if (w->opcode == WSLAY_BINARY_FRAME) {
        w->handler.on_binary(w->user, arg->data, arg->data_length);
    } else {
        memcpy(w->text + w->n_text, arg->data, arg->data_length);
        w->n_text += arg->data_length;
    }
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    websocket *w = user;
    (void)ctx;
    if (w->ignoring || arg->opcode != WSLAY_TEXT_FRAME) return;
    w->text[w->n_text] = '\0';
    w->handler.on_text(w->user, w->text, w->n_text);
}

websocket *websocket_open(int fd, const void *extra, size_t n_extra, const websocket_handler *handler, void *user)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_read,
                                                           .send_callback = on_write,
                                                           .on_frame_recv_start_callback = on_frame,
                                                           .on_frame_recv_chunk_callback = on_chunk,
                                                           .on_msg_recv_callback = on_message};
    websocket *w = calloc(1, sizeof *w + n_extra);
    if (!w) return NULL;
    w->fd = fd;
    w->handler = *handler;
    w->user = user;
    w->n_extra = n_extra;
    if (n_extra) memcpy(w->extra, extra, n_extra);
    if (wslay_event_context_server_init(&w->ctx, &callbacks, w) != 0) {
        free(w);
        return NULL;
    }
    /* Audio goes on as it comes; the limits are on_frame's. */
    wslay_event_config_set_no_buffering(w->ctx, 1);
    wslay_event_config_set_max_recv_msg_length(w->ctx, INT64_MAX);
    return w;
}

void websocket_free(websocket *w)
{
    if (!w) return;
    wslay_event_context_free(w->ctx);
    free(w);
}

bool websocket_receive(websocket *w)
{
    w->turn = READ_BYTES_A_TURN;
    if (wslay_event_recv(w->ctx) != 0) w->gone = true;
    return !w->gone;
}

void websocket_ignore(websocket *w) { w->ignoring = true; }

bool websocket_deaf(const websocket *w) { return !wslay_event_want_read(w->ctx); }

bool websocket_clogged(const websocket *w) { return wslay_event_get_queued_msg_count(w->ctx) > ANSWERS; }

uint64_t websocket_received(const websocket *w) { return w->received; }

bool websocket_has_more(const websocket *w) { return !websocket_deaf(w) && (w->cut_off || w->used_extra < w->n_extra); }

static bool queue(websocket *w, uint8_t opcode, const char *bytes, size_t n)
{
    struct wslay_event_msg m = {.opcode = opcode, .msg = (const uint8_t *)bytes, .msg_length = n};
    return wslay_event_queue_msg(w->ctx, &m) == 0;
}

bool websocket_send_text(websocket *w, const char *text, size_t n) { return queue(w, WSLAY_TEXT_FRAME, text, n); }

bool websocket_ping(websocket *w) { return queue(w, WSLAY_PING, NULL, 0); }

bool websocket_close(websocket *w, websocket_code code, const char *reason)
{
    size_t n = strlen(reason);
    return wslay_event_queue_close(w->ctx, (uint16_t)code, (const uint8_t *)reason, n < 123 ? n : 0) == 0;
}

bool websocket_flush(websocket *w)
{
    if (wslay_event_send(w->ctx) != 0) w->gone = true;
    return !w->gone;
}

bool websocket_wants_write(const websocket *w) { return wslay_event_want_write(w->ctx); }

bool websocket_peer_closed(const websocket *w) { return wslay_event_get_close_received(w->ctx); }

bool websocket_closed(const websocket *w)
{
    return wslay_event_get_close_received(w->ctx) && wslay_event_get_close_sent(w->ctx);
}
