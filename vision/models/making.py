"""Images that a model makes: of others, and new ones, as arrays and however many there are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import seeded_torch
from vision.models.abilities import describe_lack
from vision.models.flow import FlowModel
from vision.models.labels import labels_in_turn
from vision.models.model import CanReconstruct, CanSample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import nn

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.models.files import SavedModel

BATCH = 128


def labels_of(model: nn.Module, images: Images) -> torch.Tensor | None:
    """Labels (n,) for a model that is conditioned on some, on its device; None for any other.

    Raises:
        NlprepError: It is, and the images have none.
    """
    if not getattr(model, "num_classes", 0):
        return None
    if images.labels is None:
        raise NlprepError(f"{images.source}: has no labels, which the model is conditioned on: give a folder a class")
    return torch.from_numpy(images.labels).to(next(model.parameters()).device)


def batches_of(
    model: nn.Module, images: Images, size: int = BATCH
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Images (b, channels, height, width) uint8 and, for a model that is told classes, labels (b,), on its device.

    Args:
        model: The model.
        images: Of its shape.
        size: Images in a batch.

    Raises:
        NlprepError: Labels that it needs are missing.
    """
    labels = labels_of(model, images)
    device = next(model.parameters()).device
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        # A copy: pixels that are mapped from a file cannot be written, which torch warns of.
        pixels = torch.from_numpy(np.array(images.pixels[rows], order="C")).to(device)
        yield pixels, None if labels is None else labels[rows]


def draw_batches(
    model: nn.Module,
    number: int,
    make: Callable[[int, torch.Tensor | None], torch.Tensor],
    labels: torch.Tensor | None,
    *,
    seed: int,
    size: int = BATCH,
) -> Iterator[NDArray[np.float32]]:
    """New images, (b, channels, height, width) in [0, 1].

    Args:
        model: The model, on its device.
        number: How many.
        make: Makes so many, of these labels, with torch's generator.
        labels: (number,) of which class each is to be, or None.
        seed: Of the draws.
        size: Images in a batch.
    """
    device = next(model.parameters()).device
    with torch.no_grad(), seeded_torch(seed):
        for start in range(0, number, size):
            wanted = None if labels is None else labels[start : start + size].to(device)
            yield make(min(size, number - start), wanted).float().clamp(0, 1).cpu().numpy()


def reconstruct_images(saved: SavedModel, images: Images) -> NDArray[np.float32]:
    """What a model makes of images.

    Args:
        saved: A model that gives images back.
        images: Of its shape.

    Returns:
        (n, channels, height, width) in [0, 1].

    Raises:
        OptionError: The model gives no images back.
        NlprepError: Labels that it needs are missing.
    """
    model = saved.model
    if not isinstance(model, CanReconstruct):
        raise OptionError(describe_lack(model, "does not give images back", CanReconstruct))
    made: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for pixels, labels in batches_of(model, images):
            with seeded_torch(1 + BATCH * len(made)):
                given = model.reconstruct(pixels, labels)
            made.append(given.float().clamp(0, 1).cpu().numpy())
    return np.concatenate(made)


def sample_images(
    saved: SavedModel,
    number: int,
    *,
    of: str | None = None,
    seed: int = 1,
    temperature: float | None = None,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """New images.

    Args:
        saved: A model that draws from what it learned.
        number: How many.
        of: Their class, by a model that is conditioned on classes; default: each in turn.
        seed: Of the draws.
        temperature: Of a flow: what its noise is multiplied by; default: as its settings have it.
        progress: Gets images drawn.

    Returns:
        (number, channels, height, width) in [0, 1].

    Raises:
        OptionError: The model draws none, knows no such class, or has no temperature.
    """
    model: Any = saved.model
    if not isinstance(model, CanSample):
        raise OptionError(describe_lack(saved.model, "draws no images", CanSample))
    make: Any = model.sample
    if temperature is not None:
        if not isinstance(saved.model, FlowModel):
            raise OptionError(f"temperature = {temperature}: {describe_lack(saved.model, 'has none', FlowModel)}")
        make = partial(make, temperature=temperature)
    classes = getattr(model, "num_classes", 0)
    if of is not None and (not classes or of not in saved.classes):
        known = f"choose from {', '.join(saved.classes)}" if classes else "the model is conditioned on no classes"
        raise OptionError(f"of = {of!r}: {known}")
    wanted = None
    if classes:
        wanted = labels_in_turn(number, classes) if of is None else torch.full((number,), saved.classes.index(of))
    found = []
    with progress.task("drawing images", number) as task:
        for batch in draw_batches(saved.model, number, make, wanted, seed=seed):
            found.append(batch)
            task.advance(len(batch))
    return np.concatenate(found)
