"""Linear projections of pixels: principal components, discriminants, independent components.

A code is (x - m) W of the pixels x. What W is, scikit-learn says:

- `fit_pca`: the directions of greatest variance (Pearson 1901; Hotelling 1933), whitened if asked;
- `fit_lda`: those in which the means of classes lie apart, measured by the variance within (Fisher 1936; Rao 1948);
- `fit_ica`: those in which the images are least Gaussian (FastICA, Hyvärinen and Oja 2000).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from vision.baselines.pictures import encode_pictures, open_preprocessing, preprocessing_of, unit_matrix

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.images.preprocessing import Preprocessing

ARTIFACT_KIND = "linear-image-encoder"
METHODS = ("pca", "lda", "ica", "random")


class LinearEncoder:
    """Images projected onto some directions. Made by `fit_pca`, `fit_lda` or `fit_ica`.

    Args:
        preprocessing: How pictures become images.
        mean: (p,) of the pixels, p their number.
        projection: (p, d), W.
        method: How it was found, one of `METHODS`.

    Attributes:
        preprocessing: As given.
        mean: As given, float32.
        projection: As given, float32.
        method: As given.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        mean: NDArray[np.floating[Any]],
        projection: NDArray[np.floating[Any]],
        method: str,
    ) -> None:
        self.preprocessing = preprocessing
        self.mean = np.asarray(mean, np.float32)
        self.projection = np.ascontiguousarray(projection, np.float32)
        self.method = method
        self._inverse: NDArray[np.float32] | None = None

    @property
    def dimension(self) -> int:
        """The number of directions."""
        return int(self.projection.shape[1])

    @property
    def module(self) -> nn.Module | None:
        """None: it is not learned by gradients."""
        return None

    def encode(
        self, items: Sequence[Any] | Images, batch_size: int = 1024, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Make vectors (see `nlprep.evaluation.encoder.Encoder`).

        Args:
            items: As for `vision.encoders.image_encoder.ImageEncoder.encode`.
            batch_size: How many are projected at once.
            progress: Gets images.

        Returns:
            (n, `dimension`) float32.
        """
        return encode_pictures(
            items, batch_size, self.preprocessing, self._codes, dimension=self.dimension, progress=progress
        )

    def decode(self, codes: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The images nearest the mean that have these codes, (n, channels, height, width), clipped into [0, 1].

        Of principal components that is the reconstruction of least squared error.
        """
        if self._inverse is None:
            self._inverse = np.linalg.pinv(self.projection.astype(np.float64)).astype(np.float32)
        pixels = codes.astype(np.float32) @ self._inverse + self.mean
        return pixels.clip(0, 1).reshape(-1, *self.preprocessing.shape)

    def reconstruct(self, items: Sequence[Any] | Images) -> NDArray[np.float32]:
        """Images of the codes of items, as `encode` takes them."""
        return self.decode(self.encode(items))

    def randomized(self, seed: int = 1) -> LinearEncoder:
        """As many orthonormal directions, drawn uniformly, about the same mean (Johnson and Lindenstrauss 1984).

        They are as long as this one's on average.
        """
        draws = np.random.default_rng([seed, *self.projection.shape]).standard_normal(self.projection.shape)
        directions = np.linalg.qr(draws)[0]
        length = math.sqrt(float(np.square(self.projection, dtype=np.float64).sum()) / self.dimension)
        return LinearEncoder(self.preprocessing, self.mean, directions * length, "random")

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write an artifact directory of kind ``linear-image-encoder``, replacing an older one only when whole.

        Args:
            directory: The place.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: The place cannot be written or holds something else; what was there is untouched.
        """
        write_artifact(
            directory,
            kind=ARTIFACT_KIND,
            config={"preprocessing": to_mapping(self.preprocessing), "method": self.method},
            tensors={"mean": self.mean, "projection": self.projection},
            overwrite=overwrite,
        )

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], /) -> LinearEncoder:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, of another kind, from a newer version, damaged or cut short.
        """
        artifact = read_artifact(directory, kind=ARTIFACT_KIND)
        preprocessing, method = open_preprocessing(artifact), artifact.config.get("method")
        pixels = math.prod(preprocessing.shape)
        mean = artifact.tensor("mean", dtype="float32", shape=(pixels,))
        projection = artifact.tensor("projection", dtype="float32", shape=(pixels, None))
        if method not in METHODS or not (np.isfinite(mean).all() and np.isfinite(projection).all()):
            raise FileError(directory, "holds an unknown method, or weights that are no numbers: fit and save it again")
        return cls(preprocessing, mean, projection, method)

    def _codes(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        codes = (pixels.reshape(len(pixels), -1) - self.mean) @ self.projection
        return codes.astype(np.float32, copy=False)


def fit_pca(
    images: Images, dimension: int, *, whiten: bool = False, preprocessing: Preprocessing | None = None, seed: int = 1
) -> LinearEncoder:
    """Principal components.

    Args:
        images: To learn from; labels are not looked at.
        dimension: How many components, at most the pixels and the images.
        whiten: Whether codes have variance 1.
        preprocessing: How pictures that are given later become images; default: cropped to the shape of these.
        seed: Of the randomised decomposition that large problems are given to.

    Raises:
        OptionError: Too many components, or a preprocessing that makes images of another shape.
        NlprepError: Images without any variance.
    """
    from sklearn.decomposition import PCA

    matrix = unit_matrix(images)
    _check_dimension(dimension, min(matrix.shape), "pixels and images")
    if not np.ptp(matrix, axis=0).any():
        raise NlprepError(f"{images.source}: all {len(images):,} images are the same: give others")
    fitted = PCA(dimension, random_state=seed).fit(matrix)
    scale: NDArray[np.float64] | float = 1.0
    if whiten:
        # Directions without variance stay without.
        deviations = np.sqrt(fitted.explained_variance_)
        scale = np.where(deviations > 1e-6 * deviations[0], 1 / np.maximum(deviations, 1e-30), 0.0)
    return LinearEncoder(preprocessing_of(images, preprocessing), fitted.mean_, fitted.components_.T * scale, "pca")


def fit_lda(
    images: Images, dimension: int | None = None, *, preprocessing: Preprocessing | None = None
) -> LinearEncoder:
    """Linear discriminants.

    Args:
        images: To learn from, with labels of at least two classes.
        dimension: How many, at most the classes less one; default: so many.
        preprocessing: How pictures that are given later become images; default: cropped to the shape of these.

    Raises:
        NlprepError: No labels, or those of one class.
        OptionError: Too many discriminants.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    if images.labels is None:
        raise NlprepError(f"{images.source}: has no labels, which discriminants are found by: give classes")
    present = len(np.unique(images.labels))
    if present < 2:
        raise NlprepError(f"{images.source}: has images of {present} class: discriminants need at least two")
    matrix = unit_matrix(images)
    if len(matrix) <= present:
        raise NlprepError(f"{images.source}: has {len(matrix)} images of {present} classes: give several of each")
    most = min(present - 1, matrix.shape[1])
    _check_dimension(dimension or most, most, "classes less one")
    fitted = LinearDiscriminantAnalysis(solver="svd").fit(matrix.astype(np.float64), images.labels)
    return LinearEncoder(
        preprocessing_of(images, preprocessing), fitted.xbar_, fitted.scalings_[:, : dimension or most], "lda"
    )


def fit_ica(
    images: Images,
    dimension: int,
    *,
    iterations: int = 500,
    preprocessing: Preprocessing | None = None,
    seed: int = 1,
) -> LinearEncoder:
    """Independent components, of variance 1.

    Args:
        images: To learn from; labels are not looked at.
        dimension: How many components, at most the pixels and the images.
        iterations: Most of them; scikit-learn warns where they were too few.
        preprocessing: How pictures that are given later become images; default: cropped to the shape of these.
        seed: Of the first directions.

    Raises:
        OptionError: Too many components, or a preprocessing that makes images of another shape.
    """
    from sklearn.decomposition import FastICA

    matrix = unit_matrix(images)
    _check_dimension(dimension, min(matrix.shape), "pixels and images")
    fitted = FastICA(dimension, whiten="unit-variance", max_iter=iterations, random_state=seed)
    fitted.fit(matrix.astype(np.float64))
    return LinearEncoder(preprocessing_of(images, preprocessing), fitted.mean_, fitted.components_.T, "ica")


def _check_dimension(dimension: int, most: int, of: str) -> None:
    if not 1 <= dimension <= most:
        raise OptionError(f"dimension = {dimension}: give from 1 to {most} ({of})")
