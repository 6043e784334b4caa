"""What every fusion is: a module from a text's features and an image's to one vector.

A fusion of vectors takes (b, dt) and (b, di), a fusion of grids (b, dt) and (b, h, w, di) with any h and w; both give
(b, d). Every one keeps these promises, which one test asks of all:

- rows are independent: what a pair becomes does not depend on the pairs beside it, nor on how many there are;
- everything that is learned is a parameter, is reached by a gradient, and is a function of the seed;
- the answer depends on which text stands beside which image;
- half precision and autocast change nothing but how the answer is rounded. A fusion is little beside the encoders that
  feed it, and products of two sides leave the range of half numbers soon, so that it computes in float32, or in double
  precision where it is given that, whatever its weights are kept in;
- nothing is drawn when it is called, but the dropout in training, by torch's generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import reduce
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from multimodal.fusions.configuration import FusionConfig


class Fusion(nn.Module, ABC):
    """A fusion of vectors, or of a vector and a grid.

    A class derived from it draws its weights in ``__init__`` as a function of the seed and implements `fuse`.

    Args:
        text_dimension: dt, numbers in a text's features.
        image_dimension: di, numbers in an image's, or at each place of its grid.
        config: Its settings.
        dimension: d, of what is fused.

    Attributes:
        text_dimension: As given.
        image_dimension: As given.
        config: As given.
        dimension: As given.
        gridded: Whether images are grids.

    Raises:
        OptionError: A dimension below 1.
    """

    gridded: ClassVar[bool] = False

    def __init__(self, text_dimension: int, image_dimension: int, config: FusionConfig, *, dimension: int) -> None:
        super().__init__()
        for name, value in (("text_dimension", text_dimension), ("image_dimension", image_dimension)):
            if value < 1:
                raise OptionError(f"{name} = {value}: must be at least 1")
        self.text_dimension, self.image_dimension = text_dimension, image_dimension
        self.config, self.dimension = config, dimension

    @abstractmethod
    def fuse(self, text: Tensor, image: Tensor) -> Tensor:
        """As `forward`, of features of the right shapes in float32 or float64, which the weights are in as well."""

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        """Fused features.

        Args:
            text: (b, text_dimension), floating.
            image: (b, image_dimension), or (b, h, w, image_dimension) for a fusion of grids.

        Returns:
            (b, dimension), of the wider of the two dtypes.

        Raises:
            OptionError: Shapes that do not fit.
        """
        fused = self._computed(self.fuse, text, image)
        return functional.dropout(fused, self.config.dropout, self.training)

    def _computed(self, compute: Callable[[Tensor, Tensor], Tensor], text: Tensor, image: Tensor) -> Tensor:
        """What a method makes of both sides, in float32 at least, rounded to what it was given."""
        self._check(text, image)
        given = torch.promote_types(text.dtype, image.dtype)
        kept = [part for part in chain(self.parameters(), self.buffers()) if part.is_floating_point()]
        wide = reduce(torch.promote_types, {part.dtype for part in kept}, torch.promote_types(given, torch.float32))
        with torch.autocast(text.device.type, enabled=False):
            if all(part.dtype == wide for part in kept):
                return compute(text.to(wide), image.to(wide)).to(given)
            widened = {
                f"owner.{name}": part.to(wide)
                for name, part in chain(self.named_parameters(), self.named_buffers())
                if part.is_floating_point()
            }
            made: Tensor = functional_call(_Computation(self, compute), widened, (text.to(wide), image.to(wide)))
            return made.to(given)

    def _check(self, text: Tensor, image: Tensor) -> None:
        wanted = "(b, h, w, {})" if self.gridded else "(b, {})"
        fits = (
            text.dim() == 2
            and text.shape[1] == self.text_dimension
            and image.dim() == (4 if self.gridded else 2)
            and image.shape[-1] == self.image_dimension
            and len(text) == len(image)
            and 0 not in image.shape[1:]
        )
        if not fits:
            raise OptionError(
                f"features of shapes {list(text.shape)} and {list(image.shape)}: {type(self).__name__} takes a text's "
                f"(b, {self.text_dimension}) and an image's {wanted.format(self.image_dimension)}"
            )
        if not (text.is_floating_point() and image.is_floating_point()):
            raise OptionError(f"features of {text.dtype} and {image.dtype}: expected floating ones")


class _Computation(nn.Module):
    """A method of a module as a module, so that it can be called with other weights."""

    def __init__(self, owner: nn.Module, compute: Callable[..., Tensor]) -> None:
        super().__init__()
        self.owner, self.compute = owner, compute

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        return self.compute(text, image)


@runtime_checkable
class CanAttend(Protocol):
    """Fusions that can say which places of the grid they looked at."""

    def attend(self, text: Tensor, image: Tensor) -> Tensor:
        """(b, maps, h, w) of what `Fusion.forward` takes: shares that are not negative and sum to 1 over the places."""
