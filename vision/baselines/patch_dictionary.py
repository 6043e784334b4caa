"""A dictionary of patches: what one layer learns without gradients (Coates and Ng).

Patches are brought to mean 0 and contrast 1, whitened (ZCA) and clustered or sparsely coded; the atoms are slid over an
image, activations are averaged over the regions of a grid, and that is the code. Sources: Coates, Lee and Ng 2011, "An
Analysis of Single-Layer Networks in Unsupervised Feature Learning", section 3 (k-means, ``triangle``); Coates and Ng
2011, "The Importance of Encoding Versus Training with Sparse Coding and Vector Quantization" (dictionaries, ``soft``
thresholds and ``sparse`` codes, both halves by sign). Deviations: activations are averaged and not summed, so that
regions of unequal size count alike; dictionaries are scikit-learn's.

With a whitened patch u and atoms a_k:

- ``triangle``: max(0, mean_j z_j - z_k), where z_k = ||u - a_k||;
- ``soft``: max(0, u a_k - penalty) and max(0, -u a_k - penalty), with atoms of length 1;
- ``sparse``: the positive and the negative part of argmin_s ||u - s A||^2 / 2 + penalty ||s||_1, also with such atoms.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, uniforms
from nlprep.vectors.whitening import Variances
from vision.baselines.configuration import PatchDictionaryConfig
from vision.baselines.pictures import encode_pictures, open_preprocessing, preprocessing_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from nlprep.core.progress import Progress
    from vision.images.collection import Images, Shape
    from vision.images.preprocessing import Preprocessing

ARTIFACT_KIND = "patch-dictionary"
# Numbers of activations that are in memory at once.
_BLOCK_NUMBERS = 1 << 24
_PURPOSE_PATCHES, _PURPOSE_ATOMS = 1, 2


class PatchDictionary:
    """Images coded by the patches that they hold. Made by `fit`.

    Args:
        preprocessing: How pictures become images.
        config: The settings.
        mean: (p,) of normalised patches, p = channels patch patch.
        whitener: (p, p), which makes their variances equal.
        atoms: (atoms, p).

    Raises:
        OptionError: A patch, or a grid of regions, that does not fit into the images.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        config: PatchDictionaryConfig,
        mean: NDArray[np.floating[Any]],
        whitener: NDArray[np.floating[Any]],
        atoms: NDArray[np.floating[Any]],
    ) -> None:
        _check_fit(preprocessing.shape, config)
        self.preprocessing, self.config = preprocessing, config
        self.mean = np.asarray(mean, np.float32)
        self.whitener = np.asarray(whitener, np.float32)
        self.atoms = np.asarray(atoms, np.float32)

    @classmethod
    def fit(
        cls,
        images: Images,
        config: PatchDictionaryConfig | None = None,
        *,
        preprocessing: Preprocessing | None = None,
        progress: Progress = SILENT,
    ) -> PatchDictionary:
        """Learn a dictionary; labels are not looked at.

        Args:
            images: To learn from.
            config: The settings.
            preprocessing: How pictures that are given later become images; default: cropped to the shape of these.
            progress: Gets what is done.

        Raises:
            OptionError: A patch or a grid that does not fit into the images, or more atoms than patches, or a
                preprocessing that makes images of another shape.
            NlprepError: No images, or ones whose patches are all alike.
        """
        config = config or PatchDictionaryConfig()
        _check_fit(images.shape, config)
        if not len(images):
            raise NlprepError(f"{images.source}: holds no images: give some")
        if config.atoms > config.patches:
            raise OptionError(f"atoms = {config.atoms}: give at least as many patches, not {config.patches}")
        patches = _normalised(_drawn_patches(images, config), config.contrast)
        mean = patches.mean(0)
        centred = patches - mean
        covariance = (centred.T @ centred / len(patches)).astype(np.float64)
        if not np.trace(covariance) > 0:
            raise NlprepError(f"{images.source}: its patches are all alike: give images that show something")
        whitener = Variances.of(covariance + config.whitening * np.eye(len(covariance))).to_power(-0.5)
        whitened = centred @ whitener.astype(np.float32)
        with progress.task(f"learning {config.atoms:,} atoms of {len(whitened):,} patches"):
            atoms = _learn_atoms(whitened, config)
        return cls(preprocessing_of(images, preprocessing), config, mean, whitener, _as_used(atoms, config))

    @property
    def dimension(self) -> int:
        """Regions, times atoms (twice as many where signs are told apart)."""
        halves = 1 if self.config.activation == "triangle" else 2
        return self.config.pooling**2 * halves * len(self.atoms)

    @property
    def module(self) -> nn.Module | None:
        """None: it is not learned by gradients."""
        return None

    def encode(
        self, items: Sequence[Any] | Images, batch_size: int = 64, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Make vectors (see `nlprep.evaluation.encoder.Encoder`).

        Args:
            items: As for `vision.encoders.image_encoder.ImageEncoder.encode`.
            batch_size: How many are coded at once; fewer where they are large.
            progress: Gets images.

        Returns:
            (n, `dimension`) float32, by region (row by row), then by atom.
        """
        return encode_pictures(
            items, batch_size, self.preprocessing, self._codes, dimension=self.dimension, progress=progress
        )

    def randomized(self, seed: int = 1) -> PatchDictionary:
        """As many atoms drawn from a Gaussian of the lengths of these, behind the same whitening."""
        draws = np.random.default_rng([seed, *self.atoms.shape]).standard_normal(self.atoms.shape)
        lengths = np.linalg.norm(self.atoms, axis=1, keepdims=True)
        draws *= lengths / np.linalg.norm(draws, axis=1, keepdims=True)
        return PatchDictionary(self.preprocessing, replace(self.config, seed=seed), self.mean, self.whitener, draws)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an artifact directory of kind ``patch-dictionary``, replacing an older one only when whole.

        Args:
            directory: The place.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else; what was there is untouched.
        """
        write_artifact(
            directory,
            kind=ARTIFACT_KIND,
            config={"preprocessing": to_mapping(self.preprocessing), "dictionary": to_mapping(self.config)},
            tensors={"mean": self.mean, "whitener": self.whitener, "atoms": self.atoms},
            overwrite=overwrite,
        )

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], /) -> PatchDictionary:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(directory, kind=ARTIFACT_KIND)
        preprocessing, settings = open_preprocessing(artifact), artifact.config.get("dictionary")
        if not isinstance(settings, dict):
            raise FileError(directory, "does not say how it codes: fit and save it again")
        try:
            config = from_mapping(PatchDictionaryConfig, settings, where=str(directory))
        except OptionError as error:
            raise FileError(directory, f"has settings of another version ({error}): fit and save it again") from error
        size = preprocessing.channels * config.patch**2
        tensors = [
            artifact.tensor("mean", dtype="float32", shape=(size,)),
            artifact.tensor("whitener", dtype="float32", shape=(size, size)),
            artifact.tensor("atoms", dtype="float32", shape=(config.atoms, size)),
        ]
        if not all(np.isfinite(tensor).all() for tensor in tensors):
            raise FileError(directory, "holds weights that are no numbers: fit and save it again")
        return cls(preprocessing, config, *tensors)

    def activations(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Activations before pooling, (b, rows, columns, atoms or twice as many), of images in [0, 1]."""
        windows = _windows(pixels, self.config.patch)
        count, rows, columns = windows.shape[:3]
        patches = _normalised(windows.reshape(count * rows * columns, -1), self.config.contrast) - self.mean
        whitened: NDArray[np.float32] = (patches @ self.whitener).astype(np.float32, copy=False)
        return self._activate(whitened).reshape(count, rows, columns, -1)

    def _activate(self, whitened: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.config.activation == "sparse":
            from sklearn.decomposition import sparse_encode

            # scikit-learn's lasso weighs the squared error by 1 / 2, as ours.
            signed = sparse_encode(
                whitened.astype(np.float64), self.atoms.astype(np.float64), algorithm="lasso_cd",
                alpha=self.config.penalty, max_iter=200,
            )  # fmt: skip
            halves: NDArray[np.float32] = np.concatenate([signed, -signed], 1).astype(np.float32)
            return halves.clip(min=0)
        products: NDArray[np.float32] = whitened @ self.atoms.T
        if self.config.activation == "soft":
            thresholded: NDArray[np.float32] = np.concatenate([products, -products], 1) - np.float32(
                self.config.penalty
            )
            return thresholded.clip(min=0)
        squares = np.einsum("ij,ij->i", whitened, whitened)[:, None]
        products *= -2
        products += squares
        products += np.einsum("ij,ij->i", self.atoms, self.atoms)
        np.sqrt(np.maximum(products, 0, out=products), out=products)
        np.subtract(products.mean(1, keepdims=True), products, out=products)
        np.maximum(products, 0, out=products)
        return products

    def _codes(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        _, height, width = self.preprocessing.shape
        rows, columns = height - self.config.patch + 1, width - self.config.patch + 1
        block = max(1, _BLOCK_NUMBERS // (rows * columns * len(self.atoms)))
        codes = np.empty((len(pixels), self.dimension), np.float32)
        for start in range(0, len(pixels), block):
            found = self.activations(pixels[start : start + block])
            codes[start : start + block] = _pooled(found, self.config.pooling)
        return codes


def _check_fit(shape: Shape, config: PatchDictionaryConfig) -> None:
    least = min(shape[1:])
    if config.patch + config.pooling - 1 > least:
        raise OptionError(
            f"patch = {config.patch} and pooling = {config.pooling} do not fit into images of {shape[1]} x {shape[2]}: "
            f"together at most {least + 1}"
        )


def _windows(pixels: NDArray[np.float32], patch: int) -> NDArray[np.float32]:
    """(b, rows, columns, channels patch patch), all patches of images, copied."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (patch, patch), axis=(2, 3))
    windows = windows.transpose(0, 2, 3, 1, 4, 5)
    return np.ascontiguousarray(windows).reshape(*windows.shape[:3], -1)


def _drawn_patches(images: Images, config: PatchDictionaryConfig) -> NDArray[np.float32]:
    """Patches (n, p) whose images and places are functions of the seed and the patch's number."""
    _, height, width = images.shape
    shares = uniforms(combine(config.seed, np.arange(config.patches)), 3, purpose=_PURPOSE_PATCHES)
    sizes = (len(images), height - config.patch + 1, width - config.patch + 1)
    image, top, left = (shares * sizes).astype(np.int64).T
    # An image is read once, which counts where pixels are mapped from a file.
    order = np.argsort(image, kind="stable")
    found = np.empty((config.patches, images.shape[0], config.patch, config.patch), np.float32)
    for place in order:
        y, x = top[place], left[place]
        found[place] = images.pixels[image[place], :, y : y + config.patch, x : x + config.patch]
    return found.reshape(config.patches, -1) / np.float32(255)


def _normalised(patches: NDArray[np.float32], contrast: float) -> NDArray[np.float32]:
    """Patches of mean 0, divided by their deviation."""
    patches = patches - patches.mean(1, keepdims=True)
    variances = np.einsum("ij,ij->i", patches, patches)[:, None] / patches.shape[1]
    patches /= np.sqrt(variances + np.float32(contrast))
    return patches


def _learn_atoms(whitened: NDArray[np.float32], config: PatchDictionaryConfig) -> NDArray[np.floating[Any]]:
    seed = int(combine(config.seed, _PURPOSE_ATOMS)) % 2**31
    if config.learning == "k-means":
        from sklearn.cluster import KMeans

        fitted = KMeans(config.atoms, init="random", n_init=1, max_iter=config.iterations, random_state=seed)
        centres: NDArray[np.floating[Any]] = fitted.fit(whitened).cluster_centers_
        return centres
    from sklearn.decomposition import MiniBatchDictionaryLearning

    learner = MiniBatchDictionaryLearning(
        config.atoms, alpha=config.penalty, max_iter=config.iterations, batch_size=256, random_state=seed,
        fit_algorithm="cd", transform_algorithm="lasso_cd",
    )  # fmt: skip
    components: NDArray[np.floating[Any]] = learner.fit(whitened.astype(np.float64)).components_
    return components


def _as_used(atoms: NDArray[np.floating[Any]], config: PatchDictionaryConfig) -> NDArray[np.floating[Any]]:
    """Atoms of length 1 where products are taken with them."""
    if config.activation == "triangle":
        return atoms
    lengths = np.linalg.norm(atoms, axis=1, keepdims=True)
    scaled: NDArray[np.floating[Any]] = atoms / np.maximum(lengths, 1e-12)
    return scaled


def _pooled(activations: NDArray[np.float32], pooling: int) -> NDArray[np.float32]:
    """Means over a grid of regions, (b, pooling pooling features)."""
    rows, columns = (np.linspace(0, size, pooling + 1).round().astype(int) for size in activations.shape[1:3])
    means = [
        activations[:, rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean((1, 2))
        for i in range(pooling)
        for j in range(pooling)
    ]
    return np.concatenate(means, 1)
