"""Odd images: scores against slow loops, what was planted, and what each score promises."""

import numpy as np
import pytest
import torch

from nlprep.core.errors import NlprepError, OptionError
from vision.backbones.configuration import BackboneConfig
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.autoencoder import Autoencoder
from vision.models.configuration import AutoencoderConfig, MaskedAutoencoderConfig, VaeConfig
from vision.models.files import SavedModel, build
from vision.uses.anomalies import (
    AnomalyDetector,
    fit_anomalies,
    supported_rate,
)
from vision.uses.anomaly_scores import Neighbors
from vision.uses.heat import heat_of
from vision.uses.usual_images import (
    BASELINES,
    CODE_SCORES,
    LARGEST_SCORE,
    PARTS,
    PATCH_SCORES,
    learn_scores,
    patch_settings,
    score_images,
    score_names,
)

pytestmark = pytest.mark.slow

SHAPE = (1, 8, 8)
MLP = BackboneConfig(kind="mlp", width=8, depth=1)
CONFIGS = {
    "autoencoder": AutoencoderConfig(dimension=3, backbone=MLP),
    "vae": VaeConfig(dimension=3, backbone=MLP),
    "conditional-autoencoder": AutoencoderConfig(dimension=3, backbone=MLP),
    "conditional-vae": VaeConfig(dimension=3, backbone=MLP),
    "masked": MaskedAutoencoderConfig(
        backbone=BackboneConfig(kind="vit", width=12, depth=1, heads=3, patch=4), decoder_width=12, decoder_heads=3
    ),
}


def plain_images(count: int, seed: int = 0) -> Images:
    """Vertical ramps of different brightness."""
    draws = np.random.default_rng(seed)
    ramp = np.linspace(0.2, 0.8, 8)[None, :, None] * draws.uniform(0.5, 1, (count, 1, 1))
    return Images((255 * np.broadcast_to(ramp, (count, 8, 8))).astype(np.uint8)[:, None], source="ramps")


def noise_images(count: int, seed: int = 0) -> Images:
    """Every pixel by itself."""
    return Images(np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8), source="noise")


def save_of(name: str, seed: int = 1) -> SavedModel:
    classes = ("a", "b", "c") if name.startswith("conditional") else ()
    model = build(name, SHAPE, CONFIGS[name], num_classes=len(classes), seed=seed).eval()
    preprocessing = Preprocessing(channels=1, height=8, width=8)
    return SavedModel(model=model, config=CONFIGS[name], preprocessing=preprocessing, classes=classes)


@pytest.fixture(scope="module")
def saved() -> SavedModel:
    return save_of("autoencoder")


def test_scores_are_those_of_slow_loops(saved):
    usual, others = plain_images(80), noise_images(6, seed=1)
    learned = learn_scores(saved, usual, score_names(saved))
    found = score_images(learned, others)
    flat, known = others.pixels.reshape(6, -1) / 255, usual.pixels.reshape(80, -1) / 255
    slow = [np.sort([np.linalg.norm(one - key) for key in known])[:5].mean() for one in flat]
    np.testing.assert_allclose(found["pixel_neighbors"], slow, rtol=1e-5)
    with torch.no_grad():
        codes, keys = (saved.model.encode(torch.from_numpy(each.pixels)).numpy() for each in (others, usual))
    slow = [np.sort([np.linalg.norm(one - key) for key in keys])[:5].mean() for one in codes]
    np.testing.assert_allclose(found["code_neighbors"], slow, rtol=1e-4)
    quadratic = learned.modules["pixel_pca"].distance
    halves = np.searchsorted(learned.digests, _digests(usual)) % 2
    errors = []
    for half in (0, 1):
        mean = known[halves == half].mean(0)
        axes = np.linalg.svd(known[halves == half] - mean, full_matrices=False)[2]
        # As many as have any variance: of ramps that is one.
        axes = axes[: int((quadratic.axes[half].abs().sum(1) > 0).sum())]
        left = (flat - mean) - (flat - mean) @ axes.T @ axes
        errors.append((left**2).sum(1))
    np.testing.assert_allclose(found["pixel_pca"], np.mean(errors, 0), rtol=1e-4)


