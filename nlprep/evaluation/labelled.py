"""Items with labels, whatever the items, and choosing among them fairly and reproducibly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.randomness import combine, integers, uniforms
from nlprep.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Item = TypeVar("Item")
Collection = TypeVar("Collection", bound="Labelled[Any]")


@dataclass(frozen=True)
class Labelled(Generic[Item]):
    """Items, or pairs of items, with a label each.

    Attributes:
        items: n of them: a list, an array whose rows they are, or a sequence that reads them as they are asked for.
        labels: Their labels.
        pairs: The second item of each, where a label belongs to two.
        name: Where they come from, for errors.
        lines: Where in the file each stands, if they come from one.

    Raises:
        NlprepError: The numbers of items, labels and pairs differ.
    """

    items: Sequence[Item]
    labels: Sequence[str]
    pairs: Sequence[Item] | None = None
    name: str = "examples"
    lines: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if len(self.items) != len(self.labels) or (self.pairs is not None and len(self.pairs) != len(self.items)):
            raise NlprepError(
                f"{self.name}: {len(self.items):,} items, {len(self.labels):,} labels"
                + ("" if self.pairs is None else f" and {len(self.pairs):,} pairs")
                + " differ in number: give one of each for each example"
            )

    def __repr__(self) -> str:
        """One line with counts: of the items there may be millions."""
        given = counted(len(self), "example" if self.pairs is None else "pair")
        return f"{type(self).__name__}({self.name!r}: {given}, {counted(len(set(self.labels)), 'label')})"

    def __len__(self) -> int:
        return len(self.items)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Self:
        """Those of the given indices."""
        return replace(
            self,
            items=_take(self.items, indices),
            labels=_take(self.labels, indices),
            pairs=None if self.pairs is None else _take(self.pairs, indices),
            lines=None if self.lines is None else _take(self.lines, indices),
        )

    def label_names(self) -> list[str]:
        """The different labels in order: of numbers, if all are, and else of the alphabet.

        Raises:
            NlprepError: There are fewer than two.
        """
        found = set(self.labels)
        if len(found) < 2:
            seen = f"every label is {next(iter(found))!r}" if found else "there are no examples"
            raise NlprepError(f"{self.name}: {seen}: a classifier needs examples of at least two labels")
        try:
            return sorted(found, key=lambda label: (int(label), label))
        except ValueError:
            return sorted(found)

    def label_indices(self, names: Sequence[str]) -> NDArray[np.int64]:
        """(n,) the place of each label among ``names``.

        Raises:
            FileError: A label is none of them.
        """
        places = {name: place for place, name in enumerate(names)}
        for number, label in enumerate(self.labels):
            if label not in places:
                known = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
                line = None if self.lines is None else self.lines[number]
                raise FileError(
                    self.name, f"label {label!r} was not seen in training, which had {known}: correct it", line=line
                )
        return np.array([places[label] for label in self.labels], np.int64)


def _take(sequence: Any, indices: Sequence[int] | NDArray[np.int64]) -> Any:
    return sequence[indices] if isinstance(sequence, np.ndarray) else [sequence[index] for index in indices]


def split_labelled(data: Collection, share: float, *, seed: int = 1) -> tuple[Collection, Collection]:
    """Set a share of the examples aside, of each label alike.

    Args:
        data: The examples.
        share: How much to set aside, between 0 and 1; at least one example stays of each label.
        seed: Which ones.

    Returns:
        What stays and what is set aside, each in the order of ``data``.
    """
    draws = uniforms(combine(seed, np.arange(len(data))), 1, purpose=1)[:, 0]
    labels = np.array(data.labels)
    aside = np.zeros(len(data), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        taken = min(round(share * len(members)), len(members) - 1)
        aside[members[np.argsort(draws[members], kind="stable")[:taken]]] = True
    return data.select(np.flatnonzero(~aside)), data.select(np.flatnonzero(aside))


def keep_labels(data: Collection, number: int, *, seed: int = 1) -> Collection:
    """So many of the examples, with the labels in their proportions: what learning from few labels is given.

    With one seed, a smaller choice is a part of every larger one.

    >>> data = Labelled(["ant", "bee", "cat", "dog"], ["insect", "insect", "mammal", "mammal"])
    >>> [sorted(keep_labels(data, number, seed=3).labels) for number in (2, 4)]
    [['insect', 'mammal'], ['insect', 'insect', 'mammal', 'mammal']]

    Args:
        data: The examples.
        number: How many to keep.
        seed: Which ones.

    Returns:
        Them, in the order of ``data``; at least one of each label.

    Raises:
        OptionError: Fewer than there are labels, or more than there are examples.
    """
    names = sorted(set(data.labels))
    if not len(names) <= number <= len(data):
        raise OptionError(
            f"number = {number:,}: {data.name} has {len(names)} labels and {len(data):,} examples: ask for a number "
            "between these"
        )
    order = stratified_order(data.label_indices(names), seed)
    return data.select(np.sort(order[:number]))


def stratified_order(labels: NDArray[np.integer[Any]], seed: int) -> NDArray[np.int64]:
    """An order of examples of which every beginning has the classes in their proportions, and first one of each.

    Args:
        labels: (n,).
        seed: Of the choice among equals.

    Returns:
        (n,) a permutation.
    """
    draws = integers(combine(seed, np.arange(len(labels))), 1, purpose=1)[:, 0]
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        shuffled = members[np.argsort(draws[members], kind="stable")]
        # The k-th of n stands where k - 1/2 of n parts are gone; the first of each class before all others.
        position[shuffled] = (np.arange(len(members)) + 0.5) / len(members)
        position[shuffled[0]] -= 1
    return np.lexsort((draws, position))
