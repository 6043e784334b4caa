"""Models of images on disk: one directory with settings, weights, preprocessing, class names and a card.

``config.json`` says which model it is (a name of `vision.models.methods.MODELS`; none: a backbone alone), its settings,
the shape of its images and how pictures become such images; ``tensors.safetensors`` holds the weights; ``README.md`` is
the card for people. A model of the transformers library inside it has its own two files of settings in ``backbone``.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlprep.core.artifacts import CONFIG_NAME, fill_artifact, read_artifact
from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import atomic_directory
from nlprep.core.published import find_published
from nlprep.core.randomness import seeded_torch
from vision.backbones.configuration import BackboneConfig
from vision.backbones.networks import make_backbone
from vision.images.preprocessing import Preprocessing
from vision.models.methods import find_method, name_of
from vision.models.model import ImageModel

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from vision.backbones.backbone import Backbone
    from vision.backbones.transformers_model import TransformersBackbone
    from vision.images.collection import Shape

IMAGE_MODEL = "image-model"
"""What directories of models are marked as."""
BACKBONE = "backbone"
"""The folder of settings of a model of the transformers library."""
CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A model and what belongs to it.

    Attributes:
        model: The model, or a backbone alone.
        config: Its settings: those of a model, or of a backbone.
        preprocessing: How pictures become its images.
        classes: The names of the classes that its training knew, whether it saw them or not.
        notes: Plain values to remember: what training came to, a threshold.
    """

    model: ImageModel | Backbone
    config: Any
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def with_notes(self, notes: Mapping[str, Any]) -> SavedModel:
        """The same with other notes."""
        return replace(self, notes=dict(notes))


