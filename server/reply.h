/* SPDX-License-Identifier: MIT
 * What goes back to a client: status, type and body, and OpenAI's JSON shape for errors. Knows nothing of sockets. */
#ifndef SOTTOD_REPLY_H
#define SOTTOD_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct reply {
    unsigned status;
    const char *content_type; /* static */
    char *body;               /* NULL only when memory ran out */
    size_t len;
    void (*release)(void *body);
    unsigned retry_after; /* seconds; 0 = no such header */
    const char *allow;    /* static; NULL = no such header */
    bool authenticate;    /* tells that a key is wanted */
    char coverage[512];   /* "" = no such header */
    bool upgrade;         /* tells that only a WebSocket is taken here */
} reply;

extern const char reply_type_json[], reply_type_text[], reply_type_html[];

/* Why a request is refused. `param` is the field at fault, "" for none; `code` a static word or NULL. */
typedef struct api_error {
    unsigned status;
    const char *code;
    char param[64];
    char message[640];
} api_error;

/* Fills *e; returns false, so that checks can end with it. */
bool api_error_set(api_error *e, unsigned status, const char *param, const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* `body` is from malloc and becomes the reply's. */
void reply_own(reply *r, unsigned status, const char *content_type, char *body, size_t len, void (*release)(void *));
/* Takes the reference to `root` (NULL: out of memory). */
void reply_json(reply *r, unsigned status, json_t *root);
/* {"error": {"message", "type", "param", "code"}}; NULL when memory ran out. */
json_t *reply_error_json(const api_error *e);
void reply_error(reply *r, const api_error *e);
/* The head of the reply as HTTP/1.1 text, after which the connection is closed; `more` are header lines. Its length, 0
 * when it does not fit. */
size_t reply_head(const reply *r, const char *reason, const char *id, const char *more, char *head, size_t n);
void reply_free(reply *r);

/* A JSON string. Text from outside may be cut inside a character or no UTF-8 at all, which JSON cannot carry: then it
 * has '?' for what is no ASCII. */
json_t *reply_json_text(const char *text);

#endif
