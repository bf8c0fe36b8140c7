/* SPDX-License-Identifier: MIT
 * The engine of a daemon: OpenAI's audio endpoints over libcurl (the only file that includes curl.h). Files are
 * streamed from disk as they are sent. Also connections for another protocol than requests, encrypted and through
 * proxies as requests are. */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "client.h"
#include "events.h"
#include "websocket_key.h"

enum { RETRIES = 5, RETRY_SECONDS_MAX = 60, REPLY_BYTES_MAX = 1 << 29 };

struct remote {
    CURL *curl;
    char *url;   /* no '/' at its end */
    char *shown; /* without credentials */
    char *model; /* the daemon's own */
    bool is_loopback;
    char *ca_file;
    char *authorization; /* the header, "" = none */
    struct curl_slist *headers;
};

/* What a request brings back. */
typedef struct reply {
    char *body; /* NUL-terminated once anything arrived */
    size_t n, cap;
    long status;
    long retry_after_s;
    char message[CURL_ERROR_SIZE];
    progress *progress;
    bool too_large;
    CURL *curl;
    events *events;     /* NULL, or who reads the body when it is a stream of events */
    const char *method; /* NULL: GET, or POST of a form */
} reply;

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    reply *r = user;
    const char *type = NULL;
    n *= size;
    if (r->events && curl_easy_getinfo(r->curl, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type &&
        strncasecmp(type, "text/event-stream", 17) == 0)
        return events_feed(r->events, bytes, n) ? n : 0;
    if (r->n + n + 1 > REPLY_BYTES_MAX) {
        r->too_large = true;
        return 0;
    }
    if (r->n + n + 1 > r->cap) {
        size_t cap = (r->n + n + 1) * 2;
        char *body = realloc(r->body, cap);
        if (!body) return 0;
        r->body = body;
        r->cap = cap;
    }
    memcpy(r->body + r->n, bytes, n);
    r->n += n;
    r->body[r->n] = '\0';
    return n;
}

/* Non-zero stops the transfer. While the daemon works nothing moves and curl calls this about once a second. */
static int on_transfer(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    reply *r = user;
    (void)down_total, (void)down;
    if (r->progress && up_total > 0 && up < up_total)
        progress_draw(r->progress, "sending", (double)up, (double)up_total);
    else if (r->progress)
        progress_draw(r->progress, "transcribing", 0, 0);
    return is_interrupted();
}

/* A proxy from the environment is not asked for this machine itself. */
static bool is_loopback(const char *url)
{
    CURLU *u = curl_url();
    char *host = NULL;
    bool yes = u && curl_url_set(u, CURLUPART_URL, url, CURLU_GUESS_SCHEME) == CURLUE_OK &&
               curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
               (strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0);
    curl_free(host);
    curl_url_cleanup(u);
    return yes;
}

/* What requests and connections have in common. */
static void prepare(remote *r, const char *url, reply *to)
{
    free(to->body);
    *to = (reply){.progress = to->progress, .curl = r->curl, .events = to->events, .method = to->method};
    curl_easy_reset(r->curl);
    curl_easy_setopt(r->curl, CURLOPT_URL, url);
    curl_easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(r->curl, CURLOPT_USERAGENT, "sotto");
    curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, to->message);
    curl_easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT, 5L);
    curl_easy_setopt(r->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(r->curl, CURLOPT_XFERINFOFUNCTION, on_transfer);
    curl_easy_setopt(r->curl, CURLOPT_XFERINFODATA, to);
    curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, r->headers);
    if (r->ca_file) curl_easy_setopt(r->curl, CURLOPT_CAINFO, r->ca_file);
    if (r->is_loopback) curl_easy_setopt(r->curl, CURLOPT_PROXY, "");
}

static CURLcode perform(remote *r, reply *to)
{
    CURLcode code = curl_easy_perform(r->curl);
    curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, NULL);
    if (code != CURLE_OK && !to->message[0]) snprintf(to->message, sizeof to->message, "%s", curl_easy_strerror(code));
    return code;
}

