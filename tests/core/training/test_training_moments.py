"""Steps know the step: schedules, momentum encoders, what is set from the first batch, and averages of weights."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_toys import ActNorm, ActNormStep, Duel, Net, Numbers, counted, make_step, same_bits, settings, weights_of

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training.data.examples import ExampleOrder, validation_seeds
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import Checkpoints
from nlprep.core.training.steps.step import Batch, Moment, PlainStep


class Witness(Duel):
    """Notes when it was asked what."""

    coupled = False

    def __init__(self, **rates: int) -> None:
        super().__init__(**rates)
        self.asked: list[tuple[str, str, Moment]] = []

    def losses(self, player: str, modules: Any, batch: Batch, *, moment: Moment) -> dict[str, torch.Tensor]:
        self.asked.append(("losses" if modules["generator"].training else "validation", player, moment))
        return super().losses(player, modules, batch, moment=moment)

    def after_update(self, player: str, *, moment: Moment) -> None:
        self.asked.append(("after_update", player, moment))


def test_losses_and_updates_know_the_step_whatever_turns_parts_and_restarts(tmp_path: Path) -> None:
    def calls(steps: range, total: int) -> list[tuple[str, str, Moment]]:
        expected = []
        for step in steps:
            for player in ["discriminator"] * 2 + ["generator"] * (step % 2):
                expected += [("losses", player, Moment(step, total))] * 4 + [
                    ("after_update", player, Moment(step, total))
                ]
            expected += [
                ("validation", player, Moment(step + 1, total))
                for player in ("discriminator", "generator")
                if step + 1 in (2, 4, total)
            ]
        return expected

    step = Witness(discriminator_updates=2, generator_every=2)
    config = {"micro_batch_size": 2, "evaluate_every": 2}
    fit(step, Numbers(), config=settings(steps=3, **config), directory=tmp_path, validation=Numbers(2))
    assert step.asked == calls(range(3), 3)
    # It goes on, and is longer now.
    step.asked = []
    fit(step, Numbers(), config=settings(steps=5, **config), directory=tmp_path, validation=Numbers(2))
    assert step.asked == calls(range(3, 5), 5)


def test_progress_is_a_share_of_the_run() -> None:
    assert [Moment(step, 4).progress for step in range(5)] == [0, 0.25, 0.5, 0.75, 1]


class Scheduled(Net):
    def forward(self, kl_weight: torch.Tensor, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        assert kl_weight.dim() == 0
        losses = super().forward(**batch)
        return {"loss": losses["loss"] + kl_weight * self.second.weight.square().sum(), "kl_weight": kl_weight}


def test_a_plain_module_is_given_what_is_scheduled() -> None:
    step = PlainStep(Scheduled(), weight=counted, schedules={"kl_weight": lambda moment: 2 * moment.progress})
    history = fit(step, Numbers(), config=settings(log_every=1, micro_batch_size=4), validation=Numbers(9))
    weights = [record["kl_weight"] for record in history.records if "kl_weight" in record]
    assert weights == pytest.approx([2 * step / 12 for step in range(12)], rel=1e-6)
    weights = [record["validation_kl_weight"] for record in history.records if "validation_kl_weight" in record]
    assert weights == pytest.approx([2 * step / 12 for step in (2, 4, 6, 8, 10, 12)], rel=1e-6)


class Momentum(nn.Module):
    """A network and a slow copy of it, whose prediction it learns as well."""

    def __init__(self) -> None:
        super().__init__()
        self.online = Net(dropout=0.2)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        apart = (self.online.first(batch["x"]) - self.target.first(batch["x"])).square().mean()
        return {"loss": self.online(**batch)["loss"] + apart}


class MomentumStep(PlainStep):
    """The momentum rises from 0.9 to 1 as in BYOL (Grill et al. 2020, section 3.2)."""

    @torch.no_grad()
    def after_update(self, player: str, *, moment: Moment) -> None:
        rate = 1 - 0.1 * (math.cos(math.pi * moment.progress) + 1) / 2
        for slow, fast in zip(self.module.target.parameters(), self.module.online.parameters(), strict=True):
            slow.mul_(rate).add_(fast, alpha=1 - rate)


def test_a_step_may_keep_a_momentum_encoder_whose_rate_it_schedules(tmp_path: Path) -> None:
    whole = MomentumStep(Momentum(), weight=counted)
    fit(whole, Numbers(), config=settings())
    start = dict(Momentum().named_parameters())
    assert not torch.equal(whole.module.target.first.weight, start["target.first.weight"])
    assert not torch.equal(whole.module.target.first.weight, whole.module.online.first.weight)
    config = settings(checkpoint_every=3)
    interrupted = MomentumStep(Momentum(), weight=counted)
    interrupted.turns = lambda step: 1 / 0 if step == 7 else ("model",)  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        fit(interrupted, Numbers(), config=config, directory=tmp_path)
    again = MomentumStep(Momentum(), weight=counted)
    assert fit(again, Numbers(), config=config, directory=tmp_path).resumed_from in (6, 7)
    assert same_bits(weights_of(again), weights_of(whole))


# From the first batch


@pytest.mark.slow
def test_the_whole_first_batch_sets_what_depends_on_data_once(tmp_path: Path) -> None:
    indices, seeds = ExampleOrder(50, 1).at(0, 8)
    x = Numbers().batch(indices, seeds)["x"]
    begun = []
    for parts in (None, 2, 1):
        step = ActNormStep(ActNorm())
        fit(step, Numbers(), config=settings(micro_batch_size=parts), validation=Numbers(5))
        begun.append(step.module.begun.numpy())
        assert begun[-1].tobytes() == begun[0].tobytes()
    np.testing.assert_allclose(begun[0][0], -x.mean(0), atol=0.05)
    np.testing.assert_allclose(begun[0][1], 1 / x.std(0), rtol=1e-5)
    np.testing.assert_array_equal(begun[0][2], 8.0)
    assert not np.allclose(step.module.scale.detach(), begun[0][1])
    # Neither a run that goes on nor a step that is made again in halves does it anew.
    for steps in (2, 4):
        step = ActNormStep(ActNorm())
        fit(step, Numbers(), config=settings(steps=steps), directory=tmp_path)
        assert step.module.begun.numpy().tobytes() == begun[0].tobytes()
    other = ActNormStep(ActNorm())
    fit(other, Numbers(), config=settings(seed=2))
    assert other.module.begun.numpy().tobytes() != begun[0].tobytes()


def test_what_was_set_is_not_set_anew_when_memory_runs_out() -> None:
    class Small(ActNorm):
        def forward(self, x: torch.Tensor, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            if len(x) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x, **batch)

    step, asked = ActNormStep(Small()), ActNormStep(ActNorm())
    fit(step, Numbers(), config=settings(halve_on_out_of_memory=True))
    fit(asked, Numbers(), config=settings(micro_batch_size=2))
    assert same_bits(weights_of(step), weights_of(asked))

    class Greedy(ActNormStep):
        def initialize(self, modules: Any, batch: Batch) -> None:
            raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(NlprepError, match="memory ran out while the step was initialised from all 8 examples"):
        fit(Greedy(ActNorm()), Numbers(), config=settings())


# Averages of weights


class Recorded(PlainStep):
    """Notes its weights after each update."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, weight=counted)
        self.weights: list[dict[str, np.ndarray]] = []

    def after_update(self, player: str, *, moment: Moment) -> None:
        self.weights.append(weights_of(self))


