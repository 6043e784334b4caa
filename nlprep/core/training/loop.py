"""The one training loop.

`fit` counts steps, moves batches, averages losses and gradients over parts of a batch and over processes, applies
the schedule, evaluates (`nlprep.core.training.evaluation`), writes ``metrics.jsonl`` and checkpoints, and stops before
an update that is not finite. What is trained is a `nlprep.core.training.steps.step.Step`.

Resuming is exact because nothing random has a history: data order, masks and dropout are functions of (seed, epoch,
step, example, process), and the learning rate of the step. A checkpoint holds weights, optimiser state and counts.
"""

from __future__ import annotations

import json
import time
import warnings
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.interrupts import deferred_interrupt
from nlprep.core.memory import kept_memory
from nlprep.core.ownership import claim_run
from nlprep.core.progress import SILENT
from nlprep.core.temporaries import held_directory
from nlprep.core.training.data.examples import MicroBatches, choose_order, describe_first_examples
from nlprep.core.training.data.loading import load_batches
from nlprep.core.training.evaluation import Evaluator
from nlprep.core.training.processes import make_accelerator
from nlprep.core.training.records.checkpoints import (
    Checkpoint,
    Checkpoints,
    CheckpointWarning,
    module_tensors,
    optimized_shapes,
    optimizer_tensors,
    restore_modules,
    restore_optimizers,
)
from nlprep.core.training.records.recording import Recorder
from nlprep.core.training.records.resuming import check_resume, check_same_run
from nlprep.core.training.records.runs import RUN_ENTRIES, RUN_KIND
from nlprep.core.training.steps.step import Moment, Step
from nlprep.core.training.steps.updates import OutOfMemoryError, Updates
from nlprep.core.training.steps.wholeness import find_coupling

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    from accelerate import Accelerator

    from nlprep.core.interrupts import Interrupt
    from nlprep.core.progress import Progress, Task
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.evaluation import Evaluate
    from nlprep.core.training.records.journal import Record
    from nlprep.core.training.steps.step import Batch
    from nlprep.core.training.steps.updates import Totals

_WORTH = 100
"""Before an evaluation a checkpoint is written where training took so many times what writing the last one took."""
_EARLY = 20
"""Seconds after which the first checkpoint of a call is due, if none by steps are asked for."""
_WRITING = 0.6
"""Seconds that writing the first one is taken to need, so that a minute of training is worth it."""


@dataclass
class History:
    """What happened in a run, the part before it was resumed included.

    Attributes:
        steps: Optimiser steps done.
        records: The lines of ``metrics.jsonl``; only the main process has them.
        best_step: The step of the lowest validation loss, or criterion, if there was an evaluation.
        best_loss: That loss, or criterion.
        stopped: Why the run ended before its last step (what ``evaluate`` said, or patience that ran out); None if it
            did not.
        resumed_from: The step of the checkpoint that this call started from, if it did.
        seconds: Wall time of this call.
    """

    steps: int = 0
    records: list[Record] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float | None = None
    stopped: str | None = None
    resumed_from: int | None = None
    seconds: float = 0.0

    def last(self, name: str) -> float | None:
        """The last recorded value of a quantity, such as ``loss`` or ``validation_loss``."""
        return next((record[name] for record in reversed(self.records) if name in record), None)


