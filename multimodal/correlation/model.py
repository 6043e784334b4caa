"""What all models of correlated views have in common.

Things have views by name (the left and the right half of a picture, its caption), each an array with a row, or an array
of any other shape, for each thing. A view is centred and scaled (`CorrelationConfig.scaling`), a network f_i makes its
code of it, and a loss looks at the codes of a whole batch (`nlprep.objectives.correlation`), so that parts of a batch
and several processes have the loss and the gradient of the whole.

What a loss of correlation leaves open is any invertible map of a code. So training ends with **linear CCA** of the
codes of all training examples, by the weights that were kept, and what a view is encoded to are the coordinates that
this finds: uncorrelated, of variance one, by falling correlation with the other views.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from multimodal.correlation.methods import find_method, name_of
from multimodal.correlation.networks import make_perceptron, redrawn
from nlprep.core.errors import OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import seeded_torch
from nlprep.core.training.steps.coupled import PlainCoupledStep
from nlprep.evaluation.encoder import evaluation_mode

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from multimodal.correlation.configuration import CorrelationConfig
    from multimodal.correlation.encoder import ViewEncoder
    from nlprep.core.progress import Progress
    from nlprep.vectors.canonical_correlation import CanonicalCorrelation

Shape = tuple[int, ...]


class View(nn.Module):
    """One view: how it is scaled, its network, and the coordinates of its codes.

    Args:
        shape: Of one thing in this view.
        network: Makes codes (b, k) of (b, *shape).
        dimension: Coordinates of a code.
        name: For messages.

    Attributes:
        outputs: k.

    Raises:
        OptionError: A network that does not take such things, or makes no codes, or too short ones.
    """

    mean: Tensor
    scale: Tensor
    centre: Tensor
    directions: Tensor

    def __init__(self, shape: Shape, network: nn.Module, dimension: int, *, name: str) -> None:
        super().__init__()
        self.shape, self.network = shape, network
        self.outputs = _count_outputs(network, shape, name)
        if self.outputs < dimension:
            raise OptionError(
                f"the network of {name!r} makes {self.outputs} numbers, and a code is to have {dimension}: choose a "
                "smaller dimension, or a network that makes more"
            )
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("centre", torch.zeros(self.outputs))
        self.register_buffer("directions", torch.eye(self.outputs, dimension))

    def forward(self, given: Tensor) -> Tensor:
        """What the network makes of things, (b, outputs)."""
        made: Tensor = self.network(self.scaled(given))
        return made

    def scaled(self, given: Tensor) -> Tensor:
        """Things (b, *shape), of any numeric type, as the network sees them."""
        return (given.to(self.mean.dtype) - self.mean) * self.scale

    def coordinates(self, given: Tensor) -> Tensor:
        """Codes (b, dimension) of things: what linear CCA makes of what the network makes."""
        found: Tensor = (self(given).to(self.centre.dtype) - self.centre) @ self.directions
        return found


class CorrelationModel(nn.Module, ABC):
    """A model of things with several views.

    Args:
        shapes: Of one thing in each view, by the view's name.
        config: Its settings.
        networks: By a view's name, the network that makes its codes (b, k) of (b, *shape); views that are not named
            get a perceptron. Given networks are trained in place.
        seed: Of the weights of those that are made here.

    Attributes:
        names: Of the views, in order.
        dimension: Numbers in a code of any view.
        correlations: (dimension,) float32 of the coordinates, over the examples that they were fitted to; NaN before
            that.

    Raises:
        OptionError: A number of views that the model does not take, a network of no view, or as `View`.
    """

    correlations: Tensor

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        config: CorrelationConfig,
        *,
        networks: Mapping[str, nn.Module] | None = None,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.names = config, tuple(shapes)
        self.dimension = config.dimension
        check_views(name_of(self), self.names, networks or {})
        self.given = tuple(name for name in self.names if networks and name in networks)
        with seeded_torch(seed):
            self.views = nn.ModuleList(
                View(
                    tuple(shape),
                    networks[name] if networks and name in networks else make_perceptron(math.prod(shape), config),
                    config.dimension,
                    name=name,
                )
                for name, shape in shapes.items()
            )
            self.add_parts()
        self.register_buffer("correlations", torch.full((config.dimension,), float("nan"), dtype=torch.float32))

    @property
    def shapes(self) -> dict[str, Shape]:
        """Of one thing in each view."""
        return {name: view.shape for name, view in zip(self.names, self._views(), strict=True)}

    def add_parts(self) -> None:
        """Make what a model has besides its views; torch's generators are seeded."""

    def forward(self, **views: Tensor) -> Mapping[str, Tensor]:
        """What the loss of a batch is a function of: ``code_i``, (b, outputs), of each view ``view_i``."""
        return {f"code_{place}": view(views[f"view_{place}"]) for place, view in enumerate(self._views())}

    @abstractmethod
    def compare(self, **embeddings: Tensor) -> Mapping[str, Tensor]:
        """The losses of a whole batch, by what `forward` made of it."""

    def codes(self, embeddings: Mapping[str, Tensor]) -> list[Tensor]:
        """The codes among what `forward` made, in the views' order."""
        return [embeddings[f"code_{place}"] for place in range(len(self.names))]

    def step(self) -> PlainCoupledStep:
        """How it is trained: one player, whose loss couples the examples of a batch."""
        return PlainCoupledStep(self, self.compare)

    def whitened_numbers(self) -> int:
        """How many numbers the loss whitens in a batch, which must have more examples; 0: it whitens nothing."""
        return max(view.outputs for view in self._views())

    # What is learned without gradients

    @torch.no_grad()
    def set_scaling(self, means: Sequence[NDArray[np.floating]], scales: Sequence[NDArray[np.floating]]) -> None:
        """Say how views are centred and scaled before their networks see them.

        Args:
            means: Of every view, of its shape.
            scales: What the rest is multiplied by, likewise.
        """
        for view, mean, scale in zip(self._views(), means, scales, strict=True):
            view.mean.copy_(torch.from_numpy(np.asarray(mean, dtype=np.float32)))
            view.scale.copy_(torch.from_numpy(np.asarray(scale, dtype=np.float32)))

    @torch.no_grad()
    def set_coordinates(self, fitted: CanonicalCorrelation) -> None:
        """Let codes be the coordinates that linear CCA found; those that it did not find are 0.

        Args:
            fitted: To codes of the networks as they are now.
        """
        for place, view in enumerate(self._views()):
            directions = fitted.directions[place]
            view.centre.copy_(torch.from_numpy(fitted.means[place]))
            view.directions.zero_()
            view.directions[:, : directions.shape[1]] = torch.from_numpy(directions)
        self.correlations.zero_()
        self.correlations[: len(fitted.correlations)] = torch.from_numpy(fitted.correlations.copy())

    # Use

    def place_of(self, view: str) -> int:
        """The number of a view.

        Raises:
            OptionError: There is none of that name.
        """
        if view not in self.names:
            raise OptionError(f"view {view!r}: choose from {', '.join(self.names)}")
        return self.names.index(view)

    def view(self, name: str) -> View:
        """A view by its name; errors as `place_of`."""
        return self._views()[self.place_of(name)]

    def encoder(self, view: str) -> ViewEncoder:
        """One view of it, as what instruments take: an `nlprep.evaluation.encoder.Encoder`; errors as `place_of`."""
        from multimodal.correlation.encoder import ViewEncoder

        return ViewEncoder(self, view)

    def encode(
        self, view: str, items: Any, batch_size: int = 1024, *, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Codes (n, dimension) of things seen in one view, the linear CCA at the end included.

        Args:
            view: Its name.
            items: (n, *shape), or a list of n things.
            batch_size: How many are computed at once.
            progress: Gets items.

        Raises:
            OptionError: No such view, or a batch size below 1.
            NlprepError: Things of another shape, or that hold no numbers.
        """
        return self.encoder(view).encode(items, batch_size, progress=progress)

    def randomized(self, seed: int = 1) -> CorrelationModel:
        """The same architecture and scaling with nothing learned: weights drawn anew, and codes as networks make them.

        Raises:
            OptionError: A network that was given has weights and cannot draw them (no ``reset_parameters``).
        """
        with seeded_torch(seed):
            networks = {name: redrawn(self.view(name).network, name) for name in self.given}
        other = type(self)(self.shapes, self.config, networks=networks, seed=seed)
        other.set_scaling(
            [view.mean.cpu().numpy() for view in self._views()], [view.scale.cpu().numpy() for view in self._views()]
        )
        return other.eval()

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens; as `multimodal.correlation.files.save_model`."""
        from multimodal.correlation.files import save_model

        save_model(self, directory, overwrite=overwrite)

    @classmethod
    def from_directory(
        cls,
        directory: str | os.PathLike[str],
        *,
        networks: Mapping[str, nn.Module] | None = None,
        device: str | None = None,
    ) -> CorrelationModel:
        """Open a model, whichever it is; as `multimodal.correlation.files.load_model`."""
        from multimodal.correlation.files import load_model

        return load_model(directory, networks=networks, device=device)

    def _views(self) -> list[View]:
        return list(self.views)  # type: ignore[arg-type]


def check_views(model: str, names: Sequence[str], networks: Mapping[str, nn.Module]) -> None:
    """Fail if a model does not take such views.

    Args:
        model: Its name.
        names: Of the views.
        networks: By a view's name.

    Raises:
        OptionError: Too few or too many, or a network of no view.
    """
    most = find_method(model).most_views
    if len(names) < 2 or (most is not None and len(names) > most):
        takes = "two or more" if most is None else "two: for more, train a deep-generalized-cca"
        raise OptionError(f"{len(names)} views ({', '.join(names)}): a {model} takes {takes}")
    for name in networks:
        if name not in names:
            raise OptionError(f"networks: {name!r} is no view: choose from {', '.join(names)}")


def _count_outputs(network: nn.Module, shape: Shape, name: str) -> int:
    first = next(network.parameters(), None)
    device = None if first is None else first.device
    with evaluation_mode(network):
        try:
            made = network(torch.zeros(2, *shape, device=device))
        except (RuntimeError, ValueError, IndexError) as error:
            reason = " ".join(str(error).split())[:160]
            raise OptionError(f"the network of {name!r} does not take things of shape {shape} ({reason})") from None
    if not isinstance(made, Tensor) or made.dim() != 2 or len(made) != 2:
        seen = f"of shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
        raise OptionError(f"the network of {name!r} makes something {seen} of (2, ...): expected codes (2, k)")
    return made.shape[1]
