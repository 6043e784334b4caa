"""Blocks of equal length out of documents of any length, with no token lost.

A model is trained on blocks of L positions. A document that fits into a block is not cut; a longer one fills whole
blocks and its rest is treated like a short document. Short ones are put together so that little of a block is left
empty (best fit, longest first, over lengths instead of documents: Krell et al. 2021, "Efficient sequence packing
without cross-contamination"). Only the end of a block is padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from nlprep.language_models.text.configuration import LAYOUTS
from nlprep.objectives.labels import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nlprep.language_models.text.token_files import TokenFile


@dataclass(frozen=True)
class Pieces:
    """Runs of items of documents, in the blocks they are put into.

    Attributes:
        documents: (p,) int64, whose items they are.
        firsts: (p,) int64, the item a piece begins with.
        lengths: (p,) int64, its items.
        bounds: (b + 1,) int64; block i holds pieces ``bounds[i]`` to ``bounds[i + 1]``.
    """

    documents: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @property
    def num_blocks(self) -> int:
        """Blocks."""
        return len(self.bounds) - 1


def pack(lengths: NDArray[np.int64], capacity: int) -> Pieces:
    """Put documents into blocks of ``capacity`` items, whole where they fit.

    Args:
        lengths: (d,) items of each document, each at least 1.
        capacity: Items that a block holds.
    """
    documents, firsts, sizes = _cut(lengths, capacity)
    order = np.argsort(-sizes, kind="stable")
    counts = np.bincount(sizes, minlength=capacity + 1)
    # Blocks that still have room, by how much.
    open_blocks: dict[int, list[NDArray[np.int64]]] = {}
    blocks = np.empty(len(sizes), np.int64)
    position = num_blocks = 0
    for size in np.flatnonzero(counts)[::-1].tolist():
        left = int(counts[size])
        # The fullest block first: best fit.
        for room in sorted(room for room in open_blocks if room >= size):
            if not left:
                break
            held = np.concatenate(open_blocks.pop(room))
            fitting = room // size
            taken = min(left, len(held) * fitting)
            used = -(-taken // fitting)
            blocks[position : position + taken] = np.repeat(held[:used], fitting)[:taken]
            position += taken
            left -= taken
            last = taken - (used - 1) * fitting
            _reopen(open_blocks, room - size * fitting, held[: used - 1])
            _reopen(open_blocks, room - size * last, held[used - 1 : used])
            _reopen(open_blocks, room, held[used:])
        if left:
            fitting = capacity // size
            used = -(-left // fitting)
            fresh = np.arange(num_blocks, num_blocks + used)
            num_blocks += used
            blocks[position : position + left] = np.repeat(fresh, fitting)[:left]
            position += left
            last = left - (used - 1) * fitting
            _reopen(open_blocks, capacity - size * fitting, fresh[:-1])
            _reopen(open_blocks, capacity - size * last, fresh[-1:])
    by_block = np.argsort(blocks, kind="stable")
    order = order[by_block]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(blocks, minlength=num_blocks))])
    return Pieces(documents[order], firsts[order], sizes[order], bounds.astype(np.int64))


def _reopen(open_blocks: dict[int, list[NDArray[np.int64]]], room: int, blocks: NDArray[np.int64]) -> None:
    if room and len(blocks):
        open_blocks.setdefault(room, []).append(blocks)


def stream(lengths: NDArray[np.int64], capacity: int) -> Pieces:
    """Lay documents end to end and cut every ``capacity`` items, wherever that is; arguments as for `pack`."""
    ends = np.cumsum(lengths)
    total = int(ends[-1])
    starts = ends - lengths
    cuts = np.arange(0, total, capacity)
    # A piece begins where a document does and where a block does.
    begins = np.union1d(starts, cuts)
    documents = np.searchsorted(ends, begins, side="right")
    sizes = np.diff(begins, append=total)
    bounds = np.append(np.searchsorted(begins, cuts), len(begins))
    return Pieces(documents, begins - starts[documents], sizes, bounds.astype(np.int64))


def _cut(lengths: NDArray[np.int64], capacity: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Documents, first items and lengths of pieces of at most ``capacity``."""
    num_pieces = -(-lengths // capacity)
    documents = np.repeat(np.arange(len(lengths)), num_pieces)
    numbers = np.arange(len(documents)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    firsts = numbers * capacity
    return documents, firsts, np.minimum(lengths[documents] - firsts, capacity)


class TokenBlocks:
    """Blocks of a token file: what masked and causal examples are made of.

    Args:
        tokens: The documents.
        block_length: Positions of a block.
        causal: Whether blocks are for next-token prediction. If so, a document of n tokens counts n + 1 items: the
            separator and its tokens are inputs, its tokens and the separator are what is to be predicted, so that
            every token is predicted once and so is every document's end. If not, a block is ``opening``, then each
            piece of a document followed by ``separator``.
        layout: ``packed`` keeps documents whole where they fit; ``stream`` fills every block but the last.
        separator: The id that ends a document.
        opening: The id that a block begins with; unused when causal.
        padding: The id of empty positions.

    Raises:
        OptionError: An unknown layout or too short a block.
        NlprepError: Fewer tokens than one block has.
    """

    def __init__(
        self,
        tokens: TokenFile,
        block_length: int,
        *,
        causal: bool,
        separator: int,
        padding: int,
        opening: int = 0,
        layout: str = "packed",
    ) -> None:
        if layout not in LAYOUTS:
            raise OptionError(f"layout = {layout!r}: choose from {', '.join(LAYOUTS)}")
        if block_length < 4:
            raise OptionError(f"block_length = {block_length}: must be at least 4")
        if tokens.num_tokens < block_length:
            raise NlprepError(
                f"the text has {tokens.num_tokens:,} tokens, fewer than one block of {block_length:,}: give more text "
                "or lower block_length"
            )
        self.tokens, self.block_length, self.causal = tokens, block_length, causal
        self.separator, self.opening, self.padding = separator, opening, padding
        held = np.flatnonzero(tokens.lengths)
        self._starts, self._lengths = tokens.starts[held], tokens.lengths[held]
        if causal:
            lay = pack if layout == "packed" else stream
            self.pieces = lay(self._lengths + 1, block_length)
        elif layout == "packed":
            # Every piece, of however long a document, is followed by a separator.
            self.pieces = _with_separators(self._lengths, block_length - 1, packed=True)
        else:
            self.pieces = _with_separators(self._lengths, block_length - 1, packed=False)

    def __len__(self) -> int:
        return self.pieces.num_blocks

    @property
    def fill(self) -> float:
        """Share of positions that are not padding."""
        used = int(self.pieces.lengths.sum()) + (0 if self.causal else len(self))
        return used / (len(self) * self.block_length)

    def blocks(self, indices: NDArray[np.int64]) -> Blocks:
        """Fetch blocks by number, (b,) int64."""
        pieces, shape = self.pieces, (len(indices), self.block_length)
        counts = pieces.bounds[indices + 1] - pieces.bounds[indices]
        rows = np.repeat(np.arange(len(indices)), counts)
        chosen = _ranges(pieces.bounds[indices], counts)
        sizes = pieces.lengths[chosen]
        lead = 0 if self.causal else 1
        # Where each piece begins in its row, then where each of its items stands in the flat result.
        within = np.cumsum(sizes) - sizes
        first_of_row = np.cumsum(counts) - counts
        columns = within - np.repeat(within[first_of_row], counts) + lead
        places = _ranges(rows * self.block_length + columns, sizes)
        items = _ranges(pieces.firsts[chosen], sizes)
        documents = np.repeat(pieces.documents[chosen], sizes)
        segments = np.zeros(shape, np.int64)
        segments.ravel()[places] = np.repeat(np.arange(len(chosen)) - np.repeat(first_of_row, counts) + 1, sizes)
        inputs = np.full(shape, self.padding, np.int64)
        starts, ends = self._starts[documents], self._lengths[documents]
        if self.causal:
            labels = np.full(shape, IGNORED, np.int64)
            inputs.ravel()[places] = self._fetch(starts + items - 1, items > 0)
            labels.ravel()[places] = self._fetch(starts + items, items < ends)
            return Blocks(inputs, labels, segments)
        # The last item of a piece is its separator, wherever in its document the piece ends.
        lasts = np.zeros(len(items), np.bool_)
        lasts[np.cumsum(sizes) - 1] = True
        inputs.ravel()[places] = self._fetch(starts + items, ~lasts)
        inputs[:, 0] = self.opening
        segments[:, 0] = 1
        return Blocks(inputs, None, segments)

    def _fetch(self, places: NDArray[np.int64], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The ids at places of the file, or the separator."""
        # Any valid place will do for those that are not looked at.
        ids = self.tokens.ids[np.where(inside, places, 0)].astype(np.int64)
        return np.where(inside, ids, self.separator)


@dataclass(frozen=True)
class Blocks:
    """Some blocks.

    Attributes:
        inputs: (b, L) int64 ids.
        labels: (b, L) int64, the ids to predict, `IGNORED` where there is nothing to; None when not causal.
        segments: (b, L) int64, which document of the block a position belongs to, from 1; 0 is padding.
    """

    inputs: NDArray[np.int64]
    labels: NDArray[np.int64] | None
    segments: NDArray[np.int64]


def _with_separators(lengths: NDArray[np.int64], capacity: int, *, packed: bool) -> Pieces:
    """Pieces that count their separator: tokens and one more."""
    if packed:
        documents, firsts, sizes = _cut(lengths, capacity - 1)
        placed = pack(sizes + 1, capacity)
        return Pieces(documents[placed.documents], firsts[placed.documents], placed.lengths, placed.bounds)
    return _stream_with_separators(lengths, capacity)


def _stream_with_separators(lengths: NDArray[np.int64], capacity: int) -> Pieces:
    """Documents end to end, each piece with its separator, cut where a block is full."""
    documents: list[int] = []
    firsts: list[int] = []
    sizes: list[int] = []
    bounds = [0]
    room = capacity
    for document, length in enumerate(lengths.tolist()):
        first = 0
        while first < length:
            if room < 2:
                bounds.append(len(sizes))
                room = capacity
            taken = min(length - first, room - 1)
            documents.append(document)
            firsts.append(first)
            sizes.append(taken + 1)
            first += taken
            room -= taken + 1
    bounds.append(len(sizes))
    return Pieces(*(np.array(values, np.int64) for values in (documents, firsts, sizes, bounds)))


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """``starts[i], starts[i] + 1, ...`` of the given lengths, end to end."""
    before = np.cumsum(lengths) - lengths
    places: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    return places
