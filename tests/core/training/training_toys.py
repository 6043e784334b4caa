"""Small models and data for the tests of the training loop, and processes that can be killed.

``python training_toys.py SCENARIOS.json`` imports torch once and forks a process for each life of each scenario, so
that dozens of real kills take seconds. ``python training_toys.py together FOLDER`` trains in two processes, which it
forks and tells who they are as torchrun would.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nlprep.core.randomness import uniforms
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.data.orders import ShardOrder
from nlprep.core.training.evaluation import Assessment, Evaluation
from nlprep.core.training.loop import History, fit
from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.core.training.steps.step import Batch, Moment, PlainStep, TwoPlayerStep
from nlprep.objectives.info_nce import info_nce


class Numbers:
    """Rows to fit, whose noise and whose terms are functions of their seeds."""

    def __init__(self, count: int = 50, *, terms: int = 3, noise: float = 0.01, shift: float = 0.0) -> None:
        self.count, self.terms, self.noise, self.shift = count, terms, noise, shift

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> Batch:
        x = np.sin(indices[:, None] * np.arange(1, 5)[None] + self.shift)
        draws = uniforms(seeds, 2 * self.terms, purpose=1)
        y = np.stack([x.sum(1), x[:, 0] * x[:, 1], x.max(1)], 1)[:, : self.terms] + self.noise * draws[:, : self.terms]
        return {
            "x": torch.from_numpy(x.astype(np.float32)),
            "y": torch.from_numpy(y.astype(np.float32)),
            "counts": torch.from_numpy(draws[:, self.terms :] < 0.4),
        }


class ShardedNumbers(Numbers):
    """Numbers that lie in shards."""

    def __init__(self, sizes: Sequence[int], *, window: int | None = None, **settings: Any) -> None:
        super().__init__(sum(sizes), **settings)
        self.sizes, self.window = sizes, window

    def order(self, seed: int) -> ShardOrder:
        return ShardOrder(self.sizes, seed, window=self.window)


class Net(nn.Module):
    """Two layers and a loss over the terms that count, a different number in each batch."""

    def __init__(self, *, dropout: float = 0.0, terms: int = 3, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.norm, self.second = nn.Linear(4, 16), nn.LayerNorm(16), nn.Linear(16, terms)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, y: torch.Tensor, counts: torch.Tensor) -> dict[str, torch.Tensor]:
        predicted = self.second(self.dropout(self.norm(self.first(x).tanh())))
        error = ((predicted - y) ** 2 * counts).sum() / counts.sum().clamp(min=1)
        return {"loss": error, "size": predicted.detach().float().abs().mean()}


def counted(batch: Batch) -> float:
    return float(batch["counts"].sum())


def make_step(model: nn.Module, *, coupled: bool | None = None) -> PlainStep:
    return PlainStep(model, weight=counted, coupled=coupled)


def settings(**changes: Any) -> TrainingConfig:
    """Ones for tests: few steps, fp32."""
    return TrainingConfig(
        **{"steps": 12, "batch_size": 8, "learning_rate": 1e-2, "precision": "fp32", "log_every": 2} | changes
    )


class Duel(TwoPlayerStep):
    """Something adversarial: a generator moves points, a discriminator tells them from the data."""

    def __init__(self, *, dropout: float = 0.0, normalize: bool = False, **rates: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            generator = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 4))
            discriminator = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(), nn.Dropout(dropout), nn.Linear(8, 1))
        discriminator[0].bias.requires_grad_(False)
        super().__init__(generator, discriminator, **rates)
        self.updated: list[str] = []

    def losses(self, player: str, modules: Any, batch: Batch, *, moment: Moment) -> dict[str, torch.Tensor]:
        made = modules["generator"](batch["x"].flip(0))
        if player == "generator":
            return {"loss": nn.functional.softplus(-modules["discriminator"](made)).mean()}
        assert not made.requires_grad
        judged = modules["discriminator"](torch.cat([batch["x"], made]))
        real, fake = judged.chunk(2)
        return {
            "loss": nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean(),
            "accuracy": ((real > 0).float().mean() + (fake < 0).float().mean()) / 2,
        }

    def after_update(self, player: str, *, moment: Moment) -> None:
        self.updated.append(player)


class Pairing(nn.Module):
    """Embeds the two sides of rows in float64, and learns the temperature that their contrast is taken at."""

    def __init__(self, *, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(4, 6).double(), nn.Linear(3, 6).double()
        self.log_temperature = nn.Parameter(torch.tensor(-1.0, dtype=torch.float64))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, y: torch.Tensor, counts: torch.Tensor) -> Batch:
        return {
            "first": self.dropout(self.first(x.to(self.first.weight.dtype)).tanh()),
            "second": self.dropout(self.second(y.to(self.first.weight.dtype)).tanh()),
            "temperature": self.log_temperature.exp(),
            "counts": counts,
        }


def pairing_loss(first: torch.Tensor, second: torch.Tensor, temperature: torch.Tensor, counts: torch.Tensor) -> Batch:
    assert counts.dtype == torch.bool
    return {"loss": info_nce(first, second, temperature=temperature), "examples": torch.tensor(float(len(counts)))}


def pairing_step(model: nn.Module) -> PlainCoupledStep:
    return PlainCoupledStep(model, pairing_loss)


class Drifting(nn.Module):
    """What it embeds depends on a buffer that each pass in training moves, as spectral and batch norm do."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(4, 3).double()
        self.passes: list[torch.Tensor] = []
        self.register_buffer("mean", torch.zeros(4, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor, y: torch.Tensor, counts: torch.Tensor) -> Batch:
        if self.training:
            with torch.no_grad():
                self.mean += 0.1 * (x.double().mean(0) - self.mean)
                self.calls += 1
        codes = self.layer(x.double() - self.mean)
        if self.training:
            self.passes.append(codes.detach().clone())
        return {"codes": codes, "truth": y.argmax(1)}


class ActNorm(Net):
    """Its inputs are scaled as the first batch says (Kingma and Dhariwal 2018), with a little noise."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.scale, self.shift = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        self.register_buffer("begun", torch.zeros(3, 4))

    def forward(self, x: torch.Tensor, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return super().forward((x + self.shift) * self.scale, **batch)


class ActNormStep(PlainStep):
    """Sets the scales and keeps what it set, and how often, in a buffer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, weight=counted)

    def initialize(self, modules: Any, batch: Batch) -> None:
        model = modules["model"]
        assert not torch.is_grad_enabled()
        assert model.training
        model.shift.copy_(-batch["x"].mean(0) + 0.01 * torch.randn(4))
        model.scale.copy_(1 / batch["x"].std(0))
        model.begun.copy_(torch.stack([model.shift, model.scale, model.begun[2] + len(batch["x"])]))


