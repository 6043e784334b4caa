"""The search against brute force, an independent library and its own promises."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nlprep.core.errors import OptionError
from nlprep.vectors import nearest
from nlprep.vectors.nearest import mutual_neighborhood_means, mutual_top_k, top_k


def brute_force(scores, k):
    order = np.lexsort((np.broadcast_to(np.arange(scores.shape[1]), scores.shape), -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def grid_vectors(generator, rows, columns=8):
    """Small whole numbers: products are exact in any order of summation, and ties abound."""
    return generator.integers(-2, 3, size=(rows, columns)).astype(np.float32)


@pytest.fixture
def compiled(monkeypatch):
    monkeypatch.setattr(nearest, "FEW_QUERIES", 0)
    monkeypatch.setattr(nearest, "FEW_PRODUCTS", 0)
    monkeypatch.setattr(nearest, "_BLOCK_ROWS", 16)
    monkeypatch.setattr(nearest, "_BLOCK_COLUMNS", 50)


@pytest.fixture
def on_device(compiled, monkeypatch):
    """The search for GPUs, on a processor."""
    import torch

    from nlprep.vectors import nearest_device

    monkeypatch.setattr(nearest_device, "BLOCK_ROWS", 16)
    monkeypatch.setattr(nearest_device, "BLOCK_COLUMNS", 50)
    token = nearest._device.set(torch.device("cpu"))
    yield
    nearest._device.reset(token)


@pytest.mark.parametrize("k", [1, 3, 10, 207, 1000])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("path", ["plain", "compiled", "on_device"])
@pytest.mark.slow
def test_equals_brute_force_with_ties_by_lower_index(k, offset, path, request, monkeypatch):
    if path != "plain":
        request.getfixturevalue(path)
    else:
        monkeypatch.setattr(nearest, "_PLAIN_BLOCK", 64 * 37)
    generator = np.random.default_rng(k)
    queries, keys = grid_vectors(generator, 70), grid_vectors(generator, 207)
    offsets = generator.integers(-3, 4, 207).astype(np.float32) if offset else None
    expected = queries @ keys.T + (0 if offsets is None else offsets)
    scores, indices = top_k(queries, keys, k, offsets=offsets, threads=2)
    assert scores.dtype == np.float32
    assert indices.dtype == np.int64
    want_scores, want_indices = brute_force(expected, min(k, 207))
    np.testing.assert_array_equal(indices, want_indices)
    np.testing.assert_array_equal(scores, want_scores)


@pytest.mark.parametrize("path", ["compiled", "on_device"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.slow
def test_mutual_equals_a_search_each_way(threads, offset, path, request):
    request.getfixturevalue(path)
    generator = np.random.default_rng(threads)
    source, target = grid_vectors(generator, 131), grid_vectors(generator, 207)
    given = {}
    products = of_sources = source @ target.T
    of_targets = products.T
    if offset:
        given = {
            "source_offsets": generator.integers(-3, 4, 131).astype(np.float32),
            "target_offsets": generator.integers(-3, 4, 207).astype(np.float32),
        }
        of_sources = products + given["target_offsets"]
        of_targets = products.T + given["source_offsets"]
    found = mutual_top_k(source, target, 5, threads=threads, **given)
    np.testing.assert_array_equal(found.targets, brute_force(of_sources, 5)[1])
    np.testing.assert_array_equal(found.target_scores, brute_force(of_sources, 5)[0])
    np.testing.assert_array_equal(found.sources, brute_force(of_targets, 5)[1])
    np.testing.assert_array_equal(found.source_scores, brute_force(of_targets, 5)[0])


def test_neighborhood_means_equal_a_slow_reference(compiled):
    generator = np.random.default_rng(0)
    source = generator.standard_normal((90, 20)).astype(np.float32)
    target = generator.standard_normal((70, 20)).astype(np.float32)
    products = source.astype(np.float64) @ target.T.astype(np.float64)
    of_source, of_target = mutual_neighborhood_means(source, target, 10, threads=2)
    np.testing.assert_allclose(of_source, np.sort(products, axis=1)[:, -10:].mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(of_target, np.sort(products, axis=0)[-10:].mean(axis=0), atol=1e-5)


def test_neighborhoods_larger_than_a_side_take_all_of_it():
    source, target = np.eye(3, 4, dtype=np.float32), np.ones((5, 4), np.float32)
    of_source, of_target = mutual_neighborhood_means(source, target, 10)
    np.testing.assert_allclose(of_source, 1.0)
    np.testing.assert_allclose(of_target, 1.0)


@pytest.mark.parametrize("rows", [3, 500])
def test_agrees_with_faiss(rows, compiled):
    faiss = pytest.importorskip("faiss")
    generator = np.random.default_rng(rows)
    queries = generator.standard_normal((rows, 48)).astype(np.float32)
    keys = generator.standard_normal((900, 48)).astype(np.float32)
    index = faiss.IndexFlatIP(48)
    index.add(keys)
    want_scores, want_indices = index.search(queries, 10)
    scores, indices = top_k(queries, keys, 10)
    np.testing.assert_array_equal(indices, want_indices)
    np.testing.assert_allclose(scores, want_scores, rtol=1e-5)


@pytest.mark.slow
def test_the_plain_and_the_compiled_search_agree():
    generator = np.random.default_rng(1)
    queries = generator.standard_normal((2100, 16)).astype(np.float32)
    keys = generator.standard_normal((2001, 16)).astype(np.float32)
    assert len(queries) * len(keys) > nearest.FEW_PRODUCTS
    scores, indices = top_k(queries, keys, 4)
    plain_scores, plain_indices = nearest._top_k_plain(queries, keys, 4, None)
    assert (indices == plain_indices).mean() > 0.999
    np.testing.assert_allclose(scores, plain_scores, rtol=1e-4)


def test_threads_do_not_change_a_bit(compiled):
    generator = np.random.default_rng(2)
    source = generator.standard_normal((150, 30)).astype(np.float32)
    target = generator.standard_normal((140, 30)).astype(np.float32)
    one = mutual_top_k(source, target, 7, threads=1)
    for threads in (2, 5):
        other = mutual_top_k(source, target, 7, threads=threads)
        for name in ("target_scores", "targets", "source_scores", "sources"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_other_types_and_read_only_memory_maps_are_taken(tmp_path, compiled):
    generator = np.random.default_rng(3)
    keys = generator.standard_normal((120, 6)).astype(np.float32)
    np.save(tmp_path / "keys.npy", keys)
    mapped = np.load(tmp_path / "keys.npy", mmap_mode="r")
    queries = generator.standard_normal((40, 6))
    scores, indices = top_k(queries, mapped, 3)
    want = top_k(queries.astype(np.float32), keys, 3)
    np.testing.assert_array_equal(indices, want[1])
    np.testing.assert_array_equal(scores, want[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k(np.ones((2, 3)), np.ones((2, 4)), 1), r"\(2, 3\) against keys of shape \(2, 4\)"),
        (lambda: top_k(np.ones((2, 3)), np.ones((0, 3)), 1), "no keys"),
        (lambda: top_k(np.ones((2, 3)), np.ones((2, 3)), 0), "k = 0"),
        (lambda: top_k(np.ones((2, 3)), np.ones((2, 3)), 1, offsets=np.ones(3)), "each of the 2 keys"),
        (lambda: mutual_top_k(np.ones((2, 3)), np.ones((4, 3)), 3), "smaller side, 2"),
    ],
)
def test_misuse_is_named(call, message):
    with pytest.raises(OptionError, match=message):
        call()


def test_no_queries_give_empty_results():
    scores, indices = top_k(np.ones((0, 3), np.float32), np.ones((4, 3), np.float32), 2)
    assert scores.shape == indices.shape == (0, 2)


def test_few_queries_do_not_load_numba():
    program = (
        "import sys, numpy as np; from nlprep.vectors.nearest import top_k;"
        "top_k(np.ones((2, 4), np.float32), np.ones((50, 4), np.float32), 3); print('numba' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "False"


def test_a_device_gives_the_same_neighbours_of_real_numbers(request):
    generator = np.random.default_rng(9)
    source, target = generator.standard_normal((300, 20), np.float32), generator.standard_normal((260, 20), np.float32)
    here = mutual_top_k(source, target, 7)
    request.getfixturevalue("on_device")
    there = mutual_top_k(source, target, 7)
    for side in ("targets", "sources"):
        np.testing.assert_array_equal(getattr(there, side), getattr(here, side))
        np.testing.assert_allclose(
            getattr(there, f"{side[:-1]}_scores"), getattr(here, f"{side[:-1]}_scores"), atol=1e-5
        )


def test_packed_scores_sort_as_scores_do():
    import torch

    from nlprep.vectors.nearest_device import _pack, _unpack

    scores = torch.tensor([[-0.0, 0.0, -1.5, 3e38, -3e38, 1e-40, -1e-40, float("-inf"), 2.0]])
    values, rows = _unpack([_pack(scores, 5, 1).sort(dim=1, descending=True).values], 9)
    assert rows.tolist() == [[8, 13, 10, 5, 6, 11, 7, 9, 12]]
    np.testing.assert_array_equal(values[0], scores[0].numpy()[rows[0] - 5])


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(OptionError, match=r"device = 'toaster': torch cannot use it"), nearest.search_device("toaster"):
        pass
    with nearest.search_device("cpu"):
        assert nearest._device.get() is None