def fit(
    step: Step,
    examples: Examples,
    *,
    config: TrainingConfig,
    directory: str | os.PathLike[str] | None = None,
    validation: Examples | None = None,
    evaluate: Evaluate | None = None,
    resume: str = "auto",
    accelerator: Accelerator | None = None,
    progress: Progress = SILENT,
) -> History:
    """Train the modules of a step.

    Alone, it uses the device that Accelerate finds. Under ``torchrun`` or ``accelerate launch`` every process calls
    it alike, and they share each batch; gradients are those of the whole batch.

    Args:
        step: Modules, losses and optimisers; the modules end with the best weights (or the last, by ``config``).
        examples: What to train on; in an order of their own if they have one
            (`nlprep.core.training.data.examples.OrderedExamples`).
        config: Settings.
        directory: Where ``checkpoints`` and ``metrics.jsonl`` go; None keeps nothing and cannot resume.
        validation: Examples on which the losses are measured now and then, as ``validation_loss``.
        evaluate: Called at each evaluation, on every process, with an `nlprep.core.training.evaluation.Evaluation`;
            modules are in evaluation mode, without gradients, and torch's generators are seeded. It gives numbers to
            record, and if it likes pictures and the wish to stop: an `nlprep.core.training.evaluation.Assessment`, or
            a plain mapping of numbers. If there is a ``criterion`` among these, the lowest one decides which weights
            are best, otherwise the lowest validation loss that the step names. The main process's answer counts.
        resume: ``auto`` goes on from the latest checkpoint in ``directory`` or starts anew where there is none;
            ``never`` starts anew and refuses a directory with checkpoints; ``must`` refuses one without.
        accelerator: One made by the caller; its mixed precision is used where ``config.precision`` is ``auto``.
        progress: Gets optimiser steps, with loss, learning rate and speed.

    Returns:
        What happened.

    Raises:
        OptionError: Settings that do not fit each other, the processes or the checkpoint.
        FileError: A checkpoint cannot be read or written, or is of another model.
        NlprepError: A loss or gradient that is not finite, or memory that ran out.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after a checkpoint was written.
        Exception: Whatever the step, the examples or ``evaluate`` raise, after a checkpoint was written if the
            weights are still exactly those of the last step.
    """
    if len(examples) == 0:
        raise NlprepError("there are no examples to train on: give more data")
    if validation is not None and len(validation) == 0:
        raise NlprepError("there are no validation examples: hold back more, or do without")
    if directory is None and resume == "must":
        raise OptionError("resume = 'must' needs a directory: say where the checkpoints are")
    run = _Loop(step, examples, config, directory, validation, evaluate, accelerator)
    devices = [run.device] if run.device.type == "cuda" else []
    keeping = kept_memory() if run.device.type == "cpu" else nullcontext()
    # The caller's generators are left as they were.
    with keeping, torch.random.fork_rng(devices=devices), deferred_interrupt(terminations=True) as interrupt:
        try:
            run.start(resume)
            run.go(interrupt, progress if run.accelerator.is_main_process else SILENT)
            return run.finish()
        finally:
            run.close()


