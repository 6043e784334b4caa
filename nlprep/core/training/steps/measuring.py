"""Losses on examples held back: what they are divided into, and their means over batches and processes."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from nlprep.core.training.data.examples import ValidationBatches
from nlprep.core.training.steps.coupled import CoupledStep, ValidationWindows, join
from nlprep.core.training.steps.players import EVALUATING, MEASURING, put_buffers
from nlprep.core.training.steps.step import Moment, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.steps.step import Batch
    from nlprep.core.training.steps.updates import Updates


class Measurements:
    """Measures the players of a run as they stand, without changing them.

    Args:
        updates: Whose players they are, whose averaged weights, and whose parts a batch is divided into.
    """

    def __init__(self, updates: Updates) -> None:
        self.updates, self.players = updates, updates.players
        self.step, self.config, self.accelerator = updates.step, updates.config, updates.accelerator

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, without gradients, with the averaged weights if there are some, in the block."""
        for module in self.players.plain.values():
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
            for module in self.players.plain.values():
                module.train()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the modules, in the block, if there are some, and what lags behind settled."""
        with self.updates.averages.in_place() if self.updates.averages else nullcontext(), self._settled():
            yield

    @contextmanager
    def _settled(self) -> Iterator[None]:
        # Most steps have nothing to settle, and some have large buffers.
        kept = {} if type(self.step).settle is Step.settle else self.players.copy_buffers()
        self.step.settle()
        try:
            yield
        finally:
            put_buffers(kept)

    def seed_evaluation(self, done: int) -> None:
        """Let torch's random numbers be those of an evaluation after ``done`` steps, whatever was drawn before."""
        self.players.seed(EVALUATING, done, self.accelerator.process_index)

    def validation_batches(self, examples: Examples) -> ValidationBatches | ValidationWindows:
        """Validation examples as this process measures them."""
        share = self.config.batch_size // self.accelerator.num_processes
        size = max(1, share // self.updates.parts)
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
        moment = Moment(done, self.updates.steps)
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
            moved = self.players.move(batch)
            for player in self.players.plain:
                self.players.seed(MEASURING, index, self.accelerator.process_index)
                with self.players.autocast():
                    losses = self.step.losses(player, self.players.plain, moved, moment=moment)
                for name, value in losses.items():
                    name = self.players.full_name(player, name)  # noqa: PLW2901
                    sums[name] = sums.get(name, 0.0) + value.item() * weight
            total += weight
        # A process without a batch knows no names: the main one always has a batch.
        names = self.players.agree(list(sums))
        *summed, total, cuts = self.players.sum([*(sums.get(name, 0.0) for name in names), total, cut])
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
            weight, cuts = self.players.sum([sum(self.step.weight(part) for part in parts), interrupted()])
            if cuts:
                return None
            weight *= window.fresh
            for player in self.players.plain:
                for name, value in self._losses_of_window(player, number, parts, moment).items():
                    name = self.players.full_name(player, name)  # noqa: PLW2901
                    sums[name] = sums.get(name, 0.0) + value.item() * weight
            total += weight
        return self.players.agree({name: value / total if total else 0.0 for name, value in sums.items()})

    def _losses_of_window(
        self, player: str, number: int, parts: Sequence[Batch], moment: Moment
    ) -> Mapping[str, Tensor]:
        rank = self.accelerator.process_index
        if not isinstance(self.step, CoupledStep):
            # Its batches are whole.
            self.players.seed(MEASURING, number, rank)
            with self.players.autocast():
                return self.step.losses(player, self.players.plain, self.players.move(parts[0]), moment=moment)
        embedded = []
        for index, part in enumerate(parts):
            self.players.seed(MEASURING, number, rank, index)
            with self.players.autocast():
                embedded.append(self.step.embed(player, self.players.plain, self.players.move(part), moment=moment))
        if self.accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            # As objects, since their numbers differ where the examples do not divide.
            own = [{name: tensor.cpu() for name, tensor in join(embedded).items()}] if embedded else []
            embedded = [self.players.move(one) for one in gather_object(own)]
        self.players.seed(MEASURING, number)
        with self.players.autocast():
            return self.step.couple(player, join(embedded), moment=moment)
