/* SPDX-License-Identifier: MIT
 * Commands of Redis Streams (redis.h). */
#include "redis.h"

#include <hiredis/hiredis.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "options.h"

enum { RESULTS_KEPT = 100000, WORDS_MAX = 1024 };

struct redis {
    redisContext *c;
    double timeout_s;
    char jobs[160], results[160], result[160]; /* keys; the last without an id */
    char group[128], consumer[128];
};

/* First result of an id stays. KEYS: result, jobs, results. ARGV: group, entry, id, status, type, body, audio seconds,
 * worker, seconds to live, results kept. */
static const char answer_script[] =
    "local stored = 0\n"
    "if redis.call('EXISTS', KEYS[1]) == 0 then\n"
    "  redis.call('HSET', KEYS[1], 'status', ARGV[4], 'type', ARGV[5], 'body', ARGV[6], 'audio_seconds', ARGV[7],\n"
    "    'worker', ARGV[8])\n"
    "  redis.call('EXPIRE', KEYS[1], ARGV[9])\n"
    "  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[10], '*', 'id', ARGV[3], 'status', ARGV[4], 'worker', ARGV[8])\n"
    "  stored = 1\n"
    "end\n"
    "redis.call('XACK', KEYS[2], ARGV[1], ARGV[2])\n"
    "redis.call('XDEL', KEYS[2], ARGV[2])\n"
    "return stored";

/* ---- address ---------------------------------------------------------------------------------------------------- */

static bool copy(char *to, size_t size, const char *from, size_t n)
{
    if (n >= size) return false;
    memcpy(to, from, n);
    to[n] = '\0';
    return true;
}

/* "%40" -> "@", in place; false for what is no such code, or makes a NUL. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *s = text; *s; to++) {
        unsigned byte;
        if (*s != '%') {
            *to = *s++;
            continue;
        }
        if (strspn(s + 1, "0123456789abcdefABCDEF") < 2 || sscanf(s + 1, "%2x", &byte) != 1 || !byte) return false;
        *to = (char)byte;
        s += 3;
    }
    *to = '\0';
    return true;
}

static bool number(const char *text, int most, int *out)
{
    int64_t value;
    if (!options_parse_int(text, &value) || value < 0 || value > most) return false;
    *out = (int)value;
    return true;
}

static bool parse(redis_address *a, const char *rest)
{
    const size_t n = strcspn(rest, "/");
    const char *at = memrchr(rest, '@', n), *host = at ? at + 1 : rest, *end = rest + n;
    if (at) {
        const char *colon = memchr(rest, ':', (size_t)(at - rest));
        if (!colon || !copy(a->user, sizeof a->user, rest, (size_t)(colon - rest)) ||
            !copy(a->password, sizeof a->password, colon + 1, (size_t)(at - colon - 1)) || !decode(a->user) ||
            !decode(a->password))
            return false;
    }
    const char *close = *host == '[' ? memchr(host, ']', (size_t)(end - host)) : NULL; /* IPv6 */
    const char *colon = memchr(close ? close : host, ':', (size_t)(end - (close ? close : host)));
    char port[8];
    const char *from = close ? host + 1 : host, *to = close ? close : colon ? colon : end;
    if (!copy(a->host, sizeof a->host, from, (size_t)(to - from)) || !*a->host) return false;
    if (colon && (!copy(port, sizeof port, colon + 1, (size_t)(end - colon - 1)) || !number(port, 65535, &a->port)))
        return false;
    return !end[0] || !end[1] || number(end + 1, 1 << 20, &a->database);
}