def weights_of(step: Any) -> dict[str, np.ndarray]:
    """A copy of every parameter and buffer of a step, by player and name."""
    return {
        f"{player}.{name}": tensor.detach().cpu().numpy().copy()
        for player, module in step.players.items()
        for name, tensor in module.state_dict().items()
    }


def same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def without_speeds(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if "per_second" not in key} for record in records]


# Processes


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(function: Any, *, when: Any) -> Any:
    """A function that kills this process instead of being called with such arguments."""
    return lambda *words: _die() if when(*words) else function(*words)


def _arm(point: str, step: Any, evaluate: Any) -> Any:
    """Arrange for this process to be killed; returns the ``evaluate`` to use."""
    from nlprep.core.training.records import checkpoints, journal

    kind, _, number = point.partition(":")
    at = int(number)
    if kind == "update":  # before step number `at`
        step.turns = _dying(step.turns, when=lambda now: now == at)
    elif kind == "evaluate":  # in the evaluation after step `at`
        return _dying(evaluate, when=lambda evaluation: evaluation.step == at)
    elif kind in ("save", "amend"):  # before a checkpoint; between an evaluation and what is added to the one before
        method = _dying(getattr(checkpoints.Checkpoints, kind), when=lambda _, checkpoint: checkpoint.step == at)
        setattr(checkpoints.Checkpoints, kind, method)
    elif kind == "amending":  # while that is written
        checkpoints._Sealed.to_json = _dying(  # type: ignore[method-assign]
            checkpoints._Sealed.to_json,
            when=lambda sealed: sealed.state["step"] == at and not sealed.state["values"].get("pending", True),
        )
    elif kind in (
        "writing",
        "renamed",
    ):  # with the tensors written; with the directory in place, older ones not removed
        write, checksum = checkpoints._write, checkpoints._checksum

        def write_and_die(path: Path, checkpoint: checkpoints.Checkpoint) -> Any:
            if checkpoint.step == at and kind == "writing" and path.name != "best":
                checkpoints._checksum = lambda *_: _die()  # type: ignore[assignment, return-value]
            written = write(path, checkpoint)
            checkpoints._checksum = checksum
            if checkpoint.step == at and path.name != "best":
                _die()
            return written

        checkpoints._write = write_and_die
    elif kind == "line":  # with half a line of metrics.jsonl written
        append = journal.Journal.append

        def append_half(self: journal.Journal, record: Any) -> None:
            append(self, record)
            if record["step"] == at:
                assert self.path is not None
                os.truncate(self.path, self.path.stat().st_size - 9)
                _die()

        journal.Journal.append = append_half  # type: ignore[method-assign]
    else:
        raise ValueError(point)
    return evaluate


