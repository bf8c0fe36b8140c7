# SPDX-License-Identifier: MIT
"""Read a CTranslate2 Whisper directory and rename its tensors to openai-whisper's.

In: a directory with ``model.bin`` (format version 6), ``config.json`` and a vocabulary
(``vocabulary.json``, ``vocabulary.txt`` or ``tokenizer.json``).
Out: a dict name -> numpy array (views into a read-only map of the file, so nothing is copied)
and the ten dimensions of ``whisper.model.ModelDimensions``.

``model.bin``, little endian throughout::

    u32 version; string spec; u32 revision; u32 count
    count * { string name; u8 rank; u32 dim[rank]; u8 dtype; u32 bytes; data }
    u32 aliases; aliases * { string alias; string name }
    string = u16 length (the NUL included), bytes

D is the model width. A linear weight is [out, in] and a convolution [out, in, 3], in both formats;
self-attention ``linear_0`` is q, k, v stacked ([3D, D]), cross-attention ``linear_0`` is q and
``linear_1`` is k, v stacked ([2D, D]); the stacked k bias is zero because Whisper's key projection
has none.
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path

import numpy as np

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16, 5: np.uint16}
BF16 = 5
_LANGUAGE_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th "
    "ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr "
    "pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt "
    "haw ln ha ba jw su yue"
)
LANGUAGES = tuple(_LANGUAGE_CODES.split())  # in the order of their token ids


class FormatError(Exception):
    """The file is not what its format promises; the text says where and how."""


class _Cursor:
    """Bounds-checked reader over a buffer; ``at`` is the offset of the next byte."""

    def __init__(self, buf, path):
        self.buf, self.path, self.at = buf, path, 0

    def need(self, size: int, what: str) -> int:
        start = self.at
        if start + size > len(self.buf):
            raise FormatError(
                f"{self.path}: {what} at offset {start} needs {size} bytes, "
                f"{len(self.buf) - start} are left"
            )
        self.at += size
        return start

    def number(self, code: str, what: str) -> int:
        fmt = "<" + code
        return struct.unpack_from(fmt, self.buf, self.need(struct.calcsize(fmt), what))[0]

    def string(self, what: str) -> str:
        size = self.number("H", what)
        start = self.need(size, what)
        return bytes(self.buf[start : start + size]).rstrip(b"\0").decode("utf-8")


def read_ct2(path) -> dict[str, np.ndarray]:
    """Map ``model.bin`` and return every variable and alias as a read-only view.

    bfloat16 (never seen in Whisper directories) is widened to float32, which is exact.
    """
    path = Path(path)
    with path.open("rb") as file:
        buf = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    cur = _Cursor(buf, path)
    version = cur.number("I", "version")
    if version != 6:
        raise FormatError(f"{path}: CTranslate2 format version {version}, only 6 is read")
    spec = cur.string("spec name")
    if spec != "WhisperSpec":
        raise FormatError(f"{path}: holds a {spec}, not a WhisperSpec")
    cur.number("I", "spec revision")
    out: dict[str, np.ndarray] = {}
    for _ in range(cur.number("I", "variable count")):
        name = cur.string("variable name")
        dims = [cur.number("I", f"{name} dims") for _ in range(cur.number("B", f"{name} rank"))]
        code = cur.number("B", f"{name} dtype")
        size = cur.number("I", f"{name} byte count")
        if code not in DTYPES:
            raise FormatError(f"{path}: {name} has unknown dtype {code}")
        dtype = np.dtype(DTYPES[code])
        count = int(np.prod(dims, dtype=np.int64))
        if count * dtype.itemsize != size:
            raise FormatError(f"{path}: {name} is {dims} of {dtype} but holds {size} bytes")
        view = np.frombuffer(buf, dtype, count, cur.need(size, name)).reshape(dims)
        if code == BF16:
            view = (view.astype(np.uint32) << 16).view(np.float32)
        out[name] = view
    for _ in range(cur.number("I", "alias count")):
        alias = cur.string("alias")
        target = cur.string("alias target")
        if target not in out:
            raise FormatError(f"{path}: alias {alias} names {target}, which is not there")
        out[alias] = out[target]
    if cur.at != len(buf):
        raise FormatError(f"{path}: {len(buf) - cur.at} bytes follow the alias table")
    return out


def read_config(model_dir) -> dict:
    """``config.json`` of the directory: alignment_heads, lang_ids, suppress_ids(_begin)."""
    return json.loads((Path(model_dir) / "config.json").read_text(encoding="utf-8"))


def _layers(ct2: dict, side: str) -> int:
    count = 0
    while f"{side}/layer_{count}/self_attention/linear_0/weight" in ct2:
        count += 1
    return count


def dims_of(ct2: dict) -> dict[str, int]:
    """The fields of ``whisper.model.ModelDimensions``, read off the tensors' shapes."""
    n_state, n_mels, _ = ct2["encoder/conv1/weight"].shape
    n_vocab, text_state = ct2["decoder/embeddings/weight"].shape
    return {
        "n_mels": n_mels,
        "n_audio_ctx": ct2["encoder/position_encodings/encodings"].shape[0],
        "n_audio_state": n_state,
        "n_audio_head": int(ct2["encoder/num_heads"]),
        "n_audio_layer": _layers(ct2, "encoder"),
        "n_vocab": n_vocab,
        "n_text_ctx": ct2["decoder/position_encodings/encodings"].shape[0],
        "n_text_state": text_state,
        "n_text_head": int(ct2["decoder/num_heads"]),
        "n_text_layer": _layers(ct2, "decoder"),
    }


