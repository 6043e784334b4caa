"""Odd images and search by image, against slow loops and what was planted."""

import numpy as np
import pytest

from nlprep.core.errors import NlprepError, OptionError
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.autoencoder import Autoencoder
from vision.models.configuration import AutoencoderConfig
from vision.models.files import SavedModel
from vision.uses.anomalies import AnomalyDetector, fit_anomalies, spoiled_images, supported_rate
from vision.uses.image_search import ImageIndex


def plain_images(count: int, seed: int = 0) -> Images:
    """Vertical ramps of different brightness."""
    draws = np.random.default_rng(seed)
    ramp = np.linspace(0.2, 0.8, 8)[None, :, None] * draws.uniform(0.5, 1, (count, 1, 1))
    return Images((255 * np.broadcast_to(ramp, (count, 8, 8))).astype(np.uint8)[:, None], source="ramps")


@pytest.fixture(scope="module")
def saved() -> SavedModel:
    config = AutoencoderConfig(dimension=3, backbone=BackboneConfig(kind="mlp", width=8, depth=1))
    model = Autoencoder((1, 8, 8), config).eval()
    return SavedModel(model=model, config=config, preprocessing=Preprocessing(channels=1, height=8, width=8))


def test_scores_are_those_of_slow_loops(saved):
    usual, others = plain_images(80), plain_images(6, seed=1)
    detector = fit_anomalies(saved, usual, plain_images(60, seed=2), score="pixel_neighbors")
    flat, known = others.pixels.reshape(6, -1) / 255, usual.pixels.reshape(80, -1) / 255
    # Those that were learned from are not their own neighbours.
    apart = [np.sort([np.linalg.norm(one - key) for key in known if not np.array_equal(one, key)]) for one in flat]
    slow = [distances[:5].mean() for distances in apart]
    np.testing.assert_allclose(detector.scores(others), slow, rtol=1e-4, atol=1e-5)
    centred = known - known.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][: len(detector.tensors["pixel_axes"])]
    left = (flat - known.mean(0)) - (flat - known.mean(0)) @ axes.T @ axes
    np.testing.assert_allclose(detector.scores(others, "pixel_pca"), (left**2).sum(1), atol=1e-4)


def test_planted_images_are_found_and_the_line_keeps_its_share(saved, tmp_path):
    detector = fit_anomalies(saved, plain_images(100), plain_images(60, seed=2))
    assert set(detector.areas) == {
        "reconstruction_error",
        "code_neighbors",
        "code_mahalanobis",
        "pixel_pca",
        "pixel_neighbors",
    }
    assert detector.areas[detector.score] == max(detector.areas.values())
    fresh = plain_images(200, seed=3)
    odd = Images(fresh.pixels[:5].transpose(0, 1, 3, 2).copy(), source="turned")
    assert detector.threshold.flag(detector.scores(odd)).all()
    assert detector.threshold.flag(detector.scores(fresh)).mean() <= 0.1
    detector.save(tmp_path / "detector")
    opened = AnomalyDetector.from_directory(tmp_path / "detector", device="cpu")
    assert (opened.score, opened.threshold) == (detector.score, detector.threshold)
    assert np.array_equal(opened.scores(odd), detector.scores(odd))
    assert detector.heat(odd).shape == (5, 8, 8)


def test_bad_requests_are_refused(saved):
    with pytest.raises(OptionError, match="choose from"):
        fit_anomalies(saved, plain_images(10), plain_images(60), score="nothing")
    with pytest.raises(NlprepError, match="cannot show"):
        fit_anomalies(saved, plain_images(10), plain_images(3), score="pixel_pca")
    assert supported_rate(59) == 0.05
    assert supported_rate(58) == 0.1


def test_spoiled_images_are_a_function_of_the_seed():
    images = Images(np.random.default_rng(0).integers(0, 256, (7, 3, 9, 6), dtype=np.uint8))
    pasted, halved = spoiled_images(images, seed=4)
    assert all((one.pixels != images.pixels).any((1, 2, 3)).all() for one in (pasted, halved))
    again = spoiled_images(images, seed=4)
    assert np.array_equal(again[0].pixels, pasted.pixels)
    assert not np.array_equal(spoiled_images(images, seed=5)[0].pixels, pasted.pixels)


def test_search_and_near_duplicates_are_those_of_slow_loops(tmp_path):
    draws = np.random.default_rng(1)
    codes = draws.normal(size=(200, 6)).astype(np.float32)
    codes[50:90] = codes[50] * draws.uniform(1, 2, (40, 1))  # more copies than are asked for at first
    index = ImageIndex(codes, [f"picture {n}\n" for n in range(200)])
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    cosines = unit @ unit.T
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


def test_an_image_that_was_learned_from_is_no_neighbour_of_itself():
    from vision.uses.anomalies import _neighbor_distances

    keys = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    slow = np.sqrt(((keys[:, None] - keys[None]) ** 2).sum(2))
    np.fill_diagonal(slow, np.inf)
    np.testing.assert_allclose(_neighbor_distances(keys, keys), np.sort(slow, axis=1)[:, :5].mean(1), rtol=1e-4)
    others = keys + 0.5
    apart = np.sort(np.sqrt(((others[:, None] - keys[None]) ** 2).sum(2)), axis=1)[:, :5].mean(1)
    np.testing.assert_allclose(_neighbor_distances(others, keys), apart, rtol=1e-4)
