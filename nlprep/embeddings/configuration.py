"""The settings of word vectors: how text becomes words, and how skip-gram learns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from nlprep.corpus import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """How text becomes the words that get vectors."""

    tokenizer: str = option(
        "words",
        "words: runs of letters and digits; whitespace: what stands between blanks",
        choices=("words", "whitespace"),
    )
    lowercase: bool = option(True, "make capital letters small")
    encoding_errors: str = option(
        "strict",
        "what to do with bytes that are not UTF-8; strict is an error",
        choices=("strict", "replace", "ignore", "skip-line"),
    )
    min_count: int = option(5, "leave out rarer words", minimum=1)
    max_vocabulary: int | None = option(None, "keep so many of the most frequent words", minimum=1)

    def __post_init__(self) -> None:
        check(self)

    def make_tokenizer(self) -> Tokenizer:
        """The function from a line to its words."""
        from nlprep.corpus import tokenize

        if self.tokenizer == "whitespace":
            return (lambda text: text.lower().split()) if self.lowercase else str.split
        return partial(tokenize, lowercase=self.lowercase)


@dataclass(frozen=True, kw_only=True)
class SkipGramConfig:
    """Settings of skip-gram training.

    Raises:
        OptionError: A value out of range.
    """

    dimension: int = option(300, "numbers in a word vector", minimum=1, maximum=10_000)
    window: int = option(5, "greatest distance of a context word", minimum=1, maximum=1000)
    negatives: int = option(5, "negative samples per centre word", minimum=1, maximum=1000)
    epochs: int = option(5, "passes over the corpus", minimum=1)
    subsample: float = option(1e-4, "sub-sampling threshold of frequent words; 0 turns it off", minimum=0, maximum=1)
    learning_rate: float = option(0.025, "learning rate at the start", above=0, maximum=10)
    min_learning_rate: float = option(1e-4, "learning rate at the end", minimum=0, maximum=10)
    negative_exponent: float = option(0.75, "power of the word counts that negatives follow", minimum=0, maximum=2)
    held_out: float = option(
        0.001, "share of the text kept back to report the loss on; 0 for none", minimum=0, maximum=0.5
    )
    seed: int = option(1, "seed of every random choice", minimum=0, maximum=2**63 - 1)
    device: str = option("cpu", "where to train: cpu, or a torch device such as cuda")

    def __post_init__(self) -> None:
        check(self)
        if self.min_learning_rate > self.learning_rate:
            raise OptionError(
                f"min_learning_rate = {self.min_learning_rate:g} is above learning_rate = {self.learning_rate:g}: "
                "the rate falls from the one to the other"
            )
