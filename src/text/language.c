/* SPDX-License-Identifier: MIT
 * One decoder pass over one token. */
#include "text/language.h"
#include "base/checked.h"
#include "base/error.h"

#include <math.h>
#include <stdlib.h>

sotto_status sotto__language_detect(sotto__runtime *rt, const sotto__window *window, const char **code,
                                    double *probability, sotto_error *err)
{
    const sotto__tokenizer *tokenizer = sotto__runtime_tokenizer(rt);
    const sotto__specials *s = sotto__tokenizer_specials(tokenizer);
    size_t n_vocab = (size_t)sotto__runtime_info(rt)->n_vocab, n = (size_t)s->n_languages, best = 0;
    float *logits = sotto__aligned(n_vocab, sizeof *logits);
    sotto__seq *seq = NULL;
    sotto__step step = {.window = window, .tokens = &s->sot, .n_tokens = 1, .logits = logits, .n_logits = 1};
    const float *row;
    double sum = 0;
    sotto_status st;
    if (!logits) return sotto__fail_nomem(err, "language detection");
    if ((st = sotto__seq_create(&seq, rt, err)) != SOTTO_OK) goto done;
    step.seq = seq;
    if ((st = sotto__decoder_forward(rt, &step, 1, SOTTO_STAGE_PREFILL, err)) != SOTTO_OK) goto done;
    sotto__runtime_counts(rt)->tokens_prefilled++;
    row = logits + s->language_begin;
    for (size_t i = 1; i < n; i++)
        if (row[i] > row[best]) best = i;
    for (size_t i = 0; i < n; i++) sum += (double)expf(row[i] - row[best]);
    *code = sotto__tokenizer_language(tokenizer, s->language_begin + (int32_t)best);
    *probability = 1 / sum;
done:
    sotto__seq_free(seq);
    free(logits);
    return st;
}

size_t sotto__sot_sequence(const sotto__tokenizer *t, const char *language, sotto_task task,
                           int32_t out[SOTTO__SOT_MOST])
{
    const sotto__specials *s = sotto__tokenizer_specials(t);
    out[0] = s->sot;
    if (!s->multilingual) return 1;
    out[1] = sotto__tokenizer_language_id(t, language);
    out[2] = task == SOTTO_TASK_TRANSLATE ? s->translate : s->transcribe;
    return 3;
}
