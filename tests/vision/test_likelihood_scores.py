"""Likelihood as a score: what it misses, what finds that, and the length of a code against slow coders."""

import math
import zlib

import numpy as np
import pytest
import torch

from nlprep.core.errors import OptionError
from nlprep.evaluation.detection import area_under_curve
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.configuration import AutoencoderConfig, LikelihoodConfig, RestrictedBoltzmannConfig, VaeConfig
from vision.models.files import SavedModel, build
from vision.models.flow_configuration import GlowConfig
from vision.uses.anomalies import AnomalyDetector, fit_anomalies
from vision.uses.code_lengths import code_nats, deflated_bits, rice_bits
from vision.uses.likelihood_scores import ATYPICALITY, COMPLEXITY, LIKELIHOOD_SCORES
from vision.uses.usual_images import learn_scores, score_images, score_names

pytestmark = pytest.mark.slow

SHAPE = (1, 4, 4)
MLP = BackboneConfig(kind="mlp", width=4, depth=1)


def save_of(name: str, config: object, classes: tuple[str, ...] = ()) -> SavedModel:
    model = build(name, SHAPE, config, num_classes=len(classes)).eval()
    preprocessing = Preprocessing(channels=1, height=4, width=4)
    return SavedModel(model=model, config=config, preprocessing=preprocessing, classes=classes)


def drawn(count: int, seed: int, spread: int = 110) -> Images:
    draws = np.random.default_rng(seed).integers(128 - spread, 128 + spread, (count, *SHAPE), dtype=np.uint8)
    return Images(draws, source="drawn")


def plain(count: int) -> Images:
    """Each of one grey, in the middle, where an untrained flow's density is highest."""
    greys = np.arange(120, 120 + count, dtype=np.uint8)[:, None, None, None]
    return Images(np.ascontiguousarray(np.broadcast_to(greys, (count, *SHAPE))), source="plain")


@pytest.fixture(scope="module")
def flow() -> SavedModel:
    return save_of("glow", GlowConfig(levels=1, steps=1, width=4))


def test_plain_images_are_likelier_and_are_found_all_the_same(flow):
    """The known failure, in a flow whose density is a normal one: its mode is like nothing that was shown."""
    learned = learn_scores(flow, drawn(60, 1), ("nats", *LIKELIHOOD_SCORES))
    usual, odd = score_images(learned, drawn(50, 2)), score_images(learned, plain(10))
    areas = {name: area_under_curve(usual[name], odd[name]) for name in usual}
    assert areas == {"nats": 0.0, COMPLEXITY: 1.0, ATYPICALITY: 1.0}


def test_the_scores_are_what_they_say(flow):
    reference, images = drawn(60, 1), drawn(7, 2)
    found = score_images(learn_scores(flow, reference, ("nats", *LIKELIHOOD_SCORES)), images)
    with torch.no_grad():
        usual = flow.model.scores(torch.from_numpy(reference.pixels))["nats"].mean()
    np.testing.assert_allclose(found[ATYPICALITY], np.abs(found["nats"] - float(usual)), atol=1e-4)
    np.testing.assert_allclose(found[COMPLEXITY], found["nats"] - code_nats(images.pixels), atol=1e-6)


def test_of_classes_the_one_that_suits_best_counts():
    saved = save_of("conditional-glow", GlowConfig(levels=1, steps=1, width=4), ("a", "b"))
    with torch.no_grad():
        saved.model.class_noise.last.network.layers[-1].weight.normal_(0, 0.3)
    found = score_images(learn_scores(saved, drawn(20, 1), ("nats", COMPLEXITY)), drawn(3, 2))
    np.testing.assert_allclose(found[COMPLEXITY], found["nats"] - code_nats(drawn(3, 2).pixels), atol=1e-6)


def test_only_likelihoods_of_bytes_are_less_a_code():
    def names(name: str, config: object) -> set[str]:
        return set(score_names(save_of(name, config))) & set(LIKELIHOOD_SCORES)

    logistic = VaeConfig(dimension=2, backbone=MLP, likelihood=LikelihoodConfig(kind="logistic"))
    assert names("vae", logistic) == set(LIKELIHOOD_SCORES)
    assert names("vae", VaeConfig(dimension=2, backbone=MLP)) == {ATYPICALITY}
    assert names("rbm", RestrictedBoltzmannConfig(dimension=2)) == {ATYPICALITY}
    assert names("autoencoder", AutoencoderConfig(dimension=2, backbone=MLP)) == set()
    with pytest.raises(OptionError, match="choose from"):
        learn_scores(save_of("vae", VaeConfig(dimension=2, backbone=MLP)), drawn(4, 1), [COMPLEXITY])


