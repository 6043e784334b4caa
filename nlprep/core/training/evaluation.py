"""Evaluations of a run: losses on examples held back, what the caller measures, and which weights were best.

An evaluation counts when it is complete. One that was cut short (by a signal, an error, a kill) leaves nothing
behind but the fact that it is due, and is made again by whoever goes on, from the same weights.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.training.data.loading import load_batches
from nlprep.core.training.records.checkpoints import Checkpoint, CheckpointWarning, module_tensors, restore_modules
from nlprep.core.training.records.pictures import encode_pictures, write_pictures
from nlprep.core.training.steps.measuring import Measurements

if TYPE_CHECKING:
    from pathlib import Path

    from nlprep.core.interrupts import Interrupt
    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.records.checkpoints import Checkpoints
    from nlprep.core.training.records.journal import Record
    from nlprep.core.training.records.pictures import Picture
    from nlprep.core.training.records.recording import Recorder
    from nlprep.core.training.steps.updates import Updates

_EVALUATIONS = 10
_RESERVED = ("step", "pictures")


@dataclass(frozen=True)
class Evaluation:
    """What the caller's ``evaluate`` is told.

    Attributes:
        step: Optimiser steps done.
        steps: Optimiser steps of the whole run.
        directory: The run's directory; None if it has none.
        interrupted: Whether this process was asked to stop (Ctrl-C, SIGTERM). An ``evaluate`` that takes long should
            ask now and then, and return when it is told so: whatever it returns is thrown away, the run is saved and
            stops, and the evaluation is made anew when the run goes on.
    """

    step: int
    steps: int
    directory: Path | None
    interrupted: Callable[[], bool]


@dataclass(frozen=True)
class Assessment:
    """What the caller's ``evaluate`` finds; a mapping of numbers will do where there is nothing else to say.

    Attributes:
        numbers: Recorded by name, beside those of the validation examples and instead of those of the same name. The
            lowest ``criterion``, if there is one, decides which weights are best.
        pictures: Written to ``pictures`` in the run's directory, and given to trackers that take images: by name, the
            content of a PNG file, the path of one, or pixels as an array or tensor (height, width) or (channels,
            height, width), uint8 or floats in [0, 1].
        stop: Why the run should end here; None: it goes on. It ends as a run that made all its steps does, and stays
            ended when it is called again.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    stop: str | None = None


Evaluate = Callable[[Evaluation], Assessment | Mapping[str, float] | None]
"""What ``evaluate`` is, for `nlprep.core.training.loop.fit`."""


