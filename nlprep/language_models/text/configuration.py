"""The settings of text on its way to a model: what a document is, how it is cut into tokens and put into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from nlprep.core.configuration import check, option

DocumentUnit = Literal["line", "paragraph", "file"]
DOCUMENT_UNITS: tuple[str, ...] = get_args(DocumentUnit)
LAYOUTS = ("packed", "stream")
ALGORITHMS = ("byte-bpe", "bpe", "wordpiece", "unigram", "character")


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """What kind of tokenizer to train."""

    algorithm: str = option(
        "byte-bpe", "byte-bpe loses nothing of any text; character is for tiny alphabets", choices=ALGORITHMS
    )
    vocabulary_size: int | None = option(
        None, "tokens, special ones included; none: 16,000 or as many as the text supports", minimum=6
    )
    lowercase: bool = option(False, "make everything lower-case")
    min_frequency: int = option(2, "occurrences that a piece needs to become a token", minimum=1)

    def __post_init__(self) -> None:
        check(self)
