# SPDX-License-Identifier: MIT
"""openai-whisper on the same weights, and audio as it must be fed: shared by goldens and WER.

In: a CTranslate2 directory (or a checkpoint made by ``convert.py --to pt``) and recordings.
Out: a float32 CPU ``whisper.model.Whisper`` with its alignment heads, and float32 mono samples at
16 kHz. No ffmpeg: libsndfile decodes, channels are averaged, libsoxr HQ resamples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from whisper.model import ModelDimensions, Whisper

import weights

SAMPLE_RATE = 16000


def load_audio(path) -> tuple[np.ndarray, int]:
    """(samples [n] float32 at 16 kHz, rate of the file before resampling)."""
    samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32), rate


def load_model(path, threads: int = 2) -> Whisper:
    """openai-whisper in float32 on the CPU, from a CTranslate2 directory or a .pt checkpoint."""
    torch.set_num_threads(threads)
    path = Path(path)
    if path.is_dir():
        dims, tensors, config = weights.load(path)
        state = {name: torch.from_numpy(np.array(a)) for name, a in tensors.items()}
        heads = config.get("alignment_heads")
    else:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        dims, state = checkpoint["dims"], checkpoint["model_state_dict"]
        heads = checkpoint.get("alignment_heads")
    model = Whisper(ModelDimensions(**dims))
    model.load_state_dict(state)
    if heads:
        mask = torch.zeros(dims["n_text_layer"], dims["n_text_head"], dtype=torch.bool)
        for layer, head in heads:
            mask[layer, head] = True
        model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    return model.eval()
