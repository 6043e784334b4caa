"""Densities of tables: how likely a row of numbers is, learned from others.

A column is first brought to mean 0 and deviation 1, of all rows that are trained on, and what that does to volume is
counted: densities are of the numbers as given, in nats for each row. Flows are those of `vision.flows.vectors`.

    from vision.flows.tables import TableDensity, train_density

    density = train_density(rows)                   # (n, d), some of which are held out
    density.log_density(others), density.sample(100)
    density.save("density")
    TableDensity.from_directory("density")

Numbers that are counts or classes have no density: a flow would make spikes of them, ever higher ones. Add noise as
wide as their steps, or leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlprep.core.artifacts import fill_artifact, read_artifact
from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, seeded_torch, uniforms
from nlprep.core.training import TrainingConfig, fit
from nlprep.evaluation.encoder import evaluation_mode
from vision.flows.configuration import COUPLINGS, VECTOR_FLOWS, TableFlowConfig
from vision.flows.density import Density
from vision.flows.finite import refuse_infinite
from vision.flows.vectors import make_vector_flow

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from nlprep.core.progress import Progress
    from nlprep.core.randomness import Seeds

TABLE_DENSITY = "table-density"
"""What directories of densities are marked as."""
TABLE_TRAINING = TrainingConfig(
    steps=2000, batch_size=128, learning_rate=2e-3, final_learning_rate=0.01, weight_decay=0.0, clip_norm=20.0,
    precision="fp32", evaluate_every=50, warmup=0.02,
)  # fmt: skip
"""How a density is trained unless asked otherwise; of all evaluations the best one is kept."""
_BATCH = 4096
_HOLDING = 91


class Rows:
    """Rows of a table as examples: batches are ``{"data": (b, d) float32}``.

    Args:
        values: (n, d).
    """

    def __init__(self, values: ArrayLike) -> None:
        self.values = np.ascontiguousarray(values, np.float32)

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:
        """Some of them."""
        return {"data": torch.from_numpy(self.values[indices])}


@dataclass(frozen=True)
class TableDensity:
    """A density of rows of d numbers.

    Attributes:
        flow: Of rows whose columns have mean 0 and deviation 1.
        mean: (d,) float64, of the rows that were trained on.
        deviation: (d,) float64, likewise.
        config: Which flow it is.
    """

    flow: Density
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    config: TableFlowConfig

    def log_density(self, rows: ArrayLike) -> NDArray[np.float64]:
        """(n,) in nats, of rows (n, d).

        Raises:
            NlprepError: Rows of another length, values that are no finite numbers, or a density that is none.
        """
        values = _checked(rows, len(self.mean))
        parts = np.array_split(self.scaled(values), max(1, -(-len(values) // _BATCH)))
        with evaluation_mode(self.flow), seeded_torch(0):
            found = [
                refuse_infinite(self.flow.log_density(torch.from_numpy(part)).double(), "densities").numpy()
                for part in parts
            ]
        changed: NDArray[np.float64] = np.concatenate(found) - np.log(self.deviation).sum()
        return changed

    def sample(self, number: int, *, seed: int = 1, temperature: float = 1.0) -> NDArray[np.float64]:
        """(number, d) rows drawn; a function of the seed.

        Args:
            number: How many.
            seed: Of the draws.
            temperature: As for `vision.flows.density.Density.sample`, which says what else is raised.

        Raises:
            OptionError: A negative number.
        """
        if number < 0:
            raise OptionError(f"number = {number}: give 0 or more")
        with evaluation_mode(self.flow), seeded_torch(seed):
            drawn = self.flow.sample(number, temperature=temperature).double().numpy()
        rows: NDArray[np.float64] = drawn * self.deviation + self.mean
        return rows

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens.

        Args:
            directory: The place; another density there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        tensors: dict[str, NDArray[Any]] = {"mean": self.mean, "deviation": self.deviation}
        tensors |= {f"flow.{name}": value.cpu().numpy() for name, value in self.flow.state_dict().items()}
        with atomic_directory(directory, kind=TABLE_DENSITY, overwrite=overwrite) as assembly:
            fill_artifact(assembly, kind=TABLE_DENSITY, config={"flow": to_mapping(self.config)}, tensors=tensors)

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str]) -> TableDensity:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, damaged, or something else's.
        """
        artifact = read_artifact(directory, kind=TABLE_DENSITY)
        held = {name: np.array(value) for name, value in artifact.tensors.items()}
        try:
            config = from_mapping(TableFlowConfig, artifact.config["flow"], where="flow")
            mean, deviation = held.pop("mean"), held.pop("deviation")
            flow = _make_flow(config, len(mean), seed=1)
            flow.load_state_dict(
                {name.removeprefix("flow."): torch.from_numpy(value) for name, value in held.items()}
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, RuntimeError, OptionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FileError(directory, f"does not describe a density ({reason}): save it again") from None
        return cls(flow.eval(), mean, deviation, config)

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Rows as the flow takes them."""
        return ((values - self.mean) / self.deviation).astype(np.float32)


def train_density(
    rows: ArrayLike,
    config: TableFlowConfig | None = None,
    *,
    training: TrainingConfig = TABLE_TRAINING,
    held_out: ArrayLike | float = 0.1,
    directory: str | os.PathLike[str] | None = None,
    progress: Progress = SILENT,
) -> TableDensity:
    """Learn a density, by likelihood, or of a continuous flow by flow matching.

    Args:
        rows: (n, d) numbers.
        config: Which flow; default: spline couplings.
        training: How it is trained; its seed is that of the flow's weights, too.
        held_out: A share of the rows by which the best weights are chosen, or other rows, or 0: the last weights.
        directory: Of the run: with one, it goes on where it was stopped.
        progress: Gets steps.

    Raises:
        NlprepError: Values that are no finite numbers, a column that never varies, or what `fit` raises.
        OptionError: A share out of range, or settings that do not fit.
    """
    config = TableFlowConfig() if config is None else config
    values = _checked(rows)
    if isinstance(held_out, float | int):
        if not 0 <= held_out < 1:
            raise OptionError(f"held_out = {held_out}: give a share from 0 up to 1, or rows")
        draws = uniforms(combine(training.seed, np.arange(len(values))), 1, purpose=_HOLDING)[:, 0]
        order = np.argsort(draws, kind="stable")
        kept, other = np.split(values[order], [len(values) - round(held_out * len(values))])
    else:
        kept, other = values, _checked(held_out, values.shape[1])
    if values.shape[1] == 1 and config.kind in COUPLINGS:
        raise OptionError(
            f"kind = {config.kind!r}: changes some columns by others, and there is one: choose "
            f"{' or '.join(repr(name) for name in VECTOR_FLOWS if name not in COUPLINGS)}"
        )
    if len(kept) < 2:
        raise NlprepError(f"{len(kept)} rows to learn from: give at least two")
    mean, deviation = kept.mean(0), kept.std(0)
    # Where what varies is lost to rounding, nothing varies.
    still = np.flatnonzero(deviation <= 1e-9 * np.maximum(1, np.abs(mean)))
    if len(still):
        raise NlprepError(f"column {still[0]} is {mean[still[0]]:g} in every row, and has no density: leave it out")
    found = TableDensity(_make_flow(config, values.shape[1], seed=training.seed), mean, deviation, config)
    step = found.flow.matching_step() if config.kind == "continuous" else found.flow.step()
    fit(
        step, Rows(found.scaled(kept)), config=training, directory=directory,
        validation=Rows(found.scaled(other)) if len(other) else None, progress=progress,
    )  # fmt: skip
    found.flow.eval()
    return found


def _make_flow(config: TableFlowConfig, numbers: int, *, seed: int) -> Density:
    with seeded_torch(seed):
        made = make_vector_flow(config.kind, numbers, layers=config.layers, width=config.width, depth=config.depth)
    return Density(made, numbers)


def _checked(rows: ArrayLike, numbers: int | None = None) -> NDArray[np.float64]:
    try:
        values = np.asarray(rows, np.float64)
    except (TypeError, ValueError) as error:
        raise NlprepError(f"rows that are no table of numbers ({error}): give (rows, columns) of numbers") from None
    if values.ndim != 2 or not values.shape[1]:
        raise NlprepError(f"rows of the shape {values.shape}: give a table, (rows, columns)")
    if numbers is not None and values.shape[1] != numbers:
        raise NlprepError(f"rows of {values.shape[1]} numbers, and the density is of {numbers}")
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise NlprepError(f"row {row}, column {column} is {values[row, column]}: give finite numbers")
    return values