/* GET, or POST of `form`. `timeout_s` 0 = none. Fails only when no reply came. */
static sotto_status request(remote *r, const char *path, curl_mime *form, long timeout_s, reply *to, sotto_error *err)
{
    char *url = NULL;
    curl_off_t wait_s = 0;
    if (asprintf(&url, "%s%s", r->url, path) < 0) return options_fail(err, SOTTO_ENOMEM, "out of memory: URL");
    prepare(r, url, to);
    free(url);
    curl_easy_setopt(r->curl, CURLOPT_TIMEOUT, timeout_s);
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, to);
    if (form) curl_easy_setopt(r->curl, CURLOPT_MIMEPOST, form);
    if (to->method) curl_easy_setopt(r->curl, CURLOPT_CUSTOMREQUEST, to->method);
    CURLcode code = perform(r, to);
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &to->status);
    if (curl_easy_getinfo(r->curl, CURLINFO_RETRY_AFTER, &wait_s) == CURLE_OK)
        to->retry_after_s = wait_s > RETRY_SECONDS_MAX ? RETRY_SECONDS_MAX : (long)wait_s;
    if (is_interrupted()) return options_fail(err, SOTTO_ECANCELLED, "interrupted");
    if (to->too_large)
        return options_fail(err, SOTTO_ELIMIT, "the reply of %s is larger than %d MB", r->shown, REPLY_BYTES_MAX >> 20);
    /* A refusal may arrive while the file is still being sent, and break the sending: the refusal counts. */
    if (code == CURLE_OK || (code == CURLE_SEND_ERROR && to->status >= 400)) return SOTTO_OK;
    return options_fail(err, SOTTO_EIO, "no answer from %s: %s", r->shown, to->message);
}

sotto_status remote_refused(const remote *r, long http_status, const char *body, size_t n, sotto_error *err)
{
    json_t *document = body ? json_loadb(body, n, 0, NULL) : NULL;
    const char *message = json_string_value(json_object_get(json_object_get(document, "error"), "message"));
    sotto_status code = http_status == 404                                               ? SOTTO_ENOTFOUND
                        : http_status == 413 || http_status == 429 || http_status == 503 ? SOTTO_ELIMIT
                                                                                         : SOTTO_EINVAL;
    if (message && http_status == 401)
        options_fail(err, code, "%.300s (--api-key KEY or SOTTO_API_KEY; %s)", message,
                     *r->authorization ? "one was given" : "none was given");
    else if (message)
        options_fail(err, code, "%.480s", message);
    else
        options_fail(err, code, "%s answered with HTTP status %ld and no explanation", r->shown, http_status);
    json_decref(document);
    return code;
}

/* Id of the first model that the daemon lists, or "default". */
static char *first_model(remote *r)
{
    reply re = {0};
    json_t *document = NULL;
    if (request(r, "/v1/models", NULL, 5, &re, NULL) == SOTTO_OK && re.status == 200 && re.body)
        document = json_loadb(re.body, re.n, 0, NULL);
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(document, "data"), 0), "id"));
    char *model = strdup(id ? id : "default");
    json_decref(document);
    free(re.body);
    return model;
}

char *remote_without_credentials(const char *url)
{
    const char *host = strstr(url, "://");
    char *shown = NULL;
    host = host ? host + 3 : url;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    return asprintf(&shown, "%.*s%s", (int)(host - url), url, at ? at + 1 : host) < 0 ? NULL : shown;
}

/* What libcurl makes of credentials in the address, for requests that it does not write. */
static char *authorization_of(const char *url)
{
    CURLU *u = curl_url();
    char *user = NULL, *password = NULL, *line = NULL;
    if (u && curl_url_set(u, CURLUPART_URL, url, CURLU_GUESS_SCHEME) == CURLUE_OK) {
        CURLUcode has_user = curl_url_get(u, CURLUPART_USER, &user, CURLU_URLDECODE);
        CURLUcode has_password = curl_url_get(u, CURLUPART_PASSWORD, &password, CURLU_URLDECODE);
        bool has_either = has_user == CURLUE_OK || has_password == CURLUE_OK;
        line = has_either ? websocket_basic(user ? user : "", password ? password : "") : strdup("");
    } else {
        line = strdup(""); /* requests will tell what is wrong with it */
    }
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(u);
    return line;
}

