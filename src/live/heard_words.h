/* SPDX-License-Identifier: MIT
 * A hypothesis' tokens cut into words, with the times that the alignment found. Pure: no audio, no model. */
#ifndef SOTTO_LIVE_HEARD_WORDS_H
#define SOTTO_LIVE_HEARD_WORDS_H

#include "live/frontier.h"
#include "text/segment.h"
#include "token/tokenizer.h"

/* Gives `out`, which has tokens and neither text nor words yet, both. `aligned` has the words of the same tokens, in
 * order. Closing punctuation becomes a word of its own: it is not to be confirmed before the word that follows it, as a
 * wrong full stop would end the text. The tokens begin with the confirmed words of `before`, which end where they ended
 * there. Words end between characters, unless the alignment's do not. */
sotto_status sotto__heard_words(const sotto__tokenizer *t, const sotto__drafts *aligned, const sotto__frontier *before,
                                sotto__hypothesis *out, sotto_error *err);

#endif
