"""The settings of pretraining: the model, its text, and what is masked."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from nlprep.language_models.text.configuration import DOCUMENT_UNITS, LAYOUTS


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """The model and its text; how it is trained is `TrainingConfig`'s."""

    family: str = option("", "model type of transformers")
    size: str = option(
        "small", "tiny, mini, small (6 layers of 384), medium, base (12 of 768) or large",
        choices=("tiny", "mini", "small", "medium", "base", "large"),
    )  # fmt: skip
    layers: int | None = option(None, "layers, instead of the size's", minimum=1)
    width: int | None = option(None, "width, instead of the size's", minimum=4)
    heads: int | None = option(None, "attention heads, instead of the size's", minimum=1)
    dropout: float = option(0.0, "dropout; 0.1 helps where the text is seen many times", minimum=0, maximum=0.9)
    block_length: int = option(128, "tokens the model sees at once, in training and ever after", minimum=8)
    layout: str = option(
        "packed", "packed keeps short documents whole, stream cuts them wherever a block ends", choices=LAYOUTS
    )
    document: str = option("line", "what a document is", choices=DOCUMENT_UNITS)
    validation_fraction: float = option(
        0.01, "share of documents to measure on, not to train on", minimum=0, maximum=0.5
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class MaskedPretrainingConfig(PretrainingConfig):
    """A masked language model and its text."""

    family: str = option("modernbert", "modernbert, bert, roberta or another masked model type of transformers")


@dataclass(frozen=True, kw_only=True)
class CausalPretrainingConfig(PretrainingConfig):
    """A causal language model and its text."""

    family: str = option("gpt2", "gpt2, llama or another causal model type of transformers")
    block_length: int = option(256, "tokens the model sees at once, in training and ever after", minimum=8)
    separate_documents: bool = option(False, "let no document see another that shares its block; slower")


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """How masked-LM examples are made."""

    masking_rate: float = option(0.15, "share of tokens to guess", above=0, maximum=0.9)
    mask_share: float = option(0.8, "share of those shown as the mask", minimum=0, maximum=1)
    random_share: float = option(0.1, "share of those shown as another token; the rest is shown as it is", minimum=0)
    whole_words: bool = option(False, "mask all pieces of a word or none")

    def __post_init__(self) -> None:
        check(self)
        if self.mask_share + self.random_share > 1:
            raise OptionError(f"mask_share = {self.mask_share}, random_share = {self.random_share}: together at most 1")