sotto_status redis_address_parse(redis_address *out, const char *url, sotto_error *err)
{
    static const char scheme[] = "redis://";
    *out = (redis_address){.port = 6379};
    if (strncasecmp(url, scheme, sizeof scheme - 1) == 0 && parse(out, url + sizeof scheme - 1)) return SOTTO_OK;
    return options_fail(
        err, SOTTO_EINVAL,
        "--queue: redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] was expected, as redis://127.0.0.1:6379");
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

typedef struct words {
    const char *text[WORDS_MAX];
    size_t length[WORDS_MAX];
    size_t n;
    char numbers[8][32];
    size_t n_numbers;
} words;

static void put(words *w, const char *text)
{
    w->text[w->n] = text;
    w->length[w->n++] = strlen(text);
}

static void put_number(words *w, double value)
{
    char *text = w->numbers[w->n_numbers++];
    snprintf(text, sizeof w->numbers[0], "%.0f", value);
    put(w, text);
}

static struct timeval timeval_of(double seconds)
{
    return (struct timeval){.tv_sec = (time_t)seconds, .tv_usec = (suseconds_t)(1e6 * (seconds - floor(seconds)))};
}

/* NULL with *err filled: the connection is gone (SOTTO_EIO), or Redis says no (SOTTO_EINVAL). */
static redisReply *ask(redis *r, const words *w, sotto_error *err)
{
    if (r->c->err) {
        options_fail(err, SOTTO_EIO, "Redis: the connection is gone: %.200s", r->c->errstr);
        return NULL;
    }
    redisReply *reply = redisCommandArgv(r->c, (int)w->n, (const char **)(uintptr_t)w->text, w->length);
    if (!reply) {
        options_fail(err, SOTTO_EIO, "Redis: no answer to %s: %.200s", w->text[0], r->c->errstr);
        return NULL;
    }
    if (reply->type != REDIS_REPLY_ERROR) return reply;
    options_fail(err, SOTTO_EINVAL, "Redis refuses %s: %.300s", w->text[0], reply->str);
    freeReplyObject(reply);
    return NULL;
}

static sotto_status done(redisReply *reply, const sotto_error *err)
{
    freeReplyObject(reply);
    return reply ? SOTTO_OK : err->code;
}

static sotto_status log_in(redis *r, const redis_address *a, sotto_error *err)
{
    words auth = {0}, select = {0};
    sotto_status st = SOTTO_OK;
    if (*a->password) {
        put(&auth, "AUTH");
        if (*a->user) put(&auth, a->user);
        put(&auth, a->password);
        st = done(ask(r, &auth, err), err);
    }
    if (st != SOTTO_OK || !a->database) return st;
    put(&select, "SELECT");
    put_number(&select, a->database);
    return done(ask(r, &select, err), err);
}

static sotto_status make_group(redis *r, sotto_error *err)
{
    words w = {0};
    put(&w, "XGROUP");
    put(&w, "CREATE");
    put(&w, r->jobs);
    put(&w, r->group);
    put(&w, "0");
    put(&w, "MKSTREAM");
    redisReply *reply = ask(r, &w, err);
    if (!reply && err->code == SOTTO_EINVAL && strstr(err->message, "BUSYGROUP")) return SOTTO_OK; /* is there */
    return done(reply, err);
}

sotto_status redis_open(redis **out, const redis_address *a, const redis_names *names, double timeout_s,
                        sotto_error *err)
{
    redis *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) return options_fail(err, SOTTO_ENOMEM, "out of memory: connection to Redis");
    r->timeout_s = timeout_s;
    snprintf(r->jobs, sizeof r->jobs, "%.100s:jobs", names->name);
    snprintf(r->results, sizeof r->results, "%.100s:results", names->name);
    snprintf(r->result, sizeof r->result, "%.100s:result:", names->name);
    snprintf(r->group, sizeof r->group, "%.100s", names->name);
    snprintf(r->consumer, sizeof r->consumer, "%.120s", names->consumer);
    r->c = redisConnectWithTimeout(a->host, a->port, timeval_of(timeout_s));
    sotto_status st;
    if (!r->c || r->c->err)
        st = options_fail(err, SOTTO_EIO, "Redis: no connection to %.200s port %d: %.200s", a->host, a->port,
                          r->c ? r->c->errstr : "out of memory");
    else if ((st = log_in(r, a, err)) == SOTTO_OK)
        st = make_group(r, err);
    if (st == SOTTO_OK) {
        redisSetTimeout(r->c, timeval_of(timeout_s));
        redisEnableKeepAlive(r->c);
        *out = r;
        return SOTTO_OK;
    }
    redis_free(r);
    return st;
}

void redis_free(redis *r)
{
    if (!r) return;
    if (r->c) redisFree(r->c);
    free(r);
}

bool redis_is_open(const redis *r) { return r && !r->c->err; }

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

static bool is_array(const redisReply *r, size_t least)
{
    return r && r->type == REDIS_REPLY_ARRAY && r->elements >= least;
}

static bool is_text(const redisReply *r) { return r && r->type == REDIS_REPLY_STRING; }

/* [[entry, [name, value, …]], …]; an entry that was deleted meanwhile has no fields. */
static void see_entries(const redisReply *list, redis_see *see, void *user)
{
    for (size_t i = 0; is_array(list, 0) && i < list->elements; i++) {
        const redisReply *one = list->element[i];
        if (!is_array(one, 2) || !is_text(one->element[0])) continue;
        const redisReply *fields = one->element[1];
        const size_t n = is_array(fields, 0) ? fields->elements / 2 : 0;
        const char **names = calloc(n + 1, sizeof *names), **values = calloc(n + 1, sizeof *values);
        size_t *lengths = calloc(n + 1, sizeof *lengths), used = 0;
        for (size_t k = 0; names && values && lengths && k < n; k++) {
            const redisReply *name = fields->element[2 * k], *value = fields->element[2 * k + 1];
            if (!is_text(name) || !is_text(value)) continue;
            names[used] = name->str;
            values[used] = value->str;
            lengths[used++] = value->len;
        }
        if (names && values && lengths)
            see(user,
                &(redis_job){
                    .entry = one->element[0]->str, .n = used, .names = names, .values = values, .lengths = lengths});
        free(names);
        free(values);
        free(lengths);
    }
}

