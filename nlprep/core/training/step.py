"""What one optimiser step does: the part of training that differs from model to model.

A step owns its modules and turns a batch into named losses; `nlprep.core.training.loop.fit` does the rest. Most
models are one module trained on one loss (`PlainStep`). Adversarial ones are several players that take turns
(`TwoPlayerStep`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from nlprep.core.training.configuration import TrainingConfig

Batch = dict[str, torch.Tensor]


class Step(ABC):
    """One or more players, each a module with an optimiser and a loss of its own.

    Attributes:
        unit: What `num_units` counts, for the rate that is reported.
        flops_per_unit: Floating-point operations, forward and backward, that a unit takes, where known.
    """

    unit: str = "examples"
    flops_per_unit: float | None = None

    @property
    @abstractmethod
    def players(self) -> Mapping[str, nn.Module]:
        """The modules that are trained, by player; disjoint."""

    @abstractmethod
    def losses(self, player: str, modules: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """What a player minimises, and whatever else should be logged.

        Args:
            player: Whose turn it is.
            modules: The players' modules. The one whose turn it is may be wrapped (to average gradients over
                processes): call it, and nothing inside it. The parameters of the others take no gradients.
            batch: Tensors on the device.

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

    def after_update(self, player: str) -> None:  # noqa: B027 - most steps have nothing to do here
        """Called when a player's parameters changed: the place for projections and moving averages.

        What it keeps from step to step must be part of a player's module (buffers, parameters that are frozen):
        then checkpoints hold it too.
        """


class PlainStep(Step):
    """One module, whose call on a batch gives the losses.

    Args:
        module: ``module(**batch)`` returns named scalars, of which ``loss`` is minimised.
        weight: Terms the losses are means of; default: examples.
        num_units: Units in a batch; default: examples.
        unit: What those are called.
        flops_per_unit: Operations each takes, forward and backward, where known.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        weight: Callable[[Batch], float] | None = None,
        num_units: Callable[[Batch], int] | None = None,
        unit: str = "examples",
        flops_per_unit: float | None = None,
    ) -> None:
        self.module = module
        self.unit = unit
        self.flops_per_unit = flops_per_unit
        self._weight = weight
        self._num_units = num_units

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The module, as ``model``."""
        return {"model": self.module}

    def losses(self, player: str, modules: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """What the module returns."""
        losses: Mapping[str, Tensor] = modules[player](**batch)
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
