"""nlprep: learn representations of text from your own data, on your own machine, and use them.

The names below are loaded when first used, so that importing nlprep costs nothing. Everything else is found by its
module: `nlprep.corpus`, `nlprep.embeddings`, `nlprep.translation`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlprep.core.errors import NlprepError
    from nlprep.corpus import EncodedCorpus, encode_corpus, read_sentences, tokenize
    from nlprep.embeddings.skipgram import SkipGramConfig, train_skipgram
    from nlprep.embeddings.vector_files import read_vectors, write_vectors
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.translation.alignment import Alignment, AlignmentConfig, align
    from nlprep.translation.evaluation import evaluate_translation
    from nlprep.translation.lexicon import Lexicon, read_lexicon
    from nlprep.translation.retrieval import TranslationIndex

__version__ = "0.1.0"

_HOMES = {
    "Alignment": "nlprep.translation.alignment",
    "AlignmentConfig": "nlprep.translation.alignment",
    "EncodedCorpus": "nlprep.corpus",
    "Lexicon": "nlprep.translation.lexicon",
    "NlprepError": "nlprep.core.errors",
    "SkipGramConfig": "nlprep.embeddings.skipgram.model",
    "TranslationIndex": "nlprep.translation.retrieval",
    "WordVectors": "nlprep.embeddings.word_vectors",
    "align": "nlprep.translation.alignment",
    "encode_corpus": "nlprep.corpus",
    "evaluate_translation": "nlprep.translation.evaluation",
    "read_lexicon": "nlprep.translation.lexicon",
    "read_sentences": "nlprep.corpus",
    "read_vectors": "nlprep.embeddings.vector_files.formats",
    "tokenize": "nlprep.corpus",
    "train_skipgram": "nlprep.embeddings.skipgram.training",
    "write_vectors": "nlprep.embeddings.vector_files.formats",
}

__all__ = [
    "Alignment",
    "AlignmentConfig",
    "EncodedCorpus",
    "Lexicon",
    "NlprepError",
    "SkipGramConfig",
    "TranslationIndex",
    "WordVectors",
    "align",
    "encode_corpus",
    "evaluate_translation",
    "read_lexicon",
    "read_sentences",
    "read_vectors",
    "tokenize",
    "train_skipgram",
    "write_vectors",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'nlprep' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