/* A key with a line break in it would be a header of its own. */
static sotto_status take_key(remote *r, const char *key, sotto_error *err)
{
    for (const char *c = key ? key : ""; *c; c++)
        if (*c < 33 || *c > 126)
            return options_fail(err, SOTTO_EINVAL, "the API key holds a blank or another character that no key has");
    if (!key)
        r->authorization = authorization_of(r->url);
    else if (asprintf(&r->authorization, "Authorization: Bearer %s", key) < 0)
        r->authorization = NULL;
    if (!r->authorization) return options_fail(err, SOTTO_ENOMEM, "out of memory: connection");
    if (key && !(r->headers = curl_slist_append(NULL, r->authorization)))
        return options_fail(err, SOTTO_ENOMEM, "out of memory: connection");
    return SOTTO_OK;
}

sotto_status remote_open(remote **out, const char *url, const remote_access *access, sotto_error *err)
{
    remote *r = calloc(1, sizeof *r);
    reply re = {0};
    sotto_status st;
    *out = NULL;
    if (!r || !(r->url = strdup(url)) || (access->ca_file && !(r->ca_file = strdup(access->ca_file)))) {
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: connection");
        goto fail;
    }
    for (size_t n = strlen(r->url); n > 1 && r->url[n - 1] == '/'; n--) r->url[n - 1] = '\0';
    r->is_loopback = is_loopback(r->url);
    if (!(r->shown = remote_without_credentials(r->url))) {
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: connection");
        goto fail;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(r->curl = curl_easy_init())) {
        st = options_fail(err, SOTTO_EINTERNAL, "libcurl did not start");
        goto fail;
    }
    if ((st = take_key(r, access->api_key, err)) != SOTTO_OK) goto fail;
    if ((st = request(r, "/health", NULL, 10, &re, err)) != SOTTO_OK) goto fail;
    /* 503: a daemon that is busy or still loading; requests wait for it. */
    if (re.status != 200 && re.status != 503) {
        st = options_fail(err, SOTTO_EINVAL, "%s is no sotto daemon: its /health answers with HTTP status %ld",
                          r->shown, re.status);
        goto fail;
    }
    if (!(r->model = first_model(r))) {
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: connection");
        goto fail;
    }
    free(re.body);
    *out = r;
    return SOTTO_OK;
fail:
    free(re.body);
    remote_free(r);
    return st;
}

void remote_free(remote *r)
{
    if (!r) return;
    if (r->curl) curl_easy_cleanup(r->curl);
    curl_slist_free_all(r->headers);
    free(r->authorization);
    free(r->ca_file);
    free(r->url);
    free(r->shown);
    free(r->model);
    free(r);
}

static bool add_field(curl_mime *form, const char *name, const char *value)
{
    curl_mimepart *part = curl_mime_addpart(form);
    return part && curl_mime_name(part, name) == CURLE_OK &&
           curl_mime_data(part, value, CURL_ZERO_TERMINATED) == CURLE_OK;
}

/* What a recording is called towards a daemon. */
static remote_file file_of(const char *path, const char *name)
{
    const char *slash = strrchr(name, '/');
    return (remote_file){path, strcmp(name, "-") == 0 ? "stdin" : slash ? slash + 1 : name};
}

static bool add_file(curl_mime *form, const remote_file *f)
{
    curl_mimepart *part = curl_mime_addpart(form);
    return part && curl_mime_name(part, "file") == CURLE_OK && curl_mime_filedata(part, f->path) == CURLE_OK &&
           curl_mime_filename(part, f->name) == CURLE_OK;
}

/* The fields go before the files, so that a daemon can refuse them before it has read those. */
static bool fill_form(curl_mime *form, const remote *r, const work *w, sotto_format format, bool stream,
                      const remote_file *files, size_t n)
{
    bool ok = add_field(form, "model", w->options.model ? w->options.model : r->model) &&
              add_field(form, "response_format", sotto_format_name(format)) &&
              (!stream || add_field(form, "stream", "true"));
    for (size_t i = 0; i < DECODE_OPTION_COUNT && ok; i++) {
        const char *value = w->decode.given[i];
        if (!value || !*value || i == DECODE_word_timestamps) continue;
        ok = add_field(form, decode_options[i].form, value);
    }
    if (w->decode.options.word_timestamps)
        ok = ok && add_field(form, "timestamp_granularities[]", "word") &&
             add_field(form, "timestamp_granularities[]", "segment");
    for (size_t i = 0; i < n && ok; i++) ok = add_file(form, &files[i]);
    return ok;
}

