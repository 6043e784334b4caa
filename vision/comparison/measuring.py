"""What is measured of a trained model, whatever it is: a number, or why there is none."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlprep.core.progress import SILENT
from nlprep.core.randomness import seeded_torch
from nlprep.evaluation.configuration import ProbeConfig, SampleQualityConfig
from nlprep.evaluation.linear_probe import ProbeWarning, probe_features
from nlprep.evaluation.sample_quality import evaluate_samples, fit_moments, measure_sample_bias
from vision.encoders.image_encoder import ImageEncoder
from vision.models.diffusion import Diffusion
from vision.models.flow import FlowModel, ResidualFlow
from vision.models.flow_matching import MatchedFlow
from vision.models.labels import labels_in_turn
from vision.models.likelihood import estimate_likelihood
from vision.models.making import batches_of, draw_batches
from vision.models.memory import gradient_bytes
from vision.models.model import CanDecode, CanReconstruct, CanSample
from vision.models.vae import Vae

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.comparison.configuration import ComparisonConfig
    from vision.comparison.feature_space import FeatureSpace
    from vision.images.collection import Images
    from vision.models.files import SavedModel
    from vision.models.model import ImageModel

BIAS_SIZES = (100, 300, 1000, 5000)
"""Numbers of examples at which FID's bias is shown, as far as there are enough."""
_BATCH = 256
NOT_LIKELY = "gives no probability of an image"
NOT_DRAWN = "draws no images"
NOT_GIVEN_BACK = "gives no image back"
AS_LARGE = "its latent is as large as the image, so that to give it back says nothing"
EXACT = "it is invertible, without a bottleneck: every image comes back as it is"


