/* SPDX-License-Identifier: MIT
 * The commands, and the parts of `sotto transcribe`: inputs in, an engine (daemon or this process) between, outputs
 * out. What `sotto live` is made of: live.h, mic.h, ring.h, feed.h, pcm.h, captioner.h, cues.h, captions.h; of folders
 * and several files at a time: inputs.h, workers.h; of `sotto jobs`: handed.h. */
#ifndef SOTTO_CLIENT_CLIENT_H
#define SOTTO_CLIENT_CLIENT_H

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>

#include "decode_options.h"
#include "models.h"
#include "options.h"
#include "sotto.h"

/* Status of the process. */
enum { EXIT_FINE = 0, EXIT_SOME_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

typedef struct client_options {
#define SECTION(title)
#define OPTION OPTION_FIELD
#include "options.def"
#undef OPTION
#undef SECTION
} client_options;

enum { MAX_FORMATS = 7 };

/* What is asked of an engine for every file. */
typedef struct work {
    client_options options;
    decode_request decode;
    sotto_format formats[MAX_FORMATS];
    size_t n_formats;
} work;

/* ---- commands (main.c's table) -------------------------------------------------------------------------------- */

typedef struct client_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} client_command;

extern const client_command client_commands[];
extern const size_t client_command_count;

/* A command of commands, `name`: runs the one that argv[1] names, or prints them and `more`. */
int command_group(const char *name, const client_command *commands, size_t n, const char *more, int argc, char **argv);

/* Hands every command's options, in the table's order, to `visit`; those of commands within commands too. */
void commands_visit(void (*visit)(const options_program *program, void *user), void *user);

/* Options from ~/.config/sotto/config.toml (settings.c), for options_read_file. */
sotto_status settings_apply(options_program *program, sotto_error *err);