def _split(array: np.ndarray, parts: int) -> list[np.ndarray]:
    """[parts*D, ...] -> parts views of [D, ...]."""
    return np.split(array, parts, axis=0)


def to_openai(ct2: dict) -> dict[str, np.ndarray]:
    """CTranslate2 names -> openai-whisper ``state_dict`` names, in that model's own order.

    Views only. Raises FormatError when a key bias that must be absent is not zero.
    """
    dims = dims_of(ct2)
    out: dict[str, np.ndarray] = {}

    def norm(dst: str, src: str):
        out[f"{dst}.weight"] = ct2[f"{src}/gamma"]
        out[f"{dst}.bias"] = ct2[f"{src}/beta"]

    def linear(dst: str, src: str):
        out[f"{dst}.weight"] = ct2[f"{src}/weight"]
        out[f"{dst}.bias"] = ct2[f"{src}/bias"]

    def stacked(dst: str, src: str, names: list[str]):
        weights = _split(ct2[f"{src}/weight"], len(names))
        biases = _split(ct2[f"{src}/bias"], len(names))
        for name, weight, bias in zip(names, weights, biases, strict=True):
            out[f"{dst}.{name}.weight"] = weight
            if name != "key":
                out[f"{dst}.{name}.bias"] = bias
            elif np.any(bias):
                raise FormatError(f"{src}/bias: the key part is not zero")

    def block(dst: str, src: str, cross: bool):
        stacked(f"{dst}.attn", f"{src}/self_attention/linear_0", ["query", "key", "value"])
        linear(f"{dst}.attn.out", f"{src}/self_attention/linear_1")
        norm(f"{dst}.attn_ln", f"{src}/self_attention/layer_norm")
        if cross:
            linear(f"{dst}.cross_attn.query", f"{src}/attention/linear_0")
            stacked(f"{dst}.cross_attn", f"{src}/attention/linear_1", ["key", "value"])
            linear(f"{dst}.cross_attn.out", f"{src}/attention/linear_2")
            norm(f"{dst}.cross_attn_ln", f"{src}/attention/layer_norm")
        linear(f"{dst}.mlp.0", f"{src}/ffn/linear_0")
        linear(f"{dst}.mlp.2", f"{src}/ffn/linear_1")
        norm(f"{dst}.mlp_ln", f"{src}/ffn/layer_norm")

    out["encoder.positional_embedding"] = ct2["encoder/position_encodings/encodings"]
    linear("encoder.conv1", "encoder/conv1")
    linear("encoder.conv2", "encoder/conv2")
    for i in range(dims["n_audio_layer"]):
        block(f"encoder.blocks.{i}", f"encoder/layer_{i}", cross=False)
    norm("encoder.ln_post", "encoder/layer_norm")
    out["decoder.positional_embedding"] = ct2["decoder/position_encodings/encodings"]
    out["decoder.token_embedding.weight"] = ct2["decoder/embeddings/weight"]
    for i in range(dims["n_text_layer"]):
        block(f"decoder.blocks.{i}", f"decoder/layer_{i}", cross=True)
    norm("decoder.ln", "decoder/layer_norm")
    return out


