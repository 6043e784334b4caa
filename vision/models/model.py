"""What every model of images can do, and what only some can.

A model is a module whose call on a batch gives losses, so that the one loop trains it. What it can do besides making
codes (reconstruct, draw samples, say how likely an image is) it shows by having the method: the classes below that
start with *Can* are what commands and instruments ask for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nlprep.core.training.steps.step import Step
    from vision.images.collection import Shape


class ImageModel(nn.Module, ABC):
    """A model of images of one shape.

    Attributes:
        shape: (channels, height, width) of the images.
        dimension: Numbers in a code.
        num_classes: How many classes it is conditioned on; 0: it sees no labels.
        config: Its settings, a dataclass in `vision.models.configuration`, whose ``backbone``, if it has one, says
            which network makes features.
        told: What of an image it is told and gives back as it was, in words, by a model that fills in the rest.
    """

    shape: Shape
    config: Any
    dimension: int
    num_classes: int = 0
    told: ClassVar[str] = ""

    @abstractmethod
    def forward(self, images: Tensor, **given: Tensor) -> Mapping[str, Tensor]:
        """Losses of a batch: ``loss``, which is minimised, and what else is worth recording.

        Sums over the dimensions of an image, means over examples. What is random comes from torch's generator, which
        the loop seeds in every step.

        Args:
            images: (b, channels, height, width) uint8, or float32 in [0, 1].
            given: ``labels`` (b,) int64 where `num_classes` is not 0, and what `step` schedules.
        """

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Codes (b, `dimension`) of images as `forward` takes them; nothing is random."""

    def step(self) -> Step:
        """How it is trained: as one player on one loss, unless overridden."""
        from nlprep.core.training.steps.step import PlainStep

        return PlainStep(self, unit="images")


class Embedding(nn.Module):
    """A model whose call gives what its loss is a function of: the module of a coupled step.

    Args:
        model: Whose parameters are trained.
        embed: Its function that a batch's tensors are given to.
    """

    def __init__(self, model: ImageModel, embed: Callable[..., Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.embed = model, embed

    def forward(self, **batch: Tensor) -> Mapping[str, Tensor]:
        """What ``embed`` makes of a batch."""
        return self.embed(**batch)


@runtime_checkable
class CanReconstruct(Protocol):
    """Models that give an image back."""

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(b, channels, height, width) float32 in [0, 1], of images as `ImageModel.forward` takes them."""


@runtime_checkable
class CanDecode(Protocol):
    """Models that make images of codes."""

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """(b, channels, height, width) float32 in [0, 1] of codes (b, dimension)."""


@runtime_checkable
class CanSample(Protocol):
    """Models that draw images."""

    def sample(self, number: int, labels: Tensor | None = None) -> Tensor:
        """(number, channels, height, width) float32 in [0, 1], with torch's generator."""


@runtime_checkable
class CanScore(Protocol):
    """Models that say how well an image fits what they have learned."""

    def scores(self, images: Tensor) -> Mapping[str, Tensor]:
        """By name, (b,) numbers that are higher the odder an image is (errors, negative log-likelihoods in nats)."""