/* Waits as long as the daemon said, drawing; false when interrupted. */
static bool wait_for_turn(progress *p, long seconds)
{
    double until = now_s() + (double)(seconds > 0 ? seconds : 1);
    while (now_s() < until && !is_interrupted()) {
        progress_draw(p, "daemon busy, waiting", 0, 0);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    return !is_interrupted();
}

static const char *endpoint_of(const work *w)
{
    return w->decode.options.task == SOTTO_TASK_TRANSLATE ? "/v1/audio/translations" : "/v1/audio/transcriptions";
}

static sotto_status post(remote *r, const char *endpoint, const work *w, sotto_format format, const remote_file *files,
                         size_t n, reply *re, sotto_error *err)
{
    for (int attempt = 0;; attempt++) {
        curl_mime *form = curl_mime_init(r->curl);
        sotto_status st = form && fill_form(form, r, w, format, re->events != NULL, files, n)
                              ? request(r, endpoint, form, 0, re, err)
                              : options_fail(err, SOTTO_EIO, "%s cannot be read, or memory ran out", files->name);
        curl_mime_free(form);
        if (st != SOTTO_OK) return st;
        if (re->status == 200 || re->status == 201) return SOTTO_OK;
        if ((re->status != 503 && re->status != 429) || attempt == RETRIES)
            return remote_refused(r, re->status, re->body, re->n, err);
        if (!wait_for_turn(re->progress, re->retry_after_s)) return options_fail(err, SOTTO_ECANCELLED, "interrupted");
    }
}

/* One verbose_json reply -> every format and the report. */
static sotto_status convert(const work *w, const reply *re, transcripts *out, sotto_error *err)
{
    parsed_result parsed;
    json_error_t where;
    json_t *document = json_loadb(re->body ? re->body : "", re->n, 0, &where);
    if (!document)
        return options_fail(err, SOTTO_EFORMAT, "the daemon's reply is no JSON: %s at byte %d", where.text,
                            where.position);
    sotto_status st = parsed_result_read(&parsed, document, err);
    if (st == SOTTO_OK) {
        st = transcripts_write(out, w, &parsed.result, NULL, err);
        parsed_result_free(&parsed);
    }
    for (size_t i = 0; i < w->n_formats && st == SOTTO_OK; i++) {
        if (w->formats[i] != SOTTO_FORMAT_VERBOSE_JSON) continue;
        sotto_string_free(out->texts[i]); /* the daemon's own document says more than can be made of it */
        if (!(out->texts[i] = strndup(re->body, re->n))) st = options_fail(err, SOTTO_ENOMEM, "out of memory: reply");
    }
    const json_t *report = json_object_get(document, "sotto");
    if (st == SOTTO_OK && w->options.report && report && !(out->report = json_dumps(report, 0)))
        st = options_fail(err, SOTTO_ENOMEM, "out of memory: report");
    json_decref(document);
    return st;
}

/* ---- text while it is decoded --------------------------------------------------------------------------------- */

typedef struct telling {
    transcripts *out;
    progress *bar;
    sotto_status status; /* of printing, or what an event said */
    sotto_error err;
    bool done;
} telling;

/* OpenAI's transcript.text.delta and transcript.text.done, and errors. */
static bool on_event(const char *data, size_t n, void *user)
{
    telling *t = user;
    json_t *event = json_loadb(data, n, 0, NULL); /* "[DONE]" is no event of ours */
    const char *type = json_string_value(json_object_get(event, "type"));
    const char *delta = json_string_value(json_object_get(event, "delta"));
    const char *text = json_string_value(json_object_get(event, "text"));
    const json_t *error = json_object_get(event, "error");
    if (error || (type && strcmp(type, "error") == 0)) {
        const char *message = json_string_value(json_object_get(error ? error : event, "message"));
        t->status = options_fail(&t->err, SOTTO_EIO, "%.480s", message ? message : "the daemon gave up without a word");
    } else if (type && delta && strcmp(type, "transcript.text.delta") == 0) {
        if (!t->out->told) delta += strspn(delta, " \n");
        progress_end(t->bar);
        if (*delta) t->status = transcripts_tell(t->out, delta, &t->err);
    } else if (type && text && strcmp(type, "transcript.text.done") == 0 && !t->done) {
        t->done = true;
        if (asprintf(&t->out->texts[0], "%s\n", text) < 0) {
            t->out->texts[0] = NULL;
            t->status = options_fail(&t->err, SOTTO_ENOMEM, "out of memory: text");
        }
    }
    json_decref(event);
    return t->status == SOTTO_OK;
}

/* The daemon takes no stream=true, and says so. */
static bool is_without_events(const reply *re)
{
    json_t *document = re->status == 400 && re->body ? json_loadb(re->body, re->n, 0, NULL) : NULL;
    const char *param = json_string_value(json_object_get(json_object_get(document, "error"), "param"));
    const bool yes = param && strcmp(param, "stream") == 0;
    json_decref(document);
    return yes;
}

/* *without: nothing was printed, and the text is to be asked for as a whole. */
static sotto_status stream(remote *r, const work *w, const char *path, const char *name, transcripts *out,
                           bool *without, sotto_error *err)
{
    progress p;
    telling t = {.out = out, .bar = &p};
    events reader = {.on_event = on_event, .user = &t};
    reply re = {.progress = &p, .events = &reader};
    progress_begin(&p, name);
    const remote_file file = file_of(path, name);
    sotto_status st = post(r, endpoint_of(w), w, SOTTO_FORMAT_JSON, &file, 1, &re, err);
    progress_end(&p);
    *without = st != SOTTO_OK && is_without_events(&re);
    if (t.status != SOTTO_OK) {
        *err = t.err;
        st = t.status;
    } else if (st == SOTTO_OK && !t.done) {
        st = options_fail(err, SOTTO_EIO, "the daemon's answer ends in the middle of the text");
    }
    events_free(&reader);
    free(re.body);
    return st;
}

sotto_status remote_transcribe(remote *r, const work *w, const char *path, const char *name, transcripts *out,
                               sotto_error *err)
{
    progress p;
    reply re = {.progress = &p};
    bool by_word =
        w->decode.options.word_timestamps && (w->formats[0] == SOTTO_FORMAT_SRT || w->formats[0] == SOTTO_FORMAT_VTT);
    bool as_is = w->n_formats == 1 && !w->options.report && !by_word;
    bool without = true;
    if (w->options.stream) {
        sotto_status told = stream(r, w, path, name, out, &without, err);
        if (!without) return told;
    }
    progress_begin(&p, name);
    const remote_file file = file_of(path, name);
    sotto_status st = post(r, endpoint_of(w), w, as_is ? w->formats[0] : SOTTO_FORMAT_VERBOSE_JSON, &file, 1, &re, err);
    progress_end(&p);
    if (st == SOTTO_OK && as_is) {
        if (!(out->texts[0] = re.body ? re.body : strdup("")))
            st = options_fail(err, SOTTO_ENOMEM, "out of memory: reply");
        re.body = NULL;
    } else if (st == SOTTO_OK) {
        st = convert(w, &re, out, err);
    }
    free(re.body);
    return st;
}

/* ---- jobs ----------------------------------------------------------------------------------------------------- */

/* The reply's JSON, or what it says against it. */
static sotto_status read_json(const remote *r, const reply *re, json_t **out, sotto_error *err)
{
    if (re->status != 200 && re->status != 201) return remote_refused(r, re->status, re->body, re->n, err);
    *out = json_loadb(re->body ? re->body : "", re->n, 0, NULL);
    return *out ? SOTTO_OK : options_fail(err, SOTTO_EFORMAT, "the reply of %s is no JSON", r->shown);
}

sotto_status remote_ask(remote *r, const char *method, const char *path, json_t **out, sotto_error *err)
{
    enum { PATIENCE_S = 600 }; /* results of a long job are megabytes */
    reply re = {.method = method};
    *out = NULL;
    sotto_status st = request(r, path, NULL, PATIENCE_S, &re, err);
    if (st == SOTTO_OK) st = read_json(r, &re, out, err);
    free(re.body);
    return st;
}

sotto_status remote_submit(remote *r, const work *w, const remote_file *files, size_t n, progress *p, json_t **out,
                           sotto_error *err)
{
    reply re = {.progress = p};
    *out = NULL;
    sotto_status st = post(r, "/v1/jobs", w, SOTTO_FORMAT_VERBOSE_JSON, files, n, &re, err);
    if (st == SOTTO_OK) st = read_json(r, &re, out, err);
    free(re.body);
    return st;
}

/* ---- connections ---------------------------------------------------------------------------------------------- */

/* "name=value", encoded, behind what the query has; a value that is NULL is left out. */
static bool add_parameter(CURLU *u, const remote_parameter *p)
{
    char *pair = NULL;
    if (!p->value) return true;
    if (asprintf(&pair, "%s=%s", p->name, p->value) < 0) return false;
    bool ok = curl_url_set(u, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE) == CURLUE_OK;
    free(pair);
    return ok;
}

static bool read_address(CURLU *u, remote_address *to)
{
    char *host = NULL, *port = NULL, *path = NULL, *query = NULL;
    bool ok = curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK;
    if (curl_url_get(u, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) != CURLUE_OK) port = NULL;
    if (curl_url_get(u, CURLUPART_QUERY, &query, 0) != CURLUE_OK) query = NULL;
    if (ok && asprintf(&to->host, "%s%s%s", host, port ? ":" : "", port ? port : "") < 0) to->host = NULL;
    if (ok && asprintf(&to->target, "%s%s%s", path, query ? "?" : "", query ? query : "") < 0) to->target = NULL;
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(query);
    return to->host && to->target;
}

static bool find_address(const remote *r, const char *path, const remote_parameter *parameters, size_t n,
                         remote_address *to)
{
    CURLU *u = curl_url();
    char *url = NULL;
    if (asprintf(&url, "%s%s", r->url, path) < 0) url = NULL;
    bool ok = u && url && curl_url_set(u, CURLUPART_URL, url, CURLU_GUESS_SCHEME) == CURLUE_OK;
    for (size_t i = 0; i < n && ok; i++) ok = add_parameter(u, &parameters[i]);
    ok = ok && read_address(u, to);
    free(url);
    curl_url_cleanup(u);
    return ok;
}

sotto_status remote_connect(remote *r, const char *path, const remote_parameter *parameters, size_t n,
                            remote_address *to, sotto_error *err)
{
    reply re = {0};
    *to = (remote_address){0};
    if (!find_address(r, path, parameters, n, to))
        return options_fail(err, SOTTO_ENOMEM, "out of memory: address of %s at %s", path, r->shown);
    prepare(r, r->url, &re);
    curl_easy_setopt(r->curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(r->curl, CURLOPT_HTTPPROXYTUNNEL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1); /* TLS must not agree on HTTP/2 */
    curl_easy_setopt(r->curl, CURLOPT_TCP_KEEPALIVE, 1L);                   /* a machine that went away is noticed */
    curl_easy_setopt(r->curl, CURLOPT_TCP_KEEPIDLE, 20L);
    curl_easy_setopt(r->curl, CURLOPT_TCP_KEEPINTVL, 5L);
    CURLcode code = perform(r, &re);
    if (is_interrupted()) return options_fail(err, SOTTO_ECANCELLED, "interrupted");
    if (code != CURLE_OK) return options_fail(err, SOTTO_EIO, "no connection to %s: %s", r->shown, re.message);
    return SOTTO_OK;
}

void remote_address_free(remote_address *a)
{
    free(a->host);
    free(a->target);
    *a = (remote_address){0};
}

const char *remote_url(const remote *r) { return r->shown; }

const char *remote_authorization(const remote *r) { return r->authorization; }

int remote_socket(const remote *r)
{
    curl_socket_t fd;
    return curl_easy_getinfo(r->curl, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK ? (int)fd : -1;
}

/* What recv and send would have returned. */
static ssize_t moved(CURLcode code, const size_t *n)
{
    if (code == CURLE_OK) return (ssize_t)*n;
    errno = code == CURLE_AGAIN ? EAGAIN : EIO;
    return -1;
}

ssize_t remote_read(void *r, void *bytes, size_t n)
{
    size_t got = 0;
    return moved(curl_easy_recv(((remote *)r)->curl, bytes, n, &got), &got);
}

ssize_t remote_write(void *r, const void *bytes, size_t n, bool more)
{
    size_t put = 0;
    (void)more;
    return moved(curl_easy_send(((remote *)r)->curl, bytes, n, &put), &put);
}
