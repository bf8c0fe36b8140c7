#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Word error rate on labelled speech: sotto, openai-whisper on the same weights, or a folder.

    wer.py --refs REFS --sotto build/release/bin/sotto --model models/tiny.en
    wer.py --refs REFS --openai-whisper models/tiny.en
    wer.py --refs REFS --hyp-dir OUT
    wer.py ... --check tests/wer/reference/tiny.en-greedy.tsv    within 0.1 points of those

where REFS is for example ../shared/speech/dev/refs.tsv.

In: refs.tsv, lines of id, language, seconds, reference; the audio is ``<id>.*`` beside it.
A hypothesis is one text a file. Both sides go through Whisper's English normaliser (the basic one
for other languages; zh and ja are scored by character), empty references are left out.
Out: WER by part and in total (edits over reference words), seconds, and real-time factor
(processing seconds per audio second, model load included; not with --hyp-dir).

Decoding: temperature 0 without fallback, greedy unless ``--beam-size``, language as in refs.tsv,
every other option at its default. Needs jiwer and openai-whisper (for its normalisers).
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import jiwer
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

SKIPPED = 77
TEST_OTHER = {"1998", "2033", "2609", "3005", "3331"}
BY_CHARACTER = {"ja", "zh"}
SOUND = {".flac", ".wav", ".mp3", ".ogg", ".opus", ".m4a"}


@dataclass
class Item:
    id: str
    language: str
    seconds: float
    reference: str
    audio: Path
    hypothesis: str = ""


def part_of(item: Item) -> str:
    """The part of the corpus a file belongs to, from its id."""
    if item.id.startswith("LJ"):
        return "LJ Speech"
    head = item.id.split("-")[0]
    if head in TEST_OTHER:
        return "LibriSpeech test-other"
    if head.isdigit():
        return "LibriSpeech train-clean-100"
    return item.language


def read_refs(path: Path) -> list[Item]:
    audio = {p.stem: p for p in path.parent.iterdir() if p.suffix in SOUND}
    items = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            name, language, seconds, reference = row[:4]
            if name not in audio:
                raise ValueError(f"{path.parent} has no recording of {name}")
            items.append(Item(name, language, float(seconds), reference, audio[name]))
    return items


def by_language(items: list[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.language, []).append(item)
    return groups


def run_sotto(args, items: list[Item]) -> float:
    """One client process a language, all its files; texts from OUT/<stem>.txt. Seconds spent."""
    spent = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for language, group in by_language(items).items():
            command = [args.sotto, "transcribe", "--local", "--model", args.model]
            command += ["-f", "txt", "-o", folder, "--temperature", "0", "--temperature-inc", "0"]
            if language.isalpha():
                command += ["--language", language]
            if args.beam_size:
                command += ["--beam-size", str(args.beam_size)]
            command += [*args.option, *(str(item.audio) for item in group)]
            started = time.monotonic()
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
            spent += time.monotonic() - started
            if done.returncode != 0:
                last = done.stderr.strip().splitlines()[-1:] or ["no message"]
                raise ValueError(f"sotto exited with {done.returncode}: {last[0]}")
        read_hypotheses(Path(folder), items)
    return spent


def run_openai(args, items: list[Item]) -> float:
    """openai-whisper, float32 on the CPU, from a CTranslate2 directory or a .pt. Seconds spent."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))
    import whisper

    import reference

    started = time.monotonic()
    model = reference.load_model(args.openai_whisper, args.threads)
    for number, item in enumerate(items, 1):
        samples, _ = reference.load_audio(item.audio)
        options = {"temperature": 0.0, "fp16": False, "verbose": None}
        if item.language.isalpha():
            options["language"] = item.language
        if args.beam_size:
            options["beam_size"] = args.beam_size
        item.hypothesis = whisper.transcribe(model, samples, **options)["text"].strip()
        if sys.stderr.isatty() or number % 50 == 0:
            print(f"\r{number}/{len(items)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return time.monotonic() - started


def read_hypotheses(folder: Path, items: list[Item]) -> None:
    """``<id>.txt`` of a folder, lines joined by blanks."""
    for item in items:
        path = folder / f"{item.audio.stem}.txt"
        if not path.is_file():
            raise ValueError(f"{folder} has no {path.name}")
        item.hypothesis = " ".join(path.read_text(encoding="utf-8").split())


def read_tsv(path: Path) -> dict[str, str]:
    """id -> hypothesis of a file written by --save."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, _, text = line.partition("\t")
            rows[name] = text
    return rows


def normalised(items: list[Item]) -> list[tuple[str, str]]:
    """(reference, hypothesis) pairs ready to be compared word by word."""
    english, basic, split = (
        EnglishTextNormalizer(),
        BasicTextNormalizer(),
        BasicTextNormalizer(split_letters=True),
    )
    pairs = []
    for item in items:
        rule = english if item.language == "en" else basic
        rule = split if item.language in BY_CHARACTER else rule
        pairs.append((rule(item.reference), rule(item.hypothesis)))
    return [(ref, hyp) for ref, hyp in pairs if ref.strip()]


def score(items: list[Item]) -> tuple[int, int]:
    """(edits, reference words)."""
    pairs = normalised(items)
    if not pairs:
        return 0, 0
    out = jiwer.process_words([p[0] for p in pairs], [p[1] for p in pairs])
    edits = out.substitutions + out.deletions + out.insertions
    return edits, out.hits + out.substitutions + out.deletions


def report(items: list[Item]) -> tuple[str, float]:
    """(table, total WER in percent)."""
    parts: dict[str, list[Item]] = {}
    for item in items:
        parts.setdefault(part_of(item), []).append(item)
    lines = [f"{'part':30} {'files':>5} {'seconds':>8} {'words':>6} {'edits':>6} {'WER %':>7}"]
    for name, group in [*sorted(parts.items()), ("total", items)]:
        edits, words = score(group)
        wer = 100 * edits / words if words else 0.0
        seconds = sum(item.seconds for item in group)
        lines.append(f"{name:30} {len(group):5} {seconds:8.1f} {words:6} {edits:6} {wer:7.3f}")
    return "\n".join(lines), wer


def save(path: Path, items: list[Item], command: str, table: str) -> None:
    """id TAB hypothesis, behind comment lines with the command and the table (no timing)."""
    head = [f"# {line}" for line in [command, *table.splitlines()]]
    body = [f"{item.id}\t{' '.join(item.hypothesis.split())}" for item in items]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*head, *body]) + "\n", encoding="utf-8")


