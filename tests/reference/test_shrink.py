#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The algorithms of src/shrink against plain numpy, written from the papers: no blocks, no tricks, one column at a time.

sotto-matrix (tools/matrix.c) runs the library's on matrices from files. Codes are compared one by one, other results to
the precision of floats. SOTTO_BIN: folder of the binaries. Skipped (77) without numpy.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy as np
except ImportError:
    print("skipped: numpy is not installed")
    sys.exit(77)

DAMPING = 0.05  # SOTTO__DAMPING of gram.h


def run(algorithm, args, w, gram=None):
    """What sotto-matrix writes, and what it says; None where it fails."""
    w = np.ascontiguousarray(w, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "in"), Path(folder, "out")
        with open(source, "wb") as f:
            np.array([*w.shape, gram is not None], "<i8").tofile(f)
            w.tofile(f)
            if gram is not None:
                np.ascontiguousarray(gram, np.float32).tofile(f)
        command = [Path(os.environ["SOTTO_BIN"], "sotto-matrix"), algorithm, *map(str, args), source, result]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (result.read_bytes() if done.returncode == 0 else None), done.stderr


def floats(data, *shape):
    return np.frombuffer(data, "<f4").reshape(shape)


def groups_of(size, group):
    return [range(first, min(first + group, size)) for first in range(0, size, group)]


class Coded:
    """The output of `sotto-matrix quantise`."""

    def __init__(self, w, gram, bits, group, flags, rare=0):
        data, said = run("quantise", (bits, group, flags, rare), w, gram)
        assert data is not None, said
        if "r" in flags:
            bits = 8
        out, size = w.shape
        self.groups = groups_of(size, group or size)
        self.codes = np.frombuffer(data, "u1", out * size).reshape(out, size)
        at = out * size
        self.scale = np.frombuffer(data, "<f2", out * len(self.groups), at).reshape(out, -1).astype(np.float64)
        at += self.scale.size * 2
        self.zero = np.full(self.scale.shape, 2 ** (bits - 1))
        if "a" in flags:
            self.zero = np.frombuffer(data, "u1", self.scale.size, at).reshape(out, -1).astype(int)
            at += self.scale.size
        self.column = np.ones(size)
        self.has_column = data[at] == 1
        at += 1
        if self.has_column:
            self.column = np.frombuffer(data, "<f2", size, at).astype(np.float64)
            at += 2 * size
        self.offset = np.zeros(size)
        self.has_offset = data[at] == 1
        at += 1
        if self.has_offset:
            self.offset = np.frombuffer(data, "<f2", size, at).astype(np.float64)
            at += 2 * size
        self.values = floats(data[at:], out, size)

    def dequantised(self):
        """By the definition in coded.h."""
        y = np.empty(self.codes.shape)
        for g, columns in enumerate(self.groups):
            steps = self.codes[:, columns].astype(int) - self.zero[:, [g]]
            y[:, columns] = self.scale[:, [g]] * steps * self.column[columns] + self.offset[columns]
        return y


# --- references ---


def half(x):
    return np.float64(np.float16(x))


def half_all(x):
    return x.astype(np.float16).astype(np.float64)


def steps_of(x, scale, zero, top):
    return np.clip(np.rint(x * (1 / scale)), -zero, top - zero) if scale else np.zeros_like(x)


def choose_grid(x, cost, bits, asymmetric):
    """(scale, zero): as grid.h describes the candidates."""
    top, middle = 2**bits - 1, 2 ** (bits - 1)
    shares = [1.05 - 0.05 * c for c in range(14)]
    candidates = []
    if asymmetric:
        low, high = min(0.0, x.min()), max(0.0, x.max())
        if high > low:
            zero = np.rint(-low / (high - low) * top)
            candidates = [
                ((high - low) / top * share, min(max(zero + shift, 0), top)) for share in shares for shift in (-1, 0, 1)
            ]
    else:
        extreme = x[np.argmax(np.abs(x))]
        candidates = [(extreme / end * share, middle) for share in shares for end in (-middle, top - middle)]

    def error(scale, zero):
        return np.sum(cost * (x - scale * steps_of(x, scale, zero, top)) ** 2)

    best = (0.0, 0 if asymmetric else middle)
    least = error(*best)
    for scale, zero in candidates:
        if half(scale) and error(half(scale), zero) < least:
            best, least = (half(scale), zero), error(half(scale), zero)
    for _ in range(4):
        steps = steps_of(x, *best, top)
        if not np.sum(cost * steps * steps):
            break
        scale = half(np.sum(cost * x * steps) / np.sum(cost * steps * steps))
        if not scale or not error(scale, best[1]) < least:
            break
        best, least = (scale, best[1]), error(scale, best[1])
    return best


