"""What a detector learns from usual images: the scores of `vision.uses.anomaly_scores`, and which images these were.

- what the model itself gives (`vision.models.model.CanScore`): reconstruction errors, negative log-likelihoods;
- ``complexity_corrected`` and ``atypicality``, of the likelihood of models that have one: see
  `vision.uses.likelihood_scores`;
- ``code_neighbors``: the mean distance of a code to its five nearest codes of usual images;
- ``code_mahalanobis``: the squared Mahalanobis distance of a code from the usual ones, their covariance shrunk towards
  its diagonal (Ledoit and Wolf's shrinkage is scikit-learn's, which is used);
- ``pixel_pca`` and ``pixel_neighbors``: the squared error of what principal components of usual images (95% of their
  variance, at most 256) make of an image, and the distance of its pixels to its five nearest usual images;
- ``patch_neighbors``: the distance of `vision.uses.anomaly_scores.PatchFeatures`, with a dictionary learned from usual
  images, to its five nearest among at most 4,000 of these.
- ``neighbors``: the larger of ``patch_neighbors`` and a half of ``pixel_neighbors``, in standard deviations of usual
  images above their mean: an image is odd if its parts are, or if it is as a whole.

The last four need no model. ``neighbors`` counts unless another score is named.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from nlprep.core.errors import OptionError
from nlprep.core.progress import SILENT
from nlprep.evaluation.encoder import evaluation_mode
from vision.images.splits import choose_places
from vision.models.files import check_shape
from vision.models.model import CanScore, ImageModel
from vision.uses.anomaly_scores import (
    Codes,
    DistanceScore,
    LargestScore,
    Neighbors,
    OwnScore,
    PatchFeatures,
    Pixels,
    Quadratic,
    own_scores,
)
from vision.uses.likelihood_scores import (
    ATYPICALITY,
    COMPLEXITY,
    LIKELIHOOD_SCORES,
    Atypicality,
    ComplexityCorrected,
    find_likelihood,
    likelihood_scores,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Images, Shape
    from vision.models.files import SavedModel

CODE_SCORES = ("code_neighbors", "code_mahalanobis")
BASELINES = ("pixel_pca", "pixel_neighbors")
PATCH_SCORES = ("patch_neighbors",)
DISTANCE_SCORES = CODE_SCORES + BASELINES + PATCH_SCORES
LARGEST_SCORE = "neighbors"
PARTS = {"patch_neighbors": 1.0, "pixel_neighbors": 0.5}
"""Of which `LARGEST_SCORE` is the largest, with their weights: they were settled on digits and small photographs."""
_VARIANCE = 0.95
_MOST_COMPONENTS = 256
_MOST_REFERENCE, _MOST_PATCHED, _MOST_LIKELY, _MOST_SCALED = 20_000, 4000, 2000, 1000
_LEAST_HALF = 2
_ATOMS, _PATCH, _POOLING, _PATCHES = 100, 6, 4, 20_000
_BATCH, _FEW = 128, 8
_REFERENCE = 62
_LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class LearnedScores:
    """Scores by name, and which images they were learned from.

    Attributes:
        modules: `OwnScore`, `DistanceScore` or `LargestScore` by name.
        digests: (m,) uint64 of the images, ascending, each once; those at even places are one half, the others another.
    """

    modules: Mapping[str, nn.Module]
    digests: NDArray[np.uint64]

    def select(self, name: str) -> LearnedScores:
        """One of them."""
        return LearnedScores({name: self.modules[name]}, self.digests)


def score_names(saved: SavedModel) -> tuple[str, ...]:
    """The names of all scores that there are with a model: its own first."""
    model = saved.model
    own: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    if isinstance(model, ImageModel):
        own, codes = _own_names(model), CODE_SCORES
        own += likelihood_scores(model, own)
    # Of one pixel there is nothing left without its mean.
    patches = (*PATCH_SCORES, LARGEST_SCORE) if min(model.shape[1:]) > 1 else ()
    return (*own, *codes, *BASELINES, *patches)


def _own_names(model: ImageModel) -> tuple[str, ...]:
    """The scores that a model gives of itself: only it knows which."""
    if not isinstance(model, CanScore):
        return ()
    with evaluation_mode(model):
        device = next(model.parameters()).device
        return tuple(own_scores(model, torch.zeros(1, *model.shape, dtype=torch.uint8, device=device)))


def learn_scores(
    saved: SavedModel, reference: Images, names: Sequence[str], *, seed: int = 1, progress: Progress = SILENT
) -> LearnedScores:
    """Learn scores from usual images.

    Args:
        saved: The model.
        reference: Usual images, of which at most 20,000 are used.
        names: Which scores.
        seed: Of which are used, and of what is random in fits.
        progress: Gets images.

    Raises:
        NlprepError: Images of another shape.
        OptionError: No such score.
    """
    check_shape(saved.model, reference.shape, where=reference.source)
    check_names(saved, names)
    used = reference.select(choose_places(len(reference), _MOST_REFERENCE, seed, purpose=_REFERENCE))
    digests, inverse = np.unique(image_digests(used), return_inverse=True)
    halves = [inverse % 2 == half for half in (0, 1)] if len(digests) >= 2 * _LEAST_HALF else [np.ones(len(used), bool)]
    features: dict[str, nn.Module] = {}
    learned: dict[str, Any] = {}
    modules: dict[str, nn.Module] = {}
    asked = [name for name in names if name != LARGEST_SCORE]
    if LARGEST_SCORE in names:
        asked += [name for name in PARTS if name not in names]
    for name in asked:
        kind = name.split("_")[0]
        if name in LIKELIHOOD_SCORES:
            modules[name] = _learn_likelihood(name, _as_model(saved), used, progress)
            continue
        if name not in DISTANCE_SCORES:
            modules[name] = OwnScore(_as_model(saved), name)
            continue
        if kind not in features:
            features[kind] = _make_features(kind, saved, used, seed, progress)
            looked_at = (
                used
                if kind != "patch"
                else used.select(choose_places(len(used), _MOST_PATCHED, seed, purpose=_REFERENCE))
            )
            learned[kind] = _compute(features[kind], looked_at, progress)
        modules[name] = DistanceScore(features[kind], _fit_distance(name, learned[kind], halves, seed))
    device = next(saved.model.parameters()).device
    found = LearnedScores({name: module.to(device).eval() for name, module in modules.items()}, digests)
    if LARGEST_SCORE in names:
        few = used.select(choose_places(len(used), _MOST_SCALED, seed, purpose=_REFERENCE))
        modules[LARGEST_SCORE] = _largest(found, few, progress).to(device).eval()
    return LearnedScores({name: modules[name] for name in names}, digests)


def score_images(
    learned: LearnedScores, images: Images, *, progress: Progress = SILENT
) -> dict[str, NDArray[np.float64]]:
    """Scores of images, each of which depends on its image alone; those learned from are judged as if they were not.

    Args:
        learned: The scores.
        images: Of the shape that they are for.
        progress: Gets images.

    Returns:
        (n,) by name, higher the odder.
    """
    halves = halves_of(learned, images)
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in learned.modules}
    together = nn.ModuleList(learned.modules.values())
    device = next(together.buffers(), next(together.parameters(), torch.zeros(0))).device
    with progress.task("scoring", len(images)) as task, evaluation_mode(together):
        for start in range(0, len(images), _BATCH):
            batch = torch.from_numpy(np.array(images.pixels[start : start + _BATCH])).to(device)
            known = _Known(batch)
            for name, module in learned.modules.items():
                values = known.values(module).double().cpu().numpy()
                found[name].append(_judged(values, halves[start : start + _BATCH]))
            task.advance(len(batch))
    return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in found.items()}


def check_names(saved: SavedModel, names: Sequence[str]) -> None:
    """Fail if a score is none of a model's.

    Raises:
        OptionError: It is not; lists those that are.
    """
    known = score_names(saved)
    for name in names:
        if name not in known:
            raise OptionError(f"score {name!r}: choose from {', '.join(known)}")


def pack_score(learned: LearnedScores, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Tensors and settings from which `unpack_score` makes a score again, but for the model."""
    module = learned.modules[name]
    tensors: dict[str, NDArray[Any]] = {"digests": learned.digests}
    settings: dict[str, Any] = {}
    if isinstance(module, Atypicality):
        tensors["usual"] = module.usual.cpu().numpy()
    scores = {name: module}
    if isinstance(module, LargestScore):
        scores = dict(zip(PARTS, module.parts, strict=True))
        tensors |= {key: getattr(module, key).cpu().numpy() for key in ("means", "scales")}
    for one, score in scores.items():
        if isinstance(score, DistanceScore):
            parts = {"distance": score.distance}
            if isinstance(score.features, PatchFeatures):
                parts["patches"] = score.features
                settings = {key: getattr(score.features, key) for key in ("contrast", "patch", "pooling")}
            for part, owner in parts.items():
                tensors |= {f"{one}.{part}.{key}": value.cpu().numpy() for key, value in owner.state_dict().items()}
    return tensors, settings


