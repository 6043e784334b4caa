"""Search by image, against slow loops and what was planted."""

import numpy as np
import pytest

from nlprep.core.artifacts import write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from vision.uses.image_search import IMAGE_INDEX, ImageIndex

pytestmark = pytest.mark.slow


def drawn_codes(count: int, dimension: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def centred_cosines(codes: np.ndarray) -> np.ndarray:
    centred = codes - codes.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return unit @ unit.T


def test_search_and_near_duplicates_are_those_of_slow_loops(tmp_path):
    codes = drawn_codes(200) + 3
    codes[50:90] = codes[50]  # more copies than are asked for at first
    index = ImageIndex(codes, [f"picture {n}\n" for n in range(200)])
    cosines = centred_cosines(codes)
    wanted = {(i, j) for i in range(200) for j in range(i + 1, 200) if cosines[i, j] >= 0.95}
    assert {pair[:2] for pair in index.near_duplicates(0.95)} == wanted
    neighbors = index.neighbors(4)[1]
    assert not (neighbors == np.arange(200)[:, None]).any()
    index.save(tmp_path / "index")
    opened = ImageIndex.from_directory(tmp_path / "index")
    found = opened.search(codes[3:4], 3)[0]
    assert [match.place for match in found] == np.argsort(-cosines[3])[:3].tolist()
    assert found[0].name == "picture 3\n"
    with pytest.raises(OptionError, match="own model"):
        opened.search(codes[:, :3])


def test_codes_that_share_a_direction_are_no_near_duplicates():
    """A weak model's codes: nearly all of each is what all have."""
    codes = drawn_codes(300, 16) + 40
    raw = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    assert (raw @ raw.T).min() > 0.98
    codes[7] = codes[3] + 0.01
    assert [pair[:2] for pair in ImageIndex(codes, range(300)).near_duplicates(0.98)] == [(3, 7)]


def test_few_codes_and_codes_that_are_alike_are_compared_as_they_are():
    few = np.array([[1.0, 2.0], [1.0, 2.01], [-3.0, 1.0]])
    assert [pair[:2] for pair in ImageIndex(few, "abc").near_duplicates()] == [(0, 1)]
    assert len(ImageIndex(np.full((20, 3), 0.7), range(20)).near_duplicates()) == 190


@pytest.mark.parametrize(("dimension", "count"), [(2, 500), (3, 500), (8, 1500)])
def test_pairs_by_chance_are_those_of_independent_codes(dimension, count):
    index = ImageIndex(drawn_codes(count, dimension) + 5, range(count))
    for threshold in (0.5, 0.8):
        found = len(index.near_duplicates(threshold))
        assert index.pairs_by_chance(threshold) == pytest.approx(found, rel=0.1)
    assert ImageIndex(np.ones((1, 3)), "a").pairs_by_chance(0.9) == 0


def test_codes_that_vary_unevenly_meet_by_chance_as_independent_ones_do():
    """Two wide directions and thirty narrow ones: at high cosines no number of equal dimensions says how many."""
    scales = np.array([1.0] * 2 + [0.05] * 30, np.float32)
    index, others = (ImageIndex(drawn_codes(700, 32, seed) * scales, range(700)) for seed in (1, 2))
    for threshold in (0.9, 0.98):
        assert index.pairs_by_chance(threshold) == pytest.approx(len(others.near_duplicates(threshold)), rel=0.2)
    assert index.pairs_by_chance(0.9995) < 1


def test_an_index_is_of_one_model_and_of_its_images(tmp_path):
    index = ImageIndex(drawn_codes(20), [str(place) for place in range(20)], of={"model": "a", "images": "b"})
    index.save(tmp_path / "index")
    opened = ImageIndex.from_directory(tmp_path / "index")
    opened.check_of({"model": "a", "images": "b"})
    with pytest.raises(OptionError, match="index is an index of another model: make it anew"):
        opened.check_of({"model": "c"}, tmp_path / "index")
    with pytest.raises(OptionError, match="of other images"):
        opened.check_of({"model": "a", "images": "c"})
    ImageIndex(drawn_codes(2), "ab").check_of({"model": "whatever"})


def test_an_approximate_search_finds_most_and_with_all_lists_everything(tmp_path):
    pytest.importorskip("faiss")
    centres = drawn_codes(40, 16, seed=2)
    draws = np.random.default_rng(3)
    codes = centres[draws.integers(0, 40, 4000)] + 0.3 * drawn_codes(4000, 16)
    names = [str(place) for place in range(4000)]
    exact, made = ImageIndex(codes, names), ImageIndex(codes, names, approximate=True)
    assert len(made.centroids) == 63
    made.save(tmp_path / "index")
    opened = ImageIndex.from_directory(tmp_path / "index")
    queries = codes[:200] + 0.1 * drawn_codes(200, 16, seed=4)
    wanted = [[match.place for match in row] for row in exact.search(queries, 10)]
    for index in (made, opened):
        found = [[match.place for match in row] for row in index.search(queries, 10)]
        shared = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(wanted, found, strict=True)])
        assert shared > 0.95
        everything = [[match.place for match in row] for row in index.search(queries, 10, probes=63)]
        assert everything == wanted
    few = opened.search(queries[:1], 10_000)[0]
    assert {match.place for match in few} < set(range(4000))
    # What is not asked of the lists is exact.
    assert opened.near_duplicates(0.999) == exact.near_duplicates(0.999)


def test_a_damaged_index_is_refused(tmp_path):
    index = ImageIndex(drawn_codes(20), [str(place) for place in range(20)])
    tensors = {
        "codes": index.codes, "mean": index.mean, "scales": index.scales, "names": np.zeros(20, np.uint8),
        "name_ends": np.arange(1, 21),
        "centroids": np.full((2, 6), np.nan, np.float32),
    }  # fmt: skip
    write_artifact(tmp_path / "index", kind=IMAGE_INDEX, config={"approximate": True}, tensors=tensors)
    with pytest.raises(FileError, match="centroids"):
        ImageIndex.from_directory(tmp_path / "index")
    with pytest.raises(NlprepError, match="finite"):
        ImageIndex(np.full((2, 2), np.inf), "ab")