def live(scenario: dict[str, Any], point: str | None) -> History:
    """One life of a scenario's process."""
    config = settings(**scenario["config"])
    step = {
        "net": lambda: make_step(Net(dropout=0.2)),
        "duel": lambda: Duel(dropout=0.2, generator_every=2),
        "pairing": lambda: pairing_step(Pairing(dropout=0.2)),
        "actnorm": lambda: ActNormStep(ActNorm(dropout=0.2)),
    }[scenario.get("kind", "net")]()

    def evaluate(evaluation: Evaluation) -> Assessment:
        # What it draws is its step's own, whatever was drawn before.
        drawn = torch.rand(2, 3)
        stop = "enough" if evaluation.step == scenario.get("stop") else None
        best = scenario.get("best")
        criterion = {} if best is None else {"criterion": abs(evaluation.step - best)}
        return Assessment({"drawn": float(drawn[0, 0]), **criterion}, {"drawn": drawn}, stop)

    hook = evaluate if scenario.get("evaluate") else None
    if point:
        hook = _arm(point, step, hook)
    history = fit(
        step,
        ShardedNumbers((7, 0, 13, 10), window=4) if scenario.get("shards") else Numbers(30),
        config=config,
        directory=scenario["directory"],
        validation=Numbers(13, shift=1.0),
        evaluate=hook,
    )
    np.savez(Path(scenario["directory"]) / "final.npz", **weights_of(step))
    told = {"stopped": history.stopped, "best": [history.best_step, history.best_loss], "steps": history.steps}
    (Path(scenario["directory"]) / "told.json").write_text(json.dumps(told))
    return history


def _fork(scenario: dict[str, Any], point: str | None) -> int:
    child = os.fork()
    if child == 0:
        warnings.simplefilter("ignore")
        status = 1
        try:
            live(scenario, point)
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Bad(Net):
    """Its loss is no number on one process, from its third call on."""

    calls = 0

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        losses = super().forward(**batch)
        self.calls += 1
        if self.calls >= 3 and os.environ["RANK"] == "1":
            losses["loss"] = losses["loss"] * float("nan")
        return losses


class TerminatedPairing(Pairing):
    """As `Terminated`, of a coupled loss, each of whose parts is embedded twice in training."""

    calls = 0

    def forward(self, **batch: torch.Tensor) -> Batch:  # type: ignore[override]
        self.calls += 1
        if self.calls == 10 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(**batch)


