r"""Hand-off to and from gensim and sentence-transformers, so that code written for them goes on working.

A SentenceTransformer made here is one `StaticEmbedding` module: a text's encoding is the mean of the vectors of
its known words, and zero where it has none. The text becomes words as `nlprep.corpus.tokenize` makes them:
lower-cased, composed (NFC), runs of letters, digits, underscores and the marks that follow them. One letter
differs: a capital Σ at the end of a word becomes σ there and ς here.

Unknown words are dropped, not averaged in as zeros, and the model needs none of our code after it is saved. The
tokenizers library has no word-level model that does so; it is built from byte-pair encoding without merges, whose
entries are words behind the mark ``▁`` (U+2581) that every word of a text is given too: a word is found whole, or
falls into characters of which none is an entry, and vanishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.embeddings.word_vectors import WordVectors

if TYPE_CHECKING:
    from gensim.models import KeyedVectors
    from sentence_transformers import SentenceTransformer

_MARK = "\u2581"
_WORD = r"[\p{L}\p{N}_]+(?:[\p{Mn}\p{Mc}\u200c\u200d]+[\p{L}\p{N}_]*)*"


def to_gensim(vectors: WordVectors) -> KeyedVectors:
    """The same words and vectors as gensim's ``KeyedVectors``, with a copy of the matrix."""
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(vectors.dimension, dtype=np.float32)
    keyed.add_vectors(vectors.words, np.array(vectors.matrix))
    return keyed


def from_gensim(keyed: KeyedVectors) -> WordVectors:
    """Words and vectors of gensim's ``KeyedVectors``, or of a model that has them in ``wv``, with a copy.

    Raises:
        NlprepError: Neither of the two, no words, keys that are not text, or NaN or infinity in the vectors.
    """
    source: Any = getattr(keyed, "wv", keyed)
    if not (hasattr(source, "index_to_key") and hasattr(source, "vectors")):
        raise NlprepError(f"expected gensim's KeyedVectors, got {type(keyed).__name__}: pass model.wv")
    words = list(source.index_to_key)
    return WordVectors(words, np.array(source.vectors[: len(words)], dtype=np.float32))


def to_sentence_transformer(vectors: WordVectors, *, device: str = "cpu") -> SentenceTransformer:
    """A SentenceTransformer that encodes a text as the mean of the vectors of its known words.

    Args:
        vectors: The words, lower-cased like the text will be; words that hold anything but letters, digits,
            underscores and marks are never met.
        device: Where it computes.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    static_embedding = _static_embedding()
    entries = {_MARK + word: row for row, word in enumerate(vectors.words)}
    tokenizer = Tokenizer(models.BPE(vocab=entries, merges=[], ignore_merges=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.NFC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True),
            pre_tokenizers.Metaspace(replacement=_MARK, prepend_scheme="always", split=False),
        ]
    )
    weights = torch.from_numpy(np.array(vectors.matrix))
    return SentenceTransformer(modules=[static_embedding(tokenizer, embedding_weights=weights)], device=device)


def _static_embedding() -> Any:
    from importlib import import_module

    try:
        modules = import_module("sentence_transformers.sentence_transformer.modules")
    except ModuleNotFoundError:
        # Its place in version 5.
        modules = import_module("sentence_transformers.models")
    return modules.StaticEmbedding


def from_sentence_transformer(model: SentenceTransformer) -> WordVectors:
    """The entries and vectors of a SentenceTransformer whose first module is a ``StaticEmbedding``.

    From a model that `to_sentence_transformer` made, the same words come back; from another, the entries of its
    tokenizer as they stand, pieces of words such as ``##ing`` and special tokens included.

    Raises:
        NlprepError: No such module, or a tokenizer that does not name every row once.
    """
    modules = list(model.children())
    first: Any = modules[0] if modules else None
    embedding = getattr(first, "embedding", None)
    if embedding is None or not hasattr(getattr(first, "tokenizer", None), "get_vocab"):
        kind = type(first).__name__
        raise NlprepError(f"the model's first module is {kind}: only StaticEmbedding has a vector for each word")
    matrix = embedding.weight.detach().float().cpu().numpy()
    entries = sorted(first.tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    if [row for _, row in entries] != list(range(len(matrix))):
        raise NlprepError(
            f"the tokenizer has {len(entries):,} entries for {len(matrix):,} vectors: the model does not fit together"
        )
    words = [word for word, _ in entries]
    if all(word.startswith(_MARK) for word in words):
        words = [word.removeprefix(_MARK) for word in words]
    return WordVectors(words, np.array(matrix))
