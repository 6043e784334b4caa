"""Baselines against scikit-learn, closed forms and slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from nlprep.core.errors import FileError, NlprepError, OptionError
from vision.baselines.configuration import PatchDictionaryConfig
from vision.baselines.linear_encoder import LinearEncoder, fit_ica, fit_lda, fit_pca
from vision.baselines.patch_dictionary import PatchDictionary
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing

SHAPE = (3, 7, 9)


def textured(count: int = 60, shape: tuple[int, int, int] = SHAPE, seed: int = 1) -> Images:
    """Smooth images, of two classes by the direction in which they brighten."""
    draws = np.random.default_rng(seed)
    channels, height, width = shape
    rows, columns = np.mgrid[:height, :width]
    classes = np.arange(count) % 2
    slopes = np.where(classes[:, None, None] == 0, rows / height, columns / width)[:, None]
    phases = draws.uniform(0, 6, (count, channels, 1, 1))
    pixels = 90 + 80 * slopes + 40 * np.sin(rows + phases) + draws.normal(0, 12, (count, *shape))
    return Images(pixels.clip(0, 255).astype(np.uint8), classes, ("down", "right"), source="textured")


def flat(images: Images) -> np.ndarray:
    return images.pixels.reshape(len(images), -1) / 255


def test_pca_is_the_singular_value_decomposition() -> None:
    images = textured()
    encoder = fit_pca(images, 4)
    centred = flat(images) - flat(images).mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(encoder.encode(images.pixels)), np.abs(left * values)[:, :4], atol=2e-4)
    whitened = fit_pca(images, 4, whiten=True).encode(images.pixels)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(4), atol=1e-3)
    # All components give the images back, some the best that so many can.
    error = np.square(encoder.reconstruct(images.pixels).reshape(60, -1) - flat(images)).sum()
    assert error <= np.square(values[4:]).sum() * 1.001
    np.testing.assert_allclose(fit_pca(images, 60).reconstruct(images.pixels).reshape(60, -1), flat(images), atol=1e-4)


def test_lda_is_the_direction_of_fisher() -> None:
    images = textured(600, (1, 4, 4))
    encoder = fit_lda(images)
    assert encoder.dimension == 1
    matrix = flat(images)
    down, right = (matrix[images.labels == label] for label in (0, 1))
    within = np.cov(down.T) + np.cov(right.T)
    fisher = np.linalg.solve(within, right.mean(0) - down.mean(0))
    cosine = fisher @ encoder.projection[:, 0] / np.linalg.norm(fisher) / np.linalg.norm(encoder.projection)
    assert abs(cosine) > 0.999
    codes = encoder.encode(images.pixels)[:, 0]
    assert abs(codes[images.labels == 0].mean() - codes[images.labels == 1].mean()) > 4


def test_ica_finds_what_was_mixed() -> None:
    draws = np.random.default_rng(3)
    sources = draws.laplace(size=(3000, 2))
    mixed = sources @ np.array([[0.1, 0.04, 0, 0.02], [0.02, -0.08, 0.05, 0]])
    pixels = ((0.5 + mixed).clip(0, 1) * 255).round().astype(np.uint8).reshape(-1, 1, 2, 2)
    codes = fit_ica(Images(pixels), 2).encode(pixels)
    found = np.abs(np.corrcoef(codes.T, sources.T)[:2, 2:])
    assert found.max(1).min() > 0.97
    np.testing.assert_allclose(np.cov(codes.T), np.eye(2), atol=0.01)


def slow_codes(encoder: PatchDictionary, image: np.ndarray) -> np.ndarray:
    """One patch at a time, as the papers write it."""
    config, (_, height, width) = encoder.config, encoder.preprocessing.shape
    rows, columns = height - config.patch + 1, width - config.patch + 1
    grid = np.empty((rows, columns), object)
    for y in range(rows):
        for x in range(columns):
            patch = image[:, y : y + config.patch, x : x + config.patch].astype(np.float64).ravel() / 255
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + config.contrast)
            u = (patch - encoder.mean) @ encoder.whitener
            if config.activation == "triangle":
                z = np.array([np.linalg.norm(u - atom) for atom in encoder.atoms])
                grid[y, x] = np.maximum(0, z.mean() - z)
            elif config.activation == "soft":
                s = np.array([u @ atom for atom in encoder.atoms])
                grid[y, x] = np.maximum(0, np.concatenate([s, -s]) - config.penalty)
            else:
                from sklearn.linear_model import Lasso

                lasso = Lasso(config.penalty / len(u), fit_intercept=False, tol=1e-9, max_iter=10_000)
                s = lasso.fit(encoder.atoms.T.astype(np.float64), u).coef_
                grid[y, x] = np.maximum(0, np.concatenate([s, -s]))
    middle = round(rows / 2), round(columns / 2)
    halves = [(slice(0, middle[0]), slice(middle[0], rows)), (slice(0, middle[1]), slice(middle[1], columns))]
    return np.concatenate([np.mean(list(grid[a, b].ravel()), 0) for a in halves[0] for b in halves[1]])


@pytest.mark.parametrize("activation", ["triangle", "soft", "sparse"])
@pytest.mark.parametrize("learning", ["k-means", "dictionary"])
def test_a_dictionary_codes_as_the_papers_say(learning: str, activation: str) -> None:
    config = PatchDictionaryConfig(
        atoms=6, patch=3, patches=300, learning=learning, activation=activation, iterations=5
    )
    images = textured()
    encoder = PatchDictionary.fit(images, config)
    codes = encoder.encode(images.pixels[:4])
    assert encoder.dimension == 4 * 6 * (1 if activation == "triangle" else 2)
    assert (codes > 0).any()
    expected = [slow_codes(encoder, image) for image in images.pixels[:4]]
    np.testing.assert_allclose(codes, expected, atol=2e-3 if activation == "sparse" else 2e-5)
    if activation != "triangle":
        np.testing.assert_allclose(np.linalg.norm(encoder.atoms, axis=1), 1, atol=1e-5)


def test_its_patches_are_white() -> None:
    config = PatchDictionaryConfig(atoms=4, patch=3, patches=20_000, whitening=1e-9, iterations=1)
    images = textured(400)
    encoder = PatchDictionary.fit(images, config)
    windows = np.lib.stride_tricks.sliding_window_view(images.pixels / 255, (3, 3), axis=(2, 3))
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 27)
    patches = patches - patches.mean(1, keepdims=True)
    patches /= np.sqrt(patches.var(1, keepdims=True) + config.contrast)
    values = np.linalg.eigvalsh(np.cov(((patches - encoder.mean) @ encoder.whitener).T))
    # The mean of a patch was taken away: one direction has nothing.
    assert values[0] == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(values[1:], 1, atol=0.1)


def test_it_is_a_function_of_its_seed() -> None:
    images = textured()
    config = PatchDictionaryConfig(atoms=5, patch=3, patches=200, iterations=5)
    one, same = (PatchDictionary.fit(images, config).atoms for _ in range(2))
    np.testing.assert_array_equal(one, same)
    other = PatchDictionary.fit(images, PatchDictionaryConfig(atoms=5, patch=3, patches=200, iterations=5, seed=2))
    assert np.abs(other.atoms - one).max() > 0.01


def test_what_does_not_fit_is_said(tmp_path) -> None:
    images = textured(12)
    bare = Images(images.pixels, source="bare")
    with pytest.raises(OptionError, match=r"dimension = 13: give from 1 to 12"):
        fit_pca(images, 13)
    with pytest.raises(NlprepError, match="bare: has no labels"):
        fit_lda(bare)
    with pytest.raises(NlprepError, match="images of 1 class"):
        fit_lda(images.select(np.array([0, 2, 4])))
    with pytest.raises(OptionError, match=r"dimension = 2: give from 1 to 1 \(classes less one\)"):
        fit_lda(images, 2)
    with pytest.raises(NlprepError, match="all 3 images are the same"):
        fit_pca(images.select(np.array([1, 1, 1])), 1)
    with pytest.raises(OptionError, match=r"patch = 7 and pooling = 2 do not fit into images of 7 x 9"):
        PatchDictionary.fit(images, PatchDictionaryConfig(patch=7))
    with pytest.raises(OptionError, match="atoms = 400: give at least as many patches, not 100"):
        PatchDictionary.fit(images, PatchDictionaryConfig(patches=100))
    with pytest.raises(NlprepError, match="patches are all alike"):
        PatchDictionary.fit(Images(np.full((4, *SHAPE), 7, np.uint8)), PatchDictionaryConfig(atoms=2, patch=3))
    with pytest.raises(NlprepError, match="holds no images"):
        fit_ica(images.select(np.array([], np.int64)), 1)
    encoder = fit_pca(images, 2)
    with pytest.raises(OptionError, match=r"preprocessing makes images of \(3, 9, 7\), textured are of \(3, 7, 9\)"):
        fit_pca(images, 2, preprocessing=Preprocessing(height=9, width=7))
    encoder.save(tmp_path / "pca")
    with pytest.raises(FileError, match="patch-dictionary"):
        PatchDictionary.from_directory(tmp_path / "pca")
    LinearEncoder(encoder.preprocessing, np.full(189, np.nan), encoder.projection, "pca").save(tmp_path / "nan")
    with pytest.raises(FileError, match="no numbers"):
        LinearEncoder.from_directory(tmp_path / "nan")


def test_bytes_and_floats_have_the_same_codes() -> None:
    images = textured(12)
    encoder = fit_pca(images, 2)
    np.testing.assert_allclose(encoder.encode(images.pixels / 255), encoder.encode(images), atol=1e-5)