def save_model(saved: SavedModel, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model as one directory, whole or not at all.

    Args:
        saved: The model and what belongs to it.
        directory: The place; another model of images there is replaced when this one is whole.
        overwrite: Whether another kind of ours may be replaced, too.

    Raises:
        FileError: It cannot be written or holds something else; what was there is untouched.
        OptionError: A model of a class that has no name.
    """
    model = saved.model
    name = name_of(model) if isinstance(model, ImageModel) else None
    settings = to_mapping(_without_place(saved.config))
    config = {
        "model": name,
        "settings": settings,
        "shape": list(model.shape),
        "dimension": model.dimension,
        "num_classes": getattr(model, "num_classes", 0),
        "classes": list(saved.classes),
        "preprocessing": to_mapping(saved.preprocessing),
        "notes": dict(saved.notes),
    }
    tensors = {key: np.ascontiguousarray(value.detach().cpu().numpy()) for key, value in model.state_dict().items()}
    with atomic_directory(directory, kind=IMAGE_MODEL, overwrite=overwrite) as assembly:
        fill_artifact(assembly, kind=IMAGE_MODEL, config=config, tensors=tensors)
        described = find_transformers(model)
        if described is not None:
            write_description(described, assembly / BACKBONE)
        (assembly / CARD).write_text(_card(config, sum(value.size for value in tensors.values())), encoding="utf-8")


def is_transformers_model(path: str | os.PathLike[str]) -> bool:
    """Whether a directory looks like what the transformers library writes, and not like a model or a run of ours."""
    settings = Path(path) / CONFIG_NAME
    if not settings.is_file():
        return False
    try:
        values = json.loads(settings.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and "kind" not in values and ("model_type" in values or "architectures" in values)


def load_model(path: str | os.PathLike[str]) -> SavedModel:
    """Open what `save_model` wrote, on the processor and in evaluation mode; nothing is unpickled.

    Args:
        path: A model's directory, or a run's.

    Raises:
        FileError: Missing, damaged, or something else's.
    """
    directory = find_published(path, "model of images")
    artifact = read_artifact(directory, kind=IMAGE_MODEL)
    values = artifact.config
    try:
        name, shape = values["model"], _as_shape(values["shape"])
        classes, notes = tuple(map(str, values["classes"])), dict(values["notes"])
        num_classes = int(values["num_classes"])
        kind = BackboneConfig if name is None else find_method(name).config
        config: Any = from_mapping(kind, _placed(values["settings"], directory / BACKBONE), where=CONFIG_NAME)
        preprocessing = from_mapping(Preprocessing, values["preprocessing"], where=CONFIG_NAME)
    except (KeyError, TypeError, ValueError, OptionError) as error:
        raise FileError(
            directory / CONFIG_NAME, f"does not describe a model ({error}): train or save it again"
        ) from None
    model = build(name, shape, config, num_classes=num_classes)
    state = {key: torch.from_numpy(np.array(value)) for key, value in artifact.tensors.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise FileError(directory, f"the weights are not those of its settings ({reason}): save it again") from None
    return SavedModel(
        model=model.eval(), config=config, preprocessing=preprocessing, classes=classes, notes=notes
    )  # fmt: skip


def build(name: str | None, shape: Shape, config: Any, *, num_classes: int = 0, seed: int = 1) -> ImageModel | Backbone:
    """A model by its name, or a backbone where there is none, with weights drawn by the seed."""
    if name is not None:
        # Whatever constructor the class of a name has takes these.
        kind: Any = find_method(name).load()
        model: ImageModel = kind(shape, config, num_classes=num_classes, seed=seed)
        return model
    with seeded_torch(seed):
        return make_backbone(config, shape)


def redrawn(saved: SavedModel, seed: int) -> SavedModel:
    """The same model with weights drawn anew, as a function of the seed; none of a pretrained one's are kept."""
    model = saved.model
    name = name_of(model) if isinstance(model, ImageModel) else None
    with _description_at_hand(model) as place:
        config = saved.config if place is None else _with_backbone(saved.config, path=str(place), pretrained=False)
        other = build(name, model.shape, config, num_classes=getattr(model, "num_classes", 0), seed=seed)
    return replace(saved, model=other, notes={})


def find_transformers(model: torch.nn.Module) -> TransformersBackbone | None:
    """The model of the transformers library inside one, if there is one."""
    from vision.backbones.transformers_model import TransformersBackbone

    return next((part for part in model.modules() if isinstance(part, TransformersBackbone)), None)


def find_backbone(model: torch.nn.Module) -> Backbone | None:
    """The network in a model that makes the features which its codes are made of; None where there is none."""
    from vision.backbones.backbone import Backbone

    own = getattr(model, "backbone", None)
    if isinstance(own, Backbone):
        return own
    return next((part for part in model.modules() if isinstance(part, Backbone)), None)


def load_backbone(path: str | os.PathLike[str]) -> tuple[Backbone, BackboneConfig]:
    """The network of a saved model, with what it learned, and its settings.

    Args:
        path: A model's directory, or a run's.

    Raises:
        FileError: As `load_model`, or the model has no such network.
    """
    saved = load_model(path)
    backbone = find_backbone(saved.model)
    config = saved.config if isinstance(saved.config, BackboneConfig) else getattr(saved.config, "backbone", None)
    if backbone is None or not isinstance(config, BackboneConfig):
        raise FileError(path, "its model has no network of features that another could begin with: name one that has")
    return backbone, config


def write_description(backbone: TransformersBackbone, folder: Path) -> None:
    """Write the settings of a model of the transformers library and of its preprocessing, each in its file."""
    folder.mkdir()
    for name, values in backbone.description.items():
        (folder / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _description_at_hand(model: torch.nn.Module) -> Iterator[Path | None]:
    """A folder from which the model of the transformers library inside one can be built, for the time of the block."""
    backbone = find_transformers(model)
    if backbone is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as scratch:
        write_description(backbone, Path(scratch) / BACKBONE)
        yield Path(scratch) / BACKBONE


def _with_backbone(config: Any, **changes: Any) -> Any:
    if isinstance(config, BackboneConfig):
        return replace(config, **changes)
    return replace(config, backbone=replace(config.backbone, **changes))


def _without_place(config: Any) -> Any:
    """Settings without where a pretrained model lay, whose weights are saved with the rest."""
    backbone = config if isinstance(config, BackboneConfig) else getattr(config, "backbone", None)
    if backbone is None or backbone.kind != "transformers":
        return config
    return _with_backbone(config, path=BACKBONE, pretrained=False)


def _placed(settings: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Settings whose pretrained model has its description in a place."""
    placed = dict(settings)
    if placed.get("kind") == "transformers":
        placed["path"] = str(place)
    inner = placed.get("backbone")
    if isinstance(inner, dict):
        placed["backbone"] = _placed(inner, place)
    return placed


def _as_shape(values: Any) -> Shape:
    channels, height, width = map(int, values)
    return channels, height, width


def _card(config: Mapping[str, Any], numbers: int) -> str:
    """The card of a model, for people."""
    channels, height, width = config["shape"]
    colours = "grey" if channels == 1 else "colour"
    name = config["model"] or f"{config['settings']['kind']} backbone"
    lines = [
        f"# {name}: codes of {config['dimension']} numbers for {colours} images of {height} x {width} pixels",
        "",
        f"{numbers:,} weights. Open it in Python with",
        "",
        "```python",
        "from vision import ImageEncoder",
        "",
        'encoder = ImageEncoder.from_directory("path/to/this/directory")',
        'codes = encoder.encode(["one.jpg", "another.png"])',
        "```",
        "",
        "## Preprocessing",
        "",
        *(f"- {key}: {value}" for key, value in config["preprocessing"].items()),
    ]
    if config["classes"]:
        lines += ["", "## Classes in training", "", ", ".join(config["classes"])]
    lines += ["", "## Settings", "", *_listed(_telling(config["settings"]))]
    # Where the images lie on this machine is nobody else's concern.
    notes = {key: value for key, value in config["notes"].items() if key != "data"}
    if notes:
        lines += ["", "## Notes", "", *_listed(notes)]
    return "\n".join(lines) + "\n"


def _telling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those of a network that say how to make it of a pretrained one, and nothing of what it is now.

    Most networks began from nothing; and the weights of one that did not are saved with the rest.
    """
    left_out = {"path", "pretrained"} & settings.keys() if "kind" in settings else set()
    return {
        key: _telling(value) if isinstance(value, dict) else value
        for key, value in settings.items()
        if key not in left_out
    }


def _listed(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}- {key}"
            yield from _listed(value, indent + "  ")
        else:
            yield f"{indent}- {key}: {value}"


def check_shape(model: ImageModel | Backbone, shape: Shape, *, where: str) -> None:
    """Fail if a model takes images of another shape.

    Args:
        model: The model.
        shape: (channels, height, width) of images.
        where: What the images are called.

    Raises:
        NlprepError: It does; says both shapes.
    """
    if tuple(shape) != tuple(model.shape):
        given, wanted = (" x ".join(map(str, one)) for one in (shape, model.shape))
        raise NlprepError(
            f"{where}: images of {given} (channels, height, width), and the model takes {wanted}: read them with the "
            "model's preprocessing"
        )
