#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a Whisper model of any shape with seeded random weights, for loader and shape tests.

    random_model.py --dims micro --to ggml OUT.bin
    random_model.py --dims large-v3-turbo --to hf OUTDIR
    random_model.py --dims n_state=128,n_layer=2,n_vocab=51866,n_mels=128 --to ct2 OUTDIR

``--dims`` is a preset (micro, micro.en, tiny.en, tiny, base, small, medium, large-v2, large-v3,
large-v3-turbo), or key=value pairs on top of micro: the ten ModelDimensions fields, or n_state,
n_layer, n_ctx for both sides; heads follow from a head width of 64.
``--to`` is ct2, ggml, hf or pt (pt needs torch).

Values are float16, uniform in +-1/sqrt(fan in), so activations stay finite; norm weights are 1,
and the encoder positions are Whisper's sinusoids. Each tensor starts at its own place (by its
name) in a seeded pool: the formats hold the same numbers, writing is as fast as the disk, and one
tensor is in memory at a time (pt excepted). The vocabulary is made
up: 256 bytes, then distinct byte strings, and the real special tokens at their real ids.
"""

from __future__ import annotations

import argparse
import functools
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

import weights
import writers

POOL = 1048573


def _dims(n_mels, n_vocab, state, audio_layers, text_layers):
    return {
        "n_mels": n_mels,
        "n_audio_ctx": 1500,
        "n_audio_state": state,
        "n_audio_head": state // 64,
        "n_audio_layer": audio_layers,
        "n_vocab": n_vocab,
        "n_text_ctx": 448,
        "n_text_state": state,
        "n_text_head": state // 64,
        "n_text_layer": text_layers,
    }


PRESETS = {
    "micro": _dims(80, 51865, 64, 1, 1),
    "micro.en": _dims(80, 51864, 64, 1, 1),
    "tiny.en": _dims(80, 51864, 384, 4, 4),
    "tiny": _dims(80, 51865, 384, 4, 4),
    "base": _dims(80, 51865, 512, 6, 6),
    "small": _dims(80, 51865, 768, 12, 12),
    "medium": _dims(80, 51865, 1024, 24, 24),
    "large-v2": _dims(80, 51865, 1280, 32, 32),
    "large-v3": _dims(128, 51866, 1280, 32, 32),
    "large-v3-turbo": _dims(128, 51866, 1280, 32, 4),
}
BOTH = {
    "n_state": ("n_audio_state", "n_text_state"),
    "n_layer": ("n_audio_layer", "n_text_layer"),
}


def parse_dims(text: str) -> dict[str, int]:
    """A preset's name or key=value pairs -> the ten dimensions, checked."""
    if text in PRESETS:
        return dict(PRESETS[text])
    dims = dict(PRESETS["micro"])
    for pair in text.split(","):
        key, _, value = pair.partition("=")
        if not value.isdigit() or int(value) == 0:
            raise ValueError(f"{pair!r} is neither a preset nor key=positive number")
        for field in BOTH.get(key, (key,)):
            if field not in dims:
                raise ValueError(f"no dimension named {key}")
            dims[field] = int(value)
    for side in ("audio", "text"):
        if dims[f"n_{side}_state"] % 64:
            raise ValueError(f"n_{side}_state must be a multiple of the head width, 64")
        dims[f"n_{side}_head"] = dims[f"n_{side}_state"] // 64
    if dims["n_audio_state"] != dims["n_text_state"]:
        raise ValueError("n_audio_state and n_text_state must be equal (cross-attention)")
    if dims["n_vocab"] < 51864:
        raise ValueError("n_vocab below 51864 leaves no room for the special tokens")
    return dims


def sinusoids(length: int, channels: int) -> np.ndarray:
    """[length, channels] float16: Whisper's fixed encoder positions."""
    half = channels // 2
    rates = np.exp(-np.log(10000) / (half - 1) * np.arange(half))
    angles = np.arange(length)[:, None] * rates[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float16)


