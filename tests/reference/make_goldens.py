#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Golden data from openai-whisper: float32, CPU, the same weights as the C program loads.

    make_goldens.py --model models/tiny.en --root ../shared -o tests/reference/golden
    make_goldens.py --model models/base --root ../shared -o tests/reference/golden
    make_goldens.py --model models/tiny.en --root ../shared --audio audio/jfk.flac -o OUT

Needs openai-whisper, soundfile, soxr. Without ``--audio`` the clips are ``audio/*``,
``audio/nonspeech``, ``speech/long`` and, for a multilingual model, twelve of ``speech/multi``, all
below ``--root``.

Writes below OUT:

``mel<n_mels>.npz``
    per clip, key ``<path>``: float32 [k, n_mels], the content frames numbered in ``<path>#at``
    (int32 [k]) of the normalised log-mel of the whole file, padded with 30 s of silence as
    ``whisper.transcribe`` does; shared by models of equal n_mels
``<model>/encoder.npz``
    per chosen clip: float32 [30, D], encoder output of window 0 at every 50th of its 1500 positions
``<model>/golden.json``
    ``clips``: per clip the facts (rate, resampled, seconds, frames, mel statistics) and ``cases``:
    greedy, beam5, words, prompt, translate, hallucination; each has its ``options`` as given to
    ``whisper.transcribe`` and its segments; a word is [text, start, end, probability]

Cases that golden.json already holds with the same options are kept (delete it to start over); the
clips named are added to or replaced in what is there. Clips over 240 s are only decoded greedily.
All cases run at temperature 0 (a scalar, so no fallback) with every other default of
``whisper.transcribe``; timestamps are on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import whisper
from whisper.audio import HOP_LENGTH, N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim

import reference

ENCODER_STRIDE = 50
MEL_FRAMES_KEPT = 56
ENCODER_CLIPS = {
    "audio/jfk.flac",
    "audio/two_cities.wav",
    "audio/nonspeech/silence-digital-5s.flac",
    "audio/nonspeech/tone-beep.flac",
    "audio/nonspeech/white-noise-30s.flac",
    "speech/long/ljspeech-LJ001-0001-0032.flac",
    "speech/long/rosehill-v1.mp3",
    "speech/multi/fleurs-de-000.ogg",
    "speech/multi/fleurs_ja_1837_clip4.wav",
}
MULTI_CLIPS = [
    "speech/multi/fleurs-de-000.ogg",
    "speech/multi/fleurs-de-001.ogg",
    "speech/multi/fleurs-en-000.ogg",
    "speech/multi/fleurs-es-000.ogg",
    "speech/multi/fleurs-es-001.ogg",
    "speech/multi/fleurs-fr-000.ogg",
    "speech/multi/fleurs-fr-001.ogg",
    "speech/multi/fleurs-pt-000.ogg",
    "speech/multi/fleurs_ja_1837_clip4.wav",
    "speech/multi/fleurs_zh_1883_clip5.wav",
    "speech/multi/de-prose.mp3",
    "speech/multi/sonnet001-en.mp3",
]
PROMPTS = {
    "audio/jfk.flac": "John F. Kennedy, inaugural address, Washington.",
    "audio/two_cities.wav": "Charles Dickens: A TALE OF TWO CITIES.",
}
TRANSLATE_CLIPS = {"speech/multi/fleurs-de-000.ogg", "speech/multi/de-prose.mp3"}
HALLUCINATION_CLIPS = {"audio/two_cities.wav"}
LIMIT_SECONDS = 240  # longer clips: greedy only


def default_clips(root: Path, multilingual: bool) -> list[str]:
    """Paths relative to ``root``; jfk.wav is left out because jfk.flac is the same recording."""
    found = [
        *sorted(root.glob("audio/*")),
        *sorted(root.glob("audio/nonspeech/*")),
        *sorted(root.glob("speech/long/*")),
    ]
    sound = {".flac", ".wav", ".mp3", ".ogg"}
    clips = [str(p.relative_to(root)) for p in found if p.suffix in sound]
    clips = [c for c in clips if c != "audio/jfk.wav"]
    return clips + (MULTI_CLIPS if multilingual else [])


def number(value: float) -> float:
    """Seven significant digits: a float32's worth, and compact."""
    return float(f"{value:.7g}")


def pack_segment(segment: dict) -> dict:
    out = {key: segment[key] for key in ("seek", "text", "tokens")}
    for key in (
        "start",
        "end",
        "temperature",
        "avg_logprob",
        "compression_ratio",
        "no_speech_prob",
    ):
        out[key] = number(segment[key])
    if "words" in segment:
        out["words"] = [
            [w["word"], number(w["start"]), number(w["end"]), number(w["probability"])]
            for w in segment["words"]
        ]
    return out


def run_case(model, audio: np.ndarray, options: dict) -> dict:
    """One ``whisper.transcribe`` call at temperature 0; options are recorded as given."""
    started = time.monotonic()
    result = whisper.transcribe(model, audio, verbose=None, fp16=False, temperature=0.0, **options)
    return {
        "options": options,
        "language": result["language"],
        "text": result["text"],
        "segments": [pack_segment(s) for s in result["segments"]],
        "seconds": round(time.monotonic() - started, 2),
    }


def old_case(golden: dict, clip: str, name: str, options: dict) -> dict | None:
    """The case of an earlier run, when it was made with the same options."""
    case = golden.get("clips", {}).get(clip, {}).get("cases", {}).get(name)
    return case if case and case["options"] == options else None


def cases_of(clip: str, seconds: float, multilingual: bool) -> dict[str, dict]:
    base = {} if multilingual else {"language": "en"}
    cases = {"greedy": dict(base)}
    if seconds <= LIMIT_SECONDS:
        cases["beam5"] = {**base, "beam_size": 5}
        cases["words"] = {**base, "word_timestamps": True}
    if clip in PROMPTS:
        cases["prompt"] = {**base, "initial_prompt": PROMPTS[clip]}
    if clip in HALLUCINATION_CLIPS:
        cases["hallucination"] = {
            **base,
            "word_timestamps": True,
            "hallucination_silence_threshold": 2.0,
        }
    if multilingual and clip in TRANSLATE_CLIPS:
        cases["translate"] = {"task": "translate"}
    return cases


def mel_subset(mel: np.ndarray, content: int) -> np.ndarray:
    """Frame numbers to keep: every 37th, or an odd stride that leaves about MEL_FRAMES_KEPT."""
    stride = max(37, -(-content // MEL_FRAMES_KEPT)) | 1
    return np.arange(0, content, stride, dtype=np.int32)


@torch.no_grad()
def make_clip(model, clip: str, path: Path, old: dict):
    """(facts with cases, frame numbers, mel rows [k, n_mels], encoder rows [30, D] or None)"""
    audio, rate = reference.load_audio(path)
    mel = log_mel_spectrogram(torch.from_numpy(audio), model.dims.n_mels, padding=N_SAMPLES)
    content = mel.shape[-1] - N_FRAMES
    frames = mel[:, :content].T.contiguous().numpy()
    facts = {
        "rate": rate,
        "resampled": rate != reference.SAMPLE_RATE,
        "samples": len(audio),
        "seconds": round(len(audio) / reference.SAMPLE_RATE, 3),
        "frames": content,
        "mel_max": number(frames.max()) if content else None,
        "mel_mean": number(frames.mean(dtype=np.float64)) if content else None,
    }
    assert content == len(audio) // HOP_LENGTH, (clip, content, len(audio))
    window = pad_or_trim(mel[:, :content], N_FRAMES).unsqueeze(0)
    states = model.embed_audio(window)
    rows = states[0, ::ENCODER_STRIDE].numpy() if clip in ENCODER_CLIPS else None
    if model.is_multilingual:
        _, probs = model.detect_language(window)
        top = sorted(probs[0].items(), key=lambda item: -item[1])[:5]
        facts["language_probs"] = [[code, number(p)] for code, p in top]
    facts["cases"] = {}
    for name, options in cases_of(clip, facts["seconds"], model.is_multilingual).items():
        case = old_case(old, clip, name, options)
        if case is None:
            case = run_case(model, audio, options)
            print(f"{clip}: {name}: {case['seconds']} s", file=sys.stderr, flush=True)
        facts["cases"][name] = case
    at = mel_subset(frames, content)
    return facts, at, frames[at], rows


def load_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    with np.load(path) as arrays:
        return {key: arrays[key] for key in arrays.files}


def save_npz(path: Path, arrays: dict[str, np.ndarray]):
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays)
    os.replace(partial, path)


def save_json(path: Path, value: dict):
    """One line a case, so that a changed golden shows as a small diff."""
    clips = []
    for clip, facts in value["clips"].items():
        rest = {k: v for k, v in facts.items() if k != "cases"}
        cases = [f"   {json.dumps(k)}: {dump(v)}" for k, v in facts["cases"].items()]
        body = dump(rest)[:-1] + ', "cases": {\n' + ",\n".join(cases) + "\n  }}"
        clips.append(f"  {json.dumps(clip)}: {body}")
    head = dump({k: v for k, v in value.items() if k != "clips"})[:-1]
    text = head + ', "clips": {\n' + ",\n".join(clips) + "\n}}\n"
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def dump(value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--model", required=True, help="CTranslate2 directory, or .pt from convert.py"
    )
    parser.add_argument("--root", default="../shared", type=Path, help="folder the clips are below")
    parser.add_argument("--audio", nargs="+", metavar="FILE", help="clips, relative to --root")
    parser.add_argument("-o", "--out", required=True, type=Path, help="golden folder")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    model = reference.load_model(args.model, args.threads)
    name = Path(args.model).name.removesuffix(".pt")
    clips = args.audio or default_clips(args.root, model.is_multilingual)
    missing = [clip for clip in clips if not (args.root / clip).is_file()]
    if missing or not clips:
        print(
            f"make_goldens: not below {args.root}: {', '.join(missing) or 'any clip'}",
            file=sys.stderr,
        )
        return 1
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    mel_path = args.out / f"mel{model.dims.n_mels}.npz"
    old = {}
    if (folder / "golden.json").is_file():
        old = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    golden = {
        "model": name,
        "n_mels": model.dims.n_mels,
        "made_by": f"openai-whisper {version('openai-whisper')}, float32 CPU",
        "torch": version("torch"),
        "encoder_stride": ENCODER_STRIDE,
        "clips": dict(old.get("clips", {})),
    }
    mels, encoders = load_npz(mel_path), load_npz(folder / "encoder.npz")
    for clip in clips:
        facts, at, mel, rows = make_clip(model, clip, args.root / clip, old)
        golden["clips"][clip] = facts
        mels[clip], mels[f"{clip}#at"] = mel, at
        if rows is not None:
            encoders[clip] = rows
        save_json(folder / "golden.json", golden)
    save_npz(folder / "encoder.npz", encoders)
    save_npz(mel_path, mels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
