"""The players of a step on their device, and what the processes that train them have in common."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from nlprep.core.randomness import combine, seed_torch
from nlprep.core.training.steps.precision import choose_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from accelerate import Accelerator
    from torch import Tensor, nn

    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.steps.step import Batch, Step

T = TypeVar("T")

# What torch's random numbers are drawn for: keys that `Players.seed` is given first, so that no two draw alike.
DROPOUT, MEASURING, COUPLING, INITIALIZING, EVALUATING = 11, 12, 13, 14, 15


class Players:
    """The modules of a step on their device, ready to be trained by one process or several.

    Args:
        step: Whose players they are.
        config: Settings.
        accelerator: Device and processes.

    Attributes:
        plain: The modules by the names of the players, whose parameters keep their names.
        wrapped: The same as they are called in training: several processes average their gradients.
        precision: What is computed in, ``"bf16"`` or ``"fp32"``.

    Raises:
        OptionError: The precision is not to be had.
    """

    def __init__(self, step: Step, config: TrainingConfig, accelerator: Accelerator) -> None:
        self.step, self.config, self.accelerator = step, config, accelerator
        self.device = accelerator.device
        self.precision = choose_precision(config.precision, accelerator)
        self.plain: dict[str, nn.Module] = {}
        self.wrapped: dict[str, nn.Module] = {}
        for player, module in step.players.items():
            self.plain[player] = module.to(self.device).train()
            if config.compile:
                # In place, so that the names of the parameters stay what they are.
                module.compile()
            distributed = accelerator.num_processes > 1
            self.wrapped[player] = accelerator.prepare_model(module) if distributed else module
        self._frozen = {p for module in self.plain.values() for p in module.parameters() if not p.requires_grad}

    def release(self) -> None:
        """Undo what was done to the modules for training, and leave them in evaluation mode."""
        for player, module in self.plain.items():
            if self.wrapped[player] is not module:
                self.accelerator.unwrap_model(self.wrapped[player], keep_fp32_wrapper=False)
            if self.config.compile:
                # Whoever uses the model next gives it inputs of other sizes, for each of which it would compile.
                module._compiled_call_impl = None  # noqa: SLF001 - there is no public way back
            module.eval()
            module.zero_grad(set_to_none=True)
        self.allow_gradients(tuple(self.plain))

    def allow_gradients(self, acting: Sequence[str]) -> None:
        """Let only the acting players' parameters take gradients, but for those frozen by their owner."""
        if len(self.plain) == 1:
            return
        for player, module in self.plain.items():
            for parameter in module.parameters():
                parameter.requires_grad_(player in acting and parameter not in self._frozen)

    def copy_buffers(self) -> dict[Tensor, Tensor]:
        """Every player's buffers, which a forward pass may change, and copies of them."""
        return {buffer: buffer.clone() for module in self.plain.values() for buffer in module.buffers()}

    def alone(self, player: str, *, really: bool) -> AbstractContextManager[None]:
        """Keep a player's gradients to this process in the block, if really: more is to come."""
        context: AbstractContextManager[None] = (
            self.accelerator.no_sync(self.wrapped[player]) if really else nullcontext()
        )
        return context

    def full_name(self, player: str, name: str) -> str:
        """What a player's quantity is recorded as."""
        return name if len(self.plain) == 1 else f"{player}_{name}"

    def seed(self, *place: int) -> None:
        """Let torch's random numbers be those of a place: what they are for, and where in the run."""
        seed_torch(int(combine(self.config.seed, *place)), self.device)

    def autocast(self) -> torch.autocast:
        """Compute in this precision in the block."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def move(self, batch: Batch) -> Batch:
        """A batch on the device."""
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def sum(self, values: Sequence[float]) -> list[float]:
        """Numbers added up over the processes."""
        if self.accelerator.num_processes == 1:
            return list(values)
        summed: Any = self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.device), "sum")
        listed: list[float] = summed.tolist()
        return listed

    def agree(self, answer: T) -> T:
        """The main process's answer, on every process."""
        if self.accelerator.num_processes == 1:
            return answer
        from accelerate.utils import broadcast_object_list

        answers: list[T] = broadcast_object_list([answer])
        return answers[0]

    def any_of(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is set on any process."""
        return [total > 0 for total in self.sum(flags)]


def put_buffers(copies: Mapping[Tensor, Tensor]) -> None:
    """Undo what was done to buffers since `Players.copy_buffers`."""
    with torch.no_grad():
        for buffer, copy in copies.items():
            buffer.copy_(copy)