int command_completions(int argc, char **argv);
int command_manual(void); /* sotto(1) in man(7), to standard output */
int command_transcribe(int argc, char **argv);
int command_live(int argc, char **argv);
int command_devices(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_shrink(int argc, char **argv);
int command_study(int argc, char **argv);
int command_jobs(int argc, char **argv);
int command_study_report(int argc, char **argv); /* of study.c's table, as is */
int command_study_smallest(int argc, char **argv);

/* ---- interruption --------------------------------------------------------------------------------------------- */

enum { JOBS_MAX = 64 };

/* From here on, Ctrl-C sets the flag below and cancels the session that each slot names; a second one ends the program.
 */
void interruption_catch(void);
bool is_interrupted(void);
void interruption_target(sotto_session *session); /* in this thread's slot; NULL = none */
void interruption_slot(size_t slot);              /* of this thread from here on, below JOBS_MAX; 0 otherwise */
/* Sets the flag: for handlers of others. */
void interruption_note(void);

/* ---- inputs and outputs (files.c) ----------------------------------------------------------------------------- */

/* A readable regular file for the argument `name`: the file itself, or a copy of what a pipe or standard input ("-")
 * gave, in an unlinked temporary file. */
typedef struct input {
    const char *path; /* NULL = failed */
    int fd;           /* of the temporary file, or -1 */
    char spooled[64];
} input;

/* work.options.formats -> work.formats; SOTTO_EINVAL for one that there is not. */
sotto_status work_read_formats(work *w, sotto_error *err);

sotto_status input_open(input *in, const char *name, sotto_error *err);
void input_close(input *in);

/* "txt"; verbose_json and text have names of their own only when json or txt is asked for too. */
const char *output_extension(const work *w, sotto_format format);

/* Writes DIR/STEM.EXTENSION as a whole or not at all; what was there is replaced. */
sotto_status output_write_file(const char *directory, const char *stem, const char *extension, const char *text,
                               sotto_error *err);

/* ---- terminal ------------------------------------------------------------------------------------------------- */

/* One line on stderr that is redrawn, when stderr is a terminal; nothing otherwise. */
typedef struct progress {
    const char *name;
    bool on;
    double began_s, drawn_s;
} progress;

void progress_begin(progress *p, const char *name);
/* `done` of `total` seconds or bytes, called `what`; total 0 draws the seconds gone by. */
void progress_draw(progress *p, const char *what, double done, double total);
void progress_end(progress *p);
/* Those begun from here on draw nothing. */
void progress_silence(void);

/* The report (JSON text) as a table for people. */
void print_report(FILE *to, const char *name, const char *report);

/* ---- engines -------------------------------------------------------------------------------------------------- */

/* The texts of one transcription, one for each of work.formats, and the report as JSON text (NULL when not asked for);
 * all for transcripts_free. */
typedef struct transcripts {
    char *texts[MAX_FORMATS];
    char *report;
    char *told; /* what of texts[0] was printed while it was decoded, or NULL */
} transcripts;

/* Prints the next text of --stream to standard output, and remembers it. */
sotto_status transcripts_tell(transcripts *t, const char *text, sotto_error *err);

void transcripts_free(transcripts *t);

/* Writes `result` in all formats of the work; `model` may be NULL (results that came from a daemon). */
sotto_status transcripts_write(transcripts *t, const work *w, const sotto_result *result, sotto_model *model,
                               sotto_error *err);

typedef struct remote remote;
typedef struct local local;

/* How a daemon lets this client in; borrowed, NULL = without. */
typedef struct remote_access {
    const char *api_key;
    const char *ca_file; /* PEM; of the system otherwise */
} remote_access;

/* "http://user:pass@host" -> "http://host", what messages may tell. Freed with free; NULL: out of memory. */
char *remote_without_credentials(const char *url);

/* Asks `url` for /health. SOTTO_OK when a daemon answers there. *out is freed with remote_free. */
sotto_status remote_open(remote **out, const char *url, const remote_access *access, sotto_error *err);
void remote_free(remote *r);
/* Sends the file `path`, called `name` in messages. */
sotto_status remote_transcribe(remote *r, const work *w, const char *path, const char *name, transcripts *out,
                               sotto_error *err);

/* GET or DELETE of a path; *out is the reply's JSON, a new reference. */
sotto_status remote_ask(remote *r, const char *method, const char *path, json_t **out, sotto_error *err);

typedef struct remote_file {
    const char *path, *name; /* where it lies, and what the daemon is told that it is called */
} remote_file;

/* Hands `n` recordings over as one job, whose answers will be verbose_json; *out describes it. `p` has begun. */
sotto_status remote_submit(remote *r, const work *w, const remote_file *files, size_t n, progress *p, json_t **out,
                           sotto_error *err);

/* The sentence in OpenAI's error object, or what can be said without, as error. */
sotto_status remote_refused(const remote *r, long http_status, const char *body, size_t n, sotto_error *err);
/* "Authorization: …" for requests that are written elsewhere, "" without a key and without credentials in the address.
 */
const char *remote_authorization(const remote *r);
/* The daemon's address for messages: without credentials, and without '/' at its end. */
const char *remote_url(const remote *r);

/* A parameter of a query, in UTF-8 and not encoded yet; value NULL: left out. */
typedef struct remote_parameter {
    const char *name, *value;
} remote_parameter;

/* What a request says of where it goes: its header Host, and its target ("/v1/captions?rate=8000"). */
typedef struct remote_address {
    char *host, *target;
} remote_address;

/* Connects for another protocol than requests, of which there can be none afterwards. *to is for remote_address_free
 * in any case. */
sotto_status remote_connect(remote *r, const char *path, const remote_parameter *parameters, size_t n,
                            remote_address *to, sotto_error *err);
void remote_address_free(remote_address *a);
/* To wait on; -1 when the connection is gone. */
int remote_socket(const remote *r);
/* As recv and send on a socket that does not block; one thread at a time. `more` is of no use here. */
ssize_t remote_read(void *r, void *bytes, size_t n);
ssize_t remote_write(void *r, const void *bytes, size_t n, bool more);

/* Opens the model in this process. */
sotto_status local_open(local **out, const work *w, sotto_error *err);
/* Another of the same model, to transcribe beside it; freed before it. */
sotto_status local_join(local **out, const local *first, sotto_error *err);
void local_free(local *l);
sotto_status local_transcribe(local *l, const work *w, const char *path, const char *name, transcripts *out,
                              sotto_error *err);

/* ---- parsing what a daemon sent ------------------------------------------------------------------------------- */

/* A result made of a verbose_json document; strings are borrowed from `document`, arrays belong to it. */
typedef struct parsed_result {
    sotto_result result;
    sotto_segment *segments;
    int32_t *tokens;
    sotto_word *words;
    size_t n_words;
    sotto_span *uncovered;
} parsed_result;

sotto_status parsed_result_read(parsed_result *out, const json_t *document, sotto_error *err);
void parsed_result_free(parsed_result *p);

/* A caption made of a message of /v1/captions; strings are borrowed from `document`, words belong to it. Of the counts
 * there are none. */
typedef struct parsed_caption {
    sotto_caption caption;
    sotto_word *words;
} parsed_caption;

sotto_status parsed_caption_read(parsed_caption *out, const json_t *document, sotto_error *err);
void parsed_caption_free(parsed_caption *p);

/* ---- time and threads (terminal.c, thread.c) ------------------------------------------------------------------ */

double now_s(void);
/* pthread_create of a thread that takes no signals: those are the main thread's. */
int thread_start(pthread_t *thread, void *(*run)(void *user), void *user);

#endif