@pytest.mark.parametrize("score", LIKELIHOOD_SCORES)
def test_a_detector_is_kept(flow, tmp_path, score):
    detector = fit_anomalies(flow, drawn(40, 1), drawn(60, 2), score=score)
    detector.save(tmp_path / "detector")
    opened = AnomalyDetector.from_directory(tmp_path / "detector", device="cpu")
    assert (opened.score, opened.threshold) == (score, detector.threshold)
    assert np.array_equal(opened.scores(plain(5)), detector.scores(plain(5)))
    with torch.no_grad():
        alone = opened.module(torch.from_numpy(plain(5).pixels).float() / 255)
    np.testing.assert_allclose(alone, detector.scores(plain(5)), rtol=1e-5)


def test_no_onnx_file_holds_a_code(flow, tmp_path):
    from vision.encoders.onnx_files import export_detector_onnx

    detector = fit_anomalies(flow, drawn(40, 1), drawn(60, 2), score=COMPLEXITY)
    with pytest.raises(OptionError, match="choose another score"):
        export_detector_onnx(detector, tmp_path / "detector.onnx")


IMAGES = {
    "noise": np.random.default_rng(3).integers(0, 256, (2, 3, 5, 6), dtype=np.uint8),
    "ramps": (np.arange(48).reshape(1, 1, 6, 8) * 3).astype(np.uint8),
    "stripes": np.tile(np.array([0, 200], np.uint8), (1, 1, 8, 4)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_lengths_are_those_of_a_code_that_gives_the_image_back(name):
    images = IMAGES[name]
    for image, deflated, rice in zip(images, deflated_bits(images), rice_bits(images), strict=True):
        codes = [rice_code(image, shift) for shift in range(8)]
        assert min(map(len, codes)) + 3 == rice
        for shift, code in enumerate(codes):
            assert np.array_equal(rice_image(code, shift, image.shape), image)
        assert 8 * min(len(png_code(image, kind)) for kind in range(5)) == deflated
    shorter = np.minimum(deflated_bits(images), rice_bits(images))
    np.testing.assert_allclose(code_nats(images) / math.log(2), shorter + math.log2(6))


def around(image: np.ndarray, channel: int, y: int, x: int) -> tuple[int, int, int]:
    """Left, above, and the corner between."""
    left = int(image[channel, y, x - 1]) if x else 0
    above = int(image[channel, y - 1, x]) if y else 0
    return left, above, int(image[channel, y - 1, x - 1]) if x and y else 0


def median(left: int, above: int, corner: int) -> int:
    return sorted((left, above, left + above - corner))[1]


def rice_code(image: np.ndarray, shift: int) -> str:
    code = ""
    for channel, y, x in np.ndindex(image.shape):
        rest = (int(image[channel, y, x]) - median(*around(image, channel, y, x)) + 128) % 256 - 128
        folded = 2 * rest if rest >= 0 else -2 * rest - 1
        code += "1" * (folded >> shift) + "0" + (f"{folded % (1 << shift):0{shift}b}" if shift else "")
    return code


def rice_image(code: str, shift: int, shape: tuple[int, ...]) -> np.ndarray:
    image, place = np.zeros(shape, np.uint8), 0
    for channel, y, x in np.ndindex(shape):
        ones = code.index("0", place) - place
        place += ones + 1
        folded = (ones << shift) + (int(code[place : place + shift], 2) if shift else 0)
        place += shift
        rest = folded // 2 if folded % 2 == 0 else -(folded + 1) // 2
        image[channel, y, x] = (median(*around(image, channel, y, x)) + rest) % 256
    assert place == len(code)
    return image


def png_code(image: np.ndarray, kind: int) -> bytes:
    """As PNG's specification has its filters, section 9."""
    filtered = bytearray()
    channels, height, width = image.shape
    for y, x, channel in np.ndindex(height, width, channels):
        left, above, corner = around(image, channel, y, x)
        nearest = min((left, above, corner), key=lambda value: abs(left + above - corner - value))
        guess = (0, left, above, (left + above) // 2, nearest)[kind]
        filtered.append((int(image[channel, y, x]) - guess) % 256)
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(bytes(filtered)) + coder.flush()
