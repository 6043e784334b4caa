"""Runs that are killed and started again end bit for bit like one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from training_toys import Duel, Net, Numbers, make_step, same_bits, settings, weights_of, without_speeds
from warm_python import WarmPython

from nlprep.core.errors import FileError, OptionError
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import CheckpointWarning
from nlprep.core.training.records.journal import read_metrics

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
SIGKILLED = -signal.SIGKILL

# Checkpoints at 4 and 8, evaluations at 3, 6, 9 and 12 of 12 steps.
PLAIN = {"steps": 12, "checkpoint_every": 4, "evaluate_every": 3, "micro_batch_size": 4}
KILLED = {
    "two workers, fp32": ({"workers": 2}, ["update:0", "update:7", "update:11"]),
    "bf16": ({"precision": "bf16"}, ["update:5", "evaluate:9"]),
    "bf16, two workers": ({"precision": "bf16", "workers": 2}, ["update:6"]),
    "between evaluation and checkpoint": ({"evaluate_every": 4}, ["save:4", "save:8", "save:12"]),
    "between evaluations and a checkpoint": ({"checkpoint_every": 5}, ["save:5", "update:9", "save:10"]),
    "while a checkpoint is written": ({}, ["writing:4", "writing:8", "renamed:8", "writing:12"]),
    "while a line is written": ({}, ["line:4", "line:6", "line:8"]),
    "in an evaluation": ({}, ["evaluate:3", "evaluate:9", "evaluate:12"]),
    "in an evaluation after its checkpoint": ({"evaluate_every": 4}, ["evaluate:4", "evaluate:4", "evaluate:12"]),
    "between an evaluation and its result": ({"evaluate_every": 4}, ["amend:4", "amending:8", "amend:12"]),
    "averaged weights": ({"average": 0.8}, ["update:7", "evaluate:6"]),
    "patience": ({"evaluate_every": 2, "patience": 2}, ["evaluate:4", "update:5", "evaluate:6", "evaluate:8"]),
    "in a shard": ({"workers": 2}, ["update:6", "evaluate:12"]),
    "asked to stop": ({}, ["evaluate:6", "line:9", "evaluate:9", "save:9"]),
}


LAST = {"asked to stop": 9, "patience": 8}
KINDS = ["duel", "pairing", "actnorm"]


def environment(**extra: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **extra}


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory, warm_python: WarmPython) -> Path:
    """All the scenarios, each killed and not, in one process that forks."""
    folder = tmp_path_factory.mktemp("lives")
    scenarios = []
    for name, (changes, deaths) in KILLED.items():
        common = {"config": PLAIN | changes, "evaluate": any("evaluate" in death for death in deaths)}
        common |= {"shards": name == "in a shard", "stop": 9 if name == "asked to stop" else None}
        common |= {"best": 4 if name == "patience" else None}
        scenarios.append({**common, "name": name, "directory": str(folder / name), "deaths": deaths})
        scenarios.append(
            {**common, "name": f"{name}, whole", "directory": str(folder / f"{name}, whole"), "deaths": []}
        )
    for kind in KINDS:
        settings = {"config": {"steps": 9, "checkpoint_every": 2, "micro_batch_size": 4}, "kind": kind}
        for name, deaths in ((kind, ["update:0", "update:5"]), (f"{kind}, whole", [])):
            scenarios.append({**settings, "name": name, "directory": str(folder / name), "deaths": deaths})
    (folder / "scenarios.json").write_text(json.dumps(scenarios))
    done = warm_python.run(HERE / "training_toys.py", folder / "scenarios.json", env=environment())
    assert done.returncode == 0, done.stderr
    outcomes = {line["name"]: line["outcomes"] for line in map(json.loads, done.stdout.splitlines())}
    for scenario in scenarios:
        expected = [SIGKILLED] * len(scenario["deaths"]) + [0]
        assert outcomes[scenario["name"]] == expected, (scenario["name"], done.stderr)
    return folder


@pytest.mark.parametrize("name", [*KILLED, *KINDS])
def test_a_killed_run_ends_like_a_whole_one(lives: Path, name: str) -> None:
    killed, whole = lives / name, lives / f"{name}, whole"
    assert same_bits(dict(np.load(killed / "final.npz")), dict(np.load(whole / "final.npz")))
    records = read_metrics(killed / "metrics.jsonl")
    assert without_speeds(records) == without_speeds(read_metrics(whole / "metrics.jsonl"))
    assert records[-1]["step"] == LAST.get(name, 9 if name in KINDS else 12)
    assert (killed / "told.json").read_text() == (whole / "told.json").read_text()
    drawn = [sorted((run / "pictures").rglob("*.png")) for run in (killed, whole)]
    assert [path.read_bytes() for path in drawn[0]] == [path.read_bytes() for path in drawn[1]]
    assert len(drawn[0]) == sum("drawn" in record for record in records)
    # Nothing of the deaths is left.
    assert {path.name for path in (killed / "checkpoints").iterdir()} == {
        path.name for path in (whole / "checkpoints").iterdir()
    }


def test_workers_change_nothing_and_precision_and_dropout_do(lives: Path) -> None:
    def final(name: str) -> dict[str, np.ndarray]:
        return dict(np.load(lives / f"{name}, whole" / "final.npz"))

    assert same_bits(final("two workers, fp32"), final("while a line is written"))
    assert same_bits(final("bf16, two workers"), final("bf16"))
    assert not same_bits(final("bf16"), final("while a line is written"))


def test_more_steps_go_on_and_the_callers_random_numbers_have_no_say(tmp_path: Path) -> None:
    constant = {"schedule": "constant", "warmup": 1.0}
    whole = make_step(Net(dropout=0.3))
    fit(whole, Numbers(), config=settings(**constant))
    pieces = make_step(Net(dropout=0.3))
    for steps in (5, 12):
        torch.manual_seed(steps)
        before = torch.get_rng_state()
        history = fit(pieces, Numbers(), config=settings(steps=steps, **constant), directory=tmp_path)
        assert torch.equal(torch.get_rng_state(), before)
    assert (history.resumed_from, history.steps) == (5, 12)
    assert same_bits(weights_of(pieces), weights_of(whole))
    other = make_step(Net(dropout=0.3))
    fit(other, Numbers(), config=settings(**constant, seed=2))
    assert not same_bits(weights_of(other), weights_of(whole))


def test_a_finished_run_returns_at_once(tmp_path: Path) -> None:
    step = make_step(Net())
    first = fit(step, Numbers(), config=settings(), directory=tmp_path, validation=Numbers(10, shift=2))

    class Untouchable(Net):
        def forward(self, **_: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            raise AssertionError

    again = make_step(Untouchable(seed=5))
    second = fit(again, Numbers(), config=settings(), directory=tmp_path, validation=Numbers(10, shift=2))
    assert (second.resumed_from, second.steps) == (12, 12)
    assert second.records == first.records
    assert (second.best_step, second.best_loss) == (first.best_step, first.best_loss)
    assert same_bits(weights_of(again), weights_of(step))
    assert not again.module.training


def test_the_choices_of_resuming(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="holds no checkpoint to resume from"):
        fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path / "new", resume="must")
    with pytest.raises(OptionError, match="resume = 'must' needs a directory"):
        fit(make_step(Net()), Numbers(), config=settings(), resume="must")
    with pytest.raises(OptionError, match="resume = 'always': choose from auto, never, must"):
        fit(make_step(Net()), Numbers(), config=settings(), resume="always")
    assert fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path, resume="never").resumed_from is None
    with pytest.raises(OptionError, match=r"holds checkpoints up to step 12: resume from them"):
        fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path, resume="never")
    more = settings(steps=14)
    assert fit(make_step(Net()), Numbers(), config=more, directory=tmp_path, resume="must").resumed_from == 12


def test_what_does_not_fit_a_checkpoint_is_one_clear_line(tmp_path: Path) -> None:
    fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path)

    def refused(kind: type[Exception], problem: str, *, step=None, data=None, **changes: object) -> None:
        model = step or make_step(Net())
        before = weights_of(model)
        with pytest.raises(kind, match=problem) as caught:
            fit(model, data or Numbers(), config=settings(**changes), directory=tmp_path)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        if kind is OptionError and "frozen" not in problem:
            assert same_bits(weights_of(model), before)

    refused(OptionError, "made with learning_rate = 0.01, now 0.1", learning_rate=0.1)
    refused(OptionError, "made with batch_size = 8, now 4", batch_size=4)
    refused(OptionError, "made with 50 examples, now 51", data=Numbers(51))
    refused(OptionError, "made with other examples", data=Numbers(shift=0.5))
    refused(OptionError, "is of step 12, beyond the 6 asked for", steps=6)
    refused(FileError, r"'second.weight' has shape \[3, 16\] in the checkpoint and \[2, 16\]",
            step=make_step(Net(terms=2)), data=None)  # fmt: skip
    refused(FileError, "so it is of another model", step=Duel())
    frozen = Net()
    frozen.first.weight.requires_grad_(False)
    refused(OptionError, "other parameters were trained or frozen", step=make_step(frozen))
    # What has no say in the result may change.
    free = settings(steps=13, workers=1, log_every=3, evaluate_every=2, checkpoint_every=2, keep_checkpoints=1)
    assert fit(make_step(Net()), Numbers(), config=free, directory=tmp_path).resumed_from == 12


def test_another_precision_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlprep.core.training.steps.precision.has_bf16", lambda _: True)
    fit(make_step(Net()), Numbers(), config=settings(precision="auto"), directory=tmp_path)
    monkeypatch.setattr("nlprep.core.training.steps.precision.has_bf16", lambda _: False)
    with pytest.warns(CheckpointWarning, match="made with precision = bf16, now fp32: the run goes on"):
        fit(make_step(Net()), Numbers(), config=settings(precision="auto", steps=13), directory=tmp_path)


def test_signals_wait_for_the_step_and_a_checkpoint(tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM, sent to this very process in the middle of a step."""
    whole = make_step(Net(dropout=0.2))
    fit(whole, Numbers(), config=settings())

    class Pressing(Net):
        def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 4 and self.training:
                os.kill(os.getpid(), self.number)
            return super().forward(**batch)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    step = make_step(Pressing(dropout=0.2))
    for number, done in ((signal.SIGINT, 5), (signal.SIGTERM, 10)):
        step.module.calls, step.module.number = 0, number
        with pytest.raises(
            KeyboardInterrupt, match=f"stopped at step {done} of 12, saved in .*; the same call goes on"
        ):
            fit(step, Numbers(), config=settings(), directory=tmp_path)
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
        assert not step.module.training
    assert fit(step, Numbers(), config=settings(), directory=tmp_path).resumed_from == 10
    assert same_bits(weights_of(step), weights_of(whole))


def test_a_signal_to_all_processes_spares_the_loaders(tmp_path: Path, warm_python: WarmPython) -> None:
    program = (
        f"import os, signal, sys; sys.path.insert(0, {str(HERE)!r}); from training_toys import *\n"
        "class Pressing(Net):\n"
        "    def forward(self, **batch):\n"
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        if self.calls == 3: os.killpg(0, getattr(signal, sys.argv[2]))\n"
        "        return super().forward(**batch)\n"
        "torch.set_num_threads(1)\n"
        "try: fit(make_step(Pressing()), Numbers(), config=settings(workers=2, steps=3000), directory=sys.argv[1])\n"
        "except KeyboardInterrupt as error: print(error)\n"
    )
    running = [
        warm_python.popen(
            *("-c", program, tmp_path / name, name),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for name in ("SIGINT", "SIGTERM")
    ]
    for process in running:
        output, problems = process.communicate(timeout=60)
        assert output.startswith("stopped at step 4 of 3,000, saved in"), problems
        assert "Traceback" not in problems