class Buffered(Net):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.register_buffer("calls", torch.zeros(()))
        self.second.bias.requires_grad_(False)

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        self.calls += self.training
        return super().forward(**batch)


def slow_average(first: dict[str, np.ndarray], weights: list[dict[str, np.ndarray]], decay: float) -> Any:
    average = {name: value.astype(np.float64) for name, value in first.items()}
    for number, now in enumerate(weights, start=1):
        rate = min(decay, (1 + number) / (10 + number))
        average = {name: rate * value + (1 - rate) * now[name] for name, value in average.items()}
    return average | {"model.calls": weights[-1]["model.calls"], "model.second.bias": first["model.second.bias"]}


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_averages_are_the_slow_ones_and_what_is_evaluated_and_kept(decay: float) -> None:
    step = Recorded(Buffered(dropout=0.2))
    before = weights_of(step)
    seen = []

    def evaluate(_: object) -> dict[str, float]:
        seen.append(weights_of(step))
        return {}

    held = Numbers(9, shift=1.0)
    config = settings(average=decay, evaluate_every=3, keep_best=False)
    history = fit(step, Numbers(), config=config, validation=held, evaluate=evaluate)
    for number, found in zip((3, 6, 9, 12), seen, strict=True):
        for name, value in slow_average(before, step.weights[:number], decay).items():
            np.testing.assert_allclose(found[name], value, atol=1e-6)
    assert same_bits(weights_of(step), seen[-1])
    assert not np.allclose(seen[-1]["model.first.weight"], step.weights[-1]["model.first.weight"], atol=1e-4)
    indices = np.arange(9)
    with torch.no_grad():
        expected = step.module.eval()(**held.batch(indices, validation_seeds(1, indices)))
    assert history.last("validation_loss") == pytest.approx(float(expected["loss"]), rel=1e-5)
    # The weights that are trained know nothing of it.
    plain = Recorded(Buffered(dropout=0.2))
    fit(plain, Numbers(), config=settings())
    assert all(same_bits(one, other) for one, other in zip(step.weights, plain.weights, strict=True))