sotto_status redis_take(redis *r, size_t most, double wait_s, redis_see *see, void *user, sotto_error *err)
{
    words w = {0};
    put(&w, "XREADGROUP");
    put(&w, "GROUP");
    put(&w, r->group);
    put(&w, r->consumer);
    put(&w, "COUNT");
    put_number(&w, (double)most);
    if (wait_s > 0) {
        put(&w, "BLOCK");
        put_number(&w, ceil(1000 * fmin(wait_s, r->timeout_s / 2)));
    }
    put(&w, "STREAMS");
    put(&w, r->jobs);
    put(&w, ">");
    redisReply *reply = ask(r, &w, err); /* nil, or [[stream, entries]] */
    if (is_array(reply, 1) && is_array(reply->element[0], 2)) see_entries(reply->element[0]->element[1], see, user);
    return done(reply, err);
}

sotto_status redis_take_over(redis *r, size_t most, double idle_s, redis_see *see, void *user, sotto_error *err)
{
    words w = {0};
    put(&w, "XAUTOCLAIM");
    put(&w, r->jobs);
    put(&w, r->group);
    put(&w, r->consumer);
    put_number(&w, 1000 * idle_s);
    put(&w, "0-0");
    put(&w, "COUNT");
    put_number(&w, (double)most);
    redisReply *reply = ask(r, &w, err); /* [next, entries, deleted] */
    if (is_array(reply, 2)) see_entries(reply->element[1], see, user);
    return done(reply, err);
}

sotto_status redis_deliveries(redis *r, const char *entry, int64_t *out, sotto_error *err)
{
    words w = {0};
    *out = 0;
    put(&w, "XPENDING");
    put(&w, r->jobs);
    put(&w, r->group);
    put(&w, entry);
    put(&w, entry);
    put(&w, "1");
    redisReply *reply = ask(r, &w, err); /* [[entry, consumer, idle, deliveries]] */
    if (is_array(reply, 1) && is_array(reply->element[0], 4)) *out = reply->element[0]->element[3]->integer;
    return done(reply, err);
}

/* XCLAIM of entries that are this worker's: as idle as is said, without counting as a delivery. */
static sotto_status claim(redis *r, const char *const *entries, size_t n, const char *idle_ms, sotto_error *err)
{
    enum { AT_A_TIME = WORDS_MAX - 16 };
    sotto_status st = SOTTO_OK;
    for (size_t from = 0; from < n && st == SOTTO_OK; from += AT_A_TIME) {
        words w = {0};
        put(&w, "XCLAIM");
        put(&w, r->jobs);
        put(&w, r->group);
        put(&w, r->consumer);
        put(&w, "0");
        for (size_t i = from; i < n && i < from + AT_A_TIME; i++) put(&w, entries[i]);
        put(&w, "IDLE");
        put(&w, idle_ms);
        put(&w, "JUSTID");
        st = done(ask(r, &w, err), err);
    }
    return st;
}

sotto_status redis_keep(redis *r, const char *const *entries, size_t n, sotto_error *err)
{
    return claim(r, entries, n, "0", err);
}

sotto_status redis_give_back(redis *r, const char *const *entries, size_t n, sotto_error *err)
{
    return claim(r, entries, n, "1000000000", err); /* eleven days: longer than any --queue-idle */
}

sotto_status redis_answer(redis *r, const redis_result *x, bool *stored, sotto_error *err)
{
    words w = {0};
    char key[512], seconds[32];
    *stored = false;
    snprintf(key, sizeof key, "%s%.300s", r->result, x->id);
    snprintf(seconds, sizeof seconds, "%.3f", x->audio_s);
    put(&w, "EVAL");
    put(&w, answer_script);
    put(&w, "3");
    put(&w, key);
    put(&w, r->jobs);
    put(&w, r->results);
    put(&w, r->group);
    put(&w, x->entry);
    put(&w, x->id);
    put_number(&w, x->status);
    put(&w, x->type);
    put(&w, x->body);
    put(&w, seconds);
    put(&w, r->consumer);
    put_number(&w, fmax(1, x->ttl_s));
    put_number(&w, RESULTS_KEPT);
    redisReply *reply = ask(r, &w, err);
    if (reply && reply->type == REDIS_REPLY_INTEGER) *stored = reply->integer == 1;
    return done(reply, err);
}
