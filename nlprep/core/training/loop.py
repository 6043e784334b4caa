"""The one training loop.

`fit` counts steps, moves batches, averages losses and gradients over parts of a batch and over processes, applies
the schedule, evaluates, keeps the best weights, writes ``metrics.jsonl`` and checkpoints, and stops before an update
that is not finite. What is trained is a `nlprep.core.training.step.Step`.

Resuming is exact because nothing random has a history: data order, masks and dropout are functions of (seed, epoch,
step, example, process), and the learning rate of the step. A checkpoint holds weights, optimiser state and counts.
"""

from __future__ import annotations

import math
import signal
import time
import warnings
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.interrupts import deferred_interrupt
from nlprep.core.memory import kept_memory
from nlprep.core.ownership import claim_run
from nlprep.core.progress import SILENT
from nlprep.core.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    CheckpointWarning,
    module_tensors,
    optimized_shapes,
    optimizer_tensors,
    restore_modules,
    restore_optimizers,
)
from nlprep.core.training.examples import MicroBatches, describe_first_examples
from nlprep.core.training.journal import Journal, Record
from nlprep.core.training.processes import make_accelerator
from nlprep.core.training.resuming import check_resume, check_same_run
from nlprep.core.training.runs import RUN_ENTRIES, RUN_KIND
from nlprep.core.training.step import Step
from nlprep.core.training.throughput import Meter, abbreviate, peak_flops
from nlprep.core.training.updates import OutOfMemoryError, Updates

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Mapping

    from accelerate import Accelerator

    from nlprep.core.interrupts import Interrupt
    from nlprep.core.progress import Progress, Task
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.examples import Examples
    from nlprep.core.training.step import Batch

_EVALUATIONS = 10


@dataclass
class History:
    """What happened in a run, the part before it was resumed included.

    Attributes:
        steps: Optimiser steps done.
        records: The lines of ``metrics.jsonl``; only the main process has them.
        best_step: The step of the lowest validation loss, or criterion, if there was an evaluation.
        best_loss: That loss, or criterion.
        resumed_from: The step of the checkpoint that this call started from, if it did.
        seconds: Wall time of this call.
    """

    steps: int = 0
    records: list[Record] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float | None = None
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
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    resume: str = "auto",
    accelerator: Accelerator | None = None,
    progress: Progress = SILENT,
) -> History:
    """Train the modules of a step.

    Alone, it uses the device that Accelerate finds. Under ``torchrun`` or ``accelerate launch`` every process calls
    it alike, and they share each batch; gradients are those of the whole batch.

    Args:
        step: Modules, losses and optimisers; the modules end with the best weights (or the last, by ``config``).
        examples: What to train on.
        config: Settings.
        directory: Where ``checkpoints`` and ``metrics.jsonl`` go; None keeps nothing and cannot resume.
        validation: Examples on which the losses are measured now and then, as ``validation_loss``.
        evaluate: Called at each evaluation, on every process, for more quantities to record; modules are in
            evaluation mode and there are no gradients. If it gives a ``criterion``, the lowest one decides which
            weights are best, otherwise the lowest ``validation_loss``; the main process's, if there are several.
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
    """
    if len(examples) == 0:
        raise NlprepError("there are no examples to train on: give more data")
    if validation is not None and len(validation) == 0:
        raise NlprepError("there are no validation examples: hold back more, or do without")
    if directory is None and resume == "must":
        raise OptionError("resume = 'must' needs a directory: say where the checkpoints are")
    run = _Run(step, examples, config, directory, validation, evaluate, accelerator)
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


