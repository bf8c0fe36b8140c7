#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the C program with the committed goldens, clip by clip; non-zero exit on a broken bound.

    compare_goldens.py --sotto build/release/bin/sotto --model models/tiny.en --root ../shared
    compare_goldens.py --sotto build/release/bin/sotto --model models/base --short
    compare_goldens.py --sotto build/release/bin/sotto --model models/tiny.en --formats

In: ``golden/<model>`` (see make_goldens.py), ``sotto`` and, beside it, ``sotto-dump`` (or --dump).
Out: one line a clip and case, then a summary. Bounds:

    log-mel, max abs error      < 1e-4   kept frames, and the mean and maximum over all of them
    encoder, max abs error      < 5e-3   window 0, kept positions
    tokens, clips up to 30 s    identical (greedy, prompt, translate, words, hallucination)
    tokens, longer clips        >= 99.5% identical, each clip (edit distance over length)
    beam 5                      >= 99%: each longer clip, and the clips up to 30 s together
    words, same tokens          start and end within --words-bound (0.1 s)
    language detection          the same language

Lossy recordings (mp3, ogg, opus) are decoded here with libsndfile, as for the goldens, and handed
on as float WAV: decoders differ by more than the bounds (Opus at 16 or at 48 kHz moves the log-mel
by 0.2), and this compares what comes after them.

``--formats`` converts the model to ggml and Hugging Face (float16) and asks for identical greedy
tokens from the three. Needs numpy; soundfile for lossy recordings. Exits 77 (skipped) when --root
or the goldens are absent; a recording missing below --root is an error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import convert

try:
    import soundfile
except ImportError:
    soundfile = None

SKIPPED = 77
SHORT_SECONDS = 30.0
MEL_BOUND, ENCODER_BOUND = 1e-4, 5e-3
LONG_BOUND, BEAM_BOUND = 0.995, 0.99
LOSSY = {".mp3", ".ogg", ".opus", ".m4a"}
FLAGS = {
    "language": "--language",
    "task": "--task",
    "beam_size": "--beam-size",
    "initial_prompt": "--prompt",
    "hallucination_silence_threshold": "--hallucination-silence-threshold",
}
NAMES = {
    "en": "english",
    "de": "german",
    "es": "spanish",
    "fr": "french",
    "pt": "portuguese",
    "ja": "japanese",
    "zh": "chinese",
    "nn": "nynorsk",
    "la": "latin",
    "ru": "russian",
    "ko": "korean",
}
EXACT = ["--precision", "f32", "--full-window", "--sequential"]  # what openai-whisper computes


class RunError(Exception):
    """The program failed or answered with something that cannot be compared."""


@dataclass
class Tally:
    """What the summary says."""

    broken: list[str] = field(default_factory=list)
    mel: float = 0.0
    encoder: float = 0.0
    words: float = 0.0
    logprob: float = 0.0
    tokens: dict[str, list[int]] = field(default_factory=dict)  # case/length -> [edits, length]

    def add_tokens(self, key: str, edits: int, length: int):
        sums = self.tokens.setdefault(key, [0, 0])
        sums[0] += edits
        sums[1] += length

    def fail(self, text: str) -> str:
        self.broken.append(text)
        return "  BROKEN"


def edit_distance(a: list[int], b: list[int]) -> int:
    """Levenshtein distance; common ends are cut off first, so near-equal lists are quick."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    a, b = a[start:], b[start:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[len(b)]


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise RunError(f"{Path(command[0]).name} exited with {done.returncode}: {last[0]}")
    return done.stdout.decode("utf-8")


def transcribe(sotto: str, model, audio: Path, options: dict) -> dict:
    """verbose_json of one file, the engine in the client's own process, no fallback, nothing approximated."""
    command = [sotto, "transcribe", "--local", "--model", str(model), "-f", "verbose_json"]
    command += ["--temperature", "0", "--temperature-inc", "0", *EXACT]
    for key, value in options.items():
        if key == "word_timestamps":
            command.append("--word-timestamps")
        else:
            command += [FLAGS[key], f"{value:g}" if isinstance(value, float) else str(value)]
    text = run([*command, str(audio)])
    try:
        return json.loads(text)
    except ValueError as error:
        raise RunError(f"verbose_json cannot be parsed ({error})") from None


