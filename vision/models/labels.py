"""Labels as further numbers, for models that are conditioned on them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nlprep.core.errors import NlprepError, OptionError


def refuse_classes(num_classes: int, model: str) -> None:
    """Fail if a model that sees no labels is told how many classes there are.

    Args:
        num_classes: What it is told; 0: nothing.
        model: What it is called, with its article.

    Raises:
        OptionError: It is told some.

    >>> refuse_classes(3, "an image GPT")
    Traceback (most recent call last):
    nlprep.core.errors.OptionError: num_classes = 3: an image GPT sees no labels: leave them out
    """
    if num_classes:
        raise OptionError(f"num_classes = {num_classes}: {model} sees no labels: leave them out")


def with_classes(codes: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """Codes with what says their class appended, a one among zeros; as they are where there are no classes.

    Args:
        codes: (..., d).
        labels: (b,) whole numbers, b being the last axis but one of the codes; None where there are no classes.
        num_classes: How many; 0: none.

    Returns:
        (..., d + num_classes).

    Raises:
        NlprepError: Labels that are missing, or no class's.
    """
    if num_classes == 0:
        return codes
    if labels is None:
        raise NlprepError(f"this model is conditioned on {num_classes} classes: give a label for each image")
    if len(labels) != codes.shape[-2]:
        raise NlprepError(f"{len(labels):,} labels for {codes.shape[-2]:,} codes: give one for each")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise NlprepError(
            f"labels run from {int(labels.min())} to {int(labels.max())}: this model has classes 0 to {num_classes - 1}"
        )
    classes = functional.one_hot(labels.to(codes.device), num_classes).to(codes.dtype)
    return torch.cat([codes, classes.expand(*codes.shape[:-1], num_classes)], -1)


def labels_in_turn(number: int, num_classes: int) -> Tensor | None:
    """Each class in turn, for samples of which nobody says the class; None where there are no classes."""
    return torch.arange(number) % num_classes if num_classes else None
