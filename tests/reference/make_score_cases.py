#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What openai-whisper's normalisers answer on awkward lines, for machines without Python packages.

    make_score_cases.py > tests/unit/data/score.json

A row: the line, then the answers of english, basic, plain, split and plain-split (see tools/score.c). Needs
openai-whisper (no torch), more_itertools and regex.
"""

import json
import sys

import score_lines

KINDS = ("english", "basic", "plain", "split", "plain-split")


def main() -> int:
    python = score_lines.normalisers()
    lines = [line for line in score_lines.awkward() if len(line) < 500] + score_lines.composed(200, 11)
    rows = [json.dumps([line, *(python[kind](line) for kind in KINDS)]) for line in lines]
    print("[\n" + ",\n".join(rows) + "\n]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
