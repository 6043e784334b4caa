"""What an error in the middle of a run costs: nothing that was whole."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_toys import Duel, Net, Numbers, make_step, same_bits, settings, weights_of, without_speeds

from nlprep.core.errors import FileError, NlprepError
from nlprep.core.training.data.loading import load_batches
from nlprep.core.training.evaluation import Evaluation
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import Checkpoints, CheckpointWarning
from nlprep.core.training.records.journal import Journal, read_metrics

EVERY_THIRD = {"evaluate_every": 3, "schedule": "constant", "warmup": 0}


def kept(directory: Path) -> Checkpoints:
    return Checkpoints(directory / "checkpoints", keep=9)


@pytest.mark.slow
def test_an_error_in_an_evaluation_costs_nothing(tmp_path: Path) -> None:
    whole = make_step(Net(dropout=0.2))
    evaluate = lambda evaluation: {"seen": evaluation.step}  # noqa: E731
    fit(whole, Numbers(), config=settings(**EVERY_THIRD), validation=Numbers(9), evaluate=evaluate,
        directory=tmp_path / "whole")  # fmt: skip

    def failing(evaluation: Evaluation) -> dict[str, float]:
        if evaluation.step in broken:
            raise ValueError("no such word")
        return evaluate(evaluation)

    step = make_step(Net(dropout=0.2))
    run = tmp_path / "run"
    for broken in ([6], [12]):
        with pytest.raises(ValueError, match="no such word") as caught:
            fit(step, Numbers(), config=settings(**EVERY_THIRD), validation=Numbers(9), evaluate=failing, directory=run)
        assert kept(run).steps()[-1] == broken[0]
        # In the last evaluation all was saved before.
        saved_by_the_error = broken == [6]
        notes = getattr(caught.value, "__notes__", [])
        assert notes == [f"step 6 is saved in {run}: the same call goes on from there"] * saved_by_the_error
    history = fit(step, Numbers(), config=settings(**EVERY_THIRD), validation=Numbers(9), evaluate=evaluate,
                  directory=run)  # fmt: skip
    assert (history.resumed_from, history.steps) == (12, 12)
    assert same_bits(weights_of(step), weights_of(whole))
    assert without_speeds(read_metrics(run / "metrics.jsonl")) == without_speeds(
        read_metrics(tmp_path / "whole" / "metrics.jsonl")
    )


def test_examples_that_cannot_be_fetched_cost_nothing(tmp_path: Path) -> None:
    class Unreadable(Numbers):
        fetched = 0

        def batch(self, indices: np.ndarray, seeds: np.ndarray) -> Any:
            self.fetched += 1
            if self.fetched == 7:
                raise OSError("the disk is gone")
            return super().batch(indices, seeds)

    step = make_step(Net(dropout=0.2))
    with pytest.raises(OSError, match="the disk is gone"):
        fit(step, Unreadable(), config=settings(), directory=tmp_path)
    assert kept(tmp_path).steps() == [5]
    fit(step, Numbers(), config=settings(), directory=tmp_path)
    whole = make_step(Net(dropout=0.2))
    fit(whole, Numbers(), config=settings())
    assert same_bits(weights_of(step), weights_of(whole))


class Failing(Net):
    """Fails in a forward pass."""

    def __init__(self, at: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.left = at

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        self.left -= 1
        if self.left == 0:
            raise ValueError("in the middle")
        return super().forward(**batch)


def test_only_what_is_exactly_a_step_is_saved(tmp_path: Path) -> None:
    """Half a step, statistics of one that failed, weights that are no numbers: the checkpoint before is better."""

    def saved(step: Any, name: str, **changes: Any) -> list[int]:
        with pytest.raises((ValueError, NlprepError)):
            fit(step, Numbers(), config=settings(**changes), directory=tmp_path / name)
        return kept(tmp_path / name).steps()

    assert saved(make_step(Failing(5)), "clean") == [4]
    # The first part of a step changes no weights.
    assert saved(make_step(Failing(8), coupled=False), "parts", micro_batch_size=4) == [3]
    normed = Failing(5)
    normed.norm = torch.nn.BatchNorm1d(16)
    assert saved(make_step(normed), "norm", checkpoint_every=3) == [3]
    duel = Duel()
    losses = duel.losses

    def broken(player: str, *words: Any, moment: Any) -> Any:
        if player == "generator" and moment.step == 4:
            raise ValueError("after the discriminator's update")
        return losses(player, *words, moment=moment)

    duel.losses = broken  # type: ignore[method-assign]
    assert saved(duel, "duel", checkpoint_every=3) == [3]
    wild = make_step(Net())
    after_update = wild.after_update

    def poison(player: str, *, moment: Any) -> None:
        after_update(player, moment=moment)
        if moment.step == 4:
            with torch.no_grad():
                wild.module.second.bias.fill_(float("inf"))

    wild.after_update = poison  # type: ignore[method-assign]
    assert saved(wild, "wild", checkpoint_every=3) == [3]


def test_a_full_disk_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nlprep.core.training.records.checkpoints.write_tensors", full)
    with (
        pytest.warns(CheckpointWarning, match="step 4 could not be saved: .*no space left on the device"),
        pytest.raises(ValueError, match="in the middle"),
    ):
        fit(make_step(Failing(5)), Numbers(), config=settings(), directory=tmp_path)


def test_what_is_at_stake_is_saved_before_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheaply: where a checkpoint is due, at the end, and where much more time went into training than writing."""
    written: list[int] = []
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, one: (written.append(one.step), save(self, one)))

    def seen(name: str, seconds: float = 0.0, **changes: Any) -> list[list[int]]:
        """The steps saved when an evaluation began."""
        written.clear()
        found: list[list[int]] = []

        def evaluate(_: Evaluation) -> None:
            found.append(list(written))
            time.sleep(seconds)

        fit(make_step(Net()), Numbers(), config=settings(**EVERY_THIRD, **changes), directory=tmp_path / name,
            evaluate=evaluate)  # fmt: skip
        # Nothing is written twice.
        assert len(set(written)) == len(written)
        return found

    assert seen("steps", checkpoint_every=6) == [[], [6], [6], [6, 12]]
    assert seen("minutes") == [[], [], [], [12]]
    monkeypatch.setattr("nlprep.core.training.loop._WORTH", 0)
    assert seen("worth it") == [[3], [3, 6], [3, 6, 9], [3, 6, 9, 12]]


