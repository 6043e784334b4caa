"""A density: a transform to standard normal numbers, trained by likelihood."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.step import PlainStep
from vision.flows.continuous import Continuous
from vision.flows.finite import refuse_infinite
from vision.flows.transform import Composition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nlprep.core.training.steps.step import Batch, Moment
    from vision.flows.transform import Transform


class Density(nn.Module):
    """The density of vectors, or of images as real numbers, that a flow gives.

    Args:
        transform: From data to vectors of noise.
        numbers: Of an event.
    """

    def __init__(self, transform: Transform, numbers: int) -> None:
        super().__init__()
        self.transform, self.numbers = transform, numbers

    def log_density(self, data: Tensor, context: Tensor | None = None) -> Tensor:
        """(...) in nats, of events (..., *event)."""
        noise, change = self.transform(data, context)
        density: Tensor = standard_normal(noise) + change
        return density

    def sample(self, number: int, context: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
        """Events drawn, with torch's generator.

        Args:
            number: How many.
            context: (number, ...) where the flow is told something.
            temperature: What noise is multiplied by; below 1 samples are likelier and more alike.

        Raises:
            OptionError: A temperature that is not above 0.
            NlprepError: Samples that are not finite, or an inverse that was not found.
        """
        if not 0 < temperature < math.inf:
            raise OptionError(f"temperature = {temperature}: give a number above 0")
        first = next(self.parameters())
        noise = temperature * torch.randn(number, self.numbers, device=first.device, dtype=first.dtype)
        return refuse_infinite(self.transform.decode(noise, context), "samples")

    def forward(self, data: Tensor, context: Tensor | None = None) -> Mapping[str, Tensor]:
        """``loss``: minus the log-density in the mean over events, in nats."""
        return {"loss": -self.log_density(data, context).mean()}

    def initialize(self, data: Tensor, context: Tensor | None = None) -> None:
        """Set what the first batch sets."""
        self.transform.initialize(data, context)

    def refresh(self, *, until_settled: bool = False) -> None:
        """Bring up to date what is estimated of the parameters: as `Transform.refresh`."""
        self.transform.refresh(until_settled=until_settled)

    def step(self) -> FlowStep:
        """One player, whose scales are set by the first batch."""
        return FlowStep(self, unit="events", coupled=False)

    def matching_step(self) -> FlowStep:
        """As `step`, but by flow matching.

        Raises:
            OptionError: The transform does not end in a continuous flow.
        """
        return FlowStep(FlowMatching(self), unit="events", coupled=False)


class FlowMatching(nn.Module):
    """What trains a density that ends in a continuous flow by matching, at noise and times drawn anew in every step.

    What comes before the continuous flow is set by the first batch and stays: matching says nothing of volumes.

    Args:
        density: Of the flow.

    Raises:
        OptionError: It does not end in a continuous flow.
    """

    def __init__(self, density: Density) -> None:
        super().__init__()
        self.density = density
        transform = density.transform
        *before, last = transform.transforms if isinstance(transform, Composition) else [transform]
        if not isinstance(last, Continuous):
            raise OptionError(f"a flow that ends in {type(last).__name__} is no continuous one: train it by likelihood")
        for part in before:
            part.requires_grad_(requires_grad=False)

    def forward(self, data: Tensor, context: Tensor | None = None) -> Mapping[str, Tensor]:
        """``loss``: squared errors of velocities, in the mean over events."""
        transform = self.density.transform
        *before, last = transform.transforms if isinstance(transform, Composition) else [transform]
        for part in before:
            data = part.encode(data, context)
        return {"loss": cast("Continuous", last).matching_loss(data, context).mean()}

    def initialize(self, data: Tensor, context: Tensor | None = None) -> None:
        """Set what the first batch sets."""
        self.density.initialize(data, context)

    def refresh(self, *, until_settled: bool = False) -> None:
        """Bring up to date what is estimated of the parameters: as `Transform.refresh`."""
        self.density.refresh(until_settled=until_settled)


class Begun(Protocol):
    """What `FlowStep` trains: a module that has a flow."""

    def initialize(self, *args: Tensor, **kwargs: Tensor) -> None:
        """Set what the first batch sets; arguments as the module's own."""

    def refresh(self, *, until_settled: bool = False) -> None:
        """Bring up to date what is estimated of the parameters: as `Transform.refresh`."""


class FlowStep(PlainStep):
    """Training by likelihood of a module that has a flow.

    What the flow sets from data is set from the whole first batch. What it estimates of its parameters is brought up to
    date after each update, and iterated until it stands still before an evaluation and at the end: averaged weights
    have other norms than those that the last update led to, and inverses rely on them.
    """

    def initialize(self, modules: Mapping[str, nn.Module], batch: Batch) -> None:
        """Set what the first batch sets."""
        cast("Begun", modules["model"]).initialize(**batch)

    def after_update(self, player: str, *, moment: Moment) -> None:
        """Bring estimates up to date."""
        cast("Begun", self.players[player]).refresh()

    def settle(self) -> None:
        """Iterate for the norms of the weights that are there."""
        for module in self.players.values():
            cast("Begun", module).refresh(until_settled=True)


def standard_normal(noise: Tensor) -> Tensor:
    """Log-densities (...) of vectors (..., d) of independent standard normal numbers, in float32 or float64."""
    wide = noise.to(torch.promote_types(noise.dtype, torch.float32))
    return (-wide.square() / 2 - math.log(2 * math.pi) / 2).sum(-1)
