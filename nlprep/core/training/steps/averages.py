"""Moving averages of weights (Polyak and Juditsky 1992), which are evaluated and published instead of the last ones.

After optimiser step k, from 0, each trained parameter w has the average

    a <- d_k a + (1 - d_k) w,    d_k = min(d, (2 + k) / (11 + k)),

whose memory is short at first, so that the weights of the start are soon forgotten. The warm-up is that of
TensorFlow's ``ExponentialMovingAverage`` (``min(decay, (1 + n) / (10 + n))`` with n steps done), and needs no state.
Parameters that are not trained and buffers have no average: they stay what they are, so that the statistics of batch
norm are those of the trained weights, as in torch's ``AveragedModel``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nlprep.core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn


class WeightAverages:
    """The averages of all trained parameters of a step's players.

    Args:
        modules: The players' modules, on their device; what takes gradients now is averaged.
        decay: d, below 1.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self._decay = decay
        self._parameters = {
            f"average.{player}.{name}": parameter
            for player, module in modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._averages: dict[str, Tensor] = {}
        self.start()

    def start(self) -> None:
        """Begin with the present weights."""
        self._averages = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def decay(self, number: int) -> float:
        """d_k, the decay after optimiser step ``number``, from 0."""
        return min(self._decay, (2 + number) / (11 + number))

    @torch.no_grad()
    def update(self, number: int) -> None:
        """Take in the weights that optimiser step ``number`` led to."""
        average = get_ema_multi_avg_fn(self.decay(number))  # type: ignore[no-untyped-call]
        average(list(self._averages.values()), [p.detach() for p in self._parameters.values()], None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages as the modules' weights in the block; then the trained ones again, bit for bit."""
        trained = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self.publish()
        try:
            yield
        finally:
            self._put(trained)

    def publish(self) -> None:
        """Leave the averages in the modules."""
        self._put(self._averages)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds of them, on the CPU."""
        return {name: average.cpu() for name, average in self._averages.items()}

    def restore(self, tensors: Mapping[str, Tensor], *, where: Path | str) -> None:
        """Go on from what `tensors` gave.

        Raises:
            FileError: They are not there.
        """
        for name, average in self._averages.items():
            if name not in tensors:
                raise FileError(where, f"the checkpoint lacks {name!r}: start in a new directory")
            average.copy_(tensors[name])

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(values[name])
