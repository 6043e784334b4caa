from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlprep.core.randomness import combine, integers, mix, normals, seeded_torch, uniforms

GOLDEN = 0x9E3779B97F4A7C15
# The first outputs of SplitMix64, whose state grows by GOLDEN before each.
PUBLISHED = {
    1234567: [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431],
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC],
}


@pytest.mark.parametrize("seed", PUBLISHED)
def test_mixing_is_splitmix64(seed: int) -> None:
    states = np.array([(seed + k * GOLDEN) % 2**64 for k in range(4)], np.uint64)
    assert mix(states).tolist() == PUBLISHED[seed]


@given(st.integers(0, 2**64 - 1), st.integers(0, 63))
def test_every_input_bit_moves_about_half_of_the_output(value: int, bit: int) -> None:
    one, other = (int(mix(np.array(v, np.uint64))) for v in (value, value ^ (1 << bit)))
    assert 10 <= (one ^ other).bit_count() <= 54


@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=4))
def test_keys_depend_on_every_part_and_their_order(parts: list[int]) -> None:
    key = int(combine(*parts))
    assert key == int(combine(*(part % 2**64 for part in parts)))
    assert combine(*parts, 0) != key
    for place in range(len(parts)):
        assert int(combine(*parts[:place], parts[place] + 1, *parts[place + 1 :])) != key
    if parts[0] != parts[-1]:
        assert int(combine(*reversed(parts))) != key or parts == parts[::-1]


def test_arrays_and_numbers_make_the_same_keys() -> None:
    rows, columns = np.arange(-2, 3)[:, None], np.arange(4, dtype=np.uint16)
    keys = combine(7, rows, columns)
    assert keys.shape == (5, 4)
    assert keys.dtype == np.uint64
    assert len(np.unique(keys)) == 20
    assert keys[1, 2] == combine(7, -1, 2)
    assert combine(np.int64(-1)) == combine(-1)


def test_draws_are_of_their_seed_alone() -> None:
    seeds = combine(3, np.arange(6))
    together = uniforms(seeds, 5, purpose=1)
    assert together.shape == (6, 5)
    np.testing.assert_array_equal(together[[4, 1]], uniforms(seeds[[4, 1]], 5, purpose=1))
    # The first draws do not depend on how many there are.
    np.testing.assert_array_equal(together[:, :2], uniforms(seeds, 2, purpose=1))
    np.testing.assert_array_equal(together[3], uniforms(seeds[3], 5, purpose=1))
    assert not np.isin(together, uniforms(seeds, 5, purpose=2)).any()
    np.testing.assert_array_equal((integers(seeds, 5, purpose=1) >> np.uint64(11)) * 2.0**-53, together)


def test_draws_are_uniform_and_independent() -> None:
    draws = uniforms(combine(0, np.arange(20_000)), 8, purpose=3)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.histogram(draws, bins=64, range=(0, 1))[0]
    expected = draws.size / 64
    # Chi-square with 63 degrees of freedom: mean 63, standard deviation 11.2.
    assert abs(((counts - expected) ** 2 / expected).sum() - 63) < 5 * 11.3
    between = np.corrcoef(draws.T) - np.eye(8)
    along = np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]
    assert max(np.abs(between).max(), abs(along)) < 5 / np.sqrt(20_000)
    bits = np.unpackbits(integers(combine(1, np.arange(4000)), 1, purpose=0).view(np.uint8)).reshape(-1, 64)
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(4000)


def test_seeded_draws_leave_no_trace_and_reseed_no_other_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def refuse(seed: int) -> None:
        raise AssertionError(f"sets the generators of every device to {seed}")

    monkeypatch.setattr(torch, "manual_seed", refuse)
    before = torch.get_rng_state()
    with seeded_torch(3):
        drawn = torch.rand(4)
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_no_module_reseeds_every_device() -> None:
    """A caller's generators, those of GPUs too, are not the library's to set; `seeded_torch` is."""
    root = Path(__file__).resolve().parents[2]
    modules = [path for room in ("nlprep", "vision", "multimodal", "cli") for path in (root / room).rglob("*.py")]
    assert modules
    calls = re.compile(r"^[^#`]*\btorch\.manual_seed\(", re.MULTILINE)
    assert [str(path.relative_to(root)) for path in modules if calls.search(path.read_text(encoding="utf-8"))] == []


def test_normals_of_keys_are_normal():
    found = normals(combine(5, np.arange(20_000)), 5)
    assert found.shape == (20_000, 5)
    assert found.dtype == np.float32
    flat = found.astype(np.float64)
    assert np.abs(flat.mean(0)).max() < 4 / math.sqrt(20_000)
    assert np.abs(np.cov(flat.T) - np.eye(5)).max() < 0.04
    assert float((flat**4).mean()) == pytest.approx(3, abs=0.1)
    assert np.array_equal(normals(combine(5, np.arange(3)), 5), found[:3])
