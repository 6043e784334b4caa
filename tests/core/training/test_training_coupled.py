"""Losses that couple the examples of a batch: the same in parts as whole, or refused."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from training_toys import (
    Drifting,
    Duel,
    Net,
    Numbers,
    Pairing,
    make_step,
    pairing_loss,
    pairing_step,
    same_bits,
    settings,
)
from training_toys import weights_of as bits_of

from nlprep.core.errors import OptionError
from nlprep.core.randomness import combine
from nlprep.core.training.data.examples import ExampleOrder, validation_seeds
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.coupled import CoupledStep, PlainCoupledStep, ValidationWindows
from nlprep.core.training.steps.parts import BatchStatisticsWarning
from nlprep.core.training.steps.players import COUPLING, DROPOUT
from nlprep.core.training.steps.step import Batch, Moment, make_adamw

EXACT = {"rtol": 1e-12, "atol": 1e-13}
PLAIN = {"schedule": "constant", "warmup": 0, "clip_norm": None, "log_every": 1, "steps": 5}


def by_hand(model: nn.Module, config: Any, *, parts: int, loss: Any = pairing_loss) -> list[float]:
    """What should come out, with the graphs of all parts kept until the loss of the whole batch is known."""
    order, data = ExampleOrder(50, config.seed), Numbers()
    optimizer = make_adamw(model, config)
    losses = []
    for step in range(config.steps):
        size = config.batch_size // parts
        embedded = []
        for part in range(parts):
            start = step * config.batch_size + part * size
            torch.manual_seed(int(combine(config.seed, DROPOUT, step, 0, part, 0)))
            embedded.append(model(**data.batch(*order.at(start, start + size))))
        whole = {
            name: torch.cat([part[name] for part in embedded]) if first.dim() else first
            for name, first in embedded[0].items()
        }
        torch.manual_seed(int(combine(config.seed, COUPLING, step, 0)))
        found = loss(**whole)["loss"]
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        losses.append(found.item())
    return losses


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("micro_batch_size", [None, 4, 1])
@pytest.mark.slow
def test_parts_give_the_loss_and_the_gradient_of_the_whole_batch(dropout: float, micro_batch_size: int | None) -> None:
    config = settings(**PLAIN, micro_batch_size=micro_batch_size)
    expected = Pairing(dropout=dropout)
    with torch.random.fork_rng():
        losses = by_hand(expected, config, parts=8 // (micro_batch_size or 8))
    model = Pairing(dropout=dropout)
    history = fit(pairing_step(model), Numbers(), config=config)
    assert [record["loss"] for record in history.records] == pytest.approx(losses, rel=1e-6)
    assert {record["examples"] for record in history.records} == {8.0}
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, **EXACT)
    if dropout == 0:
        whole = Pairing()
        by_hand(whole, config, parts=1)
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], value, **EXACT)


def test_parts_have_the_loss_of_the_whole_or_are_refused() -> None:
    """The mean of the parts' losses, which a loop that knows nothing of coupling makes of them, would be another."""

    class Uncoupled(Pairing):
        def forward(self, **batch: torch.Tensor) -> Batch:  # type: ignore[override]
            return pairing_loss(**super().forward(**batch))

    def first_loss(step: Any, size: int | None) -> float:
        return fit(step, Numbers(), config=settings(**PLAIN, micro_batch_size=size)).records[0]["loss"]

    whole = first_loss(pairing_step(Pairing()), None)
    assert whole > 0.5
    assert first_loss(make_step(Uncoupled()), None) == pytest.approx(whole, rel=1e-6)
    with pytest.raises(OptionError, match="couples the examples"):
        first_loss(make_step(Uncoupled()), 1)
    assert first_loss(pairing_step(Pairing()), 1) == pytest.approx(whole, rel=1e-6)


def classify(codes: torch.Tensor, truth: torch.Tensor) -> Batch:
    """A correlation of the batch's columns, and integers that are gathered with them."""
    noise = 0.01 * torch.rand(3, dtype=torch.float64)
    spread = (codes - codes.mean(0)).T @ (codes - codes.mean(0)) / len(codes)
    return {"loss": ((spread - torch.eye(3) * (1 + noise)) ** 2).sum() + cross_entropy(codes, truth)}


def test_both_passes_meet_the_same_buffers_and_the_loss_is_random_but_once() -> None:
    config = settings(**PLAIN, micro_batch_size=2)
    expected = Drifting()
    with torch.random.fork_rng():
        by_hand(expected, config, parts=4, loss=classify)
    model = Drifting()
    fit(PlainCoupledStep(model, classify), Numbers(), config=config)
    assert int(model.calls) == 5 * 4
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, **EXACT)