def test_patches_are_coded_as_the_dictionary_codes_them(saved):
    from vision.baselines.configuration import PatchDictionaryConfig
    from vision.baselines.patch_dictionary import PatchDictionary

    images = noise_images(30)
    module = learn_scores(saved, images, ["patch_neighbors"], seed=4).modules["patch_neighbors"]
    patch, pooling = patch_settings(SHAPE)
    config = PatchDictionaryConfig(atoms=100, patch=patch, pooling=pooling, patches=20_000, iterations=15, seed=4)
    fitted = PatchDictionary.fit(images, config)
    few = noise_images(3, seed=9)
    slow = fitted.encode(few)
    with torch.no_grad():
        np.testing.assert_allclose(module.features(torch.from_numpy(few.pixels)), slow, atol=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_score_depends_on_its_image_alone(name):
    kept = save_of(name)
    learned = learn_scores(kept, plain_images(40), score_names(kept))
    among = Images(np.concatenate([noise_images(150, 1).pixels, plain_images(3, 2).pixels]), source="many")
    together = score_images(learned, among)
    assert set(together) > {*BASELINES, *CODE_SCORES, *PATCH_SCORES}
    for place in (0, 140, 152):
        alone = score_images(learned, among.select(np.array([place])))
        for score, values in together.items():
            assert alone[score][0] == pytest.approx(values[place], rel=1e-4, abs=1e-5), score
    heats = heat_of(kept, among)
    np.testing.assert_allclose(heat_of(kept, among.select(np.array([140])))[0], heats[140], atol=1e-5)


def test_a_conditional_model_scores_an_image_by_the_class_that_suits_it_best():
    kept = save_of("conditional-vae")
    images = noise_images(4)
    pixels = torch.from_numpy(images.pixels)
    with torch.no_grad():
        every = [kept.model.scores(pixels, torch.full((4,), label))["bound"].numpy() for label in range(3)]
    found = score_images(learn_scores(kept, plain_images(20), ["bound"]), images)["bound"]
    np.testing.assert_allclose(found, np.min(every, axis=0), rtol=1e-5)
    # Labels are not asked for, neither of usual images nor of others.
    assert fit_anomalies(kept, plain_images(20), plain_images(60, 3)).score in score_names(kept)


def test_images_that_were_learned_from_score_as_others_of_their_kind_do(saved):
    """Else a line that others draw would be too high for them."""
    usual, others = noise_images(60), noise_images(400, seed=1)
    names = ("pixel_pca", "code_mahalanobis", "pixel_neighbors", "code_neighbors")
    learned = learn_scores(saved, usual, names)
    own, new = score_images(learned, usual), score_images(learned, others)
    for name in names:
        assert own[name].mean() == pytest.approx(new[name].mean(), rel=0.15), name


def test_equal_images_are_in_one_half(saved):
    few = noise_images(10)
    twice = Images(np.concatenate([few.pixels, few.pixels[::-1]]), source="twice")
    learned = learn_scores(saved, twice, ["pixel_pca"])
    assert len(learned.digests) == 10
    scores = score_images(learned, twice)["pixel_pca"]
    np.testing.assert_allclose(scores[:10], scores[:9:-1], rtol=1e-6)
    assert scores.min() > 1  # were one of a pair in each half, each would be told by its copy


def test_images_that_are_all_alike_have_scores(saved):
    alike = Images(np.full((30, *SHAPE), 90, np.uint8), source="alike")
    names = [name for name in score_names(saved) if name not in (*PATCH_SCORES, LARGEST_SCORE)]
    for values in score_images(learn_scores(saved, alike, names), noise_images(2)).values():
        assert np.isfinite(values).all()
    held_out = Images(np.full((60, *SHAPE), 90, np.uint8), source="alike, too")
    assert fit_anomalies(saved, alike, held_out).threshold.flag(np.zeros(1)).sum() == 0


def test_planted_images_are_found_and_the_line_keeps_its_share(saved, tmp_path):
    detector = fit_anomalies(saved, plain_images(100), plain_images(60, seed=2))
    assert detector.score == LARGEST_SCORE
    fresh = plain_images(200, seed=3)
    odd = Images(fresh.pixels[:5].transpose(0, 1, 3, 2).copy(), source="turned")
    assert detector.threshold.flag(detector.scores(odd)).all()
    assert detector.threshold.flag(detector.scores(fresh)).mean() <= 0.1
    heat = detector.heat(odd)
    assert (heat.name, heat.of_score) == ("neighbors by place", True)
    np.testing.assert_allclose(heat.values.mean((1, 2)), detector.scores(odd), rtol=1e-4)


@pytest.mark.parametrize("score", [*BASELINES, *PATCH_SCORES, LARGEST_SCORE])
def test_a_map_of_a_score_is_hot_where_the_image_was_spoiled_and_its_mean_is_the_score(saved, score):
    usual = plain_images(100)
    detector = fit_anomalies(saved, usual, plain_images(60, seed=2), score=score)
    spoiled = plain_images(4, seed=3).pixels.copy()
    spoiled[:, :, :3, :3] = np.random.default_rng(0).integers(0, 256, (4, 1, 3, 3))
    both = Images(np.concatenate([spoiled, usual.pixels[:2]]), source="some spoiled")
    heat, scores = detector.heat(both), detector.scores(both)
    assert heat.values.shape == (6, 8, 8)
    # Images that were learned from are judged as if they were not, here too.
    np.testing.assert_allclose(heat.values.mean((1, 2)), scores.clip(min=0), rtol=1e-3, atol=1e-5)
    assert (heat.values[:4, :3, :3].mean((1, 2)) > 2 * heat.values[:4, 4:, 4:].mean((1, 2))).all()
    assert heat.describe(score) == (
        f"heat: {score} by place, the score that ranks; its mean over an image is the image's score"
    )


def test_a_score_without_a_map_is_shown_with_the_error_and_says_so(saved):
    detector = fit_anomalies(saved, plain_images(60), plain_images(60, seed=2), score="code_neighbors")
    heat = detector.heat(noise_images(2))
    np.testing.assert_array_equal(heat.values, heat_of(saved, noise_images(2)))
    assert heat.describe("code_neighbors") == (
        "heat: squared error of what the model makes of an image; ranked by code_neighbors, which has no map"
    )


@pytest.mark.parametrize("score", ["reconstruction_error", *CODE_SCORES, *BASELINES, *PATCH_SCORES, LARGEST_SCORE])
def test_a_detector_is_kept_with_its_line(saved, tmp_path, score):
    usual, odd = plain_images(100), noise_images(5)
    detector = fit_anomalies(saved, usual, plain_images(60, seed=2), score=score)
    detector.save(tmp_path / "detector")
    opened = AnomalyDetector.from_directory(tmp_path / "detector", device="cpu")
    assert (opened.score, opened.threshold) == (score, detector.threshold)
    for images in (odd, usual):
        assert np.array_equal(opened.scores(images), detector.scores(images))
    with torch.no_grad():
        np.testing.assert_allclose(opened.module(torch.from_numpy(odd.pixels)), detector.scores(odd), rtol=1e-5)


def test_bad_requests_are_refused(saved):
    with pytest.raises(OptionError, match="choose from"):
        fit_anomalies(saved, plain_images(10), plain_images(60), score="nothing")
    with pytest.raises(NlprepError, match="cannot show"):
        fit_anomalies(saved, plain_images(10), plain_images(3), score="pixel_pca")
    other = Images(np.zeros((60, 1, 9, 9), np.uint8), source="larger")
    with pytest.raises(NlprepError, match="larger"):
        fit_anomalies(saved, plain_images(10), other)
    assert supported_rate(59) == 0.05
    assert supported_rate(58) == 0.1


def test_an_image_that_was_learned_from_is_no_neighbour_of_itself():
    keys = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    slow = np.sqrt(((keys[:, None] - keys[None]) ** 2).sum(2))
    np.fill_diagonal(slow, np.inf)
    module = Neighbors(torch.from_numpy(keys))
    np.testing.assert_allclose(module(torch.from_numpy(keys))[:, 0], np.sort(slow, axis=1)[:, :5].mean(1), rtol=1e-4)
    others = keys + 0.5
    apart = np.sort(np.sqrt(((others[:, None] - keys[None]) ** 2).sum(2)), axis=1)[:, :5].mean(1)
    np.testing.assert_allclose(module(torch.from_numpy(others))[:, 0], apart, rtol=1e-4)


def _digests(images: Images) -> np.ndarray:
    from vision.uses.usual_images import image_digests

    return image_digests(images)


def test_the_default_score_is_the_larger_of_its_standardised_parts(saved):
    usual, others = noise_images(40), noise_images(9, seed=1)
    parts = score_images(learn_scores(saved, usual, list(PARTS)), usual)
    apart = score_images(learn_scores(saved, usual, list(PARTS)), others)
    slow = np.max(
        [weight * (apart[name] - parts[name].mean()) / parts[name].std(ddof=0) for name, weight in PARTS.items()],
        axis=0,
    )
    found = score_images(learn_scores(saved, usual, [LARGEST_SCORE]), others)
    assert set(found) == {LARGEST_SCORE}
    np.testing.assert_allclose(found[LARGEST_SCORE], slow, rtol=1e-4)
    # And so it is beside all others, which share what is computed.
    among = score_images(learn_scores(saved, usual, score_names(saved)), others)
    np.testing.assert_allclose(among[LARGEST_SCORE], slow, rtol=1e-4)


def test_without_a_score_one_alone_is_learned(saved, monkeypatch):
    from vision.uses import anomalies

    asked = []
    learn = anomalies.learn_scores
    monkeypatch.setattr(
        anomalies, "learn_scores", lambda *given, **more: asked.append(given[2]) or learn(*given, **more)
    )
    assert fit_anomalies(saved, plain_images(20), plain_images(60, 3)).score == LARGEST_SCORE
    assert asked == [[LARGEST_SCORE]]


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 5), (1, 1, 6), (1, 9, 40)])
def test_images_of_any_shape_are_scored(shape):
    draws = np.random.default_rng(0)
    model = Autoencoder(shape, AutoencoderConfig(dimension=2, backbone=MLP)).eval()
    kept = SavedModel(
        model=model, config=model.config,
        preprocessing=Preprocessing(channels=shape[0], height=shape[1], width=shape[2]),
    )  # fmt: skip
    usual, others = (Images(draws.integers(0, 256, (60, *shape), dtype=np.uint8), source="drawn") for _ in range(2))
    names = score_names(kept)
    assert ("patch_neighbors" in names) == (shape[1] > 1)
    for values in score_images(learn_scores(kept, usual, names), others).values():
        assert values.shape == (60,)
        assert np.isfinite(values).all()
    assert fit_anomalies(kept, usual, others).score in names