class Drifting(nn.Module):
    """A weight that grows by a twentieth with every step, before batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm1d(1, affine=False, momentum=0.5)

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.norm(self.logarithm.exp() * (x[:, :1] + 2))
        return found

    def forward(self, x: torch.Tensor, **_: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": 0 * self.normalised(x).sum() - self.logarithm.sum()}


@pytest.mark.parametrize("on_disk", [False, True])
def test_statistics_of_batch_norm_are_those_of_the_averaged_weights(tmp_path: Path, on_disk: bool) -> None:
    step = make_step(Drifting())
    values = {"steps": 60, "learning_rate": 0.05, "schedule": "constant", "warmup": 0.0, "micro_batch_size": None}
    fit(step, Numbers(), config=settings(**values, average=0.95), directory=tmp_path if on_disk else None)
    model = step.module.eval()
    # The average lags behind the last weight, which is 3: statistics of that would normalise to a mean of about -0.6.
    assert 2 < model.logarithm.item() < 2.8
    with torch.no_grad():
        normalised = model.normalised(Numbers().batch(np.arange(50), np.zeros(50, np.uint64))["x"])
    assert float(normalised.mean().abs()) < 0.5
    assert 0.75 < float(normalised.std()) < 1.25


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_best_averages_are_kept(tmp_path: Path, on_disk: bool) -> None:
    step = make_step(Net())
    answers = iter([3.0, 1.0, 2.0, 4.0])
    seen = []

    def evaluate(_: object) -> dict[str, float]:
        seen.append(weights_of(step))
        return {"criterion": next(answers)}

    config = settings(average=0.9, evaluate_every=3)
    directory = tmp_path if on_disk else None
    fit(step, Numbers(), config=config, evaluate=evaluate, directory=directory)
    assert same_bits(weights_of(step), seen[1])
    if on_disk:
        again = make_step(Net(seed=3))
        fit(again, Numbers(), config=config, evaluate=evaluate, directory=directory)
        assert same_bits(weights_of(again), seen[1])
        # The trained weights are in the checkpoint, the averages beside them.
        checkpoint = Checkpoints(tmp_path / "checkpoints", keep=2).load_latest()
        assert checkpoint is not None
        kept = checkpoint.tensors["average.model.first.weight"].numpy()
        assert kept.tobytes() == seen[3]["model.first.weight"].tobytes()
        assert kept.tobytes() != checkpoint.tensors["module.model.first.weight"].numpy().tobytes()
        with pytest.raises(OptionError, match=r"made with average = 0.9, now 0.0"):
            fit(again, Numbers(), config=settings(evaluate_every=3), directory=directory)


def test_an_average_begins_with_what_the_first_batch_set() -> None:
    step = ActNormStep(ActNorm())
    fit(step, Numbers(), config=settings(steps=1, average=0.9, learning_rate=1e-9))
    np.testing.assert_allclose(step.module.scale.detach(), step.module.begun[1], rtol=1e-5)


def test_the_memory_of_an_average_is_checked() -> None:
    with pytest.raises(OptionError, match=r"average = 1.0: must be below 1"):
        settings(average=1)
    with pytest.raises(OptionError, match=r"average = -0.1: must be at least 0"):
        settings(average=-0.1)
