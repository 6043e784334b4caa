"""Moving averages of weights (Polyak and Juditsky 1992), which are evaluated and published instead of the last ones.

After optimiser step k, from 0, each trained parameter w has the average

    a <- d_k a + (1 - d_k) w,    d_k = min(d, (2 + k) / (11 + k)),

whose memory is short at first, so that the weights of the start are soon forgotten. The warm-up is that of
TensorFlow's ``ExponentialMovingAverage`` (``min(decay, (1 + n) / (10 + n))`` with n steps done), and needs no state.
The running statistics of batch norm have averages too, by the same rule: those of the last weights belong to other
activations than the averaged weights make. (torch's ``AveragedModel`` keeps the last ones and leaves them to be
estimated anew, by a pass over the data; timm averages them as is done here.) Parameters that are not trained and all
other buffers have none, and stay what they are.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nlprep.core.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn


class WeightAverages:
    """The averages of all trained parameters of a step's players, and of the statistics of their batch norm.

    Args:
        modules: The players' modules, on their device; what takes gradients now is averaged.
        decay: d, below 1.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self._decay = decay
        self._averaged: dict[str, Tensor] = {
            f"average.{player}.{name}": tensor
            for player, module in modules.items()
            for name, tensor in (*_trained(module), *_statistics(module))
        }
        self._averages: dict[str, Tensor] = {}
        self.start()

    def start(self) -> None:
        """Begin with the present weights."""
        self._averages = {name: tensor.detach().clone() for name, tensor in self._averaged.items()}

    def decay(self, number: int) -> float:
        """d_k, the decay after optimiser step ``number``, from 0."""
        return min(self._decay, (2 + number) / (11 + number))

    @torch.no_grad()
    def update(self, number: int) -> None:
        """Take in the weights that optimiser step ``number`` led to."""
        average = get_ema_multi_avg_fn(self.decay(number))  # type: ignore[no-untyped-call]
        average(list(self._averages.values()), [tensor.detach() for tensor in self._averaged.values()], None)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The averages as the modules' weights in the block; then the trained ones again, bit for bit."""
        trained = {name: tensor.detach().clone() for name, tensor in self._averaged.items()}
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
        for name, tensor in self._averaged.items():
            tensor.copy_(values[name])


def _trained(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            yield name, parameter


def _statistics(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for place, part in module.named_modules():
        if isinstance(part, _NormBase) and part.track_running_stats:
            for name, buffer in part.named_buffers(recurse=False):
                # How many batches there were is a number, and no statistic.
                if buffer.is_floating_point():
                    yield f"{place}.{name}" if place else name, buffer
