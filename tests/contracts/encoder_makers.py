"""One of each encoder, as small as can be, with what it takes and what it does not: add yours to `CASES`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "language_models"))
from language_model_toys import sentences, toy_causal, toy_masked, toy_tokenizer

from nlprep.embeddings.averaged_vectors import AveragedWordVectors, sif_weights
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.evaluation.encoder import Encoder
from nlprep.language_models.encoders.configuration import EncoderConfig
from nlprep.language_models.encoders.text_encoder import TextEncoder
from nlprep.language_models.encoders.tf_idf import TfIdfEncoder
from vision.baselines.configuration import PatchDictionaryConfig
from vision.baselines.linear_encoder import LinearEncoder, fit_ica, fit_lda, fit_pca
from vision.baselines.patch_dictionary import PatchDictionary
from vision.images.collection import Images

TEXTS = (
    "the dog sleeps in the garden",
    "a cat",
    "Ünïcode, ПРИВЕТ, 你好 and more",
    "one two three four five six seven the dog and the cat and the garden and the dog again",
    "nothing-known quux",
    "",
)


@dataclass(frozen=True)
class Case:
    """An encoder and what to try on it.

    Attributes:
        kind: Its class.
        make: Makes one; the same every time.
        items: At least four different items, whose vectors are not all alike.
        strangers: Things that are no items.
        singles: Single items, and things that are no sequence.
        tolerance: By how much rounding may move a number.
    """

    kind: type
    make: Callable[[], Encoder[Any]]
    items: Sequence[Any] = TEXTS
    strangers: Sequence[Any] = (7, None, b"bytes", ["a", "text"], np.zeros((3, 4, 4), np.float32))
    singles: Sequence[Any] = field(default=("a text", b"a text", None, 3, np.str_("a text"), Path("texts.txt")))
    tolerance: float = 1e-5


def _masked() -> TextEncoder:
    return TextEncoder(toy_masked(dropout=0.1, context=128), toy_tokenizer())


def _modern() -> TextEncoder:
    return TextEncoder(
        toy_masked("modernbert", context=128), toy_tokenizer(), EncoderConfig(pooling="max", layer=1, normalize=True)
    )


def _causal() -> TextEncoder:
    return TextEncoder(toy_causal(dropout=0.1, context=128), toy_tokenizer())


def _sentence_transformer() -> TextEncoder:
    import tempfile

    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    with tempfile.TemporaryDirectory() as directory, torch.random.fork_rng():
        torch.manual_seed(4)
        _masked().save(directory)
        base = SentenceTransformer(directory, device="cpu")
        whole = SentenceTransformer(modules=[*base, modules.Dense(16, 5)], device="cpu")
        whole.prompts, whole.default_prompt_name = {"plain": "dog: "}, "plain"
        return TextEncoder.from_sentence_transformer(whole)


def _tf_idf() -> TfIdfEncoder:
    return TfIdfEncoder.fit([*sentences()[:60], *TEXTS[:4]])


@cache
def _vectors() -> WordVectors:
    words = [word for word in _tf_idf().words if word != "quux"]
    return WordVectors(words, np.random.default_rng(2).standard_normal((len(words), 7)).astype(np.float32) + 0.5)


def _averaged() -> AveragedWordVectors:
    return AveragedWordVectors(_vectors())


def _weighted() -> AveragedWordVectors:
    words = _vectors().words
    weights = sif_weights(words, {word: len(words) // (place + 1) for place, word in enumerate(words)})
    return AveragedWordVectors(_vectors(), weights).without_common_direction(sentences()[:60])


@cache
def _images() -> Images:
    pixels = np.random.default_rng(4).integers(0, 256, (24, 3, 4, 5), dtype=np.uint8)
    return Images(pixels, np.arange(24) % 5, tuple("abcde"))


def _dictionary() -> PatchDictionary:
    return PatchDictionary.fit(_images(), PatchDictionaryConfig(atoms=6, patch=2, patches=100, iterations=5))


def _image_case(kind: type, make: Callable[[], Encoder[Any]]) -> Case:
    """Of images of bytes, as they lie in memory and apart, and of floats."""
    pixels = _images().pixels
    items = [*pixels[:4], pixels[4].astype(np.float32) / 255]
    strangers = (7, None, b"bytes", "a text", [[1]], np.zeros((4, 5)), np.zeros((2, 4, 5)), np.zeros((3, 4, 5), int))
    return Case(kind, make, items, strangers, singles=(pixels[0], "a text", None, 3, pixels[0] / 255))


CASES = {
    "masked": Case(TextEncoder, _masked),
    "masked, of a layer, of unit length": Case(TextEncoder, _modern),
    "causal": Case(TextEncoder, _causal),
    "SentenceTransformer": Case(TextEncoder, _sentence_transformer),
    "tf-idf": Case(TfIdfEncoder, _tf_idf),
    "averaged word vectors": Case(AveragedWordVectors, _averaged),
    "weighted word vectors": Case(AveragedWordVectors, _weighted),
    "principal components": _image_case(LinearEncoder, lambda: fit_pca(_images(), 4)),
    "discriminants": _image_case(LinearEncoder, lambda: fit_lda(_images(), 3)),
    "independent components": _image_case(LinearEncoder, lambda: fit_ica(_images(), 3)),
    "patch dictionary": _image_case(PatchDictionary, _dictionary),
}
