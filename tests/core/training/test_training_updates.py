"""The arithmetic of updates against a plain loop written out by hand; what stops them; who plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_reference import close, reference
from training_toys import Duel, Net, Numbers, counted, make_step, same_bits, settings, weights_of

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training.data.orders import ExampleOrder
from nlprep.core.training.loop import fit
from nlprep.core.training.records.checkpoints import Checkpoints
from nlprep.core.training.steps.schedule import learning_rate_factor
from nlprep.core.training.steps.step import PlainStep
from nlprep.core.training.steps.updates import NonFiniteError


@pytest.mark.parametrize("changes", [{}, {"clip_norm": 0.05}, {"clip_norm": None, "schedule": "linear", "warmup": 3}])
@pytest.mark.parametrize("micro_batch_size", [None, 4, 3, 1])
def test_training_is_the_equations_whatever_the_parts(changes: dict, micro_batch_size: int | None) -> None:
    config = settings(log_every=1, weight_decay=0.5, **changes)
    weights, records = reference(config)
    step = make_step(Net())
    history = fit(step, Numbers(), config=settings(
        log_every=1, weight_decay=0.5, micro_batch_size=micro_batch_size, **changes))  # fmt: skip
    assert close(weights_of(step), weights)
    for ours, expected in zip(history.records, records, strict=True):
        for name, value in expected.items():
            assert ours[name] == pytest.approx(value, rel=2e-4), name
    assert [record["epoch"] for record in history.records] == pytest.approx([8 * s / 50 for s in range(1, 13)])


@pytest.mark.slow
def test_weights_matter_and_logged_means_are_of_terms() -> None:
    """Parts of unequal weight, averaged as if equal, would come out elsewhere."""
    data, config = Numbers(), settings(micro_batch_size=1, log_every=3)
    careless = PlainStep(Net())
    fit(careless, data, config=config)
    assert not close(weights_of(careless), reference(config)[0])
    history = fit(make_step(Net()), data, config=config)
    order = ExampleOrder(50, 1)
    terms = [counted(data.batch(*order.at(8 * s, 8 * s + 8))) for s in range(12)]
    losses = [record["loss"] for record in reference(config)[1]]
    for index, record in enumerate(history.records):
        window = slice(3 * index, 3 * index + 3)
        assert record["loss"] == pytest.approx(np.average(losses[window], weights=terms[window]), rel=1e-4)


def test_a_batch_without_terms_moves_nothing_but_what_is_remembered() -> None:
    class Empty(Numbers):
        def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict:
            return super().batch(indices, seeds) | {"counts": torch.zeros(len(indices), self.terms, dtype=torch.bool)}

    step = make_step(Net())
    before = weights_of(step)
    history = fit(step, Empty(), config=settings(weight_decay=0.0), validation=Empty(9))
    assert same_bits(weights_of(step), before)
    assert history.last("loss") == history.last("gradient_norm") == 0.0
    assert history.last("validation_loss") == 0.0


def test_settings_of_the_callers_accelerator_change_nothing() -> None:
    from accelerate import Accelerator

    plain, other = make_step(Net()), make_step(Net())
    fit(plain, Numbers(), config=settings())
    fit(other, Numbers(), config=settings(), accelerator=Accelerator(gradient_accumulation_steps=4))
    assert same_bits(weights_of(plain), weights_of(other))


def test_frozen_parameters_stay_and_only_matrices_decay() -> None:
    model = Net()
    model.first.requires_grad_(False)
    before = weights_of(make_step(model))
    config = settings(weight_decay=1.0, schedule="constant", warmup=0, steps=3, learning_rate=1e-2)
    fit(PlainStep(nn.Module.train(model)), Numbers(), config=config)
    after = weights_of(make_step(model))
    assert all(same_bits({n: before[n]}, {n: after[n]}) == ("first" in n) for n in before)
    assert not model.first.weight.requires_grad
    assert model.second.weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    groups = make_step(Net()).make_optimizer("model", config).param_groups
    assert [(group["weight_decay"], {p.dim() for p in group["params"]}) for group in groups] == [(1.0, {2}), (0.0, {1})]


def test_dropout_draws_anew_in_each_step_part_and_turn_and_is_of_the_seed() -> None:
    def draws(seed: int) -> list[list[float]]:
        drawn: list[list[float]] = []

        class Drawing(Duel):
            coupled = False

            def losses(self, player: str, modules: Any, batch: Any, *, moment: Any) -> dict[str, torch.Tensor]:
                drawn.append(torch.rand(4).tolist())
                return super().losses(player, modules, batch, moment=moment)

        config = settings(steps=3, micro_batch_size=4, seed=seed)
        fit(Drawing(), Numbers(), config=config, validation=Numbers(10))
        return drawn

    first = draws(1)
    # Three steps of two turns of two parts; three evaluations of three batches, whose players draw alike each time.
    assert len(first) == 3 * 2 * 2 + 3 * 3 * 2
    trained = [draw for index, draw in enumerate(first) if index % 10 < 4]
    measured = [draw for index, draw in enumerate(first) if index % 10 >= 4]
    assert len({tuple(draw) for draw in trained}) == 12
    assert measured[:6] == measured[6:12] == measured[12:]
    assert len({tuple(draw) for draw in measured}) == 3
    assert draws(1) == first
    assert not {tuple(draw) for draw in draws(2)} & {tuple(draw) for draw in first}


# Stopping


class Poisoned(Net):
    """Its loss or its gradient is bad from a certain call on."""

    def __init__(self, what: str, call: int) -> None:
        super().__init__()
        self.what, self.call, self.calls = what, call, 0

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        losses = super().forward(**batch)
        self.calls += 1
        if self.calls < self.call:
            return losses
        if self.what == "loss":
            return losses | {"loss": losses["loss"] * float("nan")}
        # The root's slope at zero is infinite, and its value is not.
        return losses | {"loss": losses["loss"] + (self.second.bias * 0).sum().abs().sqrt()}


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("micro_batch_size", [None, 2])
@pytest.mark.slow
def test_what_is_not_finite_stops_before_the_update(tmp_path: Path, what: str, micro_batch_size: int | None) -> None:
    config = settings(checkpoint_every=2, micro_batch_size=micro_batch_size)
    expected = make_step(Net())
    fit(expected, Numbers(), config=settings(
        checkpoint_every=2, micro_batch_size=micro_batch_size, steps=12), directory=tmp_path / "whole")  # fmt: skip
    poisoned = make_step(Poisoned(what, 6 if micro_batch_size is None else 5 * 4 + 2), coupled=False)
    with pytest.raises(
        NonFiniteError, match=rf"^the {what} is (nan|inf) at step 6 \(batch 5, positions 40 to 47"
    ) as caught:
        fit(poisoned, Numbers(), config=config, directory=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, NlprepError)
    kept = Checkpoints(tmp_path / "run" / "checkpoints", keep=2)
    # What was good is saved.
    assert kept.steps() == [4, 5]
    assert kept.load_latest().step == 5  # type: ignore[union-attr]
    # The weights are those of five steps: a run that is stopped there has them too.
    five = make_step(Net())
    stopping = _stop_after(five, 5)
    with pytest.raises(KeyboardInterrupt):
        fit(stopping, Numbers(), config=config)
    assert same_bits(weights_of(poisoned), weights_of(five))
    # Mended, the same call goes on.
    mended = make_step(Net())
    fit(mended, Numbers(), config=config, directory=tmp_path / "run")
    assert same_bits(weights_of(mended), weights_of(expected))


def _stop_after(step: PlainStep, steps: int) -> PlainStep:
    import os
    import signal

    turns = step.turns

    def turn(number: int) -> Any:
        if number == steps - 2:  # what is asked in one step is done after the next
            os.kill(os.getpid(), signal.SIGINT)
        return turns(number)

    step.turns = turn  # type: ignore[method-assign]
    return step


def test_a_player_that_is_not_finite_is_named() -> None:
    class Bad(Duel):
        def losses(self, player: str, modules: Any, batch: Any, *, moment: Any) -> dict[str, torch.Tensor]:
            losses = super().losses(player, modules, batch, moment=moment)
            if player == "generator" and len(self.updated) == 5:
                self.before = weights_of(self)
                losses["loss"] = losses["loss"] / 0
            return losses

    step = Bad()
    with pytest.raises(NonFiniteError, match="the loss of the generator is inf at step 3 "):
        fit(step, Numbers(), config=settings())
    assert same_bits(weights_of(step), step.before)
    assert all(p.requires_grad for p in step.generator.parameters())


# Two players


def test_players_take_turns_and_leave_each_other_alone() -> None:
    seen: list[tuple[str, bool, bool]] = []

    class Watched(Duel):
        def losses(self, player: str, modules: Any, batch: Any, *, moment: Any) -> dict[str, torch.Tensor]:
            self.before = weights_of(self)
            self.acting = player
            seen.append((player, self.generator[0].weight.requires_grad, self.discriminator[0].weight.requires_grad))
            return super().losses(player, modules, batch, moment=moment)

        def after_update(self, player: str, *, moment: Any) -> None:
            super().after_update(player, moment=moment)
            assert player == self.acting
            after = weights_of(self)
            for name, value in self.before.items():
                moved = not np.array_equal(value, after[name])
                assert moved == (name.startswith(player) and name != "discriminator.0.bias"), name
            other = self.generator if player == "discriminator" else self.discriminator
            if player == "generator":
                # Nothing was left in the discriminator by the gradient that went through it.
                assert all(p.grad is None or self.kept[n] is p.grad for n, p in other.named_parameters())
            else:
                assert all(p.grad is None for n, p in other.named_parameters()) or len(self.updated) > 2
                self.kept = {n: p.grad for n, p in self.discriminator.named_parameters()}

    step = Watched(discriminator_updates=2, generator_every=3)
    history = fit(step, Numbers(), config=settings(steps=7, log_every=1))
    turn = ["discriminator"] * 2
    assert step.updated == turn * 3 + ["generator"] + turn * 3 + ["generator"] + turn
    assert {(p, g, d) for p, g, d in seen} == {("discriminator", False, True), ("generator", True, False)}
    assert all(p.requires_grad for p in step.generator.parameters())
    frozen = [n for n, p in step.discriminator.named_parameters() if not p.requires_grad]
    assert frozen == ["0.bias"]
    for record in history.records:
        assert {"discriminator_loss", "discriminator_accuracy", "discriminator_gradient_norm"} <= record.keys()
        assert ("generator_loss" in record) == (record["step"] % 3 == 0)


def test_the_losses_of_a_player_are_means_over_its_own_turns() -> None:
    def losses(log_every: int) -> list[float]:
        step = Duel(generator_every=3)
        history = fit(step, Numbers(), config=settings(log_every=log_every))
        return [record["generator_loss"] for record in history.records if "generator_loss" in record]

    singly, together = losses(1), losses(6)
    assert len(singly) == 4
    assert together == pytest.approx([np.mean(singly[:2]), np.mean(singly[2:])])


def test_two_players_are_the_two_loops_one_would_write() -> None:
    config = settings(steps=6)
    hand, step = Duel(), Duel()
    optimizers = {player: hand.make_optimizer(player, config) for player in hand.players}
    order, data = ExampleOrder(50, 1), Numbers()
    for number in range(6):
        batch = data.batch(*order.at(8 * number, 8 * number + 8))
        made = hand.generator(batch["x"].flip(0))
        for player in hand.players:
            if player == "discriminator":
                real, fake = hand.discriminator(batch["x"]), hand.discriminator(made.detach())
                loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
            else:
                loss = nn.functional.softplus(-hand.discriminator(hand.generator(batch["x"].flip(0)))).mean()
            hand.generator.zero_grad()
            hand.discriminator.zero_grad()
            loss.backward()
            parameters = [p for p in hand.players[player].parameters() if p.grad is not None]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            for group in optimizers[player].param_groups:
                group["lr"] = 1e-2 * learning_rate_factor(number, 6, config)
            optimizers[player].step()
    fit(step, data, config=config)
    assert close(weights_of(step), weights_of(hand))


def test_numbers_of_turns_are_checked() -> None:
    with pytest.raises(OptionError, match="generator_every = 0: must be at least 1"):
        Duel(generator_every=0)
    with pytest.raises(OptionError, match="discriminator_updates = -1"):
        Duel(discriminator_updates=-1)
