"""Updates of parameters: the arithmetic of one optimiser step, over parts of a batch and over processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import NlprepError
from nlprep.core.training.processes import broadcast_from_main, check_processes, gather_rows
from nlprep.core.training.steps.averages import WeightAverages
from nlprep.core.training.steps.coupled import CoupledStep, gradients_of, join, send_back
from nlprep.core.training.steps.parts import check_parts, count_parts
from nlprep.core.training.steps.players import COUPLING, DROPOUT, INITIALIZING, Players, put_buffers
from nlprep.core.training.steps.schedule import learning_rate_factor
from nlprep.core.training.steps.step import Moment
from nlprep.core.training.steps.wholeness import divided

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accelerate import Accelerator
    from torch import Tensor

    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.steps.coupled import Embeddings
    from nlprep.core.training.steps.step import Batch, Step


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
    """Makes the optimiser steps of a run.

    Args:
        step: Whose players they are.
        config: Settings.
        accelerator: Device and processes.
        steps: Optimiser steps of the whole run, for the schedule.

    Warns:
        BatchStatisticsWarning: As `nlprep.core.training.steps.parts.check_parts`.

    Raises:
        OptionError: The batch cannot be shared between the processes or must not be divided, they do not see each
            other, or the precision is not to be had.
    """

    def __init__(self, step: Step, config: TrainingConfig, accelerator: Accelerator, steps: int) -> None:
        self.step, self.config, self.accelerator, self.steps = step, config, accelerator, steps
        check_processes(accelerator)
        self._parts = count_parts(config, accelerator.num_processes)
        self.players = Players(step, config, accelerator)
        self.parts = self._parts
        self.optimizers = {player: step.make_optimizer(player, config) for player in self.players.plain}
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["highest_lr"] = group["lr"]
        self.averages = WeightAverages(self.players.plain, config.average) if config.average else None
        self.learning_rate = 0.0
        # What of the present optimiser step was made before memory ran out.
        self._number = -1
        self._turns_made = 0
        self._touched = -1
        self._losses: dict[str, float] = {}

    @property
    def parts(self) -> int:
        """The equal parts that this process's share of a batch is computed in."""
        return self._parts

    @parts.setter
    def parts(self, parts: int) -> None:
        check_parts(self.step, self.players.plain, self.config, parts=parts, processes=self.accelerator.num_processes)
        self._parts = parts

    def initialize(self, batch: Batch) -> None:
        """Let the step set what depends on data, from the whole first batch.

        Raises:
            NlprepError: Memory ran out.
        """
        self.players.seed(INITIALIZING)
        try:
            with torch.no_grad():
                self.step.initialize(self.players.plain, self.players.move(batch))
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            size = self.config.batch_size
            raise NlprepError(
                f"memory ran out while the step was initialised from all {size} examples of the first batch: lower "
                "batch_size, or let the step's `initialize` take them piece by piece"
            ) from error
        if self.accelerator.num_processes > 1:
            # The same batch and seed give the same values, unless kernels add in any order.
            for module in self.players.plain.values():
                broadcast_from_main([*module.parameters(), *module.buffers()])
        if self.averages:
            self.averages.start()

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
        weight, total_units, stops = self.players.sum([sum(weights), units, stop])
        factor = learning_rate_factor(number, self.steps, self.config)
        moment = Moment(number, self.steps)
        if number != self._number:
            self._number, self._turns_made, self._losses = number, 0, {}
        for turn, player in enumerate(self.step.turns(number)):
            if turn < self._turns_made:
                continue
            problem = ""
            before = self.players.copy_buffers() if self.config.halve_on_out_of_memory else {}
            try:
                sums = self._accumulate(moment, turn, player, parts, weights, weight)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                problem = str(error) or "out of memory"
            if problem:
                # Not raised above: this error would be the new one's context, and every activation live on in its
                # traceback.
                self.optimizers[player].zero_grad(set_to_none=True)
                put_buffers(before)
                raise OutOfMemoryError(problem)
            means = self._apply(moment, player, sums, weight, factor)
            self._losses |= {self.players.full_name(player, name): value for name, value in means.items()}
            self._turns_made += 1
        if self.averages:
            self.averages.update(number)
        return Totals(self._losses, weight, int(total_units), stops > 0)

    def _accumulate(
        self,
        moment: Moment,
        turn: int,
        player: str,
        parts: Sequence[Batch],
        weights: Sequence[float],
        weight: float,
    ) -> dict[str, Tensor]:
        """Leave the gradient of the whole batch in a player's parameters; return this process's sums of its losses."""
        self.optimizers[player].zero_grad(set_to_none=True)
        modules = self.players.plain | {player: self.players.wrapped[player]}
        self.players.allow_gradients((player,))
        if isinstance(self.step, CoupledStep):
            share = 1.0 if weight else 0.0
            losses = self._accumulate_coupled(self.step, moment, turn, player, parts, share)
            return {name: value.detach().float() * sum(weights) for name, value in losses.items()}
        sums: dict[str, Tensor] = {}
        for index, (part, part_weight) in enumerate(zip(parts, weights, strict=True)):
            self.players.seed(DROPOUT, moment.step, turn, index, self.accelerator.process_index)
            with self.players.alone(player, really=index + 1 < len(parts)):
                with self.players.autocast(), divided(len(parts) * self.accelerator.num_processes):
                    losses = self.step.losses(player, modules, self.players.move(part), moment=moment)
                # Processes average their gradients: each counts by its share of the terms, times their number.
                share = part_weight / weight * self.accelerator.num_processes if weight else 0.0
                torch.autograd.backward(losses["loss"] * share)
            for name, value in losses.items():
                term = value.detach().float() * part_weight
                sums[name] = sums[name] + term if name in sums else term
        return sums

    def _accumulate_coupled(
        self, step: CoupledStep, moment: Moment, turn: int, player: str, parts: Sequence[Batch], share: float
    ) -> Mapping[str, Tensor]:
        """As `_accumulate`, of a loss of the whole batch, by cached gradients; return that batch's losses."""
        modules = self.players.plain | {player: self.players.wrapped[player]}
        processes = self.accelerator.num_processes

        def embed(index: int) -> Mapping[str, Tensor]:
            self.players.seed(DROPOUT, moment.step, turn, index, self.accelerator.process_index)
            with self.players.autocast():
                return step.embed(player, modules, self.players.move(parts[index]), moment=moment)

        def couple(embeddings: Embeddings) -> Mapping[str, Tensor]:
            # The same numbers on every process, and whatever the parts.
            self.players.seed(COUPLING, moment.step, turn)
            with self.players.autocast():
                return step.couple(player, embeddings, moment=moment)

        embedded: Mapping[str, Tensor] | None = None
        if len(parts) == 1:
            embedded = embed(0)
            own = join([embedded])
        else:
            if getattr(self.players.wrapped[player], "broadcast_buffers", False):
                # As torch's wrapper would do before the first part, now that both passes begin with them.
                broadcast_from_main(self.players.plain[player].buffers())
            before = self.players.copy_buffers()
            with self.players.alone(player, really=True):
                # With gradients, whose graph is dropped at once: kernels that need none may draw other numbers.
                own = join([_without_graph(embed(index)) for index in range(len(parts))])
            put_buffers(before)
        losses, gradients = gradients_of(
            own, couple, gather=lambda tensor: gather_rows(tensor, self.accelerator), share=share
        )
        start = 0
        for index in range(len(parts)):
            with self.players.alone(player, really=index + 1 < len(parts)):
                again = embed(index) if embedded is None else embedded
                start = send_back(again, gradients, start=start, parts=len(parts), processes=processes)
        return losses

    def _apply(
        self, moment: Moment, player: str, sums: Mapping[str, Tensor], weight: float, factor: float
    ) -> dict[str, float]:
        """Make one update of a player from its gradient; return the means of its losses over all processes."""
        optimizer = self.optimizers[player]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # One wait for the device, not one for each number.
        *listed, gradient_norm = torch.stack([*sums.values(), norm.float()]).tolist()
        values = self.players.sum(listed)
        means = dict(zip(sums, (value / weight if weight else 0.0 for value in values), strict=True))
        means["gradient_norm"] = gradient_norm
        self._check_finite(moment.step, player, means)
        if self.config.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.config.clip_norm, norm)
        for group in optimizer.param_groups:
            group["lr"] = group["highest_lr"] * factor
        self.learning_rate = optimizer.param_groups[0]["lr"]
        self._touched = moment.step
        optimizer.step()
        self.step.after_update(player, moment=moment)
        return means

    def _check_finite(self, number: int, player: str, means: Mapping[str, float]) -> None:
        for name, value in (("loss", means["loss"]), ("gradient", means["gradient_norm"])):
            if value - value != 0:  # NaN and the infinities, alike on every process
                first = number * self.config.batch_size
                which = "" if len(self.players.plain) == 1 else f" of the {player}"
                raise NonFiniteError(
                    f"the {name}{which} is {value} at step {number + 1:,} (batch {number:,}, positions {first:,} to "
                    f"{first + self.config.batch_size - 1:,} of the run): this update was not made and earlier "
                    "checkpoints are whole; lower the learning rate, lengthen the warm-up, or train in fp32"
                )

    def touched(self, number: int) -> bool:
        """Whether anything that a checkpoint holds may have been changed by step ``number``, which failed.

        A forward pass changes the buffers of modules such as batch norm; values that are not finite are nobody's.
        """
        if self._touched == number:
            return True
        for module in self.players.plain.values():
            parameters = dict(module.named_parameters(remove_duplicate=False))
            if module.state_dict().keys() - parameters.keys():
                return True
            if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters.values()):
                return True
        return False


def _without_graph(embeddings: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {name: tensor.detach() for name, tensor in embeddings.items()}


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU's allocator raises a plain RuntimeError.
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
