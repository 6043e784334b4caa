"""The settings of the instruments."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

CLASSIFIERS = ("linear", "neighbors")
_SHARES = (1, 10, 100)


@dataclass(frozen=True)
class LabelAmount:
    """How many labels are learned from.

    Attributes:
        number: In all.
        per_class: Of each class; None where classes keep their proportions.
    """

    number: int
    per_class: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How many labels a probe is given, and how often it is tried."""

    labels: str = option(
        "1%,10%,100%",
        "labels to learn from: shares of the training set, numbers, or numbers of each class: 1%,10%,100% or 50,500 "
        "or 1/class,8/class",
    )
    classifier: str = option(
        "linear", "what learns from them: logistic regression, or the votes of neighbours", choices=CLASSIFIERS
    )
    repeats: int = option(5, "random choices of labels, whose spread is reported", minimum=1)
    l2: float | None = option(
        None,
        "weight of the L2 penalty; none: chosen on a fifth of the labels",
        above=0,
        counts_for=("classifier", ("linear",)),
    )
    seed: int = option(1, "seed of the choices", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        self.amounts(10**9, 1)

    def amounts(self, available: int, num_classes: int) -> list[LabelAmount]:
        """How many labels are asked for, ascending.

        Args:
            available: How many there are.
            num_classes: Of how many classes.

        Raises:
            OptionError: Not a list of shares and numbers, or more than there are.
        """
        found = set()
        for part in self.labels.split(","):
            word = part.strip()
            each = word.removesuffix("/class")
            try:
                share = float(word[:-1]) if word.endswith("%") else None
                per_class = int(each) if each != word else None
                number = (
                    round(share / 100 * available)
                    if share is not None
                    else int(word)
                    if per_class is None
                    else per_class * num_classes
                )
            except (ValueError, OverflowError):
                raise OptionError(
                    f"labels = {self.labels!r}: {word!r} is neither a share like 10%, nor a number, nor one of each "
                    "class like 4/class"
                ) from None
            if number > available:
                raise OptionError(f"labels = {self.labels!r}: there are only {available:,} labelled examples")
            if (share if share is not None else number) <= 0:
                raise OptionError(f"labels = {self.labels!r}: {word!r} leaves no label to learn from")
            found.add(LabelAmount(number, per_class))
        return sorted(found, key=lambda amount: (amount.number, amount.per_class or 0))


def possible_shares(count: int, fewest: int) -> str:
    """Shares of labels to try: a hundredth, a tenth and all, as far as they are labels enough.

    Args:
        count: Labelled examples to learn from.
        fewest: Labels that a share of them must be, unless it is all of them.

    >>> possible_shares(801, 10)
    '10%,100%'
    """
    return ",".join(f"{share}%" for share in _SHARES if share == 100 or round(share / 100 * count) >= fewest)


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


@dataclass(frozen=True, kw_only=True)
class DisentanglementConfig:
    """How codes are measured against known factors."""

    bins: int = option(20, "bins of equal width that each dimension is counted in for mutual information", minimum=2)
    trees: int = option(10, "trees of the forest that predicts each factor", minimum=1)
    depth: int | None = option(None, "most splits from root to leaf; none: until leaves are pure", minimum=1)
    test_share: float = option(0.2, "share of the examples that accuracies are of", above=0, maximum=0.9)
    seed: int = option(1, "seed of what is held out and of the forests", minimum=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class SampleQualityConfig:
    """How generated features are compared with real ones."""

    subsets: int = option(100, "subsets whose kernel distances are averaged", minimum=1)
    subset_size: int = option(1_000, "most examples of either side in a subset", minimum=2)
    degree: int = option(3, "degree of the kernel, (x.y / d + 1)^degree", minimum=1)
    neighbors: int = option(3, "neighbour whose distance is the radius of an example's ball", minimum=1)
    seed: int = option(1, "seed of the subsets and of the halves of real examples", minimum=0)

    def __post_init__(self) -> None:
        check(self)
