"""Small correlated views, and what is done with them in other processes."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from multimodal.correlation.configuration import DeepCcaConfig, DeepGeneralizedCcaConfig
from multimodal.correlation.training import train_correlation
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.loop import fit
from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.objectives import correlation

SMALL = {"dimension": 2, "width": 8, "depth": 1}
SHORT = TrainingConfig(
    steps=12, batch_size=24, learning_rate=1e-2, weight_decay=0.0, evaluate_every=4, checkpoint_every=3, log_every=1,
    precision="fp32",
)  # fmt: skip


def toy_views(
    count: int = 120, sizes: tuple[int, ...] = (6, 5), *, start: int = 0, noise: float = 0.2
) -> dict[str, np.ndarray]:
    """Views of an angle, which one sees as it is and the next doubled: no line shows that they have it in common."""
    generator = np.random.default_rng(7)
    mixes = [generator.standard_normal((2, size)) for size in sizes]
    generator = np.random.default_rng(100 + start)
    angle = generator.uniform(0, 2 * np.pi, count)
    views = {}
    for place, mix in enumerate(mixes):
        seen = np.stack([np.cos((1 + place) * angle), np.sin((1 + place) * angle)], 1) @ mix
        views[f"view {place}"] = (seen + noise * generator.standard_normal(seen.shape)).astype(np.float32)
    return views


class Pair(nn.Module):
    """Two linear maps in float64, of views in one tensor."""

    def __init__(self, seed: int = 0, sizes: tuple[int, ...] = (6, 5)) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.maps = nn.ModuleList(nn.Linear(size, 2, dtype=torch.float64) for size in sizes)

    def forward(self, **views: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: linear(views[name].double()) for name, linear in zip(views, self.maps, strict=True)}


class Rows:
    """Views as examples."""

    def __init__(self, views: dict[str, np.ndarray]) -> None:
        self.views = views

    def __len__(self) -> int:
        return len(next(iter(self.views.values())))

    def batch(self, indices: np.ndarray, seeds: np.ndarray) -> dict[str, torch.Tensor]:
        return {name.replace(" ", "_"): torch.from_numpy(view[indices]) for name, view in self.views.items()}


class Descending(PlainCoupledStep):
    """Plain gradient descent: what divides by the gradient's size would hide that it is twice too large."""

    def make_optimizer(self, player: str, config: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.players[player].parameters(), lr=0.1)


LOSSES = {
    "sum": lambda **views: {"loss": correlation.correlation_loss(*views.values())},
    "squares": lambda **views: {"loss": correlation.squared_correlation_loss(*views.values())},
    "generalized": lambda **views: {"loss": correlation.generalized_correlation_loss(list(views.values()))},
    "soft": lambda **views: {"loss": correlation.soft_decorrelation_loss(list(views.values()))},
}


def descend(name: str, **changes: Any) -> dict[str, np.ndarray]:
    """Weights after a few steps; the same whatever the processes and parts."""
    sizes = (6, 5, 4) if name == "generalized" else (6, 5)
    model = Pair(sizes=sizes)
    config = TrainingConfig(
        steps=3, batch_size=16, schedule="constant", warmup=0, clip_norm=None, precision="fp32", **changes
    )
    fit(Descending(model, LOSSES[name]), Rows(toy_views(40, sizes)), config=config)
    return {key: value.numpy() for key, value in model.state_dict().items()}


def train_small(directory: Path, **changes: Any) -> Any:
    """A run that is short, of the objective with something to remember."""
    config = DeepCcaConfig(objective="soft", dropout=0.2, **SMALL)
    return train_correlation(toy_views(), directory, config=config, training=SHORT, **changes)


def _together(folder: Path, rank: int) -> None:
    for name in LOSSES:
        np.savez(folder / f"{name}-{rank}.npz", **descend(name))
    run = train_correlation(
        toy_views(sizes=(6, 5, 4)), folder / "run", model="deep-generalized-cca",
        config=DeepGeneralizedCcaConfig(**SMALL, activation="tanh"),
        training=replace(SHORT, steps=6, learning_rate=1e-3),
    )  # fmt: skip
    np.savez(folder / f"run-{rank}.npz", **{key: value.numpy() for key, value in run.model.state_dict().items()})


def _killed(folder: Path) -> None:
    turns = PlainCoupledStep.turns
    PlainCoupledStep.turns = lambda self, step: (  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGKILL) if step == 8 else turns(self, step)
    )
    train_small(folder)


def _fork(rank: int, folder: Path) -> int:
    child = os.fork()
    if child == 0:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        status = 1
        try:
            _together(folder, rank)
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


if __name__ == "__main__":
    import accelerate  # noqa: F401
    import torch._dynamo  # which optimisers load at their first step

    torch.set_num_threads(1)
    if sys.argv[1] == "killed":
        _killed(Path(sys.argv[2]))
    else:
        children = [_fork(rank, Path(sys.argv[2])) for rank in range(2)]
        statuses = [os.waitpid(child, 0)[1] for child in children]
        sys.exit(any(statuses))
