#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tables of src/score: characters as Python's unicodedata, re, str and the regex package see them, and
openai-whisper's British spellings.

    make_score_tables.py src/score

Writes characters.inc, kinds.inc, digits.inc, lower.inc, decompose.inc, decompose_pool.inc, compose.inc and
spellings.inc. Needs regex and
openai-whisper (its english.json; no torch). The committed tables are Python 3.11's, of Unicode 14; another Python may
know more characters.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from pathlib import Path

import regex
import score_lines

EVERY = [cp for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]  # no surrogates: they are not UTF-8
HANGUL = range(0xAC00, 0xD7A4)
BREAKS = "CR LF CONTROL EXTEND ZWJ RI PREPEND SPACINGMARK L V T LV LVT".split()
WIDTH = 118


UNICODE = (
    "MIT AND Unicode-DFS-2016",
    f" * Unicode {unicodedata.unidata_version} data; (c) 1991-2021 Unicode, Inc., see LICENSES",
)
WHISPER = (
    "MIT",
    " * From openai-whisper, whisper/normalizers/english.json; (c) 2022 OpenAI, MIT licence, see LICENSES",
)


def head(what: str, source: tuple) -> str:
    licence, origin = source
    return (
        f"/* SPDX-License-Identifier: {licence}\n * {what}\n{origin}.\n"
        " * Written by tests/reference/make_score_tables.py src/score. */\n"
        "/* clang-format off */\n"
    )


def write(folder: Path, name: str, what: str, items: list[str], source: tuple = UNICODE) -> None:
    """The items with commas between, packed into lines."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) + 1 > WIDTH:
            lines.append(line)
            line = ""
        line += item + ","
    lines.append(line)
    (folder / name).write_text(head(what, source) + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{name}: {len(items)} entries, {len(lines)} lines")


def sigma_class(c: str) -> str:
    """What the character is to str.lower(), which writes a capital sigma at the end of a word as U+03C2."""
    after_letter, alone = ("a" + c + "\u03a3").lower()[-1], (c + "\u03a3").lower()[-1]
    if alone == "\u03c2":
        return "CASED"
    return "IGNORABLE" if after_letter == "\u03c2" else ""


def breaks() -> dict[int, str]:
    text = "".join(map(chr, EVERY))
    found = {}
    for name in BREAKS:
        for c in regex.findall(rf"\p{{GCB={name}}}", text):
            found[ord(c)] = name
    for c in regex.findall(r"\p{ExtPict}", text):
        assert ord(c) not in found, c
        found[ord(c)] = "PICTURE"
    return found


def characters(folder: Path) -> None:
    """Ranges of characters with the same properties."""
    boundary, ranges, digits = breaks(), [], []
    for cp in EVERY:
        c = chr(cp)
        category = unicodedata.category(c)
        flags = []
        if category == "Mn":
            flags.append("MN")
        if category[0] in "MSP":
            flags.append("SYMBOL")
        if re.match(r"\w", c):
            flags.append("WORD")
        if re.match(r"\d", c):
            flags.append("DIGIT")
            if unicodedata.decimal(c) == 0:
                digits.append(cp)
            assert unicodedata.decimal(c) == (cp - digits[-1]) % 10  # the C code finds the value by this
        if re.match(r"\s", c):
            assert c.isspace()
            flags.append("SPACE")
        if sigma_class(c):
            flags.append(sigma_class(c))
        if unicodedata.combining(c):
            assert category[0] == "M"  # so that remove_symbols_and_diacritics needs no canonical order
        entry = ("|".join(flags) or "0", boundary.get(cp, "OTHER"), unicodedata.combining(c))
        if not ranges or ranges[-1][1] != entry or cp == 0xE000:
            ranges.append((cp, entry))
    kinds = sorted({entry for _, entry in ranges})
    assert len(kinds) <= 256
    names = {entry: str(i) for i, entry in enumerate(kinds)}
    write(folder, "characters.inc", "First character of a range, index of its properties in kinds.inc.",
          [f"{{{cp},{names[entry]}}}" for cp, entry in ranges])
    write(folder, "kinds.inc", "Properties: flags, grapheme cluster break, canonical combining class.",
          [f"{{{flags},GCB_{gcb},{ccc}}}" for flags, gcb, ccc in kinds])
    write(folder, "digits.inc", "The zero of each set of ten decimal digits.",
          [str(cp) for cp in digits])


def lower(folder: Path) -> None:
    """Runs of characters whose lower case is as far away, 1 or 2 apart. Only U+0130 has a lower case of two."""
    runs = []
    for cp in EVERY:
        to = chr(cp).lower()
        if to == chr(cp) or cp == 0x130:
            continue
        assert len(to) == 1
        delta = ord(to) - cp
        if runs:
            first, last, d, step = runs[-1]
            if d == delta and (cp - last == step or (first == last and cp - last <= 2)):
                runs[-1] = (first, cp, d, cp - last)
                continue
        runs.append((cp, cp, delta, 1))
    write(folder, "lower.inc", "First and last character of a run, what to add for the lower case, step.",
          [f"{{{a},{b},{d},{s}}}" for a, b, d, s in runs])


def decompositions(folder: Path) -> None:
    index, pool = [], []
    for cp in EVERY:
        full = unicodedata.normalize("NFKD", chr(cp))
        if full != chr(cp) and cp not in HANGUL:
            index.append(f"{{{cp},{len(pool)}}}")
            pool += map(ord, full)
    assert len(pool) < 1 << 16
    index.append(f"{{{0x110000},{len(pool)}}}")
    write(folder, "decompose.inc", "Character, where its NFKD begins in decompose_pool.inc.", index)
    write(folder, "decompose_pool.inc", "The decompositions of decompose.inc, one after another.",
          [str(c) for c in pool])


def compositions(folder: Path) -> None:
    pairs = []
    for cp in EVERY:
        parts = unicodedata.decomposition(chr(cp)).split()
        if len(parts) == 2 and not parts[0].startswith("<") and cp not in HANGUL:
            if unicodedata.normalize("NFC", chr(cp)) == chr(cp):  # not a composition exclusion
                pairs.append((int(parts[0], 16), int(parts[1], 16), cp))
    write(folder, "compose.inc", "Two characters, sorted, and the one that NFC makes of them; Hangul is computed.",
          [f"{{{a},{b},{c}}}" for a, b, c in sorted(pairs)])


def spellings(folder: Path) -> None:
    path = score_lines.normalizers_folder() / "english.json"
    pairs = json.loads(path.read_text(encoding="utf-8"))
    # A key with a blank in it can never be a word of a line.
    kept = sorted((a, b) for a, b in pairs.items() if not re.search(r"\s", a))
    assert all(re.fullmatch(r"[ -~]{1,23}", w) and '"' not in w for pair in kept for w in pair)
    write(folder, "spellings.inc",
          "British and American spelling, sorted.", [f'{{"{a}","{b}"}}' for a, b in kept], WHISPER)


def main() -> int:
    folder = Path(sys.argv[1])
    for part in (characters, lower, decompositions, compositions, spellings):
        part(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