def dump(program: str, what: str, model, audio: Path, width: int) -> np.ndarray:
    """[rows, width] float32 written by ``sotto-dump mel|encoder``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.f32"
        run([program, what, str(model), str(audio), str(path)])
        data = np.fromfile(path, dtype="<f4")
    if data.size % width:
        raise RunError(f"sotto-dump {what} wrote {data.size} floats, not a multiple of {width}")
    return data.reshape(-1, width)


def tokens_of(result: dict) -> list[int]:
    return [int(token) for segment in result["segments"] for token in segment["tokens"]]


def words_of(result: dict) -> list[tuple[str, float, float]]:
    """(text, start, end) of every word, from the segments or from the top level."""
    rows = [w for s in result["segments"] for w in s.get("words", [])] or result.get("words") or []
    out = []
    for word in rows:
        if isinstance(word, dict):
            word = (word["word"], word["start"], word["end"])
        out.append((word[0].strip(), float(word[1]), float(word[2])))
    return out


def plain_audio(root: Path, clips: list[str], folder: Path) -> dict[str, Path]:
    """clip -> file to hand on: itself, or a float WAV of a lossy one (needs soundfile)."""
    out = {}
    for clip in clips:
        path = root / clip
        if path.suffix not in LOSSY:
            out[clip] = path
        else:
            samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
            out[clip] = folder / f"{len(out)}-{path.stem}.wav"
            soundfile.write(str(out[clip]), samples, rate, subtype="FLOAT")
    return out


def compare_mel(args, clip, facts, mels, tally) -> str:
    mel, at = mels[clip], mels[f"{clip}#at"]
    got = dump(args.dump, "mel", args.model, args.audio[clip], mel.shape[1])
    if len(got) != facts["frames"]:
        return f"mel has {len(got)} frames, not {facts['frames']}" + tally.fail(f"{clip}: mel")
    if not len(got):
        return "mel empty"
    error = float(np.abs(got[at] - mel).max()) if len(at) else 0.0
    error = max(error, abs(float(got.max()) - facts["mel_max"]))
    error = max(error, abs(float(got.mean(dtype=np.float64)) - facts["mel_mean"]))
    tally.mel = max(tally.mel, error)
    return f"mel {error:.1e}" + (
        "" if error < MEL_BOUND else tally.fail(f"{clip}: mel {error:.1e}")
    )


def compare_encoder(args, clip, want, stride, tally) -> str:
    got = dump(args.dump, "encoder", args.model, args.audio[clip], want.shape[1])[::stride]
    if got.shape != want.shape:
        return f"encoder rows {got.shape}, not {want.shape}" + tally.fail(f"{clip}: encoder")
    error = float(np.abs(got - want).max())
    tally.encoder = max(tally.encoder, error)
    bad = "" if error < ENCODER_BOUND else tally.fail(f"{clip}: encoder {error:.1e}")
    return f"encoder {error:.1e}" + bad


def compare_case(args, clip, facts, name, case, tally) -> str:
    got = transcribe(args.sotto, args.model, args.audio[clip], case["options"])
    want_tokens, got_tokens = tokens_of(case), tokens_of(got)
    edits = edit_distance(want_tokens, got_tokens)
    length = max(len(want_tokens), 1)
    same = 1 - edits / length
    short = facts["seconds"] <= SHORT_SECONDS
    tally.add_tokens(f"{name} {'<=' if short else '>'} 30 s", edits, len(want_tokens))
    text = f"{name}: {len(want_tokens)} tokens, {100 * same:.2f}% identical"
    if short:
        bad = edits > 0 and name != "beam5"
    else:
        bad = same < (BEAM_BOUND if name == "beam5" else LONG_BOUND)
    if bad:
        text += tally.fail(f"{clip}: {name} {100 * same:.2f}%")
    if edits == 0 and len(got["segments"]) == len(case["segments"]):
        for a, b in zip(case["segments"], got["segments"], strict=True):
            tally.logprob = max(tally.logprob, abs(a["avg_logprob"] - b["avg_logprob"]))
    if edits == 0 and "word_timestamps" in case["options"]:
        text += compare_words(args, clip, name, words_of(case), words_of(got), tally)
    language, said = case["language"], got.get("language")
    known = (language, NAMES.get(language, ""))
    if "language" not in case["options"] and said and known[1] and said.lower() not in known:
        text += f", language {said}, not {language}" + tally.fail(f"{clip}: language")
    return text


def compare_words(args, clip, name, want, got, tally) -> str:
    if [w[0] for w in want] != [w[0] for w in got]:
        return f", {len(got)} words, not the {len(want)} expected" + tally.fail(f"{clip}: words")
    apart = max(
        (abs(a[i] - b[i]) for a, b in zip(want, got, strict=True) for i in (1, 2)), default=0
    )
    tally.words = max(tally.words, apart)
    bad = (
        "" if apart <= args.words_bound else tally.fail(f"{clip}: {name} words {apart:.2f} s apart")
    )
    return f", words {apart:.2f} s apart{bad}"


def compare_all(args, golden: dict, folder: Path, clips: list[str]) -> Tally:
    tally = Tally()
    mels, encoders = {}, {}
    if not args.no_dump:
        mels = np.load(folder.parent / f"mel{golden['n_mels']}.npz")
        encoders = np.load(folder / "encoder.npz")
    for clip in clips:
        facts = golden["clips"][clip]
        jobs = []
        if not args.no_dump:
            jobs.append(lambda c=clip, f=facts: compare_mel(args, c, f, mels, tally))
            if clip in encoders:
                stride, rows = golden["encoder_stride"], encoders[clip]
                jobs.append(lambda c=clip, r=rows, s=stride: compare_encoder(args, c, r, s, tally))
        for name, case in facts["cases"].items():
            if args.cases is None or name in args.cases:
                jobs.append(
                    lambda c=clip, f=facts, n=name, k=case: compare_case(args, c, f, n, k, tally)
                )
        for job in jobs:
            try:
                print(f"{clip}: {job()}", flush=True)
            except (RunError, OSError, KeyError) as error:
                print(f"{clip}: {error}{tally.fail(f'{clip}: {error}')}", flush=True)
    edits, length = tally.tokens.get("beam5 <= 30 s", (0, 0))
    if length and 1 - edits / length < BEAM_BOUND:
        tally.fail(f"beam5 on clips up to 30 s: {100 * (1 - edits / length):.2f}%")
    return tally


def compare_formats(args, golden: dict, clips: list[str]) -> Tally:
    """Greedy tokens from the CTranslate2 directory, a ggml file and a Hugging Face directory."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        models = {"ct2": args.model}
        for kind in ("ggml", "hf"):
            models[kind] = Path(folder) / f"{kind}.bin" if kind == "ggml" else Path(folder) / kind
            convert.convert(args.model, models[kind], kind)
        for clip in clips:
            options = golden["clips"][clip]["cases"]["greedy"]["options"]
            try:
                found = {
                    kind: tokens_of(transcribe(args.sotto, model, args.audio[clip], options))
                    for kind, model in models.items()
                }
            except (RunError, OSError, KeyError) as error:
                print(f"{clip}: {error}{tally.fail(f'{clip}: {error}')}", flush=True)
                continue
            other = [k for k, tokens in found.items() if tokens != found["ct2"]]
            text = f"{len(found['ct2'])} tokens, " + (
                f"{other} differ" if other else "the same 3 times"
            )
            print(
                f"{clip}: {text}{tally.fail(f'{clip}: formats {other}') if other else ''}",
                flush=True,
            )
    return tally


