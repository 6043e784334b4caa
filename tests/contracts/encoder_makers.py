"""One of each encoder, as small as can be, with what it takes and what it does not: add yours to `CASES`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "language_models"))
sys.path.insert(0, str(Path(__file__).parents[1] / "vision"))
from language_model_toys import sentences, toy_causal, toy_masked, toy_tokenizer
from vision_toys import SMALL, toy_images, write_transformers_model

from multimodal.correlation.configuration import DeepCcaConfig
from multimodal.correlation.deep_cca import DeepCca
from multimodal.correlation.encoder import ViewEncoder
from nlprep.embeddings.averaged_vectors import AveragedWordVectors, sif_weights
from nlprep.embeddings.word_vectors import WordVectors
from nlprep.evaluation.encoder import Encoder
from nlprep.language_models.encoders.configuration import EncoderConfig
from nlprep.language_models.encoders.text_encoder import TextEncoder
from nlprep.language_models.encoders.tf_idf import TfIdfEncoder
from nlprep.vectors.canonical_correlation import fit_canonical_correlation
from vision.baselines.configuration import PatchDictionaryConfig
from vision.baselines.linear_encoder import LinearEncoder, fit_ica, fit_lda, fit_pca
from vision.baselines.patch_dictionary import PatchDictionary
from vision.encoders.image_encoder import ImageEncoder
from vision.encoders.raw_pixels import RawPixels
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.files import SavedModel, build
from vision.models.methods import find_method

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
    pixels = np.random.default_rng(4).integers(0, 256, (24, 3, 6, 7), dtype=np.uint8)
    return Images(pixels, np.arange(24) % 5, tuple("abcde"))


def _dictionary() -> PatchDictionary:
    return PatchDictionary.fit(_images(), PatchDictionaryConfig(atoms=6, patch=2, patches=100, iterations=5))


# Kept until the process ends: what a case's items are the paths of.
_FOLDER = tempfile.TemporaryDirectory(prefix="encoder-makers-")


def _pictures() -> tuple[str, ...]:
    """Paths of pictures of several sizes, grey and colour."""
    from PIL import Image

    paths = []
    for place, shape in enumerate([(1, 8, 8), (3, 8, 8), (3, 20, 11), (1, 9, 30), (3, 5, 4)]):
        pixels = toy_images(place + 3, shape).pixels[-1]
        paths.append(str(Path(_FOLDER.name) / f"{place}.png"))
        Image.fromarray(pixels[0] if shape[0] == 1 else np.moveaxis(pixels, 0, -1).copy()).save(paths[-1])
    return tuple(paths)


PICTURES = _pictures()
NO_PICTURES = (7, None, b"bytes", ["a", "text"], np.zeros(5), np.zeros((2, 3, 4, 4)))
NO_PICTURE_LISTS = (b"a text", None, 3, Path("one.png"), np.zeros((3, 8, 8), np.uint8))


def _of_images(backbone: str = "convolutional", output: str = "codes", channels: int = 3) -> ImageEncoder:
    config = find_method("autoencoder").config(dimension=6, backbone=SMALL[backbone])
    preprocessing = Preprocessing(channels=channels, height=8, width=10)
    model = build("autoencoder", preprocessing.shape, config)
    saved = SavedModel(model=model, config=config, preprocessing=preprocessing, classes=("left", "right"))
    return ImageEncoder(saved, output=output)


def _pretrained() -> ImageEncoder:
    with tempfile.TemporaryDirectory() as directory:
        write_transformers_model(Path(directory))
        return ImageEncoder.from_transformers(directory)


def _raw_pixels() -> RawPixels:
    return RawPixels(Preprocessing(channels=1, height=6, width=7, fit="pad"))


ROWS = tuple(map(tuple, np.random.default_rng(6).standard_normal((6, 5)).tolist()))


def _view() -> ViewEncoder:
    """The second view of a model whose codes end in linear CCA."""
    model = DeepCca({"one": (2, 3), "other": (5,)}, DeepCcaConfig(dimension=3, width=8, dropout=0.5))
    views = [np.random.default_rng(seed).standard_normal((40, 3)) for seed in (7, 8)]
    model.set_coordinates(fit_canonical_correlation(views))
    return ViewEncoder(model, "other")


def _image_case(kind: type, make: Callable[[], Encoder[Any]]) -> Case:
    return Case(kind, make, items=PICTURES, strangers=NO_PICTURES, singles=NO_PICTURE_LISTS)


CASES = {
    "masked": Case(TextEncoder, _masked),
    "masked, of a layer, of unit length": Case(TextEncoder, _modern),
    "causal": Case(TextEncoder, _causal),
    "SentenceTransformer": Case(TextEncoder, _sentence_transformer),
    "tf-idf": Case(TfIdfEncoder, _tf_idf),
    "averaged word vectors": Case(AveragedWordVectors, _averaged),
    "weighted word vectors": Case(AveragedWordVectors, _weighted),
    "images": _image_case(ImageEncoder, _of_images),
    "images, features": _image_case(ImageEncoder, lambda: _of_images("vit", "features", 1)),
    "images, pretrained": _image_case(ImageEncoder, _pretrained),
    "raw pixels": _image_case(RawPixels, _raw_pixels),
    "principal components": _image_case(LinearEncoder, lambda: fit_pca(_images(), 4)),
    "discriminants": _image_case(LinearEncoder, lambda: fit_lda(_images(), 3)),
    "independent components": _image_case(LinearEncoder, lambda: fit_ica(_images(), 3)),
    "patch dictionary": _image_case(PatchDictionary, _dictionary),
    "one of several views": Case(
        ViewEncoder,
        _view,
        items=ROWS,
        strangers=(7, None, b"bytes", ["a", "text"], np.zeros(4), np.zeros((5, 5))),
        singles=("a text", None, 3, np.float32(3.0), np.zeros(5)),
    ),
}