class Evaluator:
    """Makes the evaluations of a run, and remembers the best and whether one asked to stop.

    Args:
        updates: Those of the run, whose players are measured.
        steps: Optimiser steps of the run.
        validation: Examples to measure the losses on, or None.
        evaluate: The caller's, or None.
        directory: The run's, or None.
        checkpoints: Keeps the best weights; None keeps them in memory.
        recorder: Gets the results.

    Attributes:
        pending: An evaluation is due and has not been made.
        best: Step and loss (or criterion) of the best evaluation so far.

    Raises:
        OptionError: Patience, with nothing that could decide.
    """

    def __init__(
        self,
        updates: Updates,
        *,
        steps: int,
        validation: Examples | None,
        evaluate: Evaluate | None,
        directory: Path | None,
        checkpoints: Checkpoints | None,
        recorder: Recorder,
    ) -> None:
        self.players, self.measurements = updates.players, Measurements(updates)
        self.steps, self.validation, self.evaluate = steps, validation, evaluate
        self.directory, self.checkpoints, self.recorder = directory, checkpoints, recorder
        self.step, self.config, self.accelerator = updates.step, updates.config, updates.accelerator
        self.pending = False
        self.best: tuple[int, float] | None = None
        self._best_in_memory: Checkpoint | None = None
        self._without_improvement = 0
        self._stopped: str | None = None
        several = len(self.step.players) > 1
        if self.config.patience is not None and evaluate is None and several and self.step.criterion is None:
            raise OptionError(
                f"patience = {self.config.patience}: several players, and none whose loss decides: name one as the "
                "step's criterion, or give a criterion in evaluate"
            )

    @property
    def stopped(self) -> str | None:
        """Why the run is over before its last step; None if it is not."""
        patience, without = self.config.patience, self._without_improvement
        if self._stopped is None and patience is not None and without >= patience:
            return f"no improvement in {without} evaluations"
        return self._stopped

    def is_due(self, done: int) -> bool:
        """Whether there is to be an evaluation after so many steps."""
        if self.validation is None and self.evaluate is None:
            return False
        every = self.config.evaluate_every or max(1, -(-self.steps // _EVALUATIONS))
        return done % every == 0 or done == self.steps

    def values(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {
            "pending": self.pending,
            "best": self.best,
            "evaluations_without_improvement": self._without_improvement,
            "stopped": self._stopped,
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go on from what `values` gave."""
        self.pending = values["pending"] and (self.validation is not None or self.evaluate is not None)
        self.best = tuple(values["best"]) if values["best"] else None
        self._without_improvement = values["evaluations_without_improvement"]
        self._stopped = values["stopped"]

    def make(self, done: int, interrupt: Interrupt) -> bool:
        """Make the evaluation that is pending; it stays so if it was cut short.

        Args:
            done: Optimiser steps done.
            interrupt: Asked between batches, and by the caller's ``evaluate``.

        Returns:
            Whether any process was asked to stop meanwhile.

        Raises:
            OptionError: The losses have no such criterion as the step names.
            NlprepError: What ``evaluate`` gave cannot be recorded.
            FileError: The best weights, a picture or the record cannot be written.
        """
        assessment = Assessment()
        with self.measurements.evaluating():
            measured = {} if self.validation is None else self._measure(self.validation, done, interrupt)
            # Agreed, so that every process makes the same of it.
            cut, stop = self.players.any_of(measured is None, interrupt.requested)
            if self.evaluate is not None and stop:
                cut = True
            elif self.evaluate is not None:
                assessment, cut = self._ask(self.evaluate, done, interrupt)
                cut, stop = self.players.any_of(cut, interrupt.requested)
        if measured is None or cut:
            return True
        # What may fail comes first: then either all of an evaluation counts, or nothing.
        numbers = measured | {name: float(value) for name, value in assessment.numbers.items()}
        pictures = encode_pictures(assessment.pictures)
        loss, problem, reason = self.players.agree((*self._decide(numbers), assessment.stop or None))
        if problem:
            raise OptionError(problem)
        better = loss is not None and math.isfinite(loss) and (self.best is None or loss < self.best[1])
        record: Record = {"step": done, **numbers}
        if pictures and self.directory is not None and self.accelerator.is_main_process:
            record["pictures"] = write_pictures(self.directory, done, pictures)
        if better:
            self._keep_best(done)
        self.recorder.write(record)
        if loss is not None:
            self.best = (done, loss) if better else self.best
            self._without_improvement = 0 if better else self._without_improvement + 1
        self._stopped = reason
        self.pending = False
        self.recorder.track(record, pictures)
        return stop

    def _measure(self, validation: Examples, done: int, interrupt: Interrupt) -> dict[str, float] | None:
        """Losses on the validation examples; None if any process was stopped meanwhile."""
        batches = self.measurements.validation_batches(validation)
        numbers = range(len(batches))
        with closing(
            load_batches(batches, numbers, workers=self.config.workers, device=self.players.device)
        ) as fetched:
            losses = self.measurements.measure(batches, fetched, done=done, interrupted=lambda: interrupt.requested)
        return None if losses is None else {f"validation_{name}": value for name, value in losses.items()}

    def _ask(self, evaluate: Evaluate, done: int, interrupt: Interrupt) -> tuple[Assessment, bool]:
        """What the caller finds, and whether it was told to stop before."""
        told = False

        def interrupted() -> bool:
            nonlocal told
            told = told or interrupt.requested
            return told

        self.measurements.seed_evaluation(done)
        try:
            answer = evaluate(Evaluation(done, self.steps, self.directory, interrupted))
        except KeyboardInterrupt:
            if interrupt.requested:
                # Ctrl-C for the second time.
                raise
            # Something in there that answers Ctrl-C itself, such as a training run of its own, was faster.
            interrupt.requested = True
            return Assessment(), True
        if not isinstance(answer, Assessment):
            answer = Assessment(answer or {})
        for name in _RESERVED:
            if name in answer.numbers:
                raise NlprepError(f"evaluate gave a number named {name!r}, which has a meaning of its own: rename it")
        return answer, told

    def _decide(self, numbers: Mapping[str, float]) -> tuple[float | None, str | None]:
        """The number whose lowest value is the best, if there is one, and what is wrong with its name."""
        if "criterion" in numbers:
            return numbers["criterion"], None
        name = self.step.criterion
        if name is None:
            return numbers.get("validation_loss"), None
        if self.validation is None or f"validation_{name}" in numbers:
            return numbers.get(f"validation_{name}"), None
        measured = ", ".join(key.removeprefix("validation_") for key in numbers if key.startswith("validation_"))
        return None, f"criterion = {name!r}: the losses have no such name: choose from {measured}"

    # The best weights

    def _keep_best(self, done: int) -> None:
        if not self.config.keep_best:
            return
        with self.measurements.averaged():
            tensors, tied = module_tensors(self.step.players)
            if self.checkpoints is None:
                # Clones, because on a CPU these are the weights themselves.
                self._best_in_memory = Checkpoint(
                    done, {name: tensor.clone() for name, tensor in tensors.items()}, {"tied": tied}
                )
            elif self.accelerator.is_main_process:
                self.checkpoints.save_best(Checkpoint(done, tensors, {"tied": tied}))
        self.accelerator.wait_for_everyone()

    def put_best_in_place(self, done: int) -> None:
        """Give the modules the weights of the best evaluation, if there was one and they should have them.

        Warns:
            CheckpointWarning: They are lost.
        """
        if self.best is None or not self.config.keep_best or self.best[0] == done:
            return
        best = self._best_in_memory
        if best is None and self.checkpoints is not None:
            try:
                best = self.checkpoints.load_best(self.best[0])
            except FileError as error:
                warnings.warn(f"{error}; the last weights are kept instead", CheckpointWarning, stacklevel=4)
        if best is not None:
            restore_modules(self.step.players, best, where=self.directory or "")