def unpack_score(
    saved: SavedModel, name: str, tensors: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]
) -> LearnedScores:
    """What `pack_score` packed.

    Args:
        saved: The model.
        name: Of the score.
        tensors: As packed.
        settings: Likewise.

    Raises:
        KeyError: Something is missing.
        OptionError: No such score.
        NlprepError: Tensors that do not belong together.
    """
    check_names(saved, [name])
    digests = np.array(tensors["digests"], np.uint64)
    if name in LIKELIHOOD_SCORES:
        usual = torch.from_numpy(np.array(tensors["usual"])) if name == ATYPICALITY else None
        device = next(saved.model.parameters()).device
        return LearnedScores({name: _make_likelihood(_as_model(saved), usual).to(device).eval()}, digests)
    # Copies, as those that are mapped from a file cannot be written to, of which torch warns.
    held = {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}
    module: nn.Module
    if name == LARGEST_SCORE:
        parts = [_unpack_distance(saved, one, held, settings) for one in PARTS]
        module = LargestScore(parts, held["means"], held["scales"])
    elif name in DISTANCE_SCORES:
        module = _unpack_distance(saved, name, held, settings)
    else:
        return LearnedScores({name: OwnScore(_as_model(saved), name)}, digests)
    return LearnedScores({name: module.to(next(saved.model.parameters()).device).eval()}, digests)


