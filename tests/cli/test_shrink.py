# SPDX-License-Identifier: MIT
"""`sotto shrink`: what is refused, that a file holds what its report says, and that it transcribes.

Needs models/tiny.en for all but wrong usage, and the recordings in ../shared for texts.
"""

from __future__ import annotations

import json
import os
import sys
import unittest
from pathlib import Path

from test_client import Case, needs_model, sotto

ROOT = Path(os.environ.get("SOTTO_SOURCE") or Path(__file__).resolve().parents[2])
JFK = ROOT.parent / "shared" / "audio" / "jfk.flac"
FULL = 37760256  # tiny.en's parameters


class Usage(Case):
    def test_what_is_refused(self) -> None:
        self.check(sotto("shrink"), 2, "expected -o FILE")
        self.check(sotto("shrink", "--model", "no-such", "-o", self.dir / "x"), 1, "no-such")


@needs_model
class Files(Case):
    def shrink(self, spec: str, *arguments: object) -> tuple[Path, dict]:
        path = self.dir / "small.sotto"
        done = sotto("shrink", "--spec", spec, "-o", path, "--json", *arguments)
        self.check(done, 0)
        report = json.loads(done.stdout)
        self.assertEqual(report["file_bytes"], path.stat().st_size)
        for key in ("parameters", "nonzero", "bits"):
            self.assertEqual(report[key], sum(t[key] for t in report["tensors"]))
            self.assertEqual(report[key], sum(p[key] for p in report["parts"].values()))
        return path, report

    def words(self, model: object) -> list[str]:
        if not JFK.exists():
            self.skipTest("needs the recordings in ../shared")
        done = sotto("transcribe", "--local", "--model", model, JFK)
        self.check(done, 0)
        return "".join(c for c in done.stdout.decode().lower() if c.isalpha() or c.isspace()).split()

    def test_specs_that_are_refused(self) -> None:
        for spec, words in (
            ("int9", "int9"),
            ("int4:g3", "int4:g3"),
            ("int4@nose", "int4@nose"),
            ("prune=2", "prune=2"),
            ("vocab=en:5", "vocab=en:5"),
            ("int4,,int8", "expected"),
            ("drop=4@decoder", "no layer 4"),
            ("drop=0+1+2+3@decoder", "one must stay"),
            ("int4:gptq", "calibration audio"),
            ("int4:gptq,calibration=not-there", "no file or folder not-there"),
            ("calibration=", "expected calibration=PATH"),
            ("int4:awq:centred", "both scale inputs"),
            ("vocab=/no/such/text", "/no/such/text"),
            ("rate=9", "rate=9"),
            ("rate=3:asym", "rate=3:asym"),
            ("rate=3:gptq", "calibration audio"),
            ("rare=en:4000", "rare=en:4000"),
            ("rare=en:4000:2", "no codes"),
            ("int4@embedding,rare=en:4000:5", "rare tokens of 5 bits"),
        ):
            with self.subTest(spec=spec):
                done = sotto("shrink", "--spec", spec, "-o", self.dir / "x")
                self.check(done, 1, words)
                self.assertFalse((self.dir / "x").exists())

    def test_nothing_done(self) -> None:
        path, report = self.shrink("none")
        self.assertEqual(report["parameters"], FULL)
        self.assertEqual(self.words(path), self.words("tiny.en"))

    def test_bits_and_tokens(self) -> None:
        path, report = self.shrink("int4:g32,int8@conv,vocab=en:16000")
        embedding = next(t for t in report["tensors"] if "embeddings" in t["name"])
        self.assertEqual(embedding["parameters"], 384 * (16000 + 51864 - 50256))
        self.assertEqual(embedding["bits"], 4 * embedding["parameters"])
        self.assertLess(report["file_bytes"], 12.5e6)
        heard, full = self.words(path), self.words("tiny.en")
        self.assertGreaterEqual(len(set(heard) & set(full)), len(set(full)) - 2, heard)

    def test_fewer_bits_for_rare_tokens(self) -> None:
        """At a rate the file takes what the entropy of its codes says, and rare tokens' rows take less."""
        sizes, common = [], 9608 / 51864
        for spec, bits in (
            ("rate=4", 4),
            ("rate=4:centred,rare=en:8000:2.5", 2.5 + 1.5 * common),
            ("int5:g64:centred,rare=en:8000:3", 3 + 2 * common),
        ):
            with self.subTest(spec=spec):
                path, report = self.shrink(spec)
                embedding = next(t for t in report["tensors"] if "embeddings" in t["name"])
                self.assertAlmostEqual(embedding["bits"] / embedding["parameters"], bits, delta=0.15)
                self.assertLess(embedding["bytes"], 1.15 * embedding["bits"] / 8)
                sizes.append(embedding["bytes"])
                heard, full = self.words(path), self.words("tiny.en")
                self.assertGreaterEqual(len(set(heard) & set(full)), len(set(full)) - 2, heard)
        self.assertLess(sizes[1], 0.8 * sizes[0])

    def test_structure(self) -> None:
        path, report = self.shrink("drop=1@encoder,rank=0.9@encoder.mlp,ctx=1000,f16")
        shapes = {t["name"]: t["shape"] for t in report["tensors"]}
        self.assertNotIn("encoder/layer_3/ffn/linear_0/weight", shapes)
        rank = int(0.9 * 384 * 1536 / (384 + 1536))
        self.assertEqual(shapes["encoder/layer_2/ffn/linear_0/weight_a"], [rank, 384])
        self.assertEqual(shapes["encoder/layer_2/ffn/linear_0/weight"], [1536, rank])
        self.assertEqual(shapes["encoder/position_encodings/encodings"], [1000, 384])
        self.words(path)

    def test_what_audio_tells(self) -> None:
        if not JFK.exists():
            self.skipTest("needs the recordings in ../shared")
        audio = ("--calibration", JFK)
        path, report = self.shrink("heads=0.2@encoder,mlp=0.1,prune=0.2:wanda@decoder,int5:gptq:asym", *audio)
        heads = [t["shape"][1] // 64 for t in report["tensors"] if "encoder" in t["name"] and "attention/linear_1/weight" in t["name"]]
        self.assertEqual(sum(heads), 24 - 5)
        self.assertLess(report["nonzero"], report["parameters"])
        full = self.words("tiny.en")
        self.assertGreaterEqual(len(set(self.words(path)) & set(full)), len(set(full)) - 4)

    def test_shrunken_on_opening(self) -> None:
        """--shrink gives what `sotto shrink` writes, and leaves no file."""
        if not JFK.exists():
            self.skipTest("needs the recordings in ../shared")
        spec = "int3:g64,drop=1@decoder"
        path, _ = self.shrink(spec)
        want = sotto("transcribe", "--local", "--report", "--model", path, JFK)
        tmp = self.dir / "tmp"
        tmp.mkdir()
        done = sotto("transcribe", "--shrink", spec, "--report", JFK, TMPDIR=str(tmp))
        self.check(done, 0)
        self.assertEqual(done.stdout, want.stdout)
        total = [line for line in done.stderr.decode().splitlines() if line.split()[:1] == ["total"]]
        self.assertEqual(len(total), 1)
        self.assertIn(total[0].split()[1], want.stderr.decode().split())
        self.assertNotIn("37760256", total[0])
        self.assertEqual(list(tmp.iterdir()), [])
        done = sotto("transcribe", "--shrink", "int9", JFK)
        self.check(done, 1, "int9")
        done = sotto("transcribe", "--shrink", spec, "--server", "http://127.0.0.1:1", JFK)
        self.check(done, 2, "--shrink and --server exclude one another")

    def test_damage(self) -> None:
        path, _ = self.shrink("int4:g32,vocab=en:4000")
        whole = path.read_bytes()
        for at in (9, 30, len(whole) // 2, len(whole) - 5):
            with self.subTest(at=at):
                path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
                done = sotto("bench", "--model", path)
                self.check(done, 1, str(path))
        for size in (20, len(whole) // 3, len(whole) - 1):
            with self.subTest(size=size):
                path.write_bytes(whole[:size])
                self.check(sotto("bench", "--model", path), 1, str(path))
        path.write_bytes(whole)
        self.check(sotto("shrink", "--model", path, "-o", self.dir / "again"), 1, "shrunken already")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