class Terminated(Net):
    """One process is sent SIGTERM in its fifth part, which is of the evaluation after two steps."""

    calls = 0

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        self.calls += 1
        if self.calls == 5 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(**batch)


TOGETHER = {"micro_batch_size": 2, "log_every": 1, "checkpoint_every": 5}


def together(folder: Path) -> None:
    """What several processes do in the tests; each says what came of it."""
    outcome: dict[str, Any] = {}
    rank = int(os.environ["RANK"])

    def run(name: str, step: Any, measured: Any = None, held: int = 13, **changes: Any) -> None:
        try:
            history = fit(
                step,
                Numbers(),
                config=settings(**TOGETHER | changes),
                directory=folder / name,
                validation=Numbers(held, shift=1.0),
                evaluate=measured or (lambda _: {"rank": float(rank)}),
            )
        except (Exception, KeyboardInterrupt) as error:
            outcome.setdefault(name, []).append(f"{type(error).__name__}: {error}")
        else:
            told = [history.steps, history.resumed_from, history.best_step]
            outcome.setdefault(name, []).append([*told, history.stopped] if history.stopped else told)
        np.savez(folder / f"{name}-{rank}.npz", **weights_of(step))

    # The processes begin with other weights: the main one's count.
    run("weighted", make_step(Net(seed=rank)))
    run("weighted", make_step(Net(seed=7)), steps=12)
    run("duel", Duel(discriminator_updates=2, generator_every=2))
    run("dropout", make_step(Net(dropout=0.3)), workers=1)
    run("stopped", make_step(Terminated(dropout=0.3), coupled=False))
    run("stopped", make_step(Net(dropout=0.3)))
    answers = iter([[3.0, 1.0, 2.0, 2.5, 2.6, 2.7], [1.0, 3.0, 0.5, 0.4, 0.3, 0.2]][rank])
    run("split", make_step(Net()), measured=lambda _: {"validation_loss": next(answers)}, patience=3)
    asked = lambda evaluation: Assessment(stop="enough" if evaluation.step == [6, 2][rank] else None)  # noqa: E731
    for _ in range(2):
        run("asked", make_step(Net()), measured=asked)
    run("paired", pairing_step(Pairing(dropout=0.3)))
    run("paired, stopped", pairing_step(TerminatedPairing(dropout=0.3)))
    run("paired, stopped", pairing_step(Pairing(dropout=0.3)))
    run("bad", make_step(Bad(), coupled=False))
    run("uneven", make_step(Net()), batch_size=9)
    for held in (13, 5, 1):
        run(f"pairing {held}", pairing_step(Pairing(seed=rank)), held=held, steps=6)
    run("pairing whole", pairing_step(Pairing(seed=rank)), micro_batch_size=None, average=0.8)
    run("actnorm", ActNormStep(ActNorm(seed=rank)), average=0.8)
    drifting = Drifting()
    run(
        "drifting", PlainCoupledStep(drifting, lambda codes, truth: {"loss": (codes.T @ codes).square().sum()}), steps=2
    )
    outcome["passes"] = [codes.tolist() for codes in drifting.passes]
    declared = make_step(Net())
    declared.coupled = True
    run("declared", declared, micro_batch_size=None)
    (folder / f"outcome-{rank}.json").write_text(json.dumps(outcome))


def _fork_rank(rank: int, folder: Path) -> int:
    child = os.fork()
    if child == 0:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        status = 1
        try:
            together(folder)
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


def main() -> None:
    import accelerate  # noqa: F401
    import torch._dynamo  # which optimisers load at their first step

    torch.set_num_threads(1)
    if sys.argv[1] == "together":
        children = [_fork_rank(rank, Path(sys.argv[2])) for rank in range(2)]
        statuses = [os.waitpid(child, 0)[1] for child in children]
        sys.exit(any(statuses))
    for scenario in json.loads(Path(sys.argv[1]).read_text()):
        outcomes = [_fork(scenario, point) for point in [*scenario["deaths"], None]]
        sys.stdout.write(json.dumps({"name": scenario["name"], "outcomes": outcomes}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
