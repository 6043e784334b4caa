"""How many images it takes for a result to say something, and how much room they take, said where it is amiss."""

from __future__ import annotations

import math
import shutil
import warnings
from typing import TYPE_CHECKING

from nlprep.core.errors import FileError, NlprepError
from nlprep.core.memory import machine_memory
from nlprep.core.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

LEAST_TRAINED = 2
"""With one image every model does best to learn it by heart."""
ENOUGH_TRAINED, ENOUGH_MEASURED = 15, 5
"""Under so many images to learn from, or to measure on, figures are of these images and of no others."""


_LEAST_SAID, _IN_DIGITS = 1e8, 1e12


class FewImagesWarning(UserWarning):
    """So few images that what comes of them says little of others."""


def require_images(
    learned: int,
    measured: int | None,
    *,
    source: str,
    what: tuple[str, str] = ("image to train on", "images to train on"),
    use: str = "measure on",
    least: int = LEAST_TRAINED,
) -> None:
    """Refuse too few images to learn from, and warn of few.

    Args:
        learned: Images to learn from.
        measured: Others that are held out; None: there are none.
        source: Where they come from, for what is said.
        what: What one of the first is called, and what more are.
        use: What the others are held out for: to choose weights by is not to measure.
        least: The fewest of them of which anything can be learned.

    Raises:
        NlprepError: There are fewer.

    >>> require_images(1, 1, source="photos")
    Traceback (most recent call last):
    nlprep.core.errors.NlprepError: photos: 1 image to train on, beside 1 to measure on: nothing can be learned of them; give at least 15 and 5
    """  # noqa: E501 - an error is one line
    beside = "" if measured is None else f", beside {measured:,} to {use}"
    given = counted(learned, *what)
    wanted = f"at least {ENOUGH_TRAINED}" + ("" if measured is None else f" and {ENOUGH_MEASURED}")
    if learned < least:
        raise NlprepError(f"{source}: {given}{beside}: nothing can be learned of them; give {wanted}")
    if learned < ENOUGH_TRAINED or (measured is not None and measured < ENOUGH_MEASURED):
        warnings.warn(
            f"{source}: {given}{beside}: what comes of so few says little of other images; give {wanted}",
            FewImagesWarning,
            stacklevel=3,
        )


def require_memory_for(shape: tuple[int, int, int], *, source: str) -> None:
    """Refuse images of which the machine's memory does not hold a single one.

    Args:
        shape: (height, width, channels).
        source: What they are called.

    Raises:
        NlprepError: It does not.
    """
    size, there = math.prod(shape), machine_memory()
    if there is not None and size > there:
        raise NlprepError(
            f"{source}: an image of {shape[0]:,} x {shape[1]:,} takes {gigabytes(size)} of memory, and the machine has "
            f"{gigabytes(there)}: give smaller images (height)"
        )


def require_room(folder: Path, count: int, shape: tuple[int, int, int], *, source: str) -> None:
    """Refuse to decode what a disk has no room for.

    Args:
        folder: Where decoded images go.
        count: How many.
        shape: (height, width, channels) of each.
        source: What they are called.

    Raises:
        FileError: There is no room.
    """
    size, free = count * math.prod(shape), shutil.disk_usage(folder).free
    if size > free:
        raise FileError(
            source,
            f"{count:,} images of {shape[0]:,} x {shape[1]:,} take {gigabytes(size)} once they are decoded, and "
            f"{folder} has room for {gigabytes(free)}: give smaller images (height), or another place for them (cache)",
        )


def gigabytes(size: float) -> str:
    """Bytes in words.

    >>> gigabytes(3e10), gigabytes(1.5e15), gigabytes(1e6)
    ('30 GB', '1,500,000 GB', 'less than 0.1 GB')
    """
    if size < _LEAST_SAID:
        return "less than 0.1 GB"
    return f"{size / 1e9:,.3g} GB" if size < _IN_DIGITS else f"{size / 1e9:,.0f} GB"
