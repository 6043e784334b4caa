"""The networks of views: perceptrons, where none is given."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import nn

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from multimodal.correlation.configuration import CorrelationConfig

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def make_perceptron(inputs: int, config: CorrelationConfig, outputs: int | None = None) -> nn.Sequential:
    """Hidden layers as the settings say, and a linear one at the end.

    What makes codes has no constant there: no correlation depends on it, its gradient would be rounding, and an
    optimiser that divides by the gradient's size would let it drift.

    Args:
        inputs: Numbers in a thing, of whatever shape.
        config: The settings.
        outputs: Numbers that it makes; none: codes, as the settings say.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    size = inputs
    for _ in range(config.depth):
        layers += [nn.Linear(size, config.width), _ACTIVATIONS[config.activation]()]
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
        size = config.width
    numbers = outputs or config.outputs or config.dimension
    layers.append(nn.Linear(size, numbers, bias=outputs is not None))
    return nn.Sequential(*layers)


def redrawn(network: nn.Module, name: str) -> nn.Module:
    """A copy with weights drawn anew by torch's generator.

    Args:
        network: Any module whose parts with weights have ``reset_parameters``, as torch's own do.
        name: Of its view.

    Raises:
        OptionError: A part has none.
    """
    other = copy.deepcopy(network)
    for part in other.modules():
        if not list(part.parameters(recurse=False)):
            continue
        if not callable(getattr(part, "reset_parameters", None)):
            raise OptionError(
                f"the network of {name!r} has a {type(part).__name__}, which does not say how to draw its weights: "
                "give it reset_parameters"
            )
        part.reset_parameters()  # type: ignore[operator]
    return other
