"""Updates of parameters: the arithmetic of one optimiser step, over parts of a batch and over processes."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import combine
from nlprep.core.training.processes import check_processes
from nlprep.core.training.schedule import learning_rate_factor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from accelerate import Accelerator
    from torch import Tensor, nn

    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.step import Batch, Step

T = TypeVar("T")

_DROPOUT, _MEASURING = 11, 12


class NonFiniteError(NlprepError):
    """A loss or a gradient is not finite; the parameters are as they were before that update."""


class OutOfMemoryError(Exception):
    """Memory ran out; for `nlprep.core.training.loop` to deal with."""


@dataclass(frozen=True)
class Totals:
    """What an optimiser step came to, over all processes.

    Attributes:
        losses: Means by name; a player's are prefixed by its name where there are several.
        weight: Terms they are means of.
        units: Units trained on.
        stop: Whether any process was asked to stop.
    """

    losses: dict[str, float]
    weight: float
    units: int
    stop: bool


class Updates:
    """The players of a step on their device, with their optimisers.

    Args:
        step: Whose players they are.
        config: Settings.
        accelerator: Device and processes.
        steps: Optimiser steps of the whole run, for the schedule.

    Raises:
        OptionError: The batch cannot be shared between the processes, they do not see each other, or the precision
            is not to be had.
    """

    def __init__(self, step: Step, config: TrainingConfig, accelerator: Accelerator, steps: int) -> None:
        self.step, self.config, self.accelerator, self.steps = step, config, accelerator, steps
        check_processes(accelerator)
        self.device = accelerator.device
        self.precision = choose_precision(config.precision, accelerator)
        self.parts = _count_parts(config, accelerator.num_processes)
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
        self.optimizers = {player: step.make_optimizer(player, config) for player in self.plain}
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["highest_lr"] = group["lr"]
        self.learning_rate = 0.0
        # What of the present optimiser step was made before memory ran out.
        self._number = -1
        self._turns_made = 0
        self._losses: dict[str, float] = {}

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
        self._allow_gradients(tuple(self.plain))

    def update(self, number: int, parts: Sequence[Batch], *, stop: bool) -> Totals:
        """Make optimiser step ``number``.

        Args:
            number: From 0.
            parts: This process's parts of the batch, on the CPU.
            stop: Whether this process was asked to stop.

        Raises:
            NonFiniteError: Nothing was updated by the player concerned.
            OutOfMemoryError: Likewise; called again for the same step, perhaps in smaller parts, it goes on with
                that player's turn.
        """
        weights = [self.step.weight(part) for part in parts]
        units = sum(self.step.num_units(part) for part in parts)
        weight, total_units, stops = self._sum([sum(weights), units, stop])
        factor = learning_rate_factor(number, self.steps, self.config)
        if number != self._number:
            self._number, self._turns_made, self._losses = number, 0, {}
        for turn, player in enumerate(self.step.turns(number)):
            if turn < self._turns_made:
                continue
            problem = ""
            try:
                sums = self._accumulate(number, turn, player, parts, weights, weight)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                problem = str(error) or "out of memory"
            if problem:
                # Not raised above: this error would be the new one's context, and every activation live on in its
                # traceback.
                self.optimizers[player].zero_grad(set_to_none=True)
                raise OutOfMemoryError(problem)
            means = self._apply(number, player, sums, weight, factor)
            prefix = "" if len(self.plain) == 1 else f"{player}_"
            self._losses |= {prefix + name: value for name, value in means.items()}
            self._turns_made += 1
        return Totals(self._losses, weight, int(total_units), stops > 0)

    def _accumulate(
        self,
        number: int,
        turn: int,
        player: str,
        parts: Sequence[Batch],
        weights: Sequence[float],
        weight: float,
    ) -> dict[str, Tensor]:
        """Leave the gradient of the whole batch in a player's parameters; return this process's sums of its losses."""
        self.optimizers[player].zero_grad(set_to_none=True)
        modules = self.plain | {player: self.wrapped[player]}
        self._allow_gradients((player,))
        sums: dict[str, Tensor] = {}
        for index, (part, part_weight) in enumerate(zip(parts, weights, strict=True)):
            self._seed(_DROPOUT, number, turn, index, self.accelerator.process_index)
            with ExitStack() as stack:
                if index + 1 < len(parts):
                    stack.enter_context(self.accelerator.no_sync(self.wrapped[player]))
                with self._autocast():
                    losses = self.step.losses(player, modules, self._move(part))
                # Processes average their gradients: each counts by its share of the terms, times their number.
                share = part_weight / weight * self.accelerator.num_processes if weight else 0.0
                torch.autograd.backward(losses["loss"] * share)
            for name, value in losses.items():
                term = value.detach().float() * part_weight
                sums[name] = sums[name] + term if name in sums else term
        return sums

    def _apply(
        self, number: int, player: str, sums: Mapping[str, Tensor], weight: float, factor: float
    ) -> dict[str, float]:
        """Make one update of a player from its gradient; return the means of its losses over all processes."""
        optimizer = self.optimizers[player]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # One wait for the device, not one for each number.
        *listed, gradient_norm = torch.stack([*sums.values(), norm.float()]).tolist()
        values = self._sum(listed)
        means = dict(zip(sums, (value / weight if weight else 0.0 for value in values), strict=True))
        means["gradient_norm"] = gradient_norm
        self._check_finite(number, player, means)
        if self.config.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.clip_norm, norm)
        for group in optimizer.param_groups:
            group["lr"] = group["highest_lr"] * factor
        self.learning_rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        self.step.after_update(player)
        return means

    def _check_finite(self, number: int, player: str, means: Mapping[str, float]) -> None:
        for name, value in (("loss", means["loss"]), ("gradient", means["gradient_norm"])):
            if value - value != 0:  # NaN and the infinities, alike on every process
                first = number * self.config.batch_size
                which = "" if len(self.plain) == 1 else f" of the {player}"
                raise NonFiniteError(
                    f"the {name}{which} is {value} at step {number + 1:,} (batch {number:,}, positions {first:,} to "
                    f"{first + self.config.batch_size - 1:,} of the run): this update was not made and earlier "
                    "checkpoints are whole; lower the learning rate, lengthen the warm-up, or train in fp32"
                )

    def measure(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The losses of every player over batches, averaged over processes; call it inside `evaluating`."""
        sums: dict[str, float] = {}
        total = 0.0
        for index, batch in enumerate(batches):
            weight = self.step.weight(batch)
            moved = self._move(batch)
            for player in self.plain:
                prefix = "" if len(self.plain) == 1 else f"{player}_"
                self._seed(_MEASURING, index, self.accelerator.process_index)
                with self._autocast():
                    losses = self.step.losses(player, self.plain, moved)
                for name, value in losses.items():
                    sums[prefix + name] = sums.get(prefix + name, 0.0) + value.item() * weight
            total += weight
        # A process without a batch knows no names: the main one always has a batch.
        names = self.agree(list(sums))
        *summed, total = self._sum([*(sums.get(name, 0.0) for name in names), total])
        return {name: value / total if total else 0.0 for name, value in zip(names, summed, strict=True)}

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, without gradients, in the block."""
        for module in self.plain.values():
            module.eval()
        try:
            with ExitStack() as stack:
                stack.enter_context(torch.no_grad())
                if self.config.compile:
                    # Compiling again for forward passes of other sizes would cost more than it saves.
                    stack.enter_context(torch.compiler.set_stance("force_eager"))
                yield
        finally:
            for module in self.plain.values():
                module.train()

    def agree(self, answer: T) -> T:
        """The main process's answer, on every process."""
        if self.accelerator.num_processes == 1:
            return answer
        from accelerate.utils import broadcast_object_list

        answers: list[T] = broadcast_object_list([answer])
        return answers[0]

    def _allow_gradients(self, acting: Sequence[str]) -> None:
        """Let only the acting players' parameters take gradients, but for those frozen by their owner."""
        if len(self.plain) == 1:
            return
        for player, module in self.plain.items():
            for parameter in module.parameters():
                parameter.requires_grad_(player in acting and parameter not in self._frozen)

    def _seed(self, *place: int) -> None:
        seed = int(combine(self.config.seed, *place))
        # Not `torch.manual_seed`, which for every kind of device that is not there keeps a call stack in text.
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _move(self, batch: Batch) -> Batch:
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def _sum(self, values: Sequence[float]) -> list[float]:
        """Numbers added up over the processes."""
        if self.accelerator.num_processes == 1:
            return list(values)
        summed: Any = self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.device), "sum")
        listed: list[float] = summed.tolist()
        return listed