def test_early_checkpoints_come_in_growing_steps_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a step takes ten seconds: after 20 s, then when as much is at stake as is kept, then every five minutes."""
    now = [0.0]

    class Slow(Net):
        def forward(self, **batch: torch.Tensor) -> Any:
            now[0] += 10
            return super().forward(**batch)

    clock = type("Clock", (), {"perf_counter": staticmethod(lambda: now[0])})
    monkeypatch.setattr("nlprep.core.training.loop.time", clock)
    written: list[int] = []
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, one: (written.append(one.step), save(self, one)))
    fit(make_step(Slow()), Numbers(), config=settings(steps=100), directory=tmp_path)
    assert written == [2, 4, 8, 16, 32, 62, 92, 100]


def test_no_checkpoint_counts_lines_that_the_disk_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not synced is cut off when each checkpoint is written, as if the machine went down just after."""
    path = tmp_path / "metrics.jsonl"
    synced, fsync, save = [0], os.fsync, Checkpoints.save
    waits: list[int] = []

    def note(descriptor: int) -> None:
        fsync(descriptor)
        if path.exists() and os.path.sameopenfile(descriptor, opened := os.open(path, os.O_RDONLY)):
            synced.append(path.stat().st_size)
            os.close(opened)
            waits.append(1)

    def check(self: Checkpoints, checkpoint: Any) -> None:
        lines = path.read_bytes()[: synced[-1]].splitlines()
        assert len(lines) == checkpoint.values["records"] > 0
        assert json.loads(lines[-1])["step"] <= checkpoint.step
        save(self, checkpoint)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Checkpoints, "save", check)
    fit(make_step(Net()), Numbers(), config=settings(log_every=1, checkpoint_every=4), directory=tmp_path)
    # Not at every line.
    assert len(waits) == 3


def test_lines_that_are_lost_all_the_same_are_told(tmp_path: Path) -> None:
    fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path)
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    with pytest.warns(CheckpointWarning, match=r"metrics.jsonl: holds 4 of the 6 records up to step 12; the others"):
        fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path)
    journal = Journal(path)
    journal.rewind(6, 9)
    assert [record["step"] for record in journal.records] == [2, 4, 6]


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_an_example_is_said_in_a_line_by_any_process(workers: int) -> None:
    class Batches:
        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            if number:
                raise FileError("one.png", "is damaged: remove it")
            return {"inputs": torch.zeros(1)}

    loaded = load_batches(Batches(), [0, 1, 2], workers=workers, device=torch.device("cpu"))
    assert next(loaded)["inputs"] == 0
    with pytest.raises(FileError, match=r"^one\.png: is damaged: remove it$"):
        next(loaded)
