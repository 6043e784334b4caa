"""What the tests of language models share: a tokenizer and models that are as small as can be."""

from __future__ import annotations

from functools import cache

from nlprep.demonstration import generate_sentences
from nlprep.language_models.models.architectures import build_language_model
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.tokenizers import train_tokenizer

MASKED_FAMILIES = ("bert", "roberta", "modernbert", "distilbert")
CAUSAL_FAMILIES = ("gpt2", "llama")


@cache
def sentences(number: int = 400) -> list[str]:
    return list(generate_sentences("en", number, seed=5))


@cache
def toy_tokenizer(algorithm: str = "byte-bpe"):
    return train_tokenizer(sentences(), TokenizerConfig(algorithm=algorithm, vocabulary_size=300))


def toy_masked(family: str = "bert", **settings):
    return _toy("masked", family, **settings)


def toy_causal(family: str = "gpt2", **settings):
    return _toy("causal", family, **settings)


def _toy(kind: str, family: str, *, dropout: float = 0.0, seed: int = 1, context: int = 32):
    shape = {"layers": 2, "width": 16, "heads": 2, "context": context}
    return build_language_model(toy_tokenizer(), kind, family=family, dropout=dropout, seed=seed, **shape)
