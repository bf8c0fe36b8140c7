#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Golden data from the silero-vad package for tests/unit/test_vad.c.

    make_vad_goldens.py --weights models/silero-vad/silero_vad_16k.safetensors --root ../shared \\
        -o tests/reference/golden/vad

Needs silero-vad 6.2.3 with torch, numpy, soundfile, soxr. The package's TorchScript model runs with the
weights of the safetensors file: the two hold different weights of one network.

Writes below OUT:

``probabilities.txt``
    per signal a line ``signal NAME SAMPLES CHUNKS`` and CHUNKS probabilities; ``synthetic`` is made by
    ``synthetic()`` here and in the C test, the others are recordings below ``--root``
``spans.txt``
    per case a line ``case SEED CHUNKS SAMPLES THRESHOLD NEG_THRESHOLD MIN_SPEECH_MS MAX_SPEECH_S MIN_SILENCE_MS
    PAD_MS MIN_SILENCE_AT_MAX_MS USE_LONGEST SPANS`` and SPANS pairs ``start end`` in samples, from
    ``get_speech_timestamps_from_probs`` over ``random_probabilities(SEED, CHUNKS)``
"""

import argparse
import json
import math
import random
import struct
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from silero_vad import load_silero_vad
from silero_vad.utils_vad import get_speech_timestamps_from_probs

RATE, CHUNK = 16000, 512
CLIPS = ["audio/jfk.flac"]
SYNTHETIC_SAMPLES = 319000

# Name in the safetensors file -> name in the TorchScript model, below "_model.".
NAMES = {
    "stft_conv.weight": "stft.forward_basis_buffer",
    **{f"conv{i + 1}.{p}": f"encoder.{i}.reparam_conv.{p}" for i in range(4) for p in ("weight", "bias")},
    **{f"lstm_cell.{p}": f"decoder.rnn.{p}" for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    "final_conv.weight": "decoder.decoder.2.weight",
    "final_conv.bias": "decoder.decoder.2.bias",
}


class Random:
    """Uniform in -1 … 1: signal_random() of tests/support/sound.h."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state - 2**64 if self.state >= 2**63 else self.state) / 9223372036854775808.0


def load_model(weights):
    data = weights.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    model = load_silero_vad()
    state = model.state_dict()
    for name, other in NAMES.items():
        begin, end = header[name]["data_offsets"]
        values = np.frombuffer(data[8 + n + begin : 8 + n + end], dtype=np.float32)
        state[f"_model.{other}"].copy_(torch.from_numpy(values.copy()).reshape(header[name]["shape"]))
    return model


def synthetic():
    """Voiced syllables with moving formants for 3 s of every 5, noise bursts between them, a chirp at the end."""
    t = np.arange(SYNTHETIC_SAMPLES) / RATE
    turn = 2 * math.pi * t
    f0 = 120 + 30 * np.sin(0.4 * turn)
    phase = 120 * turn - 75 * np.cos(0.4 * turn)
    formants = 500 + 200 * np.sin(1.3 * turn), 1500 + 400 * np.sin(0.9 * turn), 2500.0
    voice = np.zeros_like(t)
    for h in range(1, 31):
        level = sum(np.exp(-(((h * f0 - f) / 150) ** 2)) for f in formants)
        voice += level * np.sin(h * phase)
    syllable = np.maximum(0.0, np.sin(3 * turn))
    speaking = np.fmod(t, 5.0) < 3.0
    burst = (np.fmod(t, 5.0) >= 3.5) & (np.fmod(t, 5.0) < 3.75)
    chirp = np.where(t >= 18.0, 0.3 * np.sin(2 * math.pi * 400 * (t - 18.0) * (t - 18.0)), 0.0)
    rng = Random(7)
    noise = np.array([rng() for _ in t])
    return (0.1 * voice * syllable * speaking + (0.002 + 0.2 * burst) * noise + chirp).astype(np.float32)


def recording(path):
    samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    mono = samples.mean(axis=1, dtype=np.float32)
    return mono if rate == RATE else soxr.resample(mono, rate, RATE, quality="HQ")


@torch.no_grad()
def probabilities(model, samples):
    x = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    x = torch.nn.functional.pad(x, (0, -len(x) % CHUNK))
    model.reset_states()
    return [model(x[i : i + CHUNK], RATE).item() for i in range(0, len(x), CHUNK)]


def random_probabilities(seed, n):
    """Stretches of up to 60 chunks around low, middling or high levels, as float32."""
    rng, left, base, width, out = Random(seed), 0, 0.0, 0.0, []
    for _ in range(n):
        if left == 0:
            left = 1 + int((rng() + 1) * 0.5 * (60 if rng() > 0 else 6))
            kind = rng()
            base, width = (0.0, 0.3) if kind < -0.3 else (0.3, 0.3) if kind < 0.0 else (0.5, 0.5)
        left -= 1
        out.append(float(np.float32(base + width * (rng() + 1) * 0.5)))
    return out


def span_cases():
    pick = random.Random(1)
    for seed in range(1, 121):
        n = pick.choice([0, 1, 40, 200, 400, 800])
        yield seed, n, {
            "samples": max(0, n * CHUNK - pick.choice([0, 1, 300, 511])),
            "threshold": pick.choice([0.5, 0.5, 0.35, 0.7]),
            "neg_threshold": pick.choice([None, None, 0.2, 0.45]),
            "min_speech_duration_ms": pick.choice([250, 250, 0, 1000]),
            "max_speech_duration_s": pick.choice([math.inf, 30, 5, 5, 2.5, 0.3]),
            "min_silence_duration_ms": pick.choice([100, 100, 0, 300, 2000]),
            "speech_pad_ms": pick.choice([30, 30, 0, 400, 33]),
            "min_silence_at_max_speech": pick.choice([98, 98, 0, 300]),
            "use_max_poss_sil_at_max_speech": pick.choice([True, True, False]),
        }


def main():
    parser = argparse.ArgumentParser(description="Golden data for the voice detector.")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--root", type=Path, default=Path("../shared"), help="folder the clips are below")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    model = load_model(args.weights)
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "probabilities.txt").open("w") as file:
        for name, samples in [("synthetic", synthetic())] + [(c, recording(args.root / c)) for c in CLIPS]:
            found = probabilities(model, samples)
            file.write(f"signal {name} {len(samples)} {len(found)}\n")
            for i in range(0, len(found), 10):
                file.write(" ".join(f"{p:.6f}" for p in found[i : i + 10]) + "\n")
    with (args.out / "spans.txt").open("w") as file:
        for seed, n, o in span_cases():
            samples = o.pop("samples")
            spans = get_speech_timestamps_from_probs(
                random_probabilities(seed, n), audio_length_samples=samples, **o
            )
            facts = [math.nan if v is None else int(v) if isinstance(v, bool) else v for v in o.values()]
            threshold, neg, speech, longest, silence, pad, at_max, use = facts
            line = [seed, n, samples, threshold, neg, speech, longest, silence, pad, at_max, use, len(spans)]
            file.write("case " + " ".join(map(str, line)) + "\n")
            for s in spans:
                file.write(f"{s['start']} {s['end']}\n")


if __name__ == "__main__":
    main()
