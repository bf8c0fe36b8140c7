#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Convert a CTranslate2 Whisper directory to another format, losslessly.

    convert.py --to pt models/tiny.en out/tiny.en.pt           openai-whisper (needs torch)
    convert.py --to ggml models/tiny.en out/ggml-tiny.en.bin   whisper.cpp file
    convert.py --to hf models/tiny.en out/tiny.en-hf           Hugging Face directory

``--f32`` widens every tensor to float32 (same values). numpy is the only requirement besides torch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import weights
import writers


def convert(source, target, kind: str, f32: bool = False):
    """Write ``source`` (CTranslate2 directory) to ``target`` as ``kind``: pt, ggml or hf."""
    source, target = Path(source), Path(target)
    dims, tensors, config = weights.load(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pt":
        heads = config.get("alignment_heads")
        writers.write_pt(target, dims, tensors.items(), f32, heads)
    elif kind == "ggml":
        tokens = weights.base_tokens(source, weights.n_base_tokens(dims["n_vocab"]))
        writers.write_ggml(target, dims, tensors.items(), tokens, f32)
    elif kind == "hf":
        named = [(n, a.shape, a.dtype, lambda a=a: a) for n, a in tensors.items()]
        tokenizer = source / "tokenizer.json"
        if not tokenizer.is_file():
            raise weights.FormatError(f"{source}: tokenizer.json is needed for Hugging Face")
        writers.write_hf(target, dims, named, config, tokenizer.read_bytes(), f32)
    else:
        raise ValueError(f"unknown format {kind}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--to", required=True, choices=["pt", "ggml", "hf"])
    parser.add_argument("--f32", action="store_true", help="widen every tensor to float32")
    parser.add_argument("source", help="CTranslate2 directory")
    parser.add_argument("target", help="file (pt, ggml) or directory (hf) to write")
    args = parser.parse_args()
    try:
        convert(args.source, args.target, args.to, args.f32)
    except (weights.FormatError, OSError, KeyError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
