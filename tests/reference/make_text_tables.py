#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tables for the unit tests of src/text, computed by openai-whisper's own classes on made-up input.

    make_text_tables.py > tests/unit/data/text.json

Needs openai-whisper; no weights, no audio. Searches run over a toy model whose logits are a hash of the tokens so far
(``toy_logits``, repeated in tests/unit/test_search.c); windows run through ``whisper.transcribe`` with a model that
answers prepared tokens, and with prepared word alignments.
"""

from __future__ import annotations

import json
import random
import sys
import types

import numpy as np
import torch
import whisper
import whisper.timing
from whisper.decoding import (
    BeamSearchDecoder,
    DecodingResult,
    GreedyDecoder,
    MaximumLikelihoodRanker,
)
from whisper.timing import WordTiming
from whisper.tokenizer import get_tokenizer
from whisper.utils import compression_ratio

TOY_VOCAB, TOY_EOT = 12, 9
MASK = 0xFFFFFFFF


def toy_row(seed: int, sampled: list[int]) -> list[float]:
    h = (seed * 2654435761 + 12345) & MASK
    for token in sampled:
        h = ((h ^ (token + 1)) * 16777619) & MASK
    row = []
    for _ in range(TOY_VOCAB):
        h = (h * 1664525 + 1013904223) & MASK
        row.append((h >> 16) / 8192.0)
    return row


class NoCache:
    def rearrange_kv_cache(self, source_indices):
        pass


def search_case(seed, beams, width, patience, penalty, sample_len, n_ctx, n_prompt):
    if beams:
        decoder = BeamSearchDecoder(width, TOY_EOT, NoCache(), patience)
    else:
        decoder = GreedyDecoder(0.0, TOY_EOT)
    tokens = torch.tensor([[TOY_EOT + 1] * n_prompt] * width)
    sums = torch.zeros(width)
    for _ in range(sample_len):
        rows = [toy_row(seed, t[n_prompt:].tolist()) for t in tokens]
        tokens, completed = decoder.update(tokens, torch.tensor(rows), sums)
        if completed or tokens.shape[-1] > n_ctx:
            break
    found, totals = decoder.finalize(tokens.reshape(1, width, -1), sums.reshape(1, width))
    found = [[t[n_prompt : (t == TOY_EOT).nonzero()[0, 0]] for t in s] for s in found]
    best = MaximumLikelihoodRanker(penalty).rank(found, totals)[0]
    return {
        "seed": seed,
        "beams": beams,
        "width": width,
        "patience": patience,
        "length_penalty": penalty,
        "sample_len": sample_len,
        "n_ctx": n_ctx,
        "n_prompt": n_prompt,
        "tokens": found[0][best].tolist(),
        "sum_logprob": totals[0][best],
    }


def searches():
    rng = random.Random(3)
    out = []
    while len(out) < 60:
        beams = len(out) % 6 != 0
        case = (
            rng.randrange(1 << 16),
            beams,
            rng.choice([2, 3, 5, 8]) if beams else 1,
            rng.choice([0.5, 1.0, 1.0, 1.5, 2.0]) if beams else 1.0,
            rng.choice([None, None, 0.0, 0.6, 1.0]),
            rng.choice([2, 4, 8, 16]),
            rng.choice([10, 40]),
            rng.choice([1, 4]),
        )
        try:
            out.append(search_case(*case))
        except ZeroDivisionError:  # the best sequence is empty: the reference gives up
            continue
    return out


def alignments():
    rng = np.random.default_rng(5)
    out = []
    for n, m in [(1, 1), (1, 5), (4, 2), (5, 5), (4, 12), (9, 30), (30, 9)]:
        # few distinct values, so that ties occur
        x = rng.integers(-4, 5, (n, m)).astype(np.float32) / 4
        text, time = whisper.timing.dtw(torch.tensor(-x))
        jumps = np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)
        out.append({"n": n, "m": m, "matrix": x.ravel().tolist(), "first": time[jumps].tolist()})
    return out


def attention():
    rng = np.random.default_rng(6)
    out = []
    for heads, tokens, frames in [(1, 3, 8), (2, 5, 12), (3, 4, 3)]:
        scores = np.round(rng.normal(size=(heads, tokens, frames)) * 2, 3).astype(np.float32)
        weights = torch.tensor(scores).softmax(dim=-1)
        std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
        weights = whisper.timing.median_filter((weights - mean) / std, 7)
        out.append(
            {
                "heads": heads,
                "tokens": tokens,
                "frames": frames,
                "scores": [round(float(x), 3) for x in scores.ravel()],
                "matrix": [round(float(x), 6) for x in weights.mean(axis=0).ravel()],
            }
        )
    return out


class Stop(Exception):
    pass


class PreparedModel:
    """Answers the first decode() with prepared tokens, and stops the run at the second."""

    dims = types.SimpleNamespace(n_mels=80, n_audio_ctx=1500, n_text_ctx=448)
    device = torch.device("cpu")
    is_multilingual = False
    num_languages = 99

    def __init__(self, tokens):
        self.tokens = tokens

    def decode(self, segment, options):
        if self.tokens is None:
            raise Stop
        tokens, self.tokens = self.tokens, None
        return DecodingResult(
            audio_features=None,
            language="en",
            tokens=tokens,
            text="x",
            avg_logprob=-0.1,
            no_speech_prob=0.1,
            temperature=0.0,
            compression_ratio=1.0,
        )


def run_window(tokens, seek, content, **options):
    """(next seek, segments, last speech) of one window of whisper.transcribe; next seek None at the end of the audio."""
    module = sys.modules["whisper.transcribe"]
    module.log_mel_spectrogram = lambda *_, **__: torch.zeros(80, content + 3000)
    try:
        result = whisper.transcribe(
            PreparedModel(list(tokens)),
            None,
            fp16=False,
            language="en",
            clip_timestamps=str(seek / 100),
            temperature=0.0,
            **options,
        )
        return None, result["segments"]
    except Stop as stop:
        trace = stop.__traceback__
        while trace.tb_frame.f_code.co_name != "transcribe":
            trace = trace.tb_next
        values = trace.tb_frame.f_locals
        return values["seek"], values["all_segments"]


def cuts():
    begin = get_tokenizer(False).timestamp_begin
    a, b, c = 300, 301, 302

    def t(seconds):
        return begin + round(seconds * 50)

    lists = [
        [],
        [t(0)],
        [a],
        [a, b, c],
        [t(0), a, b],
        [t(0), a, t(4)],
        [t(1), a, b, t(4.5)],
        [t(0), a, t(0)],
        [t(0), a, t(2), t(2)],
        [t(0), a, t(2), t(2), b],
        [t(0), a, t(2), t(2), b, t(5)],
        [t(0), a, t(2), t(2), b, t(5), t(5)],
        [t(0), a, t(2), t(3), b, c, t(5), t(6), c],
        [t(0), a, t(2), t(3), b, c, t(5), t(6), c, t(30)],
        [t(0), a, t(29.98), t(29.98)],
        [t(0), a, t(2), b, t(4)],
    ]
    out = []
    for tokens in lists:
        for seek, content in [(0, 9000), (1234, 9000), (2500, 3333)]:
            after, segments = run_window(tokens, seek, content)
            out.append(
                {
                    "tokens": tokens,
                    "seek": seek,
                    "content": content,
                    "next": after,
                    "segments": [[s["start"], s["end"], s["tokens"]] for s in segments],
                }
            )
    return out


WORDS = [" hello", " world", " a", "ing", ".", ",", "?", " (", ' "', ")", "。", " ¿", " -", " ...", "！"]


def random_window(rng):
    """Tokens with timestamps, and an alignment of their text."""
    begin = get_tokenizer(False).timestamp_begin
    tokens, words, at = [], [], rng.randrange(0, 200)
    lengths = rng.choice([[10, 20, 30, 60], [5, 150, 200, 300, 600], [200, 400, 800]])
    for _ in range(rng.randrange(1, 5)):
        length = rng.choice(lengths)
        tokens.append(begin + min(at, 1499))
        n_words = rng.randrange(1, 9)
        late = rng.choice([0, 0, 40, 200])  # words may end after their segment
        edges = sorted(rng.randrange(at, at + length + late + 1) for _ in range(n_words + 1))
        for i in range(n_words):
            n = rng.choice([1, 1, 2])
            tokens += [rng.randrange(300, 400) for _ in range(n)]
            p = rng.choice([0.01, 0.1, 0.5, 0.9, 0.97, 0.98, 0.99])
            words.append([rng.choice(WORDS), n, min(edges[i], 1499) / 50, min(edges[i + 1], 1499) / 50, p])
        at = at + length
        tokens.append(begin + min(at, 1500))
        at += rng.choice([0, 0, 20, 100, 250])
    ending = rng.randrange(3)
    if ending == 0:
        tokens.append(tokens[-1])
    elif ending == 1:
        tokens += [tokens[-1], 310, 311]
        words.append([" tail", 2, at / 50, (at + 20) / 50, 0.5])
    return tokens, words


def windows():
    rng = random.Random(7)
    out = []
    while len(out) < 260:
        tokens, words = random_window(rng)
        seek = rng.choice([0, 150, 2345])
        content = seek + rng.choice([900, 2900, 7000])
        threshold = rng.choice([None, 0.5, 1.0, 2.0, 3.0])
        whisper.timing.find_alignment = lambda *_, words=words, **__: [
            WordTiming(w, [0] * n, np.float64(s), np.float64(e), p) for w, n, s, e, p in words
        ]
        after, segments = run_window(
            tokens, seek, content, word_timestamps=True, hallucination_silence_threshold=threshold
        )
        if len({s["seek"] for s in segments}) > 1 or (after is not None and after <= seek):
            continue
        out.append(
            {
                "tokens": tokens,
                "alignment": words,
                "seek": seek,
                "content": content,
                "threshold": threshold,
                "next": after,
                "segments": [
                    [
                        float(s["start"]),
                        float(s["end"]),
                        [[w["word"], float(w["start"]), float(w["end"]), w["probability"]]
                            for w in s["words"]],
                    ]
                    for s in segments
                    if s["text"]
                ],
            }
        )
    return out


def ratios():
    texts = [
        "",
        "a",
        "And so my fellow Americans ask not what your country can do for you",
        "you you you you you you you you you you you you you you you you you you you you",
        "Größe und Straße: ¿qué? 日本語のテキスト",
        "ha" * 500,
    ]
    return [[text, compression_ratio(text)] for text in texts]


def main() -> int:
    tables = {
        "searches": searches(),
        "alignments": alignments(),
        "attention": attention(),
        "cuts": cuts(),
        "windows": windows(),
        "ratios": ratios(),
    }
    lists = []
    for name, rows in tables.items():
        lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
        lists.append(f'"{name}": [\n{lines}\n]')
    print("{\n" + ",\n".join(lists) + "\n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
