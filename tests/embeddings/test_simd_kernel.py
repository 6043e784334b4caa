from __future__ import annotations

import numpy as np
from numba import njit

from nlprep.embeddings.skipgram import simd_kernel as simd
from nlprep.embeddings.skipgram.simd_kernel import (
    LANES,
    load,
    multiply,
    multiply_add,
    sigmoid,
    splat_3,
    store,
    subtract,
    sums,
)


@njit
def _apply_sigmoid(x, y):
    for j in range(0, len(x), LANES):
        store(y, j, sigmoid(load(x, j)))


@njit
def _arithmetic(a, b, c, y):
    x = load(a, 0)
    store(y, 0, multiply_add(x, load(b, 0), load(c, 0)))
    store(y, LANES, subtract(multiply(x, load(b, 0)), load(c, 0)))
    store(y, 2 * LANES, splat_3(x))
    store(y, 3 * LANES, simd.zero())


@njit
def _sum_six(a, y):
    n = LANES
    store(y, 0, sums(load(a, 0), load(a, n), load(a, 2 * n), load(a, 3 * n), load(a, 4 * n), load(a, 5 * n)))


def test_sigmoid_is_within_its_stated_error() -> None:
    x = np.concatenate([np.linspace(-40, 40, 64 * LANES - 4), [np.inf, -np.inf, 0.0, -0.0]]).astype(np.float32)
    y = np.empty_like(x)
    _apply_sigmoid(x, y)
    exact = 1 / (1 + np.exp(-x.astype(np.float64).clip(-30, 30)))
    assert np.abs(y - exact).max() < 3e-6


def test_arithmetic_is_float32_arithmetic() -> None:
    a, b, c = np.random.default_rng(0).normal(size=(3, LANES)).astype(np.float32)
    y = np.full(4 * LANES, np.nan, np.float32)
    _arithmetic(a, b, c, y)
    exact = a.astype(np.float64) * b + c
    np.testing.assert_allclose(y[:LANES], exact, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(y[LANES : 2 * LANES], a.astype(np.float64) * b - c, rtol=1e-5, atol=1e-6)
    assert (y[2 * LANES : 3 * LANES] == a[3]).all()
    assert (y[3 * LANES :] == 0).all()


def test_sums_puts_each_total_in_its_lane() -> None:
    a = np.random.default_rng(1).normal(size=(6, LANES)).astype(np.float32)
    y = np.full(LANES, np.nan, np.float32)
    _sum_six(a.ravel(), y)
    np.testing.assert_allclose(y[:6], a.sum(1), rtol=1e-5, atol=1e-6)
    assert (y[6:] == 0).all()
