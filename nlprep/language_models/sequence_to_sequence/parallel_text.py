"""Sentences and their translations, and sentences and their noised selves, as training examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import FileError, NlprepError
from nlprep.core.files import read_lines
from nlprep.core.randomness import uniforms
from nlprep.objectives.labels import IGNORED

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from nlprep.core.randomness import Seeds

_DROP, _SHUFFLE = 1, 2


@dataclass(frozen=True)
class ParallelText:
    """Sentences of two languages, side by side.

    Attributes:
        source: Sentences.
        target: Their translations.
        num_blank: Pairs left out because a side was blank.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    num_blank: int = 0

    def __len__(self) -> int:
        return len(self.source)

    def take(self, number: int) -> ParallelText:
        """The first pairs."""
        return ParallelText(self.source[:number], self.target[:number])


def read_parallel_text(source: str | os.PathLike[str], target: str | os.PathLike[str] | None = None) -> ParallelText:
    """Read pairs: two files whose lines correspond, or one with a tab between the two sides of each line.

    Args:
        source: The source side, or both.
        target: The target side.

    Raises:
        FileError: Unreadable, of unequal numbers of lines, a line without one tab, or no pairs.
    """
    if target is None:
        sides = [_split(source, number, line) for number, line in read_lines(source)]
    else:
        left, right = ([line for _, line in read_lines(path)] for path in (source, target))
        if len(left) != len(right):
            raise FileError(
                target,
                f"has {len(right):,} lines and {source} has {len(left):,}: line for line, one must translate the other",
            )
        sides = list(zip(left, right, strict=True))
    pairs = [(one.strip(), other.strip()) for one, other in sides]
    kept = [(one, other) for one, other in pairs if one and other]
    if not kept:
        raise FileError(source, "has no pair of sentences: check the file")
    sources, targets = zip(*kept, strict=True)
    return ParallelText(sources, targets, len(pairs) - len(kept))


def _split(path: str | os.PathLike[str], number: int, line: str) -> tuple[str, str]:
    if not line.strip():
        return "", ""
    cells = line.split("\t")
    if len(cells) != 2:
        raise FileError(
            path, f"expected a sentence, a tab and its translation, found {len(cells) - 1} tabs", line=number
        )
    return cells[0], cells[1]


@dataclass(frozen=True)
class EncodedSentences:
    """Sentences as token ids without special tokens.

    Attributes:
        ids: (n,) int32, those of all sentences end to end.
        offsets: (s + 1,) int64.
        num_cut: Sentences of which only the beginning is here.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    num_cut: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[index] : self.offsets[index + 1]]


def encode_sentences(sentences: Sequence[str], tokenizer: PreTrainedTokenizerFast, longest: int) -> EncodedSentences:
    """Tokenize sentences, keeping at most ``longest`` tokens of each."""
    encoded = tokenizer(list(sentences), add_special_tokens=False, split_special_tokens=True, verbose=False)
    ids = encoded["input_ids"]
    lengths = np.array([min(len(sentence), longest) for sentence in ids], np.int64)
    flat = np.fromiter((token for sentence in ids for token in sentence[:longest]), np.int32, int(lengths.sum()))
    cut = sum(len(sentence) > longest for sentence in ids)
    return EncodedSentences(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), cut)


@dataclass(frozen=True)
class SpecialIds:
    """What stands around a sentence, on the source side and on the target side.

    The source is wrapped as encoders see text; the target begins after a separator and ends with one, as documents
    do for causal models.
    """

    opening: int
    closing: int
    padding: int
    separator: int

    @classmethod
    def of(cls, source: PreTrainedTokenizerFast, target: PreTrainedTokenizerFast) -> SpecialIds:
        """Those of two tokenizers.

        Raises:
            NlprepError: One lacks a token that is needed.
        """
        found = (source.cls_token_id, source.sep_token_id, source.pad_token_id, target.eos_token_id)
        if None in found:
            raise NlprepError("the tokenizers lack cls, sep, pad or eos tokens: train them here, or add these")
        return cls(*(int(identity) for identity in found))


class TranslationExamples:
    """Pairs of sentences as batches padded to their longest.

    Args:
        source: Source sentences.
        target: Target sentences, as many.
        special: Ids around them.
    """

    def __init__(self, source: EncodedSentences, target: EncodedSentences, special: SpecialIds) -> None:
        self.source, self.target, self.special = source, target, special

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:  # noqa: ARG002
        """Fetch pairs: see `make_batch`."""
        pairs = [(self.source[index], self.target[index]) for index in indices.tolist()]
        return make_batch([pair[0] for pair in pairs], [pair[1] for pair in pairs], self.special)


class DenoisingExamples:
    """Sentences to be restored from what noise left of them (Vincent et al. 2008; the noise of Lample et al. 2018).

    Each token is dropped with a probability, and the rest moves by a few places at most. Without noise an
    auto-encoder with attention learns to copy, and nothing else.

    Args:
        sentences: Sentences of one language.
        special: Ids around them.
        drop: Probability of dropping a token.
        distance: Places by which a token may move; 0 keeps the order.
    """

    def __init__(
        self, sentences: EncodedSentences, special: SpecialIds, *, drop: float = 0.15, distance: float = 3.0
    ) -> None:
        self.sentences, self.special = sentences, special
        self.drop, self.distance = drop, distance

    def __len__(self) -> int:
        return len(self.sentences)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:
        """Fetch sentences, noised as a function of their seeds, and as they were: see `make_batch`."""
        whole = [self.sentences[index] for index in indices.tolist()]
        noised = [self._noise(sentence, seed) for sentence, seed in zip(whole, seeds, strict=True)]
        return make_batch(noised, whole, self.special)

    def _noise(self, sentence: NDArray[np.int32], seed: np.uint64) -> NDArray[np.int32]:
        key = np.asarray(seed, np.uint64)
        kept = uniforms(key, len(sentence), purpose=_DROP) >= self.drop
        if not kept.any():
            kept[0] = True
        left = sentence[kept]
        # A token overtakes another only if their places differ by less than the distance.
        places = np.arange(len(left)) + uniforms(key, len(left), purpose=_SHUFFLE) * self.distance
        return left[np.argsort(places, kind="stable")]


def make_batch(
    sources: Sequence[NDArray[np.int32]], targets: Sequence[NDArray[np.int32]], special: SpecialIds
) -> dict[str, Tensor]:
    """Pad sentences.

    Returns:
        ``input_ids`` (b, S), the sources wrapped; ``attention_mask`` (b, S), 0 at padding; ``decoder_input_ids``
        (b, T), a separator and the targets; ``labels`` (b, T), the targets and a separator, then `IGNORED`. All int64.
    """
    import torch

    source_length = max(map(len, sources)) + 2
    target_length = max(map(len, targets)) + 1
    inputs = np.full((len(sources), source_length), special.padding, np.int64)
    mask = np.zeros(inputs.shape, np.int64)
    decoded = np.full((len(targets), target_length), special.separator, np.int64)
    labels = np.full(decoded.shape, IGNORED, np.int64)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        inputs[row, : len(source) + 2] = [special.opening, *source, special.closing]
        mask[row, : len(source) + 2] = 1
        decoded[row, 1 : len(target) + 1] = target
        labels[row, : len(target) + 1] = [*target, special.separator]
    arrays = {"input_ids": inputs, "attention_mask": mask, "decoder_input_ids": decoded, "labels": labels}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
