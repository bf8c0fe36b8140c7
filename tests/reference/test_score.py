#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""src/score against its references: openai-whisper's normalisers line by line, a plain table of edits, numpy's
percentiles over numpy's random numbers.

SOTTO_BIN: folder of the binaries. Needs numpy, and for the normalisers what tests/requirements-alone.txt lists (no
torch), else skipped.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import unicodedata
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
SPEECH = SOURCE.parent / "shared"
TOOL = Path(os.environ.get("SOTTO_BIN") or SOURCE / "build/release/bin") / "sotto-score"
TABLES_UNICODE = "14.0.0"
SKIPPED = 77
KINDS = ("english", "basic", "plain", "split", "plain-split")  # as tools/score.c names them
sys.path.insert(0, str(HERE))
import score_lines


def ask(kind: str, records: list[bytes], *options: str) -> bytes:
    stdin = b"".join(record + b"\0" for record in records)
    done = subprocess.run([TOOL, kind, *options], input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return done.stdout


def columns(path: Path) -> list[str]:
    """Last column of a file of references or of stored hypotheses."""
    rows = path.read_text(encoding="utf-8").splitlines()
    return [row.split("\t")[-1] for row in rows if row and not row.startswith("#")]


def texts_of_recordings() -> list[str]:
    lines = [line for path in sorted(SPEECH.rglob("refs.tsv")) for line in columns(path)]
    return lines + [" ".join(p.read_text(encoding="utf-8").split()) for p in sorted(SPEECH.rglob("*.txt"))]


class Normalisers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        global PYTHON
        try:
            PYTHON = score_lines.normalisers()
        except ImportError as error:
            raise unittest.SkipTest(f"{error.name} is not installed; make test does it, with the network at hand")

    def test_without_torch(self):
        self.assertNotIn("torch", sys.modules)

    def compare(self, lines: list[bytes], kinds: tuple = KINDS) -> None:
        """Zero differences on these lines; NUL ends a record of the tool, so none may hold one."""
        for kind in kinds:
            got = ask(kind, lines).split(b"\0")[:-1]
            self.assertEqual(len(got), len(lines))
            wrong = []
            for line, have in zip(lines, got):
                want = PYTHON[kind](line.decode("utf-8", "replace"))
                if have != want.encode("utf-8"):
                    wrong.append(f"{line[:200]!a}\n  Python {want[:200]!a}\n  ours   {have.decode()[:200]!a}")
            print(f"{kind}: {len(lines)} lines, {len(wrong)} differ")
            self.assertFalse(wrong, f"{kind}: {len(wrong)} of {len(lines)} lines differ:\n" + "\n".join(wrong[:20]))

    def test_awkward_lines(self):
        lines = [line.encode("utf-8") for line in score_lines.awkward() if "\0" not in line]
        self.assertGreater(len(lines), 700)
        self.compare(lines)

    def test_committed_cases(self):
        """unit-score's file says what the Python says now: no row is of an older version, or mended by hand."""
        rows = json.loads((SOURCE / "tests/unit/data/score.json").read_text(encoding="utf-8"))
        self.assertGreater(len(rows), 900)
        for line, *answers in rows:
            self.assertEqual(answers, [PYTHON[kind](line) for kind in KINDS], line)

    def test_composed_lines(self):
        self.compare([line.encode("utf-8") for line in score_lines.composed(6000)])

    def test_stored_hypotheses(self):
        paths = sorted((SOURCE / "tests/wer/reference").glob("*.tsv"))
        lines = [line for path in paths for line in columns(path)]
        self.assertGreater(len(lines), 400)
        self.compare([line.encode("utf-8") for line in lines])

    def test_references_of_recordings(self):
        if not SPEECH.is_dir():
            self.skipTest(f"{SPEECH} is not there")
        lines = texts_of_recordings()
        self.assertGreater(len(lines), 300)
        self.compare([line.encode("utf-8") for line in lines])

    def test_every_character(self):
        """Each that Unicode 14 has, and one in 97 of the others: between letters, beside figures, before a sigma."""
        if unicodedata.unidata_version != TABLES_UNICODE:
            self.skipTest(f"this Python has Unicode {unicodedata.unidata_version}, the tables {TABLES_UNICODE}")
        every = [chr(cp) for cp in range(1, 0x110000) if not 0xD800 <= cp < 0xE000]
        every = [c for c in every if unicodedata.category(c) not in ("Cn", "Co") or ord(c) % 97 == 0]
        # regex knows clusters of newer characters: those that the tables do not know are left out of splitting.
        known = [c for c in every if unicodedata.category(c) != "Cn"]
        self.assertGreater(len(known), 140000)
        self.compare([f"a{c}b {c} 5{c}\u03a3 {c}5 {c}{c}".encode() for c in every], ("english", "basic", "plain"))
        self.compare([f"a{c}b{c}{c}\u200d{c}\u1100".encode() for c in known], ("split", "plain-split"))

    def test_sequences_of_marks(self):
        """Canonical order and composition over characters that have something to do with either."""
        rng = random.Random(score_lines.SEED)
        some = [c for c in map(chr, range(0x300, 0x3400)) if unicodedata.combining(c) or unicodedata.decomposition(c)]
        some += list("aeiouqsdwAEIOU\u1100\u1161\u11a8\uac00\uac1c\u0915")
        some += list("\u09c7\u09be\u0bc6\u0cd5\u0dd9\u0dca\u1025\u102e")
        lines = ["".join(rng.choice(some) for _ in range(rng.randrange(1, 12))) for _ in range(6000)]
        self.compare([line.encode("utf-8") for line in lines])

    def test_any_bytes(self):
        rng = random.Random(score_lines.SEED)
        lines = [bytes(rng.choices(range(1, 256), k=rng.randrange(60))) for _ in range(2000)]
        whole = [line.encode("utf-8") for line in score_lines.composed(1000, 7)]
        lines += [line[: rng.randrange(len(line) + 1)] + bytes([rng.randrange(128, 256)]) + line[5:] for line in whole]
        self.compare(lines)


def edits_of(ref: list, hyp: list) -> tuple:
    """(edits, substitutions) by the textbook's table, the fewest edits and then the fewest substitutions."""
    row = [(j, 0) for j in range(len(hyp) + 1)]
    for i, a in enumerate(ref, 1):
        last, row = row, [(i, 0)]
        for j, b in enumerate(hyp, 1):
            edits, subs = last[j - 1]
            change = (edits, subs) if a == b else (edits + 1, subs + 1)
            row.append(min(change, (last[j][0] + 1, last[j][1]), (row[-1][0] + 1, row[-1][1])))
    return row[-1]


def changed_words(rng: random.Random, words: list[str]) -> list[str]:
    out = []
    for word in words:
        what = rng.random()
        out += [] if what < 0.1 else [rng.choice(words)] if what < 0.2 else [word, word] if what < 0.3 else [word]
    return out


class Edits(unittest.TestCase):
    def test_against_the_table(self):
        rng = random.Random(score_lines.SEED)
        pairs = [("", ""), ("a", ""), ("", "a b"), ("a b c", "a b c"), (" a  b ", "a b"), ("a\u3000b", "a b")]
        pairs += [("\u00e9", "e")]
        for _ in range(400):
            ref = rng.choices(["a", "b", "c", "de", "f\u00e9", "\u4f60"], k=rng.randrange(25))
            pairs.append((" ".join(ref), " ".join(changed_words(rng, ref) if ref else [])))
            pairs.append((" ".join(ref), " ".join(rng.choices(["a", "b", "de", "x"], k=rng.randrange(25)))))
        records = [text.encode() for pair in pairs for text in pair]
        for kind, units in (("words", str.split), ("characters", lambda s: list(" ".join(s.split())))):
            got = ask(kind, records).decode().splitlines()
            self.assertEqual(len(got), len(pairs))
            for (ref, hyp), line in zip(pairs, got):
                subs, dels, ins, length = map(int, line.split())
                self.assertEqual((subs + dels + ins, subs), edits_of(units(ref), units(hyp)), (kind, ref, hyp))
                self.assertEqual(length, len(units(ref)))
                self.assertEqual(length - dels + ins, len(units(hyp)))


class Pcg32:
    """O'Neill's PCG-XSH-RR 64/32, on stream 54."""

    def __init__(self, seed: int):
        self.state = 0
        self.draw()
        self.state = (self.state + seed) % 2**64
        self.draw()

    def draw(self) -> int:
        old = self.state
        self.state = (old * 6364136223846793005 + (54 << 1 | 1)) % 2**64
        mixed, by = ((old >> 18 ^ old) >> 27) % 2**32, old >> 59
        return (mixed >> by | mixed << 32 - by) % 2**32

    def below(self, n: int) -> int:
        while True:
            r = self.draw()
            if r >= 2**32 % n:
                return r % n


def python_interval(edits: list, words: list, resamples: int, seed: int, percentiles: list):
    random32, n, rates = Pcg32(seed), len(edits), []
    for _ in range(resamples):
        at = [random32.below(n) for _ in range(n)]
        rates.append(sum(edits[i] for i in at) / sum(words[i] for i in at))
    return numpy.percentile(rates, percentiles)


class Resampling(unittest.TestCase):
    def setUp(self):
        rng = numpy.random.default_rng(3)
        self.words = rng.integers(1, 30, 235)
        self.a = rng.binomial(self.words, 0.08)
        self.b = numpy.maximum(0, self.a + rng.choice([-1, 0, 0, 0, 1], 235, p=[0.14, 0.3, 0.3, 0.2, 0.06]))

    @staticmethod
    def records(*systems) -> list[bytes]:
        """Lines of edits, all called substitutions, of (edits, words) of each system in turn."""
        return [f"{e} 0 0 {w}".encode() for row in zip(*(zip(*s) for s in systems)) for e, w in row]

    def test_interval_as_numpy(self):
        rng = numpy.random.default_rng(4)
        low, high = map(float, ask("interval", self.records((self.a, self.words)), "100000").split())
        at = rng.integers(0, 235, (100000, 235))
        want = numpy.percentile(self.a[at].sum(1) / self.words[at].sum(1), [2.5, 97.5])
        width = want[1] - want[0]
        self.assertLess(abs(low - want[0]), 0.02 * width)
        self.assertLess(abs(high - want[1]), 0.02 * width)

    def test_generator(self):
        first = Pcg32(42)
        self.assertEqual([first.draw() for _ in range(3)], [0xA15C02B7, 0x7B47F409, 0xBA1D3330])  # pcg32-demo's
        want = python_interval(self.a, self.words, 300, 42, [2.5, 97.5])
        got = list(map(float, ask("interval", self.records((self.a, self.words)), "300", "42").split()))
        self.assertLess(abs(got - want).max(), 1e-12)

    def test_seed_settles_everything(self):
        records = self.records((self.a, self.words))
        first = ask("interval", records, "500", "7")
        self.assertEqual(first, ask("interval", records, "500", "7"))
        self.assertNotEqual(first, ask("interval", records, "500", "8"))

    def test_comparison_as_numpy(self):
        rng = numpy.random.default_rng(5)
        records = self.records((self.a, self.words), (self.b, self.words))
        got = list(map(float, ask("compare", records, "100000").split()))
        difference, at = self.b - self.a, rng.integers(0, 235, (100000, 235))
        sampled = difference[at].sum(1) / self.words[at].sum(1)
        low, high = numpy.percentile(sampled, [2.5, 97.5])
        flips = (rng.choice([-1, 1], (100000, 235)) * difference).sum(1)
        p = (1 + (abs(flips) >= abs(difference.sum())).sum()) / 100001
        self.assertAlmostEqual(got[0], difference.sum() / self.words.sum(), places=12)
        self.assertLess(abs(got[1] - low), 0.02 * (high - low))
        self.assertLess(abs(got[2] - high), 0.02 * (high - low))
        self.assertLess(abs(got[3] - (sampled < 0).mean()), 0.01)
        self.assertLess(abs(got[4] - p), 4 * (p / 100000) ** 0.5 + 1e-4)
        self.assertTrue(0.0005 < p < 0.5, f"p = {p} is no test of it")


def missing() -> str:
    global numpy
    try:
        import numpy
    except ImportError:
        return "numpy is not installed"
    return "" if TOOL.is_file() else f"{TOOL} is not built"


if __name__ == "__main__":
    WHY = missing()
    if WHY:
        print(f"skipped: {WHY}")
        sys.exit(SKIPPED)
    sys.exit(unittest.main())
