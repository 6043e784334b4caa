"""One way to make vectors of things, whatever the things: texts, images, sounds.

What measures a representation (probes, curves by number of labels, neighbours, retrieval) takes an `Encoder` and knows
nothing else of it. Tests find every class that encodes and hold it to what is promised here, so a new encoder joins by
being written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from nlprep.core.progress import Progress

Item = TypeVar("Item", contravariant=True)


@runtime_checkable
class Encoder(Protocol[Item]):
    """Something that makes a vector of an item.

    The vector of an item depends on the item alone: not on its place, its neighbours or how many are computed at once,
    but for rounding. Encoding draws no random numbers and leaves no trace: modes, gradients and buffers of a module
    are afterwards as they were before.
    """

    @property
    def dimension(self) -> int:
        """The size of a vector, d."""

    @property
    def module(self) -> nn.Module | None:
        """What can be trained as a part of something larger; None where nothing is learned by gradients.

        What it is called on is for the class to say.
        """

    def encode(
        self, items: Sequence[Item], /, batch_size: int = 32, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Make vectors.

        Args:
            items: n of them.
            batch_size: How many are computed at once, where that makes a difference.
            progress: Gets items.

        Returns:
            (n, d) float32, finite and in C order, in the order of the items; (0, d) for none.

        Raises:
            NlprepError: One item instead of a list, or an item of another kind; `check_sequence` and `check_items`
                say it alike for all.
            OptionError: A batch size below 1.
        """

    def randomized(self, seed: int = 1) -> Self:
        """The same encoder with nothing learned: its weights are drawn anew, as a function of the seed.

        What it keeps (architecture, tokenizer, vocabulary) is what learning is compared with. The original stays as
        it is, and so does the caller's random state.
        """

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory, from which `from_directory` makes an encoder that gives the same vectors.

        Args:
            directory: The place; an encoder of the same class there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str], /) -> Self:
        """Open what `save` wrote.

        Raises:
            FileError: Missing, damaged or something else's.
        """


@runtime_checkable
class SparseEncoder(Encoder[Item], Protocol[Item]):
    """An encoder most of whose numbers are zeros, such as counts of words."""

    def encode_sparse(self, items: Sequence[Item], /, *, progress: Progress = SILENT) -> Any:
        """The numbers that `Encoder.encode` gives, as a scipy CSR array (n, d) float32; the same errors."""


def check_sequence(
    items: object, batch_size: int = 1, *, noun: str, accepts: Callable[[object], bool], taker: str = "encode"
) -> None:
    """Fail if ``items`` is no sequence of items: one item by itself, or something without an order or a length.

    >>> check_sequence("a text", noun="text", accepts=lambda thing: isinstance(thing, str))
    Traceback (most recent call last):
    nlprep.core.errors.NlprepError: encode takes a list of texts, got one text: put it in a list

    Args:
        items: What an encoder was given.
        batch_size: Likewise.
        noun: What an item is called, such as ``text``.
        accepts: Whether something is an item.
        taker: What was called with them.

    Raises:
        NlprepError: It is not; in one line that says what to give.
        OptionError: A batch size below 1.
    """
    if accepts(items):
        raise NlprepError(f"{taker} takes a list of {noun}s, got one {noun}: put it in a list")
    ordered = isinstance(items, Sized) and hasattr(items, "__getitem__") and not isinstance(items, Mapping)
    if not ordered or isinstance(items, str | bytes | bytearray) or getattr(items, "ndim", 1) == 0:
        seen = "None" if items is None else f"something {_kind(items)}"
        raise NlprepError(f"{taker} takes a list of {noun}s, got {seen}: put the {noun}s in a list")
    if batch_size < 1:
        raise OptionError(f"batch_size = {batch_size}: give at least 1")


def check_items(
    items: Sequence[Any], *, noun: str, accepts: Callable[[object], bool], first: int = 0, taker: str = "encode"
) -> None:
    """Fail if one of ``items`` is not what an encoder takes.

    Args:
        items: All of them, or those of a batch where they are read as they are needed.
        noun: What an item is called, such as ``text``.
        accepts: Whether something is an item.
        first: The place of the first of them among all.
        taker: What was called with them.

    Raises:
        NlprepError: The place and the type of the first that is not.
    """
    for place, item in enumerate(items, start=first):
        if not accepts(item):
            raise NlprepError(
                f"{taker} takes a list of {noun}s, but items[{place}] is {_kind(item)}: make it one, or leave it out"
            )


def check_texts(items: Any, batch_size: int = 1, *, taker: str = "encode") -> None:
    """`check_sequence` and `check_items`, for encoders whose items are strings.

    Args:
        items: What an encoder, or whoever else takes texts, was given.
        batch_size: Likewise.
        taker: What was called with them.

    Raises:
        NlprepError: As there.
        OptionError: As there.
    """
    check_sequence(items, batch_size, noun="text", accepts=_is_text, taker=taker)
    check_items(items, noun="text", accepts=_is_text, taker=taker)


def _is_text(thing: object) -> bool:
    return isinstance(thing, str)


def _kind(thing: object) -> str:
    return "None" if thing is None else f"of type {type(thing).__name__}"


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients in the block; afterwards every part is in the mode in which it was.

    ``module.train(was_training)`` would put the parts into the mode of the whole, and so wake a part that its owner
    keeps frozen.
    """
    import torch

    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, training in modes:
            part.training = training
