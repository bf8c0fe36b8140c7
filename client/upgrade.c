/* SPDX-License-Identifier: MIT
 * From a connection to a WebSocket (upgrade.h). */
#include "upgrade.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { REPLY_BYTES = 64 << 10, WAIT_MS = 100 };
static const double longest_s = 15; /* of each step: sending the request, receiving the reply */

/* ---- the reply ------------------------------------------------------------------------------------------------ */

/* The value of "Name: value\r\n" if the line is that header; *n its bytes. */
static const char *value_of(const char *line, const char *end, const char *name, size_t *n)
{
    size_t length = strlen(name);
    if ((size_t)(end - line) <= length || strncasecmp(line, name, length) != 0 || line[length] != ':') return NULL;
    for (line += length + 1; line < end && (*line == ' ' || *line == '\t');) line++;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *n = (size_t)(end - line);
    return line;
}

bool upgrade_reply_read(upgrade_reply *to, const char *bytes, size_t n)
{
    static const char version[] = "HTTP/1.";
    const char *blank = memmem(bytes, n, "\r\n\r\n", 4), *value;
    size_t known = n < sizeof version - 1 ? n : sizeof version - 1, length;
    *to = (upgrade_reply){0};
    if (memcmp(bytes, version, known) != 0) return false;
    if (!blank) return true;
    if (blank - bytes < 12 || bytes[8] != ' ') return false;
    to->status = strtol(bytes + 9, NULL, 10); /* ends before the blank line */
    to->head = (size_t)(blank - bytes) + 4;
    for (const char *line = bytes, *end; line < blank; line = end + 2) {
        end = memmem(line, (size_t)(blank + 2 - line), "\r\n", 2);
        if ((value = value_of(line, end, "Content-Length", &length)) && length)
            to->length = (size_t)strtoul(value, NULL, 10);
        else if ((value = value_of(line, end, "Sec-WebSocket-Accept", &length)) && length < sizeof to->accept)
            memcpy(to->accept, value, length);
    }
    return true;
}

/* ---- the exchange --------------------------------------------------------------------------------------------- */

static sotto_status fail_broken(const remote *r, sotto_error *err)
{
    return options_fail(err, SOTTO_EIO, "%s broke the connection off in the opening of the captions", remote_url(r));
}

static sotto_status wait_for(const remote *r, short events, double until, sotto_error *err)
{
    struct pollfd p = {.fd = remote_socket(r), .events = events};
    if (p.fd < 0) return fail_broken(r, err);
    for (;;) {
        if (is_interrupted()) return options_fail(err, SOTTO_ECANCELLED, "interrupted");
        if (now_s() > until)
            return options_fail(err, SOTTO_EIO, "no answer from %s within %.0f s", remote_url(r), longest_s);
        if (poll(&p, 1, WAIT_MS) > 0) return SOTTO_OK;
    }
}

static sotto_status send_request(remote *r, const remote_address *to, const char *key, sotto_error *err)
{
    char *text = NULL;
    double until = now_s() + longest_s;
    sotto_status st = SOTTO_OK;
    int n = asprintf(&text,
                     "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sotto\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s%s\r\n",
                     to->target, to->host, key, remote_authorization(r), *remote_authorization(r) ? "\r\n" : "");
    if (n < 0) return options_fail(err, SOTTO_ENOMEM, "out of memory: request");
    for (size_t at = 0; at < (size_t)n && st == SOTTO_OK;) {
        ssize_t put = remote_write(r, text + at, (size_t)n - at, false);
        if (put >= 0)
            at += (size_t)put;
        else
            st = errno == EAGAIN ? wait_for(r, POLLOUT, until, err) : fail_broken(r, err);
    }
    free(text);
    return st;
}

/* Reads the head, and the body of a refusal; *n are the bytes there are, more than those when frames followed. */
static sotto_status receive_reply(remote *r, char *bytes, size_t *n, upgrade_reply *reply, sotto_error *err)
{
    double until = now_s() + longest_s;
    *n = 0;
    for (;;) {
        bool is_http = upgrade_reply_read(reply, bytes, *n);
        size_t body = reply->status == 101 ? 0 : reply->length;
        if (reply->head && (*n - reply->head >= body || body > REPLY_BYTES - reply->head)) return SOTTO_OK;
        if (!is_http || *n == REPLY_BYTES)
            return options_fail(err, SOTTO_EFORMAT, "%s does not answer the opening of captions as HTTP does",
                                remote_url(r));
        ssize_t got = remote_read(r, bytes + *n, REPLY_BYTES - *n);
        if (got > 0) {
            *n += (size_t)got;
        } else if (got == 0 || errno != EAGAIN) {
            return fail_broken(r, err);
        } else {
            sotto_status st = wait_for(r, POLLIN, until, err);
            if (st != SOTTO_OK) return st;
        }
    }
}

static sotto_status agree(remote *r, const remote_address *to, char *bytes, size_t *n, upgrade_reply *reply,
                          sotto_error *err)
{
    uint8_t random[WEBSOCKET_KEY_RANDOM];
    char key[WEBSOCKET_KEY_BYTES], accept[WEBSOCKET_ACCEPT_BYTES];
    sotto_status st;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return options_fail(err, SOTTO_EINTERNAL, "the system gives no random bytes");
    websocket_key(random, key);
    if ((st = send_request(r, to, key, err)) != SOTTO_OK || (st = receive_reply(r, bytes, n, reply, err)) != SOTTO_OK)
        return st;
    if (reply->status != 101) return remote_refused(r, reply->status, bytes + reply->head, *n - reply->head, err);
    websocket_accept(key, accept);
    if (strcmp(accept, reply->accept) == 0) return SOTTO_OK;
    return options_fail(err, SOTTO_EFORMAT, "%s answers the opening of captions as no WebSocket does", remote_url(r));
}

sotto_status upgrade(remote *r, const char *path, const remote_parameter *parameters, size_t n_parameters,
                     const websocket_handler *handler, void *user, websocket **out, sotto_error *err)
{
    const websocket_io io = {.read = remote_read, .write = remote_write, .user = r};
    remote_address to;
    upgrade_reply reply;
    size_t n = 0;
    char *bytes = malloc(REPLY_BYTES);
    *out = NULL;
    sotto_status st = bytes ? remote_connect(r, path, parameters, n_parameters, &to, err)
                            : options_fail(err, SOTTO_ENOMEM, "out of memory: reply");
    if (st == SOTTO_OK) st = agree(r, &to, bytes, &n, &reply, err);
    if (st == SOTTO_OK && !(*out = websocket_open_client(&io, bytes + reply.head, n - reply.head, handler, user)))
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: WebSocket");
    if (bytes) remote_address_free(&to);
    free(bytes);
    return st;
}