def _unpack_distance(
    saved: SavedModel, name: str, held: Mapping[str, torch.Tensor], settings: Mapping[str, Any]
) -> DistanceScore:
    kind = name.split("_")[0]
    features: nn.Module
    if kind == "patch":
        features = PatchFeatures(
            *(held[f"{name}.patches.{key}"] for key in ("mean", "whitener", "atoms")),
            contrast=float(settings["contrast"]), patch=int(settings["patch"]), pooling=int(settings["pooling"]),
        )  # fmt: skip
    else:
        features = Codes(_as_model(saved)) if kind == "code" else Pixels()
    distance: nn.Module
    if name not in _FITS:
        distance = Neighbors(held[f"{name}.distance.keys"])
    else:
        distance = Quadratic(*(held[f"{name}.distance.{key}"] for key in ("means", "axes", "weights", "rest")))
    return DistanceScore(features, distance)


def image_digests(images: Images) -> NDArray[np.uint64]:
    """(n,) 64 bits of a digest of each image's pixels."""
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(np.ascontiguousarray(one).data, digest_size=8).digest(), "little")
            for one in images.pixels
        ],
        np.uint64,
    )


def halves_of(learned: LearnedScores, images: Images) -> NDArray[np.int64]:
    """(n,) the half of the usual images that each image was in, 0 or 1; -1: in none."""
    if not len(learned.digests) or all(isinstance(module, OwnScore) for module in learned.modules.values()):
        return np.full(len(images), -1)
    digests = image_digests(images)
    places = np.searchsorted(learned.digests, digests).clip(max=len(learned.digests) - 1)
    return np.where(learned.digests[places] == digests, places % 2, -1)


