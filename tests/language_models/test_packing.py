from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlprep.core.errors import NlprepError, OptionError
from nlprep.language_models.text.packing import TokenBlocks, pack, stream
from nlprep.language_models.text.token_files import TokenFile
from nlprep.objectives.labels import IGNORED

OPENING, SEPARATOR, PADDING = 2, 3, 0


def token_file(lengths: list[int]) -> TokenFile:
    """Documents whose tokens are all different: 10, 11, 12..., with a gap before each that belongs to nobody."""
    starts = np.cumsum([0, *(length + 1 for length in lengths[:-1])]) + 1
    ids = np.arange(sum(lengths) + len(lengths) + 1, dtype=np.uint16) + 10
    return TokenFile(Path("t"), ids, starts, np.array(lengths, np.int64), 0, 70000, "", {})


def documents(tokens: TokenFile) -> list[list[int]]:
    return [tokens.ids[s : s + n].tolist() for s, n in zip(tokens.starts, tokens.lengths, strict=True) if n]


lengths_strategy = st.lists(st.integers(0, 40), min_size=1, max_size=60).filter(lambda lengths: sum(lengths) >= 24)


@settings(max_examples=60, deadline=None)
@given(lengths=lengths_strategy, block=st.integers(4, 16), layout=st.sampled_from(["packed", "stream"]))
def test_every_token_is_predicted_once(lengths, block, layout) -> None:
    tokens = token_file(lengths)
    blocks = TokenBlocks(tokens, block, causal=True, layout=layout, separator=SEPARATOR, padding=PADDING)
    fetched = blocks.blocks(np.arange(len(blocks)))
    predicted: list[tuple[int, int]] = []
    for inputs, labels, segments in zip(fetched.inputs, fetched.labels, fetched.segments, strict=True):
        real = segments > 0
        # Padding is at the end, and nothing is predicted there.
        assert not real[np.argmin(real) :].any() or real.all()
        assert (labels[~real] == IGNORED).all()
        assert (inputs[~real] == PADDING).all()
        assert (np.diff(segments[real]) >= 0).all()
        predicted += zip(inputs[real].tolist(), labels[real].tolist(), strict=True)
    expected = []
    for document in documents(tokens):
        expected += zip([SEPARATOR, *document], [*document, SEPARATOR], strict=True)
    assert sorted(predicted) == sorted(expected)


@settings(max_examples=60, deadline=None)
@given(lengths=lengths_strategy, block=st.integers(4, 16), layout=st.sampled_from(["packed", "stream"]))
def test_every_token_is_in_one_masked_block(lengths, block, layout) -> None:
    tokens = token_file(lengths)
    blocks = TokenBlocks(
        tokens, block, causal=False, layout=layout, separator=SEPARATOR, padding=PADDING, opening=OPENING
    )
    fetched = blocks.blocks(np.arange(len(blocks)))
    assert fetched.labels is None
    assert (fetched.inputs[:, 0] == OPENING).all()
    seen = fetched.inputs[fetched.inputs >= 10]
    assert sorted(seen.tolist()) == sorted(token for document in documents(tokens) for token in document)
    # Each run of a document ends with a separator.
    for inputs, segments in zip(fetched.inputs, fetched.segments, strict=True):
        for segment in range(1, segments.max() + 1):
            run = inputs[segments == segment]
            assert run[-1] == SEPARATOR
            inside = run[1:-1] if segment == 1 else run[:-1]
            assert (np.diff(inside) == 1).all()


@settings(max_examples=60, deadline=None)
@given(lengths=lengths_strategy, block=st.integers(6, 24))
def test_a_document_is_cut_only_if_it_is_longer_than_a_block(lengths, block) -> None:
    tokens = token_file(lengths)
    for causal in (True, False):
        blocks = TokenBlocks(
            tokens, block, causal=causal, separator=SEPARATOR, padding=PADDING, opening=OPENING, layout="packed"
        )
        room = block - 1 if causal else block - 2
        times = np.bincount(blocks.pieces.documents)
        for length, pieces in zip([n for n in lengths if n], times.tolist(), strict=True):
            assert pieces == 1 if length <= room else pieces == -(-(length + causal) // (room + causal))


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=200), capacity=st.integers(3, 30))
def test_packing_is_a_partition_and_at_least_first_fit(lengths, capacity) -> None:
    array = np.array(lengths)
    for lay in (pack, stream):
        pieces = lay(array, capacity)
        covered = sorted(
            (d, item)
            for d, first, n in zip(pieces.documents, pieces.firsts, pieces.lengths, strict=True)
            for item in range(first, first + n)
        )
        assert covered == [(d, item) for d, length in enumerate(lengths) for item in range(length)]
        per_block = np.add.reduceat(pieces.lengths, pieces.bounds[:-1])
        assert (per_block <= capacity).all()
        assert (per_block > 0).all()
        assert pieces.bounds[-1] == len(pieces.lengths)
    # Best fit, longest first, needs at most 11/9 of the fewest blocks, and one (Johnson 1974).
    assert pack(array, capacity).num_blocks <= 11 / 9 * -(-array.sum() // capacity) + 1 or array.max() > capacity / 3
    assert stream(array, capacity).num_blocks == -(-array.sum() // capacity)


def test_a_known_packing() -> None:
    pieces = pack(np.array([3, 3, 2, 5, 4, 1]), 6)
    groups = [sorted(pieces.lengths[a:b].tolist()) for a, b in zip(pieces.bounds, pieces.bounds[1:], strict=False)]
    assert sorted(groups) == [[1, 5], [2, 4], [3, 3]]


def test_batches_are_what_single_fetches_are() -> None:
    tokens = token_file([5, 17, 3, 9, 30, 1, 2])
    blocks = TokenBlocks(tokens, 8, causal=True, separator=SEPARATOR, padding=PADDING)
    some = np.array([2, 0, 2, len(blocks) - 1])
    together = blocks.blocks(some)
    for row, index in enumerate(some):
        alone = blocks.blocks(np.array([index]))
        assert (alone.inputs[0] == together.inputs[row]).all()
        assert (alone.labels[0] == together.labels[row]).all()
        assert (alone.segments[0] == together.segments[row]).all()


def test_bad_input() -> None:
    tokens = token_file([5, 5])
    with pytest.raises(NlprepError, match=r"10 tokens, fewer than one block of 16"):
        TokenBlocks(tokens, 16, causal=True, separator=3, padding=0)
    with pytest.raises(OptionError, match="layout"):
        TokenBlocks(tokens, 8, causal=True, separator=3, padding=0, layout="tight")
    with pytest.raises(OptionError, match="block_length"):
        TokenBlocks(tokens, 2, causal=True, separator=3, padding=0)
