"""Evaluation, the best weights, patience; progress and trackers."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_toys import Duel, Net, Numbers, make_step, same_bits, settings, weights_of, without_speeds

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training.data.examples import validation_seeds
from nlprep.core.training.evaluation import Evaluation
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import CheckpointWarning
from nlprep.core.training.records.journal import read_metrics
from nlprep.core.training.steps.step import PlainStep


def test_the_validation_loss_is_the_mean_over_all_terms() -> None:
    held_out = Numbers(13, shift=1.0)
    step = make_step(Net(dropout=0.5))
    history = fit(step, Numbers(), config=settings(micro_batch_size=4, keep_best=False), validation=held_out)
    indices = np.arange(13)
    with torch.no_grad():
        expected = step.module(**held_out.batch(indices, validation_seeds(1, indices)))
    assert history.last("validation_loss") == pytest.approx(float(expected["loss"]), rel=1e-5)
    assert history.last("validation_size") is not None
    evaluated = [record["step"] for record in history.records if "validation_loss" in record]
    assert evaluated == [2, 4, 6, 8, 10, 12]


@pytest.mark.slow
def test_evaluation_does_not_disturb_training(tmp_path: Path) -> None:
    modes = []

    class Watched(Net):
        def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            modes.append((self.training, self.dropout.training, torch.is_grad_enabled()))
            return super().forward(**batch)

    def evaluate(_: Evaluation) -> dict[str, float]:
        torch.manual_seed(0)
        assert not step.module.training
        assert not torch.is_grad_enabled()
        return {"norm": float(step.module.first.weight.norm())}

    alone = make_step(Net(dropout=0.3))
    fit(alone, Numbers(), config=settings())
    step = make_step(Watched(dropout=0.3))
    history = fit(
        step,
        Numbers(),
        config=settings(evaluate_every=1, keep_best=False, checkpoint_every=1),
        validation=Numbers(5),
        evaluate=evaluate,
        directory=tmp_path,
    )
    assert same_bits(weights_of(step), weights_of(alone))
    assert modes == [(True, True, True), (False, False, False)] * 12
    assert not step.module.training
    assert len([record for record in history.records if "norm" in record]) == 12


class Worsening(Net):
    """Its validation loss is a given sequence, whatever it learns."""

    def __init__(self, *losses: float, start: int = 0) -> None:
        super().__init__()
        self.sequence, self.place = losses, start

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        losses = super().forward(**batch)
        if not self.training:
            losses = {"loss": torch.tensor(self.sequence[self.place])}
            self.place += 1
        return losses


def after(steps: int) -> dict[str, np.ndarray]:
    step = make_step(Net())
    fit(step, Numbers(), config=settings(steps=steps, schedule="constant", warmup=0))
    return weights_of(step)


CONSTANT = {"schedule": "constant", "warmup": 0, "evaluate_every": 3}


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.slow
def test_a_run_ends_with_its_best_weights(tmp_path: Path, on_disk: bool) -> None:
    directory = tmp_path if on_disk else None
    step = make_step(Worsening(3.0, 1.0, 2.0, 1.0))
    history = fit(step, Numbers(), config=settings(**CONSTANT), validation=Numbers(8), directory=directory)
    assert (history.best_step, history.best_loss) == (6, 1.0)
    assert same_bits(weights_of(step), after(6))
    last = make_step(Worsening(3.0, 1.0, 2.0, 1.0))
    fit(last, Numbers(), config=settings(**CONSTANT, keep_best=False), validation=Numbers(8))
    assert same_bits(weights_of(last), after(12))
    if not on_disk:
        return
    # Called again, and in a run that goes on from the last weights without another that is better.
    again = make_step(Worsening())
    assert fit(again, Numbers(), config=settings(**CONSTANT), validation=Numbers(8), directory=directory).best_step == 6
    assert same_bits(weights_of(again), after(6))
    more = make_step(Worsening(1.5))
    longer = settings(**CONSTANT, steps=15)
    assert fit(more, Numbers(), config=longer, validation=Numbers(8), directory=directory).best_step == 6
    assert same_bits(weights_of(more), after(6))
    # Lost, they are not silently other ones.
    (tmp_path / "checkpoints" / "best" / "state.json").write_text("{}")
    with pytest.warns(CheckpointWarning, match="best: the checkpoint is damaged; the last weights are kept instead"):
        fit(more, Numbers(), config=longer, validation=Numbers(8), directory=directory)
    assert same_bits(weights_of(more), after(15))


def test_a_criterion_decides_instead_of_the_loss() -> None:
    step = make_step(Worsening(1.0, 2.0, 3.0, 4.0))
    criteria = iter([3.0, 2.0, 1.0, 2.0])

    def evaluate(_: Evaluation) -> dict[str, float]:
        return {"criterion": next(criteria)}

    history = fit(step, Numbers(), config=settings(**CONSTANT), validation=Numbers(8), evaluate=evaluate)
    assert (history.best_step, history.best_loss) == (9, 1.0)
    assert same_bits(weights_of(step), after(9))


def test_a_validation_loss_that_is_no_number_is_never_the_best() -> None:
    nan, inf = float("nan"), float("inf")
    step = make_step(Worsening(nan, inf, 2.0, nan))
    history = fit(step, Numbers(), config=settings(**CONSTANT), validation=Numbers(8))
    assert (history.best_step, history.best_loss) == (9, 2.0)
    assert same_bits(weights_of(step), after(9))
    never = make_step(Worsening(nan, nan, nan, nan))
    history = fit(never, Numbers(), config=settings(**CONSTANT, patience=3), validation=Numbers(8))
    assert (history.best_step, history.steps) == (None, 9)
    assert [record["validation_loss"] for record in history.records if "validation_loss" in record] == [None] * 3


@pytest.mark.slow
def test_patience_ends_a_run_and_is_remembered(tmp_path: Path) -> None:
    config = settings(**CONSTANT, steps=30, patience=2, checkpoint_every=3)
    whole = make_step(Worsening(3.0, 1.0, 1.0, 2.0, 0.5))
    history = fit(whole, Numbers(), config=config, validation=Numbers(8), directory=tmp_path / "whole")
    assert (history.steps, history.best_step) == (12, 6)
    assert same_bits(weights_of(whole), after(6))
    assert fit(whole, Numbers(), config=config, validation=Numbers(8), directory=tmp_path / "whole").steps == 12

    class Stopping(Worsening):
        def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            if self.training and self.place == 3:
                raise KeyboardInterrupt
            return super().forward(**batch)

    with pytest.raises(KeyboardInterrupt):
        fit(make_step(Stopping(3.0, 1.0, 1.0)), Numbers(), config=config, validation=Numbers(8), directory=tmp_path)
    resumed = make_step(Worsening(2.0, 0.5))
    history = fit(resumed, Numbers(), config=config, validation=Numbers(8), directory=tmp_path)
    assert (history.resumed_from, history.steps, history.best_step) == (9, 12, 6)
    assert same_bits(weights_of(resumed), after(6))


def test_an_evaluation_of_the_callers_may_decide() -> None:
    answers = iter([0.5, 0.25, 0.75, 1.0])
    step = make_step(Net())
    history = fit(step, Numbers(), config=settings(**CONSTANT), evaluate=lambda _: {"validation_loss": next(answers)})
    assert history.best_step == 6
    assert same_bits(weights_of(step), after(6))
    duel = Duel()
    history = fit(duel, Numbers(), config=settings(), validation=Numbers(7))
    assert history.best_step is None
    assert {"validation_generator_loss", "validation_discriminator_accuracy"} <= history.records[-1].keys()


def test_examples_there_must_be() -> None:
    with pytest.raises(NlprepError, match="there are no examples to train on"):
        fit(make_step(Net()), Numbers(0), config=settings())
    with pytest.raises(NlprepError, match="there are no validation examples"):
        fit(make_step(Net()), Numbers(), config=settings(), validation=Numbers(0))


def test_fewer_examples_than_a_batch_do(tmp_path: Path) -> None:
    assert fit(make_step(Net()), Numbers(3), config=settings(workers=2), directory=tmp_path).steps == 12


def test_progress_tells_step_loss_rate_and_speed() -> None:
    told: list[Any] = []

    class Task:
        def advance(self, amount: float = 1) -> None:
            told.append(amount)

        def describe(self, message: str) -> None:
            told.append(message)

    class Progress:
        @contextmanager
        def task(self, description: str, total: float | None = None):
            told.append((description, total))
            yield Task()

    step = PlainStep(Net(), unit="terms")
    fit(step, Numbers(), config=settings(steps=4), progress=Progress())
    assert told[0] == ("training", 4)
    assert sum(amount for amount in told if isinstance(amount, int)) == 4
    messages = [message for message in told if isinstance(message, str)]
    assert len(messages) == 2
    for message in messages:
        assert all(word in message for word in ("step ", "loss ", "lr ", " terms/s"))


def test_trackers_get_what_is_recorded(tmp_path: Path) -> None:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

    class Notebook(GeneralTracker):
        name = "notebook"
        requires_logging_directory = False
        main_process_only = True

        def __init__(self) -> None:
            super().__init__()
            self.settings: dict[str, Any] = {}
            self.logged: list[dict[str, Any]] = []
            self.finished = 0

        @property
        def tracker(self) -> None:
            return None

        def store_init_configuration(self, values: dict) -> None:
            self.settings = values

        def log(self, values: dict, step: int | None = None, **_: Any) -> None:
            self.logged.append({"step": step, **values})

        def finish(self) -> None:
            self.finished += 1

    notebook = Notebook()
    accelerator = Accelerator(log_with=notebook)
    history = fit(
        make_step(Net()),
        Numbers(),
        config=settings(),
        validation=Numbers(5),
        directory=tmp_path,
        accelerator=accelerator,
    )
    assert notebook.logged == history.records
    assert without_speeds(notebook.logged) == without_speeds(read_metrics(tmp_path / "metrics.jsonl"))
    assert notebook.settings["learning_rate"] == 1e-2
    assert None not in notebook.settings.values()
    assert notebook.finished == 1
    accelerator = Accelerator(log_with=[another := Notebook()])
    with pytest.raises(KeyboardInterrupt):
        fit(make_step(_Interrupting()), Numbers(), config=settings(), accelerator=accelerator)
    assert another.finished == 1


class _Interrupting(Net):
    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        raise KeyboardInterrupt


def test_trackers_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="tracker = 'abacus'"):
        fit(make_step(Net()), Numbers(), config=settings(tracker="abacus"), directory=tmp_path)
    from accelerate.tracking import get_available_trackers

    missing = next(name for name in ("dvclive", "aim", "comet_ml") if name not in map(str, get_available_trackers()))
    with pytest.raises(OptionError, match=f"tracker = '{missing}': its package is not installed"):
        fit(make_step(Net()), Numbers(), config=settings(tracker=missing), directory=tmp_path)


@pytest.mark.slow
def test_the_example_in_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["history"].steps == 400
    assert names["history"].best_loss < 0.05
    again: dict[str, Any] = {}
    exec(program, again)
    assert again["history"].resumed_from == 400
    assert again["history"].best_loss == names["history"].best_loss
