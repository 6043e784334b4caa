"""Models that answer on disk: ``config.json`` with settings, words and answers, ``tensors.safetensors`` with weights.

The encoder that makes features of images, where there is one, is a model of images in ``encoder``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from multimodal.answerers.answerer import Answerer
from multimodal.answerers.configuration import AnswererConfig
from multimodal.answerers.network import AnswererNetwork
from multimodal.answerers.words import QuestionWords
from nlprep.core.artifacts import CONFIG_NAME, fill_artifact, read_artifact
from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.devices import find_device
from nlprep.core.errors import FileError, NlprepError
from nlprep.core.files import atomic_directory
from nlprep.core.published import find_published
from nlprep.vocabulary import Vocabulary
from vision.encoders.image_encoder import ImageEncoder
from vision.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    import os

ANSWERER = "answerer"
"""What directories of models are marked as."""
ENCODER = "encoder"
"""The folder of the encoder of images."""

_SEEN = "seen_images"


def save_answerer(answerer: Answerer, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model as one directory, whole or not at all.

    Args:
        answerer: The model.
        directory: The place; another such model there is replaced when this one is whole.
        overwrite: Whether another kind of ours may be replaced, too.

    Raises:
        FileError: It cannot be written or holds something else; what was there is untouched.
    """
    network = answerer.network
    config = {
        "settings": to_mapping(network.config),
        "preprocessing": to_mapping(answerer.preprocessing),
        "features": None if answerer.encoder is None else network.fusion.image_dimension,
        "temperature": answerer.temperature,
        "words": _counted(answerer.words.vocabulary),
        "answers": _counted(answerer.vocabulary),
        "notes": dict(answerer.notes),
    }
    tensors = {name: np.ascontiguousarray(value.detach().cpu().numpy()) for name, value in network.state_dict().items()}
    if answerer.seen is not None:
        tensors[_SEEN] = np.ascontiguousarray(answerer.seen).view(np.uint8).reshape(len(answerer.seen), -1)
    with atomic_directory(directory, kind=ANSWERER, overwrite=overwrite) as assembly:
        fill_artifact(assembly, kind=ANSWERER, config=config, tensors=tensors)
        if answerer.encoder is not None:
            answerer.encoder.save(assembly / ENCODER)


def load_answerer(path: str | os.PathLike[str], *, device: str | None = None) -> Answerer:
    """Open what `save_answerer` wrote, in evaluation mode; nothing is unpickled.

    Args:
        path: A model's directory, or a run's.
        device: ``cpu``, ``cuda``...; default: a GPU where there is one.

    Raises:
        FileError: Missing, damaged, or something else's.
        OptionError: A device that is not there.
    """
    chosen = find_device(device)
    directory = find_published(path, "model that answers questions")
    artifact = read_artifact(directory, kind=ANSWERER)
    values = artifact.config
    try:
        config = from_mapping(AnswererConfig, values["settings"], where=CONFIG_NAME)
        preprocessing = from_mapping(Preprocessing, values["preprocessing"], where=CONFIG_NAME)
        features = None if values["features"] is None else int(values["features"])
        words, vocabulary = QuestionWords(_vocabulary(values["words"])), _vocabulary(values["answers"])
        temperature, notes = float(values["temperature"]), dict(values["notes"])
        network = AnswererNetwork(
            config, num_words=len(words), num_answers=len(vocabulary), shape=preprocessing.shape, features=features
        )
    except (KeyError, TypeError, ValueError, NlprepError) as error:
        raise FileError(
            directory / CONFIG_NAME, f"does not describe a model that answers ({error}): train or save it again"
        ) from None
    kept = artifact.tensors.get(_SEEN)
    seen = None if kept is None else np.ascontiguousarray(kept).view(f"S{kept.shape[1]}").reshape(-1)
    state = {name: torch.from_numpy(np.array(value)) for name, value in artifact.tensors.items() if name != _SEEN}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise FileError(directory, f"the weights are not those of its settings ({reason}): save it again") from None
    encoder = None if features is None else ImageEncoder.from_directory(directory / ENCODER, device=str(chosen))
    return Answerer(
        network=network.eval().to(chosen), words=words, vocabulary=vocabulary, preprocessing=preprocessing,
        encoder=encoder, temperature=temperature, seen=seen, notes=notes,
    )  # fmt: skip


def _counted(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"words": vocabulary.words, "counts": vocabulary.counts.tolist()}


def _vocabulary(values: dict[str, Any]) -> Vocabulary:
    return Vocabulary([str(word) for word in values["words"]], [int(count) for count in values["counts"]])