class _Loop:
    """A run under way: what `fit` would otherwise keep in thirty local variables."""

    def __init__(
        self,
        step: Step,
        examples: Examples,
        config: TrainingConfig,
        directory: str | os.PathLike[str] | None,
        validation: Examples | None,
        evaluate: Evaluate | None,
        accelerator: Accelerator | None,
    ) -> None:
        self.started = time.perf_counter()
        self.step, self.examples, self.config = step, examples, config
        self.directory = None if directory is None else Path(directory)
        if accelerator is None:
            accelerator = make_accelerator(config, self.directory)
        self.accelerator = accelerator
        self.device = accelerator.device
        self.steps = config.num_steps(len(examples))
        self.updates = Updates(step, config, accelerator, self.steps)
        self.parts_asked_for = self.updates.parts
        self.order = choose_order(examples, config.seed)
        # As it comes back from a checkpoint.
        self.order_described = json.loads(json.dumps(self.order.describe()))
        self.first_examples = {} if directory is None else describe_first_examples(examples, self.order)
        self.checkpoints = (
            None
            if self.directory is None
            else Checkpoints(self.directory / "checkpoints", keep=config.keep_checkpoints)
        )
        self.recorder = Recorder(self.updates, num_examples=len(examples), directory=self.directory)
        self.evaluator = Evaluator(
            self.updates,
            steps=self.steps,
            validation=validation,
            evaluate=evaluate,
            directory=self.directory,
            checkpoints=self.checkpoints,
            recorder=self.recorder,
        )
        self.done = 0
        self.resumed_from: int | None = None
        # Whether a checkpoint would hold all of the last step and nothing of the next.
        self.settled = True
        # Of the last checkpoint: its step, and whether an evaluation was still to be made.
        self.saved = (0, False)
        self.saved_at = self.began = time.perf_counter()
        self.held = ExitStack()
        self.saving_seconds = _WRITING

    # Starting and ending

    def start(self, resume: str) -> None:
        """Restore the latest checkpoint if there is one to restore."""
        self._hold()
        found = self.checkpoints.steps() if self.checkpoints else []
        check_resume(resume, found, self.directory)
        checkpoint = self.checkpoints.load_latest() if self.checkpoints and found else None
        step = 0 if checkpoint is None else checkpoint.step
        if self.updates.players.agree(step) != step:
            raise FileError(
                str(self.directory),
                f"this process finds a checkpoint of step {step:,} and the main one another: use a directory that "
                "all nodes share",
            )
        if checkpoint is not None:
            self._restore(checkpoint)
        if self.directory is not None and self.accelerator.is_main_process:
            claim_run(self.directory, RUN_KIND, RUN_ENTRIES, inside=True)
            self._hold()
        if checkpoint is None and getattr(self.step.initialize, "__func__", None) is not Step.initialize:
            whole = MicroBatches(
                self.examples, self.order, batch_size=self.config.batch_size, rank=0, world_size=1, parts=1
            )
            self.updates.initialize(whole[0])
        self._check_separable()
        self.recorder.start(self.done, 0 if checkpoint is None else checkpoint.values["records"])

    def _check_separable(self) -> None:
        """Refuse to divide batches whose loss couples their examples, if the step does not say which it is."""
        if self.step.coupled is not None or self.updates.parts * self.accelerator.num_processes == 1:
            return
        found = None
        if self.accelerator.is_main_process:
            pairs = MicroBatches(self.examples, self.order, batch_size=2, rank=0, world_size=1, parts=1)
            pair = self.updates.players.move(pairs[0])
            with self.evaluator.measurements.evaluating():
                found = find_coupling(self.step, self.updates.players.plain, pair, moment=Moment(self.done, self.steps))
        found = self.updates.players.agree(found)
        if found is not None:
            raise OptionError(found)

    def _hold(self) -> None:
        """Keep other processes from training in the same directory, from when it is there."""
        if self.directory is not None and self.directory.is_dir() and self.accelerator.is_main_process:
            self.held.enter_context(held_directory(self.directory))

    def _restore(self, checkpoint: Checkpoint) -> None:
        values = checkpoint.values
        where = self.checkpoints.directory if self.checkpoints else ""
        check_same_run(
            checkpoint,
            config=self.config,
            num_examples=len(self.examples),
            order=self.order_described,
            first_examples=self.first_examples,
            steps=self.steps,
            where=where,
        )
        restore_modules(self.step.players, checkpoint, where=where)
        if values["optimized_shapes"] != optimized_shapes(self.updates.optimizers):
            raise OptionError(
                f"{where}: made while other parameters were trained or frozen: make the same choice to resume, or "
                "start in a new directory"
            )
        restore_optimizers(self.updates.optimizers, checkpoint)
        if self.updates.averages:
            self.updates.averages.restore(checkpoint.tensors, where=where)
        share = self.config.batch_size // self.accelerator.num_processes
        if values["parts"] and share % values["parts"] == 0:
            # More parts than the settings asked for: memory ran out once.
            self.updates.parts = max(self.updates.parts, values["parts"])
        for name, value in self._circumstances().items():
            if values[name] != value:
                warnings.warn(
                    f"{where}: made with {name} = {values[name]}, now {value}: the run goes on, but not bit for bit",
                    CheckpointWarning,
                    stacklevel=4,
                )
        self.done = self.resumed_from = checkpoint.step
        self.recorder.sums = {name: (total, weight) for name, (total, weight) in values["sums"].items()}
        self.evaluator.restore(values)
        self.saved = (self.done, self.evaluator.pending)

    def _circumstances(self) -> dict[str, Any]:
        """What no setting says, and the bits of the result depend on."""
        return {"processes": self.accelerator.num_processes, "precision": self.updates.players.precision}

    def close(self) -> None:
        """Leave the modules, the trackers and the directory as they should be, however the run ended."""
        self.held.close()
        self.recorder.close()
        self.updates.players.release()

    def finish(self) -> History:
        """Put the best weights in place and say what happened."""
        if self.updates.averages:
            self.updates.averages.publish()
        self.step.settle()
        self.evaluator.put_best_in_place(self.done)
        best = self.evaluator.best
        return History(
            steps=self.done,
            records=self.recorder.journal.records,
            best_step=best[0] if best else None,
            best_loss=best[1] if best else None,
            stopped=self.evaluator.stopped,
            resumed_from=self.resumed_from,
            seconds=time.perf_counter() - self.started,
        )

    # Going

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self.evaluator.pending and (self.done >= self.steps or self.evaluator.stopped is not None)

    def go(self, interrupt: Interrupt, progress: Progress) -> None:
        """Make the steps and the evaluations that are left."""
        if self.over:
            return
        with progress.task("training", self.steps) as task:
            task.advance(self.done)
            if self.config.compile:
                task.describe("compiling")
            try:
                # An evaluation that was due when the run was stopped.
                self._settle(interrupt, stop=False)
                while not self.over:
                    try:
                        self._go_with_parts(interrupt, task)
                    except OutOfMemoryError as error:
                        self._halve(error)
            except Exception as error:
                self._save_in_spite_of(error)
                raise
        # Whatever was pressed during the last step: all is saved, and a finished run is not an interrupted one.

    def _go_with_parts(self, interrupt: Interrupt, task: Task) -> None:
        """Go on until the end, or until memory runs out for micro-batches of this size."""
        with closing(self._batches()) as batches:
            for parts in batches:
                totals = self._update(parts, interrupt)
                self.done += 1
                self.recorder.count(totals)
                if self.done % self.config.log_every == 0 or self.done == self.steps:
                    task.describe(self.recorder.log(self.done))
                task.advance()
                self.evaluator.pending = self.evaluator.is_due(self.done)
                self.settled = True
                began = time.perf_counter()
                self._settle(interrupt, stop=totals.stop)
                self.recorder.meter.leave_out(time.perf_counter() - began)
                if self.over:
                    return

    def _update(self, parts: list[Batch], interrupt: Interrupt) -> Totals:
        self.settled = False
        try:
            return self.updates.update(self.done, parts, stop=interrupt.requested)
        except Exception:
            self.settled = not self.updates.touched(self.done)
            raise

    def _settle(self, interrupt: Interrupt, *, stop: bool) -> None:
        """Make the evaluation and the checkpoint that are due, and stop if that was asked for."""
        if self.evaluator.pending and not stop:
            if self.done == self.steps or self._due_for_checkpoint(evaluation=True):
                self._save()
            stop = self.evaluator.make(self.done, interrupt)
        over = self.over
        # Where a checkpoint of this step was made before the evaluation, what came of it is added.
        if over or stop or self.saved[0] == self.done or self._due_for_checkpoint():
            self._save()
        if stop and not over:
            where = f", saved in {self.directory}; the same call goes on from there" if self.directory else ""
            raise KeyboardInterrupt(f"stopped at step {self.done:,} of {self.steps:,}{where}")

    def _batches(self) -> Generator[list[Batch]]:
        """The parts of each step's batch, from the present step on."""
        number = self.updates.parts
        batches = MicroBatches(
            self.examples,
            self.order,
            batch_size=self.config.batch_size,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            parts=number,
        )
        wanted = range(self.done * number, self.steps * number)
        loaded = load_batches(batches, wanted, workers=self.config.workers, device=self.device)
        parts: list[Batch] = []
        for batch in loaded:
            parts.append(batch)
            if len(parts) == number:
                yield parts
                parts = []

    def _halve(self, error: OutOfMemoryError) -> None:
        share = self.config.batch_size // self.accelerator.num_processes
        size = share // self.updates.parts
        if not self.config.halve_on_out_of_memory or size == 1 or self.accelerator.num_processes > 1:
            raise NlprepError(
                f"memory ran out in step {self.done + 1:,} with {size} examples at once: lower micro_batch_size (the "
                "result is the same), the length of the examples or the size of the model"
            ) from error
        larger = self.updates.parts * 2
        self.updates.parts = next(parts for parts in range(larger, share + 1) if share % parts == 0)
        self._check_separable()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # Keeping

    def _due_for_checkpoint(self, *, evaluation: bool = False) -> bool:
        """Whether to write a checkpoint; ``evaluation``: before one, in which a process may die like anywhere else."""
        if self.checkpoints is None:
            return False
        if self.config.checkpoint_every is not None:
            return self.done % self.config.checkpoint_every == 0
        # Clocks differ: the main process decides for all of them, and not at every step.
        if not evaluation and self.accelerator.num_processes > 1 and self.done % self.config.log_every:
            return False
        # At most half of what a call has trained is at stake, until that is as much as was asked for.
        seconds = min(60 * self.config.checkpoint_minutes, max(_EARLY, self.saved_at - self.began))
        if evaluation:
            seconds = min(seconds, _WORTH * self.saving_seconds)
        return bool(self.updates.players.agree(time.perf_counter() - self.saved_at >= seconds))

    def _save(self) -> None:
        """Write a checkpoint, unless the last one says the same."""
        if self.checkpoints is None or self.saved == (self.done, self.evaluator.pending):
            return
        # Should this fail, it will not be tried again on the way out.
        self.settled = False
        if self.accelerator.is_main_process:
            self._write_checkpoint(self.checkpoints)
        self.accelerator.wait_for_everyone()
        self.saved = (self.done, self.evaluator.pending)
        self.saved_at = time.perf_counter()
        self.settled = True

    def _save_in_spite_of(self, error: Exception) -> None:
        """Save what an error would cost, by the main process alone: the others may be gone, or know of no error."""
        at_stake = self.saved != (self.done, self.evaluator.pending)
        if self.checkpoints is None or not at_stake or not self.settled or not self.accelerator.is_main_process:
            return
        try:
            self._write_checkpoint(self.checkpoints)
        except Exception as another:
            # Whatever it is, the first error is the one to tell.
            warnings.warn(f"step {self.done:,} could not be saved: {another}", CheckpointWarning, stacklevel=4)
        else:
            error.add_note(f"step {self.done:,} is saved in {self.directory}: the same call goes on from there")

    def _write_checkpoint(self, checkpoints: Checkpoints) -> None:
        began = time.perf_counter()
        # First, so that no checkpoint counts records that the machine loses when it goes down.
        self.recorder.journal.sync()
        tensors, tied = module_tensors(self.step.players)
        optimizer_values, others = optimizer_tensors(self.updates.optimizers)
        values: dict[str, Any] = {
            "tied": tied,
            "optimizers": others,
            "settings": to_mapping(self.config),
            "examples": len(self.examples),
            "order": self.order_described,
            "first_examples": self.first_examples,
            "optimized_shapes": optimized_shapes(self.updates.optimizers),
            "parts": self.updates.parts if self.updates.parts > self.parts_asked_for else 0,
            "sums": self.recorder.sums,
            "records": len(self.recorder.journal.records),
            **self.evaluator.values(),
            **self._circumstances(),
        }
        averages = self.updates.averages.tensors() if self.updates.averages else {}
        checkpoint = Checkpoint(self.done, tensors | optimizer_values | averages, values)
        if self.saved[0] == self.done:
            checkpoints.amend(checkpoint)
        else:
            checkpoints.save(checkpoint)
            self.saving_seconds = time.perf_counter() - began