HF_PARTS = [
    (".blocks.", ".layers."),
    (".cross_attn_ln.", ".encoder_attn_layer_norm."),
    (".cross_attn.query.", ".encoder_attn.q_proj."),
    (".cross_attn.key.", ".encoder_attn.k_proj."),
    (".cross_attn.value.", ".encoder_attn.v_proj."),
    (".cross_attn.out.", ".encoder_attn.out_proj."),
    (".attn_ln.", ".self_attn_layer_norm."),
    (".attn.query.", ".self_attn.q_proj."),
    (".attn.key.", ".self_attn.k_proj."),
    (".attn.value.", ".self_attn.v_proj."),
    (".attn.out.", ".self_attn.out_proj."),
    (".mlp_ln.", ".final_layer_norm."),
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    ("encoder.ln_post.", "encoder.layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    ("decoder.token_embedding.", "decoder.embed_tokens."),
]


def hf_name(name: str) -> str:
    """openai-whisper tensor name -> ``WhisperForConditionalGeneration`` tensor name."""
    if name.endswith(".positional_embedding"):
        return "model." + name.replace("positional_embedding", "embed_positions.weight")
    for old, new in HF_PARTS:
        name = name.replace(old, new)
    return "model." + name


def load(model_dir) -> tuple[dict[str, int], dict[str, np.ndarray], dict]:
    """(dims, openai-named tensors, config.json) of a CTranslate2 Whisper directory."""
    ct2 = read_ct2(Path(model_dir) / "model.bin")
    return dims_of(ct2), to_openai(ct2), read_config(model_dir)


def byte_decoder() -> dict[str, int]:
    """GPT-2's printable stand-ins -> byte values (the inverse of its byte-to-unicode table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in plain}
    rest = [b for b in range(256) if b not in plain]
    table.update({chr(256 + i): b for i, b in enumerate(rest)})
    return table


def base_tokens(model_dir, n_base: int) -> list[bytes]:
    """The first ``n_base`` tokens as raw bytes, without specials and timestamps.

    n_base is 50256 for .en models (GPT-2) and 50257 for multilingual ones, the line counts of
    openai-whisper's ``gpt2.tiktoken`` and ``multilingual.tiktoken``.
    """
    model_dir = Path(model_dir)
    if (model_dir / "vocabulary.json").is_file():
        texts = json.loads((model_dir / "vocabulary.json").read_text(encoding="utf-8"))
    elif (model_dir / "tokenizer.json").is_file():
        model = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        texts = [t for t, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    elif (model_dir / "vocabulary.txt").is_file():
        texts = (model_dir / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    else:
        raise FormatError(f"{model_dir}: no vocabulary.json, tokenizer.json or vocabulary.txt")
    if len(texts) < n_base:
        raise FormatError(f"{model_dir}: {len(texts)} tokens in the vocabulary, {n_base} needed")
    table = byte_decoder()
    return [bytes(table[c] for c in text) for text in texts[:n_base]]


def n_base_tokens(n_vocab: int) -> int:
    """Tokens before the special ones: multilingual models have n_vocab >= 51865."""
    return 50257 if n_vocab >= 51865 else 50256


def mel_filters(n_mels: int, n_fft: int = 400, rate: int = 16000) -> np.ndarray:
    """[n_mels, n_fft/2+1] float32 filter bank, Slaney scale and area norm (librosa's default).

    Differs from openai-whisper's ``assets/mel_filters.npz`` by one float32 rounding in about 1% of
    its entries (largest difference 1.9e-9 for 80 bands, 3.8e-9 for 128).
    """

    def to_hz(mel):
        hz = mel * 200.0 / 3
        log_part = 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0))
        return np.where(mel >= 15.0, log_part, hz)

    top = 15.0 + np.log(rate / 2 / 1000.0) / (np.log(6.4) / 27.0)
    edges = to_hz(np.linspace(0.0, top, n_mels + 2))
    bins = np.fft.rfftfreq(n_fft, 1.0 / rate)
    ramps = edges[:, None] - bins[None, :]
    width = np.diff(edges)
    lower = -ramps[:-2] / width[:-1, None]
    upper = ramps[2:] / width[1:, None]
    bank = np.maximum(0, np.minimum(lower, upper))
    bank *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return bank.astype(np.float32)
