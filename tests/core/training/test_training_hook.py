"""The caller's evaluation: what it is told, what it may give, and what becomes of a run in which it fails or waits."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from training_toys import Duel, Net, Numbers, make_step, same_bits, settings, weights_of, without_speeds

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.interrupts import deferred_interrupt
from nlprep.core.training.evaluation import Assessment, Evaluation
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import Checkpoints
from nlprep.core.training.records.journal import read_metrics
from nlprep.core.training.records.pictures import decode_picture, encode_pictures

EVERY_THIRD = {"evaluate_every": 3, "schedule": "constant", "warmup": 0}


def kept(directory: Path) -> Checkpoints:
    return Checkpoints(directory / "checkpoints", keep=9)


def after(steps: int, **changes: Any) -> dict[str, np.ndarray]:
    step = make_step(Net())
    fit(step, Numbers(), config=settings(**EVERY_THIRD, **changes, steps=steps))
    return weights_of(step)


# What it is told and may give


@pytest.mark.parametrize("on_disk", [False, True])
def test_it_is_told_where_the_run_stands(tmp_path: Path, on_disk: bool) -> None:
    directory = tmp_path / "run" if on_disk else None
    told: list[Evaluation] = []
    fit(make_step(Net()), Numbers(), config=settings(**EVERY_THIRD), directory=directory, evaluate=told.append)
    assert [(one.step, one.steps, one.directory) for one in told] == [(n, 12, directory) for n in (3, 6, 9, 12)]
    assert not any(one.interrupted() for one in told)


def test_what_it_draws_is_a_function_of_the_step() -> None:
    def draws(dropout: float, validation: Numbers | None = None, **changes: Any) -> list[float]:
        drawn: list[float] = []
        step = make_step(Net(dropout=dropout))
        evaluate = lambda _: drawn.append(float(torch.rand(())))  # noqa: E731
        fit(step, Numbers(), config=settings(**changes), validation=validation, evaluate=evaluate)
        return drawn

    one = draws(0.0, evaluate_every=2)
    assert len(set(one)) == 6
    # Not of what training and validation drew, nor of how often it is called.
    assert draws(0.5, Numbers(9), evaluate_every=4) == one[1::2]
    assert draws(0.0, evaluate_every=2, seed=2) != one


def test_pictures_are_written_named_in_the_record_and_shown(tmp_path: Path) -> None:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

    class Notebook(GeneralTracker):
        name, requires_logging_directory, main_process_only = "notebook", False, True

        def __init__(self) -> None:
            super().__init__()
            self.logged: list[dict] = []
            self.shown: list[tuple[int, dict]] = []

        @property
        def tracker(self) -> None:
            return None

        def store_init_configuration(self, values: dict) -> None:
            pass

        def log(self, values: dict, step: int | None = None, **_: Any) -> None:
            self.logged.append(values)

        def log_images(self, values: dict, step: int, **_: Any) -> None:
            self.shown.append((step, values))

    ready = io.BytesIO()
    Image.new("RGB", (3, 2), (9, 8, 7)).save(ready, format="PNG")
    (tmp_path / "made.png").write_bytes(ready.getvalue())
    floats = torch.rand(3, 4, 5)

    def evaluate(evaluation: Evaluation) -> Assessment:
        pictures = {"floats": floats, "bytes": ready.getvalue(), "path": tmp_path / "made.png"}
        return Assessment({"norm": evaluation.step / 2}, pictures)

    run, notebook = tmp_path / "run", Notebook()
    history = fit(
        make_step(Net()),
        Numbers(),
        config=settings(evaluate_every=6),
        directory=run,
        evaluate=evaluate,
        accelerator=Accelerator(log_with=notebook),
    )
    records = [record for record in read_metrics(run / "metrics.jsonl") if "norm" in record]
    names = {name: f"pictures/step-000000006/{name}.png" for name in ("floats", "bytes", "path")}
    assert records[0] == {"step": 6, "norm": 3.0, "pictures": names}
    assert history.last("norm") == 6.0
    for record in records:
        assert all((run / path).is_file() for path in record["pictures"].values())
    assert (run / names["path"]).read_bytes() == ready.getvalue()
    pixels = decode_picture((run / names["floats"]).read_bytes())
    np.testing.assert_array_equal(pixels, np.rint(floats.numpy().transpose(1, 2, 0) * 255))
    assert [step for step, _ in notebook.shown] == [6, 12]
    np.testing.assert_array_equal(notebook.shown[0][1]["floats"], pixels[None])
    assert not any("pictures" in logged or "step" in logged for logged in notebook.logged)
    # Without a directory there is no place for them.
    history = fit(make_step(Net()), Numbers(), config=settings(), evaluate=evaluate)
    assert "pictures" not in history.records[-1]


def test_pixels_of_every_kind_become_pictures() -> None:
    grey, colours = np.arange(6, dtype=np.uint8).reshape(2, 3), np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    encoded = encode_pictures({"grey": grey, "one": grey[None], "rgb": colours[:3], "rgba": torch.from_numpy(colours)})
    read = {name: np.asarray(Image.open(io.BytesIO(content))) for name, content in encoded.items()}
    np.testing.assert_array_equal(read["grey"], grey)
    np.testing.assert_array_equal(read["one"], grey)
    np.testing.assert_array_equal(read["rgb"], np.moveaxis(colours[:3], 0, -1))
    np.testing.assert_array_equal(read["rgba"], np.moveaxis(colours, 0, -1))


@pytest.mark.parametrize(
    ("name", "picture", "problem"),
    [
        ("a/b", np.zeros((2, 2), np.uint8), "picture 'a/b': use letters, digits"),
        ("jpeg", b"\xff\xd8\xff", "picture 'jpeg': is no PNG file: save it as one, or give pixels"),
        ("two", np.zeros((2, 4, 4)), r"picture 'two': has shape \(2, 4, 4\): give \(height, width\)"),
        ("five", np.zeros((5, 4, 3)), r"picture 'five': has shape \(5, 4, 3\)"),
        ("bright", np.full((2, 2), 1.5), "picture 'bright': has values from 1.5 to 1.5: give them in"),
        ("nan", np.full((2, 2), np.nan), "picture 'nan': has values from nan to nan"),
        ("wide", np.zeros((2, 2), np.int64), "picture 'wide': is of int64: give uint8, or floats"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_one_line(name: str, picture: Any, problem: str) -> None:
    with pytest.raises(NlprepError, match=problem) as caught:
        fit(make_step(Net()), Numbers(), config=settings(), evaluate=lambda _: Assessment(pictures={name: picture}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["step", "pictures"])
def test_numbers_do_not_take_the_names_of_a_record(name: str) -> None:
    with pytest.raises(NlprepError, match=f"evaluate gave a number named '{name}'"):
        fit(make_step(Net()), Numbers(), config=settings(), evaluate=lambda _: {name: 1.0})


@pytest.mark.parametrize("on_disk", [False, True])
def test_it_may_ask_to_stop(tmp_path: Path, on_disk: bool) -> None:
    directory = tmp_path if on_disk else None
    called: list[int] = []

    def evaluate(evaluation: Evaluation) -> Assessment:
        called.append(evaluation.step)
        worse = abs(evaluation.step - 6)
        return Assessment({"criterion": worse}, stop="no better" if evaluation.step == 9 else None)

    step = make_step(Net())
    history = fit(step, Numbers(), config=settings(**EVERY_THIRD), directory=directory, evaluate=evaluate)
    assert (history.steps, history.stopped, history.best_step, called) == (9, "no better", 6, [3, 6, 9])
    assert same_bits(weights_of(step), after(6))
    if not on_disk:
        return
    # It stays so, whoever asks.
    for more in (settings(**EVERY_THIRD), settings(**EVERY_THIRD, steps=20)):
        again = make_step(Net(seed=3))
        history = fit(again, Numbers(), config=more, directory=directory, evaluate=evaluate)
        assert (history.steps, history.stopped, history.resumed_from, called) == (9, "no better", 9, [3, 6, 9])
        assert same_bits(weights_of(again), weights_of(step))


def test_a_run_that_makes_all_its_steps_was_not_stopped() -> None:
    assert fit(make_step(Net()), Numbers(), config=settings(), evaluate=lambda _: Assessment()).stopped is None
    worse = iter(range(9))
    impatient = settings(**EVERY_THIRD, patience=2, steps=30)
    history = fit(make_step(Net()), Numbers(), config=impatient, evaluate=lambda _: {"criterion": float(next(worse))})
    assert (history.steps, history.stopped) == (9, "no improvement in 2 evaluations")


# Which weights are best


@pytest.mark.slow
def test_the_validation_loss_of_one_player_may_decide() -> None:
    def train(criterion: str | None, **changes: Any) -> tuple[Any, Duel]:
        step = Duel()
        step.criterion = criterion
        config = settings(evaluate_every=2, learning_rate=0.3, **changes)
        return fit(step, Numbers(), config=config, validation=Numbers(13, shift=1.0)), step

    best = {}
    for name in ("generator_loss", "discriminator_loss"):
        history, step = train(name)
        losses = {r["step"]: r[f"validation_{name}"] for r in history.records if f"validation_{name}" in r}
        assert len(losses) == 6
        best[name] = min(losses, key=losses.__getitem__)
        assert (history.best_step, history.best_loss) == (best[name], losses[best[name]])
        if best[name] != 12:
            shorter = Duel()
            stop = lambda evaluation: Assessment(stop="x" if evaluation.step == best[name] else None)  # noqa: B023, E731
            fit(shorter, Numbers(), config=settings(evaluate_every=2, learning_rate=0.3), evaluate=stop)
            assert same_bits(weights_of(step), weights_of(shorter))
    # Otherwise these would say the same.
    assert best["generator_loss"] != best["discriminator_loss"]
    assert train(None)[0].best_step is None
    with pytest.raises(OptionError, match=r"criterion = 'generator_los': .* choose from .*generator_loss") as caught:
        train("generator_los")
    assert "\n" not in str(caught.value)
    with pytest.raises(OptionError, match="patience = 2: several players, and none whose loss decides"):
        train(None, patience=2)


# Waiting


class Pressing(Net):
    """Sends this process a signal in a pass of an evaluation."""

    def __init__(self, number: int, at: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.number, self.left = number, at

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        if not self.training:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.number)
        return super().forward(**batch)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_stops_between_validation_batches(tmp_path: Path, number: int, workers: int) -> None:
    held = Numbers(31, shift=1.0)
    config = settings(**EVERY_THIRD, workers=workers)
    whole = make_step(Net(dropout=0.3))
    fit(whole, Numbers(), config=config, validation=held, directory=tmp_path / "whole")
    run = tmp_path / "run"
    # Four batches an evaluation: the second of the one after step 6.
    step = make_step(Pressing(number, 6, dropout=0.3))
    with pytest.raises(KeyboardInterrupt, match=f"stopped at step 6 of 12, saved in {run}; the same call goes on"):
        fit(step, Numbers(), config=config, validation=held, directory=run)
    assert step.module.left == 0
    assert not any("validation_loss" in r and r["step"] == 6 for r in read_metrics(run / "metrics.jsonl"))
    assert not multiprocessing.active_children()
    # The last evaluation too: nothing is finished without it. It resumes with all four batches after step 6.
    step.module.left = 4 + 4 + 1
    with pytest.raises(KeyboardInterrupt, match="stopped at step 12 of 12"):
        fit(step, Numbers(), config=config, validation=held, directory=run)
    history = fit(step, Numbers(), config=config, validation=held, directory=run)
    assert (history.resumed_from, history.steps) == (12, 12)
    assert same_bits(weights_of(step), weights_of(whole))
    records = without_speeds(read_metrics(run / "metrics.jsonl"))
    assert records == without_speeds(read_metrics(tmp_path / "whole" / "metrics.jsonl"))


def test_the_callers_evaluation_is_waited_for_and_may_ask(tmp_path: Path) -> None:
    pressed, asked = [], []

    def evaluate(evaluation: Evaluation) -> dict[str, float]:
        if evaluation.step == at and at not in pressed:
            pressed.append(at)
            os.kill(os.getpid(), signal.SIGTERM)
            if polls:
                asked.append(evaluation.interrupted())
                return {"seen": -1.0}
        return {"seen": float(evaluation.step)}

    def run() -> Any:
        return fit(make_step(Net()), Numbers(), config=settings(**EVERY_THIRD), evaluate=evaluate, directory=tmp_path)

    # One that does not ask is finished, and recorded; then the run stops.
    at, polls = 3, False
    with pytest.raises(KeyboardInterrupt, match="stopped at step 3 of 12"):
        run()
    # What one says that was told to stop is thrown away.
    at, polls = 6, True
    with pytest.raises(KeyboardInterrupt, match="stopped at step 6 of 12"):
        run()
    assert asked == [True]
    # A run that needs nothing more than what is there is finished.
    at, polls = 12, False
    assert run().steps == 12
    seen = [record["seen"] for record in read_metrics(tmp_path / "metrics.jsonl") if "seen" in record]
    assert seen == [3.0, 6.0, 9.0, 12.0]


def test_ctrl_c_that_something_inside_answers_is_the_first_and_the_second_goes_at_once(tmp_path: Path) -> None:
    def inner(evaluation: Evaluation) -> None:
        if evaluation.step == 3:
            with deferred_interrupt() as interrupt:
                os.kill(os.getpid(), signal.SIGINT)
                interrupt.raise_if_requested()

    with pytest.raises(KeyboardInterrupt, match="stopped at step 3 of 12, saved in"):
        fit(make_step(Net()), Numbers(), config=settings(**EVERY_THIRD), evaluate=inner, directory=tmp_path / "one")
    assert kept(tmp_path / "one").steps() == [3]

    def twice(_: Evaluation) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(make_step(Net()), Numbers(), config=settings(**EVERY_THIRD), evaluate=twice, directory=tmp_path / "two")
    assert not str(caught.value)
    assert kept(tmp_path / "two").steps() == []


# Loader processes


class Whence(Numbers):
    """Numbers that say which process fetched them."""

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, torch.Tensor]:
        return super().batch(indices, seeds) | {"process": torch.full((len(indices),), os.getpid())}


class Noting(Net):
    """Notes the processes that fetched validation batches, and their order."""

    def __init__(self) -> None:
        super().__init__(dropout=0.2)
        self.processes: list[set[int]] = []
        self.order: list[float] = []

    def forward(self, process: torch.Tensor, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        if not self.training:
            self.processes.append(set(process.tolist()))
            self.order.append(float(batch["x"][0, 0]))
        return super().forward(**batch)


@pytest.mark.slow
def test_validation_batches_come_from_the_loaders_processes() -> None:
    results = []
    for workers in (0, 2):
        model = Noting()
        alive: list[int] = []
        children = lambda _: alive.append(len(multiprocessing.active_children()))  # noqa: B023, E731
        config = settings(evaluate_every=6, workers=workers, keep_best=False)
        history = fit(make_step(model), Whence(), config=config, validation=Whence(31, shift=1.0), evaluate=children)
        results.append((model.order, without_speeds(history.records), weights_of(make_step(model))))
        used = [set().union(*model.processes[start : start + 4]) for start in (0, 4)]
        if workers == 0:
            assert used == [{os.getpid()}] * 2
        else:
            assert [len(one) for one in used] == [2, 2]
            assert os.getpid() not in used[0] | used[1]
        # Only those of training are there when the caller evaluates; at the end none.
        assert max(alive) <= workers
        assert not multiprocessing.active_children()
    assert results[0][:2] == results[1][:2]
    assert same_bits(results[0][2], results[1][2])