def check(path: Path, items: list[Item], wer: float, points: float) -> bool:
    """Print the distance to stored hypotheses on the same files; False when above ``points``."""
    stored = read_tsv(path)
    missing = [item.id for item in items if item.id not in stored]
    if missing:
        raise ValueError(f"{path} has no hypothesis for {missing[0]}")
    other = [Item(i.id, i.language, i.seconds, i.reference, i.audio, stored[i.id]) for i in items]
    edits, words = score(other)
    theirs = 100 * edits / max(words, 1)
    same = sum(a == b for a, b in zip(normalised(items), normalised(other), strict=True))
    fine = abs(wer - theirs) <= points
    print(
        f"stored {theirs:.3f}%, here {wer:.3f}%: {wer - theirs:+.3f} points, "
        f"{same}/{len(other)} texts the same ({'ok' if fine else 'FAILED'}, bound {points:g})"
    )
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--refs", required=True, type=Path, help="refs.tsv beside its recordings")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sotto", help="the client's binary; needs --model")
    source.add_argument("--openai-whisper", metavar="MODEL", help="CTranslate2 directory or .pt")
    source.add_argument("--hyp-dir", type=Path, help="folder with <id>.txt")
    source.add_argument("--hyp-tsv", type=Path, help="file written by --save")
    parser.add_argument("--model", help="model for --sotto")
    parser.add_argument(
        "--option", action="append", default=[], metavar="O", help="for --sotto: --option=--tail-stride=4"
    )
    parser.add_argument("--beam-size", type=int, help="beam search instead of greedy")
    parser.add_argument("--threads", type=int, default=2, help="for --openai-whisper")
    parser.add_argument("--limit", type=int, help="only the first N files")
    parser.add_argument("--save", type=Path, help="write hypotheses and table to this file")
    parser.add_argument("--check", type=Path, help="file written by --save to stay close to")
    parser.add_argument("--points", type=float, default=0.1, help="bound of --check, in points")
    args = parser.parse_args()
    if args.sotto and not args.model:
        parser.error("--sotto needs --model")
    if not args.refs.is_file():
        print(f"skipped: {args.refs} is not there")
        return SKIPPED
    try:
        items = read_refs(args.refs)[: args.limit]
        spent = None
        if args.sotto:
            spent = run_sotto(args, items)
        elif args.openai_whisper:
            spent = run_openai(args, items)
        elif args.hyp_dir:
            read_hypotheses(args.hyp_dir, items)
        else:
            stored = read_tsv(args.hyp_tsv)
            for item in items:
                item.hypothesis = stored[item.id]
        table, wer = report(items)
        print(table)
        if spent is not None:
            total = sum(item.seconds for item in items)
            factor = f"real-time factor {spent / total:.4f}"
            print(f"{spent:.1f} s for {total:.1f} s of audio: {factor}")
        if args.save:
            save(args.save, items, "wer.py " + " ".join(sys.argv[1:]), table)
        return 0 if not args.check or check(args.check, items, wer, args.points) else 1
    except (ValueError, OSError, KeyError) as error:
        print(f"wer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
