#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Quantised matrices of src/shrink against libraries': gguf, the Python side of llama.cpp and whisper.cpp, whose Q8_0
and Q4_0 are int8:g32 and int4:g32 here (a scale in half precision for 32 inputs, codes about a middle), and ONNX
Runtime, whose 4-bit blocks with a zero point are int4:g32:asym.

Where rules differ: they take a group's scale from its extreme, sotto takes the one with the least squared error of
some, that one among them. SOTTO_BIN: folder of the binaries. Skipped (77) without numpy, gguf or onnxruntime.
"""

import sys
import unittest

try:
    import numpy as np
    from gguf import GGMLQuantizationType as Kind
    from gguf import quants
    from onnxruntime.capi._pybind_state import quantize_matmul_4bits
except ImportError as e:
    print(f"skipped: {e.name} is not installed")
    sys.exit(77)

from test_shrink import Coded, layer

GROUP = 32
KINDS = {8: Kind.Q8_0, 4: Kind.Q4_0}


def weights(seed, out, size):
    """Groups of unequal size, so that one with another's scale is far off."""
    w, _ = layer(seed, out, size)
    spread = np.exp(np.random.default_rng(seed).normal(size=(out, size // GROUP, 1)))
    return (w.reshape(out, -1, GROUP) * spread).reshape(out, size).astype(np.float32)


def blocks(coded, bits):
    """The codes and scales as ggml lays them out: u8[out, bytes of a row]."""
    out, size = coded.codes.shape
    codes = coded.codes.reshape(out, -1, GROUP)
    scale = coded.scale.astype(np.float16)[..., None].view(np.uint8)
    if bits == 8:
        packed = codes ^ 0x80  # about 0 in two's complement
    else:
        packed = codes[..., : GROUP // 2] | codes[..., GROUP // 2 :] << 4
    return np.concatenate([scale, packed], axis=2).reshape(out, -1)


def group_errors(w, values):
    return np.sum((w - values).astype(np.float64).reshape(len(w), -1, GROUP) ** 2, axis=2)


def onnx(w):
    """codes, scales and zero points of 4 bits, as ONNX Runtime chooses them."""
    out, size = w.shape
    n = size // GROUP
    packed, zeros = np.zeros((out, n, GROUP // 2), np.uint8), np.zeros((out, (n + 1) // 2), np.uint8)
    scale = np.zeros((out, n), np.float32)
    quantize_matmul_4bits(packed, np.ascontiguousarray(w.T), scale.reshape(-1), zeros.reshape(-1), GROUP, out, size, False)
    apart = lambda x: np.stack([x & 15, x >> 4], axis=-1).reshape(out, -1)  # noqa: E731
    return apart(packed.reshape(out, -1)), scale, apart(zeros)[:, :n]


class ZeroPoints(unittest.TestCase):
    def test_the_error_is_at_most_the_librarys_and_values_are_close(self):
        for seed, (out, size) in enumerate([(7, 96), (33, 384), (4, 32)]):
            w = weights(20 + seed, out, size)
            coded, (codes, scale, zero) = Coded(w, None, 4, GROUP, "a"), onnx(w)
            steps = codes.reshape(out, -1, GROUP).astype(int) - zero[..., None]
            theirs = (scale[..., None] * steps).reshape(out, size)
            self.assertLess(np.abs(theirs - w).max(), 1.01 * np.abs(scale).max())  # the layout is understood
            mine, other = group_errors(w, coded.values), group_errors(w, theirs)
            self.assertTrue(np.all(mine <= 1.01 * other), np.max(mine / other))
            self.assertGreater(mine.sum(), 0.5 * other.sum())
            step = (np.abs(scale) + np.abs(coded.scale))[..., None]
            off = np.abs(coded.values - theirs).reshape(out, -1, GROUP) / step
            self.assertLess(np.quantile(off, 0.95), 0.5)
            self.assertLess(off.max(), 1.05)


class Library(unittest.TestCase):
    def each(self):
        for bits, kind in KINDS.items():
            for seed, (out, size) in enumerate([(7, 96), (33, 384), (1, 32)]):
                w = weights(seed, out, size)
                yield w, Coded(w, None, bits, GROUP, "-"), bits, kind

    def test_the_library_reads_the_codes_and_scales_as_sotto_does(self):
        for _, coded, bits, kind in self.each():
            read = quants.dequantize(blocks(coded, bits), kind)
            np.testing.assert_allclose(coded.values, read, rtol=1e-6)

    def test_values_are_the_librarys_within_half_a_step_of_each(self):
        for w, coded, _, kind in self.each():
            data = quants.quantize(w, kind)
            theirs = quants.dequantize(data, kind)
            step = data.reshape(len(w), w.shape[1] // GROUP, -1)[..., :2].copy().view(np.float16).astype(np.float64)
            step = np.abs(step) + np.abs(coded.scale)[..., None]
            # The end of a range that is not symmetric is up to a step away: 127 for 128, 7 for 8.
            off = np.abs(coded.values - theirs).reshape(step.shape[0], step.shape[1], GROUP)
            self.assertLess(np.quantile(off / step, 0.95), 0.5)
            self.assertLess(np.max(off / step), 1.05)

    def test_the_error_is_at_most_the_librarys_in_every_group(self):
        for w, coded, _, kind in self.each():
            mine, theirs = group_errors(w, coded.values), group_errors(w, quants.dequantize(quants.quantize(w, kind), kind))
            self.assertTrue(np.all(mine <= 1.01 * theirs), np.max(mine / theirs))
            self.assertGreater(mine.sum(), 0.5 * theirs.sum())  # and no other number of bits


if __name__ == "__main__":
    sys.exit(unittest.main())
