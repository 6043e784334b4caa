"""What models can do, and one line for those that are asked for what they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.errors import OptionError
from vision.models.methods import MODELS, name_of
from vision.models.model import ImageModel

if TYPE_CHECKING:
    from torch import nn

Ability = type | tuple[type, ...]
"""A protocol such as `vision.models.model.CanSample`, or several of which one is enough."""


def models_that(ability: Ability) -> tuple[str, ...]:
    """The names of all models of which the class has an ability."""
    return tuple(name for name, method in MODELS.items() if issubclass(method.load(), ability))


def kind_of(model: nn.Module) -> str:
    """What kind of model one is, in words: by its name, as for ``train``, if it has one."""
    try:
        return f"a model of the kind {name_of(model)}" if isinstance(model, ImageModel) else "a network alone"
    except OptionError:
        return f"a model of the kind {type(model).__name__}"


def describe_lack(model: nn.Module, lack: str, ability: Ability) -> str:
    """What to say of a model that cannot do what it is asked for: what it lacks, and all models that do not.

    Args:
        model: The model.
        lack: What it does not do, such as ``draws no images``.
        ability: What it would have to have.
    """
    return f"{kind_of(model)} {lack}: these do: {', '.join(models_that(ability))}"
