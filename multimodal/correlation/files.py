"""Models of correlated views on disk: ``config.json`` with the settings, ``tensors.safetensors`` with the weights.

A network that was given is not described there, only its weights are: who opens the model gives it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from multimodal.correlation.methods import find_method, name_of
from nlprep.core.artifacts import CONFIG_NAME, read_artifact, write_artifact
from nlprep.core.configuration import from_mapping, to_mapping
from nlprep.core.devices import find_device
from nlprep.core.errors import FileError, OptionError
from nlprep.core.published import find_published

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from multimodal.correlation.model import CorrelationModel

CORRELATION_MODEL = "correlation-model"
"""What directories of models are marked as."""


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A model and what was written down with it.

    Attributes:
        model: The model, in evaluation mode.
        view: The view whose encoder was saved; none: the model was.
        notes: Plain values: what training came to.
    """

    model: CorrelationModel
    view: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def save_model(
    model: CorrelationModel,
    directory: str | os.PathLike[str],
    *,
    view: str | None = None,
    notes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model as one directory, whole or not at all.

    Args:
        model: The model.
        directory: The place; another such model there is replaced when this one is whole.
        view: The view that an encoder of this directory is of.
        notes: Plain values to remember.
        overwrite: Whether another kind of ours may be replaced, too.

    Raises:
        FileError: It cannot be written or holds something else; what was there is untouched.
        OptionError: A model of a class that has no name.
    """
    config = {
        "model": name_of(model),
        "settings": to_mapping(model.config),
        "views": [{"name": name, "shape": list(shape)} for name, shape in model.shapes.items()],
        "given": list(model.given),
        "view": view,
        "correlations": [None if math.isnan(value) else round(value, 6) for value in model.correlations.tolist()],
        "notes": dict(notes or {}),
    }
    tensors = {name: np.ascontiguousarray(value.detach().cpu().numpy()) for name, value in model.state_dict().items()}
    write_artifact(directory, kind=CORRELATION_MODEL, config=config, tensors=tensors, overwrite=overwrite)


def load_model(
    path: str | os.PathLike[str],
    *,
    networks: Mapping[str, torch.nn.Module] | None = None,
    device: str | None = None,
) -> CorrelationModel:
    """Open what `save_model` wrote, in evaluation mode; nothing is unpickled.

    Args:
        path: A model's directory, or a run's.
        networks: Where it was trained with networks that were given: the same, made anew; their weights are replaced.
        device: ``cpu``, ``cuda``...; default: a GPU where there is one.

    Raises:
        FileError: Missing, damaged, or something else's.
        OptionError: Networks that are not given and should be, are others, or a device that is not there.
    """
    return load_saved(path, networks=networks, device=device).model


def load_saved(
    path: str | os.PathLike[str],
    *,
    networks: Mapping[str, torch.nn.Module] | None = None,
    device: str | None = None,
) -> SavedModel:
    """As `load_model`, with what was written down with it."""
    chosen = find_device(device)
    directory = find_published(path, "model of correlated views")
    artifact = read_artifact(directory, kind=CORRELATION_MODEL)
    values = artifact.config
    try:
        method = find_method(values["model"])
        config: Any = from_mapping(method.config, values["settings"], where=CONFIG_NAME)
        shapes = {str(view["name"]): tuple(map(int, view["shape"])) for view in values["views"]}
        given, view, notes = [str(name) for name in values["given"]], values["view"], dict(values["notes"])
        view = None if view is None else list(shapes)[list(shapes).index(view)]
    except (KeyError, TypeError, ValueError, OptionError) as error:
        raise FileError(
            directory / CONFIG_NAME, f"does not describe a model ({error}): train or save it again"
        ) from None
    missing = [name for name in given if name not in (networks or {})]
    if missing:
        raise OptionError(
            f"{directory}: was trained with networks of its own for {', '.join(missing)}: give the same as networks, "
            "by the view's name"
        )
    model = method.load()(shapes, config, networks={name: (networks or {})[name] for name in given})
    state = {name: torch.from_numpy(np.array(value)) for name, value in artifact.tensors.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        if given:
            raise OptionError(f"{directory}: other networks than it was trained with ({reason})") from None
        raise FileError(directory, f"the weights are not those of its settings ({reason}): save it again") from None
    return SavedModel(model=model.eval().to(chosen), view=view, notes=notes)
