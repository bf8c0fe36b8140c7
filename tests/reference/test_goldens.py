#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The program against openai-whisper's committed goldens (see compare_goldens.py): real weights, real recordings.

SOTTO_BIN: folder of the binaries. Skipped (77) without numpy and soundfile, the fetched models or the recordings in ../shared.
"""

import os
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
MODELS = Path(os.environ.get("SOTTO_MODELS") or SOURCE / "models")
RECORDINGS = SOURCE.parent / "shared"
SKIPPED = 77


def compare(case: unittest.TestCase, model: str, *options: str) -> None:
    sotto = Path(os.environ["SOTTO_BIN"]) / "sotto"
    command = [sys.executable, str(HERE / "compare_goldens.py"), "--sotto", str(sotto), "--root", str(RECORDINGS)]
    done = subprocess.run(
        [*command, "--model", str(MODELS / model), *options], capture_output=True, text=True, check=False
    )
    print(done.stdout[-6000:], done.stderr[-2000:], sep="\n")
    case.assertEqual(done.returncode, 0, f"{model}: a bound of compare_goldens.py is broken (see above)")


# Enough to notice, few enough for every run: compare_goldens.py without --clips compares all of them (half an hour).
SHORT = ["audio/jfk.flac", "audio/nonspeech/silence-digital-5s.flac", "audio/nonspeech/tone-beep.flac"]
LONG = ["audio/two_cities.wav", "speech/long/ljspeech-LJ001-0001-0032.flac"]
LANGUAGES = ["speech/multi/fleurs_ja_1837_clip4.wav"]


class Goldens(unittest.TestCase):
    def test_tiny_en(self):
        compare(self, "tiny.en", "--clips", *SHORT, *LONG)

    def test_tiny_en_formats(self):
        compare(self, "tiny.en", "--formats", "--clips", *SHORT, LONG[0])

    def test_base(self):
        compare(self, "base", "--clips", *SHORT, LONG[0], *LANGUAGES)


def missing() -> str:
    try:
        import numpy  # noqa: F401
        import soundfile  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed"
    for folder in (RECORDINGS / "audio", MODELS / "tiny.en", MODELS / "base"):
        if not folder.is_dir():
            return f"{folder} is not there"
    return ""


if __name__ == "__main__":
    if missing():
        print(f"skipped: {missing()}")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