def _leave_signals_to_the_main_process(_worker: int) -> None:
    """Terminals and clusters signal loader processes too; they must outlive the step that is being finished.

    They end when the main process tells them to, or when it is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class _Run:
    """A run under way: what `fit` would otherwise keep in thirty local variables."""

    def __init__(
        self,
        step: Step,
        examples: Examples,
        config: TrainingConfig,
        directory: str | os.PathLike[str] | None,
        validation: Examples | None,
        evaluate: Callable[[], Mapping[str, float]] | None,
        accelerator: Accelerator | None,
    ) -> None:
        self.started = time.perf_counter()
        self.step, self.examples, self.config = step, examples, config
        self.validation, self.evaluate = validation, evaluate
        self.directory = None if directory is None else Path(directory)
        if accelerator is None:
            accelerator = make_accelerator(config, self.directory)
        self.accelerator = accelerator
        self.device = accelerator.device
        self.steps = config.num_steps(len(examples))
        self.updates = Updates(step, config, accelerator, self.steps)
        self.parts_asked_for = self.updates.parts
        self.first_examples = {} if directory is None else describe_first_examples(examples, config.seed)
        self.checkpoints = (
            None
            if self.directory is None
            else Checkpoints(self.directory / "checkpoints", keep=config.keep_checkpoints)
        )
        main = accelerator.is_main_process
        self.journal = Journal(self.directory / "metrics.jsonl" if self.directory and main else None)
        self.peak = peak_flops(self.device, self.updates.precision)
        self.meter = Meter()
        self.done = 0
        self.resumed_from: int | None = None
        # Of each quantity since the last record: the sum of its means times their weights, and of the weights.
        self.sums: dict[str, tuple[float, float]] = {}
        self.best: tuple[int, float] | None = None
        self.best_in_memory: Checkpoint | None = None
        self.evaluations_without_improvement = 0
        self.saved_at = time.perf_counter()
        self.opened_tracker = False

    # Starting and ending

    def start(self, resume: str) -> None:
        """Restore the latest checkpoint if there is one to restore."""
        found = self.checkpoints.steps() if self.checkpoints else []
        check_resume(resume, found, self.directory)
        checkpoint = self.checkpoints.load_latest() if self.checkpoints and found else None
        step = 0 if checkpoint is None else checkpoint.step
        if self.updates.agree(step) != step:
            raise FileError(
                str(self.directory),
                f"this process finds a checkpoint of step {step:,} and the main one another: use a directory that "
                "all nodes share",
            )
        if checkpoint is not None:
            self._restore(checkpoint)
        if self.directory is not None and self.accelerator.is_main_process:
            claim_run(self.directory, RUN_KIND, RUN_ENTRIES, inside=True)
        if checkpoint is None and getattr(self.step.initialize, "__func__", None) is not Step.initialize:
            whole = MicroBatches(
                self.examples, seed=self.config.seed, batch_size=self.config.batch_size, rank=0, world_size=1, parts=1
            )
            self.updates.initialize(whole[0])
        if self.accelerator.is_main_process:
            self.journal.rewind(self.done)
        if self.accelerator.log_with and not self.accelerator.trackers:
            settings = {name: value for name, value in to_mapping(self.config).items() if value is not None}
            self.accelerator.init_trackers("nlprep", config=settings)
            self.opened_tracker = True
        self.meter = Meter()

    def _restore(self, checkpoint: Checkpoint) -> None:
        values = checkpoint.values
        where = self.checkpoints.directory if self.checkpoints else ""
        check_same_run(
            checkpoint,
            config=self.config,
            num_examples=len(self.examples),
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
        self.sums = {name: (total, weight) for name, (total, weight) in values["sums"].items()}
        self.best = tuple(values["best"]) if values["best"] else None
        self.evaluations_without_improvement = values["evaluations_without_improvement"]

    def _circumstances(self) -> dict[str, Any]:
        """What no setting says, and the bits of the result depend on."""
        return {"processes": self.accelerator.num_processes, "precision": self.updates.precision}

    def close(self) -> None:
        """Leave the modules and the trackers as they should be, however the run ended."""
        if self.opened_tracker:
            # Not by `end_training`, which also ends the process group: there may be another run after this one.
            for tracker in self.accelerator.trackers:
                tracker.finish()
            self.accelerator.trackers = []
        self.updates.release()

    def finish(self) -> History:
        """Put the best weights in place and say what happened."""
        if self.updates.averages:
            self.updates.averages.publish()
        if self.best is not None and self.config.keep_best and self.best[0] != self.done:
            self._restore_best()
        return History(
            steps=self.done,
            records=self.journal.records,
            best_step=self.best[0] if self.best else None,
            best_loss=self.best[1] if self.best else None,
            resumed_from=self.resumed_from,
            seconds=time.perf_counter() - self.started,
        )

    def _restore_best(self) -> None:
        best = self.best_in_memory
        if best is None and self.checkpoints is not None:
            try:
                best = self.checkpoints.load_best(self.best[0] if self.best else 0)
            except FileError as error:
                warnings.warn(f"{error}; the last weights are kept instead", CheckpointWarning, stacklevel=4)
        if best is not None:
            restore_modules(self.step.players, best, where=self.directory or "")

    # Going

    def go(self, interrupt: Interrupt, progress: Progress) -> None:
        """Make the steps that are left."""
        if self.done >= self.steps:
            return
        with progress.task("training", self.steps) as task:
            task.advance(self.done)
            if self.config.compile:
                task.describe("compiling")
            while self.done < self.steps and not self._out_of_patience():
                try:
                    self._go_with_parts(interrupt, task)
                except OutOfMemoryError as error:
                    self._halve(error)
        # Whatever was pressed during the last step: all is saved, and a finished run is not an interrupted one.

    def _go_with_parts(self, interrupt: Interrupt, task: Task) -> None:
        """Go on until the end, or until memory runs out for micro-batches of this size."""
        with closing(self._batches()) as batches:
            for parts in batches:
                totals = self.updates.update(self.done, parts, stop=interrupt.requested)
                self.done += 1
                self._count(totals.losses, totals.weight)
                self.meter.count(totals.units)
                if self.done % self.config.log_every == 0 or self.done == self.steps:
                    task.describe(self._log())
                task.advance()
                began = time.perf_counter()
                if self._due_for_evaluation():
                    self._evaluate()
                last = self.done == self.steps or self._out_of_patience()
                if last or totals.stop or self._due_for_checkpoint():
                    self._save()
                self.meter.leave_out(time.perf_counter() - began)
                if totals.stop and not last:
                    where = f", saved in {self.directory}; the same call goes on from there" if self.directory else ""
                    raise KeyboardInterrupt(f"stopped at step {self.done:,} of {self.steps:,}{where}")
                if last:
                    return

    def _batches(self) -> Generator[list[Batch]]:
        """The parts of each step's batch, from the present step on."""
        number = self.updates.parts
        batches = MicroBatches(
            self.examples,
            seed=self.config.seed,
            batch_size=self.config.batch_size,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            parts=number,
        )
        wanted = range(self.done * number, self.steps * number)
        loader: DataLoader[Batch] = DataLoader(
            batches,  # type: ignore[arg-type]
            sampler=wanted,
            batch_size=None,
            num_workers=self.config.workers,
            worker_init_fn=_leave_signals_to_the_main_process,
            pin_memory=self.device.type == "cuda",
        )
        parts: list[Batch] = []
        for batch in loader:
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
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # Measuring

    def _count(self, losses: Mapping[str, float], weight: float) -> None:
        for name, value in losses.items():
            total, weights = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = total + value * weight, weights + weight

    def _log(self) -> str:
        """Record the means since the last record; return a line for the bar."""
        means = {name: total / weight if weight else 0.0 for name, (total, weight) in self.sums.items()}
        self.sums = {}
        rate = self.meter.read()
        record: Record = {
            "step": self.done,
            "epoch": round(self.done * self.config.batch_size / len(self.examples), 6),
            **means,
            "learning_rate": self.updates.learning_rate,
            f"{self.step.unit}_per_second": round(rate, 1),
        }
        shown = [f"loss {means[name]:.4f}" for name in means if name == "loss"]
        shown += [f"{name.replace('_', ' ')} {means[name]:.3f}" for name in means if name.endswith("_loss")]
        shown += [f"lr {self.updates.learning_rate:.2g}", f"{abbreviate(rate)} {self.step.unit}/s"]
        if self.peak and self.step.flops_per_unit:
            record["mfu"] = round(rate * self.step.flops_per_unit / (self.peak * self.accelerator.num_processes), 4)
            shown.append(f"MFU {record['mfu']:.0%}")
        self._record(record)
        return " · ".join([f"step {self.done:,}", *shown])

    def _record(self, record: Record) -> None:
        if self.accelerator.is_main_process:
            self.journal.append(record)
        if self.accelerator.trackers:
            self.accelerator.log({k: v for k, v in record.items() if k != "step"}, step=record["step"])

    def _due_for_evaluation(self) -> bool:
        if self.validation is None and self.evaluate is None:
            return False
        every = self.config.evaluate_every or max(1, -(-self.steps // _EVALUATIONS))
        return self.done % every == 0 or self.done == self.steps

    def _evaluate(self) -> None:
        """Measure losses on the validation examples, and remember the weights if they are the best."""
        record: Record = {"step": self.done}
        with self.updates.evaluating():
            if self.validation is not None:
                losses = self.updates.measure(self.updates.validation_batches(self.validation), done=self.done)
                record |= {f"validation_{name}": value for name, value in losses.items()}
            if self.evaluate is not None:
                record |= {name: float(value) for name, value in self.evaluate().items()}
        self._record(record)
        loss = self.updates.agree(record.get("criterion", record.get("validation_loss")))
        if loss is None:
            return
        if math.isfinite(loss) and (self.best is None or loss < self.best[1]):
            self.best = (self.done, float(loss))
            self.evaluations_without_improvement = 0
            self._keep_best()
        else:
            self.evaluations_without_improvement += 1

    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.evaluations_without_improvement >= self.config.patience

    # Keeping

    def _keep_best(self) -> None:
        if not self.config.keep_best:
            return
        with self.updates.averaged():
            tensors, tied = module_tensors(self.step.players)
            if self.checkpoints is None:
                # Clones, because on a CPU these are the weights themselves.
                self.best_in_memory = Checkpoint(
                    self.done, {name: tensor.clone() for name, tensor in tensors.items()}, {"tied": tied}
                )
            elif self.accelerator.is_main_process:
                self.checkpoints.save_best(Checkpoint(self.done, tensors, {"tied": tied}))
        self.accelerator.wait_for_everyone()

    def _due_for_checkpoint(self) -> bool:
        if self.checkpoints is None:
            return False
        if self.config.checkpoint_every is not None:
            return self.done % self.config.checkpoint_every == 0
        # Clocks differ: the main process decides for all of them, and not at every step.
        if self.accelerator.num_processes > 1 and self.done % self.config.log_every:
            return False
        elapsed = time.perf_counter() - self.saved_at
        return bool(self.updates.agree(elapsed >= 60 * self.config.checkpoint_minutes))

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        if self.accelerator.is_main_process:
            tensors, tied = module_tensors(self.step.players)
            optimizer_values, others = optimizer_tensors(self.updates.optimizers)
            values: dict[str, Any] = {
                "tied": tied,
                "optimizers": others,
                "settings": to_mapping(self.config),
                "examples": len(self.examples),
                "first_examples": self.first_examples,
                "optimized_shapes": optimized_shapes(self.updates.optimizers),
                "parts": self.updates.parts if self.updates.parts > self.parts_asked_for else 0,
                "sums": self.sums,
                "best": self.best,
                "evaluations_without_improvement": self.evaluations_without_improvement,
                **self._circumstances(),
            }
            averages = self.updates.averages.tensors() if self.updates.averages else {}
            self.checkpoints.save(Checkpoint(self.done, tensors | optimizer_values | averages, values))
        self.accelerator.wait_for_everyone()
        self.saved_at = time.perf_counter()
