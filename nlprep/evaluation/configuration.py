"""The settings of the instruments: probes, neighbours, clusters."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How many labels a probe is given, and how often it is tried."""

    labels: str = option(
        "1%,10%,100%", "labels to learn from, shares of the training set or numbers: 1%,10%,100% or 50,500"
    )
    repeats: int = option(5, "random choices of labels, whose spread is reported", minimum=1)
    l2: float | None = option(None, "weight of the L2 penalty; none: chosen on a fifth of the labels", above=0)
    seed: int = option(1, "seed of the choices", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        self.num_labels(10**9)

    def num_labels(self, available: int) -> list[int]:
        """How many labels are asked for, ascending, of so many.

        Raises:
            OptionError: Not a list of shares and numbers, or more than there are.
        """
        numbers = []
        for part in self.labels.split(","):
            word = part.strip()
            try:
                share = float(word[:-1]) if word.endswith("%") else None
                number = int(word) if share is None else round(share / 100 * available)
            except (ValueError, OverflowError):
                raise OptionError(
                    f"labels = {self.labels!r}: {word!r} is neither a share like 10% nor a number"
                ) from None
            if number > available:
                raise OptionError(f"labels = {self.labels!r}: there are only {available:,} labelled examples")
            if (share if share is not None else number) <= 0:
                raise OptionError(f"labels = {self.labels!r}: {word!r} leaves no label to learn from")
            numbers.append(number)
        return sorted(set(numbers))


@dataclass(frozen=True, kw_only=True)
class NeighborsConfig:
    """How neighbours vote."""

    k: int | None = option(None, "neighbours that vote; none: chosen on validation or training examples", minimum=1)
    temperature: float = option(0.07, "a vote weighs exp(cosine / temperature)", above=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class ClusteringConfig:
    """How features are grouped."""

    num_clusters: int | None = option(None, "groups to find; none: as many as there are classes", minimum=1)
    restarts: int = option(10, "starts, of which the tightest result is kept", minimum=1)
    unit_length: bool = option(True, "bring features to length one first, so that directions alone count")
    seed: int = option(1, "seed of the starts", minimum=0)

    def __post_init__(self) -> None:
        check(self)
