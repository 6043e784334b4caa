"""Likelihood as a score of oddness, and what mends that simple images are likely whatever they show.

A density that was learned from one kind of images often gives more of itself to images of another, plainer kind than to
its own (Nalisnick et al. 2019, "Do deep generative models know what they don't know?"): digits under a flow of
photographs, smooth or constant images under nearly anything. So minus the log-likelihood of a model, which is one of
its own scores, misses them. With nats = -log p(x), or a bound of it, as the model says it:

- ``complexity_corrected`` is nats less the length of the image in a lossless code (`vision.uses.code_lengths`), which
  knows nothing of what is usual: how much worse than a general code the model does (Serra et al. 2020, "Input
  complexity and out-of-distribution detection with likelihood-based generative models", equation 1). For models that
  give the probability of bytes alone, as others' nats are of another thing than the code's.
- ``atypicality`` is |nats - their mean over usual images|: likelier than usual is odd, too (Nalisnick et al. 2019,
  "Detecting out-of-distribution inputs to deep generative models using typicality", with one image at a time). The mean
  is over at most 2,000 of the images that a detector learns from; if the model was trained on them, too, and remembers
  them, it is too low.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vision.flows.dequantization import byte_levels
from vision.uses.anomaly_scores import OwnScore
from vision.uses.code_lengths import code_nats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vision.models.model import ImageModel

COMPLEXITY, ATYPICALITY = "complexity_corrected", "atypicality"
LIKELIHOOD_SCORES = (COMPLEXITY, ATYPICALITY)
_LIKELIHOODS = ("nats", "bound", "free_energy")
"""By which names models give minus a log-likelihood, or a bound of it, or that but for a constant."""


class ComplexityCorrected(OwnScore):
    """Minus the log-likelihood of an image less its length in a lossless code, in nats.

    It is computed on the processor, outside any graph: an ONNX file cannot hold it.

    Args:
        model: The model.
        name: Of its score that is minus the log-likelihood of bytes.
    """

    def judged(self, own: Tensor, images: Tensor) -> Tensor:
        """(b, 1), of the model's score (b,) and images (b, ...), bytes or such pixels in [0, 1]."""
        lengths = code_nats(byte_levels(images).to(torch.uint8).cpu().numpy())
        return (own.double() - torch.from_numpy(lengths).to(own.device))[:, None]


class Atypicality(OwnScore):
    """How far minus the log-likelihood of an image is from what it is in the mean over usual ones, in nats.

    Args:
        model: The model.
        name: Of its score that is minus a log-likelihood.
        usual: The mean.
    """

    usual: Tensor

    def __init__(self, model: ImageModel, name: str, usual: Tensor) -> None:
        super().__init__(model, name)
        self.register_buffer("usual", usual)

    def judged(self, own: Tensor, images: Tensor) -> Tensor:  # noqa: ARG002 - the likelihood is all that counts
        """(b, 1), of the model's score (b,)."""
        return (own - self.usual).abs()[:, None]


def find_likelihood(own: Sequence[str]) -> str | None:
    """Which of a model's own scores is minus a log-likelihood; None if none is."""
    return next((name for name in _LIKELIHOODS if name in own), None)


def likelihood_scores(model: ImageModel, own: Sequence[str]) -> tuple[str, ...]:
    """Which of `LIKELIHOOD_SCORES` there are with a model.

    Args:
        model: The model.
        own: The names of its own scores.
    """
    name = find_likelihood(own)
    if name is None:
        return ()
    likelihood = getattr(model.config, "likelihood", None)
    # Flows give the probability of bytes; others as their settings have it.
    of_bytes = name == "nats" if likelihood is None else likelihood.kind == "logistic"
    return LIKELIHOOD_SCORES if of_bytes else (ATYPICALITY,)
