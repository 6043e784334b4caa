"""What one optimiser step does: the part of training that differs from model to model.

A step owns its modules and turns a batch into named losses; `nlprep.core.training.loop.fit` does the rest. Most
models are one module trained on one loss (`PlainStep`). Adversarial ones are several players that take turns
(`TwoPlayerStep`). A loss that couples the examples of a batch belongs to a
`nlprep.core.training.steps.coupled.CoupledStep`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from nlprep.core.training.configuration import TrainingConfig

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Moment:
    """Where in a run something happens; schedules are functions of it.

    It is the same for all turns, parts and processes of an optimiser step, and after a restart.

    Attributes:
        step: Optimiser steps that were completed before: 0 in the first one, ``steps`` in the last evaluation.
        steps: Optimiser steps of the whole run.
    """

    step: int
    steps: int

    @property
    def progress(self) -> float:
        """The share of the run that is done, from 0 to 1."""
        return self.step / self.steps


class Step(ABC):
    """One or more players, each a module with an optimiser and a loss of its own.

    Attributes:
        unit: What `num_units` counts, for the rate that is reported.
        flops_per_unit: Floating-point operations, forward and backward, that a unit takes, where known.
        coupled: Whether the losses couple the examples of a batch (contrast within it, correlation, statistics), so
            that the mean of parts is not the loss of the whole. Parts and several processes are refused then; a
            `nlprep.core.training.steps.coupled.CoupledStep` computes them right instead. None: nobody said; before a
            batch is divided, two examples are tried together and alone, and a loss that differs is refused.
        criterion: The validation loss whose lowest value decides which weights are best, such as ``generator_loss``;
            None: ``loss`` if there is one player, and nothing if there are several, of whose losses a low one may be
            no good sign.
    """

    unit: str = "examples"
    flops_per_unit: float | None = None
    coupled: bool | None = None
    criterion: str | None = None

    @property
    @abstractmethod
    def players(self) -> Mapping[str, nn.Module]:
        """The modules that are trained, by player; disjoint."""

    @abstractmethod
    def losses(
        self, player: str, modules: Mapping[str, nn.Module], batch: Batch, *, moment: Moment
    ) -> Mapping[str, Tensor]:
        """What a player minimises, and whatever else should be logged.

        Args:
            player: Whose turn it is.
            modules: The players' modules. The one whose turn it is may be wrapped (to average gradients over
                processes): call it, and nothing inside it. The parameters of the others take no gradients.
            batch: Tensors on the device.
            moment: The optimiser step; in validation, the steps done so far.

        Returns:
            Scalars: ``loss``, which is minimised, and others, each a mean over the `weight` of the batch.
        """

    def weight(self, batch: Batch) -> float:
        """How many terms the losses of a batch are means of: examples, unless overridden.

        Called on tensors that are not on the device yet. Where it is 0, the losses must be finite all the same.
        Losses of parts of a batch, and of processes, are averaged with these weights, so that the gradient is
        that of the whole batch at once.
        """
        return float(len(next(iter(batch.values()))))

    def num_units(self, batch: Batch) -> int:
        """How many of ``unit`` are in a batch."""
        return len(next(iter(batch.values())))

    def turns(self, step: int) -> Sequence[str]:  # noqa: ARG002
        """Whose updates optimiser step ``step`` makes, in order; a name may come twice."""
        return tuple(self.players)

    def make_optimizer(self, player: str, config: TrainingConfig) -> torch.optim.Optimizer:
        """The optimiser of a player: AdamW, decaying matrices only, unless overridden."""
        return make_adamw(self.players[player], config)

    def initialize(self, modules: Mapping[str, nn.Module], batch: Batch) -> None:  # noqa: B027 - most begin as made
        """Set what depends on data (scales of activation normalisation, centres), once, before the first update.

        Called in a fresh run only, not in one that goes on, on every process alike; afterwards the main process's
        parameters and buffers are everyone's. Modules are in training mode, without gradients, and torch's generators
        are seeded by the run.

        Args:
            modules: The players' modules, not wrapped; parameters must be changed in place.
            batch: The whole first batch, of all processes and parts, on the device.
        """

    def after_update(self, player: str, *, moment: Moment) -> None:  # noqa: B027 - most steps have nothing to do here
        """Called when a player's parameters changed: the place for projections and momentum encoders.

        What it keeps from step to step must be part of a player's module (buffers, parameters that are frozen):
        then checkpoints hold it too.

        Args:
            player: Whose parameters changed.
            moment: The optimiser step that they changed in, as `losses` was given it.
        """

    def settle(self) -> None:  # noqa: B027 - most steps have nothing to do here
        """Called before the players are evaluated and before they are published, perhaps with averaged weights.

        The place for bringing up to date what is kept of parameters beside them and lags behind, or belongs to others
        than the averaged ones (norms that are iterated for). Buffers may be changed, in place; after an evaluation they
        are put back, so that training does not depend on when there was one.
        """


class PlainStep(Step):
    """One module, whose call on a batch gives the losses.

    Args:
        module: ``module(**batch)`` returns named scalars, of which ``loss`` is minimised.
        weight: Terms the losses are means of; default: examples.
        num_units: Units in a batch; default: examples.
        unit: What those are called.
        flops_per_unit: Operations each takes, forward and backward, where known.
        schedules: Further arguments of the module's call that change as the run goes on (the weight of a divergence),
            each a function of the moment; the module gets scalar tensors, by which a compiled one is not made anew.
        coupled: As `Step.coupled`.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        weight: Callable[[Batch], float] | None = None,
        num_units: Callable[[Batch], int] | None = None,
        unit: str = "examples",
        flops_per_unit: float | None = None,
        schedules: Mapping[str, Callable[[Moment], float]] | None = None,
        coupled: bool | None = None,
    ) -> None:
        self.module = module
        self.coupled = coupled
        self.unit = unit
        self.flops_per_unit = flops_per_unit
        self._weight = weight
        self._num_units = num_units
        self._schedules = dict(schedules or {})

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The module, as ``model``."""
        return {"model": self.module}

    def losses(
        self, player: str, modules: Mapping[str, nn.Module], batch: Batch, *, moment: Moment
    ) -> Mapping[str, Tensor]:
        """What the module returns."""
        device = next(iter(batch.values())).device
        # Filled on the device: copying a number there would wait for it.
        scheduled = {name: torch.full((), value(moment), device=device) for name, value in self._schedules.items()}
        losses: Mapping[str, Tensor] = modules[player](**batch, **scheduled)
        return losses

    def weight(self, batch: Batch) -> float:
        """As given to the constructor; examples by default."""
        return self._weight(batch) if self._weight else super().weight(batch)

    def num_units(self, batch: Batch) -> int:
        """As given to the constructor; examples by default."""
        return self._num_units(batch) if self._num_units else super().num_units(batch)


class TwoPlayerStep(Step):
    """A generator against a discriminator (Goodfellow et al. 2014), which moves first.

    Subclasses give `losses` for the players ``discriminator`` and ``generator``.

    Args:
        generator: The module that is wanted.
        discriminator: The module that it has to fool.
        discriminator_updates: Updates of the discriminator in each step, all on the step's batch.
        generator_every: Steps for each update of the generator.

    Raises:
        OptionError: A number below 1.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        discriminator_updates: int = 1,
        generator_every: int = 1,
    ) -> None:
        for name, value in (("discriminator_updates", discriminator_updates), ("generator_every", generator_every)):
            if value < 1:
                raise OptionError(f"{name} = {value}: must be at least 1")
        self.generator = generator
        self.discriminator = discriminator
        self.discriminator_updates = discriminator_updates
        self.generator_every = generator_every

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """Both, the discriminator first."""
        return {"discriminator": self.discriminator, "generator": self.generator}

    def turns(self, step: int) -> Sequence[str]:
        """The discriminator's updates, then, in every ``generator_every``-th step, the generator's."""
        updates = ["discriminator"] * self.discriminator_updates
        return [*updates, "generator"] if (step + 1) % self.generator_every == 0 else updates


def make_adamw(module: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the trainable parameters of a module.

    Tensors of two and more dimensions decay; biases, norms and other vectors do not.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        fused=True,
    )
