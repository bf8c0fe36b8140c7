#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom: the arrows of docs/ARCHITECTURE.md, read from the #include lines of the tree.

base <- nn <- {audio, model} <- text <- {report, out} <- sotto.c <- sotto.h <- {server, client}, and base <- token <-
model: an open model owns its tokenizer; {nn, model} <- vad <- {live, sotto.c}, text <- live. What looks another way is listed in EXTRA with
its reason; an entry that no file needs any more fails too.
"""

import os
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("SOTTO_SOURCE") or Path(__file__).resolve().parents[2])

# Room -> rooms whose headers it may include (its own always). "sotto" is src/sotto.c, "api" is include/sotto.h.
ARROWS = {
    "base": {"api"},
    "nn": {"api", "base"},
    "audio": {"api", "base", "nn"},
    "token": {"api", "base"},
    "model": {"api", "base", "nn", "token"},
    "text": {"api", "base", "nn", "audio", "token", "model"},
    "vad": {"api", "base", "nn", "model"},
    "live": {"api", "base", "audio", "model", "text", "token", "vad"},
    "shrink": {"api", "base", "nn", "token", "model"},
    "report": {"api", "base", "nn", "token", "model"},
    "out": {"api", "base", "token", "report"},
    "score": {"api", "base", "token"},
    "sotto": {"api", "base", "nn", "audio", "token", "model", "text", "vad", "report", "out"},
    "common": {"api"},
    "server": {"api", "common"},
    "client": {"api", "common"},
}

# (file, header): why this one arrow is drawn all the same.
EXTRA = {
    ("src/model/model.c", "audio/features.h"): "the model owns the mel filters that features are made with",
    ("src/model/encoder.c", "audio/features.h"): "frames of a window, its input's length",
}

# Header of a library -> the only file that includes it, or the only ones.
ONLY = {
    r"cblas\.h": "src/nn/gemm.c",
    r"xxhash\.h": "src/model/cache.c",
    r"sndfile\.h": "src/audio/decode_sndfile.c",
    r"soxr\.h": "src/audio/resample.c",
    r"lib(av\w+|swresample)/.*": "src/audio/decode_ffmpeg.c",
    r"microhttpd\.h": "server/http.c",
    r"gnutls/.*": "server/tls.c",
    r"wslay/.*": "common/websocket.c",
    r"nettle/.*": "common/websocket_key.c",
    r"portaudio\.h": "client/mic.c",
    r"curl/.*": "client/remote.c",
    r"hiredis/.*": "server/redis.c",
    r"sqlite3\.h": ("client/study/sql.c", "server/jobs_store.c"),  # one of each program
}

LONGEST = 800  # lines; longer files are split along the path of the data

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources():
    """Every C file of the project by its path from the root."""
    for folder in ("include", "src", "common", "server", "client", "tools", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".c", ".h", ".inc", ".def") and path.is_file():
                yield path.relative_to(ROOT).as_posix()


def room(name):
    parts = name.split("/")
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "sotto"
    return "api" if parts[0] == "include" else parts[0]


def resolve(name, header):
    """The file of the project that ``#include "header"`` in ``name`` means, or None."""
    beside = (ROOT / name).parent / header
    for path in (beside, *(ROOT / folder / header for folder in ("src", "common", "client", "include"))):
        if path.is_file():
            return path.resolve().relative_to(ROOT.resolve()).as_posix()
    return None


def includes(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)  # examples in comments are not includes
    return INCLUDE.findall(text)


class Arrows(unittest.TestCase):
    def test_rooms_include_only_what_the_arrows_allow(self):
        wrong, used, looked = [], set(), 0
        for name in sources():
            if room(name) not in ARROWS:
                continue
            for quote, header in includes(name):
                target = resolve(name, header)
                if target is None:
                    if quote == '"':
                        wrong.append(f'{name} includes "{header}", which is no file of the project')
                    continue
                looked += 1
                if (name, header) in EXTRA:
                    used.add((name, header))
                elif room(target) != room(name) and room(target) not in ARROWS[room(name)]:
                    wrong.append(f"{name} ({room(name)}) includes {target} ({room(target)})")
        wrong += [f"EXTRA allows {pair}, which nothing needs" for pair in EXTRA if pair not in used]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))
        self.assertGreater(looked, 50, "includes of the project's own headers")

    def test_each_library_is_known_to_one_file(self):
        wrong, seen = [], set()
        for name in sources():
            if room(name) == "tests":
                continue
            for _, header in includes(name):
                for pattern, owner in ONLY.items():
                    if not re.fullmatch(pattern, header):
                        continue
                    seen.add(pattern)
                    if name != owner and name not in owner:
                        wrong.append(f"{name} includes <{header}>, which only {owner} may")
        wrong += [f"no file includes {pattern}, {ONLY[pattern]} should" for pattern in ONLY if pattern not in seen]
        self.assertFalse(wrong, "\n" + "\n".join(wrong))

    def test_lapack_is_known_to_one_file(self):
        """It has no header here: its Fortran names are what to look for."""
        fortran = re.compile(r"\b[sd](?:po|ge|sy|tr|or)[a-z]{2,5}_\(")
        users = [n for n in sources() if fortran.search((ROOT / n).read_text("utf-8"))]
        self.assertEqual(users, ["src/shrink/lapack.c"])

    def test_public_header_includes_only_the_three_standard_headers(self):
        self.assertEqual(
            sorted(header for _, header in includes("include/sotto.h")), ["stdbool.h", "stddef.h", "stdint.h"]
        )

    def test_no_file_is_too_long(self):
        long = []
        for name in sources():
            lines = (ROOT / name).read_text(encoding="utf-8").count("\n")
            if lines > LONGEST:
                long.append(f"{name}: {lines} lines")
        self.assertFalse(long, f"\nlonger than {LONGEST} lines:\n" + "\n".join(long))

    def test_every_source_names_its_licence(self):
        bare = [n for n in sources() if "SPDX-License-Identifier: MIT" not in (ROOT / n).read_text("utf-8")[:300]]
        self.assertFalse(bare, "\nno SPDX line:\n" + "\n".join(bare))


if __name__ == "__main__":
    sys.exit(unittest.main())
