"""Flows of vectors by name: densities of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nlprep.core.errors import OptionError
from vision.flows.configuration import VECTOR_FLOWS
from vision.flows.continuous import Continuous, VectorVelocity
from vision.flows.coupling import Coupling, MaskedAutoregressive, kept_channels
from vision.flows.elementwise import ActNorm
from vision.flows.linear import InvertibleLinear
from vision.flows.networks import AutoregressiveNetwork, VectorNetwork
from vision.flows.residual import Residual
from vision.flows.shapes import Additive, Scaled, Spline
from vision.flows.spectral import LipSwish, NormedLayer
from vision.flows.transform import Composition, Inverted

if TYPE_CHECKING:
    from vision.flows.shapes import Shape
    from vision.flows.transform import Transform

_SHAPES: dict[str, type[Shape]] = {"nice": Additive, "realnvp": Scaled, "spline": Spline}


def make_vector_flow(
    name: str, numbers: int, *, layers: int = 5, width: int = 128, depth: int = 2, context: int = 0
) -> Transform:
    """A flow of vectors, with torch's generator.

    It begins with activation normalisation, so that data may be of any scale once they are shown
    (`Transform.initialize`). Between couplings numbers are mixed by a learned matrix, which begins by turning their
    order; autoregressive transforms take turns in which end comes first; each residual block is normalised, as it can
    move things apart or together but little.

    Args:
        name: One of `vision.flows.configuration.VECTOR_FLOWS`: ``nice`` (Dinh et al. 2015), ``realnvp`` (2017),
            ``spline`` couplings (Durkan et al. 2019); ``maf`` (Papamakarios et al. 2017), ``spline-maf``, ``iaf``
            (Kingma et al. 2016); ``residual`` (Chen et al. 2019); ``continuous``, which is trained by flow matching.
        numbers: Of a vector; couplings need at least 2.
        layers: How many; a continuous flow is one whatever this says.
        width: Units in the layers of networks.
        depth: Layers of networks before the last.
        context: Numbers told besides; residual flows are told nothing.

    Raises:
        OptionError: No such flow, fewer than one layer, or a context that cannot be told.
    """
    if name not in VECTOR_FLOWS:
        raise OptionError(f"flow {name!r}: choose from {', '.join(VECTOR_FLOWS)}")
    if layers < 1:
        raise OptionError(f"layers = {layers}: give at least 1")
    if name == "continuous":
        velocity = VectorVelocity(numbers, width=width, depth=depth + 1, context=context)
        return Composition(ActNorm(numbers), Continuous(velocity))
    if name == "residual" and context:
        raise OptionError("a residual flow is told nothing: leave the context out, or choose another flow")
    parts: list[Transform] = [ActNorm(numbers)]
    for layer in range(layers):
        if name in _SHAPES:
            shape = _SHAPES[name]()
            kept = kept_channels(numbers)
            outputs = shape.multiple * (numbers - kept)
            network = VectorNetwork(kept, outputs, width=width, depth=depth, context=context)
            parts += [InvertibleLinear(numbers, rotated=False), Coupling(numbers, shape, network)]
        elif name == "residual":
            parts += [_residual(numbers, width, depth), ActNorm(numbers)]
        else:
            shape = Spline() if name == "spline-maf" else Scaled()
            told = AutoregressiveNetwork(
                numbers, shape.multiple, width=width, depth=depth, context=context, turned=layer % 2 == 1
            )
            changed = MaskedAutoregressive(numbers, shape, told)
            parts.append(Inverted(changed) if name == "iaf" else changed)
    return Composition(*parts)


def _residual(numbers: int, width: int, depth: int, lipschitz: float = 0.9) -> Residual:
    each = lipschitz ** (1 / (depth + 1))
    layers: list[torch.nn.Module] = [NormedLayer(numbers, width, most=each)]
    for _ in range(depth - 1):
        layers += [LipSwish(), NormedLayer(width, width, most=each)]
    layers += [LipSwish(), NormedLayer(width, numbers, most=each)]
    return Residual(torch.nn.Sequential(*layers), lipschitz=lipschitz, exact=True)
