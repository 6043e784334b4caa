"""Updates of parameters: the arithmetic of one optimiser step, over parts of a batch and over processes."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from nlprep.core.errors import NlprepError
from nlprep.core.randomness import combine
from nlprep.core.training.data.examples import ValidationBatches
from nlprep.core.training.processes import broadcast_from_main, check_processes, gather_rows
from nlprep.core.training.steps.averages import WeightAverages
from nlprep.core.training.steps.coupled import CoupledStep, ValidationWindows, gradients_of, join, send_back
from nlprep.core.training.steps.parts import check_parts, count_parts
from nlprep.core.training.steps.precision import choose_precision
from nlprep.core.training.steps.schedule import learning_rate_factor
from nlprep.core.training.steps.step import Moment
from nlprep.core.training.steps.wholeness import divided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from accelerate import Accelerator
    from torch import Tensor, nn

    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.steps.coupled import Embeddings
    from nlprep.core.training.steps.step import Batch, Step

T = TypeVar("T")

_DROPOUT, _MEASURING, _COUPLING, _INITIALIZING, _EVALUATING = 11, 12, 13, 14, 15


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

    Warns:
        BatchStatisticsWarning: As `nlprep.core.training.steps.parts.check_parts`.

    Raises:
        OptionError: The batch cannot be shared between the processes or must not be divided, they do not see each
            other, or the precision is not to be had.
    """

    def __init__(self, step: Step, config: TrainingConfig, accelerator: Accelerator, steps: int) -> None:
        self.step, self.config, self.accelerator, self.steps = step, config, accelerator, steps
        check_processes(accelerator)
        self.device = accelerator.device
        self.precision = choose_precision(config.precision, accelerator)
        self._parts = count_parts(config, accelerator.num_processes)
        self.plain: dict[str, nn.Module] = {}
        self.wrapped: dict[str, nn.Module] = {}
        for player, module in step.players.items():
            self.plain[player] = module.to(self.device).train()
            if config.compile:
                # In place, so that the names of the parameters stay what they are.
                module.compile()
            distributed = accelerator.num_processes > 1
            self.wrapped[player] = accelerator.prepare_model(module) if distributed else module
        self.parts = self._parts
        self._frozen = {p for module in self.plain.values() for p in module.parameters() if not p.requires_grad}
        self.optimizers = {player: step.make_optimizer(player, config) for player in self.plain}
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["highest_lr"] = group["lr"]
        self.averages = WeightAverages(self.plain, config.average) if config.average else None
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
        check_parts(self.step, self.plain, self.config, parts=parts, processes=self.accelerator.num_processes)
        self._parts = parts

    def initialize(self, batch: Batch) -> None:
        """Let the step set what depends on data, from the whole first batch.

        Raises:
            NlprepError: Memory ran out.
        """
        self._seed(_INITIALIZING)
        try:
            with torch.no_grad():
                self.step.initialize(self.plain, self._move(batch))
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
            for module in self.plain.values():
                broadcast_from_main([*module.parameters(), *module.buffers()])
        if self.averages:
            self.averages.start()

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
        moment = Moment(number, self.steps)
        if number != self._number:
            self._number, self._turns_made, self._losses = number, 0, {}
        for turn, player in enumerate(self.step.turns(number)):
            if turn < self._turns_made:
                continue
            problem = ""
            before = self._copy_buffers() if self.config.halve_on_out_of_memory else {}
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
                _put_buffers(before)
                raise OutOfMemoryError(problem)
            means = self._apply(moment, player, sums, weight, factor)
            self._losses |= {self._full_name(player, name): value for name, value in means.items()}
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
        modules = self.plain | {player: self.wrapped[player]}
        self._allow_gradients((player,))
        if isinstance(self.step, CoupledStep):
            share = 1.0 if weight else 0.0
            losses = self._accumulate_coupled(self.step, moment, turn, player, parts, share)
            return {name: value.detach().float() * sum(weights) for name, value in losses.items()}
        sums: dict[str, Tensor] = {}
        for index, (part, part_weight) in enumerate(zip(parts, weights, strict=True)):
            self._seed(_DROPOUT, moment.step, turn, index, self.accelerator.process_index)
            with self._alone(player, really=index + 1 < len(parts)):
                with self._autocast(), divided(len(parts) * self.accelerator.num_processes):
                    losses = self.step.losses(player, modules, self._move(part), moment=moment)
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
        modules = self.plain | {player: self.wrapped[player]}
        processes = self.accelerator.num_processes

        def embed(index: int) -> Mapping[str, Tensor]:
            self._seed(_DROPOUT, moment.step, turn, index, self.accelerator.process_index)
            with self._autocast():
                return step.embed(player, modules, self._move(parts[index]), moment=moment)

        def couple(embeddings: Embeddings) -> Mapping[str, Tensor]:
            # The same numbers on every process, and whatever the parts.
            self._seed(_COUPLING, moment.step, turn)
            with self._autocast():
                return step.couple(player, embeddings, moment=moment)

        embedded: Mapping[str, Tensor] | None = None
        if len(parts) == 1:
            embedded = embed(0)
            own = join([embedded])
        else:
            if getattr(self.wrapped[player], "broadcast_buffers", False):
                # As torch's wrapper would do before the first part, now that both passes begin with them.
                broadcast_from_main(self.plain[player].buffers())
            before = self._copy_buffers()
            with self._alone(player, really=True):
                # With gradients, whose graph is dropped at once: kernels that need none may draw other numbers.
                own = join([_without_graph(embed(index)) for index in range(len(parts))])
            _put_buffers(before)
        losses, gradients = gradients_of(
            own, couple, gather=lambda tensor: gather_rows(tensor, self.accelerator), share=share
        )
        start = 0
        for index in range(len(parts)):
            with self._alone(player, really=index + 1 < len(parts)):
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
        values = self._sum(listed)
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
                which = "" if len(self.plain) == 1 else f" of the {player}"
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
        for module in self.plain.values():
            parameters = dict(module.named_parameters(remove_duplicate=False))
            if module.state_dict().keys() - parameters.keys():
                return True
            if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters.values()):
                return True
        return False

    def validation_batches(self, examples: Examples) -> ValidationBatches | ValidationWindows:
        """Validation examples as this process measures them."""
        share = self.config.batch_size // self.accelerator.num_processes
        size = max(1, share // self.parts)
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        if self.step.coupled:
            return ValidationWindows(
                examples,
                seed=self.config.seed,
                batch_size=self.config.batch_size,
                part_size=size,
                rank=rank,
                world_size=processes,
            )
        return ValidationBatches(examples, seed=self.config.seed, size=size, rank=rank, world_size=processes)

    def measure(
        self,
        batches: ValidationBatches | ValidationWindows,
        fetched: Iterable[Batch] | None = None,
        *,
        done: int,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> dict[str, float] | None:
        """The losses of every player over batches, averaged over processes; call it inside `evaluating`.

        Args:
            batches: From `validation_batches`.
            fetched: The same, in their order, where somebody else fetches them.
            done: Optimiser steps done.
            interrupted: Asked between batches; a process that is told so stops there.

        Returns:
            None, on every process, if any of them stopped before its end.
        """
        moment = Moment(done, self.steps)
        fetched = batches if fetched is None else fetched
        if isinstance(batches, ValidationWindows):
            return self._measure_coupled(batches, fetched, moment, interrupted)
        sums: dict[str, float] = {}
        total = 0.0
        cut = False
        for index, batch in enumerate(fetched):
            cut = interrupted()
            if cut:
                break
            weight = self.step.weight(batch)
            moved = self._move(batch)
            for player in self.plain:
                self._seed(_MEASURING, index, self.accelerator.process_index)
                with self._autocast():
                    losses = self.step.losses(player, self.plain, moved, moment=moment)
                for name, value in losses.items():
                    name = self._full_name(player, name)  # noqa: PLW2901
                    sums[name] = sums.get(name, 0.0) + value.item() * weight
            total += weight
        # A process without a batch knows no names: the main one always has a batch.
        names = self.agree(list(sums))
        *summed, total, cuts = self._sum([*(sums.get(name, 0.0) for name in names), total, cut])
        if cuts:
            return None
        return {name: value / total if total else 0.0 for name, value in zip(names, summed, strict=True)}

    def _measure_coupled(
        self,
        batches: ValidationWindows,
        fetched: Iterable[Batch],
        moment: Moment,
        interrupted: Callable[[], bool],
    ) -> dict[str, float] | None:
        """As `measure`, each batch whole: the parts of all processes are embedded, and the loss is theirs together."""
        sums: dict[str, float] = {}
        total = 0.0
        arriving = iter(fetched)
        for number, window in enumerate(batches.windows):
            parts = [next(arriving) for _ in range(window.parts)]
            weight, cuts = self._sum([sum(self.step.weight(part) for part in parts), interrupted()])
            if cuts:
                return None
            weight *= window.fresh
            for player in self.plain:
                for name, value in self._losses_of_window(player, number, parts, moment).items():
                    name = self._full_name(player, name)  # noqa: PLW2901
                    sums[name] = sums.get(name, 0.0) + value.item() * weight
            total += weight
        return self.agree({name: value / total if total else 0.0 for name, value in sums.items()})

    def _losses_of_window(
        self, player: str, number: int, parts: Sequence[Batch], moment: Moment
    ) -> Mapping[str, Tensor]:
        rank = self.accelerator.process_index
        if not isinstance(self.step, CoupledStep):
            # Its batches are whole.
            self._seed(_MEASURING, number, rank)
            with self._autocast():
                return self.step.losses(player, self.plain, self._move(parts[0]), moment=moment)
        embedded = []
        for index, part in enumerate(parts):
            self._seed(_MEASURING, number, rank, index)
            with self._autocast():
                embedded.append(self.step.embed(player, self.plain, self._move(part), moment=moment))
        if self.accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            # As objects, since their numbers differ where the examples do not divide.
            own = [{name: tensor.cpu() for name, tensor in join(embedded).items()}] if embedded else []
            embedded = [self._move(one) for one in gather_object(own)]
        self._seed(_MEASURING, number)
        with self._autocast():
            return self.step.couple(player, join(embedded), moment=moment)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, without gradients, with the averaged weights if there are some, in the block."""
        for module in self.plain.values():
            module.eval()
        try:
            with ExitStack() as stack:
                stack.enter_context(self.averaged())
                stack.enter_context(torch.no_grad())
                if self.config.compile:
                    # Compiling again for forward passes of other sizes would cost more than it saves.
                    stack.enter_context(torch.compiler.set_stance("force_eager"))
                yield
        finally:
            for module in self.plain.values():
                module.train()

    def seed_evaluation(self, done: int) -> None:
        """Let torch's random numbers be those of an evaluation after ``done`` steps, whatever was drawn before."""
        self._seed(_EVALUATING, done, self.accelerator.process_index)

    def averaged(self) -> AbstractContextManager[None]:
        """The averaged weights in the modules, in the block, if there are some."""
        return self.averages.in_place() if self.averages else nullcontext()

    def agree(self, answer: T) -> T:
        """The main process's answer, on every process."""
        if self.accelerator.num_processes == 1:
            return answer
        from accelerate.utils import broadcast_object_list

        answers: list[T] = broadcast_object_list([answer])
        return answers[0]

    def any_of(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is set on any process."""
        return [total > 0 for total in self._sum(flags)]

    def _full_name(self, player: str, name: str) -> str:
        """What a player's quantity is recorded as."""
        return name if len(self.plain) == 1 else f"{player}_{name}"

    def _alone(self, player: str, *, really: bool) -> AbstractContextManager[None]:
        """Keep a player's gradients to this process in the block, if really: more is to come."""
        context: AbstractContextManager[None] = (
            self.accelerator.no_sync(self.wrapped[player]) if really else nullcontext()
        )
        return context

    def _copy_buffers(self) -> dict[Tensor, Tensor]:
        """Every player's buffers, which a forward pass may change, and copies of them."""
        return {buffer: buffer.clone() for module in self.plain.values() for buffer in module.buffers()}

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


def _put_buffers(copies: Mapping[Tensor, Tensor]) -> None:
    """Undo what was done to buffers since `Updates._copy_buffers`."""
    with torch.no_grad():
        for buffer, copy in copies.items():
            buffer.copy_(copy)


def _without_graph(embeddings: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {name: tensor.detach() for name, tensor in embeddings.items()}


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU's allocator raises a plain RuntimeError.
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)