def rtn(w, cost, bits, group, asymmetric):
    """codes, scales, zeros of w rounded to nearest."""
    groups = groups_of(w.shape[1], group or w.shape[1])
    codes = np.empty(w.shape, int)
    scale, zero = np.empty((len(w), len(groups))), np.empty((len(w), len(groups)), int)
    for (o, row), (g, columns) in itertools.product(enumerate(w), enumerate(groups)):
        scale[o, g], zero[o, g] = choose_grid(row[columns], cost[columns], bits, asymmetric)
        codes[o, columns] = steps_of(row[columns], scale[o, g], zero[o, g], 2**bits - 1) + zero[o, g]
    return codes, scale, zero


def damped(gram):
    return gram + DAMPING * np.mean(np.diag(gram)) * np.eye(len(gram))


def gptq(w, gram, bits, group, asymmetric, zeros_stay=True):
    """Algorithm 1 of arXiv:2210.17323, block size 1; weights that are 0 stay so."""
    w, fixed = w.copy(), (w == 0) & zeros_stay
    size = w.shape[1]
    groups = groups_of(size, group or size)
    upper = np.linalg.cholesky(np.linalg.inv(damped(gram))).T
    codes = np.empty(w.shape, int)
    scale, zero = np.empty((len(w), len(groups))), np.empty((len(w), len(groups)), int)
    for g, columns in enumerate(groups):
        for o in range(len(w)):
            x = np.where(fixed[o, columns], 0, w[o, columns])
            scale[o, g], zero[o, g] = choose_grid(x, 1 / np.diag(upper)[columns] ** 2, bits, asymmetric)
        for i in columns:
            for o in range(len(w)):
                step = 0 if fixed[o, i] else steps_of(w[o, i], scale[o, g], zero[o, g], 2**bits - 1)
                codes[o, i] = step + zero[o, g]
                w[o, i:] -= (w[o, i] - scale[o, g] * step) / upper[i, i] * upper[i, i:]
    return codes, scale, zero


def at_a_rate(w, gram, flags, steps, widened=None):
    """codes, columns of w for steps[out]: columns make an error of a step cost the same in every input. Those given in
    `widened` (column by input) replace what that makes."""
    upper = None
    if "g" in flags:
        upper = np.linalg.cholesky(np.linalg.inv(damped(gram))).T
        column = np.diag(upper)
    else:
        column = np.ones(w.shape[1]) if gram is None else 1 / np.sqrt(np.diag(damped(gram)))
    column = half_all(column / np.exp(np.log(column).mean()))
    for i, wider in (widened or {}).items():
        column[i] = wider
    fixed = (w == 0) & ("c" not in flags)
    x = (w - half_all(w.mean(axis=0)) * ("c" in flags)) / column
    codes = np.empty(w.shape, int)
    for i in range(w.shape[1]):
        step = np.where(fixed[:, i], 0, np.clip(np.rint(x[:, i] * (1 / steps)), -128, 127))
        codes[:, i] = step + 128
        if upper is not None:
            x[:, i:] -= np.outer((x[:, i] - steps * step) / upper[i, i], upper[i, i:] / column[i:] * column[i])
    return codes, column


def entropy(codes):
    share = np.unique(codes, return_counts=True)[1] / codes.size
    return -np.sum(share * np.log2(share))


def awq_column(gram, alpha):
    factor = np.sqrt(np.diag(gram)) ** alpha
    return (1 / (factor / np.sqrt(factor.max() * factor.min()))).astype(np.float16).astype(np.float64)


def output_error(w, q, gram):
    return np.sum((w - q) @ gram * (w - q))