@dataclass(frozen=True)
class Measured:
    """What a comparison measures with, the same for every model.

    Attributes:
        config: Of the comparison.
        test: Test images.
        labelled: Training images with labels for probes; None where there are no labels.
        codes_of: Training images by whose codes models without a prior are drawn from.
        space: Where generated images are compared.
        real: (n, d) features of the test images.
    """

    config: ComparisonConfig
    test: Images
    labelled: Images | None
    codes_of: Images
    space: FeatureSpace
    real: NDArray[np.float32]

    def measure(self, saved: SavedModel, *, seed: int, progress: Progress = SILENT) -> dict[str, Any]:
        """All of a model, in plain values: each a mapping of numbers, or one with ``none`` and the reason.

        Args:
            saved: The model, on the device to measure on.
            seed: Of what is drawn.
            progress: Gets images.
        """
        model: Any = saved.model
        encoder = ImageEncoder(saved)
        return {
            "dimension": encoder.dimension,
            "gradient_bytes": gradient_bytes(model, self.test),
            "reconstruction": self.reconstruction(model),
            "likelihood": self.likelihood(model, seed=seed, progress=progress),
            "generation": self.generation(saved, seed=seed, progress=progress),
            "probe": self.probe(encoder, progress=progress),
        }

    def reconstruction(self, model: ImageModel) -> dict[str, Any]:
        """``mse``, the mean squared error of a number in [0, 1], and ``decibels``, -10 log10 of it."""
        if isinstance(model, Diffusion | MatchedFlow):
            return {"none": AS_LARGE}
        if isinstance(model, FlowModel):
            return {"none": EXACT}
        if not isinstance(model, CanReconstruct):
            return {"none": NOT_GIVEN_BACK}
        if model.told:
            return {"none": f"is told {model.told}, and gives that back as it was"}
        total = 0.0
        with torch.inference_mode(), seeded_torch(1):
            for images, labels in batches_of(model, self.test, _BATCH):
                made = model.reconstruct(images, labels).float().clamp(0, 1)
                total += float((made - images.float() / 255).square().double().sum())
        return squared_error(total / self.test.pixels.size, len(self.test))

    def likelihood(self, model: ImageModel, *, seed: int, progress: Progress = SILENT) -> dict[str, Any]:
        """How likely test images are: the negative logarithm in ``nats`` for each image, and how that was found.

        Beside it its ``standard_error``, the ``bound``, ``bits`` for each number of an image, how it was ``measured``,
        and what it is a probability ``of``.

        Raises:
            NlprepError: As `vision.models.likelihood.estimate_likelihood`.
        """
        config = self.config
        if isinstance(model, Vae):
            found = estimate_likelihood(
                model, self.test, samples=config.likelihood_samples, subset=config.likelihood_images, bound_samples=4,
                seed=seed, progress=progress,
            )  # fmt: skip
            kind = model.config.likelihood.kind
            return {
                "nats": found.negative_log_likelihood,
                "standard_error": found.standard_error,
                "bits": found.bits_per_dimension,
                "bound": -found.bound,
                "measured": f"importance sampled, {found.samples:,} samples of {found.subset:,} images, the bound of "
                f"{found.images:,}",
                "of": {"bernoulli": "pixels made binary", "logistic": "bytes", "gaussian": "a density"}[kind],
            }
        if isinstance(model, Diffusion | MatchedFlow):
            chosen = np.linspace(0, len(self.test) - 1, min(config.bound_images, len(self.test))).astype(np.int64)
            bounds = []
            with seeded_torch(seed):
                for images, _ in batches_of(model, self.test.select(chosen), _BATCH):
                    known = (
                        model.nats(images) if isinstance(model, MatchedFlow) else model.likelihood_bound(images).nats
                    )
                    bounds.append(known.double().cpu().numpy())
            nats = np.concatenate(bounds)
            return {
                "nats": float(nats.mean()),
                "standard_error": float(nats.std(ddof=1) / math.sqrt(len(nats))),
                "bits": float(nats.mean()) / (math.prod(self.test.shape) * math.log(2)),
                "bound": float(nats.mean()),
                "measured": f"{_bounded(model)}, {len(nats):,} images",
                "of": "bytes",
            }
        if isinstance(model, FlowModel):
            return self._likelihood_of_flow(model, seed)
        return {"none": NOT_LIKELY}

    def _likelihood_of_flow(self, model: FlowModel, seed: int) -> dict[str, Any]:
        """Of all test images, at one draw of the noise that makes real numbers of bytes."""
        found = []
        with torch.inference_mode(), seeded_torch(seed):
            for images, labels in batches_of(model, self.test, _BATCH):
                found.append(model.nats(images, labels).double().cpu().numpy())
        nats = np.concatenate(found)
        measured = f"a bound by dequantisation, one draw of noise, {len(nats):,} images"
        if isinstance(model, ResidualFlow):
            left_out = model.series_bias() / (math.prod(self.test.shape) * math.log(2))
            measured += f", traces of {model.config.terms} terms estimated, the rest at most {left_out:.2f} bits/dim"
        return {
            "nats": float(nats.mean()),
            "standard_error": float(nats.std(ddof=1) / math.sqrt(len(nats))),
            "bits": float(nats.mean()) / (math.prod(self.test.shape) * math.log(2)),
            "bound": float(nats.mean()),
            "measured": measured,
            "of": "bytes",
        }

    def generation(self, saved: SavedModel, *, seed: int, progress: Progress = SILENT) -> dict[str, Any]:
        """Of images drawn: what `nlprep.evaluation.sample_quality.SampleQuality` holds, and how they were ``drawn``."""
        model: Any = saved.model
        how = way_of_drawing(model)
        if how is None:
            return {"none": NOT_DRAWN}
        pixels = draw_pixels(saved, self.config.generated, self.codes_of, seed=seed, progress=progress)
        return self.compare_pixels(pixels, progress=progress) | {"drawn": how}

    def compare_pixels(self, pixels: NDArray[np.uint8], *, progress: Progress = SILENT) -> dict[str, Any]:
        """Images (n, channels, height, width) against the test images, in the space of features."""
        features = self.space.features(pixels, progress=progress)
        quality = evaluate_samples(self.real, features, SampleQualityConfig(subsets=20), space=self.space.name)
        return quality.to_dict()

    def probe(self, encoder: Any, *, progress: Progress = SILENT) -> dict[str, Any]:
        """Accuracies of ``linear`` probes and of ``neighbors``, by number of labels (`ProbeCurve`), of any encoder."""
        if self.labelled is None or self.test.labels is None:
            return {"none": "there are no labels"}
        features = [encoder.encode(images, _BATCH, progress=progress) for images in (self.labelled, self.test)]
        sides = [(rows, images.labels) for rows, images in zip(features, (self.labelled, self.test), strict=True)]
        found: dict[str, Any] = {}
        asked = self.config.labels or ProbeConfig().labels
        for classifier in ("linear", "neighbors"):
            config = ProbeConfig(labels=asked, classifier=classifier, repeats=self.config.repeats)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ProbeWarning)
                curve = probe_features(classifier, sides[0], sides[1], config, progress=progress)  # type: ignore[arg-type]
            found[classifier] = curve.to_dict()
            for warning in caught:
                # Most are of penalties that were tried and not chosen: said once and counted, not a line for each.
                if issubclass(warning.category, ProbeWarning):
                    found["unfinished"] = found.get("unfinished", 0) + 1
                else:
                    warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        return found

    def bias(self, images: Images, *, progress: Progress = SILENT) -> list[dict[str, Any]]:
        """FID of real images against others of them, by their number: what few images alone make of it."""
        most = len(images) // 2
        sizes = [size for size in BIAS_SIZES if size <= most] or [most]
        features = self.space.features(images, progress=progress)
        return [found.to_dict() for found in measure_sample_bias(features, sizes)]


