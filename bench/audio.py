# SPDX-License-Identifier: MIT
"""The recordings of bench/compare: those of ../shared (or $SOTTO_SHARED), and long ones joined from them.

Joined recordings are made once into build/bench-audio as 16 kHz FLAC with their reference text beside them: recordings
in a shuffled but fixed order, 0.4 to 1.2 s of the room tone of the last one between two of them.
"""

import csv
import os
import random
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from peers import BUILD, ROOT, say

RATE = 16000
FOLDER = BUILD / "bench-audio"
SOUND = {".flac", ".wav", ".mp3", ".ogg", ".opus", ".m4a"}
# The opening of A Tale of Two Cities, as far as two_cities.wav reads it.
TWO_CITIES = """It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of
foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of light, it was the season
of darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing
before us, we were all going direct to heaven, we were all going direct the other way. In short, the period was so far
like the present period that some of its noisiest authorities insisted on its being received, for good or for evil, in
the superlative degree of comparison only."""


@dataclass(frozen=True)
class Clip:
    path: Path
    seconds: float
    reference: str = ""

    @property
    def name(self):
        return self.path.name


def shared():
    return Path(os.environ.get("SOTTO_SHARED") or ROOT.parent / "shared")


def seconds_of(path):
    import soundfile

    return soundfile.info(path).duration


def clip_of(path):
    return Clip(path, seconds_of(path), TWO_CITIES if path.name == "two_cities.wav" else "")


def samples(path):
    """Mono at 16 kHz."""
    from faster_whisper.audio import decode_audio

    return decode_audio(str(path))


def sample_clips():
    """jfk.flac and two_cities.wav where they are, else the sample that the README uses."""
    found = [shared() / "audio" / name for name in ("jfk.flac", "two_cities.wav")]
    found = [path for path in found if path.is_file()]
    if not found:
        done = subprocess.run([ROOT / "tools" / "sample"], check=True, capture_output=True, text=True)
        found = [Path(done.stdout.strip())]
    return [clip_of(path) for path in found]


def labelled(folder):
    """Recordings of a folder with refs.tsv, in the order of their names."""
    refs = shared() / "speech" / folder / "refs.tsv"
    if not refs.is_file():
        return []
    by_stem = {path.stem: path for path in refs.parent.iterdir() if path.suffix in SOUND}
    with refs.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [Clip(by_stem[row[0]], float(row[2]), row[3]) for row in rows]


def short_clips(count):
    """So many recordings of 3 to 15 s, evenly spread in duration; the same ones every time."""
    near = sorted((clip for clip in labelled("dev") if 3 <= clip.seconds <= 15), key=lambda c: (c.seconds, c.name))
    wanted = [3 + (15 - 3) * (i + 0.5) / count for i in range(count)]
    return [min(near, key=lambda clip: abs(clip.seconds - want)) for want in wanted] if near else []


def tone(speech, length, rng):
    """Noise as loud as the quietest tenth of a recording."""
    import numpy as np

    frames = speech[: len(speech) // 800 * 800].reshape(-1, 800)
    loud = np.sort(np.sqrt((frames**2).mean(axis=1)))
    return rng.normal(0, float(loud[len(loud) // 10]) if len(loud) else 0.0, length).astype(np.float32)


def joined(seconds):
    """A recording of so many seconds, up to one recording more; None without ../shared."""
    import numpy as np
    import soundfile

    path, text = FOLDER / f"joined-{seconds}.flac", FOLDER / f"joined-{seconds}.txt"
    if not text.is_file():
        pool = labelled("dev")
        if not pool:
            return None
        if seconds > 1200:
            pool += labelled("long")
        say(f"joining {seconds} s of speech into build/bench-audio/{path.name}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        order, noise = random.Random(seconds), np.random.default_rng(seconds)
        words, written, rest = [], 0, []
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as out:
            while written < seconds * RATE:
                if not rest:
                    rest = list(pool)
                    order.shuffle(rest)
                clip = rest.pop()
                speech = samples(clip.path)
                pause = tone(speech, int(order.uniform(0.4, 1.2) * RATE), noise)
                out.write(np.concatenate([speech, pause]))
                written += len(speech) + len(pause)
                words.append(clip.reference)
        text.write_text("\n".join(words) + "\n", encoding="utf-8")
    return Clip(path, seconds_of(path), " ".join(text.read_text(encoding="utf-8").split()))


def cut(seconds):
    """Exactly so many seconds of speech, for figures that need no reference."""
    import numpy as np
    import soundfile

    path = FOLDER / f"cut-{seconds}.flac"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        source = joined(max(60, seconds + 20)) or max(sample_clips(), key=lambda clip: clip.seconds)
        sound = samples(source.path)
        while len(sound) < seconds * RATE:
            sound = np.concatenate([sound, sound])
        soundfile.write(path, sound[: seconds * RATE], RATE, subtype="PCM_16")
    return Clip(path, seconds_of(path))


def label(seconds):
    """10 s, 1 min, 3 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def plain(text):
    """Words alone, for counting where two transcripts differ."""
    return re.sub(r"[^a-z' ]+", " ", text.lower().replace("-", " ")).split()
