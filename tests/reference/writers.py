# SPDX-License-Identifier: MIT
"""Write Whisper tensors in the three formats that users have on disk.

In: dims (fields of ``whisper.model.ModelDimensions``) and an iterable of
(openai-whisper tensor name, numpy array); arrays are written one by one, so a generator keeps
memory flat even for large models.
Out: an openai-whisper checkpoint (.pt), a whisper.cpp file (ggml .bin) or a Hugging Face directory.

float16 goes through unchanged in .pt and Hugging Face; ggml stores 2-D and larger weights as
float16 and everything else as float32, as whisper.cpp's own converter does. ``f32`` widens
everything. Both ways are exact.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np

import weights

SAFETENSOR_TYPES = {np.dtype(np.float16): "F16", np.dtype(np.float32): "F32"}
GGML_MAGIC = 0x67676D6C
GGML_DIMS = [
    *("n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer"),
    *("n_text_ctx", "n_text_state", "n_text_head", "n_text_layer", "n_mels"),
]
GGML_F32 = {
    "encoder.conv1.bias",
    "encoder.conv2.bias",
    "encoder.positional_embedding",
    "decoder.positional_embedding",
}


def tensor_shapes(dims: dict[str, int]) -> list[tuple[str, tuple[int, ...]]]:
    """(openai name, shape) of every tensor of a Whisper model, in state_dict order."""
    out: list[tuple[str, tuple[int, ...]]] = []

    def linear(name, rows, cols, bias=True):
        out.append((f"{name}.weight", (rows, cols)))
        if bias:
            out.append((f"{name}.bias", (rows,)))

    def norm(name, width):
        out.extend([(f"{name}.weight", (width,)), (f"{name}.bias", (width,))])

    def attention(name, width):
        for part in ("query", "key", "value", "out"):
            linear(f"{name}.{part}", width, width, bias=part != "key")
        norm(f"{name}_ln", width)

    def block(name, width, cross):
        attention(f"{name}.attn", width)
        if cross:
            attention(f"{name}.cross_attn", width)
        linear(f"{name}.mlp.0", 4 * width, width)
        linear(f"{name}.mlp.2", width, 4 * width)
        norm(f"{name}.mlp_ln", width)

    wide, deep = dims["n_audio_state"], dims["n_text_state"]
    out.append(("encoder.positional_embedding", (dims["n_audio_ctx"], wide)))
    for name, rows in (("encoder.conv1", dims["n_mels"]), ("encoder.conv2", wide)):
        out.extend([(f"{name}.weight", (wide, rows, 3)), (f"{name}.bias", (wide,))])
    for i in range(dims["n_audio_layer"]):
        block(f"encoder.blocks.{i}", wide, cross=False)
    norm("encoder.ln_post", wide)
    out.append(("decoder.positional_embedding", (dims["n_text_ctx"], deep)))
    out.append(("decoder.token_embedding.weight", (dims["n_vocab"], deep)))
    for i in range(dims["n_text_layer"]):
        block(f"decoder.blocks.{i}", deep, cross=True)
    norm("decoder.ln", deep)
    return out


def write_pt(path, dims, tensors, f32=False, alignment_heads=None):
    """openai-whisper checkpoint: ``{"dims", "model_state_dict"}``; needs torch."""
    import torch

    state = {}
    for name, array in tensors:
        dtype = np.float32 if f32 else array.dtype
        state[name] = torch.from_numpy(np.array(array, dtype=dtype))
    checkpoint = {"dims": dict(dims), "model_state_dict": state}
    if alignment_heads is not None:
        checkpoint["alignment_heads"] = [list(pair) for pair in alignment_heads]
    torch.save(checkpoint, path)


def write_ggml(path, dims, tensors, tokens: list[bytes], f32=False):
    """whisper.cpp file: header, mel bank [n_mels, 201], base vocabulary, tensors.

    ``tokens`` are the base tokens as raw bytes; the reader makes up the special ones.
    """
    bank = weights.mel_filters(dims["n_mels"])
    with open(path, "wb") as file:
        file.write(struct.pack("<I", GGML_MAGIC))
        file.write(struct.pack("<10i", *(dims[key] for key in GGML_DIMS)))
        file.write(struct.pack("<i", 0 if f32 else 1))
        file.write(struct.pack("<2i", *bank.shape))
        file.write(bank.astype("<f4").tobytes())
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<I", len(token)) + token)
        for name, array in tensors:
            if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
                array = array.reshape(-1, 1)
            half = not f32 and array.ndim >= 2 and name not in GGML_F32
            label = name.encode()
            file.write(struct.pack("<3i", array.ndim, len(label), 1 if half else 0))
            file.write(struct.pack(f"<{array.ndim}i", *reversed(array.shape)))
            file.write(label)
            file.write(np.ascontiguousarray(array, dtype="<f2" if half else "<f4").data)


def hf_config(dims, ct2_config: dict, f32: bool) -> dict:
    """``config.json`` of WhisperForConditionalGeneration, from the dimensions."""
    multilingual = dims["n_vocab"] >= 51865
    eot = 50257 if multilingual else 50256
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_dropout": 0.0,
        "activation_function": "gelu",
        "attention_dropout": 0.0,
        "begin_suppress_tokens": ct2_config.get("suppress_ids_begin", [220, eot]),
        "bos_token_id": eot,
        "d_model": dims["n_audio_state"],
        "decoder_attention_heads": dims["n_text_head"],
        "decoder_ffn_dim": 4 * dims["n_text_state"],
        "decoder_layerdrop": 0.0,
        "decoder_layers": dims["n_text_layer"],
        "decoder_start_token_id": eot + 1,
        "dropout": 0.0,
        "encoder_attention_heads": dims["n_audio_head"],
        "encoder_ffn_dim": 4 * dims["n_audio_state"],
        "encoder_layerdrop": 0.0,
        "encoder_layers": dims["n_audio_layer"],
        "eos_token_id": eot,
        "init_std": 0.02,
        "is_encoder_decoder": True,
        "max_length": dims["n_text_ctx"],
        "max_source_positions": dims["n_audio_ctx"],
        "max_target_positions": dims["n_text_ctx"],
        "num_hidden_layers": dims["n_audio_layer"],
        "num_mel_bins": dims["n_mels"],
        "pad_token_id": eot,
        "scale_embedding": False,
        "suppress_tokens": ct2_config.get("suppress_ids", []),
        "torch_dtype": "float32" if f32 else "float16",
        "use_cache": True,
        "vocab_size": dims["n_vocab"],
    }


def hf_generation_config(dims, ct2_config: dict) -> dict:
    """``generation_config.json`` with alignment_heads, lang_to_id and the suppressed tokens."""
    multilingual = dims["n_vocab"] >= 51865
    eot = 50257 if multilingual else 50256
    languages = dims["n_vocab"] - 51765 - int(multilingual)
    transcribe = eot + 2 + languages + 1  # sot, languages, translate, transcribe
    out = {
        "alignment_heads": [list(pair) for pair in ct2_config.get("alignment_heads", [])],
        "begin_suppress_tokens": ct2_config.get("suppress_ids_begin", [220, eot]),
        "bos_token_id": eot,
        "decoder_start_token_id": eot + 1,
        "eos_token_id": eot,
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": dims["n_text_ctx"],
        "no_timestamps_token_id": transcribe + 4,
        "pad_token_id": eot,
        "prev_sot_token_id": transcribe + 2,
        "return_timestamps": False,
        "suppress_tokens": ct2_config.get("suppress_ids", []),
    }
    if multilingual:
        codes = weights.LANGUAGES[:languages]
        out["lang_to_id"] = {f"<|{code}|>": eot + 2 + i for i, code in enumerate(codes)}
        out["task_to_id"] = {"transcribe": transcribe, "translate": transcribe - 1}
    return out


def write_safetensors(path, named, f32=False):
    """``named``: list of (HF name, shape, source dtype, maker of the array)."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, dtype, _ in named:
        dtype = np.dtype(np.float32) if f32 else np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        header[name] = {
            "dtype": SAFETENSOR_TYPES[dtype],
            "shape": list(shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, dtype, make in named:
            dtype = np.float32 if f32 else dtype
            file.write(np.ascontiguousarray(make(), dtype=dtype).data)


def write_hf(folder, dims, named, ct2_config, tokenizer_json: bytes | None, f32=False):
    """Hugging Face directory; ``named`` as for write_safetensors but with openai names.

    ``proj_out.weight`` is tied to the token embedding and therefore absent.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    renamed = [(weights.hf_name(name), *rest) for name, *rest in named]
    write_safetensors(folder / "model.safetensors", renamed, f32)
    for name, value in (
        ("config.json", hf_config(dims, ct2_config, f32)),
        ("generation_config.json", hf_generation_config(dims, ct2_config)),
    ):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    if tokenizer_json is not None:
        (folder / "tokenizer.json").write_bytes(tokenizer_json)