def layer(seed, out, size, samples=200):
    """Weights and the Gram matrix of correlated inputs of unequal size; the second is exact in floats."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(size, size)) * np.exp(rng.normal(size=size))[:, None]
    x = mix @ rng.normal(size=(size, samples)) + rng.normal(size=(size, 1))
    w = (rng.normal(size=(out, size)) / 20).astype(np.float32).astype(np.float64)
    return w, (x @ x.T).astype(np.float32).astype(np.float64)


SHAPES = [(7, 40, 16), (5, 96, 0), (9, 150, 64), (3, 300, 40)]  # out, in, group: short last groups, whole rows


class Quantising(unittest.TestCase):
    def compare(self, got, want, what, atol=0):
        codes, scale, zero = want
        self.assertEqual(got.scale.tolist(), scale.tolist(), f"{what}: scales")
        self.assertEqual(got.zero.tolist(), zero.tolist(), f"{what}: zero points")
        self.assertEqual(np.count_nonzero(got.codes != codes), 0, f"{what}: codes")
        np.testing.assert_allclose(got.values, got.dequantised(), rtol=1e-6, atol=atol, err_msg=what)

    def test_rounding_to_nearest(self):
        for (out, size, group), bits, flags in itertools.product(SHAPES, (2, 3, 4, 5, 8), "-a"):
            w, gram = layer(bits, out, size)
            want = rtn(w, np.ones(size), bits, group, flags == "a")
            self.compare(Coded(w, None, bits, group, flags), want, f"{out}x{size} {bits} bits {flags}")
            want = rtn(w, np.diag(damped(gram)), bits, group, flags == "a")
            self.compare(Coded(w, gram, bits, group, flags), want, f"{out}x{size} {bits} bits {flags}, weighted")

    def test_gptq(self):
        for (out, size, group), bits, flags in itertools.product(SHAPES, (2, 4, 8), ("g", "ga")):
            w, gram = layer(10 + bits, out, size)
            w[np.random.default_rng(1).random(w.shape) < 0.2] = 0
            got = Coded(w, gram, bits, group, flags)
            self.compare(got, gptq(w, gram, bits, group, "a" in flags), f"{out}x{size} {bits} bits {flags}")
            self.assertFalse(got.values[w == 0].any(), "zeros stay zeros")
            rounded = Coded(w, gram, bits, group, flags.replace("g", "") or "-").values
            self.assertLess(output_error(w, got.values, gram), output_error(w, rounded, gram))

    def test_gptq_over_more_rows_than_are_worked_on_at_once(self):
        w, gram = layer(20, 300, 24)
        self.compare(Coded(w, gram, 3, 8, "g"), gptq(w, gram, 3, 8, False), "300 rows")

    def test_awq(self):
        for (out, size, group), bits, flags in itertools.product(SHAPES, (3, 4), ("w", "wa", "wg")):
            w, gram = layer(30 + bits, out, size)
            got = Coded(w, gram, bits, group, flags)
            asymmetric = "a" in flags
            tried = []
            for alpha in (k / 20 for k in range(20)):
                column = awq_column(gram, alpha)
                codes, scale, zero = rtn(w / column, np.diag(damped(gram)) * column**2, bits, group, asymmetric)
                steps = codes - np.repeat(zero, [len(g) for g in got.groups], 1)
                q = column * np.repeat(scale, [len(g) for g in got.groups], 1) * steps
                tried.append((output_error(w, q, gram), column))
            least = min(error for error, _ in tried)
            chosen = [error for error, column in tried if np.array_equal(column, got.column)]
            what = f"{out}x{size} {bits} bits {flags}"
            self.assertTrue(chosen, f"{what}: columns are those of an alpha")
            self.assertLess(min(chosen), least * (1 + 1e-4), f"{what}: no alpha is better")
            column, inner = got.column, gram * np.outer(got.column, got.column)
            if "g" in flags:
                want = gptq(w / column, inner, bits, group, asymmetric)
            else:
                want = rtn(w / column, np.diag(damped(gram)) * column**2, bits, group, asymmetric)
            self.compare(got, want, what)

    def test_centred(self):
        for bits, group, asymmetric in ((4, 0, False), (3, 16, False), (4, 24, True)):
            w, gram = layer(bits, 40, 56)
            w[:, 7] += 30  # an input whose weights are alike and large
            w[:, 9] *= 20
            w[:, 11] = 0.25
            for flags, given in (("c", None), ("c", gram), ("cg", gram)):
                got = Coded(w, given, bits, group, flags + "a" * asymmetric)
                what = f"{bits} bits, group {group}, flags {flags}"
                offset = half(w.mean(axis=0))
                spread = half(np.sqrt(((w - offset) ** 2).mean(axis=0)))
                column = np.where(spread > 0, spread, 1)
                self.assertTrue(got.has_offset and got.has_column)
                self.assertEqual(got.offset.tolist(), offset.tolist(), f"{what}: offsets")
                self.assertEqual(got.column.tolist(), column.tolist(), f"{what}: columns")
                x = (w - offset) / column
                if "g" in flags:
                    want = gptq(x, gram * np.outer(column, column), bits, group, asymmetric, False)
                else:
                    diagonal = np.ones(56) if given is None else np.diag(damped(gram))
                    want = rtn(x, diagonal * column**2, bits, group, asymmetric)
                self.compare(got, want, what, 1e-5)
        plain, centred = Coded(w, None, 4, 0, "-"), Coded(w, None, 4, 0, "c")
        self.assertLess(np.square(centred.values - w).sum(), 0.1 * np.square(plain.values - w).sum())

    def test_layers_that_awq_helps_get_columns(self):
        w, gram = layer(40, 16, 64)
        self.assertTrue(Coded(w, gram, 3, 16, "w").has_column)


    def test_rates(self):
        for (out, size), rate, (flags, given) in itertools.product(
            ((300, 40), (700, 96)), (1.3, 2.5, 4), (("r", False), ("r", True), ("rg", True), ("rgc", True))
        ):
            w, gram = layer(70, out, size)
            w[:, 5] += 0.3
            w[::7, 3] = 0
            gram = gram if given else None
            for rare in (0, 0.8, 2):
                got = Coded(w, gram, rate, 0, flags, rare)
                what = f"{out}x{size}, rate {rate}, rare {rare}, flags {flags}, {given}"
                seldom = np.arange(out) % 3 == 0 if rare else np.zeros(out, bool)
                steps = got.scale[:, 0]
                for rows, bits in ((~seldom, rate), (seldom, rare)):
                    if rows.any():
                        self.assertEqual(len(set(steps[rows])), 1, f"{what}: one step")
                        self.assertAlmostEqual(entropy(got.codes[rows]), bits, delta=0.06, msg=what)
                _, even = at_a_rate(w, gram, flags, steps)
                widened = {i: got.column[i] for i in np.flatnonzero(got.column != even)}
                for i, wider in widened.items():
                    x = w[:, i] - half_all(w.mean(axis=0))[i] * ("c" in flags)
                    self.assertGreater(wider, even[i], f"{what}: column {i}")
                    self.assertTrue(80 < np.abs(x / steps / wider).max() < 125, f"{what}: column {i}")
                codes, column = at_a_rate(w, gram, flags, steps, widened)
                self.assertEqual(got.column.tolist(), column.tolist(), f"{what}: columns")
                self.assertEqual(np.count_nonzero(got.codes != codes), 0, f"{what}: codes")
                np.testing.assert_allclose(got.values, got.dequantised(), rtol=1e-6, atol=1e-6, err_msg=what)

    def test_rates_with_an_input_far_larger_than_the_others(self):
        for flags, given in (("r", True), ("rg", True), ("rgc", True)):
            w, gram = layer(72, 500, 64)
            large = np.where(np.arange(64) == 9, 3000, 1)
            gram = (gram * np.outer(large, large)).astype(np.float32).astype(np.float64)
            w[::50, 9] *= 8
            got = Coded(w, gram, 3.5, 0, flags)
            steps = got.scale[:, 0]
            _, even = at_a_rate(w, gram, flags, steps)
            self.assertGreater(got.column[9], 2 * even[9], f"{flags}: a wider column")
            self.assertEqual(np.delete(got.column, 9).tolist(), np.delete(even, 9).tolist(), f"{flags}: columns")
            most = np.abs(w[:, 9] - half_all(w.mean(axis=0))[9] * ("c" in flags)).max() / steps[0] / got.column[9]
            self.assertTrue(80 < most < 125, f"{flags}: {most} steps")
            self.assertAlmostEqual(entropy(got.codes), 3.5, delta=0.06, msg=flags)
            codes, _ = at_a_rate(w, gram, flags, steps, {9: got.column[9]})
            self.assertEqual(np.count_nonzero(got.codes != codes), 0, f"{flags}: codes")
            self.assertFalse(np.isin(got.codes, (0, 255)).any(), f"{flags}: clipped")

    def test_a_rate_loses_less_than_groups_of_as_many_bits(self):
        w, gram = layer(71, 400, 96)
        groups = Coded(w, gram, 3, 32, "g")
        at_rate = Coded(w, gram, entropy(groups.codes), 0, "rg")
        self.assertLess(output_error(w, at_rate.values, gram), 0.8 * output_error(w, groups.values, gram))

    def test_rare_rows(self):
        for bits, rare, flags in ((4, 2, "-"), (5, 3, "a"), (4, 2, "g"), (3, 2, "ga"), (4, 4, "g")):
            w, gram = layer(80, 30, 40)
            got = Coded(w, gram, bits, 16, flags, rare)
            seldom = np.arange(30) % 3 == 0
            asymmetric = "a" in flags
            codes, scale, zero = np.empty((30, 40), int), np.empty((30, 3)), np.empty((30, 3), int)
            for rows, n in ((seldom, rare), (~seldom, bits)):
                if "g" in flags:
                    part = gptq(w[rows], gram, n, 16, asymmetric)
                else:
                    part = rtn(w[rows], np.diag(damped(gram)), n, 16, asymmetric)
                shift = 0 if asymmetric else 2 ** (bits - 1) - 2 ** (n - 1)
                codes[rows], scale[rows], zero[rows] = part[0] + shift, part[1], part[2] + shift
            self.compare(got, (codes, scale, zero), f"{bits} bits, rare {rare}, flags {flags}")

    def test_bits_that_are_refused(self):
        w, _ = layer(81, 6, 16)
        for bits, flags, rare in ((4, "-", 5), (4, "-", 1), (4, "-", 2.5), (3, "r", 8), (8, "r", 0), (3, "ra", 0)):
            self.assertIsNone(run("quantise", (bits, 0, flags, rare), w)[0], f"{bits} {flags} {rare}")


class Pruning(unittest.TestCase):
    def test_magnitude(self):
        w, _ = layer(50, 31, 47)
        for fraction in (0, 0.01, 0.3, 0.5, 0.999, 1):
            got = floats(run("magnitude", [fraction], w)[0], *w.shape)
            order = np.argsort(np.abs(w), axis=None, kind="stable")[: int(fraction * w.size + 0.5)]
            want = w.copy().reshape(-1)
            want[order] = 0
            np.testing.assert_array_equal(got.reshape(-1), want)

    def test_wanda(self):
        w, gram = layer(51, 31, 47)
        for fraction in (0, 0.1, 0.5, 1):
            got = floats(run("wanda", [fraction], w, gram)[0], *w.shape)
            score = np.abs(w) * np.sqrt(np.diag(gram))
            want = w.copy()
            np.put_along_axis(want, np.argsort(score, axis=1)[:, : int(fraction * 47 + 0.5)], 0, axis=1)
            np.testing.assert_array_equal(got, want)

    def test_ties_go_in_order(self):
        w = np.array([[1, -1, 2, 1, -1, 1, 0, 3]], float)
        got = floats(run("magnitude", [0.5], w)[0], 8)
        self.assertEqual(got.tolist(), [0, 0, 2, 0, -1, 1, 0, 3])

    def test_scores(self):
        w, gram = layer(52, 20, 48)
        got = np.frombuffer(run("heads", [12], w, gram)[0])
        want = [np.trace(w[:, h] @ gram[h, h] @ w[:, h].T) for h in (slice(k, k + 12) for k in range(0, 48, 12))]
        np.testing.assert_allclose(got, want, rtol=1e-10)
        got = np.frombuffer(run("inputs", [], w, gram)[0])
        np.testing.assert_allclose(got, np.diag(gram) * np.sum(w * w, 0), rtol=1e-10)

    def test_compensation(self):
        w, gram = layer(53, 20, 48)
        keep = [i for i in range(48) if i % 3]
        gone = [i for i in range(48) if i % 3 == 0]
        got = floats(run("compensate", [",".join(map(str, keep))], w, gram)[0], 20, len(keep))
        inner = damped(gram[np.ix_(keep, keep)])
        want = w[:, keep] + w[:, gone] @ gram[np.ix_(gone, keep)] @ np.linalg.inv(inner)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
        full = np.zeros_like(w)
        full[:, keep] = got
        cut = np.where(np.isin(range(48), keep), w, 0)
        self.assertLess(output_error(w, full, gram), 0.8 * output_error(w, cut, gram))


class LowRank(unittest.TestCase):
    def test_factors(self):
        for (out, size), weighted in itertools.product(((20, 48), (48, 20), (30, 30)), (False, True)):
            w, gram = layer(60, out, size)
            factor = np.linalg.cholesky(damped(gram)) if weighted else np.eye(size)
            u, s, v = np.linalg.svd(w @ factor, full_matrices=False)
            for rank in (1, 7, 20):
                data, said = run("low_rank", [rank], w, gram if weighted else None)
                self.assertIsNotNone(data, said)
                a = floats(data[: 4 * rank * size], rank, size).astype(float)
                b = floats(data[4 * rank * size :], out, rank).astype(float)
                want = u[:, :rank] * s[:rank] @ v[:rank] @ np.linalg.inv(factor)
                np.testing.assert_allclose(b @ a, want, atol=2e-6 * np.abs(w).max() * np.sqrt(rank))
                lost = np.linalg.norm((w - b @ a) @ factor)
                self.assertAlmostEqual(lost, np.sqrt(np.sum(s[rank:] ** 2)), delta=1e-5 * s[0])
                np.testing.assert_allclose(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=0), rtol=1e-5)


if __name__ == "__main__":
    sys.exit(unittest.main())
