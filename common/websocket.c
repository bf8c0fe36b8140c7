/* SPDX-License-Identifier: MIT
 * WebSocket framing (websocket.h) over wslay, which no other file includes. wslay answers pings and closes, unmasks,
 * and checks frames and UTF-8. */
#include "websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

enum { READ_BYTES_A_TURN = 64 << 10, ANSWERS = 100 };

struct websocket {
    wslay_event_context_ptr ctx;
    websocket_handler handler;
    void *user;
    websocket_io io;
    int fd; /* of a server's end */
    bool ignoring, gone;
    bool cut_off; /* the last turn ended at its limit */
    size_t turn;  /* bytes left of this turn */
    uint64_t received;
    uint8_t opcode;  /* of the message that is coming in */
    uint8_t frame;   /* of the frame */
    uint64_t length; /* of the message's frames so far */
    uint64_t most_text;
    size_t n_text, room_text;
    char *text;
    size_t n_extra, used_extra;
    uint8_t extra[];
};

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

static ssize_t receive_bytes(void *user, void *bytes, size_t n)
{
    const websocket *w = user;
    return recv(w->fd, bytes, n, MSG_DONTWAIT);
}

static ssize_t send_bytes(void *user, const void *bytes, size_t n, bool more)
{
    const websocket *w = user;
    return send(w->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
}

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
        do got = w->io.read(w->io.user, bytes, n);
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
    do put = w->io.write(w->io.user, bytes, n, flags & WSLAY_MSG_MORE);
    while (put < 0 && errno == EINTR);
    if (put > 0) return put;
    bool later = put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    w->gone = w->gone || !later;
    wslay_event_set_error(ctx, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

/* A client's frames are masked with bytes that nobody can foresee (RFC 6455, section 5.3). */
static int on_mask(wslay_event_context_ptr ctx, uint8_t *bytes, size_t n, void *user)
{
    (void)ctx, (void)user;
    return getrandom(bytes, n, 0) == (ssize_t)n ? 0 : -1;
}

/* ---- messages ------------------------------------------------------------------------------------------------- */

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
    uint64_t most = w->opcode == WSLAY_TEXT_FRAME ? w->most_text : WEBSOCKET_MESSAGE_BYTES;
    if (w->ignoring) return;
    if (arg->payload_length <= most - w->length) {
        w->length += arg->payload_length;
        return;
    }
    w->ignoring = true;
    w->handler.on_too_big(w->user);
}

/* The text is never longer than on_frame lets it be. */
static bool add_text(websocket *w, const uint8_t *bytes, size_t n)
{
    size_t needed = w->n_text + n + 1;
    if (needed > w->room_text) {
        char *text = realloc(w->text, 2 * needed);
        if (!text) return false;
        w->text = text;
        w->room_text = 2 * needed;
    }
    if (n) memcpy(w->text + w->n_text, bytes, n);
    w->n_text += n;
    w->text[w->n_text] = '\0';
    return true;
}

static void on_chunk(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
    websocket *w = user;
    (void)ctx;
    if (w->ignoring || wslay_is_ctrl_frame(w->frame) || arg->data_length == 0) return;
    if (w->opcode == WSLAY_TEXT_FRAME)
        w->gone = !add_text(w, arg->data, arg->data_length) || w->gone;
    else if (w->handler.on_binary)
        w->handler.on_binary(w->user, arg->data, arg->data_length);
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    websocket *w = user;
    (void)ctx;
    if (w->ignoring || arg->opcode != WSLAY_TEXT_FRAME) return;
    if (w->gone || !add_text(w, NULL, 0))
        w->gone = true;
    else
        w->handler.on_text(w->user, w->text, w->n_text);
}

/* ---- both ends ------------------------------------------------------------------------------------------------ */

static websocket *create(bool is_server, const void *extra, size_t n_extra, const websocket_handler *handler,
                         void *user)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_read,
                                                           .send_callback = on_write,
                                                           .genmask_callback = on_mask,
                                                           .on_frame_recv_start_callback = on_frame,
                                                           .on_frame_recv_chunk_callback = on_chunk,
                                                           .on_msg_recv_callback = on_message};
    websocket *w = calloc(1, sizeof *w + n_extra);
    if (!w) return NULL;
    w->handler = *handler;
    w->user = user;
    w->most_text = is_server ? WEBSOCKET_TEXT_BYTES : WEBSOCKET_MESSAGE_BYTES;
    w->n_extra = n_extra;
    if (n_extra) memcpy(w->extra, extra, n_extra);
    int failed = is_server ? wslay_event_context_server_init(&w->ctx, &callbacks, w)
                           : wslay_event_context_client_init(&w->ctx, &callbacks, w);
    if (failed) {
        free(w);
        return NULL;
    }
    /* Audio goes on as it comes; the limits are on_frame's. */
    wslay_event_config_set_no_buffering(w->ctx, 1);
    wslay_event_config_set_max_recv_msg_length(w->ctx, INT64_MAX);
    return w;
}

websocket *websocket_open(int fd, const void *extra, size_t n_extra, const websocket_handler *handler, void *user)
{
    websocket *w = create(true, extra, n_extra, handler, user);
    if (!w) return NULL;
    w->fd = fd;
    w->io = (websocket_io){.read = receive_bytes, .write = send_bytes, .user = w};
    return w;
}

websocket *websocket_open_client(const websocket_io *io, const void *extra, size_t n_extra,
                                 const websocket_handler *handler, void *user)
{
    websocket *w = create(false, extra, n_extra, handler, user);
    if (w) w->io = *io;
    return w;
}

void websocket_free(websocket *w)
{
    if (!w) return;
    wslay_event_context_free(w->ctx);
    free(w->text);
    free(w);
}

void websocket_take_texts(websocket *w, size_t most_bytes) { w->most_text = most_bytes; }

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

static bool queue(websocket *w, uint8_t opcode, const void *bytes, size_t n)
{
    struct wslay_event_msg m = {.opcode = opcode, .msg = bytes, .msg_length = n};
    return wslay_event_queue_msg(w->ctx, &m) == 0;
}

bool websocket_send_text(websocket *w, const char *text, size_t n) { return queue(w, WSLAY_TEXT_FRAME, text, n); }

bool websocket_send_binary(websocket *w, const uint8_t *bytes, size_t n)
{
    return queue(w, WSLAY_BINARY_FRAME, bytes, n);
}

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

unsigned websocket_peer_code(const websocket *w)
{
    return websocket_peer_closed(w) ? wslay_event_get_status_code_received(w->ctx) : 0;
}

bool websocket_closed(const websocket *w)
{
    return wslay_event_get_close_received(w->ctx) && wslay_event_get_close_sent(w->ctx);
}
