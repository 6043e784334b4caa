"""Which tokens a masked language model has to guess, and what it sees in their place.

BERT's recipe (Devlin et al. 2019, section 3.1): 15% of the tokens are chosen; of these 80% become the mask, 10% another
token and 10% stay. The choice is made anew each time a block is met (Liu et al. 2019, section 4.1), as a function of
the example's seed. One deviation: of each block exactly that share is chosen, rounded, where BERT's tokens are
chosen independently; the variance is smaller and every batch has the same shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nlprep.core.errors import OptionError
from nlprep.core.randomness import integers, uniforms
from nlprep.objectives.labels import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from nlprep.core.randomness import Seeds
    from nlprep.language_models.pretraining.configuration import MaskingConfig
    from nlprep.language_models.text.packing import TokenBlocks

_CHOICE, _FATE, _REPLACEMENT = 1, 2, 3
_SPACES, _LINE_ENDS = "Ġ▁", "Ċĉč"


class Masking:
    """Masks blocks of token ids.

    Args:
        tokenizer: Whose tokens they are.
        config: Rates.

    Raises:
        OptionError: The tokenizer has no mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, config: MaskingConfig) -> None:
        if tokenizer.mask_token_id is None:
            raise OptionError(
                "the tokenizer has no mask token: train one, or choose a tokenizer made for masked models"
            )
        self.config = config
        self.mask_id = int(tokenizer.mask_token_id)
        size = len(tokenizer)
        self._special = np.zeros(size, np.bool_)
        self._special[tokenizer.all_special_ids] = True
        self._ordinary = np.flatnonzero(~self._special)
        self._pieces = _word_pieces(tokenizer) if config.whole_words else None

    def num_positions(self, block_length: int) -> int:
        """The most positions chosen in a block."""
        return max(1, round(self.config.masking_rate * block_length))

    def apply(
        self, ids: NDArray[np.int64], seeds: Seeds
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Mask blocks.

        Args:
            ids: (b, L) int64.
            seeds: (b,) uint64: each block's choices are a function of its own.

        Returns:
            What is shown (b, L); positions chosen (b, m), in order; and the ids that stood there (b, m), `IGNORED`
            at the end where a block has fewer tokens to choose from (their positions are 0). Special tokens are
            never chosen.
        """
        length = ids.shape[1]
        most = self.num_positions(length)
        eligible = ~self._special[ids]
        available = eligible.sum(1)
        wanted = np.rint(self.config.masking_rate * available).astype(np.int64)
        wanted = np.minimum(np.maximum(wanted, available > 0), most)
        keys = uniforms(seeds, length, purpose=_CHOICE)
        if self._pieces is not None:
            words = _words(ids, *self._pieces)
            keys = np.take_along_axis(keys, words, 1)
        keys[~eligible] = 2.0
        order = np.argsort(keys, axis=1, kind="stable")
        chosen = np.arange(length) < wanted[:, None]
        if self._pieces is not None:
            chosen = _whole(chosen, np.take_along_axis(words, order, 1), wanted)
        # Positions in order of the text; those not chosen last.
        positions = np.sort(np.where(chosen, order, length), axis=1)[:, :most]
        real = positions < length
        positions = np.where(real, positions, 0)
        labels = np.where(real, np.take_along_axis(ids, positions, 1), IGNORED)
        fates = uniforms(seeds, most, purpose=_FATE)
        others = self._ordinary[integers(seeds, most, purpose=_REPLACEMENT) % np.uint64(len(self._ordinary))]
        shown = np.where(
            fates < self.config.mask_share,
            self.mask_id,
            np.where(fates < self.config.mask_share + self.config.random_share, others, labels),
        )
        inputs = ids.copy()
        rows, columns = np.nonzero(real)
        inputs[rows, positions[rows, columns]] = shown[rows, columns]
        return inputs, positions, labels


def _words(ids: NDArray[np.int64], continues: NDArray[np.bool_], follows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(b, L): the position at which the word of each token begins."""
    begins = np.ones(ids.shape, np.bool_)
    begins[:, 1:] = ~(continues[ids[:, 1:]] & follows[ids[:, :-1]])
    starts = np.where(begins, np.arange(ids.shape[1]), 0)
    return np.maximum.accumulate(starts, axis=1)


def _whole(chosen: NDArray[np.bool_], words: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of the tokens chosen, sorted by word, leave out a last word that is chosen in part.

    Where that would leave nothing, the part stays: a word longer than the share of a block.
    """
    rows = np.arange(len(words))
    last = words[rows, np.maximum(wanted - 1, 0)]
    following = words[rows, np.minimum(wanted, words.shape[1] - 1)]
    cut = (last == following) & (wanted < words.shape[1])
    kept = chosen & ~(cut[:, None] & (words == last[:, None]))
    return np.where(kept.any(1)[:, None], kept, chosen)


def _word_pieces(tokenizer: PreTrainedTokenizerFast) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each token, whether it can go on a word, and whether a word can go on after it.

    A piece with ``##`` goes on a word; where pieces are marked by the space before them instead, one that begins
    with a letter or digit does, after one that ends with one.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_tokens)
    marked = any(token.startswith("##") for token in tokens)
    continues = np.zeros(len(tokens), np.bool_)
    follows = np.zeros(len(tokens), np.bool_)
    for index, token in enumerate(tokens):
        if token in special or not token:
            continue
        if marked:
            continues[index], follows[index] = token.startswith("##"), True
        else:
            continues[index] = _is_of_a_word(token[0])
            # A space by itself opens the word that follows it.
            follows[index] = _is_of_a_word(token[-1]) or token[-1] in _SPACES
    return continues, follows


def _is_of_a_word(character: str) -> bool:
    # Byte-level vocabularies write spaces and line ends as characters that are letters to Python.
    return character.isalnum() and character not in _SPACES + _LINE_ENDS


class MaskedBlocks:
    """Masked-LM examples: blocks of a token file, masked anew each time.

    Args:
        blocks: Where blocks come from.
        masking: How they are masked.
    """

    def __init__(self, blocks: TokenBlocks, masking: Masking) -> None:
        self.blocks, self.masking = blocks, masking
        # One decision for the whole run, so that all batches have the same tensors.
        self._padded = blocks.fill < 1

    def __len__(self) -> int:
        return len(self.blocks)

    def batch(self, indices: NDArray[np.int64], seeds: Seeds) -> dict[str, Tensor]:
        """Fetch examples.

        Returns:
            ``input_ids`` (b, L), ``positions`` and ``labels`` (b, m) as `Masking.apply` gives them, and
            ``attention_mask`` (b, L), 0 at padding, unless no block has any; all int64.
        """
        import torch

        fetched = self.blocks.blocks(indices)
        inputs, positions, labels = self.masking.apply(fetched.inputs, seeds)
        batch = {
            "input_ids": torch.from_numpy(inputs),
            "positions": torch.from_numpy(positions),
            "labels": torch.from_numpy(labels),
        }
        if self._padded:
            batch["attention_mask"] = torch.from_numpy((fetched.segments > 0).astype(np.int64))
        return batch
