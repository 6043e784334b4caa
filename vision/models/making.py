"""Images that a model makes: of others, and new ones, as arrays and however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.randomness import seeded_torch
from vision.models.flow import FlowModel
from vision.models.model import CanReconstruct, CanSample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vision.images.collection import Images
    from vision.models.files import SavedModel

BATCH = 128


def labels_of(saved: SavedModel, images: Images) -> torch.Tensor | None:
    """Labels (n,) for a model that is conditioned on some, on its device; None for any other.

    Raises:
        NlprepError: It is, and the images have none.
    """
    if not getattr(saved.model, "num_classes", 0):
        return None
    if images.labels is None:
        raise NlprepError(f"{images.source}: has no labels, which the model is conditioned on: give a folder a class")
    return torch.from_numpy(images.labels).to(next(saved.model.parameters()).device)


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
        raise OptionError(f"a model of the kind {type(model).__name__} does not give images back")
    labels = labels_of(saved, images)
    device = next(model.parameters()).device
    made = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            rows = slice(start, start + BATCH)
            pixels = torch.from_numpy(np.array(images.pixels[rows])).to(device)
            with seeded_torch(1 + start):
                given = model.reconstruct(pixels, None if labels is None else labels[rows])
            made.append(given.float().clamp(0, 1).cpu().numpy())
    return np.concatenate(made)


def sample_images(
    saved: SavedModel, number: int, *, of: str | None = None, seed: int = 1, temperature: float | None = None
) -> NDArray[np.float32]:
    """New images.

    Args:
        saved: A model that draws from what it learned.
        number: How many.
        of: Their class, by a model that is conditioned on classes; default: each in turn.
        seed: Of the draws.
        temperature: Of a flow: what its noise is multiplied by; default: as its settings have it.

    Returns:
        (number, channels, height, width) in [0, 1].

    Raises:
        OptionError: The model draws none, knows no such class, or has no temperature.
    """
    model = saved.model
    if not isinstance(model, CanSample):
        raise OptionError(f"a model of the kind {type(model).__name__} draws no images: train a vae")
    if temperature is not None and not isinstance(model, FlowModel):
        raise OptionError(f"temperature = {temperature}: a model of the kind {type(model).__name__} has none")
    at = {} if temperature is None else {"temperature": temperature}
    classes = getattr(model, "num_classes", 0)
    if of is not None and (not classes or of not in saved.classes):
        known = f"choose from {', '.join(saved.classes)}" if classes else "the model is conditioned on no classes"
        raise OptionError(f"of = {of!r}: {known}")
    wanted = None
    if classes:
        wanted = torch.arange(number) % classes if of is None else torch.full((number,), saved.classes.index(of))
    device = next(model.parameters()).device
    drawn = []
    with torch.no_grad(), seeded_torch(seed):
        for start in range(0, number, BATCH):
            labels = None if wanted is None else wanted[start : start + BATCH].to(device)
            drawn.append(model.sample(min(BATCH, number - start), labels, **at).float().clamp(0, 1).cpu().numpy())
    return np.concatenate(drawn)
