"""How likely images are under a model with codes, by importance sampling.

With k codes z_j of an image x drawn from q(z | x), and weights w_j = p(x | z_j) p(z_j) / q(z_j | x),

    log p(x)  is estimated by  L = log 1/k sum_j w_j   (Burda et al. 2016, equation 8),

which is below log p(x) in expectation and rises to it with k; so a likelihood without its number of samples means
little. The logarithm of the sum is over the samples of one image.

**All images at a subset's price.** L of 10,000 images from 5,000 samples each takes fifty million decodings. The mean
of L over N images is estimated instead as the mean over all of a cheap bound E (L itself, but of a few samples), plus
the mean over a random subset of n of them of what L adds:

    mean_N E + mean_n (L - E),      standard error  sd_n(L - E) / sqrt(n) sqrt(1 - n / N).

It is unbiased for the mean of L over all images, because E is the same number in both places: a control variate with
coefficient 1. Images differ in how hard they are by far more (some 25 nats among digits) than in how far the cheap
bound lies below the likelihood (some 2 for the ELBO, less for a few samples), so that on digits the standard error is a
tenth of that of the plain mean over the same subset, or less the better q is; `LikelihoodEstimate` holds both. The
standard error says how the figure would vary with the subset, not with the test set, nor how far L still lies below log
p(x): `effective_samples` hints at that.

**However it is batched.** Noise is a function of (seed, image, sample), and so are the draws that make grey pixels
binary: the estimate is the same, but for rounding, whatever the rows at once. Everything is computed in float32 with
autocast off, whatever the model was trained in: weights are exponentials of differences of large numbers.

Promised, and tested: within three standard errors of PPCA's closed form; as many rows decoded as said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, integers, normals, uniforms
from vision.images.collection import unit_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.models.vae import Vae

_BINARIZING, _CODES, _BOUND, _SUBSET = range(4)


@dataclass(frozen=True)
class LikelihoodEstimate:
    """Log-likelihoods of images, in nats per image.

    Attributes:
        log_likelihood: The estimate of the mean over all images of log p(x), by `samples` samples of each.
        standard_error: Of that, by the choice of the subset; 0 where the subset is everything.
        bound: The mean over all images of the mean of log w, the ELBO, from the samples of the cheap bound.
        subset_log_likelihood: The plain mean of L over the subset, without the control variate.
        subset_standard_error: Of that, as an estimate for all images.
        samples: k, for each image of the subset.
        bound_samples: Samples of E, for each image.
        images: N.
        subset: n.
        effective_samples: The mean over the subset of (sum w)^2 / sum w^2; near 1, a few samples are all that counts.
        decoded: Codes that were decoded.
        bits_per_dimension: -log_likelihood / (log 2 times the numbers of an image); None where it is a density.
        precision: What it was computed in.
    """

    log_likelihood: float
    standard_error: float
    bound: float
    subset_log_likelihood: float
    subset_standard_error: float
    samples: int
    bound_samples: int
    images: int
    subset: int
    effective_samples: float
    decoded: int
    bits_per_dimension: float | None
    precision: str = "fp32"

    @property
    def negative_log_likelihood(self) -> float:
        """The figure that is usually given."""
        return -self.log_likelihood


def estimate_likelihood(
    model: Vae,
    images: Images,
    *,
    samples: int = 5000,
    subset: int | None = 400,
    bound_samples: int = 16,
    seed: int = 1,
    rows: int = 5000,
    progress: Progress = SILENT,
) -> LikelihoodEstimate:
    """Estimate the mean log-likelihood of images.

    The model is put in evaluation mode and left as it was.

    Args:
        model: A variational, importance-weighted or hierarchical autoencoder.
        images: Which; with labels where the model is conditioned on them.
        samples: Importance samples of each image of the subset.
        subset: How many images get these, chosen at random; None: all.
        bound_samples: Samples of the bound that all images get.
        seed: Of the subset, the binarisation and the codes.
        rows: Most codes decoded at once; the result does not depend on it.
        progress: Gets images.

    Returns:
        The estimate with its standard error.

    Raises:
        OptionError: Numbers below 1, or a subset of one image.
        NlprepError: No images, or images of another shape.
    """
    for name, value in (("samples", samples), ("bound_samples", bound_samples), ("rows", rows)):
        if value < 1:
            raise OptionError(f"{name} = {value}: must be at least 1")
    count = len(images)
    chosen = count if subset is None else min(subset, count)
    if count == 0:
        raise NlprepError(f"{images.source}: there are no images to measure")
    if chosen < min(2, count):
        raise OptionError(f"subset = {subset}: give at least 2 images, or none for all, or there is no standard error")
    keys = integers(combine(seed), count, purpose=_SUBSET)
    places = np.sort(np.argsort(keys, kind="stable")[:chosen])
    with progress.task("likelihood", count + chosen) as task:
        bounds = log_weights(
            model, images, np.arange(count), samples=bound_samples, seed=seed, purpose=_BOUND, rows=rows,
            done=task.advance,
        )  # fmt: skip
        weights = log_weights(
            model, images, places, samples=samples, seed=seed, purpose=_CODES, rows=rows, done=task.advance
        )
    likely = weights.logsumexp(1) - math.log(samples)
    cheap = bounds.logsumexp(1) - math.log(bound_samples)
    gaps = likely - cheap[torch.from_numpy(places)]
    left = math.sqrt(1 - chosen / count)
    estimate = float(cheap.mean() + gaps.mean())
    errors = [float(each.std()) / math.sqrt(chosen) * left if chosen > 1 else 0.0 for each in (gaps, likely)]
    effective = torch.exp(2 * weights.logsumexp(1) - (2 * weights).logsumexp(1))
    bits = -estimate / math.log(2) / math.prod(images.shape) if model.likelihood.discrete else None
    return LikelihoodEstimate(
        log_likelihood=estimate,
        standard_error=errors[0],
        bound=float(bounds.mean()),
        subset_log_likelihood=float(likely.mean()),
        subset_standard_error=errors[1],
        samples=samples,
        bound_samples=bound_samples,
        images=count,
        subset=chosen,
        effective_samples=float(effective.mean()),
        decoded=count * bound_samples + chosen * samples,
        bits_per_dimension=bits,
    )


@torch.no_grad()
def log_weights(
    model: Vae,
    images: Images,
    places: NDArray[np.int64],
    *,
    samples: int,
    seed: int,
    purpose: int = _CODES,
    rows: int = 5000,
    done: object = None,
) -> Tensor:
    """Logarithms of importance weights.

    Args:
        model: As `estimate_likelihood`.
        images: Among which they are.
        places: (n,) of the images to measure.
        samples: Of each.
        seed: Of the binarisation and the codes.
        purpose: Tells apart samples that are drawn for different ends.
        rows: Most codes decoded at once.
        done: Called with a number of images when that many more are done.

    Returns:
        (n, samples) float64, on the processor.

    Raises:
        NlprepError: Images of another shape.
    """
    if images.shape != model.shape:
        raise NlprepError(
            f"{images.source}: images are {images.shape} (channels, height, width) and the model's {model.shape}: "
            "prepare them as those that it was trained on"
        )
    training = model.training
    model.eval()
    try:
        at_once = max(1, rows // samples)
        found = []
        for first in range(0, len(places), at_once):
            some = places[first : first + at_once]
            found.append(_weights_of_some(model, images, some, samples=samples, seed=seed, purpose=purpose, rows=rows))
            if callable(done):
                done(len(some))
        return torch.cat(found)
    finally:
        model.train(training)


def _weights_of_some(
    model: Vae, images: Images, places: NDArray[np.int64], *, samples: int, seed: int, purpose: int, rows: int
) -> Tensor:
    device = model.to_posterior.weight.device
    labels = None
    if model.num_classes:
        if images.labels is None:
            raise NlprepError(f"{images.source}: has no labels, which this model is conditioned on: give classes")
        labels = torch.from_numpy(images.labels[places]).to(device)
    keys = combine(seed, places)
    with torch.autocast(device.type, enabled=False):
        pixels = unit_pixels(torch.from_numpy(images.pixels[places]).to(device))
        drawn = uniforms(keys, pixels[0].numel(), purpose=_BINARIZING).reshape(pixels.shape)
        targets = model.likelihood.targets(pixels, torch.from_numpy(drawn.astype(np.float32)).to(device))
        parts = []
        step = max(1, rows // len(places))
        for first in range(0, samples, step):
            numbers = np.arange(first, min(first + step, samples))
            noise = normals(combine(keys, purpose, numbers[:, None]), model.dimension)
            codes, mean, log_scale = model.draw(targets, torch.from_numpy(noise).to(device))
            parts.append(model.log_weights(targets, codes, mean, log_scale, labels).double().cpu())
    return torch.cat(parts).T