def way_of_drawing(model: object) -> str | None:
    """How `draw_pixels` has a model draw, in words; None where it draws nothing."""
    if isinstance(model, FlowModel):
        return f"by the model, at a temperature of {model.config.temperature:g}"
    if isinstance(model, MatchedFlow):
        return f"by the model, in {model.config.sampling_steps} steps of the scheme {model.config.scheme}"
    if isinstance(model, CanSample):
        return "by the model"
    return "of a normal distribution fitted to codes" if isinstance(model, CanDecode) else None


def draw_pixels(
    saved: SavedModel, number: int, codes_of: Images, *, seed: int, progress: Progress = SILENT
) -> NDArray[np.uint8]:
    """Images that a model draws; classes, where it has some, in turn.

    An autoencoder has no distribution of codes to draw from. Its images are decoded of a normal distribution with the
    mean and covariance of the codes of training images (Ghosh et al. 2020, "From variational to deterministic
    autoencoders", section 4, with one component).

    Args:
        saved: A model for which there is a `way_of_drawing`.
        number: How many.
        codes_of: Training images by whose codes a model without a distribution of codes is drawn from.
        seed: Of the draws.
        progress: Gets images.

    Returns:
        (number, channels, height, width) uint8.
    """
    model: Any = saved.model
    device = next(model.parameters()).device
    moments = None
    if not isinstance(model, CanSample):
        found = fit_moments(ImageEncoder(saved).encode(codes_of, _BATCH))
        moments = [torch.from_numpy(part).float().to(device) for part in (found.mean, found.factor)]

    def make(count: int, wanted: torch.Tensor | None) -> torch.Tensor:
        made: torch.Tensor
        if moments is None:
            made = model.sample(count, wanted)
        else:
            mean, factor = moments
            made = model.decode(mean + torch.randn(count, len(factor), device=device) @ factor, wanted)
        return made

    drawn = []
    labels = labels_in_turn(number, model.num_classes)
    with progress.task("drawing", number) as task:
        for batch in draw_batches(model, number, make, labels, seed=seed, size=_BATCH):
            drawn.append(np.rint(batch * 255).astype(np.uint8))
            task.advance(len(batch))
    return np.concatenate(drawn)


def _bounded(model: Diffusion | MatchedFlow) -> str:
    if isinstance(model, Diffusion):
        return "a bound of all levels"
    config = model.config
    return (
        f"a bound by dequantisation, but for the error of {config.sampling_steps} steps of the scheme {config.scheme}, "
        f"traces estimated by {config.probes} vector(s)"
    )


def squared_error(mse: float, images: int) -> dict[str, Any]:
    """How a squared error is told."""
    return {"mse": mse, "decibels": -10 * math.log10(mse) if mse > 0 else None, "images": images}