def _judged(values: NDArray[np.float64], halves: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores (b,) of those (b, F) of each fit: the mean, or the fit's to which an image was not given."""
    means: NDArray[np.float64] = values.mean(1)
    if values.shape[1] == 1:
        return means
    return np.where(halves < 0, means, values[np.arange(len(values)), 1 - halves.clip(min=0)])


def _as_model(saved: SavedModel) -> ImageModel:
    if not isinstance(saved.model, ImageModel):
        raise OptionError("a backbone alone has no codes and no scores of its own: choose another score")
    return saved.model


def _learn_likelihood(name: str, model: ImageModel, images: Images, progress: Progress) -> OwnScore:
    """A score made of the model's likelihood."""
    if name == COMPLEXITY:
        return _make_likelihood(model, None)
    likelihood = OwnScore(model, str(find_likelihood(_own_names(model))))
    some = images.select(choose_places(len(images), _MOST_LIKELY, purpose=_REFERENCE))
    usual = _compute(likelihood, some, progress).mean(dtype=np.float64)
    return _make_likelihood(model, torch.tensor(usual, dtype=torch.float32))


def _make_likelihood(model: ImageModel, usual: torch.Tensor | None) -> OwnScore:
    """Against the mean of usual images where it is known, and else less a code."""
    likelihood = str(find_likelihood(_own_names(model)))
    return ComplexityCorrected(model, likelihood) if usual is None else Atypicality(model, likelihood, usual)


def _make_features(kind: str, saved: SavedModel, images: Images, seed: int, progress: Progress) -> nn.Module:
    if kind == "code":
        return Codes(_as_model(saved))
    if kind == "pixel":
        return Pixels()
    from vision.baselines.configuration import PatchDictionaryConfig
    from vision.baselines.patch_dictionary import PatchDictionary

    patch, pooling = patch_settings(images.shape)
    config = PatchDictionaryConfig(
        atoms=_ATOMS, patch=patch, pooling=pooling, patches=_PATCHES, iterations=15, seed=seed
    )
    with warnings.catch_warnings():
        # Plain images have fewer kinds of patches than atoms were asked for: then some atoms are the same.
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        fitted = PatchDictionary.fit(images, config, preprocessing=saved.preprocessing, progress=progress)
    parts = (torch.from_numpy(np.array(part)) for part in (fitted.mean, fitted.whitener, fitted.atoms))
    return PatchFeatures(*parts, contrast=config.contrast, patch=patch, pooling=pooling)


def patch_settings(shape: Shape) -> tuple[int, int]:
    """The side of patches and the regions along a side that suit images of a shape, of at least 2 x 2 pixels."""
    side = min(shape[1:])
    patch = max(2, min(_PATCH, side // 3))
    return patch, min(_POOLING, side - patch + 1)


def _compute(features: nn.Module, images: Images, progress: Progress) -> NDArray[np.float32]:
    """Features (n, d) of images."""
    device = next(features.parameters(), torch.zeros(0)).device
    parts = []
    with progress.task("learning what is usual", len(images)) as task, evaluation_mode(features):
        for start in range(0, len(images), _BATCH):
            batch = torch.from_numpy(np.array(images.pixels[start : start + _BATCH])).to(device)
            parts.append(_apply(features, batch).float().cpu().numpy())
            task.advance(len(batch))
    return np.concatenate(parts)


class _Known:
    """What is known of a batch of images, so that what scores have in common is computed once."""

    def __init__(self, batch: torch.Tensor) -> None:
        self.batch = batch
        self._own: dict[str, torch.Tensor] = {}
        self._features: dict[int, torch.Tensor] = {}
        self._distances: dict[int, torch.Tensor] = {}

    def values(self, module: nn.Module) -> torch.Tensor:
        """A score (b, F), of each fit."""
        if isinstance(module, OwnScore):
            self._own = self._own or own_scores(module.model, self.batch)
            return module.judged(self._own[module.name], self.batch)
        if isinstance(module, LargestScore):
            return module.combine(torch.cat([self.values(part) for part in module.parts], 1))
        assert isinstance(module, DistanceScore)  # noqa: S101 - there are no others
        if id(module) not in self._distances:
            of = id(module.features)
            if of not in self._features:
                self._features[of] = _apply(module.features, self.batch)
            self._distances[id(module)] = module.distance(self._features[of])
        return self._distances[id(module)]


def _largest(learned: LearnedScores, few: Images, progress: Progress) -> LargestScore:
    """`LARGEST_SCORE`, made of its parts and how these vary among a few of the images that they were learned from."""
    usual = score_images(LearnedScores({name: learned.modules[name] for name in PARTS}, learned.digests), few,
                         progress=progress)  # fmt: skip
    means = torch.tensor([usual[name].mean() for name in PARTS])
    # Among images that are all alike whatever is another is odd.
    scales = torch.tensor([max(float(usual[name].std()), _LEAST_SCALE) / weight for name, weight in PARTS.items()])
    parts = [learned.modules[name] for name in PARTS]
    return LargestScore([part for part in parts if isinstance(part, DistanceScore)], means, scales)


def _apply(features: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Features (b, d) of images, those of patches a few images at a time: what is made on the way stays in the cache.

    On a processor that takes half the time. Of a batch at once distances are taken, since keys are read for each.
    """
    if isinstance(features, PatchFeatures) and batch.device.type == "cpu":
        return torch.cat([features(batch[start : start + _FEW]) for start in range(0, len(batch), _FEW)])
    found: torch.Tensor = features(batch)
    return found


def _fit_distance(name: str, features: NDArray[np.float32], halves: list[NDArray[np.bool_]], seed: int) -> nn.Module:
    fit = _FITS.get(name)
    if fit is None:
        # Pixels are kept as the bytes that they were.
        keys = np.rint(features * 255).astype(np.uint8) if name == "pixel_neighbors" else features
        return Neighbors(torch.from_numpy(keys))
    fits = [fit(features[half], seed) for half in halves]
    most = max(len(weights) for _, _, weights, _ in fits)
    means, axes, weights, rest = zip(*fits, strict=True)
    return Quadratic(
        torch.from_numpy(np.stack(means)),
        torch.from_numpy(np.stack([np.pad(one, ((0, most - len(one)), (0, 0))) for one in axes])),
        torch.from_numpy(np.stack([np.pad(one, (0, most - len(one))) for one in weights])),
        torch.tensor(rest, dtype=torch.float32),
    )


_Fit = tuple["NDArray[Any]", "NDArray[Any]", "NDArray[Any]", float]


def _fit_components(features: NDArray[np.float32], seed: int) -> _Fit:
    """The error of principal components."""
    from sklearn.decomposition import PCA

    most = min(_MOST_COMPONENTS, *features.shape)
    solver = "randomized" if most < min(features.shape) else "full"
    fitted = PCA(most, svd_solver=solver, random_state=seed).fit(features)
    # Of images that are all alike no variance is to be had, and the ratios are no numbers.
    shares = np.nan_to_num(np.cumsum(fitted.explained_variance_ratio_))
    enough = min(most, int(np.searchsorted(shares, _VARIANCE)) + 1)
    return fitted.mean_, fitted.components_[:enough], np.zeros(enough), 1.0


def _fit_covariance(features: NDArray[np.float32], seed: int) -> _Fit:  # noqa: ARG001 - nothing is drawn
    """Mahalanobis' distance with a shrunken covariance."""
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(features.astype(np.float64))
    variances, axes = np.linalg.eigh(fitted.covariance_)
    # Where all codes are alike there is no direction in which to be unlike.
    least = max(float(variances.max()) * 1e-12, 1e-30)
    return fitted.location_, axes.T, np.where(variances > least, 1 / np.maximum(variances, least), 0.0), 0.0


_FITS: dict[str, Callable[[NDArray[np.float32], int], _Fit]] = {
    "code_mahalanobis": _fit_covariance,
    "pixel_pca": _fit_components,
}
