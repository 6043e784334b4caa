"""What training asks of images, of settings and of the machine, looked at before the long work and said in a line."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError, OptionError
from vision.images.amounts import FewImagesWarning, gigabytes
from vision.models.methods import find_method

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from nlprep.core.training.configuration import TrainingConfig
    from vision.images.collection import Images, Shape
    from vision.models.model import ImageModel

_BLOCK_BYTES = 1 << 22
_LEAST_CROP = 2.0
"""Pixels of the smallest crop: of one there is nothing to see."""
_OF_WEIGHTS, _OF_IMAGES = 4, 3
"""Numbers of four bytes that are kept at the least for each weight (itself, its gradient and AdamW's two averages) and
for each number of an image (itself, what is made of it, and the gradient of that)."""
_MOST_KEPT = 10_000
"""Times as much a network may keep for its gradient: with small images there is no need to look at that."""


def check_training(
    images: Images,
    model: str,
    config: Any,
    training: TrainingConfig,
    *,
    held_out: int | None = None,
    device: torch.device | None = None,
) -> None:
    """Fail, or warn, before anything is trained that cannot be, or of which nothing could come.

    Args:
        images: What is trained on.
        model: Its name.
        config: Its settings.
        training: The loop's.
        held_out: Images that are held out; None: none.
        device: Where it is trained; None: a GPU where there is one.

    Raises:
        NlprepError: Images that are all the same or of one pixel, labels that are missing, or more memory than there
            is.
        OptionError: Settings that do not suit images of this shape, or batches of one image by a model that compares
            the images of a batch.

    Warns:
        FewImagesWarning: Batches of one image by another model of views.
    """
    method = find_method(model)
    if math.prod(images.shape[1:]) == 1:
        raise NlprepError(f"{images.source}: images of one pixel, in which there is nothing to see: give larger ones")
    if method.labelled:
        check_labels(model, images.labels, images.classes, source=images.source)
    try:
        plan = plan_model(model, images.shape, config, num_classes=len(images.classes) if method.labelled else 0)
    except OptionError as error:
        raise OptionError(f"{images.source}: {error}") from None
    _check_views(config, images)
    _check_batches(plan, model, images.source, training, held_out)
    _check_memory(plan, model, images, training, device)
    if same_everywhere(images):
        raise NlprepError(
            f"{images.source}: all {len(images):,} images are the same, of which nothing can be learned: give others"
        )


def check_labels(model: str, labels: NDArray[np.int64] | None, classes: tuple[str, ...], *, source: str) -> None:
    """Fail if a model learns from labels, and images have none, or of too few classes.

    Args:
        model: Its name.
        labels: (n,) as `vision.images.collection.Images` has them.
        classes: Their names.
        source: What the images are called.

    Raises:
        NlprepError: It does, and they have.
    """
    method = find_method(model)
    if not method.labelled:
        return
    if labels is None:
        raise NlprepError(
            f"{source}: has no labels, which {model} learns from: put pictures in a folder for each class"
        )
    if method.least_classes > 1 and len(labels) and (labels == labels[0]).all():
        raise NlprepError(
            f"{source}: the only class is {classes[int(labels[0])]!r}, and {model} tells classes apart: add another"
        )


def plan_model(model: str, shape: Shape, config: Any, *, num_classes: int = 0) -> ImageModel:
    """A model without numbers, which takes no time and no memory: what it is made of, and how large that is.

    Args:
        model: Its name.
        shape: Of its images.
        config: Its settings; a network of the transformers library is left out, as its size is its own.
        num_classes: Classes that it is told.

    Raises:
        OptionError: Settings that do not suit images of this shape.
    """
    import torch

    backbone = getattr(config, "backbone", None)
    if backbone is not None and backbone.kind == "transformers":
        config = replace(config, backbone=type(config)().backbone)
    # Whatever constructor the class of a name has takes these.
    kind: Any = find_method(model).load()
    with torch.device("meta"):
        plan: ImageModel = kind(shape, config, num_classes=num_classes)
    return plan


def same_everywhere(images: Images) -> bool:
    """Whether several images have the same pixels throughout; read until one differs, usually the second."""
    if len(images) < 2:
        return False
    first = np.asarray(images.pixels[:1])
    rows = max(1, _BLOCK_BYTES // max(1, first.nbytes))
    start = 1
    while start < len(images):
        # A few at first, which are nearly always enough.
        stop = min(len(images), start + min(rows, start))
        if (images.pixels[start:stop] != first).any():
            return False
        start = stop
    return True


def _check_views(config: Any, images: Images) -> None:
    views = getattr(config, "views", None)
    if views is None:
        return
    names = {"views_least_crop": views.least_crop}
    if getattr(config, "small_views", 0):
        names["least_small_crop"] = config.least_small_crop
    name = min(names, key=lambda one: names[one])
    _, height, width = images.shape
    if views.rotation and height != width:
        raise OptionError(
            f"{images.source}: views_rotation = {views.rotation}: images of {height} x {width} are not square, and "
            "cannot be turned by a quarter: set it to 0"
        )
    if names[name] < 1 and names[name] * height * width < _LEAST_CROP:
        raise OptionError(
            f"{images.source}: {name} = {names[name]}: of images of {height} x {width} that is a view of a single "
            "pixel: give larger images, or larger crops"
        )


def _check_batches(plan: ImageModel, model: str, source: str, training: TrainingConfig, held_out: int | None) -> None:
    if plan.step().coupled:
        if training.batch_size == 1:
            raise OptionError(f"batch_size = 1: {model} compares the images of a batch: give at least 2")
        if held_out == 1:
            raise NlprepError(
                f"{source}: 1 image is held out, and {model} compares the images of a batch: give more images, or hold "
                "out none (validation 0)"
            )
    elif find_method(model).keyed and training.batch_size == 1:
        warnings.warn(
            f"batch_size = 1: of one image at a time nobody sees whether {model} gives all of them the same code: give "
            "at least 2",
            FewImagesWarning,
            stacklevel=4,
        )


def _check_memory(
    plan: ImageModel, model: str, images: Images, training: TrainingConfig, device: torch.device | None
) -> None:
    import torch

    from nlprep.core.devices import device_memory
    from vision.models.memory import planned_bytes

    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = device_memory(device)
    if there is None:
        return
    numbers = math.prod(images.shape)
    weights = sum(tensor.numel() for tensor in chain(plan.parameters(), plan.buffers()))
    at_once = training.micro_batch_size or -(-training.batch_size // int(os.environ.get("WORLD_SIZE", "1")))
    of_weights, of_images = 4 * _OF_WEIGHTS * weights, 4.0 * _OF_IMAGES * at_once * numbers
    if of_weights + of_images <= there < _MOST_KEPT * of_images:
        # In bf16 it is half of it.
        of_images += at_once * planned_bytes(plan) / (1 if training.precision == "fp32" else 2)
    if of_weights + of_images <= there:
        return
    _, height, width = images.shape
    where = "the machine" if device.type == "cpu" else str(device)
    raise NlprepError(
        f"{images.source}: {model} on images of {height:,} x {width:,} takes {gigabytes(of_weights)} for its "
        f"{weights:,} weights and {gigabytes(of_images)} for a batch of {at_once:,} at the least, and {where} has "
        f"{gigabytes(there)}: give smaller images (height), a smaller network or smaller batches"
    )
