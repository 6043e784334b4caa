"""Two processes on a CPU against one."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from training_toys import (
    TOGETHER,
    ActNorm,
    ActNormStep,
    Duel,
    Net,
    Numbers,
    Pairing,
    make_step,
    pairing_step,
    settings,
    weights_of,
    without_speeds,
)
from warm_python import WarmPython

from nlprep.core.errors import OptionError
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import CheckpointWarning
from nlprep.core.training.records.journal import read_metrics

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, warm_python: WarmPython) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    paths = os.pathsep.join([str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    environment |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    done = warm_python.run(HERE / "training_toys.py", "together", folder, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


def final(folder: Path, name: str, rank: int) -> dict[str, np.ndarray]:
    return dict(np.load(folder / f"{name}-{rank}.npz"))


def outcome(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"outcome-{rank}.json").read_text())


def alike(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        value == pytest.approx(other[name], rel=1e-4, abs=1e-6)
        for name, value in one.items()
        if "per_second" not in name
    )


@pytest.mark.parametrize("name", ["weighted", "duel"])
def test_two_processes_learn_what_one_does(pair: Path, tmp_path: Path, name: str) -> None:
    step = make_step(Net()) if name == "weighted" else Duel(discriminator_updates=2, generator_every=2)
    fit(
        step,
        Numbers(),
        config=settings(**TOGETHER),
        directory=tmp_path,
        validation=Numbers(13, shift=1.0),
        evaluate=lambda _: {"rank": 0.0},
    )
    alone, together = read_metrics(tmp_path / "metrics.jsonl"), read_metrics(pair / name / "metrics.jsonl")
    assert len(alone) == len(together) == 12 + 6
    for one, other in zip(alone, together, strict=True):
        assert alike(one, other), (one, other)
    for rank in (0, 1):
        for key, value in weights_of(step).items():
            np.testing.assert_allclose(final(pair, name, rank)[key], value, atol=2e-5)


@pytest.mark.parametrize("held", [13, 5, 1])
def test_a_coupled_loss_is_that_of_all_processes(pair: Path, tmp_path: Path, held: int) -> None:
    """In float64, where the whole batch is embedded at once by one and a quarter at once by each of two."""
    step = pairing_step(Pairing())
    fit(
        step,
        Numbers(),
        config=settings(**TOGETHER | {"micro_batch_size": None, "steps": 6}),
        directory=tmp_path,
        validation=Numbers(held, shift=1.0),
        evaluate=lambda _: {"rank": 0.0},
    )
    alone, together = read_metrics(tmp_path / "metrics.jsonl"), read_metrics(pair / f"pairing {held}/metrics.jsonl")
    for one, other in zip(alone, together, strict=True):
        assert alike(one, other), (one, other)
    assert [record["validation_examples"] for record in alone if "validation_loss" in record] == [min(held, 8)] * 6
    for rank in (0, 1):
        exact = dict(np.load(pair / f"pairing {held}-{rank}.npz"))
        for key, value in step.module.state_dict().items():
            np.testing.assert_allclose(exact[f"model.{key}"], value.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["pairing whole", "actnorm"])
def test_averages_and_what_the_first_batch_set_are_alike(pair: Path, name: str) -> None:
    step = pairing_step(Pairing()) if name == "pairing whole" else ActNormStep(ActNorm())
    fit(step, Numbers(), config=settings(**TOGETHER | {"average": 0.8}), validation=Numbers(13, shift=1.0))
    for key, value in weights_of(step).items():
        if key == "model.begun":
            assert value.tobytes() == final(pair, name, 0)[key].tobytes()
        np.testing.assert_allclose(final(pair, name, 0)[key], value, atol=2e-5)
        assert final(pair, name, 0)[key].tobytes() == final(pair, name, 1)[key].tobytes()


def test_both_passes_over_the_parts_meet_the_same_buffers(pair: Path) -> None:
    for rank in (0, 1):
        passes = outcome(pair, rank)["passes"]
        # Two steps of two parts, each embedded twice; in the second step the processes' buffers differ at first.
        assert len(passes) == 8
        assert passes[:2] == passes[2:4]
        assert passes[4:6] == passes[6:]
        assert passes[0] != passes[1]
        assert outcome(pair, rank)["drifting"] == [[2, None, outcome(pair, rank)["drifting"][0][2]]]


def test_a_coupled_loss_that_cannot_be_shared_is_refused(pair: Path) -> None:
    for rank in (0, 1):
        (said,) = outcome(pair, rank)["declared"]
        assert said.startswith("OptionError: 2 processes: the losses of PlainStep couple the examples of a batch")


def test_both_end_with_the_same_bits_and_one_writes(pair: Path) -> None:
    for name in ("weighted", "duel", "dropout", "stopped"):
        for key, value in final(pair, name, 0).items():
            assert value.tobytes() == final(pair, name, 1)[key].tobytes()
        steps = [record["step"] for record in read_metrics(pair / name / "metrics.jsonl") if "loss" in record]
        assert steps == (list(range(1, 13)) if name != "duel" else [])
    assert outcome(pair, 0)["weighted"] == outcome(pair, 1)["weighted"]
    (first, second) = outcome(pair, 0)["weighted"]
    assert first[:2] == [12, None]
    assert second == [12, 12, first[2]]


def test_a_signal_to_one_stops_both_and_they_go_on_exactly(pair: Path) -> None:
    for rank in (0, 1):
        stopped, resumed = outcome(pair, rank)["stopped"]
        assert stopped.startswith("KeyboardInterrupt: stopped at step 2 of 12, saved in")
        assert resumed[:2] == [12, 2]
    for key, value in final(pair, "dropout", 0).items():
        assert value.tobytes() == final(pair, "stopped", 0)[key].tobytes()


def test_a_signal_in_the_evaluation_of_a_coupled_loss_stops_both(pair: Path) -> None:
    for rank in (0, 1):
        stopped, resumed = outcome(pair, rank)["paired, stopped"]
        assert stopped.startswith("KeyboardInterrupt: stopped at step 2 of 12, saved in")
        assert resumed[:2] == [12, 2]
    for key, value in final(pair, "paired", 0).items():
        assert value.tobytes() == final(pair, "paired, stopped", 0)[key].tobytes()
    records, whole = (read_metrics(pair / name / "metrics.jsonl") for name in ("paired, stopped", "paired"))
    assert without_speeds(records) == without_speeds(whole)


def test_the_main_one_may_ask_both_to_stop(pair: Path) -> None:
    for rank in (0, 1):
        first, again = outcome(pair, rank)["asked"]
        assert (first[:2], first[3]) == ([6, None], "enough")
        assert (again[:2], again[3]) == ([6, 6], "enough")
    for key, value in final(pair, "asked", 0).items():
        assert value.tobytes() == final(pair, "asked", 1)[key].tobytes()


def test_what_is_wrong_on_one_is_said_by_both(pair: Path) -> None:
    for rank in (0, 1):
        (bad,) = outcome(pair, rank)["bad"]
        assert bad.startswith("NonFiniteError: the loss is nan at step 2 (batch 1, positions 8 to 15 of the run)")
        (uneven,) = outcome(pair, rank)["uneven"]
        assert uneven == "OptionError: batch_size = 9: must be a multiple of the 2 processes"
    assert [path.name for path in (pair / "bad" / "checkpoints").glob("step-*")] == ["step-000000001"]


def test_the_main_one_decides_what_is_best_and_when_to_stop(pair: Path) -> None:
    reason = "no improvement in 3 evaluations"
    assert outcome(pair, 0)["split"] == outcome(pair, 1)["split"] == [[10, None, 4, reason]]
    for key, value in final(pair, "split", 0).items():
        assert value.tobytes() == final(pair, "split", 1)[key].tobytes()


def test_another_number_of_processes_goes_on_and_says_so(pair: Path, tmp_path: Path) -> None:
    run = shutil.copytree(pair / "stopped", tmp_path / "run")
    with pytest.warns(CheckpointWarning, match="made with processes = 2, now 1: the run goes on, but not bit for bit"):
        history = fit(
            make_step(Net(dropout=0.3)), Numbers(), config=settings(**TOGETHER | {"steps": 14}), directory=run
        )
    assert (history.resumed_from, history.steps) == (12, 14)


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="2 processes were launched, but Accelerate was set up for one"):
        fit(make_step(Net()), Numbers(), config=settings(), accelerator=Accelerator())