class Small(Pairing):
    def forward(self, **batch: torch.Tensor) -> Batch:  # type: ignore[override]
        if len(batch["x"]) > 2 and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return super().forward(**batch)


def test_halving_divides_what_is_embedded_and_not_the_loss() -> None:
    asked, halved = Pairing(dropout=0.3), Small(dropout=0.3)
    fit(pairing_step(asked), Numbers(), config=settings(**PLAIN, micro_batch_size=2))
    fit(pairing_step(halved), Numbers(), config=settings(**PLAIN, halve_on_out_of_memory=True))
    assert same_bits(bits_of(pairing_step(halved)), bits_of(pairing_step(asked)))


def test_a_step_made_again_begins_with_the_buffers_it_began_with() -> None:
    class Counting(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

        def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            self.calls += 1
            if len(batch["x"]) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(**batch)

    model = Counting()
    fit(make_step(model), Numbers(), config=settings(steps=3, halve_on_out_of_memory=True))
    assert int(model.calls) == 3 * 4


def test_several_players_may_be_coupled() -> None:
    class Coupled(CoupledStep):
        """Two encoders that take turns at a contrast of one with the other."""

        def __init__(self) -> None:
            torch.manual_seed(0)
            self.models = {"one": nn.Linear(4, 5).double(), "other": nn.Linear(3, 5).double()}
            self.seen: set[tuple[str, int]] = set()

        @property
        def players(self) -> Any:
            return self.models

        def embed(self, player: str, modules: Any, batch: Batch, *, moment: Moment) -> Batch:
            assert not modules["other" if player == "one" else "one"].weight.requires_grad
            return {"first": modules["one"](batch["x"].double()), "second": modules["other"](batch["y"].double())}

        def couple(self, player: str, embeddings: Any, *, moment: Moment) -> Any:
            self.seen.add((player, moment.step))
            return pairing_loss(**embeddings, temperature=torch.tensor(0.5), counts=torch.ones(8, dtype=torch.bool))

    whole, parts = Coupled(), Coupled()
    fit(whole, Numbers(), config=settings(**PLAIN))
    history = fit(parts, Numbers(), config=settings(**PLAIN, micro_batch_size=2))
    assert parts.seen == whole.seen == {(player, step) for player in ("one", "other") for step in range(5)}
    for name, value in bits_of(whole).items():
        np.testing.assert_allclose(bits_of(parts)[name], value, **EXACT)
    assert {"one_loss", "other_loss"} <= history.records[0].keys()


def test_parts_are_right_under_bf16_too() -> None:
    losses = [
        fit(pairing_step(Pairing().float()), Numbers(), config=settings(precision="bf16", micro_batch_size=size)).last(
            "loss"
        )
        for size in (None, 2)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_loss_with_parameters_of_its_own_is_a_mistake_that_shows() -> None:
    temperature = nn.Parameter(torch.tensor(0.5))
    step = PlainCoupledStep(
        Pairing(), lambda first, second, **_: {"loss": ((first - second) ** 2).mean() / temperature}
    )
    with pytest.raises(ValueError, match="return them, as scalars, among the embeddings"):
        fit(step, Numbers(), config=settings(**PLAIN))


# What is refused


@pytest.mark.slow
def test_a_coupled_loss_that_cannot_be_divided_is_refused_and_the_setting_named(tmp_path: Path) -> None:
    def declared() -> Any:
        step = make_step(Net())
        step.coupled = True
        return step

    for changes, named in (
        ({"micro_batch_size": 3}, "micro_batch_size = 2: the losses of PlainStep couple the examples of a batch"),
        ({"halve_on_out_of_memory": True}, "halve_on_out_of_memory: the losses of PlainStep couple"),
    ):
        with pytest.raises(OptionError, match=named) as caught:
            fit(declared(), Numbers(), config=settings(**changes))
        assert "\n" not in str(caught.value)
    whole, plain = declared(), make_step(Net())
    fit(whole, Numbers(), config=settings(micro_batch_size=8), validation=Numbers(9))
    fit(plain, Numbers(), config=settings(), validation=Numbers(9))
    assert same_bits(bits_of(whole), bits_of(plain))
    # A checkpoint that remembers parts does not bring them back.
    fit(make_step(Net()), Numbers(), config=settings(), directory=tmp_path)
    _remember_parts(tmp_path, 4)
    with pytest.raises(OptionError, match="micro_batch_size = 2: the losses of PlainStep couple"):
        fit(declared(), Numbers(), config=settings(steps=13), directory=tmp_path)


def _remember_parts(run: Path, parts: int) -> None:
    from nlprep.core.training.records import checkpoints

    place = run / "checkpoints" / "step-000000012"
    state = json.loads((place / "state.json").read_text())
    state.pop("checksum")
    state["values"]["parts"] = parts
    sealed = checkpoints._Sealed(state, checkpoints._checksum(place / "state.safetensors"))
    (place / "state.json").write_bytes(sealed.to_json())


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(16)


def test_batch_norm_in_parts_is_warned_of_and_never_halved() -> None:
    with pytest.warns(BatchStatisticsWarning, match=r"model\.norm is a batch norm: its statistics are those of 2 exam"):
        fit(make_step(Normed()), Numbers(), config=settings(steps=1, micro_batch_size=2))
    with pytest.raises(OptionError, match=r"halve_on_out_of_memory: model\.norm is a batch norm"):
        fit(make_step(Normed()), Numbers(), config=settings(steps=1, halve_on_out_of_memory=True))

    class Fixed(Normed):
        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.norm.eval()
            return self

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(make_step(Normed()), Numbers(), config=settings(steps=1))
        fit(make_step(Fixed()), Numbers(), config=settings(steps=1, micro_batch_size=2, halve_on_out_of_memory=True))
        fit(Duel(), Numbers(), config=settings(steps=1, micro_batch_size=2))


# Validation


@pytest.mark.parametrize("micro_batch_size", [None, 3, 1])
def test_validation_batches_are_whole_and_of_one_size(micro_batch_size: int | None) -> None:
    step = pairing_step(Pairing(dropout=0.5))
    config = settings(**PLAIN, micro_batch_size=micro_batch_size, keep_best=False)
    history = fit(step, Numbers(), config=config, validation=Numbers(11, shift=1.0))
    expected = 0.0
    with torch.no_grad():
        for first, last, fresh in ((0, 8, 8), (3, 11, 3)):
            indices = np.arange(first, last)
            batch = Numbers(11, shift=1.0).batch(indices, validation_seeds(1, indices))
            expected += pairing_loss(**step.module(**batch))["loss"].item() * fresh / 11
    assert history.last("validation_loss") == pytest.approx(expected, rel=1e-6)
    assert history.last("validation_examples") == 8.0


@pytest.mark.parametrize("count", [1, 5, 8, 9, 13, 16, 17])
@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("part_size", [1, 2])
def test_windows_hold_every_example_and_weigh_it_once(count: int, processes: int, part_size: int) -> None:
    class Indices:
        def __len__(self) -> int:
            return count

        def batch(self, indices: np.ndarray, seeds: np.ndarray) -> Any:
            return indices.tolist()

    shares = [
        ValidationWindows(Indices(), seed=1, batch_size=8, part_size=part_size, rank=rank, world_size=processes)
        for rank in range(processes)
    ]
    arriving = [iter(share) for share in shares]
    weight, seen = 0.0, set()
    for number, window in enumerate(shares[0].windows):
        held = []
        for share, parts in zip(shares, arriving, strict=True):
            assert share.windows[number].fresh == window.fresh
            for _ in range(share.windows[number].parts):
                part = next(parts)
                assert 1 <= len(part) <= part_size
                held += part
        assert held == list(range(held[0], held[0] + min(8, count)))
        assert len(set(held) - seen) == round(window.fresh * len(held))
        seen |= set(held)
        weight += window.fresh * len(held)
    assert all(next(parts, None) is None for parts in arriving)
    assert seen == set(range(count))
    assert weight == pytest.approx(count)


def test_the_example_in_the_documentation_runs() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    (program,) = [block.split("```")[0] for block in page.split("```python\n") if "class TwoViews" in block]
    names: dict[str, Any] = {"torch": torch, "encoder": nn.Linear(4, 3)}
    exec(program, names)

    class Views(Numbers):
        def batch(self, indices: np.ndarray, seeds: np.ndarray) -> Batch:
            return {name: super(Views, self).batch(indices, seeds + place)["x"] for place, name in VIEWS}

    history = fit(names["step"], Views(), config=settings(steps=2, micro_batch_size=2))
    assert math.isfinite(history.last("loss"))


VIEWS = list(enumerate(("first", "second")))
