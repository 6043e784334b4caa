"""What a run says of itself: means of losses and speeds, in ``metrics.jsonl``, to trackers and to the progress bar."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.training.records.checkpoints import CheckpointWarning
from nlprep.core.training.records.journal import Journal
from nlprep.core.training.records.pictures import decode_picture
from nlprep.core.training.records.throughput import Meter, abbreviate, peak_flops

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nlprep.core.training.records.journal import Record
    from nlprep.core.training.steps.updates import Totals, Updates


class Recorder:
    """Collects what steps came to, and tells it now and then.

    Args:
        updates: Whose steps they are.
        num_examples: Examples of an epoch.
        directory: The run's, or None.

    Attributes:
        journal: Only the main process's has records.
        sums: Of each quantity since the last record: the sum of its means times their weights, and of the weights.
        meter: Measures the speed.
    """

    def __init__(self, updates: Updates, *, num_examples: int, directory: Path | None) -> None:
        self.updates, self.num_examples = updates, num_examples
        self.step, self.config, self.accelerator = updates.step, updates.config, updates.accelerator
        main = self.accelerator.is_main_process
        self.journal = Journal(directory / "metrics.jsonl" if directory and main else None)
        self.sums: dict[str, tuple[float, float]] = {}
        self.meter = Meter()
        self._peak = peak_flops(updates.players.device, updates.players.precision)
        self._opened = False

    def start(self, step: int, count: int) -> None:
        """Forget all but the first ``count`` records up to ``step``, and open the trackers.

        Warns:
            CheckpointWarning: There are fewer.
        """
        if self.accelerator.is_main_process:
            self.journal.rewind(step, count)
            if len(self.journal.records) < count:
                warnings.warn(
                    f"{self.journal.path}: holds {len(self.journal.records):,} of the {count:,} records up to step "
                    f"{step:,}; the others are lost, and the run goes on",
                    CheckpointWarning,
                    stacklevel=4,
                )
        if self.accelerator.log_with and not self.accelerator.trackers:
            settings = {name: value for name, value in to_mapping(self.config).items() if value is not None}
            self.accelerator.init_trackers("nlprep", config=settings)
            self._opened = True
        self.meter = Meter()

    def close(self) -> None:
        """End the trackers that `start` opened."""
        if self._opened:
            # Not by `end_training`, which also ends the process group: there may be another run after this one.
            for tracker in self.accelerator.trackers:
                tracker.finish()
            self.accelerator.trackers = []

    def count(self, totals: Totals) -> None:
        """Take note of an optimiser step."""
        for name, value in totals.losses.items():
            total, weight = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = total + value * totals.weight, weight + totals.weight
        self.meter.count(totals.units)

    def log(self, done: int) -> str:
        """Record the means since the last record; return a line for the bar.

        Args:
            done: Optimiser steps done.
        """
        means = {name: total / weight if weight else 0.0 for name, (total, weight) in self.sums.items()}
        self.sums = {}
        rate, unit = self.meter.read(), self.step.unit
        record: Record = {
            "step": done,
            "epoch": round(done * self.config.batch_size / self.num_examples, 6),
            **means,
            "learning_rate": self.updates.learning_rate,
            f"{unit}_per_second": round(rate, 1),
        }
        shown = [f"loss {means[name]:.4f}" for name in means if name == "loss"]
        shown += [f"{name.replace('_', ' ')} {means[name]:.3f}" for name in means if name.endswith("_loss")]
        shown += [f"lr {self.updates.learning_rate:.2g}", f"{abbreviate(rate)} {unit}/s"]
        if self._peak and self.step.flops_per_unit:
            record["mfu"] = round(rate * self.step.flops_per_unit / (self._peak * self.accelerator.num_processes), 4)
            shown.append(f"MFU {record['mfu']:.0%}")
        self.write(record)
        self.track(record)
        return " · ".join([f"step {done:,}", *shown])

    def write(self, record: Record) -> None:
        """Add a record to the journal."""
        if self.accelerator.is_main_process:
            self.journal.append(record)

    def track(self, record: Record, pictures: Mapping[str, bytes] | None = None) -> None:
        """Give a record to the trackers, and pictures (PNG) to those of them that take images."""
        for tracker in self.accelerator.trackers if pictures else ():
            if hasattr(tracker, "log_images"):
                # Unlike the others, tensorboard has to be told where the channels are.
                layout: dict[str, Any] = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                decoded = {name: decode_picture(content)[None] for name, content in (pictures or {}).items()}
                tracker.log_images(decoded, step=record["step"], **layout)
        if self.accelerator.trackers:
            numbers = {name: value for name, value in record.items() if name not in ("step", "pictures")}
            self.accelerator.log(numbers, step=record["step"])