def summary(tally: Tally, compared: int):
    print(f"\n{compared} clips")
    for key, (edits, length) in tally.tokens.items():
        share = 100 * (1 - edits / max(length, 1))
        print(f"  {key}: {length} tokens, {edits} edits, {share:.3f}% identical")
    print(f"  mel max abs error {tally.mel:.2e} (bound {MEL_BOUND:g})")
    print(f"  encoder max abs error {tally.encoder:.2e} (bound {ENCODER_BOUND:g})")
    print(f"  words at most {tally.words:.3f} s apart; avg_logprob at most {tally.logprob:.2e}")
    for text in tally.broken:
        print(f"  BROKEN {text}")
    print("FAILED" if tally.broken else "ok")


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sotto", required=True, help="the client's binary")
    parser.add_argument("--dump", help="sotto-dump (default: beside --sotto)")
    parser.add_argument("--no-dump", action="store_true", help="leave mel and encoder out")
    parser.add_argument("--model", required=True, type=Path, help="CTranslate2 directory")
    parser.add_argument("--root", type=Path, default=Path("../shared"), help="recordings")
    parser.add_argument("--golden", type=Path, help="golden folder of the model")
    parser.add_argument("--clips", nargs="+", help="only these (paths below --root)")
    parser.add_argument("--cases", nargs="+", help="only these: greedy beam5 words ...")
    parser.add_argument("--short", action="store_true", help="only clips up to 30 s")
    parser.add_argument("--words-bound", type=float, default=0.1, metavar="SECONDS")
    parser.add_argument("--formats", action="store_true", help="compare the three weight formats")
    args = parser.parse_args()
    args.dump = args.dump or str(Path(args.sotto).with_name("sotto-dump"))
    folder = args.golden or here / "golden" / args.model.name
    if not (folder / "golden.json").is_file():
        print(f"skipped: no goldens in {folder}")
        return SKIPPED
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    wanted = args.clips or list(golden["clips"])
    unknown = [clip for clip in wanted if clip not in golden["clips"]]
    if unknown:
        print(f"compare_goldens: no golden for {', '.join(unknown)}", file=sys.stderr)
        return 2
    if not args.root.is_dir():
        print(f"skipped: no recordings below {args.root}")
        return SKIPPED
    clips = wanted
    if args.short or (args.formats and not args.clips):
        clips = [c for c in wanted if golden["clips"][c]["seconds"] <= SHORT_SECONDS]
    missing = [clip for clip in clips if not (args.root / clip).is_file()]
    if missing:
        print(f"compare_goldens: not below {args.root}: {', '.join(missing)}", file=sys.stderr)
        return 2
    if not os.access(args.sotto, os.X_OK):
        print(f"compare_goldens: {args.sotto} is not there; build it first", file=sys.stderr)
        return 2
    lossy = [clip for clip in clips if Path(clip).suffix in LOSSY]
    if lossy and soundfile is None:
        print(f"compare_goldens: {lossy[0]} needs the Python package soundfile", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as made:
        args.audio = plain_audio(args.root, clips, Path(made))
        if args.formats:
            tally = compare_formats(args, golden, clips)
            print("FAILED" if tally.broken else f"ok: {len(clips)} clips, three formats")
        else:
            tally = compare_all(args, golden, folder, clips)
            summary(tally, len(clips))
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
