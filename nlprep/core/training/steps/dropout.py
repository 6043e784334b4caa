"""The dropout of models that are there, such as one pretrained without and now to be fine-tuned on little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from torch import nn


def dropouts_of(module: nn.Module) -> list[nn.Dropout]:
    """The dropouts in a module; some models keep theirs elsewhere, where they cannot be found."""
    from torch import nn

    return [part for part in module.modules() if isinstance(part, nn.Dropout)]


def set_dropout(module: nn.Module, dropout: float) -> None:
    """Give every dropout of a module the same probability.

    Raises:
        OptionError: None is found.
    """
    found = dropouts_of(module)
    if not found:
        raise OptionError("the model's dropout cannot be changed: build it with the dropout that it should have")
    for part in found:
        part.p = dropout


def raise_dropout(module: nn.Module, least: float) -> bool:
    """Raise every dropout of a module to at least ``least``; return whether any is above 0 then."""
    found = dropouts_of(module)
    for part in found:
        part.p = max(part.p, least)
    return any(part.p > 0 for part in found)