def make_tensor(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """float16 array of ``shape``; the same for the same name and seed whatever the format."""
    if name == "encoder.positional_embedding":
        return sinusoids(*shape)
    if name.endswith("_ln.weight") or name in ("encoder.ln_post.weight", "decoder.ln.weight"):
        return np.ones(shape, np.float16)
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else shape[0]
    pool = _pool(seed, fan_in)
    size = int(np.prod(shape))
    start = zlib.crc32(name.encode()) % POOL
    return np.tile(pool, -(-(start + size) // POOL))[start : start + size].reshape(shape)


@functools.lru_cache(maxsize=8)
def _pool(seed: int, fan_in: int) -> np.ndarray:
    """[POOL] float16 drawn once; a prime length keeps the rows of a matrix different."""
    values = np.random.default_rng(seed).random(POOL, dtype=np.float32)
    return ((values - 0.5) * (2 / np.sqrt(fan_in))).astype(np.float16)


def make_tokens(n_base: int) -> list[bytes]:
    """n_base distinct byte strings: every byte, then three-letter strings behind a blank."""
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    out = [bytes([b]) for b in range(256)]
    n = 0
    while len(out) < n_base:
        digits, left = [], n
        for _ in range(3):
            digits.append(letters[left % len(letters)])
            left //= len(letters)
        out.append(b" " + bytes(digits))
        n += 1
    return out[:n_base]


def special_tokens(n_vocab: int) -> list[str]:
    """The tokens after the base ones, in openai-whisper's order, up to n_vocab."""
    multilingual = n_vocab >= 51865
    languages = weights.LANGUAGES[: n_vocab - 51765 - int(multilingual)]
    out = ["<|endoftext|>", "<|startoftranscript|>"]
    out += [f"<|{code}|>" for code in languages]
    out += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    out += ["<|nospeech|>", "<|notimestamps|>"]
    out += [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    return out


def printable(token: bytes) -> str:
    back = {value: key for key, value in weights.byte_decoder().items()}
    return "".join(back[b] for b in token)


def tokenizer_json(n_vocab: int) -> dict:
    """A ``tokenizer.json`` (byte-level BPE without merges) that holds the made-up vocabulary."""
    n_base = weights.n_base_tokens(n_vocab)
    base = {printable(token): i for i, token in enumerate(make_tokens(n_base))}
    added = [
        {
            "id": n_base + i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, text in enumerate(special_tokens(n_vocab))
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": base, "merges": []},
    }


def ct2_config(dims: dict[str, int]) -> dict:
    n_base = weights.n_base_tokens(dims["n_vocab"])
    languages = dims["n_vocab"] - 51765 - int(n_base == 50257)
    half = dims["n_text_layer"] // 2
    heads = [[i, h] for i in range(half, dims["n_text_layer"]) for h in range(dims["n_text_head"])]
    return {
        "alignment_heads": heads,
        "lang_ids": list(range(n_base + 2, n_base + 2 + languages)),
        "suppress_ids": [1, 2, 7],
        "suppress_ids_begin": [220, n_base],
    }


def write_ct2(folder: Path, dims: dict[str, int], make) -> None:
    """CTranslate2 directory: model.bin (v6), config.json, vocabulary.json, tokenizer.json.

    ``make(name)`` returns a tensor by its openai-whisper name.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def rows(pairs):  # stacked projections; the key bias that Whisper lacks is zero here
        return lambda: np.concatenate([make(n) if n else np.zeros(size, "f2") for n, size in pairs])

    table: list[tuple[str, tuple[int, ...], object, int]] = []  # name, shape, maker, dtype code

    def put(name, shape, maker, code=4):
        table.append((name, shape, maker, code))

    def scalar(name, value, dtype, code):
        put(name, (), lambda: np.array(value, dtype), code)

    def norm(dst, src, width):
        put(f"{dst}/beta", (width,), lambda: make(f"{src}.bias"))
        put(f"{dst}/gamma", (width,), lambda: make(f"{src}.weight"))

    def linear(dst, sources, out_each, cols):
        count = len(sources)
        keyless = [(None if s.endswith(".key") else f"{s}.bias", out_each) for s in sources]
        put(f"{dst}/bias", (count * out_each,), rows(keyless))
        full = [(f"{s}.weight", 0) for s in sources]
        put(f"{dst}/weight", (count * out_each, cols), rows(full))

    def block(dst, src, width, cross):
        norm(f"{dst}/self_attention/layer_norm", f"{src}.attn_ln", width)
        parts = [f"{src}.attn.{p}" for p in ("query", "key", "value")]
        linear(f"{dst}/self_attention/linear_0", parts, width, width)
        linear(f"{dst}/self_attention/linear_1", [f"{src}.attn.out"], width, width)
        if cross:
            norm(f"{dst}/attention/layer_norm", f"{src}.cross_attn_ln", width)
            linear(f"{dst}/attention/linear_0", [f"{src}.cross_attn.query"], width, width)
            parts = [f"{src}.cross_attn.{p}" for p in ("key", "value")]
            linear(f"{dst}/attention/linear_1", parts, width, width)
            linear(f"{dst}/attention/linear_2", [f"{src}.cross_attn.out"], width, width)
        norm(f"{dst}/ffn/layer_norm", f"{src}.mlp_ln", width)
        linear(f"{dst}/ffn/linear_0", [f"{src}.mlp.0"], 4 * width, width)
        linear(f"{dst}/ffn/linear_1", [f"{src}.mlp.2"], width, 4 * width)

    wide = dims["n_audio_state"]
    scalar("decoder/activation", 3, "i1", 1)
    scalar("decoder/alignment_heads", 1, "<i2", 2)
    scalar("decoder/alignment_layer", -1, "<i2", 2)
    put(
        "decoder/embeddings/weight",
        (dims["n_vocab"], wide),
        lambda: make("decoder.token_embedding.weight"),
    )
    for i in range(dims["n_text_layer"]):
        block(f"decoder/layer_{i}", f"decoder.blocks.{i}", wide, cross=True)
    norm("decoder/layer_norm", "decoder.ln", wide)
    scalar("decoder/num_heads", dims["n_text_head"], "<i2", 2)
    put(
        "decoder/position_encodings/encodings",
        (dims["n_text_ctx"], wide),
        lambda: make("decoder.positional_embedding"),
    )
    scalar("decoder/pre_norm", 1, "i1", 1)
    scalar("decoder/scale_embeddings", 0, "i1", 1)
    scalar("decoder/start_from_zero_embedding", 0, "i1", 1)
    for conv, cols in (("conv1", dims["n_mels"]), ("conv2", wide)):
        put(f"encoder/{conv}/bias", (wide,), lambda c=conv: make(f"encoder.{c}.bias"))
        put(f"encoder/{conv}/weight", (wide, cols, 3), lambda c=conv: make(f"encoder.{c}.weight"))
    for i in range(dims["n_audio_layer"]):
        block(f"encoder/layer_{i}", f"encoder.blocks.{i}", wide, cross=False)
    norm("encoder/layer_norm", "encoder.ln_post", wide)
    scalar("encoder/num_heads", dims["n_audio_head"], "<i2", 2)
    put(
        "encoder/position_encodings/encodings",
        (dims["n_audio_ctx"], wide),
        lambda: make("encoder.positional_embedding"),
    )

    def string(text):
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    with open(folder / "model.bin", "wb") as file:
        file.write(struct.pack("<I", 6) + string("WhisperSpec"))
        file.write(struct.pack("<II", 3, len(table)))
        for name, shape, maker, code in table:
            array = np.asarray(maker(), order="C")
            if array.shape != shape:
                raise ValueError(f"{name}: {array.shape} is not {shape}")
            file.write(string(name) + struct.pack("<B", len(shape)))
            file.write(struct.pack(f"<{len(shape)}I", *shape))
            file.write(struct.pack("<BI", code, array.nbytes))
            file.write(array.tobytes())
        file.write(struct.pack("<I", 1))
        file.write(string("decoder/projection/weight") + string("decoder/embeddings/weight"))
    base = make_tokens(weights.n_base_tokens(dims["n_vocab"]))
    vocabulary = [printable(token) for token in base] + special_tokens(dims["n_vocab"])
    for name, value in (
        ("config.json", ct2_config(dims)),
        ("vocabulary.json", vocabulary[: dims["n_vocab"]]),
        ("tokenizer.json", tokenizer_json(dims["n_vocab"])),
    ):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_model(target, kind: str, dims: dict[str, int], seed: int = 1) -> None:
    """Write a random model of ``dims`` to ``target`` as ct2, ggml, hf or pt."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shapes = dict(writers.tensor_shapes(dims))

    def make(name):
        return make_tensor(name, shapes[name], seed)

    stream = ((name, make(name)) for name in shapes)
    if kind == "ct2":
        write_ct2(target, dims, make)
    elif kind == "ggml":
        tokens = make_tokens(weights.n_base_tokens(dims["n_vocab"]))
        writers.write_ggml(target, dims, stream, tokens)
    elif kind == "hf":
        named = [(n, shape, np.float16, lambda n=n: make(n)) for n, shape in shapes.items()]
        tokenizer = json.dumps(tokenizer_json(dims["n_vocab"]), ensure_ascii=False).encode()
        writers.write_hf(target, dims, named, ct2_config(dims), tokenizer)
    elif kind == "pt":
        writers.write_pt(target, dims, stream, False, ct2_config(dims)["alignment_heads"])
    else:
        raise ValueError(f"unknown format {kind}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dims", required=True, help="preset or key=value,...")
    parser.add_argument("--to", required=True, choices=["ct2", "ggml", "hf", "pt"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("target", help="file (ggml, pt) or directory (ct2, hf) to write")
    args = parser.parse_args()
    try:
        write_model(args.target, args.to, parse_dims(args.dims), args.seed)
    except (ValueError, OSError) as error:
        print(f"random_model: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