def choose_precision(wanted: str, accelerator: Accelerator) -> str:
    """``bf16`` or ``fp32``.

    Raises:
        OptionError: Accelerate was set up for another precision, or the device has no bf16.
    """
    launched = accelerator.mixed_precision
    if launched not in ("no", "bf16"):
        raise OptionError(f"Accelerate was told to use mixed precision {launched}: choose bf16 or no")
    if wanted == "auto":
        return "bf16" if launched == "bf16" or has_bf16(accelerator.device) else "fp32"
    if wanted == "fp32" and launched == "bf16":
        raise OptionError("precision = 'fp32', but Accelerate was told to use bf16: make them agree")
    if wanted == "bf16" and accelerator.device.type == "cuda" and not has_bf16(accelerator.device):
        raise OptionError("precision = 'bf16': this GPU does not compute it; use fp32")
    return wanted


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16 products; without them it is slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # No public question exists in torch 2; both have answered since 2.4.
        return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
    return False


def _count_parts(config: TrainingConfig, processes: int) -> int:
    """Parts of equal size to compute a process's share of a batch in."""
    share, rest = divmod(config.batch_size, processes)
    if rest or not share:
        raise OptionError(f"batch_size = {config.batch_size}: must be a multiple of the {processes} processes")
    most = min(config.micro_batch_size or share, share)
    return next(parts for parts in range(-(-share // most), share + 1) if share % parts == 0)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU's allocator raises a plain RuntimeError.
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
